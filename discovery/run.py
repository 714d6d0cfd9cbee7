"""The loop: batches are bred, looked up, judged and merged, in order, whatever the workers' timing.

Batch b is bred from the archive after batch b - lag, so up to `lag` batches are under way. Results are put into the
order of batches and slots before anything depends on them, and one transaction a batch stores all that the next ones
need; so a run is a function of configuration and seed, and a killed run goes on as if nothing had been.
"""

import pickle
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from archive.cache import Cache, Hit, Keys, Layer
from archive.descriptor import Descriptor
from archive.elite import Elite
from archive.evaluation import Evaluation, Status
from archive.grid import AddStatus, Grid
from archive.records import MergedBatch, ProgramRecord
from archive.store import Store
from discovery.budget import Budget
from discovery.config import Config, build, dump, options
from discovery.executors import Executor
from discovery.plan import Hurdles, Plan, make_plan
from discovery.progress import Best, Progress
from discovery.settings import nearest, read_yaml
from discovery.strategies import Scored, Strategy
from discovery.strategies import load as load_strategy
from discovery.worker import Bred, BreedUnit, EvaluateUnit, Finished, Item, Judged
from evaluators.domain import Domain
from evaluators.domain import load as load_domain
from primitives.text import render

UNIT_SECONDS = 0.1
"""What a unit of work should take: long enough that its way to a worker does not count."""
REMEMBERED = 8192
"""Behaviours whose evaluations are kept at hand."""


