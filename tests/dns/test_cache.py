"""A cache around resolvers that are made up: what is kept, for whom and how long, and who is asked when."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING, Any, cast

import pytest

from asyncendpoints.addresses import Address
from asyncendpoints.dns.cache import Cache, CacheStats
from asyncendpoints.dns.chain import Chain, View
from asyncendpoints.dns.codes import EDE, EDECode, Rcode
from asyncendpoints.dns.names import encode_name
from asyncendpoints.dns.outcome import (
    DROP,
    PASS,
    TRUNCATED,
    Answer,
    Failure,
    NoData,
    NXDomain,
    Outcome,
    Referral,
    Response,
)
from asyncendpoints.dns.query import Query
from asyncendpoints.dns.records import Records, Type
from asyncendpoints.dns.resolver import GIVEN_UP, Pending, ask
from asyncendpoints.dns.sections import Body
from asyncendpoints.errors import DomainNameError
from tests.clock import run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SOA = Records(
    encode_name("test"),
    Type.SOA,
    60,
    (encode_name("ns.test") + encode_name("admin.test") + bytes(16) + (60).to_bytes(4, "big"),),
)


class Flight(Pending):
    """An outcome that a test decides."""

    abandoned = False

    def abandon(self) -> None:
        self.abandoned = True


class TimedFlight(Flight):
    """One whose resolver sees to its deadline."""

    is_timed = True


class Inner:
    """A resolver that says what a test tells it to, and notes what it was asked."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)
        self.asked: list[Query] = []
        self.closed = 0

    def resolve(self, query: Query) -> Awaitable[Outcome]:
        self.asked.append(query)
        outcome = self.outcomes[0] if len(self.outcomes) == 1 else self.outcomes.pop(0)
        if not isinstance(outcome, Outcome) and callable(outcome):
            outcome = outcome(query)
        return cast("Awaitable[Outcome]", outcome)

    async def aclose(self) -> None:
        self.closed += 1


def now() -> float:
    """Give loop time."""
    return asyncio.get_running_loop().time()


def query(name: str = "a.test", qtype: str = "A", **options: Any) -> Query:
    """Make a query of this moment, with the deadline that the server gives one."""
    options.setdefault("deadline", now() + 5.0)
    return Query.make(name, qtype, now=now(), **options)


def answer(*values: str, ttl: int = 60, **marks: Any) -> Callable[[Query], Answer]:
    """Make what answers with addresses."""
    return lambda query: Answer.of(query, *values or ("192.0.2.1",), ttl=ttl, **marks)


def values(outcome: Outcome) -> list[str]:
    """Give the data of the answer's records, as text."""
    assert isinstance(outcome, Response)
    return [each.to_text() for rrset in outcome.rrsets for each in rrset]


def ttls(outcome: Outcome) -> list[int]:
    """Give the TTL of each set of records."""
    assert isinstance(outcome, Response)
    return [each.ttl for section in outcome.sections for each in section]


def given(outcome: Outcome) -> Response:
    """Give what is there at once."""
    assert isinstance(outcome, Response)
    return outcome


# What is kept


def test_second_question() -> None:
    """The same question is asked once."""

    async def main() -> None:
        inner = Inner(answer("192.0.2.1"))
        cache = Cache(inner)
        for _ in range(3):
            assert values(cache.resolve(query())) == ["192.0.2.1"]
        assert len(inner.asked) == 1

    run(main())


def test_awaitable() -> None:
    """What a cache gives can be awaited, known or not."""

    async def main() -> None:
        async with Cache(Inner(answer("192.0.2.1"))) as cache:
            for _ in range(2):
                assert values(await cache.resolve(query())) == ["192.0.2.1"]

    run(main())


def test_time_of_the_loop() -> None:
    """A query that does not say what time it is takes the loop's time."""

    async def main() -> None:
        inner = Inner(answer())
        cache = Cache(inner)
        cache.resolve(Query.make("a.test", "A"))
        await asyncio.sleep(59.5)
        assert ttls(cache.resolve(Query.make("a.test", "A"))) == [1]
        await asyncio.sleep(1)
        assert ttls(cache.resolve(Query.make("a.test", "A"))) == [60]

    run(main())


def test_ttl_counts_down() -> None:
    """What is known shows the time that it has left, and is asked for anew when there is none."""

    async def main() -> None:
        inner = Inner(answer(ttl=3))
        cache = Cache(inner)
        shown = []
        for _ in range(5):
            shown += ttls(cache.resolve(query()))
            await asyncio.sleep(1)
        assert shown == [3, 2, 1, 3, 2]
        assert len(inner.asked) == 2

    run(main())


def test_shared_for_a_second() -> None:
    """Within a second of the clock everybody gets the same object, which says until when."""

    async def main() -> None:
        cache = Cache(Inner(answer()))
        first = cache.resolve(query())
        await asyncio.sleep(0.9)
        assert cache.resolve(query()) is first
        assert first.until == 1.0
        await asyncio.sleep(0.2)
        second = cache.resolve(query())
        assert second is not first
        assert cache.resolve(query()) is second
        assert second.until == 2.0

    run(main())


def test_has_a_body() -> None:
    """What comes from a cache is bytes already, made for the name that was asked for."""

    async def main() -> None:
        cache = Cache(Inner(answer()))
        for _ in range(2):
            outcome = given(cache.resolve(query()))
            assert outcome.body is not None
            assert outcome.key == encode_name("a.test")
            await asyncio.sleep(1)

    run(main())


