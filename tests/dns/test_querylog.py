"""The query log: what its lines say, and that nobody waits for them."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints.dns.names import join_labels
from asyncendpoints.dns.query import AD, CD, DO, RD
from asyncendpoints.dns.querylog import QueryLog, _begin_after_fork

if TYPE_CHECKING:
    from pathlib import Path

NAME = b"\x01a\x04test\x00"
USUAL: tuple[Any, ...] = ("192.0.2.1", "udp", NAME, 1, RD, 0, 60, 0.0015)


def logged(*entries: tuple[Any, ...], style: Literal["json", "text"] = "json") -> list[str]:
    """Give the lines that entries become."""
    stream = io.StringIO()
    with QueryLog(stream, format=style) as log:
        for each in entries:
            log.add(*each)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("target", [io.BytesIO(), 2])
def test_wrong_target(target: Any) -> None:
    """What takes no text is refused at once, and not with the first query."""
    with pytest.raises(TypeError, match="target is a path, a stream of text or a logger, not"):
        QueryLog(target)


def test_json() -> None:
    """An entry is a JSON object on a line, its time in UTC."""
    (line,) = logged(USUAL)
    value = json.loads(line)
    moment = value.pop("time")
    assert moment[10] == "T"
    assert len(moment) == len("2026-11-20T13:00:00.000000Z")
    assert value == {
        "client": "192.0.2.1",
        "transport": "udp",
        "name": "a.test",
        "type": "A",
        "flags": ["rd"],
        "rcode": "NOERROR",
        "bytes": 60,
        "ms": 1.5,
    }


def test_json_of_an_odd_entry() -> None:
    """A client without an address is null; the root, unknown types and every flag have their names."""
    (line,) = logged((None, "unix", b"\0", 65280, RD | AD | CD | DO, 16, 12, 0.0))
    value = json.loads(line)
    assert (value["client"], value["name"], value["type"]) == (None, ".", "TYPE65280")
    assert (value["flags"], value["rcode"]) == (["rd", "ad", "cd", "do"], "BADVERS")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (USUAL, "192.0.2.1 udp a.test A rd NOERROR 60B 1.500ms"),
        ((None, "unix", b"\0", 28, 0, 5, 12, 0.0), "- unix . AAAA - REFUSED 12B 0.000ms"),
        (
            ("::1", "tls", NAME, 15, RD | DO, 3, 9, 1.0),
            "::1 tls a.test MX rd,do NXDOMAIN 9B 1000.000ms",
        ),
    ],
)
def test_text(entry: tuple[Any, ...], words: str) -> None:
    """An entry is a line of nine words, the time first."""
    (line,) = logged(entry, style="text")
    moment, _, rest = line.partition(" ")
    assert moment.endswith("Z")
    assert rest == words


@given(st.lists(st.binary(min_size=1, max_size=63), max_size=3))
def test_nothing_is_injected(labels: list[bytes]) -> None:
    """Whatever a name is made of, its entry is one line of printable ASCII: an object, or nine words."""
    entry = ("192.0.2.1", "udp", join_labels(labels), 1, RD, 0, 60, 0.0)
    (line,) = logged(entry, style="text")
    assert len(line.split(" ")) == 9
    assert line.isascii()
    assert line.isprintable()
    (line,) = logged(entry)
    assert line.isprintable()
    assert json.loads(line)["rcode"] == "NOERROR"


def test_file(tmp_path: Path) -> None:
    """A file is appended to, in the order of the entries, more of them than are written at once."""
    path = tmp_path / "queries"
    path.write_text("first\n")
    with QueryLog(path) as log:
        for number in range(200):
            log.add("192.0.2.1", "udp", NAME, 1, RD, 0, number, 0.0)
    first, *lines = path.read_text().splitlines()
    assert first == "first"
    assert [json.loads(each)["bytes"] for each in lines] == list(range(200))
    assert log.dropped == 0


def test_file_that_cannot_be_opened(tmp_path: Path) -> None:
    """Where the file cannot be, that is said at once."""
    with pytest.raises(FileNotFoundError):
        QueryLog(str(tmp_path / "no" / "queries"))


def test_logger(caplog: pytest.LogCaptureFixture) -> None:
    """A logger gets a record of level INFO for each entry; a percent sign in a name means nothing."""
    caplog.set_level(logging.INFO, "queries")
    with QueryLog(logging.getLogger("queries"), format="text") as log:
        log.add("192.0.2.1", "udp", b"\x02%s\x00", 1, RD, 0, 60, 0.0)
        log.reopen()
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert " %s A rd " in record.getMessage()


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"format": "xml"}, "format is 'xml', expected 'json' or 'text'"),
        ({"most": 0}, "most is 0, expected 1 or more"),
    ],
)
def test_wrong_arguments(values: dict[str, Any], problem: str) -> None:
    """A format that there is not, and room for nothing, are errors."""
    with pytest.raises(ValueError, match=problem):
        QueryLog(io.StringIO(), **values)


# The thread


def log_threads() -> list[threading.Thread]:
    """Give the threads of query logs."""
    return [each for each in threading.enumerate() if each.name == "dns query log"]


def test_no_thread_without_entries(tmp_path: Path) -> None:
    """A log starts its thread with its first entry, and ends it when it is closed."""
    log = QueryLog(tmp_path / "queries")
    assert not log_threads()
    log.add(*USUAL)
    assert len(log_threads()) == 1
    log.close()
    assert not log_threads()
    with QueryLog(tmp_path / "queries"):
        assert not log_threads()


class Gate(io.StringIO):
    """A stream whose writes wait until the test lets them through, or fail."""

    def __init__(self) -> None:
        super().__init__()
        self.is_open = threading.Event()
        #: Released by each write that was begun, and by each that is done.
        self.tried = threading.Semaphore(0)
        self.written = threading.Semaphore(0)
        self.error: Exception | None = None

    def write(self, text: str) -> int:
        self.tried.release()
        self.is_open.wait(30)
        if self.error is not None:
            raise self.error
        return super().write(text)

    def flush(self) -> None:
        self.written.release()


def test_what_has_no_room() -> None:
    """While the target takes nothing, so many entries wait; the others are counted, and the log says it."""
    gate = Gate()
    log = QueryLog(gate, most=5)
    log.add(*USUAL)
    assert gate.tried.acquire(timeout=30)
    for _ in range(8):
        log.add(*USUAL)
    assert log.dropped == 3
    gate.is_open.set()
    log.close(30)
    *lines, last = map(json.loads, gate.getvalue().splitlines())
    assert len(lines) == 6
    assert last.keys() == {"time", "dropped"}
    assert last["dropped"] == 3


def test_dropped_in_text() -> None:
    """The text format says it, too."""
    gate = Gate()
    log = QueryLog(gate, most=1, format="text")
    log.add(*USUAL)
    assert gate.tried.acquire(timeout=30)
    log.add(*USUAL)
    log.add(*USUAL)
    gate.is_open.set()
    log.close(30)
    assert gate.getvalue().splitlines()[-1].endswith("Z 1 entries dropped")


def test_close_does_not_wait_for_ever() -> None:
    """A target that takes nothing does not keep the server from ending."""
    gate = Gate()
    log = QueryLog(gate)
    log.add(*USUAL)
    assert gate.tried.acquire(timeout=30)
    log.close(0.01)
    (thread,) = log_threads()
    assert thread.daemon
    gate.is_open.set()
    thread.join(30)
    assert len(gate.getvalue().splitlines()) == 1


def test_entries_after_the_end() -> None:
    """A log that is closed takes nothing more, and may be closed again."""
    stream = io.StringIO()
    log = QueryLog(stream)
    log.close()
    log.add(*USUAL)
    log.close()
    assert (stream.getvalue(), log.dropped) == ("", 1)
    assert not log_threads()


def test_one_batch_after_another() -> None:
    """Entries that come when the thread has nothing to do wake it again."""
    gate = Gate()
    gate.is_open.set()
    with QueryLog(gate) as log:
        for _ in range(3):
            log.add(*USUAL)
            assert gate.written.acquire(timeout=30)
    assert len(gate.getvalue().splitlines()) == 3


class Late(io.StringIO):
    """A stream during whose last write another query comes."""

    def __init__(self) -> None:
        super().__init__()
        self.log: QueryLog | None = None
        self.was_written = threading.Event()

    def write(self, text: str) -> int:
        if self.log is not None and "dropped" in text:
            self.log.add(*USUAL)
        elif self.log is not None and "dropped" in self.getvalue():
            self.was_written.set()
        return super().write(text)


def test_entry_that_comes_before_the_thread_sleeps() -> None:
    """An entry that comes while the thread is about to sleep is written without waiting for another."""
    late = Late()
    with QueryLog(late, most=1) as log:
        late.log = log
        log._entries.append((0.0, *USUAL))
        log.add(*USUAL)
        log._rouse()
        assert late.was_written.wait(30)


def test_target_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be written is counted and complained of once; the log goes on when it can."""
    gate = Gate()
    gate.error = OSError(28, "No space left on device")
    gate.is_open.set()
    with QueryLog(gate) as log:
        log.add(*USUAL)
        for _ in range(2):
            assert gate.tried.acquire(timeout=30)
        gate.error = None
        log.add(*USUAL)
    line, last = map(json.loads, gate.getvalue().splitlines())
    assert line["name"] == "a.test"
    assert last["dropped"] == log.dropped == 1
    (record,) = caplog.records
    assert record.getMessage() == (
        "the query log cannot be written: [Errno 28] No space left on device"
    )


