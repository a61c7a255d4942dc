"""The kind ``haproxy``: headers of the PROXY protocol, sent and taken."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import pytest

from asyncendpoints.addresses import Address
from asyncendpoints.connecting import connect, open_connection
from asyncendpoints.dns.networks import PRIVATE
from asyncendpoints.errors import (
    ConnectError,
    DescriptionError,
    HandshakeError,
    ListenError,
    SpecError,
)
from asyncendpoints.fields import Help, Host
from asyncendpoints.grammar import Name
from asyncendpoints.kinds.haproxy import (
    ProxyProtocolAcceptor,
    ProxyProtocolClient,
    ProxyProtocolServer,
)
from asyncendpoints.kinds.memory import MemoryClient, MemoryServer
from asyncendpoints.kinds.tcp import TCPClient, TCPServer
from asyncendpoints.kinds.tls import TLSClient, TLSServer
from asyncendpoints.limits import Limits
from asyncendpoints.listeners import tracked
from asyncendpoints.listening import bind, listen
from asyncendpoints.proxy_protocol import ProxyHeader, decode_header, encode_header
from asyncendpoints.proxy_tlvs import TLV
from asyncendpoints.specs import ClientSpec, parse_client, parse_server
from tests.clock import run
from tests.serving import FakeAcceptor, Visits, complaints, leave, until
from tests.support import Recorder, open_descriptors, warm_up

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncendpoints.attempt import Attempt
    from asyncendpoints.server import Server

CLIENT, SITE = ("192.0.2.1", 56324), ("198.51.100.2", 443)
HEADER = ProxyHeader(source=CLIENT, destination=SITE)
LINE = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"


@dataclass
class Serving:
    """A server, the connections that it has taken, and the clients that it has refused."""

    server: Server
    visits: Visits
    refused: asyncio.Queue[HandshakeError]

    async def reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect as a proxy."""
        return await asyncio.open_connection("127.0.0.1", self.server.port)


@asynccontextmanager
async def serving(options: str = "", limits: Limits = Limits()) -> AsyncIterator[Serving]:
    """Take headers on the IPv4 loopback interface."""
    async with serving_at(f"haproxy:{options}tcp:0:interface=127.0.0.1", limits) as serving:
        yield serving


@asynccontextmanager
async def serving_at(text: str, limits: Limits = Limits()) -> AsyncIterator[Serving]:
    """Take headers at an endpoint."""
    visits = Visits()
    refused: asyncio.Queue[HandshakeError] = asyncio.Queue()
    async with listen(text, visits, limits=limits, on_error=refused.put_nowait) as server:
        yield Serving(server, visits, refused)


def info(visitor: Recorder, name: str) -> Any:
    """Ask the transport of a visitor."""
    assert visitor.transport is not None
    return visitor.transport.get_extra_info(name)


# Listening


@pytest.mark.parametrize("data", [LINE, encode_header(HEADER)])
async def test_the_client_is_told(data: bytes) -> None:
    """The transport tells of the client and of what it connected to, and has the header."""
    async with serving() as at:
        _, writer = await at.reach()
        writer.write(data)
        visitor = await at.visits.next()
        assert info(visitor, "peername") == CLIENT
        assert info(visitor, "sockname") == SITE
        assert info(visitor, "socket").getpeername() == CLIENT
        assert info(visitor, "socket").getsockname() == SITE
        assert info(visitor, "proxy_header") == decode_header(data)[0]
        assert at.server.stats.handshake_failed == 0
        await leave(writer)


