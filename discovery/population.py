"""What is bred from: the archive or, where the search may begin anew, a grid that does."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from archive.elite import Elite
from archive.grid import AddStatus, Grid
from archive.records import elite_from_row, elite_to_row
from discovery.config import Config
from discovery.strategies import Scored, load


class Population:
    """The grid and the strategy that parents are chosen with.

    Without restarts the grid is the archive itself. With restarts it is one of its own, as the archive is the record of
    all that was found: after `restart.patience` batches without a better best it is emptied, the strategy forgets, and
    breeding begins anew from the start programs or from the best of the archive. The batches under way then are still
    bred from the old population; what they give goes to the archive and not into the new one. The validation curve may
    ask for a restart too.

    Args:
        config: configuration of the run.
        archive: the archive.
        starts: number of start programs; their ids count from 0.
    """

    def __init__(self, config: Config, archive: Grid, starts: int) -> None:
        self._config, self.archive = config, archive
        self._starts = tuple(range(starts))
        self._begin(0, self._starts)

    def _begin(self, first: int, origins: Sequence[int]) -> None:
        archive = self.archive
        self.strategy = load(self._config.strategy.name)(self._config.strategy)
        self.grid = Grid(archive.descriptors, archive.depth, archive.pessimism) if self.restarts else archive
        self.origins = tuple(origins)
        self._first = first
        self._record = float("-inf")
        self._waited = 0

    @property
    def restarts(self) -> bool:
        """Whether the search may begin anew."""
        return self._config.restarts

    def parents(self, rng: np.random.Generator, count: int) -> tuple[int, ...]:
        """Returns the ids of `count` parents."""
        return tuple(self.strategy.parents(self.grid, self.origins, rng, count))

    def offer(self, batch: int, elite: Elite) -> bool:
        """Offers a program of a batch to the archive and, if it was bred from it, to this population.

        Returns:
            Whether it entered one of them and may become a parent.
        """
        entered = self.archive.add(elite) is not AddStatus.REJECTED
        if self.restarts and batch >= self._first:
            entered |= self.grid.add(elite) is not AddStatus.REJECTED
        return entered

    def update(self, behaviour: int, score: float) -> None:
        """Gives the score of a new replicate to the elites of a behaviour."""
        self.archive.update(behaviour, score)
        if self.restarts:
            self.grid.update(behaviour, score)

    def observe(self, batch: int, scored: Sequence[Scored]) -> None:
        """Tells the strategy of a merged batch, unless it was bred from an older population."""
        if batch >= self._first:
            self.strategy.observe(scored)

    def end_batch(self, batch: int) -> bool:
        """Counts a merged batch and, at a plateau, begins anew with the batch that is planned next.

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
        self._begin(batch + self._config.lag, origins)
        return True

    def restart(self, batch: int) -> None:
        """Begins anew from the start programs, after the merge of a batch."""
        self._begin(batch + self._config.lag, self._starts)

    def state(self) -> Any:
        """Returns what the archive does not tell, as plain JSON data."""
        state: dict[str, Any] = {"strategy": self.strategy.state()}
        if self.restarts:
            self.grid.take_changes()
            state |= {
                "first": self._first,
                "origins": self.origins,
                "record": self._record,
                "waited": self._waited,
                "elites": [elite_to_row(elite.cell, 0, elite) for elite in self.grid.elites()],
            }
        return state

    def restore(self, state: Any) -> None:
        """Takes back what `state` gave; the archive must be whole by then."""
        if self.restarts:
            self._begin(state["first"], state["origins"])
            self._record, self._waited = state["record"], state["waited"]
            self.grid.restore(elite_from_row(tuple(row)) for row in state["elites"])
        self.strategy.restore(state["strategy"])
