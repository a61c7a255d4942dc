"""Listening: ``listen``, ``start_server`` and ``bind``."""

from __future__ import annotations

import socket
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar, overload

from asyncendpoints.errors import ListenError
from asyncendpoints.limits import Limits
from asyncendpoints.server import Bound, Server
from asyncendpoints.specs import ServerSpec, parse_server
from asyncendpoints.streams import HandlerServer, StreamServer

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Generator
    from types import TracebackType

    from asyncendpoints.errors import HandshakeError

__all__ = ["Listening", "Sockets", "Starting", "bind", "listen", "server_specs", "start_server"]

C = TypeVar("C", bound=AbstractAsyncContextManager[Any])
S = TypeVar("S", bound=Server)


class Starting(ABC, Generic[C]):
    """What starts a server: to be awaited, or entered with ``async with``."""

    #: False from the time when there is something to start.
    _is_started = True

    def __init__(self) -> None:
        self._server: C | None = None
        self._is_started = False

    @abstractmethod
    async def _start(self) -> C:
        """Start the server."""

    def __del__(self) -> None:
        if not self._is_started:
            warnings.warn(f"{self!r} was never awaited or entered", RuntimeWarning, stacklevel=2)

    if not TYPE_CHECKING:  # pragma: no branch - else every name would be there

        def __getattr__(self, name: str) -> NoReturn:
            problem = "await it, or use async with, for the server"
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}; {problem}")

    def __await__(self) -> Generator[Any, None, C]:
        self._is_started = True
        return self._start().__await__()

    def close(self) -> None:
        """Start nothing after all."""
        self._is_started = True

    async def __aenter__(self) -> C:
        self._server = await self
        return self._server

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None  # entered before it is left
        await self._server.__aexit__(kind, error, traceback)


class Listening(Starting[S]):
    """What `listen` gives."""

    def __init__(
        self,
        endpoints: str | ServerSpec | Iterable[str | ServerSpec],
        make: Callable[[list[Bound]], S],
    ) -> None:
        self._specs = server_specs(endpoints)
        self._make = make
        super().__init__()

    def __repr__(self) -> str:
        where = ", ".join(spec.display() for spec in self._specs)
        return f"<Listening {where} {'started' if self._is_started else 'not started'}>"

    async def _start(self) -> S:
        bound = bind_all(self._specs)
        try:
            return self._make(bound)
        except BaseException:
            _close(bound)
            raise


@overload
def listen(
    endpoints: str | ServerSpec | Iterable[str | ServerSpec],
    factory: None = None,
    *,
    limits: Limits = ...,
    drain: float = ...,
    on_error: Callable[[HandshakeError], None] | None = ...,
) -> Listening[StreamServer]: ...


@overload
def listen(
    endpoints: str | ServerSpec | Iterable[str | ServerSpec],
    factory: Callable[[], asyncio.BaseProtocol],
    *,
    limits: Limits = ...,
    drain: float = ...,
    on_error: Callable[[HandshakeError], None] | None = ...,
) -> Listening[Server]: ...


def listen(
    endpoints: str | ServerSpec | Iterable[str | ServerSpec],
    factory: Callable[[], asyncio.BaseProtocol] | None = None,
    *,
    limits: Limits = Limits(),
    drain: float = 0.0,
    on_error: Callable[[HandshakeError], None] | None = None,
) -> Listening[Any]:
    """Listen on one endpoint or several: all of them, or none.

    The result is awaited, or entered with ``async with``, which ends the server with its block.

    Args:
        endpoints: A description or a spec, or several of them.
        factory: Makes a protocol for each connection, when everything before it is done, TLS included.
            Without it the server is one to iterate over, and gives streams.
        limits: How much to take on.
        drain: Seconds for which leaving ``async with`` waits for connections to end by themselves.
        on_error: Hears of clients that could not be accepted, such as those whose TLS handshake failed.

    Raises:
        DescriptionError: A text is no description of a server.
        ListenError: An endpoint cannot be listened on; when the result is awaited or entered.
    """
    if factory is None:
        return Listening(endpoints, lambda bound: StreamServer(bound, limits, drain, on_error))
    make = factory
    return Listening(endpoints, lambda bound: Server(bound, make, limits, drain, on_error))


