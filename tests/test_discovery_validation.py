"""The validation curve: it tells when a search overfits, judges nothing twice, and disturbs nothing."""

import io
import json
import threading
from dataclasses import replace

import pytest
import toy
from rich.console import Console
from runs import Disorderly, at_random, configuration, contents, counters, execute, newest_first
from test_discovery_display import PROGRESS, shown
from test_discovery_run import interrupt_at, refused

from archive.elite import Elite
from archive.evaluation import Status
from archive.plain import to_json
from archive.store import Store
from discovery.config_file import build
from discovery.display import Sparkline, line, panel, sparkline
from discovery.executors.in_process import InProcess
from discovery.report import summary
from discovery.run import Run
from discovery.validation import Curve, Point
from discovery.worker import Worker
from evaluators.domain import VALIDATION_REPLICATE
from evaluators.forms import canonical_graph
from primitives.fingerprint import fingerprint
from primitives.ops import LIBRARY

SORTS = [
    {"validation": {"every": 3, "patience": 2}},
    {"validation": {"every": 1, "patience": 2}, "lag": 4},
    {"validation": {"every": 2, "patience": 2, "then": "restart"}, "lag": 3},
    {"validation": {"every": 2, "patience": 1, "then": "restart"}, "restart": {"from": "best", "patience": 4}},
    {"validation": {"every": 3, "patience": 2, "then": "stop"}, "lag": 3},
]


def searched(**changes):
    return configuration(**{"budget": 320, **changes})


@pytest.fixture
def judged(monkeypatch):
    """(fingerprint, replicate) of every judgement on the larger task."""
    made = []
    evaluate = toy.Larger.evaluate

    def recorded(self, graph, replicate, thresholds=(), stages=None):
        made.append((fingerprint(graph, LIBRARY, toy.PROBE), replicate))
        return evaluate(self, graph, replicate, thresholds, stages)

    monkeypatch.setattr(toy.Larger, "evaluate", recorded)
    return made


def elite(behaviour, score=0.0):
    return Elite.scored(behaviour, behaviour, 0, 1, [score], {})


def curve(**options):
    return Curve(configuration(validation={"every": 2, "patience": 2, **options}))


def go(one, validations, first=0, status="ok"):
    """Takes points with these figures at every second batch; each is of a program of its own."""
    told = []
    for place, validation in enumerate(validations):
        batch = 2 * (first + place)
        one.choose(batch, 16 * batch, elite(first + place, place / 10))
        one.receive(batch, (status if validation is not None else "diverged", validation, "", 5))
        one.record()
        told.append(one.overfits)
    return told


# --- what the curve tells ---------------------------------------------------------------------------------------------


def test_a_search_overfits_after_as_many_programs_without_a_new_best():
    assert go(curve(), [0.0, 0.1, 0.1, 0.05, 0.2, None, 0.1]) == [False, False, False, True, False, False, True]
    assert go(curve(patience=3), [None, None, None, 0.0]) == [False, False, True, False]


def test_what_tells_nothing_new_does_not_count():
    one = curve(patience=1)
    go(one, [0.5])
    one.choose(2, 48, elite(0, 0.9))
    assert one.to_judge() is None, "its figure is known"
    assert one.record() == (Point(2, 48, 0, 0, 0.9, "ok", 0.5), 0)
    one.choose(4, 80, elite(7))
    one.receive(4, ("fault", None, "no room", 0))
    one.record()
    assert not one.overfits
    one.choose(6, 112, elite(7))
    assert one.to_judge() is not None, "a fault is never cached"


def test_after_a_restart_patience_starts_anew_and_the_best_stays():
    one = curve()
    assert go(one, [0.5, 0.1, 0.1])[-1]
    one.choose(6, 100, elite(50))
    one.begin_anew(7)
    one.receive(6, ("ok", 0.0, "", 5))
    one.record()
    assert not one.overfits, "a point of the old population"
    assert go(one, [0.1, 0.0, 0.0], first=4) == [False, False, True]
    assert one.best.validation == 0.5


