"""Transfer: the rules that searches found, on larger tasks that no search saw, beside AdamW and Lion.

Every rule gets the same number of trials: learning rates times decoupled weight decays, the decay applied outside the
rule and apart from its learning rate, w <- w - update - schedule(t) decay w, the cosine schedule falling from 1. (Times
the learning rate, as libraries have it, a decay would be out of reach for a rule that takes the root of its rate: it
wants rates near 10^-5.) A rule that was found keeps its constants, AdamW and Lion their published ones; beyond that,
`adamw_betas` is AdamW with its betas swept too, which is many times the trials. The trials with the lowest validation
losses from one seed train from more seeds, and the lowest mean is chosen; what is reported is the test loss from other
seeds, on which nothing is chosen. The seeds are the same for all rules, so that losses compare in pairs.

References:
    Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2.
"""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from math import inf, isfinite, log
from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jobs
import numpy as np
from intervals import t_margin
from scipy import stats

from discovery.device import describe
from evaluators.domain import load
from evaluators.forms import canonical_graph, canonical_text
from evaluators.optimizers import WIDE
from evaluators.optimizers.baselines import adamw
from evaluators.optimizers.rules import Carry, Interpreted, interpreter
from evaluators.optimizers.tasks import load_task
from evaluators.optimizers.training import cosine, start, trainer
from primitives.encode import Capacity
from primitives.graph import Graph
from primitives.interpreter import Machine

