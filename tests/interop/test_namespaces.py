"""Machines without IPv6, or without any address, as network namespaces of the kernel."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.interop

LISTEN = """
import asyncio
from asyncendpoints import listen

async def main():
    async with listen("tcp:0") as server:
        print(*(address.host for address in server.addresses))
        {then}

asyncio.run(main())
"""
CONNECT = "await asyncio.open_connection('127.0.0.1', server.port); print((await anext(server)) is not None)"


@pytest.fixture
def namespace(program: Callable[[str], str]) -> list[str]:
    """Give the command that runs another one in a network of its own; skip where that is not allowed."""
    command = [program("unshare"), "--map-root-user", "--net"]
    allowed = subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
    return command if allowed else [program("a network namespace for this user")]


def listen_in(namespace: list[str], setup: str, then: str = "pass") -> list[str]:
    """Listen on ``tcp:0`` in a namespace, and give what is printed."""
    script = f'{setup}; exec "$0" -c "$1"'
    command = [*namespace, "sh", "-c", script, sys.executable, LISTEN.format(then=then)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_ipv6_is_off(namespace: list[str], program: Callable[[str], str]) -> None:
    """Where IPv6 is off a server without an interface listens on IPv4, and works."""
    ip = program("ip")
    off = f"{ip} link set lo up; {ip} -6 addr del ::1/128 dev lo"
    assert listen_in(namespace, off, CONNECT) == ["0.0.0.0", "True"]


def test_no_address_at_all(namespace: list[str]) -> None:
    """Where not even loopback is up a server without an interface listens for what may come."""
    assert listen_in(namespace, "true") == ["0.0.0.0"]
