"""What the store keeps of a run, as data and as rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from archive.elite import Elite
from archive.evaluation import Evaluation, Status, Tasks
from archive.plain import from_json, to_json
from primitives.kinds import kind_named
from primitives.program import Program, Signature, Statement


@dataclass(frozen=True, slots=True)
class ProgramRecord:
    """A program as it was bred.

    Args:
        id: candidate id.
        text: rendered text of the genotype.
        parent: candidate id of the parent, lower than `id`; None for a start.
        proposer: name of the proposer that bred it.
        batch: number of its batch.
        structural: key of the genotype.
        canonical: key of the canonical form.
        functional: fingerprint; None where it is not finite.
        behaviour: candidate id under which the evaluations of its behaviour are.
    """

    id: int
    text: str
    parent: int | None
    proposer: str
    batch: int
    structural: int | None
    canonical: int | None
    functional: int | None
    behaviour: int


@dataclass(frozen=True, slots=True)
class MergedBatch:
    """All that merging one batch changes: one transaction of the store.

    What is JSON (progress, plans, state that is not bytes) comes back as JSON does: tuples as lists, keys as text.

    Args:
        batch: number of the batch, one more than the last.
        progress: counters and figures after this batch, JSON.
        cache_delta: what the batch inserted in the cache.
        programs: new programs.
        evaluations: new evaluations, each with the behaviour's id.
        cells: contents of the changed cells of the archive by cell index; empty contents clear the cell.
        plans: what later batches are bred from (parents, thresholds, look-up boundary), JSON by batch; with a lag
            of 2 the merge of batch b gives the plan of batch b + 2. Plans up to `batch` are deleted.
        state: named values that take the place of those before, bytes or JSON.
        islands: as `cells`, of the grids that islands have beside the archive, by number of the island.
    """

    batch: int
    progress: Mapping[str, Any]
    cache_delta: bytes = b""
    programs: Sequence[ProgramRecord] = ()
    evaluations: Sequence[tuple[int, Evaluation]] = ()
    cells: Mapping[int, Sequence[Elite]] = field(default_factory=dict)
    plans: Mapping[int, Any] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)
    islands: Mapping[int, Mapping[int, Sequence[Elite]]] = field(default_factory=dict)


def program_to_json(program: Program) -> str:
    """Returns a program as JSON, exactly."""
    signature = program.signature
    return to_json(
        {
            "name": program.name,
            "inputs": [(name, kind.name) for name, kind in signature.inputs],
            "outputs": [(name, kind.name) for name, kind in signature.outputs],
            "statements": [(target, op, *args) for target, op, args in program.statements],
        }
    )


def program_from_json(text: str) -> Program:
    """Returns the program of `program_to_json`."""
    data = from_json(text)
    signature = Signature(
        *(tuple((name, kind_named(kind)) for name, kind, *_ in data[part]) for part in ("inputs", "outputs"))
    )
    statements = tuple(Statement(target, op, tuple(args)) for target, op, *args in data["statements"])
    return Program(signature, statements, data["name"])


EvaluationRow = tuple[Any, ...]


def evaluation_to_row(behaviour: int, evaluation: Evaluation) -> EvaluationRow:
    """Returns the row of an evaluation.

    Raises:
        ValueError: the score is NaN (SQLite would turn it into NULL).
    """
    if evaluation.score is not None and evaluation.score != evaluation.score:
        raise ValueError(f"a score must be a number or None, got NaN for behaviour {behaviour}; failures have a Status")
    return (
        behaviour,
        evaluation.replicate,
        evaluation.status.value,
        evaluation.stage,
        evaluation.score,
        Tasks.of(evaluation.tasks).text,
        to_json(dict(evaluation.descriptors)),
        to_json(evaluation.stage_scores),
        evaluation.steps,
        evaluation.seconds,
        None if evaluation.program is None else program_to_json(evaluation.program),
        evaluation.message,
    )


def evaluation_from_row(row: EvaluationRow) -> Evaluation:
    """Returns the evaluation of a row of `evaluation_to_row`."""
    _, replicate, status, stage, score, tasks, descriptors, stage_scores, steps, seconds, program, message = row
    return Evaluation(
        status=Status(status),
        score=score,
        stage=stage,
        replicate=replicate,
        tasks=Tasks(tasks),
        descriptors=from_json(descriptors),
        stage_scores=tuple(from_json(stage_scores)),
        steps=steps,
        seconds=seconds,
        program=None if program is None else program_from_json(program),
        message=message,
    )


def elite_to_row(grid: int, cell: int, rank: int, elite: Elite) -> tuple[Any, ...]:
    """Returns the row of the elite at this rank of the cell of a grid: 0 is the archive, island i has i + 1."""
    descriptors = to_json(dict(elite.descriptors))
    return (grid, cell, rank, elite.id, elite.behaviour, elite.size, elite.count, elite.mean, elite.m2, descriptors)


def elite_from_row(row: tuple[Any, ...]) -> Elite:
    """Returns the elite of a row of `elite_to_row`."""
    _, cell, _, candidate, behaviour, size, count, mean, m2, descriptors = row
    return Elite(candidate, behaviour, cell, size, count, mean, m2, from_json(descriptors))
