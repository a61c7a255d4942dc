"""``connect_datagram`` and ``listen_datagram``: transports, errors, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import socket
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, cast

import pytest

from asyncendpoints import events
from asyncendpoints.addresses import Address
from asyncendpoints.datagrams import (
    BoundDatagram,
    DatagramListening,
    DatagramServer,
    connect_datagram,
    listen_datagram,
)
from asyncendpoints.errors import (
    AddressInUseError,
    ConnectError,
    ConnectTimeoutError,
    DescriptionError,
    ListenError,
)
from asyncendpoints.fields import Help, Seconds
from asyncendpoints.grammar import Name
from asyncendpoints.kinds.tcp import TCPClient, TCPServer
from asyncendpoints.kinds.udp import UDPClient, UDPServer
from asyncendpoints.listeners import ReportingSocket
from asyncendpoints.specs import DatagramClientSpec, DatagramServerSpec, parse_client
from tests.clock import run
from tests.serving import complaints
from tests.support import open_descriptors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncendpoints.attempt import Attempt

LOCAL = "udp:0:interface=127.0.0.1"


class Datagrams(asyncio.DatagramProtocol):
    """A protocol that writes down what happens to it."""

    def __init__(self) -> None:
        self.transport: asyncio.DatagramTransport | None = None
        self.received: asyncio.Queue[tuple[bytes, Any]] = asyncio.Queue()
        self.errors: asyncio.Queue[Exception] = asyncio.Queue()
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not a check: the transports of uvloop inherit from no class of asyncio.
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.received.put_nowait((data, addr))

    def error_received(self, exc: Exception) -> None:
        self.errors.put_nowait(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


class Echo(Datagrams):
    """Sends back what it receives."""

    def datagram_received(self, data: bytes, addr: Any) -> None:
        super().datagram_received(data, addr)
        assert self.transport is not None
        self.transport.sendto(data, addr)


class Brief(Datagrams):
    """Closes its transport as soon as it has it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        transport.close()


@contextmanager
def nothing_left() -> Iterator[None]:
    """Hold that a block leaves no descriptor, no task, and nothing for the log."""
    loop = asyncio.get_running_loop()
    reported: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: reported.append(context))
    descriptors, tasks = open_descriptors(), asyncio.all_tasks()
    yield
    assert (open_descriptors(), asyncio.all_tasks()) == (descriptors, tasks)
    gc.collect()
    assert reported == []


async def ended(transport: asyncio.DatagramTransport, protocol: Datagrams) -> None:
    """Close a transport and wait for its end."""
    transport.close()
    await protocol.lost.wait()


async def warm_up() -> None:
    """Let the loop open what it opens only once."""
    await ended(*await connect_datagram("udp:127.0.0.1:9", Datagrams))


@pytest.fixture
def peer() -> Iterator[socket.socket]:
    """A UDP socket to send to."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock


def text_of(sock: socket.socket) -> str:
    """Give the description that leads to a socket."""
    return f"udp:127.0.0.1:{sock.getsockname()[1]}"


def closed_port() -> int:
    """Give a UDP port that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


# Clients


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_there_and_back(host: str) -> None:
    """A datagram reaches the server, and its reply the client, with the addresses of both."""
    async with listen_datagram(f"udp:0:interface=[{host}]", Echo) as server:
        transport, protocol = await connect_datagram(f"udp:[{host}]:{server.port}", Datagrams)
        transport.sendto(b"hello")
        data, address = await protocol.received.get()
        assert (data, address[:2]) == (b"hello", (host, server.port))
        _, sender = await server.protocols[0].received.get()
        assert sender == transport.get_extra_info("sockname")
        assert transport.get_extra_info("peername")[:2] == (host, server.port)
        await ended(transport, protocol)


async def test_transport_is_the_one_of_the_protocol(peer: socket.socket) -> None:
    """What is returned is what the protocol has, and knows it: nothing stands between them."""
    transport, protocol = await connect_datagram(text_of(peer), Datagrams)
    assert protocol.transport is transport
    assert transport.get_protocol() is protocol
    await ended(transport, protocol)


