"""The codec of HTTP CONNECT."""

from __future__ import annotations

import base64
import errno
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints.errors import ProxyReplyError
from asyncendpoints.http_connect import (
    MOST_BYTES,
    HTTPConnectNegotiation,
    encode_request,
    parse_schemes,
)

OK = b"HTTP/1.1 200 OK\r\n\r\n"


def tell(talk: HTTPConnectNegotiation, data: bytes) -> bytes:
    """Offer bytes until none is left or the tunnel is open; give the rest."""
    while data and not talk.is_open:
        data = data[talk.take(data) :]
    return data


def read_in_pieces(talk: HTTPConnectNegotiation, data: bytes, size: int) -> int:
    """Offer bytes in pieces until the tunnel is open; give how many were read."""
    taken = 0
    while not talk.is_open:
        taken += talk.take(data[taken : taken + size])
    return taken


def refusal(data: bytes, credentials: tuple[bytes, bytes] | None = None) -> ProxyReplyError:
    """Give the error that an answer is."""
    with pytest.raises(ProxyReplyError) as caught:
        tell(HTTPConnectNegotiation("example.org", 443, credentials), data)
    return caught.value


# What is sent


def test_request() -> None:
    """The request names the target twice, and nothing else."""
    assert encode_request("example.org", 443) == (
        b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n"
    )


def test_request_with_all_that_there_is() -> None:
    """Credentials are those of Basic, and an IPv6 address stands in brackets."""
    assert encode_request("2001:db8::1", 80, (b"Aladdin", b"open sesame"), "curl/8") == (
        b"CONNECT [2001:db8::1]:80 HTTP/1.1\r\n"
        b"Host: [2001:db8::1]:80\r\n"
        b"Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"
        b"User-Agent: curl/8\r\n"
        b"\r\n"
    )


@given(st.binary(max_size=300).filter(lambda name: b":" not in name), st.binary(max_size=300))
def test_credentials_read_back(username: bytes, password: bytes) -> None:
    """What a proxy reads are the username and the password, on one line."""
    lines = encode_request("example.org", 443, (username, password)).split(b"\r\n")
    name, _, token = lines[2].rpartition(b" ")
    assert name == b"Proxy-Authorization: Basic"
    assert tuple(base64.b64decode(token).split(b":", 1)) == (username, password)
    assert lines[3:] == [b"", b""]


# What is answered


@pytest.mark.parametrize(
    "head",
    [
        OK,
        b"HTTP/1.0 200 Connection established\r\nVia: 1.0 proxy\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 200 \r\n\r\n",
        b"HTTP/1.1 299 Odd\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\n\n",
        b"HTTP/1.1 200 OK\r\nVia: x\n\r\n",
        b"HTTP/1.1 200 OK\nVia: x\r\n\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nX: y\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 16000 + b"\r\n\r\n",
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 20000])
def test_open(head: bytes, size: int) -> None:
    """In pieces of any size, every 2xx is read up to its blank line, and not beyond."""
    talk = HTTPConnectNegotiation("example.org", 443)
    assert talk.outgoing() == encode_request("example.org", 443)
    assert talk.outgoing() == b""
    stream = head + b"\r\n\r\ntunnel"
    taken = read_in_pieces(talk, stream, size)
    assert stream[taken:] == b"\r\n\r\ntunnel"


@pytest.mark.parametrize(
    ("head", "problem", "code", "number"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "it answered 502 'Bad Gateway'", 502, None),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "it answered 403 'Forbidden'", 403, errno.EACCES),
        (b"HTTP/1.1 504\r\n\r\n", "it answered 504", 504, errno.ETIMEDOUT),
        (b"HTTP/1.1 301 Moved\r\nLocation: x\r\n\r\n", "it answered 301 'Moved'", 301, None),
        (b"HTTP/1.1 101  \r\n\r\n", "it answered 101", 101, None),
        (b"HTTP/1.1 500 \x1b[31m\xff\r\n\r\n", "it answered 500 '\\x1b[31mÿ'", 500, None),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\n\r\n",
            "it answered 404 'Not Found'",
            404,
            None,
        ),
    ],
)
def test_refusal(head: bytes, problem: str, code: int, number: int | None) -> None:
    """What is neither 1xx nor 2xx is a refusal with its status and what the proxy calls it."""
    error = refusal(head)
    assert (error.problem, error.code, error.errno) == (problem, code, number)


def test_long_reason() -> None:
    """What the proxy calls its status is cut where it is long."""
    error = refusal(b"HTTP/1.1 500 " + b"x" * 10000 + b"\r\n\r\n")
    assert len(error.problem) < 120


