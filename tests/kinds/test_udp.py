"""UDP: what the texts mean, and the sockets that they stand for."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from asyncendpoints.addresses import Address
from asyncendpoints.attempt import Attempt
from asyncendpoints.connecting import connect
from asyncendpoints.errors import (
    AddressInUseError,
    ConnectError,
    ConnectRefusedError,
    DescriptionError,
    ListenError,
    ResolveError,
    SpecError,
)
from asyncendpoints.kinds.udp import UDPClient, UDPServer, bind_udp
from asyncendpoints.listening import bind, listen
from asyncendpoints.specs import (
    DatagramClientSpec,
    DatagramServerSpec,
    parse_client,
    parse_server,
)
from tests.support import Recorder, no_descriptors_left, open_descriptors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from asyncendpoints import events

#: The system refuses to connect to it: a link-local address says nothing without a zone.
NO_ROUTE = Address(socket.AF_INET6, ("fe80::1", 9, 0, 0))
#: That of the loopback network.
BROADCAST = "127.255.255.255"


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("udp:example.org:53", UDPClient("example.org", 53)),
        ("udp:host=example.org:port=53", UDPClient("example.org", 53)),
        ("UDP:[::1]:53", UDPClient("::1", 53)),
        ("udp:x:53:timeout=5", UDPClient("x", 53, timeout=5)),
        ("udp:x:53:timeout=none", UDPClient("x", 53, timeout=None)),
        (
            "udp:x:53:bindAddress=127.0.0.1:bindPort=7",
            UDPClient("x", 53, bind_address="127.0.0.1", bind_port=7),
        ),
        ("udp:x:53:family=ipv6", UDPClient("x", 53, family="ipv6")),
        ("udp:x:53:broadcast=yes", UDPClient("x", 53, broadcast=True)),
    ],
)
def test_client_text(text: str, spec: UDPClient) -> None:
    """A text stands for this client, and the client's own text for the same one."""
    assert parse_client(text) == spec
    assert parse_client(str(spec)) == spec


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("udp:53", UDPServer(53)),
        ("udp:53:127.0.0.1", UDPServer(53, "127.0.0.1")),
        ("udp:53:interface=[::1]", UDPServer(53, "::1")),
        (
            "udp:53:v6only=yes:reusePort=yes:broadcast=yes",
            UDPServer(53, v6only=True, reuse_port=True, broadcast=True),
        ),
    ],
)
def test_server_text(text: str, spec: UDPServer) -> None:
    """A text stands for this server, and the server's own text for the same one."""
    assert parse_server(text) == spec
    assert parse_server(str(spec)) == spec


def test_nobody_is_at_port_0() -> None:
    """A client has no port 0, in a text and in Python; a server does."""
    with pytest.raises(DescriptionError, match="port is '0', expected a number from 1 to 65535"):
        parse_client("udp:example.org:0")
    with pytest.raises(SpecError, match="port is 0, expected a number from 1 to 65535"):
        UDPClient("example.org", 0)
    assert UDPServer(0).port == 0


# Clients


