"""What a service tells systemd: that it is ready, reloads, stops, and is alive.

Source: sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import logging
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Notifier"]

logger = logging.getLogger("asyncendpoints")

#: Seconds that a message may wait for room; the loop waits with it.
_SEND_SECONDS = 1.0


class Notifier:
    """Sends messages to a service manager, if there is one. A message that cannot be sent is lost.

    Args:
        address: The path of a unix socket, ``@`` and an abstract name, or None: then nothing is sent.
        watchdog: Seconds in which the manager wants to hear that the service is alive, or None.
    """

    def __init__(self, address: str | None, watchdog: float | None = None) -> None:
        self._address = address
        #: Seconds between two signs of life at most, or None if nobody waits for any.
        self.watchdog = watchdog if address else None
        self._has_failed = False

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], pid: int) -> Notifier:
        """Make what ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` of a process ask for."""
        return cls(environ.get("NOTIFY_SOCKET") or None, _watchdog(environ, pid))

    def ready(self) -> None:
        """Tell that everything serves, after the start or a reload."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Tell that a reload begins, which `ready` ends."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Tell that the end has begun."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Give a sign of life."""
        self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if self._address is None:
            return
        name = self._address
        if name.startswith("@"):
            name = f"\0{name[1:]}"
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(_SEND_SECONDS)
                sock.sendto(message.encode(), name)
        except OSError as error:
            self._log(error)

    def _log(self, error: OSError) -> None:
        """Write down the first message that was lost; those that follow at debug level only."""
        level = logging.DEBUG if self._has_failed else logging.WARNING
        self._has_failed = True
        logger.log(level, "NOTIFY_SOCKET=%s: cannot notify: %s", self._address, error)


def _watchdog(environ: Mapping[str, str], pid: int) -> float | None:
    """Give the seconds of the watchdog, if it is this process that is watched."""
    text = environ.get("WATCHDOG_USEC", "")
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    is_number = text.isascii() and text.isdigit() and len(text) <= 20
    return int(text) / 1e6 or None if is_number else None
