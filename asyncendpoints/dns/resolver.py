"""Resolvers, what they promise while they wait, and ``ask``: the one way to a resolver.

The law: nothing here knows a socket. Whatever a resolver does wrong, `ask` gives an outcome.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import suppress
from contextvars import ContextVar
from inspect import isawaitable, isroutine, signature
from math import inf
from time import monotonic
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from asyncendpoints.dns.codes import EDE, EDECode, Rcode
from asyncendpoints.dns.faults import report_fault
from asyncendpoints.dns.outcome import PASS, Failure, Outcome, Response
from asyncendpoints.dns.records import Type
from asyncendpoints.dns.timers import wheel
from asyncendpoints.errors import raise_together
from asyncendpoints.masking import shorten
from asyncendpoints.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable

    from asyncendpoints.dns.query import Query
    from asyncendpoints.dns.timers import Timed

__all__ = [
    "Pending",
    "Resolver",
    "ask",
    "begin",
    "check_resolver",
    "close",
    "complete",
    "failed",
    "is_own",
    "is_recursive",
    "reload",
    "varies",
    "version_of",
]

logger = logging.getLogger("asyncendpoints.dns")

#: The most links of a chain of CNAMEs that are followed. Source: as many as Unbound and BIND follow, nearly.
MOST_LINKS: Final = 12

#: How many coroutines of resolvers can wait for one another: one that asks itself has no end.
MOST_NESTED: Final = 32
#: How many do, where this runs.
_nested: ContextVar[int] = ContextVar("asyncendpoints.dns.nested", default=0)

#: How often errors are logged, by resolver, exception and the code that raised it.
_throttle = Throttle()


@runtime_checkable
class Resolver(Protocol):
    """Anything that answers questions.

    Optional attributes say more of it: ``version``, any value, tells that as long as it stays equal the
    outcome depends on the question and on RD, CD and DO alone; ``varies = True`` that it depends on who
    asks; ``recursive = True`` that it finds out from others what it does not know; ``is_own(query)`` whether
    it is itself who asks, in a circle; ``reload()``, plain or ``async``, reads its files again; ``aclose()``
    ends what it has begun.
    """

    def resolve(self, query: Query, /) -> Awaitable[Outcome]:
        """Give the outcome of a query: an `Outcome`, which is awaitable, or something that will give one.

        An exception counts as a failure to find out, and is logged.
        """


class Pending(Outcome):
    """An outcome that is still to come. Awaiting it gives the outcome that it came to."""

    __slots__ = ("_callback", "_others", "outcome")

    #: Whether it comes by the deadline of its query, so that nobody has to watch over it.
    is_timed = False

    # It has no marks of its own: these are for whoever looks at one that is not there yet.
    rcode, aa, ad, ede, until = Rcode.NOERROR, False, False, None, -inf

    def __init__(self) -> None:
        #: What it came to, or None.
        self.outcome: Outcome | None = None
        #: Who is to be called back: one as a rule, and the others.
        self._callback: Callable[[Outcome], None] | None = None
        self._others: dict[Callable[[Outcome], None], None] | None = None

    def then(self, callback: Callable[[Outcome], None]) -> None:
        """Call back with the outcome when it is there: at once if it is."""
        if self.outcome is not None:
            callback(self.outcome)
        elif self._callback is None:
            self._callback = callback
        elif self._others is None:
            self._others = {callback: None}
        else:
            self._others[callback] = None

    def forget(self, callback: Callable[[Outcome], None]) -> None:
        """Take a callback back, for who does not wait any more."""
        if self._callback == callback:
            self._callback = None
        elif self._others is not None:
            self._others.pop(callback, None)

    def settle(self, outcome: Outcome) -> None:
        """Say what it came to; what is said later is ignored."""
        if self.outcome is None:
            self.outcome = outcome
            callback, self._callback = self._callback, None
            others, self._others = self._others, None
            if callback is not None:
                try:
                    callback(outcome)
                except Exception as error:  # noqa: BLE001 - the others have to hear of it too
                    report_fault(error)
            if others is not None:
                _tell(others, outcome)

    def abandon(self) -> None:
        """Hear that nobody waits for it any more. What others may wait for goes on."""

    def __await__(self) -> Generator[Any, None, Outcome]:
        if self.outcome is None:
            future = asyncio.get_running_loop().create_future()

            def wake(_: Outcome) -> None:
                if not future.done():
                    future.set_result(None)

            self.then(wake)
            try:
                yield from future
            except asyncio.CancelledError:
                self.forget(wake)
                self.abandon()
                raise
        assert self.outcome is not None  # the future was set by it
        return self.outcome

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.outcome or 'pending'}>"


def _tell(callbacks: Iterable[Callable[[Outcome], None]], outcome: Outcome) -> None:
    """Call everybody back, whatever one of them raises."""
    for each in callbacks:
        try:
            each(outcome)
        except Exception as error:  # noqa: BLE001 - the others have to hear of it too
            report_fault(error)


class _Running(Pending):
    """The outcome of an awaitable, which a task waits for."""

    __slots__ = ("_awaitable", "_task")

    def __init__(self, awaitable: Awaitable[Outcome], resolver: object, query: Query) -> None:
        # Not by Pending.__init__: this is made for each question to an "async def".
        self.outcome = self._callback = self._others = None
        self._awaitable = awaitable
        self._task = _start(self._wait(awaitable, resolver, query))

    async def _wait(self, awaitable: Awaitable[Outcome], resolver: object, query: Query) -> None:
        _nested.set(_nested.get() + 1)
        outcome: Outcome
        try:
            outcome = await awaitable
            while isinstance(outcome, Pending):
                outcome = await outcome
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            self.settle(GIVEN_UP)
            raise
        except GeneratorExit:  # the coroutine is closed, and may not go on
            self.settle(GIVEN_UP)
            return
        except BaseException as error:  # noqa: BLE001 - whatever a resolver does wrong
            reason = error if isawaitable(awaitable) else _no_outcome(awaitable)
            outcome = failed(resolver, query, reason)
        if not isinstance(outcome, Outcome):
            outcome = failed(resolver, query, _no_outcome(outcome))
        self.settle(outcome)

    def abandon(self) -> None:
        self.settle(GIVEN_UP)
        self._task.add_done_callback(self._close)
        self._task.cancel()

    def _close(self, _: object) -> None:
        """Close a coroutine that was never begun, because its task was not."""
        _close_unbegun(self._awaitable)


if sys.version_info >= (3, 12):

    def _start(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine in a task, at once as far as it goes."""
        return asyncio.Task(coroutine, loop=asyncio.get_running_loop(), eager_start=True)

