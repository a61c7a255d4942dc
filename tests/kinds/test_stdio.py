"""Standard input and output as one connection."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import pty
import select
import socket
import subprocess
import sys
import threading
import tty
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

import pytest

from asyncendpoints.connecting import connect
from asyncendpoints.errors import AddressInUseError, ConnectError, ListenError
from asyncendpoints.kinds import stdio
from asyncendpoints.kinds.stdio import (
    Pump,
    StdioClient,
    StdioListener,
    StdioServer,
    standard_pump,
)
from asyncendpoints.listeners import Connection
from asyncendpoints.listening import listen
from asyncendpoints.specs import parse_client, parse_server
from asyncendpoints.transports import adopt
from tests.support import Recorder, no_descriptors_left, open_descriptors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Pair(NamedTuple):
    """The descriptors that a pump has, and the other ends of them."""

    stdin: int
    stdout: int
    #: Write here what the pump reads.
    into: int
    #: Read here what the pump writes.
    out: int


@contextmanager
def pipes() -> Iterator[Pair]:
    """Give a pair of pipes; a test closes ``into`` and ``out`` if that is what it is about."""
    stdin, into = os.pipe()
    out, stdout = os.pipe()
    yield Pair(stdin, stdout, into, out)
    for each in (stdin, stdout):
        os.close(each)


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Give a pair of pipes whose other ends are closed after the test if they are still open."""
    with pipes() as made:
        files = {each: os.fstat(each) for each in (made.into, made.out)}
        yield made
        for each in [each for each, before in files.items() if is_still(each, before)]:
            os.close(each)


def is_still(descriptor: int, before: os.stat_result) -> bool:
    """Tell whether a descriptor is open and that of the same file as before."""
    try:
        return os.path.samestat(os.fstat(descriptor), before)
    except OSError:
        return False


