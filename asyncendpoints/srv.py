"""The order in which the targets of a service are tried.

Pure: chance comes in as ``draw``.

The draw of the RFC runs from 0 to the sum of the weights, both included, so that there is one number more
than there are units of weight. That one goes to the first record with weight 0, or, where there is none, to
whichever record is first in the answer: of two records with weight 1 the first has two numbers of three, and
of records that all have weight 0 the first is always first. `order_srv` is the RFC to the letter. `shuffle`
the records before it, as the ``srv`` kind does, and that number is no record's own: two records with weight 1
have a half each, and so have two with weight 0. `first_shares` counts it so.

Source: RFC 2782.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["first_shares", "order_srv", "shuffle"]


class Weighted(Protocol):
    """What the order depends on; SRV records of dnspython have it."""

    @property
    def priority(self) -> int:
        """0 to 65535; lower ones are tried first."""

    @property
    def weight(self) -> int:
        """0 to 65535: the share of this record among those of its priority."""


T = TypeVar("T")
S = TypeVar("S", bound=Weighted)


def order_srv(records: Iterable[S], draw: Callable[[int], int]) -> list[S]:
    """Order SRV records as a client is to try them.

    >>> import dns.rrset
    >>> rrset = dns.rrset.from_text("_x._tcp.test.", 60, "IN", "SRV", "2 0 1 c.", "1 0 1 b.", "1 9 1 a.")
    >>> [str(each.target) for each in order_srv(rrset, lambda total: total)]
    ['a.', 'b.', 'c.']

    It takes n log n steps for n records of one priority.

    Args:
        records: In any order; equal ones are all kept.
        draw: Gives a number from 0 to the one that it is given, both included, all of them with the same
            chance. It is called once for each record, with the sum of the weights that are left.

    Returns:
        Every record once.

    Source: RFC 2782, page 3, "Weight".
    """
    ordered: list[S] = []
    for group in _by_priority(records):
        ordered += _picked(group, draw)
    return ordered


def shuffle(values: Iterable[T], draw: Callable[[int], int]) -> list[T]:
    """Put values into a random order, each with the same chance.

    Args:
        values: Any.
        draw: As for `order_srv`; called once for each value but the first.
    """
    shuffled = list(values)
    for last in range(len(shuffled) - 1, 0, -1):
        other = draw(last)
        shuffled[last], shuffled[other] = shuffled[other], shuffled[last]
    return shuffled


def first_shares(records: Sequence[Weighted]) -> list[Fraction]:
    """Give the share of choices in which each record comes first among those of its priority.

    >>> from collections import namedtuple
    >>> SRV = namedtuple("SRV", "priority weight")
    >>> print(*first_shares([SRV(1, 1), SRV(1, 1), SRV(2, 0)]))
    1/2 1/2 1

    Args:
        records: Shuffled before each choice.

    Returns:
        One for each record, in their order. Those of one priority add up to 1.
    """
    shares = {group[0].priority: _shares(group) for group in _by_priority(records)}
    return [shares[each.priority][each.weight] for each in records]


def _shares(group: Sequence[Weighted]) -> dict[int, Fraction]:
    """Give the share of each weight among records of one priority."""
    weights = [each.weight for each in group]
    takers = [each for each in weights if each == 0] or weights
    beyond = dict.fromkeys(takers, Fraction(1, len(takers)))
    numbers = sum(weights) + 1
    return {each: (each + beyond.get(each, Fraction(0))) / numbers for each in set(weights)}


def _by_priority(records: Iterable[S]) -> list[list[S]]:
    """Group records, the lowest priority first, keeping the order within each."""
    groups: dict[int, list[S]] = {}
    for record in records:
        groups.setdefault(record.priority, []).append(record)
    return [groups[each] for each in sorted(groups)]


def _picked(group: list[S], draw: Callable[[int], int]) -> list[S]:
    """Order records of one priority."""
    # In the arrangement of the RFC those without weight are in front: a draw of 0 is theirs, in their order.
    weightless = [each for each in reversed(group) if each.weight == 0]
    weighted = [each for each in group if each.weight]
    sums = _Sums([each.weight for each in weighted])
    picked = []
    for _ in group:
        drawn = draw(sums.total)
        if drawn == 0 and weightless:
            picked.append(weightless.pop())
        else:
            picked.append(weighted[sums.take(max(drawn, 1))])
    return picked


class _Sums:
    """Running sums of weights that are taken out one by one: a binary indexed tree.

    Args:
        weights: 1 or more each.
    """

    def __init__(self, weights: list[int]) -> None:
        self.total = sum(weights)
        self._weights = weights
        #: Each place, from 1 on, holds the sum of as many weights before it as its lowest bit says.
        self._tree = [0, *weights]
        for place in range(1, len(self._tree)):
            above = place + (place & -place)
            if above < len(self._tree):
                self._tree[above] += self._tree[place]

    def take(self, wanted: int) -> int:
        """Give the index of the first weight whose running sum is at least ``wanted``, and take it out.

        Args:
            wanted: 1 to `total`.
        """
        place = 0
        step = 1 << (len(self._tree) - 1).bit_length()
        while step:
            beyond = place + step
            if beyond < len(self._tree) and self._tree[beyond] < wanted:
                place = beyond
                wanted -= self._tree[beyond]
            step >>= 1
        self._remove(place)
        return place

    def _remove(self, index: int) -> None:
        weight = self._weights[index]
        self.total -= weight
        place = index + 1
        while place < len(self._tree):
            self._tree[place] -= weight
            place += place & -place
