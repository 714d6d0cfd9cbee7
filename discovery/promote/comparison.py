"""Parts of the page about the finals: ranking, losses, profiles and steps to target of all rules."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import inf
from typing import Any

from discovery.promote.drawing import Dot, Line, dots, lines
from discovery.promote.finals import ALONE
from discovery.promote.markup import (
    Html,
    count,
    details,
    figure,
    html,
    interval,
    join,
    known,
    number,
    section,
    signed,
    small,
    table,
    tag,
    with_margin,
)
from evaluators.profiles import performance_profile

TABLES = {"found": "Constants as found or published", "tuned": "Constants tuned, with as many trials for every rule"}
"""The tables of a report and their titles."""


VERSUS = (
    "Median gain over the best of all baselines and over each of them alone; in brackets the tasks where the rule is "
    "significantly better and worse, and whether it would pass in this table."
)
"""What the table of `versus` shows."""


def tables(report: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Returns the tables that a report has."""
    return {name: report[name] for name in TABLES if report.get(name)}


def rules(found: Mapping[str, Any], shown: Sequence[str]) -> list[str]:
    """Returns all rules of a table, those that were found before the baselines."""
    names = list(next(iter(found["losses"].values()), {}))
    order = [*shown, *(name for name in names if not _by_search(name, shown))]
    return sorted(names, key=lambda name: (order.index(name.removesuffix(ALONE)), name))


def _by_search(name: str, shown: Sequence[str]) -> bool:
    return name.removesuffix(ALONE) in shown


def _header(names: Sequence[str], shown: Sequence[str]) -> list[Html]:
    return [tag("b", name) if _by_search(name, shown) else html(name) for name in names]


def trials(settings: Mapping[str, Any]) -> str:
    """Returns how rules were tuned, in words."""
    rates, decays = len(settings["rates"]), len(settings["decays"])
    return f"{rates * decays} trials ({rates} learning rates x {decays} weight decays, outside of the rule)"


# --- ranking ----------------------------------------------------------------------------------------------------------


def ranking(report: Mapping[str, Any]) -> Html:
    """Returns who is better than whom over all held-out tasks."""
    settings = report["settings"]
    words = (
        f"Log-strengths of a Bradley-Terry model of test losses: sigmoid(a - b) is the chance that a rule of strength "
        f"a has a lower loss than one of strength b from the same seed on the same task; the mean is 0. Every task "
        f"counts the same, {count(settings['seeds'], 'seed')} each; a run that diverged loses. Intervals (95 %) "
        f"resample tasks, and few tasks make them too short. Each rule, baselines included, had the same "
        f"{trials(settings)}, chosen by validation loss from one other seed; on these seeds and test data nothing was "
        f"chosen. Filled: rules that were found."
    )
    parts: list[Html] = []
    for name, found in tables(report).items():
        drawn = figure(_strengths(found, report["shown"]), words if name == "found" else "As above.")
        facts = tag("div", _ranked(found, report, name), class_="wide")
        versus = figure(_versus(found, report["shown"]), VERSUS if name == "found" else "As above.")
        parts += [tag("h3", TABLES[name]), drawn, facts, versus]
    return section("Ranking", *parts, small(_columns(settings)))


def _versus(found: Mapping[str, Any], shown: Sequence[str]) -> Html:
    return table(("compared with", *_header(shown, shown)), versus(found, shown))


def versus(found: Mapping[str, Any], shown: Sequence[str]) -> list[list[str]]:
    """Returns the rows of a table: how a gate that compared with all baselines, or with one alone, would judge."""
    return [
        ["the best of all" if " " in rivals else rivals, *(_tally(judged[name]) for name in shown)]
        for rivals, judged in found["versus"].items()
    ]


def _tally(judged: Mapping[str, Any]) -> str:
    passes = ", passes" if judged["passes"] else ""
    return f"{signed(judged['median_gain'])} ({len(judged['better'])} : {len(judged['worse'])}){passes}"


def _columns(settings: Mapping[str, Any]) -> str:
    return (
        f"Profile score: area under the performance profile, in [0, 1], 1 where a rule is the fastest to the target on "
        f"every task. Median gain: median over tasks of log(best baseline's test loss / the rule's). Better and worse: "
        f"tasks where that differs from 0 at the level {1.0 - settings['confidence']:.2g} after Holm's correction over "
        f"all tasks and rules that were found."
    )


