"""What all commands share: help, exit codes and errors."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from asyncendpoints import __main__
from asyncendpoints.cli.program import Program
from asyncendpoints.errors import ListenError
from asyncendpoints.specs import parse_server
from tests.cli.support import run

if TYPE_CHECKING:
    import click


def test_the_version_is_that_of_the_package() -> None:
    """``--version`` prints the name and the version that is installed."""
    result = run("--version")
    assert (result.exit_code, result.output) == (0, f"asyncendpoints {version('asyncendpoints')}\n")


@pytest.mark.parametrize("command", ["relay", "check", "kinds", "demo"])
def test_each_command_has_help_with_examples(command: str) -> None:
    """The help of a command shows how it is called."""
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"asyncendpoints {command}" in result.output.partition("Example")[2]


def test_the_program_lists_its_commands() -> None:
    """``--help`` names every command."""
    result = run("--help")
    assert result.exit_code == 0
    for command in ("relay", "check", "kinds", "demo"):
        assert f"\n  {command} " in result.output


def test_an_unknown_command_is_wrong_usage() -> None:
    """The exit code of wrong usage is 2."""
    assert run("nonsense").exit_code == 2


def failing(error: BaseException) -> click.Command:
    """Make a program whose only command raises."""
    group = Program("program")

    @group.command("fail")
    def fail() -> None:
        raise error

    return group


def test_an_error_of_the_library_is_one_line_and_exit_code_1() -> None:
    """What an endpoint raises is shown without a traceback."""
    error = ListenError(parse_server("tcp:80"), "cannot listen", "try another")
    result = CliRunner().invoke(failing(error), ["fail"])
    assert (result.exit_code, result.stderr) == (1, "Error: tcp:80: cannot listen (try another)\n")


def test_an_interrupt_is_exit_code_130() -> None:
    """Ctrl-C ends a command as shells expect it."""
    assert CliRunner().invoke(failing(KeyboardInterrupt()), ["fail"]).exit_code == 130


def test_the_module_runs_the_program() -> None:
    """``python -m asyncendpoints`` is the same program."""
    command = [sys.executable, "-m", "asyncendpoints", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("asyncendpoints ")


def test_main_runs_the_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The installed script and the module print and exit."""
    monkeypatch.setattr(sys, "argv", ["asyncendpoints", "--version"])
    monkeypatch.delitem(sys.modules, "asyncendpoints.__main__")
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("asyncendpoints", run_name="__main__")
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("asyncendpoints ")


@pytest.mark.parametrize("package", ["click", "rich"])
def test_a_missing_package_is_named_with_what_installs_it(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extra the program says in one sentence what to install."""
    for name in [each for each in sys.modules if each.startswith("asyncendpoints.cli")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [each for each in sys.modules if each.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SystemExit) as caught:
        __main__.main()
    assert caught.value.code == (
        f"the command line of asyncendpoints needs {package}, which is not installed; "
        "this installs it: pip install 'asyncendpoints[cli]'"
    )


def test_another_missing_module_is_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that is missing for another reason is not put down to the extra."""
    monkeypatch.delitem(sys.modules, "asyncendpoints.cli.program")
    monkeypatch.setitem(sys.modules, "asyncendpoints.cli.relay", None)
    with pytest.raises(ModuleNotFoundError):
        __main__.main()


def test_the_library_imports_nothing_of_the_command_line() -> None:
    """Importing the package, and all that it offers, brings neither click nor rich."""
    code = (
        "import sys, asyncendpoints\n"
        "for name in asyncendpoints.__all__: getattr(asyncendpoints, name)\n"
        "print([name for name in ('click', 'rich') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout == "[]\n"
