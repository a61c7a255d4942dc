"""An aiohttp application with a DNS server in it: dns_aiohttp.py DNS_ENDPOINT HTTP_PATH ZONE_FILE"""

import sys

from aiohttp import web

from asyncendpoints import ZoneError, dns

SERVER = web.AppKey("server", dns.NameServer)
ZONE = web.AppKey("zone", dns.Zone)


def name_server(endpoint, path):
    async def context(app):
        app[ZONE] = await dns.Zone.load(path)
        async with dns.listen(endpoint, app[ZONE]) as app[SERVER]:
            print("reach it at", *app[SERVER].client_endpoints, flush=True)
            yield

    return context


async def show(request):
    return web.json_response({"records": request.app[ZONE].records})


async def reload(request):
    try:
        await request.app[ZONE].reload()
    except ZoneError as error:  # the zone is what it was
        return web.Response(status=409, text=f"{error}\n")
    return await show(request)


if __name__ == "__main__":
    endpoint, socket, path = sys.argv[1:]
    app = web.Application()
    app.cleanup_ctx.append(name_server(endpoint, path))
    app.add_routes([web.get("/", show), web.post("/reload", reload)])
    web.run_app(app, path=socket)
