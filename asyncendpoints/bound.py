"""What a server is bound to, and what reaches it: the same for connections and for datagrams."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncendpoints.addresses import Address
    from asyncendpoints.listeners import Acceptor
    from asyncendpoints.specs import ClientSpec, ServerSpec

__all__ = ["BoundServer"]


class BoundServer:
    """The base of servers.

    Args:
        places: What each socket was bound for, what accepts there, and its address.
    """

    #: What it does with an address, for messages.
    _does: ClassVar[str] = "listens on"

    def __init__(self, places: Iterable[tuple[ServerSpec, Acceptor, Address]]) -> None:
        listed = tuple(places)
        self._loop = asyncio.get_running_loop()
        self._specs = tuple(dict.fromkeys(spec for spec, _, _ in listed))
        self._addresses = tuple(address for _, _, address in listed)
        clients = (spec.client(address, acceptor) for spec, acceptor, address in listed)
        self._clients = tuple(dict.fromkeys(each for each in clients if each is not None))

    @property
    def endpoints(self) -> tuple[ServerSpec, ...]:
        """The specs that were bound."""
        return self._specs

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The addresses of its sockets, with the ports that the system gave."""
        return self._addresses

    @property
    def client_endpoints(self) -> tuple[ClientSpec, ...]:
        """Specs that reach this server; ``str()`` of one is what another process connects to."""
        return self._clients

    @property
    def port(self) -> int:
        """The first port among its addresses.

        Raises:
            ValueError: None of them has a port.
        """
        for address in self._addresses:
            if address.port is not None:
                return address.port
        raise ValueError(f"this server {self._does} no port")

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Give the loop that the server runs on."""
        return self._loop
