"""Promotion: from the elites of a run to entries of a library.

    from discovery.promote import promote
    report = promote("runs/mine")

A promotion has a folder of its own; the run is only read. All that was measured is in its ledger, so one that was
stopped, however it ended, goes on where it was.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from archive.elite import Elite
from archive.evaluation import Status
from archive.ledger import Ledger
from archive.library import names as rule_names
from archive.store import Store
from discovery.config import Config
from discovery.config import promotion as section
from discovery.device import configure, describe
from discovery.executors import make_executor
from discovery.promote import entry, finals
from discovery.promote.funnel import Candidate, Funnel
from discovery.promote.measure import Bench, about
from discovery.promote.page import page
from discovery.report import archive_of, curve_of, point_data
from discovery.run import stored_config
from discovery.validation import Point
from evaluators.domain import Domain, load
from evaluators.forms import canonical_text
from evaluators.optimizers.contenders import baseline
from evaluators.optimizers.promotion import Promotion
from evaluators.optimizers.trials import task_of
from primitives.program import ProgramError

LEDGER, REPORT, PAGE = "promotion.jsonl", "promotion.json", "promotion.html"
"""Files of a promotion."""
NEAREST = 3
"""Candidates that are shown on the held-out tasks where none came so far."""


@dataclass(frozen=True, slots=True)
class View:
    """What those who watch a promotion see.

    Args:
        phase: what is measured.
        done: units that are finished.
        total: units of the phase.
        candidates: those that entered.
    """

    phase: str
    done: int
    total: int
    candidates: Sequence[Candidate]


@dataclass(frozen=True, slots=True)
class _Run:
    """What is read of a run."""

    config: Config
    domain: Domain
    elites: Sequence[tuple[Elite, str]]
    facts: Mapping[str, Any]


def promote(
    folder: str | Path,
    out: str | Path | None = None,
    library: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    workers: int | None = None,
    watch: Callable[[View], None] = lambda view: None,
    address: str | None = None,
    gpus_per_worker: float | None = None,
) -> dict[str, Any]:
    """Takes the elites of a run through the funnel.

    Args:
        folder: the run.
        out: folder of the promotion; None means `<folder>-promotion`.
        library: where entries go; None means `library` in `out`.
        settings: the section `promotion` of the configuration; None means that of the run.
        workers: processes that share the work; None means one a GPU, without one a core, or all that a cluster has
            room for.
        watch: called whenever something is finished.
        address: a Ray cluster to join, `HOST:PORT` or `auto`; None works on this machine.
        gpus_per_worker: share of a GPU that each worker gets, or a whole number of them; None shares those of this
            machine.

    Returns:
        The report, as `promotion.json` holds it.

    Raises:
        ValueError: no run, a run without elites or of another vocabulary, a task whose data are missing, a setting out
            of range, a folder that can't be written; what was measured is kept.
    """
    configure()
    folder = Path(folder)
    place = Path(out) if out is not None else beside(folder)
    shelf = Path(library) if library is not None else place / "library"
    for one, what in ((place, "a promotion"), (shelf, "its library")):
        if folder.resolve() in (one.resolve(), *one.resolve().parents):
            raise ValueError(f"{what} must have a folder outside of the run, got {one} in {folder}; choose another")
    run = _read(folder, settings)
    chosen = check(run.config)
    _refuse_unwritable(shelf)
    machine = describe()
    with Ledger(place / LEDGER, about(machine)) as ledger:
        candidates: list[Candidate] = []
        bench = Bench(
            ledger,
            run.config,
            chosen,
            lambda make: make_executor(workers, make, address, gpus_per_worker),
            lambda phase, done, total: watch(View(phase, done, total, candidates)),
        )
        funnel = Funnel(run.domain, chosen, bench, candidates)
        try:
            finalists = funnel.run(run.elites)
            shown = finalists or sorted(candidates, key=_came_far, reverse=True)[:NEAREST]
            results = finals.measure(funnel, shown)
            for one in shown:
                if one.contender.text in bench.faults:
                    one.fell = one.fell or f"held-out: {bench.faults[one.contender.text]}"
            finalists = [one for one in finalists if not one.fell]
        finally:
            bench.close()
        report = _report(run, chosen, machine, funnel, finalists, shown, results, bench.seconds())
    passed = [one for one in finalists if report["gate"][finals.name_of(one)]["passes"]]
    report |= {"library": str(shelf), "page": str(place / PAGE)}
    report["promoted"] = entry.write(passed, report, place, shelf)  # first: a report must not tell what is not there
    plain = _plain(report)
    entry.replace_file(place / REPORT, json.dumps(plain, indent=1, allow_nan=False) + "\n")
    entry.replace_file(place / PAGE, page(plain))
    return plain


def beside(folder: Path) -> Path:
    """Returns the folder of a run's promotion where none is given."""
    named = folder if folder.name not in ("", "..") else folder.resolve()
    return named.with_name(f"{named.name}-promotion")


