"""Names to addresses by a DNS resolver, family by family."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest

from asyncendpoints import ClientService, connect, events, tunnel, use_resolver
from asyncendpoints.addresses import Address
from asyncendpoints.attempt import Attempt
from asyncendpoints.dns.codes import EDE
from asyncendpoints.dns.outcome import Answer, Failure, NoData, NXDomain
from asyncendpoints.dns.resolver import Pending
from asyncendpoints.errors import (
    ConnectError,
    ConnectRefusedError,
    ConnectTimeoutError,
    DNSError,
    DNSTimeoutError,
    NoDataError,
    NXDomainError,
    ResolveError,
    ServFailError,
)
from asyncendpoints.relaying import Relay
from asyncendpoints.resolving import Candidates, default_resolver, late_of, look_up
from asyncendpoints.specs import parse_client
from tests.clock import run
from tests.support import Recorder, unused_port

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncendpoints.dns.outcome import Outcome
    from asyncendpoints.dns.query import Query

FOUR = Address(socket.AF_INET, ("192.0.2.1", 80))
SIX = Address(socket.AF_INET6, ("2001:db8::1", 80, 0, 0))


class After:
    """An outcome that takes some seconds."""

    def __init__(self, seconds: float, outcome: Outcome | None = None) -> None:
        self.seconds = seconds
        self.outcome = outcome


class Names:
    """A resolver that answers A and AAAA each in its own time."""

    def __init__(self, four: After, six: After) -> None:
        self._given = {"A": (four, "192.0.2.1"), "AAAA": (six, "2001:db8::1")}
        self.asked: list[str] = []
        self.given_up: list[str] = []

    def resolve(self, query: Query, /) -> Awaitable[Outcome]:
        self.asked.append(query.type)
        after, address = self._given[query.type]
        outcome = after.outcome or Answer.of(query, address)
        return self._later(query, after.seconds, outcome) if after.seconds else outcome

    async def _later(self, query: Query, seconds: float, outcome: Outcome) -> Outcome:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.given_up.append(query.type)
            raise
        return outcome


def test_both_at_once() -> None:
    """What is known at once comes with IPv6 first, and nothing is late."""
    names = Names(After(0), After(0))
    found = run(look_up(names, "a.test", 80, socket.AF_UNSPEC))
    assert (found, found.late) == ([SIX, FOUR], None)
    assert names.asked == ["AAAA", "A"]


@pytest.mark.parametrize(
    ("family", "addresses", "asked"),
    [(socket.AF_INET, [FOUR], ["A"]), (socket.AF_INET6, [SIX], ["AAAA"])],
)
def test_one_family(family: int, addresses: list[Address], asked: list[str]) -> None:
    """Only the family that is wanted is asked for."""
    names = Names(After(0), After(0))
    assert run(look_up(names, "a.test", 80, family)) == addresses
    assert names.asked == asked


def test_ipv6_first() -> None:
    """IPv6 addresses are given as soon as they are there; those of IPv4 are late."""

    async def main() -> tuple[float, Candidates, list[Address]]:
        found = await look_up(Names(After(5), After(1)), "a.test", 80, socket.AF_UNSPEC)
        now = asyncio.get_running_loop().time()
        assert found.late is not None
        return now, found, await found.late

    assert run(main()) == (1, [SIX], [FOUR])


@pytest.mark.parametrize(
    ("six", "until", "first", "late"),
    [
        (1.04, 1.04, [SIX, FOUR], None),
        (9, 1.05, [FOUR], [SIX]),
    ],
)
def test_ipv4_waits_a_moment(
    six: float, until: float, first: list[Address], late: list[Address] | None
) -> None:
    """IPv4 addresses wait 50 ms for those of IPv6, which are late after that."""

    async def main() -> tuple[float, list[Address], list[Address] | None]:
        found = await look_up(Names(After(1), After(six)), "a.test", 80, socket.AF_UNSPEC)
        now = asyncio.get_running_loop().time()
        coming = None if found.late is None else await found.late
        return round(now, 6), list(found), coming

    assert run(main()) == (until, first, late)


@pytest.mark.parametrize(
    ("four", "six", "until", "addresses"),
    [
        (After(1, NoData()), After(3), 3, [SIX]),
        (After(3), After(1, NoData()), 3, [FOUR]),
        (After(3), After(1, Failure()), 3, [FOUR]),
    ],
)
def test_waits_for_the_other(
    four: After, six: After, until: float, addresses: list[Address]
) -> None:
    """Where one family has nothing the other is waited for."""

    async def main() -> tuple[float, Candidates]:
        found = await look_up(Names(four, six), "a.test", 80, socket.AF_UNSPEC)
        return asyncio.get_running_loop().time(), found

    assert run(main()) == (until, addresses)


@pytest.mark.parametrize(
    ("four", "six", "error"),
    [
        (NXDomain(), NXDomain(), NXDomainError),
        (NoData(), NoData(), NoDataError),
        (Failure(), NoData(), ServFailError),
    ],
)
def test_neither(four: Outcome, six: Outcome, error: type[DNSError]) -> None:
    """Where neither family has anything, the error that says most is raised."""
    names = Names(After(0, four), After(0, six))
    with pytest.raises(error):
        run(look_up(names, "a.test", 80, socket.AF_UNSPEC))


def test_deadline() -> None:
    """What has no answer at the deadline is a timeout."""
    with pytest.raises(DNSTimeoutError):
        run(look_up(Names(After(9), After(9)), "a.test", 80, socket.AF_UNSPEC, 2.0))


def test_cancelled() -> None:
    """Who is cancelled leaves no question behind."""
    names = Names(After(9), After(9))

    async def main() -> None:
        task = asyncio.create_task(look_up(names, "a.test", 80, socket.AF_UNSPEC))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())
    assert sorted(names.given_up) == ["A", "AAAA"]


def test_localhost_is_this_machine() -> None:
    """Nobody is asked for localhost."""
    names = Names(After(9), After(9))
    found = run(look_up(names, "db.localhost", 80, socket.AF_UNSPEC))
    assert [each.host for each in found] == ["::1", "127.0.0.1"]
    assert not names.asked


def test_tells_each_question() -> None:
    """Each question is told of when it goes out and when its answer is there."""
    told: list[events.Event] = []
    names = Names(After(2), After(1, NoData()))

    run(look_up(names, "a.test", 80, socket.AF_UNSPEC, emit=told.append))
    assert told[:2] == [
        events.QueryStarted(0.0, "a.test", "AAAA"),
        events.QueryStarted(0.0, "a.test", "A"),
    ]
    first, second = told[2:]
    assert isinstance(first, events.QueryFinished)
    assert (first.time, first.type, first.records) == (1.0, "AAAA", ())
    assert isinstance(first.error, NoDataError)
    assert second == events.QueryFinished(2.0, "a.test", "A", ("192.0.2.1",), None)


def test_addresses_that_are_all_there() -> None:
    """A plain list of addresses has none that are late."""
    assert late_of([FOUR]) is None


# In a connect


class Dialled:
    """An attempt that answers after some seconds, or never."""

    def __init__(self, address: Address, seconds: float | None) -> None:
        self.address = address
        self.outcome: asyncio.Future[OSError | None] = asyncio.get_running_loop().create_future()
        self.socket = address
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, self.outcome.set_result, None)

    def abort(self) -> None:
        """There is nothing to close."""


def racing(
    names: Names, seconds: dict[Address, float | None]
) -> tuple[float, Any, list[tuple[float, Address]]]:
    """Look up and race; give the time of the end, the winner, and when each attempt was begun."""
    begun: list[tuple[float, Address]] = []

    async def main() -> tuple[float, Any, list[tuple[float, Address]]]:
        loop = asyncio.get_running_loop()
        attempt = Attempt(parse_client("tcp:a.test:80"), resolver=names)

        def dial(address: Address, _: Any) -> Any:
            begun.append((round(loop.time(), 6), address))
            return Dialled(address, seconds[address])

        winner = await attempt.race(await attempt.addresses("a.test", 80), dialler=dial)
        await asyncio.sleep(0)
        return round(loop.time(), 6), winner, begun

    return run(main())


def test_late_addresses_are_tried() -> None:
    """An address that comes late is tried when the one before has had its time."""
    names = Names(After(0), After(1))
    assert racing(names, {FOUR: None, SIX: 0.5}) == (1.5, SIX, [(0.05, FOUR), (1.0, SIX)])


def test_late_addresses_wait_their_turn() -> None:
    """One that comes within the delay of the attempt before waits for it."""
    names = Names(After(0), After(0.1))
    assert racing(names, {FOUR: None, SIX: 0.5}) == (0.8, SIX, [(0.05, FOUR), (0.3, SIX)])


def test_late_addresses_are_not_waited_for() -> None:
    """When an address has answered, the question for the others is given up."""
    names = Names(After(0), After(9))
    assert racing(names, {FOUR: 0.2}) == (0.25, FOUR, [(0.05, FOUR)])
    assert names.given_up == ["AAAA"]


def test_late_addresses_are_waited_for() -> None:
    """When every known address has failed, those to come are waited for."""
    names = Names(After(0), After(3))

    async def main() -> tuple[float, Address]:
        attempt = Attempt(parse_client("tcp:a.test:80"), resolver=names)

        def dial(address: Address, _: Any) -> Any:
            if address == FOUR:
                raise ConnectionRefusedError(111, "refused")
            return Dialled(address, 0)

        winner: Any = await attempt.race(await attempt.addresses("a.test", 80), dialler=dial)
        return asyncio.get_running_loop().time(), winner

    assert run(main()) == (3.0, SIX)


def test_late_addresses_with_a_source() -> None:
    """To connect from an address of this machine, all addresses are waited for."""
    names = Names(After(0), After(3))

    async def main() -> tuple[float, Address]:
        attempt = Attempt(parse_client("tcp:a.test:80"), resolver=names)
        addresses = await attempt.addresses("a.test", 80)
        winner: Any = await attempt.race(
            addresses,
            ("127.0.0.1", 0),
            lambda address, _: Dialled(address, 0),  # type: ignore[arg-type,return-value]
        )
        return asyncio.get_running_loop().time(), winner

    assert run(main()) == (3.0, FOUR)


def test_all_addresses() -> None:
    """All addresses of a host can be waited for."""

    async def main() -> list[Address]:
        attempt = Attempt(parse_client("tcp:a.test:80"), resolver=Names(After(0), After(3)))
        return await attempt.all_addresses("a.test", 80)

    assert run(main()) == [FOUR, SIX]


class Loopback:
    """A resolver that has one name."""

    def resolve(self, query: Query, /) -> Outcome:
        return Answer.of(query, "127.0.0.1") if query.type == "A" else NoData()


async def serving(connecting: Callable[[int], Awaitable[None]]) -> None:
    """Connect to a server on loopback."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        await connecting(server.sockets[0].getsockname()[1])


