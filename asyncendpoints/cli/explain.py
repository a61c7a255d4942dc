"""``explain``: connects, and draws how long each step took."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

import click

from asyncendpoints.cli.exits import FAILURE, OK
from asyncendpoints.cli.parameters import SECONDS, as_client, as_upstream
from asyncendpoints.cli.picture import draw
from asyncendpoints.cli.terminal import console, printable
from asyncendpoints.cli.timeline import Timeline, as_document, steps_of
from asyncendpoints.cli.waterfall import print_waterfall
from asyncendpoints.connecting import UNSET, connect
from asyncendpoints.errors import ConnectError, nearest
from asyncendpoints.transports import abort

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints.dns.resolver import Resolver
    from asyncendpoints.events import Event
    from asyncendpoints.specs import ClientSpec

    #: Makes a resolver while a loop runs; None for that of the system.
    MakeResolver = Callable[[], Resolver | None]

__all__ = ["explain", "observe"]

#: What kinds import when they need it, which takes as long as a connect: imported before the clock starts.
_SLOW_MODULES = ("certificates", "dns.machine")


def _as_resolver(ctx: click.Context, param: click.Parameter, value: str) -> MakeResolver:
    """Read the option ``--resolver``; the commands without DNS do not wait for its modules."""
    if value == "system":
        return lambda: None
    if value == "dns":
        from asyncendpoints.dns.machine import system

        return system
    close = nearest(value, ("system", "dns"))
    if close and ":" not in value:
        raise click.BadParameter(f"{value}{close}", ctx, param)
    upstream = as_upstream(ctx, param, value)
    from asyncendpoints.dns.forward import Forward

    return partial(Forward, upstream, only=["."])


async def observe(spec: ClientSpec, make_resolver: MakeResolver, timeout: float | None) -> Timeline:
    """Connect to an endpoint, hang up, and tell how it went.

    Args:
        spec: The endpoint.
        make_resolver: Gives the DNS resolver that finds the addresses of host names, or None for the system.
        timeout: Seconds, or None for what the endpoint says.
    """
    for each in _SLOW_MODULES:
        import_module(f"asyncendpoints.{each}")
    resolver = make_resolver()
    try:
        return await _observe(spec, resolver, UNSET if timeout is None else timeout)
    finally:
        if resolver is not None:
            from asyncendpoints.dns.resolver import close

            await close(resolver)


async def _observe(spec: ClientSpec, resolver: Resolver | None, timeout: float | None) -> Timeline:
    loop = asyncio.get_running_loop()
    happened: list[Event] = []
    error: ConnectError | None = None
    begin = loop.time()
    try:
        transport, _ = await connect(
            spec, asyncio.Protocol, timeout=timeout, resolver=resolver, on_event=happened.append
        )
    except ConnectError as caught:
        error = caught
    seconds = loop.time() - begin
    if error is None:
        await abort(transport)
    return Timeline(
        description=printable(spec.display()),
        steps=steps_of(happened, begin),
        seconds=seconds,
        error=None if error is None else printable(error.problem),
        stage=None if error is None else error.stage,
    )


_EXAMPLES = """\b
Examples:
  asyncendpoints explain tls:example.org:443
  asyncendpoints explain tls:example.org:443 --resolver tls:9.9.9.9 --svg connect.svg
  asyncendpoints explain srv:_imaps._tcp.example.org:tls=yes --json
"""


@click.command("explain", epilog=_EXAMPLES)
@click.argument("description", metavar="DESCRIPTION", callback=as_client)
@click.option(
    "--resolver",
    "make_resolver",
    metavar="RESOLVER",
    default="system",
    show_default=True,
    callback=_as_resolver,
    help="Who finds addresses: system for getaddrinfo, dns for the DNS resolver of this machine, or a "
    "server as query has it, such as udp:9.9.9.9.",
)
@click.option(
    "--timeout",
    type=SECONDS,
    metavar="SECONDS",
    help="Limit of the whole connect; as a rule what DESCRIPTION says, which is 30.",
)
@click.option(
    "--svg",
    "path",
    type=click.Path(dir_okay=False, writable=True, allow_dash=True),
    metavar="FILE",
    help="Draw it into a file too; - is standard output, which then has nothing else.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def explain(
    ctx: click.Context,
    description: ClientSpec,
    make_resolver: MakeResolver,
    timeout: float | None,
    path: str | None,
    as_json: bool,
) -> None:
    """Connect to DESCRIPTION, hang up, and draw how long each step took.

    Lookups and their questions, the targets of a service, each address that was tried, proxies and TLS have a
    bar from their beginning to their end, on one axis in milliseconds. A bar that ends with a cross failed; a
    broken one was given up, or had not ended when the connect did. Time without a bar went by in this
    process.

    Exit code 1 if there was no connection, which is drawn all the same; 2 if the command is wrong.
    """
    if as_json and path == "-":
        raise click.UsageError(
            "--svg - and --json write to standard output both; give one of them", ctx
        )
    timeline = asyncio.run(observe(description, make_resolver, timeout))
    if as_json:
        click.echo(json.dumps(as_document(timeline), indent=2))
    elif path != "-":
        print_waterfall(console(), timeline)
    if path is not None:
        _write(path, draw(timeline))
    ctx.exit(OK if timeline.error is None else FAILURE)


def _write(path: str, text: str) -> None:
    if path == "-":
        click.echo(text, nl=not text.endswith("\n"))
        return
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise click.FileError(path, error.strerror) from error
