"""``connect`` and ``open_connection``: time limits, cancels, errors, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import errno
import gc
import inspect
import socket
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, cast

import pytest

from asyncendpoints import events
from asyncendpoints.addresses import Address
from asyncendpoints.attempt import Attempt
from asyncendpoints.connecting import DEFAULT_TIMEOUT, connect, open_connection, within
from asyncendpoints.errors import (
    ConnectRefusedError,
    ConnectTimeoutError,
    DescriptionError,
    EndpointError,
)
from asyncendpoints.fields import Help, Seconds, Text
from asyncendpoints.grammar import Inner, Name
from asyncendpoints.kinds.tcp import TCPClient, TCPServer
from asyncendpoints.names import LookupThreads
from asyncendpoints.race import failure
from asyncendpoints.specs import ClientSpec
from tests.clock import run
from tests.support import Recorder, black_hole, open_descriptors, warm_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A listening socket; what connects stays in its backlog."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def text_of(sock: socket.socket) -> str:
    """Give the description that leads to a listening socket."""
    host, port = sock.getsockname()[:2]
    return f"tcp:[{host}]:{port}"


async def ended(transport: asyncio.Transport, protocol: Recorder) -> None:
    """Abort a connection and wait for its end."""
    transport.abort()
    await protocol.lost.wait()


async def opened_within(timeout: float, attempt: Attempt) -> tuple[asyncio.Transport, Recorder]:
    """Carry out an attempt within some seconds."""
    return await within(timeout, attempt, partial(attempt.endpoint.open, attempt, Recorder))


def lookup_of(*addresses: Address) -> Callable[[str, int, int], Any]:
    """Make a lookup that answers every name with these addresses."""

    async def lookup(*_: object) -> Sequence[Address]:
        return addresses

    return lookup


@contextmanager
def nothing_left() -> Iterator[None]:
    """Hold that a block leaves no descriptor, no task, and nothing for the log."""
    loop = asyncio.get_running_loop()
    reported: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: reported.append(context))
    descriptors, tasks = open_descriptors(), asyncio.all_tasks()
    yield
    assert open_descriptors() == descriptors
    assert asyncio.all_tasks() == tasks
    gc.collect()
    assert reported == []


# What comes back


async def test_connect(server: socket.socket) -> None:
    """The transport is the loop's own, the protocol the one that the factory made."""
    transport, protocol = await connect(text_of(server), Recorder)
    other, _ = await asyncio.get_running_loop().create_connection(Recorder, *server.getsockname())
    assert type(transport) is type(other)
    assert protocol.transport is transport
    assert transport.get_extra_info("peername") == server.getsockname()
    other.abort()
    await ended(transport, protocol)


async def test_no_delay(server: socket.socket) -> None:
    """Nagle's algorithm is off, as it is where asyncio connects."""
    transport, protocol = await connect(text_of(server), Recorder)
    sock = transport.get_extra_info("socket")
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    await ended(transport, protocol)


async def test_connect_to_a_spec(server: socket.socket) -> None:
    """A spec does instead of a text."""
    transport, protocol = await connect(TCPClient(*server.getsockname()), Recorder)
    await ended(transport, protocol)


async def test_protocol_instead_of_a_factory(server: socket.socket) -> None:
    """A protocol itself is used as it is."""
    protocol = Recorder()
    transport, same = await connect(text_of(server), protocol)
    assert same is protocol
    await ended(transport, protocol)


class CallableProtocol(Recorder):
    """A protocol that can be called: still a protocol."""

    __call__ = print


async def test_callable_protocol(server: socket.socket) -> None:
    """A protocol that happens to be callable is no factory."""
    protocol = CallableProtocol()
    transport, same = await connect(text_of(server), protocol)
    assert same is protocol
    await ended(transport, protocol)


async def test_factory_is_called_once_and_last(server: socket.socket) -> None:
    """The factory is called once, after the connection is there."""
    seen: list[str] = []

    def factory() -> Recorder:
        seen.append("factory")
        return Recorder()

    transport, protocol = await connect(
        text_of(server), factory, on_event=lambda event: seen.append(type(event).__name__)
    )
    assert seen == ["AttemptStarted", "Connected", "factory"]
    await ended(transport, protocol)


async def test_data_goes_both_ways(server: socket.socket) -> None:
    """Streams carry what the peer sends and what is written."""
    reader, writer = await open_connection(text_of(server))
    accepted, _ = server.accept()
    with accepted:
        writer.write(b"to the server")
        assert accepted.recv(100) == b"to the server"
        accepted.sendall(b"to the client\n")
        assert await reader.readline() == b"to the client\n"
    writer.close()
    await writer.wait_closed()


