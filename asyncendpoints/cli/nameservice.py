"""The name server of ``dns`` from its start to its end: what it answers from, signals, and what it prints."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from asyncendpoints.cli.exits import INTERRUPTED, OK
from asyncendpoints.dns.cache import Cache
from asyncendpoints.dns.chain import Chain
from asyncendpoints.dns.forward import Forward
from asyncendpoints.dns.guards import Allow, Drop, Refuse
from asyncendpoints.dns.hosts import Hosts
from asyncendpoints.dns.limits import DNSLimits
from asyncendpoints.dns.listening import NameServer, listen
from asyncendpoints.dns.networks import PRIVATE, Networks
from asyncendpoints.dns.outcome import Answer
from asyncendpoints.dns.pyzone import PythonFile
from asyncendpoints.dns.query import Query
from asyncendpoints.dns.querylog import QueryLog
from asyncendpoints.dns.resolver import is_recursive
from asyncendpoints.dns.zone import Authority
from asyncendpoints.dns.zoneload import Zone
from asyncendpoints.dns.zones import Zones
from asyncendpoints.errors import EndpointError, ZoneError
from asyncendpoints.server import Server
from asyncendpoints.signals import handled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asyncendpoints.dns.guards import AddressGuard
    from asyncendpoints.dns.resolver import Resolver
    from asyncendpoints.errors import HandshakeError
    from asyncendpoints.specs import ClientSpec, ServerSpec

__all__ = ["DEFAULT", "LogFormat", "Options", "Part", "Service", "serial"]

#: The loggers of the library are below it.
_LOGGER = "asyncendpoints"

#: How the lines about queries are written.
LogFormat = Literal["json", "text", "off"]

#: What is allowed where the options do not say it.
DEFAULT = DNSLimits()


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
    log: LogFormat = "off"
    log_file: str | None = None
    #: Seconds.
    drain: float = 5.0
    limits: DNSLimits = DEFAULT
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
        self._hosts = [Hosts(path) for path in options.hosts]
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
        chain += self._hosts
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
            for each in self._hosts:
                each.reload()
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
