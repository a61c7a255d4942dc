"""Sockets that another program opened and passed on: ``fd`` and ``systemd``.

The law: what was passed belongs to whoever passed it. A server listens on a duplicate, never shuts the
socket down and unlinks nothing; nothing that is refused is closed.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from asyncendpoints.errors import ListenError, SpecError
from asyncendpoints.fields import Choice, Help, NonEmpty, Number
from asyncendpoints.grammar import Name
from asyncendpoints.kinds.tcp import TCPClient
from asyncendpoints.kinds.unix import UNIXClient, kind_of_file
from asyncendpoints.listeners import ListeningSocket
from asyncendpoints.ports import reachable_host
from asyncendpoints.specs import ClientSpec, ServerSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence

    from asyncendpoints.addresses import Address
    from asyncendpoints.attempt import Attempt
    from asyncendpoints.listeners import Acceptor, Listener

__all__ = [
    "Activation",
    "FDClient",
    "FDServer",
    "PassedDescriptor",
    "SystemdServer",
    "adopt_listener",
    "adopt_listeners",
    "parse_listen_variables",
    "passed_descriptors",
    "select",
]

#: The first descriptor that is passed. sd_listen_fds(3), ``SD_LISTEN_FDS_START``
_FIRST = 3
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")
_FAMILIES = {
    "INET": socket.AF_INET,
    "INET6": socket.AF_INET6,
    "UNIX": socket.AF_UNIX,
}
_TYPES = {socket.SOCK_DGRAM: "datagram", socket.SOCK_SEQPACKET: "sequential packet"}
_TCP = (socket.IPPROTO_TCP, socket.IPPROTO_MPTCP)

Descriptor = Annotated[int, Number(0, 2**31 - 1)]
Index = Annotated[int, Number(0, 65535)]
SocketName = Annotated[str, NonEmpty("the name of a socket")]
Domain = Annotated[str, Choice(*_FAMILIES)]


@dataclass(frozen=True, slots=True, repr=False)
class FDClient(ClientSpec):
    """A connected socket that this process inherited or opened.

    Once it has been found to be one it belongs to the transport, which closes it.
    """

    names = (Name("fd", "fd:5"),)

    fd: Annotated[Descriptor, Help("number of the descriptor")]

    async def open_socket(self, attempt: Attempt) -> socket.socket:
        attempt.stage = "connect"
        try:
            sock = socket.socket(fileno=self.fd)
        except OSError as error:
            problem = f"descriptor {self.fd} {_why_no_socket(self.fd, error)}"
            raise attempt.error(problem, errno=error.errno) from error
        problem = _why_unconnected(sock)
        if problem:
            sock.detach()
            raise attempt.error(f"descriptor {self.fd} {problem}", errno=errno.EINVAL)
        sock.set_inheritable(False)
        _prepare(sock)
        return sock


@dataclass(frozen=True, slots=True, repr=False)
class FDServer(ServerSpec):
    """A listening socket that this process inherited or opened.

    It is duplicated, so the descriptor stays open, and is left in non-blocking mode, which duplicates share.
    """

    names = (Name("fd", "fd:3"),)

    fd: Annotated[Descriptor, Help("number of the descriptor")]

    def bind(self) -> list[Listener]:
        return [adopt_listener(self, self.fd)]

    def client(self, address: Address, acceptor: Acceptor) -> ClientSpec | None:  # noqa: ARG002
        return _client_of(address)


@dataclass(frozen=True, slots=True, repr=False)
class SystemdServer(ServerSpec):
    """Sockets that systemd, or a program like it, listened on and passed to this process.

    One of index and name says which; several sockets can share a name. They stay open in this process, so
    that it can listen on them again.

    Source: sd_listen_fds(3).
    """

    names = (Name("systemd", "systemd:name=http"),)

    domain: Annotated[Domain | None, Help("family that it is to have; as a rule any")] = None
    index: Annotated[Index | None, Help("which of the passed sockets, from 0")] = None
    name: Annotated[SocketName | None, Help("its FileDescriptorName=, or its unit")] = None

    def check(self) -> None:
        if self.index is None and self.name is None:
            problem = "a systemd server needs an index or a name, as in systemd:name=http"
            raise SpecError("index", problem)
        if self.index is not None and self.name is not None:
            raise SpecError("name", "index and name are both given, expected one of them")

    def bind(self) -> list[Listener]:
        return adopt_listeners(self, select(self, _activation.take()))

    def client(self, address: Address, acceptor: Acceptor) -> ClientSpec | None:  # noqa: ARG002
        return _client_of(address)


@dataclass(frozen=True, slots=True)
class PassedDescriptor:
    """One descriptor that the service manager passed."""

    fd: int
    #: None if the manager gave no names, or not as many as descriptors.
    name: str | None

    def __str__(self) -> str:
        index = self.fd - _FIRST
        return f"{index}" if self.name is None else f"{index} {self.name!r}"


def parse_listen_variables(environ: Mapping[str, str], pid: int) -> tuple[PassedDescriptor, ...]:
    """Read from the environment which descriptors were passed. Pure.

    Args:
        environ: The environment.
        pid: The process that asks: variables that another process left are none of its business.

    Returns:
        The descriptors in their order, or nothing.

    Source: sd_listen_fds(3).
    """
    count = environ.get("LISTEN_FDS", "")
    if environ.get("LISTEN_PID") != str(pid) or not re.fullmatch("[0-9]{1,6}", count):
        return ()
    names: list[str | None] = [*environ.get("LISTEN_FDNAMES", "").split(":")]
    # Names that do not fit the sockets can be those of other sockets.
    if len(names) != int(count):
        names = [None] * int(count)
    return tuple(PassedDescriptor(fd, name or None) for fd, name in enumerate(names, start=_FIRST))


class Activation:
    """What the service manager passed to this process: its variables are taken once, and remembered.

    Args:
        environ: The environment.
    """

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._environ = environ
        self._taken: tuple[PassedDescriptor, ...] = ()

    def peek(self) -> tuple[PassedDescriptor, ...]:
        """List the descriptors and leave everything as it is."""
        return parse_listen_variables(self._environ, os.getpid()) or self._taken

    def take(self) -> tuple[PassedDescriptor, ...]:
        """List the descriptors and keep them, and the variables, from the children of this process."""
        found = parse_listen_variables(self._environ, os.getpid())
        if found:
            self._taken = found
            for name in _VARIABLES:
                self._environ.pop(name, None)
            for each in found:
                with suppress(OSError):  # one that is not open is an error when it is asked for
                    os.set_inheritable(each.fd, False)
        return self._taken


_activation = Activation(os.environ)


def passed_descriptors() -> tuple[PassedDescriptor, ...]:
    """List what the service manager passed to this process, and leave it for ``systemd:`` to take."""
    return _activation.peek()


def select(spec: SystemdServer, passed: Sequence[PassedDescriptor]) -> list[PassedDescriptor]:
    """Give the descriptors that a spec means, one or more.

    Raises:
        ListenError: There is none; it says which there are.
    """
    if not passed:
        hint = "systemd does it for a .socket unit, systemd-socket-activate by hand"
        raise ListenError(spec, "this process was passed no sockets", hint)
    if spec.index is not None:
        if spec.index < len(passed):
            return [passed[spec.index]]
        problem = f"this process was passed no socket with index {spec.index}"
    else:
        found = [each for each in passed if each.name == spec.name]
        if found:
            return found
        problem = f"this process was passed no socket with the name {spec.name!r}"
        if all(each.name is None for each in passed):
            problem = (
                "the sockets have no names: LISTEN_FDNAMES is missing or has another count; "
                "index= does without"
            )
    raise ListenError(spec, problem, f"there are: {', '.join(str(each) for each in passed)}")


def adopt_listeners(spec: SystemdServer, passed: Sequence[PassedDescriptor]) -> list[Listener]:
    """Listen on duplicates of several sockets, all or none.

    Raises:
        ListenError: One of them is something else than the spec says.
    """
    with ExitStack() as opened:
        listeners: list[Listener] = [
            opened.enter_context(adopt_listener(spec, each.fd, spec.domain)) for each in passed
        ]
        opened.pop_all()
    return listeners


def adopt_listener(spec: ServerSpec, fd: int, domain: str | None = None) -> ListeningSocket:
    """Listen on a duplicate of a listening stream socket.

    Args:
        spec: What asks for it.
        fd: The descriptor, which is left open.
        domain: The family that it is to have, ``"INET"``, ``"INET6"`` or ``"UNIX"``, or None for any.

    Raises:
        ListenError: The descriptor is something else.
    """
    try:
        sock = _duplicate(fd)
    except OSError as error:
        problem = f"descriptor {fd} {_why_no_socket(fd, error)}"
        raise ListenError(spec, problem, errno=error.errno) from error
    problem = _why_unfit(sock, domain)
    if problem:
        sock.close()
        raise ListenError(spec, f"descriptor {fd} {problem}", errno=errno.EINVAL)
    _prepare(sock)
    return sock


def _duplicate(fd: int) -> ListeningSocket:
    duplicate = os.dup(fd)
    try:
        return ListeningSocket(fileno=duplicate)
    except OSError:
        os.close(duplicate)
        raise


def _why_no_socket(fd: int, error: OSError) -> str:
    """Say what a descriptor is that cannot be made a socket."""
    if error.errno == errno.ENOTSOCK:
        return f"is {kind_of_file(os.fstat(fd).st_mode)}, not a socket"
    if error.errno == errno.EBADF:
        return "is not open"
    return f"cannot be duplicated: {(error.strerror or '').lower()}"


def _why_unfit(sock: socket.socket, domain: str | None) -> str:
    """Say why a socket cannot be listened on, or nothing."""
    if sock.type != socket.SOCK_STREAM:
        return f"is a {_type(sock)} socket, expected a stream socket that listens"
    if not _listens(sock):
        return "is a stream socket that does not listen (Accept=yes in its .socket unit does that)"
    if domain is not None and sock.family != _FAMILIES[domain]:
        family = next((name for name, each in _FAMILIES.items() if each == sock.family), "another")
        return f"is a socket of the domain {family}, not {domain}; without domain= any will do"
    return ""


def _why_unconnected(sock: socket.socket) -> str:
    """Say why a socket is not a connection, or nothing."""
    if sock.type != socket.SOCK_STREAM:
        return f"is a {_type(sock)} socket, expected a stream socket that is connected"
    if _listens(sock):
        return "is a listening socket: it is for a server"
    try:
        sock.getpeername()
    except OSError:
        return "is a stream socket that is not connected"
    return ""


def _type(sock: socket.socket) -> str:
    return _TYPES.get(sock.type, "raw")


def _listens(sock: socket.socket) -> bool:
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _prepare(sock: socket.socket) -> None:
    """Give a socket the modes that the library's own have."""
    sock.setblocking(False)
    if sock.proto in _TCP:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _client_of(address: Address) -> ClientSpec | None:
    """Give the spec that reaches a listening socket, or None for what has no such address."""
    if address.family == socket.AF_UNIX:
        # A relative path is relative to a directory that only its maker knows.
        is_reachable = address.host[:1] in ("/", "@") and "\0" not in address.host
        return UNIXClient(address.host) if is_reachable else None
    if address.family in (socket.AF_INET, socket.AF_INET6) and address.port is not None:
        return TCPClient(reachable_host(address), address.port)
    return None
