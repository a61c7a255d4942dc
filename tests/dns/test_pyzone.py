"""Resolvers that Python files define."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncendpoints.dns.outcome import PASS, Answer, NXDomain
from asyncendpoints.dns.pyzone import PythonFile, load_python
from asyncendpoints.dns.query import Query
from asyncendpoints.dns.resolver import ask
from asyncendpoints.dns.router import Router
from asyncendpoints.dns.zoneload import Zone
from asyncendpoints.errors import ZoneError

if TYPE_CHECKING:
    from pathlib import Path

    from asyncendpoints.dns.resolver import Resolver

ROUTER = """
from asyncendpoints.dns.router import Router
{name} = Router()

@{name}.on("www.a.test", "A")
def www(query):
    return "{address}"
"""

TWISTED = """
zone = [
    SOA("a.test", mname="ns.a.test", rname="admin.a.test", serial={serial}, minimum="1H"),
    NS("a.test", "ns.a.test"),
    A("ns.a.test", "192.0.2.53"),
]
"""

OBJECT = """
class Fixed:
    varies = True
    recursive = True
    closed = 0

    async def resolve(self, query):
        from asyncendpoints.dns.outcome import Answer
        return Answer.of(query, "192.0.2.7")

    async def aclose(self):
        Fixed.closed += 1

resolver = Fixed()
"""


def write(path: Path, text: str) -> None:
    """Write a file."""
    path.write_text(text)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the path of a file that is not there yet."""
    return tmp_path / "answers.py"


async def address(resolver: Resolver, name: str = "www.a.test") -> str:
    """Ask for an address."""
    outcome = await ask(resolver, Query.make(name, "A"))
    assert isinstance(outcome, Answer)
    return str(outcome.rrsets[0][0])


@pytest.mark.parametrize("name", ["resolver", "router", "zone"])
async def test_a_resolver_has_one_of_three_names(path: Path, name: str) -> None:
    """Whatever has a method resolve is taken."""
    write(path, ROUTER.format(name=name, address="192.0.2.1"))
    resolver = load_python(str(path))
    assert isinstance(resolver, Router)
    assert await address(resolver) == "192.0.2.1"


async def test_a_zone_of_twisted(path: Path) -> None:
    """The constructors are there without an import, and the list becomes a zone."""
    write(path, TWISTED.format(serial=1))
    zone = load_python(str(path))
    assert isinstance(zone, Zone)
    assert (zone.name, zone.records) == ("a.test", 3)
    assert await address(zone, "ns.a.test") == "192.0.2.53"
    assert isinstance(await ask(zone, Query.make("x.a.test", "A")), NXDomain)


def test_warnings_of_a_zone_are_kept(path: Path) -> None:
    """They are those of every zone."""
    write(path, TWISTED.format(serial=1).replace('A("ns', 'A("other'))
    zone = load_python(str(path))
    assert isinstance(zone, Zone)
    assert zone.warnings == ("a.test NS: ns.a.test has no address in the zone",)


