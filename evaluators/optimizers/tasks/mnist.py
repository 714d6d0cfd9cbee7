"""Tasks on 5,000 images of MNIST (28 x 28 pixels), all held out: no search sees them."""

import jax
import jax.numpy as jnp
import numpy as np

from evaluators.optimizers import data
from evaluators.optimizers.task import Batch, Task
from evaluators.optimizers.tasks.networks import convolve, cross_entropy, dense, forward, normal
from primitives.layout import Layout


def mlp() -> Task:
    """Classification with one hidden layer of 64 ReLU (50,890 parameters)."""
    layout = dense(784, 64, 10)

    def loss(flat: jax.Array, batch: Batch) -> jax.Array:
        images, labels = batch
        return cross_entropy(forward(layout.split(flat), images, jax.nn.relu), labels)

    (train, valid, test) = _classes()
    return Task(
        name="mnist_mlp",
        layout=layout,
        initial=normal(layout, [2, 1]),
        loss=loss,
        train=train,
        valid=valid,
        test=test,
        batch=64,
        steps=400,
        doc="MLP 784-64-10, ReLU, 5,000 images of MNIST; cross-entropy in nats",
    )


def cnn() -> Task:
    """Classification with two convolutions, 5 x 5 at stride 2, to 8 and 16 channels (5,994 parameters)."""
    layout = Layout(((25, 8), (8,), (200, 16), (16,), (256, 10), (10,)))

    def loss(flat: jax.Array, batch: Batch) -> jax.Array:
        images, labels = batch
        first, bias, second, second_bias, last, last_bias = layout.split(flat)
        hidden = jax.nn.relu(convolve(images.reshape(-1, 1, 28, 28), first, bias, size=5, stride=2))
        hidden = jax.nn.relu(convolve(hidden, second, second_bias, size=5, stride=2))
        return cross_entropy(hidden.reshape(len(images), -1) @ last + last_bias, labels)

    train, valid, test = _classes()
    return Task(
        name="mnist_cnn",
        layout=layout,
        initial=normal(layout, [2, 2, 1]),
        loss=loss,
        train=train,
        valid=valid,
        test=test,
        batch=64,
        steps=300,
        doc="CNN of two 5 x 5 convolutions, ReLU, 5,000 images of MNIST; cross-entropy in nats",
    )


def autoencoder() -> Task:
    """Images through a bottleneck of 16: hidden layers of 128, 16 and 128 tanh (205,840 parameters)."""
    layout = dense(784, 128, 16, 128, 784)

    def loss(flat: jax.Array, batch: Batch) -> jax.Array:
        (images,) = batch
        errors = forward(layout.split(flat), images, jnp.tanh) - images
        return jnp.mean(jnp.sum(errors * errors, axis=-1))

    pixels = (data.mnist()[0] / 255).astype(np.float32)
    train, valid, test = ((pixels[part],) for part in data.split(len(pixels), "mnist"))
    return Task(
        name="mnist_autoencoder",
        layout=layout,
        initial=normal(layout, [1, 1, 1, 1]),
        loss=loss,
        train=train,
        valid=valid,
        test=test,
        batch=64,
        steps=300,
        doc="autoencoder 784-128-16-128-784, tanh, MNIST; squared error of an image with pixels from 0 to 1",
    )


def _classes() -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Images scaled to mean 0 and deviation 1 over all pixels, and labels, of the three splits."""
    pixels, labels = data.mnist()
    parts = data.split(len(pixels), "mnist")
    images = data.standardize(pixels.ravel(), pixels[parts[0]].ravel()).reshape(pixels.shape)
    return tuple((images[part], labels[part]) for part in parts)
