"""The pauses between attempts."""

from __future__ import annotations

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints import Backoff


def never() -> float:
    """Draw what takes nothing off."""
    return 0.0


@pytest.mark.parametrize(
    ("backoff", "pauses"),
    [
        (Backoff(), [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]),
        (Backoff(initial=0.5, factor=1.5, maximum=1.5), [0.5, 0.75, 1.125, 1.5, 1.5]),
        (Backoff(factor=1.0), [1.0, 1.0, 1.0]),
        (Backoff(initial=5.0, maximum=5.0), [5.0, 5.0]),
    ],
)
def test_pauses_grow_up_to_the_limit(backoff: Backoff, pauses: list[float]) -> None:
    """Each failure multiplies the pause, until it is the longest one."""
    given = [backoff.delay(attempt, never) for attempt in range(1, len(pauses) + 1)]
    assert given == pauses


@pytest.mark.parametrize(
    ("jitter", "pauses"),
    [
        (0.0, [4.0, 4.0, 4.0, 4.0]),
        (0.25, [4.0, 3.75, 3.5, 3.25]),
        (1.0, [4.0, 3.0, 2.0, 1.0]),
    ],
)
def test_chance_takes_a_share_off(jitter: float, pauses: list[float]) -> None:
    """What is drawn takes off that part of the share that chance has."""
    backoff = Backoff(jitter=jitter)
    assert [backoff.delay(3, lambda: draw) for draw in (0.0, 0.25, 0.5, 0.75)] == pauses  # noqa: B023


def test_chance_is_asked_once() -> None:
    """One pause takes one draw."""
    draws = iter([0.0])
    Backoff().delay(1, lambda: next(draws))
    assert list(draws) == []


def test_a_number_too_large_is_the_longest_pause() -> None:
    """A row of failures without end does not overflow."""
    assert Backoff().delay(10**6, never) == 60.0


@given(st.integers(1, 10**6), st.floats(0, 1, exclude_max=True))
def test_a_pause_is_above_zero_and_within_the_limit(attempt: int, drawn: float) -> None:
    """Whatever is drawn, a pause is a pause, and never longer than the longest."""
    assert 0 < Backoff(jitter=1.0).delay(attempt, lambda: drawn) <= 60.0


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("initial", 0.0, "initial is 0.0, expected seconds above 0"),
        ("initial", nan, "initial is nan, expected seconds above 0"),
        ("factor", 0.5, "factor is 0.5, expected 1 or more"),
        ("factor", inf, "factor is inf, expected 1 or more"),
        ("maximum", 0.5, "maximum is 0.5, expected seconds, initial or more"),
        ("maximum", inf, "maximum is inf, expected seconds, initial or more"),
        ("jitter", 1.5, "jitter is 1.5, expected a share from 0 to 1"),
        ("jitter", -0.1, "jitter is -0.1, expected a share from 0 to 1"),
    ],
)
def test_a_value_out_of_range_is_refused(field: str, value: float, message: str) -> None:
    """Each field says what it takes."""
    with pytest.raises(ValueError, match=f"^{message}$"):
        Backoff(**{field: value})
