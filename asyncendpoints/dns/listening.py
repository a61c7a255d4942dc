"""The name server: endpoints bound, and everything that comes to them answered by a resolver."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from asyncendpoints.addresses import Address
from asyncendpoints.dns.datagram import DNSDatagramProtocol, DrainingTransport
from asyncendpoints.dns.guards import check_guards
from asyncendpoints.dns.limits import DNSLimits
from asyncendpoints.dns.networks import PRIVATE, Networks
from asyncendpoints.dns.resolver import check_resolver, close, reload
from asyncendpoints.dns.responder import Responder
from asyncendpoints.dns.stream import DNSStreams
from asyncendpoints.kinds.dns import parse_name_server
from asyncendpoints.listening import Starting, server_specs
from asyncendpoints.quantities import check_wait
from asyncendpoints.server import Bound, Server

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Sequence

    from asyncendpoints.dns.guards import AddressGuard, Guard
    from asyncendpoints.dns.querylog import QueryLog
    from asyncendpoints.dns.resolver import Resolver
    from asyncendpoints.dns.responder import Counters
    from asyncendpoints.dns.stream import StreamCounters
    from asyncendpoints.errors import HandshakeError
    from asyncendpoints.listeners import Acceptor
    from asyncendpoints.specs import ServerSpec

__all__ = ["DNSListening", "NameServer", "listen"]


@dataclass(frozen=True, slots=True, eq=False)
class BoundDatagrams:
    """One datagram socket of a name server."""

    spec: ServerSpec
    acceptor: Acceptor
    socket: socket.socket


class NameServer(Server):
    """A name server that `asyncendpoints.dns.listen` started.

    It is an `asyncendpoints.Server` in all that concerns connections, and answers datagrams too. Leaving
    ``async with`` stops listening, waits up to the ``drain`` seconds for connections and waiting queries to
    end by themselves, ends the rest, and closes the resolver, which can be used again after that.
    """

    def __init__(
        self,
        bound: Sequence[Bound],
        datagrams: Sequence[BoundDatagrams],
        resolver: Resolver,
        responder: Responder,
        limits: DNSLimits,
        drain: float,
        on_error: Callable[[HandshakeError], None] | None,
        log: QueryLog | None = None,
    ) -> None:
        self._resolver = resolver
        self._log = log
        self._responder = responder
        self._streams = DNSStreams(responder, limits)
        self._datagrams = tuple(datagrams)
        self._protocols: set[DNSDatagramProtocol] = set()
        super().__init__(bound, self._streams, limits, drain, on_error)
        # UDP and TCP of one port have one address.
        self._addresses = tuple(dict.fromkeys(self._addresses))
        try:
            for each in datagrams:
                protocol = DNSDatagramProtocol(responder, self._datagrams_ended)
                DrainingTransport(each.socket, protocol)
                self._protocols.add(protocol)
        except BaseException:
            self.close()
            raise

    def _places(self) -> Iterable[tuple[ServerSpec, Acceptor, Address]]:
        places = super()._places()
        more = ((each.spec, each.acceptor, Address.of(each.socket)) for each in self._datagrams)
        return [*places, *more]

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The sockets that listen for connections and those for datagrams; none once the server is closed."""
        if self._closed.is_set():
            return ()
        return super().sockets + tuple(each.socket for each in self._datagrams)

    @property
    def resolver(self) -> Resolver:
        """Who is asked."""
        return self._resolver

    @property
    def counters(self) -> Counters:
        """What has been done with queries so far; `stats` is about connections."""
        return self._responder.counters

    @property
    def stream_counters(self) -> StreamCounters:
        """Which connections the server has ended for its own reasons."""
        return self._streams.counters

    async def reload(self) -> None:  # type: ignore[override]  # a zone takes its time
        """Read certificates, keys and the files of the resolver again, and open the query log again.

        The resolver's are those of zones, hosts files, and of everything in its chain that has a ``reload``.
        Hosts files and ``resolv.conf`` are also read again by themselves when they change.

        Raises:
            EndpointError: Something is wrong in a file: what was there stays, and the rest is reloaded. Where
                several are wrong the first is raised, with the others as its notes.
        """
        if self._log is not None:
            self._log.reopen()
        await reload(super(), self._resolver)  # the certificates first, as of every server

    def pause(self) -> None:
        """Stop listening; what comes waits in the system until `resume`, as far as that has room."""
        super().pause()
        for each in self._protocols:
            each.transport.pause_reading()

    def resume(self) -> None:
        """Listen again after `pause`, unless the server is closed."""
        super().resume()
        if self._closed.is_set():
            return  # datagrams that come while others wait for their replies are not ours any more
        for each in self._protocols:
            each.transport.resume_reading()

    def close(self) -> None:
        """Stop listening. Connections go on, and queries that wait for their answers still get them."""
        super().close()
        for each in tuple(self._protocols):
            each.close()

    async def drain(self, timeout: float | None = None) -> bool:
        """Stop listening and wait for what was asked so far to be answered.

        Connections end once the queries that were read have their replies: a client that keeps its connection
        for the next query does not hold this up.

        Args:
            timeout: Seconds, or None to wait as long as it takes.

        Returns:
            True if all have ended, False if time ran out first.
        """
        self.close()
        self._streams.finish()
        return await super().drain(timeout)

    def close_clients(self) -> None:
        """Close every connection, after what is written; a closed server gives up waiting queries too."""
        super().close_clients()
        self._give_up()

    def abort_clients(self) -> None:
        """Close every connection at once; a closed server gives up the queries that wait, too."""
        super().abort_clients()
        self._give_up()

    def _give_up(self) -> None:
        if self._closed.is_set():
            for each in tuple(self._protocols):
                each.transport.abort()

    def _datagrams_ended(self, protocol: DNSDatagramProtocol) -> None:
        self._protocols.discard(protocol)
        self._wake()

    def _is_idle(self) -> bool:
        return not self._protocols and super()._is_idle()

    async def wait_closed(self) -> None:
        """Wait until the server is closed and nothing is left of it, then close the resolver."""
        await super().wait_closed()
        await close(self._resolver)

    async def __aexit__(self, *exc: object) -> None:
        try:
            await super().__aexit__(*exc)
        finally:
            await close(self._resolver)


