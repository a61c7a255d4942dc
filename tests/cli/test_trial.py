"""Whether a port could be had, and that trying leaves nothing behind."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from asyncendpoints.cli.trial import try_port
from asyncendpoints.errors import AddressInUseError, ListenError
from asyncendpoints.ports import PortServer
from asyncendpoints.specs import parse_server
from tests.support import open_descriptors, unused_port

if TYPE_CHECKING:
    from collections.abc import Iterator

SORTS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


@contextmanager
def holding(protocol: str, *options: int, host: str = "127.0.0.1") -> Iterator[int]:
    """Hold a port of a protocol, on one address, with socket options that are set to 1."""
    with socket.socket(socket.AF_INET, SORTS[protocol]) as sock:
        for each in options:
            sock.setsockopt(socket.SOL_SOCKET, each, 1)
        sock.bind((host, unused_port()))
        if protocol == "tcp":
            sock.listen()
        yield sock.getsockname()[1]


def attempt(text: str, protocol: str) -> None:
    """Try the port of a description."""
    spec = parse_server(text)
    assert isinstance(spec, PortServer)
    try_port(spec, protocol)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("interface", ["", ":interface=127.0.0.1", ":interface=localhost"])
def test_a_port_that_is_held(protocol: str, interface: str) -> None:
    """It cannot be had on the same address, nor on all of them."""
    with holding(protocol) as port, pytest.raises(AddressInUseError):
        attempt(f"{protocol}:{port}{interface}", protocol)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_port_that_is_held_on_all_addresses(protocol: str) -> None:
    """It cannot be had on one of them."""
    with holding(protocol, host="0.0.0.0") as port, pytest.raises(AddressInUseError):
        attempt(f"{protocol}:{port}:interface=127.0.0.1", protocol)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_port_that_is_held_on_another_address(protocol: str) -> None:
    """It can be had on this one."""
    with holding(protocol) as port:
        attempt(f"{protocol}:{port}:interface=127.0.0.2", protocol)


def test_protocols_have_ports_of_their_own() -> None:
    """Of a DNS server each is tried."""
    with holding("udp") as port:
        attempt(f"dns:{port}:interface=127.0.0.1", "tcp")
        with pytest.raises(AddressInUseError):
            attempt(f"dns:{port}:interface=127.0.0.1", "udp")


def test_an_address_of_another_machine() -> None:
    """It cannot be had, whatever the port."""
    with pytest.raises(ListenError) as caught:
        attempt("tcp:0:interface=192.0.2.1", "tcp")
    assert caught.value.hint == "no interface of this machine has the address"


def test_a_port_of_tcp_is_shared_with_who_shares_it() -> None:
    """Both have to ask for it."""
    with holding("tcp", socket.SO_REUSEPORT) as port:
        attempt(f"tcp:{port}:interface=127.0.0.1:reuse_port=yes", "tcp")
        with pytest.raises(AddressInUseError):
            attempt(f"tcp:{port}:interface=127.0.0.1", "tcp")


def test_a_port_of_udp_is_not_shared() -> None:
    """What is sent to the other would come here."""
    with holding("udp", socket.SO_REUSEPORT) as port, pytest.raises(AddressInUseError):
        attempt(f"udp:{port}:interface=127.0.0.1:reuse_port=yes", "udp")


def test_a_connection_that_was_there_is_no_obstacle() -> None:
    """What is left of connections that ended does not hold a port, as for a server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = listener.accept()
            accepted.close()
    attempt(f"tcp:{port}:interface=127.0.0.1", "tcp")


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_nothing_stays(protocol: str) -> None:
    """The sockets are closed, and the port can be had."""
    before = open_descriptors()
    for _ in range(2):
        attempt(f"{protocol}:{unused_port()}", protocol)
    assert open_descriptors() == before
