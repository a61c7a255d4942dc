"""The order of targets: RFC 2782 as arithmetic, over every draw."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import accumulate, permutations, product
from typing import TYPE_CHECKING, NamedTuple

import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints.srv import first_shares, order_srv, shuffle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Record(NamedTuple):
    """What an order depends on, and something to tell equal ones apart."""

    name: str
    priority: int
    weight: int


class Draws:
    """Gives prepared numbers, and remembers what they were to be drawn from."""

    def __init__(self, *numbers: int) -> None:
        self._numbers = list(numbers)
        self.totals: list[int] = []

    def __call__(self, total: int) -> int:
        self.totals.append(total)
        return self._numbers.pop(0)


def weighing(*weights: int) -> list[Record]:
    """Make records of one priority, called a, b, c."""
    return [Record("abcdefgh"[place], 10, weight) for place, weight in enumerate(weights)]


def names(records: list[Record]) -> str:
    """Write an order."""
    return "".join(each.name for each in records)


def every_order(order: Callable[[Callable[[int], int]], list[Record]]) -> Iterator[tuple[str, int]]:
    """Give each result that draws can lead to, with 1 over its chance: every draw is walked over."""

    def walk(drawn: list[int]) -> Iterator[tuple[str, int]]:
        totals: list[int] = []

        def draw(total: int) -> int:
            totals.append(total)
            return drawn[len(totals) - 1] if len(totals) <= len(drawn) else 0

        result = names(order(draw))
        if len(totals) == len(drawn):
            chance = 1
            for total in totals:
                chance *= total + 1
            yield result, chance
            return
        for number in range(totals[len(drawn)] + 1):
            yield from walk([*drawn, number])

    return walk([])


def chances(order: Callable[[Callable[[int], int]], list[Record]]) -> dict[str, Fraction]:
    """Give the chance of each result."""
    found: dict[str, Fraction] = {}
    for result, chance in every_order(order):
        found[result] = found.get(result, Fraction(0)) + Fraction(1, chance)
    return found


@pytest.mark.parametrize(
    ("weights", "drawn", "totals", "order"),
    [
        ((10, 20), (0, 20), [30, 20], "ab"),
        ((10, 20), (10, 20), [30, 20], "ab"),
        ((10, 20), (11, 0), [30, 10], "ba"),
        ((10, 20), (30, 10), [30, 10], "ba"),
        ((9, 0), (0, 9), [9, 9], "ba"),
        ((9, 0), (1, 0), [9, 0], "ab"),
        ((0, 0, 0), (0, 0, 0), [0, 0, 0], "abc"),
        ((0, 5, 0), (0, 0, 0), [5, 5, 5], "acb"),
        ((0, 5, 0), (5, 0, 0), [5, 0, 0], "bac"),
        ((1, 2, 3, 4), (6, 4, 1, 2), [10, 7, 3, 2], "cdab"),
        ((7,), (3,), [7], "a"),
        ((), (), [], ""),
    ],
)
def test_running_sums(
    weights: tuple[int, ...], drawn: tuple[int, ...], totals: list[int], order: str
) -> None:
    """Records without weight come first; the first running sum that reaches the number is picked."""
    draws = Draws(*drawn)
    assert names(order_srv(weighing(*weights), draws)) == order
    assert draws.totals == totals


def test_priorities_come_first() -> None:
    """However much weight a record has, those of a lower priority are before it."""
    records = [Record("c", 2, 0), Record("d", 30, 9), Record("a", 1, 0), Record("b", 1, 65535)]
    draws = Draws(65535, 0, 0, 9)
    assert names(order_srv(records, draws)) == "bacd"
    assert draws.totals == [65535, 0, 0, 9]


@pytest.mark.parametrize(
    ("weights", "first"),
    [
        ((10, 20), {"a": Fraction(11, 31), "b": Fraction(20, 31)}),
        ((1, 1), {"a": Fraction(2, 3), "b": Fraction(1, 3)}),
        ((9, 0), {"a": Fraction(9, 10), "b": Fraction(1, 10)}),
        ((0, 0), {"a": Fraction(1)}),
        ((0, 3, 0, 1), {"a": Fraction(1, 5), "b": Fraction(3, 5), "d": Fraction(1, 5)}),
    ],
)
def test_shares_of_the_rfc(weights: tuple[int, ...], first: dict[str, Fraction]) -> None:
    """Over every draw, the number beyond the weights is that of the first without weight, or of the first."""
    counted: dict[str, Fraction] = {}
    for order, chance in chances(lambda draw: order_srv(weighing(*weights), draw)).items():
        counted[order[0]] = counted.get(order[0], Fraction(0)) + chance
    assert counted == first


def test_the_whole_distribution() -> None:
    """Over every draw, each order has the chance of its picks, one after the other."""
    assert chances(lambda draw: order_srv(weighing(1, 2, 0), draw)) == {
        "cab": Fraction(1, 4) * Fraction(2, 4),
        "cba": Fraction(1, 4) * Fraction(2, 4),
        "acb": Fraction(1, 4) * Fraction(1, 3),
        "abc": Fraction(1, 4) * Fraction(2, 3),
        "bca": Fraction(2, 4) * Fraction(1, 2),
        "bac": Fraction(2, 4) * Fraction(1, 2),
    }


def test_records_of_dnspython() -> None:
    """SRV records as a lookup gives them can be ordered."""
    rrset = dns.rrset.from_text("_x._tcp.t.", 60, "IN", "SRV", "1 0 5 a.", "0 0 6 b.", "1 0 7 a.")
    ordered = order_srv(rrset, lambda _: 0)
    assert [each.port for each in ordered] == [6, 5, 7]


def test_equal_records_are_kept() -> None:
    """Records that are equal in everything are each there."""
    same = Record("a", 1, 5)
    assert order_srv([same, same, same], lambda total: total) == [same, same, same]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0, 0, 1, 2, 7, 65535])), max_size=40),
    st.data(),
)
def test_every_record_once(values: list[tuple[int, int]], data: st.DataObject) -> None:
    """Whatever is drawn, each record is there once, one draw for each, from the weights that are left."""
    records = [Record(str(place), *each) for place, each in enumerate(values)]
    totals: list[int] = []

    def draw(total: int) -> int:
        totals.append(total)
        return data.draw(st.integers(0, total))

    ordered = order_srv(records, draw)
    assert Counter(ordered) == Counter(records)
    assert [each.priority for each in ordered] == sorted(each.priority for each in records)
    left = [
        sum(each.weight for each in ordered[place:] if each.priority == one.priority)
        for place, one in enumerate(ordered)
    ]
    assert totals == left


@given(st.lists(st.integers(0, 9), max_size=12), st.data())
def test_as_the_rfc_says_it(weights: list[int], data: st.DataObject) -> None:
    """The order is what the steps of the RFC lead to, done one by one."""
    records = [Record(str(place), 0, weight) for place, weight in enumerate(weights)]
    drawn: list[int] = []

    def draw(total: int) -> int:
        drawn.append(data.draw(st.integers(0, total)))
        return drawn[-1]

    ordered = order_srv(records, draw)
    waiting = sorted(records, key=lambda each: each.weight > 0)
    expected = []
    for number in drawn:
        sums = accumulate(each.weight for each in waiting)
        picked = next(each for each, total in zip(waiting, sums, strict=True) if total >= number)
        waiting.remove(picked)
        expected.append(picked)
    assert ordered == expected


def test_thousands_of_records() -> None:
    """3,000 records of one priority take n log n steps, not n times n."""

    class Counted:
        """A record that counts how often somebody asks for its weight."""

        asked = 0
        priority = 0

        @property
        def weight(self) -> int:
            Counted.asked += 1
            return 3

    records = [Counted() for _ in range(3000)]
    assert set(order_srv(records, lambda total: total // 2)) == set(records)
    assert Counted.asked < 10 * len(records)


# Without a place in the answer


def test_every_arrangement_has_the_same_chance() -> None:
    """Over every draw, a shuffle leads to each order of the values equally often."""
    records = weighing(1, 1, 1)
    assert chances(lambda draw: shuffle(records, draw)) == {
        "".join(each): Fraction(1, 6) for each in permutations("abc")
    }


def test_a_shuffle_leaves_the_values() -> None:
    """What is shuffled stays as it was."""
    records = weighing(1, 2)
    assert shuffle(records, lambda _: 0) == [records[1], records[0]]
    assert records == weighing(1, 2)


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        ((1, 1), "1/2 1/2"),
        ((0, 0), "1/2 1/2"),
        ((0, 0, 2), "1/6 1/6 2/3"),
        ((10, 20), "21/62 41/62"),
        ((9, 0), "9/10 1/10"),
        ((5,), "1"),
        ((0,), "1"),
    ],
)
def test_first_shares(weights: tuple[int, ...], shares: str) -> None:
    """The share of each weight, and of the number beyond the weights where that can go."""
    assert " ".join(map(str, first_shares(weighing(*weights)))) == shares


@pytest.mark.parametrize("weights", list(product((0, 1, 3), repeat=3)))
def test_first_shares_are_those_of_every_draw(weights: tuple[int, ...]) -> None:
    """The shares are what shuffling and ordering lead to, over every draw of both."""
    records = weighing(*weights)
    counted = dict.fromkeys("abc", Fraction(0))
    for order, chance in chances(lambda draw: order_srv(shuffle(records, draw), draw)).items():
        counted[order[0]] += chance
    assert first_shares(records) == list(counted.values())


def test_shares_are_those_within_a_priority() -> None:
    """The records of each priority share a whole, whatever their place."""
    records = [Record("c", 2, 4), Record("a", 1, 1), Record("d", 2, 0), Record("b", 1, 1)]
    assert " ".join(map(str, first_shares(records))) == "4/5 1/2 1/5 1/2"
