"""The rules for every reply, and the probes of RFC 8906, section 8, at a server of a zone and a forwarder."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, NamedTuple

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import pytest

from asyncendpoints.dns.names import encode_name
from asyncendpoints.dns.responder import Responder
from asyncendpoints.dns.zoneload import Zone

if TYPE_CHECKING:
    from asyncendpoints.dns.responder import Source

APEX = "zone.test"
ZONE = "\n".join(
    [
        "@ SOA ns root 1 7200 900 1209600 300",
        "@ NS ns",
        "ns A 192.0.2.1",
        "www A 192.0.2.2",
        *(f"many A 192.0.2.{each}" for each in range(1, 101)),
    ]
)
AA, TC, RD, RA, Z, AD, CD = 0x0400, 0x0200, 0x0100, 0x0080, 0x0040, 0x0020, 0x0010
DO = 0x8000


class Probe(NamedTuple):
    """A query."""

    name: str = APEX
    qtype: int = 6
    flags: int = 0
    opcode: int = 0
    version: int | None = None
    payload: int = 4096
    edns_flags: int = 0
    option: bytes = b""
    qclass: int = 1

    def packet(self) -> bytes:
        """Give its bytes."""
        counts = (1, 0, 0, int(self.version is not None))
        header = struct.pack("!6H", 0x1234, self.flags | self.opcode << 11, *counts)
        made = header + encode_name(self.name) + struct.pack("!HH", self.qtype, self.qclass)
        if self.version is None:
            return made
        fixed = (41, self.payload, 0, self.version, self.edns_flags, len(self.option))
        return made + b"\0" + struct.pack("!HHBBHH", *fixed) + self.option


class Reply(NamedTuple):
    """What a probe gets."""

    wire: bytes
    message: dns.message.Message

    @property
    def has_soa(self) -> bool:
        """Whether the SOA record that was asked for is there."""
        return any(each.rdtype == dns.rdatatype.SOA for each in self.message.answer)

    @property
    def flags(self) -> int:
        """The flags of the header, with the reserved one."""
        return int.from_bytes(self.wire[2:4], "big") & 0x07F0


@pytest.fixture
def responder() -> Responder:
    """Give a server of the zone."""
    return Responder(Zone.from_text(ZONE, APEX))


def source(responder: Responder, transport: str = "udp") -> Source:
    """Give where the queries come from."""
    return responder.source(
        ("127.0.0.1", 5353), None, socket.AF_INET, "udp" if transport == "udp" else "tcp"
    )


def ask(responder: Responder, packet: bytes, transport: str = "udp") -> Reply:
    """Ask twice, as the second reply may be remembered, and hold both against what every reply has to be."""
    replies = [responder.respond(packet, source(responder, transport)) for _ in range(2)]
    assert isinstance(replies[0], bytes)
    assert replies[1] == replies[0]
    message = dns.message.from_wire(replies[0])
    assert message.id == int.from_bytes(packet[:2], "big")
    assert message.flags & dns.flags.QR
    assert message.opcode() == packet[2] >> 3 & 15
    return Reply(replies[0], message)


TRANSPORTS = pytest.mark.parametrize("transport", ["udp", "tcp"])
OPTION_100 = b"\0\x64\0\0"


# RFC 8906, section 8.1: without EDNS


@TRANSPORTS
@pytest.mark.parametrize(
    ("probe", "flags"),
    [
        (Probe(), AA),
        (Probe(flags=CD), AA | CD),
        (Probe(flags=AD), AA),
        (Probe(flags=Z), AA),
        (Probe(flags=RD), AA | RD),
        (Probe(flags=AA | TC | RA | 0xF), AA),
    ],
)
def test_flags(responder: Responder, probe: Probe, flags: int, transport: str) -> None:
    """A plain query gets the SOA record with AA and no OPT; RD and CD come back, and no other flag."""
    reply = ask(responder, probe.packet(), transport)
    assert (reply.message.rcode(), reply.has_soa, reply.flags, reply.message.edns) == (
        0,
        True,
        flags,
        -1,
    )


@TRANSPORTS
@pytest.mark.parametrize("opcode", [*range(1, 16)])
@pytest.mark.parametrize("flags", [0, 0x07FF])
def test_opcodes(responder: Responder, opcode: int, flags: int, transport: str) -> None:
    """Another opcode gets NOTIMP in a header without a flag and without anything behind it."""
    reply = ask(responder, Probe(opcode=opcode, flags=flags, version=0).packet(), transport)
    assert reply.message.rcode() == dns.rcode.NOTIMP
    assert (len(reply.wire), reply.flags) == (12, 0)
    assert reply.wire[4:12] == bytes(8)


@pytest.mark.parametrize(
    "rtype", [*range(1, 41), *range(42, 110), *range(256, 261), 1000, 32769, 65280]
)
@pytest.mark.parametrize(("name", "rcode"), [(APEX, 0), (f"nothing.{APEX}", 3)])
def test_types(responder: Responder, rtype: int, name: str, rcode: int) -> None:
    """A type is never refused, known or not: there is data, none, or no such name, with AA."""
    reply = ask(responder, Probe(name, rtype).packet())
    assert (reply.message.rcode(), reply.flags) == (rcode, AA)
    assert len(reply.message.question) == 1


# RFC 8906, section 8.2: with EDNS


@TRANSPORTS
@pytest.mark.parametrize(
    ("probe", "edns_flags"),
    [
        (Probe(version=0), 0),
        (Probe(version=0, option=OPTION_100), 0),
        (Probe(version=0, edns_flags=0x0040), 0),
        (Probe(version=0, edns_flags=0x7FFF), 0),
        (Probe(version=0, edns_flags=DO), DO),
        # NSID, a cookie, a subnet, EXPIRE, keep-alive, padding.
        (
            Probe(
                version=0,
                option=bytes.fromhex(
                    "00030000 000a0008 0102030405060708 00080004 00010000 00090000 000b0000 000c0002 0000"
                ),
            ),
            0,
        ),
    ],
)
def test_edns(responder: Responder, probe: Probe, edns_flags: int, transport: str) -> None:
    """Options and flags that nobody knows are ignored and do not come back; DO does."""
    reply = ask(responder, probe.packet(), transport)
    assert (reply.message.rcode(), reply.has_soa, reply.flags) == (0, True, AA)
    assert (reply.message.edns, reply.message.ednsflags & 0xFFFF) == (0, edns_flags)
    assert reply.message.options == ()
    assert reply.message.payload == 1232


@TRANSPORTS
@pytest.mark.parametrize("version", [1, 100, 255])
@pytest.mark.parametrize("option", [b"", OPTION_100])
@pytest.mark.parametrize(("edns_flags", "do"), [(0, 0), (0x0040, 0), (DO, DO)])
def test_versions(
    responder: Responder, version: int, option: bytes, edns_flags: int, do: int, transport: str
) -> None:
    """Another version of EDNS gets BADVERS with an OPT of version 0 and without an answer."""
    probe = Probe(version=version, option=option, edns_flags=edns_flags, flags=RD)
    reply = ask(responder, probe.packet(), transport)
    assert (reply.message.rcode(), reply.has_soa, reply.flags) == (dns.rcode.BADVERS, False, RD)
    assert (reply.message.edns, reply.message.options) == (0, ())
    assert reply.message.ednsflags & 0xFFFF == do
    assert not [*reply.message.answer, *reply.message.authority]


@pytest.mark.parametrize(
    ("probe", "limit"),
    [
        (Probe(f"many.{APEX}", 1), 512),
        (Probe(f"many.{APEX}", 1, version=0, payload=0), 512),
        (Probe(f"many.{APEX}", 1, version=0, payload=512), 512),
        (Probe(f"many.{APEX}", 1, version=0, payload=1000), 1000),
        (Probe(f"many.{APEX}", 1, version=0, payload=1232), 1232),
        (Probe(f"many.{APEX}", 1, version=0, payload=65535), 1232),
    ],
)
def test_truncation(responder: Responder, probe: Probe, limit: int) -> None:
    """What is larger than the client or the server takes gets TC, with question and OPT alone."""
    reply = ask(responder, probe.packet())
    assert len(reply.wire) <= limit
    assert reply.flags == TC | AA
    assert not [*reply.message.answer, *reply.message.authority, *reply.message.additional]
    assert reply.message.edns == (-1 if probe.version is None else 0)


@pytest.mark.parametrize("version", [None, 0])
def test_no_truncation_over_tcp(responder: Responder, version: int | None) -> None:
    """Over TCP the same query gets all of it."""
    reply = ask(responder, Probe(f"many.{APEX}", 1, version=version, payload=512).packet(), "tcp")
    assert reply.flags == AA
    assert len(reply.message.answer[0]) == 100


# The rules for every reply, and malformed input

PROBES = [
    Probe(),
    Probe(f"WwW.{APEX.upper()}", 1),
    Probe(f"nothing.{APEX}", version=0),
    Probe("elsewhere.test", flags=RD),
    Probe("elsewhere.test", version=0),
    Probe(qtype=255),
    Probe(qtype=252, version=0),
    Probe(qtype=251),
    Probe(qtype=250, version=0),
    Probe(qtype=253),
    Probe(qclass=3, version=0),
    Probe(qclass=255),
    Probe(".", 2),
]


@TRANSPORTS
@pytest.mark.parametrize("probe", PROBES)
def test_question_comes_back(responder: Responder, probe: Probe, transport: str) -> None:
    """Whatever the outcome, the question comes back in its case, and an OPT where there was one."""
    packet = probe.packet()
    reply = ask(responder, packet, transport)
    end = 12 + len(encode_name(probe.name)) + 4
    assert reply.wire[12:end] == packet[12:end]
    assert reply.message.edns == (-1 if probe.version is None else 0)
    assert reply.flags & (TC | RA | Z | AD | CD) == 0
    assert reply.flags & RD == probe.flags & RD


@pytest.mark.parametrize(
    ("probe", "rcode", "flags"),
    [
        (Probe("elsewhere.test"), dns.rcode.REFUSED, 0),
        (Probe("test"), dns.rcode.REFUSED, 0),
        (Probe("."), dns.rcode.REFUSED, 0),
        (Probe(qclass=3), dns.rcode.REFUSED, 0),
        (Probe(qclass=4), dns.rcode.REFUSED, 0),
        (Probe(qclass=254), dns.rcode.REFUSED, 0),
        (Probe(qclass=255), dns.rcode.REFUSED, 0),
        (Probe(qtype=252), dns.rcode.REFUSED, 0),
        (Probe(qtype=251), dns.rcode.REFUSED, 0),
        (Probe(qtype=255), dns.rcode.NOERROR, AA),
        (Probe(f"nothing.{APEX}", 255), dns.rcode.NXDOMAIN, AA),
    ],
)
def test_codes(responder: Responder, probe: Probe, rcode: int, flags: int) -> None:
    """What is not served is refused, without AA and without records; "any" gets one set of records."""
    reply = ask(responder, probe.packet())
    assert (reply.message.rcode(), reply.flags) == (rcode, flags)
    assert len(reply.message.answer) <= 1


@pytest.mark.parametrize(
    "probe", [Probe("elsewhere.test"), Probe("."), Probe(qclass=3), Probe(qtype=252)]
)
def test_refusals_are_empty(responder: Responder, probe: Probe) -> None:
    """A refusal has no records, and so refers nobody to the root."""
    reply = ask(responder, probe.packet())
    assert not [*reply.message.answer, *reply.message.authority, *reply.message.additional]


@TRANSPORTS
@pytest.mark.parametrize("opcode", range(16))
def test_replies_get_nothing(responder: Responder, opcode: int, transport: str) -> None:
    """A reply gets nothing, whatever its opcode."""
    packet = Probe(flags=0x8000, opcode=opcode).packet()
    assert responder.respond(packet, source(responder, transport)) is None


@pytest.mark.parametrize("size", range(12))
def test_less_than_a_header_gets_nothing(responder: Responder, size: int) -> None:
    """Neither does less than a header."""
    assert responder.respond(Probe().packet()[:size], source(responder)) is None


WHOLE = Probe().packet()
OPT = Probe(version=0).packet()[len(WHOLE) :]


def counted(*counts: int, rest: bytes = b"", question: bytes = WHOLE[12:]) -> bytes:
    """Make a query with other counts."""
    return struct.pack("!6H", 0x1234, RD, *counts) + question + rest


@TRANSPORTS
@pytest.mark.parametrize(
    "packet",
    [
        counted(0, 0, 0, 0, question=b""),
        counted(2, 0, 0, 0, question=WHOLE[12:] * 2),
        counted(1, 1, 0, 0, rest=OPT),
        counted(1, 0, 1, 0, rest=OPT),
        counted(1, 0, 0, 3, rest=OPT * 3),
        counted(1, 0, 0, 2, rest=OPT * 2),
        counted(1, 0, 0, 1, rest=b"\1a" + OPT),
        counted(1, 0, 0, 1, rest=OPT[:-1] + b"\2\0\1"),
        counted(1, 0, 0, 0, rest=b"\0"),
        counted(1, 0, 0, 0, question=WHOLE[12:-1]),
        counted(1, 0, 0, 0, question=b"\x40a\0\0\1\0\1"),
        counted(1, 0, 0, 0, question=b"\x80a\0\0\1\0\1"),
        counted(1, 0, 0, 0, question=b"\xc0\x0c\0\1\0\1"),
        counted(1, 0, 0, 0, question=b"\1a\xc0\xff\0\1\0\1"),
        counted(1, 0, 0, 0, question=b"\1a" * 128 + b"\0\0\1\0\1"),
    ],
)
def test_malformed(responder: Responder, packet: bytes, transport: str) -> None:
    """What is malformed gets FORMERR without records, and with RD as it came."""
    reply = ask(responder, packet, transport)
    assert (reply.message.rcode(), reply.flags) == (dns.rcode.FORMERR, RD)
    assert not [*reply.message.answer, *reply.message.authority, *reply.message.additional]
