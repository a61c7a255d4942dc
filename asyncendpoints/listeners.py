"""Listening sockets, the connections that they accept, and what turns those into transports."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from asyncendpoints.addresses import Address
from asyncendpoints.transports import adopt

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = [
    "Acceptor",
    "Connection",
    "CrowdedError",
    "Listener",
    "ListeningSocket",
    "PlainAcceptor",
    "ReportingSocket",
    "peer_address",
    "tracked",
]

P = TypeVar("P", bound=asyncio.BaseProtocol)


class _Remembering(socket.socket):
    """A socket that remembers its family and type.

    The socket module makes enumerations of their numbers at each look, and a connection costs some five of
    them: a twentieth of the time that it takes to accept one.
    """

    @cached_property
    def family(self) -> socket.AddressFamily:
        return super().family

    @cached_property
    def type(self) -> socket.SocketKind:
        return super().type


class ReportingSocket(_Remembering):
    """A socket that reports its end.

    This is how a server knows what is left of it: whatever transport the socket ends up in, asyncio's or
    another loop's, closes it, and nothing has to stand between the transport and its protocol.
    """

    #: Called once with the socket, when it is closed or given away.
    on_end: Callable[[Any], None] | None = None
    #: The transport, once there is one, as long as it lives.
    transport: asyncio.BaseTransport | None = None

    def close(self) -> None:
        super().close()
        if self.fileno() == -1:  # a loop that holds on to the socket puts the end off
            self._end()

    def detach(self) -> int:
        descriptor = super().detach()
        self._end()
        return descriptor

    def _end(self) -> None:
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            self.transport = None
            on_end(self)


class Connection(ReportingSocket):
    """An accepted socket, whose end its server counts."""

    #: What the server counts this connection under, or nothing.
    peer: str = ""
    #: Whether the protocol is made: the transport is then a turn of the loop away.
    has_protocol: bool = False
    #: Whether its transport is that of the bytes of the socket: no TLS between.
    is_plain: bool = True
    #: What is to be done to the transport when it comes: the server has ended its connections meanwhile.
    ending: Callable[[asyncio.BaseTransport], None] | None = None
    #: Hears who the client is when a proxy has told it; `CrowdedError` if there is no room for it.
    on_told: Callable[[Connection, Any], None] | None = None
    #: The addresses of the client and of what it connected to, where a proxy has told them.
    _told: tuple[Any, Any] | None = None

    def tell(self, peername: Any, sockname: Any) -> None:
        """Give these addresses from here on in place of the socket's own, which are those of a proxy.

        Raises:
            CrowdedError: The server has enough connections of this client, and has reset this one.
        """
        self._told = peername, sockname
        if self.on_told is not None:
            self.on_told(self, peername)

    def getpeername(self) -> Any:
        return super().getpeername() if self._told is None else self._told[0]

    def getsockname(self) -> Any:
        return super().getsockname() if self._told is None else self._told[1]


class CrowdedError(Exception):
    """The client that a proxy told has as many connections as it may have."""


class Listener(Protocol):
    """A listening socket, or what behaves like one: readable when a connection waits.

    One that gives a last connection has ``is_spent``, a bool: a server whose listeners all say so closes when
    their last connection has ended.
    """

    @property
    def family(self) -> int:
        """An address family, such as ``socket.AF_INET``."""

    def fileno(self) -> int:
        """Give the descriptor that is readable while a connection waits."""

    def accept(self) -> tuple[socket.socket, Any]:
        """Give the next connection and the address of its peer; BlockingIOError if there is none."""

    def getsockname(self) -> Any:
        """Give the address that is listened on."""

    def close(self) -> None:
        """Stop listening, and remove what the endpoint left in the file system."""


class ListeningSocket(_Remembering):
    """A listening socket whose connections report their end.

    It can be passed to a new process of `multiprocessing`, as every socket can.
    """

    def accept(self) -> tuple[Connection, Any]:
        descriptor, address = self._accept()  # type: ignore[attr-defined]  # as socket.accept does
        connection = Connection(self.family, self.type, self.proto, fileno=descriptor)
        connection.family, connection.type = self.family, self.type
        return connection, address

    def __reduce__(self) -> tuple[Any, ...]:
        from multiprocessing.reduction import DupFd  # takes long to import, and few need it

        return _rebuild, (self.family, self.type, self.proto, DupFd(self.fileno()))


def _rebuild(family: int, kind: int, proto: int, duplicate: Any) -> ListeningSocket:
    """Make a listening socket of what another process passed; what that one made files for, it removes."""
    return ListeningSocket(family, kind, proto, fileno=duplicate.detach())


def tracked(sock: socket.socket) -> Connection:
    """Make an accepted socket one that reports its end."""
    if isinstance(sock, Connection):
        return sock
    family, kind, proto = sock.family, sock.type, sock.proto
    return Connection(family, kind, proto, fileno=sock.detach())


def peer_address(sock: socket.socket) -> Address:
    """Give the address of a client, which may have gone meanwhile."""
    peer: Any = ""
    with suppress(OSError):
        peer = sock.getpeername()
    return Address(sock.family, peer)


class Acceptor(Protocol):
    """What turns accepted sockets into transports; made once for each listen.

    One that learns who the client is only from a proxy has ``tells_peer``, a true value, and calls
    `Connection.tell`: the limit of connections per peer is then that of the client.
    """

    def accept(
        self, sock: socket.socket, factory: Callable[[], P], timeout: float
    ) -> Awaitable[tuple[asyncio.Transport, P]]:
        """Do what comes before the protocol, such as TLS, then make it and its transport.

        Args:
            sock: The accepted socket; closed if this raises.
            factory: Makes the protocol. What it raises comes out unchanged.
            timeout: Seconds that everything before the protocol may take.

        Raises:
            HandshakeError: The peer did not do its part.
        """

    def reload(self) -> None:
        """Read keys and certificates again, and keep the old ones if the new ones are bad.

        Raises:
            EndpointError: The new ones are bad.
        """


class PlainAcceptor:
    """For connections that begin with the first byte of the application."""

    def accept(
        self,
        sock: socket.socket,
        factory: Callable[[], P],
        timeout: float,  # noqa: ARG002 - nothing is waited for
    ) -> Awaitable[tuple[asyncio.Transport, P]]:
        return adopt(sock, factory)

    def reload(self) -> None:
        """There is nothing to read."""
