"""A kill at any moment loses at most the batches in flight, and a resumed run equals one that was left alone."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from runs import configuration, contents, execute

from archive.store import Store
from discovery.config_file import build, dump
from discovery.run import Run

ROOT = Path(__file__).parent.parent

# Lives and dies by fork: the nursery imports once, each child takes up the run until it is killed.
NURSERY = """
import os, random, signal, sys, time
import toy
from discovery.executors.in_process import InProcess
from discovery.run import Run
from discovery.worker import Worker

folder, kills, longest, seed = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
rng = random.Random(seed)

def live():
    with Run.resume(folder) as run:
        run.execute(executor=InProcess(Worker(run.config, run.search.starts, run.proposer, None)))

while kills:
    child = os.fork()
    if child == 0:
        live()
        os._exit(0)
    time.sleep(rng.uniform(0.0, longest))
    ended, status = os.waitpid(child, os.WNOHANG)
    if ended:
        print("ended", status)
        sys.exit(status != 0)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    kills -= 1
    print("killed", flush=True)
live()
"""


def process(*command, **options):
    """Starts a process that finds Pride and the toy."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return subprocess.Popen(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def pride(*args, **options):
    """Starts a command of Pride."""
    return process("-c", "from discovery.cli.app import main; main()", *map(str, args), **options)


def ended(started):
    """Waits for the end of a process and returns status, stdout and stderr."""
    out, err = started.communicate(timeout=300)
    return started.returncode, out, err


def batches(folder):
    """Number of merged batches; 0 where there is no run yet."""
    if not (folder / "run.sqlite").exists():
        return 0
    with Store.read(folder) as store:
        return store.last_batch + 1


@pytest.mark.parametrize(
    "changes",
    [
        {"budget": 640},
        {"budget": 480, "lag": 4, "batch": 8, "restart": {"from": "best", "patience": 4}},
        {"budget": 480, "lag": 3, "validation": {"every": 2, "patience": 1, "then": "restart"}},
    ],
    ids=["map_elites", "restarts", "validation"],
)
def test_a_run_killed_many_times_equals_one_left_alone(tmp_path, changes):
    config = configuration(strategy={"name": "map_elites"}, **changes)
    with Run.create(config, tmp_path / "whole") as run:
        began = time.perf_counter()
        run.execute()
        lasted = time.perf_counter() - began
    whole = contents(tmp_path / "whole")
    Run.create(config, tmp_path / "killed").close()
    killer = process("-c", NURSERY, str(tmp_path / "killed"), "25", str(lasted / 10), "7")
    status, out, err = ended(killer)
    assert status == 0, err
    assert out.split().count("killed") >= 8, "it must have died often before it came to its end"
    assert contents(tmp_path / "killed") == whole


def test_a_kill_loses_no_more_than_the_batches_in_flight(tmp_path):
    """What was merged when the process died is there afterwards, whole."""
    Run.create(configuration(budget=10**6, evaluation={"delay": 0.001}), tmp_path / "run").close()
    folder, rng = tmp_path / "run", random.Random(3)
    told = (
        "import sys; from discovery.run import Run; run = Run.resume(sys.argv[1]); "
        "run.execute(watch=lambda progress: print(progress.batch, flush=True))"
    )
    seen = -1
    for _ in range(2):
        started = process("-c", told, str(folder))
        for _ in range(rng.randrange(2, 6)):
            seen = int(started.stdout.readline())
        started.kill()
        rest = started.communicate(timeout=60)[0].split()
        seen = max([seen, *map(int, rest)])
        with Store.read(folder) as store:
            assert seen <= store.last_batch <= seen + 1
            assert sorted(store.progress()) == list(range(store.last_batch + 1))
    part = contents(folder)
    whole = execute(configuration(budget=16 * len(part["batches"]), evaluation={"delay": 0.001}), tmp_path / "whole")
    assert part == whole


def test_ctrl_c_keeps_everything(tmp_path):
    config = configuration(budget=960, evaluation={"delay": 0.002})
    (tmp_path / "toy.yaml").write_text(dump(config))
    started = pride("run", "toy.yaml", "--workers", "1", "--out", "run", cwd=tmp_path)
    while batches(tmp_path / "run") < 2 and started.poll() is None:
        time.sleep(0.02)
    started.send_signal(signal.SIGINT)
    status, _, err = ended(started)
    assert status == 130, err
    assert "Traceback" not in err
    assert 2 <= batches(tmp_path / "run") < 60
    status, out, err = ended(pride("resume", "run", "--workers", "1", "--json", cwd=tmp_path))
    assert status == 0, err
    assert json.loads(out)["finished"]
    assert contents(tmp_path / "run") == execute(config, tmp_path / "whole")


@pytest.mark.slow
def test_a_search_for_optimizers_killed_a_few_times_equals_one_left_alone(tmp_path):
    config = build(
        {
            "domain": "optimizers",
            "batch": 6,
            "budget": 48,
            "reevaluate": 0.2,
            "hurdle": {"warm_up": 4},
            "evaluation": {"tasks": ["digits_mlp"], "learning_rates": [0.003, 0.03]},
        }
    )
    (tmp_path / "small.yaml").write_text(dump(config))
    command = ("run", "small.yaml", "--workers", "1", "--out")
    status, _, err = ended(pride(*command, "whole", cwd=tmp_path))
    assert status == 0, err
    kills, rng = 0, random.Random(1)
    started = pride(*command, "killed", cwd=tmp_path)
    for until in (1, 3, 6):
        while batches(tmp_path / "killed") < until and started.poll() is None:
            time.sleep(0.02)
        time.sleep(rng.uniform(0.0, 0.2))
        if started.poll() is None:
            started.kill()
            kills += 1
        started.communicate(timeout=60)
        started = pride("resume", "killed", "--workers", "1", cwd=tmp_path)
    status, _, err = ended(started)
    assert status == 0, err
    assert kills >= 2
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
