"""The kinds ``tls`` and ``ssl``."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from contextlib import asynccontextmanager
from dataclasses import KW_ONLY, dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import pytest

from asyncendpoints import events
from asyncendpoints.addresses import Address
from asyncendpoints.connecting import connect, open_connection
from asyncendpoints.errors import (
    CertificateError,
    ConnectError,
    ConnectTimeoutError,
    DescriptionError,
    HandshakeError,
    ListenError,
    SpecError,
    TLSError,
)
from asyncendpoints.fields import Help, Port
from asyncendpoints.grammar import Name
from asyncendpoints.kinds.tcp import TCPClient, TCPServer
from asyncendpoints.kinds.tls import TLSAcceptor, TLSClient, TLSServer
from asyncendpoints.limits import Limits
from asyncendpoints.listening import listen, start_server
from asyncendpoints.specs import ClientSpec, parse_client, parse_server
from tests.support import Recorder
from tests.tls_material import NOW, Authority, Issued, write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from asyncendpoints.attempt import Attempt
    from asyncendpoints.server import Server

ROOT = Authority()
GOOD = ROOT.issue("good.example", "*.wild.example", "127.0.0.1", "::1")
PIN = "sha256/" + "A" * 43 + "="


class Greeter(asyncio.Protocol):
    """Says one word and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.write(b"hello")  # type: ignore[attr-defined]  # it is a Transport
        transport.close()


@asynccontextmanager
async def serving(
    tmp_path: Path, issued: Issued = GOOD, *chain: bytes, rest: str = ""
) -> AsyncIterator[Server]:
    """Serve with a certificate on the IPv4 loopback interface."""
    path = write(tmp_path / "server.pem", issued.key_pem, issued.pem, *chain)
    text = f"tls:0:interface=127.0.0.1:private_key={path}{rest}"
    async with listen(text, Greeter) as server:
        yield server


def open_sockets() -> int:
    """Count the sockets of this process; uvloop opens other descriptors when it first closes one."""
    folder = "/proc/self/fd"
    paths = [f"{folder}/{each}" for each in os.listdir(folder)]
    return sum(os.path.islink(each) and os.readlink(each).startswith("socket:") for each in paths)


async def test_a_common_name_is_no_host_name(tmp_path: Path) -> None:
    """A certificate that names its host in the subject alone is refused (RFC 9525, section 6)."""
    async with serving(tmp_path, ROOT.issue(subject="localhost")) as server:
        text = f"tls:127.0.0.1:{server.port}:hostname=localhost:trust_roots={roots(tmp_path)}"
        with pytest.raises(CertificateError, match="not for localhost"):
            await connect(text, Recorder)


def roots(tmp_path: Path) -> str:
    """Write the file of the root that the tests trust."""
    return write(tmp_path / "roots.pem", ROOT.pem)


async def greeting(endpoint: str | ClientSpec) -> bytes:
    """Connect, and give what the server says."""
    reader, writer = await open_connection(endpoint)
    said = await reader.read()
    writer.close()
    return said


async def refused(endpoint: str | ClientSpec, factory: Callable[[], Any]) -> ConnectError:
    """Connect in vain, and give the error; no descriptor is open by then but that of the server."""
    before = open_sockets()
    with pytest.raises(ConnectError) as caught:
        await connect(endpoint, factory)
    assert open_sockets() <= before + 1
    return caught.value


def never() -> asyncio.Protocol:
    """Make no protocol: a factory for connects that must not come so far."""
    raise AssertionError  # pragma: no cover - it is not called


