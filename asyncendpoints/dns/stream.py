"""DNS over streams: TCP, TLS and unix sockets.

Queries are answered as they come, replies leave as they are there, and all that are there leave in one write.
Only a whole query keeps a connection open: bytes of one that drip in do not.

The law: whatever a client sends or does not read, nothing is raised, and what is kept of it has a limit.

Source: RFC 7766; RFC 9210, section 4; RFC 7858, section 3, for TLS.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from asyncendpoints.dns.limits import DNSLimits
from asyncendpoints.dns.scan import HEADER_BYTES

if TYPE_CHECKING:
    from asyncendpoints.dns.late_reply import Reply
    from asyncendpoints.dns.query import Transport
    from asyncendpoints.dns.responder import Responder, Source

__all__ = ["DNSStreamProtocol", "DNSStreams", "StreamCounters"]

#: How much is read at one time, in bytes: some 300 queries, so that other connections have their turn.
_READ_BYTES = 16_384
#: Seconds between two looks at the time limits, at most; a limit is kept to within one of these.
_LONGEST_TICK = 1.0
#: For how many seconds the queries of one connection are answered before the loop has its turn, and after how
#: many of them the clock is looked at.
_SECONDS_AT_ONCE = 0.002
_LOOKS = 8


@dataclass(slots=True)
class StreamCounters:
    """How many connections a server has ended for its own reasons."""

    #: Those that sent no whole query in time.
    idle: int = 0
    #: Those that did not read their replies.
    unread: int = 0
    #: Those that sent what cannot be a query: too short or too long.
    malformed: int = 0
    #: Those one of whose queries is to have no reply.
    dropped: int = 0


class DNSStreams:
    """What the connections of a server share; a call makes the protocol of one.

    Args:
        responder: Who answers.
        limits: How much to take on.
    """

    def __init__(self, responder: Responder, limits: DNSLimits = DNSLimits()) -> None:
        self.responder = responder
        self.limits = limits
        self.counters = StreamCounters()
        #: Where every connection reads to: what is in it is taken out before anything else can happen.
        self.buffer = memoryview(bytearray(_READ_BYTES))
        self._connections: set[DNSStreamProtocol] = set()
        shortest = min(limits.first_timeout, limits.idle_timeout, limits.write_timeout)
        self._tick = min(shortest / 4, _LONGEST_TICK)
        self._is_ticking = False
        #: Whether `finish` was called.
        self.is_finishing = False

    def __call__(self) -> DNSStreamProtocol:
        return DNSStreamProtocol(self)

    def add(self, connection: DNSStreamProtocol) -> None:
        """Watch over the time limits of a connection."""
        self._connections.add(connection)
        if not self._is_ticking:
            self._is_ticking = True
            connection.loop.call_later(self._tick, self._look, connection.loop)

    def discard(self, connection: DNSStreamProtocol) -> None:
        """Forget a connection that has ended."""
        self._connections.discard(connection)

    def finish(self) -> None:
        """Read no more queries; connections end once those that were read have their replies.

        Those that come from here on, out of a handshake, end at once.
        """
        self.is_finishing = True
        for each in tuple(self._connections):
            each.finish()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at every connection, and again in a moment if there are any left.

        One timer for all of them costs less than one for each, which would be set again at every query.
        """
        now = loop.time()
        for each in tuple(self._connections):
            each.check(now)
        self._is_ticking = bool(self._connections)
        if self._is_ticking:
            loop.call_later(self._tick, self._look, loop)


