"""Outcomes: what they hold, and what is made of them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from ipaddress import IPv4Address
from math import inf
from typing import TYPE_CHECKING

import dns.rrset
import pytest

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
from asyncendpoints.dns.records import Records, Type, encode_rdata
from asyncendpoints.dns.sections import Body, Sections, encode_body
from asyncendpoints.errors import RecordError, WireError

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints.dns.records import RData

QUERY = Query.make("WWW.a.test", "A")
WWW = QUERY.key


def one(owner: str, rtype: int, *values: str, ttl: int = 60) -> Records:
    """Make records."""
    return Records(
        encode_name(owner), rtype, ttl, tuple(encode_rdata(rtype, each) for each in values)
    )


ADDRESS = one("www.a.test", Type.A, "192.0.2.1")
CNAME = one("www.a.test", Type.CNAME, "b.test")
SOA = one("a.test", Type.SOA, "ns.a.test. root.a.test. 1 2 3 4 5")
NS = one("sub.a.test", Type.NS, "ns.sub.a.test")
GLUE = one("ns.sub.a.test", Type.A, "192.0.2.53")
BLOCKED = EDE(EDECode.BLOCKED, "by the house")


@pytest.mark.parametrize("outcome", [PASS, DROP, TRUNCATED, Answer([ADDRESS]), Failure()])
def test_outcomes_can_be_awaited(outcome: Outcome) -> None:
    """An outcome that is awaited gives itself, without a turn of the loop."""

    async def wait() -> Outcome:
        return await outcome

    with pytest.raises(StopIteration) as caught:
        wait().send(None)
    assert caught.value.value is outcome
    assert asyncio.run(wait()) is outcome


@pytest.mark.parametrize(
    ("signal", "name"), [(PASS, "PASS"), (DROP, "DROP"), (TRUNCATED, "TRUNCATED")]
)
def test_signals(signal: Outcome, name: str) -> None:
    """What has no records shows its name, and is not to be remembered."""
    assert repr(signal) == name
    assert (signal.rcode, signal.aa, signal.ad, signal.ede, signal.until) == (
        0,
        False,
        False,
        None,
        -inf,
    )


@pytest.mark.parametrize(
    ("outcome", "rcode", "aa", "sections"),
    [
        (Answer([ADDRESS]), 0, False, Sections((ADDRESS,))),
        (Answer([ADDRESS], [NS], [GLUE], aa=True), 0, True, Sections((ADDRESS,), (NS,), (GLUE,))),
        (NoData(), 0, True, Sections()),
        (NoData(SOA), 0, True, Sections((), (SOA,))),
        (NoData(SOA, aa=False), 0, False, Sections((), (SOA,))),
        (NXDomain(SOA, answer=[CNAME]), 3, True, Sections((CNAME,), (SOA,))),
        (Referral(NS, [GLUE]), 0, False, Sections((), (NS,), (GLUE,))),
        (Referral(NS), 0, False, Sections((), (NS,))),
        (Failure(), 2, False, Sections()),
        (Failure(Rcode.REFUSED, BLOCKED), 5, False, Sections()),
        (Response([ADDRESS], rcode=Rcode.YXDOMAIN), 6, False, Sections((ADDRESS,))),
    ],
)
def test_responses(outcome: Response, rcode: int, aa: bool, sections: Sections) -> None:
    """Each kind has its code, its standing and its records where they belong."""
    assert (outcome.rcode, outcome.aa, outcome.sections) == (rcode, aa, sections)
    assert (outcome.answer, outcome.authority, outcome.additional) == sections
    assert (outcome.body, outcome.key, outcome.target) == (None, b"", None)


@pytest.mark.parametrize(
    "outcome",
    [
        Answer([ADDRESS], ad=True, ede=BLOCKED, until=5.0),
        NoData(SOA, ad=True, ede=BLOCKED, until=5.0),
        Answer.of_body(WWW, encode_body(WWW, Sections()), ad=True, ede=BLOCKED, until=5.0),
    ],
)
def test_marks(outcome: Response) -> None:
    """The marks of an outcome are those that were given."""
    assert (outcome.ad, outcome.ede, outcome.until) == (True, BLOCKED, 5.0)


@pytest.mark.parametrize(
    ("answer", "target"),
    [
        ([], None),
        ([ADDRESS], None),
        ([CNAME], b"\1b\4test\0"),
        ([CNAME, one("b.test", Type.CNAME, "C.test")], b"\1C\4test\0"),
        ([CNAME, one("b.test", Type.A, "192.0.2.1")], None),
    ],
)
def test_target(answer: list[Records], target: bytes | None) -> None:
    """An answer that ends in a CNAME leads to its target."""
    assert Answer(answer).target == target


SECTIONS = Sections((ADDRESS,), (NS,), (GLUE,))


def test_of_body() -> None:
    """An outcome of bytes has the records that they stand for."""
    body = encode_body(WWW, SECTIONS)
    outcome = NXDomain.of_body(WWW, body, aa=True, target=b"\1b\0")
    assert (outcome.rcode, outcome.aa, outcome.body, outcome.key) == (3, True, body, WWW)
    assert (outcome.sections, outcome.target) == (SECTIONS, b"\1b\0")
    assert outcome.sections is outcome.sections


def test_code_of_body() -> None:
    """Its code is another where one is given."""
    assert Answer.of_body(WWW, encode_body(WWW, SECTIONS), rcode=Rcode.YXDOMAIN).rcode == 6


def test_rrsets() -> None:
    """The records of the answer are dnspython's where they are asked for."""
    rrset = dns.rrset.from_text("www.a.test.", 60, "IN", "A", "192.0.2.1")
    assert Answer([ADDRESS]).rrsets == (rrset,)
    assert Answer.of_rrsets([rrset, rrset], ede=BLOCKED).answer == (ADDRESS, ADDRESS)
    assert (Answer.of_rrsets([rrset]).aa, Answer.of_rrsets([rrset], aa=False).aa) == (True, False)


