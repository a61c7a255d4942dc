"""Errors of what is called back: one of them must not keep the news from the others.

The law: nothing is raised from here, and nothing fills a log.
"""

from __future__ import annotations

import asyncio
from time import monotonic

from asyncendpoints.throttle import Throttle

__all__ = ["report_fault"]

#: A limit for the process, as its log is one.
_throttle = Throttle()


def report_fault(error: Exception) -> None:
    """Tell the exception handler of the running loop of an error, unless it heard of one a moment ago."""
    if not _throttle.admits(monotonic()):
        return
    asyncio.get_running_loop().call_exception_handler(
        {"message": "a DNS callback raised", "exception": error}
    )
