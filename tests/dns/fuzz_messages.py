"""A program that changes messages at random, and looks for bytes that do what no bytes may do.

    python -m tests.dns.fuzz_messages --minutes 60 --seed 1

What is held of every message: nothing is raised but `WireError`; a reply is one that dnspython reads, with
the identifier of its query, QR, and no more bytes than the client takes; nothing takes longer than its size
allows. What breaks one of these is made as short as can be and printed in hexadecimal digits.
"""

from __future__ import annotations

import argparse
import logging
import struct
import sys
from random import Random
from time import monotonic, perf_counter, process_time
from typing import TYPE_CHECKING, Any, NamedTuple

import dns.edns
import dns.flags
import dns.message
import dns.rdatatype

from asyncendpoints.dns.codes import EDE, EDECode
from asyncendpoints.dns.names import encode_name
from asyncendpoints.dns.outcome import PASS, Answer, Failure, NoData, NXDomain, Referral
from asyncendpoints.dns.records import Records, Type, encode_rdata
from asyncendpoints.dns.render import render, render_rejection
from asyncendpoints.dns.reply import decode_reply, is_reply, refuses_edns
from asyncendpoints.dns.responder import Responder
from asyncendpoints.dns.scan import HEADER_BYTES, Scan, decode_name
from asyncendpoints.dns.sections import Body, Sections, decode_body, encode_body
from asyncendpoints.dns.wire import Rejection, WireQuery, decode_query
from asyncendpoints.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from asyncendpoints.dns.outcome import Outcome, Response
    from asyncendpoints.dns.query import Query

__all__ = ["MUTATIONS", "TARGETS", "Target", "main", "minimal", "mutated", "seeds", "wrong_with"]

#: The largest UDP message that the server under test sends, in bytes.
PAYLOAD = 1232


class Target(NamedTuple):
    """What is fed."""

    name: str
    #: Takes bytes; raises `AssertionError` if what it makes of them is wrong.
    feed: Callable[[bytes], object]
    #: Milliseconds that a message may take: for any, and for each KiB.
    base: float
    each: float


def _records(owner: str, rtype: int, *values: str, ttl: int = 300) -> Records:
    rdatas = tuple(encode_rdata(rtype, each) for each in values)
    return Records(encode_name(owner), rtype, ttl, rdatas)


_SOA = _records("fuzz.test", Type.SOA, "ns.fuzz.test. admin.fuzz.test. 1 7200 900 1209600 300")
_NS = _records(
    "sub.fuzz.test", Type.NS, "ns1.sub.fuzz.test.", "ns2.sub.fuzz.test.", "ns.other.test."
)
_GLUE = (
    _records("ns1.sub.fuzz.test", Type.A, "192.0.2.1", "192.0.2.2"),
    _records("ns2.sub.fuzz.test", Type.AAAA, "2001:db8::1"),
)
_MANY = _records("www.fuzz.test", Type.A, *(f"192.0.2.{each}" for each in range(1, 120)))
_TEXT = _records("www.fuzz.test", Type.TXT, *(f'"{each:0>200}"' for each in range(8)))

#: The outcomes that queries get, one chosen by each query's bytes.
OUTCOMES: tuple[Outcome, ...] = (
    Answer([_records("www.fuzz.test", Type.A, "192.0.2.1")], aa=True),
    Answer([_MANY], [_NS], _GLUE, ad=True),
    Answer(
        [_records("a.fuzz.test", Type.MX, "10 b.fuzz.test.")], (), (_MANY,), ede=EDE(3, "é" * 90)
    ),
    Answer([_TEXT]),
    NoData(_SOA),
    NXDomain(_SOA, answer=[_records("a.fuzz.test", Type.CNAME, "b.fuzz.test.")]),
    Referral(_NS, _GLUE),
    Referral(_NS, (*_GLUE, _MANY)),
    Failure(ede=EDE(EDECode.OTHER, "x" * 300)),
    Failure(23),
    PASS,
)


class _Chosen:
    """A resolver whose outcome depends on the question alone."""

    version = 1

    def resolve(self, query: Query, /) -> Outcome:
        return OUTCOMES[sum(query.key + bytes((query.qtype & 0xFF,))) % len(OUTCOMES)]


