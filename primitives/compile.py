"""JAX execution of one program as straight-line code: for promotion, and for what the interpreter can't run.

A compilation takes far longer than a search spends on a candidate; search runs `primitives.interpreter` where it can.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import jax
import jax.numpy as jnp

from primitives.graph import Graph
from primitives.layout import Layout
from primitives.primitive import Vocabulary
from primitives.reference import prepare

CompiledStep = Callable[
    [Mapping[str, jax.Array], Sequence[jax.Array]], tuple[tuple[jax.Array, ...], tuple[jax.Array, ...]]
]


def compile_step(graph: Graph, vocabulary: Vocabulary, layout: Layout) -> CompiledStep:
    """Returns one step of a program as a pure JAX function, to be wrapped in `jax.jit` or `jax.vmap`.

    Args:
        graph: a checked or canonical graph.
        vocabulary: the primitives it uses.
        layout: shapes of the parameter tensors.

    Returns:
        `step(inputs, state) -> (outputs, next_state)`: `inputs` by name, (D,), (L,) or 0-d, names that the program
        does not use are ignored; `state` in the order of `graph.state`, zeros at first; what comes out is lifted to
        its declared kind. All runs in the common floating-point type of inputs and state, constants too.
    """

    def step(
        inputs: Mapping[str, jax.Array], state: Sequence[jax.Array]
    ) -> tuple[tuple[jax.Array, ...], tuple[jax.Array, ...]]:
        given = [inputs[name] for name in graph.inputs]
        dtype = jnp.result_type(*given, *state) if given or state else jnp.result_type(float)
        if not jnp.issubdtype(dtype, jnp.floating):
            dtype = jnp.result_type(float)
        cast = partial(jnp.asarray, dtype=dtype)
        code = prepare(graph, vocabulary, layout, cast)
        registers = code.run(jnp, [cast(x) for x in given], [cast(x) for x in state])
        return tuple(registers[r] for r in code.outputs), tuple(registers[r] for r in code.next_state)

    return step
