"""TCP clients: what their texts mean and what they do with real sockets."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any

import pytest

from asyncendpoints import events
from asyncendpoints.attempt import Attempt
from asyncendpoints.connecting import connect
from asyncendpoints.errors import (
    ConnectError,
    ConnectRefusedError,
    ConnectTimeoutError,
    ResolveError,
)
from asyncendpoints.kinds.tcp import TCPClient
from asyncendpoints.specs import parse_client
from tests.support import Recorder, black_hole, unused_port

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints.addresses import Address


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("tcp:example.org:80", TCPClient("example.org", 80)),
        ("tcp:host=example.org:port=80", TCPClient("example.org", 80)),
        ("tcp:[::1]:80", TCPClient("::1", 80)),
        ("tcp:[fe80::1%lo]:80", TCPClient("fe80::1%lo", 80)),
        (r"tcp:\:\:1:80", TCPClient("::1", 80)),
        ("tcp6:example.org:80", TCPClient("example.org", 80, family="ipv6")),
        ("tcp6:example.org:80:family=any", TCPClient("example.org", 80)),
        ("tcp:x:80:timeout=5", TCPClient("x", 80, timeout=5)),
        ("tcp:x:80:bindAddress=127.0.0.1", TCPClient("x", 80, bind_address="127.0.0.1")),
        (
            "tcp:x:80:bind_address=[::1]:bindPort=7",
            TCPClient("x", 80, bind_address="::1", bind_port=7),
        ),
    ],
)
def test_text(text: str, spec: TCPClient) -> None:
    """A text stands for this spec, and the spec's own text for the same one."""
    assert parse_client(text) == spec
    assert parse_client(str(spec)) == spec


