"""Serve an ASGI application: uvicorn_server.py MODULE:APP DESCRIPTION..."""

import asyncio
import sys

import uvicorn

from asyncendpoints import bind


async def main(app, *endpoints):
    server = uvicorn.Server(uvicorn.Config(app))
    with bind(*endpoints) as sockets:
        print("listening on", *(sock.getsockname() for sock in sockets), flush=True)
        await server.serve(sockets=sockets)


asyncio.run(main(*sys.argv[1:]))
