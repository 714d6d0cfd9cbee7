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
from itertools import product, starmap
from pathlib import Path
from statistics import fmean, median
from typing import Annotated, Any

import jobs
import transfer
import typer
from intervals import t_margin

from archive.store import Store
from discovery.config import Config, options
from discovery.config_file import dump, load_config
from discovery.device import cache_folder, describe
from discovery.report import history, summary
from discovery.run import stored_config
from evaluators.optimizers.baselines import SETTINGS, Setting, measure, tune
from evaluators.optimizers.judge import Judge, task_score
from evaluators.optimizers.options import Options

USUAL = tuple(starmap(Setting, product((0.8, 0.9, 0.95), (0.9, 0.99, 0.999), (0.0, 0.01, 0.1, 1.0))))
"""Betas and weight decays that people sweep. The baseline of a search goes below, where short runs have their best."""


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
    return {
        "first_improvement": next((seconds for seconds, id in best if id >= len(wanted.start or ())), None),
        **found,
    }


def _pride(*arguments: str) -> None:
    pride = [sys.executable, "-m", "discovery.cli.app", *arguments]
    print("pride", *arguments, file=sys.stderr, flush=True)
    ended = subprocess.run(pride, check=False, stdout=subprocess.DEVNULL)
    if ended.returncode != 0:
        raise ValueError(f"a search must come to its end, got exit status {ended.returncode}: see above")


def _assigned(settings: list[str]) -> list[str]:
    return [argument for setting in settings for argument in ("--set", setting)]


def judge(asked: dict[str, Any]) -> dict[str, Any]:
    """Judges a rule, or AdamW tuned within the usual range, on replicates that no search uses."""
    config = load_config(asked["config"], asked["settings"])
    if asked["program"] is None:
        return {**asked, "scores": _usual(config, asked["fresh"])}
    return {**asked, "scores": jobs.fresh(config, asked["program"], asked["fresh"])}


def _usual(config: Config, replicates: list[int]) -> list[dict[str, float]]:
    section = options(config)
    assert isinstance(section, Options)
    judge = Judge(section, str(cache_folder() / "baselines"))
    scores: list[dict[str, float]] = [{} for _ in replicates]
    for task, run in enumerate(judge.trainings):
        setting, last = tune(run, USUAL), judge.stages[-1]
        for score, replicate in zip(scores, replicates, strict=True):
            usual = measure(run, setting, replicate, judge.steps(task, last), section.stages[last].seeds)
            score[run.task.name] = task_score(usual.loss, judge.baseline(task, last, replicate).loss)
    return scores


