"""Records as they follow a question, against dnspython."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import dns.message
import dns.name
import dns.rcode
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncendpoints.dns.names import encode_name, join_labels
from asyncendpoints.dns.records import Records, Type, encode_rdata, from_rrset, to_rrset
from asyncendpoints.dns.sections import (
    Body,
    Sections,
    _cut_large,
    decode_body,
    encode_body,
    group,
    splice,
)
from asyncendpoints.errors import WireError

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

KEY = encode_name("www.example.test")
A1, A2 = b"\xc0\0\2\1", b"\xc0\0\2\2"


def one(owner: str, rtype: int, *values: str, ttl: int = 300) -> Records:
    """Make records."""
    return Records(
        encode_name(owner), rtype, ttl, tuple(encode_rdata(rtype, each) for each in values)
    )


@pytest.mark.parametrize(
    ("records", "tail"),
    [
        ((), ""),
        # The name in the question is one pointer.
        ((one("www.example.test", Type.A, "192.0.2.1"),), "c00c 0001 0001 0000012c 0004 c0000201"),
        ((one("WWW.Example.test", Type.A, "192.0.2.1"),), "c00c 0001 0001 0000012c 0004 c0000201"),
        # A name above it points into it.
        ((one("example.test", Type.TXT, "a"),), "c010 0010 0001 0000012c 0002 0161"),
        ((one("b.test", Type.TXT, "a"),), "0162 c018 0010 0001 0000012c 0002 0161"),
        # The root is shorter than a pointer.
        ((one(".", Type.TXT, "a"),), "00 0010 0001 0000012c 0002 0161"),
        # Names in data that may be compressed, and an owner that points to one of them.
        (
            (one("www.example.test", Type.CNAME, "c.d"), one("c.d", Type.A, "192.0.2.1")),
            "c00c 0005 0001 0000012c 0005 0163 0164 00 c02e 0001 0001 0000012c 0004 c0000201",
        ),
        (
            (one("test", Type.SOA, "test. r.test. 1 2 3 4 5"),),
            "c018 0006 0001 0000012c 001a c018 0172c018 00000001 00000002 00000003 00000004 00000005",
        ),
        ((one("test", Type.MX, "10 test"),), "c018 000f 0001 0000012c 0004 000a c018"),
        # Names in data that may not.
        (
            (one("test", Type.SRV, "0 0 1 test"),),
            "c018 0021 0001 0000012c 000c 0000 0000 0001 04746573740 0",
        ),
        ((one("test", Type.DNAME, "test"),), "c018 0027 0001 0000012c 0006 04746573740 0"),
    ],
)
def test_encode_body(records: tuple[Records, ...], tail: str) -> None:
    """The records of each case are these bytes."""
    body = encode_body(KEY, Sections(records))
    assert body.tail.hex() == tail.replace(" ", "")
    count = sum(len(each.rdatas) for each in records)
    assert (body.counts, body.core_counts) == (bytes((0, count, 0, 0, 0, 0)), b"")


def test_question_for_the_root() -> None:
    """The name of a question for the root is not pointed to: it is one byte."""
    body = encode_body(b"\0", Sections((one(".", Type.TXT, "a"), one("a", Type.TXT, "a"))))
    assert body.tail.hex() == "00001000010000012c00020161" + "0161" + "00001000010000012c00020161"


def test_counts() -> None:
    """Every record of a section counts."""
    a = one("www.example.test", Type.A, "192.0.2.1", "192.0.2.2")
    ns = one("example.test", Type.NS, "a.test", "b.test", "c.test")
    assert encode_body(KEY, Sections((a,), (ns,), (a, ns))).counts == b"\0\2\0\3\0\5"


def test_core() -> None:
    """The core is what comes before the additional records that can be left out, with its own counts."""
    ns, glue, more = (
        one("example.test", Type.NS, "ns.example.test"),
        one("ns.example.test", Type.A, "192.0.2.1"),
        one("other.test", Type.A, "192.0.2.1", "192.0.2.2"),
    )
    body = encode_body(KEY, Sections((), (ns,), (glue, more)), 1)
    core = encode_body(KEY, Sections((), (ns,), (glue,)), 1)
    assert (body.counts, body.core_counts) == (b"\0\0\0\1\0\3", b"\0\0\0\1\0\1")
    assert body.tail[: body.core_bytes] == core.tail
    assert core.core_counts == b""


def test_more_records_than_can_be_counted() -> None:
    """More records than 65,535 are counted as so many: they fit in no message anyway."""
    many = Records(b"\0", Type.A, 0, (A1,) * 65_536)
    body = encode_body(KEY, Sections((many,), (many,), (many,)))
    assert (body.counts, body.core_counts) == (b"\xff" * 6, b"\xff\xff\xff\xff\0\0")


def test_pointers_end_at_16_kib() -> None:
    """A name that begins where no pointer reaches is written out again."""
    text = Records(b"\0", Type.TXT, 0, (b"\xff" + bytes(255),) * 62)
    far = one("far.away", Type.A, "192.0.2.1", "192.0.2.2")
    body = encode_body(KEY, Sections((text, far)))
    assert body.tail.count(b"\3far\4away\0") == 2
    assert decode_body(KEY, body) == Sections((text, far))


def test_a_name_across_16_kib() -> None:
    """Of a name that begins before that limit and ends after it, what is before is pointed to."""
    size = 0x4000 - 12 - len(KEY) - 4 - 11 - 4
    text = Records(b"\0", Type.TXT, 0, (bytes(size),))
    far = one("far.away", Type.A, "192.0.2.1", "192.0.2.2")
    away = one("away", Type.A, "192.0.2.3")
    other = one("b.far.away", Type.A, "192.0.2.4")
    body = encode_body(KEY, Sections((text, far, away, other)))
    assert body.tail.count(b"\3far\4away\0") == 1
    assert body.tail.count(b"\4away\0") == 2
    assert decode_body(KEY, body) == Sections((text, far, away, other))


def test_a_prefix_across_16_kib() -> None:
    """Of a name whose end is a pointer, too, no part after that limit is pointed to."""
    size = 0x4000 - 12 - len(KEY) - 4 - 11 - 2
    text = Records(b"\0", Type.TXT, 0, (bytes(size),))
    listed = [one(each, Type.A, "192.0.2.1") for each in ("a.b.c.test", "b.c.test", "c.test")]
    body = encode_body(KEY, Sections((text, *listed)))
    assert decode_body(KEY, body) == Sections((text, *listed))


LABELS = st.sampled_from([b"a", b"b", b"WWW", b"www", b"example", b"\0\xff.", b"x" * 63])
NAMES = st.lists(LABELS, max_size=4).map(
    lambda labels: join_labels(labels[:3] if b"x" * 63 in labels else labels)
)
TTLS = st.sampled_from([0, 1, 300, 2**31 - 1])


def rdata_of(rtype: int) -> SearchStrategy[bytes]:
    """Make record data of a type, with names in it or not."""
    number = st.sampled_from([b"\0\0", b"\0\x0a", b"\xff\xff"])
    made: dict[int, SearchStrategy[bytes]] = {
        Type.A: st.binary(min_size=4, max_size=4),
        Type.AAAA: st.binary(min_size=16, max_size=16),
        Type.TXT: st.binary(max_size=20).map(lambda each: bytes((len(each),)) + each),
        Type.MX: st.tuples(number, NAMES).map(b"".join),
        Type.SRV: st.tuples(number, number, number, NAMES).map(b"".join),
        Type.SOA: st.tuples(NAMES, NAMES, st.binary(min_size=20, max_size=20)).map(b"".join),
        17: st.tuples(NAMES, NAMES).map(b"".join),
        26: st.tuples(number, NAMES, NAMES).map(b"".join),
        731: st.binary(max_size=20),
    }
    return made.get(rtype, NAMES)


RTYPES = st.sampled_from(
    [
        *(Type.A, Type.AAAA, Type.NS, Type.CNAME, Type.PTR, Type.MX, Type.TXT, Type.SRV, Type.SOA),
        *(Type.DNAME, 3, 4, 7, 8, 9, 17, 26, 731),
    ]
)
#: Types of which dnspython has one record in a set.
SINGLE = {Type.CNAME, Type.SOA, Type.DNAME}


@st.composite
def record_sets(draw: st.DrawFn) -> Records:
    """Make a set of records."""
    rtype = draw(RTYPES)
    rdatas = st.lists(
        rdata_of(rtype), min_size=1, max_size=1 if rtype in SINGLE else 3, unique_by=bytes.lower
    )
    return Records(draw(NAMES), rtype, draw(TTLS), tuple(draw(rdatas)))


#: No two sets of one name and type.
SETS = st.lists(
    record_sets(), max_size=4, unique_by=lambda each: (each.owner.lower(), each.rtype)
).map(tuple)
SECTIONS = st.builds(Sections, SETS, SETS, SETS)


def lowered(sections: Sections) -> list[list[tuple[object, ...]]]:
    """Give records without the case of letters and without the order in their sets.

    A pointer to another name can change the case, and dnspython shuffles what it writes.
    """
    return [
        [
            (each.owner.lower(), each.rtype, each.ttl, sorted(data.lower() for data in each.rdatas))
            for each in section
        ]
        for section in sections
    ]


@settings(max_examples=50)
@given(NAMES, SECTIONS, st.integers(0, 4))
def test_round_trip(key: bytes, sections: Sections, core: int) -> None:
    """Records come back as they were, but for the case of names."""
    assert lowered(decode_body(key.lower(), encode_body(key, sections, core))) == lowered(sections)


@settings(max_examples=50)
@given(NAMES, SECTIONS, st.integers(0, 4))
def test_core_is_a_body(key: bytes, sections: Sections, core: int) -> None:
    """The core alone is the same records without the additional ones that can be left out."""
    body = encode_body(key, sections, core)
    expected = sections._replace(additional=sections.additional[:core])
    if body.core_counts:
        body = Body(body.core_counts, body.tail[: body.core_bytes])
    assert lowered(decode_body(key.lower(), body)) == lowered(expected)


def message_of(key: bytes, body: Body) -> bytes:
    """Make a message with a body."""
    return b"\0\0\x80\0\0\1" + body.counts + key + b"\0\1\0\1" + body.tail


@settings(max_examples=50)
@given(NAMES, SECTIONS)
def test_dnspython_reads_the_same(key: bytes, sections: Sections) -> None:
    """What dnspython reads in our bytes are the records that they are."""
    message = dns.message.from_wire(
        message_of(key, encode_body(key, sections)), one_rr_per_rrset=True
    )
    read = [[from_rrset(each) for each in section] for section in message.sections[1:]]
    expected = [
        [
            Records(each.owner, each.rtype, each.ttl, (data,))
            for each in section
            for data in each.rdatas
        ]
        for section in sections
    ]
    assert lowered(Sections(*map(tuple, read))) == lowered(Sections(*map(tuple, expected)))


@settings(max_examples=50)
@given(NAMES, SECTIONS)
def test_we_read_what_dnspython_writes(key: bytes, sections: Sections) -> None:
    """We read dnspython's bytes as the records that they are."""
    message = dns.message.QueryMessage(0)
    message.flags |= 0x8000
    message.find_rrset(
        message.question,
        dns.name.from_wire(key, 0)[0],
        dns.rdataclass.IN,
        dns.rdatatype.A,
        create=True,
    )
    for section, records in zip(message.sections[1:], sections, strict=True):
        section += [to_rrset(each) for each in records]
    wire = message.to_wire(max_size=65535)
    body = Body(wire[6:12], wire[12 + len(key) + 4 :])
    assert lowered(decode_body(key, body)) == lowered(sections)


