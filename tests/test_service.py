"""A connection that is kept up: when it is made, when it is lost, and that nothing is left of it."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

import pytest

from asyncendpoints import (
    Backoff,
    ClientService,
    ConnectError,
    ConnectRefusedError,
    ConnectTimeoutError,
    ServiceStoppedError,
    listen,
    start_server,
)
from asyncendpoints.attempt import Attempt
from asyncendpoints.grammar import Name
from asyncendpoints.service import _Life
from asyncendpoints.specs import ClientSpec
from tests.clock import run
from tests.serving import TASK_FACTORIES, complaints, turns, until
from tests.support import Recorder, open_descriptors, warm_up

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from asyncendpoints.server import Server

P = TypeVar("P", bound=asyncio.BaseProtocol)

#: 1, 2, 4 … seconds, without chance.
PLAIN = Backoff(jitter=0.0)


class Far:
    """The other side of a `PeerClient`: what each connect gives, and what came of it."""

    def __init__(self) -> None:
        #: What the next connects do: fail with an error, or wait for a future first. Then they succeed.
        self.plan: deque[BaseException | asyncio.Future[None]] = deque()
        #: Loop times of the connects.
        self.asked: list[float] = []
        #: The ends of the connections that were made.
        self.peers: list[socket.socket] = []

    def close(self) -> None:
        for each in self.peers:
            each.close()


@dataclass(frozen=True, slots=True, repr=False)
class PeerClient(ClientSpec):
    """A kind whose connects do what a test says."""

    names = (Name("peer", "peer:"),)
    far: ClassVar[Far]

    async def open_socket(self, attempt: Attempt) -> socket.socket:
        loop = asyncio.get_running_loop()
        self.far.asked.append(loop.time())
        step = self.far.plan.popleft() if self.far.plan else None
        if isinstance(step, BaseException):
            raise step
        if step is not None:
            await step
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        self.far.peers.append(theirs)
        return ours


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Iterator[Far]:
    """Give what decides about the connects of `PeerClient`; nothing may be open of them in the end."""
    made = Far()
    monkeypatch.setattr(PeerClient, "far", made, raising=False)
    yield made
    for each in made.peers:
        assert each.fileno() == -1 or each.recv(1) == b""
    made.close()


def refused() -> ConnectRefusedError:
    """Make the error of a connect."""
    return ConnectRefusedError(PeerClient(), "connect", "nobody listens there")


@dataclass
class History:
    """The states of a service, each with its time."""

    states: list[tuple[float, str]] = field(default_factory=list)

    def __call__(self, service: ClientService[Any]) -> None:
        self.states.append((asyncio.get_running_loop().time(), service.state))

    @property
    def names(self) -> list[str]:
        return [state for _, state in self.states]


def service(factory: Callable[[], Recorder] = Recorder, **given: Any) -> ClientService[Recorder]:
    """Make a service without chance."""
    return ClientService(PeerClient(), factory, **{"backoff": PLAIN, "draw": lambda: 0.0, **given})


# Connecting


def test_it_gives_the_protocol_of_a_connection(far: Far) -> None:
    """Who waits gets the protocol that the factory made, once it is connected."""

    async def main() -> None:
        async with service() as kept:
            protocol = await kept.when_connected()
            assert protocol.made.is_set()
            assert kept.protocol is protocol
            assert await kept.when_connected() is protocol

    run(main())


def test_its_states(far: Far) -> None:
    """A service tells of each of its states, in their order."""
    history = History()

    async def main() -> None:
        far.plan.append(refused())
        kept = service(on_change=history)
        assert kept.state == "new"
        async with kept:
            await kept.when_connected()

    run(main())
    assert history.states == [
        (0.0, "connecting"),
        (0.0, "waiting"),
        (1.0, "connecting"),
        (1.0, "connected"),
        (1.0, "stopping"),
        (1.0, "stopped"),
    ]


def test_pauses_grow_with_the_failures(far: Far) -> None:
    """The pauses after failures in a row are those of the back-off."""

    async def main() -> None:
        far.plan.extend(refused() for _ in range(8))
        async with service() as kept:
            await kept.when_connected()

    run(main())
    assert far.asked == [0, 1, 3, 7, 15, 31, 63, 123, 183]


def test_chance_shortens_a_pause(far: Far) -> None:
    """The pauses depend on what is drawn."""

    async def main() -> None:
        far.plan.append(refused())
        async with service(backoff=Backoff(jitter=0.5), draw=lambda: 0.5) as kept:
            await kept.when_connected()

    run(main())
    assert far.asked == [0, 0.75]


def test_a_lost_connection_is_made_again(far: Far) -> None:
    """When a connection ends that was steady, the next is made after the first pause, with a new protocol."""

    async def main() -> None:
        far.plan.extend([refused(), refused()])
        async with service() as kept:
            first = await kept.when_connected()
            await asyncio.sleep(10)
            far.peers[0].close()
            await first.lost.wait()
            assert await kept.when_connected() is not first

    run(main())
    assert far.asked == [0, 1, 3, 14]


def test_a_connection_that_is_brief_is_a_failure(far: Far) -> None:
    """A server that accepts and closes is asked with growing pauses, like one that refuses."""

    async def main() -> None:
        async with service(steady=0.5) as kept:
            for _ in range(6):
                protocol = await kept.when_connected()
                far.peers[-1].close()
                await protocol.lost.wait()
            await turns()
            assert kept.failures == 6

    run(main())
    assert far.asked == [0, 1, 3, 7, 15, 31]


@pytest.mark.parametrize(("seconds", "failures"), [(9.999, 3), (10.0, 1)])
def test_a_connection_that_has_lived_counts_afresh(far: Far, seconds: float, failures: int) -> None:
    """From ``steady`` seconds on a connection ends the row of failures."""

    async def main() -> int:
        far.plan.extend([refused(), refused()])
        async with service() as kept:
            await kept.when_connected()
            await asyncio.sleep(seconds)
            far.peers[0].close()
            await until(lambda: kept.state == "waiting")
            return kept.failures

    assert run(main()) == failures


def test_the_time_limit_is_that_of_a_connect(far: Far) -> None:
    """An attempt that takes too long has failed."""

    async def main() -> None:
        far.plan.append(asyncio.get_running_loop().create_future())
        async with service(timeout=5) as kept:
            with pytest.raises(ConnectTimeoutError):
                await kept.when_connected(fail_after=1)
            await kept.when_connected()

    run(main())
    assert far.asked == [0, 6]


def test_the_endpoint_can_be_text(far: Far) -> None:
    """A description is as good as a spec."""

    async def main() -> None:
        async with (
            listen("memory:app", Recorder),
            ClientService("memory:app", Recorder) as kept,
        ):
            await kept.when_connected()

    run(main())


# Waiting for a connection


def test_it_waits_for_the_start(far: Far) -> None:
    """Who waits before the start gets the first protocol."""

    async def main() -> None:
        kept = service()
        waiting = asyncio.create_task(kept.when_connected())
        await turns()
        async with kept:
            assert await waiting is kept.protocol

    run(main())


def test_it_gives_up_after_some_failures(far: Far) -> None:
    """``fail_after`` counts the failures from the call on, and gives the last one's error."""
    errors = [refused() for _ in range(4)]

    async def main() -> None:
        far.plan.extend(errors)
        async with service() as kept:
            with pytest.raises(ConnectRefusedError) as first:
                await kept.when_connected(fail_after=1)
            assert first.value is kept.error is errors[0]
            with pytest.raises(ConnectRefusedError) as third:
                await kept.when_connected(fail_after=2)
            assert third.value is errors[2]

    run(main())
    assert far.asked == [0, 1, 3]


