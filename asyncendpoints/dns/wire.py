"""The gate: what a query is, found in its bytes before anything else looks at them.

The law: any bytes whatever cost at most as much time as there are bytes, and raise at most `WireError`.

Pure: bytes in, values out.

Source: RFC 1035, section 4.1; RFC 6891, section 6.1; RFC 8906, section 8.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import Final, NamedTuple

from asyncendpoints.dns.names import ROOT
from asyncendpoints.dns.query import AD, CD, DO, RD
from asyncendpoints.dns.records import Type
from asyncendpoints.dns.scan import HEADER_BYTES, Scan
from asyncendpoints.errors import WireError

__all__ = [
    "OPT_BYTES",
    "QR",
    "TC",
    "Rejection",
    "WireQuery",
    "decode_query",
]

#: Size of an OPT record without options, in bytes.
OPT_BYTES: Final = 11

_COUNTS = Struct("!HHHH")
_TYPE_AND_CLASS = Struct("!HH").unpack_from


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
