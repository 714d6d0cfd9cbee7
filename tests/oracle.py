"""An executor that shares nothing with `primitives.reference`: it walks statements, tensor by tensor, without a graph.

A TENSOR is a `Tensor` of arrays in their own shapes, a LEAF a `Leaf` of numbers, a SCALAR a number; which of them a
value is comes out of running the program, not of its declared kinds.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from primitives.primitive import Scope, Vocabulary
from primitives.program import COPY, Program


class Leaf(tuple):
    """One number for each tensor."""


class Tensor(tuple):
    """The tensors of the model, each in its own shape."""


def execute(program: Program, vocabulary: Vocabulary, values: Mapping[str, Any], shapes: Sequence[tuple]) -> dict:
    """Runs one step on `values` by input name and returns every variable's last value."""
    values = dict(values)
    with np.errstate(all="ignore"):
        for target, op, raw in program.statements:
            args = [values[arg] if isinstance(arg, str) else np.float64(arg) for arg in raw]
            values[target] = args[0] if op == COPY else _call(vocabulary[op], args, shapes)
    return values


def lift(value: Any, rank: int, shapes: Sequence[tuple]) -> Any:
    """Lifts to rank 1 (LEAF) or 2 (TENSOR)."""
    if rank > 0 and rank_of(value) == 0:
        value = Leaf(value for _ in shapes)
    if rank > 1 and rank_of(value) == 1:
        value = Tensor(np.full(shape, entry) for shape, entry in zip(shapes, value, strict=True))
    return value


def rank_of(value: Any) -> int:
    """0 for a SCALAR, 1 for a LEAF, 2 for a TENSOR."""
    return 2 if isinstance(value, Tensor) else 1 if isinstance(value, Leaf) else 0


def _call(primitive: Any, args: list, shapes: Sequence[tuple]) -> Any:
    free = [rank_of(arg) for arg, kind in zip(args, primitive.inputs, strict=True) if kind is None]
    rank = max(free, default=0)
    args = [lift(a, rank, shapes) if kind is None else a for a, kind in zip(args, primitive.inputs, strict=True)]
    if primitive.scope is Scope.MODEL:
        flat = [_flat(arg) for arg in args]
        result = primitive.fn(np, *flat)
        return _like(args[0], result) if np.ndim(result) else np.float64(result)
    if rank == 0:
        return np.float64(primitive.fn(np, *args))
    parts = [primitive.fn(np, *(arg[i] if rank_of(arg) else arg for arg in args)) for i in range(len(shapes))]
    return Tensor(parts) if any(np.ndim(part) for part in parts) else Leaf(parts)


def _flat(value: Any) -> Any:
    if isinstance(value, Tensor):
        return np.concatenate([part.ravel() for part in value])
    return np.array(value) if isinstance(value, Leaf) else value


def _like(value: Any, flat: Any) -> Any:
    if isinstance(value, Leaf):
        return Leaf(flat)
    ends = np.cumsum([part.size for part in value])[:-1]
    return Tensor(p.reshape(v.shape) for p, v in zip(np.split(flat, ends), value, strict=True))
