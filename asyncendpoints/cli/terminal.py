"""What the commands print on, and how numbers are written there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from rich.table import Table

__all__ = [
    "console",
    "count",
    "cut",
    "data",
    "duration",
    "indented",
    "is_narrow",
    "line",
    "printable",
    "rows",
]

#: The columns from which on there is room for tables.
_ROOM = 60


def console(*, stderr: bool = False) -> Console:
    """Give the console of standard output or error, as it is at this moment.

    Rich leaves out the colours where nobody would see them, and with ``NO_COLOR``.
    """
    return Console(stderr=stderr, highlight=False)


def line(to: Console, text: str, style: str = "") -> None:
    """Print a line that others may have to copy: it is not wrapped, and nothing in it is markup."""
    to.print(Text(text, style), soft_wrap=True)


def indented(to: Console, text: Text, by: int, label: Text | None = None) -> None:
    """Print a text wrapped to the width of the console, without spaces at the ends of lines.

    Args:
        to: Where to.
        text: A word that is longer than a line is cut.
        by: Columns in front of each line.
        label: Stands in front of the first line, and an empty space as wide in front of the others.
    """
    start = Text(" " * by).append_text(label or Text())
    for each in text.wrap(to, max(to.width - len(start), 20), overflow="fold"):
        each.rstrip()
        to.print(start.append_text(each), soft_wrap=True)
        start = Text(" " * (by + len(label or "")))


def is_narrow(to: Console) -> bool:
    """Tell whether a table would be cut."""
    return to.width < _ROOM


def rows(to: Console, table: Table, by: int = 2) -> None:
    """Print a table without spaces at the ends of lines.

    Args:
        to: Where to.
        table: It has as many columns as there is room for.
        by: Columns in front of each line.
    """
    options = to.options.update(width=to.width - by)
    for each in to.render_lines(table, options, pad=False):
        text = Text(" " * by)
        for segment in each:
            text.append(segment.text, segment.style)
        text.rstrip()
        to.print(text, soft_wrap=True)


def printable(text: str) -> str:
    """Replace what a terminal would obey."""
    return "".join([each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text])


def cut(text: str, columns: int, ellipsis: str = "\N{HORIZONTAL ELLIPSIS}") -> str:
    """Cut a text that needs more columns than there are, and say so with an ellipsis of one column."""
    if cell_len(text) <= columns:
        return text
    return set_cell_size(text, columns - 1) + ellipsis


def count(number: int, noun: str) -> str:
    """Write a number of things: ``1 pair``, ``2 pairs``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def data(size: int) -> str:
    """Write a number of bytes with at most four digits: ``512 bytes``, ``1.5 kB``, ``104.9 MB``."""
    if size < 1000:
        return count(size, "byte")
    value = size / 1000
    for unit in ("kB", "MB", "GB"):
        if value < 999.95:
            return f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"


def duration(seconds: float) -> str:
    """Write a time in the unit that fits it: ``0.42 ms``, ``1.3 s``."""
    if seconds < 0.1:
        return f"{seconds * 1000:.2f} ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s"
