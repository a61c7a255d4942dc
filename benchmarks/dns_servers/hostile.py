"""Honest clients beside hostile ones: how long the honest wait.

The honest ones ask at fixed times, whether they have been answered or not, so that a server that stands still
for a moment is late for all who ask in that moment.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from dns_servers.running import HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ATTACKS", "under", "wait_99"]

#: What the hostile ones send, each second.
RATE = 100
#: Honest queries each second.
_HONEST_RATE = 500
#: How long an answer that does not come is waited for, in seconds.
_PATIENCE = 2.0
#: Connections of those that connect and say nothing.
_IDLE = 2000
_UDP_BYTES, _TCP_BYTES = 1232, 65535


def long_names(size: int) -> bytes:
    """Make a query that has NS records in its answer, each with a target of 126 labels of its own.

    Args:
        size: At most how long it is, in bytes.
    """
    name = b"\1a" * 125 + b"\0"
    question = name + struct.pack("!HH", 2, 1)
    count = (size - 12 - len(question)) // 17
    records = [
        b"\xc0\x0c" + struct.pack("!HHIH", 2, 1, 60, 5) + b"\2%b\xc0\x0e" % _letters(number)
        for number in range(count)
    ]
    return struct.pack("!HHHHHH", 1, 0x0100, 1, count, 0, 0) + question + b"".join(records)


def _letters(number: int) -> bytes:
    return bytes((number >> 8 & 255, number & 255))


def _query(number: int, name: str) -> bytes:
    labels = b"".join(bytes((len(each),)) + each.encode() for each in name.split("."))
    header = struct.pack("!HHHHHH", number & 0xFFFF, 0x0100, 1, 0, 0, 0)
    return header + labels + b"\0" + struct.pack("!HH", 1, 1)


def wait_99(port: int, name: str, seconds: float) -> float:
    """Ask for a name again and again, and give the wait that one in a hundred exceeds, in seconds.

    Args:
        port: Of the server.
        name: A name that it knows.
        seconds: How long; each query has a number of its own, of which there are 65536.
    """
    count = min(int(seconds * _HONEST_RATE), 65536)
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect((HOST, port))
        waits = _waits(sock, [_query(number, name) for number in range(count)])
    return sorted(waits)[count * 99 // 100]


def _waits(sock: socket.socket, queries: list[bytes]) -> list[float]:
    """Send queries at their times, and give how long the answer to each took."""
    waits = [_PATIENCE] * len(queries)
    times: list[float] = []
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    start = time.perf_counter()
    end = start + len(queries) / _HONEST_RATE + _PATIENCE
    while (now := time.perf_counter()) < end and _PATIENCE in waits:
        due = start + len(times) / _HONEST_RATE
        if len(times) < len(queries) and now >= due:
            sock.send(queries[len(times)])
            times.append(now)
        elif poll.poll(1):
            number = int.from_bytes(sock.recv(4096)[:2], "big")
            waits[number] = time.perf_counter() - times[number]
    return waits


@contextmanager
def under(attack: str, port: int) -> Iterator[None]:
    """Attack a server until the block ends.

    Args:
        attack: One of `ATTACKS`.
        port: Of the server.
    """
    is_over = threading.Event()
    thread = threading.Thread(target=ATTACKS[attack], args=(port, is_over))
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _nothing(_port: int, is_over: threading.Event) -> None:
    is_over.wait()


def _paced(is_over: threading.Event, act: Callable[[], object]) -> None:
    """Do something `RATE` times a second, also if it fails."""
    due = time.perf_counter()
    while not is_over.wait(max(0.0, due - time.perf_counter())):
        due += 1 / RATE
        with suppress(OSError):
            act()


def _datagrams(port: int, is_over: threading.Event, make: Callable[[], bytes]) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.connect((HOST, port))
        sock.setblocking(False)
        _paced(is_over, lambda: sock.send(make()))


def _long_names(port: int, is_over: threading.Event) -> None:
    packet = long_names(_UDP_BYTES)
    _datagrams(port, is_over, lambda: packet)


def _random(port: int, is_over: threading.Event) -> None:
    _datagrams(port, is_over, lambda: os.urandom(_UDP_BYTES))


def _large(port: int, is_over: threading.Event) -> None:
    message = long_names(_TCP_BYTES)
    framed = struct.pack("!H", len(message)) + message

    def send() -> None:
        with socket.create_connection((HOST, port), timeout=1) as sock:
            sock.sendall(framed)

    _paced(is_over, send)


def _idle(port: int, is_over: threading.Event) -> None:
    with ExitStack() as stack:
        for _ in range(_IDLE):
            with suppress(OSError):
                stack.enter_context(socket.create_connection((HOST, port), timeout=1))
            if is_over.is_set():
                return
        is_over.wait()


#: What the hostile clients can do.
ATTACKS: dict[str, Callable[[int, threading.Event], None]] = {
    "nothing": _nothing,
    f"{_UDP_BYTES} bytes of long names": _long_names,
    f"{_UDP_BYTES} random bytes": _random,
    "64 KiB of long names, TCP": _large,
    f"{_IDLE} idle connections": _idle,
}
