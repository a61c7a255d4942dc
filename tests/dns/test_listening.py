"""The name server on loopback."""

from __future__ import annotations

import asyncio
import re
import socket
from typing import TYPE_CHECKING, Any

import dns.flags
import dns.message
import dns.rcode
import pytest

import asyncendpoints
from asyncendpoints import ListenError, TLSServer, connect, connect_datagram, parse_server
from asyncendpoints.dns.chain import Chain
from asyncendpoints.dns.guards import Refuse
from asyncendpoints.dns.limits import DNSLimits
from asyncendpoints.dns.listening import BoundDatagrams, NameServer, listen
from asyncendpoints.dns.networks import Networks
from asyncendpoints.dns.outcome import Answer
from asyncendpoints.dns.querylog import QueryLog
from asyncendpoints.dns.responder import Responder
from asyncendpoints.dns.zoneload import Zone
from asyncendpoints.errors import DescriptionError, EndpointError
from asyncendpoints.kinds.udp import UDPClient
from asyncendpoints.limits import Limits
from asyncendpoints.listeners import PlainAcceptor
from tests.support import open_descriptors, warm_up
from tests.tls_material import Authority, write

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

    from asyncendpoints import ClientSpec
    from asyncendpoints.dns.outcome import Outcome
    from asyncendpoints.dns.query import Query


class Resolver:
    """Answers with the address of the client, at once or when it is told to."""

    recursive = True

    def __init__(self) -> None:
        self.closed = 0
        self.asked = asyncio.Event()
        self.ready: asyncio.Event | None = None

    def resolve(self, query: Query, /) -> Awaitable[Outcome]:
        self.asked.set()
        return self._answer(query) if self.ready is None else self._later(query)

    def _answer(self, query: Query) -> Outcome:
        return Answer.of(query, f'"{query.transport}"', type="TXT")

    async def _later(self, query: Query) -> Outcome:
        assert self.ready is not None
        await self.ready.wait()
        return self._answer(query)

    async def aclose(self) -> None:
        self.closed += 1


QUERY = dns.message.make_query("a.test", "TXT", use_edns=0)


class Datagrams(asyncio.DatagramProtocol):
    """Keeps the first datagram that comes."""

    def __init__(self) -> None:
        self.first: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.first.set_result(data)


class Stream(asyncio.Protocol):
    """Keeps the first message of a stream."""

    def __init__(self) -> None:
        self.data = b""
        self.first: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.data += data
        if not self.first.done() and len(self.data) >= 2 + int.from_bytes(self.data[:2], "big"):
            self.first.set_result(self.data[2:])

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(None)


async def ask_by_datagram(endpoint: str | ClientSpec) -> dns.message.Message:
    """Ask over UDP."""
    transport, protocol = await connect_datagram(endpoint, Datagrams)
    transport.sendto(QUERY.to_wire())
    try:
        return dns.message.from_wire(await protocol.first)
    finally:
        transport.close()


async def ask_by_stream(endpoint: str | ClientSpec) -> dns.message.Message:
    """Ask over a stream."""
    transport, protocol = await connect(endpoint, Stream)
    wire = QUERY.to_wire()
    transport.write(len(wire).to_bytes(2, "big") + wire)
    try:
        return dns.message.from_wire(await protocol.first)
    finally:
        transport.close()
        await protocol.ended


def text(message: dns.message.Message) -> str:
    """Give what the resolver said."""
    return str(message.answer[0][0])


async def test_answers_on_udp_and_tcp() -> None:
    """A dns endpoint answers datagrams and connections on one port."""
    async with listen("dns:0:interface=127.0.0.1", Resolver()) as server:
        assert text(await ask_by_datagram(f"udp:127.0.0.1:{server.port}")) == '"udp"'
        assert text(await ask_by_stream(f"tcp:127.0.0.1:{server.port}")) == '"tcp"'


async def test_says_where_it_is() -> None:
    """The address of UDP and TCP is one, and the client endpoint of it reaches both."""
    async with listen("dns:0:interface=127.0.0.1", Resolver()) as server:
        assert len(server.addresses) == 1
        (client,) = server.client_endpoints
        assert str(client) == f"dns:127.0.0.1:{server.port}"
        assert text(await ask_by_datagram(client)) == '"udp"'
        assert text(await ask_by_stream(client)) == '"tcp"'
        assert len(server.sockets) == 2
    assert not server.sockets


