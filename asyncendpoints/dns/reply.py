"""What an upstream says: the bytes of a reply to an outcome, without what was not asked for.

The law: any bytes whatever cost at most a few milliseconds, and raise at most `WireError`. Only those records
are kept that lead from the question to its answer, or prove that there is none.

Pure: bytes in, values out.

Source: RFC 1035, section 4; RFC 2308, section 2; RFC 5452, section 6, for what is kept; RFC 6604 for chains.
"""

from __future__ import annotations

import re
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from asyncendpoints.dns.codes import EDE, EDECode, Rcode
from asyncendpoints.dns.names import ROOT, is_subdomain, suffixes
from asyncendpoints.dns.outcome import Answer, Failure, NoData, NXDomain, Response
from asyncendpoints.dns.query import AD
from asyncendpoints.dns.records import Type
from asyncendpoints.dns.scan import HEADER_BYTES, Scan, end_of_name
from asyncendpoints.dns.sections import Body, Sections, encode_body, group
from asyncendpoints.dns.wire import OPT_BYTES
from asyncendpoints.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["decode_reply", "is_headless_error", "is_reply", "is_reply_to", "refuses_edns"]

#: An owner and its record: name in wire form, type, TTL and data.
_Record = tuple[bytes, int, int, bytes]

_COUNTS = Struct("!HHH")
_ONE_QUESTION = b"\0\1"
_NONE = b"\0\0"
_OPT_START = b"\0\0\x29"
#: The numbers of records in the last two sections: none, or the OPT record.
_NO_RECORDS = bytes(4)
_OPT_ALONE = b"\0\0\0\1"
#: The errors that can do without a question.
_HEADLESS = (Rcode.FORMERR, Rcode.SERVFAIL, Rcode.NOTIMP, Rcode.REFUSED)

#: The most records and bytes of a reply that is not a plain one. Honest ones have some dozens of records; so
#: much of the slowest kind takes a few milliseconds.
_MOST_RECORDS = 500
_MOST_BYTES = 24_576
#: The most bytes of a reply whose records have to be written anew.
_MOST_REWRITTEN = 4096
#: The most links of a chain in one reply: more than anybody follows.
_MOST_LINKS = 32


def _plain_records(rtype: int, size: int) -> re.Pattern[bytes]:
    """Compile what a reply without anything special has after its question.

    That is records with the name of the question, all of one size, and as a rule an OPT record that says
    nothing.
    """
    start = re.escape(b"\xc0\x0c" + rtype.to_bytes(2, "big") + b"\0\1")
    ttl = rb"[\x00-\x7f].{3}"
    data = re.escape(size.to_bytes(2, "big")) + b".{%d}" % size
    opt = re.escape(_OPT_START) + rb"..\x00.{3}\x00\x00"
    return re.compile(b"((?:" + start + ttl + data + b")+)(" + opt + rb")?", re.DOTALL)


#: Types whose data always has one size, so that one match reads such a reply, and that size in bytes.
_SIZES: Final = {Type.A: 4, Type.AAAA: 16}
_PLAIN_RECORDS: Final = {
    rtype: (_plain_records(rtype, size).fullmatch, 12 + size) for rtype, size in _SIZES.items()
}

#: Other types in whose data no name can be compressed, so that what is common is passed on without a look; in
#: that of SRV one can be, which is looked for. How a record with the name of the question begins.
_PLAIN: Final = {
    rtype: b"\xc0\x0c" + rtype.to_bytes(2, "big") + b"\0\1"
    for rtype in (Type.TXT, Type.SRV, Type.DS, 48, 52, Type.SVCB, Type.HTTPS)
}

#: Where the signer of an RRSIG begins in its data. Source: RFC 4034, section 3.1.
_SIGNER = 18
_NSEC3 = 50
_EDE_OPTION = 15
#: Longest text of an extended error that is passed on, in bytes.
_LONGEST_TEXT = 128


def is_reply(packet: bytes, question: bytes) -> bool:
    """Tell whether a message is a reply to a question, its case included.

    Args:
        packet: The message.
        question: Name, type and class, as they were sent.
    """
    return (
        packet.startswith(question, HEADER_BYTES)
        and packet[2] & 0xF8 == 0x80
        and packet.startswith(_ONE_QUESTION, 4)
    )


def is_reply_to(packet: bytes, question: bytes) -> bool:
    """Tell whether a message is a reply to a question, or to the same one in another case."""
    end = HEADER_BYTES + len(question) - 4
    name = packet[HEADER_BYTES:end]
    return name.lower() == question[:-4].lower() and is_reply(packet, name + question[-4:])