async def test_spec_and_protocol_instead_of_text_and_factory(peer: socket.socket) -> None:
    """A spec is as good as a text, and a protocol as good as a factory."""
    mine = Datagrams()
    transport, protocol = await connect_datagram(parse_client(text_of(peer)), mine)
    assert protocol is mine
    await ended(transport, protocol)


async def test_nobody_there() -> None:
    """That nobody has the port reaches ``error_received``, and the transport lives on."""
    transport, protocol = await connect_datagram(f"udp:127.0.0.1:{closed_port()}", Datagrams)
    for _ in range(2):
        transport.sendto(b"hello")
        assert isinstance(await protocol.errors.get(), ConnectionRefusedError)
    assert not transport.is_closing()
    await ended(transport, protocol)


async def test_only_the_peer_is_heard(peer: socket.socket) -> None:
    """Datagrams of others do not reach the protocol."""
    transport, protocol = await connect_datagram(text_of(peer), Datagrams)
    me = transport.get_extra_info("sockname")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"forged", me)
    peer.sendto(b"true", me)
    assert (await protocol.received.get())[0] == b"true"
    assert protocol.received.empty()
    await ended(transport, protocol)


async def test_events(peer: socket.socket) -> None:
    """The hook hears of each step."""
    seen: list[events.Event] = []
    transport, protocol = await connect_datagram(text_of(peer), Datagrams, on_event=seen.append)
    assert [type(each) for each in seen] == [events.AttemptStarted, events.Connected]
    await ended(transport, protocol)


@pytest.mark.parametrize(
    ("text", "kind"),
    [("tcp:127.0.0.1:9", "a tcp"), ("unix:/no/such/path", "a unix"), ("fd:0", "an fd")],
)
async def test_client_without_datagrams(text: str, kind: str) -> None:
    """A client that has a stream is an error that says what opens it, and the factory is not called."""
    spec = parse_client(text)
    with pytest.raises(ConnectError) as caught:
        await connect_datagram(text, lambda: pytest.fail("called"))
    assert caught.value.endpoint == spec
    assert caught.value.problem == (
        f"{kind} client has a stream and no datagrams; connect() opens it"
    )


async def test_wrong_arguments() -> None:
    """A wrong text is a DescriptionError; what is no endpoint or no factory a TypeError."""
    with pytest.raises(DescriptionError):
        await connect_datagram("udp:x", Datagrams)
    with pytest.raises(TypeError, match="an endpoint to connect to is a description"):
        await connect_datagram(cast(Any, UDPServer(9)), Datagrams)
    with pytest.raises(TypeError, match="a protocol factory is a function or a class"):
        await connect_datagram("udp:127.0.0.1:9", cast(Any, 7))


async def test_factory_that_raises(peer: socket.socket) -> None:
    """What the factory raises comes out unchanged, and the socket is closed."""
    await warm_up()
    error = ZeroDivisionError()

    def factory() -> Datagrams:
        raise error

    with nothing_left(), pytest.raises(ZeroDivisionError) as caught:
        await connect_datagram(text_of(peer), factory)
    assert caught.value is error


class Troubled(Datagrams):
    """Has its transport and raises."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        raise ZeroDivisionError


async def test_connection_made_that_raises(peer: socket.socket) -> None:
    """What ``connection_made`` raises goes to the loop's handler, and the transport stays."""
    heard = complaints()
    transport, protocol = await connect_datagram(text_of(peer), Troubled)
    assert [type(each["exception"]) for each in heard] == [ZeroDivisionError]
    assert not transport.is_closing()
    await ended(transport, protocol)


@pytest.mark.parametrize("made", [None, "a text"])
async def test_factory_that_gives_no_protocol(peer: socket.socket, made: Any) -> None:
    """What is no protocol is refused, on either side, and every socket is closed."""
    await warm_up()
    factory = cast(Any, lambda: made)
    with nothing_left():
        with pytest.raises(TypeError, match="which is no protocol"):
            await connect_datagram(text_of(peer), factory)
        with pytest.raises(TypeError, match="which is no protocol"):
            await listen_datagram("udp:0", factory)


