"""Servers from their start to a signal: the order of things, signals, and what a manager is told."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

import pytest

from asyncendpoints import (
    ClientService,
    KeyFileError,
    ListenError,
    dns,
    listen,
    listen_datagram,
    open_connection,
    serve_forever,
    start_server,
    tunnel,
)
from asyncendpoints.running import Run
from asyncendpoints.sd_notify import Notifier
from tests.clock import run
from tests.serving import TASK_FACTORIES, turns, until
from tests.support import Recorder, open_descriptors, warm_up
from tests.test_docs_examples import program, read_line, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
    from pathlib import Path

LOCAL = "tcp:0:interface=127.0.0.1"
ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def kill(number: signal.Signals) -> None:
    """Send a signal to this process, which Python hears before this returns."""
    os.kill(os.getpid(), number)


class Log(Notifier):
    """What happened, with the messages to a manager among it."""

    def __init__(self, watchdog: float | None = None) -> None:
        super().__init__("", None)
        self.watchdog = watchdog
        self.lines: list[str] = []

    def _send(self, message: str) -> None:
        self.lines.append(message.partition("=")[0].lower())


class Part:
    """A server of which a test says what it does.

    Args:
        name: What it is called in the log.
        log: Where it writes down what happens to it.
        seconds: How long its end takes.
    """

    def __init__(self, name: str, log: Log, seconds: float = 0.0) -> None:
        self.name = name
        self.log = log
        self.seconds = seconds
        self.gate = asyncio.Event()
        #: What it raises when it reloads, or in ``wait_closed``.
        self.error: Exception | None = None

    def note(self, text: str) -> None:
        self.log.lines.append(f"{self.name} {text}")

    async def __aenter__(self) -> Self:
        self.note("starts")
        return self

    def close(self) -> None:
        self.note("closes")

    def reload(self) -> None:
        self.note("reloads")
        if self.error is not None:
            raise self.error

    async def wait_closed(self) -> None:
        await self.gate.wait()
        if self.error is not None:
            raise self.error

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.note("ends" if kind is None else "aborts")
        try:
            await asyncio.sleep(0 if kind else self.seconds)
        except asyncio.CancelledError:
            self.note("is cut off")
            raise


class Plain:
    """A context manager that is nothing more."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Hold that the handlers of signals are afterwards what they were before."""
    # Whoever has started this may have it ignored, as nohup does.
    hangup = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    before = [signal.getsignal(each) for each in ENDS]
    yield
    assert [signal.getsignal(each) for each in ENDS] == before
    signal.signal(signal.SIGHUP, hangup)


def ran(
    *names: str,
    log: Log | None = None,
    seconds: float = 0.0,
    doing: Callable[..., Awaitable[object]],
) -> tuple[list[str], Any, float]:
    """Run some parts while something is done with them; give the log, the result and the time."""
    log = log or Log()

    async def main() -> tuple[Any, float]:
        parts = [Part(name, log, seconds) for name in names]
        task = asyncio.create_task(_serve(log, *parts))
        await until(lambda: "ready" in log.lines)
        await doing(*parts)
        return await task, asyncio.get_running_loop().time()

    result, time = run(main())
    return log.lines, result, time


async def _serve(log: Log, *servers: Any) -> signal.Signals | None:
    return await Run(log).serve(servers)


# From the start to the end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_order_of_things(number: signal.Signals) -> None:
    """All start in order, then the manager hears; at a signal all close, and end, the last one first."""

    async def doing(*_: Part) -> None:
        kill(number)

    lines, result, time = ran("a", "b", doing=doing, seconds=2)
    assert lines == [
        *("a starts", "b starts", "ready"),
        *("stopping", "a closes", "b closes", "b ends", "a ends"),
    ]
    assert (result, time) == (number, 4.0)


def test_it_ends_when_all_servers_have() -> None:
    """Servers that are closed by the program end it, when the last of them is."""

    async def doing(a: Part, b: Part) -> None:
        a.gate.set()
        await asyncio.sleep(5)
        b.gate.set()

    lines, result, time = ran("a", "b", doing=doing)
    assert lines[-2:] == ["b ends", "a ends"]
    assert (result, time) == (None, 5.0)


def test_a_server_that_breaks_ends_all() -> None:
    """What ``wait_closed`` raises comes out, and the others are aborted."""
    log = Log()

    async def main() -> None:
        parts = [Part("a", log), Part("b", log)]
        parts[1].error = OSError("broken")
        parts[1].gate.set()
        await _serve(log, *parts)

    with pytest.raises(ExceptionGroup) as caught:
        run(main())
    assert caught.group_contains(OSError, match="broken")
    assert log.lines[-3:] == ["stopping", "b aborts", "a aborts"]


