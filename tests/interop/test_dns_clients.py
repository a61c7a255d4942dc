"""Our name server as the programs see it that others ask with: dig, kdig, dnsperf, Unbound and dnsmasq."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import pytest

from asyncendpoints.dns.chain import Chain
from asyncendpoints.dns.listening import listen
from asyncendpoints.dns.outcome import Answer
from asyncendpoints.dns.router import Router
from asyncendpoints.dns.zoneload import Zone
from asyncendpoints.dns.zones import Zones
from tests.interop.dns_programs import (
    BIG,
    HOST,
    LISTEN,
    Stream,
    dnsmasq,
    query,
    run,
    unbound,
    zone,
)
from tests.tls_material import Authority, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from asyncendpoints.dns.query import Query

pytestmark = pytest.mark.interop

ROOT = Authority()

REVERSE = """
$TTL 3600
$ORIGIN 2.0.192.in-addr.arpa.
@  SOA ns1.example.org. hostmaster.example.org. 1 7200 900 1209600 300
   NS ns1.example.org.
80 PTR www.example.org.
"""


class Said(NamedTuple):
    """What dig or kdig prints."""

    status: str
    flags: set[str]
    answer: list[str]
    text: str


def said(text: str) -> Said:
    """Read what dig or kdig prints; neither may have anything to complain about."""
    assert not re.search(
        "malformed|mismatch|extra bytes|unexpected|bad packet", text, re.IGNORECASE
    )
    status = re.search(r"status: (\w+)", text)
    flags = re.search(r"[Ff]lags: ([\w ]*);", text)
    assert status is not None
    assert flags is not None
    section = text.partition("ANSWER SECTION:\n")[2].partition("\n\n")[0]
    answer = [" ".join(line.split()) for line in section.splitlines()]
    return Said(status[1], set(flags[1].split()), answer, text)


async def dig(find: Callable[[str], str], port: int, *arguments: str) -> Said:
    """Ask with dig, which takes nothing from the settings of whoever runs this."""
    command = (find("dig"), "-r", f"@{HOST}", "-p", str(port), "+tries=1", "+time=10")
    code, text = await run(*command, *arguments)
    assert code == 0, text
    return said(text)


WWW = "www.example.org. 3600 IN A 192.0.2.80"
SOA = "example.org. 3600 IN SOA ns1.example.org. hostmaster.example.org. 1 7200 900 1209600 300"


@pytest.mark.parametrize(
    ("arguments", "status", "flags", "answer"),
    [
        ("www.example.org", "NOERROR", "qr aa rd", [WWW]),
        ("+tcp www.example.org", "NOERROR", "qr aa rd", [WWW]),
        ("+noedns www.example.org", "NOERROR", "qr aa rd", [WWW]),
        ("+norec +noad www.example.org", "NOERROR", "qr aa", [WWW]),
        ("+cd www.example.org", "NOERROR", "qr aa rd cd", [WWW]),
        ("+zflag www.example.org", "NOERROR", "qr aa rd", [WWW]),
        ("+dnssec www.example.org", "NOERROR", "qr aa rd", [WWW]),
        ("+bufsize=512 www.example.org", "NOERROR", "qr aa rd", [WWW]),
        ("+ednsopt=65001:00ff www.example.org", "NOERROR", "qr aa rd", [WWW]),
        ("+ednsflags=0x40 www.example.org", "NOERROR", "qr aa rd", [WWW]),
        ("+cookie www.example.org", "NOERROR", "qr aa rd", [WWW]),
        ("+nsid +expire +subnet=192.0.2.0/24 www.example.org", "NOERROR", "qr aa rd", [WWW]),
        ("+tcp +keepalive +padding=128 www.example.org", "NOERROR", "qr aa rd", [WWW]),
        ("+edns=1 +noednsneg www.example.org", "BADVERS", "qr rd", []),
        ("+edns=1 www.example.org", "NOERROR", "qr aa rd", [WWW]),
        ("+opcode=status www.example.org", "NOTIMP", "qr", []),
        ("+opcode=15 +header-only", "NOTIMP", "qr", []),
        ("+header-only", "FORMERR", "qr rd", []),
        ("wWw.ExAmPlE.oRg", "NOERROR", "qr aa rd", ["wWw.ExAmPlE.oRg." + WWW[16:]]),
        (
            "chain.example.org",
            "NOERROR",
            "qr aa rd",
            [
                "chain.example.org. 3600 IN CNAME alias.example.org.",
                "alias.example.org. 3600 IN CNAME www.example.org.",
                WWW,
            ],
        ),
        (
            "raw.example.org TYPE731",
            "NOERROR",
            "qr aa rd",
            [r"raw.example.org. 3600 IN TYPE731 \# 4 0A000001"],
        ),
        (
            "a.b.wild.example.org",
            "NOERROR",
            "qr aa rd",
            ["a.b.wild.example.org. 3600 IN A 192.0.2.3"],
        ),
        ("nope.example.org", "NXDOMAIN", "qr aa rd", []),
        ("www.example.org MX", "NOERROR", "qr aa rd", []),
        ("www.example.net", "REFUSED", "qr rd", []),
        ("version.bind TXT CH", "REFUSED", "qr rd", []),
        (
            "example.org ANY +notcp",
            "NOERROR",
            "qr aa rd",
            ['example.org. 3600 IN HINFO "RFC8482" ""'],
        ),
        (
            "chain.example.org ANY +notcp",
            "NOERROR",
            "qr aa rd",
            ["chain.example.org. 3600 IN CNAME alias.example.org."],
        ),
        (
            "-x 192.0.2.80",
            "NOERROR",
            "qr aa rd",
            ["80.2.0.192.in-addr.arpa. 3600 IN PTR www.example.org."],
        ),
        ("example.org SOA", "NOERROR", "qr aa rd", [SOA]),
    ],
)
async def test_dig(
    arguments: str, status: str, flags: str, answer: list[str], program: Callable[[str], str]
) -> None:
    """Dig gets what it asks for, with the flags that belong there, and finds nothing wrong with the reply."""
    async with listen(LISTEN, Zones(zone(), Zone.from_text(REVERSE))) as server:
        told = await dig(program, server.port, *arguments.split())
        assert told[:3] == (status, set(flags.split()), answer)


async def test_dig_sees_edns(program: Callable[[str], str]) -> None:
    """EDNS is answered with EDNS of 1232 bytes, with DO where that was set, and with no option."""
    async with listen(LISTEN, zone()) as server:
        plain = await dig(program, server.port, "+noedns", "www.example.org")
        assert "OPT PSEUDOSECTION" not in plain.text
        asked = await dig(program, server.port, "+cookie", "+nsid", "www.example.org")
        assert "; EDNS: version: 0, flags:; udp: 1232\n;; QUESTION SECTION" in asked.text
        dnssec = await dig(program, server.port, "+dnssec", "+ednsflags=0x40", "www.example.org")
        assert "; EDNS: version: 0, flags: do; udp: 1232\n;; QUESTION SECTION" in dnssec.text


@pytest.mark.parametrize("size", ["+noedns", "+bufsize=512", "+bufsize=4096"])
async def test_dig_gets_the_rest_over_tcp(size: str, program: Callable[[str], str]) -> None:
    """What fits into no datagram is cut with TC and nothing else, and dig gets it over TCP."""
    async with listen(LISTEN, zone()) as server:
        cut = await dig(program, server.port, "+ignore", size, "big.example.org", "TXT")
        assert cut[:3] == ("NOERROR", {"qr", "aa", "tc", "rd"}, [])
        whole = await dig(program, server.port, size, "big.example.org", "TXT")
        assert "retrying in TCP mode" in whole.text
        assert sorted(whole.answer) == [f'big.example.org. 3600 IN TXT "{each}"' for each in BIG]
        assert "tc" not in whole.flags


@pytest.mark.parametrize("kind", ["AXFR", "IXFR=1"])
async def test_dig_gets_no_zone(kind: str, program: Callable[[str], str]) -> None:
    """A transfer is refused."""
    async with listen(LISTEN, zone()) as server:
        command = (program("dig"), "-r", f"@{HOST}", "-p", str(server.port), "+tries=1")
        _, text = await run(*command, "example.org", kind)
        assert "; Transfer failed." in text
        assert "192.0.2" not in text


async def test_dig_keeps_its_connection_open(program: Callable[[str], str]) -> None:
    """Several questions of dig are answered on one connection."""
    async with listen(LISTEN, zone()) as server:
        command = (program("dig"), "-r", f"@{HOST}", "-p", str(server.port), "+tcp", "+keepopen")
        code, text = await run(*command, "+short", "www.example.org", "mail.example.org")
        assert (code, text.split()) == (0, ["192.0.2.80", "192.0.2.25"])
        assert server.stats.accepted == 1


KDIG = ("+retry=0", "+time=10")


async def kdig(find: Callable[[str], str], port: int, *arguments: str) -> tuple[int, str]:
    """Ask with kdig."""
    return await run(find("kdig"), f"@{HOST}", "-p", str(port), *KDIG, *arguments)


@pytest.mark.parametrize("option", ["+notcp", "+tcp", "+edns", "+cookie", "+padding", "+fastopen"])
async def test_kdig(option: str, program: Callable[[str], str]) -> None:
    """Kdig gets an answer over UDP and TCP."""
    async with listen(LISTEN, zone()) as server:
        code, text = await kdig(program, server.port, option, "www.example.org", "A")
        assert (code, said(text).status) == (0, "NOERROR")
        assert WWW in said(text).answer


@pytest.mark.parametrize("option", ["+tls", "+tls +padding", "+tls +keepopen"])
async def test_kdig_over_tls(option: str, program: Callable[[str], str], tmp_path: Path) -> None:
    """Kdig trusts a certificate of ours that has the name which it expects, and gets its answer over TLS."""
    issued = ROOT.issue("dns.example.org")
    key = write(tmp_path / "server.pem", issued.key_pem, issued.pem)
    roots = write(tmp_path / "roots.pem", ROOT.pem)
    text = f"tls:0:interface={HOST}:private_key={key}"
    verifying = (f"+tls-ca={roots}", "+tls-hostname=dns.example.org")
    async with listen(text, zone()) as server:
        for more in ((), verifying):
            code, told = await kdig(
                program,
                server.port,
                *option.split(),
                *more,
                "www.example.org",
                "big.example.org",
                "TXT",
            )
            assert code == 0, told
            assert told.count("status: NOERROR") == 2
            assert told.count(f'"{BIG[0]}"') == 1


async def test_kdig_distrusts_another_name(program: Callable[[str], str], tmp_path: Path) -> None:
    """Kdig gets nothing from a server whose certificate has another name than it expects."""
    issued = ROOT.issue("dns.example.org")
    key = write(tmp_path / "server.pem", issued.key_pem, issued.pem)
    roots = write(tmp_path / "roots.pem", ROOT.pem)
    async with listen(f"tls:0:interface={HOST}:private_key={key}", zone()) as server:
        code, told = await kdig(
            program,
            server.port,
            "+tls",
            f"+tls-ca={roots}",
            "+tls-hostname=other.example.org",
            "www.example.org",
        )
        assert code != 0
        assert "192.0.2.80" not in told
        assert server.counters.received == 0


async def test_openssl_speaks_dns_over_tls(program: Callable[[str], str]) -> None:
    """The port of DNS over TLS agrees on the protocol "dot", and does without for who names none."""
    async with listen(f"tls:0:interface={HOST}:selfsigned=localhost", zone()) as server:
        openssl = (program("openssl"), "s_client", "-connect", f"{HOST}:{server.port}")
        _, told = await run(*openssl, "-alpn", "h2,dot")
        assert "ALPN protocol: dot" in told
        _, told = await run(*openssl)
        assert "No ALPN negotiated" in told
        assert server.stats.handshake_failed == 0


async def test_no_plain_text_where_tls_is() -> None:
    """A query that is not encrypted gets no answer from the port of DNS over TLS."""
    async with (
        listen(f"tls:0:interface={HOST}:selfsigned=localhost", zone()) as server,
        Stream.to(server.port) as stream,
    ):
        stream.send(query())
        assert b"example" not in await stream.rest()
        assert (server.counters.received, server.stats.handshake_failed) == (0, 1)


router = Router()


@router.on("computed{n:int}.example.org", "A")
def computed(query: Query, n: int) -> Answer:
    """Compute an address."""
    return Answer.of(query, f"192.0.2.{n}")


@pytest.mark.parametrize("mode", ["udp", "tcp", "dot"])
async def test_dnsperf(mode: str, program: Callable[[str], str], tmp_path: Path) -> None:
    """Dnsperf loses none of its questions, and all are answered without an error."""
    names = [f"computed{number}.example.org A" for number in range(200)]
    names += [
        "www.example.org A",
        "www.example.org AAAA",
        "chain.example.org A",
        "x.wild.example.org A",
    ]
    questions = tmp_path / "questions"
    questions.write_text("\n".join(names) + "\n")
    text = f"tls:0:interface={HOST}:selfsigned=localhost" if mode == "dot" else LISTEN
    async with listen(text, Chain(router, zone())) as server:
        code, told = await run(
            program("dnsperf"),
            *("-s", HOST, "-p", str(server.port), "-m", mode, "-d", str(questions)),
            *("-n", "10", "-c", "4", "-q", "50", "-t", "20"),
        )
        assert code == 0, told
        assert re.search(r"Queries sent: +2040\n", told)
        assert re.search(r"Queries completed: +2040 \(100.00%\)\n", told)
        assert re.search(r"Queries lost: +0 \(0.00%\)\n", told)
        assert re.search(r"Response codes: +NOERROR 2040 \(100.00%\)\n", told)


# Name servers that ask ours

ANSWERS = [
    ("www.example.org", "A", "NOERROR", ["www.example.org. IN A 192.0.2.80"]),
    ("www.example.org", "AAAA", "NOERROR", ["www.example.org. IN AAAA 2001:db8::80"]),
    (
        "chain.example.org",
        "A",
        "NOERROR",
        [
            "chain.example.org. IN CNAME alias.example.org.",
            "alias.example.org. IN CNAME www.example.org.",
            "www.example.org. IN A 192.0.2.80",
        ],
    ),
    ("raw.example.org", "TYPE731", "NOERROR", [r"raw.example.org. IN TYPE731 \# 4 0A000001"]),
    ("nope.example.org", "A", "NXDOMAIN", []),
    ("www.example.org", "MX", "NOERROR", []),
]


async def resolved(find: Callable[[str], str], port: int) -> None:
    """See that a name server gives what ours knows, also what fits into no datagram."""
    for name, kind, status, answer in ANSWERS:
        told = await dig(find, port, "+nottlid", name, kind)
        assert (name, told.status, told.answer) == (name, status, answer)
    big = await dig(find, port, "+nottlid", "+tcp", "big.example.org", "TXT")
    assert sorted(big.answer) == [f'big.example.org. IN TXT "{each}"' for each in BIG]


async def test_unbound_asks_us(program: Callable[[str], str], tmp_path: Path) -> None:
    """Unbound resolves through us: over UDP, and over TCP what we cut."""
    async with listen(LISTEN, zone()) as server:
        zones = f'forward-zone:\n  name: "."\n  forward-addr: {HOST}@{server.port}\n'
        async with unbound(program, tmp_path, zones) as port:
            await resolved(program, port)
        assert server.counters.received > server.stats.accepted == 1
        assert server.counters.rejected == server.counters.failed == 0


async def test_unbound_asks_us_over_tls(program: Callable[[str], str], tmp_path: Path) -> None:
    """Unbound resolves through us over TLS, once it has verified who we are."""
    issued = ROOT.issue("dns.example.org")
    key = write(tmp_path / "server.pem", issued.key_pem, issued.pem)
    roots = write(tmp_path / "roots.pem", ROOT.pem)
    text = f"tls:0:interface={HOST}:private_key={key}"
    async with listen(text, zone()) as server:
        zones = 'forward-zone:\n  name: "."\n  forward-tls-upstream: yes\n'
        bundle = [f'tls-cert-bundle: "{roots}"']
        right = f"{zones}  forward-addr: {HOST}@{server.port}#dns.example.org\n"
        async with unbound(program, tmp_path, right, bundle) as port:
            await resolved(program, port)
        answered = server.counters.received
        assert answered >= len(ANSWERS)
        wrong = f"{zones}  forward-addr: {HOST}@{server.port}#other.example.org\n"
        async with unbound(program, tmp_path, wrong, bundle) as port:
            assert (await dig(program, port, "www.example.org")).status == "SERVFAIL"
        assert server.counters.received == answered


async def test_dnsmasq_asks_us(program: Callable[[str], str], tmp_path: Path) -> None:
    """Dnsmasq resolves through us: over UDP, and over TCP for a client that came to it so."""
    async with (
        listen(LISTEN, zone()) as server,
        dnsmasq(program, tmp_path, f"--server={HOST}#{server.port}") as port,
    ):
        await resolved(program, port)
        cut = await dig(program, port, "big.example.org", "TXT")
        assert "retrying in TCP mode" in cut.text
        assert len(cut.answer) == len(BIG)
        assert server.counters.received > server.stats.accepted > 0
        assert server.counters.rejected == server.counters.failed == 0
