"""``kinds``: what descriptions there are, from the fields of the specs themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
from rich.table import Table
from rich.text import Text

from asyncendpoints.cli.exits import FAILURE
from asyncendpoints.cli.terminal import console, indented, is_narrow, line, rows
from asyncendpoints.errors import DescriptionError
from asyncendpoints.grammar import grammar
from asyncendpoints.registry import find, known

if TYPE_CHECKING:
    from rich.console import Console

    from asyncendpoints.grammar import Field, Name
    from asyncendpoints.specs import Spec

__all__ = ["Kind", "describe", "kinds", "usage"]

_ROLES = {"client": "Clients, to connect", "server": "Servers, to listen"}


@dataclass(frozen=True, slots=True)
class Kind:
    """A class of specs, or why it cannot be used."""

    name: str
    cls: type[Spec] | None
    problem: str = ""


def _find(name: str, role: str) -> Kind:
    try:
        cls, _ = find(name, name, role)
    except DescriptionError as error:
        return Kind(name, None, error.problem)
    return Kind(name, cls)


def _list(role: str) -> list[Kind]:
    """Give each kind of a role once."""
    found = [_find(name, role) for name in known(role)]
    classes = {each.cls or each.name: each for each in found}
    return list(classes.values())


_EXAMPLES = """\b
Examples:
  asyncendpoints kinds
  asyncendpoints kinds tls
"""


@click.command("kinds", epilog=_EXAMPLES)
@click.argument("kind", required=False)
def kinds(kind: str | None) -> None:
    """List the kinds of endpoints, or the arguments of KIND.

    Arguments are written in the order shown or as name=value; those without a position only by name. A colon
    or a backslash in a value has a backslash in front, or the value is put in brackets.
    """
    to = console()
    if kind is None:
        for role in _ROLES:
            _print_overview(to, role)
        indented(to, Text("The arguments of a kind: asyncendpoints kinds KIND", "dim"), 0)
        return
    name = kind.lower()
    roles = [role for role in _ROLES if name in known(role)]
    if not roles:
        names = ", ".join(sorted({*known("client"), *known("server")}))
        raise click.BadParameter(
            f"there is no kind {kind!r}; there are: {names}", param_hint="KIND"
        )
    broken = [_print_kind(to, role, _find(name, role)) for role in roles]
    if all(broken):
        raise click.exceptions.Exit(FAILURE)


def _print_overview(to: Console, role: str) -> None:
    line(to, _ROLES[role], "bold")
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="cyan")
    table.add_column(overflow="fold")
    for each in _list(role):
        table.add_row(_names(each), _about(each))
        if is_narrow(to):
            indented(to, Text(_names(each), "cyan"), 2)
            indented(to, _about(each), 4)
    if not is_narrow(to):
        rows(to, table)
    to.print()


def _names(kind: Kind) -> str:
    return kind.name if kind.cls is None else ", ".join(each.text for each in kind.cls.names)


def _about(kind: Kind) -> Text:
    """Give a line about a kind, and an example."""
    if kind.cls is None:
        return Text(kind.problem, "red")
    return Text(_summary(kind.cls)).append(f"\n{kind.cls.names[0].example}", "green")


def _print_kind(to: Console, role: str, kind: Kind) -> bool:
    """Print one kind; True if it is broken."""
    if kind.cls is None:
        indented(to, Text(f"{kind.name} as a {role}: {kind.problem}", "red"), 0)
        return True
    indented(to, Text(f"{_names(kind)} as a {role}", "bold"), 0)
    indented(to, Text(describe(kind.cls)), 2)
    to.print()
    for name in kind.cls.names:
        indented(to, usage(kind.cls, name), 2)
    to.print()
    _print_fields(to, kind.cls)
    to.print()
    return False


def usage(cls: type[Spec], name: Name) -> Text:
    """Write the positions of a name, and an example."""
    own = grammar(cls)
    order = [each for each in _order(cls, name) if each not in name.refused]
    required = {each.name for each in own.fields if each.required} | set(name.required)
    words = [f":{each.upper()}" if each in required else f"[:{each.upper()}]" for each in order]
    if own.rest is not None:
        words = [f":{own.rest.name.upper()}"]
    usage = Text(name.text + ("".join(words) or ":"))
    return usage.append("   as in ", "dim").append(name.example, "green")


def _order(cls: type[Spec], name: Name) -> tuple[str, ...]:
    return name.order or grammar(cls).positions


def _in_order(cls: type[Spec]) -> list[Field]:
    """Give the fields of a kind, first those with a position."""
    places = {each: place for place, each in enumerate(_order(cls, cls.names[0]))}
    return sorted(grammar(cls).fields, key=lambda each: places.get(each.name, len(places)))


def _print_fields(to: Console, cls: type[Spec]) -> None:
    fields = _in_order(cls)
    if not fields:
        line(to, "  It takes no arguments.")
    elif is_narrow(to):
        for each in fields:
            _print_field(to, each)
    else:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
        table.add_column("argument", style="cyan", no_wrap=True)
        table.add_column("what it is", ratio=3, overflow="fold")
        table.add_column("value", ratio=2, overflow="fold")
        table.add_column("default", overflow="fold")
        for each in fields:
            table.add_row(each.name, _help(each), each.expected, _default(each))
        rows(to, table)


def _print_field(to: Console, field: Field) -> None:
    indented(to, Text(field.name, "cyan"), 2)
    indented(to, _help(field), 4)
    indented(to, Text(field.expected), 4)
    default = _default(field)
    indented(to, default if field.required else Text("default: ").append_text(default), 4)


def _help(field: Field) -> Text:
    text = Text(field.help)
    if field.spellings:
        text.append(f" (also {', '.join(field.spellings)})", "dim")
    if not field.positional:
        text.append(" (by name)", "dim")
    return text


def _default(field: Field) -> Text:
    if field.required:
        return Text("required", "yellow")
    return Text("-" if field.default is None else field.format(field.default))


def _summary(cls: type[Spec]) -> str:
    return describe(cls).partition("\n")[0]


def describe(cls: type[Spec]) -> str:
    """Give the docstring of a kind, each paragraph on one line; the one of a dataclass says nothing."""
    text = cls.__dict__.get("__doc__") or ""
    if text.startswith(f"{cls.__name__}("):
        return ""
    paragraphs = text.strip().split("\n\n")
    return "\n".join(" ".join(each.replace("``", "").split()) for each in paragraphs)
