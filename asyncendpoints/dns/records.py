"""Records as tuples of atoms, and record data to and from bytes.

Tables of records can grow large: tuples of bytes and numbers are what the garbage collector leaves alone.
Record data is kept as it stands on the wire, with no name compressed, so that one form serves every reply.

Pure: values in, bytes out.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, NamedTuple

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from asyncendpoints.dns.names import encode_name
from asyncendpoints.errors import RecordError
from asyncendpoints.masking import shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "IN",
    "LONGEST_TTL",
    "RData",
    "Records",
    "Type",
    "check_comment",
    "check_ttl",
    "encode_rdata",
    "format_type",
    "from_rrset",
    "parse_type",
    "to_rrset",
]

#: The class of the Internet, the only one that there is here.
IN = 1
_IN = dns.rdataclass.IN

#: The longest time to live, in seconds; more counts as 0. Source: RFC 2181, section 8.
LONGEST_TTL = 2**31 - 1

#: What dnspython says where it says nothing.
MALFORMED = "Text input is malformed"

#: What is taken as the data of one record.
RData = str | IPv4Address | IPv6Address | dns.rdata.Rdata


class Type:
    """The numbers of the record types that the code knows by name.

    Source: the registry "DNS Parameters" of IANA.
    """

    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    PTR = 12
    HINFO = 13
    MX = 15
    TXT = 16
    AAAA = 28
    SRV = 33
    DNAME = 39
    OPT = 41
    DS = 43
    SSHFP = 44
    RRSIG = 46
    NSEC = 47
    TLSA = 52
    SVCB = 64
    HTTPS = 65
    TKEY = 249
    TSIG = 250
    IXFR = 251
    AXFR = 252
    MAILB = 253
    MAILA = 254
    ANY = 255
    CAA = 257


class Records(NamedTuple):
    """The records of one name and type: a set, in the sense of RFC 2181, section 5."""

    #: The name in wire form, in the case in which it is to be shown.
    owner: bytes
    #: The number of the type, 1 to 65535.
    rtype: int
    #: Seconds, 0 to 2**31 - 1.
    ttl: int
    #: The data of each record in wire form, no name compressed.
    rdatas: tuple[bytes, ...]


def parse_type(text: str | int) -> int:
    """Give the number of a record type: ``"A"``, ``"TYPE731"`` or the number itself.

    Raises:
        RecordError: There is no such type.
        TypeError: It is neither text nor a number.

    Source: RFC 3597, section 5, for ``TYPE731``.
    """
    if not isinstance(text, str | int):
        raise TypeError(f"a record type is one text such as 'A', or a number, not {shorten(text)}")
    try:
        rtype = int(dns.rdatatype.RdataType.make(text))
    except (dns.exception.DNSException, ValueError):
        rtype = 0
    if not rtype:
        raise RecordError(text, str(text), "is no record type; A, AAAA and TYPE731 are some")
    return rtype


def format_type(rtype: int) -> str:
    """Write the number of a record type as text."""
    return dns.rdatatype.to_text(dns.rdatatype.RdataType.make(rtype))


def check_ttl(ttl: object) -> None:
    """See that a time to live is a number of seconds.

    Raises:
        ValueError: It is none, or out of range.
    """
    if not isinstance(ttl, int) or not 0 <= ttl <= LONGEST_TTL:
        raise ValueError(f"ttl is {ttl!r}, expected seconds from 0 to {LONGEST_TTL}")


def encode_rdata(rtype: int, value: RData) -> bytes:
    """Write the data of a record in wire form.

    Args:
        rtype: The number of its type.
        value: Text as in a zone file, in which names need no final dot; an address; or dnspython rdata. Text
            of a TXT record that does not begin with a quote is what it says, whatever is in it.

    Raises:
        RecordError: The value is no data of that type.
        TypeError: The value is none of these.
    """
    if isinstance(value, str):
        encode = _ENCODERS.get(rtype)
        if encode is not None:
            try:
                return encode(value)
            except RecordError:
                raise
            except (ValueError, OverflowError):
                pass  # dnspython knows the text, or says what is wrong
        return _parsed(rtype, value)
    if isinstance(value, IPv4Address | IPv6Address):
        if rtype != (Type.A if value.version == 4 else Type.AAAA):
            raise _wrong(rtype, value, f"is an IPv{value.version} address")
        return value.packed
    if not isinstance(value, dns.rdata.Rdata):
        raise TypeError(f"record data is text, an address or dnspython rdata, not {value!r}")
    if value.rdtype != rtype:
        raise _wrong(rtype, value, f"is the data of a record of type {format_type(value.rdtype)}")
    return wire_of(value)


def wire_of(rdata: dns.rdata.Rdata) -> bytes:
    """Give the wire form of dnspython rdata, no name compressed.

    Raises:
        RecordError: It takes more than 65,535 bytes.
    """
    wire = rdata.to_wire(origin=dns.name.root)
    assert wire is not None  # without a file to write to, it is returned
    if len(wire) > 0xFFFF:
        raise _wrong(rdata.rdtype, rdata, f"takes {len(wire)} bytes")
    return wire


def check_comment(value: str) -> None:
    """Refuse text in which a comment begins: somebody meant the semicolon.

    Raises:
        ValueError: One does.
    """
    if ";" in value and _COMMENT.match(value):
        raise ValueError("a semicolon begins a comment; put quotes around it")


def _parsed(rtype: int, value: str) -> bytes:
    try:
        check_comment(value)
        rdata = dns.rdata.from_text(
            _IN,
            dns.rdatatype.RdataType.make(rtype),
            value,
            origin=dns.name.root,
            relativize=False,
            idna_codec=dns.name.IDNA_2008_UTS_46,  # as encode_name does
        )
    except (dns.exception.DNSException, ValueError, OverflowError) as error:
        raise wrong_text(rtype, value, error) from None
    return wire_of(rdata)


def wrong_text(rtype: int, value: str, error: Exception) -> RecordError:
    """Make the error of text that dnspython could not read as the data of a record."""
    said = str(error).rstrip(".")
    reason = "" if said == MALFORMED else f" ({said})"
    return _wrong(rtype, value, f"is no data of such a record{reason}")


def _wrong(rtype: int, value: object, problem: str) -> RecordError:
    kind = format_type(rtype)
    return RecordError(value, kind, f"{problem}, expected {example_of(rtype) or f'{kind} data'}")


def example_of(rtype: int) -> str:
    """Say what would be right as data of a type, for messages; nothing for one that is written seldom."""
    return _EXAMPLES.get(rtype, "")


#: The parts of an IPv4 address: a look at this is quicker than reading and checking a number.
_PARTS = {str(number): number for number in range(256)}


def _encode_a(text: str) -> bytes:
    first, second, third, fourth = text.split(".")
    try:
        return bytes((_PARTS[first], _PARTS[second], _PARTS[third], _PARTS[fourth]))
    except KeyError:
        raise ValueError(text) from None


def _encode_aaaa(text: str) -> bytes:
    if "%" in text:
        raise ValueError(text)  # a record has no zone of an interface
    return IPv6Address(text).packed


def _encode_host(text: str) -> bytes:
    if not _PLAIN_NAME.fullmatch(text):
        raise ValueError(text)
    return encode_name(text)


def _encode_mx(text: str) -> bytes:
    preference, exchange = text.split(" ")
    return _uint16(preference) + _encode_host(exchange)


def _encode_srv(text: str) -> bytes:
    priority, weight, port, target = text.split(" ")
    return _uint16(priority) + _uint16(weight) + _uint16(port) + _encode_host(target)


def _encode_txt(text: str) -> bytes:
    """Encode text that is not quoted, or one quoted string without an escape; the rest is dnspython's."""
    if not text.startswith('"'):
        return _encode_strings(text)
    raw = text[1:-1].encode("ascii")
    if len(text) < 2 or text[-1] != '"' or len(raw) > 255 or not _PLAIN.issuperset(raw):
        raise ValueError(text)
    return bytes((len(raw),)) + raw


