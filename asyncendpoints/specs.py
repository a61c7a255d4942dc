"""Specs: the values that descriptions stand for.

A spec is a frozen dataclass whose fields are the arguments of its kind; `asyncendpoints.grammar` derives
everything else from those. Pure: nothing here opens a file or a socket, reads the environment or a clock.
(The first use of a kind imports it, and an unknown name looks for plug-ins: see `asyncendpoints.registry`.)
"""

from __future__ import annotations

from contextlib import suppress
from inspect import Signature, signature
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from asyncendpoints.description import split
from asyncendpoints.errors import DescriptionError, ListenError
from asyncendpoints.fields import Octal
from asyncendpoints.grammar import Name, grammar, with_article
from asyncendpoints.registry import find

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable, Sequence

    from asyncendpoints.addresses import Address
    from asyncendpoints.attempt import Attempt
    from asyncendpoints.grammar import Field
    from asyncendpoints.listeners import Acceptor, Listener

__all__ = [
    "ClientSpec",
    "DatagramClientSpec",
    "DatagramServerSpec",
    "ServerSpec",
    "Spec",
    "parse_client",
    "parse_server",
]

P = TypeVar("P", bound="asyncio.BaseProtocol")

#: How deep descriptions can be nested. Each level reads its text again.
MOST_LEVELS = 20


class _Checked(type):
    """The type of specs: the values of one built in Python are checked.

    Those of one built by `Grammar.parse` have been checked where they were read, so that it goes past this.
    That is not done in ``__post_init__``, which cannot tell one from the other.
    """

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        spec = super().__call__(*args, **kwargs)
        grammar(cls).check(spec)
        spec.check()
        return spec

    @property
    def __signature__(cls) -> Signature:
        """What ``help()`` and editors show: the fields, not what is above."""
        if "__init__" not in vars(cls):
            raise AttributeError("the base of specs has no fields")
        own = signature(vars(cls)["__init__"])
        return own.replace(parameters=list(own.parameters.values())[1:])


class Spec(metaclass=_Checked):
    """The base of all specs; use `ClientSpec` or `ServerSpec`.

    A subclass is declared with ``@dataclass(frozen=True, slots=True, repr=False)``.
    """

    __slots__ = ()

    #: The names that the kind answers to; the first is the canonical one.
    names: ClassVar[tuple[Name, ...]]
    #: ``"client"`` or ``"server"``.
    role: ClassVar[str]
    #: Whether there is a stream: `connect` opens it, `listen` serves it.
    has_stream: ClassVar[bool] = True

    def check(self) -> None:
        """Raise `SpecError` where fields do not go together; each alone has been checked."""

    @classmethod
    def order(cls, name: Name, first: str | None) -> tuple[str, ...]:  # noqa: ARG003 - for subclasses
        """Give the fields in positional order, for a description whose first position holds ``first``."""
        return name.order or grammar(cls).positions

    def __str__(self) -> str:
        return grammar(type(self)).format(self)

    def __repr__(self) -> str:
        shown = (
            f"{field.name}={'***' if field.secret else _shown(field, value)}"
            for field, value in grammar(type(self)).given(self)
        )
        return f"{type(self).__name__}({', '.join(shown)})"

    def display(self) -> str:
        """Give the canonical text with every secret masked: for messages and logs."""
        return grammar(type(self)).format(self, masked=True)


