"""Character language models on two parts of Python's documentation."""

import jax
import jax.numpy as jnp

from evaluators.optimizers import data
from evaluators.optimizers.task import Batch, Task
from evaluators.optimizers.tasks.networks import cross_entropy, forward, normal, one_hot
from primitives.layout import Layout


def char_lm() -> Task:
    """The next of 48 symbols from 6: embedding of 6, one hidden layer of 32 tanh (3,056 parameters)."""
    return _model("char_lm", data.TOPICS_A, context=6, embedding=6, hidden=32, batch=64, steps=150)


def char_lm_large() -> Task:
    """The next of 48 symbols from 12: embedding of 12, one hidden layer of 96 tanh (19,152 parameters)."""
    return _model("char_lm_large", data.TOPICS_B, context=12, embedding=12, hidden=96, batch=64, steps=600)


def _model(name: str, source: data.Source, context: int, embedding: int, hidden: int, batch: int, steps: int) -> Task:
    """A neural language model with one table of embeddings for all places of the context.

    References:
        Bengio, Ducharme, Vincent and Jauvin 2003, "A Neural Probabilistic Language Model".
    """
    symbols = len(data.ALPHABET)
    layout = Layout(
        ((symbols, embedding), (context * embedding, hidden), (hidden,), (hidden, symbols), (symbols,)),
    )

    def loss(flat: jax.Array, batch: Batch) -> jax.Array:
        codes, following = batch
        table, *tensors = layout.split(flat)
        embedded = one_hot(codes, symbols, flat.dtype) @ table
        return cross_entropy(forward(tensors, embedded.reshape(-1, context * embedding), jnp.tanh), following)

    parts = data.split_text(data.text(source), name)
    # Validation costs a forward pass each: 1,024 windows add a few per cent to a search run.
    limits = (None, 1024, 8192)
    train, valid, test = (data.windows(part, context, limit) for part, limit in zip(parts, limits, strict=True))
    return Task(
        name=name,
        layout=layout,
        initial=normal(layout, [symbols, 1, 1]),
        loss=loss,
        train=train,
        valid=valid,
        test=test,
        batch=batch,
        steps=steps,
        doc=f"next of {symbols} symbols from {context}, {hidden} tanh, Python's documentation; cross-entropy in nats",
    )
