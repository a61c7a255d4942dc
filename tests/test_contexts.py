"""Contexts for TLS: what is cached, what files are wrong, and the choice by name."""

from __future__ import annotations

import errno
import logging
import os
import ssl
import tempfile
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from asyncendpoints.certificates import make_development_pair, read_directory, read_pair
from asyncendpoints.contexts import (
    ClientTerms,
    ServerTerms,
    client_context,
    peer_chain,
    server_context,
)
from asyncendpoints.errors import KeyFileError
from tests.support import no_descriptors_left
from tests.tls_material import NOW, Authority, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROOT = Authority()
CLIENT = ROOT.issue(subject="test client")


def handshake(
    client: ssl.SSLContext, server: ssl.SSLContext, name: str | None = None
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Shake hands in memory, and give both ends."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(3):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return ends


def shown(server: ssl.SSLContext, name: str | None) -> list[str]:
    """Give the DNS names of the certificate that a server shows to a client that asks for a name."""
    client = ssl.create_default_context(cadata=ROOT.pem.decode())
    client.check_hostname = False
    certificate: Any = handshake(client, server, name)[0].getpeercert()
    return [value for _, value in certificate["subjectAltName"]]


def test_client_context_is_kept() -> None:
    """Equal terms give the same context as long as no file changes."""
    assert client_context(ClientTerms()) is client_context(ClientTerms())


def test_client_context_follows_its_files(tmp_path: Path) -> None:
    """A file that was renewed is read again."""
    path = write(tmp_path / "root.pem", ROOT.pem)
    terms = ClientTerms(trust_roots=path)
    first = client_context(terms)
    write(tmp_path / "new.pem", ROOT.pem, Authority("another").pem)
    os.replace(tmp_path / "new.pem", path)
    second = client_context(terms)
    assert len(first.get_ca_certs()) == 1
    assert len(second.get_ca_certs()) == 2


def test_client_context_follows_a_directory(tmp_path: Path) -> None:
    """A root that came into the directory is read; what is no PEM file of certificates does no harm."""
    write(tmp_path / "a.pem", ROOT.pem)
    terms = ClientTerms(trust_roots=os.fspath(tmp_path))
    first = client_context(terms)
    write(tmp_path / "b.pem", b"\xff a remark \xff\n", Authority("another").pem)
    write(tmp_path / "key.pem", CLIENT.key_pem)
    write(tmp_path / "ignored.txt", Authority("a third").pem)
    second = client_context(terms)
    assert len(first.get_ca_certs()) == 1
    assert len(second.get_ca_certs()) == 2


def test_client_context_verifies() -> None:
    """As a rule certificate and name are checked, from TLS 1.2 on."""
    context = client_context(ClientTerms())
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_client_context_without_checks() -> None:
    """Without verification neither certificate nor name is checked."""
    context = client_context(ClientTerms(verify=False))
    assert context.verify_mode is ssl.CERT_NONE
    assert not context.check_hostname


def test_client_context_with_all_terms() -> None:
    """The lowest version and the ciphers are those of the terms."""
    context = client_context(ClientTerms(min_version="1.3", ciphers="ECDHE-RSA-AES128-GCM-SHA256"))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert "ECDHE-RSA-AES128-GCM-SHA256" in {each["name"] for each in context.get_ciphers()}
    assert "ECDHE-RSA-AES256-GCM-SHA384" not in {each["name"] for each in context.get_ciphers()}


@pytest.mark.parametrize("verify", [True, False])
def test_key_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verify: bool) -> None:
    """SSLKEYLOGFILE is honoured, also for terms whose context was made without it."""
    terms = ClientTerms(verify=verify)
    assert client_context(terms).keylog_filename is None
    monkeypatch.setenv("SSLKEYLOGFILE", os.fspath(tmp_path / "keys.log"))
    assert client_context(terms).keylog_filename == os.fspath(tmp_path / "keys.log")


def test_no_roots_are_read_to_check_nothing() -> None:
    """A client that verifies nothing does not read the roots of the system, which takes long."""
    assert client_context(ClientTerms(verify=False)).get_ca_certs() == []


