"""Who holds a port, as the proc file system says."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from asyncendpoints.holders import port_holder

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def row(address: str, state: str, inode: int) -> str:
    """Write a line of a table."""
    return f"   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 0 0 {inode} 1\n"


def processes(proc: Path, first: int = 812, **links: str) -> None:
    """Make a process for each name, with one descriptor that stands for what is given."""
    for number, (name, target) in enumerate(links.items(), start=first):
        descriptors = proc / str(number) / "fd"
        descriptors.mkdir(parents=True)
        (descriptors / "3").symlink_to(target)
        (proc / str(number) / "comm").write_text(f"{name}\n")


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Give a proc file system with tables, in which two programs hold ports."""
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text(
        HEADER
        + row("0100007F:1F90", "0A", 111)  # 127.0.0.1:8080 listens
        + row("0100007F:1F91", "01", 222)  # 127.0.0.1:8081 is connected
    )
    (tmp_path / "net" / "tcp6").write_text(HEADER + row("0" * 32 + ":0050", "0A", 333))
    processes(tmp_path, nginx="socket:[111]", client="socket:[222]", apache="socket:[333]")
    (tmp_path / "self").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("port", "holder"),
    [
        (8080, "nginx (process 812)"),
        (80, "apache (process 814)"),
        (8081, None),
        (22, None),
    ],
)
def test_port_holder(proc: Path, port: int, holder: str | None) -> None:
    """The process is the one that listens on the port, on either family; a connection does not count."""
    assert port_holder(port, proc) == holder


@pytest.mark.parametrize(
    ("port", "holder"), [(53, "named (process 900)"), (54, "dig (process 901)"), (8080, None)]
)
def test_udp_port_holder(proc: Path, port: int, holder: str | None) -> None:
    """The holder of a UDP port is whoever is bound to it, connected or not; TCP ports are others."""
    (proc / "net" / "udp").write_text(HEADER + row("00000000:0035", "07", 555))
    (proc / "net" / "udp6").write_text(HEADER + row("0" * 32 + ":0036", "01", 666))
    processes(proc, 900, named="socket:[555]", dig="socket:[666]")
    assert port_holder(port, proc, protocol="udp") == holder


def test_socket_of_another_user(proc: Path) -> None:
    """A process whose descriptors cannot be looked at is passed over."""
    (proc / "net" / "tcp").write_text(HEADER + row("00000000:0016", "0A", 444))
    (proc / "900").mkdir()
    (proc / "900" / "comm").write_text("sshd\n")
    assert port_holder(22, proc) is None


def test_descriptor_that_is_closed_meanwhile(proc: Path) -> None:
    """A descriptor that is no link any more is passed over."""
    (proc / "812" / "fd" / "2").write_text("")
    assert port_holder(8080, proc) == "nginx (process 812)"


def test_process_that_ends_meanwhile(proc: Path) -> None:
    """A process without a name has ended: nobody is found."""
    (proc / "812" / "comm").unlink()
    assert port_holder(8080, proc) is None


def test_no_ipv6(proc: Path) -> None:
    """A system without IPv6 has one table only."""
    (proc / "net" / "tcp6").unlink()
    assert port_holder(8080, proc) == "nginx (process 812)"


def test_no_proc(tmp_path: Path) -> None:
    """Without a proc file system nobody is found."""
    assert port_holder(80, tmp_path / "none") is None


def test_this_process() -> None:
    """A port that this process listens on is its own."""
    with open("/proc/self/comm") as file:
        name = file.read().strip()
    with socket.create_server(("127.0.0.1", 0)) as sock:
        assert port_holder(sock.getsockname()[1]) == f"{name} (process {os.getpid()})"
    assert sys.platform == "linux"
