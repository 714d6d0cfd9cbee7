"""Commands that search and that look into a run: run, resume, show, program."""

import atexit
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from discovery.budget import parse_budget
from discovery.cli.options import Address, Gpus, Json, Overrides, RunFolder, Workers
from discovery.cli.output import INTERRUPTED, console, key_text, print_facts, print_json, print_table, remark, say

if TYPE_CHECKING:
    from discovery.config import Config
    from discovery.run import Run
    from discovery.validation import Point

FILLS_A_GPU = 512
"""Candidates in a batch that fill a GPU with the default tasks."""
VALIDATED = 25
"""Batches between two points of the validation curve of a run that is to be promoted, unless it says otherwise."""
_POINTS = 12
"""Points of the validation curve that `pride show` prints."""

_Budget = Annotated[
    str | None,
    typer.Option(
        metavar="N | TIME", help="Candidates to breed (20000) or time to search (90s, 5m, 36h), since the start."
    ),
]


def run(
    source: Annotated[
        str,
        typer.Argument(metavar="CONFIG", help="A YAML file, or the name of one that Pride ships.", show_default=False),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="New folder for the run. Default: runs/<config>-<time>.")
    ] = None,
    overrides: Overrides = None,
    budget: _Budget = None,
    workers: Workers = None,
    address: Address = None,
    gpus_per_worker: Gpus = None,
    promote: Annotated[
        bool,
        typer.Option("--promote", help="Show the validation curve while it searches, then `pride promote` the run."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Search: breed programs and keep the best of every sort.

    Shows what it finds while it searches. Ctrl-C stops it and keeps everything; `pride resume` goes on. A run is
    decided by its configuration and seed alone, not by the number of workers or by interruptions.

    Examples:
      pride run optimizers
      pride run configs/optimizers.yaml --budget 36h --out runs/long
      pride run optimizers --set seed=1 --set archive.depth=5 --budget 20000
      pride run optimizers --budget 1h --promote --set validation.then=stop
      pride run optimizers --address auto --workers 16 --gpus-per-worker 1 --set batch=8192
    """
    from discovery.config_file import find_config, load_config
    from discovery.imports import check_imports

    check_imports()
    config = load_config(source, overrides or ())
    if budget is not None:
        config = config.model_copy(update={"budget": parse_budget(budget)})
    folder = out or Path("runs") / f"{find_config(source).stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    if promote:
        config = _for_promotion(config)
    from discovery.device import gpus
    from discovery.run import Run
    from discovery.sources import slow_sources
    from evaluators.domain import load

    domain = load(config.domain)
    for line in slow_sources(config.start or domain.start, domain):
        remark(line)
    place = {"workers": workers or config.workers, "address": address, "gpus_per_worker": gpus_per_worker}
    if domain.accelerated and address is None and config.batch < FILLS_A_GPU and gpus():
        remark(
            f"a GPU trains many programs side by side: a batch of {FILLS_A_GPU} or more fills it (--set "
            f"batch={FILLS_A_GPU}), and the cores of this machine may be faster (--gpus-per-worker 0)"
        )
    stopped = _search(Run.create(config, folder), folder, place)
    if stopped or not (promote and as_json):
        _finish(folder, stopped, as_json)
    if promote:
        _promote(folder, place, as_json)


def _for_promotion(config: "Config") -> "Config":
    """The configuration with a validation curve, after all that a promotion needs was found."""
    if config.validation.every is None:
        validation = config.validation.model_copy(update={"every": VALIDATED})
        config = config.model_copy(update={"validation": validation})
    from discovery.device import configure

    configure()
    from discovery.promote import check

    check(config)
    return config


def _promote(folder: Path, place: Mapping[str, Any], as_json: bool) -> None:
    from discovery.cli.promotion import print_promotion, promoted
    from discovery.report import summary

    report = promoted(folder, place)
    if as_json:
        print_json({**summary(folder), "promotion": report})
    else:
        say()
        print_promotion(report)


def resume(
    folder: RunFolder,
    budget: _Budget = None,
    workers: Workers = None,
    address: Address = None,
    gpus_per_worker: Gpus = None,
    as_json: Json = False,
) -> None:
    """Go on with a run that was stopped, killed or came to its end.

    The result is the same as if it had never stopped. A run at its end needs a larger budget, counted from its start.

    Examples:
      pride resume runs/long
      pride resume runs/long --budget 72h --workers 8
    """
    from discovery.imports import check_imports

    check_imports()
    from discovery.run import Run

    place = {"workers": workers, "address": address, "gpus_per_worker": gpus_per_worker}
    stopped = _search(Run.resume(folder, parse_budget(budget) if budget is not None else None), folder, place)
    _finish(folder, stopped, as_json)


def show(
    folder: RunFolder,
    top: Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="How many of the best programs.")] = 10,
    as_json: Json = False,
) -> None:
    """Show a run: counters, archive and best programs; works while it runs.

    Examples:
      pride show runs/long
      pride show runs/long --top 50 --json
    """
    from discovery.report import summary

    found = summary(folder, top=top)
    if as_json:
        print_json(found)
    else:
        _print_summary(found, folder)


def program(
    folder: RunFolder,
    number: Annotated[
        int, typer.Argument(metavar="ID", max=2**63 - 1, help="Number of the program, as `pride show` prints it.")
    ],
    as_json: Json = False,
) -> None:
    """Show one program of a run: text, canonical form, lineage, evaluations.

    Example:
      pride program runs/long 4711
    """
    from discovery.report import program_report

    found = program_report(folder, number)
    if as_json:
        print_json(found)
    else:
        _print_program(found)


def _search(run: "Run", folder: Path, place: Mapping[str, Any]) -> bool:
    """Searches while a person watches; returns whether it was stopped before its end."""
    from discovery.display import watch

    with run:
        remark(f"run folder: {folder}")
        for difference in run.differences():
            remark(f"the run was begun with other machine or code, bits may differ: {difference}")
        before = run.search.merged
        try:
            with _stopping(folder) as stop, watch(console(stderr=True), str(folder), stop) as shown:
                ended = run.execute(watch=shown, stop=stop, **place)
        except KeyboardInterrupt:
            # one more would come in the middle of what libraries do at the end
            atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
            remark(f"interrupted; all but the batches in flight is kept. To go on:  pride resume {quote(str(folder))}")
            raise typer.Exit(INTERRUPTED) from None
        curve = run.search.curve
        if curve.last is not None and run.search.merged >= curve.last:
            remark(_ended_by_validation(curve.best, run.config.validation.patience))
        elif ended.finished and run.search.merged == before:
            remark(f"nothing to do: budget {run.config.budget} is used up; give a larger one, counted from the start")
    return stop.is_set() and not ended.finished


def _finish(folder: Path, stopped: bool, as_json: bool) -> None:
    _print_end(folder, as_json)
    if stopped:
        remark(f"stopped; everything is kept. To go on:  pride resume {quote(str(folder))}")
        raise typer.Exit(INTERRUPTED)


def _ended_by_validation(best: "Point | None", patience: int) -> str:
    """Why the run ended before its budget, and what to take of it."""
    found = "none was judged well" if best is None else f"the best is #{best.program} at {best.validation:+.4f}"
    return (
        f"ended by validation: {patience} programs without a new best on the larger tasks, so the search overfits; "
        f"{found}. A run with validation.then=continue goes on"
    )


@contextmanager
def _stopping(folder: Path) -> Iterator[threading.Event]:
    """Ctrl-C (or a scheduler's SIGTERM) asks once for a clean stop; the second time it interrupts."""
    stop = threading.Event()

    def tell() -> None:
        """A scheduler may kill what does not end at once (`ray job stop` after 3 s): its log says what then."""
        if not console(stderr=True).is_terminal:  # the live view says it
            remark(
                f"stopping after the batches in flight; if killed before that, they alone are lost. "
                f"To go on:  pride resume {quote(str(folder))}"
            )

    def ask(_signal: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        threading.Thread(target=tell).start()  # the signal may have come in the middle of a line

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print_end(folder: Path, as_json: bool) -> None:
    from discovery.report import summary
    from evaluators.domain import load

    found = summary(folder, top=10)
    if as_json:
        print_json(found)
        return
    _print_summary(found, folder)
    best = found.get("best")
    place = quote(str(folder))
    if best:
        say(f"\nsee the best:     pride program {place} {best['id']}")
        say(f"take it as code:  pride export {place} {best['id']} --to {load(found['domain']).exports[0]}")
        validated = found["validated"] and found["validated"]["best"]
        if validated and validated["program"] != best["id"]:
            say(f"best validated:   pride program {place} {validated['program']}")
    if not (found["validated"] and found["validated"]["ended"]):
        say(f"search longer:    pride resume {place} --budget 1h")


def _print_summary(found: Mapping[str, Any], folder: Path) -> None:
    from discovery.display import duration, failures, one_line, plural, workers

    bred = max(1, found["candidates"])
    corrected, doubted, staff = found["corrected"], found["counterfactual"], found["workers"]
    print_facts(
        {
            "run": f"{folder} ({found['domain']}, seed {found['seed']}, {_finished(found)})",
            "candidates": f"{found['candidates']:,}, {found['batches']:,} merged batches",
            "known before": ", ".join(f"{layer} {count / bred:.1%}" for layer, count in found["hits"].items()),
            "evaluations": f"{found['evaluations']:,}, {found['hurdled']:,} hurdled, {found['steps']:,} steps, "
            f"{duration(found['seconds'])}",
            "failures": failures(found["invalid"], found["failures"]),
            **({} if staff is None else {"workers": workers(staff)}),
            "archive": f"{plural(found['elites'], 'elite')} in {plural(found['cells'], 'cell')}, "
            f"coverage {found['coverage']:.1%}, QD score {found['qd_score']:.4g}",
            "evaluated again": "none"
            if corrected is None
            else f"{plural(corrected['elites'], 'elite')}, corrected QD score {corrected['qd_score']:.4g} "
            f"(by their first scores {corrected['first_qd_score']:.4g})",
            **({} if found["restarts"] is None else {"restarts": found["restarts"]}),
            **({} if found["validated"] is None else {"validation": _validation(found)}),
            **({} if not doubted else {"collisions": _collisions(doubted)}),
        }
    )
    say()
    if found["front"]:
        columns = [name for name in found["front"][0] if name != "program"]
        print_table(
            [*columns, "rule"],
            [[str(row["id"]), *(row[c] for c in columns[1:]), one_line(row["program"])] for row in found["front"]],
        )
        say("\nbest by score", style="bold")
    names = list(dict.fromkeys(name for one in found["top"] for name in one["descriptors"]))
    print_table(
        ["id", "score", "replicates", *(name.replace("_", " ") for name in names), "rule"],
        [
            [
                str(one["id"]),
                f"{one['score']:+.4f}",
                one["replicates"],
                *(one["descriptors"].get(name) for name in names),
                one_line(one["program"]),
            ]
            for one in found["top"]
        ],
    )
    if found["validation"]:
        say("\nvalidation: the best so far on larger tasks", style="bold")
        print_table(
            ["batch", "candidates", "id", "score", "validation"],
            [
                [
                    str(point["batch"]),
                    point["candidates"],
                    str(point["program"]),
                    f"{point['score']:+.4f}",
                    point["status"] if point["validation"] is None else f"{point['validation']:+.4f}",
                ]
                for point in found["validation"][-_POINTS:]
            ],
        )


def _finished(found: Mapping[str, Any]) -> str:
    if found["validated"] and found["validated"]["ended"]:
        return "ended by validation"
    return "finished" if found["finished"] else "not finished"


def _validation(found: Mapping[str, Any]) -> str:
    from discovery.display import plural

    best, overfits = found["validated"]["best"], found["validated"]["overfits"]
    told = f"{plural(len(found['validation']), 'point')}, {found['validated']['steps']:,} steps of its own"
    if best is not None:
        told += f", best {best['validation']:+.4f} (#{best['program']}, batch {best['batch']:,})"
    return f"{told}, overfitting" if overfits else told


def _collisions(doubted: Mapping[str, int]) -> str:
    evaluated, collided = doubted["evaluated"], doubted["collisions"]
    return (
        f"{collided:,} of {evaluated:,} functional hits that were evaluated all the same ({collided / evaluated:.2%})"
    )


def _print_program(found: Mapping[str, Any]) -> None:
    print_facts(
        {
            "program": str(found["id"]),
            "first of its behaviour": str(found["behaviour"]),
            **{name.replace("_", " "): value for name, value in found["descriptors"].items()},
            **{
                f"{name} key": "-" if found[key] is None else key_text(found[key])
                for name, key in (
                    ("structural", "structural"),
                    ("canonical", "canonical"),
                    ("functional", "fingerprint"),
                )
            },
        }
    )
    for title, text in (("text", found["text"]), ("canonical form", found["canonical_text"])):
        say(f"\n{title}", style="bold")
        say(text.rstrip())
    say("\nlineage", style="bold")
    print_table(
        ["id", "proposer", "batch", "score"],
        [[str(one["id"]), one["proposer"], one["batch"], one["score"]] for one in found["lineage"]],
    )
    say("\nevaluations, by task: loss at the best learning rate", style="bold")
    rows: list[Mapping[str, Any]] = found["evaluations"]
    tasks = list(dict.fromkeys(key.removesuffix(" loss") for row in rows for key in row if key.endswith(" loss")))
    print_table(
        ["replicate", "status", "score", *(task.replace("_", " ") for task in tasks)],
        [[row["replicate"], row["status"], row["score"], *(_loss(row, task) for task in tasks)] for row in rows],
    )


def _loss(row: Mapping[str, Any], task: str) -> str:
    loss, rate = row.get(f"{task} loss"), row.get(f"{task} learning rate")
    return "-" if loss is None else f"{loss:.4g}" if rate is None else f"{loss:.4g} at {rate:.2g}"
