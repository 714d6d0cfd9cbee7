"""A domain: what programs are for, and how they are judged."""

import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from pydantic import BaseModel

from archive.descriptor import Descriptor
from archive.elite import Elite
from archive.evaluation import Evaluation
from evaluators.plugins import find
from primitives.graph import Graph
from primitives.primitive import Vocabulary
from primitives.program import Interface, Program

VALIDATION_REPLICATE = 10_000
"""The replicate of all validation, so that its figures compare; search takes those below 1,000, promotion others."""


class Request(NamedTuple):
    """An evaluation that is asked for; see `Evaluator.evaluate`."""

    graph: Graph
    replicate: int
    thresholds: tuple[float, ...] = ()
    stages: range | None = None


class Evaluator(Protocol):
    """Judges programs under one configuration; a worker makes one and keeps it."""

    def warm_up(self) -> None:
        """Compiles and loads everything, so that evaluations do not wait."""
        ...

    def evaluate(
        self, graph: Graph, replicate: int, thresholds: tuple[float, ...] = (), stages: range | None = None
    ) -> Evaluation:
        """Judges a canonical graph.

        Args:
            graph: canonical form of the program.
            replicate: seed set, from 0.
            thresholds: score below which the program stops after stage i (shorter than the stages: no hurdle there).
            stages: the stages to run; None means all that search uses.
        """
        ...


@runtime_checkable
class Together(Protocol):
    """An evaluator that judges many programs at once for little more than the time of one, as accelerators do."""

    @property
    def together(self) -> int:
        """How many; 1 where there is nothing to gain."""
        ...

    def evaluate_all(self, requests: Sequence[Request]) -> list[Evaluation]:
        """Judges programs, in their order; each comes out as if it had been alone, but for `seconds`."""
        ...


@dataclass(frozen=True)
class Domain:
    """One science: signature, vocabulary, keys, tasks and descriptors.

    Args:
        name: name of the domain.
        interface: signatures that programs may have.
        vocabulary: primitives that programs may use.
        dtype: numpy name of the type that constants have when a program runs ("float32").
        options: pydantic model of the domain's own section of the configuration.
        fingerprint: hash of the behaviour of a canonical graph on the domain's probe; None where it is not finite.
        refuse: why a canonical graph can't do the domain's job (a no-op), or None.
        static_descriptors: descriptors that the canonical graph alone tells.
        descriptors: the default axes of the archive.
        stages: names of the stages that search uses, given the options.
        evaluator: makes the evaluator, given the options and a folder for cached baselines (None: no cache).
        start: programs, by name, that a search starts from where its configuration names none.
        inputs: data inputs that breeding uses where the configuration names none.
        programs: texts of the programs that a person may name; None means those of the library.
        wide_evaluator: the same with a wider sweep of what programs leave open (learning rates), against the same
            baselines; None where programs leave nothing open.
        baselines: finds the baselines anew, given the same: figures by name, one baseline each; None where scores
            compare with none.
        validator: makes the judge of larger tasks that breeding never sees, given the same; all its stages run, on
            VALIDATION_REPLICATE, and its score tells whether a search overfits. None where the domain has no larger
            tasks.
        promotion: pydantic model of the section `promotion` of the configuration; None where programs are not promoted.
        front: what the best elites come to, as rows of a table: given the options and the elites, for each row the `id`
            of an elite and whatever tells of it, by name of the column. None where a list of the best is all there is.
        exports: what a program can be written as, the usual one first.
        export: writes it, given one of these, the program, the options and a name; None writes update rules.
        accelerated: whether its evaluator computes on JAX's device, so that a GPU is worth one worker.
        compiled: what makes a canonical graph a slow one, compiled by itself where others are interpreted, or None.
    """

    name: str
    interface: Interface
    vocabulary: Vocabulary
    dtype: str
    options: type[BaseModel]
    fingerprint: Callable[[Graph], int | None]
    refuse: Callable[[Graph], str | None]
    static_descriptors: Callable[[Graph], Mapping[str, float]]
    descriptors: tuple[Descriptor, ...]
    stages: Callable[[Any], tuple[str, ...]]
    evaluator: Callable[[Any, str | None], Evaluator]
    start: tuple[str, ...]
    inputs: tuple[str, ...]
    programs: Mapping[str, str] | None = None
    wide_evaluator: Callable[[Any, str | None], Evaluator] | None = None
    baselines: Callable[[Any, str | None], Mapping[str, Mapping[str, Any]]] | None = None
    validator: Callable[[Any, str | None], Evaluator] | None = None
    promotion: type[BaseModel] | None = None
    front: Callable[[Any, Sequence[Elite]], Sequence[Mapping[str, Any]]] | None = None
    exports: tuple[str, ...] = ("optax", "torch", "python", "latex", "text")
    export: Callable[[str, Program, Any, str], str] | None = None
    accelerated: bool = False
    compiled: Callable[[Graph], str | None] = lambda graph: None


def names() -> tuple[str, ...]:
    """Returns the names of the built-in domains: the packages beside this file."""
    import evaluators

    return tuple(m.name for m in pkgutil.iter_modules(evaluators.__path__) if m.ispkg)


def load(name: str) -> Domain:
    """Returns the `DOMAIN` of `evaluators.<name>`, or what `package.module:NAME` names.

    Raises:
        ValueError: there is no such domain.
    """
    found = find("domain", name, "evaluators", names())
    if not isinstance(found, Domain):
        raise ValueError(f"{name!r} must be a Domain, got {type(found).__name__}; name the DOMAIN object")
    return found