def test_one_gives_up_and_another_waits_on(far: Far) -> None:
    """Each who waits has a limit of its own, and one that was cancelled is forgotten."""

    async def main() -> None:
        far.plan.extend([refused(), refused()])
        async with service() as kept:
            soon, later, cancelled, never = (
                asyncio.create_task(kept.when_connected(limit)) for limit in (1, 5, 1, None)
            )
            await asyncio.sleep(0)
            cancelled.cancel()
            with pytest.raises(ConnectRefusedError):
                await soon
            assert await later is await never
            with pytest.raises(asyncio.CancelledError):
                await cancelled

    run(main())


def test_who_leaves_as_the_connection_comes_is_passed_over(far: Far) -> None:
    """One who is cancelled at the very moment of the connection does not stop it from being given."""
    waiting: list[asyncio.Task[Recorder]] = []

    def leave(kept: ClientService[Recorder]) -> None:
        if kept.state == "connected":
            waiting[0].cancel()

    async def main() -> None:
        kept = service(on_change=leave)
        waiting.extend(asyncio.create_task(kept.when_connected()) for _ in range(2))
        await turns()
        async with kept:
            with pytest.raises(asyncio.CancelledError):
                await waiting[0]
            assert await waiting[1] is kept.protocol

    run(main())


def test_who_leaves_as_the_attempt_fails_is_passed_over(far: Far) -> None:
    """One who is cancelled at the very moment of the failure does not stop the service."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        gate = loop.create_future()
        far.plan.append(gate)
        async with service() as kept:
            waiting = asyncio.create_task(kept.when_connected(fail_after=1))
            await turns()
            loop.call_soon(waiting.cancel)
            gate.set_exception(refused())
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await kept.when_connected()

    run(main())


def test_a_connection_that_closes_is_not_given(far: Far) -> None:
    """From the moment in which a transport is told to close its protocol is not given any more."""

    async def main() -> None:
        async with service() as kept:
            first = await kept.when_connected()
            assert first.transport is not None
            first.transport.close()
            assert kept.protocol is None
            assert await kept.when_connected() is not first

    run(main())


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(limit: int) -> None:
    """``fail_after`` is 1 or more."""

    async def main() -> None:
        with pytest.raises(ValueError, match=f"^fail_after is {limit}, expected 1 or more$"):
            await service().when_connected(fail_after=limit)

    run(main())


# Preparing


def test_a_protocol_is_prepared_before_anybody_gets_it(far: Far) -> None:
    """``prepare`` is awaited with the protocol, and only then it is given."""
    history = History()

    async def prepare(protocol: Recorder) -> None:
        assert protocol.made.is_set()
        await asyncio.sleep(3)

    async def main() -> None:
        async with service(prepare=prepare, on_change=history) as kept:
            await kept.when_connected()
            assert asyncio.get_running_loop().time() == 3

    run(main())
    assert history.names[:3] == ["connecting", "preparing", "connected"]


def failing(protocol: Recorder) -> Awaitable[None]:
    """Fail at once."""
    raise RuntimeError("no such user")


async def failing_later(protocol: Recorder) -> None:
    """Fail after a while."""
    await asyncio.sleep(1)
    raise RuntimeError("no such user")


@pytest.mark.parametrize("prepare", [failing, failing_later])
def test_a_preparation_that_fails_closes_the_connection(
    far: Far, prepare: Callable[[Recorder], Awaitable[None]]
) -> None:
    """A failed preparation is a failed attempt, and its connection is closed by then."""

    async def main() -> None:
        async with service(prepare=prepare) as kept:
            with pytest.raises(RuntimeError, match="no such user"):
                await kept.when_connected(fail_after=1)
            assert far.peers[0].recv(1) == b""
            assert (kept.state, kept.failures) == ("waiting", 1)

    run(main())


def test_a_preparation_ends_with_its_connection(far: Far) -> None:
    """When the connection ends, its preparation is cancelled, and the attempt has failed."""
    cancelled = []

    async def prepare(protocol: Recorder) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.append(protocol)
            raise

    async def main() -> None:
        async with service(prepare=prepare) as kept:
            await until(lambda: kept.state == "preparing")
            far.peers[0].close()
            with pytest.raises(ConnectError) as caught:
                await kept.when_connected(fail_after=1)
            assert caught.value.stage == "prepare"
            assert str(caught.value) == "peer: the connection ended while it was being prepared"
        assert len(cancelled) == 1

    run(main())


def test_what_a_preparation_says_of_the_end_goes_first(far: Far) -> None:
    """A preparation that fails because its connection ends gives its own error."""

    async def prepare(protocol: Recorder) -> None:
        await protocol.lost.wait()
        raise EOFError("not logged in")

    async def main() -> None:
        async with service(prepare=prepare) as kept:
            await until(lambda: kept.state == "preparing")
            far.peers[0].close()
            with pytest.raises(EOFError, match="not logged in"):
                await kept.when_connected(fail_after=1)

    run(main())


def test_a_cancel_from_within_is_a_failure(far: Far) -> None:
    """A preparation that ends in a cancel that nobody asked for does not end the service."""

    async def prepare(protocol: Recorder) -> None:
        raise asyncio.CancelledError

    async def main() -> None:
        async with service(prepare=prepare) as kept:
            with pytest.raises(ConnectError, match="was cancelled from within") as caught:
                await kept.when_connected(fail_after=1)
            assert isinstance(caught.value.__cause__, asyncio.CancelledError)
            assert kept.state == "waiting"

    run(main())


def test_a_preparation_can_stop_the_service(far: Far) -> None:
    """``stop()`` from inside of the preparation ends that, the connection and the service."""

    async def main() -> None:
        async def prepare(protocol: Recorder) -> None:
            await kept.stop()

        kept = service(prepare=prepare)
        kept.start()
        await until(lambda: kept.state == "stopped")

    run(main())


# Failures of the program


class Faulty:
    """A factory that fails."""

    def __call__(self) -> Recorder:
        raise RuntimeError("no protocol today")


def test_a_factory_that_fails_is_a_failed_attempt(
    far: Far, caplog: pytest.LogCaptureFixture
) -> None:
    """What a factory raises is logged with its traceback, and the service goes on."""

    async def main() -> None:
        async with service(Faulty()) as kept:
            with pytest.raises(RuntimeError, match="no protocol today"):
                await kept.when_connected(fail_after=1)

    run(main())
    (record,) = caplog.records
    assert record.getMessage() == (
        "peer: the attempt failed with RuntimeError('no protocol today')"
    )
    assert record.exc_info is not None


def test_the_first_failure_of_a_row_is_logged(far: Far, caplog: pytest.LogCaptureFixture) -> None:
    """A server that is away for an hour costs one line of the log, without a traceback."""
    caplog.set_level(logging.DEBUG, "asyncendpoints")

    async def main() -> None:
        far.plan.extend(refused() for _ in range(60))
        async with service():
            await asyncio.sleep(3600)

    run(main())
    ours = [each for each in caplog.records if each.name == "asyncendpoints"]
    assert len(ours) > 50
    assert [each.getMessage() for each in ours if each.levelno > logging.DEBUG] == [
        "peer: nobody listens there"
    ]
    assert ours[0].exc_info is None


def test_a_hook_that_raises_does_not_stop_the_service(far: Far) -> None:
    """What ``on_change`` raises goes to the exception handler of the loop."""

    def hook(kept: ClientService[Recorder]) -> None:
        raise RuntimeError(kept.state)

    async def main() -> list[str]:
        heard = complaints()
        async with service(on_change=hook) as kept:
            await kept.when_connected()
        return [str(each["exception"]) for each in heard]

    assert run(main()) == ["connecting", "connected", "stopping", "stopped"]


def test_what_is_no_factory_is_refused() -> None:
    """One protocol cannot serve several connections."""
    with pytest.raises(TypeError, match=r"^a service makes a protocol for each connection, not"):
        ClientService("memory:app", Recorder())  # type: ignore[arg-type]  # the test is about that


def test_a_negative_time_is_refused() -> None:
    """``steady`` is 0 or more."""
    with pytest.raises(ValueError, match=r"^steady is -1, expected 0 or more seconds$"):
        service(steady=-1)


# Stopping


async def hang(protocol: Recorder) -> None:
    """Prepare without end."""
    await asyncio.get_running_loop().create_future()


STATES: dict[str, dict[str, Any]] = {
    "connecting": {},
    "preparing": {"prepare": hang},
    "connected": {},
    "waiting": {},
}


async def in_state(far: Far, state: str) -> ClientService[Recorder]:
    """Give a service that is in a state."""
    if state == "connecting":
        far.plan.append(asyncio.get_running_loop().create_future())
    if state == "waiting":
        far.plan.append(refused())
    kept = service(**STATES[state])
    kept.start()
    await turns()
    await until(lambda: kept.state == state)
    return kept


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("factory", TASK_FACTORIES)
def test_it_stops_in_every_state(far: Far, state: str, factory: Any) -> None:
    """Wherever it is, it stops at once, tells those who wait, and leaves neither task nor descriptor."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(factory)
        before = open_descriptors()
        kept = await in_state(far, state)
        # One who waits, unless there is a connection to have.
        waiting = asyncio.create_task(kept.when_connected())
        await turns()
        await kept.stop()
        assert (kept.state, kept.protocol) == ("stopped", None)
        assert asyncio.all_tasks() - {waiting} == {asyncio.current_task()}
        if state == "connected":
            assert (await waiting).lost.is_set()
        else:
            with pytest.raises(ServiceStoppedError) as caught:
                await waiting
            assert caught.value.endpoint == kept.endpoint
        far.close()
        assert open_descriptors() == before
        assert loop.time() == 0

    run(main())


