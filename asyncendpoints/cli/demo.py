"""``demo``: servers, clients and relays from descriptions alone, in this process, with everything shown.

The law: whatever is printed has happened or was measured.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.panel import Panel
from rich.rule import Rule
from rich.text import Text

from asyncendpoints import events
from asyncendpoints.cli.exchange import exchange
from asyncendpoints.cli.exits import FAILURE, OK
from asyncendpoints.cli.terminal import console, count, data, duration, indented
from asyncendpoints.connecting import connect, open_connection
from asyncendpoints.description import quote
from asyncendpoints.dns.chain import Chain
from asyncendpoints.dns.listening import listen as listen_dns
from asyncendpoints.dns.lookups import lookup
from asyncendpoints.dns.query import Query
from asyncendpoints.dns.router import Router
from asyncendpoints.dns.upstream_specs import parse_upstream
from asyncendpoints.dns.zoneload import Zone
from asyncendpoints.errors import ConnectError, DescriptionError
from asyncendpoints.kinds.tls import TLSClient
from asyncendpoints.listening import listen
from asyncendpoints.relaying import Opened, Relay
from asyncendpoints.specs import parse_server

if TYPE_CHECKING:
    from rich.console import Console

    from asyncendpoints.dns.zonedict import Names
    from asyncendpoints.relaying import RelayEvent
    from asyncendpoints.server import Server
    from asyncendpoints.specs import ClientSpec

__all__ = ["Demo", "Echo", "demo", "in_words", "send_through"]

#: What goes through each relay, and comes back.
_RELAYED_BYTES = 16 * 1024 * 1024
_GREETING = b"Hello, is anybody there?"

#: Seconds that an answer may take.
_DNS_SECONDS = 5.0

#: What the name server knows, beside what it computes.
HOME: Names = {
    "@": {"MX": "10 mail"},
    "mail": {"A": "192.0.2.25"},
    "ns": {"A": "192.0.2.53"},
    "printer": {"A": "192.0.2.9", "AAAA": "fd00::9"},
}
router = Router()


@router.on("workstation{n:int}.example.com", "A")
def workstation(query: Query, n: int) -> str:  # noqa: ARG001 - every such function gets it
    """Compute the address of a workstation."""
    return f"172.0.2.{n}"


class Echo(asyncio.Protocol):
    """Sends back what it receives, as fast as that is read."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]  # of a stream

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()


@dataclass(frozen=True, slots=True)
class Passage:
    """What went through a relay."""

    bytes: int
    seconds: float
    #: What came back is what was sent.
    is_whole: bool


