"""A time line as a waterfall on a terminal: a row for each step, with a bar for when it took place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from asyncendpoints.cli.terminal import cut, indented, line
from asyncendpoints.cli.timeline import (
    ABANDONED,
    FAILED,
    OK,
    UNFINISHED,
    milliseconds,
    tick_interval,
)

if TYPE_CHECKING:
    from rich.console import Console

    from asyncendpoints.cli.timeline import Step, Timeline

__all__ = ["print_waterfall", "summary", "verdict"]

_STYLES = {OK: "green", FAILED: "red", ABANDONED: "yellow", UNFINISHED: "yellow"}
#: What a bar is made of, what its last column is, and what stands for a step that took no time.
_GLYPHS = {
    OK: ("━", "━", "◆"),
    FAILED: ("━", "✗", "✗"),
    ABANDONED: ("╌", "╌", "╌"),
    UNFINISHED: ("╌", ">", ">"),
}
_ASCII_GLYPHS = {
    OK: ("=", "=", "*"),
    FAILED: ("=", "x", "x"),
    ABANDONED: ("-", "-", "-"),
    UNFINISHED: ("-", ">", ">"),
}

#: The least columns of a subject and of a bar.
_LEAST = 8
#: Columns from one mark of the axis to the next, at least.
_TICK_COLUMNS = 7
#: Seconds that the axis shows at least.
_SHORTEST = 1e-6


@dataclass(frozen=True, slots=True)
class _Layout:
    """The columns of the rows, and the seconds that the widest bar stands for."""

    kind: int
    subject: int
    bar: int
    time: int
    seconds: float
    glyphs: dict[str, tuple[str, str, str]]
    ellipsis: str

    @classmethod
    def of(cls, timeline: Timeline, to: Console) -> _Layout:
        steps = timeline.steps
        kind = max(len(each.kind) for each in steps)
        time = max(len("ms"), *(len(_time(each)) for each in steps))
        rest = to.width - len("  " * 4) - kind - time
        widest = max(cell_len(each.subject) for each in steps)
        subject = min(widest, max(_LEAST, rest // 2))
        bar = max(_LEAST, rest - subject)
        glyphs, ellipsis = (_ASCII_GLYPHS, "~") if to.options.ascii_only else (_GLYPHS, "…")
        return cls(kind, subject, bar, time, max(timeline.seconds, _SHORTEST), glyphs, ellipsis)

    def column(self, seconds: float) -> float:
        """Give how many columns some seconds have."""
        return round(seconds / self.seconds * self.bar, 6)


def print_waterfall(to: Console, timeline: Timeline) -> None:
    """Print a time line as wide as the console."""
    line(to, timeline.description, "bold")
    to.print()
    if timeline.steps:
        layout = _Layout.of(timeline, to)
        line(to, _axis(layout), "dim")
        for each in timeline.steps:
            _print_step(to, each, layout)
        to.print()
    indented(to, Text(summary(timeline), "green" if timeline.error is None else "red"), 0)


def _axis(layout: _Layout) -> str:
    """Write the marks of the time, in milliseconds, above the columns where they are."""
    interval = tick_interval(layout.seconds, max(layout.bar // _TICK_COLUMNS, 1))
    marks = " " * (layout.kind + layout.subject + len("  " * 3))
    start = len(marks)
    for number in range(math.floor(layout.seconds / interval) + 1):
        label = f"{number * interval * 1000:,.12g}"
        column = start + int(layout.column(number * interval))
        has_room = not number or len(marks) < column <= start + layout.bar - len(label)
        if has_room:
            marks = marks.ljust(column) + label
    return f"{marks.ljust(start + layout.bar)}  {'ms':>{layout.time}}"


def _print_step(to: Console, step: Step, layout: _Layout) -> None:
    shown = cut(step.subject, layout.subject, layout.ellipsis)
    before, bar = _bar(step, layout)
    row = Text().append(f"  {step.kind:<{layout.kind}}  ", "dim").append(shown)
    row.append(" " * (layout.subject - cell_len(shown) + 2 + before))
    row.append(bar, _STYLES[step.outcome])
    time = _time(step)
    if time:
        row.append(" " * (layout.bar - before - len(bar) + 2) + f"{time:>{layout.time}}")
    to.print(row, soft_wrap=True)
    said = verdict(step, shown)
    if said:
        detail = "red" if step.outcome == FAILED else "dim"
        indented(to, Text(said, detail), layout.kind + len("  " * 2))


def _bar(step: Step, layout: _Layout) -> tuple[int, str]:
    """Give the empty columns before the bar of a step, and the bar, of one column at least."""
    body, end, point = layout.glyphs[step.outcome]
    first = min(math.floor(layout.column(step.start)), layout.bar - 1)
    if step.end == step.start:
        return first, point
    last = layout.bar if step.end is None else math.ceil(layout.column(step.end))
    return first, body * (min(last, layout.bar) - first - 1) + end


def _time(step: Step) -> str:
    """Write how long a step took, nothing for one that took no time or has not ended."""
    if step.end is None or step.end == step.start:
        return ""
    return milliseconds(step.end - step.start)


def verdict(step: Step, shown: str) -> str:
    """Say what came of a step in words alone, after what it is about if not all of that is shown."""
    subject = "" if shown == step.subject else step.subject
    outcome = "" if step.outcome == OK else step.outcome
    said = ": ".join(filter(None, (outcome, step.text)))
    return "; ".join(filter(None, (subject, said)))


def summary(timeline: Timeline) -> str:
    """Say what came of the connect."""
    time = f"{milliseconds(timeline.seconds)} ms"
    if timeline.error is None:
        return f"connected in {time}"
    return f"failed after {time}: {timeline.error}"
