"""The table of a cache: what is known, and what has to go when there is no more room.

Places and entries are those of `entry`. Pure: who calls says what time it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncendpoints.dns.entry import held, hits_of, is_dead, name_of, with_hits
from asyncendpoints.dns.names import is_subdomain

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Table"]

#: What an entry takes beside its bytes and those of its place: the heads of two objects, what the allocator
#: rounds up, and its share of a dictionary. ``benchmarks/caching.py`` measures it.
OVERHEAD_BYTES: Final = 33 + 33 + 16 + 68

#: How many bytes a shard is meant to hold, so that none takes long to sweep or to grow.
_SHARD_BYTES = 65_536
_MOST_SHARDS = 65_536
#: An entry may take this part of the room.
_LARGEST_SHARE = 8
#: After so many new entries a shard is swept.
_PUTS_FOR_A_SWEEP = 128
#: Hits count up to this: an entry that was hit so often outlives as many rounds.
_MOST_HITS = 3
#: How many entries in turn may be spared because they were hit, before one goes nevertheless.
_MOST_SPARED = 64


class Table:
    """Entries by place, in at most so many bytes.

    When there is no more room, those go first that came first and were not hit since (CLOCK). They stand in
    many small dictionaries, oldest first, so that neither growth nor a sweep takes long at once.

    Args:
        max_bytes: The room, in bytes, all overhead counted.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        shards = 1
        while shards * _SHARD_BYTES < max_bytes and shards < _MOST_SHARDS:
            shards *= 2
        self._shards: list[dict[bytes, bytes]] = [{} for _ in range(shards)]
        self._mask = shards - 1
        self._hand = 0
        self._swept = 0
        self._puts = 0
        self._count = 0
        #: How many bytes the entries take.
        self.bytes = 0
        #: How many entries had to make room for others.
        self.evicted = 0

    def __len__(self) -> int:
        return self._count

    def get(self, place: bytes) -> bytes | None:
        """Give the entry at a place, whatever its age."""
        return self._shards[hash(place) & self._mask].get(place)

    def put(self, place: bytes, entry: bytes, now: float) -> None:
        """Put an entry at a place, and make room for it.

        Args:
            place: As `make_place` gives it.
            entry: As `encode_entry` gives it. One that is too large is not kept.
            now: Loop time, in seconds, for the sweep.
        """
        self.remove(place)  # so that it stands last, as the newest
        size = _size(place, entry)
        if size * _LARGEST_SHARE > self._max_bytes:
            return
        self._shards[hash(place) & self._mask][place] = entry
        self._count += 1
        self.bytes += size
        while self.bytes > self._max_bytes:
            self._evict(now)
        self._puts += 1
        if not self._puts % _PUTS_FOR_A_SWEEP:
            self._sweep(now)

    def remove(self, place: bytes) -> None:
        """Forget what is at a place, if anything is."""
        entry = self._shards[hash(place) & self._mask].pop(place, None)
        if entry is not None:
            self._count -= 1
            self.bytes -= _size(place, entry)

    def hit(self, place: bytes) -> int:
        """Note that an entry that is there was of use, and give how often it was since it came, up to 3."""
        shard = self._shards[hash(place) & self._mask]
        entry = shard[place]
        hits = hits_of(entry)
        if hits < _MOST_HITS:
            hits += 1
            shard[place] = with_hits(entry, hits)
        return hits

    def hold(self, place: bytes, now: float, seconds: int) -> None:
        """Note that for so many seconds nobody is to be asked again about an entry that is there."""
        shard = self._shards[hash(place) & self._mask]
        shard[place] = held(shard[place], now, seconds)

    def clear(self) -> int:
        """Forget everything, and give how much it was."""
        count = self._count
        for shard in self._shards:
            shard.clear()
        self._count = self.bytes = 0
        return count

    def remove_below(self, key: bytes) -> int:
        """Forget a name and all below it, and give how many entries those were. This looks at every entry."""
        # Most do not end alike, which costs less to find out.
        alike = [place for place in self if place.endswith(key, 0, -4)]
        found = [place for place in alike if is_subdomain(name_of(place), key)]
        for place in found:
            self.remove(place)
        return len(found)

    def __iter__(self) -> Iterator[bytes]:
        for shard in self._shards:
            yield from shard

    def _evict(self, now: float) -> None:
        """Take away one entry of those that came first and were not hit since, if it is found soon."""
        spared = 0
        while True:
            shard = self._next_shard()
            place = next(iter(shard))
            entry = shard[place]
            hits = hits_of(entry)
            if not hits or spared == _MOST_SPARED or is_dead(entry, now):
                self.remove(place)
                self.evicted += 1
                return
            del shard[place]
            shard[place] = with_hits(entry, hits - 1)
            spared += 1

    def _next_shard(self) -> dict[bytes, bytes]:
        """Give the next shard that is not empty; there is one."""
        while True:
            self._hand = (self._hand + 1) & self._mask
            shard = self._shards[self._hand]
            if shard:
                return shard

    def _sweep(self, now: float) -> None:
        """Forget what is of no more use in the next shard."""
        self._swept = (self._swept + 1) & self._mask
        shard = self._shards[self._swept]
        for place in [place for place, entry in shard.items() if is_dead(entry, now)]:
            self.remove(place)


def _size(place: bytes, entry: bytes) -> int:
    return len(place) + len(entry) + OVERHEAD_BYTES