@contextmanager
def receiving(host: str = "127.0.0.1") -> Iterator[socket.socket]:
    """Give a socket that receives datagrams on any port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        yield sock


async def opened(text: str, lookup: Any = None) -> socket.socket:
    """Open the socket of a client."""
    spec = parse_client(text)
    assert isinstance(spec, UDPClient)
    attempt = Attempt(spec, lookup=lookup) if lookup else Attempt(spec)
    return await spec.open_datagram_socket(attempt)


def lookup_of(*addresses: Address) -> Callable[[str, int, int], Any]:
    """Make a lookup that answers every name with these addresses."""

    async def lookup(*_: object) -> Sequence[Address]:
        return addresses

    return lookup


@pytest.mark.parametrize(
    ("server", "text", "peer"),
    [
        ("127.0.0.1", "udp:127.0.0.1:{port}", "127.0.0.1"),
        ("127.0.0.1", "udp:localhost.:{port}:family=ipv4", "127.0.0.1"),
        ("127.0.0.1", "udp:[::ffff:127.0.0.1]:{port}", "::ffff:127.0.0.1"),
        ("::1", "udp:[::1]:{port}", "::1"),
        ("::1", "udp:[::1%lo]:{port}", "::1"),
    ],
)
async def test_client_is_connected(server: str, text: str, peer: str) -> None:
    """A name or an address, in any of its forms, is where the datagrams of the socket go."""
    with receiving(server) as sock:
        port = sock.getsockname()[1]
        with await opened(text.format(port=port)) as client:
            assert client.getpeername()[:2] == (peer, port)
            client.send(b"hello")
            assert sock.recv(100) == b"hello"


async def test_client_socket_is_fit_for_a_transport() -> None:
    """The socket does not block, its children do not inherit it, and it is one of UDP."""
    with await opened("udp:127.0.0.1:9") as client:
        assert (client.gettimeout(), client.get_inheritable()) == (0, False)
        assert (client.type, client.proto) == (socket.SOCK_DGRAM, socket.IPPROTO_UDP)


async def test_first_address_with_a_route() -> None:
    """An address that the system refuses is passed over at once, in the order of the addresses."""
    good, later = (Address(socket.AF_INET, (f"127.0.0.{last}", 9)) for last in (1, 2))
    seen: list[events.Event] = []
    spec = UDPClient("x", 9)
    attempt = Attempt(spec, on_event=seen.append, lookup=lookup_of(NO_ROUTE, good, later))
    with await spec.open_datagram_socket(attempt) as client:
        assert Address(client.family, client.getpeername()) == good
    assert [type(each).__name__ for each in seen[2:]] == [
        "AttemptStarted",
        "AttemptFailed",
        "AttemptStarted",
        "Connected",
    ]
    assert seen[-1].time - seen[2].time < 0.1


async def test_no_address_with_a_route() -> None:
    """Where the system refuses every address, the error has all of them, and nothing is left open."""
    other = Address(socket.AF_INET6, ("fe80::2", 9, 0, 0))
    before = open_descriptors()
    with pytest.raises(ConnectError) as caught:
        await opened("udp:x:9", lookup_of(NO_ROUTE, other))
    assert open_descriptors() == before
    error = caught.value
    assert (error.stage, error.errno) == ("connect", errno.EINVAL)
    assert [each.address for each in error.attempts] == [NO_ROUTE, other]
    assert isinstance(error.__cause__, ExceptionGroup)


@pytest.mark.parametrize(
    ("server", "options", "source"),
    [
        ("127.0.0.1", "bind_address=127.0.0.2", "127.0.0.2"),
        ("::1", "bind_address=[::1]", "::1"),
        ("127.0.0.1", "bind_port={port}", "127.0.0.1"),
        ("::1", "bind_port={port}", "::1"),
        ("127.0.0.1", "bind_address=127.0.0.2:bind_port={port}", "127.0.0.2"),
    ],
)
async def test_local_address(server: str, options: str, source: str) -> None:
    """Datagrams come from the local address and port that were given."""
    with receiving(source) as spare:
        port = spare.getsockname()[1]
    with receiving(server) as sock:
        text = f"udp:[{server}]:{sock.getsockname()[1]}:{options.format(port=port)}"
        with await opened(text) as client:
            client.send(b"hello")
            _, peer = sock.recvfrom(100)
            assert peer == client.getsockname()
            assert peer[0] == source
            assert peer[1] == port or "bind_port" not in options


async def test_local_port_is_not_shared() -> None:
    """Two clients cannot send from one port: replies would reach one of them only."""
    with receiving() as spare:
        port = spare.getsockname()[1]
    text = f"udp:127.0.0.1:9:bind_port={port}"
    refused = pytest.raises(ConnectError, match=rf"cannot connect from 0\.0\.0\.0:{port}")
    with await opened(text), refused as caught:
        await opened(text)
    assert caught.value.errno == errno.EADDRINUSE


async def test_family() -> None:
    """A family that the address is not of is an error."""
    with pytest.raises(ResolveError, match=r"127\.0\.0\.1 is no IPv6 address"):
        await opened("udp:127.0.0.1:9:family=ipv6")


async def test_local_address_of_the_other_family() -> None:
    """An address that cannot be reached from the local one is an error that says it."""
    with pytest.raises(ConnectError, match=r"no address of the host can be reached from ::1"):
        await opened("udp:127.0.0.1:9:bind_address=[::1]")


async def test_client_of_itself() -> None:
    """A socket that is connected to itself has nobody to talk to: that is refused."""
    with receiving() as spare:
        port = spare.getsockname()[1]
    with pytest.raises(ConnectRefusedError):
        await opened(f"udp:127.0.0.1:{port}:bind_address=127.0.0.1:bind_port={port}")


async def test_broadcast() -> None:
    """A broadcast address is refused by the system unless the text allows it."""
    with pytest.raises(ConnectError) as caught:
        await opened(f"udp:{BROADCAST}:9")
    assert caught.value.errno == errno.EACCES
    with await opened(f"udp:{BROADCAST}:9:broadcast=yes") as client:
        assert client.getpeername() == (BROADCAST, 9)


async def test_client_without_descriptors() -> None:
    """Where no socket can be made the error says why."""
    with no_descriptors_left(), pytest.raises(ConnectError) as caught:
        await opened("udp:127.0.0.1:9")
    assert caught.value.errno == errno.EMFILE


async def test_client_has_no_stream() -> None:
    """To connect to it is an error that says what does."""
    text = "udp:127.0.0.1:9"
    before = open_descriptors()
    with pytest.raises(ConnectError) as caught:
        await connect(text, Recorder)
    assert open_descriptors() == before
    assert caught.value.problem == (
        "a udp client has datagrams and no stream; connect_datagram() opens it"
    )
    assert not parse_client(text).is_plain()


def test_kinds_make_the_sockets() -> None:
    """The bases of datagram kinds have no sockets of their own."""
    with pytest.raises(NotImplementedError):
        DatagramServerSpec.bind_datagram(UDPServer(1))
    opening = DatagramClientSpec.open_datagram_socket(UDPClient("x", 1), Attempt(UDPClient("x", 1)))
    with pytest.raises(NotImplementedError):
        opening.send(None)


async def test_client_has_no_stream_to_build_on() -> None:
    """Nor has it a socket for proxies and TLS."""
    spec = UDPClient("127.0.0.1", 9)
    with pytest.raises(ConnectError, match="has datagrams and no stream"):
        await spec.open_socket(Attempt(spec))


# Servers


@contextmanager
def bound(text: str) -> Iterator[list[socket.socket]]:
    """Give the sockets of a server, bound for as long as the block takes."""
    spec = parse_server(text)
    assert isinstance(spec, UDPServer)
    with ExitStack() as stack:
        yield [stack.enter_context(each) for each in spec.bind_datagram()]


def test_both_families_on_one_port() -> None:
    """Without an interface there is a socket for each family, on one port that the system picks."""
    with bound("udp:0") as sockets:
        assert [Address.of(each).host for each in sockets] == ["0.0.0.0", "::"]
        ports = {each.getsockname()[1] for each in sockets}
        assert len(ports) == 1
        assert ports != {0}
        assert sockets[1].getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


def test_server_sockets_are_fit_for_a_transport() -> None:
    """They do not block, children do not inherit them, and they share their port with nobody."""
    with bound("udp:0:interface=127.0.0.1") as (sock,):
        assert (sock.gettimeout(), sock.get_inheritable()) == (0, False)
        assert (sock.type, sock.proto) == (socket.SOCK_DGRAM, socket.IPPROTO_UDP)
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT, socket.SO_BROADCAST):
            assert not sock.getsockopt(socket.SOL_SOCKET, option)


@pytest.mark.parametrize(("options", "reached"), [("", True), (":v6only=yes", False)])
def test_explicit_wildcard(options: str, reached: bool) -> None:
    """A server on :: is reached by IPv4 too, unless it is to be for IPv6 only."""
    with (
        bound(f"udp:0:interface=[::]{options}") as (sock,),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        client.connect(("127.0.0.1", sock.getsockname()[1]))
        client.send(b"hello")
        # The refusal of a datagram over loopback is there when send returns.
        refused = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
        assert refused is not reached


def test_interface_by_name() -> None:
    """A host name stands for its addresses, with one port."""
    with bound("udp:0:interface=localhost") as sockets:
        assert {each.getsockname()[1] for each in sockets} == {sockets[0].getsockname()[1]}
        assert "127.0.0.1" in [each.getsockname()[0] for each in sockets]


def test_interface_that_does_not_exist() -> None:
    """A name without an address is an error that says it; so is an address of another machine."""
    with pytest.raises(ListenError, match=r"cannot find the interface 'no\.invalid'"):
        UDPServer(0, "no.invalid").bind_datagram()
    with pytest.raises(ListenError) as caught:
        UDPServer(0, "192.0.2.1").bind_datagram()
    assert caught.value.errno == errno.EADDRNOTAVAIL


def test_address_in_use() -> None:
    """A port that is taken is an error that names who has it, and no descriptor is left."""
    with open("/proc/self/comm") as file:
        name = file.read().strip()
    with receiving() as sock:
        port = sock.getsockname()[1]
        before = open_descriptors()
        with pytest.raises(AddressInUseError) as caught:
            UDPServer(port).bind_datagram()
        assert open_descriptors() == before
    assert str(caught.value) == (
        f"udp:{port}: cannot listen on 0.0.0.0:{port}: address already in use "
        f"(held by {name} (process {os.getpid()}))"
    )


def test_address_in_use_on_one_family() -> None:
    """A port that is taken on IPv6 alone is taken, and the IPv4 socket is closed again."""
    with bound("udp:0:interface=[::]:v6only=yes") as (sock,):
        before = open_descriptors()
        with pytest.raises(AddressInUseError):
            UDPServer(sock.getsockname()[1]).bind_datagram()
        assert open_descriptors() == before


def test_port_of_a_connected_socket_is_in_use() -> None:
    """A port from which somebody only sends is taken, too, and its holder is named."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", 9))
        with pytest.raises(AddressInUseError) as caught:
            UDPServer(client.getsockname()[1], "127.0.0.1").bind_datagram()
    assert caught.value.hint.endswith(f"(process {os.getpid()})")


