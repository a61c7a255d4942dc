"""Servers as processes: started on one core, ended whatever happens, and what they use."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import dns.exception
import dns.message
import dns.query
import dns.rcode

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "HOST",
    "Missing",
    "Server",
    "cores",
    "cpu_seconds",
    "free_port",
    "resident_bytes",
    "running",
]

HOST = "127.0.0.1"
#: How long a server may take until it answers, in seconds.
_START_SECONDS = 20.0


class Missing(Exception):  # noqa: N818 - it is no error that a machine does not have everything
    """A server that cannot be measured; the text says why."""


@dataclass(frozen=True)
class Server:
    """A program that answers, once it runs."""

    name: str
    #: How it is started; the port is where `port` says. Empty if the program is not installed.
    command: tuple[str, ...]
    port: int
    #: A name that has an address there, asked to find out whether it answers.
    known: str
    #: Whether it gives back what it gets, and answers nothing.
    is_echo: bool = False
    #: Whether it is on the core of those that ask, because it is not what is measured.
    is_aside: bool = False


def cores() -> tuple[int, int]:
    """Give the core of the servers and that of those that ask, which is the same if there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


@contextmanager
def running(server: Server) -> Iterator[int]:
    """Run a server until the block ends, and give its process id once it answers.

    Raises:
        Missing: It is not installed, or does not start.
    """
    if not server.command:
        raise Missing("not installed")
    with tempfile.TemporaryFile() as output:
        process = _started(server, output.fileno())
        try:
            _wait_answer(server, process, output.fileno())
            yield process.pid
        finally:
            process.kill()
            process.wait()


def _started(server: Server, output: int) -> subprocess.Popen[bytes]:
    """Start a server on its core, where all its threads then are too."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cores()[server.is_aside]})
    try:
        return subprocess.Popen(
            server.command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    finally:
        os.sched_setaffinity(0, before)


def _wait_answer(server: Server, process: subprocess.Popen[bytes], output: int) -> None:
    """Wait until a server answers over UDP."""
    deadline = time.monotonic() + _START_SECONDS
    problem = "no answer"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            lines = os.pread(output, 1 << 20, 0).decode(errors="replace").strip().splitlines()
            raise Missing(f"does not start: {lines[-1] if lines else process.returncode}")
        found = _answer(server)
        if not found:
            return
        problem = found
        time.sleep(0.02)
    raise Missing(f"does not start: {problem}")


def _answer(server: Server) -> str:
    """Ask a server once, and give what is wrong with its answer."""
    query = dns.message.make_query(server.known, "A", use_edns=False)
    try:
        if server.is_echo:
            return _echo(server.port, query.to_wire())
        reply = dns.query.udp(query, HOST, timeout=0.5, port=server.port)
    except (OSError, dns.exception.DNSException) as error:
        return str(error)
    return "" if reply.answer else f"it answers {dns.rcode.to_text(reply.rcode())}"


def _echo(port: int, wire: bytes) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.5)
        sock.connect((HOST, port))
        sock.send(wire)
        return "" if len(sock.recv(4096)) == len(wire) else "no echo"


def free_port() -> int:
    """Find a port that is free for UDP and TCP."""
    while True:
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagram:
            stream.bind((HOST, 0))
            port: int = stream.getsockname()[1]
            try:
                datagram.bind((HOST, port))
            except OSError:
                continue
            return port


def cpu_seconds(pid: int) -> float:
    """Give the time that a process and its children have been on a core, all threads together.

    Raises:
        Missing: There is no such process any more.
    """
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        own = sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
        children = " ".join((task / "children").read_text() for task in tasks).split()
    except OSError:
        raise Missing("ends by itself") from None
    return own + sum(map(cpu_seconds, map(int, children)))


def resident_bytes(pid: int) -> int:
    """Give the memory that a process holds, in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
