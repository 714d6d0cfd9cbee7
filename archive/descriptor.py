"""Descriptors: the axes of the archive."""

from bisect import bisect_right
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Descriptor:
    """An axis with fixed bins: cells must not drift while a search runs.

    Bin i holds values in [edges[i-1], edges[i]); what lies outside goes to the first or the last bin.

    Args:
        name: name of the descriptor.
        edges: ascending inner edges; n edges make n + 1 bins.
        doc: one line: what is measured, its unit.
        version: raised whenever the edges or the meaning change.
    """

    name: str
    edges: tuple[float, ...]
    doc: str
    version: int = 1

    @property
    def bins(self) -> int:
        """Number of bins."""
        return len(self.edges) + 1

    def bin(self, value: float) -> int:
        """Returns the bin of `value`."""
        return bisect_right(self.edges, value)