class Open(Recorder):
    """A recorder that keeps the connection open at the end of what it receives."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = asyncio.Event()
        self.some = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.some.set()

    def eof_received(self) -> bool:  # type: ignore[override]  # the base gives None, which closes
        self.ended.set()
        return True


async def over(pump: Pump) -> tuple[asyncio.Transport, Open]:
    """Start a pump and give the transport and the protocol of its connection."""
    return await adopt(pump.start(), Open)


async def descriptors() -> int:
    """Count the open descriptors after a first transport, for which uvloop keeps one in reserve."""
    ours, theirs = socket.socketpair()
    transport, protocol = await adopt(ours, Recorder)
    with theirs:
        transport.close()
        await protocol.lost.wait()
        await asyncio.to_thread(theirs.recv, 1)
    return open_descriptors()


def read_all(descriptor: int) -> bytes:
    """Read to the end, and close."""
    with open(descriptor, "rb") as file:
        return file.read()


def drain(descriptor: int, writer: threading.Thread) -> None:
    """Read what a thread writes, until it has ended."""
    os.set_blocking(descriptor, False)
    while writer.is_alive():
        with suppress(BlockingIOError):
            os.read(descriptor, 2**16)


@contextmanager
def opened(path: str | Path, flags: int) -> Iterator[int]:
    """Give the descriptor of a file."""
    descriptor = os.open(path, flags)
    yield descriptor
    os.close(descriptor)


def finish(pump: Pump) -> None:
    """Wait for the threads of a pump."""
    for each in pump.threads:
        each.join()


async def finished(pump: Pump) -> None:
    """Wait for the threads of a pump while the loop runs."""
    await asyncio.to_thread(finish, pump)


# What is carried


async def test_both_ways(pair: Pair) -> None:
    """What is written to stdin is received, and what is written to the connection reaches stdout."""
    before = await descriptors()
    pump = Pump(pair.stdin, pair.stdout)
    transport, protocol = await over(pump)
    os.write(pair.into, b"question")
    await protocol.some.wait()
    transport.write(b"answer")
    assert await asyncio.to_thread(os.read, pair.out, 100) == b"answer"
    transport.close()
    await finished(pump)
    assert protocol.received == b"question"
    assert open_descriptors() == before


async def test_no_mode_is_changed(pair: Pair) -> None:
    """The descriptors stay in blocking mode."""
    pump = Pump(pair.stdin, pair.stdout)
    transport, _ = await over(pump)
    assert os.get_blocking(pair.stdin)
    assert os.get_blocking(pair.stdout)
    transport.close()
    await finished(pump)


async def test_end_of_stdin(pair: Pair) -> None:
    """At the end of stdin eof_received is called, and stdout can still be written to."""
    pump = Pump(pair.stdin, pair.stdout)
    transport, protocol = await over(pump)
    os.write(pair.into, b"all")
    os.close(pair.into)
    await protocol.ended.wait()
    assert protocol.received == b"all"
    transport.write(b"answer")
    transport.close()
    await finished(pump)
    assert os.read(pair.out, 100) == b"answer"


async def test_input_is_left(pair: Pair) -> None:
    """What comes after the connection has ended is left for the next reader of stdin."""
    pump = Pump(pair.stdin, pair.stdout)
    transport, _ = await over(pump)
    transport.close()
    await finished(pump)
    os.write(pair.into, b"later")
    assert os.read(pair.stdin, 100) == b"later"


async def test_large(pair: Pair) -> None:
    """A megabyte each way arrives whole, though neither pipe holds it."""
    pump = Pump(pair.stdin, pair.stdout)
    transport, protocol = await over(pump)
    data = os.urandom(2**20)

    def write() -> None:
        with open(pair.into, "wb") as file:
            file.write(data)

    transport.write(data)
    transport.write_eof()
    _, got = await asyncio.gather(asyncio.to_thread(write), asyncio.to_thread(read_all, pair.out))
    await protocol.ended.wait()
    assert got == data
    assert protocol.received == data
    transport.close()
    await finished(pump)


async def test_close_with_input_unread(pair: Pair) -> None:
    """A connection that is closed while it does not read loses nothing that it wrote."""
    pump = Pump(pair.stdin, pair.stdout)
    transport, _ = await over(pump)
    transport.pause_reading()

    def write() -> None:
        with open(pair.into, "wb") as file:
            # More than the socket holds: the reader has to wait when the connection ends.
            file.write(bytes(2**20))

    writer = threading.Thread(target=write)
    writer.start()
    descriptor = transport.get_extra_info("socket").fileno()
    await asyncio.to_thread(select.select, [descriptor], [], [])
    transport.write(b"answer")
    transport.close()
    await finished(pump)
    assert os.read(pair.out, 100) == b"answer"
    drain(pair.stdin, writer)


# The end of output


async def test_write_eof_ends_a_pipe(pair: Pair) -> None:
    """After write_eof the reader of stdout sees the end, and stdin is still received."""
    pump = Pump(pair.stdin, pair.stdout)
    transport, protocol = await over(pump)
    transport.write(b"all")
    transport.write_eof()
    assert await asyncio.to_thread(read_all, pair.out) == b"all"
    os.write(pair.into, b"more")
    await protocol.some.wait()
    os.write(pair.stdout, b"goes nowhere")
    transport.close()
    await finished(pump)


async def test_close_leaves_stdout(pair: Pair) -> None:
    """After a close without write_eof stdout is what it was."""
    pump = Pump(pair.stdin, pair.stdout)
    transport, _ = await over(pump)
    transport.close()
    await finished(pump)
    os.write(pair.stdout, b"printed")
    assert os.read(pair.out, 100) == b"printed"


async def test_write_eof_ends_a_socket() -> None:
    """After write_eof the peer of a socket sees the end, and can still send."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        pump = Pump(ours.fileno(), ours.fileno())
        transport, protocol = await over(pump)
        transport.write_eof()
        assert await asyncio.to_thread(theirs.recv, 100) == b""
        theirs.send(b"more")
        await protocol.some.wait()
        transport.close()
        await finished(pump)


