"""Tests of the connection on which questions follow each other."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import pytest

from asyncendpoints.dns.flight import Flight
from asyncendpoints.dns.forward import Forward
from asyncendpoints.dns.outcome import Answer, Failure, Outcome
from asyncendpoints.dns.pipeline import Line
from tests.clock import run
from tests.dns.test_forward import RIGHT, address, answer, delayed, question, silence
from tests.dns.upstreams import Asked, Connection, FakeUpstream, fake_upstream
from tests.support import open_descriptors, unused_port
from tests.tls_material import Authority, write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path
from contextlib import asynccontextmanager, suppress


@asynccontextmanager
async def over_tcp(
    script: Callable[[Asked], None] = Asked.answer, **options: float
) -> AsyncIterator[tuple[FakeUpstream, Forward]]:
    """Run a forwarder to one fake server, over TCP."""
    async with (
        fake_upstream(script) as server,
        Forward(server.over_tcp, **options) as forward,  # type: ignore[arg-type]  # numbers
    ):
        yield server, forward


def raw(server: FakeUpstream, data: bytes) -> None:
    """Write bytes to the newest connection."""
    server.connections[-1].write(data)


def framed(message: bytes) -> bytes:
    """Put its length before a message."""
    return len(message).to_bytes(2, "big") + message


async def test_questions_share_a_connection() -> None:
    """Many questions go over one connection, in the case in which they came."""
    async with over_tcp() as (server, forward):
        outcomes = await asyncio.gather(*[answer(forward, f"n{i}.example.org") for i in range(50)])
        assert all(isinstance(each, Answer) for each in outcomes)
        assert isinstance(await answer(forward), Answer)
        assert server.accepted == 1
        assert all(each.name.islower() for each in server.asked)


async def test_replies_in_another_order() -> None:
    """Replies are matched by identifier and question, not by their order."""
    held: list[Asked] = []
    async with over_tcp(held.append) as (server, forward):
        pending = [forward.resolve(question(f"n{i}.example.org")) for i in range(10)]
        await server.wait_asked(10)
        for each in reversed(held):
            each.answer()
        for one in pending:
            assert isinstance(await one, Answer)


async def test_replies_byte_by_byte() -> None:
    """A reply may come in as many pieces as it has bytes."""

    def script(asked: Asked) -> None:
        for byte in framed(asked.reply()):
            raw(server, bytes([byte]))

    async with over_tcp(script) as (server, forward):
        assert address(await answer(forward)) == RIGHT


async def test_connection_that_ends_is_replaced() -> None:
    """A server may close a connection; the next question opens another."""
    async with over_tcp() as (server, forward):
        await answer(forward)
        server.connections[0].close()
        await answer(forward, "again.example.org")
        await answer(forward, "later.example.org")
        assert server.accepted == 2


async def test_question_on_a_connection_that_ends_is_asked_once_more() -> None:
    """What was sent on a connection that had worked, and was closed, is sent again; once."""
    async with over_tcp() as (server, forward):
        await answer(forward)
        server.script = lambda _: server.connections[-1].abort()
        outcome = await answer(forward, "again.example.org")
        assert isinstance(outcome, Failure)
        assert len(server.asked) == 4  # each of the two attempts


@pytest.mark.parametrize("replies", [1, 2, 10])
async def test_server_that_closes_after_some_replies(replies: int) -> None:
    """All questions are answered, over as many connections as that takes, and few are sent in vain."""
    count = 0

    def script(asked: Asked) -> None:
        nonlocal count
        if server.connections[-1].is_closing():
            return
        count += 1
        asked.answer()
        if not count % replies:
            server.connections[-1].close()

    async with over_tcp(script) as (server, forward):
        pending = [answer(forward, f"n{i}.example.org") for i in range(100)]
        for each in await asyncio.gather(*pending):
            assert isinstance(each, Answer)
        assert server.accepted == 100 // replies
        assert forward.stats[0].sent <= 100 + server.accepted * 2 * max(8, replies)


async def test_server_that_does_not_answer_any_more() -> None:
    """What waits for room is given up with the second connection that ends without a reply."""

    def script(asked: Asked) -> None:
        if len(server.asked) == 1:
            asked.answer()
        server.connections[-1].close()

    async with over_tcp(script, attempts=1) as (server, forward):
        pending = [answer(forward, f"n{i}.example.org") for i in range(50)]
        outcomes = await asyncio.gather(*pending)
        assert sum(isinstance(each, Failure) for each in outcomes) == 49
        assert server.accepted == 3


def test_connection_on_which_somebody_waits_is_not_idle() -> None:
    """A connection is not closed while a reply may come."""

    async def main() -> None:
        async with over_tcp(delayed(25), timeout=60, patience=50) as (server, forward):
            assert isinstance(await answer(forward), Answer)
            assert server.accepted == 1

    run(main())


async def test_questions_that_the_server_does_not_read_are_bounded() -> None:
    """Beyond 256 KiB that wait to be sent there is no room for a question."""

    class Full(asyncio.Transport):
        def get_write_buffer_size(self) -> int:
            return 262_145

    async with over_tcp() as (_, forward):
        await answer(forward)
        pipeline = forward._upstreams[0]._pipeline
        line = Line(pipeline)
        line.connection_made(Full())
        assert not line.has_room()
        line.connection_lost(None)


async def test_connection_that_ends_in_mid_frame() -> None:
    """A reply that is cut off by the end of the connection is no reply."""

    def script(asked: Asked) -> None:
        raw(server, framed(asked.reply())[:-1])
        server.connections[-1].close()

    async with over_tcp(script, timeout=600) as (server, forward):
        assert isinstance(await answer(forward), Failure)
        assert forward.stats[0].errors >= 1


def test_dripping_server() -> None:
    """A server that never comes to the end of a reply is given up in time, and its connection is closed."""

    async def main() -> tuple[Outcome, float]:
        def script(asked: Asked) -> None:
            raw(server, b"\xff\xff")
            asyncio.get_running_loop().call_later(0.01, drip)

        def drip() -> None:
            with suppress(IndexError):  # there is no connection any more
                raw(server, b"x")
                asyncio.get_running_loop().call_later(0.01, drip)

        async with over_tcp(script) as (server, forward):
            outcome = await answer(forward)
            ended = asyncio.get_running_loop().time()
            await answer(forward, "again.example.org")
            assert server.accepted == 2
            return outcome, ended

    outcome, ended = run(main())
    assert isinstance(outcome, Failure)
    assert ended <= 5


def test_dead_connection_costs_no_answer() -> None:
    """A connection that has worked and is silent now is closed, and what waits there is asked on another."""

    async def main() -> float:
        async with over_tcp() as (server, forward):
            await answer(forward)
            server.script = lambda asked: asked.answer() if server.accepted > 1 else None
            assert isinstance(await answer(forward, "again.example.org"), Answer)
            assert server.accepted == 2
            return asyncio.get_running_loop().time()

    assert 2 <= run(main()) < 2.2


def test_slow_connection_is_kept() -> None:
    """A connection on which replies come late, but come, stays."""

    async def main() -> None:
        async with over_tcp(delayed(1.5)) as (server, forward):
            for i in range(3):
                assert isinstance(await answer(forward, f"n{i}.example.org"), Answer)
            assert server.accepted == 1

    run(main())


def test_idle_connection_is_closed() -> None:
    """A connection that nobody used for ten seconds is closed."""

    async def main() -> None:
        async with over_tcp() as (server, forward):
            await answer(forward)
            await asyncio.sleep(9)
            await answer(forward, "again.example.org")
            await asyncio.sleep(9)
            assert len(server.connections) == 1
            await asyncio.sleep(12)
            assert len(server.connections) == 0

    run(main())


def test_refused_connection_is_tried_again_later() -> None:
    """Where connections are refused, a second failure makes it wait before the next attempt."""

    async def main() -> int:
        async with Forward(f"tcp:127.0.0.1:{unused_port()}", attempts=4) as forward:
            for i in range(10):
                assert isinstance(await answer(forward, f"n{i}.example.org"), Failure)
            first = forward.stats[0].errors
            await asyncio.sleep(60)
            await answer(forward)
            assert forward.stats[0].errors == first + 1
            return first

    assert run(main()) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        lambda asked: b"",
        lambda asked: b"x",
        lambda asked: bytes((asked.packet[0] ^ 1, asked.packet[1])) + asked.reply()[2:],
        lambda asked: asked.reply(question=b"\1x\0\0\1\0\1"),
        lambda asked: asked.packet,
    ],
)
async def test_messages_that_were_not_asked_for(wrong: Callable[[Asked], bytes]) -> None:
    """What is no reply to a question in the air is passed over, and counted."""

    def script(asked: Asked) -> None:
        asked.send(wrong(asked))
        asked.answer()

    async with over_tcp(script) as (_, forward):
        assert address(await answer(forward)) == RIGHT
        assert forward.stats[0].unwanted == 1


async def test_malformed_reply_is_final() -> None:
    """On a connection nobody forges: a malformed reply is as good as none, and no other is waited for."""

    def script(asked: Asked) -> None:
        asked.send(asked.reply() + b"x")

    async with over_tcp(script, timeout=600, patience=500) as (_, forward):
        assert isinstance(await answer(forward), Failure)
        assert forward.stats[0].unwanted == 2


async def test_case_of_a_reply_makes_no_difference() -> None:
    """Over TCP the case is not drawn, and not compared."""
    script = lambda asked: asked.send(asked.reply(question=asked.question.swapcase()))  # noqa: E731
    async with over_tcp(script) as (_, forward):
        assert address(await answer(forward)) == RIGHT


async def test_reply_that_is_cut_over_tcp_is_none() -> None:
    """What is cut where there is no limit of size cannot be had from this server."""
    script = lambda asked: asked.send(asked.reply(flags=0x8380))  # noqa: E731
    async with over_tcp(script, timeout=600) as (_, forward):
        assert isinstance(await answer(forward), Failure)


def test_server_that_does_not_read() -> None:
    """What is sent to a server that reads nothing is bounded; the rest waits for room."""

    async def main() -> None:
        async with over_tcp(silence, timeout=0.1) as (server, forward):
            forward.resolve(question())
            await server.wait_asked()
            server.connections[0].pause_reading()
            for i in range(9_000):
                forward.resolve(question(f"{'x' * 60}.{'y' * 60}.{'z' * 60}.n{i}.example.org"))
            assert forward.outstanding == 9_001
            assert forward.stats[0].sent == 4096

    run(main())


async def test_questions_that_wait_for_a_connection() -> None:
    """While there is no connection yet all questions wait for it; what is over by then is not sent."""
    async with over_tcp(attempts=1) as (server, forward):
        pending = [forward.resolve(question(f"n{i}.example.org")) for i in range(5000)]
        given_up = pending[0]
        assert isinstance(given_up, Flight)
        given_up.abandon()
        for each in pending[1:]:
            assert isinstance(await each, Answer)
        assert server.accepted == 1
        assert forward.stats[0].sent == 4999


async def test_close_while_connecting() -> None:
    """A connect that is under way is given up."""
    async with fake_upstream() as server:
        before = open_descriptors()
        forward = Forward(server.over_tcp)
        pending = forward.resolve(question())
        await asyncio.sleep(0)
        await forward.aclose()
        assert isinstance(await pending, Failure)
        for _ in range(5):  # the server has to find out
            await asyncio.sleep(0)
        assert open_descriptors() == before


async def test_server_that_closes_at_once() -> None:
    """A connection that ends before it has served is a failure of the server."""
    ended = asyncio.Event()

    class Closing(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transport.abort()  # type: ignore[attr-defined]  # it is a Transport
            ended.set()

    loop = asyncio.get_running_loop()
    async with await loop.create_server(Closing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with Forward(f"tcp:127.0.0.1:{port}", timeout=600) as forward:
            assert isinstance(await answer(forward), Failure)
    assert ended.is_set()


async def test_over_tls(tmp_path: Path) -> None:
    """A server is asked over TLS, with the protocol ``dot``."""
    authority = Authority()
    issued = authority.issue("localhost")
    key_file = write(tmp_path / "key.pem", issued.pem, issued.key_pem)
    roots = write(tmp_path / "roots.pem", authority.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(key_file)
    context.set_alpn_protocols(["dot"])
    server = FakeUpstream(Asked.answer)
    listener = await asyncio.get_running_loop().create_server(
        lambda: Connection(server), "127.0.0.1", 0, ssl=context
    )
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        upstream = f"tls:localhost:{port}:trust_roots={roots}"
        async with Forward(upstream) as forward:
            assert address(await answer(forward)) == RIGHT
            assert (
                server.connections[0].get_extra_info("ssl_object").selected_alpn_protocol() == "dot"
            )
        await server.disconnect()


async def test_over_a_unix_socket(tmp_path: Path) -> None:
    """A server is asked over any stream."""
    server = FakeUpstream(Asked.answer)
    path = str(tmp_path / "socket")
    listener = await asyncio.get_running_loop().create_unix_server(lambda: Connection(server), path)
    async with listener, Forward(f"unix:{path}") as forward:
        assert address(await answer(forward)) == RIGHT
        await forward.aclose()
        await server.disconnect()
