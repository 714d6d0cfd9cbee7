"""The judge of update rules: trains them on tasks and scores them against the tuned baseline."""

import math
import os
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from archive.evaluation import Evaluation, Status, TaskResult
from evaluators.domain import Request
from evaluators.optimizers.baselines import Baseline, Setting, adamw, best_rate, measure, tuned
from evaluators.optimizers.options import Options
from evaluators.optimizers.task import Task
from evaluators.optimizers.tasks import load_task
from evaluators.optimizers.training import MOST, Training, Wanted, usual_width
from evaluators.statistics import CLIP
from primitives.encode import Capacity
from primitives.graph import Graph
from primitives.ops import LIBRARY
from primitives.program import OPTIMIZER, ProgramError

FILLING = 4
"""Programs that an accelerator judges at once, in multiples of those that train side by side."""
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
        learning_rates: what programs try instead of the lanes of the tasks; the baselines keep those.
        replicate: whose baselines `warm_up` measures; those of others wait until they are asked for.
        most: training runs side by side at most, where fewer are asked for at a time than an accelerator would take.
    """

    def __init__(
        self,
        options: Options,
        cache: str | None = None,
        learning_rates: tuple[float, ...] | None = None,
        replicate: int = 0,
        most: int = MOST,
    ) -> None:
        self.options, self._cache, self._first = options, cache, replicate
        capacity = Capacity(**options.capacity.model_dump())

        def training(task: Task) -> Training:
            return Training(task, LIBRARY, OPTIMIZER, capacity, width=min(most, usual_width(task, capacity)))

        tasks = [load_task(name) for name in options.tasks]
        if options.learning_rates is not None:
            tasks = [replace(task, learning_rates=options.learning_rates) for task in tasks]
        self.trainings = [training(task) for task in tasks]
        self._sweeps = self.trainings
        if learning_rates is not None:  # what never runs is never compiled, such as a baseline that is known
            self._sweeps = [training(replace(task, learning_rates=learning_rates)) for task in tasks]
        self._settings: dict[int, Setting] = {}
        self._baselines: dict[tuple[int, int, int], Baseline] = {}

    @property
    def stages(self) -> range:
        """Indices of the stages."""
        return range(len(self.options.stages))

    def steps(self, task: int, stage: int) -> int:
        """Returns the training steps of a task at a stage."""
        return max(1, round(self.trainings[task].task.steps * self.options.stages[stage].share))

    def warm_up(self) -> None:
        """Compiles the training runs and tunes the baselines."""
        # Workers start at different tasks, so that each finds on disk what the others have compiled and tuned.
        first = os.getpid() % len(self.trainings)
        for task in (*range(first, len(self.trainings)), *range(first)):
            run = self._sweeps[task]  # where all baselines are known from disk, nothing has run yet
            run.losses(run.load(adamw(0.9, 0.999, 0.0)), 0, 1)
            for stage in self.stages:
                self.baseline(task, stage, self._first)

    def baseline(self, task: int, stage: int, replicate: int) -> Baseline:
        """Returns the tuned baseline of a task at a stage on a replicate."""
        key = (task, stage, replicate)
        if key not in self._baselines:
            run = self.trainings[task]
            if task not in self._settings:
                self._settings[task] = tuned(run, self._cache)
            steps, seeds = self.steps(task, stage), self.options.stages[stage].seeds
            self._baselines[key] = measure(run, self._settings[task], replicate, steps, seeds)
        return self._baselines[key]

    def baselines(self) -> dict[str, dict[str, Any]]:
        """Tunes the baselines of replicate 0 anew.

        Returns:
            By "task/stage" the training steps, the fields of `Baseline` and those of its setting.
        """
        found = {}
        self._baselines.clear()
        for task, run in enumerate(self.trainings):
            self._settings[task] = tuned(run, self._cache, anew=True)
            for stage in self.stages:
                baseline = asdict(self.baseline(task, stage, 0))
                setting = baseline.pop("setting")
                found[f"{run.task.name}/{self.options.stages[stage].name}"] = {
                    "steps": self.steps(task, stage),
                    **baseline,
                    **setting,
                }
        return found

    def evaluate(
        self, graph: Graph, replicate: int, thresholds: tuple[float, ...] = (), stages: range | None = None
    ) -> Evaluation:
        """Judges a canonical graph; see `evaluators.domain.Evaluator`."""
        return self.evaluate_all([Request(graph, replicate, thresholds, stages)])[0]

    @property
    def together(self) -> int:
        """Programs that are judged at once: more than train side by side, for some stop early and leave gaps."""
        width = max(run.width for run in self._sweeps)
        return width if width == 1 else FILLING * width

    def evaluate_all(self, requests: Sequence[Request]) -> list[Evaluation]:
        """Judges canonical graphs; see `evaluators.domain.Together`."""
        began = time.perf_counter()
        judging = [self._judging(*request) for request in requests]
        judged: dict[int, Evaluation] = {}
        answers: dict[int, Any] = dict.fromkeys(range(len(requests)))
        while answers:
            asked: dict[tuple[int, int], list[tuple[int, Wanted]]] = {}
            for i, losses in answers.items():
                try:
                    task, steps, wanted = judging[i].send(losses)
                except StopIteration as end:
                    judged[i] = end.value
                else:
                    asked.setdefault((task, steps), []).extend((i, one) for one in wanted)
            answers = {}
            for (task, steps), runs in asked.items():
                found = self._sweeps[task].run_all([one for _, one in runs], steps)
                for (i, _), losses in zip(runs, found, strict=True):
                    answers.setdefault(i, []).append(losses)
        seconds = (time.perf_counter() - began) / max(1, len(requests))
        return [replace(judged[i], seconds=seconds) for i in range(len(requests))]

    def _judging(
        self, graph: Graph, replicate: int, thresholds: tuple[float, ...], stages: range | None
    ) -> Generator[tuple[int, int, list[Wanted]], list[np.ndarray], Evaluation]:
        """Judges one graph: yields task, steps and the training runs that it wants next, and is sent their losses."""
        try:
            programs = [run.load(graph) for run in self._sweeps]
        except ProgramError as error:
            return Evaluation(Status.INVALID, None, 0, replicate, message=str(error))
        scores: list[float] = []
        results: dict[str, TaskResult] = {}
        tolerances: list[float | None] = []
        taken: dict[tuple[int, int], list[np.ndarray]] = {}  # losses of each seed by task and steps
        steps, stage = 0, 0
        status, message = Status.OK, ""
        for stage in self.stages if stages is None else stages:
            results, tolerances = {}, []
            for task, run in enumerate(self._sweeps):
                budget, seeds = self.steps(task, stage), self.options.stages[stage].seeds
                known = taken.setdefault((task, budget), [])
                wanted = [Wanted(programs[task], replicate, seed) for seed in range(len(known), seeds)]
                if wanted:  # what an earlier stage has run counts
                    finals = yield task, budget, wanted
                    known += [losses[0] for losses in finals]
                    steps += budget * len(wanted) * known[-1].size
                losses = np.stack(known[:seeds])
                baseline = self.baseline(task, stage, replicate)
                best = best_rate(losses)
                if best is None:
                    status, message = Status.DIVERGED, f"not finite on {run.task.name} at any learning rate"
                    results[run.task.name] = TaskResult(-CLIP, None, baseline.loss, None)
                    break
                rate = run.task.learning_rates[best[0]]
                score = task_score(best[1], baseline.loss)
                results[run.task.name] = TaskResult(score, best[1], baseline.loss, rate)
                lanes = self.trainings[task].task.learning_rates
                tolerances.append(tolerance(losses, [lanes[0] <= r <= lanes[-1] for r in run.task.learning_rates]))
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
            message=message,
        )


def tolerance(losses: np.ndarray, counted: Sequence[bool] | None = None) -> float | None:
    """Returns the share of learning rates with a seed-mean loss within 10 % of the best; None where all are equal.

    Args:
        losses: (seeds, learning rates), finite at one rate at least.
        counted: which learning rates count for the share; None counts all.
    """
    means = losses.astype(np.float64).mean(axis=0)
    if len(means) > 1 and np.all(means == means[0]):
        return None
    near = means <= TOLERANCE * means[np.isfinite(means)].min()
    return float(near[np.array(counted)].mean() if counted is not None and any(counted) else near.mean())


def _descriptors(tolerances: list[float | None]) -> Mapping[str, float]:
    known = [share for share in tolerances if share is not None]
    return {"learning_rate_tolerance": float(np.mean(known)) if known else IGNORES_RATE}
