"""Connect and listen where the user says: endpoints for asyncio.

The names come from their modules when they are first used, so that importing this package costs little.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncendpoints.addresses import Address as Address
    from asyncendpoints.connecting import connect as connect
    from asyncendpoints.connecting import open_connection as open_connection
    from asyncendpoints.datagrams import DatagramServer as DatagramServer
    from asyncendpoints.datagrams import connect_datagram as connect_datagram
    from asyncendpoints.datagrams import listen_datagram as listen_datagram
    from asyncendpoints.description import quote as quote
    from asyncendpoints.errors import AddressInUseError as AddressInUseError
    from asyncendpoints.errors import AttemptFailure as AttemptFailure
    from asyncendpoints.errors import CertificateError as CertificateError
    from asyncendpoints.errors import ConnectError as ConnectError
    from asyncendpoints.errors import ConnectNotFoundError as ConnectNotFoundError
    from asyncendpoints.errors import ConnectPermissionError as ConnectPermissionError
    from asyncendpoints.errors import ConnectRefusedError as ConnectRefusedError
    from asyncendpoints.errors import ConnectTimeoutError as ConnectTimeoutError
    from asyncendpoints.errors import DescriptionError as DescriptionError
    from asyncendpoints.errors import EndpointError as EndpointError
    from asyncendpoints.errors import HandshakeError as HandshakeError
    from asyncendpoints.errors import KeyFileError as KeyFileError
    from asyncendpoints.errors import ListenError as ListenError
    from asyncendpoints.errors import ListenPermissionError as ListenPermissionError
    from asyncendpoints.errors import ResolveError as ResolveError
    from asyncendpoints.errors import SpecError as SpecError
    from asyncendpoints.errors import TLSError as TLSError
    from asyncendpoints.events import AttemptAbandoned as AttemptAbandoned
    from asyncendpoints.events import AttemptFailed as AttemptFailed
    from asyncendpoints.events import AttemptStarted as AttemptStarted
    from asyncendpoints.events import Connected as Connected
    from asyncendpoints.events import Event as Event
    from asyncendpoints.events import HandshakeFailed as HandshakeFailed
    from asyncendpoints.events import HandshakeFinished as HandshakeFinished
    from asyncendpoints.events import HandshakeStarted as HandshakeStarted
    from asyncendpoints.events import LookupFailed as LookupFailed
    from asyncendpoints.events import LookupFinished as LookupFinished
    from asyncendpoints.events import LookupStarted as LookupStarted
    from asyncendpoints.kinds.adopted import FDClient as FDClient
    from asyncendpoints.kinds.adopted import FDServer as FDServer
    from asyncendpoints.kinds.adopted import SystemdServer as SystemdServer
    from asyncendpoints.kinds.memory import MemoryClient as MemoryClient
    from asyncendpoints.kinds.memory import MemoryServer as MemoryServer
    from asyncendpoints.kinds.stdio import StdioClient as StdioClient
    from asyncendpoints.kinds.stdio import StdioServer as StdioServer
    from asyncendpoints.kinds.tcp import TCPClient as TCPClient
    from asyncendpoints.kinds.tcp import TCPServer as TCPServer
    from asyncendpoints.kinds.tls import TLSClient as TLSClient
    from asyncendpoints.kinds.tls import TLSServer as TLSServer
    from asyncendpoints.kinds.udp import UDPClient as UDPClient
    from asyncendpoints.kinds.udp import UDPServer as UDPServer
    from asyncendpoints.kinds.unix import PeerCredentials as PeerCredentials
    from asyncendpoints.kinds.unix import UNIXClient as UNIXClient
    from asyncendpoints.kinds.unix import UNIXServer as UNIXServer
    from asyncendpoints.kinds.unix import peer_credentials as peer_credentials
    from asyncendpoints.listening import Listening as Listening
    from asyncendpoints.listening import Sockets as Sockets
    from asyncendpoints.listening import bind as bind
    from asyncendpoints.listening import listen as listen
    from asyncendpoints.listening import start_server as start_server
    from asyncendpoints.registry import register as register
    from asyncendpoints.server import Limits as Limits
    from asyncendpoints.server import Server as Server
    from asyncendpoints.server import Stats as Stats
    from asyncendpoints.specs import ClientSpec as ClientSpec
    from asyncendpoints.specs import DatagramClientSpec as DatagramClientSpec
    from asyncendpoints.specs import DatagramServerSpec as DatagramServerSpec
    from asyncendpoints.specs import ServerSpec as ServerSpec
    from asyncendpoints.specs import parse_client as parse_client
    from asyncendpoints.specs import parse_server as parse_server
    from asyncendpoints.streams import HandlerServer as HandlerServer
    from asyncendpoints.streams import StreamServer as StreamServer

#: The module of each public name.
_MODULES = {
    name: module
    for module, names in {
        "addresses": "Address",
        "connecting": "connect open_connection",
        "datagrams": "DatagramServer connect_datagram listen_datagram",
        "description": "quote",
        "errors": "AddressInUseError AttemptFailure CertificateError ConnectError ConnectNotFoundError "
        "ConnectPermissionError ConnectRefusedError ConnectTimeoutError DescriptionError "
        "EndpointError HandshakeError KeyFileError ListenError ListenPermissionError "
        "ResolveError SpecError TLSError",
        "events": "AttemptAbandoned AttemptFailed AttemptStarted Connected Event HandshakeFailed "
        "HandshakeFinished HandshakeStarted LookupFailed LookupFinished LookupStarted",
        "kinds.adopted": "FDClient FDServer SystemdServer",
        "kinds.memory": "MemoryClient MemoryServer",
        "kinds.stdio": "StdioClient StdioServer",
        "kinds.tcp": "TCPClient TCPServer",
        "kinds.tls": "TLSClient TLSServer",
        "kinds.udp": "UDPClient UDPServer",
        "kinds.unix": "PeerCredentials UNIXClient UNIXServer peer_credentials",
        "listening": "Listening Sockets bind listen start_server",
        "registry": "register",
        "server": "Limits Server Stats",
        "specs": "ClientSpec DatagramClientSpec DatagramServerSpec ServerSpec parse_client parse_server",
        "streams": "HandlerServer StreamServer",
    }.items()
    for name in names.split()
}

__all__ = sorted(_MODULES)  # noqa: PLE0605 - one list of the names is enough


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # slow to import

        return version(__name__)
    module = _MODULES.get(name)
    if module is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
