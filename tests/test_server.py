"""The server: accepting, limits, and the end of connections."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import gc
import logging
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any, cast

import pytest

from asyncendpoints.addresses import Address
from asyncendpoints.errors import EndpointError, HandshakeError
from asyncendpoints.kinds.tcp import TCPClient, TCPServer
from asyncendpoints.limits import Limits, Stats
from asyncendpoints.listening import listen
from asyncendpoints.server import Bound, Server
from tests.clock import run
from tests.serving import (
    TASK_FACTORIES,
    FakeAcceptor,
    FakeListener,
    Visitor,
    Visits,
    bound,
    complaints,
    leave,
    make_server,
    turns,
    until,
    visit,
)
from tests.support import Recorder, no_descriptors_left, open_descriptors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncendpoints.listeners import Connection

LOCAL = "tcp:0:interface=127.0.0.1"


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


# What a connection gets


async def test_factory_is_called_after_the_handshake(listener: FakeListener) -> None:
    """The factory is called once for each connection, and not before its handshake is over."""
    visits, acceptor = Visits(), FakeAcceptor()
    acceptor.gate.clear()
    async with make_server(listener, visits, acceptor):
        with listener.connect():
            await turns()
            assert visits.made == 0
            acceptor.gate.set()
            await visits.next()
            await turns()
            assert visits.made == 1


async def test_transport_is_the_loops_own() -> None:
    """A protocol gets a transport of the very class that the loop's own servers give, and is its protocol."""
    visits, plain = Visits(), Visits()
    loop = asyncio.get_running_loop()
    async with listen(LOCAL, visits) as server:
        _, writer = await visit(server)
        ours = await visits.next()
        peer = await loop.create_server(plain, "127.0.0.1", 0)
        _, other = await asyncio.open_connection(*peer.sockets[0].getsockname())
        theirs = await plain.next()
        assert type(ours.transport) is type(theirs.transport)
        assert ours.transport is not None
        assert ours.transport.get_protocol() is ours
        await leave(writer, other)
        peer.close()
        await peer.wait_closed()


async def test_extra_info_is_that_of_the_connection() -> None:
    """The transport knows both addresses."""
    visits = Visits()
    async with listen(LOCAL, visits) as server:
        _, writer = await visit(server)
        transport = (await visits.next()).transport
        assert transport is not None
        assert transport.get_extra_info("peername") == writer.get_extra_info("sockname")
        assert transport.get_extra_info("sockname") == ("127.0.0.1", server.port)
        await leave(writer)


async def test_nodelay_is_set() -> None:
    """An accepted TCP connection has TCP_NODELAY."""
    visits = Visits()
    async with listen(LOCAL, visits) as server:
        _, writer = await visit(server)
        transport = (await visits.next()).transport
        assert transport is not None
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await leave(writer)


async def test_context_is_that_of_listen() -> None:
    """A connection runs in the context of whoever listened, not in that of the one that made room for it."""
    variable = contextvars.ContextVar("variable", default="unset")
    seen: asyncio.Queue[str] = asyncio.Queue()

    class Protocol(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            seen.put_nowait(variable.get())
            variable.set("of a connection")
            transport.close()

    variable.set("of listen")
    async with listen(LOCAL, Protocol, limits=Limits(max_connections=1)) as server:
        variable.set("of afterwards")
        for _ in range(3):
            _, writer = await visit(server)
            assert await seen.get() == "of listen"
            await leave(writer)


# Limits


async def test_more_than_max_connections_wait() -> None:
    """The connection above the limit waits in the backlog, and is served when another one ends."""
    visits = Visits()
    async with listen(LOCAL, visits, limits=Limits(max_connections=2)) as server:
        streams = [await visit(server) for _ in range(3)]
        first, _ = await visits.next(), await visits.next()
        await turns()
        assert (visits.made, server.stats.accepted) == (2, 2)
        assert first.transport is not None
        first.transport.close()
        await visits.next()
        assert server.stats == Stats(3, 2, 0, 0, 0)
        await leave(*(writer for _, writer in streams))


async def test_more_than_max_handshakes_wait(listener: FakeListener) -> None:
    """A connection is accepted when a handshake is over, while the connections stay."""
    visits, acceptor = Visits(), FakeAcceptor()
    acceptor.gate.clear()
    async with make_server(listener, visits, acceptor, limits=Limits(max_handshakes=2)) as server:
        with listener.connect(), listener.connect(), listener.connect():
            await turns()
            assert (server.stats.accepted, len(listener.waiting)) == (2, 1)
            acceptor.gate.set()
            for _ in range(3):
                await visits.next()
            assert server.stats.active == 3


async def test_more_than_max_per_peer_are_reset() -> None:
    """The connection above the limit of its peer is reset and counted; there is room when another ends."""
    visits = Visits()
    async with listen(LOCAL, visits, limits=Limits(max_per_peer=1)) as server:
        _, writer = await visit(server)
        first = await visits.next()
        refused = socket.create_connection(("127.0.0.1", server.port))
        refused.setblocking(False)
        with refused, pytest.raises(ConnectionResetError):
            await asyncio.get_running_loop().sock_recv(refused, 1)
        assert server.stats == Stats(2, 1, 1, 0, 0)
        await leave(writer)
        await first.lost.wait()
        await turns()
        _, writer = await visit(server)
        await visits.next()
        assert visits.made == 2
        await leave(writer)


@pytest.mark.parametrize(
    ("peers", "rejected"),
    [
        ([("192.0.2.1", 1), ("::ffff:192.0.2.1", 2, 0, 0)], 1),
        ([("192.0.2.1", 1), ("192.0.2.2", 1)], 0),
        ([("2001:db8::1", 1, 0, 0), ("2001:db8::1", 2, 0, 0)], 1),
        (["", ""], 0),
    ],
)
async def test_peers_are_counted_by_address(
    listener: FakeListener, peers: list[Any], rejected: int
) -> None:
    """An IPv4-mapped address counts as the IPv4 address; the peers of unix sockets are not counted."""
    visits = Visits()
    async with make_server(listener, visits, limits=Limits(max_per_peer=1)) as server:
        clients = [listener.connect(peer) for peer in peers]
        for _ in range(len(peers) - rejected):
            await visits.next()
        await turns()
        assert server.stats.rejected == rejected
        for client in clients:
            client.close()


async def test_peers_that_left_are_forgotten(listener: FakeListener) -> None:
    """Of a peer without connections nothing is kept, also if it had several."""
    visits = Visits()
    async with make_server(listener, visits, limits=Limits(max_per_peer=2)) as server:
        with listener.connect(), listener.connect():
            await visits.next()
            await visits.next()
            assert dict(server._per_peer) == {"192.0.2.1": 2}
        await server.drain()
        assert dict(server._per_peer) == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_connections": 0}, "max_connections is 0, expected 1 or more"),
        ({"max_per_peer": -1}, "max_per_peer is -1, expected 1 or more"),
        ({"max_handshakes": 0}, "max_handshakes is 0, expected 1 or more"),
        ({"max_connections": "5"}, "max_connections is a whole number, not '5'"),
        ({"handshake_timeout": "5"}, "handshake_timeout is in seconds, not '5'"),
        ({"handshake_timeout": None}, "handshake_timeout is in seconds, not None"),
        ({"handshake_timeout": 0.0}, "handshake_timeout is 0.0, expected seconds above 0"),
    ],
)
def test_limits_are_checked(arguments: dict[str, Any], message: str) -> None:
    """A limit that lets nobody in is an error when it is made."""
    with pytest.raises((ValueError, TypeError)) as caught:
        Limits(**arguments)
    assert str(caught.value) == message


