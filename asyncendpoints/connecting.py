"""Connecting: ``connect`` and ``open_connection``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from asyncendpoints.attempt import Attempt
from asyncendpoints.grammar import grammar
from asyncendpoints.specs import ClientSpec, parse_client

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints.events import Event
    from asyncendpoints.specs import Spec

__all__ = ["DEFAULT_TIMEOUT", "connect", "open_connection", "within"]

P = TypeVar("P", bound=asyncio.BaseProtocol)

#: Seconds that a connect may take where neither the text nor the call says otherwise.
DEFAULT_TIMEOUT = 30.0

#: Stands for "as the endpoint says".
_UNSET = object()


async def connect(
    endpoint: str | ClientSpec,
    protocol_factory: Callable[[], P] | P,
    *,
    timeout: float | None = _UNSET,  # type: ignore[assignment]  # a private mark, not a value
    on_event: Callable[[Event], None] | None = None,
) -> tuple[asyncio.Transport, P]:
    """Connect to an endpoint.

    Args:
        endpoint: A description, or the spec of a client.
        protocol_factory: Called once, when everything else is done, TLS included; what it raises comes out
            unchanged. Or a protocol, used once.
        timeout: Seconds for all stages together: lookup, connect, proxies and TLS. None for no limit. As a
            rule what the endpoint says, which is 30 unless its text gives another.
        on_event: Called with a frozen value of `asyncendpoints.events` at each step.

    Returns:
        The transport and the protocol, as ``loop.create_connection`` does.

    Raises:
        DescriptionError: The text is no description of a client.
        ConnectError: The connection did not come about. With it, or with a cancel, every descriptor that
            was opened is closed.
    """
    spec = parse_client(endpoint) if isinstance(endpoint, str) else endpoint
    if not isinstance(spec, ClientSpec):
        msg = f"an endpoint to connect to is a description or a client spec, not {endpoint!r}"
        raise TypeError(msg)
    factory = _factory(protocol_factory)
    if timeout is _UNSET:
        timeout = _limit(spec)
    attempt = Attempt(spec, on_event=on_event)
    if timeout is None:
        return await spec.open(attempt, factory)
    return await within(timeout, attempt, factory)


async def within(
    timeout: float, attempt: Attempt, factory: Callable[[], P]
) -> tuple[asyncio.Transport, P]:
    """Carry out an attempt, and give up after some seconds; 0 is one turn of the loop.

    Raises:
        ConnectError: As for `connect`.
    """
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
        return await attempt.endpoint.open(attempt, factory)
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
    timeout: float | None = _UNSET,  # type: ignore[assignment]  # a private mark, not a value
    on_event: Callable[[Event], None] | None = None,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to an endpoint and give its streams, as ``asyncio.open_connection`` does.

    Args:
        endpoint: As for `connect`, and so are the other arguments and the errors.
        limit: Size of the reader's buffer, in bytes.
        timeout: As for `connect`.
        on_event: As for `connect`.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=limit, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await connect(endpoint, protocol, timeout=timeout, on_event=on_event)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


def _limit(spec: Spec) -> float | None:
    """Give the seconds that an endpoint allows; a wrapper that says nothing has those of what it wraps."""
    while not hasattr(spec, "timeout"):
        rest = grammar(type(spec)).rest
        if rest is None:
            return DEFAULT_TIMEOUT
        spec = getattr(spec, rest.name)
    limit: float | None = spec.timeout
    return limit


def _factory(given: Callable[[], P] | P) -> Callable[[], P]:
    if isinstance(given, asyncio.BaseProtocol):
        protocol: P = given
        return lambda: protocol
    if not callable(given):
        msg = f"a protocol factory is a function or a class, or a protocol, not {given!r}"
        raise TypeError(msg)
    return given
