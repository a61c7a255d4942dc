"""DNS: resolvers, a server made of a chain of them, and lookups through the same chain.

The names come from their modules when they are first used, so that importing this package costs little.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncendpoints.dns.cache import Cache as Cache
    from asyncendpoints.dns.chain import Chain as Chain
    from asyncendpoints.dns.chain import Failover as Failover
    from asyncendpoints.dns.chain import View as View
    from asyncendpoints.dns.codes import EDE as EDE
    from asyncendpoints.dns.codes import EDECode as EDECode
    from asyncendpoints.dns.codes import Rcode as Rcode
    from asyncendpoints.dns.forward import Forward as Forward
    from asyncendpoints.dns.guards import Allow as Allow
    from asyncendpoints.dns.guards import Drop as Drop
    from asyncendpoints.dns.guards import Guard as Guard
    from asyncendpoints.dns.guards import Refuse as Refuse
    from asyncendpoints.dns.hosts import Hosts as Hosts
    from asyncendpoints.dns.limits import DNSLimits as DNSLimits
    from asyncendpoints.dns.listening import NameServer as NameServer
    from asyncendpoints.dns.listening import listen as listen
    from asyncendpoints.dns.lookups import lookup as lookup
    from asyncendpoints.dns.lookups import lookup_addresses as lookup_addresses
    from asyncendpoints.dns.lookups import lookup_reverse as lookup_reverse
    from asyncendpoints.dns.lookups import lookup_service as lookup_service
    from asyncendpoints.dns.machine import system as system
    from asyncendpoints.dns.networks import PRIVATE as PRIVATE
    from asyncendpoints.dns.networks import Networks as Networks
    from asyncendpoints.dns.outcome import DROP as DROP
    from asyncendpoints.dns.outcome import PASS as PASS
    from asyncendpoints.dns.outcome import TRUNCATED as TRUNCATED
    from asyncendpoints.dns.outcome import Answer as Answer
    from asyncendpoints.dns.outcome import Failure as Failure
    from asyncendpoints.dns.outcome import NoData as NoData
    from asyncendpoints.dns.outcome import NXDomain as NXDomain
    from asyncendpoints.dns.outcome import Outcome as Outcome
    from asyncendpoints.dns.outcome import Referral as Referral
    from asyncendpoints.dns.query import Query as Query
    from asyncendpoints.dns.querylog import QueryLog as QueryLog
    from asyncendpoints.dns.records import Records as Records
    from asyncendpoints.dns.resolvconf import ResolvConf as ResolvConf
    from asyncendpoints.dns.resolvconf import parse_resolv_conf as parse_resolv_conf
    from asyncendpoints.dns.resolver import Pending as Pending
    from asyncendpoints.dns.resolver import Resolver as Resolver
    from asyncendpoints.dns.resolver import ask as ask
    from asyncendpoints.dns.resolver import begin as begin
    from asyncendpoints.dns.router import Router as Router
    from asyncendpoints.dns.zoneload import Zone as Zone
    from asyncendpoints.dns.zones import Zones as Zones

#: Where each public name comes from.
_MODULES = {
    name: module
    for module, names in {
        "cache": "Cache",
        "chain": "Chain Failover View",
        "codes": "EDE EDECode Rcode",
        "forward": "Forward",
        "guards": "Allow Drop Guard Refuse",
        "hosts": "Hosts",
        "limits": "DNSLimits",
        "listening": "NameServer listen",
        "lookups": "lookup lookup_addresses lookup_reverse lookup_service",
        "machine": "system",
        "networks": "PRIVATE Networks",
        "outcome": "DROP PASS TRUNCATED Answer Failure NXDomain NoData Outcome Referral",
        "query": "Query",
        "querylog": "QueryLog",
        "records": "Records",
        "resolvconf": "ResolvConf parse_resolv_conf",
        "resolver": "Pending Resolver ask begin",
        "router": "Router",
        "zoneload": "Zone",
        "zones": "Zones",
    }.items()
    for name in names.split()
}

__all__ = sorted(_MODULES)  # noqa: PLE0605 - one list of the names is enough


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
