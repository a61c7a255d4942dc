"""The gate: what is a query, what is wrong with others, and what it costs to find out."""

from __future__ import annotations

import struct
from typing import Any

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
from asyncendpoints.dns.wire import (
    QR,
    Rejection,
    Scan,
    WireQuery,
    decode_name,
    decode_query,
    end_of_name,
)
from asyncendpoints.errors import WireError

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


def record(
    rtype: int, data: bytes = b"", owner: bytes = b"\0", rclass: int = 1, ttl: int = 5
) -> bytes:
    """Make a record."""
    return owner + struct.pack("!HHIH", rtype, rclass, ttl, len(data)) + data


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

#: A message with names of every kind behind its header.
MESSAGE = bytes(12) + b"\1a\1b\0" + b"\1c\xc0\x0c" + b"\xc0\x11" + b"\xc0\x10" + b"\1d\xc0\x13"


@pytest.mark.parametrize(
    ("start", "name", "end"),
    [
        (12, b"\1a\1b\0", 17),
        (14, b"\1b\0", 17),
        (16, b"\0", 17),
        (17, b"\1c\1a\1b\0", 21),
        (21, b"\1c\1a\1b\0", 23),
        (23, b"\0", 25),
        (25, b"\1d\1a\1b\0", 29),
    ],
)
def test_decode_name(start: int, name: bytes, end: int) -> None:
    """A name is read to its end, through its pointers; a pointer can point to a pointer."""
    assert decode_name(MESSAGE, start) == (name, end)


@pytest.mark.parametrize(
    ("wire", "problem"),
    [
        (b"", "the name at byte 12 runs past the end"),
        (b"\1", "the name at byte 12 runs past the end"),
        (b"\1a", "the name at byte 12 runs past the end"),
        (b"\5a\0", "the name at byte 12 runs past the end"),
        (b"\xc0", "the name at byte 12 runs past the end"),
        (b"\1a\xc0", "the name at byte 12 runs past the end"),
        (b"\x40a\0", "the label at byte 12 has an unknown type"),
        (b"\1a\x80", "the label at byte 14 has an unknown type"),
        (b"\xc0\x0c", "the pointer at byte 12 does not point back to a name"),
        (b"\xc0\x0e\0", "the pointer at byte 12 does not point back to a name"),
        (b"\xff\xff", "the pointer at byte 12 does not point back to a name"),
        # To its own first label, and into the header.
        (b"\1a\xc0\x0c", "the pointer at byte 14 does not point back to a name"),
        (b"\xc0\x0b", "the pointer at byte 12 does not point back to a name"),
        (b"\1a" * 126 + b"\2bc\0", "the name around byte 12 takes more than 255 bytes"),
        (b"\1a" * 128 + b"\0", "the name around byte 12 takes more than 255 bytes"),
    ],
)
def test_decode_name_refuses(wire: bytes, problem: str) -> None:
    """Each is no name, and the error says why and where."""
    with pytest.raises(WireError) as caught:
        decode_name(bytes(12) + wire, 12)
    assert (caught.value.size, caught.value.problem) == (12 + len(wire), problem)


def test_message_of_the_error() -> None:
    """The error shows how many bytes there are, and what is wrong."""
    with pytest.raises(WireError) as caught:
        decode_name(bytes(31), 31)
    assert str(caught.value) == "DNS message of 31 bytes: the name at byte 31 runs past the end"


@pytest.mark.parametrize(
    ("before", "wire", "problem"),
    [
        # What is pointed to points forwards, to itself, is cut short, or has an unknown label.
        (b"\xc0\x10\0\0", b"\xc0\x0c", "the pointer at byte 12 does not point back to a name"),
        (b"\1a\xc0\x0c", b"\xc0\x0c", "the pointer at byte 14 does not point back to a name"),
        (b"\x3fab", b"\xc0\x0c", "the name at byte 15 runs past the end"),
        (b"\x41a\0", b"\xc0\x0c", "the label at byte 12 has an unknown type"),
        # Together they are too long.
        (b"\1a" * 128 + b"\0", b"\xc0\x0c", "the name around byte 268 takes more than 255 bytes"),
        (
            b"\1a" * 127 + b"\0",
            b"\1b\xc0\x0c",
            "the name around byte 267 takes more than 255 bytes",
        ),
    ],
)
def test_wrong_targets(before: bytes, wire: bytes, problem: str) -> None:
    """A pointer to what is no name is none either."""
    with pytest.raises(WireError) as caught:
        decode_name(bytes(12) + before + wire, 12 + len(before))
    assert caught.value.problem == problem


def test_two_known_ends_make_a_long_name() -> None:
    """A name is too long with the end of a name that was pointed to before, too."""
    message = (
        bytes(12) + b"\1a" * 120 + b"\0" + b"\1b" * 10 + b"\xc0\x0c" + b"\xc0\x0c" + b"\xc0\xfd"
    )
    scan = Scan(message, len(message) - 4)
    assert scan.name() == b"\1a" * 120 + b"\0"
    with pytest.raises(WireError, match="takes more than 255 bytes"):
        scan.name()