@given(st.binary(min_size=6, max_size=6), st.binary(max_size=200))
def test_any_bytes(counts: bytes, tail: bytes) -> None:
    """Any bytes are records, or a WireError."""
    try:
        sections = decode_body(KEY, Body(counts, tail))
    except WireError:
        return
    assert lowered(decode_body(KEY, encode_body(KEY, sections))) == lowered(sections)


def test_group() -> None:
    """Records of one name and type are a set with the lowest TTL, where the first of them stood."""
    found = group(
        [
            (b"\1A\0", Type.A, 300, A1),
            (b"\1b\0", Type.A, 300, A1),
            (b"\1a\0", Type.A, 200, A2),
            (b"\1a\0", Type.A, 400, A2),
            (b"\1a\0", Type.TXT, 400, b"\0"),
        ]
    )
    assert found == (
        Records(b"\1A\0", Type.A, 200, (A1, A2, A2)),
        Records(b"\1b\0", Type.A, 300, (A1,)),
        Records(b"\1a\0", Type.TXT, 400, (b"\0",)),
    )


ALIAS = encode_name("x.example.test")
TARGETS = st.sampled_from(["big.test", "www.example.test", "example.test", "a.b.big.test", "test"])


def whole(key: bytes, sections: Sections, body: Body) -> list[tuple[bytes, int, int, bytes]]:
    """Give all records of a body one by one, after a look at the bytes by dnspython."""
    message = bytes(2) + b"\x80\0\0\1" + body.counts + key + b"\0\1\0\1" + body.tail
    dns.message.from_wire(message)
    return [
        (each.owner.lower(), each.rtype, each.ttl, data)
        for section in decode_body(key, body)
        for each in section
        for data in each.rdatas
    ]


