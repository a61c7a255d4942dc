"""Services: what the texts mean, and which targets are tried, in which order, with which end."""

from __future__ import annotations

import asyncio
import errno
import pickle
import socket
import ssl
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from asyncendpoints import events
from asyncendpoints.attempt import Attempt
from asyncendpoints.connecting import connect, connect_socket, resolve
from asyncendpoints.dns.cache import Cache
from asyncendpoints.dns.codes import Rcode
from asyncendpoints.dns.machine import system
from asyncendpoints.dns.names import encode_name
from asyncendpoints.dns.outcome import PASS, Answer, Failure, NoData, NXDomain
from asyncendpoints.dns.query import Query
from asyncendpoints.dns.records import Records, Type
from asyncendpoints.errors import (
    CertificateError,
    ConnectError,
    ConnectRefusedError,
    ConnectTimeoutError,
    DescriptionError,
    DNSRefusedError,
    NoDataError,
    NotOfferedError,
    NXDomainError,
    ResolveError,
    ServFailError,
    SpecError,
)
from asyncendpoints.kinds import srv
from asyncendpoints.kinds.asking import Known, resolver_of
from asyncendpoints.kinds.srv import SRVClient, Target, TargetTemplate
from asyncendpoints.kinds.tcp import TCPClient
from asyncendpoints.kinds.tls import TLSClient
from asyncendpoints.listening import listen
from asyncendpoints.specs import parse_client
from tests.clock import run
from tests.support import Recorder, black_hole, open_descriptors, unused_port
from tests.tls_material import Authority, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from asyncendpoints.dns.outcome import Outcome

NAME = "_imaps._tcp.example.test"
SPEC = SRVClient(NAME)
SOA = Records(encode_name("test"), 6, 60, (encode_name("ns.test") * 2 + bytes(20),))

ROOT = Authority()


class Names:
    """A resolver with outcomes, or the values of answers, by name and type; other names do not exist."""

    def __init__(self, table: dict[tuple[str, str], Outcome | list[str]]) -> None:
        self.table = table
        self.asked: list[tuple[str, str]] = []

    def resolve(self, query: Query, /) -> Outcome:
        self.asked.append((query.name, query.type))
        found = self.table.get((query.name, query.type))
        if isinstance(found, list):
            return Answer.of(query, *found, ttl=60)
        if found is None:
            is_there = any(name == query.name for name, _ in self.table)
            return NoData(SOA) if is_there else NXDomain(SOA)
        return found


def service(*records: str, **hosts: str) -> Names:
    """Make a resolver with SRV records, and with one address for each host of ``test``."""
    table: dict[tuple[str, str], Outcome | list[str]] = {(NAME, "SRV"): [*records]}
    for host, address in hosts.items():
        table[f"{host}.test", "AAAA" if ":" in address else "A"] = [address]
    return Names(table)


class Log:
    """Collects events of one sort."""

    def __init__(self, sort: type[events.Event] = events.TargetChosen) -> None:
        self._sort = sort
        self.events: list[Any] = []

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, self._sort):
            self.events.append(event)

    @property
    def hosts(self) -> list[str]:
        return [each.host for each in self.events]


def attempt_at(
    resolver: Names,
    spec: SRVClient = SPEC,
    draw: Callable[[int], int] = lambda most: most,
    log: Log | None = None,
) -> Attempt:
    """Make an attempt; as a rule it draws so that a shuffle leaves things as they are."""
    return Attempt(spec, on_event=log, resolver=resolver, draw=draw)


def targets(*records: str, draw: Callable[[int], int] = lambda most: most) -> list[Target]:
    """Give the targets of records."""

    async def main() -> list[Target]:
        return await SPEC.targets(attempt_at(service(*records), draw=draw))

    return run(main())


def no_targets(outcome: Outcome | list[str], spec: SRVClient = SPEC) -> ConnectError:
    """Give the error of a service whose lookup has an outcome."""

    async def main() -> ConnectError:
        resolver = Names({(NAME, "SRV"): outcome})
        with pytest.raises(ConnectError) as caught:
            await spec.targets(attempt_at(resolver, spec))
        return caught.value

    return run(main())


# Texts


def test_number_is_no_name() -> None:
    """What is no text is no name of a service."""
    with pytest.raises(SpecError, match="name is 5, expected service, protocol and domain"):
        SRVClient(5)  # type: ignore[arg-type]  # the error is the test


