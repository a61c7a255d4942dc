"""Resolvers made of resolvers: who is asked, whose outcome stands, and how long it holds."""

from __future__ import annotations

import asyncio
import socket
from math import inf
from typing import TYPE_CHECKING, Any

import pytest

from asyncendpoints.addresses import Address
from asyncendpoints.dns.chain import Chain, Composite, Failover, View
from asyncendpoints.dns.codes import Rcode
from asyncendpoints.dns.hosts import Hosts
from asyncendpoints.dns.outcome import (
    DROP,
    PASS,
    TRUNCATED,
    Answer,
    Failure,
    NoData,
    NXDomain,
    Outcome,
)
from asyncendpoints.dns.query import Query
from asyncendpoints.dns.resolver import GIVEN_UP, Pending, ask
from asyncendpoints.dns.zoneload import Zone
from asyncendpoints.dns.zones import Zones
from tests.clock import run

if TYPE_CHECKING:
    from asyncendpoints.dns.resolver import Resolver

QUERY = Query.make("www.a.test", "A")
ONE = Answer.of(QUERY, "192.0.2.1").replace(until=inf)
TWO = Answer.of(QUERY, "192.0.2.2").replace(until=inf)
FAILED = Failure(until=inf)
REFUSED = Failure(Rcode.REFUSED)


class Says:
    """A resolver that gives one thing, and counts how often it is asked and closed."""

    def __init__(self, outcome: Outcome, **attributes: object) -> None:
        self.outcome = outcome
        self.asked = self.closed = self.reloaded = 0
        vars(self).update(attributes)

    def resolve(self, query: Query, /) -> Outcome:
        self.asked += 1
        return self.outcome

    async def aclose(self) -> None:
        self.closed += 1

    async def reload(self) -> None:
        self.reloaded += 1

    def __repr__(self) -> str:
        return "Says()"


