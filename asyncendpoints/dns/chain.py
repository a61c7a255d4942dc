"""Resolvers made of resolvers: one after another, by failure, by client.

The law: nothing here knows a socket, and none of it looks into an outcome beyond what kind it is.
"""

from __future__ import annotations

from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Self

from asyncendpoints.dns.codes import Rcode
from asyncendpoints.dns.networks import Networks
from asyncendpoints.dns.outcome import PASS, Failure, Outcome, Response
from asyncendpoints.dns.resolver import (
    GIVEN_UP,
    Pending,
    begin,
    check_resolver,
    close,
    is_own,
    is_recursive,
    reload,
    varies,
    version_of,
)
from asyncendpoints.dns.zone import Authority
from asyncendpoints.dns.zones import Zones

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from asyncendpoints.dns.query import Query
    from asyncendpoints.dns.resolver import Resolver

__all__ = ["Chain", "Composite", "Failover", "View"]


class Composite:
    """The base of resolvers that ask others, which they close with themselves.

    Args:
        resolvers: Those that are asked, in order.
    """

    def __init__(self, *resolvers: Resolver) -> None:
        for each in resolvers:
            check_resolver(each)
        self._resolvers = resolvers
        self._unversioned = next(
            (i for i, each in enumerate(resolvers) if version_of(each) is None), len(resolvers)
        )
        #: Whether outcomes depend on who asks.
        self.varies = any(map(varies, resolvers))
        #: Whether one of them finds out what it does not know from others.
        self.recursive = any(map(is_recursive, resolvers))

    @property
    def resolvers(self) -> tuple[Resolver, ...]:
        """Those that are asked, in order."""
        return self._resolvers

    @property
    def version(self) -> object:
        """The versions of those that have one, up to the first that has none.

        Outcomes of the others are marked as good for one question only.
        """
        return tuple([each.version for each in self._resolvers[: self._unversioned]])  # type: ignore[attr-defined]

    def is_own(self, query: Query) -> bool:
        """Tell whether a query comes from one of them."""
        return any(is_own(each, query) for each in self._resolvers)

    def _goes_on(self, outcome: Outcome) -> bool:
        """Tell whether the next one is to be asked after an outcome."""
        raise NotImplementedError

    def resolve(self, query: Query, /) -> Outcome:
        return self._ask(query, 0)

    def _ask(self, query: Query, start: int) -> Outcome:
        """Ask one after another, from some of them on."""
        for position in range(start, len(self._resolvers)):
            outcome = begin(self._resolvers[position], query)
            if isinstance(outcome, Pending):
                return _Next(outcome, partial(self._after, query, position))
            if self._ends(outcome, position):
                return self._marked(outcome, position)
        return PASS

    def _after(self, query: Query, position: int, outcome: Outcome) -> Outcome:
        """Go on with the outcome of one of them, which had to be waited for."""
        if self._ends(outcome, position):
            return self._marked(outcome, position)
        return self._ask(query, position + 1)

    def _ends(self, outcome: Outcome, position: int) -> bool:
        """Tell whether the outcome of one of them stands."""
        return position == len(self._resolvers) - 1 or not self._goes_on(outcome)

    def _marked(self, outcome: Outcome, position: int) -> Outcome:
        """Mark an outcome as good for one question only, unless there are versions that it depends on."""
        if position < self._unversioned or not isinstance(outcome, Response):
            return outcome
        return outcome.unremembered()

    async def reload(self) -> None:
        """Have those of the resolvers that are made of files read them again.

        Raises:
            EndpointError: One or more could not, and stay as they were: the first one's error, with those of
                others as its notes.
        """
        await reload(*self._resolvers)

    async def aclose(self) -> None:
        """Close those of the resolvers that have something to close."""
        await close(*self._resolvers)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._resolvers))})"


class _Next(Pending):
    """An outcome after which the next resolver may have to be asked."""

    __slots__ = ("_after", "_awaited")

    def __init__(self, pending: Pending, after: Callable[[Outcome], Outcome]) -> None:
        super().__init__()
        self._awaited = pending
        self._after = after
        pending.then(self._go_on)

    def _go_on(self, outcome: Outcome) -> None:
        if self.outcome is not None:
            return  # nobody waits any more
        outcome = self._after(outcome)
        if isinstance(outcome, Pending):
            self._awaited = outcome
            outcome.then(self.settle)
        else:
            self.settle(outcome)

    def abandon(self) -> None:
        self.settle(GIVEN_UP)
        self._awaited.forget(self._go_on)
        self._awaited.forget(self.settle)
        self._awaited.abandon()


class Chain(Composite):
    """Resolvers one after another: the first outcome other than ``PASS`` stands.

    Zones that follow each other become one `Zones`, in which the longest name counts and not the order.

    Args:
        resolvers: Those that are asked, in order.

    Raises:
        ValueError: Two zones that follow each other have the same name.
    """

    def __init__(self, *resolvers: Resolver) -> None:
        super().__init__(*_joined(resolvers))

    def _goes_on(self, outcome: Outcome) -> bool:
        return outcome is PASS


def _joined(resolvers: Iterable[Resolver]) -> Iterator[Resolver]:
    """Make one of zones that follow each other."""
    for are_zones, several in groupby(resolvers, lambda each: isinstance(each, Authority)):
        found = tuple(several)
        if are_zones and len(found) > 1:
            yield Zones(*found)  # type: ignore[arg-type]  # each is one
        else:
            yield from found


class Failover(Composite):
    """Resolvers one after another until one finds out: after a failure the next is asked.

    If all fail, the outcome is that of the last.

    Args:
        resolvers: Those that are asked, in order.
        codes: The response codes after which the next is asked.
    """

    def __init__(
        self,
        *resolvers: Resolver,
        codes: Collection[int] = (Rcode.SERVFAIL, Rcode.REFUSED, Rcode.NOTIMP),
    ) -> None:
        super().__init__(*resolvers)
        self._codes = frozenset(codes)
        # What comes after a failure is good for one question only.
        self._unversioned = min(self._unversioned, 1)

    def _goes_on(self, outcome: Outcome) -> bool:
        return isinstance(outcome, Failure) and outcome.rcode in self._codes


class View(Composite):
    """A resolver for some clients only; for others it passes.

    Args:
        resolver: Whom those clients' queries go to.
        clients: Networks such as ``"10.0.0.0/8"``, or addresses. This process counts as 127.0.0.1.
        when: Tells whether a query goes there, in place of ``clients``.

    Raises:
        ValueError: One of ``clients`` is no network; or there are neither ``clients`` nor ``when``, or both.
    """

    def __init__(
        self,
        resolver: Resolver,
        clients: Iterable[str] = (),
        *,
        when: Callable[[Query], bool] | None = None,
    ) -> None:
        super().__init__(resolver)
        self.varies = True
        networks = Networks(clients)
        if bool(tuple(networks)) == (when is not None):
            problem = "a view is for clients, as in View(zone, ['10.0.0.0/8']), or has when="
            raise ValueError(problem)
        self._when = when or (lambda query: networks.contain(query.client_host or "127.0.0.1"))

    @property
    def version(self) -> None:
        """None: what a client gets depends on who it is."""

    def resolve(self, query: Query, /) -> Outcome:
        return self._ask(query, 0) if self._when(query) else PASS
