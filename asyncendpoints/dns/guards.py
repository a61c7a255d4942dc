"""Guards: what stands between the clients and the resolvers, and may answer in their place.

There are two kinds. An `AddressGuard` judges a client by its address alone, and is asked once of each.
A `Guard` sees every query and every outcome.

The law: nothing here knows a socket.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Protocol

from asyncendpoints.dns.codes import EDE, EDECode, Rcode
from asyncendpoints.dns.networks import Networks
from asyncendpoints.dns.outcome import DROP, Failure, Outcome
from asyncendpoints.masking import shorten

if TYPE_CHECKING:
    from asyncendpoints.dns.query import Query

__all__ = ["REFUSED", "AddressGuard", "Allow", "Drop", "Guard", "Refuse", "check_guards"]

#: What a client gets that may not ask.
REFUSED: Final = Failure(Rcode.REFUSED, EDE(EDECode.PROHIBITED))


class Guard:
    """The base of guards that look at queries. As it is, it lets everything through.

    An exception that one raises is SERVFAIL to the client, and is logged at a limited rate.
    """

    def before(self, query: Query, /) -> Outcome | None:  # noqa: ARG002 - for subclasses
        """Give the outcome of a query that is not to reach the resolvers, or None."""
        return None

    def after(self, query: Query, outcome: Outcome, /) -> Outcome:  # noqa: ARG002 - for subclasses
        """Give the outcome that the client gets, given that of the resolvers."""
        return outcome


class AddressGuard(Protocol):
    """What judges clients by their addresses alone. The verdict on an address stays while the server runs."""

    def verdict(self, host: str | None, /) -> Outcome | None:
        """Give what every query of a client gets, or None if this guard lets it through.

        Args:
            host: Its IP address, or None for one without, such as the client of a unix socket.
        """


def check_guards(guards: Iterable[object]) -> None:
    """See that guards are guards, before a client comes.

    Raises:
        TypeError: One is none.
    """
    if not isinstance(guards, Iterable) or isinstance(guards, str):
        raise TypeError(f"guards is a list of guards, not {shorten(guards)}")
    for each in guards:
        if isinstance(each, type):
            raise TypeError(f"{each.__name__} is a class; did you mean {each.__name__}()?")
        if not (hasattr(each, "verdict") or (hasattr(each, "before") and hasattr(each, "after"))):
            raise TypeError(f"a guard is one such as Allow('10.0.0.0/8'), not {shorten(each)}")


class _AddressList:
    """The base of lists of networks. Clients without an address are let through: see the file's mode."""

    def __init__(self, *networks: str) -> None:
        self._networks = Networks(networks)

    def _contains(self, host: str) -> bool:
        return self._networks.contain(host)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._networks))})"


class Allow(_AddressList):
    """Lets through the clients of some networks, and no others.

    Args:
        networks: Such as ``"10.0.0.0/8"``, or addresses.
        otherwise: What the others get: ``REFUSED`` or ``DROP``.

    Raises:
        ValueError: One of ``networks`` is none, or there is none at all.
        TypeError: ``otherwise`` is no outcome.
    """

    def __init__(self, *networks: str, otherwise: Outcome = REFUSED) -> None:
        super().__init__(*networks)
        if not networks:
            raise ValueError("Allow() lets nobody through; name a network, as in '10.0.0.0/8'")
        if not isinstance(otherwise, Outcome):
            raise TypeError(f"otherwise is an outcome such as DROP, not {otherwise!r}")
        self._otherwise = otherwise

    def verdict(self, host: str | None, /) -> Outcome | None:
        return None if host is None or self._contains(host) else self._otherwise


class Refuse(_AddressList):
    """Tells the clients of some networks that they may not ask.

    Args:
        networks: Such as ``"10.0.0.0/8"``, or addresses.

    Raises:
        ValueError: One of ``networks`` is none.
    """

    def verdict(self, host: str | None, /) -> Outcome | None:
        return REFUSED if host is not None and self._contains(host) else None


class Drop(_AddressList):
    """Gives the clients of some networks no reply, and closes their connections.

    Args:
        networks: Such as ``"10.0.0.0/8"``, or addresses.

    Raises:
        ValueError: One of ``networks`` is none.
    """

    def verdict(self, host: str | None, /) -> Outcome | None:
        return DROP if host is not None and self._contains(host) else None