class Later(Pending):
    """An outcome that comes when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.abandoned = False

    def abandon(self) -> None:
        self.abandoned = True


def settled(outcome: Outcome) -> Outcome:
    """Give what a pending outcome came to."""
    assert isinstance(outcome, Pending)
    assert outcome.outcome is not None
    return outcome.outcome


# Chain


@pytest.mark.parametrize("outcome", [ONE, NoData(), NXDomain(), FAILED, DROP, TRUNCATED])
def test_first_outcome_stands(outcome: Outcome) -> None:
    """The first outcome other than PASS stands, failures too, and nobody else is asked."""
    last = Says(ONE)
    chain = Chain(Says(PASS, version=1), Says(outcome, version=1), last)
    assert chain.resolve(QUERY) is outcome
    assert last.asked == 0


def test_all_pass() -> None:
    """A chain of those that pass passes, and so does one of nobody."""
    assert Chain(Says(PASS), Says(PASS)).resolve(QUERY) is PASS
    assert Chain().resolve(QUERY) is PASS


def test_exception_in_a_chain() -> None:
    """An exception is a failure, not a pass: the next one is not asked."""
    last = Says(ONE)
    outcome = Chain(View(last, when=dict[Query, Any]().__getitem__), last).resolve(QUERY)
    assert (isinstance(outcome, Failure), last.asked) == (True, 0)


@pytest.mark.parametrize("before", [(), (Says(PASS),)])
@pytest.mark.parametrize("after", [(), (Says(TWO),)])
def test_late_outcome(before: tuple[Says, ...], after: tuple[Says, ...]) -> None:
    """An outcome that has to be waited for stands as another does, wherever it comes from."""
    pending = Later()
    outcome = Chain(*before, Says(pending), *after).resolve(QUERY)
    assert isinstance(outcome, Pending)
    assert outcome.outcome is None
    pending.settle(NoData())
    assert type(settled(outcome)) is NoData


def test_late_pass() -> None:
    """After PASS that had to be waited for the next one is asked, and it can take its time too."""
    first, second, third = Later(), Later(), Says(TWO)
    outcome = Chain(Says(first), Says(second), third).resolve(QUERY)
    first.settle(PASS)
    second.settle(PASS)
    assert settled(outcome).until == -inf
    assert third.asked == 1


def test_late_pass_of_the_last() -> None:
    """If the last one passes late, so does the chain."""
    pending = Later()
    outcome = Chain(Says(PASS), Says(pending)).resolve(QUERY)
    pending.settle(PASS)
    assert settled(outcome) is PASS


def test_abandon() -> None:
    """A chain that nobody waits for tells the one that it waits for, and asks nobody else."""
    pending, last = Later(), Says(ONE)
    outcome = Chain(Says(pending), last).resolve(QUERY)
    assert isinstance(outcome, Pending)
    outcome.abandon()
    pending.settle(PASS)
    assert (pending.abandoned, last.asked, outcome.outcome) == (True, 0, GIVEN_UP)


def test_abandon_later() -> None:
    """It tells the one that it waits for now."""
    first, second = Later(), Later()
    outcome = Chain(Says(first), Says(second)).resolve(QUERY)
    first.settle(PASS)
    assert isinstance(outcome, Pending)
    outcome.abandon()
    assert (first.abandoned, second.abandoned) == (False, True)


def test_cancel_of_failover_asks_nobody_else() -> None:
    """A task that is cancelled because nobody waits is no failure after which another one is asked."""

    class Slow:
        async def resolve(self, query: Query, /) -> Outcome:
            await asyncio.sleep(9)
            return ONE  # pragma: no cover - it is cancelled before

    other = Says(TWO)

    async def main() -> int:
        task = asyncio.ensure_future(_wait(Failover(Slow(), other)))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        await asyncio.sleep(0)
        return len(asyncio.all_tasks())

    assert run(main()) == 1
    assert other.asked == 0


async def _wait(resolver: Resolver) -> Outcome:
    return await ask(resolver, QUERY)


# Failover


@pytest.mark.parametrize("outcome", [ONE, NoData(), NXDomain(), Failure(Rcode.FORMERR), PASS, DROP])
def test_what_is_no_failure_stands(outcome: Outcome) -> None:
    """Whatever is found out stands, PASS too, and failures with other codes."""
    assert Failover(Says(outcome, version=1), Says(TWO)).resolve(QUERY) is outcome


@pytest.mark.parametrize("rcode", [Rcode.SERVFAIL, Rcode.REFUSED, Rcode.NOTIMP])
def test_failover(rcode: int) -> None:
    """After a failure the next one is asked."""
    outcome = Failover(Says(Failure(rcode)), Says(NoData())).resolve(QUERY)
    assert type(outcome) is NoData


def test_codes() -> None:
    """After which codes is a matter of choice."""
    resolver = Failover(
        Says(Failure(Rcode.FORMERR)), Says(REFUSED), Says(ONE), codes=[Rcode.FORMERR]
    )
    assert resolver.resolve(QUERY) is REFUSED


def test_all_fail() -> None:
    """If all fail, the last failure stands, at once or late."""
    assert Failover(Says(FAILED), Says(REFUSED)).resolve(QUERY) is REFUSED
    pending = Later()
    outcome = Failover(Says(FAILED), Says(pending)).resolve(QUERY)
    pending.settle(REFUSED)
    assert settled(outcome) is REFUSED


def test_late_failover() -> None:
    """After a failure that had to be waited for, too."""
    pending = Later()
    outcome = Failover(Says(pending), Says(NXDomain())).resolve(QUERY)
    pending.settle(FAILED)
    assert type(settled(outcome)) is NXDomain


# Views


def from_host(host: str | None) -> Query:
    """Make a query of a client."""
    client = None if host is None else Address(socket.AF_INET6, (host, 5353, 0, 0))
    return Query.make("www.a.test", "A", client=client)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("10.1.2.3", ONE),
        ("::ffff:10.1.2.3", ONE),
        ("192.0.2.1", PASS),
        ("2001:db8::1", PASS),
        (None, PASS),
    ],
)
def test_view(host: str | None, expected: Outcome) -> None:
    """A view is for the clients of its networks; for the others it passes."""
    assert View(Says(ONE, version=1), ["10.0.0.0/8"]).resolve(from_host(host)) is expected


def test_view_of_this_process() -> None:
    """This process counts as 127.0.0.1."""
    assert View(Says(ONE, version=1), ["127.0.0.0/8"]).resolve(QUERY) is ONE


def test_view_by_function() -> None:
    """Or a function says for whom it is."""
    view = View(Says(ONE, version=1), when=lambda query: query.type == "A")
    assert view.resolve(QUERY) is ONE
    assert view.resolve(QUERY.with_type("TXT")) is PASS


def test_late_view() -> None:
    """What a view's resolver finds out late stands, whatever it is."""
    pending = Later()
    outcome = View(Says(pending), ["127.0.0.1"]).resolve(QUERY)
    pending.settle(FAILED)
    assert settled(outcome).rcode == Rcode.SERVFAIL


