"""Parts of the page about candidates: what the finalists are, and where the others fell."""

from collections.abc import Mapping, Sequence
from typing import Any

from discovery.promote.comparison import TABLES, tables, verdict
from discovery.promote.drawing import Dot, bars, dots
from discovery.promote.markup import (
    Html,
    count,
    details,
    figure,
    interval,
    join,
    known,
    percent,
    probability,
    section,
    signed,
    small,
    table,
    tag,
)
from evaluators.statistics import CLIP

AXIS = "log(best baseline / rule), higher is better"
MANY = 12
"""Rows of a table that is shown without being asked for."""


def finalists(report: Mapping[str, Any]) -> list[Html]:
    """Returns a section for each rule that was shown the held-out tasks."""
    by_name = {f"#{one['id']}": one for one in report["candidates"]}
    return [_finalist(name, by_name[name], report) for name in report["shown"]]


def _finalist(name: str, candidate: Mapping[str, Any], report: Mapping[str, Any]) -> Html:
    title = name + (f", {report['promoted'][name]}" if name in report["promoted"] else "")
    reduction = candidate["reduction"]
    fell = small("Fell before the finals: ", candidate["fell"]) if candidate["fell"] else ""
    size = f", {count(reduction['size'], 'operation')} once simplified" if reduction else ""
    return section(
        title,
        tag("p", f"{verdict(name, report).capitalize()}. Score in the search {signed(candidate['score'])}", size, "."),
        fell,
        tag("h3", "Against the best baseline of each task"),
        *_forests(name, report),
        tag("h3", "Simplified"),
        tag("pre", candidate["text"]),
        details("As the search found it", tag("pre", candidate["found"])),
        *([_ablation(reduction, report["settings"])] if reduction else []),
    )


# --- against the best baseline ----------------------------------------------------------------------------------------


def _forests(name: str, report: Mapping[str, Any]) -> list[Html]:
    """The differences to the best baseline by task, one drawing a table."""
    confidence = report["settings"]["confidence"]
    rules = len(report["shown"])
    words = (
        f"log(test loss of the best baseline / the rule's), mean over {count(report['settings']['seeds'], 'seed')}; "
        f"above 0 the rule is better, +0.05 by about 5 %. Losses are paired: both have the same initial weights and "
        f"order of batches on each seed. The baseline is the one with the lowest validation loss on the task, so it "
        f"is not chosen by what is compared. Whiskers: bootstrap over seeds at {percent(confidence)}, somewhat short "
        f"where seeds are few. p: two-sided sign-flip test, corrected (Holm) over all {len(report['tasks'])} tasks of "
        f"{count(rules, 'rule')}; it decides. Filled: p at most {1.0 - confidence:.2g}. "
        f"A run that diverged counts as {CLIP:g} in log; an arrow points to what is off the axis."
    )
    parts: list[Html] = []
    for table_name, found in tables(report).items():
        rows = [
            Dot(
                task,
                one["mean"],
                one["low"],
                one["high"],
                (
                    f"{signed(one['mean'])} {interval(one['low'], one['high'])}",
                    probability(one["corrected"]),
                    found["best_baseline"][task],
                ),
                one["corrected"] <= 1.0 - confidence + 1e-12,
            )
            for task, one in found["against_best"][name].items()
        ]
        drawn = dots(rows, AXIS, ("mean and interval", "p", "baseline"), CLIP)
        parts += [tag("h4", TABLES[table_name]), figure(drawn, words if table_name == "found" else "As above.")]
    return parts


# --- simplification ---------------------------------------------------------------------------------------------------


