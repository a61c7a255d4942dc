"""What a lookup makes of an outcome: records, addresses, or which error."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints.dns.codes import EDE, Rcode
from asyncendpoints.dns.names import encode_name
from asyncendpoints.dns.outcome import (
    DROP,
    TRUNCATED,
    Answer,
    Failure,
    NoData,
    NXDomain,
    Outcome,
    Referral,
)
from asyncendpoints.dns.query import Query
from asyncendpoints.dns.records import Records, Type, encode_rdata
from asyncendpoints.dns.resolver import InternalFailure
from asyncendpoints.dns.results import (
    Service,
    first_error,
    found_records,
    read_addresses,
    read_names,
    read_rdatas,
    read_rrset,
    read_services,
)
from asyncendpoints.errors import (
    DNSError,
    DNSRefusedError,
    DNSTimeoutError,
    NoDataError,
    NXDomainError,
    ServFailError,
)

A = Query.make("a.test", "A")
SRV = Query.make("_sip._tcp.a.test", "SRV")
NO_RCODE = None


def records(owner: str, rtype: int, *values: str) -> Records:
    """Make records with a TTL of a minute."""
    return Records(
        encode_name(owner), rtype, 60, tuple(encode_rdata(rtype, each) for each in values)
    )


def alias(owner: str, target: str) -> Records:
    """Make an alias."""
    return records(owner, Type.CNAME, target)


DATA = records("C.test", Type.A, "192.0.2.1", "192.0.2.2")


@pytest.mark.parametrize(
    "answer",
    [
        (records("A.test", Type.A, "192.0.2.1"),),
        (records("other.test", Type.A, "192.0.2.9"), records("a.test", Type.A, "192.0.2.1")),
        (records("a.test", Type.AAAA, "::1"), records("a.test", Type.A, "192.0.2.1")),
    ],
)
def test_records(answer: tuple[Records, ...]) -> None:
    """The records of the name and type that were asked for are found, whatever comes with them."""
    found = found_records(A, Answer(answer), is_late=False)
    assert (found.owner.lower(), found.rdatas) == (A.key, (bytes((192, 0, 2, 1)),))


@pytest.mark.parametrize(
    "answer",
    [
        (alias("a.test", "B.test"), alias("b.test", "c.test"), DATA),
        (DATA, alias("b.test", "c.test"), alias("a.test", "b.test")),
    ],
)
def test_chain(answer: tuple[Records, ...]) -> None:
    """A chain of aliases is followed to its end, in whatever order it comes."""
    assert found_records(A, Answer(answer), is_late=False) == DATA


def test_alias_itself() -> None:
    """An alias that was asked for is not followed."""
    answer = Answer((alias("a.test", "b.test"),))
    found = found_records(A.with_type("CNAME"), answer, is_late=False)
    assert found.rdatas == (encode_name("b.test"),)


@pytest.mark.parametrize(
    "answer",
    [
        (),
        (alias("a.test", "a.test"),),
        (alias("a.test", "b.test"), alias("b.test", "a.test")),
        (records("b.test", Type.A, "192.0.2.1"),),
        (records("a.test", Type.A),),
        (records("a.test", Type.CNAME), records("b.test", Type.A, "192.0.2.1")),
    ],
)
def test_no_records(answer: tuple[Records, ...]) -> None:
    """An answer that does not lead to records is a failure, and no endless loop."""
    with pytest.raises(ServFailError) as caught:
        found_records(A, Answer(answer), is_late=False)
    assert caught.value.problem == "the answer ends before the records"


def test_alias_that_leads_nowhere() -> None:
    """The error names the end of the chain, which nobody knows."""
    answer = Answer((alias("a.test", "b.test"), alias("b.test", "C.test")))
    with pytest.raises(ServFailError) as caught:
        found_records(A, answer, is_late=False)
    problem = "it is an alias of c.test, whose records nobody here has"
    assert caught.value.problem == problem


@pytest.mark.parametrize(
    ("outcome", "error", "rcode"),
    [
        (NXDomain(), NXDomainError, Rcode.NXDOMAIN),
        (NoData(), NoDataError, Rcode.NOERROR),
        (Failure(), ServFailError, Rcode.SERVFAIL),
        (Failure(Rcode.REFUSED), DNSRefusedError, Rcode.REFUSED),
        (Failure(Rcode.NOTIMP), ServFailError, Rcode.NOTIMP),
        (Referral(records("test", Type.NS, "ns.test")), ServFailError, Rcode.NOERROR),
        (TRUNCATED, ServFailError, Rcode.NOERROR),
        (DROP, DNSTimeoutError, NO_RCODE),
    ],
)
def test_errors(outcome: Outcome, error: type[DNSError], rcode: int | None) -> None:
    """What is not there, what failed and what was refused are errors of their own."""
    with pytest.raises(DNSError) as caught:
        found_records(A, outcome, is_late=False)
    assert type(caught.value) is error
    assert (caught.value.name, caught.value.type) == ("a.test", "A")
    assert (caught.value.rcode, caught.value.ede) == (rcode, None)


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (Failure(), DNSTimeoutError),
        (Failure(Rcode.REFUSED), DNSTimeoutError),
        (NXDomain(), NXDomainError),
        (NoData(), NoDataError),
    ],
)
def test_late(outcome: Outcome, error: type[DNSError]) -> None:
    """A failure when the time is up means that there was not enough of it; an answer stands."""
    with pytest.raises(DNSError) as caught:
        found_records(A, outcome, is_late=True)
    assert type(caught.value) is error


def test_extended_error() -> None:
    """An extended error comes with the error, and its text is safe to show."""
    with pytest.raises(ServFailError) as caught:
        found_records(A, Failure(ede=EDE(22, "all\x1b[2J down")), is_late=False)
    assert caught.value.ede == (22, "all\x1b[2J down")
    expected = r"a.test A: nobody could find out (all\x1b[2J down)"
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("", "nobody could find out"),
        ("nobody could find", "nobody could find out"),
        ('no "upstream"', 'nobody could find out (no "upstream")'),
        ("\x1b" * 30, f"nobody could find out ({(chr(92) + 'x1b') * 19 + chr(92) + 'x1'}…)"),
    ],
)
def test_reason(said: str, shown: str) -> None:
    """The text of an extended error is shown where it says more, and at most 80 characters of it."""
    with pytest.raises(ServFailError) as caught:
        found_records(A, Failure(ede=EDE(22, said)), is_late=False)
    assert caught.value.reason == shown


def test_cause() -> None:
    """What a resolver of this process raised is the cause of the error."""
    cause = LookupError("broken")
    with pytest.raises(ServFailError) as caught:
        found_records(A, InternalFailure(cause), is_late=False)
    assert caught.value.__cause__ is cause


@pytest.mark.parametrize(
    ("servers", "said"),
    [
        (("ns.sub.test",), "sub.test is delegated to ns.sub.test; nobody here follows it"),
        (
            ("b.test", "c.test"),
            "sub.test is delegated to b.test and others; nobody here follows it",
        ),
    ],
)
def test_referral(servers: tuple[str, ...], said: str) -> None:
    """A delegation is no failure of servers, and the error says whose it is."""
    with pytest.raises(ServFailError) as caught:
        found_records(A, Referral(records("sub.test", Type.NS, *servers)), is_late=False)
    assert caught.value.problem == said


def test_other_code() -> None:
    """A code that has no name here is shown as a number."""
    with pytest.raises(ServFailError, match=r"^a\.test A: the server answers with code 9$"):
        found_records(A, Failure(Rcode.NOTAUTH), is_late=False)


NX = NXDomainError("a.test", "A", "")
NX_LONG = NXDomainError("a.test.org", "A", "")
NO = NoDataError("a.test.org", "A", "")
FAIL = ServFailError("a.test.org", "A", "")


@pytest.mark.parametrize(
    ("errors", "first"),
    [
        ((NX_LONG, NX), NX),
        ((NX, NX_LONG), NX),
        ((NX, NO), NO),
        ((NX, NO, FAIL), FAIL),
    ],
)
def test_first_error(errors: tuple[DNSError, ...], first: DNSError) -> None:
    """That nobody could find out says most, then that there is a name, then what was written."""
    assert first_error(errors) is first


def test_addresses() -> None:
    """Addresses are read as addresses."""
    six = records("a.test", Type.AAAA, "2001:db8::1")
    assert list(map(str, read_addresses(A, DATA))) == ["192.0.2.1", "192.0.2.2"]
    assert list(map(str, read_addresses(A.with_type("AAAA"), six))) == ["2001:db8::1"]


def test_names() -> None:
    """Names are read without their final dots, odd bytes escaped."""
    given = Records(A.key, Type.PTR, 60, (encode_name("Host.test"), b"\x02a\x1b\0"))
    assert read_names(A, given) == ["Host.test", r"a\027"]


def test_rrset() -> None:
    """Records become dnspython's, with the name that they have."""
    assert str(read_rrset(A, DATA)) == "C.test. 60 IN A 192.0.2.1\nC.test. 60 IN A 192.0.2.2"
    unknown = read_rrset(A, Records(A.key, 731, 60, (b"\1\2",)))
    assert str(unknown) == r"a.test. 60 IN TYPE731 \# 2 0102"


