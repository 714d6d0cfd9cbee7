"""The page that shows the figures of the benchmark."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

FIGURES = {
    "compilations_after_warmup": "XLA compilations after the warm-up",
    "programs_after_warmup": "programs judged meanwhile",
    "warmup_seconds": "warm-up of the first start: imports, data, compilation, tuned baselines (s)",
    "warmup_seconds_again": "warm-up of the second start (s)",
    "compiled_seconds": "a program on all tasks, one seed, compiled for itself and run (s)",
    "branching_seconds": "the same interpreted one by one, by branches as on a CPU (s)",
    "interpreted_seconds": "the same interpreted, its share of the time where programs go side by side (s)",
    "speedup_over_compiling": "speed-up over compiling each program",
    "breed_microseconds": "proposal, check, structural and canonical key (microseconds a candidate)",
    "fingerprint_microseconds": "fingerprint (microseconds)",
    "evaluations_per_second": "evaluations a second, in process",
    "candidates_per_second": "candidates a second, in process",
    "evaluation_share": "share of the time spent in evaluation, in process",
    "evaluations_per_second_2_workers": "evaluations a second, 2 workers",
    "evaluation_share_2_workers": "share of the workers' time spent in evaluation, 2 workers",
    "behaviours_per_hour": "distinct behaviours evaluated an hour, cache on",
    "behaviours_per_hour_without_cache": "distinct behaviours evaluated an hour, cache off",
    "cache_gain": "gain of the cache at the start of a search",
}


def markdown(found: Mapping[str, Any]) -> str:
    """Returns the figures of `bench` as a page with the command, the machine and the date."""
    machine = (
        f"{found['processor']}, {found['cores']} cores, {found['device']}; Python {found['python']}, "
        f"NumPy {found['numpy']}, JAX {found['jax']}; load of the machine before: {found['load_before']:.1f}."
    )
    core = "" if found["pinned_to_core"] is None else " All but the search on several workers ran pinned to one core."
    widths = sorted({task["width"] for task in found["tasks"].values()})
    several = [
        f"Up to {widths[-1]} programs train side by side here, as the device likes it: all loops of this table, the",
        "floor too, are of so many programs at once.",
        "",
    ]
    rows = [[text, shown(found[name])] for name, text in FIGURES.items() if name in found]
    return "\n".join(
        [
            f"# Performance{' on a GPU' if widths[-1] > 1 else ''}",
            "",
            f"`pride bench`, {found['date']}, {found['bench_seconds']:.0f} s, commit {found['commit']}.",
            f"{machine}{core}",
            "",
            "## Interpreter against its floor",
            "",
            "Time of a training run at full length, validation included, divided by that of the fastest loop that",
            "only takes the gradients of as many lanes and steps (median over rounds). In brackets: the same rule",
            "written by hand in JAX and compiled.",
            "",
            *(several if widths[-1] > 1 else ()),
            *_table(["rule", *found["tasks"], "geometric mean"], _rule_rows(found)),
            "",
            "## Figures",
            "",
            *_table(["figure", "value"], rows),
            "",
        ]
    )


def _rule_rows(found: Mapping[str, Any]) -> list[list[str]]:
    tasks = found["tasks"].values()
    rows = [["floor", *(f"{task['floor_milliseconds']:.1f} ms, {task['floor_way']}" for task in tasks), ""]]
    for name in found["interpreter"]:
        pairs = [(task["interpreter"][name], task["by_hand"][name]) for task in (*tasks, found)]
        rows.append([name, *(f"{machine:.2f} ({hand:.2f})" for machine, hand in pairs)])
    mean = f"{found['interpreter_geomean']:.2f} ({found['by_hand_geomean']:.2f})"
    return [*rows, ["geometric mean", *("" for _ in tasks), mean]]


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (columns, ["---"] * len(columns), *rows)]


def shown(value: float) -> str:
    """Returns a figure as it stands on the page."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
