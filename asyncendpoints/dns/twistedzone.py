"""The constructors with which zones of Twisted are written in Python, and the zone that they make.

    zone = [
        SOA("example.com", mname="ns1.example.com", rname="admin.example.com", serial=1, minimum="1H"),
        NS("example.com", "ns1.example.com"),
        A("ns1.example.com", "192.0.2.53"),
    ]

Names are whole ones, with or without a final dot. A record without a TTL has the ``minimum`` of the SOA;
Twisted takes ``expire`` if that is longer, and so a week as a rule.

Pure.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from inspect import Parameter, Signature
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from asyncendpoints.dns.names import encode_name
from asyncendpoints.dns.records import LONGEST_TTL, Type, parse_type
from asyncendpoints.dns.zonebuild import Builder
from asyncendpoints.errors import ZoneError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CONSTRUCTORS", "PythonRecord", "build"]

#: Seconds in the units of times.
_UNITS = {"S": 1, "M": 60, "H": 3600, "D": 86_400, "W": 604_800, "Y": 31_536_000}


class PythonRecord(NamedTuple):
    """What a constructor makes."""

    #: The name in wire form and lower case.
    key: bytes
    rtype: int
    #: Seconds, or None for that of the zone.
    ttl: int | None
    rdata: bytes
    #: Where the constructor was called.
    line: int


def _name(value: str | bytes) -> bytes:
    text = value.decode() if isinstance(value, bytes) else value
    return encode_name(text or ".")  # the default of Twisted's constructors is the root


def _seconds(value: str | bytes | float) -> int:
    """Read a time: seconds, or text such as ``"1.5H"``."""
    text = value.decode() if isinstance(value, bytes) else str(value)
    text = text.strip().upper()
    unit = _UNITS.get(text[-1:])
    try:
        seconds = int(text) if unit is None else int(float(text[:-1]) * unit)
    except (ValueError, OverflowError):
        raise ValueError(f"{value!r} is no time; 3600 and '1H' are") from None
    if not 0 <= seconds < 2**32:
        raise ValueError(f"{value!r} is out of range, expected 0 to {2**32 - 1} seconds")
    return seconds


def _long(value: str | bytes | float) -> bytes:
    return _seconds(value).to_bytes(4, "big")


def _short(value: int) -> bytes:
    return _number(value, 2)


def _byte(value: int) -> bytes:
    return _number(value, 1)


def _number(value: int, size: int) -> bytes:
    try:
        return int(value).to_bytes(size, "big")
    except OverflowError:
        raise ValueError(f"{value!r} is out of range, expected 0 to {256**size - 1}") from None


def _raw(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""


def _string(value: str | bytes) -> bytes:
    raw = _raw(value)
    if len(raw) > 255:
        raise ValueError(f"a string of {len(raw)} bytes, expected at most 255")
    return bytes((len(raw),)) + raw


def _ipv4(value: str | bytes) -> bytes:
    return IPv4Address(value.decode() if isinstance(value, bytes) else value).packed


def _ipv6(value: str | bytes) -> bytes:
    return IPv6Address(value.decode() if isinstance(value, bytes) else value).packed


#: The parameter of a constructor, its default, and what writes it.
_Field = tuple[str, Any, Callable[[Any], bytes]]

_ONE_NAME: tuple[_Field, ...] = (("name", "", _name),)

_FIELDS: Final[dict[str, tuple[_Field, ...]]] = {
    **dict.fromkeys(("NS", "MD", "MF", "CNAME", "MB", "MG", "MR", "PTR", "DNAME"), _ONE_NAME),
    "A": (("address", "0.0.0.0", _ipv4),),  # noqa: S104 - as Twisted has it
    "AAAA": (("address", "::", _ipv6),),
    "SOA": (
        ("mname", "", _name),
        ("rname", "", _name),
        *((each, 0, _long) for each in ("serial", "refresh", "retry", "expire", "minimum")),
    ),
    "MX": (("preference", 0, _short), ("name", "", _name)),
    "SRV": (
        ("priority", 0, _short),
        ("weight", 0, _short),
        ("port", 0, _short),
        ("target", "", _name),
    ),
    "NAPTR": (
        ("order", 0, _short),
        ("preference", 0, _short),
        ("flags", "", _string),
        ("service", "", _string),
        ("regexp", "", _string),
        ("replacement", "", _name),
    ),
    "AFSDB": (("subtype", 0, _short), ("hostname", "", _name)),
    "RP": (("mbox", "", _name), ("txt", "", _name)),
    "HINFO": (("cpu", "", _string), ("os", "", _string)),
    "MINFO": (("rmailbx", "", _name), ("emailbx", "", _name)),
    "SSHFP": (
        ("algorithm", 0, _byte),
        ("fingerprintType", 0, _byte),
        ("fingerprint", b"", _raw),
    ),
    "WKS": (("address", "0.0.0.0", _ipv4), ("protocol", 0, _byte), ("map", b"", _raw)),  # noqa: S104
    "NULL": (("payload", None, _raw),),
}

#: Types with any number of strings.
_STRINGS = ("TXT", "SPF")


def _constructor(kind: str) -> Callable[..., PythonRecord]:
    """Make the constructor of one type."""
    rtype = parse_type(kind)
    fields = _FIELDS.get(kind, ())
    if fields:
        given = [Parameter(n, Parameter.POSITIONAL_OR_KEYWORD, default=d) for n, d, _ in fields]
        given.append(Parameter("ttl", Parameter.POSITIONAL_OR_KEYWORD, default=None))
    else:
        given = [
            Parameter("data", Parameter.VAR_POSITIONAL),
            Parameter("ttl", Parameter.KEYWORD_ONLY, default=None),
        ]
    signature = Signature(given)

    def construct(owner: str | bytes, *args: Any, **kwargs: Any) -> PythonRecord:
        if kind == "MX" and "exchange" in kwargs:
            kwargs["name"] = kwargs.pop("exchange")
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{kind}(): {error}") from None
        bound.apply_defaults()
        values = bound.arguments
        try:
            ttl = None if values["ttl"] is None else _seconds(values["ttl"])
            if fields:
                rdata = b"".join([write(values[name]) for name, _, write in fields])
            else:
                rdata = b"".join(map(_string, values["data"])) or b"\0"
            # Where it stands in the file is what its author wants to know if the zone is wrong.
            line = sys._getframe(1).f_lineno  # noqa: SLF001
            return PythonRecord(_name(owner).lower(), rtype, ttl, rdata, line)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{kind}(): {error}") from error

    construct.__name__ = construct.__qualname__ = kind
    return construct


#: The constructors by their names.
CONSTRUCTORS: Final = {each: _constructor(each) for each in (*_FIELDS, *_STRINGS)}


def build(records: Iterable[object], path: str) -> Builder:
    """Collect what a list of such records says of a zone.

    Args:
        records: What the constructors gave.
        path: The file, for errors.

    Raises:
        ZoneError: Something in the list is no record, or cannot be in this zone.
    """
    made: list[PythonRecord] = []
    for each in records:
        if not isinstance(each, PythonRecord):
            problem = f"'zone' has {each!r} in it, expected records such as A('www.example.org', '192.0.2.1')"
            raise ZoneError(path, 0, problem)
        made.append(each)
    builder = Builder()
    default = next((_minimum(each.rdata) for each in made if each.rtype == Type.SOA), 0)
    for key, rtype, ttl, rdata, line in made:
        builder.at(path, line)
        builder.add(key, rtype, min(default if ttl is None else ttl, LONGEST_TTL), rdata)
    return builder


def _minimum(soa: bytes) -> int:
    return int.from_bytes(soa[-4:], "big")
