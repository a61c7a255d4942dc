"""The program: its commands, and the exit codes that they share.

The law: the module of a command is imported when that command runs, and not before.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any, TextIO

import click

from asyncendpoints.cli.exits import FAILURE, INTERRUPTED
from asyncendpoints.errors import EndpointError

__all__ = ["COMMANDS", "Program", "program"]

#: The module in which each command has its own name, and its line in the list of commands.
COMMANDS = {
    "check": ("check", "Say what descriptions mean and what stands in their way."),
    "demo": ("demo", "Show what this is, in a second or two."),
    "dns": ("nameserver", "Answer DNS queries from files and other servers."),
    "explain": ("explain", "Connect, and draw how long each step took."),
    "kinds": ("kinds", "List the kinds of endpoints and their arguments."),
    "query": ("query", "Ask a name server, and show what it says."),
    "relay": ("relay", "Listen, connect, and carry the bytes both ways."),
    "srv": ("targets", "Show where a service is, and whether it answers."),
}

_EXAMPLES = """\b
Examples:
  asyncendpoints demo
  asyncendpoints relay tls:8443:selfsigned=localhost tcp:127.0.0.1:8000
  asyncendpoints check tls:example.org:443
  asyncendpoints explain tls:example.org:443
  asyncendpoints kinds unix
  asyncendpoints dns --listen dns:10053 --zone example.com.zone
  asyncendpoints query example.org MX
  asyncendpoints srv _imaps._tcp.example.org
"""


#: What nothing but writing fails with: on a full device, beyond a quota or a limit. A closed pipe is left to
#: click, which is quiet then.
_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Program(click.Group):
    """The group of the commands; their errors end in one line and an exit code of 1, 2 or 130."""

    def main(self, *args: Any, **extra: Any) -> Any:
        try:
            return super().main(*args, **extra)
        except OSError as error:
            if error.filename is not None or error.errno not in _UNWRITABLE:
                raise
            _let_go_of(sys.stdout)
            try:
                click.echo(f"Error: cannot write the output: {error.strerror}", err=True)
            except OSError:
                _let_go_of(sys.stderr)
            sys.exit(FAILURE)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - as click calls it
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            module, line = COMMANDS[cmd_name]
            command = getattr(import_module(f"asyncendpoints.cli.{module}"), cmd_name)
            command.short_help = line
            self.add_command(command)
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(each, COMMANDS[each][1]) for each in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EndpointError as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None


def _let_go_of(stream: TextIO) -> None:
    """Keep Python from writing at its end what it could not write before."""
    with suppress(OSError):  # some output of a test is no file
        output = stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, output)
        os.close(nowhere)


@click.group(
    cls=Program,
    epilog=_EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="asyncendpoints", message="%(prog)s %(version)s")
def program() -> None:
    """Connect and listen where a description says.

    A description is one string, such as tcp:example.org:80, tls:443:selfsigned=localhost or
    unix:/run/app.sock:mode=660. "asyncendpoints kinds" lists what there is.
    """