def is_headless_error(packet: bytes) -> bool:
    """Tell whether a message is an error without a question, from who did not read the query."""
    return len(packet) == HEADER_BYTES and packet[2] & 0xF8 == 0x80 and packet[3] & 15 in _HEADLESS


def refuses_edns(packet: bytes, size: int) -> bool:
    """Tell whether a reply says that its sender does not understand EDNS.

    Args:
        packet: A reply to a query with an OPT record.
        size: How many bytes its question has.

    Source: RFC 6891, section 7.
    """
    if packet[3] & 15 not in (Rcode.FORMERR, Rcode.NOTIMP):
        return False
    try:
        return _Reader(packet, size).opt is None
    except WireError:
        return False


def decode_reply(packet: bytes, key: bytes, qtype: int, *, trust_ad: bool = False) -> Response:
    """Read a reply.

    Args:
        packet: The message, in which the question is the one that was asked; or an error without one, from
            where nobody forges.
        key: The name that was asked for, in wire form and lower case.
        qtype: The number of the type.
        trust_ad: Whether the AD bit means something: that the way to the upstream is a safe one.

    Returns:
        `Answer`, `NoData` or `NXDomain`, or a `Failure` with the upstream's code.

    Raises:
        WireError: It is malformed, or has more in it than an honest one.
    """
    start = HEADER_BYTES + len(key) + 4
    if packet[3] & 15 == Rcode.NOERROR:
        end = _end_of_plain(packet, start, qtype)
        if end:
            # Past the constructor of the tuple, which is a function in Python.
            body = tuple.__new__(Body, (packet[6:8] + _NO_RECORDS, packet[start:end], b"", 0))
            return Answer.of_body(key, body, ad=trust_ad and packet[3] & AD > 0)
    if is_headless_error(packet):
        return _failure(packet[3] & 15, None)
    return _Reader(packet, start - HEADER_BYTES).outcome(key, qtype, trust_ad=trust_ad)


def _end_of_plain(packet: bytes, start: int, qtype: int) -> int:
    """Find the end of the answer in a reply with nothing but the records that were asked for, and OPT.

    Args:
        packet: The reply.
        start: Where its records begin.
        qtype: The type of the records.

    Returns:
        0 if it has anything else in it.
    """
    usual = _PLAIN_RECORDS.get(qtype)
    if usual is None:
        expected = _PLAIN.get(qtype)
        return 0 if expected is None else _end_of_varying(packet, start, expected)
    fullmatch, size = usual
    match = fullmatch(packet, start)
    if match is None:
        return 0
    end = match.end(1)
    count = (packet[6] << 8 | packet[7]) * size
    more = _NO_RECORDS if end == len(packet) else _OPT_ALONE
    return end if end - start == count and packet.startswith(more, 8) else 0


def _end_of_varying(packet: bytes, start: int, expected: bytes) -> int:
    """As `_end_of_plain`, for records of which it is known how each of them begins."""
    if not packet.startswith(_NONE, 8):
        return 0
    is_service = expected == _PLAIN[Type.SRV]
    position = start
    try:
        for _ in range(packet[6] << 8 | packet[7]):
            length = packet[position + 10] << 8 | packet[position + 11]
            if not packet.startswith(expected, position) or packet[position + 6] > 127:
                return 0
            position += 12 + length
            if is_service and not _ends_a_name(packet, position - length + 6, position):
                return 0
    except IndexError:
        return 0
    if packet.startswith(_ONE_QUESTION, 10):
        # An OPT record that says nothing.
        is_end = (
            len(packet) == position + OPT_BYTES
            and packet.startswith(_OPT_START, position)
            and packet.endswith(_NONE)
            and not packet[position + 5]
        )
    else:
        is_end = len(packet) == position and packet.startswith(_NONE, 10)
    return position if is_end and position > start else 0


def _ends_a_name(packet: bytes, start: int, end: int) -> bool:
    """Tell whether a name without pointers goes from one byte up to another."""
    position = start
    while position < end and 0 < packet[position] < 64:
        position += 1 + packet[position]
    return position == end - 1 and not packet[position] and end - start <= 255


class _Chain(NamedTuple):
    """What of an answer section leads from the question to its end."""

    #: The records that do, in order, by their place in the section.
    places: list[int]
    #: The names that it passes, from the question's to the last.
    names: list[bytes]
    #: Whether there is nothing to follow: the last name has its records, or the chain bites its tail.
    is_complete: bool