async def test_write_eof_on_a_file(tmp_path: Path, pair: Pair) -> None:
    """After write_eof a regular file is open as before."""
    with opened(tmp_path / "out", os.O_WRONLY | os.O_CREAT) as file:
        pump = Pump(pair.stdin, file)
        transport, _ = await over(pump)
        transport.write(b"all")
        transport.write_eof()
        await asyncio.to_thread(pump.threads[1].join)
        os.write(file, b" and more")
        transport.close()
        await finished(pump)
    assert (tmp_path / "out").read_bytes() == b"all and more"


async def test_write_eof_on_nothing(pair: Pair) -> None:
    """A stdout that is closed by then is no error at write_eof."""
    stdout = os.dup(pair.stdout)
    pump = Pump(pair.stdin, stdout)
    transport, _ = await over(pump)
    # A socket that never had a peer cannot be shut down.
    with socket.socket() as lonely:
        os.dup2(lonely.fileno(), stdout)
        transport.write_eof()
        await asyncio.to_thread(pump.threads[1].join)
        transport.close()
        await finished(pump)
    os.close(stdout)


# Stdout that nobody reads


async def test_closed_stdout(pair: Pair) -> None:
    """When the reader of stdout goes, the connection is reset, though nothing was written."""
    before = await descriptors()
    pump = Pump(pair.stdin, pair.stdout)
    _, protocol = await over(pump)
    os.close(pair.out)
    await protocol.lost.wait()
    assert isinstance(protocol.error, ConnectionResetError)
    await finished(pump)
    os.write(pair.into, b"later")
    assert os.read(pair.stdin, 100) == b"later"
    assert open_descriptors() == before - 1


async def test_closed_stdout_after_end_of_stdin(pair: Pair) -> None:
    """When stdin has ended before, no loop watches a connection any more: the next write tells."""
    pump = Pump(pair.stdin, pair.stdout)
    transport, protocol = await over(pump)
    os.close(pair.into)
    await protocol.ended.wait()
    os.close(pair.out)
    await finished(pump)
    transport.write(b"x")
    await protocol.lost.wait()
    assert isinstance(protocol.error, ConnectionResetError | BrokenPipeError)


async def test_hang_up(pair: Pair) -> None:
    """When stdin ends and stdout has lost its reader, the connection is reset, not brought to its end."""
    go = threading.Event()

    class Late(Pump):
        """A pump that looks at stdout only when it is told to."""

        def _carry_out(self) -> None:
            go.wait()
            super()._carry_out()

    os.close(pair.into)
    os.close(pair.out)
    pump = Late(pair.stdin, pair.stdout)
    _, protocol = await over(pump)
    await asyncio.to_thread(pump.threads[0].join)
    await asyncio.sleep(0)
    assert not protocol.ended.is_set()
    go.set()
    await protocol.lost.wait()
    assert isinstance(protocol.error, ConnectionResetError)
    await finished(pump)


async def test_full_disk(pair: Pair) -> None:
    """When stdout cannot be written to, the connection is reset."""
    with opened("/dev/full", os.O_WRONLY) as full:
        pump = Pump(pair.stdin, full)
        transport, protocol = await over(pump)
        transport.write(b"x")
        await protocol.lost.wait()
        assert isinstance(protocol.error, ConnectionResetError | BrokenPipeError)
        await finished(pump)


async def test_closed_stdout_while_paused(pair: Pair) -> None:
    """A reader of stdin that waits for the connection to read ends when stdout does."""
    pump = Pump(pair.stdin, pair.stdout)
    transport, protocol = await over(pump)
    transport.pause_reading()
    writer = threading.Thread(target=os.write, args=(pair.into, bytes(2**20)))
    writer.start()
    descriptor = transport.get_extra_info("socket").fileno()
    await asyncio.to_thread(select.select, [descriptor], [], [])
    os.close(pair.out)
    await finished(pump)
    transport.resume_reading()
    await protocol.lost.wait()
    drain(pair.stdin, writer)


