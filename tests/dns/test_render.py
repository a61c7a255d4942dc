"""Replies: the rules that each of them keeps, read with dnspython."""

from __future__ import annotations

import struct

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncendpoints.dns.codes import EDE
from asyncendpoints.dns.names import encode_name, join_labels
from asyncendpoints.dns.outcome import (
    DROP,
    TRUNCATED,
    Answer,
    Failure,
    NoData,
    NXDomain,
    Outcome,
    Referral,
    Response,
)
from asyncendpoints.dns.query import AD, CD, DO, RD
from asyncendpoints.dns.records import Records, Type, encode_rdata
from asyncendpoints.dns.render import render, render_rejection
from asyncendpoints.dns.sections import Body, Sections, encode_body
from asyncendpoints.dns.wire import QR, Rejection, WireQuery, decode_query

NAME = encode_name("Www.a.test")
KEY = NAME.lower()
AA, TC, RA = 0x0400, 0x0200, 0x0080


def one(owner: str, rtype: int, *values: str, ttl: int = 60) -> Records:
    """Make records."""
    return Records(
        encode_name(owner), rtype, ttl, tuple(encode_rdata(rtype, each) for each in values)
    )


ADDRESS = one("www.a.test", Type.A, "192.0.2.1")
SOA = one("a.test", Type.SOA, "ns.a.test. root.a.test. 1 2 3 4 5")
NS = one("a.test", Type.NS, "ns1.a.test", "ns2.a.test")
GLUE = one("ns1.a.test", Type.A, *(f"192.0.2.{each}" for each in range(30)))
OTHER = one("ns2.a.test", Type.A, "192.0.2.1")
LARGE = one("www.a.test", Type.A, *(f"192.0.2.{each}" for each in range(100)))


def query_packet(flags: int = RD, opt: tuple[int, int] | None = None, name: bytes = NAME) -> bytes:
    """Make a query, with an OPT of some payload and flags."""
    packet = struct.pack("!6H", 7, flags, 1, 0, 0, int(opt is not None)) + name + b"\0\1\0\1"
    return (
        packet if opt is None else packet + b"\0\0\x29" + struct.pack("!HHHH", opt[0], 0, opt[1], 0)
    )


def query(flags: int = RD, opt: tuple[int, int] | None = None, name: bytes = NAME) -> WireQuery:
    """Make a query, decoded."""
    found = decode_query(query_packet(flags, opt, name))
    assert isinstance(found, WireQuery)
    return found


def rendered(
    wire: WireQuery, outcome: Outcome, limit: int = 512, *, ra: bool = False
) -> dns.message.Message:
    """Render a reply and read it."""
    reply = render(wire, outcome, limit, 1232, ra=ra)
    assert len(reply) + 2 <= limit
    return dns.message.from_wire(b"\0\7" + reply)


PLAIN = query()
EDNS = query(opt=(1232, 0))


@pytest.mark.parametrize(
    ("flags", "opt", "outcome", "ra", "expected"),
    [
        (0, None, Answer([ADDRESS]), False, QR),
        (RD, None, Answer([ADDRESS]), False, QR | RD),
        (RD | CD | AD, None, Answer([ADDRESS]), False, QR | RD | CD),
        (0, None, Answer([ADDRESS], aa=True), False, QR | AA),
        (0, None, NXDomain(), False, QR | AA | 3),
        (0, None, Referral(NS), False, QR),
        (0, None, Answer([ADDRESS]), True, QR | RA),
        # AD goes to those who understand it.
        (0, None, Answer([ADDRESS], ad=True), False, QR),
        (AD, None, Answer([ADDRESS], ad=True), False, QR | AD),
        (AD, None, Answer([ADDRESS]), False, QR),
        (0, (512, DO), Answer([ADDRESS], ad=True), False, QR | AD),
        (0, (512, 0), Answer([ADDRESS], ad=True), False, QR),
        (0, None, Failure(), False, QR | 2),
        (0, None, TRUNCATED, False, QR | TC),
        (RD, None, TRUNCATED, True, QR | RD | RA | TC),
        # A bit that is not to be rendered is at least no answer.
        (0, None, DROP, False, QR | TC),
    ],
)
def test_flags(
    flags: int, opt: tuple[int, int] | None, outcome: Outcome, ra: bool, expected: int
) -> None:
    """Every flag is set if it is due, and no other."""
    reply = render(query(flags, opt), outcome, 512, 1232, ra=ra)
    assert int.from_bytes(reply[:2], "big") == expected


