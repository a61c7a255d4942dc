"""What can be found out about an endpoint without using it.

The law: nothing is connected, but for the harmless probe of a unix path, and nothing listens: a port is bound
and given back. Files are read, names looked up.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from asyncendpoints.attempt import Attempt
from asyncendpoints.cli.terminal import count
from asyncendpoints.cli.trial import try_port
from asyncendpoints.connecting import within
from asyncendpoints.contexts import client_context
from asyncendpoints.errors import AddressInUseError, ConnectError, KeyFileError, ListenError
from asyncendpoints.grammar import grammar
from asyncendpoints.kinds.adopted import (
    FDClient,
    FDServer,
    SystemdServer,
    passed_descriptors,
    select,
)
from asyncendpoints.kinds.dns import DNSClient
from asyncendpoints.kinds.proxied import ProxyClient
from asyncendpoints.kinds.srv import SRVClient
from asyncendpoints.kinds.tcp import TCPClient
from asyncendpoints.kinds.tls import TLSAcceptor, TLSClient, TLSServer
from asyncendpoints.kinds.udp import UDPClient
from asyncendpoints.kinds.unix import UNIXClient, UNIXServer, kind_of_file
from asyncendpoints.ports import PortServer
from asyncendpoints.specs import ServerSpec, Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asyncendpoints.certificates import CertificateFacts
    from asyncendpoints.dns.resolver import Resolver

__all__ = ["Finding", "Findings", "find_out"]

OK, WARNING, PROBLEM = "ok", "warning", "problem"

#: A certificate that is valid for less than this is worth a word.
_SOON = timedelta(days=21)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found."""

    #: ``"ok"``, ``"warning"``, or ``"problem"`` for what would make it fail.
    level: str
    text: str


@dataclass(slots=True)
class Findings:
    """All that was found about one spec."""

    found: list[Finding] = field(default_factory=list)
    #: What would be connected to or listened on, in the order in which it would be tried.
    addresses: list[str] = field(default_factory=list)
    certificates: list[CertificateFacts] = field(default_factory=list)

    def add(self, level: str, text: str) -> None:
        self.found.append(Finding(level, text))

    @property
    def would_fail(self) -> bool:
        """Tell whether anything found would make the endpoint fail."""
        return any(each.level == PROBLEM for each in self.found)


async def find_out(
    spec: Spec,
    now: datetime | None = None,
    *,
    try_port: Callable[[PortServer, str], None] = try_port,
    resolver: Resolver | None = None,
) -> Findings:
    """Look at everything that an endpoint needs.

    Args:
        spec: The endpoint; what is nested in it is looked at too.
        now: The time that certificates are held against, with its zone; as a rule the present.
        try_port: Raises `ListenError` if a server cannot have its port of ``"tcp"`` or ``"udp"``.
        resolver: Knows where services are; as a rule that of this machine.
    """
    findings = Findings()
    now = now or datetime.now(UTC)
    if isinstance(spec, PortServer):
        _look_at_port(findings, spec, try_port)
    if isinstance(spec, TLSServer):
        _look_at_server_keys(findings, spec, now)
    if isinstance(spec, TCPClient | UDPClient | DNSClient) or (
        isinstance(spec, TLSClient) and spec.endpoint is None
    ):
        await _look_up(findings, spec)
    if isinstance(spec, SRVClient):
        await _look_up_service(findings, spec, resolver)
    if isinstance(spec, TLSClient):
        _look_at_client_keys(findings, spec, now)
    if isinstance(spec, UNIXServer | UNIXClient):
        _look_at_path(findings, spec)
    if isinstance(spec, SystemdServer):
        _look_at_passed(findings, spec)
    if isinstance(spec, FDServer | FDClient):
        _look_at_descriptor(findings, spec)
    for inner in _nested(spec):
        _include(findings, await find_out(inner, now, try_port=try_port, resolver=resolver))
    return findings


def _nested(spec: Spec) -> Iterator[Spec]:
    if isinstance(spec, ProxyClient):
        yield spec.way
        return
    for each in grammar(type(spec)).fields:
        value = getattr(spec, each.name)
        if isinstance(value, Spec):
            yield value


