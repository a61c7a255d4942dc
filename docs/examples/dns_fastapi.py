"""Names that are set over HTTP and answered over DNS, in one process."""

import os
from contextlib import asynccontextmanager
from ipaddress import IPv4Address

from fastapi import FastAPI

from asyncendpoints import dns

addresses = {}
router = dns.Router()


@router.on("{name}.home.test", "A", ttl=5)
def address(query, name):
    return addresses.get(name, dns.NXDomain())


@asynccontextmanager
async def lifespan(app):
    async with dns.listen(os.environ.get("DNS_LISTEN", "dns:10053"), router, drain=5) as server:
        app.state.dns = server
        yield


app = FastAPI(lifespan=lifespan)


@app.put("/names/{name}/{value}")
async def put(name: str, value: IPv4Address):
    addresses[name.lower()] = value
    return {f"{name.lower()}.home.test": value}


@app.get("/")
async def stats():
    return {"queries": app.state.dns.counters.received}
