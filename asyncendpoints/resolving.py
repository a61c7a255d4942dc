"""Host names to addresses by a DNS resolver of ours, each family as its answer comes.

Source: RFC 8305, section 3.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf
from typing import TYPE_CHECKING

from asyncendpoints import events
from asyncendpoints.addresses import Address
from asyncendpoints.errors import DNSError, DNSTimeoutError, NoDataError, NXDomainError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from asyncendpoints.dns.outcome import Outcome
    from asyncendpoints.dns.query import Query
    from asyncendpoints.dns.resolver import Resolver

__all__ = [
    "RESOLUTION_DELAY",
    "Candidates",
    "check_resolver",
    "default_resolver",
    "families_of",
    "late_of",
    "look_up",
    "problems_of",
    "use_resolver",
]

#: Seconds that IPv4 addresses wait for those of IPv6. RFC 8305, section 3.
RESOLUTION_DELAY = 0.05

#: Who is asked where a call names nobody: None for the system's ``getaddrinfo``.
default_resolver: ContextVar[Resolver | None] = ContextVar("default_resolver", default=None)


@contextmanager
def use_resolver(resolver: Resolver | None) -> Iterator[None]:
    """Have `connect`, `lookup` and their like ask a resolver, in this context and what it starts.

        with use_resolver(dns.system()):
            await connect("tcp:example.org:80", Proto)

    Args:
        resolver: A DNS resolver, which a call's own ``resolver`` goes before; None for the system's
            ``getaddrinfo``, and for `asyncendpoints.dns.system` in lookups.

    Raises:
        TypeError: It is none.
    """
    check_resolver(resolver)
    token = default_resolver.set(resolver)
    try:
        yield
    finally:
        default_resolver.reset(token)


def check_resolver(resolver: Resolver | None) -> None:
    """See that what is to look names up is a resolver, if anything is.

    Raises:
        TypeError: It is none.
    """
    if resolver is not None:
        from asyncendpoints.dns.resolver import check_resolver  # slow to import

        check_resolver(resolver)


class Candidates(list[Address]):
    """The addresses of a host, in order of preference, and those that are still to come.

    Args:
        addresses: Those that are known.
        late: Comes to those of another family, if it has any; cancelled when nobody wants them any more.
        families: The questions for them that may come to nothing, or have.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        late: asyncio.Future[list[Address]] | None = None,
        families: Sequence[_Family] = (),
    ) -> None:
        super().__init__(addresses)
        self.late = late
        self.families = families


def late_of(addresses: Sequence[Address]) -> asyncio.Future[list[Address]] | None:
    """Give what comes to the addresses that are still to come, or None if these are all."""
    return addresses.late if isinstance(addresses, Candidates) else None


def families_of(addresses: Sequence[Address]) -> Sequence[_Family]:
    """Give the questions for addresses that may come to nothing, or have."""
    return addresses.families if isinstance(addresses, Candidates) else ()


def problems_of(addresses: Sequence[Address]) -> list[DNSError]:
    """Say why there may be more addresses than these: what could not be found out, as far as is known now."""
    return [each.problem for each in families_of(addresses) if each.problem is not None]