class _Reader:
    """A reply, read whole.

    Args:
        packet: The message.
        size: How many bytes its question has.

    Raises:
        WireError: It is malformed.
    """

    def __init__(self, packet: bytes, size: int) -> None:
        self._start = start = HEADER_BYTES + size
        self._packet = packet
        counts = _COUNTS.unpack_from(packet, 6)
        # Nothing may point to type and class, which differ where the records are used.
        scan = Scan(packet[: start - 4] + b"\xff\xff\xff\xff" + packet[start:], start)
        if sum(counts) > _MOST_RECORDS or len(packet) > _MOST_BYTES:
            raise scan.wrong(f"it has more than {_MOST_RECORDS} records or {_MOST_BYTES} bytes")
        self._answer = list(scan.records(counts[0]))
        self._answer_end = scan.position
        self._authority = list(scan.records(counts[1]))
        self._authority_end = scan.position
        #: The extended code and the flags of the OPT record, and its options; None without one.
        self.opt = _opt(scan, counts[2])
        if scan.position != len(packet):
            raise scan.wrong(f"it goes on after its last record, at byte {scan.position}")
        #: Whether no record was left out, and no TTL was out of range.
        self._is_whole = counts[:2] == (len(self._answer), len(self._authority)) and all(
            each[2] for each in self._answer + self._authority
        )

    def outcome(self, key: bytes, qtype: int, *, trust_ad: bool) -> Response:
        """Give what the reply says about a question."""
        high, ede = self.opt or (0, None)
        rcode = self._packet[3] & 15 | high << 4
        if rcode not in (Rcode.NOERROR, Rcode.NXDOMAIN):
            return _failure(rcode, ede)
        chain = _chain(key, qtype, self._answer, len(self._packet))
        kept = _authority(self._authority, chain)
        has_soa = any(self._authority[i][1] == Type.SOA for i in kept)
        kind: type[Response] = Answer
        target = None
        if rcode == Rcode.NXDOMAIN:
            kind = NXDomain
        elif not chain.is_complete:
            if not has_soa and self._refers():
                return _REFERRED
            if has_soa or not chain.places:
                kind = NoData
            else:
                target = chain.names[-1]
        body = self._body(key, chain.places, kept)
        ad = trust_ad and bool(self._packet[3] & AD)
        return kind.of_body(key, body, ad=ad, ede=ede, target=target)

    def _refers(self) -> bool:
        """Tell whether the upstream names others to ask, in place of asking them.

        Source: RFC 2308, section 2.2.
        """
        return not self._answer and any(each[1] == Type.NS for each in self._authority)

    def _body(self, key: bytes, answer: list[int], authority: list[int]) -> Body:
        """Give the records that are kept: as they came if that can be."""
        if self._is_whole and answer == list(range(len(self._answer))):
            counts = _COUNTS.pack(len(answer), len(authority), 0)
            if not authority:
                return Body(counts, self._packet[self._start : self._answer_end])
            if authority == list(range(len(self._authority))):
                return Body(counts, self._packet[self._start : self._authority_end])
        if len(self._packet) > _MOST_REWRITTEN:
            problem = "a long one has records in it that were not asked for"
            raise WireError(len(self._packet), problem)
        sections = Sections(
            group([self._answer[i] for i in answer]),
            group([self._authority[i] for i in authority]),
        )
        return encode_body(key, sections)


def _opt(scan: Scan, count: int) -> tuple[int, EDE | None] | None:
    """Read the additional section, of which the OPT record counts: its code and what it says of errors."""
    found: tuple[int, EDE | None] | None = None
    for _ in range(count):
        owner, rtype, _, ttl, start = scan.record()
        if rtype == Type.OPT:
            if found is not None or owner != ROOT:
                raise scan.wrong("its OPT record is not the only one, or has an owner")
            found = ttl >> 24, _extended_error(scan, start)
    return found


def _extended_error(scan: Scan, start: int) -> EDE | None:
    """Read the first extended error among the options of the OPT record that ends at the scan's position."""
    message, end = scan.message, scan.position
    found = None
    while start + 4 <= end:
        code, size = (
            message[start] << 8 | message[start + 1],
            message[start + 2] << 8 | message[start + 3],
        )
        data = message[start + 4 : start + 4 + size]
        start += 4 + size
        if code == _EDE_OPTION and size >= 2 and found is None:
            text = data[2 : 2 + _LONGEST_TEXT].decode(errors="replace").rstrip("\0")
            found = EDE(data[0] << 8 | data[1], text)
    if start != end:
        raise scan.wrong("the options of its OPT record do not fill it")
    return found


