"""Our name server byte for byte: the probes of RFC 8906, section 8, malformed queries, streams cut anywhere.

Nobody's program sends most of these. The replies are read by dnspython, which is strict about them.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, NamedTuple

import dns.flags
import dns.message
import pytest
from dns.rcode import BADVERS, FORMERR, NOERROR, NOTIMP, NXDOMAIN, REFUSED

from asyncendpoints.dns.chain import Chain
from asyncendpoints.dns.listening import listen
from asyncendpoints.dns.outcome import Answer, Failure
from asyncendpoints.dns.router import Router
from tests.interop.dns_programs import (
    BIG,
    HOST,
    LISTEN,
    Stream,
    exchange,
    over_tcp,
    over_udp,
    query,
    socket_to,
    zone,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from asyncendpoints.dns.listening import NameServer
    from asyncendpoints.dns.query import Query

    Way = Callable[[int, bytes], Awaitable[bytes]]

pytestmark = pytest.mark.interop

SOA, TXT, DNSKEY, ANY = 6, 16, 48, 255
RD, AD, CD, Z, DO = 0x0100, 0x0020, 0x0010, 0x0040, 0x8000
#: The flags of a message that belong to it alone: AA, TC, RD, RA, Z, AD and CD.
FLAGS = 0x07F0
AA, TC, RA = 0x0400, 0x0200, 0x0080
#: Version 1 of EDNS, as it stands beside the flags.
VERSION_1 = 0x00010000
#: An option that nobody has defined, and those that dig can send together: cookie, NSID, EXPIRE and subnet.
UNKNOWN = b"\0\x64\0\0"
DEFINED = b"\0\x0a\0\x08\1\2\3\4\5\6\7\x08" + b"\0\3\0\0" + b"\0\x09\0\0" + b"\0\x08\0\4\0\1\0\0"

WAYS = pytest.mark.parametrize("way", [over_udp, over_tcp])


class Heard(NamedTuple):
    """What a reply says: its code, its flags, how many records each section has, and its OPT."""

    rcode: int
    flags: int
    counts: tuple[int, int, int]
    #: Version and flags of the OPT, or None without one.
    edns: tuple[int, int] | None


def heard(packet: bytes, reply: bytes) -> Heard:
    """Read a reply, and see that it satisfies what every reply has to.

    Source: RFC 8906, sections 3 and 8, and what public tools make of them.
    """
    parsed = dns.message.from_wire(reply)  # which has no patience with bytes that are left over
    sent = dns.message.from_wire(packet, ignore_trailing=True, continue_on_error=True)
    assert reply[:2] == packet[:2]
    assert parsed.flags & dns.flags.QR
    assert parsed.opcode() == sent.opcode()
    assert parsed.flags & Z == 0
    assert parsed.flags & CD <= sent.flags & CD
    assert parsed.flags & RD in {0, sent.flags & RD}
    assert parsed.flags & AD <= (sent.flags & AD or (sent.ednsflags & DO and AD))
    end = 12 + len(sent.question[0].name.to_wire() or b"") + 4
    assert reply[12:end] == packet[12:end]
    if parsed.edns >= 0:
        assert sent.edns >= 0
        assert (parsed.edns, parsed.payload) == (0, 1232)
        assert parsed.ednsflags & 0xFFFF in {0, sent.ednsflags & DO}
        assert {option.otype for option in parsed.options} <= {15}
    # The OPT is not among the records of dnspython.
    counts = len(parsed.answer), len(parsed.authority), len(parsed.additional)
    edns = None if parsed.edns < 0 else (parsed.edns, parsed.ednsflags & 0xFFFF)
    return Heard(parsed.rcode(), parsed.flags & FLAGS, counts, edns)


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    """Our server with a zone and nothing else."""
    async with listen(LISTEN, zone()) as server:
        yield server


# RFC 8906, section 8

#: What the SOA of the zone comes with: the record, and the rest of the reply as EDNS was used or not.
ANSWER = (1, 0, 0)


@WAYS
@pytest.mark.parametrize(
    ("flags", "opt", "expected"),
    [
        pytest.param(0, None, Heard(NOERROR, AA, ANSWER, None), id="8.1.1"),
        pytest.param(CD, None, Heard(NOERROR, AA | CD, ANSWER, None), id="8.1.3.1"),
        pytest.param(AD, None, Heard(NOERROR, AA, ANSWER, None), id="8.1.3.2"),
        pytest.param(Z, None, Heard(NOERROR, AA, ANSWER, None), id="8.1.3.3"),
        pytest.param(RD, None, Heard(NOERROR, AA | RD, ANSWER, None), id="8.1.3.4"),
        pytest.param(AA, None, Heard(NOERROR, AA, ANSWER, None), id="AA"),
        pytest.param(TC, None, Heard(NOERROR, AA, ANSWER, None), id="TC"),
        pytest.param(RA, None, Heard(NOERROR, AA, ANSWER, None), id="RA"),
        pytest.param(FLAGS, None, Heard(NOERROR, AA | RD | CD, ANSWER, None), id="all flags"),
        pytest.param(0, (4096, 0, b""), Heard(NOERROR, AA, ANSWER, (0, 0)), id="8.2.1"),
        pytest.param(0, (4096, VERSION_1, b""), Heard(BADVERS, 0, (0, 0, 0), (0, 0)), id="8.2.2"),
        pytest.param(0, (4096, 0, UNKNOWN), Heard(NOERROR, AA, ANSWER, (0, 0)), id="8.2.3"),
        pytest.param(0, (4096, 0x40, b""), Heard(NOERROR, AA, ANSWER, (0, 0)), id="8.2.4"),
        pytest.param(
            0, (4096, VERSION_1 | 0x40, b""), Heard(BADVERS, 0, (0, 0, 0), (0, 0)), id="8.2.5"
        ),
        pytest.param(
            0, (4096, VERSION_1, UNKNOWN), Heard(BADVERS, 0, (0, 0, 0), (0, 0)), id="8.2.6"
        ),
        pytest.param(0, (4096, DO, b""), Heard(NOERROR, AA, ANSWER, (0, DO)), id="8.2.8"),
        pytest.param(
            0, (4096, VERSION_1 | DO, b""), Heard(BADVERS, 0, (0, 0, 0), (0, DO)), id="8.2.9"
        ),
        pytest.param(0, (4096, 0, DEFINED), Heard(NOERROR, AA, ANSWER, (0, 0)), id="8.2.10"),
        pytest.param(0, (0, 0, b""), Heard(NOERROR, AA, ANSWER, (0, 0)), id="size 0"),
        pytest.param(0, (65535, 0x7FFF, b""), Heard(NOERROR, AA, ANSWER, (0, 0)), id="7fff"),
        pytest.param(
            FLAGS,
            (512, 0xFFFF_FFFF & ~0xFF00_0000, DEFINED + UNKNOWN),
            Heard(BADVERS, RD | CD, (0, 0, 0), (0, DO)),
            id="everything",
        ),
    ],
)
async def test_probe_of_the_apex(
    flags: int, opt: tuple[int, int, bytes] | None, expected: Heard, way: Way, server: NameServer
) -> None:
    """The SOA of the zone comes whatever flags, options and sizes there are, but for other EDNS versions."""
    packet = query("example.org", SOA, flags=flags, opt=opt)
    assert heard(packet, await way(server.port, packet)) == expected


#: RFC 8906 asks with type 1000, public tools with every type that there is. Meta-types are another test.
TYPES = [*range(1, 110), 256, 257, 258, 259, 260, 1000, 32769, 65280, 65400, 65534]
#: How many RRsets of the answer section the apex has, by type.
AT_APEX = {2: 1, SOA: 1, 15: 1}


@WAYS
@pytest.mark.parametrize("opt", [None, (1232, 0, b"")])
async def test_probe_of_types(
    opt: tuple[int, int, bytes] | None, way: Way, server: NameServer
) -> None:
    """8.1.2: types that the zone has not, or nobody knows, are no error: no data, or no such name."""
    edns = None if opt is None else (0, 0)
    for qtype in TYPES:
        packet = query("example.org", qtype, opt=opt)
        told = heard(packet, await way(server.port, packet))
        has = AT_APEX.get(qtype, 0)
        assert (qtype, *told[:2], told.edns) == (qtype, NOERROR, AA, edns)
        assert (qtype, told.counts[:2]) == (qtype, (has, 1 - has))
        packet = query("nope.example.org", qtype, opt=opt)
        told = heard(packet, await way(server.port, packet))
        assert (qtype, told) == (qtype, Heard(NXDOMAIN, AA, (0, 1, 0), edns))


@WAYS
async def test_probe_of_opcodes(way: Way, server: NameServer) -> None:
    """8.1.4: every other opcode is not implemented, which a header alone says, with a question or without."""
    for opcode in range(1, 16):
        flags = opcode << 11
        for packet in (
            query(flags=flags | FLAGS),
            query(flags=flags, opt=(1232, DO, UNKNOWN)),
            b"\x12\x34" + flags.to_bytes(2, "big") + bytes(8),
        ):
            reply = await way(server.port, packet)
            assert (opcode, reply) == (
                opcode,
                packet[:2] + (0x8000 | flags | NOTIMP).to_bytes(2, "big") + bytes(8),
            )


@WAYS
@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 1231, 1232, 1233, 4096, 65535])
async def test_probe_of_sizes(size: int, way: Way, server: NameServer) -> None:
    """8.2.7: a datagram is no longer than the client takes, than 1232 bytes, and than 512 without EDNS."""
    most = max(512, min(size, 1232))
    packet = query("big.example.org", TXT, opt=(size, DO, b""))
    reply = await way(server.port, packet)
    cut = Heard(NOERROR, AA | TC, (0, 0, 0), (0, DO))
    whole = Heard(NOERROR, AA, (1, 0, 0), (0, DO))
    assert heard(packet, reply) == (cut if way is over_udp else whole)
    assert len(reply) <= (most if way is over_udp else 65535)
    assert (b"x" * 220 in reply) == (way is over_tcp)


async def test_sizes_are_used_to_the_last_byte() -> None:
    """A reply that has as many bytes as the client takes is sent, and one that is a byte longer is cut."""
    router = Router()

    @router.on("n{size:int}.example.org", "TXT")
    def padded(query: Query, size: int) -> Answer:
        # The header, the question, the fixed part of a record with a pointer, and what strings begin with.
        rest = size - 12 - (len(query.key) + 4) - 12 - 1
        strings = ["x" * 255] * (rest // 256)
        strings.append("x" * (rest - 256 * len(strings)))
        return Answer.of(query, " ".join(f'"{each}"' for each in strings))

    async with listen(LISTEN, router) as server:
        for limit, opt, more in (
            (512, None, 0),
            (512, (512, 0, b""), 11),
            (1232, (4096, 0, b""), 11),
        ):
            for size in (limit - 1, limit, limit + 1):
                packet = query(f"n{size - more}.example.org", TXT, opt=opt)
                reply = await over_udp(server.port, packet)
                told = heard(packet, reply)
                assert (size, told.flags & TC != 0) == (size, size > limit)
                assert (size, told.counts[0]) == (size, int(size <= limit))
                assert len(reply) <= limit
                if size <= limit:
                    assert len(reply) == size


@WAYS
async def test_probe_of_dnssec(way: Way, server: NameServer) -> None:
    """8.2.7 asks for keys: a zone without them has no data, which is said with DO."""
    packet = query("example.org", DNSKEY, opt=(512, DO, b""))
    told = heard(packet, await way(server.port, packet))
    assert told == Heard(NOERROR, AA, (0, 1, 0), (0, DO))


@WAYS
@pytest.mark.parametrize("name", ["example.net", ".", "org", "xexample.org"])
@pytest.mark.parametrize("qtype", [1, 2, SOA, ANY])
async def test_other_zones(name: str, qtype: int, way: Way, server: NameServer) -> None:
    """What is in no zone is refused, without records and without a hint where to go."""
    packet = query(name, qtype, flags=RD)
    told = heard(packet, await way(server.port, packet))
    assert told == Heard(REFUSED, RD, (0, 0, 0), None)


@WAYS
@pytest.mark.parametrize(
    ("qtype", "qclass", "rcode"),
    [
        pytest.param(TXT, 3, REFUSED, id="class CH"),
        pytest.param(SOA, 4, REFUSED, id="class HS"),
        pytest.param(SOA, 254, REFUSED, id="class NONE"),
        pytest.param(SOA, 255, REFUSED, id="class ANY"),
        pytest.param(SOA, 0, REFUSED, id="class 0"),
        pytest.param(SOA, 65280, REFUSED, id="a private class"),
        pytest.param(249, 1, FORMERR, id="TKEY"),
        pytest.param(250, 1, FORMERR, id="TSIG"),
        pytest.param(251, 1, REFUSED, id="IXFR"),
        pytest.param(252, 1, REFUSED, id="AXFR"),
        pytest.param(253, 1, NOTIMP, id="MAILB"),
        pytest.param(254, 1, NOTIMP, id="MAILA"),
    ],
)
async def test_what_is_no_data(
    qtype: int, qclass: int, rcode: int, way: Way, server: NameServer
) -> None:
    """Other classes than that of the internet, and types that stand for an operation, get a fitting error."""
    packet = query("example.org", qtype, qclass=qclass, opt=(1232, 0, b""))
    told = heard(packet, await way(server.port, packet))
    assert told == Heard(rcode, 0, (0, 0, 0), (0, 0))


@WAYS
@pytest.mark.parametrize("name", ["wWw.eXample.ORG", "WWW.EXAMPLE.ORG", r"\119ww.example.org"])
async def test_case_is_kept(name: str, way: Way, server: NameServer) -> None:
    """The question comes back in the case of the client, letter by letter."""
    packet = query(name)
    reply = await way(server.port, packet)
    assert reply[12 : len(packet)] == packet[12:]
    assert heard(packet, reply).counts == (1, 0, 0)


# What is malformed

QUESTION = query()[12:]
OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"
RECORD = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1"
TSIG_DATA = b"\0" + bytes(6) + b"\1\x2c" + b"\0\x10" + bytes(16) + b"\x12\x34" + bytes(4)
TSIG = b"\3key\0" + b"\0\xfa\0\xff\0\0\0\0" + len(TSIG_DATA).to_bytes(2, "big") + TSIG_DATA


def message(counts: tuple[int, int, int, int], data: bytes, flags: int = 0) -> bytes:
    """Make a message of parts."""
    numbers = b"".join(each.to_bytes(2, "big") for each in (flags, *counts))
    return b"\x12\x34" + numbers + data


ONE = (1, 0, 0, 0)
WITH_OPT = (1, 0, 0, 1)

MALFORMED = {
    "two questions": message((2, 0, 0, 0), QUESTION * 2),
    "no question": message((0, 0, 0, 0), b""),
    "no question and an OPT": message((0, 0, 0, 1), OPT),
    "65535 questions": message((65535, 0, 0, 0), QUESTION),
    "an answer": message((1, 1, 0, 0), QUESTION + RECORD),
    "an answer that is not there": message((1, 1, 0, 0), QUESTION),
    "an authority": message((1, 0, 1, 0), QUESTION + RECORD),
    "65535 additional records": message((1, 0, 0, 65535), QUESTION + OPT),
    "three additional records": message((1, 0, 0, 3), QUESTION + RECORD * 3),
    "an additional record that is not there": message(WITH_OPT, QUESTION),
    "half an additional record": message(WITH_OPT, QUESTION + OPT[:7]),
    "bytes after the end": message(ONE, QUESTION + b"\0"),
    "bytes after the OPT": message(WITH_OPT, QUESTION + OPT + b"\0"),
    "no type": message(ONE, QUESTION[:-4]),
    "half a class": message(ONE, QUESTION[:-1]),
    "a name without its end": message(ONE, b"\3www\7exam"),
    "a label of 64 bytes": message(ONE, b"\x40" + b"x" * 64 + b"\0\0\1\0\1"),
    "a label of type 0x80": message(ONE, b"\x80\0\0\1\0\1"),
    "a pointer to itself": message(ONE, b"\xc0\x0c\0\1\0\1"),
    "a pointer to what follows": message(ONE, b"\xc0\x10\0\1\0\1\3www\0"),
    "a pointer into the header": message(ONE, b"\3www\xc0\0\0\1\0\1"),
    "a name of 256 bytes": message(
        ONE,
        b"\x3f"
        + b"x" * 63
        + b"\x3f"
        + b"x" * 63
        + b"\x3f"
        + b"x" * 63
        + b"\x3e"
        + b"x" * 62
        + b"\0\0\1\0\1",
    ),
    "two OPT records": message((1, 0, 0, 2), QUESTION + OPT * 2),
    "two OPT records of different versions": message(
        (1, 0, 0, 2), QUESTION + OPT + OPT[:6] + b"\1" + OPT[7:]
    ),
    "an OPT with an owner": message(WITH_OPT, QUESTION + b"\1x" + OPT),
    "an option that is cut": message(WITH_OPT, QUESTION + OPT[:-2] + b"\0\3\0\x64\0"),
    "an option that is too long": message(WITH_OPT, QUESTION + OPT[:-2] + b"\0\4\0\x64\0\1"),
    "an OPT that is too long": message(WITH_OPT, QUESTION + OPT[:-2] + b"\0\1"),
    "a TSIG that is not the last": message((1, 0, 0, 2), QUESTION + TSIG + OPT),
}


@WAYS
@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed(name: str, way: Way, server: NameServer) -> None:
    """What is malformed gets FORMERR without records, and the next query its answer."""
    packet = MALFORMED[name]
    reply = await way(server.port, packet)
    parsed = dns.message.from_wire(reply)
    assert reply[:2] == packet[:2]
    assert parsed.flags & ~RD == dns.flags.QR | FORMERR
    assert not any(parsed.sections[1:])
    assert len(reply) <= len(packet) + len(OPT)
    assert heard(query(), await way(server.port, query())).counts == (1, 0, 0)


@WAYS
async def test_names_of_255_bytes(way: Way, server: NameServer) -> None:
    """The longest name that there can be is a name like others."""
    labels = [b"x" * 63, b"x" * 63, b"x" * 63, b"x" * 49, b"example", b"org", b""]
    name = b"".join(bytes((len(each),)) + each for each in labels)
    assert len(name) == 255
    packet = message(ONE, name + b"\0\1\0\1")
    assert heard(packet, await way(server.port, packet)) == Heard(NXDOMAIN, AA, (0, 1, 0), None)


@WAYS
async def test_signature_that_nobody_can_check(way: Way, server: NameServer) -> None:
    """A query with a TSIG is refused: there are no keys here."""
    packet = message(WITH_OPT, QUESTION + TSIG)
    reply = await way(server.port, packet)
    assert reply[:2] + reply[2:4] == packet[:2] + (0x8000 | REFUSED).to_bytes(2, "big")


SILENT = {
    "nothing": b"",
    "a byte": b"\x12",
    "half a header": b"\x12\x34\0\0\0\1",
    "a header without its last byte": query()[:11],
    **{f"a reply of opcode {opcode}": query(flags=0x8000 | opcode << 11) for opcode in range(16)},
    "a reply that is malformed": message((9, 9, 9, 9), b"\xff", 0x8180),
}


@pytest.mark.parametrize("name", SILENT)
async def test_no_reply_by_datagram(name: str, server: NameServer) -> None:
    """What is no query gets nothing: the next datagram that comes is the reply to the next query."""
    with socket_to(server.port) as sock:
        sock.send(SILENT[name])
        packet = query(ident=0xABCD)
        assert heard(packet, await exchange(sock, packet)).counts == (1, 0, 0)
    assert server.counters.ignored == 1


@pytest.mark.parametrize("name", SILENT)
async def test_no_reply_by_stream(name: str, server: NameServer) -> None:
    """What is no query ends the connection, and nothing but that."""
    async with Stream.to(server.port) as stream:
        stream.send(SILENT[name])
        assert await stream.rest() == b""
    assert heard(query(), await over_tcp(server.port, query())).counts == (1, 0, 0)


# Streams


@pytest.fixture
async def patient() -> AsyncIterator[tuple[NameServer, asyncio.Event]]:
    """Our server with names that wait until they are told."""
    router = Router()
    ready = asyncio.Event()

    @router.on("slow.example.org", "A")
    async def slow(query: Query) -> Answer:
        await ready.wait()
        return Answer.of(query, "192.0.2.100")

    async with listen(LISTEN, Chain(router, zone())) as server:
        yield server, ready


async def test_twenty_queries_in_one_segment(server: NameServer) -> None:
    """Queries that come together are all answered."""
    packets = [query(ident=number, qtype=number) for number in range(1, 21)]
    async with Stream.to(server.port) as stream:
        stream.send(*packets)
        replies = {reply[:2]: reply for reply in [await stream.receive() for _ in packets]}
    for packet in packets:
        assert heard(packet, replies[packet[:2]]).rcode == NOERROR


async def test_byte_by_byte(server: NameServer) -> None:
    """A query whose bytes come one by one, each in a segment of its own, is answered."""
    packet = query()
    async with Stream.to(server.port) as stream:
        sock = stream.writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for each in len(packet).to_bytes(2, "big") + packet:
            stream.writer.write(bytes((each,)))
            await asyncio.sleep(0)
        assert heard(packet, await stream.receive()).counts == (1, 0, 0)


async def test_first_is_answered_while_the_second_is_half_sent(server: NameServer) -> None:
    """A query that is whole does not wait for the one after it, wherever that is cut."""
    first, second = query(ident=1), query(ident=2, qtype=28)
    frame = len(second).to_bytes(2, "big") + second
    for cut in (1, 2, 3, 14, len(frame) - 1):
        async with Stream.to(server.port) as stream:
            stream.writer.write(len(first).to_bytes(2, "big") + first + frame[:cut])
            assert heard(first, await stream.receive()).counts == (1, 0, 0)
            stream.writer.write(frame[cut:])
            assert heard(second, await stream.receive()).counts == (1, 0, 0)


async def test_fast_overtakes_slow(patient: tuple[NameServer, asyncio.Event]) -> None:
    """A reply that is there leaves before one that is not, over TCP and over UDP."""
    server, ready = patient
    slow, fast = query("slow.example.org", ident=1), query(ident=2)
    async with Stream.to(server.port) as stream:
        stream.send(slow, fast)
        assert heard(fast, await stream.receive()).counts == (1, 0, 0)
        with socket_to(server.port) as sock:
            sock.send(slow)
            assert heard(fast, await exchange(sock, fast)).counts == (1, 0, 0)
            ready.set()
            assert heard(slow, await exchange(sock, b"")).counts == (1, 0, 0)
        assert heard(slow, await stream.receive()).counts == (1, 0, 0)


@pytest.mark.parametrize("is_slow", [False, True])
async def test_half_close(is_slow: bool, patient: tuple[NameServer, asyncio.Event]) -> None:
    """A client that says that it has no more to ask has its replies, then the end of the connection."""
    server, ready = patient
    packet = query("slow.example.org" if is_slow else "www.example.org")
    async with Stream.to(server.port) as stream:
        stream.send(packet)
        stream.writer.write_eof()
        asyncio.get_running_loop().call_later(0.05, ready.set)
        rest = await stream.rest()
    assert rest[:2] == len(rest[2:]).to_bytes(2, "big")
    assert heard(packet, rest[2:]).counts == (1, 0, 0)


@pytest.mark.parametrize("size", range(12))
async def test_frames_that_are_too_short(size: int, server: NameServer) -> None:
    """A frame with less than a header ends the connection, after the replies to what was before it."""
    packet = query()
    async with Stream.to(server.port) as stream:
        stream.send(packet, query()[:size], packet)
        rest = await stream.rest()
    assert rest[:2] == len(rest[2:]).to_bytes(2, "big")
    assert heard(packet, rest[2:]).counts == (1, 0, 0)
    assert server.stream_counters.malformed == 1


async def test_frames_that_are_too_long(server: NameServer) -> None:
    """A frame that is longer than any query ends the connection before it is sent."""
    async with Stream.to(server.port) as stream:
        stream.writer.write(b"\xff\xff")
        assert await stream.rest() == b""
    assert server.stream_counters.malformed == 1


async def test_large_replies_in_a_row(server: NameServer) -> None:
    """Many replies of which none fits into a segment all come whole, and never with TC."""
    packets = [query("big.example.org", TXT, ident=number) for number in range(100)]
    async with Stream.to(server.port) as stream:
        stream.send(*packets)
        replies = [await stream.receive() for _ in packets]
    assert [reply[:2] for reply in replies] == [packet[:2] for packet in packets]
    for packet, reply in zip(packets, replies, strict=True):
        assert heard(packet, reply) == Heard(NOERROR, AA, (1, 0, 0), None)
        assert all(each.encode() in reply for each in BIG)


# Where replies come from


async def test_reply_comes_from_whom_was_asked() -> None:
    """A server on all addresses replies from the one that was asked, which alone a client listens to."""
    async with listen("dns:0:interface=0.0.0.0", zone()) as server:
        for host in (HOST, "127.0.0.2", "127.1.2.3"):
            with socket_to(server.port, host) as sock:
                packet = query()
                assert heard(packet, await exchange(sock, packet)).counts == (1, 0, 0)


async def test_recursion_is_offered_to_whom_it_is_for() -> None:
    """RA is set where a client may have recursion, and only there."""

    class Recursive:
        """Says nothing, to everybody."""

        recursive = True

        def resolve(self, query: Query, /) -> Failure:
            return Failure(NXDOMAIN)

    for networks, flags in ((["127.0.0.0/8"], RA | RD), (["192.0.2.0/24"], RD)):
        async with listen(LISTEN, Recursive(), recursion=networks) as server:
            for way in (over_udp, over_tcp):
                packet = query(flags=RD)
                assert heard(packet, await way(server.port, packet)).flags == flags
