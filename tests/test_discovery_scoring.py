"""Scores of texts: every status, means over replicates, stages, and domains with and without a wide sweep."""

import io
import json
import math
from dataclasses import replace
from statistics import fmean, median_low

import pytest
import toy

from archive import library
from archive.evaluation import Evaluation, Status, TaskResult
from discovery import scoring
from discovery.config import options
from discovery.config_file import build
from discovery.scoring import baselines, score
from evaluators.domain import load
from evaluators.forms import canonical_graph
from evaluators.optimizers import WIDE

KEYS = ["file", "status", "score", "tasks", "descriptors", "message"]
TASK_KEYS = ["score", "loss", "baseline_loss", "learning_rate"]
TEXTS = {
    "invalid": "def train(w, g, lr):\n    update = missing * lr\n    return update\n",
    "no_op": "def train(w, g, lr):\n    update = w * lr\n    return update\n",
    "non_finite": "def train(w, g, lr):\n    a = exp(1000.0)\n    update = g * a\n    return update\n",
    # large enough to overflow in the toy's few steps, and finite on the probe
    "diverged": "def train(w, g, lr):\n    update = g * 1e35\n    return update\n",
}


class Scripted:
    """Gives what the name of the replicate says: the second one diverges."""

    def warm_up(self):
        raise AssertionError("a score needs no warm-up")

    def evaluate(self, graph, replicate, thresholds=(), stages=None):
        assert thresholds == ()
        if replicate == 1:
            result = TaskResult(-2.0, None, 1.0, None)
            return Evaluation(Status.DIVERGED, None, 0, 1, {"bowl": result}, message="not finite on bowl")
        return Evaluation(Status.OK, 0.5, 0, replicate, {"bowl": TaskResult(0.5, 1.0)}, {"tolerance": 0.3})


SCRIPTED = replace(toy.DOMAIN, evaluator=lambda options, cache: Scripted())


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(scoring, "cache_folder", lambda: tmp_path / "cache")


@pytest.fixture
def config():
    return build({"domain": "toy:DOMAIN", "budget": 1})


@pytest.fixture
def files(tmp_path):
    for name, text in TEXTS.items():
        (tmp_path / f"{name}.py").write_text(text)
    return {name: str(tmp_path / f"{name}.py") for name in TEXTS}


@pytest.mark.parametrize("status", TEXTS)
def test_a_failure_is_a_status_with_one_line(status, files, config):
    (found,) = score([files[status]], config)
    assert list(found) == KEYS
    assert (found["file"], found["status"], found["score"]) == (files[status], status, None)
    assert "\n" not in found["message"]
    assert files[status] not in found["message"]
    if status != "diverged":
        assert found["message"]
        assert found["tasks"] == {}


@pytest.mark.parametrize(
    "content", ["", "x = 1", "import os", "def train(", "\x00", "def train(w, g, lr):\n    return w\n"]
)
def test_what_is_no_program_is_invalid(content, tmp_path, config):
    (tmp_path / "text.py").write_text(content)
    found = score([str(tmp_path / "text.py"), "no_such_rule", str(tmp_path / "missing.py"), str(tmp_path)], config)
    assert [one["status"] for one in found] == ["invalid"] * 4
    assert all(one["message"] and "\n" not in one["message"] for one in found)


def test_files_keep_their_order_and_do_not_know_of_each_other(files, config):
    names = ["lion", files["no_op"], "sgd", files["diverged"], "lion", "adamw"]
    together = score(names, config)
    assert [one["file"] for one in together] == names
    assert together == [score([name], config)[0] for name in names]
    assert [one["status"] for one in together] == ["ok", "no_op", "ok", "diverged", "ok", "ok"]
    json.dumps(together, allow_nan=False)


def test_reads_stdin(monkeypatch, config):
    monkeypatch.setattr("sys.stdin", io.StringIO(library.text("lion")))
    (found,) = score(["-"], config)
    assert {**found, "file": "lion"} == score(["lion"], config)[0]


