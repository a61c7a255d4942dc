"""Which server a description or an address means."""

from __future__ import annotations

from typing import Any

import pytest

from asyncendpoints.dns.upstream_specs import parse_upstream
from asyncendpoints.errors import DescriptionError
from asyncendpoints.kinds.dns import DNSClient
from asyncendpoints.kinds.tcp import TCPClient
from asyncendpoints.kinds.tls import TLSClient
from asyncendpoints.kinds.udp import UDPClient
from asyncendpoints.kinds.unix import UNIXClient

KINDS = "the kinds are dns, udp, tcp, tls, unix, socks5, httpconnect, memory"


@pytest.mark.parametrize(
    ("upstream", "spec"),
    [
        ("192.0.2.1", DNSClient("192.0.2.1")),
        ("2001:db8::1", DNSClient("2001:db8::1")),
        ("dns:192.0.2.1", DNSClient("192.0.2.1")),
        ("dns:192.0.2.1:5353", DNSClient("192.0.2.1", 5353)),
        ("udp:192.0.2.1", DNSClient("192.0.2.1")),
        ("udp:[2001:db8::1]", DNSClient("2001:db8::1")),
        (
            "UDP:host=192.0.2.1:bindAddress=192.0.2.9",
            DNSClient("192.0.2.1", bind_address="192.0.2.9"),
        ),
        ("udp:192.0.2.1:5353:family=ipv4", DNSClient("192.0.2.1", 5353, family="ipv4")),
        ("tcp:192.0.2.1", TCPClient("192.0.2.1", 53)),
        ("tcp:192.0.2.1:5353", TCPClient("192.0.2.1", 5353)),
        ("tls:dns.example", TLSClient("dns.example", 853, alpn=("dot",))),
        ("tls:dns.example:8853:alpn=x", TLSClient("dns.example", 8853, alpn=("x",))),
        ("unix:/run/dns", UNIXClient("/run/dns")),
        (UDPClient("192.0.2.1", 53), DNSClient("192.0.2.1")),
        (TCPClient("192.0.2.1", 53), TCPClient("192.0.2.1", 53)),
    ],
)
def test_upstreams(upstream: Any, spec: Any) -> None:
    """Addresses, descriptions without a port and specs are understood."""
    assert parse_upstream(upstream) == spec


@pytest.mark.parametrize(
    ("upstream", "error"),
    [
        ("", DescriptionError),
        ("bogus:192.0.2.1", DescriptionError),
        ("udp:", DescriptionError),
        ("udp:192.0.2.1:0", DescriptionError),
        ("tcp:a\\", DescriptionError),
        ("udp:192.0.2.1:53:bindPort=53", ValueError),
        ("udp:192.0.2.1:53:bindAddress=a.example", ValueError),
        (53, TypeError),
    ],
)
def test_no_upstreams(upstream: Any, error: type[Exception]) -> None:
    """What is no server to ask, or makes replies easy to forge, is refused."""
    with pytest.raises(error):
        parse_upstream(upstream)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("192.0.2.1:5353", "dns:192.0.2.1:5353"),
        ("[2001:db8::1]:53", "dns:[2001:db8::1]:53"),
        ("dns.example", "dns:dns.example"),
        ("dns.example:5353", "dns:dns.example:5353"),
    ],
)
def test_place_without_a_kind(text: str, meant: str) -> None:
    """What is a place and nothing more is refused with the description that is meant."""
    with pytest.raises(DescriptionError) as caught:
        parse_upstream(text)
    assert (caught.value.text, caught.value.position) == (text, 0)
    assert caught.value.problem == f"has no kind, did you mean {meant!r}?"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("quad9", "quad9"),
        ("", ""),
        ("quad9:53:5", "quad9"),
        ("1:2:3:4", "1"),
        ("a.example:x:y", "a.example"),
        ("systemd:name=x", "systemd"),
    ],
)
def test_no_kind(text: str, kind: str) -> None:
    """A text that begins with no kind is refused with those that an upstream can be."""
    with pytest.raises(DescriptionError) as caught:
        parse_upstream(text)
    expected = f"expected 9.9.9.9 or dns:9.9.9.9; {KINDS}"
    assert caught.value.problem == f"{kind!r} is no address and no kind of upstream, {expected}"
    assert (caught.value.text, caught.value.position) == (text, 0)


def test_kind_that_is_nearly_one() -> None:
    """A kind that is written wrongly is told as such."""
    with pytest.raises(DescriptionError) as caught:
        parse_upstream("tpc:192.0.2.1:53")
    problem = "'tpc' is no address and no kind of upstream (did you mean 'tcp'?)"
    assert caught.value.problem == problem


def test_other_errors_stay() -> None:
    """What is wrong behind a kind is told as for every client."""
    with pytest.raises(DescriptionError) as caught:
        parse_upstream("tcp:192.0.2.1:http")
    assert caught.value.problem == "port is 'http', expected a number from 0 to 65535"


def test_error_is_that_of_the_text_as_it_was_written() -> None:
    """The port that goes without saying is not in the message."""
    with pytest.raises(DescriptionError) as caught:
        parse_upstream("udp:192.0.2.1:bogus=1")
    assert caught.value.text == "udp:192.0.2.1:bogus=1"
