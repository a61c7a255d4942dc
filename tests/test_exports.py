"""The public names of the package."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import asyncendpoints

SOURCE = Path(asyncendpoints.__file__).read_text()


def declared() -> set[tuple[str, str]]:
    """Give module and name of every import that only a type checker sees."""
    tree = ast.parse(SOURCE)
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {
        (node.module or "", alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_type_checkers_see_what_there_is() -> None:
    """The names that a type checker sees are those that can be imported, from the same modules."""
    lazy = {(f"asyncendpoints.{module}", name) for name, module in asyncendpoints._MODULES.items()}
    assert declared() == lazy


@pytest.mark.parametrize("name", asyncendpoints.__all__)
def test_every_name_is_there(name: str) -> None:
    """Every public name can be had from the package, and belongs to its module's own list."""
    module = sys.modules[asyncendpoints.__name__]
    value = getattr(module, name)
    assert name in vars(sys.modules[value.__module__])["__all__"]


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A name that is not there is reported as Python does."""
    with pytest.raises(AttributeError, match="no attribute 'bogus'"):
        asyncendpoints.bogus  # noqa: B018 - the look is the test


def test_dir_lists_the_public_names() -> None:
    """``dir()`` shows what completion should offer, also before it is first used, and nothing else."""
    shown = {name for name in dir(asyncendpoints) if not name.startswith("__")}
    assert shown == set(asyncendpoints.__all__)


def test_version() -> None:
    """The version is that of the installed package."""
    assert asyncendpoints.__version__ == version("asyncendpoints")


def test_importing_the_package_imports_nothing_else() -> None:
    """Importing the package alone loads none of its modules, and none of its dependencies."""
    code = (
        "import sys, asyncio, ssl, dataclasses; before = set(sys.modules); import asyncendpoints; "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) - {"__future__"} == {"asyncendpoints"}
