"""Happy Eyeballs: the order of addresses, and when the next attempt starts.

Source: RFC 8305, sections 4 and 5. The race knows no sockets: what an attempt is comes in as ``dial``.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections import deque
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from asyncendpoints import events
from asyncendpoints.addresses import Address
from asyncendpoints.errors import AttemptFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "ATTEMPT_DELAY",
    "Dial",
    "Dialled",
    "failure",
    "interleave",
    "is_self_connected",
    "race",
]

#: Seconds between the starts of two attempts, unless the first fails before. RFC 8305, section 5.
ATTEMPT_DELAY = 0.25

#: What connect says while the handshake of TCP goes on, and what it says when asked again afterwards.
_UNDER_WAY = (errno.EINPROGRESS, errno.EALREADY, errno.EINTR)
_CONNECTED = (0, errno.EISCONN)


def interleave(addresses: Iterable[Address]) -> list[Address]:
    """Order addresses so that families alternate, keeping the order within each and the first family.

    An address that comes twice is tried once.

    Source: RFC 8305, section 4, with a First Address Family Count of 1.
    """
    families: dict[int, list[Address]] = {}
    for address in dict.fromkeys(addresses):
        families.setdefault(address.family, []).append(address)
    rounds = zip_longest(*families.values())
    return [address for address in chain.from_iterable(rounds) if address is not None]


class Dialled(Protocol):
    """An attempt under way."""

    #: Set when it ends: None if the address answered, else why it did not.
    outcome: asyncio.Future[OSError | None]

    def abort(self) -> None:
        """Close what was opened, at once, whatever its state."""


D = TypeVar("D", bound=Dialled)


async def race(
    addresses: Iterable[Address],
    dial: Callable[[Address], D],
    failures: list[AttemptFailure],
    emit: Callable[[events.Event], None] | None = None,
    late: asyncio.Future[list[Address]] | None = None,
) -> D | None:
    """Connect to the first of several addresses that answers.

    Attempts start in order, `ATTEMPT_DELAY` apart, the next one at once when one fails. Whatever ends the
    race, every attempt but the winner is aborted before it ends.

    Args:
        addresses: In the order in which they are to be tried.
        dial: Begins an attempt; an ``OSError`` is the failure of this address.
        failures: Is added to as attempts fail. If the race is cancelled, those that were under way are added
            with a ``TimeoutError``.
        emit: Hears of each step, and never raises.
        late: Comes to more addresses; cancelled if the race ends before.

    Returns:
        The attempt whose address answered, or None if none did.
    """
    return await _Race(addresses, dial, failures, emit, late).run()


class _Race(Generic[D]):
    """The state of one race."""

    def __init__(
        self,
        addresses: Iterable[Address],
        dial: Callable[[Address], D],
        failures: list[AttemptFailure],
        emit: Callable[[events.Event], None] | None,
        late: asyncio.Future[list[Address]] | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting = deque(addresses)
        self._late = late
        self._dial = dial
        self._failures = failures
        self._emit = emit
        #: The attempts under way, in the order of their start, each with its address and that moment.
        self._running: dict[D, tuple[Address, float]] = {}
        self._next_start = self._loop.time()
        #: Set when an attempt has ended or the next one is due; while the race waits for that.
        self._changed: asyncio.Future[None] | None = None
        #: The family of the last address that was tried.
        self._family = 0
        if late is not None:
            late.add_done_callback(self._wake)

    async def run(self) -> D | None:
        try:
            while self._waiting or self._running or self._late:
                winner = self._settle()
                if winner is not None:
                    return winner
                if self._late and self._late.done():
                    self._join(self._late.result())
                elif self._is_due():
                    self._start(self._waiting.popleft())
                elif self._running or self._late:
                    await self._wait()
        except asyncio.CancelledError:
            for address, started in self._running.values():
                self._note(address, failure(errno.ETIMEDOUT, "no answer"), started)
            raise
        finally:
            self._abandon()
        return None

    def _join(self, addresses: list[Address]) -> None:
        """Take addresses that have come late among those that wait, beginning with the other family."""
        self._late = None
        waiting = [each for each in self._waiting if each not in addresses]
        if self._waiting and self._waiting[0].family == self._family:
            self._waiting = deque(interleave([*addresses, *waiting]))
        else:
            self._waiting = deque(interleave([*waiting, *addresses]))

    def _is_due(self) -> bool:
        return bool(self._waiting) and self._loop.time() >= self._next_start

    def _start(self, address: Address) -> None:
        now = self._loop.time()
        self._family = address.family
        self._next_start = now + ATTEMPT_DELAY
        if self._emit:
            self._emit(events.AttemptStarted(now, address))
        try:
            attempt = self._dial(address)
        except OSError as error:
            self._fail(address, error, now)
            return
        self._running[attempt] = address, now
        if not attempt.outcome.done():
            attempt.outcome.add_done_callback(self._wake)

    def _settle(self) -> D | None:
        """Take note of the attempts that have ended, up to the first that has won."""
        for attempt in [each for each in self._running if each.outcome.done()]:
            address, started = self._running[attempt]
            error = attempt.outcome.result()
            if error is None:
                if self._emit:
                    self._emit(events.Connected(self._loop.time(), address))
                del self._running[attempt]
                return attempt
            del self._running[attempt]
            attempt.abort()
            self._fail(address, error, started)
        return None

    def _fail(self, address: Address, error: OSError, started: float) -> None:
        self._next_start = self._note(address, error, started)
        if self._emit:
            self._emit(events.AttemptFailed(self._next_start, address, error))

    def _note(self, address: Address, error: OSError, started: float) -> float:
        """Remember a failure; give the time."""
        now = self._loop.time()
        self._failures.append(AttemptFailure(address, error, now - started))
        return now

    async def _wait(self) -> None:
        """Wait until an attempt has ended or the next one is due."""
        self._changed = self._loop.create_future()
        timer = None
        if self._waiting:
            timer = self._loop.call_at(self._next_start, self._wake)
        try:
            await self._changed
        finally:
            if timer:
                timer.cancel()

    def _wake(self, _: object = None) -> None:
        if self._changed and not self._changed.done():
            self._changed.set_result(None)

    def _abandon(self) -> None:
        """Abort whatever still runs: all of it, before anybody hears of it."""
        for attempt in self._running:
            attempt.abort()
        if self._late:
            self._late.cancel()
        if self._emit:
            for address, _ in self._running.values():
                self._emit(events.AttemptAbandoned(self._loop.time(), address))


class Dial:
    """One non-blocking connect of a TCP socket; a subclass can open another.

    Args:
        address: Where to.
        local: The address to connect from, or None.

    Raises:
        OSError: The system refused at once, or the local address cannot be had.
    """

    __slots__ = ("_loop", "_port", "outcome", "socket")

    def __init__(self, address: Address, local: tuple[Any, ...] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._port = address.port
        self.outcome: asyncio.Future[OSError | None] = self._loop.create_future()
        self.socket = self._open(address.family)
        try:
            self.socket.setblocking(False)
            if local is not None:
                self._bind(local)
            self._connect(address.sockaddr)
        except BaseException:
            self.socket.close()
            raise

    def _open(self, family: int) -> socket.socket:
        # The protocol is named because asyncio turns off Nagle's algorithm only where it is.
        return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)

    def _bind(self, local: tuple[Any, ...]) -> None:
        try:
            if local[1] and self.socket.type == socket.SOCK_STREAM:
                # A port that was used a moment ago can be used again, and by two attempts at a time.
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.socket.bind(local)
        except OSError as error:
            source = Address(self.socket.family, local)
            reason = f"cannot connect from {source}: {error.strerror}"
            raise OSError(error.errno, reason) from error

    def _connect(self, sockaddr: Any) -> None:
        code = self.socket.connect_ex(sockaddr)
        if code in _UNDER_WAY:
            # On loopback the connection is there by now, and asking costs less than a turn of the loop.
            code = self.socket.connect_ex(sockaddr)
        if code in _UNDER_WAY:
            self._loop.add_writer(self.socket.fileno(), self._writable)
        else:
            self._finish(code)

    def _writable(self) -> None:
        self._loop.remove_writer(self.socket.fileno())
        self._finish(self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def _finish(self, code: int) -> None:
        if code not in _CONNECTED:
            self.outcome.set_result(failure(code))
        elif is_self_connected(self.socket, self._port):
            self.outcome.set_result(failure(errno.ECONNREFUSED))
        else:
            self.outcome.set_result(None)

    def abort(self) -> None:
        if not self.outcome.done():
            # Before the close: the number of the descriptor can belong to another socket after it.
            self._loop.remove_writer(self.socket.fileno())
        self.socket.close()


def is_self_connected(sock: socket.socket, port: int | None) -> bool:
    """Tell whether a socket that was connected to a port is connected to itself.

    A port of the ephemeral range that nobody listens on can be given to the very socket that connects to
    it; TCP calls that a simultaneous open (RFC 9293, section 3.5).
    """
    try:
        local = sock.getsockname()
        return bool(local[1] == port and local == sock.getpeername())
    except OSError:
        return False  # the peer has reset it meanwhile, and there was one


def failure(code: int, text: str | None = None) -> OSError:
    """Make the exception that stands for an error number, with the text of the system or another."""
    return OSError(code, text or os.strerror(code))
