"""Training loops that the interpreter is measured against: gradients alone, and rules written by hand.

A hand-written rule is what a person would write in JAX for all lanes at once: parameters and gradient (lanes, D),
learning rate (lanes, 1).
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import geometric_mean, median
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from archive import library
from discovery.config import Config, options
from evaluators.domain import load
from evaluators.forms import canonical_graph
from evaluators.optimizers.judge import Judge
from evaluators.optimizers.options import Options
from evaluators.optimizers.rules import Carry
from evaluators.optimizers.task import Task
from evaluators.optimizers.training import Start, Training, start, trainer
from primitives.graph import Graph

State = tuple[jax.Array, ...]
Update = Callable[[jax.Array, jax.Array, State, jax.Array, jax.Array], tuple[jax.Array, State]]
"""(w, g, state, lr, t) -> (update, next state)."""

EPSILON = 1e-8


@dataclass(frozen=True)
class ByHand:
    """A `Rule` (`evaluators.optimizers.rules`) written in JAX.

    Args:
        buffers: number of state variables, zero at the start.
        update: the rule.
    """

    buffers: int
    update: Update

    def start(self, program: Any, weights: jax.Array) -> Carry:
        """Returns the carry before the first step."""
        del program
        return weights, (jnp.zeros_like(weights),) * self.buffers

    def weights(self, carry: Carry) -> jax.Array:
        """Returns the parameters."""
        return carry[0]

    @property
    def inputs(self) -> tuple[str, ...]:
        """What a step asks for."""
        return ("g", "lr", "t")

    def step(self, program: Any, carry: Carry, given: Mapping[str, jax.Array]) -> Carry:
        """Takes one step."""
        del program
        w, state = carry
        update, state = self.update(w, given["g"], state, given["lr"][:, None], given["t"])
        return w - update, state


def _sgd(w: jax.Array, g: jax.Array, state: State, lr: jax.Array, t: jax.Array) -> tuple[jax.Array, State]:
    return lr * g, state


def _heavy_ball(w: jax.Array, g: jax.Array, state: State, lr: jax.Array, t: jax.Array) -> tuple[jax.Array, State]:
    m = 0.9 * state[0] + g
    return lr * m, (m,)


def _rmsprop(w: jax.Array, g: jax.Array, state: State, lr: jax.Array, t: jax.Array) -> tuple[jax.Array, State]:
    v = 0.99 * state[0] + 0.01 * g * g
    return lr * g / (jnp.sqrt(v) + EPSILON), (v,)


def _adam(w: jax.Array, g: jax.Array, state: State, lr: jax.Array, t: jax.Array) -> tuple[jax.Array, State]:
    m, v = state
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g * g
    m_hat, v_hat = m / (1.0 - 0.9**t), v / (1.0 - 0.999**t)
    return lr * m_hat / (jnp.sqrt(v_hat) + EPSILON), (m, v)


def _adamw(w: jax.Array, g: jax.Array, state: State, lr: jax.Array, t: jax.Array) -> tuple[jax.Array, State]:
    update, state = _adam(w, g, state, lr, t)
    return update + 0.01 * lr * w, state


def _lion(w: jax.Array, g: jax.Array, state: State, lr: jax.Array, t: jax.Array) -> tuple[jax.Array, State]:
    (m,) = state
    return lr * (jnp.sign(0.9 * m + 0.1 * g) + 0.1 * w), (0.99 * m + 0.01 * g,)


def _raw_lion(w: jax.Array, g: jax.Array, state: State, lr: jax.Array, t: jax.Array) -> tuple[jax.Array, State]:
    (v,) = state
    norm = jnp.sqrt(jnp.sum(g * g, axis=1, keepdims=True))
    g = jnp.arcsin(jnp.where(norm > lr, g * (lr / norm), g))
    m = 0.8999999761581421 * v + (1.0 - 0.8999999761581421) * g
    v = 1.109133005142212 * m + (1.0 - 1.109133005142212) * g
    lr = 0.0002171761734643951 * lr
    return lr * m / (jnp.abs(m) + EPSILON) + 0.4601978361606598 * lr * w, (v,)


BY_HAND: Mapping[str, ByHand] = MappingProxyType(
    {
        "sgd": ByHand(0, _sgd),
        "heavy_ball": ByHand(1, _heavy_ball),
        "rmsprop": ByHand(1, _rmsprop),
        "adam": ByHand(2, _adam),
        "adamw": ByHand(2, _adamw),
        "lion": ByHand(1, _lion),
        "raw_lion": ByHand(1, _raw_lion),
    }
)
"""Rules of the library, written by hand."""


def by_hand(task: Task, rule: ByHand, at: Start) -> Callable[[], np.ndarray]:
    """Returns the jitted training loop of a hand-written rule: final validation losses (seeds, learning rates)."""
    run = jax.jit(trainer(task, rule, len(at.weights), len(task.learning_rates)))
    rates, steps = jnp.asarray(task.learning_rates, jnp.float32), jnp.int32(at.order.shape[1])
    return lambda: np.asarray(run(None, at, rates, steps))[0]


def floors(task: Task, at: Start) -> dict[str, Callable[[], np.ndarray]]:
    """Returns loops that take the gradients of a training run and do next to nothing with them, by how they do it.

    They see the batches of a training run, in as many lanes and steps, and w <- w - 1e-9 g keeps the compiler from
    dropping or hoisting the gradient. There is no validation at the end. Which one is fastest hangs on the task.
    """
    gradient = jax.grad(task.loss)
    by_rate = jax.vmap(gradient, in_axes=(0, None))

    def one_by_one(w: jax.Array, batch: tuple[jax.Array, ...]) -> jax.Array:
        return jax.lax.map(lambda one: jax.lax.map(lambda lane: gradient(lane, one[1]), one[0]), (w, batch))

    def flat(w: jax.Array, batch: tuple[jax.Array, ...]) -> jax.Array:
        return by_rate(w[0], tuple(array[0] for array in batch))[None]

    ways = {"seeds and rates batched": jax.vmap(by_rate), "lane by lane": one_by_one}
    if len(at.weights) == 1:
        ways["rates batched"] = flat
    return {name: _floor(task, at, way) for name, way in ways.items()}


def _floor(task: Task, at: Start, gradient: Callable[..., jax.Array]) -> Callable[[], np.ndarray]:
    train = tuple(jnp.asarray(array) for array in task.train)
    rates = len(task.learning_rates)

    @jax.jit
    def run(weights: jax.Array, order: jax.Array) -> jax.Array:
        def step(t: jax.Array, w: jax.Array) -> jax.Array:
            return w - 1e-9 * gradient(w, tuple(array[order[:, t]] for array in train))

        return jax.lax.fori_loop(0, order.shape[1], step, jnp.repeat(weights[:, None], rates, axis=1))

    return lambda: np.asarray(run(at.weights, at.order))


def interpreter(config: Config, rounds: int) -> dict[str, Any]:
    """Times rules, interpreted and written by hand, beside the floor, at the full steps of replicate 0.

    Loops take turns and are compared within a round, so that what else the machine does meanwhile falls on all.

    Args:
        config: configuration of a run in the domain of optimizers.
        rounds: times that each loop is timed.

    Returns:
        `interpreter` and `by_hand`, by rule the geometric mean over tasks of time / time of the fastest floor; the
        geometric means of these over rules, `interpreter_geomean` and `by_hand_geomean`; and `tasks`, the same for
        each task, with the floor's way and milliseconds, and `width`, the programs that train side by side: every loop
        has as many seeds.
    """
    domain = load(config.domain)
    graphs = {name: canonical_graph(library.text(name), domain) for name in BY_HAND}
    trainings = Judge(_options(config)).trainings
    tasks = {run.task.name: {"width": run.width, **_ratios(_timed(run, graphs, rounds))} for run in trainings}
    ratios = {
        kind: {name: geometric_mean(task[kind][name] for task in tasks.values()) for name in BY_HAND}
        for kind in ("interpreter", "by_hand")
    }
    means = {f"{kind}_geomean": geometric_mean(ratio.values()) for kind, ratio in ratios.items()}
    return {**ratios, **means, "tasks": tasks}


def _options(config: Config) -> Options:
    found = options(config)
    if not isinstance(found, Options):
        raise ValueError(f"the benchmark trains update rules, got the domain {config.domain!r}; take `optimizers`")
    return found


def _timed(run: Training, graphs: Mapping[str, Graph], rounds: int) -> dict[tuple[str, str], list[float]]:
    """Seconds of every loop on one task, by kind and name, each for as many programs as train side by side."""
    task, steps = run.task, run.task.steps
    at = start(task, 0, range(run.width), steps)
    ways = floors(task, at)
    if run.width > 1:
        del ways["lane by lane"]  # what is fastest on a CPU takes minutes here
    loops: dict[tuple[str, str], Callable[[], Any]] = {("floor", way): loop for way, loop in ways.items()}
    for name, graph in graphs.items():
        loops["interpreter", name] = partial(run.losses, run.load(graph), 0, steps, run.width)
        loops["by_hand", name] = by_hand(task, BY_HAND[name], at)
    return _seconds(loops, rounds)


def _seconds(loops: Mapping[Any, Callable[[], Any]], rounds: int) -> dict[Any, list[float]]:
    """Seconds of every loop in every round, after one call that compiles."""
    for loop in loops.values():
        loop()
    seconds: dict[Any, list[float]] = {name: [] for name in loops}
    for _ in range(rounds):
        for name, loop in loops.items():
            began = time.perf_counter()
            loop()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def _ratios(seconds: Mapping[tuple[str, str], list[float]]) -> dict[str, Any]:
    """Medians over rounds of seconds / seconds of the fastest floor in the same round."""
    fastest = min((key for key in seconds if key[0] == "floor"), key=lambda key: median(seconds[key]))
    ratios: dict[str, dict[str, float]] = {}
    for (kind, name), taken in seconds.items():
        ratio = median(t / floor for t, floor in zip(taken, seconds[fastest], strict=True))
        ratios.setdefault(kind, {})[name] = ratio
    return {"floor_milliseconds": 1e3 * median(seconds[fastest]), "floor_way": fastest[1], **ratios}
