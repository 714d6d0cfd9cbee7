"""A worker: breeds candidates and judges programs. It holds nothing that a result depends on but the configuration."""

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import isfinite, isnan, nan
from typing import Any, NamedTuple, TypeVar

import numpy as np

from archive.evaluation import Evaluation, Status, Tasks
from archive.plain import to_json
from discovery.config import Config, drawn, options
from discovery.executors import Finished
from discovery.proposers import Space
from discovery.proposers import load as load_proposer
from discovery.settings import validate
from discovery.validation import validator
from evaluators.domain import Request, Together
from evaluators.domain import load as load_domain
from primitives.canonical import Canonicalizer
from primitives.draws import generator
from primitives.graph import Graph
from primitives.program import Program, ProgramError, key_of
from primitives.text import Writer, parse

_ATTEMPTS = 20
"""Children bred for one that leaves frozen hyper-parameters alone."""
LONGEST_MESSAGE = 300
"""Characters of an error that are kept."""

Result = TypeVar("Result")


class Bred(NamedTuple):
    """A candidate as it leaves a worker.

    Args:
        id: candidate id.
        parent: id of the parent; None for a start program.
        status: why it goes no further (INVALID, NO_OP, NON_FINITE, FAULT), or None.
        message: the reason, one line.
        structural: key of the genotype, None where breeding itself failed.
        canonical: key of the canonical form, None if invalid.
        functional: fingerprint, None if not finite.
        size: operations of the canonical form.
        static: static descriptors.
        text: its text, which says all; empty where it goes no further.
    """

    id: int
    parent: int | None
    status: Status | None
    message: str
    structural: int | None
    canonical: int | None
    functional: int | None
    size: int
    static: Mapping[str, float]
    text: str


class BreedUnit(NamedTuple):
    """A slot of a batch to breed: the id of its parent, and that one's text."""

    batch: int
    slot: int
    parent: int
    text: str


class EvaluateUnit(NamedTuple):
    """One evaluation of a program's text to run.

    Args:
        batch: the batch that waits for it.
        behaviour: whose evaluation it is.
        text: the program.
        replicate: the seed set.
        thresholds: hurdles of the stages.
        final: whether the cheaper stages and the hurdles are skipped.
    """

    batch: int
    behaviour: int
    text: str
    replicate: int
    thresholds: tuple[float, ...]
    final: bool


class ValidateUnit(NamedTuple):
    """One evaluation on larger tasks to run, for the validation curve."""

    behaviour: int
    text: str
    replicate: int


Unit = BreedUnit | EvaluateUnit | ValidateUnit


class Judged(NamedTuple):
    """An evaluation of a behaviour.

    Args:
        behaviour: whose evaluation it is.
        evaluation: the evaluation.
        refitted: the program that it hands back, described like a candidate; None where it hands back none.
    """

    behaviour: int
    evaluation: Evaluation
    refitted: Bred | None = None


def _assigned(program: Program, names: Sequence[str]) -> list[tuple[str, str]]:
    """Returns all assignments to some names, in order; as texts, which tell 0.0 from -0.0."""
    return [(target, repr((op, args))) for target, op, args in program.statements if target in names]


