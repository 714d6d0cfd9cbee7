"""Memory of a long run and size of its store.

    python scripts/bench_memory.py                        200,000 candidates, several minutes on one core
    python scripts/bench_memory.py --candidates 20000 --mark 5000

A real search runs with next to no training: all three tasks, one learning rate, one step. So everything that could
grow is at work as in a real run (cache, archive, store, interpreter, baselines), and only the time is saved. Scores
are noise there and the search drifts, so it meets more new behaviours than a real one: cache and store grow faster.
Growth is measured from a mark on, by when what is bounded has filled; of it the cache's own entries are taken off,
whose size is that of the cache rebuilt from the store at both moments. Python's objects are counted besides: a leak
would show there too, whatever the allocators do.
"""

import ctypes
import gc
import os
import platform
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from archive.cache import Cache
from archive.elite import Elite
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
BLOCK = 16
"""CPython gives memory out in steps of so many bytes: a key of 36 takes 48."""


class Moment(NamedTuple):
    """A moment of the run.

    Args:
        batches: batches merged.
        resident: resident bytes.
        trimmed: the same without what was freed and the C library keeps.
        objects: objects that the garbage collector knows.
    """

    batches: int
    resident: float
    trimmed: float
    objects: int


def resident() -> float:
    """Resident memory of this process in bytes (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return float(pages * os.sysconf("SC_PAGE_SIZE"))


def trimmed() -> float:
    """Resident memory after the C library has given back what it can of the memory that was freed (glibc)."""
    getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)(0)
    return resident()


def search(config: Config, folder: Path, batches: int, mark: int) -> list[Moment]:
    """Searches in this process; returns what was measured after each `mark` batches and at the end."""
    from discovery.run import Run

    moments: list[Moment] = []
    stop = threading.Event()

    def watch(progress: Progress) -> None:
        merged = progress.batch + 1
        if merged % 100 == 0:
            print(f"{progress.candidates} candidates, {resident() / MB:.0f} MB", file=sys.stderr)
        if merged in (*range(mark, batches, mark), batches):
            gc.collect()
            moments.append(Moment(merged, resident(), trimmed(), len(gc.get_objects())))
        if merged >= batches:
            stop.set()

    with Run.create(config, folder) as run:
        run.execute(workers=1, watch=watch, stop=stop)
    return moments


def held(make: Callable[[], Any]) -> int:
    """Bytes that an object takes, all that it holds included, in the blocks that they are given out in."""
    tracemalloc.start()
    made = make()
    traces = tracemalloc.take_snapshot().traces
    tracemalloc.stop()
    del made
    return sum(-(-trace.size // BLOCK) * BLOCK for trace in traces)


def cache_of(folder: Path, entries: int, batches: int) -> Cache:
    """The cache after a number of batches."""
    cache = Cache(entries)
    with Store.read(folder) as store:
        cache.restore(islice(store.cache_deltas(), batches))
    return cache


def elites_of(folder: Path) -> tuple[Elite, ...]:
    """The elites of the archive."""
    with Store.read(folder) as store:
        return store.elites()


def page(found: dict[str, Any], command: str) -> str:
    machine = describe()
    rows = "\n".join(f"| {name} | {value} |" for name, value in found.items())
    return (
        f"# Memory\n\n`{command}`, {time.strftime('%Y-%m-%d')}, {machine['processor']}, {platform.system()}.\n"
        "\nA search in one process with next to no training (one learning rate, one step of each task), so that all\n"
        "that could grow is at work and only time is saved. Scores are noise there and the search drifts, so it meets\n"
        "more new behaviours than a real one: cache and store grow faster.\n"
        "\nWhat the cache's entries take is measured too: the cache is rebuilt from the store, and its bytes are\n"
        "counted in the blocks of 16 that Python gives out, the tables of its dicts included, which double when they\n"
        "are full. Before each measurement the C library gives back what was freed. Python takes memory from the\n"
        "system in steps of 1 MB, so less than that says nothing; a leak would rise from mark to mark, and show in\n"
        "the number of objects.\n"
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
        moments = search(config, folder, -(-candidates // config.batch), -(-mark // config.batch))
        seconds = time.perf_counter() - began
        caches = [held(partial(cache_of, folder, config.cache.entries, moment.batches)) for moment in moments]
        elites = held(partial(elites_of, folder))
        stored = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        with Store.read(folder) as store:
            figures = store.progress(store.last_batch)[store.last_batch]
    bred, (first, *_, last) = figures["candidates"], moments
    growth, entries = last.trimmed - first.trimmed, caches[-1] - caches[0]
    beyond = [
        f"{moment.batches * config.batch:,}: {(moment.trimmed - first.trimmed - cache + caches[0]) / MB:.1f} MB"
        for moment, cache in zip(moments[1:], caches[1:], strict=True)
    ]
    found = {
        "candidates": f"{bred:,} in {seconds:.0f} s",
        "evaluations": f"{figures['evaluations']:,}",
        "hits": ", ".join(f"{layer} {count:,}" for layer, count in figures["hits"].items()),
        "elites": f"{figures['elites']:,} in {figures['cells']:,} cells, {elites / MB:.1f} MB",
        "resident memory at the end": f"{last.trimmed / MB:.1f} MB",
        f"growth after {mark:,} candidates": f"{growth / MB:.1f} MB",
        "of it the cache's own entries": f"{entries / MB:.1f} MB",
        "growth beyond them, by candidates": ", ".join(beyond),
        "freed memory that the C library keeps, at the end": f"{(last.resident - last.trimmed) / MB:.1f} MB",
        f"objects that Python's collector looks at after {mark:,} candidates": f"{first.objects:,}",
        "the same at the end": f"{last.objects:,}",
        "the cache at the end": f"{caches[-1] / MB:.1f} MB",
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
