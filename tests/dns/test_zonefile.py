"""Zone files: what they say, where they are wrong, and that plain lines read as dnspython reads them."""

from __future__ import annotations

from contextlib import suppress

import dns.exception
import dns.name
import dns.rdatatype
import dns.zone
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints.dns.names import encode_name, format_name
from asyncendpoints.dns.records import Records, format_type, to_rrset
from asyncendpoints.dns.zonebuild import Builder
from asyncendpoints.dns.zonefile import (
    MOST_CHARACTERS,
    MOST_GENERATED,
    MOST_INCLUDED,
    MOST_NESTED,
    read_zone,
)
from asyncendpoints.errors import ZoneError

START = "@ 60 SOA ns h 1 2 3 4 5\n@ 60 NS ns\n"


def read(text: str, origin: str | None = "z.test", **files: str) -> list[str]:
    """Read a zone file, which may include others, and give its records after the first two."""
    wire = None if origin is None else encode_name(origin)
    taken: list[str] = []

    class Listed(Builder):
        """Notes what is added."""

        def add(self, key: bytes, rtype: int, ttl: int, rdata: bytes) -> None:
            super().add(key, rtype, ttl, rdata)
            rrset = to_rrset(Records(key, rtype, ttl, (rdata,)))
            taken.append(f"{format_name(key)} {ttl} {format_type(rtype)} {rrset[0]}")

    def include(path: str, name: str) -> tuple[str, str]:
        if name not in files:
            raise FileNotFoundError(2, "No such file or directory")
        return f"{path}+{name}", files[name]

    builder = Listed(wire)
    list(read_zone(builder, text, "main", wire, include))
    return taken[2:]


RECORDS = [
    ("www 300 IN A 192.0.2.1", ["www.z.test 300 A 192.0.2.1"]),
    ("WWW 300 A 192.0.2.1", ["www.z.test 300 A 192.0.2.1"]),
    ("www IN 300 A 192.0.2.1", ["www.z.test 300 A 192.0.2.1"]),
    ("www 5m A 192.0.2.1", ["www.z.test 300 A 192.0.2.1"]),
    ("www 1h30m a 192.0.2.1", ["www.z.test 5400 A 192.0.2.1"]),
    ("$TTL 1d\nwww A 192.0.2.1", ["www.z.test 86400 A 192.0.2.1"]),
    ("$ttl 7\nwww TXT x", ['www.z.test 7 TXT "x"']),
    ("w 9 A 192.0.2.1\nv A 192.0.2.2", ["w.z.test 9 A 192.0.2.1", "v.z.test 9 A 192.0.2.2"]),
    ("w 9 A 192.0.2.1\n  TXT x", ["w.z.test 9 A 192.0.2.1", 'w.z.test 9 TXT "x"']),
    ("w 9 TXT x\n\tA 192.0.2.1", ['w.z.test 9 TXT "x"', "w.z.test 9 A 192.0.2.1"]),
    ("$TTL 8\nw 9 TXT x\nv A 192.0.2.1", ['w.z.test 9 TXT "x"', "v.z.test 8 A 192.0.2.1"]),
    ("$ORIGIN sub\n@ 9 A 192.0.2.1", ["sub.z.test 9 A 192.0.2.1"]),
    ("$ORIGIN sub\nx 9 MX 5 @", ["x.sub.z.test 9 MX 5 sub.z.test."]),
    ("x 9 SRV 1 2 3 y", ["x.z.test 9 SRV 1 2 3 y.z.test."]),
    ("x 9 AAAA 2001:db8::1", ["x.z.test 9 AAAA 2001:db8::1"]),
    ("x 9 PTR a.test. ; who", ["x.z.test 9 PTR a.test."]),
    ('x 9 TXT ( "a;("\n ; (((\n "b" )', ['x.z.test 9 TXT "a;(" "b"']),
    ("x 9 TYPE731 \\# 4 0a000001", [r"x.z.test 9 TYPE731 \# 4 0a000001"]),
    ("x 9 A \\# 4 c0000201", ["x.z.test 9 A 192.0.2.1"]),
    ("b\u00fccher 9 A 192.0.2.1", ["xn--bcher-kva.z.test 9 A 192.0.2.1"]),
    ("$GENERATE 1-3/2 h$ 9 A 192.0.2.$", ["h1.z.test 9 A 192.0.2.1", "h3.z.test 9 A 192.0.2.3"]),
    ("\n   \n; nothing\n", []),
    ("x 9 A 192.0.2.1\r\ny 9 TXT t\r\n", ["x.z.test 9 A 192.0.2.1", 'y.z.test 9 TXT "t"']),
]