class Demo:
    """The demonstration.

    Args:
        to: Where to print.
    """

    def __init__(self, to: Console) -> None:
        self._to = to
        self._started = time.perf_counter()
        self._connections = 0
        self._bytes = 0
        self._questions = 0
        self._is_right = True

    async def run(self) -> bool:
        """Show everything; True if all of it went as it should."""
        self._print_title()
        with tempfile.TemporaryDirectory(prefix="asyncendpoints-") as folder:
            async with AsyncExitStack() as stack:
                servers = await self._listen(stack, folder)
                for server in servers:
                    await self.greet(server)
                await self._relay(stack, folder, servers)
        await self._answer_queries()
        self._show_errors()
        await self._show_refusal()
        self._print_summary()
        return self._is_right

    # The steps

    async def _listen(self, stack: AsyncExitStack, folder: str) -> list[Server]:
        self._head(1, "Three echo servers, each from one string")
        servers = []
        for text in (
            "tls:0:interface=127.0.0.1:selfsigned=localhost",
            f"unix:{quote(str(Path(folder, 'echo.sock')))}:mode=600",
            "memory:demo",
        ):
            server = await stack.enter_async_context(listen(text, Echo))
            servers.append(server)
            self._code("listen", text)
            self._fact("is reached by", "dim")
            self._fact(str(server.client_endpoints[0]), "green")
        self._note(
            "tls:0 took a free port and made its own certificate. The pin in the text is the "
            "hash of its key: who has the text needs no certificate authority."
        )
        return servers

    async def greet(self, server: Server) -> None:
        """Connect by the text of a server, and say something to it."""
        text = str(server.client_endpoints[0])
        if not self._connections:
            self._head(2, "Three clients, each from the text that its server gave")
        self._code("connect", text)
        started = asyncio.get_running_loop().time()
        seen: list[events.Event] = []
        reader, writer = await open_connection(text, on_event=seen.append)
        self._connections += 1
        for event in seen:
            self._step(event.time - started, in_words(event))
        endpoint = server.client_endpoints[0]
        if isinstance(endpoint, TLSClient) and endpoint.pin:
            self._fact("the key of the server is the one of the pin")
        sent = time.perf_counter()
        writer.write(_GREETING)
        answer = await reader.readexactly(len(_GREETING))
        self._verdict(
            answer == _GREETING,
            f"{len(_GREETING)} bytes went out and came back in {duration(time.perf_counter() - sent)}",
        )
        self._bytes += 2 * len(_GREETING)
        writer.close()
        await writer.wait_closed()

    async def _relay(self, stack: AsyncExitStack, folder: str, servers: list[Server]) -> None:
        self._head(3, "Two relays, which join one endpoint to another")
        tls, unix, _ = servers
        front = f"unix:{quote(str(Path(folder, 'relay.sock')))}:mode=600"
        await self._relay_one(stack, front, tls)
        self._note("A program that knows only unix sockets now speaks TLS.")
        if await self._relay_one(stack, "tcp:0:interface=127.0.0.1", unix):
            self._note(
                "Both sides are plain sockets: the kernel carried the bytes, and Python saw none."
            )

    async def _relay_one(self, stack: AsyncExitStack, front: str, target: Server) -> bool:
        """Send something through a relay; True if the kernel carried it."""
        endpoint = target.client_endpoints[0]
        seen: list[RelayEvent] = []
        relay = Relay(endpoint, splice=parse_server(front).is_plain(), on_event=seen.append)
        server = await stack.enter_async_context(listen(front, relay.accept))
        stack.push_async_callback(relay.close)
        self._code("relay", f"{front}  to  {endpoint.names[0].text}:…")
        passage = await send_through(str(server.client_endpoints[0]), _RELAYED_BYTES)
        self._connections += 1
        self._bytes += 2 * passage.bytes
        rate = data(round(passage.bytes / passage.seconds))
        self._verdict(
            passage.is_whole,
            f"{data(passage.bytes)} there and back in {duration(passage.seconds)} ({rate}/s), "
            "whole by SHA-256",
        )
        return any(isinstance(each, Opened) and each.spliced for each in seen)

    async def _answer_queries(self) -> None:
        self._head(4, "A name server: a function and a zone, in a chain")
        chain = Chain(router, Zone.from_dict("home.test", HOME, ns="ns.home.test."))
        texts = ("dns:0:interface=127.0.0.1", "tls:0:interface=127.0.0.1:selfsigned=localhost")
        async with listen_dns(texts, chain) as server:
            for text in texts:
                self._code("listen", text)
            self._fact("is reached by", "dim")
            dns, tls = server.client_endpoints
            self._fact(str(dns), "green")
            self._fact(str(tls), "green")
            await self.query("workstation7.example.com", "A", "172.0.2.7", dns)
            self._note("No table has this name: a function of two lines computes its address.")
            await self.query("printer.home.test", "AAAA", "fd00::9", dns, udp=False)
            await self.query("home.test", "MX", "10 mail.home.test.", tls)
        self._code("lookup", "workstation7.example.com A, resolver=chain")
        started = time.perf_counter()
        found = await lookup("workstation7.example.com", "A", resolver=chain)
        seconds = time.perf_counter() - started
        self._questions += 1
        self._verdict(
            [str(each) for each in found] == ["172.0.2.7"],
            f"{found[0]} without a socket, in {duration(seconds)}",
        )
        self._note("What answers others is what this process itself can resolve names with.")

    async def query(
        self, name: str, rtype: str, expected: str, server: ClientSpec, *, udp: bool = True
    ) -> None:
        """Ask a name server, which is to answer with one record."""
        self._code("query", f"{name} {rtype}")
        query = Query.make(name, rtype)
        found = await exchange(parse_upstream(server), query, timeout=_DNS_SECONDS, udp=udp)
        self._questions += 1
        answer = [each.data for each in found.message.answer]
        self._verdict(
            answer == [expected],
            f"{', '.join(answer) or found.message.rcode} over {found.transport}, "
            f"{count(found.bytes, 'byte')} in {duration(found.seconds)}",
        )

    def _show_errors(self) -> None:
        self._head(5, "Mistakes, and what the library says of them")
        text = "tcp:8080:interfaces=localhost"
        self._code("listen", text)
        try:
            parse_server(text)
        except DescriptionError as error:
            self._fact(str(error), "yellow")
        else:
            self._is_right = False

    async def _show_refusal(self) -> None:
        text = "memory:nobody"
        self._code("connect", text)
        try:
            await connect(text, Echo)
        except ConnectError as error:
            self._fact(f"{type(error).__name__}: {error}", "yellow")
        else:
            self._is_right = False

    # Printing

    def _print_title(self) -> None:
        text = Text("One string says where to connect or to listen.", "bold")
        text.append(
            "\nEverything below happens as you read it: in this process, on this machine, without "
            "a network. Every time was measured.",
            "default",
        )
        self._to.print(Panel(text, title="asyncendpoints", title_align="left", border_style="cyan"))

    def _head(self, number: int, text: str) -> None:
        self._to.print()
        self._to.print(Rule(Text(f"{number}  {text}", "bold cyan"), align="left", style="cyan"))

    def _code(self, verb: str, text: str) -> None:
        self._to.print()
        shown = Text(f"  {verb:<9}", "bold magenta")
        if len(shown) + len(text) <= self._to.width:
            self._to.print(shown.append(text, "bold"), soft_wrap=True)
        else:
            self._to.print(Text(f"  {verb}", "bold magenta"))
            self._fact(text, "bold")

    def _fact(self, text: str, style: str = "default") -> None:
        indented(self._to, Text(text, style), 4)

    def _step(self, seconds: float, text: str) -> None:
        indented(self._to, Text(text), 2, Text(f"{'+' + duration(seconds):>10}  ", "dim"))

    def _verdict(self, is_right: bool, text: str) -> None:
        self._is_right &= is_right
        mark = Text("ok  ", "bold green") if is_right else Text("WRONG  ", "bold red")
        indented(self._to, Text(text), 4, mark)

    def _note(self, text: str) -> None:
        indented(self._to, Text(text, "italic dim"), 4)

    def _print_summary(self) -> None:
        seconds = time.perf_counter() - self._started
        outcome = "All of it went as it should" if self._is_right else "Something went wrong"
        text = Text(outcome, "bold green" if self._is_right else "bold red")
        text.append(
            f": {count(self._connections, 'connection')}, {data(self._bytes)} carried, "
            f"{count(self._questions, 'question')} answered, {duration(seconds)} in all.\n\n"
            "What to try next:\n",
            "default",
        )
        for command, purpose in (
            ("asyncendpoints kinds", "every kind of endpoint"),
            ("asyncendpoints kinds tls", "the arguments of one"),
            ("asyncendpoints check tls:example.org:443", "what a description means"),
            ("asyncendpoints relay --help", "TLS in front of your server"),
            ("asyncendpoints query example.org MX", "ask a name server"),
            ("asyncendpoints dns --help", "be one"),
        ):
            text.append(f"\n  {command:<42}", "bold").append(purpose, "dim")
        self._to.print()
        self._to.print(Panel(text, border_style="green" if self._is_right else "red"))


