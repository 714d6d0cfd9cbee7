"""Configuration of a run: one strict YAML file; every value has a default, a unit, a range and a meaning."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, Field, PlainSerializer, model_validator

from discovery.budget import Budget, parse_budget
from discovery.settings import Section, commented, override, read_yaml, setting, validate
from primitives.names import nearest


class Strategy(Section):
    """How parents are chosen and who survives."""

    name: str = setting(
        "map_elites",
        "map_elites, regularized_evolution, random_search, constants, or module:NAME",
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

    name: str = setting("mutation", "how children are made: the name of a file in discovery/proposers, or module:NAME")
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

    depth: int = setting(3, "elites that a cell keeps", unit="elites", ge=1, le=100)
    pessimism: float = setting(
        0.05,
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
        "behaviours remembered, at most 200 bytes each; the oldest batch is forgotten first",
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
        0.75,
        "a candidate stops after a stage where it falls below this quantile of recent scores; 0 stops none",
        unit="share",
        ge=0.0,
        le=0.99,
    )
    window: int = setting(
        256, "recent scores of a stage that the quantile is taken of", unit="scores", ge=1, le=1_000_000
    )
    warm_up: int = setting(32, "scores of a stage before its hurdle stands", unit="scores", ge=1, le=1_000_000)


class Restart(Section):
    """Begins anew where the search stands still; the archive stays."""

    from_: Literal["none", "start", "best"] = Field(
        default="none",
        alias="from",
        description="what a restart breeds from: none (no restarts), the start programs, or the best so far",
    )
    patience: int = setting(200, "batches without a better best before a restart", unit="batches", ge=1, le=10**9)


class Config(Section):
    """Everything that decides what a run finds.

    The archive is a function of this and nothing else; only `budget` (where to stop) and `workers` (how many share
    the work) may change between a run and its resumption.
    """

    domain: str = setting("optimizers", "what programs are for: a domain's name, or module:NAME")
    seed: int = setting(0, "where all randomness comes from", ge=0, le=2**63 - 1)
    budget: Annotated[Budget, BeforeValidator(parse_budget), PlainSerializer(lambda b: b.candidates or str(b))] = Field(
        default=Budget(seconds=300.0),
        description="when to stop: candidates bred, or a time",
        json_schema_extra={"values": "a number of candidates (20000) or a time (90s, 5m, 1h30m, 2d)"},
    )
    start: tuple[str, ...] = setting(
        ("adamw_uncorrected",),
        "programs to start from: names from the library, or files of program text",
        min_length=1,
        max_length=1_000,
    )
    states: int = setting(2, "state variables that a program may have", unit="variables", ge=0, le=16)
    inputs: tuple[str, ...] | None = setting(
        ("w", "g", "lr"), "data inputs that breeding may use; null means all that the domain has", min_length=1
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
        "processes that share the work, no part of the result; null means one a core",
        unit="processes",
        ge=1,
        le=100_000,
    )
    max_statements: int = setting(64, "statements that a program may have", unit="statements", ge=1, le=1_000)
    strategy: Strategy = setting(Strategy(), "Who breeds and who survives")
    proposer: Proposer = setting(Proposer(), "How children are made")
    archive: Archive = setting(Archive(), "The MAP-Elites grid: the best programs of every sort")
    cache: Cache = setting(Cache(), "What counts as known: no behaviour is evaluated twice")
    reevaluate: float = setting(
        0.03, "share of the evaluations that elites get again, on new replicates", unit="share", ge=0.0, le=0.9
    )
    replicates: int = setting(
        4, "replicates that the fitness of an elite is averaged over, at most", unit="replicates", ge=1, le=1_000
    )
    hurdle: Hurdle = setting(Hurdle(), "Stops weak candidates after a cheap stage")
    restart: Restart = setting(Restart(), "Begins anew where the search stands still; the archive stays")
    evaluation: dict[str, Any] = setting({}, "The domain's own settings: tasks, stages, seeds, learning rates")

    @model_validator(mode="after")
    def _named_once(self) -> "Config":
        for key, names in (("start", self.start), ("inputs", self.inputs or ())):
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise ValueError(f"{key} must name each once, got {twice!r} twice; remove one")
        return self


def build(data: Mapping[str, Any], where: str = "") -> Config:
    """Returns the configuration that plain data describe, the sections of the plug-ins resolved.

    Args:
        data: nested mappings as YAML gives them; what is left out takes its default.
        where: what the data are (a file), for the error.

    Raises:
        ValueError: an unknown key, a value out of range, an unknown plug-in: one line.
    """
    config = validate(Config, data, where)
    try:
        resolved = {key: section.model_dump(mode="json", by_alias=True) for key, section in sections(config).items()}
        _check_inputs(config)
    except ValueError as error:
        raise ValueError(f"{where}: {error}" if where else str(error)) from None
    proposer = config.proposer.model_copy(update={"options": resolved["proposer.options"]})
    return config.model_copy(update={"evaluation": resolved["evaluation"], "proposer": proposer})


def sections(config: Config) -> dict[str, BaseModel]:
    """Returns the sections of the configuration that plug-ins declare, by dotted key.

    Returns:
        `evaluation`, as the domain's options, and `proposer.options`.

    Raises:
        ValueError: an unknown plug-in, an unknown key, a value out of range.
    """
    from discovery import proposers, strategies

    strategies.load(config.strategy.name)
    proposer = proposers.load(config.proposer.name)
    return {
        "evaluation": options(config),
        "proposer.options": validate(proposer.options, config.proposer.options, prefix="proposer.options"),
    }


def options(config: Config) -> BaseModel:
    """Returns the section `evaluation` as the model that the domain declares.

    Raises:
        ValueError: an unknown domain, an unknown key, a value out of range.
    """
    from evaluators.domain import load

    return validate(load(config.domain).options, config.evaluation, prefix="evaluation")


def _check_inputs(config: Config) -> None:
    from evaluators.domain import load

    known = [name for name, _ in load(config.domain).interface.inputs]
    for name in config.inputs or ():
        if name not in known:
            raise ValueError(
                f"inputs must be among {', '.join(known)} in the domain {config.domain!r}, got {name!r}"
                f"{nearest(name, known)}"
            )


def load_config(source: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Reads a configuration.

    Args:
        source: a file, or the name of a configuration that comes with Pride (`optimizers`).
        overrides: `key=value` assignments that are carried out on the file, `archive.depth=5` for example; the value
            is YAML.

    Returns:
        The resolved configuration.

    Raises:
        ValueError: there is no such file, it is no YAML, or a setting does not hold; the text names file and key.
    """
    path = find_config(source)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"a configuration must be a readable UTF-8 text, got {path}: {error}") from None
    data = read_yaml(text, str(path))
    data = {} if data is None else data
    if not isinstance(data, dict):
        raise ValueError(f"{path}: a configuration must be a mapping `key: value`, got {type(data).__name__}")
    for assignment in overrides:
        override(data, assignment)
    return build(data, str(path))


