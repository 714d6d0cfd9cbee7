"""Elites: evaluated programs that hold a place in a cell."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import isfinite


@dataclass(frozen=True, slots=True)
class Elite:
    """A program in a cell with the statistics of its scores.

    Programs that behave alike share their evaluations, so count, mean and m2 belong to the behaviour; id, cell and
    size belong to the program. The cell is the one the program was put in: a re-evaluation moves the mean, never
    the cell.

    Args:
        id: candidate id of the program.
        behaviour: id of the first candidate that showed this behaviour; its evaluations are these scores.
        cell: index of the cell in the grid.
        size: number of operations of the canonical form.
        count: number of scores, one a replicate.
        mean: mean of the scores (unitless, higher is better).
        m2: sum over the scores of (score - mean)^2.
        descriptors: value on every axis, by name of the descriptor (others may stand beside them).
    """

    id: int
    behaviour: int
    cell: int
    size: int
    count: int
    mean: float
    m2: float
    descriptors: Mapping[str, float]

    @classmethod
    def scored(
        cls,
        candidate: int,
        behaviour: int,
        cell: int,
        size: int,
        scores: Iterable[float],
        descriptors: Mapping[str, float],
    ) -> "Elite":
        """Returns the elite of a program with these scores, taken in order of the replicates.

        Raises:
            ValueError: there is no score, or one is NaN or infinite.
        """
        count, mean, m2 = 0, 0.0, 0.0
        for score in scores:
            count, mean, m2 = _after(score, count, mean, m2, candidate)
        if count == 0:
            raise ValueError(f"an elite must have a score, got none for candidate {candidate}; evaluate it first")
        return cls(candidate, behaviour, cell, size, count, mean, m2, descriptors)

    @property
    def variance(self) -> float | None:
        """Unbiased sample variance m2 / (count - 1) of the scores; None below two scores."""
        return self.m2 / (self.count - 1) if self.count > 1 else None

    def with_score(self, score: float) -> "Elite":
        """Returns the elite after one more score.

        n <- n + 1, d = score - mean, mean <- mean + d / n, m2 <- m2 + d (score - mean).

        Raises:
            ValueError: the score is NaN or infinite.

        References:
            Welford 1962, Note on a method for calculating corrected sums of squares and products.
        """
        count, mean, m2 = _after(score, self.count, self.mean, self.m2, self.id)
        return replace(self, count=count, mean=mean, m2=m2)


def _after(score: float, count: int, mean: float, m2: float, candidate: int) -> tuple[int, float, float]:
    """Returns count, mean and m2 after one more score."""
    if not isfinite(score):
        raise ValueError(f"a score must be finite, got {score!r} for candidate {candidate}; failures have a Status")
    count += 1
    delta = score - mean
    mean += delta / count
    return count, mean, m2 + delta * (score - mean)
