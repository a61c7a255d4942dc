"""DNS over streams: frames, the order of replies, limits and the end of connections."""

from __future__ import annotations

import asyncio
import socket
import ssl
from functools import partial
from math import inf
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints.connecting import open_connection
from asyncendpoints.dns.limits import DNSLimits
from asyncendpoints.dns.outcome import DROP, Answer, Outcome
from asyncendpoints.dns.responder import Responder
from asyncendpoints.dns.stream import DNSStreamProtocol, DNSStreams
from asyncendpoints.listening import listen
from tests.clock import ClockLoop, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
    from pathlib import Path

    from asyncendpoints.dns.query import Query
    from asyncendpoints.server import Server

LIMITS = DNSLimits(first_timeout=4.0, idle_timeout=8.0, write_timeout=6.0)


class Late:
    """A reply that comes when the test says so."""

    def __init__(self) -> None:
        self.callback: Callable[[Late, bytes | None], None] | None = None
        self.is_abandoned = False

    def then(self, callback: Callable[[Late, bytes | None], None]) -> None:
        self.callback = callback

    def abandon(self) -> None:
        self.is_abandoned = True

    def come(self, message: bytes | None = b"late") -> None:
        assert self.callback is not None
        self.callback(self, message)


class Early(Late):
    """A reply that is there before anybody waits for it."""

    def __init__(self, message: bytes | None) -> None:
        super().__init__()
        self.message = message

    def then(self, callback: Callable[[Late, bytes | None], None]) -> None:
        callback(self, self.message)


