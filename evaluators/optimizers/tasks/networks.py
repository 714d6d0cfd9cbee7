"""Small networks over flat parameters: what the built-in tasks are made of.

Everything is matrix products, element-wise functions and reductions. Gathers are written as products with one-hot
matrices and convolutions as products with patches: their gradients then need no scatter and no library kernel, so they
are reproducible on GPUs, and a batch of models stays one batched product.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise, product
from math import prod, sqrt

import jax
import jax.numpy as jnp
import numpy as np

from evaluators.optimizers import data
from evaluators.optimizers.task import Batch, Task
from primitives.layout import Layout

Activation = Callable[[jax.Array], jax.Array]


def dense(*widths: int) -> Layout:
    """Returns the layout of a fully connected network: for each layer weights (inputs, outputs), biases (outputs,)."""
    return Layout(tuple(shape for sizes in pairwise(widths) for shape in (sizes, sizes[1:])))


def normal(layout: Layout, gains: Sequence[float]) -> Callable[[np.random.Generator], np.ndarray]:
    """Returns the drawing of weights from N(0, gain / fan_in), with biases zero.

    fan_in is the product of all axes of a tensor but the last. Gain 1 keeps the scale of the inputs (LeCun), 2 does so
    behind a ReLU (He), and a one-hot input wants fan_in.

    Args:
        layout: shapes; one-dimensional tensors are biases.
        gains: one gain a tensor that is no bias.

    References:
        LeCun, Bottou, Orr and Mueller 1998, "Efficient BackProp"; He et al. 2015, "Delving Deep into Rectifiers".
    """
    remaining = iter(gains)
    deviations = [sqrt(next(remaining) / prod(shape[:-1])) if len(shape) > 1 else 0.0 for shape in layout.shapes]
    scale = np.repeat(deviations, layout.sizes)

    def initial(rng: np.random.Generator) -> np.ndarray:
        return (rng.standard_normal(layout.size) * scale).astype(np.float32)

    return initial


def forward(tensors: Sequence[jax.Array], inputs: jax.Array, activation: Activation) -> jax.Array:
    """Applies a fully connected network: h <- activation(h W + b) at every layer but the last, which is linear.

    Args:
        tensors: weights and biases in turn.
        inputs: (batch, inputs).
        activation: element-wise function.

    Returns:
        Outputs (batch, outputs).
    """
    hidden = inputs
    for weights, biases in zip(tensors[:-2:2], tensors[1:-2:2], strict=True):
        hidden = activation(hidden @ weights + biases)
    return hidden @ tensors[-2] + tensors[-1]


def one_hot(codes: jax.Array, classes: int, dtype: jnp.dtype) -> jax.Array:
    """Returns rows of the identity: (..., classes) for codes (...) from 0 to classes - 1."""
    return (codes[..., None] == jnp.arange(classes, dtype=codes.dtype)).astype(dtype)


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns the mean of log(sum_j exp z_j) - z_label in nats.

    Args:
        logits: z, (batch, classes).
        labels: (batch,), from 0 to classes - 1.
    """
    chosen = one_hot(labels, logits.shape[-1], logits.dtype)
    return -jnp.mean(jnp.sum(chosen * jax.nn.log_softmax(logits), axis=-1))


def classifier(layout: Layout, activation: Activation) -> Callable[[jax.Array, Batch], jax.Array]:
    """Returns the loss of a fully connected classifier on batches (inputs, labels): mean cross-entropy in nats."""

    def loss(flat: jax.Array, batch: Batch) -> jax.Array:
        inputs, labels = batch
        return cross_entropy(forward(layout.split(flat), inputs, activation), labels)

    return loss


def autoencoder(layout: Layout, activation: Activation) -> Callable[[jax.Array, Batch], jax.Array]:
    """Returns the loss of a fully connected autoencoder on batches (inputs,): mean of |output - input|^2."""

    def loss(flat: jax.Array, batch: Batch) -> jax.Array:
        (inputs,) = batch
        errors = forward(layout.split(flat), inputs, activation) - inputs
        return jnp.mean(jnp.sum(errors * errors, axis=-1))

    return loss


def classification(
    name: str,
    widths: Sequence[int],
    splits: tuple[data.Arrays, data.Arrays, data.Arrays],
    steps: int,
    learning_rates: tuple[float, ...],
    source: str,
) -> Task:
    """Returns the task of a fully connected ReLU classifier.

    Args:
        name: name of the task.
        widths: inputs, hidden layers, classes.
        splits: training, validation and test arrays: inputs (examples, inputs), labels (examples,).
        steps: training steps, of 64 examples each.
        learning_rates: the lanes, ascending.
        source: what the data are, for the task's line.
    """
    layout = dense(*widths)
    train, valid, test = splits
    return Task(
        name=name,
        layout=layout,
        initial=normal(layout, [2] * (len(widths) - 2) + [1]),
        loss=classifier(layout, jax.nn.relu),
        train=train,
        valid=valid,
        test=test,
        batch=64,
        steps=steps,
        learning_rates=learning_rates,
        doc=f"MLP {'-'.join(map(str, widths))}, ReLU, {source}; cross-entropy in nats",
    )


def convolve(images: jax.Array, weights: jax.Array, biases: jax.Array, size: int, stride: int) -> jax.Array:
    """Convolves images, or signals of one axis, with kernels of equal sides, without padding.

    It is a product with their patches.

    The batch is the last axis, so that cutting patches moves long contiguous rows: with the channels last, and with the
    convolution of XLA, whole training steps took 2 and 11 times as long on a CPU.

    Args:
        images: (channels, height, width, batch), or with any other number of axes between channels and batch.
        weights: (size^axes * channels, outputs); the channels of the first pixel of a patch come first.
        biases: (outputs,).
        size: side of a kernel.
        stride: distance of neighbouring patches.

    Returns:
        (outputs, rows, columns, batch), where rows = (height - size) // stride + 1, and so for every axis.
    """
    ends = [(extent - size) // stride * stride + 1 for extent in images.shape[1:-1]]
    shifted = [
        images[:, *(slice(at, at + end, stride) for at, end in zip(corner, ends, strict=True))]
        for corner in product(range(size), repeat=len(ends))
    ]
    patches = jnp.concatenate(shifted, axis=0)
    outputs = weights.T @ patches.reshape(len(patches), -1) + biases[:, None]
    return outputs.reshape(-1, *patches.shape[1:])
