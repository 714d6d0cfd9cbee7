"""Trials on larger tasks: what is trained, chosen and reported, against a loop by hand."""

from collections.abc import Callable
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_task
import transfer

from evaluators.optimizers.training import start

RULES: dict[str, tuple[str, Callable[[float], float]]] = {
    "sgd": ("    update = g * lr\n", lambda rate: rate),
    "root": ("    rate = sqrt(lr)\n    update = g * rate\n", lambda rate: rate**0.5),
}
ASKED = {
    "task": "small_task:regression",
    "rule": "found",
    "betas": None,
    "tuning": [7, 2, 3],
    "reported": [9, 4],
    "capacity": {},
}


def trained(rule, rates, decays):
    text = f"def train(g, lr):\n{RULES[rule][0]}    return update\n"
    return transfer.train({**ASKED, "text": text, "rates": rates, "decays": decays})


def by_hand(rule, replicate, seeds, rate, decay, split) -> list[float]:
    """Losses after training with a loop over steps: the decay falls with the schedule, whatever the rule."""
    task, losses = small_task.regression(), []
    gradient = jax.jit(jax.grad(task.loss))
    for seed in seeds:
        at = start(task, replicate, (seed,), task.steps)
        w, order = np.asarray(at.weights[0], np.float64), np.asarray(at.order[0])
        for step in range(task.steps):
            schedule = 0.5 * (1 + np.cos(np.pi * step / task.steps))
            batch = tuple(jnp.asarray(array[order[step]]) for array in task.train)
            g = np.asarray(gradient(jnp.asarray(w, jnp.float32), batch), np.float64)
            w = w - RULES[rule][1](rate * schedule) * g - schedule * decay * w
        held = tuple(map(jnp.asarray, task.splits[split]))
        losses.append(float(task.loss(jnp.asarray(w, jnp.float32), held)))
    return losses


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("rate", "decay"), [(1e-2, 0.1), (1e-4, 0.1)])
def test_a_trial_is_trained_as_by_hand(rule, rate, decay):
    found = trained(rule, [rate], [decay])
    assert found["trials"] == 1
    assert found["valid"] == pytest.approx(np.mean(by_hand(rule, 7, range(3), rate, decay, "valid")), rel=1e-4)
    assert found["test"] == pytest.approx(by_hand(rule, 9, range(4), rate, decay, "test"), rel=1e-4)


def test_the_best_two_trials_of_one_seed_are_tried_on_three_and_the_better_is_chosen():
    rates, decays = [0.03, 0.05, 0.1, 0.3], [0.0, 0.01]
    found = trained("sgd", rates, decays)
    trials = list(product(rates, decays))
    assert found["trials"] == len(trials)
    first = {trial: by_hand("sgd", 7, [0], *trial, "valid")[0] for trial in trials}
    means = {
        trial: np.mean(by_hand("sgd", 7, range(3), *trial, "valid"))
        for trial in sorted(trials, key=first.__getitem__)[:2]
    }
    chosen = found["chosen"]
    assert (chosen["learning_rate"], chosen["decay"]) == min(means, key=means.__getitem__)
    assert min(means, key=means.__getitem__) != min(first, key=first.__getitem__), (
        "else one seed would do for this test"
    )
    assert found["valid"] == pytest.approx(min(means.values()), rel=1e-4)


def test_what_diverges_in_every_trial_is_told():
    assert trained("sgd", [1e30], [0.0])["test"] is None
