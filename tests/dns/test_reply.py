"""Tests of what an upstream's bytes mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints.dns.codes import EDE, EDECode
from asyncendpoints.dns.names import encode_name
from asyncendpoints.dns.outcome import Answer, Failure, NoData, NXDomain
from asyncendpoints.dns.records import Records, Type, encode_rdata
from asyncendpoints.dns.reply import (
    decode_reply,
    is_headless_error,
    is_reply,
    is_reply_to,
    refuses_edns,
)
from asyncendpoints.dns.sections import Sections, encode_body
from asyncendpoints.errors import WireError
from tests.dns.upstreams import A_RECORD, OPT, message

KEY = encode_name("www.example.org")
SOA = encode_name("ns.example.org") + encode_name("host.example.org") + bytes(20)
NSEC3 = 50


def records(owner: str, rtype: int, *rdatas: bytes | str, ttl: int = 60) -> Records:
    """Make records."""
    made = [encode_rdata(rtype, each) if isinstance(each, str) else each for each in rdatas]
    return Records(encode_name(owner), rtype, ttl, tuple(made))


def rrsig(owner: str, covered: int, signer: str) -> Records:
    """Make a signature."""
    data = covered.to_bytes(2, "big") + bytes(16) + encode_name(signer) + b"signature"
    return records(owner, Type.RRSIG, data)


def reply(
    *answer: Records,
    authority: tuple[Records, ...] = (),
    additional: tuple[Records, ...] = (),
    opt: bytes = OPT,
    flags: int = 0x8180,
    qtype: int = Type.A,
) -> bytes:
    """Make a reply to a question for ``www.example.org``."""
    body = encode_body(KEY, Sections(answer, authority, additional))
    first, second, third = (int.from_bytes(body.counts[i : i + 2], "big") for i in (0, 2, 4))
    counts = first, second, third + (1 if opt else 0)
    return message(KEY, qtype, counts, body.tail + opt, flags=flags)


def opt_of(data: bytes, *, high: int = 0) -> bytes:
    """Make an OPT record with options, and the high bits of a code."""
    return b"\0\0\x29\x04\xd0" + bytes((high, 0, 0, 0)) + len(data).to_bytes(2, "big") + data


ADDRESS = records("www.example.org", Type.A, "192.0.2.1")
ALIAS = records("www.example.org", Type.CNAME, "a.example.net")
TARGET = records("a.example.net", Type.A, "192.0.2.2")
APEX = records("example.org", Type.SOA, SOA)


# What a reply is


def test_reply_is_known_by_its_question() -> None:
    """A message with QR, one question, and that the one that was asked, is a reply."""
    assert is_reply(reply(ADDRESS), KEY + b"\0\1\0\1")


@pytest.mark.parametrize(
    ("packet", "what"),
    [
        (b"", "nothing"),
        (b"\0\1\x81\x80", "less than a header"),
        (message(KEY, flags=0x0100), "a query"),
        (message(KEY, flags=0xA100), "a reply to a NOTIFY"),
        (message(KEY.upper()), "another case"),
        (message("ww.example.org"), "another name"),
        (message(KEY, Type.AAAA), "another type"),
        (reply(ADDRESS)[:5] + b"\2" + reply(ADDRESS)[6:], "two questions"),
    ],
)
def test_other_messages_are_no_reply(packet: bytes, what: str) -> None:
    """What lacks one of the marks of a reply is none."""
    assert not is_reply(packet, KEY + b"\0\1\0\1"), what


def test_case_can_be_left_out_of_account() -> None:
    """A reply with the question in another case is one to it, a reply to another question is not."""
    question = KEY + b"\0\1\0\1"
    assert is_reply_to(message(KEY.upper()), question)
    assert not is_reply_to(message(KEY.upper(), flags=0x0100), question)
    assert not is_reply_to(message("ww.example.org"), question)


@pytest.mark.parametrize(
    ("packet", "verdict"),
    [
        (b"\0\1\x81\x81" + bytes(8), True),
        (b"\0\1\x81\x84" + bytes(8), True),
        (b"\0\1\x81\x82" + bytes(8), True),
        (b"\0\1\x81\x85" + bytes(8), True),
        (b"\0\1\x81\x80" + bytes(8), False),
        (b"\0\1\x81\x83" + bytes(8), False),
        (b"\0\1\x01\x81" + bytes(8), False),
        (b"\0\1\x81\x81" + bytes(7), False),
        (b"\0\1\x81\x81" + bytes(9), False),
    ],
)
def test_headless_errors(packet: bytes, verdict: bool) -> None:
    """A header alone with FORMERR, SERVFAIL, NOTIMP or REFUSED is an error without a question."""
    assert is_headless_error(packet) is verdict


@pytest.mark.parametrize(
    ("packet", "verdict"),
    [
        (reply(flags=0x8181, opt=b""), True),
        (reply(flags=0x8184, opt=b""), True),
        (reply(flags=0x8181), False),
        (reply(flags=0x8182, opt=b""), False),
        (reply(ADDRESS, opt=b""), False),
        (reply(flags=0x8181, opt=b"\0"), False),
    ],
)
def test_refusals_of_edns(packet: bytes, verdict: bool) -> None:
    """FORMERR and NOTIMP without an OPT record say that EDNS is not understood."""
    assert refuses_edns(packet, len(KEY) + 4) is verdict


# Answers


def test_plain_answer() -> None:
    """Records of the type that was asked for are the answer, and nothing else is in it."""
    outcome = decode_reply(reply(ADDRESS), KEY, Type.A)
    assert isinstance(outcome, Answer)
    assert outcome.sections == Sections((ADDRESS,))
    assert not outcome.aa
    assert outcome.target is None


@pytest.mark.parametrize(
    "opt", [b"", OPT, opt_of(b"\0\x0a\0\1x"), opt_of(b"", high=0) + A_RECORD], ids=len
)
def test_plain_answer_whatever_its_end(opt: bytes) -> None:
    """OPT and additional records do not become part of the answer."""
    packet = reply(ADDRESS, opt=opt)
    if opt.endswith(A_RECORD):
        packet = packet[:11] + b"\2" + packet[12:]
    outcome = decode_reply(packet, KEY, Type.A)
    assert outcome.sections == Sections((ADDRESS,))
    assert outcome.body is not None
    assert outcome.body.tail == A_RECORD


@pytest.mark.parametrize(
    ("rtype", "data"),
    [(Type.TXT, '"text"'), (Type.AAAA, "2001:db8::1"), (Type.MX, "10 mail.example.org")],
)
def test_answers_of_other_types(rtype: int, data: str) -> None:
    """Types with and without names in their data are read alike."""
    given_ = records("www.example.org", rtype, data)
    assert decode_reply(reply(given_, qtype=rtype), KEY, rtype).answer == (given_,)


def test_answer_keeps_its_bytes() -> None:
    """What is all wanted is passed on as it came, with its compressed names."""
    packet = reply(ALIAS, TARGET)
    body = decode_reply(packet, KEY, Type.A).body
    assert body is not None
    assert packet.endswith(body.tail + OPT)
    assert body.counts == b"\0\2\0\0\0\0"


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("answer", [(ADDRESS,), (ALIAS, TARGET)])
def test_ad_counts_if_it_is_trusted(answer: tuple[Records, ...], trusted: bool) -> None:
    """The AD bit is passed on from a trusted upstream only."""
    outcome = decode_reply(reply(*answer, flags=0x81A0), KEY, Type.A, trust_ad=trusted)
    assert outcome.ad is trusted
    assert not decode_reply(reply(*answer), KEY, Type.A, trust_ad=trusted).ad


@pytest.mark.parametrize(
    "answer",
    [
        (TARGET, ALIAS),
        (records("x.example.com", Type.A, "192.0.2.9"), ALIAS, TARGET),
        (ALIAS, TARGET, records("a.example.net", Type.TXT, "x")),
        (ALIAS, TARGET, records("www.example.org", Type.A, "192.0.2.9")),
    ],
)
def test_records_outside_of_the_chain_are_left_out(answer: tuple[Records, ...]) -> None:
    """What does not lead to the answer is dropped; the rest is in the order of the chain."""
    outcome = decode_reply(reply(*answer), KEY, Type.A)
    if any(each.owner == KEY and each.rtype == Type.A for each in answer):
        assert outcome.answer == (answer[-1],)
    else:
        assert outcome.answer == (ALIAS, TARGET)


def test_one_alias_for_each_name() -> None:
    """Of several CNAMEs of one name the first counts."""
    two = records("www.example.org", Type.CNAME, "a.example.net", "b.example.net")
    outcome = decode_reply(reply(two, TARGET), KEY, Type.A)
    assert outcome.answer == (ALIAS, TARGET)


def test_alias_without_an_end_is_followed_by_others() -> None:
    """A chain that ends in a CNAME has a target."""
    outcome = decode_reply(reply(ALIAS), KEY, Type.A)
    assert isinstance(outcome, Answer)
    assert outcome.target == encode_name("a.example.net")


def test_alias_that_was_asked_for_is_the_answer() -> None:
    """To a question for a CNAME, a CNAME has no target."""
    outcome = decode_reply(reply(ALIAS, qtype=Type.CNAME), KEY, Type.CNAME)
    assert outcome.answer == (ALIAS,)
    assert outcome.target is None


def test_alias_of_itself_is_an_answer() -> None:
    """A chain that bites its tail has nothing to follow."""
    back = records("a.example.net", Type.CNAME, "www.example.org")
    outcome = decode_reply(reply(ALIAS, back), KEY, Type.A)
    assert outcome.answer == (ALIAS, back)
    assert outcome.target is None


def test_chain_that_is_too_long_is_malformed() -> None:
    """Nobody sends more than 32 links."""
    links = [
        records("www.example.org" if not i else f"n{i}.x", Type.CNAME, f"n{i + 1}.x")
        for i in range(33)
    ]
    decode_reply(reply(*links[:32]), KEY, Type.A)
    with pytest.raises(WireError):
        decode_reply(reply(*links), KEY, Type.A)


def test_renamed_tree_comes_before_its_alias() -> None:
    """A DNAME above a name of the chain stays, one elsewhere does not."""
    above = records("example.org", Type.DNAME, "example.net")
    other = records("example.com", Type.DNAME, "example.net")
    outcome = decode_reply(reply(above, ALIAS, TARGET, other), KEY, Type.A)
    assert outcome.answer == (above, ALIAS, TARGET)


def test_signatures_stay_with_what_they_sign() -> None:
    """An RRSIG over records of the answer stays, one over others does not."""
    signed = rrsig("www.example.org", Type.A, "example.org")
    other = rrsig("www.example.org", Type.MX, "example.org")
    outcome = decode_reply(reply(ADDRESS, signed, other), KEY, Type.A)
    assert outcome.answer == (ADDRESS, signed)


def test_proof_of_a_wildcard_stays() -> None:
    """What a zone of the chain has signed to prove the answer stays in the authority section."""
    proof = records("a.example.org", Type.NSEC, encode_name("z.example.org") + b"\0\1\x40")
    signed = rrsig("a.example.org", Type.NSEC, "example.org")
    outcome = decode_reply(reply(ADDRESS, authority=(proof, signed)), KEY, Type.A)
    assert outcome.authority == (proof, signed)


@pytest.mark.parametrize(
    "authority",
    [
        (records("example.org", Type.NS, "ns.example.org"),),
        (APEX,),
        (records("x.example.com", NSEC3, b"x"), rrsig("x.example.com", NSEC3, "example.com")),
        (records("x.example.org", NSEC3, b"x"),),
        (rrsig("example.org", Type.NS, "example.org"),),
        (
            records("example.org", NSEC3, b"x"),
            records("example.org", Type.RRSIG, bytes(18) + b"\5x"),
        ),
    ],
)
def test_authority_beside_an_answer_is_left_out(authority: tuple[Records, ...]) -> None:
    """Name servers, SOA, unsigned proofs and those of other zones are dropped."""
    assert decode_reply(reply(ADDRESS, authority=authority), KEY, Type.A).authority == ()


def test_ttl_out_of_range_is_zero() -> None:
    """A TTL above 2**31 - 1 counts as 0, in the bytes too."""
    packet = message(KEY, Type.A, (1, 0, 0), A_RECORD.replace(b"\0\0\0\x3c", b"\xff\0\0\x3c"))
    outcome = decode_reply(packet, KEY, Type.A)
    assert outcome.answer[0].ttl == 0
    assert outcome.body is not None
    assert b"\xff" not in outcome.body.tail


def test_other_classes_are_left_out() -> None:
    """Records of another class than IN are none of the answer."""
    packet = message(KEY, Type.A, (2, 0, 0), A_RECORD.replace(b"\0\1\0\1", b"\0\1\0\3") + A_RECORD)
    outcome = decode_reply(packet, KEY, Type.A)
    assert outcome.answer == (ADDRESS,)
    assert outcome.body is not None
    assert outcome.body.counts == b"\0\1\0\0\0\0"


# Nothing there


@pytest.mark.parametrize(("flags", "kind"), [(0x8180, NoData), (0x8183, NXDomain)])
def test_negative_answer_has_its_soa(flags: int, kind: type) -> None:
    """The SOA of the zone stays, its name servers do not."""
    servers = records("example.org", Type.NS, "ns.example.org")
    for authority in ((APEX,), (APEX, servers), (servers, APEX)):
        outcome = decode_reply(reply(authority=authority, flags=flags), KEY, Type.A)
        assert type(outcome) is kind
        assert outcome.authority == (APEX,)
        assert outcome.rcode == flags & 15


def test_soa_of_another_zone_is_left_out() -> None:
    """An SOA record is that of a zone that the name is in."""
    other = records("example.com", Type.SOA, SOA)
    assert decode_reply(reply(authority=(other,)), KEY, Type.A).authority == ()


def test_proof_of_nothing_stays() -> None:
    """NSEC3 records and signatures of the zone stay beside its SOA."""
    authority = (
        APEX,
        rrsig("example.org", Type.SOA, "example.org"),
        records("abc.example.org", NSEC3, b"x"),
        rrsig("abc.example.org", NSEC3, "example.org"),
    )
    packet = reply(authority=authority, flags=0x8183)
    outcome = decode_reply(packet, KEY, Type.A)
    assert outcome.authority == authority
    assert outcome.body is not None
    assert packet.endswith(outcome.body.tail + OPT)


@pytest.mark.parametrize(("flags", "kind"), [(0x8180, NoData), (0x8183, NXDomain)])
def test_nothing_at_the_end_of_a_chain(flags: int, kind: type) -> None:
    """With CNAMEs, code and SOA are those of the last name."""
    soa = records("example.net", Type.SOA, SOA)
    outcome = decode_reply(reply(ALIAS, authority=(soa,), flags=flags), KEY, Type.A)
    assert type(outcome) is kind
    assert outcome.answer == (ALIAS,)
    assert outcome.authority == (soa,)
    assert outcome.target is None


def test_empty_reply_is_nothing() -> None:
    """NOERROR without any record says that there is no data."""
    assert type(decode_reply(reply(), KEY, Type.A)) is NoData


def test_referral_is_a_failure() -> None:
    """An upstream that names others to ask does not resolve."""
    servers = records("example.org", Type.NS, "ns.example.org")
    outcome = decode_reply(reply(authority=(servers,)), KEY, Type.A)
    assert isinstance(outcome, Failure)
    assert outcome.rcode == 2


# Errors


@pytest.mark.parametrize("rcode", [2, 4, 5, 6, 9, 11])
def test_errors_are_passed_on(rcode: int) -> None:
    """The codes of upstreams reach the client as themselves."""
    outcome = decode_reply(reply(flags=0x8180 | rcode), KEY, Type.A)
    assert type(outcome) is Failure
    assert outcome.rcode == rcode
    assert outcome.ede is None


@pytest.mark.parametrize(
    ("packet", "text"),
    [
        (reply(flags=0x8181), "the upstream calls the query malformed"),
        (reply(opt=opt_of(b"", high=1)), "the upstream answered with code 16"),
        (reply(ADDRESS, opt=opt_of(b"", high=1)), "the upstream answered with code 16"),
        (reply(flags=0x8187, opt=opt_of(b"", high=1)), "the upstream answered with code 23"),
    ],
)
def test_errors_between_servers_stay_there(packet: bytes, text: str) -> None:
    """FORMERR, BADVERS and BADCOOKIE are about our query, not about the client's."""
    outcome = decode_reply(packet, KEY, Type.A)
    assert type(outcome) is Failure
    assert outcome.rcode == 2
    assert outcome.ede == EDE(EDECode.OTHER, text)


