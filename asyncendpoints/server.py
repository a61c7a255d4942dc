"""Servers: the accept loop, limits, and the end of connections.

Everything here behaves alike on every Python and on every loop, because all of it is the library's own:
asyncio's servers differ between versions in what ``close`` and ``wait_closed`` mean. On the data path there
is nothing: a connection's transport is the loop's own.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import socket
import struct
from collections import Counter
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self, cast

from asyncendpoints.addresses import Address, unmapped
from asyncendpoints.bound import BoundServer
from asyncendpoints.errors import EndpointError, HandshakeError, raise_together
from asyncendpoints.limits import Limits, Stats
from asyncendpoints.listeners import Connection, CrowdedError, tracked
from asyncendpoints.quantities import check_wait
from asyncendpoints.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from asyncendpoints.listeners import Acceptor, Listener
    from asyncendpoints.specs import ServerSpec

__all__ = [
    "Bound",
    "Server",
]

logger = logging.getLogger("asyncendpoints")

#: Connections accepted in one turn of the loop at most: others have their turn too.
_BURST = 64
#: Errors of accept that concern one connection only. Source: accept(2), "Error handling".
_LOST = frozenset(
    getattr(errno, name)
    for name in (
        "ECONNABORTED",
        "EHOSTDOWN",
        "EHOSTUNREACH",
        "ENETDOWN",
        "ENETUNREACH",
        "ENONET",
        "ENOPROTOOPT",
        "EOPNOTSUPP",
        "EPERM",
        "EPROTO",
    )
    if hasattr(errno, name)
)
#: Seconds before accepting is tried again when the system had no room, at first and at most.
_FIRST_PAUSE, _LAST_PAUSE = 0.05, 1.0
#: Seconds that connections are given to close before they are aborted.
_CLOSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """One listening socket of a server."""

    spec: ServerSpec
    listener: Listener
    acceptor: Acceptor


class Server(BoundServer, asyncio.AbstractServer):
    """A server that `asyncendpoints.listen` started.

    Leaving ``async with`` stops accepting, waits up to the ``drain`` seconds for connections to end by
    themselves, closes the rest and aborts what is left after a second. On an exception there is no grace.
    """

    def __init__(
        self,
        bound: Sequence[Bound],
        factory: Callable[[], asyncio.BaseProtocol],
        limits: Limits,
        drain: float,
        on_error: Callable[[HandshakeError], None] | None,
    ) -> None:
        check_wait("drain", drain)
        self._bound = tuple(bound)
        # What the listeners say of themselves is asked before they are closed.
        super().__init__(self._places())
        self._wrapped = frozenset(each for each in self._bound if not each.spec.is_plain())
        self._is_finite = all(hasattr(each.listener, "is_spent") for each in self._bound)
        self._factory = factory
        self._limits = limits
        self._most = limits.max_connections or math.inf
        self._most_opening = limits.max_handshakes or math.inf
        self._drain = drain
        self._on_error = on_error
        self._connections: set[Connection] = set()
        self._opening: dict[Connection, asyncio.Task[None]] = {}
        self._per_peer: Counter[str] = Counter()
        self._accepted = self._rejected = self._handshake_failed = self._accept_errors = 0
        self._closed = asyncio.Event()
        #: Made for those who wait for the last connection of a closed server to end.
        self._idle: asyncio.Future[None] | None = None
        self._paused = False
        self._reading = False
        self._burst = 1
        self._retry: asyncio.TimerHandle | None = None
        self._pause_seconds = _FIRST_PAUSE
        #: How often it is said that the system refuses to accept.
        self._throttle = Throttle()
        self._forever: asyncio.Future[None] | None = None
        # Connections start in the context of whoever called listen, not in that of the connection whose
        # end made room for them.
        self._context = copy_context()
        self._update()

    # What it is

    def _places(self) -> Iterable[tuple[ServerSpec, Acceptor, Address]]:
        """Say what each socket was bound for, what accepts there, and its address."""
        return ((each.spec, each.acceptor, Address.of(each.listener)) for each in self._bound)

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening sockets; none once the server is closed."""
        if self._closed.is_set():
            return ()
        listeners = (each.listener for each in self._bound)
        return tuple(each for each in listeners if isinstance(each, socket.socket))

    @property
    def stats(self) -> Stats:
        """The counters as they are now."""
        return Stats(
            self._accepted,
            len(self._connections),
            self._rejected,
            self._handshake_failed,
            self._accept_errors,
        )

    def is_serving(self) -> bool:
        """Tell whether connections are accepted: not after `close`, nor between `pause` and `resume`."""
        return not (self._closed.is_set() or self._paused)

    def __repr__(self) -> str:
        state = "serving" if self.is_serving() else "closed" if self._closed.is_set() else "paused"
        where = ", ".join(str(each) for each in self._addresses)
        return f"<{type(self).__name__} {where} {state} connections={len(self._connections)}>"

    # Accepting

    def _has_room(self) -> bool:
        return len(self._connections) < self._most and len(self._opening) < self._most_opening

    def _update(self) -> None:
        """Watch the listeners, or do not, as the state of things wants it."""
        if self._loop.is_closed():
            return
        wanted = self.is_serving() and self._retry is None and self._has_room()
        if wanted == self._reading:
            return
        self._reading = wanted
        for each in self._bound:
            if wanted:
                self._context.run(self._loop.add_reader, each.listener.fileno(), self._accept, each)
            else:
                self._loop.remove_reader(each.listener.fileno())

    def _accept(self, bound: Bound) -> None:
        """Take the connections that wait at one listener."""
        for _ in range(self._burst):
            try:
                sock, peer = bound.listener.accept()
            except BlockingIOError:
                self._burst = 1
                return
            except OSError as error:
                if error.errno in _LOST:
                    continue
                self._accept_failed(bound, error)
                return
            self._pause_seconds = _FIRST_PAUSE
            self._take(bound, tracked(sock), peer)
            if not self._reading:
                return
        # Finding out that nobody else waits costs as much as a turn of the loop: only a crowd is worth it.
        self._burst = min(self._burst * 2, _BURST)

    def _take(self, bound: Bound, connection: Connection, peer: Any) -> None:
        """Begin with a connection, unless its peer has enough of them."""
        self._accepted += 1
        if self._limits.max_per_peer is not None:
            try:
                if getattr(bound.acceptor, "tells_peer", False):
                    connection.on_told = self._count_peer
                else:
                    self._count_peer(connection, peer)
            except CrowdedError:
                return
        connection.setblocking(False)
        if bound in self._wrapped:
            connection.is_plain = False
        connection.on_end = self._ended
        self._connections.add(connection)
        task = self._loop.create_task(self._open(bound, connection, peer))
        if not task.done():  # an eager task may be over by now
            self._opening[connection] = task
        if not self._has_room():
            self._update()

    def _count_peer(self, connection: Connection, peer: Any) -> None:
        """Count a connection under the address of its client; reset it if that has enough of them."""
        most = self._limits.max_per_peer
        if most is None or not isinstance(peer, tuple):
            return
        host = unmapped(peer[0])
        self._uncount_peer(connection)  # a second proxy has told of a first one
        if self._per_peer[host] >= most:
            self._rejected += 1
            _reset(connection)
            raise CrowdedError
        connection.peer = host
        self._per_peer[host] += 1

    def _uncount_peer(self, connection: Connection) -> None:
        host, connection.peer = connection.peer, ""
        if host:
            self._per_peer[host] -= 1
            if not self._per_peer[host]:
                del self._per_peer[host]

    def _accept_failed(self, bound: Bound, error: OSError) -> None:
        """Pause: without descriptors the listener stays readable, and would keep the loop busy."""
        self._accept_errors += 1
        if self._throttle.admits(self._loop.time()):
            reason = (error.strerror or str(error)).lower()
            logger.error("%s: accepting is paused: %s", bound.spec.display(), reason)
        self._retry = self._loop.call_later(self._pause_seconds, self._try_again)
        self._pause_seconds = min(self._pause_seconds * 2, _LAST_PAUSE)
        self._update()

    def _try_again(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self._update()

    async def _open(self, bound: Bound, connection: Connection, peer: Any) -> None:
        """Take one connection through its handshake to its protocol."""
        try:
            transport, _ = await bound.acceptor.accept(
                connection, partial(self._make_protocol, connection), self._limits.handshake_timeout
            )
        except HandshakeError as error:
            self._handshake_failed += 1
            self._report(error)
        except CrowdedError:
            pass  # counted, and reset
        except Exception as error:  # noqa: BLE001 - the factory's, reported as asyncio does
            address = Address(connection.family, peer)
            message = f"{bound.spec.display()}: no protocol for the connection of {address}"
            self._loop.call_exception_handler({"message": message, "exception": error})
        else:
            self._take_transport(connection, transport)
        finally:
            # Not in a callback of the task: that would cost every connection a turn of the loop.
            self._opened(connection)

    def _make_protocol(self, connection: Connection) -> asyncio.BaseProtocol:
        connection.has_protocol = True
        return self._factory()

    def _take_transport(self, connection: Connection, transport: asyncio.BaseTransport) -> None:
        if connection.on_end is None:  # it has ended meanwhile
            return
        connection.transport = transport
        if connection.ending is not None:
            connection.ending(transport)

    def _opened(self, connection: Connection) -> None:
        """Take note that a connection is through its handshake, or is not to be."""
        self._opening.pop(connection, None)
        if not self._reading:
            self._update()
        self._wake()

    def _report(self, error: HandshakeError) -> None:
        logger.debug("%s", error)
        if self._on_error is None:
            return
        try:
            self._on_error(error)
        except Exception as raised:  # noqa: BLE001 - a hook does not stop the server
            self._loop.call_exception_handler(
                {"message": "on_error of a server raised", "exception": raised}
            )

    def _ended(self, connection: Connection) -> None:
        """Forget a connection whose socket has been closed."""
        self._connections.discard(connection)
        self._uncount_peer(connection)
        if self._loop.is_closed():
            return
        if self._retry is not None:
            # Its descriptor is about to be free: the next connection can have it.
            self._loop.call_soon(self._try_again)
        elif not self._reading:
            self._update()
        if self._is_finite and self._is_spent():
            self.close()
        self._wake()

    def _is_spent(self) -> bool:
        """Tell whether no connection is left, and none can come."""
        return not self._connections and all(
            getattr(each.listener, "is_spent", False) for each in self._bound
        )

    def _is_idle(self) -> bool:
        return not self._connections and not self._opening

    def _wake(self) -> None:
        """Tell those who wait for the end of the last connection."""
        if self._idle is not None and not self._idle.done() and self._is_idle():
            self._idle.set_result(None)

    # Stopping

    async def start_serving(self) -> None:
        """Accept connections; a server does from the start, unless it was paused."""
        self.resume()

    async def serve_forever(self) -> None:
        """Wait until the server is closed, or the caller cancelled, which closes it.

        When another task or a signal handler closes the server this returns, so that leaving ``async with``
        drains. (That of `asyncio.Server` raises `asyncio.CancelledError` then, though nobody cancelled.)

        Raises:
            asyncio.CancelledError: The caller was cancelled.
            RuntimeError: The server is closed, or this is being waited for already.
        """
        if self._closed.is_set():
            raise RuntimeError("the server is closed")
        if self._forever is not None:
            raise RuntimeError("serve_forever is running already")
        self._forever = self._loop.create_future()
        try:
            await self._forever
        finally:
            self._forever = None
            self.close()

    def pause(self) -> None:
        """Stop accepting; connections wait in the backlog of the system until `resume`."""
        self._paused = True
        self._update()

    def resume(self) -> None:
        """Accept again after `pause`."""
        self._paused = False
        self._update()

    def reload(self) -> None:
        """Read certificates and keys again, for the connections to come.

        Raises:
            EndpointError: Those of an endpoint are bad: it keeps the old ones, and the others get theirs.
                Where several are bad the first is raised, with the others as its notes.
        """
        errors: list[EndpointError] = []
        for acceptor in {id(each.acceptor): each.acceptor for each in self._bound}.values():
            try:
                acceptor.reload()
            except EndpointError as error:
                errors.append(error)
        raise_together(errors)

    def close(self) -> None:
        """Stop listening. Connections go on: see `close_clients`, `drain` and `wait_closed`."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._update()
        for each in self._bound:
            each.listener.close()
        if self._forever is not None and not self._forever.done():
            self._forever.set_result(None)

    def close_clients(self) -> None:
        """Close every connection, after what its protocol has written so far."""
        self._end_clients(_close)

    def abort_clients(self) -> None:
        """Close every connection at once; what is buffered is lost."""
        self._end_clients(_abort)
        for connection in self._connections:
            if connection.transport is not None and not connection.is_plain:
                # The TLS transport of asyncio does nothing in abort after two calls of close.
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _end_clients(self, end: Callable[[asyncio.BaseTransport], None]) -> None:
        for connection in list(self._connections):
            connection.ending = end
            if connection.transport is not None:
                end(connection.transport)
        for connection, task in self._opening.items():
            # A connection that has its protocol is left to get its transport too: what has been written
            # to that by now is in no other hands.
            if not connection.has_protocol:
                task.cancel()
                task.add_done_callback(partial(self._abandon, connection))

    def _abandon(self, connection: Connection, _: asyncio.Task[None]) -> None:
        # A task that is cancelled before its first step never runs: nobody else closes its socket.
        connection.close()
        self._opened(connection)

    async def wait_closed(self) -> None:
        """Wait until the server is closed and its last connection has ended."""
        await self._closed.wait()
        await self.drain()

    async def drain(self, timeout: float | None = None) -> bool:
        """Stop listening and wait for connections to end by themselves.

        Args:
            timeout: Seconds, or None to wait as long as it takes.

        Returns:
            True if all have ended, False if time ran out first.
        """
        self.close()
        if not self._is_idle():
            self._idle = self._idle or self._loop.create_future()
            await asyncio.wait([self._idle], timeout=timeout)
        return self._is_idle()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()
        try:
            if exc[0] is None:
                await self._end_gently()
        finally:
            self.abort_clients()
            if not await self.drain(_CLOSE_SECONDS):
                logger.warning("%r: some connections do not end", self)

    async def _end_gently(self) -> None:
        if await self.drain(self._drain):
            return
        self.close_clients()
        await self.drain(_CLOSE_SECONDS)


def _close(transport: asyncio.BaseTransport) -> None:
    # A second close of asyncio's TLS transport takes abort away from it.
    if not transport.is_closing():
        transport.close()


def _abort(transport: asyncio.BaseTransport) -> None:
    # Not every loop's transports have asyncio's classes as their bases, but they have the methods.
    cast("asyncio.WriteTransport", transport).abort()


def _reset(sock: socket.socket) -> None:
    """Close a socket so that its peer sees a reset, and nothing stays behind in the system."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
