"""A server without its sockets: the bytes of a query in, the bytes of a reply out.

The law: whatever comes in, nothing is raised, and nothing of a client's is kept that could grow without
limit.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints.dns.clients import Clients, Standing, WaitingQueries, check_verdict
from asyncendpoints.dns.codes import EDE, EDECode, Rcode
from asyncendpoints.dns.late_reply import Reply
from asyncendpoints.dns.networks import PRIVATE
from asyncendpoints.dns.outcome import DROP, Answer, Failure, NoData, Outcome, Response
from asyncendpoints.dns.query import RD, Query
from asyncendpoints.dns.records import IN, Records, Type
from asyncendpoints.dns.render import render, render_rejection
from asyncendpoints.dns.resolver import (
    Pending,
    ask,
    begin,
    complete,
    is_recursive,
    version_of,
)
from asyncendpoints.dns.timers import wheel
from asyncendpoints.dns.wire import Rejection, WireQuery, decode_query
from asyncendpoints.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncendpoints.dns.guards import AddressGuard, Guard
    from asyncendpoints.dns.memo import Memo
    from asyncendpoints.dns.networks import Networks
    from asyncendpoints.dns.query import Transport
    from asyncendpoints.dns.querylog import QueryLog
    from asyncendpoints.dns.resolver import Resolver
    from asyncendpoints.dns.timers import Timed

__all__ = ["Counters", "Responder", "Source"]

logger = logging.getLogger("asyncendpoints.dns")

#: The largest message of a stream, in bytes. Source: RFC 1035, section 4.2.2.
MOST_BYTES: Final = 65535
#: The largest UDP message for a client without EDNS, in bytes. Source: RFC 1035, section 4.2.1.
MOST_PLAIN_BYTES: Final = 512

#: Attributes of classes that are looked at for each query.
_FIRST_META, _ANY = Type.TKEY, Type.ANY
_REFUSED, _SERVFAIL = Rcode.REFUSED, Rcode.SERVFAIL

_FORMAT_ERROR = Failure(Rcode.FORMERR)
_NOT_IMPLEMENTED = Failure(Rcode.NOTIMP, EDE(EDECode.NOT_SUPPORTED))
_NO_TRANSFER = Failure(Rcode.REFUSED, EDE(EDECode.PROHIBITED))
_NO_CLASS = Failure(Rcode.REFUSED, EDE(EDECode.NOT_AUTHORITATIVE))
_BROKEN = Failure(Rcode.SERVFAIL, EDE(EDECode.OTHER, "internal error"))
_CROWDED = Failure(
    Rcode.SERVFAIL, EDE(EDECode.OTHER, "too many queries of this client are waiting")
)
_OVERLOAD = Failure(Rcode.SERVFAIL, EDE(EDECode.OTHER, "too many queries are waiting"))

#: Types that stand for no data, and what is said to them. Source: RFC 8945, 2930, 5936, 1995, 1035.
_META = {
    Type.TKEY: _FORMAT_ERROR,
    Type.TSIG: _FORMAT_ERROR,
    Type.IXFR: _NO_TRANSFER,
    Type.AXFR: _NO_TRANSFER,
    Type.MAILB: _NOT_IMPLEMENTED,
    Type.MAILA: _NOT_IMPLEMENTED,
}


@dataclass(slots=True)
class Counters:
    """What a server has done so far. A query that was not answered is in one of these, and in no log."""

    #: Messages that came in.
    received: int = 0
    #: Those whose reply was remembered.
    remembered: int = 0
    #: Messages that were no queries, and got nothing.
    ignored: int = 0
    #: Queries that were malformed, of another opcode or of another EDNS version, and got an error.
    rejected: int = 0
    #: Queries that a guard or the lack of a resolver refused.
    refused: int = 0
    #: Queries that got nothing because a guard or a resolver said so.
    dropped: int = 0
    #: Queries whose answer could not be found out: SERVFAIL.
    failed: int = 0
    #: Queries that found too many others waiting.
    overloaded: int = 0
    #: Replies that the system did not take.
    unsent: int = 0
    #: Errors of the server itself.
    errors: int = 0


class Source:
    """Where the queries of a connection come from, and how their replies are to be.

    Args:
        client: The socket address of the client.
        local: The socket address that was asked, or None.
        family: The address family of both.
        transport: How it came.
        standing: What is known of the client.
    """

    __slots__ = ("memo", "place", "standing", "transport")

    def __init__(
        self, client: Any, local: Any, family: int, transport: Transport, standing: Standing
    ) -> None:
        self.transport = transport
        self.standing = standing
        self.memo = standing.datagram if transport == "udp" else standing.stream
        #: The rest of what a query is told of where it comes from.
        self.place: tuple[Any, Any, int, Transport] = client, local, family, transport


class Responder:
    """Answers the messages of clients by what a resolver says.

    Args:
        resolver: Who is asked.
        guards: What stands before it.
        recursion: The clients that may have recursion, where the resolver offers it.
        payload: The largest UDP message to send and to take, in bytes, 512 to 65,535.
        query_timeout: Seconds that a query may wait for its answer.
        most_waiting: How many queries may wait at one time.
        most_of_client: How many of those can be of one client; those without an address are not counted.
        log: Is told of every query.
    """

    def __init__(
        self,
        resolver: Resolver,
        *,
        guards: Sequence[Guard | AddressGuard] = (),
        recursion: Networks = PRIVATE,
        payload: int = 1232,
        query_timeout: float = 4.5,
        most_waiting: int = 10_000,
        most_of_client: int = 1000,
        log: QueryLog | None = None,
    ) -> None:
        self.counters = Counters()
        self._resolver = resolver
        by_address = [each for each in guards if hasattr(each, "verdict")]
        self._by_query = [each for each in guards if not hasattr(each, "verdict")]
        self._payload = payload
        self._query_timeout = query_timeout
        self._queue = WaitingQueries(most_waiting, most_of_client)
        self._log = log
        self._now = 0.0
        #: What ends when the time of the queries of this wake-up is over, once there is something.
        self._due: set[Timed] | None = None
        self._version = version_of(resolver)
        #: Neither with guards that look at each query, nor with a log, which is to have each of them.
        self._remembers = self._version is not None and not self._by_query and log is None
        #: When the first of the replies that hold for a moment ends to hold.
        self._moment = inf
        self._clients = Clients(by_address, recursion if is_recursive(resolver) else None)
        #: What is known of clients, by their address.
        self.clients = self._clients.known
        #: How often errors of the server itself are logged.
        self._throttle = Throttle()

    # Once a wake-up

    def wake(self, now: float) -> None:
        """Hear what time it is, and forget what does not hold any more. To be called once a wake-up.

        Args:
            now: Loop time, in seconds.
        """
        self._now = now
        self._due = None
        if now >= self._moment:
            self._moment = inf
            self._clients.forget_fleeting()
        if self._remembers:  # else there is nothing
            version = version_of(self._resolver)
            if version != self._version:
                self._version = version
                self._clients.forget_replies()

    def due(self) -> set[Timed]:
        """Give what ends when the time of the queries of this wake-up is over; see `Wheel.bucket`."""
        if self._due is None:
            self._due = wheel().bucket(self._now + self._query_timeout)
        return self._due

    # Clients

    def standing(self, host: str | None) -> Standing:
        """Give what is known of a client by its address, None for one without."""
        try:
            return self._clients.standing(host)
        except Exception as error:  # noqa: BLE001 - whatever a guard does wrong
            self._report(error)
            return Standing(_BROKEN, recursion=False)

    def source(self, client: Any, local: Any, family: int, transport: Transport) -> Source:
        """Make what stands for the origin of queries: of one datagram, or of a connection."""
        host = client[0] if isinstance(client, tuple) else None
        return Source(client, local, family, transport, self.standing(host))

    # Queries

    def respond(self, packet: bytes, source: Source) -> bytes | Reply | None:
        """Answer one message.

        Args:
            packet: A whole message, of at most 65,535 bytes.
            source: Where it comes from.

        Returns:
            The whole reply; or a `Reply` that is still to come; or None if nothing is to be sent, after which
            a stream is to be closed.
        """
        reply = source.memo.table.get(packet[2:])
        if reply is None:
            return self.answer(packet, source.standing, source.memo, *source.place)
        self.counters.received += 1
        self.counters.remembered += 1
        return packet[:2] + reply

    def answer(
        self,
        packet: bytes,
        standing: Standing,
        memo: Memo,
        client: Any,
        local: Any,
        family: int,
        transport: Transport,
    ) -> bytes | Reply | None:
        """Answer one message whose reply is not in the memo's table; else as `respond`.

        The arguments are what a `Source` is made of, which takes too long to make for each datagram.
        """
        self.counters.received += 1
        if memo.table or memo.old:
            reply = memo.recall(packet)
            if reply is not None:
                self.counters.remembered += 1
                return reply
        started = 0.0 if self._log is None else monotonic()
        try:
            wire = decode_query(packet)
            if not isinstance(wire, WireQuery):
                return self._reject(packet, wire, standing, client, transport, started)
            key, qtype, qclass, flags, _, _, _, is_plain = wire
            now, crowds = self._now, self._queue.crowds
            recursion = standing.recursion and flags & RD != 0
            until = now + self._query_timeout
            query = Query(
                key, qtype, flags, now, until, recursion, client, local, transport, 0, family
            )
            if crowds and query.client_host in crowds:
                self.counters.overloaded += 1
                return self.finish(wire, packet, query, standing, started, _CROWDED)
            is_usual = qtype < _FIRST_META and qclass == IN and standing.verdict is None
            if not is_usual or self._by_query:
                return self._say(wire, packet, query, standing, started)
            resolver = self._resolver
            outcome = begin(resolver, query)
            if not isinstance(outcome, Response) or outcome.target is not None:
                if isinstance(outcome, Pending):
                    return self._wait(wire, packet, query, standing, started, outcome, resolver)
                outcome = complete(resolver, query, outcome)
                if isinstance(outcome, Pending):
                    return self._wait(wire, packet, query, standing, started, outcome)
            reply = self.finish(wire, packet, query, standing, started, outcome)
            if outcome.until > now and is_plain and self._remembers and reply is not None:
                memo.add(packet, reply, key, is_fleeting=outcome.until != inf)
                self._moment = min(self._moment, outcome.until)
        except Exception as error:  # noqa: BLE001 - one message must not end the server
            self._report(error)
            return None
        return reply

    def _say(
        self, wire: WireQuery, packet: bytes, query: Query, standing: Standing, started: float
    ) -> bytes | Reply | None:
        """Answer a query that is no resolver's: of some clients, of other classes, of types without data."""
        known = standing.verdict
        if known is None and wire.qclass != IN:
            known = _NO_CLASS
        if known is None:
            known = _META.get(wire.qtype)
        if known is None:
            if wire.qtype == Type.ANY:
                query = query.with_type(Type.HINFO)
            known = self._ask(query)
        if isinstance(known, Pending):
            return self._wait(wire, packet, query, standing, started, known)
        return self.finish(wire, packet, query, standing, started, known)

    def _wait(
        self,
        wire: WireQuery,
        packet: bytes,
        query: Query,
        standing: Standing,
        started: float,
        pending: Pending,
        resolver: Resolver | None = None,
    ) -> bytes | Reply | None:
        """Promise a reply, unless too many are promised already; ``resolver`` is as for `Reply`."""
        if self._queue.is_full:
            pending.abandon()
            self.counters.overloaded += 1
            return self.finish(wire, packet, query, standing, started, _OVERLOAD)
        self._queue.add(query.client_host)
        return Reply(self, pending, resolver, wire, packet, query, standing, started)

    @property
    def waiting(self) -> int:
        """How many queries wait for their answer."""
        return self._queue.count

    def release(self, query: Query) -> None:
        """Hear that a query does not wait any more."""
        self._queue.remove(query.client_host)

    def _reject(
        self,
        packet: bytes,
        wire: Rejection | None,
        standing: Standing,
        client: Any,
        transport: Transport,
        started: float,
    ) -> bytes | None:
        """Say what is wrong with a query, or nothing."""
        if wire is None:
            self.counters.ignored += 1
            return None
        if standing.verdict is DROP:
            self.counters.dropped += 1
            return None
        self.counters.rejected += 1
        reply = packet[:2] + render_rejection(wire, self._payload)
        if self._log is not None:
            query = Query(b"\0", 0, 0, client=client, transport=transport)
            self._note(query, 0, wire.rcode, reply, started)
        return reply

    def _ask(self, query: Query) -> Outcome:
        """Ask past the guards."""
        try:
            for each in self._by_query:
                verdict = each.before(query)
                if verdict is not None:
                    check_verdict(verdict, each, "before", may_wait=True)
                    return verdict
        except Exception as error:  # noqa: BLE001 - whatever a guard does wrong
            self._report(error)
            return _BROKEN
        outcome = ask(self._resolver, query)
        if isinstance(outcome, Pending):
            return _Guarded(outcome, partial(self._after, query))
        return self._after(query, outcome)

    def _after(self, query: Query, outcome: Outcome) -> Outcome:
        try:
            for each in reversed(self._by_query):
                outcome = each.after(query, outcome)
                check_verdict(outcome, each, "after")
        except Exception as error:  # noqa: BLE001 - whatever a guard does wrong
            self._report(error)
            return _BROKEN
        return outcome

    def finish(
        self,
        wire: WireQuery,
        packet: bytes,
        query: Query,
        standing: Standing,
        started: float,
        outcome: Outcome,
    ) -> bytes | None:
        """Write the reply to a query, once its outcome is there."""
        if outcome is DROP:
            self.counters.dropped += 1
            return None
        if wire.qtype == _ANY and isinstance(outcome, Response):
            outcome = _minimal_any(wire, outcome)
        limit = MOST_BYTES
        if query.transport == "udp":
            limit = min(wire.payload, self._payload) if wire.payload else MOST_PLAIN_BYTES
        ra = standing.recursion
        try:
            reply = packet[:2] + render(wire, outcome, limit, self._payload, ra=ra)
        except Exception as error:  # noqa: BLE001 - what a resolver makes by hand can be anything
            self._report(error)
            outcome = _BROKEN
            reply = packet[:2] + render(wire, outcome, limit, self._payload, ra=ra)
        if outcome.rcode == _REFUSED:
            self.counters.refused += 1
        elif outcome.rcode == _SERVFAIL:
            self.counters.failed += 1
        if self._log is not None:
            self._note(query, wire.qtype, outcome.rcode, reply, started)
        return reply

    def _note(self, query: Query, qtype: int, rcode: int, reply: bytes, started: float) -> None:
        """Tell the log of a reply."""
        assert self._log is not None  # it is asked before
        took = monotonic() - started
        host, key, flags = query.client_host, query.key, query.flags
        self._log.add(host, query.transport, key, qtype, flags, rcode, len(reply), took)

    def _report(self, error: Exception) -> None:
        """Log an error of the server itself, unless one was logged a moment ago."""
        self.counters.errors += 1
        if self._throttle.admits(monotonic()):
            logger.error("a DNS query could not be answered", exc_info=error)


class _Guarded(Pending):
    """An outcome that guards have to see before it counts."""

    __slots__ = ("_awaited",)

    is_timed = True

    def __init__(self, awaited: Pending, see: Callable[[Outcome], Outcome]) -> None:
        super().__init__()
        self._awaited = awaited
        awaited.then(lambda outcome: self.settle(see(outcome)))

    def abandon(self) -> None:
        self._awaited.abandon()


def _minimal_any(wire: WireQuery, outcome: Response) -> Response:
    """Make what "any" gets from a name that exists: one set of records, whatever there is.

    That of an alias is its CNAME, which stands alone and is not followed.

    Source: RFC 8482, sections 4.1 and 4.2.
    """
    for count, found in enumerate(outcome.answer, 1):
        if found.owner.lower() == wire.key:
            answer = Answer(outcome.answer[:count], aa=outcome.aa)
            return answer.replace(until=outcome.until)
    if not isinstance(outcome, NoData):
        return outcome
    records = Records(wire.key, Type.HINFO, 3600, (b"\x07RFC8482\0",))
    answer = Answer((*outcome.answer, records), aa=outcome.aa)
    return answer.replace(until=outcome.until)
