"""Trials: runs of one rule under different learning rates, weight decays, constants and seeds, compiled for that rule.

Promotion and its baselines are made of these. Weight decay is decoupled and outside of the rule, so that all rules may
have it (w <- w - update - lr * decay * w); constants are data of a run, so that another value needs no compilation.

References:
    Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization".
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from statistics import median
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from evaluators.optimizers.rules import Carry, Compiled
from evaluators.optimizers.task import Task
from evaluators.optimizers.tasks import load_task
from evaluators.optimizers.training import start, trainer
from primitives.graph import Graph, check
from primitives.ops import LIBRARY
from primitives.program import OPTIMIZER, Program, constant_of, with_open
from primitives.simplify import canonicalize
from primitives.text import parse

LANES = 13
"""Trials that train side by side."""


class Contender(NamedTuple):
    """A rule as it is tried out.

    Args:
        text: its program.
        constants: the names that it assigns the constants to which trials may change.
    """

    text: str
    constants: tuple[str, ...] = ()

    @property
    def values(self) -> tuple[float, ...]:
        """Values of those constants."""
        program = parse(self.text, OPTIMIZER, LIBRARY)
        return tuple(constant_of(program, name) for name in self.constants)

    @property
    def graph(self) -> Graph:
        """Canonical form."""
        return _canonical(parse(self.text, OPTIMIZER, LIBRARY))

    @property
    def opened(self) -> Graph:
        """Canonical form with those constants as inputs."""
        return _canonical(with_open(parse(self.text, OPTIMIZER, LIBRARY), self.constants))


def _canonical(program: Program) -> Graph:
    return canonicalize(check(program, LIBRARY), LIBRARY, "float32")


class Trial(NamedTuple):
    """What one training run is given.

    Args:
        rate: the learning rate at the top of the schedule.
        decay: decoupled weight decay, times the learning rate.
        constants: values in the order of the contender's; empty means those of its text.
    """

    rate: float
    decay: float = 0.0
    constants: tuple[float, ...] = ()


class Decayed(Compiled):
    """One program with weight decay around it; a run's `program` is (decays (lanes,), constants (lanes, n)).

    Args:
        contender: the rule.
        task: the task, for its layout.
    """

    def __init__(self, contender: Contender, task: Task) -> None:
        self.defaults, self._names = contender.values, contender.constants
        super().__init__(contender.opened, LIBRARY, task)

    def step(self, program: Any, carry: Carry, given: Mapping[str, jax.Array]) -> Carry:
        """Takes one step."""
        decays, constants = program
        before = self.weights(carry)
        own = {**given, **{name: constants[:, i] for i, name in enumerate(self._names)}}
        weights, state = super().step(None, carry, own)
        return weights - (given["lr"] * decays)[:, None] * before, state


class Trials:
    """All runs of one contender on one task: a sweep and a report are compiled once each.

    Args:
        contender: the rule.
        task: the task.
        block: seeds that a report trains side by side.
        checkpoints: points of the curves of a report; 0 for none.
    """

    def __init__(self, contender: Contender, task: Task, block: int, checkpoints: int) -> None:
        self.task, self.rule = task, Decayed(contender, task)
        self._block, self._checkpoints = block, checkpoints
        self._sweep = jax.jit(trainer(task, self.rule, 1, LANES))
        self._swept: Callable[..., jax.Array] | None = None
        self._report = jax.jit(trainer(task, self.rule, block, 1, ("valid", "test"), checkpoints))

    def sweep(self, trials: Sequence[Trial], replicate: int) -> tuple[list[float], float]:
        """Trains every trial from the first seed of a replicate.

        Returns:
            Final validation losses in the order of the trials, NaN or infinite where one diverged; and the seconds that
            a full set of lanes takes, compilation aside.
        """
        at = start(self.task, replicate, (0,), self.task.steps)
        losses: list[float] = []
        seconds = []
        for first in range(0, len(trials), LANES):
            chosen = trials[first : first + LANES]
            lanes = [*chosen, *[chosen[-1]] * (LANES - len(chosen))]
            given = self._data(lanes), at, _column(lanes), jnp.int32(self.task.steps)
            sweep = self._compiled_sweep(given)
            began = time.perf_counter()
            found = np.asarray(sweep(*given))
            seconds.append(time.perf_counter() - began)
            losses += found[0, 0, : len(chosen)].astype(float).tolist()
        return losses, median(seconds[1:] or seconds)  # the first may warm up

    def _compiled_sweep(self, given: tuple[Any, ...]) -> Callable[..., jax.Array]:
        if self._swept is None:
            self._swept = self._sweep.lower(*given).compile()
        return self._swept

    def report(self, trial: Trial, replicate: int, first: int) -> dict[str, Any]:
        """Trains one trial from a block of seeds.

        Args:
            trial: what was chosen.
            replicate: seed set.
            first: number of the first seed.

        Returns:
            Final losses by seed, `valid` and `test`, and `curve`: validation losses (checkpoints, seeds).
        """
        seeds = range(first, first + self._block)
        at = start(self.task, replicate, seeds, self.task.steps)
        lanes = [trial] * self._block
        found = self._report(self._data(lanes), at, _column([trial]), jnp.int32(self.task.steps))
        final, curve = found if self._checkpoints else (found, None)
        valid, test = np.asarray(final)[:, :, 0].astype(float)
        drawn = [] if curve is None else np.asarray(curve)[:, :, 0].astype(float).tolist()
        return {"valid": valid.tolist(), "test": test.tolist(), "curve": drawn}

    def _data(self, lanes: Sequence[Trial]) -> tuple[jax.Array, jax.Array]:
        values = [trial.constants or self.rule.defaults for trial in lanes]
        decays = jnp.asarray([trial.decay for trial in lanes], jnp.float32)
        return decays, jnp.asarray(np.array(values, np.float32).reshape(len(lanes), -1))


def _column(lanes: Sequence[Trial]) -> jax.Array:
    return jnp.asarray([trial.rate for trial in lanes], jnp.float32)


task_of = lru_cache(maxsize=32)(load_task)
"""Returns a task by name; its data are read once a process."""
