"""Every exception of the library.

The tree::

    EndpointError
    ├── DescriptionError (ValueError)         a description that cannot be read
    ├── SpecError (ValueError)                a spec built with a value out of range
    ├── ConnectError (OSError)                a connection that did not come about
    │   ├── ConnectNotFoundError (FileNotFoundError)
    │   ├── ConnectPermissionError (PermissionError)
    │   ├── ConnectRefusedError (ConnectionRefusedError)
    │   ├── ConnectTimeoutError (TimeoutError)
    │   ├── ProxyError                        a proxy that opened no tunnel
    │   ├── ResolveError (socket.gaierror)
    │   │   └── NotOfferedError               the domain says that it does not offer the service
    │   └── TLSError (ssl.SSLError)
    │       └── CertificateError (ssl.SSLCertVerificationError)
    ├── ListenError (OSError)                 an endpoint that cannot be listened on
    │   ├── AddressInUseError
    │   └── ListenPermissionError (PermissionError)
    ├── KeyFileError (ValueError)             a file of keys or certificates that cannot be used
    ├── DomainNameError (ValueError)          a text that is no domain name
    ├── RecordError (ValueError)              a value that is no record data of its type
    ├── RouteError (ValueError)               a function that cannot answer for a name
    ├── DNSError (socket.gaierror)            a lookup without a result
    │   ├── NXDomainError                     the name does not exist
    │   ├── NoDataError                       the name has no such records
    │   │   └── ServiceNotOfferedError        the domain says that it does not offer the service
    │   ├── ServFailError                     nobody could find out
    │   ├── DNSRefusedError                   the server does not answer this question
    │   └── DNSTimeoutError (TimeoutError)    no answer in time
    ├── WireError (ValueError)                bytes that are no DNS message
    ├── ProxyHeaderError (ValueError)         bytes that are no header of the PROXY protocol
    ├── ProxyReplyError (ValueError)          an answer of a proxy that opens no tunnel
    ├── ZoneError (ValueError)                a zone that cannot be served
    ├── ServiceStoppedError (ConnectionAbortedError)   a connection that a stopped service will not make
    └── HandshakeError                        a client that a server could not accept

Each leaf also inherits the exception that a caller of plain asyncio already catches. The values are
attributes; the text is made from them.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from difflib import get_close_matches
from socket import EAI_AGAIN, EAI_FAIL, EAI_NONAME, gaierror
from ssl import SSLCertVerificationError, SSLError
from typing import TYPE_CHECKING, Self

from asyncendpoints.masking import excerpt, printable, shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints.addresses import Address
    from asyncendpoints.specs import ClientSpec, ServerSpec

__all__ = [
    "AddressInUseError",
    "AttemptFailure",
    "CertificateError",
    "ConnectError",
    "ConnectNotFoundError",
    "ConnectPermissionError",
    "ConnectRefusedError",
    "ConnectTimeoutError",
    "DNSError",
    "DNSRefusedError",
    "DNSTimeoutError",
    "DescriptionError",
    "DomainNameError",
    "EndpointError",
    "HandshakeError",
    "KeyFileError",
    "ListenError",
    "ListenPermissionError",
    "NXDomainError",
    "NoDataError",
    "NotOfferedError",
    "ProxyError",
    "ProxyHeaderError",
    "ProxyReplyError",
    "RecordError",
    "ResolveError",
    "RouteError",
    "ServFailError",
    "ServiceNotOfferedError",
    "ServiceStoppedError",
    "SpecError",
    "TLSError",
    "WireError",
    "ZoneError",
    "nearest",
    "raise_together",
]


class EndpointError(Exception):
    """The base of every error of this library."""


class DescriptionError(EndpointError, ValueError):
    """A description that cannot be read.

    Attributes:
        text: The whole description, secrets included: not for logs.
        position: Where it went wrong: an index into ``text``, 0 to ``len(text)``.
        problem: What is wrong there and what would be right, without the text.
        names: The arguments of the kinds in the text, as far as these are known. One of them ends a secret
            before it; anything else may be a piece of the secret, and is not shown.
    """

    def __init__(
        self, text: str, position: int, problem: str, names: frozenset[str] = frozenset()
    ) -> None:
        super().__init__(text, position, problem)
        self.text = text
        self.position = position
        self.problem = problem
        self.names = names

    def __str__(self) -> str:
        shown, column = excerpt(self.text, self.position, self.names)
        return f"{shown or 'empty text'}: {self.problem}\n  {shown}\n  {' ' * column}^"

    def __repr__(self) -> str:
        shown, _ = excerpt(self.text, self.position, self.names)
        return f"{type(self).__name__}({shown!r}, {self.position}, {self.problem!r})"


class SpecError(EndpointError, ValueError):
    """A spec built from Python with a value that its field does not take.

    Attributes:
        field: The name of the field.
        problem: What is wrong and what would be right.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.field = field
        self.problem = problem

    def __str__(self) -> str:
        return self.problem


