"""What a batch is bred from: fixed `lag` batches ahead, so that no worker waits and no timing matters."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import nlargest
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from archive.elite import Elite
from archive.grid import Grid
from discovery.config import Config
from discovery.population import Population


class Again(NamedTuple):
    """An elite to evaluate again.

    Args:
        program: id of the elite; the first of its behaviour may never have entered the archive, so its text is gone.
        behaviour: whose evaluation it will be.
        replicate: the seed set.
    """

    program: int
    behaviour: int
    replicate: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of one batch.

    Args:
        batch: number of the batch.
        parents: id of the parent for each slot.
        again: elites to evaluate again.
        thresholds: hurdle of each stage but the last; -inf where none stands yet.
    """

    batch: int
    parents: tuple[int, ...]
    again: tuple[Again, ...] = ()
    thresholds: tuple[float, ...] = ()

    def to_json(self) -> Any:
        """Returns plain data."""
        return [self.parents, self.again, self.thresholds]

    @classmethod
    def from_json(cls, batch: int, data: Any) -> "Plan":
        """Takes back what `to_json` gave."""
        parents, again, thresholds = data
        return cls(batch, tuple(parents), tuple(Again(*one) for one in again), tuple(thresholds))


def make_plan(
    config: Config,
    batch: int,
    population: Population,
    thresholds: tuple[float, ...],
    evaluations: int = 0,
    pending: Sequence[Plan] = (),
    attempts: Callable[[int], int] = lambda behaviour: 0,
) -> Plan:
    """Plans a batch from the archive as it stands.

    Args:
        config: configuration of the run.
        batch: number of the batch.
        population: what is bred from, and the archive that it belongs to.
        thresholds: hurdles of the stages.
        evaluations: evaluations that the batch just merged took, elites aside: what the share of re-evaluations is of.
        pending: plans of the batches that are not merged yet.
        attempts: number of evaluations that a behaviour has, faults included.
    """
    rng = np.random.default_rng([config.seed, batch, config.batch])
    parents = population.parents(rng, config.batch)
    share = evaluations * config.reevaluate / (1.0 - config.reevaluate)
    count = int(share + rng.random())
    again = reevaluations(population.archive, config.replicates, count, pending, attempts)
    return Plan(batch, parents, again, thresholds)


def reevaluations(
    archive: Grid, replicates: int, count: int, pending: Sequence[Plan], attempts: Callable[[int], int]
) -> tuple[Again, ...]:
    """Chooses the elites that get a new replicate: the best by mean first, until each has had `replicates` of them.

    One lucky score misleads a search, and luck stands at the top: the best elites are the ones to doubt.
    """
    planned = Counter(again.behaviour for plan in pending for again in plan.again)
    chosen: dict[int, Again] = {}
    held = archive.filled() if count else []
    wanting = [elite for elites in held for elite in elites if elite.count < replicates]
    for elite in _by_mean(wanting, 2 * count):
        if len(chosen) == count:
            break
        under_way = planned[elite.behaviour]
        if elite.behaviour in chosen or elite.count + under_way >= replicates:
            continue
        # not the number of scores: a replicate that ended in a fault has none, and is not tried again
        replicate = attempts(elite.behaviour) + under_way
        if replicate < replicates:
            chosen[elite.behaviour] = Again(elite.id, elite.behaviour, replicate)
    return tuple(chosen.values())


def _quantile(scores: Sequence[float], share: float) -> float:
    """Returns what `numpy.quantile` does, to the bit but for the sign of a zero, in a tenth of its time.

    References:
        Hyndman and Fan 1996, Sample quantiles in statistical packages: definition 7.
    """
    ordered = sorted(scores)
    place = share * (len(ordered) - 1)
    low, high = ordered[int(place)], ordered[min(int(place) + 1, len(ordered) - 1)]
    weight = place - int(place)
    return low + (high - low) * weight if weight < 0.5 else high - (high - low) * (1.0 - weight)


def _by_mean(elites: Sequence[Elite], first: int) -> Iterator[Elite]:
    """Yields elites, the best by mean first, then the oldest; of many only about the `first` are put in order."""
    mean = attrgetter("mean")
    while elites:
        least = nlargest(first, map(mean, elites))[-1]
        yield from sorted((elite for elite in elites if elite.mean >= least), key=lambda elite: (-elite.mean, elite.id))
        elites = [elite for elite in elites if elite.mean < least]


class Hurdles:
    """Rolling windows of the scores at each stage; a hurdle is a quantile of its window.

    Args:
        config: configuration of the run.
        stages: number of stages; the last has no hurdle.
    """

    def __init__(self, config: Config, stages: int) -> None:
        self._options = config.hurdle
        self._windows: list[list[float]] = [[] for _ in range(stages - 1)]

    def observe(self, stage_scores: Sequence[float]) -> None:
        """Takes note of the scores of one evaluation."""
        for window, score in zip(self._windows, stage_scores, strict=False):
            window.append(score)
            del window[: -self._options.window]

    def thresholds(self) -> tuple[float, ...]:
        """Returns the hurdle of each stage."""
        options = self._options
        return tuple(
            _quantile(window, options.quantile)
            if options.quantile > 0.0 and len(window) >= options.warm_up
            else float("-inf")
            for window in self._windows
        )

    def state(self) -> bytes:
        """Returns the windows: for each its length, then its scores."""
        return b"".join(np.array([len(w), *w], "<f8").tobytes() for w in self._windows)

    def restore(self, state: bytes) -> None:
        """Takes back what `state` gave."""
        words = np.frombuffer(state, "<f8").tolist()
        for window in self._windows:
            length = int(words[0])
            window[:] = words[1 : 1 + length]
            words = words[1 + length :]
