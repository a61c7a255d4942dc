"""``dns``, in this process but for what signals do to a process of its own."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from asyncio.subprocess import PIPE
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest

from asyncendpoints import parse_server
from asyncendpoints.cli import nameserver as module
from asyncendpoints.cli.exchange import exchange
from asyncendpoints.cli.nameservice import Options, Service
from asyncendpoints.dns.limits import DNSLimits
from asyncendpoints.dns.listening import listen
from asyncendpoints.dns.outcome import Answer
from asyncendpoints.dns.query import Query
from asyncendpoints.dns.upstream_specs import parse_upstream
from asyncendpoints.errors import DNSError, ZoneError
from tests.cli.support import run, words
from tests.tls_material import Authority, write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from asyncendpoints.dns.listening import NameServer
    from asyncendpoints.dns.outcome import Outcome
    from asyncendpoints.specs import ClientSpec

DNS = "dns:0:interface=127.0.0.1"

ZONE = """
$ORIGIN a.test.
$TTL 60
@ SOA ns admin {serial} 1 2 3 4
@ NS ns
ns A 192.0.2.53
www A {address}
"""

ROUTER = """
from asyncendpoints.dns.router import Router
router = Router()

@router.on("{{name}}.c.test", "A")
def www(query, name):
    {statement}
