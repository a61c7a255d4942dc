"""The lookup in a zone: each row of what an authority has to say, and a model of RFC 1034, section 4.3.2."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asyncendpoints.dns.names import encode_name, format_name
from asyncendpoints.dns.outcome import (
    PASS,
    Answer,
    NoData,
    NXDomain,
    Outcome,
    Referral,
    Response,
)
from asyncendpoints.dns.query import Query
from asyncendpoints.dns.records import Records, Type, format_type, to_rrset
from asyncendpoints.dns.sections import _cut_large
from asyncendpoints.dns.zone import MOST_LINKS, MOST_READY
from asyncendpoints.dns.zoneload import Zone

if TYPE_CHECKING:
    from asyncendpoints.dns.zonedict import Names

TEXT = """
$TTL 3600
@        7200 SOA ns1 hostmaster 1 7200 900 1209600 300
         NS  ns1
         NS  ns.other.test.
ns1      A   192.0.2.1
         AAAA 2001:db8::1
www      A   192.0.2.80
         A   192.0.2.81
mail     A   192.0.2.25
differ   300 A 192.0.2.7
differ   60  A 192.0.2.8
differ   120 A 192.0.2.9
a.ent    A   192.0.2.2
*.wild   A   192.0.2.3
         MX  5 mail
exists.wild TXT "x"
*.wc     CNAME www
alias    CNAME WWW
chain    CNAME alias
loop1    CNAME loop2
loop2    CNAME loop1
self     CNAME self
out      CNAME www.other.test.
tonx     CNAME nope
tond     CNAME mail
tosub    CNAME x.sub
towild   CNAME q.wild
sub      NS  ns1.sub
         NS  ns1.sub2
         NS  ns1
         NS  ns.other.test.
ns1.sub  A   192.0.2.11
sub2     NS  ns1.sub2
         DS  1 13 2 0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF
ns1.sub2 A   192.0.2.12
deep.sub NS  ns.other.test.
old      DNAME new
a.new    A   192.0.2.20
dout     DNAME other.test.
grow     DNAME a.grow
mx       MX  10 mail
         MX  20 foo.wild
         MX  30 nope
         MX  40 mail.other.test.
srv      SRV 1 2 5060 mail
https    HTTPS 1 mail port=8443
own      HTTPS 1 . alpn=h2
         A   192.0.2.30
gone     HTTPS 0 .
svc      HTTPS 0 own
svcloop1 HTTPS 0 svcloop2
svcloop2 HTTPS 0 svcloop1
svcnone  HTTPS 0 www
unknown  TYPE731 \\# 4 0a000001
ptr      PTR www
"""


@pytest.fixture(scope="module")
def zone() -> Zone:
    """Give the zone of the tests."""
    return Zone.from_text(TEXT, "z.test")


def lookup(zone: Zone, name: str, qtype: str = "A") -> Outcome:
    """Ask for a name in the zone."""
    full = "z.test" if name == "@" else f"{name}.z.test"
    return zone.resolve(Query.make(full, qtype))


def shown(records: tuple[Records, ...]) -> list[str]:
    """Write records as ``owner type data``, without the zone's name."""
    rrsets = list(map(to_rrset, records))
    return [
        f"{rrset.name} {format_type(rrset.rdtype)} {rdata}".replace(".z.test.", "")
        for rrset in rrsets
        for rdata in rrset
    ]


