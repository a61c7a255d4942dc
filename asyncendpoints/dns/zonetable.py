"""The table of a zone: every name and its records in one piece of bytes.

A million names in one object cost the garbage collector nothing, take a fraction of the room of a dict, and
come from another process as they are.

The layout: first the slots of a hash table, 32-bit offsets of entries, 0 for none; then the entries. An entry
is a key, a byte of flags, a 16-bit number of sets, and the sets: type, number of records, size, and the
records as they follow a question for the key. The slot of a key is that of its CRC-32, or the next free one.

Pure: bytes in, values out.
"""

from __future__ import annotations

from array import array
from struct import Struct
from typing import TYPE_CHECKING
from zlib import crc32

from asyncendpoints.dns.names import ROOT
from asyncendpoints.dns.records import IN, Records

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["ALIAS", "BELOW", "CUT", "DNAME", "WILDCARD", "Table", "encode_node"]

#: Flags of an entry: a zone below begins here; it is below such a place; it has a DNAME; a wildcard is right
#: below it; it has a CNAME.
CUT = 1
BELOW = 2
DNAME = 4
WILDCARD = 8
ALIAS = 16

#: Flags and number of sets; type, number of records and size of a set.
_NODE = Struct("!BH")
_SET = Struct("!HHI")
#: A pointer to the question; type, class, TTL and data length.
_RECORD = Struct("!HHHIH")
_POINTER_TO_QUESTION = 0xC00C

#: Slots for each entry, at least: half of the slots are empty.
_SPACE = 2


class Table:
    """Finds the names of a zone, and their records.

    Args:
        apex: The key of the zone's first name.
        data: The slots and the entries.
        slots: The number of the slots, a power of two.
        records: The number of the records.
    """

    __slots__ = ("_mask", "_slots", "apex", "data", "records", "slots")

    def __init__(self, apex: bytes, data: bytes, slots: int, records: int) -> None:
        self.apex = apex
        self.data = data
        self.slots = slots
        self.records = records
        self._slots = memoryview(data)[: slots * 4].cast("I")
        self._mask = slots - 1

    @classmethod
    def make(cls, apex: bytes, nodes: Mapping[bytes, bytes], records: int) -> Table:
        """Make the table of a zone.

        Args:
            apex: The key of the zone's first name.
            nodes: What follows each key, from `encode_node`.
            records: The number of the records.
        """
        slots = 1 << (_SPACE * len(nodes)).bit_length()
        index = array("I", bytes(slots * 4))
        pieces = [b""]
        offset = slots * 4
        for key, node in nodes.items():
            slot = crc32(key) & slots - 1
            while index[slot]:
                slot = slot + 1 & slots - 1
            index[slot] = offset
            pieces += (key, node)
            offset += len(key) + len(node)
        pieces[0] = index.tobytes()
        return cls(apex, b"".join(pieces), slots, records)

    def find(self, key: bytes) -> int:
        """Find a name: give the offset of its node, or 0."""
        slots = self._slots
        startswith = self.data.startswith
        slot = crc32(key) & self._mask
        # A key ends in the root, so that none is the beginning of another.
        while offset := slots[slot]:
            if startswith(key, offset):
                return offset + len(key)
            slot = slot + 1 & self._mask
        return 0

    def flags(self, node: int) -> int:
        """Give the flags of a node."""
        return self.data[node]

    def find_set(self, node: int, rtype: int) -> tuple[int, bytes] | None:
        """Give the records of one type at a node: how many, and how they follow a question for the name."""
        data = self.data
        _, count = _NODE.unpack_from(data, node)
        position = node + _NODE.size
        for _ in range(count):
            found, records, size = _SET.unpack_from(data, position)
            position += _SET.size
            if found == rtype:
                return records, data[position : position + size]
            position += size
        return None

    def records_at(self, node: int, rtype: int, owner: bytes) -> Records | None:
        """Give the records of one type at a node, as records of some name, or None."""
        found = self.find_set(node, rtype)
        return None if found is None else decode_set(owner, rtype, found[1])


def encode_node(flags: int, sets: Iterable[Records]) -> bytes:
    """Write what follows a key.

    Raises:
        struct.error: A set has more than 65,535 records.
    """
    pieces = [b""]
    count = 0
    for _, rtype, ttl, rdatas in sets:
        count += 1
        tail = b"".join(
            [
                _RECORD.pack(_POINTER_TO_QUESTION, rtype, IN, ttl, len(each)) + each
                for each in rdatas
            ]
        )
        pieces += (_SET.pack(rtype, len(rdatas), len(tail)), tail)
    pieces[0] = _NODE.pack(flags, count)
    return b"".join(pieces)


def decode_set(owner: bytes, rtype: int, tail: bytes) -> Records:
    """Read the records of a set, as records of some name."""
    rdatas = []
    position = ttl = 0
    while position < len(tail):
        _, _, _, ttl, size = _RECORD.unpack_from(tail, position)
        position += _RECORD.size
        rdatas.append(tail[position : position + size])
        position += size
    return Records(owner, rtype, ttl, tuple(rdatas))


def ancestors(key: bytes, apex: bytes) -> Iterator[bytes]:
    """Give the names above a name, from its parent to the apex."""
    while key not in (apex, ROOT):
        key = key[1 + key[0] :]
        yield key
