"""HTTPS records: which alternatives they give, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dns.rdata
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints.service_bindings import MOST_BINDINGS, Binding, alias_of, question, usable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def https(*texts: str) -> list[Any]:
    """Read records."""
    return list(dns.rrset.from_text("x.test.", 60, "IN", "HTTPS", *texts))


def used(*texts: str, protocols: Sequence[str] = ()) -> list[Binding]:
    """Give what is used of the records of x.test, port 443, kept in their order where there is a choice."""
    return usable(https(*texts), "x.test", 443, protocols, lambda most: most)


@pytest.mark.parametrize(
    ("host", "port", "name"),
    [
        ("example.org", 443, "example.org"),
        ("example.org", 8443, "_8443._https.example.org"),
        ("example.org", 80, "_80._https.example.org"),
    ],
)
def test_question(host: str, port: int, name: str) -> None:
    """Port 443 is asked for by the name alone, any other with a prefix."""
    assert question(host, port) == name


@pytest.mark.parametrize(
    ("texts", "alias"),
    [
        (["1 ."], None),
        (["0 other.test."], "other.test"),
        (["0 ."], "."),
        (["1 a.test.", "0 other.test."], "other.test"),
        (["0 a.test.", "0 b.test."], "b.test"),
    ],
)
def test_alias(texts: list[str], alias: str | None) -> None:
    """A record with priority 0 is an alias, whatever is beside it; one of several is drawn."""
    assert alias_of(https(*texts), lambda most: most) == alias


@pytest.mark.parametrize(
    ("text", "binding"),
    [
        ("1 .", Binding("x.test", 443)),
        ("1 . port=8443", Binding("x.test", 8443)),
        ("1 Other.test.", Binding("Other.test", 443)),
        (
            "1 a.test. ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=2001:db8::1",
            Binding("a.test", 443, ("2001:db8::1", "192.0.2.1", "192.0.2.2")),
        ),
        ("1 . ech=AAQAAAAA", Binding("x.test", 443)),
        ("1 . key65000=abc", Binding("x.test", 443)),
        (
            "1 . mandatory=port,ipv4hint port=1 ipv4hint=192.0.2.1",
            Binding("x.test", 1, ("192.0.2.1",)),
        ),
    ],
)
def test_a_record(text: str, binding: Binding) -> None:
    """Target, port and hints of a record; what it does not say is that of its name; the rest is ignored."""
    assert used(text) == [binding]


@pytest.mark.parametrize(
    "text",
    [
        "1 . mandatory=key65000 key65000=abc",
        "1 . mandatory=ech,port ech=AAQAAAAA port=1",
        r"1 fe80\:\:1.",
        r"1 a\ b.test.",
        "1 1.2.3.",
    ],
)
def test_a_record_that_is_left_out(text: str) -> None:
    """What demands the unknown or names no host is not used; what is beside it is."""
    assert used(text, "2 a.test.") == [Binding("a.test", 443)]


@pytest.mark.parametrize(
    ("params", "protocols", "is_used"),
    [
        ("", (), True),
        ("", ("http/1.1",), True),
        ("", ("h2",), False),
        ("alpn=h2", (), True),
        ("alpn=h2", ("h2",), True),
        ("alpn=h2", ("http/1.1",), True),
        ("alpn=h2 no-default-alpn", ("http/1.1",), False),
        ("alpn=h2 no-default-alpn", (), False),
        ("alpn=h3,h2 no-default-alpn", ("h2", "http/1.1"), True),
        ("alpn=h3", ("h2",), False),
    ],
)
def test_protocols(params: str, protocols: tuple[str, ...], is_used: bool) -> None:
    """A record is used if one of our protocols is among its own, http/1.1 included unless it says not."""
    assert bool(used(f"1 . {params}", protocols=protocols)) is is_used


def test_priorities() -> None:
    """Lower priorities are first."""
    assert [each.host for each in used("9 c.test.", "1 a.test.", "5 b.test.")] == [
        "a.test",
        "b.test",
        "c.test",
    ]


def test_the_same_priority() -> None:
    """The order of records of one priority is drawn."""
    records = https("1 a.test.", "1 b.test.")
    draws: list[Callable[[int], int]] = [lambda _: 0, lambda most: most]
    orders = {
        tuple(each.host for each in usable(records, "x.test", 443, (), draw)) for draw in draws
    }
    assert orders == {("a.test", "b.test"), ("b.test", "a.test")}


def test_not_all_of_many() -> None:
    """Of many records only a few are used, the best."""
    records = used(*(f"{number} a{number}.test." for number in range(50, 0, -1)))
    assert [each.host for each in records] == [f"a{1 + each}.test" for each in range(MOST_BINDINGS)]


@given(st.binary(max_size=80))
def test_whatever_dnspython_reads(data: bytes) -> None:
    """Any record that dnspython takes is used or left out, without an error."""
    wire = b"\0\1\0" + data
    try:
        rdata: Any = dns.rdata.from_wire("IN", "HTTPS", wire, 0, len(wire))
    except dns.exception.DNSException:
        return
    assert len(usable([rdata], "x.test", 443, ("h2",), lambda most: most)) <= 1
