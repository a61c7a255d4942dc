"""One name, two answers: split_horizon.py ENDPOINT NETWORK..., where NETWORK is inside."""

import asyncio
import sys

from asyncendpoints.dns import Chain, View, Zone, listen

outside = Zone.from_dict("example.test", {"www": {"A": "192.0.2.80"}}, ns="ns.example.net.")
inside = Zone.from_dict(
    "example.test",
    {"www": {"A": "10.0.0.80"}, "wiki": {"CNAME": "www"}},
    ns="ns.example.net.",
)


async def main(endpoint, *networks):
    async with listen(endpoint, Chain(View(inside, networks), outside)) as server:
        print("reach it at", *server.client_endpoints, flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
