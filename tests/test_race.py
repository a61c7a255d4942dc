"""The race of addresses: its order and its moments, exactly, and the dialling of one address."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from asyncendpoints import events
from asyncendpoints.addresses import Address
from asyncendpoints.race import Dial, interleave, is_self_connected, race
from tests.clock import StuckError, run
from tests.support import black_hole, open_descriptors

if TYPE_CHECKING:
    from asyncendpoints.errors import AttemptFailure

REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
UNREACHABLE = OSError(errno.ENETUNREACH, "Network is unreachable")
NEVER = float("inf")


def v4(host: str) -> Address:
    """Give an address."""
    return Address(socket.AF_INET, (host, 80))


def v6(host: str) -> Address:
    """Give an address."""
    return Address(socket.AF_INET6, (host, 80, 0, 0))


A, B, C, D = (v4(f"192.0.2.{number}") for number in (1, 2, 3, 4))
OTHER_PORT = Address(socket.AF_INET, ("192.0.2.1", 81))
NAMES = {A: "A", B: "B", C: "C", D: "D"}

#: For each address: seconds until its outcome, and the outcome. None is a connection.
Scenario = dict[Address, tuple[float, OSError | None]]


class FakeDial:
    """An attempt whose outcome comes at a given moment."""

    def __init__(self, delay: float, outcome: OSError | None) -> None:
        loop = asyncio.get_running_loop()
        self.outcome: asyncio.Future[OSError | None] = loop.create_future()
        self.open = True
        if delay == 0:
            self.outcome.set_result(outcome)
        elif delay < NEVER:
            loop.call_later(delay, self.outcome.set_result, outcome)

    def abort(self) -> None:
        assert self.open
        self.open = False


class World:
    """Dials addresses as a scenario says, and writes down what happens."""

    def __init__(self, scenario: Scenario, at_once: dict[Address, Exception] | None = None) -> None:
        self.scenario = scenario
        self.at_once = at_once or {}
        self.dialled: dict[Address, FakeDial] = {}
        self.failures: list[AttemptFailure] = []
        self.log: list[tuple[float, str]] = []

    def dial(self, address: Address) -> FakeDial:
        if address in self.at_once:
            raise self.at_once[address]
        self.dialled[address] = FakeDial(*self.scenario[address])
        return self.dialled[address]

    def emit(self, event: events.Event) -> None:
        assert isinstance(
            event,
            events.AttemptStarted
            | events.AttemptFailed
            | events.AttemptAbandoned
            | events.Connected,
        )
        word = type(event).__name__.removeprefix("Attempt").lower()
        self.log.append((event.time, f"{NAMES[event.address]} {word}"))

    async def race(self) -> FakeDial | None:
        return await race([A, B, C, D][: len(self.scenario)], self.dial, self.failures, self.emit)

    def still_open(self) -> list[str]:
        return [NAMES[address] for address, dialled in self.dialled.items() if dialled.open]


@pytest.mark.parametrize(
    ("scenario", "log"),
    [
        pytest.param({A: (0, None)}, [(0, "A started"), (0, "A connected")], id="one, at once"),
        pytest.param({A: (7, None)}, [(0, "A started"), (7, "A connected")], id="one, later"),
        pytest.param(
            {A: (0.1, None), B: (0, None)},
            [(0, "A started"), (0.1, "A connected")],
            id="the first wins before the second is tried",
        ),
        pytest.param(
            {A: (NEVER, None), B: (0.1, None)},
            [
                (0, "A started"),
                (0.25, "B started"),
                (0.25 + 0.1, "B connected"),
                (0.25 + 0.1, "A abandoned"),
            ],
            id="a black hole costs one delay",
        ),
        pytest.param(
            {A: (0.3, None), B: (NEVER, None)},
            [(0, "A started"), (0.25, "B started"), (0.3, "A connected"), (0.3, "B abandoned")],
            id="the first wins after the second was tried",
        ),
        pytest.param(
            {A: (0, REFUSED), B: (0, None)},
            [(0, "A started"), (0, "A failed"), (0, "B started"), (0, "B connected")],
            id="a refusal costs nothing",
        ),
        pytest.param(
            {A: (0.1, REFUSED), B: (NEVER, None), C: (0, None)},
            [
                (0, "A started"),
                (0.1, "A failed"),
                (0.1, "B started"),
                (0.1 + 0.25, "C started"),
                (0.1 + 0.25, "C connected"),
                (0.1 + 0.25, "B abandoned"),
            ],
            id="the delay runs anew from a failure",
        ),
        pytest.param(
            {A: (NEVER, None), B: (0.1, REFUSED), C: (0, None)},
            [
                (0, "A started"),
                (0.25, "B started"),
                (0.25 + 0.1, "B failed"),
                (0.25 + 0.1, "C started"),
                (0.25 + 0.1, "C connected"),
                (0.25 + 0.1, "A abandoned"),
            ],
            id="a failure starts the next while another still runs",
        ),
        pytest.param(
            {A: (0.375, REFUSED), B: (NEVER, None), C: (NEVER, None), D: (0.125, None)},
            [
                (0, "A started"),
                (0.25, "B started"),
                (0.375, "A failed"),
                (0.375, "C started"),
                (0.625, "D started"),
                (0.75, "D connected"),
                (0.75, "B abandoned"),
                (0.75, "C abandoned"),
            ],
            id="a late failure starts the next at once",
        ),
        pytest.param(
            {A: (NEVER, None), B: (NEVER, None), C: (NEVER, None), D: (0.125, None)},
            [
                (0, "A started"),
                (0.25, "B started"),
                (0.5, "C started"),
                (0.75, "D started"),
                (0.875, "D connected"),
                (0.875, "A abandoned"),
                (0.875, "B abandoned"),
                (0.875, "C abandoned"),
            ],
            id="three black holes and a good one",
        ),
        pytest.param(
            {A: (0.5, None), B: (0.25, None)},
            [(0, "A started"), (0.25, "B started"), (0.5, "A connected"), (0.5, "B abandoned")],
            id="of two that answer in one turn the first wins",
        ),
        pytest.param(
            {A: (0.5, REFUSED), B: (0.25, None), C: (NEVER, None)},
            [
                (0, "A started"),
                (0.25, "B started"),
                (0.5, "A failed"),
                (0.5, "B connected"),
            ],
            id="a failure and an answer in one turn: the third is not tried",
        ),
    ],
)
def test_winning(scenario: Scenario, log: list[tuple[float, str]]) -> None:
    """Somebody wins: every step is at its exact moment, and nothing but the winner stays open."""

    async def main() -> None:
        world = World(scenario)
        winner = await world.race()
        assert world.log == log
        assert winner is not None
        assert [each for each in world.dialled.values() if each.open] == [winner]

    run(main())


@pytest.mark.parametrize(
    ("scenario", "log", "order"),
    [
        pytest.param(
            {A: (0, REFUSED)}, [(0, "A started"), (0, "A failed")], "A", id="the only one refuses"
        ),
        pytest.param(
            {A: (0, REFUSED), B: (1, UNREACHABLE)},
            [(0, "A started"), (0, "A failed"), (0, "B started"), (1, "B failed")],
            "AB",
            id="one after the other",
        ),
        pytest.param(
            {A: (2, REFUSED), B: (0.125, UNREACHABLE)},
            [(0, "A started"), (0.25, "B started"), (0.375, "B failed"), (2, "A failed")],
            "BA",
            id="the second fails first",
        ),
        pytest.param(
            {A: (0.5, REFUSED), B: (0.25, UNREACHABLE)},
            [(0, "A started"), (0.25, "B started"), (0.5, "A failed"), (0.5, "B failed")],
            "AB",
            id="both in one turn",
        ),
    ],
)
def test_losing(scenario: Scenario, log: list[tuple[float, str]], order: str) -> None:
    """Nobody answers: the failures are in the order in which they came, and nothing stays open."""

    async def main() -> None:
        world = World(scenario)
        assert await world.race() is None
        assert world.log == log
        assert "".join(NAMES[each.address] for each in world.failures) == order
        assert world.still_open() == []

    run(main())


def test_failure_tells_error_and_seconds() -> None:
    """A failure holds the error of the attempt and how long that attempt ran."""

    async def main() -> None:
        world = World({A: (2, REFUSED), B: (0.125, UNREACHABLE)})
        await world.race()
        assert [(each.error, each.seconds) for each in world.failures] == [
            (UNREACHABLE, 0.125),
            (REFUSED, 2.0),
        ]

    run(main())


def test_dial_that_raises() -> None:
    """An address that cannot even be dialled is a failure, and the next one starts at once."""

    async def main() -> None:
        world = World({A: (0, None), B: (0, None)}, {A: UNREACHABLE})
        assert await world.race() is world.dialled[B]
        assert world.log == [
            (0, "A started"),
            (0, "A failed"),
            (0, "B started"),
            (0, "B connected"),
        ]
        assert [(each.address, each.error) for each in world.failures] == [(A, UNREACHABLE)]

    run(main())


def test_dial_with_a_bug() -> None:
    """What is no OSError comes out, and the attempts under way are aborted."""

    async def main() -> None:
        world = World({A: (NEVER, None), B: (0, None)}, {B: ZeroDivisionError()})
        with pytest.raises(ZeroDivisionError):
            await world.race()
        assert world.still_open() == []
        assert world.log[-1] == (0.25, "A abandoned")

    run(main())


def test_no_addresses() -> None:
    """A race without addresses is over at once, and nobody has won."""

    async def main() -> None:
        assert await World({}).race() is None
        assert asyncio.get_running_loop().time() == 0

    run(main())


def test_cancel() -> None:
    """A cancel aborts what runs; it is told as abandoned, and noted as unanswered for a timeout's error."""

    async def main() -> None:
        world = World({A: (0.125, REFUSED), B: (NEVER, None), C: (NEVER, None), D: (0, None)})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await world.race()
        assert world.log == [
            (0, "A started"),
            (0.125, "A failed"),
            (0.125, "B started"),
            (0.375, "C started"),
            (0.5, "B abandoned"),
            (0.5, "C abandoned"),
        ]
        assert world.still_open() == []
        assert [
            (NAMES[each.address], type(each.error), each.seconds) for each in world.failures
        ] == [
            ("A", ConnectionRefusedError, 0.125),
            ("B", TimeoutError, 0.375),
            ("C", TimeoutError, 0.125),
        ]

    run(main())


