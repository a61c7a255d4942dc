"""Several zones as one resolver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncendpoints.dns.chain import Chain
from asyncendpoints.dns.names import encode_name, format_name
from asyncendpoints.dns.outcome import PASS, Answer, NoData, NXDomain, Outcome, Referral, Response
from asyncendpoints.dns.query import Query
from asyncendpoints.dns.records import Type
from asyncendpoints.dns.zone import Authority
from asyncendpoints.dns.zoneload import Zone
from asyncendpoints.dns.zones import Zones
from asyncendpoints.errors import ZoneError

if TYPE_CHECKING:
    from pathlib import Path

    from asyncendpoints.dns.zonedict import Names

DS = "1 13 2 " + "00" * 32


def zone(origin: str, names: Names) -> Zone:
    """Make a zone."""
    return Zone.from_dict(origin, names, ns="ns.other.test.")


@pytest.fixture
def zones() -> Zones:
    """Give a zone, one below it, and another one."""
    child = {"www": {"A": "192.0.2.2"}, "up": {"CNAME": "www.z.test."}}
    other = {
        "back": {"CNAME": "loop.z.test."},
        "none": {"CNAME": "nope.z.test."},
        "far": {"CNAME": "far.test."},
        **{f"c{i}": {"CNAME": f"c{i + 1}.z.test."} for i in range(0, 40, 2)},
    }
    parent = {
        "www": {"A": "192.0.2.1"},
        "sub": {"NS": "ns.other.test.", "DS": DS},
        "cut": {"NS": "ns.other.test."},
        "down": {"CNAME": "www.sub"},
        "below": {"CNAME": "x.cut"},
        "loop": {"CNAME": "back.y.test."},
        "none": {"CNAME": "none.y.test."},
        "far": {"CNAME": "far.y.test."},
        "out": {"CNAME": "a.test."},
        "round": {"CNAME": "up.sub"},
        **{f"c{i}": {"CNAME": f"c{i + 1}.y.test."} for i in range(1, 40, 2)},
    }
    return Zones(zone("z.test", parent), zone("y.test", other), zone("sub.z.test", child))


def resolve(zones: Zones, name: str, qtype: str = "A") -> Outcome:
    """Ask a question."""
    return zones.resolve(Query.make(name, qtype))


@pytest.mark.parametrize(
    ("name", "kind", "count"),
    [
        ("www.z.test", Answer, 1),
        ("www.sub.z.test", Answer, 1),
        ("nope.sub.z.test", NXDomain, 0),
        ("x.cut.z.test", Referral, 0),
        ("sub.z.test", NoData, 0),
        ("down.z.test", Answer, 2),
        ("round.z.test", Answer, 3),
        ("none.z.test", NXDomain, 2),
        ("below.z.test", Referral, 1),
        ("loop.z.test", Answer, 2),
    ],
)
def test_where_names_belong(zones: Zones, name: str, kind: type[Response], count: int) -> None:
    """The longest zone answers, and aliases are followed from one to the next."""
    outcome = resolve(zones, name)
    assert type(outcome) is kind
    assert isinstance(outcome, Response)
    assert len(outcome.answer) == count
    assert outcome.target is None
    assert outcome.rcode == kind.code


def test_records_of_the_right_zone(zones: Zones) -> None:
    """A name in a zone below is not answered from the one above."""
    outcome = resolve(zones, "www.sub.z.test")
    assert isinstance(outcome, Answer)
    assert outcome.answer[0].rdatas == (bytes([192, 0, 2, 2]),)


def test_authority_of_the_last_name(zones: Zones) -> None:
    """What is not there at the end of aliases is told by the zone of the last name."""
    outcome = resolve(zones, "none.z.test")
    assert isinstance(outcome, NXDomain)
    assert outcome.aa
    assert format_name(outcome.authority[0].owner) == "z.test"


@pytest.mark.parametrize("name", ["x.test", "test", "."])
def test_other_names_are_passed(zones: Zones, name: str) -> None:
    """Names in none of the zones are passed."""
    assert resolve(zones, name) is PASS


def test_ds_is_the_upper_zones(zones: Zones) -> None:
    """The DS records of a zone are those of the zone above, if that is here."""
    assert isinstance(resolve(zones, "sub.z.test", "DS"), Answer)
    outcome = resolve(zones, "z.test", "DS")
    assert isinstance(outcome, NoData)
    assert format_name(outcome.authority[0].owner) == "z.test"


def test_ds_behind_an_alias(zones: Zones) -> None:
    """The DS records of a zone are those of the zone above behind an alias too."""
    other = zone("x.test", {"a": {"CNAME": "sub.z.test."}})
    outcome = resolve(Zones(other, *zones.zones), "a.x.test", "DS")
    assert isinstance(outcome, Answer)
    assert [each.rtype for each in outcome.answer] == [Type.CNAME, Type.DS]


def test_ds_of_the_root() -> None:
    """There is nothing above the root."""
    zones = Zones(zone(".", {}))
    assert isinstance(resolve(zones, ".", "DS"), NoData)


@pytest.mark.parametrize(
    ("name", "target", "count"), [("out.z.test", "a.test", 1), ("far.z.test", "far.test", 2)]
)
def test_alias_out_of_all_zones(zones: Zones, name: str, target: str, count: int) -> None:
    """An alias that leads out of the zones says what is to be followed."""
    outcome = resolve(zones, name)
    assert isinstance(outcome, Answer)
    assert outcome.target == encode_name(target)
    assert len(outcome.answer) == count


def test_many_links(zones: Zones) -> None:
    """A long chain of aliases through the zones ends, and nobody is to follow it."""
    outcome = resolve(zones, "c1.z.test")
    assert isinstance(outcome, Answer)
    assert 12 <= len(outcome.answer) <= 14
    assert outcome.target is None


def test_shared_outcomes_stay_as_they_are(zones: Zones) -> None:
    """The outcome that a zone has ready is not changed by who follows it."""
    (first, *_) = zones.zones
    before = first.resolve(Query.make("loop.z.test", "A"))
    resolve(zones, "loop.z.test")
    assert isinstance(before, Answer)
    assert before.target == encode_name("back.y.test")
    assert first.resolve(Query.make("loop.z.test", "A")) is before


def test_no_two_of_a_name() -> None:
    """Two zones of the same name are an error."""
    with pytest.raises(ValueError, match=r"^there are two zones z\.test$"):
        Zones(zone("z.test", {}), zone("Z.test", {}))


def test_only_zones() -> None:
    """What is no zone is an error."""
    with pytest.raises(TypeError, match=r"^this is for zones, which 'x' is not$"):
        Zones("x")  # type: ignore[arg-type]  # which is what is tested


def test_version(zones: Zones) -> None:
    """The version is another when a zone has changed."""
    before = zones.version
    found = zones.find(encode_name("y.test"))
    assert isinstance(found, Zone)
    found.replace(zone("y.test", {}))
    assert zones.version != before


def test_version_is_not_counted_anew(zones: Zones) -> None:
    """As long as no zone has changed, the version is the same object, however many zones there are."""
    assert zones.version is zones.version


async def test_reload(tmp_path: Path) -> None:
    """All zones of files are reloaded, those that cannot be stay, and all errors are told."""
    made: list[Authority] = [zone("y.test", {})]
    for name in ("a.test", "b.test", "c.test"):
        path = tmp_path / name
        path.write_text("$TTL 9\n@ SOA n. h. 1 2 3 4 5\n@ NS n.\n")
        made.append(Zone.from_file(path, name))
        path.write_text("" if name != "c.test" else path.read_text() + "x A 192.0.2.1\n")
    zones = Zones(*made, Authority(zone(".", {})._table))
    with pytest.raises(ZoneError) as caught:
        await zones.reload()
    assert caught.value.path == str(tmp_path / "a.test")
    assert caught.value.__notes__ == [f"{tmp_path / 'b.test'}: the zone has no SOA"]
    assert isinstance(resolve(zones, "x.c.test"), Answer)
    (tmp_path / "a.test").write_text((tmp_path / "c.test").read_text())
    (tmp_path / "b.test").write_text((tmp_path / "c.test").read_text())
    await zones.reload()
    assert isinstance(resolve(zones, "x.a.test"), Answer)


async def test_context(zones: Zones) -> None:
    """Zones are closed by their context, and can be used again."""
    async with zones as entered:
        assert entered is zones
    assert isinstance(resolve(zones, "www.z.test"), Answer)
    assert repr(Zones(zone("z.test", {}))) == "Zones(<Zone z.test of 2 records>)"


class Passing:
    """A resolver that passes."""

    def resolve(self, query: Query, /) -> Outcome:
        return PASS


def test_chain_joins_zones() -> None:
    """In a chain zones that follow each other are one resolver, whatever their order."""
    upper, lower = zone("z.test", {"sub": {"NS": "a.test."}}), zone("sub.z.test", {})
    alone = zone("y.test", {})
    chain = Chain(upper, lower, Passing(), alone)
    first, _, last = chain.resolvers
    assert isinstance(first, Zones)
    assert first.zones == (upper, lower)
    assert last is alone
    assert isinstance(chain.resolve(Query.make("x.sub.z.test", "A")), NXDomain)
    assert isinstance(chain.resolve(Query.make("x.y.test", "A")), NXDomain)
    assert chain.version == ((1, 1),)