# Descriptions


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("tls:example.org:443", TLSClient("example.org", 443)),
        ("ssl:example.org:443", TLSClient("example.org", 443)),
        (
            "tls:example.org:443:5::c.pem:k.pem:roots:tcp\\:192.0.2.2\\:80",
            TLSClient(
                "example.org",
                443,
                5.0,
                None,
                "c.pem",
                "k.pem",
                "roots",
                TCPClient("192.0.2.2", 80),
            ),
        ),
        (
            "ssl:example.org:443:bindAddress=192.0.2.1:certKey=c:privateKey=k:caCertsDir=r",
            TLSClient("example.org", 443, 30.0, "192.0.2.1", "c", "k", "r"),
        ),
        (
            "tls:example.org:443:certificate=c:trustRoots=r",
            TLSClient("example.org", 443, cert_key="c", trust_roots="r"),
        ),
        (
            f"tls:[::1]:443:pin={PIN},{PIN}:alpn=h2,http/1.1:min_version=1.3:verify=no",
            TLSClient(
                "::1",
                443,
                pin=(PIN, PIN),
                alpn=("h2", "http/1.1"),
                min_version="1.3",
                verify=False,
            ),
        ),
        (
            "tls:x:1:ciphers=[A:B]:family=ipv6:bindPort=5",
            TLSClient("x", 1, ciphers="A:B", family="ipv6", bind_port=5),
        ),
    ],
)
def test_description_of_a_client(text: str, spec: TLSClient) -> None:
    """Twisted's positions and spellings are read, and the canonical text means the same."""
    assert parse_client(text) == spec
    assert parse_client(str(spec)) == spec


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tls:example.org", "a tls client needs a port, as in tls:example.org:443"),
        ("ssl:h:1:2", "an ssl client takes 2 positional arguments (host, port)"),
        ("tls:h:1:pin=sha256/AAAA", "pin is 'sha256/AAAA', expected 'sha256/' and the base64"),
        ("tls:h:1:pin=sha1/AAAA", "pin is 'sha1/AAAA', expected 'sha256/' and the base64"),
        ("tls:h:1:pin=sha256/A", "pin is 'sha256/A', expected 'sha256/' and the base64"),
        (f"tls:h:1:pin=sha256/{'A' * 42}B\\=", "expected 'sha256/' and the base64"),
        ("tls:h:1:alpn=é", "alpn is 'é', expected protocol names separated by commas"),
        (f"tls:h:1:alpn={'a' * 256}", "expected protocol names separated by commas"),
        ("tls:h:1:alpn=a,,b", "alpn is 'a,,b', expected protocol names separated by commas"),
        ("tls:h:1:min_version=1.1", "min_version is '1.1', expected '1.2' or '1.3'"),
        (f"tls:h:1:pin={PIN}:trust_roots=r", "a pin takes the place of trust_roots"),
        ("tls:h:1:bind_address=[::1]:endpoint=[tcp:h:1]", "bind_address belongs into the endpoint"),
        ("tls:h:1:bind_port=5:endpoint=[tcp:h:1]", "bind_port belongs into the endpoint"),
        ("tls:h:1:family=ipv4:endpoint=[tcp:h:1]", "family belongs into the endpoint"),
    ],
)
def test_wrong_description_of_a_client(text: str, problem: str) -> None:
    """What is wrong with a description, and what would be right, is said."""
    with pytest.raises(DescriptionError) as caught:
        parse_client(text)
    assert problem in caught.value.problem


def test_pin_that_is_no_text() -> None:
    """A pin built in Python is checked as one in a text is."""
    with pytest.raises(SpecError, match="pin is "):
        TLSClient("h", 1, pin=(5,))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("tls:certs", TLSServer("certs")),
        ("tls:certs:8443:50:127.0.0.1", TLSServer("certs", 8443, 50, "127.0.0.1")),
        ("tls:8443", TLSServer(port=8443)),
        ("tls:8443:50:127.0.0.1", TLSServer(port=8443, backlog=50, interface="127.0.0.1")),
        ("tls:path=443", TLSServer("443")),
        ("tls:path=443:8443", TLSServer("443", 8443)),
        ("tls", TLSServer()),
        ("tls::8443", TLSServer(port=8443)),
        ("tls:interface=[::1]", TLSServer(interface="::1")),
        ("ssl:443", TLSServer()),
        (
            "ssl:1:k:c::127.0.0.1:50:chain:dh",
            TLSServer(
                port=1,
                private_key="k",
                cert_key="c",
                interface="127.0.0.1",
                backlog=50,
                extra_cert_chain="chain",
                dh_parameters="dh",
            ),
        ),
        (
            "ssl:1:privateKey=k:certKey=c:extraCertChain=chain:dhParameters=dh",
            TLSServer(
                port=1, private_key="k", cert_key="c", extra_cert_chain="chain", dh_parameters="dh"
            ),
        ),
        (
            "tls:selfsigned=[localhost,*.a.example,::1]:alpn=h2:clientCA=ca:reusePort=yes",
            TLSServer(
                selfsigned=("localhost", "*.a.example", "::1"),
                alpn=("h2",),
                client_ca="ca",
                reuse_port=True,
            ),
        ),
        ("tls:certs:passphrase=open", TLSServer("certs", passphrase="open")),
        ("tls:443:extra_cert_chain=c", TLSServer(extra_cert_chain="c")),
    ],
)
def test_description_of_a_server(text: str, spec: TLSServer) -> None:
    """Twisted's positions and spellings are read, and the canonical text means the same."""
    assert parse_server(text) == spec
    assert parse_server(str(spec)) == spec


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ssl", "an ssl server needs a port, as in ssl:443:key.pem:cert.pem"),
        ("ssl:privateKey=k", "an ssl server needs a port, as in ssl:443:key.pem:cert.pem"),
        ("ssl::k.pem", "needs a port"),
        (
            "ssl:443:k:c:SSLv23_METHOD",
            (
                "an ssl server takes no 'sslmethod': write the lowest version to accept in its place, "
                "as in min_version=1.3"
            ),
        ),
        ("ssl:443:sslmethod=SSLv23_METHOD", "an ssl server takes no 'sslmethod': write"),
        ("tls:certs:private_key=k", "path and private_key exclude one another: give one"),
        ("tls:certs:selfsigned=a", "path and selfsigned exclude one another: give one"),
        (
            "tls:private_key=k:selfsigned=a",
            "selfsigned and private_key exclude one another: give one",
        ),
        ("tls:certs:cert_key=c", "cert_key goes with private_key, not with path"),
        (
            "tls:selfsigned=a:extra_cert_chain=c",
            "extra_cert_chain goes with private_key, not with selfsigned",
        ),
        ("tls:selfsigned=a b", "selfsigned is 'a b', "),
        ("tls:selfsigned=*", "selfsigned is '*', "),
    ],
)
def test_wrong_description_of_a_server(text: str, problem: str) -> None:
    """What is wrong with a description, and what would be right, is said."""
    with pytest.raises(DescriptionError) as caught:
        parse_server(text)
    assert problem in caught.value.problem


