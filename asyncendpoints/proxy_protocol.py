"""The PROXY protocol, versions 1 and 2: headers to bytes and back.

Nothing here touches a socket. A reader never asks for a byte that is not the header's: what follows belongs
to somebody else, such as TLS.

Source: The PROXY protocol, versions 1 & 2 (HAProxy, ``proxy-protocol.txt``), section 2.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final, Literal, TypeAlias

from asyncendpoints.addresses import is_ipv4
from asyncendpoints.errors import ProxyHeaderError
from asyncendpoints.masking import shorten
from asyncendpoints.proxy_tlvs import (
    ALPN,
    AUTHORITY,
    CRC32C,
    NETNS,
    SSL,
    TLV,
    UNIQUE_ID,
    ProxySSL,
    check_tlvs,
    crc32c,
    decode_ssl,
    decode_tlvs,
    encode_tlv,
    find_tlv,
    text_of,
)

__all__ = [
    "MOST_BYTES",
    "HeaderReader",
    "ProxyHeader",
    "decode_header",
    "encode_header",
]

#: Host and port; the path of a unix socket; or, as bytes that begin with NUL, its abstract name.
ProxyAddress: TypeAlias = "tuple[str, int] | str | bytes"

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
#: How long a header of version 2 may be, unless a reader is told otherwise, in bytes: those in use have some
#: hundred, and with the certificate of a client some thousand.
MOST_BYTES: Final = 8192
#: What the length of a header can say, and with that the longest block after its first 16 bytes.
_LONGEST_BLOCK: Final = 65535
#: The longest line of version 1, in bytes, with its end.
_LONGEST_LINE: Final = 107
_LONGEST_PATH: Final = 108


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyHeader:
    """What a proxy tells of the connection that it passes on.

    Addresses are brought into their usual form; those of the socket module are taken too, with four parts for
    IPv6.

    Raises:
        ProxyHeaderError: No header can say that.
    """

    #: 1 or 2.
    version: int = 2
    #: ``"PROXY"``, or ``"LOCAL"`` for a connection of the proxy's own, such as a health check.
    command: Literal["PROXY", "LOCAL"] = "PROXY"
    #: Who connected: host and port, or the path of a unix socket; None if that is not told.
    source: tuple[str, int] | str | bytes | None = None
    #: Where to, of the same family.
    destination: tuple[str, int] | str | bytes | None = None
    #: Whether the client sends datagrams.
    datagram: bool = False
    #: Further fields, without the checksum.
    tlvs: tuple[TLV, ...] = ()
    #: Whether the header has a checksum, which was right, or is to get one.
    checksum: bool = False

    def __post_init__(self) -> None:
        for name in ("source", "destination"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _usual(name, getattr(self, name)))
        problem = _contradiction(self)
        if problem:
            raise ProxyHeaderError(problem)
        check_tlvs(self.tlvs)
        if self.length > _LONGEST_BLOCK:
            problem = f"it has {self.length} bytes after its first 16, at most {_LONGEST_BLOCK} do"
            raise ProxyHeaderError(problem)

    @property
    def length(self) -> int:
        """How many bytes come after the first 16 in version 2."""
        size = _SIZES[_FAMILIES[self.family]] + sum(3 + len(each.value) for each in self.tlvs)
        return size + 7 * self.checksum

    @property
    def family(self) -> str:
        """``"ipv4"``, ``"ipv6"``, ``"unix"``, or ``"unspec"`` where no address is told."""
        return _family(self.source)

    @property
    def transport(self) -> str:
        """``"stream"``, ``"datagram"``, or ``"unspec"`` where no address is told."""
        if self.source is None:
            return "unspec"
        return "datagram" if self.datagram else "stream"

    @property
    def alpn(self) -> bytes | None:
        """The protocol that the client and the proxy agreed on, such as ``b"h2"``."""
        return find_tlv(self.tlvs, ALPN)

    @property
    def authority(self) -> str | None:
        """The host name that the client asked for; what is no UTF-8 in it is replaced."""
        return text_of(find_tlv(self.tlvs, AUTHORITY))

    @property
    def unique_id(self) -> bytes | None:
        """What the proxy calls this connection, up to 128 bytes."""
        return find_tlv(self.tlvs, UNIQUE_ID)

    @property
    def netns(self) -> str | None:
        """The name of the network namespace of the client."""
        return text_of(find_tlv(self.tlvs, NETNS))

    @property
    def ssl(self) -> ProxySSL | None:
        """What is told of the TLS connection of the client."""
        value = find_tlv(self.tlvs, SSL)
        return None if value is None else decode_ssl(value)


# Values


def _usual(name: str, value: Any) -> ProxyAddress:
    """Bring an address into the form that a decoded one has."""
    if isinstance(value, tuple) and len(value) in (2, 4):
        return _usual_host(name, value[0]), _usual_port(name, value[1])
    if isinstance(value, str | bytes):
        return _decode_path(_encode_path(name, value))
    raise ProxyHeaderError(
        f"{name} is {shorten(value)}, expected a host and a port, or the path of a unix socket"
    )


def _usual_host(name: str, host: Any) -> str:
    text = host.partition("%")[0] if isinstance(host, str) else ""
    try:
        return _host(ip_address(text).packed)
    except ValueError:
        raise ProxyHeaderError(f"{name} is {shorten(host)}, expected an IP address") from None


def _usual_port(name: str, port: Any) -> int:
    if type(port) is not int or not 0 <= port <= 65535:
        raise ProxyHeaderError(
            f"the port of {name} is {shorten(port)}, expected a number from 0 to 65535"
        )
    return port


def _host(packed: bytes) -> str:
    """Write an address as the socket module does, on every version of Python."""
    if len(packed) == 4:
        return str(IPv4Address(packed))
    mapped = IPv6Address(packed).ipv4_mapped
    return str(IPv6Address(packed)) if mapped is None else f"::ffff:{mapped}"


def _family(address: ProxyAddress | None) -> str:
    if address is None:
        return "unspec"
    if isinstance(address, tuple):
        return "ipv6" if ":" in address[0] else "ipv4"
    return "unix"


def _contradiction(header: ProxyHeader) -> str:
    """Say what in a header does not go together, or nothing."""
    more = bool(header.tlvs or header.checksum or header.datagram)
    if header.version not in (1, 2):
        return f"its version is {shorten(header.version)}, expected 1 or 2"
    if header.command not in ("PROXY", "LOCAL"):
        return f"its command is {shorten(header.command)}, expected 'PROXY' or 'LOCAL'"
    if header.family != _family(header.destination):
        return f"its source is {header.family}, its destination {_family(header.destination)}"
    if header.command == "LOCAL" and header.source is not None:
        return "a connection of the proxy's own has no other addresses"
    if header.source is None and more:
        return "without addresses there is nothing after them"
    if header.version == 1 and (header.command == "LOCAL" or header.family == "unix" or more):
        return "version 1 has the addresses of a TCP connection, or none, and nothing else"
    return ""


# Out


def encode_header(header: ProxyHeader) -> bytes:
    """Write a header, as it is sent before everything else."""
    if header.version == 1:
        return _encode_line(header)
    if header.source is None:
        return SIGNATURE + bytes([0x20 | (header.command == "PROXY"), 0, 0, 0])
    block = _encode_addresses(header) + b"".join(map(encode_tlv, header.tlvs))
    if header.checksum:
        block += encode_tlv(TLV(CRC32C, bytes(4)))
    family = _FAMILIES[header.family] << 4 | (2 if header.datagram else 1)
    whole = SIGNATURE + struct.pack("!BBH", 0x21, family, len(block)) + block
    return whole[:-4] + struct.pack("!I", crc32c(whole)) if header.checksum else whole


#: The number of each family in version 2.
_FAMILIES: Final = {"unspec": 0, "ipv4": 1, "ipv6": 2, "unix": 3}
#: The bytes that a pair of addresses has, by that number.
_SIZES: Final = {0: 0, 1: 12, 2: 36, 3: 216}


def _encode_line(header: ProxyHeader) -> bytes:
    source, destination = header.source, header.destination
    if not isinstance(source, tuple) or not isinstance(destination, tuple):
        return b"PROXY UNKNOWN\r\n"
    family = "TCP6" if header.family == "ipv6" else "TCP4"
    line = f"PROXY {family} {source[0]} {destination[0]} {source[1]} {destination[1]}\r\n"
    return line.encode("ascii")


def _encode_addresses(header: ProxyHeader) -> bytes:
    source, destination = header.source, header.destination
    if isinstance(source, tuple) and isinstance(destination, tuple):
        hosts = ip_address(source[0]).packed + ip_address(destination[0]).packed
        return hosts + struct.pack("!HH", source[1], destination[1])
    paths = (("source", source), ("destination", destination))
    return b"".join(_encode_path(*each).ljust(_LONGEST_PATH, b"\0") for each in paths)


def _encode_path(name: str, path: Any) -> bytes:
    try:
        encoded: bytes = path.encode("utf-8", "surrogateescape") if isinstance(path, str) else path
        if len(encoded) <= _LONGEST_PATH and (encoded[:1] == b"\0" or b"\0" not in encoded):
            return encoded
    except UnicodeEncodeError:
        pass
    problem = f"{name} is {shorten(path)}, expected a path of up to 108 bytes without NUL"
    raise ProxyHeaderError(problem)


# In


class HeaderReader:
    """Takes a header piece by piece, and says how much of it is still to come.

    Args:
        limit: The longest header of version 2 that is taken, in bytes, 16 to 65,551.
    """

    def __init__(self, limit: int = MOST_BYTES) -> None:
        self._limit = limit
        self._data = b""
        #: How many more bytes the header has for sure; 0 once it is complete. No more may be fed at a time.
        self.wanted = len(SIGNATURE)

    def feed(self, data: bytes) -> ProxyHeader | None:
        """Take the next bytes, 1 to `wanted` of them.

        Returns:
            The header, when these were its last bytes; else None.

        Raises:
            ProxyHeaderError: This is no header, or becomes none whatever follows.
        """
        assert 0 < len(data) <= self.wanted
        start = len(self._data)
        self._data += data
        if start < len(SIGNATURE):
            _check_start(self._data[: len(SIGNATURE)])
        self.wanted -= len(data)
        # A line that ends too early is not waited for.
        if not self.wanted or (b"\n" in data and not self._data.startswith(SIGNATURE[:2])):
            self.wanted = self._more()
        return None if self.wanted else _decode(self._data)

    def _more(self) -> int:
        """Tell how many bytes come after those that were asked for."""
        data = self._data
        if not data.startswith(SIGNATURE):
            return _more_of_line(data)
        if len(data) == len(SIGNATURE):
            return 4
        if len(data) > 16:
            return 0
        version, _, length = struct.unpack("!BBH", data[12:])
        if version >> 4 != 2:
            raise ProxyHeaderError(f"its version is {version >> 4}, expected 1 or 2")
        if 16 + length > self._limit:
            raise ProxyHeaderError(f"it has {16 + length} bytes, more than {self._limit}")
        return int(length)


def _check_start(data: bytes) -> None:
    """Refuse what is no beginning of a header, at its first wrong byte."""
    if not SIGNATURE.startswith(data) and not b"PROXY ".startswith(data[:6]):
        raise ProxyHeaderError(f"there is none, the connection begins with {shorten(data)}")


def _more_of_line(line: bytes) -> int:
    """Tell how many bytes a line surely has after these."""
    if line.endswith(b"\r\n"):
        return 0
    more = 1 if line.endswith(b"\r") else 2
    if line.startswith(b"PROXY TCP"):
        # It has five spaces, each with something after it.
        more += 2 * max(5 - line.count(b" "), 0)
    if len(line) + more > _LONGEST_LINE:
        raise ProxyHeaderError("its line does not end within 107 bytes")
    # Whatever is between "UNKNOWN" and the end of the line is to be passed over.
    if b"\n" in line and not line.startswith(b"PROXY UNKNOWN "):
        raise ProxyHeaderError("its line ends too early, or without CR before LF")
    return more


def decode_header(data: bytes, *, limit: int = MOST_BYTES) -> tuple[ProxyHeader, int]:
    """Read the header that some bytes begin with.

    Args:
        data: The header, and whatever follows it.
        limit: The longest header of version 2 that is taken, in bytes, 16 to 65,551.

    Returns:
        The header, and how many bytes it has.

    Raises:
        ProxyHeaderError: There is none, or it is wrong or not complete.
    """
    reader = HeaderReader(limit)
    header = None
    done = 0
    while header is None:
        piece = data[done : done + reader.wanted]
        if not piece:
            raise ProxyHeaderError(f"it ends after {done} bytes")
        header = reader.feed(piece)
        done += len(piece)
    return header, done


def _decode(data: bytes) -> ProxyHeader:
    """Read a complete header."""
    return _decode_block(data) if data.startswith(SIGNATURE) else _decode_line(data)


def _decode_line(line: bytes) -> ProxyHeader:
    """Read a header of version 1.

    Source: section 2.1.
    """
    words = line[:-2].split(b" ")
    if words[1] == b"UNKNOWN":
        return ProxyHeader(version=1)
    if words[1] not in (b"TCP4", b"TCP6") or len(words) != 6:
        raise ProxyHeaderError(f"its line is {shorten(line)}, expected a family and four values")
    parse = _parse_ipv4 if words[1] == b"TCP4" else _parse_ipv6
    source, destination = parse(words[2]), parse(words[3])
    ports = _parse_port(words[4]), _parse_port(words[5])
    return ProxyHeader(version=1, source=(source, ports[0]), destination=(destination, ports[1]))


def _parse_ipv4(word: bytes) -> str:
    text = word.decode("latin-1")
    if not is_ipv4(text):
        raise ProxyHeaderError(f"{shorten(text)} is no IPv4 address")
    return text


def _parse_ipv6(word: bytes) -> str:
    text = word.decode("latin-1")
    try:
        if "%" not in text:
            return _host(IPv6Address(text).packed)
    except ValueError:
        pass
    raise ProxyHeaderError(f"{shorten(text)} is no IPv6 address")


def _parse_port(word: bytes) -> int:
    is_number = word.isdigit() and len(word) <= 5 and (word[:1] != b"0" or word == b"0")
    if not is_number or int(word) > 65535:
        shown = shorten(word.decode("latin-1"))
        raise ProxyHeaderError(f"its port is {shown}, expected a number from 0 to 65535")
    return int(word)


def _decode_block(data: bytes) -> ProxyHeader:
    """Read a header of version 2.

    What follows an unknown family is passed over, and everything after LOCAL, the family included.

    Source: section 2.2.
    """
    command, family, transport = data[12] & 15, data[13] >> 4, data[13] & 15
    if command > 1:
        raise ProxyHeaderError(f"its command is {command}, expected 0 or 1")
    if command == 0:
        return ProxyHeader(command="LOCAL")
    if family > 3 or transport > 2:
        raise ProxyHeaderError(f"its family and transport are 0x{data[13]:02X}, which is none")
    if not family or not transport:
        return ProxyHeader()
    start = 16 + _SIZES[family]
    if len(data) < start:
        raise ProxyHeaderError(f"it has {len(data)} bytes, its addresses end at byte {start}")
    source, destination = _decode_addresses(data[16:start])
    tlvs = list(decode_tlvs(data, start))
    return ProxyHeader(
        source=source,
        destination=destination,
        datagram=transport == 2,
        tlvs=tuple(each for each, _ in tlvs if each.type != CRC32C),
        checksum=_verify(data, [place for each, place in tlvs if each.type == CRC32C]),
    )


def _decode_addresses(block: bytes) -> tuple[ProxyAddress, ProxyAddress]:
    if len(block) == 216:
        return _decode_path(block[:108]), _decode_path(block[108:])
    half = len(block) // 2 - 2
    ports = struct.unpack("!HH", block[-4:])
    return (_host(block[:half]), ports[0]), (_host(block[half : 2 * half]), ports[1])


def _decode_path(block: bytes) -> str | bytes:
    """Read the path of a unix socket as the socket module gives it, abstract names as bytes."""
    name = block.rstrip(b"\0")
    if name.startswith(b"\0"):
        return name
    return name.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _verify(data: bytes, places: list[int]) -> bool:
    """Tell whether a header has a checksum, whose value is at the place; a wrong one is an error."""
    if not places:
        return False
    place = places[0]
    end = place + 4
    if len(places) > 1 or data[place - 2 : place] != b"\0\4":
        raise ProxyHeaderError("its checksum is not one field of 4 bytes")
    given = int.from_bytes(data[place:end])
    if crc32c(data[:place] + bytes(4) + data[end:]) != given:
        raise ProxyHeaderError("its checksum is wrong")
    return True