def test_marks() -> None:
    """AD is kept as it was; AA is not, for nobody has authority over what he remembers."""

    async def main() -> None:
        cache = Cache(Inner(lambda query: Answer.of(query, "192.0.2.1").replace(ad=True)))
        for _ in range(2):
            outcome = cache.resolve(query())
            assert (outcome.aa, outcome.ad) == (False, True)
            await asyncio.sleep(1)

    run(main())


@pytest.mark.parametrize(
    ("name", "qtype", "options"),
    [
        ("b.test", "A", {}),
        ("a.test", "AAAA", {}),
        ("a.test", "A", {"cd": True}),
        ("a.test", "A", {"do": True}),
        ("a.test", "A", {"rd": False}),
        ("a.test", "A", {"recursion": False}),
    ],
)
def test_key(name: str, qtype: str, options: dict[str, bool]) -> None:
    """What differs in name, type, CD, DO or the right to recursion is another question."""

    async def main() -> None:
        inner = Inner(lambda query: Answer.of(query, "x", type="TXT"))
        cache = Cache(inner)
        cache.resolve(query())
        cache.resolve(query(name, qtype, **options))
        assert len(inner.asked) == 2
        assert len(cache) == 2

    run(main())


def test_one_key() -> None:
    """Case and AD make no difference, nor who asks, nor how."""

    async def main() -> None:
        inner = Inner(answer())
        cache = Cache(inner)
        cache.resolve(query())
        cache.resolve(query("A.TEST", ad=True, transport="tcp"))
        assert len(inner.asked) == 1

    run(main())


@pytest.mark.parametrize(
    "outcome",
    [
        Referral(Records(encode_name("test"), Type.NS, 60, (encode_name("ns.test"),))),
        NoData(),
        NXDomain(),
        answer(ttl=0),
        PASS,
        DROP,
        TRUNCATED,
    ],
)
def test_not_kept(outcome: Any) -> None:
    """What is not good for later is passed on, and asked for each time."""

    async def main() -> None:
        inner = Inner(outcome)
        cache = Cache(inner)
        for _ in range(2):
            said = cache.resolve(query())
            assert said is outcome or callable(outcome)
            assert said.until == -inf
        assert len(inner.asked) == 2
        assert len(cache) == 0

    run(main())


def test_not_kept_is_not_remembered() -> None:
    """What is not kept is marked as good for one question, whatever the resolver said."""

    async def main() -> None:
        cache = Cache(Inner(NoData(until=inf)))
        assert cache.resolve(query()).until == -inf

    run(main())


def test_kept_no_more() -> None:
    """What is known goes when its place is taken by something that is not kept."""

    async def main() -> None:
        inner = Inner(answer(ttl=10), answer(ttl=0), answer(ttl=10))
        cache = Cache(inner, stale=1000)
        cache.resolve(query())
        await asyncio.sleep(11)
        cache.resolve(query())
        assert len(cache) == 0

    run(main())


def test_alias_is_kept() -> None:
    """An alias is kept with the name that it leads to, so that it is followed each time."""

    async def main() -> None:
        def say(query: Query) -> Answer:
            if query.name == "a.test":
                return Answer.cname(query, "b.test")
            return Answer.of(query, "192.0.2.1")

        inner = Inner(say)
        cache = Cache(inner)
        for _ in range(2):
            assert values(ask(cache, query())) == ["b.test.", "192.0.2.1"]
        assert len(inner.asked) == 2

    run(main())


# Who may see it


def test_no_recursion() -> None:
    """Who has no right to recursion gets what the resolver says to such, although more is known."""

    async def main() -> None:
        inner = Inner(lambda query: Answer.of(query, "192.0.2.1") if query.recursion else PASS)
        cache = Cache(inner)
        cache.resolve(query())
        assert cache.resolve(query(rd=False)) is PASS
        assert cache.resolve(query(recursion=False)) is PASS

    run(main())


def test_snoop() -> None:
    """Where it is wished, who has no right to recursion is shown what is known, and no one is asked."""

    async def main() -> None:
        inner = Inner(
            lambda query: (
                NXDomain(SOA)
                if query.name == "no.test"
                else Answer.of(query, "192.0.2.1")
                if query.recursion
                else PASS
            )
        )
        cache = Cache(inner, snoop=True)
        assert cache.resolve(query(rd=False)) is PASS
        cache.resolve(query())
        cache.resolve(query("no.test"))
        del inner.asked[:]
        assert values(cache.resolve(query(rd=False))) == ["192.0.2.1"]
        assert isinstance(cache.resolve(query("no.test", "AAAA", rd=False)), NXDomain)
        assert inner.asked == []

    run(main())


@pytest.mark.parametrize("outcome", [NoData(SOA), NXDomain(SOA), Failure(Rcode.FORMERR)])
def test_type_0_is_not_all_types(outcome: Outcome) -> None:
    """What is said of type 0 is nothing to other types, nor to names below."""

    async def main() -> None:
        cache = Cache(
            Inner(lambda query: answer()(query) if query.qtype else outcome), nxdomain_cut=True
        )
        asked = query()
        cache.resolve(Query(asked.key, 0, now=now()))
        if not isinstance(outcome, NXDomain):
            assert values(cache.resolve(asked)) == ["192.0.2.1"]
            assert values(cache.resolve(query("b.a.test"))) == ["192.0.2.1"]
        else:
            assert isinstance(cache.resolve(asked), NXDomain)

    run(main())


def test_varies() -> None:
    """A cache around a resolver that looks at who asks is an error when it is made."""
    with pytest.raises(ValueError, match="depends on who asks"):
        Cache(Chain(View(Inner(PASS), ["10.0.0.0/8"])))