def test_a_figure_for_another_point_is_left():
    one = curve()
    one.receive(0, ("ok", 1.0, "", 5))
    one.choose(2, 48, elite(0))
    one.receive(0, ("ok", 1.0, "", 5))
    assert one.to_judge().batch == 2
    assert one.known == ()


def test_a_restored_curve_goes_on_as_the_first_would():
    one = curve(then="restart")
    for place, validation in enumerate([0.0, 0.3, None, 0.1, 0.2, 0.0, 0.0]):
        go(one, [validation], place)
        if place == 3:
            one.begin_anew(2 * place)
        one.choose(2 * place + 1, 9, elite(100))
        again = curve(then="restart")
        again.restore(json.loads(to_json(one.state())), [2 * place + 1, "ok", 0.25, "", 7])
        assert to_json(again.state()) == to_json(one.state())
        assert (again.overfits, again.points) == (one.overfits, one.points)
        assert again.to_judge() is None
        one = again


# --- laws of a run ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", SORTS, ids=str)
def test_the_same_curve_and_archive_in_any_order_and_in_pieces(tmp_path, changes, judged):
    whole = execute(searched(**changes), tmp_path / "whole")
    told = summary(tmp_path / "whole")
    assert len(told["validation"]) >= 4
    assert len(set(judged)) == len(judged)
    with Run.create(searched(**changes), tmp_path / "disorder") as run:
        run.execute(executor=Disorderly(run, 3, at_random(5)))
    with Run.create(searched(**changes), tmp_path / "last") as run:
        run.execute(executor=Disorderly(run, 2, newest_first))
    judged.clear()
    Run.create(searched(**changes), tmp_path / "pieces").close()
    for batch in range(len(whole["batches"])):
        with Run.resume(tmp_path / "pieces") as run, pytest.raises(KeyboardInterrupt):
            run.execute(watch=interrupt_at(batch))
    assert {replicate for _, replicate in judged} == {VALIDATION_REPLICATE}
    assert len(set(judged)) == len(judged), "a resumed run repeats no validation"
    with Run.resume(tmp_path / "pieces") as run:
        assert run.execute().finished
    for place in ("disorder", "last", "pieces"):
        assert contents(tmp_path / place) == whole
        assert summary(tmp_path / place)["validation"] == told["validation"]


def test_the_curve_shows_the_best_after_every_so_many_batches(tmp_path):
    config = searched(validation={"every": 4}, lag=3)
    best = {}
    with Run.create(config, tmp_path / "run") as run:
        grid = run.search.grid
        run.execute(watch=lambda progress: best.setdefault(progress.batch, (grid.best().id, grid.best().mean)))
        validator = toy.Larger(toy.Options(), None)
        points = run.search.curve.known
        assert [(p.batch, p.candidates) for p in points] == [(b, 16 * (b + 1)) for b in range(0, 20, 4)]
        assert [(p.program, p.score) for p in points] == [best[p.batch] for p in points]
        for point in points:
            graph = canonical_graph(run.search.text(point.program), toy.DOMAIN)
            assert validator.evaluate(graph, VALIDATION_REPLICATE).score == point.validation
        assert run.search.curve.best == max(points, key=lambda p: p.validation or 0.0)


def test_validation_that_only_shows_changes_nothing_else(tmp_path):
    off = execute(searched(), tmp_path / "off")
    on = execute(searched(validation={"every": 3, "patience": 1}), tmp_path / "on")
    for name in ("programs", "evaluations", "elites", "plans", "batches"):
        assert on[name] == off[name]
    more = counters(tmp_path / "on")
    assert more.pop("validation.steps") > 0
    assert more.pop("validation.evaluations") > 0
    assert more.pop("validation.faults") == 0
    assert more == counters(tmp_path / "off"), "the steps of the search are its own"
    assert "validation" not in dict(off["state"])
    assert summary(tmp_path / "off")["validation"] is None


