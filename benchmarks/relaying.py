"""What a gigabyte costs on its way through a relay: CPU seconds of the relay alone.

Every relay is a process of its own on one core; the traffic comes from another process on another core,
the same for all, and the relays take turns. Run it with ``python benchmarks/relaying.py``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_GIGABYTE = 10**9
_CHUNK = 1 << 20
_HOST = "127.0.0.1"


# The relays, each in a process that runs this file again


async def _ours(port: int, target: int, *, splice: bool) -> None:
    from asyncendpoints import listen
    from asyncendpoints.relaying import Relay

    relay = Relay(f"tcp:{_HOST}:{target}", splice=splice)
    async with listen(f"tcp:{port}:interface={_HOST}", relay.accept) as server:
        await server.serve_forever()


def _twisted(port: int, target: int) -> None:
    from twisted.internet import reactor
    from twisted.protocols.portforward import ProxyFactory

    loop: Any = reactor  # a module that becomes the reactor when it is imported
    loop.listenTCP(port, ProxyFactory(_HOST, target), interface=_HOST)
    loop.run()


def _uvloop(port: int, target: int, *, splice: bool) -> None:
    import uvloop

    uvloop.run(_ours(port, target, splice=splice))


_HERE: dict[str, Callable[[int, int], None]] = {
    "ours, buffered": lambda port, target: asyncio.run(_ours(port, target, splice=False)),
    "ours, spliced": lambda port, target: asyncio.run(_ours(port, target, splice=True)),
    "ours, buffered, uvloop": lambda port, target: _uvloop(port, target, splice=False),
    "ours, spliced, uvloop": lambda port, target: _uvloop(port, target, splice=True),
    "Twisted's portforward": _twisted,
}

_HAPROXY = """
global
    nbthread 1
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    {option}
frontend front
    bind {host}:{port}
    default_backend back
backend back
    server target {host}:{target}
"""


def _commands(port: int, target: int, folder: Path) -> dict[str, list[str]]:
    """List what is to be measured and can be: name to command."""
    commands = {
        name: [sys.executable, __file__, "--serve", name, str(port), str(target)] for name in _HERE
    }
    if haproxy := shutil.which("haproxy"):
        for name, option in (("haproxy", ""), ("haproxy, spliced", "option splice-response")):
            config = folder / f"{name}.cfg"
            config.write_text(_HAPROXY.format(host=_HOST, port=port, target=target, option=option))
            commands[name] = [haproxy, "-db", "-f", str(config)]
    if socat := shutil.which("socat"):
        listen = f"TCP-LISTEN:{port},bind={_HOST},reuseaddr"
        commands["socat"] = [socat, "-b", str(_CHUNK), listen, f"TCP:{_HOST}:{target}"]
    return commands


# The traffic


class Source:
    """A server that sends as many bytes as it is asked for, then ends."""

    def __init__(self) -> None:
        self._listening = socket.create_server((_HOST, 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        chunk = memoryview(bytes(_CHUNK))
        while True:
            sock, _ = self._listening.accept()
            with sock:
                left = int.from_bytes(sock.recv(8), "big")
                while left:
                    left -= sock.send(chunk[:left])


def _fetch(port: int, amount: int) -> None:
    """Have a number of bytes sent, and throw them away without copying them."""
    with socket.create_connection((_HOST, port)) as sock:
        sock.send(amount.to_bytes(8, "big"))
        left, scratch = amount, bytearray(_CHUNK)
        while left:
            count = sock.recv_into(scratch, _CHUNK, socket.MSG_TRUNC)
            if not count:
                sys.exit("the relay closed early")
            left -= count


# The measurement


@contextmanager
def _running(command: list[str], port: int, core: int) -> Iterator[int]:
    """Run a relay on a core until the block ends; give its process id."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        os.sched_setaffinity(process.pid, {core})
        _wait_listening(port)
        yield process.pid
    finally:
        process.kill()
        process.wait()


def _wait_listening(port: int) -> None:
    """Wait until the kernel lists the port as listening; no connection is made."""
    wanted = f":{port:04X} 00000000:0000 0A"
    deadline = time.monotonic() + 20
    while wanted not in Path("/proc/net/tcp").read_text():
        if time.monotonic() > deadline:
            sys.exit("a relay does not start")
        time.sleep(0.02)


def _cpu_seconds(pid: int) -> float:
    """Give the time that the main thread of a process has been on a core."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def _cost(command: list[str], port: int, core: int, amount: int) -> float:
    """Give the CPU seconds of a relay for each gigabyte."""
    with _running(command, port, core) as pid:
        before = _cpu_seconds(pid)
        _fetch(port, amount)
        return (_cpu_seconds(pid) - before) * _GIGABYTE / amount


def _free_port() -> int:
    with socket.create_server((_HOST, 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def _report(costs: dict[str, list[float]]) -> None:
    medians = {name: median(values) for name, values in costs.items()}
    peers = [name for name in ("Twisted's portforward", "haproxy") if name in medians]
    print(f"{'CPU seconds per GB':28}{'median':>8}{'best':>8}", *(f"{each:>24}" for each in peers))
    for name, value in medians.items():
        ratios = (f"{medians[each] / value:>22.2f} x" for each in peers)
        print(f"{name:28}{value:8.3f}{min(costs[name]):8.3f}", *ratios)
    print("\nThe ratios say how many times the bytes of that peer one CPU second carries.")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each relay")
    parser.add_argument("--bytes", type=int, default=_GIGABYTE, help="bytes in each measurement")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        name, port, target = options.serve
        _HERE[name](int(port), int(target))
        return
    cores = os.sched_getaffinity(0)
    if len(cores) > 1:
        # Without this the traffic would share the core of the relay.
        os.sched_setaffinity(0, cores - {min(cores)})
    source, port = Source(), _free_port()
    with tempfile.TemporaryDirectory() as folder:
        commands = _commands(port, source.port, Path(folder))
        costs: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(options.rounds):
            for name, command in commands.items():
                costs[name].append(_cost(command, port, min(cores), options.bytes))
    _report(costs)


if __name__ == "__main__":
    main()
