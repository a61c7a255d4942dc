"""TLS clients that follow HTTPS records: who is asked when, and which addresses come first."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from asyncendpoints import events
from asyncendpoints.attempt import Attempt, all_of
from asyncendpoints.connecting import connect, resolve
from asyncendpoints.dns.names import encode_name
from asyncendpoints.dns.outcome import Answer, Failure, NoData, NXDomain
from asyncendpoints.dns.records import Records, Type
from asyncendpoints.errors import DescriptionError, NXDomainError, ResolveError
from asyncendpoints.kinds.https_records import alternatives
from asyncendpoints.kinds.tls import TLSClient
from asyncendpoints.listening import listen
from asyncendpoints.resolving import late_of
from asyncendpoints.specs import parse_client
from tests.clock import run
from tests.support import Recorder
from tests.tls_material import Authority, write

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping
    from pathlib import Path

    from asyncendpoints.dns.outcome import Outcome
    from asyncendpoints.dns.query import Query

SOA = Records(encode_name("test"), 6, 60, (encode_name("ns.test") * 2 + bytes(20),))
SPEC = TLSClient("x.test", 443, svcb=True)


class Names:
    """A resolver with answers by name and type, each after some seconds; what is missing has no data.

    Args:
        table: The values of the records, or an outcome, by ``"name type"``.
        delays: Seconds, by the same; infinity for never.
    """

    def __init__(self, table: Mapping[str, list[str] | Outcome], **delays: float) -> None:
        self._table = table
        self._delays = delays
        self.asked: list[str] = []
        self.given_up: list[str] = []

    def resolve(self, query: Query, /) -> Awaitable[Outcome]:
        asked = f"{query.name} {query.type}"
        self.asked.append(asked)
        found = self._table.get(asked, [])
        if isinstance(found, list):
            found = Answer.of(query, *found) if found else NoData(SOA)
        seconds = (
            self._delays.get(query.type, 0) if "x.test" in asked else self._delays.get("other", 0)
        )
        return self._later(asked, found, seconds) if seconds else found

    async def _later(self, asked: str, outcome: Outcome, seconds: float) -> Outcome:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.given_up.append(asked)
            raise
        return outcome


def found(
    names: Names, port: int = 443, family: str = "any", protocols: tuple[str, ...] = ()
) -> tuple[float, list[str], list[str]]:
    """Give when there are addresses, which, and those that come late."""

    async def main() -> tuple[float, list[str], list[str]]:
        attempt = Attempt(SPEC, resolver=names, draw=lambda most: most)
        candidates = await alternatives(attempt, "x.test", port, family, protocols)
        now = asyncio.get_running_loop().time()
        late = late_of(candidates)
        later = [] if late is None else await late
        return round(now, 6), [*map(str, candidates)], [*map(str, later)]

    return run(main())


def addresses(names: Names, **options: Any) -> list[str]:
    """Give the addresses, all of which are there at once."""
    now, first, late = found(names, **options)
    assert (now, late) == (0, [])
    return first


X = {"x.test A": ["192.0.2.1"], "x.test AAAA": ["2001:db8::1"]}
OWN = ["[2001:db8::1]:443", "192.0.2.1:443"]
A = {"a.test A": ["192.0.2.7"], "a.test AAAA": ["2001:db8::7"]}
AT_A = ["[2001:db8::7]:443", "192.0.2.7:443"]


# What is asked


@pytest.mark.parametrize(("port", "name"), [(443, "x.test"), (8443, "_8443._https.x.test")])
def test_the_order_of_the_questions(port: int, name: str) -> None:
    """The records are asked for first, then IPv6 and IPv4, all at once."""
    names = Names(X, HTTPS=0.01, A=0.01, AAAA=0.01)
    found(names, port=port)
    assert names.asked == [f"{name} HTTPS", "x.test AAAA", "x.test A"]


def test_a_literal_is_asked_for_nothing() -> None:
    """An address has no records."""

    async def main() -> list[str]:
        names = Names({})
        attempt = Attempt(SPEC, resolver=names)
        there = await alternatives(attempt, "192.0.2.1", 443, "any", ())
        assert names.asked == []
        return [*map(str, there)]

    assert run(main()) == ["192.0.2.1:443"]


def test_nothing_is_asked_twice() -> None:
    """A record that stands for the host itself takes the addresses that are asked for anyway."""
    names = Names({**X, "x.test HTTPS": ["1 . alpn=h2"]})
    assert addresses(names) == OWN
    assert names.asked == ["x.test HTTPS", "x.test AAAA", "x.test A"]


# What comes of it


@pytest.mark.parametrize(
    "records", [[], NXDomain(SOA), Failure(), ["0 ."], ["1 a.test. mandatory=key65000 key65000=x"]]
)
def test_without_records(records: list[str] | Outcome) -> None:
    """Without records that can be used, whyever, the addresses of the host are all there is."""
    assert addresses(Names({**X, **A, "x.test HTTPS": records})) == OWN


def test_service_mode() -> None:
    """Alternatives come in their order with their ports, and the host itself at the end."""
    names = Names(
        {**X, **A, "x.test HTTPS": ["2 a.test.", "1 . port=8443 alpn=h2", "3 gone.test."]}
    )
    assert addresses(names) == ["[2001:db8::1]:8443", "192.0.2.1:8443", *AT_A, *OWN]


def test_protocols() -> None:
    """An alternative that speaks nothing of what is offered is left out."""
    records = ["1 a.test. alpn=h3 no-default-alpn", "2 . port=1 alpn=h2"]
    names = Names({**X, **A, "x.test HTTPS": records})
    assert addresses(names, protocols=("h2",)) == ["[2001:db8::1]:1", "192.0.2.1:1", *OWN]


def test_one_family() -> None:
    """Only the family that is wanted is asked for and used, of hints too."""
    records = ["1 a.test. ipv4hint=192.0.2.9 ipv6hint=2001:db8::9"]
    names = Names({**X, **A, "x.test HTTPS": records}, other=1)
    assert found(names, family="ipv4") == (0, ["192.0.2.9:443", "192.0.2.1:443"], ["192.0.2.7:443"])
    assert not [each for each in names.asked if each.endswith("AAAA")]


@pytest.mark.parametrize("host", ["a.test", "b.test"])
def test_alias_mode(host: str) -> None:
    """The records of an alias are those of the host; without any its addresses are."""
    table: dict[str, list[str] | Outcome] = {**X, **A, "x.test HTTPS": [f"0 {host}."]}
    table["b.test HTTPS"] = ["1 a.test."]
    assert addresses(Names(table)) == [*AT_A, *OWN]


def test_a_host_that_has_only_an_alias() -> None:
    """A host without addresses of its own is where its alias leads."""
    assert addresses(Names({**A, "x.test HTTPS": ["0 a.test."]})) == AT_A


def test_records_behind_a_cname() -> None:
    """A record without a target of its own stands for the name at the end of the CNAMEs."""
    cname = Records(encode_name("x.test"), Type.CNAME, 60, (encode_name("a.test"),))
    names = Names({**X, **A, "x.test HTTPS": Answer((cname,)), "a.test HTTPS": ["1 . port=1"]})
    assert addresses(names) == ["[2001:db8::7]:1", "192.0.2.7:1", *OWN]


def test_a_circle_of_aliases() -> None:
    """Aliases are followed some steps and no further; the addresses of the host remain."""
    names = Names({**X, "x.test HTTPS": ["0 y.test."], "y.test HTTPS": ["0 x.test."]})
    assert addresses(names) == OWN
    assert sum(each.endswith("HTTPS") for each in names.asked) == 9


def test_an_answer_that_would_take_long() -> None:
    """Records of more than some kilobytes are not read at all."""
    records = [f"{number} a.test. key65000={'x' * 250}" for number in range(1, 20)]
    assert addresses(Names({**X, **A, "x.test HTTPS": records})) == OWN


def test_a_host_that_is_too_long_for_a_prefix() -> None:
    """A name that leaves no room for the prefix has no records; it is looked up all the same."""

    async def main() -> list[str]:
        host = ".".join(["a" * 60] * 4)
        names = Names({f"{host} A": ["192.0.2.1"]})
        there = await alternatives(Attempt(SPEC, resolver=names), host, 8443, "any", ())
        return [*map(str, there)]

    assert run(main()) == ["192.0.2.1:8443"]


def test_nothing_at_all() -> None:
    """Without any address the error is that of the host."""

    async def main() -> ResolveError:
        table: dict[str, list[str] | Outcome] = {"x.test HTTPS": ["1 a.test."]}
        names = Names({**table, "x.test A": NXDomain(SOA), "x.test AAAA": NXDomain(SOA)})
        with pytest.raises(ResolveError) as caught:
            await connect(SPEC, Recorder, resolver=names)
        return caught.value

    error = run(main())
    assert error.problem.startswith("cannot look up 'x.test'")
    assert isinstance(error.__cause__, NXDomainError)


# When


@pytest.mark.parametrize(
    ("https", "until", "first"), [(0.04, 0.04, [*AT_A, *OWN]), (0.06, 0.05, OWN), (3600, 0.05, OWN)]
)
def test_records_are_waited_for_a_moment(https: float, until: float, first: list[str]) -> None:
    """Addresses wait 50 ms for the records, which come too late after that."""
    names = Names({**X, **A, "x.test HTTPS": ["1 a.test."]}, HTTPS=https)
    assert found(names) == (until, first, [])
    assert names.given_up == (["x.test HTTPS"] if https > 0.05 else [])


def test_without_addresses_the_records_are_waited_for() -> None:
    """Where the host has no addresses there is nothing to begin with but the records."""
    names = Names({**A, "x.test HTTPS": ["0 a.test."]}, HTTPS=3)
    assert found(names) == (3, AT_A, [])


def test_an_alternative_is_waited_for_a_moment() -> None:
    """The addresses of the host wait 50 ms for those of the alternatives, which come late after that."""
    names = Names({**X, **A, "x.test HTTPS": ["1 a.test."]}, other=0.04)
    assert found(names) == (0.04, [*AT_A, *OWN], [])
    names = Names({**X, **A, "x.test HTTPS": ["1 a.test."]}, other=9)
    assert found(names) == (0.05, OWN, AT_A)


def test_hints_come_before_addresses() -> None:
    """With hints nothing is waited for; what they did not have comes late, and nothing comes twice."""
    records = ["1 a.test. ipv4hint=192.0.2.7"]
    names = Names({**X, **A, "x.test HTTPS": records}, A=2, AAAA=1, other=3)
    now, first, late = found(names)
    assert (now, first) == (0, ["192.0.2.7:443"])
    assert late == ["[2001:db8::7]:443", *OWN]


def test_lookups_begin_before_the_race() -> None:
    """With hints too, the stage of the connect is not that of a lookup once the race goes on."""

    async def main() -> str:
        names = Names({**X, "x.test HTTPS": ["1 a.test. ipv4hint=192.0.2.7"]}, A=2, AAAA=1, other=3)
        attempt = Attempt(SPEC, resolver=names)
        late = late_of(await alternatives(attempt, "x.test", 443, "any", ()))
        attempt.stage = "connect"
        assert late is not None
        await late
        return attempt.stage

    assert run(main()) == "connect"


def test_addresses_take_the_place_of_hints() -> None:
    """The hints of the host itself count for nothing once its addresses are known."""
    names = Names({**X, "x.test HTTPS": ["1 . ipv4hint=192.0.2.9"]}, HTTPS=0.01)
    assert found(names) == (0.01, OWN, [])


def test_a_family_that_is_late() -> None:
    """Addresses of a family that is slow are late, those of alternatives too."""
    names = Names({**X, **A, "x.test HTTPS": ["1 a.test."]}, AAAA=7)
    assert found(names) == (0.05, [*AT_A, "192.0.2.1:443"], ["[2001:db8::1]:443"])


def test_a_race_that_is_over() -> None:
    """When nobody wants what is late any more, its lookups end."""

    async def main() -> list[str]:
        names = Names({**X, **A, "x.test HTTPS": ["1 a.test."]}, AAAA=7, other=9)
        attempt = Attempt(SPEC, resolver=names)
        late = late_of(await alternatives(attempt, "x.test", 443, "any", ()))
        assert late is not None
        late.cancel()
        await asyncio.sleep(0.001)
        return sorted(names.given_up)

    assert run(main()) == ["a.test A", "a.test AAAA", "x.test AAAA"]


@pytest.mark.parametrize(
    ("seconds", "delays"),
    [
        (0.02, {"HTTPS": 9, "A": 9, "AAAA": 9}),
        (0.02, {"HTTPS": 9}),
        (2, {"HTTPS": 1, "A": 9, "AAAA": 9, "other": 9}),
    ],
)
def test_cancelled(seconds: float, delays: dict[str, float]) -> None:
    """A cancel ends every question, whatever is being waited for."""

    async def main() -> tuple[set[str], int]:
        names = Names({**X, **A, "x.test HTTPS": ["1 a.test."]}, **delays)
        attempt = Attempt(SPEC, resolver=names)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds):
                await alternatives(attempt, "x.test", 443, "any", ())
        await asyncio.sleep(0.001)
        waiting = {
            each
            for each in names.asked
            if delays.get(each.split()[1] if "x.test" in each else "other", 0) > seconds
        }
        return waiting.symmetric_difference(names.given_up), len(asyncio.all_tasks())

    assert run(main()) == (set(), 1)


def test_cancelled_with_something_late() -> None:
    """A cancel while the records are waited for ends what the addresses still have to come."""

    async def main() -> list[str]:
        names = Names(X, HTTPS=9, AAAA=9)
        attempt = Attempt(SPEC, resolver=names)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.07):
                await alternatives(attempt, "x.test", 443, "any", ())
        await asyncio.sleep(0.001)
        return sorted(names.given_up)

    assert run(main()) == ["x.test AAAA", "x.test HTTPS"]


# The client


def test_text() -> None:
    """It is off unless the text turns it on, and belongs into an endpoint that makes the connection."""
    assert parse_client("tls:x.test:443:svcb=yes") == SPEC
    assert str(SPEC) == "tls:x.test:443:svcb=yes"
    with pytest.raises(DescriptionError) as caught:
        parse_client("tls:x:1:svcb=yes:endpoint=[tcp:y:1]")
    assert caught.value.problem == "svcb belongs into the endpoint, which makes the connection"


async def test_off() -> None:
    """Without it no records are asked for."""
    names = Names({})
    with pytest.raises(ResolveError):
        await connect("tls:x.test:443", Recorder, resolver=names)
    assert names.asked == ["x.test AAAA", "x.test A"]


def test_addresses_of_the_client() -> None:
    """What is resolved is all that would be tried, what is late included."""

    async def main() -> list[str]:
        names = Names({**X, **A, "x.test HTTPS": ["1 a.test."]}, other=9)
        return [str(each) for each in await resolve(SPEC, resolver=names)]

    assert run(main()) == [*OWN[:1], OWN[1], *AT_A]
    assert run(all_of([])) == []


async def test_connecting(tmp_path: Path) -> None:
    """A connection goes to the alternative, and verifies the name of the host."""
    root = Authority()
    issued = root.issue("x.test")
    key = write(tmp_path / "x.pem", issued.key_pem, issued.pem)
    roots = write(tmp_path / "ca.pem", root.pem)
    async with listen(f"tls:0:interface=127.0.0.1:private_key={key}:alpn=h2", Recorder) as server:
        record = f"1 a.test. port={server.port} alpn=h2 no-default-alpn ipv4hint=127.0.0.1"
        names = Names({"x.test HTTPS": [record], "a.test A": ["127.0.0.1"]})
        told: list[events.Event] = []
        transport, protocol = await connect(
            f"tls:x.test:443:svcb=yes:alpn=h2:trust_roots={roots}",
            Recorder,
            resolver=names,
            on_event=told.append,
        )
        tls = transport.get_extra_info("ssl_object")
        assert isinstance(tls, ssl.SSLObject)
        assert tls.selected_alpn_protocol() == "h2"
        assert transport.get_extra_info("peername") == ("127.0.0.1", server.port)
        transport.abort()
        await protocol.lost.wait()
    asked = [each.type for each in told if isinstance(each, events.QueryStarted)]
    assert asked[:3] == ["HTTPS", "AAAA", "A"]
