"""DNS: ``dns``, to ask a name server and to be one: UDP and TCP, on one port number."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Annotated

from asyncendpoints.errors import DescriptionError, ListenError
from asyncendpoints.fields import Backlog, Help, Host, Number, Port, Seconds, YesNo
from asyncendpoints.grammar import Name
from asyncendpoints.kinds.tcp import Family, bind_tcp
from asyncendpoints.kinds.udp import DatagramDial, bind_udp
from asyncendpoints.ports import PortServer, reachable_host, until_free
from asyncendpoints.specs import ClientSpec, parse_server

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from asyncendpoints.addresses import Address
    from asyncendpoints.attempt import Attempt
    from asyncendpoints.listeners import Acceptor, Listener
    from asyncendpoints.specs import ServerSpec

__all__ = ["DNSClient", "DNSServer", "parse_name_server", "without_kind"]

_PeerPort = Annotated[int, Number(1, 65535)]


@dataclass(frozen=True, slots=True, repr=False)
class DNSClient(ClientSpec):
    """A name server: asked over UDP, and over TCP where an answer is too long for that.

    To connect to it is to have a TCP connection, to have datagrams is to have UDP.

    Source: RFC 1035, section 4.2; RFC 7766, section 5.
    """

    names = (Name("dns", "dns:9.9.9.9"),)

    host: Annotated[Host, Help("host name or address of the server")]
    port: Annotated[_PeerPort, Help("its port, UDP and TCP")] = 53
    _: KW_ONLY
    timeout: Annotated[Seconds | None, Help("limit of a connect or a lookup, in seconds")] = 30.0
    bind_address: Annotated[Host | None, Help("address to send from", "bindAddress")] = None
    family: Annotated[Family, Help("which addresses of the host to use")] = "any"

    async def addresses(self, attempt: Attempt) -> list[Address]:
        return await attempt.all_addresses(self.host, self.port, self.family)

    async def open_socket(self, attempt: Attempt) -> socket.socket:
        addresses = await attempt.addresses(self.host, self.port, self.family)
        return await attempt.race(addresses, (self.bind_address, 0))

    async def open_datagram_socket(self, attempt: Attempt) -> socket.socket:
        addresses = await attempt.addresses(self.host, self.port, self.family)
        return await attempt.race(addresses, (self.bind_address, 0), DatagramDial)


@dataclass(frozen=True, slots=True, repr=False)
class DNSServer(PortServer):
    """UDP and TCP on one port; without an interface on IPv4 and IPv6.

    It is served by what answers DNS queries, and has no use for other servers.
    """

    names = (Name("dns", "dns:53"),)
    protocols = frozenset({"udp", "tcp"})
    has_stream = False  # alone

    port: Annotated[Port, Help("port, UDP and TCP; 0 for one that is free for both")]
    interface: Annotated[Host | None, Help("address to listen on; as a rule all of them")] = None
    backlog: Annotated[Backlog, Help("connections that may wait to be accepted")] = 1024
    _: KW_ONLY
    v6only: Annotated[YesNo | None, Help("keep an IPv6 socket from taking IPv4 too")] = None
    reuse_port: Annotated[YesNo, Help("share the port with other processes", "reusePort")] = False

    def bind(self) -> list[Listener]:
        raise self._half()

    def bind_datagram(self) -> list[socket.socket]:
        raise self._half()

    def _half(self) -> ListenError:
        return ListenError(
            self,
            "a dns server has connections and datagrams",
            f"asyncendpoints.dns.listen() serves it; tcp:{self.port} is the one, udp:{self.port} the other",
        )

    def bind_both(self) -> tuple[list[Listener], list[socket.socket]]:
        return until_free(self.port, self._bind)

    def _bind(self) -> tuple[list[Listener], list[socket.socket]]:
        """Bind TCP, then UDP to the number that it got."""
        listeners = bind_tcp(
            self,
            self.port,
            self.interface,
            self.backlog,
            v6only=self.v6only,
            reuse_port=self.reuse_port,
        )
        try:
            port = listeners[0].getsockname()[1]
            sockets = bind_udp(
                self, port, self.interface, v6only=self.v6only, reuse_port=self.reuse_port
            )
        except BaseException:
            for each in listeners:
                each.close()
            raise
        return [*listeners], [*sockets]

    def client(self, address: Address, acceptor: Acceptor) -> DNSClient:  # noqa: ARG002
        assert address.port is not None
        return DNSClient(reachable_host(address), address.port)


def parse_name_server(text: str) -> ServerSpec:
    """Turn a description into the spec of a server that answers DNS queries.

    Raises:
        DescriptionError: The text is no description of a server.
    """
    try:
        return parse_server(text)
    except DescriptionError as error:
        raise without_kind(error, parse_server) from None


def without_kind(error: DescriptionError, parse: Callable[[str], object]) -> DescriptionError:
    """Give the error of a text that begins with a place, where a kind was expected and DNS is meant.

    Args:
        error: What the text was refused with.
        parse: Tells what would be right, as `parse_client` and `parse_server` do.

    Returns:
        One that says so; for other texts the error that was given.
    """
    text = error.text
    if not (text[:1].isdigit() or text[:1] == "[" or "." in text.partition(":")[0]):
        return error
    host, _, port = text.rpartition(":")
    for meant in (f"dns:{text}", f"dns:{port}:interface={host}"):
        try:
            parse(meant)
        except DescriptionError:
            continue
        return DescriptionError(text, 0, f"has no kind, did you mean {meant!r}?")
    return error
