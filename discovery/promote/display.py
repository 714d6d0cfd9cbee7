"""The live view of a promotion: a table of the candidates on a terminal, plain lines anywhere else."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from discovery.promote import View
from discovery.promote.funnel import Candidate

LINE_INTERVAL = 10.0
"""Seconds between two plain lines of one phase."""


@contextmanager
def watch(console: Console, title: str) -> Iterator[Callable[[View], None]]:
    """Shows a promotion while the context lasts; yields the function that takes the views."""
    if not console.is_terminal:
        yield _lines(console)
        return
    from rich.live import Live

    with Live(console=console, refresh_per_second=4) as live:
        yield lambda view: live.update(panel(view, title, console.height))


def _lines(console: Console) -> Callable[[View], None]:
    told: tuple[str, float] = ("", 0.0)
    fallen: set[int] = set()

    def show(view: View) -> None:
        nonlocal told
        for one in view.candidates:
            if one.fell and one.id not in fallen:
                fallen.add(one.id)
                console.print(f"#{one.id} falls: {one.fell}", soft_wrap=True)
        now = time.monotonic()
        if view.phase != told[0] or view.done == view.total or now - told[1] >= LINE_INTERVAL:
            told = (view.phase, now)
            alive = sum(not one.fell for one in view.candidates)
            console.print(
                f"{view.phase}: {view.done} of {view.total}, {alive} of {len(view.candidates)} candidates left"
            )

    return show


def panel(view: View, title: str, height: int = 24) -> RenderableType:
    """Returns a view as a panel; the table is cut to the height of the terminal, those still in the race first."""
    bar = Table.grid(padding=(0, 2), expand=True)
    bar.add_column(no_wrap=True)
    bar.add_column(ratio=1)
    bar.add_column(no_wrap=True)
    progress = ProgressBar(total=max(1, view.total), completed=view.done)
    bar.add_row(Text(view.phase, style="bold"), progress, f"{view.done} of {view.total}")
    footer = "Ctrl-C stops; what is measured is kept"
    rows = max(3, height - 9)
    shown = Group(bar, Text(), table(view.candidates, rows))
    return Panel(shown, title=Text(title), title_align="left", subtitle=footer)  # a folder may be called [/]


def table(candidates: Sequence[Candidate], rows: int = 40) -> Table:
    """Returns the candidates as a table: score in the search, size, score at each stage, and where it fell."""
    stages = list(dict.fromkeys(stage for one in candidates for stage in one.stages))
    found = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("id", "search", "statements", *stages):
        found.add_column(Text(name), justify="right", no_wrap=True)
    found.add_column("", no_wrap=True, overflow="ellipsis")
    for one in sorted(candidates, key=lambda one: bool(one.fell))[:rows]:
        scores = [one.stages.get(stage, {}).get("score") for stage in stages]
        shown = ["" if score is None else f"{score:+.3f}" for score in scores]
        size = str(one.reduction["size"]) if one.reduction else ""
        style = "dim" if one.fell else ""
        found.add_row(str(one.id), f"{one.score:+.3f}", size, *shown, Text(one.fell), style=style)
    return found
