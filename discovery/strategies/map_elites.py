"""MAP-Elites: parents are drawn from the cells of the archive (Mouret and Clune 2015)."""

from collections.abc import Sequence
from itertools import chain

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
        picks = rng.integers(len(held), size=(count, self._tournament))
        ranks = rng.random((count, self._tournament))
        sizes = np.fromiter(map(len, held), np.int64, len(held))
        places = (np.cumsum(sizes) - sizes)[picks] + (ranks * sizes[picks]).astype(np.int64)
        elites = list(chain.from_iterable(held))
        found, where = np.unique(places, return_inverse=True)  # an elite is drawn many times where the batch is large
        drawn = [elites[place] for place in found.tolist()]
        values = np.array([grid.value(elite) for elite in drawn])[where].reshape(places.shape)
        ids = np.array([elite.id for elite in drawn])[where].reshape(places.shape)
        best = values == values.max(axis=1, keepdims=True)
        return np.where(best, ids, -1).max(axis=1).tolist()


STRATEGY = MapElites
