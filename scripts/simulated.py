"""Simulated evaluations: programs of the domain of optimizers, bred and checked for real, their scores drawn by a hash.

What `scripts/scaling.py` measures of driver and workers does not depend on what an evaluation computes, only on how
long it takes: here it sleeps.
"""

import time
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from archive.evaluation import Evaluation, Status, TaskResult
from evaluators.optimizers import DOMAIN as OPTIMIZERS
from primitives.graph import Graph
from primitives.simplify import canonical_key

TASKS = ("digits_mlp", "digits_autoencoder", "char_lm")
STEPS = 1000


class Options(BaseModel):
    """How long evaluations take."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    seconds: float = Field(default=0.0, ge=0.0, le=60.0, description="sleep of a whole evaluation")


class Sleeper:
    """Sleeps through a first stage and a second one that takes as long as the first; scores are a function of program.

    The score is the smaller, the rarer it is: quality drifts upwards in the search as it does in a real one.
    """

    def __init__(self, options: Options, cache: str | None) -> None:
        del cache
        self._seconds = options.seconds

    def warm_up(self) -> None:
        """Has nothing to compile."""

    def evaluate(
        self, graph: Graph, replicate: int, thresholds: tuple[float, ...] = (), stages: range | None = None
    ) -> Evaluation:
        """Judges a canonical graph."""
        began = time.perf_counter()
        rng = np.random.default_rng([canonical_key(graph) % 2**63, replicate])
        quality, *noise = rng.normal(-1.0, 0.5), *rng.normal(0.0, 0.1, size=2)
        scores: list[float] = []
        for stage in stages or range(2):
            time.sleep(self._seconds / 2)
            scores.append(float(np.clip(quality + noise[stage], -2.0, 2.0)))
            if stage < len(thresholds) and scores[-1] < thresholds[stage]:
                break
        whole = len(scores) == len(stages or range(2))
        return Evaluation(
            status=Status.OK if whole else Status.HURDLED,
            score=scores[-1],
            stage=len(scores) - 1 if stages is None else stages[-1],
            replicate=replicate,
            tasks={task: TaskResult(scores[-1], 0.5, 0.4, 0.01) for task in TASKS},
            descriptors={"learning_rate_tolerance": float(rng.uniform(0.0, 2.0))} if whole else {},
            stage_scores=tuple(scores),
            steps=STEPS * len(scores),
            seconds=time.perf_counter() - began,
        )


def _stages(options: Any) -> tuple[str, ...]:
    return ("short", "full")


DOMAIN = replace(
    OPTIMIZERS,
    name="simulated",
    options=Options,
    stages=_stages,
    evaluator=Sleeper,
    wide_evaluator=None,
    baselines=None,
    validator=None,
    promotion=None,
    compiled=lambda graph: None,
)
