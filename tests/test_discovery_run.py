"""The loop: the archive is a function of configuration and seed, nothing is evaluated twice, nothing stops a run."""

import gc
import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
import toy
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import Disorderly, at_random, configuration, contents, execute, newest_first, oldest_first

from archive.store import Store
from discovery.budget import Budget
from discovery.run import Run
from primitives.ops import LIBRARY
from primitives.program import OPTIMIZER
from primitives.text import parse

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What an undisturbed run holds, by changes to the configuration."""
    known = {}

    def held(**changes):
        key = json.dumps(changes, sort_keys=True)
        if key not in known:
            known[key] = execute(configuration(**changes), tmp_path_factory.mktemp("whole") / "run")
        return known[key]

    return held


@contextmanager
def refused(text):
    """A refusal is a ValueError of one line."""
    with pytest.raises(ValueError, match=text) as caught:
        yield
    assert "\n" not in str(caught.value)


def interrupt_at(batch):
    def watch(progress):
        if progress.batch == batch:
            raise KeyboardInterrupt

    return watch


# --- the archive is a function of configuration and seed --------------------------------------------------------------


@pytest.mark.parametrize("lag", [1, 2, 4])
def test_the_same_configuration_finds_the_same(tmp_path, whole, lag):
    assert execute(configuration(lag=lag), tmp_path / "run") == whole(lag=lag)


def test_another_seed_or_lag_finds_something_else(whole):
    runs = [whole(), whole(seed=1), whole(lag=1), whole(lag=4)]
    assert len({json.dumps(run["programs"]) for run in runs}) == len(runs)


@settings(max_examples=6)
@given(
    lag=st.sampled_from([1, 2, 4]),
    workers=st.integers(1, 5),
    seed=st.integers(0, 2**32),
    latest=st.sampled_from([0, 1]),
)
def test_neither_the_number_of_workers_nor_the_order_of_results_matters(
    tmp_path_factory, whole, lag, workers, seed, latest
):
    folder = tmp_path_factory.mktemp("disorder") / "run"
    with Run.create(configuration(lag=lag), folder) as run:
        run.execute(executor=Disorderly(run, workers, newest_first if latest else at_random(seed)))
    assert contents(folder) == whole(lag=lag)


@pytest.mark.parametrize(
    "changes",
    [
        {"strategy": {"name": "regularized_evolution", "population": 30}},
        {"strategy": {"name": "random"}},
        {"strategy": {"name": "constants"}},
        {"cache": {"entries": 40}},
        {"cache": {"functional": False, "counterfactual": 0.5}},
        {"restart": {"from": "start", "patience": 2}, "lag": 3},
        {"restart": {"from": "best", "patience": 2}, "strategy": {"name": "regularized_evolution"}},
    ],
    ids=str,
)
def test_every_sort_of_run_is_reproducible_in_disorder_and_in_pieces(tmp_path, whole, changes):
    folder = tmp_path / "run"
    with Run.create(configuration(**changes), folder) as run, pytest.raises(KeyboardInterrupt):
        run.execute(watch=interrupt_at(4), executor=Disorderly(run, 3, at_random(5)))
    with Run.resume(folder) as run:
        run.execute(executor=Disorderly(run, 2, newest_first))
    assert contents(folder) == whole(**changes)


@pytest.mark.parametrize("lag", [1, 2, 4])
def test_a_run_that_stops_at_any_batch_goes_on_as_if_it_had_not(tmp_path, whole, lag):
    expected = whole(lag=lag)
    last = len(expected["batches"]) - 1
    for cut in sorted({0, lag, 7, last - 1}):
        folder = tmp_path / f"asked-{cut}"
        stop = threading.Event()
        with Run.create(configuration(lag=lag), folder) as run:
            summary = run.execute(stop=stop, watch=lambda p, cut=cut, stop=stop: stop.set() if p.batch == cut else None)
            assert summary.progress.batch <= cut + lag - 1, "no batch is begun after the stop"
            assert summary.finished == (summary.progress.batch == last)
        with Run.resume(folder) as run:
            assert run.execute().finished
        assert contents(folder) == expected


def test_an_interrupted_run_goes_on_in_the_same_process_too(tmp_path, whole):
    with Run.create(configuration(), tmp_path / "run") as run:
        for cut in (0, 3, 4, 11):
            with pytest.raises(KeyboardInterrupt):
                run.execute(watch=interrupt_at(cut), executor=Disorderly(run, 3, newest_first))
        assert run.execute().finished
    assert contents(tmp_path / "run") == whole()


def test_a_timed_run_is_a_prefix_of_a_longer_one(tmp_path, whole):
    config = configuration(budget="0.2s")
    held = execute(config, tmp_path / "timed")
    batches = len(held["batches"])
    assert batches >= 1
    assert held == execute(configuration(budget=16 * batches), tmp_path / "counted")
    with Run.resume(tmp_path / "timed", Budget(candidates=max(320, 16 * batches))) as run:
        run.execute()
    assert contents(tmp_path / "timed")["batches"][:20] == whole()["batches"]


def test_a_budget_that_is_used_up_already_leaves_the_run_its_own(tmp_path):
    execute(configuration(budget=32), tmp_path)
    for budget, own in ((16, 32), (48, 48)):
        with Run.resume(tmp_path, Budget(candidates=budget)) as run:
            run.execute()
        with Run.resume(tmp_path) as run:
            assert run.config.budget == Budget(candidates=own)


def test_what_can_never_begin_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError, match="a grid must have axes of different names"):
        Run.create(configuration(archive={"axes": ["size", "size"]}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_budget_is_rounded_up_to_whole_batches_and_may_grow(tmp_path, whole):
    folder = tmp_path / "run"
    held = execute(configuration(budget=33), folder)
    assert len(held["batches"]) == 3
    for budget, batches in ((40, 3), (49, 4), (320, 20)):
        with Run.resume(folder, Budget(candidates=budget)) as run:
            assert run.execute().finished
            assert run.search.merged == batches - 1
    assert contents(folder) == whole()


def test_whether_a_run_is_finished_is_stored(tmp_path):
    folder = tmp_path / "run"

    def finished():
        with Store.read(folder) as store:
            return store.meta["finished"]

    execute(configuration(budget=32), folder)
    assert finished()
    with Run.resume(folder, Budget(candidates=320)) as run:
        with pytest.raises(KeyboardInterrupt):
            run.execute(watch=interrupt_at(5))
        assert not finished()
        run.execute()
    assert finished()


def test_garbage_is_looked_for_as_before_when_a_run_ends(tmp_path):
    before, seen = gc.get_threshold(), []
    with Run.create(configuration(budget=32), tmp_path / "run") as run:
        run.execute(watch=lambda progress: seen.append(gc.get_threshold()))
        assert gc.get_threshold() == before
    assert seen
    assert all(one[0] > before[0] and one[1:] == before[1:] for one in seen)

    def fail(progress):
        raise KeyboardInterrupt

    with Run.create(configuration(budget=32), tmp_path / "other") as run, pytest.raises(KeyboardInterrupt):
        run.execute(watch=fail)
    assert gc.get_threshold() == before


def test_a_finished_run_starts_no_workers(tmp_path, monkeypatch):
    with Run.create(configuration(budget=16), tmp_path / "run") as run:
        run.execute()
        monkeypatch.setattr("discovery.run.pool_of", lambda *args: pytest.fail("workers were started"))
        assert run.execute(workers=8).finished


# --- lineage and progress ---------------------------------------------------------------------------------------------


def test_parents_are_older_and_kept(whole):
    for changes in ({}, {"strategy": {"name": "regularized_evolution", "population": 30}}):
        held = whole(**changes)
        programs = {row[0]: row for row in held["programs"]}
        assert {0, 1} <= set(programs)
        for id, text, parent, proposer, batch, *_ in programs.values():
            assert batch == id // 16
            assert (parent is None) == (proposer == "start") == (id < 2)
            assert parent is None or (parent in programs and programs[parent][4] <= max(0, batch - 2))
            parse(text, OPTIMIZER, LIBRARY)
        # what a program scored is found, also where another of its behaviour was evaluated
        assert {row[-1] for row in programs.values()} <= {row[0] for row in held["evaluations"]}
        assert any(row[-1] != row[0] for row in programs.values())


def test_progress_is_told_after_every_batch(tmp_path):
    told = []
    with Run.create(configuration(), tmp_path / "run") as run:
        summary = run.execute(watch=told.append)
    assert [progress.batch for progress in told] == list(range(20))
    assert [progress.candidates for progress in told] == [16 * (batch + 1) for batch in range(20)]
    last = told[-1]
    assert last.share_done == 1.0
    assert last.seconds_left == 0.0
    assert summary.progress.best == last.best
    assert [best.score for best in last.best] == [
        pytest.approx(best["score"]) for best in contents(tmp_path / "run")["batches"][-1][1]["best"]
    ]
    for best in last.best:
        assert len(parse(best.text, OPTIMIZER, LIBRARY).statements) >= best.size
    assert set(last.seconds_by_part) == {"warm_up", "propose", "evaluate", "merge", "store"}
    assert sum(last.seconds_by_part.values()) <= last.seconds


# --- bad input --------------------------------------------------------------------------------------------------------


def test_a_run_folder_is_never_overwritten(tmp_path):
    execute(configuration(budget=16), tmp_path / "run")
    before = contents(tmp_path / "run")
    with refused("with a run in it; choose another, or resume"):
        Run.create(configuration(), tmp_path / "run")
    assert contents(tmp_path / "run") == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with refused("must have an empty folder"):
        Run.create(configuration(), tmp_path / "other")


def test_a_run_in_use_is_refused_also_to_another_process(tmp_path):
    with Run.create(configuration(), tmp_path / "run"):
        with refused("one writer"):
            Run.resume(tmp_path / "run")
        code = f"from discovery.run import Run; Run.resume({str(tmp_path / 'run')!r})"
        path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
        )
        assert f"in use by process {os.getpid()}" in done.stderr
    with Run.resume(tmp_path / "run") as run:
        run.execute()


def test_a_failed_start_leaves_the_folder_free(tmp_path, monkeypatch):
    with Run.create(configuration(), tmp_path / "run"):
        pass
    monkeypatch.setattr(toy, "DOMAIN", None)
    with refused("'toy:DOMAIN' must be a Domain"):
        Run.resume(tmp_path / "run")
    monkeypatch.undo()
    Run.resume(tmp_path / "run").close()


def test_what_is_no_run_of_this_version_is_refused(tmp_path):
    folder = tmp_path / "run"
    with refused("no folder"):
        Run.resume(folder)
    held = execute(configuration(), folder)
    file = folder / "run.sqlite"
    good = file.read_bytes()

    db = sqlite3.connect(file)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with refused("a newer Pride wrote it: update Pride"):
        Run.resume(folder)
    for bad in (good[: len(good) // 2], good[:100], good[:-7], b"", b"not a run" * 1000):
        file.write_bytes(bad)
        with refused("must be whole, got a damaged"):
            Run.resume(folder)
    file.write_bytes(good)
    assert contents(folder) == held


def test_a_store_without_a_parent_is_damaged(tmp_path):
    execute(configuration(), tmp_path / "run")
    db = sqlite3.connect(tmp_path / "run" / "run.sqlite")
    db.execute("DELETE FROM programs WHERE id > 1")
    db.commit()
    db.close()
    with Run.resume(tmp_path / "run", Budget(candidates=640)) as run, refused("the store is damaged"):
        run.execute()


def test_a_stored_configuration_of_another_version_is_told(tmp_path):
    execute(configuration(budget=16), tmp_path / "run")
    with Store.open(tmp_path / "run") as store:
        store.set_meta("config", store.meta["config"] + "archipelagos: 4\n")
    with refused("unknown key 'archipelagos'"):
        Run.resume(tmp_path / "run")


@pytest.mark.parametrize(
    ("start", "text"),
    [
        (["sgdd"], "start: sgdd: .*did you mean 'sgd'"),
        (["bad.py"], r"start: bad.py: .*multply"),
        (["empty.py"], "start: empty.py: "),
        (["wide.py"], "start: wide.py: .*state"),
        (["folder"], "start: folder: .*must be"),
        (["sgd", "adam", "lion", "signum", "rmsprop"], "fit into the first batch of 4 candidates, got 5 programs"),
    ],
)
def test_a_start_that_is_none_is_told_and_leaves_no_folder(tmp_path, monkeypatch, start, text):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("bad.py").write_text("def train(g, lr):\n  update = multply(g, lr)\n  return update\n")
    Path("empty.py").write_text("")
    names = ", ".join(f"s{i}" for i in range(9))
    Path("wide.py").write_text(f"def train(g, lr, {names}):\n  update = g * lr\n  return update, {names}\n")
    with refused(text):
        Run.create(configuration(start=start, batch=4), "run")
    assert not Path("run").exists()


def test_an_axis_that_the_domain_does_not_measure_is_told(tmp_path):
    config = configuration(archive={"axes": ["size", "tolerence"]})
    with refused(
        "archive.axes must be among state_buffers, size, tolerance, got 'tolerence'; did you mean 'tolerance'"
    ):
        Run.create(config, tmp_path / "run")


def test_axes_of_the_configuration_span_the_archive(tmp_path):
    execute(
        configuration(archive={"axes": ["tolerance", {"name": "size", "edges": [2, 6]}], "depth": 2}), tmp_path / "a"
    )
    with Store.read(tmp_path / "a") as store:
        cells = Counter(elite.cell for elite in store.elites())
        for elite in store.elites():
            size, tolerance = elite.descriptors["size"], elite.descriptors["tolerance"]
            assert elite.cell == 3 * ((tolerance >= 0.5) + (tolerance >= 0.9)) + (size >= 2) + (size >= 6)
    assert max(cells.values()) == 2


def test_oldest_first_is_what_one_process_does(tmp_path, whole):
    with Run.create(configuration(), tmp_path / "run") as run:
        run.execute(executor=Disorderly(run, 1, oldest_first))
    assert contents(tmp_path / "run") == whole()


def test_a_resume_on_another_machine_is_told(tmp_path):
    with Run.create(configuration(), tmp_path / "run") as made:
        assert made.differences() == []
        machine = {**made.store.meta["machine"], "jax": "0.0.1", "processor": "another"}
        made.store.set_meta("machine", machine)
    with Run.resume(tmp_path / "run") as resumed:
        told = resumed.differences()
    assert len(told) == 2
    assert any(line.startswith("jax: was 0.0.1, is ") for line in told)