POSITIVE = [
    ("www", "A", ["www A 192.0.2.80", "www A 192.0.2.81"]),
    ("*.wild", "A", ["*.wild A 192.0.2.3"]),
    ("foo.wild", "A", ["foo.wild A 192.0.2.3"]),
    ("a.b.wild", "A", ["a.b.wild A 192.0.2.3"]),
    ("unknown", "TYPE731", [r"unknown TYPE731 \# 4 0a000001"]),
    ("alias", "A", ["alias CNAME WWW", "WWW A 192.0.2.80", "WWW A 192.0.2.81"]),
    ("alias", "CNAME", ["alias CNAME WWW"]),
    ("chain", "CNAME", ["chain CNAME alias"]),
    ("x.wc", "A", ["x.wc CNAME www", "www A 192.0.2.80", "www A 192.0.2.81"]),
    ("towild", "A", ["towild CNAME q.wild", "q.wild A 192.0.2.3"]),
    ("old", "DNAME", ["old DNAME new"]),
    ("a.old", "A", ["old DNAME new", "a.old CNAME a.new", "a.new A 192.0.2.20"]),
    ("a.old", "CNAME", ["old DNAME new", "a.old CNAME a.new"]),
    ("ptr", "PTR", ["ptr PTR www"]),
    ("sub2", "DS", ["sub2 DS 1 13 2 " + "0123456789abcdef" * 4]),
]


@pytest.mark.parametrize(("name", "qtype", "answer"), POSITIVE)
def test_positive(zone: Zone, name: str, qtype: str, answer: list[str]) -> None:
    """What there is comes with authority, over aliases in the zone, and holds as long as the zone does."""
    outcome = lookup(zone, name, qtype)
    assert isinstance(outcome, Answer)
    assert sorted(shown(outcome.answer)) == sorted(answer)
    assert (outcome.rcode, outcome.aa, outcome.until, outcome.target) == (0, True, inf, None)
    assert outcome.authority == ()


NEGATIVE: list[tuple[str, str, type[Response], list[str]]] = [
    ("nope", "A", NXDomain, []),
    ("a.b.c.nope", "A", NXDomain, []),
    ("nope", "TYPE731", NXDomain, []),
    ("www", "MX", NoData, []),
    ("www", "TYPE731", NoData, []),
    ("ent", "A", NoData, []),
    ("b.ent", "A", NXDomain, []),
    ("exists.wild", "A", NoData, []),
    ("x.exists.wild", "A", NXDomain, []),
    ("foo.wild", "AAAA", NoData, []),
    ("wild", "A", NoData, []),
    ("sub", "DS", NoData, []),
    ("@", "DS", NoData, []),
    ("tonx", "A", NXDomain, ["tonx CNAME nope"]),
    ("tond", "AAAA", NoData, ["tond CNAME mail"]),
    ("nope.old", "A", NXDomain, ["old DNAME new", "nope.old CNAME nope.new"]),
    ("old", "A", NoData, []),
]


@pytest.mark.parametrize(("name", "qtype", "kind", "answer"), NEGATIVE)
def test_negative(
    zone: Zone, name: str, qtype: str, kind: type[Response], answer: list[str]
) -> None:
    """What there is not comes with the SOA of the zone, whose TTL is its minimum, after the aliases to it."""
    outcome = lookup(zone, name, qtype)
    assert type(outcome) is kind
    assert outcome.rcode == kind.code
    assert outcome.aa
    assert outcome.until == inf
    assert shown(outcome.answer) == answer
    (soa,) = outcome.authority
    assert (format_name(soa.owner), soa.rtype, soa.ttl) == ("z.test", Type.SOA, 300)


def test_negative_ttl_is_that_of_the_soa_if_lower() -> None:
    """The TTL of a negative answer is that of the SOA where its minimum is higher."""
    zone = Zone.from_text("@ 60 SOA a b 1 2 3 4 300\n@ 60 NS a\na 60 A 192.0.2.1\n", "z.test")
    outcome = lookup(zone, "nope")
    assert isinstance(outcome, NXDomain)
    assert outcome.authority[0].ttl == 60


REFERRALS = [("x.sub", "A"), ("sub", "A"), ("sub", "NS"), ("x.deep.sub", "A"), ("ns1.sub", "A")]


