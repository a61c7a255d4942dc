"""What every test can use."""

from __future__ import annotations

import asyncio
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.support import lack

if TYPE_CHECKING:
    from collections.abc import Callable

# The same examples at every run, and no limit on a slow machine.
settings.register_profile("asyncendpoints", derandomize=True, deadline=None)
settings.load_profile("asyncendpoints")

#: Set to ``uvloop`` to run the suite on it.
LOOP = os.environ.get("ASYNCENDPOINTS_TEST_LOOP", "asyncio")


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Give the event loop that the suite runs on."""
    if LOOP == "uvloop":  # pragma: no cover - reach is measured on asyncio's loop
        import uvloop

        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture
def program() -> Callable[[str], str]:
    """Give the path of a program that others wrote; without it the test is skipped, in CI failed."""

    def find(name: str) -> str:
        path = shutil.which(name)
        return path or lack(name, os.environ)

    return find
