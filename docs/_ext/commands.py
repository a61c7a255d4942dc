"""The directive ``commands``: the help of the program and of each of its commands, asked of the program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from docutils import nodes
from docutils.parsers.rst import Directive

from asyncendpoints.cli.program import program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx

NAME = "asyncendpoints"
#: Columns of the help.
WIDTH = 96


def walk(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    """Give the path and the help of a command, and of those below it."""
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                yield from walk(below, _context(below, name, context))


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    return command.make_context(
        name, [], parent=parent, resilient_parsing=True, terminal_width=WIDTH
    )


class Commands(Directive):
    """``.. commands::``: a section for each command."""

    def run(self) -> list[nodes.Node]:
        top = _context(program, NAME, None)
        return [self._section(path, text) for path, text in walk(program, top)]

    def _section(self, path: str, text: str) -> nodes.section:
        section = nodes.section(ids=[nodes.make_id(path)])
        self.state.document.note_implicit_target(section)
        section += nodes.title(path, path)
        section += nodes.literal_block(text, text, language="text")
        return section


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True}
