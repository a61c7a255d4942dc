"""Unix sockets, by path and by abstract name."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import socket
import stat
import struct
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from asyncendpoints import events
from asyncendpoints.addresses import Address
from asyncendpoints.connecting import connect
from asyncendpoints.errors import (
    AddressInUseError,
    ConnectError,
    ConnectRefusedError,
    ConnectTimeoutError,
    DescriptionError,
    ListenError,
    SpecError,
)
from asyncendpoints.kinds.unix import (
    PeerCredentials,
    UNIXClient,
    UNIXServer,
    kind_of_file,
    peer_credentials,
)
from asyncendpoints.listeners import Connection, PlainAcceptor
from asyncendpoints.listening import listen
from asyncendpoints.specs import parse_client, parse_server
from tests.clock import run
from tests.support import Recorder, no_descriptors_left, open_descriptors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from asyncendpoints.listeners import Listener


def bind(spec: UNIXServer) -> Listener:
    """Open the one listener of a unix server."""
    (listener,) = spec.bind()
    return listener


def mode_of(path: str | Path) -> int:
    """Give the permissions of a file."""
    return stat.S_IMODE(os.lstat(path).st_mode)


def is_there(path: str) -> bool:
    """Tell whether there is a file of any kind."""
    return os.path.lexists(path)


def stale_socket(path: str) -> None:
    """Leave behind what a server leaves that was killed."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where a socket can be made."""
    return str(tmp_path / "s")


class Event(NamedTuple):
    """One audit event, and the state of the socket just before what it announces."""

    name: str
    mode: int
    umask: str
    is_refused: bool


class Hook:
    """The one audit hook of these tests, because hooks are for ever."""

    #: Lets coverage see what is called from here.
    __cantrace__ = True

    def __init__(self) -> None:
        self.handler: Callable[[str, tuple[Any, ...]], None] | None = None
        sys.addaudithook(self)

    def __call__(self, name: str, args: tuple[Any, ...]) -> None:
        # What a handler does itself is not told to it.
        handler, self.handler = self.handler, None
        if handler is not None:
            try:
                handler(name, args)
            finally:
                self.handler = handler


_hook = Hook()


@pytest.fixture
def hook() -> Iterator[Hook]:
    """Give the audit hook, whose handler is that of one test."""
    yield _hook
    _hook.handler = None


def watch(path: str, seen: list[Event]) -> Callable[[str, tuple[Any, ...]], None]:
    """Make a handler that writes down the state of a socket before its owner or mode is set."""

    def handle(name: str, args: tuple[Any, ...]) -> None:
        # An fchmod is that of a socket that has no path yet.
        if name not in ("os.chown", "os.chmod") or isinstance(args[0], int):
            return
        with open("/proc/self/status", encoding="ascii") as status:
            umask = next(line.split()[1] for line in status if line.startswith("Umask:"))
        with socket.socket(socket.AF_UNIX) as probe:
            code = probe.connect_ex(path)
        seen.append(Event(name, mode_of(path), umask, code == errno.ECONNREFUSED))

    return handle


@pytest.fixture
def umask() -> Iterator[Callable[[int], None]]:
    """Set the umask for one test."""
    before = os.umask(0)
    os.umask(before)

    def change(mask: int) -> None:
        os.umask(mask)

    yield change
    os.umask(before)


# Descriptions


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("unix:/run/a", UNIXServer("/run/a")),
        ("unix:address=/run/a", UNIXServer("/run/a")),
        ("unix:/run/a:660:50:0", UNIXServer("/run/a", 0o660, 50, lockfile=False)),
        ("unix:/run/a:mode=0o660:lockfile=1", UNIXServer("/run/a", 0o660)),
        ("unix:/run/a:user=www:group=0", UNIXServer("/run/a", user="www", group="0")),
        ("unix:\0name:lockfile=0", UNIXServer("@name", lockfile=False)),
        (r"unix:/a\:b\=c\\d", UNIXServer(r"/a:b=c\d")),
    ],
)
def test_server_text(text: str, spec: UNIXServer) -> None:
    """Twisted's spellings and positions are read, and the canonical text gives the same spec."""
    assert parse_server(text) == spec
    assert parse_server(str(spec)) == spec


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("unix:/run/a", UNIXClient("/run/a")),
        ("unix:address=/run/a:timeout=2", UNIXClient("/run/a", timeout=2.0)),
        ("unix:path=/run/a:lockfile=1", UNIXClient("/run/a", lockfile=True)),
        ("unix:\0name", UNIXClient("@name")),
    ],
)
def test_client_text(text: str, spec: UNIXClient) -> None:
    """Twisted's spellings are read, and the canonical text gives the same spec."""
    assert parse_client(text) == spec
    assert parse_client(str(spec)) == spec


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("unix:@", "path is '@', expected a name after the @"),
        ("unix:a\0b", r"path is 'a\x00b', expected the path of a socket or @name, without NUL"),
        ("unix:\ud800", r"path is '\ud800', it cannot be written as the name of a file"),
        ("unix:@a:mode=600", "@a is abstract and has no mode: every local user can connect to it"),
        ("unix:@a:user=root", "@a is abstract and has no user: every local user can connect to it"),
        ("unix:@a:group=a", "@a is abstract and has no group: every local user can connect to it"),
    ],
)
def test_wrong_server_text(text: str, problem: str) -> None:
    """What no unix server can be is refused when it is read."""
    with pytest.raises(DescriptionError) as caught:
        parse_server(text)
    assert caught.value.problem == problem


