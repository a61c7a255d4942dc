"""Names and addresses from a hosts file.

The file is never read for a query: at most once a second, when somebody asks, its time and size are looked
at, and it is read again if they are others. There is no timer.

Source: the manual page hosts(5).
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from ipaddress import IPv4Address, IPv6Address, ip_address
from math import inf
from socket import AF_INET, AF_INET6, inet_pton
from time import monotonic
from typing import TYPE_CHECKING, Final, Self

from asyncendpoints.dns.names import encode_name, reverse_name
from asyncendpoints.dns.outcome import PASS, Answer, NoData
from asyncendpoints.dns.records import Records, Type, check_ttl
from asyncendpoints.dns.sections import Sections, encode_body
from asyncendpoints.masking import shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from asyncendpoints.dns.outcome import Outcome
    from asyncendpoints.dns.query import Query

__all__ = ["Hosts"]

logger = logging.getLogger("asyncendpoints.dns")

#: Seconds between two looks at the file.
LOOK_INTERVAL: Final = 1.0

_HOSTS_FILE: Final = "/etc/hosts"

_NOBODY = encode_name("nobody.invalid")
_SOA_TIMES = b"".join(each.to_bytes(4, "big") for each in (1, 3600, 1200, 604_800))

#: Types with addresses in them: a name of the file has those of the file and no others.
_ADDRESS_TYPES = frozenset((Type.A, Type.AAAA, Type.HTTPS))

#: What a name has: types, each with the data of its records. Tuples of atoms, as there can be many names.
_Data = tuple[tuple[int, tuple[bytes, ...]], ...]


#: Addresses as they can be given in Python.
AnyAddress = str | IPv4Address | IPv6Address


class _Table:
    """Names and addresses while they are collected."""

    def __init__(self) -> None:
        #: The addresses of each key, as the keys of a dict so that they keep their order.
        self._addresses: dict[bytes, dict[bytes, None]] = {}
        #: The first name of each address.
        self._names: dict[bytes, bytes] = {}
        #: Which line was the first that could not be read, and why.
        self.problem: tuple[int, str] | None = None
        self.skipped = 0

    def add(self, packed: bytes, names: Sequence[bytes]) -> None:
        """Add an address and its names."""
        for name in names:
            self._addresses.setdefault(name.lower(), {})[packed] = None
        self._names.setdefault(packed, names[0])

    def read(self, text: str) -> None:
        """Add the lines of a text."""
        for number, line in enumerate(text.split("\n"), 1):
            fields = line.partition("#")[0].split()
            if not fields:
                continue
            try:
                self._add_fields(fields)
            except ValueError as error:
                self.skipped += 1
                self.problem = self.problem or (number, str(error))

    def _add_fields(self, fields: list[str]) -> None:
        address, *names = fields
        if not names:
            raise ValueError(f"{shorten(address)}: a name is missing after the address")
        packed = _pack(address)
        wires = [encode_name(each) for each in names]
        if "%" not in address:  # DNS has no zones of addresses
            self.add(packed, wires)

    def data(self) -> dict[bytes, _Data]:
        """Give what each name has."""
        made: dict[bytes, _Data] = {}
        for key, packed in self._addresses.items():
            ipv4 = tuple([each for each in packed if len(each) == 4])
            ipv6 = tuple([each for each in packed if len(each) == 16])
            made[key] = (
                *(((Type.A, ipv4),) if ipv4 else ()),
                *(((Type.AAAA, ipv6),) if ipv6 else ()),
            )
        for each, name in self._names.items():
            key = encode_name(reverse_name(ip_address(each)))
            made[key] = (*made.get(key, ()), (Type.PTR, (name,)))
        return made


def _pack(address: str) -> bytes:
    try:
        if ":" in address:
            return inet_pton(AF_INET6, address.partition("%")[0])
        return inet_pton(AF_INET, address)
    except (OSError, ValueError):
        raise ValueError(f"{shorten(address)}: is no IP address") from None


class Hosts:
    """A resolver of what stands in a hosts file: A, AAAA and PTR.

    A name that is there has the addresses that are there: with an IPv4 address only it has no AAAA records,
    and nobody else is asked for them, nor for HTTPS records, which would bring other addresses. Questions of
    other types are passed on, as are names that are not there. The name of an address is the first on the
    first line with it.

    A line that cannot be read is skipped, and the first of them is logged whenever the file is read. A file
    that is not there is an empty one; one that somebody named is then logged.

    Args:
        path: The file.
        ttl: Seconds for which clients may believe it, 0 to 2**31 - 1.
        clock: Gives seconds that only grow.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] = _HOSTS_FILE,
        *,
        ttl: int = 60,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        check_ttl(ttl)
        self._path = os.fspath(path)
        self._ttl = ttl
        self._clock = clock
        self._next_look = -inf
        #: What the file looked like when it was read last, or the number of the error.
        self._mark: tuple[int, ...] = ()
        self._version = 0
        self._data: dict[bytes, _Data] = {}
        self._outcomes: dict[tuple[bytes, int], Outcome] = {}

    @classmethod
    def from_text(cls, text: str, *, ttl: int = 60) -> Self:
        """Make a resolver of the text of such a file.

        Args:
            text: Lines of an address and names.
            ttl: Seconds for which clients may believe it.
        """
        made = cls("text", ttl=ttl)
        made._next_look = inf
        made._take(text)
        return made

    @classmethod
    def from_dict(
        cls,
        addresses: Mapping[str, AnyAddress | Sequence[AnyAddress]],
        *,
        ttl: int = 60,
    ) -> Self:
        """Make a resolver of names and their addresses.

        >>> Hosts.from_dict({"db.example.org": ["192.0.2.1", "2001:db8::1"]})
        <Hosts dict of 3 names>

        Args:
            addresses: One or several for each name, as text or as ``ipaddress`` has them.
            ttl: Seconds for which clients may believe it.

        Raises:
            DomainNameError: A name is none.
            ValueError: An address is none.
        """
        made = cls("dict", ttl=ttl)
        made._next_look = inf
        table = _Table()
        for name, given in addresses.items():
            wire = encode_name(name)
            several = [given] if isinstance(given, AnyAddress) else given
            for each in several:
                table.add(ip_address(each).packed, [wire])
        made._data = table.data()
        return made

    @property
    def version(self) -> int:
        """How often the file was found to be another one."""
        if self._clock() >= self._next_look:
            self._look()
        return self._version

    def reload(self) -> None:
        """Read the file again, now; one that cannot be read is logged and changes nothing."""
        if self._next_look != inf:
            self._mark = ()
            self._look()

    def resolve(self, query: Query, /) -> Outcome:
        """Give what the file says of a name."""
        if self._clock() >= self._next_look:
            self._look()
        data = self._data.get(query.key)
        if data is None:
            return PASS
        return self._outcomes.get((query.key, query.qtype)) or self._make(query, data)

    def _make(self, query: Query, data: _Data) -> Outcome:
        """Make the outcome of a question for a name that is there, and keep it."""
        key, qtype = query.key, query.qtype
        rdatas = dict(data).get(qtype)
        if rdatas is None and (qtype not in _ADDRESS_TYPES or data[0][0] == Type.PTR):
            return PASS
        outcome: Outcome
        if rdatas is None:
            soa = key + _NOBODY + _SOA_TIMES + self._ttl.to_bytes(4, "big")
            body = encode_body(key, Sections((), (Records(key, Type.SOA, self._ttl, (soa,)),)))
            outcome = NoData.of_body(key, body, aa=True, until=inf)
        else:
            body = encode_body(key, Sections((Records(key, qtype, self._ttl, rdatas),)))
            outcome = Answer.of_body(key, body, aa=True, until=inf)
        self._outcomes[key, qtype] = outcome
        return outcome

    def _look(self) -> None:
        """Look whether the file is another one than before, and read it if it is.

        What cannot be read changes nothing, but for a file that is gone.
        """
        self._next_look = self._clock() + LOOK_INTERVAL
        try:
            found = os.stat(self._path)
        except OSError as error:
            self._note((error.errno or 0,), error)
            return
        self._note(
            (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev)
        )

    def _note(self, mark: tuple[int, ...], error: OSError | None = None) -> None:
        """Hear what the file looks like, or what became of the look."""
        if mark == self._mark:
            return
        self._mark = mark
        try:
            if error is not None:
                raise error
            self._take(_read(self._path))
        except FileNotFoundError as reason:
            if self._path != _HOSTS_FILE:  # a machine without one is nothing to speak of
                logger.warning("%s: %s", self._path, reason.strerror)
            self._take("")
        except OSError as reason:
            logger.warning("%s: %s", self._path, reason.strerror or reason)

    def _take(self, text: str) -> None:
        """Answer from another text."""
        table = _Table()
        table.read(text)
        if table.problem is not None:
            line, problem = table.problem
            skipped = "1 line was" if table.skipped == 1 else f"{table.skipped} lines were"
            logger.warning("%s, line %d: %s; %s skipped", self._path, line, problem, skipped)
        self._data = table.data()
        self._outcomes = {}
        self._version += 1

    def __repr__(self) -> str:
        return f"<Hosts {self._path} of {len(self._data)} names>"


def _read(path: str) -> str:
    """Read the file.

    Raises:
        OSError: It cannot be read, or is no file whose end would come.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "is no regular file")
    with open(path, "rb") as file:
        return file.read().decode("utf-8", "replace")
