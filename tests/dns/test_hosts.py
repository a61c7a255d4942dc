"""The hosts file: what it says of names and addresses, and when it is read."""

from __future__ import annotations

import logging
import os
from ipaddress import ip_address
from math import inf
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints.dns import hosts as module
from asyncendpoints.dns.hosts import Hosts
from asyncendpoints.dns.names import encode_name, reverse_name
from asyncendpoints.dns.outcome import PASS, Answer, NoData, Outcome
from asyncendpoints.dns.query import Query
from asyncendpoints.dns.records import Type
from asyncendpoints.errors import DomainNameError

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """\
# A comment
127.0.0.1   localhost
::1         localhost ip6-localhost  # and another
192.0.2.1\tWWW.Example.org www \r
192.0.2.2   www
192.0.2.1   other www
2001:db8::1 six.example.org.
192.0.2.3   faß.de
fe80::1%lo  scoped
"""


class Clock:
    """Seconds that only a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def resolve(hosts: Hosts, name: str, qtype: str = "A") -> Outcome:
    """Ask a hosts file."""
    return hosts.resolve(Query.make(name, qtype))


def data(hosts: Hosts, name: str, qtype: str = "A") -> list[str] | None:
    """Give the data of the records of a name as text, or None for what is passed on."""
    outcome = resolve(hosts, name, qtype)
    if outcome is PASS:
        return None
    assert isinstance(outcome, Answer | NoData)
    return [str(each) for rrset in outcome.rrsets for each in rrset]


@pytest.mark.parametrize(
    ("name", "qtype", "expected"),
    [
        ("localhost", "A", ["127.0.0.1"]),
        ("LOCALHOST.", "AAAA", ["::1"]),
        ("ip6-localhost", "AAAA", ["::1"]),
        ("www.example.org", "A", ["192.0.2.1"]),
        ("www", "A", ["192.0.2.1", "192.0.2.2"]),
        ("six.example.org", "AAAA", ["2001:db8::1"]),
        ("xn--fa-hia.de", "A", ["192.0.2.3"]),
        ("1.2.0.192.in-addr.arpa", "PTR", ["WWW.Example.org."]),
        (reverse_name("::1"), "PTR", ["localhost."]),
        ("www.example.org", "AAAA", []),
        ("six.example.org", "A", []),
        ("www.example.org", "HTTPS", []),
        ("www.example.org", "MX", None),
        ("1.2.0.192.in-addr.arpa", "A", None),
        ("1.2.0.192.in-addr.arpa", "TXT", None),
        ("9.2.0.192.in-addr.arpa", "PTR", None),
        ("example.org", "A", None),
        ("a.www.example.org", "A", None),
        ("scoped", "AAAA", None),
    ],
)
def test_lookup(name: str, qtype: str, expected: list[str] | None) -> None:
    """Names have their addresses and no others, addresses their first name; the rest is passed on."""
    assert data(Hosts.from_text(TEXT), name, qtype) == expected


def test_marks() -> None:
    """What is said has authority, the TTL that was asked for, and holds while the version stays."""
    outcome = resolve(Hosts.from_text(TEXT, ttl=5), "www")
    assert isinstance(outcome, Answer)
    assert (outcome.aa, outcome.until, outcome.answer[0].ttl) == (True, inf, 5)


def test_negative_answers_can_be_cached() -> None:
    """That there is no such address comes with how long that can be believed."""
    outcome = resolve(Hosts.from_text(TEXT, ttl=5), "www", "AAAA")
    assert isinstance(outcome, NoData)
    (soa,) = outcome.authority
    assert (soa.owner, soa.rtype, soa.ttl) == (encode_name("www"), Type.SOA, 5)
    assert (outcome.aa, outcome.until) == (True, inf)


@pytest.mark.parametrize("qtype", ["A", "AAAA"])
def test_outcomes_are_kept(qtype: str) -> None:
    """The same question gets the same object."""
    hosts = Hosts.from_text(TEXT)
    assert resolve(hosts, "www", qtype) is resolve(hosts, "WWW", qtype)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("bogus name", "'bogus': is no IP address"),
        ("192.0.2.256 name", "'192.0.2.256': is no IP address"),
        ("1:2 name", "'1:2': is no IP address"),
        ("192.0.2.9", "'192.0.2.9': a name is missing after the address"),
        ("192.0.2.9 a..b", "'a..b': has an empty label; one dot stands between labels"),
        ("\0 name", r"'\x00': is no IP address"),
    ],
)
def test_broken_line(line: str, problem: str, caplog: pytest.LogCaptureFixture) -> None:
    """A line that cannot be read is skipped and logged; those around it count."""
    hosts = Hosts.from_text(f"192.0.2.1 before\n{line}\n192.0.2.2 after\n")
    assert data(hosts, "before") == ["192.0.2.1"]
    assert data(hosts, "after") == ["192.0.2.2"]
    assert data(hosts, "name") is None
    assert caplog.messages == [f"text, line 2: {problem}; 1 line was skipped"]


def test_many_broken_lines(caplog: pytest.LogCaptureFixture) -> None:
    """However many lines cannot be read, there is one line in the log."""
    Hosts.from_text("a\n" * 1000)
    problem = "'a': a name is missing after the address"
    assert caplog.messages == [f"text, line 1: {problem}; 1000 lines were skipped"]


@given(st.text(st.sampled_from("1.:a #%\t\n\\é\0\x85"), max_size=60))
def test_any_text(text: str) -> None:
    """No text raises an error."""
    logging.getLogger("asyncendpoints.dns").disabled = True
    try:
        Hosts.from_text(text)
    finally:
        logging.getLogger("asyncendpoints.dns").disabled = False


def test_from_dict() -> None:
    """Names and addresses can come from Python."""
    hosts = Hosts.from_dict(
        {"a.test": ["192.0.2.1", ip_address("::1")], "b.test": "192.0.2.2"}, ttl=7
    )
    assert data(hosts, "A.test") == ["192.0.2.1"]
    assert data(hosts, "a.test", "AAAA") == ["::1"]
    assert data(hosts, "2.2.0.192.in-addr.arpa", "PTR") == ["b.test."]
    assert repr(hosts) == "<Hosts dict of 5 names>"


def test_from_dict_is_strict() -> None:
    """A name or an address that is none is an error there."""
    with pytest.raises(ValueError, match="'bogus' does not appear to be"):
        Hosts.from_dict({"a.test": "bogus"})
    with pytest.raises(DomainNameError):
        Hosts.from_dict({"a..test": "192.0.2.1"})


@pytest.mark.parametrize("ttl", [-1, 2**31])
def test_ttl_out_of_range(ttl: int) -> None:
    """A TTL that no record can have is refused."""
    with pytest.raises(ValueError, match=f"ttl is {ttl}, expected seconds from 0 to 2147483647"):
        Hosts(ttl=ttl)


def test_not_read_before_it_is_needed(tmp_path: Path) -> None:
    """The file is read when somebody asks first, not when the resolver is made."""
    path = tmp_path / "hosts"
    hosts = Hosts(path, clock=Clock())
    path.write_text("192.0.2.1 a")
    assert data(hosts, "a") == ["192.0.2.1"]
    assert repr(hosts) == f"<Hosts {path} of 2 names>"


def test_read_again_when_it_changes(tmp_path: Path) -> None:
    """A file that is another one is read again a second after the last look, and the version is another."""
    path = tmp_path / "hosts"
    path.write_text("192.0.2.1 a")
    clock = Clock()
    hosts = Hosts(path, clock=clock)
    version = hosts.version
    assert data(hosts, "a") == ["192.0.2.1"]
    path.write_text("192.0.2.1 b\n192.0.2.2 a")
    clock.now += 0.999
    assert data(hosts, "a") == ["192.0.2.1"]
    assert hosts.version == version
    clock.now += 0.001
    assert data(hosts, "a") == ["192.0.2.2"]
    assert hosts.version != version


def test_reload(tmp_path: Path) -> None:
    """Whoever says so has the file read at once, whatever it looks like."""
    path = tmp_path / "hosts"
    path.write_text("192.0.2.1 www\n")
    hosts = Hosts(path, clock=Clock())
    assert data(hosts, "www") == ["192.0.2.1"]
    times = path.stat()
    path.write_text("192.0.2.2 www\n")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    hosts.reload()
    assert data(hosts, "www") == ["192.0.2.2"]


def test_reload_without_a_file() -> None:
    """What was made of a text or a dict stays as it is."""
    hosts = Hosts.from_text("192.0.2.1 www\n")
    hosts.reload()
    assert data(hosts, "www") == ["192.0.2.1"]


def test_version_looks(tmp_path: Path) -> None:
    """Who asks for the version hears of a change too."""
    path = tmp_path / "hosts"
    path.write_text("192.0.2.1 a")
    clock = Clock()
    hosts = Hosts(path, clock=clock)
    version = hosts.version
    path.write_text("192.0.2.99 a")
    clock.now += 1
    assert hosts.version != version


def test_not_read_again_without_a_change(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that is the same is not read, so that what is wrong in it is logged once."""
    path = tmp_path / "hosts"
    path.write_text("bogus")
    clock = Clock()
    hosts = Hosts(path, clock=clock)
    version = hosts.version
    clock.now += 60
    assert hosts.version == version
    assert len(caplog.messages) == 1


