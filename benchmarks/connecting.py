"""How long a connect takes, beside the loop's own ``create_connection`` and beside anyio.

All on loopback, in one process; only the connect itself is timed. asyncio's loop is what the ratios are held
on, uvloop is reported beside it. Run it with ``python benchmarks/connecting.py``.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from contextlib import ExitStack
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

import anyio
import uvloop
from measure import Result, Row, interleaved, report

from asyncendpoints import connect
from asyncendpoints.addresses import Address
from asyncendpoints.attempt import Attempt
from asyncendpoints.connecting import within
from asyncendpoints.kinds.tcp import TCPClient

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    #: Connects and gives what closes the connection.
    Connector = Callable[[], Awaitable[Callable[[], object]]]

#: Connects for each measurement.
BATCH = 100
RESET = struct.pack("ii", 1, 0)
LIMIT_BLACK_HOLE, LIMIT_REFUSED = 0.3, 0.01
NAME = "two-addresses.example"


class Listeners:
    """Two listeners on one port, for IPv4 and IPv6."""

    def __init__(self) -> None:
        self.sockets = [socket.create_server(("127.0.0.1", 0))]
        self.port: int = self.sockets[0].getsockname()[1]
        self.sockets.append(socket.create_server(("::1", self.port), family=socket.AF_INET6))
        for each in self.sockets:
            each.setblocking(False)

    def drain(self) -> None:
        """Reset what has connected, so that no port stays in use."""
        for each in self.sockets:
            try:
                accepted, _ = each.accept()
            except BlockingIOError:
                continue
            with accepted:
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


async def measured(connector: Connector, listeners: Listeners, count: int) -> float:
    """Give the seconds that one connect takes, on an average of some."""
    total = 0.0
    for _ in range(count):
        start = perf_counter()
        close = await connector()
        total += perf_counter() - start
        listeners.drain()
        close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    return total / count


def compared(
    ours: Connector,
    theirs: Connector,
    listeners: Listeners,
    new_loop: Callable[[], asyncio.AbstractEventLoop],
    *,
    count: int = BATCH,
    rounds: int = 30,
) -> Result:
    """Compare two ways to connect on one loop."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return interleaved(
            lambda: runner.run(measured(ours, listeners, count)),
            lambda: runner.run(measured(theirs, listeners, count)),
            rounds,
        )


def ours(endpoint: str | TCPClient) -> Connector:
    """Connect with the library."""

    async def connector() -> Callable[[], object]:
        transport, _ = await connect(endpoint, asyncio.Protocol)
        return transport.abort

    return connector


def loops(host: str, port: int) -> Connector:
    """Connect with what every asyncio program has."""

    async def connector() -> Callable[[], object]:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(asyncio.Protocol, host, port)
        return transport.abort

    return connector


def anyios(host: str, port: int) -> Connector:
    """Connect with anyio."""

    async def connector() -> Callable[[], object]:
        stream = await anyio.connect_tcp(host, port)
        transport: asyncio.Transport = stream._transport  # type: ignore[attr-defined]
        return transport.abort

    return connector


class TwoAddresses(asyncio.SelectorEventLoop):
    """A loop on which a name has two addresses: the one to be tried first, and 127.0.0.1."""

    first = "127.0.0.2"

    async def getaddrinfo(self, _host: Any, port: Any, **_: Any) -> Any:
        stream = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*stream, (self.first, port)), (*stream, ("127.0.0.1", port))]


def ours_with_two(port: int) -> Connector:
    """Connect with the library to a name that has the two addresses."""

    async def lookup(*_: object) -> list[Address]:
        hosts = (TwoAddresses.first, "127.0.0.1")
        return [Address(socket.AF_INET, (host, port)) for host in hosts]

    async def connector() -> Callable[[], object]:
        attempt = Attempt(TCPClient(NAME, port), lookup=lookup)
        transport, _ = await within(
            30, attempt, partial(attempt.endpoint.open, attempt, asyncio.Protocol)
        )
        return transport.abort

    return connector


def literal_rows(listeners: Listeners) -> Iterator[Row]:
    """Measure connects to an address."""
    text = f"tcp:127.0.0.1:{listeners.port}"
    theirs = loops("127.0.0.1", listeners.port)
    peer = "create_connection"
    new = asyncio.new_event_loop
    yield Row(f"address, from text; {peer}", compared(ours(text), theirs, listeners, new), 1.1)
    spec = TCPClient("127.0.0.1", listeners.port)
    yield Row(f"address, from a spec; {peer}", compared(ours(spec), theirs, listeners, new))
    new = uvloop.new_event_loop
    yield Row(f"address, uvloop; {peer}", compared(ours(text), theirs, listeners, new))


def name_rows(listeners: Listeners) -> Iterator[Row]:
    """Measure connects to a name."""
    text, port = f"tcp:localhost:{listeners.port}", listeners.port
    new = asyncio.new_event_loop
    yield Row("name; anyio", compared(ours(text), anyios("localhost", port), listeners, new), 0.8)
    yield Row(
        "name; create_connection", compared(ours(text), loops("localhost", port), listeners, new)
    )
    new = uvloop.new_event_loop
    yield Row(
        "name, uvloop; anyio", compared(ours(text), anyios("localhost", port), listeners, new)
    )


def race_rows(listeners: Listeners, what: str, limit: float, count: int) -> Iterator[Row]:
    """Measure connects whose first address does not answer."""
    us, they = ours_with_two(listeners.port), anyios(NAME, listeners.port)
    result = compared(us, they, listeners, TwoAddresses, count=count, rounds=6)
    yield Row(f"first address {what}; the limit", limited(result, limit), 1.0)
    yield Row(f"first address {what}; anyio", result)


def limited(result: Result, limit: float) -> Result:
    """Put a limit in seconds in the place of the peer."""
    return Result(result.ours, limit, result.ours / limit)


def rows() -> Iterator[Row]:
    """Measure everything."""
    listeners = Listeners()
    with ExitStack() as stack:
        for each in listeners.sockets:
            stack.enter_context(each)
        yield from literal_rows(listeners)
        yield from name_rows(listeners)
        yield from race_rows(listeners, "refuses", LIMIT_REFUSED, 20)
        black_hole = socket.create_server((TwoAddresses.first, listeners.port), backlog=0)
        stack.enter_context(black_hole)
        stack.enter_context(socket.create_connection(black_hole.getsockname()))
        yield from race_rows(listeners, "is a black hole", LIMIT_BLACK_HOLE, 1)


if __name__ == "__main__":
    sys.exit(report("Connecting; peer: behind the semicolon", rows()))
