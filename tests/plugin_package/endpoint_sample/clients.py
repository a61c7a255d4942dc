"""Kinds that connect."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Annotated

from asyncendpoints.fields import Help, Host, Port, Secret
from asyncendpoints.grammar import Inner, Name
from asyncendpoints.specs import ClientSpec

if TYPE_CHECKING:
    import socket

    from asyncendpoints.attempt import Attempt

__all__ = ["ShoutClient", "ViaClient"]


@dataclass(frozen=True, slots=True, repr=False)
class ViaClient(ClientSpec):
    """A connection that another client makes."""

    names = (Name("via", "via:[tcp:example.org:80]"),)

    endpoint: Annotated[ClientSpec, Inner("client"), Help("the client that connects")]
    _: KW_ONLY
    password: Annotated[Secret | None, Help("what to say to it")] = None

    async def open_socket(self, attempt: Attempt) -> socket.socket:
        return await self.endpoint.open_socket(attempt)


@dataclass(frozen=True, slots=True, repr=False)
class ShoutClient(ClientSpec):
    """Arguments with defaults, and two names."""

    names = (
        Name("shout", "shout:example.org"),
        Name("cry", "cry:example.org", presets={"port": 8}),
    )

    host: Annotated[Host, Help("who is to hear it")]
    port: Annotated[Port, Help("port to shout at")] = 7
