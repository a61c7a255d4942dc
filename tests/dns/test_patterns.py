"""Patterns of names: what they match, what they give, and what is no pattern."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints.dns.names import encode_name, labels_of
from asyncendpoints.dns.patterns import parse_pattern
from asyncendpoints.errors import DomainNameError, EndpointError, RouteError


def match(pattern: str, name: str) -> dict[str, Any] | None:
    """Match a name that is known to end as the pattern does."""
    return parse_pattern(pattern).match(labels_of(encode_name(name).lower()))


@pytest.mark.parametrize(
    ("pattern", "name", "parameters"),
    [
        ("w{n:int}.example.com", "w1.example.com", {"n": 1}),
        ("w{n:int}.example.com", "w0.example.com", {"n": 0}),
        ("w{n:int}.example.com", "w999999999999999999.example.com", {"n": 10**18 - 1}),
        ("W{n:int}.Example.com.", "w1.example.com", {"n": 1}),
        ("{n:int}", "7", {"n": 7}),
        ("{host}.example.com", "A.example.com", {"host": "a"}),
        ("{host}.example.com", r"a\.b\000.example.com", {"host": r"a\.b\000"}),
        ("{host:str}.example.com", "a.example.com", {"host": "a"}),
        ("{a}-{b}.example.com", "x-y-z.example.com", {"a": "x", "b": "y-z"}),
        ("{a}-{b}.example.com", "--x.example.com", {"a": "-", "b": "x"}),
        ("{a}-db.example.com", "my-db-db.example.com", {"a": "my-db"}),
        ("{a}-{n:int}x.test", "b-12x.test", {"a": "b", "n": 12}),
        ("{a}.{b}.com", "x.example.com", {"a": "x", "b": "example"}),
        ("{a}.mid.{b}.com", "x.mid.y.com", {"a": "x", "b": "y"}),
        ("*.example.com", "x.example.com", {}),
        ("*.example.com", r"\010.example.com", {}),
        ("{a}.*.example.com", "x.y.example.com", {"a": "x"}),
        ("{rest:labels}.example.com", "x.example.com", {"rest": "x"}),
        ("{rest:labels}.example.com", "x.y.z.example.com", {"rest": "x.y.z"}),
        ("{rest:labels}.example.com", r"x\.y.z.example.com", {"rest": r"x\.y.z"}),
        ("{a}.{rest:labels}.{n:int}.org", "x.y.z.1.org", {"a": "x", "rest": "y.z", "n": 1}),
        ("{rest:labels}", "a.b", {"rest": "a.b"}),
        ("_sip._{proto}.{domain:labels}", "_sip._tcp.a.b", {"proto": "tcp", "domain": "a.b"}),
        ("www.example.com", "WWW.example.com", {}),
        (".", ".", {}),
    ],
)
def test_match(pattern: str, name: str, parameters: dict[str, Any]) -> None:
    """A name that matches gives its parameters."""
    assert match(pattern, name) == parameters


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("w{n:int}.example.com", "w.example.com"),
        ("w{n:int}.example.com", "w1x.example.com"),
        ("w{n:int}.example.com", "xw1.example.com"),
        ("w{n:int}.example.com", "w01.example.com"),
        ("w{n:int}.example.com", "w-1.example.com"),
        ("w{n:int}.example.com", "w1000000000000000000.example.com"),
        ("w{n:int}.example.com", r"w\217\161.example.com"),
        ("w{n:int}.example.com", r"w1\010.example.com"),
        ("w{n:int}.example.com", "a.w1.example.com"),
        ("w{n:int}.example.com", "example.com"),
        ("{a}-{b}.example.com", "ab.example.com"),
        ("{a}-{b}.example.com", "-b.example.com"),
        ("{a}-{b}.example.com", "a-.example.com"),
        ("*.example.com", "x.y.example.com"),
        ("*.example.com", "example.com"),
        ("{rest:labels}.example.com", "example.com"),
        ("{a}.{rest:labels}.{n:int}.org", "x.y.z.org"),
        ("{a}.{rest:labels}.{n:int}.org", "x.1.org"),
        ("a{a}.{rest:labels}.org", "x.y.org"),
    ],
)
def test_no_match(pattern: str, name: str) -> None:
    """A name that is not as the pattern says does not match."""
    assert match(pattern, name) is None


@pytest.mark.parametrize(
    ("pattern", "end"),
    [
        ("w{n:int}.Example.com", "example.com"),
        ("{a}.mid.{b}.com", "com"),
        ("{a}", "."),
        ("*.faß.de", "xn--fa-hia.de"),
        (r"*.a\.b.de", r"a\.b.de"),
        ("www.example.com.", "www.example.com"),
    ],
)
def test_end(pattern: str, end: str) -> None:
    """The labels at the end that stand for themselves are a key, by which a pattern is found."""
    assert parse_pattern(pattern).end == encode_name(end)


@pytest.mark.parametrize(
    ("pattern", "is_name"),
    [("www.example.com", True), (".", True), ("*.a", False), ("{a}", False), ("{a:labels}", False)],
)
def test_is_name(pattern: str, is_name: bool) -> None:
    """Only what has neither a star nor a parameter is a name."""
    assert parse_pattern(pattern).is_name is is_name


def test_shape() -> None:
    """Patterns that differ in case and in the names of parameters match the same."""
    shape = parse_pattern("a{x}.{y:labels}.Test").shape
    assert shape == parse_pattern("A{z}.{y:labels}.test").shape
    assert shape != parse_pattern("a{x:int}.{y:labels}.test").shape
    assert shape != parse_pattern("a{x}.{y}.test").shape


def test_names() -> None:
    """The names of the parameters are given in order."""
    assert parse_pattern("{b}-{a}.{c:labels}.test").names == ("b", "a", "c")


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("{n:itn}.a", "no parameter is 'itn' (did you mean 'int'?), expected int, labels or str"),
        ("{n:}.a", "no parameter is '', expected int, labels or str"),
        ("{}.a", "a parameter cannot be called ''; {name} and {n:int} are right ones"),
        ("{1}.a", "a parameter cannot be called '1'; {name} and {n:int} are right ones"),
        ("{class}.a", "a parameter cannot be called 'class'; {name} and {n:int} are right ones"),
        ("{query}.a", "a parameter cannot be called 'query'; {name} and {n:int} are right ones"),
        ("{a.b}.c", "a parameter cannot be called 'a.b'; {name} and {n:int} are right ones"),
        ("{a.b", "has a brace without its partner"),
        ("a}.b", "has a brace without its partner"),
        ("{{a}}.b", "has a brace without its partner"),
        ("{a}.{a}.b", "has two parameters called a"),
        ("{a}{b}.c", "has two parameters with nothing between them"),
        ("x{a:labels}.c", "a stands for whole labels, expected dots around it"),
        ("{a:labels}x.c", "a stands for whole labels, expected dots around it"),
        ("{a:labels}.x.{b:labels}", "has two parameters for several labels, expected one"),
        ("{n:int}5.a", "a digit follows the number n"),
        ("{a}..b", "has an empty label; one dot stands between labels"),
        ("..{a}", "has an empty label; one dot stands between labels"),
        ("*{a}.b", "'*' cannot stand here, expected printable ASCII and stars alone"),
        ("x*.{b}", "'x*' cannot stand here, expected printable ASCII and stars alone"),
        ("ä{a}.b", "'ä' cannot stand here, expected printable ASCII and stars alone"),
        ("x y{a}.b", "'x y' cannot stand here, expected printable ASCII and stars alone"),
        (r"\{a}.b", r"'\\' cannot stand here, expected printable ASCII and stars alone"),
    ],
)
def test_no_pattern(pattern: str, problem: str) -> None:
    """What is no pattern is refused, with what is wrong and what would be right."""
    with pytest.raises(RouteError) as caught:
        parse_pattern(pattern)
    assert (caught.value.text, caught.value.problem) == (pattern, problem)


@pytest.mark.parametrize("pattern", ["", "a..b", "{a}." + "x" * 64])
def test_no_name(pattern: str) -> None:
    """What stands for itself has to be a name."""
    with pytest.raises(DomainNameError):
        parse_pattern(pattern)


@given(st.text("a.{}*:\\-1é labelsint"))
def test_any_text(text: str) -> None:
    """Any text is a pattern or raises an error of the library's own."""
    with suppress(EndpointError):
        parse_pattern(text).match((b"x", b"1", b"1"))


@given(st.lists(st.binary(min_size=1, max_size=63), min_size=1, max_size=5))
def test_any_name(labels: list[bytes]) -> None:
    """Every name of labels matches a pattern for them, whatever bytes they are made of."""
    assert parse_pattern("{a:labels}").match(tuple(labels)) is not None


def test_hostile_label() -> None:
    """A label that nearly matches in many ways costs one try: this would take years otherwise."""
    pattern = "".join(f"{{{name}}}-" for name in "abcdefghij") + "z.test"
    assert match(pattern, "-" * 63 + ".test") is None
