"""The one way to a resolver: whatever it does, there is an outcome, in time, and nothing is left behind."""

from __future__ import annotations

import asyncio
import logging
import sys
from itertools import pairwise
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from asyncendpoints.dns import resolver as module
from asyncendpoints.dns.codes import EDECode, Rcode
from asyncendpoints.dns.names import encode_name
from asyncendpoints.dns.outcome import (
    DROP,
    PASS,
    TRUNCATED,
    Answer,
    Failure,
    NoData,
    NXDomain,
    Outcome,
    Response,
)
from asyncendpoints.dns.query import Query
from asyncendpoints.dns.records import Records, Type, encode_rdata
from asyncendpoints.dns.resolver import (
    GIVEN_UP,
    MOST_LINKS,
    InternalFailure,
    Pending,
    Resolver,
    ask,
    begin,
    check_resolver,
    close,
    is_recursive,
    reload,
    varies,
    version_of,
)
from tests.clock import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator

QUERY = Query.make("www.a.test", "A")
HERE = Answer.of(QUERY, "192.0.2.1")
FAR = Query.make("www.a.test", "A", rd=False)


class Doing:
    """A resolver that does what it was told to do, and knows what it was asked."""

    def __init__(self, resolve: Callable[[Query], Any]) -> None:
        self._resolve = resolve
        self.asked: list[Query] = []

    def resolve(self, query: Query, /) -> Any:
        self.asked.append(query)
        return self._resolve(query)


def saying(result: object) -> Doing:
    """Make a resolver that gives the same thing to everybody."""
    return Doing(lambda _: result)


def cnames(links: dict[str, str | Outcome], *, aa: bool = True) -> Doing:
    """Make a resolver of aliases, and of what is at their ends."""

    def resolve(query: Query) -> Outcome:
        found = links.get(query.name, PASS)
        return Answer.cname(query, found, aa=aa) if isinstance(found, str) else found

    return Doing(resolve)


@pytest.fixture(autouse=True)
def _nothing_was_logged() -> Iterator[None]:
    module._throttle.last.clear()
    yield
    module._throttle.last.clear()


class Given:
    """An awaitable that is neither a coroutine nor a future."""

    def __await__(self) -> Generator[Any, None, Outcome]:
        yield from asyncio.sleep(1).__await__()
        return HERE


# What a resolver gives


@pytest.mark.parametrize("outcome", [HERE, NoData(), NXDomain(), Failure(), DROP, TRUNCATED])
def test_plain_outcomes(outcome: Outcome) -> None:
    """An outcome is used at once, without a loop."""
    resolver = saying(outcome)
    assert ask(resolver, QUERY) is outcome
    assert begin(resolver, QUERY) is outcome


def test_outcomes_pass_through_begin() -> None:
    """Nothing is made of PASS by who asks one of several."""
    assert begin(saying(PASS), QUERY) is PASS


async def asked(resolver: Resolver, query: Query = QUERY) -> Outcome:
    """Ask, and wait."""
    return await ask(resolver, query)


async def at_once(query: Query) -> Outcome:
    """Answer without waiting."""
    return HERE


async def later(query: Query) -> Outcome:
    """Answer after a second."""
    await asyncio.sleep(1)
    return HERE


def as_future(query: Query) -> Awaitable[Outcome]:
    """Give a future that is set after a second."""
    future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(1, future.set_result, HERE)
    return future


def as_done_future(query: Query) -> Awaitable[Outcome]:
    """Give a future that is set."""
    future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    future.set_result(HERE)
    return future


@pytest.mark.parametrize(
    "resolve", [at_once, later, as_future, as_done_future, lambda _: Given()], ids=range(5)
)
def test_awaitables(resolve: Callable[[Query], Any]) -> None:
    """A coroutine, a future and any other awaitable are waited for."""
    assert run(asked(Doing(resolve))) is HERE