async def test_broken_stdout_after_the_end(pair: Pair) -> None:
    """A stdout that breaks when the connection has ended already does no harm."""
    os.set_blocking(pair.stdout, False)
    os.write(pair.stdout, bytes(2**16))
    pump = Pump(pair.stdin, pair.stdout)
    transport, protocol = await over(pump)
    transport.write(b"x")
    transport.close()
    await protocol.lost.wait()
    os.close(pair.out)
    await finished(pump)
    assert protocol.error is None


# Descriptors of all kinds


async def test_regular_files(tmp_path: Path) -> None:
    """Redirection from a file and to a file."""
    (tmp_path / "in").write_bytes(b"question")
    with (
        opened(tmp_path / "in", os.O_RDONLY) as stdin,
        opened(tmp_path / "out", os.O_WRONLY | os.O_CREAT) as stdout,
    ):
        pump = Pump(stdin, stdout)
        transport, protocol = await over(pump)
        await protocol.ended.wait()
        transport.write(b"answer")
        transport.close()
        await finished(pump)
    assert protocol.received == b"question"
    assert (tmp_path / "out").read_bytes() == b"answer"


async def test_dev_null() -> None:
    """The null device is at its end at once, and takes everything."""
    with opened(os.devnull, os.O_RDWR) as null:
        pump = Pump(null, null)
        transport, protocol = await over(pump)
        await protocol.ended.wait()
        transport.write(b"x")
        transport.close()
        await finished(pump)
    assert protocol.error is None


async def test_socketpair() -> None:
    """A socket that is both: what its peer sent before it went is received, then its end."""
    ours, theirs = socket.socketpair()
    with ours:
        pump = Pump(ours.fileno(), ours.fileno())
        with theirs:
            theirs.send(b"question")
        transport, protocol = await over(pump)
        await protocol.ended.wait()
        assert protocol.received == b"question"
        transport.write(b"nobody reads this")
        await finished(pump)
        transport.write(b"and this is an error")
        await protocol.lost.wait()
        assert isinstance(protocol.error, ConnectionResetError | BrokenPipeError)


