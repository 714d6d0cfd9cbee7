"""Promotion: simplification, races, gate, and a whole one on small tasks that is killed and goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import SEARCHED, programs

from archive import library
from archive.elite import Elite
from archive.ledger import Ledger
from discovery.cli.app import main
from discovery.cli.promotion import print_promotion
from discovery.config_file import build
from discovery.executors import Finished, make_executor
from discovery.promote import LEDGER, PAGE, REPORT, View, beside, check, entry, finals, promote
from discovery.promote.display import panel
from discovery.promote.entry import rule_name, with_decay
from discovery.promote.funnel import Candidate, Funnel, alike
from discovery.promote.measure import Bench
from discovery.promote.reduce import knock_outs, reduce, rounded
from discovery.promote.units import PromotionWorker, Report, Simplify, Sweep
from discovery.run import Run
from evaluators.domain import load
from evaluators.forms import canonical_graph, canonical_text
from evaluators.optimizers.contenders import baseline, contender_of, settings_of
from evaluators.optimizers.promotion import LEAST, Promotion, Stage
from evaluators.optimizers.trials import Contender, Trial, Trials, task_of
from evaluators.statistics import Difference, difference
from primitives.ops import LIBRARY
from primitives.program import OPTIMIZER, with_open
from primitives.simplify import canonical_key
from primitives.text import parse, render

ROOT = Path(__file__).parent.parent
DOMAIN = load("optimizers")
TEXT = """def train(w, g, m, lr):
    a = arcsin(lr)
    m = interpolate(g, m, 0.8987)
    b = sign(m)
    c = b * 1.0003
    update = c * a
    return update, m
