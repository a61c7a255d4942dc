"""TLS servers as curl and the client of OpenSSL see them."""

from __future__ import annotations

import asyncio
import re
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from typing import TYPE_CHECKING

import pytest

from asyncendpoints.listening import listen
from tests.tls_material import Authority, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from asyncendpoints.errors import HandshakeError

pytestmark = pytest.mark.interop

ROOT = Authority()


class Hello(asyncio.Protocol):
    """An HTTP server that knows one answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(  # type: ignore[attr-defined]  # it is a Transport
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
        )
        self.transport.close()


async def run(*command: str) -> tuple[int, str]:
    """Run a program, and give its exit code and what it says."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode(errors="replace")


async def test_curl_trusts_the_issuer(program: Callable[[str], str], tmp_path: Path) -> None:
    """A server is verified by curl with the roots that it is given."""
    issued = ROOT.issue("good.example")
    key = write(tmp_path / "server.pem", issued.key_pem, issued.pem)
    roots = write(tmp_path / "roots.pem", ROOT.pem)
    async with listen(f"tls:0:interface=127.0.0.1:private_key={key}", Hello) as server:
        target = ("--resolve", f"good.example:{server.port}:127.0.0.1")
        url = f"https://good.example:{server.port}/"
        curl = program("curl")
        assert await run(curl, "-sS", "--cacert", roots, *target, url) == (0, "hello")
        code, said = await run(curl, "-sS", *target, url)
        assert (code, "certificate" in said) == (60, True)


async def test_curl_trusts_a_development_certificate(
    program: Callable[[str], str], tmp_path: Path
) -> None:
    """A development certificate is its own root for curl, and its pin is that in the client's text."""
    async with listen("tls:0:interface=127.0.0.1:selfsigned=localhost", Hello) as server:
        url = f"https://localhost:{server.port}/"
        _, said = await run(
            program("openssl"), "s_client", "-connect", f"127.0.0.1:{server.port}", "-showcerts"
        )
        (pem,) = set(re.findall(r"-----BEGIN.*?END CERTIFICATE-----\n", said, re.DOTALL))
        root = write(tmp_path / "root.pem", pem.encode())
        pin = str(server.client_endpoints[0]).partition("pin=sha256/")[2].replace("\\", "")
        curl = (program("curl"), "-sS", "-4")
        assert await run(*curl, "--cacert", root, url) == (0, "hello")
        pinned = (*curl, "-k", "--pinnedpubkey")
        assert await run(*pinned, f"sha256//{pin}", url) == (0, "hello")
        code, _ = await run(*pinned, f"sha256//{'A' * 43}=", url)
        assert code == 90


async def test_openssl_chooses_by_name(program: Callable[[str], str], tmp_path: Path) -> None:
    """A server with a directory shows the certificate for the name that the client sends."""
    for name in ("a.example", "b.example"):
        issued = ROOT.issue(name, subject=name)
        write(tmp_path / f"{name}.pem", issued.key_pem, issued.pem)
    async with listen(f"tls:{tmp_path}:0:interface=127.0.0.1", Hello) as server:
        client = (program("openssl"), "s_client", "-connect", f"127.0.0.1:{server.port}")
        for options, subject in (
            (("-servername", "B.example"), "b.example"),
            (("-servername", "c.example"), "a.example"),
            (("-noservername",), "a.example"),
        ):
            _, said = await run(*client, *options)
            assert re.search(rf"subject=CN ?= ?{subject}", said)


async def test_openssl_agrees_on_version_and_protocol(program: Callable[[str], str]) -> None:
    """The client of OpenSSL gets the version and the protocol that both sides want."""
    text = "tls:0:interface=127.0.0.1:selfsigned=localhost:alpn=h2,http/1.1"
    async with listen([text, f"{text}:min_version=1.3"], Hello) as server:
        first, strict = (each.port for each in server.addresses)
        openssl = (program("openssl"), "s_client", "-connect")
        _, said = await run(*openssl, f"127.0.0.1:{first}", "-tls1_2", "-alpn", "x,http/1.1")
        assert "Protocol  : TLSv1.2" in said
        assert "ALPN protocol: http/1.1" in said
        _, said = await run(*openssl, f"127.0.0.1:{first}", "-tls1_3")
        assert "New, TLSv1.3" in said
        assert "No ALPN negotiated" in said
        code, said = await run(*openssl, f"127.0.0.1:{strict}", "-tls1_2")
        assert code == 1


async def test_alert_of_openssl_is_named(program: Callable[[str], str]) -> None:
    """When a client refuses the certificate, the server hears by which alert."""
    failed: asyncio.Queue[HandshakeError] = asyncio.Queue()
    text = "tls:0:interface=127.0.0.1:selfsigned=localhost"
    async with listen(text, Hello, on_error=failed.put_nowait) as server:
        code, _ = await run(
            program("openssl"),
            "s_client",
            "-verify_return_error",
            "-connect",
            f"127.0.0.1:{server.port}",
        )
        assert code == 1
        error = await failed.get()
        assert error.problem == "the client ended the TLS handshake with the alert 'unknown ca'"
