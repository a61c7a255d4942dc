"""Ports of this machine that lead to an endpoint."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from asyncendpoints import (
    ConnectRefusedError,
    DescriptionError,
    HandshakeError,
    Limits,
    ListenError,
    connect_socket,
    open_connection,
    start_server,
    tunnel,
)
from asyncendpoints.relaying import Closed
from asyncendpoints.tunnels import _Reports
from tests.serving import complaints, leave, turns, until
from tests.support import open_descriptors, warm_up

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from asyncendpoints import EndpointError
    from asyncendpoints.server import Server
    from asyncendpoints.specs import ClientSpec

TLS = "tls:0:interface=127.0.0.1:selfsigned=localhost"

pytestmark = pytest.mark.filterwarnings("error")


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each line in capitals."""
    while line := await reader.readline():
        writer.write(line.upper())
    writer.close()


@pytest.fixture(params=["tcp:0:interface=127.0.0.1", TLS, "memory:far"])
async def far(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    """A server that answers each line in capitals."""
    await warm_up()
    async with start_server(shout, request.param) as server:
        yield server


async def ask(endpoint: str | ClientSpec) -> bytes:
    """Connect, say something, and give the answer."""
    reader, writer = await open_connection(endpoint)
    writer.write(b"hello\n")
    answer = await reader.readline()
    await leave(writer)
    return answer


async def test_it_leads_to_its_endpoint(far: Server) -> None:
    """What connects to the port on loopback speaks with the endpoint, however that is reached."""
    before = open_descriptors()
    async with tunnel(far.client_endpoints[0]) as near:
        assert near.address.host == "127.0.0.1"
        assert near.address.port == near.port
        assert near.endpoint == far.client_endpoints[0]
        assert near.totals.connections == 0
        assert await ask(f"tcp:127.0.0.1:{near.port}") == b"HELLO\n"
        assert await ask(near.client_endpoints[0]) == b"HELLO\n"
        assert near.totals.connections == 2
    await until(lambda: far.stats.active == 0)
    assert open_descriptors() == before


async def test_it_can_be_a_unix_path(far: Server, tmp_path: Path) -> None:
    """A tunnel can listen wherever a server can, and takes its path with it."""
    path = tmp_path / "near"
    async with tunnel(far.client_endpoints[0], listen=f"unix:{path}:mode=600") as near:
        assert near.address.host == str(path)
        assert await ask(near.client_endpoints[0]) == b"HELLO\n"
    assert not path.exists()


async def test_it_connects_when_somebody_comes() -> None:
    """Nothing is connected to before, so that the endpoint need not be there at the start."""
    async with tunnel("memory:late") as near, start_server(shout, "memory:late"):
        assert await ask(near.client_endpoints[0]) == b"HELLO\n"


async def test_it_can_be_awaited() -> None:
    """An awaited tunnel is closed by ``close()``, and ``wait_closed()`` waits for its connections."""
    async with start_server(shout, "memory:far"), await tunnel("memory:far") as near:
        _, writer = await open_connection(near.client_endpoints[0])
        await until(lambda: near.totals.active == 1)
        near.close()
        closing = asyncio.create_task(near.wait_closed())
        await turns()
        assert not closing.done()
        await leave(writer)
        await closing


async def test_an_error_of_the_far_side_is_told() -> None:
    """``on_error`` hears why a connection could not be made, and the near side is closed."""
    told: asyncio.Queue[Exception] = asyncio.Queue()
    async with tunnel("memory:nobody", on_error=told.put_nowait) as near:
        reader, writer = await open_connection(near.client_endpoints[0])
        with pytest.raises(ConnectionResetError):
            await reader.read()
        assert isinstance(await told.get(), ConnectRefusedError)
        writer.close()


async def test_an_error_of_the_near_side_is_told() -> None:
    """``on_error`` hears of who could not be accepted, too."""
    told: asyncio.Queue[Exception] = asyncio.Queue()
    async with tunnel("memory:nobody", listen=TLS, on_error=told.put_nowait) as near:
        _, writer = await open_connection(f"tcp:127.0.0.1:{near.port}")
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert isinstance(await told.get(), HandshakeError)
        writer.close()


async def test_who_leaves_early_is_no_error() -> None:
    """A client that leaves before the far side is reached is nobody's fault."""
    told: list[Exception] = []
    async with tunnel("memory:nobody", on_error=told.append) as near:
        (await connect_socket(near.client_endpoints[0])).close()
        await until(lambda: near.totals.failed == 1)
    assert all(isinstance(each, ConnectRefusedError) for each in told)


async def test_the_first_error_of_a_row_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Without ``on_error`` the log gets a line when the endpoint goes away, and another the next time."""

    async def fail(times: int) -> None:
        for _ in range(times):
            reader, writer = await open_connection(near.client_endpoints[0])
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()

    async with tunnel("memory:far") as near:
        await fail(3)
        async with start_server(shout, "memory:far"):
            assert await ask(near.client_endpoints[0]) == b"HELLO\n"
        await fail(2)
    text = "tunnel to memory:far: memory:far: nobody in this process listens on memory:far"
    warnings = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert [each.getMessage() for each in warnings] == [text] * 2


async def test_a_hook_that_raises_does_not_stop_it() -> None:
    """What ``on_error`` raises goes to the exception handler of the loop."""

    def hook(error: Exception) -> None:
        raise KeyError(error)

    heard = complaints()
    async with tunnel("memory:nobody", on_error=hook) as near:
        reader, writer = await open_connection(near.client_endpoints[0])
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
    assert [each["message"] for each in heard] == ["on_error of a tunnel raised"]


def test_an_end_is_no_error() -> None:
    """The end of a pair that was open is not reported."""
    told: list[Exception] = []
    closed = Closed("peer", "target", 0, 0, 1.0, OSError("reset"))
    _Reports(None, told.append).take(closed)  # type: ignore[arg-type]  # it is not looked at
    assert told == []


async def test_leaving_ends_what_is_open(far: Server) -> None:
    """At the end of the block connections are closed, and both sides hear of it."""
    before = open_descriptors()
    async with tunnel(far.client_endpoints[0]) as near:
        reader, writer = await open_connection(near.client_endpoints[0])
        await until(lambda: far.stats.active == 1)
        # No need to wait for a second in a test.
        await near.__aexit__(KeyError, KeyError(), None)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    await until(lambda: far.stats.active == 0 and open_descriptors() == before)


async def test_a_cancel_while_leaving_ends_it_at_once(far: Server) -> None:
    """A cancel ends the grace, and leaves nothing."""
    before = open_descriptors()
    near = await tunnel(far.client_endpoints[0])
    _, writer = await open_connection(near.client_endpoints[0])
    await until(lambda: far.stats.active == 1)
    leaving = asyncio.create_task(near.__aexit__(None, None, None))
    await turns()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert near.totals.active == 0
    writer.close()
    await until(lambda: far.stats.active == 0 and open_descriptors() == before)


async def test_limits_are_those_of_a_server() -> None:
    """``limits`` hold for the connections of a tunnel."""
    async with (
        start_server(shout, "memory:far"),
        tunnel("memory:far", limits=Limits(max_connections=1)) as near,
    ):
        _, first = await open_connection(near.client_endpoints[0])
        _, second = await open_connection(near.client_endpoints[0])
        await until(lambda: near.totals.active == 1)
        await turns(50)
        assert near.totals.connections == 1
        await leave(first, second)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"endpoint": "tcp:80"}, DescriptionError),
        ({"endpoint": "memory:far", "listen": "tcp:x"}, DescriptionError),
    ],
)
def test_a_wrong_description_is_found_at_once(
    given: dict[str, Any], error: type[EndpointError]
) -> None:
    """What can be read beforehand is read beforehand."""
    with pytest.raises(error):
        tunnel(**given)


async def test_what_cannot_be_listened_on_leaves_nothing() -> None:
    """When the near side cannot be bound, nothing stays open."""
    await warm_up()
    before = open_descriptors()
    with pytest.raises(ListenError):
        await tunnel("tcp:127.0.0.1:1", listen="unix:/nowhere/at/all")
    assert open_descriptors() == before


async def test_its_repr_says_where_it_leads() -> None:
    """Both sides are in the ``repr``, and whether it is open."""
    starting = tunnel("memory:far", listen="memory:near")
    assert repr(starting) == "<Tunnelling memory:near to memory:far>"
    async with starting as near:
        assert repr(near) == "<Tunnel memory:near to memory:far open>"
    assert repr(near) == "<Tunnel memory:near to memory:far closed>"
