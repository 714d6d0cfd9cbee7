"""Evidence: do the strategies differ at equal training steps?

    python scripts/efficacy.py WORK                  every strategy with 5 seeds, then docs/efficacy.md and a plot
    python scripts/efficacy.py WORK --steps 300000 --seeds 2 --strategy map_elites --strategy random

Each search runs in a process and on a core of its own until it has spent the steps; then its best rule is judged anew
on replicates that no search uses, so that luck does not count. What is finished is kept in WORK and found again: a
script that was stopped goes on where it was.
"""

import json
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Annotated, Any

import jobs
import matplotlib as mpl
import numpy as np
import typer
from matplotlib import pyplot as plt
from scipy import stats

from discovery.budget import Budget
from discovery.config import Config
from discovery.config_file import dump, load_config
from discovery.device import describe

VARIANTS: dict[str, tuple[str, ...]] = {
    "map_elites": ("strategy.name=map_elites",),
    "map_elites_without_cache": (
        "strategy.name=map_elites",
        "cache.structural=false",
        "cache.canonical=false",
        "cache.functional=false",
    ),
    "map_elites_without_hurdles": ("strategy.name=map_elites", "hurdle.quantile=0.0"),
    "regularized_evolution": ("strategy.name=regularized_evolution", "strategy.tournament=2"),
    "random": ("strategy.name=random",),
    "constants": ("strategy.name=constants",),
}
OURS = "map_elites"


@dataclass(frozen=True)
class Job:
    """One search.

    Args:
        variant: key of VARIANTS.
        seed: seed of the search.
        steps: training steps to spend, summed over tasks and lanes.
        config: configuration.
        settings: `key=value` assignments on it.
    """

    variant: str
    seed: int
    steps: int
    config: str
    settings: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the folder that holds the search."""
        return f"{self.variant}-{self.seed}"

    def load(self) -> Config:
        """Returns the configuration of the search, without an end of its own."""
        config = load_config(self.config, [*self.settings, *VARIANTS[self.variant], f"seed={self.seed}"])
        return config.model_copy(update={"budget": Budget(candidates=10**9)})


def search(job: Job, folder: Path) -> dict[str, Any]:
    """Runs or resumes a search until it has spent its steps, and judges its best rule anew."""
    from discovery.progress import Progress
    from discovery.report import history, summary
    from discovery.run import Run

    config, stop = job.load(), threading.Event()

    def watch(progress: Progress) -> None:
        if progress.steps >= job.steps:
            stop.set()

    place = folder / "run"
    spent = list(history(place).values())[-1:] if place.exists() else []
    if not spent or spent[-1]["steps"] < job.steps:
        with Run.resume(place) if place.exists() else Run.create(config, place) as run:
            run.execute(workers=1, watch=watch, stop=stop)
    found = summary(place, top=1)
    best = found["best"]
    if best is None:
        raise ValueError(f"a search must find a rule, got none in {place} after {found['steps']} steps; raise --steps")
    scores = [sum(tasks.values()) / len(tasks) for tasks in jobs.fresh(config, best["program"], jobs.FRESH)]
    curve = [(f["steps"], f["best"][0]["score"]) for f in history(place).values() if f["best"]]
    return {
        "job": asdict(job),
        "steps": found["steps"],
        "candidates": found["candidates"],
        "evaluations": found["evaluations"],
        "seconds": found["seconds"],
        "hits": found["hits"],
        "best": best,
        "fresh_scores": scores,
        "fresh_score": fmean(scores),
        "curve": curve[:: max(1, len(curve) // 400)] + curve[-1:],
    }


# --- comparison -------------------------------------------------------------------------------------------------------


def compare(results: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Returns by strategy the fresh scores and, beside ours, a one-sided Mann-Whitney test: are ours higher?"""
    found: dict[str, Any] = {}
    ours = [result["fresh_score"] for result in results.get(OURS, [])]
    for variant, runs in results.items():
        scores = [run["fresh_score"] for run in runs]
        row: dict[str, Any] = {
            "fresh_scores": scores,
            "median": median(scores),
            "search_median": median(run["best"]["score"] for run in runs),
            "steps": median(run["steps"] for run in runs),
            "candidates": median(run["candidates"] for run in runs),
            "evaluations": median(run["evaluations"] for run in runs),
            "seconds": median(run["seconds"] for run in runs),
            "size": median(run["best"]["size"] for run in runs),
        }
        if variant != OURS and ours:
            test = stats.mannwhitneyu(ours, scores, alternative="greater")
            row |= {"u": float(test.statistic), "p": float(test.pvalue), "difference": median(ours) - median(scores)}
        found[variant] = row
    return found


