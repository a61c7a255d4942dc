"""Names inside this process."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from asyncendpoints import events
from asyncendpoints.addresses import Address
from asyncendpoints.attempt import Attempt
from asyncendpoints.connecting import connect
from asyncendpoints.errors import (
    AddressInUseError,
    ConnectError,
    ConnectRefusedError,
    ConnectTimeoutError,
    DescriptionError,
    ListenError,
)
from asyncendpoints.kinds.memory import MemoryClient, MemoryServer
from asyncendpoints.kinds.unix import PeerCredentials, peer_credentials
from asyncendpoints.listeners import Connection
from asyncendpoints.listening import listen
from asyncendpoints.specs import parse_client, parse_server
from tests.clock import run
from tests.support import Recorder, no_descriptors_left, open_descriptors

if TYPE_CHECKING:
    from asyncendpoints.listeners import Listener


def bind(spec: MemoryServer) -> Listener:
    """Open the one listener of a memory server."""
    (listener,) = spec.bind()
    return listener


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("memory:app", MemoryServer("app")),
        ("memory:name=app:backlog=5", MemoryServer("app", backlog=5)),
        (r"memory:a\:b", MemoryServer("a:b")),
    ],
)
def test_server_text(text: str, spec: MemoryServer) -> None:
    """A name is any text, and the canonical text gives the same spec."""
    assert parse_server(text) == spec
    assert parse_server(str(spec)) == spec


def test_client_text() -> None:
    """A client takes the name and a timeout."""
    spec = parse_client("memory:app:timeout=2")
    assert spec == MemoryClient("app", timeout=2.0)
    assert parse_client(str(spec)) == spec


def test_empty_name() -> None:
    """An empty name is refused when it is read."""
    with pytest.raises(DescriptionError):
        parse_server("memory:[]")


async def test_round_trip() -> None:
    """Bytes go both ways, with a half-close, between a server and the client that it names itself."""
    async with listen("memory:app") as server:
        (client,) = server.client_endpoints
        assert str(client) == "memory:app"
        assert str(server.addresses[0]) == "memory:app"
        transport, there = await connect(client, Recorder)
        transport.write(b"question")
        transport.write_eof()
        reader, writer = await anext(server)
        assert await reader.read() == b"question"
        writer.write(b"answer")
        writer.close()
        await there.lost.wait()
    assert there.received == b"answer"


async def test_peer_credentials() -> None:
    """The peer is this process."""
    async with listen("memory:app", Recorder):
        transport, _ = await connect("memory:app", Recorder)
        own = PeerCredentials(os.getpid(), os.getuid(), os.getgid())
        assert peer_credentials(transport) == own
        transport.close()


def test_other_thread() -> None:
    """A server in the loop of another thread is reached."""
    serving = threading.Event()
    received: list[bytes] = []

    async def serve() -> None:
        async with listen("memory:app") as server:
            serving.set()
            reader, writer = await anext(server)
            received.append(await reader.read())
            writer.close()

    async def send() -> None:
        transport, protocol = await connect("memory:app", Recorder)
        transport.write(b"hello")
        transport.write_eof()
        await protocol.lost.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    serving.wait()
    asyncio.run(send())
    thread.join()
    assert received == [b"hello"]


def test_listener() -> None:
    """A listener is readable while connections wait, and gives them as ones that report their end."""
    before = open_descriptors()
    listener = bind(MemoryServer("app"))
    assert not is_readable(listener)
    ours = [asyncio.run(open_socket("app")) for _ in range(2)]
    for each in ours:
        assert is_readable(listener)
        connection, peer = listener.accept()
        assert isinstance(connection, Connection)
        assert peer == ""
        connection.close()
        each.close()
    assert not is_readable(listener)
    with pytest.raises(BlockingIOError):
        listener.accept()
    listener.close()
    assert open_descriptors() == before


def is_readable(listener: Listener) -> bool:
    """Tell whether a selector would report the listener."""
    return bool(select.select([listener], [], [], 0)[0])


async def open_socket(name: str) -> socket.socket:
    """Connect to a name, and give the socket."""
    spec = MemoryClient(name)
    return await spec.open_socket(Attempt(spec, None, None))


async def test_nobody_listens() -> None:
    """A name that nobody listens on refuses, and leaves no descriptor."""
    before = open_descriptors()
    with pytest.raises(ConnectRefusedError) as caught:
        await connect("memory:app", Recorder)
    assert caught.value.problem == "nobody in this process listens on memory:app"
    assert caught.value.errno == errno.ECONNREFUSED
    assert [str(each.address) for each in caught.value.attempts] == ["memory:app"]
    assert open_descriptors() == before


async def test_events() -> None:
    """A connect tells of its start and its end."""
    listener = bind(MemoryServer("app"))
    seen: list[events.Event] = []
    transport, _ = await connect("memory:app", Recorder, on_event=seen.append)
    transport.close()
    address = Address(socket.AF_UNIX, "memory:app")
    assert seen == [
        events.AttemptStarted(seen[0].time, address),
        events.Connected(seen[1].time, address),
    ]
    listener.close()


def test_name_taken() -> None:
    """A name has one listener at a time, and is free again after its close."""
    first = bind(MemoryServer("app"))
    before = open_descriptors()
    with pytest.raises(AddressInUseError) as caught:
        bind(MemoryServer("app"))
    assert caught.value.problem == (
        "cannot listen on memory:app: another server of this process has it"
    )
    assert caught.value.errno == errno.EADDRINUSE
    assert open_descriptors() == before
    first.close()
    bind(MemoryServer("app")).close()


def test_close_twice() -> None:
    """The second close does nothing, not even to a listener that came after the first."""
    first = bind(MemoryServer("app"))
    first.close()
    second = bind(MemoryServer("app"))
    first.close()
    assert first.fileno() == -1
    with pytest.raises(AddressInUseError):
        bind(MemoryServer("app"))
    second.close()


async def test_pending_connections_end() -> None:
    """Connections that nobody has accepted end when the listener is closed."""
    listener = bind(MemoryServer("app"))
    transport, protocol = await connect("memory:app", Recorder)
    transport.write(b"too late")
    listener.close()
    await protocol.lost.wait()


def test_full_backlog() -> None:
    """A client that finds the backlog full asks again, with growing pauses, until there is room."""
    listener = bind(MemoryServer("app", backlog=0))

    def take() -> None:
        listener.accept()[0].close()

    async def scenario() -> float:
        loop = asyncio.get_running_loop()
        first, _ = await connect("memory:app", Recorder)
        loop.call_later(0.004, take)
        second, _ = await connect("memory:app", Recorder)
        first.close()
        second.close()
        return loop.time()

    # After 1, 3 and 7 ms; there is room from 4 ms on.
    assert run(scenario()) == pytest.approx(0.007)
    listener.close()


def test_full_backlog_timeout() -> None:
    """A backlog that stays full ends in a timeout, and leaves no descriptor."""
    listener = bind(MemoryServer("app", backlog=0))

    async def scenario() -> ConnectTimeoutError:
        transport, _ = await connect("memory:app", Recorder)
        before = open_descriptors()
        with pytest.raises(ConnectTimeoutError) as caught:
            await connect("memory:app:timeout=2", Recorder)
        assert open_descriptors() == before
        transport.close()
        return caught.value

    error = run(scenario())
    assert [str(each) for each in error.attempts] == ["memory:app: its backlog is full"]
    listener.close()


def test_closed_while_waiting() -> None:
    """A client that waits for room is refused when the listener is closed."""
    listener = bind(MemoryServer("app", backlog=0))

    async def scenario() -> None:
        transport, _ = await connect("memory:app", Recorder)
        asyncio.get_running_loop().call_later(1.0, listener.close)
        with pytest.raises(ConnectRefusedError):
            await connect("memory:app", Recorder)
        transport.close()

    run(scenario())


async def test_connect_without_descriptors() -> None:
    """When the process has no descriptor left, that is a connect error."""
    with no_descriptors_left(), pytest.raises(ConnectError) as caught:
        await connect("memory:app", Recorder)
    assert caught.value.problem == "cannot connect: too many open files"


def test_listen_without_descriptors() -> None:
    """When the process has no descriptor left, that is a listen error, and the name stays free."""
    with no_descriptors_left(), pytest.raises(ListenError) as caught:
        bind(MemoryServer("app"))
    assert caught.value.problem == "cannot listen: too many open files"
    bind(MemoryServer("app")).close()
