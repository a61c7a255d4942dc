"""Forwards, but for the domains in a file and all below them: blocklist.py FILE ENDPOINT UPSTREAM..."""

import asyncio
import sys
from pathlib import Path

from asyncendpoints.dns import EDE, Cache, EDECode, Forward, Guard, NXDomain, listen

BLOCKED = NXDomain(aa=False, ede=EDE(EDECode.BLOCKED, "on the list"))


class Blocklist(Guard):
    def __init__(self, domains):
        self.domains = frozenset(domains)

    def before(self, query):
        labels = query.labels
        names = (".".join(labels[i:]) for i in range(len(labels)))
        return None if self.domains.isdisjoint(names) else BLOCKED


async def main(guard, endpoint, *upstreams):
    async with listen(endpoint, Cache(Forward(*upstreams)), guards=[guard]) as server:
        print("reach it at", *server.client_endpoints, flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    path, *rest = sys.argv[1:]
    asyncio.run(main(Blocklist(Path(path).read_text().lower().split()), *rest))
