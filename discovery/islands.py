"""Islands: populations that evolve apart and exchange their best now and then (Tanese 1989).

Batch b is bred from island b mod n, and what it gives is offered there and to the archive, the record of all that was
found. Cache, hurdles and re-evaluations are common: what one island knows no other evaluates again. One island is an
ordinary search.
"""

from collections.abc import Mapping
from typing import Any

from archive.elite import Elite
from archive.grid import AddStatus, Grid
from archive.store import Store
from discovery.config import Config
from discovery.population import Population

_STATE = "population."


class Islands:
    """The archive and the populations.

    Args:
        config: configuration of the run.
        archive: the archive.
        starts: number of start programs.
    """

    def __init__(self, config: Config, archive: Grid, starts: int) -> None:
        self._options, self.archive = config.migration, archive
        self.populations = tuple(Population(config, archive, starts) for _ in range(config.islands))
        self._changed: set[int] = set()  # whose state the store does not have yet

    def of(self, batch: int) -> Population:
        """Returns the population that a batch is bred from."""
        return self.populations[batch % len(self.populations)]

    def offer(self, batch: int, elite: Elite) -> bool:
        """Offers a program of a batch to the archive and to the population that it was bred from.

        Returns:
            Whether it entered one of them and may become a parent.
        """
        entered = self.archive.add(elite) is not AddStatus.REJECTED
        return self.of(batch).offer(batch, elite) or entered

    def update(self, behaviour: int, score: float) -> None:
        """Gives the score of a new replicate to the elites of a behaviour, wherever they are."""
        self.archive.update(behaviour, score)
        for population in self.populations:
            population.update(behaviour, score)

    def end_batch(self, batch: int) -> bool:
        """Ends a merged batch: its population may begin anew, and elites may migrate.

        Returns:
            Whether the population began anew.
        """
        self._changed.add(batch % len(self.populations))
        began_anew = self.of(batch).end_batch(batch)
        if len(self.populations) > 1 and (batch + 1) % self._options.every == 0:
            self._migrate()
        return began_anew

    def _migrate(self) -> None:
        """The best of each island, as it was before, go to the next one in the ring."""
        leaving = [population.grid.ranked(self._options.elites) for population in self.populations]
        for place, elites in enumerate(leaving):
            self.populations[(place + 1) % len(leaving)].receive(elites)
        self._changed.update(range(len(leaving)))

    def restart(self, batch: int) -> None:
        """Begins anew from the start programs everywhere, after the merge of a batch."""
        for population in self.populations:
            population.restart(batch)
        self._changed.update(range(len(self.populations)))

    def best(self) -> Elite | None:
        """Returns the best elite that is bred from, or None."""
        found = [elite for population in self.populations if (elite := population.grid.best()) is not None]
        return min(found, key=lambda elite: (-self.archive.value(elite), elite.size, elite.id), default=None)

    # --- the store -----------------------------------------------------------------------------------------------

    def take_changes(self) -> dict[int, Mapping[int, tuple[Elite, ...]]]:
        """Returns the cells changed since the last call, by island, of those whose grids are their own."""
        apart = ((place, people) for place, people in enumerate(self.populations) if people.is_apart)
        changes = {place: people.grid.take_changes() for place, people in apart}
        return {place: cells for place, cells in changes.items() if cells}

    def take_state(self) -> dict[str, Any]:
        """Returns what has changed since the last call of what the elites do not tell, as plain JSON data by name."""
        state = {f"{_STATE}{place}": self.populations[place].state() for place in sorted(self._changed)}
        self._changed.clear()
        return state

    def restore(self, store: Store, state: Mapping[str, Any]) -> None:
        """Takes back what the store has: the archive, the populations, and their state by name."""
        self.archive.restore(store.elites())
        for place, population in enumerate(self.populations):
            if population.is_apart:
                population.grid.restore(store.elites(place))
            if f"{_STATE}{place}" in state:  # else no batch of it is merged yet
                population.restore(state[f"{_STATE}{place}"])