@pytest.mark.parametrize("state", STATES)
def test_a_cancelled_stop_leaves_nothing_either(far: Far, state: str) -> None:
    """When ``stop()`` is cancelled, the service ends at once, and the cancel comes out."""

    async def main() -> None:
        before = open_descriptors()
        kept = await in_state(far, state)
        stopping = asyncio.create_task(kept.stop())
        await asyncio.sleep(0)
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        assert kept.state == "stopped"
        assert asyncio.all_tasks() == {asyncio.current_task()}
        far.close()
        assert open_descriptors() == before
        assert asyncio.get_running_loop().time() == 0

    run(main())


@pytest.mark.parametrize("state", STATES)
def test_an_exception_in_the_block_ends_it_at_once(far: Far, state: str) -> None:
    """On an exception there is no grace: what the connection still has to send is lost."""

    async def main() -> None:
        kept = await in_state(far, state)
        if kept.protocol is not None:
            kept.protocol.transport.write(b"x" * 10_000_000)  # type: ignore[union-attr]  # it is made
        await kept.__aexit__(KeyError, KeyError(), None)
        assert kept.state == "stopped"
        assert asyncio.get_running_loop().time() == 0
        far.close()

    run(main())
    far.peers.clear()


def test_a_service_that_never_started_stops(far: Far) -> None:
    """Stopping what was never started tells those who wait for it, and can be done twice."""

    async def main() -> None:
        kept = service()
        waiting = asyncio.create_task(kept.when_connected())
        await turns()
        await kept.stop()
        with pytest.raises(ServiceStoppedError, match=r"^peer: the service is stopped$"):
            await waiting
        await kept.stop()
        with pytest.raises(ServiceStoppedError):
            await kept.when_connected()

    run(main())


