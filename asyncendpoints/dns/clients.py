"""What is known of the clients of a server: who may ask, who has recursion, and whose queries wait.

The law: what is kept of them has a limit, whatever addresses they come from.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Final

from asyncendpoints.dns.memo import Memo
from asyncendpoints.dns.outcome import Outcome
from asyncendpoints.dns.resolver import Pending
from asyncendpoints.masking import shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints.dns.guards import AddressGuard
    from asyncendpoints.dns.networks import Networks

__all__ = ["Clients", "Standing", "WaitingQueries", "check_verdict"]

#: How many addresses of clients are known at a time.
_MOST_CLIENTS = 16384

#: The memo of those who may not ask; nothing is ever put there.
_NO_MEMO: Final = Memo()


class Standing:
    """What is known of clients: whether they may ask, and what they are told again.

    Those that may ask share one with all of their kind. One with a verdict is that of one client, and
    remembers nothing.
    """

    __slots__ = ("datagram", "recursion", "stream", "verdict")

    def __init__(self, verdict: Outcome | None, *, recursion: bool) -> None:
        #: What each of their queries gets, or None if it depends.
        self.verdict = verdict
        #: Whether they may have recursion.
        self.recursion = recursion
        self.datagram = Memo() if verdict is None else _NO_MEMO
        self.stream = Memo() if verdict is None else _NO_MEMO


class Clients:
    """The standings of clients, by their addresses.

    Args:
        guards: What judges them, in order.
        recursion: Those that may have recursion; None where there is none to be had.
    """

    def __init__(self, guards: Sequence[AddressGuard], recursion: Networks | None) -> None:
        self._guards = guards
        self._recursion = recursion
        #: Those that may ask, by whether they may have recursion.
        self._shared: dict[bool, Standing] = {}
        #: What is known, by address. It is never replaced, so that it can be held on to.
        self.known: dict[str | None, Standing] = {}

    def standing(self, host: str | None) -> Standing:
        """Give what is known of a client by its address, None for one without.

        Raises:
            Exception: What a guard raises; the client is judged again when it comes back.
        """
        found = self.known.get(host)
        if found is None:
            found = self._judge(host)
            if len(self.known) >= _MOST_CLIENTS:
                self.known.clear()
            self.known[host] = found
        return found

    def _judge(self, host: str | None) -> Standing:
        networks = self._recursion
        recursion = networks is not None and (host is None or networks.contain(host))
        for each in self._guards:
            verdict = each.verdict(host)
            if verdict is not None:
                check_verdict(verdict, each, "verdict")
                return Standing(verdict, recursion=recursion)
        standing = self._shared.get(recursion)
        if standing is None:
            standing = self._shared[recursion] = Standing(None, recursion=recursion)
        return standing

    def forget_fleeting(self) -> None:
        """Forget the replies that held for a moment."""
        for each in self._shared.values():
            each.datagram.forget_fleeting()
            each.stream.forget_fleeting()

    def forget_replies(self) -> None:
        """Forget all replies."""
        for each in self._shared.values():
            each.datagram.clear()
            each.stream.clear()


class WaitingQueries:
    """How many queries wait for their answers.

    Args:
        most: How many can.
        most_of_client: How many of those can be of one client; those without an address are not counted.
    """

    __slots__ = ("_most", "_most_of_client", "count", "crowds", "of_client")

    def __init__(self, most: int, most_of_client: int) -> None:
        self._most = most
        self._most_of_client = most_of_client
        self.count = 0
        #: How many are of each client that has any, and the clients that have as many as they can.
        self.of_client: dict[str, int] = {}
        self.crowds: set[str | None] = set()

    @property
    def is_full(self) -> bool:
        """Whether no more can wait."""
        return self.count >= self._most

    def add(self, host: str | None) -> None:
        """Count a query of a client, given by its address."""
        self.count += 1
        if host is not None:
            count = self.of_client[host] = self.of_client.get(host, 0) + 1
            if count >= self._most_of_client:
                self.crowds.add(host)

    def remove(self, host: str | None) -> None:
        """Count a query that does not wait any more."""
        self.count -= 1
        if host is not None:
            self.crowds.discard(host)
            count = self.of_client.pop(host) - 1
            if count:
                self.of_client[host] = count


def check_verdict(given: object, guard: object, method: str, *, may_wait: bool = False) -> None:
    """See that what a guard gave is an outcome.

    Raises:
        TypeError: It is none, or one that is still to come.
    """
    if isinstance(given, Outcome) and (may_wait or not isinstance(given, Pending)):
        return
    shown = shorten(given)
    if isinstance(given, Coroutine):
        given.close()
    raise TypeError(
        f"{type(guard).__name__}.{method}() gives an outcome such as REFUSED, not {shown}"
    )
