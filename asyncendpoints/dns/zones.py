"""Several zones as one resolver.

The law: nothing here knows a socket, and what a zone says is not changed, but that aliases are followed from
one zone to the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from asyncendpoints.dns.names import ROOT, format_name, parent
from asyncendpoints.dns.outcome import PASS, Outcome, Response
from asyncendpoints.dns.records import Type
from asyncendpoints.dns.resolver import MOST_LINKS, close, reload
from asyncendpoints.dns.zone import Authority

if TYPE_CHECKING:
    from asyncendpoints.dns.query import Query

__all__ = ["Zones"]


class Zones:
    """Zones, of which the one that a name belongs to answers; names in none of them are passed.

    That is the zone with the longest name that the one that is asked for ends in. A question for the DS
    records of a zone goes to the zone above it, if that is here too. An alias of a name in another of the
    zones is followed there.

    Args:
        zones: In any order, each of another name.

    Raises:
        ValueError: Two zones have the same name.
        TypeError: One of them is no zone.

    Source: RFC 1034, section 4.3.2, step 2; RFC 4035, section 3.1.4.1, for DS.
    """

    def __init__(self, *zones: Authority) -> None:
        self._zones: dict[bytes, Authority] = {}
        for each in zones:
            if not isinstance(each, Authority):
                raise TypeError(f"this is for zones, which {each!r} is not")
            if each.apex in self._zones:
                raise ValueError(f"there are two zones {format_name(each.apex)}")
            self._zones[each.apex] = each
        #: The last change of any zone when the versions were looked at.
        self._seen: object = None
        self._versions: tuple[int, ...] = ()

    @property
    def zones(self) -> tuple[Authority, ...]:
        """The zones."""
        return tuple(self._zones.values())

    @property
    def version(self) -> tuple[int, ...]:
        """Another value after each change of a zone."""
        if self._seen is not Authority.last_change:
            # First: one that comes meanwhile is seen the next time.
            self._seen = Authority.last_change
            self._versions = tuple([each.version for each in self._zones.values()])
        return self._versions

    def find(self, key: bytes) -> Authority | None:
        """Find the zone that a name belongs to.

        Args:
            key: The name in wire form, in lower case.
        """
        zones = self._zones
        while True:
            zone = zones.get(key)
            if zone is not None or not key[0]:
                return zone
            key = key[1 + key[0] :]

    def resolve(self, query: Query, /) -> Outcome:
        """Answer from the zone that the name belongs to."""
        zone = self._zone_for(query.key, query.qtype)
        if zone is None:
            return PASS
        outcome = zone.resolve(query)
        if isinstance(outcome, Response) and outcome.target is not None:
            return self._followed(query, outcome)
        return outcome

    def _zone_for(self, key: bytes, qtype: int) -> Authority | None:
        """Find the zone that answers a question."""
        zone = self.find(key)
        if qtype == Type.DS and zone is not None and key == zone.apex and key != ROOT:
            return self.find(parent(key)) or zone
        return zone

    def _followed(self, query: Query, outcome: Response) -> Response:
        """Follow an alias through the zones, until nothing is new."""
        seen = {query.key}
        while outcome.target is not None:
            target = outcome.target.lower()
            zone = self._zone_for(target, query.qtype)
            if zone is None:
                break
            if target in seen or len(seen) > MOST_LINKS:
                outcome.target = None  # nobody is to go on; this outcome is of here, and not shared
                break
            seen.add(target)
            rest = zone.resolve(query.with_name(target))
            assert isinstance(rest, Response)  # the zone was chosen by the name
            outcome = rest.after(outcome)
        return outcome

    async def reload(self) -> None:
        """Read all zones again that are from files, one after another.

        Raises:
            ZoneError: One or more could not be reloaded, and stay as they were: the first one's error, with
                those of others as its notes.
        """
        await reload(*self._zones.values())

    async def aclose(self) -> None:
        """Close those of the zones that have something to close."""
        await close(*self._zones.values())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._zones.values()))})"
