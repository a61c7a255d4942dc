"""UDP: ``udp``, to send datagrams to one peer and to take them from everybody."""

from __future__ import annotations

import socket
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from asyncendpoints.fields import Help, Host, Number, Port, Seconds, YesNo
from asyncendpoints.grammar import Name
from asyncendpoints.kinds.tcp import Family  # noqa: TC001 - the grammar reads the annotations
from asyncendpoints.listeners import ReportingSocket
from asyncendpoints.ports import PortServer, bind_port, reachable_host
from asyncendpoints.race import Dial
from asyncendpoints.specs import DatagramClientSpec, DatagramServerSpec, ServerSpec

if TYPE_CHECKING:
    from asyncendpoints.addresses import Address
    from asyncendpoints.attempt import Attempt
    from asyncendpoints.listeners import Acceptor

__all__ = ["DatagramDial", "UDPClient", "UDPServer", "bind_udp"]

#: Nothing can be sent to port 0: RFC 768 keeps it for "no port".
_PeerPort = Annotated[int, Number(1, 65535)]


@dataclass(frozen=True, slots=True, repr=False)
class UDPClient(DatagramClientSpec):
    """Datagrams to and from one host and port.

    Nobody answers when a datagram socket is connected, so that addresses cannot be raced: the first is used
    to which the system has a route.
    """

    names = (Name("udp", "udp:example.org:53"),)

    host: Annotated[Host, Help("host name or address to send to")]
    port: Annotated[_PeerPort, Help("port to send to")]
    _: KW_ONLY
    timeout: Annotated[Seconds | None, Help("limit of the lookup, in seconds")] = 30.0
    bind_address: Annotated[Host | None, Help("address to send from", "bindAddress")] = None
    bind_port: Annotated[Port, Help("port to send from; 0 for any", "bindPort")] = 0
    family: Annotated[Family, Help("which addresses of the host to use")] = "any"
    broadcast: Annotated[YesNo, Help("allow the host to be a broadcast address")] = False

    async def addresses(self, attempt: Attempt) -> list[Address]:
        return await attempt.all_addresses(self.host, self.port, self.family)

    async def open_datagram_socket(self, attempt: Attempt) -> socket.socket:
        addresses = await attempt.addresses(self.host, self.port, self.family)
        dialler = partial(DatagramDial, broadcast=self.broadcast)
        return await attempt.race(addresses, (self.bind_address, self.bind_port), dialler)


class DatagramDial(Dial):
    """The connect of a UDP socket, which is over at once: it says where datagrams go, and sends none.

    Args:
        address: Where to.
        local: The address to send from, or None.
        broadcast: Whether ``address`` may be a broadcast address.

    Raises:
        OSError: As for `Dial`.
    """

    __slots__ = ("_broadcast",)

    def __init__(self, address: Address, local: Any = None, *, broadcast: bool = False) -> None:
        self._broadcast = broadcast
        super().__init__(address, local)

    def _open(self, family: int) -> socket.socket:
        return socket.socket(family, socket.SOCK_DGRAM, socket.IPPROTO_UDP)

    def _connect(self, sockaddr: Any) -> None:
        if self._broadcast:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        super()._connect(sockaddr)


@dataclass(frozen=True, slots=True, repr=False)
class UDPServer(PortServer, DatagramServerSpec):
    """A UDP port; without an interface on IPv4 and IPv6."""

    names = (Name("udp", "udp:5353"),)
    protocols = frozenset({"udp"})

    port: Annotated[Port, Help("port to receive on; 0 for any free one")]
    interface: Annotated[Host | None, Help("address to receive on; as a rule all of them")] = None
    _: KW_ONLY
    v6only: Annotated[YesNo | None, Help("keep an IPv6 socket from taking IPv4 too")] = None
    reuse_port: Annotated[YesNo, Help("share the port with other processes", "reusePort")] = False
    broadcast: Annotated[YesNo, Help("allow replies to broadcast addresses")] = False

    def bind_datagram(self) -> list[socket.socket]:
        return list(
            bind_udp(
                self,
                self.port,
                self.interface,
                v6only=self.v6only,
                reuse_port=self.reuse_port,
                broadcast=self.broadcast,
            )
        )

    def client(self, address: Address, acceptor: Acceptor) -> UDPClient:  # noqa: ARG002
        assert address.port is not None
        return UDPClient(reachable_host(address), address.port)


def bind_udp(
    spec: ServerSpec,
    port: int,
    interface: str | None,
    *,
    v6only: bool | None = None,
    reuse_port: bool = False,
    broadcast: bool = False,
) -> list[ReportingSocket]:
    """Open UDP sockets, all or none, as `bind_port` does.

    Raises:
        ListenError: The system refused one of them.
    """
    return bind_port(spec, _Opener(reuse_port, broadcast), port, interface, v6only=v6only)


@dataclass(frozen=True, slots=True)
class _Opener:
    """Makes UDP sockets.

    They have no SO_REUSEADDR: with UDP, Linux lets two servers share a port by it, and one gets nothing.
    """

    protocol: ClassVar[str] = "udp"
    reuse_port: bool
    broadcast: bool

    def open(self, family: int) -> ReportingSocket:
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
        return ReportingSocket(family, kind, socket.IPPROTO_UDP)

    def prepare(self, sock: ReportingSocket) -> None:
        if self.reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if self.broadcast:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)

    def start(self, sock: ReportingSocket) -> None:
        """It receives from its bind on."""
