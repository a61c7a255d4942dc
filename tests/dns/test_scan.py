"""Names and records of any message: what they are, what is wrong with others, and what it costs to see."""

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
from hypothesis import assume, given
from hypothesis import strategies as st

from asyncendpoints.dns.records import Type
from asyncendpoints.dns.scan import Scan, decode_name, end_of_name
from asyncendpoints.errors import WireError


def record(
    rtype: int, data: bytes = b"", owner: bytes = b"\0", rclass: int = 1, ttl: int = 5
) -> bytes:
    """Make a record."""
    return owner + struct.pack("!HHIH", rtype, rclass, ttl, len(data)) + data


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
