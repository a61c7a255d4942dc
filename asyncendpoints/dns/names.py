r"""Domain names: text, wire form, and the keys of tables.

A *key* is an uncompressed name in wire form, in lower case, with its root: ``b"\x01a\x04test\x00"``.
The bytes that say how long a label is are at most 63, below every letter, so that ``bytes.lower`` leaves
them alone.

Pure: bytes and text in, bytes and text out.

Source: RFC 1035, section 3.1; RFC 4343 for case.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

from asyncendpoints.addresses import to_ascii
from asyncendpoints.errors import DomainNameError
from asyncendpoints.masking import shorten

__all__ = [
    "ROOT",
    "count_labels",
    "encode_name",
    "format_name",
    "is_subdomain",
    "is_wire_name",
    "join_labels",
    "labels_of",
    "parent",
    "reverse_name",
    "suffixes",
]

#: The name of the root, which is its key too.
ROOT = b"\0"

#: The longest name on the wire and the longest label, in bytes.
MOST_BYTES = 255
MOST_LABEL_BYTES = 63

#: What stands for itself in the text of a label; of the rest ``.`` and the like need a backslash before them.
_ODD = re.compile(rb"[^!#%&'*+,\-/0-9:<=>?A-Z\[\]^_`a-z{|}~]")
_ESCAPE = re.compile(rb"\\(?:(\d\d\d)|([^\d]))", re.DOTALL)


def encode_name(text: str, origin: bytes = ROOT) -> bytes:
    r"""Write the text of a name in wire form, its case kept.

    >>> encode_name("www.example.org")
    b'\x03www\x07example\x03org\x00'

    Args:
        text: Labels between dots; ``\.`` and ``\046`` stand for a dot inside one. Other letters than those of
            ASCII are written in A-labels.
        origin: What is added to a name without a final dot, in wire form. ``@`` is not known here.

    Raises:
        DomainNameError: It is no name.
        TypeError: It is no text.

    Source: RFC 1035, section 5.1 for the escapes.
    """
    if text == ".":
        return ROOT
    if not isinstance(text, str):
        raise TypeError(f"a domain name is a text such as 'www.example.org', not {shorten(text)}")
    try:
        raw = to_ascii(text).encode("ascii")
    except ValueError as error:
        raise DomainNameError(text, str(error)) from None
    is_absolute = raw.endswith(b".")
    if b"\\" in raw:
        is_absolute = is_absolute and _ends_in_dot(raw)
        labels = _unescaped(text, raw)
    else:
        labels = raw.split(b".")
    if is_absolute:
        labels.pop()
    return _joined(text, labels, ROOT if is_absolute else origin)


def _joined(text: str, labels: list[bytes], origin: bytes) -> bytes:
    for label in labels:
        if not label:
            raise DomainNameError(text, "has an empty label; one dot stands between labels")
        if len(label) > MOST_LABEL_BYTES:
            problem = f"has a label of {len(label)} bytes, expected at most {MOST_LABEL_BYTES}"
            raise DomainNameError(text, problem)
    wire = join_labels(labels, origin)
    if len(wire) > MOST_BYTES:
        problem = f"takes {len(wire)} bytes, expected at most {MOST_BYTES}"
        raise DomainNameError(text, problem)
    return wire


def _ends_in_dot(raw: bytes) -> bool:
    """Tell whether the last dot is no escaped one."""
    before = raw[:-1]
    return (len(before) - len(before.rstrip(b"\\"))) % 2 == 0


def _unescaped(text: str, raw: bytes) -> list[bytes]:
    """Split at the dots that are not escaped, and replace the escapes."""
    labels = [bytearray()]
    position = 0
    while position < len(raw):
        byte = raw[position : position + 1]
        if byte == b"\\":
            match = _ESCAPE.match(raw, position)
            number = int(match[1]) if match is not None and match[1] else 0
            if match is None or number > 255:
                raise DomainNameError(text, r"has a wrong escape; \. and \046 are right ones")
            labels[-1] += bytes([number]) if match[1] else match[2]
            position = match.end()
            continue
        if byte == b".":
            labels.append(bytearray())
        else:
            labels[-1] += byte
        position += 1
    return [bytes(each) for each in labels]


def join_labels(labels: list[bytes] | tuple[bytes, ...], origin: bytes = ROOT) -> bytes:
    """Write labels in wire form, in front of a name in wire form. Their lengths are not checked."""
    return b"".join([bytes((len(each),)) + each for each in labels]) + origin


def labels_of(name: bytes) -> tuple[bytes, ...]:
    """Give the labels of a name in wire form, without the root."""
    labels = []
    position = 0
    while size := name[position]:
        labels.append(name[position + 1 : position + 1 + size])
        position += 1 + size
    return tuple(labels)


def format_name(name: bytes) -> str:
    """Write a name in wire form as text, without a final dot; the root is ``"."``.

    What is no printable ASCII, or has a meaning in a zone file, is escaped: the text is safe in a log.
    """
    return ".".join(map(format_label, labels_of(name))) or "."


def format_label(label: bytes) -> str:
    """Write one label as text."""
    return _ODD.sub(_escaped, label).decode("ascii")


def _escaped(match: re.Match[bytes]) -> bytes:
    code = match[0][0]
    return b"\\" + match[0] if 0x21 <= code <= 0x7E else b"\\%03d" % code


def count_labels(name: bytes) -> int:
    """Count the labels of a name in wire form, without the root."""
    count = position = 0
    while size := name[position]:
        position += 1 + size
        count += 1
    return count


def parent(name: bytes) -> bytes:
    """Give a name without its first label; the root is not to be given."""
    return name[1 + name[0] :]


def suffixes(name: bytes) -> list[bytes]:
    """Give a name and everything above it, from itself to the root."""
    found = [name]
    while name[0]:
        name = name[1 + name[0] :]
        found.append(name)
    return found


def is_subdomain(key: bytes, apex: bytes) -> bool:
    """Tell whether a key is ``apex`` or below it."""
    if not key.endswith(apex):
        return False
    position, start = 0, len(key) - len(apex)
    while position < start:
        position += 1 + key[position]
    return position == start


def is_wire_name(name: bytes) -> bool:
    """Tell whether bytes are one whole name in wire form, uncompressed."""
    position = 0
    while position < len(name) <= MOST_BYTES:
        size = name[position]
        position += 1 + size
        if not size or size > MOST_LABEL_BYTES:
            return not size and position == len(name)
    return False


def reverse_name(address: str | IPv4Address | IPv6Address) -> str:
    """Give the name under which an address has its PTR records; the interface after ``%`` is no part of it.

    >>> reverse_name("192.0.2.1")
    '1.2.0.192.in-addr.arpa'

    Raises:
        DomainNameError: The text is no address.

    Source: RFC 1035, section 3.5; RFC 3596, section 2.5.
    """
    try:
        return ip_address(str(address).partition("%")[0]).reverse_pointer
    except ValueError:
        raise DomainNameError(str(address), "is no IP address") from None
