"""One connection to a server, on which questions follow each other without waiting for replies.

It is opened when there is a question, and closed when there has been none for a while. Replies come in any
order and are matched by identifier and question. What the server sends takes no more room than one message.

Source: RFC 7766, sections 6.2 and 7; RFC 7858, section 3.4.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING, ClassVar, Final, cast

from asyncendpoints.connecting import connect
from asyncendpoints.dns.question import frame
from asyncendpoints.dns.reply import is_headless_error, is_reply_to
from asyncendpoints.errors import EndpointError

if TYPE_CHECKING:
    from asyncendpoints.dns.upstream import Asker, Upstream, Waiting
    from asyncendpoints.specs import ClientSpec

__all__ = ["Line", "Pipeline"]

#: The flag of a message that is cut, in its third byte.
_TC: Final = 2
#: How many questions may wait on a connection; more wait for these.
_MOST_WAITING: Final = 4096
#: How many a connection gets at first, at least: one that is answered late must not hold up all others.
_LEAST_WINDOW: Final = 8
#: How many bytes of questions the server may leave unread.
_MOST_UNREAD: Final = 262_144
#: Seconds after which a connection that nobody needs is closed.
_IDLE_SECONDS: Final = 10.0
#: How many questions in a row a connection may leave without a reply before it is given up, and its questions
#: are asked on another: as many as one flight asks as a rule.
_MOST_SILENT: Final = 2
#: Seconds that a connect may take.
_CONNECT_SECONDS: Final = 5.0
#: Seconds between two attempts to connect after failures: at first and at most.
_FIRST_BACKOFF, _LONGEST_BACKOFF = 0.25, 30.0


class Pipeline:
    """The connection to one upstream.

    Args:
        upstream: Judges replies.
        spec: What to connect to.
        loop: The loop on which that is done.
    """

    is_stream: ClassVar[bool] = True

    def __init__(
        self, upstream: Upstream, spec: ClientSpec, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.upstream = upstream
        self.loop = loop
        self._spec = spec
        self._line: Line | None = None
        self._opening: asyncio.Task[None] | None = None
        #: Who waits for the connection, or for room on it.
        self._early: deque[Asker] = deque()
        #: How many questions a connection gets at first, and twice as many as it answers then: a server may
        #: close it after some.
        self.window = _MOST_WAITING
        self._retry_at = 0.0
        self._backoff = 0.0
        self._is_closed = False

    def ask(self, asker: Asker, now: float) -> bool:
        """Send a question, at once or when there is room on a connection; False if that is not possible."""
        line = self._line
        if line is not None and line.has_room():
            line.ask(asker, now)
            return True
        if line is None and (now < self._retry_at or self._is_closed):
            return False
        self._early.append(asker)
        if line is None:
            self._begin()
        return True

    def _begin(self) -> None:
        """Open a connection, unless that is under way."""
        if self._opening is None:
            # Names of upstreams are for the system to look up: this resolver cannot wait for itself.
            self._opening = self.loop.create_task(self._open(), context=Context())

    async def _open(self) -> None:
        failure: Exception = ConnectionResetError("the connection ended at once")
        try:
            _, line = await connect(self._spec, lambda: Line(self), timeout=_CONNECT_SECONDS)
        except (OSError, EndpointError) as error:
            line, failure = None, error
        finally:
            self._opening = None
        now = self.loop.time()
        if line is None or line.is_over:
            self._give_up(now, failure)
            self._lose_early(now)
        else:
            self._line = line
            self.go_on(line, now)

    def go_on(self, line: Line, now: float) -> None:
        """Send what waits for room on a connection, as far as there is."""
        while self._early and line.has_room():
            asker = self._early.popleft()
            if asker.outcome is None:
                line.ask(asker, now)

    def _lose_early(self, now: float) -> None:
        """Give up what waits for a connection."""
        early, self._early = self._early, deque()
        for asker in early:
            asker.lose(self.upstream, now)

    def _give_up(self, now: float, error: Exception) -> None:
        """Note that there is no connection to be had for a while; the first failure can be an accident."""
        self.upstream.fail(now, error)
        self._retry_at = now + self._backoff
        self._backoff = min(max(self._backoff * 2, _FIRST_BACKOFF), _LONGEST_BACKOFF)

    def end(self, line: Line, lost: list[Asker]) -> None:
        """Hear that a connection has ended; what was lost with one that worked is asked again.

        So a server may close each connection after some replies: the next one gets as many questions.

        Source: RFC 7766, section 6.2.4.
        """
        now = self.loop.time()
        self._line = None
        if line.replies:
            self._backoff = 0.0
            if lost or line.replies > self.window:
                self.window = min(max(line.replies, _LEAST_WINDOW), _MOST_WAITING)
        elif lost and not self._is_closed:
            self._give_up(now, ConnectionResetError("the connection ended without a reply"))
        for asker in lost:
            if not line.replies or not self.ask(asker, now):
                asker.lose(self.upstream, now)
        if self._early and (self._is_closed or now < self._retry_at):
            self._lose_early(now)
        elif self._early:
            self._begin()

    def time_out(self) -> None:
        """Hear that a question to the upstream, here or elsewhere, was not answered in time."""
        if self._line is not None:
            self._line.time_out()

    def close(self) -> None:
        """Close the connection; who waits for a reply loses it."""
        self._is_closed = True
        if self._opening is not None:
            self._opening.cancel()
        if self._line is not None:
            self._line.abort()
        self._lose_early(self.loop.time())

    async def wait_closed(self) -> None:
        """Wait until a connection that was told to close is closed."""
        if self._opening is not None:
            await asyncio.wait([self._opening])
        if self._line is not None:
            await self._line.lost.wait()


class Line(asyncio.Protocol):
    """A connection, and what is waited for on it.

    Args:
        pipeline: Where it belongs.
    """

    is_stream: ClassVar[bool] = True

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._buffer = bytearray()
        self._transport: asyncio.Transport
        self._local: object = None
        #: What is waited for, by identifier.
        self.waiting: dict[bytes, Waiting] = {}
        self._silent = 0
        self._idle: asyncio.TimerHandle | None = None
        self._used = 0.0
        self._sent = 0
        #: How many right replies have come.
        self.replies = 0
        #: Whether it has ended, and what is set then.
        self.is_over = False
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._local = transport.get_extra_info("sockname")
        self._pipeline.upstream.own.add(self._local, is_stream=True)
        self._arm()

    def has_room(self) -> bool:
        """Tell whether a question can be sent now."""
        if self.is_over or len(self.waiting) >= _MOST_WAITING:
            return False
        if self._sent >= max(self._pipeline.window, 2 * self.replies):
            return False
        return self._transport.get_write_buffer_size() <= _MOST_UNREAD

    def ask(self, asker: Asker, now: float) -> None:
        """Send a question, for which there is room."""
        waiting = self.waiting
        upstream = self._pipeline.upstream
        ident = upstream.dice.take(2)
        while ident in waiting:
            ident = upstream.dice.take(2)
        has_edns = upstream.has_edns(asker, now)
        head, kind, opt = frame(asker.qtype, asker.flags, has_edns)
        question = asker.key + kind
        message = b"".join((ident, head, question, opt))
        self._transport.write(len(message).to_bytes(2, "big") + message)
        waiting[ident] = asker, question, now, has_edns
        asker.tries = self, ident, asker.tries
        upstream.sent += 1
        self._sent += 1
        self._used = now

    def data_received(self, data: bytes) -> None:
        buffer, pipeline = self._buffer, self._pipeline
        buffer += data
        now = pipeline.loop.time()
        start = 0
        while len(buffer) >= start + 2:
            end = start + 2 + (buffer[start] << 8 | buffer[start + 1])
            if len(buffer) < end:
                break
            self._take(bytes(buffer[start + 2 : end]), now)
            start = end
        del buffer[:start]
        pipeline.go_on(self, now)

    def _take(self, packet: bytes, now: float) -> None:
        """Take one message. After one that is no good there comes no right one: nobody forges here."""
        found = self.waiting.get(packet[:2])
        upstream = self._pipeline.upstream
        if found is None:
            upstream.unwanted += 1
            return
        self._silent = 0
        if is_headless_error(packet):
            found = found[0], b"", found[2], found[3]
        elif not is_reply_to(packet, found[1]):
            upstream.unwanted += 1
            return
        self.replies += 1
        # What is cut here too cannot be had from this upstream.
        if packet[2] & _TC or not upstream.take(self, packet, found, now):
            upstream.unwanted += 1
            self.forget(packet[:2])
            found[0].lose(upstream, now)

    def forget(self, ident: bytes) -> None:
        """Wait no longer for a reply."""
        self.waiting.pop(ident, None)

    def time_out(self) -> None:
        """Hear that a question was not answered in time: a connection that leaves several so is dead."""
        if self.waiting or self._buffer:
            self._silent += 1
            if self._silent >= _MOST_SILENT:
                self.abort()

    def _arm(self) -> None:
        self._idle = self._pipeline.loop.call_later(_IDLE_SECONDS, self._check)

    def _check(self) -> None:
        """Close it if it is idle."""
        if not self.waiting and self._pipeline.loop.time() - self._used >= _IDLE_SECONDS:
            self._transport.close()
        else:
            self._arm()

    def abort(self) -> None:
        """Close it at once."""
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - what ended it is all the same
        self.is_over = True
        self.lost.set()
        if self._idle is not None:
            self._idle.cancel()
        self._pipeline.upstream.own.remove(self._local, is_stream=True)
        lost = [asker for asker, *_ in self.waiting.values()]
        self.waiting.clear()
        self._pipeline.end(self, lost)