@given(st.integers(1, 65535), st.binary(max_size=40))
def test_any_bytes(rtype: int, data: bytes) -> None:
    """Whatever bytes a record has, they are read or are one of our errors."""
    for read in (read_addresses, read_names, read_rdatas, read_rrset, read_services):
        with suppress(ServFailError):
            read(A, Records(A.key, rtype, 60, (data,)))


def test_costly_names() -> None:
    """Names that are made to be costly for dnspython are given up on; thousands would take minutes."""
    names = tuple(
        b"\x02" + number.to_bytes(2, "big") + b"\x01a" * 124 + b"\0" for number in range(4000)
    )
    with pytest.raises(ServFailError) as caught:
        read_rrset(A, Records(A.key, Type.NS, 60, names))
    assert caught.value.problem == "the answer would take too long to read"


def test_many_plain_records() -> None:
    """As many as a message can have of ordinary records are read."""
    servers = tuple(encode_rdata(Type.NS, f"ns{i}.dns.example.org") for i in range(500))
    assert len(read_rrset(A, Records(A.key, Type.NS, 60, servers))) == 500


@pytest.mark.parametrize(
    ("rtype", "datas"),
    [
        (Type.TXT, (bytes(60_000),)),
        (Type.TXT, (b"\1a",) * 4000),
        (Type.A, (bytes(4),) * 4000),
        (42, (b"\0\1\x08\1\1" * 2000,)),
        (55, (b"\1\1\0\1ab" + bytes(2000),)),
        (55, (b"\1\1\0\1ab" + (b"\1a" * 120 + b"\0") * 5,)),
        (Type.HTTPS, (b"\0\1\0\0\4\x20\0" + bytes(8192),)),
    ],
)
def test_costly_data(rtype: int, datas: tuple[bytes, ...]) -> None:
    """Data that is made to be costly for dnspython is given up on, whatever it is of."""
    with pytest.raises(ServFailError) as caught:
        read_rdatas(A, Records(A.key, rtype, 60, datas))
    assert caught.value.problem == "the answer would take too long to read"


