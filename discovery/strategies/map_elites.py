"""MAP-Elites: parents are drawn from the cells of the archive (Mouret and Clune 2015)."""

from collections.abc import Sequence

import numpy as np

from archive.grid import Grid
from discovery.config import Strategy as Options
from discovery.strategies import Stateless


class MapElites(Stateless):
    """Draws `tournament` cells at random for each parent, and of each an elite at random; the best of them breeds.

    With a tournament of 1 this is the uniform selection of the original.
    """

    def __init__(self, options: Options) -> None:
        self._tournament = options.tournament

    def parents(self, grid: Grid, starts: Sequence[int], rng: np.random.Generator, count: int) -> list[int]:
        """Returns the ids of `count` parents."""
        cells: dict[int, list[tuple[float, int]]] = {}
        for elite in grid.elites():
            cells.setdefault(elite.cell, []).append((grid.value(elite), elite.id))
        if not cells:
            return [starts[i] for i in rng.integers(len(starts), size=count).tolist()]
        held = list(cells.values())
        picks = rng.integers(len(held), size=(count, self._tournament)).tolist()
        ranks = rng.random((count, self._tournament)).tolist()
        return [
            max(held[cell][int(rank * len(held[cell]))] for cell, rank in zip(drawn, places, strict=True))[1]
            for drawn, places in zip(picks, ranks, strict=True)
        ]


STRATEGY = MapElites
