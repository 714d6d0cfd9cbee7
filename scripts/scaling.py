"""Evidence: how far a search scales.

    python scripts/scaling.py WORK throughput           1 and 2 workers, in process and on Ray: half an hour
    python scripts/scaling.py WORK slow                 simulated workers, one of them five times slower: minutes
    python scripts/scaling.py WORK saturation           10, 100, 1,000 simulated workers: minutes
    python scripts/scaling.py WORK soak                 a worker killed every minute, for 30 minutes
    python scripts/scaling.py WORK page                 docs/scaling.md from what there is in WORK

Each part keeps its figures in WORK, with machine, command and date; the machine should do nothing else meanwhile.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Annotated, Any, NamedTuple, cast

import scaling_page
import typer
from bench_memory import cache_of, held
from simulated import Crowded, Simulated, configuration

from archive.store import Store
from discovery.bench.searching import search
from discovery.bench.searching import workers as in_all
from discovery.budget import Budget
from discovery.config import Config
from discovery.config_file import load_config
from discovery.device import configure, describe
from discovery.executors import Executor, Finished
from discovery.executors.in_process import InProcess
from discovery.executors.ray_cluster import start
from discovery.executors.ray_pool import RayPool
from discovery.progress import Progress
from discovery.run import Run, worker_of

EVALUATION_SECONDS = 0.042
"""Time of an evaluation of the default search on one core of the machine of docs/performance.md."""

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
_work: dict[str, Path] = {}


@app.callback()
def _main(work: Annotated[Path, typer.Argument(metavar="WORK", help="Folder for the figures.")]) -> None:
    work.mkdir(parents=True, exist_ok=True)
    _work["folder"] = work


def keep(part: str, figures: Mapping[str, Any]) -> None:
    """Keeps the figures of a part."""
    arguments = ["WORK" if argument == str(_work["folder"]) else argument for argument in sys.argv[1:]]
    about = {"command": f"python scripts/scaling.py {' '.join(arguments)}", "date": time.strftime("%Y-%m-%d")}
    file = _work["folder"] / f"{part}.json"
    file.write_text(json.dumps({**figures, **about, **describe(), "cores": os.cpu_count()}, indent=2), "utf-8")
    print(f"{part}: kept in {file}", file=sys.stderr)


# --- throughput -------------------------------------------------------------------------------------------------------


def _measured(config: Config, seconds: float, make: Callable[[Run], Executor]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        return search(config, Path(folder, "run"), make, seconds)


def _on_ray(run: Run, workers: int) -> Executor:
    return RayPool(start(workers), worker_of(run.config, run.search.starts, run.proposer))


@app.command()
def throughput(
    seconds: Annotated[float, typer.Option(help="Length of each search after its first batch.")] = 90.0,
    rounds: Annotated[int, typer.Option(help="Searches of each sort, by turns.")] = 3,
    source: Annotated[str, typer.Option("--config", help="Configuration.")] = "optimizers",
    alone: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Evaluations a second of real searches: in process, on Ray, and as two processes that know nothing of another."""
    configure()
    config = load_config(source)
    in_process = partial(_measured, config, seconds, in_all(1))
    if alone:
        print(json.dumps(in_process()))
        return
    found: dict[str, list[dict[str, float]]] = {}
    for _ in range(rounds):
        found.setdefault("1 in process", []).append(in_process())
        for workers in (1, 2):
            on_ray = _measured(config, seconds, partial(_on_ray, workers=workers))
            found.setdefault(f"{workers} on Ray", []).append(on_ray)
        found.setdefault("2 processes apart", []).append(_apart(seconds, source))
    keep("throughput", {"seconds": seconds, "rounds": rounds, "searches": found})


