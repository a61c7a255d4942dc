"""Authoritative data: what a zone says to a question.

The law: a table is never changed. Outcomes of names that exist are kept ready, others are made of bodies that
they share.

Pure: nothing here waits, opens a file or looks at a clock.

Source: RFC 1034, section 4.3.2; RFC 4592 for wildcards; RFC 6672 for DNAME; RFC 2308 for what there is not.
"""

from __future__ import annotations

from math import inf
from struct import Struct
from typing import TYPE_CHECKING, ClassVar, Final

from asyncendpoints.dns.codes import Rcode
from asyncendpoints.dns.names import ROOT, format_name, is_subdomain, parent
from asyncendpoints.dns.outcome import PASS, Answer, NoData, NXDomain, Outcome, Referral, Response
from asyncendpoints.dns.records import Records, Type
from asyncendpoints.dns.scan import end_of_name
from asyncendpoints.dns.sections import Body, Sections, encode_body
from asyncendpoints.dns.zonetable import ALIAS, BELOW, CUT, DNAME, WILDCARD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncendpoints.dns.query import Query
    from asyncendpoints.dns.zonetable import Table

__all__ = ["Authority"]

#: The most links of a chain of aliases that are followed in a zone.
MOST_LINKS: Final = 12
#: How many outcomes, and how many bodies of referrals, a zone keeps ready; some half a kilobyte each.
MOST_READY: Final = 8192

#: Where a name is: it has a node, or a wildcard that stands for it; at or below a cut; below a DNAME; nowhere
#: in the zone; outside of it.
_HERE, _CUT, _DNAME, _NOWHERE, _OUTSIDE = range(5)
#: A node whose records are not this zone's to answer with.
_HIDDEN = CUT | BELOW

#: Where the name of a host begins in the data of those types that need the addresses of hosts.
_HOSTS = {Type.NS: 0, Type.MX: 2, Type.SRV: 6}
_SERVICES = {Type.SVCB, Type.HTTPS}
#: Types whose answers are more than the records as they stand in the table: there are names that can be
#: compressed, or additional records.
_COMPOSED = {Type.CNAME, Type.SOA, Type.PTR, *_HOSTS, *_SERVICES}
_ADDRESSES = (Type.A, Type.AAAA)

_COUNTS = Struct("!HHH")


