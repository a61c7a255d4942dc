"""Zones from files, texts and dicts: reading, compiling large ones in another process, reloading.

The law: the loop never waits for a zone. A small one is compiled in steps of about a millisecond, a large one
by a child process that writes its table as one piece of bytes, which a thread reads in one call.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import sys
import tempfile
from stat import S_ISREG
from struct import Struct
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, Self

from asyncendpoints.dns.names import encode_name
from asyncendpoints.dns.zone import Authority
from asyncendpoints.dns.zonebuild import Builder
from asyncendpoints.dns.zonedict import add_defaults, add_names, parse_ttl
from asyncendpoints.dns.zonefile import read_zone
from asyncendpoints.dns.zonetable import Table
from asyncendpoints.errors import ZoneError
from asyncendpoints.masking import shorten

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from asyncendpoints.dns.zonedict import Names

__all__ = ["Zone"]

logger = logging.getLogger("asyncendpoints.dns")

#: The most records that are compiled in this process while its loop runs.
MOST_IN_PROCESS: Final = 5_000
#: A file of so many bytes has more than that, as a rule.
_LARGE_FILE = 50 * MOST_IN_PROCESS

#: How many bytes the header of a result has, which is before it.
_HEADER_SIZE = Struct("!I")

#: What the child process runs. It imports what this process would; ``sys.path`` may have been changed.
_PROGRAM = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]);"
    "from asyncendpoints.dns.zoneload import compile_to; compile_to(1, sys.argv[2], sys.argv[3])"
)


class Loaded(NamedTuple):
    """A zone that can be served."""

    table: Table
    warnings: tuple[str, ...]


class Zone(Authority):
    """An authoritative zone: a resolver for the names in it, which passes all others.

    `from_file`, `from_text`, `from_dict` and `load` make one.

    Attributes:
        warnings: What is suspicious about it, which was logged too: name servers and mail hosts that are
            aliases, addresses or have no address here.
    """

    warnings: tuple[str, ...]

    def __init__(
        self, loaded: Loaded, path: str = "", origin: str | None = None, *, rotate: bool = False
    ) -> None:
        if not isinstance(loaded, Loaded):
            problem = "a zone comes from Zone.from_file, from_text, from_dict or load"
            raise TypeError(f"{problem}, not Zone({loaded!r})")
        self._path = path
        self._origin = origin
        self._started = self._finished = 0
        super().__init__(loaded.table, rotate=rotate)
        self._warn(loaded)

    @classmethod
    def from_file(
        cls, path: str | os.PathLike[str], origin: str | None = None, *, rotate: bool = False
    ) -> Self:
        """Make a zone of a file, at once: the loop stands still meanwhile. See `load`.

        Args:
            path: The zone file; those that it includes are looked for beside it.
            origin: The name of the zone. Without it the file has to say it by ``$ORIGIN`` or absolute names.
            rotate: Whether records of a set come in another order each time; see `Authority`.

        Raises:
            ZoneError: It cannot be read, or is no zone that can be served; says where.
            DomainNameError: ``origin`` is no name.
        """
        name = os.fspath(path)
        loaded = _exhaust(_steps(Builder(_key(origin)), name, _read(name), _wire(origin)))
        return cls(loaded, name, origin, rotate=rotate)

    @classmethod
    def from_text(cls, text: str, origin: str | None = None, *, rotate: bool = False) -> Self:
        """Make a zone of what could stand in a zone file.

        Args:
            text: The text; files that it includes are looked for in the working directory.
            origin: As for `from_file`.
            rotate: As for `from_file`.

        Raises:
            ZoneError: It is no zone that can be served; says in which line.
            DomainNameError: ``origin`` is no name.
        """
        loaded = _exhaust(_steps(Builder(_key(origin)), "<text>", text, _wire(origin)))
        return cls(loaded, rotate=rotate)

    @classmethod
    def from_dict(
        cls,
        origin: str,
        names: Names,
        *,
        ttl: int | str = 3600,
        ns: str | Iterable[str] = (),
        rotate: bool = False,
    ) -> Self:
        """Make a zone of a dict.

        >>> zone = Zone.from_dict(
        ...     "home.test",
        ...     {
        ...         "@": {"MX": "10 mail"},
        ...         "mail": {"A": "192.0.2.25"},
        ...         "www": {"A": ["192.0.2.1", "192.0.2.2"], "ttl": 60},
        ...     },
        ...     ns="ns.example.net.",
        ... )
        >>> zone
        <Zone home.test of 6 records>

        Args:
            origin: The name of the zone.
            names: From a name to its records: from a type to a value or several, and from ``"ttl"`` to
                seconds, or to text such as ``"1h"``. As in a zone file ``"@"`` is the zone itself, and names
                without a final dot are in it, in values too.
            ttl: Seconds, 0 to 2**31 - 1, or text such as ``"1h"``, where a name says nothing else.
            ns: The name servers of the zone. Given, they make the NS records and the SOA that it has to have,
                where ``names`` has none.
            rotate: As for `from_file`.

        Raises:
            ZoneError: It is no zone that can be served.
            DomainNameError: ``origin`` is no name.
            TypeError: ``origin`` is no text, or ``names`` no dict.
            ValueError: ``ttl`` is none.
        """
        if not isinstance(origin, str):
            raise TypeError(f"origin is the name of the zone as text, not {shorten(origin)}")
        wire = encode_name(origin)
        seconds = parse_ttl(ttl)
        builder = Builder(wire.lower())
        builder.at("<dict>", 0)
        add_names(builder, wire, names, seconds)
        add_defaults(builder, wire, (ns,) if isinstance(ns, str) else ns, seconds)
        return cls(_exhaust(_compile(builder, "<dict>")), rotate=rotate)

    @classmethod
    async def load(
        cls, path: str | os.PathLike[str], origin: str | None = None, *, rotate: bool = False
    ) -> Self:
        """Make a zone of a file while the loop goes on.

        Args:
            path: As for `from_file`.
            origin: As for `from_file`.
            rotate: As for `from_file`.

        Raises:
            ZoneError: As `from_file` does.
            DomainNameError: ``origin`` is no name.
        """
        name = os.fspath(path)
        return cls(await _load(name, origin), name, origin, rotate=rotate)

    async def reload(self) -> None:
        """Read the file again, and swap the zone whole. A zone that was made of no file stays as it is.

        Raises:
            ZoneError: As `from_file` does; the zone stays as it was.
        """
        if not self._path:
            return
        self._started += 1
        turn = self._started
        loaded = await _load(self._path, self._origin)
        if turn > self._finished:  # else one that began later was faster
            self._finished = turn
            self._swap(loaded)

    def replace(self, zone: Zone) -> None:
        """Take over the records of another zone, which has the same name.

        Raises:
            ValueError: It has another name.
        """
        self._swap(Loaded(zone._table, zone.warnings))

    def _swap(self, loaded: Loaded) -> None:
        if loaded.table.apex != self.apex:
            raise ZoneError(self._path, 0, f"the zone is no longer {self.name}")
        self._install(loaded.table)
        self._warn(loaded)

    def _warn(self, loaded: Loaded) -> None:
        self.warnings = loaded.warnings
        for each in loaded.warnings:
            logger.warning("zone %s: %s", self.name, each)


def _wire(origin: str | None) -> bytes | None:
    return None if origin is None else encode_name(origin)


def _key(origin: str | None) -> bytes | None:
    return None if origin is None else encode_name(origin).lower()


def _read(path: str) -> str:
    """Read the text of the file of a zone."""
    try:
        return _open(path)
    except OSError as error:
        raise ZoneError(path, 0, f"cannot be read: {error.strerror}") from error


def _open(path: str) -> str:
    """Read the text of a file. Nothing waits for what a pipe or a device may say one day."""
    with open(path, "rb", opener=_open_nowait) as file:
        if not S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ZoneError(path, 0, "is a pipe or a device, expected a file")
        content = file.read()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ZoneError(path, line, "has bytes that are no text in UTF-8") from None


def _open_nowait(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _include(path: str, name: str) -> tuple[str, str]:
    """Read a file that another includes, beside which it is looked for."""
    full = os.path.join(os.path.dirname(path), name)
    return full, _open(full)


def _steps(
    builder: Builder, path: str, text: str, origin: bytes | None
) -> Generator[None, None, Loaded]:
    """Compile a zone in steps of about a millisecond."""
    yield from read_zone(builder, text, path, origin, _include)
    return (yield from _compile(builder, path))


def _compile(builder: Builder, path: str) -> Generator[None, None, Loaded]:
    table = yield from builder.steps(path)
    return Loaded(table, tuple(builder.warnings))


def _exhaust(steps: Generator[None, None, Loaded]) -> Loaded:
    """Take all steps at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            loaded: Loaded = end.value
            return loaded