class Answers:
    """A responder that does what the first letter of a query says; as a rule it sends it back."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.late: list[Late] = []
        self.woken: list[float] = []

    def wake(self, now: float) -> None:
        self.woken.append(now)

    def source(self, client: Any, local: Any, family: int, transport: str) -> Any:
        return SimpleNamespace(client=client, local=local, family=family, transport=transport)

    def respond(self, packet: bytes, source: Any) -> bytes | Late | None:
        self.asked.append(packet)
        match packet[:1]:
            case b"L":
                self.late.append(Late())
                return self.late[-1]
            case b"E":
                return Early(b"early")
            case b"N":
                return Early(None)
            case b"D":
                return None
            case b"B":
                return bytes(60_000)
        return packet


class FakeTransport(asyncio.Transport):
    """A transport that writes down what is done to it."""

    def __init__(self, **extra: Any) -> None:
        super().__init__({"peername": ("192.0.2.1", 5), "sockname": ("192.0.2.2", 53)} | extra)
        self.sent: list[bytes] = []
        self.calls: list[str] = []
        self.high: int | None = None
        self.is_open = True
        #: Called at each write.
        self.on_write: Callable[[], None] = lambda: None
        #: Set by each of `calls`.
        self.was_called = asyncio.Event()

    def _note(self, call: str) -> None:
        self.calls.append(call)
        self.was_called.set()

    def write(self, data: Any) -> None:
        self.sent.append(bytes(data))
        self.on_write()

    def close(self) -> None:
        self.is_open = False
        self._note("close")

    def abort(self) -> None:
        self.is_open = False
        self._note("abort")

    def is_closing(self) -> bool:
        return not self.is_open

    def pause_reading(self) -> None:
        self._note("pause")

    def resume_reading(self) -> None:
        self._note("resume")

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high


class Client:
    """A connection to the server under test, without a network."""

    def __init__(self, limits: DNSLimits = LIMITS, streams: DNSStreams | None = None) -> None:
        self.answers = Answers()
        self.streams = streams or DNSStreams(cast(Responder, self.answers), limits)
        self.transport = FakeTransport()
        self.protocol = self.streams()
        self.protocol.connection_made(self.transport)

    def send(self, data: bytes) -> None:
        """Have the server read bytes, as much at a time as its buffer takes."""
        while data:
            buffer = self.protocol.get_buffer(-1)
            count = min(len(buffer), len(data))
            buffer[:count] = data[:count]
            self.protocol.buffer_updated(count)
            data = data[count:]

    @property
    def sent(self) -> bytes:
        """All that the server has sent."""
        return b"".join(self.transport.sent)

    @property
    def calls(self) -> list[str]:
        """What the server has done to the transport."""
        return self.transport.calls


def query(text: str = "query") -> bytes:
    """Make what is long enough to be a query."""
    return text.encode().ljust(12, b".")


def frames(*messages: bytes) -> bytes:
    """Put messages into frames."""
    return b"".join(len(each).to_bytes(2, "big") + each for each in messages)


async def turn() -> None:
    """Let the loop run what is due."""
    for _ in range(3):
        await asyncio.sleep(0)


# Frames


async def test_frame() -> None:
    """A query is answered in a frame; the responder has heard what time it is."""
    client = Client()
    client.send(frames(query()))
    assert client.answers.asked == [query()]
    assert client.sent == frames(query())
    assert len(client.answers.woken) == 1
    assert client.calls == []


async def test_byte_by_byte() -> None:
    """A query that comes in single bytes is answered when its last byte is there."""
    client = Client()
    data = frames(query())
    for position in range(len(data)):
        assert client.sent == b""
        client.send(data[position : position + 1])
    assert client.sent == data


@pytest.mark.parametrize("cut", range(29))
async def test_cut_anywhere(cut: int) -> None:
    """Wherever two queries are cut, both are answered, and the first does not wait for the second."""
    client = Client()
    data = frames(query("one"), query("two"))
    client.send(data[:cut])
    assert client.sent == data[: cut // 14 * 14]
    client.send(data[cut:])
    assert client.sent == data


def test_many_in_one_segment() -> None:
    """The replies to queries that came together leave together, in one write."""

    async def main() -> None:
        client = Client()
        data = frames(*(query(str(number)) for number in range(20)))
        client.send(data)
        assert client.transport.sent == [data]
        assert len(client.answers.woken) == 1

    run(main())


def test_more_than_a_read() -> None:
    """Queries are answered whose frames go on in the next read, again and again."""

    async def main() -> None:
        client = Client()
        data = frames(*(query(str(number)) for number in range(5000)))
        client.send(data)
        assert client.sent == data

    run(main())


@pytest.mark.parametrize("size", [12, 4096])
async def test_sizes_of_queries(size: int) -> None:
    """The shortest and the longest query there are have their answers."""
    client = Client()
    client.send(frames(b"q" * size))
    assert client.sent == frames(b"q" * size)


@pytest.mark.parametrize("size", [0, 1, 11, 4097, 65535])
async def test_what_cannot_be_a_query(size: int) -> None:
    """A frame that is too short or too long ends the connection by its first two bytes."""
    client = Client()
    client.send(size.to_bytes(2, "big"))
    assert client.calls == ["close"]
    assert client.streams.counters.malformed == 1
    assert client.answers.asked == []


async def test_replies_before_garbage() -> None:
    """What was right before it has its reply; what comes after it is not looked at."""
    client = Client()
    client.send(frames(query("one")) + b"\0\0" + frames(query("two")))
    client.send(frames(query("three")))
    assert client.sent == frames(query("one"))
    assert client.answers.asked == [query("one")]
    assert client.calls == ["close"]


@given(st.lists(st.binary(max_size=40)), st.lists(st.sampled_from(["one", "Late", "Early"])))
def test_anything_at_all(chunks: list[bytes], queries: list[str]) -> None:
    """Whatever bytes come after whole queries, in whatever pieces, nothing is raised."""

    async def main() -> None:
        client = Client()
        client.send(frames(*map(query, queries)))
        for each in chunks:
            client.send(each)
        client.protocol.eof_received()
        client.protocol.connection_lost(None)

    run(main())


# Replies


async def test_fast_overtakes_slow() -> None:
    """A reply that takes longer keeps no other one waiting."""
    client = Client()
    client.send(frames(query("Late"), query("fast")))
    assert client.sent == frames(query("fast"))
    client.answers.late[0].come()
    await turn()
    assert client.sent == frames(query("fast"), b"late")


async def test_late_replies_of_one_turn() -> None:
    """Late replies that come in one turn of the loop leave in one write."""
    client = Client()
    client.send(frames(*[query("Late")] * 3))
    for each in client.answers.late:
        each.come()
    assert client.sent == b""
    await turn()
    assert client.transport.sent == [frames(b"late", b"late", b"late")]


async def test_reply_that_is_there_already() -> None:
    """A reply that is to come, and comes at once, leaves with the others."""
    client = Client()
    client.send(frames(query("Early"), query("one")))
    await turn()
    assert client.transport.sent == [frames(b"early", query("one"))]


@pytest.mark.parametrize("text", ["Drop", "None"])
async def test_no_reply(text: str) -> None:
    """Where nothing is to be sent the connection ends, after the replies before it."""
    client = Client()
    client.send(frames(query("one"), query(text), query("two")))
    assert client.sent == frames(query("one"))
    assert client.calls == ["close"]
    assert client.streams.counters.dropped == 1


async def test_no_reply_after_a_while() -> None:
    """That can be found out later, too: what else is waited for is given up."""
    client = Client()
    client.send(frames(query("Late"), query("Late")))
    one, other = client.answers.late
    one.come(None)
    await turn()
    assert client.calls == ["close"]
    assert (one.is_abandoned, other.is_abandoned) == (False, True)


async def test_reply_and_end_in_one_turn() -> None:
    """A reply that came in the turn in which the connection is closed is sent before that."""
    client = Client()
    client.send(frames(query("Late"), query("Late")))
    one, other = client.answers.late
    one.come()
    other.come(None)
    await turn()
    assert client.sent == frames(b"late")
    assert client.calls == ["close"]


async def test_reply_after_somebody_closed() -> None:
    """A transport that others have closed is not written to."""
    client = Client()
    client.send(frames(query("Late")))
    client.transport.close()
    client.answers.late[0].come()
    await turn()
    assert client.sent == b""


async def test_connection_lost() -> None:
    """When the connection is lost, what is waited for is given up; what comes after that does no harm."""
    client = Client()
    client.send(frames(query("Late"), query("Late")))
    one, other = client.answers.late
    one.come()
    client.protocol.connection_lost(ConnectionResetError())
    await turn()
    assert client.sent == b""
    assert other.is_abandoned


# Room


async def test_most_pipelined() -> None:
    """With so many replies to come, reading pauses; it goes on, with what was read, as replies leave."""
    client = Client(DNSLimits(max_pipelined=2))
    client.send(frames(*[query("Late")] * 3, query("one")))
    assert len(client.answers.asked) == 2
    assert client.calls == ["pause"]
    client.answers.late[0].come()
    await turn()
    assert len(client.answers.asked) == 3
    assert client.calls == ["pause"]
    client.answers.late[1].come()
    await turn()
    assert client.answers.asked[3] == query("one")
    assert client.calls == ["pause", "resume"]
    assert client.sent == frames(b"late", b"late", query("one"))


async def test_data_while_reading_is_paused() -> None:
    """What comes all the same, as out of a TLS layer, waits behind what is there."""
    client = Client(DNSLimits(max_pipelined=1))
    client.send(frames(query("one"), query("Late"), query("two"))[:-1])
    client.send(frames(query("two"))[-1:])
    client.send(frames(query("three")))
    assert client.sent == frames(query("one"))
    client.answers.late[0].come()
    await turn()
    assert client.sent == frames(*map(query, ["one"]), b"late", *map(query, ["two", "three"]))


async def test_client_that_does_not_read() -> None:
    """While too much waits to be sent, no query is read or answered; then it goes on."""
    client = Client()
    assert client.transport.high == LIMITS.max_write_bytes
    client.protocol.pause_writing()
    client.send(frames(query("one")))
    assert (client.sent, client.calls) == (b"", ["pause"])
    client.protocol.resume_writing()
    assert (client.sent, client.calls) == (frames(query("one")), ["pause", "resume"])


async def test_large_replies_in_one_read() -> None:
    """Replies are written before they are more than the limit, and no more are made once it is reached."""
    client = Client(DNSLimits(max_write_bytes=100_000))

    def block_at_second() -> None:
        if len(client.transport.sent) == 2:
            client.protocol.pause_writing()

    client.transport.on_write = block_at_second
    client.send(frames(*[query("Big")] * 9))
    assert list(map(len, client.transport.sent)) == [120_004, 120_004]
    assert len(client.answers.asked) == 4
    client.protocol.resume_writing()
    assert len(client.answers.asked) == 9


async def test_late_reply_while_blocked() -> None:
    """A reply that comes meanwhile is written, but nothing new is begun."""
    client = Client()
    client.send(frames(query("Late")))
    client.protocol.pause_writing()
    client.send(frames(query("one")))
    client.answers.late[0].come()
    await turn()
    assert client.sent == frames(b"late")
    assert client.calls == ["pause"]


async def test_no_pause_of_a_closing_transport() -> None:
    """Reading is neither paused nor resumed on a transport that others have closed."""
    client = Client()
    client.transport.close()
    client.protocol.pause_writing()
    client.protocol.resume_writing()
    assert client.calls == ["close"]


# The end


async def test_half_close() -> None:
    """A client that sends no more, and has its replies, is at its end."""
    client = Client()
    client.send(frames(query()))
    assert client.protocol.eof_received() is True
    assert client.sent == frames(query())
    assert client.calls == ["close"]


async def test_half_close_before_the_reply() -> None:
    """A reply that is still to come is sent before the end; half a query is not waited for."""
    client = Client()
    client.send(frames(query("Late")) + b"\0")
    assert client.protocol.eof_received() is True
    assert client.calls == []
    client.answers.late[0].come()
    await turn()
    assert (client.sent, client.calls) == (frames(b"late"), ["close"])


async def test_half_close_in_a_pipeline() -> None:
    """Queries that had no room are answered after the end of what the client sends; no reading is resumed."""
    client = Client(DNSLimits(max_pipelined=1))
    client.send(frames(query("Late"), query("Late"), query("one")))
    client.protocol.eof_received()
    client.answers.late[0].come()
    await turn()
    assert client.calls == ["pause"]
    client.answers.late[1].come()
    await turn()
    assert client.sent == frames(b"late", b"late", query("one"))
    assert client.calls == ["pause", "close"]


async def test_half_close_while_blocked() -> None:
    """A client that reads slowly has its replies before the end, too."""
    client = Client()
    client.protocol.pause_writing()
    client.send(frames(query("one")))
    client.protocol.eof_received()
    assert client.calls == ["pause"]
    client.protocol.resume_writing()
    assert (client.sent, client.calls) == (frames(query("one")), ["pause", "close"])


async def test_half_close_of_tls() -> None:
    """TLS has no half of a connection: the loop is told to end it."""
    streams = DNSStreams(cast(Responder, Answers()))
    protocol = streams()
    protocol.connection_made(FakeTransport(sslcontext=ssl.create_default_context()))
    assert protocol.eof_received() is False


async def test_finish() -> None:
    """Connections with nothing to wait for end at once, the others after their last reply."""
    client = Client()
    other = Client(streams=client.streams)
    client.send(frames(query("Late")))
    client.streams.finish()
    client.streams.finish()
    assert (client.calls, other.calls) == (["pause"], ["pause", "close"])
    client.answers.late[0].come()
    await turn()
    assert (client.sent, client.calls) == (frames(b"late"), ["pause", "close"])


async def test_finish_a_pipeline() -> None:
    """What was read and had no room is answered before the end, and no more is read."""
    client = Client(DNSLimits(max_pipelined=1))
    client.send(frames(query("Late"), query("one")))
    client.streams.finish()
    assert client.calls == ["pause"]
    client.answers.late[0].come()
    await turn()
    assert (client.sent, client.calls) == (frames(b"late", query("one")), ["pause", "close"])


async def test_connected_after_finish() -> None:
    """A connection that comes out of its handshake when the server is ending ends at once."""
    first = Client()
    first.streams.finish()
    assert Client(streams=first.streams).calls == ["pause", "close"]


async def test_finish_after_the_end() -> None:
    """A connection that is being closed is left alone."""
    client = Client()
    client.send(b"\0\0")
    client.streams.finish()
    assert client.calls == ["close"]


async def test_end_after_the_end() -> None:
    """What the loop still tells of a connection that is being closed changes nothing."""
    client = Client()
    client.send(b"\0\0")
    client.protocol.eof_received()
    client.protocol.pause_writing()
    client.protocol.resume_writing()
    assert client.calls == ["close"]


# Time


def timed(steps: Callable[[Client], Coroutine[Any, Any, None]]) -> tuple[float, Client]:
    """Run steps of a client, and give when the server did the last thing to the transport."""

    async def main() -> tuple[float, Client]:
        client = Client()
        loop = asyncio.get_running_loop()
        await steps(client)
        client.transport.was_called.clear()
        await client.transport.was_called.wait()
        client.protocol.connection_lost(None)
        return loop.time(), client

    return run(main())


async def nothing(client: Client) -> None:
    """Send nothing."""


async def drip(client: Client) -> None:
    """Send half a query, slowly."""
    for each in frames(query())[:3]:
        client.send(bytes((each,)))
        await asyncio.sleep(1)


async def ask(client: Client) -> None:
    """Send a query after three seconds."""
    await asyncio.sleep(3)
    client.send(frames(query()))


async def ask_and_drip(client: Client) -> None:
    """Send a query after three seconds, and half of another one for some more."""
    await ask(client)
    for each in frames(query())[:7]:
        client.send(bytes((each,)))
        await asyncio.sleep(1)


async def wait(client: Client) -> None:
    """Ask what takes 20 seconds to be answered."""
    client.send(frames(query("Late")))
    await asyncio.sleep(20)
    assert client.calls == []
    client.answers.late[0].come()


@pytest.mark.parametrize(
    ("steps", "seconds"), [(nothing, 4), (drip, 4), (ask, 11), (ask_and_drip, 11), (wait, 28)]
)
def test_idle(steps: Callable[[Client], Coroutine[Any, Any, None]], seconds: float) -> None:
    """A connection ends some time after its last query or reply, to within a second; half a query is none."""
    ended, client = timed(steps)
    assert seconds <= ended <= seconds + 1
    assert client.calls == ["close"]
    assert client.streams.counters.idle == 1


async def stop_reading(client: Client) -> None:
    """Read no replies from the second second on, though some come."""
    client.send(frames(query("Late")))
    await asyncio.sleep(2)
    client.protocol.pause_writing()
    client.send(frames(query("one")))
    await asyncio.sleep(3)
    client.answers.late[0].come()


def test_unread() -> None:
    """A client that does not read is given up after a while, whatever else comes."""
    ended, client = timed(stop_reading)
    assert 8 <= ended <= 9
    assert client.calls == ["pause", "abort"]
    assert client.streams.counters.unread == 1
    assert client.streams.counters.idle == 0


async def read_again(client: Client) -> None:
    """Read no replies for five seconds, then read them."""
    client.protocol.pause_writing()
    await asyncio.sleep(5)
    client.protocol.resume_writing()


def test_read_in_time() -> None:
    """A client that reads in time stays."""
    ended, client = timed(read_again)
    assert 9 <= ended <= 10
    assert client.calls == ["pause", "resume", "close"]


async def leave_the_end(client: Client) -> None:
    """Send garbage, and do not take the last replies."""
    client.send(frames(query()) + b"\0\0")


def test_end_that_does_not_come() -> None:
    """A connection that was closed, and whose client takes nothing, is aborted after a while."""
    ended, client = timed(leave_the_end)
    assert 6 <= ended <= 7
    assert client.calls == ["close", "abort"]


def test_reply_of_a_closed_connection_gives_no_time() -> None:
    """A write that was due when the connection was closed does not put the end of it off."""

    async def close_with_a_reply(client: Client) -> None:
        client.send(frames(query("Late"), query("Late")))
        one, other = client.answers.late
        one.come()
        other.come(None)
        await turn()
        assert client.protocol._since == 0.0

    assert timed(close_with_a_reply)[1].calls == ["close", "abort"]


def test_idle_connections_are_cheap() -> None:
    """Two thousand idle connections have one timer; when they have ended there is none."""

    async def main() -> None:
        streams = DNSStreams(cast(Responder, Answers()), LIMITS)
        clients = [Client(streams=streams) for _ in range(2000)]
        loop: Any = asyncio.get_running_loop()
        assert len(loop._scheduled) == 1
        await asyncio.sleep(6)
        assert [each.calls for each in clients] == [["close"]] * 2000
        assert streams.counters.idle == 2000
        for each in clients:
            each.protocol.connection_lost(None)
        await asyncio.sleep(2)
        assert len(loop._scheduled) == 0

    run(main())


def test_short_limits_are_kept() -> None:
    """Limits below a second are looked at more often."""

    async def main() -> None:
        client = Client(DNSLimits(first_timeout=0.2))
        await asyncio.sleep(0.26)
        assert client.calls == ["close"]

    run(main())


# Where queries come from


@pytest.mark.parametrize(
    ("family", "extra", "transport"),
    [
        (socket.AF_INET, {}, "tcp"),
        (socket.AF_INET6, {"sslcontext": 1}, "tls"),
        (socket.AF_UNIX, {"peername": ""}, "unix"),
        (0, {}, "tcp"),
    ],
)
async def test_source(family: int, extra: dict[str, Any], transport: str) -> None:
    """The responder hears who asks, and how: made once for a connection."""
    sock = SimpleNamespace(family=family) if family else None
    protocol = DNSStreamProtocol(DNSStreams(cast(Responder, Answers())))
    protocol.connection_made(FakeTransport(socket=sock, **extra))
    source = cast(Any, protocol._source)
    assert (source.family, source.transport) == (family, transport)
    assert source.client == extra.get("peername", ("192.0.2.1", 5))
    assert source.local == ("192.0.2.2", 53)


# On a network


class Numbers:
    """A resolver that answers every name with one address, and drops one of them."""

    version = 1

    def resolve(self, query: Query) -> Outcome:
        if query.name == "drop.test":
            return DROP
        if query.name == "big.test":
            texts = [f"{'x' * 250}{number}" for number in range(200)]
            return Answer.of(query, *texts, type="TXT").replace(until=inf)
        return Answer.of(query, "192.0.2.7")


def question(name: str, number: int = 1) -> bytes:
    """Make a query for the address of a name."""
    labels = b"".join(bytes((len(each),)) + each.encode() for each in name.split("."))
    header = number.to_bytes(2, "big") + b"\1\0\0\1\0\0\0\0\0\0"
    return header + labels + b"\0\0\1\0\1"


def server(endpoint: str, limits: DNSLimits = LIMITS) -> Any:
    """Listen with a real responder."""
    streams = DNSStreams(Responder(Numbers()), limits)
    return listen(endpoint, streams, limits=limits)


async def replies(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Read frames to the end."""
    while size := await reader.read(2):
        yield await reader.readexactly(int.from_bytes(size, "big"))


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Ask twenty questions in one segment, and see that each has its answer."""
    writer.write(frames(*(question("a.test", number) for number in range(20))))
    got = [await anext(replies(reader)) for _ in range(20)]
    assert [each[:2] for each in got] == [number.to_bytes(2, "big") for number in range(20)]
    assert {each[-4:] for each in got} == {bytes((192, 0, 2, 7))}


async def test_tcp() -> None:
    """Over TCP questions are answered, and a half-closed connection is closed after its replies."""
    async with server("tcp:0:interface=127.0.0.1") as listening:
        reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
        await exchange(reader, writer)
        writer.write(frames(question("b.test")))
        writer.write_eof()
        assert [each[-4:] async for each in replies(reader)] == [bytes((192, 0, 2, 7))]
        writer.close()
        await writer.wait_closed()


async def test_unix(tmp_path: Path) -> None:
    """Over a unix socket too; a query that is dropped ends the connection."""
    async with server(f"unix:{tmp_path / 'dns'}"):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "dns")
        await exchange(reader, writer)
        writer.write(frames(question("drop.test")))
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_tls() -> None:
    """Over TLS too."""
    async with server("tls:0:interface=127.0.0.1:selfsigned=localhost") as listening:
        reader, writer = await open_connection(listening.client_endpoints[0])
        await exchange(reader, writer)
        writer.close()
        await writer.wait_closed()


def test_client_that_never_reads() -> None:
    """A client that asks and never reads is given up; others are answered meanwhile."""

    async def main() -> None:
        async with server("tcp:0:interface=127.0.0.1") as listening:
            await asyncio.wait_for(flood(listening), 60)

    async def ask_for_ever(greedy: socket.socket, between: Callable[[], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await loop.sock_sendall(greedy, frames(*[question("big.test")] * 100))
            await between()

    async def flood(listening: Server) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
        with socket.create_connection(("127.0.0.1", listening.port)) as greedy:
            greedy.setblocking(False)
            with pytest.raises(ConnectionError):
                await ask_for_ever(greedy, partial(exchange, reader, writer))
        await exchange(reader, writer)
        writer.close()
        await writer.wait_closed()

    run(main())


class Slow(Answers):
    """A responder that takes a while for each query."""

    def respond(self, packet: bytes, source: Any) -> bytes | Late | None:
        cast(ClockLoop, asyncio.get_running_loop()).jump(0.001)
        return super().respond(packet, source)


def test_slow_queries_leave_others_their_turn() -> None:
    """Of many slow queries in a segment some are answered at once and the rest in later turns of the loop."""

    async def main() -> None:
        answers = Slow()
        client = Client(streams=DNSStreams(cast(Responder, answers), LIMITS))
        data = frames(*(query(str(number)) for number in range(20)))
        counts = []
        client.send(data)
        client.protocol.eof_received()
        while len(answers.asked) < 20:
            counts.append(len(answers.asked))
            assert "close" not in client.calls
            await asyncio.sleep(0)
        assert counts == [8, 16]
        assert client.sent == data
        assert client.calls[-1] == "close"

    run(main())


def test_nothing_is_read_while_queries_wait_for_their_turn() -> None:
    """A connection whose queries take their time is not read until they are answered."""

    async def main() -> None:
        client = Client(streams=DNSStreams(cast(Responder, Slow()), LIMITS))
        client.send(frames(*(query(str(number)) for number in range(12))))
        assert client.calls == ["pause"]
        await turn()
        assert client.calls == ["pause", "resume"]

    run(main())
