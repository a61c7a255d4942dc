"""``srv``, against a name server in this process."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest

from asyncendpoints.cli.targets import Look, _percent
from asyncendpoints.dns.listening import listen
from asyncendpoints.dns.zoneload import Zone
from asyncendpoints.kinds.srv import Target
from asyncendpoints.listening import listen as listen_to_streams
from tests.cli.support import run, words
from tests.support import Recorder, unused_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from click.testing import Result

ZONE = """
$ORIGIN example.org.
@ 60 SOA ns hostmaster 1 7200 900 1209600 300
@ 60 NS ns
ns 60 A 127.0.0.1
a 60 A 127.0.0.1
a 60 AAAA ::1
b 60 A 127.0.0.1
_imaps._tcp 60 SRV 10 3 {open} a
_imaps._tcp 60 SRV 10 0 {closed} b
_imaps._tcp 60 SRV 20 0 1 gone
_dead._tcp 60 SRV 0 0 {closed} b
_sip._udp 60 SRV 0 1 5060 b
_sip._udp 60 SRV 0 65535 5060 a
_no._tcp 60 SRV 0 0 0 .
_www._tcp 60 SRV 0 5 {open} b
"""


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[str, int, int]]:
    """Give the text of a name server, a port that answers and one that does not."""
    closed = unused_port()
    async with listen_to_streams("tcp:0:interface=127.0.0.1", Recorder) as server:
        zone = Zone.from_text(ZONE.format(open=server.port, closed=closed))
        async with listen("dns:0:interface=127.0.0.1", zone) as names:
            yield str(names.client_endpoints[0]), server.port, closed


async def srv(name: str, server: str, *options: str) -> Result:
    """Run the command in a thread, while the loop of the test serves."""
    return await asyncio.to_thread(run, "srv", name, "--server", server, *options, columns=200)


async def test_targets_in_groups() -> None:
    """Each priority has its targets, the likeliest first, with share, addresses, and whether it answers."""
    async with serving() as (server, port, closed):
        result = await srv("_imaps._tcp.example.org", server)
    assert result.exit_code == 0
    lines = [each.strip() for each in result.output.splitlines()]
    assert lines[:4] == [
        "_imaps._tcp.example.org  3 targets",
        "priority 10",
        f"75.0 %  a.example.org:{port}  weight 3",
        "::1, 127.0.0.1",
    ]
    assert lines[4].startswith("127.0.0.1 answers in ")
    assert lines[5:7] == [f"25.0 %  b.example.org:{closed}  weight 0", "127.0.0.1"]
    assert lines[7].startswith(f"cannot connect to 127.0.0.1:{closed}: ")
    assert lines[8:10] == ["priority 20", "100 %  gone.example.org:1  weight 0"]
    assert lines[10].startswith("cannot look up 'gone.example.org'")


async def test_json() -> None:
    """A machine gets the same, with exact shares."""
    async with serving() as (server, port, _):
        result = await srv("_imaps._tcp.example.org", server, "--json")
    shown: Any = json.loads(result.stdout)
    assert shown["name"] == "_imaps._tcp.example.org"
    first, second, third = shown["targets"]
    assert first.pop("seconds") > 0
    assert first == {
        "host": "a.example.org",
        "port": port,
        "priority": 10,
        "weight": 3,
        "share": "3/4",
        "addresses": ["::1", "127.0.0.1"],
        "answered": "127.0.0.1",
        "problem": None,
    }
    assert (second["share"], second["answered"], second["seconds"]) == ("1/4", None, None)
    assert (third["addresses"], third["problem"][:14]) == ([], "cannot look up")


async def test_nobody_answers() -> None:
    """A service without a target that answers is a failure."""
    async with serving() as (server, _, _):
        result = await srv("_dead._tcp.example.org", server)
    assert result.exit_code == 1
    assert "cannot connect to 127.0.0.1" in result.output


async def test_datagrams() -> None:
    """Targets over UDP are shown and not connected to; a share that is hardly one is not rounded to none."""
    async with serving() as (server, _, _):
        result = await srv("_sip._udp.example.org", server)
    assert result.exit_code == 0
    text = words(result.output)
    assert (
        "100.0 % a.example.org:5060 weight 65535 ::1, 127.0.0.1 not tried: an answer over" in text
    )
    assert "< 0.1 % b.example.org:5060 weight 1" in text


async def test_the_domain_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without records it is the domain, which has no priority and no weight."""
    async with serving() as (server, port, _):
        monkeypatch.setattr(socket, "getservbyname", lambda *_: port)
        result = await srv("_none._tcp.b.example.org", server)
        shown = await srv("_none._tcp.b.example.org", server, "--json")
    assert result.exit_code == 0
    text = words(result.output)
    assert text.startswith("_none._tcp.b.example.org 1 target no records: it is the domain itself")
    assert f"100 % b.example.org:{port} 127.0.0.1 127.0.0.1 answers in" in text
    target = json.loads(shown.stdout)["targets"][0]
    assert (target["priority"], target["weight"], target["share"]) == (None, None, "1")


