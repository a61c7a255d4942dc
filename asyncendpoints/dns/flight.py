"""Questions in the air: who of several upstreams is asked, when the next one is, and who waits.

A question is one object, however many wait for its outcome; none of them takes a task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncendpoints.dns.codes import EDE, EDECode, Rcode
from asyncendpoints.dns.outcome import Failure
from asyncendpoints.dns.resolver import GIVEN_UP, Pending
from asyncendpoints.dns.timers import TICK, Timed, Wheel

if TYPE_CHECKING:
    from asyncendpoints.dns.forward import Forward
    from asyncendpoints.dns.outcome import Outcome, Response
    from asyncendpoints.dns.upstream import Tries, Upstream

__all__ = ["Flight", "Hasty"]

#: The codes after which another upstream may know more.
_GOES_ON: Final = frozenset({Rcode.SERVFAIL, Rcode.REFUSED, Rcode.NOTIMP})
_LATE = Failure(ede=EDE(EDECode.NO_REACHABLE_AUTHORITY, "no upstream answered in time"))
_UNREACHABLE = Failure(ede=EDE(EDECode.NETWORK_ERROR, "no upstream can be reached"))


class Flight(Pending):
    """A question in the air.

    Args:
        forward: Whose it is.
        which: Its name, type and flags.
        ends: Loop time at which it comes to an outcome.
    """

    __slots__ = (
        "_asked",
        "_bucket",
        "_failed",
        "_failure",
        "_forward",
        "_is_asking",
        "_rest",
        "_which",
        "doubted",
        "ends",
        "flags",
        "key",
        "open",
        "plain",
        "qtype",
        "tries",
    )

    is_timed = True

    def __init__(self, forward: Forward, which: tuple[bytes, int, int], ends: float) -> None:
        # Not by Pending.__init__: this is made for each question.
        self.outcome = self._callback = self._others = None
        self._forward = forward
        self._which = which
        self.key, self.qtype, self.flags = which
        self.ends = ends
        self.tries: Tries = None
        self.open = 0
        self.plain: Upstream | None = None
        self.doubted: Upstream | None = None
        #: Who is still to be asked, the next one first.
        self._rest: tuple[Upstream, ...] = ()
        #: Whose time is running, or None when all have had theirs.
        self._asked: Upstream | None = None
        self._is_asking = False
        #: Who answered with an error, and the first of these.
        self._failed: tuple[Upstream, ...] = ()
        self._failure: Response | None = None
        self._bucket: set[Timed] | None = None

    def abandon(self) -> None:
        """End it if nobody is left who waits."""
        if self._callback is None and not self._others:
            self.settle(GIVEN_UP)

    def start(self, now: float) -> None:
        """Ask the first upstream, and beside it those that are down, when it is time to try them again."""
        order = self._forward.order()
        self._rest = order * self._forward.attempts
        if len(order) > 1 and order[0].is_up:
            for each in order[1:]:
                if each.claim_probe(now) and each.ask(self, now):
                    self.open += 1
        self._go_on(now)

    def _go_on(self, now: float) -> None:
        """Ask the next upstream; without one, wait for those that were asked, or give up."""
        while self._rest:
            upstream = self._rest[0]
            self._rest = self._rest[1:]
            if upstream in self._failed or (self._failure and not upstream.is_up):
                continue
            self._asked = upstream
            # Asking can bring the news that an earlier try is lost.
            self._is_asking = True
            was_sent = upstream.ask(self, now)
            self._is_asking = False
            if was_sent:
                self.open += 1
                self._wait(now + upstream.patience)
                return
        self._asked = None
        if self._failure is not None:
            self.settle(self._failure)
        elif self.open <= 0:
            self.settle(_UNREACHABLE)
        else:
            self._wait(self.ends)

    def _wait(self, when: float) -> None:
        """Set the timer, which has to end before the flight does."""
        if self._bucket is not None:
            self._bucket.discard(self)
        last = self.ends - TICK
        if when > last:  # noqa: PLR1730 - a call of min takes five times as long
            when = last
        self._bucket = self._forward.wheel.add(self, when)

    def expire(self, now: float) -> None:
        """Hear that whoever was asked has had its time."""
        if self._asked is not None:
            self._asked.time_out(now)
        if now >= self.ends - TICK:
            self.settle(self._failure or _LATE)
        else:
            self._go_on(now)

    def hear(self, upstream: Upstream, outcome: Response, now: float) -> None:
        """Take what an upstream says, unless another may know more."""
        if outcome.rcode not in _GOES_ON or not self._rest_may_know(upstream):
            self.settle(outcome)
            return
        self._failure = self._failure or outcome
        self._failed += (upstream,)
        self.lose(upstream, now)

    def _rest_may_know(self, upstream: Upstream) -> bool:
        """Tell whether there is somebody else who was asked or can be."""
        return self.open > 1 or any(each is not upstream for each in self._rest)

    def lose(self, upstream: Upstream, now: float) -> None:
        """Hear that an upstream says nothing, or nothing more."""
        self.open -= 1
        if self.outcome is not None or self._is_asking:
            return
        if self._asked is upstream or self._asked is None:
            self._go_on(now)

    def settle(self, outcome: Outcome) -> None:
        if self.outcome is not None:
            return
        self._forward.flights.pop(self._which, None)
        if self._bucket is not None:
            self._bucket.discard(self)
        tries = self.tries
        while tries is not None:
            way, ident, tries = tries
            way.forget(ident)
        Pending.settle(self, outcome)  # not by super(), which takes as long as the rest


class Hasty(Pending):
    """A question in the air for somebody who does not wait as long as others do."""

    __slots__ = ("_bucket", "_flight")

    is_timed = True

    def __init__(self, flight: Flight, wheel: Wheel, deadline: float) -> None:
        super().__init__()
        self._flight = flight
        self._bucket = wheel.add(self, deadline - TICK)
        flight.then(self.settle)

    def expire(self, now: float) -> None:  # noqa: ARG002 - as for all that is timed
        """Hear that the time is up."""
        self._flight.forget(self.settle)
        self.settle(_LATE)

    def abandon(self) -> None:
        self._flight.forget(self.settle)
        self.settle(GIVEN_UP)
        self._flight.abandon()

    def settle(self, outcome: Outcome) -> None:
        self._bucket.discard(self)
        super().settle(outcome)
