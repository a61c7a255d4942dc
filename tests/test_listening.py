"""Listening: ``listen``, ``start_server`` and ``bind``."""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
from dataclasses import dataclass
from operator import methodcaller
from typing import TYPE_CHECKING, Annotated, Any

import pytest

from asyncendpoints.errors import AddressInUseError, DescriptionError, ListenError
from asyncendpoints.fields import Choice, Help
from asyncendpoints.grammar import Name
from asyncendpoints.kinds.memory import MemoryServer
from asyncendpoints.kinds.tcp import TCPClient, TCPServer
from asyncendpoints.listeners import PlainAcceptor
from asyncendpoints.listening import bind, bind_all, listen, start_server
from asyncendpoints.server import Server
from asyncendpoints.specs import ServerSpec
from asyncendpoints.streams import HandlerServer, StreamServer
from tests.serving import Visits, leave, visit
from tests.support import Recorder, open_descriptors

if TYPE_CHECKING:
    from pathlib import Path

    from asyncendpoints.addresses import Address
    from asyncendpoints.listeners import Acceptor, Listener

LOCAL = "tcp:0:interface=127.0.0.1"


@dataclass(frozen=True, slots=True, repr=False)
class Troubled(ServerSpec):
    """A server that fails where it is told to."""

    names = (Name("troubled", "troubled:"),)

    where: Annotated[str, Choice("acceptor", "bind", "client"), Help("what fails")] = "client"

    def acceptor(self) -> Acceptor:
        if self.where == "acceptor":
            raise ListenError(self, "cannot read a key")
        return PlainAcceptor()

    def bind(self) -> list[Listener]:
        if self.where == "bind":
            raise ListenError(self, "cannot bind")
        return [*bind(LOCAL)]

    def client(self, address: Address, acceptor: Acceptor) -> TCPClient:
        raise ZeroDivisionError


async def test_await_listen() -> None:
    """Awaiting listen gives the server, which listens until it is closed."""
    visits = Visits()
    server = await listen(LOCAL, visits)
    assert type(server) is Server
    _, writer = await visit(server)
    await visits.next()
    await leave(writer)
    server.close()
    await server.wait_closed()


async def test_enter_listen() -> None:
    """Entering listen gives the server, which is closed with its block."""
    async with listen(LOCAL, Recorder) as server:
        assert type(server) is Server
        assert server.is_serving()
    assert not server.is_serving()


async def test_enter_the_server() -> None:
    """A server that was awaited can be entered too, and ends with the block."""
    server = await listen(LOCAL, Recorder)
    async with server as entered:
        assert entered is server
    assert not server.is_serving()


async def test_no_factory_gives_streams() -> None:
    """Without a factory the server is one to iterate over; start_server gives one with handlers."""
    async with listen(LOCAL) as server:
        assert type(server) is StreamServer
    async with start_server(lambda _reader, writer: writer.close(), LOCAL) as handling:
        assert type(handling) is HandlerServer


async def test_several_endpoints(tmp_path: Path) -> None:
    """One server listens on texts and specs of several kinds."""
    visits = Visits()
    path = tmp_path / "s"
    endpoints: list[str | ServerSpec] = [LOCAL, f"unix:{path}", MemoryServer("several")]
    async with listen(endpoints, visits) as server:
        assert [type(each).__name__ for each in server.client_endpoints] == [
            "TCPClient",
            "UNIXClient",
            "MemoryClient",
        ]
        _, first = await visit(server)
        _, second = await asyncio.open_unix_connection(path)
        for _ in range(2):
            await visits.next()
        await leave(first, second)
    assert not path.exists()


@pytest.mark.parametrize("where", ["acceptor", "bind"])
async def test_all_or_none(where: str, tmp_path: Path) -> None:
    """If one endpoint cannot be bound the others are closed again, and no descriptor is left."""
    path = tmp_path / "s"
    before = open_descriptors()
    with pytest.raises(ListenError):
        await listen([LOCAL, f"unix:{path}", Troubled(where)], Recorder)
    assert open_descriptors() == before
    assert not path.exists()


async def test_bad_key_is_found_before_anything_is_bound(tmp_path: Path) -> None:
    """What an acceptor has to load is loaded for all endpoints before the first one is bound."""
    path = tmp_path / "s"
    bound: list[bool] = []

    class Observer(Troubled):
        __slots__ = ()

        def acceptor(self) -> Acceptor:
            bound.append(path.exists())
            return super().acceptor()

    with pytest.raises(ListenError):
        await listen([f"unix:{path}", Observer("acceptor")], Recorder)
    assert bound == [False]


async def test_nothing_is_left_if_the_server_cannot_be_made() -> None:
    """If an endpoint fails after it was bound, everything is closed, and the error comes out unchanged."""
    before = open_descriptors()
    with pytest.raises(ZeroDivisionError):
        await listen([LOCAL, Troubled()], Recorder)
    assert open_descriptors() == before


def test_wrong_text() -> None:
    """A text that is no server is an error of the call itself."""
    with pytest.raises(DescriptionError):
        listen("tcp:")
    with pytest.raises(DescriptionError):
        bind("tcp:80:bogus=1")


@pytest.mark.parametrize(
    "endpoints", [80, print, [None], [TCPClient("localhost", 80)], [LOCAL, 80]]
)
def test_what_is_no_endpoint(endpoints: Any) -> None:
    """What is neither text nor the spec of a server is a TypeError that shows it."""
    with pytest.raises(
        TypeError, match="an endpoint to listen on is a description or a server spec"
    ):
        listen(endpoints)


