"""What went wrong in a TLS handshake, in plain words.

The words come from what OpenSSL and asyncio raise. Texts that a peer wrote are cleaned before they are shown.
"""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from asyncendpoints.certificates import CertificateFacts

__all__ = ["certificate_problem", "handshake_problem"]

#: What OpenSSL calls it when the bytes of the peer are no TLS; newer versions have newer names for it.
_NO_TLS = frozenset(
    {
        "BAD_RECORD_TYPE",
        "HTTPS_PROXY_REQUEST",
        "PACKET_LENGTH_TOO_LONG",
        "RECORD_LAYER_FAILURE",
        "UNKNOWN_PROTOCOL",
        "WRONG_VERSION_NUMBER",
    }
)
_REASONS = {
    "HTTP_REQUEST": "the {peer} spoke plain HTTP",
    "NO_PROTOCOLS_AVAILABLE": "there is no TLS version that both sides accept",
    "NO_SHARED_CIPHER": "there is no cipher that both sides accept",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the {peer} gave no certificate",
    "UNSUPPORTED_PROTOCOL": "there is no TLS version that both sides accept",
}
_ALERT = re.compile(r"(?:SSLV3|TLSV1|TLSV13)_(?:ALERT_)?([A-Z0-9_]+)")

#: Error numbers of X509_verify_cert. Source: openssl-verification-options(1) and x509_vfy.h.
_UNKNOWN_ISSUER = (2, 20, 21)
_NOT_YET_VALID = 9
_EXPIRED = 10
_SELF_SIGNED = 18
_SELF_SIGNED_ROOT = 19
_WRONG_NAME = (62, 64)

#: How many names of a certificate are listed.
_NAMES_SHOWN = 5


def handshake_problem(error: OSError, peer: str) -> str:
    """Say why a handshake failed, certificates aside.

    Args:
        error: What the loop raised.
        peer: What the other side is called: ``"server"`` or ``"client"``.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of the {peer} is not accepted: {_lower(error.verify_message)}"
    reason = getattr(error, "reason", None) or ""
    if reason in _NO_TLS:
        return f"the {peer} does not speak TLS"
    if reason in _REASONS:
        return _REASONS[reason].format(peer=peer)
    if alert := _ALERT.fullmatch(reason):
        words = alert[1].lower().replace("_", " ")
        return f"the {peer} ended the TLS handshake with the alert {words!r}"
    if isinstance(error, ConnectionError | ssl.SSLEOFError):
        return f"the {peer} closed the connection during the TLS handshake"
    words = reason.lower().replace("_", " ") or error.strerror or str(error)
    return f"the TLS handshake with the {peer} failed: {words}"


def certificate_problem(
    error: ssl.SSLCertVerificationError,
    hostname: str,
    chain: tuple[CertificateFacts, ...],
    now: datetime,
) -> str:
    """Say why the certificate of a server was not accepted, and what would help.

    Args:
        error: What OpenSSL found.
        hostname: The name or the address that was wanted.
        chain: What is known of the server's certificates, its own first.
        now: The time, with its zone.
    """
    code = error.verify_code
    if not chain:
        return f"the certificate of the server is not accepted: {_lower(error.verify_message)}"
    leaf = chain[0]
    trust = f"trust_roots=FILE trusts its issuer, pin={leaf.pin}, if that is its key, trusts this key alone"
    around = f"pin={leaf.pin}, if that is its key, or verify=no goes without"
    if code in _WRONG_NAME:
        wanted = f"not for {hostname} (hostname=NAME checks another name)"
        return f"the certificate is for {_names(leaf)}, {wanted}"
    if code == _EXPIRED:
        late = next((each for each in chain if each.not_after < now), leaf)
        return f"{_whose(late, leaf)} expired on {late.not_after:%Y-%m-%d} ({around})"
    if code == _NOT_YET_VALID:
        early = next((each for each in chain if each.not_before > now), leaf)
        return f"{_whose(early, leaf)} is not valid before {early.not_before:%Y-%m-%d} ({around})"
    if code == _SELF_SIGNED:
        return f"the certificate is self-signed ({trust}, verify=no anything)"
    if code in _UNKNOWN_ISSUER or code == _SELF_SIGNED_ROOT:
        issuer = chain[-1].issuer if code == _SELF_SIGNED_ROOT else leaf.issuer
        return f"the issuer of the certificate is not trusted here: {issuer} ({trust}, verify=no anything)"
    return (
        f"the certificate of the server is not accepted: {_lower(error.verify_message)} ({around})"
    )


def _whose(facts: CertificateFacts, leaf: CertificateFacts) -> str:
    return "the certificate" if facts is leaf else f"the issuer's certificate ({facts.subject})"


def _names(facts: CertificateFacts) -> str:
    names = [*facts.names, *facts.addresses]
    shown = ", ".join(names[:_NAMES_SHOWN]) or "no host at all"
    more = len(names) - _NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _lower(text: str) -> str:
    """Write a sentence of OpenSSL as the end of one of ours."""
    return text[:1].lower() + text[1:].rstrip(".")