async def test_a_service_that_is_not_offered() -> None:
    """That the domain says no is one line and a failure."""
    async with serving() as (server, _, _):
        result = await srv("_no._tcp.example.org", server)
    assert result.exit_code == 1
    assert (
        "Error: srv:_no._tcp.example.org: the domain says that it does not offer" in result.output
    )


async def test_a_failure_as_json() -> None:
    """A machine gets the error in an object too, with no targets."""
    async with serving() as (server, _, _):
        result = await srv("_no._tcp.example.org", server, "--json")
    assert result.exit_code == 1
    assert result.stderr == ""
    assert json.loads(result.stdout) == {
        "name": "_no._tcp.example.org",
        "targets": [],
        "error": "srv:_no._tcp.example.org: the domain says that it does not offer this service",
    }


async def test_a_server_that_is_named_is_asked_for_special_names() -> None:
    """Whoever names a server wants to know what that one says, whatever the name is for."""
    zone = Zone.from_text(
        ZONE.format(open=1, closed=unused_port()).replace("example.org", "svc.test")
    )
    async with listen("dns:0:interface=127.0.0.1", zone) as names:
        result = await srv("_dead._tcp.svc.test", str(names.client_endpoints[0]))
    text = words(result.output)
    assert "_dead._tcp.svc.test 1 target" in text
    assert "cannot connect to 127.0.0.1:" in text


async def test_silence() -> None:
    """A name server that says nothing is waited for as long as that is allowed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        server = f"udp:127.0.0.1:{silent.getsockname()[1]}"
        result = await srv("_imaps._tcp.example.org", server, "--timeout", "0.2")
    assert result.exit_code == 1
    assert "Error: srv:_imaps._tcp.example.org: " in result.output


def test_this_machine() -> None:
    """Without a server this machine is asked, which has no services at localhost."""
    result = run("srv", "_no-such-service._tcp.localhost")
    assert result.exit_code == 1
    assert "there is no port to try at localhost" in words(result.output)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("example.org",), "name is 'example.org', expected service, protocol and domain, as in"),
        (("_a._tcp.b", "--server", "tcp:"), "a tcp client needs a host"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], problem: str) -> None:
    """What is no service, and no server, is wrong usage."""
    result = run("srv", *arguments)
    assert result.exit_code == 2
    assert problem in words(result.output)


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (Fraction(1), "100 %"),
        (Fraction(1, 3), "33.3 %"),
        (Fraction(1, 1000), "0.1 %"),
        (Fraction(1, 1001), "< 0.1 %"),
    ],
)
def test_percent(share: Fraction, text: str) -> None:
    """A share is written with one decimal, and never as nothing."""
    assert _percent(share) == text


def test_a_look_that_found_nothing() -> None:
    """What was not looked at has neither an answer nor a problem."""
    look = Look(Target("a.test", 1), Fraction(1))
    assert (look.answered, look.seconds, look.problem, look.addresses) == (None, None, "", [])
