"""``srv``: where a service is, how often each of its targets is the first, and whether it answers."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from asyncendpoints import events
from asyncendpoints.attempt import Attempt
from asyncendpoints.cli.exits import FAILURE, OK
from asyncendpoints.cli.parameters import SECONDS, as_upstream
from asyncendpoints.cli.terminal import console, count, duration, indented, line
from asyncendpoints.connecting import connect_socket, resolve, within
from asyncendpoints.dns.cache import Cache
from asyncendpoints.dns.forward import Forward
from asyncendpoints.dns.machine import system
from asyncendpoints.dns.resolver import close
from asyncendpoints.errors import ConnectError, SpecError
from asyncendpoints.kinds.srv import SRVClient, Target
from asyncendpoints.srv import first_shares

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from rich.console import Console

    from asyncendpoints.addresses import Address
    from asyncendpoints.dns.resolver import Resolver
    from asyncendpoints.specs import ClientSpec

__all__ = ["Look", "srv"]

#: How many targets are tried at a time.
_AT_A_TIME = 16

_EXAMPLES = """\b
Examples:
  asyncendpoints srv _imaps._tcp.example.org
  asyncendpoints srv _xmpp-client._tcp.example.org --server 9.9.9.9
  asyncendpoints srv _sip._udp.example.org --json
"""


@dataclass(slots=True)
class Look:
    """What was found out about a target."""

    target: Target
    #: How often it is the first of its priority.
    share: Fraction
    addresses: list[Address] = field(default_factory=list)
    #: The address that answered.
    answered: Address | None = None
    #: How long that took, from the first attempt on.
    seconds: float | None = None
    #: Why there is no answer, or nothing where it was not tried.
    problem: str = ""

    _started: float | None = None

    def take(self, event: events.Event) -> None:
        """Note the steps of a connect."""
        if isinstance(event, events.AttemptStarted) and self._started is None:
            self._started = event.time
        elif isinstance(event, events.Connected):
            assert self._started is not None  # it began before
            self.answered, self.seconds = event.address, event.time - self._started


def _as_service(ctx: click.Context, param: click.Parameter, value: str) -> SRVClient:
    try:
        return SRVClient(value)
    except SpecError as error:
        raise click.BadParameter(error.problem, ctx, param) from error


def _as_server(ctx: click.Context, param: click.Parameter, value: str | None) -> ClientSpec | None:
    return None if value is None else as_upstream(ctx, param, value)


@click.command("srv", epilog=_EXAMPLES)
@click.argument("spec", metavar="NAME", callback=_as_service)
@click.option(
    "-s",
    "--server",
    metavar="SERVER",
    callback=_as_server,
    help="An address, or a description: dns:, udp:, tcp:, tls: or unix:. As a rule this machine is asked.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--timeout",
    type=SECONDS,
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="Limit of each lookup and each connect.",
)
@click.pass_context
def srv(
    ctx: click.Context, spec: SRVClient, server: ClientSpec | None, as_json: bool, timeout: float
) -> None:
    """Show where the service NAME is, in groups by priority, and whether each target answers.

    A client begins with the lowest priority. Beside each target is the share of connects in which it is the
    first of its priority, which its weight decides. Where there are no records it is the domain itself, at
    the port that is registered for the service. Each target is connected to by TCP, and closed again.

    Exit code 1 if no target answers, or if there is none.
    """
    try:
        looks = asyncio.run(_look(spec, server, timeout))
    except ConnectError as error:
        if not as_json:
            raise
        click.echo(
            json.dumps({"name": spec.question, "targets": [], "error": str(error)}, indent=2)
        )
        ctx.exit(FAILURE)
    if as_json:
        click.echo(
            json.dumps({"name": spec.question, "targets": [*map(_as_json, looks)]}, indent=2)
        )
    else:
        _print(console(), spec, looks)
    ctx.exit(OK if any(each.answered or _is_untried(each) for each in looks) else FAILURE)


async def _look(spec: SRVClient, server: ClientSpec | None, timeout: float) -> list[Look]:
    """Find out the targets, and look at each of them.

    Raises:
        ConnectError: There are none.
    """
    resolver: Resolver = system()
    if server is not None:
        resolver = Cache(Forward(server, timeout=timeout, only=["."]))
    try:
        attempt = Attempt(spec, resolver=resolver)
        targets = await within(timeout, attempt, partial(spec.targets, attempt))
        looks = [Look(*each) for each in zip(targets, first_shares(targets), strict=True)]
        looks.sort(key=lambda each: (each.target.priority, -each.share, each.target))
        slots = asyncio.Semaphore(_AT_A_TIME)
        assert attempt.resolver is not None  # it knows what came with the targets
        tried = spec.parts[1].lower() != "udp"
        for_each = (_try(each, spec, attempt.resolver, timeout, slots, tried) for each in looks)
        await asyncio.gather(*for_each)
    finally:
        await close(resolver)
    return looks


async def _try(
    look: Look,
    spec: SRVClient,
    resolver: Resolver,
    timeout: float,
    slots: asyncio.Semaphore,
    is_tried: bool,
) -> None:
    """Look a target up, and connect to it unless that would say nothing."""
    async with slots:
        try:
            client = spec.client(Attempt(spec), look.target)
            look.addresses = await resolve(client, resolver=resolver, timeout=timeout)
            if is_tried:
                sock = await connect_socket(
                    client, resolver=resolver, timeout=timeout, on_event=look.take
                )
                sock.close()
        except ConnectError as error:
            look.problem = error.problem


def _is_untried(look: Look) -> bool:
    return bool(look.addresses) and look.answered is None and not look.problem


def _as_json(look: Look) -> dict[str, Any]:
    target = look.target
    return {
        "host": target.host,
        "port": target.port,
        "priority": target.priority if target.is_listed else None,
        "weight": target.weight if target.is_listed else None,
        "share": str(look.share),
        "addresses": [each.host for each in look.addresses],
        "answered": None if look.answered is None else look.answered.host,
        "seconds": None if look.seconds is None else round(look.seconds, 6),
        "problem": look.problem or None,
    }


def _print(to: Console, spec: SRVClient, looks: Sequence[Look]) -> None:
    line(to, f"{spec.question}  {count(len(looks), 'target')}", "bold")
    if not looks[0].target.is_listed:
        indented(to, Text("no records: it is the domain itself", "yellow"), 2)
    for priority, group in groupby(looks, key=lambda each: each.target.priority):
        if looks[0].target.is_listed:
            line(to, f"  priority {priority}", "dim")
        for each in group:
            _print_target(to, each)


def _print_target(to: Console, look: Look) -> None:
    head = Text("    ").append(f"{_percent(look.share):>7}", "cyan")
    head.append(f"  {look.target}", "bold")
    if look.target.is_listed:
        head.append(f"  weight {look.target.weight}", "dim")
    to.print(head, soft_wrap=True)
    if look.addresses:
        listed = Text(", ".join(dict.fromkeys(each.host for each in look.addresses)))
        indented(to, listed, 13)
    if look.answered is not None and look.seconds is not None:
        line(to, f"{'':13}{look.answered.host} answers in {duration(look.seconds)}", "green")
    elif look.problem:
        indented(to, Text(look.problem, "red"), 13)
    else:
        line(to, f"{'':13}not tried: an answer over UDP would say nothing", "dim")


def _percent(share: Fraction) -> str:
    """Write a share, with what is too small to be seen as such."""
    if share == 1:
        return "100 %"
    return "< 0.1 %" if share * 1000 < 1 else f"{float(share) * 100:.1f} %"
