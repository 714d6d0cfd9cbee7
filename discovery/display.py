"""The live view of a run: a panel that redraws itself on a terminal, plain lines anywhere else."""

import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from statistics import median
from threading import Event
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from discovery.progress import Best, Progress
from discovery.validation import Point, best_of

_LONG_NUMBER = re.compile(r"(?<![\w.])\d+\.\d{4,}(?:e[-+]?\d+)?")

RATE_WINDOW = 15.0
"""Seconds of work that a rate is taken over: a resumed run must not show the speed of its first part."""
_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = "_.-=*#"
_EACH = 8
"""Workers that are told one by one."""
LINE_INTERVAL = 10.0
"""Seconds of work between two plain lines; a better best is told at once."""


@dataclass
class Rates:
    """Candidates and evaluations a second over the last seconds of work."""

    _seen: deque[tuple[float, int, int]] = field(default_factory=deque)

    def update(self, progress: Progress) -> tuple[float | None, float | None]:
        """Returns (candidates a second, evaluations a second), or None where one batch tells nothing yet."""
        self._seen.append((progress.seconds, progress.candidates, progress.evaluations))
        while len(self._seen) > 2 and progress.seconds - self._seen[1][0] >= RATE_WINDOW:
            self._seen.popleft()
        seconds, candidates, evaluations = self._seen[0]
        elapsed = progress.seconds - seconds
        if elapsed <= 0.0:
            if seconds <= 0.0:
                return None, None
            # the first batch that is seen: all there is to tell is the mean since the start
            return progress.candidates / seconds, progress.evaluations / seconds
        return (progress.candidates - candidates) / elapsed, (progress.evaluations - evaluations) / elapsed


@contextmanager
def watch(console: Console, title: str, stop: Event | None = None) -> Iterator[Callable[[Progress], None]]:
    """Shows a run while the context lasts.

    Args:
        console: where to; a terminal gets a live panel, anything else plain lines.
        title: what runs, for the panel's frame.
        stop: set where the run was asked to stop, so that the view says so.

    Yields:
        The function that takes the progress after each batch.
    """
    if not console.is_terminal:
        yield _lines(console)
        return
    from rich.live import Live

    view = _View(title, stop or Event())
    with Live(get_renderable=lambda: view.render(console.height), console=console, refresh_per_second=4) as live:
        live.refresh()
        yield view.update
        live.refresh()


class _View:
    """What the live panel shows; redrawn between batches too, so that the clock goes on."""

    def __init__(self, title: str, stop: Event) -> None:
        self.title, self.stop = title, stop
        self.rates = Rates()
        self.started = time.monotonic()
        self.spinner = Spinner("dots")
        # one tuple, replaced as a whole: another thread draws
        self.latest: tuple[Progress, tuple[float | None, float | None], float] | None = None

    def update(self, progress: Progress) -> None:
        self.latest = (progress, self.rates.update(progress), time.monotonic())

    def render(self, height: int) -> RenderableType:
        footer = "stopping after the batches in flight" if self.stop.is_set() else "Ctrl-C stops and keeps everything"
        if self.latest is None:
            waited = duration(time.monotonic() - self.started)
            self.spinner.update(text=f"preparing data, baselines and compiled code ... {waited}")
            return Panel(self.spinner, title=self.title, title_align="left", subtitle=footer)
        progress, speed, seen = self.latest
        since = min(time.monotonic() - seen, LINE_INTERVAL)
        left = None if progress.seconds_left is None else max(0.0, progress.seconds_left - since)
        now = replace(progress, seconds=progress.seconds + since, seconds_left=left)
        return panel(now, *speed, self.title, footer, height)


def _lines(console: Console) -> Callable[[Progress], None]:
    rates = Rates()
    told: tuple[float, float | None] | None = None

    def show(progress: Progress) -> None:
        nonlocal told
        speed = rates.update(progress)
        best = progress.best[0].score if progress.best else None
        improved = told is not None and best is not None and (told[1] is None or best > told[1])
        ends = progress.share_done is not None and progress.share_done >= 1.0
        if told is None or improved or ends or progress.seconds - told[0] >= LINE_INTERVAL:
            told = (progress.seconds, best)
            console.print(line(progress, *speed), soft_wrap=True, highlight=False, markup=False)

    return show