async def test_handshake_timeout_reaches_the_acceptor(listener: FakeListener) -> None:
    """The acceptor is told how long a handshake may take."""
    visits, acceptor = Visits(), FakeAcceptor()
    async with make_server(listener, visits, acceptor, limits=Limits(handshake_timeout=7.0)):
        with listener.connect():
            await visits.next()
    assert acceptor.timeouts == [7.0]


# Handshakes and factories that fail


async def test_failed_handshake_is_counted_and_reported(
    listener: FakeListener, caplog: pytest.LogCaptureFixture
) -> None:
    """A failed handshake is counted, given to on_error, and logged for debugging only; the server goes on."""
    caplog.set_level(logging.DEBUG, "asyncendpoints")
    heard: list[HandshakeError] = []
    visits, acceptor = Visits(), FakeAcceptor()
    error = HandshakeError(Address(socket.AF_INET, ("192.0.2.1", 50000)), "spoke nonsense")
    acceptor.error = error
    async with make_server(listener, visits, acceptor, on_error=heard.append) as server:
        with listener.connect():
            await turns()
        assert heard == [error]
        assert server.stats == Stats(1, 0, 0, 1, 0)
        acceptor.error = None
        with listener.connect():
            await visits.next()
    assert caplog.record_tuples == [
        ("asyncendpoints", logging.DEBUG, "192.0.2.1:50000: spoke nonsense")
    ]


async def test_failed_handshake_without_a_hook(listener: FakeListener) -> None:
    """Without on_error a failed handshake is counted, and nothing is complained of."""
    heard, acceptor = complaints(), FakeAcceptor()
    acceptor.error = HandshakeError(Address(socket.AF_INET, ("192.0.2.1", 50000)), "no")
    async with make_server(listener, Visits(), acceptor) as server:
        with listener.connect():
            await turns()
        assert server.stats.handshake_failed == 1
    assert heard == []


async def test_hook_that_raises(listener: FakeListener) -> None:
    """What on_error raises is reported to the loop, and the server goes on."""
    heard, visits, acceptor = complaints(), Visits(), FakeAcceptor()
    acceptor.error = HandshakeError(Address(socket.AF_INET, ("192.0.2.1", 50000)), "no")

    def hook(error: HandshakeError) -> None:
        raise ZeroDivisionError

    async with make_server(listener, visits, acceptor, on_error=hook):
        with listener.connect():
            await turns()
        acceptor.error = None
        with listener.connect():
            await visits.next()
    assert [each["message"] for each in heard] == ["on_error of a server raised"]
    assert isinstance(heard[0]["exception"], ZeroDivisionError)