class Worker:
    """Breeds and judges under one configuration.

    Args:
        config: configuration of the run.
        starts: texts of the start programs, already adopted to the signature of the search.
        proposer: name of the proposer.
        cache: folder for what evaluators keep between runs, or None.
    """

    def __init__(self, config: Config, starts: Sequence[str], proposer: str, cache: str | None) -> None:
        self.config = config
        self.domain = load_domain(config.domain)
        self._starts = tuple(starts)
        self._interface = self.domain.interface
        factory = load_proposer(proposer)
        section = config.proposer.options if proposer == config.proposer.name else {}
        self._canonical = Canonicalizer(self.domain.vocabulary, self.domain.dtype, config.max_statements)
        space = Space(drawn(config), self._interface, config.max_statements, self._canonical.key)
        chosen = validate(factory.options, section, prefix="proposer.options")
        self._proposer = factory.build(chosen, space)
        self._write = Writer(self.domain.vocabulary)
        self._parsed = lru_cache(maxsize=4096)(self._parse)
        self.evaluator = self.domain.evaluator(options(config), cache)
        make_validator = validator(config, self.domain)
        self._validator = make_validator and make_validator(options(config), cache)
        self._final = len(self.domain.stages(options(config))) - 1
        self._static = self.domain.static_descriptors
        self._axes = [axis.name for axis in config.archive.axes or self.domain.descriptors]

    def warm_up(self) -> None:
        """Compiles and loads all that evaluations need."""
        self.evaluator.warm_up()
        if self._validator is not None:
            self._validator.warm_up()
        gc.freeze()  # what is loaded now stays: looking through it for garbage took 4 % of the time of breeding

    @property
    def together(self) -> int:
        """Units of one sort that it works off at once for little more than the time of one."""
        return self.evaluator.together if isinstance(self.evaluator, Together) else 1

    def run(self, units: Sequence[Unit]) -> list[Finished]:
        """Works off units of one sort; what breaks in one twice is a fault of its candidate."""
        if self.together > 1 and isinstance(units[0], EvaluateUnit):
            return self._run_together(units)
        return [self._run(unit) for unit in units]

    def _run_together(self, units: Sequence[Any]) -> list[Finished]:
        """Works off evaluations at once; where that raises, half by half until it comes out whose fault it was."""
        if len(units) == 1:
            return [self._run(units[0])]
        began = time.perf_counter()
        try:
            asked = [self._request(unit) for unit in units]
            evaluations = self.evaluator.evaluate_all(asked)  # type: ignore[attr-defined]  (`together` has looked)
        except Exception:  # noqa: BLE001
            half = len(units) // 2
            return self._run_together(units[:half]) + self._run_together(units[half:])
        seconds = (time.perf_counter() - began) / len(units)
        found = []
        for unit, request, evaluation in zip(units, asked, evaluations, strict=True):
            judged = try_twice(self._judged, unit, request, evaluation)
            result = failed(unit, self.config.batch, judged) if isinstance(judged, str) else judged
            found.append(Finished(unit, result, seconds))
        return found

    def _run(self, unit: Unit) -> Finished:
        began = time.perf_counter()
        found = try_twice(self._breed if isinstance(unit, BreedUnit) else self._judge, unit)
        result = failed(unit, self.config.batch, found) if isinstance(found, str) else found
        return Finished(unit, result, time.perf_counter() - began)

    # --- breeding ------------------------------------------------------------------------------------------------

    def _breed(self, unit: BreedUnit) -> Bred:
        """Breeds the candidate of a slot; the first slots of a run are the start programs themselves."""
        id = unit.batch * self.config.batch + unit.slot
        if id < len(self._starts):
            return self.describe(id, None, self._parsed(self._starts[id]))
        rng = generator(self.config.seed, unit.batch, unit.slot)
        return self.describe(id, unit.parent, self._propose(self._parsed(unit.text), rng))

    def _propose(self, parent: Program, rng: np.random.Generator) -> Program:
        """Returns a child whose frozen hyper-parameters are the parent's, or the parent where no attempt gave one."""
        frozen = self.config.frozen
        for _ in range(_ATTEMPTS):
            child = self._proposer.propose(parent, rng)
            if not frozen or _assigned(child, frozen) == _assigned(parent, frozen):
                return child
        return parent

    def describe(self, id: int, parent: int | None, program: Program) -> Bred:
        """Checks a program, finds its keys and its static descriptors."""
        text = self._write(program)
        structural = key_of(text.encode())
        try:
            graph, canonical = self._canonical(program)
        except ProgramError as error:
            return Bred(id, parent, Status.INVALID, str(error), structural, None, None, 0, {}, "")
        refused = self.domain.refuse(graph)
        functional = None if refused else self.domain.fingerprint(graph)
        status = Status.NO_OP if refused else Status.NON_FINITE if functional is None else None
        message = refused or ("not finite on the probe" if status else "")
        static = self.domain.static_descriptors(graph)
        kept = "" if status else text
        return Bred(id, parent, status, message, structural, canonical, functional, graph.size, static, kept)

    def _parse(self, text: str) -> Program:
        return parse(text, self._interface, self.domain.vocabulary)

    # --- judging -------------------------------------------------------------------------------------------------

    def _judge(self, unit: EvaluateUnit | ValidateUnit) -> Judged:
        if isinstance(unit, ValidateUnit):
            graph, _ = self._canonical(self._parsed(unit.text))
            return Judged(unit.behaviour, self._validate(graph, unit))
        asked = self._request(unit)
        return self._judged(unit, asked, self.evaluator.evaluate(*asked))

    def _request(self, unit: EvaluateUnit) -> Request:
        graph, _ = self._canonical(self._parsed(unit.text))
        stages = range(self._final, self._final + 1) if unit.final else None
        return Request(graph, unit.replicate, unit.thresholds, stages)

    def _judged(self, unit: EvaluateUnit, asked: Request, evaluation: Evaluation) -> Judged:
        graph = asked.graph
        self._refuse_unusable(evaluation, unit.replicate, {**evaluation.descriptors, **self._static(graph)})
        if evaluation.program is None:
            return Judged(unit.behaviour, evaluation)
        refitted = self.describe(unit.behaviour, None, evaluation.program)
        if refitted.status is not None:
            raise ValueError(f"a program that is handed back must be one that is judged, got {refitted.message}")
        return Judged(unit.behaviour, evaluation, refitted)

    def _validate(self, graph: Graph, unit: ValidateUnit) -> Evaluation:
        if self._validator is None:
            raise ValueError("validation must be in the configuration, got none; set validation.every")
        evaluation = self._validator.evaluate(graph, unit.replicate)
        _refuse_scores(evaluation, unit.replicate)
        return evaluation

    def _refuse_unusable(self, evaluation: Evaluation, replicate: int, descriptors: Mapping[str, float]) -> None:
        """An evaluator of a user's own may have a flaw: that is a fault, and must not reach the archive."""
        _refuse_scores(evaluation, replicate)
        missing = [name for name in self._axes if isnan(descriptors.get(name, nan))]
        if evaluation.status is Status.OK and missing:
            raise ValueError(f"every axis of the archive must have a value, got none for {', '.join(missing)}")
        try:
            Tasks.of(evaluation.tasks)
            to_json([dict(evaluation.descriptors), evaluation.message])
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(
                f"tasks, descriptors and message of an evaluation must be plain data, got {error}; take float() of "
                f"numbers that arrays gave"
            ) from None


