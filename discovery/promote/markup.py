"""HTML and SVG as strings that can't be broken by what they show: whatever is no markup of ours is escaped."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from math import exp, floor, isfinite, log10
from typing import TypeGuard

Attribute = str | float | None

ABSENT = "none"
"""Shown where there should be a number."""
VOID = frozenset({"meta", "br", "circle", "line", "path", "rect"})
"""Elements without content."""


class Html(str):
    """Markup, as opposed to text that may hold anything."""

    __slots__ = ()


def html(value: object) -> Html:
    """Returns markup as it is and anything else as escaped text."""
    return value if isinstance(value, Html) else Html(escape(str(value)))


def join(parts: Iterable[object], between: str = "") -> Html:
    """Returns the parts in a row, escaped where they are no markup."""
    return Html(escape(between).join(html(part) for part in parts))


def tag(element: str, /, *content: object, **attributes: Attribute) -> Html:
    """Returns an element.

    Args:
        element: its name.
        content: what it holds; text is escaped.
        attributes: values by name, `class_` and `font_size` meaning `class` and `font-size`; None leaves one out.
    """
    shown = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_attribute(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if element in VOID:
        return Html(f"<{element}{shown}/>")
    return Html(f"<{element}{shown}>{join(content)}</{element}>")


def _attribute(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"


def section(title: str, *content: object) -> Html:
    """Returns a part of the page under a heading."""
    return tag("section", tag("h2", title), *content)


def figure(drawing: Html, caption: object) -> Html:
    """Returns a drawing or a table with the sentences that explain it."""
    return tag("figure", tag("div", drawing, class_="wide"), tag("figcaption", caption))


def details(summary: object, *content: object, shown: bool = False) -> Html:
    """Returns a long part that is shown on demand."""
    return tag("details", tag("summary", summary), *content, open="" if shown else None)


def table(header: Sequence[object], rows: Iterable[Sequence[object]], words: Iterable[int] = (0,)) -> Html:
    """Returns a table.

    Args:
        header: titles of the columns.
        rows: cells; the first heads its row.
        words: columns of text, which is set to the left; numbers go to the right.
    """
    left = set(words)

    def cell(element: str, place: int, content: object) -> Html:
        scope = "row" if element == "th" else None
        return tag(element, content, class_="words" if place in left else None, scope=scope)

    head = [tag("th", title, class_="words" if i in left else None, scope="col") for i, title in enumerate(header)]
    body = [tag("tr", *(cell("td" if i else "th", i, one) for i, one in enumerate(row))) for row in rows]
    return tag("table", tag("thead", tag("tr", *head)), tag("tbody", *body))


def facts(pairs: Mapping[str, object]) -> Html:
    """Returns names and what they stand for."""
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs.items()))


def small(*content: object) -> Html:
    """Returns a remark on a line of its own."""
    return tag("div", *content, class_="small")


# --- numbers ----------------------------------------------------------------------------------------------------------


def known(value: float | None) -> TypeGuard[float]:
    """Whether there is a number, and a finite one."""
    return value is not None and isfinite(value)


def signed(value: float | None, digits: int = 3) -> str:
    """Returns a difference: `+0.214`."""
    return f"{value:+.{digits}f}" if known(value) else ABSENT


def interval(low: float | None, high: float | None) -> str:
    """Returns an interval: `[+0.102, +0.295]`."""
    return f"[{signed(low)}, {signed(high)}]"


def number(value: float | None, digits: int = 3) -> str:
    """Returns a number with some significant digits."""
    return f"{value:.{digits}g}" if known(value) else ABSENT


def probability(value: float | None) -> str:
    """Returns a p-value."""
    if value is None:
        return ABSENT
    return f"{value:.3f}" if value >= 1e-3 else f"{value:.0e}"


def ratio(gain: float) -> str:
    """Returns what log(another's loss / a rule's) says of the rule's loss: `21 % lower`."""
    return f"{abs(1.0 - exp(-gain)) * 100.0:.2g} % {'lower' if gain >= 0.0 else 'higher'}"


def with_margin(mean: float, margin: float | None) -> str:
    """Returns a mean and its margin with as many decimals as the margin's two digits have: `0.225 ± 0.013`."""
    if margin is None or not isfinite(margin) or margin <= 0.0:
        return f"{mean:.4g}"
    decimals = min(6, max(0, 1 - floor(log10(margin))))
    return f"{mean:.{decimals}f} ±\u00a0{margin:.{decimals}f}"


def duration(seconds: float) -> str:
    """Returns a span of time in the unit that suits it."""
    if seconds < 120.0:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200.0 else f"{seconds / 3600:.1f} h"


def percent(share: float) -> str:
    """Returns a share of 1: `95 %`."""
    return f"{100.0 * share:.4g} %"


def count(number: int, singular: str, plural: str = "") -> str:
    """Returns a number and what it counts: `1 rule`, `2 rules`."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"