# Rotation


def test_reopen(tmp_path: Path) -> None:
    """After the file was renamed, the next entry goes to a new file at its path."""
    path, old = tmp_path / "queries", tmp_path / "queries.1"
    first = QueryLog(path)
    path.rename(old)
    with first as log:
        log.reopen()
        log.add(*USUAL)
    assert old.read_text() == ""
    assert len(path.read_text().splitlines()) == 1


def test_reopen_that_fails(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where the path cannot be opened again, the old file goes on."""
    folder, moved = tmp_path / "folder", tmp_path / "moved"
    folder.mkdir()
    with QueryLog(folder / "queries") as log:
        folder.rename(moved)
        log.reopen()
        log.add(*USUAL)
    assert len((moved / "queries").read_text().splitlines()) == 1
    assert "No such file or directory" in caplog.text


def test_streams_are_not_reopened() -> None:
    """A stream has no path: it goes on, and stays open when the log is closed."""
    stream = io.StringIO()
    with QueryLog(stream) as log:
        log.reopen()
        log.add(*USUAL)
    assert len(stream.getvalue().splitlines()) == 1


FORKED = """
import os, sys
from asyncendpoints.dns.querylog import QueryLog
log = QueryLog(sys.argv[1])
log.add("192.0.2.1", "udp", b"\\0", 1, 0, 0, 60, 0.0)
if os.fork() == 0:
    log.add("192.0.2.2", "udp", b"\\0", 1, 0, 0, 60, 0.0)
    log.close()
    os._exit(0)
os.wait()
log.close()
"""


def test_forked_process(tmp_path: Path) -> None:
    """A process that is forked writes its own entries, and those of its parent are written once."""
    path = tmp_path / "queries"
    command = [sys.executable, "-W", "ignore", "-c", FORKED, str(path)]
    subprocess.run(command, check=True, timeout=60)
    clients = sorted(json.loads(line)["client"] for line in path.read_text().splitlines())
    assert clients == ["192.0.2.1", "192.0.2.2"]


def test_log_begins_anew() -> None:
    """After a fork a log has no thread and no entries, and starts with the next one."""
    stream = io.StringIO()
    log = QueryLog(stream)
    log._entries.append(("of the parent",))  # type: ignore[arg-type]  # nobody reads it
    _begin_after_fork()
    log.add(*USUAL)
    log.close()
    assert len(stream.getvalue().splitlines()) == 1
