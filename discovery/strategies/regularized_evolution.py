"""Regularized evolution: a population in which the oldest dies first (Real et al. 2019; Chen et al. 2023)."""

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from archive.grid import Grid
from discovery.config import Strategy as Options
from discovery.strategies import Scored


class RegularizedEvolution:
    """Keeps the last `population` scored candidates; each parent is the best of `tournament` drawn from them."""

    proposer: str | None = None
    keeps_all = True

    def __init__(self, options: Options) -> None:
        self._tournament = options.tournament
        self._alive: deque[Scored] = deque(maxlen=options.population)

    def parents(self, grid: Grid, starts: Sequence[int], rng: np.random.Generator, count: int) -> list[int]:
        """Returns the ids of `count` parents."""
        alive = list(self._alive)
        if not alive:
            return [starts[i] for i in rng.integers(len(starts), size=count).tolist()]
        drawn = rng.integers(len(alive), size=(count, self._tournament)).tolist()
        return [max((alive[i] for i in row), key=lambda one: (one.score, -one.id)).id for row in drawn]

    def observe(self, scored: Sequence[Scored]) -> None:
        """Lets a batch in; as many of the oldest die."""
        self._alive.extend(scored)

    def state(self) -> Any:
        """Returns ids and scores from the oldest on."""
        return [list(one) for one in self._alive]

    def restore(self, state: Any) -> None:
        """Takes back what `state` gave."""
        self._alive.clear()
        self._alive.extend(Scored(int(id), float(score)) for id, score in state)


STRATEGY = RegularizedEvolution