DATAGRAMS = "but a udp client has datagrams, and what is needed is a stream"


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("srv:_imaps._tcp.example.org", SRVClient("_imaps._tcp.example.org")),
        ("srv:_imaps._tcp.bücher.example.", SRVClient("_imaps._tcp.bücher.example.")),
        ("srv:service=imaps:domain=example.org", SRVClient(service="imaps", domain="example.org")),
        (
            "srv:service=sip:domain=x:protocol=tls:default_port=5061:tls=yes:verify_name=target:timeout=3",
            SRVClient(
                service="sip",
                domain="x",
                protocol="tls",
                default_port=5061,
                tls=True,
                verify_name="target",
                timeout=3,
            ),
        ),
        ("srv:_a._tcp.b:defaultPort=1", SRVClient("_a._tcp.b", default_port=1)),
        ("srv:_a._tcp.dc._msdcs.x", SRVClient("_a._tcp.dc._msdcs.x")),
        (
            "srv:_a._tcp.b:endpoint=[tls:{host}:{port}:hostname=b]",
            SRVClient("_a._tcp.b", endpoint=TargetTemplate("tls:{host}:{port}:hostname=b")),
        ),
    ],
)
def test_text(text: str, spec: SRVClient) -> None:
    """A text stands for this client, and the client's own text for the same one."""
    assert parse_client(text) == spec
    assert parse_client(str(spec)) == spec


@pytest.mark.parametrize(
    ("text", "position", "problem"),
    [
        ("srv:", 4, "an srv client needs a name, as in srv:_imaps._tcp.example.org"),
        (
            "srv:service=a",
            13,
            "service needs domain beside it, as in srv:service=imaps:domain=example.org",
        ),
        (
            "srv:domain=a",
            12,
            "domain needs service beside it, as in srv:service=imaps:domain=example.org",
        ),
        (
            "srv:_a._tcp.127.0.0.1",
            4,
            "name is '_a._tcp.127.0.0.1', expected the name of a domain, not an address",
        ),
        (
            "srv:127.0.0.1",
            4,
            "name is '127.0.0.1', expected service, protocol and domain, as in _imaps._tcp.example.org",
        ),
        (
            "srv:service=a:domain=[::1]",
            22,
            "domain is '::1', expected the name of a domain, not an address",
        ),
        (
            "srv:_a._tcp.b:endpoint=[udp:{host}:{port}]",
            24,
            "endpoint is 'udp:{host}:{port}', " + DATAGRAMS,
        ),
        (
            "srv:_a._tcp.b:endpoint=[tls:{host}:1:endpoint=[udp:b:53]]",
            47,
            "endpoint is 'udp:b:53', " + DATAGRAMS,
        ),
        (
            "srv:example.org",
            4,
            "name is 'example.org', expected service, protocol and domain, as in _imaps._tcp.example.org",
        ),
        (
            "srv:_a._tcp",
            4,
            "name is '_a._tcp', expected service, protocol and domain, as in _imaps._tcp.example.org",
        ),
        (
            "srv:_a._tcp.b:protocol=udp",
            23,
            "name takes the place of protocol: give one of them",
        ),
        (
            "srv:service=_a:domain=b",
            12,
            f"service is '_a', expected {srv.LabelText.expected}",
        ),
        (
            "srv:_a._tcp.b:tls=yes:endpoint=[tcp:{host}:1]",
            18,
            "tls belongs into the endpoint, which says how to connect",
        ),
        ("srv:_a._tcp.b:verify_name=target", 26, "verify_name goes with tls=yes"),
        (
            "srv:_a._tcp.b:endpoint=[tcp:a:{port}]",
            24,
            "endpoint is 'tcp:a:{port}', expected {host} in it, where the host of a target belongs",
        ),
        (
            "srv:_a._tcp.b:endpoint=[tcp:{host}:{prt}]",
            35,
            "port is '{prt}', expected a number from 0 to 65535",
        ),
        (
            "srv:_a._tcp.b:endpoint=[tcp:{host}:1:timeout=3]",
            24,
            "endpoint is 'tcp:{host}:1:timeout=3', which has a timeout: it belongs to the outermost endpoint",
        ),
    ],
)
def test_wrong_text(text: str, position: int, problem: str) -> None:
    """A wrong text is refused with the place and what is wrong there, also inside a template."""
    with pytest.raises(DescriptionError) as caught:
        parse_client(text)
    assert (caught.value.problem, caught.value.position) == (problem, position)


