"""Functions that answer for names and patterns of names.

How a name ends leads to the patterns that end so, in one look for each length of such an end: names outside
of them cost next to nothing.

Pure.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from inspect import isawaitable, signature
from ipaddress import IPv4Address, IPv6Address
from math import inf
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from dns.rrset import RRset

from asyncendpoints.dns.names import encode_name, labels_of, suffixes
from asyncendpoints.dns.outcome import (
    PASS,
    Answer,
    Negative,
    NoData,
    NXDomain,
    Outcome,
    Response,
)
from asyncendpoints.dns.patterns import Pattern, parse_pattern
from asyncendpoints.dns.records import LONGEST_TTL, RData, Records, Type, format_type, parse_type
from asyncendpoints.errors import RecordError, RouteError
from asyncendpoints.masking import shorten

if TYPE_CHECKING:
    from asyncendpoints.dns.query import Query

__all__ = ["Router"]

#: What a function gives: an outcome, the data of one record, or a list of the data of several, or a set.
Result = Outcome | RData | Sequence[RData] | RRset

_ANY: Final = Type.ANY
_CNAME: Final = Type.CNAME

#: What is no awaitable, as far as can be told at once.
_DATA = (str, IPv4Address, IPv6Address, list, tuple)

F = TypeVar("F", bound=Callable[..., Result | Awaitable[Result]])

#: How long it can be believed that a name has no records of a type, in seconds.
NEGATIVE_TTL: Final = 60

_TIMES = b"".join(each.to_bytes(4, "big") for each in (1, 3600, 1200, 604_800, NEGATIVE_TTL))
_NOBODY = encode_name("nobody.invalid")

#: Types that no resolver is asked for.
_NOT_ASKED = {Type.OPT, *range(Type.TKEY, Type.ANY)}


class _Function(NamedTuple):
    """What answers for one pattern and type."""

    call: Callable[..., Result | Awaitable[Result]]
    #: The text of the pattern.
    name: str
    #: For record data, in seconds.
    ttl: int
    #: For an empty list, and `nxdomain` for names that are not there.
    nodata: NoData
    nxdomain: NXDomain
    #: The type of record data, or None for the one that was asked for.
    rtype: int | None = None


class ResultError(TypeError):
    """What a function gave, of which no answer can be made.

    Attributes:
        place: The function.
    """

    def __init__(self, function: _Function, problem: str) -> None:
        self.place = function.call
        name = getattr(function.call, "__name__", repr(function.call))
        super().__init__(f'{name}() of "{function.name}" {problem}')


class _Route:
    """A pattern, and its functions by type."""

    def __init__(self, pattern: Pattern) -> None:
        self.pattern = pattern
        self.functions: dict[int, _Function] = {}
        #: What answers for all other types, if there is something.
        self.other: _Function | None = None
        #: What is said of types without a function.
        soa = Records(pattern.end, Type.SOA, NEGATIVE_TTL, (pattern.end + _NOBODY + _TIMES,))
        self.nodata = NoData(soa, until=inf)
        self.nxdomain = NXDomain(soa)


class _Group(NamedTuple):
    """The routes of names that end in one way, in the order in which they are tried."""

    end: list[bytes]
    routes: list[_Route]
    #: Whether each of them is one label before this end: the usual case, which has a short way.
    are_short: bool


class Router:
    """A resolver of functions.

    >>> router = Router()
    >>> @router.on("workstation{n:int}.example.com", "A")
    ... def workstation(query, n):
    ...     return f"172.0.2.{n}"

    Parameters stand in braces: ``{n:int}`` is a number of at most 18 digits, ``{name}`` a label or a part of
    one, ``{name:labels}`` one label or several; ``*`` is a label that the function does not get. Case makes
    no difference; texts are given in lower case.

    Names without parameters are tried first, then patterns in the order in which they were registered. A name
    that is matched, but by no function for its type, has no data of that type. The router passes on names
    that are not matched.

    Args:
        varies: Whether what the functions give depends on who asks, so that it is not for a `Cache`, which
            would give the next client what the first one got.
    """

    def __init__(self, *, varies: bool = False) -> None:
        #: Whether outcomes depend on who asks.
        self.varies = varies
        #: How many functions were registered.
        self.version = 0
        self._routes: dict[object, _Route] = {}
        self._names: dict[bytes, _Route] = {}
        #: What has a function: names, as far as they matter, and types.
        self._taken: set[object] = set()
        #: What patterns there are, by the end of a name; made when it is first needed.
        self._groups: dict[bytes, _Group] | None = None
        #: How long these ends are, in bytes, the longest first.
        self._sizes: list[int] = []

    def on(self, name: str, *types: str | int, ttl: int = 60) -> Callable[[F], F]:
        """Register a function, plain or ``async``, for a name or a pattern.

        It is called with the query, and with the parameters by their names. It returns an outcome, or record
        data: text, an address, dnspython rdata, or a list of these, in which an empty one says that there is
        no such record; or the ``RRset`` of a lookup, whose data and TTL count. The server remembers none of
        it, as it can depend on anything. ``NXDomain()`` and ``NoData()`` without a SOA get one that is made
        up, so that clients can remember for a minute that there is nothing.

        Args:
            name: Such as ``"www.example.com"`` or ``"{host}.{site:labels}.example.com"``.
            types: One or more, such as ``"A", "AAAA"``; ``"ANY"`` are those without a function of their own.
                A function for ``"CNAME"`` gives the name that this one is an alias of, whatever is asked for.
            ttl: Seconds for which record data can be believed, 0 to 2**31 - 1.

        Raises:
            RouteError: The pattern, the types or the function are wrong, or it is there already.
            RecordError: There is no such type.
            DomainNameError: The name is none.
            TypeError: The name or a type is no text.
        """
        if not isinstance(name, str):
            wanted = "a router needs a name, as in on('www.example.com', 'A')"
            raise TypeError(f"{wanted}, not {name!r}")
        pattern = parse_pattern(name)
        numbers = [parse_type(each) for each in types]
        if not numbers:
            raise RouteError(name, 'needs a record type, such as "A"; "ANY" stands for all')
        for each in _NOT_ASKED.intersection(numbers):
            raise RouteError(name, f"no function is ever asked for {format_type(each)}")
        if not isinstance(ttl, int) or not 0 <= ttl <= LONGEST_TTL:
            raise RouteError(name, f"ttl is {ttl!r}, expected seconds from 0 to {LONGEST_TTL}")

        def register(function: F) -> F:
            _check_signature(name, function, pattern.names)
            self._add(name, pattern, numbers, ttl, function)
            return function

        return register

    def _add(
        self,
        name: str,
        pattern: Pattern,
        types: list[int],
        ttl: int,
        call: Callable[..., Result | Awaitable[Result]],
    ) -> None:
        taken = {(pattern.shape, each) for each in types}
        if not self._taken.isdisjoint(taken):
            kinds = ", ".join(map(format_type, types))
            raise RouteError(name, f"has a function for {kinds} already")
        route = self._routes.setdefault((pattern.shape, pattern.names), _Route(pattern))
        function = _Function(call, name, ttl, route.nodata, route.nxdomain)
        route.functions.update(dict.fromkeys(types, function))
        if _CNAME in types:
            route.functions[_CNAME] = function._replace(rtype=_CNAME)
        route.other = route.functions.get(_ANY) or route.functions.get(_CNAME)
        self._taken |= taken
        if pattern.is_name:
            self._names[pattern.end] = route
        self._groups = None
        self.version += 1

    def resolve(self, query: Query, /) -> Awaitable[Outcome]:
        """Give the outcome of the first function that there is for a name and a type."""
        key = query.key
        route = self._names.get(key)
        if route is not None:
            function = _function(route, query.qtype)
            if function is not None:
                return _call(function, query, {})
        groups = self._groups
        if groups is None:
            groups = self._group()
        for size in self._sizes:
            group = groups.get(key[-size:])
            if group is not None:
                otherwise = PASS if route is None else route.nodata
                start = len(key) - size
                if group.are_short and start == 1 + key[0]:
                    return _try_short(group.routes, query, start, otherwise)
                labels = _labels_before(key, start)
                if labels is not None:
                    return _try(group.routes, query, labels + group.end, otherwise)
        return PASS if route is None else route.nodata

    def _group(self) -> dict[bytes, _Group]:
        """Sort the patterns by how the names end."""
        routes = [each for each in self._routes.values() if not each.pattern.is_name]
        self._groups = {}
        for end in {each.pattern.end for each in routes}:
            above = set(suffixes(end))
            matching = [each for each in routes if each.pattern.end in above]
            are_short = all(each.pattern.one and each.pattern.end == end for each in matching)
            self._groups[end] = _Group(list(labels_of(end)), matching, are_short)
        self._sizes = sorted({len(each) for each in self._groups}, reverse=True)
        return self._groups

    def __repr__(self) -> str:
        return f"<Router of {len(self._taken)} functions>"


def _check_signature(
    name: str, function: Callable[..., object], parameters: tuple[str, ...]
) -> None:
    try:
        signature(function).bind(None, **dict.fromkeys(parameters))
    except (TypeError, ValueError) as error:
        wanted = ", ".join(("query", *parameters))
        raise RouteError(name, f"the function cannot be called with ({wanted}): {error}") from None


def _labels_before(key: bytes, end: int) -> list[bytes] | None:
    """Give the labels of a name up to some byte, or None if that is within one of them."""
    labels = []
    position = 0
    while position < end:
        following = position + 1 + key[position]
        labels.append(key[position + 1 : following])
        position = following
    return labels if position == end else None


def _function(route: _Route, qtype: int) -> _Function | None:
    return route.functions.get(qtype) or route.other


def _try(
    routes: list[_Route], query: Query, labels: list[bytes], otherwise: Outcome
) -> Awaitable[Outcome]:
    """Give the outcome of the first route that matches and has a function."""
    for route in routes:
        parameters = route.pattern.match(labels)
        if parameters is None:
            continue
        function = _function(route, query.qtype)
        if function is not None:
            return _call(function, query, parameters)
        if otherwise is PASS:
            otherwise = route.nodata
    return otherwise


def _try_short(
    routes: list[_Route], query: Query, end: int, otherwise: Outcome
) -> Awaitable[Outcome]:
    """As `_try`, for routes of one label, and a name that has one label up to some byte."""
    for route in routes:
        pattern = route.pattern
        match = pattern.one and pattern.one(query.key, 1, end)
        if not match:
            continue
        function = route.functions.get(query.qtype) or route.other
        if function is not None:
            if pattern.only is None:
                return _call(function, query, pattern.convert(match.groups()))
            name, convert = pattern.only
            return _call(function, query, {name: convert(match[1])})
        if otherwise is PASS:
            otherwise = route.nodata
    return otherwise


def _call(function: _Function, query: Query, parameters: dict[str, object]) -> Awaitable[Outcome]:
    result = function.call(query, **parameters)
    if isinstance(result, Outcome):
        if type(result) is Answer and result.until != inf:
            return result
        return _finished(function, result)
    # A look at the type of coroutines first: isawaitable() takes as long as the rest.
    if type(result) is CoroutineType or (not isinstance(result, _DATA) and isawaitable(result)):
        return _Coming((function, query, result))
    return _made(function, query, result)


class _Coming(tuple["_Function", "Query", Awaitable[Result]]):
    """What a coroutine function is to come to. A tuple, as one is made for each question."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, Outcome]:
        function, query, coming = self
        result = yield from coming.__await__()
        if isinstance(result, Outcome):
            # What has records is there: to wait for it would take as long as to make it.
            if not isinstance(result, Response):
                result = yield from result.__await__()
            return _finished(function, result)
        return _made(function, query, result)

    def close(self) -> None:
        """Hear that nobody will wait for it."""
        coming = self[2]
        if isinstance(coming, CoroutineType):
            coming.close()


