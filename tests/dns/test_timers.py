"""Tests of timers by the thousand."""

from __future__ import annotations

import asyncio

from asyncendpoints.dns.timers import TICK, Wheel, _wheels, wheel
from tests.clock import run


class Item:
    """Something whose time runs out."""

    def __init__(self) -> None:
        self.ended: list[float] = []

    def expire(self, now: float) -> None:
        self.ended.append(now)


def test_timer_ends_within_a_tick() -> None:
    """A timer ends when its time is over, and not more than a tick later."""

    async def main() -> list[float]:
        own, item = Wheel(asyncio.get_running_loop()), Item()
        own.add(item, 1.01)
        await asyncio.sleep(5)
        return item.ended

    (ended,) = run(main())
    assert 1.01 <= ended <= 1.01 + TICK + 1e-9


def test_timers_end_in_order() -> None:
    """A timer that is set later and ends sooner does so."""

    async def main() -> list[list[float]]:
        own, items = Wheel(asyncio.get_running_loop(), 0.5), [Item(), Item(), Item()]
        for item, when in zip(items, (3.1, 1.1, 2.1), strict=True):
            own.add(item, when)
        await asyncio.sleep(5)
        return [item.ended for item in items]

    assert run(main()) == [[3.5], [1.5], [2.5]]


def test_timer_can_be_taken_back() -> None:
    """What is discarded does not end; the others of its tick do."""

    async def main() -> list[list[float]]:
        own, one, other = Wheel(asyncio.get_running_loop(), 0.5), Item(), Item()
        own.add(one, 1.1).discard(one)
        own.add(other, 1.1)
        await asyncio.sleep(5)
        return [one.ended, other.ended]

    assert run(main()) == [[], [1.5]]


def test_timer_that_is_set_while_others_end() -> None:
    """A timer can be set from the end of another."""

    async def main() -> list[float]:
        own = Wheel(asyncio.get_running_loop(), 0.5)

        class Again(Item):
            def expire(self, now: float) -> None:
                super().expire(now)
                if now < 2:
                    own.add(self, now + 1)

        item, later = Again(), Item()
        own.add(item, 0.9)
        own.add(later, 4.2)
        await asyncio.sleep(5)
        return item.ended + later.ended

    assert run(main()) == [1.0, 2.5, 4.5]


def test_timer_that_is_set_while_others_end_holds_up_none() -> None:
    """A timer that is set from the end of another, and ends late, does not keep an earlier one waiting."""

    async def main() -> list[list[float]]:
        own = Wheel(asyncio.get_running_loop(), 0.5)
        late, soon = Item(), Item()

        class Again(Item):
            def expire(self, now: float) -> None:
                own.add(late, 3.1)

        own.add(Again(), 0.9)
        own.add(soon, 2.1)
        await asyncio.sleep(5)
        return [soon.ended, late.ended]

    assert run(main()) == [[2.5], [3.5]]


def test_closed_wheel_ends_nothing() -> None:
    """After a close no timer is left, on the loop either."""

    async def main() -> list[float]:
        own, item = Wheel(asyncio.get_running_loop()), Item()
        own.close()
        own.add(item, 1)
        own.close()
        await asyncio.sleep(5)
        return item.ended

    assert run(main()) == []


def test_each_loop_has_its_timers() -> None:
    """Who needs timers on a loop gets the same ones; those of loops that have ended are forgotten."""

    async def main() -> Wheel:
        assert wheel() is wheel()
        return wheel()

    first = run(main())
    assert run(main()) is not first
    assert len([each for each in _wheels if each.is_closed()]) == 1


def test_timer_that_raises_holds_up_none() -> None:
    """What raises when its time is over does not keep the others of its time, or of a later one, waiting."""

    class Raising(Item):
        def expire(self, now: float) -> None:
            super().expire(now)
            raise ZeroDivisionError

    async def main() -> list[list[float]]:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda *_: None)
        own, items = Wheel(loop, 0.5), [Raising(), Raising(), Item()]
        for item, when in zip(items, (1.1, 1.1, 1.6), strict=True):
            own.add(item, when)
        loop.call_at(1.0, loop.jump, 4.0)  # type: ignore[attr-defined]  # that of tests.clock
        await asyncio.sleep(5)
        return [item.ended for item in items]

    assert run(main()) == [[5.0], [5.0], [5.0]]
