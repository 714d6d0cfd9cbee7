"""Executors: where units of work run."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from discovery.device import configure, gpus


class Finished(NamedTuple):
    """What became of a unit.

    Args:
        unit: the unit.
        results: what it gave; None where it failed.
        seconds: what it took its worker.
        fault: one line on why it failed, where it took several workers with it or its worker says so; empty otherwise.
            Whoever asked for the unit decides what that means.
    """

    unit: Any
    results: Any
    seconds: float
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Load:
    """How the workers are doing.

    Args:
        workers: workers at work.
        wanted: workers asked for; those that are missing join when there is a place for them.
        busy: for each worker at work the share of its time that it spent on units, 0 to 1.
        waiting: units that no worker has yet: the depth of the queue.
        under_way: units that workers have.
        lost: workers that died, hung or went away with their machine.
        repeated: units that were handed out again for that.
        waited: seconds that `next` only waited for workers; the rest of the time is the driver's own.
        remarks: what a person should know of the place where the workers are, a line each.
    """

    workers: int
    wanted: int
    busy: tuple[float, ...]
    waiting: int
    under_way: int = 0
    lost: int = 0
    repeated: int = 0
    waited: float = 0.0
    remarks: tuple[str, ...] = ()


class Works(Protocol):
    """What works units off; a unit and its results are plain data that can travel."""

    def warm_up(self) -> None:
        """Compiles and loads all that units need."""
        ...

    @property
    def together(self) -> int:
        """Units of one sort that it works off at once for little more than the time of one."""
        ...

    def run(self, units: Sequence[Any]) -> list[Finished]:
        """Works off units of one sort; returns what became of them, in their order."""
        ...


class Executor(Protocol):
    """Runs units on workers, in any order; who submits them puts the results in theirs."""

    @property
    def workers(self) -> int:
        """Workers at work."""
        ...

    def warm_up(self) -> None:
        """Returns when there are workers that are ready."""
        ...

    def submit(self, units: Iterable[Any], first: bool = False) -> None:
        """Takes units; `first` puts them before those that wait."""
        ...

    def next(self) -> Sequence[Finished]:
        """Returns units that have finished, waiting for one at least; must not be called where none is under way."""
        ...

    def load(self) -> Load:
        """Returns how the workers are doing."""
        ...

    def close(self) -> None:
        """Lets everything go; units under way are lost."""
        ...


def make_executor(
    workers: int | None,
    make: Callable[[], Works],
    address: str | None = None,
    gpus_per_worker: float | None = None,
    guard: float | None = None,
) -> Executor:
    """Returns where units run.

    Args:
        workers: 1 is this process where there is no address, more are actors on Ray; None means one a GPU, where there
            is none one a core, on a cluster as many as it has room for, also when it grows.
        make: makes a worker, in the process that it works in; it travels there.
        address: a Ray cluster to join, `HOST:PORT` or `auto`; None means a Ray of its own on this machine.
        gpus_per_worker: share of a GPU that each worker gets, or a whole number of them; None means that the workers
            share the GPUs of this machine, on a cluster that they have none.
        guard: seconds without a result after which a worker counts as hung; None means what units need by far.

    Raises:
        ValueError: no worker is asked for, Ray does not start, or no cluster is there that can be used.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, or None for one a GPU or core, got {workers}")
    share = gpus_per_worker or 0.0
    if not (0.0 <= share <= 1.0 or (share > 1.0 and share % 1.0 == 0.0)):  # nor a NaN
        raise ValueError(f"gpus_per_worker must be a share from 0 to 1 or a whole number, got {share:g}; round it")
    if address is None and not gpus_per_worker and workers != 1:
        there = gpus() if gpus_per_worker is None else 0
        workers = workers or there or cores()
        gpus_per_worker = 1.0 / -(-workers // there) if there else 0.0  # a share is never of two GPUs
    if workers == 1 and address is None:
        from discovery.executors.in_process import InProcess

        configure()
        return InProcess(make())
    from discovery.executors.ray_cluster import join, start
    from discovery.executors.ray_pool import RayPool

    share = gpus_per_worker or 0.0
    cluster = start(workers, share) if address is None else join(address, workers, share)
    return RayPool(cluster, make, guard)


def cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