@pytest.mark.parametrize(
    ("options", "ede"),
    [
        (b"\0\x0f\0\2\0\6", EDE(6)),
        (b"\0\x0a\0\1x\0\x0f\0\4\0\x16why", None),
        (b"\0\x0f\0\5\0\x16why\0\x0f\0\2\0\6", EDE(22, "why")),
        (b"\0\x0f\0\4\0\1\xff\0", EDE(1, "\N{REPLACEMENT CHARACTER}")),
        (b"\0\x0f\0\1\0", None),
        (b"\0\x0f\0\x90\0\1" + b"x" * 142, EDE(1, "x" * 128)),
    ],
)
def test_extended_errors_are_passed_on(options: bytes, ede: EDE | None) -> None:
    """The first extended error counts, its text shortened; options that do not fit are malformed."""
    packet = reply(flags=0x8182, opt=opt_of(options))
    if options.endswith(b"why"):
        with pytest.raises(WireError):
            decode_reply(packet, KEY, Type.A)
    else:
        assert decode_reply(packet, KEY, Type.A).ede == ede


# Malformed ones

QUESTION = len(message(KEY))


@pytest.mark.parametrize(
    "packet",
    [
        message(KEY, Type.A, (1, 0, 0)),
        message(KEY, Type.A, (1, 0, 0), A_RECORD + b"x"),
        message(KEY, Type.A, (1, 0, 0), A_RECORD[:-1]),
        message(KEY, Type.A, (2, 0, 0), A_RECORD),
        message(KEY, Type.A, (1, 0, 1), A_RECORD),
        message(KEY, Type.A, (1, 0, 2), A_RECORD + OPT + OPT),
        message(KEY, Type.A, (1, 0, 1), A_RECORD + b"\1x" + OPT),
        message(KEY, Type.A, (1, 0, 0), A_RECORD[:11] + b"\3abc"),
        message(KEY, Type.TXT, (1, 0, 0), b"\xc0" + bytes([QUESTION - 4]) + A_RECORD[2:]),
        message(KEY, Type.A, (1001, 0, 0), A_RECORD.replace(b"\xc0\x0c", b"\0") * 1001),
    ],
)
def test_malformed_replies(packet: bytes) -> None:
    """Whatever is cut, goes on, or points where no name is, is malformed."""
    with pytest.raises(WireError):
        decode_reply(packet, KEY, int.from_bytes(packet[QUESTION - 4 : QUESTION - 2], "big"))


