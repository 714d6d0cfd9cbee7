"""Configuration of a run: all that there is to set; every value has a default, a unit, a range and a meaning."""

from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, PlainSerializer, model_validator

from archive.descriptor import Descriptor
from discovery.budget import Budget, parse_budget
from discovery.settings import Section, setting, validate
from evaluators.domain import Domain, load
from primitives.names import nearest
from primitives.primitive import Vocabulary


class Strategy(Section):
    """How parents are chosen and who survives."""

    name: str = setting(
        "map_elites",
        "map_elites, front, regularized_evolution, random, constants, or package.module:NAME",
    )
    tournament: int = setting(
        4,
        "elites or programs drawn at random for each parent, of which the best breeds",
        unit="programs",
        ge=1,
        le=10_000,
    )
    population: int = setting(
        1_000,
        "programs alive at a time, the oldest dies first (regularized_evolution)",
        unit="programs",
        ge=2,
        le=1_000_000,
    )


class Proposer(Section):
    """How a child is made from its parents."""

    name: str = setting(
        "mutation", "how children are made: the name of a file in discovery/proposers, or package.module:NAME"
    )
    options: dict[str, Any] = setting({}, "the proposer's own settings")


class Axis(Section):
    """An axis of the archive; in a file the name alone will do."""

    name: str = setting(..., "a descriptor that the domain measures")
    edges: tuple[float, ...] | None = setting(
        None,
        "ascending inner edges of the bins, n edges make n + 1 bins; null means the domain's own",
        min_length=1,
        strict=False,  # `_by_name` makes Python data of JSON, where a strict tuple takes no list
    )

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, data: Any) -> Any:
        return {"name": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _ascending(self) -> "Axis":
        edges = self.edges or ()
        if any(high <= low for low, high in pairwise(edges)):
            raise ValueError(f"edges of an axis must ascend, got {list(edges)}; sort them and drop repetitions")
        return self


class Archive(Section):
    """The MAP-Elites grid."""

    depth: int = setting(10, "elites that a cell keeps", unit="elites", ge=1, le=100)
    pessimism: float = setting(
        0.1,
        "an elite is compared by its mean score minus this / sqrt(replicates), so that one lucky score does not rule",
        unit="score",
        ge=0.0,
        le=10.0,
    )
    axes: tuple[Axis, ...] | None = setting(
        None, "descriptors that span the grid: names, or {name, edges}; null means the domain's own", min_length=1
    )
    qd_offset: float = setting(-2.0, "QD score = sum over cells of (best score - this)", unit="score", ge=-1e6, le=1e6)


class Cache(Section):
    """Which candidates count as known, so that no behaviour is evaluated twice."""

    entries: int = setting(
        1_000_000,
        "what each layer remembers, at most 200 bytes an entry; the oldest batch is forgotten first",
        unit="entries",
        ge=1,
        le=1_000_000_000,
    )
    structural: bool = setting(True, "recognize the same text")
    canonical: bool = setting(True, "recognize the same canonical form")
    functional: bool = setting(True, "recognize the same behaviour on the domain's probe")
    counterfactual: float = setting(
        0.0,
        "share of functional hits that are evaluated all the same, to measure how often two behaviours collide",
        unit="share",
        ge=0.0,
        le=1.0,
    )


class Hurdle(Section):
    """Stops a weak candidate after a cheap stage."""

    quantile: float = setting(
        0.8,
        "a candidate stops after a stage where it falls below this quantile of recent scores; 0 stops none",
        unit="share",
        ge=0.0,
        le=0.99,
    )
    window: int = setting(
        128, "recent scores of a stage that the quantile is taken of", unit="scores", ge=1, le=1_000_000
    )
    warm_up: int = setting(32, "scores of a stage before its hurdle stands", unit="scores", ge=1, le=1_000_000)


class Restart(Section):
    """Begins anew where the search stands still; the archive stays."""

    from_: Literal["none", "start", "best"] = Field(
        default="none",
        alias="from",
        description="what a restart breeds from: none (no restarts), the start programs, or the best so far",
    )
    patience: int = setting(
        200, "batches of an island without a better best before a restart", unit="batches", ge=1, le=10**9
    )


class Migration(Section):
    """How islands exchange elites."""

    every: int = setting(50, "batches, of all islands together, between two migrations", unit="batches", ge=1, le=10**9)
    elites: int = setting(
        5, "best elites of an island that the next one gets a copy of, in a ring", unit="elites", ge=1, le=10_000
    )


class Validation(Section):
    """Judges the best program so far on larger tasks that breeding never sees."""

    every: int | None = setting(
        None,
        "batches between two programs that the domain's larger tasks judge; a figure counts this many batches later, "
        "so that no worker waits for it; null means no validation",
        unit="batches",
        ge=1,
        le=10**9,
    )
    patience: int = setting(
        3,
        "programs judged without a new best on the larger tasks before the search counts as overfitting",
        unit="programs",
        ge=1,
        le=10**9,
    )
    then: Literal["continue", "stop", "restart"] = setting(
        "continue",
        "what overfitting leads to: nothing but a word, the end of the run, or a restart from the start programs",
    )

    @property
    def restarts(self) -> bool:
        """Whether overfitting leads to a restart."""
        return self.every is not None and self.then == "restart"


class Config(Section):
    """Everything that decides what a run finds.

    The archive is a function of this and nothing else; only `budget` (where to stop), `workers` (how many share the
    work) and `guard` (when one of them counts as hung) are no part of that.
    """

    domain: str = setting("optimizers", "what programs are for: a domain's name, or package.module:NAME")
    seed: int = setting(0, "where all randomness comes from", ge=0, le=2**63 - 1)
    budget: Annotated[Budget, BeforeValidator(parse_budget), PlainSerializer(lambda b: b.candidates or str(b))] = Field(
        default=Budget(seconds=300.0),
        description="when to stop: candidates bred, or a time",
        json_schema_extra={"values": "a number of candidates (20000) or a time (90s, 5m, 1h30m, 2d)"},
    )
    start: tuple[str, ...] | None = setting(
        None,
        "programs to start from: names from the library, or files of program text; null means the domain's own",
        min_length=1,
        max_length=1_000,
    )
    states: int = setting(2, "state variables that a program may have", unit="variables", ge=0, le=8)
    inputs: tuple[str, ...] | None = setting(
        None, "data inputs that breeding may use; null means the domain's own choice", min_length=1
    )
    operations: tuple[str, ...] | None = setting(
        None, "operations that breeding may use; null means the domain's own choice", min_length=1
    )
    batch: int = setting(64, "candidates bred together", unit="candidates", ge=1, le=100_000)
    lag: int = setting(
        2,
        "batches that breeding is ahead of the archive it breeds from, so that no worker waits",
        unit="batches",
        ge=1,
        le=64,
    )
    workers: int | None = setting(
        None,
        "processes that share the work, no part of the result; null means one a GPU, without one a core, or all that a "
        "cluster has room for",
        unit="processes",
        ge=1,
        le=100_000,
    )
    guard: float | None = setting(
        None,
        "time without a result after which a worker counts as hung and is replaced, no part of the result; null means "
        "100 times what is usual, at least 5 minutes",
        unit="seconds",
        ge=1.0,
        le=1e7,
    )
    max_statements: int = setting(64, "statements that a program may have", unit="statements", ge=1, le=1_000)
    frozen: tuple[str, ...] = setting(
        (), "hyper-parameters, lines such as `beta = 0.9` of the start programs, that search leaves as they are"
    )
    strategy: Strategy = setting(Strategy(), "Who breeds and who survives")
    proposer: Proposer = setting(Proposer(), "How children are made")
    archive: Archive = setting(Archive(), "The MAP-Elites grid: the best programs of every sort")
    cache: Cache = setting(Cache(), "What counts as known: no behaviour is evaluated twice")
    reevaluate: float = setting(
        0.05, "share of the evaluations that elites get again, on new replicates", unit="share", ge=0.0, le=0.9
    )
    replicates: int = setting(
        8, "replicates that the fitness of an elite is averaged over, at most", unit="replicates", ge=1, le=1_000
    )
    hurdle: Hurdle = setting(Hurdle(), "Stops weak candidates after a cheap stage")
    islands: int = setting(
        1,
        "populations that evolve apart, each bred from in turn; the archive has what all of them found",
        unit="populations",
        ge=1,
        le=1_000,
    )
    migration: Migration = setting(Migration(), "How islands exchange elites; no matter where there is one")
    restart: Restart = setting(Restart(), "Begins anew where the search stands still; the archive stays")
    validation: Validation = setting(
        Validation(),
        "Judges the best so far on larger tasks that breeding never sees, to tell when the search overfits",
    )
    evaluation: dict[str, Any] = setting({}, "The domain's own settings: tasks, stages and their seeds, learning rates")
    promotion: dict[str, Any] = setting(
        {},
        "The domain's own settings of `pride promote`: stages, held-out tasks, baselines, gate; no part of the search",
    )

    @property
    def restarts(self) -> bool:
        """Whether the search may begin anew."""
        return self.restart.from_ != "none" or self.validation.restarts

    @model_validator(mode="after")
    def _named_once(self) -> "Config":
        for key, names in (
            ("start", self.start or ()),
            ("inputs", self.inputs or ()),
            ("operations", self.operations or ()),
        ):
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise ValueError(f"{key} must name each once, got {twice!r} twice; remove one")
        return self


def drawn(config: Config) -> Vocabulary:
    """Returns the domain's vocabulary, of which breeding draws what the configuration says.

    Raises:
        ValueError: an operation that the domain does not have.
    """
    vocabulary = load(config.domain).vocabulary
    if config.operations is None:
        return vocabulary
    try:
        return vocabulary.drawing(config.operations)
    except ValueError as error:
        raise ValueError(f"operations: {error}") from None


def options(config: Config) -> BaseModel:
    """Returns the section `evaluation` as the model that the domain declares.

    Raises:
        ValueError: an unknown domain, an unknown key, a value out of range.
    """
    return validate(load(config.domain).options, config.evaluation, prefix="evaluation")


def promotion(config: Config) -> BaseModel:
    """Returns the section `promotion` as the model that the domain declares.

    Raises:
        ValueError: an unknown domain or one whose programs are not promoted, an unknown key, a value out of range.
    """
    model = load(config.domain).promotion
    if model is None:
        raise ValueError(f"programs of the domain {config.domain!r} can't be promoted: it has no held-out tasks")
    return validate(model, config.promotion, prefix="promotion")


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
