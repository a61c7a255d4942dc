"""What the tests themselves stand on."""

from __future__ import annotations

import pytest

from tests.support import lack


def test_a_missing_program_skips_on_a_laptop() -> None:
    """Where a program is missing its test is skipped, and the reason names it."""
    with pytest.raises(pytest.skip.Exception, match="socat is not installed"):
        lack("socat", {})


def test_a_missing_program_fails_in_ci() -> None:
    """In CI nothing is skipped."""
    with pytest.raises(pytest.fail.Exception, match="socat is not installed"):
        lack("socat", {"CI": "true"})