def test_no_endpoint() -> None:
    """Listening on nothing is an error."""
    with pytest.raises(ValueError, match="no endpoint to listen on was given"):
        listen([])


async def test_specs_of_one_call_know_of_each_other() -> None:
    """An explicit :: and an explicit 0.0.0.0 on one port can be listened on in one call."""
    with bind("tcp:0") as sockets:
        port = sockets[0].getsockname()[1]
    endpoints = [f"tcp:{port}:interface=[::]", f"tcp:{port}:interface=0.0.0.0"]
    async with listen(endpoints, Recorder) as server:
        assert sorted(str(each) for each in server.addresses) == [
            f"0.0.0.0:{port}",
            f"[::]:{port}",
        ]


async def test_address_in_use_leaves_the_first_server_alone() -> None:
    """A second server on a port is an error, and the first one goes on."""
    visits = Visits()
    async with listen(LOCAL, visits) as server:
        with pytest.raises(AddressInUseError):
            await listen(f"tcp:{server.port}:interface=127.0.0.1", Recorder)
        _, writer = await visit(server)
        await visits.next()
        await leave(writer)


# bind


async def test_sockets_for_another_server() -> None:
    """The sockets of bind work in asyncio's own server."""
    visits = Visits()
    with bind(LOCAL) as sockets:
        server = await asyncio.get_running_loop().create_server(visits, sock=sockets[0])
        _, writer = await asyncio.open_connection(*sockets[0].getsockname())
        await visits.next()
        await leave(writer)
        server.close()
        await server.wait_closed()


async def test_bind_several(tmp_path: Path) -> None:
    """Several endpoints give the sockets of all of them; leaving the block closes them and removes paths."""
    path = tmp_path / "s"
    with bind(LOCAL, f"unix:{path}") as sockets:
        assert [each.family for each in sockets] == [socket.AF_INET, socket.AF_UNIX]
        assert path.exists()
    assert [each.fileno() for each in sockets] == [-1, -1]
    assert not path.exists()


def test_sockets_can_be_closed_by_hand() -> None:
    """Closing the list closes each socket, also a second time."""
    sockets = bind(LOCAL)
    sockets.close()
    sockets.close()
    assert sockets[0].fileno() == -1


def test_bind_refuses_what_is_more_than_a_socket() -> None:
    """An endpoint whose acceptor adds something, as TLS does, cannot be handed on; nothing is bound."""
    before = open_descriptors()
    with pytest.raises(ListenError) as caught:
        bind(LOCAL, Troubled())
    assert caught.value.problem == "is more than a listening socket"
    assert open_descriptors() == before


def test_bind_refuses_what_has_no_socket() -> None:
    """An endpoint without a listening socket, as memory is, cannot be handed on; nothing is left open."""
    before = open_descriptors()
    with pytest.raises(ListenError) as caught:
        bind(LOCAL, "memory:bind-refuses")
    assert str(caught.value) == (
        "memory:bind-refuses: has no listening socket (listen() serves it)"
    )
    assert open_descriptors() == before


def test_bound_sockets_are_not_inherited() -> None:
    """Listening sockets are closed in the programs that this one starts, and do not block."""
    with bind("tcp:0") as sockets:
        assert [each.get_inheritable() for each in sockets] == [False] * len(sockets)
        assert [each.gettimeout() for each in sockets] == [0.0] * len(sockets)


def test_sockets_can_be_passed_to_a_process(tmp_path: Path) -> None:
    """A bound socket can be passed to a new process, as servers with workers do; the path stays ours."""
    path = tmp_path / "s"
    with bind(f"unix:{path}") as sockets, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=methodcaller("accept"), args=(sockets[0],))
        process.start()
        process.join()
        assert process.exitcode == 0
        process.close()
        assert client.recv(1) == b""
        assert path.exists()


def test_bind_all_gives_an_acceptor_for_each_endpoint() -> None:
    """The listeners of one endpoint share an acceptor, those of another have their own."""
    made = bind_all([TCPServer(0, "localhost"), TCPServer(0, "127.0.0.1")])
    acceptors = {id(each.acceptor) for each in made}
    assert len(acceptors) == 2
    for each in made:
        each.listener.close()


def test_forgotten_sockets_are_reported() -> None:
    """Sockets of bind that nobody closed give a ResourceWarning, as all sockets do."""
    with pytest.warns(ResourceWarning, match="unclosed <asyncendpoints.listeners.ListeningSocket"):
        bind(LOCAL)  # freed as soon as it is made


async def test_listen_that_nobody_awaits() -> None:
    """A listen that is neither awaited nor entered warns: nothing listens."""
    with pytest.warns(RuntimeWarning, match="<Listening tcp:1 not started> was never awaited"):
        listen("tcp:1")


async def test_listening_that_is_started_says_so() -> None:
    """What has been awaited is done with."""
    listening = listen(LOCAL)
    server = await listening
    server.close()
    assert repr(listening) == "<Listening tcp:0:127.0.0.1 started>"


async def test_a_negative_drain_is_refused() -> None:
    """A drain is 0 or more seconds, and with another one nothing stays bound."""
    with pytest.raises(ValueError, match="drain is -1, expected 0 or more seconds"):
        await listen(LOCAL, drain=-1)


def test_server_before_it_is_awaited() -> None:
    """Who takes what is to be awaited for the server is told so."""
    starting = listen(LOCAL, Recorder)
    with pytest.raises(AttributeError, match="'port'; await it, or use async with, for the server"):
        starting.port  # type: ignore[attr-defined]  # noqa: B018 - what a type checker says too
    starting.close()
