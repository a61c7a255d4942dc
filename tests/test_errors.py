"""The errors: what they inherit, what they keep, how they read, and that they keep secrets."""

from __future__ import annotations

import copy
import errno
import pickle
import socket
import ssl

import pytest
from hypothesis import given

from asyncendpoints.addresses import Address
from asyncendpoints.errors import (
    AddressInUseError,
    AttemptFailure,
    CertificateError,
    ConnectError,
    ConnectNotFoundError,
    ConnectPermissionError,
    ConnectRefusedError,
    ConnectTimeoutError,
    DescriptionError,
    EndpointError,
    HandshakeError,
    KeyFileError,
    ListenError,
    ListenPermissionError,
    ProxyError,
    ProxyReplyError,
    ResolveError,
    ServiceStoppedError,
    SpecError,
    TLSError,
    nearest,
    raise_together,
)
from asyncendpoints.kinds.tcp import TCPClient, TCPServer
from tests.strategies import descriptions

CLIENT = TCPClient("example.org", 80)
SERVER = TCPServer(80)
PEER = Address(socket.AF_INET, ("192.0.2.1", 80))


@pytest.mark.parametrize(
    ("error", "caught_as"),
    [
        (DescriptionError, ValueError),
        (SpecError, ValueError),
        (ConnectError, OSError),
        (ConnectNotFoundError, FileNotFoundError),
        (ConnectPermissionError, PermissionError),
        (ConnectRefusedError, ConnectionRefusedError),
        (ConnectTimeoutError, TimeoutError),
        (ProxyError, ConnectError),
        (ProxyReplyError, ValueError),
        (ResolveError, socket.gaierror),
        (TLSError, ssl.SSLError),
        (CertificateError, ssl.SSLCertVerificationError),
        (ListenError, OSError),
        (AddressInUseError, OSError),
        (ListenPermissionError, PermissionError),
        (HandshakeError, EndpointError),
        (KeyFileError, ValueError),
    ],
)
def test_caught_as(error: type[Exception], caught_as: type[Exception]) -> None:
    """Each error is caught as one of this library and as what a caller of asyncio catches already."""
    assert issubclass(error, EndpointError)
    assert issubclass(error, caught_as)


@pytest.mark.parametrize(
    "cls",
    [
        ConnectError,
        ConnectRefusedError,
        ConnectTimeoutError,
        ProxyError,
        ResolveError,
        TLSError,
        CertificateError,
    ],
)
def test_connect_error(cls: type[ConnectError]) -> None:
    """A connect error names the endpoint and keeps stage, attempts and number, also through pickle."""
    failure = AttemptFailure(PEER, ConnectionRefusedError(errno.ECONNREFUSED, "Refused"), 0.5)
    error = cls(CLIENT, "connect", "it was refused", [failure], errno.ECONNREFUSED)
    twin = copy.copy(error)
    assert str(error) == str(twin) == "tcp:example.org:80: it was refused"
    for each in (error, twin):
        assert (each.endpoint, each.stage, each.errno) == (CLIENT, "connect", errno.ECONNREFUSED)
        assert each.attempts == (failure,)


def test_proxy_error() -> None:
    """The error of a proxy keeps its code, also through pickle; without one it has None."""
    error = ProxyError(CLIENT, "proxy", "it refused", (), errno.ECONNREFUSED)
    assert error.code is None
    error.code = 5
    twin = pickle.loads(pickle.dumps(error))
    assert (str(twin), twin.code, twin.errno) == (str(error), 5, errno.ECONNREFUSED)


@pytest.mark.parametrize(
    ("code", "text"), [(None, "the proxy does not speak SOCKS5"), (5, "does not speak SOCKS5")]
)
def test_proxy_reply_error(code: int | None, text: str) -> None:
    """What a proxy does reads as a sentence; what its code means stands alone."""
    error = ProxyReplyError("does not speak SOCKS5", code, errno.EACCES)
    twin = pickle.loads(pickle.dumps(error))
    for each in (error, twin):
        assert (str(each), each.code, each.errno) == (text, code, errno.EACCES)