async def test_ipv6_addresses_have_four_parts() -> None:
    """An address of IPv6 is given as asyncio gives it."""
    async with serving() as at:
        _, writer = await at.reach()
        writer.write(b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n")
        visitor = await at.visits.next()
        assert info(visitor, "peername") == ("2001:db8::1", 1, 0, 0)
        assert info(visitor, "sockname") == ("2001:db8::2", 2, 0, 0)
        await leave(writer)


async def test_unix_addresses_are_paths() -> None:
    """A client of a unix socket of the proxy is told by the paths."""
    async with serving() as at:
        _, writer = await at.reach()
        writer.write(encode_header(ProxyHeader(source="", destination="/run/front.sock")))
        visitor = await at.visits.next()
        assert (info(visitor, "peername"), info(visitor, "sockname")) == ("", "/run/front.sock")
        await leave(writer)


@pytest.mark.parametrize(
    "header", [ProxyHeader(command="LOCAL"), ProxyHeader(), ProxyHeader(version=1)]
)
async def test_without_addresses_those_of_the_connection_stand(header: ProxyHeader) -> None:
    """A connection of the proxy's own, or of a kind that it cannot tell, is that of the proxy."""
    async with serving() as at:
        _, writer = await at.reach()
        writer.write(encode_header(header))
        visitor = await at.visits.next()
        assert info(visitor, "peername") == writer.get_extra_info("sockname")
        assert info(visitor, "sockname") == writer.get_extra_info("peername")
        assert info(visitor, "proxy_header") == header
        await leave(writer)


async def test_fields_reach_the_protocol() -> None:
    """What else the header has can be read from it."""
    header = ProxyHeader(
        source=CLIENT, destination=SITE, tlvs=(TLV(2, b"a.example"),), checksum=True
    )
    async with serving() as at:
        _, writer = await at.reach()
        writer.write(encode_header(header))
        assert info(await at.visits.next(), "proxy_header").authority == "a.example"
        await leave(writer)


@pytest.mark.parametrize("header", [LINE, encode_header(HEADER)])
async def test_what_follows_in_one_piece_is_the_protocols(header: bytes) -> None:
    """Bytes that come with the header reach the protocol, all of them and no others."""
    async with serving() as at:
        _, writer = await at.reach()
        writer.write(header + b"\r\n\r\nhello")
        visitor = await at.visits.next()
        await until(lambda: len(visitor.received) >= 9)
        assert visitor.received == b"\r\n\r\nhello"
        await leave(writer)


@pytest.mark.parametrize("header", [LINE, encode_header(HEADER)])
async def test_a_header_in_pieces(header: bytes) -> None:
    """A header can come byte by byte; there is no protocol before its last byte."""
    acceptor = ProxyProtocolAcceptor(PRIVATE, 5.0, FakeAcceptor())
    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        made: list[Recorder] = []

        def factory() -> Recorder:
            made.append(Recorder())
            return made[0]

        task = asyncio.ensure_future(acceptor.accept(ours, factory, 30.0))
        for place in range(len(header)):
            for _ in range(5):
                await asyncio.sleep(0)
            assert not made
            theirs.send(header[place : place + 1])
        theirs.send(b"x")
        transport, protocol = await task
        await until(lambda: protocol.received == b"x")
        assert protocol.transport is transport
        transport.close()
        await protocol.lost.wait()


async def test_a_server_that_speaks_first_waits_for_the_header() -> None:
    """Nothing is said to a client that is not told yet."""

    class Greeter(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            peer = transport.get_extra_info("peername")[0]
            transport.write(f"hello {peer}".encode())  # type: ignore[attr-defined]  # it is a Transport
            transport.close()

    async with listen("haproxy:tcp:0:interface=127.0.0.1", Greeter) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(LINE[:-1])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.01)
        writer.write(LINE[-1:])
        assert await reader.read() == b"hello 192.0.2.1"
        await leave(writer)


async def test_a_buffered_protocol() -> None:
    """A protocol that gives its own buffer is read into, as on any transport."""

    class Buffered(asyncio.BufferedProtocol):
        def __init__(self) -> None:
            self.buffer = bytearray(10)
            self.received = asyncio.get_running_loop().create_future()

        def get_buffer(self, sizehint: int) -> bytearray:
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            self.received.set_result(bytes(self.buffer[:nbytes]))

    protocol = Buffered()
    async with listen("haproxy:tcp:0:interface=127.0.0.1", lambda: protocol) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(LINE + b"hello")
        assert await protocol.received == b"hello"
        await leave(writer)


async def test_untrusted_peers_are_refused() -> None:
    """A header from elsewhere is not even read; the refusal is counted, and told to on_error."""
    async with serving("trusted=[192.0.2.0/24,2001:db8::1]:") as at:
        reader, writer = await at.reach()
        writer.write(LINE)
        error = await at.refused.get()
        assert error.peer.sockaddr == writer.get_extra_info("sockname")
        assert error.problem == "is not trusted to send a PROXY header; see trusted="
        with suppress(ConnectionError):  # it is a reset where the header was there already
            assert await reader.read() == b""
        assert at.visits.made == 0
        assert at.server.stats.handshake_failed == 1
        writer.close()


async def test_trusted_networks_take_the_place_of_the_usual_ones() -> None:
    """A network that is given is trusted."""
    async with serving("trusted=127.0.0.0/8:") as at:
        _, writer = await at.reach()
        writer.write(LINE)
        assert info(await at.visits.next(), "peername") == CLIENT
        await leave(writer)


async def test_a_peer_that_has_gone_is_not_trusted() -> None:
    """The bytes of a connection that was reset may be anybody's: the address is no longer to be had."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        sock, _ = listener.accept()
        client.send(LINE)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    sock.setblocking(False)
    acceptor = ProxyProtocolAcceptor(PRIVATE, 5.0, FakeAcceptor())
    connection = tracked(sock)
    with pytest.raises(HandshakeError, match="closed the connection before its PROXY header"):
        await acceptor.accept(connection, Recorder, 30.0)
    assert connection.fileno() == -1


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"GET / HTTP/1.1\r\n", "there is none, the connection begins with b'GET / HTTP/1'"),
        (b"PROXY TCP4 banana 198.51.100.2 1 2\r\n", "'banana' is no IPv4 address"),
        (encode_header(HEADER).replace(b"\x21\x11", b"\x21\x41"), "0x41, which is none"),
        (encode_header(HEADER)[:14] + b"\xff\xff", "it has 65551 bytes, more than 8192"),
    ],
)
async def test_a_wrong_header_is_refused(data: bytes, problem: str) -> None:
    """What is no header is never guessed about: the connection ends, and on_error hears why."""
    async with serving() as at:
        _, writer = await at.reach()
        writer.write(data)
        error = await at.refused.get()
        assert error.problem.startswith("sent a wrong PROXY header: ")
        assert problem in error.problem
        assert at.visits.made == 0
        writer.close()


async def test_a_connection_that_ends_before_its_header() -> None:
    """A client that only looks whether somebody listens is a handshake that failed."""
    async with serving() as at:
        _, writer = await at.reach()
        writer.write(LINE[:20])
        writer.write_eof()
        problem = "closed the connection before its PROXY header was complete"
        assert (await at.refused.get()).problem == problem
        writer.close()


@pytest.mark.parametrize(
    ("options", "limits", "seconds"),
    [
        ("", Limits(), 5),
        ("timeout=0.5:", Limits(), 0.5),
        ("timeout=9:", Limits(handshake_timeout=2), 2),
    ],
)
def test_a_header_that_does_not_come(options: str, limits: Limits, seconds: float) -> None:
    """The header has its own limit, inside that of all handshakes."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with serving_at(f"haproxy:{options}memory:late", limits) as at:
            reader, writer = await open_connection("memory:late")
            writer.write(LINE[:-1])
            error = await at.refused.get()
            assert error.problem == f"took more than {seconds:g} s for its PROXY header"
            assert loop.time() == seconds
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()

    run(main())


def test_what_follows_has_the_rest_of_the_time() -> None:
    """The seconds that the header took are taken from those of the handshake after it."""

    async def main() -> FakeAcceptor:
        inner = FakeAcceptor()
        acceptor = ProxyProtocolAcceptor(PRIVATE, 5.0, inner)
        for pause in (3.0, 4.0):
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            task = asyncio.ensure_future(acceptor.accept(ours, Recorder, 4.5))
            await asyncio.sleep(pause)
            theirs.send(LINE)
            transport, _ = await task
            transport.abort()
            theirs.close()
        return inner

    assert run(main()).timeouts == [1.5, 0.5]


def test_what_follows_has_some_time_at_least() -> None:
    """A header that comes at the last moment leaves no time, and no wrong number of seconds."""

    async def main() -> FakeAcceptor:
        inner = FakeAcceptor()
        acceptor = ProxyProtocolAcceptor(PRIVATE, 5.0, inner)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.send(LINE)
        transport, _ = await acceptor.accept(ours, Recorder, 0.0005)
        transport.abort()
        theirs.close()
        return inner

    assert run(main()).timeouts == [0.001]


async def test_peers_on_unix_sockets_are_trusted(tmp_path: Any) -> None:
    """Who may connect there, the permissions say."""
    path = f"{tmp_path}/app.sock"
    async with serving_at(f"haproxy:trusted=192.0.2.0/24:unix:{path}") as at:
        transport, _ = await connect(
            f"haproxy:source=192.0.2.1\\:56324:destination=198.51.100.2\\:443:unix:{path}", Recorder
        )
        visitor = await at.visits.next()
        assert (info(visitor, "peername"), info(visitor, "sockname")) == (CLIENT, SITE)
        transport.close()


async def test_a_header_before_tls() -> None:
    """A header and a ClientHello in one piece: TLS gets its part, and the transport tells of both."""
    text = "haproxy:tls:0:interface=127.0.0.1:selfsigned=localhost"
    async with serving_at(text) as at:
        reader, writer = await at.reach()
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing)
        with suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        writer.write(LINE + outgoing.read())
        while tls.version() is None:
            incoming.write(await reader.read(65536))
            with suppress(ssl.SSLWantReadError):
                tls.do_handshake()
        tls.write(b"hello")
        writer.write(outgoing.read())
        visitor = await at.visits.next()
        await until(lambda: visitor.received == b"hello")
        assert info(visitor, "peername") == CLIENT
        assert info(visitor, "socket").getpeername() == CLIENT
        assert info(visitor, "ssl_object").version() == tls.version()
        assert info(visitor, "proxy_header").version == 1
        assert visitor.transport is not None
        visitor.transport.abort()
        writer.close()


