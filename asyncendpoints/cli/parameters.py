"""Arguments of commands that are descriptions."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, TypeVar

import click

from asyncendpoints.dns.networks import parse_network
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

__all__ = [
    "SECONDS",
    "SECONDS_OR_NONE",
    "as_client",
    "as_networks",
    "as_server",
    "as_servers",
    "as_upstream",
    "as_upstreams",
]

T = TypeVar("T")


class _Seconds(click.FloatRange):
    """A time that ends."""

    name = "seconds"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        seconds: float = super().convert(value, param, ctx)
        if not isfinite(seconds):
            self.fail(f"{str(value)!r} is no number of seconds", param, ctx)
        return seconds


#: A number of seconds above 0, and one that may be 0.
SECONDS = _Seconds(min=0, min_open=True)
SECONDS_OR_NONE = _Seconds(min=0)


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
    """Read an argument as the description of something to accept connections on; for ``callback``."""
    from asyncendpoints.kinds.dns import DNSServer  # for one command

    spec = _read(parse_server, ctx, param, value)
    if isinstance(spec, DNSServer):
        problem = (
            f"{spec.display()}: a dns server has datagrams beside its connections; "
            f"tcp:{spec.port} is the connections alone"
        )
        raise click.BadParameter(problem, ctx, param)
    if isinstance(spec, DatagramServerSpec):
        problem = (
            f"{spec.display()}: a {spec.names[0].text} server has datagrams and no connections"
        )
        raise click.BadParameter(problem, ctx, param)
    return spec


def as_servers(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> tuple[ServerSpec, ...]:
    """Read an option as descriptions of where to answer DNS queries; for ``callback``."""
    from asyncendpoints.kinds.dns import parse_name_server  # for one command

    return tuple([_read(parse_name_server, ctx, param, each) for each in value])


def as_networks(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> tuple[str, ...]:
    """Read an option as networks or addresses; for ``callback``."""
    try:
        for each in value:
            parse_network(each)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error
    return value


def as_upstream(ctx: click.Context, param: click.Parameter, value: str) -> ClientSpec:
    """Read an argument as a name server to ask; for ``callback``."""
    from asyncendpoints.dns.upstream_specs import parse_upstream

    try:
        return parse_upstream(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def as_upstreams(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> tuple[ClientSpec, ...]:
    """Read an option as name servers to ask; for ``callback``."""
    return tuple([as_upstream(ctx, param, each) for each in value])


def _read(parse: Callable[[str], T], ctx: click.Context, param: click.Parameter, value: str) -> T:
    """Read a description; a wrong one is wrong usage, with a caret under the place."""
    try:
        return parse(value)
    except DescriptionError as error:
        raise click.BadParameter(str(error), ctx, param) from error
