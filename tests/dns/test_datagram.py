"""DNS over UDP: the transport on a real socket, the protocol on a fake one."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import dns.message
import pytest

from asyncendpoints.dns import datagram as module
from asyncendpoints.dns.datagram import DNSDatagramProtocol, DrainingTransport, Peer
from asyncendpoints.dns.outcome import DROP, Answer
from asyncendpoints.dns.responder import Responder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from asyncendpoints.dns.outcome import Outcome
    from asyncendpoints.dns.query import Query

CLIENT = ("127.0.0.1", 5353)


class Resolver:
    """A resolver that calls a function, and writes down what it was asked."""

    def __init__(self, answer: Callable[[Query], Awaitable[Outcome]]) -> None:
        self._answer = answer
        self.asked: list[Query] = []

    def resolve(self, query: Query, /) -> Awaitable[Outcome]:
        self.asked.append(query)
        return self._answer(query)


def plain(query: Query) -> Outcome:
    """Answer with an address."""
    return Answer.of(query, "192.0.2.1")


class Remembered(Resolver):
    """A resolver whose outcomes stay."""

    version = 1

    def resolve(self, query: Query, /) -> Outcome:
        self.asked.append(query)
        return Answer.of(query, "192.0.2.1").replace(until=float("inf"))


class Sent(list[tuple[bytes, Any]]):
    """A transport that keeps what it is to send."""

    def __init__(self) -> None:
        self.is_closed = False
        self.is_paused = False

    def get_extra_info(self, name: str) -> Any:
        if name == "sockname":
            return ("127.0.0.1", 53)
        return type("Socket", (), {"family": socket.AF_INET})

    def sendto(self, data: bytes, addr: Any) -> None:
        self.append((data, addr))

    def pause_reading(self) -> None:
        self.is_paused = True

    def close(self) -> None:
        self.is_closed = True


def query(identifier: int = 1) -> bytes:
    """Write a query."""
    message = dns.message.make_query("a.test", "A")
    message.id = identifier
    return message.to_wire()


def serve(resolver: Resolver) -> tuple[DNSDatagramProtocol, Sent]:
    """Make a protocol and the transport that it sends by."""
    protocol, transport = DNSDatagramProtocol(Responder(resolver)), Sent()
    protocol.connection_made(cast(asyncio.DatagramTransport, transport))
    with suppress(RuntimeError):  # where nothing is waited for, there need not be a loop
        protocol.wake(asyncio.get_running_loop().time())
    return protocol, transport


def test_replies_to_the_client() -> None:
    """The reply goes to who asked."""
    protocol, sent = serve(Resolver(plain))
    protocol.datagram_received(query(), CLIENT)
    assert [addr for _, addr in sent] == [CLIENT]
    assert dns.message.from_wire(sent[0][0]).answer


def test_repeats_what_it_said() -> None:
    """A question that was answered a moment ago is answered without the resolver."""
    resolver = Remembered(plain)
    protocol, sent = serve(resolver)
    protocol.datagram_received(query(1), CLIENT)
    protocol.datagram_received(query(2), CLIENT)
    assert [dns.message.from_wire(each).id for each, _ in sent] == [1, 2]
    assert len(resolver.asked) == 1


def test_ignores_port_zero() -> None:
    """Nothing is sent to port 0, which nobody has."""
    protocol, sent = serve(Resolver(plain))
    protocol.datagram_received(query(), ("127.0.0.1", 0))
    assert not sent


def test_says_nothing() -> None:
    """Where nothing is to be said, nothing is sent."""
    protocol, sent = serve(Resolver(lambda _: DROP))
    protocol.datagram_received(query(), CLIENT)
    assert not sent


def test_tells_the_resolver_where_it_came_to() -> None:
    """A query knows its client and the address that was asked."""
    resolver = Resolver(plain)
    protocol, _ = serve(resolver)
    protocol.datagram_received(query(), CLIENT)
    assert str(resolver.asked[0].client) == "127.0.0.1:5353"
    assert str(resolver.asked[0].local) == "127.0.0.1:53"
    assert resolver.asked[0].transport == "udp"


class Later:
    """A resolver's coroutine that ends when it is told to."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.outcome: Outcome | None = None

    async def __call__(self, query: Query) -> Outcome:
        await self.ready.wait()
        return self.outcome or Answer.of(query, "192.0.2.1")


