"""What a server holds itself to, and what it has done."""

from __future__ import annotations

from dataclasses import dataclass

from asyncendpoints.quantities import check_number, check_seconds

__all__ = ["Limits", "Stats"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a server takes on. None is no limit.

    Above ``max_connections`` and ``max_handshakes`` connections wait in the backlog of the system; above
    ``max_per_peer`` they are reset.
    """

    #: Connections at one time, 1 or more.
    max_connections: int | None = None
    #: Connections from one IP address at one time, 1 or more.
    max_per_peer: int | None = None
    #: Connections that are not through their handshake, 1 or more.
    max_handshakes: int | None = None
    #: Seconds that a client has for its handshake, above 0.
    handshake_timeout: float = 30.0

    def __post_init__(self) -> None:
        for name in ("max_connections", "max_per_peer", "max_handshakes"):
            value = getattr(self, name)
            if value is not None:
                check_number(name, value)
        check_seconds("handshake_timeout", self.handshake_timeout)


@dataclass(frozen=True, slots=True)
class Stats:
    """What a server has done so far."""

    #: Connections accepted, those that were rejected or failed later included.
    accepted: int
    #: Connections open now.
    active: int
    #: Connections reset because of ``max_per_peer``.
    rejected: int
    #: Connections whose handshake failed or took too long.
    handshake_failed: int
    #: Times that the system refused to accept, as a rule for lack of descriptors.
    accept_errors: int
