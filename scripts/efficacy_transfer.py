"""Transfer: the rules that searches found, on larger tasks that no search saw, beside tuned AdamW, Lion and Adam.

Every rule gets the same learning rates; AdamW also a sweep of its betas and its weight decay, Lion one of the same
two. Setting and learning rate are those of the lowest validation loss from one seed; what is reported is the test loss
from other seeds, and nothing is selected on either.
"""

from collections.abc import Callable, Iterator
from itertools import product
from math import inf, isfinite, log
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import efficacy_jobs
import numpy as np

LEARNING_RATES = tuple(10.0 ** (half / 2) for half in range(-9, 1))
TUNING = 1000
"""The replicate that settings are chosen on; those behind it are reported. Searches and their judgement use none."""
BASELINES = ("adamw", "lion", "adam")
LION_BETAS = ((0.9, 0.99), (0.95, 0.98))
LION_DECAY = (0.0, 0.01, 0.1, 1.0, 10.0)

Losses = Callable[[int], np.ndarray]
"""A training run: replicate -> losses (valid and test, 1, learning rates)."""
Runs = Iterator[tuple[dict[str, float], Losses]]
"""Settings, each with its training run."""


def run(
    rules: dict[int, str], tasks: list[str] | None, replicates: int, work: Path, script: Path, cores: int | None
) -> dict[str, Any]:
    """Trains the rules of the searches, by seed, and the baselines on every task; returns results by task and rule."""
    texts = {**dict.fromkeys(BASELINES), **{f"seed_{seed}": text for seed, text in rules.items()}}
    parts: list[efficacy_jobs.Asked] = [
        (
            "transfer",
            work / "transfer" / name / rule,
            {"task": name, "rule": rule, "text": text, "replicates": replicates},
        )
        for rule, text in texts.items()
        for name in tasks or _larger()
    ]
    found: dict[str, Any] = {}
    for result in efficacy_jobs.run(parts, work, script, cores):
        found.setdefault(result["task"], {})[result["rule"]] = result
    return found


def _larger() -> list[str]:
    """Held-out tasks with more parameters than any search task, largest first."""
    from evaluators.optimizers.tasks import HELD_OUT_TASKS, SEARCH_TASKS

    most = max(make().layout.size for make in SEARCH_TASKS.values())
    sizes = {name: make().layout.size for name, make in HELD_OUT_TASKS.items()}
    return sorted((name for name in sizes if sizes[name] > most), key=lambda name: -sizes[name])


# --- training ---------------------------------------------------------------------------------------------------------


def train(asked: dict[str, Any]) -> dict[str, Any]:
    """Trains one rule on one task with every setting and learning rate."""
    from evaluators.optimizers.baselines import best_rate
    from evaluators.optimizers.tasks import load_task

    task = load_task(asked["task"])
    runs = _swept(asked["rule"], task) if asked["text"] is None else _found(asked["text"], task)
    best: dict[str, Any] = {"tuned_valid": float("inf"), "setting": {}, "learning_rate": None, "at_edge": False}
    chosen: Losses | None = None
    at = 0
    for setting, losses in runs:
        found = best_rate(losses(TUNING)[0])
        if found is not None and found[1] < best["tuned_valid"]:
            (at, valid), chosen = found, losses
            best = {
                "tuned_valid": valid,
                "setting": setting,
                "learning_rate": LEARNING_RATES[at],
                "at_edge": at in (0, len(LEARNING_RATES) - 1),
            }
    if chosen is not None:
        reported = [chosen(TUNING + 1 + seed) for seed in range(asked["replicates"])]
        best["test"] = [float(losses[1, 0, at]) for losses in reported]
    return {**asked, **best, "parameters": task.layout.size}


def _found(text: str, task: Any) -> Runs:
    from evaluators.domain import load
    from evaluators.forms import canonical_graph
    from evaluators.optimizers.training import compiled

    domain = load("optimizers")
    graph = canonical_graph(text, domain)
    yield {}, compiled(task, graph, domain.vocabulary, 1, LEARNING_RATES, task.steps, ("valid", "test"))