async def test_a_failed_tls_handshake_names_the_client() -> None:
    """After the header a failure is that of the client, not of the proxy."""
    async with serving_at("haproxy:tls:0:interface=127.0.0.1:selfsigned=localhost") as at:
        _, writer = await at.reach()
        writer.write(LINE + b"GET / HTTP/1.0\r\n\r\n")
        error = await at.refused.get()
        assert (error.peer.sockaddr, error.problem) == (CLIENT, "the client spoke plain HTTP")
        writer.close()


async def test_connections_are_counted_for_each_client() -> None:
    """One client has its limit, another client of the same proxy its own, and an end makes room."""
    async with serving("", Limits(max_per_peer=1)) as at:
        _, first = await at.reach()
        first.write(LINE)
        visitor = await at.visits.next()
        reader, second = await at.reach()
        second.write(LINE)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        second.close()
        _, third = await at.reach()
        third.write(LINE.replace(b"192.0.2.1", b"192.0.2.9"))
        await at.visits.next()
        assert (at.server.stats.rejected, at.server.stats.handshake_failed) == (1, 0)
        await leave(first)
        await visitor.lost.wait()
        await until(lambda: at.server.stats.active == 1)
        _, fourth = await at.reach()
        fourth.write(LINE)
        await at.visits.next()
        await leave(third, fourth)


