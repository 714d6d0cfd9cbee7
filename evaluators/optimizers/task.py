"""A task: a training problem that scores update rules."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TypeAlias

import jax
import numpy as np

from evaluators.plugins import import_object, refuse_unknown
from primitives.layout import Layout

Batch: TypeAlias = tuple[jax.Array, ...]
"""Arrays whose leading axes run over the same examples."""

LEARNING_RATES: tuple[float, ...] = tuple(10.0 ** (half / 2) for half in range(-5, 0))
"""The default lanes, half decades from 10^-2.5 to 10^-0.5."""

LARGE_LEARNING_RATES: tuple[float, ...] = tuple(10.0 ** (half / 2) for half in range(-9, 1))
"""Lanes of larger models, half decades from 10^-4.5 to 1: rules that take signs want smaller rates there."""


@dataclass(frozen=True, eq=False)
class Task:
    """A model, a loss and data: minimize the mean of loss(w, examples) over w in R^D.

    Training examples give the gradients, validation examples the score that search sees. Test examples belong to the
    final report: nothing is ever selected on them.

    Args:
        name: name of the task.
        layout: shapes of the parameter tensors; D = layout.size.
        initial: draws the initial parameters, flat (D,) float32, from a generator.
        loss: mean loss, a scalar, of flat parameters (D,) on a batch; pure JAX.
        train: arrays (examples, ...), all with the same leading axis.
        valid: the same of the validation split.
        test: the same of the test split.
        batch: examples a training step.
        steps: training steps at the full stage of a search.
        learning_rates: the lanes, ascending.
        doc: one line: model, data, unit of the loss.

    Raises:
        ValueError: the fields don't fit each other.
    """

    name: str
    layout: Layout
    initial: Callable[[np.random.Generator], np.ndarray]
    loss: Callable[[jax.Array, Batch], jax.Array]
    train: tuple[np.ndarray, ...]
    valid: tuple[np.ndarray, ...]
    test: tuple[np.ndarray, ...]
    batch: int
    steps: int
    learning_rates: tuple[float, ...] = LEARNING_RATES
    doc: str = ""

    def __post_init__(self) -> None:
        kinds = [[(array.dtype, array.shape[1:]) for array in arrays] for arrays in self.splits.values()]
        if not self.train or kinds[0] != kinds[1] or kinds[0] != kinds[2]:
            raise ValueError(
                f"task {self.name!r}: train, valid and test must hold the same arrays but for the number of examples, "
                f"got {kinds[0]}, {kinds[1]} and {kinds[2]}; cut them from one data set"
            )
        for split, arrays in self.splits.items():
            counts = {len(array) for array in arrays}
            if len(counts) != 1 or 0 in counts:
                raise ValueError(
                    f"task {self.name!r}: the arrays of {split} must have the same, positive number of examples, "
                    f"got {[len(array) for array in arrays]}; cut them with the same indices"
                )
        if not 1 <= self.batch <= len(self.train[0]):
            raise ValueError(
                f"task {self.name!r}: batch must be from 1 to the {len(self.train[0])} training examples, "
                f"got {self.batch}; draw fewer examples a step"
            )
        if self.steps < 1:
            raise ValueError(f"task {self.name!r}: steps must be at least 1, got {self.steps}")
        rates = self.learning_rates
        if not rates or not 0 < rates[0] < np.inf or any(not a < b < np.inf for a, b in pairwise(rates)):
            raise ValueError(f"task {self.name!r}: learning rates must be positive and ascending, got {rates}")

    @property
    def splits(self) -> Mapping[str, tuple[np.ndarray, ...]]:
        """The arrays by the name of their split."""
        return {"train": self.train, "valid": self.valid, "test": self.test}

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of all that the task's losses depend on.

        Of the code it takes what it does, not how it reads: the traced computation of loss and gradient, which also
        covers every function and constant that the loss calls and closes over, and one draw of the initial
        parameters. So a comment changes nothing and a changed subroutine does. A new JAX version may change it.
        """
        parts = hashlib.sha256()

        def add(label: str, *values: object) -> None:
            for value in values:
                content = value if isinstance(value, bytes) else repr(value).encode()
                parts.update(f"{label}:{len(content)}:".encode() + content)

        add("shapes", self.layout.shapes)
        add("schedule", self.batch, self.steps, tuple(float(rate) for rate in self.learning_rates))
        for split, arrays in self.splits.items():
            for array in arrays:
                add(split, array.shape, array.dtype.str, np.ascontiguousarray(array).tobytes())
        add("initial", np.ascontiguousarray(self.initial(np.random.default_rng(0)), np.float32).tobytes())
        traced = jax.make_jaxpr(jax.value_and_grad(self.loss))(*self.arguments)
        # Rules of derivation print with the address of their function, which differs from process to process.
        add("loss", re.sub(r" at 0x[0-9a-f]+", "", str(traced.jaxpr)))
        for constant in traced.consts:
            add("constant", np.asarray(constant).tobytes())
        return parts.hexdigest()

    @property
    def arguments(self) -> tuple[jax.ShapeDtypeStruct, tuple[jax.ShapeDtypeStruct, ...]]:
        """Shapes and dtypes that the loss sees in a training step: parameters (D,), batch (batch, ...)."""
        batch = tuple(jax.ShapeDtypeStruct((self.batch, *array.shape[1:]), array.dtype) for array in self.train)
        return jax.ShapeDtypeStruct((self.layout.size,), np.dtype(np.float32)), batch


