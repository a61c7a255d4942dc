"""The kind ``socks5``; what it shares with other proxies is in ``test_proxied``."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING, Any

import pytest

from asyncendpoints import events
from asyncendpoints.addresses import Address
from asyncendpoints.attempt import Attempt
from asyncendpoints.connecting import connect
from asyncendpoints.errors import DescriptionError, ProxyError, ResolveError
from asyncendpoints.kinds.socks5 import SOCKS5Client
from asyncendpoints.specs import ClientSpec, parse_client
from tests.clock import run
from tests.proxying import PROXY, WAYS, Dialogue, FakeProxy
from tests.serving import until
from tests.support import Recorder

if TYPE_CHECKING:
    from collections.abc import Sequence

OVER = pytest.mark.parametrize("way", WAYS, ids=["plain", "covered"])

GRANTED = bytes.fromhex("05000001000000000000")
REFUSED = bytes.fromhex("05050001000000000000")


def dialogue(request: bytes, reply: bytes = GRANTED) -> Dialogue:
    """Give the dialogue of a proxy without authentication."""
    return [(b"\x05\x01\x00", b"\x05\x00"), (b"\x05\x01\x00" + request, reply)]


def refused(spec: ClientSpec, *dialogues: Dialogue, **options: Any) -> ProxyError:
    """Connect through a fake proxy in vain, and give the error."""

    async def main() -> ProxyError:
        proxy = FakeProxy(*dialogues)
        async with proxy.serving():
            with pytest.raises(ProxyError) as caught:
                await open_with(spec, **options)
            assert len(proxy.served) == len(dialogues)
            return caught.value

    return run(main())


async def open_with(spec: ClientSpec, *addresses: Address) -> tuple[Any, Any]:
    """Connect where every name has these addresses."""

    async def lookup(host: str, port: int, family: int) -> Sequence[Address]:
        assert (host, port, family) == ("example.org", 443, socket.AF_UNSPEC)
        return addresses

    return await spec.open(Attempt(spec, lookup=lookup), Recorder)


def v4(host: str) -> Address:
    """Give an address."""
    return Address(socket.AF_INET, (host, 443))


V6 = Address(socket.AF_INET6, ("2001:db8::1", 443, 0, 0))

TO_NAME = b"\x03\x0bexample.org\x01\xbb"
TO_V6 = b"\x04" + bytes.fromhex("20010db8000000000000000000000001") + b"\x01\xbb"
TO_V4 = b"\x01\xc0\x00\x02\x01\x01\xbb"


@pytest.mark.parametrize(
    ("host", "request_"),
    [
        ("example.org", TO_NAME),
        ("example.org.", b"\x03\x0cexample.org.\x01\xbb"),
        ("b\xfccher.example", b"\x03\x15xn--bcher-kva.example\x01\xbb"),
        ("2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion", None),
        ("192.0.2.1", TO_V4),
        ("2001:db8::1", TO_V6),
    ],
)
@OVER
def test_target(host: str, request_: bytes | None, way: ClientSpec) -> None:
    """Names go to the proxy in A-labels and are not looked up here, addresses as addresses."""
    name = host.encode("ascii", "replace")
    expected = request_ or b"\x03" + bytes([len(name)]) + name + b"\x01\xbb"
    seen: list[events.Event] = []

    async def main() -> None:
        async with FakeProxy(dialogue(expected)).serving():
            spec = SOCKS5Client(host, 443, proxy=way)
            transport, _ = await connect(spec, Recorder, on_event=seen.append)
            transport.abort()

    run(main())
    assert not [each for each in seen if isinstance(each, events.LookupStarted)]


@OVER
@pytest.mark.parametrize("size", [None, 1])
def test_password(way: ClientSpec, size: int | None) -> None:
    """Username and password are given to a proxy that asks for them, in UTF-8."""
    talk = [
        (b"\x05\x02\x00\x02", b"\x05\x02"),
        (b"\x01\x02\xc3\xbc\x02pw", b"\x01\x00"),
        (b"\x05\x01\x00" + TO_NAME, GRANTED + b"hello"),
    ]

    async def main() -> None:
        proxy = FakeProxy(talk, size=size)
        async with proxy.serving():
            spec = SOCKS5Client("example.org", 443, proxy=way, username="\xfc", password="pw")
            transport, there = await connect(spec, Recorder)
            await proxy.clients.get()
            assert there.received == b"hello"
            transport.abort()

    run(main())


@OVER
def test_wrong_password(way: ClientSpec) -> None:
    """A password that is not accepted is an error that does not show it."""
    talk = [(b"\x05\x02\x00\x02", b"\x05\x02"), (b"\x01\x01u\x06secret", b"\x01\x01")]
    error = refused(
        SOCKS5Client("example.org", 443, proxy=way, username="u", password="secret"), talk
    )
    place = f"the SOCKS5 proxy at {way.display()}"
    assert error.problem == f"{place} does not accept this username and password"
    assert (error.errno, error.code, error.stage) == (errno.EACCES, None, "proxy")
    assert "secret" not in str(error) + repr(error)


def test_password_that_is_missing() -> None:
    """A proxy that wants authentication is told with what to give."""
    error = refused(SOCKS5Client("example.org", 443, proxy=PROXY), [(b"\x05\x01\x00", b"\x05\xff")])
    assert error.problem.endswith("wants authentication: give username= and password=")
    assert error.errno == errno.EACCES


@OVER
@pytest.mark.parametrize("code", [*range(1, 10), *range(0xF0, 0xF8), 0xFF])
def test_reply_codes(way: ClientSpec, code: int) -> None:
    """Every code of a reply is an error with that code, the target, and a text."""
    reply = bytes([5, code]) + GRANTED[2:]
    error = refused(SOCKS5Client("example.org", 443, proxy=way), dialogue(TO_NAME, reply))
    start, _, text = error.problem.rpartition(": ")
    assert start == f"the SOCKS5 proxy at {way.display()} did not connect to example.org:443"
    assert text
    assert error.code == code
    assert error.attempts == ()


def test_refused_address() -> None:
    """An address that the proxy cannot connect to is among those that failed, with the same number."""
    error = refused(SOCKS5Client("192.0.2.1", 443, proxy=PROXY), dialogue(TO_V4, REFUSED))
    assert (error.code, error.errno) == (5, errno.ECONNREFUSED)
    (failure,) = error.attempts
    assert failure.address == v4("192.0.2.1")
    assert isinstance(failure.error, ConnectionRefusedError)
    assert failure.seconds > 0
    assert str(failure) == "192.0.2.1:443: the connection was refused"


# Names that are looked up here


@OVER
def test_local_names(way: ClientSpec) -> None:
    """With resolve=local the proxy is asked for each address until one works, over new connections."""

    async def main() -> None:
        proxy = FakeProxy(dialogue(TO_V6, REFUSED), dialogue(TO_V4))
        async with proxy.serving():
            spec = SOCKS5Client("example.org", 443, proxy=way, resolve="local")
            transport, _ = await open_with(spec, V6, v4("192.0.2.1"), v4("192.0.2.2"))
            await proxy.served[0].lost.wait()
            assert len(proxy.served) == 2
            transport.abort()

    run(main())


@OVER
def test_no_local_address_works(way: ClientSpec) -> None:
    """When the proxy refuses all addresses, all refusals are in the error."""

    async def main() -> ProxyError:
        unreachable = bytes([5, 4]) + GRANTED[2:]
        talks = [dialogue(TO_V6, unreachable), dialogue(TO_V4, REFUSED)]
        async with FakeProxy(*talks).serving():
            spec = SOCKS5Client("example.org", 443, proxy=way, resolve="local")
            with pytest.raises(ProxyError) as caught:
                await open_with(spec, V6, v4("192.0.2.1"))
            return caught.value

    error = run(main())
    assert error.problem == (
        f"the SOCKS5 proxy at {way.display()} connected to none of the 2 addresses of example.org: "
        "[2001:db8::1]:443: the host is unreachable; 192.0.2.1:443: the connection was refused"
    )
    assert [each.address for each in error.attempts] == [V6, v4("192.0.2.1")]
    assert (error.code, error.errno, error.stage) == (None, None, "proxy")
    assert isinstance(error.__cause__, ExceptionGroup)
    assert [each.code for each in error.__cause__.exceptions] == [4, 5]  # type: ignore[union-attr]


def test_local_addresses_that_fail_alike() -> None:
    """Where all refusals have one code, the error has it, and its number."""

    async def main() -> ProxyError:
        async with FakeProxy(dialogue(TO_V6, REFUSED), dialogue(TO_V4, REFUSED)).serving():
            spec = SOCKS5Client("example.org", 443, proxy=PROXY, resolve="local")
            with pytest.raises(ProxyError) as caught:
                await open_with(spec, V6, v4("192.0.2.1"))
            return caught.value

    error = run(main())
    assert (error.code, error.errno) == (5, errno.ECONNREFUSED)


def test_proxy_that_is_wrong_is_asked_once() -> None:
    """What is wrong with the proxy itself ends the connect, whatever addresses there are."""

    async def main() -> None:
        proxy = FakeProxy([(b"\x05\x01\x00", b"\x05\xff")])
        async with proxy.serving():
            spec = SOCKS5Client("example.org", 443, proxy=PROXY, resolve="local")
            with pytest.raises(ProxyError):
                await open_with(spec, V6, v4("192.0.2.1"))
            assert len(proxy.served) == 1

    run(main())


def test_first_proxy_that_refuses_the_second() -> None:
    """A refusal by a proxy on the way is no refusal of an address."""

    async def main() -> ProxyError:
        inner = SOCKS5Client("192.0.2.1", 443, proxy=PROXY)
        spec = SOCKS5Client("example.org", 443, proxy=inner, resolve="local")
        proxy = FakeProxy(dialogue(TO_V4, REFUSED))
        async with proxy.serving():
            with pytest.raises(ProxyError) as caught:
                await open_with(spec, V6, v4("192.0.2.2"))
            assert len(proxy.served) == 1
            return caught.value

    assert "at memory:proxy did not connect to 192.0.2.1:443" in run(main()).problem


def test_local_name_without_address() -> None:
    """A name that has no address here is not asked of the proxy."""

    async def main() -> None:
        spec = SOCKS5Client("example.org", 443, proxy=PROXY, resolve="local")
        with pytest.raises(ResolveError):
            await open_with(spec)

    run(main())


async def test_cancel_between_addresses() -> None:
    """A cancel during the second address leaves no connection."""
    proxy = FakeProxy(dialogue(TO_V6, REFUSED), dialogue(TO_V4)[:1])
    async with proxy.serving():
        spec = SOCKS5Client("example.org", 443, proxy=PROXY, resolve="local")
        task = asyncio.create_task(open_with(spec, V6, v4("192.0.2.1")))
        await until(lambda: len(proxy.served) == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await proxy.served[1].lost.wait()


# Descriptions


@pytest.mark.parametrize(
    ("rest", "problem"),
    [
        ("x:443:username=[]:password=p", "username is '', expected a username"),
        ("x:443:username=u:password=[]", "password has to have 1 to 255 bytes in UTF-8"),
        (f"x:443:username={'u' * 256}:password=p", "username has to have 1 to 255 bytes in UTF-8"),
        (f"x:443:username=u:password={'ü' * 128}", "password has to have 1 to 255 bytes in UTF-8"),
        (
            "abc.onion:443:resolve=local",
            "resolve is 'local', but only the proxy can look up .onion",
        ),
        (
            "abc.ONION.:443:resolve=local",
            "resolve is 'local', but only the proxy can look up .onion",
        ),
        ("x:443:resolve=maybe", "resolve is 'maybe', expected 'remote' or 'local'"),
    ],
)
def test_wrong_text(rest: str, problem: str) -> None:
    """What SOCKS5 cannot say, or what nobody could look up, is refused when it is read."""
    with pytest.raises(DescriptionError) as caught:
        parse_client(f"socks5:{rest}:proxy=[memory:proxy]")
    assert caught.value.problem == problem


@pytest.mark.parametrize("name", ["u" * 255, "\xfc" * 127])
def test_long_username(name: str) -> None:
    """Username and password can have 255 bytes."""
    spec = parse_client(f"socks5:a:1:b:2:username={name}:password={name}")
    assert spec == SOCKS5Client("b", 2, proxy_host="a", proxy_port=1, username=name, password=name)


def test_text_in_tls() -> None:
    """A TLS client takes a proxy in brackets."""
    spec = parse_client("tls:example.org:443:endpoint=[socks5:localhost:9050:example.org:443]")
    inner = SOCKS5Client("example.org", 443, proxy_host="localhost", proxy_port=9050)
    assert spec.endpoint == inner  # type: ignore[attr-defined]
    assert parse_client(str(spec)) == spec
