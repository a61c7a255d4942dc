"""What a resolver says: the outcomes.

They are immutable, so that one of them can be held by a cache, given to a thousand waiters and rendered for
each. None of them is a message: identifier, flags, question and OPT are the server's.

Pure: nothing here waits, looks at a clock or knows a socket.
"""

from __future__ import annotations

from math import inf
from struct import Struct
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from asyncendpoints.dns.codes import EDE, Rcode, check_ede
from asyncendpoints.dns.records import (
    IN,
    LONGEST_TTL,
    RData,
    Records,
    Type,
    check_ttl,
    encode_rdata,
    from_rrset,
    parse_type,
    to_rrsets,
)
from asyncendpoints.dns.sections import Body, Sections, decode_body, splice
from asyncendpoints.errors import WireError
from asyncendpoints.masking import shorten

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    import dns.rrset

    from asyncendpoints.dns.query import Query

__all__ = [
    "DROP",
    "PASS",
    "TRUNCATED",
    "Answer",
    "Failure",
    "NXDomain",
    "NoData",
    "Outcome",
    "Referral",
]


#: A record whose owner is the name in the question: pointer, type, class, TTL and data length.
_RECORD = Struct("!HHHIH").pack
_POINTER_TO_QUESTION = 0xC00C
_CNAME: Final = Type.CNAME
#: The highest response code, and the highest code of an extended error.
MOST_RCODE: Final = 4095
#: The counts of an answer of one record.
_ONE_RECORD = b"\0\1\0\0\0\0"


class Outcome:
    """The base of all outcomes.

    Each can be awaited and gives itself, so that a resolver can be a plain function or a coroutine function.
    """

    __slots__ = ("aa", "ad", "ede", "rcode", "until")

    def __init__(
        self,
        rcode: int = Rcode.NOERROR,
        *,
        aa: bool = False,
        ad: bool = False,
        ede: EDE | None = None,
        until: float = -inf,
    ) -> None:
        #: The response code that the client gets.
        self.rcode = rcode
        #: Whether it comes from who has the authority over the name.
        self.aa = aa
        #: Whether its signatures were checked.
        self.ad = ad
        #: More about it, or None.
        self.ede = ede
        #: Loop time until which the same question has the same outcome, to the second: infinity while the
        #: resolver's ``version`` stays, minus infinity if nobody knows.
        self.until = until

    def __await__(self) -> Generator[Any, None, Outcome]:
        yield from ()
        return self


