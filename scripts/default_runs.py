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
from statistics import fmean, median
from typing import Annotated, Any

import jobs
import transfer
import typer
from intervals import t_margin

from archive.store import Store
from discovery.config import Config
from discovery.config_file import dump, load_config
from discovery.device import describe
from discovery.report import history, summary
from discovery.run import stored_config


def search(config: str, settings: list[str], folder: Path) -> dict[str, Any]:
    """Runs `pride run` as a user would, unless the run is there; returns its figures.

    Raises:
        ValueError: the run did not come to its end, or the folder holds another one.
    """
    wanted = load_config(config, settings)
    if not folder.exists():
        _pride("run", config, "--out", str(folder), *_assigned(settings))
    with Store.read(folder) as store:
        if stored_config(store) != wanted:
            raise ValueError(f"{folder} must hold the run that is asked for, got other settings; remove it")
    found = summary(folder, top=1)
    if not found["finished"]:
        raise ValueError(f"a run must have come to its end, got one cut off in {folder}; remove it")
    best = [(batch["seconds"], batch["best"][0]["id"]) for batch in history(folder).values() if batch["best"]]
    # the first ids are the start programs
    return {"first_improvement": next((seconds for seconds, id in best if id >= len(wanted.start)), None), **found}


def _pride(*arguments: str) -> None:
    pride = [sys.executable, "-m", "discovery.cli.app", *arguments]
    print("pride", *arguments, file=sys.stderr, flush=True)
    ended = subprocess.run(pride, check=False, stdout=subprocess.DEVNULL)
    if ended.returncode != 0:
        raise ValueError(f"a search must come to its end, got exit status {ended.returncode}: see above")


def _assigned(settings: list[str]) -> list[str]:
    return [argument for setting in settings for argument in ("--set", setting)]


def judge(asked: dict[str, Any]) -> dict[str, Any]:
    """Judges a rule on replicates that no search uses."""
    config = load_config(asked["config"], asked["settings"])
    return {**asked, "scores": jobs.fresh(config, asked["program"], asked["fresh"])}


def page(runs: list[dict[str, Any]], config: Config, command: str, larger: list[str]) -> str:
    """Returns the page."""
    machine, tasks = describe(), config.evaluation["tasks"]
    columns = ["seed", "fresh score", *tasks, "in the search", "first improvement (s)", "candidates", "evaluations"]
    columns += ["operations", "state buffers"]
    lines = [
        "# Default runs",
        "",
        f"`{command}`, {time.strftime('%Y-%m-%d')}, {machine['processor']}, {os.cpu_count()} cores,",
        f"{machine['device']}, JAX {machine['jax']}, commit {machine['commit']}.",
        "",
        f"`pride run` with {len(runs)} seeds, budget {config.budget}, on all cores. The best rule of each run, by its",
        f"lower bound, judged anew on {len(jobs.FRESH)} replicates that no search uses (initial parameters and order",
        "of batches; the validation examples are those of the search): mean and 95 % t interval over them, then the",
        "means by task; 0 is AdamW, tuned for each task on the same learning rates. The first improvement counts from",
        "the start of the search, baselines known.",
        "",
        f"| {' | '.join(columns)} |",
        "|" + " --- |" * len(columns),
    ]
    for run in runs:
        scores, best = _scores(run), run["best"]
        by_task = " | ".join(f"{fmean(one[task] for one in run['scores']):+.3f}" for task in tasks)
        first = "none" if run["first_improvement"] is None else f"{run['first_improvement']:.0f}"
        lines.append(
            f"| {run['seed']} | {fmean(scores):+.3f} ± {t_margin(scores):.3f} | {by_task} | {best['score']:+.3f} | "
            f"{first} | {run['candidates']:,} | {run['evaluations']:,} | {best['size']} | "
            f"{best['descriptors']['state_buffers']:.0f} |"
        )
    middle = median(fmean(_scores(run)) for run in runs)
    return "\n".join([*lines, "", f"Median of the fresh scores: {middle:+.3f}.", "", *larger])


def _scores(run: dict[str, Any]) -> list[float]:
    """Scores by replicate, means over the tasks."""
    return [fmean(one.values()) for one in run["scores"]]


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
        jobs.work_off(job, work, lambda kind, detail: (judge if kind == "judge" else transfer.train)(detail))
        return
    chosen = list(settings or ())
    tasks = task or transfer.larger()
    if not all((work / f"default-{seed}").exists() for seed in range(seeds)):
        # so that no search has to compile and to tune the baselines first
        _pride("score", "adamw", "--config", config, *_assigned(chosen))
    runs = []
    for seed in range(seeds):
        settings_of_run = [*chosen, f"seed={seed}"]
        runs.append({"seed": seed, **search(config, settings_of_run, work / f"default-{seed}")})
    resolved = load_config(config, chosen)
    asked = {"config": config, "settings": chosen, "resolved": dump(resolved), "fresh": jobs.FRESH}
    parts = [
        ("judge", work / "fresh" / f"seed_{run['seed']}", {**asked, "program": run["best"]["program"]}) for run in runs
    ]
    judged = jobs.run(parts, work, Path(__file__), None)
    runs = [{**run, "scores": result["scores"]} for run, result in zip(runs, judged, strict=True)]
    rules = {f"seed_{run['seed']}": run["best"]["program"] for run in runs}
    carried = transfer.run(rules, tasks, replicates, resolved.evaluation["capacity"], work, Path(__file__))
    best = max(runs, key=lambda run: fmean(_scores(run)))
    out.parent.mkdir(parents=True, exist_ok=True)
    larger = transfer.section(carried, replicates, f"seed_{best['seed']}")
    out.write_text(page(runs, resolved, jobs.command(work), larger), "utf-8")
    out.with_suffix(".json").write_text(json.dumps({"runs": runs, "transfer": carried}, indent=1), "utf-8")
    print(f"written: {out}, {out.with_suffix('.json')}")


if __name__ == "__main__":
    try:
        typer.run(main)
    except ValueError as error:
        sys.exit(f"default_runs: {error}")