@given(st.data())
def test_splice(data: st.DataObject) -> None:
    """Bodies that are joined have the records of the one after those of the other, core and all."""
    end = data.draw(TARGETS)
    key = encode_name(end)
    hosts = [end, *data.draw(st.lists(TARGETS, max_size=4))]
    answer = tuple(one(each, Type.MX, f"1 {end}", "2 m.test") for each in dict.fromkeys(hosts))
    more = tuple(one(f"m.{each}", Type.A, "192.0.2.7") for each in dict.fromkeys(hosts))
    authority = (one(end, Type.SOA, f"{end} r.{end} 1 2 3 4 5"),)
    sections = Sections(answer, authority, more)
    body = encode_body(key, sections, data.draw(st.integers(0, len(more))))
    links = (one("x.example.test", Type.CNAME, f"Q.{end}"), one(f"q.{end}", Type.CNAME, end))
    joined = splice(ALIAS, encode_body(ALIAS, Sections(links)), key, body)
    assert joined is not None
    expected = encode_body(ALIAS, Sections((*links, *answer), authority, more))
    assert whole(ALIAS, sections, joined) == whole(ALIAS, sections, expected)
    assert bool(joined.core_counts) == bool(body.core_counts)
    if joined.core_counts:
        core = Body(joined.core_counts, joined.tail[: joined.core_bytes])
        own = Body(body.core_counts, body.tail[: body.core_bytes])
        assert decode_body(ALIAS, core).additional == decode_body(key, own).additional


