"""Messages as text."""

from __future__ import annotations

from contextlib import suppress
from struct import pack

import dns.edns
import dns.flags
import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints.cli.messages import (
    ExtendedError,
    Message,
    Record,
    decode_message,
    encode_query,
    message_of,
)
from asyncendpoints.dns.codes import EDE, Rcode
from asyncendpoints.dns.names import encode_name
from asyncendpoints.dns.outcome import DROP, TRUNCATED, Answer, Failure, NoData
from asyncendpoints.dns.query import Query
from asyncendpoints.dns.records import Records
from asyncendpoints.errors import WireError

QUERY = Query.make("a.test", "A")
WIRE = encode_query(QUERY, 0x1234)


def reply(*records: str, **sections: str) -> dns.message.Message:
    """Make a reply with answers, each as in a zone file."""
    made = dns.message.make_response(dns.message.from_wire(WIRE))
    for section, texts in {"answer": records, **{k: (v,) for k, v in sections.items()}}.items():
        for text in texts:
            owner, ttl, kind, data = text.split(" ", 3)
            getattr(made, section).append(dns.rrset.from_text(owner, int(ttl), "IN", kind, data))
    return made


def decoded(message: dns.message.Message) -> Message:
    """Read a message that is a reply."""
    found = decode_message(message.to_wire(), WIRE)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("options", "flags", "edns"),
    [
        ({}, dns.flags.RD, 0),
        ({"rd": False}, 0, 0),
        ({"ad": True, "cd": True}, dns.flags.RD | dns.flags.AD | dns.flags.CD, 0),
        ({"do": True}, dns.flags.RD, dns.flags.DO),
    ],
)
def test_a_query_is_what_dnspython_reads(options: dict[str, bool], flags: int, edns: int) -> None:
    """Name, type, identifier, flags and the size of EDNS are there."""
    message = dns.message.from_wire(encode_query(Query.make("A.test", "MX", **options), 7))  # type: ignore[arg-type]
    assert message.id == 7
    assert [each.to_text() for each in message.question] == ["a.test. IN MX"]
    assert (message.flags, message.ednsflags, message.payload) == (flags, edns, 1232)


def test_all_sections_are_read() -> None:
    """Records have their names, TTLs, types and data, and the OPT record is none of them."""
    message = reply(
        "a.test. 60 CNAME b.test.",
        "b.test. 30 A 192.0.2.1",
        authority="test. 5 NS ns.test.",
        additional="ns.test. 6 AAAA 2001:db8::1",
    )
    found = decoded(message)
    assert found.answer == (
        Record("a.test.", 60, "CNAME", "b.test."),
        Record("b.test.", 30, "A", "192.0.2.1"),
    )
    assert found.authority == (Record("test.", 5, "NS", "ns.test."),)
    assert found.additional == (Record("ns.test.", 6, "AAAA", "2001:db8::1"),)


def test_flags_have_names() -> None:
    """Each is shown as others show it."""
    message = reply()
    message.flags |= dns.flags.AA | dns.flags.TC | dns.flags.RA | dns.flags.AD | dns.flags.CD
    found = decoded(message)
    assert found.flags == ("aa", "tc", "rd", "ra", "ad", "cd")
    assert found.is_truncated


def test_a_code_above_15_is_put_together() -> None:
    """Its high bits are in the OPT record."""
    message = reply()
    message.set_rcode(dns.rcode.BADVERS)
    assert decoded(message).rcode == "BADVERS"


def test_a_reply_without_edns() -> None:
    """Nothing is missed."""
    message = reply("a.test. 60 A 192.0.2.1")
    message.use_edns(False)
    assert decoded(message).rcode == "NOERROR"


def test_extended_errors() -> None:
    """Each has its code, its name and its text; other options are passed over."""
    message = reply()
    options = [
        dns.edns.GenericOption(dns.edns.OptionType.COOKIE, b"12345678"),
        dns.edns.EDEOption(dns.edns.EDECode.PROHIBITED, "not you"),
        dns.edns.EDEOption(dns.edns.EDECode.make(65000)),
        dns.edns.GenericOption(dns.edns.OptionType.EDE, b"x"),
    ]
    message.use_edns(0, options=options)
    found = decoded(message).errors
    assert found == (ExtendedError(18, "prohibited", "not you"), ExtendedError(65000, "", ""))
    assert list(map(str, found)) == ["18 prohibited: not you", "65000"]


@pytest.mark.parametrize("text", ["\x1b[31m", "a\rb", "\u202e", "\x9b"])
def test_nothing_is_obeyed_by_a_terminal(text: str) -> None:
    """Control characters of a server are replaced."""
    message = reply()
    message.use_edns(0, options=[dns.edns.EDEOption(dns.edns.EDECode.OTHER, text)])
    assert decoded(message).errors[0].text.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "MX 10 mail.test.",
        "SOA ns.test. admin.test. 4294967295 2 3 4 5",
        "SRV 1 2 65535 a\\.b.test.",
        "RP a.test. b.test.",
        "NS .",
        'TXT "a" "b\\027"',
        'CAA 0 issue "ca.test"',
        "TYPE731 \\# 2 0102",
        "TLSA 3 1 0 00",
    ],
)
def test_data_is_as_in_a_zone_file(text: str) -> None:
    """What is read is what was written, names with their final dots."""
    kind, data = text.split(" ", 1)
    assert decoded(reply(f"a.test. 60 {text}")).answer == (Record("a.test.", 60, kind, data),)


