"""What compilation costs: starts from nothing and from the cache, and what compiling each program would take."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import jax

from archive import library
from discovery.bench.breeding import population
from discovery.config import Config, options
from discovery.config_file import load_config
from discovery.device import cache_folder, configure
from discovery.starts import load_starts
from discovery.worker import Worker
from evaluators.domain import load
from evaluators.forms import canonical_graph
from evaluators.optimizers.baselines import adamw
from evaluators.optimizers.judge import Judge
from evaluators.optimizers.training import Training, Wanted, compiled
from primitives.encode import Capacity
from primitives.graph import Graph
from primitives.ops import LIBRARY
from primitives.program import OPTIMIZER

COMPILED = ("adamw", "lion")
"""Rules that are compiled each for itself."""


def starts() -> dict[str, float]:
    """Starts a worker twice in processes of its own: from nothing, then with what the first one left on disk.

    Returns:
        `warmup_seconds` and `warmup_seconds_again`, from the start of the process to a worker that waits for nothing
        more (imports, data, compilation, tuned baselines); `compiled_seconds` and `interpreted_seconds` of one program
        on all tasks, full steps of one seed, and their ratio `speedup_over_compiling`. Where programs train side by
        side, its share of the time of as many as do, and `branching_seconds`, what one takes alone, interpreted by
        branches as on a CPU.

    Raises:
        ValueError: a process does not come to its end.
    """
    with tempfile.TemporaryDirectory() as folder:
        first = _child(folder, True)
        again = _child(folder, False)
    seconds = {f"{way}_seconds": first[way] for way in ("compiled", "branching", "interpreted") if way in first}
    return {
        "warmup_seconds": first["warm_up"],
        "warmup_seconds_again": again["warm_up"],
        **seconds,
        "speedup_over_compiling": first["compiled"] / first["interpreted"],
    }


def _child(folder: str, compiles: bool) -> dict[str, float]:
    call = f"from {__name__} import measure_start; measure_start({folder!r}, {time.time()!r}, {compiles!r})"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    done = subprocess.run([sys.executable, "-c", call], env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise ValueError(f"a worker must start in a process of its own, got {last}; see that `pride run` works")
    return json.loads(done.stdout.splitlines()[-1])


def measure_start(folder: str, began: float, compiles: bool) -> None:
    """Starts a worker that keeps what it compiles and tunes in `folder`, and prints the seconds as JSON.

    Args:
        folder: where compiled code and tuned baselines are kept.
        began: when the process was asked for (time.time).
        compiles: also time programs that are compiled each for itself, beside the interpreter.
    """
    configure()
    jax.config.update("jax_compilation_cache_dir", str(Path(folder, "compiled")))
    config, baselines = load_config("optimizers"), str(Path(folder, "baselines"))
    Worker(config, load_starts(config), config.proposer.name, baselines).warm_up()
    seconds = {"warm_up": time.time() - began}
    if compiles:
        seconds.update(_compiled_each(config, baselines))
    print(json.dumps(seconds))


def _compiled_each(config: Config, baselines: str) -> dict[str, float]:
    """Mean seconds a program over all tasks, full steps of one seed, by the way of running it."""
    domain = load(config.domain)
    judge = Judge(options(config), baselines)  # type: ignore[arg-type]
    judge.warm_up()
    seconds: dict[str, list[float]] = {"compiled": [], "interpreted": []}
    one_by_one = [_branching(run, judge) for run in judge.trainings if run.width > 1]
    for name in COMPILED:
        graph = canonical_graph(library.text(name), domain)
        seconds["interpreted"].append(sum(_interpreted(run, graph) for run in judge.trainings))
        if one_by_one:
            seconds.setdefault("branching", []).append(sum(_interpreted(run, graph) for run in one_by_one))
        began = time.perf_counter()
        for run in judge.trainings:
            task = run.task
            compiled(task, graph, domain.vocabulary, 1, task.learning_rates, task.steps)(0)
        seconds["compiled"].append(time.perf_counter() - began)
    return {name: fmean(taken) for name, taken in seconds.items()}


def _interpreted(run: Training, graph: Graph) -> float:
    """Seconds of one program in a training run of as many as train side by side."""
    wanted = [Wanted(run.load(graph), 0, 0)] * run.width
    began = time.perf_counter()
    run.run_all(wanted, run.task.steps)
    return (time.perf_counter() - began) / run.width


def _branching(run: Training, judge: Judge) -> Training:
    """The training runs of a task for one program at a time, compiled already."""
    capacity = Capacity(**judge.options.capacity.model_dump())
    alone = Training(run.task, LIBRARY, OPTIMIZER, capacity, width=1)
    alone.losses(alone.load(adamw(0.9, 0.999, 0.0)), 0, 1)
    return alone


def compilations(config: Config, programs: int = 64) -> dict[str, int]:
    """Counts what XLA compiles while different programs are judged, on two replicates, one in eight at all stages.

    Args:
        config: configuration of a run.
        programs: number of programs.

    Returns:
        `compilations_after_warmup`, and the number of programs, `programs_after_warmup`.
    """
    domain = load(config.domain)
    evaluator = domain.evaluator(options(config), str(cache_folder() / "baselines"))
    evaluator.warm_up()
    graphs = [graph for _, graph in population(config, programs)]
    count = 0

    def listen(event: str, duration_secs: float, **kwargs: str | int) -> None:
        del duration_secs, kwargs
        nonlocal count
        count += event == "/jax/core/compile/backend_compile_duration"

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        for i, graph in enumerate(graphs):
            evaluator.evaluate(graph, i % 2, () if i % 8 == 0 else (float("inf"),))
    finally:
        remove: Any = getattr(jax.monitoring, "unregister_event_duration_listener", None)
        if remove is not None:  # older versions have none; it then counts on for nobody
            remove(listen)
    return {"compilations_after_warmup": count, "programs_after_warmup": len(graphs)}
