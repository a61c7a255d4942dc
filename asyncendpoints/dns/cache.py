"""A resolver that remembers what another one said.

The law: nothing here knows a socket, and only what is the same for everybody is remembered. How long things
hold, and what goes when there is no more room, is the business of `asyncendpoints.dns.store`.

Source: RFC 1034, section 4.3.4; RFC 2308; RFC 8020; RFC 8767; RFC 9520.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final

from asyncendpoints.dns.chain import Composite
from asyncendpoints.dns.codes import EDE, EDECode
from asyncendpoints.dns.entry import (
    Rules,
    age_of,
    covers_name,
    encode_entry,
    encode_failure,
    is_dead,
    is_failure,
    is_fresh,
    is_held,
    is_usable,
    lifetime_of,
    make_place,
    name_of,
    to_response,
    whole_name,
)
from asyncendpoints.dns.fetch import Fetch
from asyncendpoints.dns.names import encode_name, suffixes
from asyncendpoints.dns.outcome import Answer, Failure, NoData, NXDomain, Outcome, Response
from asyncendpoints.dns.query import CD, DO, RD
from asyncendpoints.dns.records import LONGEST_TTL
from asyncendpoints.dns.resolver import LOOP, Pending, begin, failed
from asyncendpoints.dns.store import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncendpoints.dns.query import Query
    from asyncendpoints.dns.resolver import Resolver

__all__ = ["Cache", "CacheStats"]

#: The flags on which an outcome depends. RD stands for recursion: that it was asked for, and may be had.
_FLAGS: Final = CD | DO

#: Seconds that a question may take at least, however short of time those are who asked it first: others
#: will have what it comes to.
_SHORTEST_FLIGHT = 4.0
#: Seconds after which those who wait get records whose time is over. Source: RFC 8767, section 5.
_PATIENCE = 1.8
#: Seconds until the resolver is asked again about records that it could not refresh: one more than the 30 of
#: RFC 8767, section 5, as the first may be a part of a second.
_RECHECK = 31
#: The longest time that a failure may be kept, in seconds. Source: RFC 9520, section 3.2.
_LONGEST_FAILURE = 300
#: The most that records can be shown after their time, in seconds: a week. Source: RFC 8767, section 5.
_LONGEST_STALE = 604_800

#: Which part of the room is for the outcomes of the current second, at most how many bytes, as these are
#: objects that the garbage collector looks at; and what each takes beside its records.
_HOT_SHARE = 16
_MOST_HOT_BYTES = 2 * 2**20
_HOT_OVERHEAD_BYTES = 600


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a cache has done since it was made, and what is in it."""

    #: Questions answered with what was known. What a server's memo repeats within a second is not among them.
    hits: int
    #: Questions for which the inner resolver was asked, or was being asked already.
    misses: int
    #: Hits that said that there is no such name or no such record.
    negative: int
    #: How often records were shown whose time was over. Those who waited together count once.
    stale: int
    #: Entries that were asked for again before their time was over.
    prefetched: int
    #: Entries that had to make room for others.
    evicted: int
    #: How much the entries take, all overhead counted.
    bytes: int
    #: How many there are.
    entries: int


