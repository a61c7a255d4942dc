"""The three sections of a message: as records, and as the bytes that follow a question.

Pure: records to bytes and back.

Source: RFC 1035, sections 4.1.3 and 4.1.4.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from struct import error as StructError  # noqa: N812 - the module's own name says nothing
from typing import TYPE_CHECKING, NamedTuple

from asyncendpoints.dns.records import Records, Type
from asyncendpoints.dns.scan import HEADER_BYTES, LAYOUTS, Scan, end_of_name
from asyncendpoints.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Body", "Sections", "decode_body", "encode_body", "splice"]

#: Type, class, TTL and data length of a record.
_FIXED = Struct("!HHIH")
_COUNTS = Struct("!HHH")


class Sections(NamedTuple):
    """Records, section by section."""

    answer: tuple[Records, ...] = ()
    authority: tuple[Records, ...] = ()
    additional: tuple[Records, ...] = ()


class Body(NamedTuple):
    """What follows the question of a reply, without OPT: for a question whose name has one length.

    A reply in which all of it has no room is cut to its core; one in which that has none either gets TC and
    no records at all.
    """

    #: How many records each section has: three 16-bit numbers.
    counts: bytes
    #: The records, with pointers that count from the header.
    tail: bytes
    #: The same for what cannot be left out: all but additional records that are no glue. Empty if that is
    #: all there is.
    core_counts: bytes = b""
    #: How long the core is, in bytes; ignored where ``core_counts`` is empty.
    core_bytes: int = 0


#: Where names stand in the data of the types whose names may be compressed: how many bytes before the first,
#: and how many names. Source: RFC 3597, section 4: the types of RFC 1035 and no others.
_COMPRESSED = {
    Type.NS: (0, 1),
    Type.CNAME: (0, 1),
    Type.SOA: (0, 2),
    Type.PTR: (0, 1),
    Type.MX: (2, 1),
}

#: Of types in whose data nobody compresses names: as in `LAYOUTS`.
_NO_NAMES = (0, 0, 0)
#: Bodies of so many bytes are kept cut, and how many of them: some 400 KB each at most.
_LARGE_BYTES = 1024
_CUTS_KEPT = 32

#: A pointer has 14 bits for its offset.
_LAST_TARGET = 0x3FFF
_NOWHERE = _LAST_TARGET + 1


def encode_body(key: bytes, sections: Sections, core_additional: int = 0, varying: int = 0) -> Body:
    """Write records as they follow a question.

    Args:
        key: The name in the question, in wire form; its case makes no difference.
        sections: The records.
        core_additional: How many of the additional sets of records cannot be left out, from the first.
        varying: How many bytes of the name, from the first, may be others in the questions that this is for:
            no pointer leads there. As many as whole labels take.
    """
    writer = _Writer(key, varying)
    answer, authority, additional = sections
    # Where there are more records than can be counted, there is no room for them in any message.
    counts = min(writer.add(answer), 0xFFFF), min(writer.add(authority), 0xFFFF)
    glue = writer.add(additional[:core_additional])
    if core_additional >= len(additional):
        return Body(_COUNTS.pack(*counts, min(glue, 0xFFFF)), b"".join(writer.pieces))
    core_bytes = writer.size - writer.start
    more = writer.add(additional[core_additional:])
    return Body(
        _COUNTS.pack(*counts, min(glue + more, 0xFFFF)),
        b"".join(writer.pieces),
        _COUNTS.pack(*counts, min(glue, 0xFFFF)),
        core_bytes,
    )


class _Writer:
    """Writes records after a question, each name as a pointer to an earlier one as far as it can be."""

    def __init__(self, key: bytes, varying: int = 0) -> None:
        self._key = key.lower()[varying:]
        #: A pointer to the part of the question that is known.
        self._pointer = (0xC000 | HEADER_BYTES + varying).to_bytes(2, "big")
        #: Where each name that can be pointed to begins.
        self._offsets: dict[bytes, int] = {}
        self._note(self._key, HEADER_BYTES + varying)
        self.start = self.size = HEADER_BYTES + len(key) + 4
        self.pieces: list[bytes] = []

    def _note(self, name: bytes, offset: int) -> None:
        while name[0] and offset <= _LAST_TARGET:
            self._offsets.setdefault(name, offset)
            step = 1 + name[0]
            offset += step
            name = name[step:]

    def add(self, listed: Iterable[Records]) -> int:
        """Write sets of records, and give the number of the records."""
        count = 0
        for owner, rtype, ttl, rdatas in listed:
            layout = _COMPRESSED.get(rtype)
            for rdata in rdatas:
                name = self._name(owner)
                self.size += len(name) + 10
                data = rdata if layout is None else self._data(rdata, *layout)
                self.size += len(data) if layout is None else 0
                self.pieces += (name, _FIXED.pack(rtype, 1, ttl, len(data)), data)
            count += len(rdatas)
        return count

    def _name(self, name: bytes) -> bytes:
        """Write a name that begins at `size`, as short as can be."""
        lower = name.lower()
        if lower == self._key and lower[0]:
            return self._pointer
        offsets = self._offsets
        position = 0
        while name[position]:
            target = offsets.get(lower[position:])
            if target is not None:
                self._note_until(lower, position)
                return name[:position] + (0xC000 | target).to_bytes(2, "big")
            position += 1 + name[position]
        self._note(lower, self.size)
        return name

    def _note_until(self, lower: bytes, end: int) -> None:
        """Note where the first part of a name begins, whose rest is a pointer."""
        position = 0
        while position < end and self.size + position <= _LAST_TARGET:
            self._offsets.setdefault(lower[position:], self.size + position)
            position += 1 + lower[position]

    def _data(self, rdata: bytes, before: int, names: int) -> bytes:
        """Write data in which names stand, and count its bytes."""
        pieces = [rdata[:before]]
        self.size += before
        position = before
        for _ in range(names):
            end = end_of_name(rdata, position)
            pieces.append(self._name(rdata[position:end]))
            self.size += len(pieces[-1])
            position = end
        pieces.append(rdata[position:])
        self.size += len(pieces[-1])
        return b"".join(pieces)


def decode_body(key: bytes, body: Body) -> Sections:
    """Read the records that follow a question for a name.

    Raises:
        WireError: The bytes are none.
    """
    message = bytes(HEADER_BYTES) + key + bytes(4) + body.tail
    scan = Scan(message, HEADER_BYTES + len(key) + 4)
    answer, authority, additional = (
        group(scan.records(count)) for count in _COUNTS.unpack(body.counts)
    )
    return Sections(answer, authority, additional)


def splice(key: bytes, chain: Body, end: bytes, body: Body) -> Body | None:
    """Put the CNAMEs of one body before the records of another one, without a look at each of these.

    Args:
        key: The name in the question.
        chain: What follows that question; of it the answer section counts.
        end: The name at the end of its CNAMEs.
        body: What follows a question for that name.

    Returns:
        None where that cannot be: there are too many records or bytes, or no such CNAME is there.

    Raises:
        WireError: The bytes are no records.
    """
    start = HEADER_BYTES + len(key) + 4
    scan = Scan(bytes(HEADER_BYTES) + key + bytes(4) + chain.tail, start)
    count = int.from_bytes(chain.counts[:2], "big")
    rtype = data = 0
    for _ in range(count):
        _, rtype, _, _, data = scan.record()
    count += int.from_bytes(body.counts[:2], "big")
    if rtype != Type.CNAME or scan.name_at(data)[0].lower() != end.lower() or count > 0xFFFF:
        return None
    pieces = _cut(body) if len(body.tail) < _LARGE_BYTES else _cut_large(body)
    places = _places(scan.message, data)
    first = HEADER_BYTES + len(end) + 4
    pointers = {each: places.get(each - HEADER_BYTES, _NOWHERE) for each in pieces.distinct}
    pointers.update({each: each - first + scan.position for each in pointers if each >= first})
    if max(pointers.values(), default=0) > _LAST_TARGET:
        return None
    head = scan.message[start : scan.position]
    answers = count.to_bytes(2, "big")
    counts, tail = answers + body.counts[2:], head + _joined(pieces, pointers)
    if not body.core_counts:
        return Body(counts, tail)
    return Body(counts, tail, answers + body.core_counts[2:], len(head) + body.core_bytes)


class _Pieces(NamedTuple):
    """The records of a body, cut where its pointers are."""

    #: The bytes before the first pointer, between two of them, and after the last one.
    between: tuple[bytes, ...]
    #: Where each pointer leads, counted from the header.
    targets: tuple[int, ...]
    #: The same, each once.
    distinct: frozenset[int]


def _cut(body: Body) -> _Pieces:
    """Cut the records of a body where its pointers are.

    Raises:
        WireError: The bytes are no records.
    """
    cutter = _Cutter(body.tail)
    try:
        for _ in range(sum(_COUNTS.unpack(body.counts))):
            cutter.record()
    except (IndexError, StructError):
        raise cutter.wrong() from None
    if cutter.position != len(body.tail):
        raise cutter.wrong()
    cutter.between.append(body.tail[cutter.last :])
    return _Pieces(tuple(cutter.between), tuple(cutter.targets), frozenset(cutter.targets))


_cut_large = lru_cache(_CUTS_KEPT)(_cut)


class _Cutter:
    """Goes over records, and notes where their pointers are."""

    __slots__ = ("between", "last", "position", "tail", "targets")

    def __init__(self, tail: bytes) -> None:
        self.tail = tail
        self.position = 0
        #: The first byte after the last pointer.
        self.last = 0
        self.between: list[bytes] = []
        self.targets: list[int] = []

    def record(self) -> None:
        """Go over a record."""
        self._name()
        rtype, _, _, size = _FIXED.unpack_from(self.tail, self.position)
        self.position += _FIXED.size
        end = self.position + size
        before, names, _ = LAYOUTS.get(rtype, _NO_NAMES)
        if names:
            self.position += before
            for _ in range(names):
                self._name()
            if self.position > end:
                raise self.wrong()
        self.position = end

    def _name(self) -> None:
        tail, position = self.tail, self.position
        while 0 < (size := tail[position]) < 0xC0:
            position += 1 + size
        self.position = position + 1
        if size:
            self.between.append(tail[self.last : position])
            self.targets.append((size & 0x3F) << 8 | tail[position + 1])
            self.last = self.position = position + 2

    def wrong(self) -> WireError:
        """Make the error of these records."""
        return WireError(len(self.tail), "its records do not have the lengths that they say")


def _places(message: bytes, position: int) -> dict[int, int]:
    """Find where each label of a name stands in a message, by where it would stand in the name alone."""
    places = {}
    offset = 0
    while size := message[position]:
        if size >= 0xC0:
            position = (size & 0x3F) << 8 | message[position + 1]
            continue
        places[offset] = position
        offset += 1 + size
        position += 1 + size
    return places


def _joined(pieces: _Pieces, pointers: dict[int, int]) -> bytes:
    """Join pieces by other pointers."""
    between, targets, _ = pieces
    encoded = {old: (0xC000 | place).to_bytes(2, "big") for old, place in pointers.items()}
    if len(encoded) == 1:  # as in most large sets
        return next(iter(encoded.values())).join(between)
    joined = [b""] * (2 * len(targets) + 1)
    joined[::2] = between
    joined[1::2] = [encoded[each] for each in targets]
    return b"".join(joined)


def group(records: Iterable[tuple[bytes, int, int, bytes]]) -> tuple[Records, ...]:
    """Join records of one name and type to sets, in the order in which each set begins.

    Records of a set have one TTL: the lowest. Source: RFC 2181, section 5.2.
    """
    sets: dict[tuple[bytes, int], tuple[bytes, list[int], list[bytes]]] = {}
    last_owner, last_type = b"", 0
    for owner, rtype, ttl, data in records:
        if rtype != last_type or owner != last_owner:  # those of a set stand together as a rule
            last_owner, last_type = owner, rtype
            _, ttls, rdatas = sets.setdefault((owner.lower(), rtype), (owner, [], []))
        ttls.append(ttl)
        rdatas.append(data)
    return tuple(
        [
            Records(owner, rtype, min(ttls), tuple(rdatas))
            for (_, rtype), (owner, ttls, rdatas) in sets.items()
        ]
    )
