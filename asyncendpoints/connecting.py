"""Connecting: ``connect`` and ``open_connection``."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from asyncendpoints.attempt import Attempt
from asyncendpoints.grammar import grammar, with_article
from asyncendpoints.quantities import time_limit
from asyncendpoints.specs import ClientSpec, DatagramClientSpec, parse_client

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from asyncendpoints.addresses import Address
    from asyncendpoints.dns.resolver import Resolver
    from asyncendpoints.events import Event
    from asyncendpoints.specs import Spec

__all__ = [
    "DEFAULT_TIMEOUT",
    "UNSET",
    "carry_out",
    "client_spec",
    "connect",
    "connect_socket",
    "open_connection",
    "protocol_maker",
    "resolve",
    "within",
]

T = TypeVar("T")
P = TypeVar("P", bound=asyncio.BaseProtocol)

#: Seconds that a connect may take where neither the text nor the call says otherwise.
DEFAULT_TIMEOUT = 30.0


class _Unset:
    def __repr__(self) -> str:
        return "as the endpoint says"


#: Stands where a number of seconds or None is expected.
UNSET: Any = _Unset()


async def connect(
    endpoint: str | ClientSpec,
    protocol_factory: Callable[[], P] | P,
    *,
    timeout: float | None = UNSET,
    resolver: Resolver | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> tuple[asyncio.Transport, P]:
    """Connect to an endpoint.

    Args:
        endpoint: A description, or the spec of a client.
        protocol_factory: Called once, when everything else is done, TLS included; what it raises comes out
            unchanged. Or a protocol, used once.
        timeout: Seconds for all stages together: lookup, connect, proxies and TLS. None for no limit; 0 or
            less for no time at all. As a rule what the endpoint says, which is 30 unless its text gives
            another.
        resolver: The DNS resolver that finds the addresses of host names, in place of that of `use_resolver`
            or of the system.
        on_event: Called with a frozen value of `asyncendpoints.events` at each step.

    Returns:
        The transport and the protocol, as ``loop.create_connection`` does.

    Raises:
        DescriptionError: The text is no description of a client.
        ConnectError: The connection did not come about. With it, or with a cancel, every descriptor that
            was opened is closed.
    """
    spec = client_spec(endpoint)
    factory = protocol_maker(protocol_factory)
    attempt = Attempt(spec, on_event=on_event, resolver=resolver)
    return await carry_out(attempt, partial(spec.open, attempt, factory), timeout)


def carry_out(
    attempt: Attempt, opening: Callable[[], Awaitable[T]], timeout: float | None
) -> Awaitable[T]:
    """Carry out an attempt within its seconds: `UNSET` for those of its endpoint, None for no limit."""
    if timeout is UNSET:
        timeout = _limit(attempt.endpoint)
    return opening() if timeout is None else within(timeout, attempt, opening)


async def within(timeout: float, attempt: Attempt, opening: Callable[[], Awaitable[T]]) -> T:
    """Carry out an attempt, and give up after some seconds; 0 is one turn of the loop.

    Raises:
        ConnectError: As for `connect`, and so are TypeError and ValueError.
    """
    if type(timeout) is not float or not timeout > 0:  # a usual one needs no second look
        timeout = time_limit(timeout)
    task = asyncio.current_task()
    assert task is not None
    cancels = task.cancelling()
    expired = False

    # As asyncio.timeout does it, in half the time and without a TimeoutError that could be the factory's.
    def expire() -> None:
        nonlocal expired
        expired = True
        task.cancel()

    loop = task.get_loop()
    attempt.deadline = loop.time() + timeout
    timer = loop.call_at(attempt.deadline, expire)
    try:
        return await opening()
    except asyncio.CancelledError as error:
        if expired and task.cancelling() == cancels + 1:
            raise attempt.timed_out(timeout) from error
        raise
    finally:
        timer.cancel()
        if expired:
            task.uncancel()


async def open_connection(
    endpoint: str | ClientSpec,
    *,
    limit: int = 65536,
    timeout: float | None = UNSET,
    resolver: Resolver | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to an endpoint and give its streams, as ``asyncio.open_connection`` does.

    Args:
        endpoint: As for `connect`, and so are the other arguments and the errors.
        limit: Size of the reader's buffer, in bytes.
        timeout: As for `connect`.
        resolver: As for `connect`.
        on_event: As for `connect`.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=limit, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await connect(
        endpoint, protocol, timeout=timeout, resolver=resolver, on_event=on_event
    )
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def connect_socket(
    endpoint: str | ClientSpec,
    *,
    timeout: float | None = UNSET,
    resolver: Resolver | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> socket.socket:
    """Connect to an endpoint and give the socket, for a library that takes one.

    Args:
        endpoint: As for `connect`, and so are the other arguments; its bytes are to be those of a socket.
        timeout: As for `connect`.
        resolver: As for `connect`.
        on_event: As for `connect`.

    Returns:
        A connected, non-blocking socket, which belongs to the caller.

    Raises:
        DescriptionError: The text is no description of a client.
        ConnectError: The connection did not come about, or is more than a socket, as TLS is: `tunnel` makes a
            port of it.
    """
    spec = client_spec(endpoint)
    attempt = Attempt(spec, on_event=on_event, resolver=resolver)
    if not (spec.is_plain() or isinstance(spec, DatagramClientSpec)):
        kind = with_article(spec.names[0].text)
        raise attempt.error(
            f"the connection of {kind} client is more than a socket; tunnel() opens a port that leads there"
        )
    return await carry_out(attempt, partial(spec.open_socket, attempt), timeout)


async def resolve(
    endpoint: str | ClientSpec,
    *,
    timeout: float | None = UNSET,
    resolver: Resolver | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> list[Address]:
    """Look up where an endpoint is: the addresses that `connect` would try, in its order.

    Args:
        endpoint: As for `connect`, and so are the other arguments.
        timeout: Seconds for the lookup; else as for `connect`.
        resolver: As for `connect`.
        on_event: As for `connect`.

    Returns:
        One address or more.

    Raises:
        DescriptionError: The text is no description of a client.
        ResolveError: The host has no address, or the lookup failed.
        ConnectError: The kind has no addresses, as ``memory:`` has none.
    """
    spec = client_spec(endpoint)
    attempt = Attempt(spec, on_event=on_event, resolver=resolver)
    return await carry_out(attempt, partial(spec.addresses, attempt), timeout)


def client_spec(endpoint: str | ClientSpec) -> ClientSpec:
    """Give the spec of an endpoint to connect to.

    Raises:
        DescriptionError: The text is no description of a client.
        TypeError: It is neither a text nor the spec of a client.
    """
    spec = parse_client(endpoint) if isinstance(endpoint, str) else endpoint
    if not isinstance(spec, ClientSpec):
        msg = f"an endpoint to connect to is a description or a client spec, not {endpoint!r}"
        raise TypeError(msg)
    return spec


def _limit(spec: Spec) -> float | None:
    """Give the seconds that an endpoint allows; a wrapper that says nothing has those of what it wraps."""
    while not hasattr(spec, "timeout"):
        rest = grammar(type(spec)).rest
        if rest is None:
            return DEFAULT_TIMEOUT
        spec = getattr(spec, rest.name)
    limit: float | None = spec.timeout
    return limit


def protocol_maker(given: Callable[[], P] | P) -> Callable[[], P]:
    """Give a factory, whether one was given or the protocol itself."""
    if isinstance(given, asyncio.BaseProtocol):
        protocol: P = given
        return lambda: protocol
    if not callable(given):
        msg = f"a protocol factory is a function or a class, or a protocol, not {given!r}"
        raise TypeError(msg)
    return given