RATES = tuple(rate for rate in WIDE if rate <= 1.0)
"""Half decades from 10^-6 to 1: a rule that takes the root of its learning rate wants the square of the usual ones."""
USUAL_RATES = tuple(10.0 ** (quarter / 4) for quarter in range(-14, -1))
"""As many for the baselines, by quarter decades, which half decades are under a root: 10^-3.5 to 10^-0.5."""
DECAYS = (0.0, *(10.0 ** (half / 2) for half in range(-6, -1)))
"""What a step at the top of the schedule takes off the parameters, as a share of them: none, half decades to 0.1."""
LARGER = ("mnist_autoencoder", "mnist_mlp", "digits_deep_mlp", "char_lm_large", "mnist_cnn")
"""Held-out tasks with more parameters than any search task, largest first: those of `docs/default_runs.md`."""
TUNING, REPORTED = 1000, 1002
"""The replicates that trials are chosen on and reported from. Searches and their judgement use neither."""
FINALISTS, SEEDS = 5, 5
"""Trials that train from so many seeds before one is chosen."""
BASELINES: dict[str, list[tuple[float, float]]] = {
    "adamw": [(0.9, 0.999)],
    "lion": [(0.9, 0.99)],
    "adamw_betas": list(product((0.5, 0.7, 0.9), (0.7, 0.9, 0.999))),
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
    shared = {
        "decays": DECAYS,
        "tuning": [TUNING, FINALISTS, SEEDS],
        "reported": [REPORTED, seeds],
        "capacity": capacity,
    }
    parts: list[jobs.Asked] = [
        (
            "transfer",
            work / "transfer" / name / rule,
            {
                "task": name,
                "rule": rule,
                "text": text,
                "betas": BASELINES.get(rule),
                "rates": USUAL_RATES if rule in BASELINES else RATES,
                **shared,
            },
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
    """Any program with decoupled weight decay on top, which falls with the schedule; `program` is (Encoded, decay).

    Args:
        machine: the interpreter.
        steps: steps of the schedule.
    """

    def __init__(self, machine: Machine, steps: int) -> None:
        super().__init__(machine)
        self._steps = jnp.float32(steps)

    def start(self, program: Any, weights: jax.Array) -> Carry:
        """Returns the register files."""
        return super().start(program[0], weights)

    def step(self, program: Any, carry: Carry, given: Mapping[str, jax.Array]) -> Carry:
        """Takes one step."""
        encoded, decay = program
        shrunk = decay * cosine(given["t"], self._steps) * self.weights(carry)
        tensors, smalls = super().step(encoded, carry, given)
        return tensors.at[self._w].add(-shrunk), smalls


class Trial(NamedTuple):
    """What there is to choose from: number of a program (of the betas), weight decay, learning rate."""

    program: int
    decay: float
    rate: float


def train(asked: dict[str, Any]) -> dict[str, Any]:
    """Trains one rule on one task: all trials on one seed, the best on more, the one that is chosen on others."""
    task, domain = load_task(asked["task"]), load("optimizers")
    machine = interpreter(task, domain.vocabulary, domain.interface, Capacity(**asked["capacity"]))
    rule, rates = Decayed(machine, task.steps), asked["rates"]
    programs = [machine.encode(graph) for graph in _graphs(asked)]
    tuning, finalists, seeds = asked["tuning"]

    def runs(replicate: int, seeds: int, rates: int, split: str = "valid") -> Callable[[int, float, Any], np.ndarray]:
        """What gives the final losses (seeds, rates) of a program with a weight decay at learning rates."""
        run, at = jax.jit(trainer(task, rule, seeds, rates, (split,))), start(task, replicate, range(seeds), task.steps)

        def losses(program: int, decay: float, rates: Sequence[float]) -> np.ndarray:
            lanes = jnp.asarray(rates, jnp.float32)
            found = run((programs[program], jnp.float32(decay)), at, lanes, jnp.int32(task.steps))
            return np.asarray(found, np.float64)[0]

        return losses

    sweep, first = runs(tuning, 1, len(rates)), dict[Trial, float]()
    for program, decay in product(range(len(programs)), asked["decays"]):
        found = sweep(program, decay, rates)[0]
        first |= {Trial(program, decay, rate): loss for rate, loss in zip(rates, found, strict=True) if isfinite(loss)}
    result = {
        **asked,
        "parameters": task.layout.size,
        "trials": len(programs) * len(asked["decays"]) * len(rates),
        "commit": describe()["commit"],
    }
    if not first:
        return {**result, "test": None}
    again = runs(tuning, seeds, 1)
    lowest = sorted(first, key=first.__getitem__)[:finalists]
    means = {trial: again(trial.program, trial.decay, [trial.rate]).mean() for trial in lowest}
    best = min(means, key=lambda trial: means[trial] if isfinite(means[trial]) else inf)
    replicate, seeds = asked["reported"]
    tests = runs(replicate, seeds, 1, "test")(best.program, best.decay, [best.rate])[:, 0]
    return {
        **result,
        "valid": float(means[best]),
        "chosen": {
            "learning_rate": best.rate,
            "decay": best.decay,
            "betas": asked["betas"] and asked["betas"][best.program],
        },
        "test": tests.tolist() if np.isfinite(tests).all() else None,
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
        *_wrapped(f"""
            The best rule of each run, in its canonical form, beside AdamW (0.9, 0.999) and Lion (0.9, 0.99). Each gets
            {len(DECAYS) * len(RATES)} trials: {len(RATES)} learning rates times the decoupled weight decays
            {", ".join(f"{decay:.2g}" for decay in DECAYS)}. A decay is what a step at the top of the schedule takes off
            the parameters, whatever the learning rate (Loshchilov and Hutter 2019, algorithm 2). The rates are half
            decades from {RATES[0]:.2g} to {RATES[-1]:.2g}; for the baselines, which take no root of them, quarter
            decades from {USUAL_RATES[0]:.2g} to {USUAL_RATES[-1]:.2g}. `adamw_betas` gets
            {len(BASELINES["adamw_betas"])} times as many trials, its betas swept too. The {FINALISTS} trials with the
            lowest validation losses from one seed train from {SEEDS}, and the lowest mean is chosen; what stands here
            is the test loss from {seeds} other seeds, mean and 95 % t interval; in brackets learning rate, decay and
            the betas that were swept, `*` at an end of their grid (but for a decay of 0). Parameters stand behind the
            task. Three of the tasks have the images of MNIST, and `digits_deep_mlp` has the training and validation
            images of two search tasks, not their test images. Trained at commit
            {", ".join(sorted({one["commit"] for results in found.values() for one in results.values()}))}.
        """),
        *_wrapped("""
            A rule beats others where its mean is below all of theirs; in brackets the tasks where each difference is
            significant too (paired t-test over the seeds, one-sided, p < 0.05).
        """),
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
    changes, harder_changes = (
        f"{100 * (np.exp(-median(gains)) - 1):+.1f} %"
        for gains in ([_mean_gain(found, rule, beaten) for rule in ours] for beaten in (EQUAL, tuple(BASELINES)))
    )
    widest = max(ours, key=lambda rule: (len(_won(found, rule, EQUAL)), _mean_gain(found, rule, EQUAL)))
    return [
        *lines,
        "",
        *_wrapped(f"""
            {most} of {len(ours)} runs end with a rule whose loss is below both AdamW's and Lion's on most of the tasks
            at equal trials; {harder} of {len(ours)} where AdamW's betas are tuned for each task too. Over the runs, the
            loss relative to the lowest of the baselines on each task (mean of logarithms over the tasks) is in the
            median {changes} against AdamW and Lion, {harder_changes} against all three.
        """),
        f"The rule with the highest fresh score, {best}, simplified:",
        "",
        *_shown(found, best),
        *([f"The one that wins on most of the larger tasks, {widest}:", "", *_shown(found, widest)] * (widest != best)),
    ]


def _wrapped(paragraph: str) -> list[str]:
    return [*textwrap.wrap(" ".join(paragraph.split()), 116), ""]


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


def _mean_gain(found: dict[str, Any], rule: str, beaten: tuple[str, ...]) -> float:
    """Mean over tasks of log(lowest loss of those baselines / loss); -infinite where the rule diverged on one."""
    pairs = [(min(_test(results[b]) for b in beaten), _test(results[rule])) for results in found.values()]
    return fmean(log(baseline / loss) if isfinite(loss) else -inf for baseline, loss in pairs)


def _cell(result: dict[str, Any]) -> str:
    losses = result["test"]
    if losses is None:
        return "diverged"
    spread = f" ± {t_margin(losses):.2g}" if len(losses) > 1 else ""
    chosen = result["chosen"]
    told = [_marked(chosen["learning_rate"], result["rates"]), _marked(chosen["decay"], [-inf, *result["decays"]])]
    if len(result["betas"] or ()) > 1:
        told += [
            _marked(beta, grid) for beta, grid in zip(chosen["betas"], zip(*result["betas"], strict=True), strict=True)
        ]
    return f"{_test(result):.4g}{spread} ({', '.join(told)})"


def _marked(value: float, grid: Sequence[float]) -> str:
    """The value, with a star where it is an end of its grid."""
    return f"{value:.3g}{'*' if value in (min(grid), max(grid)) else ''}"
