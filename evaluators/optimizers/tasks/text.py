"""Character language models on two parts of Python's documentation."""

import jax
import jax.numpy as jnp

from evaluators.optimizers import data
from evaluators.optimizers.task import LARGE_LEARNING_RATES, LEARNING_RATES, Batch, Task
from evaluators.optimizers.tasks import attention
from evaluators.optimizers.tasks.networks import cross_entropy, dense, forward, normal, one_hot
from primitives.layout import Layout

SYMBOLS = len(data.ALPHABET)
SALTS = {data.TOPICS_A: "char_lm", data.TOPICS_B: "char_lm_large"}
"""What deals the paragraphs of a text: one salt each, so that no test paragraph is another task's training one."""


def char_lm() -> Task:
    """The next of 48 symbols from 3: embedding of 3, one hidden layer of 32 tanh (2,048 parameters).

    After fewer steps the loss is hardly below that of the symbols' frequencies, and plain gradient descent is best.
    """
    return _model("char_lm", data.TOPICS_A, context=3, hidden=(32,), steps=150, learning_rates=LEARNING_RATES)


def char_lm_10x() -> Task:
    """The next symbol from 6: embedding of 6, two layers of 64 tanh (9,936 parameters): 10 times char_lm's compute."""
    return _model(
        "char_lm_10x", data.TOPICS_A, context=6, hidden=(64, 64), steps=300, learning_rates=LARGE_LEARNING_RATES
    )


def char_lm_100x() -> Task:
    """The next symbol from 10: embedding of 10, three layers of 128 tanh (52,624 parameters): 103 times char_lm's."""
    return _model(
        "char_lm_100x",
        data.TOPICS_A,
        context=10,
        hidden=(128, 128, 128),
        steps=600,
        learning_rates=LARGE_LEARNING_RATES,
    )


def char_lm_large() -> Task:
    """The next of 48 symbols from 12: embedding of 12, one hidden layer of 96 tanh (19,152 parameters)."""
    return _model(
        "char_lm_large", data.TOPICS_B, context=12, hidden=(96,), steps=600, learning_rates=LARGE_LEARNING_RATES
    )


def char_transformer() -> Task:
    """Every next symbol of 16 by a causal transformer: two blocks of width 32 (20,368 parameters)."""
    context, width, blocks, heads = 16, 32, 2, 2
    layout = Layout(
        (
            (SYMBOLS, width),
            (context, width),
            *attention.shapes(width, blocks),
            (width,),
            (width, SYMBOLS),
            (SYMBOLS,),
        )
    )

    def loss(flat: jax.Array, batch: Batch) -> jax.Array:
        codes, last = batch
        table, places, *inner, gain, unembed, bias = layout.split(flat)
        following = jnp.concatenate([codes[:, 1:], last[:, None]], axis=1)
        embedded = one_hot(codes, SYMBOLS, flat.dtype) @ table + places
        hidden = attention.transform(inner, embedded, heads, causal=True)
        return cross_entropy(attention.normalize(hidden, gain) @ unembed + bias, following)

    train, valid, test = _windows(data.TOPICS_B, context)
    return Task(
        name="char_transformer",
        layout=layout,
        initial=normal(layout, [SYMBOLS, context, *attention.gains(blocks), 1]),
        loss=loss,
        train=train,
        valid=valid,
        test=test,
        batch=16,
        steps=300,
        learning_rates=LARGE_LEARNING_RATES,
        doc=f"causal transformer of {blocks} blocks of width {width}, Python's documentation; cross-entropy in nats",
    )


def _model(
    name: str,
    source: data.Source,
    context: int,
    hidden: tuple[int, ...],
    steps: int,
    learning_rates: tuple[float, ...],
) -> Task:
    """A neural language model: one table embeds every place of the context in as many dimensions as there are places.

    References:
        Bengio, Ducharme, Vincent and Jauvin 2003, "A Neural Probabilistic Language Model".
    """
    inputs = context * context
    layout = Layout(((SYMBOLS, context), *dense(inputs, *hidden, SYMBOLS).shapes))

    def loss(flat: jax.Array, batch: Batch) -> jax.Array:
        codes, following = batch
        table, *tensors = layout.split(flat)
        embedded = (one_hot(codes, SYMBOLS, flat.dtype) @ table).reshape(-1, inputs)
        return cross_entropy(forward(tensors, embedded, jnp.tanh), following)

    train, valid, test = _windows(source, context)
    return Task(
        name=name,
        layout=layout,
        initial=normal(layout, [SYMBOLS, *[1] * (len(hidden) + 1)]),
        loss=loss,
        train=train,
        valid=valid,
        test=test,
        batch=64,
        steps=steps,
        learning_rates=learning_rates,
        doc=f"next of {SYMBOLS} symbols from {context}, {'-'.join(map(str, hidden))} tanh, Python's documentation; "
        "cross-entropy in nats",
    )


def _windows(source: data.Source, context: int) -> tuple[data.Arrays, data.Arrays, data.Arrays]:
    """Codes (windows, context) and following codes (windows,) of the three splits.

    All of the text to learn from; but validation ends every run of a search, and 512 windows cost few per cent.
    """
    parts = data.split_text(data.text(source), SALTS[source])
    train, valid, test = (
        data.windows(part, context, limit) for part, limit in zip(parts, (None, 512, 8192), strict=True)
    )
    return train, valid, test
