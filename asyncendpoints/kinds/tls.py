"""TLS: ``tls`` and ``ssl``, to connect and to listen.

A client verifies the certificate of the server, or compares its key with a pin. A server takes its
certificates from files, from a directory, by the name that the client asks for, or makes one for development.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, TypeVar

from asyncendpoints import events
from asyncendpoints.addresses import to_ascii
from asyncendpoints.attempt import all_of
from asyncendpoints.contexts import (
    ClientTerms,
    ServerTerms,
    client_context,
    peer_chain,
    server_context,
)
from asyncendpoints.errors import (
    CertificateError,
    ConnectError,
    HandshakeError,
    KeyFileError,
    ListenError,
    SpecError,
    TLSError,
)
from asyncendpoints.fields import (
    Backlog,
    Choice,
    Help,
    Host,
    HostText,
    NonEmpty,
    Path,
    Port,
    Seconds,
    Secret,
    Word,
    Words,
    YesNo,
)
from asyncendpoints.grammar import Inner, Name
from asyncendpoints.handshakes import certificate_problem, handshake_problem
from asyncendpoints.kinds.tcp import Family, TCPClient, TCPPortServer
from asyncendpoints.listeners import peer_address
from asyncendpoints.ports import reachable_host
from asyncendpoints.specs import ClientSpec
from asyncendpoints.transports import (
    BrokenHandshakeError,
    Handover,
    Waiting,
    abort,
    release,
    secure,
    secure_accepted,
    secure_over,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from asyncendpoints.addresses import Address
    from asyncendpoints.attempt import Attempt
    from asyncendpoints.certificates import CertificateFacts, KeyPair
    from asyncendpoints.listeners import Acceptor
    from asyncendpoints.resolving import Candidates

__all__ = ["TLSAcceptor", "TLSClient", "TLSServer"]

P = TypeVar("P", bound=asyncio.BaseProtocol)


class PinText(Word):
    """The hash of a public key; an item of `Words`."""

    expected = "'sha256/' and the base64 of the hash of a public key"

    def check(self, value: str) -> None:
        if not isinstance(value, str) or not value.startswith("sha256/"):
            raise ValueError
        text = value.removeprefix("sha256/")
        try:
            digest = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError from None
        # The last character has bits to spare: only one of the ways to write it is taken.
        if len(digest) != 32 or base64.b64encode(digest).decode() != text:
            raise ValueError


class ProtocolText(Word):
    """The name of an application protocol, such as ``h2``; an item of `Words`.

    Source: RFC 7301, section 3.1.
    """

    expected = "a protocol name of 1 to 255 ASCII characters"

    def check(self, value: str) -> None:
        super().check(value)
        if not value.isascii() or len(value) > 255:
            raise ValueError


class CertificateNameText(HostText):
    """A host name, whose first label can be ``*``, or an address; an item of `Words`."""

    expected = "host names or addresses, separated by commas"

    def check(self, value: str) -> None:
        super().check(value.removeprefix("*.") if isinstance(value, str) else value)


Pins = Annotated[tuple[str, ...], Words(PinText(), f"{PinText.expected}, or several by comma")]
Protocols = Annotated[tuple[str, ...], Words(ProtocolText(), "protocol names separated by commas")]
CertificateNames = Annotated[
    tuple[str, ...], Words(CertificateNameText(), CertificateNameText.expected)
]
Version = Annotated[str, Choice("1.2", "1.3")]
Ciphers = Annotated[str, NonEmpty("ciphers as OpenSSL lists them")]


@dataclass(frozen=True, slots=True, repr=False)
class TLSClient(ClientSpec):
    """A TLS connection; the certificate of the server is verified, or its key is compared with a pin."""

    names = (
        Name("tls", "tls:example.org:443"),
        Name("ssl", "ssl:example.org:443", order=("host", "port")),
    )

    host: Annotated[Host, Help("host name or address to connect to")]
    port: Annotated[Port, Help("port to connect to")]
    timeout: Annotated[Seconds | None, Help("limit of the whole connect, in seconds")] = 30.0
    bind_address: Annotated[Host | None, Help("address to connect from", "bindAddress")] = None
    cert_key: Annotated[
        Path | None, Help("PEM file with the certificate of the client", "certKey", "certificate")
    ] = None
    private_key: Annotated[
        Path | None, Help("PEM file with its private key; as a rule cert_key", "privateKey")
    ] = None
    trust_roots: Annotated[
        Path | None,
        Help(
            "PEM file, or directory of *.pem, with the issuers to trust", "trustRoots", "caCertsDir"
        ),
    ] = None
    endpoint: Annotated[
        ClientSpec | None,
        Inner("client", stream=True),
        Help("how to connect, in place of TCP to host and port"),
    ] = None
    _: KW_ONLY
    hostname: Annotated[Host | None, Help("name to ask for and to verify; as a rule host")] = None
    passphrase: Annotated[Secret | None, Help("passphrase of the private key")] = None
    pin: Annotated[
        Pins | None, Help("hashes of the keys that the server may have; no other check is made")
    ] = None
    verify: Annotated[YesNo, Help("check the certificate of the server")] = True
    alpn: Annotated[Protocols | None, Help("application protocols to offer, the best first")] = None
    min_version: Annotated[Version, Help("the lowest version of TLS", "minVersion")] = "1.2"
    ciphers: Annotated[Ciphers | None, Help("ciphers of TLS 1.2 to offer")] = None
    family: Annotated[Family, Help("which addresses of the host to use")] = "any"
    bind_port: Annotated[Port, Help("port to connect from; 0 for any", "bindPort")] = 0
    svcb: Annotated[YesNo, Help("go where the HTTPS records of the host say (RFC 9460)")] = False

    def check(self) -> None:
        if self.pin and self.trust_roots is not None:
            raise SpecError("trust_roots", "a pin takes the place of trust_roots: give one of them")
        if self.endpoint is None:
            return
        for name, given in (
            ("bind_address", self.bind_address is not None),
            ("bind_port", self.bind_port != 0),
            ("family", self.family != "any"),
            ("svcb", self.svcb),
        ):
            if given:
                raise SpecError(
                    name, f"{name} belongs into the endpoint, which makes the connection"
                )

    @property
    def server_name(self) -> str:
        """The name that is asked for and verified: in A-labels, or an address without zone id."""
        return to_ascii(self.hostname or self.host).partition("%")[0].removesuffix(".")

    @property
    def carrier(self) -> ClientSpec:
        """What makes the connection that TLS is spoken over."""
        return self.endpoint or TCPClient(
            self.host,
            self.port,
            bind_address=self.bind_address,
            bind_port=self.bind_port,
            family=self.family,
        )

    async def addresses(self, attempt: Attempt) -> list[Address]:
        if self.svcb:
            return await all_of(await self._alternatives(attempt))
        return await self.carrier.addresses(attempt)

    async def _alternatives(self, attempt: Attempt) -> Candidates:
        from asyncendpoints.kinds.https_records import alternatives  # slow, for what DNS needs

        return await alternatives(attempt, self.host, self.port, self.family, self.alpn or ())

    async def _open_socket(self, attempt: Attempt) -> socket.socket:
        """Connect to what TLS is spoken over, which is plain."""
        if self.svcb:
            local = self.bind_address, self.bind_port
            return await attempt.race(await self._alternatives(attempt), local)
        return await self.carrier.open_socket(attempt)

    async def open(self, attempt: Attempt, factory: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        context = self._context(attempt)
        handover = Handover(factory, partial(self._check_peer, attempt))
        try:
            return await self._secure(attempt, handover, context)
        except BrokenHandshakeError as failure:
            raise self._failed(attempt, failure.error) from failure.error

    @property
    def terms(self) -> ClientTerms:
        """What is offered to a server and demanded of it."""
        return ClientTerms(
            verify=self.verify and not self.pin,
            trust_roots=self.trust_roots,
            cert_key=self.cert_key,
            private_key=self.private_key,
            passphrase=self.passphrase,
            alpn=self.alpn or (),
            min_version=self.min_version,
            ciphers=self.ciphers,
        )

    def _context(self, attempt: Attempt) -> ssl.SSLContext:
        attempt.stage = "tls"
        try:
            return client_context(self.terms)
        except KeyFileError as error:
            raise attempt.error(str(error)) from error

    async def _secure(
        self, attempt: Attempt, handover: Handover[P], context: ssl.SSLContext
    ) -> tuple[asyncio.Transport, P]:
        """Connect and shake hands, over a plain socket where there is one."""
        inner = self.carrier
        name = self.server_name
        if inner.is_plain():
            sock = attempt.followed(await self._open_socket(attempt))
            await self._begin(attempt, partial(release, sock))
            return await secure(sock, handover, context, name)
        transport, _ = await attempt.open(inner, Waiting)
        await self._begin(attempt, partial(abort, transport))
        try:
            return await secure_over(transport, handover, context, name)
        except TypeError as error:
            if error is handover.error:
                raise
            kind = inner.names[0].text
            problem = f"this event loop cannot do TLS over the transport of {kind!r}"
            raise attempt.error(problem, TLSError) from error

    async def _begin(self, attempt: Attempt, close: Callable[[], Awaitable[None]]) -> None:
        """Say that the handshake starts; a cancel that comes out of the hook waits for ``close``."""
        attempt.stage = "tls"
        if attempt.emit:
            try:
                attempt.emit(events.HandshakeStarted(_now(), self.server_name))
            except BaseException:
                await close()
                raise

    def _check_peer(self, attempt: Attempt, tls: ssl.SSLObject) -> None:
        """Compare the key of the server with the pins; the handshake is over by now."""
        if self.pin:
            from asyncendpoints.certificates import pin_of  # takes long to import

            found = pin_of(tls.getpeercert(binary_form=True) or b"")
            if found not in self.pin:
                problem = f"the key of the server is {found or 'not readable'}, not the one of pin="
                error = attempt.error(problem, CertificateError)
                self._emit_failed(attempt, error)
                raise error
        if attempt.emit:
            version, cipher = tls.version(), tls.cipher()
            assert version is not None
            assert cipher is not None
            alpn = tls.selected_alpn_protocol()
            attempt.emit(
                events.HandshakeFinished(_now(), self.server_name, version, cipher[0], alpn)
            )

    def _emit_failed(self, attempt: Attempt, error: OSError) -> None:
        if attempt.emit:
            attempt.emit(events.HandshakeFailed(_now(), self.server_name, error))

    def _failed(self, attempt: Attempt, error: OSError) -> ConnectError:
        """Make the error for a handshake that failed."""
        self._emit_failed(attempt, error)
        if not isinstance(error, ssl.SSLError):
            return attempt.error(handshake_problem(error, "server"), TLSError, error.errno)
        if not isinstance(error, ssl.SSLCertVerificationError):
            made = attempt.error(handshake_problem(error, "server"), TLSError)
        else:
            from asyncendpoints.certificates import decode_facts  # takes long to import

            facts = decode_facts(peer_chain(error))
            problem = certificate_problem(error, self.server_name, facts, datetime.now(UTC))
            made = attempt.error(problem, CertificateError)
        for name in ("library", "reason", "verify_code", "verify_message"):
            if hasattr(error, name):
                setattr(made, name, getattr(error, name))
        return made


def _now() -> float:
    return asyncio.get_running_loop().time()


@dataclass(frozen=True, slots=True, repr=False)
class TLSServer(TCPPortServer):
    """A listening TCP port whose connections are TLS; without an interface on IPv4 and IPv6.

    The certificate is that of ``private_key``, chosen from a directory by the name that the client asks for,
    or made for development. From a directory a client that asks for no name, or for one that no certificate
    there is for, gets the first in the order of the paths.
    """

    names = (
        Name("tls", "tls:443:private_key=key.pem:cert_key=cert.pem"),
        Name(
            "ssl",
            "ssl:443:key.pem:cert.pem",
            order=(
                "port",
                "private_key",
                "cert_key",
                "sslmethod",
                "interface",
                "backlog",
                "extra_cert_chain",
                "dh_parameters",
            ),
            required=("port",),
            refused={
                "sslmethod": "write the lowest version to accept in its place, as in min_version=1.3"
            },
        ),
    )

    path: Annotated[Path | None, Help("directory of *.pem, one certificate for each name")] = None
    port: Annotated[Port, Help("port to listen on; 0 for any free one")] = 443
    backlog: Annotated[Backlog, Help("connections that may wait to be accepted")] = 1024
    interface: Annotated[Host | None, Help("address to listen on; as a rule all of them")] = None
    _: KW_ONLY
    private_key: Annotated[
        Path | None, Help("PEM file with the private key; as a rule server.pem", "privateKey")
    ] = None
    cert_key: Annotated[
        Path | None, Help("PEM file with its certificate; as a rule private_key", "certKey")
    ] = None
    extra_cert_chain: Annotated[
        Path | None, Help("PEM file with the rest of the chain", "extraCertChain")
    ] = None
    dh_parameters: Annotated[
        Path | None, Help("PEM file with parameters for Diffie-Hellman", "dhParameters")
    ] = None
    passphrase: Annotated[Secret | None, Help("passphrase of the private key")] = None
    selfsigned: Annotated[
        CertificateNames | None, Help("names for a certificate for development, made in memory")
    ] = None
    alpn: Annotated[Protocols | None, Help("application protocols to accept, the best first")] = (
        None
    )
    min_version: Annotated[Version, Help("the lowest version of TLS", "minVersion")] = "1.2"
    ciphers: Annotated[Ciphers | None, Help("ciphers of TLS 1.2 to accept")] = None
    client_ca: Annotated[
        Path | None,
        Help(
            "PEM file, or directory of *.pem: clients need a certificate of these issuers",
            "clientCA",
        ),
    ] = None
    v6only: Annotated[YesNo | None, Help("keep an IPv6 socket from taking IPv4 too")] = None
    reuse_port: Annotated[YesNo, Help("share the port with other processes", "reusePort")] = False

    @classmethod
    def order(cls, name: Name, first: str | None) -> tuple[str, ...]:
        if name.order is not None:
            return name.order
        if first is not None and first.isascii() and first.isdigit():
            return ("port", "backlog", "interface")
        return ("path", "port", "backlog", "interface")

    def check(self) -> None:
        sources = [
            name
            for name in ("path", "selfsigned", "private_key")
            if getattr(self, name) is not None
        ]
        if len(sources) > 1:
            raise SpecError(sources[1], f"{' and '.join(sources)} exclude one another: give one")
        if sources and sources != ["private_key"]:
            for name in ("cert_key", "extra_cert_chain"):
                if getattr(self, name) is not None:
                    raise SpecError(name, f"{name} goes with private_key, not with {sources[0]}")

    def acceptor(self) -> TLSAcceptor:
        return TLSAcceptor(self)

    def client(self, address: Address, acceptor: Acceptor) -> ClientSpec:
        assert isinstance(acceptor, TLSAcceptor)
        assert address.port is not None
        host = reachable_host(address)
        facts = acceptor.certificates[0]
        if self.selfsigned is not None:
            return TLSClient(host, address.port, pin=(facts.pin,))
        return TLSClient(host, address.port, hostname=_hostname(facts))


def _hostname(facts: CertificateFacts) -> str | None:
    """Give the first name of a certificate that a client can ask for, or None."""
    names = (f"www.{each[2:]}" if each.startswith("*.") else each for each in facts.names)
    return next((each for each in (*names, *facts.addresses) if _is_host(each)), None)


def _is_host(text: str) -> bool:
    with suppress(ValueError):
        HostText().check(text)
        return True
    return False


def _load_pairs(spec: TLSServer) -> list[KeyPair]:
    """Read, or make, the keys and certificates of a server."""
    from asyncendpoints import certificates  # takes long to import

    if spec.selfsigned is not None:
        return [certificates.make_development_pair(spec.selfsigned, datetime.now(UTC))]
    if spec.path is not None:
        return certificates.read_directory(spec.path, spec.passphrase)
    private_key = spec.private_key or "server.pem"
    pair = certificates.read_pair(
        private_key, spec.cert_key, spec.extra_cert_chain, spec.passphrase
    )
    return [pair]


def _hint(spec: TLSServer) -> str:
    """Say where certificates can come from, to who has named no source."""
    if spec.path is None and spec.private_key is None and spec.selfsigned is None:
        return (
            "certificates come from private_key=FILE, from the directory path=DIR, "
            "or for development from selfsigned=NAME"
        )
    return ""


class TLSAcceptor:
    """Shakes hands with clients, with the certificates that were last loaded."""

    def __init__(self, spec: TLSServer) -> None:
        self._spec = spec
        #: What the certificates say that the server shows, the default one first.
        self.certificates: tuple[CertificateFacts, ...]
        self._load()

    def _load(self) -> None:
        spec = self._spec
        terms = ServerTerms(
            spec.alpn or (), spec.min_version, spec.ciphers, spec.client_ca, spec.dh_parameters
        )
        try:
            pairs = _load_pairs(spec)
            context = server_context(pairs, terms)
        except KeyFileError as error:
            raise ListenError(spec, str(error), _hint(spec)) from error
        self._context = context
        self.certificates = tuple(pair.facts for pair in pairs)

    def reload(self) -> None:
        """Read the files again, for connections that come from here on; if they are bad, keep the old ones.

        A certificate for development is kept, so that its pin stays.

        Raises:
            ListenError: The files are bad.
        """
        if self._spec.selfsigned is None:
            self._load()

    async def accept(
        self, sock: socket.socket, factory: Callable[[], P], timeout: float
    ) -> tuple[asyncio.Transport, P]:
        peer = peer_address(sock)
        try:
            return await secure_accepted(sock, Handover(factory), self._context, timeout)
        except BrokenHandshakeError as failure:
            error = failure.error
            if isinstance(error, ConnectionAbortedError) and error.errno is None:
                # How asyncio says that the time is over.
                problem = f"the client took more than {timeout:g} s for the TLS handshake"
            else:
                problem = handshake_problem(error, "client")
            raise HandshakeError(peer, problem) from error