def test_a_domain_that_is_too_long() -> None:
    """Service, protocol and domain together are a name, which has its limit."""
    with pytest.raises(SpecError, match="is no name of a service, but a host name has at most 253"):
        SRVClient(service="imaps", domain=".".join(["a" * 60] * 4))


def test_a_template_is_a_template() -> None:
    """A text or a spec is not taken for one."""
    wrong: Any = TCPClient("a", 1)
    with pytest.raises(SpecError, match="expected the description of a client in brackets, as in"):
        SRVClient("_a._tcp.b", endpoint=wrong)


def test_secrets_in_a_template_are_hidden() -> None:
    """The text shows them, what is for messages does not."""
    text = "socks5:127.0.0.1:1080:{host}:{port}:username=u:password=hush"
    spec = SRVClient("_a._tcp.b", endpoint=TargetTemplate(text))
    assert "hush" in str(spec)
    assert "hush" not in spec.display() + repr(spec)
    assert repr(TargetTemplate("tcp:{host}:1")) == "TargetTemplate('tcp:{host}:1')"


def test_a_spec_can_be_pickled() -> None:
    """It goes to another process and is the same there."""
    spec = SRVClient("_a._tcp.b", endpoint=TargetTemplate("tcp:{host}:{port}"))
    assert pickle.loads(pickle.dumps(spec)) == spec


@pytest.mark.parametrize(
    ("text", "is_plain"),
    [
        ("srv:_a._tcp.b", True),
        ("srv:_a._tcp.b:tls=yes", False),
        ("srv:_a._tcp.b:endpoint=[tcp:{host}:1]", True),
        ("srv:_a._tcp.b:endpoint=[tls:{host}:1]", False),
    ],
)
def test_plain(text: str, is_plain: bool) -> None:
    """It is a plain socket where its targets are."""
    assert parse_client(text).is_plain() is is_plain


# Targets


def test_targets_in_their_order() -> None:
    """Priorities ascend, and within one the weights decide; the targets are hosts."""
    found = targets("2 0 3 c.test.", "1 5 1 A.test.", "1 5 2 b.test.", draw=lambda most: most)
    assert found == [
        Target("b.test", 2, 1, 5),
        Target("A.test", 1, 1, 5),
        Target("c.test", 3, 2, 0),
    ]


def test_thousands_of_targets() -> None:
    """An answer with as many records as it can hold is used whole."""
    found = targets(*(f"{port % 2} 1 {port} host.example.net." for port in range(3000)))
    assert sorted(each.port for each in found) == list(range(3000))
    assert [each.priority for each in found] == [0] * 1500 + [1] * 1500


def test_no_record_gains_from_its_place() -> None:
    """Records without weight are shuffled, where the RFC alone would keep the order of the answer."""
    orders = {
        "".join(each.host[0] for each in targets("0 0 1 a.test.", "0 0 1 b.test.", draw=draw))
        for draw in (lambda _: 0, lambda most: most)
    }
    assert orders == {"ab", "ba"}


def test_a_second_connect_draws_again() -> None:
    """The records are drawn from at every connect, those from a cache too."""

    async def main() -> tuple[list[str], int]:
        names = service("0 0 1 a.test.", "0 0 1 b.test.")
        first = []
        async with Cache(names) as cache:
            for draw in (lambda _: 0, lambda most: most):
                attempt = Attempt(SPEC, resolver=cache, draw=draw)
                first.append((await SPEC.targets(attempt))[0].host)
        return first, len(names.asked)

    assert run(main()) == (["b.test", "a.test"], 1)


def test_records_are_kept_for_their_time() -> None:
    """A connect after the time to live of the records asks for them again."""

    async def main() -> list[int]:
        names = service("0 0 1 a.test.")
        asked = []
        async with Cache(names) as cache:
            for _ in range(3):
                await SPEC.targets(Attempt(SPEC, resolver=cache))
                asked.append(len(names.asked))
                await asyncio.sleep(40)
        return asked

    assert run(main()) == [1, 1, 2]


def test_the_root_beside_others_is_ignored() -> None:
    """A root among other targets is no host to try."""
    assert targets("0 0 0 .", "9 0 1 a.test.") == [Target("a.test", 1, 9, 0)]


def test_the_root_alone_says_no() -> None:
    """A service whose only target is the root is not offered, and nothing else is tried."""
    error = no_targets(["0 0 0 ."], SRVClient(NAME, default_port=1))
    assert isinstance(error, NotOfferedError)
    assert (error.errno, error.stage) == (socket.EAI_NONAME, "resolve")
    assert str(error).endswith(": the domain says that it does not offer this service")


