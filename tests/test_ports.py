"""Ports: what all servers that have one share."""

from __future__ import annotations

import errno
import socket
from typing import ClassVar

import pytest

from asyncendpoints.addresses import Address
from asyncendpoints.errors import AddressInUseError, ListenError
from asyncendpoints.kinds.dns import DNSServer
from asyncendpoints.kinds.tcp import TCPServer
from asyncendpoints.kinds.udp import UDPServer
from asyncendpoints.ports import (
    PortServer,
    _held,
    _is_available,
    _listen_error,
    bind_port,
    reachable_host,
    until_free,
)


@pytest.mark.parametrize(("taken", "asked"), [(0, 1), (2, 3), (19, 20)])
def test_port_that_one_family_lacks_is_drawn_again(taken: int, asked: int) -> None:
    """While the number drawn for both families is taken in one of them, another one is drawn."""
    answers = [AddressInUseError(TCPServer(0), "taken")] * taken
    calls: list[int] = []

    def bind_both() -> str:
        calls.append(1)
        if answers:
            raise answers.pop()
        return "bound"

    assert until_free(0, bind_both) == "bound"
    assert len(calls) == asked


@pytest.mark.parametrize(("port", "draws"), [(53, 1), (0, 20)])
def test_port_that_is_never_free(port: int, draws: int) -> None:
    """After so many draws, or with a number of the user's own, a taken port is an error."""
    calls: list[int] = []

    def bind_both() -> str:
        calls.append(1)
        raise AddressInUseError(TCPServer(0), "taken")

    with pytest.raises(AddressInUseError):
        until_free(port, bind_both)
    assert len(calls) == draws


class Unlucky:
    """Opens UDP sockets; the first few ports are taken."""

    protocol: ClassVar[str] = "udp"

    def __init__(self, taken: int) -> None:
        self.taken = taken

    def open(self, family: int) -> socket.socket:
        return socket.socket(family, socket.SOCK_DGRAM)

    def prepare(self, sock: socket.socket) -> None:
        self.taken -= 1
        if self.taken >= 0:
            raise OSError(errno.EADDRINUSE, "taken")

    def start(self, sock: socket.socket) -> None:
        """Nothing is left to do."""


def test_only_a_number_of_the_system_is_drawn_again() -> None:
    """Port 0 is drawn again while it is taken; a number of the user's own is tried once."""
    spec = UDPServer(0)
    for sock in bind_port(spec, Unlucky(3), 0, None):
        sock.close()
    with pytest.raises(AddressInUseError):
        bind_port(spec, Unlucky(1), 40000, None)


def test_family_that_is_off() -> None:
    """A family that the machine cannot do is not available; IPv4 is."""
    assert _is_available(socket.AF_INET)
    assert not _is_available(9999)


def test_holder_that_is_unknown() -> None:
    """Where nobody can be named, the hint says what would help."""
    address = Address(socket.AF_INET, ("127.0.0.1", 1))
    error = _listen_error(TCPServer(1), "tcp", address, OSError(errno.EADDRINUSE, ""))
    assert type(error) is AddressInUseError
    assert error.hint == "another program has it; tcp:0 takes any free port"


INSTEAD = (
    "another port, as in udp:10053, or an address that it leaves free, "
    "as in udp:53:interface=192.0.2.1, would do"
)
STUB = "DNSStubListener=no in resolved.conf makes it give the port up"


@pytest.mark.parametrize(
    ("holder", "hint"),
    [
        (None, f"held by another program; {INSTEAD}"),
        ("knotd (process 7)", f"held by knotd (process 7); {INSTEAD}"),
        ("systemd-resolve (process 7)", f"held by systemd-resolve (process 7); {INSTEAD}; {STUB}"),
    ],
)
def test_port_of_another_resolver(holder: str | None, hint: str) -> None:
    """The hint for the DNS port says what would do instead, and how a known resolver gives it up."""
    assert _held(UDPServer(53), "udp", 53, holder) == hint


