"""What a cache knows of a question, as one string of bytes.

An *entry* is one string of bytes, and so is the *place* where it stands: the garbage collector has nothing
to look at, however many there are. Time is counted in whole seconds of the loop's clock, so that all that
ages does so at the same moment, and no record is ever shown with more time than it has.

Pure: who calls says what time it is.

Source: RFC 1035, section 7.4; RFC 2181, section 8; RFC 2308, section 5; RFC 8767, section 4.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError  # noqa: N812 - the module's own name says nothing
from typing import Final, NamedTuple

from asyncendpoints.dns.codes import EDE, EDECode
from asyncendpoints.dns.outcome import Answer, Failure, NoData, NXDomain, Response
from asyncendpoints.dns.records import LONGEST_TTL, Type
from asyncendpoints.dns.sections import Body, encode_body
from asyncendpoints.errors import WireError

__all__ = [
    "Rules",
    "age_of",
    "covers_name",
    "encode_entry",
    "encode_failure",
    "held",
    "hits_of",
    "is_dead",
    "is_failure",
    "is_fresh",
    "is_held",
    "is_usable",
    "lifetime_of",
    "make_place",
    "name_of",
    "to_response",
    "whole_name",
    "with_hits",
]

#: What an entry begins with: the loop time at which it was found out; how long it holds, how long it is of
#: any use and when the resolver may be asked again, in seconds from then; hits, kind, response code, marks;
#: the size of what follows, the number of records, and that in each section. Then come the values of the
#: marks, where each TTL stands, and the records.
_HEAD = Struct("!IIIIBBHBHH6s")
_KEEP_AT = 8
_RETRY_AT = 12
_HITS_AT = 16
_KIND_AT = 17
_TTL = Struct("!I")

#: Of a record, type, class, TTL and the size of its data; of a body, the number of records in each section.
_FIXED = Struct("!HHIH")
_COUNTS = Struct("!HHH")
_TWO_TTLS = Struct("!II")
_CORE = Struct("!6sH")
_EDE = Struct("!HB")

#: The outcomes that are kept, by their kind.
_KINDS: Final[tuple[type[Response], ...]] = (Answer, NoData, NXDomain, Failure)
_NXDOMAIN = 2
_FAILURE = 3

#: The marks.
_HAS_AD = 1
_HAS_CORE = 2
_HAS_EDE = 4
_HAS_TARGET = 8

#: What is said of a failure that is repeated, unless the resolver had said more.
_CACHED_ERROR = EDE(EDECode.CACHED_ERROR)

#: The age of what another clock has put in, which is never right.
_FOREIGN = 1 << 32

#: The most that 32 bits hold.
_LONGEST = (1 << 32) - 1

#: More is not kept of one reply: a TTL is found by 16 bits.
_MOST_TAIL_BYTES = 0xFFFF


class Rules(NamedTuple):
    """For how long things are kept, all in seconds."""

    max_ttl: int = 86_400
    min_ttl: int = 0
    max_negative_ttl: int = 3_600
    #: How long records are of use after their time.
    stale: int = 0


def make_place(key: bytes, qtype: int, flags: int) -> bytes:
    """Give the place of a question: its name, type and flags in one string.

    Args:
        key: The name.
        qtype: Its type.
        flags: Those on which the outcome depends, 0 to 65535.
    """
    return key + (qtype << 16 | flags).to_bytes(4, "big")


def name_of(place: bytes) -> bytes:
    """Give the name of a place."""
    return place[:-4]


def whole_name(place: bytes) -> bytes:
    """Give the place for what is known of all types of a name: that it does not exist.

    No question has it: the lowest of its flags is none.
    """
    return place[:-4] + b"\0\0" + place[-2:-1] + bytes((place[-1] | 1,))


def encode_entry(key: bytes, outcome: Response, now: float, rules: Rules) -> bytes | None:
    """Write an outcome as it is kept.

    Args:
        key: The name that was asked for.
        outcome: An answer, or a negative one with its SOA.
        now: Loop time, in seconds.
        rules: For how long it may be kept.

    Returns:
        None for what is not to be kept: other outcomes, and those that hold for no time.
    """
    kind = _kind_of(outcome)
    if kind is None or kind == _FAILURE:
        return None
    try:
        body = outcome.body if outcome.key == key else None
        if body is None:
            body = encode_body(key, outcome.sections)
        times = _Times(body)
    except (WireError, IndexError, StructError):
        return None  # whoever shows it will say what is wrong with it
    lowest, highest = _bounds(kind, times, rules)
    if not times.offsets or len(body.tail) > _MOST_TAIL_BYTES:
        return None
    ttls = [max(min(each, highest), lowest) for each in times.ttls]
    ttl = min(ttls)
    if ttl <= 0:
        return None
    tail = body.tail if ttls == times.ttls else _with_ttls(body.tail, times.offsets, ttls)
    keep = min(ttl + rules.stale, _LONGEST)
    return _entry(kind, outcome, now, ttl, keep, body, times.offsets, tail)


def encode_failure(outcome: Failure, now: float, ttl: int, keep: int) -> bytes:
    """Write a failure as it is kept.

    Args:
        outcome: The failure.
        now: Loop time, in seconds.
        ttl: For how many seconds it holds.
        keep: For how many it is of use.
    """
    return _entry(_FAILURE, outcome, now, ttl, keep, Body(bytes(6), b""), [], b"")


def _kind_of(outcome: Response) -> int | None:
    for number, kind in enumerate(_KINDS):
        if isinstance(outcome, kind):
            return number
    return None


def _bounds(kind: int, times: _Times, rules: Rules) -> tuple[int, int]:
    """Give the lowest and the highest TTL that a record may be shown with."""
    if kind == 0:
        return rules.min_ttl, rules.max_ttl
    # Without SOA, a negative answer says nothing about how long it holds.
    return 0, min(rules.max_negative_ttl, times.minimum)


class _Times:
    """The TTLs in a body, where they stand in it, and the minimum of the SOA of its authority section.

    The names were looked at by whoever made the body: here they are only stepped over.

    Raises:
        IndexError: A record runs past the end.
        struct.error: Likewise.
    """

    __slots__ = ("minimum", "offsets", "ttls")

    def __init__(self, body: Body) -> None:
        tail = body.tail
        answers, authorities, additionals = _COUNTS.unpack(body.counts)
        authorities += answers
        self.offsets: list[int] = []
        self.ttls: list[int] = []
        self.minimum = -1
        position = 0
        for index in range(authorities + additionals):
            position = _after_name(tail, position)
            rtype, _, ttl, size = _FIXED.unpack_from(tail, position)
            self.offsets.append(position + 4)
            self.ttls.append(ttl if ttl <= LONGEST_TTL else 0)
            position += _FIXED.size + size
            if rtype == Type.SOA and answers <= index < authorities:
                minimum = _TTL.unpack_from(tail, position - 4)[0]
                self.minimum = minimum if minimum <= LONGEST_TTL else 0
        if position != len(tail):
            raise IndexError(position)


def _after_name(tail: bytes, position: int) -> int:
    """Step over a name, which may end in a pointer."""
    while 0 < (size := tail[position]) < 64:
        position += 1 + size
    return position + 2 if size else position + 1


def _with_ttls(tail: bytes, offsets: list[int], ttls: list[int]) -> bytes:
    changed = bytearray(tail)
    for offset, ttl in zip(offsets, ttls, strict=True):
        _TTL.pack_into(changed, offset, ttl)
    return bytes(changed)


def _entry(
    kind: int,
    outcome: Response,
    now: float,
    ttl: int,
    keep: int,
    body: Body,
    offsets: list[int],
    tail: bytes,
) -> bytes:
    marks, extra = _extra(outcome, body)
    head = _HEAD.pack(
        int(now), ttl, keep, 0, 0, kind, outcome.rcode, marks, len(extra), len(offsets), body.counts
    )
    where = b"".join([each.to_bytes(2, "big") for each in offsets])
    return b"".join((head, extra, where, tail))


def _extra(outcome: Response, body: Body) -> tuple[int, bytes]:
    """Write what most outcomes have not."""
    marks = _HAS_AD if outcome.ad else 0
    pieces = []
    if body.core_counts:
        marks |= _HAS_CORE
        pieces.append(_CORE.pack(body.core_counts, body.core_bytes))
    if outcome.ede is not None:
        marks |= _HAS_EDE
        text = outcome.ede.text.encode(errors="replace")
        text = text[:255].decode(errors="ignore").encode()
        pieces += (_EDE.pack(outcome.ede.code, len(text)), text)
    if outcome.target is not None:
        marks |= _HAS_TARGET
        pieces.append(outcome.target)
    return marks, b"".join(pieces)


def _read_extra(
    entry: bytes, marks: int, position: int, end: int
) -> tuple[bytes, int, EDE | None, bytes | None]:
    """Read what `_extra` wrote: counts and size of the core, the extended error, and the target."""
    core, core_bytes, ede, target = b"", 0, None, None
    if marks & _HAS_CORE:
        core, core_bytes = _CORE.unpack_from(entry, position)
        position += _CORE.size
    if marks & _HAS_EDE:
        code, size = _EDE.unpack_from(entry, position)
        position += _EDE.size
        ede = EDE(code, entry[position : position + size].decode())
        position += size
    if marks & _HAS_TARGET:
        target = entry[position:end]
    return core, core_bytes, ede, target


def age_of(entry: bytes, now: float) -> int:
    """Give the age of an entry, in seconds.

    What another wake-up found out a moment before the loop's time was read has age 0.
    """
    age: int = int(now) - _TTL.unpack_from(entry)[0]
    return age if age >= 0 else 0 if age == -1 else _FOREIGN


def is_fresh(entry: bytes, now: float) -> bool:
    """Tell whether an entry holds."""
    stored: int
    ttl: int
    stored, ttl = _TWO_TTLS.unpack_from(entry)
    return -1 <= int(now) - stored < ttl


def is_usable(entry: bytes, now: float) -> bool:
    """Tell whether an entry holds, or can be shown although its time is over. A failure cannot."""
    return entry[_KIND_AT] != _FAILURE and not is_dead(entry, now)


def is_held(entry: bytes, now: float) -> bool:
    """Tell whether the resolver is not to be asked again yet about what an entry says."""
    retry: int = _TTL.unpack_from(entry, _RETRY_AT)[0]
    return age_of(entry, now) < retry


def is_failure(entry: bytes) -> bool:
    """Tell whether an entry says that nothing could be found out."""
    return entry[_KIND_AT] == _FAILURE


def covers_name(entry: bytes) -> bool:
    """Tell whether an entry says that its name does not exist, and not one that it is an alias of."""
    return entry[_KIND_AT] == _NXDOMAIN and entry[_HEAD.size - 6 : _HEAD.size - 4] == b"\0\0"


def lifetime_of(entry: bytes) -> int:
    """Give for how many seconds an entry holds from when it was found out."""
    ttl: int = _TTL.unpack_from(entry, 4)[0]
    return ttl


def is_dead(entry: bytes, now: float) -> bool:
    """Tell whether an entry is of no more use."""
    keep: int = _TTL.unpack_from(entry, _KEEP_AT)[0]
    return age_of(entry, now) >= keep


def to_response(
    key: bytes, entry: bytes, now: float, *, ttl: int | None = None, ede: EDE | None = None
) -> Response:
    """Make the outcome that an entry stands for, as old as it is.

    Args:
        key: The name of its place.
        entry: The entry.
        now: Loop time, in seconds.
        ttl: What each record shows, in seconds, in place of the time that it has left.
        ede: What is said of it, in place of what was said when it was found out.
    """
    stored, _, _, _, _, kind, rcode, marks, extra, records, counts = _HEAD.unpack_from(entry)
    start = _HEAD.size + extra
    tail = entry[start + 2 * records :]
    second = int(now)
    if second > stored or ttl is not None:
        tail = _aged(tail, entry, start, records, second - stored, ttl)
    core, core_bytes, noted, target = b"", 0, None, None
    if marks > _HAS_AD:
        core, core_bytes, noted, target = _read_extra(entry, marks, _HEAD.size, start)
    made: type[Response] = _KINDS[kind]
    return made.of_body(
        key,
        Body(counts, tail, core, core_bytes),
        ad=bool(marks & _HAS_AD),
        ede=ede or noted or (_CACHED_ERROR if kind == _FAILURE else None),
        until=second + 1.0,
        rcode=rcode,
        target=target,
    )


def _aged(tail: bytes, entry: bytes, start: int, records: int, age: int, ttl: int | None) -> bytes:
    """Write the time that is left into records."""
    changed = bytearray(tail)
    for at in range(start, start + 2 * records, 2):
        offset = entry[at] << 8 | entry[at + 1]
        left = _TTL.unpack_from(changed, offset)[0] - age if ttl is None else ttl
        _TTL.pack_into(changed, offset, left)
    return bytes(changed)


def hits_of(entry: bytes) -> int:
    """Give how often an entry was of use since it came, as far as that was counted."""
    return entry[_HITS_AT]


def with_hits(entry: bytes, hits: int) -> bytes:
    """Make the same entry with another number of hits, 0 to 255."""
    return entry[:_HITS_AT] + bytes((hits,)) + entry[_HITS_AT + 1 :]


def held(entry: bytes, now: float, seconds: int) -> bytes:
    """Make the same entry, about which nobody is to be asked again for so many seconds."""
    retry = _TTL.pack(min(age_of(entry, now) + seconds, _LONGEST))
    return entry[:_RETRY_AT] + retry + entry[_RETRY_AT + 4 :]
