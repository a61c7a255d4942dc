"""Certificates and keys: what PEM files say, which belong together, and those made for development.

Nothing here makes a connection or an `ssl.SSLContext`. This module needs `cryptography`, which takes a while
to import, so that others import this module where they use it.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from asyncendpoints.addresses import to_ascii
from asyncendpoints.errors import KeyFileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from cryptography.hazmat.primitives.asymmetric.types import (
        PrivateKeyTypes,
        PublicKeyTypes,
    )

__all__ = [
    "CertificateFacts",
    "KeyPair",
    "decode_facts",
    "has_key",
    "make_development_pair",
    "pin_of",
    "read_directory",
    "read_facts",
    "read_pair",
]

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\r?\n.*?-----END \1-----", re.DOTALL)
_CERTIFICATE = b"CERTIFICATE"
_KEY = b"PRIVATE KEY"

#: How long a certificate for development is valid.
_DEVELOPMENT_DAYS = 90


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a certificate says. Texts hold printable characters only."""

    #: In the form of RFC 4514.
    subject: str
    #: In the form of RFC 4514.
    issuer: str
    #: The DNS names that it is for, in A-labels; the first label can be ``*``.
    names: tuple[str, ...]
    #: The IP addresses that it is for.
    addresses: tuple[str, ...]
    #: With the time zone UTC.
    not_before: datetime
    #: With the time zone UTC.
    not_after: datetime
    self_signed: bool
    #: Of its public key: ``sha256/`` and the base64 of the hash.
    pin: str


@dataclass(frozen=True, slots=True, repr=False)
class KeyPair:
    """A private key and the certificates that go with it."""

    #: The certificate of the key, then those of its issuers.
    chain: tuple[x509.Certificate, ...]
    #: The file that the certificate is from, for messages.
    source: str
    #: The file of the key; None for a key that is in ``key_pem``.
    key_path: str | None
    passphrase: str | None
    key_pem: bytes = b""

    @property
    def facts(self) -> CertificateFacts:
        """What the certificate of the key says."""
        return _facts(self.chain[0])

    @property
    def pem(self) -> bytes:
        """The certificates as PEM, and the key if it is in no file of its own; it is encrypted."""
        return b"".join(each.public_bytes(Encoding.PEM) for each in self.chain) + self.key_pem


def read_pair(
    private_key: str,
    cert_key: str | None = None,
    extra_cert_chain: str | None = None,
    passphrase: str | None = None,
) -> KeyPair:
    """Read a private key and its certificates.

    Args:
        private_key: A PEM file.
        cert_key: A PEM file with the certificate of the key first; None for the same file.
        extra_cert_chain: A PEM file with further certificates of the chain.
        passphrase: Of the private key; not used if that is not encrypted.

    Raises:
        KeyFileError: A file cannot be read, or what is in them does not go together.
    """
    key = _read_key(private_key, passphrase)
    source = cert_key or private_key
    chain = _read_certificates(source)
    if _public_bytes(chain[0].public_key()) != _public_bytes(key.public_key()):
        raise KeyFileError(source, f"the certificate is not that of the key in {private_key}")
    if extra_cert_chain is not None:
        chain += _read_certificates(extra_cert_chain)
    return KeyPair(tuple(chain), source, private_key, passphrase)


