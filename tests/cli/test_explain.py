"""``explain``, against servers in this process."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from asyncendpoints import listen
from asyncendpoints.dns.listening import listen as listen_dns
from asyncendpoints.dns.outcome import Answer, NoData
from tests.cli.support import run, words
from tests.serving import until
from tests.support import Recorder, open_descriptors, unused_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from click.testing import Result

    from asyncendpoints.dns.outcome import Outcome
    from asyncendpoints.dns.query import Query


async def explain(*arguments: str) -> Result:
    """Run the command in a thread, while the loop of the test serves."""
    return await asyncio.to_thread(run, "explain", *arguments)


async def as_json(*arguments: str) -> tuple[int, Any, list[Any]]:
    """Give the exit code, the document, and kind, subject and outcome of each step."""
    result = await explain("--json", *arguments)
    document = json.loads(result.stdout)
    steps = [(each["kind"], each["subject"], each["outcome"]) for each in document["steps"]]
    return result.exit_code, document, steps


class Names:
    """A resolver of two addresses for any name, on the first of which nobody listens."""

    def __init__(self) -> None:
        self.queries: list[Query] = []

    def resolve(self, query: Query, /) -> Outcome:
        self.queries.append(query)
        if query.type != "A":
            return NoData()
        return Answer.of(query, "127.0.0.2", "127.0.0.1", ttl=300)


@asynccontextmanager
async def naming() -> AsyncIterator[tuple[str, Names]]:
    """Give the text of a name server, and what it answers with."""
    names = Names()
    async with listen_dns("dns:0:interface=127.0.0.1", names) as server:
        yield str(server.client_endpoints[0]), names


# What happens


async def test_a_connection_is_drawn_and_ended() -> None:
    """The bars are of this connect, which hangs up when it is done."""
    made: list[Recorder] = []

    def make() -> Recorder:
        made.append(Recorder())
        return made[-1]

    async with listen("tcp:0:interface=127.0.0.1", make) as server:
        result = await explain(str(server.client_endpoints[0]))
        async with asyncio.timeout(10):
            await until(lambda: len(made) == 1)
            await made[0].lost.wait()
    assert result.exit_code == 0, result.output
    first, _, _, step, *_, last = result.stdout.splitlines()
    assert first == f"tcp:127.0.0.1:{server.port}"
    assert step.startswith(f"  attempt  127.0.0.1:{server.port}  ")
    assert last.startswith("connected in ")


async def test_tls_is_a_step() -> None:
    """A server with a certificate of its own is known by its pin."""
    async with listen("tls:0:interface=127.0.0.1:selfsigned=localhost", asyncio.Protocol) as server:
        code, document, steps = await as_json(str(server.client_endpoints[0]))
    assert code == 0
    assert steps == [
        ("attempt", f"127.0.0.1:{server.port}", "ok"),
        ("handshake", "127.0.0.1", "ok"),
    ]
    assert document["outcome"] == "connected"
    assert document["steps"][1]["details"]["version"] == "TLSv1.3"
    ends = [each["end"] for each in document["steps"]]
    assert 0 < ends[0] < ends[1] <= document["seconds"]


async def test_a_certificate_that_is_not_trusted_is_drawn() -> None:
    """The handshake failed, and the error says what can be done."""
    async with listen("tls:0:interface=127.0.0.1:selfsigned=localhost", asyncio.Protocol) as server:
        result = await explain(f"tls:localhost:{server.port}:family=ipv4")
    assert result.exit_code == 1
    text = words(result.stdout)
    assert "failed: [SSL: CERTIFICATE_VERIFY_FAILED]" in text
    assert "the certificate is self-signed (" in text


async def test_a_refused_port_is_drawn() -> None:
    """The exit code is 1, and the document has the error and the stage."""
    port = unused_port()
    code, document, steps = await as_json(f"tcp:127.0.0.1:{port}")
    assert code == 1
    assert steps == [("attempt", f"127.0.0.1:{port}", "failed")]
    assert document["outcome"] == "failed"
    assert document["stage"] == "connect"
    assert document["error"] == f"cannot connect to 127.0.0.1:{port}: connection refused"


async def test_of_two_addresses_the_first_refuses() -> None:
    """The lookup, both questions and both attempts are there, each with its outcome."""
    async with naming() as (text, _), listen("tcp:0:interface=127.0.0.1", Recorder) as server:
        port = server.port
        code, _, steps = await as_json(f"tcp:two.example.com:{port}", "--resolver", text)
    assert code == 0
    assert steps == [
        ("lookup", "two.example.com", "ok"),
        ("query", "two.example.com AAAA", "failed"),
        ("query", "two.example.com A", "ok"),
        ("attempt", f"127.0.0.2:{port}", "failed"),
        ("attempt", f"127.0.0.1:{port}", "ok"),
    ]


async def test_a_time_limit_ends_what_does_not_end() -> None:
    """A server that does not speak TLS leaves the handshake unfinished."""
    async with listen("tcp:0:interface=127.0.0.1", Recorder) as server:
        spec = f"tls:127.0.0.1:{server.port}:verify=no"
        code, document, steps = await as_json(spec, "--timeout", "0.5")
    assert code == 1
    assert document["error"] == "timed out after 0.5 s (tls)"
    assert steps == [
        ("attempt", f"127.0.0.1:{server.port}", "ok"),
        ("handshake", "127.0.0.1", "unfinished"),
    ]


# Who is asked for addresses


@pytest.mark.parametrize("resolver", [[], ["--resolver", "system"]])
async def test_the_system_finds_addresses(resolver: list[str]) -> None:
    """Without a resolver there are no questions, but the lookup of getaddrinfo."""
    port = unused_port()
    _, _, steps = await as_json(f"tcp:localhost:{port}:family=ipv4", *resolver)
    assert steps == [
        ("lookup", "localhost", "ok"),
        ("attempt", f"127.0.0.1:{port}", "failed"),
    ]


async def test_the_resolver_of_this_machine_finds_addresses() -> None:
    """With ``dns`` the questions are steps."""
    port = unused_port()
    _, _, steps = await as_json(f"tcp:localhost:{port}:family=ipv4", "--resolver", "dns")
    assert steps[:2] == [("lookup", "localhost", "ok"), ("query", "localhost A", "ok")]


async def test_a_server_that_is_named_is_asked_over_udp_and_tcp() -> None:
    """Whatever ``query`` takes as a server is taken here."""
    async with naming() as (text, names):
        for way in (text.replace("dns:", "udp:"), text.replace("dns:", "tcp:")):
            await as_json(f"tcp:two.example.com:{unused_port()}", "--resolver", way)
    assert {each.transport for each in names.queries} == {"udp", "tcp"}


async def test_a_server_that_is_named_is_asked_for_special_names() -> None:
    """Whoever names a server wants to know what that one says, whatever the name is for."""
    async with naming() as (text, names):
        await as_json(f"tcp:two.svc.test:{unused_port()}", "--resolver", text)
    assert {each.name for each in names.queries} == {"two.svc.test"}


async def test_nothing_stays_open() -> None:
    """Neither the connection nor the resolver leave a descriptor."""
    async with naming() as (text, _), listen("tcp:0:interface=127.0.0.1", Recorder) as server:
        spec = f"tcp:two.example.com:{server.port}"
        await explain(spec, "--resolver", text)
        before = open_descriptors()
        result = await explain(spec, "--resolver", text)
        assert result.exit_code == 0
        async with asyncio.timeout(10):
            await until(lambda: open_descriptors() <= before)


# What is written


async def test_a_picture_is_written(tmp_path: Path) -> None:
    """With ``--svg`` the waterfall is printed, and the picture has each step of it."""
    path = tmp_path / "connect.svg"
    port = unused_port()
    result = await explain(f"tcp:127.0.0.1:{port}", "--svg", str(path))
    assert result.exit_code == 1
    assert "  attempt  " in result.stdout
    picture = ET.parse(path).getroot()
    assert f"127.0.0.1:{port}" in [each.text for each in picture.iter()]


async def test_a_picture_can_go_to_standard_output() -> None:
    """With ``--svg -`` it is all that is there."""
    result = await explain(f"tcp:127.0.0.1:{unused_port()}", "--svg", "-")
    assert result.exit_code == 1
    assert ET.fromstring(result.stdout).tag.endswith("svg")
    assert result.stdout.endswith("</svg>\n")


async def test_standard_output_has_room_for_one() -> None:
    """A picture and a document there are wrong usage."""
    result = await explain("memory:absent", "--svg", "-", "--json")
    assert result.exit_code == 2
    assert "--svg - and --json write to standard output both; give one" in words(result.stderr)


async def test_a_picture_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """The waterfall is printed before."""
    result = await explain("memory:absent", "--svg", str(tmp_path / "no" / "connect.svg"))
    assert result.exit_code == 1
    assert "nobody in this process listens" in result.stdout
    assert result.stderr.startswith("Error: Could not open file ")
    assert result.stderr.endswith("No such file or directory\n")


async def test_secrets_are_shown_nowhere(tmp_path: Path) -> None:
    """Waterfall, document and picture have asterisks in the place of a password."""
    spec = f"socks5:a.test:1:proxy=[tcp:127.0.0.1:{unused_port()}]:username=u:password=hunter2"
    path = tmp_path / "connect.svg"
    result = await explain(spec, "--svg", str(path))
    shown = result.output + (await explain(spec, "--json")).output + path.read_text()
    assert "hunter2" not in shown
    assert shown.count("password=***") >= 3


# What is wrong


@pytest.mark.parametrize(
    ("arguments", "place", "problem"),
    [
        (["tcp:a:80:bogus=1"], "DESCRIPTION", "no option 'bogus'"),
        (["udp:127.0.0.1:53"], "DESCRIPTION", "has datagrams and no connections"),
        (["tcp:a:1", "--resolver", "nonsense"], "--resolver", "nonsense"),
        (["tcp:a:1", "--timeout", "0"], "--timeout", "0"),
        (["tcp:a:1", "--resolver", "systm"], "--resolver", "systm (did you mean 'system'?)"),
        (["tcp:a:1", "--resolver", "DSN"], "--resolver", "DSN (did you mean 'dns'?)"),
    ],
)
async def test_wrong_usage_is_not_drawn(arguments: list[str], place: str, problem: str) -> None:
    """The exit code is 2, nothing is drawn, and the place is named."""
    result = await explain(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert place in result.stderr
    assert problem in result.stderr
