"""SOCKS5: what a client says to a proxy, and what the proxy's answers mean. Pure.

Source: RFC 1928; RFC 1929 for username and password.
"""

from __future__ import annotations

import errno
from ipaddress import ip_address
from typing import TYPE_CHECKING

from asyncendpoints.addresses import is_ipv4
from asyncendpoints.errors import ProxyReplyError

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = [
    "NO_AUTHENTICATION",
    "PASSWORD",
    "SOCKS5Negotiation",
    "check_reply_code",
    "check_status",
    "decode_method",
    "decode_rest_size",
    "encode_credentials",
    "encode_greeting",
    "encode_request",
]

#: Ways to authenticate. RFC 1928, section 3.
NO_AUTHENTICATION = 0
PASSWORD = 2
_NONE_ACCEPTABLE = 255

#: Types of addresses. RFC 1928, section 4.
_IPV4 = 1
_NAME = 3
_IPV6 = 4

#: What a reply code means, and the error number that says the same, or None. RFC 1928, section 6. From 240 on
#: they are those of Tor, which gives them where it is set up to: its proposal 304.
_REPLIES: dict[int, tuple[str, int | None]] = {
    1: ("general failure", None),
    2: ("its rules do not allow it", errno.EACCES),
    3: ("the network is unreachable", errno.ENETUNREACH),
    4: ("the host is unreachable", errno.EHOSTUNREACH),
    5: ("the connection was refused", errno.ECONNREFUSED),
    # Proxies say so when a connect took too long, too.
    6: ("the time to live expired", errno.ETIMEDOUT),
    7: ("it does not support the command", errno.EOPNOTSUPP),
    8: ("it does not support this type of address", errno.EAFNOSUPPORT),
    240: ("the descriptor of the onion service cannot be found", errno.EHOSTUNREACH),
    241: ("the descriptor of the onion service is invalid", errno.EHOSTUNREACH),
    242: ("the introduction to the onion service failed", errno.EHOSTUNREACH),
    243: ("the rendezvous with the onion service failed", errno.EHOSTUNREACH),
    244: ("the onion service needs client authorization", errno.EACCES),
    245: ("the onion service does not accept the client authorization", errno.EACCES),
    246: ("the address of the onion service is invalid", errno.EHOSTUNREACH),
    247: ("the introduction to the onion service timed out", errno.ETIMEDOUT),
}


def encode_greeting(*, with_password: bool) -> bytes:
    """Write the ways in which the client can authenticate.

    Source: RFC 1928, section 3.
    """
    methods = bytes([NO_AUTHENTICATION, PASSWORD] if with_password else [NO_AUTHENTICATION])
    return bytes([5, len(methods)]) + methods


def decode_method(answer: bytes, *, with_password: bool) -> int:
    """Read which way to authenticate the proxy has chosen.

    Args:
        answer: Two bytes.
        with_password: Username and password were offered.

    Returns:
        `NO_AUTHENTICATION` or `PASSWORD`.

    Raises:
        ProxyReplyError: It accepts none that was offered, or does not speak SOCKS5.

    Source: RFC 1928, section 3.
    """
    version, method = answer
    if version != 5:
        # Each kind of proxy that can stand there by mistake begins its answer in its own way.
        other = {ord("H"): ": it answers like an HTTP proxy", 0: ": it answers like SOCKS4"}
        raise ProxyReplyError(f"does not speak SOCKS5{other.get(version, '')}")
    if method == _NONE_ACCEPTABLE:
        problem = "takes neither a client without authentication nor one with username and password"
        if not with_password:
            problem = "wants authentication: give username= and password="
        raise ProxyReplyError(problem, errno=errno.EACCES)
    if method != NO_AUTHENTICATION and not (method == PASSWORD and with_password):
        raise ProxyReplyError(f"chose authentication method {method}, which was not offered")
    return method


def encode_credentials(username: bytes, password: bytes) -> bytes:
    """Write username and password, 1 to 255 bytes each.

    Source: RFC 1929, section 2.
    """
    return b"".join([b"\1", bytes([len(username)]), username, bytes([len(password)]), password])


