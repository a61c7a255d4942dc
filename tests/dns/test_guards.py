"""Guards: who may ask."""

from __future__ import annotations

from typing import Any

import pytest

from asyncendpoints.dns.codes import EDECode, Rcode
from asyncendpoints.dns.guards import (
    REFUSED,
    AddressGuard,
    Allow,
    Drop,
    Guard,
    Refuse,
    check_guards,
)
from asyncendpoints.dns.outcome import DROP, NoData, Outcome
from asyncendpoints.dns.query import Query


def test_guard_lets_through() -> None:
    """The base of guards has no outcome of its own, and leaves that of the resolvers alone."""
    query, outcome = Query.make("a.test", "A"), NoData()
    assert Guard().before(query) is None
    assert Guard().after(query, outcome) is outcome


def test_refusal() -> None:
    """Who may not ask is told so, in a code and in an extended error."""
    assert REFUSED.rcode == Rcode.REFUSED
    assert REFUSED.ede is not None
    assert REFUSED.ede.code == EDECode.PROHIBITED


NETWORKS = ("10.0.0.0/8", "192.0.2.7", "2001:db8::/32")

INSIDE = ("10.1.2.3", "192.0.2.7", "2001:db8::1", "::ffff:10.1.2.3", "2001:db8::1%eth0")
OUTSIDE = ("11.0.0.1", "192.0.2.8", "2001:db9::1", "::ffff:11.0.0.1", "::1")


@pytest.mark.parametrize(
    ("guard", "inside", "outside"),
    [
        (Allow(*NETWORKS), None, REFUSED),
        (Allow(*NETWORKS, otherwise=DROP), None, DROP),
        (Refuse(*NETWORKS), REFUSED, None),
        (Drop(*NETWORKS), DROP, None),
    ],
    ids=repr,
)
def test_verdict(guard: AddressGuard, inside: Outcome | None, outside: Outcome | None) -> None:
    """Each list judges those in its networks, mapped and scoped addresses too, and those outside."""
    assert {guard.verdict(each) for each in INSIDE} == {inside}
    assert {guard.verdict(each) for each in OUTSIDE} == {outside}


@pytest.mark.parametrize("make", [Allow, Refuse, Drop])
def test_client_without_an_address(make: type[Allow | Refuse | Drop]) -> None:
    """Who comes over a unix socket is let through by every list."""
    assert make("0.0.0.0/0", "::/0").verdict(None) is None


def test_empty_lists() -> None:
    """Nobody is on a list without networks."""
    assert Refuse().verdict("192.0.2.1") is None
    assert Drop().verdict("192.0.2.1") is None


def test_nobody_is_allowed() -> None:
    """A list that would let nobody through is a mistake."""
    with pytest.raises(ValueError, match="lets nobody through"):
        Allow()


def test_otherwise_is_an_outcome() -> None:
    """What the others get is an outcome, and not its name."""
    with pytest.raises(TypeError, match="otherwise is an outcome such as DROP, not 'DROP'"):
        Allow("10.0.0.0/8", otherwise="DROP")  # type: ignore[arg-type]  # what a type checker says too


@pytest.mark.parametrize(
    ("guards", "problem"),
    [
        (Allow("::/0"), "guards is a list of guards, not Allow('::/0')"),
        ("10.0.0.0/8", "guards is a list of guards, not '10.0.0.0/8'"),
        (["10.0.0.0/8"], "a guard is one such as Allow('10.0.0.0/8'), not '10.0.0.0/8'"),
        ([Guard], "Guard is a class; did you mean Guard()?"),
    ],
)
def test_no_guards(guards: Any, problem: str) -> None:
    """What is no list of guards is refused, and the error says what may have been meant."""
    with pytest.raises(TypeError) as caught:
        check_guards(guards)
    assert str(caught.value) == problem


def test_guards() -> None:
    """Guards of both kinds pass."""
    check_guards((Allow("::/0"), Guard()))


@pytest.mark.parametrize("make", [Allow, Refuse, Drop])
def test_what_is_no_network(make: type[Allow | Refuse | Drop]) -> None:
    """A text that is no network is an error that shows it."""
    with pytest.raises(ValueError, match=r"10\.0\.0\.1/8"):
        make("192.0.2.1", "10.0.0.1/8")


def test_repr() -> None:
    """The repr shows the networks."""
    assert repr(Drop("10.0.0.0/8", "::1")) == "Drop('10.0.0.0/8', '::1/128')"