def feed_query(packet: bytes) -> object:
    """Decode a query and render a reply to it."""
    wire = decode_query(packet)
    if wire is None:
        assert len(packet) < HEADER_BYTES or packet[2] & 0x80, "an honest query gets nothing"
        return wire
    if isinstance(wire, Rejection):
        reply = packet[:2] + render_rejection(wire, PAYLOAD)
        check_reply(packet, reply, 512)
        return wire
    limit = max(512, min(wire.payload, PAYLOAD))
    for outcome in OUTCOMES:
        check_reply(packet, packet[:2] + render(wire, outcome, limit, PAYLOAD, ra=False), limit)
    return wire


def feed_decoding(packet: bytes) -> object:
    """Decode a query, and no more: for the time that it takes."""
    return decode_query(packet)


def check_reply(packet: bytes, reply: bytes, limit: int) -> None:
    """Hold a reply against what every reply has to be."""
    assert len(reply) <= limit, f"{len(reply)} bytes, more than {limit}"
    assert reply[:2] == packet[:2], "another identifier"
    message = dns.message.from_wire(reply)
    assert message.flags & dns.flags.QR, "no QR"
    assert not message.flags & 0x40, "the reserved flag is set"
    assert message.opcode() == packet[2] >> 3 & 15, "another opcode"
    for each in message.question:
        assert reply[12:].startswith(packet[12 : 12 + len(each.name.to_wire() or b"") + 4])
    if message.flags & dns.flags.TC:
        records = [*message.answer, *message.authority, *message.additional]
        assert not records, "TC with records"
    assert message.edns <= 0, "another version of EDNS"
    assert not message.ednsflags & 0x7FFF, "reserved flags of EDNS are set"


def feed_records(message: bytes) -> object:
    """Read all records that a message says it has."""
    found = []
    try:
        counts = struct.unpack_from("!HHHH", message, 4) if len(message) >= 12 else (0,) * 4
        scan = Scan(message)
        for _ in range(counts[0]):
            scan.name()
            scan.position += 4
        for count in counts[1:]:
            found += list(scan.records(count))
    except WireError:
        return None
    for owner, rtype, ttl, data in found:
        assert len(owner) <= 255, "a name of more than 255 bytes"
        assert owner.endswith(b"\0"), "a name without its root"
        assert 0 <= ttl < 2**31, "a TTL out of range"
        assert rtype not in {Type.NS, Type.CNAME} or decode_name(data, 0)[1] == len(data)
    return len(found)


def feed_name(message: bytes) -> object:
    """Read a name at every one of the first offsets."""
    for start in range(min(len(message) + 1, 64)):
        try:
            name, end = decode_name(message, start)
        except WireError:
            continue
        assert start < end <= len(message), "it ends where it cannot"
        assert decode_name(name, 0) == (name, len(name)), "it is not itself"
    return None


def feed_body(message: bytes) -> object:
    """Decode what follows a question, and write it once more."""
    key, body = encode_name("www.fuzz.test"), Body(message[6:12].rjust(6, b"\0"), message[31:])
    try:
        sections = decode_body(key, body)
    except WireError:
        return None
    again = decode_body(key, encode_body(key, sections))
    assert lowered(again) == lowered(sections), "it changes on the way"
    return sections


def lowered(sections: Sections) -> list[tuple[object, ...]]:
    """Give records without the case of letters, which a pointer to another name can change."""
    return [
        (owner.lower(), rtype, ttl, [each.lower() for each in rdatas])
        for section in sections
        for owner, rtype, ttl, rdatas in section
    ]


def asked_by(message: bytes) -> tuple[bytes, int] | None:
    """Give name and type of the question in a reply, the name in lower case, if it can be a reply."""
    try:
        name, end = decode_name(message, HEADER_BYTES)
    except WireError:
        return None
    if not is_reply(message, message[HEADER_BYTES : end + 4]) or end != HEADER_BYTES + len(name):
        return None
    return name.lower(), int.from_bytes(message[end : end + 2], "big")


def feed_reply(message: bytes) -> Response | None:
    """Decode a reply, as what was asked for, and no more: for the time that it takes."""
    asked = asked_by(message) if len(message) >= HEADER_BYTES else None
    if asked is None:
        return None
    try:
        refuses_edns(message, len(asked[0]) + 4)
        return decode_reply(message, *asked)
    except WireError:
        return None


