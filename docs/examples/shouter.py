"""A server that gives every line back in capitals, wherever its user wants it to listen."""

import argparse
import asyncio
import signal

from asyncendpoints import ListenError, parse_server, start_server


def endpoint(text):
    try:
        return parse_server(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


async def shout(reader, writer):
    async for line in reader:
        writer.write(line.upper())
        await writer.drain()
    writer.close()


async def serve(endpoints):
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with start_server(shout, endpoints, drain=10) as server:
        for client in server.client_endpoints:
            print("reach it at", client.display(), flush=True)
        await stop.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", type=endpoint, action="append", metavar="DESCRIPTION")
    try:
        asyncio.run(serve(parser.parse_args().listen or [parse_server("tcp:8080")]))
    except ListenError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
