"""The steps of a connect as spans of time, made from its events.

Pure: events in, values out. Text for people has no character in it that a terminal would obey.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from asyncendpoints import events
from asyncendpoints.cli.terminal import printable
from asyncendpoints.errors import EndpointError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "ABANDONED",
    "FAILED",
    "OK",
    "UNFINISHED",
    "Step",
    "Timeline",
    "as_document",
    "milliseconds",
    "steps_of",
    "tick_interval",
]

OK, FAILED, ABANDONED, UNFINISHED = "ok", "failed", "abandoned", "unfinished"

#: How many addresses or records are named; others are counted.
_MOST_NAMED = 8


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a connect."""

    #: Such as ``"lookup"``.
    kind: str
    #: What it is about, such as a host.
    subject: str
    #: Seconds since the connect began.
    start: float
    #: The same; None if it had not ended when the connect did.
    end: float | None
    #: ``"ok"``, ``"failed"``, ``"abandoned"`` or ``"unfinished"``.
    outcome: str
    #: What came of it, in words; may be empty.
    text: str
    #: The fields of its events: texts, numbers, lists of texts, None.
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Timeline:
    """A connect from its beginning to its end."""

    #: What was connected to, without secrets.
    description: str
    steps: tuple[Step, ...]
    #: How long it took.
    seconds: float
    #: Why it failed, and at which stage; None if it did not.
    error: str | None = None
    stage: str | None = None


@dataclass(frozen=True, slots=True)
class _Kind:
    """A sort of step: the events that it is made of."""

    name: str
    #: What it is about: a format of the fields of the event that begins it.
    subject: str
    #: None for a step that takes no time.
    start: type[events.Event] | None
    #: Have the fields of that which begins it, by which they are known to belong to it.
    ends: tuple[type[events.Event], ...]


_KINDS = (
    _Kind(
        "lookup",
        "{host}",
        events.LookupStarted,
        (events.LookupFinished, events.LookupFailed),
    ),
    _Kind("query", "{name} {type}", events.QueryStarted, (events.QueryFinished,)),
    _Kind("target", "{host}:{port}", None, (events.TargetChosen,)),
    _Kind(
        "attempt",
        "{address}",
        events.AttemptStarted,
        (events.Connected, events.AttemptFailed, events.AttemptAbandoned),
    ),
    _Kind(
        "proxy",
        "{target} through {proxy}",
        events.ProxyStarted,
        (events.ProxyFinished, events.ProxyFailed),
    ),
    _Kind(
        "handshake",
        "{hostname}",
        events.HandshakeStarted,
        (events.HandshakeFinished, events.HandshakeFailed),
    ),
)

_KIND_OF = {event: kind for kind in _KINDS for event in (kind.start, *kind.ends)}


def steps_of(happened: Iterable[events.Event], begin: float) -> tuple[Step, ...]:
    """Make steps of events.

    An end without a beginning, and an event that is not known here, are steps that take no time.

    Args:
        happened: In their order.
        begin: When the connect began, by the clock of the events.

    Returns:
        In the order of their beginnings.
    """
    steps: list[Step] = []
    #: The places of the steps that have not ended, by kind and the fields of the event that began them.
    running: dict[tuple[Any, ...], deque[int]] = {}
    for event in happened:
        kind = _KIND_OF.get(type(event)) or _unknown(event)
        values = _values(event)
        key = (kind.name, *(values[each] for each in _fields(kind.start)))
        places = running.setdefault(key, deque())
        if type(event) is kind.start:
            places.append(len(steps))
            steps.append(_step(kind, event, begin, UNFINISHED))
            continue
        ended = _step(kind, event, begin, _outcome(event))
        if places:
            place = places.popleft()
            steps[place] = replace(ended, start=steps[place].start)
        else:
            steps.append(ended)
    return tuple(steps)


def _unknown(event: events.Event) -> _Kind:
    """Give the kind of an event that is not known here, so that it is not lost."""
    subject = " ".join(f"{{{each}}}" for each in _fields(type(event)))
    return _Kind(type(event).__name__, subject, None, (type(event),))


def _fields(event: type[events.Event] | None) -> list[str]:
    """Name the fields of a class of events, but for the time."""
    return [] if event is None else [each.name for each in fields(event) if each.name != "time"]


def _values(event: events.Event) -> dict[str, Any]:
    return {each: getattr(event, each) for each in _fields(type(event))}


def _step(kind: _Kind, event: events.Event, begin: float, outcome: str) -> Step:
    values = _values(event)
    moment = event.time - begin
    return Step(
        kind=kind.name,
        subject=printable(kind.subject.format_map(values)),
        start=moment,
        end=None if outcome == UNFINISHED else moment,
        outcome=outcome,
        text=printable(_in_words(event)),
        details={each: _plain(value) for each, value in values.items()},
    )


def _outcome(event: events.Event) -> str:
    if isinstance(event, events.AttemptAbandoned):
        return ABANDONED
    return OK if getattr(event, "error", None) is None else FAILED


def _in_words(event: events.Event) -> str:
    """Say what came of a step."""
    match event:
        case events.LookupFinished(addresses=addresses):
            return _listed(addresses)
        case events.QueryFinished(records=records, error=None):
            return _listed(records)
        case events.TargetChosen(priority=None):
            return "the domain itself, which has no SRV records"
        case events.TargetChosen(priority=priority, weight=weight):
            return f"priority {priority}, weight {weight}"
        case events.HandshakeFinished(version=version, cipher=cipher, alpn=alpn):
            return ", ".join(filter(None, (version, cipher, alpn)))
    error = getattr(event, "error", None)
    return "" if error is None else _reason(error)


def _listed(values: Sequence[object]) -> str:
    named = ", ".join(map(str, values[:_MOST_NAMED]))
    more = len(values) - _MOST_NAMED
    return f"{named} and {more:,} more" if more > 0 else named


def _reason(error: BaseException) -> str:
    """Give the text of an error without its number and what it is about."""
    text = getattr(error, "problem" if isinstance(error, EndpointError) else "strerror", None)
    text = str(text or error)
    return text[:1].lower() + text[1:] if text else type(error).__name__


def _plain(value: object) -> object:
    """Give the value of a field as JSON has it."""
    if isinstance(value, BaseException):
        return _reason(value)
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, str | int | float) else str(value)


def as_document(timeline: Timeline) -> dict[str, Any]:
    """Give a time line as JSON has it; times are seconds with six decimals."""
    return {
        "description": timeline.description,
        "outcome": "connected" if timeline.error is None else "failed",
        "error": timeline.error,
        "stage": timeline.stage,
        "seconds": round(timeline.seconds, 6),
        "steps": [
            {
                **asdict(each),
                "start": round(each.start, 6),
                "end": None if each.end is None else round(each.end, 6),
            }
            for each in timeline.steps
        ],
    }


def milliseconds(seconds: float) -> str:
    """Write a time in milliseconds, with three digits or more: ``0.42``, ``12.3``, ``1,250``."""
    value = seconds * 1000
    if value < 9.995:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 99.95 else f"{value:,.0f}"


def tick_interval(seconds: float, most: int) -> float:
    """Give the seconds between the marks of an axis: 1, 2 or 5 of some power of ten.

    Args:
        seconds: The length of the axis, above 0.
        most: How many intervals it has room for, 1 or more.
    """
    least = seconds / most
    power = 10.0 ** math.floor(math.log10(least))
    return next(each * power for each in (1, 2, 5, 10) if each * power >= least * (1 - 1e-9))