def test_it_stops_before_its_first_step(far: Far) -> None:
    """A service that is stopped in the turn in which it was started is stopped."""

    async def main() -> None:
        kept = service()
        kept.start()
        await kept.stop()
        assert kept.state == "stopped"

    run(main())
    assert far.asked == []


def test_several_can_stop_it(far: Far) -> None:
    """Each ``stop()`` waits for the end, and a hurried one makes the others quick."""
    full = b"x" * 10_000_000

    async def main() -> None:
        async with service() as kept:
            protocol = await kept.when_connected()
            assert protocol.transport is not None
            protocol.transport.write(full)
            stops = [asyncio.create_task(kept.stop()) for _ in range(2)]
            await asyncio.sleep(0.5)
            assert kept.state == "stopping"
            await kept.__aexit__(KeyError, KeyError(), None)
            assert asyncio.get_running_loop().time() == 0.5
            await asyncio.gather(*stops)
        far.close()

    run(main())
    far.peers.clear()


def test_a_peer_that_does_not_read_is_given_a_second(far: Far) -> None:
    """What a connection still has to send is waited for a second, then it is aborted."""

    async def main() -> None:
        async with service() as kept:
            protocol = await kept.when_connected()
            assert protocol.transport is not None
            protocol.transport.write(b"x" * 10_000_000)
        assert protocol.lost.is_set()
        assert asyncio.get_running_loop().time() == 1.0
        far.close()

    run(main())
    far.peers.clear()


