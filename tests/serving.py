"""A listener and an acceptor that do what a test says, for servers without a network."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

from asyncendpoints.kinds.tcp import TCPServer
from asyncendpoints.limits import Limits
from asyncendpoints.listeners import Connection, tracked
from asyncendpoints.server import Bound, Server
from asyncendpoints.transports import adopt
from tests.conftest import LOOP
from tests.support import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints.errors import HandshakeError

__all__ = [
    "TASK_FACTORIES",
    "FakeAcceptor",
    "FakeListener",
    "Visitor",
    "Visits",
    "bound",
    "complaints",
    "leave",
    "make_server",
    "turns",
    "until",
    "visit",
]

P = TypeVar("P", bound=asyncio.BaseProtocol)

#: Factories of tasks to run a test with: the loop's own, and the eager one where there is one that fits the
#: loop.
_EAGER = getattr(asyncio, "eager_task_factory", None)
TASK_FACTORIES = [None, _EAGER] if _EAGER and LOOP == "asyncio" else [None]

PEER = ("192.0.2.1", 50000)


class FakeListener:
    """A listener that gives what is put into it, connections and errors, in that order."""

    family = socket.AF_INET

    def __init__(self) -> None:
        self.waiting: deque[tuple[socket.socket, Any] | OSError] = deque()
        #: Loop times at which it was asked.
        self.asked: list[float] = []
        self._doorbell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC | os.EFD_SEMAPHORE)
        self.is_closed = False

    def connect(self, peer: Any = PEER) -> socket.socket:
        """Let a client wait to be accepted, and give its end."""
        client, accepted = socket.socketpair()
        client.setblocking(False)
        self._put((accepted, peer))
        return client

    def fail(self, code: int) -> None:
        """Let the next accept fail."""
        self._put(OSError(code, os.strerror(code)))

    def _put(self, item: tuple[socket.socket, Any] | OSError) -> None:
        self.waiting.append(item)
        os.eventfd_write(self._doorbell, 1)

    def fileno(self) -> int:
        return self._doorbell

    def getsockname(self) -> Any:
        return ("127.0.0.1", 4321)

    def accept(self) -> tuple[Connection, Any]:
        self.asked.append(asyncio.get_running_loop().time())
        if not self.waiting:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        item = self.waiting.popleft()
        os.eventfd_read(self._doorbell)
        if isinstance(item, OSError):
            raise item
        return tracked(item[0]), item[1]

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            os.close(self._doorbell)
        for item in self.waiting:
            if not isinstance(item, OSError):
                item[0].close()


class FakeAcceptor:
    """An acceptor whose handshakes take as long, and end, as a test says."""

    def __init__(self) -> None:
        #: Handshakes wait for it.
        self.gate = asyncio.Event()
        self.gate.set()
        #: What a handshake raises.
        self.error: Exception | None = None
        self.timeouts: list[float] = []
        #: Handshakes that were cancelled.
        self.cancelled = 0
        self.reloaded = 0

    async def accept(
        self, sock: socket.socket, factory: Callable[[], P], timeout: float
    ) -> tuple[asyncio.Transport, P]:
        self.timeouts.append(timeout)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            sock.close()
            raise
        if self.error is not None:
            sock.close()
            raise self.error
        return await adopt(sock, factory)

    def reload(self) -> None:
        self.reloaded += 1
        if self.error is not None:
            raise self.error


class Visitor(Recorder):
    """A protocol that announces itself when it is connected."""

    def __init__(self, arrivals: asyncio.Queue[Visitor]) -> None:
        super().__init__()
        self._arrivals = arrivals

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._arrivals.put_nowait(self)


class Visits:
    """A factory that counts its calls."""

    def __init__(self) -> None:
        self.made = 0
        self._arrivals: asyncio.Queue[Visitor] = asyncio.Queue()

    def __call__(self) -> Visitor:
        self.made += 1
        return Visitor(self._arrivals)

    async def next(self) -> Visitor:
        """Wait for the next protocol that is connected."""
        return await self._arrivals.get()


def bound(listener: FakeListener, acceptor: FakeAcceptor | None = None) -> Bound:
    """Give a listener as one of ``tcp:4321``."""
    return Bound(TCPServer(4321), listener, acceptor or FakeAcceptor())


def make_server(
    listener: FakeListener,
    factory: Callable[[], asyncio.BaseProtocol],
    acceptor: FakeAcceptor | None = None,
    *,
    limits: Limits = Limits(),
    drain: float = 0.0,
    on_error: Callable[[HandshakeError], None] | None = None,
) -> Server:
    """Start a server on a listener."""
    return Server([bound(listener, acceptor)], factory, limits, drain, on_error)


async def turns(count: int = 10) -> None:
    """Let the loop do what it can do at once."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something is so that nothing announces."""
    while not condition():  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0)


async def visit(server: Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect as a client."""
    return await asyncio.open_connection("127.0.0.1", server.port)


async def leave(*writers: asyncio.StreamWriter) -> None:
    """Disconnect, and wait for the end of it."""
    for writer in writers:
        writer.close()
        await writer.wait_closed()


def complaints() -> list[dict[str, Any]]:
    """Collect what the loop's exception handler is called with."""
    heard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
    return heard
