"""What is found out about endpoints, and that nothing is used for it."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from asyncendpoints.cli.findings import Finding, Findings, find_out
from asyncendpoints.dns.zoneload import Zone
from asyncendpoints.errors import AddressInUseError, ListenError
from asyncendpoints.kinds import adopted
from asyncendpoints.kinds.adopted import PassedDescriptor
from asyncendpoints.specs import parse_client, parse_server
from tests.tls_material import NOW, Authority, Issued, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from asyncendpoints.dns.resolver import Resolver
    from asyncendpoints.ports import PortServer
    from asyncendpoints.specs import Spec

ROOT = Authority()


async def look(spec: Spec, resolver: Resolver | None = None) -> Findings:
    """Look at a spec at a fixed time, on a machine whose ports are free."""
    return await find_out(spec, NOW, try_port=lambda *_: None, resolver=resolver)


async def server(text: str) -> Findings:
    """Look at a server."""
    return await look(parse_server(text))


async def taken(text: str, protocol: str = "tcp") -> Findings:
    """Look at a server whose port is taken for a protocol."""

    def refuse(spec: PortServer, asked: str) -> None:
        if asked == protocol:
            raise AddressInUseError(spec, f"{asked} port {spec.port} is taken", "by nginx", 98)

    return await find_out(parse_server(text), NOW, try_port=refuse)


async def client(text: str) -> Findings:
    """Look at a client."""
    return await look(parse_client(text))


# TCP


async def test_a_client_shows_the_addresses_of_its_host() -> None:
    """A literal is its own address, and there is nothing else to say."""
    findings = await client("tcp:[::1]:80")
    assert (findings.addresses, findings.found) == (["[::1]:80"], [])


async def test_a_name_is_looked_up() -> None:
    """A name of this machine has an address of the loopback interface."""
    assert {"127.0.0.1:80", "[::1]:80"} & set((await client("tcp:localhost:80")).addresses)


async def test_a_name_without_address_would_fail() -> None:
    """The problem is that of the lookup."""
    findings = await client("tcp:name.invalid:80")
    assert findings.would_fail
    assert findings.found[0].text.startswith("cannot look up 'name.invalid'")


async def test_several_addresses_are_raced_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a host has more than one address, that is said."""
    found = [(socket.AF_INET, 1, 6, "", (f"192.0.2.{last}", 80)) for last in (1, 2)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)
    findings = await client("tcp:two.example:80")
    assert findings.addresses == ["192.0.2.1:80", "192.0.2.2:80"]
    assert findings.found == [
        Finding("ok", "two.example has 2 addresses, raced in the order shown")
    ]


async def test_a_free_port_is_well() -> None:
    """Without an interface both families are listened on."""
    findings = await server("tcp:8080")
    assert findings.addresses == ["0.0.0.0:8080", "[::]:8080"]
    assert findings.found == [Finding("ok", "port 8080 is free")]


async def test_port_0_is_any() -> None:
    """The system picks a port."""
    findings = await server("tcp:0:interface=[::1]")
    assert findings.addresses == ["[::1]:0"]
    assert findings.found == [Finding("ok", "port 0: the system picks a free port")]


@pytest.mark.parametrize(
    ("text", "protocol"),
    [
        ("tcp:8080", "tcp"),
        ("tcp:8080:interface=127.0.0.1", "tcp"),
        ("tcp:8080:reuse_port=yes", "tcp"),
        ("udp:8080", "udp"),
        ("dns:8080", "tcp"),
        ("dns:8080:interface=[::1]", "udp"),
        ("dns:8080:reuse_port=yes", "tcp"),
    ],
)
async def test_a_port_that_cannot_be_had_would_fail(text: str, protocol: str) -> None:
    """The problem is what listening would say, with its hint."""
    findings = await taken(text, protocol)
    problem = Finding("problem", f"{protocol} port 8080 is taken (by nginx)")
    assert findings.found == [problem]


@pytest.mark.parametrize("text", ["udp:8080:reuse_port=yes", "dns:8080:reuse_port=yes"])
async def test_a_port_of_udp_that_may_be_shared_is_a_warning(text: str) -> None:
    """Whether the other shares it is not tried, and nothing is called free."""
    findings = await taken(text, "udp")
    assert [each.level for each in findings.found] == ["warning"]
    assert findings.found[0].text.startswith("udp port 8080 is taken (by nginx); reuse_port=yes ")