def test_names_that_are_no_texts() -> None:
    """The names of a certificate built in Python are checked as those in a text are."""
    with pytest.raises(SpecError, match="selfsigned is "):
        TLSServer(selfsigned=(5,))  # type: ignore[arg-type]


def test_passphrase_is_hidden() -> None:
    """The passphrase is in the text of a spec, and in nothing that is shown."""
    for spec in (TLSClient("h", 1, passphrase="open"), TLSServer(passphrase="open")):
        assert "open" in str(spec)
        assert "open" not in repr(spec) + spec.display()


def test_server_leaves_ipv4_to_another_kind() -> None:
    """Beside a server on an IPv4 address and the same port, ``::`` is for IPv6 only, whatever their kinds."""
    tls, tcp = TLSServer(port=8443, interface="::"), TCPServer(8443, "127.0.0.1")
    assert tls.beside([tls, tcp]) == replace(tls, v6only=True)
    assert TCPServer(8443, "::").beside([replace(tls, interface="127.0.0.1")]).v6only  # type: ignore[attr-defined]


# A client that verifies


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("example.org", "example.org"),
        ("example.org.", "example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("faß.de", "xn--fa-hia.de"),
        ("fe80::1%lo", "fe80::1"),
        ("192.0.2.1", "192.0.2.1"),
    ],
)
def test_name_that_is_asked_for(host: str, asked: str) -> None:
    """The name to verify is in A-labels, without the dot at its end; that of an address has no zone id."""
    assert TLSClient(host, 443).server_name == asked


@pytest.mark.parametrize(
    "name", ["good.example", "good.example.", "GOOD.example", "a.wild.example", "127.0.0.1", "::1"]
)
async def test_certificate_for_the_name(tmp_path: Path, name: str) -> None:
    """A certificate for the name or the address, of an issuer that is trusted, is accepted."""
    async with serving(tmp_path) as server:
        client = TLSClient("127.0.0.1", server.port, trust_roots=roots(tmp_path), hostname=name)
        assert await greeting(client) == b"hello"


@pytest.mark.parametrize(
    "name", ["bad.example", "wild.example", "a.b.wild.example", "127.0.0.2", "::2"]
)
async def test_certificate_for_another_name(tmp_path: Path, name: str) -> None:
    """A certificate for other names is refused, and they are in the error."""
    async with serving(tmp_path) as server:
        client = TLSClient("127.0.0.1", server.port, trust_roots=roots(tmp_path), hostname=name)
        error = await refused(client, never)
        assert isinstance(error, CertificateError)
        assert error.stage == "tls"
        assert error.problem == (
            "the certificate is for good.example, *.wild.example, 127.0.0.1, ::1, "
            f"not for {name} (hostname=NAME checks another name)"
        )
        assert error.verify_code in (62, 64)


async def test_name_with_other_letters(tmp_path: Path) -> None:
    """A name is verified in A-labels by IDNA 2008: faß.de is not fass.de."""
    issued = ROOT.issue("xn--fa-hia.de")
    async with serving(tmp_path, issued) as server:
        client = TLSClient("127.0.0.1", server.port, trust_roots=roots(tmp_path))
        assert await greeting(replace(client, hostname="faß.de")) == b"hello"
        await refused(replace(client, hostname="fass.de"), never)


@pytest.mark.parametrize(
    ("issued", "problem"),
    [
        (
            ROOT.issue("127.0.0.1", end=NOW - timedelta(days=1)),
            f"the certificate expired on {NOW - timedelta(days=1):%Y-%m-%d}",
        ),
        (
            ROOT.issue("127.0.0.1", start=NOW + timedelta(days=1)),
            f"the certificate is not valid before {NOW + timedelta(days=1):%Y-%m-%d}",
        ),
        (
            Authority("strangers").issue("127.0.0.1"),
            "the issuer of the certificate is not trusted here: CN=strangers",
        ),
    ],
)
async def test_certificate_that_is_not_valid(tmp_path: Path, issued: Issued, problem: str) -> None:
    """A certificate out of its time, or of an issuer that is not trusted, is refused and described."""
    async with serving(tmp_path, issued) as server:
        client = TLSClient("127.0.0.1", server.port, trust_roots=roots(tmp_path))
        error = await refused(client, never)
        assert isinstance(error, CertificateError)
        assert error.problem.startswith(problem)


async def test_chain_with_an_unknown_root(tmp_path: Path) -> None:
    """A chain whose root the server sends, but which is not trusted, is refused with the root's name."""
    stranger = Authority("strangers")
    async with serving(tmp_path, stranger.issue("127.0.0.1"), stranger.pem) as server:
        client = TLSClient("127.0.0.1", server.port, trust_roots=roots(tmp_path))
        error = await refused(client, never)
        assert "is not trusted here: CN=strangers" in error.problem


