"""Signals to the process, as calls in its loops.

The law: whoever has begun to hear of a signal hears of it until it ends that, whatever others begin and end
meanwhile, and afterwards the handler is the one that was there before the first of them.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Listener = tuple[asyncio.AbstractEventLoop, Callable[[signal.Signals], None]]

__all__ = ["handled"]

#: Who hears of each signal: the loop in which something is called, and that.
_listeners: dict[int, list[Listener]] = {}
#: The handler of each signal that was there before.
_before: dict[int, Any] = {}


@contextmanager
def handled(
    handlers: Mapping[signal.Signals, Callable[[signal.Signals], None]],
) -> Iterator[None]:
    """Have the running loop call something at signals, if this is the main thread.

    Others may do so at the same time: all are called.

    Args:
        handlers: What is called, by signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        for number, call in handlers.items():
            _begin(number, (loop, call))
            stack.callback(_end, number, (loop, call))
        yield


def _begin(number: signal.Signals, listener: Listener) -> None:
    # Not by the loop's own handlers: nobody could put back those that it had before.
    if signal.getsignal(number) is not _tell:
        _before[number] = signal.signal(number, _tell)
    _listeners.setdefault(number, []).append(listener)


def _end(number: signal.Signals, listener: Listener) -> None:
    listeners = _listeners[number]
    if listener in listeners:
        listeners.remove(listener)
    if not listeners:
        _restore(number)


def _restore(number: int) -> None:
    """Put back the handler that was there before, unless somebody has put another one there since."""
    if signal.getsignal(number) is _tell:
        before = _before[number]
        # One that was not made by Python is None, and cannot be put back.
        signal.signal(number, signal.SIG_DFL if before is None else before)


def _tell(number: int, _: object) -> None:
    """Tell all who hear of a signal, but for those whose loop has ended without their knowing."""
    listeners = _listeners[number]
    listeners[:] = [(loop, call) for loop, call in listeners if not loop.is_closed()]
    for loop, call in listeners:
        loop.call_soon_threadsafe(call, signal.Signals(number))
    if not listeners:
        _restore(number)
        signal.raise_signal(number)
