"""The query log: a line for each query, written by a thread, so that the loop never waits for a disk.

The law: `QueryLog.add` does no more than put a tuple away. What finds no room is counted, and the log says
how many those were. No byte of a client gets into the log but escaped.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections import deque
from datetime import UTC, datetime
from io import BufferedIOBase, RawIOBase
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, Self, TextIO
from weakref import WeakSet

from dns.rcode import Rcode

from asyncendpoints.dns.names import format_name
from asyncendpoints.dns.query import AD, CD, DO, RD
from asyncendpoints.dns.records import format_type
from asyncendpoints.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import FileIO

__all__ = ["QueryLog"]

logger = logging.getLogger("asyncendpoints.dns")

#: Time, client, transport, name, type, flags, code, bytes of the reply, seconds.
Entry = tuple[float, str | None, str, bytes, int, int, int, int, float]

#: Seconds for which entries gather before they are written.
_GATHERING = 0.2
#: Entries that are formatted between two writes, at which the thread lets the loop run.
_AT_ONCE = 64

_FLAGS: Final = ((RD, "rd"), (AD, "ad"), (CD, "cd"), (DO, "do"))


class Sink(Protocol):
    """Where the lines go."""

    def write(self, lines: list[str]) -> None: ...

    def reopen(self) -> None:
        """Open the path again, after the file was renamed; if that fails the old file stays."""

    def close(self) -> None: ...


class _File:
    """A file that is appended to. Nothing is buffered: what a full disk did not take is not tried again."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = self._open()

    def _open(self) -> FileIO:
        return open(self._path, "ab", buffering=0)

    def write(self, lines: list[str]) -> None:
        self._file.write("".join([f"{each}\n" for each in lines]).encode())

    def reopen(self) -> None:
        file = self._open()
        self._file.close()
        self._file = file

    def close(self) -> None:
        self._file.close()


