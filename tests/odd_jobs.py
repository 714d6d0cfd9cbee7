"""A worker for tests of pools: its units say what it does, and what becomes of it."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from discovery.executors import Finished


class Job(NamedTuple):
    """What to do.

    Args:
        number: the result.
        do: "", "sleep" (seconds), "die", "hang", or "stop" (breathing) for good.
        seconds: how long it sleeps.
        grave: a file; where it is there already, nothing happens to the worker.
    """

    number: int
    do: str = ""
    seconds: float = 0.0
    grave: str = ""


class OddJobs:
    """Does what it is told."""

    def warm_up(self) -> None:
        """Has nothing to warm."""

    together = 1

    def run(self, units: Sequence[Job]) -> list[Finished]:
        """Works off units; the result of each is its number and this process."""
        return [self._run(unit) for unit in units]

    def _run(self, unit: Job) -> Finished:
        began = time.perf_counter()
        time.sleep(unit.seconds)
        if unit.do in ("die", "hang") and not _was_here(unit.grave):
            if unit.do == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(3600)
        return Finished(unit, (unit.number, os.getpid()), time.perf_counter() - began)


class Choosy(OddJobs):
    """Starts once, and again only where a file says that the door is open.

    Args:
        folder: where it leaves a note that it has been there.
    """

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def warm_up(self) -> None:
        """Refuses where another has started."""
        if _was_here(str(self._folder / "first")) and not (self._folder / "open").exists():
            raise ValueError("the door is shut")


def _was_here(grave: str) -> bool:
    if not grave:
        return False
    try:
        Path(grave).touch(exist_ok=False)
    except FileExistsError:
        return True
    return False
