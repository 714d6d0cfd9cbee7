"""Drawings of the page as inline SVG: dots with whiskers, lines and bars.

Colours are classes of the page's style, so that drawings follow the light or dark scheme.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, inf, log, log10
from typing import NamedTuple

from discovery.promote.markup import Html, tag

WIDTH, ROW, LETTER = 880.0, 26.0, 8.2
"""Width of a drawing, height of a row, width of a letter at most, in pixels."""
COLOURS = 8
"""Classes of colours, `c0` and on."""


@dataclass(frozen=True, slots=True)
class Dot:
    """An estimate with its interval.

    Args:
        label: what was estimated.
        value: the estimate.
        low: lower end.
        high: upper end.
        notes: texts to the right, one for each column.
        strong: whether it stands out.
    """

    label: str
    value: float
    low: float
    high: float
    notes: tuple[str, ...] = ()
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A series of points.

    Args:
        label: what it is.
        points: x and y, x ascending.
        colour: number of its colour.
        strong: whether it stands out.
        dashed: whether it is broken.
        dotted: whether its points are marked.
        shift: pixels that it is drawn lower than it is, so that lines that coincide are seen.
    """

    label: str
    points: Sequence[tuple[float, float]]
    colour: int = 0
    strong: bool = False
    dashed: bool = False
    dotted: bool = True
    shift: float = 0.0