def line(progress: Progress, candidates_rate: float | None = None, evaluations_rate: float | None = None) -> str:
    """Returns the progress as one plain line."""
    parts = [
        f"{duration(progress.seconds)}",
        f"{progress.candidates:,} candidates{_per_second(candidates_rate)}",
        f"{progress.evaluations:,} evaluations{_per_second(evaluations_rate)}",
        f"hits {hit_rates(progress)}",
        f"hurdled {progress.hurdled:,}",
        f"failures {failures(progress.invalid, progress.failures)}",
        f"coverage {progress.coverage:.1%}",
        f"QD {progress.qd_score:.2f}",
    ]
    if progress.best:
        best = progress.best[0]
        parts.append(
            f"best {best.score:+.4f} (#{best.id}, {plural(best.size, 'statement')}, "
            f"{plural(best.state_buffers, 'state buffer')})"
        )
    if progress.validation is not None:
        parts.append(f"validation {validation(progress.validation, progress.overfits)}")
    if progress.staff is not None:
        parts.append(workers(progress.staff.to_json()).replace("\n", "; "))
    if progress.share_done is not None:
        parts.append(f"{min(progress.share_done, 1.0):.0%} done")
    if progress.seconds_left is not None:
        parts.append(f"{duration(progress.seconds_left)} left")
    return " | ".join(parts)


def panel(
    progress: Progress,
    candidates_rate: float | None = None,
    evaluations_rate: float | None = None,
    title: str = "pride",
    footer: str = "",
    height: int = 24,
) -> RenderableType:
    """Returns the progress as a panel.

    Args:
        progress: state of the run.
        candidates_rate: candidates a second; None where unknown.
        evaluations_rate: evaluations a second; None where unknown.
        title: text at the top of the frame.
        footer: text at its bottom.
        height: lines of the terminal; a tall one shows the whole text of the best program too.
    """
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column()
    facts.add_row("candidates", f"{progress.candidates:,}{_per_second(candidates_rate)}")
    facts.add_row(
        "evaluations", f"{progress.evaluations:,}{_per_second(evaluations_rate)}, {progress.hurdled:,} hurdled"
    )
    facts.add_row("known before", hit_rates(progress))
    facts.add_row("failures", failures(progress.invalid, progress.failures))
    facts.add_row(
        "archive",
        f"{plural(progress.elites, 'elite')} in {plural(progress.cells, 'cell')}, coverage {progress.coverage:.1%}, "
        f"QD score {progress.qd_score:.2f}",
    )
    if progress.validation is not None:
        facts.add_row("validation", validation(progress.validation, progress.overfits))
        if len(progress.validation) > 1:
            facts.add_row("", Sparkline([point.validation for point in progress.validation]))
    if progress.staff is not None:
        facts.add_row("workers", workers(progress.staff.to_json()))
    facts.add_row("time", seconds_by_part(progress))
    table = front_table(progress.front, height - 12) if progress.front else best_table(progress.best)
    parts: list[RenderableType] = [_bar(progress), Text(), facts, Text(), table]
    if progress.best and not progress.front and height >= 34 + progress.best[0].text.count("\n"):
        parts += [Text(), Text(f"best, #{progress.best[0].id}", style="bold"), Text(progress.best[0].text.rstrip())]
    return Panel(Group(*parts), title=title, title_align="left", subtitle=footer or None)


def best_table(best: tuple[Best, ...], rows: int = 6) -> Table:
    """Returns the best programs as a table: number, score, statements, state buffers, rule in one line."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name, right in (("id", True), ("score", True), ("statements", True), ("state buffers", True), ("rule", False)):
        table.add_column(name, justify="right" if right else "left", no_wrap=True, overflow="ellipsis")
    for one in best[:rows]:
        table.add_row(str(one.id), f"{one.score:+.4f}", str(one.size), str(one.state_buffers), Text(one_line(one.text)))
    if not best:
        table.add_row("", "", "", "", "none yet")
    return table


def front_table(front: Sequence[Mapping[str, Any]], rows: int) -> Table:
    """Returns the last rows of a front as a table, rules in one line."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in front[0]:
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    for row in front[-max(1, rows) :]:
        texts = {**{name: cell(value) for name, value in row.items()}, "rule": one_line(row["rule"])}
        table.add_row(*[Text(texts[name]) for name in row])
    return table


def cell(value: Any) -> str:
    """Returns a value of a table as people read it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def one_line(text: str) -> str:
    """Returns the statements of a program's text in one line, constants to four figures."""
    lines = (part.strip() for part in text.splitlines())
    joined = "; ".join(part for part in lines if part and not part.startswith(("def ", "return", "#")))
    return _LONG_NUMBER.sub(lambda number: f"{float(number[0]):.4g}", joined)


