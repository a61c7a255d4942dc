"""Lookups from Python: a name in, records or an error out."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, IPv6Address, ip_address
from math import inf
from typing import TYPE_CHECKING, Final, TypeVar

import dns.name
import dns.rrset

from asyncendpoints.addresses import is_ipv4, unmapped
from asyncendpoints.dns.codes import Rcode
from asyncendpoints.dns.names import encode_name, is_subdomain, reverse_name
from asyncendpoints.dns.query import Query
from asyncendpoints.dns.records import LONGEST_TTL, Records, Type, format_type, parse_type
from asyncendpoints.dns.resolver import Pending, ask
from asyncendpoints.dns.results import (
    first_error,
    found_records,
    read_addresses,
    read_names,
    read_rdatas,
    read_rrset,
)
from asyncendpoints.dns.special import localhost
from asyncendpoints.dns.timers import TICK
from asyncendpoints.errors import (
    DNSError,
    DomainNameError,
    NoDataError,
    NXDomainError,
    RecordError,
    ServiceNotOfferedError,
)
from asyncendpoints.quantities import time_limit
from asyncendpoints.resolving import check_resolver, default_resolver

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from dns.rdtypes.IN.SRV import SRV

    from asyncendpoints.dns.outcome import Outcome
    from asyncendpoints.dns.resolver import Resolver

__all__ = ["lookup", "lookup_addresses", "lookup_reverse", "lookup_service"]

T = TypeVar("T")

IPAddress = IPv4Address | IPv6Address

#: Types that stand for no data, or for more than one type.
_NO_DATA_TYPES = {Type.OPT, *range(Type.TKEY, Type.ANY + 1)}

#: The type of the addresses of an IP version.
_ADDRESS_TYPES = {4: Type.A, 6: Type.AAAA}

_LOCALHOST = encode_name("localhost")

#: Seconds before the end of a lookup from which on a failure is that of time: a resolver that knows the
#: deadline gives up a tick before it, and a loop may be early with a timer.
_EARLY = TICK + 0.01


class _Lookup:
    """What the questions of one lookup have in common."""

    __slots__ = ("deadline", "resolver")

    def __init__(self, resolver: Resolver | None, timeout: float | None) -> None:
        check_resolver(resolver)
        if resolver is None:
            resolver = default_resolver.get()
        if resolver is None:
            from asyncendpoints.dns.machine import system  # slow to import, and not always needed

            resolver = system()
        self.resolver: Final = resolver
        now = asyncio.get_running_loop().time()
        self.deadline: Final = inf if timeout is None else now + time_limit(timeout)

    def begin(self, name: str, rtype: int) -> tuple[Query, Outcome]:
        """Ask one question."""
        now = asyncio.get_running_loop().time()
        query = Query.make(name, rtype, now=now, deadline=self.deadline)
        return query, localhost(query) or ask(self.resolver, query)

    async def records(self, name: str, rtype: int) -> Records:
        """Ask one question, and give the records at the end of its aliases.

        Raises:
            DNSError: There are none.
        """
        query, outcome = self.begin(name, rtype)
        return found_records(query, await outcome, is_late=self.is_late)

    @property
    def is_late(self) -> bool:
        """Whether the time is up."""
        return asyncio.get_running_loop().time() >= self.deadline - _EARLY

    async def addresses(self, name: str, versions: Sequence[int]) -> list[IPAddress]:
        """Ask for the addresses of several versions of IP at the same time.

        Raises:
            DNSError: There are none of any version.
        """
        begun = [self.begin(name, _ADDRESS_TYPES[each]) for each in versions]
        try:
            outcomes = [await outcome for _, outcome in begun]
        except asyncio.CancelledError:
            for _, outcome in begun:
                if isinstance(outcome, Pending):
                    outcome.abandon()
            raise
        found: list[IPAddress] = []
        errors: list[DNSError] = []
        for (query, _), outcome in zip(begun, outcomes, strict=True):
            try:
                records = found_records(query, outcome, is_late=self.is_late)
                found += read_addresses(query, records)
            except DNSError as error:
                errors.append(error)
        try:
            if not found:
                raise _of_all(errors)
        finally:
            del errors  # which hold this frame
        return found


async def lookup(
    name: str | dns.name.Name,
    type: str | int = "A",  # noqa: A002 - the field's term
    *,
    resolver: Resolver | None = None,
    timeout: float | None = 5.0,
    search: bool | Iterable[str] = False,
) -> dns.rrset.RRset:
    """Look up records.

    ``await lookup("example.org", "MX")`` asks this machine for the mail hosts of a domain.

    Args:
        name: With or without a final dot, in any letters. An address stands for itself, or with PTR for its
            reverse name.
        type: Any record type with data: ``"MX"``, ``"TYPE731"`` or a number.
        resolver: Who is asked; as a rule that of `use_resolver`, or else `system`.
        timeout: The longest time that it may take, in seconds, or None.
        search: Whether a name without a final dot is also looked up below the domains that ``resolv.conf``
            names for that, or the domains.

    Returns:
        The records. Their owner is the name at the end of the chain of aliases, if there is one.

    Raises:
        NXDomainError: There is no such name.
        NoDataError: The name has no records of that type.
        ServFailError: Nobody could find out.
        DNSRefusedError: The server refuses to answer.
        DNSTimeoutError: There was no answer in time.
        DomainNameError: The name is none.
        RecordError: The type is none, or stands for no data.
        TypeError: The name or the type is neither text nor what else it can be, or ``resolver`` is none.
    """
    rtype = _parse_data_type(type)
    if not isinstance(name, str | dns.name.Name):
        raise TypeError(f"a name is text such as 'example.org', not {name!r}")
    text = name if isinstance(name, str) else name.to_text()
    address = _literal(text)
    if address is not None and rtype == Type.PTR:
        text = reverse_name(address) + "."
    elif address is not None and rtype in _ADDRESS_TYPES.values():
        if rtype != _ADDRESS_TYPES[address.version]:
            raise _other_version(text, rtype, address)
        records = Records(encode_name(text), rtype, LONGEST_TTL, (address.packed,))
        return read_rrset(Query.make(text, rtype), records)
    asking = _Lookup(resolver, timeout)

    async def attempt(candidate: str) -> dns.rrset.RRset:
        records = await asking.records(candidate, rtype)
        return read_rrset(Query.make(candidate, rtype), records)

    return await _searched(text, search, attempt)


async def lookup_addresses(
    host: str,
    *,
    versions: Sequence[int] = (6, 4),
    resolver: Resolver | None = None,
    timeout: float | None = 5.0,
    search: bool | Iterable[str] = False,
) -> list[IPAddress]:
    """Look up the addresses of a host; those of both versions of IP are asked for at the same time.

    One version is enough: that the other could not be found out is then no error.

    Args:
        host: A name, or an address, which stands for itself.
        versions: The versions of IP, 4 and 6, in the order in which their addresses are wanted.
        resolver: As for `lookup`, and so are ``timeout`` and ``search``.
        timeout: As there.
        search: As there.

    Raises:
        DNSError: There is no address: of the errors of `lookup` the one that says most.
        DomainNameError: The name is none.
        ValueError: ``versions`` has others than 4 and 6, or none.
        TypeError: ``versions`` is no list.
    """
    if isinstance(versions, int):
        raise TypeError(f"versions is a list such as [4], not {versions!r}")
    if not versions or not set(versions) <= set(_ADDRESS_TYPES):
        raise ValueError(f"versions is {versions!r}, expected 4, 6 or both")
    address = _literal(host)
    if address is not None:
        if address.version not in versions:
            raise _other_version(host, _ADDRESS_TYPES[versions[0]], address)
        return [address]
    asking = _Lookup(resolver, timeout)
    return await _searched(host, search, lambda each: asking.addresses(each, versions))


async def lookup_reverse(
    address: str | IPv4Address | IPv6Address,
    *,
    resolver: Resolver | None = None,
    timeout: float | None = 5.0,
) -> list[str]:
    """Look up the names of an address, without their final dots.

    Args:
        address: The address; an IPv4 address that is mapped into IPv6 is what it is, and a zone is ignored.
        resolver: As for `lookup`, and so is ``timeout``.
        timeout: As there.

    Raises:
        DNSError: As for `lookup`.
        DomainNameError: The text is no address.
    """
    name = reverse_name(unmapped(str(address)))
    asking = _Lookup(resolver, timeout)
    records = await asking.records(name, Type.PTR)
    return read_names(Query.make(name, Type.PTR), records)


async def lookup_service(
    name: str,
    *,
    resolver: Resolver | None = None,
    timeout: float | None = 5.0,
) -> list[SRV]:
    """Look up where a service is, such as ``_imaps._tcp.example.org``.

    Args:
        name: Service, protocol and domain.
        resolver: As for `lookup`, and so is ``timeout``.
        timeout: As there.

    Returns:
        The records, in no order.

    Raises:
        ServiceNotOfferedError: The domain says that it does not offer the service.
        DNSError: As for `lookup`.
        DomainNameError: The name is none.

    Source: RFC 2782.
    """
    query = Query.make(name, Type.SRV)
    records = await _Lookup(resolver, timeout).records(name, Type.SRV)
    found: list[SRV] = read_rdatas(query, records)
    if len(found) == 1 and found[0].target == dns.name.root:
        problem = "the domain says that it does not offer this service"
        raise ServiceNotOfferedError(query.name, query.type, problem, Rcode.NOERROR)
    return found


async def _searched(
    name: str, search: bool | Iterable[str], attempt: Callable[[str], Awaitable[T]]
) -> T:
    """Look up one name after another until one is there.

    Raises:
        DNSError: None of them is there, or somebody could not find out.
    """
    errors: list[DNSError] = []
    for candidate in candidates(name, *_search_list(search)):
        try:
            return await attempt(candidate)
        except (NXDomainError, NoDataError) as error:
            errors.append(error)
    try:
        raise first_error(errors)
    finally:
        del errors  # which hold this frame


def _of_all(errors: list[DNSError]) -> DNSError:
    """Give the error that says most of questions for several types, of all of them if it is the same."""
    error = first_error(errors)
    if len({type(each) for each in errors}) == 1:
        error.type = " and ".join(each.type for each in errors)
    return error


def _search_list(search: bool | Iterable[str]) -> tuple[tuple[str, ...], int]:
    """Give the domains and how many dots make a name be tried as it is first."""
    if isinstance(search, str):
        raise TypeError(f"search is a list of domains, not the text {search!r}")
    if search is True:
        from asyncendpoints.dns.machine import resolv_conf  # as above

        conf = resolv_conf()
        return conf.search, conf.ndots
    return (tuple(search) if search else ()), 1


def candidates(name: str, domains: Iterable[str], ndots: int) -> list[str]:
    """List the names that a name can stand for, in the order in which they are tried.

    Args:
        name: With a final dot it stands for itself.
        domains: The search list.
        ndots: How many dots make it be tried as it is before the domains are added.

    Raises:
        DomainNameError: The name is none.

    Source: resolv.conf(5).
    """
    wire = encode_name(name)
    if name.endswith(".") or is_subdomain(wire.lower(), _LOCALHOST):
        return [name]
    longer = [f"{name}.{each.rstrip('.')}." for each in domains]
    fitting = [each for each in longer if _fits(each)]
    return [name, *fitting] if name.count(".") >= ndots else [*fitting, name]


def _fits(name: str) -> bool:
    try:
        encode_name(name)
    except DomainNameError:
        return False
    return True


def _parse_data_type(given: str | int) -> int:
    rtype = parse_type(given)
    if rtype in _NO_DATA_TYPES:
        raise RecordError(given, format_type(rtype), "stands for no data that could be looked up")
    return rtype


def _literal(text: str) -> IPAddress | None:
    """Give the address that a text is, or None for a name."""
    if ":" not in text and not is_ipv4(text):
        return None
    try:
        return ip_address(text)
    except ValueError:
        return None


def _other_version(text: str, rtype: int, address: IPAddress) -> NoDataError:
    problem = f"that is an IPv{address.version} address"
    return NoDataError(text, format_type(rtype), problem, Rcode.NOERROR)
