"""A front: every bin of the archive's first axis breeds in proportion to its number, by its better elites."""

from collections.abc import Sequence

import numpy as np

from archive.grid import Grid
from discovery.config import Strategy as Options
from discovery.strategies import Stateless


class Front(Stateless):
    """Draws a filled bin of the first axis for each parent, and of its elites `tournament`; the best of them breeds.

    For an archive whose first axis is what a score is paid with (operations, memory): where cells are drawn alike, the
    cheap programs, of which there are few, or the dear ones, whose scores are best, breed all children. Bin i, from 0,
    is drawn with a weight of i + 1: what is longer can be changed in as many more places, and of a short program all
    children are soon known.
    """

    def __init__(self, options: Options) -> None:
        self._tournament = options.tournament

    def parents(self, grid: Grid, starts: Sequence[int], rng: np.random.Generator, count: int) -> list[int]:
        """Returns the ids of `count` parents."""
        bins: dict[int, list[tuple[float, int]]] = {}
        for elite in grid.elites():
            bins.setdefault(grid.bins(elite.cell)[0], []).append((grid.value(elite), elite.id))
        if not bins:
            return [starts[i] for i in rng.integers(len(starts), size=count).tolist()]
        numbers = sorted(bins)
        held = [bins[number] for number in numbers]
        weights = 1.0 + np.array(numbers)
        picks = rng.choice(len(held), size=count, p=weights / weights.sum()).tolist()
        ranks = rng.random((count, self._tournament)).tolist()
        return [
            max(held[pick][int(rank * len(held[pick]))] for rank in places)[1]
            for pick, places in zip(picks, ranks, strict=True)
        ]


STRATEGY = Front
