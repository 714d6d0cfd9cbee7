"""MAP-Elites: the best programs in every cell of a grid with fixed bins."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from heapq import heapify, heappop, heappush
from math import fsum, isfinite, isnan, prod, sqrt

from archive.descriptor import Descriptor
from archive.elite import Elite
from archive.evaluation import Evaluation, Status


class AddStatus(IntEnum):
    """What became of an elite that was offered; the numbers are those of pyribs."""

    REJECTED = 0
    """It did not enter."""
    IMPROVED = 1
    """It entered a cell that was filled, at whatever rank; with depth 1 it became the cell's best."""
    NEW = 2
    """It entered a cell that was empty."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """Figures of a grid; score figures are over the best elite of each filled cell.

    Args:
        elites: number of elites, all ranks.
        cells: number of filled cells.
        coverage: filled cells / all cells.
        qd_score: sum of (mean score - offset).
        best: highest mean score; None where the grid is empty.
        mean: mean of the mean scores; None where the grid is empty.
    """

    elites: int
    cells: int
    coverage: float
    qd_score: float
    best: float | None
    mean: float | None


class Grid:
    """A sparse grid of cells with up to `depth` elites each.

    Within a cell elites are ranked by value, the lower bound

        value = mean - pessimism / sqrt(count),

    then by smaller size, then by older id. A newcomer to a full cell must be strictly better in value than the last
    one there, which then leaves: an equal never displaces, except the smaller of two programs of the same
    behaviour, of which a cell keeps one.

    The cell index is the mixed-radix number of the bins, the first descriptor being the most significant digit
    (as `numpy.ravel_multi_index` and pyribs count). Iteration follows the cell index, so a grid is a function of what
    was done to it, and `restore` of its elites gives it back.

    Args:
        descriptors: the axes, at least one.
        depth: most elites a cell keeps, at least 1.
        pessimism: how far below its mean an elite of one score is valued, in units of the score, at least 0.

    Raises:
        ValueError: no axis, two of one name, a depth or pessimism out of range, 2^63 cells or more.

    References:
        Mouret and Clune 2015, Illuminating search spaces by mapping elites.
        Flageat and Cully 2020, Fast and stable MAP-Elites in noisy domains using deep grids.
    """

    def __init__(self, descriptors: Sequence[Descriptor], depth: int, pessimism: float = 0.0) -> None:
        self.descriptors = tuple(descriptors)
        self.depth = depth
        self.pessimism = pessimism
        names = [descriptor.name for descriptor in self.descriptors]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"a grid must have axes of different names, got {names}; name each descriptor once")
        if depth < 1:
            raise ValueError(f"the depth of a cell must be at least 1, got {depth}; raise it")
        if not 0.0 <= pessimism < float("inf"):
            raise ValueError(f"pessimism must be finite and at least 0, got {pessimism}; 0 ranks by the mean")
        self.size = prod(descriptor.bins for descriptor in self.descriptors)
        if self.size >= 2**63:  # a cell index is an SQLite INTEGER
            raise ValueError(f"a grid must have fewer than 2^63 cells, got {self.size}; use fewer bins")
        self._cells: dict[int, list[Elite]] = {}
        self._leading: dict[int, tuple[float, int, int]] = {}  # rank of the best of each cell
        self._homes: dict[int, set[int]] = {}
        self._changed: set[int] = set()

    def __len__(self) -> int:
        """Returns the number of elites."""
        return sum(len(elites) for elites in self._cells.values())

    def cell(self, descriptors: Mapping[str, float]) -> int:
        """Returns the index of the cell of these descriptor values, one for each axis.

        Raises:
            ValueError: an axis has no value, or NaN.
        """
        index = 0
        for axis in self.descriptors:
            value = descriptors.get(axis.name)
            if value is None or isnan(value):
                raise ValueError(f"every axis must have a value, got {value!r} for {axis.name!r}; measure it first")
            index = index * axis.bins + axis.bin(value)
        return index

    def bins(self, cell: int) -> tuple[int, ...]:
        """Returns the bin on every axis of the cell: the inverse of the mixed-radix index."""
        bins: list[int] = []
        for axis in reversed(self.descriptors):
            cell, digit = divmod(cell, axis.bins)
            bins.append(digit)
        return tuple(reversed(bins))

    def value(self, elite: Elite) -> float:
        """Returns the lower bound that elites are ranked by."""
        return elite.mean - self.pessimism / sqrt(elite.count)

    def ranked(self, count: int | None = None) -> list[Elite]:
        """Returns the elites by value, best first, of each behaviour the smallest; all, or the first `count`."""
        found: dict[int, Elite] = {}
        following = [(*rank, cell, 0) for cell, rank in self._leading.items()]  # each cell is sorted already
        heapify(following)
        while following and (count is None or len(found) < count):
            *_, cell, place = heappop(following)
            elites = self._cells[cell]
            found.setdefault(elites[place].behaviour, elites[place])
            if place + 1 < len(elites):
                heappush(following, (*self._rank(elites[place + 1]), cell, place + 1))
        return list(found.values())

    def add(self, elite: Elite) -> AddStatus:
        """Offers an elite to its cell.

        Where elites of its behaviour are in the grid already, it takes over their scores: they share the
        evaluations, and the grid has seen every re-evaluation of them.

        Raises:
            ValueError: its mean is NaN or infinite, it has no score, or its cell is not in the grid.
        """
        self._refuse(elite)
        homes = self._homes.get(elite.behaviour)
        if homes:
            known = next(e for e in self._cells[next(iter(homes))] if e.behaviour == elite.behaviour)
            elite = replace(elite, count=known.count, mean=known.mean, m2=known.m2)
        elites = self._cells.setdefault(elite.cell, [])
        status = AddStatus.IMPROVED if elites else AddStatus.NEW
        if homes and elite.cell in homes:
            place = next(i for i, e in enumerate(elites) if e.behaviour == elite.behaviour)
            if elite.size >= elites[place].size:
                return AddStatus.REJECTED
            del elites[place]
        elif len(elites) == self.depth:
            if not self.value(elite) > self.value(elites[-1]):
                return AddStatus.REJECTED
            gone = elites.pop().behaviour
            self._homes[gone].discard(elite.cell)
            if not self._homes[gone]:
                del self._homes[gone]
        self._put(elite)
        self._changed.add(elite.cell)
        return status

    def update(self, behaviour: int, score: float) -> int:
        """Gives the score of a new replicate to all elites of a behaviour and ranks their cells anew.

        Returns:
            The number of elites that it reached: 0 where none of the behaviour is left.

        Raises:
            ValueError: the score is NaN or infinite.
        """
        if not isfinite(score):
            raise ValueError(f"a score must be finite, got {score!r} for behaviour {behaviour}; failures have a Status")
        homes = self._homes.get(behaviour, ())
        for cell in homes:
            elites = self._cells[cell]
            elites[:] = [e.with_score(score) if e.behaviour == behaviour else e for e in elites]
            self._sort(cell)
        self._changed.update(homes)
        return len(homes)

    def elites(self) -> tuple[Elite, ...]:
        """Returns all elites by cell index, then rank."""
        return tuple(elite for cell in sorted(self._cells) for elite in self._cells[cell])

    def filled(self) -> list[Sequence[Elite]]:
        """Returns the elites of each filled cell by cell index, in each the best first."""
        return [self._cells[cell] for cell in sorted(self._cells)]

    def tops(self) -> tuple[Elite, ...]:
        """Returns the best elite of each filled cell by cell index."""
        return tuple(self._cells[cell][0] for cell in sorted(self._cells))

    def best(self) -> Elite | None:
        """Returns the elite of the highest value (ties: smaller, then older), or None where the grid is empty."""
        return next(iter(self.ranked(1)), None)

    @property
    def cells(self) -> int:
        """Number of filled cells."""
        return len(self._cells)

    @property
    def coverage(self) -> float:
        """Filled cells / all cells."""
        return self.cells / self.size

    def qd_score(self, offset: float = 0.0) -> float:
        """Returns the sum over filled cells of (mean score of the best elite - offset).

        Args:
            offset: the lowest score there can be, so that filling a cell never lowers the sum.
        """
        return fsum(elites[0].mean - offset for elites in self._cells.values())

    def statistics(self, offset: float = 0.0) -> Statistics:
        """Returns the figures of the grid; `offset` as in `qd_score`."""
        means = [elites[0].mean for elites in self._cells.values()]
        return Statistics(
            elites=len(self),
            cells=self.cells,
            coverage=self.coverage,
            qd_score=self.qd_score(offset),
            best=max(means, default=None),
            mean=fsum(means) / len(means) if means else None,
        )

    def corrected(self, rescored: Mapping[int, Sequence[Evaluation]]) -> "Grid":
        """Returns the grid that fresh evaluations alone would leave: its `qd_score` is the corrected QD score.

        A cell's best score is the luckiest of many, so the QD score of the search is too high. Here elites lose
        their scores, take those of the fresh evaluations and the mean of their descriptors (an elite may land in
        another cell), and are added to an empty grid. An elite with an evaluation that is not OK is lost.

        Args:
            rescored: fresh evaluations by behaviour, on replicates that search never used. Elites whose behaviour
                is not in it are left out: give all behaviours for a figure to publish.

        References:
            Flageat and Cully 2023, Uncertain Quality-Diversity: evaluation methodology and new methods.
        """
        grid = Grid(self.descriptors, self.depth, self.pessimism)
        for elite in self.elites():
            evaluations = rescored.get(elite.behaviour, ())
            scores = [e.score for e in evaluations if e.status is Status.OK and e.score is not None]
            if not scores or len(scores) < len(evaluations):
                continue
            descriptors = dict(elite.descriptors)
            for name in descriptors:
                values = [e.descriptors[name] for e in evaluations if name in e.descriptors]
                if values:
                    descriptors[name] = fsum(values) / len(values)
            cell = grid.cell(descriptors)
            grid.add(Elite.scored(elite.id, elite.behaviour, cell, elite.size, scores, descriptors))
        return grid

    def take_changes(self) -> dict[int, tuple[Elite, ...]]:
        """Returns the contents of the cells changed since the last call, by cell index, and forgets the changes."""
        changes = {cell: tuple(self._cells.get(cell, ())) for cell in sorted(self._changed)}
        self._changed.clear()
        return changes

    def clear(self) -> None:
        """Removes all elites; the cells that they were in count as changed."""
        self._changed.update(self._cells)
        self._cells, self._leading, self._homes = {}, {}, {}

    def restore(self, elites: Iterable[Elite]) -> None:
        """Replaces the contents by `elites`, in any order; nothing counts as changed.

        Raises:
            ValueError: an elite that this grid can't hold (other axes, a smaller depth); the contents stay.
        """
        restored = Grid(self.descriptors, self.depth, self.pessimism)
        for elite in elites:
            restored._refuse(elite)
            held = restored._cells.setdefault(elite.cell, [])
            if len(held) == self.depth or elite.cell in restored._homes.get(elite.behaviour, ()):
                raise ValueError(
                    f"a cell holds up to {self.depth} elites of different behaviours, got candidate {elite.id} "
                    f"beside them in cell {elite.cell}; restore with the configuration of the run"
                )
            restored._put(elite)
        self._cells, self._leading, self._homes = restored._cells, restored._leading, restored._homes
        self._changed.clear()

    def _rank(self, elite: Elite) -> tuple[float, int, int]:
        return self.pessimism / sqrt(elite.count) - elite.mean, elite.size, elite.id  # the value, the other way round

    def _sort(self, cell: int) -> None:
        elites = self._cells[cell]
        elites.sort(key=self._rank)
        self._leading[cell] = self._rank(elites[0])

    def _put(self, elite: Elite) -> None:
        self._cells[elite.cell].append(elite)
        self._sort(elite.cell)
        self._homes.setdefault(elite.behaviour, set()).add(elite.cell)

    def _refuse(self, elite: Elite) -> None:
        if not isfinite(elite.mean) or elite.count < 1:
            raise ValueError(
                f"an elite must have a finite score, got {elite.mean!r} of {elite.count} for candidate {elite.id}; "
                f"failures have a Status"
            )
        if not 0 <= elite.cell < self.size:
            raise ValueError(
                f"a cell must be in 0 to {self.size - 1}, got {elite.cell} for candidate {elite.id}; keep the axes"
            )