@dataclass(frozen=True, slots=True, repr=False)
class StreamClient(DatagramClientSpec):
    """A kind that is wrong: its socket is one of a stream."""

    names = (Name("wrong", "wrong:"),)

    async def open_datagram_socket(self, attempt: Attempt) -> socket.socket:
        return socket.socket(socket.AF_INET, socket.SOCK_STREAM)


async def test_socket_that_the_loop_refuses() -> None:
    """A socket that the loop makes no transport of is closed."""
    await warm_up()
    with nothing_left(), pytest.raises(ValueError, match="socket"):
        await connect_datagram(StreamClient(), Datagrams)


@dataclass(frozen=True, slots=True, repr=False)
class SlowClient(DatagramClientSpec):
    """Never comes to a socket."""

    names = (Name("slow", "slow:"),)

    timeout: Annotated[Seconds | None, Help("limit")] = 7.0

    async def open_datagram_socket(self, attempt: Attempt) -> socket.socket:
        attempt.stage = "resolve"
        return cast(socket.socket, await asyncio.get_running_loop().create_future())


@pytest.mark.parametrize(("options", "seconds"), [({}, 7), ({"timeout": 2}, 2)])
def test_timeout(options: dict[str, Any], seconds: float) -> None:
    """The time limit is that of the call, else that of the endpoint."""

    async def main() -> float:
        with pytest.raises(ConnectTimeoutError) as caught:
            await connect_datagram(SlowClient(), Datagrams, **options)
        assert caught.value.stage == "resolve"
        return asyncio.get_running_loop().time()

    assert run(main()) == seconds


def test_no_timeout() -> None:
    """A limit of None is no limit."""

    async def main() -> None:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(3600):
                await connect_datagram(SlowClient(), Datagrams, timeout=None)
        assert type(caught.value) is TimeoutError

    run(main())


@pytest.mark.parametrize("turns", range(6))
async def test_cancel(peer: socket.socket, turns: int) -> None:
    """A cancel in any turn leaves no descriptor behind, also where the transport is there already."""
    await warm_up()
    made: list[Datagrams] = []

    def factory() -> Datagrams:
        made.append(Datagrams())
        return made[0]

    with nothing_left():
        task = asyncio.create_task(connect_datagram(text_of(peer), factory))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            await ended(*task.result())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
    assert all(each.transport is None or each.lost.is_set() for each in made)


async def test_protocol_that_closes_at_once(peer: socket.socket) -> None:
    """A protocol may close its transport when it gets it."""
    await warm_up()
    with nothing_left():
        transport, protocol = await connect_datagram(text_of(peer), Brief)
        assert transport.is_closing()
        await protocol.lost.wait()
        for _ in range(3):
            await asyncio.sleep(0)


# Servers


async def test_server() -> None:
    """A server says what it has bound, and what reaches it."""
    async with listen_datagram("udp:0", Echo) as server:
        assert isinstance(server, DatagramServer)
        assert server.endpoints == (UDPServer(0),)
        assert [each.host for each in server.addresses] == ["0.0.0.0", "::"]
        assert {each.port for each in server.addresses} == {server.port}
        assert server.client_endpoints == (
            UDPClient("127.0.0.1", server.port),
            UDPClient("::1", server.port),
        )
        assert [each.getsockname()[1] for each in server.sockets] == [server.port] * 2
        assert [each.transport for each in server.protocols] == list(server.transports)
        assert server.protocols[0] is not server.protocols[1]
        assert server.get_loop() is asyncio.get_running_loop()
        assert server.is_serving()
        assert repr(server) == (
            f"<DatagramServer 0.0.0.0:{server.port}, [::]:{server.port} serving>"
        )


async def test_every_client_endpoint_reaches_it() -> None:
    """The text of each client endpoint leads to the server."""
    async with listen_datagram("udp:0", Echo) as server:
        for endpoint in server.client_endpoints:
            transport, protocol = await connect_datagram(str(endpoint), Datagrams)
            transport.sendto(b"hello")
            assert (await protocol.received.get())[0] == b"hello"
            await ended(transport, protocol)


