"""Executors: the same archive from this process and from Ray, also where workers die."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from runs import configuration, contents, execute

from archive.store import Store
from discovery.config_file import build, dump
from discovery.executors.in_process import InProcess
from discovery.executors.pace import Pace
from discovery.executors.queue import Queue
from discovery.executors.ray_pool import ATTEMPTS
from discovery.run import Run, pool_of
from discovery.worker import BreedUnit, EvaluateUnit, Worker

ROOT = Path(__file__).parent.parent


def texts_of(config, folder):
    """Start programs as a run adopts them."""
    with Run.create(config, folder) as run:
        return run.search.starts


def bred_by(worker, batch, slots, parents, texts) -> list[Any]:
    units = [BreedUnit(batch, slot, parent, texts[parent]) for slot, parent in zip(slots, parents, strict=True)]
    return [one.results for one in worker.run(pickle.loads(pickle.dumps(units)))]


def judged_by(worker, *units) -> list[Any]:
    return [one.results for one in worker.run(pickle.loads(pickle.dumps(units)))]


# --- workers ----------------------------------------------------------------------------------------------------------


def test_units_and_results_travel(tmp_path):
    config = configuration()
    starts = texts_of(config, tmp_path / "run")
    workers = [Worker(config, starts, "mutation", None) for _ in range(2)]
    asked = 3, (0, 1, 5), (0, 1, 0), dict(enumerate(starts))
    bred = bred_by(workers[0], *asked)
    assert bred_by(workers[1], *asked) == bred, "a worker's past decides nothing"
    assert [one.id for one in bred] == [48, 49, 53]
    assert [one.parent for one in bred] == [0, 1, 0]
    assert bred_by(workers[0], *asked) == bred
    assert bred_by(workers[0], 3, (5, 1, 0), (0, 1, 0), asked[-1])[::-1] == bred, "nor does what came before"
    units = [EvaluateUnit(3, one.id, one.text, 0, (), False) for one in bred if one.status is None]
    for unit, one in zip(units, judged_by(workers[1], *units), strict=True):
        again = judged_by(workers[0], unit)[0]
        assert again.evaluation.score == one.evaluation.score, "a worker's past decides nothing here either"


def test_urgent_units_come_first_and_in_order():
    queue = Queue()
    for number in range(3):
        queue.put([number])
        queue.put([-number], first=True)
    out = queue.take(2)
    queue.put_back(out)
    assert len(queue) == 6
    assert queue.head() == 0
    assert [queue.take(4), queue.take(2), queue.take(4)] == [[0, -1, -2], [0, 1], [2]]


def test_what_is_taken_together_is_of_one_sort():
    queue = Queue()
    queue.put([1, 2, "three", 4])
    assert [queue.take(9) for _ in range(3)] == [[1, 2], ["three"], [4]]


def test_every_flag_reaches_xla():
    """XLA looks no further than the first word that is no flag; one that it does not know it refuses."""
    code = """
import os
from discovery.device import configure
configure()
os.environ["XLA_FLAGS"] += " --xla_there_is_no_such_flag=1"
import jax
jax.devices()
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    (told,) = [line for line in ended.stderr.splitlines() if "nknown flag" in line]
    assert told.endswith("--xla_there_is_no_such_flag=1")


def test_units_that_go_together_fill_a_call_however_long_one_takes_alone():
    pace, own = Pace(), {}
    assert pace.portion(int, own, 1000, 2, 128) == 128
    assert pace.portion(int, own, 100, 2, 128) == 50, "no more than a share"
    pace.note(int, own, 10.0)
    assert pace.portion(int, own, 1000, 2, 128) == 128
    assert pace.portion(int, own, 100, 2, 128) == 50
    for _ in range(200):
        pace.note(int, own, 0.0001)
    assert pace.portion(int, own, 10_000, 2, 128) > 2000


