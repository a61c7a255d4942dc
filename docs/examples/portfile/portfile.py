"""Two kinds of endpoint: a port that is named by a file, and a password in front of a connection.

``portfile:PATH`` takes any free port and writes its number to a file, where the client reads it.
``knock:password=…:DESCRIPTION`` says a password before anything else. It goes over the wire as it is: a kind
to learn from, not one to trust.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import socket
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Annotated, TypeVar

from asyncendpoints import (
    Address,
    ClientSpec,
    HandshakeError,
    ListenError,
    ServerSpec,
    SpecError,
    TCPClient,
)
from asyncendpoints.fields import Backlog, Help, Path, Seconds, Secret
from asyncendpoints.grammar import Inner, Name
from asyncendpoints.listeners import ListeningSocket

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints.attempt import Attempt
    from asyncendpoints.listeners import Acceptor, Listener

P = TypeVar("P", bound=asyncio.BaseProtocol)


@dataclass(frozen=True, slots=True, repr=False)
class PortFileClient(ClientSpec):
    """A TCP connection to the port of this machine whose number is in a file."""

    names = (Name("portfile", "portfile:/run/app.port"),)

    path: Annotated[Path, Help("file with the number of the port", "file")]
    _: KW_ONLY
    timeout: Annotated[Seconds | None, Help("limit of the whole connect, in seconds")] = 30.0

    async def open_socket(self, attempt: Attempt) -> socket.socket:
        attempt.stage = "resolve"
        return await TCPClient("127.0.0.1", self._read_port(attempt)).open_socket(attempt)

    def _read_port(self, attempt: Attempt) -> int:
        try:
            with open(self.path, encoding="ascii") as file:
                port = int(file.read(6))
        except OSError as error:
            problem = f"cannot read {self.path}: {os.strerror(error.errno or 0).lower()}"
            raise attempt.error(problem, errno=error.errno) from error
        except ValueError as error:
            raise attempt.error(f"{self.path} does not hold the number of a port") from error
        if not 0 < port < 65536:
            raise attempt.error(f"{self.path} holds {port}, which is no port")
        return port


@dataclass(frozen=True, slots=True, repr=False)
class PortFileServer(ServerSpec):
    """Any free TCP port of the loopback interface; its number is written to a file."""

    names = (Name("portfile", "portfile:/run/app.port"),)

    path: Annotated[Path, Help("file to write the number of the port to", "file")]
    backlog: Annotated[Backlog, Help("connections that may wait to be accepted")] = 1024

    def bind(self) -> list[Listener]:
        sock = PortFileListener(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            sock.setblocking(False)
            sock.bind(("127.0.0.1", 0))
            sock.listen(self.backlog)
            sock.write(self.path)
        except OSError as error:
            sock.close()
            problem = f"cannot write {self.path}: {os.strerror(error.errno or 0).lower()}"
            raise ListenError(self, problem, errno=error.errno) from error
        return [sock]

    def client(self, address: Address, acceptor: Acceptor) -> ClientSpec:
        return PortFileClient(self.path)


class PortFileListener(ListeningSocket):
    """A listening socket whose port is in a file, which goes when the socket is closed."""

    path: str | None = None

    def write(self, path: str) -> None:
        """Write the file, which must not be there."""
        with open(path, "x", encoding="ascii") as file:
            self.path = os.path.abspath(path)
            file.write(f"{self.getsockname()[1]}\n")

    def close(self) -> None:
        path, self.path = self.path, None
        if path is not None:
            with suppress(OSError):
                os.unlink(path)
        super().close()


@dataclass(frozen=True, slots=True, repr=False)
class KnockClient(ClientSpec):
    """A connection that begins with a password, over another endpoint."""

    names = (Name("knock", "knock:password=…:tcp:example.org:80"),)

    endpoint: Annotated[
        ClientSpec, Inner("client", rest=True, stream=True), Help("what makes the connection")
    ]
    _: KW_ONLY
    password: Annotated[Secret, Help("what the server wants to hear")]

    async def open_socket(self, attempt: Attempt) -> socket.socket:
        sock = await self.endpoint.open_socket(attempt)
        attempt.stage = "proxy"
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_sendall(sock, self.password.encode() + b"\n")
            answer = await read_line(sock)
        except BaseException as error:
            sock.close()
            if isinstance(error, OSError):
                raise attempt.error("the server did not answer", errno=error.errno) from error
            raise
        if answer != b"welcome":
            sock.close()
            raise attempt.error("the server does not take this password")
        return sock


@dataclass(frozen=True, slots=True, repr=False)
class KnockServer(ServerSpec):
    """Another endpoint, whose connections have to begin with a password."""

    names = (Name("knock", "knock:password=…:tcp:8080"),)

    endpoint: Annotated[
        ServerSpec, Inner("server", rest=True, stream=True), Help("what is listened on")
    ]
    _: KW_ONLY
    password: Annotated[Secret, Help("what clients have to say")]

    def check(self) -> None:
        if not self.endpoint.is_plain():
            raise SpecError("endpoint", "the password comes first: only a plain endpoint will do")

    def bind(self) -> list[Listener]:
        return self.endpoint.bind()

    def acceptor(self) -> KnockAcceptor:
        return KnockAcceptor(self.password, self.endpoint.acceptor())

    def client(self, address: Address, acceptor: Acceptor) -> ClientSpec | None:
        assert isinstance(acceptor, KnockAcceptor)
        inner = self.endpoint.client(address, acceptor.inner)
        return inner and KnockClient(inner, password=self.password)


class KnockAcceptor:
    """Hears the password, then leaves the connection to the acceptor of the inner endpoint."""

    def __init__(self, password: str, inner: Acceptor) -> None:
        self._password = password.encode()
        self.inner = inner

    async def accept(
        self, sock: socket.socket, factory: Callable[[], P], timeout: float
    ) -> tuple[asyncio.Transport, P]:
        peer = Address(sock.family, "")
        try:
            peer = Address(sock.family, sock.getpeername())
            async with asyncio.timeout(timeout):
                is_right = hmac.compare_digest(await read_line(sock), self._password)
                answer = b"welcome\n" if is_right else b"no\n"
                await asyncio.get_running_loop().sock_sendall(sock, answer)
        except BaseException as error:
            sock.close()
            if isinstance(error, OSError):
                raise HandshakeError(peer, "the client said no password") from error
            raise
        if not is_right:
            sock.close()
            raise HandshakeError(peer, "the client said a wrong password")
        return await self.inner.accept(sock, factory, timeout)

    def reload(self) -> None:
        self.inner.reload()


async def read_line(sock: socket.socket) -> bytes:
    """Read a line, byte by byte: what follows it belongs to somebody else."""
    loop = asyncio.get_running_loop()
    line = b""
    while len(line) < 256:
        byte = await loop.sock_recv(sock, 1)
        if not byte:
            raise ConnectionResetError
        if byte == b"\n":
            break
        line += byte
    return line
