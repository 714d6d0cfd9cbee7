"""Many machines: workers come, go, die and hang; nothing is lost or comes back twice, and the archive is the same."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from odd_jobs import Choosy, Job, OddJobs
from runs import configuration, contents, execute

from archive.store import Store
from discovery import executors
from discovery import run as run_module
from discovery.config_file import build, dump
from discovery.executors import make_executor, pace, ray_cluster, ray_pool, ray_worker
from discovery.executors.in_process import InProcess
from discovery.executors.ray_cluster import join, start
from discovery.executors.ray_pool import ATTEMPTS, RayPool
from discovery.run import Run, pool_of
from discovery.worker import Worker

ROOT = Path(__file__).parent.parent
SETTINGS = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_raylet_start_wait_time_s": "120",
    # a machine that went away is missed after 15 s by default; one that only answers slowly must not be
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "10000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_health_check_initial_delay_ms": "0",
    # read where Ray is first imported: else it prints what it has to say of dead workers, in the tests after these too
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
    # workers find Pride where this process does
    "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
}


@pytest.fixture(scope="module")
def cluster():
    """A head that works off nothing, and two machines of one core."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"os\.fork", RuntimeWarning)
        for key, value in SETTINGS.items():
            patch.setenv(key, value)
        from ray.cluster_utils import Cluster

        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        try:
            for _ in range(2):
                made.add_node(num_cpus=1)
            yield made
        finally:
            made.shutdown()


@pytest.fixture
def pool(cluster):
    """Makes a pool of odd jobbers on the cluster."""
    made = []

    def make(workers=None, **options):
        made.append(RayPool(join(cluster.address, workers), OddJobs, **options))
        made[-1].warm_up()
        return made[-1]

    yield make
    for one in made:
        one.close()


def taken(pool, number):
    """The next units that finish."""
    found = []
    while len(found) < number:
        found += pool.next()
    return found


def results(pool, jobs):
    """What becomes of jobs, by number: each must come back once."""
    pool.submit(jobs)
    finished = taken(pool, len(jobs))
    assert Counter(one.unit for one in finished) == Counter(jobs)
    assert all(one.fault or one.results[0] == one.unit.number for one in finished)
    load = pool.load()
    assert (load.waiting, load.under_way) == (0, 0)
    return {one.unit.number: one for one in finished}


def whole(tmp_path, **changes):
    """What an undisturbed run in this process holds."""
    return execute(configuration(**changes), tmp_path / "whole")


# --- the pool ---------------------------------------------------------------------------------------------------------

pytestmark = [
    pytest.mark.ray,
    # machines that join are processes that Ray starts by a fork, which JAX warns of where this process has used it
    pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning"),
]


def test_units_of_workers_that_die_come_back_once(pool, tmp_path):
    jobs = [Job(n, "die" if n % 60 == 30 else "", grave=str(tmp_path / str(n))) for n in range(300)]
    made = pool()
    found = results(made, jobs)
    assert not [one for one in found.values() if one.fault]
    load = made.load()
    assert load.lost == 5
    assert load.repeated >= 5
    assert len({one.results[1] for one in found.values()}) > 2


def test_a_unit_that_takes_workers_with_it_comes_back_as_a_fault_and_takes_no_others_along(pool):
    made = pool()
    results(made, [Job(n) for n in range(50)])  # now many travel together
    found = results(made, [Job(n, "die" if n == 7 else "") for n in range(100)])
    assert [n for n, one in found.items() if one.fault] == [7]
    assert found[7].fault.startswith(f"{ATTEMPTS} workers were lost to it, the last one: ActorDiedError")
    assert found[7].results is None
    assert made.load().lost == ATTEMPTS
    assert len(results(made, [Job(n) for n in range(10)])) == 10, "and the pool goes on"


def test_a_worker_that_hangs_is_replaced(pool, tmp_path):
    made = pool(guard=1.0)
    jobs = [Job(n, "hang" if n in (3, 5) else "", grave=str(tmp_path / "3") if n == 3 else "") for n in range(20)]
    began = time.monotonic()
    found = results(made, jobs)
    assert [n for n, one in found.items() if one.fault] == [5], "3 hangs once, 5 always"
    assert "no result within" in found[5].fault
    assert made.load().lost == 1 + ATTEMPTS
    assert time.monotonic() - began < 60.0


def test_by_default_a_worker_hangs_where_it_takes_far_longer_than_usual(pool, monkeypatch):
    made = pool()
    monkeypatch.setattr(pace, "GUARD_FLOOR", 0.5)
    results(made, [Job(n, seconds=0.001) for n in range(50)])
    results(made, [Job(0, seconds=0.05)])
    assert made.load().lost == 0
    monkeypatch.setattr(ray_pool, "ATTEMPTS", 1)
    assert results(made, [Job(0, "hang")])[0].fault