async def test_factory_that_raises() -> None:
    """A factory that raises costs its connection, and is reported with the endpoint and the peer."""
    heard, visits = complaints(), Visits()
    broken = True

    def factory() -> asyncio.Protocol:
        if broken:
            raise ZeroDivisionError
        return visits()

    async with listen(LOCAL, factory) as server:
        reader, writer = await visit(server)
        assert await reader.read() == b""
        peer = Address(socket.AF_INET, writer.get_extra_info("sockname"))
        await leave(writer)
        broken = False
        _, writer = await visit(server)
        await visits.next()
        await leave(writer)
        assert server.stats.handshake_failed == 0
    message = f"tcp:0:127.0.0.1: no protocol for the connection of {peer}"
    assert [each["message"] for each in heard] == [message]
    assert isinstance(heard[0]["exception"], ZeroDivisionError)


# Errors of accept


@pytest.mark.parametrize("code", [errno.ECONNABORTED, errno.EPROTO, errno.EPERM])
async def test_lost_connections_are_ignored(listener: FakeListener, code: int) -> None:
    """An error that concerns one connection does not keep the next one waiting, and is not counted."""
    visits = Visits()
    async with make_server(listener, visits) as server:
        listener.fail(code)
        with listener.connect():
            await visits.next()
        assert server.stats.accept_errors == 0


def test_pauses_grow_while_there_is_no_room(listener: FakeListener) -> None:
    """Without descriptors accept is tried after 50 ms, then after twice as long each time, up to a second."""

    async def main() -> None:
        async with make_server(listener, Visits()) as server:
            for _ in range(7):
                listener.fail(errno.EMFILE)
            await asyncio.sleep(5)
            assert listener.asked == pytest.approx(
                [0.0, 0.05, 0.15, 0.35, 0.75, 1.55, 2.55, 3.55][:7]
            )
            assert server.stats.accept_errors == 7

    run(main())


def test_pauses_begin_anew_after_a_success(listener: FakeListener) -> None:
    """Once a connection was accepted, the next pause is 50 ms again."""

    async def main() -> None:
        visits = Visits()
        async with make_server(listener, visits):
            listener.fail(errno.EMFILE)
            listener.fail(errno.EMFILE)
            with listener.connect(), listener.connect():
                await visits.next()
                await visits.next()
                listener.fail(errno.EMFILE)
                await turns()
                start = asyncio.get_running_loop().time()
                with listener.connect():
                    await visits.next()
            assert asyncio.get_running_loop().time() == pytest.approx(start + 0.05)

    run(main())


def test_one_log_line_a_minute(listener: FakeListener, caplog: pytest.LogCaptureFixture) -> None:
    """While there is no room, one line a minute says so."""

    async def main() -> None:
        async with make_server(listener, Visits()):
            for _ in range(90):
                listener.fail(errno.ENFILE)
            await asyncio.sleep(59)
            assert len(caplog.records) == 1
            await asyncio.sleep(2)

    run(main())
    message = "tcp:4321: accepting is paused: too many open files in system"
    assert caplog.record_tuples == [("asyncendpoints", logging.ERROR, message)] * 2


def test_end_of_a_connection_ends_the_pause(listener: FakeListener) -> None:
    """A connection that ends gives its descriptor to the next: accepting goes on at once."""

    async def main() -> None:
        visits = Visits()
        async with make_server(listener, visits) as server:
            with listener.connect(), listener.connect():
                first, second = await visits.next(), await visits.next()
                listener.fail(errno.EMFILE)
                await turns()
                assert server.stats.accept_errors == 1
                for each in (first, second):
                    assert each.transport is not None
                    each.transport.close()
                with listener.connect():
                    await visits.next()
        assert asyncio.get_running_loop().time() == 0.0

    run(main())


def test_connections_go_on_during_the_pause(listener: FakeListener) -> None:
    """What is connected is served while accepting is paused."""

    async def main() -> None:
        visits = Visits()
        async with make_server(listener, visits):
            with listener.connect() as client:
                visitor = await visits.next()
                listener.fail(errno.EMFILE)
                await turns()
                client.send(b"hello")
                await turns()
                assert visitor.received == b"hello"

    run(main())


def test_close_during_the_pause(listener: FakeListener) -> None:
    """A server that is closed while accepting is paused does not ask its listener again."""

    async def main() -> None:
        server = make_server(listener, Visits())
        listener.fail(errno.EMFILE)
        await turns()
        server.close()
        await asyncio.sleep(10)
        assert listener.asked == [0.0]

    run(main())


def test_connection_that_ends_after_close_during_the_pause(listener: FakeListener) -> None:
    """The end of a connection does not make a closed server accept."""

    async def main() -> None:
        visits = Visits()
        server = make_server(listener, visits)
        client = listener.connect()
        visitor = await visits.next()
        listener.fail(errno.EMFILE)
        await turns()
        client.close()
        await visitor.lost.wait()
        server.close()
        await server.wait_closed()
        await turns()
        assert len(listener.asked) == 2

    run(main())


async def test_descriptors_run_out(caplog: pytest.LogCaptureFixture) -> None:
    """Out of descriptors, a real server logs one line, and serves who waited once there are some."""
    visits = Visits()
    loop = asyncio.get_running_loop()
    async with listen(LOCAL, visits) as server:
        client = socket.socket()
        client.setblocking(False)
        with no_descriptors_left():
            await loop.sock_connect(client, ("127.0.0.1", server.port))
            await until(lambda: server.stats.accept_errors > 0)
            assert visits.made == 0
        await visits.next()
        client.close()
    message = "tcp:0:127.0.0.1: accepting is paused: too many open files"
    assert caplog.record_tuples == [("asyncendpoints", logging.ERROR, message)]


