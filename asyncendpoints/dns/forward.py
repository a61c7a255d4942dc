"""A resolver that asks other servers: ``Forward``.

Source: RFC 5452 and RFC 5625 for forwarders; RFC 9520, section 3, for how often others are asked.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from math import inf
from operator import attrgetter
from typing import TYPE_CHECKING, Final, Literal, Self, get_args

from asyncendpoints.addresses import unmapped
from asyncendpoints.dns.codes import EDE, EDECode
from asyncendpoints.dns.flight import Flight, Hasty
from asyncendpoints.dns.names import ROOT, encode_name, is_subdomain
from asyncendpoints.dns.outcome import PASS, Failure
from asyncendpoints.dns.query import CD, DO, Query
from asyncendpoints.dns.records import Type
from asyncendpoints.dns.resolvconf import ConfFile, ResolvConf
from asyncendpoints.dns.resolver import LOOP
from asyncendpoints.dns.special import special
from asyncendpoints.dns.timers import Wheel, wheel
from asyncendpoints.dns.upstream import Dice, OwnAddresses, Upstream, UpstreamStats
from asyncendpoints.dns.upstream_specs import parse_upstream
from asyncendpoints.quantities import check_number, check_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from asyncendpoints.dns.outcome import Outcome
    from asyncendpoints.specs import ClientSpec

__all__ = ["Forward", "Policy", "UpstreamStats"]

#: Which upstream is asked first: the first that works, each in turn, any, or the one that answers soonest.
Policy = Literal["sequential", "round-robin", "random", "fastest"]

#: The flags of a query that make its answer another one.
_KEPT: Final = CD | DO
#: How many questions may be in the air, at most: what the sockets to one upstream have room for.
_MOST_OUTSTANDING: Final = 65_536
#: How many times one upstream may be asked a question, at most.
_MOST_ATTEMPTS: Final = 100
#: Who has less time than this, in seconds, gets a timer of its own, so that the flight has time for others.
_HASTE: Final = 1.0

_FULL = Failure(ede=EDE(EDECode.NOT_READY, "too many questions wait for upstreams"))
_CLOSED = Failure(ede=EDE(EDECode.NOT_READY, "closed"))


@dataclass(frozen=True, slots=True)
class _Plan:
    """Who is asked, and how."""

    specs: tuple[ClientSpec, ...]
    policy: Policy
    attempts: int
    patience: float
    trust_ad: bool


class Forward:
    """Asks other servers, and gives their answers without what was not asked for.

    Without recursion it passes. Special-use names are answered here, and never leave unless ``only`` names
    them.

    Args:
        upstreams: Addresses, descriptions such as ``tls:9.9.9.9``, or specs; see `parse_upstream`.
        policy: Which of them is asked first.
        timeout: The longest time to an outcome, in seconds, above 0.
        attempts: How many times each may be asked, 1 to 100.
        patience: The longest time, in seconds, for which one is waited for before the next is asked as well;
            it is shorter for one that usually answers soon.
        only: Domains whose names are forwarded; for others it passes. As a rule all; ``["."]`` is all too,
            and names those for special use.
        trust_ad: Whether the AD bit of the upstreams is passed on: only where nobody can change it on its
            way.
        max_outstanding: How many questions may be in the air, 1 to 65,536; what is more is a failure.

    Raises:
        DescriptionError: A text is no description of a client.
        DomainNameError: One of ``only`` is no domain name.
        ValueError: There is no upstream, or a number is out of range.
        TypeError: ``only`` is a text, or a number is none.
    """

    #: Servers that ask this offer recursion.
    recursive: Final = True

    def __init__(
        self,
        *upstreams: str | ClientSpec,
        policy: Policy = "sequential",
        timeout: float = 5.0,
        attempts: int = 2,
        patience: float = 2.0,
        only: Iterable[str] = (),
        trust_ad: bool = False,
        max_outstanding: int = 10_000,
    ) -> None:
        if not upstreams:
            raise ValueError("a forwarder needs an upstream, as in Forward('9.9.9.9')")
        if policy not in get_args(Policy):
            raise ValueError(f"policy is {policy!r}, expected one of {', '.join(get_args(Policy))}")
        check_seconds("timeout", timeout)
        check_seconds("patience", patience)
        check_number("attempts", attempts, 1, _MOST_ATTEMPTS)
        check_number("max_outstanding", max_outstanding, 1, _MOST_OUTSTANDING)
        if isinstance(only, str):
            raise TypeError(f"only is a list of domains, not the text {only!r}")
        specs = tuple(map(parse_upstream, upstreams))
        self._plan = _Plan(specs, policy, attempts, patience, trust_ad)
        self._timeout = timeout
        self._only = tuple([encode_name(each).lower() for each in only])
        self._named = tuple(
            [
                each
                for each in self._only
                if each == ROOT or special(Query(each, Type.A)) is not None
            ]
        )
        self._most = max_outstanding
        self._file: ConfFile | None = None
        self._port = 53
        self._check_at = inf
        #: How many times each upstream may be asked.
        self.attempts = attempts
        self._loop: asyncio.AbstractEventLoop | None = None
        #: The timers of the loop.
        self.wheel: Wheel
        self._dice = Dice()
        self._own = OwnAddresses()
        self._upstreams: tuple[Upstream, ...] = ()
        self._turn = 0
        #: The questions in the air: one each, however many wait.
        self.flights: dict[tuple[bytes, int, int], Flight] = {}

    @classmethod
    def from_resolv_conf(
        cls,
        path: str | Path = "/etc/resolv.conf",
        *,
        port: int = 53,
        timeout: float = 5.0,
        only: Iterable[str] = (),
        max_outstanding: int = 10_000,
    ) -> Self:
        """Make a forwarder to the servers of this machine; the file is read again when it has changed.

        Without the file, or a server in it, that is one on this machine. The options ``rotate``,
        ``attempts``, ``timeout`` (as ``patience``), ``use-vc`` and ``trust-ad`` count.

        Args:
            path: The file.
            port: The port of the servers, 1 to 65535.
            timeout: As for `Forward`, and so are ``only`` and ``max_outstanding``.
            only: As there.
            max_outstanding: As there.

        Source: resolv.conf(5).
        """
        made = cls("127.0.0.1", timeout=timeout, only=only, max_outstanding=max_outstanding)
        made._port = port
        made._file = ConfFile(path)
        made._plan = made._planned(made._file.conf)
        made.attempts = made._plan.attempts
        made._check_at = 0.0
        return made

    @property
    def resolv_conf(self) -> ResolvConf | None:
        """What its file says, search list included, or None if it was not made of one."""
        return None if self._file is None else self._file.conf

    @property
    def stats(self) -> tuple[UpstreamStats, ...]:
        """What each upstream has done since the first question, in the order in which they were given."""
        return tuple([each.stats for each in self._upstreams])

    @property
    def outstanding(self) -> int:
        """How many questions are in the air."""
        return len(self.flights)

    def _planned(self, conf: ResolvConf) -> _Plan:
        """Turn what a file says into who is asked, and how."""
        text = "tcp" if conf.use_vc else "dns"
        specs = [parse_upstream(f"{text}:[{each}]:{self._port}") for each in conf.nameservers]
        policy: Policy = "round-robin" if conf.rotate else "sequential"
        return _Plan(tuple(specs), policy, conf.attempts, float(conf.timeout), conf.trust_ad)

    def resolve(self, query: Query, /) -> Outcome:
        if not query.recursion:
            return PASS
        key = query.key
        if self._only and not _is_under(key, self._only):
            return PASS
        if not (self._named and _is_under(key, self._named)):
            outcome = special(query)
            if outcome is not None:
                return outcome
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._start(loop)
        now = query.now or loop.time()
        if now >= self._check_at:
            self._refresh(now, loop)
        sockaddr = query.sockaddr
        if isinstance(sockaddr, tuple) and sockaddr[1] in self._own.hosts and self.is_own(query):
            return LOOP
        return self._join(key, query.qtype, query.flags & _KEPT, query.deadline, now)

    def is_own(self, query: Query) -> bool:
        """Tell whether a query comes from one of the sockets from which others are asked."""
        hosts = self._own.hosts.get(query.client_port, ())
        return (unmapped(query.client_host or ""), query.transport != "udp") in hosts

    def _join(self, key: bytes, qtype: int, flags: int, deadline: float, now: float) -> Outcome:
        """Give the flight of a question, which is a new one unless there is one in the air."""
        which = (key, qtype, flags)
        flight = self.flights.get(which)
        if flight is None:
            if len(self.flights) >= self._most:
                return _FULL
            ends = now + self._timeout
            if now + _HASTE < deadline < ends:
                ends = deadline
            flight = self.flights[which] = Flight(self, which, ends)
            flight.start(now)
        if deadline < flight.ends and flight.outcome is None:
            return Hasty(flight, self.wheel, deadline)
        return flight.outcome or flight

    def order(self) -> tuple[Upstream, ...]:
        """Give the upstreams in the order in which a question goes to them: first those that work."""
        upstreams = self._upstreams
        if len(upstreams) == 1:
            return upstreams
        match self._plan.policy:
            case "round-robin":
                upstreams = self._in_turn(upstreams)
            case "random":
                upstreams = self._by_chance(upstreams)
            case "fastest":
                upstreams = _by_speed(upstreams)
        return tuple(sorted(upstreams, key=_is_down))

    def _in_turn(self, upstreams: tuple[Upstream, ...]) -> tuple[Upstream, ...]:
        self._turn = place = (self._turn + 1) % len(upstreams)
        return upstreams[place:] + upstreams[:place]

    def _by_chance(self, upstreams: tuple[Upstream, ...]) -> tuple[Upstream, ...]:
        draws = {each: self._dice.take(4) for each in upstreams}
        return tuple(sorted(upstreams, key=draws.__getitem__))

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin on a loop. What there was on another one, which has ended, is left behind.

        Raises:
            RuntimeError: It is in use on another loop.
        """
        if self._loop is not None and not self._loop.is_closed():
            raise RuntimeError("the forwarder is in use on another loop: aclose() ends that")
        self.flights.clear()
        for each in self._upstreams:
            each.abandon()
        self.wheel = wheel()
        self._own = OwnAddresses()
        self._upstreams = tuple([self._upstream(each, loop) for each in self._plan.specs])
        self._loop = loop

    def _upstream(self, spec: ClientSpec, loop: asyncio.AbstractEventLoop) -> Upstream:
        plan = self._plan
        return Upstream(
            spec,
            loop,
            self._dice,
            self._own,
            patience=plan.patience,
            trust_ad=plan.trust_ad,
        )

    def _refresh(self, now: float, loop: asyncio.AbstractEventLoop) -> None:
        """Look whether the file has changed; upstreams that stay keep what is known of them."""
        assert self._file is not None  # else there is no time to look
        self._check_at = now + self._file.seconds
        if not self._file.refresh():
            return
        before, self._plan = self._plan, self._planned(self._file.conf)
        if before == self._plan:
            return
        self.attempts = self._plan.attempts
        same = before.patience == self._plan.patience and before.trust_ad == self._plan.trust_ad
        known = {each.spec: each for each in self._upstreams} if same else {}
        old = self._upstreams
        self._upstreams = tuple(
            [known.get(each) or self._upstream(each, loop) for each in self._plan.specs]
        )
        for each in old:
            if each not in self._upstreams:
                each.close()

    async def aclose(self) -> None:
        """Close everything; questions in the air fail. The next question starts it again."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        for flight in list(self.flights.values()):
            flight.settle(_CLOSED)
        for each in self._upstreams:
            each.close()
        for each in self._upstreams:
            await each.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"Forward({', '.join(repr(each.display()) for each in self._plan.specs)})"


def _is_under(key: bytes, suffixes: tuple[bytes, ...]) -> bool:
    return any(is_subdomain(key, each) for each in suffixes)


def _by_speed(upstreams: tuple[Upstream, ...]) -> tuple[Upstream, ...]:
    ordered = tuple(sorted(upstreams, key=attrgetter("speed")))
    for each in ordered[1:]:
        each.age()
    return ordered


def _is_down(upstream: Upstream) -> bool:
    return not upstream.is_up