def _encode_strings(text: str) -> bytes:
    """Encode text as one string, or as several where it has more than 255 bytes."""
    raw = text.encode()
    if len(raw) < 256:
        return bytes((len(raw),)) + raw
    pieces = [raw[start : start + 255] for start in range(0, len(raw), 255)]
    wire = b"".join([bytes((len(each),)) + each for each in pieces])
    if len(wire) > 0xFFFF:
        raise _wrong(Type.TXT, text, f"takes {len(wire)} bytes")
    return wire


def _uint16(digits: str) -> bytes:
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5):
        raise ValueError(digits)
    return int(digits).to_bytes(2, "big")  # OverflowError above 65535


#: A name in which no character has a meaning of its own in a zone file, but for dots.
_PLAIN_NAME = re.compile(r"[\w.*/-]+")

#: Text up to a semicolon that is neither in quotes nor after a backslash.
_COMMENT = re.compile(r'(?:[^;"\\]|\\.|"(?:[^"\\]|\\.)*")*+;', re.DOTALL)

#: What can stand in a text string without a meaning of its own: printable, no quote, backslash or semicolon.
_PLAIN = frozenset(range(0x20, 0x7F)) - frozenset(b'"\\;()')

#: The types that are written so often that they have a way of their own, past dnspython.
_ENCODERS: dict[int, Callable[[str], bytes]] = {
    Type.A: _encode_a,
    Type.AAAA: _encode_aaaa,
    Type.NS: _encode_host,
    Type.CNAME: _encode_host,
    Type.PTR: _encode_host,
    Type.MX: _encode_mx,
    Type.SRV: _encode_srv,
    Type.TXT: _encode_txt,
}