async def test_crowd_is_accepted_in_growing_bursts(listener: FakeListener) -> None:
    """A crowd is taken by ones, twos, fours; when it is gone they are taken one at a time again."""
    visits = Visits()
    async with make_server(listener, visits) as server:
        clients = [listener.connect() for _ in range(7)]
        for _ in clients:
            await visits.next()
        await turns()
        assert server._burst == 8
        clients.append(listener.connect())
        await visits.next()
        assert server._burst == 1
        for client in clients:
            client.close()


async def test_burst_stops_at_the_limit(listener: FakeListener) -> None:
    """A burst ends with the connection that reaches a limit."""
    visits = Visits()
    async with make_server(listener, visits, limits=Limits(max_connections=3)) as server:
        clients = [listener.connect() for _ in range(10)]
        for _ in range(3):
            await visits.next()
        await turns()
        assert (server.stats.active, len(listener.waiting)) == (3, 7)
        for client in clients:
            client.close()


# Closing


async def test_refuses_at_once_after_close() -> None:
    """A connect right after close is refused, and the connections there are go on."""
    visits = Visits()
    server = await listen(LOCAL, visits)
    _, writer = await visit(server)
    visitor = await visits.next()
    server.close()
    with pytest.raises(ConnectionRefusedError):
        await visit(server)
    writer.write(b"still here")
    await until(lambda: visitor.received == b"still here")
    await leave(writer)
    await server.wait_closed()


async def test_close_can_be_repeated(listener: FakeListener) -> None:
    """Closing a closed server does nothing."""
    server = make_server(listener, Visits())
    server.close()
    server.close()
    assert listener.is_closed
    await server.wait_closed()