def test_tcp_does_not_take_the_port() -> None:
    """A port that is listened on by TCP is free for UDP."""
    with bind("tcp:0:interface=127.0.0.1") as listeners:
        port = listeners[0].getsockname()[1]
        with bound(f"udp:{port}:interface=127.0.0.1") as (sock,):
            assert sock.getsockname() == ("127.0.0.1", port)


def test_options() -> None:
    """Two servers share a port if both say so; replies can go to broadcast addresses if the text says so."""
    options = "interface=127.0.0.1:reuse_port=yes:broadcast=yes"
    with bound(f"udp:0:{options}") as (sock,):
        port = sock.getsockname()[1]
        with bound(f"udp:{port}:{options}") as (other,):
            assert other.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)
            assert other.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
            assert not other.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        with pytest.raises(AddressInUseError):
            UDPServer(port, "127.0.0.1").bind_datagram()


@pytest.mark.parametrize("serve", [listen, lambda text, _: bind(text)])
async def test_server_has_no_connections(serve: Callable[[str, Any], Any]) -> None:
    """To listen on it is an error that says what serves it; nothing stays bound."""
    before = open_descriptors()
    with pytest.raises(ListenError) as caught:
        await serve("udp:0:interface=127.0.0.1", Recorder)
    assert open_descriptors() == before
    assert str(caught.value) == (
        "udp:0:127.0.0.1: a udp server has datagrams and no connections (listen_datagram() serves it)"
    )


def test_bind_udp_for_other_kinds() -> None:
    """Another kind binds with its own spec, which its errors name."""
    spec = UDPServer(5353)
    (sock,) = bind_udp(spec, 0, "127.0.0.1")
    with sock, pytest.raises(AddressInUseError) as caught:
        bind_udp(spec, sock.getsockname()[1], "127.0.0.1")
    assert caught.value.endpoint is spec
