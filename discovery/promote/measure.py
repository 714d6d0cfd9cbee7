"""Measures what a promotion asks for, on workers, once each: finished units are in the ledger."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import evaluators
import primitives
from archive.ledger import Ledger
from discovery.config import Config
from discovery.device import cache_folder
from discovery.executors import Executor, Finished, Works
from discovery.promote import reduce, units
from discovery.promote.units import PromotionWorker, Report, Simplify, Sweep, failed
from evaluators.optimizers.contenders import baseline
from evaluators.optimizers.promotion import Promotion
from evaluators.optimizers.trials import task_of

Unit = Any


class Bench:
    """Where units are measured; workers start with the first unit that is not in the ledger.

    Args:
        ledger: finished units.
        config: configuration of the search.
        settings: settings of the promotion.
        start: makes the workers that share the work, given what makes one of them.
        watch: called with the phase, the units that are done and all of them, after each one.
    """

    def __init__(
        self,
        ledger: Ledger,
        config: Config,
        settings: Promotion,
        start: Callable[[Callable[[], Works]], Executor],
        watch: Callable[[str, int, int], None] = lambda phase, done, total: None,
    ) -> None:
        self.ledger, self.config, self.settings = ledger, config, settings
        self._start, self._watch = start, watch
        self._pool: Executor | None = None
        self._essential = {baseline(name).text for name in settings.baselines}
        self._asked: set[str] = set()
        self.faults: dict[str, str] = {}
        """Why programs fell that workers did not survive, by their text."""

    def measure(self, phase: str, asked: Sequence[Unit]) -> list[Any]:
        """Returns the results of units in their order.

        Args:
            phase: what the units are for, in a word; their time is counted there.
            asked: the units.

        Returns:
            For each what it gave; where it took several workers with it, what `failed` says, and `faults` has the why.

        Raises:
            ValueError: a task can't be loaded, a baseline takes workers with it, the disk is full; what is finished is
                kept.
        """
        keys = [self._key(unit) for unit in asked]
        self._asked.update(keys)
        missing = {key: unit for key, unit in zip(keys, asked, strict=True) if key not in self.ledger}
        done, total = len(set(keys)) - len(missing), len(set(keys))
        self._watch(phase, done, total)
        if missing:
            began = time.perf_counter()
            try:
                pool = self._started()
                pool.submit(missing.values())
                while done < total:
                    for finished in pool.next():
                        self._take(phase, finished)
                        done += 1
                        self._watch(phase, done, total)
            finally:
                self.ledger.add(f"wall {len(list(self.ledger))} {phase}", time.perf_counter() - began)
        return [
            self.ledger[key]["result"] if key in self.ledger else failed(missing[key], self.settings) for key in keys
        ]

    def _take(self, phase: str, finished: Finished) -> None:
        if finished.fault:
            self._note(finished.unit, finished.fault)
            return
        entry = {"phase": phase, "seconds": finished.seconds, "result": finished.results}
        self.ledger.add(self._key(finished.unit), entry)

    def _note(self, unit: Unit, fault: str) -> None:
        """A candidate that no worker survives falls; it may be the machine's fault, so the ledger does not learn it."""
        text = unit.text if isinstance(unit, Simplify) else unit.contender.text
        if text in self._essential:
            raise ValueError(f"the baselines must be measured, got {fault}; see whether memory runs out, then go on")
        self.faults[text] = fault

    def seconds(self) -> dict[str, dict[str, float]]:
        """Returns by phase the seconds that it took (`wall`) and those that workers spent on its units (`work`).

        Units that the ledger has of other settings, which this promotion did not ask for, do not count.
        """
        found: dict[str, dict[str, float]] = {}
        for key in self.ledger:
            if key not in self._asked and not key.startswith("wall "):
                continue
            value = self.ledger[key]
            if key.startswith("wall "):
                phase, sort, spent = key.split(" ", 2)[2], "wall", value
            else:
                phase, sort, spent = value["phase"], "work", value["seconds"]
            times = found.setdefault(phase, {"wall": 0.0, "work": 0.0})
            times[sort] += spent
        return found

    def close(self) -> None:
        """Lets the workers go."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def _started(self) -> Executor:
        if self._pool is None:
            make = partial(PromotionWorker, self.config, self.settings, str(cache_folder() / "baselines"))
            self._pool = self._start(make)
            self._pool.warm_up()
        return self._pool

    def _key(self, unit: Unit) -> str:
        """A hash of all that the unit's result depends on, but for the code and the machine: the ledger is of those."""
        settings, more = self.settings, {}
        if isinstance(unit, Sweep | Report):
            more["task"] = task_of(unit.task).digest
        if isinstance(unit, Report):
            more |= {"block": settings.block, "checkpoints": settings.checkpoints}
        if isinstance(unit, Simplify):
            evaluation = self.config.evaluation
            more |= {"domain": self.config.domain, "evaluation": {**evaluation, "validation_tasks": None}}
            more |= {"tasks": [task_of(task).digest for task in evaluation["tasks"]]}
            more |= {"replicates": settings.replicates, "margin": settings.margin}
        text = json.dumps([type(unit).__name__, unit, more], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def code_digest() -> str:
    """Returns a hash of the code that results of units depend on."""
    files = [Path(str(module.__file__)) for module in (units, reduce)]
    for package in (primitives, evaluators):
        files += sorted(Path(package.__path__[0]).rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def about(machine: Mapping[str, str]) -> dict[str, Any]:
    """Returns what a ledger is of: the code and the machine; all else that a result depends on is in its key."""
    return {"code": code_digest(), **{k: machine[k] for k in ("jax", "jaxlib", "numpy", "processor", "device")}}
