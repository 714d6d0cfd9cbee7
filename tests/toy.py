"""A small domain without JAX, for tests of the search: update rules descend a noisy quadratic bowl in NumPy float64."""

import os
import signal
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from archive.descriptor import Descriptor
from archive.evaluation import Evaluation, Status, TaskResult
from evaluators.domain import Domain
from primitives.fingerprint import fingerprint, optimizer_probe
from primitives.graph import Graph
from primitives.layout import Layout
from primitives.ops import LIBRARY
from primitives.program import OPTIMIZER
from primitives.reference import Code, prepare, zero_state

LAYOUT = Layout(((2, 2), (2,)))
CURVATURES = np.array([1.0, 0.3, 0.1, 0.03, 0.01, 0.003])
NOISE = 0.05
RATES = (0.01, 0.1, 1.0)
SHARES = (0.25, 1.0)
CLIP = 10.0


class Options(BaseModel):
    """How rules are judged."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    steps: int = Field(default=12, ge=4, le=10_000, description="steps", json_schema_extra={"unit": "steps"})
    delay: float = Field(
        default=0.0, ge=0.0, le=10.0, description="sleep in every evaluation", json_schema_extra={"unit": "seconds"}
    )
    deaths: int = Field(default=0, ge=0, description="times that a worker is killed in the middle of an evaluation")
    graves: str = Field(default="", description="folder that keeps count of the deaths")


class Bowl:
    """Minimizes c (w - w*)^2 / 2, summed; start, goal w* and the noise of the gradient are drawn by the replicate.

    The score is log(baseline / loss), clipped to +-10; the baseline is gradient descent at the best of the same rates.
    """

    def __init__(self, options: Options, cache: str | None) -> None:
        self.options = options
        self._evaluated = 0

    def warm_up(self) -> None:
        """Has nothing to compile."""

    def evaluate(
        self, graph: Graph, replicate: int, thresholds: tuple[float, ...] = (), stages: range | None = None
    ) -> Evaluation:
        """Judges a canonical graph."""
        began = time.perf_counter()
        if self.options.delay:
            time.sleep(self.options.delay)
        self._evaluated += 1
        if self.options.deaths and self._evaluated % 10 == 0:
            _die(Path(self.options.graves), self.options.deaths)
        code = prepare(graph, LIBRARY, LAYOUT)
        scores: list[float] = []
        spent, stage, status, result, tolerance = 0, 0, Status.OK, None, 0.0
        for stage in range(len(SHARES)) if stages is None else stages:
            steps = max(1, round(self.options.steps * SHARES[stage]))
            losses = np.array([self._train(graph, code, replicate, steps, rate) for rate in RATES])
            spent += steps * len(RATES)
            if not np.isfinite(losses).any():
                status = Status.DIVERGED
                break
            best = int(np.nanargmin(losses))
            baseline = _baseline(replicate, self.options.steps, steps)
            score = float(np.clip(np.log((baseline + 1e-9) / (losses[best] + 1e-9)), -CLIP, CLIP))
            tolerance = float(np.mean(losses <= 1.1 * losses[best]))
            result = TaskResult(score, float(losses[best]), baseline, RATES[best])
            scores.append(score)
            if stage < len(thresholds) and score < thresholds[stage]:
                status = Status.HURDLED
                break
        return Evaluation(
            status=status,
            score=None if status is Status.DIVERGED else scores[-1],
            stage=stage,
            replicate=replicate,
            tasks={"bowl": result} if result else {},
            descriptors={"tolerance": tolerance} if status is Status.OK else {},
            stage_scores=tuple(scores),
            steps=spent,
            seconds=time.perf_counter() - began,
        )

    def _train(self, graph: Graph, code: Code, replicate: int, steps: int, rate: float) -> float:
        """Loss after some steps at one learning rate; NaN where it is not finite."""
        w, goal, noise = _drawn(replicate, self.options.steps)
        state = zero_state(graph, LAYOUT)
        lr = np.float64(rate)
        with np.errstate(all="ignore"):
            for t in range(steps):
                values = {"w": w, "g": CURVATURES * (w - goal) + noise[t], "lr": lr, "t": np.float64(t + 1)}
                registers = code.run(np, [values[name] for name in graph.inputs], state)
                state = [registers[r] for r in code.next_state]
                w = w - registers[code.outputs[0]]
            loss = _loss(w - goal)
        return loss if np.isfinite(loss) else float("nan")


class Larger(Bowl):
    """The same at a longer stretch: validation."""

    def __init__(self, options: Options, cache: str | None) -> None:
        super().__init__(options.model_copy(update={"steps": 5 * options.steps, "deaths": 0}), cache)

    def evaluate(
        self, graph: Graph, replicate: int, thresholds: tuple[float, ...] = (), stages: range | None = None
    ) -> Evaluation:
        """Judges a canonical graph."""
        return super().evaluate(graph, replicate, thresholds, range(len(SHARES) - 1, len(SHARES)))


def _loss(distance: np.ndarray) -> float:
    return float(np.sum(CURVATURES * distance * distance)) / 2


@lru_cache(maxsize=64)
def _drawn(replicate: int, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Start (D,), goal (D,) and noise of the gradient (steps, D) of a replicate."""
    rng = np.random.default_rng([replicate, 17])
    start, goal = rng.normal(size=(2, LAYOUT.size))
    return start, goal, NOISE * rng.normal(size=(steps, LAYOUT.size))


@lru_cache(maxsize=128)
def _baseline(replicate: int, drawn: int, steps: int) -> float:
    """Loss of gradient descent at its best rate."""
    start, goal, noise = _drawn(replicate, drawn)
    losses = []
    for rate in RATES:
        w = start
        for t in range(steps):
            w = w - rate * (CURVATURES * (w - goal) + noise[t])
        losses.append(_loss(w - goal))
    return min(losses)


def _die(graves: Path, deaths: int) -> None:
    """Kills this process, as often as `deaths` says over all processes."""
    for number in range(deaths):
        try:
            (graves / str(number)).touch(exist_ok=False)
        except FileExistsError:
            continue
        os.kill(os.getpid(), signal.SIGKILL)


def _refuse(graph: Graph) -> str | None:
    return None if "g" in graph.inputs else "the update must depend on the gradient g; use g"


def _static(graph: Graph) -> Mapping[str, float]:
    return {"state_buffers": len(graph.state), "size": graph.size}


def _stages(options: Any) -> tuple[str, ...]:
    return ("short", "full")


PROBE = optimizer_probe()


def _fingerprint(graph: Graph) -> int | None:
    return fingerprint(graph, LIBRARY, PROBE)


DOMAIN = Domain(
    name="toy",
    interface=OPTIMIZER,
    vocabulary=LIBRARY,
    dtype="float64",
    options=Options,
    fingerprint=_fingerprint,
    refuse=_refuse,
    static_descriptors=_static,
    descriptors=(
        Descriptor("state_buffers", (0.5, 1.5, 2.5), "live state variables"),
        Descriptor("size", (4, 8, 12, 16), "operations of the canonical form"),
        Descriptor("tolerance", (0.5, 0.9), "share of learning rates with a loss within 10 % of the best"),
    ),
    stages=_stages,
    evaluator=Bowl,
    start=("sgd",),
    inputs=("w", "g", "lr"),
    validator=Larger,
)
