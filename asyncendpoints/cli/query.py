"""``query``: what a name server, this machine or a resolver in Python says to a question."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import click
from rich.text import Text

from asyncendpoints.cli.exchange import exchange
from asyncendpoints.cli.exits import FAILURE, OK
from asyncendpoints.cli.messages import Message, message_of
from asyncendpoints.cli.parameters import SECONDS, as_upstream
from asyncendpoints.cli.terminal import console, count, duration, line
from asyncendpoints.dns.machine import system
from asyncendpoints.dns.names import encode_name, reverse_name
from asyncendpoints.dns.outcome import DROP
from asyncendpoints.dns.pyzone import load_python
from asyncendpoints.dns.query import Query
from asyncendpoints.dns.records import Type, format_type, parse_type
from asyncendpoints.dns.resolver import ask, close
from asyncendpoints.dns.upstream_specs import parse_upstream
from asyncendpoints.errors import (
    DNSError,
    DNSTimeoutError,
    DomainNameError,
    EndpointError,
    RecordError,
)
from asyncendpoints.kinds.dns import DNSClient
from asyncendpoints.kinds.udp import UDPClient

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from asyncendpoints.cli.messages import Record
    from asyncendpoints.dns.resolver import Resolver
    from asyncendpoints.specs import ClientSpec

__all__ = ["Failed", "Found", "query"]

#: Exit codes beside those of all commands.
NO_NAME = 3
NO_DATA = 4

#: What is asked about a name, and about an address.
_TYPES = ("A", "AAAA")
_REVERSE = ("PTR",)
#: Types whose replies are many messages, and those that are about messages.
_NOT_ASKED = {
    **dict.fromkeys((Type.IXFR, Type.AXFR), "a zone"),
    **dict.fromkeys((Type.OPT, Type.TSIG, Type.TKEY), "what belongs to messages"),
}

_STYLES = {"NOERROR": "green", "NXDOMAIN": "yellow"}
_WIDEST_NAME = 40


@dataclass(frozen=True, slots=True)
class Found:
    """A question with its answer."""

    query: Query
    message: Message
    #: Who said it, in words.
    source: str
    transport: str
    seconds: float
    #: Of the reply, in bytes; None without a wire.
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A question without one."""

    query: Query
    error: EndpointError


class Source(Protocol):
    """Somebody who answers."""

    async def ask(self, query: Query) -> Found:
        """Ask a question; raises an `EndpointError` if that fails."""

    async def aclose(self) -> None: ...


class _Server:
    """A name server."""

    def __init__(self, spec: ClientSpec, timeout: float, *, udp: bool) -> None:
        self._spec = spec
        self._timeout = timeout
        self._udp = udp

    async def ask(self, query: Query) -> Found:
        found = await exchange(self._spec, query, timeout=self._timeout, udp=self._udp)
        source = found.peer or self._spec.display()
        return Found(query, found.message, source, found.transport, found.seconds, found.bytes)

    async def aclose(self) -> None:
        """Have nothing to close."""


class _Local:
    """A resolver in this process."""

    def __init__(self, resolver: Resolver, name: str, timeout: float) -> None:
        self._resolver = resolver
        self._name = name
        self._timeout = timeout

    async def ask(self, query: Query) -> Found:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout(self._timeout):
                outcome = await ask(self._resolver, query)
        except TimeoutError:
            problem = f"no answer from {self._name} in {self._timeout:g} s"
            raise DNSTimeoutError(query.name, query.type, problem) from None
        if outcome is DROP:
            raise DNSError(query.name, query.type, f"{self._name} leaves it without a reply")
        return Found(query, message_of(outcome), self._name, "no wire", loop.time() - started)

    async def aclose(self) -> None:
        await close(self._resolver)


def _as_server(ctx: click.Context, param: click.Parameter, value: str | None) -> ClientSpec | None:
    if value is None:
        return None
    spec = as_upstream(ctx, param, value)
    if isinstance(spec, DNSClient) and value.lower().startswith("udp:"):
        # As a name server it would be asked over TCP too.
        return UDPClient(spec.host, spec.port, bind_address=spec.bind_address, family=spec.family)
    return spec