async def test_proxies_are_not_counted() -> None:
    """Connections whose client is not told yet, or not at all, are no reason to refuse a proxy."""
    async with serving("", Limits(max_per_peer=1)) as at:
        writers = [(await at.reach())[1] for _ in range(3)]
        for writer in writers:
            writer.write(b"PROXY UNKNOWN\r\n")
            await at.visits.next()
        assert at.server.stats.active == 3
        assert at.server.stats.rejected == 0
        await leave(*writers)


async def test_a_header_in_a_header() -> None:
    """Behind two proxies the second header counts, sent by one that the first has told of and is trusted."""
    first = LINE.replace(b"192.0.2.1", b"10.0.0.1")
    async with serving("haproxy:", Limits(max_per_peer=1)) as at:
        _, writer = await at.reach()
        writer.write(first + LINE)
        assert info(await at.visits.next(), "peername") == CLIENT
        assert at.server._per_peer == {"192.0.2.1": 1}
        _, other = await at.reach()
        other.write(LINE.replace(b"192.0.2.1", b"192.0.2.9") + first)
        assert (await at.refused.get()).peer.host == "192.0.2.9"
        other.close()
        await leave(writer)
        await until(lambda: not at.server._per_peer)


async def test_a_factory_that_raises() -> None:
    """What the factory raises is reported as on other servers, and the connection ends."""
    heard = complaints()
    async with listen("haproxy:tcp:0:interface=127.0.0.1", lambda: 1 / 0) as server:  # type: ignore[arg-type,return-value]
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(LINE)
        assert await reader.read() == b""
        assert [type(each["exception"]) for each in heard] == [ZeroDivisionError]
        await leave(writer)


