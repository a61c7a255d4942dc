"""Collects the records of a zone, holds them to the rules, and makes its table.

Pure: records in, a table and warnings out.

Source: RFC 1035, section 5.2; RFC 2181, sections 5, 6 and 10; RFC 6672, section 2.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from asyncendpoints.dns.names import (
    ROOT,
    format_name,
    is_subdomain,
    labels_of,
    parent,
)
from asyncendpoints.dns.records import LONGEST_TTL, Records, Type, format_type
from asyncendpoints.dns.zonetable import (
    ALIAS,
    BELOW,
    CUT,
    DNAME,
    WILDCARD,
    Table,
    ancestors,
    encode_node,
)
from asyncendpoints.errors import ZoneError

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["Builder"]

#: What a collected record begins with: type and TTL.
_HEAD = Struct("!HI")

#: What can stand beside a CNAME: what signs it. Source: RFC 4034, section 3; RFC 2181, section 10.1.
_BESIDE_CNAME = {25, Type.RRSIG, Type.NSEC, Type.CNAME}  # 25 is KEY
#: Types of which a name has one record.
_SINGLE = {Type.CNAME, Type.SOA, Type.DNAME}
#: What cannot stand at a wildcard: no standard says what it would mean. Source: RFC 4592, section 4.
_NOT_AT_WILDCARD = {Type.NS, Type.DNAME}
_NO_RECORD_TYPES = {0, Type.OPT, *range(128, 256)}

#: Types whose data ends in the name of a host, or of whatever there is, and how many bytes are before it.
_HOSTS = {Type.NS: 0, Type.MX: 2, Type.SRV: 6, Type.CNAME: 0}
#: What is suspicious about a name to which that of the zone was added.
_TWICE = "ends in the name of the zone twice; is a final dot missing?"

#: The most aliases that are followed to see whether they go in a circle.
_MOST_LINKS: Final = 12

#: How many warnings are kept; a zone that is wrong is wrong all over.
MOST_WARNINGS: Final = 100

#: The number of the records of a set has 16 bits in a message.
MOST_RECORDS: Final = 65_535

#: How many names are looked at between two breaks.
_STEP = 200


class Builder:
    """Takes the records of one zone, in any order.

    Args:
        apex: The key of the zone's first name, or None: it is that of the SOA.
    """

    #: The most bytes that names and records may take together: offsets have 32 bits, and 16 bytes of slots
    #: for each name come on top.
    most_bytes = 3 * 2**30

    def __init__(self, apex: bytes | None = None) -> None:
        self.apex = apex
        #: What the table was made of, once it was.
        self.warnings: list[str] = []
        #: How many records were added.
        self.count = 0
        self._path = ""
        self._line = 0
        self._soa = False
        #: The collected records of a name, each with type and TTL: one, or a list.
        self._names: dict[bytes, bytes | list[bytes]] = {}
        self._aliases: set[bytes] = set()
        #: Where names stood before it was known whether they are in the zone.
        self._early: list[tuple[bytes, str, int]] = []

    def warn(self, problem: str) -> None:
        """Note what is suspicious."""
        if len(self.warnings) < MOST_WARNINGS:
            self.warnings.append(problem)

    def at(self, path: str, line: int) -> None:
        """Say where the records that are added next stand."""
        self._path = path
        self._line = line

    def wrong(self, problem: str) -> ZoneError:
        """Make an error that says where the records stand."""
        return ZoneError(self._path, self._line, problem)

    def add(self, key: bytes, rtype: int, ttl: int, rdata: bytes) -> None:
        """Add one record.

        Raises:
            ZoneError: It cannot be in this zone.
        """
        if rtype in _CHECKED:
            self._check(key, rtype)
        elif key in self._aliases and rtype not in _BESIDE_CNAME:
            raise self._beside_alias(key)
        if self.apex is None:
            self._early.append((key, self._path, self._line))
        elif key not in self._names and not is_subdomain(key, self.apex):
            raise self._outside(key)
        self.count += 1
        record = _HEAD.pack(rtype, ttl if ttl <= LONGEST_TTL else 0) + rdata
        records = self._names.get(key)
        if records is None:
            self._names[key] = record
        elif isinstance(records, list):
            records.append(record)
        else:
            self._names[key] = [records, record]

    def _check(self, key: bytes, rtype: int) -> None:
        """Look at a record of a type that has rules of its own."""
        if rtype in _NO_RECORD_TYPES:
            raise self.wrong(f"{format_type(rtype)} is no type of a record")
        if rtype in _NOT_AT_WILDCARD and key.startswith(b"\1*"):
            problem = f"has {format_type(rtype)} at a wildcard, which has no meaning"
            raise self.wrong(f"{format_name(key)} {problem}")
        if rtype == Type.CNAME:
            if any(each not in _BESIDE_CNAME for each in self.types(key)):
                raise self._beside_alias(key)
            self._aliases.add(key)
        elif key in self._aliases:
            raise self._beside_alias(key)
        if rtype == Type.SOA:
            self._begin(key)

    def _begin(self, key: bytes) -> None:
        """Look at the SOA, which says what zone this is."""
        if self.apex is None:
            self.apex = key
            for early, path, line in self._early:
                if not is_subdomain(early, key):
                    self.at(path, line)
                    raise self._outside(early)
        elif key != self.apex and not self._soa:
            apex = format_name(self.apex)
            raise self.wrong(f"the SOA is that of {format_name(key)}, expected {apex}")
        if self._soa:
            raise self.wrong("this is the second SOA; a zone has one")
        self._soa = True

    def _beside_alias(self, key: bytes) -> ZoneError:
        return self.wrong(f"{format_name(key)} has a CNAME, and other records beside it")

    def _outside(self, key: bytes) -> ZoneError:
        assert self.apex is not None  # names are outside of something
        return self.wrong(f"{format_name(key)} is not in the zone {format_name(self.apex)}")

    def types(self, key: bytes) -> set[int]:
        """Give the types of which a name has records."""
        records = self._names.get(key, [])
        if isinstance(records, bytes):
            return {records[0] << 8 | records[1]}
        return {each[0] << 8 | each[1] for each in records}

    def steps(self, path: str) -> Generator[None, None, Table]:
        """Make the table in steps of less than a millisecond or so each; the generator returns it.

        Only once: the records are gone then.

        Args:
            path: What errors are about of which no line is known.

        Raises:
            ZoneError: These records are no zone.
        """
        return _Compiler(self, path).run()

    def take(self, key: bytes) -> dict[int, Records]:
        """Give the records of one name, by type, and forget them. A set has the lowest TTL of its records."""
        records = self._names[key]
        self._names[key] = b""
        if isinstance(records, bytes):
            rtype, ttl = _HEAD.unpack_from(records)
            return {rtype: Records(key, rtype, ttl, (records[_HEAD.size :],))}
        sets: dict[int, tuple[int, dict[bytes, None]]] = {}
        mixed: set[int] = set()
        for each in records:
            rtype, ttl = _HEAD.unpack_from(each)
            lowest, rdatas = sets.get(rtype, (ttl, {}))
            rdatas[each[_HEAD.size :]] = None
            sets[rtype] = min(ttl, lowest), rdatas
            if ttl != lowest:
                mixed.add(rtype)
        for rtype in mixed - {Type.RRSIG}:  # which have those of what they sign
            problem = f"records of one set have several TTLs; the lowest, {sets[rtype][0]}, counts"
            self.warn(f"{format_name(key)} {format_type(rtype)}: {problem}")
        return {
            rtype: Records(key, rtype, ttl, tuple(rdatas)) for rtype, (ttl, rdatas) in sets.items()
        }

    @property
    def names(self) -> dict[bytes, bytes | list[bytes]]:
        """The names that have records."""
        return self._names


#: Types that are looked at when they are added.
_CHECKED = _NO_RECORD_TYPES | _NOT_AT_WILDCARD | {Type.CNAME, Type.SOA}


class _Compiler:
    """Makes a table of collected records, and looks at the zone as a whole."""

    def __init__(self, builder: Builder, path: str) -> None:
        self._builder = builder
        self._path = path
        self._apex = ROOT if builder.apex is None else builder.apex
        #: What the names of the zone end in where a final dot is missing; nothing in that of the root.
        self._twice = b"" if self._apex == ROOT else self._apex[:-1] + self._apex
        self._nodes: dict[bytes, bytes] = {}
        #: Names that have no records, but names below them have.
        self._empty: dict[bytes, None] = {}
        self._cuts: set[bytes] = set()
        self._dnames: set[bytes] = set()
        self._wildcards: set[bytes] = set()
        #: Which names stand where a host is meant, or what an alias is of: who says so, and in a record of
        #: which type.
        self._hosts: dict[bytes, tuple[bytes, int]] = {}

    def run(self) -> Generator[None, None, Table]:
        """Make the table."""
        names = self._builder.names
        self._check_apex()
        for position, key in enumerate(names):
            self._place(key)
            if self._is_twice(key):
                self._builder.warn(f"{format_name(key)} {_TWICE}")
            if not position % _STEP:
                yield
        for position, key in enumerate(names):
            self._write(key, self._builder.take(key))
            if not position % _STEP:
                yield
        for key in self._empty:
            self._write(key, {})
        table = self._table()
        for position, (host, (owner, rtype)) in enumerate(self._hosts.items()):
            problem = self._problem_of(table, host, owner, rtype)
            if problem:
                self._builder.warn(f"{format_name(owner)} {format_type(rtype)}: {problem}")
            if not position % _STEP:
                yield
        return table

    def _wrong(self, problem: str) -> ZoneError:
        return ZoneError(self._path, 0, problem)

    def _check_apex(self) -> None:
        """See that the zone has what each zone has."""
        types = self._builder.types(self._apex)
        if Type.SOA not in types:
            raise self._wrong("the zone has no SOA")
        if Type.NS not in types:
            raise self._wrong(f"the zone has no NS at its apex, {format_name(self._apex)}")

    def _place(self, key: bytes) -> None:
        """Find out what a name means for those around it."""
        types = self._builder.types(key)
        if Type.NS in types and key != self._apex:
            self._cuts.add(key)
        if Type.DNAME in types:
            self._dnames.add(key)
        if key.startswith(b"\1*") and key != self._apex:
            self._wildcards.add(parent(key))
        names, empty = self._builder.names, self._empty
        if key[1 + key[0] :] in names:
            return
        for above in ancestors(key, self._apex):
            if above in names or above in empty:
                break
            empty[above] = None
            if above.startswith(b"\1*"):
                self._wildcards.add(parent(above))

    def _write(self, key: bytes, sets: dict[int, Records]) -> None:
        """Write what follows a key, and note the hosts that it names."""
        flags = 0
        if self._cuts:
            flags |= CUT if key in self._cuts else 0
            flags |= BELOW if not self._cuts.isdisjoint(ancestors(key, self._apex)) else 0
        if self._dnames and not flags & BELOW:
            self._check_dname(key, flags)
            flags |= DNAME if key in self._dnames else 0
        flags |= WILDCARD if key in self._wildcards else 0
        flags |= ALIAS if Type.CNAME in sets else 0
        for rtype, records in sets.items():
            if len(records.rdatas) > 1:
                self._check_set(key, rtype, len(records.rdatas))
            if rtype in _HOSTS:
                for rdata in records.rdatas:
                    self._hosts.setdefault(rdata[_HOSTS[rtype] :].lower(), (key, rtype))
        self._nodes[key] = encode_node(flags, sets.values())

    def _check_dname(self, key: bytes, flags: int) -> None:
        """See that nothing is beside or below a DNAME that it would hide."""
        if key in self._dnames and flags & CUT:
            raise self._wrong(f"{format_name(key)} has a DNAME and NS records beside it")
        if not self._dnames.isdisjoint(ancestors(key, self._apex)):
            raise self._wrong(f"{format_name(key)} is below a name that has a DNAME")

    def _check_set(self, key: bytes, rtype: int, count: int) -> None:
        """See that there are not too many records in a set."""
        if rtype in _SINGLE and count > 1:
            raise self._wrong(f"{format_name(key)} has {count} {format_type(rtype)} records")
        if count > MOST_RECORDS:
            problem = f"has {count} {format_type(rtype)} records, expected at most {MOST_RECORDS}"
            raise self._wrong(f"{format_name(key)} {problem}")

    def _table(self) -> Table:
        nodes, most = self._nodes, self._builder.most_bytes
        if sum(map(len, nodes)) + sum(map(len, nodes.values())) > most:
            raise self._wrong(f"the zone takes more than {most} bytes")
        return Table.make(self._apex, nodes, self._builder.count)

    def _is_twice(self, key: bytes) -> bool:
        """Tell whether a name ends in that of the zone twice, as one does that was to have a final dot."""
        return bool(self._twice) and key.endswith(self._twice)

    def _problem_of(self, table: Table, host: bytes, owner: bytes, rtype: int) -> str:
        """Say what is wrong with the name of a host or the target of an alias, or nothing."""
        name = format_name(host)
        if _is_address(host, self._apex):
            return f"{name} is an address, expected the name of a host"
        if self._is_twice(host):
            return f"{name} {_TWICE}"
        if host == ROOT or not is_subdomain(host, self._apex):
            return ""
        node, is_wild = closest(table, host)
        flags = table.flags(node)
        if rtype == Type.CNAME:
            if not (is_wild or table.find(host) or flags & (CUT | BELOW | DNAME)):
                return f"there is no {name} in the zone"
            return f"{name} leads back to itself" if _is_circle(table, host) else ""
        if flags & (CUT | BELOW):
            is_glue = rtype == Type.NS and (owner == self._apex or is_subdomain(host, owner))
            if not is_glue or (table.find(host) and has_address(table, node)):
                return ""
            return f"{name} is in a zone below, and has no address here (glue)"
        if (node and flags & ALIAS) and (is_wild or table.find(host)):
            return f"{name} is a CNAME, expected a host with addresses"
        if (is_wild or table.find(host)) and has_address(table, node):
            return ""
        return f"{name} has no address in the zone"


def closest(table: Table, key: bytes) -> tuple[int, bool]:
    """Find the node of a name, of the wildcard that stands for it, or of the nearest name above it.

    Returns:
        The node, and whether it is that of a wildcard.
    """
    node = table.find(key)
    if node:
        return node, False
    while not node:
        key = parent(key)
        node = table.find(key)
    if table.flags(node) & WILDCARD and not table.flags(node) & (CUT | BELOW):
        return table.find(b"\1*" + key), True
    return node, False


def _is_circle(table: Table, start: bytes) -> bool:
    """Tell whether the aliases from a name on lead back to it."""
    key = start
    for _ in range(_MOST_LINKS):
        if not is_subdomain(key, table.apex):
            return False
        records = table.records_at(closest(table, key)[0], Type.CNAME, key)
        if records is None:
            return False
        key = records.rdatas[0].lower()
        if key == start:
            return True
    return False


def has_address(table: Table, node: int) -> bool:
    """Tell whether there is an address record at a node."""
    return any(table.find_set(node, each) for each in (Type.A, Type.AAAA))


def _is_address(host: bytes, apex: bytes) -> bool:
    """Tell whether a name was meant to be an IPv4 address, which the zone's name may have been added to."""
    labels = labels_of(host)
    is_whole = labels[4:] in ((), labels_of(apex)) and len(labels) >= 4
    return is_whole and all(each.isdigit() and int(each) < 256 for each in labels[:4])
