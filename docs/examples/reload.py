"""A TLS server that reads its certificate again on SIGHUP; ends on SIGTERM."""

import asyncio
import logging
import signal
import sys

from asyncendpoints import ListenError, start_server

logger = logging.getLogger("greeter")


async def greet(reader, writer):
    writer.write(b"hello\n")
    writer.close()


async def main(endpoint):
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    async with start_server(greet, endpoint) as server:

        def reload():
            try:
                server.reload()
            except ListenError as error:
                logger.error("keeping the old certificate: %s", error)
            else:
                print("reloaded", flush=True)

        loop.add_signal_handler(signal.SIGHUP, reload)
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        print("reach it at", server.client_endpoints[0], flush=True)
        await stop.wait()


asyncio.run(main(sys.argv[1]))
