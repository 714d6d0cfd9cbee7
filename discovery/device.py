"""The device that a process evaluates on: set up once, before JAX starts."""

import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from shutil import which

from evaluators.processor import processor

_FLAGS = {
    "--xla_cpu_multi_thread_eigen": "false",  # one thread
    # else the fastest of several kernels is chosen by timing them: on another machine another one, with other bits
    "--xla_gpu_deterministic_ops": "true",
}


def cache_folder() -> Path:
    """Returns the folder for what may be remade at any time: compiled code and tuned baselines."""
    return Path.home() / ".cache" / "pride"


def configure() -> None:
    """Makes this process a worker: one thread, no grab of a whole GPU's memory, compiled code kept on disk.

    Must come before JAX computes anything; called again it does nothing new. Every process that evaluates calls it,
    so that the same flags give the same bits everywhere.
    """
    flags = os.environ.get("XLA_FLAGS", "").split()
    named = {flag.partition("=")[0] for flag in flags}
    ours = [f"{name}={value}" for name, value in _FLAGS.items() if name not in named]
    os.environ["XLA_FLAGS"] = " ".join([*ours, *flags])  # first: XLA reads no further than a word that is no flag
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    for library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(library, "1")
    import jax

    try:
        folder = cache_folder() / "compiled"
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # compiling anew only costs time
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


_ASK = "import jax; (first, *_) = found = jax.devices(); print(len(found), first.platform, first.device_kind)"


@cache
def _devices() -> tuple[int, str, str]:
    """Number, platform and kind of the devices that JAX finds.

    A process of its own asks JAX: in this one it would start threads, which Ray's forks do not bear, and take a share
    of a GPU that the workers need.

    Raises:
        ValueError: JAX finds no device.
    """
    asked = subprocess.run([sys.executable, "-c", _ASK], capture_output=True, text=True, check=False)
    if asked.returncode != 0:
        last = (asked.stderr.strip().splitlines() or ["no word"])[-1]
        raise ValueError(
            f"JAX must find a device, got {last}; see whether `python -c 'import jax; jax.devices()'` works"
        )
    number, platform, kind = asked.stdout.strip().splitlines()[-1].split(" ", 2)
    return int(number), platform, kind


def gpus() -> int:
    """Returns the number of GPUs that JAX computes with on this machine; 0 where it takes the CPU."""
    number, platform, _ = _devices()
    return number if platform == "gpu" else 0


def describe() -> dict[str, str]:
    """Returns what the bits of a result may depend on: versions, CPU, device and the commit of this code.

    Raises:
        ValueError: JAX finds no device.
    """
    import numpy

    _, device, kind = _devices()
    return {
        "python": sys.version.split()[0],
        "numpy": numpy.__version__,
        "jax": version("jax"),
        "jaxlib": version("jaxlib"),
        "platform": platform.platform(),
        "processor": processor(),
        "device": f"{device}: {kind}",
        "commit": _commit(),
    }


def _commit() -> str:
    """The commit of the checkout that this file is in, with `-dirty` where it was changed; the version elsewhere."""
    folder = Path(__file__).parents[1]
    if (folder / ".git").exists() and which("git"):
        git = ["git", "-C", str(folder), "describe", "--always", "--dirty"]
        asked = subprocess.run(git, capture_output=True, text=True, check=False)
        if asked.returncode == 0:
            return asked.stdout.strip()
    return f"release {version('pride')}"
