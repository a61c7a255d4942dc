"""Parsing touches nothing outside of the process: the interpreter's own audit says so."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.strategies import kinds

#: Parses each description twice and prints what the second time told the audit hook.
PROGRAM = """
import json, sys
from asyncendpoints.errors import DescriptionError
from asyncendpoints.specs import parse_client, parse_server

events = []
watching = False

def hook(event, arguments):
    if watching:
        events.append(event)

def read(parse, text):
    try:
        spec = parse(text)
        return spec == parse(str(spec)), hash(spec), repr(spec), spec.display()
    except DescriptionError as error:
        return error.problem

sys.addaudithook(hook)
parse = {"client": parse_client, "server": parse_server}
for role, text in json.load(sys.stdin):
    read(parse[role], text)
    watching = True
    read(parse[role], text)
    watching = False
    print(json.dumps([role, text, events]))
    events.clear()
"""


def descriptions() -> list[tuple[str, str]]:
    """List the examples of all kinds, and texts that are wrong in some way or take a longer road."""
    examples = [
        (role, name.example)
        for role in ("client", "server")
        for cls in kinds(role)
        for name in cls.names
    ]
    return [
        *examples,
        ("client", "tcp:bücher.example:80"),
        ("client", "tcp:[fe80::1%lo]:80:timeout=0.5:bindAddress=127.0.0.1"),
        ("client", "tls:example.org:443:endpoint=[unix:/run/proxy.sock]"),
        ("client", "srv:_imaps._tcp.bücher.example:endpoint=[tls:{host}:{port}:alpn=imap]"),
        ("client", "unix:/no/such/file"),
        ("server", "unix:/no/such/folder/app.sock:mode=660:user=root"),
        ("server", "tls:443:private_key=/no/such/key.pem"),
        ("server", "tls:/no/such/folder:443"),
        ("client", "tcp:x:99999"),
        ("server", "tcp:80:bogus=1"),
        ("server", "tcp:80\\"),
    ]


@pytest.fixture(scope="module")
def seen() -> dict[tuple[str, str], list[str]]:
    """What the audit hook saw while each description was parsed a second time."""
    # In a process of its own: an audit hook is never removed.
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(descriptions()),
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [json.loads(line) for line in finished.stdout.splitlines()]
    return {(role, text): events for role, text, events in lines}


@pytest.mark.parametrize(("role", "text"), descriptions())
def test_parsing_is_pure(role: str, text: str, seen: dict[tuple[str, str], list[str]]) -> None:
    """No file, socket, import or variable of the environment is asked for."""
    # object.__setattr__ is how a frozen dataclass is filled.
    assert [event for event in seen[role, text] if event != "object.__setattr__"] == []


def test_the_hook_sees_files() -> None:
    """The audit would tell of a file that is opened."""
    program = PROGRAM.replace("spec =", "open('/dev/null').close(); spec =")
    finished = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps([("client", "tcp:x:80")]),
        capture_output=True,
        text=True,
        check=True,
    )
    assert '"open"' in finished.stdout