class DNSListening(Starting[NameServer]):
    """What `listen` gives."""

    def __init__(
        self,
        endpoints: str | ServerSpec | Iterable[str | ServerSpec],
        make: Callable[[list[Bound], list[BoundDatagrams]], NameServer],
    ) -> None:
        self._specs = [_dns_over(each) for each in server_specs(endpoints, parse_name_server)]
        self._make = make
        super().__init__()

    def __repr__(self) -> str:
        where = ", ".join(spec.display() for spec in self._specs)
        return f"<DNSListening {where} {'started' if self._is_started else 'not started'}>"

    async def _start(self) -> NameServer:
        bound: list[Bound] = []
        datagrams: list[BoundDatagrams] = []
        # What can be wrong in a file is found before anything is bound.
        acceptors = [spec.acceptor() for spec in self._specs]
        try:
            for spec, acceptor in zip(self._specs, acceptors, strict=True):
                others = [each for each in self._specs if each is not spec]
                listeners, sockets = spec.beside(others).bind_both()
                bound += [Bound(spec, each, acceptor) for each in listeners]
                datagrams += [BoundDatagrams(spec, acceptor, each) for each in sockets]
            return self._make(bound, datagrams)
        except BaseException:
            for listening in bound:
                listening.listener.close()
            for each in datagrams:
                each.socket.close()
            raise


def _dns_over(spec: ServerSpec) -> ServerSpec:
    """Have a TLS server that names no protocol of its own accept that of DNS.

    Source: RFC 7858, section 3.1, with the name that IANA gave it.
    """
    if getattr(spec, "alpn", ()) is not None:
        return spec
    return replace(spec, alpn=("dot",))  # type: ignore[type-var]  # specs are dataclasses


def listen(
    endpoints: str | ServerSpec | Iterable[str | ServerSpec],
    resolver: Resolver,
    *,
    guards: Sequence[Guard | AddressGuard] = (),
    recursion: Networks | Iterable[str] = PRIVATE,
    limits: DNSLimits = DNSLimits(),
    log: QueryLog | None = None,
    drain: float = 0.0,
    on_error: Callable[[HandshakeError], None] | None = None,
) -> DNSListening:
    """Answer DNS queries on one endpoint or several: all of them, or none.

    The result is awaited, or entered with ``async with``, which ends the server with its block.

    Args:
        endpoints: A description or a spec, or several of them: ``dns:53`` is UDP and TCP on one port,
            ``udp:53`` UDP alone, and every kind that has connections is DNS over such a stream, so that
            ``tls:853:…`` is DNS over TLS.
        resolver: Who is asked: anything with a method ``resolve(query)``. It is closed with the server.
        guards: What stands before it, in order.
        recursion: The networks whose clients may have recursion, where the resolver offers it; as a rule
            loopback and private ones.
        limits: How much to take on.
        log: Is told of every query.
        drain: Seconds for which leaving ``async with`` waits for connections and queries to end by
            themselves.
        on_error: Hears of clients that could not be accepted, such as those whose TLS handshake failed.

    Raises:
        DescriptionError: A text is no description of a server.
        ListenError: An endpoint cannot be bound; when the result is awaited or entered.
        TypeError: One of the arguments is not what it has to be, such as a resolver without ``resolve``.
        ValueError: One of ``recursion`` is no network, or ``drain`` is below 0.
    """
    check_resolver(resolver)
    check_guards(guards)
    if isinstance(recursion, bool | None):
        meant = "['0.0.0.0/0', '::/0'] is everybody, [] nobody"
        raise TypeError(f"recursion is a list of networks, not {recursion!r}; {meant}")
    if not isinstance(limits, DNSLimits):
        raise TypeError(f"limits is a DNSLimits, not {limits!r}")
    if log is not None and (isinstance(log, type) or not callable(getattr(log, "add", None))):
        raise TypeError(f"log is a QueryLog, as in QueryLog('queries.log'), not {log!r}")
    check_wait("drain", drain)
    responder = Responder(
        resolver,
        guards=guards,
        recursion=recursion if isinstance(recursion, Networks) else Networks(recursion),
        payload=limits.payload,
        query_timeout=limits.query_timeout,
        most_waiting=limits.max_pending,
        most_of_client=limits.max_pending_per_client,
        log=log,
    )

    def make(bound: list[Bound], datagrams: list[BoundDatagrams]) -> NameServer:
        return NameServer(bound, datagrams, resolver, responder, limits, drain, on_error, log)

    return DNSListening(endpoints, make)
