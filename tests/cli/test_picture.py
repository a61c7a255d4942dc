"""Pictures of time lines, read back as XML."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from asyncendpoints import events
from asyncendpoints.cli.picture import draw
from asyncendpoints.cli.timeline import Timeline, steps_of
from tests.cli.timelines import FOUR, going_well, timed_out

SVG = "{http://www.w3.org/2000/svg}"


def drawn(timeline: Timeline) -> ET.Element:
    """Draw a time line, and read the picture."""
    return ET.fromstring(draw(timeline))


def steps_in(picture: ET.Element) -> list[ET.Element]:
    """Give the groups of the steps, in their order."""
    return picture.findall(f"{SVG}g")


def bar(step: ET.Element) -> tuple[str, float, float]:
    """Give the class of a bar, and where it begins and ends."""
    (found,) = step.findall(f"{SVG}rect")
    x, width = float(found.attrib["x"]), float(found.attrib["width"])
    return found.attrib["class"], x, round(x + width, 1)


def texts(element: ET.Element) -> list[str]:
    """Give what is written in a picture or a part of it."""
    return [each.text or "" for each in element.iter(f"{SVG}text")]


def test_each_step_is_in_the_picture() -> None:
    """What a row of the waterfall says, the picture says."""
    first, *_, last = steps_in(drawn(going_well()))
    assert texts(first) == ["lookup", "example.org", "40.0 ms", "[2001:db8::1]:443, 192.0.2.1:443"]
    assert texts(last)[-1] == "TLSv1.3, TLS_AES_256_GCM_SHA384, h2"


def test_who_points_at_a_step_is_told_all_of_it() -> None:
    """The title has the beginning and the end."""
    titles = [each.findtext(f"{SVG}title") for each in steps_in(drawn(timed_out()))]
    assert titles[3:] == [
        "attempt [2001:db8::1]:443; 40.0 ms to 60.0 ms; failed: connection refused",
        "attempt 192.0.2.1:443; 60.0 ms to 80.0 ms",
        "handshake example.org; 80.0 ms to the end; unfinished",
    ]


def test_bars_are_to_scale() -> None:
    """The first pixel of the axis is 376, its last one 872."""
    bars = [bar(each) for each in steps_in(drawn(going_well()))]
    assert bars == [
        ("ok", 376, 574.4),
        ("ok", 376, 574.4),
        ("ok", 376, 475.2),
        ("failed", 574.4, 673.6),
        ("ok", 673.6, 772.8),
        ("ok", 772.8, 872),
    ]


def test_what_has_not_ended_goes_to_the_edge() -> None:
    """It has no time of its own, and the end of the connect is its end."""
    step = steps_in(drawn(timed_out()))[-1]
    assert bar(step) == ("unfinished", 395.8, 872)
    assert texts(step) == ["handshake", "example.org", "unfinished"]


def test_a_clock_that_goes_astray_leaves_no_mark_beyond_the_edge() -> None:
    """What seems to end after the connect ends with it."""
    steps = steps_of([events.AttemptStarted(1, FOUR), events.Connected(3, FOUR)], 0)
    (step,) = steps_in(drawn(Timeline("tcp:192.0.2.1:443", steps, 2.0)))
    assert bar(step) == ("ok", 624, 872)


def test_a_moment_can_be_seen() -> None:
    """A step that took no time is two pixels wide."""
    steps = steps_of([events.Connected(0, FOUR)], 0)
    (step,) = steps_in(drawn(Timeline("tcp:192.0.2.1:443", steps, 0.0)))
    assert bar(step) == ("ok", 376, 378)
    assert texts(step) == ["attempt", "192.0.2.1:443"]


def test_the_axis_has_marks() -> None:
    """They are round, and the unit is at the end."""
    assert texts(drawn(going_well()))[:7] == ["0", "20", "40", "60", "80", "100", "ms"]


@pytest.mark.parametrize(
    ("timeline", "style", "text"),
    [
        (going_well(), "ok", "connected in 100 ms"),
        (timed_out(), "failed", "failed after 2,000 ms: timed out after 2 s (tls)"),
        (Timeline("fd:3", (), 0.001), "ok", "connected in 1.00 ms"),
    ],
)
def test_the_outcome_is_the_last_line(timeline: Timeline, style: str, text: str) -> None:
    """It has the colour of the outcome, and is in the name that a screen reader says."""
    picture = drawn(timeline)
    last = picture.findall(f"{SVG}text")[-1]
    assert (last.attrib["class"], last.text) == (style, text)
    assert picture.attrib["aria-label"] == f"{timeline.description}: {text}"


def test_names_are_no_markup() -> None:
    """What is markup in a name is shown as it is."""
    name = """<script>alert("1")</script>&'"""
    steps = steps_of([events.LookupStarted(0, name)], 0)
    picture = drawn(Timeline(name, steps, 1.0, name))
    assert picture.find(f".//{SVG}script") is None
    assert texts(picture)[-1] == f"failed after 1,000 ms: {name}"
    assert name in texts(steps_in(picture)[0])


def test_a_control_character_does_not_break_the_picture() -> None:
    """Bytes that XML has not are replaced in the steps."""
    steps = steps_of([events.LookupStarted(0, "a\x00b\ufffe\udc80")], 0)
    assert texts(steps_in(drawn(Timeline("x", steps, 1.0)))[0])[1] == "a\ufffdb\ufffd\ufffd"


def test_long_texts_stay_inside() -> None:
    """A long error has many lines, a long name is cut and told in full below, and nothing overlaps."""
    name = "a" * 250
    happened = [events.LookupStarted(0, name), events.LookupFailed(1, name, OSError("b " * 200))]
    timeline = Timeline("tcp:x:1", steps_of(happened, 0), 1.0, "c" * 500)
    picture = drawn(timeline)
    (step,) = steps_in(picture)
    assert f"{'a' * 35}…" in texts(step)
    assert name in "".join(texts(step))
    assert max(map(len, texts(picture))) <= 115
    own = [each for each in picture.iter(f"{SVG}text") if each.attrib["x"] in ("16", "96")]
    places = [(each.attrib["x"], each.attrib["y"]) for each in own]
    assert len(set(places)) == len(places)
    height = float(picture.attrib["height"])
    assert max(float(each.attrib["y"]) for each in own) < height


def test_there_are_colours_for_light_and_dark_pages() -> None:
    """Each class that is used has a fill in either, and the page behind them too."""
    style = drawn(replace(timed_out(), error=None)).findtext(f"{SVG}style") or ""
    light, _, dark = style.partition("@media(prefers-color-scheme:dark)")
    for name in ("page", "ink", "dim", "ok", "failed", "abandoned", "unfinished"):
        assert f".{name}{{fill:#" in light
        assert f".{name}{{fill:#" in dark
