"""Simulated workers: what they give is drawn from a candidate's number, in microseconds; what they do is sleep.

What driver and pool can bear does not depend on what an evaluation computes. Their results look like those of a real
search to the driver: as many candidates are known before, as many stop at the first stage, scores drift upwards.
"""

import asyncio
import pickle
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from pydantic import BaseModel

from archive.evaluation import Evaluation, Status, TaskResult
from discovery.config import Config
from discovery.config_file import build
from discovery.executors import Finished
from discovery.worker import Bred, BreedUnit, EvaluateUnit, Judged, Unit
from evaluators.optimizers import DOMAIN as OPTIMIZERS

BREED_SECONDS = 220e-6
"""Time that a real worker takes to breed a candidate, with its keys and its fingerprint (docs/performance.md)."""
KNOWN = 0.38
"""Share of the candidates that are known before (docs/performance.md: 23.7 evaluations of 38.1 candidates)."""
SEAT = 4
"""Bytes of a worker's number."""
TASKS = ("digits_mlp", "digits_autoencoder", "char_lm")
TEXT = """def train(g, m, lr):
    m = interpolate(g, m, 0.9)
    update = sign(m)
    update = update * lr
    return update, m
"""


class Nothing(BaseModel):
    """There is nothing to set."""


DOMAIN = replace(
    OPTIMIZERS,
    name="simulated",
    options=Nothing,
    stages=lambda options: ("short", "full"),
    wide_evaluator=None,
    baselines=None,
    validator=None,
    promotion=None,
)


def configuration(batch: int, **changes: Any) -> Config:
    """Returns a configuration for simulated workers, without an end of its own."""
    return build({"domain": "simulated:DOMAIN", "batch": batch, "budget": 10**12, **changes})


def draw(number: int, salt: int) -> float:
    """Returns a number from 0 to 1 that looks random (splitmix64)."""
    word = (number * 0x9E3779B97F4A7C15 + salt * 0xD1B54A32D192ED03) & 0xFFFFFFFFFFFFFFFF
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return (word ^ (word >> 31)) / 2**64


def behaviour(id: int) -> int:
    """The candidate that this one behaves as: itself, or an earlier one."""
    while draw(id, 1) < KNOWN and id > 0:
        id = int(draw(id, 2) * id)
    return id


class Simulated:
    """Works units off; `seconds` of what is finished are those that a real worker would take.

    Args:
        batch: candidates in a batch.
        seconds: time of a whole evaluation; one that stops at the first stage takes half of it.
        sleeps: whether it sleeps that long.
    """

    together = 1

    def __init__(self, batch: int, seconds: float, sleeps: bool = False) -> None:
        self._batch, self._seconds, self._sleeps = batch, seconds, sleeps

    def warm_up(self) -> None:
        """Has nothing to warm."""

    def run(self, units: Sequence[Unit]) -> list[Finished]:
        """Works off units."""
        return [self._run(unit) for unit in units]

    def _run(self, unit: Unit) -> Finished:
        if isinstance(unit, BreedUnit):
            finished = Finished(unit, self._breed(unit), BREED_SECONDS)
        elif isinstance(unit, EvaluateUnit):
            evaluation = self._evaluate(unit)
            finished = Finished(unit, Judged(unit.behaviour, evaluation), evaluation.seconds)
        else:
            raise ValueError(f"simulated workers breed and evaluate, got {type(unit).__name__}; leave validation out")
        if self._sleeps:
            time.sleep(finished.seconds)
        return finished

    def _breed(self, unit: BreedUnit) -> Bred:
        id = unit.batch * self._batch + unit.slot
        key = behaviour(id)
        size = 3 + int(27 * draw(key, 3))
        static = {"size": float(size), "state_buffers": float(int(3 * draw(key, 4)))}
        return Bred(id, unit.parent if id else None, None, "", id, key, key, size, static, TEXT)

    def _evaluate(self, unit: EvaluateUnit) -> Evaluation:
        program, noise = unit.behaviour, draw(unit.behaviour, 10 + unit.replicate)
        score = -2.0 + 2.0 * draw(program, 5) + draw(program, 6) ** 4 + 0.02 * noise
        hurdle = unit.thresholds[0] if unit.thresholds else -9.0
        whole = unit.final or score >= hurdle
        return Evaluation(
            status=Status.OK if whole else Status.HURDLED,
            score=score,
            stage=int(whole),
            replicate=unit.replicate,
            tasks={task: TaskResult(score, 0.5 - score, 0.5, 0.01) for task in TASKS},
            descriptors={"learning_rate_tolerance": 2.0 * draw(program, 7)} if whole else {},
            stage_scores=(score,) if unit.final or not whole else (score, score),
            steps=1000,
            seconds=self._seconds if whole else self._seconds / 2,
        )


class Crowd:
    """An actor that carries many simulated workers, who sleep at the same time; the first may be a slow one."""

    def __init__(self, batch: int, seconds: float, slow: float) -> None:
        self._worker, self._slow = Simulated(batch, seconds), slow
        self._seats: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def run(self, asked: bytes) -> bytes:
        """Works units off as one worker, a call at a time; its number stands before them."""
        seat = int.from_bytes(asked[:SEAT])
        slowness = self._slow if seat == 1 else 1.0
        async with self._seats[seat]:
            finished = self._worker.run(pickle.loads(asked[SEAT:]))
            await asyncio.sleep(slowness * sum(one.seconds for one in finished))
        return pickle.dumps(
            [(one.results, slowness * one.seconds, one.fault) for one in finished], pickle.HIGHEST_PROTOCOL
        )

    async def start(self) -> tuple[str, str, int]:
        """Says that a worker is there."""
        return "this machine", "simulated", self._worker.together


class Method(NamedTuple):
    """A method of a simulated worker, called as Ray calls those of actors."""

    remote: Callable[..., Any]


class Seat:
    """A simulated worker: one of many that an actor carries; a pool takes it for an actor of its own."""

    def __init__(self, crowd: Any, number: int) -> None:
        seat, run = number.to_bytes(SEAT), crowd.run.remote
        self.here = Method(crowd.start.remote)
        self.start = Method(lambda folders, make, has_gpu: crowd.start.remote())
        self.run = Method(lambda units: run(seat + units))  # one argument: a call is to cost what one of an actor does


class Crowded:
    """A place for workers that a pool takes for a cluster, with few processes for many workers.

    Args:
        ray: the module, connected.
        workers: number of workers.
        batch: candidates in a batch.
        seconds: time of a whole evaluation.
        slow: how much slower than the others the first worker is.
        processes: actors that carry them.
    """

    place, needs, has_gpus = "this machine", "a share of a process", False

    def __init__(
        self, ray: Any, workers: int, batch: int, seconds: float, slow: float = 1.0, processes: int = 1
    ) -> None:
        self.ray, self.wanted, self.room = ray, workers, workers
        make = ray.remote(num_cpus=0, max_concurrency=2 * workers + 1)(Crowd).remote
        self._crowds = [make(batch, seconds, slow) for _ in range(processes)]
        self._hired = 0

    def remarks(self) -> tuple[str, ...]:
        """Has none."""
        return ()

    def has(self, node: str) -> bool:
        """The machine stays."""
        del node
        return True

    def hire(self, actor: type) -> Seat:
        """Returns a new worker."""
        del actor
        self._hired += 1
        return Seat(self._crowds[self._hired % len(self._crowds)], self._hired)

    def close(self) -> None:
        """Ends Ray."""
        self.ray.shutdown()