def _apart(seconds: float, source: str) -> dict[str, float]:
    """Two searches at the same time: what the machine itself allows."""
    command = [sys.executable, __file__, str(_work["folder"]), "throughput", "--alone", f"--seconds={seconds}"]
    started = [subprocess.Popen([*command, f"--config={source}"], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [json.loads(one.communicate()[0]) for one in started]
    return {key: sum(one[key] for one in told) for key in told[0]}


# --- simulated workers ------------------------------------------------------------------------------------------------


@app.command()
def slow(
    seconds: Annotated[float, typer.Option(help="Length of the search.")] = 60.0,
    workers: Annotated[int, typer.Option(help="Simulated workers.")] = 8,
    slowness: Annotated[float, typer.Option(help="How much slower the first one is.")] = 5.0,
) -> None:
    """Busy share of each worker, where one is slow, beside the same without it."""
    sorts = {"even": 1.0, "one slow": slowness}
    found = {sort: _simulated(workers, 64, seconds, slow=factor) for sort, factor in sorts.items()}
    keep("slow", {"workers": workers, "slowness": slowness, "seconds": seconds, "searches": found})


@app.command()
def saturation(
    seconds: Annotated[float, typer.Option(help="Length of each search.")] = 60.0,
    workers: Annotated[list[int] | None, typer.Option(help="Simulated workers; default: 10, 100, 1000.")] = None,
    evaluation: Annotated[float, typer.Option(help="Seconds that an evaluation takes.")] = EVALUATION_SECONDS,
) -> None:
    """Candidates and evaluations a second until the driver is the limit."""
    found = []
    for number in workers or (10, 100, 1000):
        batch = max(64, 32 * number)  # enough for all of them to be busy, and for calls that are worth their way
        found.append({"batch": batch, **_simulated(number, batch, seconds, evaluation)})
    batches = {batch: _driver_alone(batch, seconds / 2) for batch in (64, 512, 4096)}
    keep("saturation", {"seconds": seconds, "evaluation": evaluation, "searches": found, "driver": batches})


def _simulated(
    workers: int, batch: int, seconds: float, evaluation: float = EVALUATION_SECONDS, slow: float = 1.0
) -> dict[str, Any]:
    ray = start(1).ray
    place = Crowded(ray, workers, batch, evaluation, slow)
    return _timed(RayPool(cast(Any, place), partial(Simulated, batch, evaluation)), batch, seconds)


def _driver_alone(batch: int, seconds: float) -> dict[str, Any]:
    """What the driver does with a candidate where workers take no time and no way."""
    worker = _Timed(Simulated(batch, 0.0))
    return _timed(InProcess(worker), batch, seconds, lambda: worker.spent)


class _Timed:
    """A worker that notes the CPU that it takes in the driver's thread."""

    def __init__(self, inner: Simulated) -> None:
        self._inner, self.spent = inner, 0.0

    def warm_up(self) -> None:
        self._inner.warm_up()

    @property
    def together(self) -> int:
        return self._inner.together

    def run(self, units: Sequence[Any]) -> list[Finished]:
        began = time.thread_time()
        finished = self._inner.run(units)
        self.spent += time.thread_time() - began
        return finished


def _timed(pool: Executor, batch: int, seconds: float, others: Callable[[], float] = lambda: 0.0) -> dict[str, Any]:
    """Searches some while; returns rates after the first quarter, and the driver's own time, less that of others."""
    seen: list[_Moment] = []
    stop = threading.Event()

    def watch(progress: Progress) -> None:
        seen.append(_Moment(time.perf_counter(), time.thread_time() - others(), time.process_time(), progress))
        if progress.seconds >= seconds:
            stop.set()

    with tempfile.TemporaryDirectory() as folder:
        try:
            with Run.create(configuration(batch), Path(folder, "run")) as run:
                run.execute(executor=pool, watch=watch, stop=stop)
        finally:
            pool.close()
    first, last = seen[len(seen) // 4], seen[-1]
    elapsed = last.wall - first.wall
    before, after, staff = first.progress, last.progress, last.progress.staff
    candidates = after.candidates - before.candidates
    parts = {part: after.seconds_by_part[part] - before.seconds_by_part[part] for part in ("merge", "store")}
    spent = {"thread": last.thread - first.thread, "process": last.process - first.process, **parts}
    return {
        "workers": after.workers,
        "candidates_per_second": candidates / elapsed,
        "evaluations_per_second": (after.evaluations - before.evaluations) / elapsed,
        "microseconds_per_candidate": {part: 1e6 * seconds / candidates for part, seconds in spent.items()},
        "busy": list(staff.load.busy) if staff else [],
        "driver_load": staff.driver_load if staff else None,
    }


class _Moment(NamedTuple):
    """Wall-clock, CPU of this thread and of this process, and the progress then."""

    wall: float
    thread: float
    process: float
    progress: Progress


# --- soak -------------------------------------------------------------------------------------------------------------


@app.command()
def soak(
    minutes: Annotated[float, typer.Option(help="Length.")] = 30.0,
    every: Annotated[float, typer.Option(help="Seconds between two kills.")] = 60.0,
    workers: Annotated[int, typer.Option(help="Workers, in processes of their own, that sleep.")] = 4,
) -> None:
    """A worker killed every minute: nothing lost, nothing twice, memory flat."""
    folder = _work["folder"] / "soak"
    shutil.rmtree(folder, ignore_errors=True)
    config = configuration(64)
    make = partial(Simulated, config.batch, EVALUATION_SECONDS, True)
    stop, done, kills = threading.Event(), threading.Event(), count()
    memory: list[dict[str, float]] = []
    merged = 0

    def kill() -> None:
        while not done.wait(every):
            found = _children(os.getpid())
            memory.append({name: sum(_resident(pid) for pid in pids) for name, pids in found.items()})
            memory[-1] |= {"driver": _resident(os.getpid()), "batches": merged, "minutes": every * len(memory) / 60.0}
            if found["worker"]:
                os.kill(found["worker"][next(kills) % len(found["worker"])], signal.SIGKILL)

    def watch(progress: Progress) -> None:
        nonlocal merged
        merged = progress.batch + 1
        if progress.seconds >= 60.0 * minutes:
            stop.set()

    pool = RayPool(start(workers), make)
    killer = threading.Thread(target=kill, daemon=True)
    try:
        with Run.create(config, folder / "killed") as run:
            killer.start()
            ended = run.execute(executor=pool, watch=watch, stop=stop)
            load = pool.load()
    finally:
        done.set()
        pool.close()
    for moment in scaling_page.shown(memory):
        cache = partial(cache_of, folder / "killed", config.cache.entries, int(moment["batches"]))
        moment["cache"] = held(cache) / 2**20
    whole = folder / "whole"
    counted = config.model_copy(update={"budget": Budget(candidates=ended.progress.candidates)})
    with Run.create(counted, whole) as run:
        run.execute(executor=InProcess(Simulated(config.batch, EVALUATION_SECONDS)))
    keep(
        "soak",
        {
            "minutes": minutes,
            "every": every,
            "workers": workers,
            "kills": next(kills),
            "lost": load.lost,
            "repeated": load.repeated,
            "candidates": ended.progress.candidates,
            "evaluations": ended.progress.evaluations,
            "equal": _held(folder / "killed") == _held(whole),
            "memory": memory,
        },
    )


def _held(folder: Path) -> list[Any]:
    """All that a run found: programs, evaluations but for their seconds, the archive."""
    with Store.read(folder) as store:
        programs = list(store.programs())
        evaluations = [store.evaluations(one.behaviour) for one in programs]
        return [programs, evaluations, store.elites(), list(store.cache_deltas())]


def _children(pid: int) -> dict[str, list[int]]:
    """Processes that this one has started, and theirs: Ray's own and the workers (Linux)."""
    found: dict[str, list[int]] = {"worker": [], "gcs_server": [], "raylet": []}
    waiting = [pid]
    while waiting:
        for task in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            try:
                children = [int(one) for one in task.read_text().split()]
                waiting += children
                for child in children:
                    name = Path(f"/proc/{child}/cmdline").read_bytes().partition(b"\0")[0].decode()
                    sort = "worker" if name.startswith("ray::Actor") else Path(name).name
                    found.get(sort, []).append(child)
            except OSError:
                continue  # it ended meanwhile
    return found


def _resident(pid: int) -> float:
    """Resident megabytes of a process."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        return 0.0


@app.command()
def page(out: Annotated[Path, typer.Option(help="The page.")] = Path("docs/scaling.md")) -> None:
    """Writes the page from the parts that there are."""
    files = {part: _work["folder"] / f"{part}.json" for part in scaling_page.PARTS}
    found = {part: json.loads(file.read_text("utf-8")) for part, file in files.items() if file.exists()}
    for part in files.keys() - found.keys():
        print(f"{part}: not measured yet, left out", file=sys.stderr)
    out.write_text(scaling_page.write(found), "utf-8")


if __name__ == "__main__":
    app()