async def test_a_cancel_while_the_header_is_awaited() -> None:
    """The socket is closed when the cancel comes out, and the loop watches it no more."""
    await warm_up()
    before = open_descriptors()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    connection = tracked(ours)
    acceptor = ProxyProtocolAcceptor(PRIVATE, 5.0, FakeAcceptor())
    task = asyncio.ensure_future(acceptor.accept(connection, Recorder, 30.0))
    await asyncio.sleep(0)
    descriptor = connection.fileno()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert connection.fileno() == -1
    assert not asyncio.get_running_loop().remove_reader(descriptor)
    theirs.close()
    assert open_descriptors() == before


async def test_the_header_and_a_cancel_in_one_turn() -> None:
    """A cancel wins over bytes that have come at the same time."""
    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        acceptor = ProxyProtocolAcceptor(PRIVATE, 5.0, FakeAcceptor())
        task = asyncio.ensure_future(acceptor.accept(ours, Recorder, 30.0))
        await asyncio.sleep(0)
        theirs.send(LINE)
        asyncio.get_running_loop().call_soon(task.cancel)
        await asyncio.wait([task])
        assert task.cancelled()


async def test_a_server_that_closes_ends_what_waits_for_a_header() -> None:
    """No connection is left behind whose header never came."""
    async with serving() as at:
        reader, writer = await at.reach()
        await until(lambda: at.server.stats.active == 1)
    assert await reader.read() == b""
    assert at.server.stats.active == 0
    await leave(writer)


def test_reload_is_passed_on() -> None:
    """Certificates are those of the inner endpoint."""
    inner = FakeAcceptor()
    ProxyProtocolAcceptor(PRIVATE, 5.0, inner).reload()
    assert inner.reloaded == 1


def test_it_is_no_bare_socket() -> None:
    """A server that wants sockets would take the header for data."""
    with pytest.raises(ListenError, match="is more than a listening socket"):
        bind("haproxy:tcp:0")


async def test_what_reaches_the_server() -> None:
    """Its client endpoints send a header first, before TLS where there is TLS."""
    for text in ("haproxy:tcp:0", "haproxy:tls:0:selfsigned=localhost", "haproxy:memory:behind"):
        async with serving_at(text) as at:
            for endpoint in at.server.client_endpoints:
                transport, _ = await connect(str(endpoint), Recorder)
                visitor = await at.visits.next()
                assert info(visitor, "peername") == transport.get_extra_info("sockname")
                assert info(visitor, "proxy_header").version == 2
                transport.abort()


def test_nothing_reaches_a_server_that_nothing_reaches() -> None:
    """An inner endpoint without a client has none with a header either."""
    spec = parse_server("haproxy:stdio:")
    acceptor = ProxyProtocolAcceptor(PRIVATE, 5.0, FakeAcceptor())
    assert spec.client(Address(socket.AF_UNIX, ""), acceptor) is None