_EXAMPLES = """\b
Examples:
  asyncendpoints query www.example.org
  asyncendpoints query example.org MX TXT --server 9.9.9.9
  asyncendpoints query example.org SOA --server tls:dns.quad9.net --dnssec
  asyncendpoints query --reverse 192.0.2.1 --short
  asyncendpoints query workstation1.example.com --resolver answers.py
"""


@click.command("query", epilog=_EXAMPLES)
@click.argument("name", metavar="NAME")
@click.argument("types", metavar="[TYPE]...", nargs=-1)
@click.option(
    "-s",
    "--server",
    metavar="SERVER",
    callback=_as_server,
    help="An address, or a description: dns:, udp:, tcp:, tls: or unix:. As a rule this machine is asked.",
)
@click.option(
    "--resolver",
    metavar="FILE",
    help="Ask the resolver that a Python file defines, which is executed; no server is between.",
)
@click.option("-x", "--reverse", is_flag=True, help="NAME is an address: ask for its names.")
@click.option("--dnssec", is_flag=True, help="Ask for DNSSEC records too (the flag DO).")
@click.option(
    "--no-recursion", is_flag=True, help="Ask for what the server has itself (without RD)."
)
@click.option("--tcp", is_flag=True, help="Ask a dns: server over TCP at once.")
@click.option("--short", is_flag=True, help="Print the data of the answers alone.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--timeout",
    type=SECONDS,
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="Limit of each question.",
)
@click.pass_context
def query(
    ctx: click.Context,
    name: str,
    types: tuple[str, ...],
    server: ClientSpec | None,
    resolver: str | None,
    reverse: bool,
    dnssec: bool,
    no_recursion: bool,
    tcp: bool,
    short: bool,
    as_json: bool,
    timeout: float,
) -> None:
    """Ask for the records of NAME, in any letters, and show everything that is said.

    TYPE is such as MX or TYPE731; several are asked at once, A and AAAA if none is given. An answer is shown
    with its code, flags and extended errors, its records with their TTLs, its time and size. A dns: server is
    asked over UDP, and over TCP after a truncated answer; udp: is UDP alone.

    Exit code 0 if there is data of one of the types; 1 if one of them could not be found out, as after
    SERVFAIL, REFUSED, a referral to other servers or silence; 3 if the name does not exist (NXDOMAIN); 4 if
    it has no data of these types; 2 if the command is wrong.
    """
    if server is not None and resolver is not None:
        raise click.UsageError("--server and --resolver are two to ask; give one of them", ctx)
    if tcp and not isinstance(server, DNSClient | UDPClient):
        raise click.UsageError("--tcp is for --server with an address, dns: or udp:", ctx)
    questions = [
        Query.make(*each, rd=not no_recursion, ad=True, do=dnssec)
        for each in _questions(name, types, reverse=reverse, is_local=server is None)
    ]
    make: Callable[[], Source]
    if server is not None:
        asked = parse_upstream(server) if tcp else server
        make = partial(_Server, asked, timeout, udp=not tcp)
    elif resolver is not None:
        made = load_python(resolver)
        make = partial(_Local, made, resolver, timeout)
    else:
        make = partial(_machine, timeout)
    results = asyncio.run(_ask_all(make, questions))
    if as_json:
        click.echo(json.dumps([_as_json(each) for each in results], indent=2))
    else:
        _print(results, short=short)
    ctx.exit(_exit_code(results))


def _machine(timeout: float) -> Source:
    return _Local(system(), "this machine", timeout)


def _questions(
    name: str, types: Sequence[str], *, reverse: bool, is_local: bool
) -> list[tuple[str, int]]:
    """Give name and type of each question; what is wrong with one is wrong usage."""
    for word in (name, *types):
        if word.startswith("@"):
            raise click.UsageError(f"{word}: a server is given as --server {word[1:]}")
        if word.startswith("+"):
            raise click.UsageError(f"{word}: options begin with --, as in --short or --tcp")
    try:
        text = reverse_name(name) if reverse else name
        encode_name(text)
        wanted = [parse_type(each.upper()) for each in types or (_REVERSE if reverse else _TYPES)]
    except DomainNameError as error:
        raise click.BadParameter(str(error), param_hint="NAME") from error
    except RecordError as error:
        raise click.BadParameter(str(error), param_hint="TYPE") from error
    for each in wanted:
        if each in _NOT_ASKED:
            problem = f"{format_type(each)}: this asks for records of one name, not for {_NOT_ASKED[each]}"
            raise click.BadParameter(problem, param_hint="TYPE")
        if is_local and each == Type.ANY:
            raise click.BadParameter("ANY: only a server is asked for it", param_hint="TYPE")
    return [(text, each) for each in dict.fromkeys(wanted)]


