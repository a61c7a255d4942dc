"""Sockets that another program opened and passed on."""

from __future__ import annotations

import errno
import fcntl
import os
import select as readiness
import socket
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import pytest

from asyncendpoints.addresses import Address
from asyncendpoints.connecting import connect
from asyncendpoints.errors import ConnectError, DescriptionError, ListenError, SpecError
from asyncendpoints.kinds.adopted import (
    Activation,
    FDClient,
    FDServer,
    PassedDescriptor,
    SystemdServer,
    adopt_listener,
    adopt_listeners,
    parse_listen_variables,
    passed_descriptors,
    select,
)
from asyncendpoints.kinds.tcp import TCPClient
from asyncendpoints.kinds.unix import UNIXClient
from asyncendpoints.listeners import Connection, PlainAcceptor
from asyncendpoints.listening import listen
from asyncendpoints.specs import parse_client, parse_server
from tests.support import Recorder, no_descriptors_left, open_descriptors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Passed(NamedTuple):
    """A descriptor of some kind, and what an error says of it."""

    fd: int
    as_server: str
    as_client: str


def tcp_listener() -> socket.socket:
    """Make a listening socket as another program would."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    return sock


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Give a listening TCP socket."""
    with tcp_listener() as sock:
        yield sock


def closed_number() -> int:
    """Give a number that no descriptor will have."""
    number = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 900)
    os.close(number)
    return number


# Texts


@pytest.mark.parametrize("text", ["fd:3", "fd:fd=3"])
def test_fd_texts(text: str) -> None:
    """The number is the one argument, of servers and clients."""
    assert parse_server(text) == FDServer(3)
    assert parse_client(text) == FDClient(3)
    assert str(parse_server(text)) == str(parse_client(text)) == "fd:3"


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("systemd:domain=INET:index=0", SystemdServer("INET", 0)),
        ("systemd:INET6:3", SystemdServer("INET6", 3)),
        ("systemd:domain=unix:name=a", SystemdServer("UNIX", name="a")),
        ("systemd:name=http", SystemdServer(name="http")),
    ],
)
def test_systemd_text(text: str, spec: SystemdServer) -> None:
    """Twisted's spellings and positions are read, and the canonical text gives the same spec."""
    assert parse_server(text) == spec
    assert parse_server(str(spec)) == spec


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("systemd", "a systemd server needs an index or a name, as in systemd:name=http"),
        ("systemd:index=0:name=a", "index and name are both given, expected one of them"),
    ],
)
def test_index_or_name(text: str, problem: str) -> None:
    """Exactly one of index and name is to be given."""
    with pytest.raises(DescriptionError) as caught:
        parse_server(text)
    assert caught.value.problem == problem


def test_index_or_name_in_python() -> None:
    """A spec built from Python is checked like one that was read."""
    with pytest.raises(SpecError):
        SystemdServer()


# Listening on a descriptor


async def test_fd_server(listener: socket.socket) -> None:
    """Connections to an inherited socket arrive, and its descriptor stays open after the close."""
    here = Recorder()
    async with listen(f"fd:{listener.fileno()}", lambda: here) as server:
        (client,) = server.client_endpoints
        assert client == TCPClient("127.0.0.1", listener.getsockname()[1])
        transport, _ = await connect(client, Recorder)
        transport.write(b"hello")
        transport.close()
        await here.lost.wait()
    assert here.received == b"hello"
    assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


def test_listen_again(listener: socket.socket) -> None:
    """The socket can be listened on again, as it was neither closed nor shut down."""
    spec = FDServer(listener.fileno())
    before = open_descriptors()
    spec.bind()[0].close()
    (again,) = spec.bind()
    with socket.create_connection(listener.getsockname()):
        readiness.select([again], [], [])
        connection, _ = again.accept()
        assert isinstance(connection, Connection)
        connection.close()
    again.close()
    assert open_descriptors() == before


