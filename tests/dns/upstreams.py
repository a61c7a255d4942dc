"""Name servers on loopback that do what a test tells them: answer, lie, or say nothing."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

from asyncendpoints.dns.names import encode_name
from asyncendpoints.dns.scan import end_of_name
from asyncendpoints.dns.sections import Sections, encode_body

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from asyncendpoints.dns.records import Records

__all__ = [
    "A_RECORD",
    "OPT",
    "Asked",
    "Connection",
    "FakeUpstream",
    "fake_upstream",
    "message",
]

#: A record of type A with the owner of the question: 192.0.2.1 for a minute.
A_RECORD = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1"
#: An OPT record that says nothing.
OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"


def message(
    name: str | bytes,
    qtype: int = 1,
    counts: tuple[int, int, int] = (0, 0, 0),
    tail: bytes = b"",
    *,
    flags: int = 0x8180,
    ident: bytes = b"\0\1",
) -> bytes:
    """Make a message with a question."""
    wire = encode_name(name) if isinstance(name, str) else name
    numbers = b"".join(each.to_bytes(2, "big") for each in (flags, 1, *counts))
    return ident + numbers + wire + qtype.to_bytes(2, "big") + b"\0\1" + tail


class Asked:
    """A query that an upstream got, and the way back."""

    def __init__(
        self,
        packet: bytes,
        send: Callable[[bytes], None],
        peer: tuple[str, int] = ("", 0),
        *,
        is_stream: bool,
    ) -> None:
        self.packet = packet
        self.send = send
        #: Where it came from.
        self.peer = peer
        self.is_stream = is_stream
        end = end_of_name(packet, 12)
        #: Name, type and class as they came.
        self.question = packet[12 : end + 4]
        self.name = packet[12:end]
        self.qtype = int.from_bytes(packet[end : end + 2], "big")
        #: What follows the question: the OPT record, if there is one.
        self.opt = packet[end + 4 :]

    def reply(
        self,
        counts: tuple[int, int, int] = (1, 0, 0),
        tail: bytes = A_RECORD,
        *,
        flags: int = 0x8180,
        ident: bytes | None = None,
        question: bytes | None = None,
    ) -> bytes:
        """Make a reply, right unless the arguments make it wrong."""
        numbers = b"".join(each.to_bytes(2, "big") for each in (flags, 1, *counts))
        head = (self.packet[:2] if ident is None else ident) + numbers
        return head + (self.question if question is None else question) + tail

    def answer(self, *records: Records) -> None:
        """Send a right answer: the records, or an address."""
        if records:
            body = encode_body(self.name, Sections(records))
            self.send(self.packet[:2] + b"\x81\x80\0\1" + body.counts + self.question + body.tail)
        else:
            self.send(self.reply())

    def fail(self, rcode: int, *, has_opt: bool = True) -> None:
        """Send an error."""
        self.send(self.reply((0, 0, int(has_opt)), OPT * has_opt, flags=0x8180 | rcode))


class FakeUpstream(asyncio.DatagramProtocol):
    """A server on UDP and, unless it is closed, TCP.

    Args:
        script: Called with each query; as a rule it is answered.
    """

    def __init__(self, script: Callable[[Asked], None]) -> None:
        self.script = script
        #: Every query so far.
        self.asked: list[Asked] = []
        #: How many connections there were, and those that are open.
        self.accepted = 0
        self.connections: list[asyncio.Transport] = []
        self._arrived = asyncio.Event()
        self.transport: asyncio.DatagramTransport
        self.port = 0

    @property
    def text(self) -> str:
        """Its description."""
        return f"udp:127.0.0.1:{self.port}"

    @property
    def over_tcp(self) -> str:
        """Its description as a server that is asked over TCP alone."""
        return f"tcp:127.0.0.1:{self.port}"

    @property
    def datagrams(self) -> list[Asked]:
        """The queries that came over UDP."""
        return [each for each in self.asked if not each.is_stream]

    @property
    def streamed(self) -> list[Asked]:
        """The queries that came over TCP."""
        return [each for each in self.asked if each.is_stream]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.take(
            Asked(data, lambda reply: self.transport.sendto(reply, addr), addr, is_stream=False)
        )

    def take(self, asked: Asked) -> None:
        """Note a query and do what the script says."""
        self.asked.append(asked)
        self._arrived.set()
        self.script(asked)

    async def disconnect(self) -> None:
        """Abort the connections that are open, and wait until they have ended."""
        for each in list(self.connections):
            each.abort()
        for _ in range(5):
            await asyncio.sleep(0)

    async def wait_asked(self, count: int = 1) -> list[Asked]:
        """Wait until so many queries have come, and give them all."""
        while len(self.asked) < count:
            self._arrived.clear()
            await self._arrived.wait()
        return self.asked


class Connection(asyncio.Protocol):
    """A connection to a fake server."""

    def __init__(self, server: FakeUpstream) -> None:
        self._server = server
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._server.connections.append(self._transport)
        self._server.accepted += 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) > 2:
            size = int.from_bytes(self._buffer[:2], "big")
            if len(self._buffer) < size + 2:
                break
            packet, self._buffer = self._buffer[2 : size + 2], self._buffer[size + 2 :]
            peer = self._transport.get_extra_info("peername")
            self._server.take(Asked(packet, self._send, peer, is_stream=True))

    def _send(self, reply: bytes) -> None:
        self._transport.write(len(reply).to_bytes(2, "big") + reply)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.remove(self._transport)


def _bound() -> tuple[socket.socket, socket.socket]:
    """Give a listener, and a datagram socket of the same number."""
    while True:
        listener = socket.create_server(("127.0.0.1", 0))
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with suppress(OSError):
            datagrams.bind(listener.getsockname())
            return listener, datagrams
        listener.close()  # pragma: no cover - somebody had the number for UDP
        datagrams.close()  # pragma: no cover


@asynccontextmanager
async def fake_upstream(
    script: Callable[[Asked], None] = Asked.answer, *, has_tcp: bool = True
) -> AsyncIterator[FakeUpstream]:
    """Run such a server."""
    loop = asyncio.get_running_loop()
    listener, datagrams = _bound()
    server = FakeUpstream(script)
    server.port = listener.getsockname()[1]
    transport, _ = await loop.create_datagram_endpoint(lambda: server, sock=datagrams)
    streams = None
    if has_tcp:
        streams = await loop.create_server(lambda: Connection(server), sock=listener)
    else:
        listener.close()
    try:
        yield server
    finally:
        transport.close()
        if streams is not None:
            streams.close()
        await server.disconnect()
