"""All work in this process: no second process, nothing to start."""

from collections import deque
from typing import Any

from discovery.executors import Finished, Works


class InProcess:
    """Works units off in the order in which they came.

    Args:
        worker: the worker.
    """

    workers = 1

    def __init__(self, worker: Works) -> None:
        self._worker = worker
        self._waiting: deque[Any] = deque()

    def warm_up(self) -> None:
        """Returns when the worker is ready."""
        self._worker.warm_up()

    def submit(self, unit: Any) -> None:
        """Takes a unit."""
        self._waiting.append(unit)

    def next(self) -> Finished:
        """Works off the oldest unit."""
        return self._worker.run(self._waiting.popleft())

    def close(self) -> None:
        """Forgets what waits."""
        self._waiting.clear()
