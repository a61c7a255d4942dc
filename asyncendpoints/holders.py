"""Who holds a port: for the hint of an error. Linux only; elsewhere nobody is found."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["port_holder"]

_LISTEN = "0A"


def port_holder(port: int, proc: Path = Path("/proc"), *, protocol: str = "tcp") -> str | None:
    """Name the process that listens on a TCP port, or has a UDP port, as ``"nginx (process 812)"``.

    Args:
        port: 1 to 65535.
        proc: Where the proc file system is.
        protocol: ``"tcp"`` or ``"udp"``.

    Returns:
        None if that cannot be found out: other users' processes are not open to everybody.

    Source: proc(5), ``/proc/net/tcp``, ``/proc/net/udp`` and ``/proc/[pid]/fd``.
    """
    try:
        inodes = _inodes(port, proc, protocol)
        return _owner(inodes, proc) if inodes else None
    except OSError:
        return None


def _inodes(port: int, proc: Path, protocol: str) -> set[str]:
    inodes = set()
    for table in (protocol, f"{protocol}6"):
        try:
            lines = (proc / "net" / table).read_text().splitlines()[1:]
        except FileNotFoundError:
            continue
        for columns in (line.split() for line in lines):
            # A UDP socket has its port in whatever state, a TCP port belongs to who listens.
            is_holder = protocol == "udp" or columns[3] == _LISTEN
            if is_holder and int(columns[1].rpartition(":")[2], 16) == port:
                inodes.add(columns[9])
    return inodes


def _owner(inodes: set[str], proc: Path) -> str | None:
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in proc.iterdir():
        if process.name.isdigit() and not wanted.isdisjoint(_links(process / "fd")):
            return f"{(process / 'comm').read_text().strip()} (process {process.name})"
    return None


def _links(descriptors: Path) -> list[str]:
    """Give what the descriptors of a process stand for; nothing if it is another user's."""
    links = []
    with suppress(OSError):
        for each in descriptors.iterdir():
            with suppress(OSError):  # closed meanwhile
                links.append(os.readlink(each))
    return links