def test_a_call_is_as_long_as_its_way_is_worth_and_no_more_than_a_share():
    pace, quick, slow = Pace(), {}, {}
    assert pace.portion(int, quick, 1000, 2) == 1, "nothing is known yet"
    for _ in range(50):
        pace.note(int, quick, 0.001, 10)
        pace.note(int, slow, 0.005, 10)
    assert pace.portion(int, quick, 1000, 2) == 250
    assert pace.portion(int, slow, 1000, 2) == 50, "a slow worker gets less"
    assert 50 < pace.portion(int, {}, 1000, 2) < 250, "a new one what is usual"
    assert pace.portion(int, slow, 60, 2) == 30
    assert pace.portion(int, slow, 7, 2) == 4
    assert pace.portion(int, quick, 7, 2) == 7, "too little to share"
    assert pace.portion(int, slow, 250, 100) == 20, "where workers are many more is too little"
    assert pace.portion(int, slow, 250, 100, is_urgent=True) == 4, "but where all else waits for it"
    assert pace.portion(int, quick, 1, 2) == 1
    assert pace.portion(int, quick, 10**7, 500) == 2500, "longer ones spare the driver of many workers"
    assert pace.portion(str, quick, 1000, 2) == 1, "each sort has its own time"


def test_results_wait_for_others_as_long_as_calls_are_far_longer():
    pace = Pace()
    assert pace.gathered() == 0.0, "nothing is known yet"
    for units in (4, 8):
        for _ in range(100):
            pace.note(int, {}, 0.01, units)
        assert pace.gathered() == pytest.approx(0.005 * units, rel=1e-3), "half of the time of a call"
    for _ in range(100):
        pace.note(int, {}, 1.0, 8)
    assert pace.gathered() == 0.2, "never long"


def test_who_takes_more_than_twice_the_usual_time_is_slow():
    pace, usual, slow = Pace(), {}, {}
    assert not pace.is_slow(int, slow), "nothing is known yet"
    for _ in range(50):
        for _ in range(7):
            pace.note(int, usual, 0.01)
        pace.note(int, slow, 0.05)
    assert pace.is_slow(int, slow)
    assert not pace.is_slow(int, usual)
    assert not pace.is_slow(str, slow), "each sort has its own time"
    assert not pace.is_slow(int, {}), "a new worker"


def test_a_worker_hangs_far_beyond_what_is_usual():
    pace = Pace()
    assert pace.limit(int, 1) == 3600.0
    pace.note(int, {}, 0.01)
    assert pace.limit(int, 10) == 300.0
    for _ in range(5):
        pace.note(int, {}, 6.0)
    assert pace.limit(int, 2) == 1200.0
    assert pace.limit(int, 2, 128) == pace.limit(int, 1, 128) == 128 * 600.0, "one takes as long as all it goes with"
    assert Pace(guard=7.0).limit(int, 10) == 7.0


def test_the_first_candidates_of_a_run_are_the_start_programs(tmp_path):
    config = configuration()
    starts = texts_of(config, tmp_path / "run")
    worker = Worker(config, starts, "mutation", None)
    first = bred_by(worker, 0, (0, 1, 2), (1, 0, 0), dict(enumerate(starts)))
    assert [one.parent for one in first] == [None, None, 0]
    assert tuple(one.text for one in first[:2]) == starts


def test_one_worker_is_this_process(tmp_path):
    config = configuration(workers=1)
    starts = texts_of(config, tmp_path / "run")
    for wanted in (1, None):
        executor = pool_of(config, starts, "mutation", wanted)
        assert isinstance(executor, InProcess)
        assert executor.workers == 1


# --- Ray --------------------------------------------------------------------------------------------------------------


