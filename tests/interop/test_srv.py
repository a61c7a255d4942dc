"""Services and HTTPS records as Knot serves them and Unbound passes them on, with targets on loopback."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from asyncendpoints import NotOfferedError, connect, events, listen
from asyncendpoints.dns.cache import Cache
from asyncendpoints.dns.forward import Forward
from asyncendpoints.dns.query import Query
from asyncendpoints.dns.resolver import ask
from asyncendpoints.errors import ConnectRefusedError, ResolveError, ServFailError
from tests.interop.dns_programs import HOST, knot, unbound
from tests.support import Recorder, unused_port
from tests.tls_material import Authority, write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

pytestmark = pytest.mark.interop

ROOT = Authority()

ZONE = """
$TTL 60
$ORIGIN example.org.
@              SOA   ns hostmaster 1 7200 900 1209600 300
               NS    ns
               A     127.0.0.1
ns             A     127.0.0.1
both           A     127.0.0.1
               AAAA  ::1
four           A     127.0.0.1
alias          CNAME four
_two._tcp      SRV   10 0 {closed} both
               SRV   20 0 {open} four
_beside._tcp   SRV   0 1 {open} both
_no._tcp       SRV   0 0 0 .
_alias._tcp    CNAME _two._tcp
_target._tcp   SRV   0 0 {open} alias
_dead._tcp     SRV   1 0 {closed} both
               SRV   2 0 {closed} four
_{open}._https HTTPS 0 pool
pool           HTTPS 1 four port={tls} alpn=h2 ipv4hint=127.0.0.1
               HTTPS 2 both mandatory=key65000 key65000=x
_5._https      HTTPS 1 four port={tls} alpn=h3 no-default-alpn
               HTTPS 2 both port={tls} alpn=h2
""" + "".join(f"_many._tcp SRV {number} 0 {{open}} host{number}\n" for number in range(100))

ZONE += "host0 A 127.0.0.1\n"


class Asked:
    """A resolver in front of another one, which remembers the questions."""

    def __init__(self, inner: Cache) -> None:
        self._inner = inner
        self.questions: list[str] = []

    def resolve(self, query: Any, /) -> Any:
        self.questions.append(f"{query.name} {query.type}")
        return self._inner.resolve(query)


class Site:
    """What the tests connect to."""

    def __init__(self, resolver: Asked, port: int, roots: str) -> None:
        self.resolver = resolver
        #: The port that answers by TCP.
        self.port = port
        self.roots = roots
        self.hosts: list[str] = []

    def take(self, event: events.Event) -> None:
        """Note the targets that are chosen."""
        if isinstance(event, events.TargetChosen):
            self.hosts.append(event.host)

    async def learn(self, *questions: str) -> None:
        """Have answers in the cache: a connection does not wait for those that take their time."""
        for each in questions:
            name, rtype = each.split()
            await ask(self.resolver, Query.make(name, rtype))
        self.resolver.questions.clear()

    async def connect(self, text: str) -> tuple[str, int]:
        """Connect, and give the address that answered."""
        transport, protocol = await connect(
            text, Recorder, resolver=self.resolver, on_event=self.take, timeout=20
        )
        peer = transport.get_extra_info("peername")
        transport.abort()
        await protocol.lost.wait()
        return str(peer[0]), int(peer[1])


_STUB = """
stub-zone:
    name: "example.org"
    stub-addr: {host}@{port}
