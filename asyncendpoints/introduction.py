"""Connections that came through a proxy, which has told who the client is.

On the way of the bytes there is nothing: the protocol hears the loop's own transport, and writes with its
methods.
"""

from __future__ import annotations

import asyncio
from asyncio.trsock import TransportSocket
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from asyncendpoints.transports import make_protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints.listeners import Connection
    from asyncendpoints.proxy_protocol import ProxyHeader

__all__ = ["Introduction", "ProxiedTransport"]

P = TypeVar("P", bound=asyncio.BaseProtocol)

#: What a transport can do; what it tells is not among it.
_METHODS = {
    name
    for cls in asyncio.Transport.__mro__
    for name in vars(cls)
    if not name.startswith("_") and name != "get_extra_info"
}


class ProxiedTransport(asyncio.Transport):
    """A transport that tells of a client what its proxy has told.

    Its methods are those of the loop's transport, which can be had as the extra information ``transport``.
    """

    def __init__(self, inner: asyncio.BaseTransport, told: dict[str, Any]) -> None:
        super().__init__(told)
        self._inner = inner
        self._told = {**told, "transport": inner}
        for name in _METHODS:
            setattr(self, name, getattr(inner, name))

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name in self._told:
            return self._told[name]
        return self._inner.get_extra_info(name, default)

    def __getattr__(self, name: str) -> Any:
        # What loops ask of a transport that they start TLS over, or send a file through.
        return getattr(self._inner, name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._told['peername']} over {self._inner!r}>"


class Introduction(asyncio.Protocol, Generic[P]):
    """The first protocol of a connection: it gives the real one a transport that tells of the client.

    Args:
        factory: Makes the real one.
        connection: Its socket, which tells the addresses.
        header: What the proxy has told.
    """

    def __init__(
        self, factory: Callable[[], P], connection: Connection, header: ProxyHeader
    ) -> None:
        # As long as there is a socket to ask: a transport answers after its end too.
        self._told = {
            "peername": connection.getpeername(),
            "sockname": connection.getsockname(),
            "socket": TransportSocket(connection),
            "proxy_header": header,
        }
        self.protocol = make_protocol(factory)
        self.transport: ProxiedTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = ProxiedTransport(transport, self._told)
        transport.set_protocol(self.protocol)
        self.protocol.connection_made(self.transport)
