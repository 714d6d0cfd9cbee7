"""What commands print: results on stdout, progress and remarks on stderr."""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""
_GAP = "  "
_NARROWEST = 20
_NUMBER = re.compile(r"[-+]?[\d.,]+(e[-+]?\d+)?|-")


def console(stderr: bool = False) -> Console:
    """Returns a console on stdout or stderr as they are now; a test may have replaced them."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def say(text: str = "", style: str | None = None) -> None:
    """Prints a line of the result, never wrapped."""
    console().print(text, style=style, soft_wrap=True)


def remark(text: str) -> None:
    """Prints a line for the person at the terminal; it is no part of the result."""
    console(stderr=True).print(text, soft_wrap=True)


def print_json(data: Any) -> None:
    """Prints one JSON document; a number that JSON has no word for (NaN, infinite) becomes null."""
    say(json.dumps(plain(data), indent=2, ensure_ascii=False, allow_nan=False))


def plain(value: Any) -> Any:
    """Returns `value` as what JSON can say."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, str):
        return str(value)  # a StrEnum too
    if isinstance(value, int) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Iterable):
        return [plain(inner) for inner in value]
    return str(value)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Prints a table; numbers are set to the right, and a terminal cuts the last column to its width."""
    cells = [list(columns), *([cell(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    right = [all(_NUMBER.fullmatch(row[i]) for row in cells[1:]) for i in range(len(columns))]
    screen = console()
    room = screen.width - sum(widths[:-1]) - len(_GAP) * (len(widths) - 1) if screen.is_terminal else None
    for number, row in enumerate(cells):
        if room is not None and len(row[-1]) > max(room, _NARROWEST):
            row[-1] = row[-1][: max(room, _NARROWEST) - 1] + "…"
        line = _GAP.join(
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(row, widths, right, strict=True)
        )
        say(line.rstrip(), style="bold" if number == 0 else None)


def print_facts(facts: Mapping[str, Any]) -> None:
    """Prints names and values, one a line."""
    width = max(map(len, facts), default=0)
    for name, value in facts.items():
        say(f"{name.ljust(width)}{_GAP}{cell(value)}".rstrip())


def cell(value: Any) -> str:
    """Returns a value as a table shows it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {cell(inner)}" for key, inner in value.items()) or "none"
    return str(value)


def key_text(key: int) -> str:
    """Returns a signed 64-bit key as 16 hexadecimal digits: many readers of JSON cut numbers of that size."""
    return f"{key & 0xFFFF_FFFF_FFFF_FFFF:016x}"
