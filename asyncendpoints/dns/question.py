"""What an upstream is asked: the bytes of a query, with what makes its reply hard to forge.

Pure: chance comes in as bytes.

Source: RFC 1035, section 4.1; RFC 6891, section 6.1; RFC 5452 for what a forger must not guess.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from asyncendpoints.dns.query import AD, CD, DO, RD
from asyncendpoints.dns.records import IN

__all__ = ["PAYLOAD", "Frame", "frame", "mix_case"]

#: The largest UDP message that is asked for, in bytes: what travels without being cut into fragments.
#: Source: RFC 9715, section 3.
PAYLOAD: Final = 1232

#: For the kinds of questions that come again and again.
_FRAMES_KEPT = 1024

#: The bit that tells the cases of a letter apart, for each small letter.
_CASE_BITS = bytes(0x20 if 0x61 <= byte <= 0x7A else 0 for byte in range(256))


class Frame(NamedTuple):
    """What stands around the name in a query."""

    #: Flags and counts: the ten bytes after the identifier.
    head: bytes
    #: Type and class: what follows the name in query and reply.
    kind: bytes
    #: The OPT record, or nothing.
    opt: bytes


@lru_cache(_FRAMES_KEPT)
def frame(qtype: int, flags: int, has_edns: bool) -> Frame:
    """Give what stands around the name in a query.

    Args:
        qtype: The number of the type.
        flags: Of AD, CD and DO those that are set; RD always is.
        has_edns: Whether there is an OPT record. Without one DO cannot be said.
    """
    header = RD | flags & (AD | CD)
    head = header.to_bytes(2, "big") + b"\0\1\0\0\0\0\0" + bytes((has_edns,))
    opt = b""
    if has_edns:
        opt = b"\0\0\x29" + PAYLOAD.to_bytes(2, "big") + b"\0\0"
        opt += (flags & DO).to_bytes(2, "big") + b"\0\0"
    return Frame(head, qtype.to_bytes(2, "big") + IN.to_bytes(2, "big"), opt)


def mix_case(key: bytes, draw: bytes) -> bytes:
    """Write the letters of a name in a case that chance decides; servers give it back as it was.

    Args:
        key: The name in wire form and lower case.
        draw: As many bytes as the name has; one bit of each counts.

    Source: the draft "Use of Bit 0x20 in DNS Labels".
    """
    bits = int.from_bytes(key.translate(_CASE_BITS), "big") & int.from_bytes(draw, "big")
    return (int.from_bytes(key, "big") ^ bits).to_bytes(len(key), "big")
