"""Executors: where units of work run."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from discovery.device import configure


@dataclass(frozen=True)
class Finished:
    """A unit's results, in the unit's order, and the seconds that it took."""

    unit: Any
    results: Any
    seconds: float


class Works(Protocol):
    """What works units off; a unit and its results are plain data that can travel."""

    def warm_up(self) -> None:
        """Compiles and loads all that units need."""
        ...

    def run(self, unit: Any) -> Finished:
        """Works off a unit."""
        ...


class Executor(Protocol):
    """Runs units on workers, in any order; who submits them puts the results in theirs."""

    workers: int
    """Workers at work."""

    def warm_up(self) -> None:
        """Returns when the workers are ready."""
        ...

    def submit(self, unit: Any) -> None:
        """Takes a unit."""
        ...

    def next(self) -> Finished:
        """Returns a finished unit, waiting for it; must not be called where none is under way."""
        ...

    def close(self) -> None:
        """Lets everything go; units under way are lost."""
        ...


def make_executor(workers: int | None, make: Callable[[], Works]) -> Executor:
    """Returns where units run.

    Args:
        workers: 1 is this process, more are actors on a local Ray; None means one a core.
        make: makes a worker, in the process that it works in; it travels there.

    Raises:
        ValueError: no worker is asked for, or Ray does not start.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, or None for one a core, got {workers}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = workers or cores
    if wanted == 1:
        from discovery.executors.in_process import InProcess

        configure()
        return InProcess(make())
    from discovery.executors.ray_local import RayLocal

    return RayLocal(wanted, make)
