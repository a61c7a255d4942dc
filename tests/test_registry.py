"""The register of kinds: built-in ones, those of other packages, and those of the program itself."""

from __future__ import annotations

import importlib
import shutil
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import asyncendpoints
from asyncendpoints import registry
from asyncendpoints.errors import DescriptionError
from asyncendpoints.grammar import Name
from asyncendpoints.registry import find, known, register
from asyncendpoints.specs import ClientSpec, ServerSpec, parse_client, parse_server
from tests.sample_kinds import HopClient, PairServer, registered
from tests.support import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asyncendpoints.specs import Spec

PACKAGE = Path(__file__).with_name("plugin_package")

OF_PACKAGE = "of the package endpoint-sample is broken"

NOWHERE = "ModuleNotFoundError: No module named 'endpoint_sample.nowhere'"
TCP_HAS = "(it has: port, interface, backlog, v6only, reuse_port)"

CLIENTS = [
    "dns",
    "fd",
    "haproxy",
    "httpconnect",
    "memory",
    "socks5",
    "srv",
    "ssl",
    "stdio",
    "tcp",
    "tcp6",
    "tls",
    "udp",
    "unix",
]
SERVERS = [
    "dns",
    "fd",
    "haproxy",
    "memory",
    "ssl",
    "stdio",
    "systemd",
    "tcp",
    "tcp6",
    "tls",
    "udp",
    "unix",
]


