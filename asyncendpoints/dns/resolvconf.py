"""The file in which a machine keeps its name servers: ``resolv.conf``.

Parsing is pure. The file is read when it is first needed and when it has changed since.

Source: resolv.conf(5) of Linux.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ConfFile", "ResolvConf", "parse_resolv_conf"]

logger = logging.getLogger("asyncendpoints.dns")

#: Who is asked where the file names nobody.
_DEFAULT_SERVERS = ("127.0.0.1",)
#: The largest values that count, as in the C library.
_MOST_TIMEOUT, _MOST_ATTEMPTS, _MOST_NDOTS = 30, 5, 15
#: How much of a file is read, in bytes.
_MOST_BYTES: Final = 65_536
#: How many problems are logged each time.
_MOST_LOGGED: Final = 10


@dataclass(frozen=True, slots=True)
class ResolvConf:
    """What such a file says."""

    #: The addresses of the servers, in order; never empty.
    nameservers: tuple[str, ...] = _DEFAULT_SERVERS
    #: Domains that are added to short names, in order, without a final dot.
    search: tuple[str, ...] = ()
    #: How many dots make a name be tried as it is before the domains are added, 0 to 15.
    ndots: int = 1
    #: Seconds for which a server is waited for, 1 to 30.
    timeout: int = 5
    #: How many times each server is asked, 1 to 5.
    attempts: int = 2
    #: The servers are asked in turn.
    rotate: bool = False
    #: They are asked over TCP.
    use_vc: bool = False
    #: Their AD bit can be trusted.
    trust_ad: bool = False
    #: Lines that mean nothing, each with its number and what is wrong with it.
    problems: tuple[str, ...] = ()


def parse_resolv_conf(text: str) -> ResolvConf:
    """Read the text of such a file. What is wrong in it is left out, and is in ``problems``."""
    found: dict[str, Any] = {}
    servers: list[str] = []
    problems: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(("#", ";")) or not line.strip():
            continue
        keyword, *values = line.split()
        try:
            if keyword == "nameserver":
                servers.append(_address(values))
            elif keyword in ("search", "domain"):
                found["search"] = _domains(keyword, values)
            elif keyword == "options":
                _read_options(values, found)
            elif keyword != "sortlist":
                raise ValueError(f"{keyword!r} is no keyword")
        except ValueError as error:
            problems.append(f"line {number}: {error}")
    return ResolvConf(tuple(servers) or _DEFAULT_SERVERS, problems=tuple(problems), **found)


def _address(values: list[str]) -> str:
    if not values:
        raise ValueError("a nameserver needs an address")
    ip_address(values[0])
    return values[0]


def _domains(keyword: str, values: list[str]) -> tuple[str, ...]:
    if not values:
        raise ValueError(f"{keyword} needs a domain")
    chosen = values[:1] if keyword == "domain" else values
    return tuple([each.rstrip(".") for each in chosen if each.rstrip(".")])


def _read_options(values: list[str], found: dict[str, Any]) -> None:
    """Read the options that are known; the others are for the C library."""
    for each in values:
        name, _, value = each.partition(":")
        if name in _NUMBERS:
            least, most = _NUMBERS[name]
            if not (value.isascii() and value.isdigit()) or len(value) > 6:
                raise ValueError(f"{each!r} needs a number, as in {name}:{most}")
            found[name] = min(max(int(value), least), most)
        elif name in _SWITCHES:
            found[_SWITCHES[name]] = True


#: The smallest and the largest value of options with a number.
_NUMBERS = {
    "ndots": (0, _MOST_NDOTS),
    "timeout": (1, _MOST_TIMEOUT),
    "attempts": (1, _MOST_ATTEMPTS),
}
_SWITCHES = {"rotate": "rotate", "use-vc": "use_vc", "usevc": "use_vc", "trust-ad": "trust_ad"}


class ConfFile:
    """Such a file, and what it said when it was last read.

    Args:
        path: Where it is; without a file there is what holds without one.
        seconds: How often it is worth a look, in seconds.

    Raises:
        TypeError: ``path`` is none.
    """

    __slots__ = ("_conf", "_path", "_state", "seconds")

    def __init__(self, path: str | Path, seconds: float = 5.0) -> None:
        self._path = os.fspath(path)
        self._state: object = ()
        self._conf = ResolvConf()
        self.seconds = seconds

    @property
    def conf(self) -> ResolvConf:
        """What it said when it was last read; it is read now if it never was."""
        if self._state == ():
            self.refresh()
        return self._conf

    def refresh(self) -> bool:
        """Read it if it has changed, and tell whether it says something else."""
        try:
            status = os.stat(self._path)
            state: object = (status.st_ino, status.st_size, status.st_mtime_ns)
        except OSError:
            state = None
        if state == self._state:
            return False
        self._state = state
        before, self._conf = self._conf, self._read()
        for each in self._conf.problems[:_MOST_LOGGED]:
            logger.warning("%s, %s", self._path, each)
        return before != self._conf

    def _read(self) -> ResolvConf:
        try:
            with open(self._path, "rb") as file:
                content = file.read(_MOST_BYTES)
        except OSError:
            return ResolvConf()
        return parse_resolv_conf(content.decode(errors="replace"))
