"""Connects that went well and badly, as events of a clock that a test can read."""

from __future__ import annotations

import socket

from asyncendpoints import events
from asyncendpoints.addresses import Address
from asyncendpoints.cli.timeline import Timeline, steps_of

__all__ = ["FOUR", "REFUSED", "SIX", "going_well", "timed_out"]

SIX = Address(socket.AF_INET6, ("2001:db8::1", 443, 0, 0))
FOUR = Address(socket.AF_INET, ("192.0.2.1", 443))
REFUSED = OSError(111, "Connection refused")

#: When these connects began, in seconds.
BEGIN = 100.0

_RACE = [
    events.LookupStarted(100.0, "example.org"),
    events.QueryStarted(100.0, "example.org", "AAAA"),
    events.QueryStarted(100.0, "example.org", "A"),
    events.QueryFinished(100.02, "example.org", "A", ("192.0.2.1",), None),
    events.QueryFinished(100.04, "example.org", "AAAA", ("2001:db8::1",), None),
    events.LookupFinished(100.04, "example.org", (SIX, FOUR)),
    events.AttemptStarted(100.04, SIX),
    events.AttemptFailed(100.06, SIX, REFUSED),
    events.AttemptStarted(100.06, FOUR),
    events.Connected(100.08, FOUR),
    events.HandshakeStarted(100.08, "example.org"),
]


def going_well() -> Timeline:
    """Make a connect whose first address refuses, and whose second one speaks TLS: 0.1 s."""
    end = events.HandshakeFinished(100.1, "example.org", "TLSv1.3", "TLS_AES_256_GCM_SHA384", "h2")
    return Timeline("tls:example.org:443", steps_of([*_RACE, end], BEGIN), 0.1)


def timed_out() -> Timeline:
    """Make one whose handshake does not end in time: 2 s."""
    steps = steps_of(_RACE, BEGIN)
    return Timeline("tls:example.org:443", steps, 2.0, "timed out after 2 s (tls)", "tls")
