"""Our zone beside Knot's: the same file, the same questions, the same answers."""

from __future__ import annotations

import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import dns.flags
import dns.message
import dns.rdatatype
import pytest

from asyncendpoints.dns.query import Query
from asyncendpoints.dns.render import render
from asyncendpoints.dns.resolver import ask
from asyncendpoints.dns.wire import WireQuery, decode_query
from asyncendpoints.dns.zoneload import Zone
from tests.support import unused_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.interop

ORIGIN = "z.test"
ZONE = Path(__file__).with_name("compared.zone")

TYPES = ["A", "AAAA", "NS", "CNAME", "SOA", "PTR", "MX", "TXT"]
TYPES += ["SRV", "DS", "DNAME", "HTTPS", "SVCB", "CAA", "TYPE731"]


class Reply(NamedTuple):
    """What two servers can differ in."""

    rcode: int
    aa: bool
    answer: frozenset[str]
    authority: frozenset[str]
    additional: frozenset[str]


def summary(message: bytes) -> Reply:
    """Give what there is in a message, records as text in lower case."""
    parsed = dns.message.from_wire(message)
    answer, authority, additional = (
        frozenset(
            f"{rrset.name} {rrset.ttl} {dns.rdatatype.to_text(rrset.rdtype)} {rdata}".lower()
            for rrset in section
            for rdata in rrset
        )
        for section in (parsed.answer, parsed.authority, parsed.additional)
    )
    aa = bool(parsed.flags & dns.flags.AA)
    return Reply(int(parsed.rcode()), aa, answer, authority, additional)


def names() -> list[str]:
    """Give the names in the zone, those that a label more makes, and some of others."""
    owners = {line.split()[0] for line in ZONE.read_text().splitlines() if line[:1] not in "$; "}
    found = {f"{each}." if each != "@" else "" for each in owners}
    found |= {parent.partition(".")[2] for parent in found}
    found |= {f"{label}.{each}" for each in found for label in ("q", "*", "a.b")}
    return sorted(f"{each}{ORIGIN}." for each in found)


@contextmanager
def knot(program: str, folder: Path) -> Iterator[socket.socket]:
    """Run Knot with the zone, and give a connection to it."""
    port = unused_port()
    configuration = folder / "knot.conf"
    configuration.write_text(
        f"server:\n  rundir: {folder}\n  listen: 127.0.0.1@{port}\n"
        f"database:\n  storage: {folder}\n"
        f"log:\n  - target: stderr\n    any: info\n"
        f"zone:\n  - domain: {ORIGIN}\n    file: {ZONE}\n    zonefile-sync: -1\n"
        f"    journal-content: none\n"
    )
    command = [program, "-c", str(configuration)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            logged = iter(process.stderr)
            next(line for line in logged if "server started" in line)
            with socket.create_connection(("127.0.0.1", port)) as connection:
                yield connection
        finally:
            process.terminate()
            process.communicate()


def ask_knot(connection: socket.socket, query: bytes) -> Reply:
    """Ask over TCP."""
    connection.sendall(len(query).to_bytes(2, "big") + query)
    size = int.from_bytes(connection.recv(2, socket.MSG_WAITALL), "big")
    return summary(connection.recv(size, socket.MSG_WAITALL))


def ask_zone(zone: Zone, query: bytes) -> Reply:
    """Ask ours, without recursion."""
    wire = decode_query(query)
    assert isinstance(wire, WireQuery)
    outcome = ask(zone, Query(wire.key, wire.qtype, wire.flags, recursion=False))
    return summary(query[:2] + render(wire, outcome, 65_535, 1232, ra=False))


def questions() -> Iterator[tuple[str, str, bytes]]:
    """Give names and types, and the queries for them."""
    for name in names():
        for kind in TYPES:
            query = dns.message.make_query(name, kind, flags=0, use_edns=0)
            yield name, kind, query.to_wire()


#: Where we say more than Knot: a service whose target is its own name has addresses there, which the client
#: wants. Source: RFC 9460, sections 2.5.2 and 4.1.
MORE = {
    ("svc2.z.test.", "HTTPS"): {
        "svc2.z.test. 3600 a 192.0.2.30",
        "svc2.z.test. 3600 aaaa 2001:db8::30",
    }
}


def test_same_as_knot(program: Callable[[str], str], tmp_path: Path) -> None:
    """Every name of the zone and its like gets the reply that Knot gives, section by section."""
    zone = Zone.from_file(ZONE, ORIGIN)
    with knot(program("knotd"), tmp_path) as connection:
        for name, kind, query in questions():
            theirs = ask_knot(connection, query)
            more = theirs.additional | MORE.get((name, kind), set())
            assert (name, kind, ask_zone(zone, query)) == (
                name,
                kind,
                theirs._replace(additional=more),
            )