def feed_forwarded(message: bytes) -> object:
    """Decode a reply, and render its outcome for a client of ours."""
    outcome = feed_reply(message)
    if outcome is None:
        return None
    end = decode_name(message, HEADER_BYTES)[1] + 4
    wire = decode_query(message[:2] + b"\1\0\0\1\0\0\0\0\0\0" + message[HEADER_BYTES:end])
    assert isinstance(wire, WireQuery), "a question that could not be asked"
    for limit in (512, 1232, 65535):
        reply = message[:2] + render(wire, outcome, limit, PAYLOAD, ra=True)
        assert len(reply) <= limit, f"{len(reply)} bytes, more than {limit}"
        scan = Scan(reply, end)
        for count in struct.unpack_from("!HHH", reply, 6):
            for _ in scan.records(count):
                pass
        assert scan.position == len(reply), "bytes after the last record"
    decode_body(wire.key, encode_body(wire.key, outcome.sections))
    return outcome


class _Server:
    """A responder that gets its messages by UDP and by TCP in turn, as the message's bytes say."""

    def __init__(self) -> None:
        self._responder = Responder(_Chosen(), payload=PAYLOAD)
        self._sources = (
            self._responder.source(("127.0.0.1", 5353), None, 2, "udp"),
            self._responder.source(("192.0.2.1", 5353), None, 2, "tcp"),
        )

    def feed(self, packet: bytes) -> object:
        source = self._sources[len(packet) & 1]
        errors = self._responder.counters.errors
        reply = self._responder.respond(packet, source)
        assert self._responder.counters.errors == errors, "an error of the server itself"
        if reply is None:
            assert len(packet) < HEADER_BYTES or packet[2] & 0x80, "an honest query gets nothing"
            return None
        assert isinstance(reply, bytes), "nothing here has to be waited for"
        check_reply(packet, reply, 65535 if len(packet) & 1 else self._limit(packet))
        again = self._responder.respond(packet, source)
        assert again == reply, "the second reply differs"
        return reply

    def _limit(self, packet: bytes) -> int:
        wire = decode_query(packet)
        payload = wire.payload if isinstance(wire, WireQuery) else 0
        return max(512, min(payload, PAYLOAD))


TARGETS = (
    Target("decode_query", feed_decoding, 0.5, 0.1),
    Target("query", feed_query, 20.0, 0.5),
    Target("records", feed_records, 1.0, 0.5),
    Target("name", feed_name, 20.0, 5.0),
    Target("body", feed_body, 4.0, 3.0),
    Target("reply", feed_reply, 3.0, 0.2),
    Target("forwarded", feed_forwarded, 30.0, 2.0),
    Target("responder", _Server().feed, 20.0, 1.0),
)


def seeds() -> list[bytes]:
    """Give messages of many shapes, all of them right."""
    return [*_queries(), *_replies()]


def _queries() -> Iterator[bytes]:
    shapes: tuple[dict[str, Any], ...] = (
        {},
        {"use_edns": 0, "payload": 1232},
        {"use_edns": 0, "payload": 4096, "want_dnssec": True},
        {"use_edns": 1},
        {"use_edns": 0, "options": [dns.edns.ECSOption("192.0.2.0", 24), dns.edns.NSIDOption(b"")]},
        {"use_edns": 0, "options": [dns.edns.GenericOption(dns.edns.OptionType.COOKIE, bytes(8))]},
        {
            "use_edns": 0,
            "options": [dns.edns.GenericOption(dns.edns.OptionType.PADDING, bytes(300))],
        },
    )
    for name in (
        ".",
        "www.fuzz.test",
        "WwW.Fuzz.TEST",
        "sub.fuzz.test",
        "a" * 63 + ".test",
        "x." * 120,
    ):
        for rtype in ("A", "ANY", "AXFR", "TYPE731"):
            for shape in shapes:
                yield dns.message.make_query(name, rtype, id=4660, **shape).to_wire()
    ixfr = dns.message.make_query("fuzz.test", "IXFR", id=4660)
    ixfr.authority.append(_rrset("fuzz.test. 300 IN SOA ns.fuzz.test. admin.fuzz.test. 1 2 3 4 5"))
    yield ixfr.to_wire()
    chaos = dns.message.make_query("version.bind", "TXT", "CH", id=4660)
    yield chaos.to_wire()
    for opcode in range(1, 16):
        packet = bytearray(chaos.to_wire())
        packet[2] |= opcode << 3
        yield bytes(packet)


def _rrset(text: str) -> dns.rrset.RRset:
    name, ttl, rclass, rtype, data = text.split(" ", 4)
    return dns.rrset.from_text(name, int(ttl), rclass, rtype, data)