def test_any_context_manager_will_do() -> None:
    """What has neither ``close`` nor ``wait_closed`` nor ``reload`` runs until the signal."""

    async def main() -> signal.Signals | None:
        log = Log()
        task = asyncio.create_task(_serve(log, Plain()))
        await until(lambda: "ready" in log.lines)
        await asyncio.sleep(3600)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
        kill(signal.SIGTERM)
        return await task

    assert run(main()) == signal.SIGTERM


def test_a_cancel_aborts() -> None:
    """When the caller is cancelled there is no grace, and the cancel comes out."""
    log = Log()

    async def main() -> None:
        task = asyncio.create_task(_serve(log, Part("a", log, 5)))
        await until(lambda: "ready" in log.lines)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.get_running_loop().time() == 0

    run(main())
    assert log.lines[-2:] == ["stopping", "a aborts"]


async def test_no_server_is_an_error() -> None:
    """There is nothing to wait for."""
    with pytest.raises(ValueError, match=r"^no server to run was given$"):
        await serve_forever()


# The second signal


def test_the_second_signal_cuts_the_end_short() -> None:
    """Who is being ended is cut off, and who is still to be ended is aborted; nothing is raised."""

    async def doing(*_: Part) -> None:
        kill(signal.SIGTERM)
        await asyncio.sleep(3)
        kill(signal.SIGINT)
        kill(signal.SIGINT)

    lines, result, time = ran("a", "b", doing=doing, seconds=60)
    assert lines[-3:] == ["b ends", "b is cut off", "a aborts"]
    assert (result, time) == (signal.SIGTERM, 3.0)


def test_two_signals_at_a_time() -> None:
    """The second one counts, however soon it comes."""

    async def doing(*_: Part) -> None:
        kill(signal.SIGTERM)
        kill(signal.SIGTERM)

    lines, result, _ = ran("a", doing=doing, seconds=60)
    assert lines[-1] == "a aborts"
    assert result == signal.SIGTERM


def test_a_cancel_beside_the_second_signal_comes_out() -> None:
    """A cancel of the caller is not lost when a second signal comes with it."""
    log = Log()

    async def main() -> None:
        task = asyncio.create_task(_serve(log, Part("a", log, 60)))
        await until(lambda: "ready" in log.lines)
        kill(signal.SIGTERM)
        await until(lambda: "a ends" in log.lines)
        kill(signal.SIGTERM)
        asyncio.get_running_loop().call_soon(task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelling() == 1

    run(main())


def test_a_signal_that_comes_too_late_does_nothing() -> None:
    """A signal that was on its way when everything had ended cancels nobody."""

    async def main() -> bool:
        log = Log()
        part = Part("a", log)
        part.gate.set()
        its_run = Run(log)
        await its_run.serve((part,))
        its_run._end(signal.SIGTERM)
        await asyncio.sleep(0)
        return True

    assert run(main())


# Starting


class Unusual:
    """Something to await that is no coroutine, and has no ``close``."""

    def __await__(self) -> Generator[Any, None, Plain]:
        yield from asyncio.sleep(0).__await__()
        return Plain()


async def later(part: Part) -> Part:
    """Give a server after a while."""
    await turns()
    return part


def test_servers_can_be_awaited_for() -> None:
    """A coroutine, or anything else to await, gives the server."""

    async def main() -> list[str]:
        log = Log()
        task = asyncio.create_task(_serve(log, later(Part("a", log)), Unusual()))
        await until(lambda: "ready" in log.lines)
        kill(signal.SIGTERM)
        await task
        return log.lines

    assert run(main()) == ["a starts", "ready", "stopping", "a closes", "a ends"]


async def test_one_that_cannot_start_leaves_nothing() -> None:
    """The first error comes out; those before are aborted, those after are not started, or ended as well."""
    await warm_up()
    before = open_descriptors()
    running_one = await listen(LOCAL, Recorder)
    with pytest.raises(ListenError) as caught:
        await serve_forever(
            start_server(lambda *_: None, LOCAL),
            listen("unix:/nowhere/at/all", Recorder),
            listen("unix:/nowhere/either", Recorder),
            later(None),  # type: ignore[arg-type]  # it is not run
            Unusual(),
            running_one,
        )
    assert "/nowhere/at/all" in str(caught.value)
    assert not running_one.is_serving()
    assert open_descriptors() == before


def test_a_signal_during_the_start_ends_it() -> None:
    """While the servers start, the first signal aborts."""
    log = Log()

    async def main() -> signal.Signals | None:
        task = asyncio.create_task(_serve(log, Part("a", log), later(Part("b", log))))
        await until(lambda: "a starts" in log.lines)
        kill(signal.SIGTERM)
        return await task

    assert run(main()) == signal.SIGTERM
    assert log.lines == ["a starts", "a aborts"]


# Reloading


def test_a_hangup_reloads(caplog: pytest.LogCaptureFixture) -> None:
    """SIGHUP reloads all that can; an error is logged and stops neither the others nor the run."""

    async def doing(a: Part, b: Part, c: Part) -> None:
        a.error = KeyFileError("c.pem", "it is empty")
        b.error = RuntimeError("a bug")
        b.error.add_note("another one")
        kill(signal.SIGHUP)
        await turns()
        a.error = b.error = None
        kill(signal.SIGTERM)

    lines, _, _ = ran("a", "b", "c", doing=doing)
    assert lines[3:9] == ["ready", "reloading", "a reloads", "b reloads", "c reloads", "ready"]
    errors = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert [each.getMessage() for each in errors] == [
        "SIGHUP: what was there stays: c.pem: it is empty",
        "SIGHUP: what was there stays: a bug",
        "SIGHUP: what was there stays: another one",
    ]
    assert [each.exc_info is not None for each in errors] == [False, True, False]


def test_what_cannot_reload_is_passed_over() -> None:
    """A part without ``reload`` stays as it is."""

    async def main() -> list[str]:
        log = Log()
        task = asyncio.create_task(_serve(log, Plain(), Part("a", log)))
        await until(lambda: "ready" in log.lines)
        kill(signal.SIGHUP)
        await turns()
        kill(signal.SIGTERM)
        await task
        return log.lines

    assert run(main())[2:5] == ["reloading", "a reloads", "ready"]


def test_a_handler_of_the_loop_is_called_too() -> None:
    """A program that reloads on SIGHUP by a handler of its loop goes on to do so."""

    async def main() -> list[str]:
        log = Log()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, log.lines.append, "own")
        task = asyncio.create_task(_serve(log, Part("a", log)))
        await until(lambda: "ready" in log.lines)
        kill(signal.SIGHUP)
        await until(lambda: "own" in log.lines and "a reloads" in log.lines)
        kill(signal.SIGTERM)
        await task
        assert loop.remove_signal_handler(signal.SIGHUP)
        return log.lines

    asyncio.run(main())


