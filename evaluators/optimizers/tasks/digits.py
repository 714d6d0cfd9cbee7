"""Tasks on the handwritten digits of scikit-learn: 1,797 images of 8 x 8 pixels."""

import jax
import jax.numpy as jnp
import numpy as np

from evaluators.optimizers import data
from evaluators.optimizers.task import Batch, Task
from evaluators.optimizers.tasks.networks import cross_entropy, dense, forward, normal
from primitives.layout import Layout


def mlp() -> Task:
    """Classification with one hidden layer of 32 ReLU (2,410 parameters)."""
    return _classifier("digits_mlp", dense(64, 32, 10), steps=100)


def deep_mlp() -> Task:
    """Classification with hidden layers of 128, 64, 64 and 64 ReLU (25,546 parameters)."""
    return _classifier("digits_deep_mlp", dense(64, 128, 64, 64, 64, 10), steps=300)


def autoencoder() -> Task:
    """Images through a bottleneck of 8: hidden layers of 24, 8 and 24 tanh (3,576 parameters).

    The loss is the squared error summed over the pixels of an image. It is ill-conditioned: the mean image is left in,
    and a signal passes four layers, one of them narrow.
    """
    layout = dense(64, 24, 8, 24, 64)

    def loss(flat: jax.Array, batch: Batch) -> jax.Array:
        (images,) = batch
        errors = forward(layout.split(flat), images, jnp.tanh) - images
        return jnp.mean(jnp.sum(errors * errors, axis=-1))

    pixels = (data.digits()[0] / 16).astype(np.float32)
    train, valid, test = ((pixels[part],) for part in data.split(len(pixels), "digits"))
    return Task(
        name="digits_autoencoder",
        layout=layout,
        initial=normal(layout, [1, 1, 1, 1]),
        loss=loss,
        train=train,
        valid=valid,
        test=test,
        batch=64,
        steps=100,
        doc="autoencoder 64-24-8-24-64, tanh; squared error of an image with pixels from 0 to 1",
    )


def _classifier(name: str, layout: Layout, steps: int) -> Task:
    """A fully connected classifier with ReLU of images that are scaled to mean 0 and deviation 1 over all pixels."""

    def loss(flat: jax.Array, batch: Batch) -> jax.Array:
        images, labels = batch
        return cross_entropy(forward(layout.split(flat), images, jax.nn.relu), labels)

    pixels, labels = data.digits()
    parts = data.split(len(pixels), "digits")
    # One scale for all pixels: a pixel of the border that is nearly always empty would blow up under its own.
    images = data.standardize(pixels.ravel(), pixels[parts[0]].ravel()).reshape(pixels.shape)
    train, valid, test = ((images[part], labels[part]) for part in parts)
    layers = layout.leaves // 2
    return Task(
        name=name,
        layout=layout,
        initial=normal(layout, [2] * (layers - 1) + [1]),
        loss=loss,
        train=train,
        valid=valid,
        test=test,
        batch=64,
        steps=steps,
        doc=f"MLP {'-'.join(str(shape[0]) for shape in layout.shapes[::2])}-10, ReLU, digits; cross-entropy in nats",
    )
