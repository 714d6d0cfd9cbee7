"""Parts of a long piece of work, each in a process and on a core of its own; what is finished is found again."""

import json
import os
import queue
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from archive.evaluation import Status
from archive.store import Store
from discovery.config import Config, options
from discovery.device import cache_folder, configure, describe
from evaluators.domain import load
from evaluators.forms import canonical_graph

FRESH = tuple(range(100, 110))
"""Replicates that judge what a search found; searches use those from 0."""

Asked = tuple[str, Path, dict[str, Any]]
"""Kind, folder and details of a part; all that decides its result must be among the details."""


def run(parts: Sequence[Asked], work: Path, script: Path, cores: int | None) -> list[dict[str, Any]]:
    """Works off the parts that are not finished and returns the results of all.

    Args:
        parts: what is to be done.
        work: the folder of it all.
        script: who works off a part: `script work --job JSON` calls `work_off`.
        cores: parts at a time; None means one a core.

    Raises:
        ValueError: a part failed, or a folder holds a result of other details.
    """
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    lanes = cores or len(usable)
    free: queue.Queue[int | None] = queue.Queue()
    for lane in range(lanes):  # more parts than cores: left to the system
        free.put(usable[lane] if lanes <= len(usable) and hasattr(os, "sched_setaffinity") else None)
    with ThreadPoolExecutor(lanes) as pool:
        waiting = [pool.submit(_one, part, work, script, free) for part in parts]
        try:
            return [one.result() for one in waiting]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def fresh(config: Config, program: str, replicates: Iterable[int]) -> list[dict[str, float]]:
    """Judges a program at the last stage; returns its score on each task by replicate.

    The losses are on the validation examples, as in a search: initial parameters and batch order are what is new. Where
    it diverged on one task it gets the worst score on all.

    Raises:
        ValueError: the search itself may use these replicates.
    """
    replicates = list(replicates)
    if config.replicates > min(replicates):
        raise ValueError(f"replicates must be at most {min(replicates)}, got {config.replicates}; the rest judges anew")
    domain, section = load(config.domain), options(config)
    evaluator = domain.evaluator(section, str(cache_folder() / "baselines"))
    last = len(domain.stages(section)) - 1
    scores = []
    for replicate in replicates:
        found = evaluator.evaluate(canonical_graph(program, domain), replicate, (), range(last, last + 1))
        worst = dict.fromkeys(config.evaluation["tasks"], config.archive.qd_offset)
        judged = {name: task.score for name, task in found.tasks.items()}
        scores.append(judged if found.status is Status.OK else worst)
    return scores


def command(work: Path) -> str:
    """Returns the command line of this process, without the places of the machine it ran on."""
    arguments = ["WORK" if Path(argument) == work else argument for argument in sys.argv[1:]]
    return f"python scripts/{' '.join([Path(sys.argv[0]).name, *arguments])}"


def work_off(job: str, work: Path, do: Callable[[str, dict[str, Any]], dict[str, Any]]) -> None:
    """Works off one part in this process, on the core it is given, and keeps its result.

    Args:
        job: what `run` passes on as `--job`.
        work: the folder of it all.
        do: gives the result of a part by its kind and its details.
    """
    asked = json.loads(job)
    if asked["core"] is not None:
        os.sched_setaffinity(0, {asked["core"]})
    configure()
    result = do(asked["kind"], asked["detail"])
    file = work / asked["folder"] / "result.json"
    part = file.with_suffix(".part")
    part.write_text(json.dumps(result), "utf-8")
    part.replace(file)


def _one(part: Asked, work: Path, script: Path, free: "queue.Queue[int | None]") -> dict[str, Any]:
    kind, folder, detail = part
    detail = json.loads(json.dumps(detail))
    folder.mkdir(parents=True, exist_ok=True)
    asked, result = folder / "asked.json", folder / "result.json"
    if asked.exists() and json.loads(asked.read_text("utf-8")) != detail:
        raise ValueError(f"{folder} must hold what is asked for, got other settings; remove it or take another WORK")
    asked.write_text(json.dumps(detail), "utf-8")
    if not result.exists():
        core = free.get()
        try:
            print(f"begins: {folder.relative_to(work)}", file=sys.stderr, flush=True)
            job = {"kind": kind, "folder": str(folder.relative_to(work)), "detail": detail, "core": core}
            worker = [sys.executable, str(script), str(work), "--job", json.dumps(job)]
            with (folder / "log.txt").open("w") as log:
                ended = subprocess.run(worker, stdout=log, stderr=log, check=False)
        finally:
            free.put(core)
        if ended.returncode != 0 or not result.exists():
            raise ValueError(f"every part must come to its end, got exit status {ended.returncode}: see {log.name}")
    return json.loads(result.read_text("utf-8"))


def elsewhere(runs: Iterable[Path]) -> list[str]:
    """Returns a line of a page that names the commits of its searches, where they are not that of the page itself."""
    commits = set()
    for folder in runs:
        with Store.read(folder) as store:
            commits.add(store.meta["machine"]["commit"])
    commits -= {describe()["commit"]}
    return [f"The searches ran at {', '.join(sorted(commits))}."] if commits else []
