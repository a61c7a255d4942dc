"""Tests of the resolver that asks other servers: what it makes of right replies, wrong ones, and none."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from asyncendpoints.addresses import Address
from asyncendpoints.dns.codes import EDECode
from asyncendpoints.dns.forward import Forward
from asyncendpoints.dns.names import encode_name
from asyncendpoints.dns.outcome import PASS, Answer, Failure, NoData, NXDomain, Outcome, Response
from asyncendpoints.dns.query import Query
from asyncendpoints.dns.records import Records, Type
from asyncendpoints.dns.resolver import Pending, ask
from asyncendpoints.errors import DescriptionError, DomainNameError
from tests.clock import run
from tests.dns.upstreams import OPT, Asked, FakeUpstream, fake_upstream
from tests.support import no_descriptors_left, open_descriptors, unused_port, warm_up

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from asyncendpoints.dns.upstream import Asker


def question(name: str = "www.example.org", qtype: str = "A", **more: Any) -> Query:
    """Make a query."""
    return Query.make(name, qtype, **more)


async def answer(forward: Forward, name: str = "www.example.org", **more: Any) -> Outcome:
    """Ask a forwarder."""
    return await forward.resolve(question(name, **more))


def address(outcome: Outcome) -> bytes:
    """Give the data of the one record of an answer."""
    assert isinstance(outcome, Answer)
    (records,) = outcome.answer
    (data,) = records.rdatas
    return data


def silence(asked: Asked) -> None:
    """Say nothing."""


def failing(rcode: int) -> Callable[[Asked], None]:
    """Make the script of a server that answers with an error."""
    return lambda asked: asked.fail(rcode)


@asynccontextmanager
async def forwarding(
    script: Callable[[Asked], None] = Asked.answer, *, has_tcp: bool = True, **options: Any
) -> AsyncIterator[tuple[FakeUpstream, Forward]]:
    """Run a forwarder to one fake server."""
    async with (
        fake_upstream(script, has_tcp=has_tcp) as server,
        Forward(server.text, **options) as forward,
    ):
        yield server, forward


@asynccontextmanager
async def forwarding_to(
    *scripts: Callable[[Asked], None], **options: Any
) -> AsyncIterator[tuple[list[FakeUpstream], Forward]]:
    """Run a forwarder to several fake servers, without TCP."""
    async with (
        fake_upstream(scripts[0], has_tcp=False) as one,
        fake_upstream(scripts[1], has_tcp=False) as two,
        Forward(one.text, two.text, **options) as forward,
    ):
        yield [one, two], forward


def delayed(
    seconds: float, script: Callable[[Asked], None] = Asked.answer
) -> Callable[[Asked], None]:
    """Make the script of a server that needs some time."""

    def wait(asked: Asked) -> None:
        asyncio.get_running_loop().call_later(seconds, script, asked)

    return wait


LOST = b"\xc0\x00\x02\x63"  # 192.0.2.99, the address in forged replies
RIGHT = b"\xc0\x00\x02\x01"


# The usual way


async def test_answer_comes_from_the_upstream() -> None:
    """A question is sent with RD, EDNS of 1232 bytes and nothing else; what is answered is the outcome."""
    async with forwarding() as (server, forward):
        outcome = await answer(forward)
        assert address(outcome) == RIGHT
        (asked,) = server.asked
        assert asked.packet[2:12] == b"\1\0\0\1\0\0\0\0\0\1"
        assert asked.name.lower() == encode_name("www.example.org")
        assert asked.opt == OPT


async def test_pending_outcome_is_timed() -> None:
    """What is still to come needs no timer of the server's."""
    async with forwarding() as (_, forward):
        pending = forward.resolve(question())
        assert isinstance(pending, Pending)
        assert pending.is_timed
        assert forward.outstanding == 1
        await pending
        assert forward.outstanding == 0


async def test_do_and_cd_are_copied() -> None:
    """DO and CD go to the upstream, and make the question another one."""
    async with forwarding() as (server, forward):
        await asyncio.gather(answer(forward, do=True), answer(forward, cd=True))
        first, second = server.asked
        assert first.opt[7:9] == b"\x80\0"
        assert first.packet[3] == 0
        assert second.opt[7:9] == b"\0\0"
        assert second.packet[3] == 0x10


async def test_identifiers_and_cases_differ() -> None:
    """Each question has its own identifier and its own case."""
    async with forwarding() as (server, forward):
        for i in range(20):
            await answer(forward, f"a-long-name-of-letters-{i}.example.org")
        assert len({each.packet[:2] for each in server.asked}) > 15
        assert len({each.name[:24] for each in server.asked}) == 20


async def test_queries_without_recursion_pass() -> None:
    """Who may not have recursion gets nothing from here."""
    forward = Forward("192.0.2.1")
    assert forward.resolve(question(rd=False)) is PASS
    assert forward.resolve(question(recursion=False)) is PASS


async def test_only_some_domains() -> None:
    """Names that are not under ``only`` pass."""
    async with forwarding(only=("example.org", "Example.COM.")) as (server, forward):
        assert await answer(forward, "www.example.net") is PASS
        assert await answer(forward, "wwwexample.org") is PASS
        assert isinstance(await answer(forward, "example.com"), Answer)
        assert len(server.asked) == 1


async def test_special_names_never_leave() -> None:
    """Special-use names are answered here."""
    async with forwarding() as (server, forward):
        assert isinstance(await answer(forward, "x.onion"), NXDomain)
        assert address(await answer(forward, "localhost")) == b"\x7f\0\0\1"
        assert server.asked == []


