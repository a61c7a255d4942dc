"""One connect under way: what a kind needs of it."""

from __future__ import annotations

import asyncio
import errno as errors
import socket
from typing import TYPE_CHECKING, Any, TypeVar

from asyncendpoints import events
from asyncendpoints.errors import (
    AttemptFailure,
    ConnectError,
    ConnectRefusedError,
    ConnectTimeoutError,
    DNSError,
    ResolveError,
)
from asyncendpoints.listeners import tracked
from asyncendpoints.names import is_literal, literal, lookup
from asyncendpoints.race import Dial, interleave, race
from asyncendpoints.resolving import (
    Candidates,
    check_resolver,
    default_resolver,
    families_of,
    late_of,
    look_up,
    problems_of,
)
from asyncendpoints.transports import adopt

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from asyncendpoints.addresses import Address
    from asyncendpoints.dns.resolver import Resolver
    from asyncendpoints.listeners import Connection
    from asyncendpoints.specs import ClientSpec

    #: Gives the addresses of a name for a port and a family, in order of preference; OSError if it cannot.
    Lookup = Callable[[str, int, int], Awaitable[Sequence[Address]]]

__all__ = ["Attempt", "all_of"]

P = TypeVar("P", bound=asyncio.BaseProtocol)

_FAMILIES = {"any": socket.AF_UNSPEC, "ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}


class Attempt:
    """The state of one call of ``connect``, handed to the kinds that carry it out.

    Args:
        endpoint: The outermost spec.
        deadline: Loop time at which the connect gives up, or None. The attempt only carries it.
        on_event: Hears of each step. What it raises goes to the exception handler of the loop.
        lookup: Finds the addresses of host names.
        resolver: The DNS resolver that does it in its place, or None for that of the context, if it has one.
        follow: Keep the socket of the connection in ``socket``.
        draw: Gives a number from 0 to another one, both included: the choice among equal targets.
    """

    __slots__ = (
        "_follow",
        "_lookup",
        "_racing",
        "deadline",
        "draw",
        "emit",
        "endpoint",
        "failures",
        "resolver",
        "socket",
        "stage",
        "targets",
    )

    def __init__(
        self,
        endpoint: ClientSpec,
        deadline: float | None = None,
        on_event: Callable[[events.Event], None] | None = None,
        lookup: Lookup = lookup,
        resolver: Resolver | None = None,
        *,
        follow: bool = False,
        draw: Callable[[int], int] | None = None,
    ) -> None:
        if resolver is not None:
            check_resolver(resolver)
        #: The outermost spec.
        self.endpoint = endpoint
        #: Loop time at which the connect gives up, or None.
        self.deadline = deadline
        #: ``"resolve"``, ``"connect"``, ``"proxy"`` or ``"tls"``: for the error if it fails.
        self.stage = "connect"
        #: The addresses that did not answer.
        self.failures: list[AttemptFailure] = []
        #: What `race` was given.
        self._racing: Sequence[Address] = ()
        #: What has become of the targets of a service so far, each as text.
        self.targets: Sequence[str] = ()
        #: Hears of each step and never raises; None if nobody wants to know.
        self.emit = _guarded(on_event) if on_event else None
        self._lookup = lookup
        #: The DNS resolver that names are looked up with, or None for the system.
        self.resolver = default_resolver.get() if resolver is None else resolver
        self._follow = follow
        #: The source of chance: gives a number from 0 to another one, both included.
        self.draw = draw or _draw
        #: The socket that the connection rests on, which reports its end, if somebody wants to follow that.
        self.socket: Connection | None = None

    async def addresses(self, host: str, port: int, family: str = "any") -> Candidates:
        """Give the addresses of a host in the order in which they are to be tried, one or more.

        With a DNS resolver those of one family can be missing, and come while `race` tries the others.

        Args:
            host: A name or an address literal.
            port: 0 to 65535.
            family: ``"any"``, ``"ipv4"`` or ``"ipv6"``.

        Raises:
            ResolveError: There are none.
        """
        self.stage = "resolve"
        if is_literal(host):
            return Candidates([self._literal(host, port, family)])
        self._tell(events.LookupStarted, host)
        try:
            found = await self._found(host, port, _FAMILIES[family])
            ordered = Candidates(interleave(found), late_of(found), families_of(found))
            if not ordered:
                raise socket.gaierror(socket.EAI_NONAME, "the name has no address")
        except OSError as error:
            self._tell(events.LookupFailed, host, error)
            # A lookup that lacks descriptors, threads or memory fails with another number than EAI_.
            code = error.errno if isinstance(error, socket.gaierror) else socket.EAI_SYSTEM
            reason = (
                error.reason
                if isinstance(error, DNSError)
                else (error.strerror or str(error)).lower()
            )
            problem = f"cannot look up {host!r}: {reason}"
            raise self.error(problem, ResolveError, code) from error
        self._tell(events.LookupFinished, host, tuple(ordered))
        return ordered

    def _found(self, host: str, port: int, family: int) -> Awaitable[Sequence[Address]]:
        if self.resolver is None:
            return self._lookup(host, port, family)
        return look_up(self.resolver, host, port, family, self.deadline, self.emit)

    async def all_addresses(self, host: str, port: int, family: str = "any") -> list[Address]:
        """Give the addresses of a host as `addresses` does, but wait for all of them."""
        return await all_of(await self.addresses(host, port, family))

    def _tell(self, event: Callable[..., events.Event], *values: object) -> None:
        if self.emit:
            self.emit(event(asyncio.get_running_loop().time(), *values))

    def _literal(self, host: str, port: int, family: str) -> Address:
        try:
            found = literal(host, port)
        except OSError as error:
            zone = host.partition("%")[2]
            problem = f"this machine has no interface {zone!r}"
            raise self.error(problem, ResolveError, socket.EAI_NONAME) from error
        assert found is not None  # is_literal has said so
        if _FAMILIES[family] not in (socket.AF_UNSPEC, found.family):
            problem = f"{host} is no {family.replace('ip', 'IP')} address"
            raise self.error(problem, ResolveError, socket.EAI_ADDRFAMILY)
        return found

    async def race(
        self,
        addresses: Sequence[Address],
        local: tuple[str | None, int] = (None, 0),
        dialler: Callable[[Address, Any], Dial] = Dial,
    ) -> socket.socket:
        """Connect to the first address that answers.

        Args:
            addresses: In order of preference, one or more.
            local: The host, None for any, and the port, 0 for any, to connect from. Addresses that cannot be
                reached from there are left out.
            dialler: Begins to connect to an address from a local one, or None; as a rule by TCP.

        Raises:
            ConnectError: None answered.
        """
        sources: dict[int, tuple[Any, ...]] = {}
        if local != (None, 0):
            sources = await self._sources(*local)
            addresses = [each for each in await all_of(addresses) if each.family in sources]
        self.stage = "connect"
        self._racing = addresses
        if not addresses:
            problem = f"no address of the host can be reached from {local[0]}"
            raise self.error(problem, errno=errors.EADDRNOTAVAIL)
        # Only what fails from here on is in the error of this race.
        start = len(self.failures)
        winner = await race(
            addresses,
            lambda address: dialler(address, sources.get(address.family)),
            self.failures,
            self.emit,
            late_of(addresses),
        )
        if winner is None:
            raise self.all_failed(self.failures[start:], problems_of(addresses))
        return winner.socket

    async def _sources(self, host: str | None, port: int) -> dict[int, tuple[Any, ...]]:
        """Give the address to connect from for each family that has one."""
        if host is None:
            return {socket.AF_INET: ("0.0.0.0", port), socket.AF_INET6: ("::", port, 0, 0)}  # noqa: S104
        found = await self.all_addresses(host, port)
        return {each.family: each.sockaddr for each in reversed(found)}

    def all_failed(
        self, failures: list[AttemptFailure], problems: Sequence[DNSError] = ()
    ) -> ConnectError:
        """Make the error of several addresses, one or more, none of which answered.

        Args:
            failures: What became of each.
            problems: Why there may be more addresses.
        """
        causes: list[OSError] = [*(each.error for each in failures), *problems]
        codes = {error.errno for error in causes}
        listed = "; ".join(map(str, (*failures, *problems)))
        problem = f"cannot connect to {listed}"
        if len(failures) > 1:
            problem = f"all {len(failures)} attempts to connect failed: {listed}"
        cause: BaseException = causes[0]
        if len(causes) > 1:
            cause = ExceptionGroup("attempts to connect", causes)
        cls = ConnectError
        if all(isinstance(error, ConnectionRefusedError) for error in causes):
            cls = ConnectRefusedError
        elif all(isinstance(error, TimeoutError) for error in causes):
            cls = ConnectTimeoutError
        made = self.error(problem, cls, codes.pop() if len(codes) == 1 else None)
        made.__cause__ = cause
        return made

    async def adopt(
        self, sock: socket.socket, factory: Callable[[], P]
    ) -> tuple[asyncio.Transport, P]:
        """Make the protocol and give it a transport over a connected socket."""
        return await adopt(self.followed(sock), factory)

    def followed(self, sock: socket.socket) -> socket.socket:
        """Give the socket that a transport is to be made of in place of one that is connected.

        A kind that makes its transport without `adopt` calls this before, so that a `ClientService` knows
        when the connection has ended.
        """
        if not self._follow:
            return sock
        self.socket = tracked(sock)
        self.socket.setblocking(False)
        return self.socket

    async def open(
        self, nested: ClientSpec, factory: Callable[[], P]
    ) -> tuple[asyncio.Transport, P]:
        """Connect to an endpoint inside this one."""
        return await nested.open(self, factory)

    def timed_out(self, seconds: float) -> ConnectTimeoutError:
        """Make the error of a connect whose time has run out, after so many seconds."""
        problem = f"timed out after {seconds:g} s ({self.stage})"
        shown = self.targets
        if not shown and self.stage == "connect":
            shown = [str(each) for each in (*self.failures, *problems_of(self._racing))]
        if shown:
            problem += f": {'; '.join(shown)}"
        made = self.error(problem, ConnectTimeoutError, errors.ETIMEDOUT)
        assert isinstance(made, ConnectTimeoutError)
        return made

    def error(
        self, problem: str, cls: type[ConnectError] = ConnectError, errno: int | None = None
    ) -> ConnectError:
        """Make the error of this connect, at the stage where it is."""
        return cls(self.endpoint, self.stage, problem, self.failures, errno)


async def all_of(addresses: Sequence[Address]) -> list[Address]:
    """Wait for the addresses that are still to come."""
    late = late_of(addresses)
    return interleave(addresses if late is None else [*addresses, *await late])


def _draw(most: int) -> int:
    import random  # slow to import, and hardly ever needed

    return random.randrange(most + 1)  # noqa: S311 - no secret


def _guarded(on_event: Callable[[events.Event], None]) -> Callable[[events.Event], None]:
    """Make a hook that cannot harm the connect that it watches."""

    def emit(event: events.Event) -> None:
        try:
            on_event(event)
        except Exception as error:  # noqa: BLE001 - whatever a hook does wrong
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"on_event raised at {type(event).__name__}", "exception": error}
            )

    return emit
