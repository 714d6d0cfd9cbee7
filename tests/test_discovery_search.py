"""What a search knows: nothing is evaluated twice, hurdles and re-evaluations keep their rules, a fault stays one."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import toy
from runs import Disorderly, at_random, configuration, contents, counters, execute, oldest_first

from archive.evaluation import Evaluation, Status, TaskResult
from archive.store import Store
from discovery import search as search_module
from discovery.executors import Finished
from discovery.proposers.mutation import Mutation
from discovery.run import Run
from discovery.worker import BreedUnit, EvaluateUnit, ValidateUnit
from primitives.fingerprint import fingerprint
from primitives.ops import LIBRARY
from primitives.program import OPTIMIZER
from primitives.simplify import canonical_key
from primitives.text import parse


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What an undisturbed run holds."""
    return execute(configuration(), tmp_path_factory.mktemp("whole") / "run")


# --- one evaluation for each behaviour and replicate ------------------------------------------------------------------


@pytest.fixture
def calls(monkeypatch):
    """(fingerprint, canonical key, replicate, thresholds, stages) of every call of the evaluator."""
    made = []
    evaluate = toy.Bowl.evaluate

    def recorded(self, graph, replicate, thresholds=(), stages=None):
        keys = fingerprint(graph, LIBRARY, toy.PROBE), canonical_key(graph)
        made.append((*keys, replicate, thresholds, stages))
        return evaluate(self, graph, replicate, thresholds, stages)

    monkeypatch.setattr(toy.Bowl, "evaluate", recorded)
    return made


def assert_counts_add_up(figures, count):
    hits = sum(figures.get(f"hit.{layer}", 0) for layer in ("structural", "canonical", "functional"))
    bred_in_vain = sum(figures.get(f"failed.{status}", 0) for status in ("no_op", "non_finite", "fault"))
    judged = figures["evaluations"] - figures.get("reevaluations", 0)
    assert figures["candidates"] == count == figures.get("invalid", 0) + hits + judged + bred_in_vain


def test_no_behaviour_is_evaluated_twice_on_a_replicate(tmp_path, calls):
    held = execute(configuration(), tmp_path / "run")
    figures = counters(tmp_path / "run")
    assert len({(key, replicate) for key, _, replicate, *_ in calls}) == len(calls) == figures["evaluations"]
    assert_counts_add_up(figures, 320)
    judged = Counter(row[2] for row in held["evaluations"] if row[1] == 0)
    assert judged["hurdled"] == figures["hurdled"] > 0
    assert judged["no_op"] == figures["failed.no_op"] > 0
    assert judged["non_finite"] == figures["failed.non_finite"]
    assert judged["diverged"] == figures["failed.diverged"]
    assert sum(row[8] for row in held["evaluations"]) == figures["steps"]


def test_each_layer_of_the_cache_can_be_switched_off(tmp_path, calls):
    made = {}
    for off in ((), ("structural",), ("canonical",), ("functional",), ("structural", "canonical", "functional")):
        calls.clear()
        folder = tmp_path / ("-".join(off) or "all")
        execute(configuration(reevaluate=0.0, cache=dict.fromkeys(off, False)), folder)
        figures = counters(folder)
        assert_counts_add_up(figures, 320)
        assert all(figures.get(f"hit.{layer}", 0) == 0 for layer in off)
        made[off] = figures, Counter(key for key, *_ in calls), Counter(key for _, key, *_ in calls)
    for off in ((), ("structural",), ("canonical",)):
        assert max(made[off][1].values()) == 1, "the fingerprint alone recognizes all that the others do"
    assert max(made["functional",][1].values()) > 1
    assert max(made["functional",][2].values()) == 1
    figures, _, canonical = made["structural", "canonical", "functional"]
    assert max(canonical.values()) > 1
    assert figures["evaluations"] + figures["failed.no_op"] + figures["failed.non_finite"] == 320


