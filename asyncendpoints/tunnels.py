"""Ports of this machine that lead to an endpoint: ``tunnel``."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Self

from asyncendpoints.connecting import client_spec
from asyncendpoints.limits import Limits
from asyncendpoints.listening import Starting, bind_all, server_specs
from asyncendpoints.relaying import Failed, Opened, Relay
from asyncendpoints.resolving import check_resolver
from asyncendpoints.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from asyncendpoints.addresses import Address
    from asyncendpoints.dns.resolver import Resolver
    from asyncendpoints.errors import HandshakeError
    from asyncendpoints.relaying import RelayEvent, Totals
    from asyncendpoints.specs import ClientSpec, ServerSpec

__all__ = ["Tunnel", "Tunnelling", "tunnel"]

logger = logging.getLogger("asyncendpoints")

#: Seconds in which connections may still pass on what they hold, when the tunnel ends.
_CLOSE_SECONDS = 1.0


def tunnel(
    endpoint: str | ClientSpec,
    *,
    listen: str | ServerSpec | Iterable[str | ServerSpec] = "tcp:0:interface=127.0.0.1",
    limits: Limits = Limits(),
    resolver: Resolver | None = None,
    on_error: Callable[[Exception], None] | None = None,
) -> Tunnelling:
    """Open a port of this machine that leads to an endpoint, for a library that only knows host and port.

    For example::

        async with tunnel("socks5:127.0.0.1:9050:db.example.org:5432") as near:
            await asyncpg.connect(host="127.0.0.1", port=near.port)

    The endpoint is connected to anew for each connection, when that comes. Everybody on this machine can use
    the port; ``unix:/run/app/db:mode=600`` keeps others out.

    The result is awaited, or entered with ``async with``, which ends the tunnel with its block.

    Args:
        endpoint: A description, or the spec of a client.
        listen: Where to listen, as for `listen`.
        limits: How much to take on.
        resolver: As for `connect`.
        on_error: Hears why a connection could not be made or accepted; the near side is reset then. Without
            it the first error of a row is logged.

    Raises:
        DescriptionError: A text is no description.
        ListenError: ``listen`` cannot be listened on; when the result is awaited or entered.
    """
    return Tunnelling(client_spec(endpoint), listen, limits, resolver, on_error)


class Tunnelling(Starting["Tunnel"]):
    """What `tunnel` gives."""

    def __init__(
        self,
        target: ClientSpec,
        listen: str | ServerSpec | Iterable[str | ServerSpec],
        limits: Limits,
        resolver: Resolver | None,
        on_error: Callable[[Exception], None] | None,
    ) -> None:
        self._target = target
        self._specs = server_specs(listen)
        self._limits = limits
        check_resolver(resolver)
        self._resolver = resolver
        self._on_error = on_error
        super().__init__()

    def __repr__(self) -> str:
        where = ", ".join(spec.display() for spec in self._specs)
        return f"<{type(self).__name__} {where} to {self._target.display()}>"

    async def _start(self) -> Tunnel:
        bound = bind_all(self._specs)
        reports = _Reports(self._target, self._on_error)
        relay = Relay(
            self._target,
            splice=all(spec.is_plain() for spec in self._specs),
            resolver=self._resolver,
            on_event=reports.take,
        )
        server = Server(bound, relay.accept, self._limits, 0.0, reports.tell)
        return Tunnel(relay, server)


class Tunnel:
    """A tunnel that `asyncendpoints.tunnel` opened.

    Leaving ``async with`` stops listening and ends the connections, which may pass on what they hold for a
    second. On an exception they are ended at once.
    """

    def __init__(self, relay: Relay, server: Server) -> None:
        self._relay = relay
        self._server = server

    @property
    def endpoint(self) -> ClientSpec:
        """Where it leads."""
        return self._relay.target

    @property
    def port(self) -> int:
        """The first port that it listens on.

        Raises:
            ValueError: It listens on none.
        """
        return self._server.port

    @property
    def address(self) -> Address:
        """The first address that it listens on; ``address.host`` is the path of a unix socket."""
        return self._server.addresses[0]

    @property
    def client_endpoints(self) -> tuple[ClientSpec, ...]:
        """Specs that reach it."""
        return self._server.client_endpoints

    @property
    def totals(self) -> Totals:
        """What it has carried so far."""
        return self._relay.totals

    def __repr__(self) -> str:
        state = "open" if self._server.is_serving() else "closed"
        target = self._relay.target.display()
        return f"<{type(self).__name__} {self.address} to {target} {state}>"

    def close(self) -> None:
        """Stop listening. Connections go on."""
        self._server.close()

    async def wait_closed(self) -> None:
        """Wait until it is closed and its last connection has ended."""
        await self._server.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()
        try:
            await self._relay.close(grace=0.0 if exc[0] else _CLOSE_SECONDS)
        except BaseException:
            await self._relay.close(grace=0.0)
            raise
        finally:
            await self._server.__aexit__(*exc)


class _Reports:
    """What is told of the connections that did not come about."""

    def __init__(self, target: ClientSpec, on_error: Callable[[Exception], None] | None) -> None:
        self._target = target
        self._on_error = on_error
        self._is_failing = False

    def take(self, event: RelayEvent) -> None:
        """Take note of what the relay tells."""
        if isinstance(event, Failed) and isinstance(event.error, Exception):
            self.tell(event.error)
        elif isinstance(event, Opened):
            self._is_failing = False

    def tell(self, error: Exception | HandshakeError) -> None:
        """Tell of an error; where nobody wants to hear, the first of a row is written down."""
        if self._on_error is None:
            level = logging.DEBUG if self._is_failing else logging.WARNING
            self._is_failing = True
            logger.log(level, "tunnel to %s: %s", self._target.display(), error)
            return
        try:
            self._on_error(error)
        except Exception as raised:  # noqa: BLE001 - a hook does not stop the tunnel
            asyncio.get_running_loop().call_exception_handler(
                {"message": "on_error of a tunnel raised", "exception": raised}
            )
