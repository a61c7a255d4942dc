"""The gate: what is a query, what is wrong with others, and what it costs to find out."""

from __future__ import annotations

import struct

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from asyncendpoints.dns.names import encode_name
from asyncendpoints.dns.query import AD, CD, DO, RD
from asyncendpoints.dns.records import Type
from asyncendpoints.dns.wire import QR, Rejection, WireQuery, decode_query
from tests.dns.test_scan import Counting, record

NAME = encode_name("Www.example.test")
QUESTION = NAME + b"\0\1\0\1"
HEADER = b"\x12\x34\1\0\0\1\0\0\0\0\0\0"
PLAIN = HEADER + QUESTION


def packet(
    flags: int = 0x0100,
    counts: tuple[int, int, int, int] = (1, 0, 0, 0),
    question: bytes = QUESTION,
    rest: bytes = b"",
) -> bytes:
    """Make a message."""
    return struct.pack("!HHHHHH", 0x1234, flags, *counts) + question + rest


def opt(data: bytes = b"", size: int = 1232, version: int = 0, flags: int = 0) -> bytes:
    """Make an OPT record."""
    return b"\0\0\x29" + struct.pack("!HBBHH", size, 0, version, flags, len(data)) + data


def with_opt(made: bytes, flags: int = 0x0100) -> bytes:
    """Make a query with an OPT record."""
    return packet(flags, (1, 0, 0, 1), rest=made)


OPTION_100 = b"\0\x64\0\4abcd"
TSIG = record(Type.TSIG, b"\0" * 16, rclass=255)

# Queries


def test_plain_query() -> None:
    """A query without EDNS."""
    assert decode_query(PLAIN) == WireQuery(
        key=NAME.lower(),
        qtype=1,
        qclass=1,
        flags=RD,
        reply_flags=QR | RD,
        question=QUESTION,
        payload=0,
        is_plain=True,
    )


@pytest.mark.parametrize(
    ("flags", "expected", "reply"),
    [
        (0, 0, QR),
        (RD, RD, QR | RD),
        (AD, AD, QR),
        (CD, CD, QR | CD),
        (RD | AD | CD, RD | AD | CD, QR | RD | CD),
        # AA, TC, RA, the reserved one, and a code mean nothing in a query.
        (0x0400, 0, QR),
        (0x0200, 0, QR),
        (0x0080, 0, QR),
        (0x0040, 0, QR),
        (0x07F0, RD | AD | CD, QR | RD | CD),
        (0x010F, RD, QR | RD),
    ],
)
@pytest.mark.parametrize("made", [b"", opt()])
def test_flags(flags: int, expected: int, reply: int, made: bytes) -> None:
    """RD and CD come back, AD is noted, and the others are cleared, with EDNS and without."""
    found = decode_query(packet(flags, (1, 0, 0, 1 if made else 0), rest=made))
    assert isinstance(found, WireQuery)
    assert (found.flags, found.reply_flags) == (expected, reply)


@pytest.mark.parametrize(
    ("made", "payload", "do", "plain"),
    [
        (opt(), 1232, 0, True),
        (opt(size=0), 512, 0, True),
        (opt(size=511), 512, 0, True),
        (opt(size=512), 512, 0, True),
        (opt(size=65535), 65535, 0, True),
        (opt(flags=DO), 1232, DO, True),
        # Flags that nobody has given a meaning.
        (opt(flags=0x7FFF), 1232, 0, True),
        (opt(OPTION_100), 1232, 0, False),
        (opt(OPTION_100, size=100, flags=0xFFFF), 512, DO, False),
        (opt(OPTION_100 * 3), 1232, 0, False),
    ],
)
def test_opt(made: bytes, payload: int, do: int, plain: bool) -> None:
    """An OPT tells the client's size, at least 512 bytes, and DO; its options are not looked at."""
    found = decode_query(with_opt(made))
    assert isinstance(found, WireQuery)
    assert (found.payload, found.flags & DO, found.is_plain) == (payload, do, plain)