async def test_connects_by_a_resolver() -> None:
    """connect() finds the addresses of a name with the resolver that it is given."""

    async def connecting(port: int) -> None:
        transport, protocol = await connect(
            f"tcp:service.internal:{port}", Recorder, resolver=Loopback()
        )
        assert transport.get_extra_info("peername") == ("127.0.0.1", port)
        transport.abort()
        await protocol.lost.wait()

    await serving(connecting)


async def test_connects_by_the_resolver_of_the_context() -> None:
    """connect() uses the resolver of the context, until that is left."""

    async def connecting(port: int) -> None:
        with use_resolver(Loopback()):
            transport, protocol = await connect(f"tcp:service.internal:{port}", Recorder)
            transport.abort()
            await protocol.lost.wait()
        assert default_resolver.get() is None

    await serving(connecting)


async def test_says_why_there_is_no_address() -> None:
    """The error of a resolver is the cause of that of connect()."""

    class Nothing:
        def resolve(self, query: Query, /) -> Outcome:
            return NXDomain()

    with pytest.raises(ResolveError) as caught:
        await connect("tcp:nowhere.example:80", Recorder, resolver=Nothing())
    assert isinstance(caught.value.__cause__, NXDomainError)
    assert caught.value.errno == socket.EAI_NONAME


