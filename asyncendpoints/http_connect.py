"""HTTP CONNECT: what a client says to a proxy, and what the proxy's answer means. Pure.

Source: RFC 9110, section 9.3.6; RFC 9112 for the form of messages.
"""

from __future__ import annotations

import base64
import errno
import re

from asyncendpoints.addresses import host_and_port
from asyncendpoints.errors import ProxyReplyError
from asyncendpoints.masking import shorten

__all__ = ["MOST_BYTES", "HTTPConnectNegotiation", "encode_request", "parse_schemes"]

#: How long the heads of all responses may be together, in bytes: what h11 allows one.
MOST_BYTES = 16384

#: The end of a head. A line may end in a line feed alone: RFC 9112, section 2.2.
_END = re.compile(rb"\n\r?\n")
_STATUS_LINE = re.compile(r"HTTP/1\.[0-9] ([1-5][0-9]{2})(?: (.*))?")
_LINE_END = re.compile(r"\r?\n")

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
#: The name of a way to authenticate, which no equals sign follows. RFC 9110, section 11.3.
_SCHEME = re.compile(r"[ \t]*([A-Za-z0-9!#$%&'*+.^_`|~-]{1,40})(?:[ \t]+(?![ \t=])|$)")
#: How much of the challenges is looked at, in characters, and how many of them are told.
_LONGEST = 1000
_MOST_SCHEMES = 5

_REJECTED = " (the username and password given are not accepted)"

#: The error numbers that say the same as a status; most have none.
_NUMBERS = {401: errno.EACCES, 403: errno.EACCES, 407: errno.EACCES, 504: errno.ETIMEDOUT}


def encode_request(
    host: str,
    port: int,
    credentials: tuple[bytes, bytes] | None = None,
    user_agent: str | None = None,
) -> bytes:
    """Write the request to connect.

    Args:
        host: An address without zone id, or a name in ASCII.
        port: 0 to 65535.
        credentials: Username, without a colon, and password; or None.
        user_agent: Visible ASCII characters and spaces, or None.

    Source: RFC 9110, section 9.3.6; RFC 7617, section 2.
    """
    authority = host_and_port(host, port)
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if credentials is not None:
        token = base64.b64encode(b":".join(credentials)).decode("ascii")
        lines.append(f"Proxy-Authorization: Basic {token}")
    if user_agent is not None:
        lines.append(f"User-Agent: {user_agent}")
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("ascii")


def parse_schemes(challenges: str) -> list[str]:
    """List the ways to authenticate that a proxy offers, such as ``["Basic", "Digest"]``.

    Args:
        challenges: The values of Proxy-Authenticate, joined by commas.

    Source: RFC 9110, section 11.6.1.
    """
    parts = _QUOTED.sub("", challenges[:_LONGEST]).split(",")
    found = [match[1] for match in map(_SCHEME.match, parts) if match]
    return list(dict.fromkeys(found))[:_MOST_SCHEMES]


class HTTPConnectNegotiation:
    """The client's side of a negotiation: the answers of the proxy go in, what to send comes out.

    Args:
        host: As for `encode_request`, and so are the others.
        port: 0 to 65535.
        credentials: Username and password, or None.
        user_agent: What the client calls itself, or None.
    """

    def __init__(
        self,
        host: str,
        port: int,
        credentials: tuple[bytes, bytes] | None = None,
        user_agent: str | None = None,
    ) -> None:
        #: Whether the proxy has connected: the bytes that follow are those of the tunnel.
        self.is_open = False
        self._outgoing = encode_request(host, port, credentials, user_agent)
        self._with_password = credentials is not None
        self._head = bytearray()
        self._room = MOST_BYTES

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
        before = len(self._head)
        self._head += data[: self._room]
        if not b"HTTP/".startswith(self._head[:5]):
            raise ProxyReplyError("does not speak HTTP")
        # Two bytes of the end can have come before.
        end = _END.search(self._head, max(0, before - 2))
        if end is not None:
            del self._head[end.end() :]
        taken = len(self._head) - before
        self._room -= taken
        if end is not None:
            self._read(self._head.decode("latin-1"))
            self._head.clear()
        elif not self._room:
            raise ProxyReplyError(f"gave a head of more than {MOST_BYTES} bytes")
        return taken

    def _read(self, head: str) -> None:
        """Look at a complete head."""
        line, *fields = _LINE_END.split(head)
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            raise ProxyReplyError(f"does not speak HTTP/1.1: it answered {shorten(line)}")
        status = int(match[1])
        if 200 <= status < 300:
            self.is_open = True
        elif status >= 300 or status == 101:
            # No upgrade was asked for, so that 101 is no interim response.
            problem = self._refusal(status, match[2] or "", fields)
            raise ProxyReplyError(problem, status, _NUMBERS.get(status))

    def _refusal(self, status: int, reason: str, fields: list[str]) -> str:
        """Say why there is no tunnel."""
        answered = f"it answered {status}"
        if reason.strip():
            answered += f" {shorten(reason.strip())}"
        if status == 401 and self._with_password:  # from those that say 407 to who gives none
            return answered + _REJECTED
        if status != 407:
            return answered
        named = (field.partition(":") for field in fields)
        challenges = [value for name, _, value in named if name.lower() == "proxy-authenticate"]
        schemes = parse_schemes(",".join(challenges))
        offered = ", ".join(schemes) or "no way to authenticate"
        return f"{answered}, and offers {offered}{self._advice(schemes)}"

    def _advice(self, schemes: list[str]) -> str:
        """Say what would help a client that is to authenticate."""
        if "basic" not in map(str.lower, schemes):
            return " (only Basic can be had here)"
        if self._with_password:
            return _REJECTED
        return " (give username= and password=)"
