"""Connected sockets to asyncio transports, on the client and on the server.

The law: whatever fails, a cancel included, the socket is closed before the exception comes out.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from socket import SHUT_RDWR
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Awaitable, Callable

__all__ = [
    "BrokenHandshakeError",
    "Handover",
    "Waiting",
    "abort",
    "adopt",
    "make_protocol",
    "release",
    "secure",
    "secure_accepted",
    "secure_over",
]

P = TypeVar("P", bound=asyncio.BaseProtocol)

#: Longer than any connect: the time limit of a client's handshake is that of its connect.
NO_LIMIT = 86400.0


async def adopt(sock: socket.socket, factory: Callable[[], P]) -> tuple[asyncio.Transport, P]:
    """Make the protocol and give it a transport over a connected socket."""
    try:
        protocol = make_protocol(factory)
    except BaseException:
        sock.close()
        raise
    loop = asyncio.get_running_loop()
    try:
        # For connected sockets too: with create_connection uvloop loses one whose protocol closes at once.
        return await loop.connect_accepted_socket(lambda: protocol, sock)
    except BaseException:
        await release(sock)
        raise


def make_protocol(factory: Callable[[], P]) -> P:
    """Call a factory, which may only give a protocol."""
    protocol = factory()
    if not callable(getattr(protocol, "connection_made", None)):
        # A transport that finds that out itself stays known to the loop, under a descriptor that ends.
        msg = f"the protocol factory gave {protocol!r}, which is no protocol"
        raise TypeError(msg)
    return protocol


class BrokenHandshakeError(Exception):
    """A TLS handshake that failed.

    Attributes:
        error: Why.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        self.error = error


async def secure(
    sock: socket.socket, handover: Handover[P], context: ssl.SSLContext, hostname: str
) -> tuple[asyncio.Transport, P]:
    """Shake hands as a TLS client, then make the protocol.

    Args:
        sock: A connected socket.
        handover: Makes the protocol.
        context: What to offer and to demand.
        hostname: For SNI and verification, in A-labels.

    Raises:
        BrokenHandshakeError: The handshake failed. Whatever ``handover`` raises comes out unchanged.
    """
    loop = asyncio.get_running_loop()
    opening = loop.create_connection(
        lambda: handover,
        sock=sock,
        ssl=context,
        server_hostname=hostname,
        ssl_handshake_timeout=NO_LIMIT,
    )
    return await _shake(opening, handover, partial(release, sock))


async def secure_accepted(
    sock: socket.socket, handover: Handover[P], context: ssl.SSLContext, timeout: float
) -> tuple[asyncio.Transport, P]:
    """Shake hands as a TLS server, then make the protocol.

    Args:
        sock: An accepted socket.
        handover: Makes the protocol.
        context: What to offer and to demand.
        timeout: Seconds that the handshake may take.

    Raises:
        BrokenHandshakeError: As `secure` does.
    """
    loop = asyncio.get_running_loop()
    opening = loop.connect_accepted_socket(
        lambda: handover, sock, ssl=context, ssl_handshake_timeout=timeout
    )
    return await _shake(opening, handover, partial(release, sock))


async def secure_over(
    transport: asyncio.Transport, handover: Handover[P], context: ssl.SSLContext, hostname: str
) -> tuple[asyncio.Transport, P]:
    """Shake hands as a TLS client over a transport, such as that of another TLS connection.

    Args:
        transport: Its protocol is a `Waiting`.
        handover: Makes the protocol.
        context: What to offer and to demand.
        hostname: For SNI and verification, in A-labels.

    Raises:
        BrokenHandshakeError: As `secure` does.
        TypeError: The loop cannot do TLS over a transport of this class.
    """
    opening = _upgrade(transport, handover, context, hostname)
    return await _shake(opening, handover, partial(abort, transport))


async def _upgrade(
    transport: asyncio.Transport, handover: Handover[P], context: ssl.SSLContext, hostname: str
) -> None:
    """Shake hands over a transport and give the result to the handover."""
    try:
        secured = await asyncio.get_running_loop().start_tls(
            transport, handover, context, server_hostname=hostname, ssl_handshake_timeout=NO_LIMIT
        )
    except TypeError as error:
        # Before 3.11.8 and 3.12.2 this hides why TLS over TLS failed:
        # https://github.com/python/cpython/issues/113214
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise
    if secured is None:
        # Lost in the very turn in which the handshake ended.
        raise ConnectionResetError
    handover.begin(secured)
    # A cancel that came from the factory comes out here, while the transport can be closed.
    await asyncio.sleep(0)