async def test_close_inside_connection_made(listener: FakeListener) -> None:
    """A protocol may close the server that it belongs to; its connection goes on."""

    class Protocol(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            server.close()
            transport.write(b"hello")  # type: ignore[attr-defined]  # it is a Transport

    server = make_server(listener, Protocol)
    with listener.connect() as client:
        assert await asyncio.get_running_loop().sock_recv(client, 10) == b"hello"
        assert server.stats.active == 1
    await server.wait_closed()


async def test_close_inside_the_factory(listener: FakeListener) -> None:
    """A factory may close the server, also in the middle of a burst."""
    visits = Visits()

    def factory() -> asyncio.Protocol:
        server.close()
        return visits()

    server = make_server(listener, factory)
    with listener.connect(), listener.connect():
        await visits.next()
        await turns()
        assert visits.made == 1
    await server.wait_closed()


async def test_close_before_the_first_connection(listener: FakeListener) -> None:
    """A server that never accepted anything is closed at once."""
    server = make_server(listener, Visits())
    server.close()
    await server.wait_closed()
    assert not server.is_serving()


async def test_wait_closed_waits_for_connections(listener: FakeListener) -> None:
    """wait_closed ends after the server was closed, by another task, and its last connection has ended."""
    visits = Visits()
    server = make_server(listener, visits)
    waiting = asyncio.create_task(server.wait_closed())
    with listener.connect():
        visitor = await visits.next()
        server.close()
        await turns()
        assert not waiting.done()
    await waiting
    assert visitor.lost.is_set()


async def test_wait_closed_waits_for_close(listener: FakeListener) -> None:
    """wait_closed does not end while the server is open, though nobody is connected."""
    server = make_server(listener, Visits())
    waiting = asyncio.create_task(server.wait_closed())
    with listener.connect():
        await turns()
    await turns()
    assert not waiting.done()
    server.close()
    await waiting


async def test_abort_clients_ends_wait_closed(listener: FakeListener) -> None:
    """A server whose connections were aborted is closed, whatever its clients do."""
    visits = Visits()
    server = make_server(listener, visits)
    with listener.connect():
        visitor = await visits.next()
        server.close()
        server.abort_clients()
        await server.wait_closed()
    assert visitor.error is None


async def test_close_clients_sends_what_was_written() -> None:
    """close_clients ends connections after what their protocols wrote has been sent."""
    visits = Visits()
    async with listen(LOCAL, visits) as server:
        reader, writer = await visit(server)
        transport = (await visits.next()).transport
        assert transport is not None
        transport.write(bytes(5_000_000))
        server.close_clients()
        assert len(await reader.read()) == 5_000_000
        await leave(writer)


async def test_abort_clients_drops_what_was_written() -> None:
    """abort_clients ends a connection whose client does not read."""
    visits = Visits()
    async with listen(LOCAL, visits) as server:
        with socket.create_connection(("127.0.0.1", server.port)):
            visitor = await visits.next()
            assert visitor.transport is not None
            visitor.transport.write(bytes(20_000_000))
            server.abort_clients()
            await visitor.lost.wait()


@pytest.mark.parametrize("method", ["close_clients", "abort_clients"])
async def test_connections_that_are_ended_before_their_first_step(
    listener: FakeListener, method: str
) -> None:
    """A connection that was accepted in the same turn of the loop is closed like all others."""
    visits = Visits()
    server = make_server(listener, visits)
    with listener.connect() as client:
        server._accept(server._bound[0])
        getattr(server, method)()
        server.close()
        await server.wait_closed()
        assert client.recv(1) == b""


@pytest.mark.parametrize("method", ["close_clients", "abort_clients"])
async def test_pending_handshakes_are_ended(listener: FakeListener, method: str) -> None:
    """A connection in its handshake is closed, its handshake cancelled, and no task is left."""
    acceptor = FakeAcceptor()
    acceptor.gate.clear()
    before = asyncio.all_tasks()
    server = make_server(listener, Visits(), acceptor)
    with listener.connect() as client:
        await turns()
        getattr(server, method)()
        server.close()
        await server.wait_closed()
        assert client.recv(1) == b""
    assert acceptor.cancelled == 1
    assert asyncio.all_tasks() == before


async def test_close_clients_inside_connection_made() -> None:
    """A connection that ends all connections as it is made gets what it wrote through."""

    class Protocol(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            transport.write(bytes(5_000_000))  # type: ignore[attr-defined]  # it is a Transport
            server.close_clients()

    async with listen(LOCAL, Protocol) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            await turns(100)
            client.setblocking(False)
            received = 0
            while data := await asyncio.get_running_loop().sock_recv(client, 2**20):
                received += len(data)
            assert received == 5_000_000


async def test_abort_clients_inside_the_factory() -> None:
    """A factory that aborts all connections aborts the one that it is called for too."""

    def factory() -> asyncio.Protocol:
        server.abort_clients()
        return made

    made = Recorder()
    async with listen(LOCAL, factory) as server:
        with socket.create_connection(("127.0.0.1", server.port)):
            await made.lost.wait()


async def test_connection_that_ends_as_it_is_made(listener: FakeListener) -> None:
    """A protocol that closes its transport at once leaves nothing behind."""
    kept: list[Connection] = []

    class Protocol(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            kept.extend(server._connections)
            cast(asyncio.Transport, transport).abort()

    server = make_server(listener, Protocol)
    with listener.connect():
        await until(lambda: server.stats.accepted > 0 and not server.stats.active)
    server.close()
    await server.wait_closed()
    assert server.stats == Stats(1, 0, 0, 0, 0)
    assert kept[0].transport is None


async def test_connection_that_is_over_before_its_task_is_made(listener: FakeListener) -> None:
    """A handshake that ends inside create_task, as an eager task's can, leaves nothing behind."""
    loop = asyncio.get_running_loop()

    class Done(asyncio.Future[None]):
        def set_name(self, name: object) -> None:
            """Names are for those who wait."""

    def at_once(loop: asyncio.AbstractEventLoop, coroutine: Any, **_: Any) -> Any:
        done = Done(loop=loop)
        done.set_name(None)
        with pytest.raises(StopIteration):
            coroutine.send(None)
        done.set_result(None)
        return done

    acceptor = FakeAcceptor()
    acceptor.error = HandshakeError(Address(socket.AF_INET, ("192.0.2.1", 50000)), "no")
    server = make_server(listener, Visits(), acceptor)
    with listener.connect():
        loop.set_task_factory(at_once)
        server._accept(server._bound[0])
        loop.set_task_factory(None)
    assert server._opening == {}
    assert server.stats == Stats(1, 0, 0, 1, 0)
    server.close()
    await server.wait_closed()


async def test_nothing_is_left_of_many_connections() -> None:
    """After two thousand connections descriptors, tasks and bookkeeping are what they were before."""
    visits = Visits()
    async with listen(LOCAL, visits, limits=Limits(max_per_peer=5000)) as server:
        # Loops open what they need for themselves with the first connection.
        await leave((await visit(server))[1])
        await until(lambda: server.stats.accepted == 1 and not server.stats.active)
        before = open_descriptors(), len(asyncio.all_tasks())
        for _ in range(40):
            writers = [(await visit(server))[1] for _ in range(50)]
            await leave(*writers)
        await until(lambda: server.stats.accepted == 2001 and not server.stats.active)
        await turns()
        assert (open_descriptors(), len(asyncio.all_tasks())) == before
        assert (server._connections, server._opening, dict(server._per_peer)) == (set(), {}, {})


async def test_ended_connection_keeps_nothing(listener: FakeListener) -> None:
    """A socket that is closed refers neither to its transport nor to its server."""
    visits = Visits()
    async with make_server(listener, visits) as server:
        with listener.connect():
            visitor = await visits.next()
            await turns()
            (connection,) = server._connections
            assert connection.transport is visitor.transport
        await visitor.lost.wait()
        await turns()
    assert (connection.transport, connection.on_end) == (None, None)


# drain, pause, leaving


def test_drain(listener: FakeListener) -> None:
    """A drain stops listening, and ends with True at the moment when the last connection has ended."""

    async def main() -> None:
        visits, loop = Visits(), asyncio.get_running_loop()
        server = make_server(listener, visits)
        with listener.connect():
            transport = (await visits.next()).transport
            assert transport is not None
            loop.call_later(3, transport.close)
            assert await server.drain(10)
            assert loop.time() == 3.0
        assert listener.is_closed

    run(main())


def test_drain_runs_out_of_time(listener: FakeListener) -> None:
    """A drain ends with False after its time, and leaves the connections alone."""

    async def main() -> None:
        visits, loop = Visits(), asyncio.get_running_loop()
        server = make_server(listener, visits)
        with listener.connect():
            await visits.next()
            assert not await server.drain(10)
            assert (loop.time(), server.stats.active) == (10.0, 1)
            server.abort_clients()
            assert await server.drain()

    run(main())


async def test_drain_of_an_idle_server(listener: FakeListener) -> None:
    """Nothing is waited for where nobody is connected, not even a turn of the loop."""
    server = make_server(listener, Visits())
    with pytest.raises(StopIteration, match="True"):
        server.drain(0).send(None)


async def test_pause_and_resume() -> None:
    """While a server is paused clients wait in the backlog; after resume they are served."""
    visits = Visits()
    async with listen(LOCAL, visits) as server:
        server.pause()
        assert not server.is_serving()
        _, writer = await visit(server)
        await turns()
        assert server.stats.accepted == 0
        server.resume()
        assert server.is_serving()
        await visits.next()
        await leave(writer)


async def test_start_serving_resumes(listener: FakeListener) -> None:
    """A server serves after start_serving, as asyncio's do."""
    async with make_server(listener, Visits()) as server:
        server.pause()
        await server.start_serving()
        assert server.is_serving()


async def test_resume_does_not_open_a_closed_server(listener: FakeListener) -> None:
    """A closed server stays closed."""
    server = make_server(listener, Visits())
    server.pause()
    server.close()
    server.resume()
    assert not server.is_serving()


def test_leaving_drains_closes_and_aborts(listener: FakeListener) -> None:
    """Leaving waits for the drain time, closes, and a second later aborts who still does not end."""
    log: list[tuple[float, str]] = []
    tasks: list[asyncio.Task[None]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        visits = Visits()

        async def note(name: str, visitor: Recorder) -> None:
            await visitor.lost.wait()
            log.append((loop.time(), name))

        async with make_server(listener, visits, drain=5.0):
            leaving, closing, stuck = listener.connect(), listener.connect(), listener.connect()
            first, second, third = [await visits.next() for _ in range(3)]
            for name, each in (("first", first), ("second", second), ("third", third)):
                tasks.append(asyncio.create_task(note(name, each)))
            for each in (second, third):
                assert each.transport is not None
                each.transport.write(bytes(2_000_000))
            loop.call_later(2, leaving.close)
            loop.call_later(5.5, closing.close)
        log.append((loop.time(), "left"))
        await asyncio.gather(*tasks)
        stuck.close()

    run(main())
    assert log == [(2.0, "first"), (5.5, "second"), (6.0, "third"), (6.0, "left")]


def test_leaving_without_drain_closes_at_once(listener: FakeListener) -> None:
    """Without a drain time connections are closed as the block is left."""

    async def main() -> None:
        visits = Visits()
        async with make_server(listener, visits):
            with listener.connect():
                visitor = await visits.next()
        assert visitor.lost.is_set()
        assert asyncio.get_running_loop().time() == 0.0

    run(main())


def test_leaving_ends_when_the_last_connection_does(listener: FakeListener) -> None:
    """Of the drain time no more is spent than the connections need."""

    async def main() -> None:
        visits = Visits()
        async with make_server(listener, visits, drain=100.0):
            client = listener.connect()
            await visits.next()
            asyncio.get_running_loop().call_later(3, client.close)
        assert asyncio.get_running_loop().time() == 3.0

    run(main())


def test_leaving_with_an_exception(listener: FakeListener) -> None:
    """With an exception there is no grace: connections are aborted at once, and the exception comes out."""
    visitors: list[Visitor] = []

    async def serve() -> None:
        visits = Visits()
        async with make_server(listener, visits, drain=100.0):
            visitor = await visits.next()
            assert visitor.transport is not None
            visitor.transport.write(bytes(2_000_000))
            visitors.append(visitor)
            raise ZeroDivisionError

    async def main() -> None:
        with listener.connect():
            with pytest.raises(ZeroDivisionError):
                await serve()
            assert visitors[0].lost.is_set()
        assert asyncio.get_running_loop().time() == 0.0

    run(main())


def test_leaving_with_a_cancel(listener: FakeListener) -> None:
    """A cancel of the block leaves no time either, and comes out as a cancel."""

    async def main() -> None:
        visits = Visits()

        async def serve() -> None:
            async with make_server(listener, visits, drain=100.0) as server:
                await server.serve_forever()

        serving = asyncio.create_task(serve())
        with listener.connect():
            visitor = await visits.next()
            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving
            assert visitor.lost.is_set()
        assert asyncio.get_running_loop().time() == 0.0

    run(main())


def test_cancel_while_leaving(listener: FakeListener) -> None:
    """A cancel during the drain time ends it: connections are aborted before the cancel comes out."""

    async def main() -> None:
        visits = Visits()

        async def serve() -> None:
            async with make_server(listener, visits, drain=100.0):
                await visits.next()

        with listener.connect():
            serving = asyncio.create_task(serve())
            await turns()
            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving
        assert asyncio.get_running_loop().time() == 0.0

    run(main())


def test_leaving_during_a_handshake(listener: FakeListener) -> None:
    """A connection that is in its handshake when the block is left is closed at once."""

    async def main() -> None:
        acceptor = FakeAcceptor()
        acceptor.gate.clear()
        async with make_server(listener, Visits(), acceptor):
            client = listener.connect()
            await turns()
        with client:
            assert client.recv(1) == b""
        assert asyncio.get_running_loop().time() == 0.0

    run(main())


def test_connections_that_do_not_end(
    listener: FakeListener, caplog: pytest.LogCaptureFixture
) -> None:
    """Leaving gives up on a connection that survives its abort, and says so."""

    class Immortal(asyncio.Transport):
        def is_closing(self) -> bool:
            return False

        def close(self) -> None:
            pass

        def abort(self) -> None:
            pass

    class Acceptor(FakeAcceptor):
        async def accept(self, sock: socket.socket, factory: Any, timeout: float) -> Any:
            factory()
            kept.append(sock)
            return Immortal(), None

    kept: list[socket.socket] = []

    async def main() -> None:
        async with make_server(listener, Visits(), Acceptor()):
            with listener.connect():
                await turns()
        assert asyncio.get_running_loop().time() == 2.0
        kept[0].close()

    run(main())
    assert [each.message for each in caplog.records] == [
        "<Server 127.0.0.1:4321 closed connections=1>: some connections do not end"
    ]


# serve_forever


async def test_serve_forever_ends_with_a_cancel(listener: FakeListener) -> None:
    """Cancelling serve_forever closes the server."""
    server = make_server(listener, Visits())
    serving = asyncio.create_task(server.serve_forever())
    await turns()
    assert not serving.done()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert not server.is_serving()


async def test_cancelled_serve_forever_does_not_wait_for_clients(listener: FakeListener) -> None:
    """Cancelling serve_forever ends it at once, with a client that stays."""
    visits = Visits()
    server = make_server(listener, visits)
    serving = asyncio.create_task(server.serve_forever())
    with listener.connect():
        await visits.next()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert server.stats.active == 1
    await server.wait_closed()


async def test_serve_forever_ends_with_close(listener: FakeListener) -> None:
    """Closing the server ends serve_forever, and nothing is raised: nobody was cancelled."""
    server = make_server(listener, Visits())
    serving = asyncio.create_task(server.serve_forever())
    await turns()
    server.close()
    await serving


async def test_serve_forever_twice(listener: FakeListener) -> None:
    """serve_forever can be waited for once at a time, and again after that."""
    server = make_server(listener, Visits())
    serving = asyncio.create_task(server.serve_forever())
    await turns()
    with pytest.raises(RuntimeError, match="serve_forever is running already"):
        await server.serve_forever()
    server.close()
    await serving
    with pytest.raises(RuntimeError, match="the server is closed"):
        await server.serve_forever()


# What it says of itself


async def test_client_endpoints_reach_the_server() -> None:
    """The text of each client endpoint is an address that the server answers at."""
    visits = Visits()
    async with listen("tcp:0", visits) as server:
        for client in server.client_endpoints:
            assert isinstance(client, TCPClient)
            _, writer = await asyncio.open_connection(client.host, client.port)
            await visits.next()
            await leave(writer)
        assert len(server.client_endpoints) == len(server.addresses)


async def test_client_endpoints_are_listed_once(listener: FakeListener) -> None:
    """Two listeners that are reached by the same address give one client endpoint."""
    other = FakeListener()
    both = [bound(listener), bound(other)]
    async with Server(both, Visits(), Limits(), 0.0, None) as server:
        assert server.client_endpoints == (TCPClient("127.0.0.1", 4321),)
        assert server.endpoints == (TCPServer(4321),)


async def test_what_nothing_reaches_has_no_client_endpoint(listener: FakeListener) -> None:
    """An endpoint that no other process can reach is left out of the client endpoints."""

    class Hermit(TCPServer):
        __slots__ = ()

        def client(self, address: Address, acceptor: Any) -> Any:
            return None

    made = Bound(Hermit(4321), listener, FakeAcceptor())
    async with Server([made], Visits(), Limits(), 0.0, None) as server:
        assert server.client_endpoints == ()


async def test_port_is_the_first() -> None:
    """The port is that of the first address that has one."""
    async with listen(["memory:port-is-the-first", LOCAL], Visits()) as server:
        assert server.port == server.addresses[1].port
        assert server.port > 0


async def test_no_port() -> None:
    """A server that listens on no port says so."""
    async with listen("memory:no-port", Visits()) as server:
        with pytest.raises(ValueError, match="this server listens on no port"):
            server.port  # noqa: B018 - the look is the test


async def test_sockets_and_addresses() -> None:
    """The sockets are those that listen, and gone after close; the addresses stay known."""
    server = await listen(["memory:sockets-and-addresses", LOCAL], Visits())
    (sock,) = server.sockets
    address = Address(socket.AF_INET, sock.getsockname())
    assert server.addresses[1] == address
    server.close()
    assert server.sockets == ()
    assert server.addresses[1] == address


async def test_get_loop(listener: FakeListener) -> None:
    """The loop is the one that it was started in."""
    async with make_server(listener, Visits()) as server:
        assert server.get_loop() is asyncio.get_running_loop()
        assert isinstance(server, asyncio.AbstractServer)


async def test_repr(listener: FakeListener) -> None:
    """The repr has the addresses, the state and the number of connections."""
    visits = Visits()
    server = make_server(listener, visits)
    with listener.connect():
        await visits.next()
        assert repr(server) == "<Server 127.0.0.1:4321 serving connections=1>"
    server.pause()
    await until(lambda: not server.stats.active)
    assert repr(server) == "<Server 127.0.0.1:4321 paused connections=0>"
    server.close()
    assert repr(server) == "<Server 127.0.0.1:4321 closed connections=0>"


async def test_reload_once_for_each_acceptor(listener: FakeListener) -> None:
    """An acceptor of two listeners is told once to reload, and each acceptor is told."""
    other, third = FakeListener(), FakeListener()
    shared, own = FakeAcceptor(), FakeAcceptor()
    listeners = [bound(listener, shared), bound(other, shared), bound(third, own)]
    async with Server(listeners, Visits(), Limits(), 0.0, None) as server:
        server.reload()
    assert (shared.reloaded, own.reloaded) == (1, 1)


async def test_reload_that_fails(listener: FakeListener) -> None:
    """The error of a reload comes out, and the server goes on."""
    visits, acceptor = Visits(), FakeAcceptor()
    async with make_server(listener, visits, acceptor) as server:
        acceptor.error = EndpointError("bad key")
        with pytest.raises(EndpointError, match="bad key"):
            server.reload()
        acceptor.error = None
        with listener.connect():
            await visits.next()


async def test_reload_tries_every_endpoint(listener: FakeListener) -> None:
    """An endpoint whose files are bad keeps no other from its new ones, and no error is lost."""
    first, second, third = FakeAcceptor(), FakeAcceptor(), FakeAcceptor()
    first.error, second.error = EndpointError("bad key"), EndpointError("no file")
    listeners = [bound(FakeListener(), each) for each in (first, second, third)]
    async with Server(listeners, Visits(), Limits(), 0.0, None) as server:
        with pytest.raises(EndpointError, match="bad key") as caught:
            server.reload()
    assert caught.value.__notes__ == ["no file"]
    assert third.reloaded == 1


class LastListener(FakeListener):
    """A listener that knows whether another connection can come."""

    is_spent = False


async def test_server_without_more_to_come_closes() -> None:
    """When no connection can come and the last has ended, the server closes by itself."""
    last = LastListener()
    server = make_server(last, visits := Visits())
    with last.connect() as client:
        await visits.next()
        last.is_spent = True
        client.close()
        await server.serve_forever()
    assert last.is_closed


async def test_server_with_more_to_come_goes_on() -> None:
    """One listener that can give more keeps the server, whatever the others say."""
    last, other = LastListener(), LastListener()
    last.is_spent = True
    async with Server([bound(last), bound(other)], Visits(), Limits(), 0.0, None) as server:
        with last.connect():
            await until(lambda: server.stats.active == 1)
        await until(lambda: server.stats.active == 0)
        assert server.is_serving()


# Servers that nobody closed

FORGOTTEN = """
import asyncio
import gc
import socket
from asyncendpoints.listening import listen
from asyncendpoints.server import Limits

async def main():
    limits = Limits(max_connections={most})
    server = await listen("tcp:0:interface=127.0.0.1", asyncio.Protocol, limits=limits)
    client = socket.create_connection(("127.0.0.1", server.port))
    while not server.stats.active:
        await asyncio.sleep(0)
    if {failed}:
        server._accept_failed(server._bound[0], OSError(24, "Too many open files"))
    return {returned}

kept = asyncio.run(main())
{after}
del kept
gc.collect()
"""


@pytest.mark.parametrize(
    "values",
    [
        {"most": None, "failed": False, "returned": None, "after": ""},
        {"most": 1, "failed": False, "returned": None, "after": ""},
        {"most": None, "failed": True, "returned": None, "after": ""},
    ],
    ids=["serving", "full", "out of descriptors"],
)
def test_server_that_was_never_closed(values: dict[str, Any]) -> None:
    """A server that is forgotten with its loop gives a ResourceWarning, and no traceback."""
    done = _forget(**values)
    assert "ResourceWarning: unclosed <asyncendpoints.listeners.ListeningSocket" in done
    assert "Traceback" not in done


def test_close_after_the_loop(listener: FakeListener) -> None:
    """A server can be closed after its loop was, and whatever else is asked of it does no harm."""

    async def main() -> Server:
        server = make_server(listener, Visits())
        server.pause()
        return server

    server = run(main())
    server.resume()
    server.close()
    assert listener.is_closed
    assert not server.is_serving()


def test_connection_that_outlives_the_loop(listener: FakeListener) -> None:
    """A connection that ends after its loop, by the garbage collector, starts nothing there."""

    async def main() -> tuple[Server, socket.socket]:
        visits = Visits()
        server = make_server(listener, visits)
        client = listener.connect()
        await visits.next()
        await turns()
        server._accept_failed(server._bound[0], OSError(errno.EMFILE, ""))
        return server, client

    server, client = run(main())

    def collect() -> None:
        server._connections.copy().pop().close()
        gc.collect()

    with client, pytest.warns(ResourceWarning, match="unclosed transport"):
        collect()
    assert server.stats.active == 0


def _forget(**values: Any) -> str:
    command = [sys.executable, "-W", "default", "-c", FORGOTTEN.format(**values)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stderr