async def test_terminal() -> None:
    """A terminal works, and its hang-up is a reset."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    pump = Pump(slave, slave)
    transport, protocol = await over(pump)
    os.write(master, b"question")
    await protocol.some.wait()
    transport.write(b"answer")
    assert await asyncio.to_thread(os.read, master, 100) == b"answer"
    os.close(master)
    await protocol.lost.wait()
    await finished(pump)
    os.close(slave)
    assert protocol.received == b"question"
    assert isinstance(protocol.error, ConnectionResetError)


async def test_input_error(tmp_path: Path, pair: Pair) -> None:
    """A stdin that cannot be read is at its end."""
    with opened(tmp_path, os.O_RDONLY | os.O_DIRECTORY) as directory:
        pump = Pump(directory, pair.stdout)
        transport, protocol = await over(pump)
        await protocol.ended.wait()
        transport.close()
        await finished(pump)


async def test_full_non_blocking_stdout(pair: Pair) -> None:
    """A stdout that somebody else made non-blocking loses nothing when it is full."""
    os.set_blocking(pair.stdout, False)
    pump = Pump(pair.stdin, pair.stdout)
    transport, _ = await over(pump)
    data = os.urandom(2**18)
    transport.write(data)
    transport.write_eof()
    assert await asyncio.to_thread(read_all, pair.out) == data
    transport.close()
    await finished(pump)


async def test_input_read_by_another(pair: Pair) -> None:
    """A non-blocking stdin whose input another process has read first is waited for again."""
    os.set_blocking(pair.stdin, False)
    stolen = threading.Event()

    class Robbed(Pump):
        """A pump that another reader comes before, once."""

        def read(self) -> bytes:
            if not stolen.is_set():
                os.read(self._stdin, 100)
                stolen.set()
            return super().read()

    pump = Robbed(pair.stdin, pair.stdout)
    transport, protocol = await over(pump)
    os.write(pair.into, b"stolen")
    await asyncio.to_thread(stolen.wait)
    os.write(pair.into, b"left")
    await protocol.some.wait()
    assert protocol.received == b"left"
    transport.close()
    await finished(pump)


async def test_connection_that_ends_while_input_is_read(pair: Pair) -> None:
    """What was read by then has nowhere to go, and no more is read."""

    class Slow(Pump):
        """A pump whose connection ends while it reads."""

        def read(self) -> bytes:
            data = super().read()
            self._bridge.shutdown(socket.SHUT_WR)
            return data

    pump = Slow(pair.stdin, pair.stdout)
    transport, protocol = await over(pump)
    os.write(pair.into, b"lost")
    await protocol.ended.wait()
    await asyncio.to_thread(pump.threads[0].join)
    assert protocol.received == b""
    transport.close()
    await finished(pump)


# One at a time


async def test_in_use(pair: Pair) -> None:
    """A pair that has a connection is not given to another one; after its close it is."""
    first = Pump(pair.stdin, pair.stdout)
    with pytest.raises(OSError, match="another connection has them") as caught:
        Pump(pair.stdin, pair.stdout)
    assert caught.value.errno == errno.EADDRINUSE
    transport, _ = await over(first)
    with pytest.raises(OSError, match="another connection has them"):
        Pump(pair.stdin, pair.stdout)
    transport.close()
    await finished(first)
    second = Pump(pair.stdin, pair.stdout)
    transport, protocol = await over(second)
    os.write(pair.into, b"question")
    await protocol.some.wait()
    transport.close()
    await finished(second)


async def test_order(pair: Pair) -> None:
    """What a second connection writes comes after what the first has written."""
    first = Pump(pair.stdin, pair.stdout)
    transport, protocol = await over(first)
    data = os.urandom(2**17)
    transport.write(data)
    transport.close()
    await protocol.lost.wait()
    second = Pump(pair.stdin, pair.stdout)
    transport, _ = await over(second)
    transport.write(b"second")
    transport.write_eof()
    assert await asyncio.to_thread(read_all, pair.out) == data + b"second"
    transport.close()
    await finished(second)


async def test_cancel(pair: Pair) -> None:
    """A pump that is given up before its start gives the pair back, also when another went before."""
    # A number that no other test has used.
    stdin = fcntl.fcntl(pair.stdin, fcntl.F_DUPFD_CLOEXEC, 500)
    first = Pump(stdin, pair.stdout)
    first.cancel()
    second = Pump(stdin, pair.stdout)
    transport, _ = await over(second)
    transport.close()
    await finished(second)
    Pump(stdin, pair.stdout).cancel()
    Pump(stdin, pair.stdout).cancel()
    os.close(stdin)


async def test_given_away(pair: Pair) -> None:
    """A connection whose socket is given away still carries bytes, and ends when that is closed."""
    pump = Pump(pair.stdin, pair.stdout)
    with socket.socket(fileno=pump.start().detach()) as sock:
        sock.send(b"x")
        assert os.read(pair.out, 1) == b"x"
    await finished(pump)


def test_not_open(pair: Pair) -> None:
    """A descriptor that is not open is an error that says which."""
    closed = os.dup(0)
    os.close(closed)
    with pytest.raises(OSError, match="stdin is not open"):
        Pump(closed, pair.stdout)
    with pytest.raises(OSError, match="stdout is not open"):
        Pump(pair.stdin, closed)


# The end of the process


def test_flush(pair: Pair) -> None:
    """At the end of the process everything that was written is on stdout, which stays as it is."""
    pump = Pump(pair.stdin, pair.stdout)
    sock = pump.start()
    sock.send(b"written")
    stdio._flush_all()
    os.write(pair.stdout, b" and printed")
    assert os.read(pair.out, 100) == b"written and printed"
    sock.close()
    finish(pump)
    stdio._flush_all()


def test_flush_without_threads(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pump that was not started has nothing to flush, nor has that of the parent process."""
    pump = Pump(pair.stdin, pair.stdout)
    pump.flush()
    with monkeypatch.context() as patch:
        sock = pump.start()
        patch.setattr(os, "getpid", lambda: 1)
        pump.flush()
        sock.send(b"still")
        assert os.read(pair.out, 100) == b"still"
    sock.close()
    finish(pump)


