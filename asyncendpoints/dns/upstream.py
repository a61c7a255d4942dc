"""One server that is asked: what is known of it, and what its replies are worth.

How datagrams travel is in `pool`, how a connection is used in `pipeline`. The law: a datagram that is wrong
in any way changes nothing but a counter, and the right one is waited for.

Source: RFC 5452 for replies; RFC 6891, section 6.2.2, for servers without EDNS; RFC 7766, section 5, for TCP.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from asyncendpoints.dns.codes import Rcode
from asyncendpoints.dns.pipeline import Pipeline
from asyncendpoints.dns.pool import Pool
from asyncendpoints.dns.reply import (
    decode_reply,
    is_headless_error,
    is_reply_to,
    refuses_edns,
)
from asyncendpoints.errors import WireError
from asyncendpoints.kinds.dns import DNSClient

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from asyncendpoints.dns.outcome import Outcome, Response
    from asyncendpoints.specs import ClientSpec

__all__ = [
    "Asker",
    "Dice",
    "OwnAddresses",
    "Tries",
    "Upstream",
    "UpstreamStats",
    "Waiting",
    "Way",
]

logger = logging.getLogger("asyncendpoints.dns")

#: How many failures in a row make a server count as down.
_MOST_FAILURES: Final = 3
#: Seconds until a server that is down is tried again, at first and at most.
_FIRST_BACKOFF, _LONGEST_BACKOFF = 1.0, 60.0
#: How many times as long as usual a server is waited for. Datagrams get lost, so that this can be short, but
#: not so short, in seconds, that a server cannot ask others; nothing is lost on a connection.
_PATIENCE_FACTOR = 4.0
_LEAST_PATIENCE, _LEAST_STREAM_PATIENCE = 0.3, 1.0
#: How many unwanted datagrams in how many seconds make somebody look like a forger, and for how many seconds
#: the server is then asked over TCP.
_MOST_UNWANTED, _UNWANTED_SECONDS, _TCP_SECONDS = 200, 10.0, 30.0
#: How many questions whose replies have a fault make it the server's habit, and for how many seconds.
_HABIT, _HABIT_SECONDS = 3, 900.0
#: The codes of a server that may not know EDNS, and those that say that all is well.
_NO_EDNS = (Rcode.FORMERR, Rcode.NOTIMP)
_SUCCESS = (Rcode.NOERROR, Rcode.NXDOMAIN)
#: What is left of a measured time for each question that goes elsewhere.
_AGEING = 0.98
#: Seconds between two lines in the log that an upstream fails.
_LOG_INTERVAL = 60.0
#: How much chance is fetched from the system at once, in bytes.
_DRAW_BYTES = 8192


class Way(Protocol):
    """Where a question waits for its reply: a socket or a connection."""

    #: Whether replies come as a stream, in which nobody can put forged ones.
    is_stream: ClassVar[bool]

    def forget(self, ident: bytes) -> None:
        """Wait no longer for the reply with an identifier."""


class Asker(Protocol):
    """A question in the air, as upstreams know it."""

    #: The name in wire form and lower case.
    key: bytes
    qtype: int
    #: Of CD and DO those that are set.
    flags: int
    #: What it came to, or None: then a reply is still wanted.
    outcome: Outcome | None
    #: Where it waits, and under which identifier.
    tries: Tries
    #: How many replies are still to come.
    open: int
    #: The upstream that has to be asked without EDNS.
    plain: Upstream | None
    #: The upstream whose UDP is in doubt, so that it is asked over TCP as well.
    doubted: Upstream | None

    def hear(self, upstream: Upstream, outcome: Response, now: float) -> None:
        """Hear what an upstream says."""

    def lose(self, upstream: Upstream, now: float) -> None:
        """Hear that there will be no reply from an upstream to one of the tries."""


#: Where a question waits, and under which identifier: the latest try, with those before it.
Tries = tuple[Way, bytes, "Tries"] | None
#: What waits for a reply: who asked; name, type and class as they were sent; when; and whether with EDNS.
Waiting = tuple[Asker, bytes, float, bool]


class Dice:
    """Chance that nobody can foresee, fetched from the system in batches."""

    __slots__ = ("_bytes", "_position")

    def __init__(self) -> None:
        self._bytes = b""
        self._position = 0

    def take(self, size: int) -> bytes:
        """Give so many random bytes, at most some hundreds."""
        start = self._position
        end = start + size
        if end > len(self._bytes):
            self._bytes = os.urandom(_DRAW_BYTES)
            start, end = 0, size
        self._position = end
        return self._bytes[start:end]


class OwnAddresses:
    """The addresses from which questions are sent: a query that comes from one of them goes in a circle."""

    __slots__ = ("hosts",)

    def __init__(self) -> None:
        #: The hosts by port, in nearly every case one, and whether it is that of a stream: TCP and UDP have
        #: ports of their own, so that a client can have the number of ours.
        self.hosts: dict[int | None, list[tuple[str, bool]]] = {}

    def add(self, sockaddr: Any, *, is_stream: bool) -> None:
        """Note the address of a socket of ours."""
        if isinstance(sockaddr, tuple):
            self.hosts.setdefault(sockaddr[1], []).append((sockaddr[0], is_stream))

    def remove(self, sockaddr: Any, *, is_stream: bool) -> None:
        """Forget the address of a socket that is closed."""
        if isinstance(sockaddr, tuple):
            hosts = self.hosts[sockaddr[1]]
            hosts.remove((sockaddr[0], is_stream))
            if not hosts:
                del self.hosts[sockaddr[1]]


@dataclass(frozen=True, slots=True)
class UpstreamStats:
    """What an upstream has done so far."""

    #: Its description, without secrets.
    upstream: str
    #: Questions that went there; one that is asked again counts again.
    sent: int
    #: Right replies, whatever their code.
    answered: int
    #: Questions that it did not answer while it was waited for.
    timeouts: int
    #: Failures of the network: refused, unreachable, closed.
    errors: int
    #: Replies that were too long for UDP.
    truncated: int
    #: Datagrams that answer no question of ours, or wrongly.
    unwanted: int
    #: The smoothed time to a reply, in seconds; None before the first.
    srtt: float | None
    #: Whether it counts as working.
    is_up: bool
    #: Why it failed the last time, or None.
    last_error: str | None


class Upstream:
    """A server that is asked.

    Args:
        spec: As `parse_upstream` gives it.
        loop: The loop on which it is asked.
        dice: Identifiers, ports and the case of letters come from here.
        own: Is told from which addresses questions are sent.
        patience: The longest time, in seconds, for which it is waited for before others are asked.
        trust_ad: Whether its AD bit means something.
    """

    def __init__(
        self,
        spec: ClientSpec,
        loop: asyncio.AbstractEventLoop,
        dice: Dice,
        own: OwnAddresses,
        *,
        patience: float,
        trust_ad: bool,
    ) -> None:
        self.spec = spec
        self.dice = dice
        self.own = own
        #: The longest time for which it is waited for, in seconds.
        self.most_patience = patience
        least = _LEAST_PATIENCE if isinstance(spec, DNSClient) else _LEAST_STREAM_PATIENCE
        self._least_patience = min(least, patience)
        #: For how long it is waited for before others are asked, in seconds.
        self.patience = patience / 2
        self._trust_ad = trust_ad
        self._pool = Pool(self, spec, loop) if isinstance(spec, DNSClient) else None
        self._pipeline = Pipeline(self, spec, loop)
        self._way = self._pool or self._pipeline
        #: Sends a question; False if that is not possible, and nothing will come of it.
        self.ask: Callable[[Asker, float], bool] = self._way.ask
        #: Counters; see `UpstreamStats`.
        self.sent = self.answered = self.timeouts = self.errors = self.truncated = 0
        self.unwanted = 0
        self.srtt: float | None = None
        self.last_error: str | None = None
        #: Whether the log has a line of this time that it fails, and from when on it may have another.
        self._is_told = False
        self._tell_at = -inf
        self._faded = 1.0
        self._is_closed = False
        self._failures = 0
        self._probe_at = 0.0
        self._backoff = _FIRST_BACKOFF
        self._window_end = 0.0
        self._window_count = 0
        #: Loop times until which it is asked in another way than is usual.
        self._tcp_until = self._plain_until = self._caseless_until = 0.0
        #: The latest of these.
        self.unusual_until = 0.0
        self._noted = 0.0
        self._wrong_case = self._headless = 0

    @property
    def stats(self) -> UpstreamStats:
        """What it has done so far."""
        return UpstreamStats(
            self.spec.display(),
            self.sent,
            self.answered,
            self.timeouts,
            self.errors,
            self.truncated,
            self.unwanted,
            self.srtt,
            self.is_up,
            self.last_error,
        )

    @property
    def is_up(self) -> bool:
        """Whether it counts as working."""
        return self._failures < _MOST_FAILURES

    def claim_probe(self, now: float) -> bool:
        """Tell whether it is down and has to be tried again, which the caller then does."""
        if self.is_up or now < self._probe_at:
            return False
        self._backoff = min(self._backoff * 2, _LONGEST_BACKOFF)
        self._probe_at = now + self._backoff
        return True

    def _ask_over_tcp(self, asker: Asker, now: float) -> bool:
        """Send a question over TCP for as long as that is due."""
        if now >= self._tcp_until:
            self.ask = self._way.ask
            return self.ask(asker, now)
        return not self._is_closed and self._pipeline.ask(asker, now)

    def has_edns(self, asker: Asker, now: float) -> bool:
        """Tell whether a question goes with an OPT record."""
        return now >= self._plain_until and asker.plain is not self

    def mixes_case(self, now: float) -> bool:
        """Tell whether the case of letters is left to chance: not for a server that does not keep it."""
        return now >= self._caseless_until

    def time_out(self, now: float) -> None:
        """Note that a question was not answered while its reply was waited for."""
        self.timeouts += 1
        self._pipeline.time_out()
        self._fail(now, "no answer in time")
        if not self.is_up:  # one that is lost is nothing to tell
            self._tell(now)

    def fail(self, now: float, error: Exception) -> None:
        """Note a failure of the network."""
        self.errors += 1
        self._fail(now, getattr(error, "strerror", None) or str(error))
        self._tell(now)

    def _fail(self, now: float, problem: str) -> None:
        self.last_error = problem
        self._failures += 1
        if self._failures == _MOST_FAILURES:
            self._probe_at = now + self._backoff

    def _tell(self, now: float) -> None:
        """Log that it fails, once until it works again, and not too often."""
        if not self._is_told and now >= self._tell_at:
            self._is_told, self._tell_at = True, now + _LOG_INTERVAL
            logger.warning("upstream %s fails: %s", self.spec.display(), self.last_error)

    def take(self, way: Way, packet: bytes, waiting: Waiting, now: float) -> bool:
        """Take a reply that has the identifier and the question that were sent.

        Args:
            way: Where it was waited for.
            packet: The reply.
            waiting: What was waited for.
            now: Loop time.

        Returns:
            False if the reply is no good: the right one may still come.
        """
        asker, question, sent, has_edns = waiting
        if has_edns and packet[3] & 15 in _NO_EDNS and refuses_edns(packet, len(question)):
            way.forget(packet[:2])
            asker.plain = self
            if not (self._pipeline if way.is_stream else self).ask(asker, now):
                asker.lose(self, now)
            return True
        try:
            outcome = decode_reply(packet, asker.key, asker.qtype, trust_ad=self._trust_ad)
        except WireError:
            return False
        self.answered += 1
        if now != self._noted:  # one reply of those that came together stands for all
            self._note(now - sent, now)
        if asker.plain is self and outcome.rcode in _SUCCESS:
            self._plain_until = now + _HABIT_SECONDS
            self._change()
        asker.hear(self, outcome, now)
        if asker.outcome is None:
            way.forget(packet[:2])
        return True

    def _note(self, seconds: float, now: float) -> None:
        """Note that it works, and how long a reply took.

        Source: RFC 6298, section 2.3, for the weight of one measurement.
        """
        self._noted = now
        self._failures = 0
        self._is_told = False
        self._backoff = _FIRST_BACKOFF
        self._faded = 1.0
        srtt = self.srtt
        self.srtt = srtt = seconds if srtt is None else srtt + (seconds - srtt) / 8
        self.patience = min(max(_PATIENCE_FACTOR * srtt, self._least_patience), self.most_patience)

    @property
    def speed(self) -> float:
        """How long a reply takes, in seconds, as far as that is still believed: 0 if it was never asked."""
        return 0.0 if self.srtt is None else self.srtt * self._faded

    def age(self) -> None:
        """Let what is known of its speed fade, so that a server that was slow once gets another chance."""
        self._faded *= _AGEING

    def take_truncated(self, asker: Asker, now: float) -> None:
        """Ask over TCP what did not fit into a datagram."""
        self.truncated += 1
        self._failures = 0
        if not self._pipeline.ask(asker, now):
            asker.lose(self, now)

    def _change(self) -> None:
        self.ask = self._ask_over_tcp
        self.unusual_until = max(self._tcp_until, self._plain_until, self._caseless_until)

    def refuse(self, packet: bytes, waiting: Waiting | None, now: float) -> None:
        """Count a datagram that is no reply to what was asked, and find out what it means.

        Many of them are the work of a forger. One with the right identifier that has the question in another
        case, or an error without a question, may be all that this server can do; that is found out over TCP.

        Args:
            packet: The datagram.
            waiting: What waits under its identifier on its socket, or None.
            now: Loop time.
        """
        self.unwanted += 1
        if now > self._window_end:
            self._window_end, self._window_count = now + _UNWANTED_SECONDS, 0
        self._window_count += 1
        if self._window_count >= _MOST_UNWANTED:
            self._tcp_until = now + _TCP_SECONDS
            self._change()
        if waiting is not None and waiting[0].doubted is not self:
            self._doubt(packet, waiting, now)

    def _doubt(self, packet: bytes, waiting: Waiting, now: float) -> None:
        asker, question, _, has_edns = waiting
        if is_reply_to(packet, question):
            self._wrong_case += 1
            if self._wrong_case >= _HABIT:
                self._caseless_until, self._wrong_case = now + _HABIT_SECONDS, 0
                self._change()
        elif is_headless_error(packet):
            self._headless += has_edns and packet[3] & 15 in _NO_EDNS
            if self._headless >= _HABIT:
                self._plain_until, self._headless = now + _HABIT_SECONDS, 0
                self._change()
        else:
            return
        asker.doubted = self
        if self._pipeline.ask(asker, now):
            asker.open += 1

    def close(self) -> None:
        """Close everything at once, or as soon as the loop has a turn; who waits for a reply loses it."""
        self._is_closed = True
        self._tcp_until = inf
        self._change()
        if self._pool is not None:
            self._pool.close()
        self._pipeline.close()

    def abandon(self) -> None:
        """Close the sockets whose loop has ended."""
        if self._pool is not None:
            self._pool.abandon()

    async def wait_closed(self) -> None:
        """Wait until everything is closed."""
        if self._pool is not None:
            await self._pool.wait_closed()
        await self._pipeline.wait_closed()