async def test_eager_coroutines() -> None:
    """A coroutine that need not wait is done at once where Python can begin it at once."""
    found = ask(Doing(at_once), QUERY)
    assert (found is HERE) is (sys.version_info >= (3, 12))
    assert await found is HERE


def test_coroutine_that_asks_others() -> None:
    """A resolver can ask another one in a coroutine."""

    async def resolve(query: Query) -> Outcome:
        return await begin(Doing(later), query)

    assert run(asked(Doing(resolve))) is HERE


def test_protocol() -> None:
    """Whatever has the method is a resolver."""
    assert isinstance(saying(HERE), Resolver)
    assert not isinstance(HERE, Resolver)


# What goes wrong


def failing(query: Query) -> Outcome:
    """Raise."""
    raise LookupError("broken")


async def failing_at_once(query: Query) -> Outcome:
    """Raise before waiting."""
    raise LookupError("broken")


async def failing_later(query: Query) -> Outcome:
    """Raise after a second."""
    await asyncio.sleep(1)
    raise LookupError("broken")


@pytest.mark.parametrize("resolve", [failing, failing_at_once, failing_later])
def test_exceptions(resolve: Callable[[Query], Any], caplog: pytest.LogCaptureFixture) -> None:
    """An exception is SERVFAIL, and is logged with resolver, question and traceback."""
    outcome = run(asked(Doing(resolve)))
    assert isinstance(outcome, InternalFailure)
    assert (outcome.rcode, type(outcome.cause)) == (Rcode.SERVFAIL, LookupError)
    assert outcome.ede == (EDECode.OTHER, "internal error")
    (logged,) = caplog.records
    assert (logged.name, logged.levelno) == ("asyncendpoints.dns", logging.ERROR)
    assert logged.getMessage() == "tests.dns.test_resolver.Doing failed to answer www.a.test A"
    assert logged.exc_info is not None
    assert logged.exc_info[0] is LookupError


@pytest.mark.parametrize("nonsense", [None, 1, "192.0.2.1", b"\0"])
def test_nonsense(nonsense: object, caplog: pytest.LogCaptureFixture) -> None:
    """What can neither be awaited nor is an outcome is SERVFAIL, and the log says what it was."""
    outcome = run(asked(saying(nonsense)))
    assert isinstance(outcome, InternalFailure)
    assert outcome.rcode == Rcode.SERVFAIL
    assert f"such as Answer or PASS, not {nonsense!r}" in caplog.text
    assert len(caplog.records) == 1


def test_generator(caplog: pytest.LogCaptureFixture) -> None:
    """A coroutine function that yields gives nothing that could be awaited, and the log says so."""

    async def resolve(query: Query) -> AsyncIterator[Outcome]:
        yield HERE

    async def main() -> None:
        assert [each async for each in resolve(QUERY)] == [HERE]
        assert isinstance(await ask(Doing(resolve), QUERY), InternalFailure)

    run(main())
    assert "such as Answer or PASS, not <async_generator object" in caplog.text


def test_nonsense_of_a_coroutine(caplog: pytest.LogCaptureFixture) -> None:
    """So is what a coroutine gives that is no outcome, and the log says what it was."""

    async def resolve(query: Query) -> Any:
        return ["192.0.2.1"]

    assert run(asked(Doing(resolve))).rcode == Rcode.SERVFAIL
    assert "such as Answer or PASS, not ['192.0.2.1']" in caplog.text


async def test_coroutines_one_after_another() -> None:
    """Those that do not wait for one another are no circle, however many there are."""
    resolver = Doing(at_once)
    for _ in range(2 * module.MOST_NESTED):
        assert await asked(resolver) is HERE


