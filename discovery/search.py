"""What a search knows, and how a batch changes it: the archive is a function of what happens here, in this order.

Nothing here knows of workers or clocks. `Run` calls `plan`, `admit` and `merge` for every batch, in order of the
batches and with the results in order of the slots; what comes out does not depend on when they came in.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np

from archive.cache import Cache, Hit, Keys, Layer
from archive.elite import Elite
from archive.evaluation import Evaluation, Status
from archive.grid import Grid
from archive.records import MergedBatch, ProgramRecord
from archive.store import Store
from discovery.config import Config, axes, options
from discovery.islands import Islands
from discovery.plan import Hurdles, Plan, make_plan
from discovery.progress import Best
from discovery.strategies import Scored
from discovery.validation import FIGURE, Curve
from discovery.worker import Bred, EvaluateUnit, Judged, ValidateUnit
from evaluators.domain import VALIDATION_REPLICATE
from evaluators.domain import load as load_domain
from primitives.emit.text import emit_text
from primitives.text import parse

REMEMBERED = 16_384
"""Behaviours whose evaluations are kept at hand, and texts: the store takes longer to tell than all else of a merge."""
COLLISION = 0.01
"""Two evaluations of one behaviour that differ by more in a stage's score are of two behaviours."""

_UNKNOWN = (None, None, None)


@dataclass
class _Outcome:
    """What a merge gathers for the store."""

    batch: int
    judged: Mapping[tuple[int, int], Judged]
    evaluations: list[tuple[int, Evaluation]] = field(default_factory=list)
    programs: dict[int, ProgramRecord] = field(default_factory=dict)
    scored: list[Scored] = field(default_factory=list)
    new: int = 0  # behaviours that an evaluation was spent on