def test_nul_in_python() -> None:
    """The NUL of an abstract name is written @ in a spec, so that each has one text."""
    with pytest.raises(SpecError):
        UNIXClient("\0name")


# Listening and connecting


async def test_round_trip(path: str) -> None:
    """Bytes go both ways between a server on a path and the client that it names itself."""
    here = Recorder()
    async with listen(f"unix:{path}", lambda: here) as server:
        (client,) = server.client_endpoints
        transport, there = await connect(client, Recorder)
        await here.made.wait()
        assert here.transport is not None
        here.transport.write(b"welcome")
        here.transport.close()
        await there.lost.wait()
        assert there.received == b"welcome"
        assert str(client) == f"unix:{path}"
        transport.close()
    assert not is_there(path)


async def test_abstract_round_trip() -> None:
    """An abstract name is reached by the client that the server names; there is no file of that name."""
    name = f"@asyncendpoints-{os.getpid()}-é"
    here = Recorder()
    async with listen(UNIXServer(name), lambda: here) as server:
        (client,) = server.client_endpoints
        transport, _ = await connect(client, Recorder)
        await here.made.wait()
        transport.close()
    assert client == UNIXClient(name)
    assert not is_there(name)


def test_abstract_in_use() -> None:
    """An abstract name that is taken is an error that says so, and costs no descriptor."""
    spec = UNIXServer(f"@asyncendpoints-{os.getpid()}")
    listener = bind(spec)
    before = open_descriptors()
    with pytest.raises(AddressInUseError) as caught:
        spec.bind()
    assert caught.value.errno == errno.EADDRINUSE
    assert caught.value.problem == f"cannot listen on {spec.path}: another server has it"
    assert open_descriptors() == before
    listener.close()


def test_abstract_needs_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An abstract name leaves no lock file."""
    monkeypatch.chdir(tmp_path)
    listener = bind(UNIXServer(f"@asyncendpoints-{os.getpid()}"))
    assert list(tmp_path.iterdir()) == []
    listener.close()


def test_accepted_sockets(path: str) -> None:
    """The listener does not block, is not inherited, and its connections report their end."""
    listener = bind(UNIXServer(path))
    assert isinstance(listener, socket.socket)
    assert not listener.getblocking()
    assert not listener.get_inheritable()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        sock, _ = listener.accept()
        assert isinstance(sock, Connection)
        sock.close()
    listener.close()


def test_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path is removed, and named to clients, rightly also after a change of directory."""
    monkeypatch.chdir(tmp_path)
    spec = UNIXServer("s")
    listener = bind(spec)
    monkeypatch.chdir("/")
    address = Address.of(listener)
    assert spec.client(address, PlainAcceptor()) == UNIXClient(str(tmp_path / "s"))
    listener.close()
    assert list(tmp_path.iterdir()) == []