def test_no_resolver() -> None:
    """What is no resolver is an error when the cache is made."""
    with pytest.raises(TypeError, match="a resolver has a method resolve"):
        Cache(cast("Any", "udp:9.9.9.9"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_bytes": 1}, "max_bytes is 1, expected bytes from 65536 to 281474976710656"),
        ({"max_ttl": 0}, "max_ttl is 0, expected seconds from 1 to 2147483647"),
        ({"min_ttl": 86_401}, "min_ttl is 86401, expected seconds from 0 to 86400"),
        ({"max_negative_ttl": -1}, "max_negative_ttl is -1, expected seconds from 0 to 2147483647"),
        ({"failure_ttl": 0}, "failure_ttl is 0, expected seconds from 1 to 300"),
        ({"max_failure_ttl": 301}, "max_failure_ttl is 301, expected seconds from 1 to 300"),
        ({"stale": 604_801}, "stale is 604801, expected seconds from 0 to 604800"),
        ({"stale_ttl": 0}, "stale_ttl is 0, expected seconds from 1 to 300"),
        (
            {"max_bytes": "64M"},
            "max_bytes is '64M', expected bytes from 65536 to 281474976710656",
        ),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    """A number out of its range is an error that says the range."""
    with pytest.raises(ValueError, match="expected") as caught:
        Cache(Inner(PASS), **cast("Any", options))
    assert str(caught.value) == message


def test_ttl_options() -> None:
    """TTLs are brought between the bounds."""

    async def main() -> None:
        cache = Cache(Inner(answer(ttl=5), answer(ttl=5000)), min_ttl=10, max_ttl=100)
        assert ttls(cache.resolve(query())) == [10]
        assert ttls(cache.resolve(query("b.test"))) == [100]

    run(main())


# Negative


def test_nxdomain_is_for_all_types() -> None:
    """That a name does not exist is known for all its types, with the SOA's time counting down."""

    async def main() -> None:
        inner = Inner(NXDomain(SOA))
        cache = Cache(inner)
        cache.resolve(query())
        await asyncio.sleep(10)
        outcome = cache.resolve(query(qtype="AAAA"))
        assert isinstance(outcome, NXDomain)
        assert ttls(outcome) == [50]
        assert len(inner.asked) == 1

    run(main())


def test_nodata_is_for_its_type() -> None:
    """That a name has no records of a type is known for that type alone."""

    async def main() -> None:
        inner = Inner(NoData(SOA))
        cache = Cache(inner)
        for _ in range(2):
            assert isinstance(cache.resolve(query()), NoData)
        cache.resolve(query(qtype="AAAA"))
        assert len(inner.asked) == 2

    run(main())


def test_alias_of_nothing() -> None:
    """That the end of an alias does not exist says nothing of other types of the alias itself."""

    async def main() -> None:
        alias = Records(encode_name("a.test"), Type.CNAME, 60, (encode_name("b.test"),))
        inner = Inner(NXDomain(SOA, answer=[alias]))
        cache = Cache(inner)
        cache.resolve(query())
        cache.resolve(query())
        cache.resolve(query(qtype="CNAME"))
        assert [each.type for each in inner.asked] == ["A", "CNAME"]

    run(main())


def test_nxdomain_ends() -> None:
    """A name that has come into being is not said to be missing any more."""

    async def main() -> None:
        inner = Inner(NXDomain(SOA), answer(), NoData(SOA))
        cache = Cache(inner)
        cache.resolve(query())
        await asyncio.sleep(61)
        cache.resolve(query())
        assert isinstance(cache.resolve(query(qtype="AAAA")), NoData)

    run(main())


def test_nxdomain_is_overtaken() -> None:
    """The name exists again for all types as soon as one of them is found."""

    async def main() -> None:
        flight = TimedFlight()
        inner = Inner(flight, NXDomain(SOA), NoData(SOA))
        cache = Cache(inner)
        cache.resolve(query())
        cache.resolve(query(qtype="AAAA"))
        flight.settle(Answer.of(inner.asked[0], "192.0.2.1"))
        assert isinstance(cache.resolve(query(qtype="MX")), NoData)

    run(main())


def test_names_below_nothing() -> None:
    """As a rule names are asked for although a name above them does not exist."""

    async def main() -> None:
        cache = Cache(Inner(NXDomain(SOA), answer()))
        cache.resolve(query())
        assert isinstance(cache.resolve(query("b.a.test")), Answer)

    run(main())


def test_nxdomain_cut() -> None:
    """Where it is wished, no name exists below one that does not, and names beside it are asked for."""

    async def main() -> None:
        inner = Inner(NXDomain(SOA), answer())
        cache = Cache(inner, nxdomain_cut=True)
        cache.resolve(query())
        for _ in range(2):
            outcome = cache.resolve(query("c.b.a.test"))
            assert isinstance(outcome, NXDomain)
            assert outcome.authority == (SOA,)
        assert isinstance(cache.resolve(query("b.test")), Answer)
        assert isinstance(cache.resolve(query(".")), Answer)
        assert len(inner.asked) == 3

    run(main())


# Failures


def test_failure_is_kept() -> None:
    """After a failure the resolver is left alone for a second at least, and the code stays what it was."""

    async def main() -> None:
        inner = Inner(Failure(Rcode.REFUSED, EDE(EDECode.NETWORK_ERROR)))
        cache = Cache(inner)
        await asyncio.sleep(0.9)
        for _ in range(3):
            outcome = cache.resolve(query())
            assert (outcome.rcode, outcome.ede) == (Rcode.REFUSED, EDE(EDECode.NETWORK_ERROR))
            await asyncio.sleep(0.5)
        assert len(inner.asked) == 1

    run(main())


def test_failure_is_noted() -> None:
    """A failure of which nothing was said is said to be a known one when it is repeated."""

    async def main() -> None:
        cache = Cache(Inner(Failure(until=inf)))
        assert (cache.resolve(query()).ede, cache.resolve(query()).ede) == (
            None,
            EDE(EDECode.CACHED_ERROR),
        )

    run(main())


def test_failure_is_not_for_others() -> None:
    """The failure of one type says nothing about another."""

    async def main() -> None:
        cache = Cache(Inner(Failure(), answer("2001:db8::1")))
        cache.resolve(query())
        assert values(cache.resolve(query(qtype="AAAA"))) == ["2001:db8::1"]

    run(main())


async def spared(cache: Cache, inner: Inner, seconds: int) -> list[float]:
    """Ask each half second, and give when the resolver was asked."""
    times = []
    for _ in range(seconds * 2):
        before = len(inner.asked)
        cache.resolve(query())
        if len(inner.asked) > before:
            times.append(now())
        await asyncio.sleep(0.5)
    return times


def test_failures_double() -> None:
    """Each further failure is kept for twice as long, up to a bound."""

    async def main() -> None:
        inner = Inner(Failure())
        times = await spared(Cache(inner, failure_ttl=2, max_failure_ttl=8), inner, 40)
        assert times == [0.0, 3.0, 8.0, 17.0, 26.0, 35.0]

    run(main())


def test_longest_failure() -> None:
    """No failure is kept for more than five minutes."""

    async def main() -> None:
        inner = Inner(Failure())
        times = await spared(Cache(inner, failure_ttl=300, max_failure_ttl=300), inner, 700)
        assert times == [0.0, 300.0, 600.0]

    run(main())


def test_failures_are_forgotten() -> None:
    """A failure long after the last one is the first again, and so is one after an answer."""

    async def main() -> None:
        inner = Inner(Failure())
        cache = Cache(inner, max_failure_ttl=10)
        assert await spared(cache, inner, 5) == [0.0, 2.0]
        await asyncio.sleep(15)
        assert await spared(cache, inner, 4) == [20.0, 22.0]
        inner.outcomes = [answer(ttl=1), Failure()]
        await asyncio.sleep(4)
        assert await spared(cache, inner, 4) == [28.0, 29.0, 31.0]

    run(main())


def test_exception() -> None:
    """A resolver that raises has failed, and is left alone for a while."""

    async def main() -> None:
        def fail(query: Query) -> Outcome:
            raise RuntimeError(query.name)

        inner = Inner(fail)
        cache = Cache(inner)
        for _ in range(2):
            assert cache.resolve(query()).rcode == Rcode.SERVFAIL
        assert len(inner.asked) == 1

    run(main())


# Waiting together


def test_one_flight() -> None:
    """A thousand who ask the same at the same time share one question, and its outcome."""

    async def main() -> None:
        flight = TimedFlight()
        inner = Inner(flight)
        cache = Cache(inner)
        waiting = [cache.resolve(query()) for _ in range(1000)]
        assert len(inner.asked) == 1
        flight.settle(Answer.of(inner.asked[0], "192.0.2.1"))
        outcomes = [await each for each in waiting]
        assert set(map(id, outcomes)) == {id(cache.resolve(query()))}
        assert cache.stats.misses == 1000

    run(main())


def test_circle() -> None:
    """A question that the inner resolver asks to find out the same is a failure at once, and others wait."""

    async def main() -> None:
        flight = TimedFlight()
        inner = Inner(flight)
        inner.is_own = lambda query: query.client_port == 5353  # type: ignore[attr-defined]
        cache = Cache(inner)
        one = cache.resolve(query())
        own = query(client=Address(2, ("127.0.0.1", 5353)))
        assert given(cache.resolve(own)).rcode == Rcode.SERVFAIL
        assert cache.resolve(query()) is one
        assert len(inner.asked) == 1
        flight.settle(GIVEN_UP)

    run(main())


def test_coroutine() -> None:
    """A resolver that is a coroutine function is waited for, once for all."""

    async def main() -> None:
        async def slowly(query: Query) -> Answer:
            await asyncio.sleep(1)
            return Answer.of(query, "192.0.2.1")

        inner = Inner(slowly)
        cache = Cache(inner)
        both = await asyncio.gather(*(asyncio.wait_for(ask(cache, query()), 2) for _ in "ab"))
        assert both[0] is both[1]
        assert now() == 1.0
        assert len(inner.asked) == 1

    run(main())


def test_at_once() -> None:
    """Nobody waits where the outcome is there already."""

    async def main() -> None:
        done = Pending()
        done.settle(NoData(SOA))
        for each in (done, NoData(SOA)):
            assert isinstance(Cache(Inner(each)).resolve(query()), NoData)

    run(main())


def test_flight_is_timed() -> None:
    """Who gave the deadline needs no timer of his own; who has less time does."""

    async def main() -> None:
        cache = Cache(Inner(TimedFlight()))
        first = cache.resolve(query())
        later = cache.resolve(query(deadline=now() + 9.0))
        earlier = cache.resolve(query(deadline=now() + 1.0))
        assert isinstance(first, Pending)
        assert isinstance(earlier, Pending)
        assert first is later
        assert (first.is_timed, earlier.is_timed) == (True, False)

    run(main())


def test_resolver_with_timers() -> None:
    """A resolver that sees to the deadline itself is not given up by the cache."""

    async def main() -> None:
        flight = TimedFlight()
        cache = Cache(Inner(flight))
        waiting = cache.resolve(query())
        await asyncio.sleep(6)
        assert not flight.abandoned
        flight.settle(DROP)
        assert await waiting is DROP

    run(main())


def test_abandoned() -> None:
    """Whoever gives up leaves the question to the others, and the answer to those who come later."""

    async def main() -> None:
        flight = TimedFlight()
        inner = Inner(flight)
        cache = Cache(inner)
        task = asyncio.ensure_future(asyncio.wait_for(cache.resolve(query()), 1))
        with pytest.raises(TimeoutError):
            await task
        assert not flight.abandoned
        flight.settle(Answer.of(inner.asked[0], "192.0.2.1"))
        assert values(cache.resolve(query())) == ["192.0.2.1"]

    run(main())


def test_who_gives_up_is_not_kept() -> None:
    """A question under way knows nothing of those who gave up, nor what it waited for of a cache that did."""

    async def main() -> None:
        for close in (False, True):
            inner = Flight()
            cache = Cache(Inner(inner))
            flight, hasty = cache.resolve(query()), cache.resolve(query(deadline=now() + 0.5))
            assert isinstance(flight, Pending)
            assert isinstance(hasty, Pending)
            hasty.abandon()
            assert flight._callback is None
            if close:
                await cache.aclose()
            assert (await flight).rcode == Rcode.SERVFAIL
            assert inner.abandoned
            assert inner._callback is None

    run(main())


def test_closed_while_others_are_told() -> None:
    """A cache that is closed by who is told the same outcome first learns nothing of it."""

    async def main() -> None:
        inner = Flight()
        cache = Cache(Inner(inner))

        def close(_: Outcome) -> None:
            with pytest.raises(StopIteration):  # it ends without waiting
                cache.aclose().send(None)

        inner.then(close)
        flight = cache.resolve(query())
        inner.settle(NoData(SOA))
        assert await flight is GIVEN_UP
        assert not cache.stats.entries

    run(main())


def test_short_deadline() -> None:
    """Who has little time gets no answer in time, and does not spoil it for those who have more."""

    async def main() -> None:
        async def slowly(query: Query) -> Answer:
            await asyncio.sleep(2)
            return Answer.of(query, "192.0.2.1")

        cache = Cache(Inner(slowly))
        hasty = ask(cache, query(deadline=now() + 0.5))
        patient = ask(cache, query())
        assert (await hasty).rcode == Rcode.SERVFAIL
        assert now() < 1.0
        assert values(await patient) == ["192.0.2.1"]

    run(main())


def test_resolver_that_hangs() -> None:
    """A resolver that gives no answer by the deadline is given up, and left alone for a while."""

    async def main() -> None:
        flight = Flight()
        inner = Inner(flight)
        cache = Cache(inner)
        outcome = await asyncio.wait_for(cache.resolve(query()), 10)
        assert outcome.ede == EDE(EDECode.NO_REACHABLE_AUTHORITY, "no answer in time")
        assert 5.0 <= now() <= 5.1
        assert flight.abandoned
        flight.settle(NoData(SOA))
        assert cache.resolve(query()).rcode == Rcode.SERVFAIL
        assert len(inner.asked) == 1

    run(main())


def test_task_that_hangs() -> None:
    """A coroutine that gives no answer by the deadline is cancelled."""

    async def main() -> None:
        cancelled = []

        async def hang(query: Query) -> Outcome:
            never: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
            try:
                return await never
            finally:
                cancelled.append(query)

        cache = Cache(Inner(hang))
        assert (await cache.resolve(query())).rcode == Rcode.SERVFAIL
        await asyncio.sleep(1)
        assert len(cancelled) == 1

    run(main())


def test_no_deadline() -> None:
    """A question without a deadline goes on for ever, but after half a minute the next who asks asks anew."""

    async def main() -> None:
        hanging, flight = Flight(), Flight()
        inner = Inner(hanging, flight)
        cache = Cache(inner)
        first = cache.resolve(query(deadline=inf))
        await asyncio.sleep(29)
        assert cache.resolve(query(deadline=inf)) is first
        await asyncio.sleep(2)
        second = cache.resolve(query(deadline=inf))
        assert len(inner.asked) == 2
        hanging.settle(PASS)
        assert await first is PASS
        assert cache.resolve(query(deadline=inf)) is second
        flight.settle(DROP)
        assert await second is DROP

    run(main())


def test_new_flight_after_the_last() -> None:
    """When a question is over, the next is a new one."""

    async def main() -> None:
        flights = [TimedFlight(), TimedFlight()]
        inner = Inner(*flights)
        cache = Cache(inner)
        cache.resolve(query())
        flights[0].settle(PASS)
        assert isinstance(cache.resolve(query()), Pending)
        assert len(inner.asked) == 2

    run(main())


def test_inner_sees_the_query() -> None:
    """The resolver is asked what was asked, with a deadline that leaves it time."""

    async def main() -> None:
        inner = Inner(answer())
        cache = Cache(inner)
        asked = query(cd=True)
        cache.resolve(asked)
        cache.resolve(query("b.test", do=True, deadline=now()))
        assert inner.asked[0] is asked
        assert (inner.asked[1].name, inner.asked[1].do) == ("b.test", True)
        assert inner.asked[1].deadline == 4.0

    run(main())


# Records whose time is over


def test_stale_after_failure() -> None:
    """While the resolver fails, known records are shown after their time: with TTL 30, and a note."""

    async def main() -> None:
        cache = Cache(Inner(answer(ttl=10), Failure()), stale=1000)
        cache.resolve(query())
        await asyncio.sleep(20)
        outcome = cache.resolve(query())
        assert values(outcome) == ["192.0.2.1"]
        assert (ttls(outcome), outcome.ede) == ([30], EDE(EDECode.STALE_ANSWER))
        assert outcome.until == 21.0

    run(main())


def test_stale_nxdomain() -> None:
    """That a name did not exist is said with a note of its own."""

    async def main() -> None:
        cache = Cache(Inner(NXDomain(SOA), Failure()), stale=1000, stale_ttl=7)
        cache.resolve(query())
        await asyncio.sleep(70)
        outcome = cache.resolve(query(qtype="AAAA"))
        assert isinstance(outcome, NXDomain)
        assert (ttls(outcome), outcome.ede) == ([7], EDE(EDECode.STALE_NXDOMAIN))

    run(main())


def test_not_stale_as_a_rule() -> None:
    """Unless it is wished, nothing is shown after its time."""

    async def main() -> None:
        cache = Cache(Inner(answer(ttl=10), Failure()))
        cache.resolve(query())
        await asyncio.sleep(20)
        assert isinstance(cache.resolve(query()), Failure)

    run(main())


def test_too_stale() -> None:
    """Records are not shown later than was wished."""

    async def main() -> None:
        cache = Cache(Inner(answer(ttl=10), Failure()), stale=100)
        cache.resolve(query())
        await asyncio.sleep(110)
        assert isinstance(cache.resolve(query()), Failure)

    run(main())


def test_recheck() -> None:
    """While the resolver fails it is asked each half minute, and its answer is shown when there is one."""

    async def main() -> None:
        inner = Inner(answer(ttl=10), Failure())
        cache = Cache(inner, stale=1000)
        cache.resolve(query())
        await asyncio.sleep(10)
        times = await spared(cache, inner, 70)
        assert times == [10.0, 41.0, 72.0]
        inner.outcomes = [answer("192.0.2.2")]
        await asyncio.sleep(31)
        assert values(cache.resolve(query())) == ["192.0.2.2"]

    run(main())


def test_stale_after_patience() -> None:
    """Who has waited for 1.8 seconds is shown old records, and so is who comes later; then what is new."""

    async def main() -> None:
        flight = TimedFlight()
        inner = Inner(answer(ttl=10), flight)
        cache = Cache(inner, stale=1000)
        cache.resolve(query())
        await asyncio.sleep(20)
        outcome = await cache.resolve(query())
        assert outcome.ede == EDE(EDECode.STALE_ANSWER)
        assert 21.8 <= now() <= 21.9
        assert cache.resolve(query()) is outcome
        assert cache.stats.stale == 2
        flight.settle(Answer.of(inner.asked[1], "192.0.2.2"))
        assert values(cache.resolve(query())) == ["192.0.2.2"]
        assert len(inner.asked) == 2

    run(main())


def test_stale_no_longer_than_allowed() -> None:
    """Who comes when old records are not to be shown any more asks anew, whatever is under way."""

    async def main() -> None:
        inner = Inner(answer(ttl=10), TimedFlight(), answer("192.0.2.3"))
        cache = Cache(inner, stale=5)
        cache.resolve(query())
        await asyncio.sleep(12)
        assert (await cache.resolve(query())).ede == EDE(EDECode.STALE_ANSWER)
        await asyncio.sleep(3)
        assert values(cache.resolve(query())) == ["192.0.2.3"]

    run(main())


def test_failure_after_patience() -> None:
    """A failure after old records were shown is noted, and they are shown on."""

    async def main() -> None:
        inner = Inner(answer(ttl=10), Flight())
        cache = Cache(inner, stale=1000)
        cache.resolve(query())
        await asyncio.sleep(20)
        await cache.resolve(query())
        await asyncio.sleep(5)
        assert cache.stats.stale == 1
        assert cache.resolve(query()).ede == EDE(EDECode.STALE_ANSWER)
        assert len(inner.asked) == 2

    run(main())


def test_answer_before_patience() -> None:
    """An answer in time is shown in place of old records."""

    async def main() -> None:
        flight = TimedFlight()
        inner = Inner(answer(ttl=10), flight)
        cache = Cache(inner, stale=1000)
        cache.resolve(query())
        await asyncio.sleep(20)
        waiting = cache.resolve(query())
        await asyncio.sleep(1)
        flight.settle(Answer.of(inner.asked[1], "192.0.2.2"))
        assert values(await waiting) == ["192.0.2.2"]
        await asyncio.sleep(5)
        assert cache.stats.stale == 0

    run(main())


def test_old_records_are_gone() -> None:
    """Who waits goes on waiting where the old records were forgotten meanwhile."""

    async def main() -> None:
        flight = TimedFlight()
        inner = Inner(answer(ttl=10), flight)
        cache = Cache(inner, stale=1000)
        cache.resolve(query())
        await asyncio.sleep(20)
        waiting = cache.resolve(query())
        cache.flush()
        await asyncio.sleep(3)
        flight.settle(Answer.of(inner.asked[1], "192.0.2.2"))
        assert values(await waiting) == ["192.0.2.2"]

    run(main())


def test_new_records_meanwhile() -> None:
    """Who has waited long enough is shown new records if somebody has found those meanwhile."""

    async def main() -> None:
        inner = Inner(answer(ttl=10), answer(ttl=10), TimedFlight(), answer("192.0.2.2"))
        cache = Cache(inner, stale=1000)
        cache.resolve(query("b.test"))
        cache.resolve(query())
        await asyncio.sleep(20)
        waiting = cache.resolve(query())
        cache.flush("b.test")
        cache.resolve(query())
        outcome = await waiting
        assert values(outcome) == ["192.0.2.2"]
        assert outcome.ede is None

    run(main())


def test_pass_is_no_failure() -> None:
    """A resolver that passes has not failed: nothing old is shown, and it is asked again."""

    async def main() -> None:
        inner = Inner(answer(ttl=10), PASS)
        cache = Cache(inner, stale=1000)
        cache.resolve(query())
        await asyncio.sleep(20)
        assert cache.resolve(query()) is PASS
        assert cache.resolve(query()) is PASS

    run(main())


# Prefetch


async def hit(cache: Cache, *times: float) -> list[int]:
    """Ask at some loop times, and give the TTLs."""
    shown = []
    for each in times:
        await asyncio.sleep(each - now())
        shown += ttls(cache.resolve(query()))
    return shown


def test_prefetch() -> None:
    """What was asked for twice is asked for again when a tenth of its time is left, and nobody waits."""

    async def main() -> None:
        inner = Inner(answer(ttl=100))
        cache = Cache(inner)
        assert await hit(cache, 0, 50, 89) == [100, 50, 11]
        assert len(inner.asked) == 1
        assert await hit(cache, 90, 91) == [10, 99]
        assert len(inner.asked) == 2
        assert cache.stats.prefetched == 1

    run(main())


def test_no_prefetch_of_what_is_rare() -> None:
    """What was asked for once only is not asked for again before its time is over."""

    async def main() -> None:
        inner = Inner(answer(ttl=100))
        assert await hit(Cache(inner), 0, 95) == [100, 5]
        assert len(inner.asked) == 1

    run(main())


def test_no_prefetch_if_not_wished() -> None:
    """Prefetch can be switched off."""

    async def main() -> None:
        inner = Inner(answer(ttl=100))
        assert await hit(Cache(inner, prefetch=False), 0, 50, 95) == [100, 50, 5]
        assert len(inner.asked) == 1

    run(main())


def test_no_prefetch_of_failures() -> None:
    """A failure is not asked about before its time is over."""

    async def main() -> None:
        inner = Inner(Failure())
        cache = Cache(inner, failure_ttl=100, max_failure_ttl=100)
        await hit(cache, 0, 50, 95, 96)
        assert len(inner.asked) == 1

    run(main())


def test_one_prefetch() -> None:
    """While an entry is being asked for, it is not asked for again."""

    async def main() -> None:
        flight = TimedFlight()
        inner = Inner(answer(ttl=100), flight)
        cache = Cache(inner)
        assert await hit(cache, 0, 50, 91, 92, 93) == [100, 50, 9, 8, 7]
        assert len(inner.asked) == 2
        flight.settle(Answer.of(inner.asked[1], "192.0.2.1", ttl=100))
        assert await hit(cache, 94) == [99]

    run(main())


@pytest.mark.parametrize("outcome", [Failure(), PASS])
def test_prefetch_that_fails(outcome: Outcome) -> None:
    """If it gives nothing, what is known holds for its time, and half a minute passes before the next."""

    async def main() -> None:
        inner = Inner(answer(ttl=1000), outcome)
        cache = Cache(inner)
        assert await hit(cache, 0, 50, 900, 901, 930) == [1000, 950, 100, 99, 70]
        assert len(inner.asked) == 2
        await hit(cache, 931)
        assert len(inner.asked) == 3

    run(main())


# Management


def test_flush() -> None:
    """Everything can be forgotten, and a server that remembers replies sees that it was."""

    async def main() -> None:
        inner = Inner(answer())
        cache = Cache(inner)
        cache.resolve(query())
        version = cache.version
        assert cache.flush() == 1
        assert cache.version != version
        cache.resolve(query())
        assert len(inner.asked) == 2

    run(main())


def test_flush_name() -> None:
    """A name and all below it can be forgotten, in any case and also within its second."""

    async def main() -> None:
        inner = Inner(answer())
        cache = Cache(inner)
        names = ["a.test", "b.a.test", "ba.test"]
        for each in names:
            cache.resolve(query(each))
        assert cache.flush("A.Test") == 2
        del inner.asked[:]
        for each in names:
            cache.resolve(query(each))
        assert [each.name for each in inner.asked] == ["a.test", "b.a.test"]

    run(main())


def test_flush_no_name() -> None:
    """What is no name is an error, and nothing is forgotten."""

    async def main() -> None:
        cache = Cache(Inner(answer()))
        cache.resolve(query())
        with pytest.raises(DomainNameError):
            cache.flush("a..test")
        assert len(cache) == 1

    run(main())


def test_flush_during_a_flight() -> None:
    """What was asked before a flush is given to those who wait, and not kept; later ones ask anew."""

    async def main() -> None:
        flights = [TimedFlight(), TimedFlight(), TimedFlight()]
        inner = Inner(*flights)
        cache = Cache(inner)
        first = cache.resolve(query())
        passed = cache.resolve(query("b.test"))
        cache.flush()
        second = cache.resolve(query())
        assert second is not first
        flights[0].settle(Answer.of(inner.asked[0], "192.0.2.1").replace(until=inf))
        flights[1].settle(PASS)
        assert values(await first) == ["192.0.2.1"]
        assert (await first).until == -inf
        assert await passed is PASS
        assert len(cache) == 0
        assert cache.resolve(query()) is second

    run(main())


def test_version_stays() -> None:
    """Nothing but a flush makes a server forget its replies."""

    async def main() -> None:
        cache = Cache(Inner(answer()))
        before = cache.version
        cache.resolve(query())
        assert cache.version == before is not None

    run(main())


def test_stats() -> None:
    """What happened is counted."""

    async def main() -> None:
        inner = Inner(answer(ttl=10), NXDomain(SOA), NoData(SOA), Failure())
        cache = Cache(inner, stale=1000, prefetch=False)
        for name in ("a.test", "no.test", "none.test"):
            for _ in range(3):
                cache.resolve(query(name))
        await asyncio.sleep(20)
        cache.resolve(query())
        cache.resolve(query())
        cache.resolve(query("no.test"))
        stats = cache.stats
        assert stats == CacheStats(
            hits=7,
            misses=4,
            negative=5,
            stale=2,
            prefetched=0,
            evicted=0,
            bytes=stats.bytes,
            entries=3,
        )
        assert 400 < stats.bytes < 900

    run(main())


def test_bounded() -> None:
    """However much is asked, a cache stays within its bytes, and what it says of a second too."""

    async def main() -> None:
        cache = Cache(Inner(answer()), max_bytes=100_000)
        for i in range(2000):
            cache.resolve(query(f"n{i}.test"))
        stats = cache.stats
        assert 80_000 < stats.bytes <= 100_000
        assert stats.evicted == 2000 - len(cache)
        assert len(cache._hot) < 20

    run(main())


def test_empty_cache_is_true() -> None:
    """A cache is one, also if nothing is in it."""
    cache = Cache(Inner(PASS))
    assert len(cache) == 0
    assert cache


def test_repr() -> None:
    """A cache shows what it is a cache of."""
    assert repr(Cache(Chain())) == "<Cache of Chain(), 0 entries>"


def test_close() -> None:
    """Closing ends the questions under way and closes the resolver; what is known stays, and it works on."""

    async def main() -> None:
        flights = [Flight(), TimedFlight(), Flight()]
        inner = Inner(answer(), *flights[:2], answer())
        cache = Cache(inner)
        cache.resolve(query())
        waiting = [cache.resolve(query(each)) for each in ("b.test", "c.test")]
        await cache.aclose()
        assert [(await each).rcode for each in waiting] == [Rcode.SERVFAIL] * 2
        assert [each.abandoned for each in flights[:2]] == [True, True]
        assert inner.closed == 1
        flights[0].settle(PASS)
        assert isinstance(cache.resolve(query()), Answer)
        assert isinstance(cache.resolve(query("b.test")), Answer)

    run(main())


def test_close_after_flush() -> None:
    """Closing ends those questions too that were asked before a flush."""

    async def main() -> None:
        cache = Cache(Inner(Flight()))
        waiting = cache.resolve(query())
        cache.flush()
        await cache.aclose()
        assert (await waiting).rcode == Rcode.SERVFAIL

    run(main())


WRONG = [
    Answer([Records(b"\1a\4test\0", Type.A, 60, cast("tuple[bytes]", ("text",)))]),
    Failure.of_body(b"", Body(b"", b""), ede=EDE(70_000)),
]


@pytest.mark.parametrize("outcome", WRONG)
def test_outcome_that_is_none(outcome: Outcome) -> None:
    """An outcome that cannot be kept fails the question at once, for all who wait."""

    async def main() -> None:
        async def wrong(_: Query) -> Outcome:
            await asyncio.sleep(0.1)
            return outcome

        cache = Cache(Inner(wrong))
        both = await asyncio.gather(*(ask(cache, query()) for _ in "ab"))
        assert [each.rcode for each in both] == [Rcode.SERVFAIL] * 2
        assert now() == 0.1

    run(main())


def test_outcome_that_is_none_after_another() -> None:
    """An outcome that cannot be kept does not take the place of one that is known."""

    async def main() -> None:
        inner = Inner(answer(ttl=30))
        cache = Cache(inner, stale=600)
        await cache.resolve(query())
        await asyncio.sleep(40)
        inner.outcomes = [WRONG[0]]
        assert values(cache.resolve(query())) == ["192.0.2.1"]

    run(main())


def test_two_loops() -> None:
    """A cache that is asked by another loop while something is under way says so, and nobody waits."""
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    flight, cache = Flight(), Cache(Inner(Flight()))
    cache._resolver = Inner(flight)

    async def begin(name: str) -> Outcome:
        return cache.resolve(Query.make(name, "A"))

    waiting = first.run_until_complete(asyncio.wait_for(_kept(begin("a.test")), 5))
    for name in ("a.test", "b.test"):
        with pytest.raises(RuntimeError, match=r"in use on another loop: aclose\(\) ends that"):
            second.run_until_complete(begin(name))
    assert waiting
    first.close()
    second.run_until_complete(_kept(begin("a.test")))
    second.run_until_complete(cache.aclose())
    second.close()


async def _kept(begun: Awaitable[Outcome]) -> list[Outcome]:
    """Give an outcome that is not awaited."""
    return [await begun]


def test_another_loop() -> None:
    """What was learned under another loop's clock is not believed under one that is behind it."""
    cache = Cache(Inner(answer()))

    async def later() -> None:
        await asyncio.sleep(1000)
        cache.resolve(query())
        await cache.aclose()

    async def main() -> None:
        assert ttls(cache.resolve(query())) == [60]
        assert cache.stats.hits == 0

    run(later())
    run(main())


def test_clock_read_a_moment_later() -> None:
    """Who read the clock before a second began gets no outcome of that second into the hands of others."""

    async def main() -> None:
        cache = Cache(Inner(answer()))
        await asyncio.sleep(0.99)
        cache.resolve(query("b.test"))
        early = query()
        await asyncio.sleep(0.02)
        cache.resolve(query("b.test"))
        assert cache.resolve(early).until == 1.0
        assert cache.resolve(query()).until == 2.0

    run(main())