@pytest.mark.parametrize(("name", "qtype"), [*REFERRALS, ("x.sub", "DS"), ("deep.sub", "DS")])
def test_referral(zone: Zone, name: str, qtype: str) -> None:
    """At a cut and below it others have the authority: their NS, their glue, and then that of siblings."""
    outcome = lookup(zone, name, qtype)
    assert isinstance(outcome, Referral)
    assert (outcome.rcode, outcome.aa, outcome.until) == (0, False, inf)
    assert shown(outcome.authority) == [
        "sub NS ns1.sub",
        "sub NS ns1.sub2",
        "sub NS ns1",
        "sub NS ns.other.test.",
    ]
    assert shown(outcome.additional) == [
        "ns1.sub A 192.0.2.11",
        "ns1.sub2 A 192.0.2.12",
        "ns1 A 192.0.2.1",
        "ns1 AAAA 2001:db8::1",
    ]


def test_glue_that_has_to_be_there(zone: Zone) -> None:
    """The glue of hosts below the cut is in the core of the reply, that of others is not."""
    outcome = lookup(zone, "x.sub")
    assert isinstance(outcome, Referral)
    assert outcome.body is not None
    assert outcome.body.counts[4:] == b"\0\4"
    assert outcome.body.core_counts[4:] == b"\0\1"


def test_alias_into_a_zone_below(zone: Zone) -> None:
    """An alias of a name below a cut comes with the referral, and may be followed."""
    outcome = lookup(zone, "tosub")
    assert isinstance(outcome, Answer)
    assert outcome.aa
    assert shown(outcome.answer) == ["tosub CNAME x.sub"]
    assert shown(outcome.authority)[0] == "sub NS ns1.sub"
    assert outcome.target == encode_name("x.sub.z.test")


@pytest.mark.parametrize(
    ("name", "target", "answer"),
    [
        ("out", "www.other.test", ["out CNAME www.other.test."]),
        ("a.dout", "a.other.test", ["dout DNAME other.test.", "a.dout CNAME a.other.test."]),
    ],
)
def test_alias_out_of_the_zone(zone: Zone, name: str, target: str, answer: list[str]) -> None:
    """An alias of a name outside is the answer, and says what is to be followed."""
    outcome = lookup(zone, name)
    assert isinstance(outcome, Answer)
    assert outcome.target == encode_name(target)
    assert shown(outcome.answer) == answer


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("loop1", ["loop1 CNAME loop2", "loop2 CNAME loop1"]),
        ("self", ["self CNAME self"]),
    ],
)
def test_loop_of_aliases(zone: Zone, name: str, answer: list[str]) -> None:
    """A loop of aliases ends where it begins, and nobody is to follow it."""
    outcome = lookup(zone, name)
    assert isinstance(outcome, Answer)
    assert (outcome.rcode, outcome.target) == (0, None)
    assert shown(outcome.answer) == answer


def test_many_links() -> None:
    """A chain of aliases is given up after so many links."""
    names = {f"c{i}": {"CNAME": f"c{i + 1}"} for i in range(40)}
    zone = Zone.from_dict("z.test", names, ns="ns.other.test.")
    outcome = lookup(zone, "c0")
    assert isinstance(outcome, Answer)
    assert len(outcome.answer) == MOST_LINKS + 1
    assert outcome.target is None


def test_dname_that_grows(zone: Zone) -> None:
    """A DNAME that leads to itself ends, and is there once."""
    outcome = lookup(zone, "x.grow")
    assert isinstance(outcome, Answer)
    assert [each.rtype for each in outcome.answer].count(Type.DNAME) == 1
    assert outcome.target is None


@pytest.mark.parametrize(("size", "rcode"), [(59, 0), (60, 6)])
def test_name_that_becomes_too_long(size: int, rcode: int) -> None:
    """A name that a DNAME makes longer than 255 bytes is YXDOMAIN, with the DNAME alone."""
    target = ".".join(["x" * 62] * 3)  # 195 bytes with what follows
    zone = Zone.from_dict("z.test", {"d": {"DNAME": f"{target}.test."}}, ns="ns.other.test.")
    outcome = lookup(zone, f"{'y' * size}.d")
    assert isinstance(outcome, Answer)
    assert (outcome.rcode, outcome.aa) == (rcode, True)
    types = [each.rtype for each in outcome.answer]
    assert types == ([Type.DNAME] if rcode else [Type.DNAME, Type.CNAME])


