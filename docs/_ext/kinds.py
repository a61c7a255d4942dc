"""The directive ``kinds``: a section for each kind of a role, made from the dataclasses.

Nothing about a kind is written twice: a new argument is in the documentation once it is in the class.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar

from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.util.nodes import nested_parse_with_titles

from asyncendpoints.grammar import REQUIRED, Field, Name, grammar
from asyncendpoints.registry import find, known

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx

    from asyncendpoints.specs import Spec


_USUAL = "tcp tls unix udp systemd fd"


def classes(role: str) -> list[type[Spec]]:
    """List the classes of the built-in kinds of a role: the usual ones first, then by name."""
    found = dict.fromkeys(find(kind, kind, role)[0] for kind in known(role))
    own = [cls for cls in found if cls.__module__.startswith("asyncendpoints.")]
    return sorted(own, key=lambda cls: _USUAL.find(cls.names[0].text) % 100)


def section(cls: type[Spec]) -> list[str]:
    """Write the section of a kind in reStructuredText."""
    names = ", ".join(f"``{each.text}``" for each in cls.names)
    lines = [
        f".. _{cls.role}-{cls.names[0].text}:",
        "",
        names,
        "~" * len(names),
        "",
        *inspect.cleandoc(cls.__doc__ or "").splitlines(),
        "",
    ]
    for name in cls.names:
        lines += [*description(cls, name), ""]
    return [
        *lines,
        *table(cls),
        "",
        "In Python:",
        "",
        ".. py:currentmodule:: asyncendpoints",
        "",
        f".. py:class:: {signature(cls)}",
        "",
    ]


def signature(cls: type[Spec]) -> str:
    """Write how a spec is made in Python."""
    fields = grammar(cls).fields
    shown = [_parameter(each) for each in fields if each.positional]
    by_name = [_parameter(each) for each in fields if not each.positional]
    if by_name:
        shown += ["*", *by_name]
    return f"{cls.__name__}({', '.join(shown)})"


def _parameter(field: Field) -> str:
    if field.default is REQUIRED:
        return field.name
    if field.type.expected.startswith("permissions"):
        return f"{field.name}=0o{field.default:o}"
    return f"{field.name}={field.default!r}"


def description(cls: type[Spec], name: Name) -> list[str]:
    """Write what is special to one name of a kind, as one item of a list."""
    known = grammar(cls)
    form, with_number = (_form(cls, name, first) for first in (None, "1"))
    other = "" if form == with_number else f", or {with_number} if the first is a number"
    lines = [f"- {form}{other}, as in ``{name.example}``."]
    for field, value in name.presets.items():
        text = next(each for each in known.fields if each.name == field).format(value)
        lines.append(f"  ``{field}`` is ``{text}`` unless the text says otherwise.")
    for field, instead in name.refused.items():
        lines.append(f"  ``{field}`` is not taken: {instead}.")
    return lines


def _form(cls: type[Spec], name: Name, first: str | None) -> str:
    """Write the positions of a name, for a description whose first position holds ``first``."""
    if grammar(cls).rest is not None:
        return f"``{name.text}:key=value…:DESCRIPTION``"
    positions = (_position(cls, name, each) for each in cls.order(name, first))
    return f"``{':'.join([name.text, *positions])}``"


def _position(cls: type[Spec], name: Name, field: str) -> str:
    needed = field in name.required or any(
        each.name == field and each.required for each in grammar(cls).fields
    )
    return field.upper() if needed else field


def table(cls: type[Spec]) -> list[str]:
    """Write the table of a kind's arguments."""
    own = [each for each in grammar(cls).fields if each is not grammar(cls).rest]
    if not own:
        return ["It has no arguments."]
    lines = [
        ".. list-table::",
        "   :header-rows: 1",
        "   :widths: 20 34 24 22",
        "",
        *row("Argument", "What it is", "Expected", "Default"),
    ]
    for each in own:
        lines += row(_written(each), _plain(each.help), _plain(each.expected), _default(each))
    return lines


def row(*cells: str) -> list[str]:
    """Write a row of a list table."""
    first, *rest = cells
    return [f"   * - {first}", *(f"     - {each}" for each in rest)]


def _plain(text: str) -> str:
    """Write a text so that reStructuredText reads nothing into it."""
    return text.replace("\\", "\\\\").replace("*", "\\*").replace("`", "\\`")


def _written(field: Field) -> str:
    others = "".join(f", ``{each}``" for each in field.spellings)
    by_name = "" if field.positional else " (by name)"
    return f"``{field.name}``{others}{by_name}"


def _default(field: Field) -> str:
    if field.default is REQUIRED:
        return "required"
    if field.default is None:
        return "none"
    return f"``{field.format(field.default)}``"


class Kinds(Directive):
    """``.. kinds:: client`` or ``server``."""

    required_arguments: ClassVar[int] = 1  # type: ignore[misc]

    def run(self) -> list[nodes.Node]:
        lines = StringList()
        for cls in classes(self.arguments[0]):
            for line in section(cls):
                lines.append(line, f"<{cls.__name__}>")
        container = self.state.document.__class__(
            self.state.document.settings, self.state.document.reporter
        )
        container.document = self.state.document
        nested_parse_with_titles(self.state, lines, container, self.content_offset)
        return container.children


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("kinds", Kinds)
    return {"parallel_read_safe": True}
