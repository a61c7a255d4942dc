"""Servers whose connections are streams: to iterate over, or with a coroutine for each."""

from __future__ import annotations

import asyncio
import inspect
import socket
from collections import deque
from typing import TYPE_CHECKING, Self

from asyncendpoints.addresses import Address
from asyncendpoints.server import Server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from asyncendpoints.errors import HandshakeError
    from asyncendpoints.limits import Limits
    from asyncendpoints.server import Bound

__all__ = ["HandlerServer", "StreamServer"]

#: Streams that wait to be claimed before accepting pauses.
_UNCLAIMED = 100


class StreamServer(Server):
    """A server to iterate over: each connection gives its reader and its writer.

    The iteration ends when the server is closed and the streams that waited by then are claimed. While 100
    wait, no more connections are accepted.
    """

    def __init__(
        self,
        bound: Sequence[Bound],
        limits: Limits,
        drain: float,
        on_error: Callable[[HandshakeError], None] | None,
    ) -> None:
        self._streams: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = deque()
        self._news = asyncio.Event()
        super().__init__(bound, self._protocol, limits, drain, on_error)

    def _protocol(self) -> asyncio.StreamReaderProtocol:
        reader = asyncio.StreamReader(loop=self._loop)
        return asyncio.StreamReaderProtocol(reader, self._connected, loop=self._loop)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._closed.is_set():
            # It was in its handshake, and the iteration may be over: nobody would look after it.
            writer.close()
            return
        self._streams.append((reader, writer))
        self._news.set()
        self._update()

    def _has_room(self) -> bool:
        # Each handshake is to give a stream.
        unclaimed = len(self._streams) + len(self._opening)
        return unclaimed < _UNCLAIMED and super()._has_room()

    def close(self) -> None:
        super().close()
        self._news.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while not self._streams:
            if self._closed.is_set():
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        streams = self._streams.popleft()
        self._update()
        return streams


class HandlerServer(Server):
    """A server that runs a coroutine for each connection, as ``asyncio.start_server`` does."""

    def __init__(
        self,
        bound: Sequence[Bound],
        handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None],
        limit: int,
        limits: Limits,
        drain: float,
        on_error: Callable[[HandshakeError], None] | None,
    ) -> None:
        self._handle = handle
        self._limit = limit
        self._handlers: set[asyncio.Task[None]] = set()
        super().__init__(bound, self._protocol, limits, drain, on_error)

    def _protocol(self) -> asyncio.StreamReaderProtocol:
        reader = asyncio.StreamReader(limit=self._limit, loop=self._loop)
        return asyncio.StreamReaderProtocol(reader, self._connected, loop=self._loop)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._run(reader, writer))
        self._handlers.add(task)
        task.add_done_callback(self._handled)

    async def _run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Call the handler, and close the connection if it fails."""
        try:
            handled = self._handle(reader, writer)
            if inspect.isawaitable(handled):
                await handled
        except asyncio.CancelledError:
            _close(writer)
            raise
        except Exception as error:  # noqa: BLE001 - a handler does not stop the server
            message = f"the handler of the connection of {_peer(writer)} raised"
            self._loop.call_exception_handler(
                {"message": message, "exception": error, "transport": writer.transport}
            )
            _close(writer)

    def _handled(self, task: asyncio.Task[None]) -> None:
        self._handlers.discard(task)
        self._wake()

    def abort_clients(self) -> None:
        """Close every connection at once, and cancel the handlers, but for one that calls this."""
        super().abort_clients()
        for task in self._handlers - {asyncio.current_task(self._loop)}:
            task.cancel()

    def _is_idle(self) -> bool:
        return super()._is_idle() and not self._handlers


def _close(writer: asyncio.StreamWriter) -> None:
    # A second close of asyncio's TLS transport takes abort away from it.
    if not writer.is_closing():
        writer.close()


def _peer(writer: asyncio.StreamWriter) -> str:
    peer = writer.get_extra_info("peername")
    return str(Address(socket.AF_UNSPEC, peer)) if peer else "a client"