def test_beside_another_server() -> None:
    """IPv4 is left to a server that names an IPv4 address on the port, whether that takes headers or not."""
    spec = parse_server("haproxy:tcp:8080:interface=[::]")
    for other in ("tcp:8080:interface=127.0.0.1", "haproxy:tcp:8080:interface=127.0.0.1"):
        beside = spec.beside([parse_server(other)])
        assert str(beside) == "haproxy:tcp:8080:[::]:v6only=yes"
    assert spec.beside([]) is spec


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("haproxy:tcp:8080", ProxyProtocolServer(TCPServer(8080))),
        (
            "haproxy:trusted=[10.0.0.0/8]:timeout=5:ssl:443:certKey=c.pem:privateKey=k.pem",
            ProxyProtocolServer(
                TLSServer(port=443, cert_key="c.pem", private_key="k.pem"), trusted=("10.0.0.0/8",)
            ),
        ),
        (
            "haproxy:trusted=[192.0.2.1,2001:db8::/32]:timeout=0.5:memory:x",
            ProxyProtocolServer(
                MemoryServer("x"), trusted=("192.0.2.1", "2001:db8::/32"), timeout=0.5
            ),
        ),
    ],
)
def test_servers_are_described(text: str, spec: ProxyProtocolServer) -> None:
    """Its own arguments come first, by name; the rest is another description."""
    assert parse_server(text) == spec
    assert parse_server(str(spec)) == spec


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("haproxy", "a haproxy server needs an endpoint, as in haproxy:tcp:8080"),
        ("haproxy:", "starts without a kind, expected one of"),
        ("haproxy:trusted=all:tcp:80", "but 'all' does not appear to be an IPv4 or IPv6 network"),
        ("haproxy:trusted=10.0.0.1/8:tcp:80", "but 10.0.0.1/8 has host bits set"),
        ("haproxy:trusted=10.0.0.0/255.0.0.0:tcp:80", "networks or addresses separated by commas"),
        ("haproxy:trusted=[fe80::1%eth0]:tcp:80", "networks or addresses separated by commas"),
        ("haproxy:trusted=10.0.0.0/:tcp:80", "networks or addresses separated by commas"),
        ("haproxy:timeout=0:tcp:80", "expected a number of seconds above 0"),
        ("haproxy:tcp:http", "port is 'http'"),
    ],
)
def test_wrong_servers(text: str, problem: str) -> None:
    """A wrong description says what is wrong."""
    with pytest.raises(DescriptionError) as caught:
        parse_server(text)
    assert problem in caught.value.problem


@pytest.mark.parametrize("kind", ["udp", "dns"])
def test_a_server_with_datagrams_has_no_place_for_a_header(kind: str) -> None:
    """It is refused where it stands in the text, of which all is shown."""
    with pytest.raises(DescriptionError) as caught:
        parse_server(f"haproxy:timeout=1:{kind}:0")
    problem = f"but a {kind} server has datagrams, and what is needed is a stream"
    assert caught.value.problem == f"endpoint is '{kind}:0', {problem}"
    assert (caught.value.text, caught.value.position) == (f"haproxy:timeout=1:{kind}:0", 18)


def test_a_name_that_is_taken_is_told_of_the_whole_endpoint() -> None:
    """An error when it is bound names what was to be bound, and not a part of it."""
    spec = parse_server("haproxy:fd:99999")
    with pytest.raises(ListenError) as caught:
        spec.bind()
    assert caught.value.endpoint == spec
    assert str(caught.value).startswith("haproxy:fd:99999: ")


def test_a_file_that_is_missing_is_told_of_the_whole_endpoint(tmp_path: Any) -> None:
    """So does an error when certificates are loaded."""
    spec = parse_server(f"haproxy:tls:0:private_key={tmp_path}/none.pem")
    with pytest.raises(ListenError) as caught:
        spec.acceptor()
    assert caught.value.endpoint == spec


# Connecting


