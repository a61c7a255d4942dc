"""Record data, against tables and against dnspython."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints.dns.records import (
    Records,
    Type,
    check_comment,
    check_ttl,
    encode_rdata,
    format_type,
    from_rrset,
    parse_type,
    to_rrset,
    to_rrsets,
)
from asyncendpoints.errors import RecordError

if TYPE_CHECKING:
    from asyncendpoints.dns.records import RData


def dnspythons(rtype: int, text: str) -> bytes | None:
    """Give what dnspython makes of the text of record data, None if it refuses it, or takes half of it."""
    try:
        check_comment(text)
        rdata = dns.rdata.from_text(
            dns.rdataclass.IN,
            dns.rdatatype.RdataType.make(rtype),
            text,
            origin=dns.name.root,
            relativize=False,
            idna_codec=dns.name.IDNA_2008_UTS_46,
        )
    except (dns.exception.DNSException, ValueError):
        return None
    return rdata.to_wire(origin=dns.name.root)


def ours(rtype: int, text: str) -> bytes | None:
    """Give what we make of the text of record data, None if we refuse it."""
    try:
        return encode_rdata(rtype, text)
    except RecordError:
        return None


def string(raw: bytes) -> bytes:
    """Give the wire form of a short string."""
    return bytes((len(raw),)) + raw


MAIL = b"\4mail\1a\0"


@pytest.mark.parametrize(
    ("rtype", "value", "wire"),
    [
        (Type.A, "192.0.2.1", b"\xc0\0\2\1"),
        (Type.A, IPv4Address("192.0.2.1"), b"\xc0\0\2\1"),
        (Type.A, r"\# 4 c0000201", b"\xc0\0\2\1"),
        (Type.AAAA, "2001:DB8::1", b"\x20\1\x0d\xb8" + bytes(11) + b"\1"),
        (Type.AAAA, IPv6Address("::1"), bytes(15) + b"\1"),
        (Type.AAAA, "::192.0.2.1", bytes(12) + b"\xc0\0\2\1"),
        (Type.NS, "Mail.a.", b"\4Mail\1a\0"),
        (Type.CNAME, "mail.a", MAIL),
        (Type.PTR, r"mail\.a", b"\6mail.a\0"),
        (Type.CNAME, "@", b"\0"),
        (Type.CNAME, ".", b"\0"),
        (Type.CNAME, r"a\;b", b"\3a;b\0"),
        (Type.CNAME, "faß.de", b"\x0axn--fa-hia\2de\0"),
        (Type.MX, "10 mail.a", b"\0\x0a" + MAIL),
        (Type.MX, "10  mail.a.", b"\0\x0a" + MAIL),
        (Type.MX, "65535 .", b"\xff\xff\0"),
        (Type.SRV, "0 5 5060 mail.a", b"\0\0\0\5\x13\xc4" + MAIL),
        (Type.TXT, '"some text"', b"\x09some text"),
        (Type.TXT, "text", b"\4text"),
        (Type.TXT, '""', b"\0"),
        (Type.TXT, "some text", b"\x09some text"),
        (Type.TXT, "v=DKIM1; k=rsa", b"\x0ev=DKIM1; k=rsa"),
        (Type.TXT, 'say "hi"', b'\x08say "hi"'),
        (Type.TXT, "", b"\0"),
        (Type.TXT, "a" * 255, b"\xff" + b"a" * 255),
        (Type.TXT, "a" * 256, b"\xff" + b"a" * 255 + b"\1a"),
        (Type.TXT, '"one" "two"', b"\3one\3two"),
        (Type.TXT, r'"a\"b\255"', b'\4a"b\xff'),
        (Type.TXT, '"a;b()"', b"\5a;b()"),
        (Type.TXT, "é", b"\2\xc3\xa9"),
        (
            Type.SOA,
            "ns.a. root.a. 1 2 3 4 5",
            b"\2ns\1a\0\4root\1a\0" + struct.pack("!5I", 1, 2, 3, 4, 5),
        ),
        (Type.HINFO, "CPU OS", b"\3CPU\2OS"),
        (731, r"\# 3 010203", b"\1\2\3"),
        (731, r"\# 0", b""),
        (
            Type.A,
            dns.rdata.from_text("IN", "A", "192.0.2.1"),
            b"\xc0\0\2\1",
        ),
    ],
)
def test_encode_rdata(rtype: int, value: RData, wire: bytes) -> None:
    """Each value is this data."""
    assert encode_rdata(rtype, value) == wire


def test_relative_names_of_dnspython() -> None:
    """A name in dnspython rdata without a final dot is below the root."""
    rdata = dns.rdata.from_text("IN", "MX", "10 mail.a")
    assert encode_rdata(Type.MX, rdata) == b"\0\x0a" + MAIL


@pytest.mark.parametrize(
    ("rtype", "value", "problem"),
    [
        (Type.A, "192.0.2", "an IPv4 address such as 192.0.2.1"),
        (Type.A, "192.0.2.256", "an IPv4 address such as 192.0.2.1"),
        (Type.A, "192.0.02.1", "an IPv4 address such as 192.0.2.1"),
        (Type.A, "", "an IPv4 address such as 192.0.2.1"),
        (Type.AAAA, "192.0.2.1", "an IPv6 address such as 2001:db8::1"),
        (Type.AAAA, "fe80::1%eth0", "an IPv6 address such as 2001:db8::1"),
        (Type.NS, "a..b", "a host name"),
        (Type.CNAME, "a b", "a domain name"),
        (Type.CNAME, '"a"', "a domain name"),
        (Type.CNAME, "", "a domain name"),
        (Type.CNAME, "☃.example", "a domain name"),
        (Type.MX, "mail.a", "a preference and a host, such as '10 mail.example.org'"),
        (Type.MX, "65536 mail.a", "a preference and a host, such as '10 mail.example.org'"),
        (Type.MX, "-1 mail.a", "a preference and a host, such as '10 mail.example.org'"),
        (
            Type.SRV,
            "1 2 mail.a",
            "priority, weight, port and host, such as '0 5 5060 sip.example.org'",
        ),
        (Type.TXT, '"open', "text, or strings in quotes"),
        (Type.TXT, '"', "text, or strings in quotes"),
        (Type.TXT, '"a" b; c', "text, or strings in quotes"),
        (Type.TXT, '"' + "a" * 256 + '"', "text, or strings in quotes"),
        (Type.CNAME, "mail.a ; a comment", "a domain name"),
        (Type.CAA, "0 issue", "flags, tag and value, such as '0 issue ca.example.org'"),
        (Type.HTTPS, ".", "priority, target and parameters, such as '1 . alpn=h2'"),
        (Type.HINFO, "", "HINFO data"),
        (731, "text", "TYPE731 data"),
    ],
)
def test_encode_rdata_refuses(rtype: int, value: str, problem: str) -> None:
    """Each text is no data of its type, and the error says what would be."""
    with pytest.raises(RecordError) as caught:
        encode_rdata(rtype, value)
    assert (caught.value.value, caught.value.type) == (value, format_type(rtype))
    assert caught.value.problem.startswith("is no data of such a record")
    assert caught.value.problem.endswith(f", expected {problem}")


@pytest.mark.parametrize(
    ("rtype", "value", "problem"),
    [
        (
            Type.AAAA,
            IPv4Address("192.0.2.1"),
            "is an IPv4 address, expected an IPv6 address such as",
        ),
        (Type.A, IPv6Address("::1"), "is an IPv6 address, expected an IPv4 address such as"),
        (Type.TXT, IPv4Address("192.0.2.1"), "is an IPv4 address, expected text, or strings"),
        (
            Type.A,
            dns.rdata.from_text("IN", "MX", "10 a."),
            "is the data of a record of type MX, expected an IPv4 address",
        ),
    ],
)
def test_values_of_another_type(rtype: int, value: RData, problem: str) -> None:
    """A value that is data of another type is refused."""
    with pytest.raises(RecordError) as caught:
        encode_rdata(rtype, value)
    assert caught.value.problem.startswith(problem)


@pytest.mark.parametrize(
    ("rtype", "value", "reason"),
    [
        (Type.A, "192.0.2.300", ""),
        (Type.MX, "70000 a.", " (70000 is not an unsigned 16-bit integer)"),
    ],
)
def test_reason(rtype: int, value: str, reason: str) -> None:
    """The error has what dnspython says, where that is more than that something is wrong."""
    with pytest.raises(RecordError) as caught:
        encode_rdata(rtype, value)
    assert caught.value.problem.startswith(f"is no data of such a record{reason}, expected")


def test_message() -> None:
    """The error shows the value, what is wrong, and what would be right."""
    with pytest.raises(RecordError) as caught:
        encode_rdata(Type.A, IPv6Address("::1"))
    expected = "'::1': is an IPv6 address, expected an IPv4 address such as 192.0.2.1"
    assert str(caught.value) == expected


@pytest.mark.parametrize("value", [None, 1, b"192.0.2.1"])
def test_values_of_no_type(value: RData) -> None:
    """What is neither text nor an address nor rdata is a mistake in the program."""
    with pytest.raises(TypeError, match="record data is text, an address or dnspython rdata, not"):
        encode_rdata(Type.A, value)


def test_data_that_fits_in_no_record() -> None:
    """Data of more than 65,535 bytes is refused."""
    text = " ".join(['"' + "a" * 255 + '"'] * 257)
    with pytest.raises(RecordError, match="takes 65792 bytes"):
        encode_rdata(Type.TXT, text)
    with pytest.raises(RecordError, match="takes 65792 bytes"):
        encode_rdata(Type.TXT, "a" * 255 * 257)


@pytest.mark.parametrize(
    "text", ["a;", "a;b", '"a" ; b', r'"a\";" ;', ";", r"\\;", '"a;b" c ;', r'"" "\\";']
)
def test_comment(text: str) -> None:
    """A semicolon outside of quotes, without a backslash before it, begins a comment and is refused."""
    with pytest.raises(ValueError, match="a semicolon begins a comment; put quotes around it"):
        check_comment(text)


@pytest.mark.parametrize("text", ["", "a", r"a\;b", '"a;b"', r'"a\";"', '"open;', r"\\\;"])
def test_no_comment(text: str) -> None:
    """No comment begins in these."""
    check_comment(text)


@pytest.mark.parametrize("ttl", [-1, 2**31, "1h", 1.5, None])
def test_wrong_ttl(ttl: object) -> None:
    """A time to live is a number of seconds in its range."""
    with pytest.raises(ValueError, match=f"ttl is {ttl!r}, expected seconds from 0 to 2147483647"):
        check_ttl(ttl)


@pytest.mark.parametrize("value", [None, ["A", "AAAA"]])
def test_no_type(value: Any) -> None:
    """What is neither text nor a number is a mistake in the program."""
    with pytest.raises(TypeError, match="a record type is one text such as 'A', or a number, not"):
        parse_type(value)


OCTETS = st.integers(0, 260).map(str) | st.sampled_from(["", "00", "1_0", "+1", " 1", "٣"])


@given(st.ip_addresses(v=4).map(str) | st.lists(OCTETS, min_size=3, max_size=5).map(".".join))
def test_a(text: str) -> None:
    """An IPv4 address is what dnspython takes for one, and the same."""
    assert ours(Type.A, text) == dnspythons(Type.A, text)


@given(st.ip_addresses(v=6).map(str) | st.text("0:af%.1", max_size=20))
def test_aaaa(text: str) -> None:
    """An IPv6 address is what dnspython takes for one, and the same."""
    assert ours(Type.AAAA, text) == dnspythons(Type.AAAA, text)


NAMES = st.text('ab.\\0@*_-/ ;()"$é', min_size=1, max_size=20)
NUMBERS = st.integers(-1, 70000).map(str) | st.sampled_from(["", "007", "+1", "٣", "1_0", "0x1"])


@given(st.sampled_from([Type.NS, Type.CNAME, Type.PTR]), NAMES)
def test_hosts(rtype: int, text: str) -> None:
    """A name in record data is what dnspython takes for one, and the same."""
    assert ours(rtype, text) == dnspythons(rtype, text)


@given(NUMBERS, NAMES)
def test_mx(preference: str, text: str) -> None:
    """The data of an MX record is what dnspython takes for it, and the same."""
    text = f"{preference} {text}"
    assert ours(Type.MX, text) == dnspythons(Type.MX, text)


@given(st.lists(NUMBERS, min_size=2, max_size=4), NAMES)
def test_srv(numbers: list[str], text: str) -> None:
    """The data of an SRV record is what dnspython takes for it, and the same."""
    text = " ".join([*numbers, text])
    assert ours(Type.SRV, text) == dnspythons(Type.SRV, text)


@given(st.text("ab \\\"';()0123@\té", max_size=20) | st.text(max_size=10))
def test_txt(text: str) -> None:
    """Text that begins with a quote is what dnspython takes for it, and other text what it says."""
    quoted = f'"{text}'
    assert ours(Type.TXT, quoted) == dnspythons(Type.TXT, quoted)
    assert text.startswith('"') or ours(Type.TXT, text) == string(text.encode())


@given(st.sampled_from(sorted(dns.rdatatype.RdataType)), st.text(max_size=30))
def test_any_text(rtype: dns.rdatatype.RdataType, text: str) -> None:
    """Any text is record data or a RecordError, for every type."""
    data = ours(rtype, text)
    assert data is None or len(data) <= 0xFFFF


@pytest.mark.parametrize(
    ("text", "number"), [("A", 1), ("a", 1), ("TYPE1", 1), ("TYPE65535", 65535), (28, 28)]
)
def test_parse_type(text: str | int, number: int) -> None:
    """A type is its name, its number in a name, or its number."""
    assert parse_type(text) == number


@pytest.mark.parametrize("text", ["", "ADDRESS", "TYPE", "TYPE65536", -1, 65536, 0, "TYPE0"])
def test_parse_type_refuses(text: str | int) -> None:
    """What is no type is refused."""
    with pytest.raises(RecordError) as caught:
        parse_type(text)
    assert caught.value.problem == "is no record type; A, AAAA and TYPE731 are some"


@pytest.mark.parametrize(("number", "text"), [(1, "A"), (65, "HTTPS"), (731, "TYPE731")])
def test_format_type(number: int, text: str) -> None:
    """A type without a name has its number in its text."""
    assert format_type(number) == text
    assert parse_type(text) == number


RRSET = dns.rrset.from_text("Mail.Test.", 300, "IN", "MX", "10 a.Test.", "20 b.test.")
RECORDS = Records(b"\4Mail\4Test\0", Type.MX, 300, (b"\0\x0a\1a\4Test\0", b"\0\x14\1b\4test\0"))


def test_from_rrset() -> None:
    """The records of dnspython keep their case and their order."""
    assert from_rrset(RRSET) == RECORDS


def test_to_rrset() -> None:
    """Our records become the same of dnspython."""
    rrset = to_rrset(RECORDS)
    assert (rrset, rrset.ttl, str(rrset.name)) == (RRSET, 300, "Mail.Test.")
    assert to_rrsets([RECORDS, RECORDS]) == (RRSET, RRSET)


def test_relative_rrset() -> None:
    """An owner without a final dot is below the root."""
    rrset = dns.rrset.from_text(dns.name.from_text("a", None), 300, "IN", "A", "192.0.2.1")
    assert from_rrset(rrset).owner == b"\1a\0"


@given(st.binary(max_size=8), st.lists(st.binary(max_size=20), min_size=1, max_size=4, unique=True))
def test_unknown_types_round_trip(label: bytes, rdatas: list[bytes]) -> None:
    """Records of a type that nobody knows come back as they were."""
    owner = bytes((len(label),)) + label + b"\0" if label else b"\0"
    records = Records(owner, 731, 5, tuple(rdatas))
    assert from_rrset(to_rrset(records)) == records


def test_records_that_are_none() -> None:
    """Data that is none of its type, as an upstream may send it, is a RecordError."""
    with pytest.raises(RecordError) as caught:
        to_rrset(Records(b"\1a\0", Type.DS, 5, (b"\1\2",)))
    assert (caught.value.value, caught.value.type) == (b"\1\2", "DS")


@given(st.sampled_from(sorted(dns.rdatatype.RdataType)), st.binary(max_size=40))
def test_any_data(rtype: dns.rdatatype.RdataType, data: bytes) -> None:
    """Any bytes are data that comes back as text, or a RecordError, for every type."""
    try:
        rrset = to_rrset(Records(b"\1a\0", rtype, 5, (data,)))
    except RecordError:
        return
    assert str(rrset).startswith("a. 5 IN ")


def test_ttl() -> None:
    """The first and the last number of the range are times to live."""
    check_ttl(0)
    check_ttl(2**31 - 1)
