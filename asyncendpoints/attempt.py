"""One connect under way: what a kind needs of it."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, TypeVar

from asyncendpoints import events
from asyncendpoints.addresses import Address
from asyncendpoints.errors import (
    AttemptFailure,
    ConnectError,
    ConnectRefusedError,
    ConnectTimeoutError,
    ResolveError,
)
from asyncendpoints.names import is_literal, literal, lookup
from asyncendpoints.race import Dial, interleave, race
from asyncendpoints.transports import adopt

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints.specs import ClientSpec

__all__ = ["Attempt"]

P = TypeVar("P", bound=asyncio.BaseProtocol)

_FAMILIES = {"any": socket.AF_UNSPEC, "ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}


class Attempt:
    """The state of one call of ``connect``, handed to the kinds that carry it out."""

    __slots__ = ("deadline", "emit", "endpoint", "failures", "stage")

    def __init__(
        self,
        endpoint: ClientSpec,
        deadline: float | None,
        on_event: Callable[[events.Event], None] | None,
    ) -> None:
        #: The outermost spec.
        self.endpoint = endpoint
        #: Loop time at which the connect gives up, or None.
        self.deadline = deadline
        #: ``"resolve"``, ``"connect"``, ``"proxy"`` or ``"tls"``: for the error if it fails.
        self.stage = "connect"
        #: The addresses that did not answer.
        self.failures: list[AttemptFailure] = []
        #: Hears of each step, or None.
        self.emit = on_event

    async def addresses(self, host: str, port: int, family: str = "any") -> list[Address]:
        """Give the addresses of a host in the order in which they are to be tried.

        Args:
            host: A name or an address literal.
            port: 1 to 65535.
            family: ``"any"``, ``"ipv4"`` or ``"ipv6"``.

        Raises:
            ResolveError: There are none.
        """
        wanted = _FAMILIES[family]
        self.stage = "resolve"
        if is_literal(host):
            found = self._literal(host, port)
            if wanted not in (socket.AF_UNSPEC, found.family):
                raise self.error(
                    f"{host} is no {family.replace('ip', 'IP')} address",
                    ResolveError,
                    errno=socket.EAI_ADDRFAMILY,
                )
            return [found]
        loop = asyncio.get_running_loop()
        if self.emit:
            self.emit(events.LookupStarted(loop.time(), host))
        try:
            ordered = interleave(await lookup(host, port, wanted))
        except socket.gaierror as error:
            if self.emit:
                self.emit(events.LookupFailed(loop.time(), host, error))
            problem = f"cannot look up {host!r}: {(error.strerror or str(error)).lower()}"
            raise self.error(problem, ResolveError, errno=error.errno) from error
        if self.emit:
            self.emit(events.LookupFinished(loop.time(), host, tuple(ordered)))
        return ordered

    def _literal(self, host: str, port: int) -> Address:
        try:
            found = literal(host, port)
        except OSError as error:
            zone = host.partition("%")[2]
            problem = f"this machine has no interface {zone!r}"
            raise self.error(problem, ResolveError, errno=socket.EAI_NONAME) from error
        assert found is not None
        return found

    async def race(
        self, addresses: list[Address], local: tuple[str | None, int] | None = None
    ) -> socket.socket:
        """Connect to the first address that answers.

        Args:
            addresses: In order of preference.
            local: The host, an address literal or None for any, and the port, 0 for any, to connect from.

        Raises:
            ConnectError: None answered.
        """
        self.stage = "connect"
        dial: Callable[[Address], Dial] = Dial
        if local is not None:
            addresses, dial = self._bound(addresses, *local)
        # Only what fails from here on is in the error of this race.
        start = len(self.failures)
        sock = await race(addresses, dial, self.failures, self.emit)
        if sock is None:
            raise self._all_failed(self.failures[start:])
        return sock

    def _bound(
        self, addresses: list[Address], host: str | None, port: int
    ) -> tuple[list[Address], Callable[[Address], Dial]]:
        """Leave out the addresses that cannot be reached from a local address."""

        def local_of(family: int) -> tuple[Any, ...]:
            if source is not None:
                return tuple(source.sockaddr)
            return ("", port) if family == socket.AF_INET else ("::", port, 0, 0)

        source = None if host is None else self._literal(host, port)
        fitting = [each for each in addresses if source is None or each.family == source.family]
        if not fitting:
            raise self.error(f"no address of the host can be reached from {host}")
        return fitting, lambda address: Dial(address, local_of(address.family))

    def _all_failed(self, failures: list[AttemptFailure]) -> ConnectError:
        errors = [each.error for each in failures]
        codes = {error.errno for error in errors}
        cause: BaseException
        if len(failures) == 1:
            problem = f"cannot connect to {failures[0]}"
            cause = errors[0]
        else:
            listed = "; ".join(str(each) for each in failures)
            problem = f"all {len(failures)} attempts to connect failed: {listed}"
            cause = ExceptionGroup("attempts to connect", errors)
        cls = ConnectError
        if all(isinstance(error, ConnectionRefusedError) for error in errors):
            cls = ConnectRefusedError
        elif all(isinstance(error, TimeoutError) for error in errors):
            cls = ConnectTimeoutError
        made = self.error(problem, cls, errno=codes.pop() if len(codes) == 1 else None)
        made.__cause__ = cause
        return made

    async def adopt(
        self, sock: socket.socket, factory: Callable[[], P]
    ) -> tuple[asyncio.Transport, P]:
        """Make the protocol and give it a transport over a connected socket."""
        return await adopt(sock, factory)

    async def open(self, nested: ClientSpec, factory: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        """Connect to an endpoint inside this one."""
        return await nested.open(self, factory)

    def error(
        self, problem: str, cls: type[ConnectError] = ConnectError, errno: int | None = None
    ) -> ConnectError:
        """Make the error of this connect, at the stage where it is."""
        return cls(self.endpoint, self.stage, problem, self.failures, errno)