def check_status(answer: bytes) -> None:
    """Read the two bytes that say whether username and password are right.

    Raises:
        ProxyReplyError: They are not.

    Source: RFC 1929, section 2.
    """
    # The first byte is a version, which some proxies take for that of SOCKS.
    if answer[1] != 0:
        raise ProxyReplyError("does not accept this username and password", errno=errno.EACCES)


def encode_request(host: str, port: int) -> bytes:
    """Write the request to connect.

    Args:
        host: An address without zone id, or a name of up to 255 ASCII characters.
        port: 0 to 65535.

    Source: RFC 1928, sections 4 and 5.
    """
    if ":" in host:
        address = bytes([_IPV6]) + ip_address(host).packed
    elif is_ipv4(host):
        address = bytes([_IPV4]) + ip_address(host).packed
    else:
        address = bytes([_NAME, len(host)]) + host.encode("ascii")
    return b"\5\1\0" + address + port.to_bytes(2, "big")


def check_reply_code(answer: bytes) -> None:
    """Read the first two bytes of the reply, which say whether the proxy has connected.

    Raises:
        ProxyReplyError: It has not.

    Source: RFC 1928, section 6.
    """
    version, code = answer
    if version != 5:
        raise ProxyReplyError(f"gave a reply of version {version} in place of 5")
    if code:
        problem, number = _REPLIES.get(code, (f"reply code {code}, which is not assigned", None))
        raise ProxyReplyError(problem, code, number)


def decode_rest_size(answer: bytes) -> int:
    """Tell how many more bytes the reply has.

    Args:
        answer: Its third, fourth and fifth byte: the type of an address, and how that begins.

    Raises:
        ProxyReplyError: The type of the address is unknown.

    Source: RFC 1928, section 6.
    """
    _, kind, first = answer
    # What is left of the address, and the port.
    sizes = {_IPV4: 3 + 2, _IPV6: 15 + 2, _NAME: first + 2}
    if kind not in sizes:
        raise ProxyReplyError(f"gave a reply with an address of the unknown type {kind}")
    return sizes[kind]


class SOCKS5Negotiation:
    """The client's side of a negotiation: the answers of the proxy go in, what to send comes out.

    Args:
        host: As for `encode_request`.
        port: 0 to 65535.
        credentials: Username and password, as for `encode_credentials`, or None.
    """

    def __init__(
        self, host: str, port: int, credentials: tuple[bytes, bytes] | None = None
    ) -> None:
        #: Whether the proxy has connected: the bytes that follow are those of the tunnel.
        self.is_open = False
        self._script = _script(host, port, credentials)
        self._answer = b""
        self._outgoing, self._wanted = next(self._script)

    def outgoing(self) -> bytes:
        """Give what is to be sent, once."""
        data, self._outgoing = self._outgoing, b""
        return data

    def take(self, data: bytes) -> int:
        """Read on in what the proxy says.

        Returns:
            How many of the bytes have been read; those after them are to be offered again, or, if `is_open`,
            are those of the tunnel.

        Raises:
            ProxyReplyError: It will not open a tunnel.
        """
        piece = data[: self._wanted - len(self._answer)]
        self._answer += piece
        if len(self._answer) == self._wanted:
            answer, self._answer = self._answer, b""
            try:
                self._outgoing, self._wanted = self._script.send(answer)
            except StopIteration:
                self.is_open = True
        return len(piece)


def _script(
    host: str, port: int, credentials: tuple[bytes, bytes] | None
) -> Generator[tuple[bytes, int], bytes, None]:
    """Say what to send and how many bytes will answer it, and get the answer; end when the tunnel is open."""
    with_password = credentials is not None
    answer = yield encode_greeting(with_password=with_password), 2
    if decode_method(answer, with_password=with_password) == PASSWORD:
        assert credentials is not None
        check_status((yield encode_credentials(*credentials), 2))
    # A reply that says no is told before the rest of it, which some proxies leave out.
    check_reply_code((yield encode_request(host, port), 2))
    yield b"", decode_rest_size((yield b"", 3))