def page(
    runs: list[dict[str, Any]],
    usual: list[dict[str, float]],
    config: Config,
    command: str,
    elsewhere: list[str],
    larger: list[str],
) -> str:
    """Returns the page."""
    machine, tasks = describe(), config.evaluation["tasks"]
    columns = ["seed", "fresh score", *tasks, "in the search", "first improvement (s)", "candidates", "evaluations"]
    columns += ["operations", "state buffers"]
    lines = [
        "# Default runs",
        "",
        f"`{command}`, {time.strftime('%Y-%m-%d')}, {machine['processor']}, {os.cpu_count()} cores,",
        f"{machine['device']}, JAX {machine['jax']}, commit {machine['commit']}.",
        *elsewhere,
        "",
        f"`pride run` with {len(runs)} seeds, budget {config.budget}, on all cores. The best rule of each run, by its",
        f"lower bound, judged anew on {len(jobs.FRESH)} replicates that no search uses (initial parameters and order",
        "of batches; the validation examples are those of the search): mean and 95 % t interval over them, then the",
        "means by task. 0 is the baseline of the search: AdamW, tuned for each task on the same learning rates, with",
        f"betas down to {min(one.beta1 for one in SETTINGS)} and {min(one.beta2 for one in SETTINGS)}, where runs as",
        "short as these have their best. The row `AdamW` is AdamW tuned in the same way within the range that people",
        "sweep (beta1 0.8 to 0.95, beta2 0.9 to 0.999). The first improvement counts from the start of the search,",
        "baselines known.",
        "",
        f"| {' | '.join(columns)} |",
        "|" + " --- |" * len(columns),
    ]
    for run in runs:
        scores, best = _means(run["scores"]), run["best"]
        by_task = " | ".join(f"{fmean(one[task] for one in run['scores']):+.3f}" for task in tasks)
        first = "none" if run["first_improvement"] is None else f"{run['first_improvement']:.0f}"
        lines.append(
            f"| {run['seed']} | {fmean(scores):+.3f} ± {t_margin(scores):.3f} | {by_task} | {best['score']:+.3f} | "
            f"{first} | {run['candidates']:,} | {run['evaluations']:,} | {best['size']} | "
            f"{best['descriptors']['state_buffers']:.0f} |"
        )
    zero = _means(usual)
    of_usual = " | ".join(f"{fmean(one[task] for one in usual):+.3f}" for task in tasks)
    lines.append(f"| AdamW | {fmean(zero):+.3f} ± {t_margin(zero):.3f} | {of_usual} |{'  |' * 6}")
    middle = median(fmean(_means(run["scores"])) for run in runs)
    medians = (
        f"Median of the fresh scores: {middle:+.3f}; over AdamW within the usual range {middle - fmean(zero):+.3f}."
    )
    return "\n".join([*lines, "", medians, "", *larger])


def _means(scores: list[dict[str, float]]) -> list[float]:
    """Means over the tasks, by replicate."""
    return [fmean(one.values()) for one in scores]


def main(
    work: Annotated[Path, typer.Argument(metavar="WORK", help="Folder for runs and results; found again.")],
    seeds: Annotated[int, typer.Option(min=1, help="Searches.")] = 5,
    config: Annotated[str, typer.Option(help="Configuration of the searches.")] = "optimizers",
    settings: Annotated[list[str] | None, typer.Option("--set", help="Change a setting, key=value.")] = None,
    task: Annotated[list[str] | None, typer.Option(help="Larger tasks; default: five held-out ones.")] = None,
    replicates: Annotated[int, typer.Option(min=1, help="Seeds that are reported on the larger tasks.")] = 10,
    out: Annotated[Path, typer.Option(help="Page; the figures stand beside it.")] = Path("docs/default_runs.md"),
    job: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Runs the default search with several seeds and judges what it finds."""
    if job is not None:  # one part of the work, in a process of its own
        jobs.work_off(job, work, lambda kind, detail: (judge if kind == "judge" else transfer.train)(detail))
        return
    chosen = list(settings or ())
    tasks = task or list(transfer.LARGER)
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
    parts.append(("judge", work / "fresh" / "adamw", {**asked, "program": None}))
    *judged, usual = jobs.run(parts, work, Path(__file__), None)
    runs = [{**run, "scores": result["scores"]} for run, result in zip(runs, judged, strict=True)]
    rules = {f"seed_{run['seed']}": run["best"]["program"] for run in runs}
    carried = transfer.run(rules, tasks, replicates, resolved.evaluation["capacity"], work, Path(__file__))
    best = max(runs, key=lambda run: fmean(_means(run["scores"])))
    elsewhere = jobs.elsewhere(work / f"default-{seed}" for seed in range(seeds))
    out.parent.mkdir(parents=True, exist_ok=True)
    larger = transfer.section(carried, replicates, f"seed_{best['seed']}")
    out.write_text(page(runs, usual["scores"], resolved, jobs.command(work), elsewhere, larger), "utf-8")
    out.with_suffix(".json").write_text(json.dumps({"runs": runs, "transfer": carried}, indent=1), "utf-8")
    print(f"written: {out}, {out.with_suffix('.json')}")


if __name__ == "__main__":
    try:
        typer.run(main)
    except ValueError as error:
        sys.exit(f"default_runs: {error}")
