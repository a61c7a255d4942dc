"""Replies: an outcome to the bytes of a message. The one place that knows flags, OPT and truncation.

Pure: values in, bytes out.

Source: RFC 1035, section 4.1.1; RFC 6891, section 6.1; RFC 8914, section 2, for extended errors; RFC 9471,
for what may not be left out.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, Final

from asyncendpoints.dns.codes import Rcode
from asyncendpoints.dns.outcome import Referral, Response
from asyncendpoints.dns.query import AD, DO
from asyncendpoints.dns.sections import Body, Sections, encode_body
from asyncendpoints.dns.wire import TC

if TYPE_CHECKING:
    from asyncendpoints.dns.codes import EDE
    from asyncendpoints.dns.outcome import Outcome
    from asyncendpoints.dns.wire import Rejection, WireQuery

__all__ = ["render", "render_rejection"]

#: The flag of an answer from the authority, and that recursion can be had.
AA: Final = 0x0400
RA: Final = 0x0080

_ONE_QUESTION = b"\0\1"
_NO_RECORDS = bytes(6)
_COUNTS = Struct("!HHH")
#: The least that a record takes, in bytes: the root as its owner, and no data.
_LEAST_BYTES = 11
#: What has no room in any message.
_TOO_LARGE = Body(_NO_RECORDS, bytes(1 << 16))
#: The option code of an extended error.
_EDE_OPTION = b"\0\x0f"
#: Longest text of an extended error that is sent, in bytes.
_LONGEST_TEXT = 128
#: What is said is the same over and over.
_OPTS_KEPT = 256


def render(wire: WireQuery, outcome: Outcome, limit: int, payload: int, *, ra: bool) -> bytes:
    """Write the reply to a query, without its identifier.

    Args:
        wire: What was asked.
        outcome: What to say: a `Response` or ``TRUNCATED``.
        limit: The most bytes that the reply may have, 512 to 65,535.
        payload: The largest UDP message that this server takes, in bytes, for the OPT.
        ra: Whether this client may have recursion.

    Returns:
        The message from its third byte on.
    """
    key, _, _, flags, reply_flags, question, has_opt, _ = wire
    rcode = outcome.rcode
    if outcome.aa:
        reply_flags |= AA
    if ra:
        reply_flags |= RA
    if outcome.ad and flags & (AD | DO):
        reply_flags |= AD
    opt = b""
    if has_opt:
        opt = _opt(payload, rcode >> 4, flags & DO, outcome.ede)
    elif rcode > 15:
        rcode = Rcode.SERVFAIL  # the rest of it would be in the OPT
    if not isinstance(outcome, Response):
        return _empty(reply_flags | TC | rcode & 15, question, opt)
    body = outcome.body
    room = limit - 12 - len(question) - len(opt)
    if body is None or outcome.key != key:
        body = _encoded(key, outcome, room)
    counts, tail, core_counts, core_bytes = body
    if len(tail) > room:
        if not core_counts or core_bytes > room:
            return _empty(reply_flags | TC | rcode & 15, question, opt)
        counts, tail = core_counts, tail[:core_bytes]
    if opt:
        more = counts[4:]
        counts = counts[:4] + (_NEXT.get(more) or _next(more))
    head = (reply_flags | rcode & 15).to_bytes(2, "big")
    return b"".join((head, _ONE_QUESTION, counts, question, tail, opt))


def _encoded(key: bytes, outcome: Response, room: int) -> Body:
    """Write the records of an outcome that has them not, or for another name.

    Where there are more of them than there is room for, in bytes, none is looked at: the work is bounded by
    what is sent.
    """
    most = room // _LEAST_BYTES
    body = outcome.body
    if body is not None and sum(_COUNTS.unpack(body.core_counts or body.counts)) > most:
        return body  # which has no room either
    answer, authority, additional = outcome.sections
    glue = len(additional) if isinstance(outcome, Referral) else 0
    core = sum([len(each.rdatas) for each in (*answer, *authority, *additional[:glue])])
    if core > most:
        return _TOO_LARGE
    if core + sum([len(each.rdatas) for each in additional[glue:]]) > most:
        additional = additional[:glue]
    return encode_body(key, Sections(answer, authority, additional), glue)


def _empty(flags: int, question: bytes, opt: bytes) -> bytes:
    """Write a reply without records."""
    counts = b"\0\0\0\0\0\1" if opt else _NO_RECORDS
    questions = _ONE_QUESTION if question else b"\0\0"
    return b"".join((flags.to_bytes(2, "big"), questions, counts, question, opt))


def _next(count: bytes) -> bytes:
    """Count one more. There are never so many records that their number would not fit."""
    return (int.from_bytes(count, "big") + 1).to_bytes(2, "big")


#: The numbers after those that are usual.
_NEXT = {each: _next(each) for each in (bytes((0, number)) for number in range(32))}


@lru_cache(_OPTS_KEPT)
def _opt(payload: int, high_rcode: int, do: int, ede: EDE | None) -> bytes:
    """Write an OPT record."""
    data = b""
    if ede is not None:
        text = ede.text.encode(errors="replace")[:_LONGEST_TEXT].decode(errors="ignore").encode()
        size = (2 + len(text)).to_bytes(2, "big")
        data = _EDE_OPTION + size + ede.code.to_bytes(2, "big") + text
    return b"".join(
        (
            b"\0\0\x29",
            payload.to_bytes(2, "big"),
            bytes((high_rcode, 0)),
            do.to_bytes(2, "big"),
            len(data).to_bytes(2, "big"),
            data,
        )
    )


def render_rejection(rejection: Rejection, payload: int) -> bytes:
    """Write the reply to a query that gets an error before anybody is asked, without its identifier."""
    rcode, flags, question, has_opt, do = rejection
    opt = _opt(payload, rcode >> 4, do, None) if has_opt else b""
    return _empty(flags | rcode & 15, question, opt)
