"""What a zone may hold, and what is suspicious in it."""

from __future__ import annotations

import pytest

from asyncendpoints.dns.names import encode_name
from asyncendpoints.dns.records import parse_type
from asyncendpoints.dns.zonebuild import MOST_RECORDS, MOST_WARNINGS, Builder
from asyncendpoints.dns.zoneload import Zone
from asyncendpoints.errors import ZoneError

START = "$TTL 60\n@ SOA a.test. h 1 2 3 4 5\n@ NS a.test.\n"

REFUSED = [
    ("@ 9 NS a.test.", 0, "the zone has no SOA"),
    ("@ 9 SOA a.test. h 1 2 3 4 5", 0, "the zone has no NS at its apex, z.test"),
    ("", 0, "the zone has no SOA"),
    ("x 9 SOA a.test. h 1 2 3 4 5", 1, "the SOA is that of x.z.test, expected z.test"),
    (START + "@ SOA a.test. h 2 2 3 4 5", 4, "this is the second SOA; a zone has one"),
    (START + "x SOA a.test. h 2 2 3 4 5", 4, "this is the second SOA; a zone has one"),
    (START + "xz.test. A 192.0.2.1", 4, "xz.test is not in the zone z.test"),
    (START + "x A 192.0.2.1\nx CNAME y", 5, "x.z.test has a CNAME, and other records beside it"),
    (START + "x CNAME y\nx A 192.0.2.1", 5, "x.z.test has a CNAME, and other records beside it"),
    (START + "x CNAME y\nx NS y", 5, "x.z.test has a CNAME, and other records beside it"),
    (START + "@ CNAME y", 4, "z.test has a CNAME, and other records beside it"),
    (START + "x CNAME y\nx CNAME z", 0, "x.z.test has 2 CNAME records"),
    (START + "x DNAME y\nx DNAME z", 0, "x.z.test has 2 DNAME records"),
    (START + "*.x NS y", 4, "*.x.z.test has NS at a wildcard, which has no meaning"),
    (START + "*.x DNAME y", 4, "*.x.z.test has DNAME at a wildcard, which has no meaning"),
    (START + "x TYPE255 \\# 0", 4, "ANY is no type of a record"),
    (START + "x DNAME y\nx NS y", 0, "x.z.test has a DNAME and NS records beside it"),
    (START + "x DNAME y\na.b.x A 192.0.2.1", 0, "a.b.x.z.test is below a name that has a DNAME"),
]


@pytest.mark.parametrize(("text", "line", "problem"), REFUSED)
def test_refused(text: str, line: int, problem: str) -> None:
    """Records that are no zone are refused, with the line where there is one."""
    with pytest.raises(ZoneError) as caught:
        Zone.from_text(text, "z.test")
    assert (caught.value.line, caught.value.problem) == (line, problem)


TAKEN = [
    "x CNAME y.test.\nx CNAME y.test.",
    "x CNAME y.test.\nx NSEC y A",
    "x KEY 256 3 8 AQ==\nx CNAME y.test.\nx NSEC y A",
    "x DNAME y\nx A 192.0.2.1",
    "x NS a.test.\ny.x DNAME y\nz.y.x A 192.0.2.1",
    "@ DNAME other.test.",
    "x A 192.0.2.1\nx A 192.0.2.1\nx A 192.0.2.2",
]


@pytest.mark.parametrize("text", TAKEN)
def test_taken(text: str) -> None:
    """What may stand together is taken, and records that are there twice count once."""
    assert Zone.from_text(START + text, "z.test").warnings == ()


def test_records_before_the_soa() -> None:
    """A zone whose name only its SOA says may have records before it."""
    zone = Zone.from_text("x.z.test. 9 A 192.0.2.1\n$ORIGIN z.test.\n" + START)
    assert (zone.name, zone.records) == ("z.test", 3)


TWICE = "ends in the name of the zone twice; is a final dot missing?"

SUSPICIOUS = [
    ("x CNAME x", "x.z.test CNAME: x.z.test leads back to itself"),
    ("*.x CNAME y.x", "*.x.z.test CNAME: y.x.z.test leads back to itself"),
    ("x CNAME y", "x.z.test CNAME: there is no y.z.test in the zone"),
    ("x CNAME y.z.test", "x.z.test CNAME: y.z.test.z.test " + TWICE),
    (
        "x CNAME 192.0.2.1",
        "x.z.test CNAME: 192.0.2.1.z.test is an address, expected the name of a host",
    ),
    (
        "x 9 A 192.0.2.1\nx 8 A 192.0.2.2\nx 9 A 192.0.2.3",
        "x.z.test A: records of one set have several TTLs; the lowest, 8, counts",
    ),
    (
        "x MX 5 y\ny CNAME a.test.",
        "x.z.test MX: y.z.test is a CNAME, expected a host with addresses",
    ),
    (
        "x MX 5 y.w\n*.w CNAME a.test.",
        "x.z.test MX: y.w.z.test is a CNAME, expected a host with addresses",
    ),
    ("x SRV 1 2 3 y", "x.z.test SRV: y.z.test has no address in the zone"),
    ("x SRV 1 2 3 y\na.y A 192.0.2.1", "x.z.test SRV: y.z.test has no address in the zone"),
    ("x MX 5 y.w\n*.w TXT t", "x.z.test MX: y.w.z.test has no address in the zone"),
    (
        "x MX 5 192.0.2.1",
        "x.z.test MX: 192.0.2.1.z.test is an address, expected the name of a host",
    ),
    ("x MX 5 192.0.2.1.", "x.z.test MX: 192.0.2.1 is an address, expected the name of a host"),
    (
        "x MX 5 y.z.test",
        "x.z.test MX: y.z.test.z.test ends in the name of the zone twice; is a final dot missing?",
    ),
    (
        "x.z.test A 192.0.2.1\nx.z.test TXT t",
        "x.z.test.z.test ends in the name of the zone twice; is a final dot missing?",
    ),
    (
        "z.test A 192.0.2.1",
        "z.test.z.test ends in the name of the zone twice; is a final dot missing?",
    ),
    ("x NS y.x", "x.z.test NS: y.x.z.test is in a zone below, and has no address here (glue)"),
    (
        "x NS y.x\ny.x TXT t",
        "x.z.test NS: y.x.z.test is in a zone below, and has no address here (glue)",
    ),
    (
        "@ NS y.x\nx NS a.test.",
        "z.test NS: y.x.z.test is in a zone below, and has no address here (glue)",
    ),
]


