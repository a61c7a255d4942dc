"""Twisted names as a program: ``twisted_names.py JOB PORT [ZONE FILE | UPSTREAM PORT]``."""

# mypy: allow-untyped-calls
from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from twisted.internet import defer, reactor
from twisted.names import cache, client, dns, error, server
from twisted.names.authority import BindAuthority

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "127.0.0.1"


class Computed:
    """Works out an address from the number in a name."""

    def query(self, query: Any, _timeout: object = None) -> defer.Deferred[Any]:
        label = query.name.name.partition(b".")[0]
        if query.type != dns.A or not label.startswith(b"host"):
            return defer.fail(error.DomainError())
        number = int(label[4:])
        address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        payload: Any = dns.Record_A(address=address, ttl=60)
        header = dns.RRHeader(name=query.name.name, ttl=60, payload=payload)
        return defer.succeed(([header], [], []))


def _client(upstream: str) -> client.Resolver:
    return client.Resolver(servers=[(HOST, int(upstream))])


_JOBS: dict[str, Callable[..., server.DNSServerFactory]] = {
    "static": lambda path: server.DNSServerFactory(authorities=[BindAuthority(path)]),
    "cached": lambda upstream: server.DNSServerFactory(
        caches=[cache.CacheResolver()], clients=[_client(upstream)]
    ),
    "forwarded": lambda upstream: server.DNSServerFactory(clients=[_client(upstream)]),
    "computed": lambda: server.DNSServerFactory(clients=[Computed()]),
}


def main(job: str, port: str, *more: str) -> None:
    """Serve until the process is ended."""
    factory = _JOBS[job](*more)
    loop: Any = reactor  # a module that becomes the reactor when it is imported
    loop.listenUDP(int(port), dns.DNSDatagramProtocol(factory), interface=HOST)
    loop.listenTCP(int(port), factory, interface=HOST)
    loop.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
