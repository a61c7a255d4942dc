"""``demo``: that it works, and that it says so only if it does."""

from __future__ import annotations

import asyncio
import io
import re
import time
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from asyncendpoints import events, listen, relaying
from asyncendpoints.addresses import Address
from asyncendpoints.cli import demo as module
from asyncendpoints.cli.demo import Demo, Echo, in_words, send_through
from asyncendpoints.specs import ClientSpec, ServerSpec, parse_client, parse_server
from asyncendpoints.splicing import is_available
from tests.cli.support import run, words

if TYPE_CHECKING:
    from collections.abc import Callable


def test_it_works_in_under_five_seconds() -> None:
    """Exit code 0, and no traceback."""
    started = time.monotonic()
    result = run("demo")
    assert time.monotonic() - started < 5
    assert result.exit_code == 0, result.output
    text = words(re.sub(r"[│╰╭]", "", result.output))
    assert (
        "All of it went as it should: 5 connections, 67.1 MB carried, 4 questions answered" in text
    )


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    """Nothing is cut off or runs over the edge."""
    assert max(map(len, run("demo", columns=columns).output.splitlines())) <= columns


def test_it_shows_each_step() -> None:
    """Servers, clients, relays, a name server and mistakes are all there."""
    text = words(run("demo", columns=200).output)
    for part in (
        "listen tls:0:interface=127.0.0.1:selfsigned=localhost is reached by tls:127.0.0.1:",
        "connect tls:127.0.0.1:",
        "the TLS handshake begins",
        "it is over: TLSv1.3",
        "the key of the server is the one of the pin",
        "connect memory:demo",
        "whole by SHA-256",
        "listen dns:0:interface=127.0.0.1",
        "is reached by dns:127.0.0.1:",
        "query workstation7.example.com A ok 172.0.2.7 over UDP, ",
        "query printer.home.test AAAA ok fd00::9 over TCP, ",
        "query home.test MX ok 10 mail.home.test. over TLSv1.3, ",
        "lookup workstation7.example.com A, resolver=chain ok 172.0.2.7 without a socket, in ",
        "did you mean 'interface'?",
        "ConnectRefusedError: memory:nobody",
        "What to try next:",
    ):
        assert part in text


@pytest.mark.parametrize("splices", [True, False])
def test_the_kernel_is_praised_only_where_it_did_the_work(
    splices: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a system that cannot splice the line about it is left out."""
    monkeypatch.setattr(relaying, "is_available", lambda: splices and is_available())
    text = words(run("demo").output)
    assert ("the kernel carried the bytes" in text) == (splices and is_available())


def test_without_a_terminal_there_are_no_colours() -> None:
    """What is piped holds no escape sequences."""
    assert "\x1b" not in run("demo").output


class BadEcho(Echo):
    """Sends back something else."""

    def data_received(self, data: bytes) -> None:
        super().data_received(bytes(len(data)))


@pytest.fixture
def outcome(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run the demo with something that is wrong, and give what it prints."""

    def make(**replaced: object) -> str:
        for name, value in replaced.items():
            monkeypatch.setattr(module, name, value)
        result = run("demo")
        assert result.exit_code == 1
        return words(result.output)

    return make


def test_an_echo_that_is_wrong_is_said_to_be_wrong(outcome: Callable[..., str]) -> None:
    """With one thing wrong the summary and the exit code say so."""
    text = outcome(Echo=BadEcho)
    assert "WRONG" in text
    assert "Something went wrong" in text


def test_a_name_server_that_is_wrong_is_said_to_be_wrong(outcome: Callable[..., str]) -> None:
    """Another answer, or none, fails the demo."""
    text = outcome(HOME={"mail": {"A": "192.0.2.25"}, "@": {"MX": "20 mail"}})
    assert "WRONG NXDOMAIN over TCP" in text
    assert "WRONG 20 mail.home.test. over TLS" in text
    assert "Something went wrong" in text


def test_a_lookup_that_is_wrong_is_said_to_be_wrong(outcome: Callable[..., str]) -> None:
    """Another address than the function's fails the demo."""

    async def lookup(name: str, rtype: str, resolver: object) -> list[str]:
        return ["192.0.2.1"]

    assert "WRONG 192.0.2.1 without a socket" in outcome(lookup=lookup)


def test_a_mistake_that_is_no_error_is_wrong(outcome: Callable[..., str]) -> None:
    """A description that should be refused and is not fails the demo."""

    def parse(text: str) -> ServerSpec:
        return parse_server(text.replace("interfaces", "interface"))

    assert "Something went wrong" in outcome(parse_server=parse)


def test_a_connect_that_should_be_refused_and_is_not_is_wrong(
    outcome: Callable[..., str],
) -> None:
    """As is a connection to nobody that comes about."""

    async def connect(text: str, factory: object) -> None:
        """Do nothing, without an error."""

    assert "Something went wrong" in outcome(connect=connect)


async def test_an_echo_reads_no_faster_than_it_is_read() -> None:
    """A client that only sends fills the buffers of the system, and not the memory of the echo."""
    made: list[Echo] = []

    class Watched(Echo):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            made.append(self)

    async with listen("memory:echo", Watched):
        passage = await send_through("memory:echo", 8 * 2**20)
    assert passage.is_whole
    assert len(made) == 1


async def test_what_comes_back_short_is_not_whole() -> None:
    """An end before all bytes have come back is seen."""

    class Short(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport: asyncio.Transport = transport  # type: ignore[assignment]

        def data_received(self, data: bytes) -> None:
            self.transport.write_eof()

    async with listen("memory:short", Short):
        assert not (await send_through("memory:short", 65536)).is_whole


def test_every_step_has_words() -> None:
    """An event that is not expected here is shown by its name."""
    error = OSError()
    address = Address(1, "\0x")
    assert in_words(events.AttemptFailed(0, address, error)) == "AttemptFailed"


async def test_specs_without_a_pin_are_greeted_alike() -> None:
    """The line about the pin is for TLS only."""
    file = io.StringIO()
    shown = Demo(Console(file=file, width=80))
    async with listen("memory:plain", Echo) as server:
        await shown.greet(server)
    assert "pin" not in file.getvalue()
    assert isinstance(parse_client("memory:plain"), ClientSpec)
