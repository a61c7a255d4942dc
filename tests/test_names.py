"""Host names to addresses, and the threads that look them up."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from asyncendpoints.addresses import Address
from asyncendpoints.names import LookupThreads, is_literal, literal, lookup

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOPBACK = socket.if_nametoindex("lo")


@pytest.mark.parametrize(
    ("host", "is_one"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("fe80::1%lo", True),
        ("::ffff:192.0.2.1", True),
        ("localhost", False),
        ("1.2.3.example", False),
    ],
)
def test_is_literal(host: str, is_one: bool) -> None:
    """Addresses are told from names."""
    assert is_literal(host) is is_one


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", Address(socket.AF_INET, ("127.0.0.1", 80))),
        ("::1", Address(socket.AF_INET6, ("::1", 80, 0, 0))),
        ("fe80::1%lo", Address(socket.AF_INET6, ("fe80::1", 80, 0, LOOPBACK))),
        ("fe80::1%7", Address(socket.AF_INET6, ("fe80::1", 80, 0, 7))),
        ("localhost", None),
    ],
)
def test_literal(host: str, address: Address | None) -> None:
    """A literal is its address, the zone's number included; a name is None."""
    assert literal(host, 80) == address


@pytest.mark.parametrize("zone", ["nowhere0", "99999999999", "²", "\ud800", "x" * 300])
def test_unknown_zone(zone: str) -> None:
    """A zone that no interface has is an ``OSError``, whatever is in it."""
    with pytest.raises(OSError) as caught:
        literal(f"fe80::1%{zone}", 80)
    assert type(caught.value) is OSError


@pytest.mark.parametrize("host", ["localhost", "localhost.", "LocalHost", "ⓛocalhost"])
async def test_lookup(host: str) -> None:
    """A name is looked up whatever its letters are; the port is in each address."""
    assert Address(socket.AF_INET, ("127.0.0.1", 80)) in await lookup(host, 80, socket.AF_UNSPEC)


async def test_lookup_of_one_family() -> None:
    """Only addresses of the family that was asked for come back."""
    assert {each.family for each in await lookup("localhost", 80, socket.AF_INET)} == {
        socket.AF_INET
    }


async def test_lookup_gives_each_address_once() -> None:
    """The system is asked for stream sockets only, so that no address comes more than once."""
    found = await lookup("127.0.0.1", 80, socket.AF_UNSPEC)
    assert found == [Address(socket.AF_INET, ("127.0.0.1", 80))]


async def test_lookup_fails() -> None:
    """What the system says comes out as it is."""
    with pytest.raises(socket.gaierror):
        await lookup("127.0.0.1", 80, socket.AF_INET6)


async def test_lookup_with_busy_default_executor() -> None:
    """A default executor that is full to the brim does not delay a lookup."""
    loop = asyncio.get_running_loop()
    gate = threading.Event()
    busy = [loop.run_in_executor(None, gate.wait) for _ in range(100)]
    try:
        assert await lookup("localhost", 80, socket.AF_INET)
    finally:
        gate.set()
        await asyncio.gather(*busy)


FORKING = """
import asyncio, os, socket
from asyncendpoints.names import lookup

def once():
    asyncio.run(asyncio.wait_for(lookup("localhost", 80, socket.AF_INET), 10))

once()
child = os.fork()
if not child:
    once()
    os._exit(0)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_lookup_after_fork() -> None:
    """A child that was forked after a lookup, and has none of the threads, looks names up too."""
    # Later versions of Python warn of any fork with threads, in general with good reason.
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORKING], check=False, timeout=30)
    assert done.returncode == 0


class Gate:
    """Work that waits until it is let go, and says when it has begun."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.opened = threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        self.opened.wait()
        return "done"


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Work that waits, and is let go in the end."""
    gate = Gate()
    yield gate
    gate.opened.set()


async def turns(count: int = 5) -> None:
    """Let tasks get as far as they come."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_threads_give_the_result() -> None:
    """What the work returns comes back, from another thread, which does not keep the process alive."""
    thread = await LookupThreads().run(threading.current_thread)
    assert thread is not threading.current_thread()
    assert thread.daemon
    assert thread.name == "asyncendpoints lookup"


async def test_threads_give_the_error() -> None:
    """What the work raises comes out."""
    with pytest.raises(ValueError, match="invalid literal"):
        await LookupThreads().run(lambda: int("x"))


async def test_threads_run_side_by_side(gate: Gate) -> None:
    """Work that hangs does not delay other work."""
    threads = LookupThreads(most=2)
    hanging = asyncio.create_task(threads.run(gate))
    await turns()
    assert await threads.run(lambda: 1) == 1
    gate.opened.set()
    assert await hanging == "done"