@pytest.mark.parametrize(
    "outcome", [Answer([ADDRESS]), NoData(), NXDomain(SOA), Referral(NS), Failure(5), TRUNCATED]
)
def test_question_comes_back(outcome: Outcome) -> None:
    """The question comes back once, in the case in which it came."""
    reply = render(PLAIN, outcome, 512, 1232, ra=False)
    assert reply[10:].startswith(NAME + b"\0\1\0\1")
    assert [str(each) for each in rendered(PLAIN, outcome).question] == ["Www.a.test. IN A"]


@pytest.mark.parametrize("outcome", [Answer([ADDRESS]), NXDomain(SOA), Failure(5), TRUNCATED])
@pytest.mark.parametrize("do", [0, DO])
def test_opt(outcome: Outcome, do: int) -> None:
    """A reply has an OPT where the query has one: version 0, our size, DO as it came, and no option."""
    reply = rendered(query(opt=(4096, do | 0x7FFF)), outcome)
    assert (reply.edns, reply.payload, reply.ednsflags, reply.options) == (0, 1232, do, ())


@pytest.mark.parametrize("outcome", [Answer([ADDRESS]), Failure(5, EDE(15, "blocked")), TRUNCATED])
def test_no_opt(outcome: Outcome) -> None:
    """A reply has none where the query has none."""
    assert rendered(PLAIN, outcome).edns == -1


@pytest.mark.parametrize(
    ("rcode", "plain"), [(0, 0), (5, 5), (15, 15), (16, 2), (23, 2), (4095, 2)]
)
def test_codes(rcode: int, plain: int) -> None:
    """A code of more than four bits is in the OPT; without one it is SERVFAIL."""
    assert rendered(EDNS, Failure(rcode)).rcode() == rcode
    assert rendered(PLAIN, Failure(rcode)).rcode() == plain


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("", None),
        ("by the house", "by the house"),
        ("x" * 128, "x" * 128),
        ("x" * 129, "x" * 128),
        ("x" + "é" * 64, "x" + "é" * 63),
        ("a\udcffb", "a?b"),
    ],
)
def test_extended_errors(text: str, sent: str | None) -> None:
    """More about an outcome is in the OPT, its text cut at 128 bytes and not within a character."""
    (option,) = rendered(EDNS, Failure(ede=EDE(15, text))).options
    assert isinstance(option, dns.edns.EDEOption)
    assert (option.code, option.text) == (15, sent)


def texts(section: list[dns.rrset.RRset]) -> list[str]:
    """Give records as text, with their order."""
    return [f"{each.name} {dns.rdatatype.to_text(each.rdtype)} {len(each)}" for each in section]


@pytest.mark.parametrize("wire", [PLAIN, EDNS])
def test_records(wire: WireQuery) -> None:
    """The reply has the records of the outcome, each in its section."""
    reply = rendered(wire, Answer([ADDRESS], [NS], [OTHER]))
    assert texts(reply.answer) == ["Www.a.test. A 1"]
    assert texts(reply.authority) == ["a.test. NS 2"]
    assert texts(reply.additional) == ["ns2.a.test. A 1"]


def test_body_for_this_name() -> None:
    """The bytes of an outcome for the name of the question are sent as they are."""
    body = encode_body(KEY, Sections((ADDRESS,)))
    reply = render(PLAIN, Answer.of_body(KEY, body), 512, 1232, ra=False)
    assert reply[10:] == NAME + b"\0\1\0\1" + body.tail


def test_body_for_another_name() -> None:
    """The bytes of an outcome for another name are written anew."""
    key = encode_name("another.name.of.another.length")
    body = encode_body(key, Sections((ADDRESS,)))
    reply = rendered(PLAIN, Answer.of_body(key, body))
    assert texts(reply.answer) == ["Www.a.test. A 1"]


@pytest.mark.parametrize("wire", [PLAIN, EDNS])
def test_too_large(wire: WireQuery) -> None:
    """An answer without room is TC with question and OPT alone."""
    reply = rendered(wire, Answer([LARGE], aa=True))
    assert reply.flags & (TC | AA) == TC | AA
    assert not [*reply.answer, *reply.authority, *reply.additional]
    assert reply.edns == wire.payload - 1232 if wire is EDNS else -1