def plot(results: dict[str, list[dict[str, Any]]], file: Path) -> None:
    """Draws the best score so far over the steps (median and range over seeds) and the fresh scores at the end."""
    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "pride"  # the same file for the same figures
    figure, axes = plt.subplots(figsize=(8, 4.5))
    last = min(run["curve"][-1][0] for runs in results.values() for run in runs)
    steps = np.linspace(0, last, 200)
    for i, (variant, runs) in enumerate(results.items()):
        lines = [_so_far(run["curve"], steps) for run in runs]
        middle, low, high = np.median(lines, axis=0), np.min(lines, axis=0), np.max(lines, axis=0)
        (line,) = axes.plot(steps, middle, label=variant)
        axes.fill_between(steps, low, high, color=line.get_color(), alpha=0.12, linewidth=0)
        fresh = [run["fresh_score"] for run in runs]
        axes.plot([last * (1.02 + 0.015 * i)] * len(fresh), fresh, "o", color=line.get_color(), markersize=3)
    axes.axhline(0.0, color="black", linewidth=0.6)
    axes.set_xlabel("training steps, all tasks and lanes")
    axes.set_ylabel("score of the best (0: tuned AdamW)")
    axes.set_title("Line: median over seeds, in the search; points: the same rules on fresh replicates", fontsize=9)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)


def _so_far(curve: list[list[float]], steps: np.ndarray) -> np.ndarray:
    """The score of the best at these steps; before the first one, that one."""
    at, scores = np.array(curve).T
    return scores[np.maximum(np.searchsorted(at, steps, side="right") - 1, 0)]


# --- report -----------------------------------------------------------------------------------------------------------


def page(found: dict[str, Any], plan: list[Job], command: str, elsewhere: list[str], image: str) -> str:
    """Returns the page of the evidence."""
    machine, seeds = describe(), len({job.seed for job in plan})
    tests = sum("p" in row for row in found.values())
    lines = [
        "# Efficacy",
        "",
        f"`{command}`, {time.strftime('%Y-%m-%d')}, {machine['processor']}, {machine['device']}, JAX {machine['jax']},",
        f"commit {machine['commit']}.",
        *elsewhere,
        "",
        f"Every strategy ran with {seeds} seeds until it had spent {plan[0].steps:,} training steps (summed over tasks",
        f"and lanes), configuration `{plan[0].config}`, each on one core. The best rule of a run, by its lower bound,",
        f"was judged anew on {len(jobs.FRESH)} replicates that no search uses (initial parameters, order of batches;",
        "the validation examples are those of the search); 0 is AdamW tuned on the same lanes. A search ends with the",
        "batches under way, so it spends a little more than it is given. Figures but the scores by seed are medians.",
        "",
        "| strategy | fresh score | by seed | in the search | steps | candidates | evaluations | operations | p |",
        "|" + " --- |" * 9,
    ]
    for variant, row in found.items():
        scores = " ".join(f"{score:+.3f}" for score in row["fresh_scores"])
        p = f"{row['p']:.4f}" if "p" in row else ""
        lines.append(
            f"| {variant} | {row['median']:+.3f} | {scores} | {row['search_median']:+.3f} | {row['steps']:,.0f} | "
            f"{row['candidates']:,.0f} | {row['evaluations']:,.0f} | {row['size']:.0f} | {p} |"
        )
    lines += [
        "",
        f"p: Mann-Whitney U test, one-sided, that the fresh scores of {OURS} are higher (uncorrected, {tests} tests).",
        "",
        *[_verdict(variant, row) for variant, row in found.items() if "p" in row],
        "",
        f"![Best score over training steps]({image})",
        "",
    ]
    return "\n".join(lines)