@pytest.mark.parametrize("given", [False, True])
def test_resolver_that_asks_itself(given: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A coroutine that waits for itself without end fails soon, and the log says why."""

    async def endless(query: Query) -> Outcome:
        return await ask(resolver, query)

    class Wrapped:
        """An awaitable that is no coroutine."""

        def __init__(self, query: Query) -> None:
            self._query = query

        def __await__(self) -> Generator[Any, None, Outcome]:
            return endless(self._query).__await__()

    resolver = Doing(Wrapped if given else endless)
    assert isinstance(run(asked(resolver)), Failure)
    assert len(resolver.asked) == module.MOST_NESTED + 1
    assert "RecursionError: it asks itself, or others that ask it" in caplog.text


def test_errors_are_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """The same error of the same resolver is logged once a minute; another is logged too."""
    resolver = Doing(failing)
    ask(resolver, QUERY)
    ask(resolver, QUERY)
    assert len(caplog.records) == 1
    ask(Doing(dict[Query, Any]().__getitem__), QUERY)
    assert len(caplog.records) == 2
    last = module._throttle.last
    for kind in last:
        last[kind] = monotonic() - 61
    ask(resolver, QUERY)
    assert len(caplog.records) == 3


def test_kinds_of_errors_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """So many kinds of errors are remembered, and no more."""
    for number in range(256):
        module._throttle.last["resolver", str(number), 0] = monotonic()
    ask(Doing(failing), QUERY)
    kind = "tests.dns.test_resolver.Doing", "LookupError", id(failing.__code__)
    assert list(module._throttle.last) == [kind]


#: Things that errors can be the fault of, which cannot be hashed.
PLACES: dict[str, list[str]] = {"A": [], "MX": []}


def test_errors_of_two_functions(caplog: pytest.LogCaptureFixture) -> None:
    """The like error of another function, or with another ``place``, is logged too."""

    def other(query: Query) -> Outcome:
        raise LookupError("broken as well")

    def placed(query: Query) -> Outcome:
        error = LookupError("somewhere else")
        error.place = PLACES[query.type]  # type: ignore[attr-defined]  # as errors of a router have it
        raise error

    resolver = Doing(lambda query: (failing, other)[query.type == "MX"](query))
    for qtype in ("A", "MX", "A", "MX"):
        ask(resolver, QUERY.with_type(qtype))
    assert len(caplog.records) == 2
    for qtype in ("A", "MX", "A", "MX"):
        ask(Doing(placed), QUERY.with_type(qtype))
    assert len(caplog.records) == 4


AN_OBJECT = (
    "a resolver is an object with resolve(query), as Router() is, whose on(…) takes functions"
)


def make() -> Doing:
    """Make a resolver, as `system` does."""
    return saying(HERE)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (Doing, "Doing is a class; did you mean Doing()?"),
        (
            failing,
            f"failing is a function; {AN_OBJECT}",
        ),
        (make, "make is a function; did you mean make()?"),
        (
            max,
            f"max is a function; {AN_OBJECT}",
        ),
        (None, "a resolver has a method resolve(query), which None has not"),
        ([], "a resolver has a method resolve(query), which [] has not (write Chain(a, b))"),
        (
            "::1",
            "a resolver has a method resolve(query), which '::1' has not (write Forward('::1'))",
        ),
    ],
)
def test_no_resolver(value: object, problem: str) -> None:
    """What is no resolver is refused, and the error says what may have been meant."""
    with pytest.raises(TypeError) as caught:
        check_resolver(value)
    assert str(caught.value) == problem


def test_awaitable_is_no_resolver() -> None:
    """What would come to a resolver has to be awaited first."""
    with pytest.raises(TypeError, match=r"has not \(await it\)$"):
        check_resolver(Given())


def test_resolver_is_one() -> None:
    """What has the method passes."""
    check_resolver(make())


def test_interrupts_are_not_outcomes() -> None:
    """What is to end the program ends it."""

    def resolve(query: Query) -> Outcome:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(Doing(resolve), QUERY)


# The end of the chain


def test_pass_is_refused() -> None:
    """What nobody answers is refused, with the reason."""
    outcome = ask(saying(PASS), FAR)
    assert (outcome.rcode, outcome.ede) == (Rcode.REFUSED, (EDECode.NOT_AUTHORITATIVE, ""))


def test_pass_where_recursion_was_promised() -> None:
    """Where recursion was promised that is a failure."""
    outcome = ask(saying(PASS), QUERY)
    expected = EDECode.NO_REACHABLE_AUTHORITY, "no resolver for this name"
    assert (outcome.rcode, outcome.ede) == (Rcode.SERVFAIL, expected)


def test_late_pass() -> None:
    """PASS means the same where it had to be waited for."""

    async def resolve(query: Query) -> Outcome:
        await asyncio.sleep(1)
        return PASS

    assert run(asked(Doing(resolve), FAR)).rcode == Rcode.REFUSED


# Aliases

B = Records(encode_name("b.test"), Type.A, 60, (encode_rdata(Type.A, "192.0.2.2"),))
AT_B = Answer([B])


def owners(outcome: Outcome) -> list[str]:
    """Give what is in an answer, in order."""
    assert isinstance(outcome, Response)
    return [f"{each.name.to_text(True)} {each[0]}" for each in outcome.rrsets]


def test_alias() -> None:
    """An alias is followed from the outermost resolver, with the same marks and one link deeper."""
    resolver = cnames({"www.a.test": "b.test", "b.test": AT_B})
    outcome = ask(resolver, QUERY)
    assert owners(outcome) == ["www.a.test b.test.", "b.test 192.0.2.2"]
    assert [(each.name, each.depth, each.flags) for each in resolver.asked] == [
        ("www.a.test", 0, QUERY.flags),
        ("b.test", 1, QUERY.flags),
    ]


@pytest.mark.parametrize(("first", "last"), [(True, False), (False, True)])
def test_authority_is_that_over_the_first_name(first: bool, last: bool) -> None:
    """AA tells of the authority over the name that was asked for."""
    resolver = cnames({"www.a.test": "b.test", "b.test": Answer([B], aa=last)}, aa=first)
    assert ask(resolver, QUERY).aa is first


@pytest.mark.parametrize(("end", "rcode"), [(NXDomain(), 3), (NoData(), 0), (Failure(), 2)])
def test_alias_of_nothing(end: Response, rcode: int) -> None:
    """The code is that of the last name, behind the alias."""
    outcome = ask(cnames({"www.a.test": "b.test", "b.test": end}), QUERY)
    assert (type(outcome), outcome.rcode, owners(outcome)) == (
        type(end),
        rcode,
        ["www.a.test b.test."],
    )


@pytest.mark.parametrize("end", [DROP, TRUNCATED])
def test_alias_of_a_signal(end: Outcome) -> None:
    """What is dropped or truncated at the end of an alias is so as a whole."""
    assert ask(cnames({"www.a.test": "b.test", "b.test": end}), QUERY) is end


def test_alias_that_nobody_knows() -> None:
    """The alias alone is the answer where nobody knows its target, and is good for one question only."""
    alias = Answer.cname(QUERY, "b.test").replace(until=9.0)
    outcome = ask(cnames({"www.a.test": alias}), QUERY)
    assert owners(outcome) == ["www.a.test b.test."]
    assert (outcome.rcode, outcome.until) == (0, float("-inf"))


def test_no_recursion() -> None:
    """An alias is followed without recursion too: those that ask others pass then."""
    resolver = cnames({"www.a.test": "b.test", "b.test": AT_B})
    assert len(owners(ask(resolver, FAR))) == 2
    assert not any(each.recursion for each in resolver.asked)


def test_question_for_the_alias() -> None:
    """For who asks for the alias itself it is the answer."""
    resolver = cnames({"www.a.test": "b.test", "b.test": AT_B})
    assert owners(ask(resolver, QUERY.with_type("CNAME"))) == ["www.a.test b.test."]
    assert len(resolver.asked) == 1


def chain_of(links: int) -> Doing:
    """Make a chain of so many aliases."""
    names = ["www.a.test", *(f"{each}.test" for each in range(1, links)), "b.test"]
    found: dict[str, str | Outcome] = dict(pairwise(names))
    return cnames({**found, "b.test": AT_B})


def test_longest_chain() -> None:
    """Twelve links are followed."""
    outcome = ask(chain_of(MOST_LINKS), QUERY)
    assert (outcome.rcode, len(owners(outcome))) == (0, MOST_LINKS + 1)


def test_too_long_a_chain() -> None:
    """One more is SERVFAIL, with the links that were followed."""
    resolver = chain_of(MOST_LINKS + 1)
    outcome = ask(resolver, QUERY)
    assert (outcome.rcode, len(owners(outcome))) == (Rcode.SERVFAIL, MOST_LINKS)
    assert outcome.ede == (EDECode.OTHER, "more than 12 CNAMEs")
    assert len(resolver.asked) == MOST_LINKS + 1


def test_loop_of_aliases() -> None:
    """Aliases of each other end in the same way."""
    resolver = cnames({"www.a.test": "b.test", "b.test": "www.a.test"})
    assert ask(resolver, QUERY).rcode == Rcode.SERVFAIL
    assert len(resolver.asked) == MOST_LINKS + 1


def test_late_aliases() -> None:
    """Aliases are followed that have to be waited for, and to what has to be waited for."""
    links = cnames({"www.a.test": "b.test", "b.test": "c.test", "c.test": AT_B})

    async def resolve(query: Query) -> Outcome:
        await asyncio.sleep(1)
        return begin(links, query)

    outcome = run(asked(Doing(resolve)))
    assert owners(outcome) == ["www.a.test b.test.", "b.test c.test.", "b.test 192.0.2.2"]


def test_alias_at_once_to_what_is_late() -> None:
    """An alias that is there leads to what is not."""

    def resolve(query: Query) -> Any:
        return Answer.cname(query, "b.test") if query is QUERY else later(query)

    assert owners(run(asked(Doing(resolve)))) == ["www.a.test b.test.", "www.a.test 192.0.2.1"]


def test_late_alias_to_what_is_there() -> None:
    """An alias that had to be waited for leads to what is there at once."""

    async def resolve(query: Query) -> Outcome:
        await asyncio.sleep(1)
        return Answer.cname(query, "b.test")

    def either(query: Query) -> Any:
        return resolve(query) if query is QUERY else AT_B

    assert owners(run(asked(Doing(either)))) == ["www.a.test b.test.", "b.test 192.0.2.2"]


# Deadlines


async def never(query: Query) -> Outcome:
    """Answer when the world ends."""
    await asyncio.get_running_loop().create_future()
    return HERE  # pragma: no cover - nobody sets that future


def timed_out(resolver: Resolver, deadline: float) -> tuple[Outcome, float, int]:
    """Ask with a deadline, and give the outcome, when it came, and how many tasks were left soon after."""

    async def main() -> tuple[Outcome, float, int]:
        loop = asyncio.get_running_loop()
        outcome = await ask(resolver, Query.make("www.a.test", "A", deadline=deadline))
        now = loop.time()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return outcome, now, len(asyncio.all_tasks())

    return run(main())


def test_deadline() -> None:
    """What is not there in time is SERVFAIL, soon after the deadline and not before, and no task is left."""
    outcome, now, tasks = timed_out(Doing(never), 5.0)
    assert outcome.rcode == Rcode.SERVFAIL
    assert outcome.ede == (EDECode.NO_REACHABLE_AUTHORITY, "no answer in time")
    assert 5.0 <= now <= 5.1
    assert tasks == 1


def test_in_time() -> None:
    """What comes before the deadline stands, and what comes later is ignored."""
    assert timed_out(Doing(later), 1.5)[:2] == (HERE, 1.0)


def test_deadline_within_a_chain() -> None:
    """The deadline is one for all links of a chain."""

    async def resolve(query: Query) -> Outcome:
        await asyncio.sleep(1)
        return Answer.cname(query, f"a.{query.name}")

    outcome, now, tasks = timed_out(Doing(resolve), 3.5)
    assert (outcome.rcode, tasks) == (Rcode.SERVFAIL, 1)
    assert 3.5 <= now <= 3.6


class Later(Pending):
    """An outcome that comes when the test says so, and says whether it is still waited for."""

    is_timed = True

    def __init__(self) -> None:
        super().__init__()
        self.abandoned = 0

    def abandon(self) -> None:
        self.abandoned += 1


def test_who_keeps_the_deadline_itself_is_not_watched() -> None:
    """An outcome that comes by the deadline anyway needs no timer, and so no loop."""
    pending = Later()
    outcome = ask(saying(pending), Query.make("www.a.test", "A", deadline=5.0))
    assert isinstance(outcome, Pending)
    pending.settle(HERE)
    assert outcome.outcome is HERE


# Waiting


def test_then() -> None:
    """Everybody who waits is called once, in order; who comes later is called at once."""
    pending, heard = Pending(), list[tuple[str, Outcome]]()
    pending.then(lambda outcome: heard.append(("first", outcome)))
    pending.then(lambda outcome: heard.append(("second", outcome)))
    assert heard == []
    pending.settle(HERE)
    pending.settle(Failure())
    pending.then(lambda outcome: heard.append(("third", outcome)))
    assert heard == [("first", HERE), ("second", HERE), ("third", HERE)]
    assert pending.outcome is HERE


def test_marks_of_what_is_not_there() -> None:
    """An outcome that is not there yet has no marks, and is nothing to be remembered."""
    pending = Pending()
    assert (pending.rcode, pending.aa, pending.ad, pending.ede) == (0, False, False, None)
    assert pending.until == float("-inf")


async def test_await_what_is_there() -> None:
    """Awaiting what is there takes no turn of the loop."""
    pending = Pending()
    pending.settle(HERE)
    assert await pending is HERE


async def test_many_wait() -> None:
    """Several can await one outcome, and the end of one is none for the others."""
    pending = Later()
    waiting = [asyncio.ensure_future(_wait(pending)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    pending.settle(HERE)
    assert await asyncio.gather(*waiting[1:]) == [HERE, HERE]
    assert waiting[0].cancelled()
    assert pending.abandoned == 1


async def _wait(pending: Pending) -> Outcome:
    return await pending


def test_repr() -> None:
    """An outcome shows what it came to, or that it has not."""
    pending = Pending()
    assert repr(pending) == "<Pending pending>"
    pending.settle(PASS)
    assert repr(pending) == "<Pending PASS>"


# Cancelling


async def cancelled(resolver: Resolver, query: Query = QUERY) -> int:
    """Ask, cancel who waits, and give how many tasks are left."""
    task = asyncio.ensure_future(asked(resolver, query))
    await asyncio.sleep(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return len(asyncio.all_tasks())


@pytest.mark.parametrize("deadline", [5.0, float("inf")])
def test_cancel(deadline: float) -> None:
    """Who gives up waiting leaves no task behind, and no timer that would end it again."""
    query = Query.make("www.a.test", "A", deadline=deadline)
    assert run(cancelled(Doing(never), query)) == 1


def test_cancel_of_a_future() -> None:
    """A future that a resolver gave is cancelled as by anybody who awaits it."""
    futures: list[asyncio.Future[Outcome]] = []

    def resolve(query: Query) -> Any:
        futures.append(asyncio.get_running_loop().create_future())
        return futures[0]

    assert run(cancelled(Doing(resolve))) == 1
    assert futures[0].cancelled()


def test_cancel_within_a_chain() -> None:
    """Who gives up behind an alias leaves no task behind either."""

    def at_alias(query: Query) -> Any:
        return Answer.cname(query, "b.test") if query is QUERY else never(query)

    assert run(cancelled(Doing(at_alias))) == 1


def test_cancel_does_not_go_on() -> None:
    """A resolver that answers its cancelling with an alias is not asked for the target."""

    async def resolve(query: Query) -> Outcome:
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            return Answer.cname(query, "b.test")
        raise AssertionError  # pragma: no cover - it is cancelled before

    resolver = Doing(resolve)
    assert run(cancelled(resolver)) == 1
    assert len(resolver.asked) == 1


def test_abandoned_is_over() -> None:
    """What nobody waits for any more is given up at once, whatever comes of it later."""
    pending = Later()
    resolver = saying(pending)
    outcome = ask(resolver, QUERY)
    assert isinstance(outcome, Pending)
    outcome.abandon()
    pending.settle(Answer.cname(QUERY, "b.test"))
    assert (outcome.outcome, pending.abandoned, len(resolver.asked)) == (GIVEN_UP, 1, 1)


def test_abandoned_before_it_began() -> None:
    """A coroutine that is given up at once is closed, begun or not."""

    async def main() -> Outcome | None:
        pending = ask(Doing(never), QUERY)
        assert isinstance(pending, Pending)
        pending.abandon()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1
        return pending.outcome

    assert run(main()) is GIVEN_UP


def test_resolver_that_cancels_itself() -> None:
    """A coroutine that ends as cancelled is a failure to find out."""

    async def resolve(query: Query) -> Outcome:
        await asyncio.sleep(1)
        raise asyncio.CancelledError

    assert run(asked(Doing(resolve))) is GIVEN_UP


# What resolvers say of themselves


class Full:
    """A resolver that says everything of itself."""

    version, varies, recursive = 3, True, True

    def __init__(self) -> None:
        self.closed = 0

    async def aclose(self) -> None:
        self.closed += 1


def test_attributes() -> None:
    """What a resolver says of itself is believed, and what it does not say is no."""
    assert (version_of(Full()), varies(Full()), is_recursive(Full())) == (3, True, True)
    plain = saying(HERE)
    assert (version_of(plain), varies(plain), is_recursive(plain)) == (None, False, False)


async def test_close() -> None:
    """Those are closed that have a way to be."""
    one, other = Full(), Full()
    await close(one, saying(HERE), other)
    assert (one.closed, other.closed) == (1, 1)


class Filed:
    """Something whose ``reload`` may raise."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.reloaded = 0

    def reload(self) -> None:
        self.reloaded += 1
        if self.error is not None:
            raise self.error


class FiledElsewhere(Filed):
    """Something whose ``reload`` is awaited."""

    async def reload(self) -> None:  # type: ignore[override]
        super().reload()


async def test_reload() -> None:
    """Those are reloaded that have a way to be, and awaited where they have to be."""
    one, other = Filed(), FiledElsewhere()
    await reload(one, saying(HERE), other)
    assert (one.reloaded, other.reloaded) == (1, 1)


async def test_reload_that_fails() -> None:
    """All have their turn, the first error is raised, and it has the others as its notes."""
    second = ValueError("two")
    second.add_note("three")
    first, last = FiledElsewhere(ValueError("one")), Filed()
    with pytest.raises(ValueError, match="one") as caught:
        await reload(first, Filed(second), last)
    assert caught.value.__notes__ == ["two", "three"]
    assert last.reloaded == 1


class Boom(BaseException):
    """An exception that is no Exception, as those of test frameworks are."""


@pytest.mark.parametrize("error", [Boom, asyncio.CancelledError, GeneratorExit])
async def test_other_exceptions(error: type[BaseException]) -> None:
    """Whatever a resolver raises, at once or later, its question fails."""

    def resolve(_: Query) -> Outcome:
        raise error

    async def later(_: Query) -> Outcome:
        await asyncio.sleep(0)
        raise error

    for each in (resolve, later):
        assert isinstance(await ask(Doing(each), QUERY), Failure)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_end_of_the_process(error: type[BaseException]) -> None:
    """What ends the process is not held up; who waited is told."""
    waiting: list[Outcome] = []

    def resolve(_: Query) -> Outcome:
        raise error

    async def later(_: Query) -> Outcome:
        await asyncio.sleep(0)
        raise error

    async def main(resolver: Resolver) -> None:
        waiting.append(begin(resolver, QUERY))
        await asyncio.sleep(1)

    with pytest.raises(error):
        begin(Doing(resolve), QUERY)
    with pytest.raises(error):
        run(main(Doing(later)))
    (pending,) = waiting
    assert isinstance(pending, module._Running)
    assert pending.outcome is GIVEN_UP
    assert isinstance(pending._task.exception(), error)


async def test_coroutine_that_gives_what_is_to_come() -> None:
    """The outcome of a coroutine that returns a pending one is what that comes to."""
    inner, outer = Pending(), Pending()
    asyncio.get_running_loop().call_soon(inner.settle, HERE)

    async def resolve(_: Query) -> Outcome:
        return outer

    async def wait(_: Query) -> Outcome:
        return inner

    outer.settle(inner)
    assert await begin(Doing(resolve), QUERY) is HERE
    assert await begin(Doing(wait), QUERY) is HERE


async def test_callback_that_raises() -> None:
    """Of several who wait each is told, whatever the others raise."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    told: list[int] = []
    pending = Pending()

    def tell(number: int) -> None:
        told.append(number)
        raise ZeroDivisionError

    for number in range(3):
        pending.then(lambda _, number=number: tell(number))  # type: ignore[misc]
    pending.settle(HERE)
    assert told == [0, 1, 2]


def test_callback_can_be_taken_back() -> None:
    """Who waits no more is not called, nor kept; the others are."""
    told: list[str] = []
    pending = Pending()
    pending.forget(told.append)  # type: ignore[arg-type]  # it was never there
    callbacks = {each: (lambda _, each=each: told.append(each)) for each in "abcd"}
    pending.forget(callbacks["a"])
    for each in "abc":
        pending.then(callbacks[each])
    for each in "abd":
        pending.forget(callbacks[each])
    pending.settle(HERE)
    assert told == ["c"]


@pytest.mark.parametrize("first", [None, Answer.cname(QUERY, "b.test")])
async def test_who_gives_up_is_not_kept(first: Outcome | None) -> None:
    """What many wait for knows nothing of those who have given up, at once or after an alias."""
    pending = Pending()
    resolver = Doing(lambda query: first if first and query.name != "b.test" else pending)
    for _ in range(3):
        asking = ask(resolver, QUERY)
        assert isinstance(asking, Pending)
        asking.abandon()
    waiter = asyncio.ensure_future(asking_for(pending))
    await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    assert (pending._callback, pending._others or {}) == (None, {})


def test_who_gives_up_while_others_are_told() -> None:
    """A question that is given up by who is told the same outcome first stays given up."""
    pending = Pending()
    waiting: list[Pending] = []
    pending.then(lambda _: waiting[0].abandon())
    asking = ask(saying(pending), QUERY)
    assert isinstance(asking, Pending)
    waiting.append(asking)
    pending.settle(HERE)
    assert asking.outcome is GIVEN_UP


async def test_outcome_of_a_cancelled_task() -> None:
    """A task that is cancelled in the turn in which its outcome comes is cancelled, and nothing is raised."""
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    pending = Pending()
    waiter = asyncio.ensure_future(asking_for(pending))
    await asyncio.sleep(0)
    waiter.cancel()
    pending.settle(HERE)
    await asyncio.gather(waiter, return_exceptions=True)
    assert waiter.cancelled()
    assert not told


async def asking_for(pending: Pending) -> Outcome:
    """Wait for an outcome."""
    return await pending
