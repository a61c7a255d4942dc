"""Standard input and output as one connection: ``stdio``.

The loop serves one end of a socketpair, and two threads carry bytes between the other end and the
descriptors, with blocking reads and writes. So every loop and every kind of descriptor will do, a regular
file too, and the law is kept: ``O_NONBLOCK`` is never set on what other processes share, such as a terminal.
"""

from __future__ import annotations

import atexit
import errno
import os
import select
import socket
import stat
import sys
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncendpoints.errors import AddressInUseError, ListenError
from asyncendpoints.grammar import Name
from asyncendpoints.listeners import Connection
from asyncendpoints.specs import ClientSpec, ServerSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints.attempt import Attempt
    from asyncendpoints.listeners import Listener

__all__ = ["Pump", "StdioClient", "StdioListener", "StdioServer", "StdioSocket", "standard_pump"]

#: Bytes that are carried at a time.
_CHUNK = 65536


@dataclass(frozen=True, slots=True, repr=False)
class StdioClient(ClientSpec):
    """Standard input and output of this process, as a connection; one at a time.

    What the connection has sent is written before the process exits. What is still in the buffer of its
    transport when the loop ends is lost, as with every transport of asyncio: close it and wait for its end.
    """

    names = (Name("stdio", "stdio:"),)

    async def open_socket(self, attempt: Attempt) -> socket.socket:
        attempt.stage = "connect"
        try:
            pump = standard_pump(sys.__stdin__, sys.__stdout__)
            try:
                return pump.start()
            except OSError:
                pump.cancel()
                raise
        except OSError as error:
            raise attempt.error(_problem(error), errno=error.errno) from error


@dataclass(frozen=True, slots=True, repr=False)
class StdioServer(ServerSpec):
    """Standard input and output of this process, as the one connection that is accepted.

    What the connection has sent is written before the process exits. What is still in the buffer of its
    transport when the loop ends is lost, as with every transport of asyncio: close it and wait for its end.
    """

    names = (Name("stdio", "stdio:"),)

    def bind(self) -> list[Listener]:
        try:
            return [StdioListener(standard_pump(sys.__stdin__, sys.__stdout__))]
        except OSError as error:
            cls = AddressInUseError if error.errno == errno.EADDRINUSE else ListenError
            raise cls(self, _problem(error), errno=error.errno) from error


def _problem(error: OSError) -> str:
    return f"cannot use stdin and stdout: {(error.strerror or '').lower()}"


