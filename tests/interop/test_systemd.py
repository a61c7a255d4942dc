"""Sockets that systemd-socket-activate passes on."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import asyncendpoints
from asyncendpoints.connecting import open_connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.interop

_PROGRAM = """
import asyncio, os, sys
from asyncendpoints import listen

async def main():
    async with listen(sys.argv[1:]) as server:
        variables = [each for each in os.environ if each.startswith("LISTEN_")]
        print(*server.client_endpoints, *variables, flush=True)
        async for reader, writer in server:
            writer.write((await reader.read()).upper())
            writer.close()

asyncio.run(main())
"""


@contextmanager
def activated(command: list[str], endpoints: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Run the program under systemd-socket-activate, which starts it at the first connection."""
    root = Path(asyncendpoints.__file__).parents[1]
    program = [sys.executable, "-c", _PROGRAM, *endpoints]
    with subprocess.Popen(
        [*command, f"--setenv=PYTHONPATH={root}", *program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "SYSTEMD_LOG_TARGET": "console", "SYSTEMD_LOG_LEVEL": "info"},
    ) as process:
        try:
            assert process.stderr is not None
            for _ in range(command.count("--listen")):
                assert "Listening on" in process.stderr.readline()
            yield process
        finally:
            process.terminate()


def free_address() -> str:
    """Give an address with a free port: systemd-socket-activate does not draw one itself.

    Its host is that of this process alone, so that no other one takes the port meanwhile.
    """
    host = str(ip_address("127.64.0.0") + os.getpid())
    with socket.socket() as sock:
        sock.bind((host, 0))
        return f"{host}:{sock.getsockname()[1]}"


async def ask(endpoint: str) -> bytes:
    """Send a word and give the answer."""
    reader, writer = await open_connection(endpoint)
    writer.write(b"hello")
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize(
    ("options", "endpoints"),
    [
        ([], ["systemd:domain=UNIX:index=0", "systemd:domain=INET:index=1"]),
        (["--fdname=local:web"], ["systemd:name=local", "systemd:name=web"]),
        (["--fdname=app:app"], ["systemd:name=app"]),
    ],
)
async def test_activation(
    program: Callable[[str], str], tmp_path: Path, options: list[str], endpoints: list[str]
) -> None:
    """Passed sockets are served by index and by name, also several of one name, and never removed."""
    path = tmp_path / "s"
    address = free_address()
    command = [program("systemd-socket-activate"), "--listen", str(path), "--listen", address]
    with activated([*command, *options], endpoints) as process:
        assert await ask(f"unix:{path}") == b"HELLO"
        assert process.stdout is not None
        local, web = process.stdout.readline().split()
        assert (local, web) == (f"unix:{path}", f"tcp:{address}")
        assert await ask(web) == b"HELLO"
        assert await ask(local) == b"HELLO"
    assert path.is_socket()
