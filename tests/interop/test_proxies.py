"""SOCKS5 and HTTP proxies that others wrote: microsocks and tinyproxy."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import DEVNULL
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from asyncendpoints.connecting import connect, open_connection
from asyncendpoints.errors import ConnectError, ProxyError
from asyncendpoints.listening import listen
from asyncendpoints.relaying import Relay
from asyncendpoints.specs import parse_client
from tests.support import unused_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

pytestmark = pytest.mark.interop

LOOPBACK = "interface=127.0.0.1"
TLS = f"tls:0:{LOOPBACK}:selfsigned=localhost"


class Shout(asyncio.Protocol):
    """Greets, and gives back what it hears in capitals."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(b"hello ")  # type: ignore[attr-defined]  # it is a Transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data.upper())  # type: ignore[attr-defined]

    def eof_received(self) -> None:
        self.transport.close()


async def ask(endpoint: str) -> bytes:
    """Say a word, and give all that comes back."""
    reader, writer = await open_connection(endpoint)
    writer.write(b"word")
    answer = await reader.readexactly(len("hello WORD"))
    writer.close()
    return answer


@asynccontextmanager
async def running(port: int, *command: str) -> AsyncIterator[str]:
    """Run a proxy until the block ends, and give its host and port as they are written in a description."""
    process = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL, stderr=DEVNULL)
    try:
        async with asyncio.timeout(10):
            while not await answers(f"tcp:127.0.0.1:{port}"):  # noqa: ASYNC110 - it says nothing
                await asyncio.sleep(0.01)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def answers(endpoint: str) -> bool:
    """Tell whether somebody listens."""
    try:
        transport, _ = await connect(endpoint, asyncio.Protocol)
    except ConnectError:
        return False
    transport.abort()
    return True


def microsocks(path: str, *options: str) -> tuple[int, tuple[str, ...]]:
    """Give the port and the command of a SOCKS5 proxy."""
    port = unused_port()
    return port, (path, "-i", "127.0.0.1", "-p", str(port), *options)


def tinyproxy(path: str, folder: Path, *lines: str) -> tuple[int, tuple[str, ...]]:
    """Give the port and the command of an HTTP proxy."""
    port = unused_port()
    config = folder / "tinyproxy.conf"
    config.write_text("\n".join([f"Port {port}", "Listen 127.0.0.1", "Timeout 10", *lines, ""]))
    return port, (path, "-d", "-c", str(config))


@pytest.fixture
async def socks(program: Callable[[str], str]) -> AsyncIterator[str]:
    """A SOCKS5 proxy for everybody."""
    port, command = microsocks(program("microsocks"))
    async with running(port, *command) as place:
        yield place


@pytest.fixture
async def http(program: Callable[[str], str], tmp_path: Path) -> AsyncIterator[str]:
    """An HTTP proxy for everybody."""
    port, command = tinyproxy(program("tinyproxy"), tmp_path)
    async with running(port, *command) as place:
        yield place


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("resolve", ["remote", "local"])
async def test_socks5(host: str, resolve: str, socks: str) -> None:
    """Bytes go both ways through microsocks, to an address and to a name."""
    async with listen(f"tcp:0:{LOOPBACK}", Shout) as server:
        endpoint = f"socks5:{socks}:{host}:{server.port}:resolve={resolve}"
        assert await ask(endpoint) == b"hello WORD"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_http(host: str, http: str) -> None:
    """Bytes go both ways through tinyproxy, to an address and to a name."""
    async with listen(f"tcp:0:{LOOPBACK}", Shout) as server:
        assert await ask(f"httpconnect:{http}:{host}:{server.port}") == b"hello WORD"


async def test_ipv6_target(socks: str, http: str) -> None:
    """Both proxies connect to an IPv6 address."""
    async with listen("tcp:0:interface=[::1]", Shout) as server:
        for endpoint in (f"socks5:{socks}", f"httpconnect:{http}"):
            assert await ask(f"{endpoint}:[::1]:{server.port}") == b"hello WORD"


