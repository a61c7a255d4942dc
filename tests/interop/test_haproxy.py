"""Headers of the PROXY protocol, between haproxy or nginx and this library, both ways."""

from __future__ import annotations

import asyncio
import socket
import ssl
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from asyncendpoints.connecting import connect, open_connection
from asyncendpoints.errors import ConnectError
from asyncendpoints.listening import listen
from tests.serving import Visits, until
from tests.tls_material import Authority, write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from asyncendpoints.server import Server
    from tests.serving import Visitor

pytestmark = pytest.mark.interop

ROOT = Authority()
SITE = ROOT.issue("localhost")

_HAPROXY = """
defaults
    mode {mode}
    timeout connect 5s
    timeout client 5s
    timeout server 5s
listen front
    bind fd@{descriptor} {bind}
    {rest}
"""


@asynccontextmanager
async def running(*command: str, descriptors: tuple[int, ...] = ()) -> AsyncIterator[None]:
    """Run a program until the block ends; what it says is shown if the test fails."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, pass_fds=descriptors
    )
    try:
        yield
    finally:
        process.terminate()
        _, said = await process.communicate()
        print(said.decode())  # noqa: T201 - pytest shows it


@asynccontextmanager
async def haproxy(
    program: Callable[[str], str],
    folder: Path,
    rest: str,
    *,
    bind: str = "",
    mode: str = "tcp",
) -> AsyncIterator[int]:
    """Run haproxy with one listener, and give its port.

    The listening socket is made here: connections wait in it until haproxy is ready.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        descriptor = listener.fileno()
        config = folder / "haproxy.cfg"
        config.write_text(_HAPROXY.format(mode=mode, descriptor=descriptor, bind=bind, rest=rest))
        path = program("haproxy")
        async with running(path, "-db", "-f", str(config), descriptors=(descriptor,)):
            yield listener.getsockname()[1]


@asynccontextmanager
async def serving(text: str) -> AsyncIterator[tuple[Server, Visits]]:
    """Take headers."""
    visits = Visits()
    async with listen(text, visits) as server:
        yield server, visits


def info(visitor: Visitor, name: str) -> Any:
    """Ask the transport of a visitor."""
    assert visitor.transport is not None
    return visitor.transport.get_extra_info(name)


def pem(folder: Path) -> str:
    """Write the certificate and the key of haproxy."""
    return write(folder / "site.pem", SITE.pem, SITE.key_pem)


def trusting() -> ssl.SSLContext:
    """Trust what `pem` writes."""
    certificate = ROOT.certificate.public_bytes(Encoding.PEM)
    return ssl.create_default_context(cadata=certificate.decode())


@pytest.mark.parametrize(
    ("option", "version"),
    [
        ("send-proxy", 1),
        ("send-proxy-v2", 2),
        ("send-proxy-v2 proxy-v2-options crc32c,unique-id", 2),
    ],
)
async def test_haproxy_tells_its_client(
    option: str, version: int, tmp_path: Path, program: Callable[[str], str]
) -> None:
    """The addresses are those of the connection to haproxy, and the bytes those of its client."""
    async with serving("haproxy:tcp:0:interface=127.0.0.1") as (server, visits):
        rest = f"unique-id-format id-1\n    server ours 127.0.0.1:{server.port} {option}"
        async with haproxy(program, tmp_path, rest) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"hello")
            visitor = await visits.next()
            await until(lambda: visitor.received == b"hello")
            assert info(visitor, "peername") == writer.get_extra_info("sockname")
            assert info(visitor, "sockname") == ("127.0.0.1", port)
            header = info(visitor, "proxy_header")
            assert header.version == version
            assert header.checksum == ("crc32c" in option)
            assert header.unique_id == (b"id-1" if "unique-id" in option else None)
            assert visitor.transport is not None
            visitor.transport.write(b"bye")
            visitor.transport.close()
            assert await reader.read() == b"bye"
            writer.close()


async def test_haproxy_tells_of_tls(tmp_path: Path, program: Callable[[str], str]) -> None:
    """What haproxy knows of the TLS of its client is in the header."""
    options = "proxy-v2-options ssl,cert-cn,ssl-cipher,cert-sig,cert-key,authority"
    async with serving("haproxy:tcp:0:interface=127.0.0.1") as (server, visits):
        rest = f"server ours 127.0.0.1:{server.port} send-proxy-v2 {options}"
        tls = f"ssl crt {pem(tmp_path)} alpn h2"
        async with haproxy(program, tmp_path, rest, bind=tls) as port:
            context = trusting()
            context.set_alpn_protocols(["h2"])
            _, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname="localhost"
            )
            header = info(await visits.next(), "proxy_header")
            connection = writer.get_extra_info("ssl_object")
            assert header.ssl.is_tls
            assert not header.ssl.is_verified  # there was no certificate
            assert header.ssl.version == connection.version()
            assert header.ssl.cipher == connection.cipher()[0]
            assert header.ssl.key_algorithm == "EC256"
            assert header.authority == "localhost"
            assert header.alpn == b"h2"
            writer.transport.abort()