"""


# --- simplification ---------------------------------------------------------------------------------------------------


def size(text: str) -> int:
    return canonical_graph(text, DOMAIN).size


def test_what_costs_nothing_goes_and_what_is_worth_something_stays():
    rng = np.random.default_rng(0)
    noise = rng.normal(0.0, 0.01, 100)

    def score(text: str, replicate: int) -> float:  # only the sign and the average matter
        return float(noise[replicate]) + ("sign" in text) + ("interpolate" in text)

    found = reduce(TEXT, DOMAIN, score, 12, 0.01)
    assert found["size"] == 2
    kept = parse(found["text"], OPTIMIZER, LIBRARY)
    assert sorted(s.op for s in kept.statements) == ["interpolate", "sign"]
    assert "0.9)" in found["text"], "a decay rate is rounded by what is missing to 1"
    assert found["score_before"] == pytest.approx(found["score_after"])
    assert any(cut["kept"] for cut in found["cuts"])
    worth = [cut for cut in found["cuts"] if "sign" in cut["what"] and not cut["kept"]]
    assert worth
    assert worth[0]["cost"] == pytest.approx(1.0)
    assert worth[0]["replicates"] < 12, "what is hopeless is seen early"


def test_small_losses_do_not_add_up():
    """Each knock-out costs a little, and all are compared with the program as it was found."""
    scores = count()

    def score(text, replicate):
        next(scores)
        return 0.006 * size(text) + 1e-4 * (replicate % 2)

    found = reduce(TEXT, DOMAIN, score, 12, 0.01)
    assert found["score_before"] - found["score_after"] <= 0.01
    assert found["size"] == size(TEXT), "a loss that is the same on every replicate is significant"


@given(programs(LIBRARY, SEARCHED))
def test_knock_outs_are_smaller_programs_of_the_language(program):
    try:
        graph = canonical_graph(program, DOMAIN)
    except ValueError:
        return
    for change in knock_outs(graph, DOMAIN):
        assert change.graph.size < graph.size


@pytest.mark.parametrize(
    ("value", "digits", "short"),
    [(0.9987, 1, 0.999), (0.803, 1, 0.8), (0.123, 1, 0.1), (-3.456, 2, -3.5), (1e-12, 1, 1e-12), (0.0, 1, 0.0)],
)
def test_rounding(value, digits, short):
    assert rounded(value, digits) == short


@given(programs(LIBRARY, SEARCHED))
def test_names_of_constants_change_nothing(program):
    try:
        graph = canonical_graph(program, DOMAIN)
        text = canonical_text(program, DOMAIN)
        contender = contender_of(text)
    except ValueError:
        return
    assert canonical_key(canonical_graph(contender.text, DOMAIN)) == canonical_key(graph)
    opened = with_open(parse(contender.text, OPTIMIZER, LIBRARY), contender.constants)
    assert not [arg for s in opened.statements for arg in s.args if isinstance(arg, float)], "all are open"


def test_settings_of_constants():
    constants = {"beta": 0.9, "c1": 2.0, "c2": -1.0, "c3": 0.0, "bound": 0.9}
    drawn = settings_of(constants, 50)
    assert drawn[0] == tuple(constants.values())
    assert drawn == settings_of(constants, 50), "the same for everybody"
    rates = [row[0] for row in drawn]
    assert 0.0 <= min(rates) < 0.9 < max(rates) < 1.0
    assert all(row[1] > 0.0 > row[2] and row[3] == 0.0 for row in drawn)
    assert max(row[4] for row in drawn) > 1.0, "a bound is no decay rate"


# --- trials -----------------------------------------------------------------------------------------------------------


def test_trials_are_plain_training_runs_with_decay_outside_of_the_rule():
    """The same losses as the rule with its own decoupled decay, and as other constants written in its text."""
    from dataclasses import replace

    from small_task import regression

    from evaluators.optimizers.training import compiled

    task = replace(regression(), learning_rates=(0.02,))
    rule = baseline("adamw")
    trials = Trials(rule, task, 2, 4)
    assert rule.constants == ("beta1", "beta2", "eps")
    losses, _ = trials.sweep([Trial(0.02), Trial(0.02, 0.5), Trial(0.02, 0.5, (0.5, 0.9, 1e-8))], 3)
    adamw = library.load("adamw")
    for loss, decay, beta1, beta2 in zip(losses, (0.0, 0.5, 0.5), (0.9, 0.9, 0.5), (0.999, 0.999, 0.9), strict=True):
        text = adamw.text.replace("weight_decay = 0.01", f"weight_decay = {decay}")
        text = text.replace("beta1 = 0.9\n", f"beta1 = {beta1}\n").replace("beta2 = 0.999\n", f"beta2 = {beta2}\n")
        graph = canonical_graph(text, DOMAIN)
        plain = compiled(task, graph, LIBRARY, 1, (0.02,), task.steps)(3)[0, 0, 0]
        assert loss == pytest.approx(float(plain), rel=2e-5)
    report = trials.report(Trial(0.02, 0.5), 5, 2)
    assert np.shape(report["curve"]) == (4, 2)
    np.testing.assert_allclose(report["curve"][-1], report["valid"], rtol=1e-6)
    again = Trials(rule, task, 4, 0).report(Trial(0.02, 0.5), 5, 0)
    np.testing.assert_allclose(again["test"][2:], report["test"], rtol=1e-5)
    assert again["curve"] == []


def test_what_diverges_gives_no_number():
    from small_task import regression

    trials = Trials(Contender("def train(g, lr):\n    update = g * 1e30\n    return update\n"), regression(), 2, 3)
    losses, _ = trials.sweep([Trial(0.1)] * 2, 0)
    assert not np.isfinite(losses).any()
    assert not np.isfinite(trials.report(Trial(0.1), 0, 0)["test"]).any()


# --- the funnel -------------------------------------------------------------------------------------------------------

SETTINGS = Promotion.model_validate_json(
    json.dumps(
        {
            "top": 4,
            "stages": [{"name": "proxy"}, {"name": "larger", "tasks": ["a", "b"], "keep": 2}],
            "held_out": ["x", "y", "z"],
            "baselines": ["adamw", "lion"],
            "rates": [0.001, 0.01, 0.1],
            "decays": [0.0, 1.0],
        }
    )
).after(["digits_mlp"])


class FakeBench:
    """Losses are a formula: exp(-quality of the rule + noise of the seed), on every task the same."""

    def __init__(self, quality):
        self.quality, self.asked, self.faults = quality, [], {}
        self.config = build({"evaluation": {"tasks": ["digits_mlp"]}})

    def loss(self, text, seed, rate=0.01):
        noise = 0.02 * np.random.default_rng([seed, len(text)]).standard_normal()
        value = next(value for mark, value in self.quality.items() if mark in text)
        return None if value is None else float(np.exp(noise - value + 5 * abs(np.log10(rate) + 2)))

    def measure(self, phase, units):
        self.asked += [(phase, unit) for unit in units]
        return [self.answer(unit) for unit in units]

    def answer(self, unit):
        if isinstance(unit, Simplify):
            return {"text": unit.text, "size": size(unit.text), "cuts": []}
        text = unit.contender.text
        if isinstance(unit, Sweep):
            seconds = 9.0 if "tanh" in text else 1.0
            return {"losses": [self.loss(text, 1, t.rate) for t in unit.trials], "lanes_seconds": seconds}
        assert isinstance(unit, Report)
        found = [self.loss(text, unit.first + i, unit.trial.rate) for i in range(5)]
        # test losses say the contrary: nothing before the finals may look at them
        test = [None if loss is None else 1.0 / loss for loss in found]
        return {"valid": found, "test": test, "curve": [found] * SETTINGS.checkpoints}


def rules(*marks):
    """Elites whose texts hold a mark each."""
    found = []
    for number, mark in enumerate(marks):
        text = f"def train(g, lr):\n    v0 = {mark}(g)\n    update = v0 * lr\n    return update\n"
        found.append((Elite(number, number, number, 2, 3, 0.1 - 0.01 * number, 0.0, {}), text))
    return found


def fates(funnel):
    return {one.id: one.fell for one in funnel.candidates}


def test_who_falls_and_why():
    quality = {"cube": 0.5, "arcsinh": 0.499999, "sinh": 0.3, "tanh": 0.4, "cos": -0.3, "exp": None, "interpolate": 0.0}
    bench = FakeBench(quality)
    funnel = Funnel(DOMAIN, SETTINGS, bench)  # type: ignore[arg-type]
    finalists = funnel.run(rules("cube", "cos", "tanh", "sinh", "exp", "square"))
    assert [one.id for one in finalists] == [0, 3]
    found = fates(funnel)
    assert found[0] == found[3] == ""
    assert found[1] == "proxy: -0.283 after 5 seeds"
    assert "takes 9.0 times the reference's time" in found[2]
    assert 4 not in found, "four enter"
    loser = [unit for _, unit in bench.asked if isinstance(unit, Report) and "cos" in unit.contender.text]
    assert len(loser) == 1, "a clear loser costs one block of seeds"
    assert funnel.race["seeds"] < funnel.race["seeds_without"]
    assert {(unit.replicate, unit.task) for _, unit in bench.asked if isinstance(unit, Report)} == {
        (60_000, "digits_mlp"),
        (60_000, "a"),
        (60_000, "b"),
    }, "held-out tasks are not touched here"


def test_twins_make_room_for_others():
    quality = {"cube": 0.5, "sinh": 0.5, "cos": 0.2, "tan": 0.1, "square": 0.3, "interpolate": 0.0}

    class Twins(FakeBench):
        def loss(self, text, seed, rate=0.01):
            return super().loss(text.replace("sinh", "cube"), seed, rate)

    funnel = Funnel(DOMAIN, SETTINGS, Twins(quality))  # type: ignore[arg-type]
    funnel.run(rules("cube", "sinh", "cos", "tan", "square"))
    assert fates(funnel)[1] == "behaves like #0 on a"
    assert 4 in fates(funnel)


def test_one_that_diverges_in_every_trial_falls():
    funnel = Funnel(DOMAIN, SETTINGS, FakeBench({"cube": 0.5, "exp": None, "interpolate": 0.0}))  # type: ignore[arg-type]
    funnel.run(rules("cube", "exp"))
    assert fates(funnel)[1] == "proxy: diverges on digits_mlp in every trial"


def test_all_rules_get_as_many_trials():
    bench = FakeBench({"cube": 0.5, "interpolate": 0.0})
    funnel = Funnel(DOMAIN, SETTINGS, bench)  # type: ignore[arg-type]
    contenders = {"cube": Contender(rules("cube")[0][1]), "adamw": baseline("adamw")}
    chosen = funnel.tune("p", contenders, ["a"])
    assert chosen["a"]["cube"]["trial"] == Trial(0.01, 0.0)
    funnel.tune_constants("p", contenders, ["a"], chosen)
    chosen["a"]["cube"]["trial"] = Trial(0.1, 0.0)  # at an end of the grid
    funnel.tune_constants("p", contenders, ["a"], chosen)
    chosen["a"]["cube"] |= {"trial": Trial(0.1, 0.0), "loss": 9.0}
    funnel.refine("p", contenders, ["a"], chosen, "trial", "loss")
    assert chosen["a"]["cube"]["trial"].rate == pytest.approx(0.1 * 10 ** (-6 / 12)), "towards the best rate"
    counts = [len(unit.trials) for _, unit in bench.asked]
    assert counts == [6, 6, *[3 * SETTINGS.constants] * 4, 13, 13]


def test_of_rules_that_differ_in_constants_the_best_goes_on():
    texts = [TEXT.replace("0.8987", beta).replace("1.0003", "2.0") for beta in ("0.85", "0.8", "0.7")]
    elites = [(Elite(i, i, i, 5, 3, 0.1 - 0.01 * i, 0.0, {}), text) for i, text in enumerate(texts)]
    bench = FakeBench({"0.85": 0.4, "0.8": 0.5, "0.7": 0.3, "interpolate": 0.0})
    funnel = Funnel(DOMAIN, SETTINGS, bench)  # type: ignore[arg-type]
    assert [one.id for one in funnel.run(elites)] == [1]
    assert fates(funnel) == {
        i: "" if i == 1 else "proxy: is #1 with other constants, which is better" for i in range(3)
    }


def test_a_task_without_positive_losses_is_refused():
    class Negative(FakeBench):
        def answer(self, unit):
            return {"losses": [-1.0] * len(unit.trials), "lanes_seconds": 1.0}

    funnel = Funnel(DOMAIN, SETTINGS, Negative({"cube": 0.5, "interpolate": 0.0}))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a task must have positive losses, got -1 on a"):
        funnel.tune("p", {"cube": Contender(rules("cube")[0][1])}, ["a"])


def test_alike():
    inf = float("inf")
    assert alike([1.0, inf], [1.0005, inf])
    assert not alike([1.0, inf], [1.002, inf])
    assert not alike([1.0, inf], [1.0, 5.0])


# --- the gate ---------------------------------------------------------------------------------------------------------


def judged(means, p=0.001, diverged=()):
    differences = {str(i): Difference(mean, mean - 0.1, mean + 0.1, p, 20) for i, mean in enumerate(means)}
    return finals.gate(SETTINGS, differences, dict.fromkeys(differences, p), list(diverged))


def test_no_number_of_seeds_gives_a_smaller_p_value_than_the_settings_know():
    least = [difference(np.ones(seeds)).p_value for seeds in (13, 14, 15, 20, 100)]
    assert least == [max(2.0 ** (1 - seeds), LEAST) for seeds in (13, 14, 15, 20, 100)]


def test_the_gate():
    assert judged([0.1, 0.2, -0.1])["passes"]
    assert "must be above" in judged([0.1, -0.2, -0.1])["reasons"][0]
    assert "better on 0 and worse on 0" in judged([0.1, 0.2, 0.1], p=0.5)["reasons"][0]
    assert judged([0.1, 0.2, 0.3], diverged=["x"])["reasons"] == ["diverges on x"]


def test_variants_of_a_task_count_as_one():
    differences = {
        task: Difference(mean, mean - 0.1, mean + 0.1, 0.001, 20)
        for task, mean in {"a": -0.1, "b": -0.1, "c": 0.1, "c@batch=16": 0.1, "c@batch=4": 0.1}.items()
    }
    found = finals.gate(SETTINGS, differences, dict.fromkeys(differences, 0.001), [])
    assert found["median_gain"] == pytest.approx(-0.1)
    assert "a lead of -1" in found["reasons"][1]


def test_all_tables_decide():
    good, bad = judged([0.1, 0.2, 0.3]), judged([-0.1, -0.2, -0.3])
    tables = {"found": {"gate": {"a": good, "b": good}}, "tuned": {"gate": {"a": good, "b": bad}}}
    verdicts = finals.gates(tables, ["a", "b"], ["a", "b"])
    assert verdicts["a"]["passes"]
    assert verdicts["b"]["reasons"][0].startswith("constants tuned: gains -0.200")
    assert finals.gates(tables, [], ["a"])["a"]["reasons"] == ["fell before the finals"]


@given(st.lists(st.floats(-1.0, 1.0), min_size=3, max_size=9), st.integers(0, 8))
def test_a_better_rule_never_fails_where_a_worse_one_passes(means, place):
    if judged(means)["passes"]:
        means[place % len(means)] += 0.5
        assert judged(means)["passes"]


# --- analysis of the finals -------------------------------------------------------------------------------------------


def analysed(losses, **changes):
    """The analysis of one task, where a rule has the same losses on both splits and all along the curve."""
    settings = Promotion.model_validate_json(
        json.dumps(
            {"stages": [], "held_out": ["small_task:linear"], "baselines": [n for n in losses if n[0] != "#"]}
            | {"seeds": 10, "checkpoints": 4}
            | changes
        )
    )
    rows = {name: {"trial": Trial(0.1), "valid": row, "test": row, "curve": [row] * 4} for name, row in losses.items()}
    return finals.analyse({"small_task:linear": rows}, settings, [name for name in losses if name[0] == "#"])


def test_the_best_baseline_is_one_that_diverges_from_few_seeds():
    inf = float("inf")
    found = analysed({"adamw": [inf] * 10, "lion": [inf] + [0.1] * 9, "#1": [0.2] * 10})
    assert found["best_baseline"] == {"small_task:linear": "lion"}
    assert not found["gate"]["#1"]["passes"], "it loses to lion on nine seeds of ten"
    found = analysed({"adamw": [0.3] * 10, "lion": [0.1] * 10, "#1": [0.2] * 10})
    assert found["best_baseline"] == {"small_task:linear": "lion"}


def test_a_baseline_alone_reaches_the_target_that_it_sets():
    found = analysed({"adamw": [0.1 * k for k in range(1, 11)], "#1": [0.9] * 5 + [float("inf")] * 5})
    steps = found["steps"]["small_task:linear"]
    assert steps["target"] == pytest.approx(0.55)
    assert steps["steps"] == {"adamw": 5.0, "#1": float("inf")}, "half of its seeds reach it at the first checkpoint"
    assert found["profile_score"] == {"adamw": 1.0, "#1": 0.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gate": {"lead": 8}}, "promotion.gate.lead must be one that a rule can reach, at most the 7 held-out tasks"),
        ({"gate": {"against": ["adam"]}}, "promotion.gate.against must be among the baselines adamw"),
        ({"gate": {"gain": 2.0}}, "promotion.gate.gain must be a number from -2 to 2"),
        ({"decays": [0.1]}, "promotion.decays must have zero"),
        ({"seeds": 7}, "promotion.seeds must be whole blocks of 5"),
        ({"held_out": ["digits_mlp_10x"]}, "promotion.held_out must be apart from the stages"),
        ({"seeds": 5}, "promotion.gate must be one that a rule can pass, got 5 seeds"),
        ({"confidence": 0.9995}, "promotion.gate must be one that a rule can pass, got 20 seeds"),
        ({"stages": [{"name": "held-out", "tasks": ["char_lm_10x"]}]}, "must not be named like a phase"),
        ({"heldout": []}, "unknown key 'promotion.heldout'; did you mean 'held_out'"),
    ],
)
def test_settings_that_do_not_hold(changes, message):
    with pytest.raises(ValueError, match=message):
        build({"promotion": changes})


def test_a_domain_without_held_out_tasks_is_refused(tmp_path):
    with pytest.raises(ValueError, match="programs of the domain 'toy:DOMAIN' can't be promoted"):
        build({"domain": "toy:DOMAIN", "promotion": {"top": 3}})


# --- a whole one ------------------------------------------------------------------------------------------------------

SMALL = {
    "top": 3,
    "replicates": 4,
    "stages": [{"name": "larger", "tasks": ["small_task:regression"]}],
    "held_out": ["small_task:linear"],
    "baselines": ["adadelta", "lion"],
    "rates": [0.003, 0.02, 0.1, 0.3],
    "decays": [0.0, 0.1],
    "constants": 2,
    "seeds": 10,
    "checkpoints": 4,
    "slowdown": 1000.0,
}


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A run on a task of few parameters."""
    folder = tmp_path_factory.mktemp("promote") / "run"
    evaluation = {"tasks": ["small_task:regression"], "stages": [{"name": "only", "share": 1.0}]}
    config = build(
        {"budget": 96, "batch": 32, "start": ["sgd", "lion", "adam"], "evaluation": evaluation, "promotion": SMALL}
    )
    with Run.create(config, folder) as run:
        run.execute()
    return folder