def test_shared_bodies_have_no_part_of_a_question() -> None:
    """A body that was made for one name is right for another, even if records have the former in them."""
    text = "@ 60 SOA nope h 1 2 3 4 5\n@ 60 NS a.test.\nsub 60 NS ns1.sub\nns1.sub 60 A 192.0.2.1\n"
    zone = Zone.from_text(text, "z.test")
    for one, other in (("nope", "none"), ("ns1.sub", "abc.sub")):
        first, second = lookup(zone, one), lookup(zone, other)
        assert isinstance(first, Response)
        assert isinstance(second, Response)
        assert first.authority == second.authority
        assert first.additional == second.additional


ADDITIONAL = [
    ("@", "NS", ["ns1 A 192.0.2.1", "ns1 AAAA 2001:db8::1"]),
    ("mx", "MX", ["mail A 192.0.2.25", "foo.wild A 192.0.2.3"]),
    ("foo.wild", "MX", ["mail A 192.0.2.25"]),
    ("srv", "SRV", ["mail A 192.0.2.25"]),
    ("https", "HTTPS", ["mail A 192.0.2.25"]),
    ("own", "HTTPS", ["own A 192.0.2.30"]),
    ("gone", "HTTPS", []),
    ("svc", "HTTPS", ['own HTTPS 1 . alpn="h2"', "own A 192.0.2.30"]),
    ("svcloop1", "HTTPS", ["svcloop2 HTTPS 0 svcloop1"]),
    ("svcnone", "HTTPS", ["www A 192.0.2.80", "www A 192.0.2.81"]),
]


@pytest.mark.parametrize(("name", "qtype", "additional"), ADDITIONAL)
def test_additional(zone: Zone, name: str, qtype: str, additional: list[str]) -> None:
    """The addresses of hosts that records name come with them, and what a service is an alias of."""
    outcome = lookup(zone, name, qtype)
    assert isinstance(outcome, Answer)
    assert shown(outcome.additional) == additional


def test_one_ttl(zone: Zone) -> None:
    """A set whose records differ in their TTL has the lowest one."""
    outcome = lookup(zone, "differ")
    assert isinstance(outcome, Answer)
    assert [(each.ttl, len(each.rdatas)) for each in outcome.answer] == [(60, 3)]


@pytest.mark.parametrize("name", ["test", "other.test", "xz.test", "."])
def test_other_names(zone: Zone, name: str) -> None:
    """Names outside of the zone are passed."""
    assert zone.resolve(Query.make(name, "A")) is PASS


def test_known_names_are_ready(zone: Zone) -> None:
    """The outcome of a name that exists is one object, whoever asks."""
    assert lookup(zone, "www") is lookup(zone, "www")
    assert lookup(zone, "www") is not lookup(zone, "mail")
    assert lookup(zone, "www") is not lookup(zone, "www", "TXT")


def test_shared_bodies(zone: Zone) -> None:
    """What there is not, what wildcards stand for and referrals share their bodies."""
    for one, other in (("nope", "none"), ("a.wild", "b.wild"), ("a.sub", "b.sub")):
        first, second = lookup(zone, one), lookup(zone, other)
        assert isinstance(first, Response)
        assert isinstance(second, Response)
        assert first.body is second.body
        assert first.key != second.key


