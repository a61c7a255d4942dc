"""``dns``: a name server made of zones, Python files, hosts files and other name servers."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import click

from asyncendpoints.cli.exits import INTERRUPTED, OK
from asyncendpoints.cli.parameters import SECONDS, as_networks, as_servers, as_upstreams
from asyncendpoints.cli.terminal import console, line
from asyncendpoints.dns.cache import Cache
from asyncendpoints.dns.chain import Chain
from asyncendpoints.dns.forward import Forward
from asyncendpoints.dns.guards import Allow, Drop, Refuse
from asyncendpoints.dns.hosts import Hosts
from asyncendpoints.dns.limits import DNSLimits
from asyncendpoints.dns.listening import NameServer, listen
from asyncendpoints.dns.names import encode_name
from asyncendpoints.dns.networks import PRIVATE, Networks
from asyncendpoints.dns.outcome import Answer
from asyncendpoints.dns.pyzone import PythonFile
from asyncendpoints.dns.query import Query
from asyncendpoints.dns.querylog import QueryLog
from asyncendpoints.dns.resolver import is_recursive
from asyncendpoints.dns.zone import Authority
from asyncendpoints.dns.zoneload import Zone
from asyncendpoints.dns.zones import Zones
from asyncendpoints.errors import DomainNameError, EndpointError, ZoneError
from asyncendpoints.server import Server
from asyncendpoints.signals import handled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asyncendpoints.dns.guards import AddressGuard
    from asyncendpoints.dns.resolver import Resolver
    from asyncendpoints.errors import HandshakeError
    from asyncendpoints.specs import ClientSpec, ServerSpec

__all__ = ["Options", "Service", "dns"]

#: The loggers of the library are below it.
_LOGGER = "asyncendpoints"

_LogFormat = Literal["json", "text", "off"]

_DEFAULT = DNSLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a name server is to do."""

    listen: tuple[ServerSpec, ...]
    #: Paths, each with the name of its zone if the file does not say it.
    zones: tuple[tuple[str, str | None], ...] = ()
    pyzones: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    forward: tuple[ClientSpec, ...] = ()
    resolv_conf: str | None = None
    cache: bool = False
    allow: tuple[str, ...] = ()
    refuse: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    #: Networks; none for loopback and private ones.
    recursion: tuple[str, ...] = ()
    log: _LogFormat = "off"
    log_file: str | None = None
    #: Seconds.
    drain: float = 5.0
    limits: DNSLimits = _DEFAULT
    quiet: bool = False
    verbose: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """Something of the server that a file says."""

    path: str
    source: Zone | PythonFile

    @property
    def resolver(self) -> Resolver:
        """Who answers by it."""
        return self.source if isinstance(self.source, Zone) else self.source.resolver

    def describe(self) -> str:
        """Say what it is."""
        zone = self.resolver
        if not isinstance(zone, Authority):
            return f"resolver from {self.path}"
        number = f"serial {serial(zone)}, {zone.records:,} records"
        return f"zone {zone.name} from {self.path}: {number}"


def serial(zone: Authority) -> int:
    """Give the serial number of a zone. Source: RFC 1035, section 3.3.13."""
    outcome = zone.resolve(Query(zone.apex, 6))
    assert isinstance(outcome, Answer)  # every zone has an SOA
    return int.from_bytes(outcome.answer[0].rdatas[0][-20:-16], "big")


class _Lines(logging.Handler):
    """Prints what the library logs."""

    def __init__(self, say: Callable[[str, str], None]) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        style = "red" if record.levelno >= logging.ERROR else "yellow"
        self._say(self.format(record), style)


