"""Names that mean the same everywhere, or nothing: they are answered here and never leave.

The zones are empty ones: a start of authority, a name server, and next to nothing else. What is asked of
``ipv4only.arpa`` goes on like any other name: behind a translator from IPv6 to IPv4 only the server that this
one forwards to knows the answer.

Pure.

Source: RFC 6303 for reverse zones, RFC 7793 for those of shared addresses; RFC 6761 for ``localhost``,
``invalid`` and ``test``; RFC 6762, section 22.1, for ``local``; RFC 7686 for ``onion``; RFC 9476 for ``alt``;
RFC 8375 for ``home.arpa``; RFC 9462, section 6.4, for ``resolver.arpa``; RFC 8880 for ``ipv4only.arpa``.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from asyncendpoints.dns.codes import EDE, EDECode
from asyncendpoints.dns.names import encode_name, format_name, is_subdomain, parent, reverse_name
from asyncendpoints.dns.outcome import Answer, NoData, NXDomain
from asyncendpoints.dns.records import Records, Type

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints.dns.outcome import Outcome
    from asyncendpoints.dns.query import Query

__all__ = ["localhost", "special"]

#: How long all of this can be believed, in seconds. Source: RFC 6303, section 3.
TTL: Final = 10_800

#: Serial, refresh, retry, expire and negative TTL of the zones. Source: RFC 6303, section 3.
_TIMES = b"".join(each.to_bytes(4, "big") for each in (1, 3600, 1200, 604_800, TTL))
_NOBODY = encode_name("nobody.invalid")

_LOCALHOST = encode_name("localhost")
_ADDRESSES = {Type.A: bytes((127, 0, 0, 1)), Type.AAAA: bytes(15) + b"\1"}

#: The reverse names of 127.0.0.1 and of ::1, and the names between the first and its zone.
_LOOPBACK = {encode_name(reverse_name(each)) for each in ("127.0.0.1", "::1")}
_BETWEEN = {encode_name("0.0.127.in-addr.arpa"), encode_name("0.127.in-addr.arpa")}


class _Zone(NamedTuple):
    """What is said about the names of one zone."""

    apex: bytes
    soa: Records
    nxdomain: NXDomain
    nodata: NoData


def special(query: Query) -> Outcome | None:
    """Answer a question for a special-use name.

    Args:
        query: Any question.

    Returns:
        The outcome, or None for an ordinary name. DS records of a reverse zone and of ``home.arpa`` belong
        to the zone above, which is an ordinary one.
    """
    key = query.key
    if not key.endswith(_ENDS):
        return None
    # The bytes at the end can be those of one long label.
    while key[0]:
        found = _ZONES.get(key)
        if found is not None:
            answer, zone = found
            return answer(query, zone)
        key = parent(key)
    return None


def localhost(query: Query) -> Outcome | None:
    """Give the outcome for ``localhost`` and all names below it, which are this machine for every resolver.

    Source: RFC 6761, section 6.3.
    """
    return special(query) if is_subdomain(query.key, _LOCALHOST) else None


def _answer_nothing(query: Query, zone: _Zone) -> Outcome:  # noqa: ARG001 - as the others
    """Say that there is no such name."""
    return zone.nxdomain


def _answer_localhost(query: Query, zone: _Zone) -> Outcome:
    """Give the loopback addresses for ``localhost`` and all names below it."""
    address = _ADDRESSES.get(query.qtype)
    return zone.nodata if address is None else _answer(query, address)


def _answer_resolver(query: Query, zone: _Zone) -> Outcome | None:
    """Say that this resolver has no encrypted counterpart that it would name."""
    return _answer_apex(query, zone) if query.key == zone.apex else zone.nodata


def _answer_local(query: Query, zone: _Zone) -> Outcome | None:
    """Answer from a zone that is empty, but for the reverse names of the loopback addresses."""
    if query.key in _LOOPBACK and query.qtype == Type.PTR:
        return _answer(query, _LOCALHOST)
    if query.key == zone.apex:
        return _answer_apex(query, zone)
    exists = query.key in _LOOPBACK or query.key in _BETWEEN
    return zone.nodata if exists else zone.nxdomain


def _answer_apex(query: Query, zone: _Zone) -> Outcome | None:
    if query.qtype == Type.DS:
        return None  # whoever validates needs the proof that the zone is not signed
    if query.qtype == Type.SOA:
        return _answer(query, zone.soa.rdatas[0])
    return _answer(query, zone.apex) if query.qtype == Type.NS else zone.nodata


def _answer(query: Query, rdata: bytes) -> Answer:
    return Answer((Records(query.key, query.qtype, TTL, (rdata,)),), aa=True, until=inf)


def _zone(apex: bytes) -> _Zone:
    soa = Records(apex, Type.SOA, TTL, (apex + _NOBODY + _TIMES,))
    said = f"special-use name: {format_name(apex)} is not forwarded unless it is named"
    nxdomain = NXDomain(soa, ede=EDE(EDECode.OTHER, said), until=inf)
    return _Zone(apex, soa, nxdomain, NoData(soa, until=inf))


def _reverse_zones() -> list[str]:
    """List the zones of addresses that mean nothing outside of a network."""
    ipv4 = ["10", "0", "127", "168.192", "254.169", "2.0.192", "100.51.198", "113.0.203"]
    ipv4 += ["255.255.255.255", *(f"{each}.172" for each in range(16, 32))]
    ipv4 += [f"{each}.100" for each in range(64, 128)]
    ipv6 = ["8.b.d.0.1.0.0.2", "d.f", *(f"{each}.e.f" for each in "89ab")]
    whole = [reverse_name("::"), reverse_name("::1")]
    return [
        *(f"{each}.in-addr.arpa" for each in ipv4),
        *(f"{each}.ip6.arpa" for each in ipv6),
        *whole,
    ]


#: What answers for a name and all below it, by the key of the name.
_ZONES: Final[dict[bytes, tuple[Callable[[Query, _Zone], Outcome | None], _Zone]]] = {
    encode_name(name): (answer, _zone(encode_name(name)))
    for answer, names in (
        (_answer_localhost, ["localhost"]),
        (_answer_nothing, ["alt", "invalid", "local", "onion", "test"]),
        (_answer_resolver, ["resolver.arpa"]),
        (_answer_local, ["home.arpa", *_reverse_zones()]),
    )
    for name in names
}

#: How all those names end: a look that costs ordinary names next to nothing.
_ENDS: Final = tuple(
    map(encode_name, ("arpa", "localhost", "alt", "invalid", "local", "onion", "test"))
)
