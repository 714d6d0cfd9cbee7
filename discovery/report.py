"""What there is to see of a run, also while it runs: plain data for people and machines."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from archive.elite import Elite
from archive.evaluation import Status
from archive.grid import Grid
from archive.lineage import ancestors
from archive.records import ProgramRecord
from archive.store import Store
from discovery.config import Config, axes, options
from discovery.run import WORKERS, stored_config
from discovery.validation import FIGURE, Curve, Point
from evaluators.domain import Domain, load
from evaluators.forms import canonical_graph, canonical_text


def summary(folder: str | Path, top: int = 10) -> dict[str, Any]:
    """Returns counters, archive statistics and the best elites of a run.

    Args:
        folder: the run folder.
        top: number of elites, one for each behaviour, best lower bound first.

    Returns:
        What `pride show --json` prints. `corrected` tells of the elites that were evaluated again: how many they are
        (`elites`), their QD score by the new replicates alone (`qd_score`) and, to compare, by the first one, which
        they were let in for (`first_qd_score`); None where there are none. `restarts` is None where the configuration
        has none. `validation` is the validation curve, oldest point first: the batch, the candidates until then, the
        program, its score in the search (`score`) and on the larger tasks (`validation`; None where `status` is not
        ok). `validated` is what it comes to: its best point (`best`), whether the search overfits (`overfits`), whether
        the curve ended the run (`ended`), and its own steps, which are none of the search's (`steps`). Both are None
        where there is no validation. `workers` tells how the workers did when the run was last at work, None before
        that: those `alive` and `wanted`, for each the share of its time that it was `busy`, units `waiting` and
        `under_way`, workers `lost`, units `repeated`, seconds `waited` for workers, `driver_load` as a share of the
        time, and `remarks`.

    Raises:
        ValueError: no run folder, damaged, or of a newer version.
    """
    with Store.read(folder) as store, store.snapshot():
        config = stored_config(store)
        domain = load(config.domain)
        last = store.last_batch
        figures: dict[str, Any] = store.progress(last)[last] if last >= 0 else {}
        grid = archive_of(store, config, domain)
        statistics = grid.statistics(config.archive.qd_offset)
        best = [_elite(store, elite, domain) for elite in grid.ranked(top)]
        counters: dict[str, int] = store.state().get("counters", {})
        curve = curve_of(store, config)
        return {
            "domain": config.domain,
            "seed": config.seed,
            "batches": last + 1,
            "candidates": figures.get("candidates", 0),
            "evaluations": figures.get("evaluations", 0),
            "invalid": figures.get("invalid", 0),
            "hits": figures.get("hits", {"structural": 0, "canonical": 0, "functional": 0}),
            "hurdled": figures.get("hurdled", 0),
            "failures": figures.get("failures", {}),
            "elites": statistics.elites,
            "cells": statistics.cells,
            "coverage": statistics.coverage,
            "qd_score": statistics.qd_score,
            "corrected": _corrected(store, grid, config.archive.qd_offset),
            "restarts": counters.get("restarts", 0) if config.restarts else None,
            "validation": None if curve is None else [point_data(point) for point in curve.known],
            "validated": None
            if curve is None
            else {
                "best": None if curve.best is None else point_data(curve.best),
                "overfits": curve.overfits,
                "ended": curve.last is not None,
                "steps": counters.get("validation.steps", 0),
            },
            "front": front(store, grid, config, domain),
            "best": best[0] if best else None,
            "top": best,
            "steps": figures.get("steps", 0),
            "seconds": figures.get("seconds", 0.0),
            "seconds_by_part": figures.get("seconds_by_part", {}),
            "workers": store.meta.get(WORKERS),
            "counterfactual": {
                key.partition(".")[2]: count for key, count in counters.items() if key.startswith("counterfactual.")
            },
            "finished": bool(store.meta.get("finished", False)),
        }


def front(store: Store, grid: Grid, config: Config, domain: Domain) -> list[dict[str, Any]] | None:
    """Returns the domain's table of the best elites, each row with the program's canonical text; None without one."""
    if domain.front is None:
        return None
    rows = []
    for row in domain.front(options(config), grid.elites()):
        record = store.program(row["id"])
        rows.append({**row, "program": canonical_text(record.text, domain) if record else ""})
    return rows


def archive_of(store: Store, config: Config, domain: Domain) -> Grid:
    """Returns the archive of a run as it stands in its store."""
    grid = Grid(axes(config, domain), config.archive.depth, config.archive.pessimism)
    grid.restore(store.elites())
    return grid


def _corrected(store: Store, grid: Grid, offset: float) -> dict[str, Any] | None:
    """QD score of the elites that were evaluated again; those that are left out would weigh like lost ones."""
    again = [elite for elite in grid.elites() if elite.count > 1]
    held = {
        elite.behaviour: [e for e in store.evaluations(elite.behaviour) if e.status is not Status.FAULT]
        for elite in again
    }
    if not held:
        return None
    return {
        "elites": len(again),
        "qd_score": grid.corrected({key: found[1:] for key, found in held.items()}).qd_score(offset),
        "first_qd_score": grid.corrected({key: found[:1] for key, found in held.items()}).qd_score(offset),
    }


def curve_of(store: Store, config: Config) -> Curve | None:
    """Returns the validation curve of a run; None where there is no validation."""
    if config.validation.every is None:
        return None
    curve, state = Curve(config), store.state()
    if "validation" in state:
        curve.restore(state["validation"], store.meta.get(FIGURE))
    return curve


def point_data(point: Point) -> dict[str, Any]:
    """Returns a point of a validation curve as plain data."""
    told = asdict(point)
    del told["behaviour"]
    return told


def _elite(store: Store, elite: Elite, domain: Domain) -> dict[str, Any]:
    record = store.program(elite.id)
    deviation = None if elite.variance is None else elite.variance**0.5
    return {
        "id": elite.id,
        "score": elite.mean,
        "replicates": elite.count,
        "deviation": deviation,
        "size": elite.size,
        "descriptors": dict(elite.descriptors),
        "program": canonical_text(record.text, domain) if record else "",
    }


def find_program(store: Store, id: int) -> ProgramRecord:
    """Returns a program of a run.

    Raises:
        ValueError: the run keeps no program of that number.
    """
    record = store.program(id)
    if record is None:
        raise ValueError(
            f"a run keeps the programs that entered its archive, got {id} in {store.folder}; "
            f"take a number that `pride show` prints"
        )
    return record


def program_report(folder: str | Path, id: int) -> dict[str, Any]:
    """Returns text, canonical form, keys, lineage and evaluations of one program of a run.

    Raises:
        ValueError: no run folder, or the run keeps no program of that number.
    """
    with Store.read(folder) as store, store.snapshot():
        domain = load(stored_config(store).domain)
        record = find_program(store, id)
        graph = canonical_graph(record.text, domain)
        return {
            "id": id,
            "behaviour": record.behaviour,
            "text": record.text,
            "canonical_text": canonical_text(record.text, domain),
            "descriptors": dict(domain.static_descriptors(graph)),
            "structural": record.structural,
            "canonical": record.canonical,
            "fingerprint": record.functional,
            "lineage": [
                {"id": one.id, "proposer": one.proposer, "batch": one.batch, "score": _score(store, one)}
                for one in ancestors(store, id)
            ],
            "evaluations": [
                {
                    "replicate": e.replicate,
                    "status": e.status.value,
                    "score": e.score,
                    **{f"{name} loss": task.loss for name, task in e.tasks.items()},
                    **{f"{name} learning rate": task.learning_rate for name, task in e.tasks.items()},
                }
                for e in store.evaluations(record.behaviour)
            ],
        }


def _score(store: Store, record: ProgramRecord) -> float | None:
    evaluation = store.evaluation(record.behaviour)
    return evaluation.score if evaluation else None


def best_learning_rate(store: Store, record: ProgramRecord) -> float | None:
    """Returns the geometric mean of the learning rates that served a program best on its tasks: an export's default."""
    from math import exp, log

    rates = [
        task.learning_rate
        for evaluation in store.evaluations(record.behaviour)
        for task in evaluation.tasks.values()
        if task.learning_rate
    ]
    return exp(sum(map(log, rates)) / len(rates)) if rates else None


def history(folder: str | Path) -> Mapping[int, Any]:
    """Returns the progress of a run batch by batch, for plots: counters, best, coverage, QD score, seconds by part."""
    with Store.read(folder) as store:
        return store.progress()