async def test_roots_of_the_system() -> None:
    """Without roots of one's own those of the system decide; they know no development certificate."""
    async with listen("tls:0:interface=127.0.0.1:selfsigned=127.0.0.1", Greeter) as server:
        error = await refused(f"tls:127.0.0.1:{server.port}", never)
        assert isinstance(error, CertificateError)
        assert error.problem.startswith("the certificate is self-signed (")


async def test_no_verification(tmp_path: Path) -> None:
    """Who says verify=no gets any certificate."""
    async with serving(tmp_path, Authority("strangers").issue("bad.example")) as server:
        assert await greeting(f"tls:127.0.0.1:{server.port}:verify=no") == b"hello"


async def test_pin_takes_the_place_of_all_checks(tmp_path: Path) -> None:
    """A certificate with one of the keys that are pinned is accepted, whatever else it says."""
    issued = Authority("strangers").issue("bad.example", end=NOW - timedelta(days=1))
    async with serving(tmp_path, issued) as server:
        acceptor = parse_server(f"tls:1:private_key={tmp_path / 'server.pem'}").acceptor()
        assert isinstance(acceptor, TLSAcceptor)
        pin = acceptor.certificates[0].pin
        assert await greeting(f"tls:127.0.0.1:{server.port}:pin={PIN},{pin}") == b"hello"


async def test_key_that_is_not_pinned(tmp_path: Path) -> None:
    """A good certificate with another key is refused, before the factory is called."""
    seen: list[events.Event] = []
    async with serving(tmp_path) as server:
        with pytest.raises(CertificateError) as caught:
            await connect(f"tls:127.0.0.1:{server.port}:pin={PIN}", never, on_event=seen.append)
        assert caught.value.problem.startswith("the key of the server is sha256/")
    assert [type(each) for each in seen[-2:]] == [events.HandshakeStarted, events.HandshakeFailed]


# What a client offers


async def test_protocols_that_are_offered(tmp_path: Path) -> None:
    """The protocol that both sides know is chosen; without one in common there is none."""
    async with serving(tmp_path, rest=":alpn=h2,http/1.1") as server:
        for offered, chosen in (("http/1.1", "http/1.1"), ("http/1.1,h2", "h2"), ("x", None)):
            transport, _ = await connect(
                f"tls:127.0.0.1:{server.port}:verify=no:alpn={offered}", Recorder
            )
            assert transport.get_extra_info("ssl_object").selected_alpn_protocol() == chosen
            transport.abort()


async def test_versions_that_are_offered(tmp_path: Path) -> None:
    """A client that wants TLS 1.3 does not talk to a server that has 1.2 only."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(write(tmp_path / "server.pem", GOOD.key_pem, GOOD.pem))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Greeter, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    assert await greeting(f"tls:127.0.0.1:{port}:verify=no") == b"hello"
    error = await refused(f"tls:127.0.0.1:{port}:verify=no:min_version=1.3", never)
    assert type(error) is TLSError
    server.close()
    await server.wait_closed()


async def test_certificate_of_the_client(tmp_path: Path) -> None:
    """A client with a certificate of the right issuer is accepted, one without is not."""
    client = ROOT.issue(subject="client")
    key = write(tmp_path / "k.pem", client.encrypted_key_pem("open"))
    certificate = write(tmp_path / "c.pem", client.pem)
    failed: asyncio.Queue[HandshakeError] = asyncio.Queue()
    path = write(tmp_path / "server.pem", GOOD.key_pem, GOOD.pem)
    text = f"tls:0:interface=127.0.0.1:private_key={path}:client_ca={roots(tmp_path)}"
    async with listen(text, Greeter, on_error=failed.put_nowait) as server:
        plain = TLSClient("127.0.0.1", server.port, verify=False)
        known = replace(plain, private_key=key, cert_key=certificate, passphrase="open")
        assert await greeting(known) == b"hello"
        _, writer = await open_connection(plain)  # in TLS 1.3 the client is ready first
        assert (await failed.get()).problem == "the client gave no certificate"
        writer.transport.abort()


@pytest.mark.parametrize(
    ("rest", "problem"),
    [
        ("trust_roots=nowhere.pem", "nowhere.pem: no such file or directory"),
        ("cert_key=nowhere.pem", "nowhere.pem: no such file or directory"),
        ("ciphers=NOPE", "NOPE: OpenSSL knows no such cipher"),
    ],
)
async def test_bad_file_is_found_before_connecting(rest: str, problem: str) -> None:
    """With a file that cannot be used nothing is connected to."""
    seen: list[events.Event] = []
    with pytest.raises(ConnectError) as caught:
        await connect(f"tls:127.0.0.1:1:{rest}", never, on_event=seen.append)
    assert (caught.value.stage, caught.value.problem) == ("tls", problem)
    assert seen == []


async def test_steps_of_a_connect(tmp_path: Path) -> None:
    """The handshake is reported when it begins and when it is over, before the protocol is made."""
    seen: list[object] = []

    def factory() -> asyncio.Protocol:
        seen.append("factory")
        return Recorder()

    async with serving(tmp_path, rest=":alpn=h2") as server:
        transport, _ = await connect(
            TLSClient("127.0.0.1", server.port, verify=False, alpn=("h2",), hostname="A.example."),
            factory,
            on_event=seen.append,
        )
        transport.abort()
    started, finished, made = seen[-3:]
    assert isinstance(started, events.HandshakeStarted)
    assert started.hostname == "A.example"
    assert isinstance(finished, events.HandshakeFinished)
    assert (finished.version, finished.alpn) == ("TLSv1.3", "h2")
    assert finished.cipher.startswith("TLS_")
    assert made == "factory"


# Servers that do not do TLS


@asynccontextmanager
async def plain(factory: Callable[[], asyncio.Protocol]) -> AsyncIterator[str]:
    """Serve without TLS, and give the description of a TLS client for it."""
    async with listen("tcp:0:interface=127.0.0.1", factory) as server:
        yield f"tls:127.0.0.1:{server.port}:verify=no"


class Slammer(asyncio.Protocol):
    """Closes at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


