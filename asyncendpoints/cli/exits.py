"""The exit codes of all commands; 2, for wrong usage, is click's own."""

from __future__ import annotations

__all__ = ["FAILURE", "INTERRUPTED", "OK"]

OK = 0
FAILURE = 1
#: After Ctrl-C, as shells have it: 128 and the number of SIGINT.
INTERRUPTED = 130
