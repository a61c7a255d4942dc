"""A relay between curl and nginx, with a body of 100 MB."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import sys
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from asyncendpoints.connecting import connect
from asyncendpoints.errors import ConnectError
from asyncendpoints.kinds.tls import TLSClient
from asyncendpoints.specs import ClientSpec, parse_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

pytestmark = pytest.mark.interop

SIZE = 100 * 2**20


@asynccontextmanager
async def running(*command: str, cwd: Path | None = None) -> AsyncIterator[asyncio.StreamReader]:
    """Run a program until the block ends, and give what it writes to standard error."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, cwd=cwd
    )
    assert process.stderr is not None
    try:
        yield process.stderr
    finally:
        process.terminate()
        await process.communicate()


@asynccontextmanager
async def relay(front: str, target: str, *options: str) -> AsyncIterator[ClientSpec]:
    """Run a relay, and give the endpoint that it prints."""
    command = [sys.executable, "-m", "asyncendpoints", "relay", *options, front, target]
    async with running(*command) as stderr:
        line = (await stderr.readline()).decode()
        yield parse_client(line.removeprefix("listening on ").strip())


_NGINX = """
daemon off; master_process off; user root; pid {folder}/nginx.pid; error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{ listen unix:{folder}/nginx.sock; root {folder}; }}
}}
"""


@asynccontextmanager
async def website(nginx: str, folder: Path) -> AsyncIterator[str]:
    """Serve a folder with nginx, and give the endpoint."""
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder))
    endpoint = f"unix:{folder}/nginx.sock"
    async with running(nginx, "-c", str(config)):
        async with asyncio.timeout(10):
            while not await answers(endpoint):  # noqa: ASYNC110 - another program has no event
                await asyncio.sleep(0.01)
        yield endpoint


async def answers(endpoint: str) -> bool:
    """Tell whether somebody listens; nginx does not say when it is ready."""
    try:
        transport, _ = await connect(endpoint, asyncio.Protocol)
    except ConnectError:
        return False
    transport.abort()
    return True


@pytest.fixture
def body(tmp_path: Path) -> str:
    """A file of 100 MB; gives its checksum."""
    block = hashlib.sha256(b"seed").digest() * 32768
    digest = hashlib.sha256()
    with (tmp_path / "body").open("wb") as file:
        for _ in range(SIZE // len(block)):
            file.write(block)
            digest.update(block)
    return digest.hexdigest()


async def fetch(curl: str, *arguments: str) -> tuple[int, str]:
    """Fetch something with curl; give its exit code and the checksum of the body."""
    process = await asyncio.create_subprocess_exec(
        curl, "--silent", *arguments, stdout=PIPE, limit=2**20
    )
    assert process.stdout is not None
    digest = hashlib.sha256()
    while chunk := await process.stdout.read(2**20):
        digest.update(chunk)
    return await process.wait(), digest.hexdigest()


@pytest.mark.parametrize("option", ["--splice", "--no-splice"])
async def test_a_body_of_100_mb_arrives_whole(
    option: str, body: str, tmp_path: Path, program: Callable[[str], str]
) -> None:
    """What curl gets through the relay has the checksum of the file."""
    curl, nginx = program("curl"), program("nginx")
    async with (
        website(nginx, tmp_path) as site,
        relay("tcp:0:interface=127.0.0.1", site, option) as endpoint,
    ):
        url = f"http://127.0.0.1:{endpoint.port}/body"  # type: ignore[attr-defined]  # it is TCP
        assert await fetch(curl, url) == (0, body)


async def test_a_body_of_100_mb_arrives_whole_over_tls(
    body: str, tmp_path: Path, program: Callable[[str], str]
) -> None:
    """TLS in front of a web server that knows none; curl trusts the certificate that it was shown."""
    curl, nginx = program("curl"), program("nginx")
    front = "tls:0:interface=127.0.0.1:selfsigned=localhost"
    async with website(nginx, tmp_path) as site, relay(front, site) as endpoint:
        assert isinstance(endpoint, TLSClient)
        address = (endpoint.host, endpoint.port)
        pem = await asyncio.to_thread(ssl.get_server_certificate, address)
        certificate = tmp_path / "certificate.pem"
        certificate.write_text(pem)
        url = f"https://localhost:{endpoint.port}/body"
        trusting = ["--ipv4", "--cacert", str(certificate)]
        assert await fetch(curl, *trusting, url) == (0, body)
        assert (await fetch(curl, "--ipv4", url))[
            0
        ] == 60  # the certificate is not known to the system


async def test_a_site_that_is_down_does_not_end_the_relay(
    body: str, tmp_path: Path, program: Callable[[str], str]
) -> None:
    """A request while nobody answers fails, and one after that is served."""
    curl, nginx = program("curl"), program("nginx")
    path = tmp_path / "site.sock"
    async with relay("tcp:0:interface=127.0.0.1", f"unix:{path}") as endpoint:
        url = f"http://127.0.0.1:{endpoint.port}/body"  # type: ignore[attr-defined]  # it is TCP
        code, _ = await fetch(curl, url)
        assert code in (7, 56)  # the reset came before, or after, curl was done connecting
        async with website(nginx, tmp_path) as site, relay(f"unix:{path}", site):
            assert await fetch(curl, url) == (0, body)
