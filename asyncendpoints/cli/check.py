"""``check``: what a description means, and whether it would work from here."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table
from rich.text import Text

from asyncendpoints.cli.exits import FAILURE, OK, USAGE
from asyncendpoints.cli.findings import Findings, find_out
from asyncendpoints.cli.kinds import describe
from asyncendpoints.cli.terminal import console, indented, is_narrow, line, rows
from asyncendpoints.errors import DescriptionError
from asyncendpoints.grammar import grammar
from asyncendpoints.masking import mask
from asyncendpoints.specs import Spec, parse_client, parse_server

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from asyncendpoints.certificates import CertificateFacts

__all__ = ["Reading", "check", "read"]

_PARSERS: dict[str, Callable[[str], Spec]] = {"client": parse_client, "server": parse_server}
_STYLES = {"ok": "green", "warning": "yellow", "problem": "red"}


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to understand a description."""

    #: As it was given, with its secrets.
    text: str
    spec: Spec
    findings: Findings


_EXAMPLES = """\b
Examples:
  asyncendpoints check tls:example.org:443
  asyncendpoints check --server tcp:80 unix:/run/app.sock
  asyncendpoints check --json ssl:443:privateKey=key.pem:certKey=cert.pem
"""


@click.command("check", epilog=_EXAMPLES)
@click.argument("descriptions", metavar="DESCRIPTION...", nargs=-1, required=True)
@click.option("--client", "role", flag_value="client", help="Read it as something to connect to.")
@click.option("--server", "role", flag_value="server", help="Read it as something to listen on.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("-v", "--verbose", is_flag=True, help="Show the fields at their defaults too.")
@click.pass_context
def check(
    ctx: click.Context,
    descriptions: tuple[str, ...],
    role: str | None,
    as_json: bool,
    verbose: bool,
) -> None:
    """Say what each DESCRIPTION means and what stands in its way; nothing listens, nothing is connected.

    A description that is right for a client and for a server is read as both. Names and services are looked
    up, files of keys read, the port of a server is bound and given back, and at the path of a unix socket one
    connection asks who is there.

    Exit code 1 if one of them would fail in every way to read it, 2 if one is wrong.
    """
    specs: list[tuple[str, Spec]] = []
    errors: list[DescriptionError] = []
    for text in descriptions:
        try:
            specs += [(text, spec) for spec in read(text, role)]
        except DescriptionError as error:
            errors.append(error)
    if errors and not as_json:
        raise click.UsageError("\n".join(str(error) for error in errors), ctx)
    readings = asyncio.run(_look(specs))
    if as_json:
        listed = [*map(_as_json, readings), *map(_error_as_json, errors)]
        click.echo(json.dumps(listed, indent=2))
        if errors:
            ctx.exit(USAGE)
    else:
        to = console()
        for each in readings:
            _print(to, each, verbose)
    works = {each.text for each in readings if not each.findings.would_fail}
    ctx.exit(OK if works.issuperset(descriptions) else FAILURE)


def read(text: str, role: str | None = None) -> list[Spec]:
    """Give the specs that a text stands for, one or two.

    Raises:
        DescriptionError: It is none; of two errors it has that which comes later in the text, where more of
            it was understood, and tells the other.
    """
    specs: list[Spec] = []
    errors: dict[str, DescriptionError] = {}
    for each in [role] if role else _PARSERS:
        try:
            specs.append(_PARSERS[each](text))
        except DescriptionError as error:
            errors[each] = error
    if specs:
        return specs
    first, *others = sorted(errors, key=lambda each: -errors[each].position)
    problem = errors[first].problem
    for each in others:
        if errors[each].position and errors[each].problem != problem:
            problem += f"; as a {each}: {errors[each].problem}"
    raise DescriptionError(text, errors[first].position, problem)


async def _look(specs: Sequence[tuple[str, Spec]]) -> list[Reading]:
    return [Reading(text, spec, await find_out(spec)) for text, spec in specs]


def _fields(spec: Spec) -> list[tuple[str, str | None, bool, str]]:
    """Give name, value, whether it is the default, and help of each field."""
    own = grammar(type(spec))
    given = {field.name for field, _ in own.given(spec)}
    rows = []
    for field in own.fields:
        value = getattr(spec, field.name)
        shown = None if value is None else field.format(value, masked=True)
        rows.append((field.name, shown, field.name not in given, field.help))
    return rows


def _as_json(reading: Reading) -> dict[str, Any]:
    spec, findings = reading.spec, reading.findings
    return {
        "description": mask(reading.text)[0],
        "role": spec.role,
        "meaning": describe(type(spec)),
        "canonical": spec.display(),
        "fields": [
            {"name": name, "value": value, "default": is_default, "help": help_}
            for name, value, is_default, help_ in _fields(spec)
        ],
        "addresses": findings.addresses,
        "certificates": [_certificate_as_json(each) for each in findings.certificates],
        "findings": [asdict(each) for each in findings.found],
        "would_fail": findings.would_fail,
    }


def _error_as_json(error: DescriptionError) -> dict[str, Any]:
    shown, position = mask(error.text, error.position)
    return {"description": shown, "position": position, "problem": error.problem}


def _certificate_as_json(facts: CertificateFacts) -> dict[str, Any]:
    return {
        **asdict(facts),
        "not_before": facts.not_before.isoformat(),
        "not_after": facts.not_after.isoformat(),
    }


def _print(to: Console, reading: Reading, verbose: bool) -> None:
    spec, findings = reading.spec, reading.findings
    line(to, f"{spec.display()}  as a {spec.role}", "bold")
    indented(to, Text(describe(type(spec))), 2)
    to.print()
    fields = _fields(spec)
    shown = [each for each in fields if verbose or not each[2]]
    _print_fields(to, shown)
    hidden = len(fields) - len(shown)
    if hidden:
        line(to, f"  {hidden} more at their defaults: --verbose shows them", "dim")
    if fields:
        to.print()
    for number, address in enumerate(findings.addresses, 1):
        line(to, f"  {f'address {number}':<13}{address}")
    for facts in findings.certificates:
        _print_certificate(to, facts)
    for each in findings.found:
        indented(to, Text(each.text), 2, Text(f"{each.level:<13}", _STYLES[each.level]))
    to.print()


def _print_fields(to: Console, fields: Sequence[tuple[str, str | None, bool, str]]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(style="dim", overflow="fold")
    for name, value, is_default, help_ in fields:
        style = "dim" if is_default else "cyan"
        shown = Text("-" if value is None else value, style)
        table.add_row(Text(name, style), shown, help_)
        if is_narrow(to):
            indented(to, Text(name, style), 2)
            indented(to, shown, 4)
            indented(to, Text(help_, "dim"), 4)
    if fields and not is_narrow(to):
        rows(to, table)


def _print_certificate(to: Console, facts: CertificateFacts) -> None:
    names = ", ".join((*facts.names, *facts.addresses)) or "no name"
    issuer = "itself" if facts.self_signed else facts.issuer
    line(to, f"  certificate  for {names}")
    line(to, f"               of {facts.subject or 'no subject'}, signed by {issuer}")
    line(to, f"               valid {facts.not_before:%Y-%m-%d} to {facts.not_after:%Y-%m-%d}")
    line(to, f"               {facts.pin}")
