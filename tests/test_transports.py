"""Connected sockets to TLS transports; without TLS see the tests of what is plain."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from asyncendpoints.certificates import make_development_pair
from asyncendpoints.contexts import ClientTerms, ServerTerms, client_context, server_context
from asyncendpoints.transports import (
    BrokenHandshakeError,
    Handover,
    Waiting,
    release,
    secure,
    secure_accepted,
    secure_over,
)
from tests.support import Recorder
from tests.tls_material import NOW

if TYPE_CHECKING:
    from collections.abc import Callable

SERVER = server_context([make_development_pair(["localhost"], NOW)], ServerTerms())
CLIENT = client_context(ClientTerms(verify=False))


def pair() -> tuple[socket.socket, socket.socket]:
    """Give two connected sockets."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


class FakeTransport(asyncio.Transport):
    """A transport that remembers what was done to it."""

    def __init__(self) -> None:
        super().__init__({"ssl_object": "the connection"})
        self.protocol: asyncio.BaseProtocol | None = None
        self.aborted = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def abort(self) -> None:
        self.aborted = True


class BufferedRecorder(asyncio.BufferedProtocol):
    """Takes at most three bytes at a time."""

    def __init__(self) -> None:
        self.buffer = bytearray(3)
        self.received: list[bytes] = []

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.received.append(bytes(self.buffer[:nbytes]))


class Abrupt(asyncio.Protocol):
    """Raises whatever it hears."""

    def data_received(self, data: bytes) -> None:
        raise LookupError


async def test_both_ends_shake_hands() -> None:
    """A client and a server get the transports of the loop, and their bytes arrive."""
    ours, theirs = pair()
    (client, _), (server, heard) = await asyncio.gather(
        secure(ours, Handover(Recorder), CLIENT, "x"),
        secure_accepted(theirs, Handover(Recorder), SERVER, 5.0),
    )
    client.write(b"hello")
    client.close()
    await heard.lost.wait()
    assert heard.received == b"hello"
    server.abort()


async def test_check_comes_before_the_factory() -> None:
    """The check gets the connection after the handshake; what it raises comes out, and nothing is made."""
    ours, theirs = pair()
    versions: list[str | None] = []

    def check(tls: ssl.SSLObject) -> None:
        versions.append(tls.version())
        raise LookupError

    def factory() -> asyncio.Protocol:
        raise AssertionError  # pragma: no cover - it is not called

    accepting = asyncio.create_task(secure_accepted(theirs, Handover(Recorder), SERVER, 5.0))
    with pytest.raises(LookupError):
        await secure(ours, Handover(factory, check), CLIENT, "x")
    assert versions == ["TLSv1.3"]
    assert ours.fileno() == -1
    with pytest.raises(BrokenHandshakeError):  # the last flight of the client is never sent
        await accepting


async def test_failure_carries_the_error() -> None:
    """A handshake that fails is told apart from what the factory raises, with the error of the loop."""
    ours, theirs = pair()
    theirs.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(BrokenHandshakeError) as caught:
        await secure(ours, Handover(Recorder), CLIENT, "x")
    assert isinstance(caught.value.error, ssl.SSLError)
    assert ours.fileno() == -1
    theirs.close()


async def test_second_cancel_while_closing() -> None:
    """A cancel that comes while a failed handshake is cleaned up is put off and not lost."""
    ours, theirs = pair()

    def factory() -> asyncio.Protocol:
        loop.call_soon(task.cancel)
        raise LookupError

    loop = asyncio.get_running_loop()
    accepting = asyncio.create_task(secure_accepted(theirs, Handover(Recorder), SERVER, 5.0))
    task = asyncio.create_task(secure(ours, Handover(factory), CLIENT, "x"))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ours.fileno() == -1
    with pytest.raises(BrokenHandshakeError):
        await accepting


async def test_release_of_a_socket_that_nobody_closes() -> None:
    """A socket that no transport closes is closed after some turns of the loop."""
    ours, theirs = pair()
    await release(ours)
    assert ours.fileno() == -1
    theirs.close()


async def test_cancel_during_release_comes_out() -> None:
    """A cancel during the wait for a socket comes out when the socket is closed."""
    ours, theirs = pair()
    task = asyncio.create_task(release(ours))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ours.fileno() == -1
    theirs.close()


async def test_tls_over_a_transport() -> None:
    """TLS starts over a transport whose protocol waits."""
    ours, theirs = pair()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_accepted_socket(Waiting, ours)
    (client, heard), (server, _) = await asyncio.gather(
        secure_over(transport, Handover(Recorder), CLIENT, "x"),
        secure_accepted(theirs, Handover(Recorder), SERVER, 5.0),
    )
    server.write(b"hello")
    server.close()
    await heard.lost.wait()
    assert heard.received == b"hello"
    client.abort()


async def test_tls_over_a_transport_to_a_peer_without() -> None:
    """When TLS over a transport fails, the transport is closed before the error comes out."""
    ours, theirs = pair()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_accepted_socket(Waiting, ours)
    theirs.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(BrokenHandshakeError):
        await secure_over(transport, Handover(Recorder), CLIENT, "x")
    assert ours.fileno() == -1
    theirs.close()


