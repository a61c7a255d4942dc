"""TCP: ``tcp`` and ``tcp6``, to connect and to listen."""

from __future__ import annotations

import socket
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from asyncendpoints.fields import Backlog, Choice, Help, Host, Port, Seconds, YesNo
from asyncendpoints.grammar import Name
from asyncendpoints.listeners import ListeningSocket
from asyncendpoints.ports import PortServer, bind_port, reachable_host
from asyncendpoints.specs import ClientSpec, ServerSpec

if TYPE_CHECKING:
    from asyncendpoints.addresses import Address
    from asyncendpoints.attempt import Attempt
    from asyncendpoints.listeners import Acceptor, Listener

__all__ = ["Family", "TCPClient", "TCPPortServer", "TCPServer", "bind_tcp"]

Family = Annotated[str, Choice("any", "ipv4", "ipv6")]


@dataclass(frozen=True, slots=True, repr=False)
class TCPClient(ClientSpec):
    """A TCP connection to a host name or an address; names race their addresses (RFC 8305)."""

    names = (
        Name("tcp", "tcp:example.org:80"),
        Name("tcp6", "tcp6:example.org:80", presets={"family": "ipv6"}),
    )

    host: Annotated[Host, Help("host name or address to connect to")]
    port: Annotated[Port, Help("port to connect to")]
    _: KW_ONLY
    timeout: Annotated[Seconds | None, Help("limit of the whole connect, in seconds")] = 30.0
    bind_address: Annotated[Host | None, Help("address to connect from", "bindAddress")] = None
    bind_port: Annotated[Port, Help("port to connect from; 0 for any", "bindPort")] = 0
    family: Annotated[Family, Help("which addresses of the host to use")] = "any"

    async def addresses(self, attempt: Attempt) -> list[Address]:
        return await attempt.all_addresses(self.host, self.port, self.family)

    async def open_socket(self, attempt: Attempt) -> socket.socket:
        addresses = await attempt.addresses(self.host, self.port, self.family)
        return await attempt.race(addresses, (self.bind_address, self.bind_port))


class TCPPortServer(PortServer):
    """The base of servers that listen on a TCP port, which have these fields."""

    __slots__ = ()
    protocols = frozenset({"tcp"})

    if TYPE_CHECKING:

        @property
        def backlog(self) -> int: ...

    def bind(self) -> list[Listener]:
        return list(
            bind_tcp(
                self,
                self.port,
                self.interface,
                self.backlog,
                v6only=self.v6only,
                reuse_port=self.reuse_port,
            )
        )


@dataclass(frozen=True, slots=True, repr=False)
class TCPServer(TCPPortServer):
    """A listening TCP port; without an interface on IPv4 and IPv6."""

    names = (
        Name("tcp", "tcp:8080"),
        Name(
            "tcp6",
            "tcp6:8080",
            order=("port", "backlog", "interface"),
            presets={"interface": "::"},
        ),
    )

    port: Annotated[Port, Help("port to listen on; 0 for any free one")]
    interface: Annotated[Host | None, Help("address to listen on; as a rule all of them")] = None
    backlog: Annotated[Backlog, Help("connections that may wait to be accepted")] = 1024
    _: KW_ONLY
    v6only: Annotated[YesNo | None, Help("keep an IPv6 socket from taking IPv4 too")] = None
    reuse_port: Annotated[YesNo, Help("share the port with other processes", "reusePort")] = False

    def client(self, address: Address, acceptor: Acceptor) -> ClientSpec:  # noqa: ARG002
        assert address.port is not None
        return TCPClient(reachable_host(address), address.port)


def bind_tcp(
    spec: ServerSpec,
    port: int,
    interface: str | None,
    backlog: int,
    *,
    v6only: bool | None = None,
    reuse_port: bool = False,
) -> list[ListeningSocket]:
    """Open listening TCP sockets, all or none, as `bind_port` does.

    Raises:
        ListenError: The system refused one of them.
    """
    return bind_port(spec, _Opener(backlog, reuse_port), port, interface, v6only=v6only)


@dataclass(frozen=True, slots=True)
class _Opener:
    """Makes listening sockets."""

    protocol: ClassVar[str] = "tcp"
    backlog: int
    reuse_port: bool

    def open(self, family: int) -> ListeningSocket:
        return ListeningSocket(
            family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, socket.IPPROTO_TCP
        )

    def prepare(self, sock: ListeningSocket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit it, whoever accepts them.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)

    def start(self, sock: ListeningSocket) -> None:
        sock.listen(self.backlog)
