"""Transfer: the rules that searches found, on larger tasks that no search saw, beside AdamW and Lion.

Every rule gets the same trials: learning rates times decoupled weight decays, the decay applied outside the rule and
apart from its learning rate, w <- w - update - schedule(t) decay w, the cosine schedule falling from 1. (Times the
learning rate, as libraries have it, a decay would be out of reach for a rule that takes the root of its rate: it wants
rates near 10^-5.) A rule that was found keeps its constants, AdamW and Lion their published ones; beyond that,
`adamw_betas` is AdamW with its betas swept too, which is many times the trials. The trial with the lowest validation
loss from one seed is chosen; what is reported is the test loss from other seeds, on which nothing is chosen. The seeds
are the same for all rules, so that losses compare in pairs.

References:
    Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import inf, isfinite, log
from pathlib import Path
from statistics import fmean, median
from typing import Any

import jax
import jax.numpy as jnp
import jobs
import numpy as np
from intervals import t_margin
from scipy import stats

from evaluators.domain import load
from evaluators.forms import canonical_graph, canonical_text
from evaluators.optimizers import WIDE
from evaluators.optimizers.baselines import adamw, best_rate
from evaluators.optimizers.rules import Carry, Interpreted, interpreter
from evaluators.optimizers.tasks import load_task
from evaluators.optimizers.training import start, trainer
from primitives.encode import Capacity
from primitives.graph import Graph

RATES = tuple(rate for rate in WIDE if rate <= 1.0)
"""Half decades from 10^-6 to 1: a rule that takes the root of its learning rate wants the square of the usual ones."""
DECAYS = (0.0, *(10.0 ** (half / 2) for half in range(-8, -1)))
"""What a step at the top of the schedule takes off the parameters, as a share of them: none, half decades to 0.1."""
LARGER = ("mnist_autoencoder", "mnist_mlp", "digits_deep_mlp", "char_lm_large", "mnist_cnn")
"""Held-out tasks with more parameters than any search task, largest first: those of `docs/default_runs.md`."""
TUNING = 1000
"""The replicate that trials are chosen on; the one behind it is reported. Searches and their judgement use none."""
BASELINES: dict[str, list[tuple[float, float]]] = {
    "adamw": [(0.9, 0.999)],
    "lion": [(0.9, 0.99)],
    "adamw_betas": list(product((0.7, 0.9), (0.9, 0.99, 0.999))),
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


def run(
    rules: dict[str, str], tasks: list[str], seeds: int, capacity: dict[str, int], work: Path, script: Path
) -> dict[str, Any]:
    """Trains rules and baselines on every task; returns results by task and rule.

    Args:
        rules: texts of the rules that were found, by name.
        tasks: names of tasks.
        seeds: seeds that are reported.
        capacity: sizes of the interpreter.
        work: folder of the results; what is there is found again.
        script: who works off a part.
    """
    texts = {**dict.fromkeys(BASELINES), **rules}
    shared = {"rates": RATES, "decays": DECAYS, "tuning": TUNING, "seeds": seeds, "capacity": capacity}
    parts: list[jobs.Asked] = [
        (
            "transfer",
            work / "transfer" / name / rule,
            {"task": name, "rule": rule, "text": text, "betas": BASELINES.get(rule), **shared},
        )
        for rule, text in texts.items()
        for name in tasks
    ]
    found: dict[str, Any] = {}
    for result in jobs.run(parts, work, script, None):
        found.setdefault(result["task"], {})[result["rule"]] = result
    return found


# --- training ---------------------------------------------------------------------------------------------------------


class Decayed(Interpreted):
    """Any program with decoupled weight decay on top; `program` is (Encoded, decays / learning rates (rates,))."""

    def start(self, program: Any, weights: jax.Array) -> Carry:
        """Returns the register files."""
        return super().start(program[0], weights)

    def step(self, program: Any, carry: Carry, given: Mapping[str, jax.Array]) -> Carry:
        """Takes one step."""
        encoded, ratios = program
        shrunk = (given["lr"] * ratios)[:, None] * self.weights(carry)  # the ratio leaves the schedule of lr
        tensors, smalls = super().step(encoded, carry, given)
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
    machine = interpreter(task, domain.vocabulary, domain.interface, Capacity(**asked["capacity"]))
    rule, steps = Decayed(machine), jnp.int32(task.steps)
    programs = [machine.encode(graph) for graph in _graphs(asked)]
    sweep = jax.jit(trainer(task, rule, 1, len(RATES)))
    at = start(task, TUNING, (0,), task.steps)
    rates, best = jnp.asarray(RATES, jnp.float32), None
    for (index, program), decay in product(enumerate(programs), DECAYS):
        losses = np.asarray(sweep((program, decay / rates), at, rates, steps))[0]
        found = best_rate(losses)
        if found is not None and (best is None or found[1] < best.valid):
            best = Trial(found[1], index, decay, found[0])
    result = {
        **asked,
        "parameters": task.layout.size,
        "trials": len(programs) * len(DECAYS) * len(RATES),
    }
    if best is None:
        return {**result, "test": None}
    report = jax.jit(trainer(task, rule, asked["seeds"], 1, ("test",)))
    at = start(task, TUNING + 1, range(asked["seeds"]), task.steps)
    rate = rates[best.rate : best.rate + 1]
    losses = report((programs[best.program], best.decay / rate), at, rate, steps)
    return {
        **result,
        "valid": best.valid,
        "chosen_betas": asked["betas"] and asked["betas"][best.program],
        "decay": best.decay,
        "learning_rate": RATES[best.rate],
        "at_edge": best.rate in (0, len(RATES) - 1),
        "at_most_decay": best.decay == DECAYS[-1],
        "test": np.asarray(losses, np.float64)[0, :, 0].tolist() if np.isfinite(losses).all() else None,
    }


def _graphs(asked: dict[str, Any]) -> list[Graph]:
    domain = load("optimizers")
    if asked["text"] is not None:
        return [canonical_graph(asked["text"], domain)]
    betas = asked["betas"]
    if asked["rule"] == "lion":
        return [canonical_graph(LION.format(*pair), domain) for pair in betas]
    return [adamw(beta1, beta2, 0.0) for beta1, beta2 in betas]


# --- report -----------------------------------------------------------------------------------------------------------


def section(found: dict[str, Any], seeds: int, best: str) -> list[str]:
    """Returns the section of the page: losses of every rule on every task, and who beats whom.

    Args:
        found: results by task and rule.
        seeds: seeds that are reported.
        best: the rule to show, chosen elsewhere.
    """
    ours = [rule for rule in next(iter(found.values())) if rule not in BASELINES]
    sizes = [f"{name} ({next(iter(results.values()))['parameters']:,})" for name, results in found.items()]
    columns = ["rule", *sizes, "beats AdamW and Lion", "and adamw_betas"]
    lines = [
        "## On larger tasks that no search saw",
        "",
        "The best rule of each run, in its canonical form, beside AdamW (0.9, 0.999) and Lion (0.9, 0.99). Each gets",
        f"the same {len(DECAYS) * len(RATES)} trials: {len(RATES)} learning rates times the decoupled weight decays",
        f"{', '.join(f'{decay:.2g}' for decay in DECAYS)}. A decay is what a step at the top of the",
        "schedule takes off the parameters, whatever the learning rate (Loshchilov and Hutter 2019, algorithm 2).",
        f"`adamw_betas` gets {len(BASELINES['adamw_betas'])} times as many, its betas swept too. The trial is the best",
        f"of one seed's validation loss; what stands here is the test loss from {seeds} other seeds, mean and 95 % t",
        "interval; in brackets learning rate and decay, `*` where the rate is an end of the grid or the decay highest.",
        "Parameters stand behind the task.",
        "`digits_deep_mlp` has the training and validation images of two search tasks, not their test images.",
        "A rule beats others where its mean is below all of theirs; in brackets the tasks where each difference is",
        "significant too (paired t-test over the seeds, one-sided, p < 0.05).",
        "",
        f"| {' | '.join(columns)} |",
        f"|{' --- |' * len(columns)}",
    ]
    for rule in (*BASELINES, *ours):
        cells = " | ".join(_cell(results[rule]) for results in found.values())
        counts = [_count(found, rule, beaten) if rule in ours else "" for beaten in (EQUAL, tuple(BASELINES))]
        lines.append(f"| {rule} | {cells} | {' | '.join(counts)} |")
    most, harder = (
        sum(2 * len(_won(found, rule, beaten)) > len(found) for rule in ours) for beaten in (EQUAL, tuple(BASELINES))
    )
    gains = [gain for gain in (_mean_gain(found, rule) for rule in ours) if gain is not None]
    widest = max(ours, key=lambda rule: (len(_won(found, rule, EQUAL)), _mean_gain(found, rule) or -inf))
    return [
        *lines,
        "",
        f"{most} of {len(ours)} runs end with a rule whose loss is below both AdamW's and Lion's on most of the tasks",
        f"at equal trials; {harder} of {len(ours)} where AdamW's betas are tuned for each task too. Over the runs, the",
        "loss relative to the lower of AdamW's and Lion's (mean of logarithms over the tasks) is in the median",
        f"{100 * (np.exp(-median(gains)) - 1):+.1f} %.",
        "",
        f"The rule with the highest fresh score, {best}, simplified:",
        "",
        *_shown(found, best),
        *([f"The one that wins on most of the larger tasks, {widest}:", "", *_shown(found, widest)] * (widest != best)),
    ]


def _shown(found: dict[str, Any], rule: str) -> list[str]:
    text = canonical_text(next(iter(found.values()))[rule]["text"], load("optimizers")).rstrip()
    return ["```python", text, "```", ""]


def _test(result: dict[str, Any]) -> float:
    """Mean test loss; infinite where the rule diverged on a seed that is reported, or in every trial."""
    return inf if result["test"] is None else fmean(result["test"])


def _won(found: dict[str, Any], rule: str, beaten: tuple[str, ...]) -> list[str]:
    """Tasks on which the loss of a rule is below that of all those baselines."""
    return [name for name, results in found.items() if all(_test(results[rule]) < _test(results[b]) for b in beaten)]


def _count(found: dict[str, Any], rule: str, beaten: tuple[str, ...]) -> str:
    won = _won(found, rule, beaten)
    clear = [name for name in won if all(_is_clear(found[name][rule], found[name][b]) for b in beaten)]
    return f"{len(won)} of {len(found)} ({len(clear)})"


def _is_clear(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether the losses of `one` are significantly lower; what diverged is beaten without a test."""
    if other["test"] is None:
        return True
    return len(one["test"]) > 1 and bool(stats.ttest_rel(one["test"], other["test"], alternative="less").pvalue < 0.05)


def _mean_gain(found: dict[str, Any], rule: str) -> float | None:
    """Mean over tasks of log(lower loss of AdamW and Lion / loss); None where the rule diverged on one."""
    pairs = [(min(_test(results[b]) for b in EQUAL), _test(results[rule])) for results in found.values()]
    if not all(isfinite(loss) for pair in pairs for loss in pair):
        return None
    return fmean(log(baseline / loss) for baseline, loss in pairs)


def _cell(result: dict[str, Any]) -> str:
    losses = result["test"]
    if losses is None:
        return "diverged"
    spread = f" ± {t_margin(losses):.2g}" if len(losses) > 1 else ""
    edge, most = ("*" if result[name] else "" for name in ("at_edge", "at_most_decay"))
    return f"{_test(result):.4g}{spread} ({result['learning_rate']:.2g}{edge}, {result['decay']:.2g}{most})"
