"""The grammar: text to kind and arguments, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints.description import join, quote, scan, split
from asyncendpoints.errors import DescriptionError
from tests.strategies import arguments, descriptions

SPLIT = [
    ("tcp", ("tcp", [])),
    ("", ("", [])),
    ("tcp:80", ("tcp", [(None, "80")])),
    ("TCP:80", ("TCP", [(None, "80")])),
    ("tcp:host=x:port=80", ("tcp", [("host", "x"), ("port", "80")])),
    ("tcp:x:port=80:y", ("tcp", [(None, "x"), ("port", "80"), (None, "y")])),
    # Empty ones are kept, and mean the default.
    ("a::b", ("a", [(None, None), (None, "b")])),
    ("a:b:", ("a", [(None, "b"), (None, None)])),
    ("a:k=", ("a", [("k", None)])),
    ("a:=c", ("a", [("", "c")])),
    ("a:[]", ("a", [(None, "")])),
    ("a:k=[]", ("a", [("k", "")])),
    # The first unescaped = ends the key.
    ("a:k=c=d", ("a", [("k", "c=d")])),
    ("a:k==c", ("a", [("k", "=c")])),
    (r"a:b\=c=d", ("a", [("b=c", "d")])),
    (r"a:b\=c", ("a", [(None, "b=c")])),
    (r"a:b\\=c", ("a", [("b\\", "c")])),
    # A backslash takes the next character as it is, whatever it is.
    (r"a:b\:c", ("a", [(None, "b:c")])),
    (r"a:\n\0\x", ("a", [(None, "n0x")])),
    (r"a:b\\:c", ("a", [(None, "b\\"), (None, "c")])),
    (r"a:b\\\:c", ("a", [(None, "b\\:c")])),
    ("a:b\\\nc", ("a", [(None, "b\nc")])),
    # Brackets take everything as it is, and nest.
    ("a:[b:c]", ("a", [(None, "b:c")])),
    ("a:[b=c]:d", ("a", [(None, "b=c"), (None, "d")])),
    ("a:k=[b:[c:d]]:e=f", ("a", [("k", "b:[c:d]"), ("e", "f")])),
    (r"a:[b\:c]", ("a", [(None, r"b\:c")])),
    ("a:[b\\]", ("a", [(None, "b\\")])),
    (r"a:\[b]", ("a", [(None, "[b]")])),
    ("a:b[c]", ("a", [(None, "b[c]")])),
    ("a:b]", ("a", [(None, "b]")])),
    ("a:b[=[c]", ("a", [("b[", "c")])),
    # Nothing is stripped.
    (" a : b ", (" a ", [(None, " b ")])),
    ("a:\0:\ud800", ("a", [(None, "\0"), (None, "\ud800")])),
]


@pytest.mark.parametrize(("text", "parts"), SPLIT)
def test_split(text: str, parts: tuple[str, list[tuple[str | None, str | None]]]) -> None:
    """A description is its kind and its arguments, each a key or none and a value or none."""
    assert split(text) == parts


@pytest.mark.parametrize(("text", "parts"), SPLIT)
def test_scan_agrees_with_split(
    text: str, parts: tuple[str, list[tuple[str | None, str | None]]]
) -> None:
    """The reader that knows the places reads the same as the quick one."""
    assert [(each.key, each.value) for each in scan(text)] == parts[1]


@pytest.mark.parametrize(
    ("text", "position", "problem"),
    [
        ("a:b\\", 3, r"ends inside an escape; write \\ for one backslash"),
        ("a:b\\\\\\", 5, r"ends inside an escape; write \\ for one backslash"),
        ("a:k=\\", 4, r"ends inside an escape; write \\ for one backslash"),
        ("a:[b]:c\\", 7, r"ends inside an escape; write \\ for one backslash"),
        ("a:[b", 2, r"the bracket opened here is never closed; write \[ for a plain one"),
        ("a:k=[b:[c]", 4, r"the bracket opened here is never closed; write \[ for a plain one"),
        ("a:[b]c", 5, "goes on after a closing bracket, expected ':' or the end"),
        ("a:k=[b]]:c", 7, "goes on after a closing bracket, expected ':' or the end"),
    ],
)
def test_split_wrong(text: str, position: int, problem: str) -> None:
    """A text that the grammar does not allow is refused with the place and what would be right."""
    with pytest.raises(DescriptionError) as caught:
        split(text)
    assert (caught.value.text, caught.value.position, caught.value.problem) == (
        text,
        position,
        problem,
    )


@pytest.mark.parametrize(("text", "name"), [(b"tcp:80", "bytes"), (None, "NoneType"), (80, "int")])
def test_split_takes_text_only(text: object, name: str) -> None:
    """What is no str is a mistake of the program, not of the description."""
    with pytest.raises(TypeError, match=f"^a description is text, not {name}$"):
        split(text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("tcp:a:b=c", [(4, 4), (6, 8)]),
        ("tcp:[a]:b=[c]", [(4, 5), (8, 11)]),
        ("tcp::b", [(4, 4), (5, 5)]),
        (r"tcp:a\:b:c", [(4, 4), (9, 9)]),
    ],
)
def test_scan_places(text: str, starts: list[tuple[int, int]]) -> None:
    """Each argument knows where it starts and where its value does, inside brackets if it has any."""
    assert [(each.start, each.value_start) for each in scan(text)] == starts


@pytest.mark.parametrize(
    ("text", "index", "position"),
    [
        ("a:bcd", 2, 4),
        ("a:k=bcd", 3, 7),
        ("a:[bcd]", 1, 4),
        (r"a:[b\:d]", 2, 5),
        (r"a:\b\:d", 0, 2),
        (r"a:\b\:d", 1, 4),
        (r"a:\b\:d", 2, 6),
        (r"a:\b\:d", 3, 7),
    ],
)
def test_argument_position(text: str, index: int, position: int) -> None:
    """A place in a value is found in the description, past brackets and escapes."""
    assert next(scan(text)).position(index) == position


@pytest.mark.parametrize("argument", [":", ":a", ":a=b", r":\:", ":[]", ":a=[b:c]"])
def test_too_many_arguments(argument: str) -> None:
    """A text with a thousand arguments is read, and one with more is refused, with the place of the first."""
    kind, arguments = split("a" + 1000 * argument)
    assert (kind, len(arguments)) == ("a", 1000)
    with pytest.raises(DescriptionError) as caught:
        split("a" + 10**6 * argument)
    assert caught.value.position == len("a:" + 1000 * argument)
    assert caught.value.problem == "has more than 1000 arguments"


def test_scan_reads_no_further_than_asked() -> None:
    """The place of an argument is found without a look at what is behind it."""
    arguments = scan("a:b:[c")
    assert next(arguments).value == "b"
    with pytest.raises(DescriptionError):
        next(arguments)


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("", "[]"),
        ("plain", "plain"),
        ("a:b", "[a:b]"),
        ("a=b", r"a\=b"),
        ("a\\b", r"a\\b"),
        ("[a", r"\[a"),
        ("a[b", "a[b"),
        ("[a:b", r"\[a\:b"),
        ("a]b:[c", r"a]b\:[c"),
        ("[a:b]", "[[a:b]]"),
        ("a:b\\", "[a:b\\]"),
    ],
)
def test_quote(argument: str, text: str) -> None:
    """Brackets go around what has a colon, backslashes before everything else that means something."""
    assert quote(argument) == text


@given(arguments())
def test_quote_round_trip(argument: str) -> None:
    """Any text comes back from quote, by position and by name, with arguments around it."""
    quoted = quote(argument)
    text = f"a:b:{quoted}:c={quoted}:d"
    assert split(text) == ("a", [(None, "b"), (None, argument), ("c", argument), (None, "d")])


@given(st.lists(arguments()), st.lists(st.tuples(st.sampled_from(["k", "l"]), arguments())))
def test_join_round_trip(positional: list[str], keywords: list[tuple[str, str]]) -> None:
    """What join writes, split reads."""
    text = join("a", positional, keywords)
    assert split(text) == ("a", [*((None, each) for each in positional), *keywords])


@given(st.one_of(arguments(), descriptions()))
def test_split_raises_nothing_else(text: str) -> None:
    """Any text is either read, the same by both readers, or refused with a place inside it."""
    failures = []
    try:
        parts = split(text)[1]
    except DescriptionError as error:
        failures.append(error.position)
    else:
        assert [(each.key, each.value) for each in scan(text)] == parts
    assert all(0 <= position <= len(text) for position in failures)