def test_known_targets_are_before_what_points_to_them() -> None:
    """A pointer forwards is wrong also to a name that was pointed to before."""
    scan = Scan(bytes(12) + b"\xc0\x0e" + b"\1a\0" + b"\xc0\x0e", 17)
    assert scan.name() == b"\1a\0"
    with pytest.raises(WireError, match="the pointer at byte 12 does not point back to a name"):
        scan.name_at(12)


def test_longest_name_through_a_pointer() -> None:
    """A name of 255 bytes is one, through a pointer too, and through one that was followed before."""
    message = bytes(12) + b"\1a" * 120 + b"\0" + b"\1b" * 7 + b"\xc0\x0c"
    longest = b"\1b" * 7 + b"\1a" * 120 + b"\0"
    scan = Scan(message + b"\xc0\x0c" + (0xC000 | 12 + 241).to_bytes(2, "big"), 12 + 241)
    assert (scan.name(), scan.name(), scan.name()) == (longest, b"\1a" * 120 + b"\0", longest)


@pytest.mark.parametrize(("pointers", "fits"), [(126, True), (127, True), (128, False)])
def test_pointers_to_pointers(pointers: int, fits: bool) -> None:
    """A name leads through 127 pointers at most: as many as it can have labels."""
    chain = b"".join((0xC000 | 11 + 2 * each).to_bytes(2, "big") for each in range(1, pointers))
    message = bytes(12) + b"\0" + b"\xc0\x0c" + chain
    scan = Scan(message, len(message) - 2)
    if fits:
        assert scan.name() == b"\0"
        return
    with pytest.raises(WireError, match="a name has more than 127 pointers"):
        scan.name()


def test_known_pointers_cost_nothing() -> None:
    """A chain of pointers of any length is followed if each was followed before."""
    chain = b"".join((0xC000 | 11 + 2 * each).to_bytes(2, "big") for each in range(1, 1000))
    scan = Scan(bytes(12) + b"\0" + b"\xc0\x0c" + chain, 13)
    assert {scan.name() for _ in range(1000)} == {b"\0"}


class Counting(bytes):
    """Bytes that count how often one of them is looked at."""

    looks = 0

    def __getitem__(self, at: Any) -> Any:
        self.looks += 1
        return super().__getitem__(at)


