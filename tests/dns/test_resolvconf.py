"""Tests of the file in which a machine keeps its name servers."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints.dns.resolvconf import ConfFile, ResolvConf, parse_resolv_conf

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ResolvConf()),
        ("# a comment\n; another\n\n   \n", ResolvConf()),
        ("nameserver 192.0.2.1\n", ResolvConf(("192.0.2.1",))),
        (
            "nameserver 192.0.2.1\nnameserver\t2001:db8::1  # the second\nnameserver fe80::1%2",
            ResolvConf(("192.0.2.1", "2001:db8::1", "fe80::1%2")),
        ),
        ("search a.test b.test.", ResolvConf(search=("a.test", "b.test"))),
        ("domain a.test b.test\n", ResolvConf(search=("a.test",))),
        ("domain a.test\nsearch b.test c.test\n", ResolvConf(search=("b.test", "c.test"))),
        ("search .\n", ResolvConf()),
        ("sortlist 192.0.2.0\n", ResolvConf()),
        (
            "options ndots:2 timeout:3 attempts:4 rotate edns0 use-vc trust-ad inet6",
            ResolvConf(ndots=2, timeout=3, attempts=4, rotate=True, use_vc=True, trust_ad=True),
        ),
        ("options rotate\noptions ndots:0\n", ResolvConf(rotate=True, ndots=0)),
        (
            "options ndots:99 timeout:99 attempts:99",
            ResolvConf(ndots=15, timeout=30, attempts=5),
        ),
        ("options timeout:0 attempts:0", ResolvConf(timeout=1, attempts=1)),
    ],
)
def test_files(text: str, expected: ResolvConf) -> None:
    """What resolv.conf(5) describes is understood, and what is for the C library alone is passed over."""
    assert parse_resolv_conf(text) == expected


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("nameserver", "a nameserver needs an address"),
        ("nameserver x", "'x' does not appear to be an IPv4 or IPv6 address"),
        ("search", "search needs a domain"),
        ("domain", "domain needs a domain"),
        ("options ndots:x", "'ndots:x' needs a number, as in ndots:15"),
        ("options timeout:", "'timeout:' needs a number, as in timeout:30"),
        ("options attempts:1234567", "'attempts:1234567' needs a number, as in attempts:5"),
        ("nameservers 192.0.2.1", "'nameservers' is no keyword"),
    ],
)
def test_broken_lines(line: str, problem: str) -> None:
    """A line that means nothing is left out and named; the others count."""
    found = parse_resolv_conf(f"{line}\nnameserver 192.0.2.1\n")
    assert found == ResolvConf(("192.0.2.1",), problems=(f"line 1: {problem}",))


@given(st.text())
def test_any_text(text: str) -> None:
    """No text raises, and there is always a server."""
    assert parse_resolv_conf(text).nameservers


def test_file_is_read_once(tmp_path: Path) -> None:
    """A file that stays as it is, is read once."""
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 192.0.2.1\n")
    file = ConfFile(path)
    assert file.conf.nameservers == ("192.0.2.1",)
    assert not file.refresh()
    assert file.conf is file.conf


def test_changed_file_is_read_again(tmp_path: Path) -> None:
    """A file that says something else is noticed; one that was only touched is not."""
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 192.0.2.1\n")
    file = ConfFile(path)
    assert file.refresh()
    os.utime(path, ns=(1, 1))
    assert not file.refresh()
    path.write_text("nameserver 192.0.2.12\n")
    assert file.refresh()
    assert file.conf.nameservers == ("192.0.2.12",)


def test_file_that_is_gone(tmp_path: Path) -> None:
    """Without a file the server is this machine."""
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 192.0.2.1\n")
    file = ConfFile(path)
    assert file.conf.nameservers == ("192.0.2.1",)
    path.unlink()
    assert file.refresh()
    assert file.conf == ResolvConf()


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    """What is no file is as good as none."""
    assert ConfFile(tmp_path).conf == ResolvConf()


def test_broken_lines_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each broken line is logged when the file is read, up to ten of them."""
    path = tmp_path / "resolv.conf"
    path.write_text("bogus\n" * 20)
    with caplog.at_level(logging.WARNING):
        file = ConfFile(path)
        assert file.conf
        file.refresh()
    assert len(caplog.messages) == 10
    assert caplog.messages[0] == f"{path}, line 1: 'bogus' is no keyword"
