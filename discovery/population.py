"""A population: what the batches of one island are bred from, the archive itself or a grid of its own."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from archive.elite import Elite
from archive.grid import AddStatus, Grid
from discovery.config import Config
from discovery.strategies import Scored, make


class Population:
    """The grid and the strategy that parents are chosen with.

    The grid is the archive itself where there is one island that never begins anew; else it is one of its own, as the
    archive is the record of all that was found. A restart empties it: after `restart.patience` batches of the island
    without a better best the strategy forgets, and breeding begins anew from the start programs or from the best of
    the archive. The batches under way then are still bred from the old population; what they give goes to the archive
    and not into the new one. The validation curve may ask for a restart too.

    Args:
        config: configuration of the run.
        archive: the archive.
        starts: number of start programs; their ids count from 0.
    """

    def __init__(self, config: Config, archive: Grid, starts: int) -> None:
        self._config, self.archive = config, archive
        self._starts = tuple(range(starts))
        own = config.restarts or config.islands > 1
        self.grid = Grid(archive.descriptors, archive.depth, archive.pessimism) if own else archive
        self._begin(0, self._starts)

    def _begin(self, first: int, origins: Sequence[int]) -> None:
        self.strategy = make(self._config.strategy)
        self.origins = tuple(origins)
        self._first = first
        self._record = float("-inf")
        self._waited = 0

    @property
    def is_apart(self) -> bool:
        """Whether its grid is one of its own."""
        return self.grid is not self.archive

    def parents(self, rng: np.random.Generator, count: int) -> tuple[int, ...]:
        """Returns the ids of `count` parents."""
        return tuple(self.strategy.parents(self.grid, self.origins, rng, count))

    def offer(self, batch: int, elite: Elite) -> bool:
        """Offers a program to its own grid, unless its batch was bred from an older population.

        Returns:
            Whether it entered.
        """
        return self.is_apart and batch >= self._first and self.grid.add(elite) is not AddStatus.REJECTED

    def receive(self, elites: Sequence[Elite]) -> None:
        """Takes in elites of another island; those that enter the grid breed from now on."""
        entered = [elite for elite in elites if self.grid.add(elite) is not AddStatus.REJECTED]
        self.strategy.observe([Scored(elite.id, elite.mean) for elite in entered])

    def update(self, behaviour: int, score: float) -> None:
        """Gives the score of a new replicate to the elites of a behaviour in its own grid."""
        if self.is_apart:
            self.grid.update(behaviour, score)

    def observe(self, batch: int, scored: Sequence[Scored]) -> None:
        """Tells the strategy of a merged batch, unless it was bred from an older population."""
        if batch >= self._first:
            self.strategy.observe(scored)

    def end_batch(self, batch: int) -> bool:
        """Counts a merged batch of its own and, at a plateau, begins anew with the batch that is planned next.

        Returns:
            Whether it began anew.
        """
        if self._config.restart.from_ == "none" or batch < self._first:
            return False
        best = self.grid.best()
        value = self.grid.value(best) if best is not None else float("-inf")
        if value > self._record:
            self._record, self._waited = value, 0
            return False
        self._waited += 1
        if self._waited < self._config.restart.patience:
            return False
        best = self.archive.best()
        origins = (best.id,) if self._config.restart.from_ == "best" and best is not None else self._starts
        self.restart(batch, origins)
        return True

    def restart(self, batch: int, origins: Sequence[int] | None = None) -> None:
        """Begins anew after the merge of a batch, from the start programs or what is given."""
        self.grid.clear()
        self._begin(batch + self._config.lag, self._starts if origins is None else origins)

    def state(self) -> Any:
        """Returns what the elites do not tell, as plain JSON data."""
        state: dict[str, Any] = {"strategy": self.strategy.state()}
        if self._config.restarts:
            state |= {
                "first": self._first,
                "origins": self.origins,
                "record": self._record,
                "waited": self._waited,
            }
        return state

    def restore(self, state: Any) -> None:
        """Takes back what `state` gave; archive and grid must be whole by then."""
        if self._config.restarts:
            self._begin(state["first"], state["origins"])
            self._record, self._waited = state["record"], state["waited"]
        self.strategy.restore(state["strategy"])
