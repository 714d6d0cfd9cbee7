"""Table of well-known optimizers on the tasks: test loss over seeds at the learning rate that validation chose.

python scripts/optimizers_table.py                                  the search tasks, 10 seeds, docs/optimizers.md
python scripts/optimizers_table.py --held-out                       two held-out ones too, as in docs/optimizers.md
python scripts/optimizers_table.py --task digits_mlp --seeds 2 --out /tmp/table.md
"""

import sys
import time
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from intervals import LEVEL, t_margin
from scipy import stats

from archive import library
from discovery.device import configure, describe
from evaluators.domain import load
from evaluators.forms import canonical_graph
from evaluators.optimizers import WIDE

HELD_OUT = ("breast_cancer_logistic", "diabetes_regression")
"""Held-out tasks of `docs/optimizers.md`."""


@dataclass(frozen=True)
class Result:
    """One rule on one task.

    Args:
        test: test losses of the seeds at the chosen learning rate, (seeds,).
        learning_rate: where the mean validation loss is lowest; None where every rate diverged on some seed.
        at_edge: whether that is the first or the last of the grid.
    """

    test: np.ndarray
    learning_rate: float | None
    at_edge: bool

    @property
    def half_width(self) -> float:
        """Half of the t interval of the mean."""
        return t_margin(self.test)


def measure(task_name: str, rule: str, seeds: int) -> Result:
    from evaluators.optimizers.baselines import best_rate
    from evaluators.optimizers.tasks import load_task
    from evaluators.optimizers.training import compiled

    task, domain = load_task(task_name), load("optimizers")
    graph = canonical_graph(library.text(rule), domain)
    run = compiled(task, graph, domain.vocabulary, 1, WIDE, task.steps, ("valid", "test"))
    valid, test = np.concatenate([run(replicate) for replicate in range(seeds)], axis=1)  # each (seeds, rates)
    best = best_rate(valid)
    if best is None:
        return Result(np.full(seeds, np.nan), None, False)
    at = best[0]
    return Result(test[:, at].astype(np.float64), WIDE[at], at in (0, len(WIDE) - 1))


def page(found: dict[str, dict[str, Result]], seeds: int, command: str) -> str:
    machine = describe()
    rules = {name for results in found.values() for name in results}
    bred = sorted(name for name in rules if library.load(name).card.provenance)
    lines = [
        "# Optimizers on the tasks",
        "",
        f"`{command}`, {time.strftime('%Y-%m-%d')}, {machine['processor']}, {machine['device']}, JAX {machine['jax']}.",
        "",
        f"Test loss, mean and {LEVEL:.0%} t interval over {seeds} seeds (initial parameters and batch order, the same",
        "for all), and in brackets the learning rate: the one with the lowest mean validation loss, among half decades",
        f"from {WIDE[0]:g} to {WIDE[-1]:g}; `*` where it is an end of the grid. Rules are those of the library, with",
        "the constants in their texts; the schedule is a cosine. The lowest of each task is bold.",
        *(
            [f"Found by searches on the search tasks, so that those are no test of them: {', '.join(bred)}."]
            if bred
            else ()
        ),
        "",
        f"| rule | {' | '.join(found)} |",
        f"|{' --- |' * (len(found) + 1)}",
    ]
    for rule in next(iter(found.values())):
        lines.append(f"| {rule} | {' | '.join(_cell(rule, results) for results in found.values())} |")
    lines += [
        "",
        "How well the tasks tell the rules apart: pairs whose losses differ, paired t-test over seeds, p < 0.05.",
        "",
    ]
    for name, results in found.items():
        apart, pairs = _told_apart(results)
        order = " < ".join(sorted((r for r in results if _finite(results[r])), key=lambda r: results[r].test.mean()))
        lines.append(f"- {name}: {apart} of {pairs} pairs. {order}")
    return "\n".join([*lines, ""])


def _finite(result: Result) -> bool:
    return bool(np.isfinite(result.test).all())


def _cell(rule: str, results: dict[str, Result]) -> str:
    result = results[rule]
    if result.learning_rate is None or not _finite(result):
        return "diverged"
    mean = result.test.mean()
    lowest = min(other.test.mean() for other in results.values() if _finite(other))
    text = f"{mean:.4g} ± {result.half_width:.2g}"
    bold = f"**{text}**" if mean == lowest else text
    return f"{bold} ({result.learning_rate:.2g}{'*' if result.at_edge else ''})"


def _told_apart(results: dict[str, Result]) -> tuple[int, int]:
    kept = [result.test for result in results.values() if _finite(result) and len(result.test) > 1]
    pairs = list(combinations(kept, 2))
    return sum(bool(np.any(a != b) and stats.ttest_rel(a, b).pvalue < 0.05) for a, b in pairs), len(pairs)


def main(
    seeds: Annotated[int, typer.Option(min=1, help="Seeds a rule.")] = 10,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="The two held-out tables too, as in docs/optimizers.md.")
    ] = False,
    task: Annotated[list[str] | None, typer.Option(help="Only these tasks; may be given often.")] = None,
    rules: Annotated[list[str] | None, typer.Option("--rule", help="Only these rules; may be given often.")] = None,
    out: Annotated[Path, typer.Option(help="Where the table goes.")] = Path("docs/optimizers.md"),
) -> None:
    """Trains every rule on every task and writes the table."""
    configure()
    from evaluators.optimizers.tasks import SEARCH_TASKS

    names = task or [*SEARCH_TASKS, *(HELD_OUT if held_out else ())]
    found: dict[str, dict[str, Result]] = {}
    for name in names:
        found[name] = {}
        for rule in rules or library.names():
            began = time.perf_counter()
            result = found[name][rule] = measure(name, rule, seeds)
            print(f"{name} {rule}: {result.test.mean():.4g} in {time.perf_counter() - began:.1f} s", file=sys.stderr)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page(found, seeds, f"python scripts/{' '.join([Path(__file__).name, *sys.argv[1:]])}"), "utf-8")


if __name__ == "__main__":
    typer.run(main)
