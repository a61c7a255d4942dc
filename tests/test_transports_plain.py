"""Connected sockets to plain transports."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, cast

import pytest

from asyncendpoints.transports import adopt, release
from tests.support import Recorder, open_descriptors, warm_up

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two sockets that are connected to each other."""
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        yield one, other


Pair = tuple[socket.socket, socket.socket]


async def test_adopt(pair: Pair) -> None:
    """The protocol gets a transport of the loop's own over the socket, and both come back."""
    sock, peer = pair
    transport, protocol = await adopt(sock, Recorder)
    assert protocol.transport is transport
    transport.write(b"hello")
    assert peer.recv(5) == b"hello"
    transport.close()
    await protocol.lost.wait()


async def test_factory_that_raises(pair: Pair) -> None:
    """What the factory raises comes out, and the socket is closed by then."""
    sock, _ = pair

    def factory() -> Recorder:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await adopt(sock, factory)
    assert sock.fileno() == -1


@pytest.mark.parametrize("made", [None, "a text"])
async def test_factory_that_gives_no_protocol(pair: Pair, made: Any) -> None:
    """What is no protocol is refused before there is a transport, and the socket is closed."""
    with pytest.raises(TypeError, match="which is no protocol"):
        await adopt(pair[0], lambda: made)
    assert pair[0].fileno() == -1


async def test_factory_is_called_once(pair: Pair) -> None:
    """One protocol is made for one socket."""
    made: list[Recorder] = []

    def factory() -> Recorder:
        made.append(Recorder())
        return made[-1]

    transport, protocol = await adopt(pair[0], factory)
    assert made == [protocol]
    transport.abort()
    await protocol.lost.wait()


@pytest.mark.parametrize("turns", [1, 2])
async def test_cancel(pair: Pair, turns: int) -> None:
    """A cancel before the transport is there closes the socket before it comes out."""
    sock, _ = pair
    await warm_up()
    before = open_descriptors()
    task = asyncio.create_task(adopt(sock, Recorder))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    closed = []
    task.add_done_callback(lambda _: closed.append(sock.fileno() == -1))
    await asyncio.wait([task])
    assert task.cancelled()
    assert closed == [True]
    assert open_descriptors() == before - 1


async def test_cancel_twice(pair: Pair) -> None:
    """A second cancel, while the socket is being closed, changes nothing."""
    sock, _ = pair
    task = asyncio.create_task(adopt(sock, Recorder))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert sock.fileno() == -1


class Talker(Recorder):
    """A protocol that writes at once, more than any buffer of the system takes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        cast(asyncio.Transport, transport).write(bytes(10_000_000))


async def test_cancel_with_unsent_data(pair: Pair) -> None:
    """A cancel does not wait for a peer that reads nothing: what was not sent is dropped."""
    sock, _ = pair
    task = asyncio.create_task(adopt(sock, Talker))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert sock.fileno() == -1


async def test_release_of_a_socket_that_nobody_closes(pair: Pair) -> None:
    """A socket that has no transport is closed in the end."""
    sock, peer = pair
    await release(sock)
    assert sock.fileno() == -1
    assert peer.recv(1) == b""


async def test_release_of_a_broken_connection() -> None:
    """A socket that is not connected any more is closed in the end."""
    with socket.socket() as sock:
        await release(sock)
        assert sock.fileno() == -1
