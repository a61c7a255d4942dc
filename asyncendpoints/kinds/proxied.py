"""What the kinds of client that go through a proxy share."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from asyncendpoints import events
from asyncendpoints.addresses import host_and_port, to_ascii
from asyncendpoints.errors import AttemptFailure, ProxyError, ProxyReplyError, SpecError
from asyncendpoints.kinds.tcp import TCPClient
from asyncendpoints.names import literal
from asyncendpoints.proxies import Negotiating, negotiate
from asyncendpoints.specs import ClientSpec
from asyncendpoints.transports import Handover, abort

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from asyncendpoints.addresses import Address
    from asyncendpoints.attempt import Attempt
    from asyncendpoints.errors import ConnectError
    from asyncendpoints.proxies import Negotiation

__all__ = ["POSITIONS", "ProxyClient"]

T = TypeVar("T")
P = TypeVar("P", bound=asyncio.BaseProtocol)

#: The fields in positional order.
POSITIONS = ("proxy_host", "proxy_port", "host", "port")


class ProxyClient(ClientSpec):
    """The base of clients that go through a proxy, which have these fields."""

    __slots__ = ()
    #: What the proxy speaks, for messages.
    protocol = ""

    if TYPE_CHECKING:

        @property
        def host(self) -> str: ...

        @property
        def port(self) -> int: ...

        @property
        def proxy_host(self) -> str | None: ...

        @property
        def proxy_port(self) -> int | None: ...

        @property
        def proxy(self) -> ClientSpec | None: ...

        @property
        def username(self) -> str | None: ...

        @property
        def password(self) -> str | None: ...

    def check(self) -> None:
        given = [name for name in POSITIONS[:2] if getattr(self, name) is not None]
        if self.proxy is not None and given:
            problem = "proxy takes the place of proxy_host and proxy_port: give one or the other"
            raise SpecError(given[0], problem)
        missing = [name for name in POSITIONS[:2] if name not in given]
        if self.proxy is None and missing:
            raise SpecError(missing[0], f"the proxy is missing, as in {self.names[0].example}")
        if "%" in self.host:
            problem = "host has a zone id, which means something on this machine only"
            raise SpecError("host", problem)
        if (self.username is None) != (self.password is None):
            raise SpecError("username", "username and password go together")
        for name in ("username", "password"):
            if _has_surrogates(getattr(self, name) or ""):
                raise SpecError(name, f"{name} has characters that UTF-8 cannot write")

    @property
    def credentials(self) -> tuple[bytes, bytes] | None:
        """Username and password as they are sent, or None."""
        if self.username is None or self.password is None:
            return None
        return self.username.encode(), self.password.encode()

    @property
    def way(self) -> ClientSpec:
        """How the proxy is reached."""
        return TCPClient(*self.address) if self.proxy is None else self.proxy

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the proxy, where no endpoint stands in their place."""
        assert self.proxy_host is not None  # check has seen to it
        assert self.proxy_port is not None
        return self.proxy_host, self.proxy_port

    @property
    def place(self) -> str:
        """What the proxy is called in messages."""
        return f"the {self.protocol} proxy at {_where(self)}"

    def negotiation(self, host: str, port: int) -> Negotiation:
        """Begin to talk to a proxy about a target, whose host is an address or a name in A-labels."""
        raise NotImplementedError

    def is_plain(self) -> bool:
        return self.way.is_plain()

    async def addresses(self, attempt: Attempt) -> list[Address]:
        return await self.way.addresses(attempt)

    async def open_socket(self, attempt: Attempt) -> socket.socket:
        if not self.is_plain():
            return await super().open_socket(attempt)
        return await self._reach(attempt, self._open_socket)

    async def open(self, attempt: Attempt, factory: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        if self.is_plain():
            return await super().open(attempt, factory)
        return await self._reach(attempt, partial(self._open_over, factory=factory))

    async def targets(self, attempt: Attempt) -> list[str]:  # noqa: ARG002 - for subclasses
        """Give the hosts to ask the proxy for, one after the other: as a rule the one that is given."""
        return [to_ascii(self.host)]

    async def _reach(self, attempt: Attempt, tunnel: Callable[[_Step], Awaitable[T]]) -> T:
        """Open a tunnel to the first target that the proxy connects to."""
        refused: list[ProxyError] = []
        for host in await self.targets(attempt):
            step = _Step(self, attempt, host, self.port)
            try:
                return await tunnel(step)
            except ProxyError as error:
                # What is wrong with the proxy itself, or on the way to it, is so for every target.
                if not step.is_refused:
                    raise
                refused.append(error)
        if len(refused) == 1:
            raise refused[0]
        raise self._all_refused(attempt, refused)

    def _all_refused(self, attempt: Attempt, refused: list[ProxyError]) -> ConnectError:
        """Make the error of several targets, none of which the proxy connected to."""
        listed = "; ".join(str(each) for each in attempt.failures[-len(refused) :])
        count = f"none of the {len(refused)} addresses of {self.host}"
        problem = f"{self.place} connected to {count}: {listed}"
        codes = {each.code for each in refused}
        numbers = {each.errno for each in refused}
        made = _proxy_error(attempt, problem, _common(numbers), _common(codes))
        made.__cause__ = ExceptionGroup("targets of a proxy", refused)
        return made

    async def _open_socket(self, step: _Step) -> socket.socket:
        """Open a tunnel over a plain socket, which is then read up to its first byte."""
        sock = await self.way.open_socket(step.attempt)
        try:
            step.begin()
            await negotiate(sock, step.negotiation())
            step.finish()
        except BaseException as error:
            sock.close()
            if isinstance(error, ProxyReplyError):
                raise step.failed(error) from error
            raise
        return sock

    async def _open_over(
        self, step: _Step, factory: Callable[[], P]
    ) -> tuple[asyncio.Transport, P]:
        """Open a tunnel over a transport, such as that of TLS."""
        handover = Handover(factory)

        def begin() -> Negotiating:
            step.begin()
            return Negotiating(step.negotiation(), handover)

        transport, protocol = await step.attempt.open(self.way, begin)
        try:
            error = await protocol.outcome
            if error is not None:
                raise step.failed(error) from error
            step.finish()
            # It begins with the next turn of the loop: the protocol is there by then.
            transport.resume_reading()
            handover.begin(transport)
            made = handover.take()
            # A cancel that came from the factory comes out here, while the transport can be closed.
            await asyncio.sleep(0)
        except BaseException:
            await abort(transport)
            raise
        return made


def _has_surrogates(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


class _Step:
    """One request for a tunnel: what is asked of whom, and how it goes."""

    def __init__(self, spec: ProxyClient, attempt: Attempt, host: str, port: int) -> None:
        self.attempt = attempt
        #: The proxy has said that it cannot connect to the target.
        self.is_refused = False
        self._spec = spec
        self._host = host
        self._port = port
        self._target = host_and_port(host, port)
        self._started = 0.0

    def negotiation(self) -> Negotiation:
        return self._spec.negotiation(self._host, self._port)

    def begin(self) -> None:
        """Say that the proxy is asked."""
        self.attempt.stage = "proxy"
        self._started = asyncio.get_running_loop().time()
        self._tell(events.ProxyStarted)

    def finish(self) -> None:
        """Say that the tunnel is open."""
        self._tell(events.ProxyFinished)

    def failed(self, reply: ProxyReplyError) -> ProxyError:
        """Make the error, and say that there is no tunnel."""
        if reply.code is None:
            problem = f"{self._spec.place} {reply.problem}"
        else:
            self.is_refused = True
            self._note(reply)
            problem = f"{self._spec.place} did not connect to {self._target}: {reply.problem}"
        made = _proxy_error(self.attempt, problem, reply.errno, reply.code)
        self._tell(events.ProxyFailed, made)
        return made

    def _note(self, reply: ProxyReplyError) -> None:
        """Put the target, if it is an address, among those that failed."""
        address = literal(self._host, self._port)
        if address is not None:
            seconds = asyncio.get_running_loop().time() - self._started
            error = OSError(reply.errno, reply.problem)
            self.attempt.failures.append(AttemptFailure(address, error, seconds))

    def _tell(self, event: Callable[..., events.Event], *values: object) -> None:
        if self.attempt.emit:
            now = asyncio.get_running_loop().time()
            self.attempt.emit(event(now, _where(self._spec), self._target, *values))


def _where(spec: ProxyClient) -> str:
    """Write where a proxy is: its host and port, or the endpoint in their place."""
    if spec.proxy is not None:
        return spec.proxy.display()
    return host_and_port(*spec.address)


def _proxy_error(attempt: Attempt, problem: str, errno: int | None, code: int | None) -> ProxyError:
    made = attempt.error(problem, ProxyError, errno)
    assert isinstance(made, ProxyError)
    made.code = code
    return made


def _common(values: set[int | None]) -> int | None:
    """Give the value that all have, or None."""
    return values.pop() if len(values) == 1 else None
