"""``query``, against a name server in this process."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from asyncendpoints.dns.codes import EDE, Rcode
from asyncendpoints.dns.listening import listen
from asyncendpoints.dns.names import encode_name
from asyncendpoints.dns.outcome import TRUNCATED, Answer, Failure, NoData, NXDomain, Referral
from asyncendpoints.dns.records import Records, Type
from tests.cli.support import run
from tests.support import unused_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from click.testing import Result

    from asyncendpoints.dns.outcome import Outcome
    from asyncendpoints.dns.query import Query

DNS = "dns:0:interface=127.0.0.1"
SOA = Records(encode_name("test"), 6, 60, (encode_name("ns.test") * 2 + bytes(20),))

OUTCOMES: dict[str, Outcome] = {
    "none.test": NXDomain(SOA),
    "empty.test": NoData(SOA),
    "broken.test": Failure(ede=EDE(22, "nobody is there")),
    "mine.test": Failure(Rcode.REFUSED),
    "long.test": TRUNCATED,
    "sub.test": Referral(Records(encode_name("sub.test"), Type.NS, 60, (encode_name("ns.test"),))),
}


class Resolver:
    """Gives outcomes by name, else an answer for each type, and remembers the queries."""

    def __init__(self) -> None:
        self.queries: list[Query] = []

    def resolve(self, query: Query, /) -> Outcome:
        self.queries.append(query)
        if query.name in OUTCOMES:
            return OUTCOMES[query.name]
        if query.name == "many.test":
            return Answer.of(query, *(f"{number:0200}" for number in range(20)), type="TXT")
        match query.type:
            case "A":
                return Answer.of(query, "192.0.2.1", "192.0.2.2", ttl=300)
            case "MX":
                return Answer.of(query, "10 mail.test", ttl=5)
            case "PTR":
                return Answer.of(query, "host.test")
        return NoData(SOA)


@asynccontextmanager
async def serving(text: str = DNS) -> AsyncIterator[tuple[str, Resolver]]:
    """Give the text of a name server, and its resolver."""
    resolver = Resolver()
    async with listen(text, resolver) as server:
        yield str(server.client_endpoints[0]), resolver


async def query(*arguments: str) -> Result:
    """Run the command in a thread, while the loop of the test serves."""
    return await asyncio.to_thread(run, "query", *arguments)


def timeless(text: str) -> str:
    """Replace what differs from time to time."""
    text = re.sub(r"\d+\.\d\d ms", "TIME", re.sub(r"\d+ bytes", "SIZE", text))
    return re.sub(r"127\.0\.0\.1:\d+", "SERVER", text)


async def test_everything_is_shown() -> None:
    """Code, flags, records in columns, who answered, how, how quickly and how long the answer is."""
    async with serving() as (server, _):
        result = await query("www.test", "A", "MX", "--server", server)
    assert result.exit_code == 0
    assert timeless(result.stdout) == (
        "www.test A  NOERROR  aa  rd\n"
        "  answer\n"
        "    www.test.  300  A  192.0.2.1\n"
        "    www.test.  300  A  192.0.2.2\n"
        "  SERVER, UDP, TIME, SIZE\n"
        "\n"
        "www.test MX  NOERROR  aa  rd\n"
        "  answer\n"
        "    www.test.  5  MX  10 mail.test.\n"
        "  SERVER, UDP, TIME, SIZE\n"
        "\n"
    )


async def test_extended_errors_are_shown() -> None:
    """With their names and texts."""
    async with serving() as (server, _):
        result = await query("broken.test", "A", "--server", server)
    assert timeless(result.stdout).startswith(
        "broken.test A  SERVFAIL  rd\n"
        "  extended error 22 no reachable authority: nobody is there\n"
        "  SERVER, UDP, TIME, "
    )


async def test_addresses_are_asked_for_without_a_type() -> None:
    """A and AAAA, both at once."""
    async with serving() as (server, resolver):
        result = await query("www.test", "--server", server)
    assert result.exit_code == 0
    assert {each.type for each in resolver.queries} == {"A", "AAAA"}


async def test_a_type_is_asked_for_once() -> None:
    """However often it is given, in whatever case."""
    async with serving() as (server, resolver):
        await query("www.test", "mx", "MX", "TYPE15", "--server", server)
    assert [each.type for each in resolver.queries] == ["MX"]


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        ([], (True, True, False)),
        (["--dnssec"], (True, True, True)),
        (["--no-recursion"], (False, True, False)),
    ],
)
async def test_options_are_flags(options: list[str], flags: tuple[bool, bool, bool]) -> None:
    """RD and AD are set as a rule, DO is an option."""
    async with serving() as (server, resolver):
        await query("www.test", "A", "--server", server, *options)
    (asked,) = resolver.queries
    assert (asked.rd, asked.ad, asked.do) == flags


@pytest.mark.parametrize(("options", "transport"), [([], "udp"), (["--tcp"], "tcp")])
async def test_tcp_is_an_option(options: list[str], transport: str) -> None:
    """A dns: server is asked over UDP first unless it is given."""
    async with serving() as (server, resolver):
        await query("www.test", "A", "--server", server, *options)
    assert [each.transport for each in resolver.queries] == [transport]


@pytest.mark.parametrize(("kind", "transports"), [("dns:", ["udp", "tcp"]), ("udp:", ["udp"])])
async def test_a_truncated_answer(kind: str, transports: list[str]) -> None:
    """It is asked for again over TCP, but not from a udp: server."""
    async with serving() as (server, resolver):
        result = await query("many.test", "TXT", "--server", server.replace("dns:", kind))
    assert [each.transport for each in resolver.queries] == transports
    assert result.exit_code == (0 if "tcp" in transports else 1)


async def test_other_letters() -> None:
    """A name is asked for as DNS has it."""
    async with serving() as (server, _):
        result = await query("müller.test", "A", "--server", server)
    assert "xn--mller-kva.test.  300  A  192.0.2.1" in result.stdout


async def test_names_of_an_address() -> None:
    """With ``--reverse`` an address stands for its reverse name, and PTR is the type."""
    async with serving() as (server, resolver):
        result = await query("--reverse", "192.0.2.1", "--short", "--server", server)
    assert result.stdout == "host.test.\n"
    assert resolver.queries[0].name == "1.2.0.192.in-addr.arpa"


# Short, and JSON


async def test_short_is_data_alone() -> None:
    """A line for each record of the answers."""
    async with serving() as (server, _):
        result = await query("www.test", "A", "MX", "--short", "--server", server)
    assert result.stdout == "192.0.2.1\n192.0.2.2\n10 mail.test.\n"
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("broken.test", "broken.test A: SERVFAIL; 22 no reachable authority: nobody is there\n"),
        ("mine.test", "mine.test A: REFUSED\n"),
        ("long.test", "long.test A: the answer is truncated\n"),
        ("sub.test", "sub.test A: a referral to other servers\n"),
        ("none.test", ""),
        ("empty.test", ""),
    ],
)
async def test_short_says_why_there_is_nothing(name: str, error: str) -> None:
    """Failures are on standard error; what does not exist is in the exit code."""
    async with serving() as (server, _):
        udp = server.replace("dns:", "udp:")
        result = await query(name, "A", "--short", "--server", udp)
    assert (result.stdout, result.stderr) == ("", error)


async def test_json() -> None:
    """All that is known of each question is there."""
    async with serving() as (server, _):
        result = await query("www.test", "MX", "--json", "--server", server)
    (found,) = json.loads(result.stdout)
    assert 0 < found.pop("seconds") < 5
    assert 40 < found.pop("bytes") < 70
    assert found == {
        "name": "www.test",
        "type": "MX",
        "source": server.removeprefix("dns:"),
        "transport": "UDP",
        "rcode": "NOERROR",
        "flags": ["aa", "rd"],
        "errors": [],
        "answer": [{"name": "www.test.", "ttl": 5, "type": "MX", "data": "10 mail.test."}],
        "authority": [],
        "additional": [],
    }


async def test_errors_as_json() -> None:
    """A question that failed has its error, and the exit code is 1."""
    result = await query("www.test", "A", "--json", "--server", "memory:nobody")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == [
        {
            "name": "www.test",
            "type": "A",
            "error": "memory:nobody: nobody in this process listens on memory:nobody",
        }
    ]


@pytest.mark.parametrize("options", [[], ["--tcp"]])
async def test_a_server_over_udp_keeps_its_name(options: list[str]) -> None:
    """Errors have the server as it was written, unless it is asked over TCP."""
    server = f"udp:127.0.0.1:{unused_port()}"
    asked = server.replace("udp:", "dns:") if options else server
    result = await query("www.test", "A", "--server", server, *options)
    assert result.exit_code == 1
    assert asked in result.stderr
    assert "refused" in result.stderr
    shown = await query("www.test", "A", "--json", "--server", server, *options)
    assert asked in json.loads(shown.stdout)[0]["error"]


async def test_extended_errors_as_json() -> None:
    """Code, name and text."""
    async with serving() as (server, _):
        result = await query("broken.test", "A", "--json", "--server", server)
    expected = {"code": 22, "name": "no reachable authority", "text": "nobody is there"}
    assert json.loads(result.stdout)[0]["errors"] == [expected]


# Exit codes


@pytest.mark.parametrize(
    ("name", "types", "code"),
    [
        ("www.test", ["A"], 0),
        ("www.test", ["A", "TXT"], 0),
        ("www.test", ["TXT"], 4),
        ("www.test", ["TXT", "AAAA"], 4),
        ("empty.test", [], 4),
        ("none.test", [], 3),
        ("broken.test", [], 1),
        ("mine.test", ["A"], 1),
        ("long.test", ["A"], 1),
        ("sub.test", ["A"], 1),
    ],
)
async def test_exit_codes(name: str, types: list[str], code: int) -> None:
    """Data of one type is success; failures, names that do not exist and no data differ."""
    async with serving() as (server, _):
        udp = server.replace("dns:", "udp:")
        assert (await query(name, *types, "--server", udp)).exit_code == code


async def test_a_server_that_is_not_there_is_one_line() -> None:
    """However much it was asked."""
    result = await query("www.test", "--server", "memory:nobody")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "memory:nobody: nobody in this process listens on memory:nobody\n"


# Resolvers without a server


async def test_a_resolver_of_a_python_file(tmp_path: Path) -> None:
    """It is asked without a wire, and closed."""
    path = write(
        tmp_path,
        "class Resolver:\n"
        "    def resolve(self, query):\n"
        "        from asyncendpoints.dns.outcome import Answer\n"
        "        return Answer.of(query, '192.0.2.7')\n"
        "    async def aclose(self):\n"
        "        print('closed')\n"
        "resolver = Resolver()\n",
    )
    result = await query("www.test", "A", "--resolver", path)
    assert result.exit_code == 0
    assert timeless(result.stdout) == (
        "closed\n"
        "www.test A  NOERROR  aa\n"
        "  answer\n"
        "    www.test.  60  A  192.0.2.7\n"
        f"  {path}, no wire, TIME\n\n"
    )


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("return DROP", "www.test A: {path} leaves it without a reply\n"),
        (
            "return loop().create_future()",
            "www.test A: no answer from {path} in 0.02 s\n",
        ),
    ],
)
async def test_a_resolver_without_an_answer(tmp_path: Path, statement: str, error: str) -> None:
    """That is exit code 1, and the error says why."""
    path = write(
        tmp_path,
        "from asyncio import get_running_loop as loop\n"
        "from asyncendpoints.dns.outcome import DROP\n"
        "class Resolver:\n"
        "    def resolve(self, query):\n"
        f"        {statement}\n"
        "resolver = Resolver()\n",
    )
    result = await query("www.test", "A", "--resolver", path, "--timeout", "0.02")
    assert result.exit_code == 1
    assert result.stderr == error.format(path=path)


def write(folder: Path, text: str) -> str:
    """Write a Python file, and give its path."""
    path = folder / "answers.py"
    path.write_text(text)
    return str(path)


def test_this_machine_is_asked_as_a_rule() -> None:
    """Its hosts file knows one name everywhere."""
    result = run("query", "localhost", "A")
    assert result.exit_code == 0
    assert "127.0.0.1" in result.stdout
    assert "this machine, no wire, " in result.stdout


def test_a_file_that_defines_no_resolver(tmp_path: Path) -> None:
    """The error names it."""
    path = write(tmp_path, "x = 1\n")
    result = run("query", "www.test", "--resolver", path)
    assert result.exit_code == 1
    assert result.stderr == f"Error: {path}: defines none of 'resolver', 'router' and 'zone'\n"


# Wrong usage


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["@192.0.2.1", "a.test"], "@192.0.2.1: a server is given as --server 192.0.2.1"),
        (["a.test", "MX", "+short"], "+short: options begin with --, as in --short or --tcp"),
        (["a..b"], "Invalid value for NAME: 'a..b': has an empty label"),
        (["--reverse", "www.test"], "Invalid value for NAME: 'www.test': is no IP address"),
        (["a.test", "X"], "Invalid value for TYPE: 'X': is no record type"),
        (["a.test", "AXFR"], "AXFR: this asks for records of one name, not for a zone"),
        (
            ["a.test", "OPT"],
            "OPT: this asks for records of one name, not for what belongs to messages",
        ),
        (["a.test", "ANY"], "ANY: only a server is asked for it"),
        (["a.test", "--tcp"], "--tcp is for --server with an address, dns: or udp:"),
        (["a.test", "--tcp", "--server", "tcp:a:1"], "--tcp is for --server"),
        (["a.test", "--server", "dns:a", "--resolver", "x.py"], "give one of them"),
        (["a.test", "--server", "nonsense:a"], "Invalid value for '-s' / '--server'"),
        (["a.test", "--server", "udp:a:53:bind_port=53"], "Invalid value for '-s' / '--server'"),
        (["a.test", "--timeout", "nan"], "'nan' is no number of seconds"),
        (["a.test", "--timeout", "inf"], "'inf' is no number of seconds"),
        (["a.test", "--timeout", "1e999"], "'1e999' is no number of seconds"),
        (["a.test", "--timeout", "-inf"], "-inf"),
    ],
)
def test_wrong_usage(arguments: list[str], problem: str) -> None:
    """The exit code is 2, and the error says what is wrong."""
    result = run("query", *arguments, columns=200)
    assert result.exit_code == 2
    assert problem in result.stderr
