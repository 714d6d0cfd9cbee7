"""Executors: where units of work run."""

from typing import Protocol

from discovery.worker import BreedUnit, EvaluateUnit, Finished


class Executor(Protocol):
    """Runs units on workers, in any order; the run puts the results in theirs."""

    workers: int
    """Workers at work."""

    def warm_up(self) -> None:
        """Returns when the workers are ready."""
        ...

    def submit(self, unit: BreedUnit | EvaluateUnit) -> None:
        """Takes a unit."""
        ...

    def next(self) -> Finished:
        """Returns a finished unit, waiting for it; must not be called where none is under way."""
        ...

    def close(self) -> None:
        """Lets everything go; units under way are lost."""
        ...
