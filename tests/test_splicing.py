"""Splicing: every fact over socketpairs of the kernel."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING

import pytest

from asyncendpoints.splicing import Pipes, Splice, is_available
from tests.support import no_descriptors_left, open_descriptors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.skipif(not is_available(), reason="this system cannot splice")


class Rig:
    """Two socketpairs whose inner ends are spliced; the test has the outer ones."""

    def __init__(self) -> None:
        self.front, inner_front = socket.socketpair()
        self.back, inner_back = socket.socketpair()
        self.inner = (inner_front, inner_back)
        for sock in (self.front, self.back, *self.inner):
            sock.setblocking(False)
        self.pipes = Pipes()
        self.moved: list[tuple[int, bool]] = []
        self.ended: asyncio.Future[OSError | None] = asyncio.get_running_loop().create_future()
        self.splice = self.make()

    def make(self) -> Splice:
        return Splice(
            self.inner[0].fileno(),
            self.inner[1].fileno(),
            self.pipes,
            lambda count, from_front: self.moved.append((count, from_front)),
            self.ended.set_result,
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0)

    def is_waiting(self) -> bool:
        """Tell whether a direction waits for a pipe."""
        return any(way._retry for way in self.splice._ways)

    async def receive(self, sock: socket.socket, size: int) -> bytes:
        received = b""
        while len(received) < size:
            received += await asyncio.get_running_loop().sock_recv(sock, size)
        return received

    def close(self) -> None:
        self.splice.close()
        self.pipes.close()
        for sock in (self.front, self.back, *self.inner):
            sock.close()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """A splice that is closed with the test."""
    made = Rig()
    yield made
    made.close()


async def stuck(rig: Rig) -> bytes:
    """Send until nothing moves any more, because the back does not read; give what was sent."""
    sent = b""
    chunk = bytes(range(256)) * 16
    while True:
        try:
            sent += chunk[: rig.front.send(chunk)]
        except BlockingIOError:
            if rig.splice.held():
                return sent
            await asyncio.sleep(0)


async def test_bytes_go_both_ways(rig: Rig) -> None:
    """What one side sends the other receives, and each move is told with its direction."""
    rig.front.send(b"question")
    assert await rig.receive(rig.back, 8) == b"question"
    rig.back.send(b"answer")
    assert await rig.receive(rig.front, 6) == b"answer"
    assert rig.moved == [(8, True), (6, False)]


async def test_the_end_of_data_goes_one_way_only(rig: Rig) -> None:
    """After the end of one direction the other one still carries."""
    rig.front.shutdown(socket.SHUT_WR)
    assert await asyncio.get_running_loop().sock_recv(rig.back, 1) == b""
    rig.back.send(b"late")
    assert await rig.receive(rig.front, 4) == b"late"
    assert not rig.ended.done()


async def test_it_ends_when_both_directions_have(rig: Rig) -> None:
    """With the second end of data it is over, without an error."""
    rig.front.shutdown(socket.SHUT_WR)
    rig.back.shutdown(socket.SHUT_WR)
    assert await rig.ended is None


async def test_what_is_not_taken_stays_in_the_pipe_and_arrives_in_order(rig: Rig) -> None:
    """A side that reads late gets every byte, in order."""
    data = await stuck(rig)
    assert await rig.receive(rig.back, len(data)) == data
    assert rig.splice.held() == 0


async def test_nothing_is_read_while_bytes_are_stuck(rig: Rig) -> None:
    """With a pipe that is not empty the source is left alone, so that its sender has to wait."""
    await stuck(rig)
    before = list(rig.moved)
    for _ in range(10):
        await asyncio.sleep(0)
    assert rig.moved == before


async def test_a_pipe_goes_back_when_it_is_empty(rig: Rig) -> None:
    """However much goes through, both directions need one pipe as long as nothing is stuck."""
    for _ in range(3):
        rig.front.send(b"x")
        await rig.receive(rig.back, 1)
        rig.back.send(b"y")
        await rig.receive(rig.front, 1)
    before = open_descriptors()
    rig.pipes.close()
    assert before - open_descriptors() == 2


async def test_a_close_throws_a_full_pipe_away(rig: Rig) -> None:
    """Bytes that are stuck at a close never reach the next connection: their pipe is not used again."""
    await stuck(rig)
    rig.splice.close()
    before = open_descriptors()
    rig.pipes.close()
    assert open_descriptors() == before


async def test_a_reset_ends_it_with_the_error(rig: Rig) -> None:
    """What cannot be read ends both directions, and the error says why."""
    rig.inner[0].send(b"unread")
    rig.front.close()  # with something unread: a unix socket resets
    error = await rig.ended
    assert error is not None
    assert error.errno == errno.ECONNRESET


async def test_a_side_that_takes_no_more_can_still_say_why(rig: Rig) -> None:
    """After a write that failed, what the same side has sent is carried before the end."""
    rig.back.shutdown(socket.SHUT_RD)
    rig.front.send(b"too much")
    await rig.until(lambda: bool(rig.moved))
    rig.back.send(b"413")
    assert await rig.receive(rig.front, 3) == b"413"
    assert not rig.ended.done()
    rig.back.shutdown(socket.SHUT_WR)
    error = await rig.ended
    assert error is not None
    assert error.errno == errno.EPIPE


async def test_an_end_of_data_for_a_side_that_has_left_is_no_error(rig: Rig) -> None:
    """A sink that is gone when the source ends is found out by its own direction."""
    rig.front.shutdown(socket.SHUT_WR)
    rig.back.close()
    assert await rig.ended is None


async def test_a_wake_up_for_nothing_is_taken_lightly(rig: Rig) -> None:
    """A direction that is called without data to read goes on as if it had not been."""
    way = rig.splice._ways[0]
    way._readable()
    rig.front.send(b"x")
    assert await rig.receive(rig.back, 1) == b"x"


async def test_without_descriptors_it_does_not_begin() -> None:
    """A splice that cannot copy the descriptors raises, and leaves none open."""
    rig = Rig()
    before = open_descriptors()
    with no_descriptors_left(), pytest.raises(OSError, match=r"descriptor|argument|files"):
        rig.make()
    assert open_descriptors() == before
    rig.close()


async def test_one_pipe_is_kept_for_the_time_without_descriptors(rig: Rig) -> None:
    """A connection goes on when there are no descriptors left."""
    with no_descriptors_left():
        rig.front.send(b"x")
        assert await rig.receive(rig.back, 1) == b"x"


async def test_without_a_pipe_it_waits(rig: Rig) -> None:
    """A direction that gets no pipe goes on when there is one, and loses nothing."""
    kept = rig.pipes.take()
    with no_descriptors_left():
        rig.front.send(b"x")
        await rig.until(rig.is_waiting)
    rig.pipes.give(kept)
    assert await rig.receive(rig.back, 1) == b"x"


async def test_a_close_ends_the_wait_for_a_pipe(rig: Rig) -> None:
    """Closed while it waits for a pipe, a direction does not come back."""
    kept = rig.pipes.take()
    with no_descriptors_left():
        rig.front.send(b"x")
        await rig.until(rig.is_waiting)
        timers = [way._retry for way in rig.splice._ways if way._retry]
        rig.splice.close()
    rig.pipes.give(kept)
    assert [timer.cancelled() for timer in timers] == [True]


async def test_a_second_close_does_nothing(rig: Rig) -> None:
    """Closing is for whoever comes first."""
    rig.splice.close()
    rig.splice.close()
    assert not rig.ended.done()


def test_few_spare_pipes_are_kept() -> None:
    """Of many pipes that come back, four stay for the next use."""
    before = open_descriptors()
    pipes = Pipes()
    taken = [pipes.take() for _ in range(6)]
    for pipe in taken:
        pipes.give(pipe)
    assert open_descriptors() - before == 2 * 4
    pipes.close()
    assert open_descriptors() == before