async def test_answers_on_unix_sockets(tmp_path: Path) -> None:
    """Every kind that has connections is DNS over a stream."""
    path = tmp_path / "dns.sock"
    async with listen(f"unix:{path}", Resolver()):
        assert text(await ask_by_stream(f"unix:{path}")) == '"unix"'


async def test_answers_over_tls() -> None:
    """A tls endpoint is DNS over TLS, and accepts the protocol name of it."""
    async with listen("tls:0:interface=127.0.0.1:selfsigned=yes", Resolver()) as server:
        (spec,) = server.endpoints
        assert isinstance(spec, TLSServer)
        assert spec.alpn == ("dot",)
        (client,) = server.client_endpoints
        assert text(await ask_by_stream(client)) == '"tls"'


async def test_keeps_the_protocols_of_the_description() -> None:
    """A tls endpoint that names protocols keeps them."""
    async with listen("tls:0:interface=127.0.0.1:selfsigned=yes:alpn=h2", Resolver()) as server:
        (spec,) = server.endpoints
        assert isinstance(spec, TLSServer)
        assert spec.alpn == ("h2",)


async def test_several_endpoints() -> None:
    """Several endpoints are one server."""
    endpoints = ["udp:0:interface=127.0.0.1", "tcp:0:interface=127.0.0.1"]
    async with listen(endpoints, Resolver()) as server:
        tcp, udp = server.client_endpoints
        assert text(await ask_by_datagram(udp)) == '"udp"'
        assert text(await ask_by_stream(tcp)) == '"tcp"'


async def test_all_or_none() -> None:
    """If one endpoint cannot be bound, none is."""
    await warm_up()
    before = open_descriptors()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(ListenError):
            await listen(
                [
                    "tcp:0:interface=127.0.0.1",
                    "udp:0:interface=127.0.0.1",
                    f"udp:{port}:interface=127.0.0.1",
                ],
                Resolver(),
            )
    assert open_descriptors() == before


async def test_a_server_that_cannot_be_made() -> None:
    """What cannot be served leaves no socket behind."""
    await warm_up()
    before = open_descriptors()
    with pytest.raises(ValueError, match="drain is -1"):
        await listen("dns:0", Resolver(), drain=-1)
    assert open_descriptors() == before


class Unwatchable(socket.socket):
    """A socket with a descriptor that no loop can watch."""

    def fileno(self) -> int:
        return 1_000_000


async def test_sockets_that_cannot_be_watched() -> None:
    """If the loop does not take a datagram socket, those that it took are closed."""
    spec = parse_server("udp:0:interface=127.0.0.1")
    resolver = Resolver()
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as good,
        Unwatchable(socket.AF_INET, socket.SOCK_DGRAM) as bad,
    ):
        good.bind(("127.0.0.1", 0))
        bad.bind(("127.0.0.1", 0))
        bound = [BoundDatagrams(spec, PlainAcceptor(), each) for each in (good, bad)]
        responder, limits = Responder(resolver), DNSLimits()
        with pytest.raises(OSError, match=r".*"):
            NameServer([], bound, resolver, responder, limits, 0.0, None)
        await asyncio.sleep(0)
        assert good.fileno() == -1
        socket.close(bad.detach())


async def test_ends_connections_alone() -> None:
    """While the server runs, ending its connections leaves its datagrams alone."""
    async with listen("dns:0:interface=127.0.0.1", Resolver()) as server:
        server.close_clients()
        server.abort_clients()
        assert text(await ask_by_datagram(server.client_endpoints[0])) == '"udp"'


@pytest.mark.parametrize(
    ("text", "meant"),
    [("53", "dns:53"), ("127.0.0.1:53", "dns:53:interface=127.0.0.1")],
)
def test_place_without_a_kind(text: str, meant: str) -> None:
    """What is a place and nothing more is refused with the description that is meant."""
    with pytest.raises(DescriptionError) as caught:
        listen(text, Resolver())
    assert caught.value.problem == f"has no kind, did you mean {meant!r}?"


def test_needs_a_resolver() -> None:
    """What has no resolve() is refused before anything is bound."""
    with pytest.raises(TypeError, match="has a method resolve"):
        listen("dns:0", object())  # type: ignore[arg-type]