def test_modes(listener: socket.socket) -> None:
    """The duplicate does not block, is not inherited, and its connections do not delay small writes."""
    (made,) = FDServer(listener.fileno()).bind()
    assert isinstance(made, socket.socket)
    assert not os.get_blocking(made.fileno())
    assert not made.get_inheritable()
    assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    with socket.create_connection(listener.getsockname()):
        readiness.select([made], [], [])
        connection, _ = made.accept()
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert connection.proto == socket.IPPROTO_TCP
        connection.close()
    made.close()


def test_unix_path_stays(tmp_path: Path) -> None:
    """The path of a unix socket that was passed is not removed, and clients are led to it."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as passed:
        passed.bind(path)
        passed.listen()
        spec = FDServer(passed.fileno())
        (made,) = spec.bind()
        assert spec.client(Address.of(made), PlainAcceptor()) == UNIXClient(path)
        made.close()
    assert os.path.lexists(path)


@pytest.mark.parametrize(
    ("address", "client"),
    [
        (Address(socket.AF_INET6, ("::", 80, 0, 0)), TCPClient("::1", 80)),
        (Address(socket.AF_INET, ("0.0.0.0", 80)), TCPClient("127.0.0.1", 80)),
        (Address(socket.AF_UNIX, b"\0name"), UNIXClient("@name")),
        (Address(socket.AF_UNIX, b"\0na\0me"), None),
        (Address(socket.AF_UNIX, "relative"), None),
        (Address(socket.AF_UNIX, ""), None),
        (Address(socket.AF_VSOCK, (2, 80)), None),
    ],
)
def test_client_endpoints(address: Address, client: object) -> None:
    """What a passed socket is reached by follows from its address, where that is known everywhere."""
    assert FDServer(3).client(address, PlainAcceptor()) == client
    assert SystemdServer(name="a").client(address, PlainAcceptor()) == client


@pytest.fixture
def odd_descriptors(tmp_path: Path) -> Iterator[list[Passed]]:
    """Give descriptors of every kind that is not right for servers, for clients or for both."""
    with ExitStack() as opened:
        file = opened.enter_context(open(tmp_path / "f", "w", encoding="ascii"))
        datagram = opened.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        packets = opened.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        fresh = opened.enter_context(socket.socket())
        stream = "expected a stream socket that"
        yield [
            Passed(closed_number(), "is not open", "is not open"),
            Passed(
                file.fileno(), "is a regular file, not a socket", "is a regular file, not a socket"
            ),
            Passed(
                datagram.fileno(),
                f"is a datagram socket, {stream} listens",
                f"is a datagram socket, {stream} is connected",
            ),
            Passed(
                packets.fileno(),
                f"is a sequential packet socket, {stream} listens",
                f"is a sequential packet socket, {stream} is connected",
            ),
            Passed(
                fresh.fileno(),
                "is a stream socket that does not listen (Accept=yes in its .socket unit does that)",
                "is a stream socket that is not connected",
            ),
        ]


def test_wrong_descriptors(odd_descriptors: list[Passed]) -> None:
    """What is no listening stream socket is an error that says what it is, and stays open."""
    before = open_descriptors()
    for each in odd_descriptors:
        with pytest.raises(ListenError) as caught:
            FDServer(each.fd).bind()
        assert caught.value.problem == f"descriptor {each.fd} {each.as_server}"
    assert open_descriptors() == before


def test_no_descriptors_left(listener: socket.socket) -> None:
    """When the process has no descriptor left, that is a listen error."""
    with no_descriptors_left(), pytest.raises(ListenError) as caught:
        FDServer(listener.fileno()).bind()
    assert caught.value.problem == (
        f"descriptor {listener.fileno()} cannot be duplicated: too many open files"
    )
    assert caught.value.errno == errno.EMFILE


def test_domain(listener: socket.socket) -> None:
    """A socket of another family than the one that was asked for is an error that says which it is."""
    spec = SystemdServer("UNIX", 0)
    before = open_descriptors()
    with pytest.raises(ListenError) as caught:
        adopt_listener(spec, listener.fileno(), "UNIX")
    assert caught.value.problem == (
        f"descriptor {listener.fileno()} is a socket of the domain INET, not UNIX; "
        "without domain= any will do"
    )
    assert open_descriptors() == before
    adopt_listener(spec, listener.fileno(), "INET").close()


# Connecting over a descriptor


async def test_fd_client() -> None:
    """A connected socket is taken over: the close of the transport is its close."""
    ours, theirs = socket.socketpair()
    os.set_inheritable(ours.fileno(), True)
    with theirs:
        fd = ours.detach()
        transport, protocol = await connect(f"fd:{fd}", Recorder)
        assert not os.get_inheritable(fd)
        theirs.send(b"hello")
        theirs.shutdown(socket.SHUT_WR)
        await protocol.lost.wait()
        assert protocol.received == b"hello"
        assert transport.is_closing()
        theirs.settimeout(10)
        assert theirs.recv(1) == b""


async def test_fd_client_over_tcp(listener: socket.socket) -> None:
    """A TCP connection that is taken over does not delay small writes."""
    fd = socket.create_connection(listener.getsockname()).detach()
    transport, _ = await connect(FDClient(fd), Recorder)
    sock = transport.get_extra_info("socket")
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    transport.close()


async def test_fd_client_wrong_descriptors(odd_descriptors: list[Passed]) -> None:
    """What is no connected stream socket is an error that says what it is, and stays open."""
    before = open_descriptors()
    for each in odd_descriptors:
        with pytest.raises(ConnectError) as caught:
            await connect(FDClient(each.fd), Recorder)
        assert caught.value.problem == f"descriptor {each.fd} {each.as_client}"
    assert open_descriptors() == before


async def test_fd_client_of_a_listener(listener: socket.socket) -> None:
    """A listening socket is no connection, and stays open."""
    with pytest.raises(ConnectError) as caught:
        await connect(FDClient(listener.fileno()), Recorder)
    assert caught.value.problem == (
        f"descriptor {listener.fileno()} is a listening socket: it is for a server"
    )
    assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


# What systemd passes


def variables(**given: str) -> dict[str, str]:
    """Make an environment for process 12."""
    return {"LISTEN_PID": "12", "LISTEN_FDS": "2", **given}


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        (variables(), [None, None]),
        (variables(LISTEN_FDNAMES="http:https"), ["http", "https"]),
        (variables(LISTEN_FDNAMES="http:http"), ["http", "http"]),
        (variables(LISTEN_FDNAMES=":https"), [None, "https"]),
        (variables(LISTEN_FDNAMES="http"), [None, None]),
        (variables(LISTEN_FDNAMES="a:b:c"), [None, None]),
        (variables(LISTEN_FDNAMES=""), [None, None]),
        (variables(LISTEN_FDS="1", LISTEN_FDNAMES=""), [None]),
        (variables(LISTEN_PIDFDID="1"), [None, None]),
        (variables(LISTEN_FDS="0"), []),
        (variables(LISTEN_FDS="x"), []),
        (variables(LISTEN_FDS="-1"), []),
        (variables(LISTEN_FDS="²"), []),
        (variables(LISTEN_FDS="9999999"), []),
        (variables(LISTEN_PID="13"), []),
        ({"LISTEN_FDS": "1"}, []),
        ({"LISTEN_PID": "12"}, []),
        ({}, []),
    ],
)
def test_variables(environ: dict[str, str], names: list[str | None]) -> None:
    """Descriptors are counted from 3; names that are not as many as they are worth nothing."""
    found = parse_listen_variables(environ, 12)
    assert found == tuple(PassedDescriptor(3 + at, name) for at, name in enumerate(names))


def test_activation(listener: socket.socket) -> None:
    """The variables are taken once, remembered, and kept from children, as are the descriptors."""
    environ = {
        "LISTEN_PID": str(os.getpid()),
        "LISTEN_FDS": "1",
        "LISTEN_FDNAMES": "http",
        "LISTEN_PIDFDID": "1",
        "HOME": "/",
    }
    activation = Activation(environ)
    expected = (PassedDescriptor(3, "http"),)
    assert activation.peek() == expected
    assert len(environ) == 5
    assert activation.take() == expected
    assert environ == {"HOME": "/"}
    assert activation.peek() == activation.take() == expected


def test_activation_of_another_process() -> None:
    """Variables of another process are no business of this one."""
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1"}
    activation = Activation(environ)
    assert activation.peek() == activation.take() == ()
    assert len(environ) == 2


def test_none_were_passed() -> None:
    """A process that was passed nothing says so."""
    assert passed_descriptors() == ()
    with pytest.raises(ListenError) as caught:
        SystemdServer(name="http").bind()
    assert caught.value.problem == "this process was passed no sockets"


def test_adopt_all_or_none(listener: socket.socket) -> None:
    """Several sockets are adopted together; when one is not right, none stays open."""
    spec = SystemdServer(name="a")
    right = PassedDescriptor(listener.fileno(), "a")
    before = open_descriptors()
    with pytest.raises(ListenError):
        adopt_listeners(spec, [right, PassedDescriptor(closed_number(), "a")])
    assert open_descriptors() == before
    made = adopt_listeners(spec, [right, right])
    assert [each.getsockname() for each in made] == [listener.getsockname()] * 2
    for each in made:
        each.close()


WEB = PassedDescriptor(3, "web")
API = PassedDescriptor(4, "api")
WEB6 = PassedDescriptor(5, "web")
UNNAMED = (PassedDescriptor(3, None), PassedDescriptor(4, None))


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        (SystemdServer(index=1), [API]),
        (SystemdServer(name="api"), [API]),
        (SystemdServer(name="web"), [WEB, WEB6]),
    ],
)
def test_select(spec: SystemdServer, found: list[PassedDescriptor]) -> None:
    """An index means one descriptor, a name all that have it."""
    assert select(spec, (WEB, API, WEB6)) == found


@pytest.mark.parametrize(
    ("spec", "passed", "text"),
    [
        (
            SystemdServer(index=3),
            (WEB, API, WEB6),
            "this process was passed no socket with index 3 (there are: 0 'web', 1 'api', 2 'web')",
        ),
        (
            SystemdServer(name="db"),
            (WEB, API),
            "this process was passed no socket with the name 'db' (there are: 0 'web', 1 'api')",
        ),
        (
            SystemdServer(name="web"),
            UNNAMED,
            (
                "the sockets have no names: LISTEN_FDNAMES is missing or has another count; "
                "index= does without (there are: 0, 1)"
            ),
        ),
    ],
)
def test_select_nothing(
    spec: SystemdServer, passed: tuple[PassedDescriptor, ...], text: str
) -> None:
    """What was not passed is an error that lists what was."""
    with pytest.raises(ListenError) as caught:
        select(spec, passed)
    assert str(caught.value) == f"{spec}: {text}"


_PROGRAM = """
import os, subprocess, sys
# What a service manager does between fork and exec: the sockets from 3 on, and its variables.
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES=sys.argv[3])
from asyncendpoints.errors import ListenError
from asyncendpoints.kinds.adopted import SystemdServer, passed_descriptors
print(*passed_descriptors())
for _ in range(2):
    listeners = SystemdServer(name="a").bind()
    print(*(each.getsockname()[1] for each in listeners))
    for each in listeners:
        each.close()
print(*passed_descriptors())
print([each for each in os.environ if each.startswith("LISTEN_")])
print(os.get_inheritable(3), os.get_inheritable(4))
before = len(os.listdir("/proc/self/fd"))
os.dup2(0, 4)
try:
    SystemdServer(name="a").bind()
except ListenError as error:
    print(error.problem, len(os.listdir("/proc/self/fd")) - before)
"""


def test_process(listener: socket.socket) -> None:
    """A process listens on all sockets of a name, twice, and its children inherit nothing."""
    with tcp_listener() as second:
        fds = listener.fileno(), second.fileno()
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, *map(str, fds), "a:a"],
            pass_fds=fds,
            input="",
            capture_output=True,
            text=True,
            check=False,
        )
        ports = f"{listener.getsockname()[1]} {second.getsockname()[1]}"
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "0 'a' 1 'a'",
        ports,
        ports,
        "0 'a' 1 'a'",
        "[]",
        "False False",
        "descriptor 4 is a pipe, not a socket 0",
    ]
