"""Use the kinds of the package by their names; nothing here imports it."""

import asyncio

from asyncendpoints import listen, open_connection, parse_client


async def main():
    async with listen("knock:password=sesame:portfile:demo.port") as server:
        print(server.client_endpoints[0].display())
        reader, writer = await open_connection("knock:password=sesame:portfile:demo.port")
        _, ours = await anext(server)
        ours.write(b"hello\n")
        print(await reader.readline())
        writer.close()
        for text in ["knock:password=simsim:portfile:demo.port", "portfile:other.port"]:
            try:
                await open_connection(text)
            except OSError as error:
                print(error)
        print(server.stats.handshake_failed)
    try:
        parse_client("knock:password=sesame:portfile:demo.port:timeout=soon")
    except ValueError as error:
        print(error)


asyncio.run(main())
