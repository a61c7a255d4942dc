"""DNS over UDP: a transport that empties its socket, and a protocol that answers.

asyncio's own datagram transport makes room for 256 KiB at each read and reads one datagram for each turn of
the loop, which costs three times what the whole answer does. This one works on every loop that has
``add_reader``.

Source: RFC 1035, section 4.2.1; RFC 3542, section 6, and ip(7) for the address that was asked.
"""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from struct import Struct
from typing import TYPE_CHECKING, Any, cast

from asyncendpoints.addresses import Address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from asyncendpoints.dns.late_reply import Reply
    from asyncendpoints.dns.responder import Responder

__all__ = ["DNSDatagramProtocol", "DrainingTransport", "Peer"]

#: The largest datagram that is taken, in bytes; more of one is cut off, and what is left is malformed.
_MOST_BYTES = 4096
#: How many datagrams are read before the loop has its turn, and for how many seconds.
_MOST_AT_ONCE = 64
_SECONDS_AT_ONCE = 0.002
#: After how many datagrams the clock is looked at.
_LOOKS = 8

_PKTINFO4 = Struct("@i4s4s")
_PKTINFO6 = Struct("@16sI")
_IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)
_IPV6_RECVPKTINFO = getattr(socket, "IPV6_RECVPKTINFO", 49)
_IPV6_PKTINFO = getattr(socket, "IPV6_PKTINFO", 50)
_CONTROL_BYTES = 64

Control = list[tuple[int, int, bytes]]


class Peer(tuple[Any, ...]):  # noqa: SLOT001 - a tuple cannot have slots that hold something
    """The socket address of who sent a datagram, with the one that it was sent to."""

    #: The socket address that the datagram was sent to.
    local: Any
    #: What makes the system send the reply from there.
    control: Control


class DrainingTransport(asyncio.DatagramTransport):
    """Datagrams of a bound socket, read until there are none left.

    Nothing is buffered: a datagram that the system does not take at once is lost, as on any wire.

    Args:
        sock: Bound and non-blocking. Bound to a wildcard address, its replies leave from the address that was
            asked.
        protocol: Who gets the datagrams.
    """

    def __init__(self, sock: socket.socket, protocol: DNSDatagramProtocol) -> None:
        super().__init__({"socket": sock, "sockname": sock.getsockname()})
        self._loop = asyncio.get_running_loop()
        self._socket = sock
        self._descriptor = sock.fileno()
        self._protocol = protocol
        self._is_closing = False
        self._at_once = 1
        self._receive: Callable[[], tuple[bytes, Any]]
        if Address.of(sock).is_wildcard():
            _ask_for_destination(sock)
            self._receive = partial(_receive_asked, sock)
        else:
            self._receive = partial(sock.recvfrom, _MOST_BYTES)
        self._is_reading = False
        protocol.connection_made(self)
        self.resume_reading()

    def _read(self) -> None:
        """Take what waits at the socket, up to a number and a time."""
        now = self._loop.time()
        until = now + _SECONDS_AT_ONCE
        protocol, receive = self._protocol, self._receive
        protocol.wake(now)
        for count in range(1, self._at_once + 1):
            try:
                data, peer = receive()
            except (BlockingIOError, InterruptedError):
                self._at_once = 1
                return
            except OSError as error:
                protocol.error_received(error)
                return
            protocol.datagram_received(data, peer)
            if not self._is_reading or (not count % _LOOKS and self._loop.time() > until):
                return
        # Finding out that nothing is left costs nearly as much as a turn of the loop: only a crowd is worth
        # it.
        self._at_once = min(self._at_once * 2, _MOST_AT_ONCE)

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send a datagram; one that cannot be sent is lost, and the protocol hears of it."""
        try:
            if type(addr) is Peer:
                self._socket.sendmsg((data,), addr.control, 0, addr)
            else:
                self._socket.sendto(data, addr)
        except OSError as error:
            self._protocol.error_received(error)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, DNSDatagramProtocol)  # it has to know wake()
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def is_closing(self) -> bool:
        return self._is_closing

    def pause_reading(self) -> None:
        """Leave datagrams to the system, which keeps as many as it has room for."""
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._descriptor)

    def resume_reading(self) -> None:
        """Read again after `pause_reading`."""
        if not (self._is_reading or self._is_closing):
            self._is_reading = True
            self._loop.add_reader(self._descriptor, self._read)

    def close(self) -> None:
        """Read no more, and close the socket in the next turn of the loop."""
        if not self._is_closing:
            self._is_closing = True
            self.pause_reading()
            self._loop.call_soon(self._end)

    def abort(self) -> None:
        """As `close`: nothing is buffered."""
        self.close()

    def _end(self) -> None:
        self._protocol.connection_lost(None)
        self._socket.close()


def _ask_for_destination(sock: socket.socket) -> None:
    """Have the system say of each datagram where it was sent to."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)


