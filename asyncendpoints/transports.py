"""Connected sockets to asyncio transports, on the client and on the server.

The law: whatever fails, a cancel included, the socket is closed before the exception comes out.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Awaitable, Callable

__all__ = ["Handover", "adopt", "secure"]

P = TypeVar("P", bound=asyncio.BaseProtocol)

#: Longer than any connect: the time limit of a client's handshake is that of its connect.
NO_LIMIT = 86400.0


async def adopt(sock: socket.socket, factory: Callable[[], P]) -> tuple[asyncio.Transport, P]:
    """Make the protocol and give it a transport over a connected socket."""
    try:
        protocol = factory()
    except BaseException:
        sock.close()
        raise
    loop = asyncio.get_running_loop()
    return await finish(sock, loop.create_connection(lambda: protocol, sock=sock))


async def secure(
    sock: socket.socket,
    factory: Callable[[], P],
    context: ssl.SSLContext,
    hostname: str,
    check: Callable[[ssl.SSLObject], None] | None = None,
) -> tuple[asyncio.Transport, P]:
    """Shake hands as a TLS client, then make the protocol.

    Args:
        sock: A connected socket.
        factory: Called once, after the handshake and ``check``.
        context: What to offer and to demand.
        hostname: For SNI and verification, in A-labels.
        check: Raises if the peer is not the one that is wanted.
    """
    loop = asyncio.get_running_loop()
    handover = Handover(factory, check)
    transport, _ = await finish(
        sock,
        loop.create_connection(
            lambda: handover,
            sock=sock,
            ssl=context,
            server_hostname=hostname,
            ssl_handshake_timeout=NO_LIMIT,
        ),
    )
    try:
        return transport, handover.take()
    except BaseException:
        await release(sock)
        raise


T = TypeVar("T")


async def finish(sock: socket.socket, opening: Awaitable[T]) -> T:
    """Wait for a transport, and for the end of its socket if there is none in the end."""
    try:
        return await opening
    except BaseException:
        await release(sock)
        raise


async def release(sock: socket.socket) -> None:
    """Wait until a transport that was told to close has closed its socket.

    That takes a turn or two of the loop, and no event of the network; a cancel meanwhile is put off.
    """
    for _ in range(20):
        if sock.fileno() == -1:
            return
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            continue
    sock.close()


class Handover(asyncio.Protocol, Generic[P]):
    """The protocol of a handshake: it makes the real one when it is over, and leaves it the transport."""

    def __init__(
        self, factory: Callable[[], P], check: Callable[[ssl.SSLObject], None] | None = None
    ) -> None:
        self._factory = factory
        self._check = check
        self._protocol: P | None = None
        self._error: BaseException | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        try:
            if self._check is not None:
                self._check(transport.get_extra_info("ssl_object"))
            self._protocol = self._factory()
        except BaseException as error:  # noqa: BLE001 - raised again by take
            self._error = error
            transport.abort()
            return
        transport.set_protocol(self._protocol)
        self._protocol.connection_made(transport)

    def take(self) -> P:
        """Give the protocol, or raise what making it raised."""
        if self._error is not None:
            raise self._error
        assert self._protocol is not None  # connection_made comes first
        return self._protocol