def test_replaced_by_one_of_the_same_size_and_time(tmp_path: Path) -> None:
    """A file that takes the place of another is read, also if it is as long and as old."""
    path, other = tmp_path / "hosts", tmp_path / "other"
    path.write_text("192.0.2.1 a")
    other.write_text("192.0.2.2 a")
    os.utime(path, (1, 1))
    os.utime(other, (1, 1))
    clock = Clock()
    hosts = Hosts(path, clock=clock)
    assert data(hosts, "a") == ["192.0.2.1"]
    other.replace(path)
    clock.now += 1
    assert data(hosts, "a") == ["192.0.2.2"]


def test_missing_file_is_empty(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without a file all is passed on; one that comes is read, and is forgotten when it goes."""
    path = tmp_path / "hosts"
    clock = Clock()
    hosts = Hosts(path, clock=clock)
    assert data(hosts, "a") is None
    path.write_text("192.0.2.1 a")
    clock.now += 1
    assert data(hosts, "a") == ["192.0.2.1"]
    path.unlink()
    clock.now += 1
    assert data(hosts, "a") is None
    assert caplog.messages == [f"{path}: No such file or directory"] * 2


def test_machine_without_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """That a machine has no hosts file at all is not worth a word."""
    monkeypatch.setattr(module, "_HOSTS_FILE", str(tmp_path / "hosts"))
    assert data(Hosts(module._HOSTS_FILE), "a") is None
    assert caplog.messages == []


def test_no_regular_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What has no end is not read, which is logged once; what was there before goes on."""
    path = tmp_path / "hosts"
    path.write_text("192.0.2.1 a")
    clock = Clock()
    hosts = Hosts(path, clock=clock)
    version = hosts.version
    path.unlink()
    os.mkfifo(path)
    for _ in range(2):
        clock.now += 1
        assert data(hosts, "a") == ["192.0.2.1"]
    assert hosts.version == version
    assert caplog.messages == [f"{path}: is no regular file"]


def test_file_that_cannot_be_looked_at(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An error other than that there is no file is logged once."""
    path = tmp_path / "hosts"
    path.symlink_to(path)
    clock = Clock()
    hosts = Hosts(path, clock=clock)
    for _ in range(2):
        assert data(hosts, "a") is None
        clock.now += 1
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"{path}: Too many levels")


def test_bytes_that_are_no_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A line that is no UTF-8 is a broken line."""
    path = tmp_path / "hosts"
    path.write_bytes(b"192.0.2.1 a\xff\n192.0.2.2 b\n")
    hosts = Hosts(path, clock=Clock())
    assert data(hosts, "b") == ["192.0.2.2"]
    assert len(caplog.messages) == 1
