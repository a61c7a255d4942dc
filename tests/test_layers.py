"""The direction of imports: pure before I/O, and nothing below the kinds knows what is above them."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import asyncendpoints

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(asyncendpoints.__file__).parent

#: Turn text into values and back, and do no more.
PURE = {
    *("description", "grammar", "specs", "fields", "errors", "masking", "addresses", "events"),
    *("proxy_protocol", "proxy_tlvs", "socks5", "http_connect", "backoff"),
    *("srv", "service_bindings"),
    *("limits", "quantities", "throttle"),
}

#: The same for DNS: names, records and messages, and what answers from a table.
PURE_DNS = {
    f"dns.{each}"
    for each in (
        *("names", "records", "codes", "query", "outcome", "sections"),
        *("scan", "wire", "render", "question", "reply"),
        *(
            "networks",
            "guards",
            "memo",
            "patterns",
            "router",
            "special",
            "results",
            "entry",
            "store",
        ),
        *("zone", "zonebuild", "zonedict", "zonefile", "zonetable"),
    )
}

#: Those parts of DNS that wait for each other, and know no socket.
WITHOUT_SOCKETS = {
    f"dns.{each}"
    for each in (
        *("faults", "resolver", "timers", "chain", "zones", "cache", "fetch"),
        *("clients", "late_reply", "responder"),
    )
}

#: Those parts of the command line that make text and pictures of values.
PURE_CLI = {"cli.messages", "cli.picture", "cli.timeline"}

#: What reaches outside of the process, or waits for something.
IO = {
    "asyncio",
    "socket",
    "ssl",
    "selectors",
    "subprocess",
    "threading",
    "os",
    "io",
    "random",
    "time",
}

#: Exceptions that errors of this package inherit, and their numbers.
EXCEPTIONS = {
    "socket.gaierror",
    "socket.EAI_AGAIN",
    "socket.EAI_FAIL",
    "socket.EAI_NONAME",
    "ssl.SSLError",
    "ssl.SSLCertVerificationError",
}

#: What connects and listens: it reaches a kind through its spec only, and no kind knows it.
TOP = {
    *("connecting", "datagrams", "listening", "server", "streams", "relaying"),
    *("running", "service", "signals", "tunnels", "cli", "__main__"),
}


@cache
def modules() -> dict[str, set[str]]:
    """Give the modules of the package and what each imports when it runs."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = set(imports(ast.parse(path.read_text())))
    return found


def imports(tree: ast.AST) -> Iterator[str]:
    """Name everything that a module imports, in functions too, but for ``if TYPE_CHECKING``."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                continue
            case ast.Import():
                yield from (each.name for each in node.names)
            case ast.ImportFrom(level=0):
                yield from (f"{node.module}.{each.name}" for each in node.names)
        yield from imports(node)


def inner(names: set[str]) -> set[str]:
    """Give the modules of this package among what is imported, without the package's name."""
    prefix = "asyncendpoints."
    own = {each.removeprefix(prefix) for each in names if each.startswith(prefix)}
    return {each for each in modules() if each in own or any(n.startswith(f"{each}.") for n in own)}


#: Those of them that wait for something in the process, or look at its clock.
INSIDE = {"asyncio", "time"}


@pytest.mark.parametrize("name", sorted(PURE | PURE_DNS | PURE_CLI))
def test_pure_modules_do_no_io(name: str) -> None:
    """A pure module imports nothing that reaches outside of the process."""
    named = modules()[name] - (EXCEPTIONS if name == "errors" else set())
    assert not {each for each in named if each.split(".")[0] in IO}


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_modules_stay_among_themselves(name: str) -> None:
    """A pure module imports pure ones only; specs also asks the register of kinds."""
    allowed = PURE | ({"registry"} if name == "specs" else set())
    # A spec without an acceptor of its own gets the plain one when it listens.
    deferred = {"listeners"} if name == "specs" else set()
    assert inner(modules()[name]) <= allowed | deferred


@pytest.mark.parametrize("name", sorted(PURE_DNS))
def test_pure_dns_stays_pure(name: str) -> None:
    """A pure module of DNS imports pure ones only."""
    assert inner(modules()[name]) - {"dns"} <= PURE | PURE_DNS


@pytest.mark.parametrize("name", sorted(WITHOUT_SOCKETS))
def test_resolvers_know_no_socket(name: str) -> None:
    """Resolvers of resolvers and what asks them wait for each other, and reach nothing outside."""
    imported = modules()[name]
    assert not {each for each in imported if each.split(".")[0] in IO - INSIDE}
    assert inner(imported) - {"dns"} <= PURE | PURE_DNS | WITHOUT_SOCKETS


def test_what_connects_knows_no_dns_server() -> None:
    """What connects to a name can ask a resolver, and knows nothing of DNS that has a socket or a file."""
    above = {"dns", "cli", "kinds", "apps", "testing", "__main__", ""}
    assert not {
        (name, each)
        for name, imported in modules().items()
        if name.split(".")[0] not in above
        for each in inner(imported) - {"dns"} - PURE_DNS - WITHOUT_SOCKETS
        if each.startswith("dns.")
    }


@pytest.mark.parametrize("name", sorted(each for each in modules() if each.startswith("kinds")))
def test_kinds_do_not_import_upwards(name: str) -> None:
    """A kind imports neither what connects nor what listens."""
    assert not {each for each in inner(modules()[name]) if each.split(".")[0] in TOP}


def test_nothing_below_the_kinds_imports_upwards() -> None:
    """What is neither a kind nor above the kinds imports neither a kind nor what is above."""
    upwards = {
        (name, each)
        for name, imported in modules().items()
        if name.split(".")[0] not in {*TOP, "kinds", "apps", "testing", "dns", ""}
        for each in inner(imported)
        if each.split(".")[0] in {*TOP, "kinds"}
    }
    assert not upwards


def test_modules_and_public_names_differ() -> None:
    """No module has the name of something public, which importing the module would hide."""
    assert not set(modules()) & set(asyncendpoints.__all__)


def test_walker_sees_what_it_should() -> None:
    """Imports in functions and classes are seen, those for type checkers are not."""
    source = (
        "import a.b, c\n"
        "if TYPE_CHECKING:\n    import d\n"
        "def f():\n    from e import g as h\n"
        "class C:\n    from i.j import k\n"
        "if x:\n    import l\n"
    )
    assert set(imports(ast.parse(source))) == {"a.b", "c", "e.g", "i.j.k", "l"}