async def test_special_names_that_are_named_leave() -> None:
    """A domain of ``only`` that is a special one is forwarded; what is above or beside it is not."""
    async with forwarding(only=("10.in-addr.arpa", "arpa")) as (server, forward):
        await answer(forward, "1.2.3.10.in-addr.arpa")
        assert len(server.asked) == 1
        assert isinstance(await answer(forward, "1.168.192.in-addr.arpa"), NXDomain)
        assert len(server.asked) == 1


async def test_every_name_leaves_where_the_root_is_named() -> None:
    """With the root in ``only`` there is no name that is answered here."""
    async with forwarding(only=(".",)) as (server, forward):
        for name in ("svc.test", "1.0.0.10.in-addr.arpa", "www.example.org"):
            await answer(forward, name)
        assert len(server.asked) == 3


@pytest.mark.parametrize(("flags", "kind"), [(0x8180, NoData), (0x8183, NXDomain)])
async def test_nothing_there(flags: int, kind: type) -> None:
    """No data and no such name are what the upstream says."""
    soa = b"\xc0\x10\0\6\0\1\0\0\0\x3c\0\x18\xc0\x10\xc0\x10" + bytes(20)
    script = lambda asked: asked.send(asked.reply((0, 1, 0), soa, flags=flags))  # noqa: E731
    async with forwarding(script) as (_, forward):
        outcome = await answer(forward)
        assert type(outcome) is kind
        assert isinstance(outcome, Response)
        assert outcome.authority[0].owner.lower() == encode_name("example.org")


@pytest.mark.parametrize("rcode", [2, 4, 5, 6])
async def test_errors_reach_the_client(rcode: int) -> None:
    """The errors of a single upstream are passed on at once, and asked for once."""
    async with forwarding(failing(rcode)) as (server, forward):
        outcome = await answer(forward)
        assert isinstance(outcome, Failure)
        assert outcome.rcode == rcode
        assert len(server.asked) == 1


async def test_alias_is_followed_by_ask() -> None:
    """What ends in a CNAME is asked for again, with the other name."""

    def script(asked: Asked) -> None:
        if asked.name.lower().startswith(b"\3www"):
            asked.answer(Records(asked.name, Type.CNAME, 60, (encode_name("a.example.net"),)))
        else:
            asked.answer()

    async with forwarding(script) as (server, forward):
        outcome = await ask(forward, question())
        assert isinstance(outcome, Answer)
        assert [each.rtype for each in outcome.answer] == [Type.CNAME, Type.A]
        assert len(server.asked) == 2


async def test_trusted_ad_bit() -> None:
    """The AD bit is passed on if the upstream is trusted."""
    script = lambda asked: asked.send(asked.reply(flags=0x81A0))  # noqa: E731
    async with fake_upstream(script) as server:
        async with Forward(server.text, trust_ad=True) as trusting:
            assert (await answer(trusting)).ad
        async with Forward(server.text) as doubting:
            assert not (await answer(doubting)).ad


# Many who wait


async def test_thousand_waiters_and_one_packet() -> None:
    """However many ask the same question, it is sent once."""
    async with forwarding() as (server, forward):
        outcomes = await asyncio.gather(*[answer(forward) for _ in range(1000)])
        assert len(server.asked) == 1
        assert len(set(map(id, outcomes))) == 1


async def test_abandoned_waiter_leaves_the_others() -> None:
    """A waiter that is cancelled does not end the flight."""
    held: list[Asked] = []
    async with forwarding(held.append) as (server, forward):
        tasks = [asyncio.ensure_future(answer(forward)) for _ in range(2)]
        await server.wait_asked()
        tasks[0].cancel()
        await asyncio.gather(tasks[0], return_exceptions=True)
        held[0].answer()
        assert address(await tasks[1]) == RIGHT


async def test_flight_that_nobody_waits_for_ends() -> None:
    """When the last waiter has gone nothing is kept of a question, hasty or not."""
    async with forwarding(silence) as (_, forward):
        tasks = [
            asyncio.ensure_future(answer(forward)),
            asyncio.ensure_future(
                answer(forward, deadline=asyncio.get_running_loop().time() + 0.5)
            ),
        ]
        await asyncio.sleep(0)
        for task, left in zip(tasks, (1, 0), strict=True):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert forward.outstanding == left


def test_hasty_waiter_that_gave_up_is_not_kept() -> None:
    """A flight knows nothing of who had less time than it takes."""

    async def main() -> None:
        async with forwarding(silence) as (_, forward):
            await answer(forward, deadline=asyncio.get_running_loop().time() + 0.5)
            (flight,) = forward.flights.values()
            assert flight._callback is None

    run(main())


async def test_first_word_counts() -> None:
    """A flight that has come to an outcome keeps it."""
    async with forwarding() as (_, forward):
        flight = forward.resolve(question())
        assert isinstance(flight, Pending)
        flight.settle(PASS)
        flight.settle(Failure())
        assert await flight is PASS


def test_hasty_waiter_gives_up_alone() -> None:
    """Who has less time gets a failure by then; the flight goes on for the others."""

    async def main() -> tuple[Outcome, float, Outcome]:
        held: list[Asked] = []
        loop = asyncio.get_running_loop()
        async with forwarding(held.append, attempts=1) as (_, forward):
            hasty = await answer(forward, deadline=loop.time() + 0.5)
            gave_up = loop.time()
            patient = asyncio.ensure_future(answer(forward))
            await asyncio.sleep(1)
            held[0].answer()
            return hasty, gave_up, await patient

    hasty, gave_up, patient = run(main())
    assert isinstance(hasty, Failure)
    assert gave_up <= 0.5
    assert address(patient) == RIGHT


