"""The table of a cache: what goes when there is no more room."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from asyncendpoints.dns.entry import (
    is_held,
    make_place,
    to_response,
)
from asyncendpoints.dns.names import encode_name
from asyncendpoints.dns.outcome import Answer
from asyncendpoints.dns.records import Type
from asyncendpoints.dns.store import OVERHEAD_BYTES, Table
from tests.dns.test_entry import KEY, a, entry_of

if TYPE_CHECKING:
    from collections.abc import Iterable


def place(number: int, host: str = "h") -> bytes:
    """Give the place of a numbered host; all are of one length."""
    return make_place(encode_name(f"{host}{number:05}.example.org"), Type.A, 0)


def filled(names: Iterable[bytes], max_bytes: int = 2**20, ttl: int = 60) -> Table:
    """Give a table with entries at some places."""
    table = Table(max_bytes)
    for each in names:
        table.put(each, entry_of(Answer([a(ttl)])), 0.0)
    return table


def full(ttl: int) -> Table:
    """Give a table with one shard in which there is no more room."""
    table = Table(65_536)
    number = 0
    while table.bytes + 300 < 65_536:
        table.put(place(number), entry_of(Answer([a(ttl)])), 0.0)
        number += 1
    assert not table.evicted
    return table


# Places


# Entries and outcomes


# Time


# The table


def test_get_and_put() -> None:
    """What is put at a place is there, and nowhere else."""
    entry = entry_of(Answer([a(60)]))
    table = Table(2**20)
    table.put(place(1), entry, 0.0)
    assert table.get(place(1)) == entry
    assert table.get(place(2)) is None
    assert len(table) == 1


def test_bytes_are_counted() -> None:
    """The room that entries take is that of their bytes and their overhead, and is given back."""
    table = Table(2**20)
    short, long = entry_of(Answer([a(60)])), entry_of(Answer([a(60), a(60, owner=b"\1x\0")]))
    table.put(place(1), long, 0.0)
    table.put(place(2), short, 0.0)
    table.put(place(1), short, 0.0)
    assert table.bytes == 2 * (len(place(1)) + len(short) + OVERHEAD_BYTES)
    table.remove(place(1))
    table.remove(place(2))
    table.remove(place(2))
    assert (table.bytes, len(table)) == (0, 0)


def test_bounded() -> None:
    """However much is put in, it never takes more than its room, and what came last is there."""
    table = filled(map(place, range(5000)), max_bytes=100_000)
    assert 90_000 < table.bytes <= 100_000
    assert table.evicted == 5000 - len(table)
    assert table.get(place(4999)) is not None
    assert table.get(place(0)) is None


def test_bounded_with_few() -> None:
    """A few large entries are bounded as many small ones are."""
    table = Table(2**20)
    for i in range(100):
        table.put(place(i), entry_of(Answer([a(60)])) + bytes(120_000), 0.0)
    assert len(table) == 8
    assert table.evicted == 92


def test_too_large() -> None:
    """An entry that would take an eighth of the room is not kept, nor what it was to replace."""
    table = filled([place(1)], max_bytes=8 * 8000)
    table.put(place(1), bytes(8001), 0.0)
    assert len(table) == 0
    table.put(place(1), bytes(8000 - OVERHEAD_BYTES - len(place(1))), 0.0)
    assert len(table) == 1


def test_what_is_hit_stays() -> None:
    """A flood of names that are asked for once leaves those there that are asked for again and again."""
    popular = [place(i, "popular") for i in range(50)]
    table = filled(popular, max_bytes=100_000)
    for start in range(0, 20_000, 100):
        for each in popular:
            table.hit(each)
        for i in range(start, start + 100):
            table.put(place(i), entry_of(Answer([a(60)])), 0.0)
    assert all(table.get(each) for each in popular)


def test_what_is_not_hit_any_more_goes() -> None:
    """Hits wear off: what was asked for often, long ago, makes room in the end."""
    popular = [place(i, "popular") for i in range(50)]
    table = filled(popular, max_bytes=100_000)
    for each in popular * 3:
        table.hit(each)
    for i in range(20_000):
        table.put(place(i), entry_of(Answer([a(60)])), 0.0)
    assert not any(table.get(each) for each in popular)


def test_all_are_hit() -> None:
    """Where everything was hit, one goes nevertheless, after a look at few of them."""
    table = full(ttl=60)
    before = dict.fromkeys(table)
    for each in before:
        table.hit(each)
    table.put(place(1000), entry_of(Answer([a(60)])), 0.0)
    assert table.evicted == 1
    spared = [each for each in before if table.get(each) and table.hit(each) == 1]
    assert len(spared) == 64


def test_the_dead_go_first() -> None:
    """An entry whose time is over is not spared because it was hit."""
    table = full(ttl=1)
    for each in list(table):
        table.hit(each)
    table.put(place(1000), entry_of(Answer([a(60)]), now=9.0), 9.0)
    assert table.evicted == 1
    assert [table.hit(each) for each in list(table)[:-1]] == [2] * (len(table) - 1)


def test_hits_are_counted() -> None:
    """Hits count up to three, and from nought again for what takes the place."""
    table = filled([place(1)])
    assert [table.hit(place(1)) for _ in range(5)] == [1, 2, 3, 3, 3]
    table.put(place(1), entry_of(Answer([a(60)])), 0.0)
    assert table.hit(place(1)) == 1


def test_a_hit_changes_nothing_else() -> None:
    """An entry that was hit says what it said."""
    table = filled([place(1)])
    table.hit(place(1))
    entry = table.get(place(1))
    assert entry is not None
    assert to_response(KEY, entry, 0.0).answer == (a(60),)


def test_hold() -> None:
    """For so many seconds nobody is to be asked about an entry, which else says what it said."""
    table = filled([place(1)])
    table.hold(place(1), 10.0, 31)
    entry = table.get(place(1))
    assert entry is not None
    assert [is_held(entry, now) for now in (10.0, 40.9, 41.0)] == [True, True, False]
    assert to_response(KEY, entry, 0.0).answer == (a(60),)


def test_not_held_at_first() -> None:
    """An entry that has just come may be asked about."""
    assert not is_held(entry_of(Answer([a(60)])), 0.0)


def test_hold_of_another_clock() -> None:
    """An entry of another clock can be held, for what that is worth."""
    table = Table(2**20)
    table.put(place(1), entry_of(Answer([a(60)]), now=1000.0), 0.0)
    table.hold(place(1), 0.0, 31)
    assert table.get(place(1)) is not None


def test_sweep() -> None:
    """Entries of which nobody hears again do not stay: those that come sweep them out."""
    table = filled([place(i) for i in range(400)], ttl=1)
    for i in range(128 * 16):
        table.put(place(i, "n"), entry_of(Answer([a(600)]), now=9.0), 9.0)
    assert len(table) == 128 * 16
    assert table.evicted == 0


def test_clear() -> None:
    """Everything can be forgotten at once."""
    table = filled(map(place, range(10)))
    assert table.clear() == 10
    assert (len(table), table.bytes, list(table)) == (0, 0, [])


def test_remove_below() -> None:
    """A name and all below it can be forgotten, and no name that only ends in the same letters."""
    names = ["example.org", "a.example.org", "b.a.example.org", "anexample.org", "org", "a.test"]
    places = [make_place(encode_name(each), qtype, 0) for each in names for qtype in (1, 28)]
    table = filled(places)
    assert table.remove_below(encode_name("example.org")) == 6
    assert sorted(table) == sorted(places[6:])


def test_no_objects() -> None:
    """The garbage collector has nothing to look at in a table, however much is in it."""
    table = filled(map(place, range(1000)))
    gc.collect()
    shards = [each for each in gc.get_referents(table) if isinstance(each, list)]
    inside = [item for shard in shards[0] for pair in shard.items() for item in pair]
    assert len(inside) == 2000
    assert not any(map(gc.is_tracked, inside))