def read_directory(path: str, passphrase: str | None = None) -> list[KeyPair]:
    """Find the keys and certificates in all ``*.pem`` files of a directory and below it.

    A certificate and its key are known by their public key, the certificates of its issuers by their names
    and signatures, in whichever files they are. A file can hold one private key.

    Args:
        path: The directory.
        passphrase: For the keys that are encrypted.

    Returns:
        A pair for each certificate that has a key, in the order of the paths.

    Raises:
        KeyFileError: There is no such directory, a file cannot be read, or there is no pair.
    """
    keys: dict[bytes, str] = {}
    certificates: dict[x509.Certificate, str] = {}
    for file in _pem_files(path):
        blocks = list(_blocks(file))
        for block in [each for label, each in blocks if label.endswith(_KEY)][:1]:
            keys.setdefault(_public_bytes(_load_key(file, block, passphrase).public_key()), file)
        for block in [each for label, each in blocks if label == _CERTIFICATE]:
            certificates.setdefault(_load_certificate(file, block), file)
    pairs = [
        KeyPair(_chain(each, certificates), source, keys[public], passphrase)
        for each, source in certificates.items()
        if (public := _public_bytes(each.public_key())) in keys
    ]
    if not pairs:
        raise KeyFileError(path, "no *.pem file there holds a certificate whose key is there too")
    return pairs


def _chain(
    leaf: x509.Certificate, known: Iterable[x509.Certificate]
) -> tuple[x509.Certificate, ...]:
    """Put the certificates of the issuers after a certificate, without the root."""
    chain = [leaf]
    while not _is_issued(chain[-1], chain[-1]):
        issuer = next(
            (each for each in known if each not in chain and _is_issued(chain[-1], each)), None
        )
        if issuer is None or _is_issued(issuer, issuer):
            break
        chain.append(issuer)
    return tuple(chain)


def _is_issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Tell whether a certificate has the name and the signature of an issuer."""
    with suppress(ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        certificate.verify_directly_issued_by(issuer)
        return True
    return False


def _pem_files(path: str) -> list[str]:
    if not os.path.isdir(path):
        problem = "is no directory" if os.path.exists(path) else "no such directory"
        raise KeyFileError(path, problem)
    return sorted(
        os.path.join(folder, name)
        for folder, _, names in os.walk(path)
        for name in names
        if name.endswith(".pem")
    )


def _blocks(path: str) -> Iterator[tuple[bytes, bytes]]:
    """Give the label and the text of each PEM block of a file."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise KeyFileError(path, (error.strerror or str(error)).lower()) from error
    for match in _BLOCK.finditer(data):
        yield match[1], match[0]


def _read_key(path: str, passphrase: str | None) -> PrivateKeyTypes:
    block = next((each for label, each in _blocks(path) if label.endswith(_KEY)), None)
    if block is None:
        raise KeyFileError(path, "holds no private key in PEM form")
    return _load_key(path, block, passphrase)


def _load_key(path: str, block: bytes, passphrase: str | None) -> PrivateKeyTypes:
    is_encrypted = b"ENCRYPTED" in block
    if is_encrypted and not passphrase:
        raise KeyFileError(path, "the private key is encrypted: it needs passphrase=")
    password = (passphrase or "").encode() if is_encrypted else None
    try:
        return load_pem_private_key(block, password)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        problem = "the private key cannot be read"
        if is_encrypted:
            problem = "the passphrase of the private key is wrong"
        raise KeyFileError(path, problem) from error


def _read_certificates(path: str) -> list[x509.Certificate]:
    blocks = [each for label, each in _blocks(path) if label == _CERTIFICATE]
    if not blocks:
        raise KeyFileError(path, "holds no certificate in PEM form")
    return [_load_certificate(path, each) for each in blocks]


def _load_certificate(path: str, block: bytes) -> x509.Certificate:
    """Read a certificate, all of which that is used later included."""
    try:
        certificate = x509.load_pem_x509_certificate(block)
        _facts(certificate)
    except Exception as error:  # cryptography raises many kinds
        raise KeyFileError(path, f"a certificate cannot be read: {error}") from error
    return certificate


def read_facts(path: str) -> tuple[CertificateFacts, ...]:
    """Say what the certificates of a PEM file are, in their order.

    Raises:
        KeyFileError: The file cannot be read, or holds no certificate.
    """
    return tuple(_facts(each) for each in _read_certificates(path))


