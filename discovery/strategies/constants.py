"""Constants only: the start programs stay as they are, their constants evolve. A baseline for the search."""

from discovery.strategies.map_elites import MapElites


class Constants(MapElites):
    """MAP-Elites whose proposer moves constants and nothing else."""

    proposer = "constants"


STRATEGY = Constants
