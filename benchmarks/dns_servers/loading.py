"""How long a server stands still while it loads a zone: ``loading.py ours|twisted ZONE FILE`` prints seconds.

Twisted loads in its loop, which does nothing else meanwhile: its pause is as long as the loading.
"""

from __future__ import annotations

import asyncio
import sys
import time

#: Seconds between two looks at the clock.
_TICK = 0.001


async def _ours(path: str) -> float:
    """Load a zone, and give the longest time between two looks at the clock, less what it should be."""
    from asyncendpoints.dns import Zone

    loop = asyncio.get_running_loop()
    longest, last = 0.0, loop.time()

    def look() -> None:
        nonlocal longest, last
        now = loop.time()
        longest, last = max(longest, now - last - _TICK), now
        loop.call_later(_TICK, look)

    look()
    await Zone.load(path)
    await asyncio.sleep(_TICK * 10)
    return longest


def _twisted(path: str) -> float:
    from twisted.names.authority import BindAuthority

    start = time.perf_counter()
    BindAuthority(path)  # type: ignore[no-untyped-call]
    return time.perf_counter() - start


if __name__ == "__main__":
    print(asyncio.run(_ours(sys.argv[2])) if sys.argv[1] == "ours" else _twisted(sys.argv[2]))