def test_what_is_kept_is_bounded(zone: Zone) -> None:
    """Outcomes, wildcards and referrals that are kept ready are not more than so many."""
    names = {f"n{i}": {"A": "192.0.2.1"} for i in range(MOST_READY + 1)}
    names["*.w"] = {"A": "192.0.2.1"}
    large = Zone.from_dict("z.test", names, ns="ns.other.test.")
    for i in range(MOST_READY + 1):
        lookup(large, f"n{i}")
        large._keep_wild(i, 1, large._negative(large.apex))
        large._referrals[b"", i] = large._negative(large.apex)
    assert large._ready_count == 1
    assert len(large._wild) == 1
    cut = Zone.from_text(TEXT, "z.test")
    cut._referrals = large._referrals
    lookup(cut, "x.sub")
    assert len(cut._referrals) == 1


def test_rotation() -> None:
    """The records of a set come in each order in turn where that is wanted, and nobody remembers them."""
    zone = Zone.from_text(TEXT, "z.test", rotate=True)
    outcomes = [lookup(zone, "alias") for _ in range(4)]
    orders = [shown(each.answer)[1] for each in outcomes if isinstance(each, Answer)]
    assert orders == ["WWW A 192.0.2.81", "WWW A 192.0.2.80"] * 2
    assert {each.until for each in outcomes} == {-inf}
    out = lookup(zone, "out")
    assert isinstance(out, Answer)
    assert out.target == encode_name("www.other.test")
    assert isinstance(lookup(zone, "nope"), NXDomain)


def test_root_zone() -> None:
    """The root is a zone like others."""
    zone = Zone.from_text("@ 60 SOA a.test. b.test. 1 2 3 4 5\n@ 60 NS a.test.\n", ".")
    outcome = zone.resolve(Query.make("nope", "A"))
    assert isinstance(outcome, NXDomain)
    assert outcome.authority[0].owner == b"\0"
    assert zone.name == "."


# The model: names are labels, the nearest to the apex first.

Name = tuple[str, ...]


class Result(NamedTuple):
    """What the model says."""

    rcode: int
    aa: bool
    #: Owner and type of each set in the answer.
    answer: list[tuple[Name, str]]
    #: Owner and type of the set in the authority section, or None.
    authority: tuple[Name, str] | None


class Model:
    """The algorithm as it is written, with no thought of speed."""

    def __init__(self, zone: dict[Name, dict[str, Name]]) -> None:
        self.zone = zone
        self.names = {name[:i] for name in zone for i in range(len(name) + 1)}

    def ask(self, name: Name, qtype: str) -> Result:
        """Answer, over aliases."""
        answer: list[tuple[Name, str]] = []
        seen: set[Name] = set()
        while name not in seen and len(seen) <= MOST_LINKS:
            seen.add(name)
            for i in range(1, len(name) + 1):
                is_ds = qtype == "DS" and i == len(name)
                if "NS" in self.zone.get(name[:i], {}) and not is_ds:
                    return Result(0, bool(answer), answer, (name[:i], "NS"))
            above = next(name[:i] for i in range(len(name), -1, -1) if name[:i] in self.names)
            if above == name:
                found = self.zone.get(name, {})
            elif "DNAME" in self.zone.get(above, {}):
                dname = self.zone[above]["DNAME"]
                if (above, "DNAME") not in answer:
                    answer.append((above, "DNAME"))
                answer.append((name, "CNAME"))
                name = dname + name[len(above) :]
                if qtype == "CNAME":
                    break
                continue
            elif (*above, "*") in self.names:
                found = self.zone.get((*above, "*"), {})
            else:
                return Result(3, True, answer, ((), "SOA"))
            if qtype in found:
                answer.append((name, qtype))
                return Result(0, True, answer, None)
            if "CNAME" not in found:
                return Result(0, True, answer, ((), "SOA"))
            answer.append((name, "CNAME"))
            name = found["CNAME"]
        return Result(0, True, answer, None)


