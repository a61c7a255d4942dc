"""DNS endpoints: what the texts mean, and the sockets that they stand for."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest

from asyncendpoints.addresses import Address
from asyncendpoints.attempt import Attempt
from asyncendpoints.datagrams import connect_datagram, listen_datagram
from asyncendpoints.errors import (
    AddressInUseError,
    ConnectRefusedError,
    DescriptionError,
    ListenError,
)
from asyncendpoints.kinds.dns import DNSClient, DNSServer
from asyncendpoints.listening import bind, listen
from asyncendpoints.specs import ServerSpec, parse_client, parse_server
from tests.support import Recorder, open_descriptors, unused_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("dns:9.9.9.9", DNSClient("9.9.9.9")),
        ("dns:ns.example.org:5353", DNSClient("ns.example.org", 5353)),
        ("DNS:[2620:fe::9]", DNSClient("2620:fe::9")),
        (
            "dns:x:timeout=2:bindAddress=127.0.0.2:family=ipv4",
            DNSClient("x", timeout=2, bind_address="127.0.0.2", family="ipv4"),
        ),
    ],
)
def test_client_text(text: str, spec: DNSClient) -> None:
    """A text stands for this client, and the client's own text for the same one."""
    assert parse_client(text) == spec
    assert parse_client(str(spec)) == spec


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("dns:53", DNSServer(53)),
        ("dns:10053:interface=127.0.0.1", DNSServer(10053, "127.0.0.1")),
        ("dns:53:[::]:5", DNSServer(53, "::", 5)),
        (
            "dns:0:backlog=5:v6only=yes:reusePort=yes",
            DNSServer(0, backlog=5, v6only=True, reuse_port=True),
        ),
    ],
)
def test_server_text(text: str, spec: DNSServer) -> None:
    """A text stands for this server, and the server's own text for the same one."""
    assert parse_server(text) == spec
    assert parse_server(str(spec)) == spec


def test_nobody_is_asked_at_port_0() -> None:
    """A client has no port 0."""
    with pytest.raises(DescriptionError, match="port is '0', expected a number from 1 to 65535"):
        parse_client("dns:9.9.9.9:0")


# Servers


@contextmanager
def bound(text: str) -> Iterator[tuple[list[socket.socket], list[socket.socket]]]:
    """Give the listening sockets and the datagram sockets of a server, as long as the block takes."""
    with ExitStack() as stack:
        listeners, sockets = parse_server(text).bind_both()
        for each in [*listeners, *sockets]:
            stack.callback(each.close)
        yield cast("list[socket.socket]", listeners), sockets


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("dns:0", ["0.0.0.0", "::"]),
        ("dns:0:interface=127.0.0.1", ["127.0.0.1"]),
        ("dns:0:interface=[::1]", ["::1"]),
    ],
)
def test_one_port_for_both(text: str, hosts: list[str]) -> None:
    """There is a TCP and a UDP socket on each address, all on one port that the system picks."""
    with bound(text) as (listeners, sockets):
        assert [Address.of(each).host for each in listeners] == hosts
        assert [Address.of(each).host for each in sockets] == hosts
        ports = {each.getsockname()[1] for each in listeners + sockets}
        assert len(ports) == 1
        assert ports != {0}
        assert {each.type for each in listeners} == {socket.SOCK_STREAM}
        assert {each.type for each in sockets} == {socket.SOCK_DGRAM}
        assert {each.gettimeout() for each in listeners + sockets} == {0}


def test_port_of_the_users_own() -> None:
    """A number that was given is that of both."""
    with bound("dns:0:interface=127.0.0.1") as ((listener,), _):
        port = listener.getsockname()[1]
    with bound(f"dns:{port}:127.0.0.1") as ((listener,), (sock,)):
        assert listener.getsockname() == sock.getsockname() == ("127.0.0.1", port)


def test_options() -> None:
    """The options are those of both: two servers share a port if they say so, and :: can leave IPv4."""
    with bound("dns:0:interface=[::]:v6only=yes:reuse_port=yes") as (listeners, sockets):
        port = sockets[0].getsockname()[1]
        for each in listeners + sockets:
            assert each.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        with bound(f"dns:{port}:interface=[::]:v6only=yes:reuse_port=yes") as (others, _):
            assert others[0].getsockname()[1] == port


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_address_in_use(kind: socket.SocketKind) -> None:
    """A port that is taken for one of them is taken; the error names who has it, and nothing stays open."""
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", unused_port()))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        before = open_descriptors()
        with pytest.raises(AddressInUseError) as caught:
            parse_server(f"dns:{port}:127.0.0.1").bind_both()
        assert open_descriptors() == before
    assert caught.value.problem == f"cannot listen on 127.0.0.1:{port}: address already in use"
    assert caught.value.hint.endswith(f"(process {os.getpid()})")


