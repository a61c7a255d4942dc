"""Errors of what is called back."""

from __future__ import annotations

import asyncio
from typing import Any

from asyncendpoints.dns import faults
from asyncendpoints.dns.faults import report_fault


async def test_errors_are_reported_once_a_minute() -> None:
    """The loop's handler hears of the first error, and of the next one a minute later."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    last = faults._throttle.last
    last.clear()
    first, second, third = ValueError("1"), ValueError("2"), ValueError("3")
    report_fault(first)
    report_fault(second)
    last[None] -= 60
    report_fault(third)
    assert [each["exception"] for each in told] == [first, third]
