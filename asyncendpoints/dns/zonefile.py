"""Zone files: text to records.

dnspython reads them. What is here cuts the text into statements, so that each error has its line, follows
``$INCLUDE``, bounds ``$GENERATE``, and reads plain lines of common types itself, which is ten times as fast.

Pure: who opens the files that are included is an argument.

Source: RFC 1035, section 5; RFC 2308, section 4, for ``$TTL``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.tokenizer
import dns.ttl
import dns.zonefile

from asyncendpoints.dns.names import encode_name
from asyncendpoints.dns.records import (
    LONGEST_TTL,
    MALFORMED,
    Type,
    encode_rdata,
    example_of,
    parse_type,
    wire_of,
)
from asyncendpoints.errors import EndpointError, RecordError, ZoneError
from asyncendpoints.masking import shorten

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from asyncendpoints.dns.zonebuild import Builder

__all__ = ["Include", "read_zone"]

#: Opens a file that is included: from the path of the including file and the name to the path and the text.
#: Raises `OSError`, or `ZoneError` for what is no text.
Include = Callable[[str, str], tuple[str, str]]

#: The most records that one ``$GENERATE`` makes: those of a network of 16 bits.
MOST_GENERATED: Final = 65_536
#: The most files that are open at once.
MOST_NESTED: Final = 10
#: The most times that files are included, in all.
MOST_INCLUDED: Final = 1_000
#: The most characters that a record may have, over all its lines, for which dnspython takes a tenth of a
#: second: there is room for the longest data in hexadecimal digits.
MOST_CHARACTERS: Final = 140_000

#: How many lines are read between two breaks: about a millisecond's.
_STEP = 16

#: What has a meaning of its own in a line.
_SPECIAL = re.compile(r'[;"()\\$]')
#: What can hide a parenthesis, and parentheses.
_PIECES = re.compile(r'"(?:[^"\\]|\\.)*"?|\\.|;.*|[()]')
#: The other classes. Source: RFC 1035, section 3.2.4.
_CLASSES = {"CS", "CH", "HS", "ANY", "NONE"}
_DIRECTIVE = re.compile(r"\$(INCLUDE|GENERATE|ORIGIN|TTL)\b", re.IGNORECASE)
_RANGE = re.compile(r"\$GENERATE\s+([0-9]{1,10})-([0-9]{1,10})(?:/([0-9]{1,10}))?\s", re.IGNORECASE)
#: How much is said of a problem, in characters.
_LONGEST_PROBLEM = 300
#: The origin of names in a file that has none: where it shows in a record, one was needed.
_NO_ORIGIN = b"\x0a\0no origin\0"
#: What can make words of a record something else than they seem.
_QUOTING = re.compile(r'["()\\]')
#: What dnspython writes before the problem.
_BEFORE_PROBLEM = re.compile(r"(?:[^:]*:\d+: )?(?:caught exception <class '[^']*'>: )?")


def read_zone(
    builder: Builder, text: str, path: str, origin: bytes | None, include: Include
) -> Generator[None, None, None]:
    """Read a zone file, in steps of about a millisecond.

    Args:
        builder: Takes the records.
        text: What is in the file.
        path: Its name, for errors and for what it includes.
        origin: What names without a final dot are in, in wire form; None if the file says it.
        include: Opens what is included, see `Include`.

    Raises:
        ZoneError: A line is wrong.
    """
    return _ZoneReader(builder, origin, include).read(text, path, 1)


class _Sink:
    """Takes records from dnspython, as one of its transactions does; it is its own manager."""

    def __init__(self, take: Callable[[bytes, int, int, bytes], None]) -> None:
        self._take = take
        self.manager = self

    def origin_information(self) -> tuple[dns.name.Name, bool, dns.name.Name]:
        """Name the root as the zone, so that no record is outside of it and left out silently."""
        return dns.name.root, False, dns.name.root

    def add(self, name: dns.name.Name, ttl: int, rdata: dns.rdata.Rdata) -> None:
        """Take a record."""
        self._take(name.to_digestable(), int(rdata.rdtype), ttl, wire_of(rdata))

    def check_put_rdataset(self, check: object) -> None:
        """Have no need of checks."""

    def add_unicode(self, version: str) -> None:
        """Have no need of how names were written."""

    def _set_origin(self, origin: dns.name.Name) -> None:
        """Have no need of the origin."""


class _ZoneReader:
    """Reads one zone file, and those that it includes."""

    def __init__(self, builder: Builder, origin: bytes | None, include: Include) -> None:
        self._builder = builder
        self._include = include
        self._has_origin = origin is not None
        #: What names without a final dot are in, and who owns a record that does not say it; in wire form.
        self._origin = self._owner = _NO_ORIGIN if origin is None else origin
        #: Whether a plain line was read, after which dnspython's reader has an older owner.
        self._is_ahead = False
        self._last_ttl: int | None = None
        #: How many times files were included: a list, as what an included file says ends with it.
        self._included: list[str] = []
        #: What ``$TTL`` says, in seconds.
        self._ttl: int | None = None
        sink: Any = _Sink(self._take)
        self._reader = dns.zonefile.Reader(self._tokenizer(""), dns.rdataclass.IN, sink)
        self._reader.current_origin = dns.name.from_wire(self._origin, 0)[0]
        self._reader.last_name = self._reader.current_origin

    def _take(self, key: bytes, rtype: int, ttl: int, rdata: bytes) -> None:
        """Take a record, from wherever."""
        if not self._has_origin and (_NO_ORIGIN in key or _NO_ORIGIN in rdata):
            problem = "a name without a final dot needs an origin, which is not given"
            raise self._builder.wrong(problem)
        self._builder.add(key, rtype, ttl, rdata)

    def read(self, text: str, path: str, depth: int) -> Generator[None, None, None]:
        """Read the text of one file."""
        pending: list[str] = []
        start = open_ones = size = 0
        for number, line in enumerate(text.split("\n"), 1):
            if not number % _STEP:
                yield
            if pending:
                pending.append(line)
                size += len(line)
            else:
                start, size = number, len(line)
                self._builder.at(path, number)
                if not line or line.isspace():
                    continue
            if size > MOST_CHARACTERS:
                problem = f"a record has more than {MOST_CHARACTERS} characters"
                raise ZoneError(path, start, problem)
            if not pending:
                if self._is_plain(line):
                    continue
                pending = [line]
            open_ones += _count_open(line)
            if open_ones > 0:
                continue
            statement, pending, open_ones = "\n".join(pending), [], 0
            yield from self._read_statement(statement, path, depth)
        if pending:
            raise ZoneError(path, start, "a parenthesis is not closed")

    def _is_plain(self, line: str) -> bool:
        """Read a line, if it is a plain one of a common type."""
        if _SPECIAL.search(line) or not line.isascii():
            return False
        fields = line.split()
        try:
            owner = self._owner if line[0] in " \t" else self._name(fields.pop(0))
            said = int(fields.pop(0)) if fields[0].isdigit() else None
            if fields[0] in {"IN", "in"}:
                del fields[0]
            rtype, encode = _PLAIN[fields[0]]
            rdata = encode(self._name, *fields[1:])
        except (EndpointError, LookupError, ValueError, TypeError, OverflowError):
            return False  # dnspython knows what it is, or what is wrong
        ttl = self._ttl if said is None else said
        if ttl is None or ttl > LONGEST_TTL:
            return False
        self._owner = owner
        self._is_ahead = True
        if said is not None:
            self._last_ttl = said
        self._take(owner.lower(), rtype, ttl, rdata)
        return True

    def _name(self, text: str) -> bytes:
        """Write a name in wire form."""
        return self._origin if text == "@" else encode_name(text, self._origin)

    def _read_statement(self, text: str, path: str, depth: int) -> Generator[None, None, None]:
        """Read a record or a directive, over however many lines it goes."""
        match = _DIRECTIVE.match(text)
        directive = match[1].upper() if match else ""
        if directive == "INCLUDE":
            yield from self._read_included(text, path, depth)
            return
        self._catch_up()
        reader = self._reader
        for part in self._generated(text) if directive == "GENERATE" else (text,):
            reader.tok = self._tokenizer(part)
            try:
                reader.read()
            except ZoneError:
                raise
            except (dns.exception.DNSException, ValueError, OverflowError) as error:
                raise self._wrong(text, error) from None
            if part is not text:
                yield
        if directive == "TTL":
            self._ttl = reader.default_ttl
        self._origin, self._owner = _wire(reader.current_origin), _wire(reader.last_name)
        if directive == "ORIGIN" and not self._has_origin and _NO_ORIGIN in self._origin:
            problem = (
                f"{text.split()[1]} has no final dot, and no origin is given that it could be in"
            )
            raise self._builder.wrong(problem)

    def _tokenizer(self, text: str) -> dns.tokenizer.Tokenizer:
        return dns.tokenizer.Tokenizer(text, "", dns.name.IDNA_2008_Practical)

    def _catch_up(self) -> None:
        """Tell dnspython's reader what the plain lines before said."""
        if not self._is_ahead:
            return
        self._is_ahead = False
        self._reader.last_name = dns.name.from_wire(self._owner, 0)[0]
        if self._last_ttl is not None:
            self._reader.last_ttl = self._last_ttl
            self._reader.last_ttl_known = True
            self._last_ttl = None

    def _read_included(self, text: str, path: str, depth: int) -> Generator[None, None, None]:
        """Read another file, after which all is as it was.

        Source: RFC 1035, section 5.1: the origin of the including file does not change.
        """
        self._catch_up()
        try:
            name, origin = self._file_and_origin(text)
        except dns.exception.DNSException as error:
            raise self._wrong(text, error) from None
        if depth == MOST_NESTED:
            problem = f"files are included over more than {MOST_NESTED} levels"
            raise self._builder.wrong(problem)
        self._included.append(name)
        if len(self._included) > MOST_INCLUDED:
            problem = f"files are included more than {MOST_INCLUDED} times"
            raise self._builder.wrong(problem)
        try:
            included, content = self._include(path, name)
        except OSError as error:
            raise self._builder.wrong(f"cannot include {name}: {error.strerror}") from error
        of_reader, own = dict(vars(self._reader)), dict(vars(self))
        if origin is not None:
            self._reader.current_origin = origin
            self._origin = _wire(origin)
        yield from self.read(content, included, depth + 1)
        vars(self._reader).update(of_reader)
        vars(self).update(own)

    def _file_and_origin(self, text: str) -> tuple[str, dns.name.Name | None]:
        """Read what an ``$INCLUDE`` says."""
        tokens = self._tokenizer(text)
        tokens.get()
        name = tokens.get_string()
        token = tokens.get()
        if token.is_eol_or_eof():
            return name, None
        origin = tokens.as_name(token, self._reader.current_origin)
        tokens.get_eol()
        return name, origin

    def _generated(self, text: str) -> Iterable[str]:
        """Cut a ``$GENERATE`` into several, which make as much in about a millisecond each.

        Raises:
            ZoneError: It makes more than it may.
        """
        match = _RANGE.match(text)
        if match is None:
            raise self._builder.wrong("a $GENERATE needs a range such as 1-100 or 0-64/8")
        first, last, step = int(match[1]), int(match[2]), int(match[3] or 1)
        count = (last - first) // max(step, 1) + 1
        if count > MOST_GENERATED:
            problem = f"a $GENERATE makes {count} records, expected at most {MOST_GENERATED}"
            raise self._builder.wrong(problem)
        if count < 1 or step < 1:  # dnspython says what is wrong
            return (text,)
        rest, size = text[match.end() :], _STEP * step
        return [
            f"$GENERATE {start}-{min(start + size - 1, last)}/{step} {rest}"
            for start in range(first, last + 1, size)
        ]

    def _wrong(self, text: str, error: Exception) -> ZoneError:
        said = _BEFORE_PROBLEM.sub("", str(error), count=1).rstrip(".")
        if said == MALFORMED:
            said = "this is nothing that can be read"
        problem = _problem_of(text, said)
        if len(problem) > _LONGEST_PROBLEM:
            problem = f"{problem[:_LONGEST_PROBLEM]}…"
        return self._builder.wrong(problem)


