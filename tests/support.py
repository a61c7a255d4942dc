"""Fakes and observations that several tests share."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import socket
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn, cast

import pytest

from asyncendpoints.addresses import Address

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "Recorder",
    "black_hole",
    "lack",
    "no_descriptors_left",
    "open_descriptors",
    "unused_port",
    "warm_up",
]


def lack(program: str, environ: Mapping[str, str]) -> NoReturn:
    """End a test whose program is not on this machine: in CI that is a failure, else it is skipped."""
    reason = f"{program} is not installed"
    if environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def open_descriptors() -> int:
    """Count the open file descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


@contextmanager
def black_hole(host: str = "127.0.0.1", port: int = 0) -> Iterator[tuple[Address, socket.socket]]:
    """Give an address of this machine that answers nothing, and the listener behind it.

    Its backlog is full, and Linux then drops what comes. When one is accepted, the next gets through with the
    repetition of its SYN, a second after the first.
    """
    with ExitStack() as stack:
        listener = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=0
        )
        stack.enter_context(listener)
        stack.enter_context(socket.create_connection(listener.getsockname()[:2]))
        yield Address.of(listener), listener


@contextmanager
def no_descriptors_left() -> Iterator[None]:
    """Let the process open no descriptor: the one number that is allowed is taken."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


#: Port numbers that the system gives to nobody who wants any, each of them once.
_PORTS = iter(random.sample(range(10_000, 32_000), 22_000))


def unused_port() -> int:
    """Give a port that nothing uses for TCP or UDP on any address, nor has used a moment ago."""
    for port in _PORTS:
        with ExitStack() as stack, suppress(OSError):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                sock = stack.enter_context(socket.socket(socket.AF_INET6, kind))
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                sock.bind(("::", port))
            return port
    raise AssertionError("all ports are in use")  # pragma: no cover


async def warm_up() -> None:
    """Let the loop open what it opens only once: uvloop keeps a descriptor from its first transport on."""
    one, other = socket.socketpair()
    with one, other:
        transport, protocol = await asyncio.get_running_loop().create_connection(Recorder, sock=one)
        transport.abort()
        await protocol.lost.wait()


class Recorder(asyncio.Protocol):
    """A protocol that writes down what happens to it."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.received = b""
        self.eof = False
        self.made = asyncio.Event()
        self.lost = asyncio.Event()
        self.error: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not a check: the transports of uvloop inherit from no class of asyncio.
        self.transport = cast(asyncio.Transport, transport)
        self.made.set()

    def data_received(self, data: bytes) -> None:
        self.received += data

    def eof_received(self) -> None:
        self.eof = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self.lost.set()
