"""Transformer blocks over parameter tensors, as products and reductions (see `networks`).

A block is h <- h + attention(norm(h)), then h <- h + relu(norm(h) V + b) U + c. Biases and the gains of the norms are
one-dimensional and begin at zero: a norm scales by 1 + gain.

References:
    Vaswani et al. 2017, "Attention Is All You Need"; Xiong et al. 2020, "On Layer Normalization in the Transformer
    Architecture" (norms before the branches).
"""

from collections.abc import Sequence
from math import sqrt

import jax
import jax.numpy as jnp

TENSORS = 8
"""Parameter tensors a block."""
EXPANSION = 2
"""Hidden units of a block's network, in widths."""


def shapes(width: int, blocks: int) -> tuple[tuple[int, ...], ...]:
    """Returns the shapes of the parameters of `blocks` blocks, in the order in which `transform` takes them."""
    hidden = EXPANSION * width
    block = (
        (width,),
        (width, 3 * width),
        (width, width),
        (width,),
        (width, hidden),
        (hidden,),
        (hidden, width),
        (width,),
    )
    return block * blocks


def gains(blocks: int) -> list[float]:
    """Returns the gains of the matrices of `blocks` blocks for `networks.normal`; a branch opens with 1 / blocks."""
    return [1.0, 1.0 / blocks, 2.0, 1.0 / blocks] * blocks


def normalize(hidden: jax.Array, gain: jax.Array) -> jax.Array:
    """Returns h (1 + gain) / sqrt(mean(h^2) + 1e-6), the mean over the last axis.

    References:
        Zhang and Sennrich 2019, "Root Mean Square Layer Normalization".
    """
    return hidden * (1.0 + gain) * jax.lax.rsqrt(jnp.mean(hidden * hidden, axis=-1, keepdims=True) + 1e-6)


def attend(hidden: jax.Array, inward: jax.Array, outward: jax.Array, heads: int, causal: bool) -> jax.Array:
    """Returns softmax(Q K' / sqrt(d)) V of all heads beside each other, times U, where (Q, K, V) = h W.

    Args:
        hidden: h, (batch, places, width).
        inward: W, (width, 3 width).
        outward: U, (width, width).
        heads: heads, each of size d = width / heads.
        causal: whether a place sees only itself and those before it.

    Returns:
        (batch, places, width).
    """
    batch, places, width = hidden.shape
    size = width // heads
    query, key, value = jnp.moveaxis((hidden @ inward).reshape(batch, places, 3, heads, size), (2, 3), (0, 2))
    scores = query @ key.swapaxes(-1, -2) / sqrt(size)
    if causal:
        scores = jnp.where(jnp.tri(places, dtype=bool), scores, -jnp.inf)
    mixed = jax.nn.softmax(scores) @ value
    return mixed.swapaxes(1, 2).reshape(batch, places, width) @ outward


def transform(tensors: Sequence[jax.Array], hidden: jax.Array, heads: int, causal: bool = False) -> jax.Array:
    """Applies blocks in turn.

    Args:
        tensors: parameters, with the shapes of `shapes`.
        hidden: (batch, places, width).
        heads: heads of each attention, a divisor of the width.
        causal: whether a place sees only itself and those before it.

    Returns:
        (batch, places, width).
    """
    for start in range(0, len(tensors), TENSORS):
        first, inward, outward, second, up, up_bias, down, down_bias = tensors[start : start + TENSORS]
        hidden = hidden + attend(normalize(hidden, first), inward, outward, heads, causal)
        hidden = hidden + jax.nn.relu(normalize(hidden, second) @ up + up_bias) @ down + down_bias
    return hidden