class Scale(NamedTuple):
    """A map of [low, high] to pixels [start, end]."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Returns the pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Returns round numbers in an interval of positive length, `most` of them or fewer."""
    raw = (high - low) / most
    power = 10.0 ** floor(log10(raw))
    step = next(power * factor for factor in (1.0, 2.0, 5.0, 10.0) if power * factor >= raw * (1.0 - 1e-9))
    return [round(k * step, 12) for k in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def padded(values: Sequence[float], share: float = 0.05) -> tuple[float, float]:
    """Returns an interval around the values that has room at its ends, and a positive length."""
    low, high = min(values), max(values)
    room = share * (high - low) or max(abs(high), 1.0) * share
    return low - room, high + room


def _svg(width: float, height: float, title: str, *content: Html) -> Html:
    box = f"0 0 {width:.0f} {height:.0f}"
    return tag("svg", *content, viewBox=box, width=width, height=height, role="img", aria_label=title)


def _text(x: float, y: float, text: str, anchor: str = "start", kind: str | None = None) -> Html:
    return tag("text", text, x=x, y=y, text_anchor=anchor, class_=kind)


def _path(points: Sequence[tuple[float, float]], kind: str) -> Html:
    return tag("path", d="M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points), class_=kind)


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Html:
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)


# --- dots -------------------------------------------------------------------------------------------------------------


def dots(rows: Sequence[Dot], axis: str, columns: Sequence[str] = (), limit: float = inf) -> Html:
    """Returns estimates with whiskers, one a row, around a line at zero.

    Args:
        rows: the estimates, one at least, from top to bottom.
        axis: what the axis shows.
        columns: titles of the notes.
        limit: estimates as far from zero as this do not stretch the axis; an arrow stands for them.
    """
    left = 12.0 + 1.06 * LETTER * max(len(row.label) for row in rows)  # bold ones are wider
    longest = [max(len(text) for text in (title, *(r.notes[i] for r in rows))) for i, title in enumerate(columns)]
    starts = [WIDTH - sum(LETTER * size + 12.0 for size in longest[i:]) + 12.0 for i in range(len(longest))]
    width = max(WIDTH, WIDTH + left + 220.0 - (starts[0] if starts else WIDTH))
    starts = [start + width - WIDTH for start in starts]
    top, bottom = 24.0, 24.0 + ROW * len(rows)
    near = [row for row in rows if abs(row.value) < limit] or rows
    low, high = padded([0.0, *(v for row in near for v in (row.value, row.low, row.high))])
    at = Scale(low, high, left + 8.0, (starts[0] if starts else width) - 16.0)
    content = [_line(at(tick), top, at(tick), bottom, "zero" if tick == 0.0 else "grid") for tick in ticks(low, high)]
    content += [_text(at(tick), bottom + 16.0, f"{tick:,.10g}", "middle", "muted") for tick in ticks(low, high)]
    content += [_text((at.start + at.end) / 2, bottom + 34.0, axis, "middle", "muted")]
    content += [_text(x, 14.0, title, kind="muted") for x, title in zip(starts, columns, strict=True)]
    for place, row in enumerate(rows):
        y = top + ROW * (place + 0.5)
        content += [_text(left, y + 4.0, row.label, "end", "strong" if row.strong else None), _whisker(row, at, y)]
        content += [_text(x, y + 4.0, note, kind="figures") for x, note in zip(starts, row.notes, strict=True)]
    return _svg(width, bottom + 42.0, axis, *content)


def _whisker(row: Dot, at: Scale, y: float) -> Html:
    told = f"{row.label}: {row.value:+.3f} [{row.low:+.3f}, {row.high:+.3f}]"
    kind = "c0" if row.strong else "quiet"
    if not at.low <= row.value <= at.high:
        x, tip = (at.end, 8.0) if row.value > at.high else (at.start, -8.0)
        arrow = tag("path", d=f"M{x} {y - 5.0}L{x + tip} {y}L{x} {y + 5.0}Z", class_="dot")
        return tag("g", tag("title", told), arrow, class_=kind)
    ends = [_line(at(x), y - 4.0, at(x), y + 4.0, "stroke") for x in (row.low, row.high)]
    dot = tag("circle", cx=at(row.value), cy=y, r=5.0, class_="dot")
    return tag("g", tag("title", told), _line(at(row.low), y, at(row.high), y, "stroke"), *ends, dot, class_=kind)


# --- lines ------------------------------------------------------------------------------------------------------------


def lines(
    series: Sequence[Line],
    x_axis: str,
    y_axis: str,
    marks: Sequence[float] | None = None,
    bounds: tuple[float, float] | None = None,
) -> Html:
    """Returns curves that are named at their right ends.

    Args:
        series: the curves, one at least, each with a point at least.
        x_axis: what the horizontal axis shows.
        y_axis: what the vertical axis shows.
        marks: ticks of a logarithmic horizontal axis; None means a linear one.
        bounds: ends of the vertical axis; None means what holds all points.
    """
    reach = log if marks else float
    right = WIDTH - 44.0 - LETTER * max(len(one.label) for one in series)
    top, bottom = 24.0, max(250.0, 40.0 + 16.0 * len(series))
    xs = [reach(x) for one in series for x, _ in one.points]
    low, high = (min(xs), max(xs)) if max(xs) > min(xs) else padded(xs)
    across = Scale(low, high, 56.0, max(right, 320.0))
    low, high = bounds or padded([y for one in series for _, y in one.points])
    up = Scale(low, high, bottom, top)
    content = [_line(across.start, up(y), across.end, up(y), "grid") for y in ticks(up.low, up.high)]
    content += [_text(across.start - 8.0, up(y) + 4.0, f"{y:,.10g}", "end", "muted") for y in ticks(up.low, up.high)]
    shown = [(reach(x), f"{x:,.10g}") for x in marks or ticks(across.low, across.high)]
    shown = _apart([(across(x), text) for x, text in shown])
    content += [_line(x, bottom, x, bottom + 4.0, "axis") for x, _ in shown]
    content += [_text(x, bottom + 18.0, text, "middle", "muted") for x, text in shown]
    content += [_line(across.start, bottom, across.end, bottom, "axis")]
    content += [_text((across.start + across.end) / 2, bottom + 36.0, x_axis, "middle", "muted")]
    content += [_text(10.0, 14.0, y_axis, "start", "muted")]
    ends = _spread([up(one.points[-1][1]) + one.shift for one in series], 16.0, bottom)
    for one, end in sorted(zip(series, ends, strict=True), key=lambda pair: pair[0].strong):
        content += [_curve(one, [(across(reach(x)), up(y) + one.shift) for x, y in one.points], across.end, end)]
    return _svg(
        max(WIDTH, across.end + 40.0 + LETTER * max(len(s.label) for s in series)), bottom + 44.0, y_axis, *content
    )


def _curve(one: Line, points: Sequence[tuple[float, float]], right: float, end: float) -> Html:
    """A curve, its points and its name, with a thin line from the last point to the name."""
    kind = f"c{one.colour % COLOURS}{' thick' if one.strong else ''}{' dashed' if one.dashed else ''}"
    x, y = points[-1]
    lead = _path([(x, y), (right + 10.0, end), (right + 22.0, end)], "lead")
    circles = [tag("circle", cx=a, cy=b, r=3.5 if one.strong else 2.5, class_="dot") for a, b in points if one.dotted]
    name = _text(right + 26.0, end + 4.0, one.label, kind="strong" if one.strong else None)
    return tag("g", tag("title", one.label), _path(points, "curve"), *circles, lead, name, class_=kind)


def _spread(heights: Sequence[float], gap: float, bottom: float) -> list[float]:
    """Moves labels apart that would cover each other, no lower than the bottom."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    moved = list(heights)
    for above, below in pairwise(order):
        moved[below] = max(moved[below], moved[above] + gap)
    floor_at = bottom
    for place in reversed(order):
        moved[place] = min(moved[place], floor_at)
        floor_at = moved[place] - gap
    return moved


def _apart(labels: Sequence[tuple[float, str]], gap: float = 8.0) -> list[tuple[float, str]]:
    """Leaves out labels that would cover the one before."""
    kept: list[tuple[float, str]] = []
    for x, text in labels:
        if not kept or x - kept[-1][0] >= LETTER * (len(text) + len(kept[-1][1])) / 2 + gap:
            kept.append((x, text))
    return kept


# --- bars -------------------------------------------------------------------------------------------------------------


def bars(rows: Sequence[tuple[str, float, str]], title: str) -> Html:
    """Returns a bar a row: its label, its length from zero, and a note behind it."""
    left = 10.0 + LETTER * max(len(label) for label, _, _ in rows)
    right = WIDTH - 16.0 - LETTER * max(len(note) for _, _, note in rows)
    at = Scale(0.0, max(1.0, *(value for _, value, _ in rows)), left + 8.0, max(right, left + 200.0))
    content = []
    for place, (label, value, note) in enumerate(rows):
        y = ROW * place
        content += [_text(left, y + 17.0, label, "end")]
        content += [tag("rect", x=at.start, y=y + 4.0, width=max(1.0, at(value) - at.start), height=18.0, rx=2.0)]
        content += [_text(at(value) + 8.0, y + 17.0, note, kind="muted")]
    return _svg(WIDTH, ROW * len(rows) + 4.0, title, *content)
