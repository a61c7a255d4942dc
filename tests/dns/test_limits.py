"""The limits of a DNS server."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from asyncendpoints.dns.limits import DNSLimits
from asyncendpoints.limits import Limits


def test_they_are_limits_of_a_server() -> None:
    """What any server is limited by has other defaults here: a name server is everybody's."""
    limits: Limits = DNSLimits()
    assert isinstance(limits, Limits)
    assert None not in (limits.max_connections, limits.max_per_peer, limits.max_handshakes)


def test_they_are_a_value() -> None:
    """They are equal by their values, and do not change."""
    assert DNSLimits(payload=1400) == DNSLimits(payload=1400) != DNSLimits()
    with pytest.raises(FrozenInstanceError):
        DNSLimits().payload = 1  # type: ignore[misc]  # the error is the test


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"max_connections": 0}, "max_connections is 0, expected 1 or more"),
        ({"handshake_timeout": 0}, "handshake_timeout is 0, expected seconds above 0"),
        ({"first_timeout": 0}, "first_timeout is 0, expected seconds above 0"),
        ({"idle_timeout": -1.0}, "idle_timeout is -1.0, expected seconds above 0"),
        ({"write_timeout": float("nan")}, "write_timeout is nan, expected seconds above 0"),
        ({"query_timeout": 0}, "query_timeout is 0, expected seconds above 0"),
        ({"max_pipelined": 0}, "max_pipelined is 0, expected 1 or more"),
        ({"max_write_bytes": 0}, "max_write_bytes is 0, expected 1 or more"),
        ({"max_pending": 0}, "max_pending is 0, expected 1 or more"),
        ({"max_pending_per_client": 0}, "max_pending_per_client is 0, expected 1 or more"),
        ({"max_query_bytes": 511}, "max_query_bytes is 511, expected 512 to 65535"),
        ({"max_query_bytes": 65536}, "max_query_bytes is 65536, expected 512 to 65535"),
        ({"payload": 511}, "payload is 511, expected 512 to 4096"),
        ({"payload": 4097}, "payload is 4097, expected 512 to 4096"),
        ({"payload": "1232"}, "payload is a whole number, not '1232'"),
        ({"max_pending": None}, "max_pending is a whole number, not None"),
        ({"query_timeout": "5"}, "query_timeout is in seconds, not '5'"),
    ],
)
def test_out_of_range(values: dict[str, Any], problem: str) -> None:
    """A value that makes no sense is an error that says which and what would."""
    with pytest.raises((ValueError, TypeError), match=f"^{problem}$"):
        DNSLimits(**values)


@pytest.mark.parametrize(("size", "payload"), [(512, 512), (65535, 4096)])
def test_ends_of_ranges(size: int, payload: int) -> None:
    """The smallest and the largest size are sizes."""
    limits = DNSLimits(max_query_bytes=size, payload=payload)
    assert (limits.max_query_bytes, limits.payload) == (size, payload)