async def test_closes_the_resolver() -> None:
    """The resolver is closed with the server, whichever way that ends."""
    resolver = Resolver()
    async with listen("udp:0:interface=127.0.0.1", resolver):
        assert resolver.closed == 0
    assert resolver.closed == 1
    server = await listen("udp:0:interface=127.0.0.1", resolver)
    server.close()
    await server.wait_closed()
    assert resolver.closed == 2


async def test_leaves_nothing() -> None:
    """After the block no descriptor and no task is left, also of a query that waits."""
    await warm_up()
    before = open_descriptors(), len(asyncio.all_tasks())
    resolver = Resolver()
    resolver.ready = asyncio.Event()
    async with listen("dns:0:interface=127.0.0.1", resolver) as server:
        transport, _ = await connect_datagram(server.client_endpoints[0], Datagrams)
        transport.sendto(QUERY.to_wire())
        await resolver.asked.wait()
        transport.abort()
    await asyncio.sleep(0)
    assert (open_descriptors(), len(asyncio.all_tasks())) == before


async def test_drains() -> None:
    """A query that waits when the server is closed still gets its reply."""
    resolver = Resolver()
    resolver.ready = asyncio.Event()
    server = await listen("udp:0:interface=127.0.0.1", resolver, drain=60)
    async with server:
        asking = asyncio.create_task(ask_by_datagram(server.client_endpoints[0]))
        await resolver.asked.wait()
        server.close()
        resolver.ready.set()
        assert text(await asking) == '"udp"'


async def test_an_idle_client_holds_nothing_up() -> None:
    """A client that keeps its connection for its next query does not hold up the end of the server."""
    async with listen("dns:0:interface=127.0.0.1", Resolver(), drain=60) as server:
        _, protocol = await connect(server.client_endpoints[0], Stream)
        assert await server.drain(60)
        await protocol.ended


async def test_pauses() -> None:
    """A paused server answers nothing until it goes on."""
    resolver = Resolver()
    async with listen("dns:0:interface=127.0.0.1", resolver) as server:
        server.pause()
        asking = asyncio.create_task(ask_by_datagram(server.client_endpoints[0]))
        connecting = asyncio.create_task(ask_by_stream(server.client_endpoints[0]))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not resolver.asked.is_set()
        server.resume()
        assert text(await asking) == '"udp"'
        assert text(await connecting) == '"tcp"'


async def test_a_closed_server_does_not_go_on() -> None:
    """A server that was closed takes no more datagrams, whoever resumes it, while an old one waits."""
    resolver = Resolver()
    resolver.ready = asyncio.Event()
    async with listen("udp:0:interface=127.0.0.1", resolver) as server:
        endpoint = server.client_endpoints[0]
        asking = asyncio.create_task(ask_by_datagram(endpoint))
        await resolver.asked.wait()
        server.close()
        server.resume()
        resolver.asked.clear()
        late = asyncio.create_task(ask_by_datagram(endpoint))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not resolver.asked.is_set()
        late.cancel()
        resolver.ready.set()
        assert text(await asking) == '"udp"'
        await asyncio.gather(late, return_exceptions=True)


async def test_offers_recursion_to_whom_it_is_told() -> None:
    """The networks that may have recursion are given as text or as a set."""
    choices: list[Networks | list[str]] = [[], Networks(["192.0.2.0/24"])]
    for recursion in choices:
        endpoint = "udp:0:interface=127.0.0.1"
        async with listen(endpoint, Resolver(), recursion=recursion) as server:
            reply = await ask_by_datagram(server.client_endpoints[0])
            assert not reply.flags & dns.flags.RA


async def test_guards() -> None:
    """Guards stand before the resolver."""
    endpoint = "udp:0:interface=127.0.0.1"
    async with listen(endpoint, Resolver(), guards=[Refuse("127.0.0.0/8")]) as server:
        reply = await ask_by_datagram(server.client_endpoints[0])
        assert reply.rcode() == dns.rcode.REFUSED
        assert server.counters.refused == 1


async def test_limits() -> None:
    """The limits reach the datagrams and the connections."""
    limits = DNSLimits(payload=1400, max_query_bytes=512)
    async with listen("dns:0:interface=127.0.0.1", Resolver(), limits=limits) as server:
        reply = await ask_by_datagram(server.client_endpoints[0])
        assert reply.payload == 1400
        transport, protocol = await connect(server.client_endpoints[0], Stream)
        transport.write(b"\xff\xff")
        await protocol.ended
        assert server.stream_counters.malformed == 1