@pytest.mark.parametrize(("text", "warning"), SUSPICIOUS)
def test_suspicious(text: str, warning: str, caplog: pytest.LogCaptureFixture) -> None:
    """Hosts that cannot be reached are warned of, in the zone and in the log."""
    assert Zone.from_text(START + text, "z.test").warnings == (warning,)
    assert caplog.messages == [f"zone z.test: {warning}"]


SIGNED = "20300101000000 20200101000000 1 z.test. AQ=="
UNSUSPICIOUS = [
    "x MX 5 y\ny A 192.0.2.1",
    "x MX 5 y\ny AAAA 2001:db8::1",
    "x.z.test. A 192.0.2.1",
    "y.test A 192.0.2.1",
    "x MX 5 y.w\n*.w A 192.0.2.1",
    "x MX 0 .",
    "x MX 5 other.test.",
    "x MX 5 1.2.3.4.5.test.",
    "x MX 5 300.0.2.1.\n",
    "x NS y.x\ny.x A 192.0.2.1",
    "x NS y.w\nw NS a.test.",
    "x MX 5 y.w\nw NS a.test.",
    "x CNAME y\ny CNAME w\nw TXT t",
    "x CNAME y\ny CNAME a.test.",
    "x CNAME y.w\nw NS a.test.",
    "x CNAME y.w\nw DNAME a.test.",
    "x CNAME y.w\n*.w TXT t",
    "x CNAME w\ny.w TXT t",
    "x 9 A 192.0.2.1\nx 8 AAAA ::1",
    f"x 9 RRSIG A 8 2 9 {SIGNED}\nx 8 RRSIG AAAA 8 2 8 {SIGNED}",
]


@pytest.mark.parametrize("text", UNSUSPICIOUS)
def test_unsuspicious(text: str) -> None:
    """Hosts that can be reached, or are others' affair, are not warned of."""
    assert Zone.from_text(START + text, "z.test").warnings == ()


def test_names_in_the_root() -> None:
    """In the root no final dot can be missing."""
    text = "@ 9 SOA a. h. 1 2 3 4 5\n@ 9 NS a.\na 9 A 192.0.2.1"
    assert Zone.from_text(text, ".").warnings == ()


def test_circle_of_aliases() -> None:
    """Aliases that lead in a circle are warned of, each; one that leads into it is not."""
    warnings = Zone.from_text(START + "x CNAME y\ny CNAME w\nw CNAME y", "z.test").warnings
    assert warnings == (
        "x.z.test CNAME: y.z.test leads back to itself",
        "y.z.test CNAME: w.z.test leads back to itself",
    )


def test_long_chain_of_aliases() -> None:
    """It is looked for circles as far as chains are followed."""
    text = "".join(f"x{i} CNAME x{i + 1}\n" for i in range(40)) + "x40 TXT t"
    assert Zone.from_text(START + text, "z.test").warnings == ()


def test_warnings_are_bounded() -> None:
    """A zone that is wrong all over is warned of so often, and no more."""
    text = "".join(f"x{i} MX 5 y{i}\n" for i in range(MOST_WARNINGS + 9))
    assert len(Zone.from_text(START + text, "z.test").warnings) == MOST_WARNINGS


def test_too_many_records_of_a_name() -> None:
    """A set has no more records than a message can count."""
    apex = encode_name("z.test")
    builder = Builder(apex)
    for i in range(MOST_RECORDS + 1):
        builder.add(apex, 1, 60, i.to_bytes(4, "big"))
    builder.add(apex, parse_type("NS"), 60, b"\0")
    builder.add(apex, parse_type("SOA"), 60, bytes(22))
    with pytest.raises(ZoneError) as caught:
        list(builder.steps("path"))
    problem = "z.test has 65536 A records, expected at most 65535"
    assert (caught.value.path, caught.value.problem) == ("path", problem)


def test_ttl_out_of_range_is_none() -> None:
    """A TTL that has its highest bit counts as 0."""
    apex = encode_name("z.test")
    builder = Builder(apex)
    builder.add(apex, 16, 2**31, b"\1x")
    assert builder.take(apex)[16].ttl == 0


def test_too_large() -> None:
    """A zone whose places have no room in 32 bits is refused."""

    class Small(Builder):
        """Takes little."""

        most_bytes = 9

    builder = Small(encode_name("test"))
    builder.add(encode_name("test"), parse_type("NS"), 60, b"\0")
    builder.add(encode_name("test"), parse_type("SOA"), 60, bytes(22))
    with pytest.raises(ZoneError) as caught:
        list(builder.steps("path"))
    assert caught.value.problem == "the zone takes more than 9 bytes"
