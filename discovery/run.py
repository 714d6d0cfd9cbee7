"""The loop: batches are bred, looked up, judged and merged, in order, whatever the workers' timing.

Batch b is bred from the archive after batch b - lag, so up to `lag` batches are under way. Results are put into the
order of batches and slots before anything depends on them, and one transaction a batch stores all that the next ones
need; so a run is a function of configuration and seed, and a killed run goes on as if nothing had been.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

from archive.cache import Hit, Layer
from archive.evaluation import Status
from archive.folder import StoreError
from archive.store import Store
from discovery.budget import Budget, parse_budget
from discovery.config import Config, drawn
from discovery.config_file import build, dump
from discovery.device import cache_folder, configure, describe
from discovery.executors import Executor, Finished, make_executor
from discovery.plan import Plan
from discovery.progress import Best, Progress
from discovery.search import Search, axes
from discovery.settings import read_yaml
from discovery.starts import load_starts
from discovery.validation import FIGURE, Point, figure_of, validator
from discovery.worker import Bred, BreedUnit, EvaluateUnit, Judged, Worker
from evaluators.domain import load as load_domain

UNIT_SECONDS = 0.1
"""What a unit of work should take: long enough that its way to a worker does not count."""


@dataclass
class _Batch:
    """A batch under way."""

    plan: Plan
    missing: int = 0  # units that have not come back
    bred: dict[int, Bred] = field(default_factory=dict)
    hits: list[Hit | None] | None = None
    judged: dict[tuple[int, int], Judged] = field(default_factory=dict)

    def candidates(self) -> list[Bred]:
        """The candidates in order of their slots."""
        return [self.bred[id] for id in sorted(self.bred)]


@dataclass(frozen=True, slots=True)
class Summary:
    """How a call of `Run.execute` ended.

    Args:
        folder: the run folder.
        progress: state of the run.
        finished: whether the budget is used up.
    """

    folder: Path
    progress: Progress
    finished: bool


class Run:
    """A search in a run folder. `create` and `resume` make runs; a `with` statement or `close` lets the folder go."""

    def __init__(self, config: Config, store: Store, is_new: bool) -> None:
        """Private: `create` and `resume` make runs."""
        self.config, self.store, self.folder = config, store, store.folder
        self._batches: dict[int, _Batch] = {}
        self._evaluation_seconds = 0.05
        self._is_untried = is_new
        self._validating: Point | None = None  # what a worker judges for the validation curve
        self._restore()

    def _restore(self) -> None:
        try:
            self.search = Search(self.config, self.store)
            last = self.search.merged
            figures = self.store.progress(last)[last] if last >= 0 else {}
        except (KeyError, IndexError, TypeError) as error:  # what SQLite read well makes no sense all the same
            raise StoreError(
                f"a run's store must hold all of its state, got {error!r} missing in {self.folder}; restore a copy"
            ) from error
        self._worked: float = figures.get("seconds", 0.0)  # before this call of `execute`
        self._seconds: defaultdict[str, float] = defaultdict(float, figures.get("seconds_by_part", {}))

    @classmethod
    def create(cls, config: Config, folder: str | Path) -> "Run":
        """Makes a run folder.

        Raises:
            ValueError: the folder holds something, or a start program is none.
        """
        configure()
        config = build(config.model_dump(mode="json", by_alias=True))
        starts = load_starts(config)
        domain = load_domain(config.domain)
        axes(config, domain)
        drawn(config)
        validator(config, domain)
        store = Store.create(folder, {"config": dump(config), "starts": starts, "machine": describe()})
        return cls._of(config, store, is_new=True)

    @classmethod
    def resume(cls, folder: str | Path, budget: Budget | str | int | None = None) -> "Run":
        """Opens a run folder to go on with it.

        Args:
            folder: the run folder.
            budget: takes the place of the run's own, counted from its start.

        Raises:
            ValueError: no run folder, in use, damaged, or of a newer version.
        """
        store = Store.open(folder)
        try:
            config = stored_config(store)
            if budget is not None:
                config = config.model_copy(update={"budget": parse_budget(budget)})
                store.set_meta("config", dump(config))
        except BaseException:
            store.close()
            raise
        return cls._of(config, store)

    @classmethod
    def _of(cls, config: Config, store: Store, is_new: bool = False) -> "Run":
        try:
            return cls(config, store, is_new)
        except BaseException:
            store.close()
            raise

    @property
    def proposer(self) -> str:
        """Name of the proposer: the strategy's own, or that of the configuration."""
        return self.search.proposer

    def close(self) -> None:
        """Lets the run folder go."""
        self.store.close()

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def differences(self) -> list[str]:
        """Returns what differs from the machine that the run was made on, one line each: bits may differ."""
        configure()
        made, here = self.store.meta.get("machine", {}), describe()
        return [f"{key}: was {made[key]}, is {here.get(key)}" for key in made if made[key] != here.get(key)]

    # --- the loop ------------------------------------------------------------------------------------------------

    def execute(
        self,
        workers: int | None = 1,
        watch: Callable[[Progress], None] | None = None,
        stop: threading.Event | None = None,
        executor: Executor | None = None,
    ) -> Summary:
        """Searches until the budget is used up or `stop` is set.

        Args:
            workers: processes that share the work; None means one a core, 1 works in this process.
            watch: called after every merged batch.
            stop: when set, no further batch is begun; those under way are merged.
            executor: where units run, instead of `workers`; it must be idle and stays open.

        Raises:
            ValueError: the store can't be written, workers die, a task can't be judged; all merged batches are safe.
        """
        if self._is_finished(0.0):  # before workers start for nothing
            return self._end(1)
        self.store.set_meta("finished", False)
        began = time.perf_counter()
        try:
            pool = executor or pool_of(self.config, self.search.starts, self.proposer, workers)
            try:
                pool.warm_up()
                self._is_untried = False
                self._seconds["warm_up"] += time.perf_counter() - began
                self._loop(pool, began, watch, stop or threading.Event())
            finally:
                if executor is None:
                    pool.close()
        except BaseException as error:
            # What was under way is lost: the next call goes on from the store, as another process would.
            self._batches.clear()
            self._validating = None
            self._restore()
            if self._is_untried and isinstance(error, ValueError):
                self.store.discard()  # a task that is none, say: what can never begin must not be in the way
            raise
        self._worked += time.perf_counter() - began
        return self._end(pool.workers)

    def _end(self, workers: int) -> Summary:
        finished = self._is_finished(0.0)
        self.store.set_meta("finished", finished)
        return Summary(self.folder, self.progress(time.perf_counter(), workers), finished)

    def _loop(
        self, pool: Executor, began: float, watch: Callable[[Progress], None] | None, stop: threading.Event
    ) -> None:
        search = self.search
        next_batch = search.merged + 1
        under_way = self._begin_validation(pool, began, stop)
        while True:
            while next_batch <= search.merged + self.config.lag and not (
                stop.is_set() or self._is_finished(time.perf_counter() - began, next_batch)
            ):
                under_way += self._begin(next_batch, pool)
                next_batch += 1
            if under_way == 0:
                return
            under_way += self._take(pool.next(), pool) - 1
            while self._is_complete(search.merged + 1):
                self._merge(search.merged + 1, began, pool.workers)
                under_way += self._begin_validation(pool, began, stop)
                if watch is not None:
                    watch(self.progress(began, pool.workers))

    def _is_finished(self, elapsed: float, next_batch: int | None = None) -> bool:
        batch = self.search.merged + 1 if next_batch is None else next_batch
        if self.search.curve.last is not None and batch > self.search.curve.last:
            return True
        budget = self.config.budget
        if budget.candidates is not None:
            return batch * self.config.batch >= budget.candidates
        return self._worked + elapsed >= (budget.seconds or 0.0)

    def _begin(self, number: int, pool: Executor) -> int:
        """Hands a batch to the workers to be bred; returns the number of units."""
        plan = self.search.plan(number)
        batch = self._batches[number] = _Batch(plan)
        slots = len(plan.parents)
        size = -(-slots // pool.workers)
        for first in range(0, slots, size):
            chosen = tuple(range(first, min(first + size, slots)))
            parents = tuple(plan.parents[slot] for slot in chosen)
            texts = {id: self.search.text(id) for id in sorted(set(parents))}
            pool.submit(BreedUnit(number, chosen, parents, texts))
            batch.missing += 1
        return batch.missing

    def _begin_validation(self, pool: Executor, began: float, stop: threading.Event) -> int:
        """Hands the program that the validation curve waits for to a worker, once; returns the number of units."""
        item, batch = self.search.validation(), self.search.merged
        if item is None or self._validating == self.search.curve.under_way:
            return 0
        ends = stop.is_set() or self._is_finished(time.perf_counter() - began)
        if ends and not any(map(self.search.curve.is_turn, self._batches)):
            return 0  # no batch will need it
        self._validating = self.search.curve.under_way
        pool.submit(EvaluateUnit(batch, (item,)))
        return 1

    def _take_validation(self, finished: Finished) -> None:
        """Takes the figure of the validation curve; stored at once, for its merge may be far."""
        (result,), point = finished.results, self._validating
        self._seconds["validate"] += finished.seconds
        if isinstance(result, Judged) and point is not None:
            figure = figure_of(result.evaluation)
            self.search.curve.receive(point.batch, figure)
            if result.evaluation.status is not Status.FAULT:
                self.store.set_meta(FIGURE, [point.batch, *figure])

    def _take(self, finished: Finished, pool: Executor) -> int:
        """Puts a result where it belongs; returns the number of new units."""
        unit = finished.unit
        if isinstance(unit, EvaluateUnit) and unit.items[0].validation:
            self._take_validation(finished)
            return 0
        batch = self._batches[unit.batch]
        batch.missing -= 1
        for result in finished.results:
            if isinstance(result, Bred):
                batch.bred[result.id] = result
            else:
                batch.judged[result.behaviour, result.evaluation.replicate] = result
        if isinstance(unit, EvaluateUnit):
            self._seconds["evaluate"] += finished.seconds
            mean = finished.seconds / max(1, len(unit.items))
            self._evaluation_seconds += 0.1 * (mean - self._evaluation_seconds)
            return 0
        self._seconds["propose"] += finished.seconds
        return self._admit_ready(pool)

    def _admit_ready(self, pool: Executor) -> int:
        """Looks up the batches that are bred, strictly in order; returns the number of new units."""
        units = 0
        while (batch := self._batches.get(self.search.cache.last_batch + 1)) and (
            len(batch.bred) == len(batch.plan.parents)
        ):
            batch.hits, items = self.search.admit(batch.plan, batch.candidates())
            size = max(1, min(len(items), round(UNIT_SECONDS / self._evaluation_seconds)))
            for first in range(0, len(items), size):
                pool.submit(EvaluateUnit(batch.plan.batch, tuple(items[first : first + size])))
                batch.missing += 1
                units += 1
        return units

    def _is_complete(self, number: int) -> bool:
        batch = self._batches.get(number)
        if self.search.curve.is_turn(number) and self.search.curve.to_judge() is not None:
            return False
        return batch is not None and batch.hits is not None and batch.missing == 0

    def _merge(self, number: int, began: float, workers: int) -> None:
        """Merges a batch, in one transaction."""
        start = time.perf_counter()
        batch = self._batches.pop(number)
        merged = self.search.merge(batch.plan, batch.candidates(), batch.hits or (), batch.judged)
        self._seconds["merge"] += time.perf_counter() - start
        start = time.perf_counter()
        progress = asdict(self._progress(began, workers, self.search.best(3)))
        del progress["validation"], progress["overfits"]  # the state has the curve
        del progress["front"]  # the archive has it
        for best in progress["best"]:
            del best["text"]
        self.store.commit(replace(merged, progress=progress))
        self._seconds["store"] += time.perf_counter() - start

    # --- figures -------------------------------------------------------------------------------------------------

    def progress(self, began: float, workers: int = 1) -> Progress:
        """Returns the state of the run; `began` is when this call of `execute` began (perf_counter)."""
        progress = self._progress(began, workers, self.search.best(3, with_text=True))
        progress = replace(progress, front=self.search.front())
        if self.config.validation.every is None:
            return progress
        return replace(progress, validation=self.search.curve.known, overfits=self.search.curve.overfits)

    def _progress(self, began: float, workers: int, best: Sequence[Best]) -> Progress:
        counters, budget = self.search.counters, self.config.budget
        statistics = self.search.grid.statistics(self.config.archive.qd_offset)
        seconds = self._worked + time.perf_counter() - began
        if budget.candidates is not None:
            share = min(1.0, counters["candidates"] / budget.candidates)
            left = seconds * (1.0 / share - 1.0) if share > 0.0 else None
        else:
            share = min(1.0, seconds / (budget.seconds or 1.0))
            left = max(0.0, (budget.seconds or 0.0) - seconds)
        if self.search.curve.last is not None and self.search.merged >= self.search.curve.last:
            share, left = 1.0, 0.0
        return Progress(
            batch=self.search.merged,
            candidates=counters["candidates"],
            evaluations=counters["evaluations"],
            invalid=counters["invalid"],
            hits={layer.value: counters[f"hit.{layer.value}"] for layer in Layer},
            hurdled=counters["hurdled"],
            failures={k.partition(".")[2]: n for k, n in sorted(counters.items()) if k.startswith("failed.")},
            elites=statistics.elites,
            cells=statistics.cells,
            coverage=statistics.coverage,
            qd_score=statistics.qd_score,
            best=tuple(best),
            steps=counters["steps"],
            seconds=seconds,
            seconds_by_part=dict(self._seconds),
            workers=workers,
            share_done=share,
            seconds_left=left,
        )


def stored_config(store: Store) -> Config:
    """Returns the configuration that a run folder keeps."""
    return build(read_yaml(store.meta["config"], str(store.folder)), str(store.folder))


def pool_of(config: Config, starts: Sequence[str], proposer: str, workers: int | None = None) -> Executor:
    """Returns the workers of a search.

    Args:
        config: configuration of the run.
        starts: texts of the start programs.
        proposer: name of the proposer.
        workers: processes that share the work; None takes the configuration's, or one a core.
    """
    cache = str(cache_folder() / "baselines")
    return make_executor(
        config.workers if workers is None else workers, partial(Worker, config, tuple(starts), proposer, cache)
    )