LABELS = st.sampled_from(["a", "b", "c", "*"])
NAMES = st.lists(LABELS, max_size=4).map(tuple)
SETS = st.dictionaries(
    st.sampled_from(["A", "TXT", "CNAME", "NS", "DNAME", "DS"]), NAMES, min_size=1, max_size=2
)
ZONES = st.dictionaries(NAMES, SETS, max_size=8)


def text_of(name: Name) -> str:
    """Write a name of the model."""
    return ".".join([*reversed(name), "z.test."])


def name_of(wire: bytes) -> Name:
    """Read a name of the model."""
    labels = format_name(wire).removesuffix("z.test").strip(".").split(".")
    return tuple(reversed(labels)) if labels != [""] else ()


def data_of(qtype: str, target: Name) -> str:
    """Write data of a type."""
    plain = {"A": "192.0.2.1", "TXT": "text", "DS": "1 13 2 " + "00" * 32}
    return plain.get(qtype, text_of(target))


def pruned(sets: dict[Name, dict[str, Name]]) -> dict[Name, dict[str, Name]]:
    """Leave out what no zone can have."""
    kept: dict[Name, dict[str, Name]] = {}
    for name in sorted(sets, key=len):
        found = dict(sets[name])
        if name[-1:] == ("*",) or not name:
            found.pop("NS", None), found.pop("DNAME", None)
        if "NS" in found:
            found.pop("DNAME", None)
        if "CNAME" in found:
            found = {"CNAME": found["CNAME"]} if name else {}
        if any("DNAME" in kept.get(name[:i], {}) for i in range(len(name))):
            continue
        if found:
            kept[name] = found
    return kept


@example({("a",): {"CNAME": ("b",)}, ("b",): {"CNAME": ("a",)}}, [])
@example({("*",): {"CNAME": ("a", "b")}, ("a",): {"DNAME": ("b", "a")}}, [])
@given(ZONES, st.lists(st.tuples(NAMES, st.sampled_from(["A", "TXT", "NS", "CNAME", "DS"]))))
@settings(max_examples=300)
def test_like_the_model(sets: dict[Name, dict[str, Name]], asked: list[tuple[Name, str]]) -> None:
    """A zone says what the model says."""
    sets = pruned(sets)
    names = {
        text_of(name): {each: data_of(each, target) for each, target in found.items()}
        for name, found in sets.items()
    }
    zone = Zone.from_dict("z.test", names, ns="ns.other.test.")
    apex = {**sets.get((), {}), "NS": (), "SOA": ()}
    model = Model({**sets, (): apex})
    known = [(name, qtype) for name in sets for qtype in ("A", "CNAME")]
    below = [((*name, "a"), "A") for name in sets]
    for name, qtype in [*asked, *known, *below]:
        outcome = zone.resolve(Query.make(text_of(name), qtype))
        assert isinstance(outcome, Response)
        answer = [(name_of(each.owner), format_type(each.rtype)) for each in outcome.answer]
        authority = [(name_of(each.owner), format_type(each.rtype)) for each in outcome.authority]
        result = Result(outcome.rcode, outcome.aa, answer, next(iter(authority), None))
        assert result == model.ask(name, qtype)


@pytest.mark.parametrize("alias", ["x.many", "x.old", "out"])
def test_aliases_of_large_sets(alias: str) -> None:
    """Whoever asks for a name of which there was never talk, its alias is put before what is there."""
    many = [f"10.0.{i // 250}.{i % 250}" for i in range(300)]
    names: Names = {
        "*.many": {"CNAME": "x.new"},
        "*.new": {"A": many},
        "old": {"DNAME": "new"},
        "out": {"CNAME": "b.many"},
    }
    zone = Zone.from_dict("z.test", names, ns="ns.test.")
    outcome = lookup(zone, alias)
    assert isinstance(outcome, Answer)
    assert outcome._sections is None
    assert len(outcome.answer[-1].rdatas) == 300
    before = _cut_large.cache_info().misses
    lookup(zone, f"y{alias}")
    assert _cut_large.cache_info().misses == before
