"""What a search gets done: evaluations a second, and what the cache gains."""

import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from discovery.budget import Budget
from discovery.config import Config
from discovery.executors import Executor, Finished, Load
from discovery.progress import Progress
from discovery.run import Run, pool_of
from discovery.worker import BreedUnit, EvaluateUnit, Unit


def searches(config: Config, seconds: float) -> dict[str, float]:
    """Searches in this process with the three layers of the cache and without.

    Args:
        config: configuration of a run.
        seconds: length of each search after its first batch.

    Returns:
        What `search` gives for the search with the cache, and beside `behaviours_per_hour` what it is without,
        `behaviours_per_hour_without_cache`, and the ratio, `cache_gain`.
    """
    off = {"structural": False, "canonical": False, "functional": False}
    uncached = config.model_copy(update={"cache": config.cache.model_copy(update=off)})
    with tempfile.TemporaryDirectory() as folder:
        found = search(config, Path(folder, "on"), workers(1), seconds)
        without = search(uncached, Path(folder, "off"), workers(1), seconds)["behaviours_per_hour"]
    return {
        **found,
        "behaviours_per_hour_without_cache": without,
        "cache_gain": found["behaviours_per_hour"] / without,
    }


def workers(number: int) -> Callable[[Run], Executor]:
    """Returns what makes so many workers for a run."""
    return lambda run: pool_of(run.config, run.search.starts, run.proposer, number)


def search(config: Config, folder: Path, make: Callable[[Run], Executor], seconds: float) -> dict[str, float]:
    """Searches for some time after the first batch.

    Args:
        config: configuration of a run.
        folder: new run folder.
        make: makes the workers that share the work.
        seconds: length.

    Returns:
        `evaluations_per_second`, `candidates_per_second`, `evaluation_share` (of the workers' time) and
        `behaviours_per_hour` (distinct fingerprints among the candidates that were evaluated).
    """
    config = config.model_copy(update={"budget": Budget(candidates=10**9)})  # `stop` ends it
    stop = threading.Event()
    seen: list[tuple[float, Progress, int]] = []
    with Run.create(config, folder) as run:
        recorder = _Recorder(make(run))

        def watch(progress: Progress) -> None:
            seen.append((time.perf_counter(), progress, len(recorder.behaviours)))
            if seen[-1][0] - seen[0][0] >= seconds:
                stop.set()

        try:
            run.execute(watch=watch, stop=stop, executor=recorder)
        finally:
            recorder.close()
    (start, first, few), (end, last, many) = seen[0], seen[-1]
    elapsed = end - start
    evaluating = last.seconds_by_part["evaluate"] - first.seconds_by_part["evaluate"]
    return {
        "evaluations_per_second": (last.evaluations - first.evaluations) / elapsed,
        "candidates_per_second": (last.candidates - first.candidates) / elapsed,
        "evaluation_share": evaluating / (elapsed * last.workers),
        "behaviours_per_hour": 3600.0 * (many - few) / elapsed,
    }


class _Recorder:
    """An executor that notes which behaviours are evaluated.

    Args:
        inner: where units run.
    """

    def __init__(self, inner: Executor) -> None:
        self._inner = inner
        self._fingerprints: dict[int, int | None] = {}
        self.behaviours: set[int | None] = set()

    @property
    def workers(self) -> int:
        return self._inner.workers

    def warm_up(self) -> None:
        self._inner.warm_up()

    def submit(self, units: Iterable[Unit], first: bool = False) -> None:
        self._inner.submit(units, first)

    def next(self) -> Sequence[Finished]:
        found = self._inner.next()
        for finished in found:
            unit = finished.unit
            if isinstance(unit, BreedUnit) and not finished.fault:
                self._fingerprints[finished.results.id] = finished.results.functional
            elif isinstance(unit, EvaluateUnit) and not unit.final:
                self.behaviours.add(self._fingerprints[unit.behaviour])
        return found

    def load(self) -> Load:
        return self._inner.load()

    def close(self) -> None:
        self._inner.close()
