"""The types of fields: text to value, value to text, and what is allowed."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints.fields import (
    Choice,
    DomainText,
    Duration,
    Flag,
    Help,
    Hidden,
    HostText,
    NonEmpty,
    Number,
    Octal,
    Text,
    Word,
    Words,
)
from tests.strategies import arguments, hosts

if TYPE_CHECKING:
    from asyncendpoints.fields import FieldType

NUMBER = Number(0, 65535)
WORDS = Words(Word(), "words separated by commas")


def read(type_: FieldType[Any], text: str) -> Any:
    """Read a text as a spec does: turn it into a value, and check that."""
    value = type_.parse(text)
    type_.check(value)
    return value


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        (NUMBER, "0", 0),
        (NUMBER, "65535", 65535),
        (NUMBER, "080", 80),
        (Octal(), "660", 0o660),
        (Octal(), "0660", 0o660),
        (Octal(), "0o660", 0o660),
        (Octal(), "0", 0),
        (Octal(), "777", 0o777),
        (Duration(), "5", 5.0),
        (Duration(), "0.25", 0.25),
        (Duration(), "0.0001", 0.0001),
        (Duration(), "1000000000", 1e9),
        (Flag(), "yes", True),
        (Flag(), "TRUE", True),
        (Flag(), "on", True),
        (Flag(), "1", True),
        (Flag(), "no", False),
        (Flag(), "False", False),
        (Flag(), "off", False),
        (Flag(), "0", False),
        (Choice("any", "IPv4"), "ANY", "any"),
        (Choice("any", "IPv4"), "ipv4", "IPv4"),
        (WORDS, "a", ("a",)),
        (WORDS, "a,b ,c", ("a", "b ", "c")),
        (Text(), "", ""),
        (Text(), "a\nb", "a\nb"),
        (NonEmpty("a path"), "x", "x"),
        (Hidden(), "x:y", "x:y"),
    ],
)
def test_read(type_: FieldType[Any], text: str, value: object) -> None:
    """A text is read as the value that it means."""
    assert read(type_, text) == value


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (NUMBER, ""),
        (NUMBER, "65536"),
        (NUMBER, "-1"),
        (NUMBER, "+1"),
        (NUMBER, " 80"),
        (NUMBER, "80 "),
        (NUMBER, "8_0"),
        (NUMBER, "0x50"),
        (NUMBER, "\uff18\uff10"),
        (NUMBER, "²"),
        (NUMBER, "http"),
        (NUMBER, "9" * 5000),
        (Number(3, 5), "2"),
        (Octal(), "8"),
        (Octal(), "1000"),
        (Octal(), "o660"),
        (Octal(), "rw-"),
        (Octal(), ""),
        (Octal(), "660\n"),
        (Duration(), "0"),
        (Duration(), "0.0"),
        (Duration(), "-1"),
        (Duration(), "1e3"),
        (Duration(), ".5"),
        (Duration(), "5."),
        (Duration(), "nan"),
        (Duration(), "inf"),
        (Duration(), "\uff15"),
        (Duration(), "0.00009"),
        (Duration(), "1000000001"),
        (Duration(), "9" * 5000),
        (Flag(), ""),
        (Flag(), "y"),
        (Flag(), "2"),
        (Choice("any"), "none"),
        (WORDS, ""),
        (WORDS, "a,,b"),
        (WORDS, "a,\0"),
        (Text(), "a\0"),
        (NonEmpty("a path"), ""),
        (NonEmpty("a path"), "\0x"),
        (Hidden(), "\0"),
    ],
)
def test_refused(type_: FieldType[Any], text: str) -> None:
    """A text that is no value of the type is a ValueError, and nothing else."""
    with pytest.raises(ValueError):
        read(type_, text)


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (NUMBER, "80"),
        (NUMBER, 80.0),
        (NUMBER, True),
        (Octal(), 0o1000),
        (Octal(), -1),
        (Duration(), "5"),
        (Duration(), True),
        (Duration(), float("inf")),
        (Duration(), float("nan")),
        (Duration(), None),
        (Flag(), 1),
        (Flag(), "yes"),
        (Choice("any"), "ANY"),
        (Choice("any"), None),
        (Text(), b"x"),
        (NonEmpty("a path"), b"x"),
        (Word(), "a,b"),
        (Word(), ""),
        (WORDS, ()),
        (WORDS, ["a"]),
        (WORDS, ("a,b",)),
        (Words(Text(), "texts"), ("a,b",)),
        (HostText(), b"localhost"),
        (HostText(), None),
    ],
)
def test_wrong_value(type_: FieldType[Any], value: object) -> None:
    """A value given from Python is checked for its type and its range."""
    with pytest.raises(ValueError):
        type_.check(value)


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        (NUMBER, "a number from 0 to 65535"),
        (Octal(), "permissions from 0 to 777 in octal digits, as in 660"),
        (Choice("a"), "'a'"),
        (Choice("a", "b"), "'a' or 'b'"),
        (Choice("a", "b", "c"), "'a', 'b' or 'c'"),
        (Flag(), "'yes' or 'no'"),
        (Duration(), "a number of seconds above 0"),
    ],
)
def test_expected(type_: FieldType[Any], expected: str) -> None:
    """A type says in words what it takes."""
    assert type_.expected == expected


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        (NUMBER, st.integers(0, 65535)),
        (Octal(), st.integers(0, 0o777)),
        (Duration(), st.one_of(st.floats(0.0001, 1e9), st.integers(1, 10**9))),
        (Flag(), st.booleans()),
        (Choice("any", "IPv4"), st.sampled_from(["any", "IPv4"])),
        (WORDS, st.lists(st.from_regex(r"[^,\0]+", fullmatch=True), min_size=1).map(tuple)),
        (Text(), arguments().filter(lambda text: "\0" not in text)),
        (HostText(), hosts()),
    ],
)
@given(data=st.data())
def test_round_trip(
    type_: FieldType[Any], values: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    """Every value is written as text that reads as the same value."""
    value = data.draw(values)
    assert read(type_, type_.format(value)) == value


@given(arguments())
def test_parse_raises_nothing_else(text: str) -> None:
    """Whatever the text, a type reads it or raises ValueError."""
    for type_ in (NUMBER, Octal(), Duration(), Flag(), Choice("a"), WORDS, Hidden(), HostText()):
        with suppress(ValueError):
            read(type_, text)


@pytest.mark.parametrize(
    ("value", "text"), [(5.0, "5"), (5, "5"), (0.25, "0.25"), (1e9, "1000000000")]
)
def test_duration_text(value: float, text: str) -> None:
    """Seconds are written in the fewest digits, without an exponent."""
    assert Duration().format(value) == text


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "example.org",
        "example.org.",
        "EXAMPLE.org",
        "a-b.c--d.x",
        "_sip._tcp.example.org",
        "xn--bcher-kva.example",
        "1.example",
        "1-2",
        "a" * 63,
        ".".join(["a" * 63] * 3 + ["b" * 61]),
        ".".join(["a" * 63] * 3 + ["b" * 61]) + ".",
        "a." * 126 + "b",
        "faß.de",
        "BÜCHER.example",
        "_sip.bücher.example",
        "bücher.example.",
        "例え。jp",
        "127.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "2001:db8:1:2:3:4:5:6",
        "::ffff:192.0.2.1",
        "fe80::1%eth0",
        "fe80::1%1",
        "fe80::1%eth0:1",
    ],
)
def test_host(host: str) -> None:
    """Names of any letters, with underscores and a final dot, and addresses with a zone id are hosts."""
    assert read(HostText(), host) == host


NO_BRACKETS = "expected the address alone, without brackets around it"
NO_PORT = "expected the host alone, without a port"
NO_IPV6 = "but a host with a colon is an IPv6 address, and this is none"
FOUR_PARTS = "but an IPv4 address has four decimal parts, as in 192.0.2.1"
LABEL = "but the parts of a host name have 1 to 63 characters each"
LONG = "but a host name has at most 253 characters"


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("", ""),
        (".", LABEL),
        ("a..b", LABEL),
        (".a", LABEL),
        ("a..", LABEL),
        ("a" * 64, LABEL),
        ("a." * 126 + "bc", LONG),
        ("a" * 5000, LONG),
        ("ä" * 300, LONG),
        ("ä." * 100 + "x", LONG),
        ("\xad", LABEL),
        ("a b", "but 'a b' is no part of a host name"),
        ("-a.b", "but '-a' is no part of a host name"),
        ("a-.b", "but 'a-' is no part of a host name"),
        ("a.b\n", "but 'b\\n' is no part of a host name"),
        ("a\0", "but 'a\\x00' is no part of a host name"),
        ("*.a", "but '*' is no part of a host name"),
        ("user@host", "but 'user@host' is no part of a host name"),
        ("//example.org", "but a description is no URL, expected the host without slashes"),
        ("127.1", FOUR_PARTS),
        ("2130706433", FOUR_PARTS),
        ("0x7f.1", FOUR_PARTS),
        ("0X7F000001", FOUR_PARTS),
        ("127.0.0.01", FOUR_PARTS),
        ("127.0.0.256", FOUR_PARTS),
        ("1.2.3.4.5", FOUR_PARTS),
        ("127.0.0.1.", FOUR_PARTS),
        ("a.1", FOUR_PARTS),
        ("\uff11\uff12\uff17.0.0.1", FOUR_PARTS),
        ("\uff11\uff12\uff17。0。0。1", FOUR_PARTS),
        ("[::1]", NO_BRACKETS),
        ("[::1", NO_BRACKETS),
        ("example.org:80", NO_PORT),
        ("127.0.0.1:80", NO_PORT),
        ("127.0.0.1:http", NO_PORT),
        ("1::2::3", NO_IPV6),
        ("a:b", NO_IPV6),
        ("fe80:::1", NO_IPV6),
        ("fe80::12345", NO_IPV6),
        ("fe80::1%", "but '' is no zone id of an IPv6 address, as in fe80::1%eth0"),
        ("fe80::1%a b", "but 'a b' is no zone id of an IPv6 address, as in fe80::1%eth0"),
        ("fe80::1%a%b", "but 'a%b' is no zone id of an IPv6 address, as in fe80::1%eth0"),
    ],
)
def test_no_host(host: str, reason: str) -> None:
    """What is no host is refused with what is wrong with it."""
    with pytest.raises(ValueError) as caught:
        read(HostText(), host)
    assert str(caught.value) == reason


@pytest.mark.parametrize("domain", ["a", "example.org.", "bücher.example", "_x._tcp.1a"])
def test_domain(domain: str) -> None:
    """A host name is the name of a domain."""
    assert read(DomainText(), domain) == domain


NO_ADDRESS = "expected the name of a domain, not an address"


@pytest.mark.parametrize(
    ("domain", "reason"),
    [
        ("127.0.0.1", NO_ADDRESS),
        ("127.0.0.1.", NO_ADDRESS),
        ("127.1", NO_ADDRESS),
        ("::1", NO_ADDRESS),
        ("a.b:53", NO_PORT),
        ("a..b", LABEL),
        ("", ""),
    ],
)
def test_no_domain(domain: str, reason: str) -> None:
    """An address is none, and neither is what is no host."""
    with pytest.raises(ValueError) as caught:
        read(DomainText(), domain)
    assert str(caught.value) == reason


def test_number_is_no_domain() -> None:
    """What is no text is refused as a value is."""
    with pytest.raises(ValueError):
        DomainText().check(5)  # type: ignore[arg-type]  # the error is the test


@pytest.mark.parametrize("host", ["☃.example", "ü b", "\ud800", "ü\0", "אa.example"])
def test_no_internationalized_name(host: str) -> None:
    """A name whose letters IDNA does not allow is refused with IDNA's reason."""
    with pytest.raises(ValueError, match=r"^but it is no internationalized host name: "):
        read(HostText(), host)


@given(st.ip_addresses().map(str))
def test_every_address_is_a_host(address: str) -> None:
    """The quick patterns for ordinary addresses and the exact check agree on what is right."""
    HostText().check(address)


def test_help_keeps_spellings() -> None:
    """Help holds a line of text and the other spellings of a field."""
    described = Help("a port", "Port", "p")
    assert (described.text, described.spellings) == ("a port", ("Port", "p"))
