"""Plain DNS for this machine, asked over TLS: dns_over_tls.py ENDPOINT UPSTREAM..."""

import asyncio
import signal
import sys

from asyncendpoints.dns import Cache, Chain, Forward, Hosts, listen


async def main(endpoint, *upstreams):
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    forward = Forward(*upstreams, policy="fastest")
    async with listen(endpoint, Chain(Hosts(), Cache(forward, stale=86_400)), drain=2) as server:
        print("reach it at", *server.client_endpoints, flush=True)
        await stop.wait()
        for each in forward.stats:
            print(each.upstream, each.answered, "answers", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