def _include(findings: Findings, inner: Findings) -> None:
    findings.found += inner.found
    findings.addresses += inner.addresses
    findings.certificates += inner.certificates


# TCP and UDP


async def _look_up(findings: Findings, spec: TCPClient | TLSClient | UDPClient | DNSClient) -> None:
    try:
        found = await Attempt(spec).addresses(spec.host, spec.port, spec.family)
    except ConnectError as error:
        findings.add(PROBLEM, error.problem)
        return
    findings.addresses += [str(each) for each in found]
    if len(found) > 1:
        how = "tried" if isinstance(spec, UDPClient | DNSClient) else "raced"
        findings.add(OK, f"{spec.host} has {len(found)} addresses, {how} in the order shown")


async def _look_up_service(findings: Findings, spec: SRVClient, resolver: Resolver | None) -> None:
    attempt = Attempt(spec, resolver=resolver)
    ask = partial(spec.targets, attempt)
    try:
        targets = await (ask() if spec.timeout is None else within(spec.timeout, attempt, ask))
    except ConnectError as error:
        findings.add(PROBLEM, error.problem)
        return
    findings.addresses += map(str, targets)
    if not targets[0].is_listed:
        findings.add(WARNING, f"{spec.question} has no records: it is {targets[0]} itself")
        return
    found = count(len(targets), "target")
    findings.add(OK, f"{spec.question} has {found}, tried by priority and by chance")


def _look_at_port(
    findings: Findings, spec: PortServer, try_port: Callable[[PortServer, str], None]
) -> None:
    hosts = ["0.0.0.0", "::"] if spec.interface is None else [spec.interface]  # noqa: S104 - shown only
    hosts = [f"[{each}]" if ":" in each else each for each in hosts]
    findings.addresses += [f"{each}:{spec.port}" for each in hosts]
    for protocol in sorted(spec.protocols):
        try:
            try_port(spec, protocol)
        except ListenError as error:
            in_use = isinstance(error, AddressInUseError)
            if in_use and protocol == "udp" and spec.reuse_port:
                shares = "reuse_port=yes shares it with a program that does the same"
                findings.add(WARNING, f"{_said(error)}; {shares}")
            else:
                findings.add(PROBLEM, _said(error))
            return
    free = f"port {spec.port} is free" if spec.port else "port 0: the system picks a free port"
    findings.add(OK, free)


def _said(error: ListenError) -> str:
    return f"{error.problem} ({error.hint})" if error.hint else error.problem


# TLS


@contextmanager
def _warnings(findings: Findings) -> Iterator[None]:
    """Turn what the library would log in the block into findings."""
    logger = logging.getLogger("asyncendpoints")
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: findings.add(WARNING, record.getMessage())  # type: ignore[method-assign]
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


def _look_at_server_keys(findings: Findings, spec: TLSServer, now: datetime) -> None:
    with _warnings(findings):
        try:
            acceptor = spec.acceptor()
        except ListenError as error:
            findings.add(PROBLEM, _said(error))
            return
    assert isinstance(acceptor, TLSAcceptor)
    if spec.selfsigned is not None:
        findings.add(OK, "the certificate is made when it is needed: its pin changes each time")
    else:
        findings.add(OK, "the certificate and the private key go together")
    for facts in acceptor.certificates:
        findings.certificates.append(facts)
        _look_at_dates(findings, facts, now)


def _look_at_client_keys(findings: Findings, spec: TLSClient, now: datetime) -> None:
    from asyncendpoints.certificates import read_facts  # takes long to import

    if not spec.verify and not spec.pin:
        findings.add(WARNING, "verify=no: whoever answers is believed to be the server")
    with _warnings(findings):
        try:
            client_context(spec.terms)
            if spec.cert_key is not None:
                facts = read_facts(spec.cert_key)[0]
                findings.certificates.append(facts)
                _look_at_dates(findings, facts, now)
        except KeyFileError as error:
            findings.add(PROBLEM, str(error))


