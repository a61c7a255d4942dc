"""Resolvers that Python files define, among them the zones that Twisted takes with ``--pyzone``.

The law: a file is executed, and may do whatever the process may. Whatever it does wrong is a `ZoneError` that
says where.
"""

from __future__ import annotations

import sys
import traceback
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints.dns.resolver import check_resolver, close, is_recursive, varies, version_of
from asyncendpoints.dns.twistedzone import CONSTRUCTORS, build
from asyncendpoints.dns.zoneload import Loaded, Zone
from asyncendpoints.errors import EndpointError, ZoneError

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable

    from asyncendpoints.dns.outcome import Outcome
    from asyncendpoints.dns.query import Query
    from asyncendpoints.dns.resolver import Resolver

__all__ = ["PythonFile", "load_python"]

#: What a file can call its resolver, the first that is there counts.
_NAMES: Final = ("resolver", "router", "zone")

#: What holds of a resolver as long as it is asked.
_KINDS: Final[tuple[tuple[str, Callable[[Resolver], bool]], ...]] = (
    ("depends on who asks,", varies),
    ("offers recursion,", is_recursive),
    ("has a version,", lambda resolver: version_of(resolver) is not None),
)


def load_python(path: str) -> Resolver:
    """Execute a Python file, and give the resolver that it defines.

    That is what it calls ``resolver``, ``router`` or ``zone``, anything with a method ``resolve``. A ``zone``
    can also be a list of records as Twisted has it, for which the constructors are there without an import:
    see `asyncendpoints.dns.twistedzone`.

    Args:
        path: The file.

    Raises:
        ZoneError: It cannot be read, raises an exception, or defines none of these.
    """
    module = _execute(path)
    for name in _NAMES:
        value: Any = getattr(module, name, None)
        if value is None:
            continue
        if name == "zone" and isinstance(value, list | tuple):
            return _zone(value, path)
        try:
            check_resolver(value)
        except TypeError as error:
            raise ZoneError(path, 0, f"{name!r}: {error}") from None
        resolver: Resolver = value
        return resolver
    raise ZoneError(path, 0, "defines none of 'resolver', 'router' and 'zone'")


def _execute(path: str) -> ModuleType:
    """Run the code in a file, in a module of its own."""
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        raise ZoneError(path, 0, f"cannot be read: {error.strerror}") from error
    module = ModuleType(f"pyzone:{path}")
    module.__file__ = path
    vars(module).update(CONSTRUCTORS)
    # Dataclasses, for one, look their module up.
    sys.modules[module.__name__] = module
    try:
        exec(compile(source, path, "exec"), vars(module))  # noqa: S102 - what this is for
    except SyntaxError as error:
        raise ZoneError(path, error.lineno or 0, f"is no Python: {error.msg}") from error
    except (Exception, SystemExit) as error:  # a file that ends the process ends no server
        said = (
            str(error) if isinstance(error, EndpointError) else f"{type(error).__name__}: {error}"
        )
        raise ZoneError(path, _line(error, path), said) from error
    return module


def _line(error: BaseException, path: str) -> int:
    """Find the line of a file that an exception came through last; 0 if it did not."""
    lines = [
        each.lineno or 0
        for each in traceback.extract_tb(error.__traceback__)
        if each.filename == path
    ]
    return lines[-1] if lines else 0


def _zone(records: list[Any] | tuple[Any, ...], path: str) -> Zone:
    builder = build(records, path)
    steps = builder.steps(path)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return Zone(Loaded(end.value, tuple(builder.warnings)))


class PythonFile:
    """The resolver that a Python file defines, which can be reloaded.

    Args:
        path: The file, see `load_python`.

    Raises:
        ZoneError: As `load_python` does.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = str(path)
        self._reloads = 0
        self._resolver = load_python(self._path)

    @property
    def path(self) -> str:
        """The file."""
        return self._path

    @property
    def resolver(self) -> Resolver:
        """What the file defines. A zone stays the same object when it is reloaded."""
        return self._resolver

    @property
    def version(self) -> tuple[int, object] | None:
        """That of the resolver, if it has one, and how often the file was reloaded."""
        version = version_of(self._resolver)
        return None if version is None else (self._reloads, version)

    @property
    def varies(self) -> bool:
        """Whether outcomes depend on who asks."""
        return varies(self._resolver)

    @property
    def recursive(self) -> bool:
        """Whether it finds out from others what it does not know."""
        return is_recursive(self._resolver)

    def resolve(self, query: Query, /) -> Awaitable[Outcome]:
        return self._resolver.resolve(query)

    async def reload(self) -> None:
        """Execute the file again, and answer by what it defines then.

        Raises:
            ZoneError: As `load_python` does, or it defines another zone than before, or a resolver of another
                kind: that varies, is recursive or has a version as the one before did not, or the other way
                round. What was there stays.
        """
        old, new = self._resolver, load_python(self._path)
        if isinstance(old, Zone) != isinstance(new, Zone):
            problem = (
                "defines a zone no longer"
                if isinstance(old, Zone)
                else "defines a zone, as it did not"
            )
            raise ZoneError(self._path, 0, f"{problem}; that takes a restart")
        if isinstance(old, Zone) and isinstance(new, Zone):
            if new.apex != old.apex:
                raise ZoneError(self._path, 0, f"the zone is no longer {old.name}")
            old.replace(new)
            return
        self._check_kind(old, new)
        self._resolver = new
        self._reloads += 1
        await close(old)

    def _check_kind(self, old: Resolver, new: Resolver) -> None:
        """See that a resolver is what whoever asks it takes it for: they look once, when they begin."""
        for what, has in _KINDS:
            if has(old) != has(new):
                problem = f"{what} {'no longer' if has(old) else 'as it did not'}"
                raise ZoneError(self._path, 0, f"{problem}; that takes a restart")

    async def aclose(self) -> None:
        """Close the resolver, if it has something to close."""
        await close(self._resolver)

    def __repr__(self) -> str:
        return f"PythonFile({self._path!r})"