def test_number_that_udp_lacks_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the number that TCP was given is taken for UDP, both get another."""
    drawn: list[int] = []
    numbers = [1, 1, 0]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", unused_port()))
        numbers[0] = numbers[1] = taken.getsockname()[1]
        real = socket.socket.bind

        def draw(sock: socket.socket, address: Any) -> None:
            """Give TCP sockets the numbers of this test, as the system could."""
            if sock.type == socket.SOCK_STREAM:
                drawn.append(numbers[len(drawn)])
                address = (address[0], drawn[-1])
            real(sock, address)

        monkeypatch.setattr(socket.socket, "bind", draw)
        with bound("dns:0:interface=127.0.0.1") as ((listener,), (sock,)):
            assert listener.getsockname() == sock.getsockname()
    assert drawn == numbers


def test_interface_that_does_not_exist() -> None:
    """An address of another machine is an error of the system's."""
    with pytest.raises(ListenError) as caught:
        parse_server("dns:0:192.0.2.1").bind_both()
    assert caught.value.errno == errno.EADDRNOTAVAIL


@pytest.mark.parametrize(
    "serve",
    [listen, lambda text, _: bind(text), listen_datagram],
    ids=["listen", "bind", "datagram"],
)
async def test_half_of_it(serve: Callable[[str, Any], Any]) -> None:
    """To listen for connections alone or for datagrams alone is an error that says what serves it."""
    before = open_descriptors()
    with pytest.raises(ListenError) as caught:
        await serve("dns:10053", Recorder)
    assert open_descriptors() == before
    assert str(caught.value) == (
        "dns:10053: a dns server has connections and datagrams "
        "(asyncendpoints.dns.listen() serves it; tcp:10053 is the one, udp:10053 the other)"
    )


@pytest.mark.parametrize(
    ("text", "listeners", "sockets"),
    [
        ("udp:0:interface=127.0.0.1", 0, 1),
        ("tcp:0:interface=127.0.0.1", 1, 0),
        ("dns:0:interface=127.0.0.1", 1, 1),
    ],
)
def test_every_kind_gives_what_it_has(text: str, listeners: int, sockets: int) -> None:
    """One call binds what there is of any kind: connections, datagrams or both."""
    with bound(text) as opened:
        assert (len(opened[0]), len(opened[1])) == (listeners, sockets)


@pytest.mark.parametrize(
    ("sockaddr", "client"),
    [
        (("0.0.0.0", 5353), DNSClient("127.0.0.1", 5353)),
        (("192.0.2.1", 53), DNSClient("192.0.2.1")),
    ],
)
def test_client_of_a_server(sockaddr: Any, client: DNSClient) -> None:
    """What reaches a server is a dns client."""
    spec: ServerSpec = DNSServer(53)
    assert spec.client(Address(socket.AF_INET, sockaddr), spec.acceptor()) == client


# Clients


class Silent(asyncio.DatagramProtocol):
    """A datagram protocol that hears nothing."""


async def test_client_connects_by_tcp() -> None:
    """The plain socket of a client is a TCP connection, from the address that was given."""
    with bound("dns:0:interface=127.0.0.1") as ((listener,), _):
        client = DNSClient("127.0.0.1", listener.getsockname()[1], bind_address="127.0.0.2")
        assert client.is_plain()
        with await client.open_socket(Attempt(client)) as sock:
            assert sock.getpeername() == listener.getsockname()
            assert sock.getsockname()[0] == "127.0.0.2"
            assert (sock.type, sock.gettimeout()) == (socket.SOCK_STREAM, 0)


async def test_client_sends_by_udp() -> None:
    """The datagram socket of a client is connected to its UDP port, from the address that was given."""
    with bound("dns:0:interface=127.0.0.1") as (_, (server,)):
        client = DNSClient("127.0.0.1", server.getsockname()[1], bind_address="127.0.0.2")
        with await client.open_datagram_socket(Attempt(client)) as sock:
            sock.send(b"hello")
            assert server.recvfrom(100) == (b"hello", sock.getsockname())
            assert sock.getsockname()[0] == "127.0.0.2"


async def test_client_of_nobody() -> None:
    """Where nobody listens the connection is refused."""
    with socket.socket() as spare:
        spare.bind(("127.0.0.1", 0))
        client = DNSClient("127.0.0.1", spare.getsockname()[1])
        with pytest.raises(ConnectRefusedError):
            await client.open_socket(Attempt(client))


async def test_connect_datagram() -> None:
    """A dns client is one for datagrams, too."""
    with bound("dns:0:interface=127.0.0.1") as (_, (server,)):
        text = f"dns:127.0.0.1:{server.getsockname()[1]}"
        transport, _ = await connect_datagram(text, Silent)
        assert transport.get_extra_info("peername") == server.getsockname()
        transport.abort()
