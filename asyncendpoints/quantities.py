"""Times and numbers that a caller gives.

Pure.
"""

from __future__ import annotations

from math import inf, isnan

from asyncendpoints.masking import shorten

__all__ = ["check_number", "check_seconds", "check_wait", "time_limit"]


def check_seconds(name: str, value: object) -> None:
    """See that an argument is a time above 0 that ends.

    Raises:
        TypeError: It is no number.
        ValueError: It is out of range.
    """
    if not isinstance(value, int | float):
        raise TypeError(f"{name} is in seconds, not {shorten(value)}")
    if not 0 < value < inf:
        raise ValueError(f"{name} is {value}, expected seconds above 0")


def check_wait(name: str, value: object) -> None:
    """See that an argument is a time, which may be none at all.

    Raises:
        ValueError: It is no number, or below 0.
    """
    if not isinstance(value, int | float) or value < 0:
        raise ValueError(f"{name} is {value!r}, expected 0 or more seconds")


def check_number(name: str, value: object, least: int = 1, most: int | None = None) -> None:
    """See that an argument is a number of things in a range.

    Raises:
        TypeError: It is no whole number.
        ValueError: It is out of range.
    """
    if not isinstance(value, int):
        raise TypeError(f"{name} is a whole number, not {shorten(value)}")
    if value < least or (most is not None and value > most):
        expected = f"{least} or more" if most is None else f"{least} to {most}"
        raise ValueError(f"{name} is {value}, expected {expected}")


def time_limit(timeout: float) -> float:
    """Give the seconds that something may take, 0 where a caller has no time left, as asyncio takes it.

    Raises:
        TypeError: It is no number.
        ValueError: It is NaN.
    """
    if not isinstance(timeout, int | float):
        raise TypeError(f"timeout is in seconds, or None for no limit, not {shorten(timeout)}")
    if isnan(timeout):
        raise ValueError("timeout is nan, expected seconds")
    return max(timeout, 0)