async def test_server_without_tls() -> None:
    """A server that speaks something else is said not to speak TLS."""
    async with plain(Greeter) as client:
        error = await refused(client, never)
        assert type(error) is TLSError
        assert error.problem == "the server does not speak TLS"
        assert error.reason


async def test_server_that_closes() -> None:
    """A server that closes during the handshake is said to have done so."""
    async with plain(Slammer) as client:
        error = await refused(client, never)
        assert type(error) is TLSError
        assert error.problem == "the server closed the connection during the TLS handshake"


async def test_failure_is_reported() -> None:
    """The failure of a handshake is an event."""
    seen: list[events.Event] = []
    async with plain(Slammer) as client:
        with pytest.raises(TLSError):
            await connect(client, never, on_event=seen.append)
    assert isinstance(seen[-1], events.HandshakeFailed)


async def test_no_answer_in_time() -> None:
    """A server that says nothing runs into the timeout at the stage of TLS."""
    async with plain(Recorder) as client:
        before = open_sockets()
        with pytest.raises(ConnectTimeoutError) as caught:
            await connect(client, never, timeout=0.02)
        assert caught.value.stage == "tls"
        assert open_sockets() <= before + 1  # the server may have its end still


async def test_nothing_is_sent_in_the_clear() -> None:
    """A server without TLS sees a ClientHello and then the end."""
    made: list[Recorder] = []

    def factory() -> Recorder:
        made.append(Recorder())
        return made[-1]

    async with plain(factory) as client:
        with pytest.raises(ConnectTimeoutError):
            await connect(client, never, timeout=0.02)
        await made[0].lost.wait()
        assert made[0].received[:3] == b"\x16\x03\x01"


# Cancelling, and factories that raise


async def test_cancel_during_the_handshake() -> None:
    """When a connect that was cancelled in its handshake is over, its descriptor is back."""
    arrived = asyncio.Event()

    class Silent(Recorder):
        def data_received(self, data: bytes) -> None:
            arrived.set()

    async with plain(Silent) as client:
        before = open_sockets()
        task = asyncio.create_task(connect(client, never))
        await arrived.wait()
        assert open_sockets() == before + 2
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert open_sockets() == before + 1  # that of the server


async def test_cancel_when_the_handshake_is_over(tmp_path: Path) -> None:
    """A connect that is cancelled when its protocol has just been made closes the connection at once."""
    made: list[Recorder] = []

    def factory() -> Recorder:
        task.cancel()
        made.append(Recorder())
        return made[0]

    path = write(tmp_path / "server.pem", GOOD.key_pem, GOOD.pem)
    text = f"tls:0:interface=127.0.0.1:private_key={path}"
    async with listen(text, Recorder) as server:
        before = open_sockets()
        task = asyncio.create_task(connect(f"tls:127.0.0.1:{server.port}:verify=no", factory))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert open_sockets() <= before + 1  # that of the server
        await made[0].lost.wait()


class OddError(OSError):
    """An error that looks like one of the network."""


def odd() -> asyncio.Protocol:
    """Make no protocol."""
    raise OddError


