"""What promotion asks of workers, and the worker: sweeps and reports of one rule, and simplification."""

import time
from collections.abc import Sequence
from functools import lru_cache
from math import isfinite
from typing import Any, NamedTuple

from archive.evaluation import Status
from discovery.config import Config, options
from discovery.executors import Finished
from discovery.promote.reduce import reduce
from discovery.worker import LONGEST_MESSAGE, try_twice
from evaluators.domain import Evaluator, load
from evaluators.forms import canonical_graph
from evaluators.optimizers.promotion import Promotion
from evaluators.optimizers.trials import Contender, Trial, Trials, task_of
from evaluators.statistics import CLIP

# Replicates: search and re-evaluation have those below 1,000, validation those from 10,000.
SIMPLIFYING, CHOOSING, TUNING, REPORTING = 20_000, 40_000, 50_000, 60_000
"""First replicates of what promotion does; what is chosen on one of them is reported on another."""


class Sweep(NamedTuple):
    """Trials of a rule on a task, from one seed."""

    contender: Contender
    task: str
    replicate: int
    trials: tuple[Trial, ...]


class Report(NamedTuple):
    """A block of seeds of a rule on a task under one trial."""

    contender: Contender
    task: str
    replicate: int
    trial: Trial
    first: int


class Simplify(NamedTuple):
    """A program to be made simpler."""

    text: str


class PromotionWorker:
    """Works off the units of a promotion.

    Args:
        config: configuration of the search.
        settings: settings of the promotion.
        cache: folder for what evaluators keep between runs, or None.
    """

    together = 1

    def __init__(self, config: Config, settings: Promotion, cache: str | None) -> None:
        self.config, self.settings, self._cache = config, settings, cache
        self.domain = load(config.domain)
        self._final = len(self.domain.stages(options(config))) - 1
        self._evaluator: Evaluator | None = None
        self._trials = lru_cache(maxsize=4)(self._make_trials)

    def warm_up(self) -> None:
        """Nothing: a resumed promotion may need little of what there is to compile."""

    def run(self, units: Sequence[Any]) -> list[Finished]:
        """Works off units; what breaks in one twice is a fault of its rule, but for what a user can mend."""
        return [self._run(unit) for unit in units]

    def _run(self, unit: Any) -> Finished:
        began = time.perf_counter()
        found = try_twice(self._work, unit, through=(ValueError,))
        seconds = time.perf_counter() - began
        if isinstance(found, str):
            return Finished(unit, None, seconds, " ".join(found.split())[:LONGEST_MESSAGE])
        return Finished(unit, found, seconds)

    def _work(self, unit: Any) -> Any:
        if isinstance(unit, Sweep):
            losses, seconds = self._trials(unit.contender, unit.task).sweep(unit.trials, unit.replicate)
            return {"losses": [loss if isfinite(loss) else None for loss in losses], "lanes_seconds": seconds}
        if isinstance(unit, Report):
            found = self._trials(unit.contender, unit.task).report(unit.trial, unit.replicate, unit.first)
            return {key: _finite(value) for key, value in found.items()}
        settings = self.settings
        return reduce(unit.text, self.domain, self._fresh_score, settings.replicates, settings.margin)

    def _make_trials(self, contender: Contender, task: str) -> Trials:
        return Trials(contender, task_of(task), self.settings.block, self.settings.checkpoints)

    def _fresh_score(self, text: str, number: int) -> float:
        return self.score(text, SIMPLIFYING + number)

    def score(self, text: str, replicate: int) -> float:
        """Returns the score of a program at the search's last stage; the worst there is where it fails."""
        if self._evaluator is None:
            self._evaluator = self.domain.evaluator(options(self.config), self._cache)
        graph = canonical_graph(text, self.domain)
        found = self._evaluator.evaluate(graph, replicate, (), range(self._final, self._final + 1))
        ok = found.status is Status.OK and found.score is not None
        return float(found.score) if ok and found.score is not None else -CLIP


def failed(unit: Any, settings: Promotion) -> Any:
    """Returns what a unit gives that no worker survives: what a rule gives that diverges, None for one to simplify."""
    if isinstance(unit, Sweep):
        return {"losses": [None] * len(unit.trials), "lanes_seconds": 0.0}
    return diverged(settings) if isinstance(unit, Report) else None


def diverged(settings: Promotion) -> dict[str, Any]:
    """Returns the result of a report where every seed diverges."""
    lost = [None] * settings.block
    return {"valid": lost, "test": lost, "curve": [lost] * settings.checkpoints}


def _finite(values: Any) -> Any:
    """Nested lists with None where a loss is not finite: JSON has no word for it."""
    if isinstance(values, list):
        return [_finite(value) for value in values]
    return values if isfinite(values) else None
