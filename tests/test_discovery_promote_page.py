"""The page of a promotion: sound markup, nothing from elsewhere, everything that it must show."""

import copy
import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from itertools import pairwise
from math import inf
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from discovery import promote
from discovery.promote import drawing, finals, markup
from discovery.promote.funnel import Candidate
from discovery.promote.page import page
from evaluators.optimizers.promotion import Promotion, Stage

HOSTILE = "<script>alert('1')</script>&\""
TASKS = ("mnist_mlp", "mnist_mlp@batch=256,steps=100", "char_transformer")
BASELINES = ("adamw", "lion")
TEXT = "def train(g, lr):\n    update = lr * g\n    return update\n"
CUTS = [
    {"what": "v1 = v0 / s1 became v1 = v0", "kept": False, "size": 3, "cost": 1.2, "error": 0.3, "replicates": 2},
    {"what": "0.123 became 0.12", "kept": True, "size": 4, "cost": 0.001, "error": 0.002, "replicates": 12},
]


class Reader(HTMLParser):
    """Checks that tags are balanced; keeps tags, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self._keep(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._keep(tag, attrs)

    def _keep(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def report_of(
    gains: dict[int, float],
    entered: Sequence[int] = (),
    tasks: Sequence[str] = TASKS,
    baselines: Sequence[str] = BASELINES,
    alone: Sequence[int] = (),
    diverged: Sequence[tuple[str, str]] = (),
    tuned: bool = True,
) -> dict[str, Any]:
    """A report as `promote` makes it, with analysis and form from there and losses that are drawn.

    Args:
        gains: by number of a candidate how much better than the baselines it is; those are finalists.
        entered: numbers of other candidates.
        tasks: held-out tasks.
        baselines: what is compared with.
        alone: numbers of candidates with a decay of their own.
        diverged: tasks and rules that have no trial left.
        tuned: whether there is a second table.
    """
    stages = (Stage(name="10x", tasks=("digits_mlp_10x",)),)
    settings = Promotion(held_out=tuple(tasks), baselines=tuple(baselines), stages=stages, seeds=20)
    names = [f"#{id}" for id in gains]
    skills = {f"#{id}": gain for id, gain in gains.items()} | {f"#{id} alone": gains[id] - 0.1 for id in alone}
    skills = {name: 0.02 * i for i, name in enumerate(baselines)} | skills
    results = {"found": drawn(skills, settings, diverged)}
    if tuned:
        plain = {name: skill for name, skill in skills.items() if not name.endswith(finals.ALONE)}
        results["tuned"] = drawn(plain, settings, diverged)
    candidates = [candidate(id, "" if id in gains else f"10x: -0.0{id} after 5 seeds") for id in (*gains, *entered)]
    tables = {name: finals.analyse(found, settings, names) for name, found in results.items()}
    machine = {"processor": "AMD EPYC", "device": "cpu: cpu", "commit": "18b356c"}
    verdicts = finals.gates(tables, names, names)
    passed = [name for name in names if verdicts[name]["passes"]]
    report = {
        "date": "2026-11-26",
        "machine": machine,
        "run": {
            "folder": "mine",
            "seed": 0,
            "start": ["adamw_uncorrected"],
            "candidates": 49_600,
            "evaluations": 31_166,
            "seconds": 1620.0,
            "machine": machine,
            "search_tasks": ["digits_mlp", "char_lm"],
        },
        "settings": settings.model_dump(mode="json"),
        "tasks": {task: {"doc": f"what {task} is", "parameters": 5994, "steps": 300} for task in tasks},
        "candidates": [promote._candidate(one) for one in candidates],
        "finalists": names,
        "shown": names,
        "race": {"seeds": 70, "seeds_without": 100},
        "seconds": {"choice": {"wall": 19.6, "work": 16.2}, "simplify": {"wall": 269.4, "work": 495.2}},
        **tables,
        "gate": verdicts,
        "promoted": {name: f"adaptive_momentum_{name[1:]}" for name in passed},
        "library": "library",
    }
    return json.loads(json.dumps(promote._plain(report), allow_nan=False))


def drawn(skills: dict[str, float], settings: Promotion, diverged: Sequence[tuple[str, str]]) -> Any:
    """Results of the finals with losses of exp(-skill)."""
    rng = np.random.default_rng(1)
    found: dict[str, Any] = {}
    for task in settings.held_out:
        luck = 0.02 * rng.standard_normal((settings.seeds, 2))
        for i, (name, skill) in enumerate(skills.items()):
            losses = np.exp(luck - skill * rng.uniform(0.5, 1.5) + 0.03 * rng.standard_normal(luck.shape))
            curve = np.linspace(3.0, 1.0, settings.checkpoints)[:, None] ** (1.0 + skill) * losses[:, 0]
            lost = (task, name) in diverged
            trial = (
                None
                if lost
                else SimpleNamespace(rate=0.001 * (i + 1) if i != 1 else 1.0, decay=0.1, constants=(0.9, 0.999))
            )
            row = {"trial": trial, "valid": losses[:, 0].tolist(), "test": losses[:, 1].tolist()}
            row |= {"curve": curve.tolist()}
            if lost:
                row |= {"test": [inf] * settings.seeds, "curve": np.full(curve.shape, inf).tolist()}
            found.setdefault(task, {})[name] = row
    return found


def candidate(id: int, fell: str) -> Candidate:
    """A candidate that was simplified and went through two stages."""
    reduction = {"text": TEXT, "size": 4, "score_before": 0.1, "score_after": 0.09, "cuts": CUTS}
    score = {"score": 0.08, "low": 0.07, "high": 0.09, "seeds": 10}
    stages: dict[str, Any] = {"proxy": score, "10x": score | {"tasks": {"digits_mlp_10x": {"trial": [0.1, 0.0, []]}}}}
    return Candidate(id, 0.1, 8, TEXT + "\n", TEXT, reduction, stages, fell)


@pytest.fixture(autouse=True)
def _tasks_without_data(monkeypatch):
    """Analysis asks a task for its steps; no data are loaded for that."""
    monkeypatch.setattr(finals, "task_of", lambda name: SimpleNamespace(steps=300))


def checked(report: dict[str, Any]) -> Reader:
    """The page, after checks that hold for every report."""
    text = page(report)
    found = Reader(text)
    assert text.startswith("<!doctype html>")
    loading = {name: value or "" for name, value in found.attributes if name in ("src", "href", "srcset", "data")}
    assert not loading
    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & set(found.tags)
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert not re.search(r"@import|url\(|https?://", text)
    assert not re.search(r"\b(nan|inf|None|NaN)\b", found.text)
    for name in (*report["tasks"], *next(iter(report["found"]["losses"].values())), *report["finalists"]):
        assert name in found.text
    for one in report["candidates"]:
        assert f"#{one['id']}" in found.text
    return found


def test_page_passing():
    report = report_of({4711: 0.3, 77: -0.1}, entered=(5,), alone=(77,))
    found = checked(report)
    assert list(report["promoted"]) == ["#4711"]
    assert "1 rule passed. adaptive_momentum_4711 (#4711)" in found.text
    assert "does not pass: gains -0.0" in found.text
    assert "#77 alone" in found.text
    assert "†" in found.text
    assert "10x: -0.05 after 5 seeds" in found.text
    assert "2 left, 1 fell" in found.text
    assert "1.43 times as many" in found.text
    assert TEXT in found.text
    assert CUTS[0]["what"] in found.text
    assert "2 changes tried, 1 kept" in found.text
    assert "Validation curve" not in found.text


def test_verdicts_against_each_baseline():
    report = report_of({4711: 0.3, 77: -0.1})
    versus, gate = report["found"]["versus"], report["found"]["gate"]
    assert list(versus) == [" ".join(BASELINES), *BASELINES]
    assert versus[" ".join(BASELINES)] == gate, "a gate that names none compares with all"
    for name in ("#4711", "#77"):
        assert all(versus[one][name]["median_gain"] >= gate[name]["median_gain"] - 0.05 for one in BASELINES)
        shown = f"{gate[name]['median_gain']:+.3f} ({len(gate[name]['better'])} : {len(gate[name]['worse'])})"
        assert shown in checked(report).text


def test_page_order():
    text = checked(report_of({1: 0.2})).text
    titles = ["1 rule passed", "Ranking", "Test losses", "Against the best", "Simplified", "Ablation", "profiles"]
    titles += ["Steps to target", "Funnel", "Time", "Settings of the promotion"]
    places = [text.rindex(title) if title == "profiles" else text.index(title) for title in titles]
    assert places == sorted(places)


def test_page_nothing_passes():
    report = report_of({1: -0.3, 2: -0.1})
    assert not report["promoted"]
    found = checked(report)
    assert "Nothing passes; the nearest is #2." in found.text
    assert "(variants as one), must be 1" in found.text
    assert "nothing was added" in found.text


def test_page_no_finalists():
    report = report_of({1: 0.3, 2: -0.1})
    for one in report["candidates"]:
        one["fell"] = "10x: -0.012 after 5 seeds"
        del one["stages"]["10x"]["score"]  # as where it diverged in every trial
    report |= {"finalists": [], "promoted": {}}
    found = checked(report)
    assert "Nothing passes; the nearest is #1." in found.text
    assert "it fell before: 10x: -0.012 after 5 seeds" in found.text
    assert "0 left, 2 fell" in found.text


def test_page_single_task_and_baseline():
    checked(report_of({1: 0.2}, tasks=TASKS[:1], baselines=BASELINES[:1]))


def test_page_many():
    found = checked(report_of({i: 0.01 * i for i in range(1, 12)}, entered=range(12, 60), alone=(3, 4)))
    assert found.text.count("Against the best baseline of each task") == 11


@pytest.mark.parametrize("tuned", [True, False])
def test_page_diverged(tuned):
    everywhere = [(task, "#2") for task in TASKS]
    report = report_of({1: 0.2, 2: 0.1}, diverged=[(TASKS[0], "lion"), *everywhere], tuned=tuned)
    row = report["found"]["losses"][TASKS[0]]["#1"]
    row |= {"test": None, "margin": None, "diverged": 3}
    found = checked(report)
    assert "in every trial" in found.text
    assert "from 3 of 20 seeds" in found.text
    assert "never" in found.text
    assert ("Constants tuned" in found.text) == tuned


def test_page_all_diverge():
    rules = [*BASELINES, "#1"]
    found = checked(report_of({1: 0.1}, diverged=[(task, rule) for task in TASKS for rule in rules]))
    assert "none: most baselines diverge" in found.text


def test_page_without_simplification_and_race():
    report = report_of({1: 0.1})
    report["candidates"][0] |= {"reduction": {}, "stages": {}}
    report |= {"race": {"seeds": 0, "seeds_without": 0}, "seconds": {}}
    found = checked(report)
    assert "Ablation" not in found.text
    assert "Racing" not in found.text


@pytest.mark.parametrize("points", [1, 2, 9])
def test_page_validation(points):
    report = report_of({1: 0.1})
    report["run"]["validation"] = [
        {
            "batch": k,
            "candidates": 1000 * k,
            "program": 31337 + k,
            "score": 0.1 * k,
            "validation": None if k == 1 else 0.05,
        }
        for k in range(points)
    ]
    found = checked(report)
    assert "Validation curve" in found.text
    assert "score on validation" in found.text
    assert "31337" in found.text
    report["run"]["validation"] = []
    assert "Validation curve" not in checked(report).text


def test_page_escapes_hostile_texts():
    report = report_of({1: 0.2}, tasks=(*TASKS, HOSTILE), baselines=(*BASELINES, HOSTILE + "2"))
    harmless = checked(report_of({1: 0.2}, tasks=(*TASKS, "task"), baselines=(*BASELINES, "rule")))
    hostile = poisoned(copy.deepcopy(report))
    hostile["settings"] = report["settings"]  # whose keys and numbers are those of the program
    found = checked(hostile)
    assert sorted(found.tags) == sorted(harmless.tags)
    assert found.text.count(HOSTILE) > 60


def poisoned(value: Any) -> Any:
    """Every text that is no name of something else ends in hostile markup."""
    free = ("date", "folder", "doc", "text", "found", "fell", "what", "processor", "device", "commit", "library")
    if isinstance(value, dict):
        return {
            key: inner + HOSTILE if key in free and isinstance(inner, str) and inner else poisoned(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [one + HOSTILE if isinstance(one, str) and " " in one else poisoned(one) for one in value]
    return value


# --- markup and drawings ----------------------------------------------------------------------------------------------


def test_markup_is_escaped_once():
    inner = markup.tag("b", "a < b", title='"<')
    assert inner == '<b title="&quot;&lt;">a &lt; b</b>'
    assert markup.tag("p", inner, " & ", 1.5) == f"<p>{inner} &amp; 1.5</p>"
    assert markup.tag("p", f"{inner}").count("&lt;b") == 1  # text again, once it is no longer known as markup


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (markup.with_margin(0.22473, 0.013487), "0.225 ±\u00a00.013"),
        (markup.with_margin(1234.5, 210.0), "1234 ±\u00a0210"),
        (markup.with_margin(0.5, 0.0), "0.5"),
        (markup.ratio(0.24), "21 % lower"),
        (markup.ratio(-0.1), "11 % higher"),
        (markup.signed(None), "none"),
        (markup.probability(0.0038), "0.004"),
        (markup.probability(0.0002), "2e-04"),
        (markup.duration(96.2), "96 s"),
        (markup.duration(20_000), "5.6 h"),
        (markup.count(1, "seed"), "1 seed"),
        (markup.percent(0.95), "95 %"),
    ],
)
def test_numbers(shown, expected):
    assert shown == expected


@pytest.mark.parametrize(("low", "high"), [(-1.5, 2.2), (0.0, 1.0), (-1e-7, 3e-7), (5.0, 5e6)])
def test_ticks_are_round_few_and_inside(low, high):
    found = drawing.ticks(low, high)
    assert 2 <= len(found) <= 7
    assert all(low - 1e-9 * (high - low) <= tick <= high + 1e-9 * (high - low) for tick in found)
    steps = {float(f"{b - a:.6g}") for a, b in pairwise(found)}
    assert len(steps) == 1
    assert f"{steps.pop():e}"[0] in "125"


def test_drawings_stay_on_the_canvas():
    rows = [drawing.Dot("one", 0.1, -0.2, 0.3, ("a",)), drawing.Dot("lost", -2.0, -2.0, -2.0, ("b",), True)]
    curves = [drawing.Line(f"line {i}", [(1.0, 0.5), (4.0, 0.5)], i) for i in range(12)]
    shown = (drawing.dots(rows, "x", ("note",), 2.0), drawing.lines(curves, "x", "y", (1.0, 2.0, 4.0), (0.0, 1.0)))
    for text in (*shown, drawing.bars([("all", 0, "none left")], "bars")):
        attributes = Reader(text).attributes
        width, height = (float(one) for one in str(dict(attributes)["viewbox"]).split()[2:])
        for names, limit in ((("x", "x1", "x2", "cx"), width), (("y", "y1", "y2", "cy"), height)):
            assert all(0.0 <= float(str(value)) <= limit for name, value in attributes if name in names)
    assert shown[0].count("<path") == 1  # the arrow that stands for what is off the axis


def test_labels_of_lines_do_not_cover_each_other():
    curves = [drawing.Line(f"line {i}", [(1.0, 0.0), (2.0, 0.0)]) for i in range(20)]
    text = drawing.lines(curves, "x", "y")
    heights = sorted(float(y) for y in re.findall(r'y="([\d.]+)" text-anchor="start">line', text))
    assert len(heights) == 20
    assert min(np.diff(heights)) >= 15.9
