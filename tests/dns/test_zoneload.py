"""Zones from files: reading, another process for large ones, reloading."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asyncendpoints.dns.outcome import Answer
from asyncendpoints.dns.query import Query
from asyncendpoints.dns.zoneload import MOST_IN_PROCESS, Zone, can_start, compile_to
from asyncendpoints.errors import DomainNameError, ZoneError
from tests.support import open_descriptors

if TYPE_CHECKING:
    from collections.abc import Callable

START = "$TTL 60\n@ SOA a.test. h 1 2 3 4 5\n@ NS a.test.\n"
LARGE = START + "$GENERATE 1-6000 h$ A 192.0.2.1\nx MX 5 h1\ny MX 5 nope\n"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Write a file, and give its path."""

    def written(text: str | bytes, name: str = "main.zone") -> str:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return written


def addresses(zone: Zone, name: str = "x.z.test") -> list[str]:
    """Give the addresses of a name, or an empty list."""
    outcome = zone.resolve(Query.make(name, "A"))
    return [str(each) for each in outcome.rrsets[0]] if isinstance(outcome, Answer) else []


def test_from_file(write: Callable[..., str]) -> None:
    """A zone is what stands in its file, and in those that it includes from beside it."""
    write("x A 192.0.2.1\n", "more.zone")
    zone = Zone.from_file(write(START + "$INCLUDE more.zone\n"), "z.test")
    assert addresses(zone) == ["192.0.2.1"]
    assert repr(zone) == "<Zone z.test of 3 records>"


def test_byte_order_mark(write: Callable[..., str]) -> None:
    """A mark at the beginning of a file is no part of it."""
    zone = Zone.from_file(write(b"\xef\xbb\xbf" + START.encode()), "z.test")
    assert zone.records == 2


def test_file_for_a_table() -> None:
    """Who gives a file to the class itself is told what makes a zone of it."""
    with pytest.raises(TypeError, match=r"Zone\.from_file, .* not Zone\('a\.zone'\)"):
        Zone("a.zone")  # type: ignore[arg-type]  # what a type checker says too


def test_file_that_is_not_there(tmp_path: Path) -> None:
    """A file that cannot be read is told by name, and the cause is the error itself."""
    path = tmp_path / "none"
    with pytest.raises(ZoneError) as caught:
        Zone.from_file(path, "z.test")
    assert (caught.value.path, caught.value.line) == (str(path), 0)
    assert caught.value.problem == "cannot be read: No such file or directory"
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_file_that_is_no_text(write: Callable[..., str]) -> None:
    """Bytes that are no text are told with their line, in included files too."""
    write(b"\n\nx TXT \xff\n", "more.zone")
    path = write(START + "$INCLUDE more.zone\n")
    with pytest.raises(ZoneError) as caught:
        Zone.from_file(path, "z.test")
    assert caught.value.path.endswith("more.zone")
    assert (caught.value.line, caught.value.problem) == (3, "has bytes that are no text in UTF-8")


@pytest.mark.parametrize("start", ["", START + "$INCLUDE pipe\n"])
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
async def test_pipe(write: Callable[..., str], start: str, tmp_path: Path) -> None:
    """A pipe, for whose other end the loop would wait, is an error, also where it is included."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ZoneError) as caught:
        await Zone.load(write(start) if start else pipe, "z.test")
    assert (caught.value.path, caught.value.line) == (str(pipe), 0)
    assert caught.value.problem == "is a pipe or a device, expected a file"


@pytest.mark.parametrize("text", [START, LARGE])
async def test_load(write: Callable[..., str], text: str) -> None:
    """What is loaded is what would be read at once, warnings included."""
    path = write(text + "x A 192.0.2.7\n")
    loaded, read = await Zone.load(path, "z.test"), Zone.from_file(path, "z.test")
    assert loaded._table.data == read._table.data
    assert (loaded.apex, loaded.records) == (read.apex, read.records)
    assert loaded.warnings == read.warnings
    assert addresses(loaded) == ["192.0.2.7"]


async def test_load_large_file(write: Callable[..., str]) -> None:
    """A large file is not even begun in this process."""
    lines = "".join(f"host-with-a-long-name-{i}-of-many 3600 IN A 192.0.2.1\n" for i in range(6000))
    zone = await Zone.load(write(START + lines), "z.test")
    assert zone.records == 6002 > MOST_IN_PROCESS


async def test_load_without_origin(write: Callable[..., str]) -> None:
    """The child process finds the name of the zone in the file too."""
    zone = await Zone.load(write("$ORIGIN z.test.\n" + LARGE))
    assert zone.name == "z.test"


@pytest.mark.parametrize("text", [START, LARGE])
async def test_load_errors(write: Callable[..., str], text: str) -> None:
    """An error is the same from here and from another process."""
    path = write(text + "x A nope\n")
    with pytest.raises(ZoneError) as caught:
        await Zone.load(path, "z.test")
    line = text.count("\n") + 1
    assert (caught.value.path, caught.value.line) == (path, line)
    assert caught.value.problem == "'nope' is no A data, expected an IPv4 address such as 192.0.2.1"


async def test_load_file_that_is_not_there(tmp_path: Path) -> None:
    """A file that is not there is told as such."""
    with pytest.raises(ZoneError) as caught:
        await Zone.load(tmp_path / "none", "z.test")
    assert caught.value.problem.startswith("cannot be read")


@pytest.mark.parametrize("text", [START, LARGE])
async def test_load_with_wrong_origin(write: Callable[..., str], text: str) -> None:
    """An origin that is no name is told as such."""
    with pytest.raises(DomainNameError):
        await Zone.load(write(text), "a..b")


def children() -> str:
    """Give the numbers of the child processes."""
    found = Path("/proc/self/task").glob("*/children")
    return "".join(each.read_text() for each in found)


async def test_load_is_cancelled(write: Callable[..., str]) -> None:
    """After a cancelled load no process and no descriptor is left."""
    path = write(LARGE + "$GENERATE 1-60000 i$ A 192.0.2.1\n" * 3 + " " * 300_000)
    await Zone.load(write(START + " " * 300_000, "small"), "z.test")  # what the loop keeps is open
    before = open_descriptors()
    load = asyncio.ensure_future(Zone.load(path, "z.test"))
    while not children():  # noqa: ASYNC110 - the system sets no event
        await asyncio.sleep(0)
    for _ in range(20):  # rounds in which asyncio gets its hands on the process
        await asyncio.sleep(0)
    load.cancel()
    with pytest.raises(asyncio.CancelledError):
        await load
    assert open_descriptors() == before
    assert children() == ""


async def test_child_process_fails(
    write: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child process that fails is an error with what it said last."""
    path = write(LARGE)
    monkeypatch.setattr(sys, "path", ["/nonexistent"])
    with pytest.raises(ZoneError) as caught:
        await Zone.load(path, "z.test")
    assert caught.value.problem.startswith("the process that reads it ended with code 1: ")


