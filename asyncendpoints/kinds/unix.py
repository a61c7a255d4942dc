"""Unix sockets: ``unix``, to connect and to listen, by path or by abstract name.

The law of the server: it never removes what it cannot prove dead, and at no instant are the permissions of
its socket wider than they are to be.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import io
import os
import socket
import stat
import struct
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from asyncendpoints import events
from asyncendpoints.addresses import Address
from asyncendpoints.errors import (
    AddressInUseError,
    AttemptFailure,
    ConnectError,
    ConnectRefusedError,
    ListenError,
    SpecError,
)
from asyncendpoints.fields import Backlog, Help, Mode, NonEmpty, Seconds, YesNo
from asyncendpoints.grammar import Name
from asyncendpoints.listeners import ListeningSocket
from asyncendpoints.specs import ClientSpec, ServerSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints.attempt import Attempt
    from asyncendpoints.listeners import Acceptor, Listener

__all__ = [
    "PeerCredentials",
    "UNIXClient",
    "UNIXListener",
    "UNIXServer",
    "kind_of_file",
    "knock",
    "peer_credentials",
]

#: What fits into ``sun_path`` beside its NUL, or beside the NUL in front of an abstract name. unix(7)
_LONGEST_PATH = 107
#: Seconds before a full backlog is tried again, at first and at most.
_FIRST_PAUSE, _LAST_PAUSE = 0.001, 0.1
_CREDENTIALS = struct.Struct("iII")


class SocketPathText(NonEmpty):
    """The path of a socket, or ``@`` and an abstract name; the NUL that systems put there reads as ``@``."""

    def parse(self, text: str) -> str:
        return f"@{text[1:]}" if text.startswith("\0") else text

    def check(self, value: str) -> None:
        super().check(value)
        if value == "@":
            msg = "expected a name after the @"
            raise ValueError(msg)
        if value.isascii():
            return
        try:
            os.fsencode(value)
        except UnicodeEncodeError:
            msg = "it cannot be written as the name of a file"
            raise ValueError(msg) from None


SocketPath = Annotated[str, SocketPathText("the path of a socket or @name, without NUL")]
AccountName = Annotated[str, NonEmpty("a name or a number")]


@dataclass(frozen=True, slots=True)
class PeerCredentials:
    """Who is at the other end of a unix socket, as of its connect or listen."""

    #: The process; 0 if it cannot be seen from here, as from inside a container.
    pid: int
    uid: int
    gid: int


def peer_credentials(transport: asyncio.BaseTransport | asyncio.StreamWriter) -> PeerCredentials:
    """Ask the system who is at the other end of a unix socket.

    Raises:
        ValueError: The transport is not that of a unix socket.
        OSError: It is closed.

    Source: unix(7), ``SO_PEERCRED``.
    """
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family != socket.AF_UNIX:
        msg = "this transport has no unix socket, and only those have peer credentials"
        raise ValueError(msg)
    return _credentials(sock)


def _credentials(sock: Any) -> PeerCredentials:
    packed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return PeerCredentials(*_CREDENTIALS.unpack(packed))


@dataclass(frozen=True, slots=True, repr=False)
class UNIXClient(ClientSpec):
    """A connection to a unix socket.

    A server that has no room is asked again until the time is over. Twisted's ``lockfile`` is taken and
    changes nothing: it asked whether a server is alive, and the system refuses the connection if none is.
    """

    names = (Name("unix", "unix:/run/app.sock"),)

    path: Annotated[SocketPath, Help("path of the socket, or @name for an abstract one", "address")]
    _: KW_ONLY
    timeout: Annotated[Seconds | None, Help("limit of the whole connect, in seconds")] = 30.0
    lockfile: Annotated[YesNo, Help("without effect: a dead socket refuses anyway", "checkPID")] = (
        False
    )

    async def addresses(self, attempt: Attempt) -> list[Address]:
        return [self._address(attempt)]

    def _address(self, attempt: Attempt) -> Address:
        problem = _too_long(self.path)
        if problem:
            raise attempt.error(problem, errno=errno.ENAMETOOLONG)
        return Address(socket.AF_UNIX, _sockaddr(self.path))

    async def open_socket(self, attempt: Attempt) -> socket.socket:
        attempt.stage = "connect"
        address = self._address(attempt)
        try:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            raise self._error(attempt, error) from error
        try:
            refused = await knock(attempt, address, lambda: sock.connect_ex(address.sockaddr))
            if refused is not None:
                raise self._error(attempt, refused) from refused
        except BaseException:
            sock.close()
            raise
        return sock

    def _error(self, attempt: Attempt, error: OSError) -> ConnectError:
        reason = (error.strerror or "").lower()
        cls = ConnectError
        if error.errno == errno.ECONNREFUSED:
            cls = ConnectRefusedError
            reason = _why_refused(self.path)
        elif error.errno == errno.EPROTOTYPE:
            reason = "it is a socket of another type, such as a datagram socket"
        return attempt.error(f"cannot connect to {self.path}: {reason}", cls, error.errno)


def _why_refused(path: str) -> str:
    """Tell what a path is that refused a connection."""
    try:
        other = None if path.startswith("@") else kind_of_file(os.stat(path).st_mode)
    except OSError:
        other = None
    if other in (None, "a socket"):
        return "nobody listens there"
    return f"it is {other}, not a socket"


def kind_of_file(mode: int) -> str:
    """Say in words what the ``st_mode`` of a file means."""
    return _KINDS_OF_FILE.get(stat.S_IFMT(mode), "a special file")


_KINDS_OF_FILE = {
    stat.S_IFSOCK: "a socket",
    stat.S_IFREG: "a regular file",
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


async def knock(attempt: Attempt, address: Address, connect: Callable[[], int]) -> OSError | None:
    """Try one address until it has room, with growing pauses, and tell of each step.

    Args:
        attempt: Gets the failure; its deadline, or a cancel, is what ends the waiting.
        address: What is tried, for the events and the failure.
        connect: Gives an error number: 0 when connected, EAGAIN for a full backlog.

    Returns:
        Why it was refused, or None if it was not.
    """
    loop = asyncio.get_running_loop()
    emit = attempt.emit or _ignore
    started = loop.time()
    emit(events.AttemptStarted(started, address))
    pause = _FIRST_PAUSE
    try:
        while (code := connect()) == errno.EAGAIN:
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LAST_PAUSE)
    except asyncio.CancelledError:
        full = OSError(errno.EAGAIN, "its backlog is full")
        attempt.failures.append(AttemptFailure(address, full, loop.time() - started))
        emit(events.AttemptAbandoned(loop.time(), address))
        raise
    now = loop.time()
    if not code:
        emit(events.Connected(now, address))
        return None
    error = OSError(code, os.strerror(code))
    attempt.failures.append(AttemptFailure(address, error, now - started))
    emit(events.AttemptFailed(now, address, error))
    return error


def _ignore(event: events.Event) -> None:
    """Stands for the hook that there is not."""


@dataclass(frozen=True, slots=True, repr=False)
class UNIXServer(ServerSpec):
    """A listening unix socket.

    An abstract one, ``@name``, has no file, and so no permissions: every user of the machine can connect.
    """

    names = (Name("unix", "unix:/run/app.sock:mode=660"),)

    path: Annotated[SocketPath, Help("path of the socket, or @name for an abstract one", "address")]
    mode: Annotated[Mode, Help("permissions of the socket, in octal digits")] = 0o666
    backlog: Annotated[Backlog, Help("connections that may wait to be accepted")] = 1024
    lockfile: Annotated[YesNo, Help("hold a lock, path.lock, for one server only")] = True
    _: KW_ONLY
    user: Annotated[AccountName | None, Help("owner of the socket, a name or a number")] = None
    group: Annotated[AccountName | None, Help("group of the socket, a name or a number")] = None

    def check(self) -> None:
        if not _is_abstract(self.path):
            return
        for field, default in (("mode", 0o666), ("user", None), ("group", None)):
            if getattr(self, field) != default:
                msg = f"{self.path} is abstract and has no {field}: every local user can connect to it"
                raise SpecError(field, msg)

    def bind(self) -> list[Listener]:
        problem = _too_long(self.path)
        if problem:
            hint = "a shorter path, or one that is relative to the working directory"
            raise ListenError(self, problem, hint, errno.ENAMETOOLONG)
        where = self.path
        try:
            if _is_abstract(where):
                return [_bind_abstract(self)]
            where = _real(where)
            return [_bind_path(self, where)]
        except ListenError:
            raise
        except OSError as error:
            raise _listen_error(self, where, error) from error

    def client(self, address: Address, acceptor: Acceptor) -> ClientSpec | None:  # noqa: ARG002
        if not _too_long(address.host):
            return UNIXClient(address.host)
        # A link can make the given path shorter than the real one, but a relative one is no use to others.
        return UNIXClient(self.path) if os.path.isabs(self.path) else None


def _is_abstract(path: str) -> bool:
    return path.startswith("@")


def _sockaddr(path: str) -> str | bytes:
    """Give a path as the socket module takes it."""
    return b"\0" + os.fsencode(path[1:]) if _is_abstract(path) else path


def _too_long(path: str) -> str:
    """Say that a path does not fit into a socket address, or nothing."""
    what = "name" if _is_abstract(path) else "path"
    size = len(os.fsencode(path.removeprefix("@") if what == "name" else path))
    if size <= _LONGEST_PATH:
        return ""
    return f"the {what} is {size} bytes long, and that of a unix socket is at most {_LONGEST_PATH}"


def _real(path: str) -> str:
    """Give the absolute path of a file, whether it is there or not, with no links in its directory.

    As text, ``..`` behind a link is not where the system goes.

    Raises:
        OSError: There is no such directory.
    """
    directory, name = os.path.split(path)
    return os.path.join(os.path.realpath(directory, strict=True), name)


def _sockaddr_of_file(spec: UNIXServer, path: str) -> str:
    """Give the real path of a socket or, where that is too long for an address, the one that was given."""
    return spec.path if _too_long(path) else path


class UNIXListener(ListeningSocket):
    """A listening unix socket with a path, which goes when the listener is closed.

    The path is removed if it still is this socket's and this is the process that made it: a child that
    inherited the socket leaves it alone.
    """

    #: The real path, once it is this socket's.
    path: str | None = None
    lock: Lock | None = None
    _identity: tuple[int, int] | None = None
    _pid = 0

    def claim(self, path: str) -> None:
        """Remember the file that the socket has just been bound to."""
        self.path = path
        self._identity = _identity(path)
        self._pid = os.getpid()

    def getsockname(self) -> Any:
        """Give the absolute path, which stays right when the process changes its directory."""
        return super().getsockname() if self.path is None else self.path

    def close(self) -> None:
        identity, self._identity = self._identity, None
        if self.path is not None and self._pid == os.getpid():
            # Before the close: an inode number is free for another file after it.
            _unlink(self.path, identity)
        super().close()
        lock, self.lock = self.lock, None
        if lock is not None:
            lock.release()


def _identity(path: str | int) -> tuple[int, int] | None:
    """Tell a file, given by path or descriptor, from all others; None if there is none."""
    try:
        found = os.fstat(path) if isinstance(path, int) else os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _unlink(path: str, identity: tuple[int, int] | None) -> None:
    """Remove a file if it is the one meant, and if a process that gave up its privileges still may."""
    if identity is not None and identity == _identity(path):
        with suppress(OSError):
            os.unlink(path)


class Lock:
    """A lock on a path that ends with its process, whatever ends that. The file goes with the lock.

    Args:
        path: An empty file, made if it is not there.

    Raises:
        BlockingIOError: Another one holds the lock.
        OSError: The file cannot be made, or is not a lock.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._pid = os.getpid()
        self._file = self._open()
        # Its last holder may have removed the file between the open and the lock.
        while _identity(self._file.fileno()) != _identity(path):
            self._file.close()
            self._file = self._open()

    def _open(self) -> io.FileIO:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        file = io.FileIO(os.open(self._path, flags, 0o600), "r+")
        try:
            found = os.fstat(file.fileno())
            if found.st_size or not stat.S_ISREG(found.st_mode):
                raise OSError(errno.EEXIST, "it is there and not an empty file, so it is no lock")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            file.close()
            raise
        return file

    def release(self) -> None:
        """Remove the file and give the lock up; in a child that inherited the lock, leave both."""
        if self._pid == os.getpid():
            _unlink(self._path, _identity(self._file.fileno()))
        self._file.close()


