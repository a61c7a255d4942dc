"""The question that resolvers answer.

Pure: who makes a query says what time it is.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final, Literal

from asyncendpoints.addresses import Address
from asyncendpoints.dns.names import encode_name, format_label, format_name, is_wire_name, labels_of
from asyncendpoints.dns.records import IN, format_type, parse_type
from asyncendpoints.errors import DomainNameError

if TYPE_CHECKING:
    import dns.name

__all__ = ["AD", "CD", "DO", "RD", "Query", "Transport"]

#: How a query came: ``"local"`` is from this process.
Transport = Literal["udp", "tcp", "tls", "unix", "local"]

#: The flags of a query. The first three are where the header has them, the last where EDNS has it.
RD: Final = 0x0100
AD: Final = 0x0020
CD: Final = 0x0010
DO: Final = 0x8000


class Query:
    """One question, and what is known of who asks it. Not to be changed once it is made.

    `make` is the way to make one; the constructor takes what the server has in its hands.

    Args:
        key: The name in wire form, in lower case.
        qtype: The number of the type.
        flags: Of `RD`, `AD`, `CD` and `DO` those that are set.
        now: Loop time, in seconds; 0 where nobody has looked.
        deadline: Loop time by which the outcome is wanted; infinity if it may take what it takes.
        recursion: Whether RD is set and this client may have recursion.
        client: The socket address of the client, or None for one in this process.
        local: The socket address that was asked, or None.
        transport: How it came.
        depth: How many links of a chain of CNAMEs lead here.
        family: The address family of ``client`` and ``local``.
    """

    __slots__ = (
        "_family",
        "_local",
        "deadline",
        "depth",
        "flags",
        "key",
        "now",
        "qtype",
        "recursion",
        "sockaddr",
        "transport",
    )

    #: The class: there are no resolvers for others.
    qclass: Final = IN

    def __init__(
        self,
        key: bytes,
        qtype: int,
        flags: int = RD,
        now: float = 0.0,
        deadline: float = inf,
        recursion: bool = True,
        client: Any = None,
        local: Any = None,
        transport: Transport = "local",
        depth: int = 0,
        family: int = 0,
    ) -> None:
        self.key: Final = key
        self.qtype: Final = qtype
        self.flags: Final = flags
        self.now: Final = now
        self.deadline: Final = deadline
        self.recursion: Final = recursion
        #: The socket address of the client, or None.
        self.sockaddr: Final = client
        self._local: Final = local
        self.transport: Final[Transport] = transport
        self.depth: Final = depth
        self._family: Final = family

    @classmethod
    def make(
        cls,
        name: str | dns.name.Name,
        qtype: str | int,
        *,
        rd: bool = True,
        ad: bool = False,
        cd: bool = False,
        do: bool = False,
        recursion: bool | None = None,
        client: Address | None = None,
        local: Address | None = None,
        transport: Transport = "local",
        now: float = 0.0,
        deadline: float = inf,
    ) -> Query:
        """Make a query.

        >>> Query.make("www.example.org", "AAAA")
        <Query www.example.org AAAA>

        Args:
            name: With or without its final dot, which makes no difference.
            qtype: Such as ``"A"``, ``"TYPE731"`` or a number.
            rd: Recursion is desired.
            ad: The client understands the AD bit.
            cd: Checking is disabled.
            do: DNSSEC records are wanted too.
            recursion: Whether the client may have recursion, which takes ``rd`` too; as a rule it may.
            client: Who asks.
            local: The address that was asked.
            transport: How it came.
            now: Loop time, in seconds; 0 where nobody has looked.
            deadline: Loop time by which the outcome is wanted.

        Raises:
            DomainNameError: ``name`` is no domain name.
            RecordError: ``qtype`` is no record type.
            TypeError: One of them is neither text nor what else it may be.
        """
        text = name.to_text() if hasattr(name, "to_text") else name
        wire = encode_name(text)  # which refuses what is neither
        flags = (RD if rd else 0) | (AD if ad else 0) | (CD if cd else 0) | (DO if do else 0)
        return cls(
            wire.lower(),
            parse_type(qtype),
            flags,
            now,
            deadline,
            rd and recursion is not False,
            client and client.sockaddr,
            local and local.sockaddr,
            transport,
            family=0 if client is None else client.family,
        )

    @property
    def qname(self) -> dns.name.Name:
        """The name that is asked for, in lower case."""
        from dns.name import Name  # slow to import, and few resolvers ask for it

        return Name([*labels_of(self.key), b""])

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the name in lower case, without the root; odd bytes are escaped."""
        return tuple(map(format_label, labels_of(self.key)))

    @property
    def name(self) -> str:
        """The name as text, in lower case, without a final dot; the root is ``"."``."""
        return format_name(self.key)

    @property
    def type(self) -> str:
        """The type as text, such as ``"A"`` or ``"TYPE731"``."""
        return format_type(self.qtype)

    @property
    def rd(self) -> bool:
        """Recursion is desired."""
        return bool(self.flags & RD)

    @property
    def ad(self) -> bool:
        """The client understands the AD bit."""
        return bool(self.flags & AD)

    @property
    def cd(self) -> bool:
        """Checking is disabled."""
        return bool(self.flags & CD)

    @property
    def do(self) -> bool:
        """DNSSEC records are wanted too."""
        return bool(self.flags & DO)

    @property
    def client(self) -> Address | None:
        """Who asks, or None for this process."""
        return None if self.sockaddr is None else Address(self._family, self.sockaddr)

    @property
    def client_host(self) -> str | None:
        """The IP address of who asks, as text, or None for this process and for a unix socket."""
        return self.sockaddr[0] if isinstance(self.sockaddr, tuple) else None

    @property
    def client_port(self) -> int | None:
        """The port of who asks, or None for this process and for a unix socket."""
        return self.sockaddr[1] if isinstance(self.sockaddr, tuple) else None

    @property
    def local(self) -> Address | None:
        """The address that was asked, or None if that is not known."""
        return None if self._local is None else Address(self._family, self._local)

    def with_name(self, name: str | bytes, *, depth: int | None = None) -> Query:
        """Make the same query for another name.

        Args:
            name: Text, or a name in wire form.
            depth: How many links of a chain of CNAMEs lead there; as a rule as many as here.

        Raises:
            DomainNameError: It is no domain name.
        """
        if not isinstance(name, bytes):
            name = encode_name(name)
        elif not is_wire_name(name):
            raise DomainNameError(repr(name), "is no name in wire form")
        return self._with(name.lower(), self.qtype, self.depth if depth is None else depth)

    def with_type(self, qtype: str | int) -> Query:
        """Make the same query for another type.

        Raises:
            RecordError: There is no such type.
        """
        return self._with(self.key, parse_type(qtype), self.depth)

    def with_deadline(self, deadline: float) -> Query:
        """Make the same query whose outcome is wanted by another loop time."""
        return self._with(self.key, self.qtype, self.depth, deadline)

    def _with(self, key: bytes, qtype: int, depth: int, deadline: float | None = None) -> Query:
        return Query(
            key,
            qtype,
            self.flags,
            self.now,
            self.deadline if deadline is None else deadline,
            self.recursion,
            self.sockaddr,
            self._local,
            self.transport,
            depth,
            self._family,
        )

    def __repr__(self) -> str:
        return f"<Query {self.name} {self.type}>"