@pytest.mark.parametrize(
    ("outcome", "cause"),
    [
        (Failure(), ServFailError),
        (Failure(Rcode.REFUSED), DNSRefusedError),
        (PASS, ServFailError),
    ],
)
def test_not_found_out(outcome: Outcome, cause: type[Exception]) -> None:
    """Who could not find out does not know that there are no records: the domain is not tried."""
    error = no_targets(outcome, SRVClient(NAME, default_port=1))
    assert type(error) is ResolveError
    assert isinstance(error.__cause__, cause)
    assert error.problem.startswith(f"cannot look up {NAME} SRV: ")


@pytest.mark.parametrize("outcome", [NXDomain(SOA), NoData(SOA)])
@pytest.mark.parametrize(
    ("registered", "default_port", "port"), [(993, None, 993), (993, 1, 993), (None, 1, 1)]
)
def test_no_records(
    monkeypatch: pytest.MonkeyPatch,
    outcome: Outcome,
    registered: int | None,
    default_port: int | None,
    port: int,
) -> None:
    """Without records it is the domain, at the registered port of the service, else the given one."""
    known = {} if registered is None else {("imaps", "tcp"): registered}
    monkeypatch.setattr(socket, "getservbyname", lambda *asked: _find(known, asked))
    spec = SRVClient(NAME, default_port=default_port)

    async def main() -> list[Target]:
        return await spec.targets(attempt_at(Names({(NAME, "SRV"): outcome}), spec))

    assert run(main()) == [Target("example.test", port, is_listed=False)]


def _find(known: dict[tuple[str, str], int], asked: Any) -> int:
    if asked not in known:
        raise OSError("service/proto not found")
    return known[asked]


