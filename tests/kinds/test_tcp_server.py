"""TCP servers: what their texts mean, and what they bind."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import TYPE_CHECKING

import pytest

from asyncendpoints.addresses import Address
from asyncendpoints.errors import AddressInUseError, ListenError
from asyncendpoints.kinds.tcp import TCPClient, TCPServer, bind_tcp
from asyncendpoints.listening import bind, listen
from asyncendpoints.specs import parse_server
from tests.serving import Visits, leave
from tests.support import Recorder, no_descriptors_left, open_descriptors

if TYPE_CHECKING:
    from asyncendpoints.listening import Sockets


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("tcp:80", TCPServer(80)),
        ("tcp:80:interface=127.0.0.1", TCPServer(80, "127.0.0.1")),
        ("tcp:80:127.0.0.1:50", TCPServer(80, "127.0.0.1", 50)),
        ("tcp:80:[::1]", TCPServer(80, "::1")),
        (r"tcp:80:interface=\:\:1", TCPServer(80, "::1")),
        ("tcp6:80", TCPServer(80, "::")),
        ("tcp6:80:50", TCPServer(80, "::", 50)),
        ("tcp:80:v6only=yes:reusePort=yes", TCPServer(80, v6only=True, reuse_port=True)),
    ],
)
def test_text(text: str, spec: TCPServer) -> None:
    """A text stands for this spec, and the spec's own text for the same one."""
    assert parse_server(text) == spec
    assert parse_server(str(spec)) == spec


def addresses(sockets: Sockets) -> list[str]:
    """List where sockets listen, without their ports."""
    return [Address.of(each).host for each in sockets]


def test_both_families_on_one_port() -> None:
    """Without an interface there is a socket for each family, on one port that the system picks."""
    with bind("tcp:0") as sockets:
        assert addresses(sockets) == ["0.0.0.0", "::"]
        ports = {each.getsockname()[1] for each in sockets}
        assert len(ports) == 1
        assert ports != {0}


def test_ipv6_socket_leaves_ipv4_alone() -> None:
    """Of the two sockets of a port the IPv6 one takes IPv6 only."""
    with bind("tcp:0") as sockets:
        assert sockets[1].getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


def test_no_descriptors_left() -> None:
    """Where no socket can be made the error says why, though both families look as if they were off."""
    with no_descriptors_left(), pytest.raises(ListenError) as caught:
        bind("tcp:0")
    assert caught.value.errno == errno.EMFILE


@pytest.mark.parametrize("text", ["tcp6:0", "tcp:0:interface=[::]"])
async def test_explicit_wildcard_takes_both_families(text: str) -> None:
    """A tcp6 server, and one on ::, is reached by IPv4 too."""
    visits = Visits()
    async with listen(text, visits) as server:
        for host in ("127.0.0.1", "::1"):
            _, writer = await asyncio.open_connection(host, server.port)
            await visits.next()
            await leave(writer)


async def test_v6only() -> None:
    """With v6only a server on :: is not reached by IPv4."""
    async with listen("tcp6:0:v6only=yes", Recorder) as server:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", server.port)


def test_interface_by_name() -> None:
    """A host name stands for all its addresses, with one port."""
    with bind("tcp:0:interface=localhost") as sockets:
        assert {each.getsockname()[1] for each in sockets} == {sockets[0].getsockname()[1]}
        assert "127.0.0.1" in addresses(sockets)


def test_interface_that_does_not_exist() -> None:
    """A name without an address is an error that says it; so is an address of another machine."""
    with pytest.raises(ListenError, match=r"cannot find the interface 'no\.invalid'"):
        bind("tcp:0:interface=no.invalid")
    with pytest.raises(ListenError) as caught:
        bind("tcp:80:interface=192.0.2.1")
    assert caught.value.errno == errno.EADDRNOTAVAIL
    assert str(caught.value) == (
        "tcp:80:192.0.2.1: cannot listen on 192.0.2.1:80: cannot assign requested address "
        "(no interface of this machine has the address)"
    )