def listening(host: str) -> socket.socket:
    """Open a listening socket on any port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, 0), family=family)


async def peer_of(text: str) -> Any:
    """Connect, and give the address of the peer."""
    transport, protocol = await connect(text, Recorder)
    peer = transport.get_extra_info("peername")
    transport.abort()
    await protocol.lost.wait()
    return peer


@pytest.mark.parametrize(
    ("server", "kind", "host", "peer"),
    [
        ("127.0.0.1", "tcp", "127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "tcp", "localhost", "127.0.0.1"),
        ("127.0.0.1", "tcp", "localhost.", "127.0.0.1"),
        ("127.0.0.1", "tcp", "[::ffff:127.0.0.1]", "::ffff:127.0.0.1"),
        ("127.0.0.1", "tcp6", "[::ffff:127.0.0.1]", "::ffff:127.0.0.1"),
        ("::1", "tcp", "[::1]", "::1"),
        ("::1", "tcp", "[::1%lo]", "::1"),
        ("::1", "tcp", "[0:0:0:0:0:0:0:1]", "::1"),
        ("::1", "tcp6", "[::1]", "::1"),
    ],
)
async def test_connect(server: str, kind: str, host: str, peer: str) -> None:
    """A name or an address, in any of its forms, leads to the server."""
    with listening(server) as sock:
        port = sock.getsockname()[1]
        assert (await peer_of(f"{kind}:{host}:{port}"))[:2] == (peer, port)


async def test_zone() -> None:
    """The zone of an address reaches the system as the number of its interface."""
    seen: list[Address] = []

    def hook(event: events.Event) -> None:
        if isinstance(event, events.AttemptStarted):
            seen.append(event.address)

    # Nobody has this address, so that the attempt fails or gets no answer, as the routes of the machine are.
    with pytest.raises(ConnectError):
        await connect("tcp:[fe80::1%lo]:1:timeout=0.01", Recorder, on_event=hook)
    assert [each.sockaddr for each in seen] == [("fe80::1", 1, 0, socket.if_nametoindex("lo"))]


async def test_unknown_zone() -> None:
    """A zone that no interface has is told before anything is tried."""
    with pytest.raises(
        ResolveError, match=r"%nowhere0\]:1: this machine has no interface 'nowhere0'"
    ):
        await connect("tcp:[fe80::1%nowhere0]:1", Recorder)


async def test_refused() -> None:
    """A port whose listener has just been closed refuses; the text names the endpoint and the address."""
    with listening("127.0.0.1") as sock:
        port = sock.getsockname()[1]
    with pytest.raises(ConnectRefusedError) as caught:
        await connect(f"tcp:127.0.0.1:{port}", Recorder)
    assert caught.value.endpoint == TCPClient("127.0.0.1", port)
    assert str(caught.value) == (
        f"tcp:127.0.0.1:{port}: cannot connect to 127.0.0.1:{port}: connection refused"
    )


async def test_timeout() -> None:
    """A server that does not answer is given up when the time of the text has run out."""
    with black_hole() as (address, _), pytest.raises(ConnectTimeoutError) as caught:
        await connect(f"tcp:{address}:timeout=0.01", Recorder)
    assert [each.address for each in caught.value.attempts] == [address]


async def test_self_connect() -> None:
    """A socket that finds itself at the other end is refused, not connected."""
    with listening("127.0.0.1") as sock:
        port = sock.getsockname()[1]
    with pytest.raises(ConnectRefusedError):
        await connect(f"tcp:127.0.0.1:{port}:bind_address=127.0.0.1:bind_port={port}", Recorder)


@pytest.mark.parametrize(
    ("server", "bind", "host"),
    [
        ("127.0.0.1", "bind_address=127.0.0.2", "127.0.0.2"),
        ("127.0.0.1", "bindAddress=localhost", "127.0.0.1"),
        ("::1", "bind_address=[::1]", "::1"),
        ("127.0.0.1", "bind_port={port}", "127.0.0.1"),
        ("::1", "bind_port={port}", "::1"),
        ("127.0.0.1", "bind_address=127.0.0.2:bind_port={port}", "127.0.0.2"),
    ],
)
async def test_bind(server: str, bind: str, host: str) -> None:
    """The connection comes from the address and the port that the text says."""
    free = unused_port()
    with listening(server) as sock:
        port = sock.getsockname()[1]
        await peer_of(f"tcp:[{server}]:{port}:{bind.format(port=free)}")
        accepted, peer = sock.accept()
        accepted.close()
    assert peer[0] == host
    assert "bind_port" not in bind or peer[1] == free


async def test_bind_port_in_use() -> None:
    """A local port that is taken is the failure of the attempt, with its number."""
    with listening("127.0.0.1") as sock, listening("127.0.0.1") as holder:
        port, taken = sock.getsockname()[1], holder.getsockname()[1]
        with pytest.raises(ConnectError) as caught:
            await connect(f"tcp:127.0.0.1:{port}:bind_port={taken}", Recorder)
    assert caught.value.errno == errno.EADDRINUSE


async def test_bind_address_of_the_other_family() -> None:
    """An address that cannot be reached from the local one is not tried."""
    with pytest.raises(ConnectError) as caught:
        await connect("tcp:127.0.0.1:1:bind_address=[::1]", Recorder)
    assert caught.value.problem == "no address of the host can be reached from ::1"


@pytest.mark.parametrize(
    ("spec", "family"),
    [
        (TCPClient("example.org", 80), socket.AF_UNSPEC),
        (TCPClient("example.org", 80, family="ipv4"), socket.AF_INET),
        (TCPClient("example.org", 80, family="ipv6"), socket.AF_INET6),
    ],
)
async def test_family(spec: TCPClient, family: int) -> None:
    """Only addresses of the family are asked for."""
    asked: list[tuple[str, int, int]] = []

    async def lookup(host: str, port: int, family: int) -> Sequence[Address]:
        asked.append((host, port, family))
        return []

    with pytest.raises(ResolveError):
        await spec.open_socket(Attempt(spec, lookup=lookup))
    assert asked == [("example.org", 80, family)]


async def test_open_socket() -> None:
    """What a proxy or TLS builds on is a connected socket that does not block."""
    with listening("127.0.0.1") as server:
        spec = TCPClient(*server.getsockname())
        with await spec.open_socket(Attempt(spec)) as sock:
            assert sock.getpeername() == server.getsockname()
            assert not sock.getblocking()