"""

TWISTED = """
zone = [
    SOA("b.test", "ns.b.test", "admin.b.test", {serial}),
    NS("b.test", "ns.b.test"),
    A("ns.b.test", "192.0.2.54"),
]
"""


class Running:
    """A name server that runs in a task, and what it prints."""

    def __init__(self, *endpoints: str, **options: Any) -> None:
        self.lines: list[str] = []
        self.styles: list[str] = []
        specs = tuple(map(parse_server, endpoints or (DNS,)))
        self.service = Service(Options(listen=specs, **options), self._say)
        self.task = asyncio.ensure_future(self.service.run())

    def _say(self, text: str, style: str) -> None:
        self.lines.append(text)
        self.styles.append(style)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                assert not self.task.done(), self.task
                await asyncio.sleep(0.001)

    async def line(self, start: str) -> str:
        """Wait for a line, and give what comes after its start."""
        await self.until(lambda: any(start in each for each in self.lines))
        return next(each for each in self.lines if start in each).partition(start)[2]

    async def server(self) -> NameServer:
        """Wait for the server."""
        await self.until(lambda: self.service.server is not None)
        return cast("NameServer", self.service.server)

    async def ask(self, name: str, rtype: str = "A") -> str:
        """Ask it, and give the data of the first answer, or the code."""
        endpoint = (await self.server()).client_endpoints[0]
        return await ask(endpoint, name, rtype)

    async def end(self) -> int:
        """Stop it, and give its exit code."""
        await self.server()
        self.service.stop(signal.SIGTERM)
        async with asyncio.timeout(10):
            return await self.task


async def ask(endpoint: ClientSpec, name: str, rtype: str = "A", timeout: float = 5) -> str:
    """Ask a name server, and give the data of the first answer, or the code."""
    message = (await exchange(endpoint, Query.make(name, rtype), timeout=timeout)).message
    return message.answer[0].data if message.answer else message.rcode


class Upstream:
    """Knows every name, and counts what it is asked."""

    def __init__(self) -> None:
        self.count = 0
        self.asked = asyncio.Event()

    def resolve(self, query: Query, /) -> Awaitable[Outcome]:
        self.count += 1
        self.asked.set()
        if query.name == "slow.example":
            return asyncio.get_running_loop().create_future()
        return Answer.of(query, "192.0.2.99", ttl=60)


@asynccontextmanager
async def upstream() -> AsyncIterator[tuple[ClientSpec, Upstream]]:
    """Give the description of an upstream, and the upstream."""
    resolver = Upstream()
    async with listen(DNS, resolver) as server:
        yield parse_upstream(server.client_endpoints[0]), resolver


@pytest.fixture
def files(tmp_path: Path) -> Callable[[str, str], str]:
    """Write files, and give their paths."""

    def put(name: str, text: str) -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return put


def zone_text(serial: int = 1, address: str = "192.0.2.1") -> str:
    """Give the text of a zone file."""
    return ZONE.format(serial=serial, address=address)


# What it answers


async def test_a_zone(files: Callable[[str, str], str]) -> None:
    """Its names are answered, others refused; the zone is announced with serial and size."""
    path = files("a.zone", zone_text())
    running = Running(zones=((path, None),))
    assert await running.ask("www.a.test") == "192.0.2.1"
    assert await running.ask("www.b.test") == "REFUSED"
    assert await running.end() == 0
    assert running.lines[1:] == [
        f"zone a.test from {path}: serial 1, 4 records",
        "2 queries, 1 refused",
    ]


async def test_the_real_address_is_printed(files: Callable[[str, str], str]) -> None:
    """What stands after "listening on" is the description of a client."""
    running = Running(DNS, "memory:dns", zones=((files("a.zone", zone_text()), None),))
    text = await running.line("listening on dns")
    assert await ask(parse_upstream(f"dns{text}"), "www.a.test") == "192.0.2.1"
    assert "listening on memory:dns" in running.lines
    await running.end()
    assert running.lines[-1] == "1 query"


async def test_a_zone_without_an_origin_of_its_own(files: Callable[[str, str], str]) -> None:
    """The option gives it."""
    path = files("b.zone", zone_text().replace("$ORIGIN a.test.", ""))
    running = Running(zones=((path, "b.test"),))
    assert await running.ask("www.b.test") == "192.0.2.1"
    await running.end()


async def test_python_files(files: Callable[[str, str], str]) -> None:
    """A router computes, a list of records is a zone."""
    router = files("c.py", ROUTER.format(statement="return '192.0.2.7'"))
    twisted = files("b.py", TWISTED.format(serial=5))
    running = Running(pyzones=(router, twisted))
    assert await running.ask("any.c.test") == "192.0.2.7"
    assert await running.ask("ns.b.test") == "192.0.2.54"
    await running.end()
    assert running.lines[1:3] == [
        f"resolver from {router}",
        f"zone b.test from {twisted}: serial 5, 3 records",
    ]


async def test_hosts(files: Callable[[str, str], str]) -> None:
    """Names and addresses of a hosts file are answered."""
    path = files("hosts", "192.0.2.8 host.test\n")
    running = Running(hosts=(path,))
    assert await running.ask("host.test") == "192.0.2.8"
    assert await running.ask("8.2.0.192.in-addr.arpa", "PTR") == "host.test."
    await running.end()
    assert running.lines[1] == f"hosts from {path}"


@pytest.mark.parametrize(("cache", "count"), [(False, 2), (True, 1)])
async def test_forwarding(cache: bool, count: int) -> None:
    """Other names come from another server, and are kept if that is wanted."""
    async with upstream() as (spec, resolver):
        running = Running(forward=(spec,), cache=cache)
        for name in ("x.example", "x.example"):
            assert await running.ask(name) == "192.0.2.99"
        await running.end()
    assert resolver.count == count
    assert running.lines[1:3] == [
        f"forwarding to {spec}{', through a cache' if cache else ''}",
        "recursion for loopback and private networks",
    ]


async def test_forwarding_to_the_servers_of_a_file(files: Callable[[str, str], str]) -> None:
    """The line names the file, whose servers can change."""
    path = files("resolv.conf", "nameserver 127.0.0.1\n")
    running = Running(resolv_conf=path)
    assert await running.line("forwarding to ") == f"the servers in {path}"
    await running.end()


async def test_recursion_is_for_some(files: Callable[[str, str], str]) -> None:
    """Who is not among its networks gets what is here, and nothing else."""
    async with upstream() as (spec, resolver):
        zones = ((files("a.zone", zone_text()), None),)
        running = Running(forward=(spec,), zones=zones, recursion=("192.0.2.0/24",))
        assert await running.ask("x.example") == "REFUSED"
        assert await running.ask("www.a.test") == "192.0.2.1"
        await running.end()
    assert resolver.count == 0
    assert "recursion for 192.0.2.0/24" in running.lines


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"allow": ("192.0.2.0/24",)}, "REFUSED"),
        ({"allow": ("127.0.0.0/8",)}, "192.0.2.1"),
        ({"refuse": ("127.0.0.1",)}, "REFUSED"),
        ({"refuse": ("127.0.0.1",), "allow": ("127.0.0.1",)}, "REFUSED"),
    ],
)
async def test_guards(options: dict[str, Any], code: str, files: Callable[[str, str], str]) -> None:
    """Lists of networks say who is answered."""
    running = Running(zones=((files("a.zone", zone_text()), None),), **options)
    assert await running.ask("www.a.test") == code
    await running.end()


async def test_dropped_clients_get_nothing(files: Callable[[str, str], str]) -> None:
    """The last line counts their queries."""
    zones = ((files("a.zone", zone_text()), None),)
    running = Running(zones=zones, drop=("127.0.0.1",), allow=("127.0.0.1",))
    endpoint = (await running.server()).client_endpoints[0]
    with pytest.raises(TimeoutError):
        await ask(endpoint, "www.a.test", timeout=0.02)
    await running.end()
    assert running.lines[-1].endswith(" dropped")


async def test_warnings_and_errors_are_lines(files: Callable[[str, str], str]) -> None:
    """What the library logs is printed here and nowhere else, with the traceback of a function."""
    path = files("a.zone", zone_text().replace("ns A", "other A"))
    running = Running(
        zones=((path, None),), pyzones=(files("c.py", ROUTER.format(statement="1 / 0")),)
    )
    assert await running.ask("x.c.test") == "SERVFAIL"
    await running.end()
    assert "ns.a.test has no address in the zone" in running.lines[0]
    assert running.styles[0] == "yellow"
    error = running.lines[running.styles.index("red")]
    assert "x.c.test A" in error
    assert "ZeroDivisionError" in error
    assert logging.getLogger("asyncendpoints").propagate
    assert not logging.getLogger("asyncendpoints").handlers


async def test_a_quiet_server_prints_problems_only(files: Callable[[str, str], str]) -> None:
    """With ``quiet`` nothing is said of what goes well."""
    running = Running(zones=((files("a.zone", zone_text()), None),), quiet=True)
    assert await running.ask("www.a.test") == "192.0.2.1"
    assert await running.end() == 0
    assert running.lines == []


# The query log


async def test_the_log_is_a_file(files: Callable[[str, str], str], tmp_path: Path) -> None:
    """A line for each query; SIGHUP opens it again after a rotation."""
    path = tmp_path / "queries.log"
    zones = ((files("a.zone", zone_text()), None),)
    running = Running(zones=zones, log="json", log_file=str(path))
    await running.ask("www.a.test")
    await running.until(lambda: path.exists() and bool(path.read_text()))
    path.rename(tmp_path / "old.log")
    running.service.reload()
    await running.line("SIGHUP: reloaded")
    await running.ask("new.a.test")
    await running.end()
    assert [json.loads(line)["name"] for line in path.read_text().splitlines()] == ["new.a.test"]


async def test_the_log_is_standard_output(
    files: Callable[[str, str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Where there is no file."""
    running = Running(zones=((files("a.zone", zone_text()), None),), log="text")
    await running.ask("www.a.test")
    await running.end()
    assert " udp www.a.test A rd NOERROR " in capsys.readouterr().out


