"""Entries of a cache: to and from bytes, and their time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints.dns.codes import EDE, EDECode, Rcode
from asyncendpoints.dns.entry import (
    Rules,
    age_of,
    covers_name,
    encode_entry,
    encode_failure,
    is_dead,
    is_failure,
    is_fresh,
    is_usable,
    lifetime_of,
    make_place,
    name_of,
    to_response,
    whole_name,
)
from asyncendpoints.dns.names import encode_name
from asyncendpoints.dns.outcome import Answer, Failure, NoData, NXDomain, Referral, Response
from asyncendpoints.dns.records import LONGEST_TTL, Records, Type
from asyncendpoints.dns.sections import Body, Sections, encode_body

KEY = encode_name("www.example.org")

RULES = Rules()


def a(ttl: int, *, owner: bytes = KEY, data: bytes = b"\xc0\0\2\1") -> Records:
    """Make an A record."""
    return Records(owner, Type.A, ttl, (data,))


def soa(ttl: int, minimum: int) -> Records:
    """Make an SOA record."""
    names = encode_name("ns.example.org") + encode_name("admin.example.org")
    numbers = b"".join(each.to_bytes(4, "big") for each in (1, 2, 3, 4, minimum))
    return Records(encode_name("example.org"), Type.SOA, ttl, (names + numbers,))


def cname(ttl: int, target: str) -> Records:
    """Make an alias of the name."""
    return Records(KEY, Type.CNAME, ttl, (encode_name(target),))


def entry_of(outcome: Response, now: float = 0.0, rules: Rules = RULES) -> bytes:
    """Write an outcome that is kept."""
    entry = encode_entry(KEY, outcome, now, rules)
    assert entry is not None
    return entry


def ttls(outcome: Response) -> list[int]:
    """Give the TTL of each set of records."""
    return [each.ttl for section in outcome.sections for each in section]


def test_place_of_name() -> None:
    """The name of a place is the one that it was made of, and so is that of the place for all its types."""
    made = make_place(KEY, Type.AAAA, 0x8010)
    assert name_of(made) == name_of(whole_name(made)) == KEY


def test_places_differ() -> None:
    """Two questions have one place only if name, type and flags are the same."""
    asked = [(key, qtype, flags) for key in (KEY, b"\0") for qtype in (1, 28) for flags in (0, 16)]
    assert len({make_place(*each) for each in asked}) == len(asked)


def test_whole_name_keeps_flags() -> None:
    """The place for all types of a name is one for each combination of flags."""
    assert whole_name(make_place(KEY, 1, 16)) == whole_name(make_place(KEY, 28, 16))
    assert whole_name(make_place(KEY, 1, 16)) != whole_name(make_place(KEY, 1, 0))


@pytest.mark.parametrize("flags", [0, 0x10, 0x8110])
def test_no_question_has_the_place_of_a_whole_name(flags: int) -> None:
    """What is said of type 0 is not said of all types."""
    assert make_place(KEY, 0, flags) != whole_name(make_place(KEY, 1, flags))


def test_text_that_cannot_be_encoded() -> None:
    """A text that is none costs its odd characters, and not the entry."""
    outcome = Failure(ede=EDE(EDECode.OTHER, "a\ud800b"))
    kept = to_response(KEY, encode_failure(outcome, 0.0, 1, 1), 0.0)
    assert kept.ede == EDE(EDECode.OTHER, "a?b")


@pytest.mark.parametrize(
    "outcome",
    [
        Answer([a(60)]),
        Answer([a(60)], ad=True),
        Answer([a(60)], ede=EDE(EDECode.FORGED_ANSWER, "\u00e4 text")),
        Answer([cname(60, "b.test")]),
        Answer([cname(60, "b.test")], ad=True, ede=EDE(4, "x")),
        Answer([a(60)], rcode=Rcode.YXDOMAIN),
        Answer([a(60)], [a(7)], [a(9, owner=b"\1x\0"), a(8, owner=b"\1y\0")]),
        NoData(soa(60, 60)),
        NXDomain(soa(60, 60), answer=[cname(60, "b.test")]),
        NXDomain(soa(60, 60)),
    ],
)
def test_round_trip(outcome: Response) -> None:
    """What is taken out in the second in which it was put in is what was put in, without AA."""
    made = to_response(KEY, entry_of(outcome), 0.5)
    assert type(made) is type(outcome)
    assert made.sections == outcome.sections
    assert (made.ad, made.ede, made.target) == (outcome.ad, outcome.ede, outcome.target)
    assert (made.rcode, made.aa, made.key) == (outcome.rcode, False, KEY)


@given(
    st.lists(st.integers(1, LONGEST_TTL), min_size=1, max_size=5),
    st.integers(0, 5),
    st.booleans(),
    st.none() | st.builds(EDE, st.integers(0, 65535), st.text(max_size=60)),
)
def test_round_trip_of_any(lives: list[int], answers: int, ad: bool, ede: EDE | None) -> None:
    """An answer keeps its sections, marks and times, whatever they are."""
    records = [a(ttl, owner=b"\1" + bytes((97 + i,)) + KEY) for i, ttl in enumerate(lives)]
    outcome = Answer(records[:answers], records[answers:], ad=ad, ede=ede)
    made = to_response(KEY, entry_of(outcome, rules=Rules(max_ttl=LONGEST_TTL)), 0.0)
    assert (made.sections, made.ad, made.ede) == (outcome.sections, ad, ede)


def test_body_keeps_core() -> None:
    """What cannot be left out of a reply that has little room stays known."""
    sections = Sections((a(60),), (), (a(60, owner=b"\1x\0"),))
    body = encode_body(KEY, sections)
    assert body.core_counts
    assert to_response(KEY, entry_of(Answer.of_body(KEY, body)), 0.0).body == body


def test_body_for_another_name() -> None:
    """A body is written anew if it was made for a question of another length."""
    other = encode_name("a.test")
    outcome = Answer.of_body(other, encode_body(other, Sections((a(60),))))
    assert to_response(KEY, entry_of(outcome), 0.0).answer == (a(60),)


def test_long_text_is_cut() -> None:
    """The text of an extended error is cut to 255 bytes, between two letters."""
    made = to_response(KEY, entry_of(Answer([a(60)], ede=EDE(0, "\u00e4" * 200))), 0.0)
    assert made.ede == EDE(0, "\u00e4" * 127)


@pytest.mark.parametrize(
    "outcome",
    [
        Answer(),
        Answer([a(0)]),
        Answer([a(60), a(0, owner=b"\1x\0")]),
        NoData(),
        NXDomain(),
        NoData(soa(0, 60)),
        NoData(soa(60, 0)),
        NoData(soa(60, LONGEST_TTL + 1)),
        NoData(answer=[soa(60, 60)]),
        Referral(Records(KEY, Type.NS, 60, (b"\0",))),
        Failure(),
        Answer([Records(KEY, Type.TXT, 60, (bytes(65_535), b""))]),
        Answer([Records(KEY, Type.TXT, 60, (bytes(65_536),))]),
        Answer.of_body(KEY, Body(b"\0\1\0\0\0\0", b"\xc0")),
        Answer.of_body(KEY, Body(b"\0\1\0\0\0\0", b"\x3fa")),
        Answer.of_body(KEY, Body(b"\0\1\0\0\0\0", b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\1\2\3")),
        Answer.of_body(KEY, Body(b"\0\1\0\0\0\0", b"\0\0\1\0\1\0\0\0\1\0\0more")),
        Answer.of_body(b"\0", Body(b"\0\1\0\0\0\0", b"\xc0")),
        Answer.of_body(
            KEY,
            Body(b"\0\1\0\0\0\0", b"\xc0\x0c\0\1\0\1\x80\0\0\0\0\4\1\2\3\4"),
        ),
    ],
)
def test_not_kept(outcome: Response) -> None:
    """Nothing is kept that holds for no time, is too long or malformed, says nothing, or is for others."""
    assert encode_entry(KEY, outcome, 0.0, RULES) is None


def test_failure() -> None:
    """A failure keeps its code and what was said of it, and is no answer."""
    entry = encode_failure(Failure(Rcode.REFUSED, EDE(22, "x")), 0.0, 5, 60)
    made = to_response(KEY, entry, 4.0)
    assert isinstance(made, Failure)
    assert (made.rcode, made.ede, made.sections) == (Rcode.REFUSED, EDE(22, "x"), Sections())
    assert is_failure(entry)
    assert not is_failure(entry_of(Answer([a(60)])))
    assert not is_usable(entry, 4.0)


def test_failure_without_words() -> None:
    """A failure of which nothing was said is shown as one that was known."""
    made = to_response(KEY, encode_failure(Failure(), 0.0, 5, 60), 4.0)
    assert made.ede == EDE(EDECode.CACHED_ERROR)


@pytest.mark.parametrize(
    ("outcome", "covers"),
    [
        (NXDomain(soa(60, 60)), True),
        (NXDomain(soa(60, 60), answer=[cname(60, "b.test")]), False),
        (NoData(soa(60, 60)), False),
    ],
)
def test_covers_name(outcome: Response, covers: bool) -> None:
    """An entry is about all types if its own name, and not that at the end of its alias, does not exist."""
    assert covers_name(entry_of(outcome)) is covers


@pytest.mark.parametrize(
    ("outcome", "rules", "lifetime"),
    [
        (Answer([a(60), a(50, owner=b"\1x\0")]), RULES, 50),
        (Answer([a(60)], [a(5, owner=b"\1x\0")]), RULES, 5),
        (Answer([a(90_000)]), RULES, 86_400),
        (Answer([a(90_000)]), Rules(max_ttl=10), 10),
        (Answer([a(3)]), Rules(min_ttl=30), 30),
        (Answer([a(0)]), Rules(min_ttl=30), 30),
        (NoData(soa(60, 30)), RULES, 30),
        (NoData(soa(20, 30)), RULES, 20),
        (NXDomain(soa(90_000, 90_000)), RULES, 3_600),
        (NXDomain(soa(90_000, 90_000)), Rules(max_negative_ttl=5), 5),
        (NXDomain(soa(10, 10)), Rules(min_ttl=30), 10),
        (NXDomain(soa(60, 60), answer=[cname(7, "b.test")]), RULES, 7),
    ],
)
def test_lifetime(outcome: Response, rules: Rules, lifetime: int) -> None:
    """An outcome holds for the lowest of its TTLs and, if negative, the minimum, between the bounds."""
    assert lifetime_of(entry_of(outcome, rules=rules)) == lifetime


@pytest.mark.parametrize(
    ("outcome", "rules", "shown"),
    [
        (Answer([a(60)], [a(90_000)]), RULES, [60, 86_400]),
        (Answer([a(3)], [a(70)]), Rules(min_ttl=30), [30, 70]),
        (NoData(soa(90, 30)), RULES, [30]),
        (NoData(soa(20, 30)), RULES, [20]),
    ],
)
def test_shown_ttl(outcome: Response, rules: Rules, shown: list[int]) -> None:
    """Records show the TTL for which they are kept; an SOA that for which there is nothing."""
    assert ttls(to_response(KEY, entry_of(outcome, rules=rules), 0.0)) == shown


def test_each_record_ages() -> None:
    """Each record's TTL counts down from its own value."""
    entry = entry_of(Answer([a(60)], [a(100)], [a(80, owner=b"\1x\0")]), now=5.5)
    assert ttls(to_response(KEY, entry, 15.0)) == [50, 90, 70]


