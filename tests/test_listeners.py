"""Listening sockets and the connections that they accept."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from asyncendpoints.addresses import Address
from asyncendpoints.listeners import (
    Connection,
    ListeningSocket,
    PlainAcceptor,
    _rebuild,
    peer_address,
    tracked,
)
from tests.serving import Visits

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def listener() -> Iterator[ListeningSocket]:
    """Give a socket that listens on a port."""
    with ListeningSocket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock


def connection() -> tuple[Connection, socket.socket, list[Connection]]:
    """Give a connection, its peer, and the list of the ends that it reports."""
    one, other = socket.socketpair()
    made = tracked(one)
    ended: list[Connection] = []
    made.on_end = ended.append
    return made, other, ended


def test_accept_gives_connections(listener: ListeningSocket) -> None:
    """What is accepted is a connection of the listener's family, type and protocol, closed on exec."""
    with socket.create_connection(listener.getsockname()) as client:
        accepted, address = listener.accept()
        with accepted:
            assert type(accepted) is Connection
            assert (accepted.family, accepted.type, accepted.proto) == (
                socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
            )
            assert address == client.getsockname()
            assert not accepted.get_inheritable()


def test_family_and_type_are_enumerations(listener: ListeningSocket) -> None:
    """Family and type are what the socket module gives, of a listener and of its connections."""
    with socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            for each in (listener, accepted):
                assert each.family is socket.AddressFamily.AF_INET
                assert each.type is socket.SocketKind.SOCK_STREAM


def test_tracked_takes_the_descriptor() -> None:
    """A plain socket becomes a connection with its descriptor, and is none any more."""
    one, other = socket.socketpair()
    descriptor = one.fileno()
    with tracked(one) as made, other:
        assert (made.fileno(), one.fileno()) == (descriptor, -1)
        assert (made.family, made.type) == (socket.AF_UNIX, socket.SOCK_STREAM)


def test_tracked_leaves_a_connection_as_it_is() -> None:
    """A connection needs nothing done to it."""
    made, other, _ = connection()
    with made, other:
        assert tracked(made) is made


def test_close_is_reported_once() -> None:
    """Closing a connection, and closing it again, is one end."""
    made, other, ended = connection()
    made.close()
    made.close()
    other.close()
    assert ended == [made]


def test_detach_is_reported() -> None:
    """A descriptor that is taken from its connection ends it: that is how uvloop closes."""
    made, other, ended = connection()
    os.close(made.detach())
    assert ended == [made]
    made.close()
    other.close()
    assert ended == [made]


def test_end_is_reported_when_the_descriptor_is_closed() -> None:
    """A socket that is closed while a file holds on to it has ended when the file is closed."""
    made, other, ended = connection()
    with other:
        file = made.makefile("rb")
        made.close()
        assert ended == []
        file.close()
        assert ended == [made]


def test_end_without_anybody_who_asked() -> None:
    """A connection that nobody watches can be closed."""
    one, other = socket.socketpair()
    tracked(one).close()
    other.close()
    assert one.fileno() == -1


def test_rebuilt_from_what_another_process_passed(listener: ListeningSocket) -> None:
    """A descriptor that was passed becomes a listening socket on the same address."""

    class Passed:
        def detach(self) -> int:
            return os.dup(listener.fileno())

    with _rebuild(listener.family, listener.type, listener.proto, Passed()) as rebuilt:
        assert rebuilt.getsockname() == listener.getsockname()


def test_addresses_that_a_proxy_has_told() -> None:
    """What a proxy has told stands in place of the socket's own addresses, and who wants to know hears it."""
    made, other, _ = connection()
    client, site = ("192.0.2.1", 56324), ("198.51.100.2", 443)
    heard: list[object] = []
    with made, other:
        assert (made.getpeername(), made.getsockname()) == ("", "")
        made.on_told = lambda *told: heard.append(told)
        made.tell(client, site)
        assert (made.getpeername(), made.getsockname()) == (client, site)
        assert heard == [(made, client)]


def test_the_address_of_a_peer() -> None:
    """The address of a peer that has gone is nothing, and no error."""
    made, other, _ = connection()
    with other:
        made.tell(("192.0.2.1", 1), ("192.0.2.2", 2))
        assert peer_address(made) == Address(socket.AF_UNIX, ("192.0.2.1", 1))
        made.close()
    with socket.socket() as unconnected:
        assert peer_address(unconnected) == Address(socket.AF_INET, "")


async def test_plain_acceptor() -> None:
    """A plain connection is given to its protocol at once; there is nothing to reload."""
    visits = Visits()
    one, other = socket.socketpair()
    acceptor = PlainAcceptor()
    acceptor.reload()
    with other:
        transport, protocol = await acceptor.accept(tracked(one), visits, 30.0)
        assert protocol.transport is transport
        transport.abort()
        await protocol.lost.wait()
