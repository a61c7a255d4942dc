"""Whether a server could have its port, found out as `listen` would: by a bind, which is undone at once.

The law: nothing listens, so that nobody is connected; and a port of UDP is not shared, so that no datagram of
somebody else comes here.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from asyncendpoints.ports import bind_port

if TYPE_CHECKING:
    from asyncendpoints.ports import Opener, PortServer

__all__ = ["try_port"]


def try_port(spec: PortServer, protocol: str) -> None:
    """Bind the sockets of a server, and close them.

    Args:
        spec: The server.
        protocol: ``"tcp"`` or ``"udp"``.

    Raises:
        ListenError: The system refused one of them.
    """
    opener: Opener[socket.socket] = (
        _UDPTrial() if protocol == "udp" else _TCPTrial(reuse_port=spec.reuse_port)
    )
    for each in bind_port(spec, opener, spec.port, spec.interface, v6only=spec.v6only):
        each.close()


@dataclass(frozen=True, slots=True)
class _TCPTrial:
    """Makes sockets that conflict with those that listen, and with no others."""

    protocol: ClassVar[str] = "tcp"
    reuse_port: bool

    def open(self, family: int) -> socket.socket:
        return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)

    def prepare(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)

    def start(self, sock: socket.socket) -> None:
        """It does not listen."""


class _UDPTrial:
    """Makes sockets that conflict with all others of their port."""

    protocol: ClassVar[str] = "udp"

    def open(self, family: int) -> socket.socket:
        return socket.socket(family, socket.SOCK_DGRAM, socket.IPPROTO_UDP)

    def prepare(self, sock: socket.socket) -> None:
        """It shares nothing."""

    def start(self, sock: socket.socket) -> None:
        """It receives from its bind on."""
