"""A time line as an SVG picture, readable on light and on dark pages.

Pure: a value in, text out.
"""

from __future__ import annotations

from html import escape
from itertools import count, takewhile
from textwrap import wrap
from typing import TYPE_CHECKING

from asyncendpoints.cli.terminal import cut
from asyncendpoints.cli.timeline import FAILED, milliseconds, tick_interval
from asyncendpoints.cli.waterfall import summary, verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncendpoints.cli.timeline import Step, Timeline

__all__ = ["draw"]

#: All in pixels of the drawing: its width, its margin, where the bars begin and end.
_WIDTH, _MARGIN = 960, 16
_BARS, _BARS_END = 376, 872
#: From one line of text to the next, and the room for a bar with its label.
_LINE, _ROW = 17, 22
#: Between two steps.
_GAP = 4
#: Where what is said of a step begins.
_INDENT = 96
#: The most characters of a label and of a line of text, in letters 7.3 pixels wide.
_LABEL_CHARACTERS, _TEXT_CHARACTERS = 36, 115
_TICKS = 8
_SHORTEST = 1e-6

#: Light, then dark: what it is for, and its colours.
_COLOURS = {
    "page": ("#ffffff", "#0d1117"),
    "ink": ("#1f2328", "#e6edf3"),
    "dim": ("#59636e", "#9198a1"),
    "ok": ("#1a7f37", "#3fb950"),
    "failed": ("#cf222e", "#f85149"),
    "abandoned": ("#9a6700", "#d29922"),
    "unfinished": ("#9a6700", "#d29922"),
}


def draw(timeline: Timeline) -> str:
    """Draw a time line as an SVG document."""
    picture = _Picture(timeline)
    picture.add_title()
    for each in timeline.steps:
        picture.add_step(each)
    picture.add_summary()
    return picture.finished()


class _Picture:
    """A drawing that grows downwards."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._seconds = max(timeline.seconds, _SHORTEST)
        self._parts: list[str] = []
        #: Where the next thing goes.
        self._y = _MARGIN
        #: Where the lines of the axis begin.
        self._top = 0

    def add_title(self) -> None:
        self._text(_MARGIN, self._timeline.description, "ink title")
        self._y += _ROW
        self._top = self._y

    def add_step(self, step: Step) -> None:
        shown = cut(step.subject, _LABEL_CHARACTERS)
        baseline = self._y + 14
        self._parts += [
            f'<g class="step"><title>{_quoted(_full(step))}</title>',
            _text(_MARGIN, baseline, step.kind, "dim"),
            _text(_INDENT, baseline, shown, "ink"),
            self._bar(step),
        ]
        if step.end is not None and step.end != step.start:
            took = milliseconds(step.end - step.start)
            self._parts.append(_text(_WIDTH - _MARGIN, baseline, f"{took} ms", "ink end"))
        self._y += _ROW
        style = "failed" if step.outcome == FAILED else "dim"
        self._text(_INDENT, verdict(step, shown), style)
        self._parts.append("</g>")
        self._y += _GAP

    def _bar(self, step: Step) -> str:
        start = self._x(step.start)
        end = _BARS_END if step.end is None else self._x(step.end)
        width = max(end - start, 2)
        return (
            f'<rect class="{step.outcome}" x="{start:.1f}" y="{self._y + 4}" '
            f'width="{width:.1f}" height="12" rx="2"/>'
        )

    def _x(self, seconds: float) -> float:
        return _BARS + min(seconds / self._seconds, 1) * (_BARS_END - _BARS)

    def add_summary(self) -> None:
        if self._timeline.steps:
            # Behind everything that is there by now.
            self._parts = [*self._axis(self._y), *self._parts]
            self._y += 2 * _LINE
        self._text(_MARGIN, summary(self._timeline), "failed" if self._timeline.error else "ok")

    def _axis(self, bottom: int) -> Iterator[str]:
        interval = tick_interval(self._seconds, _TICKS)
        for time in takewhile(lambda each: each <= self._seconds, map(interval.__mul__, count())):
            x = self._x(time)
            yield f'<path class="line" d="M{x:.1f} {self._top}V{bottom}"/>'
            yield _text(x, bottom + 14, f"{time * 1000:,.12g}", "dim middle")
        yield _text(_WIDTH - _MARGIN, bottom + 14, "ms", "dim end")

    def _text(self, x: float, text: str, style: str) -> None:
        """Add a text in as many lines as it needs."""
        for each in wrap(text, _TEXT_CHARACTERS - (12 if x == _INDENT else 0)):
            self._parts.append(_text(x, self._y + 12, each, style))
            self._y += _LINE

    def finished(self) -> str:
        height = self._y + _MARGIN
        size = f'width="{_WIDTH}" height="{height}"'
        box = f'viewBox="0 0 {_WIDTH} {height}"'
        name = _quoted(f"{self._timeline.description}: {summary(self._timeline)}")
        head = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {box} {size} role="img" aria-label="{name}">',
            f"<style>{_style()}</style>",
            f'<rect class="page" {size}/>',
        ]
        return "\n".join([*head, *self._parts, "</svg>\n"])


def _full(step: Step) -> str:
    """Write everything about a step, for who points at it."""
    end = "the end" if step.end is None else f"{milliseconds(step.end)} ms"
    when = f"{milliseconds(step.start)} ms to {end}"
    said = verdict(step, step.subject)
    return "; ".join(filter(None, (f"{step.kind} {step.subject}", when, said)))


def _text(x: float, y: float, text: str, style: str) -> str:
    return f'<text class="{style}" x="{x:g}" y="{y:g}">{_quoted(text)}</text>'


def _quoted(text: str) -> str:
    """Write a text as XML has it; it has no characters that XML has not."""
    return escape(text, quote=True)


def _style() -> str:
    light, dark = (
        "".join(f".{name}{{fill:{colours[theme]}}}" for name, colours in _COLOURS.items())
        for theme in (0, 1)
    )
    return (
        "text{font:12px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace}"
        ".title{font-weight:bold}.end{text-anchor:end}.middle{text-anchor:middle}"
        ".line{stroke:#8888}.abandoned,.unfinished{fill-opacity:.5}"
        f"{light}@media(prefers-color-scheme:dark){{{dark}}}"
    )