_PROGRAM = """
import asyncio, sys
from asyncendpoints import connect, listen

async def client():
    done = asyncio.Event()
    class Echo(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport
        def data_received(self, data):
            self.transport.write(data)
        def connection_lost(self, exc):
            done.set()
    await connect("stdio:", Echo)
    await done.wait()

async def server():
    async with listen("stdio:") as server:
        reader, writer = await anext(server)
        writer.write(await reader.read())
        writer.close()
        await writer.wait_closed()

async def lost():
    done = asyncio.get_running_loop().create_future()
    class Lost(asyncio.Protocol):
        def connection_lost(self, exc):
            done.set_result(exc)
    await connect("stdio:", Lost)
    print(type(await done).__name__, file=sys.stderr)

asyncio.run(globals()[sys.argv[1]]())
"""


@pytest.mark.parametrize("role", ["client", "server"])
def test_process(role: str) -> None:
    """A process that echoes its stdin and then exits at once has written all of it."""
    data = os.urandom(2**19)
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, role], input=data, capture_output=True, check=False
    )
    assert done.stderr == b""
    assert done.stdout == data


def test_process_without_reader() -> None:
    """A process whose stdout is closed by its reader hears of it, and prints no traceback."""
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, "lost"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b"ConnectionResetError\n"


# The kinds


@contextmanager
def standard(pair: Pair) -> Iterator[None]:
    """Make a pair the standard input and output of this process."""
    sys.stdout.flush()
    saved = os.dup(0), os.dup(1)
    os.dup2(pair.stdin, 0)
    os.dup2(pair.stdout, 1)
    try:
        yield
    finally:
        for each, before in enumerate(saved):
            os.dup2(before, each)
            os.close(before)


def wait_released() -> None:
    """Wait until the threads of the last connection have ended."""
    pump = Pump(0, 1)
    assert pump._previous is not None
    finish(pump._previous)
    pump.cancel()


def test_texts() -> None:
    """Both kinds take no arguments."""
    assert parse_client("stdio:") == StdioClient()
    assert parse_server("stdio:") == StdioServer()
    assert str(StdioServer()) == str(StdioClient())
    assert parse_server(str(StdioServer())) == StdioServer()


async def test_client(pair: Pair) -> None:
    """A client is connected to the standard descriptors, and a second one is told why not."""
    with standard(pair):
        transport, protocol = await connect("stdio:", Open)
        before = open_descriptors()
        with pytest.raises(ConnectError) as caught:
            await connect("stdio:", Open)
        assert caught.value.problem == ("cannot use stdin and stdout: another connection has them")
        assert open_descriptors() == before
        transport.write(b"hello")
        transport.close()
        await protocol.lost.wait()
        await asyncio.to_thread(wait_released)
    assert os.read(pair.out, 100) == b"hello"


@pytest.mark.parametrize(("stdin", "stdout", "name"), [(None, None, "stdin"), (0, None, "stdout")])
def test_not_open_at_the_start(stdin: object, stdout: object, name: str) -> None:
    """A standard descriptor that the process was started without is not open, whoever has its number."""
    with pytest.raises(OSError, match=f"^.Errno {errno.EBADF}. {name} is not open$"):
        standard_pump(stdin, stdout)


