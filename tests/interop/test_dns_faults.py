"""Upstreams that misbehave behind our server, and clients that do before it."""

from __future__ import annotations

import asyncio
import random
import re
import resource
import socket
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING

import dns.message
import pytest

from asyncendpoints.dns.cache import Cache
from asyncendpoints.dns.chain import Chain
from asyncendpoints.dns.forward import Forward
from asyncendpoints.dns.limits import DNSLimits
from asyncendpoints.dns.listening import listen
from tests.dns.upstreams import A_RECORD, OPT, Asked, FakeUpstream, fake_upstream
from tests.interop.dns_programs import (
    HOST,
    LISTEN,
    Stream,
    ask,
    exchange,
    nameserver,
    over_tcp,
    over_udp,
    query,
    socket_to,
    write_zone,
    zone,
)
from tests.support import unused_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from asyncendpoints.dns.listening import NameServer
    from asyncendpoints.dns.resolver import Resolver

    Script = Callable[[FakeUpstream, Asked], None]

pytestmark = pytest.mark.interop

RIGHT = ("NOERROR", ["www.example.org. A 192.0.2.1"])
OTHER = ("NOERROR", ["other.example.org. A 192.0.2.1"])
#: An address that no right reply has.
LIE = A_RECORD[:-1] + b"\x63"


@asynccontextmanager
async def between(
    script: Script, *, tcp: bool = False, cached: bool = False, **options: float
) -> AsyncIterator[tuple[FakeUpstream, NameServer]]:
    """Run our server between its clients and an upstream that does wrong, but not for other.example.org."""
    async with fake_upstream() as upstream:

        def choose(asked: Asked) -> None:
            if b"other" in asked.name.lower():
                asked.answer()
            else:
                script(upstream, asked)

        upstream.script = choose
        settings = {"timeout": 10.0, "patience": 0.2, **options}
        forward = Forward(upstream.over_tcp if tcp else upstream.text, **settings)  # type: ignore[arg-type]
        async with listen(LISTEN, Cache(forward) if cached else forward) as server:
            yield upstream, server


# What an upstream can do wrong before it does right


def drops_first(upstream: FakeUpstream, asked: Asked) -> None:
    """Answer the second time."""
    if len(upstream.asked) > 1:
        asked.answer()


def delays(upstream: FakeUpstream, asked: Asked) -> None:
    """Answer after a while."""
    asyncio.get_running_loop().call_later(0.5, asked.answer)


def truncates(upstream: FakeUpstream, asked: Asked) -> None:
    """Answer over TCP."""
    if asked.is_stream:
        asked.answer()
    else:
        asked.send(asked.reply((0, 0, 0), b"", flags=0x8380))


def truncates_with_records(upstream: FakeUpstream, asked: Asked) -> None:
    """Answer over TCP, and before that with records that are not all."""
    if asked.is_stream:
        asked.answer()
    else:
        asked.send(asked.reply((1, 0, 0), LIE, flags=0x8380))