def _wire(name: dns.name.Name | None) -> bytes:
    wire = None if name is None else name.to_wire()
    assert wire is not None  # there is a name always, and it is absolute
    return wire


def _problem_of(text: str, said: str) -> str:
    """Say what is wrong with a statement that dnspython did not read, in its words where nothing is plain."""
    text = text.partition(";")[0]
    words = text.split()
    if not words or _QUOTING.search(text):
        return said
    if words[0].startswith("#"):
        return "a comment begins with ;"
    if words[0].upper() == "$TTL":
        return "$TTL needs a time, such as 3600 or 1h"
    if words[0].startswith("$"):
        return said
    if not text[0].isspace():
        del words[0]
    while words and (_is_ttl(words[0]) or words[0].upper() == "IN"):
        del words[0]
    if not words:
        return "a record needs a type and data"
    return _problem_of_data(words[0], " ".join(words[1:]), said)


def _problem_of_data(kind: str, data: str, said: str) -> str:
    if kind.upper() in _CLASSES:
        return f"the class is {kind}, expected IN or none"
    try:
        rtype = parse_type(kind)
    except RecordError:
        return f"{shorten(kind)} is no TTL, class or type; A, AAAA and TYPE731 are types"
    try:
        encode_rdata(rtype, data)
    except RecordError:
        problem = f"{shorten(data)} is no {kind} data" if data else f"{kind} has no data"
        example = example_of(rtype)
        return f"{problem}, expected {example}" if example else f"{problem}: {said}"
    return said  # it is not the data


