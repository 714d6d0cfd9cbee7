"""Transfer: the rules that searches found, on larger tasks that no search saw, beside AdamW and Lion.

Every rule gets the same trials: learning rates times decoupled weight decays, the decay applied outside the rule
(w <- w - update - lr decay w). A rule that was found keeps its constants, AdamW and Lion their published ones; beyond
that, `adamw_betas` is AdamW with its betas swept too, which is many times the trials. The trial with the lowest
validation loss from one seed is chosen; what is reported is the test loss from other seeds, on which nothing is chosen.
"""

from dataclasses import dataclass
from itertools import product
from math import inf, isfinite, log
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import jax
import jax.numpy as jnp
import jobs
import numpy as np

from evaluators.domain import load
from evaluators.forms import canonical_graph, canonical_text
from evaluators.optimizers.baselines import BETA1, BETA2, adamw, best_rate
from evaluators.optimizers.tasks import HELD_OUT_TASKS, SEARCH_TASKS, load_task
from evaluators.optimizers.training import Carry, Interpreted, start, trainer
from primitives.encode import Capacity
from primitives.graph import Graph
from primitives.interpreter import Machine

LEARNING_RATES = tuple(10.0 ** (half / 2) for half in range(-9, 1))
DECAYS = (0.0, 0.1, 1.0, 10.0)
TUNING = 1000
"""The replicate that trials are chosen on; the one behind it is reported. Searches and their judgement use none."""
BASELINES: dict[str, list[tuple[float, float]]] = {
    "adamw": [(0.9, 0.999)],
    "lion": [(0.9, 0.99)],
    "adamw_betas": list(product(BETA1, BETA2)),
}
"""Betas of the baselines."""
EQUAL = ("adamw", "lion")
"""Baselines with the trials of a rule that was found."""
LION = """def train(w, g, m, lr):
    update = interpolate(g, m, {0!r})
    update = sign(update)
    update = update * lr
    m = interpolate(g, m, {1!r})
    return update, m
"""


def run(rules: dict[int, str], tasks: list[str] | None, seeds: int, work: Path, script: Path) -> dict[str, Any]:
    """Trains the rules of the searches, by seed, and the baselines on every task; returns results by task and rule."""
    texts = {**dict.fromkeys(BASELINES), **{f"seed_{seed}": text for seed, text in rules.items()}}
    parts: list[jobs.Asked] = [
        ("transfer", work / "transfer" / name / rule, {"task": name, "rule": rule, "text": text, "seeds": seeds})
        for rule, text in texts.items()
        for name in tasks or _larger()
    ]
    found: dict[str, Any] = {}
    for result in jobs.run(parts, work, script, None):
        found.setdefault(result["task"], {})[result["rule"]] = result
    return found


def _larger() -> list[str]:
    """Held-out tasks with more parameters than any search task, largest first."""
    most = max(make().layout.size for make in SEARCH_TASKS.values())
    sizes = {name: make().layout.size for name, make in HELD_OUT_TASKS.items()}
    return sorted((name for name in sizes if sizes[name] > most), key=lambda name: -sizes[name])


# --- training ---------------------------------------------------------------------------------------------------------


class Decayed(Interpreted):
    """Any program with decoupled weight decay on top; `program` is (Encoded, decay)."""

    def start(self, program: Any, weights: jax.Array) -> Carry:
        """Returns the register files."""
        return super().start(program[0], weights)

    def step(self, program: Any, carry: Carry, gradient: jax.Array, rate: jax.Array, t: jax.Array) -> Carry:
        """Takes one step."""
        encoded, decay = program
        shrunk = rate[:, None] * decay * self.weights(carry)
        tensors, smalls = super().step(encoded, carry, gradient, rate, t)
        return tensors.at[self._w].add(-shrunk), smalls


@dataclass(frozen=True)
class Trial:
    """What is chosen on one seed: program, decay and learning rate."""

    valid: float
    program: int
    decay: float
    rate: int


def train(asked: dict[str, Any]) -> dict[str, Any]:
    """Trains one rule on one task: all trials on one seed, then the best on others."""
    task, domain = load_task(asked["task"]), load("optimizers")
    machine = Machine(domain.vocabulary, domain.interface, task.layout, Capacity())
    rule, steps = Decayed(machine), jnp.int32(task.steps)
    programs = [machine.encode(graph) for graph in _graphs(asked)]
    sweep = jax.jit(trainer(task, rule, 1, len(LEARNING_RATES)))
    at = start(task, TUNING, (0,), task.steps)
    best: Trial | None = None
    for (index, program), decay in product(enumerate(programs), DECAYS):
        rates = jnp.asarray(LEARNING_RATES, jnp.float32)
        losses = np.asarray(sweep((program, jnp.float32(decay)), at.weights, at.order, rates, steps))[0]
        found = best_rate(losses)
        if found is not None and (best is None or found[1] < best.valid):
            best = Trial(found[1], index, decay, found[0])
    result = {**asked, "parameters": task.layout.size, "trials": len(programs) * len(DECAYS) * len(LEARNING_RATES)}
    if best is None:
        return {**result, "test": [inf]}
    report = jax.jit(trainer(task, rule, asked["seeds"], 1, ("test",)))
    at = start(task, TUNING + 1, range(asked["seeds"]), task.steps)
    rate = LEARNING_RATES[best.rate]
    chosen = (programs[best.program], jnp.float32(best.decay))
    losses = report(chosen, at.weights, at.order, jnp.asarray([rate], jnp.float32), steps)
    return {
        **result,
        "valid": best.valid,
        "betas": BASELINES[asked["rule"]][best.program] if asked["text"] is None else None,
        "decay": best.decay,
        "learning_rate": rate,
        "at_edge": best.rate in (0, len(LEARNING_RATES) - 1),
        "test": np.asarray(losses, np.float64)[0, :, 0].tolist(),
    }


