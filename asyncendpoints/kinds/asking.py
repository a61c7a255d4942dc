"""What the kinds share that ask DNS questions of their own."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncendpoints import events
from asyncendpoints.dns.outcome import Answer
from asyncendpoints.dns.query import Query
from asyncendpoints.dns.records import Records, Type
from asyncendpoints.dns.resolver import ask
from asyncendpoints.dns.results import found_records, read_rdatas, read_services
from asyncendpoints.dns.special import localhost
from asyncendpoints.dns.timers import TICK
from asyncendpoints.errors import DNSError, ServFailError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Sequence

    from asyncendpoints.attempt import Attempt
    from asyncendpoints.dns.outcome import Outcome
    from asyncendpoints.dns.resolver import Resolver

__all__ = ["Answered", "Known", "ask_records", "resolver_of"]

#: Seconds before the end of a connect from which on a failure is that of time: a resolver that knows the
#: deadline gives up a tick before it, and a loop may be early with a timer.
_EARLY = TICK + 0.01

#: How many bytes an address has.
_SIZES = {Type.A: 4, Type.AAAA: 16}


class Answered(NamedTuple):
    """The records that answer a question."""

    #: The name at the end of the chain of aliases, in wire form.
    owner: bytes
    #: What dnspython makes of them, one or more; of SRV records `Service` values.
    rdatas: Sequence[Any]
    #: What came beside them.
    additional: tuple[Records, ...]


def resolver_of(attempt: Attempt) -> Resolver:
    """Give the DNS resolver of an attempt, which from then on has that of this machine if it had none."""
    if attempt.resolver is None:
        from asyncendpoints.dns.machine import system  # slow to import, and not always needed

        attempt.resolver = system()
    return attempt.resolver


async def ask_records(
    attempt: Attempt, name: str, rtype: int, most_bytes: int | None = None
) -> Answered:
    """Ask the resolver of an attempt for records.

    Args:
        attempt: Hears of the question and the answer.
        name: With or without a final dot.
        rtype: Their type.
        most_bytes: How much record data is read; None for as much as there is.

    Raises:
        DNSError: There are none.
    """
    loop = asyncio.get_running_loop()
    deadline = inf if attempt.deadline is None else attempt.deadline
    query = Query.make(name, rtype, now=loop.time(), deadline=deadline)
    if attempt.emit:
        attempt.emit(events.QueryStarted(loop.time(), query.name, query.type))
    outcome = await (localhost(query) or ask(resolver_of(attempt), query))
    answered = Answered(b"", (), ())
    problem = None
    try:
        is_late = loop.time() >= deadline - _EARLY
        answered = _read(query, outcome, found_records(query, outcome, is_late=is_late), most_bytes)
    except DNSError as error:
        problem = error
        raise
    finally:
        if attempt.emit:
            shown = tuple(str(each) for each in answered.rdatas)
            now = loop.time()
            attempt.emit(events.QueryFinished(now, query.name, query.type, shown, problem))
        del problem  # which holds this frame
    return answered


def _read(query: Query, outcome: Outcome, records: Records, most_bytes: int | None) -> Answered:
    """Read the records of an answer.

    Raises:
        ServFailError: They cannot be read.
    """
    assert isinstance(outcome, Answer)  # there are records
    if most_bytes is not None and sum(map(len, records.rdatas)) > most_bytes:
        raise ServFailError(query.name, query.type, "the answer would take too long to read", 0)
    read = read_services if query.qtype == Type.SRV else read_rdatas
    return Answered(records.owner, read(query, records), outcome.additional)


class Known:
    """A resolver that knows some addresses, and asks another one for everything else.

    Args:
        records: Such as came beside an answer; those that are no addresses are ignored.
        resolver: The other one.
    """

    def __init__(self, records: Iterable[Records], resolver: Resolver) -> None:
        self._known = {
            (each.owner.lower(), each.rtype): each
            for each in records
            if each.rdatas and all(len(data) == _SIZES.get(each.rtype) for data in each.rdatas)
        }
        self._resolver = resolver

    def resolve(self, query: Query, /) -> Awaitable[Outcome]:
        found = self._known.get((query.key, query.qtype))
        return self._resolver.resolve(query) if found is None else Answer((found,))
