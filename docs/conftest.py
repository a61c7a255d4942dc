"""What the examples of the documentation run in."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from asyncendpoints import registry


@pytest.fixture(autouse=True)
def _folder(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run every page in a folder of its own, so that examples can name files plainly."""
    if request.node.name == "certificates.rst":
        shutil.copytree(request.getfixturevalue("authority"), tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(Path(__file__).parent / "examples" / "portfile")
    # What a page registers is gone after it.
    found = {role: dict(kinds) for role, kinds in registry._found.items()}  # noqa: SLF001 - no other way
    monkeypatch.setattr(registry, "_found", found)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with an authority, ca.pem, and certificates that it signed."""
    folder = tmp_path_factory.mktemp("authority")
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _certificate("ca.example", ca_key, ca_key)
    (folder / "ca.pem").write_bytes(ca)
    (folder / "certs").mkdir()
    for name, host in (
        ("www", "www.example.org"),
        ("renewed", "www.example.org"),
        ("client", "client.example.org"),
        ("certs/a", "a.example.org"),
        ("certs/b", "b.example.org"),
    ):
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path = folder / f"{name}.pem"
        path.write_bytes(pem + _certificate(host, key, ca_key))
        path.chmod(0o600)
    return folder


def _certificate(
    host: str, key: ec.EllipticCurvePrivateKey, ca_key: ec.EllipticCurvePrivateKey
) -> bytes:
    """Make a certificate for a host, in PEM; that of the authority if it signs itself."""
    now = datetime.now(UTC)
    public = ca_key.public_key()
    builder = x509.CertificateBuilder(
        issuer_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca.example")]),
        subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)]),
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(days=1),
        not_valid_after=now + timedelta(days=30),
    )
    for extension, critical in (
        (x509.BasicConstraints(ca=key is ca_key, path_length=None), True),
        (x509.SubjectAlternativeName([x509.DNSName(host)]), False),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(public), False),
    ):
        builder = builder.add_extension(extension, critical)
    if key is ca_key:
        usage = dict.fromkeys(
            (
                "digital_signature",
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        builder = builder.add_extension(
            x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True
        )
    return builder.sign(ca_key, hashes.SHA256()).public_bytes(Encoding.PEM)
