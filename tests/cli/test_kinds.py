"""``kinds``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import pytest

from asyncendpoints import registry
from asyncendpoints.cli.kinds import Kind, describe, usage
from asyncendpoints.fields import Help, Text
from asyncendpoints.grammar import Inner, Name
from asyncendpoints.kinds.tcp import TCPClient
from asyncendpoints.specs import ClientSpec, ServerSpec
from tests.cli.support import run, words


def test_every_built_in_kind_is_listed_once_with_an_example() -> None:
    """A kind of several names has one entry."""
    result = run("kinds")
    assert result.exit_code == 0
    clients, _, servers = result.output.partition("Servers, to listen")
    assert clients.count("tcp, tcp6") == servers.count("tcp, tcp6") == 1
    for example in ("tcp:example.org:80", "memory:app", "unix:/run/app.sock"):
        assert example in clients
    assert "systemd:name=http" in servers


def test_a_kind_shows_its_arguments_from_the_dataclass() -> None:
    """Name, other spelling, help, value and default of a field are printed."""
    result = run("kinds", "TCP", columns=160)
    assert result.exit_code == 0
    text = words(result.output)
    assert "tcp, tcp6 as a client" in text
    assert "tcp, tcp6 as a server" in text
    assert "tcp:HOST:PORT as in tcp:example.org:80" in text
    assert "tcp:PORT[:INTERFACE][:BACKLOG] as in tcp:8080" in text
    assert (
        "address to connect from (also bindAddress) (by name) a host name or an address -" in text
    )
    assert "port to connect to a number from 0 to 65535 required" in text


KINDS = ["dns", "fd", "haproxy", "httpconnect", "memory", "socks5", "srv", "ssl", "systemd", "tls"]


@pytest.mark.parametrize("columns", [20, 40, 59, 64, 80])
@pytest.mark.parametrize("arguments", [[], *([each] for each in (*KINDS, "tcp", "udp", "unix"))])
def test_no_word_is_cut(arguments: list[str], columns: int) -> None:
    """However narrow the terminal is, everything can be read, and no line ends with blanks."""
    narrow, wide = (run("kinds", *arguments, columns=each).stdout for each in (columns, 250))
    assert "…" not in narrow
    assert all(len(each) <= max(columns, 24) for each in narrow.splitlines())
    for text in (narrow, wide):
        assert [each for each in text.splitlines() if each != each.rstrip()] == []
    pieces = "".join(narrow.split())
    header = {"argument", "what", "it", "is", "value", "default"}
    assert {each for each in wide.split() if each not in pieces} <= header


def test_a_narrow_terminal_has_one_column() -> None:
    """Each argument has its name, then what it is, its values and its default on lines of their own."""
    lines = run("kinds", "udp", columns=40).stdout.splitlines()
    start = lines.index("  port")
    assert lines[start : start + 7] == [
        "  port",
        "    port to send to",
        "    a number from 1 to 65535",
        "    required",
        "  timeout",
        "    limit of the lookup, in seconds (by",
        "    name)",
    ]
    assert "    default: 30" in lines


@pytest.mark.parametrize("kind", ["socks5", "httpconnect"])
def test_arguments_are_in_positional_order(kind: str) -> None:
    """Those of a proxy come before those of the target, as they are written."""
    output = run("kinds", kind, columns=120).stdout
    table = [each.split()[0] for each in output.partition("argument")[2].splitlines()[1:] if each]
    assert table[:4] == ["proxy_host", "proxy_port", "host", "port"]
    assert "host name or address of the proxy" in words(output)


def test_a_kind_without_arguments_says_so() -> None:
    """``stdio`` takes none."""
    result = run("kinds", "stdio")
    assert "stdio: as in stdio:" in words(result.output)
    assert "It takes no arguments." in result.output


def test_an_unknown_kind_is_wrong_usage() -> None:
    """The error lists the kinds that there are."""
    result = run("kinds", "tpc")
    assert result.exit_code == 2
    assert (
        "there is no kind 'tpc'; there are: dns, fd, haproxy, httpconnect, memory" in result.stderr
    )


class FakeEntryPoint:
    """The entry point of a package that cannot be imported."""

    name = "Broken"
    value = "broken:Spec"

    def load(self) -> object:
        raise ImportError("no module named 'broken'")


@pytest.fixture
def broken_plug_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client kind whose package is broken."""
    found = {"client": [(FakeEntryPoint(), "some-package")], "server": []}
    monkeypatch.setattr(registry, "_plug_ins", found.get)


@pytest.mark.usefixtures("broken_plug_in")
def test_a_broken_plug_in_is_a_line_of_the_list() -> None:
    """The others are listed all the same."""
    result = run("kinds")
    assert result.exit_code == 0
    assert "package some-package is broken: ImportError" in words(result.output)
    assert "tcp:example.org:80" in result.output


@pytest.mark.usefixtures("broken_plug_in")
def test_a_broken_plug_in_that_is_asked_for_is_a_failure() -> None:
    """Its problem is printed, and the exit code is 1."""
    result = run("kinds", "broken")
    assert result.exit_code == 1
    assert words(result.output).startswith(
        "broken as a client: the client kind 'broken' of the package"
    )


@dataclass(frozen=True, slots=True, repr=False)
class WrapperServer(ServerSpec):  # noqa: D101 - it has none on purpose
    names = (Name("wrapper", "wrapper:trusted=x:tcp:80"),)

    inner: Annotated[ServerSpec, Inner("server", rest=True), Help("what is wrapped")]
    trusted: Annotated[str | None, Text(), Help("who is trusted")] = field(
        default=None, kw_only=True
    )


def test_a_wrapper_takes_a_description() -> None:
    """The usage of a wrapper shows the description at its end."""
    assert usage(WrapperServer, WrapperServer.names[0]).plain.startswith("wrapper:INNER ")


def test_the_docstring_that_dataclasses_make_is_no_description() -> None:
    """A class without words of its own has an empty description."""
    assert describe(WrapperServer) == ""


@dataclass(frozen=True, slots=True, repr=False)
class WordyClient(ClientSpec):
    """One ``word``
    and another.

    More.
    """

    names = (Name("wordy", "wordy:"),)


def test_a_description_is_without_markup_and_line_breaks() -> None:
    """Each paragraph is one line."""
    assert describe(WordyClient) == "One word and another.\nMore."


def test_a_kind_is_found_or_has_a_problem() -> None:
    """The value for a kind holds its class."""
    assert Kind("tcp", TCPClient).problem == ""
