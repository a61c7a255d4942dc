"""Arguments of commands that are descriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import click

from asyncendpoints.errors import DescriptionError
from asyncendpoints.specs import (
    ClientSpec,
    DatagramClientSpec,
    DatagramServerSpec,
    ServerSpec,
    parse_client,
    parse_server,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SECONDS", "as_client", "as_server"]

T = TypeVar("T")

#: A number of seconds above 0.
SECONDS = click.FloatRange(min=0, min_open=True)


def as_client(ctx: click.Context, param: click.Parameter, value: str) -> ClientSpec:
    """Read an argument as the description of something to connect to; for ``callback``."""
    spec = _read(parse_client, ctx, param, value)
    if isinstance(spec, DatagramClientSpec):
        problem = (
            f"{spec.display()}: a {spec.names[0].text} client has datagrams and no connections"
        )
        raise click.BadParameter(problem, ctx, param)
    return spec


def as_server(ctx: click.Context, param: click.Parameter, value: str) -> ServerSpec:
    """Read an argument as the description of something to listen on; for ``callback``."""
    spec = _read(parse_server, ctx, param, value)
    if isinstance(spec, DatagramServerSpec):
        problem = (
            f"{spec.display()}: a {spec.names[0].text} server has datagrams and no connections"
        )
        raise click.BadParameter(problem, ctx, param)
    return spec


def _read(parse: Callable[[str], T], ctx: click.Context, param: click.Parameter, value: str) -> T:
    """Read a description; a wrong one is wrong usage, with a caret under the place."""
    try:
        return parse(value)
    except DescriptionError as error:
        raise click.BadParameter(str(error), ctx, param) from error
