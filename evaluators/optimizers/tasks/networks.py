"""Small networks over flat parameters: what the built-in tasks are made of.

Everything is matrix products, element-wise functions and reductions. Gathers are written as products with one-hot
matrices and convolutions as products with patches: their gradients then need no scatter and no library kernel, so they
are reproducible on GPUs, and a batch of models stays one batched product.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod, sqrt

import jax
import jax.numpy as jnp
import numpy as np

from evaluators.optimizers.task import Batch
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


def convolve(images: jax.Array, weights: jax.Array, biases: jax.Array, size: int, stride: int) -> jax.Array:
    """Convolves images with square kernels, without padding, as a product with their patches.

    The batch is the last axis, so that cutting patches moves long contiguous rows: with the channels last, and with the
    convolution of XLA, whole training steps took 2 and 11 times as long on a CPU.

    Args:
        images: (channels, height, width, batch).
        weights: (size * size * channels, outputs); the channels of the first pixel of a patch come first.
        biases: (outputs,).
        size: height and width of a kernel.
        stride: distance of neighbouring patches.

    Returns:
        (outputs, rows, columns, batch), where rows = (height - size) // stride + 1.
    """
    height, width = ((extent - size) // stride * stride + 1 for extent in images.shape[1:3])
    shifted = [
        images[:, row : row + height : stride, column : column + width : stride]
        for row in range(size)
        for column in range(size)
    ]
    patches = jnp.concatenate(shifted, axis=0)
    outputs = weights.T @ patches.reshape(len(patches), -1) + biases[:, None]
    return outputs.reshape(-1, *patches.shape[1:])