async def _paced(steps: Generator[None, None, Loaded]) -> Loaded:
    """Take one step after another, and let the loop go on in between."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            loaded: Loaded = end.value
            return loaded
        await asyncio.sleep(0)


class _LargeError(Exception):
    """A zone has too many records for this process."""


class _SmallBuilder(Builder):
    """Gives up when there are too many records."""

    def add(self, key: bytes, rtype: int, ttl: int, rdata: bytes) -> None:
        if self.count >= MOST_IN_PROCESS:
            raise _LargeError
        super().add(key, rtype, ttl, rdata)


async def _load(path: str, origin: str | None) -> Loaded:
    """Compile the zone in a file, here or in a child process."""
    if not _is_large(path):
        try:
            builder = _SmallBuilder(_key(origin))
            return await _paced(_steps(builder, path, _read(path), _wire(origin)))
        except _LargeError:
            pass
    if can_start():
        return await _compile_in_child(path, origin)
    return await _paced(_steps(Builder(_key(origin)), path, _read(path), _wire(origin)))


def _is_large(path: str) -> bool:
    try:
        return os.stat(path).st_size >= _LARGE_FILE
    except OSError:
        return False  # reading it will say what is wrong


def can_start() -> bool:
    """Tell whether another interpreter can be started: a frozen program would start itself again."""
    return bool(sys.executable) and not getattr(sys, "frozen", False)


async def _compile_in_child(path: str, origin: str | None) -> Loaded:
    """Have a child process compile the zone in a file."""
    _key(origin)  # what is wrong with it is said here
    arguments = json.dumps([each for each in sys.path if isinstance(each, str)]), path, origin or ""
    # Closed by a thread: the system takes its time to forget a large file.
    file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _PROGRAM,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=file,
            stderr=asyncio.subprocess.PIPE,
        )
        await _finished(process, path)
        return await asyncio.to_thread(_read_result, file)
    finally:
        await asyncio.to_thread(file.close)


async def _finished(process: asyncio.subprocess.Process, path: str) -> None:
    """Wait until the child process has done its work."""
    try:
        _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        last = said.decode(errors="replace").strip().rpartition("\n")[2]
        problem = f"the process that reads it ended with code {process.returncode}: {last}"
        raise ZoneError(path, 0, problem)


def compile_to(descriptor: int, path: str, origin: str) -> None:
    """Compile the zone in a file, and write the result: what the child process does.

    Args:
        descriptor: Of the file that takes the result.
        path: The zone file.
        origin: The name of the zone, or an empty text.
    """
    gc.disable()  # there is nothing to collect, and much to look through
    header: dict[str, Any] = {}
    data = b""
    try:
        steps = _steps(Builder(_key(origin or None)), path, _read(path), _wire(origin or None))
        table, warnings = _exhaust(steps)
        data = table.data
        header = {"apex": table.apex.hex(), "slots": table.slots, "records": table.records}
        header["warnings"] = warnings
    except ZoneError as error:
        header = {"error": (error.path, error.line, error.problem)}
    encoded = json.dumps(header).encode()
    with open(descriptor, "wb", closefd=False) as file:
        file.write(_HEADER_SIZE.pack(len(encoded)) + encoded)
        file.write(data)


def _read_result(file: BinaryIO) -> Loaded:
    """Read what the child process wrote. Each read is one call, without the lock of the interpreter."""
    file.seek(0)
    (size,) = _HEADER_SIZE.unpack(file.read(_HEADER_SIZE.size))
    header = json.loads(file.read(size))
    if "error" in header:
        raise ZoneError(*header["error"])
    data = file.read(os.fstat(file.fileno()).st_size - file.tell())
    table = Table(bytes.fromhex(header["apex"]), data, header["slots"], header["records"])
    return Loaded(table, tuple(header["warnings"]))