def test_cancel_in_the_turn_of_an_answer() -> None:
    """A cancel that comes in the very turn in which an address answers closes that one too."""

    async def main() -> None:
        world = World({A: (1, None)})
        task = asyncio.create_task(world.race())
        await asyncio.sleep(0)
        # Set after the timer of the answer, at the same moment: it runs in the same turn.
        asyncio.get_running_loop().call_later(1, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert world.dialled[A].outcome.done()
        assert world.still_open() == []

    run(main())


def test_timers_end_with_the_race() -> None:
    """No timer of a race is left when it is over: the clock has nowhere to go."""
    ended: list[float] = []

    async def main() -> None:
        await World({A: (0.125, None), B: (0, None)}).race()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(asyncio.get_running_loop().time())

    with pytest.raises(StuckError):
        run(main())
    assert ended == [0.125]


def test_without_emit() -> None:
    """Nobody needs to listen."""

    async def main() -> None:
        world = World({A: (NEVER, None), B: (0.125, REFUSED), C: (0, None)})
        winner = await race([A, B, C], world.dial, world.failures)
        assert winner is world.dialled[C]

    run(main())


@pytest.mark.parametrize(
    ("given", "ordered"),
    [
        ([], []),
        ([A], [A]),
        ([A, B], [A, B]),
        ([v6("::1"), v6("::2"), A, B], [v6("::1"), A, v6("::2"), B]),
        ([A, B, v6("::1")], [A, v6("::1"), B]),
        ([v6("::1"), v6("::2"), v6("::3"), A], [v6("::1"), A, v6("::2"), v6("::3")]),
        ([A, A, v6("::1"), A, v6("::1")], [A, v6("::1")]),
        ([A, v4("192.0.2.1"), OTHER_PORT], [A, OTHER_PORT]),
    ],
)  # fmt: skip
def test_interleave(given: list[Address], ordered: list[Address]) -> None:
    """Families take turns from that of the first address on; each keeps its order; repetitions go."""
    assert interleave(given) == ordered


# One address, with real sockets.


def listening(host: str = "127.0.0.1") -> tuple[socket.socket, Address]:
    """Open a listening socket on any port, and give its address, too."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.create_server((host, 0), family=family)
    return sock, Address.of(sock)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_dial_connects(host: str) -> None:
    """A listening port answers, and the socket is connected to it."""
    server, address = listening(host)
    with server:
        dialled = Dial(address)
        assert await dialled.outcome is None
        assert dialled.socket.getpeername() == address.sockaddr
        dialled.abort()


async def test_dial_socket_is_fit_for_a_transport() -> None:
    """The socket does not block, its children do not inherit it, and asyncio will see that it is TCP."""
    server, address = listening()
    with server:
        dialled = Dial(address)
        sock = dialled.socket
        assert (sock.gettimeout(), sock.get_inheritable(), sock.proto) == (
            0,
            False,
            socket.IPPROTO_TCP,
        )
        dialled.abort()


async def test_dial_refused() -> None:
    """A port that nobody listens on refuses; the error is the one of that name, with its number."""
    server, address = listening()
    server.close()
    dialled = Dial(address)
    error = await dialled.outcome
    dialled.abort()
    assert isinstance(error, ConnectionRefusedError)
    assert error.errno == errno.ECONNREFUSED
    assert error.strerror == "Connection refused"


async def test_dial_unreachable() -> None:
    """An address that the system refuses without trying fails with that error."""
    dialled = Dial(v6("fe80::1"))
    error = await dialled.outcome
    dialled.abort()
    # A link-local address says nothing without a zone.
    assert error is not None
    assert error.errno == errno.EINVAL


async def test_dial_that_cannot_begin() -> None:
    """What is wrong with the address itself comes out, and nothing is left open."""
    before = open_descriptors()
    with pytest.raises(OverflowError):
        Dial(Address(socket.AF_INET, ("127.0.0.1", 65536)))
    assert open_descriptors() == before


async def test_dial_from_an_address_that_is_not_ours() -> None:
    """The error of a local address that cannot be had names it and has the number of the system."""
    before = open_descriptors()
    with pytest.raises(OSError, match=r"cannot connect from 192\.0\.2\.1:0: ") as caught:
        Dial(v4("127.0.0.1"), ("192.0.2.1", 0))
    assert caught.value.errno == errno.EADDRNOTAVAIL
    assert open_descriptors() == before


async def test_dial_from_a_port() -> None:
    """The connection comes from the local address and port that were given."""
    server, address = listening()
    spare, local = listening("127.0.0.2")
    spare.close()
    with server:
        dialled = Dial(address, local.sockaddr)
        assert await dialled.outcome is None
        accepted, peer = server.accept()
        accepted.close()
        dialled.abort()
    assert peer == local.sockaddr


async def test_two_dials_from_one_port() -> None:
    """Two attempts at a time can come from one local port, as those of one race do."""
    one, address = listening()
    other, elsewhere = listening()
    spare, local = listening("127.0.0.2")
    spare.close()
    with one, other:
        dialled = [Dial(each, local.sockaddr) for each in (address, elsewhere)]
        assert [await each.outcome for each in dialled] == [None, None]
        for each in dialled:
            each.abort()


async def test_self_connect_is_refused() -> None:
    """A socket that was connected to itself counts as refused: nobody listens there."""
    server, address = listening()
    server.close()
    dialled = Dial(address, address.sockaddr)
    error = await dialled.outcome
    dialled.abort()
    assert isinstance(error, ConnectionRefusedError)


async def test_reset_socket_is_not_self_connected() -> None:
    """A connection between equal port numbers that was reset meanwhile is not taken for a self-connect."""
    server, address = listening()
    with server, socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.2", address.port))
        sock.connect(address.sockaddr)
        accepted, _ = server.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
        assert not is_self_connected(sock, address.port)


async def test_abort_while_connecting() -> None:
    """An attempt that is aborted while it waits leaves no descriptor, and its outcome never comes."""
    with black_hole() as (address, _):
        before = open_descriptors()
        dialled = Dial(address)
        descriptor = dialled.socket.fileno()
        dialled.abort()
        assert open_descriptors() == before
        assert not asyncio.get_running_loop().remove_writer(descriptor)
        await asyncio.sleep(0)
        assert not dialled.outcome.done()


async def test_connected_later() -> None:
    """An attempt that has to wait for its answer ends with it, and leaves the loop alone."""
    with black_hole() as (address, listener):
        dialled = Dial(address)
        assert not dialled.outcome.done()
        listener.accept()[0].close()
        assert await dialled.outcome is None
        assert not asyncio.get_running_loop().remove_writer(dialled.socket.fileno())
        dialled.abort()


async def test_failed_later() -> None:
    """An attempt that has to wait fails with the error that the system then reports."""
    with black_hole() as (address, _):
        dialled = Dial(address)
        # The kernel ends an unfinished handshake with an error, as it does when a reset arrives.
        dialled.socket.shutdown(socket.SHUT_RDWR)
        assert isinstance(await dialled.outcome, ConnectionResetError)
        dialled.abort()


@pytest.mark.parametrize(
    ("known", "late", "order"),
    [
        ([A, B, C], [v6("2001:db8::1")], "A 2001:db8::1 B C"),
        ([A], [v6("2001:db8::1"), v6("2001:db8::2")], "A 2001:db8::1 2001:db8::2"),
        ([A, v6("2001:db8::1")], [B], "A 2001:db8::1 B"),
    ],
)
def test_late_addresses_alternate(known: list[Address], late: list[Address], order: str) -> None:
    """Addresses that come late take turns with those that wait, beginning with the other family."""
    begun: list[str] = []

    def dial(address: Address) -> FakeDial:
        begun.append(NAMES.get(address, address.host))
        return FakeDial(0.01, REFUSED)

    async def main() -> None:
        coming: asyncio.Future[list[Address]] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.005, coming.set_result, late)
        assert await race(known, dial, [], late=coming) is None

    run(main())
    assert " ".join(begun) == order
