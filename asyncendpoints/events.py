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
    "ProxyFailed",
    "ProxyFinished",
    "ProxyStarted",
    "QueryFinished",
    "QueryStarted",
    "TargetChosen",
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
class QueryStarted(Event):
    """A question of a lookup goes to a DNS resolver."""

    #: As text, without a final dot.
    name: str
    #: As text, such as ``"AAAA"``.
    type: str


@dataclass(frozen=True, slots=True)
class QueryFinished(Event):
    """The answer to a question of a lookup is there, or there is none."""

    name: str
    type: str
    #: The data of the records, as text.
    records: tuple[str, ...]
    #: Why there are no records, or None.
    error: OSError | None


@dataclass(frozen=True, slots=True)
class TargetChosen(Event):
    """A target of a service is tried: the first of all, or the next one after a failure."""

    host: str
    port: int
    #: Of its record, 0 to 65535; None for the domain itself, which stands in where there are no records.
    priority: int | None
    weight: int | None


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
class ProxyStarted(Event):
    """A proxy was reached, and is asked for a tunnel."""

    #: The host and port of the proxy, or the endpoint in its place, without secrets.
    proxy: str
    #: The host and port that the tunnel is to lead to.
    target: str


@dataclass(frozen=True, slots=True)
class ProxyFinished(Event):
    """The tunnel is open."""

    proxy: str
    target: str


@dataclass(frozen=True, slots=True)
class ProxyFailed(Event):
    """The proxy opened no tunnel."""

    proxy: str
    target: str
    error: OSError


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
