"""``relay``: serves an endpoint by connecting each of its connections to another."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from asyncendpoints.cli.exits import FAILURE, INTERRUPTED, OK
from asyncendpoints.cli.parameters import SECONDS, SECONDS_OR_NONE, as_client, as_server
from asyncendpoints.cli.terminal import console, count, data, duration, line
from asyncendpoints.errors import EndpointError, HandshakeError
from asyncendpoints.kinds.stdio import StdioServer
from asyncendpoints.limits import Limits
from asyncendpoints.listening import listen
from asyncendpoints.relaying import Closed, Failed, Opened, Relay
from asyncendpoints.signals import handled

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints.relaying import RelayEvent
    from asyncendpoints.server import Server
    from asyncendpoints.specs import ClientSpec, ServerSpec

__all__ = ["Options", "Service", "relay"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a relay is to do."""

    listen: ServerSpec
    connect: ClientSpec
    max_connections: int | None = None
    #: Seconds, as all times here; None for no limit.
    idle_timeout: float | None = None
    #: None for what ``connect`` says.
    connect_timeout: float | None = None
    drain: float = 30.0
    once: bool = False
    splice: bool = True
    quiet: bool = False
    verbose: bool = False


class Service:
    """A relay from its start to its end.

    Args:
        options: What it is to do.
        say: Prints a line; the second argument is a style.
    """

    def __init__(self, options: Options, say: Callable[[str, str], None]) -> None:
        self._options = options
        self._say = say
        self._once = options.once or isinstance(options.listen, StdioServer)
        self._relay = Relay(
            options.connect,
            splice=options.splice and options.listen.is_plain(),
            connect_timeout=options.connect_timeout,
            idle_timeout=options.idle_timeout,
            on_event=self.report,
        )
        #: Once it is listening.
        self.server: Server | None = None
        self._stopping = asyncio.Event()
        self._aborting = asyncio.Event()
        self._interrupted = False

    async def run(self) -> int:
        """Relay until a signal comes, or the one connection has ended; give the exit code.

        Raises:
            ListenError: The endpoint cannot be listened on.
        """
        most = 1 if self._once else self._options.max_connections
        self.server = server = await listen(
            self._options.listen,
            self._relay.accept,
            limits=Limits(max_connections=most),
            on_error=self._handshake_failed,
        )
        signals = {
            signal.SIGTERM: self.stop,
            signal.SIGINT: self.stop,
            signal.SIGHUP: self._reload,
        }
        try:
            with handled(signals):
                self._announce(server)
                await self._stopping.wait()
                await self._drain(server)
        finally:
            server.close()
            # Clients that are still there have had their time.
            await self._relay.close(grace=0 if server.stats.active else 1)
            server.abort_clients()
        self._summarize()
        if self._interrupted:
            return INTERRUPTED
        return FAILURE if self._once and self._relay.totals.failed else OK

    def stop(self, number: signal.Signals) -> None:
        """Stop accepting and let what is open end; at the second call, end it."""
        self._interrupted |= number == signal.SIGINT
        if self._stopping.is_set():
            self._aborting.set()
            return
        self._stopping.set()
        active = self._relay.totals.active
        if active:
            self._tell(
                f"{number.name}: waiting up to {self._options.drain:g} s for "
                f"{count(active, 'connection')} to end; once more to end now",
            )

    async def _drain(self, server: Server) -> None:
        """Wait for the connections to end, for as long as is allowed."""
        draining = asyncio.ensure_future(server.drain(self._options.drain))
        aborting = asyncio.ensure_future(self._aborting.wait())
        try:
            await asyncio.wait({draining, aborting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            draining.cancel()
            aborting.cancel()
            with suppress(asyncio.CancelledError):
                await draining

    def _announce(self, server: Server) -> None:
        for each in server.client_endpoints or (self._options.listen,):
            self._tell(f"listening on {each.display()}")
        self._tell(f"relaying to {self._options.connect.display()}")

    def report(self, event: RelayEvent) -> None:
        """Print what is to be said of an event."""
        peer = event.peer or self._options.listen.display()
        if isinstance(event, Failed):
            if event.error is not None:
                self._say(f"{peer}: {event.error}", "red")
        elif isinstance(event, Opened):
            if self._options.verbose:
                how = ", spliced" if event.spliced else ""
                self._tell(
                    f"{peer}: connected to {event.target or self._options.connect.display()}{how}"
                )
        elif isinstance(event, Closed) and self._options.verbose:
            end = f": {event.error}" if event.error else ""
            self._tell(
                f"{peer}: {data(event.sent)} sent, {data(event.received)} received "
                f"in {duration(event.seconds)}{end}"
            )
        if self._once and self.server is not None:
            self._end_after_one(event, self.server)

    def _end_after_one(self, event: RelayEvent, server: Server) -> None:
        if isinstance(event, Opened):
            server.pause()
        else:
            server.close()
            self._stopping.set()

    def _handshake_failed(self, error: HandshakeError) -> None:
        if self._options.verbose:
            self._tell(str(error))

    def _reload(self, number: signal.Signals) -> None:
        assert self.server is not None
        try:
            self.server.reload()
        except EndpointError as error:
            self._say(f"{number.name}: nothing changes: {error}", "red")
        else:
            self._tell(f"{number.name}: reloaded")

    def _summarize(self) -> None:
        totals = self._relay.totals
        failed = f" ({totals.failed:,} failed)" if totals.failed else ""
        self._tell(
            f"{count(totals.connections, 'connection')}{failed}, "
            f"{data(totals.sent)} sent, {data(totals.received)} received"
        )

    def _tell(self, text: str) -> None:
        if not self._options.quiet:
            self._say(text, "")


_EXAMPLES = """\b
Examples:
  asyncendpoints relay tls:8443:selfsigned=localhost tcp:127.0.0.1:8000
  asyncendpoints relay tcp:5432:interface=127.0.0.1 unix:/run/postgresql/.s.PGSQL.5432
  asyncendpoints relay systemd:name=http tls:backend.example.org:443
  asyncendpoints relay stdio: tls:example.org:443
"""


@click.command("relay", epilog=_EXAMPLES)
@click.argument("listen", metavar="LISTEN", callback=as_server)
@click.argument("connect", metavar="CONNECT", callback=as_client)
@click.option(
    "--max-connections",
    type=click.IntRange(min=1),
    metavar="N",
    help="Connections at one time; more wait in the backlog.",
)
@click.option(
    "--idle-timeout",
    type=SECONDS,
    metavar="SECONDS",
    help="Reset a connection after this time without a byte either way.",
)
@click.option(
    "--connect-timeout",
    type=SECONDS,
    metavar="SECONDS",
    help="Limit of each dial; as a rule what CONNECT says, which is 30.",
)
@click.option(
    "--drain",
    type=SECONDS_OR_NONE,
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long connections may go on after SIGTERM or Ctrl-C.",
)
@click.option("--once", is_flag=True, help="End after one connection; exit 1 if its dial failed.")
@click.option(
    "--splice/--no-splice",
    default=True,
    help="Let the kernel carry the bytes where both sides are plain sockets (as a rule it does).",
)
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but failures.")
@click.option(
    "-v", "--verbose", is_flag=True, help="Print a line as each connection begins and ends."
)
@click.pass_context
def relay(ctx: click.Context, /, **given: object) -> None:
    """Listen on LISTEN, connect each of its connections to CONNECT, and carry the bytes both ways.

    CONNECT is dialled for each connection; one that cannot be is reset, and the relay goes on. The end of
    data of one side is passed on to the other. TLS has no such thing: from a TLS side it ends the connection,
    and where it cannot be told to a TLS side, 10 seconds of silence do.

    Messages go to standard error. SIGTERM and Ctrl-C let open connections end, the second one ends them;
    SIGHUP reads certificates again. With stdio: as LISTEN the relay ends with its connection.

    Exit code 0 after SIGTERM, whatever it cut off; 130 after Ctrl-C; 1 if LISTEN cannot be listened on, or
    with --once if the connection failed.
    """
    options = Options(**given)  # type: ignore[arg-type]  # the options of click have the names and types
    to = console(stderr=True)
    ctx.exit(asyncio.run(_run(options, lambda text, style: line(to, text, style))))


async def _run(options: Options, say: Callable[[str, str], None]) -> int:
    return await Service(options, say).run()
