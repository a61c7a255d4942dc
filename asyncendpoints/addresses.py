"""Socket addresses as values, and host names in the letters that DNS knows. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any

__all__ = ["Address", "host_and_port", "is_ipv4", "to_ascii", "unmapped"]

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")


@dataclass(frozen=True, slots=True)
class Address:
    """One address of a socket, as the socket module knows it."""

    #: An address family, such as ``socket.AF_INET6``.
    family: int
    #: ``(host, port)``, ``(host, port, flow info, scope id)``, or the path of a unix socket.
    sockaddr: Any

    @classmethod
    def of(cls, sock: Any) -> Address:
        """Give the address that a socket is bound to."""
        return cls(sock.family, sock.getsockname())

    @property
    def host(self) -> str:
        """The IP address, with its zone id if it has one; the path of a unix socket."""
        if not isinstance(self.sockaddr, tuple):
            return self._path()
        host = str(self.sockaddr[0])
        scope = self.sockaddr[3] if len(self.sockaddr) == 4 else 0
        return f"{host}%{scope}" if scope and "%" not in host else host

    @property
    def port(self) -> int | None:
        """The port, 0 to 65535; None for a unix socket."""
        return self.sockaddr[1] if isinstance(self.sockaddr, tuple) else None

    def is_wildcard(self) -> bool:
        """Tell whether this stands for every address of the machine."""
        return self.port is not None and self.host in ("0.0.0.0", "::")  # noqa: S104 - compared only

    def _path(self) -> str:
        path = self.sockaddr
        if isinstance(path, bytes):
            path = path.decode("utf-8", "surrogateescape")
        return f"@{path[1:]}" if path.startswith("\0") else str(path)

    def __str__(self) -> str:
        if self.port is None:
            return self.host or "unnamed socket"
        return host_and_port(self.host, self.port)


def host_and_port(host: str, port: int) -> str:
    """Write a host and a port as one text, an IPv6 address in brackets.

    Source: RFC 3986, section 3.2.
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_ipv4(host: str) -> bool:
    """Tell whether a text is an IPv4 address: four decimal parts without leading zeros."""
    return _IPV4.fullmatch(host) is not None


def unmapped(host: str) -> str:
    """Give the IPv4 address in an IPv4-mapped IPv6 address; any other text as it is."""
    if not host.startswith("::ffff:"):
        return host
    address = ip_address(host)
    assert isinstance(address, IPv6Address)
    return str(address.ipv4_mapped or address)


def to_ascii(host: str) -> str:
    """Write a host name in A-labels.

    Raises:
        ValueError: A part of the name cannot be written so; the text says which and why.

    Source: RFC 5891, section 4; mapping by UTS 46, non-transitional, so that ``faß.de`` stays itself.
    """
    if host.isascii():
        return host
    import idna  # only names with other letters need it, and it is slow to import

    try:
        labels = idna.uts46_remap(host, std3_rules=False).split(".")
        # Each label alone, so that one with an underscore can stand beside one with other letters.
        return ".".join(
            label if label.isascii() else idna.alabel(label).decode("ascii") for label in labels
        )
    except UnicodeError as error:
        msg = f"no internationalized host name: {error}"
        raise ValueError(msg) from None
