"""Hypothesis strategies that are derived from the fields of specs, whatever kind they are of."""

from __future__ import annotations

import string
from functools import cache
from typing import TYPE_CHECKING, Any

from hypothesis import reject
from hypothesis import strategies as st

from asyncendpoints.errors import SpecError
from asyncendpoints.fields import Choice, Duration, Flag, HostText, Number, Words
from asyncendpoints.grammar import Inner, grammar
from asyncendpoints.kinds.srv import ServiceText, TargetTemplate, TemplateText
from asyncendpoints.registry import find, known

if TYPE_CHECKING:
    from asyncendpoints.fields import FieldType
    from asyncendpoints.grammar import Field
    from asyncendpoints.specs import Spec

__all__ = ["arguments", "descriptions", "hosts", "kinds", "specs"]

#: What the grammar gives a meaning, and what numbers are confused with.
_SIGNIFICANT = st.sampled_from(
    [*":=[]\\,@%.-_", "\0", "\n", " ", "\ud800", "\uff18", "ß", "0", "9"]
)

#: Texts of which each type of field takes one at least.
_SAMPLES = ("name", "/run/app.sock", f"sha256/{'A' * 43}=", "10.0.0.0/8", "192.0.2.1:80")

#: Descriptions with a place for a host.
_TEMPLATES = ("tcp:{host}:{port}", "tls:x:1:endpoint=[tcp:{host}:80]", r"unix:/run/a\:{host}\=b")

_LABELS = st.text(string.ascii_letters + string.digits + "_", min_size=1, max_size=20)


def arguments() -> st.SearchStrategy[str]:
    """Any text, with more than its share of the characters that mean something."""
    return st.text(st.one_of(_SIGNIFICANT, st.characters()), max_size=40)


def descriptions() -> st.SearchStrategy[str]:
    """Texts that look like descriptions, right and wrong."""
    words = st.sampled_from(
        [*known("client"), *known("server"), "host", "port", "endpoint", "path"]
    )
    marks = st.sampled_from([":", "=", "[", "]", "\\", ",", "80", ":endpoint=[", ":"])
    pieces = st.one_of(words, marks, marks, st.text(max_size=3))
    built = st.lists(pieces, max_size=25).map("".join)
    return st.one_of(built, st.builds("{}:{}".format, words, built))


def hosts() -> st.SearchStrategy[str]:
    """Host names and addresses."""
    names = st.lists(_LABELS, min_size=1, max_size=4).map(lambda labels: ".".join([*labels, "x"]))
    zones = st.builds("{}%{}".format, st.ip_addresses(v=6), _LABELS)
    odd = st.sampled_from(["faß.de", "BÜCHER.example", "example.org.", "_sip.例え.jp"])
    return st.one_of(names, st.ip_addresses().map(str), zones, odd)


def kinds(role: str) -> list[type[Spec]]:
    """Every kind of a role that is registered, each class once."""
    found = (find(name, name, role)[0] for name in known(role))
    return list(dict.fromkeys(found))


@cache
def specs(cls: type[Spec], depth: int = 2) -> st.SearchStrategy[Spec]:
    """Specs of a kind; each field has its default or any other value that it takes.

    Args:
        cls: The kind.
        depth: How many levels of descriptions can be nested in it.
    """
    fields = {
        each.name: each
        for each in grammar(cls).fields
        if depth or each.required or not _nests(each)
    }
    strategies = {name: _values(each, depth) for name, each in fields.items()}

    @st.composite
    def built(draw: st.DrawFn) -> Spec:
        given = [name for name, each in fields.items() if each.required or draw(st.booleans())]
        values = {name: draw(strategies[name]) for name in given}
        while True:
            try:
                return cls(**values)
            except SpecError as error:
                wrong = error.field
            if wrong not in fields or fields[wrong].required:
                reject()
            # It does not go with another field, or another one needs it.
            if values.pop(wrong, None) is None:
                values[wrong] = draw(strategies[wrong].filter(lambda value: value is not None))

    return built()


def _nests(field: Field) -> bool:
    return isinstance(field.type, Inner)


def _needs_another(cls: type[Spec]) -> bool:
    return any(each.required and _nests(each) for each in grammar(cls).fields)


def _values(field: Field, depth: int) -> st.SearchStrategy[Any]:
    values = _allowed(field.type, depth)
    if field.optional:
        values = st.one_of(st.none(), values)
    return values.filter(lambda value: _passes(field, value))


def _allowed(type_: FieldType[Any], depth: int) -> st.SearchStrategy[Any]:
    """Values of a type of field, the special types before those that they build on."""
    match type_:
        case TemplateText():
            return st.sampled_from([TargetTemplate(text) for text in _TEMPLATES])
        case Inner():
            inner = [cls for cls in kinds(type_.role) if depth or not _needs_another(cls)]
            return st.one_of(*(specs(cls, max(0, depth - 1)) for cls in inner))
        case Choice():
            return st.sampled_from(type_.words)
        case Words():
            return st.lists(_allowed(type_.item, depth), min_size=1, max_size=3).map(tuple)
        case Flag():
            return st.booleans()
        case Duration():
            return st.one_of(st.floats(0.0001, 1e9), st.integers(1, 10**9))
        case Number():
            return st.integers(type_.low, type_.high)
        case ServiceText():
            return hosts().map("_imaps._tcp.{}".format)
        case HostText():
            return hosts()
        case _:
            return _texts(type_)


def _texts(type_: FieldType[Any]) -> st.SearchStrategy[Any]:
    """Values that come from text, for types that nothing more is known of."""
    passing = [each for each in _SAMPLES if _reads(type_, each)]
    assert passing, f"no sample for {type(type_).__name__}: add one to _SAMPLES"
    return st.one_of(
        st.sampled_from(passing),
        arguments().map(lambda text: text if _reads(type_, text) else passing[0]),
    ).map(type_.parse)


def _reads(type_: FieldType[Any], text: str) -> bool:
    try:
        type_.check(type_.parse(text))
    except ValueError:
        return False
    return True


def _passes(field: Field, value: object) -> bool:
    try:
        field.check(value)
    except ValueError:
        return False
    return True
