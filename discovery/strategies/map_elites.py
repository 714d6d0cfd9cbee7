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
        held = grid.filled()
        if not held:
            return [starts[i] for i in rng.integers(len(starts), size=count).tolist()]
        picks = rng.integers(len(held), size=(count, self._tournament)).tolist()
        ranks = rng.random((count, self._tournament)).tolist()
        chosen = [
            [held[cell][int(rank * len(held[cell]))] for cell, rank in zip(drawn, places, strict=True)]
            for drawn, places in zip(picks, ranks, strict=True)
        ]
        return [max((grid.value(elite), elite.id) for elite in drawn)[1] for drawn in chosen]


STRATEGY = MapElites