_LINES = (
    "www.fuzz.test. 300 IN A 192.0.2.1",
    "www.fuzz.test. 300 IN AAAA 2001:db8::1",
    "www.fuzz.test. 300 IN CNAME other.fuzz.test.",
    "fuzz.test. 300 IN NS ns.fuzz.test.",
    "fuzz.test. 300 IN SOA ns.fuzz.test. admin.fuzz.test. 1 7200 900 1209600 300",
    "1.2.0.192.in-addr.arpa. 300 IN PTR www.fuzz.test.",
    "fuzz.test. 300 IN MX 10 mail.fuzz.test.",
    'fuzz.test. 300 IN TXT "some text" "and more"',
    "_sip._tcp.fuzz.test. 300 IN SRV 0 5 5060 sip.fuzz.test.",
    "old.fuzz.test. 300 IN DNAME fuzz.test.",
    "fuzz.test. 300 IN DS 12345 8 2 " + "ab" * 32,
    "fuzz.test. 300 IN RRSIG A 8 2 300 20300101000000 20200101000000 12345 fuzz.test. " + "A" * 88,
    "fuzz.test. 300 IN NSEC www.fuzz.test. A NS SOA RRSIG NSEC",
    "fuzz.test. 300 IN HTTPS 1 . alpn=h2 ipv4hint=192.0.2.1",
    "fuzz.test. 300 IN CAA 0 issue ca.test",
    r"fuzz.test. 300 IN TYPE731 \# 4 0a000001",
    "fuzz.test. 300 IN RP admin.fuzz.test. text.fuzz.test.",
    'fuzz.test. 300 IN NAPTR 10 10 "s" "SIP+D2U" "" _sip._udp.fuzz.test.',
)


def _replies() -> Iterator[bytes]:
    rrsets = [_rrset(each) for each in _LINES]
    for start in range(len(rrsets)):
        reply = dns.message.make_response(dns.message.make_query("www.fuzz.test", "A", id=4660))
        reply.answer += rrsets[start : start + 1]
        yield reply.to_wire()
        reply.answer += rrsets[start + 1 : start + 5]
        reply.authority += rrsets[:start]
        reply.additional += rrsets[start + 5 :]
        reply.use_edns(0, payload=1232)
        yield reply.to_wire(max_size=65535)
    big = dns.message.make_response(dns.message.make_query("www.fuzz.test", "A", id=4660))
    for number in range(300):
        big.answer.append(_rrset(f"host{number}.fuzz.test. 300 IN NS ns{number % 7}.fuzz.test."))
    yield big.to_wire(max_size=65535)


def mutated(random: Random, pool: list[bytes]) -> bytes:
    """Change one of some messages, once or several times."""
    message = bytearray(random.choice(pool))
    for _ in range(random.choice((1, 1, 1, 2, 3, 5, 9))):
        random.choice(MUTATIONS)(random, message, pool)
    return bytes(message[:65535])


def _flip(random: Random, message: bytearray, pool: list[bytes]) -> None:
    """Change one bit."""
    if message:
        message[random.randrange(len(message))] ^= 1 << random.randrange(8)


def _byte(random: Random, message: bytearray, pool: list[bytes]) -> None:
    """Set a byte to one that has a meaning somewhere."""
    if message:
        values = (0, 1, 12, 0x29, 0x3F, 0x40, 0x80, 0xC0, 0xFF, random.randrange(256))
        message[random.randrange(len(message))] = random.choice(values)


def _resize(random: Random, message: bytearray, pool: list[bytes]) -> None:
    """Cut the message short, or add to it."""
    if random.random() < 0.6:
        del message[random.randrange(len(message) + 1) :]
    else:
        message += random.randbytes(random.choice((1, 2, 4, 11, 64)))


def _number(random: Random, message: bytearray, pool: list[bytes]) -> None:
    """Set a 16-bit number, a length as a rule, to one near a limit."""
    if len(message) >= 2:
        at = random.randrange(len(message) - 1)
        old = int.from_bytes(message[at : at + 2], "big")
        near = old + random.choice((-2, -1, 1, 2))
        number = random.choice((0, 1, 255, 256, 512, 0x7FFF, 0xFFFF, near))
        message[at : at + 2] = (number & 0xFFFF).to_bytes(2, "big")


