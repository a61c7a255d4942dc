"""A service of two parts: a connection that is kept up, and a server whose clients speak through it."""

import asyncio
import sys

from asyncendpoints import ClientService, serve_forever, start_server


class Backend(asyncio.Protocol):
    """Sends lines; what comes back is not looked at here."""

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, exc):
        print("the backend is gone", flush=True)


async def main(backend, *listen):
    service = ClientService(backend, Backend)

    async def handle(reader, writer):
        async for line in reader:
            protocol = await service.when_connected()
            protocol.transport.write(line)
            writer.write(b"passed on\n")
        writer.close()

    server = await start_server(handle, listen, drain=30)
    print("reach it at", *server.client_endpoints, flush=True)
    ended_by = await serve_forever(service, server)
    print("ended by", ended_by.name if ended_by else "itself", flush=True)


asyncio.run(main(*sys.argv[1:]))
