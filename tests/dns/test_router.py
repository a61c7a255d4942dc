"""The router: which function answers, what it gets, and what becomes of what it returns."""

from __future__ import annotations

import asyncio
import gc
from ipaddress import ip_address
from math import inf
from typing import Any

import dns.rdata
import dns.rrset
import pytest

from asyncendpoints.dns.cache import Cache
from asyncendpoints.dns.codes import EDE
from asyncendpoints.dns.names import encode_name
from asyncendpoints.dns.outcome import DROP, PASS, Answer, Failure, NoData, NXDomain, Outcome
from asyncendpoints.dns.query import Query
from asyncendpoints.dns.records import Records, Type
from asyncendpoints.dns.resolver import Pending, ask, begin
from asyncendpoints.dns.router import Router
from asyncendpoints.errors import DomainNameError, RecordError, RouteError


def resolve(router: Router, name: str, qtype: str = "A") -> Outcome:
    """Ask a router that answers at once."""
    outcome = router.resolve(Query.make(name, qtype))
    assert isinstance(outcome, Outcome)
    return outcome


def data(outcome: Outcome) -> list[str]:
    """Give the data of an answer's records as text."""
    assert isinstance(outcome, Answer)
    return [str(each) for rrset in outcome.rrsets for each in rrset]


def marking(router: Router, *names: str) -> None:
    """Register a function for each name, which tells by its answer which of them it is."""
    for i, name in enumerate(names, 1):
        router.on(name, "A")(lambda query, i=i, **_: f"192.0.2.{i}")


def giving(result: Any) -> Router:
    """Make a router of one name, whose function returns something."""
    router = Router()
    router.on("a.test", "A", "TXT", ttl=300)(lambda query: result)
    return router


def test_varies() -> None:
    """A router whose functions look at who asks can say so, and is for no cache then."""
    assert not Router().varies
    with pytest.raises(ValueError, match="depends on who asks"):
        Cache(Router(varies=True))


def test_tutorial() -> None:
    """A function gets the query and its parameter, and what it returns is the outcome."""
    router = Router()

    @router.on("workstation{n:int}.example.com", "A")
    def workstation(query: Query, n: int) -> Answer:
        return Answer.of(query, f"172.0.2.{n}")

    assert data(resolve(router, "Workstation100.EXAMPLE.com")) == ["172.0.2.100"]
    query = Query.make("workstation1.example.com", "A")
    assert data(workstation(query, 1)) == ["172.0.2.1"]


def test_parameters() -> None:
    """Texts are given in lower case, numbers as numbers."""
    router = Router()
    seen = []

    @router.on("{host}-{n:int}.{site:labels}.test", "A")
    def record(query: Query, *, host: str, n: int, site: str) -> Outcome:
        seen.append((query.name, host, n, site))
        return PASS

    assert resolve(router, "DB-7.A.b.Test") is PASS
    assert seen == [("db-7.a.b.test", "db", 7, "a.b")]


@pytest.mark.parametrize(
    ("name", "winner"),
    [
        ("www.example.com", 3),
        ("other.example.com", 2),
        ("a.b.example.com", 5),
        ("a.b.example.org", 6),
        ("x.www.example.com", 4),
        ("example.net", 7),
    ],
)
def test_precedence(name: str, winner: int) -> None:
    """Names alone come first, then patterns in the order of registration, however long their ends are."""
    router = Router()
    marking(
        router,
        "x.y.z",
        "{a}.example.com",
        "www.example.com",
        "{a}.www.example.com",
        "{a}.{b}.example.com",
        "{a:labels}.example.org",
        "{rest:labels}",
        "{a}.b.example.com",
    )
    assert data(resolve(router, name)) == [f"192.0.2.{winner}"]


@pytest.mark.parametrize("qtype", ["A", "MX", "CNAME"])
@pytest.mark.parametrize("name", ["www.test", "{x}.test", "{x}.{y:labels}.test"])
def test_alias(name: str, qtype: str) -> None:
    """A function for CNAME is one for all types without a function of their own."""
    router = Router()
    router.on(name, "CNAME", "TXT")(lambda query, **_: "end.test")
    outcome = resolve(router, "www.a.test" if "y" in name else "www.test", qtype)
    assert (data(outcome), outcome.answer[0].rtype) == (["end.test."], Type.CNAME)  # type: ignore[attr-defined]