async def turns(count: int = 5) -> None:
    """Let the loop run."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_replies_later() -> None:
    """A reply that takes its time goes to who asked."""
    later = Later()
    protocol, sent = serve(Resolver(later))
    protocol.datagram_received(query(), CLIENT)
    assert protocol._responder.waiting == 1
    later.ready.set()
    await turns()
    assert [addr for _, addr in sent] == [CLIENT]
    assert protocol._responder.waiting == 0


async def test_says_nothing_later() -> None:
    """Where nothing is to be said in the end, nothing is sent."""
    later = Later()
    later.outcome = DROP
    protocol, sent = serve(Resolver(later))
    protocol.datagram_received(query(), CLIENT)
    later.ready.set()
    await turns()
    assert not sent
    assert protocol._responder.waiting == 0


def test_closes_at_once_with_nothing_to_wait_for() -> None:
    """Without waiting queries the transport is closed at once."""
    protocol, sent = serve(Resolver(plain))
    protocol.close()
    assert sent.is_closed


async def test_closes_after_the_last_reply() -> None:
    """Queries that wait get their replies before the transport is closed; no more are read."""
    later = Later()
    protocol, sent = serve(Resolver(later))
    protocol.datagram_received(query(), CLIENT)
    protocol.close()
    assert (sent.is_paused, sent.is_closed) == (True, False)
    later.ready.set()
    await turns()
    assert len(sent) == 1
    assert sent.is_closed


async def test_gives_up_with_its_transport() -> None:
    """When the transport has ended, the tasks of those that wait are cancelled."""
    protocol, sent = serve(Resolver(Later()))
    protocol.datagram_received(query(), CLIENT)
    await turns()
    before = asyncio.all_tasks()
    protocol.connection_lost(None)
    await turns()
    assert asyncio.all_tasks() < before
    assert (len(sent), protocol._responder.waiting) == (0, 0)


def test_counts_errors() -> None:
    """What the system does not take is counted, and that is all."""
    responder = Responder(Resolver(plain))
    DNSDatagramProtocol(responder).error_received(OSError())
    assert responder.counters.unsent == 1


# On real sockets


class Heard(DNSDatagramProtocol):
    """A protocol that writes down what it gets, and can do something then."""

    def __init__(self) -> None:
        super().__init__(Responder(Resolver(plain)))
        self.got: list[tuple[bytes, Any]] = []
        self.woken = 0
        self.errors: list[Exception] = []
        self.failed = asyncio.Event()
        self.ended = asyncio.Event()
        self.arrived = asyncio.Event()
        self.then: Callable[[], None] = lambda: None

    def wake(self, now: float) -> None:
        self.woken += 1

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.got.append((data, addr))
        self.arrived.set()
        self.then()

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)
        self.failed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.ended.set()


def bound(host: str = "127.0.0.1") -> socket.socket:
    """Give a socket that is bound to a free port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind((host, 0))
    return sock


@pytest.fixture
def client() -> Iterator[socket.socket]:
    """Give a socket to ask from."""
    with bound() as sock:
        yield sock


async def received(protocol: Heard, count: int) -> None:
    """Wait until a protocol has so many datagrams."""
    while len(protocol.got) < count:
        protocol.arrived.clear()
        await protocol.arrived.wait()


async def heard(sock: socket.socket) -> tuple[bytes, Any]:
    """Wait for a datagram: with ``add_reader``, as uvloop has no ``sock_recvfrom``."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sock, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sock)
    return sock.recvfrom(100)


async def close(transport: DrainingTransport, protocol: Heard) -> None:
    """End a transport."""
    transport.close()
    await protocol.ended.wait()


async def test_empties_its_socket(client: socket.socket) -> None:
    """Under load more than one datagram is read in one turn of the loop."""
    protocol = Heard()
    transport = DrainingTransport(bound(), protocol)
    for number in range(50):
        client.sendto(bytes((number,)), transport.get_extra_info("sockname"))
    await received(protocol, 50)
    assert [data[0] for data, _ in protocol.got] == list(range(50))
    assert protocol.woken < 10
    assert protocol.got[0][1] == client.getsockname()
    await close(transport, protocol)


async def test_leaves_the_loop_its_turn(
    client: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its time is over the transport lets others have their turn."""
    monkeypatch.setattr(module, "_SECONDS_AT_ONCE", -1.0)
    protocol = Heard()
    transport = DrainingTransport(bound(), protocol)
    transport._at_once = 64
    for _ in range(33):
        client.sendto(b"x", transport.get_extra_info("sockname"))
    await received(protocol, 33)
    assert protocol.woken >= 33 // 8
    await close(transport, protocol)


async def test_sends(client: socket.socket) -> None:
    """What it sends arrives, from the address that it is bound to."""
    protocol = Heard()
    transport = DrainingTransport(bound(), protocol)
    transport.sendto(b"reply", client.getsockname())
    assert await heard(client) == (
        b"reply",
        transport.get_extra_info("sockname"),
    )
    await close(transport, protocol)


