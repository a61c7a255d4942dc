"""Servers from their start to a signal that ends them: ``serve_forever``."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from asyncendpoints.errors import EndpointError
from asyncendpoints.sd_notify import Notifier
from asyncendpoints.signals import handled

if TYPE_CHECKING:
    from collections.abc import Iterator

    #: A server, or what starts one when it is awaited.
    Served = AbstractAsyncContextManager[Any] | Awaitable[AbstractAsyncContextManager[Any]]

__all__ = ["Run", "serve_forever"]

logger = logging.getLogger("asyncendpoints")

#: The signals that end servers.
_ENDS = (signal.SIGTERM, signal.SIGINT)


async def serve_forever(*servers: Served) -> signal.Signals | None:
    """Run servers until SIGTERM or SIGINT, and end them well.

    For example::

        await serve_forever(
            ClientService("tcp:broker.example.org:6000", Telemetry),
            start_server(handle, "tls:443:cert_key=c.pem", drain=30),
        )

    They are started in their order. At the signal all of them stop listening at once; then each is ended as
    leaving its ``async with`` does it, with its own ``drain`` seconds, the last one first. A second signal
    aborts what is left. SIGHUP calls ``reload`` of all that have it, and waits where it is ``async``; what
    one raises is logged, and it keeps what it had. Outside of the main thread there are no signals, and the
    rest is the same. The handlers that were there before are put back in the end.

    Where the environment asks for it, systemd is told when all servers are started, when they reload and when
    they stop, and hears twice in the time of its watchdog that the loop is alive: see ``Type=notify``,
    ``Type=notify-reload`` and ``WatchdogSec=`` of its units.

    Args:
        servers: One or more: what `listen`, `start_server`, `listen_datagram`, `tunnel` and their like give,
            awaited or not, and `ClientService`. Any asynchronous context manager will do. One that has
            ``close()`` is told by it to stop listening; one that has ``wait_closed()`` says by it that it
            has ended by itself.

    Returns:
        The signal that came first, or None if all servers that can end by themselves did so before.

    Raises:
        ListenError: One cannot be started; the others are aborted, as on a cancel.
    """
    if not servers:
        raise ValueError("no server to run was given")
    return await Run(Notifier.from_environ(os.environ, os.getpid())).serve(servers)


class Run:
    """One run of some servers.

    Args:
        notifier: Hears of each step.
    """

    def __init__(self, notifier: Notifier) -> None:
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._notifier = notifier
        self._servers: list[AbstractAsyncContextManager[Any]] = []
        #: The signal that came first.
        self._signal: signal.Signals | None = None
        #: Done when a signal asks for the end. There is one while there is something to end well.
        self._asked: asyncio.Future[None] | None = None
        #: Reloads under way, of which one has its turn.
        self._reloads: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._is_aborted = False
        #: A signal can still be on its way then.
        self._is_over = False

    async def serve(self, servers: tuple[Served, ...]) -> signal.Signals | None:
        """Start the servers, and end them; give the signal that came first."""
        cancels = self._task.cancelling()
        try:
            with ExitStack() as outer:
                outer.enter_context(handled(dict.fromkeys(_ENDS, self._end)))
                outer.enter_context(self._watched())
                await self._serve(servers, outer)
        except asyncio.CancelledError:
            if not self._is_aborted or self._task.cancelling() > cancels + 1:
                raise
        finally:
            self._is_over = True
            if self._is_aborted:
                self._task.uncancel()
        return self._signal

    async def _serve(self, servers: tuple[Served, ...], outer: ExitStack) -> None:
        async with AsyncExitStack() as stack:
            await self._start(stack, servers)
            if any(hasattr(each, "reload") for each in self._servers):
                outer.enter_context(handled({signal.SIGHUP: self._reload}))
            try:
                self._notifier.ready()
                await self._wait()
            finally:
                self._notifier.stopping()
            for each in self._servers:
                if hasattr(each, "close"):
                    each.close()

    async def _start(self, stack: AsyncExitStack, servers: tuple[Served, ...]) -> None:
        """Start the servers in their order; if one fails, leave none behind."""
        failure: BaseException | None = None
        for each in servers:
            try:
                if not isinstance(each, Awaitable):
                    self._servers.append(await stack.enter_async_context(each))
                elif failure is None:
                    self._servers.append(await stack.enter_async_context(await each))
                else:
                    _forget(each)
            except BaseException as error:  # noqa: BLE001 - raised below
                failure = failure or error
        if failure is not None:
            raise failure

    async def _wait(self) -> None:
        """Wait for a signal, or for the end of all servers that can end by themselves."""
        asked = self._asked = self._loop.create_future()
        ended = asyncio.ensure_future(self._wait_closed())
        try:
            await asyncio.wait({asked, ended}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                ended.result()
        finally:
            self._asked = None
            tasks = {ended, *self._reloads}
            for each in tasks:
                each.cancel()
            await asyncio.wait(tasks)

    async def _wait_closed(self) -> None:
        """Wait for the end of all servers that can end by themselves; for ever if there are none."""
        ends = [each for each in self._servers if hasattr(each, "wait_closed")]
        if not ends:
            await self._loop.create_future()
        async with asyncio.TaskGroup() as group:
            for each in ends:
                group.create_task(each.wait_closed())

    def _end(self, number: signal.Signals) -> None:
        """End well at the first signal; at the second one, or while the servers start, at once."""
        self._signal = self._signal or number
        if self._asked is not None and not self._asked.done():
            logger.info("%s: stopping", number.name)
            self._asked.set_result(None)
        elif not (self._is_aborted or self._is_over):
            logger.info("%s: aborting", number.name)
            self._is_aborted = True
            self._task.cancel()

    def _reload(self, number: signal.Signals) -> None:
        """Begin to have the servers read their files again."""
        if self._asked is not None:
            task = self._loop.create_task(self._reload_all(number))
            self._reloads.add(task)
            task.add_done_callback(self._reloads.discard)

    async def _reload_all(self, number: signal.Signals) -> None:
        async with self._turn:
            self._notifier.reloading()
            failed = 0
            for each in self._servers:
                if hasattr(each, "reload"):
                    try:
                        result = each.reload()
                        if isinstance(result, Awaitable):
                            await result
                    except Exception as error:  # noqa: BLE001 - the others have their turn
                        failed += 1
                        _log_failure(number, error)
            if not failed:
                logger.info("%s: reloaded", number.name)
            self._notifier.ready()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Give signs of life twice in the time of the watchdog."""
        if self._notifier.watchdog is None:
            yield
            return
        seconds = self._notifier.watchdog / 2
        timer: asyncio.TimerHandle

        def ping() -> None:
            nonlocal timer
            self._notifier.alive()
            timer = self._loop.call_later(seconds, ping)

        ping()
        try:
            yield
        finally:
            timer.cancel()


def _log_failure(number: signal.Signals, error: Exception) -> None:
    """Say what could not be reloaded, and with it what else could not."""
    trace = None if isinstance(error, EndpointError) else error
    for text in (str(error), *getattr(error, "__notes__", ())):
        logger.error("%s: what was there stays: %s", number.name, text, exc_info=trace)
        trace = None


def _forget(starting: Awaitable[object]) -> None:
    """Take note that something will not be awaited."""
    if hasattr(starting, "close"):  # a coroutine has it too
        starting.close()
