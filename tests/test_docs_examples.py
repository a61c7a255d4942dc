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
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asyncendpoints import open_connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
