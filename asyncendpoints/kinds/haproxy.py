"""The PROXY protocol: ``haproxy``, around another endpoint, to connect and to listen.

A client begins its connection with a header that says whose it is. A server takes such a header, from proxies
that it trusts, and tells its protocol about the client in place of the proxy. TLS comes after the header.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, replace
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from asyncendpoints.dns.networks import PRIVATE, Networks
from asyncendpoints.errors import HandshakeError, ListenError, ProxyHeaderError, SpecError
from asyncendpoints.fields import Help, NonEmpty, Number, Seconds, Word, Words, YesNo
from asyncendpoints.grammar import Inner, Name
from asyncendpoints.introduction import Introduction
from asyncendpoints.kinds.tls import TLSClient
from asyncendpoints.listeners import peer_address, tracked
from asyncendpoints.proxy_protocol import HeaderReader, ProxyHeader, encode_header
from asyncendpoints.specs import ClientSpec, ServerSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from asyncendpoints.addresses import Address
    from asyncendpoints.attempt import Attempt
    from asyncendpoints.listeners import Acceptor, Connection, Listener

__all__ = ["ProxyProtocolAcceptor", "ProxyProtocolClient", "ProxyProtocolServer"]

P = TypeVar("P", bound=asyncio.BaseProtocol)

#: Seconds that are left for what comes after the header, however late that was.
_LEAST_SECONDS = 0.001

_CLOSED = "closed the connection before its PROXY header was complete"


class NetworkText(Word):
    """A network or an address; an item of `Words`."""

    expected = "a network, as in 10.0.0.0/8, or an address"

    def check(self, value: str) -> None:
        super().check(value)
        _, slash, prefix = value.partition("/")
        if "%" in value or (slash and not (prefix.isascii() and prefix.isdigit())):
            raise ValueError
        try:
            ip_network(value)
        except ValueError as error:
            raise ValueError(f"but {error}") from None


class SocketAddressText(NonEmpty):
    """An IP address and a port, as in ``192.0.2.1:80`` and ``[2001:db8::1]:80``."""

    def __init__(self) -> None:
        super().__init__("an IP address and a port, as in 192.0.2.1:80 or [2001:db8::1]:80")

    def check(self, value: str) -> None:
        super().check(value)
        try:
            parse_address(value)
        except ValueError:
            raise ValueError from None  # its own text has a piece of the value only


def parse_address(text: str) -> tuple[str, int]:
    """Read an IP address and a port.

    Raises:
        ValueError: The text has another form.
    """
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    address = ip_address(host[1:-1] if bracketed else host)
    if bracketed != (address.version == 6) or "%" in host:
        raise ValueError
    number = Number(0, 65535)
    value = number.parse(port)
    number.check(value)
    return str(address), value


Trusted = Annotated[
    tuple[str, ...], Words(NetworkText(), "networks or addresses separated by commas")
]
SocketAddress = Annotated[str, SocketAddressText()]
Version = Annotated[int, Number(1, 2)]


@dataclass(frozen=True, slots=True, repr=False)
class ProxyProtocolClient(ClientSpec):
    """A connection that begins with a header of the PROXY protocol, before TLS if there is TLS.

    The addresses in it are those of the connection itself, unless others are given.
    """

    names = (Name("haproxy", "haproxy:tcp:example.org:80"),)

    endpoint: Annotated[
        ClientSpec, Inner("client", rest=True, stream=True), Help("what makes the connection")
    ]
    _: KW_ONLY
    version: Annotated[Version, Help("version of the header")] = 2
    source: Annotated[
        SocketAddress | None, Help("who is to be told as the client; as a rule this side")
    ] = None
    destination: Annotated[
        SocketAddress | None, Help("where that client is said to have connected; as a rule there")
    ] = None
    checksum: Annotated[YesNo, Help("add a checksum to the header")] = False

    def check(self) -> None:
        if self.checksum and self.version == 1:
            raise SpecError("checksum", "only version 2 of the header has a checksum")
        if self.source and self.destination and ("[" in self.source) != ("[" in self.destination):
            raise SpecError(
                "destination", "source and destination are to be of one family, IPv4 or IPv6"
            )
        if not self._carrier.is_plain():
            problem = (
                f"{self._carrier.names[0].text!r} makes no plain socket to send a header through"
            )
            raise SpecError("endpoint", problem)

    @property
    def _carrier(self) -> ClientSpec:
        """What makes the connection that the header is the beginning of."""
        return self.endpoint.carrier if isinstance(self.endpoint, TLSClient) else self.endpoint

    def is_plain(self) -> bool:
        return self.endpoint.is_plain()

    async def open(self, attempt: Attempt, factory: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        tls = self.endpoint
        if not isinstance(tls, TLSClient):
            return await ClientSpec.open(self, attempt, factory)
        below = replace(self, endpoint=self._carrier)
        over = replace(tls, endpoint=below, bind_address=None, bind_port=0, family="any")
        return await attempt.open(over, factory)

    async def addresses(self, attempt: Attempt) -> list[Address]:
        return await self.endpoint.addresses(attempt)

    async def open_socket(self, attempt: Attempt) -> socket.socket:
        sock = await self.endpoint.open_socket(attempt)
        attempt.stage = "proxy"
        try:
            await _send(sock, encode_header(self._header(sock)))
        except OSError as error:
            sock.close()
            problem = "the connection was lost before the PROXY header was sent"
            raise attempt.error(problem, errno=error.errno) from error
        except ProxyHeaderError as error:
            sock.close()
            raise attempt.error(f"no PROXY header can be made: {error.problem}") from error
        except BaseException:
            sock.close()
            raise
        return sock

    def _header(self, sock: socket.socket) -> ProxyHeader:
        source = parse_address(self.source) if self.source else sock.getsockname()
        destination = parse_address(self.destination) if self.destination else sock.getpeername()
        if self.version == 1 and not isinstance(source, tuple):
            return ProxyHeader(version=1)
        return ProxyHeader(
            version=self.version, source=source, destination=destination, checksum=self.checksum
        )


@dataclass(frozen=True, slots=True, repr=False)
class ProxyProtocolServer(ServerSpec):
    """A server whose connections begin with a header of the PROXY protocol, version 1 or 2.

    The header is read before anything else, TLS included. Without one, or from a peer that is not trusted, a
    connection is refused. Peers on a unix socket are trusted: its permissions say who they can be.
    """

    names = (Name("haproxy", "haproxy:tcp:8080"),)

    endpoint: Annotated[
        ServerSpec, Inner("server", rest=True, stream=True), Help("what is listened on")
    ]
    _: KW_ONLY
    trusted: Annotated[
        Trusted | None, Help("networks of the proxies; as a rule loopback and private ones")
    ] = None
    timeout: Annotated[Seconds, Help("limit for the header, in seconds")] = 5.0

    def beside(self, others: Sequence[ServerSpec]) -> ServerSpec:
        bare = [each.endpoint if isinstance(each, ProxyProtocolServer) else each for each in others]
        beside = self.endpoint.beside(bare)
        return self if beside is self.endpoint else replace(self, endpoint=beside)

    def bind(self) -> list[Listener]:
        with self._as_whole():
            return self.endpoint.bind()

    def acceptor(self) -> ProxyProtocolAcceptor:
        trusted = PRIVATE if self.trusted is None else Networks(self.trusted)
        with self._as_whole():
            inner = self.endpoint.acceptor()
        return ProxyProtocolAcceptor(trusted, self.timeout, inner)

    @contextmanager
    def _as_whole(self) -> Iterator[None]:
        """Have an error name this endpoint, as it was given, and not what it wraps."""
        try:
            yield
        except ListenError as error:
            error.endpoint = self
            raise

    def client(self, address: Address, acceptor: Acceptor) -> ClientSpec | None:
        assert isinstance(acceptor, ProxyProtocolAcceptor)
        inner = self.endpoint.client(address, acceptor.inner)
        return inner and ProxyProtocolClient(inner)


class ProxyProtocolAcceptor:
    """Takes the header, then leaves the connection to the acceptor of the inner endpoint.

    Args:
        trusted: The networks of the proxies.
        timeout: Seconds for the header, above 0.
        inner: What goes on after it.
    """

    tells_peer = True

    def __init__(self, trusted: Networks, timeout: float, inner: Acceptor) -> None:
        self._trusted = trusted
        self._timeout = timeout
        self.inner = inner

    async def accept(
        self, sock: socket.socket, factory: Callable[[], P], timeout: float
    ) -> tuple[asyncio.Transport, P]:
        loop = asyncio.get_running_loop()
        started = loop.time()
        connection = tracked(sock)
        try:
            header = await self._take_header(connection, min(self._timeout, timeout))
            if header.source is not None:
                connection.tell(_sockaddr(header.source), _sockaddr(header.destination))
        except BaseException:
            connection.close()
            raise
        introductions: list[Introduction[P]] = []

        def introduce() -> Introduction[P]:
            introductions.append(Introduction(factory, connection, header))
            return introductions[0]

        left = max(timeout - (loop.time() - started), _LEAST_SECONDS)
        await self.inner.accept(connection, introduce, left)
        (introduction,) = introductions
        assert (
            introduction.transport is not None
        )  # connection_made comes before the acceptor is done
        return introduction.transport, introduction.protocol

    async def _take_header(self, sock: Connection, timeout: float) -> ProxyHeader:
        """Read the header of a trusted peer, and not one byte more.

        Raises:
            HandshakeError: The peer is not trusted, or sent none in time.
        """
        peer = peer_address(sock)
        if peer.family != socket.AF_UNIX and not isinstance(peer.sockaddr, tuple):
            # Without an address it may have been anybody, and a reset leaves what it sent to be read.
            raise HandshakeError(peer, _CLOSED)
        if not self._is_trusted(peer):
            raise HandshakeError(peer, "is not trusted to send a PROXY header; see trusted=")
        try:
            async with asyncio.timeout(timeout) as limit:
                return await _receive(sock)
        except ProxyHeaderError as error:
            raise HandshakeError(peer, f"sent a wrong PROXY header: {error.problem}") from error
        except OSError as error:
            late = f"took more than {timeout:g} s for its PROXY header"
            raise HandshakeError(peer, late if limit.expired() else _CLOSED) from error

    def _is_trusted(self, peer: Address) -> bool:
        return not isinstance(peer.sockaddr, tuple) or self._trusted.contain(peer.sockaddr[0])

    def reload(self) -> None:
        self.inner.reload()


def _sockaddr(address: Any) -> Any:
    """Write an address of a header as the socket module gives it."""
    return (*address, 0, 0) if isinstance(address, tuple) and ":" in address[0] else address


async def _receive(sock: socket.socket) -> ProxyHeader:
    """Read a header; what follows stays in the socket."""
    reader = HeaderReader()
    while True:
        try:
            data = sock.recv(reader.wanted)
        except BlockingIOError:
            loop = asyncio.get_running_loop()
            await _wait(sock, loop.add_reader, loop.remove_reader)
            continue
        if not data:
            raise ConnectionResetError
        header = reader.feed(data)
        if header is not None:
            return header


async def _send(sock: socket.socket, data: bytes) -> None:
    """Send it all."""
    while data:
        try:
            data = data[sock.send(data) :]
        except BlockingIOError:
            loop = asyncio.get_running_loop()
            await _wait(sock, loop.add_writer, loop.remove_writer)


async def _wait(
    sock: socket.socket, watch: Callable[..., Any], unwatch: Callable[..., Any]
) -> None:
    """Wait until a socket is ready. It is watched no more when a cancel comes out, and can be closed."""
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    watch(sock, _wake, ready)
    try:
        await ready
    finally:
        unwatch(sock)


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
