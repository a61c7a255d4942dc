"""The fields that follow the addresses in a header of the PROXY protocol, version 2, and its checksum.

Pure: bytes in, values out.

Source: The PROXY protocol, versions 1 & 2 (HAProxy, ``proxy-protocol.txt``), section 2.2.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from asyncendpoints.errors import ProxyHeaderError
from asyncendpoints.masking import shorten

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "ALPN",
    "AUTHORITY",
    "CRC32C",
    "NETNS",
    "SSL",
    "TLV",
    "UNIQUE_ID",
    "ProxySSL",
    "check_tlvs",
    "crc32c",
    "decode_ssl",
    "decode_tlvs",
    "encode_ssl",
    "encode_tlv",
    "find_tlv",
    "text_of",
]

_LONGEST_ID: Final = 128
ALPN: Final = 0x01
AUTHORITY: Final = 0x02
CRC32C: Final = 0x03
UNIQUE_ID: Final = 0x05
SSL: Final = 0x20
NETNS: Final = 0x30
_SSL_VERSION, _SSL_CN, _SSL_CIPHER, _SSL_SIG_ALG, _SSL_KEY_ALG = range(0x21, 0x26)

#: The registered types, as the specification calls them without ``PP2_TYPE_``.
_NAMES: Final = {
    ALPN: "ALPN",
    AUTHORITY: "AUTHORITY",
    CRC32C: "CRC32C",
    0x04: "NOOP",
    UNIQUE_ID: "UNIQUE_ID",
    SSL: "SSL",
    _SSL_VERSION: "SSL_VERSION",
    _SSL_CN: "SSL_CN",
    _SSL_CIPHER: "SSL_CIPHER",
    _SSL_SIG_ALG: "SSL_SIG_ALG",
    _SSL_KEY_ALG: "SSL_KEY_ALG",
    NETNS: "NETNS",
}


@dataclass(frozen=True, slots=True)
class TLV:
    """One of the fields that follow the addresses of version 2: its type, 0 to 255, and its value."""

    #: 0 to 255; those of the specification have a `name`.
    type: int
    #: Up to 65,535 bytes, as far as the header has room.
    value: bytes

    @property
    def name(self) -> str:
        """The name of its type, such as ``"ALPN"``, or the number as in ``"0xEA"``."""
        return _NAMES.get(self.type, f"0x{self.type:02X}")


@dataclass(frozen=True, slots=True)
class ProxySSL:
    """What a proxy tells of the TLS connection of its client."""

    #: Bits: 1 for TLS, 2 for a certificate on this connection, 4 for one in this session.
    client: int
    #: 0 if the certificate was verified.
    verify: int
    #: Further fields.
    tlvs: tuple[TLV, ...] = ()

    @property
    def is_tls(self) -> bool:
        """Whether the client came over TLS."""
        return bool(self.client & 1)

    @property
    def is_verified(self) -> bool:
        """Whether the client has shown a certificate, and the proxy has verified it."""
        return bool(self.client & 6) and self.verify == 0

    @property
    def version(self) -> str | None:
        """The version of TLS, such as ``"TLSv1.3"``."""
        return text_of(find_tlv(self.tlvs, _SSL_VERSION))

    @property
    def common_name(self) -> str | None:
        """The common name in the certificate of the client; look at `is_verified` first."""
        return text_of(find_tlv(self.tlvs, _SSL_CN))

    @property
    def cipher(self) -> str | None:
        """The cipher, as OpenSSL calls it."""
        return text_of(find_tlv(self.tlvs, _SSL_CIPHER))

    @property
    def signature_algorithm(self) -> str | None:
        """What the certificate of the proxy is signed with, such as ``"SHA256"``."""
        return text_of(find_tlv(self.tlvs, _SSL_SIG_ALG))

    @property
    def key_algorithm(self) -> str | None:
        """The key of the certificate of the proxy, such as ``"RSA2048"``."""
        return text_of(find_tlv(self.tlvs, _SSL_KEY_ALG))


def find_tlv(tlvs: tuple[TLV, ...], type_: int) -> bytes | None:
    """Give the value of the first field of a type, or None."""
    return next((each.value for each in tlvs if each.type == type_), None)


def text_of(value: bytes | None) -> str | None:
    """Read a value as text; what is no UTF-8 in it is replaced."""
    return None if value is None else value.decode("utf-8", "replace")


def check_tlvs(tlvs: tuple[TLV, ...]) -> None:
    """See that a header can have these fields.

    Raises:
        ProxyHeaderError: One is out of range, or wrong in itself.
    """
    for each in tlvs:
        if type(each.type) is not int or not 0 <= each.type <= 255:
            raise ProxyHeaderError(f"a field has the type {shorten(each.type)}, expected 0 to 255")
        if each.type == CRC32C:
            raise ProxyHeaderError("the checksum is no field of its own: it is computed")
        if each.type == UNIQUE_ID and len(each.value) > _LONGEST_ID:
            raise ProxyHeaderError(f"its unique id has {len(each.value)} bytes, at most 128 do")
        if each.type == SSL:
            decode_ssl(each.value)


def encode_ssl(ssl: ProxySSL) -> TLV:
    """Write what there is to tell of a TLS connection as a field of a header.

    Raises:
        ProxyHeaderError: A number is out of its range, or a field too long.
    """
    try:
        head = struct.pack("!BI", ssl.client, ssl.verify)
        return TLV(SSL, head + b"".join(map(encode_tlv, ssl.tlvs)))
    except struct.error as error:
        raise ProxyHeaderError(f"its field SSL cannot be written: {error}") from None


def encode_tlv(tlv: TLV) -> bytes:
    """Write one field.

    Raises:
        struct.error: Its type is out of range, or its value too long.
    """
    return struct.pack("!BH", tlv.type, len(tlv.value)) + tlv.value


def decode_ssl(value: bytes) -> ProxySSL:
    """Read the value of the field ``SSL``.

    Raises:
        ProxyHeaderError: It is too short, or a field in it runs past its end.
    """
    if len(value) < 5:
        raise ProxyHeaderError(f"its field SSL has {len(value)} bytes, expected 5 or more")
    client, verify = struct.unpack_from("!BI", value)
    return ProxySSL(client, verify, tuple(each for each, _ in decode_tlvs(value, 5)))


def decode_tlvs(data: bytes, start: int) -> Iterator[tuple[TLV, int]]:
    """Read the fields from ``start`` to the end, each with the place of its value.

    Raises:
        ProxyHeaderError: One runs past the end.
    """
    while start < len(data):
        value = start + 3
        end = value + int.from_bytes(data[start + 1 : value]) if value <= len(data) else value
        if end > len(data):
            raise ProxyHeaderError(f"the field at byte {start} runs past the end")
        yield TLV(data[start], data[value:end]), value
        start = end


def _crc_of(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


_TABLE: Final = tuple(map(_crc_of, range(256)))


def crc32c(data: bytes) -> int:
    """Compute the checksum of some bytes: CRC-32 with the polynomial of Castagnoli.

    Source: RFC 9260, appendix A.
    """
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
