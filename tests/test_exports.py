"""The public names of the packages."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import asyncendpoints
import asyncendpoints.dns

if TYPE_CHECKING:
    from types import ModuleType

PACKAGES = [asyncendpoints, asyncendpoints.dns]

NAMES = [(package, name) for package in PACKAGES for name in package.__all__]


def declared(package: ModuleType) -> set[tuple[str, str]]:
    """Give module and name of every import that only a type checker sees."""
    tree = ast.parse(Path(str(package.__file__)).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {
        (node.module or "", alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_type_checkers_see_what_there_is(package: ModuleType) -> None:
    """The names that a type checker sees are those that can be imported, from the same modules."""
    lazy = {(f"{package.__name__}.{module}", name) for name, module in package._MODULES.items()}
    assert declared(package) == lazy


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_every_name_is_there(package: ModuleType, name: str) -> None:
    """Every public name can be had from the package, and belongs to its module's own list."""
    value = getattr(package, name)
    module = sys.modules[f"{package.__name__}.{package._MODULES[name]}"]
    assert getattr(module, name) is value
    assert name in module.__all__


@pytest.mark.parametrize("package", PACKAGES)
def test_an_unknown_name_is_an_attribute_error(package: ModuleType) -> None:
    """A name that is not there is reported as Python does."""
    with pytest.raises(AttributeError, match="no attribute 'bogus'"):
        package.bogus  # noqa: B018 - the look is the test


@pytest.mark.parametrize("package", PACKAGES)
def test_dir_lists_the_public_names(package: ModuleType) -> None:
    """``dir()`` shows what completion should offer, also before it is first used, and nothing else."""
    shown = {name for name in dir(package) if not name.startswith("__")}
    assert shown == set(package.__all__)


def test_dns_names_are_no_modules() -> None:
    """No module of ``dns`` has the name of something public, which importing the module would hide."""
    folder = Path(asyncendpoints.dns.__file__).parent
    assert not {each.stem for each in folder.glob("*.py")} & set(asyncendpoints.dns.__all__)


def test_version() -> None:
    """The version is that of the installed package."""
    assert asyncendpoints.__version__ == version("asyncendpoints")


@pytest.mark.parametrize(
    ("name", "loaded"),
    [
        ("asyncendpoints", {"asyncendpoints"}),
        ("asyncendpoints.dns", {"asyncendpoints", "asyncendpoints.dns"}),
    ],
)
def test_importing_a_package_imports_nothing_else(name: str, loaded: set[str]) -> None:
    """Importing a package alone loads none of its modules, and none of its dependencies."""
    code = (
        f"import sys, asyncio, ssl, dataclasses; before = set(sys.modules); import {name}; "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) - {"__future__"} == loaded