def _look_at_dates(findings: Findings, facts: CertificateFacts, now: datetime) -> None:
    until = f"{facts.not_after:%Y-%m-%d %H:%M} UTC"
    if facts.not_after <= now:
        findings.add(PROBLEM, f"the certificate was valid until {until}")
    elif facts.not_before > now:
        findings.add(
            PROBLEM, f"the certificate is not valid before {facts.not_before:%Y-%m-%d %H:%M} UTC"
        )
    elif facts.not_after - now < _SOON:
        findings.add(WARNING, f"the certificate is valid until {until} only")


# Unix


def _look_at_path(findings: Findings, spec: UNIXServer | UNIXClient) -> None:
    findings.addresses.append(spec.path)
    listens = isinstance(spec, ServerSpec)
    is_abstract = spec.path.startswith("@")
    mode = None if is_abstract else _mode(spec.path)
    if not is_abstract and listens:
        _look_at_parent(findings, spec.path)
    if not is_abstract and mode is None:
        findings.add(OK if listens else PROBLEM, f"{spec.path} does not exist")
    elif mode is not None and not stat.S_ISSOCK(mode):
        findings.add(PROBLEM, f"{spec.path} is {kind_of_file(mode)}, not a socket")
    else:
        _look_at_socket(findings, spec.path, listens=listens)


def _mode(path: str) -> int | None:
    """Give the mode of what a path stands for, or None if there is nothing."""
    try:
        return os.stat(path).st_mode
    except OSError:
        return None


def _look_at_parent(findings: Findings, path: str) -> None:
    parent = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(parent):
        findings.add(PROBLEM, f"there is no directory {parent}")
    elif not os.access(parent, os.W_OK | os.X_OK):
        findings.add(PROBLEM, f"the directory {parent} cannot be written to")
    else:
        findings.add(OK, f"the directory {parent} can be written to")


def _look_at_socket(findings: Findings, path: str, *, listens: bool) -> None:
    """Knock at a socket, which a server notices as a connection that ends at once."""
    code = _knock(path)
    if code in (0, errno.EAGAIN):
        level, state = (PROBLEM, "a server has it") if listens else (OK, "a server answers")
    elif code == errno.ECONNREFUSED and path.startswith("@"):
        level, state = (OK, "the name is free") if listens else (PROBLEM, "nobody listens there")
    elif code == errno.ECONNREFUSED:
        level = OK if listens else PROBLEM
        state = "its server has died, and it will be replaced" if listens else "its server has died"
    else:
        level, state = PROBLEM, os.strerror(code).lower()
    findings.add(level, f"{path}: {state}")


def _knock(path: str) -> int:
    sockaddr = b"\0" + os.fsencode(path[1:]) if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            return probe.connect_ex(sockaddr)
        except OSError:  # how Python says that a path does not fit into an address
            return errno.ENAMETOOLONG


# What others passed


def _look_at_passed(findings: Findings, spec: SystemdServer) -> None:
    passed = passed_descriptors()
    try:
        chosen = select(spec, passed)
    except ListenError as error:
        findings.add(PROBLEM, _said(error))
        return
    for each in chosen:
        _describe(findings, each.fd, wanted=True)


def _look_at_descriptor(findings: Findings, spec: FDServer | FDClient) -> None:
    _describe(findings, spec.fd, wanted=isinstance(spec, ServerSpec))


def _describe(findings: Findings, fd: int, *, wanted: bool) -> None:
    """Say what a descriptor is, on a duplicate, which changes nothing about it.

    Args:
        findings: Where to say it.
        fd: The descriptor.
        wanted: Whether it is to be a socket that listens.
    """
    try:
        duplicate = os.dup(fd)
    except OSError:
        findings.add(PROBLEM, f"descriptor {fd} is not open")
        return
    try:
        sock = socket.socket(fileno=duplicate)
    except OSError:
        os.close(duplicate)
        findings.add(
            PROBLEM, f"descriptor {fd} is {kind_of_file(os.fstat(fd).st_mode)}, not a socket"
        )
        return
    with sock:
        listens = bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        what = "a listening socket" if listens else "a socket that does not listen"
        findings.add(OK if listens == wanted else PROBLEM, f"descriptor {fd} is {what}")
