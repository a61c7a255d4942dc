"""Special-use names: what they are answered with, and which names are ordinary."""

from __future__ import annotations

from math import inf

import pytest

from asyncendpoints.dns.names import encode_name, is_subdomain
from asyncendpoints.dns.outcome import Answer, NoData, NXDomain, Response
from asyncendpoints.dns.query import Query
from asyncendpoints.dns.records import Type
from asyncendpoints.dns.special import special

ONE = f"1.{'0.' * 31}ip6.arpa"


def said(name: str, qtype: str) -> Response:
    """Give the outcome of a special-use name."""
    outcome = special(Query.make(name, qtype))
    assert isinstance(outcome, Response)
    return outcome


@pytest.mark.parametrize(
    ("name", "qtype", "data"),
    [
        ("localhost", "A", "127.0.0.1"),
        ("LOCALHOST.", "AAAA", "::1"),
        ("a.b.localhost", "A", "127.0.0.1"),
        ("1.0.0.127.in-addr.arpa", "PTR", "localhost."),
        (ONE, "PTR", "localhost."),
        ("10.in-addr.arpa", "NS", "10.in-addr.arpa."),
        ("home.arpa", "NS", "home.arpa."),
        ("home.arpa", "SOA", "home.arpa. nobody.invalid. 1 3600 1200 604800 10800"),
        ("resolver.arpa", "NS", "resolver.arpa."),
    ],
)
def test_data(name: str, qtype: str, data: str) -> None:
    """Loopback addresses, their reverse names, and what stands at the top of a zone have data."""
    outcome = said(name, qtype)
    assert isinstance(outcome, Answer)
    assert [str(each) for each in outcome.rrsets[0]] == [data]
    assert outcome.answer[0].owner == encode_name(name.lower())


@pytest.mark.parametrize(
    "name",
    [
        "invalid",
        "a.invalid",
        "test",
        "a.b.test",
        "x.onion",
        "printer.local",
        "x.alt",
        "router.home.arpa",
        "1.0.0.10.in-addr.arpa",
        "5.16.172.in-addr.arpa",
        "5.31.172.in-addr.arpa",
        "1.1.168.192.in-addr.arpa",
        "1.1.254.169.in-addr.arpa",
        "1.0.in-addr.arpa",
        "2.0.0.127.in-addr.arpa",
        "1.2.0.192.in-addr.arpa",
        "1.100.51.198.in-addr.arpa",
        "1.113.0.203.in-addr.arpa",
        "x.255.255.255.255.in-addr.arpa",
        "1.64.100.in-addr.arpa",
        "1.127.100.in-addr.arpa",
        "1.8.b.d.0.1.0.0.2.ip6.arpa",
        "1.d.f.ip6.arpa",
        "1.8.e.f.ip6.arpa",
        "1.b.e.f.ip6.arpa",
        f"x.{ONE}",
    ],
)
@pytest.mark.parametrize("qtype", ["A", "PTR", "DS"])
def test_no_such_name(name: str, qtype: str) -> None:
    """Names that mean nothing do not exist, whatever is asked of them."""
    assert type(said(name, qtype)) is NXDomain


@pytest.mark.parametrize(
    ("name", "qtype"),
    [
        ("localhost", "MX"),
        ("x.localhost", "TXT"),
        ("10.in-addr.arpa", "PTR"),
        ("0.in-addr.arpa", "PTR"),
        ("127.in-addr.arpa", "A"),
        ("0.127.in-addr.arpa", "PTR"),
        ("0.0.127.in-addr.arpa", "PTR"),
        ("1.0.0.127.in-addr.arpa", "A"),
        (ONE, "A"),
        (f"0.{'0.' * 31}ip6.arpa", "PTR"),
        ("home.arpa", "A"),
        ("resolver.arpa", "A"),
        ("_dns.resolver.arpa", "SVCB"),
        ("x.resolver.arpa", "A"),
    ],
)
def test_no_data(name: str, qtype: str) -> None:
    """Names that exist have no other data."""
    assert type(said(name, qtype)) is NoData


@pytest.mark.parametrize(
    ("name", "qtype"),
    [
        (".", "NS"),
        ("example", "A"),
        ("example.org", "A"),
        ("www.example.com", "A"),
        ("test.example.org", "A"),
        ("mytest", "A"),
        ("notlocal", "A"),
        ("arpa", "NS"),
        ("in-addr.arpa", "NS"),
        ("1.1.1.1.in-addr.arpa", "PTR"),
        ("15.172.in-addr.arpa", "PTR"),
        ("32.172.in-addr.arpa", "PTR"),
        ("63.100.in-addr.arpa", "PTR"),
        ("128.100.in-addr.arpa", "PTR"),
        ("110.in-addr.arpa", "PTR"),
        ("c.e.f.ip6.arpa", "PTR"),
        ("1.0.0.2.ip6.arpa", "PTR"),
        ("ipv4only.arpa", "AAAA"),
        ("10.in-addr.arpa", "DS"),
        ("home.arpa", "DS"),
        ("resolver.arpa", "DS"),
    ],
)
def test_ordinary(name: str, qtype: str) -> None:
    """Other names are ordinary, and so are the DS records that tell of a zone that is not signed."""
    assert special(Query.make(name, qtype)) is None


@pytest.mark.parametrize("end", [b"\x04test", b"\x05local", b"\x0210\x07in-addr\x04arpa"])
def test_end_of_a_label(end: bytes) -> None:
    """A label whose last bytes look like a special-use name is an ordinary label."""
    key = bytes((len(end) + 1,)) + b"x" + end + b"\0"
    assert special(Query(key, Type.A)) is None


@pytest.mark.parametrize(
    "name", ["x.test", "test", "x.localhost", "x.10.in-addr.arpa", "home.arpa"]
)
def test_negative_answers_can_be_cached(name: str) -> None:
    """No, no more than yes, comes without a record that says for how long: that of a zone around the name."""
    outcome = said(name, "TXT")
    (soa,) = outcome.authority
    assert (soa.rtype, soa.ttl) == (Type.SOA, 10_800)
    assert is_subdomain(encode_name(name), soa.owner)
    assert soa.rdatas[0].endswith((10_800).to_bytes(4, "big"))


@pytest.mark.parametrize("qtype", ["A", "TXT"])
def test_marks(qtype: str) -> None:
    """What is said has authority, and holds for ever."""
    outcome = said("x.localhost", qtype)
    assert (outcome.aa, outcome.until) == (True, inf)


def test_says_how_to_forward() -> None:
    """Who gets that a name does not exist is told why, and how it would be asked for elsewhere."""
    expected = (0, "special-use name: test is not forwarded unless it is named")
    assert said("nas.a.test", "A").ede == expected
    assert said("localhost", "MX").ede is None