async def test_coroutine_that_nobody_waits_for() -> None:
    """What a function has begun can be given up before it runs; a warning would fail this test."""
    router = Router()

    @router.on("a.test", "A")
    async def begun(query: Query) -> str:
        return "192.0.2.1"

    @router.on("b.test", "A")
    def given(query: Query) -> asyncio.Future[str]:
        return future

    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    for name in ("a.test", "b.test"):
        coming: Any = router.resolve(Query.make(name, "A"))
        coming.close()
        del coming
    gc.collect()
    assert data(await ask(router, Query.make("a.test", "A"))) == ["192.0.2.1"]


def test_alias_beside_others() -> None:
    """A function for a type, and one for all others, come before that for CNAME."""
    router = Router()
    router.on("www.test", "CNAME")(lambda query: ["end.test"])
    router.on("www.test", "A")(lambda query: "192.0.2.1")
    assert data(resolve(router, "www.test")) == ["192.0.2.1"]
    assert data(resolve(router, "www.test", "AAAA")) == ["end.test."]
    router.on("www.test", "ANY")(lambda query: "2001:db8::1")
    assert data(resolve(router, "www.test", "AAAA")) == ["2001:db8::1"]


def test_alias_is_followed() -> None:
    """The records at its end come with it."""
    router = Router()
    router.on("www.test", "CNAME")(lambda query: "end.test")
    router.on("end.test", "A")(lambda query: "192.0.2.1")
    outcome = ask(router, Query.make("www.test", "A"))
    assert data(outcome) == ["end.test.", "192.0.2.1"]


@pytest.mark.parametrize("name", ["example.com", "www.example.org", "x.y.example.com", ".", "com"])
def test_pass(name: str) -> None:
    """A name that nothing matches is passed on."""
    router = Router()
    marking(router, "{a}.example.com", "www.example.com", "*.much.longer.name.example.com")
    assert resolve(router, name) is PASS


def test_empty() -> None:
    """A router without functions passes."""
    assert resolve(Router(), "a.test") is PASS


def test_end_of_a_label() -> None:
    """A label whose last bytes look like the end of a pattern does not match; a shorter end still does."""
    router = Router()
    marking(router, "{a}.b.test", "{rest:labels}.test")
    key = encode_name(r"xx\001b.test")
    outcome = router.resolve(Query(key, Type.A))
    assert isinstance(outcome, Answer)
    assert data(outcome) == ["192.0.2.2"]


@pytest.mark.parametrize("name", ["www.example.com", "w1.example.com"])
def test_no_data(name: str) -> None:
    """A name that is matched has no data of a type without a function, which can be cached."""
    router = Router()
    marking(router, "www.example.com", "w{n:int}.example.com")
    outcome = resolve(router, name, "AAAA")
    assert isinstance(outcome, NoData)
    assert (outcome.aa, outcome.until) == (True, inf)
    (soa,) = outcome.authority
    assert (soa.rtype, soa.ttl) == (Type.SOA, 60)
    assert soa.rdatas[0].endswith((60).to_bytes(4, "big"))


@pytest.mark.parametrize(
    ("name", "owner"),
    [("www.example.com", "www.example.com"), ("w1.example.com", "example.com"), ("x.org", ".")],
)
def test_owner_of_soa(name: str, owner: str) -> None:
    """The zone that is named has the end of the name that is the same for all that match."""
    router = Router()
    marking(router, "www.example.com", "w{n:int}.example.com", "{all:labels}")
    outcome = resolve(router, name, "AAAA")
    assert isinstance(outcome, NoData)
    assert outcome.authority[0].owner == encode_name(owner)


@pytest.mark.parametrize("name", ["www.example.com", "w1.example.com"])
def test_function_for_another_type(name: str) -> None:
    """Where the first that matches has no function for the type, the next that matches can have one."""
    router = Router()
    marking(router, "www.example.com", "w{n:int}.example.com")
    router.on("*.example.com", "TXT")(lambda query: "hello")
    assert data(resolve(router, name, "TXT")) == ['"hello"']
    assert isinstance(resolve(router, name, "AAAA"), NoData)