def _read(folder: Path, settings: Mapping[str, Any] | None) -> _Run:
    with Store.read(folder) as store, store.snapshot():
        config = stored_config(store)
        if settings is not None:
            config = config.model_copy(update={"promotion": dict(settings)})
        domain = load(config.domain)
        section(config)
        grid = archive_of(store, config, domain)
        tops = sorted(grid.tops(), key=lambda one: (-grid.value(one), one.id))
        if not tops:
            raise ValueError(f"a run must have elites to promote, got none in {folder}; let it search longer")
        curve = curve_of(store, config)
        if curve is not None and curve.best is not None:  # first, so that it enters whatever its place
            chosen = next((one for one in tops if one.id == curve.best.program), None)
            tops = [chosen or _validated(store, curve.best), *(one for one in tops if one is not chosen)]
        elites = [(one, _text(store, one.id, domain, folder)) for one in tops]
        last = store.last_batch
        figures = store.progress(last)[last]
        facts = {
            "folder": folder.resolve().name,
            "seed": config.seed,
            "start": list(config.start or ()),
            "candidates": figures["candidates"],
            "evaluations": figures["evaluations"],
            "seconds": figures["seconds"],
            "machine": store.meta.get("machine", {}),
            "search_tasks": list(config.evaluation.get("tasks", ())),
            "validation": [] if curve is None else [point_data(point) for point in curve.known],
        }
        return _Run(config, domain, elites, facts)


def _validated(store: Store, point: Point) -> Elite:
    """The program at the best point of the validation curve, which the archive may have dropped since."""
    judged = (e.score for e in store.evaluations(point.behaviour) if e.status is Status.OK)
    scores = [score for score in judged if score is not None] or [point.score]
    return Elite.scored(point.program, point.behaviour, -1, 0, scores, {})


def _text(store: Store, id: int, domain: Domain, folder: Path) -> str:
    record = store.program(id)
    if record is None:
        raise ValueError(f"a run must hold its elites, got no program {id} in {folder}; restore a copy")
    try:
        return canonical_text(record.text, domain)
    except ProgramError as error:
        raise ValueError(
            f"the elites of a run must be of the vocabulary of this Pride, got program {id} of {folder}: {error}; "
            f"use the version that wrote it"
        ) from None


