"""How long a description takes to parse, beside Twisted's ``clientFromString`` and ``serverFromString``.

Twisted opens no file for these kinds either, so that both sides do the same: text to an object that can
connect or listen. Run it with ``python benchmarks/parsing.py``.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

from measure import Row, paired, report
from twisted.internet import reactor
from twisted.internet.endpoints import clientFromString, serverFromString

from asyncendpoints import parse_client, parse_server

if TYPE_CHECKING:
    from collections.abc import Iterator

HELD_TO = 1 / 3

CLIENTS = [
    "tcp:host=example.org:port=80",
    "tcp:example.org:80:timeout=10:bindAddress=127.0.0.1",
    "unix:/run/app.sock:timeout=5",
    r"tcp:host=fe80\:\:1:port=80",
]

SERVERS = [
    "tcp:8080",
    "tcp:8080:interface=127.0.0.1:backlog=100",
    "unix:/run/app.sock:mode=660",
]


def rows() -> Iterator[Row]:
    """Measure each description."""
    for text in CLIENTS:
        theirs = partial(clientFromString, reactor, text)
        yield Row(f"client {text}", paired(partial(parse_client, text), theirs), HELD_TO)
    for text in SERVERS:
        theirs = partial(serverFromString, reactor, text)
        yield Row(f"server {text}", paired(partial(parse_server, text), theirs), HELD_TO)


if __name__ == "__main__":
    sys.exit(report("Parsing a description; peer: Twisted", rows()))
