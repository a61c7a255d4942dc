"""``dns``: a name server made of zones, Python files, hosts files and other name servers."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, cast

import click

from asyncendpoints.cli.nameservice import DEFAULT, LogFormat, Options, Service
from asyncendpoints.cli.parameters import (
    SECONDS,
    SECONDS_OR_NONE,
    as_networks,
    as_servers,
    as_upstreams,
)
from asyncendpoints.cli.terminal import console, line
from asyncendpoints.dns.limits import DNSLimits
from asyncendpoints.dns.names import encode_name
from asyncendpoints.errors import DomainNameError, EndpointError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["dns"]


def _as_zones(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> tuple[tuple[str, str | None], ...]:
    """Read an option as paths with or without an origin; for ``callback``."""
    return tuple([_as_zone(ctx, param, each) for each in value])


def _as_zone(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, str | None]:
    path, colon, origin = value.rpartition(":")
    if not colon or os.path.exists(value):
        return value, None
    try:
        encode_name(origin)
    except DomainNameError as error:
        raise click.BadParameter(
            f"{value}: the zone after the colon: {error}", ctx, param
        ) from error
    return path, origin


def _no_port(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """Say where the number is, which other name servers have as an option; for ``callback``."""
    if value is not None:
        raise click.BadParameter(f"the port is in --listen, as in --listen dns:{value}", ctx, param)


_EXAMPLES = """\b
Examples:
  asyncendpoints dns --listen dns:10053 --zone example.com.zone
  asyncendpoints dns --listen dns:53 --hosts /etc/hosts --forward 9.9.9.9 --cache
  asyncendpoints dns --listen dns:53 --listen tls:853:selfsigned=localhost --zone db.local:home.test
  asyncendpoints dns --listen dns:10053 --pyzone answers.py --forward tls:dns.quad9.net --log text