def test_hasty_waiter_gets_what_comes_in_time() -> None:
    """Who has less time than others gets the answer if it is there in time."""

    async def main() -> Outcome:
        async with forwarding() as (_, forward):
            return await answer(forward, deadline=asyncio.get_running_loop().time() + 0.5)

    assert address(run(main())) == RIGHT


def test_deadline_of_the_query_counts() -> None:
    """A flight ends by the deadline of who began it."""

    async def main() -> tuple[Outcome, float]:
        async with forwarding(silence, has_tcp=False) as (_, forward):
            outcome = await answer(forward, deadline=2.0)
            return outcome, asyncio.get_running_loop().time()

    outcome, ended = run(main())
    assert isinstance(outcome, Failure)
    assert 1.9 <= ended <= 2.0


def test_too_many_questions() -> None:
    """Beyond the limit a question fails at once."""

    async def main() -> tuple[Outcome, int]:
        async with forwarding(silence, max_outstanding=2) as (server, forward):
            for i in range(2):
                forward.resolve(question(f"www{i}.example.org"))
            outcome = forward.resolve(question())
            await server.wait_asked(2)
            return outcome, len(server.asked)

    outcome, sent = run(main())
    assert isinstance(outcome, Failure)
    assert outcome.ede is not None
    assert outcome.ede.code == EDECode.NOT_READY
    assert sent == 2


# No answer, and others to ask


def test_silence_is_a_failure_in_time() -> None:
    """Without any reply the outcome is SERVFAIL, after the time that was given."""

    async def main() -> tuple[Outcome, float, list[int]]:
        async with forwarding_to(silence, silence, timeout=3.0, patience=1.0) as (servers, forward):
            outcome = await answer(forward)
            return outcome, asyncio.get_running_loop().time(), [len(s.asked) for s in servers]

    outcome, ended, sent = run(main())
    assert isinstance(outcome, Failure)
    assert outcome.rcode == 2
    assert outcome.ede is not None
    assert outcome.ede.code == EDECode.NO_REACHABLE_AUTHORITY
    assert 2.9 <= ended <= 3.0
    assert sent == [2, 2]


def test_late_answer_counts() -> None:
    """An upstream that others were asked after is still listened to."""

    async def main() -> tuple[Outcome, float]:
        loop = asyncio.get_running_loop()
        slow = delayed(3)
        async with forwarding_to(slow, silence, attempts=1) as (_, forward):
            return await answer(forward), loop.time()

    outcome, ended = run(main())
    assert address(outcome) == RIGHT
    assert ended == pytest.approx(3)


def test_no_try_waits_after_an_answer() -> None:
    """Once there is an answer, none of the sockets that the question was sent from waits for one."""

    async def main() -> list[int]:
        async with forwarding_to(silence, Asked.answer) as (_, forward):
            await answer(forward)
            pools = [each._pool for each in forward._upstreams]
            sockets = [sock for pool in pools if pool is not None for sock in pool._sockets]
            return [len(sock.waiting) for sock in sockets]

    assert run(main()) == [0, 0]


def test_next_upstream_after_silence() -> None:
    """When the first says nothing the second is asked, before the time is up."""

    async def main() -> tuple[Outcome, float]:
        async with forwarding_to(silence, Asked.answer) as (_, forward):
            outcome = await answer(forward)
            assert [each.timeouts for each in forward.stats] == [1, 0]
            return outcome, asyncio.get_running_loop().time()

    outcome, ended = run(main())
    assert address(outcome) == RIGHT
    assert ended < 1.2


async def test_refused_port_fails_over_at_once() -> None:
    """An upstream whose port is closed costs no time."""
    async with (
        fake_upstream() as server,
        Forward(
            f"udp:127.0.0.1:{unused_port()}", server.text, timeout=600, patience=500
        ) as forward,
    ):
        assert address(await answer(forward)) == RIGHT
        assert forward.stats[0].errors == 1
        assert forward.stats[0].last_error == "Connection refused"


async def test_all_refused() -> None:
    """When nobody can be reached the failure comes at once."""
    port = unused_port()
    async with Forward(f"udp:127.0.0.1:{port}", f"tcp:127.0.0.1:{port}", timeout=600) as forward:
        outcome = await answer(forward)
        assert isinstance(outcome, Failure)
        assert outcome.ede is not None
        assert outcome.ede.code == EDECode.NETWORK_ERROR


@pytest.mark.parametrize("rcode", [2, 4, 5])
async def test_next_upstream_after_an_error(rcode: int) -> None:
    """After SERVFAIL, NOTIMP and REFUSED the next one is asked."""
    async with forwarding_to(failing(rcode), Asked.answer) as (_, forward):
        assert address(await answer(forward)) == RIGHT


async def test_first_error_is_the_outcome() -> None:
    """When all fail, the first failure counts, and each was asked once."""
    async with forwarding_to(failing(5), failing(2)) as (servers, forward):
        assert (await answer(forward)).rcode == 5
        assert [len(each.asked) for each in servers] == [1, 1]


async def test_other_codes_are_final() -> None:
    """NXDOMAIN and YXDOMAIN are answers: nobody else is asked."""
    for rcode in (3, 6):
        async with forwarding_to(failing(rcode), Asked.answer) as (servers, forward):
            assert (await answer(forward)).rcode == rcode
            assert servers[1].asked == []


