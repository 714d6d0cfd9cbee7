"""Tasks on the handwritten digits of scikit-learn: 1,797 images of 8 x 8 pixels."""

import jax
import jax.numpy as jnp
import numpy as np

from evaluators.optimizers import data
from evaluators.optimizers.task import LARGE_LEARNING_RATES, LEARNING_RATES, Task
from evaluators.optimizers.tasks.networks import autoencoder, classifier, dense, normal


def digits_mlp() -> Task:
    """Classification with one hidden layer of 32 ReLU (2,410 parameters)."""
    return _classifier("digits_mlp", (64, 32, 10), steps=60, learning_rates=LEARNING_RATES)


def digits_deep_mlp() -> Task:
    """Classification with hidden layers of 128, 64, 64 and 64 ReLU (25,546 parameters).

    A search has seen these training and validation images, but not the test images.
    """
    return _classifier("digits_deep_mlp", (64, 128, 64, 64, 64, 10), steps=300, learning_rates=LARGE_LEARNING_RATES)


def digits_autoencoder() -> Task:
    """Images through a bottleneck of 32 tanh (4,192 parameters).

    The loss is the squared error summed over the pixels of an image. It is ill-conditioned: the mean image, which is
    left in, outweighs every other direction, so that a rule that follows the bare gradient creeps along those.
    """
    layout = dense(64, 32, 64)
    pixels = (data.digits()[0] / 16).astype(np.float32)
    train, valid, test = data.take(data.split(len(pixels), "digits"), pixels)
    return Task(
        name="digits_autoencoder",
        layout=layout,
        initial=normal(layout, [1, 1]),
        loss=autoencoder(layout, jnp.tanh),
        train=train,
        valid=valid,
        test=test,
        batch=64,
        steps=80,
        doc="autoencoder 64-32-64, tanh, digits; squared error of an image with pixels from 0 to 1",
    )


def _classifier(name: str, widths: tuple[int, ...], steps: int, learning_rates: tuple[float, ...]) -> Task:
    """A fully connected classifier with ReLU."""
    layout = dense(*widths)
    pixels, labels = data.digits()
    parts = data.split(len(pixels), "digits")
    train, valid, test = data.take(parts, data.standardize_images(pixels, pixels[parts[0]]), labels)
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
        doc=f"MLP {'-'.join(map(str, widths))}, ReLU, digits; cross-entropy in nats",
    )
