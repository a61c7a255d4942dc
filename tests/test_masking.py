"""Texts in messages: shortened, and without their secrets."""

from __future__ import annotations

import pytest
from hypothesis import given

from asyncendpoints.masking import is_secret, mask, may_hide, shorten
from tests.strategies import arguments

SECRET = "hunter2"

#: The arguments that the kinds in the texts are known to have.
NAMES = frozenset("bcdefxyz") | {"token"}


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("a:password=hunter2", "a:password=***"),
        ("a:password=hunter2:b=c", "a:password=***:b=c"),
        ("a:b=c:PassWord=hunter2", "a:b=c:PassWord=***"),
        ("a:proxy_password=hunter2", "a:proxy_password=***"),
        ("a:passphrase=hunter2:b=c:token=hunter2", "a:passphrase=***:b=c:token=***"),
        # Names that are nearly those of a secret.
        ("a:pasword=hunter2", "a:pasword=***"),
        ("a:pass=hunter2", "a:pass=***"),
        ("a:pwd=hunter2", "a:pwd=***"),
        ("a:tokn=hunter2", "a:tokn=***"),
        (r"a:p\a\s\s\w\o\r\d=hunter2", r"a:p\a\s\s\w\o\r\d=***"),
        # Values with escapes, brackets and equals signs.
        (r"a:password=hunter2\:hunter2:b=c", "a:password=***:b=c"),
        (r"a:password=\[hunter2:b=c", "a:password=***"),
        (r"a:password=x\:b=hunter2:c=d", "a:password=***:c=d"),
        ("a:password=[hunter2:hunter2=]:b=c", "a:password=***:b=c"),
        ("a:password=hunter2=hunter2:b=c", "a:password=***:b=c"),
        ("a:password=hunter2==:b=c", "a:password=***:b=c"),
        # Nested in brackets, in escapes, and in both.
        ("a:x=[b:password=hunter2]:c=d", "a:x=[b:password=***]:c=d"),
        ("a:x=[b:y=[c:password=hunter2]]", "a:x=[b:y=[c:password=***]]"),
        ("a:[b:y=[c:password=hunter2]:d=e]:f=g", "a:[b:y=[c:password=***]:d=e]:f=g"),
        ("[password=hunter2]", "[password=***]"),
        (r"a:x=b\:password=hunter2:c=d", r"a:x=b\:password=***:c=d"),
        (r"a:x=b\:password=hunter2\:y=z:c=d", r"a:x=b\:password=***\:y=z:c=d"),
        (r"a:b\:password\=hunter2:c=d", r"a:b\:password\=***:c=d"),
        (r"a:x=b\:y=c\\\:password=hunter2\\\:hunter2:d=e", r"a:x=b\:y=c\\\:password=***:d=e"),
        (r"a:x=b\:password=hunter2\\\:hunter2\:y=z", r"a:x=b\:password=***\:y=z"),
        (r"a:x=[b:password=hunter2\:hunter2]:c=d", "a:x=[b:password=***]:c=d"),
        # Texts that are wrong, where the secret may go on.
        ("a:password=hunter2:hunter2:b=c", "a:password=***:b=c"),
        ("a:password=hunter2:hunter2", "a:password=***"),
        ("a:password=hunter2:hunter2==", "a:password=***"),
        ("a:password=[hunter2:b=c", "a:password=***"),
        ("a:password=[hunter2]hunter2:b=c", "a:password=***:b=c"),
        ("a:password=hunter2]hunter2:b=c", "a:password=***:b=c"),
        ("a:x=[b:password=hunter2]hunter2]:c=d", "a:x=[b:password=***]:c=d"),
        ("a:x=[b:password=hunter2:c=d", "a:x=[b:password=***:c=d"),
        ("a:password=hunter2\\", "a:password=***"),
        ("password=hunter2", "password=***"),
        ("a:x=password=hunter2", "a:x=password=***"),
        ("a:x=[b]password=hunter2", "a:x=[b]password=***"),
        ("a:password=:hunter2=b:c=d", "a:password=***:c=d"),
        ("a:password=x:hunter2=b:c=d", "a:password=***:c=d"),
        ("a:x=[b:password=hunter2]:hunter2=b", "a:x=[b:password=***"),
        # What is no secret stays.
        ("a:password=:b=c", "a:password=:b=c"),
        ("a:password=", "a:password="),
        ("a:password", "a:password"),
        ("a:path=b:host=c:bind_address=d", "a:path=b:host=c:bind_address=d"),
        ("a:x=[b:y=z]:private_key=k.pem", "a:x=[b:y=z]:private_key=k.pem"),
        ("", ""),
    ],
)
def test_mask(text: str, masked: str) -> None:
    """A secret is hidden at any depth of nesting, and rather too much than too little of a wrong text."""
    assert mask(text, names=NAMES)[0] == masked
    assert SECRET not in masked


def test_mask_without_names() -> None:
    """Where it is not known which arguments there are, all behind a secret may be a piece of it."""
    assert mask("a:password=hunter2:b=c")[0] == "a:password=***"
    assert mask("a:x=[b:password=hunter2:b=c]")[0] == "a:x=[b:password=***]"


@pytest.mark.parametrize(
    ("text", "hides"),
    [
        ("a:password=hunter2", True),
        ("password=", False),
        ("a:host=b", False),
        ("x" * 4096, False),
        ("x" * 4097, True),
    ],
)
def test_may_hide(text: str, hides: bool) -> None:
    """A text may hide a secret if it has one, or is too long to be looked through."""
    assert may_hide(text) is hides


@pytest.mark.parametrize(
    ("position", "moved"), [(0, 0), (11, 11), (12, 11), (17, 11), (18, 14), (19, 15), (22, 18)]
)
def test_mask_moves_the_place(position: int, moved: int) -> None:
    """A place after a secret moves with the text, and one inside stands at its start."""
    assert mask("a:password=hunter2:b=c", position, NAMES) == ("a:password=***:b=c", moved)


@given(arguments(), arguments())
def test_mask_any_text(before: str, after: str) -> None:
    """Whatever surrounds it, a quoted secret is hidden, and every place stays inside the text."""
    text = f"{before}:password=[hunter2]:{after}"
    for position in range(len(text) + 1):
        masked, moved = mask(text, position, NAMES)
        assert 0 <= moved <= len(masked)
    assert SECRET not in masked


@pytest.mark.parametrize(
    ("key", "secret"),
    [
        ("password", True),
        ("PASSWD", True),
        ("api_token", True),
        ("client_secret", True),
        ("passwort", True),
        ("psk", True),
        ("path", False),
        ("private_key", False),
        ("host", False),
        ("backlog", False),
        ("pin", False),
        ("x" * 5000, False),
        ("", False),
    ],
)
def test_is_secret(key: str, secret: bool) -> None:
    """A name is that of a secret if it contains a word for one, or nearly is one."""
    assert is_secret(key) is secret


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("x", "'x'"),
        ("\n", "'\\n'"),
        ("x" * 78, "'" + "x" * 78 + "'"),
        ("x" * 79, "'" + "x" * 78 + "…"),
        ("a:password=hunter2", "'a:password=***'"),
        ("\n" * 10**6, "'" + "\\n" * 39 + "…"),
        (5, "5"),
    ],
)
def test_shorten(value: object, shown: str) -> None:
    """The repr of a value is cut to 80 characters."""
    assert shorten(value) == shown
