"""Replies of a server to queries whose answers take their time.

There is one object for each such query, and a server has thousands of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncendpoints.dns.outcome import Outcome, Response
from asyncendpoints.dns.resolver import LATE, Pending, complete

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints.dns.clients import Standing
    from asyncendpoints.dns.query import Query
    from asyncendpoints.dns.resolver import Resolver
    from asyncendpoints.dns.responder import Responder
    from asyncendpoints.dns.timers import Timed
    from asyncendpoints.dns.wire import WireQuery

__all__ = ["Reply"]


class Reply:
    """A reply that is still to come.

    It sees to all that `ask` would, so that there is one object for each query that waits.

    Args:
        responder: Who writes it.
        pending: What is waited for.
        resolver: Who was asked, if its outcome has to be completed.
        wire: What is answered, and so are the others, which `Responder.finish` takes.
        packet: As there.
        query: As there.
        standing: As there.
        started: As there.
    """

    __slots__ = (
        "_bucket",
        "_callback",
        "_packet",
        "_pending",
        "_resolver",
        "_responder",
        "_standing",
        "_started",
        "_wire",
        "query",
    )

    def __init__(
        self,
        responder: Responder,
        pending: Pending,
        resolver: Resolver | None,
        wire: WireQuery,
        packet: bytes,
        query: Query,
        standing: Standing,
        started: float,
    ) -> None:
        self._responder = responder
        self._pending = pending
        self._resolver = resolver
        self._wire = wire
        self._packet = packet
        #: What is answered.
        self.query = query
        self._standing = standing
        self._started = started
        self._callback: Callable[[Reply, bytes | None], None] | None = None
        self._bucket: set[Timed] | None = None

    def then(self, callback: Callable[[Reply, bytes | None], None]) -> None:
        """Call back with this and the whole message once it is there, or None if nothing is to be sent.

        To be called at once, in the turn of the loop in which the query came.
        """
        self._callback = callback
        if not self._pending.is_timed:
            self._bucket = self._responder.due()
            self._bucket.add(self)
        self._pending.then(self._arrive)

    def _arrive(self, outcome: Outcome) -> None:
        if self._callback is None:
            return
        resolver = self._resolver
        if resolver is not None and (
            not isinstance(outcome, Response) or outcome.target is not None
        ):
            outcome = complete(resolver, self.query, outcome)
            if isinstance(outcome, Pending):
                self._resolver, self._pending = None, outcome
                outcome.then(self._arrive)
                return
        self._end(outcome)

    def expire(self, now: float) -> None:  # noqa: ARG002 - late is late
        """Hear that the time is up."""
        self._end(LATE)
        self._leave()

    def _end(self, outcome: Outcome) -> None:
        callback, self._callback = self._callback, None
        assert callback is not None  # it ends once, after then()
        if self._bucket is not None:
            self._bucket.discard(self)
        responder = self._responder
        responder.release(self.query)
        message = responder.finish(
            self._wire, self._packet, self.query, self._standing, self._started, outcome
        )
        callback(self, message)

    def abandon(self) -> None:
        """Say that nobody waits for it any more."""
        if self._callback is not None:
            self._callback = None
            if self._bucket is not None:
                self._bucket.discard(self)
            self._responder.release(self.query)
            self._leave()

    def _leave(self) -> None:
        self._pending.forget(self._arrive)
        self._pending.abandon()