async def test_an_error_of_sending() -> None:
    """What the system does not take is lost, and the protocol hears of it."""
    protocol = Heard()
    transport = DrainingTransport(bound(), protocol)
    transport.sendto(b"x" * 70_000, CLIENT)
    assert cast(OSError, protocol.errors[0]).errno == errno.EMSGSIZE
    await close(transport, protocol)


async def test_an_error_of_receiving() -> None:
    """An error that the system has for the socket goes to the protocol, and reading goes on."""
    protocol = Heard()
    sock = bound()
    with bound() as gone:
        sock.connect(gone.getsockname())
    transport = DrainingTransport(sock, protocol)
    sock.send(b"to nobody")
    await protocol.failed.wait()
    assert isinstance(protocol.errors[0], ConnectionRefusedError)
    await close(transport, protocol)


async def test_pauses(client: socket.socket) -> None:
    """While it is paused nothing is read; then what waited is."""
    protocol = Heard()
    transport = DrainingTransport(bound(), protocol)
    transport.pause_reading()
    transport.pause_reading()
    client.sendto(b"x", transport.get_extra_info("sockname"))
    await turns(20)
    assert not protocol.got
    transport.resume_reading()
    await received(protocol, 1)
    await close(transport, protocol)
    transport.resume_reading()


async def test_closed_while_reading(client: socket.socket) -> None:
    """A protocol that closes its transport gets no more of the datagrams of that turn."""
    protocol = Heard()
    transport = DrainingTransport(bound(), protocol)
    transport._at_once = 64
    protocol.then = transport.abort
    for _ in range(5):
        client.sendto(b"x", transport.get_extra_info("sockname"))
    await protocol.ended.wait()
    assert len(protocol.got) == 1
    assert transport.is_closing()


async def test_says_when_it_has_ended() -> None:
    """Who asked for it hears of the end of the transport."""
    ended: asyncio.Future[DNSDatagramProtocol] = asyncio.get_running_loop().create_future()
    protocol = DNSDatagramProtocol(Responder(Resolver(plain)), ended.set_result)
    DrainingTransport(bound(), protocol).close()
    assert await ended is protocol


async def test_closes_its_socket() -> None:
    """The socket is closed with the transport, once."""
    protocol = Heard()
    sock = bound()
    transport = DrainingTransport(sock, protocol)
    transport.close()
    await close(transport, protocol)
    assert sock.fileno() == -1


async def test_changes_its_protocol(client: socket.socket) -> None:
    """Another protocol can take the datagrams over."""
    first, second = Heard(), Heard()
    transport = DrainingTransport(bound(), first)
    transport.set_protocol(second)
    assert transport.get_protocol() is second
    client.sendto(b"x", transport.get_extra_info("sockname"))
    await received(second, 1)
    await close(transport, second)


@pytest.mark.parametrize(
    ("wildcard", "asked"), [("0.0.0.0", "127.0.0.2"), ("::", "::1"), ("::", "::ffff:127.0.0.3")]
)
async def test_replies_from_where_it_was_asked(wildcard: str, asked: str) -> None:
    """On a wildcard address the reply leaves from the address that was asked."""
    protocol = Heard()
    family = socket.AF_INET6 if ":" in wildcard else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setblocking(False)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind((wildcard, 0))
    transport = DrainingTransport(sock, protocol)
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.sendto(b"question", (asked, sock.getsockname()[1]))
        await received(protocol, 1)
        addr = protocol.got[0][1]
        assert isinstance(addr, Peer)
        assert addr.local[0] == asked
        transport.sendto(b"reply", addr)
        _, source = await heard(client)
        assert source[0] == asked
    await close(transport, protocol)


def test_a_link_local_address_keeps_its_interface() -> None:
    """The reply to a link-local address names the interface, without which there is no such address."""
    local = socket.inet_pton(socket.AF_INET6, "fe80::1")
    value = struct.pack("@16sI", local, 7)
    peer = module._with_destination(
        ("fe80::2", 5353, 0, 7), [(socket.IPPROTO_IPV6, module._IPV6_PKTINFO, value)]
    )
    assert peer.control == [(socket.IPPROTO_IPV6, module._IPV6_PKTINFO, value)]
    assert peer.local == ("fe80::1", 0, 0, 7)


def test_without_a_destination() -> None:
    """Where the system says nothing of the destination, the peer is what it is."""
    assert module._with_destination(CLIENT, [(0, 0, b"")]) is CLIENT


def test_the_destination_reaches_the_resolver() -> None:
    """A query to a wildcard address knows which address was asked."""
    resolver = Resolver(plain)
    protocol, sent = serve(resolver)
    peer = Peer(CLIENT)
    peer.local, peer.control = ("127.0.0.9", 0), []
    protocol.datagram_received(query(), peer)
    assert resolver.asked[0].local is not None
    assert resolver.asked[0].local.host == "127.0.0.9"
    assert sent[0][1] is peer
