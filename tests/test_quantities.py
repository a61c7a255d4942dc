"""Times and numbers that a caller gives."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest

from asyncendpoints.quantities import check_number, check_seconds, check_wait, time_limit


@pytest.mark.parametrize("value", [1, 0.001, True])
def test_seconds(value: float) -> None:
    """A time above 0 is one."""
    check_seconds("wait", value)


@pytest.mark.parametrize(
    ("value", "error", "problem"),
    [
        ("5", TypeError, "wait is in seconds, not '5'"),
        (None, TypeError, "wait is in seconds, not None"),
        (0, ValueError, "wait is 0, expected seconds above 0"),
        (-1.5, ValueError, "wait is -1.5, expected seconds above 0"),
        (inf, ValueError, "wait is inf, expected seconds above 0"),
        (nan, ValueError, "wait is nan, expected seconds above 0"),
    ],
)
def test_no_seconds(value: object, error: type[Exception], problem: str) -> None:
    """What is none is named."""
    with pytest.raises(error) as caught:
        check_seconds("wait", value)
    assert str(caught.value) == problem


@pytest.mark.parametrize(
    ("value", "least", "most"), [(1, 1, None), (0, 0, None), (10**9, 1, None), (5, 5, 5)]
)
def test_number(value: int, least: int, most: int | None) -> None:
    """A whole number in its range is one."""
    check_number("count", value, least, most)


@pytest.mark.parametrize(
    ("value", "most", "error", "problem"),
    [
        ("5", None, TypeError, "count is a whole number, not '5'"),
        (1.0, None, TypeError, "count is a whole number, not 1.0"),
        (0, None, ValueError, "count is 0, expected 1 or more"),
        (0, 9, ValueError, "count is 0, expected 1 to 9"),
        (10, 9, ValueError, "count is 10, expected 1 to 9"),
    ],
)
def test_no_number(value: object, most: int | None, error: type[Exception], problem: str) -> None:
    """What is none is named."""
    with pytest.raises(error) as caught:
        check_number("count", value, 1, most)
    assert str(caught.value) == problem


@pytest.mark.parametrize("value", [0, 0.0, 5, inf])
def test_wait(value: float) -> None:
    """A time that may be none at all is 0 or more."""
    check_wait("drain", value)


@pytest.mark.parametrize("value", [-1, -0.5, "5", None])
def test_no_wait(value: object) -> None:
    """What is none is named."""
    with pytest.raises(ValueError) as caught:
        check_wait("drain", value)
    assert str(caught.value) == f"drain is {value!r}, expected 0 or more seconds"


@pytest.mark.parametrize(("timeout", "limit"), [(5, 5), (0.5, 0.5), (inf, inf), (0, 0), (-3, 0)])
def test_time_limit(timeout: float, limit: float) -> None:
    """A time that is over already is none at all."""
    assert time_limit(timeout) == limit


@pytest.mark.parametrize(
    ("timeout", "error", "problem"),
    [
        ("5", TypeError, "timeout is in seconds, or None for no limit, not '5'"),
        (nan, ValueError, "timeout is nan, expected seconds"),
    ],
)
def test_no_time_limit(timeout: Any, error: type[Exception], problem: str) -> None:
    """What is none is named."""
    with pytest.raises(error) as caught:
        time_limit(timeout)
    assert str(caught.value) == problem
