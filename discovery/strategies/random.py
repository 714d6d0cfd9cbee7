"""Random search: candidates are random walks from the start programs; nothing is learned. A baseline."""

from collections.abc import Sequence

import numpy as np

from archive.grid import Grid
from discovery.config import Strategy as Options
from discovery.strategies import Stateless


class RandomSearch(Stateless):
    """Always breeds from the start programs."""

    proposer = "random_program"

    def __init__(self, options: Options) -> None:
        del options

    def parents(self, grid: Grid, starts: Sequence[int], rng: np.random.Generator, count: int) -> list[int]:
        """Returns start programs, each as likely as the others."""
        return [starts[i] for i in rng.integers(len(starts), size=count).tolist()]


STRATEGY = RandomSearch
