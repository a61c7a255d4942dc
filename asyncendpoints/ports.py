"""Ports: sockets bound to a port of one IP family or of both, all or none, whatever their protocol."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

from asyncendpoints.addresses import Address, is_ipv4
from asyncendpoints.errors import AddressInUseError, ListenError
from asyncendpoints.holders import port_holder
from asyncendpoints.names import literal
from asyncendpoints.specs import ServerSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Opener", "PortServer", "bind_port", "reachable_host", "until_free"]

T = TypeVar("T")
S = TypeVar("S", bound=socket.socket)

#: How often a port number is drawn that has to be free for both families.
_DRAWS = 20

#: What to say of an error, beside what the system says.
_HINTS = {
    errno.EACCES: "ports below 1024 need root or CAP_NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "no interface of this machine has the address",
}

#: The port that the resolver of the machine itself has, as a rule.
_DNS_PORT = 53
#: Such resolvers, by the name of their process, and what makes them leave other addresses alone.
_FREED_BY = {
    "systemd-resolve": "DNSStubListener=no in resolved.conf makes it give the port up",
    "dnsmasq": "bind-interfaces in dnsmasq.conf makes it leave addresses free, port=0 all of them",
    "unbound": "'interface' in unbound.conf says which addresses it takes",
    "named": "'listen-on' in named.conf says which addresses it takes",
}


class PortServer(ServerSpec):
    """The base of servers that have a port, which have these fields."""

    __slots__ = ()

    #: Of ``"tcp"`` and ``"udp"`` those whose port it is.
    protocols: ClassVar[frozenset[str]]

    if TYPE_CHECKING:

        @property
        def port(self) -> int: ...
        @property
        def interface(self) -> str | None: ...
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
            and not self.protocols.isdisjoint(other.protocols)
            and other.interface is not None
            and is_ipv4(other.interface)
            for other in others
        )
        return replace(self, v6only=True) if taken else self  # type: ignore[type-var]  # subclasses are


class Opener(Protocol[S]):
    """What the sockets of a protocol are, before and after their bind."""

    #: ``"tcp"`` or ``"udp"``.
    protocol: ClassVar[str]

    def open(self, family: int) -> S:
        """Make a socket."""

    def prepare(self, sock: S) -> None:
        """Set the options that it is to have before its bind."""

    def start(self, sock: S) -> None:
        """Do what is left when all sockets of the port are bound."""


def reachable_host(address: Address) -> str:
    """Give the host by which this machine reaches an address that a server is bound to."""
    if not address.is_wildcard():
        return address.host
    return "::1" if address.family == socket.AF_INET6 else "127.0.0.1"


def bind_port(
    spec: ServerSpec,
    opener: Opener[S],
    port: int,
    interface: str | None,
    *,
    v6only: bool | None = None,
) -> list[S]:
    """Open sockets on a port, all or none.

    Without an interface there is one for IPv4 and one for IPv6, on one port number also if the port is 0;
    only one of them where the machine lacks the other family. An interface that is a host name is looked up
    with the system's resolver while the caller waits.

    Args:
        spec: What the error names.
        opener: Makes the sockets.
        port: 0 to 65535; 0 for any that is free.
        interface: A host name or an address, or None for all.
        v6only: Whether an IPv6 socket leaves IPv4 alone. Without an interface it always does.

    Raises:
        ListenError: The system refused one of them.
    """
    if interface is None:
        return _bind_both(spec, opener, port)
    try:
        address = literal(interface, port)
        addresses = _look_up(interface, port) if address is None else [address]
    except OSError as error:
        problem = (
            f"cannot find the interface {interface!r}: {(error.strerror or str(error)).lower()}"
        )
        raise ListenError(spec, problem, errno=error.errno) from error
    return _bind_all(spec, opener, addresses, v6only=bool(v6only))


def _look_up(interface: str, port: int) -> list[Address]:
    # The addresses of a host are the same for every protocol: one is asked for, so that each comes once.
    found = socket.getaddrinfo(interface, port, 0, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    return list(dict.fromkeys(Address(each[0], each[4]) for each in found))


def _bind_both(spec: ServerSpec, opener: Opener[S], port: int) -> list[S]:
    families = [each for each in (socket.AF_INET, socket.AF_INET6) if _is_available(each)]
    wildcards = [
        Address(family, ("0.0.0.0", port) if family == socket.AF_INET else ("::", port, 0, 0))  # noqa: S104
        # Where neither can be found out, as without descriptors, the error of IPv4 says why.
        for family in families or [socket.AF_INET]
    ]
    return until_free(port, lambda: _bind_all(spec, opener, wildcards, v6only=True))


def until_free(port: int, bind: Callable[[], T]) -> T:
    """Bind more than one socket to a port, again if it is 0 and the number that the first got is taken.

    Args:
        port: What the user gave, 0 to 65535.
        bind: Binds them, all or none.

    Raises:
        ListenError: The number is taken, or 20 numbers were.
    """
    for _ in range(0 if port else _DRAWS - 1):
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
    spec: ServerSpec, opener: Opener[S], addresses: Sequence[Address], *, v6only: bool
) -> list[S]:
    """Bind one socket to each address; those after the first take its port if theirs is 0."""
    sockets: list[S] = []
    try:
        for address in addresses:
            sockaddr = address.sockaddr
            if sockets and not sockaddr[1]:
                sockaddr = (sockaddr[0], sockets[0].getsockname()[1], *sockaddr[2:])
            sockets.append(_bind_one(opener, Address(address.family, sockaddr), v6only=v6only))
        for sock in sockets:
            opener.start(sock)
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise _listen_error(
            spec, opener.protocol, Address(address.family, sockaddr), error
        ) from error
    return sockets


def _bind_one(opener: Opener[S], address: Address, *, v6only: bool) -> S:
    sock = opener.open(address.family)
    try:
        opener.prepare(sock)
        if address.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(v6only))
        sock.bind(address.sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


def _listen_error(spec: ServerSpec, protocol: str, address: Address, error: OSError) -> ListenError:
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    problem = f"cannot listen on {address}: {reason}"
    if error.errno != errno.EADDRINUSE:
        hint = _HINTS.get(error.errno or 0, "")
        if error.errno == errno.EACCES and address.port == _DNS_PORT:
            hint += f"; another port, as in {spec.names[0].text}:10053, does not"
        elif error.errno == errno.EACCES and protocol == "tcp":
            hint += "; systemd: can pass them on"
        return ListenError(spec, problem, hint, error.errno)
    assert address.port is not None
    holder = port_holder(address.port, protocol=protocol)
    return AddressInUseError(
        spec, problem, _held(spec, protocol, address.port, holder), error.errno
    )


def _held(spec: ServerSpec, protocol: str, port: int, holder: str | None) -> str:
    """Say what would help where another program has a port."""
    if port != _DNS_PORT:
        free = f"another program has it; {protocol}:0 takes any free port"
        return f"held by {holder}" if holder else free
    kind = spec.names[0].text
    hint = (
        f"held by {holder or 'another program'}; another port, as in {kind}:10053, or an address "
        f"that it leaves free, as in {kind}:53:interface=192.0.2.1, would do"
    )
    program = holder.partition(" ")[0] if holder else ""
    return f"{hint}; {_FREED_BY[program]}" if program in _FREED_BY else hint