class OddProtocol(asyncio.Protocol):
    """Raises when it gets its transport."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        raise OddError


async def test_factory_that_raises(tmp_path: Path) -> None:
    """What the factory raises comes out unchanged, with the socket closed."""
    async with serving(tmp_path) as server:
        before = open_sockets()
        with pytest.raises(OddError):
            await connect(f"tls:127.0.0.1:{server.port}:verify=no", odd)
        assert open_sockets() <= before + 1  # the server may have its end still


@pytest.mark.parametrize("kind", ["tcp", "tls"])
async def test_protocol_that_raises(kind: str) -> None:
    """What ``connection_made`` raises goes to the loop, with TLS and without, and the connect succeeds."""
    loop = asyncio.get_running_loop()
    reported: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    loop.set_exception_handler(lambda _, context: reported.put_nowait(context))
    rest, more = (":selfsigned=x", ":verify=no") if kind == "tls" else ("", "")
    async with listen(f"{kind}:0:interface=127.0.0.1{rest}", asyncio.Protocol) as server:
        transport, protocol = await connect(f"{kind}:127.0.0.1:{server.port}{more}", OddProtocol)
        assert isinstance((await reported.get())["exception"], OddError)
        assert isinstance(protocol, OddProtocol)
        assert not transport.is_closing()
        transport.abort()


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt])
@pytest.mark.parametrize("over", ["tcp", "tls"])
async def test_hook_that_cancels(tmp_path: Path, error: type[BaseException], over: str) -> None:
    """A cancel that comes out of the hook when a handshake starts finds everything closed."""

    def hook(event: events.Event) -> None:
        if isinstance(event, events.HandshakeStarted) and event.hostname == "x":
            raise error

    async with serving(tmp_path) as server:
        inner = f"{over}:127.0.0.1:{server.port}" + ":verify=no" * (over == "tls")
        before = open_sockets()
        with pytest.raises(error):
            await connect(f"tls:x:1:endpoint=[{inner}]", never, on_event=hook)
        assert open_sockets() <= before + 1  # the server may have its end still


# TLS over other endpoints


async def test_endpoint_with_a_socket(tmp_path: Path) -> None:
    """TLS over another endpoint verifies the host, and connects to where that endpoint says."""
    async with serving(tmp_path) as server:
        client = TLSClient(
            "good.example",
            1,
            trust_roots=roots(tmp_path),
            endpoint=TCPClient("127.0.0.1", server.port),
        )
        assert await greeting(client) == b"hello"
        await refused(replace(client, host="bad.example"), never)


class Relay(asyncio.Protocol):
    """Connects to a port and passes bytes on, both ways."""

    port: int

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        transport.pause_reading()  # type: ignore[attr-defined]  # it is a Transport
        self.task = asyncio.create_task(self.relay())

    async def relay(self) -> None:
        relay = self

        class Back(asyncio.Protocol):
            def data_received(self, data: bytes) -> None:
                relay.transport.write(data)

            def connection_lost(self, exc: Exception | None) -> None:
                relay.transport.close()

        self.onward, _ = await connect(TCPClient("127.0.0.1", self.port), Back)
        self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        self.onward.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.onward.close()


async def test_tls_in_tls(tmp_path: Path) -> None:
    """TLS runs over TLS, and the server may be the first to speak."""
    async with serving(tmp_path) as inner:
        Relay.port = inner.port
        text = f"tls:0:interface=127.0.0.1:private_key={tmp_path / 'server.pem'}"
        async with listen(text, Relay) as outer:
            client = TLSClient(
                "good.example",
                1,
                trust_roots=roots(tmp_path),
                endpoint=TLSClient("127.0.0.1", outer.port, verify=False),
            )
            assert await greeting(client) == b"hello"
            error = await refused(replace(client, hostname="bad.example"), never)
            assert isinstance(error, CertificateError)


async def test_tls_in_tls_to_a_server_without(tmp_path: Path) -> None:
    """The failure of the inner handshake is told as that of any other."""
    async with serving(tmp_path) as server:
        client = f"tls:127.0.0.1:{server.port}:verify=no"
        error = await refused(f"tls:x:1:verify=no:endpoint=[{client}]", never)
        assert type(error) is TLSError


class OddTransport(asyncio.Transport):
    """A transport of a class that no loop knows."""

    aborted = False

    def pause_reading(self) -> None:
        """Nothing is ever read."""

    def abort(self) -> None:
        OddTransport.aborted = True


@dataclass(frozen=True, slots=True, repr=False)
class OddClient(ClientSpec):
    """A kind whose transport is its own."""

    names = (Name("odd", "odd:1"),)
    port: Annotated[Port, Help("any number")]
    _: KW_ONLY

    async def open(self, attempt: Attempt, factory: Callable[[], Any]) -> tuple[Any, Any]:
        transport, protocol = OddTransport(), factory()
        protocol.connection_made(transport)
        return transport, protocol


async def test_endpoint_that_tls_cannot_run_over() -> None:
    """An endpoint with a transport that the loop cannot do TLS over is an error that names its kind."""
    error = await refused(TLSClient("x", 1, endpoint=OddClient(1)), never)
    assert type(error) is TLSError
    assert error.problem == "this event loop cannot do TLS over the transport of 'odd'"
    assert OddTransport.aborted


def mistaken() -> asyncio.Protocol:
    """Make no protocol, with an error that the loop raises too."""
    raise TypeError("mine")


@pytest.mark.parametrize(("factory", "error"), [(mistaken, TypeError), (odd, OddError)])
async def test_factory_that_raises_over_tls(
    tmp_path: Path, factory: Callable[[], asyncio.Protocol], error: type[Exception]
) -> None:
    """What the factory raises comes out unchanged when TLS runs over TLS, too."""
    async with serving(tmp_path) as inner:
        Relay.port = inner.port
        text = f"tls:0:interface=127.0.0.1:private_key={tmp_path / 'server.pem'}"
        async with listen(text, Relay) as outer:
            text = f"tls:x:1:verify=no:endpoint=[tls:127.0.0.1:{outer.port}:verify=no]"
            with pytest.raises(error):
                await connect(text, factory)


# A server


@pytest.mark.parametrize(
    ("rest", "problem"),
    [
        ("private_key=nowhere.pem", "nowhere.pem: no such file or directory"),
        ("path=nowhere", "nowhere: no such directory"),
        ("selfsigned=a:client_ca=nowhere.pem", "nowhere.pem: no such file or directory"),
        ("selfsigned=a:ciphers=NOPE", "NOPE: OpenSSL knows no such cipher"),
    ],
)
async def test_server_with_bad_files(rest: str, problem: str) -> None:
    """A server with a file that cannot be used does not start."""
    with pytest.raises(ListenError) as caught:
        await listen(f"tls:port=0:{rest}", Greeter)
    assert (caught.value.problem, caught.value.hint) == (problem, "")


async def test_server_without_a_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any source the key is in server.pem; if that is missing, the ways to give one are told."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ListenError) as caught:
        parse_server("ssl:0").acceptor()
    assert caught.value.problem == "server.pem: no such file or directory"
    assert caught.value.hint == (
        "certificates come from private_key=FILE, from the directory path=DIR, "
        "or for development from selfsigned=NAME"
    )
    write(tmp_path / "server.pem", GOOD.key_pem, GOOD.pem)
    assert parse_server("ssl:0").acceptor()


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "the client spoke plain HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the client does not speak TLS"),
        (b"", "the client closed the connection during the TLS handshake"),
    ],
)
async def test_client_without_tls(tmp_path: Path, sent: bytes, problem: str) -> None:
    """A client that speaks something else is reported and counted, and nothing of the program sees it."""
    failed: asyncio.Queue[HandshakeError] = asyncio.Queue()
    async with listen(
        "tls:0:interface=127.0.0.1:selfsigned=localhost", never, on_error=failed.put_nowait
    ) as server:
        _, writer = await open_connection(f"tcp:127.0.0.1:{server.port}")
        local = writer.get_extra_info("sockname")
        writer.write(sent)
        writer.write_eof()
        error = await failed.get()
        assert (error.problem, error.peer.sockaddr) == (problem, local)
        assert isinstance(error.__cause__, OSError)
        assert server.stats.handshake_failed == 1
        assert server.stats.active == 0
        writer.close()


async def test_client_that_says_nothing() -> None:
    """A client that lets its time for the handshake pass is disconnected and reported."""
    failed: asyncio.Queue[HandshakeError] = asyncio.Queue()
    async with listen(
        "tls:0:interface=127.0.0.1:selfsigned=localhost",
        never,
        on_error=failed.put_nowait,
        limits=Limits(handshake_timeout=0.02),
    ) as server:
        reader, writer = await open_connection(f"tcp:127.0.0.1:{server.port}")
        error = await failed.get()
        assert error.problem == "the client took more than 0.02 s for the TLS handshake"
        assert await reader.read() == b""
        writer.close()


async def test_socket_is_closed_when_accepting_fails() -> None:
    """When accepting has failed, the socket is closed already; a peer that is gone has no address."""
    acceptor = parse_server("tls:selfsigned=localhost").acceptor()
    ours, theirs = socket.socketpair()
    theirs.close()
    with pytest.raises(HandshakeError):
        await acceptor.accept(ours, never, 1.0)
    assert ours.fileno() == -1


async def test_peer_that_is_gone() -> None:
    """The report on a client whose address cannot be asked for any more still has its family."""
    acceptor = parse_server("tls:selfsigned=localhost").acceptor()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    theirs.close()
    ours.setblocking(False)
    with pytest.raises(HandshakeError) as caught:
        await acceptor.accept(ours, never, 1.0)
    assert caught.value.peer == Address(socket.AF_INET, "")
    assert ours.fileno() == -1


async def test_factory_of_a_server_that_raises() -> None:
    """What the factory of a server raises comes out of the acceptor unchanged."""
    acceptor = parse_server("tls:selfsigned=localhost").acceptor()
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    loop = asyncio.get_running_loop()
    client = asyncio.create_task(
        loop.create_connection(Recorder, sock=theirs, ssl=context, server_hostname="x")
    )
    with pytest.raises(OddError):
        await acceptor.accept(ours, odd, 1.0)
    assert ours.fileno() == -1
    transport, _ = await client
    transport.abort()


async def test_directory_by_name(tmp_path: Path) -> None:
    """A server with a directory shows each client the certificate for the name that it asks for."""
    for name in ("a.example", "b.example"):
        issued = ROOT.issue(name)
        write(tmp_path / f"{name}.pem", issued.key_pem, issued.pem)
    trusted = write(tmp_path / "roots.crt", ROOT.pem)
    async with listen(TLSServer(os.fspath(tmp_path), 0, interface="127.0.0.1"), Greeter) as server:
        for name in ("a.example", "b.example"):
            client = TLSClient("127.0.0.1", server.port, trust_roots=trusted, hostname=name)
            assert await greeting(client) == b"hello"


async def test_renewed_certificate(tmp_path: Path) -> None:
    """After a reload the new certificate is shown to clients that come then."""
    async with serving(tmp_path, ROOT.issue("old.example")) as server:
        new = ROOT.issue("new.example")
        write(tmp_path / "server.pem", new.key_pem, new.pem)
        client = TLSClient(
            "127.0.0.1", server.port, trust_roots=roots(tmp_path), hostname="old.example"
        )
        assert await greeting(client) == b"hello"
        server.reload()
        assert await greeting(replace(client, hostname="new.example")) == b"hello"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        GOOD.key_pem + ROOT.issue("other.example").pem,
        GOOD.key_pem + GOOD.pem[:100],
        None,
    ],
)
async def test_renewed_certificate_that_is_bad(tmp_path: Path, content: bytes | None) -> None:
    """A reload of bad files is an error, and the server goes on as before."""
    acceptor = parse_server(
        f"tls:private_key={write(tmp_path / 'k.pem', GOOD.key_pem, GOOD.pem)}"
    ).acceptor()
    if content is None:
        (tmp_path / "k.pem").unlink()
    else:
        write(tmp_path / "k.pem", content)
    with pytest.raises(ListenError):
        acceptor.reload()
    assert await _serves(acceptor) == GOOD.der
    write(tmp_path / "k.pem", GOOD.key_pem, GOOD.pem)
    acceptor.reload()
    assert await _serves(acceptor) == GOOD.der


async def _serves(acceptor: Any) -> bytes:
    """Give the certificate that an acceptor shows."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    loop = asyncio.get_running_loop()
    (server, _), (client, _) = await asyncio.gather(
        acceptor.accept(ours, Recorder, 1.0),
        loop.create_connection(Recorder, sock=theirs, ssl=context, server_hostname="x"),
    )
    shown: bytes = client.get_extra_info("ssl_object").getpeercert(binary_form=True)
    server.abort()
    client.abort()
    return shown


