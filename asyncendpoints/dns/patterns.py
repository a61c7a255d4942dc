"""Patterns of names: text to pattern, and a name's labels to parameters.

=============  =====================================================================
``{n:int}``    a number without superfluous zeros, of at most 18 digits
``{x}``        one byte or more, within one label; in lower case
``{x:labels}`` one label or more, with dots between; it stands alone in its place
``*``          one whole label, which is not given to anybody
=============  =====================================================================

A label of several parameters is read from the left: each takes as little as it can, but for the last, which
takes the rest. Matching takes time that grows with the length of a name and no faster.

Pure.
"""

from __future__ import annotations

import re
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncendpoints.dns.names import ROOT, count_labels, encode_name, format_label
from asyncendpoints.errors import RouteError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Pattern", "parse_pattern"]

_BRACES = re.compile(r"\{([^{}]*)\}")
#: What can stand beside a parameter in a label: printable, neither a star nor a backslash.
_PLAIN = re.compile(r"[!-)+-\[\]-~]*")


class Parameter(NamedTuple):
    """A part of a pattern that a function gets."""

    name: str
    #: ``"int"``, ``"str"`` or ``"labels"``.
    kind: str


#: One label: what stands for itself, and parameters.
Label = list[str | Parameter]

_CONVERTERS: dict[str, Callable[[Any], object]] = {"int": int, "labels": str, "str": format_label}


class Pattern:
    """A pattern of names, or a name alone.

    Args:
        end: The labels at the end that stand for themselves, as a key.
        labels: The labels before them.
    """

    def __init__(self, end: bytes, labels: Sequence[Label]) -> None:
        #: The labels at the end that stand for themselves, as a key.
        self.end = end
        parameters = [part for label in labels for part in label if isinstance(part, Parameter)]
        #: The names of its parameters, in order.
        self.names = tuple(each.name for each in parameters)
        #: What is the same for patterns that match the same names.
        self.shape = (end, *(tuple(map(_shape, label)) for label in labels))
        self._converted = tuple((each.name, _CONVERTERS[each.kind]) for each in parameters)
        #: Its parameter and what converts that, where there is no other.
        self.only = self._converted[0] if len(parameters) == 1 else None
        gap = next((i for i, label in enumerate(labels) if _is_gap(label)), None)
        self._has_gap = gap is not None
        # Bound methods, for speed.
        self._before = [_compile(label).fullmatch for label in labels[:gap]]
        self._after = (
            [] if gap is None else [_compile(each).fullmatch for each in labels[gap + 1 :]]
        )
        self._least_labels = len(labels) + count_labels(end)
        #: Matches the one label that there is before `end`, where the pattern is no more than that.
        self.one = self._before[0] if len(labels) == 1 and gap is None else None

    @property
    def is_name(self) -> bool:
        """Whether there is one name only that it matches."""
        return not (self._has_gap or self._before)

    def match(self, labels: Sequence[bytes]) -> dict[str, Any] | None:
        """Give the parameters that a name has, or None if it does not match.

        Args:
            labels: The name's labels in lower case, of which the last are known to be those of `end`.
        """
        more = len(labels) - self._least_labels
        if more and (more < 0 or not self._has_gap):
            return None
        values: list[Any] = []
        for position, fullmatch in enumerate(self._before):
            match = fullmatch(labels[position])
            if match is None:
                return None
            values += match.groups()
        if self._has_gap and not self._match_rest(labels, more + 1, values):
            return None
        return self.convert(values)

    def convert(self, values: Sequence[Any]) -> dict[str, Any]:
        """Give what a function gets for what the parameters have matched."""
        return {
            name: convert(value)
            for (name, convert), value in zip(self._converted, values, strict=True)
        }

    def _match_rest(self, labels: Sequence[bytes], size: int, values: list[Any]) -> bool:
        """Take some labels together, and match those after them."""
        start = len(self._before)
        end = start + size
        values.append(".".join(map(format_label, labels[start:end])))
        for fullmatch, label in zip(self._after, labels[end:], strict=False):
            match = fullmatch(label)
            if match is None:
                return False
            values += match.groups()
        return True


def _shape(part: str | Parameter) -> str:
    return part if isinstance(part, str) else f"{{{part.kind}}}"


def _is_gap(label: Label) -> bool:
    return isinstance(label[0], Parameter) and label[0].kind == "labels"