@dataclass(frozen=True, slots=True)
class AttemptFailure:
    """One address that did not answer."""

    address: Address
    error: OSError
    #: How long the attempt ran, in seconds.
    seconds: float

    def __str__(self) -> str:
        return f"{self.address}: {_reason(self.error)}"


class ConnectError(EndpointError, OSError):
    """A connection that did not come about.

    Attributes:
        endpoint: The spec that was connected to.
        stage: Where it stopped: ``"resolve"``, ``"connect"``, ``"proxy"``, ``"tls"``, or ``"prepare"`` with a
            `ClientService`.
        attempts: Every address that failed, in the order in which they failed.
        problem: What happened.
        errno: The error number that all attempts agree on, or None.

    As with `OSError`, the number can decide the class: `ConnectNotFoundError`, `ConnectPermissionError`.
    """

    def __new__(
        cls,
        endpoint: ClientSpec,  # noqa: ARG004 - as __init__
        stage: str,  # noqa: ARG004
        problem: str,
        attempts: Sequence[AttemptFailure] = (),  # noqa: ARG004
        errno: int | None = None,
    ) -> Self:
        chosen = _CONNECT_ERRORS.get(errno, cls) if cls is ConnectError else cls
        return super().__new__(chosen, errno, problem)  # type: ignore[return-value]  # a subclass

    def __init__(
        self,
        endpoint: ClientSpec,
        stage: str,
        problem: str,
        attempts: Sequence[AttemptFailure] = (),
        errno: int | None = None,
    ) -> None:
        super().__init__(errno, problem)
        self.errno = errno
        self.endpoint = endpoint
        self.stage = stage
        self.attempts = tuple(attempts)
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.endpoint.display()}: {self.problem}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.endpoint, self.stage, self.problem, self.attempts, self.errno)


class ConnectNotFoundError(ConnectError, FileNotFoundError):
    """There is no socket at the path."""


class ConnectPermissionError(ConnectError, PermissionError):
    """This user may not connect there."""


class ConnectRefusedError(ConnectError, ConnectionRefusedError):
    """Every address refused the connection."""


class ConnectTimeoutError(ConnectError, TimeoutError):
    """The time given to a connect ran out; ``stage`` says where."""


class ProxyError(ConnectError):
    """A proxy that opened no tunnel.

    Attributes:
        code: The reply code of SOCKS5 or the status of HTTP; None if the proxy gave none.

    Where one says the same as an error number of the system, ``errno`` is that number.
    """

    code: int | None = None

    def __reduce__(self) -> tuple[object, ...]:
        return *super().__reduce__(), {"code": self.code}


class ResolveError(ConnectError, gaierror):
    """The host name has no address, or the lookup failed; ``errno`` is an ``EAI_`` number."""


class NotOfferedError(ResolveError):
    """The domain says that it does not offer the service.

    Source: RFC 2782, page 4, "Target".
    """


class TLSError(ConnectError, SSLError):
    """The TLS handshake failed."""


class CertificateError(TLSError, SSLCertVerificationError):
    """The certificate of the peer is not the one that was wanted."""


