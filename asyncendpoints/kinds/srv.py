"""Services: ``srv``, to connect to where the SRV records of a domain say that a service is.

Source: RFC 2782.
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Annotated, Generic, NamedTuple, TypeVar

from asyncendpoints import events
from asyncendpoints.addresses import host_and_port, to_ascii
from asyncendpoints.errors import (
    ConnectError,
    ConnectTimeoutError,
    DescriptionError,
    DNSError,
    NoDataError,
    NotOfferedError,
    NXDomainError,
    ResolveError,
    SpecError,
)
from asyncendpoints.fields import (
    Choice,
    Domain,
    DomainText,
    Help,
    HostText,
    Number,
    Seconds,
    Text,
    YesNo,
)
from asyncendpoints.grammar import Inner, Name
from asyncendpoints.kinds.tcp import TCPClient
from asyncendpoints.kinds.tls import TLSClient
from asyncendpoints.masking import mask
from asyncendpoints.specs import ClientSpec, parse_client
from asyncendpoints.srv import order_srv, shuffle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from asyncendpoints.addresses import Address
    from asyncendpoints.attempt import Attempt
    from asyncendpoints.dns.results import Service
    from asyncendpoints.grammar import ReadInner

__all__ = ["SRVClient", "Target", "TargetTemplate"]

T = TypeVar("T")
P = TypeVar("P", bound=asyncio.BaseProtocol)

#: The least seconds that a target has before the next one is tried, if the whole connect has them.
_LEAST_SECONDS = 2.0
#: How many targets an error tells of.
_MOST_SHOWN = 10

_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,60}[A-Za-z0-9])?")

#: What stands in a template for a host and a port while it is read: as long as the placeholders, so that the
#: place of a mistake is the same.
_SAMPLE = ("h.test", "000443")


class LabelText(Text):
    """The name of a service or a protocol, without the underscore that it has in DNS."""

    expected = "1 to 62 letters, digits and hyphens, as in imaps, without an underscore in front"

    def check(self, value: str) -> None:
        if not isinstance(value, str) or not _LABEL.fullmatch(value):
            raise ValueError


class ServiceText(DomainText):
    """Service, protocol and domain as DNS has them."""

    expected = "service, protocol and domain, as in _imaps._tcp.example.org"

    def check(self, value: str) -> None:
        if not isinstance(value, str):
            raise ValueError  # noqa: TRY004 - as every type of field
        first, second, rest = [*value.split(".", 2), "", ""][:3]
        for label in (first, second):
            if not label.startswith("_") or not _LABEL.fullmatch(label[1:]):
                raise ValueError
        super().check(rest)
        super().check(value)  # for its length


@dataclass(frozen=True, slots=True)
class TargetTemplate:
    """The description of a client with ``{host}`` and ``{port}`` where those of a target belong.

    >>> TargetTemplate("tls:{host}:{port}:alpn=imap").fill("a.example.org", 993)
    TLSClient(host='a.example.org', port=993, alpn=('imap',))

    Args:
        text: The description.

    Raises:
        DescriptionError: It is none, whatever the host.
        ValueError: It has no place for a host.
    """

    text: str
    #: What it is for some host and port.
    sample: ClientSpec = field(init=False, compare=False)

    def __post_init__(self) -> None:
        if "{host}" not in self.text:
            raise ValueError("expected {host} in it, where the host of a target belongs")
        object.__setattr__(self, "sample", self.fill(*_SAMPLE))

    def fill(self, host: str, port: int | str) -> ClientSpec:
        """Give the client for a host, which is a name or an IPv4 address, and a port.

        Raises:
            DescriptionError: There is none.
        """
        return parse_client(self.text.replace("{host}", host).replace("{port}", str(port)))

    def display(self) -> str:
        """Give the text with every secret masked."""
        return mask(self.text)[0]

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.display()!r})"


class TemplateText(Inner):
    """The type of a field that holds a `TargetTemplate`."""

    def __init__(self) -> None:
        super().__init__("client", stream=True)
        self.expected = "the description of a client in brackets, as in [tls:{host}:{port}]"

    def read(self, text: str, read_inner: ReadInner) -> TargetTemplate:  # noqa: ARG002 - it reads a template once
        return TargetTemplate(text)

    def check(self, value: TargetTemplate) -> None:  # type: ignore[override]  # what holds the spec
        if not isinstance(value, TargetTemplate):
            raise ValueError  # noqa: TRY004 - as every type of field
        super().check(value.sample)


class Target(NamedTuple):
    """Where a service is."""

    #: A name in A-labels, without a final dot.
    host: str
    #: 0 to 65535.
    port: int
    #: Of the record, 0 to 65535.
    priority: int = 0
    weight: int = 0
    #: Whether there is a record; else it is the domain itself.
    is_listed: bool = True

    def __str__(self) -> str:
        return host_and_port(self.host, self.port)


@dataclass(frozen=True, slots=True, repr=False)
class SRVClient(ClientSpec):
    """A connection to where the SRV records of a domain say that a service is (RFC 2782)."""

    names = (Name("srv", "srv:_imaps._tcp.example.org"),)

    name: Annotated[
        Annotated[str, ServiceText()] | None, Help("service, protocol and domain in one")
    ] = None
    _: KW_ONLY
    service: Annotated[
        Annotated[str, LabelText()] | None, Help("the service, such as imaps, in place of name")
    ] = None
    domain: Annotated[Domain | None, Help("the domain whose service it is")] = None
    protocol: Annotated[
        Annotated[str, LabelText()], Help("the protocol that the service is spoken over")
    ] = "tcp"
    default_port: Annotated[
        Annotated[int, Number(1, 65535)] | None,
        Help("port of the domain where there are no records, if none is registered", "defaultPort"),
    ] = None
    tls: Annotated[YesNo, Help("speak TLS with the target")] = False
    verify_name: Annotated[
        Annotated[str, Choice("domain", "target")],
        Help("whose certificate it is to be: that of the domain or of the target", "verifyName"),
    ] = "domain"
    endpoint: Annotated[
        Annotated[TargetTemplate, TemplateText()] | None,
        Help("how to reach a target, with {host} and {port} where those of the target belong"),
    ] = None
    timeout: Annotated[Seconds | None, Help("limit of the whole connect, in seconds")] = 30.0

    def check(self) -> None:
        if self.name is None:
            self._check_parts()
        for name, given in (
            ("service", self.service is not None),
            ("domain", self.domain is not None),
            ("protocol", self.protocol != "tcp"),
        ):
            if given and self.name is not None:
                raise SpecError(name, f"name takes the place of {name}: give one of them")
        if self.endpoint is not None and self.tls:
            raise SpecError("tls", "tls belongs into the endpoint, which says how to connect")
        if self.verify_name != "domain" and not self.tls:
            raise SpecError("verify_name", "verify_name goes with tls=yes")

    def _check_parts(self) -> None:
        if self.service is None and self.domain is None:
            example = self.names[0].example
            raise SpecError("name", f"an srv client needs a name, as in {example}")
        if self.service is None or self.domain is None:
            given, missing = ("service", "domain") if self.domain is None else ("domain", "service")
            example = "srv:service=imaps:domain=example.org"
            raise SpecError(missing, f"{given} needs {missing} beside it, as in {example}")
        try:
            ServiceText().check(self.question)
        except ValueError as error:
            raise SpecError("domain", f"{self.question} is no name of a service, {error}") from None

    @property
    def question(self) -> str:
        """The name that is asked for."""
        return self.name or f"_{self.service}._{self.protocol}.{self.domain}"

    @property
    def parts(self) -> tuple[str, str, str]:
        """Service, protocol and domain."""
        service, protocol, domain = self.question.split(".", 2)
        return service[1:], protocol[1:], domain

    def is_plain(self) -> bool:
        return not self.tls and (self.endpoint is None or self.endpoint.sample.is_plain())

    async def open_socket(self, attempt: Attempt) -> socket.socket:
        if not self.is_plain():
            return await ClientSpec.open_socket(self, attempt)
        return await self._first(attempt, lambda spec: spec.open_socket(attempt))

    async def open(self, attempt: Attempt, factory: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        if self.is_plain():
            return await ClientSpec.open(self, attempt, factory)
        calls = _Calls(factory)
        return await self._first(attempt, lambda spec: attempt.open(spec, calls.make), calls)

    async def addresses(self, attempt: Attempt) -> list[Address]:
        found: list[Address] = []
        failures: list[tuple[Target, ConnectError]] = []
        for target in await self.targets(attempt):
            try:
                found += await self.client(attempt, target).addresses(attempt)
            except ConnectError as error:
                failures.append((target, error))
        try:
            if not found:
                raise self._all_failed(attempt, failures)
        finally:
            del failures  # which hold this frame
        return found

    async def targets(self, attempt: Attempt) -> list[Target]:
        """Find out where the service is, in the order in which that is to be tried.

        What came beside the records is asked for no more: the resolver of the attempt knows it then.

        Raises:
            ConnectError: There is no such service, or nobody could find out.
        """
        from asyncendpoints.dns.records import Type  # slow to import, for what DNS needs
        from asyncendpoints.kinds.asking import Known, ask_records, resolver_of

        attempt.stage = "resolve"
        try:
            answered = await ask_records(attempt, self.question, Type.SRV)
        except (NXDomainError, NoDataError) as error:
            return [self._fallback(attempt, error)]
        except DNSError as error:
            raise attempt.error(f"cannot look up {error}", ResolveError, error.errno) from error
        attempt.resolver = Known(answered.additional, resolver_of(attempt))
        targets = [_target(each) for each in answered.rdatas]
        # The root stands for no host. Beside others it means nothing.
        offered = [each for each in targets if each.host != "."]
        if not offered:
            problem = "the domain says that it does not offer this service"
            raise attempt.error(problem, NotOfferedError, socket.EAI_NONAME)
        return order_srv(shuffle(offered, attempt.draw), attempt.draw)

    def _fallback(self, attempt: Attempt, error: DNSError) -> Target:
        """Give the domain itself, at the port that is registered for the service.

        Source: RFC 2782, page 5, "Usage rules".
        """
        service, protocol, domain = self.parts
        port = self.default_port
        with suppress(OSError):
            port = socket.getservbyname(service, protocol)
        if port is None:
            problem = f"{error}, and there is no port to try at {domain} (default_port gives one)"
            raise attempt.error(problem, ResolveError, error.errno) from error
        return Target(to_ascii(domain).removesuffix("."), port, is_listed=False)

    def client(self, attempt: Attempt, target: Target) -> ClientSpec:
        """Give the client that reaches a target.

        Raises:
            ConnectError: There is none: what came from the network is no host, or does not fit.
        """
        try:
            _check_host(target.host)
            if self.endpoint is not None:
                return self.endpoint.fill(target.host, target.port)
        except DescriptionError as error:
            raise attempt.error(error.problem) from error
        except ValueError:
            raise attempt.error("that is no host name", ResolveError, socket.EAI_NONAME) from None
        if not self.tls:
            return TCPClient(target.host, target.port)
        hostname = self.parts[2] if self.verify_name == "domain" else None
        return TLSClient(target.host, target.port, hostname=hostname)

    async def _first(
        self,
        attempt: Attempt,
        begin: Callable[[ClientSpec], Awaitable[T]],
        calls: _Calls[P] | None = None,
    ) -> T:
        """Connect to the first target that can be connected to."""
        targets = await self.targets(attempt)
        failures: list[tuple[Target, ConnectError]] = []
        for index, target in enumerate(targets):
            if attempt.emit:
                attempt.emit(_chosen(target))
            attempt.targets = _so_far(failures, target, len(targets) - index - 1)
            try:
                spec = self.client(attempt, target)
                return await _within_share(attempt, len(targets) - index, begin, spec)
            except ConnectError as error:
                if calls is not None and calls.is_made:
                    raise
                failures.append((target, error))
        try:
            raise self._all_failed(attempt, failures)
        finally:
            del failures  # which hold this frame

    def _all_failed(
        self, attempt: Attempt, failures: Sequence[tuple[Target, ConnectError]]
    ) -> ConnectError:
        """Make the error of several targets, one or more, none of which could be connected to."""
        errors = [error for _, error in failures]
        problem = "; ".join(_shown(failures))
        cause: BaseException = errors[0]
        if len(failures) > 1:
            problem = f"all {len(failures):,} targets of {self.question} failed: {problem}"
            cause = ExceptionGroup("targets of a service", errors)
        stages = {each.stage for each in errors}
        attempt.stage = stages.pop() if len(stages) == 1 else "connect"
        classes = {type(each) for each in errors}
        numbers = {each.errno for each in errors}
        made = attempt.error(
            problem,
            classes.pop() if len(classes) == 1 else ConnectError,
            numbers.pop() if len(numbers) == 1 else None,
        )
        made.__cause__ = cause
        return made


def _shown(failures: Sequence[tuple[Target, ConnectError]]) -> list[str]:
    """Say what became of targets, of the first of many."""
    shown = [f"{target}: {error.problem}" for target, error in failures[:_MOST_SHOWN]]
    if len(failures) > _MOST_SHOWN:
        shown.append(f"and {len(failures) - _MOST_SHOWN:,} more")
    return shown


def _so_far(
    failures: Sequence[tuple[Target, ConnectError]], target: Target, left: int
) -> list[str]:
    """Say what became of targets while one is being tried, and so many are left."""
    rest = [f"{left:,} more not tried"] if left else []
    return [*_shown(failures), f"{target}: no answer", *rest]


def _target(service: Service) -> Target:
    return Target(service.target, service.port, service.priority, service.weight)


def _chosen(target: Target) -> events.TargetChosen:
    now = asyncio.get_running_loop().time()
    if not target.is_listed:
        return events.TargetChosen(now, target.host, target.port, None, None)
    return events.TargetChosen(now, *target[:4])


class _Calls(Generic[P]):
    """A factory of which it is known whether it was called."""

    def __init__(self, factory: Callable[[], P]) -> None:
        self._factory = factory
        self.is_made = False

    def make(self) -> P:
        self.is_made = True
        return self._factory()


def _check_host(host: str) -> None:
    """Raise ValueError for what has no place in a description, whatever a record says."""
    if ":" in host:
        raise ValueError
    HostText().check(host)


async def _within_share(
    attempt: Attempt, left: int, begin: Callable[[ClientSpec], Awaitable[T]], spec: ClientSpec
) -> T:
    """Connect to one of several targets, in its share of the time that is left for all of them.

    Args:
        attempt: Has the deadline.
        left: How many targets there are, from this one on; the last has all the time that is left.
        begin: Connects.
        spec: The client that reaches the target.

    Raises:
        ConnectError: It cannot be connected to.
    """
    if attempt.deadline is None or left == 1:
        return await begin(spec)
    now = asyncio.get_running_loop().time()
    seconds = max((attempt.deadline - now) / left, _LEAST_SECONDS)
    try:
        async with asyncio.timeout(seconds) as limit:
            return await begin(spec)
    except TimeoutError as error:
        if not limit.expired() or isinstance(error, ConnectError):
            raise
        problem = f"timed out after {seconds:.3g} s ({attempt.stage})"
        raise attempt.error(problem, ConnectTimeoutError, errno.ETIMEDOUT) from error
