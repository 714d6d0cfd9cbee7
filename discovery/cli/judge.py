"""Commands that judge: score, baselines, bench."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from discovery.cli.options import ConfigSource, Json, Overrides, ProgramFiles
from discovery.cli.output import print_json, print_table, remark, say


def score(
    files: ProgramFiles,
    source: ConfigSource,
    overrides: Overrides = None,
    stage: Annotated[
        str | None, typer.Option(metavar="NAME", help="Stage to judge at. Default: the last that search uses.")
    ] = None,
    replicates: Annotated[
        int, typer.Option(min=1, max=1_000, metavar="N", help="Replicates (seed sets) to take the mean over.")
    ] = 1,
    learning_rates: Annotated[
        Literal["task", "wide"],
        typer.Option(
            help="Learning rates to try: the task's own, or a wider grid for texts with a scale of their own."
        ),
    ] = "task",
    as_json: Json = False,
) -> None:
    """Judge programs given as text, the way search judges a candidate.

    0 is the tuned baseline, higher is better: log(baseline loss / loss), mean over the tasks.

    Examples:
      pride score lion --config optimizers
      pride score mine.py lion adamw --config optimizers --replicates 4
      pride score found.py --config optimizers --learning-rates wide --json
    """
    from discovery.config_file import load_config

    config = load_config(source, overrides or ())
    _configure()
    from discovery.scoring import score as judge
    from discovery.sources import slow_sources
    from evaluators.domain import load

    for line in slow_sources(files, load(config.domain)):
        remark(line)

    found = judge(files, config, stage=stage, replicates=replicates, wide=learning_rates == "wide")
    if as_json:
        print_json(found)
    else:
        tasks = list(dict.fromkeys(name for one in found for name in one["tasks"]))
        rows = []
        for one in found:
            results = [one["tasks"].get(name) for name in tasks]
            rows.append(
                [
                    one["file"],
                    one["status"],
                    _score(one["score"]),
                    *(_task(result) for result in results),
                    one["message"],
                ]
            )
        print_table(["file", "status", "score", *tasks, "remark"], rows)
    if any(one["status"] == "invalid" for one in found):
        raise typer.Exit(1)


def _score(score: float | None) -> str:
    return "-" if score is None else f"{score:+.4f}"


def _task(result: dict | None) -> str:
    if result is None:
        return "-"
    loss = "-" if result["loss"] is None else f"{result['loss']:.4g}"
    rate = "" if result["learning_rate"] is None else f" at {result['learning_rate']:.2g}"
    return f"{result['score']:+.4f} (loss {loss}{rate})"


def baselines(source: ConfigSource = "optimizers", overrides: Overrides = None, as_json: Json = False) -> None:
    """Tune the baselines anew and show them.

    Scores compare with these. They are tuned at the start of a run and kept under a hash of task and code; this command
    makes them again from nothing.

    Example:
      pride baselines --config optimizers
    """
    from discovery.config_file import load_config

    config = load_config(source, overrides or ())
    _configure()
    from discovery.scoring import baselines as tune

    found = tune(config)
    if as_json:
        print_json(found)
        return
    columns = list(dict.fromkeys(key for row in found.values() for key in row))
    print_table(["task", *(c.replace("_", " ") for c in columns)],
                [[name, *(row.get(c) for c in columns)] for name, row in found.items()])  # fmt: skip


def bench(
    as_json: Json = False,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="Write the page to a Markdown file too."),
    ] = None,
) -> None:
    """Measure the throughput on this machine, beside its floor (gradients alone).

    Takes a few minutes and wants the machine for itself. Prints a page in Markdown with command, machine and date.

    Examples:
      pride bench
      pride bench --json > bench.json
      pride bench -o docs/performance.md
    """
    from discovery.bench import bench as measure
    from discovery.bench import markdown

    found = measure()
    page = markdown(found)
    if out is not None:
        out.write_text(page, encoding="utf-8")
        remark(f"written: {out}")
    if as_json:
        print_json(found)
    else:
        say(page.rstrip())


def _configure() -> None:
    """Settings of the device that must stand before JAX loads."""
    from discovery.device import configure

    configure()
