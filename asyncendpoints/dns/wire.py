"""The gate: what a query is, found in its bytes before anything else looks at them, and records in a reply.

The law: any bytes whatever cost at most as much time as there are bytes, and raise at most `WireError`.

Pure: bytes in, values out.

Source: RFC 1035, section 4; RFC 6891, section 6.1; RFC 8906, section 8.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from struct import error as StructError  # noqa: N812 - it is one
from typing import TYPE_CHECKING, Final, NamedTuple

from asyncendpoints.dns.names import ROOT
from asyncendpoints.dns.query import AD, CD, DO, RD
from asyncendpoints.dns.records import IN, LONGEST_TTL, Type
from asyncendpoints.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "HEADER_BYTES",
    "LAYOUTS",
    "OPT_BYTES",
    "QR",
    "TC",
    "Rejection",
    "Scan",
    "WireQuery",
    "decode_name",
    "decode_query",
    "end_of_name",
]

#: Size of a header, in bytes: where the question of a message begins.
HEADER_BYTES: Final = 12
#: Size of an OPT record without options, in bytes.
OPT_BYTES: Final = 11

_FIXED = Struct("!HHIH").unpack_from
_COUNTS = Struct("!HHHH")
_TYPE_AND_CLASS = Struct("!HH").unpack_from

#: How many labels and pointers a message may have followed through its pointers. Targets are in the first 16
#: KiB, so that an honest message has a thousand different ones of a few labels each; this many take about two
#: milliseconds.
_MOST_STEPS = 8_000
#: How many pointers one name may have: as many as it can have labels.
_MOST_POINTERS = 127


def end_of_name(message: bytes, start: int) -> int:
    """Find the first byte after a name that is known to be right, and ends without a pointer."""
    while size := message[start]:
        start += 1 + size
    return start + 1


def decode_name(message: bytes, start: int) -> tuple[bytes, int]:
    """Read one name out of a message.

    Compression pointers are followed; each must point before the part of the name that it ends.

    Args:
        message: The whole message: pointers count from its first byte.
        start: Offset of the name, in bytes.

    Returns:
        The name in wire form, its case kept, and the offset of the first byte after it.

    Raises:
        WireError: The name runs past the end, a pointer does not point back, or the name is too long.

    Source: RFC 1035, section 4.1.4.
    """
    return Scan(message, start).name_at(start)


class Scan:
    """Reads names and records one after another out of a message.

    Args:
        message: The whole message.
        position: Where to begin, in bytes.
    """

    __slots__ = ("_names", "_steps", "message", "position")

    def __init__(self, message: bytes, position: int = HEADER_BYTES) -> None:
        self.message = message
        self.position = position
        self._steps = _MOST_STEPS
        #: Names that were pointed to, which are pointed to again as a rule.
        self._names: dict[int, bytes] = {}

    def name(self) -> bytes:
        """Read the name at `position`.

        Raises:
            WireError: As `decode_name` does.
        """
        name, self.position = self.name_at(self.position)
        return name

    def name_at(self, start: int) -> tuple[bytes, int]:
        """Read the name at some offset, and give it and the first offset after it.

        Raises:
            WireError: As `decode_name` does.
        """
        message = self.message
        position = start
        try:
            size = message[position]
            if size >= 0xC0:  # as most owners are
                target = (size & 0x3F) << 8 | message[position + 1]
                if target < start and target in self._names:
                    return self._names[target], position + 2
            while 0 < (size := message[position]) < 64:
                position += 1 + size
            if size:
                name = message[start:position] + self._pointed(start, position)
                end = position + 2
            else:
                end = position + 1
                name = message[start:end]
        except IndexError:
            raise self.wrong(f"the name at byte {start} runs past the end") from None
        if len(name) > 255:
            raise self._too_long(start)
        return name, end

    def _pointed(self, start: int, position: int) -> bytes:
        """Give the name that the pointer at ``position`` leads to, from a name that begins at ``start``."""
        target = self._target(start, position)
        found = self._names.get(target)
        if found is None:
            found = self._names[target] = self._followed(target)
        return found

    def _target(self, start: int, position: int) -> int:
        """Read a pointer, which leads to before the ``start`` of the part of the name that it ends."""
        message = self.message
        size = message[position]
        if size < 0xC0:
            raise self.wrong(f"the label at byte {position} has an unknown type")
        target = (size & 0x3F) << 8 | message[position + 1]
        if not HEADER_BYTES <= target < start:
            raise self.wrong(f"the pointer at byte {position} does not point back to a name")
        return target

    def _followed(self, start: int) -> bytes:
        """Read the name at the target of a pointer. Not by recursion: chains of pointers can be long."""
        message = self.message
        name = b""
        for _ in range(_MOST_POINTERS):
            position, longest = start, start + 255
            while 0 < (size := message[position]) < 64 and position < longest:
                position += 1 + size
                self._steps -= 1
            name += message[start:position]
            self._steps -= 1
            if len(name) > 254:
                raise self._too_long(position)
            if self._steps < 0:
                raise self.wrong("its pointers lead through more labels than an honest one has")
            if not size:
                return name + ROOT
            start = self._target(start, position)
            if start in self._names:
                name += self._names[start]
                if len(name) > 255:
                    raise self._too_long(position)
                return name
        raise self.wrong(f"a name has more than {_MOST_POINTERS} pointers")

    def _too_long(self, position: int) -> WireError:
        return self.wrong(f"the name around byte {position} takes more than 255 bytes")

    def record(self) -> tuple[bytes, int, int, int, int]:
        """Read the owner and the fixed part of the record at `position`, and go to the next one.

        The TTL is as it stands there: that of an OPT is no time.

        Returns:
            The owner, the type, the class, the TTL and where the data begins; it ends at `position`.

        Raises:
            WireError: The record runs past the end, or its owner is no name.
        """
        owner, start = self.name_at(self.position)
        try:
            rtype, rclass, ttl, size = _FIXED(self.message, start)
        except StructError:
            raise self._cut() from None
        end = start + 10 + size
        if end > len(self.message):
            raise self._cut()
        self.position = end
        return owner, rtype, rclass, ttl, start + 10

    def records(self, count: int) -> Iterator[tuple[bytes, int, int, bytes]]:
        """Read records of class IN, and give owner, type, TTL and data, no name in it compressed.

        Records of other classes are left out.

        Raises:
            WireError: They are not all there, or one of them is malformed.
        """
        record, data, longest = self.record, self.data, LONGEST_TTL
        for _ in range(count):
            owner, rtype, rclass, ttl, start = record()
            if rclass == IN:
                yield owner, rtype, ttl if ttl <= longest else 0, data(rtype, start, self.position)

    def data(self, rtype: int, start: int, end: int) -> bytes:
        """Give the data of a record, no name in it compressed.

        Raises:
            WireError: A name in it is malformed, or does not fit in it.
        """
        layout = LAYOUTS.get(rtype)
        if layout is None:
            return self.message[start:end]
        before, names, after = layout
        position = start + before
        data = self.message[start:position]
        for _ in range(names):
            name, position = self.name_at(position)
            data += name
        if position + after != end:
            raise self.wrong(f"the data at byte {start} does not have the length of its type")
        return data + self.message[position:end]

    def _cut(self) -> WireError:
        return self.wrong(f"the record at byte {self.position} runs past the end")

    def wrong(self, problem: str) -> WireError:
        """Make the error of this message."""
        return WireError(len(self.message), problem)


#: The data of types of one layout, and of those in which a sender may have compressed names: how many bytes
#: come before the first name, how many names there are, and how many bytes come after them.
#: Source: RFC 1035, section 3.3; RFC 3596, section 2.2; RFC 3597, section 4.
LAYOUTS: Final = {
    Type.A: (4, 0, 0),
    Type.AAAA: (16, 0, 0),
    Type.NS: (0, 1, 0),
    3: (0, 1, 0),  # MD
    4: (0, 1, 0),  # MF
    Type.CNAME: (0, 1, 0),
    Type.SOA: (0, 2, 20),
    7: (0, 1, 0),  # MB
    8: (0, 1, 0),  # MG
    9: (0, 1, 0),  # MR
    Type.PTR: (0, 1, 0),
    14: (0, 2, 0),  # MINFO
    Type.MX: (2, 1, 0),
    17: (0, 2, 0),  # RP
    18: (2, 1, 0),  # AFSDB
    21: (2, 1, 0),  # RT
    26: (2, 2, 0),  # PX
    Type.SRV: (6, 1, 0),
    36: (2, 1, 0),  # KX
    Type.DNAME: (0, 1, 0),
}


class Header(NamedTuple):
    """What the flags and counts of a usual query say."""

    #: Of RD, AD and CD those that are set.
    flags: int
    #: The flags of a reply: QR, and RD and CD as in the query.
    reply_flags: int
    #: Whether one record follows the question, which is an OPT as a rule.
    has_more: bool


class WireQuery(NamedTuple):
    """A query that is right, of a type and class that may be served or not."""

    #: The name in wire form, in lower case.
    key: bytes
    qtype: int
    qclass: int
    #: Of RD, AD, CD and DO those that are set.
    flags: int
    #: The flags of a reply: QR, and RD and CD as in the query.
    reply_flags: int
    #: The question as it came: name, type and class.
    question: bytes
    #: The largest UDP message that the client takes, in bytes; 0 if it has no EDNS.
    payload: int
    #: Whether the reply depends on these things alone: there are no EDNS options.
    is_plain: bool


class Rejection(NamedTuple):
    """A query that gets an error before anybody is asked."""

    rcode: int
    #: The flags of the reply, with QR and the opcode.
    reply_flags: int
    #: The question as it came, where the reply has it.
    question: bytes = b""
    #: Whether the reply has an OPT.
    has_opt: bool = False
    #: DO, if it is set there.
    do: int = 0


#: The flags that mean nothing in a query: AA, TC, RA and the reserved one.
_IGNORED = (0x0400, 0x0200, 0x0080, 0x0040)
QR: Final = 0x8000
TC: Final = 0x0200


def _headers() -> dict[bytes, Header]:
    """Make the table from the ten bytes after the identifier to what they mean."""
    table = {}
    for bits in range(1 << 7):
        chosen = [each for i, each in enumerate((RD, AD, CD, *_IGNORED)) if bits >> i & 1]
        flags = sum(chosen)
        for more in (0, 1):
            counts = b"\0\1\0\0\0\0" + bytes((0, more))
            header = Header(flags & (RD | AD | CD), QR | flags & (RD | CD), bool(more))
            table[flags.to_bytes(2, "big") + counts] = header
    return table


#: From the ten bytes of a usual query after its identifier to what they mean.
HEADERS: Final = _headers()

#: An OPT record without options: owner and type; then size, code, version, flags; then no data.
_OPT_START = b"\0\0\x29"
_NO_DATA = b"\0\0"
#: What clients put there is the same over and over.
_OPTS_KEPT = 256


def decode_query(packet: bytes) -> WireQuery | Rejection | None:
    """Find out what a client asks, or why it gets an error, or that it gets nothing.

    Nothing is raised, whatever the bytes are.

    Args:
        packet: A whole message, of at most 65,535 bytes.

    Returns:
        None for what is no query: a reply, or less than a header.

    Source: RFC 1035, section 4.1; RFC 6891, section 6.1; RFC 6895, section 3.1, for type 0; RFC 9619.
    """
    header = HEADERS.get(packet[2:HEADER_BYTES])
    if header is None:
        return _unusual(packet)
    end = _end_of_question(packet)
    if end < 0:
        return _format_error(packet)
    flags, reply_flags, has_more = header
    payload, is_plain = 0, True
    if not has_more:
        if len(packet) != end:
            return _format_error(packet)
    elif len(packet) == end + OPT_BYTES and (usual := _usual_opt(packet[end:])) is not None:
        payload, do = usual
        flags |= do
    else:
        additional = _additional(packet, end, 1)
        if isinstance(additional, Rejection):
            return additional
        payload, do = additional
        flags |= do
        is_plain = False
    question = packet[HEADER_BYTES:end]
    qtype, qclass = _TYPE_AND_CLASS(packet, end - 4)
    if not qtype:
        return Rejection(1, reply_flags, question, bool(payload), flags & DO)
    # Past the constructor of the tuple, which is a function in Python.
    return tuple.__new__(
        WireQuery,
        (question[:-4].lower(), qtype, qclass, flags, reply_flags, question, payload, is_plain),
    )


@lru_cache(_OPTS_KEPT)
def _usual_opt(record: bytes) -> tuple[int, int] | None:
    """Read the OPT record of nearly all queries, which has no options.

    Returns:
        The size of the client's largest UDP message and DO; None if it is another record.
    """
    if not record.startswith(_OPT_START) or not record.endswith(_NO_DATA) or record[6]:
        return None
    return max(record[3] << 8 | record[4], 512), record[7] << 8 & DO


def _end_of_question(packet: bytes) -> int:
    """Find the first byte after the question, or -1 if it is malformed.

    A name before all others has nothing to point to.
    """
    position = HEADER_BYTES
    try:
        while size := packet[position]:
            if size > 63:
                return -1
            position += 1 + size
    except IndexError:
        return -1
    end = position + 5
    return end if end <= len(packet) and position <= HEADER_BYTES + 254 else -1


def _format_error(packet: bytes) -> Rejection:
    return Rejection(1, QR | (packet[2] << 8) & RD)


def _unusual(packet: bytes) -> WireQuery | Rejection | None:
    """Look at a query whose flags or counts are not those of a usual one."""
    if len(packet) < HEADER_BYTES or packet[2] & 0x80:
        return None
    opcode = packet[2] & 0x78
    if opcode:
        return Rejection(4, QR | opcode << 8)
    questions, answers, authorities, additionals = _COUNTS.unpack_from(packet, 4)
    end = _end_of_question(packet)
    if questions != 1 or answers or additionals > 2 or end < 0:
        return _format_error(packet)
    qtype = packet[end - 4] << 8 | packet[end - 3]
    if authorities > (qtype == Type.IXFR):  # what the client has of the zone whose changes it wants
        return _format_error(packet)
    additional = _additional(packet, end, additionals, authorities)
    if isinstance(additional, Rejection):
        return additional
    payload, do = additional
    if not qtype:
        return _rejected(packet, end, 1, do if payload else None)
    flags = packet[2] << 8 | packet[3]
    return WireQuery(
        packet[HEADER_BYTES : end - 4].lower(),
        qtype,
        packet[end - 2] << 8 | packet[end - 1],
        flags & (RD | AD | CD) | do,
        QR | flags & (RD | CD),
        packet[HEADER_BYTES:end],
        payload,
        False,
    )


def _additional(
    packet: bytes, end: int, count: int, before: int = 0
) -> tuple[int, int] | Rejection:
    """Look at what follows the question: at most an OPT, and a TSIG, which nobody here can check.

    Args:
        packet: The whole message.
        end: Where the question ends.
        count: How many additional records there are.
        before: How many other records there are before them.

    Returns:
        The size of the client's largest UDP message and DO, or what is wrong.
    """
    scan = Scan(packet, end)
    opt: tuple[int, int, int] | None = None
    is_signed = False
    try:
        for _ in range(before):
            scan.record()
        for _ in range(count):
            owner, rtype, rclass, ttl, start = scan.record()
            if is_signed:
                return _format_error(packet)
            if rtype == Type.OPT:
                if opt is not None or owner != ROOT:
                    return _rejected(packet, end, 1, ttl & DO)
                if not _are_options(packet, start, scan.position):
                    return _rejected(packet, end, 1, ttl & DO)
                opt = rclass, ttl >> 16 & 0xFF, ttl & DO
            is_signed = rtype == Type.TSIG
    except WireError:
        return _format_error(packet)
    if scan.position != len(packet):
        return _format_error(packet)
    if opt is not None and opt[1]:
        return _rejected(packet, end, 16, opt[2])
    if is_signed:
        return _rejected(packet, end, 5, None if opt is None else opt[2])
    return (0, 0) if opt is None else (max(opt[0], 512), opt[2])


def _rejected(packet: bytes, end: int, rcode: int, do: int | None) -> Rejection:
    """Reject a query whose question is right; ``do`` is None where there is no OPT.

    Source: RFC 6891, section 7: the question and an OPT are in the reply to a wrong OPT too.
    """
    flags = QR | (packet[2] << 8 | packet[3]) & (RD | CD)
    return Rejection(rcode, flags, packet[HEADER_BYTES:end], do is not None, do or 0)


def _are_options(packet: bytes, start: int, end: int) -> bool:
    """Tell whether the data of an OPT is a sequence of options, each of which fits."""
    while start + 4 <= end:
        start += 4 + (packet[start + 2] << 8 | packet[start + 3])
    return start == end