@pytest.fixture(autouse=True)
def clean_register() -> Iterator[None]:
    """What a test registers is gone after it."""
    with registered():
        yield


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Install the package with kinds of its own, in a temporary folder."""

    def put() -> None:
        project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
        shutil.copytree(PACKAGE / "endpoint_sample", tmp_path / "endpoint_sample")
        information = tmp_path / "endpoint_sample-1.0.dist-info"
        information.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0\n"
        (information / "METADATA").write_text(metadata)
        (information / "entry_points.txt").write_text(entry_points(project["entry-points"]))
        monkeypatch.syspath_prepend(tmp_path)

    yield put
    for name in [each for each in sys.modules if each.startswith("endpoint_sample")]:
        del sys.modules[name]


def entry_points(groups: dict[str, dict[str, str]]) -> str:
    """Write entry points as an installer does."""
    lines: list[str] = []
    for group, entries in groups.items():
        lines += [f"[{group}]", *(f"{name} = {place}" for name, place in entries.items())]
    return "\n".join(lines)


@pytest.mark.parametrize(("role", "names"), [("client", CLIENTS), ("server", SERVERS)])
def test_built_in_kinds(role: str, names: list[str]) -> None:
    """The kinds of this package are known, and each is found by each of its names."""
    assert known(role) == names
    for text in names:
        cls, name = find(text, text, role)
        assert cls.role == role
        assert name.text == text
        assert name in cls.names


def test_case() -> None:
    """The kind is not case-sensitive."""
    assert find("Tcp:", "Tcp", "client") == find("tcp:", "tcp", "client")


@pytest.mark.usefixtures("install")
class TestPlugIns:
    """Kinds that other packages bring by entry points."""

    @pytest.fixture(autouse=True)
    def installed(self, install: Callable[[], None]) -> None:
        """The package is there."""
        install()

    def test_known(self) -> None:
        """They are known by name without being imported."""
        assert set(known("client")) == {*CLIENTS, "via", "shout", "broken", "gone"}
        assert not any(name.startswith("endpoint_sample") for name in sys.modules)

    def test_client(self) -> None:
        """A client is parsed and written like a built-in one."""
        spec = parse_client("via:[tcp:example.org:80]:password=x")
        assert type(spec).__name__ == "ViaClient"
        assert spec == parse_client(str(spec))
        assert spec.display() == "via:[tcp:example.org:80]:password=***"

    def test_server(self) -> None:
        """A server too."""
        assert str(parse_server("shout:port=8")) == "shout:8"

    @pytest.mark.parametrize("kind", ["shout", "SHOUT", "Shout"])
    def test_case(self, kind: str) -> None:
        """Its name is not case-sensitive, in the text and in the entry point."""
        assert str(parse_client(f"{kind}:x")) == "shout:x"

    def test_second_name(self) -> None:
        """Once a kind is there, all its names are, also those without an entry point."""
        assert parse_client("shout:x:8") == parse_client("cry:x")

    def test_wrapper(self) -> None:
        """A wrapper has its own arguments in front, of a type of its own, and takes the rest."""
        spec = parse_server("trusting:trusted=10.0.0.0/8,192.0.2.0/24:timeout=5:tcp:80")
        assert spec == parse_server(str(spec))
        assert str(spec) == "trusting:trusted=10.0.0.0/8,192.0.2.0/24:timeout=5:tcp:80"
        assert parse_server("trusting:trusted=[10.0.0.0/8]:tcp:80:interface=[::1]") == parse_server(
            r"trusting:trusted=10.0.0.0/8:tcp:80:\:\:1"
        )

    @pytest.mark.parametrize(
        ("text", "position", "problem"),
        [
            ("trusting:trusted=x:tcp:80", 17, "trusted is 'x', Expected 4 octets in 'x'"),
            (
                "trusting:tcp:80:bogus=1",
                16,
                f"a tcp server has no option 'bogus' {TCP_HAS}",
            ),
            ("trusting:timeout=5", 18, "a trusting server needs a server, as in trusting:tcp:8080"),
        ],
    )
    def test_wrong_wrapper(self, text: str, position: int, problem: str) -> None:
        """What is wrong in a wrapper or in what it wraps has its place in the whole text."""
        with pytest.raises(DescriptionError) as caught:
            parse_server(text)
        assert (caught.value.position, caught.value.problem) == (position, problem)

    async def test_at_work(self) -> None:
        """A client of the package talks to a server of the package."""
        (listener,) = parse_server("trusting:tcp:0:127.0.0.1").bind()
        client = parse_client(f"via:[tcp:127.0.0.1:{listener.getsockname()[1]}]")
        transport, protocol = await asyncendpoints.connect(client, Recorder)
        accepted, _ = listener.accept()
        with accepted:
            listener.close()
            transport.write(b"hello")
            assert accepted.recv(5) == b"hello"
        await protocol.lost.wait()

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            (
                "broken:x",
                f"the client kind 'broken' {OF_PACKAGE}: RuntimeError: no turbo encabulator",
            ),
            (
                "gone:x",
                f"the client kind 'gone' {OF_PACKAGE}: {NOWHERE}",
            ),
        ],
    )
    def test_broken_client(self, text: str, problem: str) -> None:
        """A broken kind is reported with its package when it is asked for."""
        with pytest.raises(DescriptionError) as caught:
            parse_client(text)
        assert (caught.value.position, caught.value.problem) == (0, problem)
        assert caught.value.__cause__ is not None

    @pytest.mark.parametrize(
        ("kind", "reason"),
        [
            ("nospec", "TypeError: endpoint_sample.servers:NAMES is no server spec"),
            ("wrongrole", "TypeError: endpoint_sample.clients:ViaClient is no server spec"),
            (
                "othername",
                "TypeError: endpoint_sample.servers:ShoutServer does not have this name",
            ),
            ("thief", "ValueError: the server kind 'tcp' is taken"),
        ],
    )
    def test_broken_server(self, kind: str, reason: str) -> None:
        """So is a kind that is no spec, one of the other role, and one that takes a built-in name."""
        with pytest.raises(DescriptionError) as caught:
            parse_server(kind)
        assert caught.value.problem == f"the server kind {kind!r} {OF_PACKAGE}: {reason}"

    def test_broken_ones_break_nothing(self) -> None:
        """Kinds that are not broken work all the same."""
        for text in ("broken:x", "gone:x"):
            with pytest.raises(DescriptionError):
                parse_client(text)
        assert str(parse_client("tcp:x:80")) == "tcp:x:80"
        assert str(parse_client("shout:x")) == "shout:x"


@pytest.mark.parametrize(
    "entries", [b"[asyncendpoints.clients]\nx\n", b"\xff\xfe", b"[asyncendpoints.clients]\n=\n"]
)
def test_broken_metadata(
    entries: bytes, install: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Metadata of some package that cannot be read hides no kind of another package."""
    install()
    broken = tmp_path / "broken" / "broken-1.0.dist-info"
    broken.mkdir(parents=True)
    (broken / "entry_points.txt").write_bytes(entries)
    monkeypatch.syspath_prepend(broken.parent)
    assert "shout" in known("client")
    assert str(parse_client("shout:x")) == "shout:x"
    with pytest.raises(DescriptionError, match="no kind of client is called 'zzz'"):
        parse_client("zzz:x")