def _finished(function: _Function, outcome: Outcome) -> Outcome:
    """Add the SOA that a negative outcome needs, so that it can be remembered.

    What an outcome says about how long it holds is taken back: that is about the version of who made it.
    """
    if isinstance(outcome, Negative) and not outcome.authority and not outcome.answer:
        model = function.nxdomain if isinstance(outcome, NXDomain) else function.nodata
        until = outcome.until if outcome.until != inf else -inf
        return model.replace(aa=outcome.aa, ad=outcome.ad, ede=outcome.ede, until=until)
    if outcome.until == inf and isinstance(outcome, Response):
        return outcome.unremembered()
    return outcome


def _made(function: _Function, query: Query, result: object) -> Outcome:
    """Make an outcome of record data.

    Raises:
        ResultError: It is none.
    """
    try:
        if isinstance(result, RData):
            return Answer.of(query, result, ttl=function.ttl, type=function.rtype)
        if isinstance(result, list | tuple):
            if not result:
                return function.nodata
            return Answer.of(query, *result, ttl=function.ttl, type=function.rtype)
        if isinstance(result, RRset):
            return Answer.of(query, *result, ttl=result.ttl, type=function.rtype)
    except (RecordError, TypeError) as error:
        raise ResultError(function, f"gave {error}") from error
    problem = "expected an outcome, record data or a list of it"
    raise ResultError(function, f"gave {shorten(result)}, {problem}")
