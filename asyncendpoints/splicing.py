"""Two plain sockets joined by the kernel: the bytes go through a pipe and never reach Python. Linux only.

The law: a direction reads only while its pipe is empty, so that "would block" always means the socket.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Pipes", "Splice", "is_available"]

#: Bytes moved in one turn of the loop, and the size asked for each pipe. As much as a user may have: pipe(7).
_CHUNK = 1 << 20
#: Seconds after which a pipe is asked for again when there was no descriptor for it.
_PAUSE = 0.05
#: Empty pipes kept for the next use.
_SPARE = 4


def is_available() -> bool:
    """Tell whether this system can splice."""
    return hasattr(os, "splice")


class Pipes:
    """Pipes to lend out. A direction holds one only while bytes are stuck in it, so that few are needed."""

    def __init__(self) -> None:
        self._spare: list[tuple[int, int]] = []
        # One for the time when descriptors run out; without it connections wait until there are some.
        with suppress(OSError):
            self.give(self.take())

    def take(self) -> tuple[int, int]:
        """Give the two ends of an empty pipe.

        Raises:
            OSError: There is no descriptor left.
        """
        if self._spare:
            return self._spare.pop()
        pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        with suppress(OSError):  # the user has many pipes: a small one does it too
            fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, _CHUNK)
        return pipe

    def give(self, pipe: tuple[int, int]) -> None:
        """Take back a pipe that is empty."""
        if len(self._spare) < _SPARE:
            self._spare.append(pipe)
        else:
            _close(pipe)

    def close(self) -> None:
        """Close the spare ones."""
        while self._spare:
            _close(self._spare.pop())


class Splice:
    """Both directions between two connected, non-blocking sockets.

    Args:
        first: A descriptor, which stays the caller's: this works on copies.
        second: Another.
        pipes: Where pipes come from.
        moved: Called with the number of bytes, and whether they came from the first, each time that some
            were read.
        ended: Called once, when both directions have ended: with None if each came to its end of data, else
            with the error. The copies are closed by then.

    Raises:
        OSError: There is no descriptor left.
    """

    def __init__(
        self,
        first: int,
        second: int,
        pipes: Pipes,
        moved: Callable[[int, bool], None],
        ended: Callable[[OSError | None], None],
    ) -> None:
        self._ended = ended
        self._sockets: list[socket.socket] = []
        self._ways: list[_Way] = []
        try:
            for descriptor in (first, second):
                self._sockets.append(socket.socket(fileno=os.dup(descriptor)))
        except OSError:
            self.close()
            raise
        one, other = self._sockets
        self._ways = [
            _Way(one, other, pipes, lambda count: moved(count, True), self._way_ended),
            _Way(other, one, pipes, lambda count: moved(count, False), self._way_ended),
        ]

    def _way_ended(self, error: OSError | None) -> None:
        """Go on after the end of data, and where one side takes no more; what cannot be read is the end."""
        if error is None and not all(way.is_over for way in self._ways):
            return
        broken = next((way.broken for way in self._ways if way.broken), None)
        self.close()
        self._ended(error or broken)

    def held(self) -> int:
        """Give the number of bytes that are under way."""
        return sum(way.held for way in self._ways)

    def close(self) -> None:
        """Let go of the sockets; bytes that are under way are lost. ``ended`` is not called."""
        for way in self._ways:
            way.close()
        for sock in self._sockets:
            sock.close()


class _Way:
    """One direction."""

    def __init__(
        self,
        source: socket.socket,
        sink: socket.socket,
        pipes: Pipes,
        moved: Callable[[int], None],
        ended: Callable[[OSError | None], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._source = source
        self._sink = sink
        self._pipes = pipes
        self._moved = moved
        self._ended = ended
        #: Bytes in the pipe.
        self.held = 0
        self._pipe: tuple[int, int] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self.is_over = False
        #: Why the sink takes no more.
        self.broken: OSError | None = None
        self._loop.add_reader(source, self._readable)

    def _readable(self) -> None:
        try:
            pipe = self._pipe = self._pipes.take()
        except OSError:
            # No descriptor is left; the source, which stays readable, would keep the loop busy.
            self._loop.remove_reader(self._source)
            self._retry = self._loop.call_later(_PAUSE, self._resume)
            return
        try:
            self.held = os.splice(
                self._source.fileno(), pipe[1], _CHUNK, flags=os.SPLICE_F_NONBLOCK
            )
        except (BlockingIOError, InterruptedError):
            self._return_pipe()
        except OSError as error:
            self.close()
            self._ended(error)
        else:
            if self.held:
                self._moved(self.held)
                self._push()
            else:
                self._finish()

    def _resume(self) -> None:
        self._retry = None
        self._loop.add_reader(self._source, self._readable)

    def _push(self) -> bool:
        """Empty the pipe into the sink; True if that was possible."""
        assert self._pipe is not None
        try:
            while self.held:
                self.held -= os.splice(
                    self._pipe[0], self._sink.fileno(), self.held, flags=os.SPLICE_F_NONBLOCK
                )
        except (BlockingIOError, InterruptedError):
            self._loop.remove_reader(self._source)
            self._loop.add_writer(self._sink, self._writable)
            return False
        except OSError as error:
            # The other direction may still hold an answer, such as why the sink takes no more.
            self.broken = error
            self.close()
            self._ended(None)
            return False
        self._return_pipe()
        return True

    def _writable(self) -> None:
        if self._push():
            self._loop.remove_writer(self._sink)
            self._loop.add_reader(self._source, self._readable)

    def _finish(self) -> None:
        with suppress(OSError):  # it has left: its own direction will say so
            self._sink.shutdown(socket.SHUT_WR)
        self.close()
        self._ended(None)

    def _return_pipe(self) -> None:
        if self._pipe is not None:
            self._pipes.give(self._pipe)
            self._pipe = None

    def close(self) -> None:
        """Stop watching, and throw the pipe away with what is in it."""
        if self.is_over:
            return
        self.is_over = True
        self._loop.remove_reader(self._source)
        self._loop.remove_writer(self._sink)
        if self._retry is not None:
            self._retry.cancel()
        if self.held and self._pipe is not None:
            _close(self._pipe)
            self._pipe = None
        self._return_pipe()


def _close(pipe: tuple[int, int]) -> None:
    for end in pipe:
        os.close(end)
