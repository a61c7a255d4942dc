"""The words for handshakes that failed."""

from __future__ import annotations

import ssl
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from asyncendpoints.certificates import CertificateFacts
from asyncendpoints.handshakes import certificate_problem, handshake_problem

NOW = datetime(2030, 6, 15, tzinfo=UTC)
LEAF = CertificateFacts(
    subject="CN=server",
    issuer="CN=authority",
    names=("example.org", "www.example.org"),
    addresses=("192.0.2.1",),
    not_before=datetime(2030, 1, 1, tzinfo=UTC),
    not_after=datetime(2030, 12, 31, tzinfo=UTC),
    self_signed=False,
    pin="sha256/P",
)


def tls_error(reason: str) -> ssl.SSLError:
    """Make an error of OpenSSL."""
    error = ssl.SSLError(1, "a text")
    error.reason = reason
    return error


def refusal(code: int, message: str = "Something is Wrong.") -> ssl.SSLCertVerificationError:
    """Make the error of OpenSSL for a certificate that is refused."""
    error = ssl.SSLCertVerificationError(1, "a text")
    error.verify_code = code
    error.verify_message = message
    return error


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (tls_error("WRONG_VERSION_NUMBER"), "the server does not speak TLS"),
        (tls_error("PACKET_LENGTH_TOO_LONG"), "the server does not speak TLS"),
        (tls_error("HTTP_REQUEST"), "the server spoke plain HTTP"),
        (tls_error("NO_SHARED_CIPHER"), "there is no cipher that both sides accept"),
        (tls_error("UNSUPPORTED_PROTOCOL"), "there is no TLS version that both sides accept"),
        (
            tls_error("TLSV1_ALERT_UNKNOWN_CA"),
            "the server ended the TLS handshake with the alert 'unknown ca'",
        ),
        (
            tls_error("TLSV13_ALERT_CERTIFICATE_REQUIRED"),
            "the server ended the TLS handshake with the alert 'certificate required'",
        ),
        (
            tls_error("SSLV3_ALERT_HANDSHAKE_FAILURE"),
            "the server ended the TLS handshake with the alert 'handshake failure'",
        ),
        (
            tls_error("TLSV1_UNRECOGNIZED_NAME"),
            "the server ended the TLS handshake with the alert 'unrecognized name'",
        ),
        (
            ConnectionResetError(),
            "the server closed the connection during the TLS handshake",
        ),
        (
            ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
            "the server closed the connection during the TLS handshake",
        ),
        (
            tls_error("BAD_SIGNATURE"),
            "the TLS handshake with the server failed: bad signature",
        ),
        (OSError(5, "I/O error"), "the TLS handshake with the server failed: I/O error"),
        (OSError("odd"), "the TLS handshake with the server failed: odd"),
        (
            refusal(19),
            "the certificate of the server is not accepted: something is Wrong",
        ),
    ],
)
def test_problem_is_said_in_words(error: OSError, problem: str) -> None:
    """What OpenSSL and the loop raise is said in words that name the other side."""
    assert handshake_problem(error, "server") == problem


@pytest.mark.parametrize(
    ("code", "facts", "problem"),
    [
        (
            62,
            LEAF,
            (
                "the certificate is for example.org, www.example.org, 192.0.2.1, not for other.example "
                "(hostname=NAME checks another name)"
            ),
        ),
        (
            64,
            replace(LEAF, names=(), addresses=()),
            (
                "the certificate is for no host at all, not for other.example "
                "(hostname=NAME checks another name)"
            ),
        ),
        (
            62,
            replace(LEAF, names=tuple("abcdef"), addresses=()),
            (
                "the certificate is for a, b, c, d, e and 1 more, not for other.example "
                "(hostname=NAME checks another name)"
            ),
        ),
        (
            10,
            replace(LEAF, not_after=datetime(2030, 2, 3, tzinfo=UTC)),
            (
                "the certificate expired on 2030-02-03 "
                "(pin=sha256/P, if that is its key, or verify=no goes without)"
            ),
        ),
        (
            9,
            replace(LEAF, not_before=datetime(2030, 7, 1, tzinfo=UTC)),
            (
                "the certificate is not valid before 2030-07-01 "
                "(pin=sha256/P, if that is its key, or verify=no goes without)"
            ),
        ),
        (
            18,
            LEAF,
            (
                "the certificate is self-signed (trust_roots=FILE trusts its issuer, "
                "pin=sha256/P, if that is its key, trusts this key alone, verify=no anything)"
            ),
        ),
        (
            20,
            LEAF,
            (
                "the issuer of the certificate is not trusted here: CN=authority (trust_roots=FILE trusts "
                "its issuer, pin=sha256/P, if that is its key, trusts this key alone, verify=no anything)"
            ),
        ),
        (
            23,
            LEAF,
            (
                "the certificate of the server is not accepted: something is Wrong "
                "(pin=sha256/P, if that is its key, or verify=no goes without)"
            ),
        ),
    ],
)
def test_certificate_that_is_refused(code: int, facts: CertificateFacts, problem: str) -> None:
    """A refused certificate is described with what it says and with what would help."""
    assert certificate_problem(refusal(code), "other.example", (facts,), NOW) == problem


def test_root_that_is_not_trusted_is_named() -> None:
    """When the server sends its root too, that is the issuer which is named."""
    root = replace(LEAF, issuer="CN=root")
    problem = certificate_problem(refusal(19), "example.org", (LEAF, root), NOW)
    assert problem.startswith("the issuer of the certificate is not trusted here: CN=root (")


def test_issuer_that_expired_is_named() -> None:
    """When the certificate of an issuer has expired, that one is named."""
    old = replace(LEAF, subject="CN=old", not_after=datetime(2030, 6, 14, tzinfo=UTC))
    problem = certificate_problem(refusal(10), "example.org", (LEAF, old), NOW)
    assert problem.startswith("the issuer's certificate (CN=old) expired on 2030-06-14 (")


def test_certificate_that_cannot_be_read() -> None:
    """Without anything known of the certificate, what OpenSSL says is left."""
    problem = certificate_problem(refusal(62), "example.org", (), NOW)
    assert problem == "the certificate of the server is not accepted: something is Wrong"