class Signal(Outcome):
    """An outcome without records, of which there is one each."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def __repr__(self) -> str:
        return self._name


#: Not mine: ask the next resolver.
PASS: Final = Signal("PASS")
#: Send nothing; over a stream, close it.
DROP: Final = Signal("DROP")
#: Send a reply with TC and no records, so that the client comes back over TCP.
TRUNCATED: Final = Signal("TRUNCATED")


class Response(Outcome):
    """The base of outcomes that have records.

    Args:
        answer: Records of the answer section; a chain of CNAMEs comes in its order.
        authority: Records of the authority section.
        additional: Records of the additional section.
    """

    __slots__ = ("_sections", "body", "key", "target")

    #: The code that this kind of outcome has as a rule.
    code: ClassVar[int] = Rcode.NOERROR

    def __init__(
        self,
        answer: Iterable[Records] = (),
        authority: Iterable[Records] = (),
        additional: Iterable[Records] = (),
        *,
        aa: bool = False,
        ad: bool = False,
        ede: EDE | None = None,
        until: float = -inf,
        rcode: int | None = None,
    ) -> None:
        if ede is not None:
            check_ede(ede)
        super().__init__(self.code if rcode is None else rcode, aa=aa, ad=ad, ede=ede, until=until)
        self._sections: Sections | None = Sections(
            tuple(answer), tuple(authority), tuple(additional)
        )
        #: The records in wire form, for a question for `key`, if this was made of them.
        self.body: Body | None = None
        #: The name that `body` is for, in wire form and lower case; empty without one.
        self.key: bytes = b""
        #: Where a chain of CNAMEs ends that has to be followed, in wire form, or None.
        self.target: bytes | None = None

    @classmethod
    def of_body(
        cls,
        key: bytes,
        body: Body,
        *,
        aa: bool = False,
        ad: bool = False,
        ede: EDE | None = None,
        until: float = -inf,
        rcode: int | None = None,
        target: bytes | None = None,
    ) -> Self:
        """Make an outcome of records in wire form.

        Args:
            key: The name that was asked for, in wire form and lower case.
            body: The records, as they follow a question for that name.
            aa: Whether it comes from who has the authority over the name.
            ad: Whether its signatures were checked.
            ede: More about it, or None.
            until: Loop time until which the same question has the same outcome; see `Outcome`.
            rcode: The response code, where it is not that of this kind.
            target: Where a chain of CNAMEs ends that has to be followed, in wire form.
        """
        outcome = cls.__new__(cls)
        # Not by Outcome.__init__: this is made for each query of a resolver that computes.
        outcome.rcode = cls.code if rcode is None else rcode
        outcome.aa = aa
        outcome.ad = ad
        outcome.ede = ede
        outcome.until = until
        outcome._sections = None  # noqa: SLF001 - one of its own
        outcome.body = body
        outcome.key = key
        outcome.target = target
        return outcome

    @property
    def sections(self) -> Sections:
        """The records, made of the body where it came with one."""
        if self._sections is None:
            assert self.body is not None  # there is one or the other
            self._sections = decode_body(self.key, self.body)
        return self._sections

    @property
    def answer(self) -> tuple[Records, ...]:
        """The records of the answer section."""
        return self.sections.answer

    @property
    def authority(self) -> tuple[Records, ...]:
        """The records of the authority section."""
        return self.sections.authority

    @property
    def additional(self) -> tuple[Records, ...]:
        """The records of the additional section."""
        return self.sections.additional

    @property
    def rrsets(self) -> tuple[dns.rrset.RRset, ...]:
        """The records of the answer section, as dnspython has them."""
        return to_rrsets(self.answer)

    def replace(
        self,
        *,
        aa: bool | None = None,
        ad: bool | None = None,
        ede: EDE | None = None,
        until: float | None = None,
    ) -> Self:
        """Make the same outcome with other marks; None leaves one as it is."""
        made = type(self).__new__(type(self))
        Outcome.__init__(
            made,
            self.rcode,
            aa=self.aa if aa is None else aa,
            ad=self.ad if ad is None else ad,
            ede=ede or self.ede,
            until=self.until if until is None else until,
        )
        made._sections = self._sections  # noqa: SLF001 - one of its own
        made.body, made.key, made.target = self.body, self.key, self.target
        return made

    def unremembered(self) -> Self:
        """Make the same outcome, good for this question only."""
        return self if self.until == -inf else self.replace(until=-inf)

    def after(self, chain: Response) -> Self:
        """Make the outcome of a question whose answer begins with the CNAMEs of another outcome.

        The authority is that over the first name; code and negative records are those of the last.

        Source: RFC 6604, section 3.
        """
        made = type(self).__new__(type(self))
        ede, until = self.ede or chain.ede, min(self.until, chain.until)
        Outcome.__init__(
            made, self.rcode, aa=chain.aa, ad=self.ad and chain.ad, ede=ede, until=until
        )
        made.target = self.target
        made._sections, made.body, made.key = None, self._spliced(chain), chain.key  # noqa: SLF001 - one of its own
        if made.body is None:
            own = self.sections
            made._sections = Sections(chain.answer + own.answer, own.authority, own.additional)  # noqa: SLF001 - one of its own
            made.key = b""
        return made

    def _spliced(self, chain: Response) -> Body | None:
        """Join the records in wire form, if they are, and if that is right."""
        if self.body is None or chain.body is None:
            return None
        try:
            return splice(chain.key, chain.body, self.key, self.body)
        except WireError:
            return None  # whoever reads the records will say what is wrong with them

    def __repr__(self) -> str:
        answer, authority, additional = map(len, self.sections)
        code = f" rcode={self.rcode}" if self.rcode != self.code else ""
        shown = f"{answer}+{authority}+{additional} sets of records"
        return f"<{type(self).__name__}{code} {shown}>"


class Answer(Response):
    """Data: records of the type that was asked for, or a chain of CNAMEs that leads away from it."""

    __slots__ = ()

    def __init__(self, answer: Iterable[Records] = (), *args: Any, **marks: Any) -> None:
        super().__init__(answer, *args, **marks)
        assert self._sections is not None  # they were given
        if self._sections.answer and self._sections.answer[-1].rtype == Type.CNAME:
            self.target = self._sections.answer[-1].rdatas[0]

    @classmethod
    def of(
        cls,
        query: Query,
        *values: RData,
        ttl: int = 60,
        type: str | int | None = None,  # noqa: A002 - the field's term
        aa: bool = True,
        ede: EDE | None = None,
    ) -> Answer:
        """Make an answer of record data.

        >>> from asyncendpoints.dns import Query
        >>> print(Answer.of(Query.make("a.test", "A"), "192.0.2.1").rrsets[0])
        a.test. 60 IN A 192.0.2.1

        Args:
            query: What is answered; the records have its name.
            values: The data of each record: text as in a zone file, addresses, or dnspython rdata. Text of a
                TXT record needs no quotes.
            ttl: Seconds, 0 to 2**31 - 1.
            type: The type of the records; as a rule the one that was asked for.
            aa: Whether whoever answers has the authority over the name.
            ede: More about it.

        Raises:
            RecordError: A value is no data of that type.
            ValueError: There is no value, or ``ttl`` is out of range.
        """
        if not values:
            raise ValueError("an answer needs a record; NoData() says that there is none")
        if not isinstance(ttl, int) or not 0 <= ttl <= LONGEST_TTL:
            check_ttl(ttl)
        rtype = query.qtype if type is None else parse_type(type)
        if len(values) == 1:
            data = encode_rdata(rtype, values[0])
            tail = _RECORD(_POINTER_TO_QUESTION, rtype, IN, ttl, len(data)) + data
            counts = _ONE_RECORD
        else:
            pieces: list[bytes] = []
            for each in values:
                data = encode_rdata(rtype, each)
                pieces += (_RECORD(_POINTER_TO_QUESTION, rtype, IN, ttl, len(data)), data)
            tail = b"".join(pieces)
            counts = len(values).to_bytes(2, "big") + bytes(4)
        # Past the constructor of the tuple, which is a function in Python.
        body = tuple.__new__(Body, (counts, tail, b"", 0))
        outcome = cls.of_body(query.key, body, aa=aa, ede=ede)
        if rtype == _CNAME:
            outcome.target = data
        return outcome

    @classmethod
    def cname(cls, query: Query, target: str, *, ttl: int = 60, aa: bool = True) -> Answer:
        """Make an answer that says that the name is another's alias.

        Where recursion is allowed the other name is asked for as well.

        Args:
            query: What is answered.
            target: The other name.
            ttl: Seconds, 0 to 2**31 - 1.
            aa: Whether whoever answers has the authority over the name.

        Raises:
            RecordError: ``target`` is no domain name.
        """
        return cls.of(query, target, ttl=ttl, type=Type.CNAME, aa=aa)

    @classmethod
    def of_rrsets(
        cls, rrsets: Iterable[dns.rrset.RRset], *, aa: bool = True, ede: EDE | None = None
    ) -> Answer:
        """Make an answer of dnspython's sets of records."""
        return cls(map(from_rrset, rrsets), aa=aa, ede=ede)


