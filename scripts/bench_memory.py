"""Memory of a long run and size of its store.

    python scripts/bench_memory.py                        200,000 candidates, several minutes on one core
    python scripts/bench_memory.py --candidates 20000 --mark 5000

A real search runs with next to no training: all three tasks, one learning rate, one step. So everything that could
grow is at work as in a real run (cache, archive, store, interpreter, baselines), and only the time is saved. Scores
are noise there and the search drifts, so it meets more new behaviours than a real one: cache and store grow faster.
Growth is measured from a mark on, by when what is bounded has filled; of it the cache's own entries are taken off,
whose size is that of the cache rebuilt from the store at both moments.
"""

import ctypes
import os
import sys
import tempfile
import threading
import time
import tracemalloc
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

from archive.cache import Cache
from archive.store import Store
from discovery.config import Config
from discovery.config_file import build
from discovery.device import configure, describe
from discovery.progress import Progress

SETTINGS: dict[str, Any] = {
    "evaluation": {
        "tasks": ["digits_mlp", "digits_autoencoder", "char_lm"],
        "learning_rates": [0.01],
        "stages": [{"name": "full", "share": 0.001}],
    },
}
MB = 1e6


def resident() -> float:
    """Resident memory of this process in bytes (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return float(pages * os.sysconf("SC_PAGE_SIZE"))


def trimmed() -> float:
    """Resident memory after the C library has given back what it can of the memory that was freed (glibc)."""
    getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)(0)
    return resident()


def search(config: Config, folder: Path, candidates: int, mark: int) -> tuple[list[tuple[int, float]], list[float]]:
    """Searches in this process.

    Returns:
        Candidates and resident bytes after every batch, and the bytes after trimming at the mark and at the end.
    """
    from discovery.run import Run

    samples: list[tuple[int, float]] = []
    used: list[float] = []
    stop = threading.Event()

    def watch(progress: Progress) -> None:
        samples.append((progress.candidates, resident()))
        if len(samples) % 100 == 0:
            print(f"{progress.candidates} candidates, {samples[-1][1] / MB:.0f} MB", file=sys.stderr)
        if progress.candidates >= (mark, candidates)[min(len(used), 1)] and len(used) < 2:
            used.append(trimmed())
        if progress.candidates >= candidates:
            stop.set()

    with Run.create(config, folder) as run:
        run.execute(workers=1, watch=watch, stop=stop)
    return samples, used


def cache_bytes(folder: Path, entries: int, batches: int) -> int:
    """Bytes that the cache takes after a number of batches."""
    with Store.read(folder) as store:
        tracemalloc.start()
        cache = Cache(entries)
        cache.restore(islice(store.cache_deltas(), batches))
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return held


def at(samples: list[tuple[int, float]], candidates: int) -> float:
    """Median of the resident memory over the ten batches from a number of candidates on."""
    return median([held for bred, held in samples if bred >= candidates][:10])


def page(found: dict[str, Any], command: str) -> str:
    machine = describe()
    rows = "\n".join(f"| {name} | {value} |" for name, value in found.items())
    return (
        f"# Memory\n\n`{command}`, {time.strftime('%Y-%m-%d')}, {machine['processor']}, {machine['platform']}.\n"
        "\nA search in one process with next to no training (one learning rate, one step of each task), so that all\n"
        "that could grow is at work and only time is saved. Scores are noise there and the search drifts, so it meets\n"
        "more new behaviours than a real one: cache and store grow faster.\n"
        f"\n| figure | value |\n| --- | --- |\n{rows}\n"
    )


def main(
    candidates: Annotated[int, typer.Option(min=1_000, help="Candidates to breed.")] = 200_000,
    mark: Annotated[int, typer.Option(min=1, help="Candidates after which growth is measured.")] = 50_000,
    out: Annotated[Path | None, typer.Option(help="Where the page goes; docs/memory.md holds the full run.")] = None,
) -> None:
    """Runs a long search and prints what it takes."""
    if mark >= candidates:
        raise typer.BadParameter(f"mark must be below the {candidates} candidates, got {mark}")
    configure()
    config = build({**SETTINGS, "budget": 10**9})
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "run")
        began = time.perf_counter()
        samples, used = search(config, folder, candidates, mark)
        seconds = time.perf_counter() - began
        bred, last = samples[-1]
        first = at(samples, mark)
        batches = -(-mark // config.batch)
        cache = [cache_bytes(folder, config.cache.entries, n) for n in (batches, len(samples))]
        stored = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        with Store.read(folder) as store:
            figures = store.progress(len(samples) - 1)[len(samples) - 1]
    growth, entries = last - first, cache[1] - cache[0]
    found = {
        "candidates": f"{bred:,} in {seconds:.0f} s",
        "evaluations": f"{figures['evaluations']:,}",
        "hits": ", ".join(f"{layer} {count:,}" for layer, count in figures["hits"].items()),
        "elites": f"{figures['elites']:,} in {figures['cells']:,} cells",
        "resident memory at the end": f"{last / MB:.1f} MB",
        f"growth after {mark:,} candidates": f"{growth / MB:.1f} MB",
        "of it the cache's own entries": f"{entries / MB:.1f} MB",
        "growth beyond them": f"{(growth - entries) / MB:.1f} MB",
        "the same, without freed memory that the C library keeps": f"{(used[1] - used[0] - entries) / MB:.1f} MB",
        "the cache at the end": f"{cache[1] / MB:.1f} MB",
        "store": f"{stored / MB:.1f} MB",
        "store a million candidates": f"{stored / bred:.0f} MB",
    }
    for name, value in found.items():
        print(f"{name}: {value}")
    if out is not None:
        command = f"python scripts/{' '.join([Path(__file__).name, *sys.argv[1:]])}"
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(page(found, command), "utf-8")


if __name__ == "__main__":
    typer.run(main)
