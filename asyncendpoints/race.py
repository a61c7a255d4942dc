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
from typing import TYPE_CHECKING, Protocol

from asyncendpoints import events
from asyncendpoints.errors import AttemptFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncendpoints.addresses import Address

__all__ = ["ATTEMPT_DELAY", "Dial", "Dialled", "interleave", "race"]

#: Seconds between the starts of two attempts, unless the first fails before. RFC 8305, section 5.
ATTEMPT_DELAY = 0.25

#: A connect that has been begun, and one that was begun before and goes on.
_UNDER_WAY = (errno.EINPROGRESS, errno.EALREADY, errno.EINTR)


def interleave(addresses: Sequence[Address]) -> list[Address]:
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
    #: The socket, connected once ``outcome`` is None.
    socket: socket.socket

    def abort(self) -> None:
        """Close the socket at once, whatever its state."""


async def race(
    addresses: Sequence[Address],
    dial: Callable[[Address], Dialled],
    failures: list[AttemptFailure],
    emit: Callable[[events.Event], None] | None = None,
) -> socket.socket | None:
    """Connect to the first of several addresses that answers.

    Attempts start in order, `ATTEMPT_DELAY` apart, the next one at once when one fails. Whatever ends the
    race, every socket but the winner's is closed before it ends.

    Args:
        addresses: In the order in which they are to be tried.
        dial: Begins an attempt.
        failures: Is added to as attempts fail, so that they are known also if the race is cancelled.
        emit: Hears of each step.

    Returns:
        The connected socket, or None if no address answered.
    """
    loop = asyncio.get_running_loop()
    waiting = deque(addresses)
    running: dict[asyncio.Future[OSError | None], tuple[Address, Dialled, float]] = {}
    next_start = loop.time()
    def fail(address: Address, error: OSError, started: float) -> None:
        nonlocal next_start
        now = next_start = loop.time()
        failures.append(AttemptFailure(address, error, now - started))
        if emit:
            emit(events.AttemptFailed(now, address, error))

    try:
        while waiting or running:
            for outcome in [each for each in running if each.done()]:
                address, attempt, started = running.pop(outcome)
                error = outcome.result()
                if error is None:
                    if emit:
                        emit(events.Connected(loop.time(), address))
                    return attempt.socket
                attempt.abort()
                fail(address, error, started)
            now = loop.time()
            if waiting and (not running or now >= next_start):
                address = waiting.popleft()
                next_start = now + ATTEMPT_DELAY
                if emit:
                    emit(events.AttemptStarted(now, address))
                try:
                    attempt = dial(address)
                except OSError as error:
                    fail(address, error, now)
                else:
                    running[attempt.outcome] = (address, attempt, now)
            elif running:
                timeout = next_start - now if waiting else None
                await asyncio.wait(running, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        return None
    finally:
        for address, attempt, _ in running.values():
            attempt.abort()
            if emit:
                emit(events.AttemptAbandoned(loop.time(), address))


class Dial:
    """One non-blocking connect of a TCP socket.

    Args:
        address: Where to.
        local: The address to connect from, or None.
    """

    __slots__ = ("_address", "_loop", "outcome", "socket")

    def __init__(self, address: Address, local: tuple[object, ...] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._address = address
        self.outcome: asyncio.Future[OSError | None] = self._loop.create_future()
        # The protocol is named because asyncio turns off Nagle's algorithm only where it is.
        self.socket = socket.socket(
            address.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, socket.IPPROTO_TCP
        )
        try:
            if local is not None:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self.socket.bind(local)
            code = self.socket.connect_ex(address.sockaddr)
        except OSError:
            self.socket.close()
            raise
        if code in _UNDER_WAY:
            # On loopback the connection is there by now, and asking costs less than a turn of the loop.
            code = self.socket.connect_ex(address.sockaddr)
        if code in _UNDER_WAY:
            self._loop.add_writer(self.socket, self._writable)
        else:
            self._finish(code)

    def _writable(self) -> None:
        code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not self.outcome.done():
            self._loop.remove_writer(self.socket)
            self._finish(code)

    def _finish(self, code: int) -> None:
        if not code and self._is_self_connected():
            # A port of the ephemeral range that nobody listens on can be given to this very socket.
            code = errno.ECONNREFUSED
        self.outcome.set_result(failure(code) if code else None)

    def _is_self_connected(self) -> bool:
        local = self.socket.getsockname()
        return bool(local[1] == self._address.sockaddr[1] and local == self.socket.getpeername())

    def abort(self) -> None:
        if not self.outcome.done():
            # Before the close: the number of the descriptor can belong to another socket after it.
            self._loop.remove_writer(self.socket)
        self.socket.close()


def failure(code: int) -> OSError:
    """Make the exception that stands for an error number."""
    return OSError(code, os.strerror(code))
