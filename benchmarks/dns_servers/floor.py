"""What asyncio takes for a datagram when nothing is done with it: ``floor.py PORT`` gives back what it gets.

It drains its socket on each wake-up. No server in Python on asyncio's loop gets below this.
"""

from __future__ import annotations

import asyncio
import socket
import sys

#: Datagrams on one wake-up, so that other work has its turn.
_MOST = 64


def drain(sock: socket.socket, buffer: bytearray) -> None:
    """Give back what has arrived, each marked as a reply."""
    view = memoryview(buffer)
    try:
        for _ in range(_MOST):
            size, peer = sock.recvfrom_into(buffer)
            buffer[2] |= 0x80
            sock.sendto(view[:size], peer)
    except BlockingIOError:
        return


async def main(port: int) -> None:
    """Serve until the process is ended."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind(("127.0.0.1", port))
        asyncio.get_running_loop().add_reader(sock, drain, sock, bytearray(4096))
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