class Service:
    """A name server from its start to its end.

    Args:
        options: What it is to do.
        say: Prints a line; the second argument is a style.
    """

    def __init__(self, options: Options, say: Callable[[str, str], None]) -> None:
        self._options = options
        self._say = say
        #: Once it is listening.
        self.server: NameServer | None = None
        self._parts: list[Part] = []
        self._log: QueryLog | None = None
        self._stopping = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._reloads: set[asyncio.Task[None]] = set()
        self._interrupted = False
        #: Whether a signal to reload came too early.
        self._wants_reload = False

    async def run(self) -> int:
        """Serve until a signal comes; give the exit code.

        Raises:
            ListenError: An endpoint cannot be listened on.
            ZoneError: A zone or a Python file is wrong.
            OSError: The log cannot be opened.
        """
        ends = dict.fromkeys((signal.SIGTERM, signal.SIGINT), self.stop)
        with handled(ends), handled({signal.SIGHUP: self.reload}), self._printing_log():
            try:
                return await self._run()
            finally:
                if self._log is not None:
                    self._log.close()

    @contextmanager
    def _printing_log(self) -> Iterator[None]:
        """Print what the library logs, and let nobody else print it too."""
        logger, handler = logging.getLogger(_LOGGER), _Lines(self._say)
        propagates, logger.propagate = logger.propagate, False
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.propagate = propagates

    async def _run(self) -> int:
        options = self._options
        await self._load()
        resolver = self._resolver()
        if options.log != "off":
            self._log = QueryLog(options.log_file or sys.stdout, format=options.log)
        listening = listen(
            options.listen,
            resolver,
            guards=self._guards(),
            recursion=Networks(options.recursion) if options.recursion else PRIVATE,
            limits=options.limits,
            log=self._log,
            drain=options.drain,
            on_error=self._not_accepted,
        )
        async with listening as server:
            self.server = server
            self._announce(server, resolver)
            if self._wants_reload:
                self.reload()
            try:
                await self._stopping.wait()
            finally:
                await self._end_reloads()
        self._summarize(server)
        return INTERRUPTED if self._interrupted else OK

    async def _load(self) -> None:
        for path, origin in self._options.zones:
            self._parts.append(Part(path, await Zone.load(path, origin)))
        self._parts += [Part(path, PythonFile(path)) for path in self._options.pyzones]
        paths: dict[str, str] = {}
        for part in self._parts:
            if isinstance(part.resolver, Authority):
                name = part.resolver.name
                if name in paths:
                    problem = f"the zone {name} is in {paths[name]} already"
                    raise ZoneError(part.path, 0, problem)
                paths[name] = part.path

    def _resolver(self) -> Chain:
        """Put together who is asked, in order: functions, zones, hosts files, other servers."""
        options = self._options
        zones = [part.resolver for part in self._parts if isinstance(part.resolver, Authority)]
        chain: list[Resolver] = [
            part.source for part in self._parts if not isinstance(part.resolver, Authority)
        ]
        if zones:
            chain.append(Zones(*zones))
        chain += map(Hosts, options.hosts)
        forward = self._forward()
        if forward is not None:
            chain.append(Cache(forward) if options.cache else forward)
        return Chain(*chain)

    def _forward(self) -> Forward | None:
        options = self._options
        if options.resolv_conf is not None:
            return Forward.from_resolv_conf(options.resolv_conf)
        return Forward(*options.forward) if options.forward else None

    def _guards(self) -> list[AddressGuard]:
        options = self._options
        guards: list[AddressGuard] = []
        if options.drop:
            guards.append(Drop(*options.drop))
        if options.refuse:
            guards.append(Refuse(*options.refuse))
        if options.allow:
            guards.append(Allow(*options.allow))
        return guards

    def stop(self, number: signal.Signals) -> None:
        """Stop listening and let what is open end; at the second call, end it."""
        self._interrupted |= number == signal.SIGINT
        if self._stopping.is_set() and self.server is not None:
            self.server.abort_clients()
        self._stopping.set()

    def reload(self, _: signal.Signals = signal.SIGHUP) -> None:
        """Begin to read zones, Python files and certificates again, and open the log again.

        Before the server listens that is put off until it does: what was read by then may be out of date.
        """
        if self.server is None:
            self._wants_reload = True
        elif not self._stopping.is_set():
            task = asyncio.ensure_future(self._reload(self.server))
            self._reloads.add(task)
            task.add_done_callback(self._reloads.discard)

    async def _reload(self, server: NameServer) -> None:
        async with self._reloading:
            failures = 0
            for part in self._parts:
                try:
                    await part.source.reload()
                except EndpointError as error:
                    failures += 1
                    self._say(f"SIGHUP: {error}; what was there stays", "red")
                else:
                    self._tell(f"SIGHUP: {part.describe()}")
            if self._log is not None:
                self._log.reopen()
            try:
                Server.reload(server)  # certificates alone: each part has its line above
            except EndpointError as error:
                failures += 1
                self._say(f"SIGHUP: {error}; the certificate that was there stays", "red")
            self._tell(f"SIGHUP: reloaded, but for {failures}" if failures else "SIGHUP: reloaded")

    async def _end_reloads(self) -> None:
        for task in self._reloads:
            task.cancel()
        await asyncio.gather(*self._reloads, return_exceptions=True)

    def _not_accepted(self, error: HandshakeError) -> None:
        if self._options.verbose:
            self._tell(str(error))

    def _announce(self, server: NameServer, resolver: Resolver) -> None:
        options = self._options
        for spec in server.client_endpoints or options.listen:
            self._tell(f"listening on {spec.display()}")
        for part in self._parts:
            self._tell(part.describe())
        for path in options.hosts:
            self._tell(f"hosts from {path}")
        if options.forward or options.resolv_conf is not None:
            names = ", ".join(each.display() for each in options.forward)
            cached = ", through a cache" if options.cache else ""
            self._tell(f"forwarding to {names or f'the servers in {options.resolv_conf}'}{cached}")
        if is_recursive(resolver):
            names = ", ".join(options.recursion) or "loopback and private networks"
            self._tell(f"recursion for {names}")

    def _summarize(self, server: NameServer) -> None:
        counters = server.counters
        received = counters.received
        words = [f"{received:,} {'query' if received == 1 else 'queries'}"]
        for name in ("refused", "dropped", "rejected", "ignored", "failed", "overloaded", "errors"):
            number = getattr(counters, name)
            if number:
                words.append(f"{number:,} {name}")
        self._tell(", ".join(words))

    def _tell(self, text: str) -> None:
        if not self._options.quiet:
            self._say(text, "")


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
    help="A name server for all other names: an address, or dns:, udp:, tcp:, tls: or unix:. *",
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
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long connections and queries may go on after SIGTERM or Ctrl-C.",
)
@click.option(
    "--max-connections",
    type=_COUNT,
    default=_DEFAULT.max_connections,
    show_default=True,
    metavar="N",
    help="Connections at one time.",
)
@click.option(
    "--max-per-peer",
    type=_COUNT,
    default=_DEFAULT.max_per_peer,
    show_default=True,
    metavar="N",
    help="Connections of one client at one time.",
)
@click.option(
    "--max-pending",
    type=_COUNT,
    default=_DEFAULT.max_pending,
    show_default=True,
    metavar="N",
    help="Queries that wait for other servers at one time.",
)
@click.option(
    "--idle-timeout",
    type=SECONDS,
    default=_DEFAULT.idle_timeout,
    show_default=True,
    metavar="SECONDS",
    help="Close a connection after this time without a query.",
)
@click.option(
    "--query-timeout",
    type=SECONDS,
    default=_DEFAULT.query_timeout,
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
        log=cast("_LogFormat", log),
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