async def test_says_more_than_that_there_is_no_address() -> None:
    """The error of connect() says what the extended error of a resolver says more."""

    class Failing:
        def resolve(self, query: Query, /) -> Outcome:
            return Failure(ede=EDE(23, "no upstream can be reached"))

    with pytest.raises(ResolveError, match=r"nobody could find out \(no upstream can be reached\)"):
        await connect("tcp:nowhere.example:80", Recorder, resolver=Failing())


class Half:
    """A resolver that has an address of one family, and gives something else for the other."""

    def __init__(self, other: Awaitable[Outcome]) -> None:
        self._other = other

    def resolve(self, query: Query, /) -> Awaitable[Outcome]:
        return Answer.of(query, "127.0.0.1") if query.type == "A" else self._other


async def failure_with(other: Awaitable[Outcome], timeout: float = 30) -> ConnectError:
    """Connect to a host whose only address that is known refuses."""
    with pytest.raises(ConnectError) as caught:
        await connect(
            f"tcp:half.test:{unused_port()}", Recorder, resolver=Half(other), timeout=timeout
        )
    return caught.value


async def test_what_could_not_be_found_out_is_in_the_error() -> None:
    """Where an address fails, and others may exist, it is not said that the host refuses."""
    error = await failure_with(Failure())
    assert type(error) is ConnectError
    assert error.problem.endswith(": connection refused; half.test AAAA: nobody could find out")
    assert len(error.attempts) == 1
    assert isinstance(error.__cause__, ExceptionGroup)
    refused, unknown = error.__cause__.exceptions
    assert isinstance(refused, ConnectionRefusedError)
    assert isinstance(unknown, ServFailError)