@pytest.mark.parametrize("cls", [ListenError, AddressInUseError])
def test_listen_error(cls: type[ListenError]) -> None:
    """A listen error names the endpoint and gives the hint, also through pickle."""
    error = cls(SERVER, "cannot listen", "ask somebody", errno.EACCES)
    twin = pickle.loads(pickle.dumps(error))
    assert str(error) == str(twin) == "tcp:80: cannot listen (ask somebody)"
    assert (twin.endpoint, twin.hint, twin.errno) == (SERVER, "ask somebody", errno.EACCES)


def test_listen_error_without_hint() -> None:
    """Where there is no hint, there are no empty parentheses."""
    assert str(ListenError(SERVER, "cannot listen")) == "tcp:80: cannot listen"


def test_service_stopped_error() -> None:
    """The error of a stopped service names its endpoint, also through pickle, and is a lost connection."""
    error = ServiceStoppedError(CLIENT)
    twin = pickle.loads(pickle.dumps(error))
    assert isinstance(error, ConnectionAbortedError)
    assert isinstance(twin, ServiceStoppedError)
    assert twin.endpoint == CLIENT
    assert str(twin) == "tcp:example.org:80: the service is stopped"
    assert repr(twin) == "ServiceStoppedError('tcp:example.org:80: the service is stopped')"


def test_handshake_error() -> None:
    """A handshake error names the peer."""
    error = HandshakeError(PEER, "the client said nothing")
    assert str(error) == "192.0.2.1:80: the client said nothing"


def test_key_file_error() -> None:
    """An error about a file of keys names the file."""
    error = KeyFileError("k.pem", "it holds no key")
    assert (error.path, error.problem, str(error)) == (
        "k.pem",
        "it holds no key",
        "k.pem: it holds no key",
    )


def test_spec_error() -> None:
    """A spec error keeps the field and reads as its problem."""
    error = SpecError("port", "port is 'x', expected a number")
    assert (error.field, str(error)) == ("port", "port is 'x', expected a number")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.ECONNREFUSED, "Connection refused"), "connection refused"),
        (OSError("something odd"), "something odd"),
        (TimeoutError(), "timeouterror"),
    ],
)
def test_attempt_failure(error: OSError, text: str) -> None:
    """A failed attempt reads as its address and what the system said, without the number."""
    assert str(AttemptFailure(PEER, error, 0.1)) == f"192.0.2.1:80: {text}"


def message(text: str, position: int) -> list[str]:
    """Give the lines of a description error whose problem is ``p``."""
    return str(DescriptionError(text, position, "p")).split("\n")


@pytest.mark.parametrize(
    ("text", "position", "lines"),
    [
        ("tcp:80", 4, ["tcp:80: p", "  tcp:80", "      ^"]),
        ("tcp", 3, ["tcp: p", "  tcp", "     ^"]),
        ("", 0, ["empty text: p", "  ", "  ^"]),
        ("tcp:é:80", 6, ["tcp:é:80: p", "  tcp:é:80", "        ^"]),
        ("tcp:e\u0301:80", 7, ["tcp:e\u0301:80: p", "  tcp:e\u0301:80", "        ^"]),
        ("tcp:例:80", 6, ["tcp:例:80: p", "  tcp:例:80", "         ^"]),
        ("tcp:\n:80", 6, ["tcp:\\n:80: p", "  tcp:\\n:80", "         ^"]),
        ("\x1b[0m:80", 5, ["\\x1b[0m:80: p", "  \\x1b[0m:80", "          ^"]),
        ("a:\ud800:b", 4, ["a:\\ud800:b: p", "  a:\\ud800:b", "           ^"]),
    ],
)
def test_description_error(text: str, position: int, lines: list[str]) -> None:
    """The message shows the text with a caret under the place, whatever characters it has."""
    assert message(text, position) == lines


@pytest.mark.parametrize("position", [0, 100, 5000, 10_000])
def test_long_description_error(position: int) -> None:
    """Of a long text, what is around the place is shown."""
    _, shown, caret = message("ab" * 5000, position)
    assert len(shown) <= 2 + 162
    assert 2 <= caret.index("^") <= len(shown)
    assert "…" in shown


