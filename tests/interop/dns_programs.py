"""Name servers that others wrote, run on loopback, and what it takes to ask any name server byte for byte."""

from __future__ import annotations

import asyncio
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING

import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from asyncendpoints.dns.zoneload import Zone
from tests.support import unused_port

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator
    from pathlib import Path

__all__ = [
    "BIG",
    "EXAMPLE",
    "HOST",
    "LISTEN",
    "Stream",
    "answers",
    "ask",
    "ask_ttl",
    "daemon",
    "dnsmasq",
    "exchange",
    "knot",
    "nameserver",
    "over_tcp",
    "over_udp",
    "query",
    "run",
    "socket_to",
    "unbound",
    "write_zone",
    "zone",
]

#: Where everything runs.
HOST = "127.0.0.1"
#: Where a server of ours listens for UDP and TCP.
LISTEN = f"dns:0:interface={HOST}"
#: The strings of a TXT RRset that fits into no datagram.
BIG = [f"{number:03d}{'x' * 220}" for number in range(30)]

#: A zone with something of each kind.
EXAMPLE = r"""
$TTL 3600
$ORIGIN example.org.
@         SOA   ns1 hostmaster 1 7200 900 1209600 300
          NS    ns1
          MX    10 mail
ns1       A     192.0.2.1
mail      A     192.0.2.25
www       A     192.0.2.80
          AAAA  2001:db8::80
alias     CNAME www
chain     CNAME alias
tonothing 300 CNAME nope
*.wild    A     192.0.2.3
text      TXT   "hello world"
fleeting  1 A   192.0.2.9
raw       TYPE731 \# 4 0a000001
_sip._tcp SRV   1 2 5060 mail
host      HINFO "PDP-11" "UNIX"
""" + "".join(f'big TXT "{each}"\n' for each in BIG)


def zone() -> Zone:
    """Make a resolver of the zone."""
    return Zone.from_text(EXAMPLE)


def write_zone(folder: Path, text: str = EXAMPLE) -> Path:
    """Write a zone to a file."""
    path = folder / "example.zone"
    path.write_text(text)
    return path


# Programs


async def run(*command: str) -> tuple[int, str]:
    """Run a program to its end, and give its exit code and what it says."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
    )
    try:
        said, _ = await process.communicate()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
    assert process.returncode is not None
    return process.returncode, said.decode(errors="replace")


@asynccontextmanager
async def daemon(log: Path, port: int, *command: str) -> AsyncIterator[Process]:
    """Run a name server until the block ends, which begins when it answers."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=output, stderr=STDOUT
        )
    try:
        async with asyncio.timeout(30):
            while not await answers(port):
                _see_alive(process, log)
                await asyncio.sleep(0.01)
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def _see_alive(process: Process, log: Path) -> None:
    """See that a program has not ended; if it has, show what it said."""
    assert process.returncode is None, log.read_text()


async def answers(port: int) -> bool:
    """Tell whether a name server answers over TCP, whatever it says."""
    try:
        await over_tcp(port, query("example.org", 6))
    except (OSError, EOFError):
        return False
    return True


@asynccontextmanager
async def knot(find: Callable[[str], str], folder: Path, text: str = EXAMPLE) -> AsyncIterator[int]:
    """Run Knot with a zone, example.org, and give its port."""
    port = unused_port()
    configuration = folder / "knot.conf"
    configuration.write_text(
        f"server:\n  rundir: {folder}\n  listen: {HOST}@{port}\n"
        f"database:\n  storage: {folder}\n"
        f"log:\n  - target: stderr\n    any: error\n"
        f"zone:\n  - domain: example.org\n    file: {write_zone(folder, text)}\n"
        f"    zonefile-sync: -1\n    journal-content: none\n"
    )
    async with daemon(folder / "knot.log", port, find("knotd"), "-c", str(configuration)):
        yield port


_UNBOUND = """
server:
    directory: "{folder}"
    pidfile: ""
    chroot: ""
    username: ""
    use-syslog: no
    do-daemonize: no
    num-threads: 1
    module-config: "iterator"
    do-not-query-localhost: no
    interface: {host}
    port: {port}
{more}
remote-control:
    control-enable: yes
    control-use-cert: no
    control-interface: "{folder}/unbound-{port}.sock"
{zones}
"""


@asynccontextmanager
async def unbound(
    find: Callable[[str], str], folder: Path, zones: str = "", more: Iterable[str] = ()
) -> AsyncIterator[int]:
    """Run Unbound, and give its port.

    Args:
        find: Gives the path of a program.
        folder: For its files.
        zones: Clauses of its configuration.
        more: Options for the server clause of it.
    """
    port = unused_port()
    configuration = folder / f"unbound-{port}.conf"
    lines = "\n".join(f"    {each}" for each in more)
    configuration.write_text(
        _UNBOUND.format(folder=folder, host=HOST, port=port, more=lines, zones=zones)
    )
    command = (find("unbound"), "-d", "-p", "-c", str(configuration))
    async with daemon(folder / f"unbound-{port}.log", port, *command):
        yield port


