"""SOCKS5 proxies: ``socks5``."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Annotated

from asyncendpoints.errors import SpecError
from asyncendpoints.fields import Choice, Help, Host, NonEmpty, Port, Seconds, Secret
from asyncendpoints.grammar import Inner, Name
from asyncendpoints.kinds.proxied import POSITIONS, ProxyClient
from asyncendpoints.names import is_literal
from asyncendpoints.socks5 import SOCKS5Negotiation
from asyncendpoints.specs import ClientSpec  # noqa: TC001 - the grammar reads the annotations

if TYPE_CHECKING:
    from asyncendpoints.attempt import Attempt

__all__ = ["SOCKS5Client"]

Username = Annotated[str, NonEmpty("a username")]


@dataclass(frozen=True, slots=True, repr=False)
class SOCKS5Client(ProxyClient):
    """A connection through a SOCKS5 proxy (RFC 1928); host names are looked up by the proxy."""

    names = (Name("socks5", "socks5:localhost:9050:example.org:443", order=POSITIONS),)
    protocol = "SOCKS5"

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
    username: Annotated[Username | None, Help("username for the proxy")] = None
    password: Annotated[Secret | None, Help("password for the proxy")] = None
    resolve: Annotated[
        Annotated[str, Choice("remote", "local")],
        Help("who looks host names up: the proxy or this machine"),
    ] = "remote"
    timeout: Annotated[Seconds | None, Help("limit of the whole connect, in seconds")] = 30.0

    def check(self) -> None:
        ProxyClient.check(self)
        for name in ("username", "password"):
            text = getattr(self, name)
            if text is not None and not 1 <= len(text.encode()) <= 255:  # RFC 1929, section 2
                raise SpecError(name, f"{name} has to have 1 to 255 bytes in UTF-8")
        if self.resolve == "local" and self.host.lower().removesuffix(".").endswith(".onion"):
            # RFC 7686, section 2: such a name is not to be asked of the DNS.
            raise SpecError("resolve", "resolve is 'local', but only the proxy can look up .onion")

    def negotiation(self, host: str, port: int) -> SOCKS5Negotiation:
        return SOCKS5Negotiation(host, port, self.credentials)

    async def targets(self, attempt: Attempt) -> list[str]:
        if self.resolve == "remote" or is_literal(self.host):
            return await ProxyClient.targets(self, attempt)
        return [each.host for each in await attempt.all_addresses(self.host, self.port)]
