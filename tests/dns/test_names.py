"""Domain names as text and on the wire, against tables and against dnspython."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

import dns.name
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints.dns.names import (
    ROOT,
    count_labels,
    encode_name,
    format_name,
    is_subdomain,
    is_wire_name,
    join_labels,
    labels_of,
    parent,
    reverse_name,
    suffixes,
)
from asyncendpoints.errors import DomainNameError

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

LABELS = st.binary(min_size=1, max_size=63)


def fits(labels: list[bytes]) -> bool:
    """Tell whether labels make a name that is not too long."""
    return sum(1 + len(each) for each in labels) < 255


NAMES: SearchStrategy[bytes] = st.lists(LABELS, max_size=6).filter(fits).map(join_labels)

LONGEST_LABEL = "a" * 63
#: Of 254 characters with its final dot, and so of 255 bytes.
LONGEST_NAME = ".".join([LONGEST_LABEL] * 3 + ["a" * 61]) + "."


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        (".", b"\0"),
        ("a", b"\1a\0"),
        ("a.", b"\1a\0"),
        ("Www.Example.ORG", b"\3Www\7Example\3ORG\0"),
        (r"a\.b.c", b"\3a.b\1c\0"),
        (r"a\046b", b"\3a.b\0"),
        (r"\000\255", b"\2\0\xff\0"),
        (r"\\.", b"\1\\\0"),
        (r"\.", b"\1.\0"),
        (r"\..\.\..", b"\1.\2..\0"),
        (r"a\\\.", b"\3a\\.\0"),
        (r"a\b", b"\2ab\0"),
        ("_sip._tcp", b"\4_sip\4_tcp\0"),
        ("*.a", b"\1*\1a\0"),
        ("@", b"\1@\0"),
        ("faß.de", b"\x0axn--fa-hia\2de\0"),
        (LONGEST_LABEL, b"\x3f" + b"a" * 63 + b"\0"),
    ],
)
def test_encode_name(text: str, wire: bytes) -> None:
    """Each text is this name."""
    assert encode_name(text) == wire


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has an empty label; one dot stands between labels"),
        ("..", "has an empty label; one dot stands between labels"),
        ("a..b", "has an empty label; one dot stands between labels"),
        (".a", "has an empty label; one dot stands between labels"),
        (r"a\..b..", "has an empty label; one dot stands between labels"),
        ("a" * 64, "has a label of 64 bytes, expected at most 63"),
        ("a." * 128, "takes 257 bytes, expected at most 255"),
        ("\\", r"has a wrong escape; \. and \046 are right ones"),
        (r"\25", r"has a wrong escape; \. and \046 are right ones"),
        (r"\256", r"has a wrong escape; \. and \046 are right ones"),
    ],
)
def test_encode_name_refuses(text: str, problem: str) -> None:
    """Each text is no name, and the error says why."""
    with pytest.raises(DomainNameError) as caught:
        encode_name(text)
    assert (caught.value.text, caught.value.problem) == (text, problem)


def test_encode_name_says_what_idna_refuses() -> None:
    """A name with letters that no host name has is refused with the reason."""
    with pytest.raises(DomainNameError, match="no internationalized host name"):
        encode_name("☃.example")


def test_encode_name_says_what_was_given() -> None:
    """The error shows the text first."""
    with pytest.raises(DomainNameError) as caught:
        encode_name("a..b")
    assert str(caught.value) == "'a..b': has an empty label; one dot stands between labels"


def test_longest_name() -> None:
    """A name of 255 bytes is one, and a byte more is too much."""
    assert len(encode_name(LONGEST_NAME)) == 255
    with pytest.raises(DomainNameError, match="takes 256 bytes"):
        encode_name(f"{LONGEST_NAME[:-1]}a.")


@pytest.mark.parametrize(
    ("text", "wire"), [("a", b"\1a\1z\0"), ("a.", b"\1a\0"), (r"a\.", b"\2a.\1z\0"), (".", b"\0")]
)
def test_origin(text: str, wire: bytes) -> None:
    """A name without a final dot is below the origin."""
    assert encode_name(text, b"\1z\0") == wire


@pytest.mark.parametrize(
    ("wire", "text"),
    [
        (ROOT, "."),
        (b"\3Www\1b\0", "Www.b"),
        (b"\3a.b\0", r"a\.b"),
        (b'\5"();\\\0', r"\"\(\)\;\\"),
        (b"\2@$\0", r"\@\$"),
        (b"\3\n \x7f\0", r"\010\032\127"),
        (b"\1\xff\0", r"\255"),
    ],
)
def test_format_name(wire: bytes, text: str) -> None:
    """Each name has this text, in which nothing has a meaning of its own."""
    assert format_name(wire) == text


@given(NAMES)
def test_text_round_trip(name: bytes) -> None:
    """The text of a name is that name, with and without its final dot."""
    text = format_name(name)
    assert encode_name(text) == name
    assert name == ROOT or encode_name(f"{text}.") == name


@given(NAMES)
def test_text_is_dnspythons(name: bytes) -> None:
    """What dnspython reads in the text of a name is the same name."""
    assert dns.name.from_text(format_name(name)).to_wire() == name


@given(NAMES)
def test_text_of_dnspython_is_read(name: bytes) -> None:
    """The text that dnspython makes of a name is that name."""
    assert encode_name(dns.name.from_wire(name, 0)[0].to_text()) == name


@given(NAMES)
def test_text_is_printable(name: bytes) -> None:
    """The text of a name is printable ASCII without a blank."""
    text = format_name(name)
    assert text.isascii()
    assert text.isprintable()
    assert " " not in text


@given(st.text() | st.text("a.\\0129@ü", max_size=300))
def test_any_text(text: str) -> None:
    """Any text is a name of at most 255 bytes, or a DomainNameError."""
    try:
        wire = encode_name(text)
    except DomainNameError:
        return
    assert len(wire) <= 255
    assert join_labels(labels_of(wire)) == wire


@given(st.text("ab.\\0129-*_", min_size=1, max_size=80))
def test_same_names_as_dnspython(text: str) -> None:
    """An ASCII text is a name where it is one for dnspython, and then the same."""
    try:
        expected = dns.name.from_text(text).to_wire()
    except dns.exception.DNSException:
        expected = None
    try:
        found = encode_name(text)
    except DomainNameError:
        found = None
    assert found == expected


NAME = b"\3www\1b\3com\0"


def test_labels() -> None:
    """Labels come without the root, and make the name again."""
    assert labels_of(NAME) == (b"www", b"b", b"com")
    assert join_labels([b"www"], b"\1b\3com\0") == NAME
    assert labels_of(ROOT) == ()


def test_count_labels() -> None:
    """The root does not count."""
    assert [count_labels(each) for each in (ROOT, b"\1a\0", NAME)] == [0, 1, 3]


def test_parent() -> None:
    """The parent of a name lacks its first label; that of a top-level name is the root."""
    assert parent(NAME) == b"\1b\3com\0"
    assert parent(b"\3com\0") == ROOT


def test_suffixes() -> None:
    """A name and all above it, down to the root."""
    assert suffixes(NAME) == [NAME, b"\1b\3com\0", b"\3com\0", ROOT]
    assert suffixes(ROOT) == [ROOT]


@pytest.mark.parametrize(
    ("key", "apex", "expected"),
    [
        (NAME, NAME, True),
        (NAME, b"\3com\0", True),
        (NAME, ROOT, True),
        (ROOT, ROOT, True),
        (b"\3com\0", NAME, False),
        (NAME, b"\3org\0", False),
        # Ends in the right bytes, which are within a label.
        (b"\5a\3com\0", b"\3com\0", False),
        (b"\4b\1ac\1d\0", b"\1d\0", True),
    ],
)
def test_is_subdomain(key: bytes, apex: bytes, expected: bool) -> None:
    """A key is below an apex where the apex begins at one of its labels."""
    assert is_subdomain(key, apex) is expected


@given(NAMES, NAMES)
def test_is_subdomain_as_dnspython(one: bytes, other: bytes) -> None:
    """Our view agrees with that of dnspython on what is below what."""
    ours = is_subdomain(one.lower(), other.lower())
    names = [dns.name.from_wire(each, 0)[0] for each in (one, other)]
    assert ours is names[0].is_subdomain(names[1])


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("192.0.2.1", "1.2.0.192.in-addr.arpa"),
        (IPv4Address("192.0.2.1"), "1.2.0.192.in-addr.arpa"),
        (
            IPv6Address("2001:db8::567:89ab"),
            "b.a.9.8.7.6.5.0." + "0." * 16 + "8.b.d.0.1.0.0.2.ip6.arpa",
        ),
        ("fe80::1%eth0", "1." + "0." * 28 + "8.e.f.ip6.arpa"),
    ],
)
def test_reverse_name(address: str | IPv4Address | IPv6Address, name: str) -> None:
    """An address has its name in reverse; the interface it is reached by is no part of it."""
    assert reverse_name(address) == name


def test_reverse_name_refuses() -> None:
    """What is no address has no reverse name."""
    with pytest.raises(DomainNameError) as caught:
        reverse_name("a.test")
    assert (caught.value.text, caught.value.problem) == ("a.test", "is no IP address")


def test_no_text() -> None:
    """What is no text is an error that says so."""
    with pytest.raises(
        TypeError, match=r"a domain name is a text such as 'www\.example\.org', not 5"
    ):
        encode_name(5)  # type: ignore[arg-type]  # what a type checker says too


@pytest.mark.parametrize(
    ("wire", "is_name"),
    [
        (b"\0", True),
        (b"\1a\4test\0", True),
        (b"\x3f" + bytes(63) + b"\0", True),
        (b"", False),
        (b"abc", False),
        (b"\1a", False),
        (b"\1a\0\0", False),
        (b"\xc0\x0c", False),
        (b"\x40" + bytes(64) + b"\0", False),
        (b"\1a" * 127 + b"\0", True),
        (b"\1a" * 128 + b"\0", False),
    ],
)
def test_names_in_wire_form(wire: bytes, is_name: bool) -> None:
    """A name in wire form is whole, and has no label and no size that is too large."""
    assert is_wire_name(wire) is is_name