async def test_frozen_program(write: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that is no Python interpreter compiles large zones itself."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert not can_start()
    zone = await Zone.load(write(LARGE), "z.test")
    assert addresses(zone, "h6000.z.test") == ["192.0.2.1"]


@pytest.mark.parametrize(("text", "records"), [(START, 2), (START + "x A nope\n", None)])
def test_compile_to(write: Callable[..., str], text: str, records: int | None) -> None:
    """The child process writes a header of JSON after its size, and the table."""
    path = write(text)
    out = write("", "out")
    with open(out, "wb") as file:
        compile_to(file.fileno(), path, "z.test")
    with open(out, "rb") as file:
        content = file.read()
    size = int.from_bytes(content[:4], "big")
    if records is None:
        assert content[4:].startswith(b'{"error": [')
        assert len(content) == 4 + size
    else:
        assert b'"records": 2' in content[4 : 4 + size]
        assert content[4 + size :] == Zone.from_text(text, "z.test")._table.data


async def test_reload(write: Callable[..., str]) -> None:
    """A zone that is reloaded is that of the file, and its version is another."""
    zone = Zone.from_file(write(START + "x A 192.0.2.1\n"), "z.test")
    assert addresses(zone) == ["192.0.2.1"]
    before = zone.version
    write(START + "x A 192.0.2.2\nx MX 5 nope\n")
    await zone.reload()
    assert addresses(zone) == ["192.0.2.2"]
    assert zone.version != before
    assert zone.warnings == ("x.z.test MX: nope.z.test has no address in the zone",)


@pytest.mark.parametrize("text", [START + "x A nope\n", START.replace("@", "y.test.")])
async def test_reload_fails(write: Callable[..., str], text: str) -> None:
    """A zone whose file is wrong stays as it was."""
    path = write("$ORIGIN z.test.\n" + START + "x A 192.0.2.1\n")
    zone = Zone.from_file(path)
    before = zone.version
    write(text)
    with pytest.raises(ZoneError):
        await zone.reload()
    assert (addresses(zone), zone.version) == (["192.0.2.1"], before)


async def test_reload_of_another_zone(write: Callable[..., str]) -> None:
    """A file that has become another zone's is an error."""
    zone = Zone.from_file(write("$ORIGIN z.test.\n" + START))
    path = write("$ORIGIN y.test.\n" + START)
    with pytest.raises(ZoneError) as caught:
        await zone.reload()
    assert (caught.value.path, caught.value.problem) == (path, "the zone is no longer z.test")


async def test_reload_that_is_overtaken(write: Callable[..., str]) -> None:
    """Of two reloads the one that began last decides, whichever ends first."""
    zone = Zone.from_file(write(LARGE + "x A 192.0.2.1\n"), "z.test")
    write(LARGE + "x A 192.0.2.2\n")
    slow = asyncio.ensure_future(zone.reload())
    await asyncio.sleep(0)
    write(START + "x A 192.0.2.3\n", "other")
    zone._path = zone._path.replace("main.zone", "other")
    await zone.reload()
    await slow
    assert addresses(zone) == ["192.0.2.3"]


async def test_reload_without_a_file() -> None:
    """A zone that was made of no file stays as it is."""
    zone = Zone.from_text(START, "z.test")
    before = zone.version
    await zone.reload()
    assert zone.version == before


def test_replace() -> None:
    """A zone takes over the records of another of its name."""
    zone = Zone.from_text(START, "z.test")
    zone.replace(Zone.from_text(START + "x A 192.0.2.1\n", "z.test"))
    assert addresses(zone) == ["192.0.2.1"]
    with pytest.raises(ZoneError):
        zone.replace(Zone.from_text(START, "y.test"))
