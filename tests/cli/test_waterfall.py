"""The exact text of waterfalls."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from asyncendpoints import events
from asyncendpoints.cli.timeline import Timeline, steps_of
from asyncendpoints.cli.waterfall import print_waterfall
from tests.cli.timelines import FOUR, REFUSED, SIX, going_well, timed_out


def printed(timeline: Timeline, width: int = 72, *, encoding: str = "utf-8") -> str:
    """Print a waterfall where there are no colours."""
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding=encoding, write_through=True) as file:
        print_waterfall(Console(file=file, width=width), timeline)
        return raw.getvalue().decode(encoding)


def test_a_connect_that_goes_well() -> None:
    """Each step is a row with its bar and its milliseconds, and what came of it is below."""
    assert (
        printed(going_well())
        == """\
tls:example.org:443

                                0                50                   ms
  lookup     example.org        ━━━━━━━━━━━━━━                      40.0
             [2001:db8::1]:443, 192.0.2.1:443
  query      example.org AAAA   ━━━━━━━━━━━━━━                      40.0
             2001:db8::1
  query      example.org A      ━━━━━━━                             20.0
             192.0.2.1
  attempt    [2001:db8::1]:443               ━━━━━━━✗               20.0
             failed: connection refused
  attempt    192.0.2.1:443                          ━━━━━━━━        20.0
  handshake  example.org                                   ━━━━━━━  20.0
             TLSv1.3, TLS_AES_256_GCM_SHA384, h2

connected in 100 ms
"""
    )


def test_a_connect_that_fails() -> None:
    """What has not ended goes to the right edge, without a time, and the error is the last line."""
    assert printed(timed_out(), 60).splitlines()[-5:] == [
        "  attempt    192.0.2.1:443      ━                       20.0",
        "  handshake  example.org        ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌>",
        "             unfinished",
        "",
        "failed after 2,000 ms: timed out after 2 s (tls)",
    ]


def test_a_narrow_terminal_without_unicode() -> None:
    """Subjects are cut and repeated below in full, long texts are wrapped, and all of it is ASCII."""
    assert (
        printed(going_well(), 46, encoding="ascii")
        == """\
tls:example.org:443

                           0                ms
  lookup     example.org   ======         40.0
             [2001:db8::1]:443, 192.0.2.1:443
  query      example.org~  ======         40.0
             example.org AAAA; 2001:db8::1
  query      example.org~  ===            20.0
             example.org A; 192.0.2.1
  attempt    [2001:db8::~       ==x       20.0
             [2001:db8::1]:443; failed:
             connection refused
  attempt    192.0.2.1:4~         ====    20.0
             192.0.2.1:443
  handshake  example.org             ===  20.0
             TLSv1.3, TLS_AES_256_GCM_SHA384,
             h2

connected in 100 ms
"""
    )


@pytest.mark.parametrize("width", [46, 60, 80, 133, 250])
@pytest.mark.parametrize("timeline", [going_well(), timed_out()])
def test_no_line_is_wider_than_the_terminal(timeline: Timeline, width: int) -> None:
    """The axis and the widest bar take the room there is, and no more."""
    lines = printed(timeline, width).splitlines()
    assert max(map(cell_len, lines)) == width == cell_len(lines[2])


def test_moments_and_what_was_given_up() -> None:
    """A step that took no time is a mark without a time; one that was abandoned has a broken bar."""
    steps = steps_of(
        [
            events.TargetChosen(0, "a.test", 443, 10, 60),
            events.AttemptStarted(0, SIX),
            events.AttemptStarted(0.25, FOUR),
            events.AttemptFailed(0.25, FOUR, REFUSED),
            events.AttemptAbandoned(0.5, SIX),
        ],
        0,
    )
    assert (
        printed(Timeline("srv:_x._tcp.a.test", steps, 0.5), 60)
        == """\
srv:_x._tcp.a.test

                              0         200       400     ms
  target   a.test:443         ◆
           priority 10, weight 60
  attempt  [2001:db8::1]:443  ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  500
           abandoned
  attempt  192.0.2.1:443                  ✗
           failed: connection refused

connected in 500 ms
"""
    )


def test_a_connect_without_steps_is_its_outcome() -> None:
    """There is no axis where there is nothing to draw."""
    assert printed(Timeline("fd:3", (), 0.001)) == "fd:3\n\nconnected in 1.00 ms\n"


def test_a_connect_in_no_time_has_an_axis() -> None:
    """The clock may not have moved."""
    steps = steps_of([events.AttemptStarted(0, FOUR), events.Connected(0, FOUR)], 0)
    lines = printed(Timeline("tcp:192.0.2.1:443", steps, 0.0), 80).splitlines()
    assert lines[2].split() == ["0", "0.0002", "0.0004", "0.0006", "0.0008", "ms"]
    assert lines[3] == "  attempt  192.0.2.1:443  ◆"


def test_marks_that_have_no_room_are_left_out() -> None:
    """A label that would touch the one before it, or leave the axis, is not there."""
    steps = steps_of([events.AttemptStarted(0, FOUR), events.Connected(0.0000071, FOUR)], 0)
    lines = printed(Timeline("tcp:192.0.2.1:443", steps, 0.0000071), 47).splitlines()
    assert lines[2].split() == ["0", "0.005", "ms"]


def test_a_clock_that_goes_astray_leaves_no_mark_beyond_the_edge() -> None:
    """What seems to end after the connect ends with it."""
    happened: list[events.Event] = [
        events.AttemptStarted(1, FOUR),
        events.Connected(3, FOUR),
        events.HandshakeStarted(3, "a.test"),
    ]
    lines = printed(Timeline("tls:a.test:443", steps_of(happened, 0), 2.0)).splitlines()
    assert max(map(cell_len, lines)) == 72
    assert lines[4].endswith(">")


def test_letters_of_two_columns_count_as_two() -> None:
    """Bars stand below each other whatever the script of a name."""
    happened: list[events.Event] = [
        events.LookupStarted(0, "例え.テスト"),
        events.LookupFinished(1, "例え.テスト", ()),
        events.AttemptStarted(0, FOUR),
        events.Connected(1, FOUR),
    ]
    rows = printed(Timeline("tcp:x:1", steps_of(happened, 0), 1.0)).splitlines()[3:5]
    assert len({cell_len(each.partition("━")[0]) for each in rows}) == 1


def test_colours_are_for_terminals() -> None:
    """A terminal gets the outcome as a colour too."""
    file = io.StringIO()
    to = Console(file=file, width=72, force_terminal=True, color_system="standard")
    print_waterfall(to, going_well())
    assert "\x1b[32m━━━━━━━━━━━━━━\x1b[0m" in file.getvalue()
    assert "\x1b[31mfailed: connection refused\x1b[0m" in file.getvalue()
    assert "\x1b" not in printed(going_well())