@pytest.mark.parametrize(("text", "records"), RECORDS)
def test_records(text: str, records: list[str]) -> None:
    """The lines of a zone file are these records."""
    assert read(START + text) == records


A_DATA = "expected an IPv4 address such as 192.0.2.1"
MX_DATA = "expected a preference and a host, such as '10 mail.example.org'"

WRONG = [
    ("x 9 A 192.0.2.256", 3, f"'192.0.2.256' is no A data, {A_DATA}"),
    ("x 9 IN A 192.0.2.1 192.0.2.2", 3, f"'192.0.2.1 192.0.2.2' is no A data, {A_DATA}"),
    ("x 9 A", 3, f"A has no data, {A_DATA}"),
    ("  9 MX y ; 10", 3, f"'y' is no MX data, {MX_DATA}"),
    ("x 9 LOC 0", 3, "'0' is no LOC data: expecting a string"),
    (
        "x 9 CAA 0",
        3,
        "'0' is no CAA data, expected flags, tag and value, such as '0 issue ca.example.org'",
    ),
    ("x 9 NOPE 1", 3, "'NOPE' is no TTL, class or type; A, AAAA and TYPE731 are types"),
    ("x 1x A 1", 3, "'1x' is no TTL, class or type; A, AAAA and TYPE731 are types"),
    (f"x {'9' * 5000} A 1", 3, ""),
    ("x CH TXT a", 3, "the class is CH, expected IN or none"),
    ("x 1h IN ; A", 3, "a record needs a type and data"),
    ("x..y A 192.0.2.1", 3, "A DNS label is empty"),
    ("# x", 3, "a comment begins with ;"),
    ("\x1c;", 3, ""),
    ("x 99999999999 A 192.0.2.1", 3, ""),
    ("y 9 A 192.0.2.1\n\nx 9 MX 70000 y", 5, f"'70000 y' is no MX data, {MX_DATA}"),
    ("y 9 A 192.0.2.1\nx 9 MX 1_0 y", 4, ""),
    ("x 9 TXT (\n\n", 3, "a parenthesis is not closed"),
    ("x 9 TXT a )", 3, "this is nothing that can be read"),
    ("$NOPE 1", 3, ""),
    ("$TTL", 3, "$TTL needs a time, such as 3600 or 1h"),
    ("$ttl foo", 3, "$TTL needs a time, such as 3600 or 1h"),
    ("$GENERATE x h$ A 192.0.2.$", 3, "a $GENERATE needs a range such as 1-100 or 0-64/8"),
    (
        f"$GENERATE 0-{MOST_GENERATED} h$ A 192.0.2.1",
        3,
        f"a $GENERATE makes {MOST_GENERATED + 1} records, expected at most {MOST_GENERATED}",
    ),
    ("$GENERATE 1-2/0 h$ A 192.0.2.1", 3, ""),
    ("$GENERATE 2-1 h$ A 192.0.2.1", 3, ""),
    (
        f"$GENERATE 1-{'9' * 5000} h$ A 192.0.2.1",
        3,
        "a $GENERATE needs a range such as 1-100 or 0-64/8",
    ),
    ("$INCLUDE", 3, ""),
    ("$INCLUDE nope", 3, "cannot include nope: No such file or directory"),
    ("x.other. 9 A 192.0.2.1", 3, "x.other is not in the zone z.test"),
    ("x.other. 9 TXT x", 3, "x.other is not in the zone z.test"),
    ("y 9 A 192.0.2.1\ny 9 CNAME x", 4, "y.z.test has a CNAME, and other records beside it"),
    ("@ 9 SOA ns h 1 2 3 4 5", 3, "this is the second SOA; a zone has one"),
]