#: What would be right, for messages.
_EXAMPLES = {
    Type.A: "an IPv4 address such as 192.0.2.1",
    Type.AAAA: "an IPv6 address such as 2001:db8::1",
    Type.NS: "a host name",
    Type.CNAME: "a domain name",
    Type.PTR: "a domain name",
    Type.SOA: "two names and five numbers, such as 'ns hostmaster 1 1d 2h 4w 5m'",
    Type.MX: "a preference and a host, such as '10 mail.example.org'",
    Type.SRV: "priority, weight, port and host, such as '0 5 5060 sip.example.org'",
    Type.TXT: "text, or strings in quotes",
    Type.DNAME: "a domain name",
    Type.DS: "key tag, algorithm, digest type and digest, such as '12345 13 2 9F1C…'",
    Type.SVCB: "priority, target and parameters, such as '1 . alpn=dot'",
    Type.HTTPS: "priority, target and parameters, such as '1 . alpn=h2'",
    Type.SSHFP: "algorithm, type and fingerprint, such as '4 2 9F1C…'",
    Type.TLSA: "usage, selector, type and digest, such as '3 1 1 9F1C…'",
    Type.CAA: "flags, tag and value, such as '0 issue ca.example.org'",
}


def from_rrset(rrset: dns.rrset.RRset) -> Records:
    """Turn dnspython records into ours."""
    owner = rrset.name.to_wire(origin=dns.name.root)
    assert owner is not None  # without a file to write to, it is returned
    return Records(owner, int(rrset.rdtype), rrset.ttl, tuple(map(wire_of, rrset)))


def to_rrset(records: Records) -> dns.rrset.RRset:
    """Turn our records into dnspython's.

    Raises:
        RecordError: The data of one is none of its type, as nobody knows before it is looked at.
    """
    owner = dns.name.from_wire(records.owner, 0)[0]
    rtype = dns.rdatatype.RdataType.make(records.rtype)
    rdatas = [_read(rtype, data) for data in records.rdatas]
    return dns.rrset.from_rdata_list(owner, records.ttl, rdatas)


def _read(rtype: dns.rdatatype.RdataType, data: bytes) -> dns.rdata.Rdata:
    try:
        return dns.rdata.from_wire(_IN, rtype, data, 0, len(data))
    except dns.exception.DNSException as error:
        raise _wrong(rtype, data, f"is no data of such a record: {error}") from None


def to_rrsets(sections: Iterable[Records]) -> tuple[dns.rrset.RRset, ...]:
    """Turn several sets of records into dnspython's."""
    return tuple(map(to_rrset, sections))
