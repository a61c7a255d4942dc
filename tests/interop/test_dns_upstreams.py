"""Knot, Unbound and dnsmasq behind our server: what they say reaches the client as it is."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import dns.message
import pytest

from asyncendpoints.dns.cache import Cache
from asyncendpoints.dns.forward import Forward
from asyncendpoints.dns.listening import listen
from tests.interop.dns_programs import (
    BIG,
    HOST,
    LISTEN,
    ask,
    ask_ttl,
    dnsmasq,
    knot,
    over_tcp,
    over_udp,
    query,
    run,
    socket_to,
    unbound,
)
from tests.support import unused_port
from tests.tls_material import Authority, write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from asyncendpoints.dns.listening import NameServer

pytestmark = pytest.mark.interop

ROOT = Authority()

#: What the zone gives to a client with recursion, whoever is in between.
ANSWERS = [
    ("www.example.org", "A", "NOERROR", ["www.example.org. A 192.0.2.80"]),
    ("www.example.org", "AAAA", "NOERROR", ["www.example.org. AAAA 2001:db8::80"]),
    ("example.org", "MX", "NOERROR", ["example.org. MX 10 mail.example.org."]),
    ("text.example.org", "TXT", "NOERROR", ['text.example.org. TXT "hello world"']),
    (
        "_sip._tcp.example.org",
        "SRV",
        "NOERROR",
        ["_sip._tcp.example.org. SRV 1 2 5060 mail.example.org."],
    ),
    (
        "chain.example.org",
        "A",
        "NOERROR",
        [
            "chain.example.org. CNAME alias.example.org.",
            "alias.example.org. CNAME www.example.org.",
            "www.example.org. A 192.0.2.80",
        ],
    ),
    (
        "tonothing.example.org",
        "A",
        "NXDOMAIN",
        ["tonothing.example.org. CNAME nope.example.org."],
    ),
    (
        "raw.example.org",
        "TYPE731",
        "NOERROR",
        [r"raw.example.org. TYPE731 \# 4 0a000001"],
    ),
    ("a.b.wild.example.org", "A", "NOERROR", ["a.b.wild.example.org. A 192.0.2.3"]),
    ("nope.example.org", "A", "NXDOMAIN", []),
    ("www.example.org", "MX", "NOERROR", []),
    ("www.example.org", "TYPE65400", "NOERROR", []),
]


@asynccontextmanager
async def forwarding(
    *upstreams: str, cached: bool = False
) -> AsyncIterator[tuple[NameServer, Forward]]:
    """Run our server in front of others."""
    forward = Forward(*upstreams)
    async with listen(LISTEN, Cache(forward) if cached else forward) as server:
        yield server, forward


async def resolved(port: int) -> None:
    """See that a client gets what the zone has: over UDP and TCP, also what fits into no datagram."""
    for tcp in (False, True):
        for name, kind, status, answer in ANSWERS:
            assert (name, await ask(port, name, kind, tcp=tcp)) == (name, (status, answer))
    status, big = await ask(port, "big.example.org", "TXT", tcp=True)
    assert (status, len(big)) == ("NOERROR", len(BIG))
    assert {line.split('"')[1] for line in big} == set(BIG)
    cut = dns.message.from_wire(await over_udp(port, query("big.example.org", 16, flags=0x0100)))
    assert (cut.flags & 0x0200, cut.answer) == (0x0200, [])


@pytest.fixture
async def knot_port(program: Callable[[str], str], tmp_path: Path) -> AsyncIterator[int]:
    """Knot with the zone."""
    async with knot(program, tmp_path) as port:
        yield port


def stub(port: int) -> str:
    """Have Unbound find the zone at a port of this machine."""
    return f'stub-zone:\n  name: "example.org"\n  stub-addr: {HOST}@{port}\n'


# Knot


@pytest.mark.parametrize("kind", ["udp", "dns", "tcp"])
@pytest.mark.parametrize("cached", [False, True])
async def test_knot(kind: str, cached: bool, knot_port: int) -> None:
    """What Knot knows reaches the client, and over TCP what Knot cuts."""
    async with forwarding(f"{kind}:{HOST}:{knot_port}", cached=cached) as (server, forward):
        await resolved(server.port)
        (stats,) = forward.stats
        assert (stats.timeouts, stats.errors, stats.unwanted) == (0, 0, 0)
        assert (stats.truncated > 0) == (kind != "tcp")
        assert server.counters.failed == 0


async def test_ttls_are_those_of_the_upstream(knot_port: int) -> None:
    """Without a cache, the client gets the TTLs that the upstream gives, every time."""
    async with forwarding(f"udp:{HOST}:{knot_port}") as (server, _):
        for _ in range(3):
            assert await ask_ttl(server.port, "www.example.org") == 3600
            assert await ask_ttl(server.port, "fleeting.example.org") == 1


async def test_negative_answers_have_their_soa(knot_port: int) -> None:
    """No data and no such name come with the SOA that says how long they hold."""
    async with forwarding(f"udp:{HOST}:{knot_port}") as (server, _):
        for name, qtype in (("nope.example.org", 1), ("www.example.org", 15)):
            reply = await over_udp(server.port, query(name, qtype, flags=0x0100))
            (soa,) = dns.message.from_wire(reply).authority
            assert (str(soa.name), soa.ttl, soa[0].serial) == ("example.org.", 300, 1)


async def test_flags_are_those_of_a_forwarder(knot_port: int) -> None:
    """The client is told that recursion is there, and not that this is the authority."""
    async with forwarding(f"udp:{HOST}:{knot_port}") as (server, _):
        for flags, expected in ((0x0100, 0x8180), (0x0130, 0x8190)):
            reply = await over_udp(server.port, query(flags=flags))
            assert reply[2:4] == expected.to_bytes(2, "big")


async def test_case_of_the_client_is_kept(knot_port: int) -> None:
    """Question and answer have the case of the client, whatever case it was asked for or kept with."""
    packets = [
        query(name, flags=0x0100)
        for name in ("wWw.eXaMpLe.OrG", "WWW.example.org", "aLiaS.example.ORG")
    ]
    async with forwarding(f"udp:{HOST}:{knot_port}", cached=True) as (server, forward):
        for _ in range(2):
            for packet in packets:
                reply = await over_udp(server.port, packet)
                assert reply[12 : len(packet)] == packet[12:]
                asked = dns.message.from_wire(packet).question[0].name
                assert str(dns.message.from_wire(reply).answer[0].name) == str(asked)
        assert forward.stats[0].sent == 2


async def test_a_second_upstream_when_the_first_is_down(knot_port: int) -> None:
    """With a closed port in front of it, Knot answers all the same."""
    async with forwarding(f"udp:{HOST}:{unused_port()}", f"udp:{HOST}:{knot_port}") as (
        server,
        forward,
    ):
        await resolved(server.port)
        dead, alive = forward.stats
        assert dead.answered == dead.timeouts == 0
        assert alive.answered > 0


async def test_without_any_upstream() -> None:
    """With a closed port and nothing else the client hears SERVFAIL at once, with the reason."""
    async with forwarding(f"udp:{HOST}:{unused_port()}") as (server, forward):
        packet = query(flags=0x0100, opt=(1232, 0, b""))
        for way in (over_udp, over_tcp):
            parsed = dns.message.from_wire(await way(server.port, packet))
            assert parsed.rcode() == 2
            assert [option.to_text() for option in parsed.options] == [
                "EDE 23 (Network Error): no upstream can be reached"
            ]
        assert forward.stats[0].timeouts == 0


# Unbound


@pytest.mark.parametrize("kind", ["udp", "tcp"])
async def test_unbound(
    kind: str, knot_port: int, program: Callable[[str], str], tmp_path: Path
) -> None:
    """What Unbound finds at Knot reaches the client."""
    async with (
        unbound(program, tmp_path, stub(knot_port)) as port,
        forwarding(f"{kind}:{HOST}:{port}") as (server, forward),
    ):
        await resolved(server.port)
        (stats,) = forward.stats
        assert (stats.timeouts, stats.errors, stats.unwanted) == (0, 0, 0)


@asynccontextmanager
async def unbound_over_tls(
    find: Callable[[str], str], folder: Path, knot_port: int
) -> AsyncIterator[tuple[int, str]]:
    """Run Unbound with a certificate of ours; give its port for TLS and the path of the root."""
    issued = ROOT.issue("dns.example.org")
    key = write(folder / "server.key", issued.key_pem)
    certificate = write(folder / "server.pem", issued.pem)
    roots = write(folder / "roots.pem", ROOT.pem)
    port = unused_port()
    more = [f'tls-service-key: "{key}"', f'tls-service-pem: "{certificate}"']
    more += [f"tls-port: {port}", f"interface: {HOST}@{port}"]
    async with unbound(find, folder, stub(knot_port), more):
        yield port, roots


async def test_unbound_over_tls(
    knot_port: int, program: Callable[[str], str], tmp_path: Path
) -> None:
    """What Unbound says over TLS reaches the client, all of it over one connection."""
    async with unbound_over_tls(program, tmp_path, knot_port) as (port, roots):
        text = f"tls:{HOST}:{port}:hostname=dns.example.org:trust_roots={roots}"
        async with forwarding(text) as (server, forward):
            await resolved(server.port)
            (stats,) = forward.stats
            assert (stats.timeouts, stats.errors, stats.unwanted) == (0, 0, 0)
            assert stats.answered == stats.sent


async def test_unbound_with_another_name(
    knot_port: int, program: Callable[[str], str], tmp_path: Path
) -> None:
    """An upstream whose certificate has another name is told nothing: the client hears SERVFAIL."""
    async with unbound_over_tls(program, tmp_path, knot_port) as (port, roots):
        text = f"tls:{HOST}:{port}:hostname=other.example.org:trust_roots={roots}"
        async with forwarding(text) as (server, forward):
            assert await ask(server.port) == ("SERVFAIL", [])
            assert forward.stats[0].answered == 0


async def test_unbound_refuses(program: Callable[[str], str], tmp_path: Path) -> None:
    """The client hears REFUSED from an upstream that refuses."""
    refusing = [f"access-control: {HOST}/32 refuse"]
    async with (
        unbound(program, tmp_path, more=refusing) as port,
        forwarding(f"udp:{HOST}:{port}", cached=True) as (server, _),
    ):
        assert await ask(server.port) == ("REFUSED", [])
        assert await ask(server.port, tcp=True) == ("REFUSED", [])


async def test_unbound_fails(knot_port: int, program: Callable[[str], str], tmp_path: Path) -> None:
    """The client hears SERVFAIL from an upstream that cannot find out, and the rest from it meanwhile."""
    lame = f'stub-zone:\n  name: "lame.example"\n  stub-addr: {HOST}@{knot_port}\n'
    async with (
        unbound(program, tmp_path, stub(knot_port) + lame) as port,
        forwarding(f"udp:{HOST}:{port}", cached=True) as (server, forward),
    ):
        assert await ask(server.port, "www.lame.example") == ("SERVFAIL", [])
        assert await ask(server.port, "www.lame.example", tcp=True) == ("SERVFAIL", [])
        assert await ask(server.port) == (ANSWERS[0][2], ANSWERS[0][3])
        (stats,) = forward.stats
        assert (stats.answered, stats.timeouts, stats.errors) == (2, 0, 0)


async def test_local_data_of_unbound(program: Callable[[str], str], tmp_path: Path) -> None:
    """What the configuration of Unbound says about names reaches the client."""
    more = [
        'local-zone: "local.example." static',
        'local-data: "a.local.example. 60 IN A 192.0.2.7"',
        "local-data: \"a.local.example. 60 IN TXT 'one' 'two'\"",
    ]
    async with (
        unbound(program, tmp_path, more=more) as port,
        forwarding(f"udp:{HOST}:{port}") as (server, _),
    ):
        assert await ask(server.port, "a.local.example") == (
            "NOERROR",
            ["a.local.example. A 192.0.2.7"],
        )
        assert await ask(server.port, "a.local.example", "TXT") == (
            "NOERROR",
            ['a.local.example. TXT "one" "two"'],
        )
        assert await ask(server.port, "a.local.example", "AAAA") == ("NOERROR", [])
        assert await ask(server.port, "b.local.example") == ("NXDOMAIN", [])


async def asked_of(find: Callable[[str], str], folder: Path, port: int) -> int:
    """Give how many queries Unbound has had."""
    command = (find("unbound-control"), "-c", str(folder / f"unbound-{port}.conf"))
    code, said = await run(*command, "stats_noreset")
    found = re.search(r"^total\.num\.queries=(\d+)$", said, re.MULTILINE)
    assert code == 0
    assert found is not None
    return int(found[1])


async def test_cache_asks_once(program: Callable[[str], str], tmp_path: Path) -> None:
    """However often clients ask, in whatever case and way, Unbound is asked once; the TTL counts down."""
    more = [
        'local-zone: "local.example." static',
        'local-data: "a.local.example. 60 IN A 192.0.2.7"',
        'local-data: "local.example. 60 IN SOA ns. host. 1 2 3 4 30"',
    ]
    async with (
        unbound(program, tmp_path, more=more) as port,
        forwarding(f"udp:{HOST}:{port}", cached=True) as (server, _),
    ):
        before = await asked_of(program, tmp_path, port)
        await asyncio.gather(*[ask(server.port, "a.local.example") for _ in range(20)])
        for name in ("a.local.example", "A.LOCAL.example"):
            for tcp in (False, True):
                status, (answer,) = await ask(server.port, name, tcp=tcp)
                assert (status, answer.split()[-1]) == ("NOERROR", "192.0.2.7")
        for _ in range(3):
            assert await ask(server.port, "b.local.example") == ("NXDOMAIN", [])
            assert await ask(server.port, "a.local.example", "AAAA") == ("NOERROR", [])
        seen: list[int] = []
        async with asyncio.timeout(20):
            while len(seen) < 3:
                ttl = await ask_ttl(server.port, "a.local.example")
                if ttl not in seen:
                    seen.append(ttl)
        assert seen == list(range(seen[0], seen[0] - 3, -1))
        assert seen[0] in {60, 59, 58}
        assert await asked_of(program, tmp_path, port) == before + 3


async def test_cache_asks_again(knot_port: int) -> None:
    """What lives for a second is asked for again after it, and never shown with a TTL of more or less."""
    async with forwarding(f"udp:{HOST}:{knot_port}", cached=True) as (server, forward):
        async with asyncio.timeout(20):
            assert await ask_ttl(server.port, "fleeting.example.org") == 1
            while forward.stats[0].sent < 3:
                assert await ask_ttl(server.port, "fleeting.example.org") == 1


# dnsmasq


@pytest.mark.parametrize("kind", ["udp", "tcp"])
async def test_dnsmasq(kind: str, program: Callable[[str], str], tmp_path: Path) -> None:
    """What dnsmasq knows reaches the client, and so does that it knows nothing or refuses."""
    options = ["--host-record=a.local.example,192.0.2.7,2001:db8::7,60", "--local=/local.example/"]
    options += [
        "--cname=b.local.example,a.local.example,60",
        "--txt-record=a.local.example,one,two",
    ]
    options += [f"--txt-record=big.local.example,{','.join(BIG)}"]
    async with (
        dnsmasq(program, tmp_path, *options) as port,
        forwarding(f"{kind}:{HOST}:{port}") as (server, forward),
    ):
        told = await ask(server.port, "a.local.example")
        assert told == ("NOERROR", ["a.local.example. A 192.0.2.7"])
        assert await ask(server.port, "b.local.example", "AAAA") == (
            "NOERROR",
            [
                "b.local.example. CNAME a.local.example.",
                "a.local.example. AAAA 2001:db8::7",
            ],
        )
        assert await ask(server.port, "a.local.example", "TXT") == (
            "NOERROR",
            ['a.local.example. TXT "one" "two"'],
        )
        strings = " ".join(f'"{each}"' for each in BIG)
        assert await ask(server.port, "big.local.example", "TXT", tcp=True) == (
            "NOERROR",
            [f"big.local.example. TXT {strings}"],
        )
        assert await ask(server.port, "a.local.example", "MX") == ("NOERROR", [])
        assert await ask(server.port, "c.local.example") == ("NXDOMAIN", [])
        assert await ask(server.port, "a.other.example") == ("REFUSED", [])
        (stats,) = forward.stats
        assert (stats.timeouts, stats.errors, stats.unwanted) == (0, 0, 0)


async def test_many_questions_at_once(program: Callable[[str], str], tmp_path: Path) -> None:
    """A thousand different questions that come together are all answered, each with its own answer."""
    options = [
        f"--address=/n{number}.local.example/10.0.{number >> 8}.{number & 255}"
        for number in range(1000)
    ]
    async with (
        dnsmasq(program, tmp_path, *options, "--dns-forward-max=2000") as port,
        forwarding(f"dns:{HOST}:{port}") as (server, forward),
    ):
        loop = asyncio.get_running_loop()
        found = {}
        with socket_to(server.port) as sock:
            for start in range(0, 1000, 50):
                for number in range(start, start + 50):
                    name = f"n{number}.local.example"
                    sock.send(query(name, flags=0x0100, ident=number))
                async with asyncio.timeout(20):
                    for _ in range(50):
                        reply = await loop.sock_recv(sock, 65535)
                        found[int.from_bytes(reply[:2], "big")] = reply[-4:]
        assert found == {
            number: bytes((10, 0, number >> 8, number & 255)) for number in range(1000)
        }
        assert forward.stats[0].answered == 1000
