"""Certificates and keys in PEM files."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
from dataclasses import astuple
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints.certificates import (
    decode_facts,
    has_key,
    make_development_pair,
    pin_of,
    read_directory,
    read_facts,
    read_pair,
)
from asyncendpoints.errors import KeyFileError
from tests.tls_material import NOW, Authority, Issued, write

ROOT = Authority()
SERVER = ROOT.issue("example.org", "*.example.net", "192.0.2.1", "2001:db8::1")
OTHER = ROOT.issue("other.example")


def pin(issued: Issued) -> str:
    """Compute the pin of a certificate from its key."""
    key = issued.key.public_key()
    public = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return "sha256/" + base64.b64encode(hashlib.sha256(public).digest()).decode()


def test_facts_of_a_certificate(tmp_path: Path) -> None:
    """The facts of a certificate are its names, addresses, issuer, times and pin."""
    (facts,) = read_facts(write(tmp_path / "c.pem", SERVER.pem))
    assert astuple(facts) == (
        "CN=test server",
        "CN=test authority",
        ("example.org", "*.example.net"),
        ("192.0.2.1", "2001:db8::1"),
        NOW - timedelta(days=10),
        NOW + timedelta(days=10),
        False,
        pin(SERVER),
    )


def test_facts_of_an_authority(tmp_path: Path) -> None:
    """A root is self-signed and is for no name."""
    (facts,) = read_facts(write(tmp_path / "c.pem", ROOT.pem))
    assert facts.self_signed
    assert facts.names == ()


def test_name_of_an_issuer_does_not_make_it_self_signed(tmp_path: Path) -> None:
    """A certificate whose issuer has its own name, but another key, is not self-signed."""
    issued = Authority("same").issue(subject="same")
    (facts,) = read_facts(write(tmp_path / "c.pem", issued.pem))
    assert not facts.self_signed


def test_texts_of_facts_are_printable(tmp_path: Path) -> None:
    """A control character in a certificate is not in its facts."""
    issued = ROOT.issue("exa\x1bmple.org", subject="evil\x1b[2J")
    (facts,) = read_facts(write(tmp_path / "c.pem", issued.pem))
    assert facts.names == ("exa\ufffdmple.org",)
    assert facts.subject == "CN=evil\ufffd[2J"


def test_facts_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    """A file with several certificates gives the facts of each."""
    path = write(tmp_path / "c.pem", b"a remark\n", SERVER.pem, SERVER.key_pem, ROOT.pem)
    assert [each.subject for each in read_facts(path)] == ["CN=test server", "CN=test authority"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "holds no certificate in PEM form"),
        (SERVER.key_pem, "holds no certificate in PEM form"),
        (SERVER.pem[:-40], "holds no certificate in PEM form"),
    ],
)
def test_file_without_certificates(tmp_path: Path, content: bytes, problem: str) -> None:
    """A file without a whole certificate is an error that names it."""
    path = write(tmp_path / "c.pem", content)
    with pytest.raises(KeyFileError) as caught:
        read_facts(path)
    assert (caught.value.path, caught.value.problem) == (path, problem)


def test_certificate_that_is_none(tmp_path: Path) -> None:
    """Bytes in a certificate block that are no certificate are an error that names the file."""
    path = write(
        tmp_path / "c.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    )
    with pytest.raises(KeyFileError, match=r"c\.pem: a certificate cannot be read: "):
        read_facts(path)


def test_file_that_is_missing(tmp_path: Path) -> None:
    """A file that does not exist is an error that says so."""
    with pytest.raises(KeyFileError, match=r"c\.pem: no such file or directory"):
        read_facts(os.fspath(tmp_path / "c.pem"))


def test_key_belongs_to_a_certificate(tmp_path: Path) -> None:
    """A key is that of the certificate with its public key, and of no other."""
    facts = decode_facts([SERVER.der])[0]
    assert has_key(facts, write(tmp_path / "a.pem", SERVER.key_pem))
    assert not has_key(facts, write(tmp_path / "b.pem", OTHER.key_pem))


@given(st.lists(st.binary(max_size=40)))
def test_facts_of_any_bytes(chain: list[bytes]) -> None:
    """Whatever comes from the network, reading it raises nothing."""
    assert decode_facts(chain) == ()


def test_facts_as_far_as_they_can_be_read() -> None:
    """Certificates before one that cannot be read are described."""
    assert [each.subject for each in decode_facts([SERVER.der, b"x"])] == ["CN=test server"]


def test_pin_is_the_hash_of_the_public_key() -> None:
    """The pin of a certificate is that of its key."""
    assert pin_of(SERVER.der) == pin(SERVER)


def test_pin_of_what_is_no_certificate() -> None:
    """What cannot be read has an empty pin, which no pin equals."""
    assert pin_of(b"x") == ""


def test_pair_in_one_file(tmp_path: Path) -> None:
    """Without a second file the certificate is in that of the key, in any order."""
    path = write(tmp_path / "server.pem", SERVER.key_pem, SERVER.pem, ROOT.pem)
    pair = read_pair(path)
    assert pair.chain == (SERVER.certificate, ROOT.certificate)
    assert (pair.source, pair.key_path) == (path, path)


def test_pair_in_three_files(tmp_path: Path) -> None:
    """The certificates of a further file come last; a missing newline at the end of a file does no harm."""
    key = write(tmp_path / "k.pem", SERVER.key_pem.rstrip())
    certificate = write(tmp_path / "c.pem", SERVER.pem.rstrip())
    chain = write(tmp_path / "chain.pem", ROOT.pem.rstrip())
    pair = read_pair(key, certificate, chain)
    assert pair.pem == SERVER.pem + ROOT.pem


def test_pair_with_an_encrypted_key(tmp_path: Path) -> None:
    """A passphrase opens an encrypted key, and is not used for one that is not encrypted."""
    path = write(tmp_path / "k.pem", SERVER.encrypted_key_pem("open"), SERVER.pem)
    plain = write(tmp_path / "p.pem", SERVER.key_pem, SERVER.pem)
    assert read_pair(path, passphrase="open").facts == read_pair(plain, passphrase="open").facts


@pytest.mark.parametrize(
    ("content", "passphrase", "problem"),
    [
        (SERVER.pem, None, "holds no private key in PEM form"),
        (
            SERVER.encrypted_key_pem("open"),
            None,
            "the private key is encrypted: it needs passphrase=",
        ),
        (
            SERVER.encrypted_key_pem("open"),
            "shut",
            "the passphrase of the private key is wrong",
        ),
        (
            b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            None,
            "the private key cannot be read",
        ),
    ],
)
def test_key_that_cannot_be_used(
    tmp_path: Path, content: bytes, passphrase: str | None, problem: str
) -> None:
    """What is wrong with a key is said, and in which file."""
    path = write(tmp_path / "k.pem", content)
    with pytest.raises(KeyFileError) as caught:
        read_pair(path, passphrase=passphrase)
    assert (caught.value.path, caught.value.problem) == (path, problem)


def test_key_of_another_certificate(tmp_path: Path) -> None:
    """A key and a certificate that do not belong together are an error that names both files."""
    key = write(tmp_path / "k.pem", SERVER.key_pem)
    certificate = write(tmp_path / "c.pem", OTHER.pem)
    with pytest.raises(KeyFileError) as caught:
        read_pair(key, certificate)
    assert str(caught.value) == f"{certificate}: the certificate is not that of the key in {key}"


def test_directory_pairs_by_public_key(tmp_path: Path) -> None:
    """Keys and certificates are paired whatever their files are called, in the order of the paths."""
    (tmp_path / "deep").mkdir()
    write(tmp_path / "b.pem", SERVER.pem, SERVER.key_pem)
    write(tmp_path / "c.pem", OTHER.key_pem)
    write(tmp_path / "deep" / "a.pem", OTHER.pem)
    write(tmp_path / "deep" / "same.pem", OTHER.pem, OTHER.key_pem)
    write(tmp_path / "ignored.txt", b"-----BEGIN CERTIFICATE-----\n")
    pairs = read_directory(os.fspath(tmp_path))
    assert [each.chain[0] for each in pairs] == [SERVER.certificate, OTHER.certificate]
    assert [Path(each.key_path or "").name for each in pairs] == ["b.pem", "c.pem"]


def test_directory_finds_the_chain(tmp_path: Path) -> None:
    """The issuers of a certificate are found by name and signature; the root is left out."""
    middle = Authority("middle", ROOT)
    low = Authority("low", middle)
    issued = low.issue("a.example")
    for index, pem in enumerate((Authority("low").pem, ROOT.pem, middle.pem, low.pem)):
        write(tmp_path / f"{index}.pem", pem)
    write(tmp_path / "server.pem", issued.key_pem, issued.pem)
    (pair,) = read_directory(os.fspath(tmp_path))
    assert pair.chain == (issued.certificate, low.certificate, middle.certificate)


def test_directory_with_authorities_that_sign_each_other(tmp_path: Path) -> None:
    """A circle of issuers ends the chain."""
    first = Authority("first")
    second = Authority("second", first)
    cross = Authority("first", second, key=first.key)
    issued = second.issue("a.example")
    write(tmp_path / "a.pem", second.pem, cross.pem)
    write(tmp_path / "server.pem", issued.key_pem, issued.pem)
    (pair,) = read_directory(os.fspath(tmp_path))
    assert pair.chain == (issued.certificate, second.certificate, cross.certificate)


def test_directory_with_an_issuer_missing(tmp_path: Path) -> None:
    """A chain whose next issuer is not there ends before it."""
    write(tmp_path / "server.pem", SERVER.key_pem, SERVER.pem)
    (pair,) = read_directory(os.fspath(tmp_path))
    assert pair.chain == (SERVER.certificate,)


def test_directory_with_a_certificate_that_signs_itself(tmp_path: Path) -> None:
    """A certificate that is its own issuer is the whole chain."""
    pair = make_development_pair(["localhost"], NOW)
    write(tmp_path / "a.pem", pair.pem)
    (found,) = read_directory(os.fspath(tmp_path), pair.passphrase)
    assert found.chain == pair.chain


def test_directory_without_a_pair(tmp_path: Path) -> None:
    """A directory where no certificate has its key is an error."""
    write(tmp_path / "a.pem", SERVER.pem)
    write(tmp_path / "b.pem", OTHER.key_pem)
    with pytest.raises(KeyFileError, match="holds a certificate whose key is there too"):
        read_directory(os.fspath(tmp_path))


def test_directory_that_is_missing(tmp_path: Path) -> None:
    """A directory that does not exist is an error that says so."""
    with pytest.raises(KeyFileError, match="nowhere: no such directory"):
        read_directory(os.fspath(tmp_path / "nowhere"))


def test_directory_that_is_a_file(tmp_path: Path) -> None:
    """A file in the place of a directory is an error that says so."""
    with pytest.raises(KeyFileError, match=r"a\.pem: is no directory"):
        read_directory(write(tmp_path / "a.pem", SERVER.pem))


def test_development_certificate() -> None:
    """A development certificate is for its names in A-labels, wildcards included, and signs itself."""
    pair = make_development_pair(["bücher.example.", "*.bücher.example", "192.0.2.7"], NOW)
    facts = pair.facts
    assert facts.names == ("xn--bcher-kva.example", "*.xn--bcher-kva.example")
    assert facts.addresses == ("192.0.2.7",)
    assert facts.self_signed
    assert facts.not_before == NOW - timedelta(days=1)
    assert facts.not_after == NOW + timedelta(days=90)


def test_development_certificate_for_localhost() -> None:
    """The name localhost brings the loopback addresses with it, each once."""
    facts = make_development_pair(["127.0.0.1", "localhost"], NOW).facts
    assert facts.names == ("localhost",)
    assert facts.addresses == ("127.0.0.1", "::1")


def test_development_key_is_encrypted() -> None:
    """The key of a development certificate never stands in the clear."""
    pair = make_development_pair(["localhost"], NOW)
    assert b"ENCRYPTED PRIVATE KEY" in pair.pem
    assert pair.passphrase
    assert pair.passphrase not in repr(pair)


def test_development_certificate_cannot_sign() -> None:
    """A development certificate is no authority: its key can sign no others."""
    (certificate,) = make_development_pair(["localhost"], NOW).chain
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert not constraints.value.ca
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert not usage.value.key_cert_sign


def test_tls_kinds_do_not_import_cryptography() -> None:
    """Reading descriptions of TLS and making a client's context does not import the slow package."""
    program = """if True:
        import sys
        from asyncendpoints.specs import parse_client, parse_server
        from asyncendpoints.contexts import ClientTerms, client_context
        parse_client("tls:example.org:443")
        parse_server("tls:443:selfsigned=localhost")
        client_context(ClientTerms())
        assert "cryptography" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", program], check=True)
