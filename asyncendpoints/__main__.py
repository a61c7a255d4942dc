"""The command line: ``asyncendpoints``, or ``python -m asyncendpoints``."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line, or say what it lacks."""
    try:
        from asyncendpoints.cli.program import (
            program,  # the library itself needs neither click nor rich
        )

        # A command is imported when it runs.
        program(prog_name="asyncendpoints")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in ("click", "rich"):
            raise
        sys.exit(
            f"the command line of asyncendpoints needs {package}, which is not installed; "
            "this installs it: pip install 'asyncendpoints[cli]'"
        )


if __name__ == "__main__":
    main()