async def test_limit_of_the_reader(server: socket.socket) -> None:
    """The limit of the reader's buffer is the one that was given."""
    reader, writer = await open_connection(text_of(server), limit=4)
    accepted, _ = server.accept()
    with accepted:
        accepted.sendall(b"12345678\n")
        with pytest.raises(ValueError, match="limit"):
            await reader.readline()
    writer.close()
    await writer.wait_closed()


async def test_open_connection_that_fails() -> None:
    """Streams that do not come about leave nothing behind."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        text = text_of(closed)
    with nothing_left(), pytest.raises(ConnectRefusedError):
        await open_connection(text)


# Wrong arguments


@pytest.mark.parametrize("text", ["tcp", "nonsense:1", "tcp:[::1", ""])
async def test_wrong_description(text: str) -> None:
    """A text that is no description is a `DescriptionError`."""
    with pytest.raises(DescriptionError):
        await connect(text, Recorder)


@pytest.mark.parametrize("endpoint", [TCPServer(0), TCPClient, b"tcp:127.0.0.1:1", None])
async def test_wrong_endpoint(endpoint: Any) -> None:
    """What is neither text nor the spec of a client is a ``TypeError``."""
    with pytest.raises(TypeError, match="a description or a client spec, not "):
        await connect(endpoint, Recorder)


async def test_wrong_factory(server: socket.socket) -> None:
    """What can make no protocol is a ``TypeError`` before anything is connected."""
    nonsense: Any = 5
    with pytest.raises(TypeError, match="a protocol factory is a function or a class, or a proto"):
        await connect(text_of(server), nonsense)
    server.setblocking(False)
    with pytest.raises(BlockingIOError):
        server.accept()


# Factories that raise


@pytest.mark.parametrize(
    "error", [ValueError(), TimeoutError(), ConnectionRefusedError(), asyncio.CancelledError()]
)
@pytest.mark.parametrize("timeout", [None, 30])
async def test_factory_that_raises(
    server: socket.socket, error: BaseException, timeout: float | None
) -> None:
    """What the factory raises comes out unchanged, whatever it is, and the connection is closed."""

    def factory() -> Recorder:
        raise error

    with nothing_left(), pytest.raises(type(error)) as caught:
        await connect(text_of(server), factory, timeout=timeout)
    assert caught.value is error
    accepted, _ = server.accept()
    with accepted:
        assert accepted.recv(1) == b""


# Time limits, on a clock that jumps


async def forever(*_: object) -> Any:
    """Wait for what never comes."""
    return await asyncio.get_running_loop().create_future()


@dataclass(frozen=True, slots=True, repr=False)
class SlowClient(ClientSpec):
    """A client that only waits; it has no time limit of its own."""

    names = (Name("slow", "slow:x"),)

    note: Annotated[str, Text(), Help("anything")] = ""

    async def open_socket(self, attempt: Attempt) -> socket.socket:
        attempt.stage = "proxy"
        return cast(socket.socket, await forever())


@dataclass(frozen=True, slots=True, repr=False)
class HurriedClient(SlowClient):
    """One with a time limit."""

    timeout: Annotated[Seconds | None, Help("limit, in seconds")] = 30.0


@dataclass(frozen=True, slots=True, repr=False)
class CoatClient(ClientSpec):
    """A wrapper without a time limit of its own."""

    names = (Name("coat", "coat:slow:x"),)

    inner: Annotated[ClientSpec, Inner("client", rest=True), Help("what is wrapped")]

    async def open_socket(self, attempt: Attempt) -> socket.socket:
        return await self.inner.open_socket(attempt)


async def moment_of_timeout(action: Any) -> tuple[float, ConnectTimeoutError]:
    """Give the moment at which something times out, and the error."""
    with pytest.raises(ConnectTimeoutError) as caught:
        await action
    return asyncio.get_running_loop().time(), caught.value


@pytest.mark.parametrize(("timeout", "moment"), [(5, 5), (0.5, 0.5), (0, 0), (-1, 0)])
def test_timeout_of_the_call(timeout: float, moment: float) -> None:
    """The time limit of the call is kept to the moment; 0 ends the wait at once."""
    seconds, error = run(moment_of_timeout(connect(SlowClient(), Recorder, timeout=timeout)))
    assert seconds == moment
    assert error.problem == f"timed out after {moment:g} s (proxy)"


def test_timeout_that_is_none() -> None:
    """What is no number of seconds is refused before anything is tried."""
    with pytest.raises(TypeError, match="timeout is in seconds, or None for no limit, not '5'"):
        run(connect(SlowClient(), Recorder, timeout="5"))  # type: ignore[arg-type]


def test_default_timeout() -> None:
    """A spec without a time limit has that of the library."""
    seconds, _ = run(moment_of_timeout(connect(SlowClient(), Recorder)))
    assert seconds == DEFAULT_TIMEOUT == 30


@pytest.mark.parametrize(("inner", "moment"), [(HurriedClient(timeout=7.0), 7), (SlowClient(), 30)])
def test_timeout_of_what_is_wrapped(inner: ClientSpec, moment: float) -> None:
    """A wrapper that has no time limit has that of what it wraps."""
    seconds, _ = run(moment_of_timeout(connect(CoatClient(inner), Recorder)))
    assert seconds == moment


def test_no_timeout() -> None:
    """None is no limit: only the caller's own ends the wait."""

    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1_000_000):
                await connect(SlowClient(), Recorder, timeout=None)
        return asyncio.get_running_loop().time()

    assert run(main()) == 1_000_000


