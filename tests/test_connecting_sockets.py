"""``connect_socket`` and ``resolve``: what a connection rests on, and where it would go."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from asyncendpoints import (
    Address,
    AttemptStarted,
    ConnectError,
    ConnectRefusedError,
    DescriptionError,
    Event,
    LookupFinished,
    ResolveError,
    connect_socket,
    listen,
    resolve,
)
from tests.support import Recorder, open_descriptors, warm_up

if TYPE_CHECKING:
    from pathlib import Path

TCP = "tcp:0:interface=127.0.0.1"


# connect_socket


async def test_it_gives_a_connected_socket(tmp_path: Path) -> None:
    """The socket is connected, non-blocking, and the caller's to use and to close."""
    loop = asyncio.get_running_loop()
    async with listen([TCP, f"unix:{tmp_path}/app", "memory:app"]) as server:
        for endpoint in server.client_endpoints:
            with await connect_socket(endpoint) as sock:
                assert sock.gettimeout() == 0
                await loop.sock_sendall(sock, b"hello")
                reader, writer = await anext(server)
                assert await reader.readexactly(5) == b"hello"
            assert await reader.read() == b""
            writer.close()


async def test_it_tells_of_each_step() -> None:
    """``on_event`` hears of the attempt."""
    heard: list[Event] = []
    async with listen(TCP, Recorder) as server:
        (await connect_socket(server.client_endpoints[0], on_event=heard.append)).close()
    assert AttemptStarted in map(type, heard)


async def test_a_refused_socket_is_an_error_as_ever() -> None:
    """Nobody there is a ``ConnectRefusedError``."""
    with pytest.raises(ConnectRefusedError):
        await connect_socket("memory:nobody")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "tls:127.0.0.1:443",
            "the connection of a tls client is more than a socket; tunnel() opens a port that leads there",
        ),
        (
            "udp:127.0.0.1:53",
            "a udp client has datagrams and no stream; connect_datagram() opens it",
        ),
    ],
)
async def test_what_is_more_than_a_socket_is_refused(text: str, message: str) -> None:
    """An endpoint whose bytes are not those of a socket says what leads there, and opens nothing."""
    await warm_up()
    before = open_descriptors()
    with pytest.raises(ConnectError) as caught:
        await connect_socket(text)
    assert caught.value.problem == message
    assert open_descriptors() == before


async def test_a_wrong_description_is_an_error() -> None:
    """A text that is no client is a ``DescriptionError``, here as in ``connect``."""
    with pytest.raises(DescriptionError):
        await connect_socket("tcp:80")


# resolve


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("tcp:127.0.0.1:80", [Address(socket.AF_INET, ("127.0.0.1", 80))]),
        ("tcp:[::1]:80", [Address(socket.AF_INET6, ("::1", 80, 0, 0))]),
        ("tls:127.0.0.1:443", [Address(socket.AF_INET, ("127.0.0.1", 443))]),
        (
            "tls:example.org:443:endpoint=[tcp:127.0.0.1:8443]",
            [Address(socket.AF_INET, ("127.0.0.1", 8443))],
        ),
        ("udp:127.0.0.1:53", [Address(socket.AF_INET, ("127.0.0.1", 53))]),
        ("dns:127.0.0.1", [Address(socket.AF_INET, ("127.0.0.1", 53))]),
        ("socks5:127.0.0.1:1080:example.org:80", [Address(socket.AF_INET, ("127.0.0.1", 1080))]),
        ("haproxy:tcp:127.0.0.1:80", [Address(socket.AF_INET, ("127.0.0.1", 80))]),
        ("unix:/run/app", [Address(socket.AF_UNIX, "/run/app")]),
        ("unix:@app", [Address(socket.AF_UNIX, b"\0app")]),
    ],
)
async def test_it_gives_the_addresses(text: str, addresses: list[Address]) -> None:
    """Each kind that has addresses gives them, and connects to none."""
    assert await resolve(text) == addresses


async def test_it_looks_names_up() -> None:
    """A name gives what was looked up, in the order of the attempts."""
    heard: list[Event] = []
    found = await resolve("tcp:localhost:80", timeout=20, on_event=heard.append)
    assert {each.host for each in found} <= {"127.0.0.1", "::1"}
    (finished,) = (each for each in heard if isinstance(each, LookupFinished))
    assert list(finished.addresses) == found


async def test_no_address_of_the_family_is_an_error() -> None:
    """A host without an address of the wanted family is a ``ResolveError``."""
    with pytest.raises(ResolveError):
        await resolve("tcp6:127.0.0.1:80")


@pytest.mark.parametrize("text", ["memory:app", "stdio:", "fd:0", "tls:h:1:endpoint=[memory:app]"])
async def test_a_kind_without_addresses_says_so(text: str) -> None:
    """Where there is nothing to look up, the error says how to connect."""
    with pytest.raises(
        ConnectError, match=r"client has no addresses to look up; connect\(\) opens it$"
    ):
        await resolve(text)


async def test_a_path_that_is_too_long_is_an_error() -> None:
    """An address that the system does not take is none."""
    with pytest.raises(ConnectError):
        await resolve(f"unix:/{'x' * 200}")
