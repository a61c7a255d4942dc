"""What an answer costs a DNS server in CPU time, beside Twisted names and servers in native code.

Every server is a process on one core with one thread; dnsperf asks from another core, as fast as it gets
answers, and the servers take turns. Then how long honest clients wait beside hostile ones, and what names and
records take of memory. A peer that is not installed has a row that says so. Run it with
``python benchmarks/answering.py``.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from dns_servers import hostile, native, programs
from dns_servers.contests import Claim, Entry, Job, progress, take_turns
from dns_servers.load import ask_once
from dns_servers.questions import (
    COMPUTED,
    NAMES,
    STATIC,
    WILD,
    Questions,
    many,
    numbered,
    shuffled_case,
    write_zone,
)
from dns_servers.running import Server, resident_bytes, running
from measure import Row, report

if TYPE_CHECKING:
    from collections.abc import Callable


#: Names and records over which memory is measured; figures are for a million.
REMEMBERED, RECORDS = 50_000, 100_000
#: How long honest clients may wait, in seconds: the 99th percentile.
PATIENCE = 0.010


class Bench:
    """All that is to be measured.

    Args:
        folder: For zones, questions and configurations.
        upstream: The port of a server that has an address for every name.
        options: How long and how often.
    """

    def __init__(self, folder: Path, upstream: int, options: argparse.Namespace) -> None:
        self.folder = folder
        self.upstream = upstream
        self.seconds: int = options.seconds
        self.rounds: int = options.rounds
        names = [each.partition(".")[0] for each in numbered(STATIC)]
        self.zone = write_zone(folder / STATIC, STATIC, names)
        self.static = Questions.write(folder, "names", numbered(STATIC))

    def timed(self, job: Job) -> list[Row]:
        """Measure a job and print what came out."""
        job.measure(self.rounds, self.seconds)
        progress("")
        job.show()
        return list(job.rows())

    def static_udp(self) -> list[Row]:
        """Answers that stand in a zone."""
        hot = Questions.write(self.folder, "hot", [f"host1.{STATIC}"])
        case = Questions.write(self.folder, "case", shuffled_case(STATIC))
        ours = programs.ours("static", self.zone)
        entries = [
            Entry("ours, one name", ours, hot),
            Entry("ours", ours, self.static),
            Entry("ours, case at random", ours, case),
            Entry("echo only", programs.floor(), self.static),
            Entry("Unbound", native.unbound(self.folder), self.static),
            Entry("Knot", native.knot(self.folder, {STATIC: self.zone}), self.static),
            Entry("dnsmasq", native.dnsmasq(self.folder), self.static),
            Entry("Twisted", programs.twisted("static", self.zone), self.static),
        ]
        claims = [
            Claim(each, peer, held_to)
            for each in ("ours", "ours, case at random")
            for peer, held_to in (("Unbound", 1.5), ("Twisted", 0.25))
        ]
        claims += [Claim("ours", each) for each in ("Knot", "dnsmasq", "echo only")]
        return self.timed(Job("static", entries, claims))

    def cached(self) -> list[Row]:
        """Answers that were fetched once."""
        asked = Questions.write(self.folder, "cached", numbered(WILD))
        entries = [
            Entry("ours", programs.ours("cached", self.upstream), asked),
            Entry(
                "Unbound", native.unbound_forwarding(self.folder, self.upstream, cache=True), asked
            ),
            Entry("dnsmasq", native.dnsmasq_forwarding(self.upstream, cache=True), asked),
            Entry("Twisted", programs.twisted("cached", self.upstream), asked),
        ]
        claims = [
            Claim("ours", "Unbound", 1.5),
            Claim("ours", "Twisted", 0.25),
            Claim("ours", "dnsmasq"),
        ]
        return self.timed(Job("cached", entries, claims))

    def computed(self) -> list[Row]:
        """Answers that a function works out, for a different name every time."""
        asked = Questions.write(self.folder, "computed", many(COMPUTED))
        entries = [
            Entry("ours, def", programs.ours("computed"), asked),
            Entry("ours, async def", programs.ours("computed-async"), asked),
            Entry("Twisted", programs.twisted("computed"), asked),
        ]
        claims = [Claim("ours, def", "Twisted", 0.4), Claim("ours, async def", "Twisted", 0.55)]
        return self.timed(Job("computed", entries, claims))

    def forwarded(self) -> list[Row]:
        """Answers that another server has, for a different name every time."""
        asked = Questions.write(self.folder, "forwarded", many(WILD))
        entries = [
            Entry("ours", programs.ours("forwarded", self.upstream), asked),
            Entry("dnsmasq", native.dnsmasq_forwarding(self.upstream, cache=False), asked),
            Entry(
                "Unbound", native.unbound_forwarding(self.folder, self.upstream, cache=False), asked
            ),
            Entry("Twisted", programs.twisted("forwarded", self.upstream), asked),
        ]
        claims = [
            Claim("ours", "dnsmasq", 1.15),
            Claim("ours", "Twisted", 0.2),
            Claim("ours", "Unbound"),
        ]
        return self.timed(Job("forwarded", entries, claims))

    def static_tcp(self) -> list[Row]:
        """Answers that stand in a zone, over connections that carry many questions at a time."""
        entries = [
            Entry("ours", programs.ours("static", self.zone), self.static),
            Entry("Knot", native.knot(self.folder, {STATIC: self.zone}), self.static),
            Entry("Twisted", programs.twisted("static", self.zone), self.static),
        ]
        claims = [Claim("ours", "Knot", 0.7), Claim("ours", "Twisted")]
        return self.timed(Job("TCP", entries, claims, tcp=True))

    def hostile(self) -> list[Row]:
        """How long honest clients wait beside hostile ones."""
        servers = [programs.ours("static", self.zone), programs.twisted("static", self.zone)]
        rows = []
        for attack in hostile.ATTACKS:
            what = f"p99 beside {attack}"
            taken = take_turns(what, servers, partial(self._wait, attack))
            rows += [taken.against_limit("ours", PATIENCE), *taken.against_others("ours")]
        return rows

    def _wait(self, attack: str, server: Server) -> float:
        with running(server), hostile.under(attack, server.port):
            waits = partial(hostile.wait_99, server.port, server.known, self.seconds)
            return median(waits() for _ in range(3))

    def memory(self) -> list[Row]:
        """What a million names or records take."""
        return [*self._remembered(), *self._records()]

    def loading(self) -> list[Row]:
        """How long a server stands still while it loads a large zone."""
        path = write_zone(self.folder / "loaded", STATIC, ["host1"], size=RECORDS)
        servers = [programs.ours("static", path), programs.twisted("static", path)]
        taken = take_turns(
            f"longest pause, {RECORDS} records load",
            servers,
            lambda server: median(programs.longest_pause(path, server) for _ in range(3)),
        )
        return taken.against_others("ours")

    def _remembered(self) -> list[Row]:
        names = Questions.write(self.folder, "remembered", many(WILD)[:REMEMBERED])
        servers = [
            programs.ours("cached", self.upstream),
            native.unbound_forwarding(self.folder, self.upstream, cache=True),
            programs.twisted("cached", self.upstream),
        ]
        taken = take_turns("million cached names", servers, partial(_grown, names), unit="B")
        return taken.against_others("ours")

    def _records(self) -> list[Row]:
        small = write_zone(self.folder / "small", STATIC, ["host1"])
        large = write_zone(self.folder / "large", STATIC, ["host1"], size=RECORDS)
        make: list[Callable[[Path], Server]] = [
            lambda path: programs.ours("static", path),
            lambda path: native.knot(self.folder, {STATIC: path}),
            lambda path: programs.twisted("static", path),
        ]
        large_of = {each(small): each(large) for each in make}
        taken = take_turns(
            "million records of a zone",
            list(large_of),
            lambda server: _larger(server, large_of[server]),
            unit="B",
        )
        return taken.against_others("ours")


def _grown(names: Questions, server: Server) -> float:
    """Give the bytes that a million names in a cache take."""
    with running(server) as pid:
        ask_once(server, names.first)
        before = resident_bytes(pid)
        count = ask_once(server, names.path)
        return (resident_bytes(pid) - before) / (count - NAMES) * 1e6


def _larger(small: Server, large: Server) -> float:
    """Give the bytes that a million records in a zone take."""
    sizes = []
    for server in (small, large):
        with running(server) as pid:
            sizes.append(resident_bytes(pid))
    return (sizes[1] - sizes[0]) / RECORDS * 1e6


JOBS: dict[str, Callable[[Bench], list[Row]]] = {
    "static": Bench.static_udp,
    "cached": Bench.cached,
    "computed": Bench.computed,
    "forwarded": Bench.forwarded,
    "tcp": Bench.static_tcp,
    "hostile": Bench.hostile,
    "memory": Bench.memory,
    "loading": Bench.loading,
}


def other_server(folder: Path) -> Server:
    """Give the server that others ask, which has an address for every name: Knot, or ours without it."""
    zone = write_zone(folder / WILD, WILD, ["*"])
    knot = native.knot(folder, {WILD: zone}, is_aside=True)
    return knot if knot.command else programs.ours("static", zone, domain=WILD, is_aside=True)


def main() -> int:
    """Measure, print the table, and give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=1, help="of each measurement (1)")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each server (5)")
    parser.add_argument("--only", nargs="+", choices=JOBS, default=list(JOBS), help="jobs to do")
    options = parser.parse_args()
    load, count = os.getloadavg()[0], os.cpu_count()
    print(
        f"Python {platform.python_version()}, {count} cores, load before {load:.1f}\n", flush=True
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        upstream = other_server(folder)
        with running(upstream):
            bench = Bench(folder, upstream.port, options)
            rows = [row for job in options.only for row in JOBS[job](bench)]
    progress("")
    return report("CPU of a DNS server for each query, waits, and memory", rows)


if __name__ == "__main__":
    sys.exit(main())
