"""Carrying bytes between the connections of a server and those of a client, in pairs.

The law: nothing is read from one side that the other has not taken yet, so that memory stays bounded
however unequal the two are.
"""

from __future__ import annotations

import asyncio
import select
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from asyncendpoints.addresses import Address
from asyncendpoints.connecting import UNSET, connect
from asyncendpoints.resolving import check_resolver
from asyncendpoints.specs import parse_client
from asyncendpoints.splicing import Pipes, Splice, is_available

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints.dns.resolver import Resolver
    from asyncendpoints.specs import ClientSpec

__all__ = ["Closed", "Failed", "Opened", "Relay", "RelayEvent", "Totals"]

#: Bytes read at once: what stays in the cache of a core, with few turns of the loop for each megabyte.
_BUFFER_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class RelayEvent:
    """The base of what a relay reports."""

    #: The address of who connected; empty for one without a name, as unix sockets have none.
    peer: str


@dataclass(frozen=True, slots=True)
class Opened(RelayEvent):
    """A connection has its counterpart: bytes flow."""

    #: The address that it was connected to; empty for one without a name.
    target: str
    #: The kernel carries the bytes.
    spliced: bool


@dataclass(frozen=True, slots=True)
class Failed(RelayEvent):
    """A connection found no counterpart; it was reset."""

    #: None if the peer left before.
    error: BaseException | None


@dataclass(frozen=True, slots=True)
class Closed(RelayEvent):
    """A pair that was open has ended."""

    target: str
    #: Bytes that the peer sent.
    sent: int
    #: Bytes that the peer was sent.
    received: int
    #: From the accept to the end.
    seconds: float
    #: Why it ended, unless both sides came to their end of data or left.
    error: BaseException | None


@dataclass(frozen=True, slots=True)
class Totals:
    """What a relay has done so far."""

    #: Connections that were accepted.
    connections: int
    #: Those that found no counterpart.
    failed: int
    #: Pairs that are open now, or about to be.
    active: int
    #: Bytes that the peers sent.
    sent: int
    #: Bytes that the peers were sent.
    received: int


