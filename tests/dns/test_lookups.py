"""Lookups: records, addresses, names and services through a resolver, and the errors of each."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from math import inf
from typing import TYPE_CHECKING, Any

import dns.name
import pytest

from asyncendpoints.dns.codes import Rcode
from asyncendpoints.dns.lookups import (
    candidates,
    lookup,
    lookup_addresses,
    lookup_reverse,
    lookup_service,
)
from asyncendpoints.dns.outcome import DROP, Answer, Failure, NoData, NXDomain, Outcome
from asyncendpoints.dns.records import LONGEST_TTL
from asyncendpoints.dns.resolver import Pending
from asyncendpoints.errors import (
    DNSError,
    DNSRefusedError,
    DNSTimeoutError,
    DomainNameError,
    EndpointError,
    NoDataError,
    NXDomainError,
    RecordError,
    ServFailError,
    ServiceNotOfferedError,
)
from asyncendpoints.resolving import use_resolver
from tests import clock

if TYPE_CHECKING:
    from asyncendpoints.dns.query import Query


class Table:
    """A resolver of outcomes or record data by name and type; other names do not exist."""

    def __init__(self, table: dict[str, Any]) -> None:
        self.table = table
        #: What was asked, in order.
        self.asked: list[str] = []
        self.queries: list[Query] = []

    def resolve(self, query: Query, /) -> Outcome:
        question = f"{query.name} {query.type}"
        self.asked.append(question)
        self.queries.append(query)
        found = self.table.get(question)
        if found is None:
            exists = any(each.startswith(f"{query.name} ") for each in self.table)
            return NoData() if exists else NXDomain()
        return found if isinstance(found, Outcome) else Answer.of(query, *found)


class Endless(Pending):
    """An outcome that never comes, and remembers whether it was given up."""

    def __init__(self) -> None:
        super().__init__()
        self.abandoned = 0

    def abandon(self) -> None:
        self.abandoned += 1


TABLE = {
    "a.test A": ["192.0.2.1", "192.0.2.2"],
    "a.test AAAA": ["2001:db8::1"],
    "a.test TYPE731": [r"\# 1 07"],
    "four.test A": ["192.0.2.4"],
    "fail.test A": Failure(),
    "half.test A": ["192.0.2.5"],
    "half.test AAAA": Failure(),
    "refused.test A": Failure(Rcode.REFUSED),
    "drop.test A": DROP,
    "1.2.0.192.in-addr.arpa PTR": ["A.test", "b.test"],
    "_sip._tcp.test SRV": ["0 5 5060 a.test", "1 0 5060 b.test"],
    "_none._tcp.test SRV": ["0 0 0 ."],
    "xn--fa-hia.de A": ["192.0.2.6"],
    "www.corp.test A": ["192.0.2.7"],
    "a.b.corp.test A": ["192.0.2.8"],
    "txt.corp.test TXT": ["x"],
}


@pytest.fixture
def table() -> Table:
    """Give a resolver of a few names."""
    return Table(TABLE)


@pytest.mark.parametrize(
    ("name", "rtype", "text"),
    [
        ("a.test", "A", "a.test. 60 IN A 192.0.2.1\na.test. 60 IN A 192.0.2.2"),
        ("A.TEST.", "aaaa", "a.test. 60 IN AAAA 2001:db8::1"),
        (dns.name.from_text("a.test"), 28, "a.test. 60 IN AAAA 2001:db8::1"),
        ("a.test", "TYPE731", r"a.test. 60 IN TYPE731 \# 1 07"),
        ("faß.de", "A", "xn--fa-hia.de. 60 IN A 192.0.2.6"),
        (
            "192.0.2.1",
            "PTR",
            "1.2.0.192.in-addr.arpa. 60 IN PTR A.test.\n1.2.0.192.in-addr.arpa. 60 IN PTR b.test.",
        ),
    ],
)
async def test_lookup(table: Table, name: Any, rtype: str, text: str) -> None:
    """Records of any type come as dnspython has them."""
    assert str(await lookup(name, rtype, resolver=table)) == text


async def test_lookup_asks_for_addresses() -> None:
    """Without a type it is IPv4 addresses that are looked up, with all that one process may want."""
    table = Table(TABLE)
    await lookup("a.test", resolver=table)
    (query,) = table.queries
    assert (query.type, query.rd, query.recursion, query.client) == ("A", True, True, None)


async def test_alias() -> None:
    """An alias is followed, and the records have the name at its end."""

    class Alias:
        def resolve(self, query: Query, /) -> Outcome:
            if query.name == "a.test":
                return Answer.cname(query, "b.test")
            return Answer.of(query, "192.0.2.1")

    rrset = await lookup("a.test", resolver=Alias())
    assert str(rrset) == "b.test. 60 IN A 192.0.2.1"


@pytest.mark.parametrize(
    ("name", "error", "rcode"),
    [
        ("none.test", NXDomainError, Rcode.NXDOMAIN),
        ("_sip._tcp.test", NoDataError, Rcode.NOERROR),
        ("fail.test", ServFailError, Rcode.SERVFAIL),
        ("refused.test", DNSRefusedError, Rcode.REFUSED),
        ("drop.test", DNSTimeoutError, None),
    ],
)
async def test_errors(table: Table, name: str, error: type[DNSError], rcode: int | None) -> None:
    """What went wrong is told by the class of the error."""
    with pytest.raises(DNSError) as caught:
        await lookup(name, resolver=table)
    assert type(caught.value) is error
    assert (caught.value.name, caught.value.type, caught.value.rcode) == (name, "A", rcode)


@pytest.mark.parametrize(
    ("error", "caught_as", "number"),
    [
        (NXDomainError, socket.gaierror, socket.EAI_NONAME),
        (NoDataError, socket.gaierror, socket.EAI_NONAME),
        (ServiceNotOfferedError, NoDataError, socket.EAI_NONAME),
        (ServFailError, OSError, socket.EAI_AGAIN),
        (DNSRefusedError, EndpointError, socket.EAI_FAIL),
        (DNSTimeoutError, TimeoutError, socket.EAI_AGAIN),
    ],
)
def test_error_classes(error: type[DNSError], caught_as: type[Exception], number: int) -> None:
    """Each error is caught by who catches those of ``getaddrinfo``, has their number, and can be copied."""
    made = error("a.test", "A", "is gone", 3, (22, "why"))
    assert isinstance(made, caught_as)
    assert isinstance(made, socket.gaierror)
    assert made.errno == number
    for other in (copy.copy(made), pickle.loads(pickle.dumps(made))):
        assert (type(other), vars(other)) == (error, vars(made))
        assert str(other) == "a.test A: is gone (why)"
        assert repr(other) == f"{error.__name__}('a.test A: is gone (why)')"


def test_timeout() -> None:
    """What never comes is a timeout at the end of the time, and is given up."""
    endless = Endless()

    async def main() -> float:
        with pytest.raises(DNSTimeoutError, match=r"a\.test A: there was no answer in time"):
            await lookup("a.test", resolver=Table({"a.test A": endless}), timeout=7)
        return asyncio.get_running_loop().time()

    assert 7 <= clock.run(main()) < 7.2
    assert endless.abandoned == 1


@pytest.mark.parametrize(("early", "error"), [(0.05, DNSTimeoutError), (0.5, ServFailError)])
def test_failure_at_the_end_of_the_time_is_a_timeout(early: float, error: type[DNSError]) -> None:
    """A resolver that gives up just before the deadline had no time; one that does earlier fails."""

    class Punctual:
        async def resolve(self, query: Query, /) -> Outcome:
            await asyncio.sleep(query.deadline - query.now - early)
            return Failure()

    async def main() -> type[BaseException]:
        with pytest.raises(DNSError) as caught:
            await lookup("a.test", resolver=Punctual(), timeout=5)
        return caught.type

    assert clock.run(main()) is error


def test_timeout_covers_the_search() -> None:
    """All names of a search share the time."""

    class Slow:
        async def resolve(self, query: Query, /) -> Outcome:
            await asyncio.sleep(3)
            return NXDomain()

    async def main() -> float:
        with pytest.raises(DNSTimeoutError):
            await lookup("a", resolver=Slow(), timeout=5, search=["b.test", "c.test"])
        return asyncio.get_running_loop().time()

    assert 5 <= clock.run(main()) < 5.2


async def test_no_timeout() -> None:
    """Without a timeout the question has no deadline."""
    table = Table(TABLE)
    await lookup("a.test", resolver=table, timeout=None)
    assert table.queries[0].deadline == inf


async def test_deadline() -> None:
    """The resolver hears when the time ends, and what time it is."""
    table = Table(TABLE)
    await lookup("a.test", resolver=table, timeout=9)
    (query,) = table.queries
    assert query.deadline - query.now == pytest.approx(9, abs=1)


@pytest.mark.parametrize("call", [lookup, lookup_addresses])
async def test_cancel(call: Any) -> None:
    """Who is cancelled goes at once, and everything that was asked is given up."""
    outcomes = {f"a.test {each}": Endless() for each in ("A", "AAAA")}
    table = Table(outcomes)
    task = asyncio.create_task(call("a.test", resolver=table, timeout=None))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert all(outcomes[each].abandoned for each in table.asked)
    assert len(table.asked) == (1 if call is lookup else 2)


async def test_cancel_with_one_answer() -> None:
    """An answer that was there already does not stand in the way of that."""
    endless = Endless()
    table = Table({"a.test A": endless, "a.test AAAA": ["::1"]})
    task = asyncio.create_task(lookup_addresses("a.test", resolver=table))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert endless.abandoned


@pytest.mark.parametrize("rtype", ["ANY", "AXFR", "OPT", "TSIG", 253])
async def test_no_data_type(rtype: str | int) -> None:
    """Types that stand for no data cannot be looked up."""
    with pytest.raises(RecordError, match="stands for no data that could be looked up"):
        await lookup("a.test", rtype, resolver=Table({}))


async def test_wrong_arguments() -> None:
    """A name or a type that is none is an error before anybody is asked."""
    table = Table(TABLE)
    with pytest.raises(RecordError):
        await lookup("a.test", "BOGUS", resolver=table)
    with pytest.raises(DomainNameError):
        await lookup("a..test", resolver=table)
    with pytest.raises(DomainNameError):
        await lookup("a..test", resolver=table, search=["corp.test"])
    with pytest.raises(TypeError, match=r"search is a list of domains, not the text 'corp\.test'"):
        await lookup("a", resolver=table, search="corp.test")
    assert table.asked == []


@pytest.mark.parametrize(
    ("address", "rtype"), [("192.0.2.9", "A"), ("2001:db8::9", "AAAA"), ("fe80::1%lo", "AAAA")]
)
async def test_literal(address: str, rtype: str) -> None:
    """An address is its own address, and nobody is asked."""
    table = Table({})
    rrset = await lookup(address, rtype, resolver=table)
    assert [str(each) for each in rrset] == [address.partition("%")[0]]
    assert (rrset.ttl, table.asked) == (LONGEST_TTL, [])


@pytest.mark.parametrize(
    ("address", "rtype", "version"), [("192.0.2.9", "AAAA", 4), ("2001:db8::9", "A", 6)]
)
async def test_literal_of_the_other_version(address: str, rtype: str, version: int) -> None:
    """An address has none of the other version of IP."""
    with pytest.raises(NoDataError, match=f"that is an IPv{version} address"):
        await lookup(address, rtype, resolver=Table({}))


@pytest.mark.parametrize("name", ["192.0.2.9", "x:y"])
async def test_names_like_addresses(name: str) -> None:
    """Other records of what looks like an address are looked up under that name."""
    table = Table({})
    with pytest.raises(NXDomainError):
        await lookup(name, "TXT", resolver=table)
    assert table.asked == [f"{name} TXT"]


@pytest.mark.parametrize("name", ["localhost", "Localhost.", "x.localhost"])
async def test_localhost(name: str) -> None:
    """That is this machine, whoever is asked and whatever the search list is."""
    table = Table({})
    rrset = await lookup(name, resolver=table, search=["corp.test"])
    assert [str(each) for each in rrset] == ["127.0.0.1"]
    assert await lookup_addresses(name, resolver=table) == [
        ip_address("::1"),
        ip_address("127.0.0.1"),
    ]
    with pytest.raises(NoDataError):
        await lookup(name, "TXT", resolver=table)
    assert table.asked == []


@pytest.mark.parametrize(
    ("name", "domains", "ndots", "expected"),
    [
        ("www", ("a.test", "b.test"), 1, ["www.a.test.", "www.b.test.", "www"]),
        ("www.x", ("a.test",), 1, ["www.x", "www.x.a.test."]),
        ("www.x", ("a.test",), 2, ["www.x.a.test.", "www.x"]),
        ("www", ("a.test",), 0, ["www", "www.a.test."]),
        ("www.", ("a.test",), 1, ["www."]),
        ("www", ("a.test.",), 1, ["www.a.test.", "www"]),
        ("www", (), 1, ["www"]),
        ("localhost", ("a.test",), 1, ["localhost"]),
        ("x" * 63, (".".join(["y" * 63] * 3), "a.test"), 1, [f"{'x' * 63}.a.test.", "x" * 63]),
    ],
)
def test_candidates(name: str, domains: tuple[str, ...], ndots: int, expected: list[str]) -> None:
    """Few dots: the domains first; a final dot: no domains; what would be too long is left out."""
    assert candidates(name, domains, ndots) == expected


async def test_search(table: Table) -> None:
    """The first name that is there is taken."""
    rrset = await lookup("www", resolver=table, search=["none.test", "corp.test", "more.test"])
    assert str(rrset.name) == "www.corp.test."
    assert table.asked == ["www.none.test A", "www.corp.test A"]


async def test_search_with_a_dot(table: Table) -> None:
    """A name with a dot is tried as it is first."""
    rrset = await lookup("a.b", resolver=table, search=["corp.test"])
    assert str(rrset.name) == "a.b.corp.test."
    assert table.asked == ["a.b A", "a.b.corp.test A"]


async def test_search_finds_nothing(table: Table) -> None:
    """The error is about the name that was written."""
    with pytest.raises(NXDomainError) as caught:
        await lookup("nobody", resolver=table, search=["corp.test"])
    assert caught.value.name == "nobody"


async def test_search_finds_no_data(table: Table) -> None:
    """That a name exists is more than that one does not."""
    with pytest.raises(NoDataError) as caught:
        await lookup("txt", resolver=table, search=["corp.test"])
    assert caught.value.name == "txt.corp.test"


async def test_search_stops_at_failures(table: Table) -> None:
    """When somebody could not find out, the next name could be the wrong one."""
    with pytest.raises(ServFailError):
        await lookup("fail.test", resolver=table, search=["corp.test"])
    assert table.asked == ["fail.test A"]


async def test_machine() -> None:
    """Without a resolver that of this machine is asked, and its search list counts."""
    for search in (False, True):
        assert ip_address("127.0.0.1") in await lookup_addresses("localhost", search=search)


async def test_no_search(table: Table) -> None:
    """As a rule a name is looked up as it is."""
    with pytest.raises(NXDomainError):
        await lookup("www", resolver=table)
    assert table.asked == ["www A"]


@pytest.mark.parametrize(
    ("host", "versions", "addresses"),
    [
        ("a.test", (6, 4), ["2001:db8::1", "192.0.2.1", "192.0.2.2"]),
        ("a.test", (4, 6), ["192.0.2.1", "192.0.2.2", "2001:db8::1"]),
        ("a.test", (4,), ["192.0.2.1", "192.0.2.2"]),
        ("four.test", (6, 4), ["192.0.2.4"]),
        ("half.test", (6, 4), ["192.0.2.5"]),
        ("192.0.2.9", (6, 4), ["192.0.2.9"]),
        ("fe80::1%lo", (6,), ["fe80::1%lo"]),
    ],
)
async def test_addresses(
    table: Table, host: str, versions: tuple[int, ...], addresses: list[str]
) -> None:
    """Addresses come in the order of versions that is asked for; those of one version are enough."""
    found = await lookup_addresses(host, versions=versions, resolver=table)
    assert list(map(str, found)) == addresses


async def test_addresses_are_asked_for_at_the_same_time() -> None:
    """The second question does not wait for the first."""
    first, second = Pending(), Pending()
    table = Table({"a.test AAAA": first, "a.test A": second})
    task = asyncio.create_task(lookup_addresses("a.test", resolver=table))
    await asyncio.sleep(0)
    assert table.asked == ["a.test AAAA", "a.test A"]
    second.settle(Answer.of(table.queries[1], "192.0.2.1"))
    first.settle(NoData())
    assert await task == [ip_address("192.0.2.1")]


@pytest.mark.parametrize(
    ("host", "error", "types"),
    [
        ("none.test", NXDomainError, "AAAA and A"),
        ("txt.corp.test", NoDataError, "AAAA and A"),
        ("fail.test", ServFailError, "A"),
    ],
)
async def test_no_addresses(table: Table, host: str, error: type[DNSError], types: str) -> None:
    """Without any address the error is that which says most, of all types if they fail alike."""
    with pytest.raises(DNSError) as caught:
        await lookup_addresses(host, resolver=table)
    assert type(caught.value) is error
    assert caught.value.type == types


async def test_errors_leave_no_cycle(table: Table) -> None:
    """An error is freed with its last reference, and with it the frames of the lookup."""
    gc.collect()
    gc.disable()
    try:
        for _ in range(2):
            with pytest.raises(NXDomainError):
                await lookup_addresses("cycle.test", resolver=table)
        errors = [each for each in gc.get_objects() if isinstance(each, NXDomainError)]
    finally:
        gc.enable()
    assert [each for each in errors if each.name == "cycle.test"] == []


async def test_addresses_of_a_short_name(table: Table) -> None:
    """The search list counts for addresses too."""
    found = await lookup_addresses("www", resolver=table, search=["corp.test"])
    assert found == [ip_address("192.0.2.7")]


async def test_no_such_version(table: Table) -> None:
    """An address of a version that is not wanted is none, and there are two versions."""
    with pytest.raises(NoDataError, match="that is an IPv4 address"):
        await lookup_addresses("192.0.2.1", versions=(6,), resolver=table)
    for versions in ((), (5,)):
        with pytest.raises(ValueError, match="expected 4, 6 or both"):
            await lookup_addresses("a.test", versions=versions, resolver=table)


@pytest.mark.parametrize(
    "address",
    ["192.0.2.1", "::ffff:192.0.2.1", IPv4Address("192.0.2.1"), IPv6Address("::ffff:192.0.2.1")],
)
async def test_reverse(table: Table, address: Any) -> None:
    """An address gives its names, one that is mapped into IPv6 those of the IPv4 address."""
    assert await lookup_reverse(address, resolver=table) == ["A.test", "b.test"]


async def test_reverse_of_an_address_with_a_zone() -> None:
    """The zone of an address is no part of its reverse name."""
    table = Table({})
    with pytest.raises(NXDomainError):
        await lookup_reverse("fe80::1%lo", resolver=table)
    assert table.asked == [f"1.{'0.' * 28}8.e.f.ip6.arpa PTR"]


async def test_reverse_of_a_name(table: Table) -> None:
    """A name is no address."""
    with pytest.raises(DomainNameError, match="is no IP address"):
        await lookup_reverse("a.test", resolver=table)


async def test_service(table: Table) -> None:
    """A service has the records of its name."""
    found = await lookup_service("_sip._tcp.test", resolver=table)
    assert [(each.priority, each.port, str(each.target)) for each in found] == [
        (0, 5060, "a.test."),
        (1, 5060, "b.test."),
    ]


async def test_service_not_offered(table: Table) -> None:
    """A domain can say that it does not offer a service, which is an error of its own."""
    with pytest.raises(ServiceNotOfferedError) as caught:
        await lookup_service("_none._tcp.test", resolver=table)
    expected = "_none._tcp.test SRV: the domain says that it does not offer this service"
    assert str(caught.value) == expected


async def test_resolver_of_the_context(table: Table) -> None:
    """Without a resolver of its own a lookup asks that of the context."""
    with use_resolver(table):
        assert str(await lookup("four.test")) == "four.test. 60 IN A 192.0.2.4"
        assert await lookup_addresses("four.test") == [IPv4Address("192.0.2.4")]
        assert await lookup_reverse("192.0.2.1") == ["A.test", "b.test"]
        assert len(await lookup_service("_sip._tcp.test")) == 2


async def test_own_resolver_goes_before(table: Table) -> None:
    """The resolver of a call goes before that of the context."""
    with use_resolver(Table({})):
        assert str(await lookup("four.test", resolver=table)) == "four.test. 60 IN A 192.0.2.4"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"name": None}, "a name is text such as 'example.org', not None"),
        ({"type": None}, "a record type is one text such as 'A', or a number, not None"),
        ({"type": ["A", "AAAA"]}, "a record type is one text such as 'A', or a number, not"),
        ({"resolver": "9.9.9.9"}, "a resolver has a method resolve"),
    ],
)
async def test_arguments_of_another_kind(arguments: dict[str, Any], problem: str) -> None:
    """Arguments of another kind are a mistake in the program, and the error says which."""
    with pytest.raises(TypeError, match=problem):
        await lookup(**({"name": "a.test"} | arguments))


@pytest.mark.parametrize("versions", [4, True])
async def test_one_version_is_no_list(versions: Any) -> None:
    """A number in place of a list of them is a mistake in the program, and the error says so."""
    with pytest.raises(TypeError, match=rf"^versions is a list such as \[4\], not {versions}$"):
        await lookup_addresses("a.test", versions=versions)