@pytest.mark.parametrize(
    ("values", "data"),
    [
        (("192.0.2.1",), (b"\xc0\0\2\1",)),
        ((IPv4Address("192.0.2.1"), "192.0.2.2"), (b"\xc0\0\2\1", b"\xc0\0\2\2")),
    ],
)
def test_answer_of(values: tuple[RData, ...], data: tuple[bytes, ...]) -> None:
    """An answer of values has the name and the type of the query."""
    outcome = Answer.of(QUERY, *values, ttl=7)
    assert outcome.answer == (Records(WWW, Type.A, 7, data),)
    assert (outcome.aa, outcome.ede, outcome.target) == (True, None, None)


def test_answer_of_another_type() -> None:
    """The type can be another, the authority another's, and more can be said."""
    outcome = Answer.of(QUERY, "text", type="TXT", aa=False, ede=BLOCKED)
    assert outcome.answer == (one("www.a.test", Type.TXT, "text"),)
    assert (outcome.aa, outcome.ede) == (False, BLOCKED)


@pytest.mark.parametrize("ttl", [0, 2**31 - 1])
def test_ttl(ttl: int) -> None:
    """A TTL has 31 bits."""
    assert Answer.of(QUERY, "192.0.2.1", ttl=ttl).answer[0].ttl == ttl


@pytest.mark.parametrize("ttl", [-1, 2**31])
def test_wrong_ttl(ttl: int) -> None:
    """Another TTL is refused, and so is an answer of nothing."""
    with pytest.raises(ValueError, match=f"ttl is {ttl}, expected seconds from 0 to 2147483647"):
        Answer.of(QUERY, "192.0.2.1", ttl=ttl)


def test_answer_of_nothing() -> None:
    """An answer without a record is refused, and the error says what to use."""
    with pytest.raises(ValueError, match=r"NoData\(\) says that there is none"):
        Answer.of(QUERY)


def test_answer_of_wrong_data() -> None:
    """Data of another type is refused."""
    with pytest.raises(RecordError):
        Answer.of(QUERY, "text")


def test_cname() -> None:
    """An alias has its target, below nothing but the root."""
    outcome = Answer.cname(QUERY, "b.test", ttl=60)
    assert (outcome.answer, outcome.target, outcome.aa) == ((CNAME,), b"\1b\4test\0", True)
    assert not Answer.cname(QUERY, "b.test", aa=False).aa


FIRST = Answer([CNAME], aa=True, ad=True, ede=BLOCKED, until=9.0)


def marks(outcome: Response) -> tuple[object, ...]:
    """Give the marks of an outcome."""
    return outcome.aa, outcome.ad, outcome.ede, outcome.until


def test_replace_nothing() -> None:
    """A copy with nothing replaced is the same."""
    made = FIRST.replace()
    assert marks(made) == marks(FIRST)
    assert (type(made), made.sections, made.target) == (Answer, FIRST.sections, FIRST.target)


