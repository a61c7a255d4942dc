"""The types that fields of a spec can have: text to value, value to text, and what is allowed.

Pure. A spec writes them as annotations, plain types to a type checker::

    port: Annotated[Port, Help("port number")]
    bind_address: Annotated[Host | None, Help("address to connect from", "bindAddress")] = None
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Annotated, Generic, Protocol, TypeVar

from asyncendpoints.addresses import is_ipv4, to_ascii

__all__ = [
    "Backlog",
    "Choice",
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
    "Secret",
    "Seconds",
    "Text",
    "YesNo",
]

T = TypeVar("T")


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
    """Any text without NUL."""

    expected = "a text without NUL"

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
        super().check(value)
        if not value:
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

    expected = "permissions in octal digits, as 660"

    def __init__(self) -> None:
        super().__init__(0, 0o777)
        self.expected = "permissions in octal digits, as in 660"

    def parse(self, text: str) -> int:
        if not re.fullmatch(r"(?:0o)?[0-7]{1,4}", text):
            raise ValueError
        return int(text, 8)

    def format(self, value: int) -> str:
        return f"{value:o}"


class Duration:
    """A time in seconds, above 0."""

    expected = "a number of seconds above 0"

    def parse(self, text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,15})?", text):
            raise ValueError
        return float(text)

    def format(self, value: float) -> str:
        return f"{value:.15f}".rstrip("0").rstrip(".")

    def check(self, value: float) -> None:
        if not isinstance(value, float | int) or not 0 < value < math.inf:
            raise ValueError


class Flag:
    """Yes or no."""

    expected = "'yes' or 'no'"
    _values = {
        "yes": True, "true": True, "on": True, "1": True,
        "no": False, "false": False, "off": False, "0": False,
    }  # fmt: skip

    def parse(self, text: str) -> bool:
        try:
            return self._values[text.lower()]
        except KeyError:
            raise ValueError from None

    def format(self, value: bool) -> str:
        return "yes" if value else "no"

    def check(self, value: bool) -> None:
        if type(value) is not bool:
            raise ValueError


class Choice(Text):
    """One of a few words."""

    def __init__(self, *words: str) -> None:
        self.words = words
        self.expected = " or ".join(repr(word) for word in words)

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


class Word(Text):
    """A non-empty text without comma, an item of `Words`."""

    expected = "a word without commas"

    def check(self, value: str) -> None:
        super().check(value)
        if not value or "," in value:
            raise ValueError


_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_NUMERIC = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")


class HostText:
    """A host name or an address literal.

    A name whose last label is a number is an IPv4 address, which has four decimal parts without leading
    zeros: the short, octal and hexadecimal forms that ``getaddrinfo`` takes are refused, because programs
    disagree about them.
    """

    expected = "a host name or an address"

    def parse(self, text: str) -> str:
        return text

    def format(self, value: str) -> str:
        return value

    def check(self, value: str) -> None:
        if not isinstance(value, str) or not value:
            raise ValueError
        if ":" in value:
            self._check_ipv6(value)
            return
        self._check_name(to_ascii(value))

    def _check_ipv6(self, value: str) -> None:
        address, percent, zone = value.partition("%")
        if percent and not re.fullmatch(r"[^\s/%\0]+", zone):
            msg = f"{zone!r} is no zone id of an IPv6 address"
            raise ValueError(msg)
        try:
            IPv6Address(address)
        except ValueError as error:
            raise ValueError(str(error).lower()) from None

    def _check_name(self, value: str) -> None:
        name = value.removesuffix(".")
        labels = name.split(".")
        if _NUMERIC.fullmatch(labels[-1]):
            if not is_ipv4(value):
                msg = "an IPv4 address has four decimal parts, as in 192.0.2.1"
                raise ValueError(msg)
            return
        if len(name) > 253:
            msg = "a host name has at most 253 characters"
            raise ValueError(msg)
        for label in labels:
            if not _LABEL.fullmatch(label):
                msg = f"{label!r} is no label of a host name"
                raise ValueError(msg)


Port = Annotated[int, Number(0, 65535)]
Backlog = Annotated[int, Number(0, 65535)]
Mode = Annotated[int, Octal()]
Seconds = Annotated[float, Duration()]
Host = Annotated[str, HostText()]
Path = Annotated[str, NonEmpty("the path of a file")]
YesNo = Annotated[bool, Flag()]
Names = Annotated[tuple[str, ...], Words(Word(), "words separated by commas")]
Secret = Annotated[str, Hidden()]
