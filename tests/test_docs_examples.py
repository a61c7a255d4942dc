"""The programs under docs/examples, run as a reader would."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
import tomllib
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asyncendpoints import NXDomainError, open_connection
from asyncendpoints.dns import Forward, Zone, listen, lookup

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "docs" / "examples"


def environment(*folders: Path) -> dict[str, str]:
    """Give the environment of a program that finds the library and what is in ``folders``."""
    path = os.pathsep.join(str(each) for each in (ROOT, *folders))
    return {**os.environ, "PYTHONPATH": path}


@contextmanager
def running(folder: Path, *command: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program in a folder; killed if the test does not end it, or if it hangs."""
    with subprocess.Popen(
        command,
        cwd=folder,
        env={**environment(EXAMPLES), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        limit = threading.Timer(30, process.kill)
        limit.start()
        try:
            yield process
        finally:
            limit.cancel()
            process.kill()


def program(name: str, *arguments: str) -> tuple[str, ...]:
    """Give the command that runs an example."""
    return sys.executable, "-W", "error", str(EXAMPLES / name), *arguments


def read_line(process: subprocess.Popen[str]) -> str:
    """Read the next line that a program prints."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def read_until(process: subprocess.Popen[str], text: str) -> None:
    """Read what a program prints, up to a line that holds a text."""
    while text not in (line := read_line(process)):
        assert line, f"the program ended before it printed {text!r}"


async def ask(endpoint: str, request: bytes) -> bytes:
    """Send a request and give all that comes back."""
    reader, writer = await open_connection(endpoint, timeout=20)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


GET = b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n"


def test_the_shouter_of_the_tutorial_serves_and_stops(tmp_path: Path) -> None:
    """The program of the tutorial prints where it listens, answers there, and ends well on SIGTERM."""
    listen = ("--listen", "tcp:0:interface=127.0.0.1", "--listen", "unix:shout.sock")
    with running(tmp_path, *program("shouter.py", *listen)) as process:
        tcp, unix = (read_line(process).removeprefix("reach it at ") for _ in range(2))
        for endpoint in (tcp, unix):
            asyncio.run(shout(endpoint))
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert list(tmp_path.iterdir()) == []


async def shout(endpoint: str) -> None:
    """Send a line to the shouter and see it come back in capitals."""
    reader, writer = await open_connection(endpoint)
    writer.write(b"hello\n")
    assert await reader.readline() == b"HELLO\n"
    writer.close()


def test_the_shouter_shows_a_wrong_description(tmp_path: Path) -> None:
    """A mistake in --listen ends the program of the tutorial with the mistake and exit code 2."""
    with running(tmp_path, *program("shouter.py", "--listen", "tcp:8o80")) as process:
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "port is '8o80', expected a number from 0 to 65535" in output


def test_the_shouter_says_why_it_cannot_listen(tmp_path: Path) -> None:
    """An endpoint that cannot be listened on ends the program of the tutorial with one line."""
    with running(tmp_path, *program("shouter.py", "--listen", "systemd:name=web")) as process:
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert output.startswith("systemd:name=web: this process was passed no sockets")


@pytest.mark.interop
def test_the_shouter_takes_sockets_from_systemd(
    tmp_path: Path, program: Callable[[str], str]
) -> None:
    """The command of the systemd page passes a socket to the program of the tutorial."""
    activate = program("systemd-socket-activate")
    command = [activate, "-l", str(tmp_path / "web"), "--fdname=web", "-E", "PYTHONPATH"]
    command += [sys.executable, str(EXAMPLES / "shouter.py"), "--listen", "systemd:name=web"]
    with running(tmp_path, *command) as process:
        read_until(process, "Listening on")
        asyncio.run(shout(f"unix:{tmp_path / 'web'}"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_a_reload_on_sighup(tmp_path: Path, certificate: Path) -> None:
    """The program of the certificate page reads its files again when it gets SIGHUP."""
    description = f"tls:0:interface=127.0.0.1:private_key={certificate}"
    with running(tmp_path, *program("reload.py", description)) as process:
        read_until(process, "reach it at")
        process.send_signal(signal.SIGHUP)
        assert read_line(process) == "reloaded"
        certificate.write_text("half a file")
        process.send_signal(signal.SIGHUP)
        read_until(process, "keeping the old certificate")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Make a file with a key and a certificate."""
    from datetime import UTC, datetime

    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_pem_private_key,
    )

    from asyncendpoints.certificates import make_development_pair

    pair = make_development_pair(["localhost"], datetime.now(UTC))
    assert pair.passphrase is not None
    key = load_pem_private_key(pair.key_pem, pair.passphrase.encode())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = tmp_path / "localhost.pem"
    path.write_bytes(pem + pair.chain[0].public_bytes(Encoding.PEM))
    path.chmod(0o600)
    return path


def test_the_second_signal_ends_at_once(tmp_path: Path) -> None:
    """The program of the shutdown page waits for a connection at the first SIGTERM, not at the second."""

    async def stay(process: subprocess.Popen[str], endpoint: str) -> bytes:
        reader, writer = await open_connection(endpoint)
        writer.write(b"x")
        await reader.readexactly(1)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(read_line, process) == "draining 1"
        process.send_signal(signal.SIGTERM)
        try:
            return await reader.read()
        finally:
            writer.close()

    with running(tmp_path, *program("two_signals.py", "unix:echo.sock")) as process:
        endpoint = read_line(process).removeprefix("reach it at ")
        assert asyncio.run(stay(process, endpoint)) == b""
        assert process.wait(20) == 0


def test_aiohttp_over_tls_and_unix(tmp_path: Path) -> None:
    """The aiohttp program serves each of its endpoints, with the right scheme."""
    endpoints = ("tls:0:interface=127.0.0.1:selfsigned=localhost", "unix:web.sock")
    with running(tmp_path, *program("aiohttp_server.py", *endpoints)) as process:
        tls, unix = read_line(process).removeprefix("reach it at ").split()
        assert asyncio.run(ask(tls, GET)).endswith(b"hello over https\n")
        assert asyncio.run(ask(unix, GET)).endswith(b"hello over http\n")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert list(tmp_path.iterdir()) == []


def test_uvicorn_with_fastapi(tmp_path: Path) -> None:
    """The uvicorn program serves the FastAPI program, whose lifespan runs a server beside it."""
    command = program("uvicorn_server.py", "fastapi_lifespan:app", "unix:web.sock:mode=600")
    with running(tmp_path, *command, SHOUT_LISTEN="unix:shout.sock") as process:
        read_until(process, "Application startup complete")
        asyncio.run(shout(f"unix:{tmp_path / 'shout.sock'}"))
        answer = asyncio.run(ask(f"unix:{tmp_path / 'web.sock'}", GET))
        assert b'"accepted":1' in answer
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Install the package of the page on kinds as an installer does: its module and its metadata."""
    source = EXAMPLES / "portfile"
    folder = tmp_path / "site"
    folder.mkdir()
    shutil.copy(source / "portfile.py", folder)
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    metadata = folder / f"asyncendpoints_portfile-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    return folder


def test_the_package_of_the_page_on_kinds(tmp_path: Path, installed: Path) -> None:
    """The kinds of an installed package are found by name, and work, fail and complain like the others."""
    done = subprocess.run(
        program("portfile/demo.py"),
        cwd=tmp_path,
        env=environment(installed),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "knock:password=***:portfile:demo.port",
        r"b'hello\n'",
        "knock:password=***:portfile:demo.port: the server does not take this password",
        "portfile:other.port: cannot read other.port: no such file or directory",
        "1",
        "knock:password=***:timeout=soon: timeout is 'soon', expected a number of seconds above 0 or 'none'",
        "  knock:password=***:timeout=soon",
        "                             ^",
    ]
    assert [each.name for each in tmp_path.iterdir()] == ["site"]


@asynccontextmanager
async def upstream(endpoint: str = "dns:0:interface=127.0.0.1") -> AsyncIterator[str]:
    """Serve what the examples take for the rest of the world; gives a description that reaches it."""
    names = {"www": {"A": "192.0.2.80"}, "ads": {"A": "192.0.2.66"}}
    zone = Zone.from_dict("example.com", names, ns="ns.example.net.")
    async with listen(endpoint, zone) as server:
        yield str(server.client_endpoints[0])


def endpoint_of(process: subprocess.Popen[str]) -> str:
    """Read where a program says that it listens."""
    return read_line(process).removeprefix("reach it at ")


async def addresses(endpoint: str, name: str) -> list[str]:
    """Ask a name server for the addresses of a name; none if there is no such name."""
    async with Forward(endpoint, only=["test", "com"]) as server:
        try:
            return [each.address for each in await lookup(name, resolver=server)]
        except NXDomainError:
            return []


async def dig(path: str, endpoint: str, *arguments: str) -> str:
    """Ask as the tutorial shows, and give what is printed."""
    _, host, port = endpoint.split(":")
    command = [path, "-p", port, f"@{host}", "+short", *arguments]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=20, check=True
    )
    return str(done.stdout).rstrip("\n")


FORWARDED = {"www.example.com": ["192.0.2.80"], "nope.example.com": []}
COMPUTED = {
    "workstation1.example.com": ["172.0.2.1"],
    "workstation100.example.com": ["172.0.2.100"],
    "workstation256.example.com": [],
}


@pytest.mark.parametrize(
    ("name", "answers"),
    [("forwarding_server.py", FORWARDED), ("computed_server.py", {**FORWARDED, **COMPUTED})],
)
async def test_the_name_servers_of_the_tutorial(
    tmp_path: Path, name: str, answers: dict[str, list[str]]
) -> None:
    """The first forwards everything, the second what it does not compute."""
    async with upstream() as other:
        with running(tmp_path, *program(name, "dns:0:interface=127.0.0.1", other)) as process:
            endpoint = endpoint_of(process)
            for asked, expected in answers.items():
                assert await addresses(endpoint, asked) == expected


@pytest.mark.interop
@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("forwarding_server.py", {"www.example.com": "192.0.2.80"}),
        (
            "computed_server.py",
            {
                "workstation1.example.com": "172.0.2.1",
                "workstation100.example.com": "172.0.2.100",
                "www.example.com": "192.0.2.80",
            },
        ),
    ],
)
async def test_dig_asks_the_name_servers_of_the_tutorial(
    tmp_path: Path,
    program: Callable[[str], str],
    name: str,
    shown: dict[str, str],
    transport: str,
) -> None:
    """The commands that the tutorial shows print what it shows, over UDP and over TCP."""
    path = program("dig")
    command = [sys.executable, str(EXAMPLES / name), "dns:0:interface=127.0.0.1"]
    async with upstream() as other:
        with running(tmp_path, *command, other) as process:
            endpoint = endpoint_of(process)
            for asked, expected in shown.items():
                assert await dig(path, endpoint, transport, asked, "A") == expected


async def test_split_horizon(tmp_path: Path) -> None:
    """The program answers clients of the networks that it was given in one way, and others in another."""
    asking = (*program("split_horizon.py"), "dns:0:interface=127.0.0.1", "127.0.0.2")
    with running(tmp_path, *asking) as process:
        endpoint = endpoint_of(process)
        inside = f"{endpoint}:bind_address=127.0.0.2"
        assert await addresses(endpoint, "www.example.test") == ["192.0.2.80"]
        assert await addresses(endpoint, "wiki.example.test") == []
        assert await addresses(inside, "www.example.test") == ["10.0.0.80"]
        assert await addresses(inside, "wiki.example.test") == ["10.0.0.80"]


async def test_a_blocklist(tmp_path: Path) -> None:
    """The program denies the domains of its list and what is below them, and forwards the rest."""
    (tmp_path / "list").write_text("ads.example.com\n")
    async with upstream() as other:
        asking = program("blocklist.py", "list", "dns:0:interface=127.0.0.1", other)
        with running(tmp_path, *asking) as process:
            endpoint = endpoint_of(process)
            assert await addresses(endpoint, "ads.example.com") == []
            assert await addresses(endpoint, "x.ads.example.com") == []
            assert await addresses(endpoint, "www.example.com") == ["192.0.2.80"]


async def test_dns_over_tls(tmp_path: Path) -> None:
    """The program takes plain DNS and asks over TLS, and ends well on SIGTERM."""
    async with upstream("tls:0:interface=127.0.0.1:selfsigned=localhost") as other:
        asking = program("dns_over_tls.py", "dns:0:interface=127.0.0.1", other)
        with running(tmp_path, *asking) as process:
            assert await addresses(endpoint_of(process), "www.example.com") == ["192.0.2.80"]
            process.send_signal(signal.SIGTERM)
            assert (await asyncio.to_thread(read_line, process)).endswith(" 1 answers")
            assert await asyncio.to_thread(process.wait, 20) == 0


async def test_dns_in_fastapi(tmp_path: Path) -> None:
    """The program answers for the names that were put there over HTTP."""
    command = program("uvicorn_server.py", "dns_fastapi:app", "unix:web.sock:mode=600")
    with running(tmp_path, *command, DNS_LISTEN="unix:dns.sock") as process:
        read_until(process, "Application startup complete")
        web, server = (f"unix:{tmp_path / name}" for name in ("web.sock", "dns.sock"))
        assert await addresses(server, "nas.home.test") == []
        answer = await ask(web, GET.replace(b"GET /", b"PUT /names/NAS/192.168.1.10"))
        assert b"192.168.1.10" in answer
        assert await addresses(server, "nas.home.test") == ["192.168.1.10"]
        assert b'"queries":2' in await ask(web, GET)
        process.send_signal(signal.SIGTERM)
        process.wait(20)


async def test_dns_in_aiohttp(tmp_path: Path) -> None:
    """The program reloads its zone over HTTP, and keeps it when the file is wrong."""
    file = tmp_path / "zone"
    head = "$ORIGIN home.test.\n$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns.example.net.\n"
    file.write_text(f"{head}nas A 192.0.2.1\n")
    asking = program("dns_aiohttp.py", "dns:0:interface=127.0.0.1", "web.sock", "zone")
    reload = GET.replace(b"GET /", b"POST /reload")
    with running(tmp_path, *asking, PYTHONUNBUFFERED="1") as process:
        endpoint, web = endpoint_of(process), f"unix:{tmp_path / 'web.sock'}"
        read_until(process, "Running on")
        assert await addresses(endpoint, "nas.home.test") == ["192.0.2.1"]
        assert b'"records": 3' in await ask(web, GET)
        file.write_text(f"{head}nas A 192.0.2.2\n")
        assert b" 200 " in await ask(web, reload)
        file.write_text("half a file")
        assert b" 409 " in await ask(web, reload)
        assert await addresses(endpoint, "nas.home.test") == ["192.0.2.2"]
        process.send_signal(signal.SIGTERM)
        process.wait(20)