def _strengths(found: Mapping[str, Any], shown: Sequence[str]) -> Html:
    rows = [
        Dot(one["name"], one["strength"], one["low"], one["high"], strong=_by_search(one["name"], shown))
        for one in found["ranking"]
    ]
    return dots(rows, "Bradley-Terry log-strength, higher is better")


def _ranked(found: Mapping[str, Any], report: Mapping[str, Any], name: str) -> Html:
    rows = []
    for place, one in enumerate(found["ranking"], 1):
        judged = found["gate"].get(one["name"])
        tallies: tuple[object, ...] = ("", "", "")
        if judged:
            tallies = (signed(judged["median_gain"]), len(judged["better"]), len(judged["worse"]))
        rows.append(
            (
                *_header([one["name"]], report["shown"]),
                place,
                f"{signed(one['strength'])} {interval(one['low'], one['high'])}",
                number(found["profile_score"].get(one["name"])),
                *tallies,
                verdict(one["name"], report, name),
            )
        )
    header = ("rule", "place", "strength", "profile score", "median gain", "better", "worse", "verdict")
    return table(header, rows, (0, 7))


def verdict(name: str, report: Mapping[str, Any], which: str = "found") -> str:
    """Returns what became of a rule, in words: both tables decide."""
    judged = report["gate"].get(name)
    if judged is None:
        return "a decay of its own, none outside" if name.endswith(ALONE) else "baseline"
    if name in report["promoted"]:
        return f"passes, as {report['promoted'][name]}"
    return f"does not pass: {'; '.join(judged['reasons'])}" if judged["reasons"] else "passes"


# --- losses -----------------------------------------------------------------------------------------------------------


def losses(report: Mapping[str, Any]) -> Html:
    """Returns test losses on held-out tasks."""
    settings = report["settings"]
    seeds = count(settings["seeds"], "fresh seed")
    words = {
        "found": (
            f"Mean test loss over {seeds}, the same ones for all rules, ± half of the 95 % t interval; below it the "
            f"learning rate and the decoupled weight decay that were chosen by validation loss from one other seed "
            f"among the same {trials(settings)}. Nothing was chosen by test loss; best baseline: by validation loss. "
            f"Bold: the lowest of its row. † the rate is an end of the grid, so a better one may lie beyond."
        ),
        "tuned": (
            f"The same, where every rule, baselines included, also tried {count(settings['constants'], 'setting')} of "
            f"its constants (its own first) at three learning rates by validation loss from the seed of the sweep; the "
            f"third line has those that were chosen, in the order of the text of the rule, or says that its own are "
            f"the best."
        ),
    }
    parts: list[Html] = []
    for name, found in tables(report).items():
        names = rules(found, report["shown"])
        rows = [_loss_row(task, names, found, report, name) for task in found["losses"]]
        header = ("task", *_header(names, report["shown"]))
        parts += [tag("h3", TABLES[name]), figure(table(header, rows), words[name])]
    return section("Test losses on held-out tasks", *parts)


def _loss_row(
    task: str, names: Sequence[str], found: Mapping[str, Any], report: Mapping[str, Any], name: str
) -> list[Html]:
    row, about = found["losses"][task], report["tasks"].get(task, {})
    finite = [row[one]["test"] for one in names if known(row[one]["test"])]
    least = min(finite, default=None)
    head = [html(task)]
    if about:
        head += [small(about["doc"]), small(f"{about['parameters']:,} parameters, {about['steps']:,} steps")]
    head += [small(f"best baseline: {found['best_baseline'][task]}")]
    seeds = report["settings"]["seeds"]
    return [join(head), *(_loss(row[one], least, name == "tuned", seeds) for one in names)]


def _loss(cell: Mapping[str, Any], least: float | None, tuned: bool, seeds: int) -> Html:
    if cell["rate"] is None:
        return join([tag("span", "diverged", class_="bad"), small("in every trial")])
    mark = tag("b", "†", title="the rate is an end of the grid") if cell["edge"] else ""
    remarks = [small("rate ", number(cell["rate"]), mark), small(f"decay {cell['decay']:g}")]
    if tuned:
        constants = ", ".join(number(one) for one in cell["constants"] or ())
        remarks.append(small(constants or "its own"))
    if known(cell["test"]):
        shown = with_margin(cell["test"], cell["margin"])
        first = tag("b", shown) if cell["test"] == least else html(shown)
    else:
        first = tag("span", "diverged", small(f"from {cell['diverged']} of {count(seeds, 'seed')}"), class_="bad")
    return join([first, *remarks])


