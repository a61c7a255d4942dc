"""What a lookup gives: outcomes to records and addresses, or to the error that says why not.

Pure.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from asyncendpoints.dns.codes import Rcode
from asyncendpoints.dns.names import format_name
from asyncendpoints.dns.outcome import DROP, Answer, Failure, NoData, NXDomain, Referral
from asyncendpoints.dns.records import Type
from asyncendpoints.dns.scan import decode_name
from asyncendpoints.errors import (
    DNSError,
    DNSRefusedError,
    DNSTimeoutError,
    NoDataError,
    NXDomainError,
    ServFailError,
    WireError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from asyncendpoints.dns.outcome import Outcome
    from asyncendpoints.dns.query import Query
    from asyncendpoints.dns.records import Records

__all__ = [
    "Service",
    "first_error",
    "found_records",
    "read_addresses",
    "read_names",
    "read_rdatas",
    "read_rrset",
    "read_services",
]

#: How much dnspython may have to do, in units of some 0.6 microseconds: it takes 40 ms. A name takes the
#: square of the number of its labels, of which it has up to 125.
_MOST_WORK: Final = 65_536
#: What each record takes, and each string of a text.
_RECORD_WORK: Final = 100
_STRING_WORK: Final = 20
#: The types whose data is a list of strings: TXT, NINFO, SPF, AVC, RESINFO, WALLET.
_TEXTS: Final = {Type.TXT, 56, 99, 258, 261, 262}
#: What each byte takes of types whose data can be a long list of short things: OPT, APL, HIP, SVCB, HTTPS.
_BYTE_WORK: Final = {Type.OPT: 12, 42: 12, 55: 50, Type.SVCB: 12, Type.HTTPS: 12}

_TOO_LONG: Final = "the answer would take too long to read"
_UNREADABLE: Final = "the answer has a record that cannot be read"


def found_records(query: Query, outcome: Outcome, *, is_late: bool) -> Records:
    """Give the records that an outcome has for a question, at the end of its chain of aliases.

    Args:
        query: The question.
        outcome: What `ask` gave.
        is_late: Whether the time is up, so that a failure is none of the servers'.

    Raises:
        DNSError: There are none.
    """
    if isinstance(outcome, Answer):
        return _last(query, outcome)
    raise _error(query, outcome, is_late=is_late)


def _error(query: Query, outcome: Outcome, *, is_late: bool) -> DNSError:
    name, kind, rcode, ede = query.name, query.type, outcome.rcode, outcome.ede
    if isinstance(outcome, NXDomain):
        return NXDomainError(name, kind, "there is no such name", rcode, ede)
    if isinstance(outcome, NoData):
        return NoDataError(name, kind, "the name has no such records", rcode, ede)
    if outcome is DROP or (is_late and isinstance(outcome, Failure)):
        return DNSTimeoutError(name, kind, "there was no answer in time", None, ede)
    if rcode == Rcode.REFUSED:
        return DNSRefusedError(name, kind, "the server refuses to answer", rcode, ede)
    problem = "nobody could find out"
    if isinstance(outcome, Referral):
        problem = f"{_delegation(outcome)}; nobody here follows it"
    if rcode not in (Rcode.NOERROR, Rcode.SERVFAIL):
        problem = f"the server answers with code {rcode}"
    error = ServFailError(name, kind, problem, rcode, ede)
    # What a resolver in this process raised.
    error.__cause__ = getattr(outcome, "cause", None)
    return error


def _delegation(referral: Referral) -> str:
    zone, servers = referral.authority[0].owner, referral.authority[0].rdatas
    more = " and others" if len(servers) > 1 else ""
    return f"{format_name(zone)} is delegated to {format_name(servers[0])}{more}"


def first_error(errors: Iterable[DNSError]) -> DNSError:
    """Give the error that says most: that nobody could find out, then that there is a name at least."""
    return min(errors, key=_rank)


def _rank(error: DNSError) -> tuple[int, int]:
    # Of the names of a search list the shortest is the one that somebody wrote.
    if isinstance(error, NXDomainError):
        return 2, len(error.name)
    return 1 if isinstance(error, NoDataError) else 0, len(error.name)


def _last(query: Query, answer: Answer) -> Records:
    """Follow the aliases of an answer to the records that were asked for.

    Raises:
        ServFailError: They are not there.
    """
    there = {(each.owner.lower(), each.rtype): each for each in answer.answer if each.rdatas}
    key = query.key
    for _ in range(len(there)):
        found = there.get((key, query.qtype))
        if found is not None:
            return found
        alias = there.get((key, Type.CNAME))
        if alias is None:
            break
        key = alias.rdatas[0].lower()
    if key == query.key:
        raise _broken(query, "the answer ends before the records")
    raise _broken(query, f"it is an alias of {format_name(key)}, whose records nobody here has")


def _broken(query: Query, problem: str) -> ServFailError:
    return ServFailError(query.name, query.type, problem, Rcode.NOERROR)


def read_addresses(query: Query, records: Records) -> list[IPv4Address | IPv6Address]:
    """Give record data that is an address.

    Raises:
        ServFailError: It cannot be read.
    """
    read = IPv4Address if query.qtype == Type.A else IPv6Address
    try:
        return [read(each) for each in records.rdatas]
    except ValueError:
        raise _broken(query, _UNREADABLE) from None


def read_names(query: Query, records: Records) -> list[str]:
    """Give record data that is a name as text, without its final dot.

    Raises:
        ServFailError: It cannot be read.
    """
    try:
        return [format_name(decode_name(each, 0)[0]) for each in records.rdatas]
    except WireError:
        raise _broken(query, _UNREADABLE) from None


def read_rdatas(query: Query, records: Records) -> list[Any]:
    """Turn record data into dnspython's, as long as that is not made to take long.

    Raises:
        ServFailError: It cannot be read, or would take long.
    """
    made = []
    work = 0
    rtype = dns.rdatatype.RdataType.make(records.rtype)
    for each in records.rdatas:
        work += _work_of(records.rtype, each)
        if work > _MOST_WORK:
            raise _broken(query, _TOO_LONG)
        try:
            rdata = dns.rdata.from_wire(dns.rdataclass.IN, rtype, each, 0, len(each))
        except dns.exception.DNSException:
            raise _broken(query, _UNREADABLE) from None
        work += sum([len(name) ** 2 for name in _names_in(rdata)])
        made.append(rdata)
    if work > _MOST_WORK:
        raise _broken(query, _TOO_LONG)
    return made


class Service(NamedTuple):
    """The data of an SRV record.

    Source: RFC 2782.
    """

    priority: int
    weight: int
    port: int
    #: The name of the host as text, without its final dot; ``"."`` where there is none.
    target: str

    def __str__(self) -> str:
        return f"{self.priority} {self.weight} {self.port} {self.target}"


def read_services(query: Query, records: Records) -> list[Service]:
    """Give the data of SRV records, of which an answer can hold thousands: dnspython takes ten times as long.

    Raises:
        ServFailError: It cannot be read.
    """
    try:
        return [_service(each) for each in records.rdatas]
    except WireError:
        raise _broken(query, _UNREADABLE) from None


def _service(data: bytes) -> Service:
    name, end = decode_name(data, _NUMBERS.size)
    if end != len(data):
        raise WireError(len(data), f"the data goes on after the name, at byte {end}")
    priority, weight, port = _NUMBERS.unpack_from(data)
    return Service(priority, weight, port, format_name(name))


#: Priority, weight and port.
_NUMBERS = Struct("!HHH")


def _work_of(rtype: int, data: bytes) -> int:
    """Tell how much work the data of a record is to read, but for its names."""
    if rtype not in _TEXTS:
        return _RECORD_WORK + _BYTE_WORK.get(rtype, 0) * len(data)
    strings = position = 0
    while position < len(data):
        position += 1 + data[position]
        strings += 1
    return _RECORD_WORK + _STRING_WORK * strings


def _names_in(rdata: dns.rdata.Rdata) -> Iterator[dns.name.Name]:
    """Give the names in record data, those in lists too."""
    for slot in rdata.__slots__:
        value = getattr(rdata, slot)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, dns.name.Name):
                yield each


def read_rrset(query: Query, records: Records) -> dns.rrset.RRset:
    """Turn records into dnspython's, as long as that is not made to take long.

    Raises:
        ServFailError: They cannot be read, or would take long.
    """
    owner = dns.name.from_wire(records.owner, 0)[0]
    return dns.rrset.from_rdata_list(owner, records.ttl, read_rdatas(query, records))