def _swept(name: str, task: Any) -> Runs:
    """Hand-written rules whose settings are data, so that a sweep compiles once."""
    import jax
    import jax.numpy as jnp

    from evaluators.optimizers.baselines import BETA1, BETA2, WEIGHT_DECAY
    from evaluators.optimizers.training import start, trainer

    def adamw(w: Any, g: Any, state: Any, lr: Any, t: Any, beta1: Any, beta2: Any, decay: Any) -> Any:
        m, v = beta1 * state[0] + (1 - beta1) * g, beta2 * state[1] + (1 - beta2) * g * g
        step = (m / (1 - beta1**t)) / (jnp.sqrt(v / (1 - beta2**t)) + 1e-8)
        return lr * (step + decay * w), (m, v)

    def lion(w: Any, g: Any, state: Any, lr: Any, t: Any, beta1: Any, beta2: Any, decay: Any) -> Any:
        (m,) = state
        return lr * (jnp.sign(beta1 * m + (1 - beta1) * g) + decay * w), (beta2 * m + (1 - beta2) * g,)

    class Swept:
        """A rule whose `program` is (beta1, beta2, weight decay)."""

        update, buffers = (lion, 1) if name == "lion" else (adamw, 2)

        def start(self, program: Any, weights: Any) -> Any:
            return weights, (jnp.zeros_like(weights),) * self.buffers

        def weights(self, carry: Any) -> Any:
            return carry[0]

        def step(self, program: Any, carry: Any, gradient: Any, rate: Any, t: Any) -> Any:
            w, state = carry
            update, state = type(self).update(w, gradient, state, rate[:, None], t, *program)
            return w - update, state

    train_all = jax.jit(trainer(task, Swept(), 1, len(LEARNING_RATES), ("valid", "test")))
    rates, steps = jnp.asarray(LEARNING_RATES, jnp.float32), jnp.int32(task.steps)

    def losses(values: tuple[float, float, float], replicate: int) -> np.ndarray:
        at = start(task, replicate, (0,), task.steps)
        return np.asarray(train_all(jnp.asarray(values, jnp.float32), at.weights, at.order, rates, steps))

    grids = {
        "adamw": product(BETA1, BETA2, WEIGHT_DECAY),
        "lion": ((*betas, decay) for betas, decay in product(LION_BETAS, LION_DECAY)),
        "adam": [(0.9, 0.999, 0.0)],
    }
    for values in grids[name]:
        beta1, beta2, decay = values
        yield (
            {"beta1": beta1, "beta2": beta2, "weight_decay": decay},
            lambda replicate, values=values: losses(values, replicate),
        )


# --- report -----------------------------------------------------------------------------------------------------------


def section(found: dict[str, Any], replicates: int) -> list[str]:
    """Returns the section of the page: losses of every rule on every task, and who beats whom."""
    rules = list(next(iter(found.values())))
    ours = [rule for rule in rules if rule not in BASELINES]
    wins = {rule: [name for name, results in found.items() if _beats(results, rule)] for rule in ours}
    order = sorted(ours, key=lambda rule: (-len(wins[rule]), _mean_gain(found, rule)))
    sizes = [f"{name} ({next(iter(results.values()))['parameters']:,})" for name, results in found.items()]
    most = sum(2 * len(won) > len(found) for won in wins.values())
    lines = [
        "## On larger tasks that no search saw",
        "",
        "The best rule of each run, in its canonical form, beside Adam, AdamW (betas and weight decay tuned, 36",
        f"settings) and Lion (likewise, {len(LION_BETAS) * len(LION_DECAY)} settings), all with {len(LEARNING_RATES)}",
        f"learning rates. Setting and rate are the best of one seed's validation loss; what stands here is the test",
        f"loss from {replicates} other seeds, mean and deviation; in brackets the learning rate, `*` where it is an end",
        "of the grid. Parameters stand behind the task.",
        "",
        f"| rule | {' | '.join(sizes)} | beats AdamW and Lion |",
        f"|{' --- |' * (len(found) + 2)}",
    ]
    for rule in (*BASELINES, *order):
        cells = " | ".join(_cell(results[rule]) for results in found.values())
        lines.append(f"| {rule} | {cells} | {f'{len(wins[rule])} of {len(found)}' if rule in wins else ''} |")
    best = order[0]
    return [
        *lines,
        "",
        f"{most} of {len(ours)} runs end with a rule whose loss is below both AdamW's and Lion's on most of the tasks.",
        "",
        f"The best, {best} (its loss is on average {100 * (1 - np.exp(_mean_gain(found, best))):.1f} % below the lower",
        "of AdamW's and Lion's):",
        "",
        "```python",
        _readable(next(iter(found.values()))[best]["text"]),
        "```",
        "",
    ]


def _readable(text: str) -> str:
    from evaluators.domain import load
    from primitives.emit.text import emit_text
    from primitives.text import parse

    domain = load("optimizers")
    return emit_text(parse(text, domain.interface, domain.vocabulary), domain.vocabulary).rstrip()


def _test(result: dict[str, Any]) -> float:
    """Mean test loss; infinite where the rule diverged on a seed that is reported, or with every setting."""
    mean = fmean(result.get("test", [inf]))
    return mean if isfinite(mean) else inf


def _beats(results: dict[str, Any], rule: str) -> bool:
    return _test(results[rule]) < min(_test(results["adamw"]), _test(results["lion"]))


def _mean_gain(found: dict[str, Any], rule: str) -> float:
    """Mean over tasks of log(loss / lower loss of AdamW and Lion); negative is better."""
    return fmean(
        log(_test(results[rule]) / min(_test(results["adamw"]), _test(results["lion"]))) for results in found.values()
    )


def _cell(result: dict[str, Any]) -> str:
    if result["learning_rate"] is None:
        return "diverged"
    spread = f" ± {stdev(result['test']):.2g}" if len(result["test"]) > 1 else ""
    return f"{_test(result):.4g}{spread} ({result['learning_rate']:.2g}{'*' if result['at_edge'] else ''})"