@pytest.mark.parametrize("replicates", [1, 2, 5])
@pytest.mark.parametrize("stage", ["short", "full", None])
def test_the_score_is_the_mean_of_what_a_candidate_gets(stage, replicates, config):
    domain = load(config.domain)
    stages = domain.stages(options(config))
    chosen = len(stages) - 1 if stage is None else stages.index(stage)
    graph = canonical_graph(library.text("heavy_ball"), domain)
    evaluator = domain.evaluator(options(config), None)
    each = [evaluator.evaluate(graph, r, (), range(chosen, chosen + 1)) for r in range(replicates)]
    (found,) = score(["heavy_ball"], config, stage, replicates)
    assert list(found) == KEYS
    assert found["status"] == "ok"
    assert found["score"] == fmean(one.score for one in each if one.score is not None)
    results = [one.tasks["bowl"] for one in each]
    assert list(found["tasks"]["bowl"]) == TASK_KEYS
    assert found["tasks"]["bowl"] == {
        "score": fmean(result.score for result in results),
        "loss": fmean(result.loss or math.nan for result in results),
        "baseline_loss": fmean(result.baseline_loss or math.nan for result in results),
        "learning_rate": median_low([result.learning_rate or math.nan for result in results]),
    }
    tolerances = fmean(one.descriptors["tolerance"] for one in each)
    assert found["descriptors"] == {**domain.static_descriptors(graph), "tolerance": tolerances}


def test_one_replicate_that_fails_fails_the_rule():
    config = build({"domain": f"{__name__}:SCRIPTED", "budget": 1})
    (passes,) = score(["sgd"], config)
    assert (passes["status"], passes["score"]) == ("ok", 0.5)
    assert passes["tasks"]["bowl"] == {"score": 0.5, "loss": 1.0, "baseline_loss": None, "learning_rate": None}
    (fails,) = score(["sgd"], config, replicates=3)
    assert (fails["status"], fails["score"]) == ("diverged", None)
    assert fails["tasks"]["bowl"] == {"score": -2.0, "loss": None, "baseline_loss": 1.0, "learning_rate": None}
    assert fails["message"] == "replicate 1: not finite on bowl"


def test_wrong_wishes_are_told(config):
    with pytest.raises(ValueError, match=r"must be one of short, full, got 'ful'; did you mean 'full'\?"):
        score(["sgd"], config, stage="ful")
    with pytest.raises(ValueError, match="replicates must be at least 1, got 0"):
        score(["sgd"], config, replicates=0)
    with pytest.raises(ValueError, match="'toy:DOMAIN' leave nothing open"):
        score(["sgd"], config, wide=True)
    with pytest.raises(ValueError, match="'toy:DOMAIN' compare with no baseline"):
        baselines(config)


def test_update_rules_are_swept_wide_against_the_baseline_of_their_own_rates(tmp_path):
    stage = {"name": "only", "share": 1.0}
    config = build({"evaluation": {"tasks": ["small_task:linear"], "stages": [stage]}, "budget": 1})
    (tmp_path / "scaled.py").write_text(
        "def train(g, lr):\n    a = lr * 0.001\n    update = g * a\n    return update\n"
    )
    scaled = str(tmp_path / "scaled.py")
    shown = baselines(config)
    assert list(shown) == ["linear/only"]
    assert {"steps", "loss", "learning_rate"} <= set(shown["linear/only"])
    (narrow,) = score([scaled], config)
    (wide,) = score([scaled], config, wide=True)
    for found in (narrow, wide):
        assert found["status"] == "ok"
        assert found["tasks"]["linear"]["baseline_loss"] == shown["linear/only"]["loss"]
    assert wide["tasks"]["linear"]["loss"] < 0.5 * narrow["tasks"]["linear"]["loss"]
    assert wide["tasks"]["linear"]["learning_rate"] in WIDE[-4:]
