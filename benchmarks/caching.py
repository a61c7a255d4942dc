"""What a cached name costs in memory, in the garbage collector's pauses and in time, beside Twisted's cache.

Each side's memory is measured in a process of its own, by how much that grows, and so are the collector's
pauses. Twisted's cache sets a timer for each entry and cannot be filled with as many names in sensible time:
its figures are those of fewer, for a million. Run it with ``python benchmarks/caching.py``.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from statistics import median
from time import process_time
from typing import TYPE_CHECKING

from measure import Result, Row, format_figure, paired, report
from twisted.internet import reactor
from twisted.names import dns
from twisted.names.cache import CacheResolver

from asyncendpoints.dns.cache import Cache
from asyncendpoints.dns.outcome import Answer
from asyncendpoints.dns.query import Query
from asyncendpoints.dns.records import LONGEST_TTL, Records, Type
from asyncendpoints.dns.sections import Sections, encode_body

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MILLION = 1_000_000
#: How many names Twisted's cache is filled with.
PEER_NAMES = 100_000
#: The parts of Twisted's time that a hit may take, and of its memory that a name may.
HIT, MEMORY = 1 / 4, 1 / 4


#: One address, which looks the same after each question.
RECORD = Records(b"\x01a\x04test\x00", Type.A, LONGEST_TTL, (b"\xc0\x00\x02\x01",))
BODY = encode_body(RECORD.owner, Sections((RECORD,)))


class Upstream:
    """A resolver that has an address for every name, as bytes, as it would come from the network."""

    def resolve(self, query: Query) -> Answer:
        return Answer.of_body(query.key, BODY)


def our_cache() -> Cache:
    """Make a cache with room for all names."""
    return Cache(Upstream(), max_bytes=2**30, max_ttl=LONGEST_TTL)


def key(number: int) -> bytes:
    """Give the name of a host in wire form, all of one length."""
    return b"\x0bhost%07d\x07example\x03org\x00" % number


def add_ours(cache: Cache, number: int) -> None:
    """Let a name be asked for that is not known."""
    cache.resolve(Query(key(number), Type.A, now=1.0))


def add_theirs(cache: CacheResolver, number: int) -> None:
    """Put the records of a name into Twisted's cache, as its server does."""
    name = b"host%07d.example.org" % number
    record = dns.RRHeader(name, dns.A, dns.IN, 3600, dns.Record_A("192.0.2.1", 3600))
    cache.cacheResult(dns.Query(name), ([record], [], []))


def measure_filling(add: Callable[[int], None], names: int) -> dict[str, float]:
    """Give the bytes that a name takes, what it adds to the collector's pause, and the longest new one."""
    idle = collect()
    before = resident_bytes()
    longest = 0.0
    for number in range(names):
        start = process_time()
        add(number)
        longest = max(longest, process_time() - start)
    pause = max(collect() - idle, 0.0)
    taken = resident_bytes() - before
    return {"bytes": taken / names, "pause": pause, "longest": longest}


def resident_bytes() -> int:
    """Give the memory that this process has, in bytes."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * 4096


def collect() -> float:
    """Give how long the garbage collector looks at everything, in seconds."""
    taken = []
    for _ in range(9):
        start = process_time()
        gc.collect()
        taken.append(process_time() - start)
    return median(taken)


def fill(side: str, names: int) -> None:
    """Measure one side in this process, and print the figures."""
    add: Callable[[int], None]
    if side == "ours":
        add = partial(add_ours, our_cache())
    else:
        add = partial(add_theirs, CacheResolver(reactor=reactor))
    print(json.dumps(measure_filling(add, names)))


def filled(side: str, names: int) -> dict[str, float]:
    """Measure one side in a process of its own."""
    command = [sys.executable, __file__, "--side", side, "--names", str(names)]
    figures: dict[str, float] = json.loads(subprocess.check_output(command))
    return figures


def memory(names: int) -> Iterator[Row]:
    """Compare what names take, and what they cost the garbage collector."""
    ours, peer = filled("ours", names), filled("theirs", PEER_NAMES)
    size = Result(ours["bytes"], peer["bytes"], ours["bytes"] / peer["bytes"])
    yield Row("memory for each name", size, MEMORY, unit="B")
    pause, other = ours["pause"] * MILLION / names, peer["pause"] * MILLION / PEER_NAMES
    yield Row("pause for a million names", Result(pause, other, pause / other))
    longest = format_figure(ours["longest"], "s")
    print(
        f"  longest time of one new name, the collector's pauses in this process included: {longest}"
    )


async def speed() -> list[Row]:
    """Compare the time of a hit in one second, of one in the next, and of a new name."""
    cache, peer = our_cache(), CacheResolver(reactor=reactor)
    add_ours(cache, 0)
    add_theirs(peer, 0)
    name = "host0000000.example.org"
    query = Query(key(0), Type.A, now=1.5)
    times = iter(range(2, 1 << 40))

    def age() -> None:
        second = float(next(times))
        cache.resolve(Query(key(0), Type.A, now=second))

    hit = paired(
        partial(cache.resolve, query), partial(peer.lookupAddress, name), clock=process_time
    )
    aged = paired(age, partial(peer.lookupAddress, name), clock=process_time)
    ours, theirs = iter(range(1, 1 << 40)), iter(range(1, 1 << 40))
    new = paired(
        lambda: add_ours(cache, next(ours)),
        lambda: add_theirs(peer, next(theirs)),
        calls=1000,
        clock=process_time,
    )
    return [
        Row("hit", hit, HIT),
        Row("first hit of a second", aged),
        # Twisted's server puts it in; ours is asked for it, and asks another resolver.
        Row("new name", new),
    ]


def main() -> int:
    """Measure, or be the process in which one side is measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", type=int, default=MILLION, help="how many names")
    parser.add_argument("--side", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        fill(options.side, options.names)
        return 0
    rows = [*asyncio.run(speed()), *memory(options.names)]
    return report("A cache of DNS answers; peer: Twisted's CacheResolver", rows)


if __name__ == "__main__":
    sys.exit(main())