def test_size_of_replies() -> None:
    """A plain answer can have 64 KiB, one with a chain 24."""
    texts = [f'"{i:0250}"' for i in range(200)]
    many = records("www.example.org", Type.TXT, *texts)
    assert decode_reply(reply(many, qtype=Type.TXT), KEY, Type.TXT).answer == (many,)
    at_target = records("a.example.net", Type.TXT, *texts)
    with pytest.raises(WireError):
        decode_reply(reply(ALIAS, at_target, qtype=Type.TXT), KEY, Type.TXT)
    fewer = records("a.example.net", Type.TXT, *texts[:90])
    assert decode_reply(reply(ALIAS, fewer, qtype=Type.TXT), KEY, Type.TXT).answer[1] == fewer


def test_long_replies_are_not_written_anew() -> None:
    """More than 4096 bytes are taken as they are or not at all."""
    many = records("www.example.org", Type.TXT, *[f'"{i:0250}"' for i in range(20)])
    other = records("x.example.com", Type.TXT, "x")
    decode_reply(reply(many, qtype=Type.TXT), KEY, Type.TXT)
    with pytest.raises(WireError):
        decode_reply(reply(many, other, qtype=Type.TXT), KEY, Type.TXT)


@given(st.binary(max_size=300), st.sampled_from([1, 2, 5, 16, 46, 64]))
def test_bytes_after_a_question_raise_one_error(tail: bytes, qtype: int) -> None:
    """Whatever follows the question, nothing but a `WireError` is raised, and what is decoded can be read."""
    head = message(KEY, qtype)
    counts = bytes((0, tail[0] % 4, 0, tail[1] % 4, 0, tail[2] % 4)) if len(tail) > 3 else bytes(6)
    try:
        outcome = decode_reply(head[:6] + counts + head[12:] + tail[3:], KEY, qtype)
    except WireError:
        return
    assert len(outcome.sections) == 3