class _Stream:
    """A stream that belongs to somebody else."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, lines: list[str]) -> None:
        self._stream.write("".join([f"{each}\n" for each in lines]))
        self._stream.flush()

    def reopen(self) -> None:
        """It has no path to open again."""

    def close(self) -> None:
        """Who opened it closes it."""


class _Logger:
    """A logger of the standard library."""

    def __init__(self, target: logging.Logger) -> None:
        self._logger = target

    def write(self, lines: list[str]) -> None:
        for each in lines:
            self._logger.info("%s", each)

    def reopen(self) -> None:
        """Its handlers know how."""

    def close(self) -> None:
        """Its handlers are not ours."""


def _sink(target: str | os.PathLike[str] | TextIO | logging.Logger) -> Sink:
    if isinstance(target, logging.Logger):
        return _Logger(target)
    if isinstance(target, str | os.PathLike):
        return _File(os.fspath(target))
    if isinstance(target, RawIOBase | BufferedIOBase) or not hasattr(target, "write"):
        raise TypeError(f"target is a path, a stream of text or a logger, not {target!r}")
    return _Stream(target)


class QueryLog:
    """Writes a line for each query: who asked what, and what the reply was.

    The thread that writes starts with the first query, and ends with `close`. A process that is forked starts
    its own.

    Args:
        target: The path of a file to append to; or a text stream, such as ``sys.stderr``; or a logger, which
            gets a record of level INFO for each.
        format: ``"json"`` for an object a line, ``"text"`` for words between blanks.
        most: How many entries may wait to be written, 1 or more; further ones are counted only.

    Raises:
        OSError: The file cannot be opened.
        TypeError: ``target`` is none of these, such as a stream of bytes.
        ValueError: ``format`` or ``most`` is none.
    """

    def __init__(
        self,
        target: str | os.PathLike[str] | TextIO | logging.Logger,
        *,
        format: Literal["json", "text"] = "json",  # noqa: A002 - the word that a user expects
        most: int = 10_000,
    ) -> None:
        if format not in _FORMATS:
            raise ValueError(f"format is {format!r}, expected 'json' or 'text'")
        if most < 1:
            raise ValueError(f"most is {most}, expected 1 or more")
        self._format, self._format_dropped = _FORMATS[format]
        self._most = most
        self._sink = _sink(target)
        self._dropped = 0
        self._lost = 0
        self._reported = 0
        self._is_closed = False
        self._wants_reopening = False
        #: How often it is said that the log cannot be written.
        self._throttle = Throttle()
        self.begin()
        _logs.add(self)

    def begin(self) -> None:
        """Begin without a thread and without entries, as does a process that was forked from another."""
        self._entries: deque[Entry] = deque()
        self._thread: threading.Thread | None = None
        self._is_asleep = True
        self._wake = threading.Event()
        self._closing = threading.Event()

    @property
    def dropped(self) -> int:
        """How many entries were not written: there was no room for them, or the target failed."""
        return self._dropped + self._lost

    def add(
        self,
        client: str | None,
        transport: str,
        key: bytes,
        qtype: int,
        flags: int,
        rcode: int,
        size: int,
        seconds: float,
    ) -> None:
        """Put an entry away. For the thread of the loop; it never waits.

        Args:
            client: The address of the client, or None if it has none.
            transport: How the query came.
            key: The name that was asked for, in wire form.
            qtype: The type.
            flags: Of RD, AD, CD and DO those that were set.
            rcode: The response code, 0 to 4095.
            size: Bytes of the reply.
            seconds: How long the client waited.
        """
        entries = self._entries
        if len(entries) >= self._most or self._is_closed:
            self._dropped += 1
            return
        entries.append((time(), client, transport, key, qtype, flags, rcode, size, seconds))
        if self._is_asleep:
            self._rouse()

    def _rouse(self) -> None:
        self._is_asleep = False
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="dns query log", daemon=True)
            self._thread.start()
        self._wake.set()

    def reopen(self) -> None:
        """Have the file opened again before the next entry, as after a rotation; others ignore it."""
        self._wants_reopening = True

    def close(self, timeout: float = 2.0) -> None:
        """Write what waits, and end the thread. Entries that are added later are dropped.

        Args:
            timeout: Seconds to wait for it; what is left then is written while the process lives.
        """
        self._is_closed = True
        self._closing.set()
        self._wake.set()
        if self._thread is None:
            self._sink.close()
        else:
            self._thread.join(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # The thread

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._wake.clear()
            self._closing.wait(_GATHERING)
            self._write_all()
            # Entries that come from here on wake this thread; those that came before are looked for again.
            self._is_asleep = True
            if self._entries:
                self._is_asleep = False
                self._wake.set()
        self._write_all()
        self._sink.close()

    def _write_all(self) -> None:
        if self._wants_reopening:
            self._wants_reopening = False
            self._try(self._sink.reopen)
        entries = self._entries
        while entries:
            lines = [self._format(entries.popleft()) for _ in range(min(len(entries), _AT_ONCE))]
            if not self._try(self._sink.write, lines):
                self._lost += len(lines)
        dropped = self.dropped
        if dropped > self._reported:
            line = self._format_dropped(dropped - self._reported)
            if self._try(self._sink.write, [line]):
                self._reported = dropped

    def _try(self, act: Callable[..., None], *args: list[str]) -> bool:
        """Do something to the target, and tell whether that worked."""
        try:
            act(*args)
        except Exception as error:  # noqa: BLE001 - whatever a stream does wrong, the log goes on
            self._complain(error)
            return False
        return True

    def _complain(self, error: Exception) -> None:
        if self._throttle.admits(monotonic()):
            logger.error("the query log cannot be written: %s", error)


#: The logs of this process.
_logs: WeakSet[QueryLog] = WeakSet()


def _begin_after_fork() -> None:
    """Have each log start a thread of its own: that of the parent is not here, and it writes what it has."""
    for each in tuple(_logs):
        each.begin()


os.register_at_fork(after_in_child=_begin_after_fork)


def _moment(seconds: float) -> str:
    """Write a time in UTC, to the microsecond."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _flag_names(flags: int) -> list[str]:
    return [name for flag, name in _FLAGS if flags & flag]


def _json(entry: Entry) -> str:
    moment, client, transport, key, qtype, flags, rcode, size, seconds = entry
    return _dump(
        {
            "time": _moment(moment),
            "client": client,
            "transport": transport,
            "name": format_name(key),
            "type": format_type(qtype),
            "flags": _flag_names(flags),
            "rcode": Rcode.to_text(rcode),
            "bytes": size,
            "ms": round(seconds * 1000, 3),
        }
    )


def _json_dropped(count: int) -> str:
    return _dump({"time": _moment(time()), "dropped": count})


def _dump(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))


def _text(entry: Entry) -> str:
    moment, client, transport, key, qtype, flags, rcode, size, seconds = entry
    words = (
        _moment(moment),
        client or "-",
        transport,
        format_name(key),
        format_type(qtype),
        ",".join(_flag_names(flags)) or "-",
        Rcode.to_text(rcode),
        f"{size}B",
        f"{seconds * 1000:.3f}ms",
    )
    return " ".join(words)


def _text_dropped(count: int) -> str:
    return f"{_moment(time())} {count} entries dropped"


_FORMATS: dict[str, tuple[Callable[[Entry], str], Callable[[int], str]]] = {
    "json": (_json, _json_dropped),
    "text": (_text, _text_dropped),
}