@pytest.mark.parametrize(("text", "line", "problem"), WRONG)
def test_errors_say_where(text: str, line: int, problem: str) -> None:
    """An error names the file, the line and what is wrong there, in dnspython's words where it is empty."""
    with pytest.raises(ZoneError) as caught:
        read(START + text)
    assert (caught.value.path, caught.value.line) == ("main", line)
    assert caught.value.problem == (problem or caught.value.problem)
    assert str(caught.value) == f"main:{line}: {caught.value.problem}"
    assert "Error" not in caught.value.problem


def test_include() -> None:
    """An included file is read with the origin that is given, and leaves all as it was."""
    text = START + "$TTL 5\na A 192.0.2.1\n$INCLUDE more sub ; here\n  A 192.0.2.2\nb TXT x\n"
    more = "$TTL 6\n@ A 192.0.2.3\n$ORIGIN c\nd TXT y\n$INCLUDE most\n"
    assert read(text, more=more, most="e A 192.0.2.4\n") == [
        "a.z.test 5 A 192.0.2.1",
        "sub.z.test 6 A 192.0.2.3",
        'd.c.sub.z.test 6 TXT "y"',
        "e.c.sub.z.test 6 A 192.0.2.4",
        "a.z.test 5 A 192.0.2.2",
        'b.z.test 5 TXT "x"',
    ]


def test_error_in_an_included_file() -> None:
    """An error in an included file names that file and its line."""
    with pytest.raises(ZoneError) as caught:
        read(START + "$INCLUDE more", more="\n\nx 9 A nope\n")
    assert (caught.value.path, caught.value.line) == ("main+more", 3)


def test_error_after_an_included_file() -> None:
    """An error after an included file names the file that includes it."""
    with pytest.raises(ZoneError) as caught:
        read(START + "$INCLUDE more\nx 9 A nope\n", more="\n\ny 9 A 192.0.2.1\n")
    assert (caught.value.path, caught.value.line) == ("main", 4)


def test_file_that_includes_itself() -> None:
    """Files are included over a number of levels and no further."""
    with pytest.raises(ZoneError) as caught:
        read(START + "$INCLUDE more", more="$INCLUDE more")
    assert caught.value.problem == f"files are included over more than {MOST_NESTED} levels"


def test_files_that_include_many() -> None:
    """Files are included so many times in all and no more, on whatever level."""
    files = {f"f{level}": f"$INCLUDE f{level + 1}\n" * 11 for level in range(4)}
    with pytest.raises(ZoneError) as caught:
        read(START + "$INCLUDE f0", **files, f4="")
    assert caught.value.problem == f"files are included more than {MOST_INCLUDED} times"
    assert (
        len(read(START + "$INCLUDE one\n" * MOST_INCLUDED, one="x 9 A 192.0.2.1\n"))
        == MOST_INCLUDED
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("x 9 TXT " + "a" * MOST_CHARACTERS, 3),
        ("\nx 9 TXT (\n" + ("a" * 1000 + "\n") * (MOST_CHARACTERS // 1000) + ")", 4),
    ],
)
def test_long_records(text: str, line: int) -> None:
    """A record has so many characters at most, on however many lines; dnspython would take seconds."""
    with pytest.raises(ZoneError) as caught:
        read(START + text)
    assert caught.value.line == line
    assert caught.value.problem == f"a record has more than {MOST_CHARACTERS} characters"


def test_longest_data() -> None:
    """The longest data that a record can have can be written in hexadecimal digits."""
    assert len(read(START + "x 9 TYPE731 \\# 65535 " + "00" * 65535)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "x 9 A 192.0.2.1",
        "@ 9 TXT y",
        "  9 TXT y",
        "z.test. 9 NS x",
        "z.test. 9 SOA ns. h 1 2 3 4 5",
        "$INCLUDE more x",
    ],
)
def test_without_an_origin(text: str) -> None:
    """A name without a final dot needs an origin."""
    with pytest.raises(ZoneError) as caught:
        read(text, None, more="y 9 A 192.0.2.1\n")
    assert "needs an origin" in caught.value.problem


def test_origin_without_a_final_dot() -> None:
    """An ``$ORIGIN`` that is in no origin is wrong itself, and not the first name in it."""
    with pytest.raises(ZoneError) as caught:
        read("$TTL 9\n$ORIGIN z.test\n@ SOA ns h 1 2 3 4 5\n", None)
    problem = "z.test has no final dot, and no origin is given that it could be in"
    assert (caught.value.line, caught.value.problem) == (2, problem)


