"""What ``socks5`` and ``httpconnect`` have in common, over plain sockets and over transports."""

from __future__ import annotations

import asyncio
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
    DescriptionError,
    ProxyError,
    ProxyReplyError,
    SpecError,
    TLSError,
)
from asyncendpoints.kinds.httpconnect import HTTPConnectClient
from asyncendpoints.kinds.proxied import ProxyClient
from asyncendpoints.kinds.socks5 import SOCKS5Client
from asyncendpoints.kinds.tcp import TCPClient
from asyncendpoints.kinds.tls import TLSClient
from asyncendpoints.specs import ClientSpec, parse_client
from tests.clock import run
from tests.proxying import PROXY, WAYS, CoveredClient, Dialogue, FakeProxy, PeekClient, through
from tests.serving import turns, until
from tests.support import Recorder, open_descriptors, warm_up

if TYPE_CHECKING:
    from collections.abc import Callable

GRANTED = bytes.fromhex("05000001000000000000")
SOCKS5 = b"\x05\x01\x00\x03\x0bexample.org\x01\xbb"
HTTP = b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n"

#: For each kind the dialogue in which a tunnel is opened.
OPENING: dict[type[ProxyClient], Dialogue] = {
    SOCKS5Client: [(b"\x05\x01\x00", b"\x05\x00"), (SOCKS5, GRANTED)],
    HTTPConnectClient: [(HTTP, b"HTTP/1.1 200 OK\r\nVia: x\r\n\r\n")],
}

KINDS = pytest.mark.parametrize("client", list(OPENING))
OVER = pytest.mark.parametrize("way", WAYS, ids=["plain", "covered"])


def opening(client: type[ProxyClient], rest: bytes = b"") -> Dialogue:
    """Give the dialogue that opens a tunnel, whose first bytes come with the answer."""
    *first, (question, answer) = OPENING[client]
    return [*first, (question, answer + rest)]


def never() -> asyncio.Protocol:
    """Make no protocol: a factory for connects that must not come so far."""
    raise AssertionError  # pragma: no cover - it is not called


async def failed(
    endpoint: ClientSpec, factory: Callable[[], asyncio.Protocol] = never, **options: Any
) -> ConnectError:
    """Connect in vain, and give the error; no task is left by then."""
    before = asyncio.all_tasks()
    with pytest.raises(ConnectError) as caught:
        await connect(endpoint, factory, **options)
    assert asyncio.all_tasks() - before <= {each for each in asyncio.all_tasks() if is_server(each)}
    return caught.value


def is_server(task: asyncio.Task[Any]) -> bool:
    """Tell whether a task is one of the fake proxy."""
    return "_Served" in repr(task.get_coro()) or "Server" in repr(task.get_coro())


# Opening


@KINDS
@OVER
@pytest.mark.parametrize("size", [None, 1])
async def test_tunnel(client: type[ProxyClient], way: ClientSpec, size: int | None) -> None:
    """Bytes go both ways, and those that come with the answer of the proxy are the first."""
    proxy = FakeProxy(opening(client, b"hello"), size=size)
    async with proxy.serving():
        transport, there = await connect(through(client, way), Recorder)
        served = await proxy.clients.get()
        assert served.received == b""
        transport.write(b"question")
        await until(lambda: served.received == b"question")
        served.say(b" world")
        await there.lost.wait()
        await served.lost.wait()
        assert there.received == b"hello world"


@KINDS
def test_socket(client: type[ProxyClient]) -> None:
    """Over a plain socket there is a plain socket, from which nothing of the tunnel has been read."""

    async def main() -> None:
        spec = through(client, PROXY)
        assert spec.is_plain()
        async with FakeProxy(opening(client, b"hello")).serving():
            transport, _ = await connect(PeekClient(spec), Recorder)
            transport.abort()

    run(main())


@KINDS
async def test_no_socket(client: type[ProxyClient]) -> None:
    """Over a transport there is no plain socket, and the kind says so."""
    spec = through(client, CoveredClient(PROXY))
    assert not spec.is_plain()
    error = await failed(PeekClient(spec))
    assert (
        error.problem
        == f"a {spec.names[0].text} client has no plain socket to build on".replace(
            "a http", "a http"
        )
    )


