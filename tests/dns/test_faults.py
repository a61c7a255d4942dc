"""Errors of what is called back."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING, Any

from asyncendpoints.dns import faults
from asyncendpoints.dns.faults import report_fault

if TYPE_CHECKING:
    import pytest


async def test_errors_are_reported_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop's handler hears of the first error, and of the next one a minute later."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    monkeypatch.setattr(faults, "_reported", -inf)
    first, second, third = ValueError("1"), ValueError("2"), ValueError("3")
    report_fault(first)
    report_fault(second)
    monkeypatch.setattr(faults, "_reported", faults._reported - 60)
    report_fault(third)
    assert [each["exception"] for each in told] == [first, third]