@pytest.mark.parametrize(("text", "seconds"), [("timeout=7", "7"), ("family=ipv4", "30")])
async def test_timeout_of_the_text(text: str, seconds: str) -> None:
    """The time limit of the text counts where the call gives none; the deadline tells it to the kind."""
    seen: list[float | None] = []

    @dataclass(frozen=True, slots=True, repr=False)
    class Curious(TCPClient):
        names = TCPClient.names

        async def open_socket(self, attempt: Attempt) -> socket.socket:
            assert attempt.deadline is not None
            seen.append(attempt.deadline - asyncio.get_running_loop().time())
            raise attempt.error("is only curious")

    key, _, value = text.partition("=")
    given: dict[str, Any] = {key: float(value) if key == "timeout" else value}
    with pytest.raises(EndpointError, match="only curious"):
        await connect(Curious("localhost", 1, **given), Recorder)
    assert seen == [pytest.approx(float(seconds), abs=1)]


def test_timeout_while_resolving() -> None:
    """A time limit that ends a lookup says so, and is a ``TimeoutError`` with its number."""
    spec = TCPClient("example.org", 80)
    attempt = Attempt(spec, lookup=forever)
    seconds, error = run(moment_of_timeout(opened_within(2, attempt)))
    assert seconds == 2
    assert isinstance(error, TimeoutError)
    assert (error.stage, error.errno, error.attempts) == ("resolve", errno.ETIMEDOUT, ())
    assert str(error) == "tcp:example.org:80: timed out after 2 s (resolve)"
    assert isinstance(error.__cause__, asyncio.CancelledError)


async def test_timeout_while_connecting() -> None:
    """A time limit that ends a race lists what failed before and what had not answered yet."""
    with black_hole() as (silent, _), socket.create_server(("127.0.0.1", 0)) as closed:
        refusing = Address.of(closed)
        closed.close()
        spec = TCPClient("example.org", 80)
        attempt = Attempt(spec, lookup=lookup_of(refusing, silent))
        with nothing_left(), pytest.raises(ConnectTimeoutError) as caught:
            await opened_within(0.01, attempt)
    error = caught.value
    assert (error.stage, error.errno) == ("connect", errno.ETIMEDOUT)
    assert [(each.address, type(each.error)) for each in error.attempts] == [
        (refusing, ConnectionRefusedError),
        (silent, TimeoutError),
    ]
    assert error.problem == (
        f"timed out after 0.01 s (connect): {refusing}: connection refused; {silent}: no answer"
    )


async def test_timeout_at_once(server: socket.socket) -> None:
    """A limit of 0 leaves nothing behind either."""
    await warm_up()
    with nothing_left(), pytest.raises(ConnectTimeoutError):
        await connect(text_of(server), Recorder, timeout=0)


def test_timeout_of_the_caller() -> None:
    """A time limit around the connect that ends first is the caller's own, and not told as ours."""

    async def main() -> float:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(3):
                await connect(SlowClient(), Recorder, timeout=5)
        assert not isinstance(caught.value, EndpointError)
        return asyncio.get_running_loop().time()

    assert run(main()) == 3


def test_both_limits_in_one_turn() -> None:
    """Where our limit and the caller's end at one moment, the caller gets the ``TimeoutError`` of theirs."""

    async def main() -> None:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(3) as limit:
                await connect(SlowClient(), Recorder, timeout=3)
        assert limit.expired()
        assert not isinstance(caught.value, EndpointError)

    run(main())


