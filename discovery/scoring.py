"""Scores of programs given as text, found as search finds those of its candidates."""

from collections.abc import Mapping, Sequence
from statistics import fmean, median_low
from typing import Any

from archive.evaluation import Evaluation, Status, TaskResult
from discovery.config import Config, options
from discovery.device import cache_folder
from discovery.sources import read_source
from evaluators.domain import Domain, Evaluator, load
from evaluators.forms import canonical_graph
from primitives.graph import Graph
from primitives.names import nearest
from primitives.program import ProgramError


def score(
    files: Sequence[str], config: Config, stage: str | None = None, replicates: int = 1, wide: bool = False
) -> list[dict[str, Any]]:
    """Judges programs as search judges a candidate, all on the same replicates.

    Args:
        files: names from the library, files of program text, or `-` for stdin.
        config: configuration with the domain and its tasks.
        stage: name of the stage to judge at; None means the last that search uses.
        replicates: number N of replicates; those from 0 to N - 1 are taken.
        wide: sweep more of what programs leave open than search does (learning rates); the baselines stay.

    Returns:
        For each file, in order, `file`, `status`, `score`, `tasks` (by name `score`, `loss`, `baseline_loss`,
        `learning_rate`), `descriptors` and `message`. Scores, losses, baselines and descriptors are means over the
        replicates, a learning rate is their lower median. A program that is not OK on one replicate has that status
        and no score; its tasks are those of that replicate.

    Raises:
        ValueError: there is no such stage, no replicate, nothing to sweep, or a task can't be judged.
    """
    domain = load(config.domain)
    chosen = _stage(domain, config, stage)
    if replicates < 1:
        raise ValueError(f"replicates must be at least 1, got {replicates}; ask for one or more")
    make = domain.wide_evaluator if wide else domain.evaluator
    if make is None:
        raise ValueError(f"programs of the domain {config.domain!r} leave nothing open that a wide sweep could try")
    evaluator = make(options(config), str(cache_folder() / "baselines"))
    stages = range(chosen, chosen + 1)
    return [_scored(file, domain, evaluator, stages, replicates) for file in files]


def baselines(config: Config) -> dict[str, dict[str, Any]]:
    """Finds the domain's baselines anew and keeps them.

    Returns:
        Figures of each baseline by its name; in the domain of optimizers, by "task/stage", loss and setting.

    Raises:
        ValueError: scores of the domain compare with none, or a task can't be judged.
    """
    domain = load(config.domain)
    if domain.baselines is None:
        raise ValueError(f"scores of the domain {config.domain!r} compare with no baseline; there is none to tune")
    found = domain.baselines(options(config), str(cache_folder() / "baselines"))
    return {name: dict(figures) for name, figures in found.items()}


def _stage(domain: Domain, config: Config, name: str | None) -> int:
    names = domain.stages(options(config))
    if name is None:
        return len(names) - 1
    if name not in names:
        raise ValueError(f"a stage must be one of {', '.join(names)}, got {name!r}{nearest(name, names)}")
    return names.index(name)


def _scored(file: str, domain: Domain, evaluator: Evaluator, stages: range, replicates: int) -> dict[str, Any]:
    try:
        graph = canonical_graph(read_source(file, domain), domain)
    except ProgramError as error:
        return _outcome(file, Status.INVALID, message=str(error).removeprefix(f"{file}: "))
    static = domain.static_descriptors(graph)
    refused = domain.refuse(graph)
    if refused:
        return _outcome(file, Status.NO_OP, descriptors=static, message=refused)
    if domain.fingerprint(graph) is None:
        return _outcome(file, Status.NON_FINITE, descriptors=static, message="not finite on the probe")
    evaluations = _evaluations(graph, evaluator, stages, replicates)
    last = evaluations[-1]
    if last.status is not Status.OK:
        where = f"replicate {last.replicate}: " if replicates > 1 else ""
        return _outcome(file, last.status, tasks=_means([last]), descriptors=static, message=where + last.message)
    return _outcome(
        file,
        Status.OK,
        fmean(e.score for e in evaluations if e.score is not None),
        _means(evaluations),
        {**static, **{name: fmean(e.descriptors[name] for e in evaluations) for name in last.descriptors}},
        last.message,
    )


def _evaluations(graph: Graph, evaluator: Evaluator, stages: range, replicates: int) -> list[Evaluation]:
    """Evaluations up to the last replicate or to the first that is not OK."""
    found = []
    for replicate in range(replicates):
        found.append(evaluator.evaluate(graph, replicate, (), stages))
        if found[-1].status is not Status.OK:
            break
    return found


def _means(evaluations: Sequence[Evaluation]) -> dict[str, dict[str, float | None]]:
    return {name: _mean([e.tasks[name] for e in evaluations]) for name in evaluations[-1].tasks}


def _mean(results: Sequence[TaskResult]) -> dict[str, float | None]:
    def over(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return fmean(known) if len(known) == len(values) else None

    rates = [result.learning_rate for result in results if result.learning_rate is not None]
    return {
        "score": over([result.score for result in results]),
        "loss": over([result.loss for result in results]),
        "baseline_loss": over([result.baseline_loss for result in results]),
        "learning_rate": median_low(rates) if rates else None,
    }


def _outcome(
    file: str,
    status: Status,
    score: float | None = None,
    tasks: Mapping[str, Mapping[str, float | None]] | None = None,
    descriptors: Mapping[str, float] | None = None,
    message: str = "",
) -> dict[str, Any]:
    return {
        "file": file,
        "status": status.value,
        "score": score,
        "tasks": dict(tasks or {}),
        "descriptors": dict(descriptors or {}),
        "message": message,
    }
