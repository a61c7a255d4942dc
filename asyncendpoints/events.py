"""What happens during a connect, step by step: given to ``on_event``.

Every event has ``time``, the clock of the loop in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncendpoints.addresses import Address

__all__ = [
    "AttemptAbandoned",
    "AttemptFailed",
    "AttemptStarted",
    "Connected",
    "Event",
    "HandshakeFailed",
    "HandshakeFinished",
    "HandshakeStarted",
    "LookupFailed",
    "LookupFinished",
    "LookupStarted",
]


@dataclass(frozen=True, slots=True)
class Event:
    """The base of all events."""

    time: float


@dataclass(frozen=True, slots=True)
class LookupStarted(Event):
    """The addresses of a host name are being looked up."""

    host: str


@dataclass(frozen=True, slots=True)
class LookupFinished(Event):
    """The addresses are known, in the order in which they will be tried."""

    host: str
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class LookupFailed(Event):
    """The host name has no address, or the lookup failed."""

    host: str
    error: OSError


@dataclass(frozen=True, slots=True)
class AttemptStarted(Event):
    """A connection to one address has been begun."""

    address: Address


@dataclass(frozen=True, slots=True)
class AttemptFailed(Event):
    """An address refused, or could not be reached."""

    address: Address
    error: OSError


@dataclass(frozen=True, slots=True)
class AttemptAbandoned(Event):
    """An attempt was given up: another one won, or time ran out."""

    address: Address


@dataclass(frozen=True, slots=True)
class Connected(Event):
    """An address answered; the others are given up."""

    address: Address


@dataclass(frozen=True, slots=True)
class HandshakeStarted(Event):
    """TLS begins."""

    #: The name sent and checked, in A-labels.
    hostname: str


@dataclass(frozen=True, slots=True)
class HandshakeFinished(Event):
    """TLS is up."""

    hostname: str
    #: As ``ssl.SSLSocket.version`` gives it, such as ``"TLSv1.3"``.
    version: str
    cipher: str
    #: The protocol chosen by ALPN, or None.
    alpn: str | None


@dataclass(frozen=True, slots=True)
class HandshakeFailed(Event):
    """TLS did not come up."""

    hostname: str
    error: OSError
