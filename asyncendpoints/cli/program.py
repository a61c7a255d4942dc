"""The program: its commands, and the exit codes that they share."""

from __future__ import annotations

from typing import Any

import click

from asyncendpoints.cli.check import check
from asyncendpoints.cli.demo import demo
from asyncendpoints.cli.exits import INTERRUPTED
from asyncendpoints.cli.kinds import kinds
from asyncendpoints.cli.relay import relay
from asyncendpoints.errors import EndpointError

__all__ = ["program"]

_EXAMPLES = """\b
Examples:
  asyncendpoints demo
  asyncendpoints relay tls:8443:selfsigned=localhost tcp:127.0.0.1:8000
  asyncendpoints check tls:example.org:443
  asyncendpoints kinds unix
"""


class Program(click.Group):
    """A group of commands whose errors end in one line and one of the exit codes 0, 1, 2 and 130."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EndpointError as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None


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


for command in (relay, check, kinds, demo):
    program.add_command(command)
