"""Load: dnsperf asks as fast as a server answers, and what that costs the server is read from the system."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple

from dns_servers.running import HOST, Missing, Server, cores, cpu_seconds

if TYPE_CHECKING:
    from dns_servers.questions import Questions

__all__ = ["Cost", "ask_once", "cost"]

_COMPLETED = re.compile(r"Queries completed:\s+(\d+)")
_LOST = re.compile(r"Queries lost:\s+(\d+)")
_GOOD = re.compile(r"Response codes:\s+NOERROR \d+ \(100\.00%\)\s*$", re.MULTILINE)
_SIZES = re.compile(r"Average packet size:\s+request (\d+), response (\d+)")


class Cost(NamedTuple):
    """What one measurement gave."""

    #: CPU seconds of the server for each query.
    seconds: float
    #: Queries a second, as far as those who ask are fast enough.
    rate: float


def cost(
    server: Server, pid: int, questions: Questions, seconds: int, *, tcp: bool = False
) -> Cost:
    """Ask for a while, and give what it costs the server.

    Raises:
        Missing: dnsperf is not installed, or the server leaves questions without an answer, or ends.
    """
    start, before = time.perf_counter(), cpu_seconds(pid)
    count = _dnsperf(server, questions.path, "-l", str(seconds), tcp=tcp)
    spent, took = cpu_seconds(pid) - before, time.perf_counter() - start
    return Cost(spent / count, count / took)


def ask_once(server: Server, path: str, *, tcp: bool = False) -> int:
    """Ask each question of a file once, and give their number.

    Raises:
        Missing: As `cost` does.
    """
    return _dnsperf(server, path, "-n", "1", tcp=tcp)


def _dnsperf(server: Server, path: str, *limit: str, tcp: bool) -> int:
    """Run dnsperf, and give the number of answers."""
    program = shutil.which("dnsperf")
    if program is None:
        raise Missing("dnsperf is not installed")
    os.sched_setaffinity(0, {cores()[1]})
    where = ("-s", HOST, "-p", str(server.port), "-m", "tcp" if tcp else "udp")
    command = (program, *where, "-c", "10", "-q", "100", "-t", "2", "-d", path, *limit)
    text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return _checked(text, is_echo=server.is_echo)


def _checked(text: str, *, is_echo: bool) -> int:
    """Read what dnsperf says, and see that the answers are answers."""
    completed, lost, sizes = _COMPLETED.search(text), _LOST.search(text), _SIZES.search(text)
    if completed is None or lost is None or sizes is None or not int(completed[1]):
        raise Missing("answers nothing")
    if int(lost[1]) * 100 > int(completed[1]):
        raise Missing(f"loses {lost[1]} of {int(completed[1]) + int(lost[1])} queries")
    if not _GOOD.search(text) or (not is_echo and int(sizes[2]) < int(sizes[1]) + 16):
        codes = [line.strip() for line in text.splitlines() if "Response codes" in line]
        raise Missing(f"does not answer everything: {' '.join(codes)}")
    return int(completed[1])
