"""The judge of update rules: trains them on tasks and scores them against the tuned baseline."""

import math
import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from archive.evaluation import Evaluation, Status, TaskResult
from evaluators.optimizers.baselines import Baseline, best_rate, tuned
from evaluators.optimizers.options import Options
from evaluators.optimizers.tasks import load_task
from evaluators.optimizers.training import Training
from primitives.graph import Graph
from primitives.interpreter import Capacity
from primitives.ops import HERO
from primitives.program import OPTIMIZER, ProgramError

CLIP = 2.0
"""Largest score on one task in absolute value."""
TOLERANCE = 1.1
"""A learning rate counts as tolerated where its loss is at most this times the best."""
IGNORES_RATE = 2.0
"""Descriptor value of a rule whose losses do not depend on the learning rate at all."""


def task_score(loss: float, baseline: float) -> float:
    """Returns log(baseline / loss), clipped to +-2."""
    if loss <= 0.0:
        return CLIP
    return max(-CLIP, min(CLIP, math.log(baseline / loss)))


class Judge:
    """Trains update rules on the tasks of a configuration.

    Args:
        options: the section `evaluation` of the configuration.
        cache: folder for tuned baselines, or None.
        capacity: sizes of the interpreter.
        split: split on which losses are taken ("valid" in a search).
    """

    def __init__(
        self, options: Options, cache: str | None = None, capacity: Capacity = Capacity(), split: str = "valid"
    ) -> None:
        self.options, self._cache = options, cache
        self.trainings: list[Training] = []
        for name in options.tasks:
            task = load_task(name)
            if options.learning_rates is not None:
                task = replace(task, learning_rates=options.learning_rates)
            self.trainings.append(
                Training(task, HERO, OPTIMIZER, options.seeds, capacity, task.steps, split)
            )
        self._baselines: dict[tuple[int, int, int], Baseline] = {}

    @property
    def stages(self) -> range:
        """Indices of the stages."""
        return range(len(self.options.stages))

    def steps(self, task: int, stage: int) -> int:
        """Returns the training steps of a task at a stage."""
        return max(1, round(self.trainings[task].task.steps * self.options.stages[stage].share))

    def warm_up(self) -> None:
        """Compiles the training runs and tunes the baselines of replicate 0."""
        for stage in self.stages:
            for task in range(len(self.trainings)):
                self.baseline(task, stage, 0)

    def baseline(self, task: int, stage: int, replicate: int, anew: bool = False) -> Baseline:
        """Returns the tuned baseline of a task at a stage on a replicate."""
        key = (task, stage, replicate)
        if anew or key not in self._baselines:
            run = self.trainings[task]
            self._baselines[key] = tuned(run, replicate, self.steps(task, stage), self._cache, anew)
        return self._baselines[key]

    def evaluate(
        self, graph: Graph, replicate: int, thresholds: tuple[float, ...] = (), stages: range | None = None
    ) -> Evaluation:
        """Judges a canonical graph; see `evaluators.domain.Evaluator`."""
        began = time.perf_counter()
        try:
            programs = [run.machine.encode(graph) for run in self.trainings]
        except ProgramError as error:
            return Evaluation(Status.INVALID, None, 0, replicate, message=str(error))
        scores: list[float] = []
        results: dict[str, TaskResult] = {}
        tolerances: list[float | None] = []
        steps, stage = 0, 0
        status, message = Status.OK, ""
        for stage in self.stages if stages is None else stages:
            results, tolerances = {}, []
            for task, run in enumerate(self.trainings):
                budget = self.steps(task, stage)
                losses = run.losses(programs[task], replicate, budget)
                steps += budget * losses.size
                baseline = self.baseline(task, stage, replicate)
                best = best_rate(losses)
                if best is None:
                    status, message = Status.DIVERGED, f"not finite on {run.task.name} at any learning rate"
                    results[run.task.name] = TaskResult(-CLIP, None, baseline.loss, None)
                    break
                rate = run.task.learning_rates[best[0]]
                score = task_score(best[1], baseline.loss)
                results[run.task.name] = TaskResult(score, best[1], baseline.loss, rate)
                tolerances.append(tolerance(losses))
            if status is Status.DIVERGED:
                break
            scores.append(float(np.mean([result.score for result in results.values()])))
            if stage < len(thresholds) and scores[-1] < thresholds[stage]:
                status = Status.HURDLED
                break
        return Evaluation(
            status=status,
            score=None if status is Status.DIVERGED else scores[-1],
            stage=stage,
            replicate=replicate,
            tasks=results,
            descriptors=_descriptors(tolerances) if status is Status.OK else {},
            stage_scores=tuple(scores),
            steps=steps,
            seconds=time.perf_counter() - began,
            message=message,
        )


def tolerance(losses: np.ndarray) -> float | None:
    """Returns the share of learning rates with a seed-mean loss within 10 % of the best; None where all are equal.

    Args:
        losses: (seeds, learning rates), finite at one rate at least.
    """
    means = losses.astype(np.float64).mean(axis=0)
    if len(means) > 1 and np.all(means == means[0]):
        return None
    finite = means[np.isfinite(means)]
    return float(np.sum(finite <= TOLERANCE * finite.min())) / len(means)


def _descriptors(tolerances: list[float | None]) -> Mapping[str, float]:
    known = [share for share in tolerances if share is not None]
    return {"learning_rate_tolerance": float(np.mean(known)) if known else IGNORES_RATE}
