"""The constructors of Twisted's zones in Python."""

from __future__ import annotations

from typing import Any

import pytest

from asyncendpoints.dns.names import encode_name
from asyncendpoints.dns.records import Records, Type, to_rrset
from asyncendpoints.dns.twistedzone import CONSTRUCTORS, PythonRecord, build
from asyncendpoints.errors import DomainNameError, ZoneError

SOA = CONSTRUCTORS["SOA"]
NS = CONSTRUCTORS["NS"]
A = CONSTRUCTORS["A"]
TXT = CONSTRUCTORS["TXT"]


def text_of(record: PythonRecord) -> str:
    """Write a record as dnspython does."""
    return to_rrset(Records(record.key, record.rtype, 0, (record.rdata,))).to_text()


@pytest.mark.parametrize(
    ("kind", "args", "kwargs", "text"),
    [
        ("A", ["192.0.2.1"], {}, "A 192.0.2.1"),
        ("A", [b"192.0.2.1"], {}, "A 192.0.2.1"),
        ("A", [], {}, "A 0.0.0.0"),
        ("AAAA", ["2001:db8::1"], {}, "AAAA 2001:db8::1"),
        ("AAAA", [b"2001:db8::1"], {}, "AAAA 2001:db8::1"),
        ("NS", ["ns.example.org"], {}, "NS ns.example.org."),
        ("NS", [b"ns.example.org."], {}, "NS ns.example.org."),
        ("CNAME", [], {"name": "b.test"}, "CNAME b.test."),
        ("PTR", ["müller.example"], {}, "PTR xn--mller-kva.example."),
        ("DNAME", ["b.test"], {}, "DNAME b.test."),
        ("MX", [10, "mail.test"], {}, "MX 10 mail.test."),
        ("MX", [], {"preference": "5", "exchange": "mail.test"}, "MX 5 mail.test."),
        (
            "SOA",
            ["ns.test", "admin.test", 7, "1H", "15M", "1W", "1.5H"],
            {},
            "SOA ns.test. admin.test. 7 3600 900 604800 5400",
        ),
        (
            "SRV",
            [],
            {"priority": 1, "weight": 2, "port": 5060, "target": "s.test"},
            "SRV 1 2 5060 s.test.",
        ),
        (
            "NAPTR",
            [1, 2, b"u", "sip+E2U", "!^.*$!sip:a@b!", "."],
            {},
            'NAPTR 1 2 "u" "sip+E2U" "!^.*$!sip:a@b!" .',
        ),
        ("AFSDB", [1, "a.test"], {}, "AFSDB 1 a.test."),
        ("RP", ["m.test", "t.test"], {}, "RP m.test. t.test."),
        ("HINFO", ["PDP", b"ITS"], {}, 'HINFO "PDP" "ITS"'),
        ("TXT", ["a", b"b c"], {"ttl": 5}, 'TXT "a" "b c"'),
        ("TXT", [], {}, 'TXT ""'),
        ("SPF", ["v=spf1 -all"], {}, 'SPF "v=spf1 -all"'),
        ("SSHFP", [4, 1, bytes(20)], {}, f"SSHFP 4 1 {'00' * 20}"),
        ("WKS", ["192.0.2.1", 6, b"\x01"], {}, "WKS 192.0.2.1 6 7"),
        ("NULL", [b"\x01"], {}, r"NULL \# 1 01"),
        ("NULL", [], {}, r"NULL \# 0 "),
        ("MINFO", ["a.test", "b.test"], {}, None),
    ],
)
def test_record_data(kind: str, args: list[Any], kwargs: dict[str, Any], text: str | None) -> None:
    """Each constructor takes what Twisted's takes, by position and by name, and makes the same record."""
    made = CONSTRUCTORS[kind]("Host.Example.", *args, **kwargs)
    assert made.key == encode_name("host.example")
    if text is None:
        assert made.rdata == encode_name("a.test") + encode_name("b.test")
    else:
        assert text_of(made).strip() == f"host.example. 0 IN {text}".strip()


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (300, 300),
        ("300", 300),
        (b"2m", 120),
        ("3H", 10_800),
        (" 1d ", 86_400),
        ("1W", 604_800),
        ("1Y", 31_536_000),
        ("7S", 7),
        ("0.5h", 1800),
        (None, None),
    ],
)
def test_times(given: str | bytes | int | None, seconds: int | None) -> None:
    """A TTL is a number, or a number and a unit."""
    assert A("a.test", "192.0.2.1", ttl=given).ttl == seconds


