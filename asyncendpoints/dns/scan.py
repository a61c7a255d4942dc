"""Names and records in a message, found in its bytes before anything else looks at them.

The law: any bytes whatever cost at most as much time as there are bytes, and raise at most `WireError`.

Pure: bytes in, values out.

Source: RFC 1035, section 4.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError  # noqa: N812 - it is one
from typing import TYPE_CHECKING, Final

from asyncendpoints.dns.names import ROOT
from asyncendpoints.dns.records import IN, LONGEST_TTL, Type
from asyncendpoints.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["HEADER_BYTES", "LAYOUTS", "Scan", "decode_name", "end_of_name"]

#: Size of a header, in bytes: where the question of a message begins.
HEADER_BYTES: Final = 12
_FIXED = Struct("!HHIH").unpack_from

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
