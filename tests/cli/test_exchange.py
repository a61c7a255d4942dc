"""One question to one server."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, cast

import pytest

from asyncendpoints import listen, listen_datagram, start_server
from asyncendpoints.cli.exchange import Waiting, exchange
from asyncendpoints.dns.listening import listen as listen_dns
from asyncendpoints.dns.outcome import Answer
from asyncendpoints.dns.query import Query
from asyncendpoints.dns.upstream_specs import parse_upstream
from asyncendpoints.errors import ConnectError, ConnectTimeoutError, DNSError, DNSTimeoutError
from asyncendpoints.specs import parse_client
from tests.support import black_hole, open_descriptors, warm_up

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from asyncendpoints.dns.outcome import Outcome

QUERY = Query.make("a.test", "TXT")
DNS = "dns:0:interface=127.0.0.1"


class Long:
    """Answers with more than a datagram takes."""

    def resolve(self, query: Query, /) -> Awaitable[Outcome]:
        return Answer.of(query, *(f"{number:0200}" for number in range(20)))


class Short:
    """Answers with one record."""

    def resolve(self, query: Query, /) -> Awaitable[Outcome]:
        return Answer.of(query, "x")


@pytest.mark.parametrize(
    ("text", "udp", "transport"),
    [
        (DNS, True, "UDP"),
        (DNS, False, "TCP"),
        ("udp:0:interface=127.0.0.1", True, "UDP"),
        ("tcp:0:interface=127.0.0.1", True, "TCP"),
        ("tls:0:interface=127.0.0.1:selfsigned=localhost", True, "TLSv1.3"),
        ("memory:exchange", True, "unix"),
    ],
)
async def test_each_transport(text: str, udp: bool, transport: str) -> None:
    """The answer comes with who gave it, how, and how long it is."""
    async with listen_dns(text, Short()) as server:
        spec = parse_upstream(server.client_endpoints[0])
        found = await exchange(spec, QUERY, timeout=5, udp=udp)
        peer = "" if server.addresses[0].port is None else str(server.addresses[0])
    assert found.message.answer[0].data == '"x"'
    assert (found.transport, found.peer, found.bytes) == (transport, peer, 49)
    assert 0 < found.seconds < 5


async def test_a_unix_socket(tmp_path: Path) -> None:
    """It has no address."""
    async with listen_dns(f"unix:{tmp_path}/dns.sock", Short()) as server:
        found = await exchange(server.client_endpoints[0], QUERY, timeout=5)
    assert (found.transport, found.peer) == ("unix", "")


@pytest.mark.parametrize(("kind", "transport", "count"), [("dns", "TCP", 20), ("udp", "UDP", 0)])
async def test_a_truncated_answer_is_asked_for_over_tcp(
    kind: str, transport: str, count: int
) -> None:
    """Unless the server is one of UDP alone: then it is shown as it came."""
    async with listen_dns(DNS, Long()) as server:
        spec = parse_client(str(server.client_endpoints[0]).replace("dns", kind))
        found = await exchange(spec, QUERY, timeout=5)
    assert len(found.message.answer) == count
    assert found.transport == transport
    assert found.message.is_truncated is (count == 0)


class Scripted(asyncio.DatagramProtocol):
    """Answers each datagram with what a function makes of it."""

    def __init__(self, script: Callable[[bytes, int], list[bytes]]) -> None:
        self._script = script
        self.count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.count += 1
        for each in self._script(data, self.count):
            self.transport.sendto(each, addr)


def answered(query: bytes) -> bytes:
    """Make the header of a query that of a reply."""
    return query[:2] + b"\x80\0" + query[4:]


async def over_udp(script: Callable[[bytes, int], list[bytes]], timeout: float = 5) -> int:
    """Ask a scripted server, and give how many queries it got."""
    protocol = Scripted(script)
    async with listen_datagram("udp:0:interface=127.0.0.1", lambda: protocol) as server:
        await exchange(parse_upstream(server.client_endpoints[0]), QUERY, timeout=timeout)
    return protocol.count


async def test_wrong_datagrams_are_passed_over() -> None:
    """What is garbage, cut off or for another question changes nothing, and only the first reply counts."""
    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    right = answered
    assert (
        await over_udp(
            lambda query, _: [b"", b"\0" * 12, right(query)[:-3], right(query), right(query)]
        )
        == 1
    )
    assert errors == []


async def test_a_datagram_that_is_lost_is_sent_again() -> None:
    """A third of the time is waited for each."""
    assert await over_udp(lambda query, count: [answered(query)] * (count - 1), timeout=0.6) == 2


async def test_silence() -> None:
    """The error says who did not answer, and for how long."""
    with pytest.raises(DNSTimeoutError) as caught:
        await over_udp(lambda *_: [], timeout=0.06)
    assert caught.value.problem.startswith("no reply from dns:127.0.0.1:")
    assert caught.value.problem.endswith("in 0.06 s")


def closed_port() -> int:
    """Give a port on which nobody listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


