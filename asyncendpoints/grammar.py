"""Grammars: what the dataclass of a kind says about its text.

A `Grammar` is derived from the fields of a class, and reads and writes its descriptions. Pure.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from functools import cache
from itertools import islice
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    TypeAlias,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from asyncendpoints.description import Argument, join, scan
from asyncendpoints.errors import DescriptionError, SpecError, nearest
from asyncendpoints.fields import FieldType, Help
from asyncendpoints.masking import SECRET_NAME, is_secret, may_hide, shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from asyncendpoints.specs import Spec

__all__ = [
    "REQUIRED",
    "Field",
    "Grammar",
    "Inner",
    "Name",
    "grammar",
    "with_article",
]

#: The default of a field that has none.
REQUIRED: Any = dataclasses.MISSING

#: The arguments of a description, as `split` gives them.
Arguments: TypeAlias = "Sequence[tuple[str | None, str | None]]"

#: Reads a description inside another one: its text and its role to its spec.
ReadInner: TypeAlias = "Callable[[str, str], Spec]"

#: The name of a field, and what turns text into a value of it.
Taker: TypeAlias = "tuple[str, Callable[[str], Any]]"

#: How a plain description is read: the fields that it has to give, and that of each position.
Plan: TypeAlias = "tuple[tuple[str, ...], tuple[Taker, ...]]"

_NAME = re.compile(r"[a-z0-9][a-z0-9.+_-]*")


@dataclass(frozen=True, slots=True)
class Name:
    """One of the names that a kind answers to."""

    text: str
    #: A description that works, for messages and help.
    example: str
    #: The fields in positional order; None for the order of the dataclass.
    order: tuple[str, ...] | None = None
    #: Fields that a text with this name has to give although the class has a default for them.
    required: tuple[str, ...] = ()
    #: Values that this name sets where the text gives none.
    presets: Mapping[str, object] = dataclasses.field(default_factory=dict, hash=False)
    #: Arguments that are known and not taken, with what to write instead. They can be part of ``order``:
    #: then their position has to be empty.
    refused: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Field:
    """What the dataclass says of one argument."""

    name: str
    type: FieldType[Any]
    #: `REQUIRED` if there is none.
    default: Any
    #: False for arguments that are given by name only.
    positional: bool
    #: None is a value too, written ``none`` (where it is not the default anyway).
    optional: bool
    spellings: tuple[str, ...]
    help: str

    @property
    def required(self) -> bool:
        return self.default is REQUIRED

    @property
    def secret(self) -> bool:
        return SECRET_NAME.search(self.name) is not None

    @property
    def expected(self) -> str:
        """What values there are, in words."""
        none = " or 'none'" if self._writes_none else ""
        return self.type.expected + none

    def parse(self, text: str, read_inner: ReadInner) -> Any:
        """Turn text into a value that is allowed; ValueError, with a reason or none, if it is not.

        Args:
            text: The value as it was written, without escapes and brackets.
            read_inner: Reads it if it is a description.
        """
        if isinstance(self.type, Inner):
            inner = self.type.read(text, read_inner)
            self.type.check(inner)
            return inner
        return self._parse_plain(text)

    def _parse_plain(self, text: str) -> Any:
        if self._writes_none and text.lower() == "none":
            return None
        value = self.type.parse(text)
        self.type.check(value)
        return value

    def reader(self) -> Callable[[str], Any]:
        """Give what does the same as `parse` for a field that holds no description."""
        # Not one that is inherited: the class may allow less than the one above it.
        has_short_way = "take" in vars(type(self.type)) and not self._writes_none
        return self.type.take if has_short_way else self._parse_plain  # type: ignore[attr-defined]

    def format(self, value: Any, *, masked: bool = False) -> str:
        """Turn a value into text that parses back to it."""
        if masked and self.secret:
            return "***"
        if masked and isinstance(self.type, Inner) and value is not None:
            return self.type.format(value, masked=True)
        return "none" if value is None else self.type.format(value)

    def check(self, value: Any) -> None:
        """Raise ValueError, with a reason or none, if a value is not allowed."""
        if value is None and self.optional:
            return
        self.type.check(value)
        if self._writes_none and isinstance(value, str) and value.lower() == "none":
            raise ValueError

    def problem(self, value: Any, reason: str = "", *, hidden: bool = False) -> str:
        """Say that a value is not one of this field.

        Args:
            value: What was given.
            reason: What is wrong with it, where more can be said than what is expected.
            hidden: The value may be a piece of a secret.
        """
        if hidden or self.secret:
            return f"{self.name} is ***, expected {self.expected}"
        if isinstance(value, str) and not isinstance(self.type, Inner) and may_hide(value):
            reason = ""  # it can repeat a piece of the secret
        return f"{self.name} is {shorten(value)}, {reason or f'expected {self.expected}'}"

    @property
    def _writes_none(self) -> bool:
        return self.optional and self.default is not None


class Inner:
    """The type of a field that holds a spec of its own, written as a description in brackets.

    Args:
        role: ``"client"`` or ``"server"``.
        rest: The field takes the rest of the text: the kind is a wrapper.
        stream: What has datagrams alone is refused.
    """

    def __init__(self, role: str, *, rest: bool = False, stream: bool = False) -> None:
        self.role = role
        self.rest = rest
        self.stream = stream
        self.expected = f"the description of a {role} in brackets"

    def read(self, text: str, read_inner: ReadInner) -> Any:
        """Turn text into a value; DescriptionError if it is none."""
        return read_inner(text, self.role)

    def format(self, value: Spec, *, masked: bool = False) -> str:
        return value.display() if masked else str(value)

    def check(self, value: Spec) -> None:
        if getattr(type(value), "role", None) != self.role:
            msg = f"expected the spec of a {self.role}"
            raise ValueError(msg)
        if self.stream and not value.has_stream:
            kind = f"{with_article(value.names[0].text)} {self.role}"
            msg = f"but {kind} has datagrams, and what is needed is a stream"
            raise ValueError(msg)
        given = (field.name for field, _ in grammar(type(value)).given(value))
        if self.role == "client" and not self.rest and "timeout" in given:
            # That of the outermost client covers all stages: this one would be without effect.
            msg = "which has a timeout: it belongs to the outermost endpoint"
            raise ValueError(msg)


class Grammar:
    """What the fields of a kind say about its text.

    Args:
        cls: The dataclass of the kind.

    Raises:
        TypeError: The class does not follow the rules for specs.
    """

    def __init__(self, cls: type[Spec]) -> None:
        if not dataclasses.is_dataclass(cls) or "__repr__" in vars(cls):
            msg = f"{cls.__name__} is to be declared with @dataclass(frozen=True, slots=True, repr=False)"
            raise TypeError(msg)
        _check_names(cls)
        hints = get_type_hints(cls, include_extras=True)
        self.cls: type[Spec] = cls
        self.fields: tuple[Field, ...] = tuple(
            _field(cls, each, hints[each.name]) for each in dataclasses.fields(cls)
        )
        self.rest: Field | None = next((each for each in self.fields if _is_rest(each)), None)
        self.positions: tuple[str, ...] = tuple(
            each.name for each in self.fields if each.positional and each is not self.rest
        )
        self._arguments: tuple[Field, ...] = tuple(
            each for each in self.fields if each is not self.rest
        )
        self._by_spelling: dict[str, Field] = {
            spelling: each for each in self._arguments for spelling in (each.name, *each.spellings)
        }
        self._required: tuple[str, ...] = tuple(each.name for each in self.fields if each.required)
        self._defaults: tuple[tuple[str, Any, Field], ...] = tuple(
            (each.name, each.default, each) for each in self.fields
        )
        self._has_check: bool = _overrides(cls, "check")
        self._takers: dict[str, Taker] = {
            spelling: (each.name, each.reader())
            for spelling, each in self._by_spelling.items()
            if not isinstance(each.type, Inner)
        }
        self._plans: dict[str, Plan | None] = {each.text: self._plan(each) for each in cls.names}

    def check(self, spec: Spec) -> None:
        """Raise `SpecError` at the first field whose value is not allowed."""
        for name, default, field in self._defaults:
            if getattr(spec, name) is not default:
                self._check_value(field, getattr(spec, name))

    def _check_value(self, field: Field, value: Any) -> None:
        try:
            field.check(value)
        except ValueError as error:
            raise SpecError(field.name, field.problem(value, str(error))) from None

    def given(self, spec: Spec) -> list[tuple[Field, Any]]:
        """List the fields that are not at their defaults, with their values."""
        values = ((each, getattr(spec, each.name)) for each in self.fields)
        return [(each, value) for each, value in values if each.required or value != each.default]

    def format(self, spec: Spec, *, masked: bool = False) -> str:
        """Write the canonical text of a spec."""
        name = self.cls.names[0]
        texts = {
            field.name: field.format(value, masked=masked) for field, value in self.given(spec)
        }
        inner = texts.pop(self.rest.name) if self.rest else None
        ordinary = name.order or self.positions
        first = next((texts[each] for each in ordinary if each in texts), None)
        positional: list[str] = []
        if inner is None:
            for each in self.cls.order(name, first):
                if each not in texts:
                    break
                positional.append(texts.pop(each))
        text = join(name.text, positional, list(texts.items()))
        return text if inner is None else f"{text}:{inner}"

    def parse(self, text: str, name: Name, arguments: Arguments, read_inner: ReadInner) -> Spec:
        """Turn the arguments of a description into a spec.

        Args:
            text: The description.
            name: The name of the kind that it starts with.
            arguments: What follows, as `split` gives it.
            read_inner: Reads the descriptions in it.

        Raises:
            DescriptionError: Any of them is wrong.
        """
        values: dict[str, Any] = {}
        try:
            if self.rest is not None:
                self._read_wrapper(text, name, arguments, values, read_inner)
            elif self.positions or arguments != [(None, None)]:  # as in "stdio:"
                self._read(text, name, arguments, values, read_inner)
            given = {**name.presets, **values} if name.presets else values
            for each in self._required + name.required:
                if each not in given:
                    raise _ArgumentError(None, self._missing(name, each))
            if name.refused:
                given = {each: given[each] for each in given if each not in name.refused}
            return self._build(given)
        except SpecError as error:
            # The values are in the order of the arguments, one for each.
            index = next((at for at, each in enumerate(values) if each == error.field), None)
            wrong = _ArgumentError(index, error.problem)
            raise wrong.located(text, self._by_spelling) from None
        except _ArgumentError as wrong:
            raise wrong.located(text, self._by_spelling) from None

    def _build(self, values: dict[str, Any]) -> Spec:
        """Make a spec of values that have been checked, each alone."""
        spec: Spec = type.__call__(self.cls, **values)
        if self._has_check:
            spec.check()
        return spec

    def _plan(self, name: Name) -> Plan | None:
        """Say how a plain description is read, if that is always the same for a name."""
        order = name.order or self.positions
        needed = self._required + name.required
        is_usual = order[: len(needed)] == needed and not (name.presets or name.refused)
        if not is_usual or self.rest is not None or _overrides(self.cls, "order"):
            return None
        fields = [self._by_spelling[each] for each in order]
        if any(isinstance(each.type, Inner) for each in fields):
            return None
        return needed, tuple((each.name, each.reader()) for each in fields)

    def parse_plain(self, name: Name, arguments: Arguments) -> Spec | None:
        """Make the spec of a plain description that is right; None of all others.

        Where the required fields come first, positions that fill other fields than the first would fill one
        twice. Most descriptions are so, and this takes half the time.
        """
        plan = self._plans[name.text]
        if plan is None:
            return None
        needed, positions = plan
        values: dict[str, Any] = {}
        count = 0
        try:
            for key, word in arguments:
                if key is None:
                    field, take = positions[count]
                    count += 1
                else:
                    field, take = self._takers[key]
                if word is None or field in values:
                    return None
                values[field] = take(word)
            for each in needed:
                if each not in values:
                    return None
            return self._build(values)
        except (ValueError, LookupError):
            return None  # the long way says what is wrong

    def _read(
        self,
        text: str,
        name: Name,
        arguments: Arguments,
        values: dict[str, Any],
        read_inner: ReadInner,
    ) -> None:
        """Write the value of each argument into ``values``, in their order."""
        positions: Iterator[str] | None = None
        for key, word in arguments:
            if key is not None:
                field = self._by_spelling.get(key)
            else:
                if positions is None:
                    order = self.cls.order(name, word)
                    # Without keywords, required fields in front are filled first either way.
                    required = self._required + name.required
                    if "=" in text or order[: len(required)] != required:
                        order = self._positions(name, order, arguments)
                    positions = iter(order)
                position = next(positions, "")
                if word is None and position in name.refused:
                    values[position] = None
                    continue
                field = self._by_spelling.get(position)
            if field is None or field.name in values:
                raise self._misplaced(name, arguments, len(values), field)
            try:
                if word is None:
                    values[field.name] = self._default(name, field)
                else:
                    values[field.name] = field.parse(word, read_inner)
            except DescriptionError as error:
                raise _ArgumentError(len(values), error.problem, inner=error) from None
            except ValueError as error:
                raise self._wrong_value(name, arguments, len(values), field, str(error)) from None

    def _default(self, name: Name, field: Field) -> Any:
        """Give what an empty argument stands for."""
        value = name.presets.get(field.name, field.default)
        if value is REQUIRED or field.name in name.required:
            raise ValueError
        return value

    def _positions(
        self, name: Name, order: tuple[str, ...], arguments: Arguments
    ) -> tuple[str, ...]:
        """Give the fields that the positional arguments fill, in order."""
        keys = [key for key, _ in arguments]
        named = {self._by_spelling[key].name for key in keys if key in self._by_spelling}
        needed = self._required + name.required
        unfilled = tuple(each for each in order if each in needed and each not in named)
        return unfilled if keys.count(None) <= len(unfilled) else order

    def _read_wrapper(
        self,
        text: str,
        name: Name,
        arguments: Arguments,
        values: dict[str, Any],
        read_inner: ReadInner,
    ) -> None:
        """As `_read`, for a wrapper: its own arguments, then the description that it wraps."""
        assert self.rest is not None
        count = next((at for at, (key, _) in enumerate(arguments) if key is None), len(arguments))
        self._read(text, name, arguments[:count], values, read_inner)
        if count < len(arguments):
            start = _argument(text, count).start
            try:
                values[self.rest.name] = self.rest.parse(text[start:], read_inner)
            except DescriptionError as error:
                place = start + error.position
                names = error.names.union(self._by_spelling)
                raise DescriptionError(text, place, error.problem, names) from None
            except ValueError as error:
                hidden = _after_secret(arguments, count)
                problem = self.rest.problem(text[start:], str(error), hidden=hidden)
                raise _ArgumentError(count, problem, key=True) from None

    def _wrong_value(
        self, name: Name, arguments: Arguments, index: int, field: Field, reason: str
    ) -> _ArgumentError:
        """Say what is wrong with the value of an argument."""
        key, text = arguments[index]
        positional = [at for at, (each, _) in enumerate(arguments) if each is None]
        order = self._order(name, arguments)
        if key is None and len(positional) > len(order):
            # A colon too many is the likelier mistake, and puts every value in a wrong place.
            return _ArgumentError(positional[len(order)], self._too_many(name, order), key=True)
        if text is None:
            return _ArgumentError(index, self._missing(name, field.name))
        hidden = _after_secret(arguments, index)
        return _ArgumentError(index, field.problem(text, reason, hidden=hidden))

    def _misplaced(
        self, name: Name, arguments: Arguments, index: int, field: Field | None
    ) -> _ArgumentError:
        """Say what is wrong with an argument that has no field, or whose field is filled already."""
        key = arguments[index][0]
        if field is not None:
            named = [each for each, _ in arguments[: index + 1] if each in self._spellings(field)]
            how = "twice" if len(named) > 1 else "by position and by name"
            return _ArgumentError(index, f"{field.name} is given {how}", key=True)
        if key is not None:
            hidden = _after_secret(arguments, index)
            return _ArgumentError(index, self._unknown(name, key, hidden=hidden), key=True)
        order = self._order(name, arguments)
        place = [at for at, (each, _) in enumerate(arguments) if each is None].index(index)
        if place < len(order):
            return _ArgumentError(index, self._unknown(name, order[place], hidden=False))
        return _ArgumentError(index, self._too_many(name, order), key=True)

    def _spellings(self, field: Field) -> tuple[str, ...]:
        return (field.name, *field.spellings)

    def _order(self, name: Name, arguments: Arguments) -> tuple[str, ...]:
        first = next((text for key, text in arguments if key is None), None)
        return self.cls.order(name, first)

    def _too_many(self, name: Name, order: tuple[str, ...]) -> str:
        count = _count(len(order), "positional argument")
        takes = f"takes {count} ({', '.join(order)})" if order else "takes no positional arguments"
        return f"{self._a(name)} {takes}; a value with ':' goes in brackets, as in [::1]"

    def _missing(self, name: Name, field: str) -> str:
        return f"{self._a(name)} needs {with_article(field)}, as in {name.example}"

    def _unknown(self, name: Name, key: str, *, hidden: bool) -> str:
        if key in name.refused:
            return f"{self._a(name)} takes no {key!r}: {name.refused[key]}"
        own = [each.name for each in self._arguments]
        right = nearest(key, list(self._by_spelling))
        shown = f"option {shorten(key)}" if right or not hidden else "such option"
        if not right:
            right = f" (it has: {', '.join(own)})" if own else ": it has none"
        return f"{self._a(name)} has no {shown}{right}"

    def _a(self, name: Name) -> str:
        return f"{with_article(name.text)} {self.cls.role}"


class _ArgumentError(Exception):
    """A problem with the argument at an index, or, without one, with the end of the text."""

    def __init__(
        self,
        index: int | None,
        problem: str,
        *,
        key: bool = False,
        inner: DescriptionError | None = None,
    ) -> None:
        self.index = index
        self.problem = problem
        self.key = key
        self.inner = inner

    def located(self, text: str, names: Iterable[str]) -> DescriptionError:
        """Find the place in the text, which reading a right description need not know.

        Args:
            text: The description.
            names: The arguments that its kind has.
        """
        known = frozenset(names)
        if self.index is None:
            return DescriptionError(text, len(text), self.problem, known)
        argument = _argument(text, self.index)
        if self.inner is not None:
            known |= self.inner.names
            position = argument.position(self.inner.position)
        else:
            position = argument.start if self.key else argument.value_start
        return DescriptionError(text, position, self.problem, known)


def _argument(text: str, index: int) -> Argument:
    """Find an argument in a description that has been read once."""
    return next(islice(scan(text), index, None))


def _after_secret(arguments: Arguments, index: int) -> bool:
    """Tell whether an argument may be a piece of a secret before it that has an unescaped colon."""
    return any(key is not None and is_secret(key) for key, _ in arguments[:index])


def _check_names(cls: type[Spec]) -> None:
    for name in cls.names:
        if not _NAME.fullmatch(name.text):
            msg = f"{cls.__name__}: the name {name.text!r} is to be lower-case letters and digits"
            raise TypeError(msg)
    if cls.names[0].presets:
        msg = f"{cls.__name__}: its first name, that of the canonical text, is to have no presets"
        raise TypeError(msg)


def _field(cls: type[Spec], field: dataclasses.Field[Any], hint: Any) -> Field:
    """Read one field of a dataclass, whose annotation is ``Annotated[type, Help(…)]``."""
    extras, optional, plain = _unfold(hint)
    type_ = next((each for each in extras if hasattr(each, "expected")), None)
    help_ = next((each for each in extras if isinstance(each, Help)), None)
    where = f"{cls.__name__}.{field.name}"
    if type_ is None or help_ is None:
        msg = f"{where} is to be annotated as Annotated[type of asyncendpoints.fields, Help(…)], not {plain}"
        raise TypeError(msg)
    default = REQUIRED if field.default is dataclasses.MISSING else field.default
    described = Field(
        field.name, type_, default, not field.kw_only, optional, help_.spellings, help_.text
    )
    if type_.expected == "a secret" and not (described.secret and field.kw_only):
        msg = f"{where} is a secret: it is to be keyword-only, and its name to say so, as 'password' does"
        raise TypeError(msg)
    _check_default(where, described)
    return described


def _check_default(where: str, field: Field) -> None:
    if field.required:
        return
    try:
        field.check(field.default)
    except ValueError:
        msg = f"{where} has the default {field.default!r}, expected {field.expected}"
        raise TypeError(msg) from None


def _unfold(hint: Any) -> tuple[list[Any], bool, Any]:
    """Give the extras of an annotation, whether None is allowed, and the plain type."""
    extras: list[Any] = []
    optional = False
    while True:
        if get_origin(hint) is Annotated:
            hint, *more = get_args(hint)
            extras += more
        elif get_origin(hint) in (Union, UnionType) and type(None) in get_args(hint):
            optional = True
            (hint,) = (each for each in get_args(hint) if each is not type(None))
        else:
            return extras, optional, hint


def _overrides(cls: type[Spec], method: str) -> bool:
    """Tell whether a kind has a method of its own in place of that of all specs."""
    *own, _, _ = cls.__mro__  # the last are Spec and object
    return any(method in vars(each) for each in own)


def _is_rest(field: Field) -> bool:
    return isinstance(field.type, Inner) and field.type.rest


@cache
def grammar(cls: type[Spec]) -> Grammar:
    """Give the grammar of a kind, made once for each class."""
    return Grammar(cls)


def with_article(word: str) -> str:
    """Put the indefinite article in front of a word, as it is spoken."""
    return f"an {word}" if word[0] in "aeio" or word in {"fd", "srv", "ssl"} else f"a {word}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