# Reloading


async def test_sighup_reloads_what_files_say(files: Callable[[str, str], str]) -> None:
    """Zones and Python files are others then, and each has its line."""
    zone = files("a.zone", zone_text())
    python = files("c.py", ROUTER.format(statement="return '192.0.2.7'"))
    twisted = files("b.py", TWISTED.format(serial=1))
    running = Running(zones=((zone, None),), pyzones=(python, twisted))
    assert await running.ask("www.a.test") == "192.0.2.1"
    files("a.zone", zone_text(serial=2, address="192.0.2.2"))
    files("c.py", ROUTER.format(statement="return '192.0.2.8'"))
    files("b.py", TWISTED.format(serial=2).replace("192.0.2.54", "192.0.2.55"))
    os.kill(os.getpid(), signal.SIGHUP)
    await running.line("SIGHUP: reloaded")
    assert await running.ask("www.a.test") == "192.0.2.2"
    assert await running.ask("x.c.test") == "192.0.2.8"
    assert await running.ask("ns.b.test") == "192.0.2.55"
    await running.end()
    assert [each for each in running.lines if each.startswith("SIGHUP")] == [
        f"SIGHUP: zone a.test from {zone}: serial 2, 4 records",
        f"SIGHUP: resolver from {python}",
        f"SIGHUP: zone b.test from {twisted}: serial 2, 3 records",
        "SIGHUP: reloaded",
    ]