async def test_refusals(socks: str, http: str) -> None:
    """A port that nobody listens on is told in the words of each proxy."""
    port = unused_port()
    with pytest.raises(ProxyError) as caught:
        await ask(f"socks5:{socks}:127.0.0.1:{port}")
    assert caught.value.code == 5
    with pytest.raises(ProxyError) as caught:
        await ask(f"httpconnect:{http}:127.0.0.1:{port}")
    assert caught.value.code == 500


async def test_http_to_a_socks5_proxy(socks: str) -> None:
    """A SOCKS5 proxy in place of an HTTP proxy is told as what it does."""
    with pytest.raises(ProxyError, match=r"does not speak HTTP|closed the connection"):
        await ask(f"httpconnect:{socks}:127.0.0.1:1")


async def test_socks5_password(program: Callable[[str], str]) -> None:
    """With microsocks the right password opens a tunnel, and neither another one nor none does."""
    port, command = microsocks(program("microsocks"), "-u", "alice", "-P", "sesame")
    async with running(port, *command) as place, listen(f"tcp:0:{LOOPBACK}", Shout) as server:
        endpoint = f"socks5:{place}:127.0.0.1:{server.port}"
        assert await ask(f"{endpoint}:username=alice:password=sesame") == b"hello WORD"
        with pytest.raises(ProxyError, match="does not accept this username and password"):
            await ask(f"{endpoint}:username=alice:password=simsim")
        with pytest.raises(ProxyError, match="wants authentication"):
            await ask(endpoint)


async def test_http_password(program: Callable[[str], str], tmp_path: Path) -> None:
    """With tinyproxy the right password opens a tunnel, and neither another one nor none does."""
    port, command = tinyproxy(program("tinyproxy"), tmp_path, "BasicAuth alice sesame")
    async with running(port, *command) as place, listen(f"tcp:0:{LOOPBACK}", Shout) as server:
        endpoint = f"httpconnect:{place}:127.0.0.1:{server.port}"
        assert await ask(f"{endpoint}:username=alice:password=sesame") == b"hello WORD"
        with pytest.raises(ProxyError) as caught:
            await ask(f"{endpoint}:username=alice:password=simsim")
        assert caught.value.code in (401, 407)
        with pytest.raises(ProxyError) as caught:
            await ask(endpoint)
        assert caught.value.code == 407
        assert "offers Basic (give username= and password=)" in caught.value.problem


async def test_tls_through_two_proxies(socks: str, http: str) -> None:
    """TLS verifies the key of the server at the end of a chain of two proxies, in either order."""
    async with listen(TLS, Shout) as server:
        (client,) = server.client_endpoints
        target = f"127.0.0.1:{server.port}"
        for endpoint in (
            f"httpconnect:{target}:proxy=[socks5:{socks}:{http}]",
            f"socks5:{target}:proxy=[httpconnect:{http}:{socks}]",
        ):
            assert parse_client(endpoint).is_plain()
            assert await ask(f"{client}:endpoint=[{endpoint}]") == b"hello WORD"


@asynccontextmanager
async def in_front(endpoint: str, target: str) -> AsyncIterator[str]:
    """Relay an endpoint to a target, and give the client that reaches it."""
    relay = Relay(target)
    async with listen(endpoint, relay.accept) as server:
        yield str(server.client_endpoints[0])
    await relay.close()


async def test_tls_through_a_proxy_over_tls(socks: str, http: str) -> None:
    """A proxy is reached over TLS, and TLS runs through its tunnel."""
    async with listen(TLS, Shout) as server:
        (client,) = server.client_endpoints
        for kind, place in (("socks5", socks), ("httpconnect", http)):
            async with in_front(TLS, f"tcp:{place}") as front:
                endpoint = f"{kind}:127.0.0.1:{server.port}:proxy=[{front}]"
                assert await ask(f"{client}:endpoint=[{endpoint}]") == b"hello WORD"


async def test_proxy_at_a_unix_socket(socks: str, tmp_path: Path) -> None:
    """A proxy is reached at a unix socket, as Tor offers one."""
    async with (
        listen(f"tcp:0:{LOOPBACK}", Shout) as server,
        in_front(f"unix:{tmp_path}/tor.sock", f"tcp:{socks}") as front,
    ):
        assert await ask(f"socks5:127.0.0.1:{server.port}:proxy=[{front}]") == b"hello WORD"
