"""A worker: breeds candidates and judges programs. It holds nothing that a result depends on but the configuration."""

import pickle
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from archive.evaluation import Evaluation, Status
from discovery.config import Config, options
from discovery.proposers import Space
from discovery.proposers import load as load_proposer
from discovery.settings import validate
from evaluators.domain import load as load_domain
from primitives.graph import Graph, check
from primitives.program import Program, ProgramError, structural_key
from primitives.simplify import canonical_key, canonicalize
from primitives.text import parse, render


class Bred(NamedTuple):
    """A candidate as it leaves a worker.

    Args:
        id: candidate id.
        parent: id of the parent; None for a start program.
        status: why it goes no further (INVALID, NO_OP, NON_FINITE), or None.
        message: the reason, one line.
        structural: key of the genotype.
        canonical: key of the canonical form, None if invalid.
        functional: fingerprint, None if not finite.
        size: operations of the canonical form.
        static: static descriptors.
        payload: program and canonical graph, pickled: the driver passes them on without looking.
    """

    id: int
    parent: int | None
    status: Status | None
    message: str
    structural: int
    canonical: int | None
    functional: int | None
    size: int
    static: Mapping[str, float]
    payload: bytes


class BreedUnit(NamedTuple):
    """Slots of one batch to breed: candidate ids, their parents' ids and the parents' texts."""

    batch: int
    slots: tuple[int, ...]
    parents: tuple[int, ...]
    texts: Mapping[int, str]


class Item(NamedTuple):
    """One evaluation to run: a program as payload or text; `final` skips the cheaper stages and the hurdles."""

    behaviour: int
    program: bytes | str
    replicate: int
    thresholds: tuple[float, ...]
    final: bool


class EvaluateUnit(NamedTuple):
    """Evaluations that travel together."""

    batch: int
    items: tuple[Item, ...]


class Judged(NamedTuple):
    """An evaluation with the text of its program."""

    behaviour: int
    evaluation: Evaluation
    text: str


@dataclass(frozen=True)
class Finished:
    """A unit's result: Bred of every slot or Judged of every item, and the seconds it took."""

    unit: BreedUnit | EvaluateUnit
    results: Sequence[Bred] | Sequence[Judged]
    seconds: float


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
        self._canonical = lru_cache(maxsize=256)(self._canonicalize)
        space = Space(self.domain.vocabulary, self._interface, config.max_statements, lambda p: self._canonical(p)[1])
        chosen = validate(factory.options, section, prefix="proposer.options")
        self._proposer = factory.build(chosen, space)
        self._parsed = lru_cache(maxsize=4096)(self._parse)
        self.evaluator = self.domain.evaluator(options(config), cache)
        self._final = len(self.domain.stages(options(config))) - 1

    def warm_up(self) -> None:
        """Compiles and loads all that evaluations need."""
        self.evaluator.warm_up()

    def run(self, unit: BreedUnit | EvaluateUnit) -> Finished:
        """Works off a unit."""
        began = time.perf_counter()
        results = self._breed(unit) if isinstance(unit, BreedUnit) else [self._judge(item) for item in unit.items]
        return Finished(unit, results, time.perf_counter() - began)

    # --- breeding ------------------------------------------------------------------------------------------------

    def _breed(self, unit: BreedUnit) -> list[Bred]:
        bred = []
        for slot, parent in zip(unit.slots, unit.parents, strict=True):
            id = unit.batch * self.config.batch + slot
            if id < len(self._starts):
                bred.append(self.describe(id, None, self._parsed(self._starts[id])))
                continue
            rng = np.random.default_rng([self.config.seed, unit.batch, slot])
            child = self._proposer.propose(self._parsed(unit.texts[parent]), rng)
            bred.append(self.describe(id, parent, child))
        return bred

    def describe(self, id: int, parent: int | None, program: Program) -> Bred:
        """Checks a program, finds its keys and its static descriptors."""
        structural = structural_key(program)
        try:
            graph, canonical = self._canonical(program)
        except ProgramError as error:
            return Bred(id, parent, Status.INVALID, str(error), structural, None, None, 0, {}, b"")
        refused = self.domain.refuse(graph)
        functional = None if refused else self.domain.fingerprint(graph)
        status = Status.NO_OP if refused else Status.NON_FINITE if functional is None else None
        message = refused or ("not finite on the probe" if status else "")
        static = self.domain.static_descriptors(graph)
        payload = b"" if status else pickle.dumps((program, graph), protocol=5)
        return Bred(id, parent, status, message, structural, canonical, functional, graph.size, static, payload)

    def _canonicalize(self, program: Program) -> tuple[Graph, int]:
        domain = self.domain
        graph = canonicalize(
            check(program, domain.vocabulary, self.config.max_statements), domain.vocabulary, domain.dtype
        )
        return graph, canonical_key(graph)

    def _parse(self, text: str) -> Program:
        return parse(text, self._interface, self.domain.vocabulary)

    # --- judging -------------------------------------------------------------------------------------------------

    def _judge(self, item: Item) -> Judged:
        if isinstance(item.program, bytes):
            program, graph = pickle.loads(item.program)  # noqa: S301  (made by a worker of this run)
            text = render(program, self.domain.vocabulary)
        else:
            text = item.program
            graph, _ = self._canonical(self._parsed(text))
        stages = range(self._final, self._final + 1) if item.final else None
        for attempt in (1, 2):
            try:
                return Judged(
                    item.behaviour,
                    self.evaluator.evaluate(graph, item.replicate, item.thresholds, stages),
                    text,
                )
            except Exception as error:  # noqa: BLE001  (whatever breaks here must not take the run along)
                if attempt == 2:
                    message = f"{type(error).__name__}: {error}".splitlines()[0]
                    fault = Evaluation(Status.FAULT, None, 0, item.replicate, message=message)
                    return Judged(item.behaviour, fault, text)
        raise AssertionError("unreachable")