"""

_FILE = click.Path(exists=True, dir_okay=False)
_COUNT = click.IntRange(min=1)


@click.command("dns", epilog=_EXAMPLES, context_settings={"allow_extra_args": True})
@click.option(
    "-l",
    "--listen",
    multiple=True,
    default=("dns:53",),
    show_default=True,
    metavar="SERVER",
    callback=as_servers,
    help="Where: dns: is UDP and TCP, tls: is DNS over TLS; udp:, tcp:, unix: and systemd: too. *",
)
@click.option("--port", hidden=True, expose_value=False, callback=_no_port)
@click.option(
    "-z",
    "--zone",
    "zones",
    multiple=True,
    metavar="FILE[:ORIGIN]",
    callback=_as_zones,
    help="A zone file; ORIGIN is what names in it without a final dot are in. *",
)
@click.option(
    "--pyzone",
    "pyzones",
    multiple=True,
    metavar="FILE",
    help="A Python file, which is executed. *",
)
@click.option("--hosts", multiple=True, type=_FILE, metavar="FILE", help="A hosts file. *")
@click.option(
    "-f",
    "--forward",
    multiple=True,
    metavar="SERVER",
    callback=as_upstreams,
    help="A name server for all other names but special ones, such as home.arpa: an address, or dns:, udp:, "
    "tcp:, tls: or unix:. *",
)
@click.option("--resolv-conf", type=_FILE, metavar="FILE", help="Forward to the servers in it.")
@click.option("-c", "--cache", is_flag=True, help="Keep what other servers said.")
@click.option(
    "--allow",
    multiple=True,
    metavar="NET",
    callback=as_networks,
    help="Answer these clients and no others. *",
)
@click.option(
    "--refuse", multiple=True, metavar="NET", callback=as_networks, help="Refuse these clients. *"
)
@click.option(
    "--drop",
    multiple=True,
    metavar="NET",
    callback=as_networks,
    help="Leave these clients without a reply. *",
)
@click.option(
    "--recursion",
    multiple=True,
    metavar="NET",
    callback=as_networks,
    help="Forward for these clients and no others; as a rule for loopback and private networks. *",
)
@click.option(
    "--log",
    type=click.Choice(["json", "text", "off"]),
    help="Write a line for each query, as a rule to standard output.",
)
@click.option("--log-file", metavar="FILE", help="Where to, appended; without --log as JSON.")
@click.option(
    "--drain",
    type=SECONDS_OR_NONE,
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long connections and queries may go on after SIGTERM or Ctrl-C.",
)
@click.option(
    "--max-connections",
    type=_COUNT,
    default=DEFAULT.max_connections,
    show_default=True,
    metavar="N",
    help="Connections at one time.",
)
@click.option(
    "--max-per-peer",
    type=_COUNT,
    default=DEFAULT.max_per_peer,
    show_default=True,
    metavar="N",
    help="Connections of one client at one time.",
)
@click.option(
    "--max-pending",
    type=_COUNT,
    default=DEFAULT.max_pending,
    show_default=True,
    metavar="N",
    help="Queries that wait for other servers at one time.",
)
@click.option(
    "--idle-timeout",
    type=SECONDS,
    default=DEFAULT.idle_timeout,
    show_default=True,
    metavar="SECONDS",
    help="Close a connection after this time without a query.",
)
@click.option(
    "--query-timeout",
    type=SECONDS,
    default=DEFAULT.query_timeout,
    show_default=True,
    metavar="SECONDS",
    help="Answer SERVFAIL to a query that waits for longer.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but failures and warnings.")
@click.option("-v", "--verbose", is_flag=True, help="Print failed TLS handshakes too.")
@click.pass_context
def dns(ctx: click.Context, /, **given: object) -> None:
    """Answer DNS queries, in this order by Python files, zones, hosts files, and other name servers.

    Options with * can be given more than once. Whoever may ask is answered from files; other servers are
    asked for the clients of --recursion alone. --drop comes before --refuse, and that before --allow.

    A Python file defines "resolver" or "router", an object with a method resolve(query), such as a Router;
    or "zone", a list of records as "twistd dns --pyzone" has it. It is executed, and may do whatever this
    process may. What there is no option for is in such a file: resolver = View(...) answers some clients in
    another way, resolver = Forward(..., only=[...]) forwards some domains.

    Messages go to standard error. SIGHUP reads zones, Python files and certificates again and opens the log
    file again; what is wrong stays as it was. Hosts files and resolv.conf are read again when they change.
    SIGTERM and Ctrl-C let what is open end, the second one ends it.

    Exit code 0 after SIGTERM, 130 after Ctrl-C, 1 if a file is wrong or an endpoint cannot be listened on.
    """
    if ctx.args:
        raise click.UsageError(f"{ctx.args[0]}: a zone file is given as --zone {ctx.args[0]}", ctx)
    limits = {each: given.pop(each) for each in _LIMITS}
    log = given.pop("log") or ("json" if given["log_file"] else "off")
    options = Options(
        **given,  # type: ignore[arg-type]  # the options of click have the names and types
        log=cast("LogFormat", log),
        limits=DNSLimits(**limits),  # type: ignore[arg-type]  # as above
    )
    _check(options, ctx)
    to = console(stderr=True)
    try:
        code = asyncio.run(_run(options, lambda text, style: line(to, text, style)))
    except OSError as error:
        if isinstance(error, EndpointError) or error.filename is None:
            raise
        raise click.ClickException(f"{error.filename}: {error.strerror}") from error
    ctx.exit(code)


_LIMITS = ("max_connections", "max_per_peer", "max_pending", "idle_timeout", "query_timeout")


def _check(options: Options, ctx: click.Context) -> None:
    """See that the options make sense together."""
    has_forward = bool(options.forward) or options.resolv_conf is not None
    if options.forward and options.resolv_conf is not None:
        raise click.UsageError(
            "--forward and --resolv-conf name servers both; give one of them", ctx
        )
    if options.cache and not has_forward:
        raise click.UsageError("--cache keeps what --forward or --resolv-conf bring; give one", ctx)
    if not (has_forward or options.zones or options.pyzones or options.hosts):
        problem = "there is nothing to answer with: give --zone, --pyzone, --hosts or --forward"
        raise click.UsageError(problem, ctx)


async def _run(options: Options, say: Callable[[str, str], None]) -> int:
    return await Service(options, say).run()
