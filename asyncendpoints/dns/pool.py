"""Datagrams to and from one server: a pool of connected sockets, each with a port that chance gave it.

A socket serves for some questions or some seconds, so that nobody has the time to find its port. The system
drops what comes from another address. A socket that was replaced stays until its last reply is there.

Source: RFC 5452, sections 4.5 and 9.2.
"""

from __future__ import annotations

import asyncio
import socket
from contextvars import Context
from typing import TYPE_CHECKING, ClassVar, Final

from asyncendpoints.attempt import Attempt
from asyncendpoints.dns.question import PAYLOAD, frame, mix_case
from asyncendpoints.dns.reply import is_reply
from asyncendpoints.names import is_literal, literal

if TYPE_CHECKING:
    from asyncendpoints.addresses import Address
    from asyncendpoints.dns.upstream import Asker, Upstream, Waiting
    from asyncendpoints.kinds.dns import DNSClient

__all__ = ["Pool"]

#: Among how many sockets chance chooses, and how many there are at most, with those that are replaced.
_CHOICE: Final = 8
_MOST_SOCKETS: Final = 64
#: For how many questions and seconds a socket serves, and how many may wait there: as a rule, and where there
#: are as many sockets as can be.
_USES: Final = 128
_SECONDS: Final = 10.0
_FEW: Final = 32
_MOST: Final = 8192
#: How many datagrams are read before the loop has its turn.
_READS: Final = 64
#: Seconds for which the address of a host name stands.
_ADDRESS_SECONDS: Final = 300.0
#: The bit of the third byte that says that a reply was cut.
_TC: Final = 2


