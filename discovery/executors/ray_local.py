"""Workers on this machine as Ray actors: one a core, two calls in flight each.

A unit whose actor dies goes to another; a unit that took three actors with it ends the run with a clear word. Results
are merged by the run, once each, so it does not matter which actor gave them.
"""

import logging
import os
import signal
import sys
import threading
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from discovery.device import configure
from discovery.executors import Finished, Works

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
    # what Ray has to say of workers that died would stand in the middle of a result on stdout
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
}


class RayLocal:
    """A minimal pool of actors on a Ray of our own (`address="local"`), never one that is there already.

    Args:
        workers: number of actors.
        make: makes the worker of an actor, in its process.
    """

    def __init__(self, workers: int, make: Callable[[], Works]) -> None:
        for key, value in _ENVIRONMENT.items():
            os.environ.setdefault(key, value)
        import ray
        import ray.exceptions

        self._ray = ray
        if ray.is_initialized():
            raise ValueError(
                "a run must have a Ray of its own, got one that this process started already; "
                "call ray.shutdown() first, or take 1 worker"
            )
        try:
            with _python_path(), _own_signals(), warnings.catch_warnings():
                # JAX warns where this process has used it; Ray's children become other programs at once
                warnings.filterwarnings("ignore", r"os\.fork", RuntimeWarning)
                ray.init(
                    address="local",
                    num_cpus=workers,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    object_store_memory=100 * 1024 * 1024,
                    configure_logging=False,
                )
        except (RuntimeError, OSError, ray.exceptions.RayError) as error:
            ray.shutdown()
            raise ValueError(
                f"a local Ray must start, got {_first_line(error)}; free memory or processes, or take 1 worker"
            ) from None
        self.workers = workers
        self._make = make
        self._actor_class = ray.remote(num_cpus=1, max_restarts=0)(_Actor)
        self._actors: list[Any] = [self._actor_class.remote(make) for _ in range(workers)]
        self._numbers = count()
        self._waiting: deque[tuple[int, Any]] = deque()
        self._running: dict[Any, tuple[Any, tuple[int, Any]]] = {}
        self._failures: Counter[int] = Counter()

    def warm_up(self) -> None:
        """Returns when every actor is ready.

        Raises:
            ValueError: an actor can't start or can't make its evaluator.
        """
        try:
            self._ray.get([actor.warm_up.remote() for actor in self._actors])
        except self._ray.exceptions.RayTaskError as error:
            raise _cause(error) from None
        except self._ray.exceptions.RayError as error:
            raise ValueError(f"workers must start, got {_first_line(error)}; try 1 worker") from None

    def submit(self, unit: Any) -> None:
        """Takes a unit."""
        self._waiting.append((next(self._numbers), unit))
        self._feed()

    def next(self) -> Finished:
        """Returns a finished unit, waiting for it.

        Raises:
            ValueError: a unit took three actors with it.
        """
        while True:
            self._feed()
            done, _ = self._ray.wait(list(self._running), num_returns=1)
            actor, (number, unit) = self._running.pop(done[0])
            try:
                finished = self._ray.get(done[0])
            except self._ray.exceptions.RayTaskError as error:
                raise _cause(error) from None
            except self._ray.exceptions.RayError as error:
                self._replace(actor)
                self._failures[number] += 1
                if self._failures[number] >= ATTEMPTS:
                    del self._failures[number]
                    raise ValueError(
                        f"a worker must survive its work, got {ATTEMPTS} that died of one unit "
                        f"({type(unit).__name__}: {_first_line(error)}); see whether memory runs out, then resume"
                    ) from None
                self._waiting.appendleft((number, unit))
            else:
                self._failures.pop(number, None)
                return finished

    def close(self) -> None:
        """Ends Ray; units under way are lost."""
        self._waiting.clear()
        self._running.clear()
        self._actors.clear()
        self._ray.shutdown()

    def _feed(self) -> None:
        load = Counter(id(actor) for actor, _ in self._running.values())
        while self._waiting:
            actor = min(self._actors, key=lambda a: load[id(a)])
            if load[id(actor)] >= IN_FLIGHT:
                return
            load[id(actor)] += 1
            number, unit = self._waiting.popleft()
            self._running[actor.run.remote(unit)] = (actor, (number, unit))

    def _replace(self, actor: Any) -> None:
        """Puts a new actor in place of a dead one; what else was with it fails by itself and comes back."""
        if actor in self._actors:
            # one that is only out of reach would keep its core, and the new one would wait for it for ever
            self._ray.kill(actor)
            self._actors[self._actors.index(actor)] = self._actor_class.remote(self._make)


@contextmanager
def _python_path() -> Iterator[None]:
    """Workers started inside find modules where this process finds them: a checkout, or a task in the user's folder."""
    before = os.environ.get("PYTHONPATH")
    folders = (os.path.abspath(entry) for entry in sys.path)
    os.environ["PYTHONPATH"] = os.pathsep.join(folder for folder in folders if os.path.exists(folder))
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray would end the process on SIGTERM, where the command line stops it cleanly."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _cause(error: Any) -> BaseException:
    """What a worker raised, as if it had been raised here."""
    return error.cause if isinstance(error.cause, Exception) else ValueError(_first_line(error))


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


class _Actor:
    """A worker in a process of its own."""

    def __init__(self, make: Callable[[], Works]) -> None:
        configure()
        self._worker = make()

    def warm_up(self) -> None:
        self._worker.warm_up()

    def run(self, unit: Any) -> Finished:
        return self._worker.run(unit)
