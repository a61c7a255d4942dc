"""``check``."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from asyncendpoints.cli.check import read
from asyncendpoints.errors import DescriptionError
from tests.cli.support import run, words
from tests.sample_kinds import HopClient, registered
from tests.tls_material import NOW, Authority, write

if TYPE_CHECKING:
    from pathlib import Path


def as_json(*arguments: str) -> Any:
    """Check something, and give what is printed as JSON."""
    return json.loads(run("check", "--json", *arguments).stdout)


def test_a_description_is_shown_with_its_meaning_and_fields() -> None:
    """Canonical text, summary, fields given and at their defaults, and addresses are printed."""
    result = run("check", "--verbose", "tcp:host=127.0.0.1:port=80")
    assert result.exit_code == 0
    assert result.output.startswith("tcp:127.0.0.1:80  as a client\n  A TCP connection to")
    text = words(result.output)
    assert "host 127.0.0.1 host name or address to connect to" in text
    assert "timeout 30 limit of the whole connect, in seconds" in text
    assert "bind_address - address to connect from" in text
    assert "address 1 127.0.0.1:80" in text


def test_fields_at_their_defaults_are_counted() -> None:
    """Without ``--verbose`` only what was given is shown, and how much there is beside it."""
    text = words(run("check", "tcp:host=127.0.0.1:port=80").output)
    assert "host 127.0.0.1 host name or address to connect to" in text
    assert "timeout" not in text
    assert "4 more at their defaults: --verbose shows them" in text


def test_a_description_that_is_both_is_read_as_both(tmp_path: Path) -> None:
    """It is enough that one of the readings would work."""
    result = run("check", f"unix:{tmp_path}/app.sock")
    assert result.exit_code == 0
    assert " as a client" in result.output
    assert " as a server" in result.output
    assert "problem" in result.output


def test_an_option_says_how_to_read_it(tmp_path: Path) -> None:
    """With ``--client`` only that counts, and what would fail gives exit code 1."""
    result = run("check", "--client", f"unix:{tmp_path}/app.sock")
    assert result.exit_code == 1
    assert " as a server" not in result.output


def test_one_of_several_that_would_fail_is_enough() -> None:
    """The exit code is 1 if any description would fail."""
    assert run("check", "tcp:127.0.0.1:80", "fd:2000000").exit_code == 1


def test_a_wrong_description_is_wrong_usage_with_a_caret() -> None:
    """The error on standard error shows the place, and the exit code is 2."""
    result = run("check", "tcp:80:bogus=1")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "\n  tcp:80:bogus=1\n         ^\n" in result.stderr


def test_of_two_errors_the_one_is_raised_that_understood_more() -> None:
    """A text that is nearer to one role is reported as that."""
    with pytest.raises(DescriptionError, match="a tcp client"):
        read("tcp:host=a:port=1:x=1")
    with pytest.raises(DescriptionError, match="no kind of client"):
        read("nonsense")


def test_both_errors_are_told_where_both_roles_have_the_kind() -> None:
    """A text that is wrong for both roles is explained for both."""
    with pytest.raises(DescriptionError) as caught:
        read("tcp:80x")
    assert "a tcp client needs a port" in caught.value.problem
    assert "; as a server: port is '80x', expected a number" in caught.value.problem


def test_json_tells_what_is_wrong_and_what_is_right() -> None:
    """Wrong descriptions are objects too, with the place; the others are not lost, and the exit code is 2."""
    result = run("check", "--json", "--client", "tcp:127.0.0.1:80", "tcp:127.0.0.1:80:token=x:b=1")
    assert result.exit_code == 2
    right, wrong = json.loads(result.stdout)
    assert right["canonical"] == "tcp:127.0.0.1:80"
    assert wrong["description"].startswith("tcp:127.0.0.1:80:token=***")
    assert wrong["position"] == len("tcp:127.0.0.1:80:")
    assert "no option 'token'" in wrong["problem"]


def test_json_has_the_same_facts() -> None:
    """Each reading is an object."""
    (reading,) = as_json("tcp:127.0.0.1:80:timeout=5")
    assert reading["canonical"] == "tcp:127.0.0.1:80:timeout=5"
    assert reading["role"] == "client"
    assert reading["addresses"] == ["127.0.0.1:80"]
    assert reading["would_fail"] is False
    assert reading["findings"] == reading["certificates"] == []
    fields = {each["name"]: each for each in reading["fields"]}
    assert (fields["timeout"]["value"], fields["timeout"]["default"]) == ("5", False)
    assert (fields["bind_address"]["value"], fields["bind_address"]["default"]) == (None, True)


def test_json_has_findings() -> None:
    """A finding is its level and its text."""
    (reading,) = as_json("--server", "tcp:0")
    assert reading["findings"] == [{"level": "ok", "text": "port 0: the system picks a free port"}]


@pytest.fixture
def certificate(tmp_path: Path) -> str:
    """A server with a certificate of some authority."""
    issued = Authority().issue("example.org", "192.0.2.1", end=NOW + timedelta(days=90))
    path = write(tmp_path / "server.pem", issued.key_pem, issued.pem)
    return f"tls:0:private_key={path}"


def test_a_certificate_is_printed(certificate: str) -> None:
    """Its names, its issuer, its dates and its pin are there."""
    result = run("check", certificate)
    assert result.exit_code == 0
    text = words(result.output)
    assert "certificate for example.org, 192.0.2.1 of CN=test server" in text
    assert "signed by CN=test authority valid" in text
    assert "sha256/" in text


def test_a_certificate_for_development_is_signed_by_itself() -> None:
    """That is said in place of an issuer."""
    text = words(run("check", "tls:0:selfsigned=localhost").output)
    assert "signed by itself" in text


def test_json_has_certificates(certificate: str) -> None:
    """Dates are written as ISO 8601 has them."""
    ((facts,),) = [each["certificates"] for each in as_json(certificate)]
    assert facts["names"] == ["example.org"]
    assert facts["not_after"].endswith("+00:00")


def test_secrets_are_shown_nowhere() -> None:
    """Text and JSON have asterisks in the place of a password."""
    with registered(HopClient):
        for option in ([], ["--json"]):
            result = run("check", *option, "hop:proxy.example:1080:password=hunter2")
            assert "hunter2" not in result.output
            assert "password=***" in result.output


def test_no_line_ends_with_blanks() -> None:
    """What is piped can be compared and copied."""
    lines = run(
        "check", "-v", "tcp:127.0.0.1:1:bind_address=127.0.0.1", "tcp:0"
    ).stdout.splitlines()
    assert [each for each in lines if each != each.rstrip()] == []


@pytest.mark.parametrize("columns", [5, 40, 59, 60])
def test_values_are_whole_in_narrow_terminals(columns: int) -> None:
    """They are folded, where that is needed, and not cut."""
    text = run("check", "-v", "tcp:127.0.0.1:1:bind_address=127.0.0.1", columns=columns).stdout
    joined = "".join(text.split())
    assert "…" not in text
    assert "bind_address127.0.0.1addresstoconnectfrom" in joined
    assert "hostnameoraddresstoconnectto" in joined


def test_a_kind_without_fields_has_no_table() -> None:
    """``stdio`` is read as both, and has nothing to list."""
    result = run("check", "stdio:")
    assert result.exit_code == 0
    assert result.output.count("stdio  as a ") == 2
