"""The codec of SOCKS5."""

from __future__ import annotations

import errno
from contextlib import suppress
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints.errors import ProxyReplyError
from asyncendpoints.socks5 import (
    NO_AUTHENTICATION,
    PASSWORD,
    SOCKS5Negotiation,
    check_reply_code,
    check_status,
    decode_method,
    decode_rest_size,
    encode_credentials,
    encode_greeting,
    encode_request,
)

GRANTED = bytes.fromhex("05000001c0000201ffff")


def read_request(data: bytes) -> tuple[str, int, bytes]:
    """Read a request as a proxy does: host, port, and what follows."""
    version, command, reserved, kind = data[:4]
    assert (version, command, reserved) == (5, 1, 0)
    size = {1: 4, 4: 16, 3: 1 + data[4]}[kind]
    address, port, rest = data[4 : 4 + size], data[4 + size : 6 + size], data[6 + size :]
    host = address[1:].decode() if kind == 3 else str(ip_address(address))
    return host, int.from_bytes(port, "big"), rest


def tell(talk: SOCKS5Negotiation, data: bytes) -> bytes:
    """Offer bytes until none is left or the tunnel is open; give the rest."""
    while data and not talk.is_open:
        data = data[talk.take(data) :]
    return data


# What is sent


@pytest.mark.parametrize(
    ("with_password", "data"), [(False, b"\x05\x01\x00"), (True, b"\x05\x02\x00\x02")]
)
def test_greeting(with_password: bool, data: bytes) -> None:
    """A client that has a password offers it beside no authentication."""
    assert encode_greeting(with_password=with_password) == data


@pytest.mark.parametrize(
    ("username", "password", "data"),
    [
        (b"u", b"pw", b"\x01\x01u\x02pw"),
        (b"u" * 255, b"p" * 255, b"\x01\xff" + b"u" * 255 + b"\xff" + b"p" * 255),
    ],
)
def test_credentials(username: bytes, password: bytes, data: bytes) -> None:
    """Username and password follow their lengths."""
    assert encode_credentials(username, password) == data


@pytest.mark.parametrize(
    ("host", "port", "data"),
    [
        ("192.0.2.1", 80, "05010001c00002010050"),
        ("2001:db8::1", 443, "0501000420010db800000000000000000000000101bb"),
        ("fe80::1%2", 443, "05010004fe80000000000000000000000000000101bb"),
        ("example.org", 65535, "050100030b" + b"example.org".hex() + "ffff"),
        ("a" * 254, 0, "05010003fe" + "61" * 254 + "0000"),
    ],
)
def test_request(host: str, port: int, data: str) -> None:
    """Addresses are sent as addresses, names as names, the port in two bytes."""
    assert encode_request(host, port) == bytes.fromhex(data)


@given(
    st.one_of(
        st.ip_addresses().map(str),
        st.from_regex(r"[a-z]{1,63}(\.[a-z]{1,63}){0,2}", fullmatch=True),
    ),
    st.integers(0, 65535),
)
def test_request_reads_back(host: str, port: int) -> None:
    """What a proxy reads is the host and the port that were asked for."""
    assert read_request(encode_request(host, port)) == (host, port, b"")


# What is answered


@pytest.mark.parametrize(
    ("answer", "with_password", "method"),
    [
        (b"\x05\x00", False, NO_AUTHENTICATION),
        (b"\x05\x00", True, NO_AUTHENTICATION),
        (b"\x05\x02", True, PASSWORD),
    ],
)
def test_method(answer: bytes, with_password: bool, method: int) -> None:
    """The proxy can choose each method that was offered."""
    assert decode_method(answer, with_password=with_password) == method


@pytest.mark.parametrize(
    ("answer", "with_password", "problem", "number"),
    [
        (
            b"\x05\xff",
            False,
            "wants authentication: give username= and password=",
            errno.EACCES,
        ),
        (
            b"\x05\xff",
            True,
            "takes neither a client without authentication nor one with username and password",
            errno.EACCES,
        ),
        (b"\x05\x02", False, "chose authentication method 2, which was not offered", None),
        (b"\x05\x01", True, "chose authentication method 1, which was not offered", None),
        (b"HT", True, "does not speak SOCKS5: it answers like an HTTP proxy", None),
        (b"\x00\x5b", False, "does not speak SOCKS5: it answers like SOCKS4", None),
        (b"\x04\x00", False, "does not speak SOCKS5", None),
    ],
)
def test_wrong_method(answer: bytes, with_password: bool, problem: str, number: int | None) -> None:
    """A proxy that chooses no method that was offered is told as what it is."""
    with pytest.raises(ProxyReplyError) as caught:
        decode_method(answer, with_password=with_password)
    assert (caught.value.problem, caught.value.code) == (problem, None)
    assert caught.value.errno == number


@pytest.mark.parametrize("answer", [b"\x01\x00", b"\x05\x00"])
def test_status(answer: bytes) -> None:
    """Status 0 is success, whatever version stands before it."""
    check_status(answer)


@pytest.mark.parametrize("answer", [b"\x01\x01", b"\x01\xff", b"\x00\x05"])
def test_wrong_status(answer: bytes) -> None:
    """Every other status is a password that is not accepted."""
    with pytest.raises(ProxyReplyError) as caught:
        check_status(answer)
    assert caught.value.problem == "does not accept this username and password"
    assert caught.value.errno == errno.EACCES