def test_a_transport_that_closes_already_is_not_closed_twice(far: Far) -> None:
    """A connection that its program has told to close is waited for in the same way."""

    async def main() -> None:
        async with service() as kept:
            protocol = await kept.when_connected()
            assert protocol.transport is not None
            protocol.transport.write(b"x" * 10_000_000)
            protocol.transport.close()
        assert asyncio.get_running_loop().time() == 1.0
        far.close()

    run(main())
    far.peers.clear()


def test_it_can_be_started_again(far: Far) -> None:
    """After a stop everything begins anew: the failures are forgotten, and there is a new connection."""

    async def main() -> None:
        far.plan.append(refused())
        kept = service()
        async with kept:
            with pytest.raises(ConnectRefusedError):
                await kept.when_connected(fail_after=1)
        async with kept:
            assert (kept.failures, kept.error) == (0, None)
            await kept.when_connected()

    run(main())
    assert far.asked == [0, 0]


def test_it_is_started_once(far: Far) -> None:
    """A service that runs, or has not stopped yet, cannot be started."""

    async def main() -> None:
        async with service() as kept:
            await kept.when_connected()
            with pytest.raises(RuntimeError, match="started already, and is connected"):
                kept.start()
            stopping = asyncio.create_task(kept.stop())
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="started already, and is stopping"):
                kept.start()
            await stopping

    run(main())


