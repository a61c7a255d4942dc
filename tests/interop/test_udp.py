"""UDP, with socat at the other end."""

from __future__ import annotations

import asyncio
import re
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest

from asyncendpoints.datagrams import connect_datagram, listen_datagram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.interop


class Echo(asyncio.DatagramProtocol):
    """Sends back what it receives, in capitals."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(data.upper(), addr)


class Caller(asyncio.DatagramProtocol):
    """Waits for one datagram."""

    def __init__(self) -> None:
        self.received = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.received.set_result(data)


@contextmanager
def socat_server(program: str, address: str) -> Iterator[int]:
    """Run a socat that sends back the datagrams of one client; gives its port."""
    command = [program, "-d", "-d", address, "EXEC:cat"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            logged = (re.search(r"listening on .*:(\d+)$", line) for line in process.stderr)
            yield next(int(found[1]) for found in logged if found)
        finally:
            process.terminate()


@pytest.mark.parametrize(
    ("address", "host"),
    [("UDP4-LISTEN:0,bind=127.0.0.1", "127.0.0.1"), ("UDP6-LISTEN:0,bind=[::1]", "[::1]")],
)
async def test_client(program: Callable[[str], str], address: str, host: str) -> None:
    """A client reaches a UDP port that socat has, and hears its reply."""
    with socat_server(program("socat"), address) as port:
        transport, protocol = await connect_datagram(f"udp:{host}:{port}", Caller)
        transport.sendto(b"hello")
        assert await protocol.received == b"hello"
        transport.close()


@pytest.mark.parametrize("address", ["UDP4:127.0.0.1", "UDP6:[::1]"])
async def test_server(program: Callable[[str], str], address: str) -> None:
    """Socat reaches a server on both families, and hears its reply."""
    async with listen_datagram("udp:0", Echo) as server:
        process = await asyncio.create_subprocess_exec(
            program("socat"),
            "-",
            f"{address}:{server.port}",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"hello")
        assert await process.stdout.readexactly(5) == b"HELLO"
        process.terminate()
        await process.communicate()