def test_clients_of_a_long_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path whose absolute one does not fit works, and has no client that others could use."""
    folder = tmp_path / ("d" * 107)
    folder.mkdir()
    monkeypatch.chdir(folder)
    spec = UNIXServer("s")
    stale_socket("s")
    listener = bind(spec)
    assert spec.client(Address.of(listener), PlainAcceptor()) is None
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("s")
    listener.close()
    assert list(folder.iterdir()) == []


def test_clients_through_a_link(tmp_path: Path) -> None:
    """An absolute path that fits only because of a symbolic link in it is named to clients as it is."""
    folder = tmp_path / ("d" * 107)
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    spec = UNIXServer(f"{tmp_path}/link/s")
    listener = bind(spec)
    assert spec.client(Address.of(listener), PlainAcceptor()) == UNIXClient(spec.path)
    listener.close()
    assert list(folder.iterdir()) == []


async def test_name_of_other_letters(tmp_path: Path) -> None:
    """A path whose bytes are no UTF-8 is listened on, connected to and removed."""
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe")
    async with listen(UNIXServer(path), Recorder) as server:
        transport, _ = await connect(server.client_endpoints[0], Recorder)
        transport.close()
        assert b"\xff\xfe" in os.listdir(os.fsencode(tmp_path))
    assert os.listdir(tmp_path) == []


# Permissions


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o000])
@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_mode(path: str, hook: Hook, umask: Callable[[int], None], mask: int, mode: int) -> None:
    """The mode is exact, never wider before, nobody gets in before, and the umask is what it was."""
    umask(mask)
    seen: list[Event] = []
    hook.handler = watch(path, seen)
    listener = bind(UNIXServer(path, mode))
    assert mode_of(path) == mode
    assert seen == [Event("os.chmod", mode & ~mask, f"{mask:04o}", is_refused=True)]
    listener.close()


def test_owner_before_mode(path: str, hook: Hook) -> None:
    """The owner is set, by number, before the mode is widened to what is wanted."""
    seen: list[Event] = []
    hook.handler = watch(path, seen)
    listener = bind(UNIXServer(path, 0o660, user=str(os.getuid()), group=str(os.getgid())))
    assert [each.name for each in seen] == ["os.chown", "os.chmod"]
    listener.close()


def test_group_by_name(path: str) -> None:
    """User and group can be given by name."""
    import grp
    import pwd

    user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    listener = bind(UNIXServer(path, user=user, group=group))
    found = os.lstat(path)
    assert (found.st_uid, found.st_gid) == (os.getuid(), os.getgid())
    listener.close()


@pytest.mark.parametrize("name", ["no-such", "4294967295", "99999999999", "²"])
@pytest.mark.parametrize("field", ["user", "group"])
def test_unknown_account(path: str, field: str, name: str) -> None:
    """A user or group that is not there is an error, and nothing has been made."""
    spec = UNIXServer(path, **{field: name})  # type: ignore[arg-type]  # mypy cannot know the field
    with pytest.raises(ListenError) as caught:
        spec.bind()
    assert caught.value.problem == f"this machine has no {field} {name!r}"
    assert os.listdir(os.path.dirname(path)) == []


_DROPPED = """
import os, sys
from asyncendpoints.errors import ListenError
from asyncendpoints.kinds.unix import UNIXServer
if os.geteuid() == 0:
    os.setgroups([])
    os.setegid(65534)
    os.seteuid(65534)
before = len(os.listdir("/proc/self/fd"))
try:
    UNIXServer(sys.argv[1] + "/s", user="0").bind()
except ListenError as error:
    print(error.problem, "|", error.hint)
print(os.listdir(sys.argv[1]), len(os.listdir("/proc/self/fd")) - before)
"""


def test_failed_owner(tmp_path: Path) -> None:
    """When the owner cannot be set, socket, lock and descriptors are gone again."""
    for each in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        each.chmod(0o777)
    done = subprocess.run(
        [sys.executable, "-c", _DROPPED, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout == (
        f"cannot listen on {tmp_path}/s: operation not permitted"
        " | only root gives files away; a group can be given by its members\n[] 0\n"
    )


# What is at the path already


def test_stale_socket(path: str) -> None:
    """The socket of a server that has died is replaced."""
    stale_socket(path)
    listener = bind(UNIXServer(path))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    listener.close()
    assert os.listdir(os.path.dirname(path)) == []


@pytest.mark.parametrize("lockfile", [True, False])
def test_live_server(path: str, *, lockfile: bool) -> None:
    """A server that lives keeps its path and goes on, and the one who wanted it is told."""
    first = bind(UNIXServer(path, lockfile=lockfile))
    before = open_descriptors()
    with pytest.raises(AddressInUseError) as caught:
        UNIXServer(path, lockfile=lockfile).bind()
    assert caught.value.errno == errno.EADDRINUSE
    assert open_descriptors() == before
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    first.close()


def test_live_server_is_named(path: str) -> None:
    """The error says which process has the path."""
    first = bind(UNIXServer(path, lockfile=False))
    with pytest.raises(AddressInUseError) as caught:
        UNIXServer(path).bind()
    assert caught.value.problem == f"cannot listen on {path}: another server has it"
    assert caught.value.hint == f"held by process {os.getpid()}"
    assert os.listdir(os.path.dirname(path)) == ["s"]
    first.close()


def test_live_server_of_another_type(path: str) -> None:
    """A datagram socket that is in use keeps its path too."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(path)
        with pytest.raises(AddressInUseError) as caught:
            UNIXServer(path).bind()
        assert caught.value.hint == (
            "asked by a connection, the system said: protocol wrong type for socket"
        )
        assert os.path.lexists(path)