@pytest.mark.parametrize(
    ("challenges", "with_password", "end"),
    [
        (
            [b'Proxy-Authenticate: Basic realm="a, Digest b"'],
            False,
            "offers Basic (give username= and password=)",
        ),
        (
            [b"proxy-authenticate:basic realm=x"],
            True,
            "offers basic (the username and password given are not accepted)",
        ),
        (
            [b"Proxy-Authenticate: Negotiate", b"PROXY-AUTHENTICATE:  NTLM  "],
            True,
            "offers Negotiate, NTLM (only Basic can be had here)",
        ),
        ([], False, "offers no way to authenticate (only Basic can be had here)"),
    ],
)
def test_authentication(challenges: list[bytes], with_password: bool, end: str) -> None:
    """A proxy that wants authentication is told with what it offers and what would help."""
    head = b"\r\n".join([b"HTTP/1.1 407 Go away", b"Via: x", *challenges, b"", b""])
    error = refusal(head, (b"u", b"p") if with_password else None)
    assert error.problem == f"it answered 407 'Go away', and {end}"
    assert (error.code, error.errno) == (407, errno.EACCES)


@pytest.mark.parametrize(
    ("credentials", "end"),
    [((b"u", b"p"), " (the username and password given are not accepted)"), (None, "")],
)
def test_wrong_password_of_another_kind(credentials: tuple[bytes, bytes] | None, end: str) -> None:
    """Some proxies say 401 to a wrong password, which is the status of a server that wants one."""
    error = refusal(b"HTTP/1.1 401 Unauthorized\r\n\r\n", credentials)
    assert error.problem == f"it answered 401 'Unauthorized'{end}"
    assert (error.code, error.errno) == (401, errno.EACCES)


@pytest.mark.parametrize(
    ("challenges", "schemes"),
    [
        ('Basic realm="x"', ["Basic"]),
        (
            'Digest realm="a\\"b, Bearer c", qop="auth", algorithm=MD5, Basic realm=y',
            ["Digest", "Basic"],
        ),
        ("Negotiate, NTLM, Negotiate", ["Negotiate", "NTLM"]),
        ("Negotiate YWJj==", ["Negotiate"]),
        ("realm = x, nonce= y, charset=UTF-8", []),
        ("", []),
        ('"', []),
        ("A,B,C,D,E,F,G", ["A", "B", "C", "D", "E"]),
        ("x" * 41, []),
        ("x," * 500 + "Basic", ["x"]),
        ("\x1b[31m, Basic", ["Basic"]),
    ],
)
def test_schemes(challenges: str, schemes: list[str]) -> None:
    """The ways to authenticate are told from their parameters, each once, and the first of many."""
    assert parse_schemes(challenges) == schemes


@pytest.mark.parametrize(
    "data", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x05\x00", b"hTTP/1.1", b"\r\nHTTP/1.1 200 OK\r\n\r\n"]
)
@pytest.mark.parametrize("size", [1, 100])
def test_no_http(data: bytes, size: int) -> None:
    """What is no HTTP is told at its first byte that cannot be, without waiting for an end."""
    talk = HTTPConnectNegotiation("example.org", 443)
    with pytest.raises(ProxyReplyError) as caught:
        talk.take(data[:size])
    assert (caught.value.problem, caught.value.code) == ("does not speak HTTP", None)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"HTTP/2 200", "'HTTP/2 200'"),
        (b"HTTP/1.1 20", "'HTTP/1.1 20'"),
        (b"HTTP/1.1 600 x", "'HTTP/1.1 600 x'"),
        (b"HTTP/1.1  200 OK", "'HTTP/1.1  200 OK'"),
        (b"HTTP/1.1 200OK", "'HTTP/1.1 200OK'"),
        (b"HTTP/", "'HTTP/'"),
    ],
)
def test_wrong_status_line(line: bytes, shown: str) -> None:
    """A status line that is none is shown."""
    error = refusal(line + b"\r\n\r\n")
    assert error.problem == f"does not speak HTTP/1.1: it answered {shown}"
    assert error.code is None


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10000,
        b"HTTP/1.1 200 " + b"x" * 50000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 2000,
    ],
)
@pytest.mark.parametrize("size", [7, 4096, 100000])
def test_endless_head(data: bytes, size: int) -> None:
    """Heads that do not end are read up to a limit, interim ones among them."""
    talk = HTTPConnectNegotiation("example.org", 443)
    with pytest.raises(ProxyReplyError) as caught:
        read_in_pieces(talk, data, size)
    assert caught.value.problem == "gave a head of more than 16384 bytes"


def test_head_of_just_the_limit() -> None:
    """A head that ends with the last byte that is allowed opens the tunnel."""
    head = b"HTTP/1.1 200 OK\r\nX: "
    head += b"y" * (MOST_BYTES - len(head) - 4) + b"\r\n\r\n"
    assert tell(HTTPConnectNegotiation("x", 1), head + b"tunnel") == b"tunnel"


@given(
    st.lists(
        st.one_of(
            st.binary(), st.sampled_from([b"HTTP/1.1 ", b"200", b"407", b"\r\n", b"\n", b": "])
        )
    )
)
def test_hostile_proxy(pieces: list[bytes]) -> None:
    """Whatever a proxy says opens the tunnel, is waited for, or is a `ProxyReplyError`."""
    talk = HTTPConnectNegotiation("example.org", 443)
    with suppress(ProxyReplyError):
        for piece in pieces:
            tell(talk, piece)