def test_no_records_and_no_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without records and without a port it is an error that says what would help."""
    monkeypatch.setattr(socket, "getservbyname", lambda *asked: _find({}, asked))
    error = no_targets(NXDomain(SOA))
    assert isinstance(error, ResolveError)
    assert isinstance(error.__cause__, NXDomainError)
    assert error.problem == (
        f"{NAME} SRV: there is no such name, and there is no port to try at example.test "
        "(default_port gives one)"
    )
    assert isinstance(no_targets(NoData(SOA)).__cause__, NoDataError)


def test_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    """A domain in any letters is asked for, tried and verified in A-labels."""
    monkeypatch.setattr(socket, "getservbyname", lambda *asked: _find({}, asked))
    names = Names({})
    spec = SRVClient("_imaps._tcp.faß.test.", default_port=1, tls=True)

    async def main() -> tuple[list[Target], TLSClient]:
        attempt = attempt_at(names, spec)
        found = await spec.targets(attempt)
        client = spec.client(attempt, found[0])
        assert isinstance(client, TLSClient)
        return found, client

    found, client = run(main())
    assert found[0].host == "xn--fa-hia.test"
    assert client.server_name == "xn--fa-hia.test"
    assert names.asked == [("_imaps._tcp.xn--fa-hia.test", "SRV")]


def test_an_alias_of_the_service() -> None:
    """Records at the end of a CNAME are those of the service."""
    alias = Records(encode_name(NAME), Type.CNAME, 60, (encode_name("real.test"),))
    names = Names({(NAME, "SRV"): Answer((alias,)), ("real.test", "SRV"): ["0 0 1 a.test."]})

    async def main() -> list[Target]:
        return await SPEC.targets(attempt_at(names))

    assert run(main()) == [Target("a.test", 1)]


def test_this_machine_answers_without_a_resolver() -> None:
    """Without a resolver that of this machine is asked, which knows that localhost has no services."""

    async def main() -> ConnectError:
        spec = SRVClient("_no-such-service._tcp.localhost")
        with pytest.raises(ResolveError) as caught:
            await connect(spec, Recorder)
        return caught.value

    assert isinstance(run(main()).__cause__, NXDomainError | NoDataError)


def test_localhost_is_nobody_elses() -> None:
    """What is below localhost is asked of no resolver."""
    names = Names({})
    spec = SRVClient("_no-such-service._tcp.localhost", default_port=1)

    async def main() -> list[Target]:
        return await spec.targets(attempt_at(names, spec))

    assert run(main()) == [Target("localhost", 1, is_listed=False)]
    assert names.asked == []


async def test_the_resolver_of_this_machine() -> None:
    """An attempt without a resolver has that of this machine from its first question on."""
    attempt = Attempt(SPEC)
    assert resolver_of(attempt) is system()
    assert attempt.resolver is system()


# Clients of targets


@pytest.mark.parametrize(
    ("text", "client"),
    [
        ("srv:_imaps._tcp.x.test", TCPClient("a.test", 993)),
        ("srv:_imaps._tcp.x.test:tls=yes", TLSClient("a.test", 993, hostname="x.test")),
        ("srv:_imaps._tcp.x.test:tls=yes:verify_name=target", TLSClient("a.test", 993)),
        (
            "srv:_imaps._tcp.x.test:endpoint=[tls:{host}:{port}:alpn=imap]",
            TLSClient("a.test", 993, alpn=("imap",)),
        ),
        (
            "srv:_imaps._tcp.x.test:endpoint=[tls:x:1:endpoint=[tcp:{host}:{port}]]",
            TLSClient("x", 1, endpoint=TCPClient("a.test", 993)),
        ),
    ],
)
def test_client(text: str, client: Any) -> None:
    """A target is reached by TCP, by TLS for the domain or for itself, or as the template says."""
    spec = parse_client(text)
    assert isinstance(spec, SRVClient)
    assert spec.client(Attempt(spec), Target("a.test", 993)) == client


@pytest.mark.parametrize("host", ["a:verify=no", "fe80::1", "a b", "a]", r"a\.b", "1.2.3", "", "-"])
@pytest.mark.parametrize("text", ["srv:_a._tcp.b", "srv:_a._tcp.b:endpoint=[tls:{host}:{port}]"])
def test_a_target_that_is_no_host(text: str, host: str) -> None:
    """What a record says gets no place in a description unless it is a host name."""
    spec = parse_client(text)
    assert isinstance(spec, SRVClient)
    with pytest.raises(ResolveError) as caught:
        spec.client(Attempt(spec), Target(host, 1))
    assert caught.value.problem == "that is no host name"


def test_a_target_that_does_not_fit_the_template() -> None:
    """A port that the template has no use for is a failure of this target."""
    spec = SRVClient("_a._tcp.b", endpoint=TargetTemplate("dns:{host}:{port}"))
    with pytest.raises(ConnectError) as caught:
        spec.client(Attempt(spec), Target("a.test", 0))
    assert caught.value.problem == "port is '0', expected a number from 1 to 65535"


# Connecting


async def test_the_next_when_one_fails() -> None:
    """Targets are tried one after the other until one answers; events tell of each choice."""
    async with listen("tcp:0:interface=127.0.0.1", Recorder) as server:
        names = service(
            f"1 0 {unused_port()} a.test.",
            f"2 7 {server.port} b.test.",
            a="127.0.0.1",
            b="127.0.0.1",
        )
        log = Log()
        transport, _ = await connect(SPEC, Recorder, resolver=names, on_event=log)
        assert transport.get_extra_info("peername") == ("127.0.0.1", server.port)
        transport.abort()
    assert log.hosts == ["a.test", "b.test"]
    chosen = log.events[1]
    assert (chosen.port, chosen.priority, chosen.weight) == (server.port, 2, 7)


async def test_a_target_on_ipv6() -> None:
    """A target that has an IPv6 address alone is connected to."""
    async with listen("tcp:0:interface=[::1]", Recorder) as server:
        names = service(f"0 0 {server.port} a.test.", a="::1")
        transport, _ = await connect(SPEC, Recorder, resolver=names)
        assert transport.get_extra_info("peername")[:2] == ("::1", server.port)
        transport.abort()


async def test_the_domain_itself() -> None:
    """Where there are no records the domain is connected to, and the event has no priority."""
    async with listen("tcp:0:interface=127.0.0.1", Recorder) as server:
        names = Names({("example.test", "A"): ["127.0.0.1"]})
        spec = SRVClient("_no-such-service._tcp.example.test", default_port=server.port)
        log = Log()
        transport, _ = await connect(spec, Recorder, resolver=names, on_event=log)
        transport.abort()
    assert [(each.host, each.priority, each.weight) for each in log.events] == [
        ("example.test", None, None)
    ]


async def test_all_fail() -> None:
    """The error names each target with what happened, and has every address that was tried."""
    ports = unused_port(), unused_port()
    names = service(
        f"1 0 {ports[0]} a.test.", f"2 0 {ports[1]} b.test.", a="127.0.0.1", b="127.0.0.1"
    )
    before = open_descriptors()
    with pytest.raises(ConnectRefusedError) as caught:
        await connect(SPEC, Recorder, resolver=names)
    error = caught.value
    assert open_descriptors() == before
    assert error.errno == errno.ECONNREFUSED
    assert [each.address.port for each in error.attempts] == list(ports)
    assert isinstance(error.__cause__, ExceptionGroup)
    assert len(error.__cause__.exceptions) == 2
    assert error.problem.startswith(
        f"all 2 targets of {NAME} failed: a.test:{ports[0]}: cannot connect"
    )
    assert f"; b.test:{ports[1]}: cannot connect to 127.0.0.1:{ports[1]}" in error.problem


async def test_the_only_one_fails() -> None:
    """The error of a service with one target is that of the target, with its name."""
    port = unused_port()
    names = service(f"0 0 {port} a.test.", a="127.0.0.1")
    with pytest.raises(ConnectRefusedError) as caught:
        await connect(SPEC, Recorder, resolver=names)
    assert caught.value.problem.startswith(f"a.test:{port}: cannot connect to 127.0.0.1:{port}: ")
    assert isinstance(caught.value.__cause__, ConnectRefusedError)


async def test_they_fail_in_different_ways() -> None:
    """Failures of several sorts are a plain error, a host without addresses among them."""
    names = service(
        f"1 0 {unused_port()} a.test.", "2 0 1 b.test.", "3 0 1 a\\.b.test.", a="127.0.0.1"
    )
    with pytest.raises(ConnectError) as caught:
        await connect(SPEC, Recorder, resolver=names)
    assert type(caught.value) is ConnectError
    assert caught.value.errno is None
    assert "; b.test:1: cannot look up 'b.test'" in caught.value.problem
    assert caught.value.problem.endswith("; a\\.b.test:1: that is no host name")


def test_many_fail() -> None:
    """The error of very many targets tells of ten."""

    async def main() -> ConnectError:
        names = service(*(f"{number} 0 1 x{number}.test." for number in range(150)))
        with pytest.raises(ResolveError) as caught:
            await connect(SPEC, Recorder, resolver=names, timeout=None)
        return caught.value

    error = run(main())
    assert error.problem.startswith(f"all 150 targets of {NAME} failed: x0.test:1: ")
    assert error.problem.endswith("; and 140 more")
    assert len(error.problem) < 1500


async def test_a_silent_target_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """A target that does not answer has its share of the time, and no more."""
    monkeypatch.setattr(srv, "_LEAST_SECONDS", 0.05)
    with black_hole() as (address, _):
        async with listen("tcp:0:interface=127.0.0.1", Recorder) as server:
            names = service(
                f"1 0 {address.port} a.test.",
                f"2 0 {server.port} b.test.",
                a="127.0.0.1",
                b="127.0.0.1",
            )
            transport, _ = await connect(SPEC, Recorder, resolver=names, timeout=0.5)
            assert transport.get_extra_info("peername")[1] == server.port
            transport.abort()


async def test_a_share_that_ran_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says how long each target had, and where its time went."""
    monkeypatch.setattr(srv, "_LEAST_SECONDS", 0.05)
    with black_hole() as (address, _):
        names = service(
            f"1 0 {address.port} a.test.",
            f"2 0 {unused_port()} b.test.",
            a="127.0.0.1",
            b="127.0.0.1",
        )
        with pytest.raises(ConnectError) as caught:
            await connect(SPEC, Recorder, resolver=names, timeout=0.1)
    assert (
        f"a.test:{address.port}: timed out after 0.05 s (connect); b.test" in caught.value.problem
    )
    assert isinstance(caught.value.__cause__, ExceptionGroup)
    assert isinstance(caught.value.__cause__.exceptions[0], ConnectTimeoutError)