async def test_several_endpoints() -> None:
    """Several endpoints are one server; one on :: leaves IPv4 to another on its port."""
    port = closed_port()
    endpoints = f"udp:{port}:interface=[::]", UDPServer(port, "127.0.0.1")
    async with listen_datagram(endpoints, Echo) as server:
        assert [each.host for each in server.addresses] == ["::", "127.0.0.1"]
        assert server.endpoints == (UDPServer(port, "::"), UDPServer(port, "127.0.0.1"))


async def test_awaited() -> None:
    """Without ``async with`` the server lives until it is closed; closing is done once."""
    await warm_up()
    with nothing_left():
        server = await listen_datagram(LOCAL, Datagrams)
        assert server.is_serving()
        waiting = asyncio.create_task(server.wait_closed())
        server.close()
        server.close()
        assert not server.is_serving()
        assert server.sockets == ()
        assert repr(server).endswith(" closed>")
        await waiting
        await server.wait_closed()
        assert server.protocols[0].lost.is_set()
    assert server.addresses[0].host == "127.0.0.1"


async def test_leaving_the_block_ends_it() -> None:
    """Leaving ``async with`` closes the sockets and tells the protocols, on an exception too."""
    await warm_up()
    with nothing_left():
        async with listen_datagram("udp:0", Datagrams) as server:
            pass
        assert all(each.lost.is_set() for each in server.protocols)
        with pytest.raises(ZeroDivisionError):
            async with listen_datagram("udp:0", Datagrams) as server:
                raise ZeroDivisionError
        assert all(each.lost.is_set() for each in server.protocols)


async def test_server_itself_is_a_context() -> None:
    """What was awaited can be entered, too."""
    async with await listen_datagram(LOCAL, Datagrams) as server:
        assert server.is_serving()
    assert not server.is_serving()


async def test_waiting_is_cancelled() -> None:
    """A cancelled ``wait_closed`` does no harm to the server."""
    async with listen_datagram(LOCAL, Echo) as server:
        waiting = asyncio.create_task(server.wait_closed())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        assert server.is_serving()


async def test_transports_that_end_by_themselves() -> None:
    """A server whose protocols have ended all their transports serves no more, and is closed."""
    async with listen_datagram("udp:0", Datagrams) as server:
        server.transports[0].close()
        await server.protocols[0].lost.wait()
        assert server.is_serving()
        server.transports[1].abort()
        await server.wait_closed()
        assert not server.is_serving()
        assert server.sockets == ()


async def test_protocols_that_close_at_once() -> None:
    """A server whose protocols close their transports at once is over."""
    await warm_up()
    with nothing_left():
        async with listen_datagram("udp:0", Brief) as server:
            await server.wait_closed()
            assert not server.is_serving()


async def test_start_is_all_or_nothing(peer: socket.socket) -> None:
    """If one endpoint cannot be bound none is, and the factory is not called."""
    await warm_up()
    port = closed_port()
    with nothing_left(), pytest.raises(AddressInUseError):
        await listen_datagram(
            [f"udp:{port}", f"udp:{peer.getsockname()[1]}"], lambda: pytest.fail("called")
        )
    async with listen_datagram(f"udp:{port}", Datagrams) as server:
        assert server.port == port


async def test_server_factory_that_raises() -> None:
    """What the factory raises comes out unchanged, and no protocol has got a transport."""
    await warm_up()
    made = [Datagrams()]
    with nothing_left(), pytest.raises(IndexError):
        await listen_datagram("udp:0", lambda: made[0] if made[0].transport else made.pop())
    assert not made


@pytest.mark.parametrize("turns", range(8))
async def test_cancel_of_a_start(turns: int) -> None:
    """A cancel in any turn of the start leaves nothing behind; protocols that have begun hear the end."""
    await warm_up()
    made: list[Datagrams] = []

    def factory() -> Datagrams:
        made.append(Datagrams())
        return made[-1]

    before = open_descriptors()

    async def start() -> DatagramServer[Datagrams]:
        try:
            return await listen_datagram(["udp:0", LOCAL], factory)
        except asyncio.CancelledError:
            # Not a turn later.
            assert open_descriptors() == before
            raise

    with nothing_left():
        task = asyncio.create_task(start())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            async with await task:
                pass
    assert all(each.transport is None or each.lost.is_set() for each in made)