@pytest.mark.parametrize("option", ["send-proxy", "send-proxy-v2"])
async def test_tls_behind_haproxy(
    option: str, tmp_path: Path, program: Callable[[str], str]
) -> None:
    """A client speaks TLS with our server through haproxy, whose header comes before it."""
    text = "haproxy:tls:0:interface=127.0.0.1:selfsigned=localhost"
    async with serving(text) as (server, visits):
        rest = f"server ours 127.0.0.1:{server.port} {option}"
        (endpoint,) = server.client_endpoints
        pin = endpoint.endpoint.pin[0]  # type: ignore[attr-defined]  # it is haproxy around tls
        async with haproxy(program, tmp_path, rest) as port:
            _, writer = await open_connection(f"tls:127.0.0.1:{port}:pin={pin}")
            writer.write(b"hello")
            visitor = await visits.next()
            await until(lambda: visitor.received == b"hello")
            assert info(visitor, "peername") == writer.get_extra_info("sockname")
            assert info(visitor, "ssl_object") is not None
            writer.transport.abort()


async def test_health_checks_of_haproxy(tmp_path: Path, program: Callable[[str], str]) -> None:
    """A check is a connection of haproxy's own, and keeps its addresses."""
    async with serving("haproxy:tcp:0:interface=127.0.0.1") as (server, visits):
        check = "send-proxy-v2 check-send-proxy check inter 100ms"
        rest = f"option httpchk\n    server ours 127.0.0.1:{server.port} {check}"
        async with haproxy(program, tmp_path, rest):
            visitor = await visits.next()
            assert info(visitor, "proxy_header").command == "LOCAL"
            assert info(visitor, "sockname") == ("127.0.0.1", server.port)


#: What haproxy has understood of a header.
_ECHO = (
    "http-request return status 200 content-type text/plain "
    'lf-string "%[src] %[src_port] %[dst] %[dst_port]"'
)


async def fetch(endpoint: str, **options: Any) -> str:
    """Ask for a page, and give its body."""
    reader, writer = await open_connection(endpoint, **options)
    writer.write(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer.decode().partition("\r\n\r\n")[2].strip()


IPV4 = (r"source=192.0.2.1\:5:destination=198.51.100.2\:443", "192.0.2.1 5 198.51.100.2 443")
IPV6 = ("source=[[2001:db8::1]:5]:destination=[[::1]:443]", "2001:db8::1 5 ::1 443")


@pytest.mark.parametrize("option", ["version=1", "version=2", "checksum=yes"])
@pytest.mark.parametrize(("addresses", "understood"), [IPV4, IPV6])
async def test_haproxy_is_told(
    option: str,
    addresses: str,
    understood: str,
    tmp_path: Path,
    program: Callable[[str], str],
) -> None:
    """Haproxy takes the addresses from our header."""
    async with haproxy(program, tmp_path, _ECHO, bind="accept-proxy", mode="http") as port:
        endpoint = f"haproxy:{option}:{addresses}:tcp:127.0.0.1:{port}"
        assert await fetch(endpoint) == understood


async def test_haproxy_is_told_before_tls(tmp_path: Path, program: Callable[[str], str]) -> None:
    """Both ways of writing it put the header before the ClientHello, where haproxy wants it."""
    roots = write(tmp_path / "roots.pem", ROOT.certificate.public_bytes(Encoding.PEM))
    bind = f"accept-proxy ssl crt {pem(tmp_path)}"
    async with haproxy(program, tmp_path, _ECHO, bind=bind, mode="http") as port:
        tls = f"tls:127.0.0.1:{port}:hostname=localhost:trust_roots={roots}"
        outside = f"haproxy:{IPV4[0]}:{tls}"
        inside = f"{tls}:endpoint=[haproxy:{IPV4[0]}:tcp:127.0.0.1:{port}]"
        assert [await fetch(outside), await fetch(inside)] == [IPV4[1]] * 2


_NGINX = """
daemon off; master_process off; user root; pid {folder}/nginx.pid; error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{
        listen unix:{folder}/nginx.sock proxy_protocol;
        location / {{
            set $source "$proxy_protocol_addr $proxy_protocol_port";
            return 200 "$source $proxy_protocol_server_addr $proxy_protocol_server_port";
        }}
    }}
}}
"""


async def wait_answers(endpoint: str) -> None:
    """Wait until somebody listens; nginx does not say when it is ready."""
    async with asyncio.timeout(10):
        while True:
            try:
                transport, _ = await connect(endpoint, asyncio.Protocol)
            except ConnectError:
                await asyncio.sleep(0.01)
            else:
                transport.abort()
                return


async def test_nginx_is_told(tmp_path: Path, program: Callable[[str], str]) -> None:
    """Nginx takes the addresses from our headers, of both versions."""
    config = tmp_path / "nginx.conf"
    config.write_text(_NGINX.format(folder=tmp_path))
    endpoint = f"unix:{tmp_path}/nginx.sock"
    async with running(program("nginx"), "-c", str(config)):
        await wait_answers(endpoint)
        for version in (1, 2):
            for addresses, understood in (IPV4, IPV6):
                answer = await fetch(f"haproxy:version={version}:{addresses}:{endpoint}")
                assert answer == understood