def has_key(facts: CertificateFacts, path: str, passphrase: str | None = None) -> bool:
    """Tell whether the private key in a PEM file is that of a certificate.

    Raises:
        KeyFileError: The key cannot be read.
    """
    return _pin(_public_bytes(_read_key(path, passphrase).public_key())) == facts.pin


def decode_facts(chain: Sequence[bytes]) -> tuple[CertificateFacts, ...]:
    """Say what certificates from the network are, as far as they can be read.

    Args:
        chain: Each in DER.
    """
    known: list[CertificateFacts] = []
    with suppress(Exception):  # cryptography raises many kinds
        known.extend(_facts(x509.load_der_x509_certificate(each)) for each in chain)
    return tuple(known)


def pin_of(certificate: bytes) -> str:
    """Give the pin of a certificate in DER; an empty text for one that cannot be read.

    Source: RFC 7469, section 2.4, for what is hashed.
    """
    facts = decode_facts([certificate])
    return facts[0].pin if facts else ""


def _facts(certificate: x509.Certificate) -> CertificateFacts:
    names: list[str] = []
    addresses: list[Any] = []
    with suppress(x509.ExtensionNotFound):
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = extension.value.get_values_for_type(x509.DNSName)
        addresses = extension.value.get_values_for_type(x509.IPAddress)
    return CertificateFacts(
        subject=_printable(certificate.subject.rfc4514_string()),
        issuer=_printable(certificate.issuer.rfc4514_string()),
        names=tuple(_printable(each) for each in names),
        addresses=tuple(str(each) for each in addresses),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        self_signed=_is_issued(certificate, certificate),
        pin=_pin(_public_bytes(certificate.public_key())),
    )


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def _public_bytes(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _pin(public: bytes) -> str:
    return "sha256/" + base64.b64encode(hashlib.sha256(public).digest()).decode()


def make_development_pair(names: Sequence[str], now: datetime) -> KeyPair:
    """Make a key and a certificate that it signs itself, in memory.

    Args:
        names: Host names, whose first label can be ``*``, and addresses. ``localhost`` brings the addresses
            of the loopback interface with it.
        now: The time, with its zone. The certificate is valid from the day before, for 90 days.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, "asyncendpoints development certificate")]
    )
    builder = x509.CertificateBuilder(
        issuer_name=subject,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(days=1),
        not_valid_after=now + timedelta(days=_DEVELOPMENT_DAYS),
    )
    for extension, critical in _development_extensions(names, key.public_key()):
        builder = builder.add_extension(extension, critical)
    # ssl takes keys from files only: what is written there is of no use to others.
    passphrase = os.urandom(16).hex()
    pem = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase.encode())
    )
    certificate = builder.sign(key, hashes.SHA256())
    return KeyPair((certificate,), "the development certificate", None, passphrase, pem)


def _development_extensions(
    names: Sequence[str], public_key: ec.EllipticCurvePublicKey
) -> Iterator[tuple[x509.ExtensionType, bool]]:
    """Give what a strict verifier demands of a certificate, each with whether it is critical.

    Source: RFC 5280, section 4.2.
    """
    hosts = [_general_name(each) for each in names]
    if "localhost" in names:
        hosts += [_general_name("127.0.0.1"), _general_name("::1")]
    yield x509.SubjectAlternativeName(dict.fromkeys(hosts)), False
    yield x509.BasicConstraints(ca=False, path_length=None), True
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    yield x509.KeyUsage(digital_signature=True, **usage), True
    yield x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False
    yield x509.SubjectKeyIdentifier.from_public_key(public_key), False
    yield x509.AuthorityKeyIdentifier.from_issuer_public_key(public_key), False


def _general_name(name: str) -> x509.GeneralName:
    address: IPv4Address | IPv6Address
    try:
        address = ip_address(name)
    except ValueError:
        wildcard, host = ("*.", name[2:]) if name.startswith("*.") else ("", name)
        return x509.DNSName(wildcard + to_ascii(host).removesuffix("."))
    return x509.IPAddress(address)