def answers_from_elsewhere(upstream: FakeUpstream, asked: Asked) -> None:
    """Have others answer wrongly first."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))
        sock.sendto(asked.reply(tail=LIE), asked.peer)
    asked.answer()


def answers_to_all_cases(upstream: FakeUpstream, asked: Asked) -> None:
    """Keep no case."""
    asked.send(asked.reply(question=asked.question.lower()))


def knows_no_edns(upstream: FakeUpstream, asked: Asked) -> None:
    """Answer a query without EDNS."""
    if asked.opt:
        asked.fail(1, has_opt=False)
    else:
        asked.answer()


def answers_twice(upstream: FakeUpstream, asked: Asked) -> None:
    """Say something else after the answer."""
    asked.answer()
    asked.send(asked.reply(tail=LIE))


def forgeries(asked: Asked) -> Iterator[bytes]:
    """Make wrong replies, each of which has one thing wrong with it, and would give another address."""
    for flip in range(16):
        ident = (int.from_bytes(asked.packet[:2], "big") ^ 1 << flip).to_bytes(2, "big")
        yield asked.reply(tail=LIE, ident=ident)
    wrong = asked.question.swapcase()
    yield asked.reply(tail=LIE, question=wrong)
    yield asked.reply(tail=LIE, question=asked.question[:-4] + b"\0\x1c\0\1")
    yield asked.reply(tail=LIE, question=asked.question[:-4] + b"\0\1\0\3")
    yield asked.reply(tail=LIE, question=b"\4evil" + asked.question[4:])
    for flags in (0x0180, 0x8980, 0xA180):  # no reply, and replies of other opcodes
        yield asked.reply(tail=LIE, flags=flags)
    right = asked.reply(tail=LIE)
    yield from (right[:size] for size in (0, 1, 2, 11, 12, 13, 20, len(right) - 1))
    yield right + b"\0"
    yield asked.reply((2, 0, 0), LIE)
    yield asked.reply((65535, 0, 0), LIE)
    yield asked.reply((1, 65535, 65535), LIE)
    yield asked.reply((1, 0, 2), LIE + OPT + OPT)
    yield asked.reply((1, 0, 1), LIE + b"\1x" + OPT)
    yield asked.reply((1, 0, 0), b"\xc0\xff" + LIE[2:])  # a pointer to what follows
    yield asked.reply((1, 0, 0), b"\xc0" + bytes((len(right) - len(LIE),)) + LIE[2:])  # to itself
    yield asked.reply((1, 0, 0), b"\x40" + LIE[1:])
    yield asked.reply((1, 0, 0), LIE[:10] + b"\0\5" + LIE[12:])
    yield asked.packet
    yield b"\xff" * 512
    yield bytes(512)


def forges(upstream: FakeUpstream, asked: Asked) -> None:
    """Have fifty wrong replies come before the right one."""
    if not asked.is_stream:
        wrong = list(forgeries(asked))
        for each in (*wrong, *wrong)[:50]:
            asked.send(each)
    asked.answer()


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize(
    "script",
    [
        drops_first,
        delays,
        truncates,
        truncates_with_records,
        answers_from_elsewhere,
        answers_to_all_cases,
        knows_no_edns,
        answers_twice,
        forges,
    ],
)
async def test_right_answer_wins(script: Script, cached: bool) -> None:
    """Whatever else an upstream does, or others in its name, the client gets the right answer, twice."""
    async with between(script, cached=cached) as (_, server):
        for tcp in (False, True):
            assert await ask(server.port, tcp=tcp) == RIGHT
            assert await ask(server.port, "other.example.org", tcp=tcp) == OTHER


def cuts_first(upstream: FakeUpstream, asked: Asked) -> None:
    """End the first connection in the middle of the reply, then answer."""
    if upstream.accepted > 1:
        asked.answer()
        return
    frame = len(asked.reply()).to_bytes(2, "big") + asked.reply()
    upstream.connections[-1].write(frame[:-3])
    upstream.connections[-1].close()


def drips(upstream: FakeUpstream, asked: Asked) -> None:
    """Answer one byte at a time."""
    loop, connection = asyncio.get_running_loop(), upstream.connections[-1]
    for place, byte in enumerate(len(asked.reply()).to_bytes(2, "big") + asked.reply()):
        loop.call_later(place / 500, connection.write, bytes((byte,)))


def misleads(upstream: FakeUpstream, asked: Asked) -> None:
    """Send messages that nobody asked for before the right one, in one segment."""
    wrong = [asked.reply(tail=LIE, ident=b"\0\0"), b"", b"\0", OPT, asked.packet]
    right = asked.reply()
    upstream.connections[-1].write(
        b"".join(len(each).to_bytes(2, "big") + each for each in (*wrong[1:4], right))
    )


@pytest.mark.parametrize("script", [drips, misleads, answers_twice, knows_no_edns])
async def test_right_answer_over_tcp(script: Script) -> None:
    """So it is where the upstream is asked over TCP."""
    async with between(script, tcp=True) as (_, server):
        assert await ask(server.port) == RIGHT
        assert await ask(server.port, tcp=True) == RIGHT
        assert await ask(server.port, "other.example.org") == OTHER


async def test_connection_that_ends_in_mid_frame() -> None:
    """A question whose connection ended in the middle of its reply is asked on another one."""
    async with between(cuts_first, tcp=True) as (upstream, server):
        assert await ask(server.port, "other.example.org") == OTHER  # it is a connection that works
        assert await ask(server.port) == RIGHT
        assert upstream.accepted == 2


# What it can do wrong to the end


def drops(upstream: FakeUpstream, asked: Asked) -> None:
    """Say nothing."""


def lies(upstream: FakeUpstream, asked: Asked) -> None:
    """Send wrong replies alone, over TCP nothing."""
    if not asked.is_stream:
        for each in forgeries(asked):
            asked.send(each)


def truncates_alone(upstream: FakeUpstream, asked: Asked) -> None:
    """Cut the answer over TCP too."""
    asked.send(asked.reply((0, 0, 0), b"", flags=0x8380))


def cuts(upstream: FakeUpstream, asked: Asked) -> None:
    """End every connection in the middle of the reply; over UDP have it asked over TCP."""
    if asked.is_stream:
        frame = len(asked.reply()).to_bytes(2, "big") + asked.reply()
        upstream.connections[-1].write(frame[:-3])
        upstream.connections[-1].close()
    else:
        asked.send(asked.reply((0, 0, 0), b"", flags=0x8380))


def drips_to_no_end(upstream: FakeUpstream, asked: Asked) -> None:
    """Begin a reply of 65,535 bytes, of which some come one by one."""
    if not asked.is_stream:
        asked.send(asked.reply((0, 0, 0), b"", flags=0x8380))
        return
    loop, connection = asyncio.get_running_loop(), upstream.connections[-1]
    for place, byte in enumerate(b"\xff\xff" + asked.reply()[:15]):
        loop.call_later(place / 100, connection.write, bytes((byte,)))


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("script", [drops, lies, truncates_alone, cuts, drips_to_no_end])
async def test_wrong_to_the_end(script: Script, tcp: bool) -> None:
    """An upstream that does nothing right is SERVFAIL with a reason, in time, for this question alone."""
    async with between(script, timeout=0.6) as (_, server):
        message = dns.message.make_query("www.example.org", "A", use_edns=0)
        way = over_tcp if tcp else over_udp
        waiting = asyncio.create_task(way(server.port, message.to_wire()))
        began = monotonic()
        assert await ask(server.port, "other.example.org", tcp=tcp) == OTHER
        reply = dns.message.from_wire(await waiting)
        assert monotonic() - began < 3
        assert (reply.rcode(), reply.answer) == (2, [])
        assert [option.otype for option in reply.options] == [15]


async def test_failure_is_not_asked_for_again_at_once() -> None:
    """Behind a cache, those who ask again for what has just failed cost the upstream nothing."""
    async with between(drops, cached=True, timeout=0.3) as (upstream, server):
        assert await ask(server.port) == ("SERVFAIL", [])
        asked = len(upstream.asked)
        for tcp in (False, True):
            assert await ask(server.port, tcp=tcp) == ("SERVFAIL", [])
        assert len(upstream.asked) == asked


async def test_what_was_not_asked_for_is_left_out() -> None:
    """Records of other names reach neither the client nor the cache."""
    poison = b"\5other\7example\3org\0" + LIE[2:]
    servers = b"\7example\3org\0\0\2\0\1\0\0\x0e\x10\0\x07\4evil\xc0\x0c"

    def adds(upstream: FakeUpstream, asked: Asked) -> None:
        asked.send(asked.reply((2, 1, 1), A_RECORD + poison + servers + poison))

    async with between(adds, cached=True) as (_, server):
        for _ in range(2):
            assert await ask(server.port) == RIGHT
            reply = dns.message.from_wire(await over_udp(server.port, query(flags=0x0100)))
            assert not reply.authority
            assert not reply.additional
            assert await ask(server.port, "other.example.org") == OTHER


async def test_many_wait_for_one_answer() -> None:
    """However many clients ask the same question in the same moment, the upstream hears it once."""
    async with between(delays, cached=True, patience=5) as (upstream, server):
        replies = await asyncio.gather(*[ask(server.port, tcp=i % 4 == 0) for i in range(40)])
        assert replies == [RIGHT] * 40
        assert len(upstream.asked) == 1


# Circles


@pytest.mark.parametrize("kind", ["udp", "tcp"])
@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize(
    "wrap", [Chain, Cache, lambda forward: Chain(zone(), Cache(Chain(forward)))]
)
async def test_forwarder_that_points_at_itself(
    kind: str, tcp: bool, wrap: Callable[[Forward], Resolver]
) -> None:
    """A server that is its own upstream answers SERVFAIL, at once and after a few packets."""
    port = unused_port()
    resolver = wrap(Forward(f"{kind}:{HOST}:{port}"))
    async with listen(f"dns:{port}:interface={HOST}", resolver) as server, asyncio.timeout(1):
        assert await ask(port, "www.example.net", tcp=tcp) == ("SERVFAIL", [])
        assert server.counters.received < 10


async def test_forwarders_that_point_at_each_other() -> None:
    """Two servers that are each other's upstream give each client one SERVFAIL, after a few packets."""
    one, two = unused_port(), unused_port()
    async with (
        listen(f"dns:{one}:interface={HOST}", Forward(f"udp:{HOST}:{two}", timeout=0.6)) as first,
        listen(f"dns:{two}:interface={HOST}", Forward(f"udp:{HOST}:{one}", timeout=0.6)) as second,
    ):
        assert await ask(one) == ("SERVFAIL", [])
        assert first.counters.received + second.counters.received < 20


