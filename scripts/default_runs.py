"""What a user gets: default runs, their best rules judged anew, and the same rules on larger tasks that no search saw.

    python scripts/default_runs.py WORK              5 seeds of `pride run optimizers`, then docs/default_runs.md
    python scripts/default_runs.py WORK --seeds 1 --set budget=1m --task mnist_mlp

The searches run one after another, each on all cores, as the command line starts them. What is finished is kept in WORK
and found again. The machine should be quiet: a search has five minutes, whatever else goes on.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Annotated, Any

import jobs
import transfer
import typer
from scipy import stats

from discovery.config import Config
from discovery.config_file import load_config
from discovery.device import configure, describe
from discovery.report import history, summary

FRESH = range(100, 110)
"""Replicates that judge what a search found; searches use those from 0."""


def search(config: str, settings: list[str], seed: int, folder: Path) -> dict[str, Any]:
    """Runs `pride run` as a user would, unless the run is there; returns its figures."""
    if not folder.exists():
        chosen = [argument for setting in [*settings, f"seed={seed}"] for argument in ("--set", setting)]
        pride = [sys.executable, "-m", "discovery.cli.app", "run", config, "--out", str(folder), *chosen]
        print(" ".join(pride[2:]), file=sys.stderr, flush=True)
        subprocess.run(pride, check=True, stdout=subprocess.DEVNULL)
    found = summary(folder, top=1)
    if not found["finished"]:
        raise ValueError(f"a run must have come to its end, got one cut off in {folder}; remove it")
    curve = [(batch["seconds"], batch["best"][0]["score"]) for batch in history(folder).values() if batch["best"]]
    first = next((seconds for seconds, score in curve if score > curve[0][1]), None)
    return {"seed": seed, "first_improvement": first, **found}


def judge(asked: dict[str, Any]) -> dict[str, Any]:
    """Judges a rule on replicates that no search uses."""
    config = load_config(asked["config"], asked["settings"])
    return {**asked, "fresh": jobs.fresh(config, asked["program"], FRESH)}


def page(runs: list[dict[str, Any]], config: Config, command: str, larger: list[str]) -> str:
    """Returns the page."""
    machine, tasks = describe(), config.evaluation["tasks"]
    columns = ["seed", "fresh score", *tasks, "in the search", "first improvement (s)", "candidates", "evaluations"]
    columns += ["operations", "state buffers"]
    lines = [
        "# Default runs",
        "",
        f"`{command}`, {time.strftime('%Y-%m-%d')}, {machine['processor']}, {os.cpu_count()} cores,",
        f"{machine['device']}, JAX {machine['jax']}.",
        "",
        f"`pride run` with {len(runs)} seeds, budget {config.budget}, on all cores. The best rule of each run, by its",
        f"lower bound, judged anew on {len(FRESH)} replicates that no search uses: mean and 95 % t interval over them,",
        "then the means by task; 0 is AdamW, tuned for each task on the same learning rates.",
        "",
        f"| {' | '.join(columns)} |",
        "|" + " --- |" * len(columns),
    ]
    for run in runs:
        scores, best = _scores(run), run["best"]
        margin = stats.t.ppf(0.975, len(scores) - 1) * stdev(scores) / len(scores) ** 0.5
        by_task = " | ".join(f"{fmean(one[task] for one in run['fresh']):+.3f}" for task in tasks)
        first = "none" if run["first_improvement"] is None else f"{run['first_improvement']:.0f}"
        lines.append(
            f"| {run['seed']} | {fmean(scores):+.3f} ± {margin:.3f} | {by_task} | {best['score']:+.3f} | {first} | "
            f"{run['candidates']:,} | {run['evaluations']:,} | {best['size']} | "
            f"{best['descriptors']['state_buffers']:.0f} |"
        )
    middle = median(fmean(_scores(run)) for run in runs)
    return "\n".join([*lines, "", f"Median of the fresh scores: {middle:+.3f}.", "", *larger])


def _scores(run: dict[str, Any]) -> list[float]:
    """Scores by replicate, means over the tasks."""
    return [fmean(one.values()) for one in run["fresh"]]


def main(
    work: Annotated[Path, typer.Argument(metavar="WORK", help="Folder for runs and results; found again.")],
    seeds: Annotated[int, typer.Option(min=1, help="Searches.")] = 5,
    config: Annotated[str, typer.Option(help="Configuration of the searches.")] = "optimizers",
    settings: Annotated[list[str] | None, typer.Option("--set", help="Change a setting, key=value.")] = None,
    task: Annotated[list[str] | None, typer.Option(help="Larger tasks; default: all held-out ones that are.")] = None,
    replicates: Annotated[int, typer.Option(min=1, help="Seeds that are reported on the larger tasks.")] = 5,
    out: Annotated[Path, typer.Option(help="Page; the figures stand beside it.")] = Path("docs/default_runs.md"),
    job: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Runs the default search with several seeds and judges what it finds."""
    if job is not None:  # one part of the work, in a process of its own
        _work_off(json.loads(job), work)
        return
    chosen = list(settings or ())
    runs = [search(config, chosen, seed, work / f"default-{seed}") for seed in range(seeds)]
    asked = [{"config": config, "settings": chosen, "program": run["best"]["program"]} for run in runs]
    parts = [("judge", work / "fresh" / f"seed_{run['seed']}", one) for run, one in zip(runs, asked, strict=True)]
    judged = jobs.run(parts, work, Path(__file__), None)
    runs = [{**run, "fresh": result["fresh"]} for run, result in zip(runs, judged, strict=True)]
    rules = {run["seed"]: run["best"]["program"] for run in runs}
    carried = transfer.run(rules, task, replicates, work, Path(__file__))
    command = f"python scripts/{' '.join([Path(__file__).name, *sys.argv[1:]])}"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page(runs, load_config(config, chosen), command, transfer.section(carried, replicates)), "utf-8")
    figures = json.dumps({"runs": runs, "transfer": carried}, indent=1)
    out.with_suffix(".json").write_text(figures, "utf-8")
    print(f"written: {out}, {out.with_suffix('.json')}")


def _work_off(asked: dict[str, Any], work: Path) -> None:
    if asked["core"] is not None:
        os.sched_setaffinity(0, {asked["core"]})
    configure()
    result = judge(asked["detail"]) if asked["kind"] == "judge" else transfer.train(asked["detail"])
    jobs.finish(work, asked["folder"], result)


if __name__ == "__main__":
    try:
        typer.run(main)
    except ValueError as error:
        sys.exit(f"default_runs: {error}")
