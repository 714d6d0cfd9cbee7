"""Short runs on the toy domain, all that a run stores as data, and an executor that returns results in any order."""

import json
import random
import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

from discovery.config import Config
from discovery.config_file import build
from discovery.executors import Finished, Load
from discovery.run import Run
from discovery.worker import Worker

TABLES = {
    "batches": "batch, progress, cache_delta",
    "programs": "*",
    # all but the seconds
    "evaluations": "behaviour, replicate, status, stage, score, tasks, descriptors, stage_scores, steps, message",
    "elites": "cell, rank, id, behaviour, size, count, mean, m2, descriptors",
    "plans": "*",
    "state": "*",
}
TIMED = ("seconds", "seconds_by_part", "share_done", "seconds_left", "workers")
"""Figures of the progress that clocks, budget or workers decide."""


def configuration(**changes: Any) -> Config:
    """A configuration of the toy with small batches, so that hurdles and re-evaluations come soon."""
    data = {
        "domain": "toy:DOMAIN",
        "start": ["sgd", "adam_uncorrected"],
        "batch": 16,
        "budget": 320,
        "reevaluate": 0.2,
        "hurdle": {"warm_up": 16},
    }
    return build(data | changes)


def contents(folder: Any) -> dict[str, Any]:
    """All that a run folder holds of the search but the times."""
    db = sqlite3.connect(folder / "run.sqlite")
    try:
        held = {name: db.execute(f"SELECT {columns} FROM {name}").fetchall() for name, columns in TABLES.items()}
        held["elites"] = db.execute(f"SELECT {TABLES['elites']} FROM elites WHERE grid = 0").fetchall()
        held["islands"] = db.execute("SELECT * FROM elites WHERE grid > 0").fetchall()
    finally:
        db.close()
    for place, (batch, progress, delta) in enumerate(held["batches"]):
        figures = json.loads(progress)
        held["batches"][place] = (batch, {key: figures[key] for key in figures if key not in TIMED}, delta)
    return {
        name: sorted(rows, key=lambda row: row[:3] if name == "islands" else row[:2]) for name, rows in held.items()
    }


def counters(folder: Any) -> dict[str, int]:
    """The counters of a run."""
    return json.loads(dict(contents(folder)["state"])["counters"])


def execute(config: Config, folder: Any, **options: Any) -> dict[str, Any]:
    """Makes a run, goes through with it and returns what it holds."""
    with Run.create(config, folder) as run:
        run.execute(**options)
    return contents(folder)


class Disorderly:
    """Several workers in this process whose results come in an order that `choose` decides.

    Args:
        run: the run that they work for.
        workers: number of workers.
        choose: place of the next unit among the number of those that wait.
    """

    def __init__(self, run: Run, workers: int, choose: Callable[[int], int]) -> None:
        search = run.search
        self.workers = workers
        self._workers = [Worker(run.config, search.starts, search.proposer, None) for _ in range(workers)]
        self._choose = choose
        self._waiting: list[Any] = []
        self.submitted: list[Any] = []

    def warm_up(self) -> None:
        """Has nothing to warm."""

    def submit(self, units: Iterable[Any], first: bool = False) -> None:
        """Takes units."""
        taken = list(units)
        self.submitted += taken
        self._waiting += taken

    def next(self) -> list[Finished]:
        """Works off the chosen unit on any worker."""
        unit = self._waiting.pop(self._choose(len(self._waiting)))
        return self._workers[len(self.submitted) % self.workers].run([unit])

    def load(self) -> Load:
        """Has little to tell."""
        return Load(self.workers, self.workers, (), len(self._waiting))

    def close(self) -> None:
        """Forgets what waits."""
        self._waiting.clear()


def at_random(seed: int) -> Callable[[int], int]:
    """Chooses any unit that waits."""
    return random.Random(seed).randrange


def newest_first(waiting: int) -> int:
    """Chooses the unit that came last."""
    return waiting - 1


def oldest_first(waiting: int) -> int:
    """Chooses the unit that came first."""
    return 0
