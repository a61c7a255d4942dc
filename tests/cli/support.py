"""Running commands in this process, as from a shell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from click.testing import CliRunner

from asyncendpoints.cli.program import program

if TYPE_CHECKING:
    from click.testing import Result

__all__ = ["run", "words"]


def run(*arguments: str, columns: int = 80, **environment: str) -> Result:
    """Run the program with arguments; its output is that for a terminal of a width, without colours."""
    environment = {"COLUMNS": str(columns), "TERM": "dumb", **environment}
    return CliRunner(env=environment).invoke(program, list(arguments), prog_name="asyncendpoints")


def words(text: str) -> str:
    """Take the line breaks out of a text."""
    return re.sub(r"\s+", " ", text)
