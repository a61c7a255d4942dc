"""Compare two ways of doing a thing in one run: interleaved pairs, median of the ratios, a table.

The two sides take turns, and the side that goes first changes with each round, so that whatever else the
machine does falls on both. The figure of merit is the median of the ratios of all rounds; absolute times
are printed for the reader only.

A script makes a `Row` for each question and ends with ``sys.exit(report(title, rows))``.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Result", "Row", "format_figure", "interleaved", "paired", "report"]

#: How long one side of a round takes at least, in seconds: the clock then costs nothing beside it.
ROUND_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Result:
    """What a comparison gave. Less is better."""

    #: Median of our side, in seconds for each call.
    ours: float
    #: Median of the peer's side, in seconds for each call.
    peer: float
    #: Median over the rounds of ours divided by the peer's.
    ratio: float


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a report."""

    what: str
    #: None if it could not be measured.
    result: Result | None
    #: The ratio that the design holds this to; None for a line that only informs.
    held_to: float | None = None
    #: Of the figures: ``"s"`` or ``"B"``.
    unit: str = "s"
    #: Why it could not be measured.
    why: str = ""

    @property
    def ok(self) -> bool:
        """Whether the ratio is what it should be; what could not be measured is not."""
        if self.held_to is None:
            return True
        return self.result is not None and self.result.ratio <= self.held_to


def interleaved(ours: Callable[[], float], theirs: Callable[[], float], rounds: int = 30) -> Result:
    """Compare two functions that measure themselves.

    Args:
        ours: Gives one measurement of our side, such as the CPU seconds of a server process.
        theirs: Gives one measurement of the peer's.
        rounds: How many of each are taken.
    """
    mine: list[float] = []
    peers: list[float] = []
    for turn in range(rounds):
        sides = [(ours, mine), (theirs, peers)]
        for measure, taken in sides if turn % 2 else reversed(sides):
            taken.append(measure())
    ratios = [one / other for one, other in zip(mine, peers, strict=True)]
    return Result(median(mine), median(peers), median(ratios))


def paired(
    ours: Callable[[], object],
    theirs: Callable[[], object],
    rounds: int = 30,
    *,
    calls: int | None = None,
    clock: Callable[[], float] = perf_counter,
) -> Result:
    """Compare the time that two functions take.

    The garbage collector rests while the clock runs, as in ``timeit``.

    Args:
        ours: Our side; what it returns is dropped.
        theirs: The peer's side.
        rounds: How many pairs are timed.
        calls: How often a side is called in one round; None for as often as takes 10 ms.
        clock: Gives seconds; ``time.process_time`` counts those of this process only.
    """
    our_calls = calls or _calls_for_a_round(ours)
    their_calls = calls or _calls_for_a_round(theirs)
    return interleaved(
        lambda: _seconds(ours, our_calls, clock),
        lambda: _seconds(theirs, their_calls, clock),
        rounds,
    )


def report(title: str, rows: Iterable[Row]) -> int:
    """Print a table, and the row that is worst beside what it is held to.

    Returns:
        An exit code: 0 if every row is ok, else 1.
    """
    rows = list(rows)
    lines = [("what", "ours", "peer", "ratio", "held to", "ok"), *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    print(title)
    for what, *figures in lines:
        cells = (figure.rjust(width) for figure, width in zip(figures, widths[1:], strict=True))
        print(f"  {what.ljust(widths[0])}  {'  '.join(cells)}")
    for why in dict.fromkeys(row.why for row in rows if row.result is None):
        print(f"  not measured: {why}")
    worst = max(rows, key=_strain)
    if worst.result is not None:
        print(f"  worst: {worst.what} ({worst.result.ratio:.3f})", flush=True)
    return 0 if all(row.ok for row in rows) else 1


def format_figure(value: float, unit: str) -> str:
    """Write a figure with three digits, and its unit with a prefix."""
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1, ""), (1e-3, "m"), (1e-6, "u")):
        if abs(value) >= factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value * 1e9:.3g} n{unit}"


def _calls_for_a_round(function: Callable[[], object]) -> int:
    """Find out how many calls take long enough to be timed; the first ones are not counted at all."""
    function()
    calls = 1
    while calls * _seconds(function, calls, perf_counter) < ROUND_SECONDS:
        calls *= 2
    return calls


def _seconds(function: Callable[[], object], calls: int, clock: Callable[[], float]) -> float:
    """Give the seconds that one call takes."""
    gc.collect()
    collects = gc.isenabled()
    gc.disable()
    try:
        start = clock()
        for _ in range(calls):
            function()
        return (clock() - start) / calls
    finally:
        if collects:
            gc.enable()


def _cells(row: Row) -> tuple[str, ...]:
    held_to = "" if row.held_to is None else f"{row.held_to:.3f}"
    ok = "" if row.held_to is None else "yes" if row.ok else "NO"
    if row.result is None:
        return row.what, "-", "-", "-", held_to, ok
    ours, peer, ratio = row.result.ours, row.result.peer, row.result.ratio
    return (
        row.what,
        format_figure(ours, row.unit),
        format_figure(peer, row.unit),
        f"{ratio:.3f}",
        held_to,
        ok,
    )


def _strain(row: Row) -> float:
    """Say how much of what it may have a row takes; rows that only inform come last."""
    return row.result.ratio / row.held_to if row.result and row.held_to else 0.0