def test_replace() -> None:
    """Each mark can be replaced."""
    other = EDE(EDECode.OTHER)
    assert marks(FIRST.replace(aa=False, ad=False, ede=other, until=-inf)) == (
        False,
        False,
        other,
        -inf,
    )


def test_replace_keeps_body() -> None:
    """A copy of an outcome of bytes is one too, and keeps a code that is not that of its kind."""
    body = encode_body(WWW, SECTIONS)
    made = Answer.of_body(WWW, body, rcode=6).replace(aa=True)
    assert (made.body, made.key, made.rcode, made.aa) == (body, WWW, 6, True)


def test_after() -> None:
    """Behind an alias stand code and records of the last name, with the authority over the first."""
    made = NXDomain(SOA, aa=False, ad=True, until=5.0).after(FIRST)
    assert type(made) is NXDomain
    assert made.sections == Sections((CNAME,), (SOA,))
    assert marks(made) == (True, True, BLOCKED, 5.0)
    assert (made.rcode, made.body, made.key, made.target) == (3, None, b"", None)


def test_after_with_less() -> None:
    """It is as good as the worse of the two, and says what the last one says."""
    other = EDE(EDECode.OTHER)
    last = Answer([one("b.test", Type.CNAME, "c.test")], ede=other, until=10.0)
    made = last.after(FIRST)
    assert (made.ad, made.ede, made.until, made.target) == (False, other, 9.0, b"\1c\4test\0")


def of_bytes(owner: str, *records: Records, additional: tuple[Records, ...] = ()) -> Answer:
    """Make an answer of bytes."""
    key = encode_name(owner)
    made = Answer.of_body(key, encode_body(key, Sections(records, (), additional)))
    if records[-1].rtype == Type.CNAME:
        made.target = records[-1].rdatas[0]
    return made


def test_after_bytes() -> None:
    """Bytes behind bytes stay bytes, whose records nobody looks at."""
    last = of_bytes("b.test", one("b.test", Type.A, "192.0.2.1"), additional=(GLUE,))
    chain = of_bytes("www.a.test", CNAME)
    made = last.after(chain)
    assert made._sections is last._sections is chain._sections is None
    assert (made.key, made.sections) == (WWW, Sections((CNAME, *last.answer), (), (GLUE,)))
    assert made.body is not None
    assert made.body.counts == b"\0\2\0\0\0\1"


@pytest.mark.parametrize("body", [Body(b"\0\1\0\0\0\0", b"\xc0\x0c"), Body(b"\0\0\0\0\0\0", b"\0")])
def test_after_bytes_that_are_no_records(body: Body) -> None:
    """Bytes that are no records are not passed on behind an alias."""
    chain = of_bytes("www.a.test", CNAME)
    broken = Answer.of_body(encode_name("b.test"), body)
    with suppress(WireError):
        assert broken.after(chain).body is None


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Failure(ede=EDE(70_000, "x")), ValueError),
        (lambda: NoData(ede=EDE(-1)), ValueError),
        (lambda: Answer(ede=EDE("x")), TypeError),  # type: ignore[arg-type]
        (lambda: Answer(ede=EDE(0, b"x")), TypeError),  # type: ignore[arg-type]
        (lambda: Failure(ede="x"), TypeError),  # type: ignore[arg-type]
        (lambda: Failure("SERVFAIL"), TypeError),  # type: ignore[arg-type]
        (lambda: Failure(4096), ValueError),
        (lambda: Failure(-1), ValueError),
        (lambda: NXDomain("a.test. SOA"), TypeError),  # type: ignore[arg-type]
    ],
)
def test_wrong_arguments(make: Callable[[], Outcome], error: type[Exception]) -> None:
    """What could not be sent is an error where it is made."""
    with pytest.raises(error, match=r"(rcode|ede|soa|the code of an extended error) is .*expected"):
        make()


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (Answer([ADDRESS, CNAME], [NS]), "<Answer 2+1+0 sets of records>"),
        (Failure(), "<Failure 0+0+0 sets of records>"),
        (Failure(Rcode.REFUSED), "<Failure rcode=5 0+0+0 sets of records>"),
    ],
)
def test_repr(outcome: Outcome, text: str) -> None:
    """An outcome shows its kind, a code that is not that of its kind, and how much it has."""
    assert repr(outcome) == text
