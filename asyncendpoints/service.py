"""A connection that is kept up: ``ClientService``.

The law: on the data path there is nothing. That a connection has ended is known from its socket, which
reports its close, whatever transport it is in and whoever its protocol is by then.
"""

from __future__ import annotations

import asyncio
import logging
import random
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from asyncendpoints.attempt import Attempt
from asyncendpoints.backoff import Backoff
from asyncendpoints.connecting import UNSET, carry_out, client_spec
from asyncendpoints.errors import ConnectError, ServiceStoppedError
from asyncendpoints.quantities import check_wait
from asyncendpoints.resolving import check_resolver
from asyncendpoints.transports import abort, release

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from asyncendpoints.dns.resolver import Resolver
    from asyncendpoints.events import Event
    from asyncendpoints.listeners import ReportingSocket
    from asyncendpoints.specs import ClientSpec

__all__ = ["ClientService"]

logger = logging.getLogger("asyncendpoints")

P = TypeVar("P", bound=asyncio.BaseProtocol)

#: Seconds that a connection is given to close before it is aborted.
_CLOSE_SECONDS = 1.0
#: Seconds between two looks at a transport that rests on no socket.
_LOOK_SECONDS = 1.0


class ClientService(Generic[P]):
    """Keeps a connection up: connects, and again whenever it ends, with growing pauses.

    For example::

        async with ClientService("tcp:example.org:6000", Telemetry) as service:
            protocol = await service.when_connected()

    It can be started again after it was stopped. Leaving ``async with`` stops it; on an exception, what its
    connection still has to send is lost.

    Args:
        endpoint: A description, or the spec of a client.
        factory: Makes the protocol of each connection.
        backoff: How long to wait after a failure, and after a connection that has ended.
        prepare: Called with each protocol before anybody gets it, to log in for example. If it fails, so has
            the attempt, and the connection is closed; likewise if the connection ends meanwhile, and then
            it is cancelled.
        steady: Seconds, 0 or more, after which a connection is a success: one that ends before counts as one
            more failure for ``backoff``, so that a server that accepts and closes is not asked all the time.
        timeout: Seconds for each connect, as for `connect`.
        resolver: As for `connect`.
        on_event: As for `connect`.
        on_change: Called with the service after each change of its `state`. What it raises goes to the
            exception handler of the loop.
        draw: The source of chance for ``backoff``.

    Raises:
        DescriptionError: The text is no description of a client.
    """

    def __init__(
        self,
        endpoint: str | ClientSpec,
        factory: Callable[[], P],
        *,
        backoff: Backoff = Backoff(),
        prepare: Callable[[P], Awaitable[object]] | None = None,
        steady: float = 10.0,
        timeout: float | None = UNSET,
        resolver: Resolver | None = None,
        on_event: Callable[[Event], None] | None = None,
        on_change: Callable[[ClientService[P]], None] | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        if not callable(factory):
            raise TypeError(f"a service makes a protocol for each connection, not with {factory!r}")
        check_wait("steady", steady)
        self._spec = client_spec(endpoint)
        self._factory = factory
        self._backoff = backoff
        self._prepare = prepare
        self._steady = steady
        self._timeout = timeout
        check_resolver(resolver)
        self._resolver = resolver
        self._on_event = on_event
        self._on_change = on_change
        self._draw = draw
        self._state = "new"
        self._failures = 0
        self._error: Exception | None = None
        self._task: asyncio.Task[None] | None = None
        self._grace = _CLOSE_SECONDS
        #: The connection that is up, and its protocol.
        self._up: tuple[_Life, P] | None = None
        self._waiters: set[_Waiter[P]] = set()

    # What it is

    @property
    def endpoint(self) -> ClientSpec:
        """What it connects to."""
        return self._spec

    @property
    def state(self) -> str:
        """Where it is.

        ``"new"``, ``"connecting"``, ``"preparing"``, ``"connected"``, ``"waiting"`` for the next attempt,
        ``"stopping"`` or ``"stopped"``.
        """
        return self._state

    @property
    def protocol(self) -> P | None:
        """The protocol of the connection that is up, or None."""
        if self._up is None or self._up[0].transport.is_closing():
            return None
        return self._up[1]

    @property
    def failures(self) -> int:
        """How many attempts have failed in a row, connections that ended before they were steady included."""
        return self._failures

    @property
    def error(self) -> Exception | None:
        """Why the last attempt failed, or None if it did not."""
        return self._error

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"<{name} {self._spec.display()} {self._state} failures={self._failures}>"

    async def when_connected(self, fail_after: int | None = None) -> P:
        """Wait for a connection that is up and prepared, and give its protocol.

        A service that was not started yet is waited for. Another task may be given the same protocol.

        Args:
            fail_after: Give up when this many attempts, 1 or more, have failed from now on; None to wait as
                long as it takes.

        Raises:
            ServiceStoppedError: The service is stopped, or was meanwhile.
            Exception: What the last attempt failed with, as a rule a `ConnectError`, after ``fail_after``.
        """
        if fail_after is not None and fail_after < 1:
            raise ValueError(f"fail_after is {fail_after}, expected 1 or more")
        if self._state in ("stopping", "stopped"):
            raise ServiceStoppedError(self._spec)
        if (protocol := self.protocol) is not None:
            return protocol
        waiter: _Waiter[P] = _Waiter(fail_after)
        self._waiters.add(waiter)
        try:
            return await waiter.future
        finally:
            self._waiters.discard(waiter)

    # Starting and stopping

    def start(self) -> None:
        """Begin to connect.

        Raises:
            RuntimeError: It runs already, or has not stopped yet.
        """
        if self._task is not None:
            raise RuntimeError(f"the service is started already, and is {self._state}")
        self._failures = 0
        self._error = None
        self._grace = _CLOSE_SECONDS
        self._set("connecting")
        name = f"{type(self).__name__} {self._spec.display()}"
        self._task = asyncio.get_running_loop().create_task(self._run(), name=name)
        self._task.add_done_callback(self._finished)

    async def stop(self) -> None:
        """Close the connection or give up the attempt, whichever there is, and wait for the end of it.

        The connection sends what it holds within a second, or is aborted then. If this is cancelled, that is
        done at once, and nothing is left either.
        """
        await self._stop(_CLOSE_SECONDS)

    async def _stop(self, grace: float) -> None:
        task = self._task
        if task is None:
            self._set("stopped")
            self._refuse()
            return
        if self._state != "stopping":
            self._grace = grace
            self._set("stopping")
            self._refuse()
            task.cancel()
        elif not grace:
            task.cancel()
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            # The first cancel closes the connection, this one aborts it.
            task.cancel()
            await asyncio.wait([task])
            raise

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stop(_CLOSE_SECONDS if kind is None else 0.0)

    # Running

    def _set(self, state: str) -> None:
        """Change the state, and tell of it."""
        if state == self._state:
            return
        self._state = state
        if self._on_change is None:
            return
        try:
            self._on_change(self)
        except Exception as error:  # noqa: BLE001 - a hook does not stop the service
            asyncio.get_running_loop().call_exception_handler(
                {"message": "on_change of a service raised", "exception": error}
            )

    def _finished(self, _: asyncio.Task[None]) -> None:
        """Take note that the task has ended; in a callback, as one can be cancelled before its first step."""
        self._task = None
        self._set("stopped")
        self._refuse()

    async def _run(self) -> None:
        while True:
            attempt = Attempt(
                self._spec, on_event=self._on_event, resolver=self._resolver, follow=True
            )
            try:
                life, protocol = await self._open(attempt)
            except asyncio.CancelledError as error:
                if _is_cancelled():
                    raise
                self._failed(_from_within(attempt, error))
            except Exception as error:  # noqa: BLE001 - whatever a factory or a preparation does wrong
                self._failed(error)
            else:
                await self._stay(life, protocol)
            self._set("waiting")
            await asyncio.sleep(self._backoff.delay(self._failures, self._draw))
            self._set("connecting")

    async def _open(self, attempt: Attempt) -> tuple[_Life, P]:
        """Connect and prepare; whatever fails, nothing is left of it."""
        opening = partial(self._spec.open, attempt, self._factory)
        transport, protocol = await carry_out(attempt, opening, self._timeout)
        life = _Life(transport, attempt.socket)
        if self._prepare is not None:
            attempt.stage = "prepare"
            try:
                self._set("preparing")
                await _unless_ended(attempt, life, self._prepare(protocol))
            except BaseException:
                await life.abort()
                raise
        return life, protocol

    async def _stay(self, life: _Life, protocol: P) -> None:
        """Give the connection to who waits for one, and wait for its end."""
        loop = asyncio.get_running_loop()
        since = loop.time()
        self._error = None
        self._up = life, protocol
        try:
            self._set("connected")
            for waiter in self._waiters:
                waiter.give(protocol)
            await asyncio.wait([life.ended])
        except BaseException:
            await life.close(self._grace)
            raise
        finally:
            self._up = None
        self._failures = 1 if loop.time() - since >= self._steady else self._failures + 1

    def _failed(self, error: Exception) -> None:
        """Count a failure, and tell those who have waited for enough of them."""
        self._failures += 1
        self._error = error
        self._log(error)
        for waiter in self._waiters:
            waiter.fail(error)

    def _log(self, error: Exception) -> None:
        """Write down the first failure of a row; those that follow at debug level only."""
        level = logging.WARNING if self._failures == 1 else logging.DEBUG
        text = str(error)
        if not isinstance(error, ConnectError):
            text = f"{self._spec.display()}: the attempt failed with {error!r}"
        logger.log(level, "%s", text, exc_info=None if isinstance(error, OSError) else error)

    def _refuse(self) -> None:
        """Tell those who wait that there will be no connection."""
        for waiter in self._waiters:
            waiter.refuse(ServiceStoppedError(self._spec))


def _is_cancelled() -> bool:
    """Tell whether somebody has cancelled this task, or a `asyncio.CancelledError` came from elsewhere."""
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling() > 0


def _from_within(attempt: Attempt, error: asyncio.CancelledError) -> ConnectError:
    """Make the error of an attempt that something it called has ended by a cancel."""
    made = attempt.error("was cancelled from within")
    made.__cause__ = error
    return made


async def _unless_ended(attempt: Attempt, life: _Life, preparing: Awaitable[object]) -> None:
    """Wait for a preparation as long as its connection lives."""
    task: asyncio.Future[Any] = asyncio.ensure_future(preparing)
    try:
        await asyncio.wait({task, life.ended}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise attempt.error("the connection ended while it was being prepared")
        task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])