class ClientSpec(Spec):
    """The base of specs that connect.

    A kind gives `open`, and `open_socket` too if its bytes are those of a plain socket.
    """

    __slots__ = ()
    role = "client"

    async def open(self, attempt: Attempt, factory: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        """Connect, and give the transport and the protocol, which ``factory`` makes last of all.

        Raises:
            ConnectError: Made by ``attempt.error``; with it every socket of the attempt is closed.
        """
        return await attempt.adopt(await self.open_socket(attempt), factory)

    def is_plain(self) -> bool:
        """Tell whether the bytes of a connection are those of its socket: nothing like TLS between."""
        return type(self).open is ClientSpec.open

    async def open_socket(self, attempt: Attempt) -> socket.socket:
        """Connect, and give the connected, non-blocking socket."""
        raise attempt.error(
            f"{with_article(self.names[0].text)} client has no plain socket to build on"
        )

    async def addresses(self, attempt: Attempt) -> list[Address]:
        """Give the addresses that `open` would try, in its order.

        Raises:
            ConnectError: They cannot be found, or the kind has none.
        """
        kind = with_article(self.names[0].text)
        raise attempt.error(f"{kind} client has no addresses to look up; connect() opens it")

    async def open_datagram_socket(self, attempt: Attempt) -> socket.socket:
        """Give a datagram socket, connected and non-blocking.

        Raises:
            ConnectError: Made by ``attempt.error``; with it every socket of the attempt is closed.
        """
        kind = with_article(self.names[0].text)
        raise attempt.error(f"{kind} client has a stream and no datagrams; connect() opens it")


class DatagramClientSpec(ClientSpec):
    """The base of clients that have datagrams in place of a stream.

    A kind gives `open_datagram_socket`, and is opened by `connect_datagram`.
    """

    __slots__ = ()
    has_stream = False

    async def open(self, attempt: Attempt, factory: Callable[[], P]) -> tuple[asyncio.Transport, P]:  # noqa: ARG002
        raise self._no_stream(attempt)

    async def open_socket(self, attempt: Attempt) -> socket.socket:
        raise self._no_stream(attempt)

    async def open_datagram_socket(self, attempt: Attempt) -> socket.socket:
        raise NotImplementedError

    def _no_stream(self, attempt: Attempt) -> Exception:
        kind = with_article(self.names[0].text)
        return attempt.error(
            f"{kind} client has datagrams and no stream; connect_datagram() opens it"
        )


class ServerSpec(Spec):
    """The base of specs that listen."""

    __slots__ = ()
    role = "server"

    def beside(self, others: Sequence[ServerSpec]) -> ServerSpec:  # noqa: ARG002 - for subclasses
        """Give the spec to bind when the others are bound in the same call: as a rule itself."""
        return self

    def is_plain(self) -> bool:
        """Tell whether the bytes of a connection are those of its socket: nothing like TLS between."""
        return type(self).acceptor is ServerSpec.acceptor

    def bind(self) -> list[Listener]:
        """Open and bind the listening sockets, all or none.

        Raises:
            ListenError: The endpoint cannot be bound.
        """
        raise NotImplementedError

    def bind_datagram(self) -> list[socket.socket]:
        """Open and bind the datagram sockets, non-blocking, all or none.

        Raises:
            ListenError: The endpoint cannot be bound.
        """
        kind = with_article(self.names[0].text)
        raise ListenError(
            self, f"{kind} server has connections and no datagrams", "listen() serves it"
        )

    def bind_both(self) -> tuple[list[Listener], list[socket.socket]]:
        """Open and bind all that there is: listening sockets and datagram sockets, all or none.

        Raises:
            ListenError: The endpoint cannot be bound.
        """
        return self.bind(), []

    def acceptor(self) -> Acceptor:
        """Load what accepting needs, such as keys; called once for each listen.

        Raises:
            ListenError: A file cannot be read or does not hold what it should.
        """
        from asyncendpoints.listeners import PlainAcceptor  # a spec alone needs no sockets

        return PlainAcceptor()

    def client(self, address: Address, acceptor: Acceptor) -> ClientSpec | None:  # noqa: ARG002
        """Give the spec that reaches a listener of this kind, or None where there is none."""
        return None


class DatagramServerSpec(ServerSpec):
    """The base of servers that have datagrams in place of connections.

    A kind gives `bind_datagram`, and is served by `listen_datagram`.
    """

    __slots__ = ()
    has_stream = False

    def bind(self) -> list[Listener]:
        kind = with_article(self.names[0].text)
        raise ListenError(
            self, f"{kind} server has datagrams and no connections", "listen_datagram() serves it"
        )

    def bind_datagram(self) -> list[socket.socket]:
        raise NotImplementedError

    def bind_both(self) -> tuple[list[Listener], list[socket.socket]]:
        return [], self.bind_datagram()


def parse_client(text: str) -> ClientSpec:
    """Turn a description into the spec of a client.

    >>> parse_client("tcp:host=example.org:port=80")
    TCPClient(host='example.org', port=80)

    Raises:
        DescriptionError: The text is no description of a client.
        TypeError: ``text`` is not a ``str``.
    """
    try:
        spec: ClientSpec = _parse(text, "client")
    except DescriptionError as error:
        _say_if_right(error, "server")
        raise
    return spec


def parse_server(text: str) -> ServerSpec:
    """Turn a description into the spec of a server.

    >>> parse_server("tcp:8080:interface=127.0.0.1")
    TCPServer(port=8080, interface='127.0.0.1')

    Raises:
        DescriptionError: The text is no description of a server.
        TypeError: ``text`` is not a ``str``.
    """
    try:
        spec: ServerSpec = _parse(text, "server")
    except DescriptionError as error:
        _say_if_right(error, "client")
        raise
    return spec


def _shown(field: Field, value: object) -> str:
    """Write a value as Python does, permissions in octal digits."""
    return oct(value) if isinstance(field.type, Octal) and isinstance(value, int) else repr(value)


def _say_if_right(error: DescriptionError, other: str) -> None:
    """Raise a better error where a wrong text would be right for the other role."""
    if error.position and _is_right(error.text, other):
        problem = f"{error.problem}; the text describes a {other}"
        raise DescriptionError(error.text, error.position, problem, error.names) from None


def _is_right(text: str, role: str) -> bool:
    with suppress(DescriptionError):
        _parse(text, role)
        return True
    return False


def _parse(text: str, role: str, depth: int = 0) -> Any:
    """Turn a description into a spec of a role, which is what the register gives for it."""
    if depth > MOST_LEVELS:
        raise DescriptionError(text, 0, f"is nested more than {MOST_LEVELS} levels deep")
    kind, arguments = split(text)
    cls, name = find(text, kind, role)
    own = grammar(cls)
    spec = own.parse_plain(name, arguments)
    if spec is not None:
        return spec
    return own.parse(text, name, arguments, lambda inner, role: _parse(inner, role, depth + 1))
