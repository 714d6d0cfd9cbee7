"""The page on promotion: runs that were searched and promoted, what passed, and what did not and where it fell.

    python scripts/promotion_page.py WORK --out docs/promotion.md

WORK holds runs, and for each the folder `<run>-promotion` that `pride promote` made. The best programs over time of a
run that was searched without validation are judged here as its validation curve would have. `WORK/remarks.md` goes into
the page as it is.
"""

import json
import time
from collections.abc import Mapping, Sequence
from math import exp
from pathlib import Path
from typing import Annotated, Any

import typer

from archive.evaluation import Status
from archive.store import Store
from discovery.config import options
from discovery.device import cache_folder, configure, describe
from discovery.promote import REPORT
from discovery.promote.comparison import versus
from discovery.run import stored_config
from evaluators.domain import VALIDATION_REPLICATE, load
from evaluators.forms import canonical_graph

TABLES = ("found", "tuned")
"""Tables of a report: constants as found and published, and tuned."""
POINTS = 16
"""Points of a validation curve."""


def curve(folder: Path) -> list[dict[str, Any]]:
    """Returns the validation curve of a run: its best program over time, in the search and on larger tasks."""
    kept = folder.with_name(folder.name + "-curve.json")
    if kept.exists():
        return json.loads(kept.read_text("utf-8"))
    with Store.read(folder) as store:
        config = stored_config(store)
        domain = load(config.domain)
        progress = [figures for figures in store.progress().values() if figures["best"]]
        chosen = [progress[len(progress) * (k + 1) // POINTS - 1] for k in range(POINTS)]
        texts = {one["best"][0]["id"]: store.program(one["best"][0]["id"]) for one in chosen}
    if domain.validator is None:
        raise ValueError(f"the domain {config.domain!r} must have a validator")
    judge = domain.validator(options(config), str(cache_folder() / "baselines"))
    found = {}
    for number, record in texts.items():
        if record is None:
            raise ValueError(f"a run must hold its elites, got no program {number} in {folder}; restore a copy")
        judged = judge.evaluate(canonical_graph(record.text, domain), VALIDATION_REPLICATE)
        found[number] = judged.score if judged.status is Status.OK else None
    points = [
        {
            "candidates": one["candidates"],
            "program": one["best"][0]["id"],
            "score": one["best"][0]["score"],
            "validation": found[one["best"][0]["id"]],
        }
        for one in chosen
    ]
    kept.write_text(json.dumps(points), "utf-8")
    return points


def section(folder: Path, report: Mapping[str, Any]) -> list[str]:
    """Returns the section of one run."""
    run, entered = report["run"], report["candidates"]
    return [
        f"## From {', '.join(run['start'])}",
        "",
        f"`pride run configs/{folder.name}.yaml`, seed {run['seed']}: {run['candidates']:,} candidates,",
        f"{run['evaluations']:,} evaluations, {run['seconds'] / 60:.0f} minutes on {run['machine']['processor']},",
        f"2 cores, commit {run['machine']['commit']}. Promoted {report['date']}, {report['machine']['commit']}.",
        "",
        *verdict(report),
        "",
        "### Where the candidates fell",
        "",
        f"{len(entered)} entered, {sum(not one['fell'] for one in entered)} came to the held-out tasks. Score in the",
        "search, operations after simplification, then the mean paired score against AdamW at each stage with its",
        "bootstrap interval and the seeds spent.",
        "",
        *candidates(report),
        "",
        "### Held-out tasks, constants as found and as published",
        "",
        *losses(report, "found"),
        "",
        "The rows of `mnist_mlp` show how the rules change with the size of batches (64, 16, 256) and the length.",
        "",
        "### The same with the constants of all rules tuned",
        "",
        *(losses(report, "tuned") if "tuned" in report else ["None were tuned."]),
        "",
        "### Against the best tuned baseline",
        "",
        "log(test loss of the best of the baselines, by validation loss / the rule's), mean over paired seeds with a",
        "95 % bootstrap interval; `*`: significant after Holm's correction over all of the table (sign-flip test).",
        "",
        *against(report),
        "",
        "Over the best of all baselines and over each of them alone: median gain, in brackets the tasks where the rule",
        "is significantly better and worse, and whether it would pass; first with constants as found and published,",
        "then with those of all rules tuned.",
        "",
        *versus_each(report),
        "",
        "### Ranking",
        "",
        "Bradley-Terry log-strengths over all pairs, tasks and seeds, with a bootstrap interval over tasks; steps to",
        "target as the share of the area under the performance profile (1: always first there).",
        "",
        *ranking(report),
        "",
        "### Time",
        "",
        *times(report),
        "",
        "### Does the search overfit?",
        "",
        "The best program so far, in the search and on tasks of ten times the size (3 seeds, AdamW tuned there is 0).",
        "",
        *validation(run["validation"] or curve(folder)),
    ]


def verdict(report: Mapping[str, Any]) -> list[str]:
    """Who passes the gate, and the programs of those who were shown."""
    lines = []
    texts = {f"#{one['id']}": one for one in report["candidates"]}
    for name in report["shown"]:
        gate, tables = report["gate"][name], [report[table]["gate"][name] for table in TABLES if table in report]
        came = "" if name in report["finalists"] else f" (it fell before: {texts[name]['fell']})"
        word = f"passes the gate as `{report['promoted'].get(name)}`" if gate["passes"] else "does not pass"
        why = "" if gate["passes"] else f": {'; '.join(gate['reasons'])}"
        counts = [f"{t['median_gain']:+.3f}, {len(t['better'])} and {len(t['worse'])}" for t in tables]
        lines += [
            f"**{name}** {word}{came}{why}. Median gain and tasks (of {len(report['tasks'])}) where it is",
            f"significantly better and worse than the best baseline: {'; with constants tuned '.join(counts)}.",
            "",
            "```python",
            texts[name]["text"].rstrip(),
            "```",
            "",
        ]
    return lines or ["Nothing entered."]


def candidates(report: Mapping[str, Any]) -> list[str]:
    """The table of the funnel."""
    stages = list(dict.fromkeys(stage for one in report["candidates"] for stage in one["stages"]))
    lines = [f"| id | search | operations | {' | '.join(stages)} | fell |", f"|{' --- |' * (len(stages) + 4)}"]
    for one in report["candidates"]:
        size = one["reduction"].get("size", "")
        cells = [_scored(one["stages"].get(stage)) for stage in stages]
        fell = one["fell"].replace("|", "/")
        lines.append(f"| {one['id']} | {one['score']:+.3f} | {size} | {' | '.join(cells)} | {fell} |")
    return lines


def _scored(found: Mapping[str, Any] | None) -> str:
    if found is None or found.get("score") is None:
        return ""
    return f"{found['score']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}] ({found['seeds']})"


def losses(report: Mapping[str, Any], table: str) -> list[str]:
    """Mean test losses: tasks as rows."""
    rows = report[table]["losses"]
    names = list(next(iter(rows.values())))
    lines = [
        "Mean test loss with half of its 95 % t interval; in brackets learning rate and decay, `*` an end of the grid.",
        "",
        f"| task | {' | '.join(names)} |",
        f"|{' --- |' * (len(names) + 1)}",
    ]
    for task, found in rows.items():
        best = min((row["test"] for row in found.values() if row["test"] is not None), default=None)
        lines.append(f"| {task} | {' | '.join(_loss(found[name], best) for name in names)} |")
    return lines


def _loss(row: Mapping[str, Any], best: float | None) -> str:
    if row["test"] is None:
        return "diverged"
    text = f"{row['test']:.4g} ± {row['margin']:.2g}"
    bold = f"**{text}**" if row["test"] == best else text
    return f"{bold} ({row['rate']:.2g}{'*' * row['edge']}, {row['decay']:g})"


def against(report: Mapping[str, Any]) -> list[str]:
    """Differences to the best baseline of each task."""
    found = report["found"]
    names = report["shown"]
    lines = [f"| task | best baseline | {' | '.join(names)} |", f"|{' --- |' * (len(names) + 2)}"]
    alpha = 1.0 - report["settings"]["confidence"]
    for task, best in found["best_baseline"].items():
        cells = []
        for name in names:
            one = found["against_best"][name][task]
            star = " *" if one["corrected"] <= alpha else ""
            cells.append(f"{one['mean']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]{star}")
        lines.append(f"| {task} | {best} | {' | '.join(cells)} |")
    return lines


def versus_each(report: Mapping[str, Any]) -> list[str]:
    """How the rules stand beside each baseline alone."""
    names, tables = report["shown"], [report[table] for table in TABLES if table in report]
    lines = [f"| compared with | {' | '.join(names)} |", f"|{' --- |' * (len(names) + 1)}"]
    for rows in zip(*(versus(table, names) for table in tables), strict=True):
        cells = ("; ".join(cell) for cell in zip(*(row[1:] for row in rows), strict=True))
        lines.append(f"| {rows[0][0]} | {' | '.join(cells)} |")
    return lines


def ranking(report: Mapping[str, Any]) -> list[str]:
    """The ranking of all rules."""
    found = report["found"]
    return [
        "| rule | strength | steps to target |",
        "| --- | --- | --- |",
        *(
            f"| {one['name']} | {one['strength']:+.2f} [{one['low']:+.2f}, {one['high']:+.2f}] | "
            f"{found['profile_score'][one['name']]:.3f} |"
            for one in found["ranking"]
        ),
    ]


def times(report: Mapping[str, Any]) -> list[str]:
    """Seconds of each phase, and what racing saved."""
    race = report["race"]
    lines = ["| phase | wall (s) | work of both workers (s) |", "| --- | --- | --- |"]
    lines += [f"| {phase} | {t['wall']:.0f} | {t['work']:.0f} |" for phase, t in report["seconds"].items()]
    factor = race["seeds_without"] / max(1, race["seeds"])
    return [
        *lines,
        "",
        f"Racing spent {race['seeds']} seeds instead of {race['seeds_without']}: {factor:.1f} times fewer.",
    ]


def validation(points: Sequence[Mapping[str, Any]]) -> list[str]:
    """The validation curve."""
    lines = ["| candidates | program | in the search | ten times the size |", "| --- | --- | --- | --- |"]
    for one in points:
        shown = "diverged" if one["validation"] is None else f"{one['validation']:+.3f}"
        lines.append(f"| {one['candidates']:,} | {one['program']} | {one['score']:+.3f} | {shown} |")
    return lines


def summary(reports: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What passed, in a few lines."""
    lines = []
    for run, report in reports.items():
        passed = [f"{name} (`{promoted}`)" for name, promoted in report["promoted"].items()]
        gains = [
            f"{100 * (1 - exp(-report['found']['gate'][name]['median_gain'])):.1f} %" for name in report["promoted"]
        ]
        told = ", ".join(
            f"{one}, {gain} lower test loss on the median task" for one, gain in zip(passed, gains, strict=True)
        )
        against = report["settings"]["gate"]["against"] or report["settings"]["baselines"]
        lines.append(f"- `{run}`, gate against the best of {', '.join(against)}: {told or 'nothing passed'}.")
    return lines


def remarks(work: Path) -> list[str]:
    """What a person has to say of the runs, from `remarks.md` beside them."""
    path = work / "remarks.md"
    return [path.read_text("utf-8").rstrip(), ""] if path.exists() else []


def main(
    work: Path,
    out: Annotated[Path, typer.Option(help="Where the page goes.")] = Path("docs/promotion.md"),
) -> None:
    """Writes the page."""
    configure()
    folders = [path for path in sorted(work.iterdir()) if (path.with_name(path.name + "-promotion") / REPORT).exists()]
    reports = {
        path.name: json.loads((path.with_name(path.name + "-promotion") / REPORT).read_text("utf-8"))
        for path in folders
    }
    lines = [
        "# Promotion",
        "",
        f"`pride promote`, then `python scripts/promotion_page.py WORK`, {time.strftime('%Y-%m-%d')},",
        f"{describe()['processor']}, 2 cores. Every rule had the same trials of learning rate and decoupled weight",
        "decay, chosen by validation loss from one seed, reported by test loss from 20 others that chose nothing.",
        "",
        *summary(reports),
        "",
        *remarks(work),
    ]
    for path in folders:
        lines += [*section(path, reports[path.name]), ""]
    out.write_text("\n".join(lines).rstrip() + "\n", "utf-8")


if __name__ == "__main__":
    typer.run(main)