class ServiceStoppedError(EndpointError, ConnectionAbortedError):
    """A `ClientService` is stopped, and will make no connection.

    Attributes:
        endpoint: The spec that it connected to.
    """

    def __init__(self, endpoint: ClientSpec) -> None:
        super().__init__(endpoint)
        self.endpoint = endpoint

    def __str__(self) -> str:
        return f"{self.endpoint.display()}: the service is stopped"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class ListenError(EndpointError, OSError):
    """An endpoint that cannot be listened on.

    Attributes:
        endpoint: The spec that was to be bound.
        problem: What happened.
        hint: What would help, or an empty text.
        errno: The error number, or None.

    As with `OSError`, the number can decide the class: `ListenPermissionError`.
    """

    def __new__(
        cls,
        endpoint: ServerSpec,  # noqa: ARG004 - as __init__
        problem: str,
        hint: str = "",  # noqa: ARG004
        errno: int | None = None,
    ) -> Self:
        chosen = _LISTEN_ERRORS.get(errno, cls) if cls is ListenError else cls
        return super().__new__(chosen, errno, problem)  # type: ignore[return-value]  # a subclass

    def __init__(
        self, endpoint: ServerSpec, problem: str, hint: str = "", errno: int | None = None
    ) -> None:
        super().__init__(errno, problem)
        self.errno = errno
        self.endpoint = endpoint
        self.problem = problem
        self.hint = hint

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.endpoint.display()}: {self.problem}{hint}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.endpoint, self.problem, self.hint, self.errno)


class ListenPermissionError(ListenError, PermissionError):
    """This user may not listen there."""


class AddressInUseError(ListenError):
    """Another socket has the address; ``hint`` says whose it is where that can be found out."""


class KeyFileError(EndpointError, ValueError):
    """A file of keys or certificates that cannot be used.

    Attributes:
        path: The file or the directory.
        problem: What is wrong with it.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


class DomainNameError(EndpointError, ValueError):
    """A text that is no domain name.

    Attributes:
        text: The text.
        problem: What is wrong with it and what would be right.
    """

    def __init__(self, text: str, problem: str) -> None:
        super().__init__(text, problem)
        self.text = text
        self.problem = problem

    def __str__(self) -> str:
        return f"{shorten(self.text)}: {self.problem}"


class RecordError(EndpointError, ValueError):
    """A value that is no record data of its type.

    Attributes:
        value: What was given.
        type: The record type in text, such as ``"A"``.
        problem: What is wrong and what would be right.
    """

    def __init__(self, value: object, type: str, problem: str) -> None:  # noqa: A002 - the field's term
        super().__init__(value, type, problem)
        self.value = value
        self.type = type
        self.problem = problem

    def __str__(self) -> str:
        return f"{shorten(str(self.value))}: {self.problem}"


class RouteError(EndpointError, ValueError):
    """A function that cannot answer for a name or a pattern of names.

    Attributes:
        text: The name or the pattern.
        problem: What is wrong and what would be right.
    """

    def __init__(self, text: str, problem: str) -> None:
        super().__init__(text, problem)
        self.text = text
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.text}: {self.problem}"


class DNSError(EndpointError, gaierror):
    """A lookup without a result.

    Attributes:
        name: What was looked up, as text.
        type: The record type, such as ``"A"``.
        problem: What happened.
        rcode: The response code, 0 to 4095, or None if there was no answer.
        ede: The extended error that came with it, a pair of a number and a text, or None.
        errno: The ``EAI_`` number that ``getaddrinfo`` would have given.
    """

    #: The ``EAI_`` number of this class.
    number = EAI_FAIL

    def __init__(
        self,
        name: str,
        type: str,  # noqa: A002 - the field's term
        problem: str,
        rcode: int | None = None,
        ede: tuple[int, str] | None = None,
    ) -> None:
        super().__init__(self.number, problem)
        self.name = name
        self.type = type
        self.problem = problem
        self.rcode = rcode
        self.ede = ede

    @property
    def reason(self) -> str:
        """What happened, and what the extended error says more: at most 80 characters, safe to show."""
        text = "" if self.ede is None else printable(self.ede[1][:81])
        text = text if len(text) <= 80 else f"{text[:79]}…"
        return self.problem if not text or text in self.problem else f"{self.problem} ({text})"

    def __str__(self) -> str:
        return f"{self.name} {self.type}: {self.reason}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.name, self.type, self.problem, self.rcode, self.ede)


class NXDomainError(DNSError):
    """The name does not exist."""

    number = EAI_NONAME


class NoDataError(DNSError):
    """The name exists, and has no records of that type."""

    number = EAI_NONAME


class ServiceNotOfferedError(NoDataError):
    """The domain says that it does not offer this service."""


class ServFailError(DNSError):
    """Nobody could find out."""

    number = EAI_AGAIN


class DNSRefusedError(DNSError):
    """The server does not answer this question."""


class DNSTimeoutError(DNSError, TimeoutError):
    """There was no answer in time."""

    number = EAI_AGAIN


class WireError(EndpointError, ValueError):
    """Bytes that are no DNS message.

    Attributes:
        size: How many bytes there are.
        problem: What is wrong with them, and at which byte.
    """

    def __init__(self, size: int, problem: str) -> None:
        super().__init__(size, problem)
        self.size = size
        self.problem = problem

    def __str__(self) -> str:
        return f"DNS message of {self.size} bytes: {self.problem}"


class ProxyReplyError(EndpointError, ValueError):
    """An answer of a proxy that opens no tunnel; the cause of a `ProxyError`.

    Attributes:
        problem: What is wrong: what the proxy does, without a subject; with a code, what that means.
        code: The reply code of SOCKS5 or the status of HTTP, or None.
        errno: The error number that says the same, or None.
    """

    def __init__(self, problem: str, code: int | None = None, errno: int | None = None) -> None:
        super().__init__(problem, code, errno)
        self.problem = problem
        self.code = code
        self.errno = errno

    def __str__(self) -> str:
        return f"the proxy {self.problem}" if self.code is None else self.problem


class ProxyHeaderError(EndpointError, ValueError):
    """Bytes that are no header of the PROXY protocol, or values that no such header has.

    Attributes:
        problem: What is wrong with them.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return f"PROXY header: {self.problem}"