def test_several_types() -> None:
    """One function can answer for several types, given as text or number."""
    router = Router()
    router.on("a.test", "A", 28)(lambda query: {"A": "192.0.2.1", "AAAA": "::1"}[query.type])
    assert data(resolve(router, "a.test")) == ["192.0.2.1"]
    assert data(resolve(router, "a.test", "AAAA")) == ["::1"]


def test_types_of_one_name() -> None:
    """Functions for types of one name can be registered one by one, with other names for its parameters."""
    router = Router()
    router.on("{a}.test", "A")(lambda query, a: "192.0.2.1")
    router.on("{b}.test", "TXT")(lambda query, b: b)
    assert data(resolve(router, "x.test")) == ["192.0.2.1"]
    assert data(resolve(router, "x.test", "TXT")) == ['"x"']


def test_any_type() -> None:
    """A function for "ANY" answers for the types without a function of their own."""
    router = Router()
    router.on("{x:labels}.ads.test", "ANY")(lambda query, x: NXDomain())
    router.on("{x:labels}.ads.test", "TXT")(lambda query, x: x)
    assert isinstance(resolve(router, "a.ads.test", "TYPE731"), NXDomain)
    assert data(resolve(router, "a.ads.test", "TXT")) == ['"a"']


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ("192.0.2.1", ["192.0.2.1"]),
        (ip_address("192.0.2.1"), ["192.0.2.1"]),
        (dns.rdata.from_text("IN", "A", "192.0.2.1"), ["192.0.2.1"]),
        (["192.0.2.1", ip_address("192.0.2.2")], ["192.0.2.1", "192.0.2.2"]),
        (("192.0.2.1",), ["192.0.2.1"]),
    ],
)
def test_record_data(result: object, expected: list[str]) -> None:
    """Record data becomes an answer with the TTL of its registration."""
    outcome = resolve(giving(result), "a.test")
    assert data(outcome) == expected
    assert isinstance(outcome, Answer)
    assert outcome.answer[0].ttl == 300


def test_empty_list() -> None:
    """An empty list says that there is no such record."""
    assert isinstance(resolve(giving([]), "a.test"), NoData)


@pytest.mark.parametrize("result", [None, 7, b"x", [None], {"A": "192.0.2.1"}])
def test_no_record_data(result: object) -> None:
    """What is neither an outcome nor record data is a mistake of the function."""
    with pytest.raises(TypeError):
        resolve(giving(result), "a.test")


def test_error_is_a_failure() -> None:
    """An exception of a function is SERVFAIL for who asks through ``ask``."""
    router = giving("no address")
    with pytest.raises(TypeError) as caught:
        resolve(router, "a.test")
    assert isinstance(caught.value.__cause__, RecordError)
    assert isinstance(ask(router, Query.make("a.test", "A")), Failure)


@pytest.mark.parametrize("outcome", [PASS, DROP, Failure(5)])
def test_outcomes_stand(outcome: Outcome) -> None:
    """An outcome is given on as it is."""
    assert resolve(giving(outcome), "a.test") is outcome


@pytest.mark.parametrize(("until", "kept"), [(inf, -inf), (7.0, 7.0), (-inf, -inf)])
def test_until(until: float, kept: float) -> None:
    """An outcome that holds while its own resolver stays as it is, does not hold: a router cannot tell."""
    assert resolve(giving(NXDomain(until=until)), "a.test").until == kept


def asynchronous(result: Any) -> Router:
    """Make a router whose coroutine function returns something after one turn of the loop."""
    router = Router()

    @router.on("a.test", "A", ttl=300)
    async def answer(query: Query) -> Answer:
        await asyncio.sleep(0)
        return result  # type: ignore[no-any-return]

    return router


async def test_coroutine_function() -> None:
    """A coroutine function can return all that a plain one can."""
    query = Query.make("a.test", "A")
    assert data(await ask(asynchronous("192.0.2.1"), query)) == ["192.0.2.1"]
    assert await begin(asynchronous(PASS), query) is PASS
    assert isinstance(await ask(asynchronous([]), query), NoData)
    held = await ask(asynchronous(NXDomain(until=inf)), query)
    assert (type(held), held.until) == (NXDomain, -inf)