class Slow(Part):
    """A server whose ``reload`` waits."""

    async def reload(self) -> None:  # type: ignore[override]
        super().reload()
        await self.gate.wait()
        self.note("has reloaded")

    async def wait_closed(self) -> None:
        await asyncio.get_running_loop().create_future()


def reloaded_slowly(doing: Callable[[Slow], Awaitable[object]]) -> list[str]:
    """Do something with a server whose ``reload`` waits; give what happens from the first reload on."""

    async def main() -> list[str]:
        log = Log()
        slow = Slow("a", log)
        task = asyncio.create_task(_serve(log, slow))
        await until(lambda: "ready" in log.lines)
        await doing(slow)
        kill(signal.SIGTERM)
        await task
        slow.gate.set()
        await turns()
        return log.lines[log.lines.index("reloading") :]

    return run(main())


def test_a_reload_can_wait() -> None:
    """A manager is told that all is reloaded when it is, and the next reload begins after it."""

    async def doing(slow: Slow) -> None:
        kill(signal.SIGHUP)
        kill(signal.SIGHUP)
        await turns()
        slow.gate.set()
        await turns()

    once = ["reloading", "a reloads", "a has reloaded", "ready"]
    assert reloaded_slowly(doing)[:-3] == once * 2


def test_a_reload_ends_with_the_run() -> None:
    """One that is under way, and one that waits for its turn, are given up at the signal."""

    async def doing(_: Slow) -> None:
        kill(signal.SIGHUP)
        kill(signal.SIGHUP)
        await turns()

    lines = ["reloading", "a reloads", "stopping", "a closes", "a ends"]
    assert reloaded_slowly(doing) == lines


def test_nothing_reloads_at_the_end() -> None:
    """Once the end has begun, SIGHUP does nothing, and kills nobody."""

    async def doing(*_: Part) -> None:
        kill(signal.SIGTERM)
        await asyncio.sleep(1)
        kill(signal.SIGHUP)

    lines, _, time = ran("a", doing=doing, seconds=5)
    assert lines[-3:] == ["stopping", "a closes", "a ends"]
    assert time == 5


# The watchdog


