"""A server that drains for a minute at the first SIGTERM or SIGINT, and ends at once at the second."""

import asyncio
import signal
import sys

from asyncendpoints import start_server


async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def main(endpoint):
    loop = asyncio.get_running_loop()
    signals = asyncio.Queue()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, signals.put_nowait, number)
    async with start_server(echo, endpoint) as server:
        print("reach it at", server.client_endpoints[0], flush=True)
        await signals.get()
        print("draining", server.stats.active, flush=True)
        draining = asyncio.create_task(server.drain(60))
        second = asyncio.create_task(signals.get())
        await asyncio.wait({draining, second}, return_when=asyncio.FIRST_COMPLETED)
        second.cancel()
        if not draining.done():
            server.abort_clients()
        await draining


asyncio.run(main(sys.argv[1]))
