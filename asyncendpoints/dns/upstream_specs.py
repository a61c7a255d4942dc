"""Which server a description or an address means: the specs of those that are asked.

Nothing here opens or asks anything.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from asyncendpoints.description import split
from asyncendpoints.errors import DescriptionError, nearest
from asyncendpoints.kinds.dns import DNSClient, without_kind
from asyncendpoints.kinds.tls import TLSClient
from asyncendpoints.kinds.udp import UDPClient
from asyncendpoints.masking import shorten
from asyncendpoints.names import is_literal
from asyncendpoints.registry import known
from asyncendpoints.specs import ClientSpec, parse_client

__all__ = ["parse_upstream"]

#: The kinds whose port need not be written.
_DEFAULT_PORTS = {"udp": 53, "tcp": 53, "tcp6": 53, "tls": 853, "ssl": 853}
#: The kinds that are meant for upstreams, for messages; everything else that has a stream will do too.
_KINDS = ("dns", "udp", "tcp", "tls", "unix", "socks5", "httpconnect", "memory")


def parse_upstream(upstream: str | ClientSpec) -> ClientSpec:
    """Give the spec of a server that is to be asked.

    Args:
        upstream: An address alone; a description such as ``dns:9.9.9.9``, ``udp:9.9.9.9``, ``tcp:9.9.9.9`` or
            ``tls:dns.quad9.net``, in which 53 and 853 are the ports that go without saying; or a spec.

    Returns:
        A `DNSClient` for a server that is asked over UDP, and over TCP where that is too short.

    Raises:
        DescriptionError: The text is no description of a client.
        TypeError: It is neither text nor the spec of a client.
        ValueError: It fixes the port that questions are sent from, which makes replies easy to forge; or it
            sends them from a host that is not given by its address.
    """
    spec = _parsed(upstream) if isinstance(upstream, str) else upstream
    if not isinstance(spec, ClientSpec):
        msg = f"an upstream is a description or the spec of a client, not {upstream!r}"
        raise TypeError(msg)
    if isinstance(spec, UDPClient):
        if spec.bind_port:
            msg = f"{spec.display()}: an upstream is asked from a random port; leave bind_port out"
            raise ValueError(msg)
        spec = DNSClient(spec.host, spec.port, bind_address=spec.bind_address, family=spec.family)
    if isinstance(spec, DNSClient) and spec.bind_address and not is_literal(spec.bind_address):
        msg = f"{spec.display()}: bind_address is {spec.bind_address!r}, expected an address"
        raise ValueError(msg)
    if isinstance(spec, TLSClient) and spec.alpn is None:
        return replace(spec, alpn=("dot",))
    return spec


def _parsed(text: str) -> ClientSpec:
    """Read a description, or an address alone."""
    try:
        ip_address(text)
    except ValueError:
        pass
    else:
        return DNSClient(text)
    try:
        return parse_client(text)
    except DescriptionError as error:
        spec = _with_port(text)
        if spec is None:
            raise _no_upstream(error) from None
        return spec


def _no_upstream(error: DescriptionError) -> DescriptionError:
    """Say what may have been meant by a text, or what there is to choose from, if it begins with no kind."""
    meant = without_kind(error, parse_client)
    kind = error.text.partition(":")[0]
    if meant is not error or kind.lower() in known("client"):
        return meant
    right = nearest(kind, _KINDS)
    problem = f"{shorten(kind)} is no address and no kind of upstream{right}"
    if not right:
        kinds = ", ".join(_KINDS)
        problem += f", expected 9.9.9.9 or dns:9.9.9.9; the kinds are {kinds}"
    return DescriptionError(error.text, 0, problem)


def _with_port(text: str) -> ClientSpec | None:
    """Read a description with the port that goes without saying, if it has none and that makes it right."""
    try:
        kind, _ = split(text)
        return parse_client(f"{text}:port={_DEFAULT_PORTS[kind.lower()]}")
    except (DescriptionError, KeyError):
        return None
