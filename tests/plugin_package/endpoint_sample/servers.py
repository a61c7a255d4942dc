"""Kinds that listen."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Annotated

from asyncendpoints.fields import Help, Port, Seconds, Words
from asyncendpoints.grammar import Inner, Name
from asyncendpoints.specs import ServerSpec

if TYPE_CHECKING:
    from asyncendpoints.listeners import Acceptor, Listener

__all__ = ["NAMES", "ShoutServer", "ThiefServer", "TrustingServer"]

NAMES = ("shout",)


class Network:
    """A type of field of this package: a network, written as ``10.0.0.0/8``."""

    expected = "an IPv4 network"

    def parse(self, text: str) -> IPv4Network:
        return IPv4Network(text)

    def format(self, value: IPv4Network) -> str:
        return str(value)

    def check(self, value: IPv4Network) -> None:
        if not isinstance(value, IPv4Network):
            raise ValueError


@dataclass(frozen=True, slots=True, repr=False)
class ShoutServer(ServerSpec):
    """A server with one argument."""

    names = (Name("shout", "shout:7"),)

    port: Annotated[Port, Help("port to listen on")] = 7


@dataclass(frozen=True, slots=True, repr=False)
class TrustingServer(ServerSpec):
    """A wrapper: it listens as the server does that the rest of its text describes."""

    names = (Name("trusting", "trusting:tcp:8080"),)

    server: Annotated[ServerSpec, Inner("server", rest=True), Help("the server that listens")]
    _: KW_ONLY
    trusted: Annotated[
        Annotated[tuple[IPv4Network, ...], Words(Network(), "networks separated by commas")],
        Help("networks to trust"),
    ] = (IPv4Network("127.0.0.0/8"),)
    timeout: Annotated[Seconds | None, Help("how long to trust them, in seconds")] = None

    def bind(self) -> list[Listener]:
        return self.server.bind()

    def acceptor(self) -> Acceptor:
        return self.server.acceptor()


@dataclass(frozen=True, slots=True, repr=False)
class ThiefServer(ServerSpec):
    """A kind that would also answer to a name that is taken."""

    names = (Name("thief", "thief"), Name("tcp", "tcp"))
