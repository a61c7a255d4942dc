"""An application with HTTP for its users, and a line protocol where the operator wants it."""

import os
from contextlib import asynccontextmanager
from dataclasses import asdict

from fastapi import FastAPI

from asyncendpoints import start_server


async def shout(reader, writer):
    async for line in reader:
        writer.write(line.upper())
        await writer.drain()
    writer.close()


@asynccontextmanager
async def lifespan(app):
    async with start_server(shout, os.environ.get("SHOUT_LISTEN", "tcp:7000"), drain=5) as server:
        app.state.shout = server
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def stats():
    return asdict(app.state.shout.stats)
