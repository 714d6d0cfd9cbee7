"""The Ray that workers run on: one of our own on this machine, or a cluster that is joined; errors with their remedy.

A cluster that runs on this machine is never touched unless its address is given, and never stopped.
"""

import logging
import os
import shutil
import signal
import socket
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from discovery.executors import cores

STORE_BYTES = 100 * 1024 * 1024
"""Memory of the object store; what travels are kilobytes, and Ray would reserve 30 % of the machine's."""
_SHARED = "/dev/shm"
_PRIVATE = "pride_private"
"""A resource that marks a Ray of our own: `auto` finds it, and nobody else is to join it."""
# Measured: task events take hundreds of MB over a long run.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_task_events_report_interval_ms": "0",
    # what Ray has to say of workers that died would stand in the middle of a result on stdout
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
}
_OWN_ENVIRONMENT = {
    # It would write a token into HOME, and what ends with this process and listens to it alone needs none. On a
    # cluster authentication stays as its owner has it.
    "RAY_AUTH_MODE": "disabled",
    "RAY_raylet_start_wait_time_s": "120",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
# What answers at an address and is no Ray is asked for more than 40 s each time, and 20 times by default.
_JOINED_ENVIRONMENT = {"RAY_NUM_REDIS_GET_RETRIES": "2"}
_ANSWER = 10.0
"""Seconds that the head of a cluster has for an answer."""
_OPTIONS: Mapping[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}


class Cluster:
    """Room for workers. `start` and `join` make it.

    Args:
        ray: the module, connected.
        asked: workers asked for; None means all that there is room for.
        gpus_per_worker: GPUs of each worker.
        place: where it is, for errors.
        remarks: what a person should know of it.
        settings: what was put into the environment for it alone, and goes with it.
    """

    def __init__(
        self,
        ray: ModuleType,
        asked: int | None,
        gpus_per_worker: float,
        place: str,
        remarks: tuple[str, ...] = (),
        settings: tuple[str, ...] = (),
    ) -> None:
        self.ray, self.place = ray, place
        self._asked, self._gpus, self._remarks, self._settings = asked, gpus_per_worker, remarks, settings

    @property
    def wanted(self) -> int:
        """Workers that there should be: as many as asked for, or as there is room for just now, at least one."""
        return self._asked or max(1, self.room)

    @property
    def room(self) -> int:
        """Workers that the machines of the cluster have room for, whoever else uses them."""
        alive = (node["Resources"] for node in self.ray.nodes() if node["Alive"])
        return sum(_room(resources, self._gpus) for resources in alive)

    @property
    def needs(self) -> str:
        """What a worker needs, in words."""
        return "a CPU" + (f" and {self._gpus:g} of a GPU" if self._gpus else "")

    @property
    def has_gpus(self) -> bool:
        """Whether workers get a GPU, or a share of one."""
        return self._gpus > 0.0

    def remarks(self) -> tuple[str, ...]:
        """Returns what a person should know of it."""
        room = self.room
        if self._asked and room < self._asked:
            missing = f"{self._asked} workers were asked for, {self.place} has room for {room} ({self.needs} each)"
            return (*self._remarks, f"{missing}; the others join when machines do")
        return self._remarks

    def has(self, node: str) -> bool:
        """Whether a machine is still there, by Ray's id of it."""
        return any(one["NodeID"] == node and one["Alive"] for one in self.ray.nodes())

    def hire(self, actor: type) -> Any:
        """Returns a new actor, which may have to wait for a place; dead ones are never started again by Ray."""
        options = {"num_cpus": 1, "num_gpus": self._gpus, "max_restarts": 0}
        return self.ray.remote(**options)(actor).remote()

    def close(self) -> None:
        """Ends a Ray of our own, or leaves the cluster; our workers end either way."""
        self.ray.shutdown()
        for key in self._settings:  # a cluster that is joined next has authentication as its owner wants it
            os.environ.pop(key, None)


def start(workers: int | None, gpus_per_worker: float = 0.0) -> Cluster:
    """Starts a Ray of our own on this machine, beside any that is there already.

    Args:
        workers: number of workers; None means one a core, or as many as the GPUs have room for.
        gpus_per_worker: GPUs of each worker.

    Raises:
        ValueError: Ray does not start, or the machine has too few GPUs.
    """
    settings = tuple(key for key in _OWN_ENVIRONMENT if key not in os.environ)
    ray = _import({**_ENVIRONMENT, **_OWN_ENVIRONMENT})
    error = _connect(
        ray,
        address="local",
        num_cpus=workers or cores(),
        include_dashboard=False,
        object_store_memory=STORE_BYTES,
        resources={_PRIVATE: 1},
    )
    if error is not None:
        raise ValueError(
            f"a local Ray must start, got {first_line(error)}; free memory or processes, or take 1 worker"
        ) from None
    cluster = Cluster(ray, workers, gpus_per_worker, "this machine", _small_memory(), settings)
    room = cluster.room
    if room < (workers or 1):
        cluster.close()
        asked = f"{workers} workers" if workers else "a worker"
        raise ValueError(
            f"{asked} must have {cluster.needs} each, got room for {room} on this machine; ask for fewer "
            f"workers or less of a GPU, or join a cluster with --address"
        )
    return cluster


def join(address: str, workers: int | None, gpus_per_worker: float = 0.0) -> Cluster:
    """Joins a cluster that runs.

    Args:
        address: `HOST:PORT` of its head, or `auto`: what RAY_ADDRESS says, or the one that this machine belongs to.
        workers: number of workers; None means as many as there is room for, also when it grows.
        gpus_per_worker: GPUs of each worker.

    Raises:
        ValueError: no cluster there, or one of other versions.
    """
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS") or "auto"
    if address != "auto":
        _refuse_unreachable(address)
    ray = _import({**_ENVIRONMENT, **_JOINED_ENVIRONMENT})
    error = _connect(ray, address=address)
    if error is not None:
        raise ValueError(_explain(address, error)) from None
    if any(_PRIVATE in node["Resources"] for node in ray.nodes()):
        ray.shutdown()
        raise ValueError(
            f"a cluster must be there for all, got the Ray that a run on this machine has for itself at {address}; "
            f"start one with `ray start --head`, or leave --address out"
        )
    return Cluster(ray, workers, gpus_per_worker, f"the cluster at {address}")


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's text, or its name where it has none."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _import(environment: Mapping[str, str]) -> ModuleType:
    for key, value in environment.items():
        os.environ.setdefault(key, value)
    import ray

    if ray.is_initialized():
        raise ValueError(
            "a run must have a Ray of its own, got one that this process started already; "
            "call ray.shutdown() first, or take 1 worker"
        )
    return ray


def _connect(ray: ModuleType, **options: Any) -> Exception | None:
    """Connects, or returns the error."""
    try:
        with _own_signals(), warnings.catch_warnings():
            # JAX warns where this process has used it; Ray's children become other programs at once
            warnings.filterwarnings("ignore", r"os\.fork", RuntimeWarning)
            ray.init(**options, **_OPTIONS)
    except Exception as error:  # noqa: BLE001  (Ray has no error of its own for most of what may go wrong here)
        ray.shutdown()
        return error
    return None


def _refuse_unreachable(address: str) -> None:
    """Ray itself would ask for a minute."""
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) < 2**16) or "/" in host:
        raise ValueError(
            f"an address must be HOST:PORT of a cluster's head, or auto, got {address!r}; `ray start --head` prints it"
        )
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER) as connection:
            is_ray = _speaks_http2(connection)
    except OSError as error:
        raise ValueError(_nobody(address, error.strerror or str(error))) from None
    if not is_ray:
        raise ValueError(_nobody(address, "something that is no Ray"))


