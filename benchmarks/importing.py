"""How long the package takes to import, beside the modules of Python that it cannot do without.

Each measurement is a process of its own, which times the import alone. What is used first pays for itself:
the second row is a program that connects and listens. Run it with ``python benchmarks/importing.py``.
"""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

from measure import Row, interleaved, report

if TYPE_CHECKING:
    from collections.abc import Iterator

BASE = "import asyncio, ssl, dataclasses"
TIMED = "from time import perf_counter; start = perf_counter(); {}; print(perf_counter() - start)"


def seconds(statement: str) -> float:
    """Give the seconds that a statement takes in a fresh process."""
    command = [sys.executable, "-c", TIMED.format(statement)]
    done = subprocess.run(command, check=True, capture_output=True)
    return float(done.stdout)


def rows() -> Iterator[Row]:
    """Measure the bare import and that of the two functions which most programs use."""
    package = "import asyncendpoints"
    functions = "from asyncendpoints import connect, listen"
    for statement, held_to in [(package, 1.2), (functions, None)]:
        result = interleaved(partial(seconds, statement), partial(seconds, BASE))
        yield Row(statement, result, held_to)


if __name__ == "__main__":
    seconds("import asyncendpoints")  # writes the bytecode
    sys.exit(report(f"Importing; peer: {BASE}", rows()))