def figures(report):
    """The report without times and dates."""
    return {key: value for key, value in report.items() if key not in ("seconds", "date", "library", "page")}


def test_a_promotion_that_is_killed_goes_on_and_repeats_nothing(searched, tmp_path):
    before = (searched / "run.sqlite").read_bytes()
    whole = promote(searched, tmp_path / "whole", workers=1)
    assert (searched / "run.sqlite").read_bytes() == before, "the search is untouched"
    assert json.loads((tmp_path / "whole" / REPORT).read_text()) == json.loads(json.dumps(whole))
    assert (tmp_path / "whole" / PAGE).read_text().startswith("<!doctype html>")
    assert whole["shown"]
    lines = (tmp_path / "whole" / LEDGER).read_bytes().splitlines()
    # a process that is killed leaves whole lines and a part of one
    place = tmp_path / "again"
    place.mkdir()
    (place / LEDGER).write_bytes(b"\n".join(lines[: len(lines) // 2]) + b"\n" + lines[len(lines) // 2][:20])
    again = promote(searched, place, workers=1)
    assert figures(again) == figures(whole)
    assert sorted(json.loads(line)[0] for line in (place / LEDGER).read_bytes().splitlines() if b'["wall' not in line) \
        == sorted(json.loads(line)[0] for line in lines if b'["wall' not in line)  # fmt: skip
    done = (place / LEDGER).stat().st_size
    promote(searched, place, workers=1)
    assert (place / LEDGER).stat().st_size == done, "a finished one measures nothing"


@pytest.mark.slow
def test_sigkill(searched, tmp_path):
    code = f"from discovery.promote import promote; promote({str(searched)!r}, {str(tmp_path / 'out')!r}, workers=1)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    ledger = tmp_path / "out" / LEDGER
    seen = 0
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            lines = ledger.read_bytes().count(b"\n") if ledger.exists() else 0
            if lines > seen + 3:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.02)
        process.communicate()
        seen = ledger.read_bytes().count(b"\n")
    whole = promote(searched, tmp_path / "whole", workers=1)
    assert figures(promote(searched, tmp_path / "out", workers=1)) == figures(whole)


def test_a_rule_that_passes_enters_the_library(searched, tmp_path):
    settings = {**SMALL, "gate": {"lead": 0, "gain": -2.0}}
    report = promote(searched, tmp_path / "out", tmp_path / "shelf", settings, workers=1)
    assert report["promoted"]
    for name in report["promoted"].values():
        found = library.load(name, tmp_path / "shelf")
        assert found.card.scores
        assert found.card.ablation
        assert "Searched from sgd, lion, adam with seed 0" in found.card.provenance
        assert (tmp_path / "out" / "rules" / f"{name}_torch.py").read_text() == found.source("torch")
    again = promote(searched, tmp_path / "out", tmp_path / "shelf", settings, workers=1)
    assert again["promoted"] == report["promoted"], "what is in the library already stays"


def passing(text, name, **changes):
    candidate = Candidate(7, 0.0, 1, text, text)
    candidate.reduction = {"cuts": []}
    constants = [0.5] * len(candidate.contender.constants)
    row = {"rate": 0.1, "decay": 0.0, "constants": constants}
    found = {
        "losses": {"x": {"#7": row}},
        "against_best": {"#7": {"x": {"mean": 0.1, "low": 0.0, "high": 0.2}}},
        "best_baseline": {"x": "adamw"},
        "gate": {"#7": {"better": ["x"], "worse": [], "median_gain": 0.1}},
        "ranking": [{"name": "#7"}],
    }
    report = {
        "run": {"folder": name, "start": ["sgd"], "seed": 0, "candidates": 10, "seconds": 60.0},
        "machine": {"commit": "abc", "processor": "one"},
        "date": "2025-01-01",
        "found": found,
        "tuned": found,
    }
    return [candidate], report | changes


@pytest.mark.parametrize(
    "statements",
    ["m = interpolate(g, m, -0.5)", "m = interpolate(g, m, 1.05)", "m = clip_by_global_norm(g, -2.0)", "m = w * -0.1"],
)
def test_constants_out_of_the_usual_range_enter_a_library(tmp_path, statements):
    text = f"def train(w, g, m, lr):\n    {statements}\n    a = m + g\n    update = a * lr\n    return update, m\n"
    names = entry.write(*passing(text, "run"), tmp_path / "out", tmp_path / "shelf")
    card = library.load(names["#7"], tmp_path / "shelf").card
    assert [str(one.check(one.default)) for one in card.hyperparameters] == [
        str(card.hyperparameters[0].default),
        "0.0",
    ]


@pytest.mark.parametrize("name", ['a """ b', "a\\nb", "it's: {x} # <b>", 'ends in "', "ends in \\"])
def test_a_run_folder_of_any_name_is_the_source_of_a_rule(tmp_path, name):
    text = "def train(g, lr):\n    a = sign(g)\n    update = a * lr\n    return update\n"
    names = entry.write(*passing(text, name), tmp_path / "out", tmp_path / "shelf")
    found = library.load(names["#7"], tmp_path / "shelf")
    assert found.card.source == f"Pride, {name}, candidate 7"
    for target in ("optax", "torch", "python"):
        compile(found.source(target), target, "exec")


def test_a_rule_stays_in_the_library_and_makes_room_for_another_of_its_name(tmp_path):
    sign = "def train(g, lr):\n    a = sign(g)\n    update = a * lr\n    return update\n"
    other = sign.replace("sign(g)", "sign(g)\n    a = sinh(a)")
    places = tmp_path / "out", tmp_path / "shelf"
    assert entry.write(*passing(sign, "run"), *places) == {"#7": "sign_descent_7"}
    before = (tmp_path / "shelf" / "sign_descent_7.py").read_text()
    assert entry.write(*passing(sign, "run", date="2025-01-02"), *places) == {"#7": "sign_descent_7"}
    assert (tmp_path / "shelf" / "sign_descent_7.py").read_text() == before, "on another day as well"
    for _ in range(2):
        assert entry.write(*passing(other, "another"), *places) == {"#7": "sign_descent_7_2"}
    assert (tmp_path / "shelf" / "sign_descent_7.py").read_text() == before
    assert (tmp_path / "out" / "rules" / "sign_descent_7_2_torch.py").exists()


def test_a_search_may_end_in_a_promotion(tmp_path, monkeypatch, capsys):
    """`pride run --promote`: one JSON document with the validation curve and the report."""
    evaluation = {
        "tasks": ["small_task:regression"],
        "stages": [{"name": "only", "share": 1.0}],
        "validation_tasks": ["small_task:regression"],
    }
    settings = {"budget": 64, "batch": 32, "start": ["adam"], "evaluation": evaluation, "promotion": SMALL}
    (tmp_path / "small.yaml").write_text(json.dumps(settings))
    run = ["pride", "run", str(tmp_path / "small.yaml"), "--out", str(tmp_path / "run"), "--workers", "1", "--json"]
    monkeypatch.setattr(sys, "argv", [*run, "--promote", "--set", "validation.every=1"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert found["validation"]
    assert found["promotion"]["run"]["validation"] == found["validation"]
    assert found["promotion"]["shown"]


def test_what_can_not_be_promoted_is_told_in_one_line(searched, tmp_path):
    empty = build({"budget": 32, "batch": 32, "domain": "toy:DOMAIN", "start": ["sgd"]})
    with Run.create(empty, tmp_path / "toy"):
        pass
    with pytest.raises(ValueError, match="can't be promoted"):
        promote(tmp_path / "toy", workers=1)
    evaluation = {"tasks": ["small_task:regression"]}
    with Run.create(build({"start": ["sgd"], "evaluation": evaluation, "promotion": SMALL}), tmp_path / "none"):
        pass
    with pytest.raises(ValueError, match="must have elites to promote, got none"):
        promote(tmp_path / "none", workers=1)
    with pytest.raises(ValueError, match="must have a folder outside of the run"):
        promote(searched, searched / "inside", workers=1)
    with pytest.raises(ValueError, match="its library must have a folder outside of the run"):
        promote(searched, tmp_path / "out", searched / "library", workers=1)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="a library must be a folder that can be written"):
        promote(searched, tmp_path / "out", tmp_path / "dangling", workers=1)
    settings = {**SMALL, "stages": [], "held_out": ["small_task:regression"]}
    with pytest.raises(ValueError, match="never saw, got 'small_task:regression'"):
        promote(searched, tmp_path / "out", settings=settings, workers=1)
    settings = {**SMALL, "held_out": ["small_task:second@steps=10"]}
    with pytest.raises(ValueError, match="got 'small_task:second@steps=10', which is 'small_task:regression' under"):
        promote(searched, tmp_path / "out", settings=settings, workers=1)
    settings = {**SMALL, "held_out": ["small_task:linear", "small_task:linear@steps=20"]}
    with pytest.raises(ValueError, match="each task once, got 'small_task:linear@steps=20', which is 'small_task:lin"):
        promote(searched, tmp_path / "out", settings=settings, workers=1)
    with pytest.raises(ValueError, match=r"promotion.checkpoints must be at most the steps .* got 21 and 20 steps"):
        promote(searched, tmp_path / "out", settings={**SMALL, "checkpoints": 21}, workers=1)
    with pytest.raises(ValueError, match=r"a rule must be one of .* got 'adm'"):
        promote(searched, tmp_path / "out", settings={**SMALL, "baselines": ["adm"]}, workers=1)
    with pytest.raises(ValueError, match="must be importable"):
        promote(searched, tmp_path / "out", settings={**SMALL, "held_out": ["nowhere:NAME"]}, workers=1)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="a library must be a folder that can be written"):
        promote(searched, tmp_path / "out", tmp_path / "file", workers=1)
    assert not (tmp_path / "out").exists(), "nothing is begun"


def test_an_entry_is_what_was_measured():
    """The decay that trials have outside of the rule is a hyper-parameter of the entry."""
    from small_task import regression

    for text in (TEXT, canonical_text(library.text("adamw_uncorrected"), DOMAIN)):
        inside = with_decay(contender_of(canonical_text(text, DOMAIN)))
        name = inside.constants[-1]
        assert name not in contender_of(canonical_text(text, DOMAIN)).constants
        other = inside.text.replace(f"{name} = 0.0", f"{name} = 0.5")
        outside = Trials(contender_of(canonical_text(text, DOMAIN)), regression(), 2, 0)
        measured = outside.report(Trial(0.02, 0.5), 5, 0)
        again = Trials(Contender(other), regression(), 2, 0).report(Trial(0.02), 5, 0)
        np.testing.assert_allclose(again["test"], measured["test"], rtol=1e-5)


def test_a_promotion_lies_beside_its_run(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    assert beside(tmp_path / "run") == tmp_path / "run-promotion"
    monkeypatch.chdir(tmp_path / "run")
    assert beside(Path()) == tmp_path / "run-promotion"
    assert beside(Path("../run")) == Path("../run-promotion")
    assert beside(Path("..")) == tmp_path.with_name(f"{tmp_path.name}-promotion")


def test_names_on_the_screen_are_no_markup():
    from rich.console import Console

    one = Candidate(7, 0.0, 1, "", "", stages={"[/b]": {"score": 0.1}})
    console = Console(width=100)
    with console.capture() as shown:
        console.print(panel(View("[/a]", 1, 2, [one]), "promotion of runs/[/x]"))
    assert "promotion of runs/[/x]" in shown.get()
    assert "[/b]" in shown.get()


def test_one_that_fell_does_not_pass_on_the_screen(capsys):
    verdict = {"passes": True, "reasons": [], "median_gain": 0.1, "better": ["x"], "worse": []}
    ranking = [{"name": "#7", "strength": 0.0}]
    found = {"gate": {"#7": verdict}, "ranking": ranking, "profile_score": {"#7": 1.0}}
    report = {"found": found, "finalists": [], "promoted": {}, "page": "there.html"}
    report["gate"] = finals.gates({"found": found}, [], ["#7"])
    print_promotion(report)
    assert "fell before the finals" in capsys.readouterr().out
    passed = {"gate": finals.gates({"found": found}, ["#7"], ["#7"]), "promoted": {"#7": "name"}, "library": "shelf"}
    print_promotion(report | passed | {"finalists": ["#7"]})
    out = capsys.readouterr().out
    assert "fell" not in out
    assert "passes" in out


def test_names_say_what_a_rule_is_made_of():
    def name(text):
        return rule_name(Candidate(7, 0.0, 1, text, text))

    assert name("def train(g, lr):\n    u = sign(g)\n    update = u * lr\n    return update\n") == "sign_descent_7"
    assert name(canonical_text(library.text("adamw_uncorrected"), DOMAIN)) == "adaptive_momentum_7"


def test_what_breaks_twice_in_a_worker_is_a_fault_of_its_rule(monkeypatch):
    config = build({"evaluation": {"tasks": ["small_task:regression"]}, "promotion": SMALL})
    worker = PromotionWorker(config, check(config), None)
    unit = Sweep(Contender("def train(g, lr):\n    update = g * lr\n    return update\n"), "small_task:linear", 0, ())
    outcomes = []

    def work(one):
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(worker, "_work", work)
    outcomes[:] = [RuntimeError("once"), {"losses": []}]
    assert worker.run([unit])[0].results == {"losses": []}
    outcomes[:] = [RuntimeError("RESOURCE_EXHAUSTED:\n  of memory")] * 2
    assert worker.run([unit])[0].fault == "RuntimeError: RESOURCE_EXHAUSTED: of memory"
    outcomes[:] = [ValueError("a task must have its data")]
    with pytest.raises(ValueError, match="must have its data"):
        worker.run([unit])


def test_a_fault_in_a_report_is_no_bad_result():
    class Dies(FakeBench):
        def answer(self, unit):
            if isinstance(unit, Report) and "cube" in unit.contender.text:
                self.faults[unit.contender.text] = "OutOfMemory"
                lost = [None] * 5
                return {"valid": lost, "test": lost, "curve": [lost] * SETTINGS.checkpoints}
            return super().answer(unit)

    bench = Dies({"cube": 0.5, "sinh": 0.3, "interpolate": 0.0})
    funnel = Funnel(DOMAIN, SETTINGS, bench)  # type: ignore[arg-type]
    funnel.run(rules("cube", "sinh"))
    assert fates(funnel) == {0: "proxy: OutOfMemory", 1: ""}


def test_a_reference_that_diverges_is_told():
    bench = FakeBench({"cube": 0.5, "interpolate": None})
    with pytest.raises(ValueError, match="the reference of a stage must come to a finite loss, got none for 'adamw'"):
        Funnel(DOMAIN, SETTINGS, bench).run(rules("cube"))  # type: ignore[arg-type]
    funnel = Funnel(DOMAIN, SETTINGS, bench)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a baseline of the gate must come to a finite loss"):
        finals.measure(funnel, [])


class Deadly:
    """An executor whose workers do not survive the programs that a word stands in."""

    def __init__(self, word):
        self.word, self.units = word, []

    def warm_up(self):
        pass

    def submit(self, units):
        self.units += units

    def next(self):
        return [self.work(self.units.pop())]

    def work(self, unit):
        text = unit.text if isinstance(unit, Simplify) else unit.contender.text
        if self.word in text:
            return Finished(unit, None, 0.0, "3 workers were lost to it, the last one: OutOfMemory")
        if isinstance(unit, Simplify):
            return Finished(unit, {"text": unit.text, "size": size(unit.text), "cuts": []}, 0.1)
        return Finished(unit, {"losses": [1.0 + len(text)] * len(unit.trials), "lanes_seconds": 1.0}, 0.1)


@pytest.mark.parametrize("phase", ["choice", "simplify", "larger"])
def test_a_candidate_that_workers_do_not_survive_falls(tmp_path, monkeypatch, phase):
    stage = Stage(name="larger", tasks=("small_task:linear",))
    settings = SETTINGS.model_copy(update={"stages": (stage,)})
    deadly = Deadly("cube")
    with Ledger(tmp_path / "ledger.jsonl", {}) as ledger:
        config = build({"evaluation": {"tasks": ["small_task:regression"]}})
        bench = Bench(ledger, config, settings, lambda make: deadly)  # type: ignore[arg-type]
        funnel = Funnel(DOMAIN, settings, bench)
        if phase == "choice":
            funnel._choose(rules("cube", "sinh"))
        else:
            funnel.candidates += [Candidate(e.id, e.mean, e.count, text, text) for e, text in rules("cube", "sinh")]
        if phase == "simplify":
            funnel._simplify()
        if phase == "larger":
            won = {"score": 0.1, "low": 0.0, "high": 0.2, "seeds": 5}
            monkeypatch.setattr(funnel, "_race", lambda name, spend: [c.stages[name].update(won) for c in funnel.alive])
            funnel._stage(stage)
        assert fates(funnel) == {0: f"{phase}: 3 workers were lost to it, the last one: OutOfMemory", 1: ""}
        found = Simplify(funnel.candidates[0].found)
        deadly.word = "none"
        assert bench.measure("p", [found])[0]["text"] == found.text, "what failed is not in the ledger"
        deadly.word = "interpolate"
        with pytest.raises(ValueError, match="the baselines must be measured, got 3 workers"):
            funnel.tune("p", {"lion": baseline("lion")}, ["small_task:linear"])


def test_a_changed_task_of_the_search_is_measured_anew(tmp_path, monkeypatch):
    config = build({"evaluation": {"tasks": ["small_task:regression"]}, "promotion": SMALL})

    def keys():
        units = Simplify("text"), Sweep(Contender("text"), "small_task:linear", 0, (Trial(0.1),))
        with Ledger(tmp_path / "ledger.jsonl", {}) as ledger:
            bench = Bench(ledger, config, check(config), partial(make_executor, 1))
            return [bench._key(unit) for unit in units]

    before = keys()
    assert keys() == before
    changed = task_of("small_task:regression@batch=7")
    monkeypatch.setattr(
        "discovery.promote.measure.task_of", lambda name: changed if "regression" in name else task_of(name)
    )
    assert [a == b for a, b in zip(before, keys(), strict=True)] == [False, True]


def test_the_digest_of_a_task_is_in_the_key():
    assert task_of("small_task:linear").digest != task_of("small_task:regression").digest
    assert render(parse(baseline("lion").text, OPTIMIZER, LIBRARY), LIBRARY) == baseline("lion").text
    assert "weight_decay = 0.0" in baseline("lion").text