def test_timeout_is_no_cancel() -> None:
    """After a timeout the task is not cancelled, and can go on waiting."""

    async def main() -> float:
        with pytest.raises(ConnectTimeoutError):
            await connect(SlowClient(), Recorder, timeout=1)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(1)
        return asyncio.get_running_loop().time()

    assert run(main()) == 2


def test_cancel_of_a_task_that_was_cancelled_before() -> None:
    """A connect in the clean-up of a cancelled task has its own time limit."""
    ended: list[float] = []

    async def main() -> None:
        async def work() -> None:
            try:
                await forever()
            except asyncio.CancelledError:
                with pytest.raises(ConnectTimeoutError):
                    await connect(SlowClient(), Recorder, timeout=1)
                ended.append(asyncio.get_running_loop().time())
                raise

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    run(main())
    assert ended == [1]


@dataclass(frozen=True, slots=True, repr=False)
class PairClient(ClientSpec):
    """A client that is connected at once, to a socket that nobody else has."""

    names = (Name("pair", "pair:x"),)

    async def open_socket(self, attempt: Attempt) -> socket.socket:
        sock, peer = socket.socketpair()
        peer.close()
        return sock


def test_limit_ends_with_the_connect() -> None:
    """The time limit is that of the connect alone: what the task does next has none."""

    async def main() -> float:
        transport, protocol = await connect(PairClient(), Recorder, timeout=1)
        await asyncio.sleep(2)
        await ended(transport, protocol)
        return asyncio.get_running_loop().time()

    assert run(main()) == 2


@dataclass(frozen=True, slots=True, repr=False)
class StubbornClient(ClientSpec):
    """A client that fails by itself when it is cancelled."""

    names = (Name("stubborn", "stubborn:x"),)

    async def open_socket(self, attempt: Attempt) -> socket.socket:
        try:
            return cast(socket.socket, await forever())
        except asyncio.CancelledError:
            raise TimeoutError("its own") from None


def test_error_in_the_turn_of_the_timeout() -> None:
    """An error that comes while the time runs out is not replaced, and the task is not left cancelled."""

    async def main() -> None:
        with pytest.raises(TimeoutError, match="its own"):
            await connect(StubbornClient(), Recorder, timeout=1)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    run(main())


# Cancels


def test_cancel_while_resolving() -> None:
    """A cancel during the lookup comes out as it is."""

    async def main() -> None:
        attempt = Attempt(TCPClient("example.org", 80), lookup=forever)
        task = asyncio.create_task(opened_within(30, attempt))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert asyncio.get_running_loop().time() == 1

    run(main())


async def cancelled_after(turns: int, action: Any) -> asyncio.Task[Any]:
    """Run something as a task for so many turns of the loop, then cancel it and wait for its end."""
    task = asyncio.create_task(action)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    return task


@pytest.mark.parametrize("turns", range(4))
async def test_cancel_of_a_lookup_in_a_thread(turns: int) -> None:
    """A cancel at any moment of a lookup that hangs goes through at once, and leaves only the thread."""
    opened = threading.Event()
    threads = LookupThreads()
    spec = TCPClient("example.org", 80)
    attempt = Attempt(spec, lookup=lambda *_: threads.run(opened.wait))
    with nothing_left():
        task = await cancelled_after(turns, opened_within(30, attempt))
        assert task.cancelled()
    opened.set()


async def test_cancel_while_connecting() -> None:
    """A cancel while an address does not answer closes the socket before it comes out."""
    log: list[str] = []
    with black_hole() as (address, _), nothing_left():
        connecting = connect(
            TCPClient(address.host, address.port or 0),
            Recorder,
            on_event=lambda event: log.append(type(event).__name__),
        )
        task = await cancelled_after(3, connecting)
        assert task.cancelled()
    assert log == ["AttemptStarted", "AttemptAbandoned"]


async def test_cancel_between_socket_and_transport(server: socket.socket) -> None:
    """A cancel after the address has answered closes the connection, too."""
    await warm_up()
    with nothing_left():
        task = await cancelled_after(1, connect(text_of(server), Recorder))
        assert task.cancelled()
    accepted, _ = server.accept()
    with accepted:
        assert accepted.recv(1) == b""


async def test_cancel_in_the_last_turn(server: socket.socket) -> None:
    """A cancel that comes when everything is done but not handed over closes the connection, too."""
    await warm_up()
    protocol = Recorder()
    with nothing_left():
        task = asyncio.create_task(connect(text_of(server), protocol))
        await protocol.made.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


