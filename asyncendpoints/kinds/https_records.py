"""The addresses of a host, with the alternatives that its HTTPS records give.

Records and addresses are asked for at the same time. Whatever is missing when there is something to begin
with is waited for 50 ms and no longer, and may come while the race goes on.

Source: RFC 9460, section 3; draft-ietf-happy-happyeyeballs-v3, section 4.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, NamedTuple

from asyncendpoints.addresses import to_ascii
from asyncendpoints.dns.names import format_name
from asyncendpoints.dns.records import Type
from asyncendpoints.errors import DNSError, DomainNameError, ResolveError
from asyncendpoints.kinds.asking import ask_records, resolver_of
from asyncendpoints.names import is_literal, literal
from asyncendpoints.resolving import RESOLUTION_DELAY, Candidates, families_of, late_of
from asyncendpoints.service_bindings import MOST_BYTES, Binding, alias_of, question, usable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from asyncendpoints.addresses import Address
    from asyncendpoints.attempt import Attempt

__all__ = ["alternatives"]

#: How many aliases are followed, one after the other.
_MOST_ALIASES = 8


async def alternatives(
    attempt: Attempt, host: str, port: int, family: str, protocols: Collection[str]
) -> Candidates:
    """Give the addresses at which a host can be reached, those of its HTTPS records first.

    The addresses of the host itself come last: they are what there is without records, or where no
    alternative answers. That the records cannot be found out is no error.

    Args:
        attempt: The connect that they are for.
        host: A name or an address literal.
        port: 0 to 65535.
        family: ``"any"``, ``"ipv4"`` or ``"ipv6"``.
        protocols: Those that are offered by ALPN.

    Raises:
        ResolveError: There are no addresses.
    """
    if is_literal(host):
        return await attempt.addresses(host, port, family)
    resolver_of(attempt)  # one and the same for all that is asked
    asking = _Asking(attempt, family)
    records = asyncio.ensure_future(_bindings(attempt, host, port, protocols))
    own = asking.begin(Binding(host, port))
    try:
        await asyncio.wait([records, own.found], return_when=asyncio.FIRST_COMPLETED)
        if own.found.done() and own.found.result():
            await asyncio.wait([records], timeout=RESOLUTION_DELAY)
            if not records.done():
                records.cancel()
                return own.found.result()
        ways = [asking.begin(each) for each in await records]
        found = await _joined([*ways, own])
    except BaseException:
        records.cancel()
        asking.cancel()
        raise
    if not found:
        raise asking.failed()
    return found


async def _bindings(
    attempt: Attempt, host: str, port: int, protocols: Collection[str]
) -> list[Binding]:
    """Find out the alternatives of a host; none if there are none or nobody could find out."""
    name = question(to_ascii(host).removesuffix("."), port)
    for count in range(_MOST_ALIASES + 1):
        # Where an alias leads is an alternative itself (RFC 9460, section 3).
        last = [Binding(name, port)] if count else []
        try:
            answered = await ask_records(attempt, name, Type.HTTPS, MOST_BYTES)
        except (DNSError, DomainNameError):
            return last
        alias = alias_of(answered.rdatas, attempt.draw)
        if alias is None:
            owner = format_name(answered.owner)
            return [*usable(answered.rdatas, owner, port, protocols, attempt.draw), *last]
        if alias == ".":
            break  # there is no such service, which is a hint and no more (RFC 9460, section 2.5.1)
        name = alias
    return []


class _Way(NamedTuple):
    """An alternative whose addresses are being looked up."""

    hints: Sequence[Address]
    found: asyncio.Task[Candidates]


class _Asking:
    """The lookups of one connect."""

    def __init__(self, attempt: Attempt, family: str) -> None:
        self._attempt = attempt
        self._family = family
        self._found: dict[tuple[str, int], asyncio.Task[Candidates]] = {}
        self._errors: list[ResolveError] = []

    def begin(self, binding: Binding) -> _Way:
        """Begin to look up the addresses of an alternative, unless that was begun before."""
        place = to_ascii(binding.host).removesuffix(".").lower(), binding.port
        if place not in self._found:
            self._found[place] = asyncio.ensure_future(self._look_up(binding))
        hints = [_address(each, binding.port) for each in binding.hints]
        return _Way([each for each in hints if self._is_wanted(each)], self._found[place])

    async def _look_up(self, binding: Binding) -> Candidates:
        try:
            return await self._attempt.addresses(binding.host, binding.port, self._family)
        except ResolveError as error:
            self._errors.append(error)
            return Candidates([])

    def _is_wanted(self, address: Address) -> bool:
        wanted = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
        return address.family == wanted.get(self._family, address.family)

    def failed(self) -> ResolveError:
        """Give the error of the host itself, none of whose alternatives has an address either."""
        try:
            return self._errors[0]
        finally:
            self._errors.clear()  # they hold the frames that hold this

    def cancel(self) -> None:
        """End what has been begun."""
        _cancel(self._found.values())


async def _joined(ways: Sequence[_Way]) -> Candidates:
    """Give the addresses of several alternatives in their order, as soon as there are some."""
    tasks = list(dict.fromkeys(way.found for way in ways))
    if any(way.hints for way in ways):
        await asyncio.sleep(0)  # all lookups have begun before the race does
    else:
        await _wait_for_some(tasks)
    addresses: dict[Address, None] = {}
    for way in ways:
        addresses.update(dict.fromkeys(way.found.result() if way.found.done() else way.hints))
    missing = [each for each in tasks if not each.done() or late_of(each.result())]
    families = [each for task in tasks if task.done() for each in families_of(task.result())]
    if not missing:
        return Candidates([*addresses], None, families)
    late = asyncio.ensure_future(_later(missing, addresses))
    late.add_done_callback(lambda _: _cancel(missing))
    return Candidates([*addresses], late, families)


async def _wait_for_some(tasks: Iterable[asyncio.Task[Candidates]]) -> None:
    """Wait until there are addresses, and then a moment for those that should be before them."""
    pending = set(tasks)
    found = False
    while pending and not found:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        found = any(each.result() for each in done)
    if pending:
        await asyncio.wait(pending, timeout=RESOLUTION_DELAY)


async def _later(
    tasks: Iterable[asyncio.Task[Candidates]], known: Collection[Address]
) -> list[Address]:
    """Give the addresses that are not known yet."""
    found = []
    for task in tasks:
        candidates = await task
        late = late_of(candidates)
        found += [*candidates, *(await late if late else ())]
    return [each for each in dict.fromkeys(found) if each not in known]


def _address(host: str, port: int) -> Address:
    found = literal(host, port)
    assert found is not None  # hints are addresses
    return found


def _cancel(tasks: Iterable[asyncio.Task[Candidates]]) -> None:
    """End lookups, and what is still to come of those that have ended."""
    for task in tasks:
        late = late_of(task.result()) if task.done() and not task.cancelled() else None
        (late or task).cancel()