class Negative(Response):
    """The base of outcomes that say that there is nothing.

    Args:
        soa: The SOA record of the zone, whose TTL says how long this can be believed; without it nobody keeps
            it. See RFC 2308, section 5.
        answer: The CNAMEs that lead to the name that this is about.
        aa: As for all outcomes, and so are ``ad``, ``ede`` and ``until``.
    """

    __slots__ = ()

    def __init__(
        self,
        soa: Records | None = None,
        *,
        answer: Iterable[Records] = (),
        aa: bool = True,
        ad: bool = False,
        ede: EDE | None = None,
        until: float = -inf,
    ) -> None:
        if soa is not None and not isinstance(soa, Records):
            raise TypeError(f"soa is {shorten(soa)}, expected Records or None")
        authority = () if soa is None else (soa,)
        super().__init__(answer, authority, aa=aa, ad=ad, ede=ede, until=until)


class NoData(Negative):
    """The name exists, without records of this type."""

    __slots__ = ()


class NXDomain(Negative):
    """The name does not exist, nor any below it."""

    __slots__ = ()
    code = Rcode.NXDOMAIN


class Referral(Response):
    """Others know: the name servers of a zone below.

    Args:
        ns: Their names.
        glue: The addresses of those whose names are in that zone.
        until: As for all outcomes.
    """

    __slots__ = ()

    def __init__(self, ns: Records, glue: Iterable[Records] = (), *, until: float = -inf) -> None:
        super().__init__((), (ns,), glue, until=until)


class Failure(Response):
    """Could not find out.

    Args:
        rcode: The code that the client gets.
        ede: Why.
        until: As for all outcomes.

    Raises:
        TypeError: ``rcode`` is no number, or ``ede`` no `EDE` of a number and a text.
        ValueError: A number is out of range.
    """

    __slots__ = ()
    code = Rcode.SERVFAIL

    def __init__(
        self, rcode: int = Rcode.SERVFAIL, ede: EDE | None = None, *, until: float = -inf
    ) -> None:
        if not isinstance(rcode, int):
            raise TypeError(f"rcode is {shorten(rcode)}, expected a number such as Rcode.REFUSED")
        if not 0 <= rcode <= MOST_RCODE:
            raise ValueError(f"rcode is {rcode}, expected 0 to {MOST_RCODE}")
        super().__init__(rcode=rcode, ede=ede, until=until)
