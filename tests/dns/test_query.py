"""Queries: how they are made, what they tell, and how they change."""

from __future__ import annotations

import socket
from math import inf
from typing import Any

import dns.name
import pytest

from asyncendpoints.addresses import Address
from asyncendpoints.dns.query import AD, CD, DO, RD, Query
from asyncendpoints.errors import DomainNameError, RecordError

CLIENT = Address(socket.AF_INET6, ("2001:db8::7", 5353, 0, 0))
LOCAL = Address(socket.AF_INET6, ("2001:db8::53", 53, 0, 0))

FULL = Query.make(
    "WWW.Example.ORG.",
    "AAAA",
    ad=True,
    cd=True,
    do=True,
    client=CLIENT,
    local=LOCAL,
    transport="tcp",
    now=5.0,
    deadline=9.0,
)


def test_defaults() -> None:
    """A query of this process desires recursion, may have it, and has all the time there is."""
    query = Query.make("a.test", "A")
    assert (query.key, query.qtype, query.qclass) == (b"\1a\4test\0", 1, 1)
    assert (query.rd, query.ad, query.cd, query.do, query.recursion) == (
        True,
        False,
        False,
        False,
        True,
    )
    assert (query.client, query.client_host, query.local, query.transport) == (
        None,
        None,
        None,
        "local",
    )
    assert (query.now, query.deadline, query.depth) == (0.0, inf, 0)


def test_all_of_it() -> None:
    """A query tells what it was made from, its name in lower case."""
    assert (FULL.name, FULL.type, FULL.labels) == (
        "www.example.org",
        "AAAA",
        ("www", "example", "org"),
    )
    assert FULL.flags == RD | AD | CD | DO
    assert (FULL.rd, FULL.ad, FULL.cd, FULL.do) == (True, True, True, True)
    assert (FULL.client, FULL.client_host, FULL.client_port) == (CLIENT, "2001:db8::7", 5353)
    assert FULL.local == LOCAL
    assert (FULL.transport, FULL.now, FULL.deadline) == ("tcp", 5.0, 9.0)


def test_qname() -> None:
    """The name is there for dnspython too."""
    assert FULL.qname == dns.name.from_text("www.example.org.")
    assert str(FULL.qname) == "www.example.org."


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("a.test", b"\1a\4test\0"),
        (dns.name.from_text("A.test."), b"\1a\4test\0"),
        (dns.name.from_text("a.test", None), b"\1a\4test\0"),
        (".", b"\0"),
        (dns.name.root, b"\0"),
    ],
)
def test_names(name: str | dns.name.Name, key: bytes) -> None:
    """A name is text or dnspython's, with or without its final dot."""
    assert Query.make(name, "A").key == key


def test_odd_bytes() -> None:
    """Odd bytes of a name are escaped in its text."""
    query = Query(b"\3a.\n\0", 1)
    assert (query.name, query.labels) == (r"a\.\010", (r"a\.\010",))


@pytest.mark.parametrize(("qtype", "number"), [("A", 1), ("aaaa", 28), ("TYPE731", 731), (33, 33)])
def test_types(qtype: str | int, number: int) -> None:
    """A type is its text or its number."""
    assert Query.make("a.test", qtype).qtype == number


@pytest.mark.parametrize(
    ("rd", "recursion", "expected"),
    [
        (True, None, True),
        (True, True, True),
        (True, False, False),
        (False, None, False),
        (False, True, False),
    ],
)
def test_recursion(rd: bool, recursion: bool | None, expected: bool) -> None:
    """Recursion takes both that it is desired and that the client may have it."""
    assert Query.make("a.test", "A", rd=rd, recursion=recursion).recursion is expected


def test_client_of_a_unix_socket() -> None:
    """A client of a unix socket has an address, and no host."""
    client = Address(socket.AF_UNIX, "")
    query = Query.make("a.test", "A", client=client, transport="unix")
    assert (query.client, query.client_host, query.client_port) == (client, None, None)


def everything_but_name_and_type(query: Query) -> tuple[object, ...]:
    """Give what a query keeps when its name or type changes."""
    client = (query.client, query.local, query.transport, query.recursion)
    return (query.flags, query.now, query.deadline, *client)


@pytest.mark.parametrize("name", ["B.test", b"\1B\4test\0"])
def test_with_name(name: str | bytes) -> None:
    """The same query for another name keeps everything else."""
    query = FULL.with_name(name)
    assert (query.name, query.type, query.depth) == ("b.test", "AAAA", 0)
    assert everything_but_name_and_type(query) == everything_but_name_and_type(FULL)


def test_depth() -> None:
    """The depth is given with the name, and is kept where it is not."""
    deeper = FULL.with_name("b.test", depth=3)
    assert (deeper.depth, deeper.with_name("c.test").depth, deeper.with_type("A").depth) == (
        3,
        3,
        3,
    )


def test_with_type() -> None:
    """The same query for another type keeps everything else."""
    query = FULL.with_type("A")
    assert (query.name, query.type) == ("www.example.org", "A")
    assert everything_but_name_and_type(query) == everything_but_name_and_type(FULL)


def test_with_deadline() -> None:
    """The same query can be given another time to be answered in."""
    query = FULL.with_deadline(7.5)
    assert (query.deadline, query.name, query.type, query.now) == (
        7.5,
        FULL.name,
        FULL.type,
        FULL.now,
    )


def test_wrong_name() -> None:
    """What is no name makes no query."""
    with pytest.raises(DomainNameError):
        Query.make("a..test", "A")
    with pytest.raises(DomainNameError):
        FULL.with_name("a..test")


@pytest.mark.parametrize("name", [b"abc", b"\1a", b"\1a\0b"])
def test_wrong_wire_name(name: bytes) -> None:
    """Bytes that are no name in wire form make no query."""
    with pytest.raises(DomainNameError, match="is no name in wire form"):
        FULL.with_name(name)


@pytest.mark.parametrize("name", [None, b"a", 5])
def test_no_name(name: Any) -> None:
    """What is no text makes no query."""
    with pytest.raises(TypeError, match="a domain name is a text"):
        Query.make(name, "A")


def test_wrong_type() -> None:
    """What is no type makes no query."""
    with pytest.raises(RecordError):
        Query.make("a.test", "ADDRESS")
    with pytest.raises(RecordError):
        FULL.with_type("TYPE65536")


def test_repr() -> None:
    """A query shows its name and its type."""
    assert repr(FULL) == "<Query www.example.org AAAA>"
