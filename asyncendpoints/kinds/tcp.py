"""TCP: ``tcp`` and ``tcp6``, to connect and to listen."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING, Annotated, TypeVar

from asyncendpoints.addresses import Address, is_ipv4
from asyncendpoints.errors import AddressInUseError, ListenError
from asyncendpoints.fields import Backlog, Choice, Help, Host, Port, Seconds, YesNo
from asyncendpoints.grammar import Name
from asyncendpoints.holders import port_holder
from asyncendpoints.listeners import ListeningSocket
from asyncendpoints.names import literal
from asyncendpoints.specs import ClientSpec, ServerSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncendpoints.attempt import Attempt
    from asyncendpoints.listeners import Acceptor, Listener

__all__ = ["Family", "PortServer", "TCPClient", "TCPServer", "bind_tcp", "reachable_host"]

T = TypeVar("T")

Family = Annotated[str, Choice("any", "ipv4", "ipv6")]

#: How often a port number is drawn that has to be free for both families.
_DRAWS = 20

#: What to say of an error, beside what the system says.
_HINTS = {
    errno.EACCES: "ports below 1024 need root or CAP_NET_BIND_SERVICE; systemd: can pass them on",
    errno.EADDRNOTAVAIL: "no interface of this machine has the address",
}


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

    async def open_socket(self, attempt: Attempt) -> socket.socket:
        addresses = await attempt.addresses(self.host, self.port, self.family)
        local = None
        if self.bind_address is not None or self.bind_port:
            local = (self.bind_address, self.bind_port)
        return await attempt.race(addresses, local)


class PortServer(ServerSpec):
    """The base of servers that listen on a TCP port, which have these fields."""

    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def port(self) -> int: ...
        @property
        def interface(self) -> str | None: ...
        @property
        def backlog(self) -> int: ...
        @property
        def v6only(self) -> bool | None: ...
        @property
        def reuse_port(self) -> bool: ...

    def beside(self, others: Sequence[ServerSpec]) -> ServerSpec:
        """Leave IPv4 to another server on the same port that names an IPv4 address."""
        if self.interface != "::" or self.v6only is not None:
            return self
        taken = any(
            isinstance(other, PortServer)
            and other.port == self.port
            and other.interface is not None
            and is_ipv4(other.interface)
            for other in others
        )
        return replace(self, v6only=True) if taken else self  # type: ignore[type-var]  # subclasses are

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
class TCPServer(PortServer):
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


def reachable_host(address: Address) -> str:
    """Give the host by which this machine reaches a listening address."""
    if not address.is_wildcard():
        return address.host
    return "::1" if address.family == socket.AF_INET6 else "127.0.0.1"


def bind_tcp(
    spec: ServerSpec,
    port: int,
    interface: str | None,
    backlog: int,
    *,
    v6only: bool | None = None,
    reuse_port: bool = False,
) -> list[ListeningSocket]:
    """Open listening TCP sockets, all or none.

    Without an interface there is one for IPv4 and one for IPv6, on one port number also if the port is 0;
    only one of them where the machine lacks the other family. An interface that is a host name is looked up
    with the system's resolver while the caller waits.

    Raises:
        ListenError: The system refused one of them.
    """
    if interface is None:
        return _bind_both(spec, port, backlog, reuse_port=reuse_port)
    try:
        address = literal(interface, port)
        addresses = _look_up(interface, port) if address is None else [address]
    except OSError as error:
        problem = (
            f"cannot find the interface {interface!r}: {(error.strerror or str(error)).lower()}"
        )
        raise ListenError(spec, problem, errno=error.errno) from error
    return _bind_all(spec, addresses, backlog, v6only=v6only, reuse_port=reuse_port)


def _look_up(interface: str, port: int) -> list[Address]:
    found = socket.getaddrinfo(interface, port, 0, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    return list(dict.fromkeys(Address(each[0], each[4]) for each in found))


def _bind_both(
    spec: ServerSpec, port: int, backlog: int, *, reuse_port: bool
) -> list[ListeningSocket]:
    families = [each for each in (socket.AF_INET, socket.AF_INET6) if _is_available(each)]
    wildcards = [
        Address(family, ("0.0.0.0", port) if family == socket.AF_INET else ("::", port, 0, 0))  # noqa: S104
        # Where neither can be found out, as without descriptors, the error of IPv4 says why.
        for family in families or [socket.AF_INET]
    ]
    return _until_free(
        lambda: _bind_all(spec, wildcards, backlog, v6only=True, reuse_port=reuse_port),
        draws=1 if port else _DRAWS,
    )


def _until_free(bind: Callable[[], T], draws: int) -> T:
    """Bind again when the number that the first family was given is taken in the second."""
    for _ in range(draws - 1):
        with suppress(AddressInUseError):
            return bind()
    return bind()


def _is_available(family: int) -> bool:
    """Tell whether the machine has an IP family: it can make a socket and bind it to loopback."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
    except OSError:
        return False
    return True


def _bind_all(
    spec: ServerSpec,
    addresses: Sequence[Address],
    backlog: int,
    *,
    v6only: bool | None,
    reuse_port: bool,
) -> list[ListeningSocket]:
    """Bind one socket to each address; those after the first take its port if theirs is 0."""
    sockets: list[ListeningSocket] = []
    try:
        for address in addresses:
            sockaddr = address.sockaddr
            if sockets and not sockaddr[1]:
                sockaddr = (sockaddr[0], sockets[0].getsockname()[1], *sockaddr[2:])
            sockets.append(_bind_one(Address(address.family, sockaddr), v6only, reuse_port))
        for sock in sockets:
            sock.listen(backlog)
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise _listen_error(spec, Address(address.family, sockaddr), error) from error
    return sockets


def _bind_one(address: Address, v6only: bool | None, reuse_port: bool) -> ListeningSocket:
    sock = ListeningSocket(
        address.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, socket.IPPROTO_TCP
    )
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit it, whoever accepts them.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if address.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(bool(v6only)))
        sock.bind(address.sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


def _listen_error(spec: ServerSpec, address: Address, error: OSError) -> ListenError:
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    problem = f"cannot listen on {address}: {reason}"
    if error.errno != errno.EADDRINUSE:
        hint = _HINTS.get(error.errno or 0, "")
        return ListenError(spec, problem, hint, error.errno)
    assert address.port is not None
    holder = port_holder(address.port)
    hint = f"held by {holder}" if holder else "another program has it; tcp:0 takes any free port"
    return AddressInUseError(spec, problem, hint, error.errno)