@pytest.fixture
def crossing(tmp_path: Path) -> str:
    """Give a path that the system takes for ``y/s``, and a reader of the text alone for ``x/s``."""
    (tmp_path / "x").mkdir()
    (tmp_path / "y" / "deep").mkdir(parents=True)
    (tmp_path / "x" / "link").symlink_to(tmp_path / "y" / "deep")
    return f"{tmp_path}/x/link/../s"


@pytest.mark.parametrize("lockfile", [True, False])
def test_live_server_across_a_link(tmp_path: Path, crossing: str, *, lockfile: bool) -> None:
    """Behind a symbolic link ``..`` is what the system says: a server that seems to be there is let be."""
    live = bind(UNIXServer(f"{tmp_path}/x/s", lockfile=lockfile))
    listener = bind(UNIXServer(crossing, 0o600, lockfile=lockfile))
    assert listener.getsockname() == f"{tmp_path}/y/s"
    assert mode_of(tmp_path / "y" / "s") == 0o600
    assert is_there(f"{tmp_path}/y/s.lock") == lockfile
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{tmp_path}/x/s")
    listener.close()
    assert os.listdir(tmp_path / "y") == ["deep"]
    live.close()
    assert os.listdir(tmp_path / "x") == ["link"]


def test_stale_socket_across_a_link(tmp_path: Path, crossing: str) -> None:
    """Behind a symbolic link the dead socket that the system finds is replaced, not one that seems to be."""
    stale_socket(f"{tmp_path}/x/s")
    stale_socket(f"{tmp_path}/y/s")
    listener = bind(UNIXServer(crossing))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{tmp_path}/y/s")
    listener.close()
    assert os.listdir(tmp_path / "y") == ["deep"]
    assert is_there(f"{tmp_path}/x/s")


def make_file(path: str) -> None:
    """Make an empty file."""
    with open(path, "x", encoding="ascii"):
        pass


def make_link(path: str) -> None:
    """Make a link that leads nowhere."""
    os.symlink("elsewhere", path)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (make_file, "a regular file"),
        (make_link, "a symbolic link"),
        (os.mkdir, "a directory"),
        (os.mkfifo, "a pipe"),
    ],
)
def test_other_files(path: str, make: Callable[[str], None], what: str) -> None:
    """A file that is no socket is never deleted."""
    make(path)
    before = os.lstat(path)
    with pytest.raises(ListenError) as caught:
        UNIXServer(path).bind()
    assert caught.value.problem == f"cannot listen on {path}: there is {what}, which is left alone"
    assert os.path.samestat(os.lstat(path), before)
    assert os.listdir(os.path.dirname(path)) == ["s"]


@pytest.mark.parametrize(
    ("mode", "text"), [(stat.S_IFBLK, "a block device"), (0, "a special file")]
)
def test_kind_of_file(mode: int, text: str) -> None:
    """Every kind of file has words."""
    assert kind_of_file(mode) == text


def test_made_meanwhile(path: str, hook: Hook) -> None:
    """A path that is taken between the look at it and the bind is in use."""
    with socket.socket(socket.AF_UNIX) as racer:

        def race(name: str, args: tuple[Any, ...]) -> None:
            if name == "socket.bind":
                racer.bind(path)

        hook.handler = race
        with pytest.raises(AddressInUseError) as caught:
            UNIXServer(path).bind()
        assert caught.value.problem == f"cannot listen on {path}: another server has it"
        assert os.listdir(os.path.dirname(path)) == ["s"]


def test_gone_meanwhile(path: str, hook: Hook) -> None:
    """A stale socket that goes between the look at it and the bind does not matter."""
    stale_socket(path)

    def remove(name: str, args: tuple[Any, ...]) -> None:
        if name == "socket.connect":
            os.unlink(path)

    hook.handler = remove
    bind(UNIXServer(path)).close()


def test_nothing_to_remove(path: str, hook: Hook) -> None:
    """A path that is gone when it is asked is not removed: what comes there next is somebody else's."""
    stale_socket(path)
    seen: list[str] = []

    def remove(name: str, args: tuple[Any, ...]) -> None:
        seen.append(name)
        if name == "socket.connect":
            os.unlink(path)

    hook.handler = remove
    listener = bind(UNIXServer(path, lockfile=False))
    assert "socket.connect" in seen
    assert "os.remove" not in seen
    listener.close()