def test_system_without_a_file_of_roots(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the system has no file of roots, clients still get a context."""
    monkeypatch.setenv("SSL_CERT_FILE", os.fspath(tmp_path / "nothing"))
    assert client_context(ClientTerms()).get_ca_certs() == []


def test_passphrase_is_not_shown() -> None:
    """The passphrase is in no repr."""
    assert "open" not in repr(ClientTerms(passphrase="open"))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "holds no certificate in PEM form"),
        (CLIENT.key_pem, "holds no certificate in PEM form"),
    ],
)
def test_roots_that_are_none(tmp_path: Path, content: bytes, problem: str) -> None:
    """A file of roots without a certificate is an error that names it."""
    path = write(tmp_path / "root.pem", content)
    with pytest.raises(KeyFileError) as caught:
        client_context(ClientTerms(trust_roots=path))
    assert str(caught.value) == f"{path}: {problem}"


BROKEN = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def test_roots_that_are_broken(tmp_path: Path) -> None:
    """A root that cannot be read is an error that names the file, for clients and for servers."""
    path = write(tmp_path / "root.pem", BROKEN)
    with pytest.raises(KeyFileError, match=r"root\.pem: "):
        client_context(ClientTerms(trust_roots=path))
    pair = make_development_pair(["localhost"], NOW)
    with pytest.raises(KeyFileError, match=r"root\.pem: "):
        server_context([pair], ServerTerms(client_ca=path))


def test_directory_without_roots(tmp_path: Path) -> None:
    """A directory where no file holds a certificate is an error."""
    with pytest.raises(KeyFileError, match=r"no \*\.pem file there holds a certificate"):
        client_context(ClientTerms(trust_roots=os.fspath(tmp_path)))


def test_roots_that_are_missing(tmp_path: Path) -> None:
    """A file of roots that does not exist is an error that says so."""
    with pytest.raises(KeyFileError, match=r"root\.pem: no such file or directory"):
        client_context(ClientTerms(trust_roots=os.fspath(tmp_path / "root.pem")))


def test_client_key_in_one_file(tmp_path: Path) -> None:
    """The certificate and the key of a client can be in one file, given as either."""
    path = write(tmp_path / "client.pem", CLIENT.key_pem, CLIENT.pem)
    for terms in (ClientTerms(cert_key=path), ClientTerms(private_key=path)):
        assert client_context(terms)


def test_client_key_with_a_passphrase(tmp_path: Path) -> None:
    """The key of a client can be encrypted."""
    path = write(tmp_path / "client.pem", CLIENT.encrypted_key_pem("open"), CLIENT.pem)
    assert client_context(ClientTerms(private_key=path, passphrase="open"))


@pytest.mark.parametrize(
    ("passphrase", "problem"),
    [
        (None, "the private key is encrypted: it needs passphrase="),
        ("shut", "the passphrase of the private key is wrong"),
        ("x" * 2000, "the passphrase of the private key is wrong"),
    ],
)
def test_client_key_that_stays_shut(tmp_path: Path, passphrase: str | None, problem: str) -> None:
    """What is wrong with the key of a client is said, and nothing is asked on the terminal."""
    path = write(tmp_path / "client.pem", CLIENT.encrypted_key_pem("open"), CLIENT.pem)
    with pytest.raises(KeyFileError) as caught:
        client_context(ClientTerms(private_key=path, passphrase=passphrase))
    assert caught.value.problem == problem


def test_client_key_that_only_openssl_refuses(tmp_path: Path) -> None:
    """Where the files look right and OpenSSL refuses them, its reason is given."""
    path = write(tmp_path / "client.pem", CLIENT.key_pem, CLIENT.pem, BROKEN[:40])
    with pytest.raises(KeyFileError) as caught:
        client_context(ClientTerms(private_key=path))
    assert caught.value.path == path


def test_ciphers_that_do_not_exist() -> None:
    """Ciphers that OpenSSL does not know are an error that names them."""
    with pytest.raises(KeyFileError, match="NOPE: OpenSSL knows no such cipher"):
        client_context(ClientTerms(ciphers="NOPE"))


def test_certificate_that_a_client_refuses_is_known(tmp_path: Path) -> None:
    """The error of a refused certificate carries what the server sent."""
    pair = make_development_pair(["localhost"], NOW)
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        handshake(client_context(ClientTerms()), server_context([pair], ServerTerms()), "localhost")
    assert len(peer_chain(caught.value)) == 1
    assert peer_chain(ssl.SSLCertVerificationError(1, "x")) == []


@pytest.fixture
def directory(tmp_path: Path) -> str:
    """A directory with certificates for several names."""
    for file, names in {
        "a": ("a.example", "www.a.example"),
        "b": ("B.example", "*.b.example"),
        "c": ("c.example",),
    }.items():
        issued = ROOT.issue(*names)
        write(tmp_path / f"{file}.pem", issued.key_pem, issued.pem)
    return os.fspath(tmp_path)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("a.example", "a.example"),
        ("www.a.example", "a.example"),
        ("b.example", "B.example"),
        ("WWW.B.Example", "B.example"),
        ("c.example", "c.example"),
        ("x.y.b.example", "a.example"),
        ("unknown.example", "a.example"),
        ("example", "a.example"),
        (None, "a.example"),
    ],
)
def test_certificate_for_a_name(directory: str, name: str | None, first: str) -> None:
    """A client gets the certificate for its name, or one for a wildcard in place of the first label, in any
    case of letters; else the first.
    """
    context = server_context(read_directory(directory), ServerTerms())
    assert shown(context, name)[0] == first


def test_certificate_that_is_valid_longer(tmp_path: Path) -> None:
    """Of two certificates for one name the one that is valid longer is shown."""
    old = ROOT.issue("a.example", "old.example")
    new = ROOT.issue("a.example", "new.example", end=NOW + timedelta(days=11))
    write(tmp_path / "1.pem", old.key_pem, old.pem)
    write(tmp_path / "2.pem", new.key_pem, new.pem)
    context = server_context(read_directory(os.fspath(tmp_path)), ServerTerms())
    assert "new.example" in shown(context, "a.example")
    assert "old.example" in shown(context, "old.example")


@pytest.mark.parametrize("name", ["a.example", "b.example", None])
def test_client_certificate_is_demanded_for_every_name(
    directory: str, tmp_path: Path, name: str | None
) -> None:
    """No name leads around the demand for a certificate of the client."""
    root = write(tmp_path / "root.crt", ROOT.pem)
    context = server_context(read_directory(directory), ServerTerms(client_ca=root))
    client = ssl.create_default_context(cadata=ROOT.pem.decode())
    client.check_hostname = False
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        handshake(client, context, name)
    client.load_cert_chain(write(tmp_path / "client.crt", CLIENT.key_pem, CLIENT.pem))
    _, server = handshake(client, context, name)
    assert server.getpeercert(binary_form=True) == CLIENT.der


def test_exposed_key_is_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A private key that every user can read is reported, once."""
    path = write(tmp_path / "k.pem", CLIENT.key_pem, CLIENT.pem, mode=0o644)
    with caplog.at_level(logging.WARNING, "asyncendpoints"):
        for _ in range(2):
            server_context([read_pair(path)], ServerTerms())
    assert [each.getMessage() for each in caplog.records] == [
        f"{path}: every user of this machine can read this private key (mode 644); chmod 600 helps"
    ]


def test_key_of_the_owner_alone_is_not_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A private key that the owner and a group can read is nothing to report."""
    path = write(tmp_path / "k.pem", CLIENT.key_pem, CLIENT.pem, mode=0o640)
    server_context([read_pair(path)], ServerTerms())
    assert caplog.records == []


def test_key_that_changes_between_two_looks(tmp_path: Path) -> None:
    """A key that was replaced since its pair was read is an error that names the file."""
    path = write(tmp_path / "k.pem", CLIENT.key_pem, CLIENT.pem)
    pair = read_pair(path)
    write(tmp_path / "k.pem", ROOT.issue("other.example").key_pem)
    with pytest.raises(KeyFileError, match=r"k\.pem: key values mismatch"):
        server_context([pair], ServerTerms())


def test_no_temporary_file_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server needs no writable directory, be its certificate in files or made in memory."""
    path = write(tmp_path / "k.pem", CLIENT.key_pem, CLIENT.pem)
    pairs = [read_pair(path), make_development_pair(["localhost"], NOW)]
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    assert server_context(pairs, ServerTerms())


def no_memory(name: str) -> int:
    """Fail as a system does that allows no files in memory."""
    raise PermissionError(errno.EPERM, "not permitted", name)


@pytest.mark.parametrize("made", [no_memory, None])
def test_system_without_files_in_memory(
    monkeypatch: pytest.MonkeyPatch, made: Callable[[str], int] | None
) -> None:
    """Where there are no files in memory, or none are allowed, a temporary one serves."""
    if made is None:
        monkeypatch.delattr(os, "memfd_create")
    else:
        monkeypatch.setattr(os, "memfd_create", made)
    pair = make_development_pair(["localhost"], NOW)
    assert server_context([pair], ServerTerms())
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with pytest.raises(KeyFileError) as caught:
        server_context([pair], ServerTerms())
    assert str(caught.value) == (
        "the development certificate: OpenSSL takes it from a file, which cannot be made: "
        "no such file or directory"
    )


def test_no_descriptor_for_a_certificate(tmp_path: Path) -> None:
    """Without a free descriptor there is no certificate, no root and no file of roots: errors of ours."""
    path = write(tmp_path / "k.pem", CLIENT.key_pem, CLIENT.pem)
    pairs = [read_pair(path), make_development_pair(["localhost"], NOW)]
    roots = os.fspath(tmp_path)
    for pair in pairs:
        with no_descriptors_left(), pytest.raises(KeyFileError):
            server_context([pair], ServerTerms())
    with no_descriptors_left(), pytest.raises(KeyFileError, match="too many open files"):
        client_context(ClientTerms(trust_roots=roots))


def test_system_roots_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Roots of the system that cannot be read are an error, and are read when they can be."""
    monkeypatch.setenv("SSL_CERT_FILE", write(tmp_path / "system.pem", ROOT.pem))
    with (
        no_descriptors_left(),
        pytest.raises(KeyFileError, match=r"system\.pem: too many open files"),
    ):
        client_context(ClientTerms())
    assert len(client_context(ClientTerms()).get_ca_certs()) == 1


def test_system_roots_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of the system without roots is no error: they can be in its directory."""
    monkeypatch.setenv("SSL_CERT_FILE", write(tmp_path / "system.pem"))
    assert client_context(ClientTerms()).get_ca_certs() == []


def test_key_that_has_gone(tmp_path: Path) -> None:
    """A key that is gone when it is loaded is an error that names the file."""
    path = write(tmp_path / "k.pem", CLIENT.key_pem, CLIENT.pem)
    pair = read_pair(path)
    os.unlink(path)
    with pytest.raises(KeyFileError, match=r"k\.pem: no such file or directory"):
        server_context([pair], ServerTerms())


def test_development_certificate_can_be_trusted() -> None:
    """A development certificate given as root is accepted by a strict verifier."""
    pair = make_development_pair(["localhost"], NOW)
    client = ssl.create_default_context(cadata=pair.pem.decode())
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    client_end, _ = handshake(client, server_context([pair], ServerTerms()), "localhost")
    assert client_end.version() == "TLSv1.3"


def ffdhe2048() -> bytes:
    """Give the parameters that RFC 7919, appendix A.1, names so, as PEM."""
    guard = 64
    e = term = 1 << (1918 + guard)
    for index in range(1, 400):
        term //= index
        e += term
    prime = 2**2048 - 2**1984 + ((e >> guard) + 560316) * 2**64 - 1
    body = b"\x02\x82\x01\x01\0" + prime.to_bytes(256, "big") + b"\x02\x01\x02"
    der = b"\x30\x82" + len(body).to_bytes(2, "big") + body
    return ssl.DER_cert_to_PEM_cert(der).replace("CERTIFICATE", "DH PARAMETERS").encode()


def test_parameters_for_diffie_hellman(tmp_path: Path) -> None:
    """The parameters of a file are those that a client of DHE gets."""
    path = write(tmp_path / "dh.pem", ffdhe2048())
    issued = ROOT.issue("a.example")
    pair = read_pair(write(tmp_path / "k.pem", issued.key_pem, issued.pem))
    assert server_context([pair], ServerTerms(dh_parameters=path))


@pytest.mark.parametrize("content", [b"", ROOT.pem, None])
def test_parameters_that_are_none(tmp_path: Path, content: bytes | None) -> None:
    """A file without parameters is an error that names it."""
    path = tmp_path / "dh.pem"
    if content is not None:
        write(path, content)
    pair = make_development_pair(["localhost"], NOW)
    with pytest.raises(KeyFileError, match=r"dh\.pem: "):
        server_context([pair], ServerTerms(dh_parameters=os.fspath(path)))


def test_protocols_are_agreed_upon() -> None:
    """Client and server agree on the first protocol of the server that the client offers."""
    pair = make_development_pair(["localhost"], NOW)
    server = server_context([pair], ServerTerms(alpn=("h2", "http/1.1")))
    client = client_context(ClientTerms(verify=False, alpn=("http/1.1", "h2")))
    assert handshake(client, server)[0].selected_alpn_protocol() == "h2"


def test_terms_of_a_pair_are_independent() -> None:
    """A context that was given out is not changed by making another."""
    pair = make_development_pair(["localhost"], NOW)
    terms = ServerTerms(alpn=("h2",))
    first = server_context([pair], terms)
    second = server_context([pair], replace(terms, min_version="1.3"))
    assert first.minimum_version is ssl.TLSVersion.TLSv1_2
    assert second.minimum_version is ssl.TLSVersion.TLSv1_3