def _receive_asked(sock: socket.socket) -> tuple[bytes, Any]:
    """Receive a datagram with the address that it was sent to."""
    data, control, _, peer = sock.recvmsg(_MOST_BYTES, _CONTROL_BYTES)
    return data, _with_destination(peer, control)


def _with_destination(peer: Any, control: Iterable[tuple[int, int, bytes]]) -> Any:
    for level, kind, value in control:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            _, local, _ = _PKTINFO4.unpack(value)
            made = Peer(peer)
            made.local = (socket.inet_ntop(socket.AF_INET, local), 0)
            made.control = [(level, kind, _PKTINFO4.pack(0, local, bytes(4)))]
            return made
        if (level, kind) == (socket.IPPROTO_IPV6, _IPV6_PKTINFO):
            local, index = _PKTINFO6.unpack(value)
            made = Peer(peer)
            made.local = (socket.inet_ntop(socket.AF_INET6, local), 0, 0, index)
            # Only a link-local address needs the interface, which must not tie the others down.
            index = index if local.startswith(b"\xfe\x80") else 0
            made.control = [(level, kind, _PKTINFO6.pack(local, index))]
            return made
    return peer


class DNSDatagramProtocol(asyncio.DatagramProtocol):
    """Answers the datagrams of one socket.

    Args:
        responder: Who answers.
        on_end: Called with this when its transport has ended.
    """

    transport: DrainingTransport

    def __init__(
        self, responder: Responder, on_end: Callable[[DNSDatagramProtocol], None] | None = None
    ) -> None:
        self._responder = responder
        self._on_end = on_end
        self._is_closing = False
        self._send: Callable[[bytes, Any], None]
        self._local: Any = None
        self._family = 0
        self._waiting: set[Reply] = set()
        #: A method, bound once for all replies that wait.
        self._receive = self._send_late

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(DrainingTransport, transport)
        self._send = self.transport.sendto
        self._local = transport.get_extra_info("sockname")
        self._family = transport.get_extra_info("socket").family

    def wake(self, now: float) -> None:
        self._responder.wake(now)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if not addr[1]:
            return  # nothing can be sent to port 0
        responder = self._responder
        standing = responder.clients.get(addr[0]) or responder.standing(addr[0])
        # A repeated question, with nothing made on its way.
        reply = standing.datagram.table.get(data[2:])
        if reply is not None:
            counters = responder.counters
            counters.received += 1
            counters.remembered += 1
            self._send(data[:2] + reply, addr)
            return
        local = addr.local if type(addr) is Peer else self._local
        answer = responder.answer(
            data, standing, standing.datagram, addr, local, self._family, "udp"
        )
        if isinstance(answer, bytes):
            self._send(answer, addr)
        elif answer is not None:
            self._waiting.add(answer)
            answer.then(self._receive)

    def _send_late(self, reply: Reply, message: bytes | None) -> None:
        self._waiting.discard(reply)
        if message is not None:
            self._send(message, reply.query.sockaddr)
        if self._is_closing and not self._waiting:
            self.transport.close()

    def error_received(self, exc: Exception) -> None:  # noqa: ARG002 - the number of them is enough
        self._responder.counters.unsent += 1

    def close(self) -> None:
        """Take no more queries, and end the transport once those that wait have their replies."""
        self._is_closing = True
        self.transport.pause_reading()
        if not self._waiting:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - it was closed
        waiting, self._waiting = self._waiting, set()
        for reply in waiting:
            reply.abandon()
        if self._on_end is not None:
            self._on_end(self)
