"""The page on scaling, from the figures of `scripts/scaling.py`."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

Figures = Mapping[str, Any]

HOURS, ACCELERATORS = 72, 100
"""The search whose cost is told."""
ALLOWED = 50
"""Microseconds of the driver a candidate that the design allows."""
GPU_RATE = 137.7
"""Evaluations of the default tasks a second on one NVIDIA H200 (docs/accelerators.md)."""


def write(found: Mapping[str, Figures]) -> str:
    """Returns the page with the parts that there are."""
    lines = [
        "# Scaling",
        "",
        "How far a search scales, part by part. Simulated workers give what real ones do, and sleep.",
    ]
    for part, text in PARTS.items():
        if part in found:
            lines += ["", *text(found[part]), "", _about(found[part])]
    if {"throughput", "saturation"} <= set(found):
        lines += ["", *_cost(found["throughput"], found["saturation"])]
    return "\n".join(lines) + "\n"


def _about(figures: Figures) -> str:
    return (
        f"`{figures['command']}`, {figures['date']}: {figures['processor']}, {figures['cores']} cores, "
        f"{figures['device']}; Python {figures['python']}, JAX {figures['jax']}, commit {figures['commit']}."
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _rate(figures: Figures, sort: str) -> float:
    return median(one["evaluations_per_second"] for one in figures["searches"][sort])


def _throughput(figures: Figures) -> list[str]:
    one, rows = _rate(figures, "1 in process"), []
    for sort, runs in figures["searches"].items():
        rates = sorted(run["evaluations_per_second"] for run in runs)
        efficiency = median(rates) / (one * int(sort.partition(" ")[0]))
        rows.append([sort, f"{median(rates):.1f}", f"{rates[0]:.1f} to {rates[-1]:.1f}", f"{efficiency:.0%}"])
    share = _rate(figures, "2 on Ray") / _rate(figures, "2 processes apart")
    text = (
        f"Evaluations a second of the default search, {figures['rounds']} searches of {figures['seconds']:.0f} s of "
        f"each sort by turns. Efficiency is by one worker in process; two processes apart, which share nothing but the "
        f"machine, are what it allows. Two workers on Ray reach {share:.0%} of that."
    )
    head = ["workers", "evaluations a second (median)", "range", "efficiency"]
    return ["## Throughput", "", text, "", *_table(head, rows)]


def _slow(figures: Figures) -> list[str]:
    even, one = figures["searches"]["even"], figures["searches"]["one slow"]
    workers, slowness = figures["workers"], figures["slowness"]
    reached = one["evaluations_per_second"] / even["evaluations_per_second"]
    text = (
        f"{workers} simulated workers, one of them {slowness:g} times slower: {reached:.0%} of the evaluations a "
        f"second that they give where none is; {(workers - 1 + 1 / slowness) / workers:.0%} is what they could."
    )
    rows = [[sort, " ".join(f"{b:.0%}" for b in run["busy"])] for sort, run in figures["searches"].items()]
    return ["## A slow worker", "", text, "", *_table(["workers", "busy share of each, the slow one first"], rows)]


def _saturation(figures: Figures) -> list[str]:
    text = (
        f"Simulated workers whose evaluations sleep for {1000 * figures['evaluation']:.0f} ms, carried by one process "
        "on the same machine as the driver (with 1,000 of them it takes as much CPU as the driver); pool, calls and "
        "store are the real ones. CPU is that of the driver for a candidate, in brackets with that of Ray's threads in "
        "its process, which run beside it."
    )
    head = ["workers", "batch", "candidates/s", "evaluations/s", "busy (median)", "driver load", "driver's CPU (us)"]
    rows = [
        [
            f"{run['workers']:,}",
            f"{run['batch']:,}",
            f"{run['candidates_per_second']:,.0f}",
            f"{run['evaluations_per_second']:,.0f}",
            f"{median(run['busy']):.0%}",
            f"{run['driver_load']:.0%}",
            "{thread:.0f} ({process:.0f})".format(**run["microseconds_per_candidate"]),
        ]
        for run in figures["searches"]
    ]
    alone = (
        "The driver without Ray, what its worker takes in the same thread taken off (microseconds a candidate; merge "
        "and store are parts of it, in wall-clock, the disk included, once a batch):"
    )
    costs = [
        [batch, *(f"{run['microseconds_per_candidate'][part]:.0f}" for part in ("thread", "merge", "store"))]
        for batch, run in figures["driver"].items()
    ]
    best, limit = _limit(figures)
    seconds = best["evaluations_per_second"] / best["candidates_per_second"] * figures["evaluation"]
    cost = {f"{run['workers']:,}": run["microseconds_per_candidate"]["thread"] for run in figures["searches"]}
    missed = " and ".join(f"{us:.0f} with {workers} workers" for workers, us in cost.items() if us > ALLOWED)
    reached = (
        f"The driver is to take {ALLOWED} microseconds a candidate at most"
        + (f"; it takes more, {missed}" if missed else "")
        + ". A call to Ray that goes out alone, to threads that sleep, costs several times what one right behind "
        "another does. So results wait a little for others where every worker has another call; with few workers, "
        "which give few results, a call still costs most, and the driver has least to do."
    )
    past = (
        f"At full load one driver would merge about {limit:,.0f} candidates a second, the work of "
        f"{limit * seconds:,.0f} workers at this evaluation time; a larger batch is what lowers its share of fixed "
        "costs. Past that the archive is to be sharded: as many drivers as needed, each with its own store, cache and "
        "workers, as one of the islands that one driver has today. What they would exchange is small, 5 elites every "
        "50 batches, so exchange is no limit; what is lost is that one shard evaluates what another one knows."
    )
    table = _table(["batch", "CPU", "merge", "store"], costs)
    return [
        "## Where the driver is the limit",
        "",
        text,
        "",
        *_table(head, rows),
        "",
        alone,
        "",
        *table,
        "",
        reached,
        "",
        past,
    ]


def _limit(figures: Figures) -> tuple[Figures, float]:
    """The run of most candidates a second, and those that its driver would merge at full load."""
    best = max(figures["searches"], key=lambda run: run["candidates_per_second"])
    return best, best["candidates_per_second"] / max(best["driver_load"], 1e-9)


def shown(memory: list[dict[str, float]]) -> list[dict[str, float]]:
    """Returns the moments of a soak that the page has: five, from first to last."""
    return [memory[place] for place in sorted({place * (len(memory) - 1) // 4 for place in range(5)})] if memory else []


def _soak(figures: Figures) -> list[str]:
    names, memory = ("driver", "cache", "gcs_server", "raylet"), figures["memory"]
    rows = [
        [f"{moment['minutes']:.1f}", *(f"{moment.get(name, 0.0):,.0f}" for name in names)] for moment in shown(memory)
    ]
    first, last = shown(memory)[0], shown(memory)[-1]
    grown = {name: last[name] - first[name] for name in ("driver", "cache")}
    equal = "equal to" if figures["equal"] else "NOT equal to"
    text = (
        f"{figures['minutes']:g} minutes with {figures['workers']} workers that sleep, one of them killed every "
        f"{figures['every']:g} s: {figures['kills']} kills, {figures['lost']} workers lost, {figures['repeated']} "
        f"units repeated. {figures['candidates']:,} candidates and {figures['evaluations']:,} evaluations; what the "
        f"run folder holds is {equal} that of a run in one process that nothing disturbed. The driver grew by "
        f"{grown['driver']:.0f} MB, {grown['cache']:.0f} MB of it the entries of its cache (rebuilt from the store; it "
        f"is bounded, and has not filled yet)."
    )
    return ["## Soak", "", text, "", *_table(["minutes", *(f"{name} (MB)" for name in names)], rows)]


def _cost(throughput: Figures, saturation: Figures) -> list[str]:
    rate, days = _rate(throughput, "1 in process"), HOURS * ACCELERATORS / 24
    evaluations = rate * 3600 * HOURS * ACCELERATORS
    best, limit = _limit(saturation)
    bred = GPU_RATE * ACCELERATORS * best["candidates_per_second"] / best["evaluations_per_second"]
    nearest = min(saturation["searches"], key=lambda run: abs(run["workers"] - ACCELERATORS))
    text = (
        f"On paper, from the figures above. It costs {days:,.0f} accelerator-days. The original system (Chen et al. "
        f"2023) had searches of 72 hours on 100 TPU v2, of 20,000 to 30,000 evaluated programs each, and 3,000 "
        f"TPU-days in all, restarts and a last search from the best included: {3000 / days:.0f} times as much. One "
        f"core of this machine makes {rate:.1f} evaluations of the default tasks a second, so {ACCELERATORS} workers "
        f"that are no faster make {evaluations:,.0f} in {HOURS} hours, and 25,000 take one core "
        f"{25_000 / rate / 3600:.1f} hours: the default tasks are that much smaller. With {nearest['workers']:,} "
        f"simulated workers the driver's load was {nearest['driver_load']:.0%}. One NVIDIA H200 makes {GPU_RATE:.0f} "
        f"([page](accelerators.md)), so a hundred make {GPU_RATE * 3600 * HOURS * ACCELERATORS:,.0f} and 25,000 take "
        f"one {25_000 / GPU_RATE / 60:.0f} minutes; they would give {bred:,.0f} candidates a second, "
        f"{bred / limit:.1f} times what one driver merges at full load"
        + (": such a search is to be sharded." if bred > limit else ", so it bears them, without much to spare.")
    )
    return [f"## A search of {HOURS} hours on {ACCELERATORS} accelerators", "", text]


PARTS: dict[str, Callable[[Figures], list[str]]] = {
    "throughput": _throughput,
    "slow": _slow,
    "saturation": _saturation,
    "soak": _soak,
}
"""What writes each part, in order."""
