"""The judge: scores, statuses, hurdles, descriptors, and baselines that are tuned once and never mistaken."""

import functools
import json
import math
import re
from dataclasses import asdict, astuple, replace

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError
from small_task import RATES, linear

from archive import library
from archive.evaluation import Evaluation, Status
from discovery.config import Config
from discovery.config_file import build
from discovery.worker import EvaluateUnit, Worker
from evaluators.domain import Request
from evaluators.optimizers import DOMAIN, baselines
from evaluators.optimizers import judge as judges
from evaluators.optimizers.baselines import SEEDS, Setting, adamw, best_rate, measure, tune, tuned
from evaluators.optimizers.judge import CLIP, IGNORES_RATE, TOLERANCE, Judge, task_score, tolerance
from evaluators.optimizers.options import Limits, Options, Stage
from evaluators.optimizers.rules import interpreter
from evaluators.optimizers.task import LEARNING_RATES
from evaluators.optimizers.training import Training
from primitives.encode import Capacity
from primitives.graph import Graph, check
from primitives.interpreter import Machine
from primitives.ops import LIBRARY
from primitives.program import OPTIMIZER
from primitives.simplify import canonicalize
from primitives.text import parse

TASKS = ("small_task:linear", "small_task:regression")
STEPS = 20
SHORT, FULL, FIRM = range(3)
STAGES = (Stage(name="short", share=0.25), Stage(name="full", share=1.0), Stage(name="firm", share=1.0, seeds=3))

finite = st.floats(2.0**-126, 2.0**127)  # losses are float32
rows = arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(1, 5)),
    elements=st.one_of(st.floats(0.125, 100.0, width=32), st.sampled_from([np.nan, np.inf])),
)


def graph_of(text: str) -> Graph:
    return canonicalize(check(parse(text, OPTIMIZER, LIBRARY), LIBRARY), LIBRARY, "float32")


def rule(name: str) -> Graph:
    return graph_of(library.text(name))