@dataclass
class _Batch:
    """A batch under way."""

    plan: Plan
    missing: int = 0  # units that have not come back
    bred: dict[int, Bred] = field(default_factory=dict)
    hits: list[Hit | None] | None = None
    judged: dict[tuple[int, int], Judged] = field(default_factory=dict)


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

    def __init__(self, config: Config, store: Store) -> None:
        """Private: `create` and `resume` make runs."""
        self.config, self.store, self.folder = config, store, store.folder
        self.domain: Domain = load_domain(config.domain)
        self._starts: tuple[str, ...] = tuple(store.meta["starts"])
        self.strategy: Strategy = load_strategy(config.strategy.name)(config.strategy)
        self.proposer = self.strategy.proposer or config.proposer.name
        self.grid = Grid(axes(config, self.domain), config.archive.depth, config.archive.pessimism)
        self.cache = Cache(config.cache.entries)
        self._hurdles = Hurdles(config, len(self.domain.stages(options(config))))
        self._plans: dict[int, Plan] = {}
        self._batches: dict[int, _Batch] = {}
        self._counters: Counter[str] = Counter()
        self._seconds: Counter[str] = Counter()
        self._worked = 0.0  # seconds of earlier calls
        self._evaluation_seconds = 0.05
        self._text = lru_cache(maxsize=8192)(self._load_text)
        self._evaluations: dict[int, tuple[Evaluation, ...]] = {}
        self._merged = -1
        self._restore()

    @classmethod
    def create(cls, config: Config, folder: str | Path) -> "Run":
        """Makes a run folder.

        Raises:
            ValueError: the folder holds something, or a start program is none.
        """
        from discovery.device import describe
        from discovery.starts import load_starts

        config = build(config.model_dump(mode="json", by_alias=True))
        starts = load_starts(config)
        axes(config, load_domain(config.domain))
        store = Store.create(folder, {"config": dump(config), "starts": starts, "machine": describe()})
        return cls(config, store)

    @classmethod
    def resume(cls, folder: str | Path, budget: Budget | None = None) -> "Run":
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
                config = config.model_copy(update={"budget": budget})
                store.set_meta("config", dump(config))
            return cls(config, store)
        except BaseException:
            store.close()
            raise

    def close(self) -> None:
        """Lets the run folder go."""
        self.store.close()

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def differences(self) -> list[str]:
        """Returns what differs from the machine that the run was made on, one line each: bits may differ."""
        from discovery.device import describe

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
            executor: where units run, instead of `workers`.

        Raises:
            ValueError: the store can't be written, workers die, a task can't be judged; all merged batches are safe.
        """
        stop = stop or threading.Event()
        began = time.perf_counter()
        pool = executor or make_executor(workers, self.config, self._starts, self.proposer)
        try:
            pool.warm_up()
            self._seconds["warm_up"] += time.perf_counter() - began
            if self._target is not None and self._merged + 1 >= self._target:
                return Summary(self.folder, self.progress(began, pool.workers), True)
            self._loop(pool, began, watch, stop)
        finally:
            self._batches.clear()
            self._worked += time.perf_counter() - began
            if executor is None:
                pool.close()
        finished = self._is_finished(0.0)
        if finished:
            self.store.set_meta("finished", True)
        return Summary(self.folder, self.progress(time.perf_counter(), pool.workers), finished)

    def _loop(self, pool: Executor, began: float, watch: Callable[[Progress], None] | None, stop: threading.Event) -> None:
        next_batch = self._merged + 1
        under_way = 0
        while True:
            while (
                next_batch <= self._merged + self.config.lag
                and not stop.is_set()
                and not self._is_finished(time.perf_counter() - began, next_batch)
            ):
                under_way += self._begin(next_batch, pool)
                next_batch += 1
            if under_way == 0:
                return
            finished = pool.next()
            under_way -= 1
            under_way += self._take(finished, pool)
            while self._is_complete(self._merged + 1):
                self._merge(self._merged + 1, began, pool.workers)
                if watch is not None:
                    watch(self.progress(began, pool.workers))

    @property
    def _target(self) -> int | None:
        """Batches that the budget asks for; None where it is a time."""
        candidates = self.config.budget.candidates
        return None if candidates is None else -(-candidates // self.config.batch)

    def _is_finished(self, elapsed: float, next_batch: int | None = None) -> bool:
        batch = self._merged + 1 if next_batch is None else next_batch
        if self._target is not None:
            return batch >= self._target
        return self._worked + elapsed >= (self.config.budget.seconds or 0.0)

    def _begin(self, number: int, pool: Executor) -> int:
        """Hands a batch to the workers to be bred; returns the number of units."""
        plan = self._plan(number)
        batch = self._batches[number] = _Batch(plan)
        slots = len(plan.parents)
        size = -(-slots // pool.workers)
        for first in range(0, slots, size):
            chosen = tuple(range(first, min(first + size, slots)))
            parents = tuple(plan.parents[slot] for slot in chosen)
            texts = {id: self._text(id) for id in sorted(set(parents))}
            pool.submit(BreedUnit(number, chosen, parents, texts))
            batch.missing += 1
        return batch.missing

    def _take(self, finished: Finished, pool: Executor) -> int:
        """Puts a result where it belongs; returns the number of new units."""
        unit = finished.unit
        batch = self._batches[unit.batch]
        batch.missing -= 1
        if isinstance(unit, BreedUnit):
            self._seconds["propose"] += finished.seconds
            batch.bred.update({bred.id: bred for bred in finished.results if isinstance(bred, Bred)})
        else:
            self._seconds["evaluate"] += finished.seconds
            mean = finished.seconds / max(1, len(unit.items))
            self._evaluation_seconds += 0.1 * (mean - self._evaluation_seconds)
            for judged in finished.results:
                if isinstance(judged, Judged):
                    batch.judged[judged.behaviour, judged.evaluation.replicate] = judged
        return self._admit_ready(pool)

    def _admit_ready(self, pool: Executor) -> int:
        """Looks up the batches that are bred, strictly in order; returns the number of new units."""
        units = 0
        while (batch := self._batches.get(self.cache.last_batch + 1)) and len(batch.bred) == len(batch.plan.parents):
            units += self._admit(batch, pool)
        return units

    def _admit(self, batch: _Batch, pool: Executor) -> int:
        layers, config = self.config.cache, self.config
        bred = [batch.bred[id] for id in sorted(batch.bred)]
        keys = [
            Keys(
                one.id,
                one.structural if layers.structural else None,
                one.canonical if layers.canonical else None,
                one.functional if layers.functional else None,
            )
            if one.status is not Status.INVALID
            else Keys(one.id, None, None, None)
            for one in bred
        ]
        batch.hits = self.cache.admit(batch.plan.batch, keys)
        items = [
            Item(one.id, one.payload, 0, batch.plan.thresholds, False)
            for one, hit in zip(bred, batch.hits, strict=True)
            if one.status is None and (hit is None or self._doubted(one.id, hit, config))
        ]
        items += [Item(b, self._text(b), replicate, (), True) for b, replicate in batch.plan.again]
        size = max(1, min(len(items), round(UNIT_SECONDS / self._evaluation_seconds)))
        for first in range(0, len(items), size):
            pool.submit(EvaluateUnit(batch.plan.batch, tuple(items[first : first + size])))
        units = -(-len(items) // size) if items else 0
        batch.missing += units
        return units

    @staticmethod
    def _doubted(id: int, hit: Hit, config: Config) -> bool:
        """Whether a functional hit is evaluated all the same (counterfactual mode)."""
        share = config.cache.counterfactual
        if hit.layer is not Layer.FUNCTIONAL or share == 0.0:
            return False
        return np.random.default_rng([config.seed, id, 1]).random() < share

    def _is_complete(self, number: int) -> bool:
        batch = self._batches.get(number)
        return batch is not None and batch.hits is not None and batch.missing == 0

    # --- merging -------------------------------------------------------------------------------------------------

    def _merge(self, number: int, began: float, workers: int) -> None:
        """Merges a batch: counters, archive, plan of a later batch; all in one transaction."""
        start = time.perf_counter()
        batch = self._batches.pop(number)
        outcome = _Outcome()
        for id, hit in zip(sorted(batch.bred), batch.hits or (), strict=True):
            self._merge_candidate(batch, batch.bred[id], hit, outcome)
        for behaviour, replicate in batch.plan.again:
            self._merge_again(behaviour, batch.judged[behaviour, replicate].evaluation, outcome)
        self.strategy.observe(outcome.scored)
        self._merged = number
        self._plans.pop(number, None)
        later = number + self.config.lag
        pending = [self._plan(b) for b in range(number + 1, later)]
        self._plans[later] = make_plan(
            self.config,
            later,
            self.grid,
            self.strategy,
            range(len(self._starts)),
            self._hurdles.thresholds(),
            outcome.judged,
            pending,
        )
        self._seconds["merge"] += time.perf_counter() - start
        start = time.perf_counter()
        self.store.commit(
            MergedBatch(
                batch=number,
                progress=self._figures(began, workers),
                cache_delta=self.cache.delta(number),
                programs=[outcome.programs[id] for id in sorted(outcome.programs)],
                evaluations=outcome.evaluations,
                cells=self.grid.take_changes(),
                plans={later: self._plans[later].to_json()},
                state={
                    "counters": dict(self._counters),
                    "hurdles": self._hurdles.state(),
                    "strategy": self.strategy.state(),
                },
            )
        )
        self._seconds["store"] += time.perf_counter() - start

    def _merge_candidate(self, batch: _Batch, bred: Bred, hit: Hit | None, outcome: "_Outcome") -> None:
        counters = self._counters
        counters["candidates"] += 1
        if bred.status is Status.INVALID:
            counters["invalid"] += 1
            return
        judged = batch.judged.get((bred.id, 0))
        if hit is None:
            behaviour = bred.id
            evaluation = judged.evaluation if judged else Evaluation(_failed(bred), None, 0, 0, message=bred.message)
            if judged is not None and evaluation.status is not Status.FAULT:
                counters["evaluations"] += 1
                counters["steps"] += evaluation.steps
                outcome.judged += 1
                self._hurdles.observe(evaluation.stage_scores)
            if evaluation.status is Status.FAULT:
                self.cache.forget(bred.id)
            outcome.evaluations.append((behaviour, evaluation))
            outcome.fresh[behaviour] = (evaluation,)
            if evaluation.status not in (Status.OK, Status.HURDLED):
                counters[f"failed.{evaluation.status.value}"] += 1
            counters["hurdled"] += evaluation.status is Status.HURDLED
        else:
            behaviour = hit.behaviour
            counters[f"hit.{hit.layer.value}"] += 1
            evaluation = outcome.fresh.get(behaviour, (None,))[0] or self._known(behaviour)[0]
            if judged is not None:
                self._count_doubt(judged.evaluation, evaluation)
        if bred.id < len(self._starts):
            self._keep(batch, bred, judged, outcome)
        if evaluation.status is not Status.OK or evaluation.score is None:
            return
        outcome.scored.append(Scored(bred.id, evaluation.score))
        # The same canonical form has the same size and buffers: only another form can find another cell.
        entered = (hit is None or hit.layer is Layer.FUNCTIONAL) and self._offer(bred, behaviour, evaluation, outcome)
        if entered or self.strategy.keeps_all:
            self._keep(batch, bred, judged, outcome)

    def _offer(self, bred: Bred, behaviour: int, evaluation: Evaluation, outcome: "_Outcome") -> bool:
        known = outcome.fresh.get(behaviour) or self._known(behaviour)
        scores = [e.score for e in known if e.status is Status.OK and e.score is not None]
        descriptors = {**evaluation.descriptors, **bred.static}
        cell = self.grid.cell(descriptors)
        elite = Elite.scored(bred.id, behaviour, cell, bred.size, scores, descriptors)
        return self.grid.add(elite) is not AddStatus.REJECTED

    def _merge_again(self, behaviour: int, evaluation: Evaluation, outcome: "_Outcome") -> None:
        self._counters["evaluations"] += 1
        self._counters["reevaluations"] += 1
        self._counters["steps"] += evaluation.steps
        outcome.evaluations.append((behaviour, evaluation))
        # What diverges on a new replicate is no better than the worst there can be.
        score = self.config.archive.qd_offset if evaluation.score is None else evaluation.score
        if evaluation.status is not Status.FAULT:
            self.grid.update(behaviour, score)
        self._evaluations.pop(behaviour, None)

    def _count_doubt(self, anew: Evaluation, known: Evaluation) -> None:
        self._counters["counterfactual.evaluated"] += 1
        self._counters["steps"] += anew.steps
        near = anew.score is not None and known.score is not None and abs(anew.score - known.score) <= 0.01
        same = anew.status is known.status and (near or anew.score is known.score)
        self._counters["counterfactual.collisions"] += known.status is not Status.HURDLED and not same

    def _keep(self, batch: _Batch, bred: Bred, judged: Judged | None, outcome: "_Outcome") -> None:
        """Stores the text of a program that may become a parent."""
        if bred.id in outcome.programs:
            return
        if judged is not None:
            text = judged.text
        elif bred.payload:
            text = render(pickle.loads(bred.payload)[0], self.domain.vocabulary)  # noqa: S301  (made by our worker)
        else:
            text = self._text(bred.id)
        outcome.programs[bred.id] = ProgramRecord(
            bred.id,
            text,
            bred.parent,
            "start" if bred.parent is None else self.proposer,
            batch.plan.batch,
            bred.structural,
            bred.canonical,
            bred.functional,
        )

    # --- what is known -------------------------------------------------------------------------------------------

    def _plan(self, batch: int) -> Plan:
        if batch not in self._plans:  # the first `lag` batches are bred before there is an archive
            self._plans[batch] = make_plan(
                self.config,
                batch,
                Grid(self.grid.descriptors, 1),
                load_strategy(self.config.strategy.name)(self.config.strategy),
                range(len(self._starts)),
                tuple(float("-inf") for _ in self._hurdles.thresholds()),
                0,
                (),
            )
        return self._plans[batch]

    def _load_text(self, id: int) -> str:
        if 0 <= id < len(self._starts):
            return self._starts[id]
        record = self.store.program(id)
        if record is None:
            raise ValueError(f"{self.folder} must hold program {id}, which a plan names; the store is damaged")
        return record.text

    def _known(self, behaviour: int) -> tuple[Evaluation, ...]:
        """Evaluations of a merged behaviour by replicate; most hits are on recent ones."""
        if behaviour not in self._evaluations:
            if len(self._evaluations) >= REMEMBERED:
                self._evaluations.clear()
            self._evaluations[behaviour] = self.store.evaluations(behaviour)
        return self._evaluations[behaviour]

    def _restore(self) -> None:
        store = self.store
        self._merged = store.last_batch
        if self._merged < 0:
            return
        self.grid.restore(store.elites())
        self.cache.restore(store.cache_deltas())
        state = store.state()
        self._counters.update(state["counters"])
        self._hurdles.restore(state["hurdles"])
        self.strategy.restore(state["strategy"])
        self._plans = {batch: Plan.from_json(batch, data) for batch, data in store.plans().items()}
        figures = store.progress(self._merged)[self._merged]
        self._worked = figures["seconds"]
        self._seconds.update(figures["seconds_by_part"])

    # --- figures -------------------------------------------------------------------------------------------------

    def _figures(self, began: float, workers: int) -> dict[str, Any]:
        figures = asdict(self.progress(began, workers))
        for best in figures["best"]:
            del best["text"]
        return figures

    def progress(self, began: float, workers: int = 1) -> Progress:
        """Returns the state of the run; `began` is when this call of `execute` began (perf_counter)."""
        counters, statistics = self._counters, self.grid.statistics(self.config.archive.qd_offset)
        seconds = self._worked + time.perf_counter() - began
        budget = self.config.budget
        if budget.candidates is not None:
            share = min(1.0, counters["candidates"] / budget.candidates)
            left = seconds * (1.0 / share - 1.0) if share > 0.0 else None
        else:
            share = min(1.0, seconds / (budget.seconds or 1.0))
            left = max(0.0, (budget.seconds or 0.0) - seconds)
        return Progress(
            batch=self._merged,
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
            best=self.best(3),
            steps=counters["steps"],
            seconds=seconds,
            seconds_by_part=dict(self._seconds),
            workers=workers,
            share_done=share,
            seconds_left=left,
        )

    def best(self, count: int) -> tuple[Best, ...]:
        """Returns the best elites by their lower bound, one for each behaviour."""
        found: dict[int, Best] = {}
        for elite in sorted(self.grid.elites(), key=lambda e: (-self.grid.value(e), e.size, e.id)):
            if len(found) >= count:
                break
            if elite.behaviour not in found:
                buffers = int(elite.descriptors.get("state_buffers", 0))
                found[elite.behaviour] = Best(elite.id, elite.mean, elite.size, buffers, "")
        return tuple(found.values())


@dataclass
class _Outcome:
    """What a merge gathers for the store."""

    evaluations: list[tuple[int, Evaluation]] = field(default_factory=list)
    fresh: dict[int, tuple[Evaluation, ...]] = field(default_factory=dict)
    programs: dict[int, ProgramRecord] = field(default_factory=dict)
    scored: list[Scored] = field(default_factory=list)
    judged: int = 0


def _failed(bred: Bred) -> Status:
    return bred.status or Status.FAULT


def axes(config: Config, domain: Domain) -> tuple[Descriptor, ...]:
    """Returns the axes of the archive: the domain's own, or those that the configuration names.

    Raises:
        ValueError: the domain has no such descriptor.
    """
    if config.archive.axes is None:
        return domain.descriptors
    known = {descriptor.name: descriptor for descriptor in domain.descriptors}
    chosen = []
    for axis in config.archive.axes:
        if axis.name not in known:
            raise ValueError(
                f"archive.axes must be among {', '.join(known)}, got {axis.name!r}{nearest(axis.name, known)}"
            )
        descriptor = known[axis.name]
        chosen.append(replace(descriptor, edges=axis.edges) if axis.edges else descriptor)
    return tuple(chosen)


def stored_config(store: Store) -> Config:
    """Returns the configuration that a run folder keeps."""
    return build(read_yaml(store.meta["config"], str(store.folder)), str(store.folder))


def make_executor(workers: int | None, config: Config, starts: Sequence[str], proposer: str) -> Executor:
    """Returns the executor for a number of workers: in process for 1, actors on a local Ray for more."""
    import os

    from discovery.device import cache_folder, configure

    wanted = workers or config.workers or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    cache = str(cache_folder() / "baselines")
    if wanted == 1:
        from discovery.executors.in_process import InProcess
        from discovery.worker import Worker

        configure()
        return InProcess(Worker(config, starts, proposer, cache))
    from discovery.executors.ray_local import RayLocal

    return RayLocal(wanted, config, tuple(starts), proposer, cache)
