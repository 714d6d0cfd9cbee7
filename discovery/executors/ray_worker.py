"""What runs in the process of a Ray worker."""

import os
import pickle
import platform
import sys
from importlib.metadata import version

from discovery.device import cache_folder, configure
from discovery.executors import Works
from evaluators.processor import processor


class Actor:
    """A worker in a process of its own."""

    def here(self) -> None:
        """Says that it has a place."""

    def start(self, folders: list[str], make: bytes, has_gpu: bool) -> tuple[str, str, int]:
        """Makes the worker and warms it up; without a GPU of its own it leaves those of its machine alone.

        Returns:
            Ray's id of the machine that it is on, what kind it is, and the units that go together.
        """
        import ray  # not before its settings are in the environment

        # modules lie where they do for the driver: a task in the user's folder, on a cluster in one that is shared
        sys.path.extend(folder for folder in map(os.path.abspath, folders) if folder not in sys.path)
        if not has_gpu:
            os.environ["JAX_PLATFORMS"] = "cpu"
        configure()
        _refuse_unwritable()
        self._worker: Works = pickle.loads(make)()
        self._worker.warm_up()
        versions = ", ".join(f"{name} {version(name)}" for name in ("jax", "jaxlib", "numpy"))
        kind = f"{processor()}, Python {platform.python_version()}, {versions}"
        return ray.get_runtime_context().get_node_id(), kind, self._worker.together

    def run(self, units: bytes) -> bytes:
        """Works units off; returns for each what it gave, its seconds and its fault.

        Both travel as bytes: what Ray makes of plain data itself takes the driver several times as long.
        """
        finished = self._worker.run(pickle.loads(units))
        return pickle.dumps([(one.results, one.seconds, one.fault) for one in finished], pickle.HIGHEST_PROTOCOL)


def _refuse_unwritable() -> None:
    """In this process compiling anew would only cost time; a hundred workers would do it a hundred times."""
    folder = cache_folder()
    probe = folder / f".{platform.node()}-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ValueError(
            f"workers must be able to write {folder}, where compiled code and baselines are kept, got: "
            f"{error.strerror} on {platform.node()}; give them a HOME that they may write to, or take 1 worker"
        ) from None
