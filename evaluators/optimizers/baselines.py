"""The baseline: AdamW, tuned on the very lanes that a candidate gets, over decay rates and weight decay.

Tuning is a function of (task, steps, seeds, replicate), so its result is kept on disk under a hash of all that it
depends on: the task's digest, the code that trains, the settings, the version of JAX and the kind of device.
"""

import hashlib
import inspect
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from functools import cache
from itertools import product
from pathlib import Path
from types import ModuleType

import jax
import numpy as np

from evaluators.optimizers import training
from evaluators.optimizers.training import Training
from primitives import encode, interpreter
from primitives.graph import Graph, check
from primitives.ops import HERO
from primitives.program import OPTIMIZER
from primitives.simplify import canonicalize
from primitives.text import parse

BETA1 = (0.8, 0.9, 0.95)
BETA2 = (0.95, 0.99, 0.999)
WEIGHT_DECAY = (0.0, 0.01, 0.1, 1.0)


@dataclass(frozen=True, slots=True)
class Baseline:
    """The best of the tuned AdamW on one task.

    Args:
        loss: the best over settings and learning rates of the seed-mean final validation loss.
        learning_rate: its learning rate.
        beta1: its decay rate of the first moment.
        beta2: its decay rate of the second moment.
        weight_decay: its decoupled weight decay (times the learning rate).
    """

    loss: float
    learning_rate: float
    beta1: float
    beta2: float
    weight_decay: float


def adamw(beta1: float, beta2: float, weight_decay: float) -> Graph:
    """Returns AdamW (Loshchilov and Hutter 2019) with bias correction; its eps of 1e-8 is that of the guarded `/`."""
    text = f"""
def train(w, g, m, v, lr, t):
    m = interpolate(g, m, {beta1!r})
    g2 = square(g)
    v = interpolate(g2, v, {beta2!r})
    p1 = power({beta1!r}, t)
    c1 = 1.0 - p1
    p2 = power({beta2!r}, t)
    c2 = 1.0 - p2
    m_hat = m / c1
    v_hat = v / c2
    root = sqrt(v_hat)
    update = m_hat / root
    decay = w * {weight_decay!r}
    update = update + decay
    update = update * lr
    return update, m, v
"""
    return canonicalize(check(parse(text, OPTIMIZER, HERO), HERO), HERO, "float32")


def best_rate(losses: np.ndarray) -> tuple[int, float] | None:
    """Returns index and value of the best seed-mean over learning rates, or None where no rate is finite throughout.

    Args:
        losses: (seeds, learning rates); a seed that is not finite rules its rate out.
    """
    means = losses.astype(np.float64).mean(axis=0)
    means = np.where(np.isfinite(means), means, np.inf)
    index = int(means.argmin())
    return (index, float(means[index])) if np.isfinite(means[index]) else None


def tune(run: Training, replicate: int, steps: int) -> Baseline:
    """Trains every setting at every learning rate and returns the best.

    Raises:
        ValueError: AdamW diverges on the task whatever its setting.
    """
    found: Baseline | None = None
    for beta1, beta2, decay in product(BETA1, BETA2, WEIGHT_DECAY):
        losses = run.losses(run.machine.encode(adamw(beta1, beta2, decay)), replicate, steps)
        best = best_rate(losses)
        if best is not None and (found is None or best[1] < found.loss):
            found = Baseline(best[1], run.task.learning_rates[best[0]], beta1, beta2, decay)
    if found is None or found.loss <= 0.0:
        got = "none" if found is None else found.loss
        raise ValueError(
            f"AdamW must reach a positive, finite loss on task {run.task.name!r}, got {got} at every learning rate of "
            f"{run.task.learning_rates}; mend the task's loss or its grid"
        )
    return found


def tuned(run: Training, replicate: int, steps: int, folder: str | None, anew: bool = False) -> Baseline:
    """Returns the tuned baseline, from disk where it is known.

    Args:
        run: the training runs of the task.
        replicate: seed set.
        steps: training steps.
        folder: where results are kept; None keeps nothing.
        anew: tune even where the result is known.
    """
    if folder is None:
        return tune(run, replicate, steps)
    path = Path(folder) / f"adamw-{run.task.name.rpartition(':')[2]}-{_key(run, replicate, steps)}.json"
    if not anew:
        try:
            return Baseline(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            pass  # not known, or cut off by a fault: tune
    baseline = tune(run, replicate, steps)
    _write(path, json.dumps(asdict(baseline)))
    return baseline


def _write(path: Path, text: str) -> None:
    """Writes atomically; a cache that can't be written only costs time, so that is no error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            file.write(text)
        os.replace(file.name, path)
    except OSError:
        pass


def _key(run: Training, replicate: int, steps: int) -> str:
    device = jax.devices()[0]
    parts = (
        run.task.digest,
        run.task.learning_rates,
        (replicate, steps, run.seeds),
        (BETA1, BETA2, WEIGHT_DECAY),
        jax.__version__,
        (device.platform, device.device_kind),
        _code(),
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


@cache
def _code() -> str:
    modules: list[ModuleType] = [training, interpreter, encode]
    modules += [inspect.getmodule(HERO[name].fn) for name in HERO]  # type: ignore[list-item]
    sources = {module.__name__: inspect.getsource(module) for module in modules}
    text = "".join(sources[name] for name in sorted(sources)) + inspect.getsource(adamw)
    return hashlib.sha256(text.encode()).hexdigest()