def test_the_end_of_the_loop_ends_it(far: Far) -> None:
    """A service that nobody stops ends with its loop."""

    async def main() -> ClientService[Recorder]:
        kept = service()
        kept.start()
        await kept.when_connected()
        return kept

    assert run(main()).state == "stopped"


def test_its_repr_says_where_it_is(far: Far) -> None:
    """The endpoint, the state and the failures are in the ``repr``, secrets are not."""

    async def main() -> str:
        far.plan.append(refused())
        async with service() as kept:
            await until(lambda: kept.state == "waiting")
            return repr(kept)

    assert run(main()) == "<ClientService peer waiting failures=1>"


# How the end of a connection is known


class Successor(asyncio.Protocol):
    """The second protocol of a connection."""

    __slots__ = ()


class Slotted(asyncio.Protocol):
    """A protocol without a place for attributes, which hands its transport over at once."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.set_protocol(Successor())


@pytest.fixture(
    params=["tcp:0:interface=127.0.0.1", "tls:0:interface=127.0.0.1:selfsigned=localhost"]
)
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    """A real server that does nothing."""
    await warm_up()
    async with listen(request.param, Recorder) as made:
        yield made


@pytest.fixture(params=TASK_FACTORIES)
async def task_factory(request: pytest.FixtureRequest) -> None:
    """Run a test with each factory of tasks."""
    asyncio.get_running_loop().set_task_factory(request.param)


QUICK = Backoff(initial=0.001, maximum=0.01)


@pytest.mark.usefixtures("task_factory")
async def test_the_end_is_seen_of_a_real_connection(server: Server) -> None:
    """Over TCP and TLS, with a protocol that has slots and hands over, each end is seen."""
    before = open_descriptors()
    async with ClientService(server.client_endpoints[0], Slotted, backoff=QUICK) as kept:
        protocols = [await kept.when_connected()]
        assert kept._up is not None
        assert kept._up[0]._timer is None  # it is not looked at
        for _ in range(2):
            await until(lambda: server.stats.active == 1)
            await until(lambda: any(each.transport for each in server._connections))
            server.close_clients()
            await until(lambda: kept.protocol is not protocols[-1])
            protocols.append(await kept.when_connected())
    assert len(set(map(id, protocols))) == 3
    await until(lambda: server.stats.active == 0)
    assert open_descriptors() == before


async def test_a_connection_that_its_program_aborts_is_made_again(server: Server) -> None:
    """Over TCP and TLS, an abort on our side ends the connection as well."""
    async with ClientService(server.client_endpoints[0], Recorder, backoff=QUICK) as kept:
        first = await kept.when_connected()
        assert first.transport is not None
        first.transport.abort()
        assert await kept.when_connected() is not first
        assert first.lost.is_set()


@pytest.mark.parametrize("is_closing", [False, True])
async def test_a_silent_tls_peer_does_not_hold_up_the_stop(is_closing: bool) -> None:
    """A stop takes a second, also where the other side never ends its TLS and ours has begun to."""
    description = "tls:0:interface=127.0.0.1:selfsigned=localhost"

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        cast(asyncio.Transport, writer.transport).pause_reading()
        await ended.wait()
        writer.transport.abort()

    ended = asyncio.Event()
    async with start_server(deaf, description) as server:
        async with ClientService(server.client_endpoints[0], Recorder) as kept:
            protocol = await kept.when_connected()
            assert protocol.transport is not None
            protocol.transport.write(b"x" * 10_000_000)
            if is_closing:
                protocol.transport.close()
        assert protocol.lost.is_set()
        ended.set()


async def test_a_followed_socket_never_blocks() -> None:
    """A kind gets back a socket that reports its end, and that is non-blocking as it was."""
    attempt = Attempt(PeerClient(), follow=True)
    one, other = socket.socketpair()
    with other, attempt.followed(one) as sock:
        assert sock is attempt.socket
        assert sock.gettimeout() == 0


async def test_nobody_follows_a_plain_connect() -> None:
    """A connect that nobody follows uses the socket that it has."""
    attempt = Attempt(PeerClient())
    one, other = socket.socketpair()
    with one, other:
        assert attempt.followed(one) is one


class Hasty(Recorder):
    """A protocol that aborts its connection as soon as there is one."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        cast(asyncio.Transport, transport).abort()