class ZoneError(EndpointError, ValueError):
    """A zone that cannot be served.

    Attributes:
        path: The file, which may be one that another includes; ``"<text>"`` or ``"<dict>"`` without one.
        line: Where in it, from 1; 0 where the zone as a whole is wrong.
        problem: What is wrong.
    """

    def __init__(self, path: str, line: int, problem: str) -> None:
        super().__init__(path, line, problem)
        self.path = path
        self.line = line
        self.problem = problem

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place}: {self.problem}"


_CONNECT_ERRORS: dict[int | None, type[ConnectError]] = {
    errno.ENOENT: ConnectNotFoundError,
    errno.EACCES: ConnectPermissionError,
    errno.EPERM: ConnectPermissionError,
}
_LISTEN_ERRORS: dict[int | None, type[ListenError]] = {
    errno.EACCES: ListenPermissionError,
    errno.EPERM: ListenPermissionError,
}


class HandshakeError(EndpointError):
    """A client that connected and could not be accepted; given to ``on_error`` of a server.

    Attributes:
        peer: The address of the client.
        problem: What happened. The cause is the error itself.
    """

    def __init__(self, peer: Address, problem: str) -> None:
        super().__init__(peer, problem)
        self.peer = peer
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.peer}: {self.problem}"


def nearest(word: str, known: Sequence[str]) -> str:
    """Give ``" (did you mean 'x'?)"`` where a known word is close, else an empty text."""
    close = get_close_matches(word.lower(), [name.lower() for name in known], n=1)
    if not close:
        return ""
    return f" (did you mean {next(name for name in known if name.lower() == close[0])!r}?)"


def raise_together(errors: Sequence[Exception]) -> None:
    """Raise the first of several errors, with what the others say as its notes; nothing if there is none."""
    if not errors:
        return
    first, *others = errors
    for other in others:
        for text in (str(other), *getattr(other, "__notes__", ())):
            first.add_note(text)
    raise first


def _reason(error: OSError) -> str:
    """Give the text of an error without its number."""
    return (error.strerror or str(error) or type(error).__name__).lower()