async def test_what_is_wrong_stays_as_it_was(files: Callable[[str, str], str]) -> None:
    """The line says where the error is; other files are reloaded."""
    zone = files("a.zone", zone_text())
    python = files("c.py", ROUTER.format(statement="return '192.0.2.7'"))
    running = Running(zones=((zone, None),), pyzones=(python,))
    assert await running.ask("www.a.test") == "192.0.2.1"
    files("a.zone", zone_text() + "www A nonsense\n")
    files("c.py", ROUTER.format(statement="return '192.0.2.8'"))
    running.service.reload()
    await running.line("SIGHUP: reloaded")
    assert await running.ask("www.a.test") == "192.0.2.1"
    assert await running.ask("x.c.test") == "192.0.2.8"
    await running.end()
    error = running.lines[running.styles.index("red")]
    assert error.startswith(f"SIGHUP: {zone}:8: ")
    assert error.endswith("; what was there stays")
    assert "SIGHUP: reloaded, but for 1" in running.lines


async def test_certificates_are_reloaded(files: Callable[[str, str], str], tmp_path: Path) -> None:
    """Bad ones leave the old ones in place."""
    issued = Authority().issue("localhost")
    path = write(tmp_path / "server.pem", issued.key_pem, issued.pem)
    zones = ((files("a.zone", zone_text()), None),)
    running = Running(f"tls:0:interface=127.0.0.1:private_key={path}", zones=zones)
    await running.server()
    write(tmp_path / "server.pem", b"nonsense")
    running.service.reload()
    await running.line("SIGHUP: reloaded")
    await running.end()
    error = running.lines[running.styles.index("red")]
    assert path in error
    assert error.endswith("; the certificate that was there stays")
    assert "SIGHUP: reloaded, but for 1" in running.lines


async def test_hosts_files_are_reloaded(files: Callable[[str, str], str]) -> None:
    """They are read again at once, not only when their time has come."""
    path = files("hosts", "192.0.2.1 www\n")
    running = Running(hosts=(path,))
    assert await running.ask("www") == "192.0.2.1"
    files("hosts", "192.0.2.2 www\n")
    running.service.reload()
    await running.line("SIGHUP: reloaded")
    assert await running.ask("www") == "192.0.2.2"
    assert await running.end() == 0


async def test_an_early_reload_comes_when_the_server_listens(
    files: Callable[[str, str], str],
) -> None:
    """What was read before it was asked for may be out of date."""
    running = Running(zones=((files("a.zone", zone_text()), None),))
    running.service.reload()
    await running.line("SIGHUP: reloaded")
    assert running.lines[0].startswith("listening on")
    assert await running.end() == 0


async def test_a_reload_ends_with_the_server(files: Callable[[str, str], str]) -> None:
    """One that is under way is given up, and none begins after."""
    running = Running(zones=((files("a.zone", zone_text()), None),))
    await running.server()
    running.service.reload()
    running.service.stop(signal.SIGTERM)
    running.service.reload()
    assert await running.task == 0
    assert not [each for each in running.lines if each.startswith("SIGHUP")]


# The end


async def test_waiting_queries_are_answered(files: Callable[[str, str], str]) -> None:
    """After SIGTERM what is open may end by itself."""
    async with upstream() as (spec, resolver):
        limits = DNSLimits(query_timeout=0.1)
        running = Running(forward=(spec,), limits=limits)
        endpoint = (await running.server()).client_endpoints[0]
        asking = asyncio.ensure_future(ask(endpoint, "slow.example"))
        await resolver.asked.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asking == "SERVFAIL"
        assert await running.task == 0
    assert running.lines[-1] == "1 query, 1 failed"


async def test_a_second_signal_ends_what_is_left() -> None:
    """Queries that wait are given up at once; after SIGINT the exit code is 130."""
    async with upstream() as (spec, resolver):
        running = Running("memory:dns", forward=(spec,), drain=60.0)
        endpoint = (await running.server()).client_endpoints[0]
        asking = asyncio.ensure_future(ask(endpoint, "slow.example"))
        await resolver.asked.wait()
        running.service.stop(signal.SIGTERM)
        await running.until(lambda: not running.service.server.is_serving())  # type: ignore[union-attr]
        running.service.stop(signal.SIGINT)
        async with asyncio.timeout(4):
            assert await running.task == 130
        with pytest.raises(DNSError):
            await asking


async def test_a_signal_before_there_is_a_server(files: Callable[[str, str], str]) -> None:
    """It ends as soon as it has begun."""
    running = Running(zones=((files("a.zone", zone_text()), None),))
    running.service.stop(signal.SIGTERM)
    running.service.stop(signal.SIGTERM)
    async with asyncio.timeout(5):
        assert await running.task == 0


