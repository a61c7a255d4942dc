"""How long to wait before the next attempt. Pure: chance comes in as an argument."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Backoff"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Pauses between attempts, each longer than the one before, up to a limit.

    >>> [Backoff().delay(attempt, lambda: 0.0) for attempt in (1, 2, 3, 10)]
    [1.0, 2.0, 4.0, 60.0]
    """

    #: Seconds after the first failure, above 0.
    initial: float = 1.0
    #: What each further failure multiplies them by, 1 or more.
    factor: float = 2.0
    #: Seconds at most, ``initial`` or more.
    maximum: float = 60.0
    #: The share of a pause, 0 to 1, that chance may take off, so that clients that failed together do not
    #: come back together. With 1 a pause is anything up to its full length.
    jitter: float = 0.25

    def __post_init__(self) -> None:
        for name, is_right, expected in (
            ("initial", self.initial > 0, "seconds above 0"),
            ("factor", self.factor >= 1, "1 or more"),
            ("maximum", self.maximum >= self.initial, "seconds, initial or more"),
            ("jitter", 0 <= self.jitter <= 1, "a share from 0 to 1"),
        ):
            value = getattr(self, name)
            if not (is_right and isfinite(value)):
                raise ValueError(f"{name} is {value}, expected {expected}")

    def delay(self, attempt: int, draw: Callable[[], float]) -> float:
        """Give the seconds to wait after a failure; never above ``maximum``.

        Args:
            attempt: How many have failed in a row, 1 or more.
            draw: A source of numbers from 0 up to but without 1, such as ``random.random``; called once.
        """
        try:
            longest = min(self.initial * self.factor ** (attempt - 1), self.maximum)
        except OverflowError:
            longest = self.maximum
        return longest * (1 - self.jitter * draw())