@pytest.mark.parametrize("text", ["tcp:8080", "udp:8080", "dns:8080"])
async def test_a_port_of_the_other_protocol_is_another(text: str) -> None:
    """Each kind of server is held against its own protocols."""
    asked: list[str] = []
    await find_out(parse_server(text), try_port=lambda _, protocol: asked.append(protocol))
    assert asked == {"tcp": ["tcp"], "udp": ["udp"], "dns": ["tcp", "udp"]}[text[:3]]


async def test_an_error_without_a_hint() -> None:
    """It stands alone."""

    def refuse(spec: PortServer, protocol: str) -> None:
        raise ListenError(spec, "cannot listen")

    findings = await find_out(parse_server("udp:1:reuse_port=yes"), try_port=refuse)
    assert findings.found == [Finding("problem", "cannot listen")]


@pytest.mark.parametrize("kind", ["tcp", "udp", "dns"])
async def test_the_machine_is_what_is_looked_at_by_default(kind: str) -> None:
    """Without further arguments the ports are the real ones, and who has one is named."""
    sort = socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, sort) as sock:
        sock.bind(("127.0.0.1", 0))
        if kind != "udp":
            sock.listen()
        text = f"{kind}:{sock.getsockname()[1]}:interface=127.0.0.1"
        findings = await find_out(parse_server(text))
    assert findings.would_fail
    assert "address already in use (held by " in findings.found[0].text
    assert f"(process {os.getpid()})" in findings.found[0].text


# Services


async def service(text: str, records: str = "") -> Findings:
    """Look at a client of a service of some domain."""
    zone = "$ORIGIN example.org.\n@ 60 SOA ns hostmaster 1 7200 900 1209600 300\n@ 60 NS ns\n"
    return await look(parse_client(text), Zone.from_text(zone + records))


async def test_the_targets_of_a_service_are_counted() -> None:
    """They are what would be connected to, in the order of their priorities."""
    records = "_c._tcp 60 SRV 20 0 2 b\n_c._tcp 60 SRV 10 0 1 a\n"
    findings = await service("srv:_c._tcp.example.org", records)
    assert findings.addresses == ["a.example.org:1", "b.example.org:2"]
    text = "_c._tcp.example.org has 2 targets, tried by priority and by chance"
    assert findings.found == [Finding("ok", text)]


async def test_one_target() -> None:
    """It is in the singular."""
    findings = await service("srv:_c._tcp.example.org:timeout=none", "_c._tcp 60 SRV 0 0 1 a\n")
    assert "has 1 target," in findings.found[0].text


async def test_a_service_without_records() -> None:
    """With a port that is known it is the domain itself."""
    findings = await service("srv:_c._tcp.example.org:default_port=9")
    assert findings.addresses == ["example.org:9"]
    text = "_c._tcp.example.org has no records: it is example.org:9 itself"
    assert findings.found == [Finding("warning", text)]


@pytest.mark.parametrize(
    ("domain", "records", "problem"),
    [
        ("example.org", "", "there is no port to try at example.org (default_port gives one)"),
        ("nope.example.org", "", "there is no such name"),
        ("example.org", "_c._tcp 60 SRV 0 0 0 .\n", "does not offer this service"),
        ("example.net", "", "cannot look up _c._tcp.example.net"),
    ],
)
async def test_a_service_that_cannot_be_found(domain: str, records: str, problem: str) -> None:
    """A domain that does not offer it, or does not exist, and a lookup that fails are problems."""
    findings = await service(f"srv:_c._tcp.{domain}", records)
    assert [each.level for each in findings.found] == ["problem"]
    assert problem in findings.found[0].text


async def test_the_resolver_of_this_machine_finds_services() -> None:
    """It is asked where no other is given."""
    findings = await find_out(parse_client("srv:_no-such-service._tcp.localhost"))
    assert "there is no port to try at localhost" in findings.found[0].text


# TLS


def pair(folder: Path, issued: Issued | None = None, mode: int = 0o600) -> str:
    """Write a certificate and its key, and give the description of a server that has them."""
    issued = issued or ROOT.issue("example.org", "192.0.2.1", end=NOW + timedelta(days=90))
    key = write(folder / "key.pem", issued.key_pem, mode=mode)
    cert = write(folder / "cert.pem", issued.pem)
    return f"tls:8443:private_key={key}:cert_key={cert}"


async def test_the_certificate_of_a_server_is_shown(tmp_path: Path) -> None:
    """Its facts are there, and that its key goes with it."""
    findings = await server(pair(tmp_path))
    assert findings.certificates[0].names == ("example.org",)
    assert Finding("ok", "the certificate and the private key go together") in findings.found
    assert not findings.would_fail


