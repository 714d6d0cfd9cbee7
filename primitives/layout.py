"""How the parameter tensors of a model lie in one flat vector."""

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from primitives.kinds import COLUMN, LEAF, RIGHT, ROW, SCALAR, TENSOR, Kind


@dataclass(frozen=True, slots=True)
class Layout:
    """Shapes of the parameter tensors, in the order in which they are concatenated (row-major each).

    A TENSOR value is a vector of `size` entries, a LEAF value has one entry a tensor, and values of the other kinds
    are concatenated in the same way; a primitive that sees tensors gets them back in their shapes.

    Args:
        shapes: one shape a parameter tensor.
    """

    shapes: tuple[tuple[int, ...], ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Entries of each tensor."""
        return tuple(prod(shape) for shape in self.shapes)

    @property
    def offsets(self) -> tuple[int, ...]:
        """First entry of each tensor."""
        offsets, total = [], 0
        for size in self.sizes:
            offsets.append(total)
            total += size
        return tuple(offsets)

    def shapes_of(self, kind: Kind) -> tuple[tuple[int, ...], ...]:
        """Returns the shape that a value of `kind` has beside each tensor, one that broadcasts where it may."""
        return tuple(shape_beside(shape, kind) for shape in self.shapes)

    def count(self, kind: Kind) -> int:
        """Returns the number of entries of a value of `kind`."""
        return 1 if kind is SCALAR else sum(map(prod, self.shapes_of(kind)))

    @property
    def leaves(self) -> int:
        """Number of tensors."""
        return len(self.shapes)

    @property
    def size(self) -> int:
        """Number of entries of all tensors."""
        return sum(self.sizes)

    def split(self, flat: Any, kind: Kind = TENSOR) -> list[Any]:
        """Cuts the last axis of `flat` (..., entries of `kind`) into its parts beside the tensors (..., *shape)."""
        pieces, end = [], 0
        for shape in self.shapes if kind is TENSOR else self.shapes_of(kind):
            start, end = end, end + prod(shape)
            pieces.append(flat[..., start:end].reshape((*flat.shape[:-1], *shape)))
        return pieces

    def index(self, have: Kind, kind: Kind) -> np.ndarray:
        """Returns for each entry of a value of `kind` the entry of `have` that it is lifted from."""
        return _index(self, have, kind)


def shape_beside(shape: tuple[int, ...], kind: Kind) -> tuple[int, ...]:
    """Returns the shape that a value of `kind` has beside a tensor of `shape`."""
    if kind is TENSOR:
        return shape
    if kind is LEAF:
        return ()
    if kind is ROW:
        return (*shape[:1], *[1] * len(shape[1:]))
    if kind is COLUMN:
        return (*[1] * len(shape[:1]), *shape[1:])
    n = shape[kind is RIGHT] if len(shape) == 2 else 0
    return n, n


@lru_cache(maxsize=256)
def _index(layout: Layout, have: Kind, kind: Kind) -> np.ndarray:
    start, parts = 0, []
    for source, target in zip(layout.shapes_of(have), layout.shapes_of(kind), strict=True):
        entries = np.arange(start, start + prod(source)).reshape(source)
        parts.append(np.broadcast_to(entries, target).ravel())
        start += prod(source)
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)
