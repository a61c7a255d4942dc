"""Events to steps: tables of what belongs together, and how values are written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from inspect import getmembers, isclass

import pytest

from asyncendpoints import events
from asyncendpoints.cli.timeline import (
    ABANDONED,
    FAILED,
    OK,
    UNFINISHED,
    Step,
    Timeline,
    as_document,
    milliseconds,
    steps_of,
    tick_interval,
)
from asyncendpoints.errors import NoDataError
from tests.cli.timelines import FOUR, REFUSED, SIX, timed_out

PROXY = ("proxy.example:1080", "example.org:443")


def brief(happened: list[events.Event]) -> list[tuple[str, str, float, float | None, str, str]]:
    """Give the steps of events, which begin at 10, without their details."""
    return [
        (each.kind, each.subject, each.start, each.end, each.outcome, each.text)
        for each in steps_of(happened, 10)
    ]


@pytest.mark.parametrize(
    ("start", "end", "step"),
    [
        (
            events.LookupStarted(11, "a.test"),
            events.LookupFinished(12, "a.test", (SIX, FOUR)),
            ("lookup", "a.test", 1, 2, OK, "[2001:db8::1]:443, 192.0.2.1:443"),
        ),
        (
            events.LookupStarted(11, "a.test"),
            events.LookupFailed(12, "a.test", OSError(-2, "Name or service not known")),
            ("lookup", "a.test", 1, 2, FAILED, "name or service not known"),
        ),
        (
            events.QueryStarted(11, "a.test", "A"),
            events.QueryFinished(12, "a.test", "A", ("192.0.2.1", "192.0.2.2"), None),
            ("query", "a.test A", 1, 2, OK, "192.0.2.1, 192.0.2.2"),
        ),
        (
            events.QueryStarted(11, "a.test", "A"),
            events.QueryFinished(
                12, "a.test", "A", (), NoDataError("a.test", "A", "there is no such record")
            ),
            ("query", "a.test A", 1, 2, FAILED, "there is no such record"),
        ),
        (
            events.AttemptStarted(11, FOUR),
            events.Connected(12, FOUR),
            ("attempt", "192.0.2.1:443", 1, 2, OK, ""),
        ),
        (
            events.AttemptStarted(11, FOUR),
            events.AttemptFailed(12, FOUR, REFUSED),
            ("attempt", "192.0.2.1:443", 1, 2, FAILED, "connection refused"),
        ),
        (
            events.AttemptStarted(11, FOUR),
            events.AttemptAbandoned(12, FOUR),
            ("attempt", "192.0.2.1:443", 1, 2, ABANDONED, ""),
        ),
        (
            events.ProxyStarted(11, *PROXY),
            events.ProxyFinished(12, *PROXY),
            ("proxy", "example.org:443 through proxy.example:1080", 1, 2, OK, ""),
        ),
        (
            events.ProxyStarted(11, *PROXY),
            events.ProxyFailed(12, *PROXY, OSError("no")),
            ("proxy", "example.org:443 through proxy.example:1080", 1, 2, FAILED, "no"),
        ),
        (
            events.HandshakeStarted(11, "a.test"),
            events.HandshakeFinished(12, "a.test", "TLSv1.3", "CIPHER", None),
            ("handshake", "a.test", 1, 2, OK, "TLSv1.3, CIPHER"),
        ),
        (
            events.HandshakeStarted(11, "a.test"),
            events.HandshakeFailed(12, "a.test", OSError()),
            ("handshake", "a.test", 1, 2, FAILED, "OSError"),
        ),
    ],
)
def test_a_beginning_and_its_end_are_one_step(
    start: events.Event, end: events.Event, step: tuple[object, ...]
) -> None:
    """The step begins with one event, ends with the other, and has the outcome and words of the second."""
    assert brief([start, end]) == [step]


@pytest.mark.parametrize(
    ("event", "step"),
    [
        (
            events.TargetChosen(11, "a.test", 993, 10, 60),
            ("target", "a.test:993", 1, 1, OK, "priority 10, weight 60"),
        ),
        (
            events.TargetChosen(11, "a.test", 993, None, None),
            ("target", "a.test:993", 1, 1, OK, "the domain itself, which has no SRV records"),
        ),
        (events.Connected(11, FOUR), ("attempt", "192.0.2.1:443", 1, 1, OK, "")),
        (
            events.HandshakeFailed(11, "a.test", OSError(5, "Broken")),
            ("handshake", "a.test", 1, 1, FAILED, "broken"),
        ),
    ],
)
def test_an_end_without_a_beginning_takes_no_time(
    event: events.Event, step: tuple[object, ...]
) -> None:
    """What has only an end, by its nature or because the rest is missing, is a moment."""
    assert brief([event]) == [step]


def test_a_beginning_without_an_end_is_unfinished() -> None:
    """Its end is not known."""
    (step,) = steps_of([events.HandshakeStarted(11, "a.test")], 10)
    assert step == Step("handshake", "a.test", 1, None, UNFINISHED, "", {"hostname": "a.test"})


def test_an_unknown_event_is_a_moment_with_its_fields() -> None:
    """A kind of event that came later is shown by its name and its values."""

    @dataclass(frozen=True, slots=True)
    class Knocked(events.Event):
        door: str
        times: int

    assert brief([Knocked(11, "front", 3)]) == [("Knocked", "front 3", 1, 1, OK, "")]


def test_every_event_there_is_has_a_kind() -> None:
    """No event of the library is shown by the name of its class."""
    classes = [each for _, each in getmembers(events, isclass) if issubclass(each, events.Event)]
    shown = {each.kind for each in steps_of([_made(each) for each in classes], 0)}
    assert shown == {"Event", "lookup", "query", "target", "attempt", "proxy", "handshake"}


def _made(event: type[events.Event]) -> events.Event:
    """Make an event with a time, and a list of nothing in every other field."""
    return event(0, *[()] * (len(event.__dataclass_fields__) - 1))


def test_steps_are_in_the_order_of_their_beginnings() -> None:
    """Two attempts that overlap have each its own end."""
    happened = [
        events.AttemptStarted(10, SIX),
        events.AttemptStarted(11, FOUR),
        events.Connected(12, FOUR),
        events.AttemptAbandoned(13, SIX),
    ]
    assert [each[1:5] for each in brief(happened)] == [
        ("[2001:db8::1]:443", 0, 3, ABANDONED),
        ("192.0.2.1:443", 1, 2, OK),
    ]


def test_the_same_thing_twice_is_two_steps() -> None:
    """Of two beginnings that are alike the first one ends first."""
    happened = [
        events.AttemptStarted(10, FOUR),
        events.AttemptFailed(11, FOUR, REFUSED),
        events.AttemptStarted(12, FOUR),
        events.AttemptStarted(13, FOUR),
        events.Connected(14, FOUR),
    ]
    assert [each[2:5] for each in brief(happened)] == [
        (0, 1, FAILED),
        (2, 4, OK),
        (3, None, UNFINISHED),
    ]


def test_questions_are_told_apart_by_their_type() -> None:
    """The answer to one question of a name does not end the other."""
    happened = [
        events.QueryStarted(10, "a.test", "AAAA"),
        events.QueryStarted(10, "a.test", "A"),
        events.QueryFinished(11, "a.test", "A", (), None),
    ]
    assert [each[1:4] for each in brief(happened)] == [("a.test AAAA", 0, None), ("a.test A", 0, 1)]


def test_a_long_list_is_counted() -> None:
    """Eight values are named, and all are in the details."""
    records = tuple(map(str, range(1, 12)))
    (step,) = steps_of([events.QueryFinished(10, "a.test", "A", records, None)], 10)
    assert step.text == "1, 2, 3, 4, 5, 6, 7, 8 and 3 more"
    assert step.details["records"] == list(records)


@pytest.mark.parametrize("character", ["\x1b", "\n", "\x9b", "\u202e", "\udc80"])
def test_what_a_terminal_would_obey_is_replaced(character: str) -> None:
    """Neither a name nor an error of somebody else moves the cursor; the details keep what was there."""
    error = OSError(1, f"a{character}b")
    (step,) = steps_of([events.LookupFailed(10, f"x{character}y", error)], 10)
    assert (step.subject, step.text) == ("x\ufffdy", "a\ufffdb")
    assert step.details == {"host": f"x{character}y", "error": f"a{character}b"}


def test_a_document_has_the_fields_that_are_documented() -> None:
    """Times are rounded to microseconds, and every value is one of JSON."""
    happened: list[events.Event] = [
        events.LookupStarted(10, "a.test"),
        events.LookupFinished(10.123456789, "a.test", (FOUR,)),
        events.AttemptFailed(11, FOUR, REFUSED),
        events.TargetChosen(11, "a.test", 1, None, None),
        events.HandshakeStarted(11, "a.test"),
    ]
    timeline = Timeline("tcp:a.test:443", steps_of(happened, 10), 1.5, "nobody there", "connect")
    document = json.loads(json.dumps(as_document(timeline)))
    assert {name: value for name, value in document.items() if name != "steps"} == {
        "description": "tcp:a.test:443",
        "outcome": "failed",
        "error": "nobody there",
        "stage": "connect",
        "seconds": 1.5,
    }
    lookup, attempt, target, handshake = document["steps"]
    assert lookup == {
        "kind": "lookup",
        "subject": "a.test",
        "start": 0,
        "end": 0.123457,
        "outcome": "ok",
        "text": "192.0.2.1:443",
        "details": {"host": "a.test", "addresses": ["192.0.2.1:443"]},
    }
    assert attempt["details"] == {"address": "192.0.2.1:443", "error": "connection refused"}
    assert target["details"] == {"host": "a.test", "port": 1, "priority": None, "weight": None}
    assert (handshake["outcome"], handshake["end"]) == ("unfinished", None)


def test_a_document_of_a_connection_has_no_error() -> None:
    """Error and stage are there, and null."""
    document = as_document(Timeline("memory:x", (), 0.1))
    assert (document["outcome"], document["error"], document["stage"]) == ("connected", None, None)
    assert as_document(timed_out())["stage"] == "tls"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.00"),
        (0.00042, "0.42"),
        (0.009994, "9.99"),
        (0.009995, "10.0"),
        (0.0123, "12.3"),
        (0.09994, "99.9"),
        (0.09995, "100"),
        (1.25, "1,250"),
    ],
)
def test_milliseconds_have_three_digits(seconds: float, text: str) -> None:
    """Short times have decimals, long ones have none."""
    assert milliseconds(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "most", "interval"),
    [
        (1, 10, 0.1),
        (1, 9, 0.2),
        (1, 4, 0.5),
        (1, 1, 1),
        (0.36, 4, 0.1),
        (0.41, 4, 0.2),
        (30, 5, 10),
        (0.0009, 3, 0.0005),
        (6, 1, 10),
        (0.1 + 0.2, 3, 0.1),
    ],
)
def test_the_marks_of_an_axis_are_round(seconds: float, most: int, interval: float) -> None:
    """They are the closest that fit, of 1, 2 and 5 times a power of ten."""
    assert tick_interval(seconds, most) == pytest.approx(interval, rel=1e-12)