async def test_no_time_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the time is over before the last target, the error says what became of which."""
    monkeypatch.setattr(srv, "_LEAST_SECONDS", 0.06)
    with black_hole() as (address, _):
        records = [f"{number} 0 {address.port} {host}.test." for number, host in enumerate("abc")]
        names = service(*records, **dict.fromkeys("abc", "127.0.0.1"))
        with pytest.raises(ConnectTimeoutError) as caught:
            await connect(SPEC, Recorder, resolver=names, timeout=0.1)
    assert caught.value.problem == (
        f"timed out after 0.1 s (connect): a.test:{address.port}: timed out after 0.06 s (connect); "
        f"b.test:{address.port}: no answer; 1 more not tried"
    )


async def test_stage_of_several_targets() -> None:
    """An error of targets that failed in several ways is one of connecting, whichever was last."""
    names = service(f"1 0 {unused_port()} a.test.", "2 0 9 gone.test.", a="127.0.0.1")
    with pytest.raises(ConnectError) as caught:
        await connect(SPEC, Recorder, resolver=names)
    assert caught.value.stage == "connect"


def test_shares_of_the_time() -> None:
    """Each target has its part of what is left, two seconds at the least, and the last has all of it."""

    async def begin(_: Any) -> None:
        await asyncio.sleep(3600)

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        attempt = Attempt(SPEC)
        spent = []
        for seconds, left in ((30, 3), (30, 2), (4, 100)):
            attempt.deadline = loop.time() + seconds
            started = loop.time()
            with pytest.raises(ConnectTimeoutError):
                await srv._within_share(attempt, left, begin, SPEC)
            spent.append(round(loop.time() - started, 3))
        for attempt.deadline, left in ((1.0, 1), (None, 5)):
            started = loop.time()
            await srv._within_share(attempt, left, begin, SPEC)
            spent.append(round(loop.time() - started, 3))
        return spent

    assert run(main()) == [10, 15, 2, 3600, 3600]


def test_a_timeout_of_somebody_else() -> None:
    """An error of time that is not that of the share goes on as it is."""
    theirs = TimeoutError("theirs")

    async def begin(_: Any) -> None:
        raise theirs

    async def main() -> None:
        attempt = Attempt(SPEC, deadline=30)
        with pytest.raises(TimeoutError) as caught:
            await srv._within_share(attempt, 2, begin, SPEC)
        assert caught.value is theirs

    run(main())


async def test_addresses_that_came_along_are_not_asked_for() -> None:
    """The additional section saves the lookup of what is in it."""
    async with listen("tcp:0:interface=127.0.0.1", Recorder) as server:
        record = b"\0\0\0\0" + server.port.to_bytes(2, "big") + encode_name("A.test")
        beside = [
            Records(encode_name("a.TEST"), Type.A, 60, (bytes((127, 0, 0, 1)),)),
            Records(encode_name("a.test"), Type.TXT, 60, (b"\0",)),
        ]
        answer = Answer((Records(encode_name(NAME), Type.SRV, 60, (record,)),), (), beside)
        names = Names({(NAME, "SRV"): answer, ("a.test", "TXT"): []})
        transport, _ = await connect(SPEC, Recorder, resolver=names)
        transport.abort()
    assert names.asked == [(NAME, "SRV"), ("a.test", "AAAA")]


async def test_a_plain_socket() -> None:
    """A service whose targets are plain gives its socket."""
    async with listen("tcp:0:interface=127.0.0.1", Recorder) as server:
        names = service(f"0 0 {server.port} a.test.", a="127.0.0.1")
        with await connect_socket(SPEC, resolver=names) as sock:
            assert sock.getpeername()[1] == server.port


async def test_no_plain_socket() -> None:
    """With TLS there is none."""
    spec = SRVClient(NAME, tls=True)
    with pytest.raises(ConnectError, match="an srv client has no plain socket to build on"):
        await spec.open_socket(Attempt(spec))


async def test_tls_of_the_domain(tmp_path: Path) -> None:
    """The certificate has to be that of the domain, whatever the target is called; the next may have it."""
    roots = write(tmp_path / "ca.pem", ROOT.pem)
    async with AsyncExitStack() as stack:
        ports = []
        for name in ("a.test", "example.test"):
            issued = ROOT.issue(name)
            path = write(tmp_path / f"{name}.pem", issued.key_pem, issued.pem)
            server = await stack.enter_async_context(
                listen(f"tls:0:interface=127.0.0.1:private_key={path}", Recorder)
            )
            ports.append(server.port)
        names = service(
            f"1 0 {ports[0]} a.test.", f"2 0 {ports[1]} b.test.", a="127.0.0.1", b="127.0.0.1"
        )
        template = TargetTemplate(
            f"tls:{{host}}:{{port}}:hostname=example.test:trust_roots={roots}"
        )
        calls: list[Recorder] = []

        def factory() -> Recorder:
            calls.append(Recorder())
            return calls[-1]

        log = Log()
        transport, protocol = await connect(
            SRVClient(NAME, endpoint=template), factory, resolver=names, on_event=log
        )
        assert calls == [protocol]
        assert isinstance(transport.get_extra_info("ssl_object"), ssl.SSLObject)
        transport.abort()
        await protocol.lost.wait()
        assert log.hosts == ["a.test", "b.test"]
        with pytest.raises(CertificateError):
            await connect(SRVClient(NAME, tls=True), factory, resolver=names)
        assert calls == [protocol]


async def test_a_factory_that_fails(tmp_path: Path) -> None:
    """What the factory raises is no failure of a target: it comes out, and no other target is tried."""
    issued = ROOT.issue("a.test")
    path = write(tmp_path / "a.pem", issued.key_pem, issued.pem)
    wrong = ConnectError(SPEC, "connect", "the factory's own")

    def factory() -> Recorder:
        raise wrong

    async with listen(f"tls:0:interface=127.0.0.1:private_key={path}", Recorder) as server:
        names = service(f"1 0 {server.port} a.test.", f"2 0 {server.port} a.test.", a="127.0.0.1")
        template = TargetTemplate("tls:{host}:{port}:verify=no")
        log = Log()
        with pytest.raises(ConnectError) as caught:
            await connect(SRVClient(NAME, endpoint=template), factory, resolver=names, on_event=log)
    assert caught.value is wrong
    assert log.hosts == ["a.test"]


def test_cancelled_in_a_lookup() -> None:
    """A cancel while the records are asked for ends the question."""

    class Never:
        """Gives no answer, and remembers who gave up."""

        gave_up = False

        async def resolve(self, query: Query, /) -> Outcome:
            future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
            try:
                return await future
            except asyncio.CancelledError:
                self.gave_up = True
                raise

    never = Never()

    async def main() -> ConnectTimeoutError:
        with pytest.raises(ConnectTimeoutError) as caught:
            await connect(SPEC, Recorder, resolver=never, timeout=5)
        await asyncio.sleep(0)
        return caught.value

    assert run(main()).stage == "resolve"
    assert never.gave_up


# Addresses


def test_addresses() -> None:
    """All addresses of all targets, in the order in which they would be tried."""

    async def main() -> list[str]:
        names = service(
            "1 0 1 a.test.", "2 0 2 gone.test.", "3 0 3 b.test.", a="192.0.2.1", b="::1"
        )
        return [str(each) for each in await resolve(SPEC, resolver=names)]

    assert run(main()) == ["192.0.2.1:1", "[::1]:3"]


def test_no_addresses() -> None:
    """Where no target has an address the error names them."""

    async def main() -> ConnectError:
        with pytest.raises(ResolveError) as caught:
            await resolve(SPEC, resolver=service("1 0 1 gone.test."))
        return caught.value

    assert run(main()).problem.startswith("gone.test:1: cannot look up 'gone.test'")


# Questions


def test_events_of_the_question() -> None:
    """Who follows a connect hears of the question and of its records, or of the error."""

    async def main(names: Names) -> list[Any]:
        log = Log(events.Event)
        with pytest.raises(ConnectError):
            await connect(SPEC, Recorder, resolver=names, on_event=log)
        return log.events

    started, finished = run(main(service("0 0 0 .")))
    assert (started.name, started.type) == (NAME, "SRV")
    assert (finished.name, finished.records, finished.error) == (NAME, ("0 0 0 .",), None)
    started, finished = run(main(Names({(NAME, "SRV"): Failure()})))
    assert finished.records == ()
    assert isinstance(finished.error, ServFailError)


@pytest.mark.parametrize(
    ("rtype", "rdatas", "is_known"),
    [
        (Type.A, (bytes(4),), True),
        (Type.AAAA, (bytes(16), bytes(16)), True),
        (Type.A, (bytes(4), bytes(5)), False),
        (Type.A, (), False),
        (Type.TXT, (b"\0",), False),
    ],
)
def test_known(rtype: int, rdatas: tuple[bytes, ...], is_known: bool) -> None:
    """Addresses are known, in any case of their name; what is none is asked for as everything is."""

    async def main() -> list[tuple[str, str]]:
        names = Names({})
        known = Known([Records(encode_name("A.test"), rtype, 60, rdatas)], names)
        for each in (Type.A, Type.AAAA, Type.TXT):
            await known.resolve(Query.make("a.TEST", each))
        return names.asked

    assert len(run(main())) == 3 - is_known