@KINDS
@OVER
def test_events(client: type[ProxyClient], way: ClientSpec) -> None:
    """A step through a proxy is told when it begins and when it ends, before the protocol is made."""
    seen: list[Any] = []

    def factory() -> Recorder:
        seen.append("factory")
        return Recorder()

    async def main() -> None:
        async with FakeProxy(opening(client)).serving():
            transport, _ = await connect(through(client, way), factory, on_event=seen.append)
            transport.abort()

    run(main())
    _, _, started, finished, made = seen
    place = way.display()
    assert started == events.ProxyStarted(started.time, place, "example.org:443")
    assert finished == events.ProxyFinished(finished.time, place, "example.org:443")
    assert made == "factory"


@KINDS
@OVER
async def test_proxy_that_goes_with_its_answer(client: type[ProxyClient], way: ClientSpec) -> None:
    """A tunnel that ends at once has given its bytes and its end to the protocol."""
    async with FakeProxy(opening(client, b"bye"), close=True).serving():
        _, there = await connect(through(client, way), Recorder)
        await there.lost.wait()
        assert there.received == b"bye"
        assert there.eof


@KINDS
@pytest.mark.parametrize("inner", list(OPENING))
@OVER
def test_proxy_behind_a_proxy(
    client: type[ProxyClient], inner: type[ProxyClient], way: ClientSpec
) -> None:
    """Each proxy is told of the next one, and the last of the target."""
    seen: list[events.Event] = []

    async def main() -> None:
        dialogue = [*opening(inner), *opening(client, b"hello")]
        proxy = FakeProxy(dialogue)
        async with proxy.serving():
            spec = through(client, through(inner, way))
            transport, there = await connect(spec, Recorder, on_event=seen.append)
            await proxy.clients.get()
            assert there.received == b"hello"
            transport.abort()

    run(main())
    steps = [each for each in seen if isinstance(each, events.ProxyStarted | events.ProxyFinished)]
    inner_place = through(inner, way).display()
    assert [each.proxy for each in steps] == [way.display()] * 2 + [inner_place] * 2


@KINDS
async def test_proxy_over_tls(client: type[ProxyClient]) -> None:
    """A proxy is asked, and its tunnel used, over TLS."""
    fake = FakeProxy(opening(client, b"hello"))
    async with fake.serving("tls:0:interface=127.0.0.1:selfsigned=localhost") as server:
        (way,) = server.client_endpoints
        assert way is not None
        transport, there = await connect(through(client, way), Recorder)
        assert transport.get_extra_info("cipher") is not None
        transport.write(b"question")
        await until(lambda: fake.served[0].received == b"question")
        transport.close()
        await there.lost.wait()
        assert there.received == b"hello"


@KINDS
async def test_cancel_over_tls(client: type[ProxyClient]) -> None:
    """A cancel while a proxy over TLS is waited for leaves no connection."""
    fake = FakeProxy([])
    async with fake.serving("tls:0:interface=127.0.0.1:selfsigned=localhost") as server:
        (way,) = server.client_endpoints
        assert way is not None
        before = open_descriptors()
        task = asyncio.create_task(connect(through(client, way), never))
        served = await fake.clients.get()
        await until(lambda: bool(served.received))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert open_descriptors() <= before + 1  # that of the proxy
        await served.lost.wait()


@KINDS
@OVER
def test_tls_through_a_proxy(client: type[ProxyClient], way: ClientSpec) -> None:
    """TLS builds on a tunnel, whatever that is built on."""

    async def main() -> None:
        dialogue = [*opening(client), (b"\x16\x03\x01", b"no TLS at all")]
        async with FakeProxy(dialogue).serving():
            endpoint = TLSClient("example.org", 443, endpoint=through(client, way))
            error = await failed(endpoint)
            assert type(error) is TLSError
            assert error.problem == "the server does not speak TLS"

    run(main())


@KINDS
async def test_addresses(client: type[ProxyClient]) -> None:
    """The addresses that would be tried are those of the proxy."""
    spec = through(client, TCPClient("192.0.2.1", 9050))
    assert [str(each) for each in await spec.addresses(Attempt(spec))] == ["192.0.2.1:9050"]


# Failing


@KINDS
@OVER
@pytest.mark.parametrize("cut", range(3))
def test_proxy_that_closes(client: type[ProxyClient], way: ClientSpec, cut: int) -> None:
    """A proxy that closes in the middle of an answer is told by its place; nothing else is tried."""
    seen: list[events.Event] = []

    async def main() -> ConnectError:
        question, answer = OPENING[client][0]
        proxy = FakeProxy([(question, answer[:cut][:1])], close=True)
        async with proxy.serving():
            error = await failed(through(client, way), on_event=seen.append)
            await (await proxy.clients.get()).lost.wait()
            return error

    error = run(main())
    assert type(error) is ProxyError
    kind = client.protocol
    place = f"the {kind} proxy at {way.display()}"
    assert error.problem == f"{place} closed the connection before it had answered"
    assert (error.stage, error.code) == ("proxy", None)
    assert isinstance(error.__cause__, ProxyReplyError)
    assert seen[-1] == events.ProxyFailed(seen[-1].time, way.display(), "example.org:443", error)


