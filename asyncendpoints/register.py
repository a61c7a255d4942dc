"""The register of kinds: which class answers to a name.

The built-in kinds are known by the place of their class and imported when one is first asked for. Kinds of
other packages come from the entry-point groups ``asyncendpoints.clients`` and ``asyncendpoints.servers``,
which are read only when a name is unknown, or by `register`.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, TypeVar

from asyncendpoints.errors import DescriptionError, nearest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from asyncendpoints.specs import Name, Spec

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
        "fd": "adopted:FDClient",
        "stdio": "stdio:StdioClient",
        "memory": "memory:MemoryClient",
    },
    "server": {
        "tcp": "tcp:TCPServer",
        "tcp6": "tcp:TCPServer",
        "tls": "tls:TLSServer",
        "ssl": "tls:TLSServer",
        "unix": "unix:UNIXServer",
        "fd": "adopted:FDServer",
        "systemd": "adopted:SystemdServer",
        "stdio": "stdio:StdioServer",
        "memory": "memory:MemoryServer",
    },
}

#: What has been found so far: for each role, name to class and its Name.
_found: dict[str, dict[str, tuple[type[Spec], Name]]] = {"client": {}, "server": {}}


def register(cls: type[T]) -> type[T]:
    """Add a kind of one's own; a decorator for its class.

    Names are not case-sensitive. A built-in name cannot be taken.

    Raises:
        ValueError: A name of the class is taken by another class.
        TypeError: The class does not follow the rules for specs.
    """
    from asyncendpoints.specs import grammar  # specs build on this module

    grammar(cls)
    for name in cls.names:
        taken = name.text in _BUILT_IN[cls.role] or name.text in _found[cls.role]
        if taken and _found[cls.role].get(name.text, (None,))[0] is not cls:
            msg = f"the {cls.role} kind {name.text!r} is taken"
            raise ValueError(msg)
    for name in cls.names:
        _found[cls.role][name.text] = (cls, name)
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
    if found is None:
        kind = kind.lower()
        found = _found[role].get(kind)
    if found is None:
        place = _BUILT_IN[role].get(kind)
        if place is not None:
            module, _, attribute = place.partition(":")
            cls = getattr(import_module(_KINDS + module), attribute)
        else:
            cls = _plugged_in(text, kind, role)
        name = next((each for each in cls.names if each.text == kind), cls.names[0])
        found = _found[role][kind] = (cls, name)
    return found


def known(role: str) -> list[str]:
    """List the names of all kinds of a role, sorted; no kind is imported for it."""
    return sorted({*_BUILT_IN[role], *_found[role], *(each.name for each in _plug_ins(role))})


def _plug_ins(role: str) -> list[EntryPoint]:
    return list(entry_points(group=f"asyncendpoints.{role}s"))


def _plugged_in(text: str, kind: str, role: str) -> type[Spec]:
    """Load the kind of another package."""
    from asyncendpoints.specs import Spec, grammar  # specs build on this module

    entry = next((each for each in _plug_ins(role) if each.name.lower() == kind), None)
    if entry is None:
        raise DescriptionError(text, 0, _unknown(kind, role))
    try:
        cls = entry.load()
        if not (isinstance(cls, type) and issubclass(cls, Spec) and cls.role == role):
            msg = f"{entry.value} is no {role} spec"
            raise TypeError(msg)  # noqa: TRY301 - reported with whatever else a package does wrong
        grammar(cls)
    except Exception as error:
        package = entry.dist.name if entry.dist else "an unknown package"
        problem = f"the {role} kind {kind!r} of the package {package} is broken: {type(error).__name__}: {error}"
        raise DescriptionError(text, 0, problem) from error
    return cls


def _unknown(kind: str, role: str) -> str:
    other = "server" if role == "client" else "client"
    purpose = {"client": "connect", "server": "listen"}
    if not kind:
        return f"starts with a colon or is empty, expected the kind of a {role}, as in tcp"
    if "=" in kind:
        return f"starts with an argument, expected the kind of a {role} first, as in tcp:{kind}"
    if kind in known(other):
        return f"{kind!r} is a kind of {other}: it cannot {purpose[role]}"
    names = known(role)
    listed = ", ".join(names)
    return f"no kind of {role} is called {kind!r}{nearest(kind, names) or f' (there are: {listed})'}"