LONG = "def train(g, lr):\n  a = g + g\n  a = a + a\n  a = a * lr\n  update = a * 0.25\n  return update\n"
MIDDLE = "def train(g, lr):\n  a = g + g\n  a = a * lr\n  update = a * 0.5\n  return update\n"
SHORT = "def train(g, lr):\n  update = g * lr\n  return update\n"


@pytest.mark.parametrize(
    ("texts", "ids"),
    [([LONG, SHORT], [0, 1]), ([SHORT, LONG], [0, 1]), ([MIDDLE, SHORT], [1]), ([SHORT, MIDDLE], [0])],
    ids=["shorter, another cell", "longer, another cell", "shorter, same cell", "longer, same cell"],
)
def test_a_functional_hit_is_offered_with_its_own_size(tmp_path, calls, texts, ids):
    for place, text in enumerate(texts):
        (tmp_path / f"{place}.py").write_text(text)
    starts = [str(tmp_path / f"{place}.py") for place in range(2)]
    execute(configuration(start=starts, batch=2, budget=2), tmp_path / "run")
    assert len(calls) == 1
    assert counters(tmp_path / "run")["hit.functional"] == 1
    with Store.read(tmp_path / "run") as store:
        elites = sorted(store.elites(), key=lambda elite: elite.id)
        assert [elite.id for elite in elites] == ids
        assert {elite.behaviour for elite in elites} == {0}
        assert len({elite.mean for elite in elites}) == 1
        assert [p.id for p in store.programs()] == [0, 1], "start programs are kept"


def test_counterfactual_mode_measures_and_changes_nothing(tmp_path, whole, calls):
    held = execute(configuration(cache={"counterfactual": 1.0}), tmp_path / "run")
    figures = counters(tmp_path / "run")
    hits = held["batches"][-1][1]["hits"]["functional"]
    assert figures["counterfactual.evaluated"] == hits > 0
    assert figures["counterfactual.collisions"] == 0
    assert len(calls) == figures["evaluations"] + hits
    assert {name: held[name] for name in ("programs", "evaluations", "elites", "plans")} == {
        name: whole[name] for name in ("programs", "evaluations", "elites", "plans")
    }


def test_counterfactual_mode_finds_collisions(tmp_path, monkeypatch):
    """A domain whose fingerprint is too coarse: all programs of one size look alike."""
    coarse = replace(toy.DOMAIN, fingerprint=lambda graph: graph.size)
    monkeypatch.setattr(toy, "DOMAIN", coarse)
    execute(configuration(cache={"counterfactual": 0.5}, hurdle={"quantile": 0.0}), tmp_path / "run")
    figures = counters(tmp_path / "run")
    assert 0.3 < figures["counterfactual.evaluated"] / figures["hit.functional"] < 0.7
    assert figures["counterfactual.collisions"] > 0.5 * figures["counterfactual.evaluated"]


def test_what_is_kept_at_hand_decides_nothing(tmp_path, whole, monkeypatch):
    monkeypatch.setattr(search_module, "REMEMBERED", 3)
    with Run.create(configuration(), tmp_path / "run") as run:
        run.execute()
        search = run.search
        assert len(search._evaluations) <= 3 + 2 * 16 + 16
        assert len(search._plans) == run.config.lag
        assert run._batches == {}
        assert search.text.cache_info().maxsize == 3
    assert contents(tmp_path / "run") == whole


