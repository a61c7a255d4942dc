"""What every test can use."""

from __future__ import annotations

import asyncio
import os
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

#: Set to ``uvloop`` to run the suite on it.
LOOP = os.environ.get("ASYNCENDPOINTS_TEST_LOOP", "asyncio")


@pytest.fixture(scope="session")
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    """The event loop that the suite runs on."""
    if LOOP == "uvloop":
        import uvloop

        return uvloop.EventLoopPolicy()
    return asyncio.DefaultEventLoopPolicy()


@pytest.fixture
def program() -> Callable[[str], str]:
    """Give the path of a program that others wrote; without it the test is skipped, in CI failed."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            reason = f"{name} is not installed"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)
        return path

    return find
