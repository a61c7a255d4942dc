"""Headers of the PROXY protocol: bytes to values and back."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints.errors import EndpointError, ProxyHeaderError
from asyncendpoints.proxy_protocol import HeaderReader, ProxyHeader, decode_header, encode_header
from asyncendpoints.proxy_tlvs import (
    ALPN,
    CRC32C,
    SSL,
    TLV,
    UNIQUE_ID,
    ProxySSL,
    crc32c,
    encode_ssl,
)

SIGNATURE = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"

IPV4 = ProxyHeader(source=("192.0.2.1", 56324), destination=("198.51.100.2", 443))
IPV6 = ProxyHeader(source=("2001:db8::1", 56324), destination=("2001:db8::2", 443))
UNIX = ProxyHeader(source="", destination="/run/app.sock")


def block(command: int, family: int, body: bytes = b"", length: int | None = None) -> bytes:
    """Write a header of version 2 by hand."""
    size = len(body) if length is None else length
    return SIGNATURE + struct.pack("!BBH", command, family, size) + body


def tlv(type_: int, value: bytes) -> bytes:
    """Write a field by hand."""
    return struct.pack("!BH", type_, len(value)) + value


#: The addresses of `IPV4`, as version 2 has them.
ADDRESSES = bytes([192, 0, 2, 1, 198, 51, 100, 2]) + struct.pack("!HH", 56324, 443)

RIGHT = [
    (
        b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
        ProxyHeader(version=1, source=("192.168.0.1", 56324), destination=("192.168.0.11", 443)),
    ),
    (
        b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
        ProxyHeader(
            version=1,
            source=("255.255.255.255", 65535),
            destination=("255.255.255.255", 65535),
        ),
    ),
    (
        b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n",
        ProxyHeader(version=1, source=("0.0.0.0", 0), destination=("0.0.0.0", 0)),
    ),
    (
        b"PROXY TCP6 2001:DB8::1 ::1 1 80\r\n",
        ProxyHeader(version=1, source=("2001:db8::1", 1), destination=("::1", 80)),
    ),
    (
        b"PROXY TCP6 " + b"ffff:" * 7 + b"ffff " + b"ffff:" * 7 + b"ffff 65535 65535\r\n",
        ProxyHeader(
            version=1,
            source=(":".join(["ffff"] * 8), 65535),
            destination=(":".join(["ffff"] * 8), 65535),
        ),
    ),
    (
        b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c633:6402 1 80\r\n",
        ProxyHeader(
            version=1,
            source=("::ffff:192.0.2.1", 1),
            destination=("::ffff:198.51.100.2", 80),
        ),
    ),
    (b"PROXY UNKNOWN\r\n", ProxyHeader(version=1)),
    (b"PROXY UNKNOWN whatever \r there \n is\r\n", ProxyHeader(version=1)),
    (b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n", ProxyHeader(version=1)),
    (block(0x20, 0x00), ProxyHeader(command="LOCAL")),
    # Of a connection of the proxy's own everything is passed over, the family too.
    (block(0x20, 0x11, ADDRESSES + tlv(4, b"x")), ProxyHeader(command="LOCAL")),
    (block(0x20, 0xFF, b"\xff" * 5), ProxyHeader(command="LOCAL")),
    (block(0x21, 0x11, ADDRESSES), IPV4),
    (
        block(0x21, 0x12, ADDRESSES),
        ProxyHeader(source=IPV4.source, destination=IPV4.destination, datagram=True),
    ),
    (
        block(
            0x21,
            0x21,
            bytes.fromhex("20010db8000000000000000000000001")
            + bytes.fromhex("20010db8000000000000000000000002")
            + struct.pack("!HH", 56324, 443),
        ),
        IPV6,
    ),
    (block(0x21, 0x31, bytes(108) + b"/run/app.sock".ljust(108, b"\0")), UNIX),
    (
        block(0x21, 0x32, b"/a\0junk".ljust(108, b"\0") + b"\0name".ljust(108, b"\0")),
        ProxyHeader(source="/a", destination=b"\0name", datagram=True),
    ),
    (
        block(0x21, 0x31, b"x" * 108 + b"/\xff".ljust(108, b"\0")),
        ProxyHeader(source="x" * 108, destination="/\udcff"),
    ),
    # An unknown family or transport says nothing about what follows.
    (block(0x21, 0x00, b"abc"), ProxyHeader()),
    (block(0x21, 0x01), ProxyHeader()),
    (block(0x21, 0x10, ADDRESSES), ProxyHeader()),
    (block(0x21, 0x30), ProxyHeader()),
    (
        block(0x21, 0x11, ADDRESSES + tlv(0xEA, b"") + tlv(0x04, b"\0\0")),
        ProxyHeader(
            source=IPV4.source,
            destination=IPV4.destination,
            tlvs=(TLV(0xEA, b""), TLV(0x04, b"\0\0")),
        ),
    ),
]


@pytest.mark.parametrize(("data", "header"), RIGHT)
def test_a_header_is_read(data: bytes, header: ProxyHeader) -> None:
    """Each form of the specification is the value that it stands for, in all its bytes."""
    assert decode_header(data) == (header, len(data))


@pytest.mark.parametrize(("data", "header"), RIGHT)
def test_what_follows_is_not_looked_at(data: bytes, header: ProxyHeader) -> None:
    """Where the header ends is known, whatever comes after it."""
    assert decode_header(data + b"\x16\x03\x01\r\n\r\n") == (header, len(data))


@pytest.mark.parametrize(("data", "header"), RIGHT)
def test_a_header_is_read_byte_by_byte(data: bytes, header: ProxyHeader) -> None:
    """A reader wants no byte more than there are, at any time, and is done with the last one."""
    reader = HeaderReader()
    for place in range(len(data) - 1):
        assert 0 < reader.wanted <= len(data) - place
        assert reader.feed(data[place : place + 1]) is None
    assert reader.feed(data[-1:]) == header
    assert reader.wanted == 0


@pytest.mark.parametrize(("data", "header"), RIGHT)
def test_a_header_is_read_as_it_is_wanted(data: bytes, header: ProxyHeader) -> None:
    """A header of version 2 takes three pieces at most, one of version 1 two bytes at a time."""
    reader = HeaderReader()
    pieces = 0
    result = None
    rest = data
    while result is None:
        piece, rest = rest[: reader.wanted], rest[reader.wanted :]
        result = reader.feed(piece)
        pieces += 1
    assert result == header
    assert pieces <= (3 if data.startswith(SIGNATURE) else (len(data) - 12) // 2 + 2)


END = "its line ends too early, or without CR before LF"
FOUR = "expected a family and four values"
LINE_IPV4 = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"

WRONG = [
    # Neither version.
    (b"", "it ends after 0 bytes"),
    (b"GET / HTTP/1.1\r\n", "there is none, the connection begins with b'GET / HTTP/1'"),
    (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", "there is none, the connection begins with"),
    (b"PROXYTCP4 1.1.1.1", "there is none"),
    (b"proxy TCP4 1.1.1.1", "there is none"),
    (SIGNATURE[:11] + b"\r", "there is none"),
    # Version 1.
    (LINE_IPV4[:-1], "it ends after 35 bytes"),
    (LINE_IPV4.replace(b"\r", b"") + b"more", END),
    (b"PROXY \r\nabcdefgh", END),
    (LINE_IPV4.replace(b"\r\n", b"\r") + b"more\r\n", "expected a number from 0 to 65535"),
    (b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n", "its line does not end within 107 bytes"),
    (b"PROXY UNKNOWN " + b"x" * 200, "its line does not end within 107 bytes"),
    (b"PROXY UNKNOWNX\r\n", FOUR),
    (b"PROXY unknown\r\n", FOUR),
    (b"PROXY TCP5 1.1.1.1 1.1.1.1 1 1\r\n", FOUR),
    (b"PROXY UDP4 1.1.1.1 1.1.1.1 1 1\r\n", FOUR),
    (b"PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n", FOUR),
    (b"PROXY TCP4 1.1.1.1\r\n", FOUR),
    (b"PROXY TCP4 1.1.1.1\n", END),
    (b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1 \r\n", FOUR),
    (b"PROXY TCP4  1.1.1.1 1.1.1.1 1 1\r\n", FOUR),
    (b"PROXY TCP4 1.1.1.1\t1.1.1.1 1 1\r\n", FOUR),
    (b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1 x\r\n", FOUR),
    (b"PROXY TCP4 banana 1.1.1.1 1 1\r\n", "'banana' is no IPv4 address"),
    (b"PROXY TCP4 1.1.1.01 1.1.1.1 1 1\r\n", "'1.1.1.01' is no IPv4 address"),
    (b"PROXY TCP4 1.1.1.1 1.1.1.256 1 1\r\n", "'1.1.1.256' is no IPv4 address"),
    (b"PROXY TCP4 1.1.1 1.1.1.1 1 1\r\n", "'1.1.1' is no IPv4 address"),
    (b"PROXY TCP4 ::1 ::1 1 1\r\n", "'::1' is no IPv4 address"),
    (b"PROXY TCP6 1.1.1.1 1.1.1.1 1 1\r\n", "'1.1.1.1' is no IPv6 address"),
    (b"PROXY TCP6 ::1 fe80::1%lo 1 1\r\n", "'fe80::1%lo' is no IPv6 address"),
    (b"PROXY TCP6 1::2::3 ::1 1 1\r\n", "'1::2::3' is no IPv6 address"),
    (b"PROXY TCP6 12345::1 ::1 1 1\r\n", "'12345::1' is no IPv6 address"),
    (b"PROXY TCP6 \xb2::1 ::1 1 1\r\n", "'\xb2::1' is no IPv6 address"),
    (b"PROXY TCP4 1.1.1.1 1.1.1.1 65536 1\r\n", "its port is '65536'"),
    (b"PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n", "its port is '01'"),
    (b"PROXY TCP4 1.1.1.1 1.1.1.1 00 1\r\n", "its port is '00'"),
    (b"PROXY TCP4 1.1.1.1 1.1.1.1 1 -1\r\n", "its port is '-1'"),
    (b"PROXY TCP4 1.1.1.1 1.1.1.1 +1 1\r\n", "its port is '+1'"),
    (b"PROXY TCP4 1.1.1.1 1.1.1.1  1\r\n", "its port is ''"),
    (b"PROXY TCP4 1.1.1.1 1.1.1.1 \xb2 1\r\n", "its port is '\xb2'"),
    (b"PROXY TCP4 1.1.1.1 1.1.1.1 1000000 1\r\n", "its port is '1000000'"),
    # Version 2.
    (SIGNATURE, "it ends after 12 bytes"),
    (block(0x21, 0x11, ADDRESSES)[:-1], "it ends after 27 bytes"),
    (block(0x11, 0x11, ADDRESSES), "its version is 1, expected 1 or 2"),
    (block(0x31, 0x11, ADDRESSES), "its version is 3, expected 1 or 2"),
    (block(0x22, 0x11, ADDRESSES), "its command is 2, expected 0 or 1"),
    (block(0x2F, 0x11, ADDRESSES), "its command is 15, expected 0 or 1"),
    (block(0x21, 0x41, ADDRESSES), "its family and transport are 0x41, which is none"),
    (block(0x21, 0x13, ADDRESSES), "its family and transport are 0x13, which is none"),
    (block(0x21, 0x03), "its family and transport are 0x03, which is none"),
    (block(0x21, 0x40), "its family and transport are 0x40, which is none"),
    (block(0x21, 0x11), "it has 16 bytes, its addresses end at byte 28"),
    (block(0x21, 0x11, ADDRESSES[:-1]), "it has 27 bytes, its addresses end at byte 28"),
    (block(0x21, 0x21, ADDRESSES), "it has 28 bytes, its addresses end at byte 52"),
    (block(0x21, 0x31, bytes(215)), "it has 231 bytes, its addresses end at byte 232"),
    (block(0x21, 0x11, b"", 65535), "it has 65551 bytes, more than 8192"),
    (block(0x20, 0x00, b"", 65535), "it has 65551 bytes, more than 8192"),
    (block(0x21, 0x11, ADDRESSES + b"\x04"), "the field at byte 28 runs past the end"),
    (block(0x21, 0x11, ADDRESSES + b"\x04\0"), "the field at byte 28 runs past the end"),
    (block(0x21, 0x11, ADDRESSES + b"\x04\0\1"), "the field at byte 28 runs past the end"),
    (
        block(0x21, 0x11, ADDRESSES + tlv(4, b"x") + b"\x04\xff\xffx"),
        "the field at byte 32 runs past the end",
    ),
    (
        block(0x21, 0x11, ADDRESSES + tlv(UNIQUE_ID, bytes(129))),
        "its unique id has 129 bytes, at most 128 do",
    ),
    (
        block(0x21, 0x11, ADDRESSES + tlv(SSL, bytes(4))),
        "its field SSL has 4 bytes, expected 5 or more",
    ),
    (
        block(0x21, 0x11, ADDRESSES + tlv(SSL, bytes(5) + b"\x21\0\1")),
        "the field at byte 5 runs past the end",
    ),
    (block(0x21, 0x11, ADDRESSES + tlv(CRC32C, bytes(4))), "its checksum is wrong"),
    (
        block(0x21, 0x11, ADDRESSES + tlv(CRC32C, bytes(3))),
        "its checksum is not one field of 4 bytes",
    ),
    (
        block(0x21, 0x11, ADDRESSES + tlv(CRC32C, bytes(4)) * 2),
        "its checksum is not one field of 4 bytes",
    ),
]


@pytest.mark.parametrize(("data", "problem"), WRONG)
def test_a_wrong_header_is_refused(data: bytes, problem: str) -> None:
    """What is no header of the specification is an error that says why."""
    with pytest.raises(ProxyHeaderError) as caught:
        decode_header(data)
    assert problem in caught.value.problem
    assert str(caught.value) == f"PROXY header: {caught.value.problem}"


@pytest.mark.parametrize(
    ("data", "problem"), [each for each in WRONG if "ends after" not in each[1]]
)
def test_a_wrong_header_is_refused_byte_by_byte(data: bytes, problem: str) -> None:
    """In pieces it is refused too."""
    reader = HeaderReader()
    with pytest.raises(ProxyHeaderError):
        [reader.feed(data[place : place + 1]) for place in range(len(data))]


@pytest.mark.parametrize("begin", [b"G", b"\x16", b"\rX", b"PROXX"])
def test_what_is_no_header_is_refused_at_once(begin: bytes) -> None:
    """The first wrong byte is enough: a client that waits for an answer is not waited for."""
    with pytest.raises(ProxyHeaderError, match="there is none"):
        HeaderReader().feed(begin)


def test_the_limit_counts_the_whole_header() -> None:
    """A header of just as many bytes as are taken is taken, and one byte more is too much."""
    data = encode_header(IPV4)
    assert decode_header(data, limit=len(data)) == (IPV4, len(data))
    with pytest.raises(ProxyHeaderError, match="it has 28 bytes, more than 27"):
        decode_header(data, limit=len(data) - 1)


def test_the_longest_header() -> None:
    """With a limit to match, a header can have all the bytes that its length can say."""
    header = ProxyHeader(
        source=IPV4.source, destination=IPV4.destination, tlvs=(TLV(4, bytes(65520)),)
    )
    data = encode_header(header)
    assert len(data) == 65551
    assert decode_header(data, limit=65551) == (header, 65551)


@pytest.mark.parametrize(
    ("header", "data"),
    [
        (ProxyHeader(version=1), b"PROXY UNKNOWN\r\n"),
        (
            ProxyHeader(version=1, source=("192.0.2.1", 1), destination=("192.0.2.2", 65535)),
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65535\r\n",
        ),
        (
            ProxyHeader(version=1, source=("2001:DB8:0::1", 1), destination=("::1", 2)),
            b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n",
        ),
        (ProxyHeader(command="LOCAL"), block(0x20, 0x00)),
        (ProxyHeader(), block(0x21, 0x00)),
        (IPV4, block(0x21, 0x11, ADDRESSES)),
        (UNIX, block(0x21, 0x31, bytes(108) + b"/run/app.sock".ljust(108, b"\0"))),
        (
            ProxyHeader(source=IPV4.source, destination=IPV4.destination, checksum=True),
            block(0x21, 0x11, ADDRESSES + tlv(CRC32C, bytes.fromhex("20ec9549"))),
        ),
    ],
)
def test_a_header_is_written(header: ProxyHeader, data: bytes) -> None:
    """A value has the bytes of the specification, addresses in their shortest form."""
    assert encode_header(header) == data


def test_the_checksum_may_stand_anywhere() -> None:
    """A checksum in front of other fields is found, checked, and no field of its own."""
    fields = tlv(CRC32C, bytes(4)) + tlv(ALPN, b"h2")
    data = block(0x21, 0x11, ADDRESSES + fields)
    data = data.replace(tlv(CRC32C, bytes(4)), tlv(CRC32C, crc32c(data).to_bytes(4)))
    header, _ = decode_header(data)
    assert (header.checksum, header.tlvs) == (True, (TLV(ALPN, b"h2"),))


@pytest.mark.parametrize("place", [*range(16, 28), *range(31, 35)])
def test_the_checksum_is_of_every_byte(place: int) -> None:
    """Whichever byte of the addresses or of the checksum is another one, the header is refused."""
    header = ProxyHeader(source=IPV4.source, destination=IPV4.destination, checksum=True)
    data = bytearray(encode_header(header))
    data[place] ^= 0x01
    with pytest.raises(ProxyHeaderError, match="its checksum is wrong"):
        decode_header(bytes(data))


@pytest.mark.parametrize(
    ("address", "usual"),
    [
        (("192.0.2.1", 80), ("192.0.2.1", 80)),
        (("2001:DB8::0:1", 80), ("2001:db8::1", 80)),
        (("fe80::1%eth0", 80, 0, 2), ("fe80::1", 80)),
        (("::ffff:c000:201", 80, 0, 0), ("::ffff:192.0.2.1", 80)),
        ("/run/app.sock", "/run/app.sock"),
        (b"/run/app.sock", "/run/app.sock"),
        ("\0name", b"\0name"),
        (b"\0na\0me", b"\0na\0me"),
        ("/\udcff", "/\udcff"),
        (b"", ""),
    ],
)
def test_addresses_of_the_socket_module(address: Any, usual: Any) -> None:
    """Addresses as sockets give them are taken, and brought into one form."""
    assert ProxyHeader(source=address, destination=address).source == usual


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"version": 3}, "its version is 3, expected 1 or 2"),
        ({"command": "local"}, "its command is 'local', expected 'PROXY' or 'LOCAL'"),
        ({"source": ("192.0.2.1", 1)}, "its source is ipv4, its destination unspec"),
        (
            {"source": ("192.0.2.1", 1), "destination": ("::1", 1)},
            "its source is ipv4, its destination ipv6",
        ),
        (
            {"source": "/a", "destination": "/b", "command": "LOCAL"},
            "a connection of the proxy's own has no other addresses",
        ),
        ({"datagram": True}, "without addresses there is nothing after them"),
        ({"checksum": True}, "without addresses there is nothing after them"),
        ({"tlvs": (TLV(4, b""),)}, "without addresses there is nothing after them"),
        (
            {"version": 1, "command": "LOCAL"},
            "version 1 has the addresses of a TCP connection, or none, and nothing else",
        ),
        (
            {"version": 1, "source": "/a", "destination": "/b"},
            "version 1 has the addresses of a TCP connection, or none, and nothing else",
        ),
        (
            {"source": ("::1", 1), "destination": ("::1", 1), "version": 1, "checksum": True},
            "version 1 has the addresses of a TCP connection, or none, and nothing else",
        ),
        (
            {"source": ("example.org", 1), "destination": ("::1", 1)},
            "source is 'example.org', expected an IP address",
        ),
        (
            {"source": (2130706433, 1), "destination": ("::1", 1)},
            "source is 2130706433, expected an IP address",
        ),
        (
            {"source": ("::1", 1), "destination": ("::1", 65536)},
            "the port of destination is 65536, expected a number from 0 to 65535",
        ),
        (
            {"source": ("::1", "80"), "destination": ("::1", 1)},
            "the port of source is '80', expected a number from 0 to 65535",
        ),
        (
            {"source": ("::1",), "destination": ("::1", 1)},
            "source is ('::1',), expected a host and a port, or the path of a unix socket",
        ),
        (
            {"source": "/a\0b", "destination": "/b"},
            r"source is '/a\x00b', expected a path of up to 108 bytes without NUL",
        ),
        (
            {"source": "/a", "destination": "/\ud800"},
            r"destination is '/\ud800', expected a path of up to 108 bytes without NUL",
        ),
        (
            {"source": "ß" * 55, "destination": "/b"},
            f"source is '{'ß' * 55}', expected a path of up to 108 bytes without NUL",
        ),
        (
            {"source": "/a", "destination": "/b", "tlvs": (TLV(256, b""),)},
            "a field has the type 256, expected 0 to 255",
        ),
        (
            {"source": "/a", "destination": "/b", "tlvs": (TLV(CRC32C, bytes(4)),)},
            "the checksum is no field of its own: it is computed",
        ),
        (
            {"source": "/a", "destination": "/b", "tlvs": (TLV(4, bytes(65535)),)},
            "it has 65754 bytes after its first 16, at most 65535 do",
        ),
    ],
)
def test_values_that_no_header_has(values: dict[str, Any], problem: str) -> None:
    """What cannot be said is refused when the value is made."""
    with pytest.raises(ProxyHeaderError) as caught:
        ProxyHeader(**values)
    assert caught.value.problem == problem


def test_family_and_transport() -> None:
    """They follow from the addresses."""
    datagram = ProxyHeader(source="/a", destination="/b", datagram=True)
    headers = [ProxyHeader(), IPV4, IPV6, UNIX, datagram]
    assert [(each.family, each.transport) for each in headers] == [
        ("unspec", "unspec"),
        ("ipv4", "stream"),
        ("ipv6", "stream"),
        ("unix", "stream"),
        ("unix", "datagram"),
    ]


def test_the_error_is_a_value_error_of_the_library() -> None:
    """Who catches either hears of a wrong header."""
    assert issubclass(ProxyHeaderError, EndpointError)
    assert issubclass(ProxyHeaderError, ValueError)


def pairs(hosts: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, Any]]:
    """Two addresses of one family."""
    addresses = st.tuples(hosts.map(str), st.integers(0, 65535))
    return st.tuples(addresses, addresses)


PATHS = st.one_of(
    st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=27),
    st.binary(max_size=107).map(lambda name: b"\0" + name),
    st.binary(max_size=108).filter(lambda path: b"\0" not in path),
)
IP_PAIRS = st.one_of(pairs(st.ip_addresses(v=4)), pairs(st.ip_addresses(v=6)))
TLVS = st.lists(
    st.one_of(
        st.builds(TLV, st.integers(0x40, 0xFF), st.binary(max_size=50)),
        st.builds(TLV, st.just(UNIQUE_ID), st.binary(max_size=128)),
        st.builds(
            encode_ssl,
            st.builds(
                ProxySSL,
                st.integers(0, 255),
                st.integers(0, 2**32 - 1),
                st.lists(
                    st.builds(TLV, st.integers(0, 255), st.binary(max_size=9)), max_size=3
                ).map(tuple),
            ),
        ),
    ),
    max_size=4,
).map(tuple)


def headers() -> st.SearchStrategy[ProxyHeader]:
    """Headers of every form."""
    version1 = IP_PAIRS.map(
        lambda pair: ProxyHeader(version=1, source=pair[0], destination=pair[1])
    )
    version2 = st.builds(
        lambda pair, datagram, tlvs, checksum: ProxyHeader(
            source=pair[0], destination=pair[1], datagram=datagram, tlvs=tlvs, checksum=checksum
        ),
        st.one_of(IP_PAIRS, st.tuples(PATHS, PATHS)),
        st.booleans(),
        TLVS,
        st.booleans(),
    )
    without = [ProxyHeader(version=1), ProxyHeader(), ProxyHeader(command="LOCAL")]
    return st.one_of(version1, version2, st.sampled_from(without))


@given(headers(), st.binary(max_size=5))
def test_headers_round_trip(header: ProxyHeader, rest: bytes) -> None:
    """Every header that can be written is read as the same value, and nothing of what follows."""
    data = encode_header(header)
    assert decode_header(data + rest) == (header, len(data))


@given(headers())
def test_tls_round_trips(header: ProxyHeader) -> None:
    """What is told of TLS is written as it was read."""
    ssl = header.ssl
    assert ssl is None or encode_ssl(ssl) in header.tlvs


@given(
    st.one_of(
        st.binary(max_size=60),
        st.binary(max_size=60).map(lambda rest: b"PROXY TCP4 " + rest + b"\r\n"),
        st.binary(max_size=60).map(lambda rest: b"PROXY TCP6 " + rest + b"\r\n"),
        st.builds(
            block, st.sampled_from([0x20, 0x21]), st.integers(0, 255), st.binary(max_size=60)
        ),
        st.binary(max_size=40).map(lambda rest: block(0x21, 0x11, ADDRESSES + rest)),
        st.binary(max_size=40).map(
            lambda rest: block(0x21, 0x11, ADDRESSES + tlv(SSL, bytes(5) + rest))
        ),
    )
)
def test_any_bytes(data: bytes) -> None:
    """Bytes are a header, which is written and read again as itself, or an error of the library."""
    try:
        header, _ = decode_header(data)
    except ProxyHeaderError:
        return
    assert decode_header(encode_header(header))[0] == header