async def test_coroutine_function_that_gives_what_is_to_come() -> None:
    """A coroutine function can return an outcome that is still to come, without awaiting it."""
    pending = Pending()
    coming = begin(asynchronous(pending), Query.make("a.test", "A"))
    asyncio.get_running_loop().call_soon(pending.settle, DROP)
    assert await coming is DROP


def test_pending_stands() -> None:
    """An outcome that is still to come is given on without a task."""
    pending = Pending()
    assert resolve(giving(pending), "a.test") is pending


def test_version() -> None:
    """Each registration makes another version, so that nobody remembers what was before it."""
    router = Router()
    versions = [router.version]
    for name in ("a.test", "{b}.test"):
        marking(router, name)
        assert data(resolve(router, name.strip("{}").replace("}", ""))) == ["192.0.2.1"]
        versions.append(router.version)
    assert len(set(versions)) == 3


def test_registered_late() -> None:
    """A pattern that is registered after the first question counts too."""
    router = Router()
    marking(router, "{a}.test")
    assert resolve(router, "x.example") is PASS
    router.on("{a}.example", "A")(lambda query, a: "192.0.2.9")
    assert data(resolve(router, "x.example")) == ["192.0.2.9"]


def test_repr() -> None:
    """A router tells how much there is in it."""
    assert repr(giving("")) == "<Router of 2 functions>"


@pytest.mark.parametrize("function", [lambda query: "", lambda query, m: "", lambda: "", 7, type])
def test_signature(function: Any) -> None:
    """A function that cannot be called with the parameters of its pattern is refused."""
    router = Router()
    with pytest.raises(RouteError, match=r"^w\{n:int\}\.test: .* called with \(query, n\): "):
        router.on("w{n:int}.test", "A")(function)
    assert router.version == 0


@pytest.mark.parametrize("again", ["www.test", "WWW.test."])
def test_same_name_twice(again: str) -> None:
    """A second function for a name and a type is refused."""
    router = Router()
    marking(router, "www.test")
    with pytest.raises(RouteError, match="has a function for TXT, A already"):
        router.on(again, "TXT", "A")(lambda query: "192.0.2.9")
    assert isinstance(resolve(router, "www.test", "TXT"), NoData)


def test_same_pattern_twice() -> None:
    """So is one for a pattern that matches the same, whatever its parameters are called."""
    router = Router()
    marking(router, "{m}.test")
    with pytest.raises(RouteError, match="has a function for A already"):
        router.on("{n}.TEST", "A")(lambda query, n: n)


@pytest.mark.parametrize(
    ("types", "ttl", "problem"),
    [
        ((), 60, 'needs a record type, such as "A"; "ANY" stands for all'),
        (("AXFR",), 60, "no function is ever asked for AXFR"),
        (("OPT",), 60, "no function is ever asked for OPT"),
        (("A",), -1, "ttl is -1, expected seconds from 0 to 2147483647"),
        (("A",), 2**31, "ttl is 2147483648, expected seconds from 0 to 2147483647"),
    ],
)
def test_wrong_registration(types: tuple[str, ...], ttl: int, problem: str) -> None:
    """What can never answer is refused when it is registered."""
    with pytest.raises(RouteError) as caught:
        Router().on("a.test", *types, ttl=ttl)
    assert (caught.value.text, caught.value.problem) == ("a.test", problem)


def test_wrong_type_and_name() -> None:
    """A type or a name that there cannot be is refused when it is registered."""
    with pytest.raises(RecordError):
        Router().on("a.test", "BOGUS")
    with pytest.raises(DomainNameError):
        Router().on("a..test", "A")


def told(caplog: pytest.LogCaptureFixture, router: Router) -> str:
    """Ask a router, and give what was logged of the exception of its function."""
    caplog.clear()
    ask(router, Query.make("a.test", "A"))
    (logged,) = caplog.records
    assert logged.exc_info is not None
    return str(logged.exc_info[1])