@pytest.mark.parametrize(("now", "shown"), [(5.5, 60), (5.99, 60), (6.0, 59), (64.9, 1)])
def test_ages_with_the_clock(now: float, shown: int) -> None:
    """TTLs count down when a second of the clock begins, so that none is ever too high."""
    made = to_response(KEY, entry_of(Answer([a(60)]), now=5.5), now)
    assert ttls(made) == [shown]
    assert made.until == int(now) + 1


def test_until_is_a_float() -> None:
    """The end of an outcome's second is loop time."""
    assert isinstance(to_response(KEY, entry_of(Answer([a(60)])), 1.5).until, float)


@pytest.mark.parametrize(
    ("now", "fresh"), [(9.9, True), (10.0, True), (11.9, True), (12.0, False), (8.9, False)]
)
def test_is_fresh(now: float, fresh: bool) -> None:
    """An entry holds for its TTL, and in the second before it came for who read the clock then."""
    assert is_fresh(entry_of(Answer([a(2)]), now=10.5), now) is fresh


@pytest.mark.parametrize(("now", "age"), [(10.0, 0), (9.5, 0), (12.7, 2), (8.0, 2**32)])
def test_age(now: float, age: int) -> None:
    """The age of an entry is in whole seconds; one from the future is of another clock."""
    assert age_of(entry_of(Answer([a(2)]), now=10.5), now) == age