def test_error_and_silence() -> None:
    """After an error a silent server is waited for no longer than its time."""

    async def main() -> tuple[Outcome, float]:
        async with forwarding_to(failing(5), silence, attempts=1) as (_, forward):
            return await answer(forward), asyncio.get_running_loop().time()

    outcome, ended = run(main())
    assert outcome.rcode == 5
    assert ended < 1.2


def test_late_error_of_the_first() -> None:
    """An error that comes late does not end the time of the one that is asked meanwhile."""

    async def main() -> Outcome:
        late = delayed(1.2, failing(5))
        slow = delayed(0.8)
        async with forwarding_to(late, slow) as ((_, second), forward):
            outcome = await answer(forward)
            assert len(second.asked) == 1
            return outcome

    assert address(run(main())) == RIGHT


def test_try_that_is_lost_while_the_next_is_sent() -> None:
    """Asking can bring the news that an earlier try is lost; the next ones have their time all the same."""

    async def main() -> tuple[int, int]:
        forward = Forward("192.0.2.1", attempts=3)
        forward._start(asyncio.get_running_loop())
        (upstream,) = forward._upstreams
        asked: list[Asker] = []

        def ask(asker: Asker, now: float) -> bool:
            asked.append(asker)
            if len(asked) == 2:
                asker.lose(upstream, now)
            return len(asked) != 2

        upstream.ask = ask
        assert isinstance(await answer(forward), Failure)
        return len(asked), upstream.timeouts

    assert run(main()) == (3, 2)


def test_silence_and_late_error() -> None:
    """When nobody is left to ask, the first error ends it."""

    async def main() -> tuple[Outcome, float]:
        late = delayed(3, failing(5))
        async with forwarding_to(silence, late, attempts=1) as (_, forward):
            return await answer(forward), asyncio.get_running_loop().time()

    outcome, ended = run(main())
    assert outcome.rcode == 5
    assert ended == pytest.approx(4, abs=0.2)


def test_dead_upstream_is_skipped_probed_and_comes_back() -> None:
    """After three failures a server is asked last; it is tried again beside others, and then counts again."""

    async def main() -> None:
        async with forwarding_to(silence, Asked.answer) as ((dead, _), forward):
            for i in range(3):
                await answer(forward, f"www{i}.example.org")
            assert [each.is_up for each in forward.stats] == [False, True]
            started = asyncio.get_running_loop().time()
            await answer(forward, "www3.example.org")
            assert asyncio.get_running_loop().time() == started
            assert len(dead.asked) == 3
            dead.script = Asked.answer
            await asyncio.sleep(1.1)
            await answer(forward, "www4.example.org")
            await asyncio.sleep(0)
            assert len(dead.asked) == 4
            await answer(forward, "www5.example.org")
            await answer(forward, "www6.example.org")

    run(main())


def test_probe_brings_a_server_back() -> None:
    """A server that answers the question that was sent beside another counts as working."""

    async def main() -> None:
        held: list[Asked] = []
        async with forwarding_to(silence, held.append) as ((dead, _), forward):
            for i in range(3):
                pending = asyncio.ensure_future(answer(forward, f"www{i}.example.org"))
                await asyncio.sleep(1.2)
                held[-1].answer()
                await pending
            dead.script = Asked.answer
            assert not forward.stats[0].is_up
            await asyncio.sleep(2)
            assert address(await answer(forward)) == RIGHT
            assert forward.stats[0].is_up

    run(main())


def test_probes_back_off() -> None:
    """A server that stays dead is tried less and less often."""

    async def main() -> int:
        async with forwarding_to(silence, Asked.answer) as ((dead, _), forward):
            for i in range(3):
                await answer(forward, f"www{i}.example.org")
            for i in range(120):
                await asyncio.sleep(0.5)
                await answer(forward, f"probe{i}.example.org")
            return len(dead.asked) - 3

    assert run(main()) == 5  # after 1, 2, 4, 8 and 16 seconds


