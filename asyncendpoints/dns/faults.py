"""Errors of what is called back: one of them must not keep the news from the others.

The law: nothing is raised from here, and nothing fills a log.
"""

from __future__ import annotations

import asyncio
from math import inf
from time import monotonic

__all__ = ["report_fault"]

#: Seconds between two reports.
_INTERVAL = 60.0
#: When the last one was, in seconds.
_reported = -inf


def report_fault(error: Exception) -> None:
    """Tell the exception handler of the running loop of an error, unless it heard of one a moment ago."""
    global _reported  # noqa: PLW0603 - a limit for the process, as its log is one
    now = monotonic()
    if now - _reported < _INTERVAL:
        return
    _reported = now
    asyncio.get_running_loop().call_exception_handler(
        {"message": "a DNS callback raised", "exception": error}
    )
