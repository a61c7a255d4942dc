"""The server without its sockets."""

from __future__ import annotations

import asyncio
import logging
from math import inf
from typing import TYPE_CHECKING, Any

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints.dns import clients, memo
from asyncendpoints.dns.chain import Chain, View
from asyncendpoints.dns.codes import Rcode
from asyncendpoints.dns.guards import Allow, Drop, Guard, Refuse
from asyncendpoints.dns.late_reply import Reply
from asyncendpoints.dns.memo import Memo
from asyncendpoints.dns.names import encode_name
from asyncendpoints.dns.outcome import DROP, PASS, TRUNCATED, Answer, Failure, NoData, NXDomain
from asyncendpoints.dns.records import Records, Type
from asyncendpoints.dns.resolver import LATE, Pending
from asyncendpoints.dns.responder import Responder
from asyncendpoints.dns.wire import WireQuery, decode_query
from tests.clock import run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncendpoints.dns.outcome import Outcome
    from asyncendpoints.dns.query import Query

LOOPBACK = "127.0.0.1"
STRANGER = "203.0.113.9"


class Says:
    """A resolver that gives one outcome and writes down what it was asked."""

    version: object = 1
    recursive = False

    def __init__(self, outcome: Outcome | Callable[[Query], Awaitable[Outcome]]) -> None:
        self.outcome = outcome
        self.asked: list[Query] = []

    def resolve(self, query: Query, /) -> Awaitable[Outcome]:
        self.asked.append(query)
        return self.outcome(query) if callable(self.outcome) else self.outcome


class Recursive(Says):
    """One that finds out from others."""

    recursive = True


def address(query: Query) -> Outcome:
    """Answer with an address, to be remembered while the version stays."""
    return Answer.of(query, "192.0.2.1").replace(until=inf)


def question(
    name: str = "a.test", rtype: str = "A", *, edns: int | None = None, **changes: int
) -> bytes:
    """Write a query."""
    message = dns.message.make_query(name, rtype, use_edns=-1 if edns is None else edns)
    message.id = 0x1234
    for key, value in changes.items():
        setattr(message, key, value)
    return message.to_wire()


def answer(
    server: Responder, packet: bytes, host: str | None = LOOPBACK, *, over: str = "udp"
) -> bytes | Reply | None:
    """Give a server a query."""
    client = None if host is None else (host, 5353)
    source = server.source(client, ("127.0.0.1", 53), 2, over)  # type: ignore[arg-type]
    return server.respond(packet, source)


def said(
    server: Responder, packet: bytes, host: str | None = LOOPBACK, *, over: str = "udp"
) -> dns.message.Message:
    """Give a server a query that is answered at once, and read its reply."""
    reply = answer(server, packet, host, over=over)
    assert isinstance(reply, bytes)
    return dns.message.from_wire(reply)


def test_answers() -> None:
    """A reply has the identifier of the query, QR and what the resolver said."""
    reply = said(Responder(Says(address)), question())
    assert reply.id == 0x1234
    assert dns.flags.to_text(reply.flags) == "QR AA RD"
    assert reply.answer[0].to_text() == "a.test. 60 IN A 192.0.2.1"


@pytest.mark.parametrize("packet", [b"", b"\0" * 11, question()[:2] + b"\x80" + question()[3:]])
def test_says_nothing_to_what_is_no_query(packet: bytes) -> None:
    """What is too short, or a reply, gets nothing and is counted as ignored."""
    server = Responder(Says(address))
    assert answer(server, packet) is None
    assert server.counters.ignored == 1


def test_rejects_an_unknown_opcode() -> None:
    """A query of another opcode gets NOTIMP with a header alone, and nobody is asked."""
    resolver = Says(address)
    packet = bytearray(question())
    packet[2] |= 6 << 3
    server = Responder(resolver)
    reply = answer(server, bytes(packet))
    assert isinstance(reply, bytes)
    assert len(reply) == 12
    assert (reply[2] >> 3 & 15, reply[3] & 15) == (6, Rcode.NOTIMP)
    assert not resolver.asked
    assert server.counters.rejected == 1


@pytest.mark.parametrize("rdclass", ["CH", "HS", "NONE", "ANY", "CLASS77"])
def test_refuses_other_classes(rdclass: str) -> None:
    """Only class IN reaches a resolver: others are refused."""
    resolver = Says(address)
    message = dns.message.make_query("version.bind", "TXT", rdclass)
    assert said(Responder(resolver), message.to_wire()).rcode() == dns.rcode.REFUSED
    assert not resolver.asked