@pytest.mark.parametrize("verbose", [True, False])
async def test_failed_handshakes_are_for_the_verbose(
    verbose: bool, files: Callable[[str, str], str]
) -> None:
    """A client that does not speak TLS is a line with ``--verbose`` only."""
    front = "tls:0:interface=127.0.0.1:selfsigned=localhost"
    running = Running(front, zones=((files("a.zone", zone_text()), None),), verbose=verbose)
    server = await running.server()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    await reader.read()
    writer.close()
    await running.until(lambda: server.stats.handshake_failed == 1)
    await running.end()
    assert len(running.lines) == (4 if verbose else 3)


# Errors


async def test_two_zones_of_one_name(files: Callable[[str, str], str]) -> None:
    """The error names both files."""
    one, two = files("a.zone", zone_text()), files("b.zone", zone_text())
    with pytest.raises(ZoneError) as caught:
        await Running(zones=((one, None), (two, None))).task
    assert str(caught.value) == f"{two}: the zone a.test is in {one} already"


def test_a_zone_that_is_wrong(files: Callable[[str, str], str]) -> None:
    """One line with file and line, and exit code 1."""
    path = files("a.zone", zone_text() + "www A nonsense\n")
    result = run("dns", "--listen", DNS, "--zone", path)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {path}:8: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("option", ["--zone", "--pyzone"])
def test_a_file_that_is_not_there(option: str) -> None:
    """One line, and exit code 1."""
    result = run("dns", "--listen", DNS, option, "/no/such.zone")
    assert result.exit_code == 1
    assert result.stderr == "Error: /no/such.zone: cannot be read: No such file or directory\n"


@pytest.mark.parametrize("option", ["--hosts", "--resolv-conf"])
def test_a_file_of_the_system_that_is_not_there(option: str) -> None:
    """It is wrong usage, as click has it."""
    result = run("dns", "--listen", DNS, option, "/no/such")
    assert result.exit_code == 2
    assert "File '/no/such' does not exist." in words(result.stderr)


def test_a_log_that_cannot_be_written(files: Callable[[str, str], str]) -> None:
    """One line, and exit code 1; without ``--log`` it would be JSON."""
    path = files("a.zone", zone_text())
    result = run("dns", "--listen", DNS, "--zone", path, "--log-file", "/no/such/log")
    assert result.exit_code == 1
    assert result.stderr == "Error: /no/such/log: No such file or directory\n"


