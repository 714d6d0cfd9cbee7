"""Every execution of a rule that must agree with its authority (`authorities.py`)."""

from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any

import jax
import numpy as np
import torch
from authorities import (
    AUTHORITIES,
    CAUTIOUS,
    DECAYED,
    SHAPES,
    VARIANTS,
    Weights,
    by_optax,
    by_torch,
    gradient,
    loss,
    problem,
)
from oracle import Tensor, execute, lift

from archive import library
from primitives.compile import compile_step
from primitives.graph import check
from primitives.kinds import TENSOR
from primitives.layout import Layout
from primitives.ops import LIBRARY
from primitives.reference import zero_state
from primitives.simplify import canonicalize

__all__ = [
    "AUTHORITIES",
    "CAUTIOUS",
    "DECAYED",
    "EXECUTIONS",
    "VARIANTS",
    "by_optax",
    "by_torch",
    "compiled",
    "difference",
    "problem",
    "torch_step",
]


def statement_by_statement(name: str, lr: float) -> Weights:
    """The oracle of the tests, which shares nothing with Pride's executions."""
    program = library.load(name).program
    on = problem(name)
    weights = on.weights
    kinds = dict(program.signature.outputs)
    state = {s: lift(np.float64(0.0), kinds[s], SHAPES) for s in program.signature.state}
    for t, shifts in enumerate(on.shifts, 1):
        known = {"w": Tensor(weights), "g": Tensor(gradient(weights, shifts)), "value": loss(weights, shifts), **state}
        known |= {"lr": np.float64(lr), "t": np.float64(t)}
        known |= {"hessian_diagonal": Tensor(on.hessians[t - 1]), "noise": Tensor(on.noises[t - 1])}
        given = {name: known[name] for name, _ in program.signature.inputs}
        values = execute(program, LIBRARY, given, SHAPES)
        state = {s: lift(values[s], kinds[s], SHAPES) for s in state}
        weights = [w - u for w, u in zip(weights, lift(values["update"], TENSOR, SHAPES), strict=True)]
    return weights


def compiled(name: str, lr: float) -> Weights:
    """The compiled form of the canonical program."""
    graph = canonicalize(check(library.load(name).program, LIBRARY), LIBRARY, "float64")
    layout = Layout(SHAPES)
    on = problem(name)
    with jax.enable_x64(True):
        step = jax.jit(compile_step(graph, LIBRARY, layout))
        w = flat(on.weights)
        state: Sequence[Any] = zero_state(graph, layout)
        for t, shifts in enumerate(on.shifts, 1):
            values = {"w": w, "g": 0.5 * w + flat(shifts), "value": loss(layout.split(w), shifts)}
            values |= {"lr": np.float64(lr), "t": np.float64(t)}
            values |= {"hessian_diagonal": flat(on.hessians[t - 1]), "noise": flat(on.noises[t - 1])}
            (update,), state = step({key: values[key] for key in graph.inputs}, state)
            w = w - np.asarray(update)
    return layout.split(w)


def flat(arrays: Weights) -> np.ndarray:
    """All entries as one vector."""
    return np.concatenate([x.ravel() for x in arrays])


def numpy_source(name: str, lr: float) -> Weights:
    """The exported NumPy module."""
    module: dict[str, Any] = {}
    exec(library.load(name).source("python"), module)
    on = problem(name)
    weights = on.weights
    state = module["init"](weights)
    for shifts, hessian, noise in zip(on.shifts, on.hessians, on.noises, strict=True):
        known = {"value": loss(weights, shifts), "hessian_diagonal": hessian, "noise": noise}
        more = {key: known[key] for key in signature(module["update"]).parameters if key in known}
        updates, state = module["update"](weights, gradient(weights, shifts), state, lr, **more)
        weights = [w - u for w, u in zip(weights, updates, strict=True)]
    return weights


def torch_step(optimizer: Any, value: torch.Tensor, hessian: Any, noise: Any) -> None:
    """Calls `step` with what it asks for."""
    known = {"value": value, "hessian_diagonal": hessian, "noise": noise}
    optimizer.step(**{key: known[key] for key in signature(type(optimizer).step).parameters if key in known})


EXECUTIONS: dict[str, Callable[[str, float], Weights]] = {
    "statements": statement_by_statement,
    "compiled": compiled,
    "numpy": numpy_source,
    "optax": lambda name, lr: by_optax(library.load(name).optax(lr), problem(name)),
    "torch": lambda name, lr: by_torch(lambda p: library.load(name).torch(p, lr), torch_step, problem(name)),
    "torch, joined": lambda name, lr: by_torch(
        lambda p: library.load(name).torch(p, lr, foreach=True), torch_step, problem(name)
    ),
}


def difference(name: str, execution: str, lr: float) -> float:
    """The largest difference from the authority after training, relative to the largest move where that is above 1."""
    start = problem(name).weights
    mine, reference = EXECUTIONS[execution](name, lr), AUTHORITIES[name].train(lr)
    for w, expected in zip(mine, reference, strict=True):
        assert w.dtype == expected.dtype == np.float64
    moved = max(np.abs(expected - first).max() for expected, first in zip(reference, start, strict=True))
    assert moved > 0.0
    return max(float(np.abs(w - expected).max()) for w, expected in zip(mine, reference, strict=True)) / max(moved, 1.0)
