"""What the DNS servers are asked, and the zone in which the answers stand.

Three domains: ``static`` has a record for each of `NAMES` names, ``wild`` has the one record ``*``, for
servers that ask another one, and ``computed`` is for servers that work an answer out.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = [
    "COMPUTED",
    "NAMES",
    "STATIC",
    "WILD",
    "Questions",
    "many",
    "numbered",
    "shuffled_case",
    "write_zone",
]

STATIC, WILD, COMPUTED = "static.example.net", "wild.example.net", "computed.example.net"
#: Names in the static zone.
NAMES = 1000
#: Questions in a file in which none comes twice: more than a server answers in a round.
MANY = 250_000


class Questions(NamedTuple):
    """Files for dnsperf."""

    #: What is asked while it counts, again from the start when it ends.
    path: str
    #: What is asked once before, so that what happens once only is over.
    first: str

    @classmethod
    def write(cls, folder: Path, name: str, names: Iterable[str]) -> Questions:
        """Write the files, each name a question for an address."""
        lines = [f"{each} A\n" for each in names]
        path, first = folder / name, folder / f"{name}.first"
        path.write_text("".join(lines))
        first.write_text("".join(lines[:NAMES]))
        return cls(str(path), str(first))


def numbered(domain: str) -> list[str]:
    """Give `NAMES` names in a domain, in no order."""
    names = [f"host{number}.{domain}" for number in range(NAMES)]
    random.Random(1).shuffle(names)
    return names


def many(domain: str, start: int = 0) -> list[str]:
    """Give `MANY` names in a domain.

    Args:
        domain: In which they are.
        start: How many more to leave out.
    """
    return [f"host{number}.{domain}" for number in range(start, start + MANY)]


def shuffled_case(domain: str) -> list[str]:
    """Give `MANY` spellings of the names in a domain, each letter large or small by chance."""
    draw, names = random.Random(2), numbered(domain)
    return ["".join(draw.choice((c, c.upper())) for c in draw.choice(names)) for _ in range(MANY)]


def write_zone(path: Path, domain: str, names: Iterable[str], *, size: int = 0) -> Path:
    """Write a zone file that every one of the servers can read.

    Args:
        path: Of the file.
        domain: The name of the zone.
        names: Names that have an address each, relative to the zone.
        size: More such names, which are numbered.
    """
    lines = [
        "$TTL 3600",
        f"$ORIGIN {domain}.",
        f"{domain}. 3600 IN SOA ns.{domain}. admin.{domain}. 1 3600 600 86400 60",
        f"{domain}. 3600 IN NS ns.{domain}.",
        "ns 3600 IN A 127.0.0.1",
        *(f"{name} 3600 IN A 192.0.2.1" for name in names),
        *(
            f"more{number} 3600 IN A 10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
            for number in range(size)
        ),
    ]
    path.write_text("\n".join(lines) + "\n")
    return path