def _graphs(asked: dict[str, Any]) -> list[Graph]:
    domain = load("optimizers")
    if asked["text"] is not None:
        return [canonical_graph(asked["text"], domain)]
    betas = BASELINES[asked["rule"]]
    if asked["rule"] == "lion":
        return [canonical_graph(LION.format(*pair), domain) for pair in betas]
    return [adamw(*pair, 0.0) for pair in betas]


# --- report -----------------------------------------------------------------------------------------------------------


def section(found: dict[str, Any], seeds: int) -> list[str]:
    """Returns the section of the page: losses of every rule on every task, and who beats whom."""
    ours = [rule for rule in next(iter(found.values())) if rule not in BASELINES]
    equal, betas = ({rule: _won(found, rule, beaten) for rule in ours} for beaten in (EQUAL, tuple(BASELINES)))
    order = sorted(ours, key=lambda rule: (-len(equal[rule]), _mean_gain(found, rule)))
    sizes = [f"{name} ({next(iter(results.values()))['parameters']:,})" for name, results in found.items()]
    lines = [
        "## On larger tasks that no search saw",
        "",
        "The best rule of each run, in its canonical form, beside AdamW (0.9, 0.999) and Lion (0.9, 0.99). Each gets",
        f"the same {len(DECAYS) * len(LEARNING_RATES)} trials: {len(LEARNING_RATES)} learning rates times the",
        f"decoupled weight decays {', '.join(f'{decay:g}' for decay in DECAYS)}. `adamw_betas` gets",
        f"{len(BASELINES['adamw_betas'])} times as many, its betas swept too. The trial is the best of one seed's",
        f"validation loss; what stands here is the test loss from {seeds} other seeds, mean and deviation; in brackets",
        "learning rate and decay, `*` where the rate is an end of the grid. Parameters stand behind the task.",
        "",
        f"| rule | {' | '.join(sizes)} | beats AdamW and Lion | and adamw_betas |",
        f"|{' --- |' * (len(found) + 3)}",
    ]
    for rule in (*BASELINES, *order):
        cells = " | ".join(_cell(results[rule]) for results in found.values())
        counts = [f"{len(won[rule])} of {len(found)}" if rule in won else "" for won in (equal, betas)]
        lines.append(f"| {rule} | {cells} | {' | '.join(counts)} |")
    best = order[0]
    most, harder = (sum(2 * len(won) > len(found) for won in wins.values()) for wins in (equal, betas))
    gain = 100 * (1 - np.exp(_mean_gain(found, best)))
    domain = load("optimizers")
    return [
        *lines,
        "",
        f"{most} of {len(ours)} runs end with a rule whose loss is below both AdamW's and Lion's on most of the tasks",
        f"at equal trials; {harder} of {len(ours)} where AdamW's betas are tuned for each task too.",
        "",
        f"The best, {best} (its loss is on average {gain:.1f} % below the lower of AdamW's and Lion's):",
        "",
        "```python",
        canonical_text(next(iter(found.values()))[best]["text"], domain).rstrip(),
        "```",
        "",
    ]


def _test(result: dict[str, Any]) -> float:
    """Mean test loss; infinite where the rule diverged on a seed that is reported, or in every trial."""
    mean = fmean(result["test"])
    return mean if isfinite(mean) else inf


def _won(found: dict[str, Any], rule: str, beaten: tuple[str, ...]) -> list[str]:
    """Tasks on which the loss of a rule is below that of all those baselines."""
    return [name for name, results in found.items() if _test(results[rule]) < min(_test(results[b]) for b in beaten)]


def _mean_gain(found: dict[str, Any], rule: str) -> float:
    """Mean over tasks of log(loss / lower loss of AdamW and Lion); negative is better."""
    return fmean(log(_test(results[rule]) / min(_test(results[b]) for b in EQUAL)) for results in found.values())


def _cell(result: dict[str, Any]) -> str:
    if not isfinite(_test(result)):
        return "diverged"
    spread = f" ± {stdev(result['test']):.2g}" if len(result["test"]) > 1 else ""
    edge = "*" if result["at_edge"] else ""
    return f"{_test(result):.4g}{spread} ({result['learning_rate']:.2g}{edge}, {result['decay']:g})"