class Pool:
    """The datagram sockets of one upstream.

    Args:
        upstream: Judges replies.
        spec: Where datagrams go.
        loop: Whose readers the sockets are.
    """

    def __init__(
        self, upstream: Upstream, spec: DNSClient, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.upstream = upstream
        self.loop = loop
        self._spec = spec
        self._dice = upstream.dice
        self._is_literal = is_literal(spec.host)
        #: The address of a host that is a name, once it was looked up.
        self._address: Address | None = None
        self._looked_up = float("inf")
        self._lookup: asyncio.Task[None] | None = None
        #: Who waits for the address.
        self._early: list[Asker] = []
        self._choice: list[_Socket] = []
        #: All sockets, with those that were replaced.
        self._sockets: set[_Socket] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    def ask(self, asker: Asker, now: float) -> bool:
        """Send a question; False if that is not possible."""
        if self._address is None and not self._is_literal:
            self._early.append(asker)
            self._look_up()
            return True
        key = asker.key
        draw = self._dice.take(len(key) + 3)
        chosen = self._choose(draw[-1], now)
        if chosen is None:
            return False
        upstream = self.upstream
        ident = draw[:2]
        waiting = chosen.waiting
        while ident in waiting:
            ident = self._dice.take(2)
        if now >= upstream.unusual_until and asker.plain is None:
            has_edns = mixes_case = True
        else:
            has_edns, mixes_case = upstream.has_edns(asker, now), upstream.mixes_case(now)
        head, kind, opt = frame(asker.qtype, asker.flags, has_edns)
        question = (mix_case(key, draw[2:-1]) if mixes_case else key) + kind
        try:
            chosen.send(b"".join((ident, head, question, opt)))
        except (BlockingIOError, InterruptedError):
            pass  # lost, as on any wire
        except OSError as error:
            chosen.fail(now, error)
            return False
        waiting[ident] = asker, question, now, has_edns
        asker.tries = chosen, ident, asker.tries
        chosen.uses += 1
        upstream.sent += 1
        return True

    def _choose(self, draw: int, now: float) -> _Socket | None:
        """Give a socket with room, a new one where that is due."""
        choice = self._choice
        if len(choice) < _CHOICE:
            fresh = self._open(now)
            if fresh is not None:
                choice.append(fresh)
                return fresh
            if not choice:
                return None
        place = draw % len(choice)
        chosen = choice[place]
        if chosen.uses < _USES and now < chosen.ends and len(chosen.waiting) < _FEW:
            return chosen
        fresh = self._open(now)
        if fresh is not None:
            choice[place] = fresh
            chosen.retire()
            return fresh
        return chosen if len(chosen.waiting) < _MOST else None

    def _open(self, now: float) -> _Socket | None:
        """Open a socket, or give None where there are enough, or the system does not want to."""
        if len(self._sockets) >= _MOST_SOCKETS:
            return None
        try:
            address, local = self._ends()
        except OSError as error:  # no such interface, today
            self.upstream.fail(now, error)
            return None
        try:
            sock = socket.socket(address.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        except OSError:
            return None
        try:
            if local is not None:
                sock.bind(local.sockaddr)
            sock.connect(address.sockaddr)
        except OSError as error:  # no way there
            sock.close()
            self.upstream.fail(now, error)
            return None
        made = _Socket(self, sock, now + _SECONDS)
        self._sockets.add(made)
        if self._sweeper is None:
            self._sweeper = self.loop.call_later(_SECONDS, self._sweep)
        if now - self._looked_up > _ADDRESS_SECONDS:
            self._look_up()
        return made

    def _ends(self) -> tuple[Address, Address | None]:
        """Give the address to ask, and the one to ask from, if it matters.

        Raises:
            OSError: The interface that one of them is of is not there.
        """
        spec = self._spec
        address = literal(spec.host, spec.port) if self._is_literal else self._address
        assert address is not None  # the callers see to it
        bind = spec.bind_address
        return address, None if bind is None else literal(bind, 0)

    def _sweep(self) -> None:
        """Close the sockets whose time is over, and come back while there are others."""
        self._sweeper = None
        now = self.loop.time()
        for each in [each for each in self._choice if each.ends <= now]:
            self.drop(each)
        if self._sockets:
            self._sweeper = self.loop.call_later(_SECONDS, self._sweep)

    def drop(self, sock: _Socket) -> None:
        """Send nothing more from a socket, and close it when nothing waits there."""
        if sock in self._choice:
            self._choice.remove(sock)
        sock.retire()

    def discard(self, sock: _Socket) -> None:
        """Forget a socket that is closed."""
        self._sockets.discard(sock)

    def _look_up(self) -> None:
        if self._lookup is None:
            # Names of upstreams are for the system to look up: this resolver cannot wait for itself.
            self._lookup = self.loop.create_task(self._find_address(), context=Context())

    async def _find_address(self) -> None:
        """Look up the address of the host; the one that there is stands if that fails."""
        attempt = Attempt(self._spec)
        spec = self._spec
        failure = OSError("no socket can be opened")
        try:
            self._address = (await attempt.addresses(spec.host, spec.port, spec.family))[0]
        except OSError as error:
            failure = error
        self._lookup = None
        now = self._looked_up = self.loop.time()
        early, self._early = self._early, []
        for asker in early:
            if asker.outcome is None and (self._address is None or not self.ask(asker, now)):
                self.upstream.fail(now, failure)
                asker.lose(self.upstream, now)

    def close(self) -> None:
        """Close all sockets at once; who waits for a reply loses it."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        if self._lookup is not None:
            self._lookup.cancel()
        self._choice.clear()
        early, self._early = self._early, []
        now = self.loop.time()
        for asker in early:
            asker.lose(self.upstream, now)
        for each in list(self._sockets):
            each.end(now)

    async def wait_closed(self) -> None:
        """Wait until a lookup that was given up has ended."""
        if self._lookup is not None:
            await asyncio.wait([self._lookup])

    def abandon(self) -> None:
        """Close all sockets, whose loop has ended; nobody is told."""
        for each in list(self._sockets):
            each.close()


class _Socket:
    """A connected socket, and what is waited for there.

    Args:
        pool: Where it belongs.
        sock: Connected and non-blocking.
        ends: Loop time until which it serves.
    """

    __slots__ = (
        "_is_retired",
        "_late",
        "_local",
        "_pool",
        "_receive",
        "_socket",
        "ends",
        "send",
        "uses",
        "waiting",
    )

    is_stream: ClassVar[bool] = False

    def __init__(self, pool: Pool, sock: socket.socket, ends: float) -> None:
        self._pool = pool
        self._socket = sock
        self._local = sock.getsockname()
        self._receive = sock.recv
        self.send = sock.send
        self.ends = ends
        self.uses = 0
        #: What is waited for, by identifier.
        self.waiting: dict[bytes, Waiting] = {}
        #: The identifiers of replies that nobody waits for any more.
        self._late: set[bytes] = set()
        self._is_retired = False
        pool.upstream.own.add(self._local, is_stream=False)
        # In a context of its own: the replies are not only for who has asked first.
        Context().run(pool.loop.add_reader, sock.fileno(), self._read)

    def _read(self) -> None:
        """Take the replies that are there; what is left when none is waited for can stay."""
        waiting, receive, upstream = self.waiting, self._receive, self._pool.upstream
        now = self._pool.loop.time()
        for _ in range(_READS):
            try:
                packet = receive(PAYLOAD + 1)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self.fail(now, error)
                return
            found = waiting.get(packet[:2])
            if found is None or not is_reply(packet, found[1]):
                self._refuse(packet, found, now)
            elif packet[2] & _TC or len(packet) > PAYLOAD:
                self.forget(packet[:2])
                upstream.take_truncated(found[0], now)
            elif not upstream.take(self, packet, found, now):
                upstream.refuse(packet, None, now)
            if not waiting:
                return

    def _refuse(self, packet: bytes, found: Waiting | None, now: float) -> None:
        """Count what was not asked for; a reply that is only late is none of that."""
        if packet[:2] in self._late:
            self._late.discard(packet[:2])
        else:
            self._pool.upstream.refuse(packet, found, now)

    def forget(self, ident: bytes) -> None:
        """Wait no longer for a reply."""
        if self.waiting.pop(ident, None) is not None:
            self._late.add(ident)
            if self._is_retired and not self.waiting:
                self.close()

    def retire(self) -> None:
        """Close it when nothing is waited for."""
        self._is_retired = True
        if not self.waiting:
            self.close()

    def fail(self, now: float, error: OSError) -> None:
        """Take note of an error of the network, such as a refusal: no reply will come."""
        self._pool.drop(self)
        self._pool.upstream.fail(now, error)
        self.end(now)

    def end(self, now: float) -> None:
        """Close it; who waits for a reply loses it."""
        lost = list(self.waiting.values())
        self.waiting.clear()
        self.close()
        for asker, *_ in lost:
            asker.lose(self._pool.upstream, now)

    def close(self) -> None:
        """Close it at once."""
        if self._socket.fileno() == -1:
            return
        pool = self._pool
        pool.discard(self)
        pool.upstream.own.remove(self._local, is_stream=False)
        if not pool.loop.is_closed():
            pool.loop.remove_reader(self._socket.fileno())
        self._socket.close()