class StdioListener:
    """A listener with one connection to give, which waits from the start.

    Args:
        pump: Not started yet.
    """

    family = socket.AF_UNIX

    def __init__(self, pump: Pump) -> None:
        self._pump: Pump | None = pump
        try:
            self._doorbell = os.eventfd(1, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        except OSError:
            pump.cancel()
            raise

    @property
    def is_spent(self) -> bool:
        """Whether the one connection has been given: the server ends with it."""
        return self._pump is None

    def fileno(self) -> int:
        return self._doorbell

    def getsockname(self) -> str:
        return "stdio"

    def accept(self) -> tuple[Connection, str]:
        if self._pump is None:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        connection = self._pump.start()
        self._pump = None
        os.eventfd_read(self._doorbell)
        return connection, "stdio"

    def close(self) -> None:
        pump, self._pump = self._pump, None
        if pump is not None:
            pump.cancel()
        if self._doorbell != -1:
            os.close(self._doorbell)
            self._doorbell = -1


class StdioSocket(Connection):
    """The end of the socketpair that the loop has; it tells the pump when it is over."""

    pump: Pump | None = None

    def close(self) -> None:
        super().close()
        self._release()

    def detach(self) -> int:
        # The way in which uvloop takes a socket from its object, to close it.
        descriptor = super().detach()
        self._release()
        return descriptor

    def _release(self) -> None:
        pump, self.pump = self.pump, None
        if pump is not None:
            pump.release()


class Pump:
    """Two threads between a pair of descriptors and a socket.

    A pair serves one pump at a time, from its making until its connection is closed. The threads of the next
    one wait for those of the last, so that output stays in its order.

    Args:
        stdin: Is read from. Its end is the end of what the connection receives.
        stdout: Is written to. When nobody reads it any more, the connection is reset; when the connection
            ends its output with ``write_eof``, a pipe or a socket is brought to its end.

    Raises:
        OSError: A descriptor is not open, or the pair is in use: EADDRINUSE.
    """

    def __init__(self, stdin: int, stdout: int) -> None:
        self._stdin = stdin
        self._stdout = stdout
        self._pid = os.getpid()
        #: Whether the pair is taken.
        self.is_open = True
        self._is_exiting = False
        #: Held where one thread closes what another one uses.
        self._lock = threading.Lock()
        #: The one that reads and the one that writes, once they run.
        self.threads: tuple[threading.Thread, ...] = ()
        files = _status(stdin, "stdin"), _status(stdout, "stdout")
        # Then the end of its peer is seen, in its order, by reading.
        self._is_one_socket = stat.S_ISSOCK(files[0].st_mode) and os.path.samestat(*files)
        with _register_lock:
            self._previous = _pumps.get((stdin, stdout))
            if self._previous is not None and self._previous.is_open:
                raise OSError(errno.EADDRINUSE, "another connection has them")
            _pumps[stdin, stdout] = self

    def cancel(self) -> None:
        """Give the pair back; for a pump that was not started."""
        with _register_lock:
            del _pumps[self._stdin, self._stdout]
            if self._previous is not None:
                _pumps[self._stdin, self._stdout] = self._previous

    def start(self) -> StdioSocket:
        """Begin to carry bytes, and give the socket that they come from and go to.

        Raises:
            OSError: The system has no descriptors left.
        """
        with ExitStack() as opened:
            end, bridge = (opened.enter_context(each) for each in socket.socketpair())
            self._handle: socket.socket | None = opened.enter_context(end.dup())
            self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            opened.pop_all()
        self._bridge = bridge
        self._bridge.setblocking(False)
        self._handle.setblocking(False)
        end.setblocking(False)
        ours = StdioSocket(end.family, end.type, end.proto, fileno=end.detach())
        ours.pump = self
        before = (None, None) if self._previous is None else self._previous.threads
        self._previous = None
        works = (self._carry_in, self._carry_out)
        self._running = len(works)
        self.threads = tuple(
            threading.Thread(target=self._run, args=each, name="asyncendpoints-stdio", daemon=True)
            for each in zip(works, before, strict=True)
        )
        for thread in self.threads:
            thread.start()
        return ours

    def release(self) -> None:
        """Take note that the connection is closed; what it wrote before still goes out."""
        with self._lock:
            self.is_open = False
            assert self._handle is not None
            self._handle.close()
            self._handle = None

    def flush(self) -> None:
        """Write what the connection has written so far, and stop; for the end of the process."""
        if not self.threads or self._pid != os.getpid():
            return
        with self._lock:
            self._is_exiting = True
            with suppress(OSError):  # closed, as everything has been written
                self._bridge.shutdown(socket.SHUT_RD)
        self.threads[1].join()

    def _run(self, work: Callable[[], None], before: threading.Thread | None) -> None:
        """Do what one thread does, and after both are done close what they used."""
        if before is not None:
            before.join()
        work()
        with self._lock:
            self._running -= 1
            if not self._running:
                self._bridge.close()
                os.close(self._wake)

    def _carry_in(self) -> None:
        """Read stdin and bring it to the connection, until either has ended."""
        waiting = select.poll()
        waiting.register(self._wake, select.POLLIN)
        waiting.register(self._bridge, 0)
        waiting.register(self._stdin, select.POLLIN)
        # Nothing is read once the connection has ended: the next reader of stdin is to find it.
        while [each for each, _ in waiting.poll()] == [self._stdin]:
            try:
                data = self.read()
            except BlockingIOError:
                continue  # somebody else has set O_NONBLOCK, and somebody has read it first
            except OSError:
                data = b""
            if not data:
                # A loop does not watch a connection that has received all: a reset is to come first.
                if not self._is_broken():
                    self._bridge.shutdown(socket.SHUT_WR)
                return
            if not self._send(data):
                return

    def read(self) -> bytes:
        """Read what there is on stdin, which can be nothing any more if others read it too."""
        return os.read(self._stdin, _CHUNK)

    def _send(self, data: bytes) -> bool:
        """Bring bytes to the connection; False if it has ended."""
        waiting = select.poll()
        waiting.register(self._wake, select.POLLIN)
        waiting.register(self._bridge, select.POLLOUT)
        rest = memoryview(data)
        while rest:
            if self._wake in dict(waiting.poll()):
                return False
            try:
                with suppress(BlockingIOError):
                    rest = rest[self._bridge.send(rest) :]
            except OSError:
                return False
        return True

    def _is_broken(self) -> bool:
        """Tell whether stdout has lost its reader, as a terminal that was hung up."""
        waiting = select.poll()
        waiting.register(self._stdout, 0)
        return not self._is_one_socket and bool(waiting.poll(0))

    def _carry_out(self) -> None:
        """Write what the connection writes to stdout, until either has ended."""
        waiting = select.poll()
        waiting.register(self._bridge, select.POLLIN)
        if not self._is_one_socket:
            waiting.register(self._stdout, 0)
        while self._stdout not in dict(waiting.poll()):
            try:
                data = self._bridge.recv(_CHUNK)
            except OSError:
                data = b""  # the connection was closed with input unread
            if not data:
                # After a close stdout stays as it is, for whoever prints next.
                if self.is_open and not self._is_exiting:
                    with suppress(OSError):  # gone already
                        _end_output(self._stdout)
                return
            if not self._write(data):
                break
        self._reset()

    def _write(self, data: bytes) -> bool:
        """Write bytes to stdout; False if that is not possible any more."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._stdout, rest) :]
            except BlockingIOError:
                waiting = select.poll()
                waiting.register(self._stdout, select.POLLOUT)
                waiting.poll()
            except OSError:
                return False
        return True

    def _reset(self) -> None:
        """End the connection with an error: a unix socket is reset when its peer closes with input unread."""
        with self._lock:
            if self._handle is not None:
                with suppress(OSError):  # full, or at its end
                    self._handle.send(b"\0")
        os.eventfd_write(self._wake, 1)


def standard_pump(stdin: object, stdout: object) -> Pump:
    """Make a pump for descriptors 0 and 1.

    Args:
        stdin: What the interpreter made of descriptor 0 at its start; None if that was not open, and its
            number may be that of any file by now, such as one of the loop.
        stdout: The same of descriptor 1.

    Raises:
        OSError: As for the pump.
    """
    for name, file in (("stdin", stdin), ("stdout", stdout)):
        if file is None:
            raise OSError(errno.EBADF, f"{name} is not open")
    return Pump(0, 1)


_register_lock = threading.Lock()
#: The last pump of each pair of descriptors.
_pumps: dict[tuple[int, int], Pump] = {}


@atexit.register
def _flush_all() -> None:
    for pump in list(_pumps.values()):
        pump.flush()


def _end_output(descriptor: int) -> None:
    """Let the reader of a pipe or a socket see the end; other files have no reader who waits for it."""
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(mode):
        with socket.socket(fileno=os.dup(descriptor)) as sock:
            sock.shutdown(socket.SHUT_WR)
    elif stat.S_ISFIFO(mode):
        # The number stays taken: a file that got it next would receive what others print.
        null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(null, descriptor, inheritable=os.get_inheritable(descriptor))
        os.close(null)


def _status(descriptor: int, name: str) -> os.stat_result:
    try:
        return os.fstat(descriptor)
    except OSError as error:
        raise OSError(error.errno, f"{name} is not open") from None
