"""Serve an aiohttp application on any endpoints: aiohttp_server.py DESCRIPTION..."""

import asyncio
import signal
import sys

from aiohttp import web

from asyncendpoints import listen


async def hello(request):
    return web.Response(text=f"hello over {request.scheme}\n")


async def main(endpoints):
    app = web.Application()
    app.add_routes([web.get("/", hello)])
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        async with listen(endpoints, runner.server) as server:
            print("reach it at", *server.client_endpoints, flush=True)
            await stop.wait()
            server.close()
            await runner.server.shutdown(10)  # finishes the requests under way
    finally:
        await runner.cleanup()


asyncio.run(main(sys.argv[1:]))
