"""What all commands share: help, exit codes and errors."""

from __future__ import annotations

import errno
import os
import runpy
import subprocess
import sys
from importlib.metadata import version

import click
import pytest
from click.testing import CliRunner

from asyncendpoints import __main__
from asyncendpoints.cli.program import COMMANDS, Program, program
from asyncendpoints.errors import ListenError
from asyncendpoints.specs import parse_server
from tests.cli.support import run


def test_the_version_is_that_of_the_package() -> None:
    """``--version`` prints the name and the version that is installed."""
    result = run("--version")
    assert (result.exit_code, result.output) == (0, f"asyncendpoints {version('asyncendpoints')}\n")


NAMES = ["check", "demo", "dns", "explain", "kinds", "query", "relay", "srv"]


def python(code: str) -> str:
    """Run some Python in a process of its own, and give what it prints."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    return done.stdout


@pytest.mark.parametrize("command", NAMES)
def test_each_command_has_help_with_examples(command: str) -> None:
    """The help of a command shows how it is called."""
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"asyncendpoints {command}" in result.output.partition("Example")[2]


def test_the_program_lists_its_commands() -> None:
    """``--help`` names every command, with a line about it."""
    result = run("--help")
    assert result.exit_code == 0
    listed = result.output.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert [each.split()[0] for each in listed] == NAMES
    assert listed[0] == "  check    Say what descriptions mean and what stands in their way."


@pytest.mark.parametrize("command", NAMES)
def test_a_command_has_its_name_and_line(command: str) -> None:
    """What the list says of a command is what the command knows of itself."""
    found = program.get_command(click.Context(program), command)
    assert found is not None
    assert found.name == command
    assert found.short_help == COMMANDS[command][1]


def test_the_list_of_commands_imports_none() -> None:
    """``--help`` and ``--version`` wait for no command, and neither do they for DNS or the console."""
    code = (
        "import sys\n"
        "from asyncendpoints.cli.program import program\n"
        "for option in ('--help', '--version'): program([option], standalone_mode=False)\n"
        "print(sorted(each for each in sys.modules if each.startswith('asyncendpoints.')))\n"
        "print('rich' in sys.modules)"
    )
    *_, own, rich = python(code).splitlines()
    expected = ("cli", "cli.exits", "cli.program", "errors", "masking")
    assert own == str([f"asyncendpoints.{each}" for each in expected])
    assert rich == "False"


def test_only_the_command_that_runs_is_imported() -> None:
    """A command without DNS does not wait for it."""
    code = (
        "import sys\n"
        "from asyncendpoints.cli.program import COMMANDS, program\n"
        "program(['kinds', 'memory'], standalone_mode=False)\n"
        "modules = {f'asyncendpoints.cli.{module}' for module, _ in COMMANDS.values()}\n"
        "print(sorted(modules & set(sys.modules)), 'dns' in sys.modules)"
    )
    assert python(code).splitlines()[-1] == "['asyncendpoints.cli.kinds'] False"


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


def test_an_output_that_cannot_be_written_is_one_line() -> None:
    """The error of the system is shown without a traceback."""
    result = CliRunner().invoke(failing(OSError(errno.ENOSPC, "No space left on device")), ["fail"])
    assert result.exit_code == 1
    assert result.stderr == "Error: cannot write the output: No space left on device\n"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "x", "file"), OSError(errno.EIO, "x")])
def test_other_errors_of_the_system_are_not_put_down_to_the_output(error: OSError) -> None:
    """What nobody expected is a traceback."""
    result = CliRunner().invoke(failing(error), ["fail"])
    assert result.exception is error


COMMAND = [sys.executable, "-m", "asyncendpoints"]

needs_full_device = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is none")


@needs_full_device
@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["--help"],
        ["kinds"],
        ["check", "tcp:127.0.0.1:1"],
        ["check", "--json", "tcp:127.0.0.1:1"],
        ["explain", "memory:nobody"],
        ["explain", "memory:nobody", "--svg", "-"],
        ["query", "localhost"],
        ["demo"],
    ],
    ids=" ".join,
)
def test_a_full_device_is_one_line(arguments: list[str]) -> None:
    """The exit code is 1, and nothing else is said when Python ends."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, *arguments], check=False, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.stderr == "Error: cannot write the output: No space left on device\n"
    assert done.returncode == 1


@needs_full_device
def test_an_error_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The outputs can be closed, as Python does at its end, whatever they hold."""
    with open("/dev/full", "w") as full, open("/dev/full", "w") as errors:
        monkeypatch.setattr(sys, "stdout", full)
        monkeypatch.setattr(sys, "stderr", errors)
        with pytest.raises(SystemExit) as caught:
            program(["--version"])
    assert caught.value.code == 1


@needs_full_device
def test_what_could_not_be_written_is_not_tried_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The output can be closed, as Python does at its end."""
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(SystemExit) as caught:
            program(["--version"])
    assert caught.value.code == 1
    assert capsys.readouterr().err == ("Error: cannot write the output: No space left on device\n")


@needs_full_device
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_device_for_everything_is_an_exit_code(unbuffered: str) -> None:
    """Where the error cannot be written either there is only that."""
    environ = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, "--version"], check=False, stdout=full, stderr=full, env=environ
        )
    assert done.returncode == 1


@pytest.mark.parametrize(
    "arguments", [["kinds"], ["--help"], ["check", "--json", "tcp:a.invalid:1"]]
)
def test_a_reader_that_has_gone_is_not_told_of(arguments: list[str]) -> None:
    """Who closes a pipe has seen enough."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*COMMAND, *arguments], check=False, stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    assert done.stderr == ""


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
    monkeypatch.setattr(sys, "argv", ["asyncendpoints", "kinds"])
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
    monkeypatch.setattr(sys, "argv", ["asyncendpoints", "relay"])
    with pytest.raises(ModuleNotFoundError):
        __main__.main()


def test_the_library_imports_nothing_of_the_command_line() -> None:
    """Importing the package, and all that it offers, brings neither click nor rich."""
    code = (
        "import sys, asyncendpoints\n"
        "for name in asyncendpoints.__all__: getattr(asyncendpoints, name)\n"
        "print([name for name in ('click', 'rich') if name in sys.modules])"
    )
    assert python(code) == "[]\n"
