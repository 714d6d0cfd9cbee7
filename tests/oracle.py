"""An executor that shares nothing with `primitives.reference`: it walks statements, tensor by tensor, without a graph.

What has one value a tensor is a `Leaf` of numbers, what has several (a TENSOR, a ROW, a LEFT ...) a `Tensor` of arrays
in their own shapes, a SCALAR is a number; which of them a value is comes out of running the program, not of its
declared kinds.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from primitives.kinds import COLUMN, LEAF, LEFT, RIGHT, ROW, SCALAR, TENSOR, Kind
from primitives.layout import shape_beside
from primitives.primitive import Scope, Vocabulary
from primitives.program import COPY, Program


class Leaf(tuple):
    """One number for each tensor."""


class Tensor(tuple):
    """Arrays, one beside each tensor of the model."""


def execute(program: Program, vocabulary: Vocabulary, values: Mapping[str, Any], shapes: Sequence[tuple]) -> dict:
    """Runs one step on `values` by input name and returns every variable's last value."""
    values = dict(values)
    with np.errstate(all="ignore"):
        for target, op, raw in program.statements:
            args = [values[arg] if isinstance(arg, str) else np.float64(arg) for arg in raw]
            values[target] = args[0] if op == COPY else _call(vocabulary[op], args, shapes)
    return values


def lift(value: Any, kind: Kind, shapes: Sequence[tuple]) -> Any:
    """Lifts to a kind; what is there already stays."""
    if kind is SCALAR:
        return value
    parts = value if rank_of(value) else [value for _ in shapes]
    if kind is LEAF:
        return Leaf(parts)
    wanted = [shape_beside(shape, kind) for shape in shapes]
    return Tensor(np.broadcast_to(part, shape) for part, shape in zip(parts, wanted, strict=True))


def rank_of(value: Any) -> int:
    """0 for a SCALAR, 1 for a LEAF, 2 for what has arrays."""
    return 2 if isinstance(value, Tensor) else 1 if isinstance(value, Leaf) else 0


def _call(primitive: Any, args: list, shapes: Sequence[tuple]) -> Any:
    free = [arg for arg, kind in zip(args, primitive.inputs, strict=True) if kind is None]
    if primitive.overloads:  # what is no array yet is a TENSOR or a SCALAR, never a square matrix
        declared = zip(*(one for one, _ in primitive.overloads), strict=True)
        wanted = [next((kind for kind in kinds if kind not in (LEFT, RIGHT)), SCALAR) for kinds in declared]
        args = [
            arg if _is_whole(arg, shapes) else lift(arg, kind, shapes) for arg, kind in zip(args, wanted, strict=True)
        ]
    elif primitive.scope is not Scope.ELEMENT:
        rank = max(map(rank_of, free), default=0)
        args = [
            _joined(arg, free, rank, shapes) if kind is None else lift(arg, kind, shapes) if kind is TENSOR else arg
            for arg, kind in zip(args, primitive.inputs, strict=True)
        ]
    if primitive.scope is Scope.MODEL:
        result = primitive.fn(np, *map(_flat, args))
        return _like(args[0], result) if np.ndim(result) else np.float64(result)
    if all(rank_of(arg) == 0 for arg in args):
        return np.float64(primitive.fn(np, *args))
    parts = [primitive.fn(np, *(arg[i] if rank_of(arg) else arg for arg in args)) for i in range(len(shapes))]
    reduces = primitive.output is LEAF or (
        primitive.overloads and all(gives is LEAF for _, gives in primitive.overloads)
    )
    whole = any(rank_of(arg) == 2 for arg in args) and not reduces
    return Tensor(parts) if whole else Leaf(parts)


def _is_whole(value: Any, shapes: Sequence[tuple]) -> bool:
    """Whether it has arrays that are no mere row or column of something larger."""
    if rank_of(value) < 2:
        return False
    got = [np.shape(part) for part in value]
    axes = ([shape_beside(shape, kind) for shape in shapes] for kind in (ROW, COLUMN))
    return got == [*map(tuple, shapes)] or got not in list(axes)


def _joined(value: Any, free: list, rank: int, shapes: Sequence[tuple]) -> Any:
    """A free argument beside others: all arrive in one shape."""
    if rank == 0:
        return value
    parts = value if rank_of(value) else [value for _ in shapes]
    if rank == 1:
        return Leaf(parts)
    arrays = [other for other in free if rank_of(other) == 2]
    wanted = [np.broadcast_shapes(*(np.shape(array[i]) for array in arrays)) for i in range(len(shapes))]
    return Tensor(np.broadcast_to(part, shape) for part, shape in zip(parts, wanted, strict=True))


def _flat(value: Any) -> Any:
    if isinstance(value, Tensor):
        return np.concatenate([part.ravel() for part in value])
    return np.array(value) if isinstance(value, Leaf) else value


def _like(value: Any, flat: Any) -> Any:
    if isinstance(value, Leaf):
        return Leaf(flat)
    ends = np.cumsum([part.size for part in value])[:-1]
    return Tensor(p.reshape(v.shape) for p, v in zip(np.split(flat, ends), value, strict=True))
