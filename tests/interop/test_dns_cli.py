"""``dns`` asked by dig and kdig, and ``query`` asking Knot and Unbound."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.interop.dns_programs import (
    BIG,
    HOST,
    knot,
    nameserver,
    run,
    unbound,
    write_zone,
)
from tests.support import unused_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

pytestmark = pytest.mark.interop

ROUTER = """
from asyncendpoints.dns.router import Router

router = Router()


@router.on("workstation{n:int}.example.com", "A")
def workstation(query, n):
    return f"172.0.2.{n}"
"""


async def dig(find: Callable[[str], str], port: int, *arguments: str) -> str:
    """Run dig, and give what it says."""
    code, said = await run(find("dig"), f"@{HOST}", "-p", str(port), *arguments)
    assert code == 0, said
    return said


async def query(*arguments: str) -> tuple[int, str]:
    """Run our command in a process of its own."""
    return await run(sys.executable, "-m", "asyncendpoints", "query", *arguments)


@asynccontextmanager
async def served(folder: Path, *options: str) -> AsyncIterator[int]:
    """Serve the zone and a router, and give the port."""
    path = folder / "answers.py"
    path.write_text(ROUTER)
    zone = str(write_zone(folder))
    async with nameserver(folder, "--zone", zone, "--pyzone", str(path), *options) as (port, *_):
        yield port


async def test_dig_asks_dns(program: Callable[[str], str], tmp_path: Path) -> None:
    """Zone and function answer it, over UDP and TCP; what neither knows is refused."""
    async with served(tmp_path) as port:
        assert await dig(program, port, "+short", "workstation100.example.com") == "172.0.2.100\n"
        assert await dig(program, port, "+short", "chain.example.org", "AAAA") == (
            "alias.example.org.\nwww.example.org.\n2001:db8::80\n"
        )
        long = await dig(program, port, "+short", "big.example.org", "TXT")
        assert sorted(long.split()) == [f'"{each}"' for each in BIG]
        assert "status: NXDOMAIN" in await dig(program, port, "no.example.org")
        assert "status: REFUSED" in await dig(program, port, "example.net")


async def test_kdig_asks_dns_over_tls(program: Callable[[str], str], tmp_path: Path) -> None:
    """A listener for TLS beside the others is DNS over TLS."""
    port = unused_port()
    tls = f"tls:{port}:interface={HOST}:selfsigned=localhost"
    async with served(tmp_path, "--listen", tls):
        arguments = ("+tls", "+short", f"@{HOST}", "-p", str(port), "www.example.org")
        assert await run(program("kdig"), *arguments) == (0, "192.0.2.80\n")


async def test_dig_sees_a_reload(program: Callable[[str], str], tmp_path: Path) -> None:
    """After SIGHUP the new zone answers, and a wrong one changes nothing."""
    zone = write_zone(tmp_path)
    text = zone.read_text()
    async with nameserver(tmp_path, "--zone", str(zone)) as (port, process, log):
        for changed, address in (
            (text.replace("192.0.2.80", "192.0.2.81"), "192.0.2.81"),
            (text + "www A nonsense\n", "192.0.2.81"),
        ):
            zone.write_text(changed)
            said = log.stat().st_size
            process.send_signal(signal.SIGHUP)
            async with asyncio.timeout(20):
                while "SIGHUP: reloaded" not in log.read_bytes()[said:].decode():  # noqa: ASYNC110 - another program has no event
                    await asyncio.sleep(0.01)
            assert await dig(program, port, "+short", "www.example.org") == f"{address}\n"
        error = (
            rf"SIGHUP: {re.escape(str(zone))}:{text.count(chr(10)) + 1}: .*; what was there stays"
        )
        assert re.search(error, log.read_text())


async def test_dns_forwards(program: Callable[[str], str], tmp_path: Path) -> None:
    """What comes from Knot through our server is what Knot says."""
    (tmp_path / "ours").mkdir()
    async with knot(program, tmp_path) as upstream:
        options = ("--forward", f"dns:{HOST}:{upstream}", "--cache")
        async with nameserver(tmp_path / "ours", *options) as (port, *_):
            for _ in range(2):
                answer = await dig(program, port, "+short", "text.example.org", "TXT")
                assert answer == '"hello world"\n'


@pytest.mark.parametrize("kind", ["dns", "udp", "tcp"])
async def test_query_asks_knot(kind: str, program: Callable[[str], str], tmp_path: Path) -> None:
    """Its records are shown as it has them, its flags and sections too."""
    async with knot(program, tmp_path) as port:
        server = f"{kind}:{HOST}:{port}"
        code, said = await query("example.org", "MX", "TYPE731", "--json", "--server", server)
    assert code == 0
    mx, nothing = json.loads(said)
    assert mx["flags"] == ["aa", "rd"]
    expected = {"name": "example.org.", "ttl": 3600, "type": "MX", "data": "10 mail.example.org."}
    assert mx["answer"] == [expected]
    assert [each["data"] for each in mx["additional"]] == ["192.0.2.25"]
    assert mx["transport"] == ("TCP" if kind == "tcp" else "UDP")
    assert (nothing["rcode"], nothing["answer"]) == ("NOERROR", [])
    assert nothing["authority"][0]["data"] == (
        "ns1.example.org. hostmaster.example.org. 1 7200 900 1209600 300"
    )


async def test_query_gets_what_does_not_fit_into_a_datagram(
    program: Callable[[str], str], tmp_path: Path
) -> None:
    """Over TCP for dns:, and not for udp:."""
    async with knot(program, tmp_path) as port:
        code, said = await query(
            "big.example.org", "TXT", "--short", "--server", f"dns:{HOST}:{port}"
        )
        assert (code, sorted(said.split())) == (0, [f'"{each}"' for each in BIG])
        code, said = await query(
            "big.example.org", "TXT", "--short", "--server", f"udp:{HOST}:{port}"
        )
        assert (code, said) == (1, "big.example.org TXT: the answer is truncated\n")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["no.example.org"], 3), (["www.example.org", "MX"], 4), (["example.net"], 1)],
)
async def test_query_tells_what_knot_says(
    arguments: list[str], code: int, program: Callable[[str], str], tmp_path: Path
) -> None:
    """No name, no data and refusal have their exit codes."""
    async with knot(program, tmp_path) as port:
        assert (await query(*arguments, "--server", f"dns:{HOST}:{port}"))[0] == code


async def test_query_shows_why_unbound_refuses(
    program: Callable[[str], str], tmp_path: Path
) -> None:
    """Its extended error is shown with its name."""
    more = ["ede: yes", f"access-control: {HOST}/32 refuse"]
    async with unbound(program, tmp_path, more=more) as port:
        code, said = await query("www.example.org", "A", "--server", f"dns:{HOST}:{port}")
    assert code == 1
    assert "www.example.org A  REFUSED" in said
    assert "extended error 18 prohibited" in said