# --- hurdles and re-evaluations ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("lag", [1, 3])
def test_hurdles_are_quantiles_of_what_was_merged_when_the_batch_was_planned(tmp_path, lag):
    options = {"quantile": 0.6, "window": 50, "warm_up": 20}
    config = configuration(lag=lag, hurdle=options)
    with Run.create(config, tmp_path / "run") as run:
        executor = Disorderly(run, 2, at_random(1))
        run.execute(executor=executor)
    used = {}
    for unit in executor.submitted:
        if isinstance(unit, EvaluateUnit) and not unit.final:
            used.setdefault(unit.batch, set()).add(unit.thresholds)
    scores = [[] for _ in range(20)]
    for behaviour, replicate, status, *_, stage_scores, _, _ in contents(tmp_path / "run")["evaluations"]:
        if replicate == 0 and json.loads(stage_scores):
            scores[behaviour // 16].append(json.loads(stage_scores)[0])
            below = [json.loads(stage_scores)[0] < t for (t,) in used[behaviour // 16]]
            assert (status == "hurdled") == any(below), "one threshold a batch, and it alone decides"
    stood = 0
    for batch, thresholds in used.items():
        seen = [score for earlier in scores[: max(0, batch - lag + 1)] for score in earlier]
        expected = np.quantile(seen[-50:], 0.6) if len(seen) >= 20 else float("-inf")
        assert thresholds == {(expected,)}
        stood += expected > float("-inf")
    assert 10 < stood < 20


def test_what_is_hurdled_never_enters_the_archive(whole):
    held = whole
    hurdled = {row[0] for row in held["evaluations"] if row[2] == "hurdled"}
    assert hurdled
    assert not hurdled & {row[3] for row in held["elites"]}
    assert not hurdled & {row[0] for row in held["programs"]} - {0, 1}


def test_no_hurdle_where_the_quantile_is_zero(tmp_path, whole):
    execute(configuration(hurdle={"quantile": 0.0}), tmp_path / "run")
    assert counters(tmp_path / "run").get("hurdled", 0) == 0


@pytest.mark.parametrize("lag", [1, 4])
def test_elites_take_the_next_replicates_in_turn(tmp_path, calls, lag):
    config = configuration(lag=lag, budget=960, reevaluate=0.3, replicates=20, archive={"depth": 1})
    held = execute(config, tmp_path / "run")
    figures = counters(tmp_path / "run")
    taken = {}
    for behaviour, replicate, *_ in held["evaluations"]:
        taken.setdefault(behaviour, []).append(replicate)
    assert all(replicates == list(range(len(replicates))) for replicates in taken.values())
    assert 5 < max(map(len, taken.values())) <= 20
    again = [call for call in calls if call[2] > 0]
    assert len(again) == figures["reevaluations"]
    assert {call[3:] for call in again} == {((), range(1, 2))}, "at the last stage alone, with no hurdle"
    assert 0.24 < figures["reevaluations"] / figures["evaluations"] < 0.34
    assert figures["candidates"] == 960
    counts = {row[3]: row[5] for row in held["elites"]}
    assert counts == {behaviour: len(taken[behaviour]) for behaviour in counts}
    means = {row[3]: row[6] for row in held["elites"]}
    for behaviour, mean in means.items():
        scores = [-2.0 if row[4] is None else row[4] for row in held["evaluations"] if row[0] == behaviour]
        assert mean == pytest.approx(np.mean(scores))


def test_an_elite_whose_behaviour_came_with_another_text_is_evaluated_again(tmp_path, monkeypatch, calls):
    """The first of a behaviour is refused by its cell and its text not kept; a twin enters another cell."""
    weak = SHORT.replace("update = g * lr", "g = g * lr\n  update = g * 0.5")
    script = [parse(text, OPTIMIZER, LIBRARY) for text in (weak, LONG.replace("0.25", "0.125"))]
    monkeypatch.setattr(Mutation, "propose", lambda self, parent, rng: script.pop(0) if script else parent)
    config = configuration(
        start=["sgd"], batch=3, budget=12, lag=1, reevaluate=0.9, archive={"axes": ["size"], "depth": 1}
    )
    held = execute(config, tmp_path / "run")
    assert {row[0] for row in held["programs"]} == {0, 2}
    assert [(row[2], row[3], row[5]) for row in held["elites"]] == [(0, 0, 2), (2, 1, 2)]
    assert [row[:2] for row in held["evaluations"]] == [(b, r) for b in (0, 1) for r in (0, 1)]


def scaled(doublings, factor):
    """Gradient descent by a roundabout way: g doubled some times, lr, and a constant."""
    lines = ["a = g + g", *["a = a + a"] * (doublings - 1), "a = a * lr", f"update = a * {factor}"]
    return "def train(g, lr):\n  " + "\n  ".join(lines) + "\n  return update\n"


def test_a_replicate_that_diverged_is_not_forgotten_when_its_behaviour_comes_back(tmp_path, monkeypatch):
    weak, better, twin = scaled(2, 0.125), scaled(2, 0.25), scaled(6, 2.0**-7)
    script = [weak, better, None, twin]

    def propose(self, parent, rng):
        text = script.pop(0) if script else None
        return parse(text, OPTIMIZER, LIBRARY) if text else parent

    evaluate = toy.Bowl.evaluate

    def unlucky(self, graph, replicate, *args):
        if replicate == 1 and any(constant == 0.125 for constant in graph.constants):
            return Evaluation(Status.DIVERGED, None, 1, 1)
        return evaluate(self, graph, replicate, *args)

    monkeypatch.setattr(Mutation, "propose", propose)
    monkeypatch.setattr(toy.Bowl, "evaluate", unlucky)
    config = configuration(
        start=["sgd"], batch=2, budget=6, lag=1, reevaluate=0.9, replicates=2, archive={"axes": ["size"], "depth": 1}
    )
    held = execute(config, tmp_path / "run")
    assert [(row[2], row[3]) for row in held["elites"]] == [(0, 0), (2, 0), (4, 1)], "the weak one has lost its cell"
    first, second = (row[4] for row in held["evaluations"] if row[0] == 1)
    assert second is None
    assert held["elites"][2][5:7] == (2, (first - 2.0) / 2)


def test_without_a_share_nothing_is_evaluated_again(tmp_path):
    held = execute(configuration(reevaluate=0.0), tmp_path / "run")
    assert {row[1] for row in held["evaluations"]} == {0}


# --- faults -----------------------------------------------------------------------------------------------------------


def failing(monkeypatch, fails):
    """Lets the evaluator raise where `fails(graph, replicate, attempts before)`."""
    evaluate = toy.Bowl.evaluate
    attempts = Counter()

    def flawed(self, graph, replicate, thresholds=(), stages=None):
        key = canonical_key(graph), replicate, thresholds
        attempts[key] += 1
        if fails(graph, replicate, attempts[key] - 1):
            raise RuntimeError("a cable\nwas loose")
        return evaluate(self, graph, replicate, thresholds, stages)

    monkeypatch.setattr(toy.Bowl, "evaluate", flawed)


def uses(graph, *ops):
    return any(node.op in ops for node in graph.nodes)


def test_an_evaluator_that_raises_once_is_asked_again(tmp_path, whole, monkeypatch):
    failing(monkeypatch, lambda graph, replicate, before: before == 0)
    assert execute(configuration(), tmp_path / "run") == whole


def test_a_fault_that_stays_marks_candidate_and_run_and_is_never_cached(tmp_path, monkeypatch):
    failing(monkeypatch, lambda graph, replicate, before: uses(graph, "multiply", "sqrt"))
    held = execute(configuration(lag=1), tmp_path / "run")
    figures = counters(tmp_path / "run")
    assert_counts_add_up(figures, 320)
    faults = [row for row in held["evaluations"] if row[2] == "fault"]
    assert len(faults) == figures["failed.fault"] > 20
    assert {row[9] for row in faults} == {"RuntimeError: a cable was loose"}
    assert held["batches"][-1][1]["failures"]["fault"] == len(faults)
    ids = {row[0] for row in faults}
    with Run.resume(tmp_path / "run") as run:
        assert not ids & {b for layer in run.search.cache._layers for b in layer.values()}
    assert not ids & {row[3] for row in held["elites"]}
    assert held["elites"], "the others go on"


def test_a_fault_on_a_later_replicate_leaves_the_elite_as_it_is(tmp_path, monkeypatch):
    failing(monkeypatch, lambda graph, replicate, before: replicate in (1, 3))
    held = execute(configuration(lag=4, replicates=6, reevaluate=0.5, budget=640), tmp_path / "run")
    figures = counters(tmp_path / "run")
    assert_counts_add_up(figures, 640)
    statuses = {}
    for behaviour, replicate, status, *_ in held["evaluations"]:
        statuses.setdefault(behaviour, []).append(status)
        assert replicate == len(statuses[behaviour]) - 1
        assert (status == "fault") == (replicate in (1, 3))
    assert max(map(len, statuses.values())) == 6
    assert figures["reevaluations.fault"] == sum(row[2] == "fault" for row in held["evaluations"]) > 5
    assert all(row[5] == sum(s != "fault" for s in statuses[row[3]]) for row in held["elites"])


@pytest.mark.parametrize(
    "flaw",
    [
        {"score": float("nan")},
        {"score": None},
        {"stage_scores": (float("inf"), 1.0)},
        {"descriptors": {"tolerance": float("nan")}},
        {"descriptors": {}},
        {"replicate": 77},
        {"tasks": None},
        {"tasks": {"bowl": TaskResult(0.5, np.float32(0.5))}},  # type: ignore[arg-type]
        {"descriptors": {"tolerance": np.float32(0.5)}},
        {"message": "\ud800"},
    ],
    ids=str,
)
def test_an_evaluation_that_no_archive_can_hold_is_a_fault(tmp_path, monkeypatch, flaw):
    evaluate = toy.Bowl.evaluate

    def flawed(self, graph, *args):
        found = evaluate(self, graph, *args)
        return replace(found, **flaw) if uses(graph, "multiply") and found.status == "ok" else found

    monkeypatch.setattr(toy.Bowl, "evaluate", flawed)
    held = execute(configuration(budget=96), tmp_path / "run")
    assert_counts_add_up(counters(tmp_path / "run"), 96)
    assert any(row[2] == "fault" for row in held["evaluations"])
    assert any(row[2] == "ok" for row in held["evaluations"])


class Losing(Disorderly):
    """Workers that some units take with them."""

    def __init__(self, run, loses):
        super().__init__(run, 2, oldest_first)
        self._loses = loses

    def next(self):
        (finished,) = super().next()
        return [Finished(finished.unit, None, 0.0, "3 workers were\nlost") if self._loses(finished.unit) else finished]


@pytest.mark.parametrize("sort", [BreedUnit, EvaluateUnit])
def test_a_unit_that_workers_die_of_is_a_fault_of_its_candidate(tmp_path, sort):
    def loses(unit):
        at = getattr(unit, "slot", None) or getattr(unit, "behaviour", 0)
        return isinstance(unit, sort) and at % 5 == 3 and getattr(unit, "replicate", 0) == 0

    with Run.create(configuration(), tmp_path / "run") as run:
        run.execute(executor=Losing(run, loses))
        assert not any(b % 16 % 5 == 3 and sort is BreedUnit for b in run.search.cache._layers[0].values())
    figures = counters(tmp_path / "run")
    assert_counts_add_up(figures, 320)
    faults = [row for row in contents(tmp_path / "run")["evaluations"] if row[2] == "fault"]
    assert len(faults) == figures["failed.fault"] > 20
    assert {row[9] for row in faults} == {"3 workers were lost"}


def test_a_validation_that_workers_die_of_is_a_point_without_a_figure(tmp_path):
    config = configuration(validation={"every": 4})
    with Run.create(config, tmp_path / "run") as run:
        run.execute(executor=Losing(run, lambda unit: isinstance(unit, ValidateUnit)))
        assert {point.status for point in run.search.curve.points} == {"fault"}
    assert counters(tmp_path / "run")["validation.faults"] > 0


def test_a_proposer_that_raises_costs_one_candidate(tmp_path, monkeypatch):
    propose = Mutation.propose

    def flawed(self, parent, rng):
        if rng.bit_generator.state["state"]["state"] % 4 == 0:
            raise RecursionError("too deep")
        return propose(self, parent, rng)

    monkeypatch.setattr(Mutation, "propose", flawed)
    held = execute(configuration(), tmp_path / "run")
    assert 40 < counters(tmp_path / "run")["failed.fault"] < 120
    assert_counts_add_up(counters(tmp_path / "run"), 320)
    faults = [row for row in held["evaluations"] if row[2] == "fault"]
    assert {row[9] for row in faults} == {"RecursionError: too deep"}
