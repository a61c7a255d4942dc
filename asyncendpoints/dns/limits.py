"""How much a DNS server takes on."""

from __future__ import annotations

from dataclasses import dataclass

from asyncendpoints.limits import Limits
from asyncendpoints.quantities import check_number, check_seconds

__all__ = ["DNSLimits"]


@dataclass(frozen=True, slots=True)
class DNSLimits(Limits):
    """How much a DNS server takes on: of connections, as `Limits` says, and of queries.

    Raises:
        ValueError: One of them is out of range; the text says which.

    Source: RFC 7766, section 6.2, and RFC 9210, section 4, for connections; RFC 9715, section 3, for payload.
    """

    max_connections: int | None = 4096
    max_per_peer: int | None = 256
    max_handshakes: int | None = 256
    handshake_timeout: float = 10.0
    #: Seconds that a connection may take to its first whole query, above 0.
    first_timeout: float = 5.0
    #: Seconds that a connection may be open without a whole query or a reply to wait for, above 0.
    idle_timeout: float = 10.0
    #: Seconds that a client may take to read when ``max_write_bytes`` wait for it, and at the end, above 0.
    write_timeout: float = 5.0
    #: Queries of one connection that may wait for their replies, 1 or more; more are read when there is room.
    max_pipelined: int = 128
    #: The longest query over a connection, in bytes, 512 to 65,535; a longer one ends the connection.
    max_query_bytes: int = 4096
    #: Bytes of replies that may wait for a client to read, above which it gets no more queries answered.
    max_write_bytes: int = 262_144
    #: Queries of all clients that may wait for their replies, 1 or more; more get SERVFAIL.
    max_pending: int = 10_000
    #: Queries of one client, by its address, that may wait for their replies, 1 or more; more get SERVFAIL.
    max_pending_per_client: int = 1000
    #: Seconds that a query may wait for its reply, above 0; then it gets SERVFAIL.
    query_timeout: float = 4.5
    #: The largest UDP message, sent and received, in bytes, 512 to 4096.
    payload: int = 1232

    def __post_init__(self) -> None:
        Limits.__post_init__(self)  # not super(), which knows the class without its slots
        for name in ("first_timeout", "idle_timeout", "write_timeout", "query_timeout"):
            check_seconds(name, getattr(self, name))
        names = ("max_pipelined", "max_write_bytes", "max_pending", "max_pending_per_client")
        for name in names:
            check_number(name, getattr(self, name))
        for name, most in (("max_query_bytes", 65535), ("payload", 4096)):
            check_number(name, getattr(self, name), 512, most)
