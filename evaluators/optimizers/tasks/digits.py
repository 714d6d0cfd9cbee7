"""Tasks on the handwritten digits of scikit-learn: 1,797 images of 8 x 8 pixels."""

import jax
import jax.numpy as jnp
import numpy as np

from evaluators.optimizers import data
from evaluators.optimizers.task import LARGE_LEARNING_RATES, LEARNING_RATES, Batch, Task
from evaluators.optimizers.tasks import attention
from evaluators.optimizers.tasks.networks import autoencoder, classification, cross_entropy, dense, normal
from primitives.layout import Layout


def digits_mlp() -> Task:
    """Classification with one hidden layer of 32 ReLU (2,410 parameters)."""
    return _classifier("digits_mlp", (64, 32, 10), steps=60, learning_rates=LEARNING_RATES)


def digits_mlp_10x() -> Task:
    """Classification with hidden layers of 96 and 64 ReLU (13,098 parameters): 11 times the compute of digits_mlp."""
    return _classifier("digits_mlp_10x", (64, 96, 64, 10), steps=120, learning_rates=LARGE_LEARNING_RATES)


def digits_mlp_100x() -> Task:
    """Classification with hidden layers of 256, 128 and 64 ReLU (58,442 parameters): 97 times that of digits_mlp."""
    return _classifier("digits_mlp_100x", (64, 256, 128, 64, 10), steps=240, learning_rates=LARGE_LEARNING_RATES)


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
    return _autoencoder("digits_autoencoder", (64, 32, 64), steps=80, learning_rates=LEARNING_RATES)


def digits_autoencoder_10x() -> Task:
    """Images through 96, 32 and 96 tanh (18,720 parameters): 10 times the compute of digits_autoencoder."""
    return _autoencoder("digits_autoencoder_10x", (64, 96, 32, 96, 64), steps=180, learning_rates=LARGE_LEARNING_RATES)


def digits_autoencoder_100x() -> Task:
    """Images through 256, 128, 32, 128 and 256 tanh (107,360 parameters): 102 times that of digits_autoencoder."""
    widths = (64, 256, 128, 32, 128, 256, 64)
    return _autoencoder("digits_autoencoder_100x", widths, steps=320, learning_rates=LARGE_LEARNING_RATES)


def digits_vit() -> Task:
    """Classification by a vision transformer: 16 patches of 2 x 2, two blocks of width 24 (10,234 parameters).

    A search has seen these training and validation images, but not the test images.

    References:
        Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words".
    """
    width, blocks, heads = 24, 2, 2
    layout = Layout(((4, width), (width,), (16, width), *attention.shapes(width, blocks), (width,), (width, 10), (10,)))

    def loss(flat: jax.Array, batch: Batch) -> jax.Array:
        images, labels = batch
        embed, embed_bias, places, *inner, gain, last, last_bias = layout.split(flat)
        patches = images.reshape(-1, 4, 2, 4, 2).transpose(0, 1, 3, 2, 4).reshape(-1, 16, 4)
        hidden = attention.transform(inner, patches @ embed + embed_bias + places, heads)
        return cross_entropy(attention.normalize(hidden.mean(axis=1), gain) @ last + last_bias, labels)

    train, valid, test = _classes()
    return Task(
        name="digits_vit",
        layout=layout,
        initial=normal(layout, [1, 16, *attention.gains(blocks), 1]),
        loss=loss,
        train=train,
        valid=valid,
        test=test,
        batch=32,
        steps=300,
        learning_rates=LARGE_LEARNING_RATES,
        doc=f"transformer of {blocks} blocks of width {width} on 2 x 2 patches, digits; cross-entropy in nats",
    )


def _classifier(name: str, widths: tuple[int, ...], steps: int, learning_rates: tuple[float, ...]) -> Task:
    """A fully connected classifier with ReLU."""
    return classification(name, widths, _classes(), steps, learning_rates, "digits")


def _autoencoder(name: str, widths: tuple[int, ...], steps: int, learning_rates: tuple[float, ...]) -> Task:
    """A fully connected autoencoder with tanh."""
    layout = dense(*widths)
    pixels = (data.digits()[0] / 16).astype(np.float32)
    train, valid, test = data.take(data.split(len(pixels), "digits"), pixels)
    return Task(
        name=name,
        layout=layout,
        initial=normal(layout, [1] * (len(widths) - 1)),
        loss=autoencoder(layout, jnp.tanh),
        train=train,
        valid=valid,
        test=test,
        batch=64,
        steps=steps,
        learning_rates=learning_rates,
        doc=f"autoencoder {'-'.join(map(str, widths))}, tanh, digits; "
        "squared error of an image with pixels from 0 to 1",
    )


def _classes() -> tuple[data.Arrays, data.Arrays, data.Arrays]:
    """Scaled images and labels of the three splits."""
    pixels, labels = data.digits()
    parts = data.split(len(pixels), "digits")
    return data.take(parts, data.standardize_images(pixels, pixels[parts[0]]), labels)
