"""The fields of a PROXY header, and its checksum."""

from __future__ import annotations

import struct

import pytest

from asyncendpoints.errors import ProxyHeaderError
from asyncendpoints.proxy_protocol import ProxyHeader
from asyncendpoints.proxy_tlvs import (
    ALPN,
    AUTHORITY,
    NETNS,
    SSL,
    TLV,
    UNIQUE_ID,
    ProxySSL,
    crc32c,
    decode_ssl,
    encode_ssl,
)
from tests.test_proxy_protocol import IPV4, tlv


@pytest.mark.parametrize(
    ("data", "checksum"),
    # The first is the check value of the catalogue of CRCs, the others those of RFC 3720, B.4.
    [
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (b"", 0),
    ],
)
def test_crc32c(data: bytes, checksum: int) -> None:
    """The checksum has the values that are known of it."""
    assert crc32c(data) == checksum


def test_the_fields_have_names() -> None:
    """What a proxy tells is read by name; the fields themselves are there too."""
    header = ProxyHeader(
        source=IPV4.source,
        destination=IPV4.destination,
        tlvs=(
            TLV(ALPN, b"h2"),
            TLV(AUTHORITY, "faß.example".encode()),
            TLV(UNIQUE_ID, b"\0\1"),
            TLV(NETNS, b"blue"),
            TLV(0xEA, b"\1vpce-1"),
        ),
    )
    assert header.alpn == b"h2"
    assert header.authority == "faß.example"
    assert header.unique_id == b"\0\1"
    assert header.netns == "blue"
    assert [each.name for each in header.tlvs] == [
        "ALPN",
        "AUTHORITY",
        "UNIQUE_ID",
        "NETNS",
        "0xEA",
    ]


def test_fields_that_are_not_there() -> None:
    """What a proxy does not tell is None."""
    assert (IPV4.alpn, IPV4.authority, IPV4.unique_id, IPV4.netns, IPV4.ssl) == (None,) * 5


def test_an_authority_that_is_no_text() -> None:
    """A client can ask for any name: what is no UTF-8 in it does not fail the header."""
    header = ProxyHeader(
        source=IPV4.source, destination=IPV4.destination, tlvs=(TLV(AUTHORITY, b"a\xffb"),)
    )
    assert header.authority == "a\ufffdb"


def test_tls_of_the_client() -> None:
    """What a proxy tells of TLS is read by name."""
    value = struct.pack("!BI", 3, 0)
    value += tlv(0x21, b"TLSv1.3") + tlv(0x22, b"alice") + tlv(0x23, b"TLS_AES_256_GCM_SHA384")
    value += tlv(0x24, b"SHA256") + tlv(0x25, b"RSA2048")
    header = ProxyHeader(source=IPV4.source, destination=IPV4.destination, tlvs=(TLV(SSL, value),))
    ssl = header.ssl
    assert ssl is not None
    assert (ssl.is_tls, ssl.is_verified, ssl.version) == (True, True, "TLSv1.3")
    assert (ssl.common_name, ssl.cipher) == ("alice", "TLS_AES_256_GCM_SHA384")
    assert (ssl.signature_algorithm, ssl.key_algorithm) == ("SHA256", "RSA2048")


@pytest.mark.parametrize(
    ("client", "verify", "verified"),
    [
        (1, 0, False),
        (3, 0, True),
        (5, 0, True),
        (7, 0, True),
        (3, 1, False),
        (3, 0xFFFFFFFF, False),
    ],
)
def test_a_certificate_is_verified_if_there_is_one(
    client: int, verify: int, verified: bool
) -> None:
    """Without a certificate there is nothing verified, whatever the other number says."""
    assert ProxySSL(client, verify).is_verified is verified


def test_no_tls() -> None:
    """A client that came without TLS is told as such, and nothing more."""
    ssl = decode_ssl(bytes(5))
    assert (ssl.is_tls, ssl.version, ssl.common_name) == (False, None, None)


@pytest.mark.parametrize(
    "ssl",
    [
        ProxySSL(256, 0),
        ProxySSL(1, 2**32),
        ProxySSL(1, 0, (TLV(0x21, bytes(65536)),)),
        ProxySSL(1, 0, (TLV(256, b""),)),
    ],
)
def test_tls_that_cannot_be_written(ssl: ProxySSL) -> None:
    """A number that is out of its range is an error of the library."""
    with pytest.raises(ProxyHeaderError, match="its field SSL cannot be written"):
        encode_ssl(ssl)