async def test_shows_itself() -> None:
    """The server and what starts it say what they are."""
    resolver = Resolver()
    starting = listen("udp:0:interface=127.0.0.1", resolver)
    assert repr(starting) == "<DNSListening udp:0:127.0.0.1 not started>"
    async with starting as server:
        assert repr(starting) == "<DNSListening udp:0:127.0.0.1 started>"
        assert isinstance(server, NameServer)
        assert server.resolver is resolver
        assert repr(server).startswith("<NameServer 127.0.0.1:")


async def test_other_servers_point_here() -> None:
    """listen() of the package says who serves a dns endpoint."""
    with pytest.raises(ListenError, match=r"asyncendpoints\.dns\.listen"):
        await asyncendpoints.listen("dns:0")


ZONE = "$ORIGIN a.test.\n$TTL 9\n@ SOA n. h. 1 2 3 4 5\n@ NS n.\n@ TXT %s\n"


async def test_reload(tmp_path: Path) -> None:
    """A reload reads the zones of the resolver again, and opens the query log again."""
    zone, path, moved = tmp_path / "a.zone", tmp_path / "q.log", tmp_path / "q.log.1"
    zone.write_text(ZONE % "old")
    resolver = Chain(Zone.from_file(zone), Resolver())
    with QueryLog(path) as log:
        async with listen("udp:0:interface=127.0.0.1", resolver, log=log) as server:
            assert text(await ask_by_datagram(server.client_endpoints[0])) == '"old"'
            zone.write_text(ZONE % "new")
            path.rename(moved)
            await server.reload()
            assert text(await ask_by_datagram(server.client_endpoints[0])) == '"new"'
    assert path.read_text().count("\n") + moved.read_text().count("\n") == 2
    assert path.exists()


async def test_reload_that_fails(tmp_path: Path) -> None:
    """A bad certificate keeps no zone from its reload, the error of each is told, and the old ones stay."""
    zone, other = tmp_path / "a.zone", tmp_path / "b.zone"
    issued = Authority().issue("localhost")
    key = write(tmp_path / "key.pem", issued.key_pem, issued.pem)
    zone.write_text(ZONE % "old")
    other.write_text((ZONE % "old").replace("a.test", "b.test"))
    zones = Chain(Zone.from_file(zone), Zone.from_file(other))
    places = ["udp:0:interface=127.0.0.1", f"tls:0:interface=127.0.0.1:private_key={key}"]
    async with listen(places, zones) as server:
        write(tmp_path / "key.pem", b"nonsense")
        zone.write_text(ZONE % "new")
        other.write_text("half a file")
        with pytest.raises(EndpointError, match=re.escape(key)) as caught:
            await server.reload()
        endpoint = next(each for each in server.client_endpoints if isinstance(each, UDPClient))
        assert text(await ask_by_datagram(endpoint)) == '"new"'
    assert [each.partition(":")[0] for each in caught.value.__notes__] == [str(other)]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"resolver": Resolver}, "Resolver is a class; did you mean Resolver()?"),
        (
            {"recursion": True},
            "recursion is a list of networks, not True; ['0.0.0.0/0', '::/0'] is everybody, [] nobody",
        ),
        ({"recursion": None}, "recursion is a list of networks, not None;"),
        ({"guards": ["10.0.0.0/8"]}, "a guard is one such as Allow('10.0.0.0/8'), not"),
        ({"limits": Limits()}, "limits is a DNSLimits, not Limits("),
        ({"log": "q.log"}, "log is a QueryLog, as in QueryLog('queries.log'), not 'q.log'"),
        ({"log": QueryLog}, "log is a QueryLog, as in QueryLog('queries.log'), not <class"),
    ],
)
def test_wrong_arguments(options: dict[str, Any], problem: str) -> None:
    """An argument that no client would be answered with is refused at once."""
    with pytest.raises(TypeError, match=re.escape(problem)):
        listen("dns:0", **({"resolver": Resolver()} | options))


@pytest.mark.parametrize("drain", ["5s", -1])
def test_wrong_drain(drain: Any) -> None:
    """The time for which a server drains is a number of seconds."""
    with pytest.raises(ValueError, match=f"drain is {drain!r}, expected 0 or more seconds"):
        listen("dns:0", Resolver(), drain=drain)
