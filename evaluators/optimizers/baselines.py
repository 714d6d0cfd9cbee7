"""The baseline: AdamW, its decay rates and weight decay tuned on the very lanes that a candidate gets.

The setting is the best of 36 on the mean over two seeds at the task's full length, as a candidate is what search
selected on its seeds; a shorter stage, which only stops weak candidates early, takes the same. On any replicate the
baseline is this setting at its best learning rate, as a candidate is its program at its best learning rate. Were the
setting chosen anew on each replicate, the baseline would have luck that no candidate has.

Tuning is a function of the task, so the setting is kept on disk under a hash of all that it depends on: the
task's digest, the code that trains, the settings, the version of JAX, the CPU and the kind of device.
"""

import hashlib
import inspect
import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, astuple, dataclass
from functools import cache
from importlib.metadata import version
from itertools import product, starmap
from pathlib import Path
from types import ModuleType

import jax
import numpy as np

from evaluators.optimizers import rules, training
from evaluators.optimizers.training import Training, Wanted
from evaluators.processor import processor
from primitives import encode, interpreter, reference
from primitives.graph import Graph, check
from primitives.ops import LIBRARY
from primitives.program import OPTIMIZER
from primitives.simplify import canonicalize
from primitives.text import parse


@dataclass(frozen=True, slots=True)
class Setting:
    """Constants of AdamW.

    Args:
        beta1: decay rate of the first moment.
        beta2: decay rate of the second moment.
        weight_decay: decoupled weight decay (times the learning rate).
    """

    beta1: float
    beta2: float
    weight_decay: float


SETTINGS = tuple(starmap(Setting, product((0.5, 0.7, 0.9), (0.6, 0.9, 0.99, 0.999), (0.0, 0.1, 1.0))))
"""What the baseline is chosen from. Short runs want shorter memories than the usual ones, so the grid goes below."""
SEEDS = 2
"""Seeds of replicate 0 that the setting is chosen on."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """The tuned AdamW on one task and replicate.

    Args:
        loss: the best over learning rates of the seed-mean final validation loss.
        learning_rate: its learning rate.
        setting: the tuned constants.
    """

    loss: float
    learning_rate: float
    setting: Setting


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
    return canonicalize(check(parse(text, OPTIMIZER, LIBRARY), LIBRARY), LIBRARY, "float32")


def best_rate(losses: np.ndarray) -> tuple[int, float] | None:
    """Returns index and value of the best seed-mean over learning rates, or None where no rate is finite throughout.

    Args:
        losses: (seeds, learning rates); a seed that is not finite rules its rate out.
    """
    means = losses.astype(np.float64).mean(axis=0)
    means = np.where(np.isfinite(means), means, np.inf)
    index = int(means.argmin())
    return (index, float(means[index])) if np.isfinite(means[index]) else None


def tune(run: Training, settings: Iterable[Setting] = SETTINGS) -> Setting:
    """Returns the setting with the lowest seed-mean loss at its best learning rate, on replicate 0.

    Args:
        run: the training runs of the task.
        settings: what there is to choose from.

    Raises:
        ValueError: AdamW diverges on the task whatever its setting.
    """
    found: tuple[float, Setting] | None = None
    tried = tuple(settings)
    programs = [run.load(adamw(*astuple(setting))) for setting in tried]
    wanted = [Wanted(program, 0, seed) for program in programs for seed in range(SEEDS)]
    losses = np.stack([finals[0] for finals in run.run_all(wanted, run.task.steps)])
    for setting, own in zip(tried, losses.reshape(len(tried), SEEDS, -1), strict=True):
        best = best_rate(own)
        if best is not None and (found is None or best[1] < found[0]):
            found = best[1], setting
    if found is None:
        raise ValueError(_useless(run, "no finite one"))
    return found[1]


def tuned(run: Training, folder: str | None, anew: bool = False) -> Setting:
    """Returns the tuned setting of a task, from disk where it is known.

    Args:
        run: the training runs of the task.
        folder: where settings are kept; None keeps nothing.
        anew: tune even where the setting is known.

    Raises:
        ValueError: AdamW diverges on the task whatever its setting.
    """
    if folder is None:
        return tune(run)
    path = Path(folder) / f"adamw-{run.task.name.rpartition(':')[2]}-{_key(run)}.json"
    if not anew:
        try:
            return Setting(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            pass  # not known, or cut off by a fault: tune
    setting = tune(run)
    _write(path, json.dumps(asdict(setting)))
    return setting


def measure(run: Training, setting: Setting, replicate: int, steps: int, seeds: int) -> Baseline:
    """Returns the baseline on a replicate: the setting at its best learning rate.

    Args:
        run: the training runs of the task.
        setting: the tuned setting.
        replicate: seed set.
        steps: training steps.
        seeds: seeds of the replicate that the loss is the mean of.

    Raises:
        ValueError: AdamW reaches no positive, finite loss on the task.
    """
    losses = run.losses(run.load(adamw(*astuple(setting))), replicate, steps, seeds)
    best = best_rate(losses)
    if best is None or best[1] <= 0.0:
        raise ValueError(_useless(run, "no finite one" if best is None else f"{best[1]:.3g}"))
    return Baseline(best[1], run.task.learning_rates[best[0]], setting)


def _useless(run: Training, got: str) -> str:
    return (
        f"AdamW must reach a positive, finite loss on task {run.task.name!r}, got {got} at any learning rate of "
        f"{run.task.learning_rates}; mend the task's loss or its grid"
    )


def _write(path: Path, text: str) -> None:
    """Writes atomically; a cache that can't be written only costs time, so that is no error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            file.write(text)
        os.replace(file.name, path)
    except OSError:
        pass


def _key(run: Training) -> str:
    device = jax.devices()[0]
    parts = (
        run.task.digest,
        run.task.learning_rates,
        run.width,
        run.splits[0],
        (SETTINGS, SEEDS),
        jax.__version__,
        version("jaxlib"),
        (device.platform, device.device_kind, processor()),
        _code(),
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


@cache
def _code() -> str:
    modules: list[ModuleType] = [training, rules, interpreter, encode, reference]
    modules += [inspect.getmodule(LIBRARY[name].fn) for name in LIBRARY]  # type: ignore[list-item]
    sources = {module.__name__: inspect.getsource(module) for module in modules}
    text = "".join(sources[name] for name in sorted(sources))
    text += "".join(inspect.getsource(function) for function in (adamw, best_rate, tune))
    return hashlib.sha256(text.encode()).hexdigest()