@pytest.mark.parametrize(
    ("rtype", "rcode"),
    [
        ("AXFR", "REFUSED"),
        ("IXFR", "REFUSED"),
        ("MAILA", "NOTIMP"),
        ("MAILB", "NOTIMP"),
        ("TKEY", "FORMERR"),
        ("TSIG", "FORMERR"),
    ],
)
def test_answers_for_types_that_are_no_data(rtype: str, rcode: str) -> None:
    """Types that stand for no data never reach a resolver."""
    resolver = Says(address)
    message = dns.message.Message(id=1)
    message.find_rrset(
        message.question,
        dns.name.from_text("a.test"),
        dns.rdataclass.IN,
        dns.rdatatype.from_text(rtype),
        create=True,
        force_unique=True,
    )
    assert said(Responder(resolver), message.to_wire()).rcode() == dns.rcode.from_text(rcode)
    assert not resolver.asked


@pytest.mark.parametrize("rtype", ["TYPE65280", "TYPE256", "CAA"])
def test_other_types_reach_the_resolver(rtype: str) -> None:
    """Every type that stands for data is the resolver's, also with a number above the types that do not."""
    resolver = Says(NoData())
    assert said(Responder(resolver), question(rtype=rtype)).rcode() == dns.rcode.NOERROR
    assert resolver.asked[0].qtype == dns.rdatatype.from_text(rtype)


def test_any_gets_one_record() -> None:
    """ANY for a name that exists gets a HINFO record that names the RFC."""
    reply = said(Responder(Says(NoData())), question(rtype="ANY"))
    assert [each.to_text() for each in reply.answer] == ['a.test. 3600 IN HINFO "RFC8482" ""']


@pytest.mark.parametrize("kind", [Answer, NoData, NXDomain])
def test_any_gets_an_alias_alone(kind: type[Answer | NoData | NXDomain]) -> None:
    """ANY for an alias gets what makes it one, with nothing beside it and nothing of what it leads to."""
    links = (
        Records(encode_name("test"), Type.DNAME, 60, (encode_name("example"),)),
        Records(encode_name("A.test"), Type.CNAME, 60, (encode_name("a.example"),)),
        Records(encode_name("a.example"), Type.CNAME, 60, (encode_name("c.example"),)),
    )
    reply = said(Responder(Says(kind(answer=links))), question(rtype="ANY"))
    assert reply.rcode() == dns.rcode.NOERROR
    assert [each.to_text() for each in reply.answer] == [
        "test. 60 IN DNAME example.",
        "a.test. 60 IN CNAME a.example.",
    ]


def test_any_for_what_is_not_there() -> None:
    """ANY for a name that does not exist, or cannot be found out, is answered like any other type."""
    for outcome in (NXDomain(), Failure()):
        reply = said(Responder(Says(outcome)), question(rtype="ANY"))
        assert (reply.rcode(), reply.answer) == (outcome.rcode, [])


def test_any_gets_a_record_that_is_there() -> None:
    """ANY gets the HINFO record that the name has."""
    resolver = Says(lambda query: Answer.of(query, '"CPU" "OS"'))
    reply = said(Responder(resolver), question(rtype="ANY"))
    assert [each.to_text() for each in reply.answer] == ['a.test. 60 IN HINFO "CPU" "OS"']


def test_any_for_no_name() -> None:
    """ANY for a name that does not exist is NXDOMAIN."""
    reply = said(Responder(Says(NXDomain())), question(rtype="ANY"))
    assert reply.rcode() == dns.rcode.NXDOMAIN


def test_drop_gets_nothing() -> None:
    """A resolver that says DROP has the client get nothing."""
    server = Responder(Says(DROP))
    assert answer(server, question()) is None
    assert server.counters.dropped == 1


def test_truncated_gets_tc() -> None:
    """A resolver that says TRUNCATED has the client get TC and no records."""
    reply = said(Responder(Says(TRUNCATED)), question())
    assert reply.flags & dns.flags.TC
    assert not reply.answer


def big(query: Query) -> Outcome:
    """Answer with more than a datagram without EDNS holds."""
    return Answer.of(query, *(f"192.0.2.{n}" for n in range(100)))


def test_datagrams_have_a_limit() -> None:
    """Over UDP a client without EDNS gets at most 512 bytes, here TC."""
    assert said(Responder(Says(big)), question()).flags & dns.flags.TC


def test_streams_have_no_limit() -> None:
    """Over a stream everything has room."""
    reply = said(Responder(Says(big)), question(), over="tcp")
    assert len(reply.answer[0]) == 100


def test_payload_is_the_lower_one() -> None:
    """With EDNS a datagram has at most what the client and what the server take."""
    huge = dns.message.make_query("a.test", "A", use_edns=0, payload=4096).to_wire()
    assert said(Responder(Says(big), payload=1232), huge).flags & dns.flags.TC
    assert len(said(Responder(Says(big), payload=4096), huge).answer[0]) == 100