def test_error_says_which_function(caplog: pytest.LogCaptureFixture) -> None:
    """What no answer can be made of is told with the function and its pattern, of each function once."""
    router, other = Router(), Router()

    @router.on("a.test", "A")
    def first(query: Query) -> Any:
        return None

    @other.on("{a}.test", "A")
    def second(query: Query, a: str) -> Any:
        return [5]

    expected = 'first() of "a.test" gave None, expected an outcome, record data or a list of it'
    assert told(caplog, router) == expected
    expected = "gave record data is text, an address or dnspython rdata, not 5"
    assert told(caplog, other) == f'second() of "{{a}}.test" {expected}'


class Callable:
    """A function that has no name."""

    def __call__(self, query: Query) -> Any:
        return None

    def __repr__(self) -> str:
        return "Callable"


def test_error_of_a_function_without_a_name() -> None:
    """A function without a name is shown as it shows itself."""
    router = Router()
    router.on("a.test", "A")(Callable())
    with pytest.raises(TypeError, match=r'^Callable\(\) of "a\.test" gave None'):
        resolve(router, "a.test")


def test_set_of_a_lookup() -> None:
    """The set of records that a lookup gives is an answer, with its TTL and the name that was asked for."""
    outcome = resolve(giving(dns.rrset.from_text("b.test.", 7, "IN", "A", "192.0.2.1")), "a.test")
    assert isinstance(outcome, Answer)
    assert str(outcome.rrsets[0]) == "a.test. 7 IN A 192.0.2.1"
    with pytest.raises(TypeError, match="is the data of a record of type MX, expected an IPv4"):
        resolve(giving(dns.rrset.from_text("b.test.", 7, "IN", "MX", "5 a.")), "a.test")


@pytest.mark.parametrize("outcome", [NXDomain(aa=False), NoData(ede=EDE(15, "blocked"))])
def test_negative_outcomes_get_a_soa(outcome: NXDomain | NoData) -> None:
    """What a function says of nothing can be remembered by clients; its marks stay."""
    router = Router()
    router.on("{a}.b.test", "A")(lambda query, a: outcome)
    said = resolve(router, "a.b.test")
    assert type(said) is type(outcome)
    assert (said.aa, said.ede, said.until) == (outcome.aa, outcome.ede, -inf)
    assert isinstance(said, NXDomain | NoData)
    (soa,) = said.authority
    assert (soa.owner, soa.rtype, soa.ttl) == (encode_name("b.test"), Type.SOA, 60)


def test_negative_outcomes_that_have_a_soa() -> None:
    """A SOA that is there stays alone, and what a chain of aliases ends in is left as it is."""
    soa = Records(encode_name("c.test"), Type.SOA, 5, (b"",))
    given = NXDomain(soa)
    assert resolve(giving(given), "a.test") is given
    alias = NXDomain(answer=[Records(encode_name("a.test"), Type.CNAME, 5, (b"\0",))])
    assert resolve(giving(alias), "a.test") is alias


@pytest.mark.parametrize("name", [test_tutorial, None])
def test_on_without_a_name(name: Any) -> None:
    """A decorator that was not called gets the function in place of a name, and says so."""
    with pytest.raises(TypeError, match="a router needs a name, as in on"):
        Router().on(name)


def test_types_as_a_list() -> None:
    """Several types are several arguments."""
    with pytest.raises(TypeError, match="a record type is one text such as 'A'"):
        Router().on("a.test", ["A", "AAAA"])  # type: ignore[arg-type]  # what a type checker says too


def test_ttl_with_a_unit() -> None:
    """A TTL is a number of seconds."""
    with pytest.raises(RouteError, match="ttl is '1h', expected seconds from 0 to"):
        Router().on("a.test", "A", ttl="1h")  # type: ignore[arg-type]  # what a type checker says too


def test_answer_of_another_resolver_does_not_hold() -> None:
    """Records that hold while another resolver stays as it is hold for one question: a router cannot tell."""
    held = Answer(Answer.of(Query.make("a.test", "A"), "192.0.2.1").answer, until=inf)
    said = resolve(giving(held), "a.test")
    assert (data(said), said.until) == (["192.0.2.1"], -inf)