def test_reload_keeps_a_development_certificate() -> None:
    """A development certificate stays over a reload, and so does its pin."""
    acceptor = parse_server("tls:selfsigned=localhost").acceptor()
    assert isinstance(acceptor, TLSAcceptor)
    before = acceptor.certificates
    acceptor.reload()
    assert acceptor.certificates is before


# The way back: a client for a server


async def test_client_of_a_development_server() -> None:
    """The text of the client of a development server connects by itself: it pins the key."""
    async with listen("tls:0:selfsigned=localhost", Greeter) as server:
        assert len(server.client_endpoints) == 2
        for client in server.client_endpoints:
            assert ":pin=sha256/" in str(client)
            assert await greeting(str(client)) == b"hello"


@pytest.mark.parametrize(
    ("names", "hostname"),
    [
        (("good.example", "b.example"), "good.example"),
        (("*.wild.example",), "www.wild.example"),
        (("192.0.2.1",), "192.0.2.1"),
        ((), None),
        # Names that no client can ask for.
        *[
            ((odd, "b.example"), "b.example")
            for odd in (
                "*",
                "foo bar",
                "*foo.bar",
                "foo*.bar",
                "*.*.x",
                "-a",
                "1.2.3",
                "host:80",
                "a..b",
            )
        ],
        (("*", "192.0.2.1"), "192.0.2.1"),
        (("*",), None),
    ],
)
def test_client_of_a_server_with_files(
    tmp_path: Path, names: tuple[str, ...], hostname: str | None
) -> None:
    """The client of a server with files asks for the first name of the certificate that is a host."""
    issued = ROOT.issue(*names)
    spec = TLSServer(private_key=write(tmp_path / "k.pem", issued.key_pem, issued.pem))
    client = spec.client(Address(socket.AF_INET, ("0.0.0.0", 8443)), spec.acceptor())
    assert client == TLSClient("127.0.0.1", 8443, hostname=hostname)


async def test_client_of_a_server_with_files_connects(tmp_path: Path) -> None:
    """Given the roots, the client of a server with files connects."""
    async with serving(tmp_path) as server:
        text = f"{server.client_endpoints[0]}:trust_roots={roots(tmp_path)}"
        assert await greeting(text) == b"hello"


@pytest.mark.parametrize("times", [1, 2])
async def test_closed_connection_of_a_silent_client_is_aborted(tmp_path: Path, times: int) -> None:
    """A client that never answers the end of TLS is let go in time, also after two calls of close."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(times):
            writer.close()
        closed.set()

    closed = asyncio.Event()
    path = write(tmp_path / "server.pem", GOOD.key_pem, GOOD.pem)
    async with start_server(handle, f"tls:0:interface=127.0.0.1:private_key={path}") as server:
        with socket.create_connection(("127.0.0.1", server.port)) as raw:
            tls = await asyncio.to_thread(silent_handshake, raw)
            await closed.wait()
            server.abort_clients()
            server.close()
            await asyncio.wait_for(server.wait_closed(), 5)
            tls.close()


def silent_handshake(raw: socket.socket) -> ssl.SSLSocket:
    """Shake hands as a client that says nothing after that."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(raw, suppress_ragged_eofs=True)