def duration(seconds: float) -> str:
    """Returns seconds for people: 42s, 3m 05s, 2h 07m, 3d 04h."""
    whole = max(0, round(seconds))
    for unit, length, smaller, small in (("d", 86_400, "h", 3_600), ("h", 3_600, "m", 60), ("m", 60, "s", 1)):
        if whole >= length:
            return f"{whole // length}{unit} {whole % length // small:02d}{smaller}"
    return f"{whole}s"


def plural(count: int, noun: str) -> str:
    """Returns the count with its noun: 1 elite, 2 elites."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def hit_rates(progress: Progress) -> str:
    """Returns the share of the candidates that each dedupe layer recognized."""
    bred = max(1, progress.candidates)
    return ", ".join(f"{layer} {count / bred:.1%}" for layer, count in progress.hits.items()) or "none"


def failures(invalid: int, by_status: Mapping[str, int]) -> str:
    """Returns failures by cause."""
    counts = {**by_status, "invalid": invalid + by_status.get("invalid", 0)}
    return ", ".join(f"{cause.replace('_', ' ')} {count:,}" for cause, count in counts.items() if count) or "none"


def validation(points: Sequence[Point], overfits: bool) -> str:
    """Returns the last point of the validation curve, beside its score in the search, and the best one in words."""
    if not points:
        return "none yet"
    last, best = points[-1], best_of(points)
    told = f"{_validated(last)} (#{last.program}, in the search {last.score:+.4f})"
    if best is not None:
        told += f", best {_validated(best)} (#{best.program}, batch {best.batch:,})"
    return f"{told}, overfitting" if overfits else told


def _validated(point: Point) -> str:
    return f"{point.validation:+.4f}" if point.validation is not None else f"{point.status}"


@dataclass(frozen=True)
class Sparkline:
    """The last values of a curve as a row of blocks, low to high; in ASCII where the terminal has no more.

    Args:
        values: the curve; what has no value is a gap.
    """

    values: Sequence[float | None]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        blocks = _ASCII_BLOCKS if options.ascii_only else _BLOCKS
        yield Text(sparkline(self.values[-max(1, options.max_width) :], blocks), no_wrap=True, overflow="crop")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, max(1, min(len(self.values), options.max_width)))


def sparkline(values: Sequence[float | None], blocks: str = _BLOCKS) -> str:
    """Returns one character a value: from the first of `blocks` for the lowest to the last for the highest."""
    known = [value for value in values if value is not None]
    low, span = min(known, default=0.0), max(known, default=0.0) - min(known, default=0.0)
    top = len(blocks) - 1
    return "".join(
        " " if value is None else blocks[round((value - low) / span * top) if span > 0.0 else 0] for value in values
    )


def workers(staff: Mapping[str, Any]) -> str:
    """Returns how workers and driver are doing, in words; `staff` is plain data."""
    alive = plural(staff["alive"], "worker")
    told = [alive if staff["alive"] >= staff["wanted"] else f"{alive} of {staff['wanted']:,}"]
    if staff["busy"]:
        told.append(f"busy {_shares(staff['busy'])}")
    told += [f"{staff['waiting']:,} waiting", f"driver {staff['driver_load']:.0%}"]
    if staff["lost"]:
        told.append(f"{staff['lost']:,} lost, {plural(staff['repeated'], 'unit')} repeated")
    return ", ".join(told) + "".join(f"\n{remark}" for remark in staff["remarks"])


def _shares(shares: Sequence[float]) -> str:
    """Each one of a few; of many the least, the middle and the most."""
    if len(shares) <= _EACH:
        return " ".join(f"{share:.0%}" for share in shares)
    return f"{min(shares):.0%} to {max(shares):.0%}, half of them {median(shares):.0%} or more"


def seconds_by_part(progress: Progress) -> str:
    """Returns the share of the working time that each part of the loop took."""
    total = sum(progress.seconds_by_part.values())
    if total <= 0.0:
        return "no figures yet"
    return ", ".join(
        f"{part.replace('_', ' ')} {spent / total:.0%}" for part, spent in progress.seconds_by_part.items()
    )


def _bar(progress: Progress) -> RenderableType:
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(ratio=1)
    grid.add_column(no_wrap=True)
    done = progress.share_done
    left = f", {duration(progress.seconds_left)} left" if progress.seconds_left is not None else ""
    text = f"{duration(progress.seconds)}{left}, {plural(progress.workers, 'worker')}"
    if done is None:
        grid.add_row(ProgressBar(total=None, pulse=True), text)
    else:
        grid.add_row(ProgressBar(total=1.0, completed=min(done, 1.0)), f"{min(done, 1.0):.0%}, {text}")
    return grid


def _per_second(rate: float | None) -> str:
    return "" if rate is None else f" ({rate:,.1f}/s)"