def raise_at_chmod(error: BaseException) -> Callable[[str, tuple[Any, ...]], None]:
    """Make a handler that raises when the mode of a path is set."""

    def handle(name: str, args: tuple[Any, ...]) -> None:
        if name == "os.chmod" and not isinstance(args[0], int):
            raise error

    return handle


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            PermissionError(errno.EPERM, "Operation not permitted"),
            "operation not permitted (only root gives files away; a group can be given by its members)",
        ),
        (OSError(errno.EROFS, "Read-only file system"), "read-only file system"),
        (FileNotFoundError(errno.ENOENT, "No such file"), "no such file"),
        (OSError("odd"), "odd"),
    ],
)
def test_refused(path: str, hook: Hook, error: OSError, text: str) -> None:
    """Whatever the system refuses is an error with its reason, and leaves nothing behind."""
    before = open_descriptors()
    hook.handler = raise_at_chmod(error)
    with pytest.raises(ListenError) as caught:
        UNIXServer(path).bind()
    assert str(caught.value) == f"unix:{path}: cannot listen on {path}: {text}"
    assert caught.value.__cause__ is error
    assert os.listdir(os.path.dirname(path)) == []
    assert open_descriptors() == before


def test_interrupted(path: str, hook: Hook) -> None:
    """What is no error of the system goes out as it is, and leaves nothing behind."""
    before = open_descriptors()
    hook.handler = raise_at_chmod(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        UNIXServer(path).bind()
    assert os.listdir(os.path.dirname(path)) == []
    assert open_descriptors() == before


# The lock


def test_lock_is_exclusive(path: str) -> None:
    """While somebody holds the lock, nobody starts, even if there is no socket yet."""
    with open(f"{path}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(AddressInUseError) as caught:
            UNIXServer(path).bind()
    problem = f"cannot listen on {path}: another server holds its lock, {path}.lock"
    assert caught.value.problem == problem


def test_lock_of_a_server(path: str) -> None:
    """A server holds its lock though somebody has removed its socket."""
    first = bind(UNIXServer(path))
    os.unlink(path)
    with pytest.raises(AddressInUseError):
        UNIXServer(path).bind()
    first.close()


def test_lock_of_the_dead(path: str) -> None:
    """A lock file that nobody holds is taken over, and goes at the end."""
    make_file(f"{path}.lock")
    bind(UNIXServer(path)).close()
    assert os.listdir(os.path.dirname(path)) == []


def test_lock_of_twisted(path: str) -> None:
    """The symbolic link that Twisted locks with is named for what it is, and stays."""
    os.symlink("4711", f"{path}.lock")
    with pytest.raises(ListenError) as caught:
        UNIXServer(path).bind()
    assert caught.value.problem == f"cannot lock {path}.lock: it is a symbolic link to '4711'"
    assert caught.value.hint.startswith("Twisted's lock")
    assert os.path.islink(f"{path}.lock")


def test_no_lock(path: str) -> None:
    """Without the lock there is no file for it, and a link there does not matter."""
    os.symlink("4711", f"{path}.lock")
    bind(UNIXServer(path, lockfile=False)).close()
    assert os.path.islink(f"{path}.lock")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_lock_that_is_none(path: str, make: Callable[[str], None]) -> None:
    """What stands at the place of the lock and is none is not deleted."""
    make(f"{path}.lock")
    with pytest.raises(ListenError) as caught:
        UNIXServer(path).bind()
    assert caught.value.problem.startswith(f"cannot lock {path}.lock: ")
    assert caught.value.hint == "lockfile=no does without"
    assert os.listdir(os.path.dirname(path)) == ["s.lock"]


def test_lock_with_contents(path: str) -> None:
    """A file that has contents is no lock, and keeps them."""
    with open(f"{path}.lock", "w", encoding="ascii") as file:
        file.write("mine")
    with pytest.raises(ListenError) as caught:
        UNIXServer(path).bind()
    assert caught.value.problem == (
        f"cannot lock {path}.lock: it is there and not an empty file, so it is no lock"
    )
    with open(f"{path}.lock", encoding="ascii") as file:
        assert file.read() == "mine"


def test_lock_removed_meanwhile(path: str, hook: Hook) -> None:
    """A lock on a file that its last holder has removed meanwhile is no lock: another one is taken."""
    removed: list[str] = []

    def remove(name: str, args: tuple[Any, ...]) -> None:
        if name == "fcntl.flock" and not removed:
            removed.append(f"{path}.lock")
            os.unlink(f"{path}.lock")

    hook.handler = remove
    listener = bind(UNIXServer(path))
    assert removed
    assert sorted(os.listdir(os.path.dirname(path))) == ["s", "s.lock"]
    with pytest.raises(AddressInUseError):
        UNIXServer(path).bind()
    listener.close()


_KILLED = """
import os, signal, sys
from asyncendpoints.kinds.unix import UNIXServer
listener = UNIXServer(sys.argv[1]).bind()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_server(path: str) -> None:
    """What a server leaves that was killed does not keep the next one from starting."""
    subprocess.run([sys.executable, "-c", _KILLED, path], check=False)
    assert sorted(os.listdir(os.path.dirname(path))) == ["s", "s.lock"]
    bind(UNIXServer(path)).close()
    assert os.listdir(os.path.dirname(path)) == []


# Closing


def test_close_twice(path: str) -> None:
    """The second close does nothing, not even to a server that came after the first."""
    first = bind(UNIXServer(path))
    first.close()
    second = bind(UNIXServer(path))
    first.close()
    assert sorted(os.listdir(os.path.dirname(path))) == ["s", "s.lock"]
    second.close()


def test_replaced_socket(path: str) -> None:
    """A socket that another server put in the place of this one stays."""
    first = bind(UNIXServer(path))
    os.unlink(path)
    second = bind(UNIXServer(path, lockfile=False))
    first.close()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    second.close()
    assert os.listdir(os.path.dirname(path)) == []


def test_removed_socket(path: str) -> None:
    """A socket that is gone already is no error at the close."""
    listener = bind(UNIXServer(path))
    os.unlink(path)
    listener.close()
    assert os.listdir(os.path.dirname(path)) == []


_FORKED = """
import os, sys
from asyncendpoints.kinds.unix import UNIXServer
(listener,) = UNIXServer(sys.argv[1] + "/s").bind()
child = os.fork()
if not child:
    listener.close()
    os._exit(0)
os.waitpid(child, 0)
print(sorted(os.listdir(sys.argv[1])))
listener.close()
print(os.listdir(sys.argv[1]))
"""


def test_child(tmp_path: Path) -> None:
    """A child that inherited the listener and closes it leaves the socket and the lock alone."""
    done = subprocess.run(
        [sys.executable, "-c", _FORKED, tmp_path], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("['s', 's.lock']\n[]\n", "")


def test_other_process(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In another process than the one that made it, a close is only that of the descriptors."""
    before = open_descriptors()
    listener = bind(UNIXServer(path))
    monkeypatch.setattr(os, "getpid", lambda: 1)
    listener.close()
    assert sorted(os.listdir(os.path.dirname(path))) == ["s", "s.lock"]
    assert open_descriptors() == before


def test_duplicate(path: str) -> None:
    """A duplicate of the listener is only a socket: its close removes nothing."""
    listener = bind(UNIXServer(path))
    assert isinstance(listener, socket.socket)
    listener.dup().close()
    assert os.path.lexists(path)
    listener.close()


# Errors of listening


def test_long_path() -> None:
    """A path that does not fit is an error that says how long it is and may be."""
    with pytest.raises(ListenError) as caught:
        UNIXServer("/tmp/" + "é" * 60).bind()
    assert caught.value.problem == (
        "the path is 125 bytes long, and that of a unix socket is at most 107"
    )
    assert caught.value.errno == errno.ENAMETOOLONG


def test_longest_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """107 bytes fit, for a path and for an abstract name; a relative path counts as it is written."""
    monkeypatch.chdir(tmp_path)
    bind(UNIXServer("a" * 107)).close()
    bind(UNIXServer("@" + "a" * 107)).close()
    with pytest.raises(ListenError):
        UNIXServer("@" + "a" * 108).bind()


@pytest.mark.parametrize("lockfile", [True, False])
def test_missing_directory(tmp_path: Path, *, lockfile: bool) -> None:
    """A directory that is not there is named."""
    with pytest.raises(ListenError) as caught:
        UNIXServer(f"{tmp_path}/no/s", lockfile=lockfile).bind()
    problem = f"cannot listen on {tmp_path}/no/s: there is no directory {tmp_path}/no"
    assert caught.value.problem == problem
    assert caught.value.errno == errno.ENOENT


def test_missing_directory_across(tmp_path: Path) -> None:
    """A directory that is not there is not taken out of the path with the ``..`` that follows it."""
    path = f"{tmp_path}/no/../s"
    with pytest.raises(ListenError) as caught:
        UNIXServer(path).bind()
    assert (
        caught.value.problem == f"cannot listen on {path}: there is no directory {tmp_path}/no/.."
    )
    assert os.listdir(tmp_path) == []


def test_removed_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path in a working directory that has been removed is an error of listening."""
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    with pytest.raises(ListenError) as caught:
        UNIXServer("s").bind()
    assert caught.value.problem == "cannot listen on s: the working directory is gone"


@pytest.mark.parametrize("name", ["@asyncendpoints-none", "s"])
def test_listen_without_descriptors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """When the process has no descriptor left, that is a listen error, and leaves nothing behind."""
    monkeypatch.chdir(tmp_path)
    spec = UNIXServer(name)
    with no_descriptors_left(), pytest.raises(ListenError) as caught:
        spec.bind()
    assert caught.value.problem.endswith(f"{name}: too many open files")
    assert caught.value.errno == errno.EMFILE
    assert os.listdir(tmp_path) == []
    bind(spec).close()


# Errors of connecting


async def refusal(spec: UNIXClient) -> ConnectError:
    """Give the error of a connect, and see that it left no descriptor."""
    before = open_descriptors()
    with pytest.raises(ConnectError) as caught:
        await connect(spec, Recorder)
    assert open_descriptors() == before
    return caught.value


async def test_no_such_file(path: str) -> None:
    """A path that is not there is named."""
    error = await refusal(UNIXClient(path))
    assert error.problem == f"cannot connect to {path}: no such file or directory"
    assert error.errno == errno.ENOENT
    assert [each.address.host for each in error.attempts] == [path]
    assert isinstance(error.__cause__, FileNotFoundError)


async def test_nobody_listens(path: str) -> None:
    """A socket that nobody listens on refuses."""
    stale_socket(path)
    error = await refusal(UNIXClient(path))
    assert isinstance(error, ConnectRefusedError)
    assert error.problem == f"cannot connect to {path}: nobody listens there"


async def test_nobody_listens_abstract() -> None:
    """An abstract name that nobody listens on refuses."""
    error = await refusal(UNIXClient("@asyncendpoints-nobody"))
    assert isinstance(error, ConnectRefusedError)
    assert error.problem == "cannot connect to @asyncendpoints-nobody: nobody listens there"


async def test_connect_to_a_file(path: str) -> None:
    """A path that is no socket refuses, and the error says what it is."""
    make_file(path)
    error = await refusal(UNIXClient(path))
    assert isinstance(error, ConnectRefusedError)
    assert error.problem == f"cannot connect to {path}: it is a regular file, not a socket"


async def test_removed_at_the_refusal(path: str) -> None:
    """A path that goes between the refusal and the look at it is one that nobody listens on."""
    make_file(path)

    def remove(event: events.Event) -> None:
        if isinstance(event, events.AttemptFailed):
            os.unlink(path)

    with pytest.raises(ConnectRefusedError) as caught:
        await connect(UNIXClient(path), Recorder, on_event=remove)
    assert caught.value.problem == f"cannot connect to {path}: nobody listens there"


async def test_connect_to_a_datagram_socket(path: str) -> None:
    """A socket of another type is named for what it is."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(path)
        error = await refusal(UNIXClient(path))
    assert error.problem == (
        f"cannot connect to {path}: it is a socket of another type, such as a datagram socket"
    )


async def test_connect_long_path() -> None:
    """A path that does not fit is an error that says how long it is and may be."""
    error = await refusal(UNIXClient("/" + "a" * 107))
    assert error.problem == "the path is 108 bytes long, and that of a unix socket is at most 107"
    assert error.errno == errno.ENAMETOOLONG


async def test_no_descriptors(path: str) -> None:
    """When the process has no descriptor left, that is a connect error too."""
    with no_descriptors_left(), pytest.raises(ConnectError) as caught:
        await connect(UNIXClient(path), Recorder)
    assert caught.value.problem == f"cannot connect to {path}: too many open files"


def broken_factory() -> Recorder:
    """Make no protocol."""
    raise ZeroDivisionError


async def test_factory_raises(path: str) -> None:
    """What the factory raises comes out unchanged, with the socket closed."""
    listener = bind(UNIXServer(path))
    before = open_descriptors()
    with pytest.raises(ZeroDivisionError):
        await connect(UNIXClient(path), broken_factory)
    assert open_descriptors() == before
    listener.close()


# Events, and a full backlog


async def test_events(path: str) -> None:
    """A connect tells of its start and its end."""
    listener = bind(UNIXServer(path))
    seen: list[events.Event] = []
    transport, _ = await connect(UNIXClient(path), Recorder, on_event=seen.append)
    transport.close()
    address = Address(socket.AF_UNIX, path)
    assert seen == [
        events.AttemptStarted(seen[0].time, address),
        events.Connected(seen[1].time, address),
    ]
    listener.close()


async def test_events_of_a_failure(path: str) -> None:
    """A failure is told of."""
    seen: list[events.Event] = []
    with pytest.raises(ConnectError) as caught:
        await connect(UNIXClient(path), Recorder, on_event=seen.append)
    address = Address(socket.AF_UNIX, path)
    error = caught.value.attempts[0].error
    assert seen == [
        events.AttemptStarted(seen[0].time, address),
        events.AttemptFailed(seen[1].time, address, error),
    ]


def take(listener: Listener) -> None:
    """Accept a connection, which makes room in the backlog."""
    listener.accept()[0].close()


def fill(path: str) -> socket.socket:
    """Take the one place in a backlog of 0."""
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    return client


def test_full_backlog(path: str) -> None:
    """A client that finds the backlog full asks again, with growing pauses, until there is room."""
    listener = bind(UNIXServer(path, backlog=0))

    async def scenario() -> float:
        loop = asyncio.get_running_loop()
        with fill(path):
            loop.call_later(0.004, take, listener)
            transport, _ = await connect(UNIXClient(path), Recorder)
        transport.close()
        return loop.time()

    # After 1, 3 and 7 ms; there is room from 4 ms on.
    assert run(scenario()) == pytest.approx(0.007)
    listener.close()


def test_full_backlog_timeout(path: str) -> None:
    """A backlog that stays full ends in a timeout that says so, and leaves no descriptor."""
    listener = bind(UNIXServer(path, backlog=0))
    seen: list[events.Event] = []

    async def scenario() -> ConnectTimeoutError:
        before = open_descriptors()
        with pytest.raises(ConnectTimeoutError) as caught:
            await connect(UNIXClient(path, timeout=2.0), Recorder, on_event=seen.append)
        assert open_descriptors() == before
        assert asyncio.get_running_loop().time() == 2.0
        return caught.value

    with fill(path):
        error = run(scenario())
    assert [str(each) for each in error.attempts] == [f"{path}: its backlog is full"]
    assert seen[-1] == events.AttemptAbandoned(2.0, Address(socket.AF_UNIX, path))
    listener.close()


async def test_cancel(path: str) -> None:
    """A cancel closes the socket before it comes out."""
    listener = bind(UNIXServer(path, backlog=0))
    with fill(path):
        before = open_descriptors()
        task = asyncio.create_task(connect(UNIXClient(path), Recorder))
        await asyncio.sleep(0)
        assert open_descriptors() == before + 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert open_descriptors() == before
    listener.close()


# Peer credentials


async def test_peer_credentials(path: str) -> None:
    """Each side learns the process, user and group of the other; here they are its own."""
    here = Recorder()
    async with listen(UNIXServer(path), lambda: here):
        transport, _ = await connect(UNIXClient(path), Recorder)
        await here.made.wait()
        assert here.transport is not None
        own = PeerCredentials(os.getpid(), os.getuid(), os.getgid())
        assert peer_credentials(here.transport) == own
        assert peer_credentials(transport) == own
        transport.close()


class FakeTransport(asyncio.BaseTransport):
    """A transport over a socket of one's choice, or none."""

    def __init__(self, sock: object = None) -> None:
        super().__init__({"socket": sock})


class FakeSocket:
    """A unix socket whose peer has credentials at the ends of their ranges."""

    family = socket.AF_UNIX

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        assert (level, option) == (socket.SOL_SOCKET, socket.SO_PEERCRED)
        return struct.pack("iII", 0, 2**32 - 2, 2**32 - 1)[:size]


def test_range_of_credentials() -> None:
    """User and group are numbers without sign."""
    credentials = peer_credentials(FakeTransport(FakeSocket()))
    assert credentials == PeerCredentials(0, 2**32 - 2, 2**32 - 1)


def test_credentials_of_tcp() -> None:
    """A transport that is not one of a unix socket is an error that says so."""
    with socket.socket() as sock:
        for transport in (FakeTransport(sock), FakeTransport()):
            with pytest.raises(ValueError, match="has no unix socket"):
                peer_credentials(transport)


def test_credentials_after_close() -> None:
    """A transport that is closed is an error of the system."""
    with socket.socket(socket.AF_UNIX) as sock:
        transport = FakeTransport(sock)
    with pytest.raises(OSError, match="Bad file descriptor"):
        peer_credentials(transport)