async def test_nobody_listens_for_datagrams() -> None:
    """The system says so at once."""
    spec = parse_upstream(f"dns:127.0.0.1:{closed_port()}")
    with pytest.raises(DNSError, match="connection refused"):
        await exchange(spec, QUERY, timeout=5)


async def test_nobody_listens_for_connections() -> None:
    """The error is that of the connect."""
    with pytest.raises(ConnectError):
        await exchange(parse_upstream("memory:nobody"), QUERY, timeout=5)


async def test_a_connect_that_takes_too_long() -> None:
    """Its own limit is in its own error."""
    async with listen("memory:slow") as server:
        server.pause()
        with pytest.raises(DNSTimeoutError):
            await exchange(parse_upstream("memory:slow"), QUERY, timeout=0.02)


async def over_stream(*pieces: bytes) -> None:
    """Ask a server that reads the query and answers with bytes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        query = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        for each in pieces:
            writer.write(each.replace(b"ID", query[:2]))
        writer.close()

    async with start_server(handle, "memory:scripted"):
        await exchange(parse_upstream("memory:scripted"), QUERY, timeout=5)


@pytest.mark.parametrize("pieces", [[], [b"\0"], [b"\0\x20", b"ID"]])
async def test_a_stream_that_ends_early(pieces: list[bytes]) -> None:
    """A reply that is not whole is none."""
    with pytest.raises(DNSError) as caught:
        await over_stream(*pieces)
    assert caught.value.problem == "memory:scripted: it closed the connection without a reply"


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (b"", "it answers another question"),
        (b"ID\x80\0\0\0\0\1\0\0\0\0", "the name at byte 12 runs past the end"),
    ],
)
async def test_a_stream_with_a_wrong_reply(message: bytes, problem: str) -> None:
    """The error says what is wrong with the message."""
    with pytest.raises(DNSError) as caught:
        await over_stream(len(message).to_bytes(2, "big") + message)
    sent = f"memory:scripted sent a DNS message of {len(message)} bytes: {problem}"
    assert caught.value.problem == sent


async def test_the_limit_of_the_server_itself() -> None:
    """A connect that its description allows less time ends with an error of its own."""
    with black_hole() as (address, _):
        spec = parse_upstream(f"tcp:{address.host}:{address.port}:timeout=0.02")
        with pytest.raises(ConnectTimeoutError):
            await exchange(spec, QUERY, timeout=5)


async def test_an_error_after_the_reply() -> None:
    """It changes nothing."""
    waiting = Waiting(b"ID" + bytes(10))
    waiting.datagram_received(b"ID\x80" + bytes(9), None)
    waiting.error_received(OSError())
    assert waiting.reply.result()[1] == 12


async def test_nothing_is_left_open() -> None:
    """Neither after an answer nor after silence."""
    await warm_up()
    lost = asyncio.Event()

    class Server(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            lost.set()

    silent = await listen_datagram("udp:0:interface=127.0.0.1", asyncio.DatagramProtocol)
    async with silent, listen("tcp:0:interface=127.0.0.1", Server) as server:
        before = open_descriptors()
        for each in (silent, server):
            spec = parse_upstream(each.client_endpoints[0])
            with pytest.raises(DNSTimeoutError):
                await exchange(spec, QUERY, timeout=0.03)
        await lost.wait()
        assert open_descriptors() == before
