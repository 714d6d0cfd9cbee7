"""Law 1 for the interpreter: it agrees with the NumPy reference, instruction by instruction and program by program."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from archive.library import names, text
from primitives.encode import Capacity
from primitives.graph import Graph, check
from primitives.interpreter import Machine
from primitives.kinds import LEAF, SCALAR, TENSOR
from primitives.layout import Layout
from primitives.ops import LIBRARY
from primitives.program import OPTIMIZER, Program, ProgramError, Statement
from primitives.reference import step, values, zero_state
from primitives.simplify import canonicalize
from primitives.text import parse
from tests.strategies import INTERPRETED, SEARCHED, programs

LAYOUT = Layout(((2, 3), (3,), (1,)))
LANES = 2
STEPS = 3
EXACT = LIBRARY.restricted(
    ["add", "subtract", "multiply", "max", "min", "abs", "negative", "square", "sign", "dot", "cube"]
)
"""Operations without rounding on small whole numbers: any difference is a wrong wire."""
WHOLE = st.integers(-3, 3).map(float)


CONSTANTS = st.floats(-4.0, 4.0).filter(lambda c: c == 0.0 or abs(c) > 1e-30)
"""XLA flushes subnormal numbers to zero, NumPy does not: nothing that comes near them."""

TRACES: list[int] = []
"""Grows whenever JAX traces the runner anew, as it must before it compiles."""


@cache
def machine() -> Machine:
    return Machine(LIBRARY, OPTIMIZER, LAYOUT)


@cache
def runner():
    """(program, w, g, lr) -> updates (steps, lanes, D); w and g (steps, lanes, D), lr (steps, lanes)."""
    interpreter = machine()

    def run(program, w, g, lr):
        TRACES.append(1)
        files = interpreter.initial(program, LANES, w.dtype)
        updates = []
        for t in range(STEPS):
            inputs = {"w": w[t], "g": g[t], "lr": lr[t], "t": jnp.asarray(t + 1, w.dtype)}
            files = interpreter.step(program, *interpreter.set_inputs(*files, inputs))
            updates.append(files[0][program.output])
        return jnp.stack(updates)

    return jax.jit(run)


def interpreted(graph: Graph, w, g, lr) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(runner()(machine().encode(graph), jnp.asarray(w), jnp.asarray(g), jnp.asarray(lr)))


def referred(graph: Graph, w, g, lr) -> np.ndarray:
    updates = np.empty_like(w)
    for lane in range(LANES):
        state = zero_state(graph, LAYOUT)
        for t in range(STEPS):
            inputs = {"w": w[t, lane], "g": g[t, lane], "lr": lr[t, lane], "t": np.float64(t + 1)}
            (update,), state = step(graph, LIBRARY, LAYOUT, inputs, state)
            updates[t, lane] = update
    return updates


def draw_inputs(seed: int, whole: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = (STEPS, LANES, LAYOUT.size)
    if whole:
        return (
            rng.integers(-3, 4, shape).astype(float),
            rng.integers(-3, 4, shape).astype(float),
            rng.integers(-3, 4, shape[:2]).astype(float),
        )
    return rng.normal(size=shape), rng.normal(size=shape), rng.uniform(0.01, 0.5, shape[:2])


@settings(max_examples=200)
@given(programs(EXACT, SEARCHED, constants=WHOLE), st.integers(0, 3), st.booleans())
def test_wiring_is_exact(program, seed, raw):
    graph = check(program, LIBRARY) if raw else canonicalize(check(program, LIBRARY), LIBRARY, "float32")
    inputs = draw_inputs(seed, whole=True)
    expected = referred(graph, *inputs)
    # beyond 2^53 whole numbers round, and sums depend on their order
    assume(np.all(np.abs(expected) < 2.0**50) and largest(graph, *inputs) < 2.0**50)
    np.testing.assert_array_equal(interpreted(graph, *inputs), expected)


def largest(graph: Graph, w, g, lr) -> float:
    """Largest absolute value on the way, by the reference."""
    found = 0.0
    for lane in range(LANES):
        state = zero_state(graph, LAYOUT)
        for t in range(STEPS):
            inputs = {"w": w[t, lane], "g": g[t, lane], "lr": lr[t, lane], "t": np.float64(t + 1)}
            every, _, state = values(graph, LIBRARY, LAYOUT, inputs, state)
            found = max(found, *(float(np.max(np.abs(v))) for v in every), 0.0)
    return found if np.isfinite(found) else np.inf


@settings(max_examples=150)
@given(programs(INTERPRETED, SEARCHED, max_statements=8, constants=CONSTANTS), st.integers(0, 3))
def test_random_programs_agree_where_rounding_is_not_amplified(program, seed):
    graph = canonicalize(check(program, LIBRARY), LIBRARY, "float64")
    w, g, lr = draw_inputs(seed)
    expected = referred(graph, w, g, lr)
    assume(np.isfinite(expected).all())
    # A program that turns a change of 1e-13 in its inputs into more than 1e-10 amplifies rounding as well.
    rng = np.random.default_rng(seed)
    near = [x * (1.0 + 1e-13 * rng.uniform(-1, 1, x.shape)) for x in (w, g, lr)]
    scale = np.abs(expected).max() + 1e-300
    assume(np.abs(referred(graph, *near) - expected).max() <= 1e-10 * scale)
    assume(largest(graph, w, g, lr) <= 1e6 * max(1.0, scale))  # no cancellation of huge values
    np.testing.assert_allclose(interpreted(graph, w, g, lr), expected, rtol=1e-7, atol=1e-8 * scale)


SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1e-100, -1e-10, 30.0, 1e5, np.inf, -np.inf, np.nan])


def operand(kind, place: int) -> list[Statement]:
    """Statements that make a value of a kind in the variable x<place>; x0 and x1 differ."""
    source = ("g", "w", "g")[place]
    if kind is TENSOR:
        return [Statement(f"x{place}", "copy", (source,))]
    if kind is SCALAR:
        return [Statement(f"x{place}", "copy", ("lr" if place != 1 else 0.75,))]
    return [Statement(f"x{place}", "norm", (source,))]


@pytest.mark.parametrize("name", [*INTERPRETED])
def test_every_instruction_agrees_on_every_pattern_of_kinds(name):
    """All kinds of operands, on ordinary and on special values; the sign of a zero is never compared."""
    primitive = LIBRARY[name]
    patterns = [()]
    for _ in range(primitive.arity):
        patterns = [(*pattern, kind) for pattern in patterns for kind in (SCALAR, LEAF, TENSOR)]
    for pattern in patterns:
        if primitive.output_kind(pattern) is None:
            continue
        statements = [s for place, kind in enumerate(pattern) for s in operand(kind, place)]
        statements.append(Statement("update", name, tuple(f"x{i}" for i in range(len(pattern)))))
        signature = OPTIMIZER.signature(("w", "g", "lr"), ("update",))
        graph = canonicalize(check(Program(signature, tuple(statements)), LIBRARY), LIBRARY, "float64")
        for seed in range(2):
            w, g, lr = draw_inputs(seed)
            if seed:
                g = np.resize(SPECIAL, g.size).reshape(g.shape)
                w = np.resize(SPECIAL[::-1], w.size).reshape(w.shape)
                lr = np.resize(SPECIAL, lr.size).reshape(lr.shape)
            np.testing.assert_allclose(
                interpreted(graph, w, g, lr), referred(graph, w, g, lr), rtol=1e-12, atol=1e-300, err_msg=str(pattern)
            )


def form(name: str) -> Graph:
    return canonicalize(check(parse(text(name), OPTIMIZER, LIBRARY), LIBRARY), LIBRARY, "float64")


def runs(name: str) -> bool:
    graph = form(name)
    known = {"w", "g", "lr", "t"}.issuperset(graph.inputs) and all(node.op in INTERPRETED for node in graph.nodes)
    return known and {SCALAR, LEAF, TENSOR}.issuperset((*graph.kinds, *graph.state_kinds))


RUN = [name for name in names() if runs(name)]
"""Rules that the interpreter takes."""


@pytest.mark.parametrize("name", RUN)
def test_library_rules_agree(name):
    graph = form(name)
    inputs = draw_inputs(0)
    np.testing.assert_allclose(interpreted(graph, *inputs), referred(graph, *inputs), rtol=1e-9, atol=1e-15)


def test_a_program_is_data_and_compiles_nothing():
    inputs = draw_inputs(0)
    forms = [form(name) for name in RUN]
    interpreted(forms[0], *inputs)
    before = len(TRACES)
    for graph in forms:
        interpreted(graph, *inputs)
    assert len(TRACES) == before


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("def train(g, noise):\n    update = g + noise\n    return update", "got noise; compile"),
        ("def train(g):\n    q = gram_left(g)\n    update = matmul(q, g)\n    return update", "got LEFT; compile"),
        ("def train(g):\n    update = polar(g)\n    return update", "no instruction for 'polar'; compile"),
    ],
)
def test_what_it_can_not_run_is_told(text, problem):
    machine = Machine(LIBRARY, SEARCHED, LAYOUT)
    with pytest.raises(ProgramError, match=problem):
        machine.encode(check(parse(text, OPTIMIZER, LIBRARY), LIBRARY))


def test_too_many_live_values_are_refused():
    small = Machine(LIBRARY, OPTIMIZER, LAYOUT, Capacity(tensors=12, smalls=8, instructions=64))
    body = "".join(f"    a{i} = g * {i + 2}.0\n" for i in range(6))
    total = "    update = a0 + a1\n" + "".join(f"    update = update + a{i}\n" for i in range(2, 6))
    wide = f"def train(w, g, lr):\n{body}{total}    return update\n"
    with pytest.raises(ProgramError, match=r"live|constants"):
        small.encode(check(parse(wide, OPTIMIZER, LIBRARY), LIBRARY))