def _chain(key: bytes, qtype: int, answer: list[_Record], size: int) -> _Chain:
    """Follow the CNAMEs in the answer section of a message of some size to the records at their end."""
    if not answer:
        return _Chain([], [key], is_complete=False)
    by_owner: dict[bytes, list[int]] = {}
    for place, record in enumerate(answer):
        by_owner.setdefault(record[0].lower(), []).append(place)
    renamed = {owner for owner, here in by_owner.items() if _first(answer, here, Type.DNAME) >= 0}
    places: list[int] = []
    names = [key]
    while len(names) <= _MOST_LINKS + 1:
        here = by_owner.get(names[-1], [])
        found = _of_type(answer, here, qtype)
        if found:
            return _Chain(_once(places + found), names, is_complete=True)
        alias = _first(answer, here, Type.CNAME)
        if alias < 0:
            return _Chain(_once(places), names, is_complete=False)
        for above in suffixes(names[-1])[1:] if renamed else ():
            if above in renamed:
                places += _of_type(answer, by_owner[above], Type.DNAME)
        links = _of_type(answer, here, Type.CNAME)
        places += [each for each in links if each == alias or answer[each][1] != Type.CNAME]
        target = answer[alias][3].lower()
        if target in names:
            return _Chain(_once(places), names, is_complete=True)
        names.append(target)
    raise WireError(size, f"it has a chain of more than {_MOST_LINKS} CNAMEs")


def _once(places: list[int]) -> list[int]:
    return list(dict.fromkeys(places))


def _first(records: Sequence[_Record], places: list[int], rtype: int) -> int:
    """Give the place of the first record of a type, or -1."""
    return next((place for place in places if records[place][1] == rtype), -1)


def _of_type(records: Sequence[_Record], places: list[int], rtype: int) -> list[int]:
    """Give the places of the records of a type and of their signatures, if there are such records."""
    if _first(records, places, rtype) < 0:
        return []
    covered = rtype.to_bytes(2, "big")
    return [
        place
        for place in places
        if records[place][1] == rtype
        or (records[place][1] == Type.RRSIG and records[place][3].startswith(covered))
    ]


def _authority(records: list[_Record], chain: _Chain) -> list[int]:
    """Choose the records that say how long there is nothing, and those that prove it.

    A proof stays for whoever asked for one: it is signed by a zone that a name of the chain is in.
    """
    soa = -1 if chain.is_complete else _soa(records, chain.names[-1])
    found = [soa] if soa >= 0 else []
    if all(each[1] != Type.RRSIG for each in records):
        return found
    above = {each for name in chain.names for each in suffixes(name)}
    signed = set()
    signatures = []
    for place, (owner, rtype, _, data) in enumerate(records):
        if rtype == Type.RRSIG and _signer(data) in above:
            signed.add((owner.lower(), data[:2]))
            signatures.append(place)
    proofs = [
        place
        for place, (owner, rtype, _, _) in enumerate(records)
        if rtype in (Type.NSEC, _NSEC3) and (owner.lower(), rtype.to_bytes(2, "big")) in signed
    ]
    found += proofs
    kept = {(records[i][0].lower(), records[i][1].to_bytes(2, "big")) for i in found}
    found += [i for i in signatures if (records[i][0].lower(), records[i][3][:2]) in kept]
    return sorted(found)


def _signer(data: bytes) -> bytes:
    """Give the name of the zone that made a signature, in lower case; nothing if there is none."""
    name = data[_SIGNER : _SIGNER + 255].lower()
    try:
        return name[: end_of_name(name, 0)]
    except IndexError:
        return b""


def _soa(records: list[_Record], name: bytes) -> int:
    """Give the place of the SOA record of a zone that a name is in, or -1."""
    return next(
        (
            place
            for place, (owner, rtype, _, _) in enumerate(records)
            if rtype == Type.SOA and is_subdomain(name, owner.lower())
        ),
        -1,
    )


def _failure(rcode: int, ede: EDE | None) -> Failure:
    """Make the outcome of a code that stands for an error.

    EDNS goes from one server to the next: what is wrong with ours is no business of the client's.
    """
    if rcode == Rcode.FORMERR:
        return Failure(ede=ede or EDE(EDECode.OTHER, "the upstream calls the query malformed"))
    if rcode > 15:
        return Failure(ede=ede or EDE(EDECode.OTHER, f"the upstream answered with code {rcode}"))
    return Failure(rcode, ede)


_REFERRED = Failure(
    ede=EDE(EDECode.NOT_SUPPORTED, "the upstream does not resolve: it refers to others")
)