@pytest.mark.parametrize(
    ("code", "problem", "number"),
    [
        (1, "general failure", None),
        (2, "its rules do not allow it", errno.EACCES),
        (3, "the network is unreachable", errno.ENETUNREACH),
        (4, "the host is unreachable", errno.EHOSTUNREACH),
        (5, "the connection was refused", errno.ECONNREFUSED),
        (6, "the time to live expired", errno.ETIMEDOUT),
        (7, "it does not support the command", errno.EOPNOTSUPP),
        (8, "it does not support this type of address", errno.EAFNOSUPPORT),
        (9, "reply code 9, which is not assigned", None),
        (0xF0, "the descriptor of the onion service cannot be found", errno.EHOSTUNREACH),
        (0xF1, "the descriptor of the onion service is invalid", errno.EHOSTUNREACH),
        (0xF2, "the introduction to the onion service failed", errno.EHOSTUNREACH),
        (0xF3, "the rendezvous with the onion service failed", errno.EHOSTUNREACH),
        (0xF4, "the onion service needs client authorization", errno.EACCES),
        (0xF5, "the onion service does not accept the client authorization", errno.EACCES),
        (0xF6, "the address of the onion service is invalid", errno.EHOSTUNREACH),
        (0xF7, "the introduction to the onion service timed out", errno.ETIMEDOUT),
        (0xFF, "reply code 255, which is not assigned", None),
    ],
)
def test_reply_code(code: int, problem: str, number: int | None) -> None:
    """Every code but 0 is a refusal with its text, and the error number that says the same."""
    with pytest.raises(ProxyReplyError) as caught:
        check_reply_code(bytes([5, code]))
    assert str(caught.value) == caught.value.problem == problem
    assert (caught.value.code, caught.value.errno) == (code, number)


def test_reply_of_another_version() -> None:
    """A reply has version 5, too."""
    with pytest.raises(ProxyReplyError) as caught:
        check_reply_code(b"\x00\x5a")
    assert str(caught.value) == "the proxy gave a reply of version 0 in place of 5"


@pytest.mark.parametrize(
    ("answer", "size"),
    [(b"\x00\x01\x7f", 5), (b"\x00\x04\x20", 17), (b"\x00\x03\x00", 2), (b"\x00\x03\xff", 257)],
)
def test_rest_size(answer: bytes, size: int) -> None:
    """The rest of a reply is that of the address, and the port."""
    assert decode_rest_size(answer) == size


def test_unknown_address_type() -> None:
    """A reply with an address of an unknown type has no known end."""
    with pytest.raises(ProxyReplyError) as caught:
        decode_rest_size(b"\x00\x02\x00")
    assert caught.value.problem == "gave a reply with an address of the unknown type 2"


# All together


@pytest.mark.parametrize(
    "reply",
    [
        GRANTED,
        bytes.fromhex("05000004") + bytes(18),
        bytes.fromhex("0500000300") + bytes(2),
        bytes.fromhex("05000003ff") + bytes(257),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_open(reply: bytes, size: int) -> None:
    """In pieces of any size, the reply is read to its last byte, and not beyond."""
    talk = SOCKS5Negotiation("example.org", 443)
    assert talk.outgoing() == b"\x05\x01\x00"
    assert tell(talk, b"\x05\x00") == b""
    assert talk.outgoing() == encode_request("example.org", 443)
    stream = reply + b"tunnel"
    taken = 0
    while not talk.is_open:
        taken += talk.take(stream[taken : taken + size])
    assert stream[taken:] == b"tunnel"


def test_open_with_password() -> None:
    """Username and password are sent when the proxy asks for them, and each message once."""
    talk = SOCKS5Negotiation("192.0.2.1", 80, (b"u", b"pw"))
    assert talk.outgoing() == b"\x05\x02\x00\x02"
    assert talk.outgoing() == b""
    tell(talk, b"\x05\x02")
    assert talk.outgoing() == b"\x01\x01u\x02pw"
    tell(talk, b"\x01\x00")
    assert talk.outgoing() == encode_request("192.0.2.1", 80)
    assert not talk.is_open
    assert tell(talk, GRANTED + b"x") == b"x"
    assert talk.is_open
    assert talk.outgoing() == b""


def test_password_that_is_not_wanted() -> None:
    """Username and password stay unsaid where the proxy asks for none."""
    talk = SOCKS5Negotiation("192.0.2.1", 80, (b"u", b"pw"))
    talk.outgoing()
    tell(talk, b"\x05\x00")
    assert talk.outgoing() == encode_request("192.0.2.1", 80)


def test_refusal_that_is_cut_short() -> None:
    """A refusal is understood without the address that should follow."""
    talk = SOCKS5Negotiation("192.0.2.1", 80)
    tell(talk, b"\x05\x00")
    with pytest.raises(ProxyReplyError) as caught:
        tell(talk, b"\x05\x05")
    assert caught.value.code == 5


@given(st.lists(st.binary(min_size=1, max_size=12)), st.booleans())
def test_hostile_proxy(pieces: list[bytes], with_password: bool) -> None:
    """Whatever a proxy says opens the tunnel, is waited for, or is a `ProxyReplyError`."""
    talk = SOCKS5Negotiation("example.org", 443, (b"u", b"p") if with_password else None)
    with suppress(ProxyReplyError):
        for piece in pieces:
            tell(talk, piece)
