"""Specs: parsing, canonical text, checks and messages, all derived from the fields of a dataclass."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
import socket
from dataclasses import KW_ONLY, FrozenInstanceError, dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Annotated

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncendpoints.addresses import Address
from asyncendpoints.connecting import connect
from asyncendpoints.description import split
from asyncendpoints.errors import ConnectError, DescriptionError, SpecError
from asyncendpoints.fields import Help, Port, Secret
from asyncendpoints.grammar import Inner, Name, grammar
from asyncendpoints.kinds.tcp import TCPClient, TCPServer
from asyncendpoints.kinds.tls import TLSClient
from asyncendpoints.kinds.udp import UDPClient, UDPServer
from asyncendpoints.listeners import PlainAcceptor
from asyncendpoints.registry import find
from asyncendpoints.specs import ClientSpec, ServerSpec, parse_client, parse_server
from tests.sample_kinds import HopClient, LateServer, PairServer, WrapServer, registered
from tests.strategies import arguments, descriptions, kinds, specs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asyncendpoints.specs import Spec

PARSE: dict[str, Callable[[str], Spec]] = {"client": parse_client, "server": parse_server}

TCP = TCPClient("a", 1)


@pytest.fixture(autouse=True, scope="module")
def sample_kinds() -> Iterator[None]:
    """The kinds of the tests are registered in this module only."""
    with registered(HopClient, LateServer, PairServer, WrapServer):
        yield


CLIENTS = [
    ("tcp:x:80", TCPClient("x", 80)),
    ("TCP:x:80", TCPClient("x", 80)),
    ("tcp:host=x:port=80", TCPClient("x", 80)),
    ("tcp:port=80:host=x", TCPClient("x", 80)),
    ("tcp:host=x:80", TCPClient("x", 80)),
    ("tcp:80:host=x", TCPClient("x", 80)),
    ("tcp:port=80:x", TCPClient("x", 80)),
    ("tcp:x:80:timeout=5", TCPClient("x", 80, timeout=5)),
    ("tcp:x:timeout=5:80", TCPClient("x", 80, timeout=5)),
    ("tcp:x:80:timeout=none", TCPClient("x", 80, timeout=None)),
    ("tcp:x:80:timeout=", TCPClient("x", 80)),
    (r"tcp:x:80:bindAddress=\:\:1", TCPClient("x", 80, bind_address="::1")),
    ("tcp:x:80:bind_address=[::1]", TCPClient("x", 80, bind_address="::1")),
    ("tcp:[::1]:80", TCPClient("::1", 80)),
    (r"tcp:host=fe80\:\:1%eth0:port=80", TCPClient("fe80::1%eth0", 80)),
    ("tcp6:x:80", TCPClient("x", 80, family="ipv6")),
    ("tcp6:x:80:family=ipv4", TCPClient("x", 80, family="ipv4")),
    ("tcp6:x:80:family=", TCPClient("x", 80, family="ipv6")),
    ("hop:p", HopClient("p")),
    ("hop:p:", HopClient("p")),
    ("hop:p::[tcp:a:1]", HopClient("p", endpoint=TCP)),
    ("hop:p:endpoint=[tcp:a:1]", HopClient("p", endpoint=TCP)),
    (r"hop:p:endpoint=tcp\:a\:1", HopClient("p", endpoint=TCP)),
    (
        "hop:p:endpoint=[hop:q:endpoint=[tcp:a:1]]",
        HopClient("p", endpoint=HopClient("q", endpoint=TCP)),
    ),
    ("hop:p:passWord=a=b", HopClient("p", password="a=b")),
    ("hop:p:password=none", HopClient("p", password="none")),
    ("hop:p:password=[]", HopClient("p", password="")),
    ("hop:p:tags=a,b", HopClient("p", tags=("a", "b"))),
    ("hop6:5:p", HopClient("p", 5, colour="blue")),
    ("hop6:p", HopClient("p", colour="blue")),
    ("hop6:p:colour=red", HopClient("p")),
]

SERVERS = [
    ("tcp:80", TCPServer(80)),
    ("tcp:80:", TCPServer(80)),
    ("tcp:80::5", TCPServer(80, backlog=5)),
    ("tcp:80:127.0.0.1:5", TCPServer(80, "127.0.0.1", 5)),
    ("tcp:80:interface=127.0.0.1", TCPServer(80, "127.0.0.1")),
    ("tcp:interface=127.0.0.1:80", TCPServer(80, "127.0.0.1")),
    ("tcp6:80:5", TCPServer(80, "::", 5)),
    ("tcp6:80:interface=", TCPServer(80, "::")),
    ("tcp6:80:5:[::1]", TCPServer(80, "::1", 5)),
    ("pair:low=1", PairServer(low=1)),
    ("pair:a:1", PairServer("a", 1)),
    ("pair:::1", PairServer(high=1)),
    ("wrap:tcp:80", WrapServer(TCPServer(80))),
    ("wrap:strict=yes:tcp:80:interface=[::1]", WrapServer(TCPServer(80, "::1"), strict=True)),
    ("wrap:strict=:wrap:token=x:tcp:80", WrapServer(WrapServer(TCPServer(80), token="x"))),
    (r"wrap:token=a\:b:tcp:80:interface=\:\:1", WrapServer(TCPServer(80, "::1"), token="a:b")),
]


@pytest.mark.parametrize(("text", "spec"), CLIENTS)
def test_parse_client(text: str, spec: ClientSpec) -> None:
    """A description of a client is the spec that it stands for."""
    assert parse_client(text) == spec


@pytest.mark.parametrize(("text", "spec"), SERVERS)
def test_parse_server(text: str, spec: ServerSpec) -> None:
    """A description of a server is the spec that it stands for."""
    assert parse_server(text) == spec


KINDS = (
    "dns, fd, haproxy, hop, hop6, hop7, httpconnect, memory, socks5, srv, ssl, stdio, tcp, tcp6, "
    "tls, udp, unix"
)
SERVER_KINDS = (
    "dns, fd, haproxy, late, later, latest, memory, pair, ssl, stdio, systemd, tcp, tcp6, tls, "
    "udp, unix, wrap"
)
HAS = "(it has: host, port, timeout, bind_address, bind_port, family)"
BRACKETS = "a value with ':' goes in brackets, as in [::1]"

WRONG_CLIENTS = [
    # The kind.
    ("", 0, f"starts without a kind, expected one of {KINDS}"),
    (":x", 0, f"starts without a kind, expected one of {KINDS}"),
    ("tcp=80", 0, "starts with an argument, expected the kind of a client first, as in tcp:8080"),
    ("tpc:x:80", 0, "no kind of client is called 'tpc' (did you mean 'tcp'?)"),
    ("zzz:x", 0, f"no kind of client is called 'zzz' (there are: {KINDS})"),
    (" tcp:x:80", 0, "no kind of client is called ' tcp' (did you mean 'tcp'?)"),
    ("tcp\\:x", 0, "no kind of client is called 'tcp\\\\' (did you mean 'tcp'?)"),
    ("systemd:index=0", 0, f"'systemd' can only listen, expected one of {KINDS}"),
    # The name of an argument.
    ("tcp:x:80:bogus=1", 9, f"a tcp client has no option 'bogus' {HAS}"),
    ("tcp:x:80:timeot=1", 9, "a tcp client has no option 'timeot' (did you mean 'timeout'?)"),
    (
        "tcp:x:80:bindaddress=1",
        9,
        "a tcp client has no option 'bindaddress' (did you mean 'bindAddress'?)",
    ),
    ("tcp:x:80:Timeout=1", 9, "a tcp client has no option 'Timeout' (did you mean 'timeout'?)"),
    ("tcp:x:80:=1", 9, f"a tcp client has no option '' {HAS}"),
    ("hop7:x:sslmethod=SSLv3", 7, "a hop7 client takes no 'sslmethod': write colour instead"),
    # Missing, repeated, too many.
    ("tcp", 3, "a tcp client needs a host, as in tcp:example.org:80"),
    ("tcp:x", 5, "a tcp client needs a port, as in tcp:example.org:80"),
    ("tcp:host=x", 10, "a tcp client needs a port, as in tcp:example.org:80"),
    ("tcp:x:", 6, "a tcp client needs a port, as in tcp:example.org:80"),
    ("tcp:host=:80", 9, "a tcp client needs a host, as in tcp:example.org:80"),
    ("tcp:host=a:host=b:port=1", 11, "host is given twice"),
    ("tcp:x:80:bindAddress=1.1.1.1:bind_address=::1", 29, "bind_address is given twice"),
    ("tcp:x:80:timeout=:timeout=", 18, "timeout is given twice"),
    ("tcp:x:80:port=81", 9, "port is given by position and by name"),
    ("tcp:host=x:y:80", 11, "host is given by position and by name"),
    ("tcp:x:80:5", 9, f"a tcp client takes 2 positional arguments (host, port); {BRACKETS}"),
    ("tcp:fe80::1:80", 10, f"a tcp client takes 2 positional arguments (host, port); {BRACKETS}"),
    ("tcp:::1:80", 6, f"a tcp client takes 2 positional arguments (host, port); {BRACKETS}"),
    # The value.
    ("tcp:x:http", 6, "port is 'http', expected a number from 0 to 65535"),
    ("tcp:x:65536", 6, "port is '65536', expected a number from 0 to 65535"),
    ("tcp:x:-1", 6, "port is '-1', expected a number from 0 to 65535"),
    ("tcp:x: 80", 6, "port is ' 80', expected a number from 0 to 65535"),
    ("tcp:x:\uff18\uff10", 6, "port is '\uff18\uff10', expected a number from 0 to 65535"),
    ("tcp:x:port=http", 11, "port is 'http', expected a number from 0 to 65535"),
    ("tcp:x:[http]", 7, "port is 'http', expected a number from 0 to 65535"),
    ("tcp:x:[]", 7, "port is '', expected a number from 0 to 65535"),
    (f"tcp:x:{'9' * 5000}", 6, f"port is '{'9' * 78}…, expected a number from 0 to 65535"),
    ("tcp:x:80:timeout=0", 17, "timeout is '0', expected a number of seconds above 0 or 'none'"),
    ("tcp:x:80:family=none", 16, "family is 'none', expected 'any', 'ipv4' or 'ipv6'"),
    (
        "tcp:127.1:80",
        4,
        "host is '127.1', but an IPv4 address has four decimal parts, as in 192.0.2.1",
    ),
    (
        "tcp://x:80",
        4,
        "host is '//x', but a description is no URL, expected the host without slashes",
    ),
    # The text.
    ("tcp:x:80\\", 8, r"ends inside an escape; write \\ for one backslash"),
    ("tcp:[::1:80", 4, r"the bracket opened here is never closed; write \[ for a plain one"),
    ("tcp:[::1]80", 9, "goes on after a closing bracket, expected ':' or the end"),
    # Nested.
    ("hop:p:endpoint=[tcp:a]", 21, "a tcp client needs a port, as in tcp:example.org:80"),
    ("hop:p:endpoint=[tcp:a:b]", 22, "port is 'b', expected a number from 0 to 65535"),
    ("hop:p::[tcp:a:b]", 14, "port is 'b', expected a number from 0 to 65535"),
    (r"hop:p:endpoint=tcp\:a\:b", 23, "port is 'b', expected a number from 0 to 65535"),
    (r"hop:p:endpoint=tcp\:[\:\:1]\:b", 29, "port is 'b', expected a number from 0 to 65535"),
    (
        "hop:p:endpoint=[hop:q:endpoint=[tcp:a:b]]",
        38,
        "port is 'b', expected a number from 0 to 65535",
    ),
    ("hop:p:endpoint=[tpc:a:1]", 16, "no kind of client is called 'tpc' (did you mean 'tcp'?)"),
    ("hop:p:endpoint=[systemd:index=0]", 16, f"'systemd' can only listen, expected one of {KINDS}"),
    ("hop:p:endpoint=[]", 16, f"starts without a kind, expected one of {KINDS}"),
    (r"hop:p:endpoint=[tcp:a\]", 21, r"ends inside an escape; write \\ for one backslash"),
    (r"hop:p:endpoint=tcp\:a\\", 21, r"ends inside an escape; write \\ for one backslash"),
    ("hop:p:endpoint=tcp", 18, "a tcp client needs a host, as in tcp:example.org:80"),
]

WRONG_SERVERS = [
    ("tcp", 3, "a tcp server needs a port, as in tcp:8080"),
    ("tcp:", 4, "a tcp server needs a port, as in tcp:8080"),
    ("pair", 4, "a pair server takes low or high"),
    ("pair:a:1:2", 9, "a pair server takes low or high"),
    ("pair:high=2:low=1", 10, "a pair server takes low or high"),
    ("pair:c", 5, "label is 'c', expected 'a' or 'b'"),
    ("wrap", 4, "a wrap server needs a server, as in wrap:tcp:8080"),
    ("wrap:strict=yes", 15, "a wrap server needs a server, as in wrap:tcp:8080"),
    ("wrap:tcp:x", 9, "port is 'x', expected a number from 0 to 65535"),
    ("wrap:strict=maybe:tcp:80", 12, "strict is 'maybe', expected 'yes' or 'no'"),
    ("wrap:bogus=1:tcp:80", 5, "a wrap server has no option 'bogus' (it has: strict, token)"),
    (
        "wrap:server=[tcp:80]:tcp:81",
        5,
        "a wrap server has no option 'server' (it has: strict, token)",
    ),
    ("wrap::tcp:80", 5, f"starts without a kind, expected one of {SERVER_KINDS}"),
    (
        "wrap:wrap:tcp:80:bogus=1",
        17,
        "a tcp server has no option 'bogus' (it has: port, interface, backlog, v6only, reuse_port)",
    ),
    (
        "wrap:tcp:80:interface=[x",
        22,
        r"the bracket opened here is never closed; write \[ for a plain one",
    ),
]


@pytest.mark.parametrize(("text", "position", "problem"), WRONG_CLIENTS)
def test_wrong_client(text: str, position: int, problem: str) -> None:
    """A wrong description of a client gives the place, what is wrong there and what would be right."""
    with pytest.raises(DescriptionError) as caught:
        parse_client(text)
    error = caught.value
    assert (error.text, error.position, error.problem) == (text, position, problem)


@pytest.mark.parametrize(("text", "position", "problem"), WRONG_SERVERS)
def test_wrong_server(text: str, position: int, problem: str) -> None:
    """A wrong description of a server gives the place, what is wrong there and what would be right."""
    with pytest.raises(DescriptionError) as caught:
        parse_server(text)
    error = caught.value
    assert (error.text, error.position, error.problem) == (text, position, problem)


def test_message_with_caret() -> None:
    """The message shows the text, what is wrong, and a caret under the place."""
    with pytest.raises(DescriptionError) as caught:
        parse_server("tcp:http")
    assert str(caught.value) == (
        "tcp:http: port is 'http', expected a number from 0 to 65535\n  tcp:http\n      ^"
    )


@pytest.mark.parametrize("parse", [parse_client, parse_server])
@pytest.mark.parametrize("text", [b"tcp:x:80", None, TCPServer(80)])
def test_text_only(parse: type, text: object) -> None:
    """What is no str is a TypeError, bytes too."""
    with pytest.raises(TypeError, match="a description is text, not"):
        parse(text)


def nested(levels: int) -> str:
    """Describe a client behind so many proxies."""
    return "hop:p:endpoint=[" * levels + "tcp:a:1" + "]" * levels


def test_deep_nesting() -> None:
    """Twenty levels are read."""
    assert str(parse_client(nested(20))).count("hop") == 20


@pytest.mark.parametrize("levels", [21, 5000])
def test_too_deep_nesting(levels: int) -> None:
    """More are refused where the first description too many starts."""
    with pytest.raises(DescriptionError) as caught:
        parse_client(nested(levels))
    error = caught.value
    assert (error.position, error.problem) == (
        21 * len("hop:p:endpoint=["),
        "is nested more than 20 levels deep",
    )


def test_too_many_wrappers() -> None:
    """Wrappers are levels too."""
    with pytest.raises(DescriptionError, match="is nested more than 20 levels deep"):
        parse_server("wrap:" * 500 + "tcp:80")


@given(st.one_of(st.text(), arguments(), descriptions()))
def test_parse_raises_nothing_else(text: str) -> None:
    """Any text is a spec or a DescriptionError with a place in it and a message."""
    for parse in PARSE.values():
        error = failure(parse, text)
        assert error is None or (error.text == text and 0 <= error.position <= len(text))
        assert str(error)


def failure(parse: Callable[[str], Spec], text: str) -> DescriptionError | None:
    """Parse a text and give the one error that is allowed, or None."""
    try:
        parse(text)
    except DescriptionError as error:
        return error
    return None


@pytest.mark.parametrize(
    "text",
    [
        "a" * 200_000,
        ":" * 200_000,
        "tcp:" + "[" * 200_000,
        "tcp:" + "\\" * 200_001,
        "tcp:" + r"\:" * 100_000,
        "tcp:x:" + "9" * 200_000,
        "tcp:" + "a." * 100_000 + ":80",
        "tcp:" + "ä" * 200_000 + ":80",
        "tcp:x:80:" + "p" * 200_000 + "=1",
    ],
    ids=lambda text: text[:12],
)
def test_long_texts(text: str) -> None:
    """The work grows with the length of a wrong text, not with its square."""
    error = failure(parse_client, text)
    assert error is not None
    assert len(str(error)) < 600


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (TCPClient("x", 80), "tcp:x:80"),
        (TCPClient("::1", 80), "tcp:[::1]:80"),
        (TCPClient("x", 80, timeout=2.5), "tcp:x:80:timeout=2.5"),
        (TCPClient("x", 80, timeout=None), "tcp:x:80:timeout=none"),
        (TCPClient("x", 80, family="ipv6"), "tcp:x:80:family=ipv6"),
        (TCPServer(80, backlog=5), "tcp:80:backlog=5"),
        (TCPServer(80, "::", 5), "tcp:80:[::]:5"),
        (PairServer(low=1), "pair:low=1"),
        (PairServer("a", high=1), "pair:a:high=1"),
        (HopClient("p", endpoint=TCP), "hop:p:endpoint=[tcp:a:1]"),
        (HopClient("p", 5, TCP), "hop:p:5:[tcp:a:1]"),
        (HopClient("p", password="a:b"), "hop:p:password=[a:b]"),
        (HopClient("p", password="[a:b"), r"hop:p:password=\[a\:b"),
        (HopClient("p", password="a=b"), "hop:p:password=a=b"),
        (
            HopClient("p", endpoint=HopClient("q", password="[")),
            r"hop:p:endpoint=hop\:q\:password=\\[",
        ),
        (WrapServer(TCPServer(80)), "wrap:tcp:80"),
        (WrapServer(TCPServer(80, "::1"), strict=True), "wrap:strict=yes:tcp:80:[::1]"),
    ],
)
def test_canonical_text(spec: Spec, text: str) -> None:
    """Positions come as long as none is left out, then names; defaults are left out."""
    assert str(spec) == text
    assert PARSE[spec.role](text) == spec


ALL_KINDS = [HopClient, LateServer, PairServer, WrapServer, *kinds("client"), *kinds("server")]


@pytest.mark.parametrize("cls", ALL_KINDS, ids=lambda cls: cls.__name__)
@settings(
    max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
@given(data=st.data())
def test_round_trip(cls: type[Spec], data: st.DataObject) -> None:
    """Every spec of every kind comes back from its text, whose canonical form is itself."""
    spec = data.draw(specs(cls))
    text = str(spec)
    again = PARSE[cls.role](text)
    assert again == spec
    assert hash(again) == hash(spec)
    assert str(again) == text


@pytest.mark.parametrize("cls", ALL_KINDS, ids=lambda cls: cls.__name__)
def test_every_kind_is_a_value(cls: type[Spec]) -> None:
    """The example of each name is a frozen spec that can be copied, pickled and changed by replace."""
    for name in cls.names:
        spec = PARSE[cls.role](name.example)
        assert type(spec) is cls
        assert copy.deepcopy(spec) == pickle.loads(pickle.dumps(spec)) == spec
        assert replace(spec) == spec  # type: ignore[type-var]  # every kind is a dataclass
        assert not hasattr(spec, "__dict__")
        for field in grammar(cls).fields:
            with pytest.raises(FrozenInstanceError):
                setattr(spec, field.name, None)


@pytest.mark.parametrize("cls", ALL_KINDS, ids=lambda cls: cls.__name__)
def test_every_field_is_described(cls: type[Spec]) -> None:
    """Each argument of each kind has a line of help and says what it expects."""
    for field in grammar(cls).fields:
        assert field.help
        assert field.expected


def test_expected_names_none() -> None:
    """Where None is a value that has to be written, it is among what is expected."""
    fields = {each.name: each for each in grammar(TCPClient).fields}
    assert fields["timeout"].expected == "a number of seconds above 0 or 'none'"
    assert fields["bind_address"].expected == "a host name or an address"


@pytest.mark.parametrize(
    ("build", "field", "problem"),
    [
        (lambda: TCPClient("x", 70000), "port", "port is 70000, expected a number from 0 to 65535"),
        (lambda: TCPClient("x", True), "port", "port is True, expected a number from 0 to 65535"),
        (lambda: replace(TCP, port=-1), "port", "port is -1, expected a number from 0 to 65535"),
        (
            lambda: TCPClient("x", 80, family=None),  # type: ignore[arg-type]
            "family",
            "family is None, expected 'any', 'ipv4' or 'ipv6'",
        ),
        (lambda: PairServer(low=1, high=2), "high", "a pair server takes low or high"),
        (
            lambda: HopClient("p", password=5),  # type: ignore[arg-type]
            "password",
            "password is ***, expected a secret",
        ),
        (
            lambda: HopClient("p", endpoint="hop:q:password=hunter2"),  # type: ignore[arg-type]
            "endpoint",
            "endpoint is 'hop:q:password=***', expected the spec of a client",
        ),
        (
            lambda: HopClient("p", endpoint=TCPServer(80)),  # type: ignore[arg-type]
            "endpoint",
            "endpoint is TCPServer(port=80), expected the spec of a client",
        ),
    ],
)
def test_wrong_spec(build: type, field: str, problem: str) -> None:
    """A spec built in Python is checked too, and says which field is wrong."""
    with pytest.raises(SpecError) as caught:
        build()
    assert (caught.value.field, caught.value.problem) == (field, problem)


HOP = HopClient("p", endpoint=HopClient("q", password="hunter2"), password="hunter:2")


def test_display_hides_secrets() -> None:
    """The text for messages has every secret masked; the canonical text has them."""
    assert HOP.display() == "hop:p:endpoint=[hop:q:password=***]:password=***"
    assert str(HOP) == "hop:p:endpoint=[hop:q:password=hunter2]:password=[hunter:2]"


def test_display_of_a_wrapper_hides_secrets() -> None:
    """Inside and around a wrapper too."""
    spec = WrapServer(WrapServer(TCPServer(80), token="hunter2"), token="hunter2")
    assert spec.display() == "wrap:token=***:wrap:token=***:tcp:80"


def test_repr_hides_secrets() -> None:
    """The repr shows what is not at its default, secrets masked."""
    assert repr(HOP) == (
        "HopClient(host='p', endpoint=HopClient(host='q', password='***'), password='***')"
    ).replace("'***'", "***")


@pytest.mark.parametrize(
    "text",
    [
        "hop:p:password=hunter2:bogus=1",
        "hop:p:password=hunter2:port=x",
        "hop:p:password=hunter2\\",
        "hop:p:password=hunter2\0",
        "hop:p:pasword=hunter2",
        "hop:p:password=[hunter2",
        "hop:p:password=[hunter2]hunter2",
        "hop:p:endpoint=[hop:q:password=hunter2:bogus=1]",
        r"hop:p:endpoint=hop\:q\:password=hunter2\:bogus=1",
        "tcp:p:1:password=hunter2",
        "zzz:password=hunter2",
        "password=hunter2:tcp:x:80",
        # An unescaped colon makes other arguments of a secret.
        "hop:p:password=x:hunter2",
        "hop:password=x:hunter2 !",
        "hop:p:password=x:hunter2:hunter2:hunter2",
        "hop:p:password=x:hunter2=",
        "hop:p:password=x:hunter2==",
        "hop:endpoint=tcp:password=x:hunter2",
        "hop:p:endpoint=[hop:password=x:hunter2!]",
        "hop:p:password=:hunter2=b",
        "hop:p:password=x:hunter2=b",
        "hop:p:endpoint=[hop:q:password=x:hunter2=b]",
        # The reason repeats a piece of the value.
        "tcp:[tcp:b:password=50%hunter2/x]:1",
        r"tcp:host=password\=my hunter2:1",
        r"tcp:password\=x.hunter2!:1",
        f"tcp:[{'b:' * 3000}password=50%hunter2/x]:1",
        "wrap:token=x:hunter2=b:tcp:80",
    ],
)
def test_errors_hide_secrets(text: str) -> None:
    """No message of a wrong description holds a secret, or what may have been meant as one."""
    with pytest.raises(DescriptionError) as caught:
        parse_client(text)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("hop:p:password=x:timeout=y", "hop:p:password=***:timeout=y"),
        (
            "hop:p:endpoint=[tls:q:1:passphrase=x:verify=y]",
            "hop:p:endpoint=[tls:q:1:passphrase=***:verify=y]",
        ),
        (
            "hop:p:endpoint=[hop:q:password=x:colour=y:bogus=z]:password=v:timeout=w",
            "hop:p:endpoint=[hop:q:password=***:colour=y:bogus=z]:password=***:timeout=w",
        ),
    ],
)
def test_options_after_a_secret_are_shown(text: str, shown: str) -> None:
    """An option that the kind has ends a secret before it, in what is nested too."""
    with pytest.raises(DescriptionError) as caught:
        parse_client(text)
    assert str(caught.value).splitlines()[1] == f"  {shown}"


def test_options_after_a_secret_in_a_wrapper() -> None:
    """The options of a wrapper and of what it wraps are known."""
    with pytest.raises(DescriptionError) as caught:
        parse_server("wrap:token=x:wrap:token=y:tcp:port=z")
    assert str(caught.value).splitlines()[1] == "  wrap:token=***:token=***:port=z"


def test_option_after_a_secret_is_named_if_it_is_nearly_known() -> None:
    """A misspelt option behind a secret is named: it is no piece of the secret."""
    with pytest.raises(DescriptionError) as caught:
        parse_client("hop:p:password=x:colur=red")
    assert caught.value.problem == "a hop client has no option 'colur' (did you mean 'colour'?)"


class TestGrammar:
    """What a class has to be to be the grammar of a kind."""

    def test_dataclass(self) -> None:
        """A class whose repr would show secrets is refused."""

        @dataclass(frozen=True, slots=True)
        class Loud(ClientSpec):
            names = (Name("loud", "loud"),)

        with pytest.raises(TypeError, match=r"Loud is to be declared with @dataclass\(frozen=True"):
            grammar(Loud)

    def test_plain_class(self) -> None:
        """A class that is no dataclass is refused."""

        class Plain(ClientSpec):
            names = (Name("plain", "plain"),)

        with pytest.raises(TypeError, match="Plain is to be declared with"):
            grammar(Plain)

    @pytest.mark.parametrize("name", ["Loud", "a:b", "", "a=b", "a b", "é"])
    def test_name(self, name: str) -> None:
        """A name that could not be written in front of a description is refused."""

        @dataclass(frozen=True, slots=True, repr=False)
        class Named(ClientSpec):
            names = (Name(name, "x"),)

        with pytest.raises(TypeError, match="is to be lower-case letters and digits"):
            grammar(Named)

    def test_presets_of_the_canonical_name(self) -> None:
        """The name of the canonical text changes no default: one left out would come back changed."""

        @dataclass(frozen=True, slots=True, repr=False)
        class Preset(ClientSpec):
            names = (Name("preset", "preset", presets={"port": 1}),)
            port: Annotated[Port, Help("a port")] = 0

        with pytest.raises(TypeError, match="its first name, that of the canonical text"):
            grammar(Preset)

    def test_annotation(self) -> None:
        """A field without help or without a type of field is refused."""

        @dataclass(frozen=True, slots=True, repr=False)
        class Bare(ClientSpec):
            names = (Name("bare", "bare"),)
            port: int = 0

        with pytest.raises(TypeError, match=r"^Bare.port is to be annotated as Annotated\["):
            grammar(Bare)

    def test_default(self) -> None:
        """A default that the type does not take is refused."""

        @dataclass(frozen=True, slots=True, repr=False)
        class Wrong(ClientSpec):
            names = (Name("wrong", "wrong"),)
            port: Annotated[Port, Help("a port")] = 70000

        with pytest.raises(
            TypeError, match=r"^Wrong.port has the default 70000, expected a number"
        ):
            grammar(Wrong)

    def test_secret_needs_a_telling_name(self) -> None:
        """A secret whose name does not say so could not be masked in a text."""

        @dataclass(frozen=True, slots=True, repr=False)
        class Quiet(ClientSpec):
            names = (Name("quiet", "quiet"),)
            _: KW_ONLY
            key: Annotated[Secret | None, Help("a key")] = None

        with pytest.raises(TypeError, match=r"^Quiet.key is a secret: it is to be keyword-only"):
            grammar(Quiet)

    def test_secret_has_no_position(self) -> None:
        """Nor could one that is given by position."""

        @dataclass(frozen=True, slots=True, repr=False)
        class Placed(ClientSpec):
            names = (Name("placed", "placed"),)
            token: Annotated[Secret | None, Help("a key")] = None

        with pytest.raises(TypeError, match=r"^Placed.token is a secret: it is to be keyword-only"):
            grammar(Placed)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("late:5", LateServer(5)),
        ("late:any:5", LateServer(5, word="any")),
        ("late::5", LateServer(5)),
        ("late:5:word=any", LateServer(5, word="any")),
        ("late:None:5", LateServer(5, word=None)),
        ("later:any::5", LateServer(5, word="any")),
        ("latest:5:any", LateServer(5, word="any")),
        ("latest:any:port=5", LateServer(5, word="any")),
    ],
)
def test_positions(text: str, spec: LateServer) -> None:
    """As many positions as there are open required fields fill those, and more fill from the first."""
    assert parse_server(text) == spec


@pytest.mark.parametrize(
    ("text", "position", "problem"),
    [
        ("later:any:x:5", 10, "a later server takes no 'method': write word"),
        ("later:any:method=x:5", 10, "a later server takes no 'method': write word"),
        ("latest:5", 8, "a latest server needs a word, as in latest:word=none:5"),
        ("latest:5:", 9, "a latest server needs a word, as in latest:word=none:5"),
        ("late::", 6, "a late server needs a port, as in late:5"),
        ("late:x:5:6", 9, f"a late server takes 2 positional arguments (word, port); {BRACKETS}"),
    ],
)
def test_wrong_positions(text: str, position: int, problem: str) -> None:
    """Positions that have to be empty, or not to be, are named."""
    with pytest.raises(DescriptionError) as caught:
        parse_server(text)
    assert (caught.value.position, caught.value.problem) == (position, problem)


def test_word_none() -> None:
    """Where ``none`` means None, it is no word, so that every spec has a text of its own."""
    assert str(LateServer(5, word=None)) == "late:none:5"
    with pytest.raises(
        SpecError, match=r"^word is 'none', expected 'none', 'some' or 'any' or 'none'$"
    ):
        LateServer(5, word="none")


@dataclass(frozen=True, slots=True, repr=False)
class EmptyServer(ServerSpec):
    """No arguments at all."""

    names = (Name("empty", "empty"),)


def test_no_arguments() -> None:
    """A kind without arguments takes none, and says so."""
    with registered(EmptyServer):
        assert str(parse_server("empty")) == "empty"
        assert repr(parse_server("empty:")) == "EmptyServer()"
        with pytest.raises(DescriptionError) as caught:
            parse_server("empty:x")
        assert caught.value.problem == f"an empty server takes no positional arguments; {BRACKETS}"
        with pytest.raises(DescriptionError) as caught:
            parse_server("empty:x=1")
        assert caught.value.problem == "an empty server has no option 'x': it has none"


def test_server_base() -> None:
    """What a kind of server does not say, its base says: it is plain, and nothing beside it matters."""
    spec = EmptyServer()
    acceptor = spec.acceptor()
    assert spec.is_plain()
    assert isinstance(acceptor, PlainAcceptor)
    assert spec.beside([spec]) is spec
    assert spec.client(Address(socket.AF_INET, ("127.0.0.1", 1)), acceptor) is None
    with pytest.raises(NotImplementedError):
        spec.bind()


async def test_client_base() -> None:
    """A client that has no socket says so, at the stage where it is asked for one."""
    spec = parse_client("hop:x")
    assert spec.is_plain()
    with pytest.raises(ConnectError) as caught:
        await connect(spec, asyncio.Protocol)
    assert str(caught.value) == "hop:x: a hop client has no plain socket to build on"


def test_a_timeout_inside_is_refused() -> None:
    """The outermost timeout covers all stages; one further in would be without effect."""
    text = "hop:a:endpoint=[tcp:b:1:timeout=5]"
    with registered(HopClient), pytest.raises(DescriptionError) as caught:
        parse_client(text)
    assert caught.value.position == text.index("tcp")
    assert "it belongs to the outermost endpoint" in caught.value.problem


DATAGRAMS = "but a udp client has datagrams, and what is needed is a stream"


@pytest.mark.parametrize(
    ("text", "field", "inner"),
    [
        ("tls:a:443:endpoint=[udp:b:1]", "endpoint", "udp:b:1"),
        ("socks5:b:2:proxy=[udp:c:3]", "proxy", "udp:c:3"),
        ("httpconnect:b:2:proxy=[udp:c:3]", "proxy", "udp:c:3"),
        ("haproxy:udp:c:3", "endpoint", "udp:c:3"),
        ("haproxy:version=1:udp:c:3", "endpoint", "udp:c:3"),
        ("socks5:b:2:proxy=[haproxy:udp:c:3]", "endpoint", "udp:c:3"),
        ("socks5:b:2:proxy=[tls:d:4:endpoint=[udp:c:3]]", "endpoint", "udp:c:3"),
    ],
)
def test_a_stream_over_datagrams_is_refused(text: str, field: str, inner: str) -> None:
    """It is a mistake in the text, at the place where the datagrams are."""
    with pytest.raises(DescriptionError) as caught:
        parse_client(text)
    assert caught.value.problem == f"{field} is {inner!r}, {DATAGRAMS}"
    assert (caught.value.text, caught.value.position) == (text, text.index("udp"))


def test_a_stream_over_datagrams_from_python_is_refused() -> None:
    """It is a mistake in the values too."""
    with pytest.raises(SpecError) as caught:
        TLSClient("a", 443, endpoint=UDPClient("b", 1))
    assert caught.value.field == "endpoint"
    assert caught.value.problem == f"endpoint is UDPClient(host='b', port=1), {DATAGRAMS}"


def test_a_name_server_has_a_stream_too() -> None:
    """What has both can be what a stream goes over."""
    spec = parse_client("tls:a:853:endpoint=[dns:b]")
    assert isinstance(spec, TLSClient)
    assert spec.endpoint == parse_client("dns:b")


@dataclass(frozen=True, slots=True, repr=False)
class VaultServer(ServerSpec):
    """A wrapper of streams that has a secret."""

    names = (Name("vault", "vault:tcp:8080"),)

    server: Annotated[ServerSpec, Inner("server", rest=True, stream=True), Help("what is wrapped")]
    _: KW_ONLY
    token: Annotated[Secret | None, Help("what clients have to say first")] = None


def test_what_may_be_a_piece_of_a_secret_is_not_shown() -> None:
    """What follows a secret with a colon in it is not repeated in the message."""
    with registered(VaultServer), pytest.raises(DescriptionError) as caught:
        parse_server("vault:token=a:udp:5353")
    assert caught.value.position == len("vault:token=a:")
    assert "5353" not in str(caught.value)


def test_other_kinds_may_take_datagrams() -> None:
    """A kind that does not ask for a stream is given whatever there is."""
    assert parse_client("hop:a:endpoint=[udp:b:1]") == HopClient("a", endpoint=UDPClient("b", 1))
    assert parse_server("wrap:udp:1") == WrapServer(UDPServer(1))


@pytest.mark.parametrize(
    ("parse", "text", "other"),
    [(parse_client, "tcp:8080", "server"), (parse_server, "tcp:example.org:80", "client")],
)
def test_text_for_the_other_role(parse: Callable[[str], object], text: str, other: str) -> None:
    """A text that is right for the other role is called so."""
    with pytest.raises(DescriptionError, match=f"; the text describes a {other}"):
        parse(text)


def test_bases_have_no_signature_of_their_own() -> None:
    """The bases, which are no dataclasses, leave it to Python to say how they are called."""
    assert not hasattr(ClientSpec, "__signature__")


def test_signature_shows_the_fields() -> None:
    """What editors and help() show of a spec are its fields."""
    assert list(inspect.signature(TCPServer).parameters)[:2] == ["port", "interface"]


PIECES = {
    ("tcp", "client"): ["80", "a", "5", "", "host=a", "port=80", "timeout=5", "nope=1"],
    ("tcp", "server"): ["80", "::1", "5", "", "port=80", "interface=::1", "backlog=5"],
    ("unix", "client"): ["/p", "5", "", "path=/p", "timeout=5", "checkPID=0"],
    ("unix", "server"): ["/p", "660", "5", "", "path=/p", "mode=660", "backlog=none"],
    ("tcp6", "server"): ["80", "::1", "port=80", "interface=::1"],
}


@pytest.mark.parametrize(("kind", "role"), PIECES)
def test_short_way_of_plain_descriptions(kind: str, role: str) -> None:
    """What is read in the short way is what the long one reads, and what that refuses is not read."""
    cls, name = find(kind, kind, role)
    for count in range(5):
        for pieces in product(PIECES[kind, role], repeat=count):
            text = ":".join([kind, *pieces])
            given = [(key or None, word or None) for key, _, word in map(partition, pieces)]
            short = grammar(cls).parse_plain(name, given)
            try:
                assert short in (None, grammar(cls).parse(text, name, given, never)), text
            except DescriptionError:
                assert short is None, text


def partition(piece: str) -> tuple[str, str, str]:
    """Give the key of an argument, an equals sign and its value."""
    return piece.partition("=") if "=" in piece else ("", "", piece)


def never(text: str, role: str) -> ClientSpec:
    """Read a nested description, of which there is none in these kinds."""
    raise AssertionError(text, role)  # pragma: no cover


def test_usual_descriptions_take_the_short_way() -> None:
    """Positions, and keywords after them or alone, are read at once."""
    for text in ("tcp:a:80", "tcp:a:80:timeout=5", "tcp:port=80:host=a", "unix:/p:timeout=5"):
        kind, given = split(text)
        cls, name = find(text, kind, "client")
        assert grammar(cls).parse_plain(name, given) == parse_client(text)