async def _ask_all(make: Callable[[], Source], questions: Sequence[Query]) -> list[Found | Failed]:
    source = make()
    try:
        return await asyncio.gather(*(_ask(source, each) for each in questions))
    finally:
        await source.aclose()


async def _ask(source: Source, question: Query) -> Found | Failed:
    try:
        return await source.ask(question)
    except EndpointError as error:
        return Failed(question, error)


def _exit_code(results: Sequence[Found | Failed]) -> int:
    codes = {_exit_code_of(each) for each in results}
    return next(each for each in (FAILURE, NO_NAME, OK, NO_DATA) if each in codes)


def _exit_code_of(result: Found | Failed) -> int:
    if isinstance(result, Failed):
        return FAILURE
    message = result.message
    if message.rcode == "NXDOMAIN":
        return NO_NAME
    if message.rcode != "NOERROR" or message.is_truncated or message.is_referral:
        return FAILURE
    return OK if message.has_data(result.query.type) else NO_DATA


def _as_json(result: Found | Failed) -> dict[str, Any]:
    query = result.query
    asked = {"name": query.name, "type": query.type}
    if isinstance(result, Failed):
        return {**asked, "error": str(result.error)}
    message = result.message
    sections = {
        section: [each._asdict() for each in records] for section, records in _sections(message)
    }
    return {
        **asked,
        "source": result.source,
        "transport": result.transport,
        "seconds": round(result.seconds, 6),
        "bytes": result.size,
        "rcode": message.rcode,
        "flags": message.flags,
        "errors": [each._asdict() for each in message.errors],
        **sections,
    }


def _sections(message: Message) -> list[tuple[str, tuple[Record, ...]]]:
    return [
        ("answer", message.answer),
        ("authority", message.authority),
        ("additional", message.additional),
    ]


def _print(results: Sequence[Found | Failed], *, short: bool) -> None:
    to, errors = console(), console(stderr=True)
    # A server that is not there is one error, however much it was asked.
    for text in dict.fromkeys(str(each.error) for each in results if isinstance(each, Failed)):
        line(errors, text, "red")
    for each in results:
        if isinstance(each, Failed):
            continue
        if short:
            _print_short(to, errors, each)
        else:
            _print_found(to, each)


def _print_short(to: Console, errors: Console, found: Found) -> None:
    for each in found.message.answer:
        line(to, each.data)
    if _exit_code_of(found) != FAILURE:
        return
    said = "; ".join([_problem(found.message), *map(str, found.message.errors)])
    line(errors, f"{found.query.name} {found.query.type}: {said}", "red")


def _problem(message: Message) -> str:
    if message.is_truncated:
        return "the answer is truncated"
    return "a referral to other servers" if message.is_referral else message.rcode


def _print_found(to: Console, found: Found) -> None:
    message = found.message
    head = Text(f"{found.query.name} {found.query.type}  ", "bold")
    head.append(message.rcode, _STYLES.get(message.rcode, "red"))
    head.append("".join(f"  {each}" for each in message.flags))
    to.print(head, soft_wrap=True)
    for error in message.errors:
        line(to, f"  extended error {error}", "yellow")
    for section, records in _sections(message):
        if records:
            line(to, f"  {section}", "dim")
            _print_records(to, records)
    size = "" if found.size is None else f", {count(found.size, 'byte')}"
    line(to, f"  {found.source}, {found.transport}, {duration(found.seconds)}{size}", "dim")
    to.print()


def _print_records(to: Console, records: Sequence[Record]) -> None:
    """Print records in columns. They are not wrapped, so that they can be copied."""
    name = min(max(len(each.name) for each in records), _WIDEST_NAME)
    ttl = max(len(str(each.ttl)) for each in records)
    kind = max(len(each.type) for each in records)
    for each in records:
        row = Text(f"    {each.name:<{name}}  ", "cyan")
        row.append(f"{each.ttl:>{ttl}}  {each.type:<{kind}}  ", "dim").append(each.data, "default")
        to.print(row, soft_wrap=True)
