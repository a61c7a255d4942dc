"""The resolver of this machine: one for each loop, closed with it."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from asyncendpoints.dns.chain import Chain
from asyncendpoints.dns.machine import close_at_end, resolv_conf, system
from asyncendpoints.dns.outcome import PASS, Answer, NXDomain, Outcome
from asyncendpoints.dns.query import Query
from asyncendpoints.dns.resolvconf import ResolvConf
from asyncendpoints.dns.resolver import ask


class Closing:
    """A resolver that remembers whether it was closed while its loop ran."""

    def __init__(self) -> None:
        self.closed = 0

    def resolve(self, query: Query, /) -> Outcome:
        return PASS

    async def aclose(self) -> None:
        await asyncio.sleep(0)
        self.closed += 1


async def current() -> Chain:
    """Give the resolver of the loop of an ``asyncio.run``."""
    assert system() is system()
    return system()


def test_one_for_each_loop() -> None:
    """All who ask on one loop have the same resolver, on the next loop it is another."""
    first, second = asyncio.run(current()), asyncio.run(current())
    assert first is not second


async def test_resolves() -> None:
    """It knows this machine, and answers special-use names without asking anybody."""
    localhost = await ask(system(), Query.make("localhost", "A"))
    assert isinstance(localhost, Answer)
    assert isinstance(await ask(system(), Query.make("x.invalid", "A")), NXDomain)


async def test_resolv_conf() -> None:
    """What ``resolv.conf`` says can be had."""
    conf = resolv_conf()
    assert isinstance(conf, ResolvConf)
    assert conf.nameservers


def test_closed_with_the_loop() -> None:
    """A resolver is closed at the end of ``asyncio.run``, and not before."""
    resolver = Closing()

    async def main() -> object:
        chain = Chain(resolver)
        keeper = close_at_end(chain)
        assert await chain.resolve(Query.make("a.test", "A")) is PASS
        assert resolver.closed == 0
        return keeper

    keeper = asyncio.run(main())
    assert resolver.closed == 1
    del keeper


@pytest.mark.parametrize("is_run", [True, False])
def test_loops_are_freed(is_run: bool) -> None:
    """A loop that ended is not held: one that was merely closed no longer than until the next asks."""
    loops = []

    async def main() -> None:
        system()
        loops.append(weakref.ref(asyncio.get_running_loop()))

    if is_run:
        asyncio.run(main())
    else:
        loop = asyncio.SelectorEventLoop()
        loop.run_until_complete(main())
        loop.close()
        del loop
        asyncio.run(current())
    gc.collect()
    assert loops[0]() is None


def test_no_loop() -> None:
    """Without a running loop there is none."""
    with pytest.raises(RuntimeError, match="no running event loop"):
        system()
