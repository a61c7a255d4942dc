"""How often something may be said, so that nothing fills a log.

Pure: who asks says what time it is.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["Throttle"]

#: Seconds between two lines of one kind, and of how many kinds the time of the last one is kept.
_INTERVAL: Final = 60.0
_MOST_KINDS: Final = 256


class Throttle:
    """Lets one thing of each kind through in a minute.

    Args:
        seconds: Between two of a kind.
        most_kinds: Of how many kinds the last time is kept; with one more, all are forgotten.
    """

    __slots__ = ("_most_kinds", "_seconds", "last")

    def __init__(self, seconds: float = _INTERVAL, most_kinds: int = _MOST_KINDS) -> None:
        self._seconds = seconds
        self._most_kinds = most_kinds
        #: When something was let through, by its kind.
        self.last: dict[Hashable, float] = {}

    def admits(self, now: float, kind: Hashable = None) -> bool:
        """Tell whether something may be said, and take it as said.

        Args:
            now: Seconds, by any clock that does not go back.
            kind: What it is about.
        """
        if now - self.last.get(kind, -inf) < self._seconds:
            return False
        if len(self.last) >= self._most_kinds and kind not in self.last:
            self.last.clear()
        self.last[kind] = now
        return True
