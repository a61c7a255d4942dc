"""Servers in native code: how each is configured for each job. One thread, no log, loopback only."""

from __future__ import annotations

import os
import pwd
import shutil
from typing import TYPE_CHECKING

from dns_servers.questions import STATIC, WILD, numbered
from dns_servers.running import HOST, Server, free_port

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["dnsmasq", "dnsmasq_forwarding", "knot", "unbound", "unbound_forwarding"]

_KNOT = """
server:
    rundir: {folder}
    listen: {host}@{port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
    tcp-max-clients: 4096
database:
    storage: {folder}
template:
  - id: default
    storage: {folder}
    journal-content: none
    zonefile-load: whole
zone:
{zones}
log:
  - target: stderr
    any: error
"""

_UNBOUND = """
server:
    interface: {host}
    port: {port}
    num-threads: 1
    username: ""
    chroot: ""
    directory: "{folder}"
    pidfile: ""
    use-syslog: no
    verbosity: 0
    do-daemonize: no
    module-config: "iterator"
    do-not-query-localhost: no
    num-queries-per-thread: 4096
    outgoing-range: 4096
{more}
remote-control:
    control-enable: no
"""


def knot(folder: Path, zones: dict[str, Path], *, is_aside: bool = False) -> Server:
    """Knot DNS with zones from files.

    Args:
        folder: For what it writes.
        zones: Domains, and the files of their zones.
        is_aside: Whether it is there for other servers to ask.
    """
    port = free_port()
    home = folder / f"knot{port}"
    home.mkdir()
    listed = "\n".join(f"  - domain: {each}\n    file: {path}" for each, path in zones.items())
    config = home / "knot.conf"
    config.write_text(_KNOT.format(host=HOST, port=port, folder=home, zones=listed))
    program = shutil.which("knotd")
    command = (program, "-c", str(config)) if program else ()
    return Server("Knot", command, port, f"host1.{next(iter(zones))}", is_aside=is_aside)


def unbound(folder: Path) -> Server:
    """Unbound with the names of the static zone."""
    lines = [f'    local-zone: "{STATIC}" static']
    lines += [f'    local-data: "{each} 3600 IN A 192.0.2.1"' for each in numbered(STATIC)]
    return _unbound(folder, "\n".join(lines), f"host1.{STATIC}")


def unbound_forwarding(folder: Path, upstream: int, *, cache: bool) -> Server:
    """Unbound that forwards to a port on this machine."""
    size = "256m" if cache else "0"
    more = f"    msg-cache-size: {size}\n    rrset-cache-size: {size}\n"
    more += f'forward-zone:\n    name: "{WILD}"\n    forward-addr: {HOST}@{upstream}\n'
    if not cache:
        more += "    forward-no-cache: yes\n"
    return _unbound(folder, more, f"host1.{WILD}")


def _unbound(folder: Path, more: str, known: str) -> Server:
    port = free_port()
    config = folder / f"unbound{port}.conf"
    config.write_text(_UNBOUND.format(host=HOST, port=port, folder=folder, more=more))
    program = shutil.which("unbound")
    command = (program, "-d", "-p", "-c", str(config)) if program else ()
    return Server("Unbound", command, port, known)


def dnsmasq(folder: Path) -> Server:
    """Give dnsmasq with the names of the static zone."""
    port = free_port()
    config = folder / f"dnsmasq{port}.conf"
    config.write_text("".join(f"host-record={each},192.0.2.1\n" for each in numbered(STATIC)))
    return _dnsmasq(port, f"host1.{STATIC}", f"--conf-file={config}", f"--local=/{STATIC}/")


def dnsmasq_forwarding(upstream: int, *, cache: bool) -> Server:
    """Give dnsmasq that forwards to a port on this machine."""
    size = "--cache-size=10000" if cache else "--cache-size=0"
    server = f"--server={HOST}#{upstream}"
    more = ("--conf-file=/dev/null", server, size, "--dns-forward-max=4096")
    return _dnsmasq(free_port(), f"host1.{WILD}", *more)


def _dnsmasq(port: int, known: str, *more: str) -> Server:
    program = shutil.which("dnsmasq")
    common = (
        "--keep-in-foreground",
        "--no-resolv",
        "--no-hosts",
        f"--port={port}",
        f"--listen-address={HOST}",
        "--bind-interfaces",
        "--pid-file=",
        f"--user={pwd.getpwuid(os.getuid()).pw_name}",
        "--log-facility=/dev/null",
    )
    command = (program, *common, *more) if program else ()
    return Server("dnsmasq", command, port, known)
