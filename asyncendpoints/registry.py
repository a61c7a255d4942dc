"""The register of kinds: which class answers to a name.

The built-in kinds are known by the place of their class and imported when one is first asked for. Kinds of
other packages come from the entry-point groups ``asyncendpoints.clients`` and ``asyncendpoints.servers``,
which are read only when a name is unknown, or by `register`.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from asyncendpoints.errors import DescriptionError, nearest
from asyncendpoints.grammar import grammar
from asyncendpoints.masking import shorten

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from asyncendpoints.grammar import Name
    from asyncendpoints.specs import Spec

__all__ = ["find", "known", "register"]

T = TypeVar("T", bound="Spec")

_KINDS = "asyncendpoints.kinds."

_BUILT_IN: dict[str, dict[str, str]] = {
    "client": {
        "tcp": "tcp:TCPClient",
        "tcp6": "tcp:TCPClient",
        "tls": "tls:TLSClient",
        "ssl": "tls:TLSClient",
        "unix": "unix:UNIXClient",
        "udp": "udp:UDPClient",
        "dns": "dns:DNSClient",
        "srv": "srv:SRVClient",
        "fd": "adopted:FDClient",
        "stdio": "stdio:StdioClient",
        "memory": "memory:MemoryClient",
        "haproxy": "haproxy:ProxyProtocolClient",
        "socks5": "socks5:SOCKS5Client",
        "httpconnect": "httpconnect:HTTPConnectClient",
    },
    "server": {
        "tcp": "tcp:TCPServer",
        "tcp6": "tcp:TCPServer",
        "tls": "tls:TLSServer",
        "ssl": "tls:TLSServer",
        "unix": "unix:UNIXServer",
        "udp": "udp:UDPServer",
        "dns": "dns:DNSServer",
        "fd": "adopted:FDServer",
        "systemd": "adopted:SystemdServer",
        "stdio": "stdio:StdioServer",
        "memory": "memory:MemoryServer",
        "haproxy": "haproxy:ProxyProtocolServer",
    },
}

#: What has been found so far: for each role, name to class and its Name.
_found: dict[str, dict[str, tuple[type[Spec], Name]]] = {"client": {}, "server": {}}

#: A host and a port, or a port alone.
_PLACE = re.compile(r"(?:[A-Za-z0-9.-]{1,253}:)?[0-9]{1,5}")

_VERBS = {"client": "connect", "server": "listen"}


def register(cls: type[T]) -> type[T]:
    """Add a kind of one's own; a decorator for its class.

    Names are not case-sensitive. A built-in name cannot be taken, nor one that another class has.

    Raises:
        ValueError: A name of the class is taken.
        TypeError: The class does not follow the rules for specs.
    """
    grammar(cls)
    for name in cls.names:
        holder, _ = _found[cls.role].get(name.text, (None, None))
        if holder is not cls and (holder or name.text in _BUILT_IN[cls.role]):
            msg = f"the {cls.role} kind {name.text!r} is taken"
            raise ValueError(msg)
    _remember(cls)
    return cls


def find(text: str, kind: str, role: str) -> tuple[type[Spec], Name]:
    """Give the class and the name that a kind stands for.

    Args:
        text: The whole description, for the error.
        kind: Its first word, in any case.
        role: ``"client"`` or ``"server"``.

    Raises:
        DescriptionError: There is no such kind, or its package is broken.
    """
    found = _found[role].get(kind)
    if found is not None:
        return found
    kind = kind.lower()
    if kind not in _found[role]:
        if kind in _BUILT_IN[role]:
            module, _, attribute = _BUILT_IN[role][kind].partition(":")
            _remember(getattr(import_module(_KINDS + module), attribute))
        else:
            _plug_in(text, kind, role)
    return _found[role][kind]


def known(role: str) -> list[str]:
    """List the names of all kinds of a role, sorted; no kind is imported for it."""
    plugged_in = (entry.name.lower() for entry, _ in _plug_ins(role))
    return sorted({*_BUILT_IN[role], *_found[role], *plugged_in})


def _remember(cls: type[Spec]) -> None:
    for name in cls.names:
        _found[cls.role][name.text] = (cls, name)


def _plug_ins(role: str) -> list[tuple[EntryPoint, str]]:
    """List the entry points of other packages with the name of each package."""
    from importlib.metadata import distributions  # slow to import, and hardly ever needed

    found: list[tuple[EntryPoint, str]] = []
    for package in distributions():
        try:
            entries = package.entry_points.select(group=f"asyncendpoints.{role}s")
            found += [(entry, package.name) for entry in entries]
        except Exception:  # noqa: BLE001, S112 - broken metadata, of a package that need not concern us
            continue
    return found


def _plug_in(text: str, kind: str, role: str) -> None:
    """Register the kind of another package."""
    plug_in = next((each for each in _plug_ins(role) if each[0].name.lower() == kind), None)
    if plug_in is None:
        raise DescriptionError(text, 0, _unknown(text, kind, role))
    entry, package = plug_in
    try:
        cls: type[Spec] = entry.load()
        if getattr(cls, "role", None) != role:
            msg = f"{entry.value} is no {role} spec"
            raise TypeError(msg)
        if kind not in (name.text for name in cls.names):
            msg = f"{entry.value} does not have this name"
            raise TypeError(msg)
        register(cls)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        problem = f"the {role} kind {kind!r} of the package {package} is broken: {reason}"
        raise DescriptionError(text, 0, problem) from error


def _unknown(text: str, kind: str, role: str) -> str:
    """Say what is wrong with a first word that is no kind."""
    names = known(role)
    listed = ", ".join(names)
    if not kind:
        return f"starts without a kind, expected one of {listed}"
    if "=" in kind:
        return f"starts with an argument, expected the kind of a {role} first, as in tcp:8080"
    other = "server" if role == "client" else "client"
    if kind in known(other):
        return f"{kind!r} can only {_VERBS[other]}, expected one of {listed}"
    right = nearest(kind, names)
    if not right and _PLACE.fullmatch(text):
        right = f" (did you mean 'tcp:{text}'?)"
    right = right or f" (there are: {listed})"
    return f"no kind of {role} is called {shorten(kind)}{right}"
