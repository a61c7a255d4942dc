"""Datagrams: ``connect_datagram`` and ``listen_datagram``.

The law: on the data path there is nothing, the transports are the loop's own. Whatever fails, a cancel
included, every socket is closed before the exception comes out.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast

from asyncendpoints.addresses import Address
from asyncendpoints.attempt import Attempt
from asyncendpoints.bound import BoundServer
from asyncendpoints.connecting import UNSET, carry_out, client_spec, protocol_maker
from asyncendpoints.listeners import ReportingSocket
from asyncendpoints.listening import Starting, server_specs
from asyncendpoints.transports import make_protocol, release

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Sequence

    from asyncendpoints.dns.resolver import Resolver
    from asyncendpoints.events import Event
    from asyncendpoints.listeners import Acceptor
    from asyncendpoints.specs import ClientSpec, ServerSpec

__all__ = [
    "BoundDatagram",
    "DatagramListening",
    "DatagramServer",
    "connect_datagram",
    "listen_datagram",
]

P = TypeVar("P", bound=asyncio.DatagramProtocol)

#: Seconds that transports are given to send what they hold before they are aborted.
_CLOSE_SECONDS = 1.0


async def connect_datagram(
    endpoint: str | ClientSpec,
    protocol_factory: Callable[[], P] | P,
    *,
    timeout: float | None = UNSET,
    resolver: Resolver | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> tuple[asyncio.DatagramTransport, P]:
    """Open a datagram endpoint whose datagrams go to one peer and come from it.

    Nothing is sent: whether anybody is there shows when a datagram is answered, or when the protocol's
    ``error_received`` hears that nobody is.

    Args:
        endpoint: A description such as ``udp:example.org:53``, or a spec.
        protocol_factory: Called once, when the socket is connected; what it raises comes out unchanged. Or a
            protocol, used once.
        timeout: Seconds for the lookup of the host, None for no limit. As a rule what the endpoint says,
            which is 30 unless its text gives another.
        resolver: The DNS resolver that finds the addresses of host names, in place of that of `use_resolver`
            or of the system.
        on_event: Called with a frozen value of `asyncendpoints.events` at each step.

    Returns:
        The transport and the protocol, as ``loop.create_datagram_endpoint`` does.

    Raises:
        DescriptionError: The text is no description of a client.
        ConnectError: The host was not found, or the system has no route to any of its addresses; or the
            endpoint has no datagrams. With it, or with a cancel, every descriptor that was opened is closed.
    """
    spec = client_spec(endpoint)
    factory = protocol_maker(protocol_factory)
    attempt = Attempt(spec, on_event=on_event, resolver=resolver)
    return await carry_out(attempt, partial(_open, spec, attempt, factory), timeout)


async def _open(
    spec: ClientSpec, attempt: Attempt, factory: Callable[[], P]
) -> tuple[asyncio.DatagramTransport, P]:
    sock = await spec.open_datagram_socket(attempt)
    try:
        protocol = make_protocol(factory)
    except BaseException:
        sock.close()
        raise
    return await _adopt(sock, protocol), protocol


async def _adopt(sock: socket.socket, protocol: asyncio.DatagramProtocol) -> Any:
    """Give a protocol a transport over a datagram socket, which is closed if this fails."""
    starter = _Starter(protocol)
    try:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: starter, sock=sock
        )
    except BaseException:
        starter.abort()
        await release(sock)
        raise
    return transport


class _Starter(asyncio.DatagramProtocol):
    """Hands its transport over to the real protocol, and can end it.

    When ``create_datagram_endpoint`` is cancelled, uvloop leaves the transport behind. A loop makes this call
    before it resumes who waits for the transport, so that a cancel finds it here.
    """

    def __init__(self, protocol: asyncio.DatagramProtocol) -> None:
        self._protocol = protocol
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        transport.set_protocol(self._protocol)
        self._protocol.connection_made(self._transport)

    def abort(self) -> None:
        """Abort the transport, if there is one."""
        if self._transport is not None:
            self._transport.abort()


@dataclass(frozen=True, slots=True, eq=False)
class BoundDatagram:
    """One socket of a server."""

    spec: ServerSpec
    acceptor: Acceptor
    socket: ReportingSocket
    address: Address


class DatagramServer(BoundServer, Generic[P]):
    """The sockets that `asyncendpoints.listen_datagram` bound, each with a protocol of its own.

    Leaving ``async with`` closes it and waits for the end; on an exception, what is not sent yet is lost.
    """

    _does = "receives on"

    def __init__(
        self, bound: Sequence[BoundDatagram], opened: Sequence[tuple[asyncio.DatagramTransport, P]]
    ) -> None:
        super().__init__((each.spec, each.acceptor, each.address) for each in bound)
        self._transports = tuple(transport for transport, _ in opened)
        self._protocols = tuple(protocol for _, protocol in opened)
        self._closed = False
        #: Set when the last transport has ended.
        self._ended: asyncio.Future[None] = self._loop.create_future()
        # A protocol can have closed its transport by now.
        self._sockets = [each.socket for each in bound if each.socket.fileno() != -1]
        for sock in self._sockets:
            sock.on_end = self._forget
        self._settle()

    def _forget(self, sock: ReportingSocket) -> None:
        self._sockets.remove(sock)
        self._settle()

    def _settle(self) -> None:
        if not (self._sockets or self._ended.done() or self._loop.is_closed()):
            self._ended.set_result(None)

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The bound sockets; none once the server is closed."""
        return () if self._closed else tuple(self._sockets)

    @property
    def transports(self) -> tuple[asyncio.DatagramTransport, ...]:
        """The transport of each socket, in the order of `addresses`."""
        return self._transports

    @property
    def protocols(self) -> tuple[P, ...]:
        """The protocol of each socket, in the order of `addresses`."""
        return self._protocols

    def is_serving(self) -> bool:
        """Tell whether datagrams are received: not after `close`, nor when every transport has ended."""
        return bool(self._sockets) and not self._closed

    def __repr__(self) -> str:
        state = "serving" if self.is_serving() else "closed"
        where = ", ".join(str(each) for each in self._addresses)
        return f"<{type(self).__name__} {where} {state}>"

    def close(self) -> None:
        """Close every transport, after what it holds has been sent."""
        self._closed = True
        for transport in self._transports:
            transport.close()

    def abort(self) -> None:
        """Close every transport at once; what it holds is lost."""
        self._closed = True
        for transport in self._transports:
            transport.abort()

    async def wait_closed(self) -> None:
        """Wait until every transport has ended."""
        await self._wait(None)

    async def _wait(self, timeout: float | None) -> None:
        await asyncio.wait([self._ended], timeout=timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()
        try:
            if exc[0] is None:
                await self._wait(_CLOSE_SECONDS)
        finally:
            self.abort()
            await self._wait(_CLOSE_SECONDS)


class DatagramListening(Starting[DatagramServer[P]]):
    """What `listen_datagram` gives."""

    def __init__(
        self,
        endpoints: str | ServerSpec | Iterable[str | ServerSpec],
        factory: Callable[[], P],
    ) -> None:
        self._specs = server_specs(endpoints)
        self._factory = factory
        super().__init__()

    def __repr__(self) -> str:
        where = ", ".join(spec.display() for spec in self._specs)
        return f"<{type(self).__name__} {where}>"

    async def _start(self) -> DatagramServer[P]:
        bound = _bind_all(self._specs)
        transports: list[asyncio.DatagramTransport] = []
        try:
            protocols = [make_protocol(self._factory) for _ in bound]
            for each, protocol in zip(bound, protocols, strict=True):
                transports.append(await _adopt(each.socket, protocol))
            return DatagramServer(bound, list(zip(transports, protocols, strict=True)))
        except BaseException:
            await _undo(bound, transports)
            raise


async def _undo(bound: list[BoundDatagram], transports: list[asyncio.DatagramTransport]) -> None:
    """End the transports that there are, and close the sockets that have none."""
    for transport in transports:
        transport.abort()
    for each in bound[len(transports) :]:
        each.socket.close()
    for each in bound[: len(transports)]:
        await release(each.socket)


def listen_datagram(
    endpoints: str | ServerSpec | Iterable[str | ServerSpec], factory: Callable[[], P]
) -> DatagramListening[P]:
    """Receive datagrams on one endpoint or several: all of them, or none.

    The result is awaited, or entered with ``async with``, which ends the server with its block.

    Args:
        endpoints: A description such as ``udp:5353``, or a spec, or several of them.
        factory: Makes a protocol for each socket. An endpoint can have more than one: ``udp:5353`` has one
            for IPv4 and one for IPv6.

    Raises:
        DescriptionError: A text is no description of a server.
        ListenError: An endpoint cannot be bound, or has no datagrams; when the result is awaited or entered.
    """
    return DatagramListening(endpoints, factory)


def _bind_all(specs: list[ServerSpec]) -> list[BoundDatagram]:
    """Load and bind several endpoints, all or none."""
    bound: list[BoundDatagram] = []
    try:
        for spec in specs:
            chosen = spec.beside([each for each in specs if each is not spec])
            acceptor = spec.acceptor()
            sockets = map(_reporting, chosen.bind_datagram())
            bound += [BoundDatagram(spec, acceptor, sock, Address.of(sock)) for sock in sockets]
    except BaseException:
        for each in bound:
            each.socket.close()
        raise
    return bound


def _reporting(sock: socket.socket) -> ReportingSocket:
    """Make a socket one that reports its end."""
    if isinstance(sock, ReportingSocket):
        return sock
    family, kind, proto = sock.family, sock.type, sock.proto
    return ReportingSocket(family, kind, proto, fileno=sock.detach())