# Clients


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Let this process have some thousands of descriptors."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, limits[1]), limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


async def connected(stack: AsyncExitStack, port: int, local: str) -> Stream:
    """Open a connection, ask something on it, and leave it open."""
    stream = await stack.enter_async_context(Stream.to(port, local=local))
    stream.send(query())
    await stream.receive()
    return stream


@pytest.mark.usefixtures("many_descriptors")
async def test_two_thousand_idle_connections(tmp_path: Path) -> None:
    """While two thousand clients keep their connections open, others are answered over UDP and TCP."""
    options = ("--zone", str(write_zone(tmp_path)), "--idle-timeout", "60")
    async with nameserver(tmp_path, *options) as (port, process, _), AsyncExitStack() as stack:
        streams = []
        for place in range(20):
            local = f"127.0.0.{place + 2}"
            streams += await asyncio.gather(*[connected(stack, port, local) for _ in range(100)])
        for _ in range(20):
            assert (await ask(port))[0] == "NOERROR"
            assert (await ask(port, tcp=True))[0] == "NOERROR"
        for stream in streams[::100]:
            stream.send(query())
            await stream.receive()
        assert process.returncode is None


async def test_one_client_cannot_have_all_connections() -> None:
    """Connections above the limit of one client are reset, and other clients are served."""
    limits = DNSLimits(max_per_peer=5)
    async with listen(LISTEN, zone(), limits=limits) as server, AsyncExitStack() as stack:
        for _ in range(5):
            await connected(stack, server.port, "127.0.0.2")
        with pytest.raises((OSError, EOFError)):
            await connected(stack, server.port, "127.0.0.2")
        await connected(stack, server.port, "127.0.0.3")
        assert await over_udp(server.port, query())


