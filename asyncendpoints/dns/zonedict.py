"""A zone written as a dict: values to records.

Pure: values in, records out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.ttl

from asyncendpoints.dns.names import encode_name
from asyncendpoints.dns.records import (
    LONGEST_TTL,
    RData,
    Type,
    check_comment,
    encode_rdata,
    format_type,
    parse_type,
    wire_of,
    wrong_text,
)
from asyncendpoints.errors import EndpointError, ZoneError
from asyncendpoints.masking import shorten

if TYPE_CHECKING:
    from asyncendpoints.dns.zonebuild import Builder

__all__ = ["Names", "add_defaults", "add_names", "parse_ttl"]

#: From names to what each has: from types to one value or several, and from ``"ttl"`` to seconds, or to text
#: as in a zone file.
Names = Mapping[str, Mapping[str, RData | int | Iterable[RData]]]

#: What a SOA says that nobody wrote: serial, and in seconds refresh, retry, expire and minimum. The minimum
#: is short: what a program writes may change at any time. Source: RIPE-203 for the others.
_NUMBERS = (1, 86_400, 7_200, 3_600_000, 300)

#: Types in whose text there is no name.
_NAMELESS = {Type.A, Type.AAAA, Type.TXT}


def add_names(builder: Builder, origin: bytes, names: Names, ttl: int) -> None:
    """Add the records of a dict.

    Args:
        builder: Takes the records.
        origin: The name of the zone in wire form, which is added to names without a final dot, as in a file.
        names: The records; ``"@"`` is the zone itself.
        ttl: Of records of names that have no ``"ttl"``, in seconds.

    Raises:
        ZoneError: A name, a type or a value is wrong.
        TypeError: ``names`` is no dict.
    """
    if not isinstance(names, Mapping):
        raise TypeError(f"names is a dict of names, not {shorten(names)}")
    for name, sets in names.items():
        if not isinstance(sets, Mapping):
            problem = f"expected types and values, as in {{'A': '192.0.2.1'}}, not {shorten(sets)}"
            raise builder.wrong(f"{name}: {problem}")
        try:
            key = origin if name == "@" else encode_name(name, origin)
        except EndpointError as error:
            raise builder.wrong(str(error)) from None
        try:
            seconds = parse_ttl(sets.get("ttl", ttl))
        except ValueError as error:
            raise builder.wrong(f"{name}: {error}") from None
        for kind, values in sets.items():
            if kind == "ttl":
                continue
            try:
                rtype = parse_type(kind)
                for value in _several(values):
                    builder.add(key.lower(), rtype, seconds, _rdata(rtype, value, origin))
            except ZoneError:
                raise
            except (EndpointError, dns.exception.DNSException, ValueError, TypeError) as error:
                raise builder.wrong(f"{name} {kind}: {error}") from None


def add_defaults(builder: Builder, origin: bytes, ns: Iterable[str], ttl: int) -> None:
    """Add the NS records and the SOA that a zone has to have, where there are none.

    Args:
        builder: Takes the records.
        origin: The name of the zone in wire form.
        ns: The names of its name servers; with none nothing is added.
        ttl: Of the records, in seconds.

    Raises:
        ZoneError: A name is none, or one of the records is missing and cannot be made.
    """
    try:
        servers = [encode_name(each, origin) for each in ns]
    except EndpointError as error:
        raise builder.wrong(f"ns: {error}") from None
    key = origin.lower()
    missing = [each for each in (Type.SOA, Type.NS) if each not in builder.types(key)]
    if missing and not servers:
        kinds = " and no ".join(map(format_type, missing))
        what = "them" if missing[1:] else "it"
        raise builder.wrong(f"the zone has no {kinds}; ns='ns.example.org.' makes {what}")
    if servers and Type.NS not in builder.types(key):
        for each in servers:
            builder.add(key, Type.NS, ttl, each)
    if servers and Type.SOA not in builder.types(key):
        numbers = b"".join([each.to_bytes(4, "big") for each in _NUMBERS])
        mailbox = encode_name("hostmaster", origin)
        builder.add(key, Type.SOA, ttl, servers[0] + mailbox + numbers)


def _several(values: RData | int | Iterable[RData]) -> Iterable[RData]:
    """Give one value or several as several."""
    if isinstance(values, str | dns.rdata.Rdata) or not isinstance(values, Iterable):
        return (values,)  # type: ignore[return-value]  # what is no data is refused as such
    return values


def _rdata(rtype: int, value: RData, origin: bytes) -> bytes:
    """Write data in wire form."""
    if not isinstance(value, str) or rtype in _NAMELESS:
        return encode_rdata(rtype, value)
    check_comment(value)
    name = dns.name.from_wire(origin, 0)[0]
    kind = dns.rdatatype.RdataType.make(rtype)
    try:
        rdata = dns.rdata.from_text(dns.rdataclass.IN, kind, value, origin=name, relativize=False)
    except (dns.exception.DNSException, ValueError, OverflowError) as error:
        raise wrong_text(rtype, value, error) from None
    return wire_of(rdata)


def parse_ttl(given: object) -> int:
    """Give the seconds of a TTL: a number, or text as in a zone file, such as ``1h``.

    Raises:
        ValueError: It is none, or out of range.
    """
    seconds = given
    if isinstance(given, str):
        with suppress(dns.ttl.BadTTL, ValueError):  # int() has a limit
            seconds = dns.ttl.from_text(given)
    if not isinstance(seconds, int) or not 0 <= seconds <= LONGEST_TTL:
        expected = f"seconds from 0 to {LONGEST_TTL}, or text such as '1h'"
        raise ValueError(f"ttl is {shorten(given)}, expected {expected}")
    return seconds
