"""Relays: every fact for bytes that Python carries, and for bytes that the kernel carries."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import struct
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest

from asyncendpoints import ConnectRefusedError, ConnectTimeoutError, listen, open_connection
from asyncendpoints.grammar import Name
from asyncendpoints.relaying import Closed, Failed, Opened, Relay, RelayEvent, Totals
from asyncendpoints.specs import ClientSpec
from asyncendpoints.splicing import is_available
from tests.support import no_descriptors_left, open_descriptors, warm_up

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from asyncendpoints.attempt import Attempt
    from asyncendpoints.server import Server

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
P = TypeVar("P", bound=asyncio.BaseProtocol)

TCP = "tcp:0:interface=127.0.0.1"
TLS = "tls:0:interface=127.0.0.1:selfsigned=localhost"

ENGINES = [
    pytest.param(False, id="buffered"),
    pytest.param(True, id="spliced", marks=pytest.mark.skipif(not is_available(), reason="Linux")),
]


@dataclass
class Rig:
    """A relay between a server and a backend."""

    relay: Relay
    server: Server
    backend: asyncio.Queue[Streams]
    events: list[RelayEvent]

    async def connect(self) -> Streams:
        return await open_connection(self.server.client_endpoints[0])

    async def pair(self) -> tuple[Streams, Streams]:
        """Connect, and give the streams of both ends."""
        return await self.connect(), await self.backend.get()

    async def event(self, kind: type[RelayEvent]) -> Any:
        """Wait for an event of a kind."""
        await until(lambda: any(isinstance(each, kind) for each in self.events))
        return next(each for each in self.events if isinstance(each, kind))


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something is the case."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0)


@asynccontextmanager
async def relayed(
    splice: bool = False, front: str = TCP, behind: str = TCP, **options: Any
) -> AsyncIterator[Rig]:
    """Run a backend and a relay to it."""
    connections: asyncio.Queue[Streams] = asyncio.Queue()
    events: list[RelayEvent] = []
    kept: list[Streams] = []

    async def collect(server: Any) -> None:
        async for streams in server:
            kept.append(streams)
            connections.put_nowait(streams)

    async with listen(behind) as backend:
        collecting = asyncio.ensure_future(collect(backend))
        relay = Relay(backend.client_endpoints[0], splice=splice, on_event=events.append, **options)
        async with listen(front, relay.accept) as server:
            yield Rig(relay, server, connections, events)
            server.abort_clients()
        await relay.close()
        for _, writer in kept:
            writer.close()
    await collecting


async def end(*pairs: Streams) -> None:
    """Close connections."""
    for _, writer in pairs:
        writer.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """Abort a connection so that its peer sees a reset."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    cast(asyncio.Transport, writer.transport).abort()


# What goes through


@pytest.mark.parametrize("splice", ENGINES)
async def test_bytes_go_both_ways(splice: bool) -> None:
    """What the client sends the backend receives, and the reverse."""
    async with relayed(splice) as rig:
        client, backend = await rig.pair()
        client[1].write(b"question")
        assert await backend[0].readexactly(8) == b"question"
        backend[1].write(b"answer")
        assert await client[0].readexactly(6) == b"answer"
        await end(client)


@pytest.mark.parametrize("splice", ENGINES)
async def test_the_end_of_data_is_passed_on_and_the_answer_still_comes(splice: bool) -> None:
    """A backend that answers only after the end of the question can do so."""
    async with relayed(splice) as rig:
        client, backend = await rig.pair()
        client[1].write(b"question")
        client[1].write_eof()
        assert await backend[0].read() == b"question"
        backend[1].write(b"answer")
        backend[1].close()
        assert await client[0].read() == b"answer"
        assert (await rig.event(Closed)).error is None
        await end(client)


@pytest.mark.parametrize("splice", ENGINES)
async def test_the_backend_can_end_first(splice: bool) -> None:
    """A client that has been told the end of data can go on sending."""
    async with relayed(splice) as rig:
        client, backend = await rig.pair()
        backend[1].write_eof()
        assert await client[0].read() == b""
        client[1].write(b"late")
        client[1].write_eof()
        assert await backend[0].read() == b"late"
        assert (await rig.event(Closed)).sent == 4
        await end(client)


