"""Servers that do the same, measured in turns; what comes out is printed at once, and held to the design."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from measure import Result, Row, format_figure

from dns_servers.load import ask_once, cost
from dns_servers.running import Missing, Server, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dns_servers.load import Cost
    from dns_servers.questions import Questions

__all__ = ["Claim", "Entry", "Job", "Taken", "progress", "take_turns"]


def progress(text: str) -> None:
    """Say what is being done, on one line that is written again and again."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


class Entry(NamedTuple):
    """A server with what it is asked."""

    what: str
    server: Server
    questions: Questions


class Claim(NamedTuple):
    """What is held against what."""

    ours: str
    peer: str
    held_to: float | None = None


@dataclass
class Job:
    """Servers that do the same, and take turns."""

    name: str
    entries: list[Entry]
    claims: list[Claim]
    tcp: bool = False
    costs: dict[str, list[Cost]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def measure(self, rounds: int, seconds: int) -> None:
        """Let all have their turns; the one that begins changes with each round."""
        with ExitStack() as stack:
            pids = self._started(stack)
            for turn in range(rounds):
                for entry in self._order(turn):
                    progress(f"{self.name}, round {turn + 1} of {rounds}: {entry.what}")
                    self._take(entry, pids[entry.server.port], seconds)

    def _order(self, turn: int) -> list[Entry]:
        first = turn % len(self.entries)
        listed = self.entries[first:] + self.entries[:first]
        return [each for each in listed if each.what not in self.missing]

    def _started(self, stack: ExitStack) -> dict[int, int]:
        """Start the servers, and give their process ids by port."""
        pids: dict[int, int] = {}
        for what, server, questions in self.entries:
            progress(f"{self.name}: starting {what}")
            try:
                if server.port not in pids:
                    pids[server.port] = stack.enter_context(running(server))
                ask_once(server, questions.first, tcp=self.tcp)
            except Missing as why:
                self.missing[what] = str(why)
        return pids

    def _take(self, entry: Entry, pid: int, seconds: int) -> None:
        try:
            taken = cost(entry.server, pid, entry.questions, seconds, tcp=self.tcp)
        except Missing as why:
            self.missing[entry.what] = str(why)
        else:
            self.costs.setdefault(entry.what, []).append(taken)

    def show(self) -> None:
        """Print what each server takes."""
        print(self.name)
        for entry in self.entries:
            if entry.what in self.missing:
                print(f"  {entry.what:26}  {self.missing[entry.what]}")
                continue
            taken = self.costs[entry.what]
            micros = [each.seconds * 1e6 for each in taken]
            rate = median(each.rate for each in taken) / 1000
            print(
                f"  {entry.what:26}{median(micros):8.2f} us{min(micros):8.2f} at best{rate:8.1f} k/s"
            )
        print(flush=True)

    def rows(self) -> Iterator[Row]:
        """Give a row for each claim."""
        for ours, peer, held_to in self.claims:
            what = f"{self.name}: {ours}; {peer}"
            if ours in self.missing:
                yield Row(what, None, held_to, why=f"ours: {self.missing[ours]}")
            elif peer in self.missing:
                yield Row(what, None, why=f"{peer}: {self.missing[peer]}")
            else:
                yield Row(what, self._result(ours, peer), held_to)

    def _result(self, ours: str, peer: str) -> Result:
        """Compare round by round."""
        mine, theirs = ([each.seconds for each in self.costs[what]] for what in (ours, peer))
        ratios = [one / other for one, other in zip(mine, theirs, strict=True)]
        return Result(median(mine), median(theirs), median(ratios))


class Taken(NamedTuple):
    """What was measured of each server, once."""

    what: str
    figures: dict[str, float]
    #: Why others have no figure.
    missing: dict[str, str]
    unit: str

    def against_limit(self, name: str, limit: float) -> Row:
        """Hold a server to a limit."""
        what = f"{self.what}; the limit"
        if name in self.missing:
            return Row(what, None, 1.0, why=f"{name}: {self.missing[name]}")
        figure = self.figures[name]
        return Row(what, Result(figure, limit, figure / limit), 1.0, unit=self.unit)

    def against_others(self, name: str) -> list[Row]:
        """Compare a server with each of the others."""
        others = [each for each in (*self.figures, *self.missing) if each != name]
        return [self._against(name, each) for each in others]

    def _against(self, name: str, other: str) -> Row:
        what = f"{self.what}; {other}"
        for each in (name, other):
            if each in self.missing:
                return Row(what, None, why=f"{each}: {self.missing[each]}")
        one, two = self.figures[name], self.figures[other]
        return Row(what, Result(one, two, one / two), unit=self.unit)


def take_turns(
    what: str, servers: Sequence[Server], measure: Callable[[Server], float], unit: str = "s"
) -> Taken:
    """Measure servers one after another, and print what came out."""
    taken = Taken(what, {}, {}, unit)
    print(what)
    for server in servers:
        progress(f"{what}: {server.name}")
        try:
            taken.figures[server.name] = measure(server)
            text = format_figure(taken.figures[server.name], unit)
        except Missing as why:
            taken.missing[server.name] = text = str(why)
        progress("")
        print(f"  {server.name:26}{text}")
    print(flush=True)
    return taken