"""


@asynccontextmanager
async def site(
    program: Callable[[str], str], folder: Path, *, recursor: bool = False
) -> AsyncIterator[Site]:
    """Serve the zone and its targets; with a recursor in front of the name server, or none."""
    issued = ROOT.issue("example.org")
    key = write(folder / "key.pem", issued.key_pem, issued.pem)
    roots = write(folder / "ca.pem", ROOT.pem)
    tls_text = f"tls:0:interface={HOST}:private_key={key}:alpn=h2"
    async with (
        listen(f"tcp:0:interface={HOST}", Recorder) as server,
        listen(tls_text, Recorder) as tls,
    ):
        text = ZONE.format(open=server.port, closed=unused_port(), tls=tls.port)
        async with knot(program, folder, text) as port:
            if not recursor:
                async with Cache(Forward(f"dns:{HOST}:{port}")) as cache:
                    yield Site(Asked(cache), server.port, roots)
                return
            zones = _STUB.format(host=HOST, port=port)
            async with (
                unbound(program, folder, zones) as front,
                Cache(Forward(f"dns:{HOST}:{front}")) as cache,
            ):
                yield Site(Asked(cache), server.port, roots)


@pytest.mark.parametrize("recursor", [False, True])
async def test_services(program: Callable[[str], str], tmp_path: Path, recursor: bool) -> None:
    """Failover, aliases, and a domain that says no, straight from Knot and through Unbound."""
    async with site(program, tmp_path, recursor=recursor) as there:
        assert await there.connect("srv:_two._tcp.example.org") == (HOST, there.port)
        assert there.hosts == ["both.example.org", "four.example.org"]
        assert await there.connect("srv:_alias._tcp.example.org") == (HOST, there.port)
        assert await there.connect("srv:_target._tcp.example.org") == (HOST, there.port)
        with pytest.raises(NotOfferedError):
            await there.connect("srv:_no._tcp.example.org")
        with pytest.raises(ConnectRefusedError) as caught:
            await there.connect("srv:_dead._tcp.example.org")
        assert [each.address.host for each in caught.value.attempts] == ["::1", HOST, HOST]
        there.hosts.clear()
        there_is_none = f"srv:_no-such-service._tcp.example.org:default_port={there.port}"
        assert await there.connect(there_is_none) == (HOST, there.port)
        assert there.hosts == ["example.org"]


async def test_addresses_beside_the_records(program: Callable[[str], str], tmp_path: Path) -> None:
    """What a server adds without being asked is not believed: the addresses are asked for."""
    async with site(program, tmp_path) as there:
        for _ in range(2):
            assert await there.connect("srv:_beside._tcp.example.org") == (HOST, there.port)
        questions = ["_beside._tcp.example.org SRV", "both.example.org AAAA", "both.example.org A"]
        assert there.resolver.questions == questions * 2


async def test_more_than_a_datagram(program: Callable[[str], str], tmp_path: Path) -> None:
    """A hundred targets come over TCP, and are in their order."""
    async with site(program, tmp_path) as there:
        assert await there.connect("srv:_many._tcp.example.org") == (HOST, there.port)
        assert there.hosts == ["host0.example.org"]


async def test_nobody_knows(program: Callable[[str], str], tmp_path: Path) -> None:
    """A name server that fails leads nowhere: the domain is not tried in place of its service."""
    more = ['local-zone: "broken.org" always_refuse']
    async with unbound(program, tmp_path, more=more) as port, Forward(f"dns:{HOST}:{port}") as to:
        with pytest.raises(ResolveError) as caught:
            await connect("srv:_a._tcp.broken.org:default_port=1", Recorder, resolver=to)
    assert not isinstance(caught.value.__cause__, ServFailError)
    assert caught.value.problem.endswith("the server refuses to answer")


@pytest.mark.parametrize("recursor", [False, True])
async def test_https_records(program: Callable[[str], str], tmp_path: Path, recursor: bool) -> None:
    """An alias, a port, a hint, and a choice by protocol, for a host that is verified by its own name."""
    async with site(program, tmp_path, recursor=recursor) as there:
        tls = f"hostname=example.org:alpn=h2:svcb=yes:trust_roots={there.roots}"
        names = (f"_{there.port}._https.example.org", "_5._https.example.org", "pool.example.org")
        await there.learn(*(f"{each} HTTPS" for each in names))
        host, port = await there.connect(f"tls:example.org:{there.port}:{tls}")
        assert host == HOST
        assert port != there.port
        assert f"_{there.port}._https.example.org HTTPS" in there.resolver.questions
        assert "pool.example.org HTTPS" in there.resolver.questions
        assert await there.connect(f"tls:example.org:5:{tls}") == (HOST, port)
