"""Talking to a proxy over sockets and transports."""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from asyncendpoints.errors import ProxyReplyError
from asyncendpoints.proxies import Negotiating, negotiate
from asyncendpoints.transports import Handover
from tests.clock import run
from tests.serving import turns
from tests.support import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator


class FakeTalk:
    """Says a word, waits for so many bytes, and says another; a ``!`` is a refusal."""

    def __init__(self, word: bytes = b"open", wanted: int = 4) -> None:
        self.is_open = False
        self.heard = b""
        self._wanted = wanted
        self._outgoing = word

    def outgoing(self) -> bytes:
        data, self._outgoing = self._outgoing, b""
        return data

    def take(self, data: bytes) -> int:
        if b"!" in data:
            raise ProxyReplyError("refuses", 7)
        piece = data[: self._wanted - len(self.heard)]
        self.heard += piece
        self.is_open = len(self.heard) == self._wanted
        return len(piece)


@contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Give the end of the client and that of the proxy."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


# Sockets


def test_socket_is_read_to_the_first_byte_of_the_tunnel() -> None:
    """What comes together with the answer stays in the socket."""

    async def main() -> None:
        with pair() as (ours, theirs):
            theirs.send(b"yes.tunnel")
            await negotiate(ours, FakeTalk())
            assert theirs.recv(100) == b"open"
            assert ours.recv(100) == b"tunnel"

    run(main())


def test_socket_byte_by_byte() -> None:
    """An answer in pieces is waited for, without turning in between."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pair() as (ours, theirs):
            for second, byte in enumerate(b"yes.t"):
                loop.call_later(second + 1, theirs.send, bytes([byte]))
            await negotiate(ours, FakeTalk())
            assert loop.time() == 4
            await asyncio.sleep(1)
            assert ours.recv(100) == b"t"

    run(main())


def test_socket_with_a_full_buffer() -> None:
    """A proxy that does not read is waited for, and a cancel then leaves no watcher of the socket."""

    async def main() -> None:
        with pair() as (ours, _):
            while fill(ours):
                pass
            task = asyncio.create_task(negotiate(ours, FakeTalk()))
            await turns()
            assert not task.done()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not asyncio.get_running_loop().remove_writer(ours)

    run(main())


def fill(sock: socket.socket) -> int:
    """Send what the buffer of a socket takes at once."""
    try:
        return sock.send(bytes(65536))
    except BlockingIOError:
        return 0


def test_socket_cancelled_while_it_waits() -> None:
    """A cancel leaves no watcher of the socket."""

    async def main() -> None:
        with pair() as (ours, _):
            task = asyncio.create_task(negotiate(ours, FakeTalk()))
            await turns()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not asyncio.get_running_loop().remove_reader(ours)

    run(main())


def test_socket_that_is_readable_and_cancelled() -> None:
    """A cancel in the turn in which the answer comes is a cancel, and nothing is reported."""

    async def main() -> None:
        with pair() as (ours, theirs):
            task = asyncio.create_task(negotiate(ours, FakeTalk()))
            await turns()
            task.cancel()
            theirs.send(b"yes.")
            with pytest.raises(asyncio.CancelledError):
                await task

    run(main())


@pytest.mark.parametrize("said", [b"", b"ye"])
def test_socket_that_ends(said: bytes) -> None:
    """A proxy that closes before its answer is complete is told to have done so."""

    async def main() -> ProxyReplyError:
        with pair() as (ours, theirs):
            theirs.send(said)
            theirs.shutdown(socket.SHUT_WR)
            with pytest.raises(ProxyReplyError) as caught:
                await negotiate(ours, FakeTalk())
        return caught.value

    error = run(main())
    assert (error.problem, error.code) == ("closed the connection before it had answered", None)
    assert error.errno is None


def test_socket_that_breaks() -> None:
    """A proxy that has gone before it was asked is told with the number of the system."""

    async def main() -> ProxyReplyError:
        with pair() as (ours, theirs):
            theirs.close()
            with pytest.raises(ProxyReplyError) as caught:
                await negotiate(ours, FakeTalk())
        return caught.value

    error = run(main())
    assert error.problem == "closed the connection before it had answered"
    assert error.errno == errno.EPIPE


def test_refusal_over_a_socket() -> None:
    """What the proxy refuses comes out as it is."""

    async def main() -> ProxyReplyError:
        with pair() as (ours, theirs):
            theirs.send(b"no!")
            with pytest.raises(ProxyReplyError) as caught:
                await negotiate(ours, FakeTalk())
        return caught.value

    assert run(main()).code == 7


# Transports


class FakeTransport(asyncio.Transport):
    """Writes down what is asked of it."""

    def __init__(self) -> None:
        self.sent = b""
        self.paused = False
        self.protocol: asyncio.BaseProtocol | None = None

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.sent += data

    def pause_reading(self) -> None:
        self.paused = True

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol


async def begun(talk: FakeTalk) -> tuple[Negotiating, FakeTransport, Handover[Recorder]]:
    """Give a protocol that has its transport."""
    handover = Handover(Recorder)
    protocol, transport = Negotiating(talk, handover), FakeTransport()
    protocol.connection_made(transport)
    return protocol, transport, handover


@pytest.mark.parametrize("pieces", [[b"yes.tunnel"], [b"y", b"es", b".tunnel"]])
async def test_transport_is_handed_over(pieces: list[bytes]) -> None:
    """With the last byte of the answer the transport is paused, and the rest goes to the handover."""
    protocol, transport, handover = await begun(FakeTalk())
    assert transport.sent == b"open"
    for piece in pieces:
        assert not protocol.outcome.done()
        protocol.data_received(piece)
    assert await protocol.outcome is None
    assert transport.paused
    assert transport.protocol is handover
    handover.begin(transport)
    assert handover.take()[1].received == b"tunnel"


async def test_transport_without_rest() -> None:
    """An answer that ends where the data ends leaves the handover nothing."""
    protocol, transport, handover = await begun(FakeTalk())
    protocol.data_received(b"yes.")
    assert await protocol.outcome is None
    handover.begin(transport)
    assert handover.take()[1].received == b""


async def test_refusal_over_a_transport() -> None:
    """A refusal is the outcome, and what comes after it is not heard."""
    protocol, transport, _ = await begun(FakeTalk())
    protocol.data_received(b"no!")
    protocol.data_received(b"yes.")
    protocol.eof_received()
    error = await protocol.outcome
    assert error is not None
    assert error.code == 7
    assert transport.protocol is None


async def test_transport_that_ends() -> None:
    """The end of data before the answer is complete is the outcome."""
    protocol, _, _ = await begun(FakeTalk())
    protocol.data_received(b"ye")
    protocol.eof_received()
    protocol.connection_lost(None)
    error = await protocol.outcome
    assert error is not None
    assert error.problem == "closed the connection before it had answered"


@pytest.mark.parametrize(
    ("lost", "number"),
    [(ConnectionResetError(errno.ECONNRESET, "x"), errno.ECONNRESET), (None, None)],
)
async def test_transport_that_breaks(lost: Exception | None, number: int | None) -> None:
    """A connection that is lost is the outcome, with the number of the system if there is one."""
    protocol, _, _ = await begun(FakeTalk())
    protocol.connection_lost(lost)
    error = await protocol.outcome
    assert error is not None
    assert error.errno == number
