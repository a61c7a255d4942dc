"""How often something may be said."""

from __future__ import annotations

from asyncendpoints.throttle import Throttle


def test_once_in_a_while() -> None:
    """One thing goes through in the time, and the next when it is over."""
    throttle = Throttle(60.0)
    assert [throttle.admits(now) for now in (0.0, 59.9, 60.0, 61.0, 120.0)] == [
        True,
        False,
        True,
        False,
        True,
    ]


def test_each_kind() -> None:
    """Things of another kind have their own time."""
    throttle = Throttle(60.0)
    assert [throttle.admits(0.0, kind) for kind in ("a", "b", "a")] == [True, True, False]


def test_kinds_are_bounded() -> None:
    """With one kind too many all are forgotten; one that is known stays within the bound."""
    throttle = Throttle(60.0, most_kinds=2)
    throttle.admits(0.0, "a")
    throttle.admits(0.0, "b")
    throttle.admits(60.0, "a")
    assert throttle.last == {"a": 60.0, "b": 0.0}
    throttle.admits(60.0, "c")
    assert throttle.last == {"c": 60.0}