def update(expression: str) -> Graph:
    return graph_of(f"def train(w, g, lr):\n    update = {expression}\n    return update\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    """Where the judges of this file keep what they tune."""
    return str(tmp_path_factory.mktemp("baselines"))


@pytest.fixture(scope="module")
def judge(folder) -> Judge:
    """Stages: 5 steps, 20 steps, 20 steps on three seeds."""
    return Judge(Options(tasks=TASKS, stages=STAGES), folder)


@functools.cache
def training() -> Training:
    """Never run: a key and a file name are all that is asked of it."""
    return Training(linear(), LIBRARY, OPTIMIZER, Capacity())


# --- scores -----------------------------------------------------------------------------------------------------------


@given(finite, finite)
def test_a_score_is_the_clipped_log_ratio_to_the_baseline(loss, baseline):
    score = task_score(loss, baseline)
    assert -CLIP <= score <= CLIP
    ratio = math.log(baseline) - math.log(loss)
    assert score == pytest.approx(max(-CLIP, min(CLIP, ratio)), abs=1e-9)
    assert task_score(baseline, baseline) == 0.0
    assert task_score(0.0, baseline) == task_score(-loss, baseline) == CLIP


@given(rows)
def test_the_best_rate_has_the_lowest_mean_over_seeds_that_are_all_finite(losses):
    columns = [
        (float(np.mean(column.astype(np.float64))), i) for i, column in enumerate(losses.T) if np.isfinite(column).all()
    ]
    best = best_rate(losses)
    if not columns:
        assert best is None
    else:
        assert best is not None
        assert (best[1], best[0]) == min(columns)


@given(rows.filter(lambda losses: best_rate(losses) is not None))
def test_the_tolerance_is_the_share_of_rates_near_the_best(losses):
    means = [float(np.mean(column.astype(np.float64))) for column in losses.T]
    lowest = min(mean for mean in means if math.isfinite(mean))
    share = tolerance(losses)
    if len(means) > 1 and len(set(means)) == 1:
        assert share is None
    else:
        assert share == pytest.approx(sum(mean <= TOLERANCE * lowest for mean in means) / len(means))


def test_an_evaluation_follows_from_the_losses(judge):
    found = judge.evaluate(rule("adam"), 0)
    assert found.status is Status.OK
    for i, run in enumerate(judge.trainings):
        losses = run.losses(run.load(rule("adam")), 0, STEPS, 3).astype(np.float64).mean(axis=0)
        result = found.tasks[run.task.name]
        assert result.loss == losses.min()
        assert result.learning_rate == RATES[losses.argmin()]
        assert result.baseline_loss == judge.baseline(i, FIRM, 0).loss
        assert result.score == task_score(losses.min(), judge.baseline(i, FIRM, 0).loss)
    scores = [result.score for result in found.tasks.values()]
    assert found.score == found.stage_scores[-1] == np.mean(scores)
    assert len(found.stage_scores) == 3
    assert found.stage == FIRM
    assert replace(judge.evaluate(rule("adam"), 0), seconds=found.seconds) == found


def test_a_stage_counts_what_an_earlier_one_has_run(judge):
    """Of the three seeds of the last stage the first has been trained at the one before."""
    lanes = 2 * len(RATES)
    assert judge.evaluate(rule("adam"), 0).steps == lanes * (5 + STEPS + 2 * STEPS)
    assert judge.evaluate(rule("adam"), 0, (), range(FIRM, FIRM + 1)).steps == lanes * 3 * STEPS
    assert judge.evaluate(rule("adam"), 0, (CLIP + 1,)).steps == lanes * 5


def test_the_baseline_is_the_best_setting_at_its_best_rate(judge):
    run = judge.trainings[0]
    best = judge.baseline(0, SHORT, 1)
    at = run.losses(run.load(adamw(*astuple(best.setting))), 1, 5)
    assert best_rate(at) == (RATES.index(best.learning_rate), best.loss)

    def tuning_loss(setting):
        found = best_rate(run.losses(run.load(adamw(*setting)), 0, STEPS, SEEDS))
        return math.inf if found is None else found[1]

    assert astuple(best.setting) == min(map(astuple, baselines.SETTINGS), key=tuning_loss)
    assert judge.baseline(0, SHORT, 0).setting == best.setting


def test_the_tuned_baseline_scores_nothing(judge):
    settings = [judge.baseline(task, FIRM, 0).setting for task in range(len(TASKS))]
    for task, setting in zip(judge.trainings, settings, strict=True):
        found = judge.evaluate(adamw(*astuple(setting)), 0)
        assert found.tasks[task.task.name].score == 0.0


def test_replicates_differ_and_stages_are_chosen(judge):
    first, second = (judge.evaluate(rule("lion"), replicate) for replicate in (0, 1))
    assert first.score != second.score
    last = judge.evaluate(rule("lion"), 0, (), range(FIRM, FIRM + 1))
    assert last.score == first.score
    assert last.stage_scores == first.stage_scores[FIRM:]


GOOD = Evaluation(Status.OK, 0.5, 2, 0, {}, {"learning_rate_tolerance": 0.5}, (0.1, 0.3, 0.5))


@pytest.fixture
def several(folder, monkeypatch) -> Judge:
    """As `judge`, but three programs train side by side, as on an accelerator."""
    monkeypatch.setattr(judges, "usual_width", lambda task, capacity: 3)
    return Judge(Options(tasks=TASKS, stages=STAGES, capacity=Limits(**WIDE)), folder)


def test_programs_that_are_judged_at_once_come_out_as_one_by_one(several):
    assert several.together > 3
    of = ["sgd", "adam", "lion", "fadam", "muon", "heavy_ball", "sgd"]
    graphs = [*map(rule, of), update("g * 1e30"), crowded(80)]
    middle = several.evaluate(rule("sgd"), 0).stage_scores[FULL]
    thresholds = (-CLIP, math.nextafter(middle, math.inf))
    requests = [Request(graph, number % 2, thresholds if number % 3 else ()) for number, graph in enumerate(graphs)]
    requests.append(Request(rule("lion"), 5, (), range(FIRM, FIRM + 1)))
    found = several.evaluate_all(requests)
    assert {one.status for one in found} == {Status.OK, Status.HURDLED, Status.DIVERGED, Status.INVALID}
    alone = [several.evaluate(*request) for request in requests]
    assert [replace(one, seconds=0.0) for one in found] == [replace(one, seconds=0.0) for one in alone]
    assert len({one.seconds for one in found}) == 1
    assert several.evaluate_all([]) == []


def test_a_worker_judges_at_once_what_goes_together_and_finds_whose_fault_it_is(several, monkeypatch):
    config = build({"evaluation": {"tasks": list(TASKS)}, "start": ["sgd"]})
    worker = Worker(config, (library.text("sgd"),), "mutation", None)
    worker.evaluator = several
    texts = [library.text(name) for name in ("lion", "adam", "rmsprop", "heavy_ball")]
    units = [EvaluateUnit(0, number, text, 0, (), False) for number, text in enumerate(texts)]
    counted = []
    whole = several.evaluate_all
    monkeypatch.setattr(several, "evaluate_all", lambda asked: counted.append(len(asked)) or whole(asked))
    at_once = worker.run(units)
    assert counted == [len(units)]
    assert [one.unit for one in at_once] == units
    one_by_one = [worker.run([unit])[0] for unit in units]
    bare = [[replace(one.results.evaluation, seconds=0.0) for one in found] for found in (at_once, one_by_one)]
    assert bare[0] == bare[1]

    def poisoned(asked):
        if any(request.graph == rule("adam") for request in asked):
            raise RuntimeError("RESOURCE_EXHAUSTED")
        return whole(asked)

    monkeypatch.setattr(several, "evaluate_all", poisoned)
    counted.clear()
    statuses = [one.results.evaluation.status for one in worker.run(units)]
    assert statuses == [Status.OK, Status.FAULT, Status.OK, Status.OK]
    monkeypatch.setattr(several, "evaluate_all", whole)
    monkeypatch.setattr(
        worker, "_static", lambda graph: {} if graph == rule("lion") else {"state_buffers": 1, "size": 1}
    )
    with_gap = [one.results.evaluation for one in worker.run(units)]
    assert [one.status for one in with_gap] == [Status.FAULT, Status.OK, Status.OK, Status.OK]
    assert "every axis of the archive must have a value" in with_gap[0].message


def test_of_many_that_are_judged_at_once_a_bad_one_costs_few_others_their_time(several, monkeypatch):
    config = build({"evaluation": {"tasks": list(TASKS)}, "start": ["sgd"]})
    worker = Worker(config, (library.text("sgd"),), "mutation", None)
    worker.evaluator = several
    units = [EvaluateUnit(0, number, library.text("sgd"), number, (), False) for number in range(64)]
    calls = []

    def flawed(asked):
        calls.append(len(asked))
        if any(request.replicate == 37 for request in asked):
            raise RuntimeError("RESOURCE_EXHAUSTED")
        return [replace(GOOD, replicate=request.replicate) for request in asked]

    monkeypatch.setattr(several, "evaluate_all", flawed)
    found = worker.run(units)
    assert [one.unit for one in found] == units
    assert [one.results.evaluation.status is Status.FAULT for one in found] == [n == 37 for n in range(64)]
    assert len(calls) <= 2 * 6 + 2


# --- statuses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [SHORT, FULL, FIRM])
def test_a_hurdle_stops_a_weak_rule_at_its_stage(judge, stage):
    passed = judge.evaluate(rule("sgd"), 0, (-CLIP, -CLIP, -CLIP))
    assert passed.status is Status.OK
    before, at = passed.stage_scores[:stage], passed.stage_scores[stage]
    met = judge.evaluate(rule("sgd"), 0, (*before, at))  # what equals a hurdle has met it
    assert met.status is Status.OK
    stopped = judge.evaluate(rule("sgd"), 0, (*before, math.nextafter(at, math.inf)))
    assert stopped.status is Status.HURDLED
    assert (stopped.stage, stopped.score, stopped.stage_scores) == (stage, at, passed.stage_scores[: stage + 1])
    assert not stopped.descriptors


@pytest.mark.parametrize("factor", [1e30, -1e8])
def test_what_is_finite_at_no_learning_rate_diverged(judge, factor):
    found = judge.evaluate(update(f"g * {factor}"), 0)
    assert found.status is Status.DIVERGED
    assert found.score is None
    assert not found.descriptors
    assert found.message == "not finite on linear at any learning rate"
    assert found.tasks["linear"].score == -CLIP
    assert found.tasks["linear"].loss is None


NARROW = {"tensors": 32, "smalls": 32, "instructions": 32}
WIDE = {"tensors": 64, "smalls": 64, "instructions": 96}


def crowded(values: int) -> Graph:
    """A rule that holds as many tensors at once."""
    held = "".join(f"    a{i} = power(g, {i + 2}.0)\n" for i in range(values))
    total = "".join(f"    update = update * a{i}\n" for i in reversed(range(values)))
    return graph_of(f"def train(w, g, lr):\n{held}    update = g * lr\n{total}    return update\n")


@pytest.mark.parametrize(
    ("capacity", "words"),
    [
        (NARROW, "at most 29 constants"),
        (NARROW | {"smalls": 64}, "at most 32 live TENSOR values"),
        (WIDE | {"instructions": 32}, "at most 32 instructions"),
        (WIDE, None),
    ],
)
def test_what_the_interpreter_has_no_room_for_is_invalid(folder, capacity, words):
    judge = Judge(Options(tasks=TASKS[:1], capacity=Limits(**capacity)), folder)
    found = judge.evaluate(crowded(40), 0)
    if words is None:
        assert found.status is not Status.INVALID
        return
    assert found.status is Status.INVALID
    assert re.search(f"{words}.*; shorten it", found.message)
    assert "\n" not in found.message


def test_what_is_compiled_is_told_without_an_interpreter():
    machine = interpreter(training().task, LIBRARY, OPTIMIZER, Capacity())
    for name in library.names():
        assert DOMAIN.compiled(rule(name)) == machine.stranger(rule(name))


def test_the_least_capacity_has_room_for_the_library_and_the_baselines():
    least = Capacity(**Limits(tensors=32, smalls=32, instructions=32).model_dump())
    machine = Machine(LIBRARY, OPTIMIZER, training().task.layout, least)
    with pytest.raises(ValidationError, match="greater than or equal to 32"):
        Limits(tensors=31)
    for setting in baselines.SETTINGS:
        machine.encode(adamw(*astuple(setting)))
    interpreted = [name for name in library.names() if machine.stranger(rule(name)) is None]
    assert {"adamw", "lamb", "fadam"} <= {*interpreted}
    for name in ("adamw", "lamb", "fadam", "lion", "ademamix", "nadamw", "novograd"):
        machine.encode(rule(name))
    usual = Machine(LIBRARY, OPTIMIZER, training().task.layout, Capacity())
    for name in interpreted:
        usual.encode(rule(name))


def test_the_usual_capacity_is_that_of_the_interpreter():
    assert Capacity(**Options().capacity.model_dump()) == Capacity()


# --- descriptors ------------------------------------------------------------------------------------------------------


def test_rules_can_reach_every_cell():
    """Coverage counts all cells: none may be out of reach with the default tasks and states."""
    lanes, tasks, states = len(LEARNING_RATES), len(Options().tasks), Config().states
    shares = [count / (lanes * tasks) for count in range(tasks, lanes * tasks + 1)]
    values = {
        "state_buffers": range(states + 1),
        "size": range(1, Config().max_statements + 1),
        "learning_rate_tolerance": [*shares, IGNORES_RATE],
    }
    for axis in DOMAIN.descriptors:
        assert {axis.bin(value) for value in values[axis.name]} == set(range(axis.bins)), axis.name


def test_a_rule_that_ignores_the_learning_rate_has_a_bin_of_its_own(judge):
    axis = next(axis for axis in DOMAIN.descriptors if axis.name == "learning_rate_tolerance")
    found = judge.evaluate(update("g * 0.01"), 0)
    assert found.descriptors == {axis.name: IGNORES_RATE}
    shares = [k / n for n in range(1, 65) for k in range(n + 1)]
    assert axis.bin(IGNORES_RATE) not in {axis.bin(share) for share in shares}
    follows = judge.evaluate(rule("sgd"), 0).descriptors[axis.name]
    assert 0.0 < follows <= 1.0


def test_the_tolerance_is_the_mean_over_tasks(judge):
    found = judge.evaluate(rule("sign_sgd"), 0)
    shares = [tolerance(run.losses(run.load(rule("sign_sgd")), 0, STEPS, 3)) for run in judge.trainings]
    assert found.descriptors["learning_rate_tolerance"] == np.mean([share for share in shares if share is not None])


def test_other_learning_rates_leave_the_baseline_and_the_descriptor(judge, folder):
    """A text with a scale of its own finds its learning rate; the share counts the task's own lanes only."""
    scaled = graph_of("def train(g, lr):\n    a = lr * 0.001\n    update = g * a\n    return update\n")
    rates = (*RATES, *(1000 * rate for rate in RATES))
    wide = Judge(Options(tasks=TASKS[:1], stages=STAGES), folder, learning_rates=rates)
    found, narrow, plain = wide.evaluate(scaled, 0), judge.evaluate(scaled, 0), judge.evaluate(rule("sgd"), 0)
    result, before, own = (one.tasks["linear"] for one in (found, narrow, plain))
    assert result.baseline_loss == before.baseline_loss
    assert own.learning_rate is not None
    assert result.learning_rate == pytest.approx(1000 * own.learning_rate)
    assert result.loss == pytest.approx(own.loss, rel=1e-4)
    assert result.score > before.score
    run = wide._sweeps[0]
    losses = run.losses(run.load(rule("sgd")), 0, STEPS, 3)
    expected = tolerance(losses, [True] * len(RATES) + [False] * len(RATES))
    assert wide.evaluate(rule("sgd"), 0).descriptors == {"learning_rate_tolerance": expected}


# --- baselines --------------------------------------------------------------------------------------------------------


KNOWN = Setting(0.1 + 0.2, 0.99, 0.0)


@pytest.fixture
def tunings(monkeypatch) -> list[tuple]:
    """Counts what is tuned, in place of tuning."""
    asked = []

    def count(run):
        asked.append(run.task.name)
        return KNOWN

    monkeypatch.setattr(baselines, "tune", count)
    monkeypatch.setattr(Training, "losses", lambda *args: np.full((1, len(RATES)), 0.5, np.float32))
    return asked


def ask(folder, run=None, anew=False) -> Setting:
    return tuned(run or training(), str(folder) if folder else None, anew)


def test_a_setting_is_tuned_once_and_comes_back_with_every_bit(tunings, tmp_path):
    folder = tmp_path / "new" / "folder"
    assert [ask(folder) for _ in range(3)] == [KNOWN] * 3
    assert len(tunings) == 1
    assert ask(folder, anew=True) == KNOWN
    assert ask(None) == KNOWN
    assert len(tunings) == 3
    assert len(list(folder.iterdir())) == 1


def changed(what: str) -> Training:
    task = linear()
    other = {
        "data": {"train": (task.train[0], task.train[1] + np.float32(1e-6))},
        "validation": {"valid": (task.valid[0] * np.float32(2.0), task.valid[1])},
        "loss": {"loss": lambda w, batch: task.loss(w, batch) + np.float32(1e-3)},
        "initial": {"initial": lambda rng: task.initial(rng) * np.float32(0.5)},
        "batch": {"batch": task.batch + 1},
        "steps": {"steps": task.steps + 1},
        "learning rates": {"learning_rates": (*RATES, 1.0)},
    }.get(what, {})
    splits = ("test",) if what == "split" else ("valid",)
    return Training(replace(task, **other), LIBRARY, OPTIMIZER, Capacity(), splits)


@pytest.mark.parametrize("what", ["data", "validation", "loss", "initial", "batch", "steps", "learning rates", "split"])
def test_a_changed_task_never_meets_old_figures(what, tunings, tmp_path):
    ask(tmp_path)
    ask(tmp_path, changed(what))
    assert len(tunings) == 2
    ask(tmp_path, changed("nothing"))
    assert len(tunings) == 2


def test_other_settings_and_code_never_meet_old_figures(tunings, tmp_path, monkeypatch):
    ask(tmp_path)
    for owner, name, value in (
        (baselines, "SETTINGS", baselines.SETTINGS[1:]),
        (baselines, "SEEDS", 4),
        (jax, "__version__", "0.0.0"),
        (baselines, "processor", lambda: "another CPU"),
        (baselines, "_code", lambda: "other"),
    ):
        before = len(tunings)
        monkeypatch.setattr(owner, name, value)
        ask(tmp_path)
        ask(tmp_path)
        assert len(tunings) == before + 1, name


def test_the_code_is_all_that_losses_depend_on(monkeypatch):
    """A change of the source of what trains gives another key."""
    from evaluators.optimizers import rules
    from evaluators.optimizers import training as trains
    from primitives import encode, interpreter, reference
    from primitives.ops import arithmetic, elementary, reductions

    real, before = baselines.inspect.getsource, baselines._code.__wrapped__()
    for module in (trains, rules, interpreter, encode, reference, arithmetic, elementary, reductions):
        monkeypatch.setattr(baselines.inspect, "getsource", lambda o, module=module: real(o) + "#" * (o is module))
        assert baselines._code.__wrapped__() != before, module
    monkeypatch.setattr(baselines.inspect, "getsource", real)
    assert baselines._code.__wrapped__() == before


@pytest.mark.parametrize("content", ["", '{"beta1": 1.0', "[]", '{"beta1": 1.0}', "\x00"])
def test_a_damaged_file_is_tuned_anew(content, tunings, tmp_path):
    ask(tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_text(content)
    assert ask(tmp_path) == KNOWN
    assert len(tunings) == 2
    assert json.loads(file.read_text()) == asdict(KNOWN)


def test_a_folder_that_cannot_be_written_only_costs_time(tunings, tmp_path):
    (tmp_path / "file").touch()
    assert ask(tmp_path / "file" / "below") == KNOWN
    assert len(tunings) == 1


@pytest.mark.parametrize(("loss", "got"), [(math.nan, "no finite one"), (0.0, "0"), (-1.0, "-1")])
def test_a_task_on_which_adamw_gets_nowhere_is_an_error(loss, got, monkeypatch):
    monkeypatch.setattr(Training, "losses", lambda *args: np.full((1, len(RATES)), loss, np.float32))
    with pytest.raises(ValueError, match=f"a positive, finite loss on task 'linear', got {got} at any"):
        measure(training(), KNOWN, 0, STEPS, 1)


def test_a_setting_that_diverges_is_not_taken(monkeypatch):
    answers = np.repeat([np.nan, 0.5, np.nan, 0.25, *[np.nan] * 32], SEEDS)
    monkeypatch.setattr(
        Training,
        "run_all",
        lambda self, wanted, steps: [np.full((1, len(RATES)), answer, np.float32) for answer in answers[: len(wanted)]],
    )
    assert tune(training()) == baselines.SETTINGS[3]


def test_nothing_is_compiled_after_the_warm_up_though_all_baselines_are_known(tmp_path):
    options = Options(tasks=TASKS[:1], stages=(Stage(name="only", share=0.5),))
    Judge(options, str(tmp_path)).warm_up()
    ready, compiled = Judge(options, str(tmp_path)), []
    ready.warm_up()

    def listen(event, duration_secs, **kwargs):
        compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        machine = ready.trainings[0].machine
        for graph in map(rule, library.names()):
            if machine.stranger(graph) is None:
                assert ready.evaluate(graph, 0).status is Status.OK
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert not [event for event in compiled if "compile" in event]


def test_baselines_are_shown_by_task_and_stage(tunings, tmp_path):
    shown = Judge(Options(tasks=TASKS, stages=STAGES), str(tmp_path)).baselines()
    assert list(shown) == [
        f"{task}/{stage}" for task in ("linear", "regression") for stage in ("short", "full", "firm")
    ]
    assert shown["linear/short"] == {"steps": 5, "loss": 0.5, "learning_rate": RATES[0], **asdict(KNOWN)}
    assert tunings == ["linear", "regression"]


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"tasks": ("digits_mlp", "digits_mlp")},
        {"stages": ({"name": "a", "share": 0.5}, {"name": "a", "share": 1.0})},
        {"learning_rates": (0.1, 0.1)},
        {"learning_rates": (0.1, 0.01)},
        {"learning_rates": (0.0, 0.1)},
        {"stages": ({"name": "a", "share": 1.5},)},
        {"stages": ({"name": "a", "share": 1.0, "seeds": 0},)},
        {"stages": ()},
        {"tasks": ()},
        {"unknown": 1},
    ],
)
def test_refuses_options_that_mean_nothing(options):
    with pytest.raises(ValidationError):
        Options.model_validate_json(json.dumps(options))