def start_server(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None],
    endpoints: str | ServerSpec | Iterable[str | ServerSpec],
    *,
    limit: int = 65536,
    limits: Limits = Limits(),
    drain: float = 0.0,
    on_error: Callable[[HandshakeError], None] | None = None,
) -> Listening[HandlerServer]:
    """Listen, and run a coroutine for each connection, as ``asyncio.start_server`` does.

    Args:
        handle: Called with the reader and the writer of each connection.
        endpoints: As for `listen`, and so are the other arguments and the errors.
        limit: Size of each reader's buffer, in bytes.
        limits: As for `listen`.
        drain: As for `listen`; the handlers that are left after it are cancelled.
        on_error: As for `listen`.
    """
    return Listening(
        endpoints, lambda bound: HandlerServer(bound, handle, limit, limits, drain, on_error)
    )


class Sockets(list[socket.socket]):
    """Listening sockets for a server that wants those; a context manager that closes them."""

    def close(self) -> None:
        """Close them all, and unlink the unix paths that were made for them."""
        for sock in self:
            sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def bind(*endpoints: str | ServerSpec) -> Sockets:
    """Open listening sockets to hand to another server, such as uvicorn: all of them, or none.

    Raises:
        DescriptionError: A text is no description of a server.
        ListenError: An endpoint cannot be bound, or is more than a socket: what TLS adds would be lost.
    """
    specs = server_specs(endpoints)
    for spec in specs:
        if not spec.is_plain():
            raise ListenError(spec, "is more than a listening socket", "listen() serves it")
    bound = bind_all(specs)
    listeners = [each.listener for each in bound]
    sockets = Sockets(each for each in listeners if isinstance(each, socket.socket))
    if len(sockets) < len(listeners):
        _close(bound)
        odd = next(each.spec for each in bound if not isinstance(each.listener, socket.socket))
        raise ListenError(odd, "has no listening socket", "listen() serves it")
    return sockets


def bind_all(specs: list[ServerSpec]) -> list[Bound]:
    """Load and bind several endpoints, all or none.

    Raises:
        ListenError: One of them cannot be.
    """
    # What can be wrong in a file is found before anything is bound.
    acceptors = [spec.acceptor() for spec in specs]
    bound: list[Bound] = []
    try:
        for spec, acceptor in zip(specs, acceptors, strict=True):
            listeners = spec.beside([each for each in specs if each is not spec]).bind()
            bound += [Bound(spec, listener, acceptor) for listener in listeners]
    except BaseException:
        _close(bound)
        raise
    return bound


def _close(bound: list[Bound]) -> None:
    for each in bound:
        each.listener.close()


def server_specs(
    endpoints: str | ServerSpec | Iterable[str | ServerSpec],
    parse: Callable[[str], ServerSpec] = parse_server,
) -> list[ServerSpec]:
    """Give the specs of one endpoint to listen on or several, of which texts are read by ``parse``.

    Raises:
        DescriptionError: A text is no description of a server.
        TypeError: Something is neither a text nor the spec of a server.
        ValueError: There is none.
    """
    if isinstance(endpoints, str | ServerSpec) or not isinstance(endpoints, Iterable):
        endpoints = [endpoints]
    listed = list(endpoints)
    if not listed:
        raise ValueError("no endpoint to listen on was given")
    specs = [parse(each) if isinstance(each, str) else each for each in listed]
    for spec in specs:
        if not isinstance(spec, ServerSpec):
            raise TypeError(
                f"an endpoint to listen on is a description or a server spec, not {spec!r}"
            )
    return specs