async def test_cancel_from_the_factory_over_a_transport() -> None:
    """A cancel that comes from the factory closes the transport that TLS runs over."""
    ours, theirs = pair()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_accepted_socket(Waiting, ours)

    def factory() -> Recorder:
        task.cancel()
        return Recorder()

    task = asyncio.create_task(secure_over(transport, Handover(factory), CLIENT, "x"))
    server, there = await secure_accepted(theirs, Handover(Recorder), SERVER, 5.0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ours.fileno() == -1
    await there.lost.wait()
    server.abort()


class FakeLoop:
    """A loop whose ``start_tls`` does as told, and whose connects are cancelled when all is done."""

    def __init__(self, outcome: Callable[[], Any]) -> None:
        self.outcome = outcome

    async def start_tls(self, *args: Any, **options: Any) -> Any:
        return self.outcome()

    async def create_connection(self, factory: Callable[[], Any], **options: Any) -> Any:
        factory().connection_made(self.outcome())
        raise asyncio.CancelledError


def hidden() -> None:
    """Fail as asyncio does where its own mistake hides the error."""
    try:
        raise ConnectionResetError("the reason")
    except ConnectionResetError:
        raise TypeError("takes 1 positional argument but 2 were given")  # noqa: B904


def lost() -> None:
    """Give no transport, as asyncio does when it is lost in the turn in which the handshake ended."""


@pytest.mark.parametrize("outcome", [hidden, lost])
async def test_quirks_of_start_tls(
    outcome: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors that some versions of asyncio garble are told as what they are."""
    transport = FakeTransport()
    with monkeypatch.context() as patch:
        patch.setattr(asyncio, "get_running_loop", lambda: FakeLoop(outcome))
        with pytest.raises(BrokenHandshakeError) as caught:
            await secure_over(transport, Handover(Recorder), CLIENT, "x")
    assert isinstance(caught.value.error, ConnectionResetError)
    assert transport.aborted


async def test_cancel_aborts_what_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancel after the handshake aborts the transport: closing it would wait for the peer."""
    ours, theirs = pair()
    transport = FakeTransport()
    with monkeypatch.context() as patch:
        patch.setattr(asyncio, "get_running_loop", lambda: FakeLoop(lambda: transport))
        with pytest.raises(asyncio.CancelledError):
            await secure(ours, Handover(Recorder), CLIENT, "x")
    assert transport.aborted
    assert ours.fileno() == -1
    theirs.close()


def test_handover_gives_the_transport_away() -> None:
    """The protocol is made with the handshake, and gets the transport from then on."""
    transport = FakeTransport()
    handover = Handover(Recorder)
    handover.connection_made(transport)
    assert handover.take()[0] is transport
    assert handover.take()[1] is transport.protocol
    assert handover.take()[1].transport is transport


def test_what_comes_early_is_kept() -> None:
    """What the peer sends before the protocol is made reaches it then, in order, its end too."""
    handover = Handover(Recorder)
    handover.data_received(b"a")
    handover.data_received(b"b")
    handover.eof_received()
    handover.connection_lost(None)
    handover.begin(FakeTransport())
    _, protocol = handover.take()
    assert protocol.received == b"ab"
    assert protocol.eof
    assert protocol.lost.is_set()


def test_what_comes_early_fills_buffers() -> None:
    """A protocol with a buffer of its own gets early data in pieces that fit."""
    handover = Handover(BufferedRecorder)
    handover.data_received(b"abcdefg")
    handover.begin(FakeTransport())
    assert handover.take()[1].received == [b"abc", b"def", b"g"]


def test_early_data_that_a_protocol_refuses() -> None:
    """What a protocol raises at early data comes out."""
    handover = Handover(Abrupt)
    handover.data_received(b"a")
    with pytest.raises(LookupError):
        handover.begin(FakeTransport())


def test_factory_that_raises_aborts() -> None:
    """When the factory raises, the transport is aborted, and taking raises the error again."""
    transport = FakeTransport()

    def factory() -> asyncio.Protocol:
        raise LookupError

    handover = Handover(factory)
    handover.data_received(b"a")
    handover.begin(transport)
    assert transport.aborted
    with pytest.raises(LookupError):
        handover.take()


def test_factory_that_makes_no_protocol() -> None:
    """What is no protocol is refused before the transport has it."""
    transport = FakeTransport()
    handover: Handover[Any] = Handover(lambda: None)
    handover.connection_made(transport)
    assert transport.aborted
    assert transport.protocol is None
    with pytest.raises(TypeError, match="the protocol factory gave None"):
        handover.take()


class Unmade(Recorder):
    """Raises when it gets its transport."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        raise LookupError


async def test_protocol_that_raises() -> None:
    """What ``connection_made`` raises goes to the loop, as without TLS, and the connection stays."""
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    transport = FakeTransport()
    handover = Handover(Unmade)
    handover.data_received(b"a")
    handover.begin(transport)
    assert handover.take()[1].received == b"a"
    assert not transport.aborted
    (context,) = reported
    assert isinstance(context["exception"], LookupError)
    assert context["transport"] is transport


def test_abort_without_a_transport() -> None:
    """Aborting before the handshake is over does nothing."""
    handover = Handover(Recorder)
    handover.abort()
    assert handover.error is None
