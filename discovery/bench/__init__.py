"""Benchmark: throughput on this machine beside its floor, in two to five minutes."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from discovery.bench.page import markdown
from discovery.config_file import load_config
from discovery.device import configure, describe

__all__ = ["ROUNDS", "SEARCH_SECONDS", "bench", "markdown"]

ROUNDS = 5
"""Times that each training loop is timed."""
SEARCH_SECONDS = 15.0
"""Length of each search that is timed, after its warm-up."""


def bench(rounds: int = ROUNDS, search_seconds: float = SEARCH_SECONDS) -> dict[str, Any]:
    """Measures the throughput of the default configuration on this machine.

    All but the search on several workers runs on one core: the calling thread is pinned to it where the system can do
    that, before JAX starts its threads, and let go at the end.

    Args:
        rounds: times that each training loop is timed, at least 1.
        search_seconds: length of each timed search, seconds.

    Returns:
        Figures by name; `markdown` says what they mean. Seconds are wall-clock, but those of breeding and
        fingerprints, which are Python in one thread: its CPU time.

    Raises:
        ValueError: a worker does not start.
    """
    configure()
    from discovery.bench.breeding import breeding
    from discovery.bench.compilation import compilations, starts
    from discovery.bench.loops import interpreter
    from discovery.bench.searching import search, searches, workers

    began, load_before = time.perf_counter(), os.getloadavg()[0]
    config = load_config("optimizers")
    with _one_core() as core:
        found = {
            **starts(),
            **interpreter(config, rounds),
            **compilations(config),
            **breeding(config),
            **searches(config, search_seconds),
        }
    several = min(2, os.cpu_count() or 1)
    if several > 1:
        with tempfile.TemporaryDirectory() as folder:
            shared = search(config, Path(folder, "run"), workers(several), search_seconds)
        found[f"evaluations_per_second_{several}_workers"] = shared["evaluations_per_second"]
        found[f"evaluation_share_{several}_workers"] = shared["evaluation_share"]
    return {
        **found,
        **describe(),
        "cores": os.cpu_count(),
        "pinned_to_core": core,
        "load_before": load_before,
        "date": time.strftime("%Y-%m-%d"),
        "bench_seconds": time.perf_counter() - began,
    }


@contextmanager
def _one_core() -> Iterator[int | None]:
    """Pins this thread, and those that it starts, to its last core; None where the system can't."""
    if not hasattr(os, "sched_setaffinity"):
        yield None
        return
    before = os.sched_getaffinity(0)
    core = max(before)
    os.sched_setaffinity(0, {core})
    try:
        yield core
    finally:
        os.sched_setaffinity(0, before)