def _speaks_http2(connection: socket.socket) -> bool:
    """Whether who listens answers as a cluster's head does (RFC 9113: the first frame of a server is of settings)."""
    if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
        return True  # it answers nobody in plain text
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
    answer = b""
    while len(answer) < 4 and (more := connection.recv(4 - len(answer))):
        answer += more
    return answer[3:] == b"\x04"


def _nobody(address: str, problem: str) -> str:
    return (
        f"a Ray cluster must run at {address}, got: {problem}; start one with `ray start --head`, see the address that "
        f"it prints, or leave --address out to work on this machine alone"
    )


def _explain(address: str, error: Exception) -> str:
    text = " ".join(str(error).split())
    if (refused := _authentication(error)) is not None:
        return (
            f"the cluster at {address} must let this process in, got {refused}; copy its token, ~/.ray/auth_token on "
            f"the head, to the same place here, and set RAY_AUTH_MODE=token"
        )
    if isinstance(error, ConnectionError):
        return _nobody(address, first_line(error))
    if "ersion mismatch" in text:
        found = text.partition("ersion mismatch")[2].lstrip(": ")[:200]
        return f"the cluster at {address} must have the Ray and Python of this process, got {found}; install the same"
    return (
        f"this machine must be a node of the cluster at {address}, got {first_line(error)}; run "
        f"`ray start --address={address}` here first, or submit the command with `ray job submit`"
    )


def _authentication(error: BaseException | None) -> str | None:
    """What Ray says of a token that is missing or wrong, in a sentence; None where it is about something else.

    Where a head refuses, Ray raises that it does not connect, and its cause ends with the reason, after a traceback.
    """
    while error is not None:
        told = f"{type(error).__name__}: {error}"
        if "AuthenticationError: " in told:
            sentence = first_line(ValueError(told.rpartition("AuthenticationError: ")[2])).partition(". ")[0]
            return sentence.rpartition("InvalidAuthToken: ")[2].rstrip(".")
        error = error.__cause__
    return None


def _room(resources: Mapping[str, float], gpus_per_worker: float) -> int:
    room = int(resources.get("CPU", 0))
    if gpus_per_worker > 1.0:
        return min(room, int(resources.get("GPU", 0) // gpus_per_worker))
    if gpus_per_worker > 0.0:  # a share is never of two GPUs
        return min(room, int(resources.get("GPU", 0)) * int(1.0 / gpus_per_worker + 1e-9))
    return room


def _small_memory() -> tuple[str, ...]:
    try:
        free = shutil.disk_usage(_SHARED).free
    except OSError:
        return ()
    if free >= STORE_BYTES:
        return ()
    wanted = f"{_SHARED} has {free // 2**20} MB free where Ray wants {STORE_BYTES // 2**20}"
    return (f"{wanted}: it takes a file in /tmp instead; give a container --shm-size=256m",)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray would end the process on SIGTERM, where the command line stops it cleanly."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