@pytest.mark.parametrize(
    ("made", "count", "payload"),
    [
        (record(Type.A, b"1234"), 1, 0),
        (record(Type.A, b"1234") + opt(), 2, 1232),
        (opt() + record(Type.A, b"1234"), 2, 1232),
        (opt(flags=DO) + record(24, b"1234"), 2, 1232),
    ],
)
def test_other_additional_records(made: bytes, count: int, payload: int) -> None:
    """Records that have nothing to do there are passed over."""
    found = decode_query(packet(counts=(1, 0, 0, count), rest=made))
    assert isinstance(found, WireQuery)
    assert (found.payload, found.is_plain) == (payload, False)


@pytest.mark.parametrize("rtype", [*range(1, 110), *range(249, 261), 32769, 65280, 65535])
def test_types(rtype: int) -> None:
    """Every type is a type."""
    found = decode_query(packet(question=NAME + struct.pack("!HH", rtype, 1)))
    assert isinstance(found, WireQuery)
    assert found.qtype == rtype


@pytest.mark.parametrize(
    ("counts", "rest", "has_opt", "do"),
    [
        ((1, 0, 0, 0), b"", False, 0),
        ((1, 0, 0, 1), opt(flags=DO), True, DO),
        ((1, 0, 0, 2), opt(flags=DO) + record(24, b"1234"), True, DO),
        ((1, 0, 0, 2), record(24, b"1234") + record(24, b"1234"), False, 0),
    ],
)
def test_no_type(counts: tuple[int, int, int, int], rest: bytes, has_opt: bool, do: int) -> None:
    """Type 0 stands for none."""
    question = NAME + b"\0\0\0\1"
    found = decode_query(packet(counts=counts, question=question, rest=rest))
    assert found == Rejection(1, QR | RD, question, has_opt, do)


@pytest.mark.parametrize("rclass", [1, 3, 4, 254, 255, 0, 731])
def test_classes(rclass: int) -> None:
    """Every class is a class."""
    found = decode_query(packet(question=NAME + struct.pack("!HH", 1, rclass)))
    assert isinstance(found, WireQuery)
    assert found.qclass == rclass


@pytest.mark.parametrize(
    "name", [b"\0", b"\1a\0", b"\x3f" + b"a" * 63 + b"\0", b"\1a" * 127 + b"\0", b"\3\0\xff.\0"]
)
def test_names(name: bytes) -> None:
    """Any labels are a name, up to 255 bytes."""
    found = decode_query(packet(question=name + b"\0\1\0\1"))
    assert isinstance(found, WireQuery)
    assert found.key == name


def test_case() -> None:
    """The key is in lower case, the question as it came; only letters of ASCII have a case."""
    found = decode_query(packet(question=b"\4A\xc4[Z\0\0\1\0\1"))
    assert isinstance(found, WireQuery)
    assert (found.key, found.question) == (b"\4a\xc4[z\0", b"\4A\xc4[Z\0\0\1\0\1")


def test_ixfr() -> None:
    """An incremental transfer has one record of authority; which OPT it has counts as ever."""
    question = NAME + struct.pack("!HH", Type.IXFR, 1)
    soa = record(Type.SOA, b"\0\0" + bytes(20), owner=b"\xc0\x0c")
    found = decode_query(packet(0x0100, (1, 0, 1, 1), question, soa + opt(flags=DO)))
    assert found == WireQuery(NAME.lower(), 251, 1, RD | DO, QR | RD, question, 1232, False)


# What gets nothing


@pytest.mark.parametrize("size", range(12))
def test_less_than_a_header(size: int) -> None:
    """Less than a header gets nothing."""
    assert decode_query(PLAIN[:size]) is None


@pytest.mark.parametrize("opcode", range(16))
def test_replies(opcode: int) -> None:
    """A reply gets nothing, whatever its opcode: two servers would talk for ever."""
    assert decode_query(packet(0x8000 | opcode << 11)) is None


# What gets an error

FORMERR = Rejection(1, QR | RD)


@pytest.mark.parametrize("opcode", range(1, 16))
def test_opcodes(opcode: int) -> None:
    """Other opcodes than QUERY are not implemented: a header says so, with no other flag set."""
    assert decode_query(packet(opcode << 11 | 0x07FF)) == Rejection(4, QR | opcode << 11)


@pytest.mark.parametrize("size", range(12, len(PLAIN)))
def test_questions_cut_short(size: int) -> None:
    """A question that is not all there is a format error."""
    assert decode_query(PLAIN[:size]) == FORMERR


