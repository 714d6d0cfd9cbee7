"""Training runs: one update rule on one task, all its lanes in one batch, on the device from start to end.

A lane is one (seed, learning rate). Lanes of one seed share initial parameters and the order of batches, which
derive from the replicate and the seed alone, so that programs and baselines meet the same ones.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from evaluators.optimizers.rules import Carry, Compiled, Interpreted, Rule, SideBySide, interpreter, usual
from evaluators.optimizers.task import Task
from primitives.encode import Capacity, Encoded
from primitives.graph import Graph
from primitives.interpreter import Machine
from primitives.primitive import Vocabulary
from primitives.program import Interface

_RANDOM = frozenset(("noise", "hessian_diagonal"))
"""Inputs that take random numbers."""


def cosine(t: jax.Array, steps: jax.Array) -> jax.Array:
    """Returns the schedule's factor at step t from 1: (1 + cos(pi (t - 1) / steps)) / 2."""
    return 0.5 * (1.0 + jnp.cos(jnp.pi * (t - 1.0) / steps))


@partial(jax.tree_util.register_dataclass, data_fields=("weights", "order", "keys"), meta_fields=())
@dataclass(frozen=True)
class Start:
    """What a replicate fixes: initial parameters (seeds, D) float32, examples (seeds, steps, batch), keys of noise."""

    weights: jax.Array
    order: jax.Array
    keys: jax.Array


