"""Small training problems for tests: they compile and run in a moment."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from evaluators.optimizers.task import Batch, Task
from primitives.layout import Layout

RATES = (0.003, 0.02, 0.1)


@cache
def regression() -> Task:
    """A curve through noisy points with five tanh (16 parameters in four tensors)."""
    layout = Layout(((1, 5), (5,), (5, 1), (1,)))

    def loss(flat: jax.Array, batch: Batch) -> jax.Array:
        x, y = batch
        first, bias, second, last = layout.split(flat)
        errors = jnp.tanh(x @ first + bias) @ second + last - y
        return jnp.mean(errors * errors)

    return _task("regression", layout, loss, lambda x: np.sin(2 * x))


@cache
def linear() -> Task:
    """A line through noisy points (2 parameters)."""
    layout = Layout(((1, 1), (1,)))

    def loss(flat: jax.Array, batch: Batch) -> jax.Array:
        x, y = batch
        slope, last = layout.split(flat)
        errors = x @ slope + last - y
        return jnp.mean(errors * errors)

    return _task("linear", layout, loss, lambda x: 0.5 * x + 0.2)


def second() -> Task:
    """The first under another name."""
    return regression()


def _task(name, layout, loss, curve) -> Task:
    rng = np.random.default_rng(5)
    x = rng.uniform(-2, 2, (60, 1)).astype(np.float32)
    y = (curve(x) + rng.normal(0, 0.1, x.shape)).astype(np.float32)
    return Task(
        name=name,
        layout=layout,
        initial=lambda rng: rng.normal(0, 0.7, layout.size).astype(np.float32),
        loss=loss,
        train=(x[:30], y[:30]),
        valid=(x[30:45], y[30:45]),
        test=(x[45:], y[45:]),
        batch=8,
        steps=20,
        learning_rates=RATES,
    )