@asynccontextmanager
async def dnsmasq(find: Callable[[str], str], folder: Path, *options: str) -> AsyncIterator[int]:
    """Run dnsmasq, and give its port."""
    port = unused_port()
    command = [find("dnsmasq"), "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file="]
    command += [f"--port={port}", f"--listen-address={HOST}", "--bind-interfaces", "--user=root"]
    command += ["--no-resolv", "--no-hosts", "--log-facility=-", *options]
    async with daemon(folder / f"dnsmasq-{port}.log", port, *command):
        yield port


@asynccontextmanager
async def nameserver(
    folder: Path, *options: str, before: Iterable[str] = ()
) -> AsyncIterator[tuple[int, Process, Path]]:
    """Run our command in a process of its own; give its port, the process, and the file of what it says.

    Args:
        folder: For its files.
        options: What it is to answer from, and more.
        before: A program that runs it, with arguments.
    """
    port = unused_port()
    log = folder / "nameserver.log"
    command = [*before, sys.executable, "-m", "asyncendpoints", "dns"]
    command += ["--listen", f"dns:{port}:interface={HOST}", *options]
    async with daemon(log, port, *command) as process:
        yield port, process, log


# Messages


def query(
    name: str = "www.example.org",
    qtype: int = 1,
    *,
    flags: int = 0,
    opt: tuple[int, int, bytes] | None = None,
    ident: int = 0x1234,
    qclass: int = 1,
) -> bytes:
    """Make a query, byte for byte.

    Args:
        name: Of whom.
        qtype: Which records.
        flags: The second two bytes of the header, opcode included.
        opt: Size, version with flags, and options of the OPT record; None for none.
        ident: The identifier.
        qclass: The class.
    """
    numbers = (ident, flags, 1, 0, 0, 0 if opt is None else 1)
    head = b"".join(each.to_bytes(2, "big") for each in numbers)
    wire = dns.name.from_text(name).to_wire()
    assert wire is not None  # without a file it is returned
    question = wire + qtype.to_bytes(2, "big") + qclass.to_bytes(2, "big")
    if opt is None:
        return head + question
    size, more, data = opt
    lengths = size.to_bytes(2, "big") + more.to_bytes(4, "big") + len(data).to_bytes(2, "big")
    return head + question + b"\0\0\x29" + lengths + data


@contextmanager
def socket_to(port: int, host: str = HOST) -> Iterator[socket.socket]:
    """Give a datagram socket that hears nobody but one server."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect((host, port))
        yield sock


async def exchange(sock: socket.socket, packet: bytes) -> bytes:
    """Send a datagram and give the next one that comes."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(20):
        await loop.sock_sendall(sock, packet)
        return await loop.sock_recv(sock, 65535)


async def over_udp(port: int, packet: bytes) -> bytes:
    """Ask over UDP."""
    with socket_to(port) as sock:
        return await exchange(sock, packet)


class Stream:
    """A connection to a name server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    @asynccontextmanager
    async def to(cls, port: int, *, local: str = HOST) -> AsyncIterator[Stream]:
        """Connect, and close at the end of the block."""
        address = (local, 0)
        async with asyncio.timeout(20):
            reader, writer = await asyncio.open_connection(HOST, port, local_addr=address)
        try:
            yield cls(reader, writer)
        finally:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()

    def send(self, *packets: bytes) -> None:
        """Send messages, all in one segment if they fit."""
        self.writer.write(b"".join(len(each).to_bytes(2, "big") + each for each in packets))

    async def receive(self) -> bytes:
        """Give the next message; raises EOFError at the end of the connection."""
        async with asyncio.timeout(20):
            size = await self.reader.readexactly(2)
            return await self.reader.readexactly(int.from_bytes(size, "big"))

    async def rest(self) -> bytes:
        """Give all that comes until the server ends the connection."""
        async with asyncio.timeout(20):
            return await self.reader.read()


async def over_tcp(port: int, packet: bytes) -> bytes:
    """Ask over TCP."""
    async with Stream.to(port) as stream:
        stream.send(packet)
        return await stream.receive()


async def ask(
    port: int, name: str = "www.example.org", qtype: str = "A", *, tcp: bool = False
) -> tuple[str, list[str]]:
    """Ask as a program on this machine does, with EDNS.

    Returns:
        The code, and the records of the answer without TTLs, which count down wherever there is a cache.
    """
    message = dns.message.make_query(name, qtype, use_edns=0, payload=1232)
    reply = await (over_tcp if tcp else over_udp)(port, message.to_wire())
    parsed = dns.message.from_wire(reply)
    assert message.is_response(parsed)
    records = [
        f"{rrset.name} {dns.rdatatype.to_text(rrset.rdtype)} {rdata}"
        for rrset in parsed.answer
        for rdata in rrset
    ]
    return dns.rcode.to_text(parsed.rcode()), records


async def ask_ttl(port: int, name: str, qtype: str = "A") -> int:
    """Give the TTL of what is asked for."""
    reply = await over_udp(port, query(name, dns.rdatatype.from_text(qtype), flags=0x0100))
    (rrset,) = dns.message.from_wire(reply).answer
    return rrset.ttl