def _count(random: Random, message: bytearray, pool: list[bytes]) -> None:
    """Set one of the four counts."""
    if len(message) >= HEADER_BYTES:
        at = random.choice((4, 6, 8, 10))
        message[at : at + 2] = random.choice((0, 1, 2, 3, 9, 0xFFFF)).to_bytes(2, "big")


def _pointer(random: Random, message: bytearray, pool: list[bytes]) -> None:
    """Write a pointer somewhere, to somewhere."""
    if len(message) >= 2:
        at = random.randrange(len(message) - 1)
        target = random.choice((random.randrange(len(message)), at, at - 2, at + 2, 0, 12, 0x3FFF))
        message[at : at + 2] = (0xC000 | target & 0x3FFF).to_bytes(2, "big")


def _splice(random: Random, message: bytearray, pool: list[bytes]) -> None:
    """Put a piece of another message somewhere, over what is there or in between."""
    other = random.choice(pool)
    start = random.randrange(len(other))
    piece = other[start : start + random.choice((1, 4, 16, 64, 300))]
    at = random.randrange(len(message) + 1)
    message[at : at + random.choice((0, len(piece)))] = piece


def _repeat(random: Random, message: bytearray, pool: list[bytes]) -> None:
    """Repeat a piece, which makes messages long."""
    start = random.randrange(len(message) + 1)
    piece = message[start : start + random.choice((1, 2, 4, 16, 64))]
    message[start:start] = piece * random.choice((1, 2, 10, 100, 1000))


MUTATIONS = (_flip, _flip, _byte, _resize, _number, _count, _pointer, _pointer, _splice, _repeat)


def wrong_with(target: Target, message: bytes) -> str | None:
    """Tell what a message does to a target that it may not do, or None."""
    allowed = (target.base + target.each * len(message) / 1024) / 1000
    took = allowed + 1
    # What is slow once may have been interrupted.
    for _ in range(6):
        before = process_time(), perf_counter()
        try:
            target.feed(message)
        except Exception as error:  # the law is that there is none
            return f"{type(error).__name__}: {error}"
        took = min(took, process_time() - before[0], perf_counter() - before[1])
        if took <= allowed:
            return None
    return f"takes {took * 1000:.1f} ms, allowed are {allowed * 1000:.1f}"


def minimal(is_wrong: Callable[[bytes], bool], message: bytes) -> bytes:
    """Leave out of a message what is not needed for it to be wrong."""
    size = max(len(message) // 2, 1)
    while True:
        at = 0
        while at < len(message):
            shorter = message[:at] + message[at + size :]
            if is_wrong(shorter):
                message = shorter
            else:
                at += size
        if size == 1:
            return message
        size //= 2


def main(arguments: list[str] | None = None, targets: Sequence[Target] = TARGETS) -> int:
    """Run for a while, and give the number of finds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long")
    parser.add_argument("--messages", type=int, default=None, help="stop after so many")
    parser.add_argument("--every", type=int, default=10_000, help="messages between two lines")
    parser.add_argument("--seed", type=int, default=1, help="the same number, the same messages")
    chosen = parser.parse_args(arguments)
    random, pool = Random(chosen.seed), seeds()
    end = monotonic() + chosen.minutes * 60
    finds: set[tuple[str, str]] = set()
    count = 0
    while monotonic() < end and (chosen.messages is None or count < chosen.messages):
        message = mutated(random, pool)
        count += 1
        for target in targets:
            problem = wrong_with(target, message)
            if problem is not None:
                report(target, message, problem, finds)
        if count % chosen.every == 0:
            say(f"{count} messages, {len(finds)} finds")
    say(f"{count} messages, {len(finds)} finds, seed {chosen.seed}")
    return len(finds)


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def report(target: Target, message: bytes, problem: str, finds: set[tuple[str, str]]) -> None:
    """Print a find, unless its like was printed."""
    kind = "takes" if problem.startswith("takes") else problem[:40]
    if (target.name, kind) in finds:
        return
    finds.add((target.name, kind))
    if kind != "takes":
        message = minimal(lambda each: (wrong_with(target, each) or "")[:40] == kind, message)
    say(f"{target.name}: {problem}\n    {message.hex()}")


if __name__ == "__main__":  # pragma: no cover - the tests call main
    logging.getLogger("asyncendpoints.dns").setLevel(logging.CRITICAL)
    sys.exit(1 if main() else 0)
