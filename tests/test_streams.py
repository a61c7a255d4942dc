"""Servers whose connections are streams."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

from asyncendpoints.addresses import Address
from asyncendpoints.errors import HandshakeError
from asyncendpoints.limits import Limits
from asyncendpoints.listening import listen, start_server
from asyncendpoints.streams import HandlerServer, StreamServer
from tests.clock import run
from tests.serving import (
    TASK_FACTORIES,
    FakeAcceptor,
    FakeListener,
    bound,
    complaints,
    leave,
    turns,
    until,
    visit,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCAL = "tcp:0:interface=127.0.0.1"

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]


@pytest.fixture(autouse=True, params=TASK_FACTORIES)
async def task_factory(request: pytest.FixtureRequest) -> None:
    """Run every test with each factory of tasks."""
    asyncio.get_running_loop().set_task_factory(request.param)


@pytest.fixture
def listener() -> Iterator[FakeListener]:
    """Give a listener, closed in the end."""
    made = FakeListener()
    yield made
    made.close()


def iterable(listener: FakeListener, acceptor: FakeAcceptor | None = None) -> StreamServer:
    """Start a server to iterate over."""
    return StreamServer([bound(listener, acceptor)], Limits(), 0.0, None)


def handling(listener: FakeListener, handle: Handle, drain: float = 0.0) -> HandlerServer:
    """Start a server that runs a coroutine for each connection."""
    return HandlerServer([bound(listener)], handle, 65536, Limits(), drain, None)


# Iteration


async def test_iteration_gives_streams() -> None:
    """Each connection comes out of the iteration as its reader and its writer, the first one first."""
    async with listen(LOCAL) as server:
        clients = [await visit(server) for _ in range(3)]
        for number, (_, writer) in enumerate(clients):
            writer.write(b"%d" % number)
        for said in (b"0", b"1", b"2"):
            reader, writer = await anext(server)
            assert await reader.readexactly(1) == said
            writer.write(b"!")
            writer.close()
        assert [await reader.read() for reader, _ in clients] == [b"!"] * 3
        await leave(*(writer for _, writer in clients))


async def test_iteration_ends_at_close(listener: FakeListener) -> None:
    """Closing the server ends an iteration that waits."""
    server = iterable(listener)
    waiting = asyncio.create_task(_collect(server))
    await turns()
    server.close()
    assert await waiting == 0


async def test_iteration_of_a_closed_server(listener: FakeListener) -> None:
    """The iteration over a closed server ends at once."""
    server = iterable(listener)
    server.close()
    assert await _collect(server) == 0


async def _collect(server: StreamServer) -> int:
    count = 0
    async for _, writer in server:
        count += 1
        writer.close()
    return count


async def test_unclaimed_streams_are_given_after_close(listener: FakeListener) -> None:
    """Streams that waited when the server was closed still come out of the iteration."""
    server = iterable(listener)
    with listener.connect(), listener.connect():
        await until(lambda: len(server._streams) == 2)
        server.close()
        assert await _collect(server) == 2
    await server.wait_closed()


async def test_stream_that_comes_after_close_is_closed(listener: FakeListener) -> None:
    """A connection whose handshake ends after close is closed: nobody would claim it."""
    acceptor = FakeAcceptor()
    acceptor.gate.clear()
    server = iterable(listener, acceptor)
    with listener.connect() as client:
        await turns()
        server.close()
        acceptor.gate.set()
        await server.wait_closed()
        assert client.recv(1) == b""
    assert await _collect(server) == 0


async def test_unclaimed_streams_pause_accepting(listener: FakeListener) -> None:
    """While a hundred streams wait to be claimed no connection is accepted; a claim makes room for one."""
    server = iterable(listener)
    clients = [listener.connect() for _ in range(103)]
    await until(lambda: len(server._streams) == 100)
    await turns()
    assert server.stats.accepted == 100
    _, writer = await anext(server)
    await until(lambda: len(server._streams) == 100)
    await turns()
    assert server.stats.accepted == 101
    writer.close()
    for client in clients:
        client.close()
    server.close()
    server.abort_clients()
    await server.wait_closed()


async def test_cancelled_iteration_loses_no_stream(listener: FakeListener) -> None:
    """A stream that arrives in the turn in which its iteration is cancelled goes to the next one."""
    server = iterable(listener)
    first = asyncio.ensure_future(anext(server))
    await turns()
    second = asyncio.ensure_future(anext(server))
    await turns()
    with listener.connect():
        await until(lambda: len(server._streams) == 1)
        first.cancel()
        _, writer = await second
        with pytest.raises(asyncio.CancelledError):
            await first
        writer.close()
        server.close()
        await server.wait_closed()


async def test_several_iterations_share_the_streams(listener: FakeListener) -> None:
    """Each stream goes to one of the iterations that wait, and all of them end at close."""
    server = iterable(listener)
    iterations = [asyncio.create_task(_collect(server)) for _ in range(3)]
    clients = [listener.connect() for _ in range(10)]
    await until(lambda: server.stats.accepted == 10 and not server.stats.active)
    server.close()
    assert sum(await asyncio.gather(*iterations)) == 10
    for client in clients:
        client.close()


async def test_streams_of_connections_that_left(listener: FakeListener) -> None:
    """A client that has said all and left before it is claimed is heard all the same."""
    async with iterable(listener) as server:
        with listener.connect() as client:
            client.send(b"hello")
        reader, writer = await anext(server)
        assert await reader.read() == b"hello"
        writer.close()


# Handlers


async def test_handler_runs_for_each_connection() -> None:
    """The coroutine gets the streams of each connection, all at the same time."""
    together = asyncio.Barrier(3)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await together.wait()
        writer.write(await reader.readexactly(1))
        writer.close()

    async with start_server(handle, LOCAL) as server:
        clients = [await visit(server) for _ in range(3)]
        for _, writer in clients:
            writer.write(b"x")
        assert [await reader.read() for reader, _ in clients] == [b"x"] * 3
        await leave(*(writer for _, writer in clients))


async def test_handler_can_be_a_plain_function() -> None:
    """A plain function is called with the streams, whatever it returns."""

    def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> object:
        writer.write(b"hello")
        writer.close()
        return 5

    heard = complaints()
    async with start_server(handle, LOCAL) as server:  # type: ignore[arg-type]  # as asyncio's
        reader, writer = await visit(server)
        assert await reader.read() == b"hello"
        await leave(writer)
    assert heard == []


async def test_limit_is_that_of_the_reader() -> None:
    """The limit of start_server is the size of each reader's buffer."""
    result: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with pytest.raises(ValueError) as caught:
            await reader.readline()
        result.set_result(caught.value)
        writer.close()

    async with start_server(handle, LOCAL, limit=10) as server:
        _, writer = await visit(server)
        writer.write(b"x" * 100)
        assert "limit" in str(await result)
        await leave(writer)