@KINDS
@OVER
@pytest.mark.parametrize("said", [b"\x00" * 10, b"SSH-2.0-x\r\n", b"+OK ready\r\n" * 10000])
def test_garbage(client: type[ProxyClient], way: ClientSpec, said: bytes) -> None:
    """Something that is no proxy is told at once, without waiting for the time to be over."""

    async def main() -> ConnectError:
        async with FakeProxy([(b"", said)]).serving():
            return await failed(through(client, way), timeout=None)

    error = run(main())
    assert type(error) is ProxyError
    assert "does not speak" in error.problem


@KINDS
@OVER
def test_proxy_that_drips(client: type[ProxyClient], way: ClientSpec) -> None:
    """A proxy that never comes to an end is given up when the time is over, with its descriptor closed."""

    async def main() -> None:
        slow = b"\x05" if client is SOCKS5Client else b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100
        proxy = FakeProxy([(b"", slow)], size=1)
        async with proxy.serving():
            error = await failed(through(client, way), timeout=0.5)
            assert type(error) is ConnectTimeoutError
            assert error.problem == "timed out after 0.5 s (proxy)"
            assert error.stage == "proxy"
            assert asyncio.get_running_loop().time() == 0.5
            assert len(proxy.served) == 1

    run(main())


@KINDS
async def test_no_proxy(client: type[ProxyClient]) -> None:
    """A proxy that cannot be reached is an error of the stage of connecting to it."""
    error = await failed(through(client, PROXY))
    assert type(error) is ConnectRefusedError
    assert error.stage == "connect"


@KINDS
def test_host_and_port_of_a_proxy(client: type[ProxyClient]) -> None:
    """Host and port of a proxy are reached by TCP, and named in errors and events."""

    async def main() -> tuple[ConnectError, int]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            spec = through(client, proxy_host="127.0.0.1", proxy_port=port)
            assert spec.way == TCPClient("127.0.0.1", port)
            assert spec.is_plain()
            connecting = asyncio.create_task(failed(spec))
            await turns()
            listener.accept()[0].close()
            return await connecting, port

    error, port = asyncio.run(main())
    assert type(error) is ProxyError
    assert f"proxy at 127.0.0.1:{port} closed" in error.problem


# Cancelling, and factories and hooks that raise


@KINDS
@OVER
@pytest.mark.parametrize("count", range(2))
def test_cancel(client: type[ProxyClient], way: ClientSpec, count: int) -> None:
    """A cancel while the proxy is waited for leaves no descriptor and no task, at once."""

    async def main() -> None:
        answered = opening(client)[:count]
        if len(answered) == len(OPENING[client]):
            answered = [(answered[0][0], b"HTTP/1.1 2")]
        proxy = FakeProxy(answered)
        async with proxy.serving():
            before = open_descriptors()
            task = asyncio.create_task(connect(through(client, way), never))
            served = await proxy.clients.get()
            await turns()
            assert open_descriptors() == before + 2
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert open_descriptors() <= before + 1  # that of the proxy
            await served.lost.wait()

    run(main())


@KINDS
@OVER
async def test_cancel_when_the_tunnel_is_open(client: type[ProxyClient], way: ClientSpec) -> None:
    """A cancel from the factory closes the connection."""

    def factory() -> Recorder:
        task.cancel()
        return Recorder()

    proxy = FakeProxy(opening(client))
    async with proxy.serving():
        task = asyncio.create_task(connect(through(client, way), factory))
        with pytest.raises(asyncio.CancelledError):
            await task
        await proxy.served[0].lost.wait()


class OddError(OSError):
    """An error that looks like one of the network."""


def odd() -> asyncio.Protocol:
    """Make no protocol."""
    raise OddError


@KINDS
@OVER
async def test_factory_that_raises(client: type[ProxyClient], way: ClientSpec) -> None:
    """What the factory raises comes out unchanged, with the connection closed."""
    await warm_up()
    proxy = FakeProxy(opening(client, b"early"))
    async with proxy.serving():
        before = open_descriptors()
        with pytest.raises(OddError):
            await connect(through(client, way), odd)
        assert open_descriptors() <= before + 1  # that of the proxy
        await proxy.served[0].lost.wait()


