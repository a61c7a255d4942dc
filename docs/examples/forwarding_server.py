"""A forwarding DNS server on UDP and TCP: forwarding_server.py [ENDPOINT [UPSTREAM...]]"""

import asyncio
import sys

from asyncendpoints.dns import Cache, Forward, listen


async def main(endpoint="dns:10053", *upstreams):
    forward = Forward(*upstreams) if upstreams else Forward.from_resolv_conf()
    async with listen(endpoint, Cache(forward)) as server:
        print("reach it at", *server.client_endpoints, flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
