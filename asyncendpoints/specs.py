"""Specs: the values that descriptions stand for.

A spec is a frozen dataclass whose fields are the arguments of its kind. Everything else that is known of a
kind (parsing, canonical text, help, error messages) is derived from those fields, in the `Grammar` of the
class. Pure: nothing here opens a file or a socket, reads the environment or a clock. (The first use of a
kind imports it, and an unknown name looks for plug-ins: see `asyncendpoints.register`.)
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from asyncendpoints.description import join, scan, split
from asyncendpoints.errors import SECRET_NAME, DescriptionError, SpecError, nearest
from asyncendpoints.fields import FieldType, Help
from asyncendpoints.register import find

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable, Mapping, Sequence

    from asyncendpoints.addresses import Address
    from asyncendpoints.attempt import Attempt
    from asyncendpoints.listeners import Acceptor, Listener

__all__ = [
    "REQUIRED",
    "ClientSpec",
    "Field",
    "Grammar",
    "Inner",
    "Name",
    "ServerSpec",
    "Spec",
    "grammar",
    "parse_client",
    "parse_server",
]

S = TypeVar("S", bound="Spec")
P = TypeVar("P", bound="asyncio.BaseProtocol")

#: The default of a field that has none.
REQUIRED: Any = dataclasses.MISSING


@dataclass(frozen=True, slots=True)
class Name:
    """One of the names that a kind answers to."""

    text: str
    #: A description that works, for messages and help.
    example: str
    #: The fields in positional order; None for the order of the dataclass.
    order: tuple[str, ...] | None = None
    #: Values that this name sets where the text gives none.
    presets: Mapping[str, object] = dataclasses.field(default_factory=dict, hash=False)
    #: Arguments that are known and not taken, with what to write instead.
    refused: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)


class Spec:
    """The base of all specs; use `ClientSpec` or `ServerSpec`.

    A subclass is declared with ``@dataclass(frozen=True, slots=True, repr=False)``.
    """

    __slots__ = ()

    #: The names that the kind answers to; the first is the canonical one.
    names: ClassVar[tuple[Name, ...]]
    #: ``"client"`` or ``"server"``.
    role: ClassVar[str]

    def __post_init__(self) -> None:
        grammar(type(self)).check(self)
        self.check()

    def check(self) -> None:
        """Raise `SpecError` where fields do not go together; each alone has been checked."""

    @classmethod
    def order(cls, name: Name, first: str | None) -> tuple[str, ...]:
        """Give the fields in positional order, for a description whose first position holds ``first``."""
        return name.order or grammar(cls).positions

    def __str__(self) -> str:
        return grammar(type(self)).format(self)

    def __repr__(self) -> str:
        shown = (
            f"{field.name}={'***' if field.secret else repr(value)}"
            for field, value in grammar(type(self)).given(self)
        )
        return f"{type(self).__name__}({', '.join(shown)})"

    def display(self) -> str:
        """Give the canonical text with every secret masked: for messages and logs."""
        return grammar(type(self)).format(self, masked=True)


class ClientSpec(Spec):
    """The base of specs that connect.

    A kind gives `open`, and `open_socket` too if its bytes are those of a plain socket.
    """

    __slots__ = ()
    role = "client"

    async def open(
        self, attempt: Attempt, factory: Callable[[], P]
    ) -> tuple[asyncio.Transport, P]:
        """Connect, and give the transport and the protocol, which ``factory`` makes last of all.

        Raises:
            ConnectError: Made by ``attempt.error``; with it every socket of the attempt is closed.
        """
        return await attempt.adopt(await self.open_socket(attempt), factory)

    def is_plain(self) -> bool:
        """Tell whether the bytes of a connection are those of its socket: nothing like TLS between."""
        return type(self).open is ClientSpec.open

    async def open_socket(self, attempt: Attempt) -> socket.socket:
        """Connect, and give the connected, non-blocking socket."""
        raise attempt.error(f"a {self.names[0].text} client has no plain socket to build on")


class ServerSpec(Spec):
    """The base of specs that listen."""

    __slots__ = ()
    role = "server"

    def beside(self, others: Sequence[ServerSpec]) -> ServerSpec:  # noqa: ARG002 - for subclasses
        """Give the spec to bind when the others are bound in the same call: as a rule itself."""
        return self

    def is_plain(self) -> bool:
        """Tell whether the bytes of a connection are those of its socket: nothing like TLS between."""
        return type(self).acceptor is ServerSpec.acceptor

    def bind(self) -> list[Listener]:
        """Open and bind the listening sockets, all or none.

        Raises:
            ListenError: The endpoint cannot be bound.
        """
        raise NotImplementedError

    def acceptor(self) -> Acceptor:
        """Load what accepting needs, such as keys; called once for each listen.

        Raises:
            ListenError: A file cannot be read or does not hold what it should.
        """
        from asyncendpoints.listeners import PlainAcceptor  # a spec alone needs no sockets

        return PlainAcceptor()

    def client(self, address: Address, acceptor: Acceptor) -> ClientSpec | None:  # noqa: ARG002
        """Give the spec that reaches a listener of this kind, or None where there is none."""
        return None


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
        none = " or 'none'" if self.optional and self.default is not None else ""
        return self.type.expected + none

    def parse(self, text: str) -> Any:
        if self.optional and self.default is not None and text.lower() == "none":
            return None
        return self.type.parse(text)

    def format(self, value: Any) -> str:
        if value is None:
            return "none"
        return self.type.format(value)

    def problem(self, value: Any, reason: str = "") -> str:
        """Say that a value is not one of this field."""
        shown = "***" if self.secret else repr(value)
        return f"{self.name} is {shown}, {reason or f'expected {self.expected}'}"


class Inner:
    """The type of a field that holds a spec of its own, written as a description in brackets.

    Args:
        role: ``"client"`` or ``"server"``.
        rest: The field takes the rest of the text: the kind is a wrapper.
    """

    def __init__(self, role: str, *, rest: bool = False) -> None:
        self.role = role
        self.rest = rest
        self.expected = f"the description of a {role} in brackets"

    def parse(self, text: str) -> Spec:
        return _parse(text, self.role)

    def format(self, value: Spec) -> str:
        return str(value)

    def check(self, value: Spec) -> None:
        if not isinstance(value, Spec) or value.role != self.role:
            raise ValueError


class Grammar:
    """What the fields of a kind say about its text.

    Args:
        cls: The dataclass of the kind.

    Raises:
        TypeError: The class does not follow the rules for specs.
    """

    def __init__(self, cls: type[Spec]) -> None:
        if not dataclasses.is_dataclass(cls) or cls.__repr__ is not Spec.__repr__:
            msg = f"{cls.__name__} is to be declared with @dataclass(frozen=True, slots=True, repr=False)"
            raise TypeError(msg)
        hints = get_type_hints(cls, include_extras=True)
        self.cls = cls
        self.fields = tuple(
            _field(cls, each, hints[each.name]) for each in dataclasses.fields(cls)
        )
        self.rest = next((each for each in self.fields if _is_rest(each)), None)
        self.positions = tuple(
            each.name for each in self.fields if each.positional and each is not self.rest
        )
        self._by_name = {each.name: each for each in self.fields}
        self._by_spelling = {
            spelling: each for each in self.fields for spelling in (each.name, *each.spellings)
        }
        self._required = tuple(each.name for each in self.fields if each.required)
        self._checks = tuple((each.name, each.default, each) for each in self.fields)

    def check(self, spec: Spec) -> None:
        """Raise `SpecError` at the first field whose value is not allowed."""
        for name, default, field in self._checks:
            value = getattr(spec, name)
            if value is default or (value is None and field.optional):
                continue
            try:
                field.type.check(value)
            except ValueError as error:
                raise SpecError(name, field.problem(value, str(error))) from None

    def given(self, spec: Spec) -> list[tuple[Field, Any]]:
        """List the fields that are not at their defaults, with their values."""
        values = ((each, getattr(spec, each.name)) for each in self.fields)
        return [(each, value) for each, value in values if each.required or value != each.default]

    def format(self, spec: Spec, *, masked: bool = False) -> str:
        """Write the canonical text of a spec."""
        name = self.cls.names[0]
        texts = {
            field.name: "***" if masked and field.secret else _format(field, value, masked)
            for field, value in self.given(spec)
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

    def parse(
        self, text: str, name: Name, arguments: Sequence[tuple[str | None, str | None]]
    ) -> Spec:
        """Turn the arguments of a description into a spec.

        Raises:
            DescriptionError: Any of them is wrong.
        """
        try:
            if self.rest:
                values, sources = self._wrapped(text, name, arguments)
            else:
                values, sources = self._values(name, arguments)
            for each in self._required:
                if each not in values:
                    raise _Wrong(None, self._missing(name, each))
            if name.presets:
                values = {**name.presets, **values}
            try:
                return self.cls(**values)
            except SpecError as error:
                raise _Wrong(sources.get(error.field), error.problem) from None
        except _Wrong as wrong:
            raise wrong.located(text) from None

    def _values(
        self, name: Name, arguments: Sequence[tuple[str | None, str | None]]
    ) -> tuple[dict[str, Any], dict[str, int]]:
        """Give the value of each field, and the index of the argument that it came from."""
        values: dict[str, Any] = {}
        sources: dict[str, int] = {}
        positional: list[tuple[int, str | None]] = []
        for index, (key, text) in enumerate(arguments):
            if key is None:
                positional.append((index, text))
                continue
            field = self._by_spelling.get(key)
            if field is None:
                raise _Wrong(index, self._unknown(name, key), key=True)
            if field.name in sources:
                raise _Wrong(index, f"{field.name} is given twice", key=True)
            sources[field.name] = index
            if text is not None:
                values[field.name] = _parse_value(field, text, index)
        if positional:
            order = self.cls.order(name, positional[0][1])
            open_ = [each for each in self._required if each not in sources]
            if len(positional) <= len(open_):
                order = tuple(each for each in order if each in open_)
            if len(positional) > len(order):
                raise _Wrong(
                    positional[len(order)][0],
                    f"{_a(name.text)} {self.cls.role} takes no more than "
                    f"{len(order)} positional arguments ({', '.join(order)})",
                )
            for each, (index, text) in zip(order, positional, strict=False):
                if each in sources:
                    raise _Wrong(index, f"{each} is given by position and by name")
                sources[each] = index
                if text is not None:
                    values[each] = _parse_value(self._by_name[each], text, index)
        return values, sources

    def _wrapped(
        self, text: str, name: Name, arguments: Sequence[tuple[str | None, str | None]]
    ) -> tuple[dict[str, Any], dict[str, int]]:
        """As `_values`, for a wrapper: its own arguments, then the description that it wraps."""
        assert self.rest is not None
        count = next(
            (index for index, (key, _) in enumerate(arguments) if key is None), len(arguments)
        )
        values, sources = self._values(name, arguments[:count])
        if count < len(arguments):
            start = scan(text)[count].start
            sources[self.rest.name] = count
            try:
                values[self.rest.name] = self.rest.type.parse(text[start:])
            except DescriptionError as error:
                raise DescriptionError(text, start + error.position, error.problem) from None
        return values, sources

    def _missing(self, name: Name, field: str) -> str:
        return f"{_a(name.text)} {self.cls.role} needs {_a(field)}, as in {name.example}"

    def _unknown(self, name: Name, key: str) -> str:
        kind = f"{_a(name.text)} {self.cls.role}"
        if key in name.refused:
            return f"{kind} takes no {key!r}: {name.refused[key]}"
        close = nearest(key, list(self._by_spelling))
        own = ", ".join(each.name for each in self.fields if each is not self.rest)
        return f"{kind} has no option {key!r}{close or f' (it has: {own})'}"


class _Wrong(Exception):
    """A problem with the argument at an index, or, without one, with the end of the text."""

    def __init__(
        self, index: int | None, problem: str, *, key: bool = False, inner: int | None = None
    ) -> None:
        self.index = index
        self.problem = problem
        self.key = key
        self.inner = inner

    def located(self, text: str) -> DescriptionError:
        """Find the place in the text, which reading a right description need not know."""
        if self.index is None:
            return DescriptionError(text, len(text), self.problem)
        argument = scan(text)[self.index]
        if self.inner is not None:
            position = argument.position(self.inner)
        else:
            position = argument.start if self.key else argument.value_start
        return DescriptionError(text, position, self.problem)


def _parse_value(field: Field, text: str, index: int) -> Any:
    try:
        return field.parse(text)
    except DescriptionError as error:
        raise _Wrong(index, error.problem, inner=error.position) from None
    except ValueError as error:
        raise _Wrong(index, field.problem(text, str(error))) from None


def _format(field: Field, value: Any, masked: bool) -> str:
    if masked and isinstance(value, Spec):
        return value.display()
    return field.format(value)


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
        msg = f"{where} is a secret: it is to be keyword-only, with 'password', 'passphrase', 'secret' or 'token' in its name"
        raise TypeError(msg)
    return described


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


def _is_rest(field: Field) -> bool:
    return isinstance(field.type, Inner) and field.type.rest


@cache
def grammar(cls: type[Spec]) -> Grammar:
    """Give the grammar of a kind, made once for each class."""
    return Grammar(cls)


def parse_client(text: str) -> ClientSpec:
    """Turn a description into the spec of a client.

    >>> parse_client("tcp:host=example.org:port=80")
    TCPClient(host='example.org', port=80)

    Raises:
        DescriptionError: The text is no description of a client.
        TypeError: ``text`` is not a ``str``.
    """
    spec = _parse(text, "client")
    assert isinstance(spec, ClientSpec)
    return spec


def parse_server(text: str) -> ServerSpec:
    """Turn a description into the spec of a server.

    >>> parse_server("tcp:8080:interface=127.0.0.1")
    TCPServer(port=8080, interface='127.0.0.1')

    Raises:
        DescriptionError: The text is no description of a server.
        TypeError: ``text`` is not a ``str``.
    """
    spec = _parse(text, "server")
    assert isinstance(spec, ServerSpec)
    return spec


def _parse(text: str, role: str) -> Spec:
    kind, arguments = split(text)
    cls, name = find(text, kind, role)
    try:
        return grammar(cls).parse(text, name, arguments)
    except RecursionError:
        raise DescriptionError(text, 0, "is nested too deeply") from None


def _a(word: str) -> str:
    """Put the indefinite article in front of a word, as it is spoken."""
    return f"an {word}" if word[0] in "aeio" or word in {"fd", "ssl"} else f"a {word}"