async def test_keys_that_are_missing_would_fail(tmp_path: Path) -> None:
    """The file that cannot be read is named."""
    findings = await server(f"tls:8443:private_key={tmp_path / 'key.pem'}")
    assert findings.would_fail
    assert str(tmp_path / "key.pem") in findings.found[-1].text


async def test_a_server_without_a_source_of_certificates_is_told_which_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hint of the error is part of what is found."""
    monkeypatch.chdir(tmp_path)
    assert "selfsigned=NAME" in (await server("tls:8443")).found[-1].text


async def test_a_certificate_for_development_is_made_anew() -> None:
    """What is shown is not what will be used, and that is said."""
    findings = await server("tls:8443:selfsigned=localhost")
    assert "localhost" in findings.certificates[0].names
    assert findings.found[-1].text.endswith("its pin changes each time")


@pytest.mark.parametrize(
    ("start", "end", "level", "text"),
    [
        (-30, -1, "problem", "the certificate was valid until"),
        (1, 30, "problem", "the certificate is not valid before"),
        (-30, 20, "warning", "only"),
    ],
)
async def test_the_dates_of_a_certificate_matter(
    start: int, end: int, level: str, text: str, tmp_path: Path
) -> None:
    """A certificate that is over, not begun, or about to end is pointed out."""
    day = timedelta(days=1)
    issued = ROOT.issue("example.org", start=NOW + start * day, end=NOW + end * day)
    found = (await server(pair(tmp_path, issued))).found[-1]
    assert found.level == level
    assert text in found.text


async def test_a_key_that_others_can_read_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the library would log is found, and logged nowhere."""
    findings = await server(pair(tmp_path, mode=0o644))
    assert "warning" in [each.level for each in findings.found]
    assert not findings.would_fail
    assert capsys.readouterr().err == ""


async def test_a_client_that_verifies_nothing_is_a_warning() -> None:
    """``verify=no`` is allowed and pointed out."""
    findings = await client("tls:127.0.0.1:443:verify=no")
    assert [each.level for each in findings.found] == ["warning"]


async def test_the_certificate_of_a_client_is_shown(tmp_path: Path) -> None:
    """It is read, and held against the time."""
    issued = ROOT.issue(subject="client", end=NOW + timedelta(days=90))
    path = write(tmp_path / "client.pem", issued.key_pem, issued.pem)
    findings = await client(f"tls:127.0.0.1:443:cert_key={path}")
    assert findings.certificates[0].subject == "CN=client"
    assert findings.found == []


async def test_trust_roots_that_are_missing_would_fail(tmp_path: Path) -> None:
    """The file is named."""
    findings = await client(f"tls:127.0.0.1:443:trust_roots={tmp_path / 'ca.pem'}")
    assert findings.would_fail
    assert "ca.pem" in findings.found[0].text


async def test_what_is_nested_is_looked_at_too(tmp_path: Path) -> None:
    """The endpoint inside another one is what makes the connection."""
    findings = await client(f"tls:example.org:443:endpoint=[unix:{tmp_path}/no.sock]")
    assert findings.addresses == [f"{tmp_path}/no.sock"]
    assert findings.would_fail


@pytest.mark.parametrize(
    "proxy", ["127.0.0.1:9050:example.org:80", "x:80:proxy=[tcp:127.0.0.1:9050]"]
)
@pytest.mark.parametrize("kind", ["socks5", "httpconnect"])
async def test_of_a_proxy_the_address_is_looked_at(kind: str, proxy: str) -> None:
    """What is connected to is the proxy; nobody looks up its target here."""
    findings = await client(f"{kind}:{proxy}")
    assert (findings.addresses, findings.found) == (["127.0.0.1:9050"], [])


# Unix


