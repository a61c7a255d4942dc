"""Host names to addresses: literals at once, everything else by the system's resolver.

The system's ``getaddrinfo`` blocks, so it runs in threads of its own: a program that keeps the default
executor of its loop busy still connects, and a lookup that hangs does not keep the process from ending.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from asyncendpoints.addresses import Address, is_ipv4, to_ascii

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LookupThreads", "is_literal", "literal", "lookup"]

T = TypeVar("T")


def is_literal(host: str) -> bool:
    """Tell whether a host is an address, not a name."""
    return ":" in host or is_ipv4(host)


def literal(host: str, port: int) -> Address | None:
    """Give the address that a host writes out, or None if it is a name.

    Raises:
        OSError: The zone id is no interface of this machine.
    """
    if ":" in host:
        address, _, zone = host.partition("%")
        return Address(socket.AF_INET6, (address, port, 0, _scope(zone)))
    return Address(socket.AF_INET, (host, port)) if is_ipv4(host) else None


def _scope(zone: str) -> int:
    """Give the number of an interface, 0 for no zone.

    Source: RFC 4007, section 11.2.
    """
    if not zone:
        return 0
    if zone.isascii() and zone.isdigit() and len(zone) < 10:
        return int(zone)
    try:
        return socket.if_nametoindex(zone)
    except ValueError:  # such as a surrogate
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from None


class LookupThreads:
    """A pool of daemon threads, started as they are needed.

    Args:
        most: How many there can be, 1 or more.
        idle_seconds: After which a thread without work ends.
    """

    def __init__(self, most: int = 32, idle_seconds: float = 10.0) -> None:
        self._most = most
        self._idle_seconds = idle_seconds
        self.renew()

    def renew(self) -> None:
        """Begin without threads and work, as the child of a fork has to, which has none of the threads."""
        #: How many threads there are, and how many of them wait for work.
        self.threads = 0
        self.idle = 0
        self._jobs: deque[_Job[Any]] = deque()
        self._changed = threading.Condition()

    async def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` in a thread and give what it returns or raises.

        A cancelled caller goes on at once. What waits for a thread is then forgotten; a thread that is at it
        finishes on its own, and its result is dropped.

        Raises:
            OSError: The system has no thread to spare.
        """
        job = _Job(work)
        self._add(job)
        try:
            result, error = await job.future
        except asyncio.CancelledError:
            with self._changed, suppress(ValueError):
                self._jobs.remove(job)
            raise
        if error is not None:
            try:
                raise error
            finally:
                del error  # which holds this frame
        return result  # type: ignore[return-value]  # there is a result where there is no error

    def _add(self, job: _Job[Any]) -> None:
        with self._changed:
            self._jobs.append(job)
            if self.idle >= len(self._jobs):
                self._changed.notify()
            elif self.threads < self._most:
                self._start()

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name="asyncendpoints lookup", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            if not self.threads:
                self._jobs.clear()
                raise OSError(errno.EAGAIN, str(error)) from error
        else:
            self.threads += 1

    def _work(self) -> None:
        while True:
            with self._changed:
                self.idle += 1
                found = self._changed.wait_for(lambda: self._jobs, self._idle_seconds)
                self.idle -= 1
                if not found:
                    self.threads -= 1
                    return
                job = self._jobs.popleft()
            job.run()
            del job  # and with it what its caller holds, while this thread waits


class _Job(Generic[T]):
    """Something to do in a thread, for a task that waits."""

    __slots__ = ("_loop", "_work", "future")

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._loop = asyncio.get_running_loop()
        #: The result and the error, one of which is None. An exception that is set on a future whose task is
        #: cancelled in the same turn would be logged as never retrieved.
        self.future: asyncio.Future[tuple[T | None, BaseException | None]]
        self.future = self._loop.create_future()

    def run(self) -> None:
        """Do it, in whatever thread, and wake the task."""
        with suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits any more
            self._loop.call_soon_threadsafe(self._settle, self._outcome())

    def _outcome(self) -> tuple[T | None, BaseException | None]:
        try:
            return self._work(), None
        except BaseException as error:  # noqa: BLE001 - it is the caller's
            return None, error

    def _settle(self, outcome: tuple[T | None, BaseException | None]) -> None:
        if not self.future.done():
            self.future.set_result(outcome)


_threads = LookupThreads()
os.register_at_fork(after_in_child=_threads.renew)


async def lookup(host: str, port: int, family: int) -> list[Address]:
    """Look up the addresses of a host name, in the order in which the system prefers them.

    Args:
        host: A name, in any letters.
        port: 0 to 65535.
        family: ``socket.AF_UNSPEC``, ``AF_INET`` or ``AF_INET6``.

    Raises:
        OSError: There are none, or the lookup failed; as a rule a ``socket.gaierror``.

    Source: RFC 6724 for the order, which ``getaddrinfo`` gives.
    """
    # As bytes, which getaddrinfo leaves as they are; its own way with other letters is IDNA 2003.
    name = to_ascii(host).encode("ascii")
    if name.lower() == b"localhost.":
        # The file of hosts, from which this name comes, knows no final dot.
        name = b"localhost"

    def work() -> list[Any]:
        return socket.getaddrinfo(name, port, family, socket.SOCK_STREAM, socket.IPPROTO_TCP)

    found = await _threads.run(work)
    families = (socket.AF_INET, socket.AF_INET6)
    return [Address(each[0], each[4]) for each in found if each[0] in families]
