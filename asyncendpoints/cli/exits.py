"""The exit codes of all commands."""

from __future__ import annotations

__all__ = ["FAILURE", "INTERRUPTED", "OK", "USAGE"]

OK = 0
FAILURE = 1
#: As click has it.
USAGE = 2
#: After Ctrl-C, as shells have it: 128 and the number of SIGINT.
INTERRUPTED = 130