@contextmanager
def listening(path: str, backlog: int = 5) -> Iterator[None]:
    """Listen on a path."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen(backlog)
        yield


async def test_a_path_without_a_socket(tmp_path: Path) -> None:
    """A server can make it; a client has nobody to connect to."""
    text = f"unix:{tmp_path}/new.sock"
    as_server, as_client = await server(text), await client(text)
    assert [each.level for each in as_server.found] == ["ok", "ok"]
    assert as_client.found == [Finding("problem", f"{tmp_path}/new.sock does not exist")]


async def test_a_path_whose_server_has_died(tmp_path: Path) -> None:
    """A server will replace it; a client would be refused."""
    path = f"{tmp_path}/stale.sock"
    with listening(path):
        pass
    as_server, as_client = await server(f"unix:{path}"), await client(f"unix:{path}")
    assert as_server.found[-1] == Finding(
        "ok", f"{path}: its server has died, and it will be replaced"
    )
    assert as_client.found == [Finding("problem", f"{path}: its server has died")]


async def test_a_path_with_a_living_server(tmp_path: Path) -> None:
    """A server cannot have it; a client is answered."""
    path = f"{tmp_path}/live.sock"
    with listening(path):
        as_server, as_client = await server(f"unix:{path}"), await client(f"unix:{path}")
    assert as_server.found[-1] == Finding("problem", f"{path}: a server has it")
    assert as_client.found == [Finding("ok", f"{path}: a server answers")]


async def test_a_server_without_room_is_alive(tmp_path: Path) -> None:
    """A backlog that is full is that of a server."""
    path = f"{tmp_path}/full.sock"
    with listening(path, backlog=0), socket.socket(socket.AF_UNIX) as waiting:
        waiting.connect(path)
        findings = await client(f"unix:{path}")
    assert findings.found == [Finding("ok", f"{path}: a server answers")]


async def test_a_path_with_something_else(tmp_path: Path) -> None:
    """What is not a socket is left alone, and would fail."""
    path = tmp_path / "file"
    path.write_text("")
    for findings in (await server(f"unix:{path}"), await client(f"unix:{path}")):
        assert findings.found[-1] == Finding("problem", f"{path} is a regular file, not a socket")


async def test_a_socket_of_another_type(tmp_path: Path) -> None:
    """What the system says of a datagram socket is passed on."""
    path = f"{tmp_path}/datagram.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        findings = await client(f"unix:{path}")
    assert findings.found == [Finding("problem", f"{path}: protocol wrong type for socket")]


async def test_a_directory_that_is_missing(tmp_path: Path) -> None:
    """A server cannot make its socket there."""
    findings = await server(f"unix:{tmp_path}/no/app.sock")
    assert findings.found[0] == Finding("problem", f"there is no directory {tmp_path}/no")


async def test_a_directory_that_cannot_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server cannot make its socket there either."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    findings = await server(f"unix:{tmp_path}/app.sock")
    assert findings.found[0] == Finding("problem", f"the directory {tmp_path} cannot be written to")


async def test_an_abstract_name() -> None:
    """A name that nobody listens on is free for a server, and nothing for a client."""
    name = f"@asyncendpoints-findings-{os.getpid()}"
    as_server, as_client = await server(f"unix:{name}"), await client(f"unix:{name}")
    assert as_server.found == [Finding("ok", f"{name}: the name is free")]
    assert as_client.found == [Finding("problem", f"{name}: nobody listens there")]


async def test_a_path_that_is_too_long() -> None:
    """What does not fit into an address would fail."""
    findings = await client(f"unix:@{'x' * 200}")
    assert findings.found[0].text.endswith("file name too long")


# What others passed


async def test_a_process_that_was_passed_nothing() -> None:
    """A systemd server would fail, and the hint says who passes sockets."""
    findings = await server("systemd:name=http")
    assert findings.would_fail
    assert "systemd-socket-activate" in findings.found[0].text


async def test_a_socket_that_was_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The descriptor that a name stands for is looked at."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        passed = (PassedDescriptor(sock.fileno(), "http"),)
        monkeypatch.setattr(adopted._activation, "_taken", passed)
        findings = await server("systemd:name=http")
        text = f"descriptor {sock.fileno()} is a listening socket"
    assert findings.found == [Finding("ok", text)]


async def test_descriptors() -> None:
    """A server wants a socket that listens, a client one that does not."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        number = sock.fileno()
        as_server, as_client = await server(f"fd:{number}"), await client(f"fd:{number}")
        assert not sock.get_inheritable()
        assert sock.getblocking()
    assert as_server.found == [Finding("ok", f"descriptor {number} is a listening socket")]
    assert as_client.found == [Finding("problem", f"descriptor {number} is a listening socket")]


async def test_a_descriptor_that_is_no_socket() -> None:
    """What it is instead is said."""
    number = os.open(os.devnull, os.O_RDONLY)
    findings = await server(f"fd:{number}")
    os.close(number)
    text = f"descriptor {number} is a character device, not a socket"
    assert findings.found == [Finding("problem", text)]


async def test_a_descriptor_that_is_not_open() -> None:
    """There is nothing to look at."""
    findings = await server("fd:2000000")
    assert findings.found == [Finding("problem", "descriptor 2000000 is not open")]


@pytest.mark.parametrize("text", ["memory:app", "stdio:"])
async def test_kinds_that_need_nothing(text: str) -> None:
    """Where nothing can be found out, nothing is said."""
    assert await server(text) == Findings()
