"""The command that promotes: promote."""

from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer

from discovery.cli.options import Address, Gpus, Json, RunFolder, Workers
from discovery.cli.output import INTERRUPTED, console, print_json, print_table, remark, say


def promote(
    folder: RunFolder,
    top: Annotated[
        int | None, typer.Option(min=1, max=10_000, metavar="N", help="Elites that enter. Default: promotion.top.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the promotion. Default: DIR-promotion.")
    ] = None,
    library: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Where rules that pass go. Default: `library` in that folder.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Set a value of the section `promotion`, `gate.lead=2` say."),
    ] = None,
    workers: Workers = None,
    address: Address = None,
    gpus_per_worker: Gpus = None,
    as_json: Json = False,
) -> None:
    """Take the best rules of a run through the funnel, from simplification to held-out tasks and into a library.

    Elites of different cells are simplified statement by statement, judged on fresh seeds, then on tasks of 10 and 100
    times the compute, and the finalists on tasks that no search saw, beside baselines with the same trials. What passes
    the gate becomes an entry of a library. Ctrl-C stops it; the same command goes on, and repeats nothing.

    Examples:
      pride promote runs/long
      pride promote runs/long --top 40 --library my_rules
      pride promote runs/long --set gate.lead=2 --set constants=0
      pride promote runs/long --address auto --workers 100
    """
    from discovery.imports import check_imports

    check_imports()
    changed = top is not None or bool(overrides)
    settings = _settings(folder, top, overrides or []) if changed else None
    place = {"workers": workers, "address": address, "gpus_per_worker": gpus_per_worker}
    report = promoted(folder, place, out, library, settings)
    if as_json:
        print_json(report)
    else:
        print_promotion(report)


def promoted(
    folder: Path,
    place: Mapping[str, Any],
    out: Path | None = None,
    library: Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Promotes a run on workers of some place while a person watches; returns the report."""
    from discovery.promote import promote as work
    from discovery.promote.display import watch

    try:
        with watch(console(stderr=True), f"promotion of {folder}") as shown:
            return work(folder, out, library, settings, watch=shown, **place)
    except KeyboardInterrupt:
        more = "" if settings is None and out is None and library is None else " with the same options"
        remark(f"interrupted; what is measured is kept. To go on:  pride promote {quote(str(folder))}{more}")
        raise typer.Exit(INTERRUPTED) from None


def _settings(folder: Path, top: int | None, overrides: list[str]) -> dict[str, Any]:
    """The section `promotion` of the run, with what the command line changes."""
    from archive.store import Store
    from discovery.run import stored_config
    from discovery.settings import override

    with Store.read(folder) as store:
        settings = dict(stored_config(store).promotion)
    for assignment in overrides:
        override(settings, assignment.removeprefix("promotion."))
    return settings | ({} if top is None else {"top": top})


def print_promotion(report: Mapping[str, Any]) -> None:
    """Prints the ranking, what passed, and where to look."""
    found = report["found"]
    if not report["finalists"]:
        say("No candidate came as far as the held-out tasks; the nearest are shown.", style="bold")
    print_table(
        ["rule", "strength", "profile score", "median gain", "better", "worse", "verdict"],
        [_row(one, found, report) for one in found["ranking"]],
    )
    for name, promoted in report["promoted"].items():
        say(f"{name} passes: {promoted}")
    if not report["promoted"]:
        say("Nothing passes the gate.")
    say(f"\nthe whole report:  {report['page']}")
    for name in report["promoted"].values():
        say(f"see a rule:        pride library show {name} --library {quote(report['library'])}")


def _row(one: Mapping[str, Any], found: Mapping[str, Any], report: Mapping[str, Any]) -> list[Any]:
    name = one["name"]
    share = found["profile_score"][name]
    verdict = found["gate"].get(name)
    judged = report["gate"].get(name)
    if verdict is None or judged is None:
        return [name, f"{one['strength']:+.2f}", f"{share:.3f}", None, None, None, ""]
    word = "passes" if judged["passes"] else "; ".join(judged["reasons"])
    gain = f"{verdict['median_gain']:+.3f}"
    return [name, f"{one['strength']:+.2f}", f"{share:.3f}", gain, len(verdict["better"]), len(verdict["worse"]), word]
