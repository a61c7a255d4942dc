"""Signals to the process, as calls in its loop."""

from __future__ import annotations

import asyncio
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["handled", "restore"]


@contextmanager
def handled(
    handlers: Mapping[signal.Signals, Callable[[signal.Signals], None]],
) -> Iterator[None]:
    """Have the loop call something at signals, if this is the main thread, and put back what was there."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()

    # Not by the loop's own handlers: nobody could put back those that it had before.
    def handle(number: int, _: object) -> None:
        loop.call_soon_threadsafe(handlers[signal.Signals(number)], signal.Signals(number))

    before = {each: signal.signal(each, handle) for each in handlers}
    try:
        yield
    finally:
        for each, handler in before.items():
            restore(each, handler)


def restore(number: signal.Signals, handler: Any) -> None:
    """Put a handler back; None is one that was not made by Python, and cannot be."""
    signal.signal(number, signal.SIG_DFL if handler is None else handler)
