"""The checks of the project; ``nox -l`` lists them. Plain ``nox`` runs all but the benchmarks."""

from __future__ import annotations

import shutil
import subprocess
import sys

import nox

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "uv|virtualenv" if shutil.which("uv") else "virtualenv"
nox.options.sessions = ["lint", "types", "docs", "tests", "debug", "versions"]
nox.options.reuse_existing_virtualenvs = True

PYPROJECT = nox.project.load_toml("pyproject.toml")


def _has(version: str) -> bool:
    """Tell whether the machine has a Python; a version manager's stand-in may have nothing behind it."""
    program = shutil.which(f"python{version}")
    return program is not None and not subprocess.call(  # noqa: S603 - a fixed command
        [program, "-c", ""], stderr=subprocess.DEVNULL
    )


THIS_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHONS = [each for each in ("3.11", "3.12", "3.13") if each == THIS_PYTHON or _has(each)]


def _install(session: nox.Session, extras: str, group: str) -> None:
    """Install the project, with some of its extras and one of its groups of dependencies."""
    wanted = nox.project.dependency_groups(PYPROJECT, group)
    session.install("-q", "-e", f".[{extras}]", *wanted)


@nox.session
def lint(session: nox.Session) -> None:
    """Look for mistakes and for unformatted code."""
    session.install("-q", *nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the package, its tests and this file."""
    _install(session, "cli,speed", "types")
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning or a dead reference fails."""
    _install(session, "cli", "docs")
    session.run("sphinx-build", "-q", "-n", "-W", "--keep-going", "docs", "docs/_build/html")


@nox.session(python=PYTHONS[-1:])
def tests(session: nox.Session) -> None:
    """Run the tests on the newest Python, and see that they reach every line and branch."""
    _install(session, "cli,speed", "tests")
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    if not session.posargs:
        # Python 3.11 tells a tracer nothing of the lines after an exception has left an `async with`.
        limit = ["--fail-under=0"] if session.python == "3.11" else []
        session.run("coverage", "report", *limit)


@nox.session
def debug(session: nox.Session) -> None:
    """Run the tests in asyncio's debug mode."""
    _install(session, "cli,speed", "tests")
    session.run("python", "-X", "dev", "-m", "pytest", *session.posargs)


@nox.session(python=PYTHONS)
@nox.parametrize("loop", ["asyncio", "uvloop"])
def versions(session: nox.Session, loop: str) -> None:
    """Run the tests on every Python that the machine has, on both loops."""
    _install(session, "cli,speed", "tests")
    session.run("pytest", *session.posargs, env={"ASYNCENDPOINTS_TEST_LOOP": loop})


@nox.session
def bench(session: nox.Session) -> None:
    """Measure against the peers; prints both sides and the ratio of each row."""
    _install(session, "speed", "bench")
    every = ["parsing", "connecting", "accepting", "importing", "relaying", "answering"]
    for name in session.posargs or every:
        session.run("python", f"benchmarks/{name}.py")
