"""What HTTPS records say: where else a host can be reached, and with which protocols.

Pure: records that dnspython has read in, values out. Chance comes in as ``draw``.

Source: RFC 9460.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import dns.name
from dns.rdtypes.svcbbase import ParamKey

from asyncendpoints.fields import HostText
from asyncendpoints.srv import shuffle

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from dns.rdtypes.svcbbase import SVCBBase

__all__ = ["MOST_BINDINGS", "MOST_BYTES", "Binding", "alias_of", "question", "usable"]

#: How many records of a name are used.
MOST_BINDINGS = 8
#: How much record data dnspython is given to read. Keys that it does not know can make this take it 25 ms.
MOST_BYTES = 4096

#: What is understood. A record that demands anything else is not for us.
_KEYS = {
    ParamKey.ALPN,
    ParamKey.NO_DEFAULT_ALPN,
    ParamKey.PORT,
    ParamKey.IPV4HINT,
    ParamKey.IPV6HINT,
}

#: What a server speaks of which nothing else is said. Source: RFC 9460, section 9.5.
_DEFAULT_PROTOCOL = "http/1.1"

#: The port for which a host is asked for by its name alone. Source: RFC 9460, section 9.1.
_DEFAULT_PORT = 443


@dataclass(frozen=True, slots=True)
class Binding:
    """One alternative: a host and a port."""

    #: A name in A-labels, without a final dot.
    host: str
    #: 0 to 65535.
    port: int
    #: Addresses to try until those of the host are known, IPv6 first.
    hints: tuple[str, ...] = ()


def question(host: str, port: int) -> str:
    """Give the name whose HTTPS records are those of a host and a port.

    >>> question("example.org", 8443)
    '_8443._https.example.org'

    Source: RFC 9460, section 9.1.
    """
    return host if port == _DEFAULT_PORT else f"_{port}._https.{host}"


def alias_of(rdatas: Sequence[SVCBBase], draw: Callable[[int], int]) -> str | None:
    """Give the name whose records are to be taken in place of these, or None if these are meant.

    Args:
        rdatas: The records of a name.
        draw: Gives a number from 0 to another one, both included: the choice among several.

    Returns:
        A name without its final dot; ``"."`` says that there is no service.

    Source: RFC 9460, section 2.4.2.
    """
    aliases = [each for each in rdatas if each.priority == 0]
    if not aliases:
        return None
    return _text(aliases[draw(len(aliases) - 1)].target)


def usable(
    rdatas: Iterable[SVCBBase],
    owner: str,
    port: int,
    protocols: Collection[str],
    draw: Callable[[int], int],
) -> list[Binding]:
    """Give the alternatives that records have, in the order in which they are to be tried.

    Args:
        rdatas: Records that are no aliases.
        owner: Their name, which stands in for a target ``.``.
        port: Where a record has none.
        protocols: Those that are offered by ALPN; none if ALPN is not used.
        draw: Orders records of the same priority.

    Returns:
        At most `MOST_BINDINGS`. Records are left out that demand what is not understood, that share no
        protocol with us, or whose target is no host.

    Source: RFC 9460, sections 2.4.3, 7 and 8.
    """
    fitting = [each for each in rdatas if _fits(each, protocols)]
    ordered = sorted(shuffle(fitting, draw), key=lambda each: each.priority)
    bindings = [_binding(each, owner, port) for each in ordered]
    return [each for each in bindings if _is_host(each.host)][:MOST_BINDINGS]


def _fits(rdata: SVCBBase, protocols: Collection[str]) -> bool:
    params = rdata.params
    mandatory = params.get(ParamKey.MANDATORY)
    if mandatory is not None and not _KEYS.issuperset(mandatory.keys):
        return False
    alpn = params.get(ParamKey.ALPN)
    spoken = set() if alpn is None else {each.decode("latin-1") for each in alpn.ids}
    if ParamKey.NO_DEFAULT_ALPN not in params:
        spoken.add(_DEFAULT_PROTOCOL)
    # Without ALPN the server speaks what it speaks as a rule.
    return not spoken.isdisjoint(protocols or (_DEFAULT_PROTOCOL,))


def _binding(rdata: SVCBBase, owner: str, port: int) -> Binding:
    params = rdata.params
    given = params.get(ParamKey.PORT)
    hints: list[str] = []
    for key in (ParamKey.IPV6HINT, ParamKey.IPV4HINT):
        if params.get(key) is not None:
            hints += params[key].addresses
    host = owner if rdata.target == dns.name.root else _text(rdata.target)
    return Binding(host, port if given is None else given.port, tuple(hints))


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True)


def _is_host(text: str) -> bool:
    if ":" in text:
        return False  # a label can hold what looks like an address
    try:
        HostText().check(text)
    except ValueError:
        return False
    return True
