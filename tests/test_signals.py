"""Signals to the process, as calls in its loops."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import pytest

from asyncendpoints import signals
from asyncendpoints.signals import handled
from tests.clock import run
from tests.serving import turns

if TYPE_CHECKING:
    from collections.abc import Iterator

HEARD: list[str] = []


def before(number: int, frame: Any) -> None:
    """Be the handler that was there before."""
    HEARD.append("before")


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    """Have a handler, and hold that it is there afterwards."""
    HEARD.clear()
    original = signal.signal(signal.SIGUSR1, before)
    yield
    assert signal.getsignal(signal.SIGUSR1) is before
    signal.signal(signal.SIGUSR1, original)


def hearing(name: str) -> Any:
    """Write down that a signal was heard of, while a block lasts."""
    return handled({signal.SIGUSR1: lambda number: HEARD.append(f"{name} {number.name}")})


async def kill() -> None:
    """Send the signal, and wait until all have heard of it."""
    signal.raise_signal(signal.SIGUSR1)
    await turns()


def test_one() -> None:
    """What is called hears which signal it is; afterwards the handler from before does."""

    async def main() -> None:
        with hearing("a"):
            await kill()
        await kill()

    run(main())
    assert HEARD == ["a SIGUSR1", "before"]


def test_several_that_end_in_any_order() -> None:
    """The first can end before the second, which goes on to hear."""

    async def main() -> None:
        first, second = hearing("a"), hearing("b")
        first.__enter__()
        second.__enter__()
        await kill()
        first.__exit__(None, None, None)
        await kill()
        second.__exit__(None, None, None)
        await kill()

    run(main())
    assert HEARD == ["a SIGUSR1", "b SIGUSR1", "b SIGUSR1", "before"]


def test_handler_of_somebody_else() -> None:
    """One that was set meanwhile stays, and is the one from before for who begins later."""

    def other(number: int, frame: Any) -> None:
        HEARD.append("other")

    async def main() -> None:
        with hearing("a"):
            signal.signal(signal.SIGUSR1, other)
            with hearing("b"):
                await kill()
        await kill()

    run(main())
    signal.signal(signal.SIGUSR1, before)
    assert HEARD == ["a SIGUSR1", "b SIGUSR1", "other"]


def test_loop_that_has_ended() -> None:
    """Who was left behind in a loop hears nothing more, and the signal goes where it went before."""
    left = hearing("a")

    async def main() -> None:
        left.__enter__()

    asyncio.run(main())
    signal.raise_signal(signal.SIGUSR1)
    assert HEARD == ["before"]
    left.__exit__(None, None, None)


def test_handler_that_python_does_not_know() -> None:
    """Where one was not made by Python, the default is put back: nothing else can be."""

    async def main() -> None:
        with hearing("a"):
            signals._before[signal.SIGUSR1] = None

    run(main())
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    signal.signal(signal.SIGUSR1, before)
