"""Connect and listen where the user says: endpoints for asyncio.

The names come from their modules when they are first used, so that importing this package costs little.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncendpoints.addresses import Address as Address
    from asyncendpoints.backoff import Backoff as Backoff
    from asyncendpoints.connecting import connect as connect
    from asyncendpoints.connecting import connect_socket as connect_socket
    from asyncendpoints.connecting import open_connection as open_connection
    from asyncendpoints.connecting import resolve as resolve
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
    from asyncendpoints.errors import DNSError as DNSError
    from asyncendpoints.errors import DNSRefusedError as DNSRefusedError
    from asyncendpoints.errors import DNSTimeoutError as DNSTimeoutError
    from asyncendpoints.errors import DomainNameError as DomainNameError
    from asyncendpoints.errors import EndpointError as EndpointError
    from asyncendpoints.errors import HandshakeError as HandshakeError
    from asyncendpoints.errors import KeyFileError as KeyFileError
    from asyncendpoints.errors import ListenError as ListenError
    from asyncendpoints.errors import ListenPermissionError as ListenPermissionError
    from asyncendpoints.errors import NoDataError as NoDataError
    from asyncendpoints.errors import NotOfferedError as NotOfferedError
    from asyncendpoints.errors import NXDomainError as NXDomainError
    from asyncendpoints.errors import ProxyError as ProxyError
    from asyncendpoints.errors import ProxyHeaderError as ProxyHeaderError
    from asyncendpoints.errors import ProxyReplyError as ProxyReplyError
    from asyncendpoints.errors import RecordError as RecordError
    from asyncendpoints.errors import ResolveError as ResolveError
    from asyncendpoints.errors import RouteError as RouteError
    from asyncendpoints.errors import ServFailError as ServFailError
    from asyncendpoints.errors import ServiceNotOfferedError as ServiceNotOfferedError
    from asyncendpoints.errors import ServiceStoppedError as ServiceStoppedError
    from asyncendpoints.errors import SpecError as SpecError
    from asyncendpoints.errors import TLSError as TLSError
    from asyncendpoints.errors import WireError as WireError
    from asyncendpoints.errors import ZoneError as ZoneError
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
    from asyncendpoints.events import ProxyFailed as ProxyFailed
    from asyncendpoints.events import ProxyFinished as ProxyFinished
    from asyncendpoints.events import ProxyStarted as ProxyStarted
    from asyncendpoints.events import QueryFinished as QueryFinished
    from asyncendpoints.events import QueryStarted as QueryStarted
    from asyncendpoints.events import TargetChosen as TargetChosen
    from asyncendpoints.kinds.adopted import FDClient as FDClient
    from asyncendpoints.kinds.adopted import FDServer as FDServer
    from asyncendpoints.kinds.adopted import SystemdServer as SystemdServer
    from asyncendpoints.kinds.dns import DNSClient as DNSClient
    from asyncendpoints.kinds.dns import DNSServer as DNSServer
    from asyncendpoints.kinds.haproxy import ProxyProtocolClient as ProxyProtocolClient
    from asyncendpoints.kinds.haproxy import ProxyProtocolServer as ProxyProtocolServer
    from asyncendpoints.kinds.httpconnect import HTTPConnectClient as HTTPConnectClient
    from asyncendpoints.kinds.memory import MemoryClient as MemoryClient
    from asyncendpoints.kinds.memory import MemoryServer as MemoryServer
    from asyncendpoints.kinds.socks5 import SOCKS5Client as SOCKS5Client
    from asyncendpoints.kinds.srv import SRVClient as SRVClient
    from asyncendpoints.kinds.srv import TargetTemplate as TargetTemplate
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
    from asyncendpoints.limits import Limits as Limits
    from asyncendpoints.limits import Stats as Stats
    from asyncendpoints.listening import Listening as Listening
    from asyncendpoints.listening import Sockets as Sockets
    from asyncendpoints.listening import bind as bind
    from asyncendpoints.listening import listen as listen
    from asyncendpoints.listening import start_server as start_server
    from asyncendpoints.proxy_protocol import ProxyHeader as ProxyHeader
    from asyncendpoints.registry import register as register
    from asyncendpoints.resolving import use_resolver as use_resolver
    from asyncendpoints.running import serve_forever as serve_forever
    from asyncendpoints.server import Server as Server
    from asyncendpoints.service import ClientService as ClientService
    from asyncendpoints.specs import ClientSpec as ClientSpec
    from asyncendpoints.specs import DatagramClientSpec as DatagramClientSpec
    from asyncendpoints.specs import DatagramServerSpec as DatagramServerSpec
    from asyncendpoints.specs import ServerSpec as ServerSpec
    from asyncendpoints.specs import parse_client as parse_client
    from asyncendpoints.specs import parse_server as parse_server
    from asyncendpoints.srv import order_srv as order_srv
    from asyncendpoints.streams import HandlerServer as HandlerServer
    from asyncendpoints.streams import StreamServer as StreamServer
    from asyncendpoints.tunnels import Tunnel as Tunnel
    from asyncendpoints.tunnels import tunnel as tunnel

#: The module of each public name.
_MODULES = {
    name: module
    for module, names in {
        "addresses": "Address",
        "backoff": "Backoff",
        "connecting": "connect connect_socket open_connection resolve",
        "datagrams": "DatagramServer connect_datagram listen_datagram",
        "description": "quote",
        "errors": "AddressInUseError AttemptFailure CertificateError ConnectError "
        "ConnectNotFoundError ConnectPermissionError ConnectRefusedError "
        "ConnectTimeoutError DNSError DNSRefusedError DNSTimeoutError DescriptionError "
        "DomainNameError EndpointError HandshakeError KeyFileError ListenError "
        "ListenPermissionError NXDomainError NoDataError NotOfferedError ProxyError ProxyHeaderError "
        "ProxyReplyError RecordError ResolveError "
        "RouteError ServFailError ServiceNotOfferedError ServiceStoppedError SpecError TLSError WireError "
        "ZoneError",
        "events": "AttemptAbandoned AttemptFailed AttemptStarted Connected Event HandshakeFailed "
        "HandshakeFinished HandshakeStarted LookupFailed LookupFinished LookupStarted "
        "ProxyFailed ProxyFinished ProxyStarted QueryFinished QueryStarted TargetChosen",
        "kinds.adopted": "FDClient FDServer SystemdServer",
        "kinds.dns": "DNSClient DNSServer",
        "kinds.haproxy": "ProxyProtocolClient ProxyProtocolServer",
        "kinds.httpconnect": "HTTPConnectClient",
        "kinds.memory": "MemoryClient MemoryServer",
        "kinds.socks5": "SOCKS5Client",
        "kinds.srv": "SRVClient TargetTemplate",
        "kinds.stdio": "StdioClient StdioServer",
        "kinds.tcp": "TCPClient TCPServer",
        "kinds.tls": "TLSClient TLSServer",
        "kinds.udp": "UDPClient UDPServer",
        "kinds.unix": "PeerCredentials UNIXClient UNIXServer peer_credentials",
        "limits": "Limits Stats",
        "listening": "Listening Sockets bind listen start_server",
        "proxy_protocol": "ProxyHeader",
        "registry": "register",
        "resolving": "use_resolver",
        "running": "serve_forever",
        "server": "Server",
        "service": "ClientService",
        "specs": "ClientSpec DatagramClientSpec DatagramServerSpec ServerSpec parse_client parse_server",
        "srv": "order_srv",
        "streams": "HandlerServer StreamServer",
        "tunnels": "Tunnel tunnel",
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