class _Waiter(Generic[P]):
    """A task that waits for a connection."""

    def __init__(self, fail_after: int | None) -> None:
        self.future: asyncio.Future[P] = asyncio.get_running_loop().create_future()
        self._left = fail_after

    def give(self, protocol: P) -> None:
        if not self.future.done():
            self.future.set_result(protocol)

    def refuse(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)

    def fail(self, error: Exception) -> None:
        """Take note of a failure, which can be one too many."""
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                self.refuse(error)


class _Life:
    """A connection and its end.

    Args:
        transport: That of the connection.
        sock: What it rests on. Without one, the transport is looked at once a second.
    """

    def __init__(self, transport: asyncio.Transport, sock: ReportingSocket | None) -> None:
        self._loop = asyncio.get_running_loop()
        self.transport = transport
        self._socket = sock
        #: Done when the connection has ended.
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        if sock is None:
            self._look()
        elif sock.fileno() == -1:
            self._end()
        else:
            sock.on_end = self._end

    def _look(self) -> None:
        if self.transport.is_closing():
            self._end()
        else:
            self._timer = self._loop.call_later(_LOOK_SECONDS, self._look)

    def _end(self, _: object = None) -> None:
        if not (self.ended.done() or self._loop.is_closed()):
            self.ended.set_result(None)

    async def close(self, grace: float) -> None:
        """Close the connection after what it holds, or abort it when the time is over, in seconds."""
        try:
            if grace:
                self.transport.close()
                await asyncio.wait([self.ended], timeout=grace)
        finally:
            await self.abort()

    async def abort(self) -> None:
        """End the connection at once."""
        if self._timer is not None:
            self._timer.cancel()
        if self._socket is None:
            await abort(self.transport)
        elif self._socket.fileno() != -1:
            self.transport.abort()
            await release(self._socket)
        self._end()
