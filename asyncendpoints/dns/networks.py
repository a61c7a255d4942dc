"""Networks of clients.

Pure: text in, yes or no out.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import TYPE_CHECKING

from asyncendpoints.addresses import unmapped
from asyncendpoints.masking import shorten

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PRIVATE", "Networks", "parse_host", "parse_network"]

#: How many addresses are remembered: those of the clients of a while.
_MOST_REMEMBERED = 4096


class Networks:
    """A set of networks.

    Args:
        networks: Such as ``"10.0.0.0/8"``, ``"2001:db8::/32"`` or an address alone.

    Raises:
        ValueError: One of them is no network; the text says which.
        TypeError: They are no list of texts.
    """

    def __init__(self, networks: Iterable[str]) -> None:
        if isinstance(networks, str):
            raise TypeError(f"networks are a list of texts, not the text {networks!r}")
        if not isinstance(networks, Iterable):
            raise TypeError(f"networks are a list such as ['10.0.0.0/8'], not {shorten(networks)}")
        self._networks = tuple(map(parse_network, networks))
        self.contain = lru_cache(_MOST_REMEMBERED)(self._look_up)

    def _look_up(self, host: str) -> bool:
        address = parse_host(host)
        return any(address in each for each in self._networks if each.version == address.version)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Networks) and self._networks == other._networks

    def __hash__(self) -> int:
        return hash(self._networks)

    def __iter__(self) -> Iterator[str]:
        return map(str, self._networks)

    def __repr__(self) -> str:
        return f"Networks({list(map(str, self._networks))})"


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """Read a network, or an address as a network of itself.

    Raises:
        TypeError: It is no text.
        ValueError: It is none; the text says what would be right.
    """
    if not isinstance(text, str):
        raise TypeError(f"a network is text such as '10.0.0.0/8', not {shorten(text)}")
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        network = None
    if network is None or "%" in text:  # no client is known by its interface
        problem = "is no network; 10.0.0.0/8, 2001:db8::/32 and 192.0.2.1 are some"
        raise ValueError(f"{text}: {problem}")
    address = text.partition("/")[0]
    if network.network_address != ip_address(address):
        problem = f"has bits behind its prefix; {network} is the network, {address} one address"
        raise ValueError(f"{text}: {problem}")
    return network


def parse_host(host: str) -> IPv4Address | IPv6Address:
    """Give the address of a client, one that is mapped into IPv6 as the IPv4 address that it is.

    Raises:
        ValueError: The text is no address.
    """
    return ip_address(unmapped(host.partition("%")[0]))


#: Loopback, private and link-local networks: whose hosts are this machine or its neighbours.
#: Source: RFC 1122, 1918, 3927, 4193, 4291 and 6598.
PRIVATE = Networks(
    (
        "127.0.0.0/8",
        "::1/128",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "100.64.0.0/10",
        "fc00::/7",
        "fe80::/10",
    )
)
