"""Computes workstation{n}.example.com, and forwards the rest: computed_server.py [ENDPOINT [UPSTREAM...]]"""

import asyncio
import sys

from asyncendpoints.dns import Cache, Chain, Forward, NXDomain, Router, listen

router = Router()


@router.on("workstation{n:int}.example.com", "A")
def workstation(query, n):
    return f"172.0.2.{n}" if n <= 255 else NXDomain()


async def main(endpoint="dns:10053", *upstreams):
    forward = Forward(*upstreams) if upstreams else Forward.from_resolv_conf()
    async with listen(endpoint, Chain(router, Cache(forward))) as server:
        print("reach it at", *server.client_endpoints, flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