def test_the_ttl_is_the_last_position() -> None:
    """It can be given without its name."""
    assert A("a.test", "192.0.2.1", 300).ttl == 300


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: A("a.test", "nonsense"), "A(): Expected 4 octets in 'nonsense'"),
        (
            lambda: A("a.test", "192.0.2.1", ttl="soon"),
            "A(): 'soon' is no time; 3600 and '1H' are",
        ),
        (
            lambda: A("a.test", "192.0.2.1", ttl="1h30m"),
            "A(): '1h30m' is no time; 3600 and '1H' are",
        ),
        (lambda: A("a.test", "192.0.2.1", ttl=""), "A(): '' is no time; 3600 and '1H' are"),
        (
            lambda: A("a.test", "192.0.2.1", ttl=-1),
            "A(): -1 is out of range, expected 0 to 4294967295 seconds",
        ),
        (
            lambda: CONSTRUCTORS["MX"]("a.test", 65_536, "b.test"),
            "MX(): 65536 is out of range, expected 0 to 65535",
        ),
        (
            lambda: CONSTRUCTORS["SSHFP"]("a.test", 256),
            "SSHFP(): 256 is out of range, expected 0 to 255",
        ),
        (lambda: TXT("a.test", "x" * 256), "TXT(): a string of 256 bytes, expected at most 255"),
        (
            lambda: NS("a.test", "b..test"),
            "NS(): 'b..test': has an empty label; one dot stands between labels",
        ),
        (
            lambda: NS("a..test"),
            "NS(): 'a..test': has an empty label; one dot stands between labels",
        ),
    ],
)
def test_wrong_data(call: Any, message: str) -> None:
    """The error names the constructor and says what is wrong."""
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message


def test_unknown_arguments() -> None:
    """What a constructor does not take is an error that names it."""
    with pytest.raises(TypeError, match=r"^A\(\): got an unexpected keyword argument 'adress'$"):
        A("a.test", adress="192.0.2.1")


def zone(*more: object, minimum: object = "1M") -> list[object]:
    """Make the list of a zone."""
    return [
        SOA("a.test", "ns.a.test", "admin.a.test", minimum=minimum),
        NS("a.test", "ns.a.test"),
        *more,
    ]


def test_a_record_without_a_ttl_has_the_minimum() -> None:
    """What says its own keeps it."""
    builder = build(zone(A("x.a.test", "192.0.2.1"), A("y.a.test", "192.0.2.1", ttl=5)), "zone.py")
    assert builder.take(encode_name("x.a.test"))[Type.A].ttl == 60
    assert builder.take(encode_name("y.a.test"))[Type.A].ttl == 5


def test_no_ttl_is_longer_than_there_are() -> None:
    """A minimum that is out of the range of a TTL counts as the longest."""
    builder = build(zone(A("x.a.test", "192.0.2.1"), minimum=2**32 - 1), "zone.py")
    assert builder.take(encode_name("x.a.test"))[Type.A].ttl == 2**31 - 1


def test_without_an_soa_there_is_no_default() -> None:
    """The compiler of zones says what is missing, not this."""
    assert build([A("x.a.test", "192.0.2.1")], "zone.py").take(encode_name("x.a.test"))[1].ttl == 0


def test_an_error_says_where_the_record_was_made() -> None:
    """The line is that of the constructor's call."""
    record = A("x.other.test", "192.0.2.1")
    with pytest.raises(ZoneError) as caught:
        build(zone(record), "zone.py")
    assert (caught.value.path, caught.value.line) == ("zone.py", record.line)
    assert record.line == test_an_error_says_where_the_record_was_made.__code__.co_firstlineno + 2


def test_what_is_no_record() -> None:
    """Other things in the list are named."""
    with pytest.raises(ZoneError) as caught:
        build(zone("www"), "zone.py")
    assert caught.value.problem.startswith("'zone' has 'www' in it, expected records")


def test_a_constructor_has_the_name_of_its_type() -> None:
    """That is what a traceback shows."""
    assert A.__name__ == A.__qualname__ == "A"
    assert issubclass(DomainNameError, ValueError)
