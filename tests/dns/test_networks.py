"""Which clients are in which networks."""

from __future__ import annotations

import re
from typing import Any

import pytest

from asyncendpoints.dns.networks import PRIVATE, Networks

SOME = Networks(["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"])


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("10.255.0.1", True),
        ("11.0.0.1", False),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("::ffff:10.0.0.1", True),
        ("::ffff:11.0.0.1", False),
        ("2001:db8::1%eth0", True),
    ],
)
def test_contain(host: str, expected: bool) -> None:
    """An address is in the networks that it belongs to, mapped into IPv6 or with an interface or not."""
    assert SOME.contain(host) is expected


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "::1",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.0.1",
        "100.64.0.1",
        "fd00::1",
        "fe80::1%lo",
        "::ffff:192.168.0.1",
    ],
)
def test_private(host: str) -> None:
    """This machine and its neighbours are private."""
    assert PRIVATE.contain(host)


@pytest.mark.parametrize(
    "host", ["192.0.2.1", "172.32.0.1", "100.128.0.1", "2001:db8::1", "8.8.8.8"]
)
def test_public(host: str) -> None:
    """Everybody else is not."""
    assert not PRIVATE.contain(host)


def test_no_networks() -> None:
    """Nobody is in no network."""
    assert not Networks([]).contain("127.0.0.1")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a.test", "is no network; 10.0.0.0/8, 2001:db8::/32 and 192.0.2.1 are some"),
        ("10.0.0.0/33", "is no network; 10.0.0.0/8, 2001:db8::/32 and 192.0.2.1 are some"),
        ("fe80::1%eth0", "is no network; 10.0.0.0/8, 2001:db8::/32 and 192.0.2.1 are some"),
        (
            "10.0.0.1/8",
            "has bits behind its prefix; 10.0.0.0/8 is the network, 10.0.0.1 one address",
        ),
    ],
)
def test_wrong_network(text: str, problem: str) -> None:
    """What is no network is refused, and the error says what would be right."""
    with pytest.raises(ValueError, match=f"^{re.escape(f'{text}: {problem}')}$"):
        Networks([text])


def test_number_is_no_network() -> None:
    """A number, which could be an address for others, is no network."""
    with pytest.raises(TypeError, match=r"a network is text such as '10\.0\.0\.0/8', not 10"):
        Networks([10])  # type: ignore[list-item]  # what a type checker says too


def test_one_text_is_no_list() -> None:
    """A text in place of a list is refused: its letters would be taken for networks."""
    with pytest.raises(TypeError, match="not the text '10"):
        Networks("10.0.0.0/8")


@pytest.mark.parametrize("value", [True, 5, None])
def test_no_list(value: Any) -> None:
    """What is no list is refused, and the error says what one is."""
    with pytest.raises(TypeError, match=rf"^networks are a list such as .*, not {value}$"):
        Networks(value)


def test_wrong_host() -> None:
    """What is no address is in no network, which is an error and not an answer."""
    with pytest.raises(ValueError, match="does not appear"):
        SOME.contain("a.test")


def test_equal() -> None:
    """Networks of the same texts are equal, with one hash; others are not."""
    same = Networks(["10.0.0.0/8", "2001:db8::/32", "192.0.2.7/32"])
    assert (same, hash(same)) == (SOME, hash(SOME))
    assert SOME != PRIVATE
    assert SOME != "10.0.0.0/8"


def test_texts() -> None:
    """Networks give their texts, and show them."""
    assert list(SOME) == ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7/32"]
    assert repr(SOME) == "Networks(['10.0.0.0/8', '2001:db8::/32', '192.0.2.7/32'])"
