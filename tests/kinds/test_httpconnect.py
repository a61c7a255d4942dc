"""The kind ``httpconnect``; what it shares with other proxies is in ``test_proxied``."""

from __future__ import annotations

import errno

import pytest

from asyncendpoints.connecting import connect
from asyncendpoints.errors import DescriptionError, ProxyError, SpecError
from asyncendpoints.kinds.httpconnect import HTTPConnectClient
from asyncendpoints.specs import ClientSpec, parse_client
from tests.clock import run
from tests.proxying import PROXY, WAYS, FakeProxy
from tests.support import Recorder

OVER = pytest.mark.parametrize("way", WAYS, ids=["plain", "covered"])

OK = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.mark.parametrize(
    ("host", "authority"),
    [
        ("example.org", b"example.org:443"),
        ("b\xfccher.example", b"xn--bcher-kva.example:443"),
        ("192.0.2.1", b"192.0.2.1:443"),
        ("2001:db8::1", b"[2001:db8::1]:443"),
    ],
)
@OVER
def test_target(host: str, authority: bytes, way: ClientSpec) -> None:
    """The target is named as in a URL, in A-labels."""
    request = b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (authority, authority)

    async def main() -> None:
        proxy = FakeProxy([(request, OK)])
        async with proxy.serving():
            transport, _ = await connect(HTTPConnectClient(host, 443, proxy=way), Recorder)
            assert proxy.served[0].received == b""
            transport.abort()

    run(main())


@OVER
@pytest.mark.parametrize("size", [None, 1])
def test_all_that_can_be_sent(way: ClientSpec, size: int | None) -> None:
    """Credentials and a user agent go with the request; interim responses are passed over."""
    request = (
        b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n"
        b"Proxy-Authorization: Basic w7w6cHc6\r\nUser-Agent: me/1 (x)\r\n\r\n"
    )
    answer = b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"hello"

    async def main() -> None:
        proxy = FakeProxy([(request, answer)], size=size)
        async with proxy.serving():
            spec = HTTPConnectClient(
                "example.org",
                443,
                proxy=way,
                username="\xfc",
                password="pw:",
                user_agent="me/1 (x)",
            )
            transport, there = await connect(spec, Recorder)
            await proxy.clients.get()
            assert there.received == b"hello"
            transport.abort()

    run(main())


@OVER
@pytest.mark.parametrize(
    ("head", "problem", "code", "number"),
    [
        (
            b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nno",
            "did not connect to example.org:443: it answered 502 'Bad Gateway'",
            502,
            None,
        ),
        (
            b"HTTP/1.1 407 \r\nProxy-Authenticate: A\r\n\r\n",
            "did not connect to example.org:443: it answered 407, and offers A (only Basic can be had here)",
            407,
            errno.EACCES,
        ),
        (
            b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000,
            "gave a head of more than 16384 bytes",
            None,
            None,
        ),
    ],
)
def test_refusal(
    way: ClientSpec, head: bytes, problem: str, code: int | None, number: int | None
) -> None:
    """A refusal is an error with the status, and so is an answer without end."""

    async def main() -> ProxyError:
        proxy = FakeProxy([(b"", head)])
        async with proxy.serving():
            with pytest.raises(ProxyError) as caught:
                await connect(HTTPConnectClient("example.org", 443, proxy=way), Recorder)
            await proxy.served[0].lost.wait()
            return caught.value

    error = run(main())
    assert error.problem == f"the HTTP proxy at {way.display()} {problem}"
    assert (error.code, error.errno, error.stage) == (code, number, "proxy")


def test_refused_password() -> None:
    """A password that is not accepted is not shown."""

    async def main() -> str:
        answer = b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\n\r\n"
        async with FakeProxy([(b"", answer)]).serving():
            spec = HTTPConnectClient("x", 1, proxy=PROXY, username="u", password="secret")
            with pytest.raises(ProxyError) as caught:
                await connect(spec, Recorder)
            return str(caught.value) + repr(caught.value)

    shown = run(main())
    assert "the username and password given are not accepted" in shown
    assert "secret" not in shown


@pytest.mark.parametrize(
    ("rest", "problem"),
    [
        ("username=a\\:b:password=p", "username is 'a:b', expected a username without colons"),
        ("username=a\nb:password=p", "expected a username without colons and control characters"),
        ("username=a:password=p\r\nX", "password has control characters, which HTTP cannot carry"),
        ("user_agent=a\r\nX", "expected visible ASCII characters, with spaces between them"),
        ("user_agent=\xfc", "expected visible ASCII characters"),
        ("user_agent=[]", "user_agent is '', expected visible ASCII characters"),
    ],
)
def test_wrong_text(rest: str, problem: str) -> None:
    """What would break a line of HTTP, or the form of Basic, is refused when it is read."""
    with pytest.raises(DescriptionError) as caught:
        parse_client(f"httpconnect:a:1:b:2:{rest}")
    assert problem in caught.value.problem


def test_user_agent_of_another_type() -> None:
    """A user agent that is no text is refused."""
    with pytest.raises(SpecError):
        HTTPConnectClient("x", 1, proxy=PROXY, user_agent=5)  # type: ignore[arg-type]


def test_text() -> None:
    """A password can be empty, and a user agent can have another spelling."""
    spec = parse_client("httpconnect:a:1:b:2:username=token:password=[]:userAgent=me/1 (x)")
    assert spec == HTTPConnectClient(
        "b", 2, proxy_host="a", proxy_port=1, username="token", password="", user_agent="me/1 (x)"
    )
    assert parse_client(str(spec)) == spec