# The race of real addresses


async def test_black_hole_then_a_good_one(server: socket.socket) -> None:
    """An address that does not answer costs the delay of one attempt."""
    seen: list[events.Event] = []
    with black_hole("127.0.0.2") as (silent, _):
        spec = TCPClient("example.org", 80)
        attempt = Attempt(spec, on_event=seen.append, lookup=lookup_of(silent, Address.of(server)))
        transport, protocol = await opened_within(30, attempt)
        await ended(transport, protocol)
    started, connected = seen[2].time, seen[4].time
    assert [type(event).__name__ for event in seen[2:]] == [
        "AttemptStarted",
        "AttemptStarted",
        "Connected",
        "AttemptAbandoned",
    ]
    assert connected - started < 1


async def test_loser_sends_nothing(server: socket.socket) -> None:
    """A peer whose attempt is given up sees the end of the connection and no byte."""
    with socket.create_server(("127.0.0.2", 0)) as other:
        spec = TCPClient("example.org", 80)
        lookup = lookup_of(Address.of(server), Address.of(other))
        transport, protocol = await opened_within(30, Attempt(spec, lookup=lookup))
        await ended(transport, protocol)
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.accept()


async def test_order_of_events() -> None:
    """A connect to a name is told from the lookup to the address that answered."""
    seen: list[events.Event] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        transport, protocol = await connect(
            f"tcp:localhost:{port}:family=ipv4", Recorder, on_event=seen.append
        )
        await ended(transport, protocol)
    address = Address(socket.AF_INET, ("127.0.0.1", port))
    times = [event.time for event in seen]
    assert times == sorted(times)
    assert seen == [
        events.LookupStarted(times[0], "localhost"),
        events.LookupFinished(times[1], "localhost", (address,)),
        events.AttemptStarted(times[2], address),
        events.Connected(times[3], address),
    ]


# Surroundings


#: What makes a task start at once, which Python has from 3.12 on.
EAGERLY: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}


async def test_eager_tasks(server: socket.socket) -> None:
    """Tasks that start at once connect as others do."""

    def start(loop: asyncio.AbstractEventLoop, coroutine: Any, **_: object) -> asyncio.Task[Any]:
        # Not asyncio.eager_task_factory: not every uvloop can call that of every Python.
        return asyncio.Task(coroutine, loop=loop, **EAGERLY)

    loop = asyncio.get_running_loop()
    loop.set_task_factory(start)
    try:
        text = text_of(server).replace("[127.0.0.1]", "localhost") + ":family=ipv4"
        tasks = [asyncio.create_task(connect(text, Recorder)) for _ in range(3)]
        for transport, protocol in await asyncio.gather(*tasks):
            await ended(transport, protocol)
    finally:
        loop.set_task_factory(None)


async def test_task_group(server: socket.socket) -> None:
    """In a task group, the failure of one connect cancels the others, and nothing is left."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        refused = text_of(closed)
    with black_hole() as (silent, _), nothing_left():

        async def group() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(connect(TCPClient(silent.host, silent.port or 0), Recorder))
                group.create_task(connect(refused, Recorder))

        with pytest.raises(ExceptionGroup) as caught:
            await group()
        assert caught.group_contains(ConnectRefusedError)


async def test_many_at_a_time(server: socket.socket) -> None:
    """Connects side by side do not mix up their sockets."""
    made = await asyncio.gather(*(connect(text_of(server), Recorder) for _ in range(50)))
    names = {transport.get_extra_info("sockname") for transport, _ in made}
    assert len(names) == 50
    for transport, protocol in made:
        await ended(transport, protocol)


def test_failure_text() -> None:
    """An error made from a number has the text of the system, or another."""
    assert str(failure(errno.ECONNREFUSED)) == "[Errno 111] Connection refused"
    assert failure(errno.ETIMEDOUT, "no answer").strerror == "no answer"


async def test_cancel_raised_by_the_hook_at_the_end(server: socket.socket) -> None:
    """What a hook raises to end everything, when the address has answered, leaves nothing open."""
    await warm_up()

    def on_event(event: events.Event) -> None:
        if isinstance(event, events.Connected):
            raise asyncio.CancelledError

    with nothing_left(), pytest.raises(asyncio.CancelledError):
        await connect(text_of(server), Recorder, on_event=on_event)


def test_signature_says_whose_timeout_it_is() -> None:
    """What help() shows of the default time limit can be read."""
    assert "timeout: float | None = as the endpoint says" in str(
        inspect.signature(connect)
    ).replace("'", "")