def test_dns_port_is_privileged() -> None:
    """Where the DNS port is not allowed, the hint says that there are others."""
    address = Address(socket.AF_INET, ("0.0.0.0", 53))
    error = _listen_error(TCPServer(53), "tcp", address, OSError(errno.EACCES, ""))
    assert isinstance(error, PermissionError)
    assert error.hint == (
        "ports below 1024 need root or CAP_NET_BIND_SERVICE; "
        "another port, as in tcp:10053, does not"
    )


def test_privileged_port() -> None:
    """A port that is not allowed gets the hint who may have it."""
    address = Address(socket.AF_INET, ("0.0.0.0", 80))
    error = _listen_error(TCPServer(80), "tcp", address, OSError(errno.EACCES, ""))
    assert isinstance(error, ListenError)
    assert str(error) == (
        "tcp:80: cannot listen on 0.0.0.0:80: permission denied "
        "(ports below 1024 need root or CAP_NET_BIND_SERVICE; systemd: can pass them on)"
    )


@pytest.mark.parametrize(
    ("protocol", "code", "hint"),
    [
        ("udp", errno.EADDRINUSE, "another program has it; udp:0 takes any free port"),
        ("udp", errno.EACCES, "ports below 1024 need root or CAP_NET_BIND_SERVICE"),
        ("udp", errno.EADDRNOTAVAIL, "no interface of this machine has the address"),
        ("udp", errno.ENOBUFS, ""),
    ],
)
def test_hint_fits_the_protocol(protocol: str, code: int, hint: str) -> None:
    """The hint names the kind of the protocol, and nothing that the protocol cannot do."""
    address = Address(socket.AF_INET, ("127.0.0.1", 1))
    assert _listen_error(UDPServer(1), protocol, address, OSError(code, "")).hint == hint


def test_error_without_a_number() -> None:
    """An error of Python's own has no number, and its text is told."""
    address = Address(socket.AF_INET, ("127.0.0.1", 1))
    error = _listen_error(TCPServer(1), "tcp", address, OSError("something odd"))
    assert str(error) == "tcp:1: cannot listen on 127.0.0.1:1: something odd"


@pytest.mark.parametrize(
    ("spec", "other", "v6only"),
    [
        (UDPServer(53, "::"), UDPServer(53, "127.0.0.1"), True),
        (TCPServer(53, "::"), TCPServer(53, "0.0.0.0"), True),
        (UDPServer(53, "::"), TCPServer(53, "127.0.0.1"), None),
        (UDPServer(53, "::"), UDPServer(54, "127.0.0.1"), None),
        (UDPServer(53, "::"), UDPServer(53, "::1"), None),
        (UDPServer(53, "::"), UDPServer(53), None),
        (UDPServer(53, "::", v6only=False), UDPServer(53, "127.0.0.1"), False),
        (UDPServer(53, "::1"), UDPServer(53, "127.0.0.1"), None),
        (DNSServer(53, "::"), UDPServer(53, "127.0.0.1"), True),
        (TCPServer(53, "::"), DNSServer(53, "127.0.0.1"), True),
    ],
)
def test_beside(spec: PortServer, other: PortServer, v6only: bool | None) -> None:
    """A server on :: leaves IPv4 to another of its protocol that names an IPv4 address on its port."""
    beside = spec.beside([other])
    assert isinstance(beside, PortServer)
    assert beside.v6only is v6only


@pytest.mark.parametrize(
    ("address", "host"),
    [
        (Address(socket.AF_INET, ("0.0.0.0", 53)), "127.0.0.1"),
        (Address(socket.AF_INET6, ("::", 53, 0, 0)), "::1"),
        (Address(socket.AF_INET, ("192.0.2.1", 53)), "192.0.2.1"),
    ],
)
def test_reachable_host(address: Address, host: str) -> None:
    """What is bound to every address is reached on loopback, anything else by its address."""
    assert reachable_host(address) == host