async def send_through(text: str, size: int) -> Passage:
    """Send bytes through an endpoint that gives them back, and compare."""
    block = hashlib.sha256(text.encode()).digest() * 2048
    reader, writer = await open_connection(text)
    sent, received = hashlib.sha256(), hashlib.sha256()
    started = time.perf_counter()

    async def send() -> None:
        for _ in range(size // len(block)):
            writer.write(block)
            sent.update(block)
            await writer.drain()

    sending = asyncio.ensure_future(send())
    left = size
    while left and (chunk := await reader.read(len(block))):
        received.update(chunk)
        left -= len(chunk)
    await sending
    seconds = time.perf_counter() - started
    writer.close()
    await writer.wait_closed()
    return Passage(size, seconds, sent.digest() == received.digest())


def in_words(event: events.Event) -> str:
    """Say what happened at a step of a connect."""
    match event:
        case events.AttemptStarted(address=address):
            return f"knocking at {address}"
        case events.Connected(address=address):
            return f"{address} answers"
        case events.HandshakeStarted():
            return "the TLS handshake begins"
        case events.HandshakeFinished(version=version, cipher=cipher):
            return f"it is over: {version}, {cipher}"
    return type(event).__name__


_EXAMPLES = """\b
Example:
  asyncendpoints demo
"""


@click.command("demo", epilog=_EXAMPLES)
@click.pass_context
def demo(ctx: click.Context) -> None:
    """Show what this is, in a second or two, without a network.

    Starts echo servers over TLS, on a unix socket and in memory, connects to each by the text that its server
    gives, and relays one into another; then a name server, which is asked over UDP, TCP and TLS. Exit code 1
    if anything did not go as it should.
    """
    ctx.exit(OK if asyncio.run(Demo(console()).run()) else FAILURE)