class DNSStreamProtocol(asyncio.BufferedProtocol):
    """Answers the queries of one connection.

    Args:
        streams: What it shares with the others.
    """

    __slots__ = (
        "_data",
        "_has_ended",
        "_is_behind",
        "_is_blocked",
        "_is_closing",
        "_is_held",
        "_is_scheduled",
        "_limits",
        "_patience",
        "_position",
        "_ready",
        "_responder",
        "_since",
        "_source",
        "_streams",
        "_transport",
        "_waiting",
        "loop",
    )

    _source: Source
    _transport: asyncio.Transport

    def __init__(self, streams: DNSStreams) -> None:
        self.loop = asyncio.get_running_loop()
        self._streams = streams
        self._responder = streams.responder
        self._limits = streams.limits
        #: What has come, and from where on it is not answered yet.
        self._data = b""
        self._position = 0
        #: What is to be written next.
        self._ready: list[bytes] = []
        #: Replies that are still to come.
        self._waiting: set[Reply] = set()
        #: Since when the client has done nothing of what is expected of it, and for how long it may.
        self._since = 0.0
        self._patience = self._limits.first_timeout
        #: The client does not read as fast as it asks.
        self._is_blocked = False
        #: More has come than could be answered at once: `_flush` goes on with it.
        self._is_behind = False
        #: Reading is paused.
        self._is_held = False
        #: The client sends no more, or nobody listens to it any more.
        self._has_ended = False
        self._is_closing = False
        #: `_flush` is about to run.
        self._is_scheduled = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not a check: the transports of uvloop inherit from no class of asyncio.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=self._limits.max_write_bytes)
        self._source = _source(self._responder, self._transport)
        self._since = self.loop.time()
        self._streams.add(self)
        if self._streams.is_finishing:
            self.finish()

    # Reading

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - it is large enough
        return self._streams.buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._streams.buffer[:nbytes])
        if self._data:
            data = self._data[self._position :] + data
        self._data = data
        self._position = 0
        self._work()

    def _work(self) -> None:
        """Answer what has come, as far as there is room for the replies."""
        if self._is_closing:
            return
        if self._data and not self._is_full():
            self._answer()
            if self._is_closing:
                return
        self._write()
        self._regulate()
        if self._has_ended and not (self._waiting or self._is_blocked or self._is_behind):
            self._close()

    def _answer(self) -> None:
        """Answer the queries that are whole, one after another, as far as there is room and time."""
        now = self.loop.time()
        looks = _LOOKS
        self._responder.wake(now)
        respond, source, ready = self._responder.respond, self._source, self._ready
        longest, room = self._limits.max_query_bytes, self._limits.max_write_bytes
        data = self._data
        end = len(data)
        first = start = self._position + 2
        while start <= end:
            size = data[start - 2] << 8 | data[start - 1]
            if not HEADER_BYTES <= size <= longest:
                self._streams.counters.malformed += 1
                self._close()
                return
            stop = start + size
            if stop > end:
                break
            if not looks:
                if self.loop.time() - now > _SECONDS_AT_ONCE:
                    self._is_behind = True
                    self._schedule()
                    break
                looks = _LOOKS
            looks -= 1
            answer = respond(data[start:stop], source)
            start = stop + 2
            if isinstance(answer, bytes):
                size = len(answer)
                ready += (size.to_bytes(2, "big"), answer)
                room -= size
                if room > 0:
                    continue
                self._write()
                room = self._limits.max_write_bytes
            else:
                self._take(answer)
            if self._is_closing:
                return
            if self._is_full():
                break
        if start > first:
            self._since = now
            self._patience = self._limits.idle_timeout
        self._keep(start - 2)

    def _keep(self, position: int) -> None:
        """Keep what is not answered yet: as it is if there are queries in it, else no more than there is."""
        if self._is_full():
            self._position = position
        else:
            self._data = self._data[position:]
            self._position = 0

    def _is_full(self) -> bool:
        """Tell whether no more is to be answered: there is no room for replies, or others have their turn."""
        return (
            self._is_blocked or self._is_behind or len(self._waiting) >= self._limits.max_pipelined
        )

    def _regulate(self) -> None:
        """Read while there is room for replies, and only then."""
        is_full = self._is_full()
        # At the end of what the client sends, a loop that is told to read finds the end again and again.
        if is_full == self._is_held or self._has_ended or self._transport.is_closing():
            return
        self._is_held = is_full
        if is_full:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        """Answer what is left, then end the connection. Over TLS the loop ends it at once."""
        self._has_ended = True
        self._work()
        return self._source.transport != "tls"

    # Replies

    def _take(self, reply: Reply | None) -> None:
        """Wait for a reply; None is that there is to be none."""
        if reply is None:
            self._streams.counters.dropped += 1
            self._close()
        else:
            self._waiting.add(reply)
            reply.then(self._receive)

    def _receive(self, reply: Reply, message: bytes | None) -> None:
        """Take a reply that has come, and write it with the others of this turn of the loop."""
        self._waiting.discard(reply)
        if message is None:
            self._take(None)
            return
        self._ready += (len(message).to_bytes(2, "big"), message)
        self._schedule()

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_scheduled = self._is_behind = False
        if not (self._is_blocked or self._is_closing):
            self._since = self.loop.time()
        self._work()

    def _write(self) -> None:
        """Write the replies that are there."""
        ready = self._ready
        if ready and not self._transport.is_closing():
            self._transport.write(b"".join(ready))
        ready.clear()

    def pause_writing(self) -> None:
        self._is_blocked = True
        self._since = self.loop.time()
        self._regulate()

    def resume_writing(self) -> None:
        self._is_blocked = False
        self._since = self.loop.time()
        self._work()

    # The end

    def finish(self) -> None:
        """Read no more queries, and end the connection once those that were read have their replies."""
        if self._has_ended or self._transport.is_closing():
            return
        if not self._is_held:
            self._transport.pause_reading()
        self._has_ended = True
        self._work()

    def check(self, now: float) -> None:
        """End the connection if a time limit is over.

        Args:
            now: Loop time, in seconds.
        """
        waited = now - self._since
        if self._is_closing:
            if waited >= self._limits.write_timeout:
                self._transport.abort()
        elif self._is_blocked:
            if waited >= self._limits.write_timeout:
                self._streams.counters.unread += 1
                self._transport.abort()
        elif waited >= self._patience and not self._waiting:
            self._streams.counters.idle += 1
            self._close()

    def _close(self) -> None:
        """Send the replies that are there, and end the connection; give up the others."""
        self._write()
        self._transport.close()
        self._since = self.loop.time()
        self._give_up()

    def _give_up(self) -> None:
        self._is_closing = True
        self._data = b""
        waiting, self._waiting = self._waiting, set()
        for reply in waiting:
            reply.abandon()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - whatever it was, it is over
        self._streams.discard(self)
        self._give_up()


def _source(responder: Responder, transport: asyncio.Transport) -> Source:
    """Say where the queries of a connection come from."""
    sock = transport.get_extra_info("socket")
    family = 0 if sock is None else sock.family
    kind: Transport = "tcp"
    if transport.get_extra_info("sslcontext") is not None:
        kind = "tls"
    elif family == socket.AF_UNIX:
        kind = "unix"
    client, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
    return responder.source(client, local, family, kind)