class Authority:
    """A resolver that has the authority over a zone.

    Args:
        table: The records.
        rotate: Whether the records of a set come in another order each time. That costs some ten times the
            work, and nothing remembers the replies; most clients choose for themselves anyway.
    """

    #: Another object after each change of any zone, so that who has many need not look at all.
    last_change: ClassVar[object] = object()

    def __init__(self, table: Table, *, rotate: bool = False) -> None:
        #: Another value after each change of the zone.
        self.version = 0
        self._rotate = rotate
        self._turn = 0
        self._install(table)

    def _install(self, table: Table) -> None:
        """Answer from a table from here on."""
        self._table = table
        self._data = table.data
        #: The key of the zone's first name.
        self.apex = table.apex
        soa = table.records_at(table.find(table.apex), Type.SOA, table.apex)
        assert soa is not None  # there is no table without one
        minimum = int.from_bytes(soa.rdatas[0][-4:], "big")
        #: The SOA as it stands in a negative answer. Source: RFC 2308, section 3.
        self._soa = soa._replace(ttl=min(soa.ttl, minimum))
        #: Outcomes of names that exist, by type and name, and how many there are.
        self._ready: dict[int, dict[bytes, Outcome]] = {}
        self._ready_count = 0
        #: Bodies of answers from wildcards by node and type.
        self._wild: dict[tuple[int, int], Body] = {}
        #: Bodies of negative answers by the size of the name that was asked for.
        self._negatives: dict[int, Body] = {}
        #: Bodies of referrals by the name of the zone below, and that size.
        self._referrals: dict[tuple[bytes, int], Body] = {}
        self.version += 1
        Authority.last_change = object()

    @property
    def name(self) -> str:
        """The name of the zone as text, without a final dot; that of the root is ``"."``."""
        return format_name(self.apex)

    @property
    def records(self) -> int:
        """How many records the zone has."""
        return self._table.records

    def resolve(self, query: Query, /) -> Outcome:
        """Answer from the zone; names outside of it are passed."""
        if self._rotate:
            return self._rotated(query)
        ready = self._ready.get(query.qtype)
        if ready is not None:
            outcome = ready.get(query.key)
            if outcome is not None:
                return outcome
        return self._look_up(query.key, query.qtype)

    def _rotated(self, query: Query) -> Outcome:
        """Answer with the records of each set in the next order."""
        outcome = self._look_up(query.key, query.qtype)
        if not isinstance(outcome, Answer):
            return outcome
        self._turn += 1
        answer, authority, additional = outcome.sections
        turned = Answer(
            [_turned(each, self._turn) for each in answer],
            authority,
            [_turned(each, self._turn) for each in additional],
            aa=True,
            rcode=outcome.rcode,
        )
        turned.target = outcome.target
        return turned

    def _look_up(self, key: bytes, qtype: int) -> Outcome:
        """Answer what there is no outcome ready for."""
        place, node, owner = self._locate(key, qtype)
        if place == _NOWHERE:
            return NXDomain.of_body(key, self._negative(key), aa=True, until=inf)
        if place == _CUT:
            return Referral.of_body(key, self._referral(key, owner), until=inf)
        if place == _OUTSIDE:
            return PASS
        if place == _DNAME:
            return self._composed(key, qtype)
        body = self._wild.get((node, qtype))
        if body is not None:
            return Answer.of_body(key, body, aa=True, until=inf)
        found = self._table.find_set(node, qtype)
        outcome: Outcome
        if found is None:
            if not self._data[node] & ALIAS:
                return NoData.of_body(key, self._negative(key), aa=True, until=inf)
            outcome = self._composed(key, qtype)
        elif qtype in _COMPOSED:
            outcome = self._composed(key, qtype)
        else:
            body = Body(_COUNTS.pack(found[0], 0, 0), found[1])
            outcome = Answer.of_body(key, body, aa=True, until=inf)
            if owner != key:
                self._keep_wild(node, qtype, body)
        if owner == key:
            self._keep(key, qtype, outcome)
        return outcome

    def _keep(self, key: bytes, qtype: int, outcome: Outcome) -> None:
        """Have an outcome ready for the next time."""
        if self._ready_count >= MOST_READY:
            self._ready, self._ready_count = {}, 0
        self._ready.setdefault(qtype, {})[key] = outcome
        self._ready_count += 1

    def _keep_wild(self, node: int, qtype: int, body: Body) -> None:
        """Have the body of the answers from a wildcard ready, whatever name is asked for."""
        if len(self._wild) >= MOST_READY:
            self._wild.clear()
        self._wild[node, qtype] = body

    def _locate(self, key: bytes, qtype: int) -> tuple[int, int, bytes]:
        """Find the place of a name, the node that decides, and whose node that is."""
        find = self._table.find
        owner = key
        node = find(key)
        if not node:
            if not is_subdomain(key, self.apex):
                return _OUTSIDE, 0, key
            while not node:
                owner = owner[1 + owner[0] :]
                node = find(owner)
        flags = self._data[node]
        if flags & _HIDDEN and not (qtype == Type.DS and owner == key and flags & _HIDDEN == CUT):
            return _CUT, node, self._cut_above(owner)
        if owner == key:
            return _HERE, node, key
        if flags & DNAME:
            return _DNAME, node, owner
        if flags & WILDCARD:
            owner = b"\1*" + owner
            return _HERE, find(owner), owner
        return _NOWHERE, node, owner

    def _cut_above(self, key: bytes) -> bytes:
        """Give the name of the zone below that a name belongs to."""
        while self._data[self._table.find(key)] & BELOW:
            key = parent(key)
        return key

    def _negative(self, key: bytes) -> Body:
        """Give the body of an answer that there is nothing."""
        body = self._negatives.get(len(key))
        if body is None:
            sections = Sections((), (self._soa,))
            body = encode_body(key, sections, varying=len(key) - len(self.apex))
            self._negatives[len(key)] = body
        return body

    def _referral(self, key: bytes, cut: bytes) -> Body:
        """Give the body of a referral to a zone below."""
        place = cut, len(key)
        body = self._referrals.get(place)
        if body is None:
            if len(self._referrals) >= MOST_READY:
                self._referrals.clear()
            sections, glue = self._refer((), cut)
            body = encode_body(key, sections, glue, varying=len(key) - len(cut))
            self._referrals[place] = body
        return body

    def _refer(self, answer: tuple[Records, ...], cut: bytes) -> tuple[Sections, int]:
        """Give the sections of a referral, and how many sets of records are glue that has to be there.

        Source: RFC 9471, section 3.
        """
        ns = self._table.records_at(self._table.find(cut), Type.NS, cut)
        assert ns is not None  # it is what makes it a cut
        hosts = dict.fromkeys([each.lower() for each in ns.rdatas])
        needed = [each for host in hosts if is_subdomain(host, cut) for each in self._at(host)]
        others = [each for host in hosts if not is_subdomain(host, cut) for each in self._at(host)]
        return Sections(answer, (ns,), (*needed, *others)), len(needed)

    def _at(self, host: bytes) -> Iterator[Records]:
        """Give the addresses of a host, glue or not, as far as they are here."""
        node = self._table.find(host)
        if not node:
            place, node, _ = self._locate(host, Type.A)
            if place != _HERE:
                return
        for rtype in _ADDRESSES:
            records = self._table.records_at(node, rtype, host)
            if records is not None:
                yield records

    def _composed(self, key: bytes, qtype: int) -> Response:
        """Make the answer to a question from the records, over the aliases that there are.

        Source: RFC 1034, section 4.3.2, steps 3 and 4; RFC 6604, section 3, for the code of a chain.
        """
        answer: list[Records] = []
        name: bytes | None = key
        seen: set[bytes] = set()
        while name is not None and name not in seen and len(seen) <= MOST_LINKS:
            seen.add(name)
            place, node, owner = self._locate(name, qtype)
            if place == _HERE:
                if answer and self._table.find_set(node, qtype) is not None:
                    return self._after(answer, key, name, qtype)
                records = self._table.records_at(node, qtype, name)
                if records is not None:
                    return self._answer(key, records)
                records = self._table.records_at(node, Type.CNAME, name)
                if records is None:
                    return self._made(NoData, key, Sections(tuple(answer), (self._soa,)))
                answer.append(records)
                name = records.rdatas[0].lower()
            elif place == _DNAME:
                renamed = self._rename(name, node, owner)
                answer += [each for each in renamed if each not in answer]
                if len(renamed) == 1:
                    return self._made(Answer, key, Sections(tuple(answer)), rcode=Rcode.YXDOMAIN)
                name = None if qtype == Type.CNAME else renamed[1].rdatas[0].lower()
            elif place == _CUT:
                sections, glue = self._refer(tuple(answer), owner)
                return self._made(Answer, key, sections, glue, target=name)
            elif place == _NOWHERE:
                return self._made(NXDomain, key, Sections(tuple(answer), (self._soa,)))
            else:
                return self._made(Answer, key, Sections(tuple(answer)), target=name)
        return self._made(Answer, key, Sections(tuple(answer)))

    def _rename(self, name: bytes, node: int, owner: bytes) -> list[Records]:
        """Give the DNAME over a name and the CNAME that it stands for; the former alone if that is too long.

        Source: RFC 6672, section 3.
        """
        dname = self._table.records_at(node, Type.DNAME, owner)
        assert dname is not None  # the flag says so
        target = name[: -len(owner)] + dname.rdatas[0]
        if len(target) > 255:
            return [dname]
        return [dname, Records(name, Type.CNAME, dname.ttl, (target,))]

    def _answer(self, key: bytes, records: Records) -> Response:
        """Make an answer of the records that were asked for."""
        more = dict.fromkeys(self._more(records, {records.owner}))
        return self._made(Answer, key, Sections((records,), (), tuple(more)))

    def _after(self, answer: list[Records], key: bytes, name: bytes, qtype: int) -> Response:
        """Make an answer of aliases, and of what the name at their end has, which is there or soon is."""
        chain = self._made(Answer, key, Sections(tuple(answer)))
        rest = self._ready.get(qtype, {}).get(name) or self._look_up(name, qtype)
        assert isinstance(rest, Response)  # it is in this zone
        return rest.after(chain)

    def _more(self, records: Records, seen: set[bytes]) -> Iterator[Records]:
        """Give the records that a client will want next.

        Source: RFC 1035, section 3.3; RFC 2782; RFC 9460, section 4.1.
        """
        if records.rtype in _HOSTS:
            for rdata in records.rdatas:
                yield from self._at(rdata[_HOSTS[records.rtype] :].lower())
        elif records.rtype in _SERVICES:
            for rdata in records.rdatas:
                yield from self._of_service(records, rdata, seen)

    def _of_service(self, records: Records, rdata: bytes, seen: set[bytes]) -> Iterator[Records]:
        """Give the addresses of a service, or the records that it is an alias of."""
        is_alias = not any(rdata[:2])
        target = rdata[2 : end_of_name(rdata, 2)].lower()
        if target == ROOT:
            target = ROOT if is_alias else records.owner
        if is_alias and target not in seen and (node := self._table.find(target)):
            seen.add(target)
            further = self._table.records_at(node, records.rtype, target)
            if further is not None:
                yield further
                yield from self._more(further, seen)
        yield from self._at(target)

    def _made(
        self,
        kind: type[Response],
        key: bytes,
        sections: Sections,
        core_additional: int = 0,
        *,
        rcode: int | None = None,
        target: bytes | None = None,
    ) -> Response:
        """Make an outcome of records."""
        body = encode_body(key, sections, core_additional)
        return kind.of_body(key, body, aa=True, until=inf, rcode=rcode, target=target)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} of {self.records} records>"


def _turned(records: Records, turn: int) -> Records:
    """Begin the records of a set with another one."""
    start = turn % len(records.rdatas)
    return records._replace(rdatas=records.rdatas[start:] + records.rdatas[:start])
