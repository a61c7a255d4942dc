"""``kinds``: what descriptions there are, from the fields of the specs themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from asyncendpoints.cli.exits import FAILURE
from asyncendpoints.cli.terminal import console
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
        to.print("The arguments of a kind: asyncendpoints kinds KIND", style="dim")
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
    to.print(_ROLES[role], style="bold")
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="cyan")
    table.add_column()
    for each in _list(role):
        if each.cls is None:
            table.add_row(each.name, Text(each.problem, "red"))
        else:
            names = ", ".join(name.text for name in each.cls.names)
            summary = Text(_summary(each.cls))
            summary.append(f"\n{each.cls.names[0].example}", "green")
            table.add_row(names, summary)
    to.print(Padding(table, (0, 0, 1, 2)))


def _print_kind(to: Console, role: str, kind: Kind) -> bool:
    """Print one kind; True if it is broken."""
    if kind.cls is None:
        to.print(Text(f"{kind.name} as a {role}: {kind.problem}", "red"))
        return True
    to.print(Text(f"{', '.join(each.text for each in kind.cls.names)} as a {role}", "bold"))
    to.print(Padding(Text(describe(kind.cls)), (0, 0, 1, 2)))
    for name in kind.cls.names:
        to.print(Padding(usage(kind.cls, name), (0, 0, 0, 2)))
    _print_fields(to, kind.cls)
    return False


def usage(cls: type[Spec], name: Name) -> Text:
    """Write the positions of a name, and an example."""
    own = grammar(cls)
    order = [each for each in name.order or own.positions if each not in name.refused]
    required = {each.name for each in own.fields if each.required} | set(name.required)
    words = [f":{each.upper()}" if each in required else f"[:{each.upper()}]" for each in order]
    if own.rest is not None:
        words = [f":{own.rest.name.upper()}"]
    usage = Text(name.text + ("".join(words) or ":"))
    return usage.append("   as in ", "dim").append(name.example, "green")


def _print_fields(to: Console, cls: type[Spec]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("argument", style="cyan", no_wrap=True)
    table.add_column("what it is", ratio=3)
    table.add_column("value", ratio=2)
    table.add_column("default", overflow="fold")
    for each in grammar(cls).fields:
        table.add_row(each.name, _help(each), each.expected, _default(each))
    if table.row_count:
        to.print(Padding(table, (1, 0, 1, 2)))
    else:
        to.print("  It takes no arguments.\n")


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
