"""Tests of the sockets that questions are sent from."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING

import pytest

from asyncendpoints.dns.forward import Forward
from asyncendpoints.dns.outcome import Answer, Failure
from asyncendpoints.dns.resolver import Pending
from asyncendpoints.kinds.dns import DNSClient
from asyncendpoints.resolving import use_resolver
from tests.clock import run
from tests.dns.test_forward import answer, forwarding, question, silence
from tests.dns.upstreams import Asked, fake_upstream
from tests.support import no_descriptors_left, open_descriptors, unused_port

if TYPE_CHECKING:
    from asyncendpoints.dns.pool import Pool


def pool_of(forward: Forward) -> Pool:
    """Give the sockets to the one upstream."""
    found = forward._upstreams[0]._pool
    assert found is not None
    return found


def sockets(forward: Forward) -> int:
    """Count the sockets to the one upstream."""
    return len(pool_of(forward)._sockets)


def ports(asked: list[Asked]) -> set[int]:
    """Give the ports that queries came from. Two sockets can have the same, one after the other."""
    return {each.peer[1] for each in asked}


async def test_ports_are_many_and_change() -> None:
    """A thousand questions come from many ports, none of which serves for more than 128."""
    async with forwarding() as (server, forward):
        used = set()
        for start in range(0, 1000, 50):
            pending = [answer(forward, f"n{i}.example.org") for i in range(start, start + 50)]
            await asyncio.gather(*pending)
            used |= pool_of(forward)._sockets
        assert len(ports(server.asked)) >= 8
        uses = [each.uses for each in used]
        assert (sum(uses), max(uses) <= 128) == (1000, True)
        assert sockets(forward) == 8


def test_ports_are_given_up_after_a_while() -> None:
    """A socket serves for ten seconds, and is then closed without being asked."""

    async def main() -> None:
        async with forwarding() as (server, forward):
            before = open_descriptors()
            await answer(forward)
            await asyncio.sleep(5)
            await answer(forward)
            old = set(pool_of(forward)._sockets)
            assert len(old) == len(ports(server.asked)) == 2
            await asyncio.sleep(5.5)
            await asyncio.sleep(10)
            assert sockets(forward) == 0
            assert open_descriptors() == before
            await answer(forward)
            assert not old & pool_of(forward)._sockets

    run(main())


def test_socket_whose_time_is_over_is_replaced() -> None:
    """A question is never sent from a socket that is older than ten seconds."""

    async def main() -> None:
        async with forwarding() as (_, forward):
            await answer(forward)
            await asyncio.sleep(5)
            for i in range(7):
                await answer(forward, f"n{i}.example.org")
            await asyncio.sleep(11)
            assert sockets(forward) == 7
            old = {each: each.uses for each in pool_of(forward)._sockets}
            for i in range(40):
                await answer(forward, f"m{i}.example.org")
            assert old == {each: each.uses for each in old}

    run(main())


def test_sockets_are_bounded() -> None:
    """However many questions wait there are at most 64 sockets."""

    async def main() -> None:
        async with forwarding(silence, max_outstanding=20_000, attempts=1) as (_, forward):
            for i in range(11_000):
                forward.resolve(question(f"n{i}.example.org"))
            assert sockets(forward) == 64
            assert forward.outstanding == 11_000
            assert isinstance(await forward.resolve(question("n0.example.org")), Failure)
            assert sockets(forward) == 8

    run(main())


async def test_replaced_socket_still_listens() -> None:
    """A reply to a socket that was replaced meanwhile is taken, and then the socket is closed."""
    held: list[Asked] = []
    async with forwarding(held.append) as (server, forward):
        pending = []
        for count in range(100, 401, 100):
            pending += [forward.resolve(question(f"{count}-{i}.example.org")) for i in range(100)]
            await server.wait_asked(count)
        assert sockets(forward) > 8
        for each in held:
            each.answer()
        for one in pending:
            assert isinstance(await one, Answer)
        assert sockets(forward) == 8
        assert forward.stats[0].errors == 0


async def test_replies_come_in_no_context_of_a_question() -> None:
    """A socket is for all questions, and its replies know nothing of the context of the first."""
    asking: ContextVar[str] = ContextVar("asking", default="nobody")
    heard: list[str] = []
    async with forwarding() as (_, forward):

        async def ask_and_hear(name: str) -> None:
            asking.set(name)
            pending = forward.resolve(question(f"{name}.example.org"))
            assert isinstance(pending, Pending)
            pending.then(lambda _: heard.append(asking.get()))
            await pending

        await ask_and_hear("first")
    assert heard == ["nobody"]


async def test_late_replies_are_not_unwanted() -> None:
    """A second reply to a question that was answered is no sign of a forger."""

    def twice(asked: Asked) -> None:
        asked.answer()
        asked.answer()

    async with forwarding(twice) as (_, forward):
        for i in range(20):
            await answer(forward, f"n{i}.example.org")
        assert forward.stats[0].unwanted == 0


async def test_source_address() -> None:
    """Questions are sent from the address that the description names."""
    async with (
        fake_upstream() as server,
        Forward(f"{server.text}:bindAddress=127.0.0.5") as forward,
    ):
        assert isinstance(await answer(forward), Answer)
        assert server.asked[0].peer[0] == "127.0.0.5"


async def test_no_way_to_the_server() -> None:
    """Where the system knows no way the question fails at once, and the upstream has an error."""
    async with Forward("udp:192.0.2.1:53:bindAddress=192.0.2.7", attempts=1) as forward:
        assert isinstance(await answer(forward), Failure)
        assert forward.stats[0].errors == 1


async def test_host_name() -> None:
    """A host name is looked up once, and everybody waits for that."""
    async with (
        fake_upstream() as server,
        Forward(f"dns:localhost:{server.port}:family=ipv4") as forward,
    ):
        outcomes = await asyncio.gather(*[answer(forward, f"n{i}.example.org") for i in range(3)])
        assert all(isinstance(each, Answer) for each in outcomes)


@pytest.mark.parametrize("kind", ["dns", "tcp"])
async def test_host_names_are_for_the_system(kind: str) -> None:
    """The address of an upstream is never asked of the resolver that it serves."""
    async with (
        fake_upstream() as server,
        Forward(f"{kind}:localhost:{server.port}:family=ipv4") as forward,
    ):
        with use_resolver(forward):
            assert isinstance(await answer(forward), Answer)


async def test_host_name_without_an_address() -> None:
    """A name that cannot be looked up is a server that cannot be reached."""
    async with Forward("dns:127.0.0.1.example.invalid", attempts=1) as forward:
        outcome = await answer(forward)
        assert isinstance(outcome, Failure)
        assert forward.stats[0].errors == 1


async def test_address_of_a_host_is_looked_up_again() -> None:
    """After some minutes the address is looked up again; if that fails the old one stands."""
    async with (
        fake_upstream() as server,
        Forward(f"dns:localhost:{server.port}:family=ipv4") as forward,
    ):
        await answer(forward)
        pool = pool_of(forward)
        before = pool._address
        for spec in (pool._spec, DNSClient("127.0.0.1.example.invalid")):
            pool._spec = spec
            pool._looked_up -= 301
            pending = forward.resolve(question(f"{spec.host}.example.org"))
            assert pool._lookup is not None
            await pool._lookup
            assert isinstance(await pending, Answer)
            assert pool._address == before


async def test_close_during_a_lookup() -> None:
    """Who waits for the address of a host hears of a close."""
    forward = Forward("dns:localhost")
    pending = forward.resolve(question())
    await forward.aclose()
    assert isinstance(await pending, Failure)
    assert len(asyncio.all_tasks()) == 1


async def test_change_during_a_lookup() -> None:
    """Who waits for the address of a server that is given up asks the next one."""
    async with fake_upstream() as server, Forward("dns:localhost", server.text) as forward:
        pending = forward.resolve(question())
        forward._upstreams[0].close()
        assert isinstance(await pending, Answer)


async def test_answer_elsewhere_during_a_lookup() -> None:
    """A question that was answered meanwhile is not sent when the address is there."""
    async with fake_upstream() as server, Forward(f"dns:localhost:{server.port}") as forward:
        pending = forward.resolve(question())
        assert isinstance(pending, Pending)
        pending.settle(Failure())
        lookup = pool_of(forward)._lookup
        assert lookup is not None
        await lookup
        assert sockets(forward) == 0


async def test_datagram_that_the_system_does_not_take() -> None:
    """A datagram for which there is no room counts as lost on its way."""

    def full(*_: object) -> int:
        raise BlockingIOError

    async with forwarding(patience=0.02) as (_, forward):
        forward.resolve(question("first.example.org"))
        with no_descriptors_left():
            (sock,) = pool_of(forward)._choice
            sock.send, usual = full, sock.send
            pending = forward.resolve(question())
            sock.send = usual
        assert isinstance(await pending, Answer)
        assert forward.stats[0].timeouts == 1


async def test_refusal_that_comes_when_the_next_question_is_sent() -> None:
    """All questions on a socket whose peer is not there fail over, the new one too."""
    async with (
        fake_upstream() as server,
        Forward(f"udp:127.0.0.1:{unused_port()}", server.text) as forward,
    ):
        first = forward.resolve(question("first.example.org"))
        with no_descriptors_left():
            second = forward.resolve(question())
        assert isinstance(await first, Answer | Failure)
        assert isinstance(await second, Answer | Failure)
        assert forward.stats[0].errors >= 1


async def test_error_on_a_socket_without_questions() -> None:
    """An error where nobody waits closes the socket, of those that were replaced too."""
    held: list[Asked] = []
    async with forwarding(held.append) as (server, forward):
        pending = forward.resolve(question())
        await server.wait_asked()
        (sock,) = pool_of(forward)._choice
        pool_of(forward).drop(sock)
        sock.fail(0, OSError())
        assert sockets(forward) == 1
        await server.wait_asked(2)
        (sock,) = pool_of(forward)._choice
        held[1].answer()
        assert isinstance(await pending, Answer)
        sock.fail(0, OSError())
        assert sockets(forward) == 0


async def test_interface_that_is_not_there() -> None:
    """A server behind an interface that is missing is down, and the others are asked."""
    async with (
        fake_upstream(has_tcp=False) as server,
        Forward("fe80::1%none9", server.text) as forward,
    ):
        assert isinstance(await answer(forward), Answer)
        first, _ = forward.stats
        assert first.last_error == "no interface with this name"
