"""What a connection costs a server: accepting and closing it, and a TLS handshake.

Ours is `asyncendpoints.listen`, the peer ``loop.create_server``, both in one loop that has a thread to
itself; the clients are blocking sockets in the main thread. What counts is the CPU time of the loop's thread.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import ssl
import sys
import tempfile
import time
from datetime import UTC, datetime
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, cast

import uvloop
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from measure import Row, interleaved, report

from asyncendpoints import listen, quote
from asyncendpoints.certificates import make_development_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, TypeVar

    from measure import Result

    T = TypeVar("T")

ROUNDS = 30
#: Connections in a round.
CONNECTS, HANDSHAKES = 400, 60


class Hangup(asyncio.Protocol):
    """Closes a connection as soon as there is one."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class Greeter(asyncio.Protocol):
    """Says one word and closes: the client knows then that the handshake is over."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(b"hello")
        transport.close()


class LoopThread:
    """A loop in a thread of its own."""

    def __init__(self, make_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self.loop = make_loop()
        self._thread = Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def cpu(self, work: Callable[[], None]) -> float:
        """Give the CPU seconds that the loop's thread spends while ``work`` is done in this one."""
        assert self._thread.ident is not None
        clock = time.pthread_getcpuclockid(self._thread.ident)
        gc.collect()
        gc.disable()
        start = time.clock_gettime(clock)
        work()
        seconds = time.clock_gettime(clock) - start
        gc.enable()
        return seconds

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


def connect(port: int) -> None:
    """Connect, and wait for the end."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.recv(1)


def shake(port: int, context: ssl.SSLContext) -> None:
    """Connect, shake hands, and wait for the word that the server says."""
    with (
        socket.create_connection(("127.0.0.1", port)) as sock,
        context.wrap_socket(sock, server_hostname="localhost") as secured,
    ):
        secured.recv(16)


async def serve_both(
    text: str, factory: Callable[[], asyncio.Protocol], context: ssl.SSLContext | None
) -> tuple[asyncio.AbstractServer, int, asyncio.AbstractServer, int]:
    """Start our server and the peer; give each with its port."""
    ours = await listen(text, factory)
    loop = asyncio.get_running_loop()
    theirs = await loop.create_server(factory, "127.0.0.1", 0, ssl=context, backlog=1024)
    return ours, ours.port, theirs, theirs.sockets[0].getsockname()[1]


def compare(
    make_loop: Callable[[], asyncio.AbstractEventLoop],
    text: str,
    factory: Callable[[], asyncio.Protocol],
    context: ssl.SSLContext | None,
    visit: Callable[[int], None],
    count: int,
) -> Result:
    """Let clients visit both servers in turn, ``count`` of them in a round."""
    thread = LoopThread(make_loop)
    ours, port, theirs, peer_port = thread.run(serve_both(text, factory, context))
    try:
        return interleaved(
            lambda: thread.cpu(lambda: _repeat(visit, port, count)) / count,
            lambda: thread.cpu(lambda: _repeat(visit, peer_port, count)) / count,
            ROUNDS,
        )
    finally:
        for server in (ours, theirs):
            thread.loop.call_soon_threadsafe(server.close)
        thread.stop()


def _repeat(visit: Callable[[int], None], port: int, count: int) -> None:
    for _ in range(count):
        visit(port)


def accepting(make_loop: Callable[[], asyncio.AbstractEventLoop]) -> Result:
    """Compare accepting and closing."""
    text = "tcp:0:interface=127.0.0.1"
    return compare(make_loop, text, Hangup, None, connect, CONNECTS)


def handshaking(make_loop: Callable[[], asyncio.AbstractEventLoop], pem: str) -> Result:
    """Compare TLS handshakes, both sides with the key and the certificate of one file."""
    text = f"tls:0:interface=127.0.0.1:private_key={quote(pem)}"
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(pem)
    client = ssl.create_default_context(cafile=pem)
    return compare(make_loop, text, Greeter, server, partial(shake, context=client), HANDSHAKES)


def write_pair(pem: str) -> None:
    """Write a key and its certificate to a file."""
    pair = make_development_pair(["localhost"], datetime.now(UTC))
    key = load_pem_private_key(pair.key_pem, (pair.passphrase or "").encode())
    with open(os.open(pem, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
        file.write(pair.chain[0].public_bytes(Encoding.PEM))
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def main() -> int:
    """Print the table, and give the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        pem = os.path.join(folder, "server.pem")
        write_pair(pem)
        rows = [
            Row("accept and close", accepting(asyncio.new_event_loop), 1.08),
            Row("TLS handshake", handshaking(asyncio.new_event_loop, pem), 1.05),
            Row("accept and close, uvloop", accepting(uvloop.new_event_loop)),
            Row("TLS handshake, uvloop", handshaking(uvloop.new_event_loop, pem)),
        ]
    return report("CPU of the server for each connection, beside loop.create_server", rows)


if __name__ == "__main__":
    sys.exit(main())
