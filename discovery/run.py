"""The loop: batches are bred, looked up, judged and merged, in order, whatever the workers' timing.

Batch b is bred from the archive after batch b - lag, so up to `lag` batches are under way. Results are put into the
order of batches and slots before anything depends on them, and one transaction a batch stores all that the next ones
need; so a run is a function of configuration and seed, and a killed run goes on as if nothing had been.
"""

import gc
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from archive.cache import Hit
from archive.evaluation import Evaluation, Status
from archive.folder import StoreError
from archive.store import Store
from discovery.budget import Budget, parse_budget
from discovery.config import Config, axes, drawn
from discovery.config_file import build, dump
from discovery.device import cache_folder, configure, describe
from discovery.executors import Executor, Finished, make_executor
from discovery.figures import BEST, figures
from discovery.plan import Plan
from discovery.progress import Best, Progress, Staff
from discovery.search import Search
from discovery.settings import read_yaml
from discovery.starts import load_starts
from discovery.validation import FIGURE, Point, figure_of, validator
from discovery.worker import Bred, BreedUnit, Judged, ValidateUnit, Worker, failed
from evaluators.domain import load as load_domain

WORKERS = "workers"
"""Key in the store's `meta` of how the workers are doing: it is no part of a batch, and changes where none ends."""
TOLD_EVERY = 5.0
"""Seconds between two writings of it."""
WRITTEN_EVERY = 0.25
"""Seconds between two writings of the best programs for people: one takes as long as the merge of many candidates."""
GARBAGE = 50_000
"""Objects more than before at which Python looks for garbage while the loop runs, where it would at 700."""


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
        self._is_untried = is_new
        self._validating: Point | None = None  # what a worker judges for the validation curve
        self._told = float("-inf")  # when the store was last told of the workers
        self._best: tuple[Best, ...] = ()  # as they were shown last, like the front
        self._front: tuple[Mapping[str, Any], ...] = ()
        self._written = float("-inf")
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
        try:
            return cls(config, store, is_new=True)
        except BaseException:
            store.discard()  # what can never begin must not be in the way
            raise

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
            run = cls(config, store, is_new=False)
            if budget is not None and not run.is_finished:  # one that is used up already leaves the run its own
                store.set_meta("config", dump(config))
        except BaseException:
            store.close()
            raise
        return run

    @property
    def proposer(self) -> str:
        """Name of the proposer: the strategy's own, or that of the configuration."""
        return self.search.proposer

    @property
    def is_finished(self) -> bool:
        """Whether its budget is used up, or validation has ended it."""
        return self._is_finished(0.0)

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
        address: str | None = None,
        gpus_per_worker: float | None = None,
    ) -> Summary:
        """Searches until the budget is used up or `stop` is set.

        Args:
            workers: processes that share the work; None means one a GPU, without one a core, or all that a cluster has
                room for, 1 works in this process.
            watch: called after every merged batch.
            stop: when set, no further batch is begun; those under way are merged.
            executor: where units run, instead of `workers`; it must be idle and stays open.
            address: a Ray cluster to join, `HOST:PORT` or `auto`; None works on this machine.
            gpus_per_worker: share of a GPU that each worker gets, or a whole number of them; None shares those of this
                machine.

        Raises:
            ValueError: the store can't be written, workers can't start, a task can't be judged; all merged batches are
                safe.
        """
        if self.is_finished:  # before workers start for nothing
            return self._end(1)
        self.store.set_meta("finished", False)
        began = time.perf_counter()
        try:
            pool = executor or pool_of(
                self.config, self.search.starts, self.proposer, workers, address, gpus_per_worker
            )
            try:
                pool.warm_up()
                self._is_untried = False
                self._seconds["warm_up"] += time.perf_counter() - began
                with _seldom_looking_for_garbage():
                    self._tell(self._loop(pool, began, watch, stop or threading.Event()))
            finally:
                if executor is None:
                    pool.close()
        except BaseException as error:
            # What was under way is lost: the next call goes on from the store, as another process would.
            self._batches.clear()
            self._validating = None
            self._restore()
            if self._is_untried and isinstance(error, ValueError):
                self.store.discard()  # a task that is none, say
            raise
        self._worked += time.perf_counter() - began
        return self._end(pool.workers)

    def _end(self, workers: int) -> Summary:
        finished = self.is_finished
        self.store.set_meta("finished", finished)
        self._written = float("-inf")
        return Summary(self.folder, self._shown(figures(self.search, self._worked, self._seconds, workers)), finished)

    def _loop(
        self, pool: Executor, began: float, watch: Callable[[Progress], None] | None, stop: threading.Event
    ) -> Staff:
        """Works until nothing is under way any more; returns how the workers did."""
        search = self.search
        next_batch = search.merged + 1
        start, waited = time.perf_counter(), pool.load().waited

        def staff() -> Staff:
            load, elapsed = pool.load(), max(1e-9, time.perf_counter() - start)
            return Staff(load, max(0.0, 1.0 - (load.waited - waited) / elapsed))

        under_way = self._begin_validation(pool, began, stop)
        while True:
            while next_batch <= search.merged + self.config.lag and not (
                stop.is_set() or self._is_finished(time.perf_counter() - began, next_batch)
            ):
                under_way += self._begin(next_batch, pool)
                next_batch += 1
            if under_way == 0:
                return staff()
            for finished in pool.next():
                under_way += self._take(finished, pool) - 1
            while self._is_complete(search.merged + 1):
                progress = self._merge(search.merged + 1, began, pool.workers)
                under_way += self._begin_validation(pool, began, stop)
                if watch is not None:
                    watch(replace(self._shown(progress), staff=staff()))
            if time.perf_counter() - self._told >= TOLD_EVERY:
                self._tell(staff())

    def _tell(self, staff: Staff) -> None:
        """Tells the store, for those who look, how the workers are doing."""
        self.store.set_meta(WORKERS, staff.to_json())
        self._told = time.perf_counter()

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
        self._batches[number] = _Batch(plan, missing=len(plan.parents))
        text = self.search.text
        # first: breeding takes little, and what is bred keeps the workers busy
        pool.submit((BreedUnit(number, slot, parent, text(parent)) for slot, parent in enumerate(plan.parents)), True)
        return len(plan.parents)

    def _begin_validation(self, pool: Executor, began: float, stop: threading.Event) -> int:
        """Hands the program that the validation curve waits for to a worker, once; returns the number of units."""
        unit = self.search.validation()
        if unit is None or self._validating == self.search.curve.under_way:
            return 0
        ends = stop.is_set() or self._is_finished(time.perf_counter() - began)
        if ends and not any(map(self.search.curve.is_turn, self._batches)):
            return 0  # no batch will need it
        self._validating = self.search.curve.under_way
        pool.submit([unit])
        return 1

    def _take_validation(self, evaluation: Evaluation) -> None:
        """Takes the figure of the validation curve; stored at once, for its merge may be far."""
        if self._validating is not None:
            figure = figure_of(evaluation)
            self.search.curve.receive(self._validating.batch, figure)
            if evaluation.status is not Status.FAULT:
                self.store.set_meta(FIGURE, [self._validating.batch, *figure])

    def _take(self, finished: Finished, pool: Executor) -> int:
        """Puts a result where it belongs; returns the number of new units."""
        unit = finished.unit
        result: Any = failed(unit, self.config.batch, finished.fault) if finished.fault else finished.results
        if isinstance(unit, ValidateUnit):
            self._seconds["validate"] += finished.seconds
            self._take_validation(result.evaluation)
            return 0
        batch = self._batches[unit.batch]
        batch.missing -= 1
        if isinstance(unit, BreedUnit):
            self._seconds["propose"] += finished.seconds
            batch.bred[result.id] = result
            return self._admit_ready(pool) if len(batch.bred) == len(batch.plan.parents) else 0
        self._seconds["evaluate"] += finished.seconds
        batch.judged[result.behaviour, result.evaluation.replicate] = result
        return 0

    def _admit_ready(self, pool: Executor) -> int:
        """Looks up the batches that are bred, strictly in order; returns the number of new units."""
        units = 0
        while (batch := self._batches.get(self.search.cache.last_batch + 1)) and (
            len(batch.bred) == len(batch.plan.parents)
        ):
            batch.hits, asked = self.search.admit(batch.plan, batch.candidates())
            pool.submit(asked)
            batch.missing += len(asked)
            units += len(asked)
        return units

    def _is_complete(self, number: int) -> bool:
        batch = self._batches.get(number)
        if batch is None or batch.missing or batch.hits is None:
            return False
        return not self.search.curve.is_turn(number) or self.search.curve.to_judge() is None

    def _merge(self, number: int, began: float, workers: int) -> Progress:
        """Merges a batch, in one transaction; returns what the run has come to."""
        start = time.perf_counter()
        batch = self._batches.pop(number)
        merged = self.search.merge(batch.plan, batch.candidates(), batch.hits or (), batch.judged)
        self._seconds["merge"] += time.perf_counter() - start
        start = time.perf_counter()
        progress = figures(self.search, self._worked + start - began, self._seconds, workers)
        self.store.commit(replace(merged, progress=progress.to_json()))
        self._seconds["store"] += time.perf_counter() - start
        return progress

    def _shown(self, progress: Progress) -> Progress:
        """The progress with the curve, the front and the texts of the best, known once their batch is in the store."""
        now, ends = time.perf_counter(), progress.share_done == 1.0
        if ends or now - self._written >= WRITTEN_EVERY:
            self._best, self._front, self._written = self.search.best(BEST, with_text=True), self.search.front(), now
        curve = self.search.curve if self.config.validation.every is not None else None
        return replace(
            progress,
            best=self._best,
            front=self._front,
            validation=curve and curve.known,
            overfits=curve is not None and curve.overfits,
        )


