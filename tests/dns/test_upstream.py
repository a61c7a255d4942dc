"""Tests of what is known of a server that is asked."""

from __future__ import annotations

from collections import Counter

from asyncendpoints.dns.upstream import Dice, OwnAddresses


def test_identifiers_are_spread_evenly() -> None:
    """Each bit of what is drawn is set about half of the time, and nothing comes twice in a row."""
    dice = Dice()
    draws = [dice.take(2) for _ in range(10_000)]
    ones = [sum(int.from_bytes(each, "big") >> bit & 1 for each in draws) for bit in range(16)]
    # More than six standard deviations off: that happens to nobody by chance.
    assert all(4700 < each < 5300 for each in ones)
    assert Counter(draws).most_common(1)[0][1] < 10


def test_own_addresses() -> None:
    """An address is known as long as one of its sockets is there."""
    own = OwnAddresses()
    own.add(("127.0.0.1", 1), is_stream=False)
    own.add(("127.0.0.1", 1), is_stream=False)
    own.add(("127.0.0.1", 1), is_stream=True)
    own.add("/run/socket", is_stream=True)
    own.remove(("127.0.0.1", 1), is_stream=False)
    assert own.hosts == {1: [("127.0.0.1", False), ("127.0.0.1", True)]}
    own.remove(("127.0.0.1", 1), is_stream=False)
    assert own.hosts == {1: [("127.0.0.1", True)]}
    own.remove(("127.0.0.1", 1), is_stream=True)
    own.remove("/run/socket", is_stream=True)
    assert own.hosts == {}