async def test_connection_that_drips() -> None:
    """Bytes that drip in do not keep a connection open; others are answered meanwhile."""
    limits = DNSLimits(first_timeout=0.5, idle_timeout=0.5)
    async with listen(LISTEN, zone(), limits=limits) as server, Stream.to(server.port) as stream:
        ending = asyncio.create_task(stream.rest())
        packet = query()
        drops = iter(len(packet).to_bytes(2, "big") + packet[:-1])
        while not ending.done():
            stream.writer.write(bytes((next(drops),)))
            await over_tcp(server.port, query())
            await asyncio.wait([ending], timeout=0.1)
        assert await ending == b""
        assert server.stream_counters.idle == 1


async def test_client_that_never_reads(tmp_path: Path) -> None:
    """A client that asks and never reads loses its connection; others are answered meanwhile."""
    limits = DNSLimits(write_timeout=0.5)
    async with listen(LISTEN, zone(), limits=limits) as server:
        loop = asyncio.get_running_loop()
        question = query("big.example.org", 16)
        frames = (len(question).to_bytes(2, "big") + question) * 100

        async def asks_for_ever(greedy: socket.socket) -> None:
            while True:
                await loop.sock_sendall(greedy, frames)

        with socket.create_connection((HOST, server.port)) as greedy:
            greedy.setblocking(False)
            asking = asyncio.create_task(asks_for_ever(greedy))
            while not asking.done():
                assert (await ask(server.port))[0] == "NOERROR"
                assert (await ask(server.port, tcp=True))[0] == "NOERROR"
            assert isinstance(asking.exception(), ConnectionError)
        assert server.stream_counters.unread == 1