@pytest.mark.parametrize(
    ("now", "usable"), [(0.0, True), (59.0, True), (60.0, True), (159.9, True), (160.0, False)]
)
def test_is_usable(now: float, usable: bool) -> None:
    """Records are of use for the time after their time that the rules give them, and then are dead."""
    entry = entry_of(Answer([a(60)]), rules=Rules(stale=100))
    assert is_usable(entry, now) is usable
    assert is_dead(entry, now) is not usable


def test_not_usable_later_as_a_rule() -> None:
    """Without a rule for it, records are of no use after their time."""
    entry = entry_of(Answer([a(60)]))
    assert is_usable(entry, 59.9)
    assert not is_usable(entry, 60.0)


def test_longest_times() -> None:
    """The highest TTL and the longest time after it fit in an entry."""
    entry = entry_of(Answer([a(LONGEST_TTL)]), rules=Rules(LONGEST_TTL, 0, 0, 2**32))
    assert is_usable(entry, LONGEST_TTL + 1.0)


def test_other_ttl_and_words() -> None:
    """Records can be shown with one TTL and a note in place of their own."""
    entry = entry_of(Answer([a(60)], [a(70)], ede=EDE(4)))
    made = to_response(KEY, entry, 1000.0, ttl=30, ede=EDE(3))
    assert (ttls(made), made.ede) == ([30, 30], EDE(3))