def test_wrong_network() -> None:
    """What is no network is refused."""
    with pytest.raises(ValueError, match=r"a\.test: is no network"):
        View(Says(ONE), ["a.test"])


@pytest.mark.parametrize("options", [{}, {"clients": ["::/0"], "when": bool}])
def test_view_for_nobody(options: dict[str, Any]) -> None:
    """A view has clients or a function that tells, and not both."""
    with pytest.raises(ValueError, match="a view is for clients, as in View"):
        View(Says(ONE), **options)


# How long an outcome holds


@pytest.mark.parametrize(
    ("resolver", "version"),
    [
        (Chain(), ()),
        (Chain(Says(ONE, version=1), Says(ONE, version="b")), (1, "b")),
        (Chain(Says(ONE, version=1), Says(ONE), Says(ONE, version=3)), (1,)),
        (Chain(Says(ONE), Says(ONE, version=3)), ()),
        (Failover(Says(ONE, version=1), Says(ONE, version=2)), (1,)),
        (Failover(Says(ONE), Says(ONE, version=2)), ()),
        (View(Says(ONE, version=1), ["::/0"]), None),
        (
            Chain(Says(ONE, version=1), View(Says(ONE, version=2), ["::/0"]), Says(ONE, version=3)),
            (1,),
        ),
        (Chain(Chain(Says(ONE, version=1)), Says(ONE, version=2)), ((1,), 2)),
    ],
)
def test_version(resolver: Composite, version: object) -> None:
    """A version is made of those of the first ones, up to one that has none."""
    assert resolver.version == version


def test_version_changes() -> None:
    """When one of theirs changes, so does it."""
    one = Says(ONE, version=1)
    chain = Chain(one)
    before = chain.version
    vars(one)["version"] = 2
    assert chain.version != before


@pytest.mark.parametrize(
    ("resolver", "until"),
    [
        (Chain(Says(ONE, version=1)), inf),
        (Chain(Says(PASS, version=1), Says(ONE, version=1)), inf),
        # Another one could have answered this time.
        (Chain(Says(PASS), Says(ONE, version=1)), -inf),
        (Chain(Says(ONE)), -inf),
        (Failover(Says(ONE, version=1), Says(TWO, version=1)), inf),
        # And may do so the next time.
        (Failover(Says(FAILED, version=1), Says(TWO, version=1)), -inf),
        (Failover(Says(FAILED, version=1), Says(FAILED, version=1)), -inf),
    ],
)
def test_until(resolver: Composite, until: float) -> None:
    """An outcome holds only where everybody who was asked has a version."""
    assert resolver.resolve(QUERY).until == until


@pytest.mark.parametrize(("version", "until"), [(1, inf), (None, -inf)])
def test_until_of_late_outcomes(version: int | None, until: float) -> None:
    """So does one that had to be waited for."""
    pending = Later()
    outcome = Chain(Says(PASS, version=version), Says(pending, version=1)).resolve(QUERY)
    pending.settle(ONE)
    assert settled(outcome).until == until


# What they are made of