def names_of_many_labels(count: int) -> bytes:
    """Make a message of which a part is short labels, and the rest pointers to different places there."""
    area = (b"\1y" * 126 + b"\0") * 60
    pointers = [(0xC000 | 12 + 253 * (each % 60) + 2 * (each // 60)) for each in range(count)]
    return bytes(12) + area + b"".join(each.to_bytes(2, "big") for each in pointers)


def test_steps_are_counted() -> None:
    """A message whose pointers lead through more labels than an honest one has is refused."""
    message = Counting(names_of_many_labels(5000))
    scan = Scan(message, 12 + 253 * 60)
    with pytest.raises(
        WireError, match="its pointers lead through more labels than an honest one has"
    ):
        list(iter(scan.name, b""))
    assert message.looks < 20_000


def test_as_many_steps_as_an_honest_message_has() -> None:
    """A message with a thousand names that are pointed to once each is read."""
    names = b"".join(b"\4%04d\4zone\4test\0" % each for each in range(1000))
    pointers = b"".join((0xC000 | 12 + 16 * each).to_bytes(2, "big") for each in range(1000))
    scan = Scan(bytes(12) + names + pointers, 12 + len(names))
    found = [scan.name() for _ in range(1000)]
    assert found[999] == b"\x040999\4zone\4test\0"


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


POINTERS = st.integers(0xC000, 0xC040).map(lambda each: each.to_bytes(2, "big"))
PIECES = st.lists(POINTERS | st.sampled_from([b"\0", b"\1a", b"\2bc", b"\x40"]), max_size=20)


@given(st.binary(max_size=60) | PIECES.map(b"".join), st.integers(0, 60))
def test_any_name(wire: bytes, start: int) -> None:
    """Any bytes are a name that ends in the message, or a WireError."""
    message = bytes(12) + wire
    try:
        name, end = decode_name(message, start)
    except WireError:
        return
    assert start < end <= len(message)
    assert decode_name(name, 0) == (name, len(name))
    assert end_of_name(name, 0) == len(name) <= 255


@given(PIECES.map(b"".join), st.integers(12, 60))
def test_names_as_dnspython(wire: bytes, start: int) -> None:
    """What we read as a name, dnspython reads as the same; it also follows pointers into the header."""
    message = bytes(12) + wire
    try:
        expected = dns.name.from_wire(message, start)
    except (dns.exception.DNSException, IndexError):
        expected = None
    try:
        name, end = decode_name(message, start)
    except WireError as error:
        assume("does not point back" not in error.problem)
        found = None
    else:
        found = dns.name.from_wire(name, 0)[0], end - start
    assert found == expected


def test_record() -> None:
    """A record is its owner, what is fixed, and where its data begins; it is passed over whole."""
    scan = Scan(bytes(12) + record(731, b"data", b"\1a\0", 3, 0xFFFFFFFF) + record(1))
    assert scan.record() == (b"\1a\0", 731, 3, 0xFFFFFFFF, 25)
    assert scan.position == 29
    assert scan.record() == (b"\0", 1, 1, 5, 40)


@pytest.mark.parametrize("size", range(len(record(731, b"data", b"\1a\0"))))
def test_records_cut_short(size: int) -> None:
    """A record that is not all there is wrong."""
    with pytest.raises(WireError, match="at byte 12 runs past the end"):
        Scan(bytes(12) + record(731, b"data", b"\1a\0")[:size]).record()


def test_records() -> None:
    """Records come with the names in their data written out; those of other classes are left out."""
    message = (
        bytes(12)
        + record(Type.NS, b"\1b\xc0\x0c", b"\1a\0")
        + record(Type.A, b"1234", b"\xc0\x0c", rclass=3)
        + record(Type.A, b"1234", b"\xc0\x0c", ttl=2**31)
        + record(Type.A, b"1234", b"\xc0\x0c", ttl=2**31 - 1)
    )
    assert list(Scan(message).records(4)) == [
        (b"\1a\0", Type.NS, 5, b"\1b\1a\0"),
        (b"\1a\0", Type.A, 0, b"1234"),
        (b"\1a\0", Type.A, 2**31 - 1, b"1234"),
    ]


P = b"\xc0\x0c"


@pytest.mark.parametrize(
    ("rtype", "data", "expected"),
    [
        (Type.A, b"1234", b"1234"),
        (Type.AAAA, bytes(16), bytes(16)),
        (Type.CNAME, P, b"\1a\0"),
        (Type.PTR, b"\0", b"\0"),
        (Type.DNAME, P, b"\1a\0"),
        (Type.SOA, P + b"\1b" + P + bytes(20), b"\1a\0\1b\1a\0" + bytes(20)),
        (Type.MX, b"\0\1" + P, b"\0\1\1a\0"),
        (Type.SRV, b"123456" + P, b"123456\1a\0"),
        (14, P + P, b"\1a\0\1a\0"),
        (17, P + P, b"\1a\0\1a\0"),
        (18, b"\0\1" + P, b"\0\1\1a\0"),
        (21, b"\0\1" + P, b"\0\1\1a\0"),
        (26, b"\0\1" + P + P, b"\0\1\1a\0\1a\0"),
        (36, b"\0\1" + P, b"\0\1\1a\0"),
        (3, P, b"\1a\0"),
        (4, P, b"\1a\0"),
        (7, P, b"\1a\0"),
        (8, P, b"\1a\0"),
        (9, P, b"\1a\0"),
        # What is not known to have names is left alone.
        (Type.TXT, P, P),
        (731, P, P),
    ],
)
def test_data(rtype: int, data: bytes, expected: bytes) -> None:
    """Names in data are written out where a sender may have compressed them, and nowhere else."""
    message = bytes(12) + b"\1a\0" + record(rtype, data)
    scan = Scan(message, 15)
    assert [each[3] for each in scan.records(1)] == [expected]


@pytest.mark.parametrize(
    ("rtype", "data"),
    [
        (Type.A, b"123"),
        (Type.A, b"12345"),
        (Type.AAAA, b"1234"),
        (Type.CNAME, b""),
        (Type.CNAME, P + b"\0"),
        (Type.CNAME, b"\1a"),
        (Type.SOA, P + P),
        (Type.SOA, P + P + bytes(19)),
        (Type.SOA, P + P + bytes(21)),
        (Type.MX, b"\0"),
        (Type.MX, b"\0\1"),
        (17, P),
    ],
)
def test_data_of_a_wrong_length(rtype: int, data: bytes) -> None:
    """Data that does not have the length of its type is wrong, though the next record would fill it."""
    message = bytes(12) + b"\1a\0" + record(rtype, data) + record(731, bytes(30))
    with pytest.raises(WireError, match="does not have the length of its type"):
        list(Scan(message, 15).records(2))


@given(st.binary(max_size=200), st.integers(0, 5), st.integers(0, 40))
def test_any_records(message: bytes, count: int, start: int) -> None:
    """Any bytes are records, or a WireError."""
    try:
        found = list(Scan(message, start).records(count))
    except WireError:
        return
    assert len(found) <= count


def test_end_of_name() -> None:
    """A name ends after its root."""
    assert end_of_name(b"..\1a\1b\0..", 2) == 7