# Recursion


def test_offers_recursion_to_neighbours() -> None:
    """A client on a private network may have recursion, and RA says so."""
    resolver = Recursive(address)
    assert said(Responder(resolver), question(), "10.1.2.3").flags & dns.flags.RA
    assert resolver.asked[0].recursion


def test_offers_no_recursion_to_strangers() -> None:
    """A client from elsewhere may not, and RA says so."""
    resolver = Recursive(address)
    assert not said(Responder(resolver), question(), STRANGER).flags & dns.flags.RA
    assert not resolver.asked[0].recursion


def test_recursion_has_to_be_asked_for() -> None:
    """Without RD there is no recursion."""
    resolver = Recursive(address)
    said(Responder(resolver), question(flags=0))
    assert not resolver.asked[0].recursion


def test_offers_no_recursion_without_a_resolver_for_it() -> None:
    """Where no resolver finds out from others, RA is not set and nothing is promised."""
    reply = said(Responder(Says(PASS)), question())
    assert not reply.flags & dns.flags.RA
    assert reply.rcode() == dns.rcode.REFUSED


def test_a_unix_client_is_a_neighbour() -> None:
    """A client without an address is one of this machine."""
    resolver = Recursive(address)
    assert said(Responder(resolver), question(), None, over="unix").flags & dns.flags.RA


def test_recursion_promised_and_not_kept() -> None:
    """Where recursion was promised and every resolver passes, the reply is SERVFAIL."""
    server = Responder(Recursive(PASS))
    assert said(server, question()).rcode() == dns.rcode.SERVFAIL
    assert server.counters.failed == 1


# Guards


def test_refused_by_address() -> None:
    """A client that a list refuses gets REFUSED with the reason, and nobody is asked."""
    resolver = Says(address)
    server = Responder(resolver, guards=[Refuse("203.0.113.0/24")])
    reply = said(server, question(edns=0), STRANGER)
    assert reply.rcode() == dns.rcode.REFUSED
    assert reply.options[0] == dns.edns.EDEOption(dns.edns.EDECode.PROHIBITED)
    assert not resolver.asked
    assert server.counters.refused == 1


def test_dropped_by_address() -> None:
    """A client that a list drops gets nothing."""
    server = Responder(Says(address), guards=[Drop("203.0.113.0/24")])
    assert answer(server, question(), STRANGER) is None
    assert answer(server, question()) is not None


def test_drops_what_is_malformed_too() -> None:
    """A client that a list drops gets nothing for a malformed query either."""
    server = Responder(Says(address), guards=[Drop(STRANGER)])
    assert answer(server, question()[:-1], STRANGER) is None
    assert server.counters.dropped == 1


def test_the_first_verdict_counts() -> None:
    """Of several lists the first that knows the client decides."""
    server = Responder(Says(address), guards=[Refuse(STRANGER), Allow(LOOPBACK, otherwise=DROP)])
    assert said(server, question(), STRANGER).rcode() == dns.rcode.REFUSED
    assert answer(server, question(), "198.51.100.1") is None


class Watch(Guard):
    """A guard that answers for one name and marks what others get."""

    def before(self, query: Query, /) -> Outcome | None:
        return NXDomain() if query.name == "blocked.test" else None

    def after(self, query: Query, outcome: Outcome, /) -> Outcome:
        return Failure(Rcode.NOTIMP) if query.name == "other.test" else outcome


def test_a_guard_answers_first() -> None:
    """What a guard says before the resolver is asked counts."""
    resolver = Says(address)
    server = Responder(resolver, guards=[Watch()])
    assert said(server, question("blocked.test")).rcode() == dns.rcode.NXDOMAIN
    assert not resolver.asked


def test_a_guard_answers_last() -> None:
    """What a guard makes of the outcome counts."""
    server = Responder(Says(address), guards=[Watch()])
    assert said(server, question("other.test")).rcode() == dns.rcode.NOTIMP
    assert said(server, question("a.test")).rcode() == dns.rcode.NOERROR


class Broken(Guard):
    """A guard that raises."""

    def __init__(self, where: str) -> None:
        self.where = where

    def before(self, query: Query, /) -> Outcome | None:
        if self.where == "before":
            raise ZeroDivisionError
        return None

    def after(self, query: Query, outcome: Outcome, /) -> Outcome:
        raise ZeroDivisionError


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_guard_that_raises(where: str, caplog: pytest.LogCaptureFixture) -> None:
    """A guard that raises gives SERVFAIL, and the log has it once."""
    server = Responder(Says(address), guards=[Broken(where)])
    assert said(server, question()).rcode() == dns.rcode.SERVFAIL
    assert said(server, question()).rcode() == dns.rcode.SERVFAIL
    assert server.counters.errors == 2
    assert len(caplog.records) == 1