def test_long_description_error_at_its_place() -> None:
    """The caret of a long text stands under the character that it is about, in the middle."""
    _, shown, caret = message("a" * 1000 + "!" + "a" * 1000, 1000)
    assert shown[caret.index("^")] == "!"
    assert shown == f"  …{'a' * 80}!{'a' * 79}…"


def test_description_error_keeps_everything() -> None:
    """The text and the place are there for programs, and come through pickle."""
    error = pickle.loads(pickle.dumps(DescriptionError("tcp:x", 4, "p")))
    assert (error.text, error.position, error.problem) == ("tcp:x", 4, "p")


def test_masked_message() -> None:
    """Neither the message nor the repr of a wrong description shows its secrets."""
    error = DescriptionError("a:x=[b:password=hunter2]:c=d", 25, "p", frozenset("c"))
    lines = ["a:x=[b:password=***]:c=d: p", "  a:x=[b:password=***]:c=d", " " * 23 + "^"]
    assert str(error).split("\n") == lines
    assert repr(error) == "DescriptionError('a:x=[b:password=***]:c=d', 25, 'p')"


def test_masked_message_of_a_long_text() -> None:
    """A secret that is longer than what is looked at is hidden too."""
    text = "a:" + "b" * 4000 + ":password=" + "hunter2" * 1000
    assert "hunter2" not in str(DescriptionError(text, 4100, "p"))


@given(descriptions())
def test_message_of_any_text(text: str) -> None:
    """Every message has three lines that can be printed, with the caret inside or just behind the text."""
    for position in (0, len(text) // 2, len(text)):
        first, shown, caret = message(text, position)
        (first + shown).encode()
        assert caret.strip() == "^"


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("tpc", " (did you mean 'tcp'?)"),
        ("TCP", " (did you mean 'tcp'?)"),
        ("bindaddress", " (did you mean 'bindAddress'?)"),
        ("zzz", ""),
        ("", ""),
    ],
)
def test_nearest(word: str, hint: str) -> None:
    """A known word that is close is proposed, in its own letters."""
    assert nearest(word, ["tcp", "unix", "bindAddress"]) == hint


@pytest.mark.parametrize(
    ("code", "cls"),
    [
        (errno.ENOENT, ConnectNotFoundError),
        (errno.EACCES, ConnectPermissionError),
        (errno.EPERM, ConnectPermissionError),
        (errno.EHOSTUNREACH, ConnectError),
        (None, ConnectError),
    ],
)
def test_number_decides_the_class_of_a_connect_error(
    code: int | None, cls: type[ConnectError]
) -> None:
    """As with OSError, the number of a ConnectError decides its class."""
    assert type(ConnectError(CLIENT, "connect", "no", (), code)) is cls


@pytest.mark.parametrize(
    ("code", "cls"),
    [
        (errno.EACCES, ListenPermissionError),
        (errno.EPERM, ListenPermissionError),
        (errno.EMFILE, ListenError),
        (None, ListenError),
    ],
)
def test_number_decides_the_class_of_a_listen_error(
    code: int | None, cls: type[ListenError]
) -> None:
    """As with OSError, the number of a ListenError decides its class."""
    assert type(ListenError(SERVER, "no", errno=code)) is cls


def test_a_class_that_was_chosen_stays() -> None:
    """The number changes no class but that of the general error."""
    assert (
        type(ConnectRefusedError(CLIENT, "connect", "no", (), errno.EACCES)) is ConnectRefusedError
    )


def test_repr_names_the_endpoint() -> None:
    """The repr of an error tells which endpoint it is about."""
    error = ConnectError(CLIENT, "connect", "no")
    assert repr(error) == "ConnectError('tcp:example.org:80: no')"
    assert repr(ListenError(SERVER, "no")) == "ListenError('tcp:80: no')"


def test_raise_together() -> None:
    """The first of several errors is raised, with what the others and their notes say as its notes."""
    first, second = ValueError("first"), ValueError("second")
    second.add_note("third")
    with pytest.raises(ValueError, match="first") as caught:
        raise_together([first, second])
    assert caught.value is first
    assert first.__notes__ == ["second", "third"]


def test_raise_nothing() -> None:
    """Without an error nothing is raised."""
    raise_together([])