@pytest.mark.parametrize("kind", [Chain, Failover])
def test_resolvers(kind: type[Chain | Failover]) -> None:
    """They tell whom they ask, in order, and show them."""
    one, other = Says(ONE), Says(TWO)
    made = kind(one, other)
    assert made.resolvers == (one, other)
    assert repr(made) == f"{kind.__name__}(Says(), Says())"


ZONE = "@ SOA ns root 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n"


def test_zones_become_one() -> None:
    """Zones that follow each other become one, in which their order does not matter; others stay."""
    zones = [Zone.from_text(ZONE, each) for each in ("a.test", "b.test", "c.test")]
    one = Says(PASS)
    made = Chain(zones[0], zones[1], one, zones[2]).resolvers
    assert isinstance(made[0], Zones)
    assert made[0].zones == (zones[0], zones[1])
    assert made[1:] == (one, zones[2])


@pytest.mark.parametrize("wrong", [None, "192.0.2.1", ONE])
def test_no_resolver(wrong: Any) -> None:
    """What has no method to ask is refused when it is built in."""
    with pytest.raises(
        TypeError, match=r"a resolver has a method resolve\(query\), which .* has not"
    ):
        Chain(wrong)


@pytest.mark.parametrize(
    ("resolver", "varies", "recursive"),
    [
        (Chain(Says(ONE), Says(ONE)), False, False),
        (Chain(Says(ONE), Says(ONE, varies=True, recursive=True)), True, True),
        (View(Says(ONE), ["::/0"]), True, False),
        (Failover(View(Says(ONE, recursive=True), ["::/0"])), True, True),
    ],
)
def test_attributes(resolver: Composite, varies: bool, recursive: bool) -> None:
    """What one of them says of itself holds for all; a view depends on who asks."""
    assert (resolver.varies, resolver.recursive) == (varies, recursive)


def test_own_queries() -> None:
    """A query comes from them if it comes from one of them, however deep."""
    own = Says(ONE, is_own=lambda query: query is QUERY)
    other = Query.make("b.test", "A")
    for resolver in (Chain(Says(ONE), own), Failover(View(own, ["::/0"]))):
        assert resolver.is_own(QUERY)
        assert not resolver.is_own(other)
    assert not Chain(Says(ONE)).is_own(QUERY)


async def test_close() -> None:
    """They close those that they are made of."""
    one, other = Says(ONE), Says(TWO)
    async with Chain(one, View(other, ["::/0"])) as chain:
        assert chain.resolve(QUERY) is not None
        assert (one.closed, other.closed) == (0, 0)
    assert (one.closed, other.closed) == (1, 1)


async def test_reload() -> None:
    """Those inside of composites inside of others are reloaded, and what cannot be is passed over."""
    one, other = Says(ONE), Says(TWO)
    await Chain(View(one, ["10.0.0.0/8"]), Hosts.from_text(""), Failover(other)).reload()
    assert (one.reloaded, other.reloaded) == (1, 1)


def test_base_is_for_others() -> None:
    """The base does not say when it goes on."""
    with pytest.raises(NotImplementedError):
        Composite(Says(ONE), Says(ONE))._goes_on(ONE)


def test_who_gives_up_is_not_kept() -> None:
    """A resolver that is waited for knows nothing of a chain whose asker has given up."""
    pending = Pending()
    asking = Chain(Says(pending), Says(PASS)).resolve(QUERY)
    assert isinstance(asking, Pending)
    asking.abandon()
    assert pending._callback is None


def test_who_gives_up_while_others_are_told() -> None:
    """A chain that is given up by who is told the same outcome first goes on with nothing."""
    pending, last = Pending(), Says(NXDomain())
    waiting: list[Pending] = []
    pending.then(lambda _: waiting[0].abandon())
    asking = Chain(Says(pending), last).resolve(QUERY)
    assert isinstance(asking, Pending)
    waiting.append(asking)
    pending.settle(PASS)
    assert (asking.outcome, last.asked) == (GIVEN_UP, 0)