def test_unknown_kind_is_looked_for_again(install: Callable[[], None]) -> None:
    """A package that is installed while a program runs is found."""
    with pytest.raises(DescriptionError):
        parse_client("shout:x")
    install()
    importlib.invalidate_caches()
    assert str(parse_client("shout:x")) == "shout:x"


def test_register() -> None:
    """The decorator gives the class back, and its names then work in any case."""
    assert register(HopClient) is HopClient
    assert parse_client("HOP:x") == HopClient("x")
    assert {"hop", "hop6", "hop7"} <= set(known("client"))


def test_register_twice() -> None:
    """To register a class a second time changes nothing."""
    register(PairServer)
    register(PairServer)
    assert find("pair", "pair", "server")[0] is PairServer


def one_named(*names: str, base: type[ClientSpec | ServerSpec] = ClientSpec) -> type[Spec]:
    """Make a kind without arguments."""

    class Kind(base):  # type: ignore[misc, valid-type]
        pass

    Kind.names = tuple(Name(each, each) for each in names)
    made: type[Spec] = dataclass(frozen=True, slots=True, repr=False)(Kind)
    return made


@pytest.mark.parametrize("name", ["tcp", "tls", "mine"])
def test_taken_name(name: str) -> None:
    """A built-in name cannot be taken, used or not, nor that of another class; nothing is changed then."""
    register(one_named("mine"))
    thief = one_named("mine2", name)
    with pytest.raises(ValueError, match=f"^the client kind '{name}' is taken$"):
        register(thief)
    assert "mine2" not in known("client")


def test_taken_name_of_a_kind_that_was_not_used() -> None:
    """Nor can a built-in name be taken before its kind is first asked for."""
    registry._found["client"].clear()
    with pytest.raises(ValueError, match=r"^the client kind 'tcp' is taken$"):
        register(one_named("tcp"))


def test_roles_have_names_of_their_own() -> None:
    """A name that is taken for clients is free for servers."""
    register(one_named("mine"))
    register(one_named("mine", base=ServerSpec))
    register(one_named("systemd"))
    assert find("mine", "mine", "client") != find("mine", "mine", "server")
    assert str(parse_client("systemd")) == "systemd"


def test_register_refuses_what_is_no_kind() -> None:
    """A class that does not follow the rules is refused at once."""
    with pytest.raises(TypeError, match="is to be declared with"):

        @register
        class Plain(ClientSpec):
            names = (Name("plain", "plain"),)


def test_known_to_the_other_role() -> None:
    """A kind that only connects cannot listen, and the message lists what can."""
    register(one_named("mine"))
    with pytest.raises(DescriptionError) as caught:
        parse_server("mine:x")
    assert caught.value.problem == f"'mine' can only connect, expected one of {', '.join(SERVERS)}"


def test_public_name() -> None:
    """The decorator is a public name of the package, whatever has been imported before."""
    assert asyncendpoints.register is register


@pytest.mark.parametrize("text", ["localhost:80", "8080", "192.0.2.1:53"])
def test_place_without_a_kind(text: str) -> None:
    """A host with a port, or a port, gets the kind that is likely meant."""
    with pytest.raises(DescriptionError) as caught:
        parse_client(text)
    assert caught.value.problem.endswith(f"(did you mean 'tcp:{text}'?)")