class _Asking:
    """What the questions of one lookup have in common."""

    def __init__(
        self,
        resolver: Resolver,
        host: str,
        port: int,
        deadline: float,
        emit: Callable[[events.Event], None] | None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.resolver = resolver
        self.host = host
        self.port = port
        self.deadline = deadline
        self.emit = emit

    def tell(self, event: Callable[..., events.Event], *values: object) -> None:
        """Tell who wants to know of a step."""
        if self.emit is not None:
            self.emit(event(self.loop.time(), *values))


class _Family:
    """The question for the addresses of one family."""

    def __init__(self, asking: _Asking, family: int, rtype: int) -> None:
        from asyncendpoints.dns.query import Query  # slow to import, and not always needed
        from asyncendpoints.dns.resolver import Pending

        self._asking = asking
        self._family = family
        now = asking.loop.time()
        self._query = Query.make(asking.host, rtype, now=now, deadline=asking.deadline)
        #: The addresses, none if there are none; `error` then says why.
        self.future: asyncio.Future[list[Address]] = asking.loop.create_future()
        self.error: DNSError | None = None
        asking.tell(events.QueryStarted, self._query.name, self._query.type)
        self._outcome = _ask(asking.resolver, self._query)
        if isinstance(self._outcome, Pending):
            self.future.add_done_callback(
                lambda future: self.abandon() if future.cancelled() else None
            )
            self._outcome.then(self._settle)
        else:
            self._settle(self._outcome)

    def abandon(self) -> None:
        """Hear that nobody waits for it any more."""
        from asyncendpoints.dns.resolver import Pending

        self.future.cancel()
        if isinstance(self._outcome, Pending):
            self._outcome.abandon()

    @property
    def problem(self) -> DNSError | None:
        """Why there may be more addresses than were found: a failure to find out, or no answer yet."""
        if not self.future.done() or self.future.cancelled():
            name, kind = self._query.name, self._query.type
            return DNSTimeoutError(name, kind, "there was no answer in time")
        return None if isinstance(self.error, NXDomainError | NoDataError) else self.error

    def _settle(self, outcome: Outcome) -> None:
        from asyncendpoints.dns.results import found_records, read_addresses

        if self.future.done():
            return
        asking, query = self._asking, self._query
        addresses: list[Address] = []
        try:
            is_late = asking.loop.time() >= asking.deadline
            found = read_addresses(query, found_records(query, outcome, is_late=is_late))
            addresses = [_address(self._family, str(each), asking.port) for each in found]
        except DNSError as error:
            self.error = error
        shown = tuple(each.host for each in addresses)
        asking.tell(events.QueryFinished, query.name, query.type, shown, self.error)
        self.future.set_result(addresses)


def _ask(resolver: Resolver, query: Query) -> Outcome:
    """Ask a resolver, but for the names of this machine itself, which nobody else knows.

    Source: RFC 6761, section 6.3.
    """
    from asyncendpoints.dns.resolver import ask
    from asyncendpoints.dns.special import localhost

    return localhost(query) or ask(resolver, query)


def _address(family: int, host: str, port: int) -> Address:
    return Address(family, (host, port) if family == socket.AF_INET else (host, port, 0, 0))


async def look_up(
    resolver: Resolver,
    host: str,
    port: int,
    family: int,
    deadline: float | None = None,
    emit: Callable[[events.Event], None] | None = None,
) -> Candidates:
    """Look up the addresses of a host with a resolver, IPv4 and IPv6 at the same time.

    Those of IPv6 are given as soon as they are there, those of IPv4 a moment later, in which those of IPv6
    can still come. What comes after that is in ``late``.

    Args:
        resolver: Who is asked.
        host: A name, in any letters.
        port: 0 to 65535.
        family: ``socket.AF_UNSPEC``, ``AF_INET`` or ``AF_INET6``.
        deadline: Loop time by which an answer is wanted, or None.
        emit: Hears of each step, and never raises.

    Raises:
        DNSError: There are no addresses, or nobody could find out.
        DomainNameError: The host is no name.

    Source: RFC 8305, section 3.
    """
    from asyncendpoints.dns.records import Type

    asking = _Asking(resolver, host, port, inf if deadline is None else deadline, emit)
    wanted = [(socket.AF_INET6, Type.AAAA), (socket.AF_INET, Type.A)]
    families = [_Family(asking, *each) for each in wanted if family in (socket.AF_UNSPEC, each[0])]
    try:
        return await (_first(*families) if len(families) > 1 else _only(families[0]))
    except BaseException:
        for each in families:
            each.abandon()
        raise


async def _only(one: _Family) -> Candidates:
    return Candidates(_given(await one.future, one))


async def _first(six: _Family, four: _Family) -> Candidates:
    """Wait for addresses with which something can be begun."""
    futures = {six.future, four.future}
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
    if not six.future.done() and four.future.result():
        await asyncio.wait([six.future], timeout=RESOLUTION_DELAY)
    if not six.future.done() and four.future.result():
        return Candidates(four.future.result(), six.future, (six,))
    found = await six.future
    if found and not four.future.done():
        return Candidates(found, four.future, (four,))
    return Candidates(_given(found + await four.future, six, four), None, (six, four))


def _given(addresses: list[Address], *families: _Family) -> list[Address]:
    """Give addresses, one or more.

    Raises:
        DNSError: There are none.
    """
    from asyncendpoints.dns.results import first_error

    if not addresses:
        raise first_error([each.error for each in families if each.error is not None])
    return addresses
