"""``relay``, in this process but for what signals and pipes do to a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from asyncendpoints import listen, open_connection, parse_client, parse_server
from asyncendpoints.cli.relay import Options, Service
from tests.cli.support import run, words
from tests.tls_material import Authority, write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from asyncendpoints.streams import StreamServer

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

TCP = "tcp:0:interface=127.0.0.1"


class Running:
    """A relay that runs in a task, and what it prints."""

    def __init__(self, front: str, target: str, **options: Any) -> None:
        self.lines: list[str] = []
        self.styles: list[str] = []
        self.service = Service(
            Options(listen=parse_server(front), connect=parse_client(target), **options), self._say
        )
        self.task = asyncio.ensure_future(self.service.run())

    def _say(self, text: str, style: str) -> None:
        self.lines.append(text)
        self.styles.append(style)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                assert not self.task.done()
                await asyncio.sleep(0)

    async def line(self, start: str) -> str:
        """Wait for a line, and give what comes after its start."""
        await self.until(lambda: any(start in each for each in self.lines))
        return next(each for each in self.lines if start in each).partition(start)[2]

    async def connect(self) -> Streams:
        await self.until(lambda: self.service.server is not None)
        assert self.service.server is not None
        return await open_connection(self.service.server.client_endpoints[0])

    async def ended(self) -> int:
        async with asyncio.timeout(10):
            return await self.task


@asynccontextmanager
async def backend() -> AsyncIterator[tuple[str, StreamServer]]:
    """Give the text of a backend, and the backend."""
    async with listen(TCP) as server:
        yield str(server.client_endpoints[0]), server


async def accepted(server: StreamServer) -> Streams:
    """Wait for a connection of a backend."""
    return await anext(aiter(server))


async def test_the_real_address_is_printed_and_reaches_the_relay() -> None:
    """What stands after "listening on" is the description of a client."""
    async with backend() as (target, server):
        relay = Running(TCP, target)
        reader, writer = await open_connection(await relay.line("listening on "))
        assert await relay.line("relaying to ") == target
        behind = await accepted(server)
        behind[1].write(b"here")
        assert await reader.readexactly(4) == b"here"
        writer.close()
        behind[1].close()
        relay.service.stop(signal.SIGTERM)
        assert await relay.ended() == 0


async def test_a_verbose_relay_has_a_line_for_each_end_of_a_connection() -> None:
    """Who was connected to what, and how much went through; the totals come at the end."""
    async with backend() as (target, server):
        relay = Running(TCP, target, verbose=True, splice=False)
        reader, writer = await relay.connect()
        behind = await accepted(server)
        peer = "{}:{}".format(*writer.get_extra_info("sockname"))
        assert await relay.line(f"{peer}: connected to ") == target.removeprefix("tcp:")
        writer.write(b"12345")
        await behind[0].readexactly(5)
        behind[1].write(b"123")
        behind[1].write_eof()
        assert await reader.read() == b"123"
        writer.close()
        assert (await relay.line(f"{peer}: 5 bytes sent")).startswith(", 3 bytes received in ")
        relay.service.stop(signal.SIGTERM)
        await relay.ended()
        behind[1].close()
    assert relay.lines[-1] == "1 connection, 5 bytes sent, 3 bytes received"


async def test_a_verbose_relay_says_what_is_spliced_and_why_a_connection_ended() -> None:
    """A connection that was idle for too long says so; one without a name has that of the endpoint."""
    async with listen("memory:behind"):
        relay = Running("memory:front", "memory:behind", verbose=True, idle_timeout=0.02)
        _, writer = await relay.connect()
        assert await relay.line("memory:front: connected to ") == "memory:behind, spliced"
        assert (await relay.line("received in ")).endswith(": idle for 0.02 s")
        writer.close()
        relay.service.stop(signal.SIGTERM)
        await relay.ended()


async def test_a_quiet_relay_prints_failures_only() -> None:
    """A dial that fails is one line, and the relay goes on."""
    relay = Running(TCP, "memory:absent", quiet=True)
    for _ in range(2):
        reader, writer = await relay.connect()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
    relay.service.stop(signal.SIGTERM)
    assert await relay.ended() == 0
    assert [line.partition(": ")[2] for line in relay.lines] == 2 * [
        "memory:absent: nobody in this process listens on memory:absent"
    ]
    assert relay.styles == ["red", "red"]


async def test_failures_are_in_the_totals() -> None:
    """The last line counts them."""
    relay = Running(TCP, "memory:absent")
    reader, writer = await relay.connect()
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    relay.service.stop(signal.SIGTERM)
    await relay.ended()
    assert relay.lines[-1] == "1 connection (1 failed), 0 bytes sent, 0 bytes received"


async def test_a_client_that_left_is_no_line() -> None:
    """A connection that ended during its dial is not reported as a failure of the target."""
    relay = Running(TCP, "memory:absent")
    await relay.until(lambda: relay.service.server is not None)
    from asyncendpoints.relaying import Failed

    relay.service.report(Failed("192.0.2.1:5", None))
    relay.service.stop(signal.SIGTERM)
    await relay.ended()
    assert not [line for line in relay.lines if "192.0.2.1" in line]


async def test_at_most_so_many_connections_at_one_time() -> None:
    """One more waits until another one has ended."""
    async with backend() as (target, server):
        relay = Running(TCP, target, max_connections=1)
        first = await relay.connect()
        behind = await accepted(server)
        second = await relay.connect()
        assert relay.service.server is not None
        assert relay.service.server.stats.accepted == 1
        first[1].close()
        behind[1].close()
        behind = await accepted(server)
        behind[1].write(b"x")
        assert await second[0].readexactly(1) == b"x"
        second[1].close()
        behind[1].close()
        relay.service.stop(signal.SIGTERM)
        await relay.ended()


# The end


async def test_after_sigterm_connections_end_by_themselves() -> None:
    """What is open goes on, nothing more is accepted, and the exit code is 0."""
    async with backend() as (target, server):
        relay = Running(TCP, target)
        reader, writer = await relay.connect()
        behind = await accepted(server)
        os.kill(os.getpid(), signal.SIGTERM)
        await relay.line("SIGTERM: waiting up to 30 s for 1 connection to end")
        assert relay.service.server is not None
        await relay.until(lambda: not relay.service.server.is_serving())  # type: ignore[union-attr]
        behind[1].write(b"still here")
        behind[1].close()
        assert await reader.read() == b"still here"
        writer.close()
        assert await relay.ended() == 0


async def test_a_second_signal_ends_what_is_left() -> None:
    """Both sides are reset at once."""
    async with backend() as (target, server):
        relay = Running(TCP, target)
        reader, writer = await relay.connect()
        behind = await accepted(server)
        started = asyncio.get_running_loop().time()
        for _ in range(2):
            relay.service.stop(signal.SIGTERM)
        assert await relay.ended() == 0
        assert asyncio.get_running_loop().time() - started < 0.9
        for each in (reader, behind[0]):
            with pytest.raises(ConnectionResetError):
                await each.read()
        writer.close()
        behind[1].close()


async def test_the_time_to_drain_is_limited() -> None:
    """A connection that does not end is reset when the time is over."""
    async with backend() as (target, server):
        relay = Running(TCP, target, drain=0.01)
        reader, writer = await relay.connect()
        behind = await accepted(server)
        relay.service.stop(signal.SIGTERM)
        assert await relay.ended() == 0
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        behind[1].close()


async def test_an_interrupt_has_its_own_exit_code() -> None:
    """SIGINT drains like SIGTERM and gives 130."""
    relay = Running(TCP, "memory:absent")
    await relay.line("relaying to ")
    os.kill(os.getpid(), signal.SIGINT)
    assert await relay.ended() == 130


async def test_a_relay_that_is_cancelled_leaves_nothing_open() -> None:
    """A cancel during the drain ends the connections too."""
    async with backend() as (target, server):
        relay = Running(TCP, target)
        reader, writer = await relay.connect()
        behind = await accepted(server)
        relay.service.stop(signal.SIGTERM)
        await relay.line("SIGTERM")
        relay.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await relay.task
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        behind[1].close()


async def test_once_ends_after_one_connection() -> None:
    """No second connection is served, and the exit code is 0."""
    async with backend() as (target, server):
        relay = Running(TCP, target, once=True)
        reader, writer = await relay.connect()
        behind = await accepted(server)
        assert relay.service.server is not None
        await relay.until(lambda: not relay.service.server.is_serving())  # type: ignore[union-attr]
        behind[1].write(b"once")
        behind[1].close()
        assert await reader.read() == b"once"
        writer.close()
        assert await relay.ended() == 0


async def test_once_fails_with_its_dial() -> None:
    """If the one connection could not be connected, the exit code is 1."""
    relay = Running(TCP, "memory:absent", once=True)
    _, writer = await relay.connect()
    assert await relay.ended() == 1
    writer.close()


# Certificates


async def test_sighup_reads_certificates_again_and_keeps_them_if_the_new_ones_are_bad(
    tmp_path: Path,
) -> None:
    """The lines say what happened, and the relay goes on."""
    issued = Authority().issue("localhost")
    path = write(tmp_path / "server.pem", issued.key_pem, issued.pem)
    relay = Running(f"tls:0:interface=127.0.0.1:private_key={path}", "memory:absent")
    await relay.line("relaying to ")
    os.kill(os.getpid(), signal.SIGHUP)
    await relay.line("SIGHUP: reloaded")
    write(tmp_path / "server.pem", b"nonsense")
    os.kill(os.getpid(), signal.SIGHUP)
    assert path in await relay.line("SIGHUP: nothing changes: ")
    relay.service.stop(signal.SIGTERM)
    assert await relay.ended() == 0


@pytest.mark.parametrize("verbose", [True, False])
async def test_failed_handshakes_are_for_the_verbose(verbose: bool) -> None:
    """A client that does not speak TLS is a line with ``--verbose`` only."""
    front = "tls:0:interface=127.0.0.1:selfsigned=localhost"
    relay = Running(front, "memory:absent", verbose=verbose)
    await relay.line("relaying to ")
    assert relay.service.server is not None
    address = relay.service.server.addresses[0]
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    await reader.read()
    writer.close()
    await relay.until(lambda: relay.service.server.stats.handshake_failed == 1)  # type: ignore[union-attr]
    relay.service.stop(signal.SIGTERM)
    await relay.ended()
    assert len(relay.lines) == (4 if verbose else 3)


# The command


def test_an_endpoint_that_cannot_be_listened_on_is_exit_code_1(tmp_path: Path) -> None:
    """The error is one line."""
    result = run("relay", f"unix:{tmp_path}/no/app.sock", "memory:absent")
    assert result.exit_code == 1
    assert "there is no directory" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "place"),
    [(["udp:0", "tcp:a:1"], "LISTEN"), (["tcp:0", "udp:a:1"], "CONNECT")],
)
def test_datagrams_are_not_relayed(arguments: list[str], place: str) -> None:
    """Endpoints of datagrams are refused before anything listens."""
    result = run("relay", *arguments)
    assert result.exit_code == 2
    assert f"Invalid value for '{place}'" in result.stderr
    assert "has datagrams and no connections" in result.stderr


def test_a_name_server_is_not_relayed() -> None:
    """Its half that is streams could be, and that is what the error says."""
    result = run("relay", "dns:0:interface=127.0.0.1", "tcp:127.0.0.1:1")
    assert result.exit_code == 2
    assert "Invalid value for 'LISTEN'" in result.stderr
    assert "a dns server has datagrams beside its connections; tcp:0" in words(result.stderr)


@pytest.mark.parametrize("option", ["--idle-timeout", "--connect-timeout", "--drain"])
@pytest.mark.parametrize("value", ["nan", "inf", "1e400"])
def test_a_time_has_an_end(option: str, value: str) -> None:
    """What is no number of seconds is wrong usage."""
    result = run("relay", "memory:a", "memory:b", option, value)
    assert result.exit_code == 2
    assert f"'{value}' is no number of seconds" in words(result.stderr)


@pytest.mark.parametrize(
    ("arguments", "place"),
    [(["tcp:80:bogus=1", "tcp:a:1"], "LISTEN"), (["tcp:0", "tcp:a"], "CONNECT")],
)
def test_a_wrong_description_is_wrong_usage(arguments: list[str], place: str) -> None:
    """The error names the argument and shows the place with a caret."""
    result = run("relay", *arguments)
    assert result.exit_code == 2
    assert f"Invalid value for '{place}'" in result.stderr
    assert result.stderr.rstrip().endswith("^")


def test_the_options_reach_the_relay() -> None:
    """A relay of one connection whose target is not there fails with its line on standard error."""
    result = run("relay", "--once", "--quiet", "stdio:", "memory:absent")
    assert result.exit_code == 1
    assert (
        result.stderr == "stdio: memory:absent: nobody in this process listens on memory:absent\n"
    )


async def spawn(*arguments: str, stdin: int | None = None) -> asyncio.subprocess.Process:
    """Run the program in a process of its own."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "asyncendpoints", *arguments, stdin=stdin, stdout=PIPE, stderr=PIPE
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_a_process_ends_on_a_signal(number: signal.Signals, code: int) -> None:
    """The exit code is that of the shell's convention, and the totals are the last line."""
    process = await spawn("relay", TCP, "tcp:127.0.0.1:9")
    assert process.stderr is not None
    assert (await process.stderr.readline()).startswith(b"listening on tcp:127.0.0.1:")
    await process.stderr.readline()
    process.send_signal(number)
    _, rest = await process.communicate()
    assert rest == b"0 connections, 0 bytes sent, 0 bytes received\n"
    assert process.returncode == code


async def test_standard_input_is_one_connection() -> None:
    """With ``stdio:`` the relay carries what comes and goes, and ends with it."""
    async with backend() as (target, server):
        process = await spawn("relay", "stdio:", target, stdin=PIPE)
        talking = asyncio.ensure_future(process.communicate(b"question"))
        reader, writer = await accepted(server)
        assert await reader.read() == b"question"
        writer.write(b"answer")
        writer.close()
        out, err = await talking
    assert out == b"answer"
    assert err.splitlines()[-1] == b"1 connection, 8 bytes sent, 6 bytes received"
    assert process.returncode == 0