class Relay:
    """Dials an endpoint for each connection of a server, and carries the bytes both ways.

    `accept` is the factory to listen with::

        relay = Relay("unix:/run/app.sock")
        async with listen("tcp:8080", relay.accept) as server:
            await server.serve_forever()
        await relay.close()

    The end of data of one side is passed on to the other, which may go on sending. TLS cannot do that: where
    the other side is TLS, the pair ends after some silence, and the end of data of a TLS side is the end of
    its connection. A reset is passed on as a reset.

    Args:
        target: The description or the spec to connect to.
        splice: Let the kernel carry the bytes where it can. The connections accepted are to be plain sockets:
            ``spec.is_plain()``.
        connect_timeout: Seconds for each dial; None for what the target says.
        resolver: As for `connect`.
        idle_timeout: Seconds without a byte either way after which a pair is reset; None for no limit.
        half_close_timeout: Seconds without a byte after which a pair is reset of which one side has ended and
            the other cannot be told.
        on_event: Hears of each pair: one `Opened` and one `Closed`, or one `Failed`.

    Raises:
        DescriptionError: The text is no description of a client.
    """

    def __init__(
        self,
        target: str | ClientSpec,
        *,
        splice: bool = False,
        connect_timeout: float | None = None,
        idle_timeout: float | None = None,
        half_close_timeout: float = 10.0,
        resolver: Resolver | None = None,
        on_event: Callable[[RelayEvent], None] | None = None,
    ) -> None:
        self.target = parse_client(target) if isinstance(target, str) else target
        self.idle_timeout = idle_timeout
        self.half_close_timeout = half_close_timeout
        self.emit = on_event or _ignore
        self.pipes = Pipes() if splice and self.target.is_plain() and is_available() else None
        self._connect_timeout = UNSET if connect_timeout is None else connect_timeout
        check_resolver(resolver)
        self._resolver = resolver
        self._pairs: set[_Pair] = set()
        self._changed = asyncio.Event()
        self._connections = self._failed = self._sent = self._received = 0
        self.renew_buffer()

    def accept(self) -> asyncio.BufferedProtocol:
        """Make the protocol of an accepted connection."""
        return _Pair(self).front

    @property
    def totals(self) -> Totals:
        """The counters as they are now; bytes are those of open pairs too."""
        open_ = list(self._pairs)
        return Totals(
            self._connections,
            self._failed,
            len(open_),
            self._sent + sum(pair.front.received for pair in open_),
            self._received + sum(pair.back.received for pair in open_),
        )

    async def close(self, grace: float = 1.0) -> None:
        """End what is left of the pairs once their server is closed.

        Args:
            grace: Seconds for which they may still pass on what they hold.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._wait_empty()
        for pair in list(self._pairs):
            pair.abort(None)
        await self._wait_empty()
        if self.pipes is not None:
            self.pipes.close()

    async def _wait_empty(self) -> None:
        while self._pairs:
            self._changed.clear()
            await self._changed.wait()

    # For the pairs

    def renew_buffer(self) -> None:
        """Leave the buffer to the transport that still reads from it, and read into another.

        One is enough for all pairs: between reading into it and writing from it nothing else runs.
        """
        self.buffer = memoryview(bytearray(_BUFFER_BYTES))

    def begin(self, pair: _Pair) -> asyncio.Task[object]:
        """Count a pair in, and dial its other side."""
        self._connections += 1
        self._pairs.add(pair)
        return asyncio.get_running_loop().create_task(self._dial(pair))

    async def _dial(self, pair: _Pair) -> None:
        await connect(
            self.target, pair.back, timeout=self._connect_timeout, resolver=self._resolver
        )

    def end(self, pair: _Pair, event: Failed | Closed) -> None:
        """Count a pair out."""
        self._pairs.discard(pair)
        self._failed += isinstance(event, Failed)
        self._sent += pair.front.received
        self._received += pair.back.received
        self._changed.set()
        self.emit(event)


def _ignore(event: RelayEvent) -> None:
    """Take an event that nobody wants to hear of."""


class _Side(asyncio.BufferedProtocol):
    """One connection of a pair."""

    def __init__(self, pair: _Pair, relay: Relay) -> None:
        self._pair = pair
        self._relay = relay
        self._loop = asyncio.get_running_loop()
        #: The other side; set by the pair.
        self.other: _Side
        self.transport: asyncio.Transport | None = None
        #: Where the bytes go; None while there is no such place.
        self.sink: asyncio.Transport | None = None
        #: What came before there was a sink: at most one read of TLS, and of uvloop, which reads once after
        #: connection_made in any case.
        self.early = b""
        #: Bytes read.
        self.received = 0
        #: All that the peer sends has been read.
        self.ended = False
        #: The peer is slower than the other one: no more is to be written here.
        self.full = False
        self.lost = False

    @property
    def is_secure(self) -> bool:
        """Tell whether this is TLS, whose end of data ends the connection."""
        return self.transport is not None and bool(self.transport.get_extra_info("ssl_object"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not asserted: those of uvloop behave like it and are none.
        self.transport = transport = cast("asyncio.Transport", transport)
        # Whatever stays with the transport stops the reading of the other side until it is gone. With 0
        # asyncio's TLS would stop, and not go on, with nothing to wait for.
        transport.set_write_buffer_limits(high=1, low=0)
        if not self.is_secure:
            # TLS sends the end of its handshake only when it reads: it is paused after what it reads first.
            transport.pause_reading()
        self._pair.made(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - of asyncio
        return self._relay.buffer

    def buffer_updated(self, count: int) -> None:
        self.received += count
        self._pair.active = self._loop.time()
        data = self._relay.buffer[:count]
        sink = self.sink
        if sink is None:
            self._keep(bytes(data))
            return
        sink.write(data)
        if sink.get_write_buffer_size():
            self._relay.renew_buffer()

    def _keep(self, data: bytes) -> None:
        """Take what comes before there is a sink; what comes after it has no reader any more."""
        if not self.other.lost:
            self.early += data
            self.pause()

    def eof_received(self) -> bool:
        self.ended = True
        return self._pair.side_ended(self)

    def pause_writing(self) -> None:
        self.full = True
        self.other.pause()

    def resume_writing(self) -> None:
        self.full = False
        self.other.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.other.sink = None
        self._pair.side_lost(self, exc)

    def pause(self) -> None:
        """Stop reading."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read, or read on."""
        if self.sink is not None and self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def descriptor(self) -> int:
        """Give the number of the socket's descriptor."""
        assert self.transport is not None
        number: int = self.transport.get_extra_info("socket").fileno()
        return number

    def has_left(self) -> bool:
        """Tell whether the peer has closed for certain; of TCP only a reset can be told from a half-close.

        Source: poll(2), ``POLLHUP``.
        """
        assert self.transport is not None
        sock = self.transport.get_extra_info("socket")
        if sock is None:
            return False
        poll = select.poll()
        poll.register(sock.fileno(), 0)
        return bool(poll.poll(0))

    def held(self) -> int:
        """Give the number of bytes that wait to be sent here."""
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    def reset(self) -> None:
        """Close so that the peer sees a reset, where sockets can, and not an end of data."""
        if self.transport is None or self.lost:
            return
        sock = self.transport.get_extra_info("socket")
        with suppress(OSError):  # closed by now
            if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def __str__(self) -> str:
        assert self.transport is not None
        peer = self.transport.get_extra_info("peername")
        sock = self.transport.get_extra_info("socket")
        return str(Address(sock.family, peer)) if sock is not None and peer else str(peer or "")


