"""The `ssl.SSLContext` of clients and servers, and the choice of a certificate by the name asked for.

The law: a context is never changed after it was given out. A file that is bad then breaks nothing: what is
loaded anew is loaded into a context of its own.
"""

from __future__ import annotations

import _ssl
import logging
import os
import ssl
import stat
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import IO, TYPE_CHECKING

from asyncendpoints.errors import KeyFileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from asyncendpoints.certificates import KeyPair

__all__ = ["ClientTerms", "ServerTerms", "client_context", "peer_chain", "server_context"]

logger = logging.getLogger("asyncendpoints")

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

_DESCRIPTORS = "/proc/self/fd"

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class ClientTerms:
    """What a client offers and demands."""

    verify: bool = True
    #: A PEM file, or a directory of them; None for the roots of the system.
    trust_roots: str | None = None
    cert_key: str | None = None
    private_key: str | None = None
    passphrase: str | None = field(default=None, repr=False)
    alpn: tuple[str, ...] = ()
    #: ``"1.2"`` or ``"1.3"``.
    min_version: str = "1.2"
    ciphers: str | None = None

    @property
    def files(self) -> Iterator[str]:
        """The files and directories that the context is made from."""
        yield from filter(None, (self.cert_key, self.private_key))
        roots = self.trust_roots or ssl.get_default_verify_paths().cafile
        if roots is not None:
            yield roots
            if os.path.isdir(roots):
                yield from _pem_files(roots)


@dataclass(frozen=True, slots=True)
class ServerTerms:
    """What a server offers and demands, whichever its certificate."""

    alpn: tuple[str, ...] = ()
    #: ``"1.2"`` or ``"1.3"``.
    min_version: str = "1.2"
    ciphers: str | None = None
    #: A PEM file, or a directory of them, with the issuers of the certificates that clients have to have.
    client_ca: str | None = None
    dh_parameters: str | None = None


def client_context(terms: ClientTerms) -> ssl.SSLContext:
    """Give the context for a client.

    Reading the roots of a system takes about 20 ms, so that contexts are kept until one of their files
    changes.

    Raises:
        KeyFileError: A file cannot be used.
    """
    state = tuple(_state(each) for each in terms.files)
    return _client_context(terms, state, os.environ.get("SSLKEYLOGFILE"))


def _state(path: str) -> tuple[object, ...] | None:
    """Give what changes when a file does, or None where there is no file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return path, found.st_mtime_ns, found.st_size, found.st_ino


@lru_cache(maxsize=64)
def _client_context(
    terms: ClientTerms,
    state: tuple[object, ...],  # noqa: ARG001 - part of the key of the cache
    key_log: str | None,
) -> ssl.SSLContext:
    context = _verifying(terms.trust_roots) if terms.verify else _unverifying(key_log)
    context.sslobject_class = _Observed
    _agree(context, terms)
    if terms.private_key is not None or terms.cert_key is not None:
        _load_client_key(context, terms)
    return context


def _verifying(trust_roots: str | None) -> ssl.SSLContext:
    """Make a context that checks certificates, by the roots of the system unless others are given."""
    try:
        roots = None if trust_roots is None else _read_roots(trust_roots)
        context = ssl.create_default_context(cadata=roots)
    except ssl.SSLError as error:
        raise KeyFileError(str(trust_roots), _reason(error)) from error
    if trust_roots is None and not context.cert_store_stats()["x509"]:
        _check_system_roots()
    # A common name is no host name. Source: RFC 9525, section 6.
    context.hostname_checks_common_name = False
    return context


def _check_system_roots() -> None:
    """Find out why the file of the system gave no roots: OpenSSL does not tell."""
    path = ssl.get_default_verify_paths().cafile
    if path is not None:
        try:
            open(path, "rb").close()
        except OSError as error:
            raise KeyFileError(path, _reason(error)) from error


def _unverifying(key_log: str | None) -> ssl.SSLContext:
    """Make a context that checks nothing, without reading the roots, which takes 20 ms."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if key_log:
        context.keylog_filename = key_log
    return context


