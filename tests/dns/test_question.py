"""Tests of what an upstream is asked."""

from __future__ import annotations

import dns.flags
import dns.message
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints.dns.names import encode_name
from asyncendpoints.dns.query import AD, CD, DO
from asyncendpoints.dns.question import frame, mix_case

KEY = encode_name("www-1.example.org")


def test_query_with_edns() -> None:
    """The frame and the name make a query with RD, the flags, and an OPT record of 1232 bytes."""
    head, kind, opt = frame(28, DO | CD, True)
    parsed = dns.message.from_wire(b"\0\1" + head + KEY + kind + opt)
    assert parsed.flags == dns.flags.RD | dns.flags.CD
    assert parsed.ednsflags == dns.flags.DO
    assert parsed.payload == 1232
    assert parsed.question[0].to_text() == "www-1.example.org. IN AAAA"


def test_query_without_edns() -> None:
    """Without EDNS there is no OPT record, and no DO."""
    head, kind, opt = frame(1, DO | AD, False)
    parsed = dns.message.from_wire(b"\0\1" + head + KEY + kind + opt)
    assert parsed.flags == dns.flags.RD | dns.flags.AD
    assert parsed.edns == -1


def test_case_is_drawn_letter_by_letter() -> None:
    """One bit of each byte decides; digits, hyphens and the sizes of labels stay."""
    assert mix_case(KEY, bytes(len(KEY))) == KEY
    assert mix_case(KEY, b"\x20" * len(KEY)) == encode_name("WWW-1.EXAMPLE.ORG")
    assert mix_case(KEY, b"\0\x20" + bytes(len(KEY) - 2)) == encode_name("Www-1.example.org")


@given(st.binary(min_size=1, max_size=63), st.data())
def test_mixed_name_is_the_same_name(label: bytes, data: st.DataObject) -> None:
    """Whatever is drawn, in lower case it is the name again."""
    key = (bytes([len(label)]) + label + b"\0").lower()
    draw = data.draw(st.binary(min_size=len(key), max_size=len(key)))
    assert mix_case(key, draw).lower() == key