@pytest.mark.parametrize("other", [NoData(), NXDomain()])
async def test_a_family_that_the_host_has_not_is_no_failure(other: Outcome) -> None:
    """That there are no addresses of the other family is nothing to speak of."""
    error = await failure_with(other)
    assert type(error) is ConnectRefusedError
    assert isinstance(error.__cause__, ConnectionRefusedError)


def test_what_was_not_answered_is_in_the_error() -> None:
    """A timeout says of which family nobody knows."""
    error = run(failure_with(Pending(), timeout=1))
    assert isinstance(error, ConnectTimeoutError)
    assert error.problem.endswith(
        ": connection refused; half.test AAAA: there was no answer in time"
    )


NO_RESOLVERS: list[tuple[Callable[[Any], object], str]] = [
    (lambda each: use_resolver(each).__enter__(), "use_resolver"),
    (lambda each: Attempt(parse_client("tcp:a.test:80"), resolver=each), "connect"),
    (lambda each: ClientService("tcp:a.test:80", Recorder, resolver=each), "a service"),
    (lambda each: Relay("tcp:a.test:80", resolver=each), "a relay"),
    (lambda each: tunnel("tcp:a.test:80", listen="tcp:0", resolver=each), "a tunnel"),
]


@pytest.mark.parametrize("take", [pytest.param(take, id=name) for take, name in NO_RESOLVERS])
def test_no_resolver(take: Callable[[Any], object]) -> None:
    """What is no resolver is refused at once, wherever it is given."""
    with pytest.raises(TypeError, match="a resolver has a method resolve"):
        take("::1")
