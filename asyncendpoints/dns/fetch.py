"""Questions that a cache has asked and has no outcome of yet."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from asyncendpoints.dns.resolver import GIVEN_UP, LATE, Pending
from asyncendpoints.dns.timers import wheel

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints.dns.outcome import Outcome
    from asyncendpoints.dns.query import Query
    from asyncendpoints.dns.timers import Timed

__all__ = ["Fetch"]

#: Seconds after which nobody joins a question any more that nothing puts an end to.
_LONGEST_FLIGHT = 30.0


class Fetch(Pending):
    """A question that the inner resolver has not answered yet, and all who wait for it.

    Nobody who gives up ends it: what it comes to is for those who ask next.
    """

    __slots__ = (
        "_inner",
        "_known",
        "_land",
        "_spoke",
        "closes",
        "deadline",
        "place",
        "query",
        "version",
    )

    #: It ends by its deadline, and is given only to those whose own is no earlier.
    is_timed = True

    def __init__(
        self,
        query: Query,
        place: bytes,
        now: float,
        version: int,
        land: Callable[[Fetch, Outcome], Outcome],
    ) -> None:
        super().__init__()
        self._inner: Pending | None = None
        self._spoke: set[Timed] | None = None
        self._known: Callable[[bytes, float], Outcome | None] | None = None
        self._land = land
        self.query = query
        self.place = place
        #: How often something had been flushed when it began.
        self.version = version
        self.deadline = query.deadline
        #: Loop time from which on the same question is asked anew.
        self.closes = min(self.deadline, now + _LONGEST_FLIGHT)

    def wait_for(
        self,
        inner: Pending,
        patience: float,
        known: Callable[[bytes, float], Outcome | None],
    ) -> None:
        """Go on when the outcome is there, or its time is up.

        Args:
            inner: What is waited for.
            patience: Loop time at which those who wait are shown what was known before, if ever.
            known: Gives that.
        """
        self._inner = inner
        if patience != inf:
            self._known = known
            self._spoke = wheel().add(self, patience)
        else:
            self._watch(inner)
        inner.then(self._arrive)

    def _watch(self, inner: Pending) -> None:
        if not inner.is_timed and self.deadline != inf:
            self._spoke = wheel().add(self, self.deadline)

    def is_open(self, now: float, *, has_more: bool) -> bool:
        """Tell whether others can join: not when they would be shown what is not to be shown any more.

        Args:
            now: Loop time.
            has_more: Whether there is something to be shown to those who have waited long enough.
        """
        return now < self.closes and (self.outcome is None or has_more)

    def join(self, query: Query) -> Outcome:
        """Give what a query has to wait for, or what was shown already."""
        if self.outcome is not None:
            return self.outcome
        return self if self.deadline <= query.deadline else _Waiter(self)

    def expire(self, now: float) -> None:
        """Show what was known before to those who wait, or give up."""
        inner = self._inner
        assert inner is not None  # whatever ends it takes back its timer
        if self._known is None:
            self._arrive(LATE)
            inner.forget(self._arrive)
            inner.abandon()
            return
        known, self._known = self._known(self.place, now), None
        self._watch(inner)
        if known is not None:
            self.settle(known)

    def close(self) -> None:
        """Give up, and learn nothing."""
        inner = self._end()
        self.settle(GIVEN_UP)
        inner.forget(self._arrive)
        inner.abandon()

    def _arrive(self, outcome: Outcome) -> None:
        if self._inner is not None:
            self._end()
            self.settle(self._land(self, outcome))

    def _end(self) -> Pending:
        inner, self._inner = self._inner, None
        assert inner is not None  # it ends once
        if self._spoke is not None:
            self._spoke.discard(self)
        return inner


class _Waiter(Pending):
    """One who waits for a question that may take longer than the own deadline."""

    __slots__ = ("_flight",)

    def __init__(self, flight: Fetch) -> None:
        super().__init__()
        self._flight = flight
        flight.then(self.settle)

    def abandon(self) -> None:
        self._flight.forget(self.settle)