@given(st.binary(max_size=60), st.integers(0, 255), st.integers(0, 3))
def test_changed_replies_raise_one_error(noise: bytes, place: int, times: int) -> None:
    """A right reply with some bytes changed gives an outcome that can be read, or a `WireError`."""
    packet = bytearray(reply(ALIAS, TARGET, authority=(APEX,)))
    for i, byte in enumerate(noise * times):
        packet[
            3 + (place + i * 7) % 9
            if i % 5 == 0
            else QUESTION + (place + i * 31) % (len(packet) - QUESTION)
        ] = byte
    try:
        outcome = decode_reply(bytes(packet), KEY, Type.A)
    except WireError:
        return
    assert len(outcome.sections) == 3


def test_thousands_of_services() -> None:
    """An answer of SRV records can have 64 KiB, as every plain answer can."""
    many = records("www.example.org", Type.SRV, *(f"0 1 {port} h.example" for port in range(1800)))
    assert decode_reply(reply(many, qtype=Type.SRV), KEY, Type.SRV).answer == (many,)


SERVICE = b"\xc0\x0c\0\x21\0\1\0\0\0\x3c"


@pytest.mark.parametrize(
    ("name", "target"),
    [
        (b"\1a\0", b"\1a\0"),
        (b"\0", b"\0"),
        (b"\1a\xc0\x0c", b"\1a" + KEY),
    ],
)
def test_service(name: bytes, target: bytes) -> None:
    """The target of an SRV record is read whether it is compressed or not."""
    data = bytes(6) + name
    packet = message(KEY, Type.SRV, (1, 0, 0), SERVICE + len(data).to_bytes(2, "big") + data)
    (found,) = decode_reply(packet, KEY, Type.SRV).answer
    assert found.rdatas == (bytes(6) + target,)


@pytest.mark.parametrize(
    "name", [b"", b"\1a", b"\1a\0\0", b"\x40\0", b"\2a\0", b"\1a" * 128 + b"\0"]
)
def test_malformed_service(name: bytes) -> None:
    """An SRV record whose target is no name makes its message malformed."""
    data = bytes(6) + name
    packet = message(KEY, Type.SRV, (1, 0, 0), SERVICE + len(data).to_bytes(2, "big") + data)
    with pytest.raises(WireError):
        decode_reply(packet, KEY, Type.SRV)
