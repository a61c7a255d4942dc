"""Our server as a program: ``ours.py JOB PORT [ZONE FILE | UPSTREAM PORT]``."""

from __future__ import annotations

import asyncio
import sys
from inspect import isawaitable
from typing import TYPE_CHECKING

from asyncendpoints import dns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncendpoints.dns import Answer, Forward, Query, Resolver

HOST = "127.0.0.1"


def _answer(query: Query, n: int) -> Answer:
    """Work out an address from the number in a name."""
    return dns.Answer.of(query, f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", ttl=60)


def _plain() -> Resolver:
    router = dns.Router()
    router.on("host{n:int}.computed.example.net", "A")(_answer)
    return router


def _coroutine() -> Resolver:
    router = dns.Router()

    @router.on("host{n:int}.computed.example.net", "A")
    async def host(query: Query, n: int) -> Answer:
        return _answer(query, n)

    return router


async def _zone(path: str) -> Resolver:
    return await dns.Zone.load(path)


def _forward(upstream: str) -> Forward:
    return dns.Forward(f"udp:{HOST}:{upstream}")


_JOBS: dict[str, Callable[..., Resolver | Awaitable[Resolver]]] = {
    "static": _zone,
    "cached": lambda upstream: dns.Cache(_forward(upstream)),
    "forwarded": _forward,
    "computed": _plain,
    "computed-async": _coroutine,
}


async def main(job: str, port: str, *more: str) -> None:
    """Serve until the process is ended."""
    made = _JOBS[job](*more)
    resolver = await made if isawaitable(made) else made
    async with dns.listen(f"dns:{port}:interface={HOST}", resolver) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