def _compile(label: Label) -> re.Pattern[bytes]:
    """Compile a label; what a parameter has taken is not tried again in another way."""
    if label == ["*"]:
        return re.compile(rb".+", re.DOTALL)
    pieces = []
    for i, part in enumerate(label):
        is_last = not any(isinstance(each, Parameter) for each in label[i + 1 :])
        if isinstance(part, str):
            pieces.append(re.escape(part))
        elif part.kind == "int":
            pieces.append("((?>0|[1-9][0-9]{0,17}))")
        elif is_last:
            pieces.append("(.+)")
        else:
            pieces.append(f"((?>.+?(?={re.escape(str(label[i + 1]))})))")
    return re.compile("".join(pieces).encode("ascii"), re.DOTALL)


def parse_pattern(text: str) -> Pattern:
    """Read the text of a pattern.

    >>> parse_pattern("workstation{n:int}.example.com").names
    ('n',)

    Args:
        text: A name, with or without its final dot, in which parameters and stars can stand.

    Raises:
        RouteError: It is no pattern.
        DomainNameError: What stands for itself in it is no name.
    """
    labels = _labels(text)
    variable = [i for i, label in enumerate(labels) if _is_variable(label)]
    if not variable:
        return Pattern(encode_name(text).lower(), ())
    if not all(labels):
        raise RouteError(text, "has an empty label; one dot stands between labels")
    first = variable[-1] + 1
    end = ".".join(str(label[0]) for label in labels[first:])
    key = encode_name(f"{end}.").lower() if end else ROOT
    for label in labels[:first]:
        _check_label(text, label)
    _check_parameters(text, labels)
    return Pattern(key, [_lowered(label) for label in labels[:first]])


def _labels(text: str) -> list[Label]:
    """Split a text into labels, and those into texts and parameters."""
    labels: list[Label] = [[]]
    for i, piece in enumerate(_BRACES.split(text)):
        if i % 2:
            labels[-1].append(_parameter(text, piece))
            continue
        if "{" in piece or "}" in piece:
            raise RouteError(text, "has a brace without its partner")
        first, *others = piece.split(".")
        labels[-1] += [first] if first else []
        labels += [[each] if each else [] for each in others]
    if len(labels) > 1 and not labels[-1]:
        labels.pop()  # that of the root
    return labels


def _parameter(text: str, piece: str) -> Parameter:
    name, colon, kind = piece.partition(":")
    if not name.isidentifier() or iskeyword(name) or name == "query":
        problem = f"a parameter cannot be called {name!r}; {{name}} and {{n:int}} are right ones"
        raise RouteError(text, problem)
    if not colon:
        kind = "str"
    if kind not in _CONVERTERS:
        problem = f"no parameter is {kind!r}{nearest(kind, tuple(_CONVERTERS))}"
        raise RouteError(text, f"{problem}, expected int, labels or str")
    return Parameter(name, kind)


def _is_variable(label: Label) -> bool:
    return label == ["*"] or any(isinstance(part, Parameter) for part in label)


def _check_label(text: str, label: Label) -> None:
    """Refuse a label that means nothing, or more than one thing."""
    if label == ["*"]:
        return
    for part, following in zip(label, [*label[1:], ""], strict=True):
        if isinstance(part, str):
            if not _PLAIN.fullmatch(part):
                problem = f"{part!r} cannot stand here, expected printable ASCII and stars alone"
                raise RouteError(text, problem)
        elif isinstance(following, Parameter):
            raise RouteError(text, "has two parameters with nothing between them")
        elif part.kind == "labels" and len(label) > 1:
            raise RouteError(text, f"{part.name} stands for whole labels, expected dots around it")
        elif part.kind == "int" and following[:1].isdigit():
            raise RouteError(text, f"a digit follows the number {part.name}")


def _check_parameters(text: str, labels: list[Label]) -> None:
    parameters = [part for label in labels for part in label if isinstance(part, Parameter)]
    names = [each.name for each in parameters]
    twice = next((each for each in names if names.count(each) > 1), None)
    if twice is not None:
        raise RouteError(text, f"has two parameters called {twice}")
    if [each.kind for each in parameters].count("labels") > 1:
        raise RouteError(text, "has two parameters for several labels, expected one")


def _lowered(label: Label) -> Label:
    return [part.lower() if isinstance(part, str) else part for part in label]