def test_a_run_that_overfits_ends_with_the_batches_that_were_planned(tmp_path):
    free = execute(searched(budget=640, validation={"every": 3, "patience": 2}, lag=3), tmp_path / "free")
    config = searched(budget=640, validation={"every": 3, "patience": 2, "then": "stop"}, lag=3)
    with Run.create(config, tmp_path / "run") as run:
        ended = run.execute()
    assert ended.finished
    assert ended.progress.overfits
    assert (ended.progress.share_done, ended.progress.seconds_left) == (1.0, 0.0)
    held = contents(tmp_path / "run")
    points = summary(tmp_path / "run")["validation"]
    assert len(held["batches"]) == points[-1]["batch"] + 3 + 3, "recorded `every` later, then the batches under way"
    assert held["batches"] == free["batches"][: len(held["batches"])]
    told = summary(tmp_path / "run")["validated"]
    assert (told["ended"], told["overfits"]) == (True, True)
    assert told["best"]["validation"] == max(point["validation"] for point in points)
    with Run.resume(tmp_path / "run", 6400) as run:
        assert run.execute(workers=8).finished, "and no worker is started"
    assert contents(tmp_path / "run") == held


def test_a_population_that_overfits_begins_anew_and_the_archive_stays(tmp_path):
    firsts, waited = {}, {}
    with Run.create(
        searched(budget=480, validation={"every": 2, "patience": 1, "then": "restart"}), tmp_path / "a"
    ) as run:
        people, one = run.search.islands.of(0), run.search.curve

        def watch(progress):
            firsts.setdefault(people._first, (progress.batch, len(run.search.grid.elites())))
            waited[progress.batch] = one.overfits

        run.execute(watch=watch)
        assert set(people.origins) == {0, 1}
    told = summary(tmp_path / "a")
    assert told["restarts"] == len(firsts) - 1 >= 2
    assert not any(waited.values()), "where it overfits, it begins anew in the same merge"
    held = [elites for _, elites in firsts.values()]
    assert held == sorted(held)
    starts = [batch for first, (batch, _) in firsts.items() if first]
    gaps = [p["batch"] for p in told["validation"] if any(s <= p["batch"] < s + 2 for s in starts)]
    assert not gaps, "an empty population has no best"


def test_a_stop_leaves_no_batch_waiting_for_a_validation(tmp_path):
    for cut in range(6):
        stop = threading.Event()
        config = searched(validation={"every": 2, "patience": 2}, lag=4)
        with Run.create(config, tmp_path / str(cut)) as run:
            run.execute(
                stop=stop,
                watch=lambda p, cut=cut, stop=stop: stop.set() if p.batch == cut else None,
                executor=Disorderly(run, 2, newest_first),
            )
            assert cut <= run.search.merged < cut + 4
            assert run.execute().finished
    assert contents(tmp_path / "0") == contents(tmp_path / "5")


def test_a_fault_of_the_validator_is_told_and_tried_again(tmp_path, monkeypatch):
    config = searched(validation={"every": 1, "patience": 1, "then": "stop"}, budget=48)
    called = []

    def broken(self, graph, replicate, thresholds=(), stages=None):
        called.append(graph)
        raise MemoryError("no room")

    monkeypatch.setattr(toy.Larger, "evaluate", broken)
    execute(config, tmp_path / "run")
    points = summary(tmp_path / "run")["validation"]
    assert {(p["status"], p["validation"], p["message"]) for p in points} == {("fault", None, "MemoryError: no room")}
    assert counters(tmp_path / "run")["validation.faults"] == 2
    assert len(called) == 4, "each twice"
    assert not summary(tmp_path / "run")["validated"]["overfits"]


def test_a_useless_figure_is_a_fault(tmp_path, monkeypatch):
    evaluate = toy.Bowl.evaluate
    monkeypatch.setattr(
        toy.Larger, "evaluate", lambda self, graph, r: replace(evaluate(self, graph, r), score=float("nan"))
    )
    execute(searched(validation={"every": 1}, budget=48), tmp_path / "run")
    assert all(point["status"] == Status.FAULT for point in summary(tmp_path / "run")["validation"])


# --- bad input --------------------------------------------------------------------------------------------------------