def test_a_worker_killed_from_outside_is_replaced(pool):
    made = pool()
    pids = {one.results[1] for one in results(made, [Job(n, seconds=0.02) for n in range(20)]).values()}
    assert len(pids) == 2
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    again = {one.results[1] for one in results(made, [Job(n, seconds=0.02) for n in range(200)]).values()}
    assert not pids & again


def test_how_many_units_travel_together_follows_their_time(pool, monkeypatch):
    made, sizes = pool(), []
    portion = made._portion
    monkeypatch.setattr(made, "_portion", lambda worker: sizes.append(portion(worker)) or sizes[-1])
    results(made, [Job(n, seconds=0.001) for n in range(2000)])
    assert 0.3 * pace.CALL_SECONDS / 0.001 < max(map(len, sizes)) <= pace.CALL_SECONDS / 0.001, "what fills a call"
    sizes.clear()
    results(made, [Job(n, seconds=0.2) for n in range(24)])
    most = pace.SHORTEST_CALL / 0.001
    assert max(map(len, sizes)) <= most, "as it is known, what takes so little is not shared out"
    assert len(sizes[-1]) < len(sizes[0]), "fewer, as it turns out how long they take"
    assert min(made.load().busy) > 0.1


def test_machines_come_and_go_and_are_told(cluster, pool, monkeypatch):
    monkeypatch.setattr(ray_pool, "PATIENCE", 1.0)
    made = pool(3)
    assert made.workers == 2, "the third has no place"
    assert made.load().wanted == 3
    (remark,) = made.load().remarks
    assert "3 workers were asked for" in remark
    assert "has room for 2 (a CPU each)" in remark
    node = cluster.add_node(num_cpus=1)
    jobs = [Job(n, seconds=0.02) for n in range(50)]
    until = time.monotonic() + 60.0
    while made.workers < 3 and time.monotonic() < until:
        results(made, jobs)
    assert made.workers == 3
    assert made.load().remarks == ()
    monkeypatch.setattr(ray_pool, "ATTEMPTS", 1)  # a unit would be at fault the first time
    made.submit(jobs)
    cluster.remove_node(node, allow_graceful=False)
    found = taken(made, len(jobs))
    assert sorted(one.unit.number for one in found) == list(range(50))
    assert not [one for one in found if one.fault], "a machine that goes away is no fault of its units"
    until = time.monotonic() + 60.0
    while made.workers > 2 and time.monotonic() < until:
        results(made, jobs)
    assert made.workers == 2
    assert made.load().lost >= 1