class _Observed(ssl.SSLObject):
    """A TLS connection that keeps the certificates of a server that it does not accept."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except ssl.SSLCertVerificationError as error:
            # SSLObject has this method from 3.13 on only, and what is below it on every version so far.
            with suppress(AttributeError):
                chain = self._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
                error.peer_chain = [each.public_bytes(_ssl.ENCODING_DER) for each in chain]  # type: ignore[attr-defined]
            raise


def peer_chain(error: ssl.SSLCertVerificationError) -> list[bytes]:
    """Give the certificates, in DER, that a client of this module did not accept."""
    return getattr(error, "peer_chain", [])


def server_context(pairs: Sequence[KeyPair], terms: ServerTerms) -> ssl.SSLContext:
    """Make the context for a server.

    Args:
        pairs: What to choose from by the name that the client asks for. The first is for clients that ask
            for none, or for one that is not there.
        terms: The same for all. That is what makes ``client_ca`` sure: a change of context does not change
            whether OpenSSL asks for the certificate of a client.

    Raises:
        KeyFileError: A file cannot be used.
    """
    contexts = [_pair_context(pair, terms) for pair in pairs]
    default = contexts[0]
    if len(contexts) > 1:
        table = _names_table(pairs, contexts)

        def choose(tls: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
            if name is not None:
                tls.context = _find(table, name) or default

        default.sni_callback = choose
    return default


def _names_table(
    pairs: Sequence[KeyPair], contexts: Sequence[ssl.SSLContext]
) -> dict[str, ssl.SSLContext]:
    """Give the context for each name; of two certificates for a name, that which is valid longer."""
    facts = [pair.facts for pair in pairs]
    ordered = sorted(range(len(pairs)), key=lambda index: facts[index].not_after, reverse=True)
    table: dict[str, ssl.SSLContext] = {}
    for index in ordered:
        for name in facts[index].names:
            table.setdefault(name.lower(), contexts[index])
    return table


def _find(table: dict[str, ssl.SSLContext], name: str) -> ssl.SSLContext | None:
    """Find the context for a name: its own, or that for a wildcard in place of its first label."""
    name = name.lower()
    return table.get(name) or table.get("*." + name.partition(".")[2])


def _pair_context(pair: KeyPair, terms: ServerTerms) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _agree(context, terms)
    _load_pair(context, pair)
    if terms.client_ca is not None:
        _require_client(context, terms.client_ca)
    if terms.dh_parameters is not None:
        try:
            context.load_dh_params(terms.dh_parameters)
        except OSError as error:
            raise KeyFileError(terms.dh_parameters, _reason(error)) from error
    return context


def _require_client(context: ssl.SSLContext, path: str) -> None:
    try:
        context.load_verify_locations(cadata=_read_roots(path))
    except ssl.SSLError as error:
        raise KeyFileError(path, _reason(error)) from error
    context.verify_mode = ssl.CERT_REQUIRED


def _agree(context: ssl.SSLContext, terms: ClientTerms | ServerTerms) -> None:
    """Set what clients and servers have in common."""
    context.minimum_version = _VERSIONS[terms.min_version]
    if terms.alpn:
        context.set_alpn_protocols(terms.alpn)
    if terms.ciphers is not None:
        try:
            context.set_ciphers(terms.ciphers)
        except ssl.SSLError as error:
            raise KeyFileError(terms.ciphers, "OpenSSL knows no such cipher") from error


def _load_pair(context: ssl.SSLContext, pair: KeyPair) -> None:
    """Load a key and its chain, which may come from several files."""
    if pair.key_path is not None:
        _report_exposed(pair.key_path)
    try:
        with _file_of(pair.pem) as path:
            _load_chain(context, pair, path)
    except OSError as error:
        problem = f"OpenSSL takes it from a file, which cannot be made: {_reason(error)}"
        raise KeyFileError(pair.source, problem) from error


def _load_chain(context: ssl.SSLContext, pair: KeyPair, path: str) -> None:
    try:
        # Without a password, even an empty one, OpenSSL would ask for it on the terminal.
        context.load_cert_chain(path, pair.key_path, lambda: pair.passphrase or "")
    except (OSError, ValueError) as error:
        raise KeyFileError(pair.key_path or pair.source, _reason(error)) from error


@contextmanager
def _file_of(data: bytes) -> Iterator[str]:
    """Give the path of a file with some data, for as long as the block runs."""
    with _memory() or tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(data)
        file.flush()
        yield file.name if isinstance(file.name, str) else f"{_DESCRIPTORS}/{file.name}"


def _memory() -> IO[bytes] | None:
    """Open a file in memory, which needs no writable directory; None where the system has none."""
    if hasattr(os, "memfd_create") and os.path.isdir(_DESCRIPTORS):
        with suppress(OSError):
            return open(os.memfd_create("certificates"), "wb")
    return None


def _load_client_key(context: ssl.SSLContext, terms: ClientTerms) -> None:
    """Load the certificate of a client; `cryptography` is needed only to say what is wrong with it."""
    certificate = terms.cert_key or terms.private_key
    key = terms.private_key or terms.cert_key
    assert certificate is not None
    assert key is not None
    try:
        context.load_cert_chain(certificate, key, lambda: terms.passphrase or "")
    except (OSError, ValueError) as error:
        from asyncendpoints.certificates import read_pair  # takes long to import

        read_pair(key, certificate, passphrase=terms.passphrase)
        raise KeyFileError(certificate, _reason(error)) from error
    _report_exposed(key)


def _read_roots(path: str) -> str:
    """Give the certificates of a file, or of the ``*.pem`` files of a directory, as one PEM text."""
    files = _pem_files(path) if os.path.isdir(path) else [path]
    found = [block for each in files for block in _certificates(each)]
    if not found:
        problem = "holds no certificate in PEM form"
        if files != [path]:
            problem = "no *.pem file there holds a certificate"
        raise KeyFileError(path, problem)
    return "\n".join(found)


def _pem_files(path: str) -> list[str]:
    try:
        return sorted(each.path for each in os.scandir(path) if each.name.endswith(".pem"))
    except OSError as error:
        raise KeyFileError(path, _reason(error)) from error


def _certificates(path: str) -> Iterator[str]:
    """Give the certificates of a PEM file, which may hold other things and remarks."""
    try:
        with open(path, encoding="ascii", errors="ignore") as file:
            text = file.read()
    except OSError as error:
        raise KeyFileError(path, _reason(error)) from error
    for part in text.split(_BEGIN)[1:]:
        yield _BEGIN + part.partition(_END)[0] + _END


def _report_exposed(path: str) -> None:
    """Warn of a private key that every user can read; one that has gone meanwhile nobody can."""
    with suppress(OSError):
        mode = os.stat(path).st_mode
        if mode & stat.S_IROTH:
            _warn_exposed(path, mode)


@cache
def _warn_exposed(path: str, mode: int) -> None:
    logger.warning(
        "%s: every user of this machine can read this private key (mode %o); chmod 600 helps",
        path,
        stat.S_IMODE(mode),
    )


def _reason(error: Exception) -> str:
    """Say in lower case what an error of the system or of OpenSSL is."""
    reason = getattr(error, "reason", None)
    if reason:
        return str(reason).lower().replace("_", " ")
    return str(getattr(error, "strerror", None) or error).lower()
