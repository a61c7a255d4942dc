"""The loop whose clock jumps."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from tests.clock import StuckError, run


def now() -> float:
    """Give the time of the loop."""
    return asyncio.get_running_loop().time()


def test_clock_starts_at_zero() -> None:
    """The clock of a new loop shows 0."""

    async def main() -> float:
        return now()

    assert run(main()) == 0.0


def test_hour_passes_at_once() -> None:
    """An hour's sleep is over within a second, and the clock then shows an hour."""

    async def main() -> float:
        await asyncio.sleep(3600)
        return now()

    started = time.monotonic()
    assert run(main()) == 3600.0
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("first", [0.1, 0.3, 1 / 3, 12345.678])
def test_moments_are_exact(first: float) -> None:
    """A timer fires at the very float it was set to, whatever the clock showed before."""

    async def main() -> float:
        await asyncio.sleep(first)
        await asyncio.sleep(3600.1)
        return now()

    assert run(main()) == first + 3600.1


def test_timers_keep_their_order() -> None:
    """Timers fire in the order of their moments, each at its own."""
    seen: list[tuple[str, float]] = []

    async def nap(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append((name, now()))

    async def main() -> None:
        await asyncio.gather(nap("late", 2), nap("early", 1), nap("between", 1.5))

    run(main())
    assert seen == [("early", 1.0), ("between", 1.5), ("late", 2.0)]


def test_longer_than_a_day() -> None:
    """A sleep longer than what a selector is asked for at once ends at its moment."""

    async def main() -> float:
        await asyncio.sleep(1_000_000)
        return now()

    assert run(main()) == 1_000_000.0


def test_cancelled_timer_moves_nothing() -> None:
    """The clock does not stop at a timer that was cancelled."""

    async def main() -> float:
        asyncio.get_running_loop().call_later(1, print).cancel()
        await asyncio.sleep(0.5)
        return now()

    assert run(main()) == 0.5


def test_work_takes_no_time() -> None:
    """Turns of the loop leave the clock where it is."""

    async def main() -> float:
        asyncio.get_running_loop().call_later(1, print)
        for _ in range(100):
            await asyncio.sleep(0)
        return now()

    assert run(main()) == 0.0


def test_timeout() -> None:
    """``asyncio.timeout`` ends at its moment."""

    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.Event().wait()
        return now()

    assert run(main()) == 30.0


def test_stuck() -> None:
    """A wait that nothing can end is an error with the name of the task, not a hang."""

    async def main() -> None:
        asyncio.current_task().set_name("the waiter")  # type: ignore[union-attr]  # inside a task
        await asyncio.Event().wait()

    with pytest.raises(StuckError, match="there wait: the waiter"):
        run(main())


def test_stuck_tasks_are_cancelled() -> None:
    """Tasks that are stuck are cancelled before the error comes out."""
    ended: list[bool] = []

    async def main() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with pytest.raises(StuckError):
        run(main())
    assert ended == [True]


def test_ready_socket_goes_before_timer() -> None:
    """What a socket pair holds is read before the clock moves."""

    async def main() -> tuple[bytes, float]:
        one, other = socket.socketpair()
        with one, other:
            other.setblocking(False)
            one.send(b"x")
            asyncio.get_running_loop().call_later(1, print)
            return await asyncio.get_running_loop().sock_recv(other, 1), now()

    assert run(main()) == (b"x", 0.0)


def test_debug_mode() -> None:
    """Debug mode can be asked for."""

    async def main() -> bool:
        await asyncio.sleep(1)
        return asyncio.get_running_loop().get_debug()

    assert run(main(), debug=True)