def check(config: Config) -> Promotion:
    """Returns the settings of a promotion, after all baselines and tasks were found: before hours are spent.

    Raises:
        ValueError: programs of the domain can't be promoted, a setting does not hold, a baseline or a task is missing,
            or a held-out task is none.
    """
    settings = section(config)
    if not isinstance(settings, Promotion):
        raise ValueError(f"update rules can be promoted, got a run of the domain {config.domain!r}")
    settings = settings.after(config.evaluation["tasks"])
    for name in settings.baselines:
        baseline(name)
    seen = {*config.evaluation["tasks"]}
    if config.validation.every is not None:
        seen |= {*config.evaluation["validation_tasks"]}
    for name in settings.held_out:
        if name.partition("@")[0] in {task.partition("@")[0] for task in seen}:
            raise ValueError(f"promotion.held_out must be tasks that the search never saw, got {name!r}; remove it")
    staged = {task for stage in settings.stages for task in stage.tasks or ()}
    for name in (*sorted(staged), *settings.held_out):
        task_of(name)
    for name in settings.held_out:
        twin = _same_task(name, seen | staged)
        if twin is not None:
            raise ValueError(
                f"promotion.held_out must be tasks that no search and no stage has, got {name!r}, which is {twin!r} "
                f"under another name; remove it"
            )
        if task_of(name).steps < settings.checkpoints:
            raise ValueError(
                f"promotion.checkpoints must be at most the steps of every held-out task, got {settings.checkpoints} "
                f"and {task_of(name).steps} steps of {name!r}; lower it"
            )
    known: dict[str, str] = {}
    for name in settings.held_out:
        first = known.setdefault(task_of(name).digest, name)
        if first != name:
            raise ValueError(
                f"promotion.held_out must have each task once, got {name!r}, which is {first!r}; remove it"
            )
    return settings


def _same_task(name: str, others: Iterable[str]) -> str | None:
    """Which of the others is the same task under another name: built-in ones differ, those of users may be any."""
    base = name.partition("@")[0]
    for other in sorted({one.partition("@")[0] for one in others}):
        if ":" in base + other and task_of(base).digest == task_of(other).digest:
            return other
    return None


def _refuse_unwritable(shelf: Path) -> None:
    """Refuses a library that can't be written before hours are spent, not after."""
    there = next(place for place in (shelf, *shelf.absolute().parents) if place.exists() or place.is_symlink())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ValueError(f"a library must be a folder that can be written, got {shelf}; choose another")
    if shelf.exists():
        rule_names(shelf)  # says what is wrong with one that can't be read


def _came_far(one: Candidate) -> tuple[int, float]:
    """How far a candidate came, and how it did there."""
    scores = [found["score"] for found in one.stages.values() if "score" in found]
    return len(scores), scores[-1] if scores else one.score


def _report(
    run: _Run,
    settings: Promotion,
    machine: Mapping[str, str],
    funnel: Funnel,
    finalists: Sequence[Candidate],
    shown: Sequence[Candidate],
    results: Mapping[str, finals.Results],
    seconds: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    names = [finals.name_of(one) for one in shown]
    tables = {table: finals.analyse(found, settings, names) for table, found in results.items()}
    came = [finals.name_of(one) for one in finalists]
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": dict(machine),
        "run": dict(run.facts),
        "settings": settings.model_dump(mode="json"),
        "tasks": {
            task: {"doc": task_of(task).doc, "parameters": task_of(task).layout.size, "steps": task_of(task).steps}
            for task in settings.held_out
        },
        "candidates": [_candidate(one) for one in funnel.candidates],
        "finalists": came,
        "shown": names,
        "race": dict(funnel.race),
        "seconds": {phase: dict(spent) for phase, spent in seconds.items()},
        **tables,
        "gate": finals.gates(tables, came, names),
        "losses_by_seed": {
            table: {task: {name: row["test"] for name, row in rows.items()} for task, rows in found.items()}
            for table, found in results.items()
        },
    }


def _candidate(one: Candidate) -> dict[str, Any]:
    return {
        "id": one.id,
        "score": one.score,
        "replicates": one.replicates,
        "found": one.found,
        "text": one.text,
        "fell": one.fell,
        "reduction": dict(one.reduction),
        "stages": {
            stage: {
                **found,
                "tasks": {task: trial["trial"] for task, trial in found.get("tasks", {}).items()},
            }
            for stage, found in one.stages.items()
        },
    }


def _plain(value: Any) -> Any:
    """What JSON can say: an infinite loss is null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value