class Search:
    """The state of a search, as the store has it.

    Args:
        config: configuration of the run.
        store: where the merged batches are; only read here.
    """

    def __init__(self, config: Config, store: Store) -> None:
        self.config, self._store = config, store
        self.domain = load_domain(config.domain)
        self.starts: tuple[str, ...] = tuple(store.meta["starts"])
        self.grid = Grid(axes(config, self.domain), config.archive.depth, config.archive.pessimism)
        self.cache = Cache(config.cache.entries)
        self.islands = Islands(config, self.grid, len(self.starts))
        self.proposer = self.islands.of(0).strategy.proposer or config.proposer.name
        self.curve = Curve(config)
        self.counters: Counter[str] = Counter()
        self.merged = -1
        self.text = lru_cache(REMEMBERED)(self._load_text)
        self._rule = lru_cache(64)(self._canonical_text)
        self._options = options(config)
        self._hurdles = Hurdles(config, len(self.domain.stages(self._options)))
        self._evaluations: dict[int, tuple[Evaluation, ...]] = {}
        # the first `lag` batches are bred before there is an archive
        self._plans = {
            b: make_plan(config, b, self.islands.of(b), self._hurdles.thresholds()) for b in range(config.lag)
        }
        self._restore()

    def _restore(self) -> None:
        store = self._store
        self.merged = store.last_batch
        if self.merged < 0:
            return
        state = store.state()
        self.islands.restore(store, state)
        self.cache.restore(store.cache_deltas())
        self.counters.update(state["counters"])
        self._hurdles.restore(state["hurdles"])
        if "validation" in state:
            self.curve.restore(state["validation"], store.meta.get(FIGURE))
        stored = {batch: Plan.from_json(batch, data) for batch, data in store.plans().items()}
        self._plans = {batch: plan for batch, plan in self._plans.items() if batch > self.merged} | stored
        for batch in range(self.merged + 1, self.merged + 1 + self.config.lag):
            self.plan(batch)  # all that are under way at a time must be there

    # --- before the workers --------------------------------------------------------------------------------------

    def plan(self, batch: int) -> Plan:
        """Returns what a batch is bred from; it stands since batch `batch - lag` was merged."""
        return self._plans[batch]

    def admit(self, plan: Plan, bred: Sequence[Bred]) -> tuple[list[Hit | None], list[EvaluateUnit]]:
        """Looks up the candidates of a batch; batches must come in order.

        Args:
            plan: plan of the batch.
            bred: its candidates in order of the slots.

        Returns:
            For each candidate the hit or None, and the evaluations to run, those of elites included.
        """
        hits = self.cache.admit(plan.batch, [self._keys(one) for one in bred])
        units = [
            EvaluateUnit(plan.batch, one.id, one.text, 0, plan.thresholds, False)
            for one, hit in zip(bred, hits, strict=True)
            if one.status is None and (hit is None or self._is_doubted(one.id, hit))
        ]
        units += [
            EvaluateUnit(plan.batch, a.behaviour, self.text(a.program), a.replicate, (), True) for a in plan.again
        ]
        return hits, units

    def _keys(self, one: Bred) -> Keys:
        layers = self.config.cache
        if one.status in (Status.INVALID, Status.FAULT):
            return Keys(one.id, *_UNKNOWN)
        return Keys(
            one.id,
            one.structural if layers.structural else None,
            one.canonical if layers.canonical else None,
            one.functional if layers.functional else None,
        )

    def _is_doubted(self, id: int, hit: Hit) -> bool:
        """Whether a functional hit is evaluated all the same (counterfactual mode)."""
        share = self.config.cache.counterfactual
        if hit.layer is not Layer.FUNCTIONAL or share == 0.0:
            return False
        return np.random.default_rng([self.config.seed, *divmod(id, self.config.batch), 1]).random() < share

    def validation(self) -> ValidateUnit | None:
        """Returns the evaluation on larger tasks that the validation curve waits for, if there is one."""
        point = self.curve.to_judge()
        if point is None:
            return None
        return ValidateUnit(point.behaviour, self.text(point.program), VALIDATION_REPLICATE)

    # --- after the workers ---------------------------------------------------------------------------------------

    def merge(
        self,
        plan: Plan,
        bred: Sequence[Bred],
        hits: Sequence[Hit | None],
        judged: Mapping[tuple[int, int], Judged],
    ) -> MergedBatch:
        """Merges a batch: counters, archive, and the plan of the batch `lag` ahead; batches must come in order.

        Args:
            plan: plan of the batch.
            bred: its candidates in order of the slots.
            hits: what `admit` returned.
            judged: evaluations by behaviour and replicate.

        Returns:
            All that it changed, for the store; the progress is left to the caller.
        """
        # Only here: within a merge it holds what the store does not yet. The oldest go, so that memory stays level.
        for behaviour in list(islice(self._evaluations, max(0, len(self._evaluations) - REMEMBERED))):
            del self._evaluations[behaviour]
        self._recall({hit.behaviour for hit in hits if hit is not None} | {again.behaviour for again in plan.again})
        outcome = _Outcome(plan.batch, judged)
        for one, hit in zip(bred, hits, strict=True):
            self._merge_candidate(one, hit, outcome)
        for again in plan.again:
            self._merge_again(again.behaviour, judged[again.behaviour, again.replicate].evaluation, outcome)
        self.islands.of(plan.batch).observe(plan.batch, outcome.scored)
        curve = self._merge_curve(plan.batch)
        self.merged = plan.batch
        del self._plans[plan.batch]
        later = plan.batch + self.config.lag
        self._plans[later] = make_plan(
            self.config,
            later,
            self.islands.of(later),
            self._hurdles.thresholds(),
            outcome.new,
            list(self._plans.values()),
            lambda behaviour: len(self._known(behaviour)),
        )
        return MergedBatch(
            batch=plan.batch,
            progress={},
            cache_delta=self.cache.delta(plan.batch),
            programs=[outcome.programs[id] for id in sorted(outcome.programs)],
            evaluations=outcome.evaluations,
            cells=self.grid.take_changes(),
            islands=self.islands.take_changes(),
            plans={later: self._plans[later].to_json()},
            state={
                "counters": dict(self.counters),
                "hurdles": self._hurdles.state(),
                **self.islands.take_state(),
                **curve,
            },
        )

    def _merge_candidate(self, one: Bred, hit: Hit | None, outcome: _Outcome) -> None:
        self.counters["candidates"] += 1
        if one.status is Status.INVALID:
            self.counters["invalid"] += 1
            return
        if hit is None:
            behaviour, evaluation = one.id, self._merge_behaviour(one, outcome)
        else:
            behaviour, evaluation = hit.behaviour, self._known(hit.behaviour)[0]
            self.counters[f"hit.{hit.layer.value}"] += 1
            if (one.id, 0) in outcome.judged:
                self._count_doubt(outcome.judged[one.id, 0].evaluation, evaluation)
        if one.id < len(self.starts):
            self._keep(one, behaviour, outcome)
        if evaluation.status is not Status.OK or evaluation.score is None:
            return
        outcome.scored.append(Scored(one.id, evaluation.score))
        if evaluation.program is not None:
            judged = outcome.judged.get((one.id, 0))
            if hit is not None or judged is None or judged.refitted is None:
                return  # the refitted program of its behaviour was offered before, and this one is not fitted
            one = judged.refitted._replace(parent=one.parent)
        strategy = self.islands.of(outcome.batch).strategy
        if self._offer(one, behaviour, evaluation, outcome.batch) or strategy.keeps_all:
            self._keep(one, behaviour, outcome)

    def _merge_behaviour(self, one: Bred, outcome: _Outcome) -> Evaluation:
        """Takes note of a behaviour that was not known."""
        counters = self.counters
        judged = outcome.judged.get((one.id, 0))
        if judged is not None:
            evaluation = judged.evaluation
        else:
            evaluation = Evaluation(one.status or Status.FAULT, None, 0, 0, message=one.message)
        if evaluation.status is Status.FAULT:
            # Never cached. Batches under way may have met its keys before or after this, as timing has it: from a fault
            # on a run is no function of its configuration any more, and `failures` says so.
            self.cache.forget(one.id)
        elif judged is not None:
            counters["evaluations"] += 1
            counters["steps"] += evaluation.steps
            outcome.new += 1
            self._hurdles.observe(evaluation.stage_scores)
        if evaluation.status is Status.HURDLED:
            counters["hurdled"] += 1
        elif evaluation.status is not Status.OK:
            counters[f"failed.{evaluation.status.value}"] += 1
        outcome.evaluations.append((one.id, evaluation))
        self._evaluations[one.id] = (evaluation,)
        return evaluation

    def _merge_again(self, behaviour: int, evaluation: Evaluation, outcome: _Outcome) -> None:
        """Takes note of an elite's evaluation on one more replicate."""
        if evaluation.status is Status.FAULT:
            self.counters["reevaluations.fault"] += 1
        else:
            self.counters["evaluations"] += 1
            self.counters["reevaluations"] += 1
            self.counters["steps"] += evaluation.steps
            self.islands.update(behaviour, self._score(evaluation))
        outcome.evaluations.append((behaviour, evaluation))
        self._evaluations[behaviour] = (*self._known(behaviour), evaluation)

    def _merge_curve(self, batch: int) -> dict[str, Any]:
        """Ends the batch for islands and validation curve; returns what of the curve the store must keep anew."""
        began_anew, is_turn = self.islands.end_batch(batch), self.curve.is_turn(batch)
        if is_turn:
            self._record_point()
            then = self.config.validation.then if self.curve.overfits else "continue"
            if then == "stop":
                self.curve.end(batch)
            elif then == "restart" and not began_anew:
                self.islands.restart(batch)
                began_anew = True
        self.counters["restarts"] += began_anew
        if began_anew:
            self.curve.begin_anew(batch)
        if is_turn:
            # of what is bred from: after a restart the archive's best would still be the one that overfits
            self.curve.choose(batch, self.counters["candidates"], self.islands.best())
        has_changed = self.config.validation.every is not None and (is_turn or began_anew)
        return {"validation": self.curve.state()} if has_changed else {}

    def _record_point(self) -> None:
        """Records the point of the curve that is due; its steps are no part of the search's."""
        recorded = self.curve.record()
        if recorded is None:
            return
        point, steps = recorded
        self.counters["validation.steps"] += steps
        self.counters["validation.evaluations"] += steps > 0
        self.counters["validation.faults"] += point.status == Status.FAULT

    def _offer(self, one: Bred, behaviour: int, first: Evaluation, batch: int) -> bool:
        """Offers a program to the archive with all scores of its behaviour; returns whether it may become a parent."""
        scores = [self._score(e) for e in self._known(behaviour) if e.status is not Status.FAULT]
        descriptors = {**first.descriptors, **one.static}
        cell = self.grid.cell(descriptors)
        return self.islands.offer(batch, Elite.scored(one.id, behaviour, cell, one.size, scores, descriptors))

    def _score(self, evaluation: Evaluation) -> float:
        """What diverges on a new replicate is no better than the worst there can be."""
        return self.config.archive.qd_offset if evaluation.score is None else evaluation.score

    def _count_doubt(self, anew: Evaluation, known: Evaluation) -> None:
        """Compares as far as both went: where hurdles have risen since, one may have gone further."""
        if Status.FAULT in (anew.status, known.status):
            return
        self.counters["counterfactual.evaluated"] += 1
        self.counters["steps"] += anew.steps
        one_diverged = (anew.status is Status.DIVERGED) is not (known.status is Status.DIVERGED)
        both_ended = Status.HURDLED not in (anew.status, known.status)
        scores = zip(anew.stage_scores, known.stage_scores, strict=False)
        apart = any(abs(a - b) > COLLISION for a, b in scores)
        self.counters["counterfactual.collisions"] += apart or (one_diverged and both_ended)

    def _keep(self, one: Bred, behaviour: int, outcome: _Outcome) -> None:
        """Stores the text of a program that may become a parent."""
        if one.id in outcome.programs:
            return
        text = self.starts[one.id] if one.id < len(self.starts) else one.text
        proposer = "start" if one.parent is None else self.proposer
        outcome.programs[one.id] = ProgramRecord(
            one.id, text, one.parent, proposer, outcome.batch, one.structural, one.canonical, one.functional, behaviour
        )

    # --- what is known -------------------------------------------------------------------------------------------

    def _recall(self, behaviours: Iterable[int]) -> None:
        """Takes evaluations that are not at hand from the store; what only this batch tells is not there yet."""
        missing = [behaviour for behaviour in behaviours if behaviour not in self._evaluations]
        if missing:
            self._evaluations.update(self._store.evaluations_of(missing))

    def _known(self, behaviour: int) -> tuple[Evaluation, ...]:
        """Evaluations of a behaviour by replicate; those that were asked for last are forgotten last."""
        known = self._evaluations.pop(behaviour, None)
        self._evaluations[behaviour] = self._store.evaluations(behaviour) if known is None else known
        return self._evaluations[behaviour]

    def _load_text(self, id: int) -> str:
        if 0 <= id < len(self.starts):
            return self.starts[id]
        record = self._store.program(id)
        if record is None:
            raise ValueError(
                f"a run must hold the parents of its next batches, got no program {id} in {self._store.folder}; "
                f"the store is damaged: restore a copy"
            )
        return record.text

    def _canonical_text(self, id: int) -> str:
        domain = self.domain
        program = parse(self.text(id), domain.interface, domain.vocabulary)
        return emit_text(program, domain.vocabulary, domain.dtype)

    def best(self, count: int, with_text: bool = False) -> tuple[Best, ...]:
        """Returns the best elites by their lower bound, one for each behaviour.

        Args:
            count: how many.
            with_text: whether with their canonical text, which is known once their batch is in the store.
        """
        return tuple(
            Best(
                elite.id,
                elite.mean,
                elite.size,
                int(elite.descriptors.get("state_buffers", 0)),
                self._rule(elite.id) if with_text else "",
            )
            for elite in self.grid.ranked(count)
        )

    def front(self) -> tuple[dict[str, Any], ...]:
        """Returns the domain's table of the best elites, each row with its rule's text; empty where it has none."""
        if self.domain.front is None:
            return ()
        rows = self.domain.front(self._options, self.grid.elites())
        return tuple({**row, "rule": self._rule(row["id"])} for row in rows)