def check(task: Task) -> Task:
    """Returns the task after trying its functions: one draw of parameters, one trace of the loss.

    Raises:
        ValueError: `initial` or `loss` does not give what a Task promises.
    """
    drawn = np.asarray(task.initial(np.random.default_rng(0)))
    if drawn.shape != (task.layout.size,) or drawn.dtype != np.float32 or not np.isfinite(drawn).all():
        raise ValueError(
            f"task {task.name!r}: initial must draw finite float32 parameters of shape ({task.layout.size},), "
            f"got {drawn.dtype} of shape {drawn.shape}; concatenate the tensors of the layout row by row"
        )
    try:
        out = jax.eval_shape(task.loss, *task.arguments)
    except Exception as error:
        raise ValueError(
            f"task {task.name!r}: loss must be pure JAX of (parameters, batch), got {type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else ''}; try jax.eval_shape(task.loss, *task.arguments)"
        ) from error
    if getattr(out, "shape", None) != () or out.dtype != np.float32:
        raise ValueError(
            f"task {task.name!r}: loss must be one float32 number, got {out}; take the mean over the batch"
        )
    return task


VARIED = ("batch", "steps")
"""Fields that a variant may change."""


def load(name: str, known: Mapping[str, Callable[[], Task]]) -> Task:
    """Returns the task of that name, or what `package.module:NAME` names: a Task or a function that makes one.

    Args:
        name: a name in `known`, or `package.module:NAME`; behind an `@`, what a variant changes: `batch=16,steps=100`.
        known: makers of tasks by name.

    Raises:
        ValueError: there is no such task, what is there is no task, or the task has no such variant.
    """
    base, at, text = name.partition("@")
    if not at:
        return _original(name, known)
    changes = _changes(name, text)
    return check(replace(_original(base, known), name=name, **changes))


def _changes(name: str, text: str) -> dict[str, int]:
    """Reads `batch=16,steps=100`."""
    pairs = [part.partition("=") for part in text.split(",")]
    changes = {key: int(value) for key, _, value in pairs if re.fullmatch("[1-9][0-9]{0,8}", value)}
    if len(changes) < len(pairs) or not changes.keys() <= {*VARIED}:
        raise ValueError(
            f"behind the @ of a task must stand {' or '.join(f'{key}=N' for key in VARIED)}, each at most once, with a "
            f"positive whole N, separated by a comma, got {text!r} in {name!r}; write NAME@batch=16,steps=100"
        )
    return changes


def _original(name: str, known: Mapping[str, Callable[[], Task]]) -> Task:
    """The task without changes."""
    if ":" not in name:
        refuse_unknown("task", name, known)
        return check(known[name]())
    found = import_object("task", name)
    if callable(found) and not isinstance(found, type):
        try:
            found = found()
        except Exception as error:  # noqa: BLE001  (a user's function may raise anything)
            raise ValueError(
                f"{name!r} must make its Task when called without arguments, got {error!r}; mend the function"
            ) from error
    if not isinstance(found, Task):
        what = found.__name__ if isinstance(found, type) else type(found).__name__
        raise ValueError(f"{name!r} must be a Task or a function that makes one, got {what}; name that object")
    return check(found)