def test_a_connection_that_ended_before_it_was_given_counts(far: Far) -> None:
    """A protocol that aborts at once gives growing pauses, like every brief connection."""

    async def main() -> None:
        async with service(Hasty):
            await asyncio.sleep(10)

    run(main())
    assert far.asked == [0, 1, 3, 7]


async def test_a_socket_that_is_closed_by_then_is_an_end() -> None:
    """A connection whose socket is closed when it is looked at first has ended."""
    one, other = socket.socketpair()
    one.close()
    other.close()
    life = _Life(asyncio.Transport(), cast(Any, one))
    assert life.ended.done()
    await life.abort()


def test_an_end_after_the_loop_is_no_news() -> None:
    """A socket that is closed when its loop is gone troubles nobody."""

    async def main() -> _Life:
        return _Life(asyncio.Transport(), cast(Any, sock))

    sock = Reporting()
    with asyncio.Runner() as runner:
        life = runner.run(main())
    assert sock.on_end is not None
    sock.on_end(sock)
    assert not life.ended.done()


class Reporting:
    """What is left of a socket that reports its end."""

    on_end: Callable[[Any], None] | None = None

    def fileno(self) -> int:
        return 1


class OwnTransport(asyncio.Transport):
    """A transport that rests on no socket."""

    def __init__(self, protocol: asyncio.BaseProtocol) -> None:
        super().__init__()
        self._is_closing = False
        self.calls: list[str] = []
        protocol.connection_made(self)

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self._is_closing = True
        self.calls.append("close")

    def abort(self) -> None:
        self._is_closing = True
        self.calls.append("abort")


@dataclass(frozen=True, slots=True, repr=False)
class OwnClient(ClientSpec):
    """A kind with a transport of its own."""

    names = (Name("own", "own:"),)

    async def open(self, attempt: Attempt, factory: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        protocol = factory()
        return OwnTransport(protocol), protocol


def test_a_transport_without_a_socket_is_looked_at() -> None:
    """The end of a connection that rests on no socket is seen within a second."""

    async def main() -> None:
        async with ClientService(OwnClient(), Recorder, backoff=PLAIN) as kept:
            first = await kept.when_connected()
            await asyncio.sleep(2.5)
            assert isinstance(first.transport, OwnTransport)
            first.transport.abort()
            second = await kept.when_connected()
            # Seen after 3 seconds, and made again a second later.
            assert asyncio.get_running_loop().time() == 4.0
        assert isinstance(second.transport, OwnTransport)
        assert second.transport.calls == ["close", "abort"]
        assert asyncio.get_running_loop().time() == 5.0

    run(main())
    gc.collect()