@pytest.mark.parametrize("interface", ["127.0.0.1", "0.0.0.0"])
def test_address_in_use(interface: str) -> None:
    """A port that is taken is an error that names who has it, and no descriptor is left."""
    with open("/proc/self/comm") as file:
        name = file.read().strip()
    with bind("tcp:0:interface=127.0.0.1") as sockets:
        port = sockets[0].getsockname()[1]
        before = open_descriptors()
        with pytest.raises(AddressInUseError) as caught:
            bind(f"tcp:{port}:interface={interface}")
        assert open_descriptors() == before
        assert (caught.value.errno, caught.value.endpoint) == (
            errno.EADDRINUSE,
            TCPServer(port, interface),
        )
        assert str(caught.value) == (
            f"tcp:{port}:{interface}: cannot listen on {interface}:{port}: address already in use "
            f"(held by {name} (process {os.getpid()}))"
        )


def test_address_in_use_on_one_family() -> None:
    """A port that is taken on IPv6 alone is taken, and the IPv4 socket is closed again."""
    with bind("tcp6:0:v6only=yes") as sockets:
        port = sockets[0].getsockname()[1]
        before = open_descriptors()
        with pytest.raises(AddressInUseError):
            bind(f"tcp:{port}")
        assert open_descriptors() == before


def test_listeners_are_tcp_without_delay() -> None:
    """A listening socket is of the protocol TCP and has TCP_NODELAY, which its connections inherit."""
    with bind("tcp:0") as sockets:
        for each in sockets:
            assert each.proto == socket.IPPROTO_TCP
            assert each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_restart_right_after_close() -> None:
    """A port whose connections linger after their close can be listened on again at once."""
    visits = Visits()
    server = await listen("tcp:0:interface=127.0.0.1", visits)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    await visits.next()
    server.close_clients()
    assert await reader.read() == b""
    await leave(writer)
    server.close()
    await server.wait_closed()
    async with listen(f"tcp:{server.port}:interface=127.0.0.1", visits) as again:
        assert again.port == server.port


def test_reuse_port() -> None:
    """Two servers share a port if both say so, and otherwise not."""
    with bind("tcp:0:interface=127.0.0.1:reuse_port=yes") as sockets:
        port = sockets[0].getsockname()[1]
        with bind(f"tcp:{port}:interface=127.0.0.1:reuse_port=yes"):
            pass
        with pytest.raises(AddressInUseError):
            bind(f"tcp:{port}:interface=127.0.0.1")


def test_backlog() -> None:
    """Of clients that nobody accepts as many get through as the backlog says, and one more."""
    with bind("tcp:0:interface=127.0.0.1:backlog=2") as sockets:
        clients = [socket.socket() for _ in range(5)]
        for client in clients:
            client.setblocking(False)
            assert client.connect_ex(sockets[0].getsockname()) == errno.EINPROGRESS
        through = [
            client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO) == 1 for client in clients
        ]
        assert through == [True, True, True, False, False]
        for client in clients:
            client.close()


async def test_client_of_a_wildcard_is_on_loopback() -> None:
    """The client endpoints of a server on all addresses are those of loopback, with the real port."""
    async with listen("tcp:0", Recorder) as server:
        assert server.client_endpoints == (
            TCPClient("127.0.0.1", server.port),
            TCPClient("::1", server.port),
        )


def test_bind_tcp_for_other_kinds() -> None:
    """Another kind binds with its own spec, which its errors name."""
    spec = TCPServer(8080)
    (sock,) = bind_tcp(spec, 0, "127.0.0.1", 5)
    with sock, pytest.raises(AddressInUseError) as caught:
        bind_tcp(spec, sock.getsockname()[1], "127.0.0.1", 5)
    assert caught.value.endpoint is spec
