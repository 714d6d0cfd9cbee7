import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_task
import transfer

from evaluators.optimizers.training import start
from primitives.encode import Capacity

SGD = "def train(g, lr):\n    update = g * lr\n    return update\n"
ROOT = "def train(g, lr):\n    rate = sqrt(lr)\n    update = g * rate\n    return update\n"
CAPACITY = Capacity()
ASKED = {
    "task": "small_task:regression",
    "rule": "found",
    "betas": None,
    "seeds": 3,
    "capacity": {"tensors": CAPACITY.tensors, "smalls": CAPACITY.smalls, "instructions": CAPACITY.instructions},
}


def by_hand(task, replicate, seed, rate, decay, split) -> float:
    """Trains with `rate(schedule)` times the gradient, and what a step takes off the parameters beside it."""
    at = start(task, replicate, (seed,), task.steps)
    w, order = np.asarray(at.weights[0], np.float64), np.asarray(at.order[0])
    gradient = jax.grad(task.loss)
    for step in range(task.steps):
        schedule = 0.5 * (1 + np.cos(np.pi * step / task.steps))
        batch = tuple(jnp.asarray(array[order[step]]) for array in task.train)
        g = np.asarray(gradient(jnp.asarray(w, jnp.float32), batch), np.float64)
        w = w - rate(schedule) * g - schedule * decay * w
    return float(task.loss(jnp.asarray(w, jnp.float32), tuple(map(jnp.asarray, task.splits[split]))))


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        (SGD, lambda peak: lambda schedule: peak * schedule),
        (ROOT, lambda peak: lambda schedule: (peak * schedule) ** 0.5),
    ],
)
def test_a_rule_gets_the_trials_of_a_loop_by_hand(text, rate, monkeypatch):
    """The decay falls with the schedule alone, whatever a rule makes of its learning rate."""
    monkeypatch.setattr(transfer, "RATES", (1e-3, 1e-2, 1e-1))
    monkeypatch.setattr(transfer, "DECAYS", (0.0, 0.01, 0.3))
    task, found = small_task.regression(), transfer.train({**ASKED, "text": text})
    expected = {
        (peak, decay): by_hand(task, transfer.TUNING, 0, rate(peak), decay, "valid")
        for peak in transfer.RATES
        for decay in transfer.DECAYS
    }
    chosen = (found["learning_rate"], found["decay"])
    assert found["trials"] == len(expected)
    assert expected[chosen] == pytest.approx(min(expected.values()), rel=1e-3)
    assert found["valid"] == pytest.approx(expected[chosen], rel=1e-3)
    told = [by_hand(task, transfer.TUNING + 1, seed, rate(chosen[0]), chosen[1], "test") for seed in range(3)]
    assert found["test"] == pytest.approx(told, rel=1e-3)
    assert found["at_edge"] == (chosen[0] in (1e-3, 1e-1))
    assert found["at_most_decay"] == (chosen[1] == 0.3)


def test_the_decay_is_felt(monkeypatch):
    """Where every trial has the same rate and a strong decay, the loss is another one than without it."""
    monkeypatch.setattr(transfer, "RATES", (1e-2,))
    losses = []
    for decay in (0.0, 0.3):
        monkeypatch.setattr(transfer, "DECAYS", (decay,))
        losses.append(transfer.train({**ASKED, "text": SGD})["valid"])
        expected = by_hand(
            small_task.regression(), transfer.TUNING, 0, lambda schedule: 1e-2 * schedule, decay, "valid"
        )
        assert losses[-1] == pytest.approx(expected, rel=1e-4)
    assert abs(losses[0] - losses[1]) > 0.01 * losses[0]
