"""A proxy that says what a test wants, reached over a plain socket or over a transport."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from asyncendpoints.fields import Help
from asyncendpoints.grammar import Inner, Name
from asyncendpoints.kinds.memory import MemoryClient
from asyncendpoints.listening import listen
from asyncendpoints.specs import ClientSpec
from tests.support import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints.attempt import Attempt
    from asyncendpoints.kinds.proxied import ProxyClient
    from asyncendpoints.listening import Listening
    from asyncendpoints.server import Server

__all__ = ["PROXY", "WAYS", "CoveredClient", "Dialogue", "FakeProxy", "PeekClient", "through"]

P = TypeVar("P", bound=asyncio.BaseProtocol)

PROXY = MemoryClient("proxy")

#: What a proxy is to hear, and what it then says.
Dialogue = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, repr=False)
class CoveredClient(ClientSpec):
    """A connection whose socket nobody may use, as that of TLS."""

    names = (Name("covered", "covered:[tcp:x:1]"),)
    inner: Annotated[ClientSpec, Inner("client"), Help("what makes the connection")]
    _: KW_ONLY

    async def open(self, attempt: Attempt, factory: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        return await attempt.open(self.inner, factory)


@dataclass(frozen=True, slots=True, repr=False)
class PeekClient(ClientSpec):
    """Looks at the socket of another client before there is a transport."""

    names = (Name("peek", "peek:[tcp:x:1]"),)
    inner: Annotated[ClientSpec, Inner("client"), Help("what makes the connection")]
    _: KW_ONLY

    async def open_socket(self, attempt: Attempt) -> socket.socket:
        sock = await self.inner.open_socket(attempt)
        assert sock.recv(100, socket.MSG_PEEK) == b"hello"
        return sock


#: A plain way to the fake proxy, and one that is not.
WAYS = [PROXY, CoveredClient(PROXY)]


class FakeProxy:
    """Serves ``memory:proxy`` by dialogues, one for each connection in its order.

    Args:
        dialogues: What it is to hear, and what it then says.
        size: How many bytes it says at a time; None for all that it has.
        close: It closes at the end of a dialogue.
    """

    def __init__(self, *dialogues: Dialogue, size: int | None = None, close: bool = False) -> None:
        self._dialogues = list(dialogues)
        self._size = size
        self._close = close
        #: Connections whose dialogue is over.
        self.clients: asyncio.Queue[_Served] = asyncio.Queue()
        #: All connections, in their order.
        self.served: list[_Served] = []

    def serving(self, endpoint: str = "memory:proxy") -> Listening[Server]:
        """Serve until the block ends."""
        return listen(endpoint, self._accept)

    def _accept(self) -> _Served:
        self.served.append(_Served(self, self._dialogues[len(self.served)]))
        return self.served[-1]

    async def say(self, transport: asyncio.Transport, data: bytes) -> None:
        """Send bytes in pieces that are read one by one."""
        size = self._size or max(1, len(data))
        for start in range(0, len(data), size):
            transport.write(data[start : start + size])
            await asyncio.sleep(0.001)

    def is_over(self, served: _Served) -> None:
        """Take note of a dialogue that is over."""
        self.clients.put_nowait(served)
        if self._close:
            assert served.transport is not None
            served.transport.close()


class _Served(Recorder):
    """One connection of a fake proxy."""

    def __init__(self, proxy: FakeProxy, dialogue: Dialogue) -> None:
        super().__init__()
        self._proxy = proxy
        self._dialogue = dialogue
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._task = asyncio.get_running_loop().create_task(self._talk())
        self._heard = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._heard.set()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        assert self._task is not None
        self._task.cancel()

    def say(self, data: bytes) -> None:
        """Send the last bytes of the tunnel."""
        assert self.transport is not None
        self.transport.write(data)
        self.transport.close()

    async def _talk(self) -> None:
        assert self.transport is not None
        for question, answer in self._dialogue:
            while len(self.received) < len(question):
                self._heard.clear()
                await self._heard.wait()
            assert self.received.startswith(question), (self.received, question)
            self.received = self.received[len(question) :]
            await self._proxy.say(self.transport, answer)
        self._proxy.is_over(self)


def through(client: type[ProxyClient], way: ClientSpec | None = None, **values: Any) -> ProxyClient:
    """Make a client that goes to port 443 of example.org through the proxy at the end of a way."""
    make: Any = client
    spec: ProxyClient = make("example.org", 443, proxy=way, **values)
    return spec
