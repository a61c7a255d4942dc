"""Kinds made for the tests: what a third party could write, and what it should not."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Annotated

from asyncendpoints import registry
from asyncendpoints.errors import SpecError
from asyncendpoints.fields import Choice, Help, Host, Names, Number, Port, Seconds, Secret, YesNo
from asyncendpoints.grammar import Inner, Name
from asyncendpoints.registry import register
from asyncendpoints.specs import ClientSpec, ServerSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncendpoints.specs import Spec

__all__ = ["HopClient", "LateServer", "PairServer", "WrapServer", "registered"]


@dataclass(frozen=True, slots=True, repr=False)
class HopClient(ClientSpec):
    """A proxy: a nested client, a secret, and names with an order and presets of their own."""

    names = (
        Name("hop", "hop:proxy.example:1080"),
        Name("hop6", "hop6:proxy.example", order=("port", "host"), presets={"colour": "blue"}),
        Name("hop7", "hop7:proxy.example", refused={"sslmethod": "write colour instead"}),
    )

    host: Annotated[Host, Help("host of the proxy")]
    port: Annotated[Port, Help("port of the proxy")] = 1080
    endpoint: Annotated[ClientSpec | None, Inner("client"), Help("how to reach it")] = None
    _: KW_ONLY
    password: Annotated[Secret | None, Help("password for the proxy", "passWord")] = None
    colour: Annotated[Annotated[str, Choice("red", "blue")], Help("colour of the bytes")] = "red"
    timeout: Annotated[Seconds | None, Help("limit, in seconds")] = 30.0
    tags: Annotated[Names | None, Help("words to send along")] = None


@dataclass(frozen=True, slots=True, repr=False)
class PairServer(ServerSpec):
    """Two fields that exclude each other, behind one that may be left out."""

    names = (Name("pair", "pair:low=1"),)

    label: Annotated[Annotated[str | None, Choice("a", "b")], Help("a letter")] = None
    low: Annotated[Annotated[int | None, Number(0, 9)], Help("a digit")] = None
    high: Annotated[Annotated[int | None, Number(0, 9)], Help("a digit")] = None

    def check(self) -> None:
        if (self.low is None) == (self.high is None):
            problem = "a pair server takes low or high"
            raise SpecError("low" if self.high is None else "high", problem)


@dataclass(frozen=True, slots=True, repr=False)
class WrapServer(ServerSpec):
    """A wrapper: the rest of its text is a description."""

    names = (Name("wrap", "wrap:tcp:8080"),)

    server: Annotated[ServerSpec, Inner("server", rest=True), Help("what is wrapped")]
    _: KW_ONLY
    strict: Annotated[YesNo, Help("refuse what is odd")] = False
    token: Annotated[Secret | None, Help("what clients have to say first")] = None


@dataclass(frozen=True, slots=True, repr=False)
class LateServer(ServerSpec):
    """A required field behind another, a position that has to be empty, and a word beside None."""

    names = (
        Name("late", "late:5", order=("word", "port")),
        Name(
            "later", "later:5", order=("word", "method", "port"), refused={"method": "write word"}
        ),
        Name("latest", "latest:word=none:5", order=("port", "word"), required=("word",)),
    )

    port: Annotated[Port, Help("a port")]
    _: KW_ONLY
    word: Annotated[Annotated[str | None, Choice("none", "some", "any")], Help("a word")] = "some"


@contextmanager
def registered(*classes: type[Spec]) -> Iterator[None]:
    """Register kinds for the time of a test."""
    before = {role: dict(found) for role, found in registry._found.items()}
    try:
        for cls in classes:
            register(cls)
        yield
    finally:
        for role, found in registry._found.items():
            found.clear()
            found.update(before[role])
