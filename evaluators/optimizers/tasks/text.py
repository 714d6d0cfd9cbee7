"""Character language models on two parts of Python's documentation."""

import jax
import jax.numpy as jnp

from evaluators.optimizers import data
from evaluators.optimizers.task import LARGE_LEARNING_RATES, LEARNING_RATES, Batch, Task
from evaluators.optimizers.tasks.networks import cross_entropy, forward, normal, one_hot
from primitives.layout import Layout


def char_lm() -> Task:
    """The next of 48 symbols from 3: embedding of 3, one hidden layer of 32 tanh (2,048 parameters).

    After fewer steps the loss is hardly below that of the symbols' frequencies, and plain gradient descent is best.
    """
    return _model("char_lm", data.TOPICS_A, context=3, hidden=32, steps=150, learning_rates=LEARNING_RATES)


def char_lm_large() -> Task:
    """The next of 48 symbols from 12: embedding of 12, one hidden layer of 96 tanh (19,152 parameters)."""
    return _model("char_lm_large", data.TOPICS_B, context=12, hidden=96, steps=600, learning_rates=LARGE_LEARNING_RATES)


def _model(
    name: str, source: data.Source, context: int, hidden: int, steps: int, learning_rates: tuple[float, ...]
) -> Task:
    """A neural language model: one table embeds every place of the context in as many dimensions as there are places.

    References:
        Bengio, Ducharme, Vincent and Jauvin 2003, "A Neural Probabilistic Language Model".
    """
    symbols, inputs = len(data.ALPHABET), context * context
    layout = Layout(((symbols, context), (inputs, hidden), (hidden,), (hidden, symbols), (symbols,)))

    def loss(flat: jax.Array, batch: Batch) -> jax.Array:
        codes, following = batch
        table, *tensors = layout.split(flat)
        embedded = (one_hot(codes, symbols, flat.dtype) @ table).reshape(-1, inputs)
        return cross_entropy(forward(tensors, embedded, jnp.tanh), following)

    parts = data.split_text(data.text(source), name)
    # All of the text to learn from; but validation ends every run of a search, and 512 windows cost few per cent.
    limits = (None, 512, 8192)
    train, valid, test = (data.windows(part, context, limit) for part, limit in zip(parts, limits, strict=True))
    return Task(
        name=name,
        layout=layout,
        initial=normal(layout, [symbols, 1, 1]),
        loss=loss,
        train=train,
        valid=valid,
        test=test,
        batch=64,
        steps=steps,
        learning_rates=learning_rates,
        doc=f"next of {symbols} symbols from {context}, {hidden} tanh, Python's documentation; cross-entropy in nats",
    )
