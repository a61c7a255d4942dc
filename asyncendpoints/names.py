"""Host names to addresses: literals at once, everything else by the system's resolver.

The system's ``getaddrinfo`` blocks, so it runs in threads of its own: a program that keeps the default
executor of its loop busy still connects, and a lookup that hangs does not keep the process from ending.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from asyncendpoints.addresses import Address, is_ipv4, to_ascii

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LookupThreads", "is_literal", "literal", "lookup"]


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
        scope = 0 if not zone else int(zone) if zone.isdigit() else socket.if_nametoindex(zone)
        return Address(socket.AF_INET6, (address, port, 0, scope))
    return Address(socket.AF_INET, (host, port)) if is_ipv4(host) else None


class LookupThreads:
    """A pool of daemon threads, started as they are needed.

    Args:
        most: How many there can be.
        idle: Seconds after which a thread without work ends.
    """

    def __init__(self, most: int = 32, idle: float = 10.0) -> None:
        self._most = most
        self._idle_seconds = idle
        self._jobs: deque[tuple[Callable[[], Any], Callable[[Any, BaseException | None], None]]] = (
            deque()
        )
        self._changed = threading.Condition()
        self._threads = 0
        self._idle = 0

    async def run(self, work: Callable[[], Any]) -> Any:
        """Run ``work`` in a thread and give what it returns or raises.

        A cancelled caller goes on at once; the thread finishes on its own and its result is dropped.
        """
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        def settle(result: Any, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        def report(result: Any, error: BaseException | None) -> None:
            try:
                loop.call_soon_threadsafe(settle, result, error)
            except RuntimeError:
                pass  # the loop was closed meanwhile: nobody waits any more

        with self._changed:
            self._jobs.append((work, report))
            if self._idle >= len(self._jobs):
                self._changed.notify()
            elif self._threads < self._most:
                self._threads += 1
                threading.Thread(
                    target=self._work, name="asyncendpoints lookup", daemon=True
                ).start()
        return await future

    def _work(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                found = self._changed.wait_for(lambda: self._jobs, self._idle_seconds)
                self._idle -= 1
                if not found:
                    self._threads -= 1
                    return
                work, report = self._jobs.popleft()
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - it is the caller's
                report(None, error)
            else:
                report(result, None)
            del work, report


_threads = LookupThreads()


async def lookup(host: str, port: int, family: int) -> list[Address]:
    """Look up the addresses of a host name, in the order in which the system prefers them.

    Args:
        host: A name, in any letters.
        port: 0 to 65535.
        family: ``socket.AF_UNSPEC``, ``AF_INET`` or ``AF_INET6``.

    Raises:
        socket.gaierror: There are none, or the lookup failed.

    Source: RFC 6724 for the order, which ``getaddrinfo`` gives.
    """
    name = to_ascii(host)

    def work() -> list[Any]:
        return socket.getaddrinfo(name, port, family, socket.SOCK_STREAM, socket.IPPROTO_TCP)

    found = await _threads.run(work)
    return [
        Address(each[0], each[4])
        for each in found
        if each[0] in (socket.AF_INET, socket.AF_INET6)
    ]
