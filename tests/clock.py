"""A loop whose clock jumps: an hour's sleep takes no time, and ends exactly an hour later.

    def test_sleep() -> None:
        assert run(sleep_an_hour()) == 3600.0

The clock starts at 0 and moves only when nothing else can happen: then it jumps to the next timer. Only for
tasks that wait for each other, for timers, and for sockets whose other end is in this process: a thread or
another process cannot move a clock that never waits for it.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["ClockLoop", "StuckError", "run"]

T = TypeVar("T")


class StuckError(RuntimeError):
    """Every task waits, no timer is set and no socket is ready: nothing can happen any more."""


class ClockLoop(asyncio.SelectorEventLoop):
    """An asyncio loop that jumps to its next timer instead of waiting for it."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        """Move the clock."""
        # Exact although these are floats: where 0 <= a <= b, rounded or not, a + (b - a) is b.
        self._now += seconds

    def stuck(self) -> StuckError:
        """Make the error that says which tasks wait."""
        names = ", ".join(sorted(task.get_name() for task in asyncio.all_tasks(self)))
        return StuckError(f"no timer is set and no socket is ready, but there wait: {names}")


class _Selector(selectors.DefaultSelector):
    """A selector that moves the clock of its loop where another would wait."""

    def __init__(self, loop: ClockLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise self._loop.stuck()
        if not ready and timeout:
            self._loop.jump(timeout)
        return ready


def run(coroutine: Coroutine[Any, Any, T], *, debug: bool | None = None) -> T:
    """Run a coroutine on a loop of its own whose clock jumps.

    Raises:
        StuckError: Nothing can happen any more, and the coroutine has not ended.
    """
    with asyncio.Runner(loop_factory=ClockLoop, debug=debug) as runner:
        return runner.run(coroutine)