_REFUSED = """
import asyncio, sys
from asyncendpoints import connect, listen

async def refused(start):
    try:
        await start("stdio:", asyncio.Protocol)
    except OSError as error:
        print(type(error).__name__, error.problem, file=sys.stderr)

for each in connect, listen:
    asyncio.run(refused(each))
"""


@pytest.mark.parametrize(("redirection", "name"), [("<&-", "stdin"), (">&-", "stdout")])
def test_process_without(redirection: str, name: str) -> None:
    """A process without stdin or stdout is told so: its loop has the number, and is left alone."""
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-c", _REFUSED],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    problem = f"cannot use stdin and stdout: {name} is not open"
    assert done.stderr == f"ConnectError {problem}\nListenError {problem}\n"


async def test_client_without_descriptors(pair: Pair) -> None:
    """When the process has no descriptor left, that is a connect error, and the pair stays free."""
    with standard(pair):
        with no_descriptors_left(), pytest.raises(ConnectError) as caught:
            await connect("stdio:", Open)
        assert caught.value.problem == "cannot use stdin and stdout: too many open files"
        Pump(0, 1).cancel()


async def test_server(pair: Pair) -> None:
    """A server has one connection, which it counts until it ends."""
    with standard(pair):
        async with listen("stdio:") as server:
            assert str(server.addresses[0]) == "stdio"
            reader, writer = await anext(server)
            os.write(pair.into, b"question")
            assert await reader.readexactly(8) == b"question"
            assert server.stats.active == 1
            writer.write(b"answer")
            writer.close()
            await writer.wait_closed()
            await asyncio.to_thread(wait_released)
        assert server.stats.active == 0
    assert os.read(pair.out, 100) == b"answer"


def test_server_in_use(pair: Pair) -> None:
    """A second server is told that the first has the descriptors; they are free after its close."""
    with standard(pair):
        (first,) = StdioServer().bind()
        with pytest.raises(AddressInUseError) as caught:
            StdioServer().bind()
        assert caught.value.problem == "cannot use stdin and stdout: another connection has them"
        first.close()
        first.close()
        (second,) = StdioServer().bind()
        second.close()


def test_server_without_descriptors(pair: Pair) -> None:
    """When the process has no descriptor left, that is a listen error, and the pair stays free."""
    with standard(pair):
        with no_descriptors_left(), pytest.raises(ListenError) as caught:
            StdioServer().bind()
        assert caught.value.problem == "cannot use stdin and stdout: too many open files"
        StdioServer().bind()[0].close()


def test_listener(pair: Pair) -> None:
    """A listener is readable until its connection is accepted, which a lack of descriptors puts off."""
    pump = Pump(pair.stdin, pair.stdout)
    listener = StdioListener(pump)
    with no_descriptors_left(), pytest.raises(OSError, match="Too many open files"):
        listener.accept()
    assert select.select([listener], [], [], 0)[0]
    connection, peer = listener.accept()
    assert isinstance(connection, Connection)
    assert peer == "stdio"
    assert not select.select([listener], [], [], 0)[0]
    with pytest.raises(BlockingIOError):
        listener.accept()
    listener.close()
    assert listener.fileno() == -1
    connection.close()
    connection.close()
    finish(pump)


def test_a_full_stdout_is_waited_for(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another program made stdout non-blocking, all bytes arrive once its reader reads again."""
    os.set_blocking(pair.stdout, False)
    received = bytearray()
    real = select.poll

    def poll() -> select.poll:
        received.extend(os.read(pair.out, 2**20))  # the reader comes back when it is waited for
        return real()

    monkeypatch.setattr(select, "poll", poll)
    pump = Pump(pair.stdin, pair.stdout)
    data = bytes(range(256)) * 4096
    assert pump._write(data)
    pump.cancel()
    os.set_blocking(pair.out, False)
    assert bytes(received) + os.read(pair.out, 2**20) == data