@KINDS
@OVER
@pytest.mark.parametrize("kind", [events.ProxyStarted, events.ProxyFinished, events.ProxyFailed])
def test_hook_that_cancels(
    client: type[ProxyClient], way: ClientSpec, kind: type[events.Event]
) -> None:
    """A cancel that comes out of the hook finds everything closed."""

    def hook(event: events.Event) -> None:
        if isinstance(event, kind):
            raise asyncio.CancelledError

    async def main() -> None:
        dialogue = [(b"", b"SSH")] if kind is events.ProxyFailed else opening(client)
        async with FakeProxy(dialogue).serving():
            before = open_descriptors()
            with pytest.raises(asyncio.CancelledError):
                await connect(through(client, way), never, on_event=hook)
            assert open_descriptors() <= before + 1  # that of the proxy

    run(main())


# Descriptions


@KINDS
@pytest.mark.parametrize(
    ("rest", "values"),
    [
        (
            "localhost:9050:example.org:443",
            {"proxy_host": "localhost", "proxy_port": 9050},
        ),
        (
            "[::1]:9050:example.org:443:username=u:password=p",
            {"proxy_host": "::1", "proxy_port": 9050, "username": "u", "password": "p"},
        ),
        (
            "example.org:443:proxy_host=localhost:proxy_port=9050",
            {"proxy_host": "localhost", "proxy_port": 9050},
        ),
        ("example.org:443:proxy=[memory:proxy]", {"way": PROXY}),
        (
            "host=example.org:port=443:proxy=[tls:x:443]",
            {"way": TLSClient("x", 443)},
        ),
        ("a:1:example.org:443:timeout=5", {"proxy_host": "a", "proxy_port": 1, "timeout": 5.0}),
    ],
)
def test_text(client: type[ProxyClient], rest: str, values: dict[str, Any]) -> None:
    """The proxy is the first two positions, or is named; the canonical text gives the same spec."""
    spec = through(client, **values)
    kind = client.names[0].text
    assert parse_client(f"{kind}:{rest}") == spec
    assert parse_client(str(spec)) == spec


@KINDS
def test_canonical_text(client: type[ProxyClient]) -> None:
    """The canonical text has the proxy first, and hides the password where it is shown."""
    kind = client.names[0].text
    text = f"{kind}:localhost:9050:example.org:443:username=u:password=secret"
    spec = parse_client(text)
    assert str(spec) == text
    assert spec.display() == text.replace("secret", "***")
    assert "secret" not in repr(spec)


@KINDS
def test_nested_secret(client: type[ProxyClient]) -> None:
    """The password of a proxy behind another one is not in what names that proxy."""
    inner = through(client, PROXY, username="u", password="secret")
    spec = through(client, inner)
    assert "secret" not in spec.place
    assert "password=***" in spec.place


@KINDS
@pytest.mark.parametrize(
    ("rest", "problem"),
    [
        ("example.org:443", "the proxy is missing, as in"),
        ("example.org:443:proxy_host=a", "the proxy is missing, as in"),
        ("a:1:example.org", "needs a port, as in"),
        ("example.org:443:proxy_port=1:proxy=[memory:x]", "proxy takes the place of"),
        ("a:1:[fe80::1%eth0]:443", "host has a zone id"),
        ("a:1:example.org:443:username=u", "username and password go together"),
        ("a:1:example.org:443:password=p", "username and password go together"),
        ("a:1:example.org:443:username=\ud800:password=p", "username has characters that UTF-8"),
        ("a:1:example.org:443:username=u:password=\ud800", "password has characters that UTF-8"),
        ("example.org:443:proxy=[tcp:x:1:timeout=5]", "which has a timeout"),
        ("a:1:example.org:443:5", "takes 4 positional arguments"),
    ],
)
def test_wrong_text(client: type[ProxyClient], rest: str, problem: str) -> None:
    """What does not go together is refused when it is read."""
    with pytest.raises(DescriptionError) as caught:
        parse_client(f"{client.names[0].text}:{rest}")
    assert problem in caught.value.problem


def test_without_a_negotiation() -> None:
    """The base leaves it to the kinds what is said to a proxy."""
    with pytest.raises(NotImplementedError):
        ProxyClient.negotiation(SOCKS5Client("x", 1, proxy=PROXY), "x", 1)


@KINDS
def test_wrong_spec(client: type[ProxyClient]) -> None:
    """A spec built in Python is checked in the same way."""
    with pytest.raises(SpecError) as caught:
        through(client)
    assert caught.value.field == "proxy_host"