def _is_ttl(word: str) -> bool:
    try:
        dns.ttl.from_text(word)
    except (dns.ttl.BadTTL, ValueError):  # int() has a limit
        return False
    return True


def _uint16(digits: str) -> bytes:
    if not digits.isdigit():
        raise ValueError(digits)
    return int(digits).to_bytes(2, "big")


def _count_open(line: str) -> int:
    """Count the parentheses that a line opens, less those that it closes."""
    if "(" not in line and ")" not in line:
        return 0
    pieces = _PIECES.findall(line)
    return pieces.count("(") - pieces.count(")")


def _a(_: Callable[[str], bytes], text: str) -> bytes:
    return encode_rdata(Type.A, text)


def _aaaa(_: Callable[[str], bytes], text: str) -> bytes:
    return encode_rdata(Type.AAAA, text)


def _host(name: Callable[[str], bytes], text: str) -> bytes:
    return name(text)


def _mx(name: Callable[[str], bytes], preference: str, host: str) -> bytes:
    return _uint16(preference) + name(host)


def _srv(name: Callable[[str], bytes], priority: str, weight: str, port: str, host: str) -> bytes:
    return _uint16(priority) + _uint16(weight) + _uint16(port) + name(host)


#: The types of plain lines: their numbers, and what reads their data.
_PLAIN: dict[str, tuple[int, Callable[..., bytes]]] = {
    "A": (Type.A, _a),
    "AAAA": (Type.AAAA, _aaaa),
    "CNAME": (Type.CNAME, _host),
    "MX": (Type.MX, _mx),
    "NS": (Type.NS, _host),
    "PTR": (Type.PTR, _host),
    "SRV": (Type.SRV, _srv),
}
