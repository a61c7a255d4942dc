"""DNS messages to be looked at: everything that a server said, as text that is safe to print.

The law: whatever the bytes are, at most `WireError` is raised, and no byte of them reaches a terminal as a
control character.

Pure: bytes or an outcome in, text out.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

import dns.edns
import dns.rdata
import dns.rdataclass
import dns.rdatatype
from dns.rcode import Rcode as RcodeName

from asyncendpoints.cli.terminal import printable
from asyncendpoints.dns.names import ROOT, format_name
from asyncendpoints.dns.outcome import TRUNCATED, Outcome, Response
from asyncendpoints.dns.query import AD, CD, DO, RD, Query
from asyncendpoints.dns.records import IN, Type, format_type
from asyncendpoints.dns.scan import HEADER_BYTES, LAYOUTS, Scan, end_of_name
from asyncendpoints.dns.wire import QR, TC

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ExtendedError", "Message", "Record", "decode_message", "encode_query", "message_of"]

#: The largest UDP message that is asked for, in bytes. Source: RFC 9715, section 3.
_PAYLOAD: Final = 1232
_AA: Final = 0x0400
_RA: Final = 0x0080
_FLAGS: Final = ((_AA, "aa"), (TC, "tc"), (RD, "rd"), (_RA, "ra"), (AD, "ad"), (CD, "cd"))

_HEADER = Struct("!HHHHHH")
_EDE_OPTION = 15
_ERROR_NAMES = {int(each): each.name.replace("_", " ").lower() for each in dns.edns.EDECode}

#: Types that are shown as bytes: HIP is a list of names, each of which may hide a walk through the rest.
_SHOWN_AS_BYTES = {55}


class Record(NamedTuple):
    """One record, as text."""

    #: With its final dot.
    name: str
    #: Seconds.
    ttl: int
    type: str
    data: str


class ExtendedError(NamedTuple):
    """An extended error. Source: RFC 8914."""

    code: int
    #: What the code stands for, empty if nobody knows.
    name: str
    #: What the server adds.
    text: str

    def __str__(self) -> str:
        name = f" {self.name}" if self.name else ""
        return f"{self.code}{name}: {self.text}" if self.text else f"{self.code}{name}"


@dataclass(frozen=True, slots=True)
class Message:
    """What was answered."""

    #: In words, such as ``"NOERROR"``.
    rcode: str
    #: Such as ``"aa"``.
    flags: tuple[str, ...]
    errors: tuple[ExtendedError, ...]
    answer: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()

    @property
    def is_truncated(self) -> bool:
        """Whether not all of it had room."""
        return "tc" in self.flags

    @property
    def is_referral(self) -> bool:
        """Whether it says who else may know. Source: RFC 2308, section 2.2."""
        types = {each.type for each in self.authority}
        return not self.answer and "NS" in types and "SOA" not in types

    def has_data(self, rtype: str) -> bool:
        """Tell whether there are records of a type in the answer; any will do for ANY."""
        return any(rtype in (each.type, "ANY") for each in self.answer)


def encode_query(query: Query, ident: int) -> bytes:
    """Write a query with EDNS.

    Args:
        query: Its name, type and flags.
        ident: The identifier, 0 to 65535.

    Source: RFC 1035, section 4.1; RFC 6891, section 6.1.
    """
    header = _HEADER.pack(ident, query.flags & (RD | AD | CD), 1, 0, 0, 1)
    question = query.key + query.qtype.to_bytes(2, "big") + IN.to_bytes(2, "big")
    opt = b"\0\0\x29" + _PAYLOAD.to_bytes(2, "big") + b"\0\0"
    return header + question + opt + (query.flags & DO).to_bytes(2, "big") + b"\0\0"


def decode_message(packet: bytes, query: bytes) -> Message | None:
    """Read a reply to a query.

    Args:
        packet: The bytes of the reply.
        query: Those of the query, as `encode_query` made them.

    Returns:
        None if it is no reply to this query.

    Raises:
        WireError: It is malformed.
    """
    if len(packet) < HEADER_BYTES or packet[:2] != query[:2]:
        return None
    _, flags, questions, *counts = _HEADER.unpack_from(packet)
    if not flags & QR or flags & 0x7800:
        return None
    scan = Scan(packet)
    start = HEADER_BYTES
    if questions:
        # A server that could not read the question leaves it out.
        name = scan.name()
        start, scan.position = scan.position, scan.position + 4
        end = HEADER_BYTES + len(name)
        if (
            questions > 1
            or name.lower() + packet[start : start + 4] != query[HEADER_BYTES : end + 4]
        ):
            return None
    answer, authority = (tuple(_records(scan, count, [])) for count in counts[:2])
    opts: list[tuple[int, int, int]] = []
    additional = tuple(_records(scan, counts[2], opts))
    high = opts[0][0] >> 24 if opts else 0
    errors = [each for _, begin, stop in opts for each in _extended_errors(scan, begin, stop)]
    rcode = RcodeName.to_text(RcodeName.make(flags & 15 | high << 4))
    shown = tuple(name for flag, name in _FLAGS if flags & flag)
    return Message(rcode, shown, tuple(errors), answer, authority, additional)


def _records(scan: Scan, count: int, opts: list[tuple[int, int, int]]) -> Iterator[Record]:
    """Read records; of OPT records the TTL, and where their data begins and ends, goes to a list."""
    for _ in range(count):
        owner, rtype, rclass, ttl, start = scan.record()
        if rtype == Type.OPT:
            opts.append((ttl, start, scan.position))
        elif rclass == IN:
            yield _record(owner, rtype, ttl, scan.data(rtype, start, scan.position))


def _extended_errors(scan: Scan, start: int, end: int) -> Iterator[ExtendedError]:
    """Read the extended errors among the options of an OPT record."""
    message = scan.message
    while start + 4 <= end:
        code, size = (int.from_bytes(message[i : i + 2], "big") for i in (start, start + 2))
        start += 4 + size
        if start > end:
            raise scan.wrong(f"an option of its OPT record runs past byte {end}")
        if code == _EDE_OPTION and size >= 2:
            data = message[start - size : start]
            text = data[2:].decode(errors="replace").rstrip("\0")
            yield _extended_error(int.from_bytes(data[:2], "big"), text)


def _extended_error(code: int, text: str) -> ExtendedError:
    return ExtendedError(code, _ERROR_NAMES.get(code, ""), printable(text))


def _record(owner: bytes, rtype: int, ttl: int, data: bytes) -> Record:
    return Record(_absolute(owner), ttl, format_type(rtype), _format_data(rtype, data))


def _format_data(rtype: int, data: bytes) -> str:
    """Write record data as in a zone file, as bytes where it is not what its type should be.

    Source: RFC 3597, section 5, for the bytes.
    """
    before, names, _ = LAYOUTS.get(rtype, (0, 0, 0))
    if names:
        return _format_names(data, before, names)
    if rtype not in _SHOWN_AS_BYTES:
        try:
            number = dns.rdatatype.RdataType.make(rtype)
            rdata = dns.rdata.from_wire(dns.rdataclass.IN, number, data, 0, len(data))
            return printable(rdata.to_text())
        except Exception:  # noqa: BLE001, S110 - of dnspython's many classes for it none matters here
            pass
    return rf"\# {len(data)} {data.hex()}".rstrip()


def _format_names(data: bytes, before: int, names: int) -> str:
    """Write data that is names, with 16-bit numbers before them and 32-bit numbers behind.

    The gate has found the names; dnspython would take milliseconds for one of many labels.
    """
    words = [_number(data[i : i + 2]) for i in range(0, before, 2)]
    position = before
    for _ in range(names):
        end = end_of_name(data, position)
        words.append(_absolute(data[position:end]))
        position = end
    words += [_number(data[i : i + 4]) for i in range(position, len(data), 4)]
    return " ".join(words)


def _number(data: bytes) -> str:
    return str(int.from_bytes(data, "big"))


def _absolute(name: bytes) -> str:
    """Write a name with its final dot."""
    return "." if name == ROOT else f"{format_name(name)}."


def message_of(outcome: Outcome) -> Message:
    """Show what a resolver in this process said."""
    flags = [name for name, is_set in (("aa", outcome.aa), ("ad", outcome.ad)) if is_set]
    if outcome is TRUNCATED:
        flags.append("tc")
    ede = outcome.ede
    errors = () if ede is None else (_extended_error(*ede),)
    rcode = RcodeName.to_text(RcodeName.make(outcome.rcode))
    if not isinstance(outcome, Response):
        return Message(rcode, tuple(flags), errors)
    sections = (
        tuple(
            _record(each.owner, each.rtype, each.ttl, data)
            for each in section
            for data in each.rdatas
        )
        for section in outcome.sections
    )
    return Message(rcode, tuple(flags), errors, *sections)