@pytest.mark.parametrize(
    "counts",
    [
        (0, 0, 0, 0),
        (2, 0, 0, 0),
        (0xFFFF, 0, 0, 0),
        (1, 1, 0, 0),
        (1, 0, 1, 0),
        (1, 0, 0, 1),
        (1, 0, 0, 2),
        (1, 0, 0, 3),
        (1, 0, 0, 0xFFFF),
    ],
)
def test_counts(counts: tuple[int, int, int, int]) -> None:
    """Another number of questions than one, and records that have no place or are not there, are wrong."""
    assert decode_query(packet(counts=counts)) == FORMERR


@pytest.mark.parametrize(
    "question",
    [
        b"\x40a\0\0\1\0\1",
        b"\x80a\0\0\1\0\1",
        b"\xc0\x0c\0\1\0\1",
        b"\xc0\x0e\0\1\0\1",
        b"\1a\xc0\x0c\0\1\0\1",
        b"\x40" + b"a" * 64 + b"\0\0\1\0\1",
        b"\1a" * 126 + b"\2bc\0\0\1\0\1",
        b"\1a" * 128 + b"\0\0\1\0\1",
        b"\1a" * 30_000 + b"\0\0\1\0\1",
    ],
)
def test_wrong_names(question: bytes) -> None:
    """Labels of unknown types, pointers, which have nothing to point to, and long names are wrong."""
    assert decode_query(packet(question=question)) == FORMERR


@pytest.mark.parametrize(
    ("count", "rest"),
    [
        (0, b"\0"),
        (1, opt() + b"\0"),
        (1, opt(OPTION_100) + b"\0"),
        (1, opt()[:-1]),
        (1, opt(OPTION_100)[:-1]),
        (2, opt()),
        (3, opt() + record(1) + record(1)),
        (1, b"\x40"),
        (1, b"\xc0"),
        (2, opt() + b"\xc0\xff" + record(1)[1:]),
        (2, TSIG + opt()),
        (2, TSIG + TSIG),
    ],
)
def test_wrong_additional_records(count: int, rest: bytes) -> None:
    """What does not end where the message ends, or stands after a signature, is wrong."""
    assert decode_query(packet(counts=(1, 0, 0, count), rest=rest)) == FORMERR


@pytest.mark.parametrize(
    ("count", "rest"),
    [
        (2, opt() + opt()),
        (1, b"\1a" + opt()),
        (1, opt(b"\0")),
        (1, opt(b"\0\1\0")),
        (1, opt(b"\0\1\0\1")),
        (1, opt(OPTION_100 + b"\0\1\0\5abcd")),
    ],
)
def test_wrong_opt(count: int, rest: bytes) -> None:
    """Two OPT records, one with an owner, and options that do not fit are wrong; the reply has an OPT."""
    expected = Rejection(1, QR | RD, QUESTION, has_opt=True)
    assert decode_query(packet(counts=(1, 0, 0, count), rest=rest)) == expected


@pytest.mark.parametrize("options", [b"", OPTION_100])
@pytest.mark.parametrize(("flags", "do"), [(0, 0), (DO, DO), (0x0040, 0), (0xFFFF, DO)])
@pytest.mark.parametrize("version", [1, 100, 255])
def test_bad_version(version: int, flags: int, do: int, options: bytes) -> None:
    """Another version of EDNS is told so, whatever else stands in the OPT; DO comes back."""
    made = opt(options, version=version, flags=flags)
    expected = Rejection(16, QR | RD | CD, QUESTION, has_opt=True, do=do)
    assert decode_query(with_opt(made, flags=0x07F0)) == expected


@pytest.mark.parametrize(
    ("count", "rest", "has_opt", "do"),
    [(1, TSIG, False, 0), (2, opt() + TSIG, True, 0), (2, opt(flags=DO) + TSIG, True, DO)],
)
def test_signed(count: int, rest: bytes, has_opt: bool, do: int) -> None:
    """A signed query is refused: nobody here has a key."""
    expected = Rejection(5, QR | RD, QUESTION, has_opt, do)
    assert decode_query(packet(counts=(1, 0, 0, count), rest=rest)) == expected


def test_two_records_of_authority() -> None:
    """A transfer with two records of authority is wrong."""
    question = NAME + struct.pack("!HH", Type.IXFR, 1)
    made = packet(0x0100, (1, 0, 2, 0), question, record(Type.SOA) * 2)
    assert decode_query(made) == FORMERR