@pytest.mark.parametrize("splice", ENGINES)
@pytest.mark.parametrize("behind", [TCP, "memory:relayed"])
async def test_a_reader_that_is_late_gets_every_byte(splice: bool, behind: str) -> None:
    """Of 16 MB that nobody read at first none is lost, and none is out of order."""
    data = hashlib.sha256(b"seed").digest() * (16 * 2**20 // 32)
    async with relayed(splice, behind=behind) as rig:
        client, backend = await rig.pair()
        client[1].write(data)
        client[1].write_eof()
        await until(lambda: rig.relay.totals.sent > 0)
        before = -1
        while before != rig.relay.totals.sent:
            before = rig.relay.totals.sent
            for _ in range(50):
                await asyncio.sleep(0)
        assert before < len(data)
        assert await backend[0].read() == data
        await end(client, backend)


@pytest.mark.parametrize("splice", ENGINES)
async def test_a_sender_waits_for_a_reader_that_does_not_read(splice: bool) -> None:
    """The relay takes no more than the buffers of the system and one of its own hold."""
    async with relayed(splice) as rig:
        client, _ = await rig.pair()
        client[1].write(bytes(64 * 2**20))
        await until(lambda: rig.relay.totals.sent > 2**20)
        before = -1
        while before != rig.relay.totals.sent:
            before = rig.relay.totals.sent
            for _ in range(50):
                await asyncio.sleep(0)
        assert before < 32 * 2**20
        reset(client[1])


async def test_a_buffer_that_a_transport_holds_is_not_read_into() -> None:
    """Two pairs, one of them stuck, do not see each other's bytes."""
    async with relayed() as rig:
        stuck, late = await rig.pair()
        stuck[1].write(b"a" * 32 * 2**20)
        await until(lambda: any(pair.back.held() for pair in rig.relay._pairs))
        client, backend = await rig.pair()
        client[1].write(b"b" * 65536)
        assert await backend[0].readexactly(65536) == b"b" * 65536
        assert await late[0].readexactly(32 * 2**20) == b"a" * 32 * 2**20
        await end(stuck, client)


@pytest.mark.parametrize(("front", "behind"), [(TLS, TCP), (TCP, TLS), (TLS, TLS)])
async def test_tls_is_carried_by_python(front: str, behind: str) -> None:
    """Where a side is TLS nothing is spliced, and 4 MB arrive whole."""
    data = hashlib.sha256(b"seed").digest() * (4 * 2**20 // 32)
    async with relayed(splice=front == TCP, front=front, behind=behind) as rig:
        client, backend = await rig.pair()
        client[1].write(data)
        assert await backend[0].readexactly(len(data)) == data
        backend[1].write(data)
        assert await client[0].readexactly(len(data)) == data
        assert not (await rig.event(Opened)).spliced
        await end(client)


# How pairs end


@pytest.mark.parametrize("splice", ENGINES)
async def test_a_reset_by_the_client_is_passed_on(splice: bool) -> None:
    """A backend sees the reset of the client as a reset."""
    async with relayed(splice) as rig:
        client, backend = await rig.pair()
        reset(client[1])
        with pytest.raises(ConnectionResetError):
            await backend[0].read()
        assert isinstance((await rig.event(Closed)).error, ConnectionResetError)


@pytest.mark.parametrize("splice", ENGINES)
async def test_a_reset_by_the_backend_is_passed_on(splice: bool) -> None:
    """A client sees the reset of the backend as a reset."""
    async with relayed(splice) as rig:
        client, backend = await rig.pair()
        reset(backend[1])
        with pytest.raises(ConnectionResetError):
            await client[0].read()
        assert isinstance((await rig.event(Closed)).error, ConnectionResetError)
        await end(client)


@pytest.mark.parametrize("splice", ENGINES)
async def test_a_client_that_the_server_aborts_takes_its_backend_with_it(splice: bool) -> None:
    """A truncated connection is no end of data for the other side."""
    async with relayed(splice) as rig:
        client, backend = await rig.pair()
        await rig.event(Opened)
        rig.server.abort_clients()
        with pytest.raises(ConnectionResetError):
            await backend[0].read()
        await end(client)


@pytest.mark.parametrize("splice", ENGINES)
async def test_unix_sockets_are_closed_without_a_reset(splice: bool) -> None:
    """A side that knows no reset is closed."""
    async with relayed(splice, behind="memory:relayed") as rig:
        client, backend = await rig.pair()
        await rig.event(Opened)
        reset(client[1])
        assert await backend[0].read() == b""


async def test_the_end_of_a_tls_client_ends_the_pair() -> None:
    """TLS has no half-close: the backend is told the end of data, and the connection is over."""
    async with relayed(front=TLS) as rig:
        client, backend = await rig.pair()
        client[1].write(b"all of it")
        await end(client)
        assert await backend[0].read() == b"all of it"
        assert (await rig.event(Closed)).error is None


async def test_a_tls_backend_that_cannot_be_told_is_given_up_after_some_silence() -> None:
    """Where the end of data cannot be passed on, the answer still comes, and silence ends the pair."""
    async with relayed(behind=TLS, half_close_timeout=0.05) as rig:
        client, backend = await rig.pair()
        client[1].write(b"question")
        client[1].write_eof()
        assert await backend[0].readexactly(8) == b"question"
        backend[1].write(b"answer")
        assert await client[0].readexactly(6) == b"answer"
        assert str((await rig.event(Closed)).error) == "idle for 0.05 s"
        await end(client)


async def test_a_client_that_left_for_certain_ends_the_pair_with_a_tls_backend() -> None:
    """Unix sockets tell a close from a half-close: there is no answer to wait for."""
    async with relayed(front="memory:front", behind=TLS, half_close_timeout=60) as rig:
        client, backend = await rig.pair()
        client[1].write(b"all of it")
        await end(client)
        assert await backend[0].read() == b"all of it"
        closed = await rig.event(Closed)
        assert (closed.sent, closed.error) == (9, None)


async def test_a_limit_of_silence_does_not_lengthen_the_idle_time() -> None:
    """Of the two limits the shorter one holds."""
    async with relayed(behind=TLS, idle_timeout=0.05, half_close_timeout=60) as rig:
        client, _ = await rig.pair()
        client[1].write_eof()
        assert str((await rig.event(Closed)).error) == "idle for 0.05 s"
        await end(client)


@pytest.mark.parametrize("splice", ENGINES)
async def test_a_pair_without_a_byte_is_reset_when_its_time_is_over(splice: bool) -> None:
    """After the idle time the client sees a reset, and the event says why."""
    async with relayed(splice, idle_timeout=0.05) as rig:
        client, _ = await rig.pair()
        with pytest.raises(ConnectionResetError):
            await client[0].read()
        closed = await rig.event(Closed)
        assert isinstance(closed.error, TimeoutError)
        assert closed.seconds >= 0.05
        await end(client)


async def test_a_slow_reader_is_not_idle() -> None:
    """Bytes that leave a buffer count, also where none come in."""
    async with relayed(idle_timeout=60) as rig:
        client, backend = await rig.pair()
        await rig.event(Opened)
        client[1].write(bytes(32 * 2**20))
        (pair,) = rig.relay._pairs
        await until(lambda: pair.back.held() > 0)
        pair.active -= 1000
        pair._watch()
        await backend[0].readexactly(8 * 2**20)
        pair.active -= 1000
        pair._watch()
        assert not [each for each in rig.events if isinstance(each, Closed)]
        reset(client[1])


# Dialling


async def test_a_dial_that_fails_resets_the_client_and_the_relay_goes_on() -> None:
    """One that cannot be connected is reset and reported; the next one, when it can, is served."""
    events: list[RelayEvent] = []
    relay = Relay("memory:absent", on_event=events.append)
    async with listen(TCP, relay.accept) as server:
        reader, writer = await open_connection(server.client_endpoints[0])
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        (failed,) = events
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, ConnectRefusedError)
        async with listen("memory:absent") as backend:
            client = await open_connection(server.client_endpoints[0])
            streams = await anext(aiter(backend))
            streams[1].write(b"here")
            assert await client[0].readexactly(4) == b"here"
            await end(client, streams)
    await relay.close()
    assert relay.totals == Totals(2, 1, 0, 0, 4)


@dataclass(frozen=True, slots=True, repr=False)
class GatedClient(ClientSpec):
    """Connects to an endpoint when the test lets it."""

    names = (Name("gated", "gated:"),)

    async def open_socket(self, attempt: Attempt) -> socket.socket:
        await Gate.opened.wait()
        return await Gate.target.open_socket(attempt)


class Gate:
    """What the test does with `GatedClient`."""

    opened: asyncio.Event
    target: ClientSpec


@asynccontextmanager
async def gated(behind: str = TCP, **options: Any) -> AsyncIterator[tuple[Rig, Any]]:
    """Run a relay whose dials wait for the gate."""
    Gate.opened = asyncio.Event()
    events: list[RelayEvent] = []
    async with listen(behind) as backend:
        Gate.target = backend.client_endpoints[0]
        relay = Relay(GatedClient(), on_event=events.append, **options)
        async with listen(TCP, relay.accept) as server:
            yield Rig(relay, server, asyncio.Queue(), events), backend
            server.abort_clients()
        await relay.close()


@pytest.mark.parametrize("splice", ENGINES)
async def test_what_a_client_sends_before_the_dial_is_done_is_not_lost(splice: bool) -> None:
    """A client that speaks and ends at once is heard when the backend is there."""
    async with gated(splice=splice) as (rig, backend):
        client = await rig.connect()
        client[1].write(b"early")
        client[1].write_eof()
        await until(lambda: rig.relay.totals.active == 1)
        for _ in range(5):
            await asyncio.sleep(0)
        Gate.opened.set()
        reader, writer = await anext(aiter(backend))
        assert await reader.read() == b"early"
        writer.write(b"answer")
        writer.close()
        assert await client[0].read() == b"answer"
        await end(client)


async def test_a_client_is_not_read_from_before_its_backend_is_there() -> None:
    """Megabytes that come before stay in the system, but for what a loop reads at once."""
    async with gated() as (rig, _):
        client = await rig.connect()
        client[1].write(bytes(8 * 2**20))
        await until(lambda: rig.relay.totals.active == 1)
        for _ in range(50):
            await asyncio.sleep(0)
        assert rig.relay.totals.sent <= 256 * 1024
        reset(client[1])


async def test_a_client_that_is_aborted_while_its_backend_is_dialled_ends_the_dial() -> None:
    """The dial is cancelled, and no error is reported."""
    async with gated() as (rig, _):
        client = await rig.connect()
        await until(lambda: rig.relay.totals.active == 1)
        rig.server.abort_clients()
        failed = await rig.event(Failed)
        assert failed.error is None
        await end(client)


async def test_a_dial_has_its_own_limit() -> None:
    """A dial that takes longer than ``connect_timeout`` fails."""
    async with gated(connect_timeout=0.01) as (rig, _):
        client = await rig.connect()
        assert isinstance((await rig.event(Failed)).error, ConnectTimeoutError)
        await end(client)


@pytest.mark.skipif(not is_available(), reason="Linux")
async def test_without_descriptors_a_pair_ends_with_the_error() -> None:
    """A pair that cannot be spliced for lack of descriptors is reset, and the relay goes on."""
    events: list[RelayEvent] = []
    limit = no_descriptors_left()

    def on_event(event: RelayEvent) -> None:
        events.append(event)
        if isinstance(event, Opened):
            limit.__enter__()

    async with listen(TCP) as backend:
        relay = Relay(backend.client_endpoints[0], splice=True, on_event=on_event)
        async with listen(TCP, relay.accept) as server:
            reader, writer = await open_connection(server.client_endpoints[0])
            with pytest.raises(ConnectionResetError):
                await reader.read()
            limit.__exit__(None, None, None)
            writer.close()
            await until(lambda: isinstance(events[-1], Closed))
            assert isinstance(cast(Closed, events[-1]).error, OSError)
        await relay.close()
        _, streams = await anext(backend)
        streams.close()


# With transports of the test


class FakeTransport(asyncio.Transport):
    """A transport that writes down what is done with it."""

    def __init__(self, *, half_closes: bool = True) -> None:
        super().__init__()
        self.half_closes = half_closes
        self.written = b""
        self.done: list[str] = []
        self.size = 0
        self.closing = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return self.size

    def pause_reading(self) -> None:
        self.done.append("pause")

    def resume_reading(self) -> None:
        self.done.append("resume")

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def can_write_eof(self) -> bool:
        return self.half_closes

    def write_eof(self) -> None:
        self.done.append("eof")

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True
        self.done.append("close")

    def abort(self) -> None:
        self.closing = True
        self.done.append("abort")


class FakePair:
    """Both sides of a pair over fake transports, before the dial is done."""

    def __init__(self, **options: Any) -> None:
        Gate.opened = asyncio.Event()
        self.relay = Relay(GatedClient(), **options)
        self.front, self.back = FakeTransport(), FakeTransport()
        self.protocol = cast(Any, self.relay.accept())
        self.protocol.connection_made(self.front)
        self.pair: Any = self.protocol._pair

    def receive(self, side: Any, data: bytes) -> None:
        side.get_buffer(-1)[: len(data)] = data
        side.buffer_updated(len(data))

    def dialled(self) -> None:
        """Let the dial succeed with the fake transport."""
        self.pair._dialling.remove_done_callback(self.pair._dialled)
        self.pair._dialling.cancel()
        self.pair.back.connection_made(self.back)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        self.pair._dialled(done)

    async def end(self) -> None:
        self.pair.abort(None)
        for side in (self.pair.front, self.pair.back):
            if side.transport is not None and not side.lost:
                side.connection_lost(None)
        await self.relay.close()


async def test_what_a_loop_reads_in_spite_of_the_pause_is_passed_on() -> None:
    """Bytes and an end of data that come before the dial is done are told when it is."""
    fake = FakePair()
    fake.receive(fake.protocol, b"early")
    fake.protocol.eof_received()
    assert fake.front.done == ["pause", "pause"]
    fake.dialled()
    assert fake.back.written == b"early"
    assert fake.back.done == ["pause", "eof", "resume"]
    await fake.end()


async def test_a_side_that_is_full_at_the_start_is_not_read_for() -> None:
    """Early bytes that the other side does not take at once keep the first side paused until it has."""
    fake = FakePair()
    fake.receive(fake.protocol, b"early")
    fake.pair.back.full = True
    fake.dialled()
    assert fake.front.done == ["pause", "pause"]
    fake.pair.back.resume_writing()
    assert fake.front.done[-1] == "resume"
    await fake.end()


async def test_early_bytes_that_are_stuck_are_not_spliced_around() -> None:
    """While a transport holds bytes the kernel may not write to its socket."""
    events: list[RelayEvent] = []
    fake = FakePair(splice=True, on_event=events.append)
    fake.back.size = 5
    fake.dialled()
    assert isinstance(events[0], Opened)
    assert not events[0].spliced
    await fake.end()


@pytest.mark.parametrize(("size", "is_kept"), [(0, True), (1, False)])
async def test_a_buffer_is_left_to_the_transport_that_holds_bytes_of_it(
    size: int, is_kept: bool
) -> None:
    """Transports of Python 3.12 and later keep what they could not send where it is."""
    fake = FakePair()
    fake.dialled()
    fake.back.size = size
    before = fake.relay.buffer
    fake.receive(fake.protocol, b"x")
    assert (fake.relay.buffer is before) == is_kept
    await fake.end()


async def test_what_comes_for_a_side_that_is_gone_is_dropped() -> None:
    """A transport that still delivers after the other side was lost does no harm."""
    fake = FakePair()
    fake.dialled()
    fake.pair.back.connection_lost(None)
    fake.receive(fake.protocol, b"late")
    assert fake.back.written == b""
    assert fake.pair.front.early == b""
    await fake.end()


async def test_a_side_that_is_closing_is_neither_paused_nor_resumed() -> None:
    """Loops differ in what that does to a transport that closes: it is not done."""
    fake = FakePair()
    fake.dialled()
    fake.front.closing = True
    before = list(fake.front.done)
    fake.pair.back.pause_writing()
    fake.pair.back.resume_writing()
    assert fake.front.done == before
    await fake.end()


async def test_an_end_of_data_for_a_side_that_is_closing_is_kept_to_itself() -> None:
    """The end of data of one side is not written to a transport that closes."""
    fake = FakePair()
    fake.dialled()
    fake.back.closing = True
    assert fake.protocol.eof_received() is True
    assert "eof" not in fake.back.done
    await fake.end()


async def test_of_a_side_without_a_socket_nothing_is_known_for_certain() -> None:
    """An end of data that cannot be passed on starts the limit of silence."""
    fake = FakePair()
    fake.back.half_closes = False
    fake.dialled()
    assert fake.protocol.eof_received() is True
    assert "close" not in fake.back.done
    await fake.end()


async def test_a_backend_that_is_lost_in_the_moment_of_the_dial_fails_it() -> None:
    """A connection that ends before anything flowed is a failure with its error."""
    events: list[RelayEvent] = []
    fake = FakePair(on_event=events.append)
    fake.pair._dialling.remove_done_callback(fake.pair._dialled)
    fake.pair._dialling.cancel()
    fake.pair.back.connection_made(fake.back)
    error = ConnectionResetError()
    fake.pair.back.connection_lost(error)
    assert fake.front.done[-1] == "abort"
    fake.protocol.connection_lost(None)
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    done.set_result(None)
    fake.pair._dialled(done)
    assert events == [Failed("", error)]


# The relay as a whole


async def test_events_and_totals_count_the_bytes() -> None:
    """The numbers are those of what went through, and addresses are those of the sockets."""
    async with relayed() as rig:
        client, backend = await rig.pair()
        peer = "{}:{}".format(*client[1].get_extra_info("sockname"))
        target = "{}:{}".format(*backend[1].get_extra_info("sockname"))
        client[1].write(b"12345")
        await backend[0].readexactly(5)
        backend[1].write(b"123")
        await client[0].readexactly(3)
        assert rig.relay.totals == Totals(1, 0, 1, 5, 3)
        client[1].write_eof()
        backend[1].close()
        closed = await rig.event(Closed)
        assert rig.events == [Opened(peer, target, False), closed]
        assert (closed.peer, closed.target, closed.sent, closed.received) == (peer, target, 5, 3)
        assert rig.relay.totals == Totals(1, 0, 0, 5, 3)
        await end(client)


async def test_a_client_without_a_name_has_none_in_the_events() -> None:
    """The peer of a connection in memory is empty."""
    async with relayed(front="memory:front") as rig:
        client, _ = await rig.pair()
        assert (await rig.event(Opened)).peer == ""
        await end(client)


@pytest.mark.parametrize("splice", ENGINES)
async def test_nothing_is_left_open(splice: bool) -> None:
    """After the end of a relay the process has the descriptors that it had before."""
    await warm_up()
    before = open_descriptors()
    async with relayed(splice) as rig:
        client, backend = await rig.pair()
        client[1].write(b"x")
        await backend[0].readexactly(1)
        client[1].write_eof()
        backend[1].close()
        assert await client[0].read() == b""
        client[1].close()
        await rig.event(Closed)
    for _ in range(5):
        await asyncio.sleep(0)
    assert open_descriptors() == before


@pytest.mark.parametrize("splice", ENGINES)
async def test_a_close_resets_what_does_not_end(splice: bool) -> None:
    """A pair that is open when the grace is over is reset, on both sides."""
    async with relayed(splice) as rig:
        client, backend = await rig.pair()
        await rig.event(Opened)
        await rig.relay.close(grace=0)
        for reader, _ in (client, backend):
            with pytest.raises(ConnectionResetError):
                await reader.read()
        await end(client)


async def test_a_close_ends_a_dial() -> None:
    """A pair whose other side is being dialled ends with the relay."""
    async with gated() as (rig, _):
        client = await rig.connect()
        await until(lambda: rig.relay.totals.active == 1)
        await rig.relay.close(grace=0)
        assert rig.relay.totals.failed == 1
        await end(client)


async def test_a_relay_is_made_from_text_too() -> None:
    """The target can be a description."""
    assert str(Relay("unix:/run/app.sock").target) == "unix:/run/app.sock"
