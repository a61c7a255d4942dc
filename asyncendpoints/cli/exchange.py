"""One question to one server, and what came back: for those who want to see all of it.

The law: bytes from the network are shown only after the wire gate has read them.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from asyncendpoints.addresses import Address, unmapped
from asyncendpoints.cli.messages import decode_message, encode_query
from asyncendpoints.connecting import open_connection
from asyncendpoints.datagrams import connect_datagram
from asyncendpoints.errors import DNSError, DNSTimeoutError, EndpointError, WireError
from asyncendpoints.kinds.dns import DNSClient
from asyncendpoints.kinds.udp import UDPClient

if TYPE_CHECKING:
    from asyncendpoints.cli.messages import Message
    from asyncendpoints.dns.query import Query
    from asyncendpoints.specs import ClientSpec

__all__ = ["Exchange", "exchange"]

#: How often a question is sent over UDP within the time that there is.
_SENDINGS = 3

_TRANSPORTS = {socket.AF_INET: "TCP", socket.AF_INET6: "TCP", socket.AF_UNIX: "unix"}


@dataclass(frozen=True, slots=True)
class Exchange:
    """What came of a question to a server."""

    message: Message
    #: Who answered.
    peer: str
    #: Such as ``"UDP"`` or ``"TLSv1.3"``.
    transport: str
    #: Of the reply.
    bytes: int
    #: From the start of it all to the reply: a connection and its handshake are part of that.
    seconds: float


async def exchange(
    server: ClientSpec, query: Query, *, timeout: float, udp: bool = True
) -> Exchange:
    """Ask a server.

    Args:
        server: As `asyncendpoints.dns.upstream_specs.parse_upstream` gives it; or a `UDPClient`, which is not
            asked again over TCP after a reply that had no room for everything.
        query: The question.
        timeout: Seconds that all of it may take, above 0.
        udp: Whether a ``dns:`` server is asked over UDP first.

    Raises:
        ConnectError: The server cannot be reached.
        DNSTimeoutError: It did not answer in time.
        DNSError: What it answered is no use.
    """
    packet = encode_query(query, secrets.randbelow(65_536))
    started = perf_counter()  # uvloop's clock has milliseconds
    try:
        async with asyncio.timeout(timeout):
            is_last = isinstance(server, UDPClient)
            if is_last or (udp and isinstance(server, DNSClient)):
                found = await _over_udp(server, packet, timeout / _SENDINGS)
                if is_last or not found[0].is_truncated:
                    return Exchange(*found, perf_counter() - started)
            return Exchange(*await _over_stream(server, packet), perf_counter() - started)
    except TimeoutError as error:
        if isinstance(error, EndpointError):
            raise
        raise _timeout(server, query, timeout) from None
    except WireError as error:
        raise DNSError(query.name, query.type, f"{server.display()} sent a {error}") from error
    except OSError as error:
        if isinstance(error, EndpointError):
            raise
        problem = (error.strerror or str(error)).lower()
        raise DNSError(query.name, query.type, f"{server.display()}: {problem}") from error


def _timeout(server: ClientSpec, query: Query, timeout: float) -> DNSTimeoutError:
    problem = f"no reply from {server.display()} in {timeout:g} s"
    return DNSTimeoutError(query.name, query.type, problem)


_Found = tuple["Message", str, str, int]


class Waiting(asyncio.DatagramProtocol):
    """Waits for the reply to a query."""

    def __init__(self, query: bytes) -> None:
        self._query = query
        self.reply: asyncio.Future[tuple[Message, int]] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: Any) -> None:  # noqa: ARG002 - it is connected
        if self.reply.done():
            return
        # What is malformed may be anybody's: the right one is waited for.
        with suppress(WireError):
            message = decode_message(data, self._query)
            if message is not None:
                self.reply.set_result((message, len(data)))

    def error_received(self, exc: Exception) -> None:
        if not self.reply.done():
            self.reply.set_exception(exc)


async def _over_udp(server: ClientSpec, packet: bytes, interval: float) -> _Found:
    transport, protocol = await connect_datagram(server, lambda: Waiting(packet))
    try:
        while True:
            transport.sendto(packet)
            with suppress(TimeoutError):
                async with asyncio.timeout(interval):
                    message, size = await asyncio.shield(protocol.reply)
                    return message, _peer(transport.get_extra_info("peername")), "UDP", size
    finally:
        protocol.reply.cancel()
        transport.abort()


async def _over_stream(server: ClientSpec, packet: bytes) -> _Found:
    """Ask over a connection. Source: RFC 1035, section 4.2.2."""
    reader, writer = await open_connection(server)
    try:
        writer.write(len(packet).to_bytes(2, "big") + packet)
        size = int.from_bytes(await reader.readexactly(2), "big")
        message = decode_message(await reader.readexactly(size), packet)
        if message is None:
            raise WireError(size, "it answers another question")
        return message, _peer(writer.get_extra_info("peername")), _transport(writer), size
    except asyncio.IncompleteReadError:
        raise ConnectionResetError(0, "it closed the connection without a reply") from None
    finally:
        # Nothing more is wanted: a server that is slow to say goodbye is not waited for.
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


def _peer(sockaddr: Any) -> str:
    if not isinstance(sockaddr, tuple):
        return ""
    address = Address(0, (unmapped(sockaddr[0]), *sockaddr[1:]))
    return str(address)


def _transport(writer: asyncio.StreamWriter) -> str:
    tls = writer.get_extra_info("ssl_object")
    if tls is not None:
        return str(tls.version())
    family: Any = getattr(writer.get_extra_info("socket"), "family", None)
    return _TRANSPORTS.get(family, "stream")