async def test_more_work_than_threads(gate: Gate) -> None:
    """There are never more threads than allowed; what is left over waits its turn."""
    threads = LookupThreads(most=1)
    order: list[int] = []
    hanging = asyncio.create_task(threads.run(gate))
    waiting = [asyncio.create_task(threads.run(partial(order.append, each))) for each in range(3)]
    await turns()
    assert gate.begun.wait(10)
    assert (threads.threads, order) == (1, [])
    gate.opened.set()
    await asyncio.gather(hanging, *waiting)
    assert (threads.threads, order) == (1, [0, 1, 2])


async def test_idle_thread_is_used_again() -> None:
    """Work goes to a thread that waits for some; no other is started."""
    threads = LookupThreads()
    first = await threads.run(threading.current_thread)
    assert any(iter(lambda: threads.idle, 2))  # until the thread has come back to wait
    assert await threads.run(threading.current_thread) is first
    assert threads.threads == 1


async def test_idle_thread_ends() -> None:
    """A thread that finds no work for a while ends, and the next work gets another one."""
    threads = LookupThreads(idle_seconds=0.001)
    first = await threads.run(threading.current_thread)
    first.join(10)
    assert (first.is_alive(), threads.threads, threads.idle) == (False, 0, 0)
    assert await threads.run(threading.current_thread) is not first


async def test_cancelled_caller_goes_on(gate: Gate) -> None:
    """A cancel does not wait for the work, whose result is dropped."""
    threads = LookupThreads(most=1)
    task = asyncio.create_task(threads.run(gate))
    await turns()
    assert gate.begun.wait(10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.opened.set()
    assert await threads.run(lambda: 1) == 1


async def test_cancelled_work_that_waits_is_forgotten(gate: Gate) -> None:
    """Work whose caller was cancelled before a thread was free is never done."""
    threads = LookupThreads(most=1)
    hanging = asyncio.create_task(threads.run(gate))
    done: list[str] = []
    waiting = asyncio.create_task(threads.run(lambda: done.append("waited")))
    await turns()
    waiting.cancel()
    await asyncio.wait([waiting])
    gate.opened.set()
    await hanging
    await threads.run(lambda: done.append("later"))
    assert done == ["later"]


async def test_cancel_in_the_turn_of_an_error() -> None:
    """An error that comes in the very turn of a cancel is not reported as never retrieved."""
    threads = LookupThreads(most=1)
    loop = asyncio.get_running_loop()
    reported: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: reported.append(context))
    posted = threading.Event()

    def cancel() -> None:
        loop.call_soon_threadsafe(tasks[0].cancel)
        posted.set()

    tasks: list[asyncio.Task[Any]] = [
        asyncio.create_task(threads.run(lambda: int("x"))),
        asyncio.create_task(threads.run(cancel)),
    ]
    await asyncio.sleep(0)
    # The loop stands still until both have come: the next turn finds the error and, after it, the cancel.
    assert posted.wait(10)
    await asyncio.wait(tasks)
    assert tasks[0].cancelled()
    tasks.clear()
    gc.collect()
    assert reported == []


def test_closed_loop(gate: Gate) -> None:
    """Work that ends after its loop was closed harms nobody, and the thread goes on."""
    threads = LookupThreads(most=1)

    async def leave() -> None:
        task = asyncio.create_task(threads.run(gate))
        await turns()
        assert gate.begun.wait(10)
        task.cancel()

    asyncio.run(leave())
    gate.opened.set()
    assert asyncio.run(threads.run(lambda: 1)) == 1


@contextmanager
def no_more_threads() -> Iterator[None]:
    """Let the system refuse to start threads: no stack is as large as the address space."""
    before = threading.stack_size(1 << 47)
    try:
        yield
    finally:
        threading.stack_size(before)


async def test_no_thread_to_be_had() -> None:
    """Where the system gives no thread, that is an ``OSError``, and nothing stays in the queue."""
    threads = LookupThreads(most=1)
    done: list[str] = []
    with no_more_threads(), pytest.raises(OSError, match="thread") as caught:
        await threads.run(lambda: done.append("refused"))
    assert caught.value.errno == errno.EAGAIN
    await threads.run(lambda: done.append("later"))
    assert done == ["later"]


async def test_no_other_thread_to_be_had(gate: Gate) -> None:
    """Where the system gives no other thread, those that are there do all the work."""
    threads = LookupThreads()
    hanging = asyncio.create_task(threads.run(gate))
    await turns()
    with no_more_threads():
        waiting = asyncio.create_task(threads.run(lambda: 1))
        await turns()
    gate.opened.set()
    assert await waiting == 1
    await hanging