def test_a_machine_that_is_no_good_is_told_and_does_not_end_what_is_at_work(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(ray_pool, "PATIENCE", 1.0)
    made = RayPool(join(cluster.address, 2), partial(Choosy, str(tmp_path)))
    try:
        made.warm_up()
        assert made.workers == 1
        results(made, [Job(n, seconds=0.02) for n in range(60)])
        assert made.load().remarks == ("a worker could not start: the door is shut",)
        (tmp_path / "open").touch()
        until = time.monotonic() + 120.0
        while made.workers < 2 and time.monotonic() < until:
            results(made, [Job(n, seconds=0.02) for n in range(60)])
        results(made, [Job(n, seconds=0.02) for n in range(120)])
        assert made.load().remarks == ()
    finally:
        made.close()


@pytest.mark.slow
def test_the_memory_of_the_driver_is_flat(pool):
    made = pool()

    def memory():
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    for _ in range(20):
        results(made, [Job(n) for n in range(1000)])
    before = memory()
    for _ in range(80):
        results(made, [Job(n) for n in range(1000)])
    assert memory() - before < 16.0


# --- the search -------------------------------------------------------------------------------------------------------


def test_the_archive_is_the_same_whatever_becomes_of_the_machines(cluster, tmp_path):
    graves = tmp_path / "graves"
    graves.mkdir()
    changes = {"budget": 640, "islands": 3, "migration": {"every": 5}}
    nodes = []

    def watch(progress):
        if progress.batch == 4:
            nodes.append(cluster.add_node(num_cpus=1))
        if progress.batch == 25:
            cluster.remove_node(nodes[0], allow_graceful=False)

    with Run.create(
        configuration(**changes, evaluation={"deaths": 1, "graves": str(graves), "delay": 0.01}), tmp_path / "run"
    ) as run:
        make = partial(Worker, run.config, run.search.starts, run.proposer, None)
        made = RayPool(join(cluster.address, None), make)
        try:
            assert run.execute(executor=made, watch=watch).finished
            assert made.load().lost >= 1, "the planted death; a machine's end may be noticed too late to count"
            told = run.store.meta["workers"]
            assert told["lost"] == made.load().lost
            assert 0.0 < told["driver_load"] < 1.0
            assert len(told["busy"]) == told["alive"]
        finally:
            made.close()
    assert contents(tmp_path / "run") == whole(tmp_path, **changes)


def pride(*args, **options):
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return subprocess.Popen(
        [sys.executable, "-c", "from discovery.cli.app import main; main()", *map(str, args)],
        env={**os.environ, "PYTHONPATH": path, **options.pop("env", {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_a_driver_that_is_killed_leaves_the_cluster_and_the_run_whole(cluster, tmp_path):
    config = configuration(budget=960, evaluation={"delay": 0.01})
    (tmp_path / "toy.yaml").write_text(dump(config))
    folder = tmp_path / "run"
    started = pride("run", "toy.yaml", "--address", cluster.address, "--out", "run", cwd=tmp_path)
    merged = 0
    while merged < 4 and started.poll() is None:
        time.sleep(0.05)
        if (folder / "run.sqlite").exists():
            with Store.read(folder) as store:
                merged = store.last_batch + 1
    started.kill()
    started.communicate(timeout=60)
    with Store.read(folder) as store:
        assert merged <= store.last_batch + 1 < 60
    # as in a job of `ray job submit`, which is told the address
    joined = pride("resume", "run", "--address", "auto", "--json", cwd=tmp_path, env={"RAY_ADDRESS": cluster.address})
    out, err = joined.communicate(timeout=120)
    assert joined.returncode == 0, err
    told = json.loads(out)
    assert told["finished"]
    assert told["workers"]["alive"] == 2
    assert "2 workers" in err
    assert contents(folder) == execute(config, tmp_path / "whole")


# --- bad input --------------------------------------------------------------------------------------------------------


def refused(text):
    return pytest.raises(ValueError, match=text)


def test_no_cluster_at_the_address_is_told_at_once():
    began = time.monotonic()
    with refused(r"a Ray cluster must run at 127.0.0.1:1, got: Connection refused; start one with `ray start --head`"):
        make_executor(2, OddJobs, address="127.0.0.1:1")
    assert time.monotonic() - began < 60.0


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_who_answers_and_is_no_ray_is_told_at_once(answer):
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with refused(rf"a Ray cluster must run at 127.0.0.1:{port}, got: something that is no Ray; start one with"):
            join(f"127.0.0.1:{port}", 2)
        thread.join()
    assert time.monotonic() - began < 60.0


def test_who_listens_and_never_answers_is_told(monkeypatch):
    monkeypatch.setattr(ray_cluster, "_ANSWER", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server, refused("got: timed out; start one with"):
        join(f"127.0.0.1:{server.getsockname()[1]}", 2)


@pytest.mark.parametrize("address", ["head", "head:", ":6379", "ray://head:10001", "head:99999", "http://head:1"])
def test_what_is_no_address_is_told(address):
    with refused("an address must be HOST:PORT of a cluster's head, or auto, got"):
        join(address, 2)


def test_a_cluster_that_wants_a_token_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    head = """if True:
        from ray.cluster_utils import Cluster
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        print(made.address, flush=True)
        input()
        made.shutdown()
    """
    environment = {**os.environ, **SETTINGS, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 64}
    with subprocess.Popen(
        [sys.executable, "-c", head], env=environment, cwd=tmp_path, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        lines = iter(process.stdout.readline, "")
        address = next(line.strip() for line in lines if re.fullmatch(r"[\d.]+:\d+\n", line))
        with refused(
            rf"the cluster at {address} must let this process in, got Authentication token is missing or incorrect; "
            r"copy its token, ~/.ray/auth_token on the head, to the same place here, and set RAY_AUTH_MODE=token$"
        ):
            join(address, 2)
        process.communicate("\n", timeout=60)
    assert process.returncode == 0


def test_a_cluster_of_another_version_is_told(cluster, monkeypatch):
    import ray

    monkeypatch.setattr(ray, "__version__", "9.9.9")
    with refused(r"must have the Ray and Python of this process, got .*Ray: 9.9.9.*; install the same"):
        join(cluster.address, 2)
    assert not ray.is_initialized()


def test_nobody_joins_the_ray_that_a_run_has_for_itself(cluster):
    import ray

    node = cluster.add_node(num_cpus=0, resources={ray_cluster._PRIVATE: 1})
    try:
        with refused(r"must be there for all, got the Ray that a run on this machine has for itself at"):
            join(cluster.address, 2)
        assert not ray.is_initialized()
    finally:
        cluster.remove_node(node)


def test_settings_of_a_ray_of_our_own_go_with_it(monkeypatch):
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    made = start(1)
    assert os.environ["RAY_AUTH_MODE"] == "disabled"
    made.close()
    assert "RAY_AUTH_MODE" not in os.environ


@pytest.mark.parametrize(
    ("mode", "remedy"), [("disabled", "try 1 worker"), ("token", "RAY_AUTH_MODE is `token` here: set it as the head")]
)
def test_workers_that_die_at_once_are_told(cluster, monkeypatch, mode, remedy):
    monkeypatch.setattr(ray_pool, "_FAILED_STARTS", 1)
    made = RayPool(join(cluster.address, 1), partial(os._exit, 1))
    try:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)  # Ray itself has read it by now
        with refused(rf"workers must start, got ActorDiedError: .*; {remedy}"):
            made.warm_up()
    finally:
        made.close()


def test_workers_that_find_no_place_are_told(cluster):
    made = RayPool(join(cluster.address, 2, 0.5), OddJobs, nobody=1.5)
    try:
        with refused(r"a worker must find a place within 2 s \(a CPU and 0.5 of a GPU\), got none on the cluster at"):
            made.warm_up()
    finally:
        made.close()


def test_a_machine_without_gpus_is_told():
    with refused(r"2 workers must have a CPU and 1 of a GPU each, got room for 0 on this machine; ask for fewer"):
        start(2, 1.0)


@pytest.mark.parametrize(
    ("gpus", "asked", "given"),
    [
        (0, {"workers": 2}, (2, 0.0)),
        (1, {"workers": 2}, (2, 0.5)),
        (2, {"workers": None}, (2, 1.0)),
        (2, {"workers": 3}, (3, 0.5)),
        (4, {"workers": 2}, (2, 1.0)),
        (2, {"workers": 2, "gpus_per_worker": 0.0}, (2, 0.0)),
        (2, {"workers": None, "gpus_per_worker": 0.25}, (None, 0.25)),
    ],
)
def test_workers_of_this_machine_share_its_gpus(gpus, asked, given, monkeypatch):
    started = []
    monkeypatch.setattr(executors, "gpus", lambda: gpus)
    monkeypatch.setattr(ray_cluster, "start", lambda *of: started.append(of))
    monkeypatch.setattr(ray_pool, "RayPool", lambda cluster, make, guard: None)
    make_executor(make=OddJobs, **asked)
    assert started == [given]


def test_one_gpu_is_for_this_process_alone(monkeypatch):
    monkeypatch.setattr(executors, "gpus", lambda: 1)
    assert isinstance(make_executor(None, OddJobs), InProcess)


def test_a_domain_that_computes_without_jax_takes_the_cores(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(run_module, "make_executor", lambda *of: asked.append(of[3]))
    for config in (configuration(), build({})):
        pool_of(config, (), "mutation")
    assert asked == [0.0, None]


def test_workers_without_a_gpu_leave_those_of_their_machine_alone(pool):
    assert not pool()._cluster.has_gpus
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_PLATFORMS", "cuda")
        patch.setattr(ray_worker, "configure", lambda: None)
        patch.setattr(ray_worker.pickle, "loads", lambda make: OddJobs)
        patch.setattr("ray.get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: "here"))
        ray_worker.Actor().start([], b"", True)
        assert os.environ["JAX_PLATFORMS"] == "cuda"
        ray_worker.Actor().start([], b"", False)
        assert os.environ["JAX_PLATFORMS"] == "cpu"


@pytest.mark.parametrize("gpus", [-1.0, 1.5, float("nan"), float("inf")])
def test_shares_of_gpus_that_can_not_be_are_told(gpus):
    with refused("gpus_per_worker must be a share from 0 to 1 or a whole number, got"):
        make_executor(2, OddJobs, gpus_per_worker=gpus)


def test_workers_that_can_not_import_are_told(cluster, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("from odd_jobs import OddJobs\n\n\nclass Mine(OddJobs):\n    pass\n")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        import only_here  # pyright: ignore[reportMissingImports]
    made = RayPool(join(cluster.address, 2), only_here.Mine)
    try:
        with refused(
            r"workers must be able to import what this process does, got No module named 'only_here'; install"
        ):
            made.warm_up()
    finally:
        made.close()


def test_workers_that_can_not_keep_compiled_code_are_told(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(ray_worker, "cache_folder", lambda: tmp_path / "file" / "pride")
    with refused(r"workers must be able to write .*pride, .*got: Not a directory on .*; give them a HOME"):
        ray_worker.Actor().start([], b"", True)


def test_small_shared_memory_is_told(monkeypatch):
    class Usage:
        free = 64 * 2**20

    monkeypatch.setattr(ray_cluster.shutil, "disk_usage", lambda path: Usage)
    (remark,) = ray_cluster._small_memory()
    assert remark.startswith("/dev/shm has 64 MB free where Ray wants 100: it takes a file in /tmp instead; give a ")
    Usage.free = 2**30
    assert ray_cluster._small_memory() == ()