def failed(unit: Unit, batch: int, message: str) -> Bred | Judged:
    """Returns what a unit gives that can't be worked off: a fault of its candidate, which is never cached.

    Args:
        unit: the unit.
        batch: candidates in a batch.
        message: why, one line.
    """
    message = " ".join(message.split())[:LONGEST_MESSAGE]
    if isinstance(unit, BreedUnit):
        id = unit.batch * batch + unit.slot
        return Bred(id, unit.parent, Status.FAULT, message, None, None, None, 0, {}, "")
    return Judged(unit.behaviour, Evaluation(Status.FAULT, None, 0, unit.replicate, message=message))


def _refuse_scores(evaluation: Evaluation, replicate: int) -> None:
    if evaluation.replicate != replicate:
        raise ValueError(f"an evaluation must be of replicate {replicate}, got {evaluation.replicate}")
    scores = [*evaluation.stage_scores]
    if evaluation.status in (Status.OK, Status.HURDLED) or evaluation.score is not None:
        scores.append(nan if evaluation.score is None else evaluation.score)
    if not all(map(isfinite, scores)):
        raise ValueError(f"scores of an evaluation that is {evaluation.status} must be finite, got {scores}")


def try_twice(action: Callable[..., Result], *args: Any, through: tuple[type[Exception], ...] = ()) -> Result | str:
    """Returns what the action gives or, where it raised twice, the error in words; errors of `through` are raised."""
    try:
        return action(*args)
    except through:
        raise
    except Exception:  # noqa: BLE001  (whatever breaks here must not take the run along)
        pass
    try:
        return action(*args)
    except through:
        raise
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {error}"
