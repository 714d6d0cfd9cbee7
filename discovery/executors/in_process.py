"""All work in this process: no second process, nothing to start."""

import time
from collections.abc import Iterable
from typing import Any

from discovery.executors import Finished, Load, Works
from discovery.executors.queue import Queue


class InProcess:
    """Works units off in the order in which they wait.

    Args:
        worker: the worker.
    """

    workers = 1

    def __init__(self, worker: Works) -> None:
        self._worker = worker
        self._waiting: Queue[Any] = Queue()
        self._began = time.perf_counter()
        self._worked = 0.0

    def warm_up(self) -> None:
        """Returns when the worker is ready."""
        self._worker.warm_up()
        self._began, self._worked = time.perf_counter(), 0.0

    def submit(self, units: Iterable[Any], first: bool = False) -> None:
        """Takes units."""
        self._waiting.put(units, first)

    def next(self) -> list[Finished]:
        """Works off the first unit that waits, and those behind it that go together with it."""
        began = time.perf_counter()
        finished = self._worker.run(self._waiting.take(self._worker.together))
        self._worked += time.perf_counter() - began
        return finished

    def load(self) -> Load:
        """Returns how the worker is doing."""
        busy = self._worked / max(1e-9, time.perf_counter() - self._began)
        return Load(1, 1, (busy,), len(self._waiting), waited=self._worked)

    def close(self) -> None:
        """Forgets what waits."""
        self._waiting.clear()
