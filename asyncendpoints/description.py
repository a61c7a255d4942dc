r"""The grammar of descriptions: text to kind and arguments, and back.

Pure, and without any knowledge of what kinds there are::

    description = kind *( ":" argument )
    argument    = value | key "=" value

A backslash takes the next character as it is. The first unescaped ``=`` of an argument ends its key. A
value that starts with ``[`` runs to the matching ``]`` and is taken as it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from asyncendpoints.errors import DescriptionError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Argument", "join", "quote", "scan", "split"]

_KEY = re.compile(r"[^\\:=]*+(?:\\.[^\\:=]*+)*+=", re.DOTALL)
_VALUE = re.compile(r"[^\\:]*+(?:\\.[^\\:]*+)*+", re.DOTALL)
#: A whole argument, its colon in front, of a description without brackets.
_ARGUMENT = re.compile(rf":({_KEY.pattern})?({_VALUE.pattern})", re.DOTALL)
#: Brackets in a row: one by one a text of nothing else would take long.
_BRACKETS = re.compile(r"\[+|\]+")
_SPECIAL = re.compile(r"[\\:=]")
_SPECIAL_AFTER_KEY = re.compile(r"[\\:]")

#: More than any description needs, wrappers in wrappers included: what a hostile text can cost is bounded.
MOST_ARGUMENTS = 1000

_OPEN_ESCAPE = r"ends inside an escape; write \\ for one backslash"
_OPEN_BRACKET = r"the bracket opened here is never closed; write \[ for a plain one"
_AFTER_BRACKET = "goes on after a closing bracket, expected ':' or the end"


class Argument(NamedTuple):
    """One argument of a description, with the places it came from."""

    #: None for a positional argument.
    key: str | None
    #: None for an empty one, which means the default; an explicit empty value is "".
    value: str | None
    #: Index of the first character of the argument in the description.
    start: int
    #: Index of the first character of the value, inside its brackets if it has any.
    value_start: int
    #: The value as written: between the brackets, or with its escapes.
    raw: str
    bracketed: bool

    def position(self, index: int) -> int:
        """Give the place in the description of the value's character at ``index``."""
        if self.bracketed or "\\" not in self.raw:
            return self.value_start + index
        place = 0
        for _ in range(index):
            place += 2 if self.raw[place : place + 1] == "\\" else 1
        return self.value_start + place


def split(text: str) -> tuple[str, list[tuple[str | None, str | None]]]:
    """Cut a description into its kind and its arguments, each a key (or None) and a value (or None).

    Raises:
        DescriptionError: The text ends inside an escape or a bracket, goes on after one, or has more than
            1000 arguments.
        TypeError: ``text`` is not a ``str``.
    """
    if not isinstance(text, str):
        msg = f"a description is text, not {type(text).__name__}"
        raise TypeError(msg)
    if "[" in text or len(text) > MOST_ARGUMENTS:  # a shorter text cannot have too many
        return text.partition(":")[0], [(each.key, each.value) for each in scan(text)]
    if "\\" in text:
        return text.partition(":")[0], _split_escaped(text)
    kind, *rest = text.split(":")
    if "=" not in text:
        return kind, [(None, argument or None) for argument in rest]
    arguments: list[tuple[str | None, str | None]] = []
    for argument in rest:
        if "=" in argument:
            key, _, value = argument.partition("=")
            arguments.append((key, value or None))
        else:
            arguments.append((None, argument or None))
    return kind, arguments


def _split_escaped(text: str) -> list[tuple[str | None, str | None]]:
    """Cut a description that has escapes and no brackets."""
    if text.endswith("\\") and (len(text) - len(text.rstrip("\\"))) % 2:
        raise DescriptionError(text, len(text) - 1, _OPEN_ESCAPE)
    return [
        (_unescape(key[:-1]) if key else None, _unescape(value) or None)
        for key, value in _ARGUMENT.findall(text)
    ]


def scan(text: str) -> Iterator[Argument]:
    """Cut a description into its arguments, with the place of each, as far as they are asked for.

    Raises:
        DescriptionError: As `split` does.
    """
    end = text.find(":")
    count = 0
    while 0 <= end < len(text):
        if count == MOST_ARGUMENTS:
            raise DescriptionError(text, end + 1, f"has more than {MOST_ARGUMENTS} arguments")
        argument, end = _scan_argument(text, end + 1)
        count += 1
        yield argument


def _scan_argument(text: str, start: int) -> tuple[Argument, int]:
    """Read the argument at ``start``; give it and the index of the colon after it, or of the end."""
    key = None
    value_start = start
    if not text.startswith("[", start) and (match := _KEY.match(text, start)):
        key = _unescape(match[0][:-1])
        value_start = match.end()
    if text.startswith("[", value_start):
        end = _closing_bracket(text, value_start)
        raw = text[value_start + 1 : end]
        return Argument(key, raw, start, value_start + 1, raw, True), end + 1
    match = _VALUE.match(text, value_start)
    assert match is not None  # the pattern matches an empty text
    if text.startswith("\\", match.end()):
        raise DescriptionError(text, match.end(), _OPEN_ESCAPE)
    value = _unescape(match[0]) or None
    return Argument(key, value, start, value_start, match[0], False), match.end()


def _closing_bracket(text: str, opening: int) -> int:
    """Find the bracket that closes the one at ``opening``."""
    depth = 0
    for match in _BRACKETS.finditer(text, opening):
        run = match[0]
        depth += len(run) if run[0] == "[" else -len(run)
        if depth <= 0:
            break
    else:
        raise DescriptionError(text, opening, _OPEN_BRACKET)
    end = match.end() + depth  # the rest of the run, if any, closes nothing
    if end < len(text) and text[end] != ":":
        raise DescriptionError(text, end, _AFTER_BRACKET)
    return end - 1


def _unescape(raw: str) -> str:
    if "\\" not in raw:
        return raw
    # Backslashes that stay are pairs, and a run of backslashes is paired from its start.
    return "\\".join(part.replace("\\", "") for part in raw.split("\\\\"))


def quote(argument: str) -> str:
    r"""Write any text so that it is safe as a positional or a keyword value.

    >>> quote("fe80::1")
    '[fe80::1]'
    >>> quote("a=b")
    'a\\=b'
    """
    return _quote(argument, _SPECIAL)


def _quote(value: str, special: re.Pattern[str]) -> str:
    if not value:
        return "[]"
    if ":" in value and _is_balanced(value):
        return f"[{value}]"
    quoted = special.sub(r"\\\g<0>", value)
    return "\\" + quoted if quoted.startswith("[") else quoted


def _is_balanced(value: str) -> bool:
    depth = 0
    for match in _BRACKETS.finditer(value):
        run = match[0]
        depth += len(run) if run[0] == "[" else -len(run)
        if depth < 0:
            return False
    return depth == 0


def join(kind: str, positional: list[str], keywords: list[tuple[str, str]]) -> str:
    """Write a description: the inverse of `split`."""
    return ":".join(
        [
            kind,
            *(_quote(value, _SPECIAL) for value in positional),
            *(f"{key}={_quote(value, _SPECIAL_AFTER_KEY)}" for key, value in keywords),
        ]
    )