# Against dnspython

MUTATIONS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3)
NAMES = st.lists(st.sampled_from(["a", "B", "test", "x" * 63]), max_size=3).map(".".join)


@st.composite
def queries(draw: st.DrawFn) -> bytes:
    """Make queries, of which some bytes were changed."""
    options: list[dns.edns.Option] = [dns.edns.GenericOption(dns.edns.OptionType.NSID, b"1234")]
    message = dns.message.make_query(
        dns.name.from_text(draw(NAMES)),
        draw(st.sampled_from(["A", "AAAA", "ANY", "TYPE731"])),
        draw(st.sampled_from(["IN", "CH", "ANY"])),
        use_edns=draw(st.sampled_from([-1, 0, 0, 1])),
        want_dnssec=draw(st.booleans()),
        payload=draw(st.sampled_from([0, 512, 1232, 65535])),
        options=draw(st.sampled_from([None, options])),
    )
    made = bytearray(message.to_wire())
    for at, value in draw(MUTATIONS):
        if at < len(made):
            made[at] = value
    return bytes(made[: draw(st.integers(0, len(made)))] if draw(st.integers(0, 9)) == 0 else made)


@settings(max_examples=150)
@given(queries())
def test_what_we_take_dnspython_reads_alike(made: bytes) -> None:
    """A query that we take is the same question with the same marks for dnspython."""
    found = decode_query(made)
    assume(isinstance(found, WireQuery))
    assert isinstance(found, WireQuery)
    message = dns.message.from_wire(made)
    assert message.opcode() == dns.opcode.QUERY
    question = message.question[0]
    assert (question.name.to_wire() or b"").lower() == found.key
    assert (question.rdtype, question.rdclass) == (found.qtype, found.qclass)
    assert message.flags & (RD | AD | CD) == found.flags & (RD | AD | CD)
    assert message.ednsflags & DO == found.flags & DO
    assert found.payload == (max(message.payload, 512) if message.edns >= 0 else 0)


def is_query(message: dns.message.Message) -> bool:
    """Tell whether we take what dnspython reads: it is less strict in these ways on purpose."""
    return (
        not message.flags & dns.flags.QR
        and message.opcode() == dns.opcode.QUERY
        and len(message.question) == 1
        and not (message.answer or message.authority)
        and message.edns <= 0
        and not message.had_tsig
    )


@settings(max_examples=150)
@given(queries())
def test_what_dnspython_reads_we_take(made: bytes) -> None:
    """A message that is a query for dnspython is one for us, but for what only we refuse."""
    try:
        message = dns.message.from_wire(made)
    except (dns.exception.DNSException, ValueError):
        assume(False)
    assume(is_query(message))
    counts = struct.unpack_from("!4H", made, 4)
    assume(counts[0] == 1 and counts[3] <= 2)
    assert isinstance(decode_query(made), WireQuery)


@given(st.binary(max_size=600) | st.binary(max_size=600).map(lambda each: HEADER[:4] + each))
def test_any_bytes(made: bytes) -> None:
    """Any bytes are a query, a rejection or nothing, and nothing is raised."""
    assert isinstance(decode_query(made), WireQuery | Rejection | None)


# Names and records of any message


@pytest.mark.parametrize(
    "made",
    [
        packet(question=b"\1a" * 2000),
        packet(question=b"\1a" * 32_000),
        with_opt(opt(b"\0\1\0\0" * 1000)),
        with_opt(opt(b"\0\1\0\0" * 16_000)),
        packet(
            counts=(1, 0, 0, 2), rest=record(99, b"\xc0\x0c" * 2000) + b"\xcf\x00" + record(1)[1:]
        ),
        packet(counts=(1, 0, 0, 2), rest=record(99, b"\1a" * 8000) + b"\xcf\x00" + record(1)[1:]),
        packet(
            counts=(1, 0, 0, 2),
            rest=record(99, b"".join((0xC02D + 2 * n).to_bytes(2, "big") for n in range(8000)))
            + b"\xfe\x00"
            + record(1)[1:],
        ),
    ],
)
def test_queries_cost_as_much_as_their_bytes(made: bytes) -> None:
    """However a query is made, its bytes are looked at no more often than there are bytes."""
    counted = Counting(made)
    decode_query(counted)
    assert counted.looks <= len(made) + 200