def size_of(wire: WireQuery, outcome: Outcome) -> int:
    """Give the size of a whole reply."""
    return len(render(wire, outcome, 65535, 1232, ra=False)) + 2


@pytest.mark.parametrize("wire", [PLAIN, EDNS])
def test_limit_is_exact(wire: WireQuery) -> None:
    """A reply of exactly the limit is sent whole, and one of a byte more is not."""
    outcome = Answer([LARGE])
    size = size_of(wire, outcome)
    assert not rendered(wire, outcome, size).flags & TC
    assert rendered(wire, outcome, size - 1).flags & TC


@pytest.mark.parametrize("wire", [PLAIN, EDNS])
def test_additional_records_are_left_out(wire: WireQuery) -> None:
    """Additional records that are no glue are left out before anything is truncated, all or none."""
    outcome = Answer([ADDRESS], [NS], [GLUE, OTHER])
    reply = rendered(wire, outcome)
    assert not reply.flags & TC
    assert (texts(reply.answer), texts(reply.authority)) == (["Www.a.test. A 1"], ["a.test. NS 2"])
    assert reply.additional == []
    assert reply.edns == rendered(wire, NoData()).edns
    size = size_of(wire, outcome)
    assert len(rendered(wire, outcome, size).additional) == 2
    assert rendered(wire, outcome, size - 1).additional == []


@pytest.mark.parametrize("wire", [PLAIN, EDNS])
def test_glue_is_never_left_out(wire: WireQuery) -> None:
    """A referral whose glue has no room is TC: nobody can follow it without."""
    reply = rendered(wire, Referral(NS, [GLUE, OTHER]))
    assert reply.flags & TC
    assert not [*reply.answer, *reply.authority, *reply.additional]


def test_glue_in_a_body() -> None:
    """The core of an outcome of bytes stays, with its glue, and what comes after it goes."""
    sections = Sections((), (NS,), (OTHER, GLUE))
    reply = rendered(PLAIN, Referral.of_body(KEY, encode_body(KEY, sections, 1)))
    assert not reply.flags & TC
    assert texts(reply.additional) == ["ns2.a.test. A 1"]
    whole = rendered(PLAIN, Referral.of_body(KEY, encode_body(KEY, sections, 2)))
    assert whole.flags & TC


@pytest.mark.parametrize("wire", [PLAIN, EDNS])
def test_limit_of_the_core_is_exact(wire: WireQuery) -> None:
    """The core of exactly the limit is sent without TC, and one of a byte more is not."""
    core = Referral(NS, [GLUE])
    sections = Sections((), (NS,), (GLUE, OTHER))
    outcome = Referral.of_body(KEY, encode_body(KEY, sections, 1))
    size = size_of(wire, core)
    assert counted(rendered(wire, outcome, size)) == [0, 2, 30]
    assert rendered(wire, outcome, size - 1).flags & TC


VALUES = [f"192.0.2.{each}" for each in range(100)]
MANY = one("c.test", Type.A, *VALUES)


def test_bytes_without_room_are_not_read() -> None:
    """Of an answer for another name, in which there are more records than room, none is looked at."""
    key = encode_name("b.test")
    outcome = Answer.of_body(key, encode_body(key, Sections((one("b.test", Type.A, *VALUES),))))
    assert rendered(PLAIN, outcome).flags & TC
    assert outcome._sections is None