def test_a_domain_without_larger_tasks_is_told_and_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(toy, "DOMAIN", replace(toy.DOMAIN, validator=None))
    with refused("validation.every must be null where a domain has no larger tasks, got 5 for 'toy:DOMAIN'; leave"):
        Run.create(searched(validation={"every": 5}), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    execute(searched(budget=16), tmp_path / "run")


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ({"every": 0}, "validation.every must be an integer from 1 to 1000000000 or null .*got 0"),
        ({"every": 1, "patience": 0}, "validation.patience must be an integer from 1"),
        ({"every": 1, "then": "halt"}, "validation.then must be one of continue, stop, restart, got 'halt'"),
        ({"evry": 1}, "unknown key 'validation.evry'; did you mean 'every'"),
    ],
)
def test_a_wrong_setting_is_told(section, text):
    with refused(text):
        searched(validation=section)


# --- what is shown ----------------------------------------------------------------------------------------------------

POINTS = tuple(
    Point(10 * i, 640 * i, 100 + i, 100 + i, i / 100, "ok", validation)
    for i, validation in enumerate([-0.1, 0.02, None, 0.04, -0.05])
)


def test_the_view_shows_the_curve_and_says_when_it_overfits():
    progress = replace(PROGRESS, validation=POINTS, overfits=True)
    words = ("-0.0500 (#104, in the search +0.0400)", "best +0.0400 (#103, batch 30)", "overfitting")
    assert not [word for word in words if word not in line(progress)]
    text = shown(panel(progress))
    assert not [word for word in (*words, "▁▇ █▃") if word not in text]
    assert "overfitting" not in line(replace(progress, overfits=False))
    assert "validation" not in line(PROGRESS) + shown(panel(PROGRESS))
    assert "none yet" in line(replace(progress, validation=(), overfits=False))


def test_a_curve_is_drawn_in_what_the_terminal_has():
    assert sparkline([0.0, 1.0, 2.0, None, 7.0]) == "▁▂▃ █"
    assert sparkline([3.0, 3.0]) == "▁▁"
    assert sparkline([None]) + sparkline([]) == " "
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Console(file=file, width=4, force_terminal=True, color_system=None).print(Sparkline([9.0, 0.0, 0.5, None, 1.0]))
    file.seek(0)
    assert file.read() == "_- #\n"


def test_show_prints_the_last_points(tmp_path, capsys):
    from discovery.cli.runs import show

    execute(searched(validation={"every": 1}), tmp_path / "run")
    show(tmp_path / "run", top=2, as_json=False)
    text = capsys.readouterr().out
    table = text.partition("larger tasks\n")[2].splitlines()
    assert table[0].split() == ["batch", "candidates", "id", "score", "validation"]
    points = summary(tmp_path / "run")["validation"]
    assert [int(row.split()[0]) for row in table[1:]] == [point["batch"] for point in points[-12:]]
    assert f"{len(points)} points" in text


# --- optimizers -------------------------------------------------------------------------------------------------------


def test_update_rules_are_judged_on_larger_tasks(tmp_path):
    from evaluators.optimizers.judge import Judge  # JAX loads where it is needed

    config = build(
        {
            "domain": "optimizers",
            "batch": 4,
            "budget": 12,
            "lag": 1,
            "validation": {"every": 1},
            "evaluation": {"tasks": ["small_task:linear"], "validation_tasks": ["small_task:regression"]},
        }
    )
    with Run.create(config, tmp_path / "run") as run:
        worker = Worker(run.config, run.search.starts, run.proposer, None)
        run.execute(executor=InProcess(worker))
        first = run.search.curve.points[0]
        larger = worker._validator
        assert isinstance(larger, Judge)
        found = larger.evaluate(
            canonical_graph(run.search.text(first.program), run.search.domain), VALIDATION_REPLICATE
        )
    assert (set(found.tasks), found.score) == ({"regression"}, first.validation)
    points = summary(tmp_path / "run")["validation"]
    assert [point["batch"] for point in points][:2] == [0, 1]
    assert all(point["status"] in ("ok", "diverged") for point in points)
    assert points[0]["validation"] != points[0]["score"]
    with Store.read(tmp_path / "run") as store:
        assert all(set(e.tasks) <= {"linear"} for p in store.programs() for e in store.evaluations(p.behaviour))


def test_larger_tasks_are_named_once():
    with refused("validation_tasks must be named once each"):
        build({"evaluation": {"validation_tasks": ["char_lm", "char_lm"]}})