async def test_handler_that_raises() -> None:
    """An exception of a handler is reported with the peer, closes its connection, and the server goes on."""
    heard = complaints()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readexactly(1) == b"x":
            raise ZeroDivisionError
        writer.write(b"fine")
        writer.close()

    async with start_server(handle, LOCAL) as server:
        reader, writer = await visit(server)
        peer = Address(socket.AF_INET, writer.get_extra_info("sockname"))
        writer.write(b"x")
        assert await reader.read() == b""
        await leave(writer)
        reader, writer = await visit(server)
        writer.write(b"y")
        assert await reader.read() == b"fine"
        await leave(writer)
    message = f"the handler of the connection of {peer} raised"
    assert [each["message"] for each in heard] == [message]
    assert isinstance(heard[0]["exception"], ZeroDivisionError)


async def test_handler_of_a_nameless_client_that_raises(listener: FakeListener) -> None:
    """A client without an address, as on a unix socket, is called a client."""
    heard = complaints()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise ZeroDivisionError

    async with handling(listener, handle):
        with listener.connect() as client:
            await until(lambda: bool(heard))
            await turns()
            assert client.recv(1) == b""
    assert heard[0]["message"] == "the handler of the connection of a client raised"


async def test_handler_that_is_cancelled(listener: FakeListener) -> None:
    """A handler that cancels itself costs its connection, after what it wrote, and nothing is reported."""
    heard = complaints()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        raise asyncio.CancelledError

    async with handling(listener, handle) as server:
        with listener.connect() as client:
            await until(lambda: server.stats.accepted == 1 and not server.stats.active)
            assert client.recv(10) == b"bye"
            assert client.recv(10) == b""
    assert heard == []