def test_origin_from_the_file() -> None:
    """The zone is that of its SOA where nobody says another, and relative names follow ``$ORIGIN``."""
    text = "$ORIGIN z.test.\n$TTL 9\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n"
    assert read(text, None) == ["ns.z.test 9 A 192.0.2.1"]


def test_absolute_names() -> None:
    """A file whose names are all absolute needs no origin."""
    text = "z.test. 9 SOA . . 1 2 3 4 5\nz.test. 9 NS .\nx.z.test. 9 A 192.0.2.1\n"
    assert read(text, None) == ["x.z.test 9 A 192.0.2.1"]


def test_names_before_the_soa() -> None:
    """A name before the SOA that turns out to be outside of the zone is told with its line."""
    with pytest.raises(ZoneError) as caught:
        read("$TTL 9\nx.other. A 192.0.2.1\nz.test. SOA . . 1 2 3 4 5\n", None)
    assert (caught.value.line, caught.value.problem) == (2, "x.other is not in the zone z.test")


def test_generated_in_steps() -> None:
    """Many records of one line are read in steps too, and are those of the whole range."""
    text = START + "$GENERATE 1-400/3 h$ 9 A 192.0.2.1"
    builder = Builder(encode_name("z.test"))
    steps = read_zone(builder, text, "main", encode_name("z.test"), lambda *_: ("", ""))
    assert len(list(steps)) >= 400 // 3 // 16
    names = {line.split()[0] for line in read(text)}
    assert names == {f"h{number}.z.test" for number in range(1, 401, 3)}


def test_long_problems_are_cut() -> None:
    """Whatever stands in a file, the error is no longer than can be read."""
    with pytest.raises(ZoneError) as caught:
        read(START + f"x 9 TYPE{'9' * 50_000} \\# 0")
    assert len(str(caught.value)) < 350


def test_steps() -> None:
    """Reading a long file pauses every few lines."""
    builder = Builder(encode_name("z.test"))
    text = START + "x 9 A 192.0.2.1\n" * 100
    steps = read_zone(builder, text, "main", encode_name("z.test"), lambda *_: ("", ""))
    assert len(list(steps)) >= 5


LEADS = ["a ", "B.c\t", "@ ", "*.b ", "x.z.test. ", "a..b ", "d\\046e ", " ", "\t"]
WORDS = ["a", "b.c", "@", "*", "A", "MX", "NS", "SRV", "AAAA", "CNAME", "PTR", "IN", "in", "9"]
WORDS += ["300", "1h", "192.0.2.1", "2001:db8::1", "x.z.test.", "10", "+1", "1_0", "65536", "."]
WORDS += ["TXT", "(", ")", ";", '"', "\\", "\\065", "-", "a..b", "x" * 64, "256", "01.2.3.4"]
FIELDS = st.lists(st.sampled_from(WORDS), max_size=8)


@given(st.lists(st.tuples(st.sampled_from(LEADS), FIELDS), max_size=4))
def test_plain_lines_are_read_as_dnspython_reads_them(lines: list[tuple[str, list[str]]]) -> None:
    """A file has the records that dnspython alone finds in it, or both refuse it."""
    text = START + "$TTL 77\n" + "".join(f"{lead}{' '.join(each)}\n" for lead, each in lines)
    try:
        ours = read(text)
    except ZoneError:
        with pytest.raises((dns.exception.DNSException, ValueError)):
            dns.zone.from_text(text, "z.test", relativize=False)
        return
    theirs = dns.zone.from_text(text, "z.test", relativize=False)
    expected = {
        f"{name.to_text(omit_final_dot=True)} {dns.rdatatype.to_text(rdata.rdtype)} {rdata}".lower()
        for name, _, rdata in theirs.iterate_rdatas()
    }
    found = {each.split(" ", 2)[0] + " " + each.split(" ", 2)[2] for each in ours}
    first = {each for each in expected if " soa " in each or each == "z.test ns ns.z.test."}
    assert {each.lower() for each in found} | first == expected


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    """Whatever the text is, it is read or refused."""
    with suppress(ZoneError):
        read(START + text)