def _bind_abstract(spec: UNIXServer) -> ListeningSocket:
    sock = ListeningSocket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.bind(_sockaddr(spec.path))
        sock.listen(spec.backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind_path(spec: UNIXServer, path: str) -> UNIXListener:
    """Make the socket, its owner and its mode right, and only then let anybody in."""
    user = _number(spec, "user", spec.user, _find_user)
    group = _number(spec, "group", spec.group, _find_group)
    sock = UNIXListener(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        if spec.lockfile:
            sock.lock = _acquire(spec, path)
        _make_way(spec, path)
        # What bind makes has this mode less the umask, so that it is never wider than it is to be.
        os.fchmod(sock.fileno(), spec.mode)
        sock.bind(_sockaddr_of_file(spec, path))
        sock.claim(path)
        _set_permissions(path, user, group, spec.mode)
        sock.listen(spec.backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _set_permissions(path: str, user: int, group: int, mode: int) -> None:
    """Set owner and mode of a socket, and of no other file that comes to stand at its path."""
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        inode = f"/proc/self/fd/{descriptor}"
        if (user, group) != (-1, -1):
            os.chown(inode, user, group)
        os.chmod(inode, mode)
    finally:
        os.close(descriptor)


def _find_user(name: str) -> int:
    import pwd  # few servers need the accounts of the system

    return pwd.getpwnam(name).pw_uid


def _find_group(name: str) -> int:
    import grp  # as above

    return grp.getgrnam(name).gr_gid


def _number(spec: UNIXServer, what: str, name: str | None, find: Callable[[str], int]) -> int:
    """Give the number of a user or a group, or -1 for none."""
    if name is None:
        return -1
    if name.isascii() and name.isdigit() and len(name) <= 10 and int(name) < 2**32 - 1:
        return int(name)
    try:
        return find(name)
    except KeyError:
        raise ListenError(spec, f"this machine has no {what} {name!r}") from None


def _acquire(spec: UNIXServer, path: str) -> Lock:
    """Take the lock of a path."""
    name = f"{path}.lock"
    try:
        return Lock(name)
    except BlockingIOError as error:
        problem = f"cannot listen on {path}: another server holds its lock, {name}"
        raise AddressInUseError(spec, problem, errno=errno.EADDRINUSE) from error
    except OSError as error:
        problem = f"cannot lock {name}: {(error.strerror or '').lower()}"
        if error.errno != errno.ELOOP:
            raise ListenError(spec, problem, "lockfile=no does without", error.errno) from error
        problem = f"cannot lock {name}: it is a symbolic link to {os.readlink(name)!r}"
        hint = "Twisted's lock, naming the process that has the socket; remove it if that has ended"
        raise ListenError(spec, problem, hint, error.errno) from error


def _make_way(spec: UNIXServer, path: str) -> None:
    """Remove the socket of a server that has died, and nothing else."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        problem = f"cannot listen on {path}: there is {kind_of_file(mode)}, which is left alone"
        raise ListenError(spec, problem, errno=errno.EEXIST)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        code = probe.connect_ex(_sockaddr_of_file(spec, path))
        if code == errno.ENOENT:
            return
        if code == errno.ECONNREFUSED:
            with suppress(FileNotFoundError):
                os.unlink(path)
            return
        held = f"held by process {_credentials(probe).pid}"
        asked = f"asked by a connection, the system said: {os.strerror(code).lower()}"
        raise _in_use(spec, path, asked if code else held)


def _in_use(spec: ServerSpec, where: str, hint: str = "") -> AddressInUseError:
    problem = f"cannot listen on {where}: another server has it"
    return AddressInUseError(spec, problem, hint, errno.EADDRINUSE)


def _listen_error(spec: ServerSpec, where: str, error: OSError) -> ListenError:
    if error.errno == errno.EADDRINUSE:
        return _in_use(spec, where)
    reason = (error.strerror or str(error)).lower()
    hint = ""
    directory = os.path.dirname(where)
    if error.errno == errno.ENOENT and not os.path.isdir(directory):
        gone = "the working directory is gone"
        reason = f"there is no directory {directory}" if directory else gone
    elif error.errno == errno.EPERM:
        hint = "only root gives files away; a group can be given by its members"
    return ListenError(spec, f"cannot listen on {where}: {reason}", hint, error.errno)
