"""How the parameter tensors of a model lie in one flat vector."""

from dataclasses import dataclass
from math import prod
from typing import Any


@dataclass(frozen=True, slots=True)
class Layout:
    """Shapes of the parameter tensors, in the order in which they are concatenated (row-major each).

    A TENSOR value is a vector of `size` entries, a LEAF value has one entry a tensor; a matrix primitive gets the
    tensors back in their shapes.

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

    @property
    def leaves(self) -> int:
        """Number of tensors."""
        return len(self.shapes)

    @property
    def size(self) -> int:
        """Number of entries of all tensors."""
        return sum(self.sizes)

    def split(self, flat: Any) -> list[Any]:
        """Cuts the last axis of `flat` (..., size) into tensors (..., *shape)."""
        return [
            flat[..., offset : offset + size].reshape(*flat.shape[:-1], *shape)
            for offset, size, shape in zip(self.offsets, self.sizes, self.shapes, strict=True)
        ]
