"""Talking to a proxy until its tunnel is open, over a plain socket or over a transport.

The law: no byte of the tunnel is lost. From a socket none is read; those that a transport has brought go to
the protocol of the application.
"""

from __future__ import annotations

import asyncio
from socket import MSG_PEEK
from typing import TYPE_CHECKING, Any, Protocol, cast

from asyncendpoints.errors import ProxyReplyError

if TYPE_CHECKING:
    import socket

    from asyncendpoints.transports import Handover

__all__ = ["Negotiating", "Negotiation", "negotiate"]

#: How much is looked at at once, in bytes: more than most answers have.
_PEEK_BYTES = 4096


class Negotiation(Protocol):
    """What a proxy and its client say to each other, as bytes that go in and come out."""

    @property
    def is_open(self) -> bool:
        """Whether the proxy has connected: the bytes that follow are those of the tunnel."""

    def outgoing(self) -> bytes:
        """Give what is to be sent, once."""

    def take(self, data: bytes, /) -> int:
        """Read on in what the proxy says, and give how many of the bytes that were.

        Raises:
            ProxyReplyError: It will not open a tunnel.
        """


async def negotiate(sock: socket.socket, talk: Negotiation) -> None:
    """Talk to a proxy over a connected socket, until the next byte is one of the tunnel.

    The socket is the caller's to close if this fails.

    Raises:
        ProxyReplyError: There is no tunnel.
    """
    loop = asyncio.get_running_loop()
    try:
        while not talk.is_open:
            if outgoing := talk.outgoing():
                await loop.sock_sendall(sock, outgoing)
            offered = await _peek(sock)
            if not offered:
                raise _ended(None)
            sock.recv(talk.take(offered))
    except OSError as error:
        raise _ended(error) from error


async def _peek(sock: socket.socket) -> bytes:
    """Wait for bytes and leave them where they are."""
    while True:
        try:
            return sock.recv(_PEEK_BYTES, MSG_PEEK)
        except BlockingIOError:
            await _wait_readable(sock)


async def _wait_readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()
    loop.add_reader(sock.fileno(), _settle, readable, None)
    try:
        await readable
    finally:
        loop.remove_reader(sock.fileno())


def _settle(future: asyncio.Future[Any], result: object) -> None:
    if not future.done():
        future.set_result(result)


def _ended(error: Exception | None) -> ProxyReplyError:
    """Say that the connection to the proxy has ended."""
    number = error.errno if isinstance(error, OSError) else None
    return ProxyReplyError("closed the connection before it had answered", errno=number)


class Negotiating(asyncio.Protocol):
    """Talks to a proxy over a transport, until the next byte is one of the tunnel.

    Then the transport is paused, and what it brings goes to the handover.

    Args:
        talk: What is said.
        handover: Takes the place of this protocol.
    """

    def __init__(self, talk: Negotiation, handover: Handover[Any]) -> None:
        self._talk = talk
        self._handover = handover
        self._transport: asyncio.Transport
        #: Why there is no tunnel, or None; set when that is known.
        self.outcome: asyncio.Future[ProxyReplyError | None]
        self.outcome = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._talk.outgoing())

    def data_received(self, data: bytes) -> None:
        if self.outcome.done():
            return
        try:
            while data and not self._talk.is_open:
                data = data[self._talk.take(data) :]
                self._transport.write(self._talk.outgoing())
        except ProxyReplyError as error:
            self.outcome.set_result(error)
            return
        if self._talk.is_open:
            self._transport.pause_reading()
            self._transport.set_protocol(self._handover)
            if data:
                self._handover.data_received(data)
            self.outcome.set_result(None)

    def eof_received(self) -> None:
        _settle(self.outcome, _ended(None))

    def connection_lost(self, exc: Exception | None) -> None:
        _settle(self.outcome, _ended(exc))