def find_config(source: str | Path) -> Path:
    """Returns the file that `source` names: a path, or the name of a configuration that comes with Pride.

    Raises:
        ValueError: there is none.
    """
    path = Path(source)
    if path.is_file():
        return path
    shipped = shipped_configs()
    name = path.name.removesuffix(".yaml")
    # a path into `configs/` works without a checkout too
    if path.parent in (Path(), Path("configs")) and name in shipped:
        return shipped[name]
    problem = "got a folder" if path.is_dir() else "there is no such file"
    raise ValueError(
        f"a configuration must be a YAML file or one of {', '.join(shipped)}, got {str(source)!r}: {problem}"
        f"{nearest(name, shipped)}"
    )


def shipped_configs() -> dict[str, Path]:
    """Returns the configurations that come with Pride by name."""
    package = Path(__file__).parent
    # a wheel carries them inside the package, a checkout beside it
    for folder in (package / "configs", package.parent / "configs"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {}


def dump(config: Config) -> str:
    """Returns a configuration as YAML that `load_config` reads back to an equal one."""
    return yaml.safe_dump(config.model_dump(mode="json", by_alias=True), sort_keys=False, width=120)


def describe(domain: str = "optimizers") -> str:
    """Returns all defaults as YAML, each setting under its meaning, range and unit; those of the plug-ins included.

    Raises:
        ValueError: an unknown domain.
    """
    config = Config(domain=domain)
    return commented(config, sections(config)) + "\n"