def test_silence_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A server that goes down for want of answers has one line in the log, a question that is lost none."""

    async def main() -> tuple[list[str], list[str]]:
        async with forwarding_to(silence, Asked.answer) as ((dead, _), forward):
            await answer(forward)
            early = caplog.messages.copy()
            for i in range(20):
                await answer(forward, f"www{i}.example.org")
            assert forward.stats[0].last_error == "no answer in time"
            return early, [f"upstream dns:127.0.0.1:{dead.port} fails: no answer in time"]

    early, lines = run(main())
    assert (early, caplog.messages) == ([], lines)


def test_log_after_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """A server that works again and fails again has another line, a minute after the last at the soonest."""

    async def main() -> list[int]:
        counts = []
        async with forwarding(has_tcp=False, timeout=0.3, attempts=1) as (server, forward):
            for seconds in (0, 10, 60):
                await asyncio.sleep(seconds)
                server.script = Asked.answer
                await answer(forward)
                server.script = silence
                for i in range(4):
                    await answer(forward, f"www{i}.example.org")
                counts.append(len(caplog.messages))
        return counts

    assert run(main()) == [1, 1, 2]


async def test_a_refused_connection_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """What is wrong with a connection is said, once."""
    port = unused_port()
    async with Forward(f"tcp:127.0.0.1:{port}") as forward:
        await answer(forward)
        await answer(forward)
        reason = forward.stats[0].last_error
    assert caplog.messages == [f"upstream tcp:127.0.0.1:{port} fails: {reason}"]
    assert reason is not None
    assert "refused" in reason


def test_all_down_are_asked_anyway() -> None:
    """When no server works they are all asked as usual."""

    async def main() -> None:
        async with forwarding_to(silence, silence, timeout=2.5, patience=0.5) as (servers, forward):
            for i in range(3):
                await answer(forward, f"www{i}.example.org")
            assert not any(each.is_up for each in forward.stats)
            servers[1].script = Asked.answer
            assert address(await answer(forward)) == RIGHT
            assert [each.is_up for each in forward.stats] == [False, True]

    run(main())


def test_dead_server_is_not_asked_after_an_error() -> None:
    """Where an error is known already, nobody waits for a server that is down."""

    async def main() -> float:
        async with forwarding_to(silence, Asked.answer) as ((_, other), forward):
            for i in range(3):
                await answer(forward, f"www{i}.example.org")
            other.script = failing(5)
            started = asyncio.get_running_loop().time()
            assert (await answer(forward)).rcode == 5
            return asyncio.get_running_loop().time() - started

    assert run(main()) == 0


# Which one is asked first


async def first_asked(servers: list[FakeUpstream], forward: Forward, times: int) -> list[int]:
    """Ask some questions and count how many each server got."""
    for i in range(times):
        await answer(forward, f"www{i}.example.org")
    return [len(each.asked) for each in servers]


async def test_sequential() -> None:
    """The first that works is asked."""
    async with forwarding_to(Asked.answer, Asked.answer) as (servers, forward):
        assert await first_asked(servers, forward, 4) == [4, 0]


async def test_round_robin() -> None:
    """Each is asked in turn."""
    async with forwarding_to(Asked.answer, Asked.answer, policy="round-robin") as (
        servers,
        forward,
    ):
        assert await first_asked(servers, forward, 4) == [2, 2]


async def test_random() -> None:
    """Any is asked."""
    async with forwarding_to(Asked.answer, Asked.answer, policy="random") as (servers, forward):
        assert all(await first_asked(servers, forward, 64))


def test_fastest() -> None:
    """The one that answers soonest is asked, and the other one now and then."""

    async def main() -> list[int]:
        quick = delayed(0.01)
        slow = delayed(0.02)
        async with forwarding_to(slow, quick, policy="fastest") as (servers, forward):
            return await first_asked(servers, forward, 100)

    slow, quick = run(main())
    assert 1 < slow < 6
    assert slow + quick == 100


# Replies that are wrong


def wrong_replies(asked: Asked) -> list[bytes]:
    """Make replies that lie, each in another way."""
    lie = asked.reply()[:-4] + LOST
    other_case = asked.question[:-4].swapcase() + asked.question[-4:]
    return [
        b"x",
        b"xx",
        lie[:2],
        lie[:12],
        lie[:-1],
        lie + b"x",
        bytes((lie[0] ^ 1, lie[1])) + lie[2:],
        lie[:2] + b"\1\0" + lie[4:],
        lie[:2] + b"\xa1\x80" + lie[4:],
        lie[:4] + b"\0\2" + lie[6:],
        asked.reply(question=encode_name("www.example.com") + b"\0\1\0\1")[:-4] + LOST,
        asked.reply(question=asked.question[:-4] + b"\0\x1c\0\1")[:-4] + LOST,
        asked.reply(question=asked.question[:-4] + b"\0\1\0\3")[:-4] + LOST,
        asked.reply(question=other_case)[:-4] + LOST,
        asked.reply((1, 0, 2), b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + LOST + OPT + OPT),
        asked.packet,
        os.urandom(100),
    ]


async def test_right_answer_after_fifty_forged_ones() -> None:
    """Wrong replies change nothing, whatever is wrong with them."""

    def script(asked: Asked) -> None:
        for packet in (wrong_replies(asked) * 3)[:50]:
            asked.send(packet)
        asked.answer()

    async with forwarding(script, timeout=600, patience=500) as (server, forward):
        assert address(await answer(forward)) == RIGHT
        assert len(server.datagrams) == 1
        assert forward.stats[0].unwanted == 50


@pytest.mark.parametrize("place", range(17))
def test_forged_reply_alone_is_no_answer(place: int) -> None:
    """Each of the wrong replies alone is waited on to the end."""

    async def main() -> Outcome:
        script = lambda asked: asked.send(wrong_replies(asked)[place])  # noqa: E731
        async with forwarding(script, has_tcp=False) as (_, forward):
            return await answer(forward)

    assert isinstance(run(main()), Failure)


async def test_other_sources_are_not_heard() -> None:
    """A right reply from another address than the one that was asked is dropped by the system."""
    async with fake_upstream() as liar:

        def script(asked: Asked) -> None:
            liar.transport.sendto(asked.reply()[:-4] + LOST, asked.peer)
            asked.answer()

        async with forwarding(script) as (_, forward):
            assert address(await answer(forward)) == RIGHT
            assert forward.stats[0].unwanted == 0


def test_probing_makes_it_ask_over_tcp() -> None:
    """After many unwanted replies the server is asked over TCP, for a while."""

    async def main() -> None:
        def script(asked: Asked) -> None:
            if not asked.is_stream:
                for _ in range(200):
                    asked.send(b"forged")
            asked.answer()

        async with forwarding(script, has_tcp=True) as (server, forward):
            for i in range(3):
                await answer(forward, f"www{i}.example.org")
                await asyncio.sleep(0.1)
            assert len(server.streamed) == 2
            server.script = Asked.answer
            await asyncio.sleep(40)
            await answer(forward)
            assert len(server.datagrams) == 2

    run(main())


async def test_wrong_case_is_checked_over_tcp() -> None:
    """A server that does not keep the case is asked over TCP, and after three times without mixed case."""

    def script(asked: Asked) -> None:
        asked.send(asked.reply(question=asked.question.lower()))

    async with forwarding(script, timeout=600, patience=500) as (server, forward):
        for i in range(5):
            assert isinstance(await answer(forward, f"www-{'x' * 40}.example{i}.org"), Answer)
        assert len(server.streamed) == 3
        assert [each.name.islower() for each in server.datagrams] == [False] * 3 + [True] * 2


def test_wrong_case_without_tcp() -> None:
    """Where TCP cannot be had for now, a server that does not keep the case gets another question soon."""

    async def main() -> Outcome:
        def script(asked: Asked) -> None:
            asked.send(asked.reply(question=asked.question.lower()))

        async with forwarding(script, has_tcp=False) as (_, forward):
            names = [f"a-rather-long-name-{i}.example.org" for i in range(4)]
            forward.resolve(question())
            forward._upstreams[0]._pipeline._retry_at = float("inf")
            await asyncio.gather(*[answer(forward, each) for each in names[:3]])
            return await answer(forward, names[3])

    assert address(run(main())) == RIGHT


# Truncation, EDNS


async def test_truncated_reply_is_asked_for_over_tcp() -> None:
    """What is cut is asked for over TCP, of the same server."""
    texts = tuple(bytes([200]) + b"x" * 200 for _ in range(20))

    def script(asked: Asked) -> None:
        if asked.is_stream:
            asked.answer(Records(asked.name, Type.TXT, 60, texts))
        else:
            asked.send(asked.reply((0, 0, 0), b"", flags=0x8380))

    async with (
        fake_upstream(script) as server,
        fake_upstream() as other,
        Forward(server.text, other.text) as forward,
    ):
        outcome = await forward.resolve(question(qtype="TXT"))
        assert isinstance(outcome, Answer)
        assert outcome.answer[0].rdatas == texts
        assert other.asked == []
        assert forward.stats[0].truncated == 1


async def test_datagram_that_is_too_long_is_asked_for_over_tcp() -> None:
    """More than 1232 bytes over UDP come in fragments, which can be forged: they are not believed."""

    def script(asked: Asked) -> None:
        tail = asked.reply()[len(asked.packet) - len(asked.opt) :]
        asked.answer() if asked.is_stream else asked.send(asked.reply((90, 0, 0), tail * 90))

    async with forwarding(script) as (server, forward):
        assert address(await answer(forward)) == RIGHT
        assert len(server.streamed) == 1


async def test_truncated_over_tcp_too() -> None:
    """What is cut over TCP is no answer: the next server is asked."""

    def script(asked: Asked) -> None:
        asked.send(asked.reply((0, 0, 0), b"", flags=0x8380))

    async with (
        fake_upstream(script) as one,
        fake_upstream() as two,
        Forward(one.text, two.text, timeout=600, patience=500) as forward,
    ):
        assert address(await answer(forward)) == RIGHT
        assert [each.is_stream for each in one.asked] == [False, True]
    async with forwarding(script, timeout=600, patience=500) as (_, forward):
        assert (await answer(forward)).rcode == 2


def test_truncated_and_no_tcp() -> None:
    """Where TCP is refused, a reply that is cut is no answer."""

    async def main() -> Outcome:
        script = lambda asked: asked.send(asked.reply((0, 0, 0), b"", flags=0x8380))  # noqa: E731
        async with forwarding(script, has_tcp=False) as (_, forward):
            outcomes = [await answer(forward, f"www{i}.example.org") for i in range(3)]
            return outcomes[-1]

    assert isinstance(run(main()), Failure)


@pytest.mark.parametrize("rcode", [1, 4])
async def test_server_without_edns(rcode: int) -> None:
    """FORMERR or NOTIMP without OPT: asked again without EDNS, which is remembered if it helps."""

    def script(asked: Asked) -> None:
        asked.fail(rcode, has_opt=False) if asked.opt else asked.answer()

    async with forwarding(script) as (server, forward):
        for i in range(3):
            assert address(await answer(forward, f"www{i}.example.org")) == RIGHT
        assert [bool(each.opt) for each in server.asked] == [True, False, False, False]


async def test_edns_is_not_to_blame_for_every_error() -> None:
    """Where asking without EDNS does not help either, EDNS stays."""
    async with forwarding(lambda asked: asked.fail(1, has_opt=False)) as (server, forward):
        for i in range(2):
            outcome = await answer(forward, f"www{i}.example.org")
            assert outcome.rcode == 2
            assert outcome.ede is not None
        assert [bool(each.opt) for each in server.asked] == [True, False, True, False]


async def test_server_that_fails_with_a_header_alone() -> None:
    """An error without a question is believed over TCP only, and after three times over UDP."""

    def script(asked: Asked) -> None:
        asked.send(asked.packet[:2] + b"\x81\x81" + bytes(8)) if asked.opt else asked.answer()

    async with forwarding(script, timeout=600, patience=500) as (server, forward):
        for i in range(2):
            assert address(await answer(forward, f"www{i}.example.org")) == RIGHT
        assert [(each.is_stream, bool(each.opt)) for each in server.asked] == [
            (False, True),
            (True, True),
            (True, False),
            (False, False),
        ]


async def test_server_that_refuses_with_a_header_alone() -> None:
    """A refusal without a question is believed over TCP only, and no reason to leave EDNS out."""
    async with forwarding(
        lambda asked: asked.send(asked.packet[:2] + b"\x81\x05" + bytes(8)),
        timeout=600,
        patience=500,
    ) as (server, forward):
        for i in range(4):
            assert (await answer(forward, f"www{i}.example.org")).rcode == 5
        assert [(each.is_stream, bool(each.opt)) for each in server.asked] == [
            (False, True),
            (True, True),
        ] * 4


def test_header_alone_without_tcp() -> None:
    """Without TCP, three errors without a question make it ask without EDNS."""

    async def main() -> Outcome:
        def script(asked: Asked) -> None:
            asked.send(asked.packet[:2] + b"\x81\x81" + bytes(8)) if asked.opt else asked.answer()

        async with forwarding(script, has_tcp=False) as (_, forward):
            for i in range(3):
                await answer(forward, f"www{i}.example.org")
            return await answer(forward)

    assert address(run(main())) == RIGHT


async def test_server_without_edns_that_is_gone() -> None:
    """Where it cannot be asked again without EDNS, it has not answered."""
    async with forwarding(lambda asked: asked.fail(1, has_opt=False)) as (_, forward):
        pending = forward.resolve(question())
        forward._upstreams[0].ask = lambda _, __: False
        outcome = await pending
        assert outcome.rcode == 2
        assert outcome.ede is not None
        assert outcome.ede.code == EDECode.NETWORK_ERROR


def test_timeouts_do_not_cost_edns() -> None:
    """Silence is no reason to leave EDNS out."""

    async def main() -> list[bool]:
        async with forwarding(silence, has_tcp=False) as (server, forward):
            for i in range(3):
                await answer(forward, f"www{i}.example.org")
            return [bool(each.opt) for each in server.asked]

    assert all(run(main()))


# Loops


async def test_forwarder_that_points_at_itself() -> None:
    """A question that comes back from one of our own sockets is a failure, at once."""
    forward: Forward
    loop = asyncio.get_running_loop()

    def come_back(asked: Asked) -> None:
        client = Address(2, asked.peer)
        outcome = forward.resolve(question(client=client, transport="udp"))
        assert isinstance(outcome, Failure)
        asked.fail(outcome.rcode)

    async with fake_upstream(come_back) as server:
        forward = Forward(server.text)
        started = loop.time()
        outcome = await answer(forward, client=Address(2, ("127.0.0.1", 9)))
        assert isinstance(outcome, Failure)
        assert outcome.rcode == 2
        assert loop.time() - started < 1
        assert len(server.asked) < 10
        await forward.aclose()


async def test_a_client_with_a_port_of_ours() -> None:
    """A client over TCP can have the number of a UDP port of ours, and is no circle."""
    own: list[bool] = []

    def look(asked: Asked) -> None:
        for transport in ("udp", "tcp", "tls"):
            client = Address(2, asked.peer)
            own.append(forward.is_own(question(client=client, transport=transport)))
        asked.answer()

    async with fake_upstream(look) as server, Forward(server.text) as forward:
        await answer(forward)
    assert own == [True, False, False]


# Beginning and end


async def test_nothing_is_left_after_a_close() -> None:
    """Closing leaves no socket, no connection and no task; what is in the air fails."""
    await warm_up()
    async with fake_upstream(silence) as server:
        before = open_descriptors(), len(asyncio.all_tasks())
        forward = Forward(server.text, server.over_tcp, f"tcp:127.0.0.1:{unused_port()}")
        pending = [forward.resolve(question(f"www{i}.example.org")) for i in range(20)]
        await server.wait_asked(20)
        await forward.aclose()
        assert all([isinstance(await each, Failure) for each in pending])
        await forward.aclose()
        assert (open_descriptors(), len(asyncio.all_tasks())) == before


async def test_use_after_a_close() -> None:
    """A forwarder that was closed begins again."""
    async with fake_upstream() as server:
        forward = Forward(server.text)
        for _ in range(2):
            assert address(await answer(forward)) == RIGHT
            await forward.aclose()


def test_use_on_another_loop() -> None:
    """A forwarder whose loop has ended begins again on another one, and leaves no socket behind."""
    before = open_descriptors()

    async def main(forward: Forward) -> Outcome:
        async with fake_upstream() as server:
            forward._plan = Forward(server.text)._plan
            forward.resolve(question("other.example.org"))
            return await answer(forward)

    forward = Forward("192.0.2.1")
    for _ in range(2):
        assert address(run(main(forward))) == RIGHT
    run(forward.aclose())
    assert open_descriptors() == before


def test_connections_on_another_loop() -> None:
    """A forwarder over TCP begins again on another loop, too."""
    forward = Forward(f"tcp:127.0.0.1:{unused_port()}")
    for _ in range(2):
        assert isinstance(run(answer(forward)), Failure)


async def test_use_on_two_loops() -> None:
    """A forwarder belongs to one loop at a time."""
    async with forwarding() as (_, forward):
        await answer(forward)
        with pytest.raises(RuntimeError):
            await asyncio.to_thread(lambda: asyncio.run(answer(forward)))


async def test_without_descriptors() -> None:
    """Where the system gives no socket the question fails, and later ones do not."""
    async with forwarding() as (_, forward):
        with no_descriptors_left():
            outcome = forward.resolve(question())
        assert isinstance(await outcome, Failure)
        assert address(await answer(forward)) == RIGHT


async def test_stats() -> None:
    """What happened is counted for each upstream."""
    async with forwarding() as (server, forward):
        assert not forward.stats
        await answer(forward)
        stats = forward.stats[0]
        assert stats.upstream == f"dns:127.0.0.1:{server.port}"
        assert (stats.sent, stats.answered, stats.timeouts, stats.errors) == (1, 1, 0, 0)
        assert stats.srtt is not None
        assert stats.is_up
        assert stats.last_error is None


def test_looks() -> None:
    """A forwarder shows whom it asks."""
    forward = Forward("192.0.2.1", "tls:example.org")
    assert repr(forward) == "Forward('dns:192.0.2.1', 'tls:example.org:853:alpn=dot')"


@pytest.mark.parametrize(
    ("upstreams", "options", "error"),
    [
        ((), {}, ValueError),
        (("bogus:x",), {}, DescriptionError),
        (("192.0.2.1",), {"policy": "bogus"}, ValueError),
        (("192.0.2.1",), {"attempts": 0}, ValueError),
        (("192.0.2.1",), {"attempts": 101}, ValueError),
        (("192.0.2.1",), {"attempts": 1.5}, TypeError),
        (("192.0.2.1",), {"max_outstanding": 0}, ValueError),
        (("192.0.2.1",), {"timeout": float("nan")}, ValueError),
        (("192.0.2.1",), {"timeout": float("inf")}, ValueError),
        (("192.0.2.1",), {"patience": float("nan")}, ValueError),
        (("192.0.2.1",), {"timeout": 0}, ValueError),
        (("192.0.2.1",), {"patience": 0}, ValueError),
        (("192.0.2.1",), {"only": ("a..b",)}, DomainNameError),
    ],
)
def test_wrong_arguments(upstreams: Any, options: Any, error: type[Exception]) -> None:
    """What cannot work is refused when it is made."""
    with pytest.raises(error):
        Forward(*upstreams, **options)


# The file of this machine


async def test_from_resolv_conf(tmp_path: Path) -> None:
    """The servers and the options of the file count."""
    path = tmp_path / "resolv.conf"
    async with fake_upstream() as server:
        path.write_text("nameserver 127.0.0.1\nsearch example.org\noptions trust-ad\n")
        async with Forward.from_resolv_conf(path, port=server.port) as forward:
            assert address(await answer(forward)) == RIGHT
            assert forward.resolv_conf is not None
            assert forward.resolv_conf.search == ("example.org",)
    assert Forward("192.0.2.1").resolv_conf is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", "Forward('dns:127.0.0.1')"),
        ("nameserver 2001:db8::1\noptions rotate", "Forward('dns:[2001:db8::1]')"),
        ("nameserver fe80::1%1", "Forward('dns:[fe80::1%1]')"),
        ("nameserver 192.0.2.1\noptions use-vc", "Forward('tcp:192.0.2.1:53')"),
    ],
)
def test_servers_of_the_file(tmp_path: Path, text: str, shown: str) -> None:
    """Servers are asked over UDP, or over TCP if the file says so."""
    path = tmp_path / "resolv.conf"
    path.write_text(text)
    assert repr(Forward.from_resolv_conf(path)) == shown


def test_file_that_changes(tmp_path: Path) -> None:
    """The file is looked at every few seconds; servers that stay in it keep their sockets and counters."""
    path = tmp_path / "resolv.conf"

    async def main() -> None:
        async with fake_upstream() as server:
            path.write_text("nameserver 127.0.0.1\n")
            async with Forward.from_resolv_conf(path, port=server.port) as forward:
                resolve = partial(answer, forward)
                await resolve()
                await asyncio.sleep(6)
                await resolve()
                path.write_text("nameserver 127.0.0.1\nnameserver 127.0.0.2\n")
                await resolve()
                assert len(forward.stats) == 1
                await asyncio.sleep(6)
                await resolve()
                assert [each.sent for each in forward.stats] == [4, 0]
                path.write_text("nameserver 127.0.0.1\nsearch x\nnameserver 127.0.0.2\n")
                await asyncio.sleep(6)
                await resolve()
                server.script = silence
                pending = forward.resolve(question("other.example.org"))
                path.write_text("nameserver 127.0.0.1\noptions timeout:1\n")
                await asyncio.sleep(6)
                server.script = Asked.answer
                await resolve()
                assert [each.sent for each in forward.stats] == [1]
                assert isinstance(await pending, Failure)

    run(main())


def test_questions_in_the_air_when_the_file_changes(tmp_path: Path) -> None:
    """Who waits for a server that is no longer in the file hears so at once."""
    path = tmp_path / "resolv.conf"

    async def main() -> float:
        async with fake_upstream(silence) as server:
            path.write_text("nameserver 127.0.0.1\n")
            async with Forward.from_resolv_conf(path, port=server.port, timeout=600) as forward:
                pending = asyncio.ensure_future(answer(forward))
                await asyncio.sleep(6)
                path.write_text("nameserver 127.0.0.2\n")
                forward.resolve(question("other.example.org"))
                await pending
                return asyncio.get_running_loop().time()

    assert run(main()) == 6


def test_text_is_no_list_of_domains(tmp_path: Path) -> None:
    """A text in place of a list is refused: its letters would be taken for domains, the dot for all."""
    with pytest.raises(TypeError, match=r"only is a list .* not the text 'corp\.example'"):
        Forward("192.0.2.1", only="corp.example")
    with pytest.raises(TypeError, match="only is a list of domains"):
        Forward.from_resolv_conf(tmp_path / "resolv.conf", only="corp.example")


def test_numbers_are_numbers() -> None:
    """A time with a unit is no number of seconds."""
    with pytest.raises(TypeError, match="timeout is in seconds, not '5s'"):
        Forward("192.0.2.1", timeout="5s")  # type: ignore[arg-type]  # what a type checker says too


def test_path_is_a_path() -> None:
    """A number is no path: it could be a descriptor of something else."""
    with pytest.raises(TypeError):
        Forward.from_resolv_conf(5)  # type: ignore[arg-type]  # what a type checker says too
