"""What a service manager is told."""

from __future__ import annotations

import logging
import re
import socket
import time
from typing import TYPE_CHECKING

import pytest

from asyncendpoints.sd_notify import Notifier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """Give what ``NOTIFY_SOCKET`` says, and the socket that hears the messages."""
    name = str(tmp_path / "notify")
    address = f"@{name}" if request.param == "abstract" else name
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address.replace("@", "\0"))
        sock.settimeout(5)
        yield address, sock


def test_messages_come_to_the_socket(manager: tuple[str, socket.socket]) -> None:
    """Each step is a datagram of its own, to a path and to an abstract name."""
    address, sock = manager
    notifier = Notifier.from_environ({"NOTIFY_SOCKET": address}, 1)
    for tell in (notifier.ready, notifier.alive, notifier.stopping):
        tell()
    assert [sock.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]


def test_a_reload_says_when_it_began(manager: tuple[str, socket.socket]) -> None:
    """The message of a reload has the monotonic clock, in microseconds."""
    address, sock = manager
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    Notifier(address).reloading()
    match = re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=(\d+)", sock.recv(100))
    assert match is not None
    assert before <= int(match[1]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}])
def test_nobody_is_told_nothing(environ: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    """Without a manager nothing happens, and nothing is logged."""
    notifier = Notifier.from_environ({**environ, "WATCHDOG_USEC": "1000000"}, 1)
    notifier.ready()
    assert notifier.watchdog is None
    assert caplog.records == []


@pytest.mark.parametrize("address", ["/nowhere/at/all", "vsock:2:1234", f"/{'x' * 200}"])
def test_a_message_that_is_lost_is_logged_once(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A manager that cannot be reached does not stop the service, and costs one line of the log."""
    notifier = Notifier(address)
    for _ in range(3):
        notifier.alive()
    (record,) = (each for each in caplog.records if each.levelno > logging.DEBUG)
    assert record.getMessage().startswith(f"NOTIFY_SOCKET={address}: cannot notify: ")


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "2"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "³"}, None),
        ({"WATCHDOG_USEC": "9" * 5000}, None),
    ],
)
def test_the_time_of_the_watchdog(variables: dict[str, str], seconds: float | None) -> None:
    """The seconds are those of this process, and a variable that says no number is none."""
    notifier = Notifier.from_environ({"NOTIFY_SOCKET": "@x", **variables}, 1)
    assert notifier.watchdog == seconds
