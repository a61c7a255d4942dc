"""Zones written as dicts."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import dns.rdata
import pytest

from asyncendpoints.dns.outcome import Answer
from asyncendpoints.dns.query import Query
from asyncendpoints.dns.records import Type, example_of
from asyncendpoints.dns.zoneload import Zone
from asyncendpoints.errors import DomainNameError, ZoneError


def texts(names: Any, name: str, qtype: str, **options: Any) -> list[str]:
    """Give the TTL and the data of the records of a name, from a dict."""
    outcome = Zone.from_dict("z.test", names, ns="a.test.", **options).resolve(
        Query.make(name, qtype)
    )
    assert isinstance(outcome, Answer)
    return [f"{rrset.ttl} {rdata}" for rrset in outcome.rrsets for rdata in rrset]


VALUES: list[tuple[str, Any, list[str]]] = [
    ("A", "192.0.2.1", ["3600 192.0.2.1"]),
    ("A", ["192.0.2.1", "192.0.2.2"], ["3600 192.0.2.1", "3600 192.0.2.2"]),
    ("A", ("192.0.2.1",), ["3600 192.0.2.1"]),
    ("A", ip_address("192.0.2.1"), ["3600 192.0.2.1"]),
    ("AAAA", ip_address("2001:db8::1"), ["3600 2001:db8::1"]),
    ("A", dns.rdata.from_text("IN", "A", "192.0.2.1"), ["3600 192.0.2.1"]),
    ("MX", "10 mail", ["3600 10 mail.z.test."]),
    ("MX", "10 mail.test.", ["3600 10 mail.test."]),
    ("CNAME", "@", ["3600 z.test."]),
    ("TXT", "v=spf1; some text", ['3600 "v=spf1; some text"']),
    ("CAA", '0 issue "ca.test; account=1"', ['3600 0 issue "ca.test; account=1"']),
    ("TXT", '"some text"', ['3600 "some text"']),
    ("TYPE731", r"\# 1 00", [r"3600 \# 1 00"]),
]


@pytest.mark.parametrize(("qtype", "value", "expected"), VALUES)
def test_values(qtype: str, value: Any, expected: list[str]) -> None:
    """One value or several are the records of a type, their names in the zone."""
    assert sorted(texts({"x": {qtype: value}}, "x.z.test", qtype)) == sorted(expected)


@pytest.mark.parametrize("name", ["@", "z.test.", "Z.Test."])
def test_apex(name: str) -> None:
    """The zone itself is ``@``, or its absolute name."""
    assert texts({name: {"A": "192.0.2.1"}}, "z.test", "A") == ["3600 192.0.2.1"]


def test_ttl() -> None:
    """A name has the TTL that it says, or that of the zone."""
    names = {"x": {"A": "192.0.2.1", "ttl": 5}, "y": {"A": "192.0.2.1"}}
    assert texts(names, "x.z.test", "A", ttl=7) == ["5 192.0.2.1"]
    assert texts(names, "y.z.test", "A", ttl=7) == ["7 192.0.2.1"]


@pytest.mark.parametrize(("ttl", "seconds"), [("1h", 3600), ("1h30m", 5400), ("5", 5), (0, 0)])
def test_ttl_as_in_a_file(ttl: Any, seconds: int) -> None:
    """A TTL may have units, that of a name and that of the zone."""
    names = {"x": {"A": "192.0.2.1", "ttl": ttl}, "y": {"A": "192.0.2.1"}}
    assert texts(names, "x.z.test", "A") == [f"{seconds} 192.0.2.1"]
    assert texts(names, "y.z.test", "A", ttl=ttl) == [f"{seconds} 192.0.2.1"]


@pytest.mark.parametrize("ttl", ["1x", "", -1, None, 2**31, "1" * 5000])
def test_wrong_ttl_of_the_zone(ttl: Any) -> None:
    """What is no TTL is a mistake, even if no record has it."""
    with pytest.raises(ValueError, match=r"^ttl is .*, expected seconds from 0 to 2147483647"):
        Zone.from_dict("z.test", {}, ns="a.test.", ttl=ttl)


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ({}, "the zone has no SOA and no NS; ns='ns.example.org.' makes them"),
        ({"@": {"NS": "a.test."}}, "the zone has no SOA; ns='ns.example.org.' makes it"),
        (
            {"@": {"SOA": "a.test. h 1 2 3 4 5"}},
            "the zone has no NS; ns='ns.example.org.' makes it",
        ),
    ],
)
def test_without_name_servers(names: Any, problem: str) -> None:
    """A zone that lacks what each zone has is refused, with what would make it."""
    with pytest.raises(ZoneError) as caught:
        Zone.from_dict("z.test", names)
    assert caught.value.problem == problem


def test_missing_final_dot() -> None:
    """A name to which that of the zone was added a second time is warned of."""
    zone = Zone.from_dict("z.test", {"www.z.test": {"A": "192.0.2.1"}}, ns="a.test.")
    problem = "ends in the name of the zone twice; is a final dot missing?"
    assert zone.warnings == (f"www.z.test.z.test {problem}",)


def test_name_servers() -> None:
    """Name servers that are given make the NS records and the SOA."""
    zone = Zone.from_dict("z.test", {}, ns=["a.test.", "b"])
    ns = zone.resolve(Query.make("z.test", "NS"))
    soa = zone.resolve(Query.make("z.test", "SOA"))
    assert isinstance(ns, Answer)
    assert isinstance(soa, Answer)
    assert {str(each) for each in ns.rrsets[0]} == {"a.test.", "b.z.test."}
    expected = "a.test. hostmaster.z.test. 1 86400 7200 3600000 300"
    assert str(soa.rrsets[0][0]) == expected


def test_name_servers_that_the_zone_has() -> None:
    """NS records and a SOA that are there stay alone."""
    names = {"@": {"NS": "a.test.", "SOA": "a.test. h 7 2 3 4 5"}}
    zone = Zone.from_dict("z.test", names, ns="b.test.")
    assert zone.records == 2


NO_DATA = "is no data of such a record"


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ({"a..b": {"A": "192.0.2.1"}}, "'a..b': has an empty label; one dot stands between labels"),
        ({"x": {"NOPE": "1"}}, "x NOPE: 'NOPE': is no record type; A, AAAA and TYPE731 are some"),
        (
            {"x": {"A": ip_address("::1")}},
            "x A: '::1': is an IPv6 address, expected an IPv4 address such as 192.0.2.1",
        ),
        ({"x": {"A": 5}}, "x A: record data is text, an address or dnspython rdata, not 5"),
        ({"x": {"A": None}}, "x A: record data is text, an address or dnspython rdata, not None"),
        (
            {"x": {"CAA": "0 issue ca.test; account=1"}},
            "x CAA: a semicolon begins a comment; put quotes around it",
        ),
        (
            {"x": "192.0.2.1"},
            "x: expected types and values, as in {'A': '192.0.2.1'}, not '192.0.2.1'",
        ),
        ({"x": None}, "x: expected types and values, as in {'A': '192.0.2.1'}, not None"),
        (
            {"x": {"ttl": -1}},
            "x: ttl is -1, expected seconds from 0 to 2147483647, or text such as '1h'",
        ),
        (
            {"x": {"ttl": "soon"}},
            "x: ttl is 'soon', expected seconds from 0 to 2147483647, or text such as '1h'",
        ),
        (
            {"x": {"MX": "mail"}},
            f"x MX: 'mail': {NO_DATA} (expecting an integer), expected {example_of(Type.MX)}",
        ),
        (
            {"x": {"CAA": "0"}},
            f"x CAA: '0': {NO_DATA} (expecting a string), expected {example_of(Type.CAA)}",
        ),
        (
            {"x": {"LOC": "1"}},
            f"x LOC: '1': {NO_DATA} (expecting a string), expected LOC data",
        ),
        ({"x.test.": {"A": "192.0.2.1"}}, "x.test is not in the zone z.test"),
    ],
)
def test_errors(names: Any, problem: str) -> None:
    """What is wrong is told with the name and the type."""
    with pytest.raises(ZoneError) as caught:
        Zone.from_dict("z.test", names, ns="a.test.")
    assert caught.value.problem == problem
    assert (caught.value.path, caught.value.line) == ("<dict>", 0)
    assert str(caught.value) == f"<dict>: {problem}"


@pytest.mark.parametrize(("qtype", "value"), [("A", "1"), ("MX", "10 ☃.test"), ("TXT", '"')])
def test_wrong_text(qtype: str, value: str) -> None:
    """Text that is no data of its type is told with the name and the type."""
    with pytest.raises(ZoneError) as caught:
        Zone.from_dict("z.test", {"x": {qtype: value}})
    assert caught.value.problem.startswith(f"x {qtype}: {value!r}: is no data of such a record")


def test_wrong_name_server() -> None:
    """A name server that is no name is told as such."""
    with pytest.raises(ZoneError) as caught:
        Zone.from_dict("z.test", {}, ns="a..b")
    assert caught.value.problem.startswith("ns: 'a..b': has an empty label")


@pytest.mark.parametrize(
    ("origin", "names", "problem"),
    [
        ("z.test", None, "names is a dict of names, not None"),
        ("z.test", [], "names is a dict of names, not []"),
        ({"x": {}}, "z.test", "origin is the name of the zone as text, not {'x': {}}"),
    ],
)
def test_wrong_arguments(origin: Any, names: Any, problem: str) -> None:
    """Arguments of another kind, or in another order, are a mistake in the program."""
    with pytest.raises(TypeError) as caught:
        Zone.from_dict(origin, names, ns="a.test.")
    assert str(caught.value) == problem


def test_wrong_origin() -> None:
    """An origin that is no name is told as such."""
    with pytest.raises(DomainNameError):
        Zone.from_dict("a..b", {})