@pytest.mark.parametrize(
    ("rtype", "data", "text"),
    [
        (55, b"\0\0\0\0", r"\# 4 00000000"),
        (16, b"\5a", r"\# 2 0561"),
        (64, b"", r"\# 0"),
        (6, encode_name("a.test") * 2 + bytes(20), "a.test. a.test. 0 0 0 0 0"),
    ],
)
def test_data_that_is_none_is_shown_as_bytes(rtype: int, data: bytes, text: str) -> None:
    """So are lists of names, whose reading could take long."""
    message = message_of(Answer((Records(encode_name("a.test"), rtype, 60, (data,)),)))
    assert message.answer[0].data == text


def test_records_of_other_classes_are_left_out() -> None:
    """There is one class."""
    message = reply()
    message.answer.append(dns.rrset.from_text("a.test.", 60, "CH", "TXT", "x"))
    assert decoded(message).answer == ()


def test_a_reply_without_the_question() -> None:
    """A server that could not read it leaves it out."""
    message = reply()
    message.set_rcode(dns.rcode.FORMERR)
    message.question = []
    assert decoded(message).rcode == "FORMERR"


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        WIRE,
        b"\x12\x35\x80\0" + WIRE[4:],
        b"\x12\x34\xa8\0" + WIRE[4:],
        b"\x12\x34\x80\0" + WIRE[4:].replace(b"\1a", b"\1b"),
        b"\x12\x34\x80\0\0\2" + WIRE[6:],
        b"\x12\x34\x80\0\0\1" + bytes(6) + WIRE[12:20] + b"\0\x1c\0\1",
    ],
)
def test_what_is_no_reply(packet: bytes) -> None:
    """Queries, other identifiers, opcodes, names, types and numbers of questions are passed over."""
    assert decode_message(packet, WIRE) is None


def test_the_case_of_a_question_makes_no_difference() -> None:
    """A server may give it back as it likes."""
    packet = b"\x12\x34\x80\0" + WIRE[4:].replace(b"\1a", b"\1A")
    assert decode_message(packet, WIRE) is not None


@pytest.mark.parametrize("cut", [1, 5, 11])
def test_a_reply_that_is_cut_off(cut: int) -> None:
    """Its error is the one of the wire."""
    with pytest.raises(WireError):
        decode_message((b"\x12\x34\x80\0" + WIRE[4:])[:-cut], WIRE)


def test_an_option_that_runs_past_the_end() -> None:
    """It is malformed."""
    packet = b"\x12\x34\x80\0" + WIRE[4:-2] + pack("!HHHB", 5, 15, 4, 0)
    with pytest.raises(WireError, match="an option of its OPT record runs past byte"):
        decode_message(packet, WIRE)


@given(st.binary(max_size=200))
def test_any_bytes(tail: bytes) -> None:
    """They raise nothing but `WireError`."""
    with suppress(WireError):
        decode_message(b"\x12\x34\x80\0" + tail, WIRE)


@given(st.integers(0, 65_535), st.binary(max_size=60))
def test_any_data(rtype: int, data: bytes) -> None:
    """Whatever a record holds can be printed, or is an error of the wire."""
    counts = b"\0\0\0\1\0\0\0\0"
    record = b"\0" + pack("!HHIH", rtype, 1, 5, len(data)) + data
    with suppress(WireError):
        message = decode_message(b"\x12\x34\x80\0" + counts + record, WIRE)
        assert message is not None
        assert all(each.data.isprintable() for each in message.answer)


def test_an_outcome_is_shown_as_a_message() -> None:
    """With its code, its marks, its extended error and its records."""
    records = Records(encode_name("a.test"), 1, 60, (bytes(4), b"\1\2\3\4"))
    outcome = Answer((records,), aa=True, ad=True, ede=EDE(4, "forged"))
    assert message_of(outcome) == Message(
        "NOERROR",
        ("aa", "ad"),
        (ExtendedError(4, "forged answer", "forged"),),
        (Record("a.test.", 60, "A", "0.0.0.0"), Record("a.test.", 60, "A", "1.2.3.4")),
    )


def test_outcomes_without_records() -> None:
    """Truncation is a flag, a failure its code."""
    assert message_of(TRUNCATED).is_truncated
    assert message_of(DROP).rcode == "NOERROR"
    assert message_of(Failure(Rcode.REFUSED)).rcode == "REFUSED"


@pytest.mark.parametrize(
    ("rtype", "has_data"), [("A", True), ("CNAME", True), ("ANY", True), ("MX", False)]
)
def test_data_of_a_type(rtype: str, has_data: bool) -> None:
    """A chain of aliases is data only where it is what was asked for."""
    found = decoded(reply("a.test. 60 CNAME b.test.", "b.test. 30 A 192.0.2.1"))
    assert found.has_data(rtype) is has_data
    assert not message_of(NoData()).has_data(rtype)
