"""Numbers and lines as the commands print them."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from asyncendpoints.cli.terminal import (
    console,
    count,
    cut,
    data,
    duration,
    indented,
    is_narrow,
    line,
    printable,
    rows,
)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (104_857_600, "104.9 MB"),
        (5 * 10**9, "5.0 GB"),
        (2 * 10**15, "2,000.0 TB"),
    ],
)
def test_bytes_have_at_most_four_digits(size: int, text: str) -> None:
    """A number of bytes is written in the unit that fits it."""
    assert data(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.00042, "0.42 ms"),
        (0.0999, "99.90 ms"),
        (0.1, "100 ms"),
        (0.25, "250 ms"),
        (1.26, "1.3 s"),
    ],
)
def test_times_are_in_the_unit_that_fits(seconds: float, text: str) -> None:
    """A time is written in milliseconds below one second."""
    assert duration(seconds) == text


def test_one_thing_is_singular() -> None:
    """A number of things takes an s where it is not 1."""
    assert [count(number, "pair") for number in (0, 1, 2000)] == [
        "0 pairs",
        "1 pair",
        "2,000 pairs",
    ]


def output(width: int) -> tuple[Console, io.StringIO]:
    """Give a console of a width, and what it prints to."""
    file = io.StringIO()
    return Console(file=file, width=width, highlight=False), file


def test_a_line_is_neither_wrapped_nor_read_as_markup() -> None:
    """Text that somebody may copy is printed as it is."""
    to, file = output(10)
    line(to, "tcp:[::1]:80:timeout=5")
    assert file.getvalue() == "tcp:[::1]:80:timeout=5\n"


def test_an_indented_text_leaves_room_for_its_label() -> None:
    """Every line but the first starts below the text, and none ends with spaces."""
    to, file = output(24)
    indented(to, Text("one two three four five six"), 2, Text("ok  "))
    assert file.getvalue() == "  ok  one two three four\n      five six\n"


def test_an_indented_text_needs_no_label() -> None:
    """Without a label the lines are indented alike."""
    to, file = output(24)
    indented(to, Text("one two three four five six"), 2)
    assert file.getvalue() == "  one two three four\n  five six\n"


def test_a_table_has_no_spaces_at_the_ends_of_lines() -> None:
    """It is as wide as there is room for beside its indent, and its styles are kept."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("a", Text("one two three", "red"))
    table.add_row("bb", "")
    to, file = output(15)
    rows(to, table)
    assert file.getvalue() == "  a   one two\n      three\n  bb\n"
    file = io.StringIO()
    rows(Console(file=file, width=15, force_terminal=True, color_system="standard"), table, 0)
    assert "\x1b[31mone two\x1b[0m\n" in file.getvalue()


@pytest.mark.parametrize(("width", "narrow"), [(1, True), (59, True), (60, False)])
def test_what_is_narrow(width: int, narrow: bool) -> None:
    """From 60 columns on there is room for a table."""
    to, _ = output(width)
    assert is_narrow(to) is narrow


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("例え", 4, "例え"),
        ("例えば", 4, "例 …"),
        ("例えば", 5, "例え…"),
    ],
)
def test_what_is_cut_says_so(text: str, columns: int, shown: str) -> None:
    """A text has at most its columns, of which letters of some scripts take two."""
    assert cut(text, columns) == shown


def test_another_ellipsis_can_be_given() -> None:
    """Where there is no Unicode the mark is another."""
    assert cut("abcd", 3, "~") == "ab~"


@pytest.mark.parametrize("text", ["a\x1b[2Jb", "a\nb", "a\x9bb", "a\u202eb", "a\udc80b"])
def test_what_a_terminal_would_obey_is_replaced(text: str) -> None:
    """Control characters, marks of direction and surrogates are not printed."""
    assert printable(text) == f"a\ufffd{text[2:]}"


def test_letters_are_printed() -> None:
    """Those of any script, and spaces, stay as they are."""
    assert printable("bücher 例え.テスト") == "bücher 例え.テスト"


def test_consoles_are_those_of_the_moment(capsys: pytest.CaptureFixture[str]) -> None:
    """One prints on standard output, the other on standard error."""
    console().print("out")
    console(stderr=True).print("err")
    assert capsys.readouterr() == ("out\n", "err\n")