@asynccontextmanager
async def recording(host: str = "127.0.0.1") -> AsyncIterator[tuple[int, asyncio.Queue[bytes]]]:
    """Listen, and give the port and all that each connection has sent, once it has ended."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionResetError):
            heard.put_nowait(await reader.read())
        writer.close()

    async with await asyncio.start_server(hear, host, 0) as server:
        yield server.sockets[0].getsockname()[1], heard


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_the_header_comes_first(host: str, version: int) -> None:
    """The connection begins with its own addresses, then come the bytes of the protocol."""
    async with recording(host) as (port, heard):
        spec = ProxyProtocolClient(TCPClient(host, port), version=version)
        reader, writer = await open_connection(spec)
        source = writer.get_extra_info("sockname")
        writer.write(b"hello")
        writer.write_eof()
        header, size = decode_header(data := await heard.get())
        assert data[size:] == b"hello"
        assert header == ProxyHeader(version=version, source=source, destination=(host, port))
        assert await reader.read() == b""
        await leave(writer)


async def test_addresses_that_are_given() -> None:
    """Who passes on the connection of another can say whose it is, with a checksum if wanted."""
    given = "source=192.0.2.1\\:56324:destination=[198.51.100.2:443]:checksum=yes"
    async with recording() as (port, heard):
        _, writer = await open_connection(f"haproxy:{given}:tcp:127.0.0.1:{port}")
        await leave(writer)
        header, _ = decode_header(await heard.get())
        assert header == ProxyHeader(source=CLIENT, destination=SITE, checksum=True)


@pytest.mark.parametrize(
    ("version", "header"),
    [
        (1, ProxyHeader(version=1)),
        (2, ProxyHeader(source="", destination="{path}")),
    ],
)
async def test_unix_sockets(version: int, header: ProxyHeader, tmp_path: Any) -> None:
    """Version 2 tells the paths; version 1 cannot, and says so."""
    path = f"{tmp_path}/app.sock"
    async with listen(f"unix:{path}") as server:
        _, writer = await open_connection(f"haproxy:version={version}:unix:{path}")
        await leave(writer)
        reader, other = await anext(server)
        told, _ = decode_header(await reader.read())
        other.close()
    assert told == (header if version == 1 else ProxyHeader(source="", destination=path))


@pytest.mark.parametrize(
    "text",
    [
        "haproxy:tls:127.0.0.1:{port}:bindAddress=127.0.0.2",
        "tls:127.0.0.1:{port}:endpoint=[haproxy:tcp:127.0.0.1:{port}:bind_address=127.0.0.2]",
        "haproxy:tls:localhost:1:endpoint=[tcp:127.0.0.1:{port}:bind_address=127.0.0.2]",
    ],
)
async def test_the_header_is_not_encrypted(text: str) -> None:
    """Whichever way it is written, the header comes before the ClientHello."""
    async with recording() as (port, heard):
        task = asyncio.ensure_future(connect(text.format(port=port), Recorder, timeout=0.2))
        with pytest.raises(ConnectError) as caught:
            await task
        assert caught.value.stage == "tls"
        header, size = decode_header(data := await heard.get())
        assert data[size : size + 2] == b"\x16\x03"
        assert isinstance(header.source, tuple)
        assert header.source[0] == "127.0.0.2"
        assert header.destination == ("127.0.0.1", port)


async def test_families_that_differ() -> None:
    """A header has one family: where only one address is given, it has to be that of the connection."""
    async with recording() as (port, _):
        with pytest.raises(ConnectError) as caught:
            await connect(f"haproxy:source=[[::1]:80]:tcp:127.0.0.1:{port}", Recorder)
        problem = "no PROXY header can be made: its source is ipv6, its destination ipv4"
        assert (caught.value.stage, caught.value.problem) == ("proxy", problem)


@dataclass(frozen=True, slots=True, repr=False)
class GivenClient(ClientSpec):
    """Gives a socket that a test has made."""

    names = (Name("given", "given:x"),)
    sockets: ClassVar[list[socket.socket]] = []

    name: Annotated[Host, Help("nothing")] = "x"

    async def open_socket(self, attempt: Attempt) -> socket.socket:
        return self.sockets.pop()


@pytest.fixture
def given() -> socket.socket:
    """The peer of the socket that `GivenClient` gives next."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    GivenClient.sockets.append(ours)
    return theirs


def fill(sock: socket.socket) -> int:
    """Send until the system takes no more, and give how much that was."""
    count = 0
    with suppress(BlockingIOError):
        while True:
            count += sock.send(bytes(4096))
    return count


async def test_a_connection_that_is_lost(given: socket.socket) -> None:
    """The error says where it happened, and the socket is closed."""
    sock = GivenClient.sockets[0]
    given.close()
    with pytest.raises(ConnectError) as caught:
        await connect(ProxyProtocolClient(GivenClient()), Recorder)
    problem = "the connection was lost before the PROXY header was sent"
    assert (caught.value.stage, caught.value.problem) == ("proxy", problem)
    assert sock.fileno() == -1