LINK = encode_body(ALIAS, Sections((one("x.example.test", Type.CNAME, "big.test"),)))
BIG = encode_name("big.test")


def test_splice_of_large_sets() -> None:
    """A large body is cut once, whoever's alias it is put behind."""
    body = encode_body(
        BIG, Sections((one("big.test", Type.A, *(f"10.0.0.{i}" for i in range(200))),))
    )
    before = _cut_large.cache_info()
    for _ in range(3):
        joined = splice(ALIAS, LINK, BIG, body)
        assert joined is not None
        assert joined.counts == b"\0\xc9\0\0\0\0"
    after = _cut_large.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (1, 2)


def test_splice_without_pointers() -> None:
    """Records of which none has a pointer stay as they are."""
    body = Body(b"\0\1\0\0\0\0", BIG + b"\0\1\0\1\0\0\0\0\0\4abcd")
    joined = splice(ALIAS, LINK, BIG, body)
    assert joined is not None
    assert joined.tail == LINK.tail + body.tail


RECORD = b"\0\1\0\1\0\0\0\0\0\4abcd"


@pytest.mark.parametrize(
    ("chain", "body"),
    [
        # No alias, one that leads elsewhere, and nothing.
        (
            encode_body(ALIAS, Sections((one("x.example.test", Type.A, "192.0.2.1"),))),
            Body(bytes(6), b""),
        ),
        (
            encode_body(ALIAS, Sections((one("x.example.test", Type.CNAME, "a.test"),))),
            Body(bytes(6), b""),
        ),
        (Body(bytes(6), b""), Body(bytes(6), b"")),
        # More records than can be counted.
        (LINK, Body(b"\xff\xff\0\0\0\0", b"")),
        # Pointers to what will be too far away, into the header, and into the middle of a label.
        (LINK, Body(b"\0\1\0\0\0\0", b"\xff\xff" + RECORD)),
        (LINK, Body(b"\0\1\0\0\0\0", b"\xc0\0" + RECORD)),
        (LINK, Body(b"\0\1\0\0\0\0", b"\xc0\x0d" + RECORD)),
    ],
)
def test_no_splice(chain: Body, body: Body) -> None:
    """What cannot be joined as bytes is left to others."""
    assert splice(ALIAS, chain, BIG, body) is None


@pytest.mark.parametrize(
    "tail",
    [
        b"",
        b"\xc0",
        b"\xc0\x0c",
        b"\x05a",
        b"\xc0\x0c" + RECORD[:-1],
        b"\xc0\x0c" + RECORD + b"\0",
        b"\xc0\x0c\0\5\0\1\0\0\0\0\0\1\xc0\x0c",
    ],
)
def test_splice_of_no_records(tail: bytes) -> None:
    """Bytes that are no records are an error."""
    with pytest.raises(WireError):
        splice(ALIAS, LINK, BIG, Body(b"\0\1\0\0\0\0", tail))


@given(st.binary(max_size=6), st.binary(max_size=60), st.binary(max_size=60))
def test_splice_of_any_bytes(counts: bytes, first: bytes, second: bytes) -> None:
    """Any bytes are joined or are a WireError."""
    padded = counts.ljust(6, b"\0")
    for chain, body in ((LINK, Body(padded, second)), (Body(padded, first), Body(padded, second))):
        with suppress(WireError):
            splice(ALIAS, chain, BIG, body)
