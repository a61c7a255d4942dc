"""How texts are shown in messages: shortened, and with their secrets masked.

Pure: text in, text out.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from unicodedata import combining, east_asian_width

__all__ = ["SECRET_NAME", "excerpt", "is_secret", "mask", "may_hide", "printable", "shorten"]

#: What the name of an argument whose value is a secret contains. A spec whose secret field has another
#: name is refused, so that a text can be masked without knowing its kind.
SECRET_NAME = re.compile(r"pass(?:word|phrase|wd)|secret|token", re.IGNORECASE)

#: What somebody may write where such a name is meant.
_SECRET_WORDS = ("password", "passphrase", "passwd", "pass", "pwd", "psk", "secret", "token")

#: The key of an argument at any depth of nesting, with the backslashes that belong to that depth.
_KEY = re.compile(r"(?<![^:=\[\]])[^:=\[\]]+=")
_BREAK = re.compile(r"[:\[\]]")
#: A colon and the key after it. What ends in ``=`` is no key: secrets in base 64 do.
_NEXT_KEY = re.compile(r":([A-Za-z_][A-Za-z0-9_]*)\\*=(?![=:\]]|$)")

#: How much of a text is looked at, and how much is shown of it, in characters.
_LONGEST = 4096
_WIDEST = 160


def shorten(value: object) -> str:
    """Give the ``repr`` of a value in at most 80 characters; secrets in a text are masked."""
    shown = repr(mask(value[:_WIDEST])[0] if isinstance(value, str) else value)
    return shown if len(shown) <= 80 else f"{shown[:79]}…"


def is_secret(key: str) -> bool:
    """Tell whether an argument's name is that of a secret, or nearly so."""
    key = key.replace("\\", "").strip().lower()
    if SECRET_NAME.search(key):
        return True
    return len(key) < 20 and bool(get_close_matches(key, _SECRET_WORDS, n=1, cutoff=0.75))


def may_hide(text: str) -> bool:
    """Tell whether a text has a secret in it, or is too long to be looked through."""
    return len(text) > _LONGEST or mask(text)[0] != text


def mask(text: str, position: int = 0, names: frozenset[str] = frozenset()) -> tuple[str, int]:
    """Replace the values of secret arguments by ``***``, at any depth of nesting.

    Works on text that may be no valid description, where it is not certain what was meant to belong to a
    secret: a value with an unescaped colon or bracket in it reads as more than one argument. So everything is
    hidden from the secret up to the next argument that there is, to the end of the enclosing description or
    to the end of the text.

    Args:
        text: A description.
        position: An index into it.
        names: The arguments that there are.

    Returns:
        The masked text, and the index in it that stands where ``position`` stood.
    """
    pieces: list[str] = []
    done = 0
    moved = position
    for match in _KEY.finditer(text):
        start = match.end()
        if match.start() < done or not is_secret(match[0][:-1]):
            continue
        end = _secret_end(text, match.start(), start, names)
        if end == start:
            continue
        pieces += [text[done:start], "***"]
        if position >= end:
            moved += len("***") - (end - start)
        elif position > start:
            moved -= position - start
        done = end
    pieces.append(text[done:])
    return "".join(pieces), moved


def _secret_end(text: str, key: int, start: int, names: frozenset[str]) -> int:
    """Find where the value at ``start`` surely ends, whose key starts at ``key``."""
    enclosing = max(0, text.count("[", 0, key) - text.count("]", 0, key))
    level = _backslashes(text, key - 1)
    depth = 0
    for match in _BREAK.finditer(text, start):
        place = match.start()
        if match[0] == "[":
            depth += 1
        elif match[0] == "]" and depth:
            depth -= 1
        elif match[0] == "]":
            after = _closed(text, place, enclosing)
            if after == len(text) or _is_next(text, after, names):
                return place
        elif not depth and _is_next(text, place, names):
            escapes = _backslashes(text, place)
            if escapes <= level:
                return place - escapes
    return len(text)


def _is_next(text: str, place: int, names: frozenset[str]) -> bool:
    """Tell whether there is a colon and the key of an argument that there is."""
    match = _NEXT_KEY.match(text, place)
    return match is not None and match[1] in names


def _backslashes(text: str, end: int) -> int:
    """Count the backslashes before ``end``."""
    start = max(end, 0)
    while start > 0 and text[start - 1] == "\\":
        start -= 1
    return max(end, 0) - start


def _closed(text: str, start: int, most: int) -> int:
    """Pass over the closing brackets at ``start``, at most so many."""
    while most and text.startswith("]", start):
        start += 1
        most -= 1
    return start


def excerpt(text: str, position: int, names: frozenset[str]) -> tuple[str, int]:
    """Give what can be shown of a text around a position, and the column of the position in it.

    Secrets are masked, and what is no printable character is written as Python escapes it.
    """
    masked, place = mask(text[:_LONGEST], min(position, _LONGEST), names)
    if len(text) > _LONGEST:
        masked += "…"
    start = max(0, min(place - _WIDEST // 2, len(masked) - _WIDEST))
    end = start + _WIDEST
    before = "…" * (start > 0) + printable(masked[start:place])
    after = printable(masked[place:end]) + "…" * (end < len(masked))
    return before + after, sum(map(_columns, before))


def printable(text: str) -> str:
    """Write what is no printable character as Python escapes it."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def _columns(character: str) -> int:
    """Give the number of columns that a character takes on a terminal."""
    if combining(character):
        return 0
    return 2 if east_asian_width(character) in "WF" else 1
