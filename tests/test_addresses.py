"""Socket addresses as values, and host names in the letters that DNS knows."""

from __future__ import annotations

import socket

import pytest

from asyncendpoints.addresses import Address, is_ipv4, to_ascii, unmapped

V4 = Address(socket.AF_INET, ("192.0.2.1", 80))
V6 = Address(socket.AF_INET6, ("2001:db8::1", 80, 0, 0))
SCOPED = Address(socket.AF_INET6, ("fe80::1", 80, 0, 3))
NAMED_SCOPE = Address(socket.AF_INET6, ("fe80::1%eth0", 80, 0, 3))
PATH = Address(socket.AF_UNIX, "/run/app.sock")
ABSTRACT = Address(socket.AF_UNIX, b"\0app\xff")
UNNAMED = Address(socket.AF_UNIX, "")


@pytest.mark.parametrize(
    ("address", "host", "port", "text"),
    [
        (V4, "192.0.2.1", 80, "192.0.2.1:80"),
        (V6, "2001:db8::1", 80, "[2001:db8::1]:80"),
        (SCOPED, "fe80::1%3", 80, "[fe80::1%3]:80"),
        (NAMED_SCOPE, "fe80::1%eth0", 80, "[fe80::1%eth0]:80"),
        (PATH, "/run/app.sock", None, "/run/app.sock"),
        (ABSTRACT, "@app\udcff", None, "@app\udcff"),
        (UNNAMED, "", None, "unnamed socket"),
    ],
)
def test_address(address: Address, host: str, port: int | None, text: str) -> None:
    """An address gives its host, its port and the text that people write for it."""
    assert (address.host, address.port, str(address)) == (host, port, text)


@pytest.mark.parametrize(
    ("host", "wildcard"),
    [("0.0.0.0", True), ("::", True), ("127.0.0.1", False), ("::1", False)],
)
def test_wildcard(host: str, wildcard: bool) -> None:
    """The unspecified addresses stand for every address of the machine."""
    assert Address(socket.AF_INET, (host, 80)).is_wildcard() is wildcard


def test_path_is_no_wildcard() -> None:
    """The path of a unix socket stands for itself, also where it looks like a wildcard."""
    assert not Address(socket.AF_UNIX, "::").is_wildcard()


def test_address_of_socket() -> None:
    """The address of a bound socket is the one that the system gave it."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        assert Address.of(sock) == Address(socket.AF_INET, sock.getsockname())


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("127.0.0.1", True),
        ("0.0.0.0", True),
        ("255.255.255.255", True),
        ("256.0.0.0", False),
        ("127.0.0.01", False),
        ("127.0.0", False),
        ("127.0.0.1.", False),
        ("127.0.0.1\n", False),
        ("127.0.0.1.5", False),
        ("\uff11.0.0.0", False),
        ("", False),
    ],
)
def test_is_ipv4(host: str, answer: bool) -> None:
    """An IPv4 address is four decimal parts without leading zeros."""
    assert is_ipv4(host) is answer


@pytest.mark.parametrize(
    ("host", "plain"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
        ("::1", "::1"),
        ("::ffff:0:1:2", "::ffff:0:1:2"),
        ("192.0.2.1", "192.0.2.1"),
        ("name", "name"),
    ],
)
def test_unmapped(host: str, plain: str) -> None:
    """Only an IPv4-mapped address gives the IPv4 address in it."""
    assert unmapped(host) == plain


@pytest.mark.parametrize(
    ("host", "ascii_host"),
    [
        ("example.org", "example.org"),
        ("EXAMPLE.org.", "EXAMPLE.org."),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("faß.de", "xn--fa-hia.de"),
        ("_sip._tcp.bücher.example.", "_sip._tcp.xn--bcher-kva.example."),
        ("例え。jp", "xn--r8jz45g.jp"),
    ],
)
def test_to_ascii(host: str, ascii_host: str) -> None:
    """Only the labels with other letters become A-labels, by IDNA 2008."""
    assert to_ascii(host) == ascii_host


@pytest.mark.parametrize("host", ["☃.example", "ü b.example", "\ud800", "ü\0", "ä" * 64])
def test_to_ascii_refuses(host: str) -> None:
    """What IDNA 2008 has no form for is a ValueError."""
    with pytest.raises(ValueError, match=r"^no internationalized host name: "):
        to_ascii(host)
