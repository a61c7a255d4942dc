"""Servers in Python: how each is started for each job."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from dns_servers.questions import COMPUTED, STATIC, WILD
from dns_servers.running import Missing, Server, free_port

__all__ = ["floor", "longest_pause", "ours", "twisted"]

_HERE = Path(__file__).parent
#: The domain of each job.
_DOMAINS = {"static": STATIC, "cached": WILD, "forwarded": WILD}


def ours(job: str, *more: object, domain: str = "", is_aside: bool = False) -> Server:
    """Our server.

    Args:
        job: One of those of ``ours.py``.
        more: What that job takes.
        domain: In which it is asked, if that is not the one of the job.
        is_aside: Whether it is there for other servers to ask.
    """
    server = _program("ours.py", "ours", job, *more)
    known = f"host1.{domain}" if domain else server.known
    return replace(server, known=known, is_aside=is_aside)


def twisted(job: str, *more: object) -> Server:
    """Twisted names.

    Args:
        job: One of those of ``twisted_names.py``.
        more: What that job takes.
    """
    server = _program("twisted_names.py", "Twisted", job, *more)
    return server if find_spec("twisted") else Server("Twisted", (), 0, "")


def floor() -> Server:
    """A socket that is drained and gives everything back."""
    port = free_port()
    command = (sys.executable, str(_HERE / "floor.py"), str(port))
    return Server("echo only", command, port, f"host1.{STATIC}", is_echo=True)


def longest_pause(path: Path, server: Server) -> float:
    """Give the seconds for which a server stands still while it loads a zone.

    Args:
        path: The zone file.
        server: Ours or Twisted's.

    Raises:
        Missing: It is not installed, or cannot load.
    """
    if not server.command:
        raise Missing("not installed")
    command = (sys.executable, str(_HERE / "loading.py"), server.name.lower(), str(path))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing(f"does not load: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout)


def _program(file: str, name: str, job: str, *more: object) -> Server:
    port = free_port()
    command = (sys.executable, str(_HERE / file), job, str(port), *map(str, more))
    return Server(name, command, port, f"host1.{_DOMAINS.get(job, COMPUTED)}")