class _Pair:
    """An accepted connection and its counterpart."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._loop = asyncio.get_running_loop()
        self.front, self.back = _Side(self, relay), _Side(self, relay)
        self.front.other, self.back.other = self.back, self.front
        self._started = self._loop.time()
        #: When a byte last came from either side, in the time of the loop.
        self.active = self._started
        self._idle_timeout = relay.idle_timeout
        self._timer: asyncio.TimerHandle | None = None
        self._held = (0, 0, 0)
        self._dialling: asyncio.Task[object] | None = None
        self._splice: Splice | None = None
        self._error: BaseException | None = None
        self._peer = self._target = ""
        self._is_open = False

    def made(self, side: _Side) -> None:
        """Dial when the front is there."""
        if side is self.front:
            self._peer = str(side)
            self._dialling = self._relay.begin(self)
            self._dialling.add_done_callback(self._dialled)

    def _dialled(self, task: asyncio.Task[object]) -> None:
        self._dialling = None
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.abort(error)
        elif not (task.cancelled() or self.front.lost or self.back.lost):
            self._open()
        self._maybe_end()

    def _open(self) -> None:
        """Let the bytes flow."""
        self._is_open = True
        self._target = str(self.back)
        for side in (self.front, self.back):
            side.sink = side.other.transport
            assert side.sink is not None
            if side.early:
                side.sink.write(side.early)
                side.early = b""
        # What a transport holds has to go out before the kernel may write to its socket.
        spliced = self._relay.pipes is not None and not (self.front.held() or self.back.held())
        self._relay.emit(Opened(self._peer, self._target, spliced))
        if spliced:
            self._begin_splice()
        else:
            for side in (self.front, self.back):
                self._begin_reading(side)
        self._watch()

    def _begin_reading(self, side: _Side) -> None:
        if side.ended:
            self.side_ended(side)
        elif not side.other.full:
            side.resume()

    def _begin_splice(self) -> None:
        assert self._relay.pipes is not None
        self.front.pause()
        self.back.pause()
        try:
            self._splice = Splice(
                self.front.descriptor(),
                self.back.descriptor(),
                self._relay.pipes,
                self._splice_moved,
                self._splice_ended,
            )
        except OSError as error:
            self.abort(error)

    def _splice_moved(self, count: int, from_front: bool) -> None:
        (self.front if from_front else self.back).received += count
        self.active = self._loop.time()

    def _splice_ended(self, error: OSError | None) -> None:
        self._splice = None
        if error is not None:
            self.abort(error)
            return
        for side in (self.front, self.back):
            side.ended = True
            assert side.transport is not None
            side.transport.close()

    def side_ended(self, side: _Side) -> bool:
        """Pass an end of data on; False if that ends the connection it came from."""
        sink = side.sink
        if sink is None or sink.is_closing():
            # Told when there is somebody to tell.
            return not (side.is_secure or side.other.lost)
        if side.other.ended:
            sink.close()
            return False
        if sink.can_write_eof():
            sink.write_eof()
        elif side.has_left():
            sink.close()
        else:
            limit = self._relay.half_close_timeout
            self._idle_timeout = min(self._idle_timeout or limit, limit)
            self._watch()
        return not side.is_secure

    def side_lost(self, side: _Side, error: BaseException | None) -> None:
        """End the other side: after what it is owed if that is complete, else with a reset."""
        self._stop_splice()
        self._error = self._error or error
        if self._dialling is not None:
            self._dialling.cancel()
        if side.ended and side.other.transport is not None:
            side.other.transport.close()
        else:
            side.other.reset()
        self._maybe_end()

    def abort(self, error: BaseException | None) -> None:
        """Reset both sides."""
        self._error = self._error or error
        self._stop_splice()
        self.front.reset()
        self.back.reset()

    def _stop_splice(self) -> None:
        if self._splice is not None:
            self._splice.close()
            self._splice = None

    def _watch(self) -> None:
        """End the pair if it has been idle for too long, else come back when that could be so."""
        if self._timer is not None:
            self._timer.cancel()
        if self._idle_timeout is None:
            return
        now = self._loop.time()
        held = (self.front.held(), self.back.held(), self._splice.held() if self._splice else 0)
        if held != self._held:
            self._held = held
            self.active = now  # a reader that is slow is not idle
        if now - self.active >= self._idle_timeout:
            self.abort(TimeoutError(f"idle for {self._idle_timeout:g} s"))
        else:
            self._timer = self._loop.call_at(self.active + self._idle_timeout, self._watch)

    def _maybe_end(self) -> None:
        sides = (self.front, self.back)
        if self._dialling is not None or any(each.transport and not each.lost for each in sides):
            return
        if self._timer is not None:
            self._timer.cancel()
        if self._is_open:
            self._relay.end(
                self,
                Closed(
                    self._peer,
                    self._target,
                    self.front.received,
                    self.back.received,
                    self._loop.time() - self._started,
                    self._error,
                ),
            )
        else:
            self._relay.end(self, Failed(self._peer, self._error))