async def test_server_without_datagrams() -> None:
    """A server that has connections is an error that says what serves it."""
    await warm_up()
    spec = TCPServer(0)
    with nothing_left(), pytest.raises(ListenError) as caught:
        await listen_datagram([LOCAL, spec], Datagrams)
    assert caught.value.endpoint is spec
    assert caught.value.problem == "a tcp server has connections and no datagrams"
    assert caught.value.hint == "listen() serves it"


async def test_wrong_endpoints() -> None:
    """What is wrong with an endpoint is told by the call, before anything is awaited."""
    with pytest.raises(DescriptionError):
        listen_datagram("udp:x", Datagrams)
    with pytest.raises(TypeError, match="an endpoint to listen on is a description"):
        listen_datagram(cast(Any, TCPClient("x", 1)), Datagrams)
    with pytest.raises(ValueError, match="no endpoint"):
        listen_datagram([], Datagrams)


async def test_repr_before_the_start() -> None:
    """What is not started yet says what it would start, with secrets masked."""
    starting = listen_datagram([LOCAL, "udp:0:[::1]"], Datagrams)
    assert isinstance(starting, DatagramListening)
    assert repr(starting) == "<DatagramListening udp:0:127.0.0.1, udp:0:[::1]>"
    async with starting:
        pass


@dataclass(frozen=True, slots=True, repr=False)
class PairServer(DatagramServerSpec):
    """A kind of another package: one end of a pair of unix sockets, plain ones."""

    names = (Name("pairs", "pairs:"),)

    def bind_datagram(self) -> list[socket.socket]:
        mine, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        other.close()
        mine.setblocking(False)
        return [mine]


async def test_kind_with_plain_sockets() -> None:
    """A kind may give plain sockets, without a port and without clients."""
    await warm_up()
    with nothing_left():
        async with listen_datagram(PairServer(), Datagrams) as server:
            (sock,) = server.sockets
            assert isinstance(sock, ReportingSocket)
            assert sock.family == socket.AF_UNIX
            assert server.client_endpoints == ()
            with pytest.raises(ValueError, match="this server receives on no port"):
                server.port  # noqa: B018 - the look is the test
        assert server.addresses == (Address(socket.AF_UNIX, ""),)


class StuckTransport(asyncio.DatagramTransport):
    """Has something to send that nobody takes: only abort ends it."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self.sock = sock
        self.calls: list[tuple[float, str]] = []

    def close(self) -> None:
        self.calls.append((asyncio.get_running_loop().time(), "close"))

    def abort(self) -> None:
        self.calls.append((asyncio.get_running_loop().time(), "abort"))
        self.sock.close()


@pytest.mark.parametrize(("error", "patience"), [(None, 1), (ZeroDivisionError, 0)])
def test_what_is_not_sent_yet(error: type[Exception] | None, patience: float) -> None:
    """Leaving the block waits a second for what is to be sent, and not at all on an exception."""

    async def main() -> list[tuple[float, str]]:
        spec = UDPServer(0, "127.0.0.1")
        (sock,) = spec.bind_datagram()
        assert isinstance(sock, ReportingSocket)
        transport = StuckTransport(sock)
        bound = BoundDatagram(spec, spec.acceptor(), sock, Address.of(sock))
        with pytest.raises(error) if error else nullcontext():
            async with DatagramServer([bound], [(transport, Datagrams())]):
                if error:
                    raise error
        return transport.calls

    assert run(main()) == [(0, "close"), (patience, "abort")]


def test_loop_that_is_closed_first() -> None:
    """Sockets that are closed after their loop do no harm, even if somebody waited for that."""
    spec = UDPServer(0, "127.0.0.1")
    (sock,) = spec.bind_datagram()
    assert isinstance(sock, ReportingSocket)

    async def start() -> DatagramServer[Datagrams]:
        return DatagramServer([BoundDatagram(spec, spec.acceptor(), sock, Address.of(sock))], [])

    server = run(start())
    server._ended.add_done_callback(lambda _: pytest.fail("called"))
    assert server.is_serving()
    sock.close()
    assert not server.is_serving()