@pytest.mark.parametrize(
    ("rtype", "datas"),
    [
        (Type.TXT, (b"\xff" + b"a" * 255,) * 60),
        (Type.TXT, ((b"\xff" + b"a" * 255) * 250,)),
        (48, (b"\1\0\3\x08" + bytes(60_000),)),
        (Type.A, (bytes(4),) * 500),
        (55, (b"\1\1\0\1ab" + encode_name("rvs.example.net") * 3,)),
    ],
)
def test_large_data(rtype: int, datas: tuple[bytes, ...]) -> None:
    """Data that is large for a reason is read."""
    assert len(read_rdatas(A, Records(A.key, rtype, 60, datas))) == len(datas)


def srv(*values: str) -> Records:
    """Make SRV records."""
    data = tuple(encode_rdata(Type.SRV, each) for each in values)
    return Records(encode_name("_sip._tcp.a.test"), Type.SRV, 60, data)


def test_services() -> None:
    """SRV records are read as numbers and the text of a name, and written as in a zone file."""
    found = read_services(SRV, srv("10 20 5060 Sip.A.test.", "0 0 0 ."))
    assert found == [Service(10, 20, 5060, "Sip.A.test"), Service(0, 0, 0, ".")]
    assert [str(each) for each in found] == ["10 20 5060 Sip.A.test", "0 0 0 ."]


@pytest.mark.parametrize("data", [b"", b"\0" * 6, b"\0" * 6 + b"\x05abc", b"\0" * 8])
def test_malformed_services(data: bytes) -> None:
    """Data that is cut short or goes on after the name is an error."""
    with pytest.raises(ServFailError, match="cannot be read"):
        read_services(SRV, srv()._replace(rdatas=(data,)))


def test_thousands_of_services() -> None:
    """As many records as an answer can hold are read."""
    records = srv(*(f"0 1 {port} host.a.test." for port in range(3000)))
    assert [each.port for each in read_services(SRV, records)] == list(range(3000))
