"""What commands print: results on stdout, progress and remarks on stderr."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPE_WIDTH = 160
"""Columns where the output is no terminal, so that a pipe does not lose the end of a table."""


def console(stderr: bool = False) -> Console:
    """Returns a console on stdout or stderr as they are now; a test may have replaced them."""
    made = Console(stderr=stderr, highlight=False, markup=False)
    if not made.is_terminal and not made.is_jupyter:
        made.width = PIPE_WIDTH
    return made


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


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """Prints a table; columns of numbers are set to the right."""
    listed = [list(row) for row in rows]
    numeric = [all(isinstance(row[i], (int, float, type(None))) for row in listed) for i in range(len(columns))]
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name, right in zip(columns, numeric, strict=True):
        table.add_column(name, justify="right" if right else "left", no_wrap=True, overflow="ellipsis")
    for row in listed:
        table.add_row(*(Text(cell(value)) for value in row))
    console().print(table)


def print_facts(facts: Mapping[str, Any]) -> None:
    """Prints names and values, one a line."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    for name, value in facts.items():
        grid.add_row(name, Text(cell(value)))
    console().print(grid)


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