@contextmanager
def _seldom_looking_for_garbage() -> Iterator[None]:
    """Batches under way are many objects and no garbage: looking through them took a quarter of the driver's time."""
    before = gc.get_threshold()
    gc.set_threshold(GARBAGE, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def stored_config(store: Store) -> Config:
    """Returns the configuration that a run folder keeps."""
    return build(read_yaml(store.meta["config"], str(store.folder)), str(store.folder))


def pool_of(
    config: Config,
    starts: Sequence[str],
    proposer: str,
    workers: int | None = None,
    address: str | None = None,
    gpus_per_worker: float | None = None,
) -> Executor:
    """Returns the workers of a search.

    Args:
        config: configuration of the run.
        starts: texts of the start programs.
        proposer: name of the proposer.
        workers: processes that share the work; None takes the configuration's, or as many as there is room for.
        address: a Ray cluster to join; None works on this machine.
        gpus_per_worker: GPUs of each worker; None shares those of this machine.
    """
    wanted = config.workers if workers is None else workers
    if gpus_per_worker is None and not load_domain(config.domain).accelerated:
        gpus_per_worker = 0.0
    return make_executor(wanted, worker_of(config, starts, proposer), address, gpus_per_worker, config.guard)


def worker_of(config: Config, starts: Sequence[str], proposer: str) -> Callable[[], Worker]:
    """Returns what makes a worker of a search, in the process that it works in."""
    return partial(Worker, config, tuple(starts), proposer, str(cache_folder() / "baselines"))