async def test_datagrams_whose_replies_nobody_takes() -> None:
    """Clients that are gone when their replies come do no harm to the others."""
    async with listen(LISTEN, zone()) as server:
        for number in range(50):
            with socket_to(server.port) as sock:
                sock.send(query("big.example.org", 16, ident=number))
        assert (await ask(server.port))[0] == "NOERROR"


async def test_without_descriptors(program: Callable[[str], str], tmp_path: Path) -> None:
    """A process that has no descriptor left answers over UDP, and over TCP once it has some again."""
    before = (program("prlimit"), "--nofile=48", "--")
    async with fake_upstream() as upstream:
        options = ("--zone", str(write_zone(tmp_path)), "--forward", f"udp:{HOST}:{upstream.port}")
        async with nameserver(tmp_path, *options, before=before) as (port, process, log):
            with ExitStack() as stack:
                for _ in range(100):
                    stack.enter_context(socket.create_connection((HOST, port)))
                for number in range(50):
                    assert (await ask(port))[0] == "NOERROR"
                    # Whether there is a descriptor for a socket to the upstream is a matter of chance.
                    assert (await ask(port, f"n{number}.example.net"))[0] in {"NOERROR", "SERVFAIL"}
                assert process.returncode is None
            async with asyncio.timeout(30):
                assert (await ask(port, tcp=True))[0] == "NOERROR"
            assert (await ask(port, "www.example.net"))[0] == "NOERROR"
            assert process.returncode is None
        assert len(log.read_text().splitlines()) < 20


# A storm


def resident(pid: int) -> int:
    """Give the resident memory of a process, in KiB."""
    with open(f"/proc/{pid}/status") as file:
        found = re.search(r"^VmRSS:\s+(\d+) kB$", file.read(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def garbage(chance: random.Random) -> bytes:
    """Make a datagram: bytes without a sense, or a query that was damaged."""
    if chance.random() < 0.3:
        return chance.randbytes(chance.randrange(600))
    size, more = chance.randrange(65536), chance.getrandbits(32)
    opt = chance.choice(
        [None, (size, 0, b""), (size, more, chance.randbytes(chance.randrange(40)))]
    )
    name = f"n{chance.randrange(1000)}.example.{chance.choice(['org', 'net'])}"
    flags = chance.choice([0, 0x0100, 0x0110, chance.getrandbits(16)])
    packet = bytearray(query(name, chance.randrange(65536), flags=flags, opt=opt))
    for _ in range(chance.randrange(4)):
        packet[chance.randrange(len(packet))] = chance.getrandbits(8)
    return bytes(packet[: chance.choice([None, chance.randrange(len(packet))])])


async def test_storm(tmp_path: Path) -> None:
    """A hundred thousand random datagrams leave a server that answers, is no larger, and has said little."""
    chance = random.Random(3)
    forward = ("--forward", f"udp:{HOST}:{unused_port()}", "--cache")
    async with nameserver(tmp_path, "--zone", str(write_zone(tmp_path)), *forward) as server:
        port, process, log = server
        sizes = []
        with socket_to(port) as asking, socket_to(port) as throwing:
            for number in range(1, 100_001):
                throwing.send(garbage(chance))
                if not number % 100:  # no more than the system keeps until it is read
                    packet = query(ident=number & 0xFFFF)
                    assert (await exchange(asking, packet))[:2] == packet[:2]
                if not number % 25_000:
                    sizes.append(resident(process.pid))
        assert (await ask(port))[0] == (await ask(port, tcp=True))[0] == "NOERROR"
        assert sizes[-1] - sizes[0] < 16 * 1024
        assert process.returncode is None
    said = log.read_text()
    assert len(said.splitlines()) < 20
    assert "Traceback" not in said