class Cache(Composite):
    """Remembers what another resolver says, for as long as that holds.

    >>> from asyncendpoints.dns import Answer, Cache, Query, Router
    >>> router = Router()
    >>> @router.on("a.test", "A")
    ... def count(query):
    ...     print("asked")
    ...     return Answer.of(query, "192.0.2.1", ttl=60)
    >>> async def main():
    ...     async with Cache(router) as cache:
    ...         for _ in range(2):
    ...             await cache.resolve(Query.make("a.test", "A"))
    >>> import asyncio
    >>> asyncio.run(main())
    asked

    Many who ask the same at the same time share one question. Answers, negative answers with an SOA record
    and failures are kept; the TTLs of what is kept count down, each second, and AA is cleared. Referrals,
    ``PASS``, ``DROP`` and ``TRUNCATED`` are not kept, nor is what has a TTL of 0.

    What was found for clients that may have recursion is not shown to others, who get what the inner
    resolver says without recursion, unless ``snoop`` is set.

    Args:
        resolver: Who is asked for what is not known.
        max_bytes: How much memory it may take, at least 65,536 bytes. A name takes some 220.
        max_ttl: The longest that records are kept, in seconds.
        min_ttl: The shortest that they are, in seconds, against the will of whoever published them.
        max_negative_ttl: The longest that it is believed that there is nothing, in seconds.
        failure_ttl: For how long the inner resolver is spared after a failure, 1 to 300 seconds; each
            further failure of the same question doubles it.
        max_failure_ttl: Up to that, ``failure_ttl`` to 300 seconds.
        stale: For how many seconds after their time records are shown while the inner resolver fails, or
            takes longer than 1.8 s: 0, which is never, to a week; RFC 8767 suggests one to three days.
        stale_ttl: The TTL that such records show, 1 to 300 seconds.
        prefetch: Whether records that were asked for in two seconds of their time or more are refreshed
            when a tenth of it is left.
        nxdomain_cut: Whether no name exists below one that does not (RFC 8020). Some servers say so of
            names below which there are others.
        snoop: Whether clients without recursion are shown what was found for those with it: then everybody
            who may ask anything can read the cache.

    Raises:
        ValueError: A number is out of its range, or what the resolver says depends on who asks.
        TypeError: It is no resolver.
    """

    def __init__(
        self,
        resolver: Resolver,
        *,
        max_bytes: int = 64 * 2**20,
        max_ttl: int = 86_400,
        min_ttl: int = 0,
        max_negative_ttl: int = 3_600,
        failure_ttl: int = 1,
        max_failure_ttl: int = 60,
        stale: int = 0,
        stale_ttl: int = 30,
        prefetch: bool = True,
        nxdomain_cut: bool = False,
        snoop: bool = False,
    ) -> None:
        super().__init__(resolver)
        if self.varies:
            raise ValueError(
                f"what {resolver!r} says depends on who asks: put a cache inside of it, not around it"
            )
        _check("max_bytes", max_bytes, 65_536, 2**48, "bytes")
        _check("max_ttl", max_ttl, 1, LONGEST_TTL)
        _check("min_ttl", min_ttl, 0, max_ttl)
        _check("max_negative_ttl", max_negative_ttl, 0, LONGEST_TTL)
        _check("failure_ttl", failure_ttl, 1, _LONGEST_FAILURE)
        _check("max_failure_ttl", max_failure_ttl, failure_ttl, _LONGEST_FAILURE)
        _check("stale", stale, 0, _LONGEST_STALE)
        _check("stale_ttl", stale_ttl, 1, 300)
        self._resolver = resolver
        self._rules = Rules(max_ttl, min_ttl, max_negative_ttl, stale)
        self._failure_ttls = failure_ttl, max_failure_ttl
        self._stale_ttl = stale_ttl
        self._prefetches = prefetch
        self._cuts = nxdomain_cut
        self._snoops = snoop
        self._most_hot = min(max_bytes // _HOT_SHARE, _MOST_HOT_BYTES)
        self._table = Table(max_bytes - self._most_hot)
        #: The outcomes of the current second by the place of their question, loop time of its end, and about
        #: how many bytes they take.
        self._hot: dict[bytes, Response] = {}
        self._hot_until = -inf
        self._hot_bytes = 0
        #: The loop of the questions under way.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flights: dict[bytes, Fetch] = {}
        #: Those too which nobody joins any more.
        self._under_way: set[Fetch] = set()
        self._flushes = 0
        self._hits = self._misses = self._negative = self._stale = self._prefetched = 0

    @property
    def version(self) -> int:
        """How often something was flushed. All else changes when an outcome's time is over."""
        return self._flushes

    @property
    def stats(self) -> CacheStats:
        """What it has done since it was made, and what is in it."""
        return CacheStats(
            hits=self._hits,
            misses=self._misses,
            negative=self._negative,
            stale=self._stale,
            prefetched=self._prefetched,
            evicted=self._table.evicted,
            bytes=self._table.bytes,
            entries=len(self._table),
        )

    def __len__(self) -> int:
        return len(self._table)

    def __bool__(self) -> bool:
        return True

    def resolve(self, query: Query, /) -> Outcome:
        now = query.now or asyncio.get_running_loop().time()
        flags = query.flags & _FLAGS | (RD if query.recursion else 0)
        place = query.key + (query.qtype << 16 | flags).to_bytes(4, "big")
        if now < self._hot_until:
            hot = self._hot.get(place)
            if hot is not None:
                self._hits += 1
                if type(hot) is not Answer:
                    self._note(hot)
                return hot
        return self._look(query, place, now)

    def flush(self, name: str | None = None) -> int:
        """Forget a name and all below it, or everything. What is being asked just now is not kept either.

        Args:
            name: The name; with it every entry is looked at, which takes some 0.2 s for a million.

        Returns:
            How many entries were forgotten.

        Raises:
            DomainNameError: ``name`` is no domain name.
        """
        key = None if name is None else encode_name(name).lower()
        self._flushes += 1
        self._hot_until = -inf
        self._flights.clear()
        return self._table.clear() if key is None else self._table.remove_below(key)

    async def aclose(self) -> None:
        """End the questions under way, and close the inner resolver. What is known stays."""
        self._hot_until = -inf
        for flight in list(self._under_way):
            self._leave(flight)
            flight.close()
        await super().aclose()

    # What is known

    def _look(self, query: Query, place: bytes, now: float) -> Outcome:
        """Answer a question out of the table, or ask."""
        for each in self._places(query, place):
            entry = self._table.get(each)
            if entry is not None and is_fresh(entry, now):
                return self._hit(query, place, each, entry, now)
        flight = self._flights.get(place)
        expired = self._usable(place, now)
        if flight is not None and flight.is_open(now, has_more=expired is not None):
            self._check_loop()
            return self._join(flight, query)
        if expired is not None and is_held(expired[1], now):
            return self._show(*expired, now)
        self._misses += 1
        return self._fetch(query, place, now, has_more=expired is not None)

    def _places(self, query: Query, place: bytes) -> Iterator[bytes]:
        """Give the places where the answer to a question can be."""
        yield place
        yield whole_name(place)
        if self._snoops and not query.recursion:
            learned = make_place(query.key, query.qtype, query.flags & _FLAGS | RD)
            yield learned
            yield whole_name(learned)
        if self._cuts:
            for above in suffixes(query.key)[1:]:
                yield whole_name(above + place[-4:])

    def _hit(self, query: Query, place: bytes, found: bytes, entry: bytes, now: float) -> Outcome:
        """Answer with what is known, for the rest of this second."""
        hits = self._table.hit(found)
        outcome = to_response(name_of(found), entry, now)
        self._hits += 1
        self._note(outcome)
        self._remember(place, outcome, now)
        if found == place and hits > 1 and self._prefetches and _is_due(entry, now):
            self._prefetch(query, place, now)
        return outcome

    def _note(self, outcome: Outcome) -> None:
        if isinstance(outcome, NoData | NXDomain):
            self._negative += 1

    def _remember(self, place: bytes, outcome: Response, now: float) -> None:
        """Hold an outcome until its second is over."""
        assert outcome.body is not None  # all that comes from the table is bytes
        if now >= self._hot_until or self._hot_bytes > self._most_hot:
            self._hot.clear()
            self._hot_bytes = 0
            self._hot_until = outcome.until
        elif outcome.until != self._hot_until:
            return  # the loop has read its clock since this query came
        self._hot[place] = outcome
        self._hot_bytes += len(outcome.body.tail) + len(place) + _HOT_OVERHEAD_BYTES

    def _usable(self, place: bytes, now: float) -> tuple[bytes, bytes] | None:
        """Find records that can be shown, their time over or not, and their place."""
        for each in (place, whole_name(place)):
            entry = self._table.get(each)
            if entry is not None and is_usable(entry, now):
                return each, entry
        return None

    def _show(self, place: bytes, entry: bytes, now: float) -> Response:
        """Answer with records that can be shown, their time over or not."""
        name = name_of(place)
        if is_fresh(entry, now):
            return to_response(name, entry, now)
        self._stale += 1
        code = EDECode.STALE_NXDOMAIN if covers_name(entry) else EDECode.STALE_ANSWER
        return to_response(name, entry, now, ttl=self._stale_ttl, ede=EDE(code))

    # What is asked

    def _fetch(self, query: Query, place: bytes, now: float, *, has_more: bool) -> Outcome:
        """Ask the inner resolver, once for all that ask the same until it has answered.

        Args:
            query: The question.
            place: Its place.
            now: Loop time.
            has_more: Whether there is something to be shown to those who have waited long enough.
        """
        deadline = max(query.deadline, now + _SHORTEST_FLIGHT)
        asked = query if deadline == query.deadline else query.with_deadline(deadline)
        outcome = begin(self._resolver, asked)
        if isinstance(outcome, Pending):
            if outcome.outcome is None:
                self._check_loop()
                patience = now + _PATIENCE if has_more else inf
                flight = Fetch(asked, place, now, self._flushes, self._land)
                self._flights[place] = flight
                self._under_way.add(flight)
                flight.wait_for(outcome, patience, self._known)
                return flight.join(query)
            outcome = outcome.outcome
        return self._learn(asked, place, outcome, now)

    def _join(self, flight: Fetch, query: Query) -> Outcome:
        """Wait with others for what they have asked, unless that waits for this."""
        if self.is_own(query):
            return LOOP
        if flight.outcome is None:
            self._misses += 1
        else:
            self._stale += 1
        return flight.join(query)

    def _check_loop(self) -> None:
        """See that what is under way is so on this loop, or was so on one that has ended.

        Raises:
            RuntimeError: It is under way on another one.
        """
        loop = asyncio.get_running_loop()
        if loop is self._loop:
            return
        if self._loop is not None and self._loop.is_closed():
            self._flights.clear()
            self._under_way.clear()
        if self._under_way:
            raise RuntimeError("the cache is in use on another loop: aclose() ends that")
        self._loop = loop

    def _prefetch(self, query: Query, place: bytes, now: float) -> None:
        """Ask for what is known already, before its time is over."""
        if place not in self._flights:
            self._prefetched += 1
            self._fetch(query, place, now, has_more=False)

    def _known(self, place: bytes, now: float) -> Response | None:
        """Give what can be shown to those who have waited long enough."""
        known = self._usable(place, now)
        return None if known is None else self._show(*known, now)

    def _land(self, flight: Fetch, outcome: Outcome) -> Outcome:
        """Learn what a question came to, unless something was flushed since it was asked."""
        self._leave(flight)
        if flight.version != self._flushes:
            return outcome.unremembered() if isinstance(outcome, Response) else outcome
        now = asyncio.get_running_loop().time()
        shown = self._stale
        learned = self._learn(flight.query, flight.place, outcome, now)
        if flight.outcome is not None:
            self._stale = shown  # nobody waits to be shown it again
        return learned

    def _leave(self, flight: Fetch) -> None:
        """Let nobody join a question any more."""
        self._under_way.discard(flight)
        if self._flights.get(flight.place) is flight:
            del self._flights[flight.place]

    def _learn(self, query: Query, place: bytes, outcome: Outcome, now: float) -> Outcome:
        """Keep an outcome that can be kept, and give what is to be said."""
        try:
            return self._keep(query, place, outcome, now)
        except Exception as error:  # noqa: BLE001 - what a resolver makes by hand can be anything
            return self._fail(place, failed(self._resolver, query, error), now)

    def _keep(self, query: Query, place: bytes, outcome: Outcome, now: float) -> Outcome:
        if isinstance(outcome, Failure):
            return self._fail(place, outcome, now)
        if not isinstance(outcome, Response):
            return self._stay(place, outcome, now)
        entry = encode_entry(query.key, outcome, now, self._rules)
        self._table.remove(place)
        self._table.remove(whole_name(place))
        if entry is None:
            return outcome.unremembered()
        where = whole_name(place) if covers_name(entry) else place
        self._table.put(where, entry, now)
        kept = to_response(query.key, entry, now)
        self._remember(place, kept, now)
        return kept

    def _stay(self, place: bytes, outcome: Outcome, now: float) -> Outcome:
        """Keep what is known when the resolver has nothing to say that could take its place."""
        known = self._table.get(place)
        if known is not None and is_fresh(known, now):
            self._table.hold(place, now, _RECHECK)
        return outcome

    def _fail(self, place: bytes, failure: Failure, now: float) -> Outcome:
        """Say what was known before, or keep the failure for longer than the last one."""
        known = self._usable(place, now)
        if known is not None:
            self._table.hold(known[0], now, _RECHECK)
            return self._show(*known, now)
        ttl, longest = self._failure_ttls
        last = self._table.get(place)
        if last is not None and is_failure(last) and not is_dead(last, now):
            # One second is for the part of it that was over when it began.
            ttl = min(2 * (lifetime_of(last) - 1), longest)
        entry = encode_failure(failure, now, min(ttl + 1, _LONGEST_FAILURE), ttl + longest)
        self._table.put(place, entry, now)
        return failure.unremembered()

    def __repr__(self) -> str:
        return f"<Cache of {self._resolver!r}, {len(self)} entries>"


def _is_due(entry: bytes, now: float) -> bool:
    """Tell whether an entry is to be refreshed: a tenth of its time is left, and that was not tried."""
    ttl = lifetime_of(entry)
    is_late = (ttl - age_of(entry, now)) * 10 <= ttl
    return is_late and not is_failure(entry) and not is_held(entry, now)


def _check(name: str, value: int, lowest: int, highest: int, unit: str = "seconds") -> None:
    if not isinstance(value, int | float) or not lowest <= value <= highest:
        raise ValueError(f"{name} is {value!r}, expected {unit} from {lowest} to {highest}")
