"""The types that fields of a spec can have: text to value, value to text, and what is allowed.

Pure. A spec writes them as annotations, plain types to a type checker::

    port: Annotated[Port, Help("port number")]
    bind_address: Annotated[Host | None, Help("address to connect from", "bindAddress")] = None
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Annotated, Generic, Protocol, TypeVar

from asyncendpoints.addresses import is_ipv4, to_ascii
from asyncendpoints.masking import shorten

__all__ = [
    "Backlog",
    "Choice",
    "Domain",
    "FieldType",
    "Flag",
    "Help",
    "Host",
    "Mode",
    "Names",
    "Number",
    "Octal",
    "Path",
    "Port",
    "Seconds",
    "Secret",
    "Text",
    "YesNo",
]

T = TypeVar("T")

_YES = ("yes", "true", "on", "1")
_NO = ("no", "false", "off", "0")
_OCTAL = re.compile(r"(?:0o)?[0-7]{1,4}")
_DECIMAL = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?")
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_NUMERIC = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
_NO_ADDRESS = "expected the name of a domain, not an address"
_TOO_LONG = "but a host name has at most 253 characters"
_ZONE = re.compile(r"[^\s/%\0]+")

# Nearly every host is one of these; what is not takes a longer way to the same verdict.
_ORDINARY_NAME = re.compile(rf"(?:{_LABEL.pattern}\.)*(?=[A-Za-z_]){_LABEL.pattern}")
_SHORT_IPV6 = re.compile(r"(?:[0-9a-fA-F]{1,4}(?::[0-9a-fA-F]{1,4}){0,2})?::(?:[0-9a-fA-F]{1,4})?")


@dataclass(frozen=True, slots=True, init=False)
class Help:
    """The one-line help of a field, and its other spellings."""

    text: str
    spellings: tuple[str, ...]

    def __init__(self, text: str, *spellings: str) -> None:
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "spellings", spellings)


class FieldType(Protocol[T]):
    """How the values of a field are written and which there are."""

    #: What is expected, with its article: ``"a number from 0 to 65535"``.
    expected: str

    def parse(self, text: str) -> T:
        """Turn text into a value; ValueError if it is no such value."""

    def format(self, value: T) -> str:
        """Turn a value into text that parses back to it."""

    def check(self, value: T) -> None:
        """Raise ValueError, with a reason or none, if a value is not allowed."""


class Text:
    """Any text without a NUL character."""

    expected = "a text without a NUL character"

    def parse(self, text: str) -> str:
        return text

    def format(self, value: str) -> str:
        return value

    def check(self, value: str) -> None:
        if not isinstance(value, str) or "\0" in value:
            raise ValueError


class NonEmpty(Text):
    """A text that is not empty: a name or the path of a file."""

    def __init__(self, expected: str) -> None:
        self.expected = expected

    def check(self, value: str) -> None:
        if not isinstance(value, str) or not value or "\0" in value:
            raise ValueError


class Hidden(Text):
    """A secret: kept out of every message."""

    expected = "a secret"


class Number:
    """A whole number in a range, written in decimal digits."""

    def __init__(self, low: int, high: int) -> None:
        self.low = low
        self.high = high
        self.expected = f"a number from {low} to {high}"

    def take(self, text: str) -> int:
        """As `parse` and `check`, at once: nearly every text has a number."""
        if text.isdigit() and text.isascii() and len(text) <= 20:
            value = int(text)
            if self.low <= value <= self.high:
                return value
        raise ValueError

    def parse(self, text: str) -> int:
        # Longer texts than this are out of every range, and quadratic to convert.
        if not (text.isascii() and text.isdigit()) or len(text) > 20:
            raise ValueError
        return int(text)

    def format(self, value: int) -> str:
        return str(value)

    def check(self, value: int) -> None:
        if type(value) is not int or not self.low <= value <= self.high:
            raise ValueError


class Octal(Number):
    """Permission bits, written in octal digits as chmod takes them."""

    def __init__(self) -> None:
        super().__init__(0, 0o777)
        self.expected = "permissions from 0 to 777 in octal digits, as in 660"

    def parse(self, text: str) -> int:
        if not _OCTAL.fullmatch(text):
            raise ValueError
        return int(text, 8)

    def format(self, value: int) -> str:
        return f"{value:o}"

    def check(self, value: int) -> None:
        try:
            super().check(value)
        except ValueError:
            msg = "expected permissions from 0o0 to 0o777, as in 0o660; a text has the octal digits alone"
            raise ValueError(msg) from None


class Duration:
    """A time in seconds, above 0."""

    expected = "a number of seconds above 0"

    def parse(self, text: str) -> float:
        if not _DECIMAL.fullmatch(text):
            raise ValueError
        return float(text)

    def format(self, value: float) -> str:
        return repr(value).removesuffix(".0")

    def check(self, value: float) -> None:
        if type(value) not in (int, float) or not value > 0:
            raise ValueError
        # Inside these bounds the repr of a float has no exponent and parses back to it.
        if not 0.0001 <= value <= 1_000_000_000:
            msg = "expected 0.0001 to 1000000000 seconds"
            raise ValueError(msg)


class Flag:
    """Yes or no."""

    expected = "'yes' or 'no'"

    def parse(self, text: str) -> bool:
        word = text.lower()
        if word not in _YES and word not in _NO:
            raise ValueError
        return word in _YES

    def format(self, value: bool) -> str:
        return "yes" if value else "no"

    def check(self, value: bool) -> None:
        if type(value) is not bool:
            raise ValueError


class Choice(Text):
    """One of a few words."""

    def __init__(self, *words: str) -> None:
        self.words = words
        *most, last = map(repr, words)
        self.expected = f"{', '.join(most)} or {last}" if most else last

    def parse(self, text: str) -> str:
        return next((word for word in self.words if word.lower() == text.lower()), text)

    def check(self, value: str) -> None:
        if value not in self.words:
            raise ValueError


class Words(Generic[T]):
    """One or more values of another type, separated by commas."""

    def __init__(self, item: FieldType[T], expected: str) -> None:
        self.item = item
        self.expected = expected

    def parse(self, text: str) -> tuple[T, ...]:
        return tuple(self.item.parse(word) for word in text.split(","))

    def format(self, value: tuple[T, ...]) -> str:
        return ",".join(self.item.format(word) for word in value)

    def check(self, value: tuple[T, ...]) -> None:
        if not isinstance(value, tuple) or not value:
            raise ValueError
        for word in value:
            self.item.check(word)
            if "," in self.item.format(word):
                raise ValueError


class Word(Text):
    """A non-empty text without comma, an item of `Words`."""

    expected = "a word without commas"

    def check(self, value: str) -> None:
        super().check(value)
        if not value or "," in value:
            raise ValueError


class HostText:
    """A host name or an address literal.

    A name whose last label is a number is an IPv4 address, which has four decimal parts without leading
    zeros: the short, octal and hexadecimal forms that ``getaddrinfo`` takes are refused, because programs
    disagree about them. Underscores are allowed, as the DNS allows them.

    Source: RFC 1123, section 2.1; RFC 4007, section 11, for zone ids.
    """

    expected = "a host name or an address"

    def take(self, text: str) -> str:
        """As `parse` and `check`, at once: nearly every text has a host."""
        if not (_ORDINARY_NAME.fullmatch(text) or is_ipv4(text)) or len(text) > 253:
            self.check(text)
        return text

    def parse(self, text: str) -> str:
        return text

    def format(self, value: str) -> str:
        return value

    def check(self, value: str) -> None:
        if not isinstance(value, str) or not value:
            raise ValueError
        if ":" in value:
            _check_ipv6(value)
        elif not (len(value) < 254 and _ORDINARY_NAME.fullmatch(value)) and not is_ipv4(value):
            _check_name(value)


class DomainText(HostText):
    """The name of a domain: a host name that is no address."""

    expected = "the name of a domain, as in example.org"

    def check(self, value: str) -> None:
        is_text = isinstance(value, str)
        if is_text and _NUMERIC.fullmatch(value.removesuffix(".").rpartition(".")[2]):
            raise ValueError(_NO_ADDRESS)
        super().check(value)
        if ":" in value:
            raise ValueError(_NO_ADDRESS)


def _check_ipv6(host: str) -> None:
    if _SHORT_IPV6.fullmatch(host):
        return
    address, percent, zone = host.partition("%")
    if percent and not _ZONE.fullmatch(zone):
        msg = f"but {shorten(zone)} is no zone id of an IPv6 address, as in fe80::1%eth0"
        raise ValueError(msg)
    try:
        IPv6Address(address)
    except ValueError:
        raise ValueError(_not_ipv6(host)) from None


def _not_ipv6(host: str) -> str:
    """Say what is wrong with a host that has a colon."""
    if host.startswith("["):
        return "expected the address alone, without brackets around it"
    name, _, port = host.rpartition(":")
    if is_ipv4(name) or (":" not in name and port.isdigit()):
        return "expected the host alone, without a port"
    return "but a host with a colon is an IPv6 address, and this is none"


def _check_name(host: str) -> None:
    if host.startswith("//"):
        msg = "but a description is no URL, expected the host without slashes"
        raise ValueError(msg)
    name = _to_ascii(host).removesuffix(".")
    if len(name) > 253:
        raise ValueError(_TOO_LONG)
    labels = name.split(".")
    if _NUMERIC.fullmatch(labels[-1]):
        msg = "but an IPv4 address has four decimal parts, as in 192.0.2.1"
        raise ValueError(msg)
    for label in labels:
        _check_label(label)


def _to_ascii(host: str) -> str:
    # Before the conversion, whose work it bounds.
    if len(host) > 254:
        raise ValueError(_TOO_LONG)
    try:
        return to_ascii(host)
    except ValueError as error:
        msg = f"but it is {error}"
        raise ValueError(msg) from None


def _check_label(label: str) -> None:
    if not 1 <= len(label) <= 63:
        msg = "but the parts of a host name have 1 to 63 characters each"
        raise ValueError(msg)
    if not _LABEL.fullmatch(label):
        msg = f"but {label!r} is no part of a host name"
        raise ValueError(msg)


Port = Annotated[int, Number(0, 65535)]
Backlog = Annotated[int, Number(0, 65535)]
Mode = Annotated[int, Octal()]
Seconds = Annotated[float, Duration()]
Host = Annotated[str, HostText()]
Domain = Annotated[str, DomainText()]
Path = Annotated[str, NonEmpty("the path of a file")]
YesNo = Annotated[bool, Flag()]
Names = Annotated[tuple[str, ...], Words(Word(), "words separated by commas")]
Secret = Annotated[str, Hidden()]