async def test_handlers_are_waited_for(listener: FakeListener) -> None:
    """A server is closed when its last handler has ended, though its connection is gone before."""
    going_on = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        await going_on.wait()

    server = handling(listener, handle)
    waiting = asyncio.create_task(server.wait_closed())
    with listener.connect():
        await until(lambda: server.stats.accepted == 1 and not server.stats.active)
        server.close()
        await turns()
        assert not waiting.done()
        going_on.set()
        await waiting


def test_leaving_gives_handlers_a_second(listener: FakeListener) -> None:
    """Handlers that go on a second after their connections were closed are cancelled."""
    ended: list[tuple[float, str]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        assert await reader.read() == b""
        ended.append((loop.time(), "connection"))
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            ended.append((loop.time(), "handler"))
            raise

    async def main() -> None:
        async with handling(listener, handle, drain=5.0) as server:
            client = listener.connect()
            await until(lambda: server.stats.active > 0)
        client.close()
        ended.append((asyncio.get_running_loop().time(), "left"))

    run(main())
    assert ended == [(5.0, "connection"), (6.0, "handler"), (6.0, "left")]


def test_drain_time_ends_with_the_handlers(listener: FakeListener) -> None:
    """Handlers that end in the drain time end it, and are not cancelled."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3)
        writer.close()

    async def main() -> None:
        async with handling(listener, handle, drain=5.0) as server:
            client = listener.connect()
            await until(lambda: server.stats.active > 0)
        assert asyncio.get_running_loop().time() == 3.0
        client.close()

    run(main())


def test_leaving_with_an_exception_cancels_handlers(listener: FakeListener) -> None:
    """With an exception the handlers are cancelled at once."""
    cancelled: list[bool] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def serve() -> None:
        async with handling(listener, handle, drain=5.0) as server:
            with listener.connect():
                await until(lambda: server.stats.active > 0)
                await turns()
                raise ZeroDivisionError

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await serve()
        assert asyncio.get_running_loop().time() == 0.0

    run(main())
    assert cancelled == [True]


async def test_handler_that_aborts_all(listener: FakeListener) -> None:
    """A handler that aborts all clients cancels the others, and goes on itself."""
    ended: list[str] = []
    other_runs = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not other_runs.is_set():
            other_runs.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("other")
        server.close()
        server.abort_clients()
        await turns()
        ended.append("self")

    server = handling(listener, handle)
    with listener.connect():
        await other_runs.wait()
        with listener.connect():
            await server.wait_closed()
    assert ended == ["other", "self"]


async def test_abort_from_a_callback(listener: FakeListener) -> None:
    """Outside of any task, as in a signal handler, abort_clients cancels every handler."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    server = handling(listener, handle)
    with listener.connect():
        await until(lambda: bool(server._handlers))
        server.close()
        asyncio.get_running_loop().call_soon(server.abort_clients)
        await server.wait_closed()


async def test_errors_and_limits_are_those_of_all_servers(listener: FakeListener) -> None:
    """Limits and on_error do on a server of streams what they do on any other."""
    heard: list[HandshakeError] = []
    acceptor = FakeAcceptor()
    acceptor.error = HandshakeError(Address(socket.AF_INET, ("192.0.2.1", 1)), "no")
    limits = Limits(max_connections=1)
    async with StreamServer([bound(listener, acceptor)], limits, 0.0, heard.append) as server:
        listener.fail(errno.ECONNABORTED)
        with listener.connect():
            await until(lambda: bool(heard))
        acceptor.error = None
        with listener.connect(), listener.connect():
            _, writer = await anext(server)
            await turns()
            assert server.stats.active == 1
            writer.close()