async def test_a_socket_that_is_full(given: socket.socket) -> None:
    """The header is sent when there is room, whole."""
    filled = fill(GivenClient.sockets[0])
    task = asyncio.ensure_future(connect(ProxyProtocolClient(GivenClient()), Recorder))
    with given:
        for _ in range(5):
            await asyncio.sleep(0)
        assert not task.done()
        data = b""
        while len(data) < filled + 232:
            data += await asyncio.get_running_loop().sock_recv(given, 65536)
        transport, protocol = await task
        header, _ = decode_header(data[filled:])
        assert header == ProxyHeader(source="", destination="")
        transport.close()
        await protocol.lost.wait()


async def test_a_cancel_while_it_is_full(given: socket.socket) -> None:
    """The socket is closed when the cancel comes out, and the loop watches it no more."""
    sock = GivenClient.sockets[0]
    fill(sock)
    descriptor = sock.fileno()
    task = asyncio.ensure_future(connect(ProxyProtocolClient(GivenClient()), Recorder))
    with given:
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert sock.fileno() == -1
        assert not asyncio.get_running_loop().remove_writer(descriptor)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("haproxy:tcp:h:80", ProxyProtocolClient(TCPClient("h", 80))),
        ("haproxy:version=1:tls:h:443", ProxyProtocolClient(TLSClient("h", 443), version=1)),
        (
            "haproxy:source=[[2001:db8::1]:80]:destination=[[2001:db8::2]:0]:memory:x",
            ProxyProtocolClient(
                MemoryClient("x"), source="[2001:db8::1]:80", destination="[2001:db8::2]:0"
            ),
        ),
    ],
)
def test_clients_are_described(text: str, spec: ProxyProtocolClient) -> None:
    """Its own arguments come first, by name; the rest is another description."""
    assert parse_client(text) == spec
    assert parse_client(str(spec)) == spec


def test_it_is_as_plain_as_what_it_wraps() -> None:
    """After the header the bytes are those of the inner endpoint."""
    assert parse_client("haproxy:tcp:h:80").is_plain()
    assert not parse_client("haproxy:tls:h:443").is_plain()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("haproxy:version=3:tcp:h:80", "version is '3', expected a number from 1 to 2"),
        ("haproxy:version=1:checksum=yes:tcp:h:80", "only version 2 of the header has a checksum"),
        ("haproxy:source=h\\:80:tcp:h:80", "expected an IP address and a port, as in 192.0.2.1:80"),
        ("haproxy:source=192.0.2.1:tcp:h:80", "expected an IP address and a port"),
        ("haproxy:source=[192.0.2.1:]:tcp:h:80", "expected an IP address and a port"),
        ("haproxy:source=[192.0.2.1:65536]:tcp:h:80", "expected an IP address and a port"),
        ("haproxy:source=[::1:80]:tcp:h:80", "expected an IP address and a port"),
        ("haproxy:source=[[192.0.2.1]:80]:tcp:h:80", "expected an IP address and a port"),
        ("haproxy:source=[[fe80::1%lo]:80]:tcp:h:80", "expected an IP address and a port"),
        (
            "haproxy:source=[192.0.2.1:1]:destination=[[::1]:1]:tcp:h:80",
            "source and destination are to be of one family, IPv4 or IPv6",
        ),
        (
            "haproxy:udp:h:53",
            "endpoint is 'udp:h:53', but a udp client has datagrams, and what is needed is a stream",
        ),
        (
            "haproxy:tls:h:443:endpoint=[tls:p:8443]",
            "'tls' makes no plain socket to send a header through",
        ),
        (
            "haproxy:haproxy:tls:h:443",
            "'haproxy' makes no plain socket to send a header through",
        ),
    ],
)
def test_wrong_clients(text: str, problem: str) -> None:
    """A wrong description says what is wrong."""
    with pytest.raises(DescriptionError) as caught:
        parse_client(text)
    assert problem in caught.value.problem


def test_wrong_specs() -> None:
    """So does a spec that is made in Python."""
    with pytest.raises(SpecError, match="only version 2"):
        ProxyProtocolClient(TCPClient("h", 80), version=1, checksum=True)
