"""What an attempt gives to the kinds: addresses, the race over real sockets, errors and events."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING, Any

import pytest

from asyncendpoints import events
from asyncendpoints.addresses import Address
from asyncendpoints.attempt import Attempt
from asyncendpoints.errors import (
    AttemptFailure,
    ConnectError,
    ConnectRefusedError,
    ConnectTimeoutError,
    ResolveError,
)
from asyncendpoints.kinds.tcp import TCPClient
from asyncendpoints.race import failure
from tests.support import Recorder, open_descriptors, unused_port

if TYPE_CHECKING:
    from collections.abc import Sequence

SPEC = TCPClient("example.org", 80)


def v4(host: str, port: int = 80) -> Address:
    """Give an address."""
    return Address(socket.AF_INET, (host, port))


def v6(host: str, port: int = 80) -> Address:
    """Give an address."""
    return Address(socket.AF_INET6, (host, port, 0, 0))


class FakeLookup:
    """Answers every name with the same addresses or error, and writes down what it was asked."""

    def __init__(self, answer: Sequence[Address] | OSError) -> None:
        self.answer = answer
        self.asked: list[tuple[str, int, int]] = []

    async def __call__(self, host: str, port: int, family: int) -> Sequence[Address]:
        self.asked.append((host, port, family))
        if isinstance(self.answer, OSError):
            raise self.answer
        return self.answer


class Log:
    """Collects events."""

    def __init__(self) -> None:
        self.events: list[events.Event] = []

    def __call__(self, event: events.Event) -> None:
        self.events.append(event)

    @property
    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.events]


def attempt_with(answer: Sequence[Address] | OSError, log: Log | None = None) -> Attempt:
    """Make an attempt that looks up with this result."""
    return Attempt(SPEC, on_event=log, lookup=FakeLookup(answer))


@pytest.fixture
def refusing() -> Address:
    """An address of this machine that nobody listens on."""
    return v4("127.0.0.1", unused_port())


# Addresses


@pytest.mark.parametrize(
    ("host", "family", "address"),
    [
        ("192.0.2.1", "any", v4("192.0.2.1")),
        ("192.0.2.1", "ipv4", v4("192.0.2.1")),
        ("2001:db8::1", "any", v6("2001:db8::1")),
        ("2001:db8::1", "ipv6", v6("2001:db8::1")),
        ("fe80::1%7", "any", Address(socket.AF_INET6, ("fe80::1", 80, 0, 7))),
    ],
)
async def test_literal(host: str, family: str, address: Address) -> None:
    """A literal is an address by itself: nothing is looked up, and there is no event."""
    log = Log()
    lookup = FakeLookup([])
    assert await Attempt(SPEC, on_event=log, lookup=lookup).addresses(host, 80, family) == [address]
    assert (lookup.asked, log.events) == ([], [])


@pytest.mark.parametrize(
    ("host", "family", "problem"),
    [
        ("192.0.2.1", "ipv6", "192.0.2.1 is no IPv6 address"),
        ("2001:db8::1", "ipv4", "2001:db8::1 is no IPv4 address"),
    ],
)
async def test_literal_of_the_other_family(host: str, family: str, problem: str) -> None:
    """A literal of a family that is not wanted cannot be resolved."""
    with pytest.raises(ResolveError) as caught:
        await Attempt(SPEC).addresses(host, 80, family)
    assert caught.value.problem == problem
    assert (caught.value.errno, caught.value.stage) == (socket.EAI_ADDRFAMILY, "resolve")


async def test_literal_with_an_unknown_zone() -> None:
    """A zone that the machine lacks is named."""
    with pytest.raises(ResolveError) as caught:
        await Attempt(SPEC).addresses("fe80::1%nowhere0", 80)
    assert caught.value.problem == "this machine has no interface 'nowhere0'"
    assert caught.value.errno == socket.EAI_NONAME


@pytest.mark.parametrize(
    ("family", "asked"),
    [("any", socket.AF_UNSPEC), ("ipv4", socket.AF_INET), ("ipv6", socket.AF_INET6)],
)
async def test_name(family: str, asked: int) -> None:
    """A name is looked up for its port and family, and the families of the answer take turns."""
    lookup = FakeLookup([v6("::1"), v6("::2"), v4("192.0.2.1")])
    found = await Attempt(SPEC, lookup=lookup).addresses("example.org", 80, family)
    assert found == [v6("::1"), v4("192.0.2.1"), v6("::2")]
    assert lookup.asked == [("example.org", 80, asked)]


async def test_events_of_a_lookup() -> None:
    """A lookup is told when it begins and when it ends, with the addresses in their order."""
    log = Log()
    await attempt_with([v6("::1"), v6("::2"), v4("192.0.2.1")], log).addresses("example.org", 80)
    now = log.events[0].time
    assert log.events == [
        events.LookupStarted(now, "example.org"),
        events.LookupFinished(
            log.events[1].time, "example.org", (v6("::1"), v4("192.0.2.1"), v6("::2"))
        ),
    ]


@pytest.mark.parametrize(
    ("answer", "code", "problem"),
    [
        pytest.param(
            socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
            socket.EAI_AGAIN,
            "cannot look up 'example.org': temporary failure in name resolution",
            id="the resolver says why",
        ),
        pytest.param(
            OSError(errno.EMFILE, "Too many open files"),
            socket.EAI_SYSTEM,
            "cannot look up 'example.org': too many open files",
            id="the system cannot do it",
        ),
        pytest.param(
            OSError("broken"),
            socket.EAI_SYSTEM,
            "cannot look up 'example.org': broken",
            id="an error without a number",
        ),
        pytest.param(
            [],
            socket.EAI_NONAME,
            "cannot look up 'example.org': the name has no address",
            id="an empty answer",
        ),
    ],
)
async def test_lookup_that_fails(
    answer: Sequence[Address] | OSError, code: int, problem: str
) -> None:
    """A failed lookup is a ``socket.gaierror`` with one of its numbers, and its cause is kept."""
    log = Log()
    with pytest.raises(ResolveError) as caught:
        await attempt_with(answer, log).addresses("example.org", 80)
    error = caught.value
    assert isinstance(error, socket.gaierror)
    assert (error.errno, error.stage, error.problem) == (code, "resolve", problem)
    assert isinstance(error.__cause__, OSError)
    assert log.events[1:] == [
        events.LookupFailed(log.events[1].time, "example.org", error.__cause__)
    ]


# Races


async def test_refused(refusing: Address) -> None:
    """One address that refuses is a ``ConnectionRefusedError`` with its number; the cause is the error."""
    with pytest.raises(ConnectRefusedError) as caught:
        await Attempt(SPEC).race([refusing])
    error = caught.value
    assert isinstance(error, ConnectionRefusedError)
    assert (error.errno, error.stage) == (errno.ECONNREFUSED, "connect")
    assert error.problem == f"cannot connect to {refusing}: connection refused"
    assert [each.address for each in error.attempts] == [refusing]
    assert error.__cause__ is error.attempts[0].error


async def test_all_refused(refusing: Address) -> None:
    """Several that refuse are each listed once, and all are in the group that is the cause."""
    other = v4("127.0.0.2", refusing.port or 0)
    with pytest.raises(ConnectRefusedError) as caught:
        await Attempt(SPEC).race([refusing, other])
    error = caught.value
    assert error.errno == errno.ECONNREFUSED
    assert [each.address for each in error.attempts] == [refusing, other]
    assert error.problem == (
        "all 2 attempts to connect failed: "
        f"{refusing}: connection refused; {other}: connection refused"
    )
    assert isinstance(error.__cause__, ExceptionGroup)
    assert error.__cause__.exceptions == tuple(each.error for each in error.attempts)


async def test_mixed_failures(refusing: Address) -> None:
    """Where the errors differ there is no number, and no more special class than `ConnectError`."""
    with pytest.raises(ConnectError) as caught:
        await Attempt(SPEC).race([refusing, v6("fe80::1")])
    assert type(caught.value) is ConnectError
    assert caught.value.errno is None
    assert [each.error.errno for each in caught.value.attempts] == [
        errno.ECONNREFUSED,
        errno.EINVAL,
    ]


def failed(*codes: int) -> list[AttemptFailure]:
    """Make failures with these error numbers."""
    return [AttemptFailure(v4(f"192.0.2.{n}"), failure(code), 1) for n, code in enumerate(codes)]


@pytest.mark.parametrize(
    ("codes", "cls", "code"),
    [
        ([errno.ETIMEDOUT], ConnectTimeoutError, errno.ETIMEDOUT),
        ([errno.ETIMEDOUT, errno.ETIMEDOUT], ConnectTimeoutError, errno.ETIMEDOUT),
        ([errno.ECONNREFUSED, errno.ECONNREFUSED], ConnectRefusedError, errno.ECONNREFUSED),
        ([errno.ECONNREFUSED, errno.ETIMEDOUT], ConnectError, None),
        ([errno.ENETUNREACH, errno.ENETUNREACH], ConnectError, errno.ENETUNREACH),
    ],
)
def test_class_of_the_error(codes: list[int], cls: type[ConnectError], code: int | None) -> None:
    """The error is as special as what all attempts have in common."""
    made = Attempt(SPEC).all_failed(failed(*codes))
    assert (type(made), made.errno) == (cls, code)


async def test_earlier_failures_are_kept(refusing: Address) -> None:
    """A second race of one attempt speaks of its own addresses, but no failure is lost."""
    attempt = Attempt(SPEC)
    other = v4("127.0.0.2", refusing.port or 0)
    with pytest.raises(ConnectError):
        await attempt.race([refusing])
    with pytest.raises(ConnectError) as caught:
        await attempt.race([other])
    assert caught.value.problem == f"cannot connect to {other}: connection refused"
    assert [each.address for each in caught.value.attempts] == [refusing, other]


async def test_second_address_answers(refusing: Address) -> None:
    """A refusal does not keep the next address from winning; each step is an event."""
    log = Log()
    with socket.create_server(("127.0.0.1", 0)) as server:
        sock = await Attempt(SPEC, on_event=log).race([refusing, Address.of(server)])
        with sock:
            assert sock.getpeername() == server.getsockname()
    assert log.names == ["AttemptStarted", "AttemptFailed", "AttemptStarted", "Connected"]


# The address to connect from


async def connect_from(
    server: socket.socket, lookup: FakeLookup, local: tuple[str | None, int]
) -> tuple[Any, ...]:
    """Connect to a server, and give the address that it sees."""
    sock = await Attempt(SPEC, lookup=lookup).race([Address.of(server)], local)
    with sock:
        return tuple(sock.getsockname())


@pytest.fixture
def free_port() -> int:
    """Give a port that nobody uses."""
    return unused_port()


@pytest.mark.parametrize(
    ("server", "local", "host"),
    [
        ("127.0.0.1", "127.0.0.2", "127.0.0.2"),
        ("127.0.0.1", "somewhere", "127.0.0.3"),
        ("::1", "somewhere", "::1"),
        ("127.0.0.1", None, "127.0.0.1"),
        ("::1", None, "::1"),
    ],
)
async def test_local(server: str, local: str | None, host: str, free_port: int) -> None:
    """The local address is a literal, a name, of which that of the right family is taken, or any."""
    lookup = FakeLookup([v4("127.0.0.3", free_port), v6("::1", free_port), v4("127.0.0.9")])
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.create_server((server, 0), family=family) as listener:
        seen = await connect_from(listener, lookup, (local, free_port))
    assert seen[:2] == (host, free_port)


async def test_local_port_is_taken(refusing: Address) -> None:
    """A local port that another socket listens on is told as such, with the number of the system."""
    before = open_descriptors()
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_server(("127.0.0.1", 0)) as holder,
    ):
        local = holder.getsockname()
        with pytest.raises(ConnectError) as caught:
            await Attempt(SPEC).race([Address.of(server)], local)
    assert caught.value.errno == errno.EADDRINUSE
    assert caught.value.problem.endswith(
        f": cannot connect from {local[0]}:{local[1]}: address already in use"
    )
    assert open_descriptors() == before


async def test_local_of_another_family(refusing: Address) -> None:
    """Addresses of a family that the local address is not of are not tried."""
    with pytest.raises(ConnectRefusedError) as caught:
        await Attempt(SPEC).race([v6("::1", refusing.port or 0), refusing], ("127.0.0.1", 0))
    assert [each.address for each in caught.value.attempts] == [refusing]


async def test_local_that_fits_nothing(refusing: Address) -> None:
    """Where no address can be reached from the local one, that is said, and nothing is tried."""
    with pytest.raises(ConnectError) as caught:
        await Attempt(SPEC).race([refusing], ("::1", 0))
    assert caught.value.problem == "no address of the host can be reached from ::1"
    assert (caught.value.errno, caught.value.stage) == (errno.EADDRNOTAVAIL, "connect")
    assert caught.value.attempts == ()


# Hooks and nesting


async def test_hook_that_raises(refusing: Address) -> None:
    """What a hook raises goes to the exception handler of the loop, and the connect goes on."""
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    error = ZeroDivisionError()

    def hook(event: events.Event) -> None:
        raise error

    with socket.create_server(("127.0.0.1", 0)) as server:
        (await Attempt(SPEC, on_event=hook).race([Address.of(server)])).close()
    assert reported == [
        {"message": "on_event raised at AttemptStarted", "exception": error},
        {"message": "on_event raised at Connected", "exception": error},
    ]


async def test_nested_endpoint() -> None:
    """An endpoint inside another one is opened with the same attempt, and an error names the outer one."""
    attempt = Attempt(SPEC)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        transport, protocol = await attempt.open(TCPClient(*address), Recorder)
        assert transport.get_extra_info("peername") == address
        transport.abort()
        await protocol.lost.wait()
    with pytest.raises(ConnectRefusedError) as caught:
        await attempt.open(TCPClient(*address), Recorder)
    assert caught.value.endpoint is SPEC