@pytest.mark.parametrize(
    ("sections", "limit", "tc", "counts"),
    [
        (Sections((MANY,)), 512, True, [0, 0, 0]),
        (Sections((ADDRESS,), (), (MANY,)), 512, False, [1, 0, 0]),
        (Sections((ADDRESS,), (MANY,)), 512, True, [0, 0, 0]),
    ],
)
def test_records_without_room_are_not_written(
    sections: Sections, limit: int, tc: bool, counts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records for which there is no room are not even written."""
    written: list[Sections] = []

    def encode(key: bytes, sections: Sections, core: int = 0) -> Body:
        written.append(sections)
        return encode_body(key, sections, core)

    monkeypatch.setattr("asyncendpoints.dns.render.encode_body", encode)
    reply = rendered(PLAIN, Answer(*sections), limit)
    assert (bool(reply.flags & TC), counted(reply)) == (tc, counts)
    assert MANY not in [each for all_of in written for part in all_of for each in part]


def test_smallest_records() -> None:
    """Records of the root without data are the smallest, and are sent where they have room to the byte."""
    outcome = Answer([Records(b"\0", 10, 60, (b"",) * 20)])
    size = size_of(PLAIN, outcome)
    assert len(rendered(PLAIN, outcome, size).answer[0]) == 1
    assert rendered(PLAIN, outcome, size - 1).flags & TC


LONGEST = b"\x3f" + b"a" * 63
LONG_NAME = LONGEST * 3 + b"\x3d" + b"a" * 61 + b"\0"


def test_longest_question() -> None:
    """The longest question, OPT and the longest text of an error fit in 512 bytes, with TC."""
    wire = query(opt=(512, DO), name=LONG_NAME)
    reply = rendered(wire, Answer([LARGE], ede=EDE(15, "x" * 200)))
    assert reply.flags & TC
    assert len(reply.options) == 1


@pytest.mark.parametrize(
    ("rejection", "rcode", "questions", "edns"),
    [
        (Rejection(1, QR | RD), 1, 0, -1),
        (Rejection(1, QR | RD, NAME + b"\0\1\0\1", has_opt=True), 1, 1, 0),
        (Rejection(4, QR | 4 << 11), 4, 0, -1),
        (Rejection(5, QR, NAME + b"\0\1\0\1"), 5, 1, -1),
        (Rejection(16, QR | RD | CD, NAME + b"\0\1\0\1", has_opt=True), 16, 1, 0),
    ],
)
def test_rejections(rejection: Rejection, rcode: int, questions: int, edns: int) -> None:
    """A rejection has its code, its flags, and a question and an OPT where it says so."""
    wire = b"\0\7" + render_rejection(rejection, 1232)
    reply = dns.message.from_wire(wire)
    assert (reply.rcode(), len(reply.question), reply.edns) == (rcode, questions, edns)
    assert reply.flags == rejection.reply_flags | rcode & 15
    assert not [*reply.answer, *reply.authority, *reply.additional]


def test_do_of_a_rejection() -> None:
    """DO comes back in a rejection."""
    rejection = Rejection(16, QR, NAME + b"\0\1\0\1", has_opt=True, do=DO)
    reply = dns.message.from_wire(b"\0\7" + render_rejection(rejection, 1232))
    assert reply.ednsflags & 0xFFFF == DO


NAMES = st.lists(st.sampled_from([b"a", b"www", b"test", b"x" * 40]), max_size=4).map(join_labels)
SETS = st.lists(
    st.builds(
        lambda owner, count: Records(
            owner, Type.A, 60, tuple(bytes((10, 0, 0, n)) for n in range(count))
        ),
        NAMES,
        st.integers(1, 12),
    ),
    max_size=4,
    unique_by=lambda each: each.owner,
)
LISTED = st.tuples(SETS, SETS, SETS)


def counted(message: dns.message.Message) -> list[int]:
    """Count the records of each section."""
    return [sum(map(len, each)) for each in message.sections[1:]]


@settings(max_examples=200)
@given(LISTED, NAMES, st.booleans(), st.integers(512, 1400), st.integers(0, 3), st.booleans())
def test_reply_is_the_outcome(
    listed: tuple[list[Records], list[Records], list[Records]],
    name: bytes,
    has_opt: bool,
    limit: int,
    glue: int,
    is_body: bool,
) -> None:
    """A reply has all of the outcome, or its core, or TC and nothing, and never more than its limit."""
    sections = Sections(*map(tuple, listed))
    wire = query(opt=(512, 0) if has_opt else None, name=name)
    if is_body:
        outcome = Response.of_body(wire.key, encode_body(wire.key, sections, glue))
    else:
        outcome, glue = Response(*sections), 0
    reply = rendered(wire, outcome, limit)
    whole = [sum(len(each.rdatas) for each in section) for section in sections]
    core = [*whole[:2], sum(len(each.rdatas) for each in sections.additional[:glue])]
    assert counted(reply) == [0, 0, 0] if reply.flags & TC else counted(reply) in (whole, core)
    assert (reply.edns == 0) is has_opt
    if size_of(wire, outcome) <= limit:
        assert counted(reply) == whole