def test_an_error_of_the_system_without_a_file(
    files: Callable[[str, str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody foresaw is not disguised."""

    async def fail(*args: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(module, "_run", fail)
    result = run("dns", "--zone", files("a.zone", zone_text()))
    assert isinstance(result.exception, OSError)


async def test_a_port_in_use(files: Callable[[str, str], str]) -> None:
    """The error of the endpoint is the error of the command."""
    path = files("a.zone", zone_text())
    async with upstream() as (spec, _):
        port = spec.port  # type: ignore[attr-defined]
        text = f"dns:{port}:interface=127.0.0.1"
        result = await asyncio.to_thread(run_in_thread, "--listen", text, "--zone", path)
    assert result == (1, True)


def run_in_thread(*arguments: str) -> tuple[int, bool]:
    """Run the command in a process of its own, as signals need; is the port said to be taken?"""
    import subprocess

    command = [sys.executable, "-m", "asyncendpoints", "dns", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, "in use" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "there is nothing to answer with: give --zone, --pyzone, --hosts or --forward"),
        (["--port", "10053"], "the port is in --listen, as in --listen dns:10053"),
        (["x.zone"], "x.zone: a zone file is given as --zone x.zone"),
        (["-l", "10053"], "10053: has no kind, did you mean 'dns:10053'?"),
        (["-f", "[::1]:5353"], "[::1]:5353: has no kind, did you mean 'dns:[::1]:5353'?"),
        (["--zone", "x", "--cache"], "--cache keeps what --forward or --resolv-conf bring"),
        (
            ["--forward", "9.9.9.9", "--resolv-conf", "/etc/hosts"],
            "--forward and --resolv-conf name servers both",
        ),
        (["--zone", "x:a..b"], "x:a..b: the zone after the colon: 'a..b': has an empty label"),
        (
            ["--zone", "x", "--allow", "10.0.0.1/8"],
            "10.0.0.1/8: has bits behind its prefix; 10.0.0.0/8 is the network, 10.0.0.1 one address",
        ),
        (
            ["--zone", "x", "--drop", "10.0.0.0/33"],
            "10.0.0.0/33: is no network; 10.0.0.0/8, 2001:db8::/32 and 192.0.2.1 are some",
        ),
        (["--zone", "x", "--listen", "dns:"], "Invalid value for '-l' / '--listen': dns:"),
        (["--forward", "nonsense:1"], "Invalid value for '-f' / '--forward': nonsense:1"),
        (["--zone", "x", "--log", "xml"], "'xml' is not one of 'json', 'text', 'off'"),
    ],
)
def test_wrong_usage(arguments: list[str], problem: str) -> None:
    """The exit code is 2, and the error says what would be right."""
    result = run("dns", *arguments, columns=200)
    assert result.exit_code == 2
    assert problem in words(result.stderr)


def given_options(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Options:
    """Give the options that the command makes of its arguments."""
    made: list[Options] = []

    async def take(options: Options, say: object) -> int:
        made.append(options)
        return 0

    monkeypatch.setattr(module, "_run", take)
    result = run("dns", *arguments)
    assert result.exit_code == 0, result.stderr
    return made[0]


def test_options(monkeypatch: pytest.MonkeyPatch, files: Callable[[str, str], str]) -> None:
    """Each reaches the server, those with an asterisk more than once."""
    hosts = files("hosts", "")
    odd = files("odd:zone", "")
    arguments = (
        "--listen dns:10053 --listen tls:853:selfsigned=localhost --zone a.zone --zone b.zone:b.test "
        f"--zone {odd} --pyzone c.py --pyzone d.py --hosts {hosts} --forward 9.9.9.9 --forward "
        "tls:dns.test --cache --allow 10.0.0.0/8 --allow ::1 --refuse 10.1.0.0/16 --drop 10.2.0.0/16 "
        "--recursion 10.3.0.0/16 --log text --log-file x.log --drain 1 --max-connections 2 "
        "--max-per-peer 3 --max-pending 4 --idle-timeout 5 --query-timeout 6 --quiet --verbose"
    )
    assert given_options(monkeypatch, *arguments.split()) == Options(
        listen=(parse_server("dns:10053"), parse_server("tls:853:selfsigned=localhost")),
        zones=(("a.zone", None), ("b.zone", "b.test"), (odd, None)),
        pyzones=("c.py", "d.py"),
        hosts=(hosts,),
        forward=(parse_upstream("9.9.9.9"), parse_upstream("tls:dns.test")),
        cache=True,
        allow=("10.0.0.0/8", "::1"),
        refuse=("10.1.0.0/16",),
        drop=("10.2.0.0/16",),
        recursion=("10.3.0.0/16",),
        log="text",
        log_file="x.log",
        drain=1.0,
        limits=DNSLimits(
            max_connections=2, max_per_peer=3, max_pending=4, idle_timeout=5, query_timeout=6
        ),
        quiet=True,
        verbose=True,
    )


@pytest.mark.parametrize(
    ("arguments", "log"),
    [([], "off"), (["--log-file", "x"], "json"), (["--log", "off", "--log-file", "x"], "off")],
)
def test_defaults(monkeypatch: pytest.MonkeyPatch, arguments: list[str], log: str) -> None:
    """It listens on port 53, and logs where it is told to."""
    options = given_options(monkeypatch, "--zone", "a.zone", *arguments)
    assert options.listen == (parse_server("dns:53"),)
    assert options.log == log
    assert options.limits == DNSLimits()


# A process of its own


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_a_process(
    number: signal.Signals, code: int, files: Callable[[str, str], str]
) -> None:
    """It serves, is asked with ``query``, and ends on a signal."""
    path = files("a.zone", zone_text())
    command = [sys.executable, "-m", "asyncendpoints"]
    process = await asyncio.create_subprocess_exec(
        *command, "dns", "--listen", DNS, "--zone", path, "--log", "json", stdout=PIPE, stderr=PIPE
    )
    assert process.stderr is not None
    first = (await process.stderr.readline()).decode()
    server = first.removeprefix("listening on ").strip()
    asking = await asyncio.create_subprocess_exec(
        *command, "query", "www.a.test", "A", "--short", "--server", server, stdout=PIPE
    )
    answer, _ = await asking.communicate()
    assert answer == b"192.0.2.1\n"
    process.send_signal(number)
    out, err = await process.communicate()
    assert process.returncode == code
    assert json.loads(out)["name"] == "www.a.test"
    assert err.decode().splitlines() == [
        f"zone a.test from {path}: serial 1, 4 records",
        "1 query",
    ]
