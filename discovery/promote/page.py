"""The report of a promotion as one page of HTML that needs nothing else: no script, no network."""

import json
from collections.abc import Mapping
from typing import Any

from discovery.promote import candidates, comparison
from discovery.promote.drawing import Line, lines
from discovery.promote.markup import (
    Html,
    count,
    details,
    duration,
    facts,
    figure,
    known,
    ratio,
    section,
    signed,
    table,
    tag,
)
from discovery.promote.style import STYLE
from evaluators.optimizers.promotion import Promotion

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""What a browser may load: nothing."""


def page(report: Mapping[str, Any]) -> str:
    """Returns the page.

    Args:
        report: what `promote` returns, null in place of infinite numbers.
    """
    title = f"Promotion of {report['run']['folder']}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Html(STYLE)),
    )
    parts = [
        _headline(title, report),
        comparison.ranking(report),
        comparison.losses(report),
        *candidates.finalists(report),
        comparison.profiles(report),
        comparison.steps(report),
        candidates.funnel(report),
        _seconds(report),
        *_validation(report["run"].get("validation") or ()),
        _settings(report),
    ]
    return f"<!doctype html>\n{tag('html', head, tag('body', tag('main', *parts)), lang='en')}\n"


# --- headline ---------------------------------------------------------------------------------------------------------


def _headline(title: str, report: Mapping[str, Any]) -> Html:
    run, machine = report["run"], report["machine"]
    known_facts = {
        "date": report["date"],
        "machine": f"{machine.get('processor', 'unknown')}, {machine.get('device', 'unknown')}",
        "Pride": machine.get("commit", "unknown"),
        "search": f"{run['candidates']:,} candidates, {run['evaluations']:,} evaluations, {duration(run['seconds'])}",
        "started from": ", ".join(run["start"]),
        "seed": run["seed"],
        "searched on": ", ".join(run["search_tasks"]),
        "library": report["library"] if report["promoted"] else "nothing was added",
    }
    return tag("header", tag("h1", title), _outcome(report), facts(known_facts))


def _outcome(report: Mapping[str, Any]) -> Html:
    """What passed, or what came nearest and why it did not."""
    gates, verdicts, tasks = report["found"]["gate"], report["gate"], count(len(report["tasks"]), "held-out task")
    if report["promoted"]:
        parts = [tag("b", f"{count(len(report['promoted']), 'rule')} passed."), " "]
        for name, entry in report["promoted"].items():
            parts += [tag("b", entry), f" ({name}) {_summary(gates[name], tasks)} "]
        return tag("p", *parts, class_="good outcome")
    if not gates:
        return tag("p", tag("b", "Nothing passes."), class_="outcome")
    nearest = min(
        gates,
        key=lambda name: (name not in report["finalists"], len(verdicts[name]["reasons"]), -gates[name]["median_gain"]),
    )
    fell = next((one["fell"] for one in report["candidates"] if f"#{one['id']}" == nearest), "")
    reasons = [*([f"it fell before: {fell}"] if fell else []), *verdicts[nearest]["reasons"]]
    return tag(
        "p",
        tag("b", f"Nothing passes; the nearest is {nearest}."),
        f" It {_summary(gates[nearest], tasks)} Why it does not pass: {'; '.join(reasons) or 'no reason is given'}.",
        class_="outcome",
    )


def _summary(judged: Mapping[str, Any], tasks: str) -> str:
    gain = judged["median_gain"]
    return (
        f"is significantly better than the best tuned baseline on {len(judged['better'])} of {tasks} and worse on "
        f"{len(judged['worse'])}; on the median task log(best baseline's test loss / its own) is {signed(gain)}, a "
        f"loss {ratio(gain)}."
    )


# --- cost -------------------------------------------------------------------------------------------------------------


def _seconds(report: Mapping[str, Any]) -> Html:
    spent, race = report["seconds"], report["race"]
    rows: list[tuple[object, ...]] = [
        (phase, duration(one["wall"]), duration(one["work"])) for phase, one in spent.items()
    ]
    total = [duration(sum(one[sort] for one in spent.values())) for sort in ("wall", "work")]
    rows.append(tuple(tag("b", one) for one in ("all", *total)))
    words = (
        "Wall: how long a phase took. Work: seconds of all workers together, those of a promotion that was "
        "interrupted and resumed included."
    )
    saved = ""
    if race.get("seeds"):
        factor = race["seeds_without"] / race["seeds"]
        saved = tag(
            "p",
            f"Racing: {race['seeds']:,} seeds were trained in the stages of the funnel, {race['seeds_without']:,} "
            f"would have been without it: {factor:.2f} times as many. A race stops for candidates "
            f"that are known to be worse or better than the reference.",
        )
    return section("Time", figure(table(("phase", "wall", "work"), rows), words), saved)


def _validation(curve: Any) -> list[Html]:
    """The validation curve, or nothing where the run has none."""
    sorts = (("score in the search", "score", False), ("score on validation", "validation", True))
    series = [
        Line(label, points, colour, strong)
        for colour, (label, key, strong) in enumerate(sorts)
        if (points := [(one["candidates"], one[key]) for one in curve if known(one.get(key))])
    ]
    if not series:
        return []
    words = (
        "The best program of the run at some points of the search: its score as the search saw it, which it was chosen "
        "by, and its score on larger tasks that breeding never sees. Where the first climbs and the second does not, "
        "the search overfits its small tasks."
    )
    rows = [
        (one["candidates"], one["batch"], one["program"], signed(one["score"]), signed(one["validation"]))
        for one in curve
    ]
    numbers = table(("candidates", "batch", "program", "search", "validation"), rows, ())
    drawn = lines(series, "candidates", "score, higher is better")
    return [
        section("Validation curve", figure(drawn, words), details("As numbers", tag("div", numbers, class_="wide")))
    ]


# --- settings ---------------------------------------------------------------------------------------------------------


def _settings(report: Mapping[str, Any]) -> Html:
    rows = []
    for name, value in report["settings"].items():
        field = Promotion.model_fields.get(name)
        shown = tag("code", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        rows.append((name, shown, field.description if field and field.description else ""))
    machines = [
        (key, *(one.get(key, "") for one in (report["machine"], report["run"].get("machine", {}))))
        for key in dict.fromkeys([*report["machine"], *report["run"].get("machine", {})])
    ]
    return section(
        "Settings",
        details(
            "Settings of the promotion",
            tag("div", table(("setting", "value", "meaning"), rows, (0, 1, 2)), class_="wide"),
        ),
        details("Machines", tag("div", table(("", "promotion", "search"), machines, (0, 1, 2)), class_="wide")),
    )
