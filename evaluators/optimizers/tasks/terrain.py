"""A task on heights of terrain along lines of a map, held out: no search sees them."""

import jax
import jax.numpy as jnp
import numpy as np

from evaluators.optimizers import data
from evaluators.optimizers.task import LARGE_LEARNING_RATES, Batch, Task
from evaluators.optimizers.tasks.networks import convolve, normal
from primitives.layout import Layout

CONTEXT, AHEAD = 32, 4
"""Heights that are seen, and those that are to be told."""
APART = 16
"""Distance of the windows of a row."""
BLOCK = 8
"""Neighbouring rows of the map that go to the same split."""


def terrain_conv() -> Task:
    """The next 4 heights from 32 by two convolutions at stride 2, to 16 and 32 channels (3,444 parameters).

    Their sizes, 4 and 5, leave no height at the end unseen, where those that tell most are.
    """
    layout = Layout(((4, 16), (16,), (80, 32), (32,), (192, AHEAD), (AHEAD,)))

    def loss(flat: jax.Array, batch: Batch) -> jax.Array:
        seen, ahead = batch
        first, first_bias, second, second_bias, last, last_bias = layout.split(flat)
        hidden = jax.nn.relu(convolve(seen.T[None], first, first_bias, size=4, stride=2))
        hidden = jax.nn.relu(convolve(hidden, second, second_bias, size=5, stride=2))
        errors = hidden.reshape(len(last), -1).T @ last + last_bias - ahead
        return jnp.mean(jnp.sum(errors * errors, axis=-1))

    train, valid, test = _windows()
    return Task(
        name="terrain_conv",
        layout=layout,
        initial=normal(layout, [2, 2, 1]),
        loss=loss,
        train=train,
        valid=valid,
        test=test,
        batch=64,
        steps=300,
        learning_rates=LARGE_LEARNING_RATES,
        doc=f"CNN of two convolutions, ReLU, next {AHEAD} heights of terrain; squared error, mean square in training 1",
    )


def _windows() -> tuple[data.Arrays, data.Arrays, data.Arrays]:
    """Windows of rows relative to the last height seen: those seen (windows, 32), those ahead (windows, 4).

    Windows lie in one row, so those of different rows share no height. Whole blocks of rows are dealt, since a row is
    much like its neighbour.
    """
    rows = np.lib.stride_tricks.sliding_window_view(data.terrain(), CONTEXT + AHEAD, axis=1)[:, ::APART]
    relative = rows - rows[..., CONTEXT - 1 : CONTEXT]
    blocks = relative.reshape(-1, BLOCK * relative.shape[1], CONTEXT + AHEAD)
    parts = [blocks[part].reshape(-1, CONTEXT + AHEAD) for part in data.split(len(blocks), "terrain")]
    known = parts[0]
    scale = np.sqrt(np.mean(np.sum(known[:, CONTEXT:] ** 2, axis=1)))
    train, valid, test = (
        (data.standardize_images(part[:, :CONTEXT], known[:, :CONTEXT]), (part[:, CONTEXT:] / scale).astype(np.float32))
        for part in parts
    )
    return train, valid, test