else:  # pragma: no cover - reach is measured on a later Python

    def _start(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine in a task.

        Made directly, as that of later Pythons is: it takes half the time. To make up a name takes a tenth.
        """
        return asyncio.Task(coroutine, loop=asyncio.get_running_loop(), name="asyncendpoints.dns")


def begin(resolver: Resolver, query: Query) -> Outcome:
    """Ask one resolver, and give its outcome or a `Pending` one; an exception becomes a `Failure`.

    What this does not do is finish the answer, as `ask` does: it is for resolvers that ask others.
    """
    try:
        result = resolver.resolve(query)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a resolver does wrong
        return failed(resolver, query, error)
    if isinstance(result, Outcome):
        return result
    if _nested.get() >= MOST_NESTED:
        _close_unbegun(result)
        return failed(resolver, query, RecursionError("it asks itself, or others that ask it"))
    running = _Running(result, resolver, query)
    return running.outcome or running


def _close_unbegun(awaitable: object) -> None:
    """Close a coroutine, or what holds one, which would warn else that nobody has awaited it."""
    if hasattr(awaitable, "close"):
        awaitable.close()


def _no_outcome(given: object) -> TypeError:
    return TypeError(f"a resolver gives an outcome such as Answer or PASS, not {given!r}")


class InternalFailure(Failure):
    """What comes of a resolver that raised."""

    __slots__ = ("cause",)

    def __init__(self, cause: BaseException) -> None:
        super().__init__(ede=EDE(EDECode.OTHER, "internal error"))
        #: What it raised, for who asks in this process.
        self.cause = cause


def failed(resolver: object, query: Query, error: BaseException) -> Failure:
    """Make the outcome of a resolver that raised, and log it unless its like was logged a moment ago."""
    name = f"{type(resolver).__module__}.{type(resolver).__qualname__}"
    kind = name, type(error).__qualname__, _place_of(error)
    if _throttle.admits(monotonic(), kind):
        logger.error("%s failed to answer %s %s", name, query.name, query.type, exc_info=error)
    return InternalFailure(error)


def _place_of(error: BaseException) -> int:
    """Give a number for what an error is the fault of: what it says itself, or the code that raised it."""
    codes = [frame.f_code for frame, _ in walk_tb(error.__traceback__)]
    return id(getattr(error, "place", codes[-1] if codes else None))


def ask(resolver: Resolver, query: Query) -> Outcome:
    """Ask a resolver a question, and see it through: for the server, for lookups and for tests.

    An exception is a failure, logged at a limited rate. ``PASS`` at the end is REFUSED, or SERVFAIL where
    recursion was promised. An answer that ends in a CNAME is followed from the start, as far as somebody here
    knows its end, over at most 12 links. What is not there at the query's deadline is SERVFAIL.

    Args:
        resolver: The outermost one.
        query: The question.

    Returns:
        The outcome, which may be a `Pending` one: await it, or call its ``then``.
    """
    outcome = begin(resolver, query)
    if isinstance(outcome, Response):
        return outcome if outcome.target is None else complete(resolver, query, outcome)
    if isinstance(outcome, Pending):
        return _Asking(resolver, query, outcome)
    return complete(resolver, query, outcome)


def complete(resolver: Resolver, query: Query, outcome: Outcome) -> Outcome:
    """Do what `ask` does when the first outcome is there: follow its CNAMEs, or make something of PASS.

    Args:
        resolver: Who was asked.
        query: What it was asked.
        outcome: What it said: no `Pending` one.

    Returns:
        The outcome, which may be a `Pending` one that comes by the deadline of the query.
    """
    if outcome is PASS:
        return _PROMISED if query.recursion else _NOT_MINE
    if not isinstance(outcome, Response) or outcome.target is None:
        return outcome
    if query.qtype == Type.CNAME:
        return outcome
    if query.depth >= MOST_LINKS:
        return _TOO_LONG
    rest = ask(resolver, query.with_name(outcome.target, depth=query.depth + 1))
    if isinstance(rest, Pending):
        return _Following(rest, outcome)
    return _followed(outcome, rest)


def _followed(chain: Response, rest: Outcome) -> Outcome:
    """Join the CNAMEs of one outcome and what the name at their end has."""
    if rest in (_NOT_MINE, _PROMISED):
        return chain.unremembered()  # nobody here knows more than the alias, today
    return rest.after(chain) if isinstance(rest, Response) else rest


#: What comes of what nobody waits for, of what is not there at its deadline, and of what waits for itself.
GIVEN_UP: Final = Failure(ede=EDE(EDECode.OTHER, "given up"))
LATE: Final = Failure(ede=EDE(EDECode.NO_REACHABLE_AUTHORITY, "no answer in time"))
LOOP: Final = Failure(ede=EDE(EDECode.OTHER, "an upstream forwards to this resolver"))

#: What the end of a chain of resolvers means.
_NOT_MINE = Failure(Rcode.REFUSED, EDE(EDECode.NOT_AUTHORITATIVE))
_PROMISED = Failure(
    Rcode.SERVFAIL, EDE(EDECode.NO_REACHABLE_AUTHORITY, "no resolver for this name")
)
_TOO_LONG = Failure(Rcode.SERVFAIL, EDE(EDECode.OTHER, f"more than {MOST_LINKS} CNAMEs"))


class _Following(Pending):
    """An alias whose other name is being asked for."""

    __slots__ = ("_chain", "_rest")

    is_timed = True

    def __init__(self, rest: Pending, chain: Response) -> None:
        super().__init__()
        self._rest = rest
        self._chain = chain
        rest.then(self._join)

    def _join(self, rest: Outcome) -> None:
        self.settle(_followed(self._chain, rest))

    def abandon(self) -> None:
        self._rest.abandon()


class _Asking(Pending):
    """A question that a resolver has not answered yet, with a limit on its time."""

    __slots__ = ("_awaited", "_query", "_resolver", "_spoke")

    is_timed = True

    def __init__(self, resolver: Resolver, query: Query, awaited: Pending) -> None:
        super().__init__()
        self._resolver = resolver
        self._query = query
        self._awaited = awaited
        self._spoke: set[Timed] | None = None
        if not awaited.is_timed and query.deadline != inf:
            self._spoke = wheel().add(self, query.deadline)
        awaited.then(self._go_on)

    def _go_on(self, outcome: Outcome) -> None:
        if self.outcome is not None:
            return
        finished = complete(self._resolver, self._query, outcome)
        if isinstance(finished, Pending):
            self._awaited = finished
            finished.then(self.settle)
        else:
            self.settle(finished)

    def expire(self, now: float) -> None:  # noqa: ARG002 - late is late
        """Hear that the time is up."""
        self.settle(LATE)
        self._leave()

    def settle(self, outcome: Outcome) -> None:
        if self._spoke is not None:
            self._spoke.discard(self)
        super().settle(outcome)

    def abandon(self) -> None:
        self.settle(GIVEN_UP)
        self._leave()

    def _leave(self) -> None:
        self._awaited.forget(self._go_on)
        self._awaited.forget(self.settle)
        self._awaited.abandon()


def check_resolver(value: object) -> None:
    """See that something is a resolver, before it is asked.

    Raises:
        TypeError: It is none; the text says what may have been meant.
    """
    if callable(getattr(value, "resolve", None)) and not isinstance(value, type):
        return
    problem = f"a resolver has a method resolve(query), which {shorten(value)} has not"
    if isinstance(value, type):
        problem = f"{value.__name__} is a class; did you mean {value.__name__}()?"
    elif isroutine(value):
        problem = f"{value.__name__} is a function; {_meant_by(value)}"
    elif isawaitable(value):
        problem += " (await it)"
    elif isinstance(value, list | tuple):
        problem += " (write Chain(a, b))"
    elif isinstance(value, str):
        problem += f" (write Forward({value!r}))"
    raise TypeError(problem)


def _meant_by(function: Callable[..., object]) -> str:
    """Say what may have been meant by a function where a resolver is expected."""
    with suppress(ValueError):  # some have no signature
        if not signature(function).parameters:
            return f"did you mean {function.__name__}()?"
    meant = "a resolver is an object with resolve(query), as Router() is"
    return f"{meant}, whose on(…) takes functions"


def version_of(resolver: object) -> object | None:
    """Give the version of a resolver, or None if it declares none: outcomes may then depend on anything."""
    return getattr(resolver, "version", None)


def varies(resolver: object) -> bool:
    """Tell whether the outcomes of a resolver depend on who asks."""
    return bool(getattr(resolver, "varies", False))


def is_recursive(resolver: object) -> bool:
    """Tell whether a resolver finds out what it does not know from others."""
    return bool(getattr(resolver, "recursive", False))


def is_own(resolver: object, query: Query) -> bool:
    """Tell whether a query comes from a resolver that is asked it: it goes in a circle."""
    own = getattr(resolver, "is_own", None)
    return own is not None and own(query) is True


async def close(*resolvers: object) -> None:
    """End what resolvers have begun, those that have a way to."""
    for resolver in resolvers:
        aclose = getattr(resolver, "aclose", None)
        if aclose is not None:
            await aclose()


async def reload(*sources: object) -> None:
    """Have everything that has a way to read its files again, one after another, whatever fails.

    Args:
        sources: Resolvers and others; their ``reload`` may be ``async``.

    Raises:
        Exception: What the first one raised that could not, with what others raised as its notes.
    """
    errors: list[Exception] = []
    for source in sources:
        act = getattr(source, "reload", None)
        if act is None:
            continue
        try:
            result = act()
            if isawaitable(result):
                await result
        except Exception as error:  # noqa: BLE001 - raised below
            errors.append(error)
    raise_together(errors)
