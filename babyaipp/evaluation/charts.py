"""Charts as SVG, from numbers: what a page puts around them, and their colours, is the page's affair.

Colours are classes, `p0` to `p5`, so that a page has its own for light and dark. Labels may be anything: they are
escaped. The same numbers give the same text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

COLORS = 6
"""Series that can be told apart."""

_WIDTH = 460
_LEFT, _RIGHT = 140, 48  # for labels, for numbers
_LINE, _GAP = 18, 10
_AXIS = 26
_TOP = 6
_MOST_WHISKERS = 8
_LONGEST_LABEL = 22


@dataclass(frozen=True)
class Mark:
    """A number with its interval, if it has one."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Group:
    """Bars under one heading: of each series the numbers of all runs; none where a series has nothing here."""

    heading: str
    series: tuple[tuple[Mark, ...], ...]


@dataclass(frozen=True)
class Estimate:
    """A score: its value and interval, and what each run has."""

    label: str
    mark: Mark
    runs: tuple[float, ...]


@dataclass(frozen=True)
class Curve:
    """A line through points (x, y), and the area between two more lines, if there is one."""

    label: str
    points: tuple[tuple[float, float], ...]
    band: tuple[tuple[float, float, float], ...] = ()
    """x, low, high."""


def bars(about: str, series: Sequence[str], groups: Sequence[Group], whole: float | None = 1.0) -> str:
    """Horizontal bars: as long as the mean over runs, with a point for each run, and its interval.

    Args:
        about: what is shown, for those who cannot see it.
        series: their names, the same for each group.
        groups: from top to bottom.
        whole: where the axis ends at least; None: where the numbers do.
    """
    marks = [mark for group in groups for row in group.series for mark in row]
    scale, ticks = _scale([*_extent(marks), 0.0, *([] if whole is None else [whole])])
    parts: list[str] = []
    y = float(_TOP)
    for group in groups:
        parts.append(_text(0, y + 13, group.heading, "h"))
        y += _LINE + 2
        for place, (name, row) in enumerate(zip(series, group.series, strict=True)):
            if row:
                parts += _bar(name, place, row, y, scale)
                y += _LINE
        y += _GAP
    return _svg(about, y + _AXIS, [*_axis(scale, ticks, y), *parts])


def _bar(name: str, which: int, row: tuple[Mark, ...], y: float, scale: Callable[[float], float]) -> list[str]:
    value = math.fsum(mark.value for mark in row) / len(row)
    start, end = sorted((scale(0.0), scale(value)))
    told = f"{name}: {value:.3f}" + "".join(f"; {_told(mark)}" for mark in row if mark.low is not None)
    parts = [
        f'<g><title>{escape(told)}</title><rect class="p{which % COLORS} bar" x="{start:.1f}" y="{y + 3:.1f}" '
        f'width="{end - start:.1f}" height="{_LINE - 5}"/>'
    ]
    for place, mark in enumerate(row):
        at = y + 3 + (place + 1) * (_LINE - 5) / (len(row) + 1)
        if mark.low is not None and mark.high is not None and len(row) <= _MOST_WHISKERS:
            parts.append(f'<path class="w" d="M{scale(mark.low):.1f} {at:.1f}H{scale(mark.high):.1f}"/>')
        if len(row) > 1 or mark.low is not None:
            parts.append(f'<circle class="d" cx="{scale(mark.value):.1f}" cy="{at:.1f}" r="1.8"/>')
    parts.append("</g>")
    return [_text(12, y + 13, name), *parts, _text(_WIDTH, y + 13, number(value), "n")]


def estimates(about: str, rows: Sequence[Estimate]) -> str:
    """A line for each score: a point and its interval, and under it a point for each run."""
    numbers = [*_extent([row.mark for row in rows]), *(run for row in rows for run in row.runs)]
    scale, ticks = _scale([*numbers, 0.0, 1.0])
    parts: list[str] = []
    y = float(_TOP)
    for row in rows:
        at = y + 10
        parts.append(f"<g><title>{escape(f'{row.label}: {_told(row.mark)}')}</title>")
        if row.mark.low is not None and row.mark.high is not None:
            low, high = scale(row.mark.low), scale(row.mark.high)
            parts.append(f'<path class="i p0" d="M{low:.1f} {at:.1f}H{high:.1f}"/>')
        x = scale(row.mark.value)
        parts.append(f'<path class="v p0" d="M{x:.1f} {at - 6:.1f}v12"/>')
        parts += [f'<circle class="d" cx="{scale(run):.1f}" cy="{at + 11:.1f}" r="2.6"/>' for run in row.runs]
        parts.append("</g>")
        parts += [_text(0, y + 14, row.label), _text(_WIDTH, y + 14, number(row.mark.value), "n")]
        y += 34
    return _svg(about, y + _AXIS, [*_axis(scale, ticks, y), *parts])


