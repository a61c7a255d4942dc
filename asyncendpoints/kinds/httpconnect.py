"""HTTP proxies: ``httpconnect``."""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass
from typing import Annotated

from asyncendpoints.errors import SpecError
from asyncendpoints.fields import Help, Host, Port, Seconds, Secret, Text
from asyncendpoints.grammar import Inner, Name
from asyncendpoints.http_connect import HTTPConnectNegotiation
from asyncendpoints.kinds.proxied import POSITIONS, ProxyClient
from asyncendpoints.specs import ClientSpec  # noqa: TC001 - the grammar reads the annotations

__all__ = ["HTTPConnectClient"]

_FIELD_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_CONTROL = re.compile(r"[\0-\x1f\x7f]")


class FieldValue(Text):
    """The value of a field of an HTTP message.

    Source: RFC 9110, section 5.5.
    """

    expected = "visible ASCII characters, with spaces between them"

    def check(self, value: str) -> None:
        if not isinstance(value, str) or not _FIELD_VALUE.fullmatch(value):
            raise ValueError


class UserID(Text):
    """The username of Basic authentication.

    Source: RFC 7617, section 2.
    """

    expected = "a username without colons and control characters"

    def check(self, value: str) -> None:
        super().check(value)
        if ":" in value or _CONTROL.search(value):
            raise ValueError


@dataclass(frozen=True, slots=True, repr=False)
class HTTPConnectClient(ProxyClient):
    """A connection through an HTTP proxy, by its method CONNECT (RFC 9110); the proxy looks names up."""

    names = (
        Name("httpconnect", "httpconnect:proxy.example:3128:example.org:443", order=POSITIONS),
    )
    protocol = "HTTP"

    host: Annotated[Host, Help("host name or address to reach through the proxy")]
    port: Annotated[Port, Help("port to reach through the proxy")]
    proxy_host: Annotated[Host | None, Help("host name or address of the proxy")] = None
    proxy_port: Annotated[Port | None, Help("port of the proxy")] = None
    _: KW_ONLY
    proxy: Annotated[
        ClientSpec | None,
        Inner("client", stream=True),
        Help("how to reach the proxy, in place of its host and port"),
    ] = None
    username: Annotated[
        Annotated[str | None, UserID()], Help("username for the proxy (Basic authentication)")
    ] = None
    password: Annotated[Secret | None, Help("password for the proxy")] = None
    user_agent: Annotated[
        Annotated[str | None, FieldValue()], Help("what to call itself to the proxy", "userAgent")
    ] = None
    timeout: Annotated[Seconds | None, Help("limit of the whole connect, in seconds")] = 30.0

    def check(self) -> None:
        ProxyClient.check(self)
        if self.password is not None and _CONTROL.search(self.password):
            raise SpecError("password", "password has control characters, which HTTP cannot carry")

    def negotiation(self, host: str, port: int) -> HTTPConnectNegotiation:
        return HTTPConnectNegotiation(host, port, self.credentials, self.user_agent)