@pytest.mark.ray
def test_ray_gives_the_archive_of_one_process_whoever_dies(tmp_path, capfd):
    changes = {"validation": {"every": 3, "patience": 1, "then": "restart"}, "islands": 2, "migration": {"every": 4}}
    whole = execute(configuration(**changes), tmp_path / "whole")
    graves = tmp_path / "graves"
    graves.mkdir()
    handler, path = signal.getsignal(signal.SIGTERM), os.environ.get("PYTHONPATH")
    deaths = ATTEMPTS - 1  # so that no unit can meet them all and be given up
    config = configuration(**changes, evaluation={"deaths": deaths, "graves": str(graves)})
    with Run.create(config, tmp_path / "run") as run:
        pool = pool_of(config, run.search.starts, run.proposer, 2)
        try:
            assert signal.getsignal(signal.SIGTERM) is handler
            assert os.environ.get("PYTHONPATH") == path
            with pytest.raises(ValueError, match=r"a run must have a Ray of its own.*call ray.shutdown\(\) first"):
                pool_of(config, run.search.starts, run.proposer, 2)
            run.execute(executor=pool)
            assert len(list(graves.iterdir())) == deaths, "workers died on the way"
            load = pool.load()
            assert (load.lost, load.waiting, load.under_way) == (deaths, 0, 0)
            assert load.repeated >= deaths
        finally:
            pool.close()
    assert contents(tmp_path / "run") == whole
    assert capfd.readouterr() == ("", ""), "Ray keeps quiet: stdout belongs to results"


def pride(*args, cwd):
    """Starts a command of Pride in a process group of its own, as a shell does."""
    return subprocess.Popen(
        [sys.executable, "-c", "from discovery.cli.app import main; main()", *map(str, args)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.ray
@pytest.mark.slow
def test_workers_find_what_lies_in_the_users_folder_and_ctrl_c_stops_them_all(tmp_path):
    (tmp_path / "own.py").write_text((ROOT / "tests" / "toy.py").read_text())
    changes = {"domain": "own:DOMAIN", "budget": 640, "evaluation": {"delay": 0.01}}
    config = configuration(**{**changes, "domain": "toy:DOMAIN"})
    (tmp_path / "own.yaml").write_text(dump(config).replace("toy:DOMAIN", "own:DOMAIN"))
    started = pride("run", "own.yaml", "--workers", "2", "--out", "run", cwd=tmp_path)
    file = tmp_path / "run" / "run.sqlite"
    merged = 0
    while merged < 3 and started.poll() is None:
        time.sleep(0.05)
        if file.exists():
            with Store.read(tmp_path / "run") as store:
                merged = store.last_batch + 1
    os.killpg(started.pid, signal.SIGINT)
    out, err = started.communicate(timeout=120)
    assert started.returncode == 130, err
    assert "Traceback" not in err
    assert "pride resume run" in err
    with Store.read(tmp_path / "run") as store:
        assert merged <= store.last_batch + 1 < 40
    started = pride("resume", "run", "--workers", "1", "--json", cwd=tmp_path)
    out, err = started.communicate(timeout=120)
    assert started.returncode == 0, err
    assert json.loads(out)["finished"]
    assert contents(tmp_path / "run") == execute(config, tmp_path / "whole")


@pytest.mark.ray
@pytest.mark.slow
def test_ray_gives_the_archive_of_one_process_on_real_data(tmp_path):
    config = build(
        {
            "domain": "optimizers",
            "batch": 8,
            "budget": 64,
            "reevaluate": 0.2,
            "hurdle": {"warm_up": 4},
            "evaluation": {"tasks": ["digits_mlp", "char_lm"], "learning_rates": [0.003, 0.03]},
        }
    )
    # each in a process of its own: JAX must not be shared with what other tests did
    code = (
        "import sys; from discovery import Run, load_config\n"
        "with Run.create(load_config(sys.argv[1]), sys.argv[2]) as run: run.execute(workers=int(sys.argv[3]))"
    )
    (tmp_path / "real.yaml").write_text(dump(config))
    for workers in (1, 2):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "real.yaml"), str(tmp_path / str(workers)), str(workers)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    assert len(contents(tmp_path / "1")["elites"]) > 3