def shares(about: str, series: Sequence[str], rows: Sequence[tuple[str, Sequence[float]]]) -> str:
    """Bars of parts: each row has the share of each series; what is missing to 1 is left free."""
    scale, ticks = _scale([0.0, 1.0])
    parts: list[str] = []
    y = float(_TOP)
    for label, values in rows:
        start = 0.0
        parts.append(_text(0, y + 14, label))
        for which, (name, value) in enumerate(zip(series, values, strict=True)):
            if value > 0:
                x, end = scale(start), scale(start + value)
                parts.append(
                    f'<rect class="p{which % COLORS}" x="{x:.1f}" y="{y + 2:.1f}" width="{end - x:.1f}" '
                    f'height="{_LINE - 2}"><title>{escape(f"{label}, {name}: {value:.3f}")}</title></rect>'
                )
                start += value
        parts.append(_text(_WIDTH, y + 14, f"{start:.3f}", "n"))
        y += _LINE + 8
    return _svg(about, y + _AXIS, [*_axis(scale, ticks, y), *parts])


def curves(about: str, lines: Sequence[Curve], x_label: str, y_label: str, x_end: float = 1.0) -> str:
    """Lines over an axis from 0 to `x_end`, the first one above the others and thick."""
    left, top, height = 58, 12, 200
    bottom = top + height

    def place(x: float, y: float) -> str:
        return f"{left + x / x_end * (_WIDTH - left - 12):.1f} {bottom - y * height:.1f}"

    parts = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        across = tick * x_end
        grid = f"M{place(0, tick)}L{place(x_end, tick)}M{place(across, 0)}L{place(across, 1)}"
        parts.append(f'<path class="g" d="{grid}"/>')
        x, y = (float(part) for part in place(across, tick).split())
        parts += [_text(x, bottom + 16, f"{across:.3g}", "m"), _text(left - 6, y + 4, f"{tick:g}", "n")]
    for which, line in reversed(list(enumerate(lines))):
        if line.band:
            edge = [place(x, high) for x, _, high in line.band] + [place(x, low) for x, low, _ in reversed(line.band)]
            parts.append(f'<path class="b p{which % COLORS}" d="M{"L".join(edge)}Z"/>')
        kind = "l own" if which == 0 else "l"
        path = "L".join(place(x, y) for x, y in line.points)
        parts.append(f'<path class="{kind} p{which % COLORS}" d="M{path}"><title>{escape(line.label)}</title></path>')
    parts.append(_text((left + _WIDTH) / 2, bottom + 36, x_label, "m"))
    parts.append(
        f'<text class="m" transform="translate(11 {top + height / 2:.1f}) rotate(-90)">{escape(y_label)}</text>'
    )
    return _svg(about, bottom + 44, parts)


def legend(series: Sequence[str]) -> str:
    """What the colours mean, as a list in HTML."""
    items = (
        f'<li><svg class="swatch" viewBox="0 0 12 12" aria-hidden="true"><rect class="p{which % COLORS}" width="12" '
        f'height="12"/></svg>{escape(name)}</li>'
        for which, name in enumerate(series)
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


def number(value: float) -> str:
    """A score, to three places."""
    return f"{round(value, 3) + 0.0:.3f}"  # no negative zero


def _scale(numbers: Sequence[float]) -> tuple[Callable[[float], float], list[float]]:
    """From numbers to pixels, and where the axis has its lines; all numbers must be finite."""
    if not all(math.isfinite(each) for each in numbers):
        raise ValueError("a chart's numbers must be finite")
    low, high = min(numbers), max(numbers)
    span = high - low or 1.0
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, span) if span / step <= 6)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    ticks = [step * place for place in range(first, last + 1)]
    start, unit = ticks[0], (_WIDTH - _LEFT - _RIGHT) / (ticks[-1] - ticks[0])
    return (lambda value: _LEFT + (value - start) * unit), ticks


def _axis(scale: Callable[[float], float], ticks: Sequence[float], bottom: float) -> list[str]:
    parts = []
    for tick in ticks:
        x, kind = scale(tick), "z" if abs(tick) < 1e-9 else "g"
        parts.append(f'<path class="{kind}" d="M{x:.1f} {_TOP}V{bottom:.1f}"/>')
        parts.append(_text(x, bottom + 16, f"{round(tick, 6) + 0.0:g}", "m"))
    return parts


def _extent(marks: Sequence[Mark]) -> list[float]:
    found = [(mark.value, mark.low, mark.high) for mark in marks]
    return [each for numbers in found for each in numbers if each is not None]


def _told(mark: Mark) -> str:
    between = "" if mark.low is None or mark.high is None else f" ({number(mark.low)} to {number(mark.high)})"
    return f"{number(mark.value)}{between}"


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    """A text; kind: n ends at x, m has its middle there, h is a heading."""
    shown = text if kind or len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "\N{HORIZONTAL ELLIPSIS}"
    name = f' class="{kind}"' if kind else ""
    return f'<text{name} x="{x:.1f}" y="{y:.1f}">{escape(shown)}</text>'


def _svg(about: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg class="chart" role="img" aria-label="{escape(about)}" viewBox="0 0 {_WIDTH} {height:.0f}">'
        f"{''.join(parts)}</svg>"
    )