def _ablation(reduction: Mapping[str, Any], settings: Mapping[str, Any]) -> Html:
    cuts = reduction["cuts"]
    kept = [cut for cut in cuts if cut["kept"]]
    words = (
        f"Every change that was tried, in order. Cost: score of the rule as found minus score with this change and all "
        f"that were kept before it, paired by replicate, ± half of the 95 % t interval, on replicates that the search "
        f"never used. A change stays if it is not significantly harmful (one-sided t-test at 0.05) and costs "
        f"{settings['margin']:g} at most after {settings['replicates']} replicates; a harmful one is given up sooner. "
        f"Not corrected for the number of changes. Score before {signed(reduction['score_before'])}, after "
        f"{signed(reduction['score_after'])}, on the replicates that the changes were chosen on: the stages of "
        f"the funnel judge again."
    )
    header = ("change", "kept", "operations", "cost", "replicates")
    rows = [
        (
            tag("code", cut["what"]),
            tag("b", "kept") if cut["kept"] else "no",
            cut["size"],
            f"{signed(cut['cost'])} ± {cut['error']:.3f}" if known(cut["cost"]) and known(cut["error"]) else "none",
            cut["replicates"],
        )
        for cut in cuts
    ]
    summary = f"Ablation: {count(len(cuts), 'change')} tried, {len(kept)} kept"
    return details(summary, figure(table(header, rows, (0, 1)), words), shown=len(cuts) <= MANY)


# --- funnel -----------------------------------------------------------------------------------------------------------


def funnel(report: Mapping[str, Any]) -> Html:
    """Returns how many candidates entered, where each fell and why."""
    settings, candidates = report["settings"], report["candidates"]
    stages = [stage["name"] for stage in settings["stages"]]
    gates = ["choice", "simplify", *stages]
    where = [_where(one["fell"], stages) for one in candidates if one["fell"]]
    left, rows = len(candidates), [("enter", len(candidates), count(len(candidates), "candidate"))]
    for gate in gates:
        fallen = where.count(gate)
        left -= fallen
        rows.append((gate, left, f"{left} left" + (f", {fallen} fell" if fallen else "")))
    tasks = "; ".join(f"{stage['name']}: {', '.join(stage['tasks'])}" for stage in settings["stages"])
    words = (
        f"Candidates left after each step. Choice: the best elites of the archive that behave differently on a larger "
        f"task. Simplify: those that are still different once they are simplified. Then the stages, on seeds that "
        f"nothing was chosen on: {tasks or 'none here'}."
    )
    level = percent(settings["confidence"])
    scores = (
        f"Search: its score, where 0 is its tuned baseline. Stages: mean over tasks and seeds "
        f"of log(validation loss of {settings['baselines'][0]} / the rule's), both tuned alike and paired by seed. "
        f"With bootstrap intervals ({level}) and the seeds that were spent. The score of the search is biased upwards, "
        f"for elites were chosen by it. Races end early at {level}, corrected (Bonferroni) for all looks at a "
        f"candidate; the intervals are not corrected."
    )
    each = figure(_fates(candidates, stages), scores)
    return section(
        "Funnel",
        figure(bars(rows, "candidates left"), words),
        details("Each candidate", each, shown=len(candidates) <= 2 * MANY),
    )


def _where(fell: str, stages: Sequence[str]) -> str:
    """The step where a candidate fell, from what is said of it."""
    named = [step for step in (*stages, "simplify", "held-out") if fell.startswith(f"{step}: ")]
    return max(named, key=len) if named else "simplify" if fell.startswith("is #") else "choice"


def _fates(candidates: Sequence[Mapping[str, Any]], stages: Sequence[str]) -> Html:
    rows = []
    for one in sorted(candidates, key=_progress):
        reduction = one["reduction"]
        search = join([signed(one["score"]), small(count(one["replicates"], "replicate"))])
        fate = one["fell"] or tag("b", "finalist")
        cells = [_score(one["stages"].get(stage, {})) for stage in stages]
        rows.append((f"#{one['id']}", search, reduction["size"] if reduction else "", *cells, fate))
    header = ("candidate", "search", "operations", *stages, "fate")
    return table(header, rows, (0, len(header) - 1))


def _progress(one: Mapping[str, Any]) -> tuple[bool, int, float]:
    """Sorts finalists first, then those that came far."""
    scores = [stage["score"] for stage in one["stages"].values() if known(stage.get("score"))]
    return bool(one["fell"]), -len(scores), -(scores[-1] if scores else one["score"])


def _score(found: Mapping[str, Any]) -> object:
    if not known(found.get("score")):
        return ""
    seeds = count(found["seeds"], "seed") if "seeds" in found else ""
    return join([signed(found["score"]), small(interval(found.get("low"), found.get("high"))), small(seeds)])
