"""The resolver of this machine: its hosts file, and the servers of its ``resolv.conf`` behind a cache."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from asyncendpoints.dns.cache import Cache
from asyncendpoints.dns.chain import Chain
from asyncendpoints.dns.forward import Forward
from asyncendpoints.dns.hosts import Hosts
from asyncendpoints.dns.resolvconf import ResolvConf

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["resolv_conf", "system"]


class _Machine(NamedTuple):
    """What one loop has."""

    resolver: Chain
    forward: Forward
    #: Closes the resolver when the loop shuts down its asynchronous generators.
    keeper: AsyncGenerator[None, None]


#: What there is for each loop that runs. A loop that ended in its usual way is not among them.
_machines: dict[asyncio.AbstractEventLoop, _Machine] = {}


def system() -> Chain:
    """Give the resolver of this machine: hosts file, cache, and the servers of ``resolv.conf``.

    There is one for each loop, so that all who ask share its cache. Both files are read again when they
    change. It is closed when the loop shuts down its asynchronous generators, as `asyncio.run` and
    `asyncio.Runner` do at their end. Closing it by hand does no harm: it can be used again.

    Raises:
        RuntimeError: No loop is running.
    """
    return _machine().resolver


def resolv_conf() -> ResolvConf:
    """Give what ``resolv.conf`` says, as the resolver of this machine knows it.

    Raises:
        RuntimeError: No loop is running.
    """
    return _machine().forward.resolv_conf or ResolvConf()


def _machine() -> _Machine:
    loop = asyncio.get_running_loop()
    found = _machines.get(loop)
    if found is None:
        for each in [each for each in _machines if each.is_closed()]:
            del _machines[each]
        forward = Forward.from_resolv_conf()
        resolver = Chain(Hosts(), Cache(forward))
        found = _machines[loop] = _Machine(resolver, forward, close_at_end(resolver))
    return found


def close_at_end(resolver: Chain) -> AsyncGenerator[None, None]:
    """Have a resolver closed when the running loop shuts down its asynchronous generators.

    Returns:
        What has to be kept until then.
    """
    keeper = _keep(asyncio.get_running_loop(), resolver)
    # To its first value, with which the loop knows of it. It waits for nothing before.
    with suppress(StopIteration):
        keeper.__anext__().send(None)
    return keeper


async def _keep(loop: asyncio.AbstractEventLoop, resolver: Chain) -> AsyncGenerator[None, None]:
    """Wait for the end of a loop, and close a resolver."""
    try:
        yield
    finally:
        _machines.pop(loop, None)
        await resolver.aclose()
