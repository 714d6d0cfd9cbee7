"""Workers on this machine as Ray actors: one a core, two calls in flight each.

A unit whose actor dies goes to another; a unit that took three actors with it ends the run with a clear word. Results
are merged by the run, once each, so it does not matter which actor gave them.
"""

import os
from collections import Counter, deque
from typing import Any

from discovery.config import Config
from discovery.worker import BreedUnit, EvaluateUnit, Finished

IN_FLIGHT = 2
ATTEMPTS = 3
# Measured: task events take hundreds of MB over a long run; authentication writes into HOME and a cluster that ends
# with this process needs none.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_task_events_report_interval_ms": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_raylet_start_wait_time_s": "120",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


class RayLocal:
    """A minimal pool of actors on a Ray of our own (`address="local"`), never one that is there already.

    Args:
        workers: number of actors.
        config: configuration of the run.
        starts: texts of the start programs.
        proposer: name of the proposer.
        cache: folder for what evaluators keep, or None.
    """

    def __init__(self, workers: int, config: Config, starts: tuple[str, ...], proposer: str, cache: str | None) -> None:
        for key, value in _ENVIRONMENT.items():
            os.environ.setdefault(key, value)
        import ray

        self._ray = ray
        ray.init(
            address="local",
            num_cpus=workers,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            object_store_memory=100 * 1024 * 1024,
            configure_logging=False,
        )
        self.workers = workers
        self._make = (config, starts, proposer, cache)
        self._actor_class = ray.remote(num_cpus=1, max_restarts=0)(_Actor)
        self._actors: list[Any] = [self._actor_class.remote(*self._make) for _ in range(workers)]
        self._waiting: deque[BreedUnit | EvaluateUnit] = deque()
        self._running: dict[Any, tuple[Any, BreedUnit | EvaluateUnit]] = {}
        self._failures: Counter[tuple] = Counter()

    def warm_up(self) -> None:
        """Returns when every actor is ready.

        Raises:
            ValueError: an actor can't start or can't make its evaluator.
        """
        try:
            self._ray.get([actor.warm_up.remote() for actor in self._actors])
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause if isinstance(error.cause, Exception) else error
            raise cause from None
        except self._ray.exceptions.RayActorError as error:
            raise ValueError(f"workers must start, got {str(error).splitlines()[0]}; try --workers 1") from None

    def submit(self, unit: BreedUnit | EvaluateUnit) -> None:
        """Takes a unit."""
        self._waiting.append(unit)
        self._feed()

    def next(self) -> Finished:
        """Returns a finished unit, waiting for it.

        Raises:
            ValueError: a unit took three actors with it.
        """
        while True:
            self._feed()
            done, _ = self._ray.wait(list(self._running), num_returns=1)
            actor, unit = self._running.pop(done[0])
            try:
                return self._ray.get(done[0])
            except self._ray.exceptions.RayActorError as error:
                self._replace(actor)
                self._failures[_key(unit)] += 1
                if self._failures[_key(unit)] >= ATTEMPTS:
                    raise ValueError(
                        f"a worker must survive its work, got {ATTEMPTS} that died of one unit of batch {unit.batch} "
                        f"({str(error).splitlines()[0]}); see whether memory runs out, then resume"
                    ) from None
                self._waiting.appendleft(unit)

    def close(self) -> None:
        """Ends Ray; units under way are lost."""
        self._running.clear()
        self._ray.shutdown()

    def _feed(self) -> None:
        load = Counter(id(actor) for actor, _ in self._running.values())
        while self._waiting:
            actor = min(self._actors, key=lambda a: load[id(a)])
            if load[id(actor)] >= IN_FLIGHT:
                return
            load[id(actor)] += 1
            unit = self._waiting.popleft()
            self._running[actor.run.remote(unit)] = (actor, unit)

    def _replace(self, actor: Any) -> None:
        """Puts a new actor in place of a dead one; what else was with it fails by itself and comes back."""
        self._actors = [a if a is not actor else self._actor_class.remote(*self._make) for a in self._actors]


def _key(unit: BreedUnit | EvaluateUnit) -> tuple:
    return unit[:2] if isinstance(unit, BreedUnit) else (unit.batch, *(item[::2] for item in unit.items))


class _Actor:
    """A worker in a process of its own."""

    def __init__(self, config: Config, starts: tuple[str, ...], proposer: str, cache: str | None) -> None:
        from discovery.device import configure
        from discovery.worker import Worker

        configure()
        self._worker = Worker(config, starts, proposer, cache)

    def warm_up(self) -> None:
        self._worker.warm_up()

    def run(self, unit: BreedUnit | EvaluateUnit) -> Finished:
        return self._worker.run(unit)
