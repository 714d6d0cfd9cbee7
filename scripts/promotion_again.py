"""Promotion's finals once more, from seeds that no promotion had: does what was found hold?

    python scripts/promotion_again.py RUN-promotion '#9946'
    python scripts/promotion_again.py RUN-promotion '#9946' --table tuned

The rule and the baselines train with the trials that the promotion chose for them; nothing is chosen anew.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from discovery.device import configure
from discovery.promote import REPORT, finals
from evaluators.optimizers.contenders import baseline, contender_of
from evaluators.optimizers.promotion import Promotion
from evaluators.optimizers.trials import Contender, Trial, Trials, task_of

REPLICATE = 70_000
"""Seed set that promotion does not use."""


def trained(rule: Contender, task: str, trial: Trial, settings: Promotion) -> dict[str, Any]:
    """Returns the losses of a trial, as `finals.analyse` takes them."""
    trials = Trials(rule, task_of(task), settings.block, settings.checkpoints)
    blocks = [trials.report(trial, REPLICATE, first) for first in range(0, settings.seeds, settings.block)]
    return {
        "trial": trial,
        "valid": [loss for block in blocks for loss in block["valid"]],
        "test": [loss for block in blocks for loss in block["test"]],
        "curve": np.concatenate([np.array(block["curve"]) for block in blocks], axis=1).tolist(),
    }


def again(report: dict[str, Any], names: Sequence[str], table: str, tasks: Sequence[str]) -> dict[str, Any]:
    """Trains the rules and all baselines on the tasks; returns the analysis."""
    settings = Promotion.model_validate_json(json.dumps(report["settings"]))
    texts = {f"#{one['id']}": one["text"] for one in report["candidates"]}
    rules = {name: baseline(name) for name in settings.baselines} | {name: contender_of(texts[name]) for name in names}
    results: finals.Results = {}
    for task in tasks or settings.held_out:
        for name, rule in rules.items():
            row = report[table]["losses"][task][name]
            trial = Trial(row["rate"], row["decay"], tuple(row["constants"] or ()))
            results.setdefault(task, {})[name] = trained(rule, task, trial, settings)
    return finals.analyse(results, settings, names)


def main(
    folder: Annotated[Path, typer.Argument(help="Folder of a promotion.")],
    names: Annotated[list[str], typer.Argument(help="Rules, as its tables call them.")],
    table: Annotated[str, typer.Option(help="`found` or `tuned`.")] = "found",
    task: Annotated[list[str] | None, typer.Option(help="Only these held-out tasks; may be given often.")] = None,
) -> None:
    """Prints median gain and tasks better and worse, against the best of all baselines and against each."""
    configure()
    report = json.loads((folder / REPORT).read_text("utf-8"))
    for rivals, verdicts in again(report, names, table, task or ())["versus"].items():
        for name, one in verdicts.items():
            passes = "passes" if one["passes"] else "does not pass"
            told = f"{one['median_gain']:+.4f}, better on {len(one['better'])}, worse on {len(one['worse'])}, {passes}"
            print(f"{table}: {name} beside {rivals}: {told}")


if __name__ == "__main__":
    typer.run(main)