async def _shake(
    opening: Awaitable[object], handover: Handover[P], close: Callable[[], Awaitable[None]]
) -> tuple[asyncio.Transport, P]:
    """Wait for the handshake and what follows it; if that fails, for ``close`` too."""
    try:
        await opening
        return handover.take()
    except BaseException as error:
        handover.abort()
        await close()
        if isinstance(error, OSError) and error is not handover.error:
            raise BrokenHandshakeError(error) from error
        raise


async def release(sock: socket.socket) -> None:
    """Wait until a transport that was told to close has closed its socket.

    That takes a turn or two of the loop, and no event of the network; a cancel meanwhile is put off.
    """

    def is_closed() -> bool:
        return sock.fileno() == -1

    try:
        await _turn_until(is_closed)
        if not is_closed():
            # The protocol has written more than the peer takes: a broken connection ends the waiting for it.
            with suppress(OSError):
                sock.shutdown(SHUT_RDWR)
            await _turn_until(is_closed)
    finally:
        sock.close()


async def abort(transport: asyncio.Transport) -> None:
    """Abort a transport; not every loop shows the end of its socket, so that it gets all the turns."""
    transport.abort()
    await _turn_until(lambda: False)


async def _turn_until(condition: Callable[[], bool]) -> None:
    """Give the loop up to 20 turns for something that needs a few; a cancel meanwhile is put off."""
    cancelled = None
    for _ in range(20):
        if condition():
            break
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


class Waiting(asyncio.Protocol):
    """The protocol of a transport that TLS will take over: nothing is read before that."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).pause_reading()


class Handover(asyncio.Protocol, Generic[P]):
    """The protocol of a handshake: it makes the real one when it is over, and leaves it the transport.

    Args:
        factory: Called once, after the handshake and ``check``.
        check: Raises if the peer is not the one that is wanted.
    """

    def __init__(
        self, factory: Callable[[], P], check: Callable[[ssl.SSLObject], None] | None = None
    ) -> None:
        self._factory = factory
        self._check = check
        self._transport: asyncio.Transport | None = None
        self._protocol: P | None = None
        self._early: list[Callable[[Any], object]] = []
        #: What ``check`` or the factory raised.
        self.error: BaseException | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        try:
            if self._check is not None:
                self._check(transport.get_extra_info("ssl_object"))
            protocol = make_protocol(self._factory)
            transport.set_protocol(protocol)
            _tell(protocol, transport)
        except BaseException as error:  # noqa: BLE001 - raised again by take
            self.error = error
            transport.abort()  # type: ignore[attr-defined]  # it is a Transport
        else:
            self._protocol = protocol

    # After start_tls nobody calls connection_made, and the peer can be heard before `begin` does.

    def data_received(self, data: bytes) -> None:
        self._early.append(lambda protocol: _feed(protocol, data))

    def eof_received(self) -> None:
        self._early.append(lambda protocol: protocol.eof_received())

    def connection_lost(self, exc: Exception | None) -> None:
        self._early.append(lambda protocol: protocol.connection_lost(exc))

    def begin(self, transport: asyncio.Transport) -> None:
        """Take the place of the loop where it does not call ``connection_made``."""
        self.connection_made(transport)
        if self._protocol is not None:
            for call in self._early:
                call(self._protocol)

    def take(self) -> tuple[asyncio.Transport, P]:
        """Give the transport and the protocol, or raise what making it raised."""
        if self.error is not None:
            raise self.error
        assert self._transport is not None  # connection_made comes first
        assert self._protocol is not None
        return self._transport, self._protocol

    def abort(self) -> None:
        """Close the transport at once, if it has come to one."""
        if self._transport is not None:
            self._transport.abort()


def _tell(protocol: asyncio.BaseProtocol, transport: asyncio.BaseTransport) -> None:
    """Call ``connection_made``; as without TLS the loop reports what it raises, and the connection stays."""
    try:
        protocol.connection_made(transport)
    except Exception as error:  # noqa: BLE001 - whatever a protocol does wrong
        asyncio.get_running_loop().call_exception_handler(
            {
                "message": "connection_made of a protocol raised",
                "exception": error,
                "transport": transport,
            }
        )


def _feed(protocol: asyncio.Protocol | asyncio.BufferedProtocol, data: bytes) -> None:
    """Give data to a protocol, whichever of the two kinds it is."""
    if isinstance(protocol, asyncio.Protocol):
        protocol.data_received(data)
        return
    rest = memoryview(data)
    while rest:
        buffer = memoryview(protocol.get_buffer(len(rest)))
        count = min(len(buffer), len(rest))
        buffer[:count] = rest[:count]
        protocol.buffer_updated(count)
        rest = rest[count:]
