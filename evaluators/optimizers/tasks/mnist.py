"""Tasks on 5,000 images of MNIST (28 x 28 pixels), all held out: no search sees them."""

import jax
import jax.numpy as jnp
import numpy as np

from evaluators.optimizers import data
from evaluators.optimizers.task import LARGE_LEARNING_RATES, Batch, Task
from evaluators.optimizers.tasks.networks import autoencoder, classification, convolve, cross_entropy, dense, normal
from primitives.layout import Layout


def mnist_mlp() -> Task:
    """Classification with one hidden layer of 64 ReLU (50,890 parameters)."""
    return _classifier("mnist_mlp", (784, 64, 10), steps=400)


def mnist_deep_mlp() -> Task:
    """Classification with hidden layers of 96, 64, 64 and 64 ReLU (90,538 parameters)."""
    return _classifier("mnist_deep_mlp", (784, 96, 64, 64, 64, 10), steps=300)


def mnist_cnn() -> Task:
    """Classification with two convolutions, 5 x 5 at stride 2, to 8 and 16 channels (5,994 parameters)."""
    layout = Layout(((25, 8), (8,), (200, 16), (16,), (256, 10), (10,)))

    def loss(flat: jax.Array, batch: Batch) -> jax.Array:
        images, labels = batch
        first, first_bias, second, second_bias, last, last_bias = layout.split(flat)
        hidden = images.T.reshape(1, 28, 28, -1)
        hidden = jax.nn.relu(convolve(hidden, first, first_bias, size=5, stride=2))
        hidden = jax.nn.relu(convolve(hidden, second, second_bias, size=5, stride=2))
        return cross_entropy(hidden.reshape(len(last), -1).T @ last + last_bias, labels)

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
        learning_rates=LARGE_LEARNING_RATES,
        doc="CNN of two 5 x 5 convolutions, ReLU, 5,000 images of MNIST; cross-entropy in nats",
    )


def mnist_autoencoder() -> Task:
    """Images through a bottleneck of 16: hidden layers of 64, 16 and 64 tanh (103,328 parameters)."""
    layout = dense(784, 64, 16, 64, 784)
    pixels = (data.mnist()[0] / 255).astype(np.float32)
    train, valid, test = data.take(data.split(len(pixels), "mnist"), pixels)
    return Task(
        name="mnist_autoencoder",
        layout=layout,
        initial=normal(layout, [1, 1, 1, 1]),
        loss=autoencoder(layout, jnp.tanh),
        train=train,
        valid=valid,
        test=test,
        batch=64,
        steps=300,
        learning_rates=LARGE_LEARNING_RATES,
        doc="autoencoder 784-64-16-64-784, tanh, MNIST; squared error of an image with pixels from 0 to 1",
    )


def _classifier(name: str, widths: tuple[int, ...], steps: int) -> Task:
    """A fully connected classifier with ReLU."""
    return classification(name, widths, _classes(), steps, LARGE_LEARNING_RATES, "5,000 images of MNIST")


def _classes() -> tuple[data.Arrays, data.Arrays, data.Arrays]:
    """Scaled images and labels of the three splits."""
    pixels, labels = data.mnist()
    parts = data.split(len(pixels), "mnist")
    return data.take(parts, data.standardize_images(pixels, pixels[parts[0]]), labels)