# --- speed ------------------------------------------------------------------------------------------------------------


def profiles(report: Mapping[str, Any]) -> Html:
    """Returns performance profiles over the held-out tasks."""
    words = (
        "Share of held-out tasks that a rule takes to the target in at most tau times the steps of the fastest rule "
        "(lower median over seeds); at tau = 1 the share where it is the fastest itself. A task whose target it mostly "
        "misses counts against it at every tau, and one that nobody solves counts against all. Lines are drawn a "
        "little apart where they coincide."
    )
    parts: list[Html] = []
    for name, found in tables(report).items():
        names = [one for one in rules(found, report["shown"]) if one in found["profile"]]
        taus = found["profile"]["taus"]
        curves = _exact(found, names, taus[-1])
        series = [
            Line(
                one,
                curves[one],
                place,
                _by_search(one, report["shown"]),
                False,
                False,
                min(2.0, 10.0 / len(names)) * (place - (len(names) - 1) / 2.0),
            )
            for place, one in enumerate(names)
        ]
        drawn = lines(series, "tau, steps / fewest steps (log scale)", "share of tasks", taus, (-0.05, 1.05))
        rows = [(one, *(number(share) for share in found["profile"][one])) for one in names]
        exact = details("As numbers", tag("div", table(("rule", *(f"{tau:g}" for tau in taus)), rows), class_="wide"))
        parts += [tag("h3", TABLES[name]), figure(drawn, words if name == "found" else "As above."), exact]
    return section("Performance profiles", *parts)


def _exact(found: Mapping[str, Any], names: Sequence[str], limit: float) -> dict[str, list[tuple[float, float]]]:
    """Corners of the profiles, with their jumps where they are and not at some factors only."""
    tasks = found["steps"].values()
    costs = {name: [_cost(task["steps"].get(name)) for task in tasks] for name in names}
    fewest = [min(column) for column in zip(*costs.values(), strict=True)]
    ratios = {cost / least for row in costs.values() for cost, least in zip(row, fewest, strict=True) if least < inf}
    taus = sorted({1.0, limit, *(ratio for ratio in ratios if 1.0 <= ratio <= limit)})
    corners = {}
    for name, shares in performance_profile(costs, taus).items():
        heights = shares.tolist()
        corners[name] = [(taus[0], heights[0])]
        for tau, (before, after) in zip(taus[1:], pairwise(heights), strict=True):
            corners[name] += [(tau, before), (tau, after)] if after > before else [(tau, after)]
    return corners


def _cost(steps: float | None) -> float:
    return steps if known(steps) else inf


def steps(report: Mapping[str, Any]) -> Html:
    """Returns steps to target by task."""
    words = (
        "Training steps until the validation loss first reaches the target, lower median over seeds. The target of a "
        "task is the median over baselines of the lowest loss that each comes to, so half of them reach it and none "
        'sets it alone; "never" where most seeds of a rule miss it. Bold: the fewest of its row.'
    )
    parts: list[Html] = []
    for name, found in tables(report).items():
        names = [one for one in rules(found, report["shown"]) if one in found["profile"]]
        rows = [_steps_row(task, one, names) for task, one in found["steps"].items()]
        header = ("task", "target", *_header(names, report["shown"]))
        parts += [tag("h3", TABLES[name]), figure(table(header, rows), words if name == "found" else "As above.")]
    return section("Steps to target", *parts)


def _steps_row(task: str, found: Mapping[str, Any], names: Sequence[str]) -> list[Html]:
    taken = [found["steps"].get(one) for one in names]
    fewest = min((one for one in taken if known(one)), default=None)
    cells = [tag("b" if one == fewest else "span", f"{one:g}") if known(one) else tag("i", "never") for one in taken]
    if not known(found["target"]):
        cells = [html("") for _ in names]
    target = html(number(found["target"], 4) if known(found["target"]) else "none: most baselines diverge")
    return [join([html(task), small(f"of {found['total']:,}")]), target, *cells]