def test_a_dataclass_in_a_file(path: Path) -> None:
    """Code that looks its own module up finds it."""
    write(
        path,
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass Answers:\n    number: int\n    def resolve(self, query): ...\n"
        "resolver = Answers(1)\n",
    )
    assert callable(load_python(str(path)).resolve)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("x = 1\n", 0, "defines none of 'resolver', 'router' and 'zone'"),
        (
            "resolver = 5\n",
            0,
            "'resolver': a resolver has a method resolve(query), which 5 has not",
        ),
        ("zone = {}\n", 0, "'zone': a resolver has a method resolve(query), which {} has not"),
        (
            "from asyncendpoints.dns import Router as router\n",
            0,
            "'router': Router is a class; did you mean Router()?",
        ),
        ("x = 1\ny = (\n", 2, "is no Python: '(' was never closed"),
        ("x = 1\ny = x / 0\n", 2, "ZeroDivisionError: division by zero"),
        ("\ndef f():\n    return z\nf()\n", 3, "NameError: name 'z' is not defined"),
        ("x\0", 0, None),
        (
            "from asyncendpoints.dns.router import Router\nRouter().on('a..b', 'A')\n",
            2,
            "'a..b': has an empty label; one dot stands between labels",
        ),
        (
            "zone = [A('a.test', 'x')]\n",
            1,
            "ValueError: A(): Expected 4 octets in 'x'",
        ),
        ("zone = []\n", 0, "the zone has no SOA"),
    ],
)
def test_wrong_files(path: Path, text: str, line: int, problem: str | None) -> None:
    """The error has the file, the line in it that was executed last, and what is wrong."""
    write(path, text)
    with pytest.raises(ZoneError) as caught:
        load_python(str(path))
    assert (caught.value.path, caught.value.line) == (str(path), line)
    assert problem is None or caught.value.problem == problem


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The error says so."""
    with pytest.raises(ZoneError) as caught:
        load_python(str(tmp_path / "no.py"))
    assert caught.value.problem == "cannot be read: No such file or directory"


async def test_a_file_is_a_resolver(path: Path) -> None:
    """It says of itself what its resolver says."""
    write(path, OBJECT)
    file = PythonFile(path)
    assert await address(file) == "192.0.2.7"
    assert (file.path, file.version, file.varies, file.recursive) == (str(path), None, True, True)
    assert repr(file) == f"PythonFile({str(path)!r})"
    await file.aclose()
    assert file.resolver.closed == 1  # type: ignore[attr-defined]


async def test_reloading_a_resolver(path: Path) -> None:
    """The file is executed again, and the version is another."""
    write(path, ROUTER.format(name="router", address="192.0.2.1"))
    file = PythonFile(path)
    before = file.version
    write(path, ROUTER.format(name="router", address="192.0.2.2"))
    await file.reload()
    assert await address(file) == "192.0.2.2"
    assert before != file.version != (0, 1)


async def test_the_old_resolver_is_closed(path: Path) -> None:
    """A reload closes what the file defined before."""
    write(path, OBJECT)
    file = PythonFile(path)
    old = file.resolver
    await file.reload()
    assert file.resolver is not old
    assert old.closed == 1  # type: ignore[attr-defined]


async def test_reloading_a_zone(path: Path) -> None:
    """The zone stays the same object, with other records."""
    write(path, TWISTED.format(serial=1))
    file = PythonFile(path)
    zone = file.resolver
    write(path, TWISTED.format(serial=2).replace("192.0.2.53", "192.0.2.54"))
    await file.reload()
    assert file.resolver is zone
    assert await address(zone, "ns.a.test") == "192.0.2.54"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            TWISTED.format(serial=1),
            "resolver = 5",
            "'resolver': a resolver has a method resolve(query), which 5 has not",
        ),
        (
            TWISTED.format(serial=1),
            TWISTED.format(serial=1).replace("a.test", "b.test"),
            "the zone is no longer a.test",
        ),
        (TWISTED.format(serial=1), OBJECT, "defines a zone no longer; that takes a restart"),
        (OBJECT, TWISTED.format(serial=1), "defines a zone, as it did not; that takes a restart"),
        (
            OBJECT,
            OBJECT.replace("varies = True", ""),
            "depends on who asks, no longer; that takes a restart",
        ),
        (
            OBJECT.replace("recursive = True", ""),
            OBJECT,
            "offers recursion, as it did not; that takes a restart",
        ),
        (
            OBJECT,
            OBJECT.replace("varies = True", "varies = True; version = 1"),
            "has a version, as it did not; that takes a restart",
        ),
        (OBJECT, "import sys\nsys.exit(5)", "SystemExit: 5"),
    ],
)
async def test_a_reload_that_fails_changes_nothing(
    path: Path, old: str, new: str, problem: str
) -> None:
    """The resolver of before goes on."""
    write(path, old)
    file = PythonFile(path)
    resolver, version = file.resolver, file.version
    write(path, new)
    with pytest.raises(ZoneError) as caught:
        await file.reload()
    assert caught.value.problem == problem
    assert (file.resolver, file.version) == (resolver, version)


def test_a_file_passes_what_its_resolver_passes(path: Path) -> None:
    """Names that the file does not know are for the next resolver."""
    write(path, ROUTER.format(name="router", address="192.0.2.1"))
    assert PythonFile(path).resolve(Query.make("b.test", "A")) is PASS