def start(task: Task, replicate: int, seeds: Sequence[int], steps: int) -> Start:
    """Draws initial parameters and batches of a replicate; batches pass over the data in permuted epochs."""
    weights, order = [], []
    examples = len(task.train[0])
    for seed in seeds:
        rng = np.random.default_rng([replicate, seed])
        weights.append(np.asarray(task.initial(rng), np.float32))
        epochs = -(-steps * task.batch // examples)
        stream = np.concatenate([rng.permutation(examples) for _ in range(epochs)])
        order.append(stream[: steps * task.batch].reshape(steps, task.batch))
    keys = jnp.stack([jax.random.fold_in(jax.random.key(replicate), seed) for seed in seeds])
    return Start(jnp.asarray(np.stack(weights)), jnp.asarray(np.stack(order), jnp.int32), keys)


def trainer(
    task: Task, rule: Rule, seeds: int, rates: int, splits: Sequence[str] = ("valid",), checkpoints: int = 0
) -> Callable[..., Any]:
    """Returns a function that trains all lanes of a program, to be jitted.

    Where the rule is of programs side by side, each has a seed of its own: the axis of seeds is that of programs.
    The function takes (program, `Start`, learning rates (rates,), steps) and gives the final losses (splits, seeds,
    rates). With checkpoints it gives the losses on the first split at as many equal parts of the run besides:
    (final, (checkpoints, seeds, rates)). It stops early once no lane has finite parameters: one that is not finite
    never becomes finite again.
    """
    train = tuple(jnp.asarray(array) for array in task.train)
    held = [tuple(jnp.asarray(array) for array in task.splits[split]) for split in splits]
    size = task.layout.size
    by_rate = jax.vmap(partial(_seen, task, frozenset(rule.inputs)), in_axes=(0, None, None))
    losses = jax.vmap(task.loss, in_axes=(0, None))

    def seen(w: jax.Array, batch: tuple[jax.Array, ...], keys: jax.Array) -> dict[str, jax.Array]:
        """What each lane sees of its batch; w (seeds, rates, D)."""
        if seeds == 1:  # without an axis for one seed a step is up to 10 % faster on a CPU
            return by_rate(w[0], tuple(array[0] for array in batch), keys[0])
        found = jax.vmap(by_rate)(w, batch, keys)
        return jax.tree.map(lambda x: x.reshape(seeds * rates, *x.shape[2:]), found)

    def run(program: Any, at: Start, learning_rates: jax.Array, steps: jax.Array) -> Any:
        lanes = jnp.repeat(at.weights, rates, axis=0)
        rate = jnp.tile(learning_rates, seeds)

        def alive(last: jax.Array, carry: tuple[jax.Array, Carry]) -> jax.Array:
            t, inner = carry
            # The last parameter speaks for its lane: a loss that is not finite makes every gradient so.
            return (t <= last) & jnp.isfinite(rule.weights(inner)[:, -1]).any()

        def step(carry: tuple[jax.Array, Carry]) -> tuple[jax.Array, Carry]:
            t, inner = carry
            rows = jax.lax.dynamic_index_in_dim(at.order, t - 1, 1, keepdims=False)
            now = jax.vmap(jax.random.fold_in, in_axes=(0, None))(at.keys, t) if _RANDOM & {*rule.inputs} else at.keys
            w = rule.weights(inner).reshape(seeds, rates, size)
            given = seen(w, tuple(array[rows] for array in train), now)
            moment = t.astype(jnp.float32)
            given |= {"lr": rate * cosine(moment, steps.astype(jnp.float32)), "t": moment}
            return t + 1, rule.step(program, inner, given)

        def measured(carry: tuple[jax.Array, Carry], splits: Sequence[tuple[jax.Array, ...]]) -> jax.Array:
            w = rule.weights(carry[1])
            final = jnp.stack([losses(w, arrays) for arrays in splits])
            # A loss may not see the last parameter; where it overflowed the run may have stopped early, so it counts.
            final = jnp.where(jnp.isfinite(w[:, -1]), final, jnp.nan)
            return final.reshape(len(splits), seeds, rates)

        def part(carry: tuple[jax.Array, Carry], last: jax.Array) -> tuple[tuple[jax.Array, Carry], jax.Array]:
            carry = jax.lax.while_loop(partial(alive, last), step, carry)
            return carry, measured(carry, held[:1])[0]

        carry = (jnp.int32(1), rule.start(program, lanes))
        if not checkpoints:
            return measured(jax.lax.while_loop(partial(alive, steps), step, carry), held)
        carry, curve = jax.lax.scan(part, carry, steps * jnp.arange(1, checkpoints + 1) // checkpoints)
        return measured(carry, held), curve

    return run


def _seen(
    task: Task, wanted: Collection[str], w: jax.Array, batch: tuple[jax.Array, ...], key: jax.Array
) -> dict[str, jax.Array]:
    """What a rule sees of the loss at parameters (D,), its gradient and, where it is `wanted`, more.

    The diagonal of the Hessian is Hutchinson's estimate z * (H z), with z of random signs.
    """
    found = {}
    if "value" in wanted:
        found["value"], found["g"] = jax.value_and_grad(task.loss)(w, batch)
    else:
        found["g"] = jax.grad(task.loss)(w, batch)
    if "noise" in wanted:
        found["noise"] = jax.random.normal(jax.random.fold_in(key, 0), w.shape, w.dtype)
    if "hessian_diagonal" in wanted:
        signs = jax.random.rademacher(jax.random.fold_in(key, 1), w.shape, w.dtype)
        found["hessian_diagonal"] = signs * jax.jvp(lambda at: jax.grad(task.loss)(at, batch), (w,), (signs,))[1]
    return found


MOST = 128
"""Programs that an accelerator trains side by side, where their registers fit into this memory:"""
REGISTER_BYTES = 2**30


def usual_width(task: Task, capacity: Capacity) -> int:
    """Returns the number of programs that train side by side on this process's device: one on a CPU, else a power of 2.

    It hangs on task, capacity and device alone, and so do the shapes that are computed with: what trains beside a
    program, and how many, does not change its bits.
    """
    if jax.default_backend() == "cpu":
        return 1
    bytes_each = 4 * capacity.tensors * len(task.learning_rates) * task.layout.size
    return min(MOST, 2 ** max(0, int(REGISTER_BYTES // bytes_each).bit_length() - 1))


@dataclass(frozen=True, eq=False)
class Loop:
    """Compiled training runs, of so many programs at a time.

    Args:
        width: number of programs side by side.
        run: trains them: (programs, starts, learning rates, steps) -> final losses (splits, programs, learning rates).
        align: what programs must be put through to go side by side.
    """

    width: int
    run: Callable[..., jax.Array]
    align: Callable[[Encoded], Encoded] = lambda program: program


class Loaded(NamedTuple):
    """A program ready to be trained: what trains it, and the program as data, None where `loop` is of it alone."""

    loop: Loop
    program: Encoded | None


class Wanted(NamedTuple):
    """A training run: a program on a seed of a replicate."""

    program: Loaded
    replicate: int
    seed: int


class Training:
    """The training runs of one task: an interpreter is compiled once, then runs any program on any seed.

    Args:
        task: the task.
        vocabulary: primitives that programs may use.
        interface: signatures that programs may have.
        capacity: sizes of the interpreter.
        splits: the splits on which final losses are taken.
        width: programs that train side by side; None means what suits the device.
    """

    def __init__(
        self,
        task: Task,
        vocabulary: Vocabulary,
        interface: Interface,
        capacity: Capacity,
        splits: Sequence[str] = ("valid",),
        width: int | None = None,
    ) -> None:
        self.task, self.splits, self._vocabulary = task, tuple(splits), vocabulary
        self.width = usual_width(task, capacity) if width is None else width
        self.machine = interpreter(task, usual(vocabulary), interface, capacity)
        self._whole = interpreter(task, vocabulary, interface, capacity)
        self._rates = jnp.asarray(task.learning_rates, jnp.float32)
        self._loop = self._interpret(self.machine)
        self._start = cache(lambda replicate, seed: start(self.task, replicate, (seed,), self.task.steps))
        self._starts = lru_cache(maxsize=8)(self._join_starts)
        self._compiled = lru_cache(maxsize=16)(self._compile)

    def _interpret(self, machine: Machine) -> Loop:
        if self.width == 1:
            return Loop(1, self._train(Interpreted(machine), 1))
        return Loop(self.width, self._train(SideBySide(machine, self.width), self.width), machine.align)

    def _train(self, rule: Rule, programs: int) -> Callable[..., jax.Array]:
        return jax.jit(trainer(self.task, rule, programs, len(self._rates), self.splits))

    @cached_property
    def _loop_whole(self) -> Loop:
        return self._interpret(self._whole)

    def load(self, graph: Graph) -> Loaded:
        """Returns a program ready to be trained; what no interpreter can run (matrices, noise ...) is compiled.

        Raises:
            ProgramError: the program needs more registers or instructions than the interpreter has.
        """
        if self.machine.stranger(graph) is None:
            return Loaded(self._loop, self._loop.align(self.machine.encode(graph)))
        if self._whole.stranger(graph) is None:
            return Loaded(self._loop_whole, self._loop_whole.align(self._whole.encode(graph)))
        return self._compiled(graph)

    def _compile(self, graph: Graph) -> Loaded:
        return Loaded(Loop(1, self._train(Compiled(graph, self._vocabulary, self.task), 1)), None)

    def losses(self, program: Loaded, replicate: int, steps: int, seeds: int = 1) -> np.ndarray:
        """Returns the final losses (seeds, learning rates) on the first split; NaN or infinite where it diverged."""
        wanted = [Wanted(program, replicate, seed) for seed in range(seeds)]
        return np.stack([finals[0] for finals in self.run_all(wanted, steps)])

    def seed_losses(self, program: Loaded, replicate: int, seed: int, steps: int) -> np.ndarray:
        """Returns the final losses (splits, learning rates) on one seed; NaN or infinite where it diverged.

        Raises:
            ValueError: more steps than the task has.
        """
        return self.run_all([Wanted(program, replicate, seed)], steps)[0]

    def run_all(self, wanted: Sequence[Wanted], steps: int) -> list[np.ndarray]:
        """Trains programs, side by side where the device likes that.

        Returns:
            For each the final losses (splits, learning rates); NaN or infinite where it diverged.

        Raises:
            ValueError: more steps than the task has.
        """
        if not 1 <= steps <= self.task.steps:
            raise ValueError(f"{self.task.name!r} trains for 1 to {self.task.steps} steps, got {steps}; ask for fewer")
        found: list[np.ndarray] = [np.empty(0)] * len(wanted)
        places: dict[Loop, list[int]] = {}
        for place, one in enumerate(wanted):
            places.setdefault(one.program.loop, []).append(place)
        for loop, own in places.items():
            # the longest program decides how long those beside it take
            own.sort(key=lambda place: _length(wanted[place]))
            for first in range(0, len(own), loop.width):
                chosen = own[first : first + loop.width]
                losses = self._train_together(loop, [wanted[place] for place in chosen], steps)
                for number, place in enumerate(chosen):
                    found[place] = losses[:, number]
        return found

    def _train_together(self, loop: Loop, wanted: Sequence[Wanted], steps: int) -> np.ndarray:
        """Returns the final losses (splits, programs, learning rates) of programs that one loop takes at a time."""
        if loop.width == 1:
            (one,) = wanted
            program, at = one.program.program, self._start(one.replicate, one.seed)
        else:
            filled = [*wanted, *[wanted[-1]] * (loop.width - len(wanted))]
            programs = [one.program.program for one in filled]
            program = Encoded(*map(np.stack, zip(*programs, strict=True)))  # type: ignore[arg-type]
            at = self._starts(tuple((one.replicate, one.seed) for one in filled))
        return np.asarray(loop.run(program, at, self._rates, jnp.int32(steps)))

    def _join_starts(self, of: Sequence[tuple[int, int]]) -> Start:
        return jax.tree.map(lambda *arrays: jnp.concatenate(arrays), *(self._start(*one) for one in of))


def _length(wanted: Wanted) -> int:
    return 0 if wanted.program.program is None else int(wanted.program.program.count)


def compiled(
    task: Task,
    graph: Graph,
    vocabulary: Vocabulary,
    seeds: int,
    learning_rates: Sequence[float],
    steps: int,
    splits: Sequence[str] = ("valid",),
) -> Callable[[int], np.ndarray]:
    """Returns the training runs of one program, compiled for it alone at the first call.

    Returns:
        A function that takes a replicate and gives the final losses (splits, seeds, learning rates).
    """
    run = jax.jit(partial(trainer(task, Compiled(graph, vocabulary, task), seeds, len(learning_rates), splits), None))
    rates = jnp.asarray(learning_rates, jnp.float32)

    def losses(replicate: int) -> np.ndarray:
        return np.asarray(run(start(task, replicate, range(seeds), steps), rates, jnp.int32(steps)))

    return losses
