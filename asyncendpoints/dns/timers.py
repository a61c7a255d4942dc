"""Timers by the thousand, none of which has to be exact: one of the loop's at a time for all of them.

They are kept by the tick in which they end. To set one, and to take it back, costs a set operation.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import Final, Protocol

from asyncendpoints.dns.faults import report_fault

__all__ = ["Timed", "Wheel", "wheel"]

#: How much later than wanted a timer can end, in seconds.
TICK: Final = 0.05


class Timed(Protocol):
    """Something whose time can run out."""

    def expire(self, now: float) -> None:
        """Hear that it has, and what time it is."""


class Wheel:
    """Timers of one loop.

    Args:
        loop: The loop.
        tick: How much later than wanted a timer can end, in seconds.
    """

    __slots__ = ("_armed", "_buckets", "_loop", "_tick", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, tick: float = TICK) -> None:
        self._loop = loop
        self._tick = tick
        #: What ends in which tick. One whose things were all taken back is there until its time.
        self._buckets: dict[int, set[Timed]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._armed = 0

    def add(self, item: Timed, when: float) -> set[Timed]:
        """Set a timer.

        Args:
            item: Is told when its time has run out; never before.
            when: Loop time.

        Returns:
            What it is to be discarded from when it is no longer needed.
        """
        bucket = self.bucket(when)
        bucket.add(item)
        return bucket

    def bucket(self, when: float) -> set[Timed]:
        """Give what is to end at some time, for those who add many at once.

        Args:
            when: Loop time.

        Returns:
            To be added to before the loop has its next turn, and to be discarded from at any time.
        """
        number = int(when / self._tick) + 1
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = set()
            if self._timer is None or number < self._armed:
                self._arm(number)
        return bucket

    def _arm(self, number: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed = number
        # In a context of its own: what ends then is not only for who has come first.
        self._timer = self._loop.call_at(number * self._tick, self._turn, context=Context())

    def _turn(self) -> None:
        """End what is due; what is set meanwhile is not due yet."""
        self._timer = None
        now = self._loop.time()
        due = sorted([each for each in self._buckets if each * self._tick <= now])
        for bucket in [self._buckets.pop(each) for each in due]:
            while bucket:
                try:
                    bucket.pop().expire(now)
                except Exception as error:  # noqa: BLE001 - the others have to end too
                    report_fault(error)
        # What was set meanwhile may end later than what there was.
        if self._buckets and (self._timer is None or min(self._buckets) < self._armed):
            self._arm(min(self._buckets))

    def close(self) -> None:
        """Forget all timers."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._buckets.clear()


#: The wheels of loops. A wheel knows its loop, so that weak references would keep both for ever.
_wheels: dict[asyncio.AbstractEventLoop, Wheel] = {}


def wheel() -> Wheel:
    """Give the timers of the running loop, for those who have none of their own."""
    loop = asyncio.get_running_loop()
    found = _wheels.get(loop)
    if found is None:
        for each in [each for each in _wheels if each.is_closed()]:
            del _wheels[each]
        found = _wheels[loop] = Wheel(loop)
    return found