class Odd(Guard):
    """A guard that gives what it was told to."""

    def __init__(self, **given: Any) -> None:
        self.given = given

    def before(self, query: Query, /) -> Outcome | None:
        return self.given.get("before")

    def after(self, query: Query, outcome: Outcome, /) -> Outcome:
        return self.given.get("after", outcome)  # type: ignore[no-any-return]  # whatever it is


class OddList:
    """An address guard that gives, or raises, what it was told to."""

    def __init__(self, *given: Any) -> None:
        self.given = list(given)

    def verdict(self, host: str | None, /) -> Any:
        result = self.given.pop(0)
        if isinstance(result, Exception):
            raise result
        return result


async def never() -> None:
    """Do nothing, which is not asked for."""


@pytest.mark.parametrize(
    ("guard", "name"),
    [
        (lambda: Odd(before=True), "Odd.before()"),
        (lambda: Odd(before=never()), "Odd.before()"),
        (lambda: Odd(after=None), "Odd.after()"),
        (lambda: Odd(after=Pending()), "Odd.after()"),
        (lambda: OddList(True), "OddList.verdict()"),
        (lambda: OddList(Pending()), "OddList.verdict()"),
    ],
)
def test_a_guard_that_gives_no_outcome(
    guard: Callable[[], Any], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What is no outcome is SERVFAIL, and the log says whose it is."""
    server = Responder(Says(address), guards=[guard()])
    assert said(server, question()).rcode() == dns.rcode.SERVFAIL
    assert f"{name} gives an outcome" in caplog.text


def test_an_address_guard_that_raises() -> None:
    """While a guard cannot judge a client it gets SERVFAIL, and is judged again."""
    server = Responder(Says(address), guards=[OddList(ZeroDivisionError(), None)])
    assert said(server, question()).rcode() == dns.rcode.SERVFAIL
    assert said(server, question()).rcode() == dns.rcode.NOERROR
    assert server.counters.errors == 1


def test_verdicts_are_forgotten_with_their_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many verdicts a guard makes, no more is kept than there are clients."""
    monkeypatch.setattr(clients, "_MOST_CLIENTS", 2)
    server = Responder(Says(address), guards=[OddList(*(Failure() for _ in range(9)))])
    for number in range(9):
        said(server, question(), f"10.0.0.{number}")
    assert len(server.clients) <= 2


# Replies that come later


async def test_answers_later() -> None:
    """The reply of a resolver that takes its time comes through the callback."""
    ready = asyncio.Event()

    async def resolve(query: Query) -> Outcome:
        await ready.wait()
        return Answer.of(query, "192.0.2.1")

    server = Responder(Says(resolve))
    server.wake(asyncio.get_running_loop().time())
    reply = answer(server, question())
    assert isinstance(reply, Reply)
    assert server.waiting == 1
    got: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
    reply.then(lambda _, message: got.set_result(message))
    ready.set()
    message = await got
    assert message is not None
    assert dns.message.from_wire(message).answer
    assert server.waiting == 0


async def test_any_later() -> None:
    """ANY of a resolver that takes its time gets one record too."""

    async def resolve(query: Query) -> Outcome:
        await asyncio.sleep(0)
        return NoData()

    server = Responder(Says(resolve))
    server.wake(asyncio.get_running_loop().time())
    reply = answer(server, question(rtype="ANY"))
    assert isinstance(reply, Reply)
    got: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
    reply.then(lambda _, message: got.set_result(message))
    message = await got
    assert message is not None
    assert len(dns.message.from_wire(message).answer) == 1


async def test_guards_see_later_outcomes() -> None:
    """A guard's last word counts for outcomes that come later too."""

    async def resolve(query: Query) -> Outcome:
        await asyncio.sleep(0)
        return Answer.of(query, "192.0.2.1")

    server = Responder(Says(resolve), guards=[Watch()])
    server.wake(asyncio.get_running_loop().time())
    reply = answer(server, question("other.test"))
    assert isinstance(reply, Reply)
    got: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
    reply.then(lambda _, message: got.set_result(message))
    message = await got
    assert message is not None
    assert message[3] & 15 == Rcode.NOTIMP


class Timed(Pending):
    """An outcome that says that it comes by the deadline."""

    is_timed = True


class Watched(Pending):
    """An outcome that somebody has to watch over, which writes down that nobody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_abandoned = False

    def abandon(self) -> None:
        self.is_abandoned = True


def waiting(server: Responder, packet: bytes) -> list[bytes | None]:
    """Ask for what comes later, and give the list that the reply will be in."""
    reply = answer(server, packet)
    assert isinstance(reply, Reply)
    got: list[bytes | None] = []
    reply.then(lambda _, message: got.append(message))
    return got


def test_too_late() -> None:
    """What is not there in time is SERVFAIL, nobody waits for it any more, and it does not come after all."""

    async def main() -> None:
        pending = Watched()
        server = Responder(Says(pending), query_timeout=2.0)
        loop = asyncio.get_running_loop()
        server.wake(loop.time())
        got = waiting(server, question(edns=0))
        await asyncio.sleep(1.9)
        assert (got, pending.is_abandoned) == ([], False)
        await asyncio.sleep(0.2)
        pending.settle(NoData())
        assert pending.is_abandoned
        assert server.waiting == 0
        (message,) = got
        assert message is not None
        parsed = dns.message.from_wire(message)
        assert (parsed.rcode(), parsed.options) == (Rcode.SERVFAIL, options_of(LATE))

    run(main())


def options_of(failure: Failure) -> tuple[dns.edns.EDEOption]:
    """Give the EDNS options of a failure's reply."""
    assert failure.ede is not None
    return (dns.edns.EDEOption(dns.edns.EDECode(failure.ede.code), failure.ede.text),)


def test_in_time() -> None:
    """What came in time is not late when its time is over, and leaves no timer."""

    async def main() -> None:
        pendings = [Watched(), Watched(), Watched()]
        left = iter(pendings)
        server = Responder(Says(lambda _: next(left)), query_timeout=2.0)
        server.wake(asyncio.get_running_loop().time())
        first, second = waiting(server, question()), waiting(server, question())
        dropped = answer(server, question())
        assert isinstance(dropped, Reply)
        dropped.then(lambda *_: pytest.fail("called back"))
        pendings[0].settle(NoData())
        dropped.abandon()
        assert len(server.due()) == 1
        await asyncio.sleep(3)
        assert (len(first), len(second)) == (1, 1)
        assert [each.is_abandoned for each in pendings] == [False, True, True]

    run(main())


def test_each_has_its_own_time() -> None:
    """The time of a query begins with the wake-up in which it came."""

    async def main() -> None:
        server = Responder(Says(lambda _: Watched()), query_timeout=2.0)
        got = []
        for _ in range(2):
            server.wake(asyncio.get_running_loop().time())
            got.append(waiting(server, question()))
            await asyncio.sleep(1)
        await asyncio.sleep(0.5)
        assert [len(each) for each in got] == [1, 0]
        await asyncio.sleep(1)
        assert [len(each) for each in got] == [1, 1]

    run(main())


def test_watches_only_over_what_is_not_timed() -> None:
    """There is no timer for what promises to come by the deadline."""

    async def main() -> None:
        pending = Timed()
        server = Responder(Says(pending))
        server.wake(asyncio.get_running_loop().time())
        got = waiting(server, question())
        assert not server.due()
        pending.settle(NoData())
        assert len(got) == 1

    run(main())


def test_passes_later() -> None:
    """PASS that comes later is a refusal as one at once is."""

    async def main() -> None:
        pending = Timed()
        server = Responder(Says(pending))
        got = waiting(server, question())
        pending.settle(PASS)
        assert got[0] is not None
        assert dns.message.from_wire(got[0]).rcode() == Rcode.REFUSED

    run(main())


@pytest.mark.parametrize("is_late", [False, True], ids=["at once", "later"])
def test_aliases_later(is_late: bool) -> None:
    """An alias is followed, whether it is there at once, and what it leads to, or later."""

    async def main() -> None:
        alias, target = Timed(), Timed()

        def resolve(query: Query) -> Outcome:
            if query.name == "b.test":
                return target
            return alias if is_late else Answer.cname(query, "b.test")

        resolver = Recursive(resolve)
        got = waiting(Responder(resolver), question())
        alias.settle(Answer.cname(resolver.asked[0], "b.test"))
        assert not got
        target.settle(Answer.of(resolver.asked[1], "192.0.2.9"))
        assert got[0] is not None
        assert [len(each) for each in dns.message.from_wire(got[0]).answer] == [1, 1]

    run(main())


async def test_abandoned() -> None:
    """A reply that nobody waits for any more ends the resolver's task, and is called back no more."""
    cancelled = asyncio.Event()

    async def resolve(query: Query) -> Outcome:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError  # pragma: no cover

    for guards in ([], [Guard()]):
        cancelled.clear()
        server = Responder(Says(resolve), guards=guards)
        server.wake(asyncio.get_running_loop().time())
        reply = answer(server, question())
        assert isinstance(reply, Reply)
        reply.then(lambda *_: pytest.fail("called back"))
        await asyncio.sleep(0)
        reply.abandon()
        reply.abandon()
        assert server.waiting == 0
        await cancelled.wait()


async def test_too_many_wait() -> None:
    """Above the limit of queries that wait, the next gets SERVFAIL at once."""

    async def resolve(query: Query) -> Outcome:
        await asyncio.Event().wait()
        raise AssertionError  # pragma: no cover

    server = Responder(Says(resolve), most_waiting=1)
    server.wake(asyncio.get_running_loop().time())
    first = answer(server, question())
    assert said(server, question()).rcode() == dns.rcode.SERVFAIL
    assert server.counters.overloaded == 1
    assert isinstance(first, Reply)
    first.then(lambda *_: None)
    first.abandon()


class Holding(Says):
    """A resolver of one outcome that is to come."""

    def __init__(self) -> None:
        self.pending = Pending()
        super().__init__(
            lambda query: self.pending if query.name == "slow.test" else address(query)
        )


def test_one_client_does_not_take_all() -> None:
    """A client as many of whose queries wait as may gets SERVFAIL without being asked for; others do not."""
    resolver = Holding()
    server = Responder(resolver, most_of_client=2)
    replies: list[bytes | None] = []

    async def main() -> None:
        server.wake(asyncio.get_running_loop().time())
        for host in (LOOPBACK, LOOPBACK, STRANGER, None):
            reply = answer(server, question("slow.test"), host)
            assert isinstance(reply, Reply)
            reply.then(lambda _, message: replies.append(message))
        count = len(resolver.asked)
        assert said(server, question("fast.test")).rcode() == dns.rcode.SERVFAIL
        assert (len(resolver.asked), server.counters.overloaded) == (count, 1)
        assert said(server, question("fast.test"), STRANGER).rcode() == dns.rcode.NOERROR
        resolver.pending.settle(NoData())
        assert said(server, question("next.test")).rcode() == dns.rcode.NOERROR

    run(main())
    assert len(replies) == 4
    assert server.waiting == 0


@pytest.mark.parametrize("guards", [(), (Guard(),)])
def test_who_gives_up_is_not_kept(guards: tuple[Guard, ...]) -> None:
    """What many wait for knows nothing of a client that has gone, or whose time is up."""
    resolver = Holding()
    server = Responder(resolver, guards=guards, query_timeout=1)

    async def main() -> None:
        server.wake(asyncio.get_running_loop().time())
        for _ in range(4):
            reply = answer(server, question("slow.test"))
            assert isinstance(reply, Reply)
            reply.then(lambda *_: None)
            if len(resolver.asked) % 2:
                reply.abandon()
        await asyncio.sleep(3)

    run(main())
    pending = resolver.pending
    assert (pending._callback, pending._others or {}) == (None, {})


async def test_who_gives_up_while_others_are_told() -> None:
    """A reply that is given up by who is told the same outcome first is not sent."""
    resolver = Holding()
    server = Responder(resolver)
    server.wake(asyncio.get_running_loop().time())
    replies: list[Reply] = []
    resolver.pending.then(lambda _: replies[0].abandon())
    reply = answer(server, question("slow.test"))
    assert isinstance(reply, Reply)
    replies.append(reply)
    reply.then(lambda *_: pytest.fail("called back"))
    resolver.pending.settle(NoData())
    assert server.waiting == 0


# What is remembered


def test_remembers() -> None:
    """A repeated question gets the reply that its like got, with its own identifier."""
    resolver = Says(address)
    server = Responder(resolver)
    said(server, question())
    assert said(server, b"\x43\x21" + question()[2:]).id == 0x4321
    assert len(resolver.asked) == 1
    assert server.counters.remembered == 1
    assert server.counters.received == 2


def test_remembers_for_each_transport() -> None:
    """What was cut for a datagram is not what a stream gets."""
    server = Responder(Says(lambda query: big(query).replace(until=inf)))  # type: ignore[attr-defined]
    assert said(server, question()).flags & dns.flags.TC
    assert not said(server, question(), over="tcp").flags & dns.flags.TC


def test_remembers_for_each_standing() -> None:
    """A client with another standing gets a reply of its own: RA differs."""
    server = Responder(Recursive(address))
    assert said(server, question()).flags & dns.flags.RA
    assert not said(server, question(), STRANGER).flags & dns.flags.RA


def test_forgets_with_the_version() -> None:
    """When the resolver's version changes, everything is forgotten at the next wake-up."""
    resolver = Says(address)
    server = Responder(resolver)
    said(server, question())
    resolver.version = 2
    server.wake(1.0)
    said(server, question())
    assert len(resolver.asked) == 2


def test_forgets_after_its_moment() -> None:
    """What holds until a time is forgotten at that time; what holds for ever stays."""
    resolver = Says(
        lambda query: Answer.of(query, "192.0.2.1").replace(until=5.0 if query.name == "a" else inf)
    )
    server = Responder(resolver)
    server.wake(4.0)
    for now, asked in ((4.5, 2), (5.0, 3)):
        said(server, question("a"))
        said(server, question("b"))
        server.wake(now)
        said(server, question("a"))
        said(server, question("b"))
        assert len(resolver.asked) == asked


@pytest.mark.parametrize("until", [-inf, 3.0])
def test_does_not_remember_what_holds_no_longer(until: float) -> None:
    """What nobody knows to hold, or what ends to hold at this very time, is asked for again."""
    resolver = Says(lambda query: Answer.of(query, "192.0.2.1").replace(until=until))
    server = Responder(resolver)
    server.wake(3.0)
    said(server, question())
    said(server, question())
    assert len(resolver.asked) == 2


def test_does_not_remember_without_a_version() -> None:
    """The outcomes of a resolver that declares no version may depend on anything."""
    resolver = Says(address)
    resolver.version = None
    server = Responder(resolver)
    said(server, question())
    server.wake(1.0)
    said(server, question())
    assert len(resolver.asked) == 2


def test_does_not_remember_behind_a_view() -> None:
    """What depends on who asks is not remembered, though the resolver behind it has a version."""
    resolver = Says(address)
    server = Responder(Chain(View(resolver, ["127.0.0.0/8"]), Says(address)))
    said(server, question())
    said(server, question())
    assert len(resolver.asked) == 2


def test_does_not_remember_with_a_guard() -> None:
    """A guard that looks at queries sees each of them."""
    resolver = Says(address)
    server = Responder(resolver, guards=[Guard()])
    said(server, question())
    said(server, question())
    assert len(resolver.asked) == 2


def test_does_not_remember_options() -> None:
    """A query with an EDNS option is answered each time: what is said to it may come to depend on that."""
    resolver = Says(address)
    server = Responder(resolver)
    option = dns.edns.GenericOption(dns.edns.OptionType.make(65001), b"x")
    packet = dns.message.make_query("a.test", "A", use_edns=0, options=[option]).to_wire()
    said(server, packet)
    said(server, packet)
    assert len(resolver.asked) == 2


def test_memo_has_two_generations(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the young generation is full it gets old; what is asked for again gets young, the rest goes."""
    monkeypatch.setattr(memo, "_MOST_REMEMBERED", 2)
    resolver = Says(address)
    server = Responder(resolver)
    for name in ("a", "b", "c"):
        said(server, question(name))
    said(server, question("a"))
    assert len(resolver.asked) == 3
    said(server, question("d"))
    said(server, question("a"))
    assert len(resolver.asked) == 4
    said(server, question("b"))
    assert len(resolver.asked) == 5


def test_memo_has_a_limit_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A generation is full when it has as many bytes as may be, too; what is large is not remembered."""
    monkeypatch.setattr(memo, "_MOST_REMEMBERED_BYTES", 2500)
    monkeypatch.setattr(memo, "_MOST_REPLY_BYTES", 1000)
    remembered = Memo()
    for number, size in enumerate((1001, 1000, 1000, 1000, 1000, 1000)):
        packet = question(f"{number}.test")
        reply = packet + bytes(size - len(packet))
        remembered.add(packet, reply, encode_name(f"{number}.test"), is_fleeting=False)
    assert (len(remembered.table), len(remembered.old)) == (2, 3)


def test_memo_does_not_make_the_fleeting_old() -> None:
    """What holds for a moment does not outlive it in the older generation."""
    remembered = Memo()
    remembered.add(question(), b"reply", encode_name("a.test"), is_fleeting=True)
    remembered.forget_fleeting()
    assert (remembered.table, remembered.recall(question())) == ({}, None)


@pytest.mark.parametrize("edns", [None, 0])
def test_remembers_whatever_the_case(edns: int | None) -> None:
    """A question that differs in the case of its letters is no other one, and gets its letters back."""
    resolver = Says(address)
    server = Responder(resolver)
    replies = [answer(server, question(name, edns=edns)) for name in ("wWw.A.test", "www.a.Test")]
    asked = encode_name("wWw.A.test"), encode_name("www.a.Test")
    first, second = replies
    assert isinstance(first, bytes)
    assert second == first.replace(*asked)
    assert (len(resolver.asked), server.counters.remembered) == (1, 1)


@pytest.mark.parametrize("edns", [None, 0])
def test_case_of_letters_in_the_name_alone(edns: int | None) -> None:
    """Two types whose numbers differ as a letter's cases do are two types."""
    resolver = Says(NoData(until=inf))
    server = Responder(resolver)
    for rtype in ("TYPE97", "TYPE65"):
        said(server, question(rtype=rtype, edns=edns))
    assert [each.qtype for each in resolver.asked] == [97, 65]


def test_case_of_what_was_asked_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    """The older generation gives its replies to every case too."""
    monkeypatch.setattr(memo, "_MOST_REMEMBERED", 1)
    resolver = Says(address)
    server = Responder(resolver)
    for name in ("a.test", "b.test", "A.test"):
        said(server, question(name))
    assert len(resolver.asked) == 2


@given(st.sets(st.integers(0, 60)), st.binary(max_size=1), st.booleans())
def test_memo_gives_nothing_to_other_bytes(flips: set[int], more: bytes, has_edns: bool) -> None:
    """What the memo gives a reply to is the question that it was made for, wherever bits are flipped."""
    packet = question("a-Z.tEst", edns=0 if has_edns else None)
    memo = Memo()
    memo.add(packet, packet, encode_name("a-z.test"), is_fleeting=False)
    other = bytes(byte ^ 0x20 * (i in flips) for i, byte in enumerate(packet)) + more
    reply = memo.recall(other)
    wire, asked = decode_query(other), decode_query(packet)
    assert isinstance(asked, WireQuery)
    if reply is not None:
        assert reply == other
        assert isinstance(wire, WireQuery)
        assert wire._replace(question=b"") == asked._replace(question=b"")


@pytest.mark.parametrize("size", [0, 11, 12, 16, 27])
def test_memo_and_bytes_that_are_too_few(size: int) -> None:
    """Of what is too short for a question there is no reply."""
    memo = Memo()
    memo.add(question(), question(), encode_name("a.test"), is_fleeting=False)
    assert memo.recall(question("abcdefg.test")[:size]) is None


def test_forgets_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more addresses of clients are kept than the limit says."""
    monkeypatch.setattr(clients, "_MOST_CLIENTS", 2)
    server = Responder(Says(address))
    for number in range(5):
        said(server, question(), f"10.0.0.{number}")
    assert len(server.clients) <= 2


# What goes wrong


def test_a_reply_that_cannot_be_written(caplog: pytest.LogCaptureFixture) -> None:
    """A resolver whose records cannot be written gives SERVFAIL, and the log has it once."""
    resolver = Says(Answer((Records(b"\x01a\x00", 1, -1, (b"",)),)))
    server = Responder(resolver)
    assert said(server, question()).rcode() == dns.rcode.SERVFAIL
    assert said(server, question()).rcode() == dns.rcode.SERVFAIL
    assert len(caplog.records) == 1
    assert server.counters.errors == 2


def test_nothing_gets_out(caplog: pytest.LogCaptureFixture) -> None:
    """An error of the server itself costs one client its reply, and no more."""
    server = Responder(Says(address))
    source = server.source((LOOPBACK, 1), None, 2, "udp")
    source.standing = None  # type: ignore[assignment]  # as nothing outside makes it
    with caplog.at_level(logging.ERROR):
        assert server.respond(question(), source) is None
    assert server.counters.errors == 1


class Log:
    """A query log that keeps what it is told."""

    def __init__(self) -> None:
        self.entries: list[tuple[object, ...]] = []

    def add(self, *entry: object) -> None:
        self.entries.append(entry)


def test_logs_every_query() -> None:
    """The log hears of each query, repeated ones too: client, transport, name, type, flags, code and size."""
    log = Log()
    server = Responder(Says(address), log=log)  # type: ignore[arg-type]
    said(server, question())
    reply = answer(server, question())
    assert isinstance(reply, bytes)
    assert len(log.entries) == 2
    *entry, seconds = log.entries[1]
    assert entry == [LOOPBACK, "udp", b"\x01a\x04test\x00", Type.A, 0x100, 0, len(reply)]
    assert isinstance(seconds, float)
    assert 0 <= seconds < 10


def test_logs_long_codes() -> None:
    """The log hears the whole of a code that has its upper bits in the OPT record."""
    log = Log()
    server = Responder(Says(address), log=log)  # type: ignore[arg-type]
    said(server, question(edns=1))
    assert log.entries[0][5] == Rcode.BADVERS


def test_logs_what_is_rejected() -> None:
    """The log hears of malformed queries, which have no name."""
    log = Log()
    server = Responder(Says(address), log=log)  # type: ignore[arg-type]
    said(server, question()[:-1], None, over="unix")
    assert log.entries[0][:6] == (None, "unix", b"\0", 0, 0, Rcode.FORMERR)
