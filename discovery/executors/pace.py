"""How long units take: how many of them travel in a call, and when a worker counts as hung. No result depends on it."""

from collections import deque
from statistics import fmean, median

CALL_SECONDS = 0.25
"""What a call should take, so that its way does not count."""
CALL_SECONDS_A_WORKER = 0.005
"""More of it a worker where there are many: the driver spends a fifth of a millisecond on a call."""
SHORTEST_CALL = 0.02
"""Seconds under which work is not worth sharing: the candidates of a small batch are bred in one place."""
SHORTEST_CALL_A_WORKER = 0.001
"""More of it a worker where there are many, but for what all else waits for."""
GATHERED = 0.5
"""Share of a call's time that a result may wait for others, where its worker has another call:"""
LONGEST_GATHERED = 0.2
"""but never longer; calls that go out one right behind another cost the driver a fifth of what one alone does."""
GUARD_FACTOR = 100.0
"""A worker hangs where a unit takes this many times the median of its sort,"""
GUARD_FLOOR = 300.0
"""but never before so many seconds,"""
GUARD_FIRST = 3600.0
"""nor before these where no unit of its sort has come back."""
SLOW = 2.0
"""A worker is slow where a unit takes it this many times the mean."""
_RECENT = 101

Means = dict[type, float]
"""Seconds that a unit takes one worker, by sort."""


class Pace:
    """The times of recent units, by sort; a unit's sort is its type.

    Args:
        guard: seconds without a result after which a worker counts as hung; None means by what units have taken.
    """

    def __init__(self, guard: float | None = None) -> None:
        self._guard = guard
        self._times: dict[type, deque[float]] = {}
        self._means: Means = {}
        self._call: float = 0.0  # mean seconds of a call

    def note(self, sort: type, own: Means, seconds: float, units: int = 1) -> None:
        """Takes note of a call: the mean seconds of its units, for all and in the worker's own means."""
        self._call += 0.1 * (seconds * units - self._call)
        self._times.setdefault(sort, deque(maxlen=_RECENT)).append(seconds)
        for means, weight in ((own, 0.2), (self._means, 0.02)):
            known = means.get(sort, seconds)
            means[sort] = known + weight * (seconds - known)

    def is_slow(self, sort: type, own: Means) -> bool:
        """Whether units take a worker far longer than others: none is to wait behind another there."""
        return own.get(sort, 0.0) > SLOW * self._means.get(sort, float("inf"))

    def portion(
        self, sort: type, own: Means, waiting: int, workers: int, together: int = 1, is_urgent: bool = False
    ) -> int:
        """Returns how many units a worker gets: as many as fill a call, or its share of what waits where that is less.

        By the worker's own time: so a slow one does not keep the others waiting for the end of a batch. Units that go
        together fill a call however long one of them takes alone.
        """
        seconds = own.get(sort) or (fmean(self._times[sort]) if sort in self._times else None)
        if not seconds:
            return min(together, -(-waiting // workers))
        call = max(CALL_SECONDS, CALL_SECONDS_A_WORKER * workers)
        shortest = SHORTEST_CALL if is_urgent else max(SHORTEST_CALL, SHORTEST_CALL_A_WORKER * workers)
        share = max(-(-waiting // workers), round(shortest / seconds))
        return min(max(together, round(call / seconds)), share, waiting)

    def gathered(self) -> float:
        """Returns the seconds that a result may wait for others."""
        return min(LONGEST_GATHERED, GATHERED * self._call)

    def limit(self, sort: type, units: int, together: int = 1) -> float:
        """Returns the seconds after which a call of so many units hangs; one takes as long as those it goes with."""
        if self._guard is not None:
            return self._guard
        times = self._times.get(sort)
        return max(GUARD_FLOOR, GUARD_FACTOR * median(times) * max(units, together) if times else GUARD_FIRST)
