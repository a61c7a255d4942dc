"""Unix and TCP sockets, with socat at the other end."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from asyncendpoints.connecting import open_connection
from asyncendpoints.listening import listen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from asyncendpoints.streams import StreamServer

pytestmark = pytest.mark.interop

#: More than any buffer on the way holds.
DATA = os.urandom(2**20)


@contextmanager
def socat_server(program: str, address: str) -> Iterator[str]:
    """Run a socat that accepts one connection and sends back what it gets; gives where it listens."""
    command = [program, "-d", "-d", "-t", "20", address, "EXEC:cat"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            logged = (re.search(r"listening on (.*)", line) for line in process.stderr)
            yield next(found[1] for found in logged if found)
        finally:
            process.terminate()


async def echo(endpoint: str) -> bytes:
    """Send the data to an endpoint and give what comes back."""
    reader, writer = await open_connection(endpoint)

    async def send() -> None:
        writer.write(DATA)
        await writer.drain()
        writer.write_eof()

    _, received = await asyncio.gather(send(), reader.read())
    writer.close()
    await writer.wait_closed()
    return received


async def test_client_on_a_path(program: Callable[[str], str], tmp_path: Path) -> None:
    """A client reaches a unix socket that socat listens on."""
    path = tmp_path / "s"
    with socat_server(program("socat"), f"UNIX-LISTEN:{path}"):
        assert await echo(f"unix:{path}") == DATA


async def test_client_on_an_abstract_name(program: Callable[[str], str]) -> None:
    """A client reaches an abstract name that socat listens on."""
    name = f"asyncendpoints-{os.getpid()}"
    with socat_server(program("socat"), f"ABSTRACT-LISTEN:{name}"):
        assert await echo(f"unix:@{name}") == DATA


async def test_client_over_tcp(program: Callable[[str], str]) -> None:
    """A client reaches a TCP port that socat listens on."""
    with socat_server(program("socat"), "TCP4-LISTEN:0,bind=127.0.0.1") as where:
        port = where.rpartition(":")[2]
        assert await echo(f"tcp:127.0.0.1:{port}") == DATA


async def serve(server: StreamServer) -> None:
    """Send back what the first client sent, when it has sent all."""
    reader, writer = await anext(server)
    writer.write(await reader.read())
    writer.close()
    await writer.wait_closed()


async def exchange(server: StreamServer, program: str, address: str) -> bytes:
    """Serve one socat and give what it got."""
    command = [program, "-t", "20", "-", address]
    done, _ = await asyncio.gather(
        asyncio.to_thread(
            subprocess.run, command, input=DATA, stdout=subprocess.PIPE, check=True, timeout=30
        ),
        serve(server),
    )
    received = done.stdout
    assert isinstance(received, bytes)
    return received


async def test_server_on_a_path(program: Callable[[str], str], tmp_path: Path) -> None:
    """Socat reaches a unix socket that is listened on."""
    path = tmp_path / "s"
    async with listen(f"unix:{path}:mode=600") as server:
        assert await exchange(server, program("socat"), f"UNIX-CONNECT:{path}") == DATA


async def test_server_on_an_abstract_name(program: Callable[[str], str]) -> None:
    """Socat reaches an abstract name that is listened on."""
    name = f"asyncendpoints-{os.getpid()}"
    async with listen(f"unix:@{name}") as server:
        assert await exchange(server, program("socat"), f"ABSTRACT-CONNECT:{name}") == DATA


async def test_server_over_tcp(program: Callable[[str], str]) -> None:
    """Socat reaches a TCP port that is listened on."""
    async with listen("tcp:0:interface=127.0.0.1") as server:
        address = f"TCP4:127.0.0.1:{server.port}"
        assert await exchange(server, program("socat"), address) == DATA
