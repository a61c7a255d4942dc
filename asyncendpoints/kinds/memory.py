"""Names inside this process: ``memory``.

Connecting makes a socketpair, so that both sides have the loop's own transports. Names are for all threads
of the process: a server in one loop can be reached from another.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections import deque
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Annotated

from asyncendpoints.addresses import Address
from asyncendpoints.errors import AddressInUseError, ConnectRefusedError, ListenError
from asyncendpoints.fields import Backlog, Help, NonEmpty, Seconds
from asyncendpoints.grammar import Name
from asyncendpoints.kinds.unix import knock
from asyncendpoints.listeners import tracked
from asyncendpoints.specs import ClientSpec, ServerSpec

if TYPE_CHECKING:
    from asyncendpoints.attempt import Attempt
    from asyncendpoints.listeners import Acceptor, Connection, Listener

__all__ = ["MemoryClient", "MemoryListener", "MemoryServer"]

MemoryName = Annotated[str, NonEmpty("a name, without NUL")]


@dataclass(frozen=True, slots=True, repr=False)
class MemoryClient(ClientSpec):
    """A connection to a server in this process.

    A server that has no room is asked again until the time is over.
    """

    names = (Name("memory", "memory:app"),)

    name: Annotated[MemoryName, Help("name that the server listens on")]
    _: KW_ONLY
    timeout: Annotated[Seconds | None, Help("limit of the whole connect, in seconds")] = 30.0

    async def open_socket(self, attempt: Attempt) -> socket.socket:
        attempt.stage = "connect"
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            problem = f"cannot connect: {(error.strerror or '').lower()}"
            raise attempt.error(problem, errno=error.errno) from error
        try:
            ours.setblocking(False)
            theirs.setblocking(False)
            refused = await knock(attempt, _address(self.name), lambda: _offer(self.name, theirs))
            if refused is not None:
                problem = f"nobody in this process listens on memory:{self.name}"
                raise attempt.error(problem, ConnectRefusedError, refused.errno) from refused
        except BaseException:
            ours.close()
            theirs.close()
            raise
        return ours


@dataclass(frozen=True, slots=True, repr=False)
class MemoryServer(ServerSpec):
    """A name in this process that is listened on."""

    names = (Name("memory", "memory:app"),)

    name: Annotated[MemoryName, Help("name to listen on")]
    _: KW_ONLY
    backlog: Annotated[Backlog, Help("connections that may wait to be accepted")] = 1024

    def bind(self) -> list[Listener]:
        with _lock:
            if self.name in _listeners:
                problem = (
                    f"cannot listen on memory:{self.name}: another server of this process has it"
                )
                raise AddressInUseError(self, problem, errno=errno.EADDRINUSE)
            try:
                listener = _listeners[self.name] = MemoryListener(self.name, self.backlog)
            except OSError as error:
                problem = f"cannot listen: {(error.strerror or '').lower()}"
                raise ListenError(self, problem, errno=error.errno) from error
        return [listener]

    def client(self, address: Address, acceptor: Acceptor) -> ClientSpec:  # noqa: ARG002
        return MemoryClient(self.name)


def _address(name: str) -> Address:
    return Address(socket.AF_UNIX, f"memory:{name}")


class MemoryListener:
    """The connections that wait at a name, and a descriptor that is readable while there are any."""

    family = socket.AF_UNIX

    def __init__(self, name: str, backlog: int) -> None:
        self._name = name
        self._backlog = backlog
        self._waiting: deque[socket.socket] = deque()
        flags = os.EFD_NONBLOCK | os.EFD_CLOEXEC | os.EFD_SEMAPHORE
        #: Counts the connections that wait; -1 once closed.
        self._doorbell = os.eventfd(0, flags)

    def fileno(self) -> int:
        return self._doorbell

    def getsockname(self) -> str:
        return f"memory:{self._name}"

    def offer(self, sock: socket.socket) -> int:
        """Put a connection where `accept` finds it; the caller holds the lock.

        Returns:
            0, or EAGAIN if as many wait as the backlog allows: one more than its number, as in the system.
        """
        if len(self._waiting) > self._backlog:
            return errno.EAGAIN
        self._waiting.append(sock)
        os.eventfd_write(self._doorbell, 1)
        return 0

    def accept(self) -> tuple[Connection, str]:
        with _lock:
            if not self._waiting:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            os.eventfd_read(self._doorbell)
            return tracked(self._waiting.popleft()), ""

    def close(self) -> None:
        with _lock:
            if self._doorbell == -1:
                return
            del _listeners[self._name]
            os.close(self._doorbell)
            self._doorbell = -1
        for sock in self._waiting:
            sock.close()
        self._waiting.clear()


#: Held for every look at the register and at the queues in it.
_lock = threading.Lock()
_listeners: dict[str, MemoryListener] = {}


def _offer(name: str, sock: socket.socket) -> int:
    """Bring a connection to the listener of a name; gives an error number as ``connect_ex`` does."""
    with _lock:
        listener = _listeners.get(name)
        return errno.ECONNREFUSED if listener is None else listener.offer(sock)