def test_signs_of_life() -> None:
    """The manager hears twice in the time of its watchdog, also while the end takes long."""
    log = Log(watchdog=10)

    async def doing(*_: Part) -> None:
        await asyncio.sleep(12)
        kill(signal.SIGTERM)

    lines, _, time = ran("a", log=log, doing=doing, seconds=12)
    assert time == 24
    assert lines == [
        *("watchdog", "a starts", "ready", "watchdog", "watchdog"),
        *("stopping", "a closes", "a ends", "watchdog", "watchdog"),
    ]


def test_nobody_is_alive_afterwards() -> None:
    """The signs of life end with the run."""

    async def main() -> list[str]:
        log = Log(watchdog=10)
        part = Part("a", log)
        part.gate.set()
        await _serve(log, part)
        await asyncio.sleep(60)
        return log.lines

    assert run(main()).count("watchdog") == 1


# Signals and threads


def test_outside_of_the_main_thread() -> None:
    """Another thread has no signals, and runs servers all the same."""
    results = []

    async def main() -> None:
        server = await listen("memory:app", Recorder)
        asyncio.get_running_loop().call_later(0.01, server.close)
        results.append(await serve_forever(server))

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join(20)
    assert results == [None]


# Several at one time


@pytest.mark.parametrize("first", [0, 1])
def test_several_runs_hear_of_a_signal(first: int) -> None:
    """Servers that are run side by side hear of it all, whichever of them has ended before."""

    async def main() -> list[signal.Signals | None]:
        parts = [Part(name, Log()) for name in "abc"]
        tasks = []
        for each in parts:
            tasks.append(asyncio.create_task(_serve(each.log, each)))
            await until(lambda log=each.log: "ready" in log.lines)  # type: ignore[misc]
        parts[first].gate.set()
        ended = [await tasks[first]]
        kill(signal.SIGTERM)
        return ended + [await each for each in tasks if each is not tasks[first]]

    assert run(main()) == [None, signal.SIGTERM, signal.SIGTERM]


# With what the library gives


@pytest.fixture(params=TASK_FACTORIES)
async def task_factory(request: pytest.FixtureRequest) -> None:
    """Run a test with each factory of tasks."""
    asyncio.get_running_loop().set_task_factory(request.param)


@pytest.mark.usefixtures("task_factory")
async def test_everything_at_a_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Servers of each sort, a tunnel and a service run together, and a real manager hears of it."""
    await warm_up()
    before = open_descriptors()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        kept = ClientService("memory:app", Recorder)
        task = asyncio.create_task(
            serve_forever(
                listen("memory:app", Recorder),
                dns.listen("dns:0:interface=127.0.0.1", dns.Router()),
                listen_datagram("udp:0:interface=127.0.0.1", asyncio.DatagramProtocol),
                tunnel("memory:app"),
                kept,
            )
        )
        protocol = await kept.when_connected()
        loop = asyncio.get_running_loop()
        assert await loop.sock_recv(manager, 100) == b"READY=1"
        kill(signal.SIGHUP)
        assert (await loop.sock_recv(manager, 100)).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert await loop.sock_recv(manager, 100) == b"READY=1"
        kill(signal.SIGTERM)
        assert await task == signal.SIGTERM
        assert await loop.sock_recv(manager, 100) == b"STOPPING=1"
        assert protocol.lost.is_set()
        assert kept.state == "stopped"
    assert open_descriptors() == before


@asynccontextmanager
async def backend(path: Path) -> AsyncIterator[asyncio.Queue[bytes]]:
    """Serve what gets lines."""
    lines: asyncio.Queue[bytes] = asyncio.Queue()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for line in reader:
            lines.put_nowait(line)
        writer.close()

    async with start_server(handle, f"unix:{path}"):
        yield lines


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_program_of_the_page(tmp_path: Path, number: signal.Signals) -> None:
    """The program of the page on running passes lines on, and ends well on SIGTERM and on Ctrl-C."""
    command = program("broker.py", "unix:backend", "unix:front")
    async with backend(tmp_path / "backend") as lines:
        with running(tmp_path, *command) as process:
            line = await asyncio.to_thread(read_line, process)
            assert line == f"reach it at unix:{tmp_path}/front"
            reader, writer = await open_connection(f"unix:{tmp_path}/front")
            writer.write(b"hello\n")
            assert await reader.readline() == b"passed on\n"
            assert await lines.get() == b"hello\n"
            writer.close()
            process.send_signal(number)
            ends = [await asyncio.to_thread(read_line, process) for _ in range(2)]
            assert sorted(ends) == [f"ended by {number.name}", "the backend is gone"]
            assert await asyncio.to_thread(process.wait, 20) == 0