def _verdict(variant: str, row: dict[str, Any]) -> str:
    figures = f"U = {row['u']:.0f}, p = {row['p']:.4f}, difference of the medians {row['difference']:+.3f}"
    if row["p"] < 0.05:
        return f"- {OURS} beats {variant}: {figures}."
    return f"- That {OURS} beats {variant} is not shown: {figures}."


def main(
    work: Annotated[Path, typer.Argument(metavar="WORK", help="Folder for runs and results; found again.")],
    steps: Annotated[int, typer.Option(min=1, help="Training steps a search, all tasks and lanes.")] = 30_000_000,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds a strategy.")] = 5,
    strategy: Annotated[list[str] | None, typer.Option(help="Only these strategies; may be given often.")] = None,
    config: Annotated[str, typer.Option(help="Configuration of the searches.")] = "optimizers",
    settings: Annotated[list[str] | None, typer.Option("--set", help="Change a setting, key=value.")] = None,
    cores: Annotated[int | None, typer.Option(min=1, help="Searches at a time. Default: one a core.")] = None,
    out: Annotated[Path, typer.Option(help="Page; the plot and the figures stand beside it.")] = Path(
        "docs/efficacy.md"
    ),
    job: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Compares strategies at equal training steps."""
    if job is not None:  # one part of the work, in a process of its own
        jobs.work_off(job, work, lambda _, detail: _search(detail, work))
        return
    variants = strategy or list(VARIANTS)
    unknown = set(variants) - set(VARIANTS)
    if unknown:
        raise typer.BadParameter(f"strategies are {', '.join(VARIANTS)}; got {', '.join(sorted(unknown))}")
    plan = [Job(v, seed, steps, config, tuple(settings or ())) for seed in range(seeds) for v in variants]
    decides = [{"resolved": dump(one.load()), "fresh": jobs.FRESH} for one in plan]
    asked = [("search", work / one.name, {**asdict(one), **more}) for one, more in zip(plan, decides, strict=True)]
    done = jobs.run(asked, work, Path(__file__), cores)
    results = {v: [r for r, one in zip(done, plan, strict=True) if one.variant == v] for v in variants}
    found = compare(results)
    elsewhere = jobs.elsewhere(work / one.name / "run" for one in plan)
    out.parent.mkdir(parents=True, exist_ok=True)
    image = out.with_suffix(".svg")
    # the page first: it says whether the checkout was changed, and what is written here is no such change
    out.write_text(page(found, plan, jobs.command(work), elsewhere, image.name), "utf-8")
    plot(results, image)
    figures = {"comparison": found, "runs": {v: [_brief(r) for r in runs] for v, runs in results.items()}}
    out.with_suffix(".json").write_text(json.dumps(figures, indent=1), "utf-8")
    print(f"written: {out}, {image}, {out.with_suffix('.json')}")


def _brief(result: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in result.items() if key != "curve"}


def _search(detail: dict[str, Any], work: Path) -> dict[str, Any]:
    fields = {key: value for key, value in detail.items() if key not in ("resolved", "fresh")}
    job = Job(**{**fields, "settings": tuple(fields["settings"])})
    return search(job, work / job.name)


if __name__ == "__main__":
    try:
        typer.run(main)
    except ValueError as error:
        sys.exit(f"efficacy: {error}")
