"""Transports that tell of a client what its proxy has told."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import pytest

from asyncendpoints.introduction import Introduction, ProxiedTransport
from asyncendpoints.listeners import tracked
from asyncendpoints.proxy_protocol import ProxyHeader
from asyncendpoints.transports import adopt
from tests.serving import complaints, until
from tests.support import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncendpoints.listeners import Connection

CLIENT, SITE = ("192.0.2.1", 56324), ("198.51.100.2", 443)
HEADER = ProxyHeader(source=CLIENT, destination=SITE)

Pair: TypeAlias = "tuple[Connection, socket.socket]"


@pytest.fixture
def pair() -> Iterator[Pair]:
    """An accepted socket, whose client has been told, and its peer."""
    one, peer = socket.socketpair()
    with tracked(one) as sock, peer:
        sock.setblocking(False)
        sock.tell(CLIENT, SITE)
        yield sock, peer


async def introduce(sock: Connection) -> tuple[ProxiedTransport, Recorder]:
    """Make the transport and the protocol of a connection."""
    _, introduction = await adopt(sock, lambda: Introduction(Recorder, sock, HEADER))
    assert introduction.transport is not None
    return introduction.transport, introduction.protocol


async def test_the_protocol_gets_the_transport(pair: Pair) -> None:
    """The real protocol is connected to the transport that tells, and is the protocol of it."""
    transport, protocol = await introduce(pair[0])
    assert protocol.transport is transport
    assert transport.get_protocol() is protocol
    transport.abort()
    await protocol.lost.wait()


async def test_it_tells_after_its_end_too(pair: Pair) -> None:
    """The addresses are known when the connection is over, as with the transports of asyncio."""
    transport, protocol = await introduce(pair[0])
    transport.abort()
    await protocol.lost.wait()
    assert transport.get_extra_info("peername") == CLIENT
    assert transport.get_extra_info("sockname") == SITE
    assert transport.get_extra_info("proxy_header") is HEADER


async def test_what_was_not_told_is_the_loops_to_say(pair: Pair) -> None:
    """Other information is that of the transport below, with its default."""
    transport, protocol = await introduce(pair[0])
    assert transport.get_extra_info("sslcontext") is None
    assert transport.get_extra_info("nothing", 7) == 7
    assert transport.get_extra_info("transport") is not transport
    transport.abort()
    await protocol.lost.wait()


async def test_bytes_pass_nothing_of_ours(pair: Pair) -> None:
    """Writing is the method of the loop's own transport, and reading goes to the protocol itself."""
    transport, protocol = await introduce(pair[0])
    inner = transport.get_extra_info("transport")
    assert transport.write == inner.write
    transport.write(b"out")
    assert pair[1].recv(10) == b"out"
    pair[1].send(b"in")
    await until(lambda: protocol.received == b"in")
    transport.close()
    assert inner.is_closing()
    await protocol.lost.wait()


async def test_every_method_is_that_of_the_loop(pair: Pair) -> None:
    """Nothing that a transport can do is left to the base class, which can do nothing."""
    transport, protocol = await introduce(pair[0])
    inner = transport.get_extra_info("transport")
    names = [name for name in dir(asyncio.Transport) if not name.startswith("_")]
    assert [n for n in names if getattr(transport, n) != getattr(inner, n)] == ["get_extra_info"]
    transport.abort()
    await protocol.lost.wait()


def test_what_loops_ask_in_private() -> None:
    """Whether TLS can be started over it, the transport below says."""

    class Inner(asyncio.Transport):
        _start_tls_compatible = True

    transport: Any = ProxiedTransport(Inner(), {"peername": CLIENT})
    assert transport._start_tls_compatible
    with pytest.raises(AttributeError):
        _ = transport._nothing


def test_it_shows_whose_it_is() -> None:
    """Its repr names the client."""
    shown = repr(ProxiedTransport(asyncio.Transport(), {"peername": CLIENT}))
    assert shown.startswith("<ProxiedTransport of ('192.0.2.1', 56324) over <asyncio.")


async def test_a_protocol_that_raises(pair: Pair) -> None:
    """What ``connection_made`` raises is reported by the loop, as without a proxy."""

    class Broken(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            raise ZeroDivisionError

    heard = complaints()
    sock, _ = pair
    _, introduction = await adopt(sock, lambda: Introduction(Broken, sock, HEADER))
    assert [type(each["exception"]) for each in heard] == [ZeroDivisionError]
    cast(asyncio.Transport, introduction.transport).abort()
    await introduction.protocol.lost.wait()


async def test_no_protocol(pair: Pair) -> None:
    """A factory may only give a protocol."""
    sock, _ = pair
    with pytest.raises(TypeError, match="which is no protocol"):
        Introduction(lambda: None, sock, HEADER)  # type: ignore[type-var]
