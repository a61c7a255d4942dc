"""Every exception of the library.

The tree::

    EndpointError
    ├── DescriptionError (ValueError)         a description that cannot be read
    ├── SpecError (ValueError)                a spec built with a value out of range
    ├── ConnectError (OSError)                a connection that did not come about
    │   ├── ConnectRefusedError (ConnectionRefusedError)
    │   ├── ConnectTimeoutError (TimeoutError)
    │   ├── ResolveError (socket.gaierror)
    │   └── TLSError (ssl.SSLError)
    │       └── CertificateError (ssl.SSLCertVerificationError)
    ├── ListenError (OSError)                 an endpoint that cannot be listened on
    │   └── AddressInUseError
    └── HandshakeError                        a client that a server could not accept

Each leaf also inherits the exception that a caller of plain asyncio already catches. The values are
attributes; the text is made from them.
"""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints.addresses import Address
    from asyncendpoints.specs import ClientSpec, ServerSpec

__all__ = [
    "AddressInUseError",
    "AttemptFailure",
    "CertificateError",
    "ConnectError",
    "ConnectRefusedError",
    "ConnectTimeoutError",
    "DescriptionError",
    "EndpointError",
    "HandshakeError",
    "ListenError",
    "ResolveError",
    "SpecError",
    "TLSError",
    "mask",
    "nearest",
]

#: What the name of an argument whose value is a secret contains. A spec whose secret field has another
#: name is refused, so that a text can be masked without knowing its kind.
SECRET_NAME = re.compile(r"pass(?:word|phrase|wd)|secret|token", re.IGNORECASE)
_SECRET_WORDS = ("password", "passphrase", "passwd", "secret", "token")
_KEYED = re.compile(r"(?:(?<=[:\[])|^)((?:[^\\:=\[]|\\.)+)=(\[[^\]]*\]?|(?:[^\\:\]]|\\.)*)", re.DOTALL)


class EndpointError(Exception):
    """The base of every error of this library."""


class DescriptionError(EndpointError, ValueError):
    """A description that cannot be read.

    Attributes:
        text: The whole description, secrets included: not for logs.
        position: Where it went wrong: an index into ``text``, 0 to ``len(text)``.
        problem: What is wrong there and what would be right, without the text.
    """

    def __init__(self, text: str, position: int, problem: str) -> None:
        super().__init__(text, position, problem)
        self.text = text
        self.position = position
        self.problem = problem

    def __str__(self) -> str:
        shown, position = mask(self.text, self.position)
        caret = " " * (position + 2) + "^"
        return f"{shown}: {self.problem}\n  {shown}\n{caret}"


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
        stage: Where it stopped: ``"resolve"``, ``"connect"``, ``"proxy"`` or ``"tls"``.
        attempts: Every address that failed, in the order in which they failed.
        problem: What happened.
        errno: The error number that all attempts agree on, or None.
    """

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

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.endpoint, self.stage, self.problem, self.attempts, self.errno)


class ConnectRefusedError(ConnectError, ConnectionRefusedError):
    """Every address refused the connection."""


class ConnectTimeoutError(ConnectError, TimeoutError):
    """The time given to a connect ran out; ``stage`` says where."""


class ResolveError(ConnectError, socket.gaierror):
    """The host name has no address, or the lookup failed; ``errno`` is an ``EAI_`` number."""


class TLSError(ConnectError, ssl.SSLError):
    """The TLS handshake failed."""


class CertificateError(TLSError, ssl.SSLCertVerificationError):
    """The certificate of the peer is not the one that was wanted."""


class ListenError(EndpointError, OSError):
    """An endpoint that cannot be listened on.

    Attributes:
        endpoint: The spec that was to be bound.
        problem: What happened.
        hint: What would help, or an empty text.
        errno: The error number, or None.
    """

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

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.endpoint, self.problem, self.hint, self.errno)


class AddressInUseError(ListenError):
    """Another socket has the address; ``hint`` says whose it is where that can be found out."""


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


def mask(text: str, position: int = 0) -> tuple[str, int]:
    """Replace the values of secret arguments by ``***``, at any depth of nesting.

    Works on text that may be no valid description.

    Args:
        text: A description.
        position: An index into it.

    Returns:
        The masked text, and the index in it that stands where ``position`` stood.
    """
    pieces: list[str] = []
    end = 0
    moved = position
    for match in _KEYED.finditer(text):
        if not match[2] or not _is_secret(match[1]):
            continue
        start = match.start(2)
        pieces += [text[end:start], "***"]
        end = match.end(2)
        if position >= end:
            moved += len("***") - (end - start)
        elif position > start:
            moved -= position - start
    pieces.append(text[end:])
    return "".join(pieces), moved


def _is_secret(key: str) -> bool:
    """Tell whether an argument's name is, or nearly is, that of a secret."""
    if SECRET_NAME.search(key):
        return True
    return bool(get_close_matches(key.lower(), _SECRET_WORDS, n=1, cutoff=0.8))


def _reason(error: OSError) -> str:
    """Give the text of an error without its number."""
    return (error.strerror or str(error) or type(error).__name__).lower()
