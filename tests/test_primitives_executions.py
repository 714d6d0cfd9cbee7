"""Law 1: reference, compiled form and interpreter give the same outputs.

In float64 over whole runs of random programs, each held to what rounding does to that very program; in float32
statement by statement on equal arguments. The reference itself is held to an executor that shares nothing with it.
Emitted source is held to the same reference in `test_primitives_emit.py`.
"""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inputs import LAYOUT, draw_inputs
from oracle import Tensor, execute, lift
from rounding import band
from strategies import INTERPRETED, MODERATE, SEARCHED, programs

from archive import library
from primitives.compile import compile_step
from primitives.encode import Capacity, Encoded
from primitives.graph import Graph, Node, check
from primitives.interpreter import Machine
from primitives.kinds import LEAF, SCALAR, TENSOR
from primitives.ops import LIBRARY
from primitives.program import OPTIMIZER, Interface
from primitives.reference import step, values, zero_state
from primitives.simplify import canonicalize
from primitives.text import parse

FLOAT32 = st.one_of(
    st.sampled_from((0.9, 0.999, 0.01, 1.0, -1.0, 0.0, -0.0, 1e-8, 2.0, -0.5)),
    st.floats(-4.0, 4.0),
    st.floats(-(2.0**60), 2.0**60, width=32).filter(lambda c: c == 0.0 or abs(c) > 2.0**-60),
)
"""Their squares are within float32: XLA rewrites sqrt(x * x) to |x|, which keeps what overflows or underflows."""


def compiled(graph: Graph, inputs: list[dict], jit: bool) -> np.ndarray:
    """(steps, D) outputs of the compiled form in float64; without `jit` JAX executes it operation by operation."""
    with jax.enable_x64(True):
        run = compile_step(graph, LIBRARY, LAYOUT)
        run = jax.jit(run) if jit else run
        state = tuple(jnp.asarray(s) for s in zero_state(graph, LAYOUT))
        updates = []
        for row in inputs:
            (update,), state = run({name: jnp.asarray(x) for name, x in row.items()}, state)
            assert update.dtype == jnp.float64
            updates.append(np.asarray(update))
    return np.stack(updates)


@cache
def machine_step():
    machine = Machine(LIBRARY, OPTIMIZER, LAYOUT)

    def one(program, files, inputs):
        files = machine.step(program, *machine.set_inputs(files[0], files[1], inputs))
        return files, files[0][program.output]

    return machine, jax.jit(one)


def interpreted(graph: Graph, inputs: list[dict]) -> np.ndarray:
    """(steps, D) outputs of the interpreter in float64."""
    machine, one = machine_step()
    with jax.enable_x64(True):
        program = machine.encode(graph)
        files = machine.initial(program, 1, jnp.float64)
        updates = []
        for row in inputs:
            files, update = one(program, files, {name: jnp.asarray(x)[None] for name, x in row.items()})
            updates.append(np.asarray(update)[0])
    return np.stack(updates)


@cache
def side_by_side_step():
    machine, _ = machine_step()

    def all_of(programs, files, inputs):
        tensors, smalls = jax.vmap(lambda tensors, smalls: machine.set_inputs(tensors, smalls, inputs))(*files)
        files = machine.step_all(programs, tensors, smalls)
        return files, jax.vmap(lambda file, output: file[output])(files[0], programs.output)

    return jax.jit(all_of)


def side_by_side(graphs: list[Graph], inputs: list[dict]) -> np.ndarray:
    """(programs, steps, D) outputs in float64 of the interpreter that runs programs side by side."""
    machine, _ = machine_step()
    with jax.enable_x64(True):
        encoded = [machine.align(machine.encode(graph)) for graph in graphs]
        programs = Encoded(*map(np.stack, zip(*encoded, strict=True)))
        files = jax.vmap(lambda program: machine.initial(program, 1, jnp.float64))(programs)
        updates = []
        for row in inputs:
            files, update = side_by_side_step()(programs, files, {n: jnp.asarray(x)[None] for n, x in row.items()})
            updates.append(np.asarray(update)[:, 0])
    return np.stack(updates, axis=1)


@settings(max_examples=100)
@given(programs(LIBRARY, OPTIMIZER), st.integers(0, 3))
def test_reference_agrees_with_the_statements_one_by_one(program, seed):
    graph, inputs = check(program, LIBRARY), draw_inputs(seed)
    held = [lift(np.float64(0.0), kind, LAYOUT.shapes) for kind in graph.state_kinds]
    updates, states = [], []
    for row in inputs:
        given = {name: row[name] for name in graph.inputs}
        given = {name: Tensor(LAYOUT.split(x)) if np.ndim(x) else x for name, x in given.items()}
        found = execute(program, LIBRARY, {**given, **dict(zip(graph.state, held, strict=True))}, LAYOUT.shapes)
        held = [
            lift(found[name], kind, LAYOUT.shapes) for name, kind in zip(graph.state, graph.state_kinds, strict=True)
        ]
        updates.append(flat(lift(found["update"], TENSOR, LAYOUT.shapes)))
        states.append(np.concatenate([flat(s) for s in held]) if held else np.zeros(0))
    band(graph, LIBRARY, LAYOUT, inputs).check(np.stack(updates))
    # The state is an output that no other test looks at.
    shown = Graph(
        graph.inputs,
        graph.state,
        graph.constants,
        graph.nodes,
        graph.next_state,
        graph.next_state,
        graph.kinds,
        graph.state_kinds,
        graph.state_kinds,
    )
    if graph.state:
        band(shown, LIBRARY, LAYOUT, inputs).check(np.stack(states))


def flat(value: Any) -> np.ndarray:
    return np.concatenate([np.ravel(part) for part in (value if isinstance(value, tuple) else [value])])


@settings(max_examples=150)
@given(programs(LIBRARY, OPTIMIZER, constants=MODERATE), st.integers(0, 3), st.booleans())
def test_random_programs_agree_in_float64(program, seed, canonical):
    graph = check(program, LIBRARY)
    graph = canonicalize(graph, LIBRARY, "float64") if canonical else graph
    inputs = draw_inputs(seed)
    honest = band(graph, LIBRARY, LAYOUT, inputs)
    honest.check(compiled(graph, inputs, jit=False))


@settings(max_examples=100)
@given(programs(INTERPRETED, SEARCHED, constants=MODERATE), st.integers(0, 3), st.booleans())
def test_random_programs_agree_in_the_interpreter(program, seed, canonical):
    graph = check(program, LIBRARY)
    graph = canonicalize(graph, LIBRARY, "float64") if canonical else graph
    inputs = draw_inputs(seed)
    band(graph, LIBRARY, LAYOUT, inputs).check(interpreted(graph, inputs))


@settings(max_examples=40, deadline=None)
@given(st.lists(programs(INTERPRETED, SEARCHED, constants=MODERATE), min_size=3, max_size=3), st.integers(0, 3))
def test_random_programs_agree_side_by_side(several, seed):
    graphs, inputs = [check(program, LIBRARY) for program in several], draw_inputs(seed)
    for graph, found in zip(graphs, side_by_side(graphs, inputs), strict=True):
        band(graph, LIBRARY, LAYOUT, inputs).check(found)


@settings(max_examples=100)
@given(programs(INTERPRETED, SEARCHED, constants=MODERATE))
def test_an_aligned_program_has_all_rows_in_their_order(program):
    machine, _ = machine_step()
    plain = machine.encode(check(program, LIBRARY))
    aligned = machine.align(plain)
    rows, own = int(aligned.count), range(int(plain.count))
    idle = {
        name: opcodes[("copy", "T")] for name, opcodes in (("t", machine.tensor_opcodes), ("s", machine.small_opcodes))
    }
    assert aligned.before[:rows].tolist() == list(range(rows)), "a small row before each tensor row"
    order = [(s, tuple(r)) for i in range(rows) for s, r in (("s", aligned.small[i]), ("t", aligned.tensor[i]))]
    meant = [
        (s, tuple(r))
        for i in own
        for s, r in (*(("s", r) for r in plain.small[plain.before[i] : plain.before[i + 1]]), ("t", plain.tensor[i]))
    ]
    works = iter(one for one in order if one != (one[0], (idle[one[0]], 0, 0, 0, 0)))
    assert list(works) == [one for one in meant if one != (one[0], (idle[one[0]], 0, 0, 0, 0))]
    assert (aligned.output, aligned.constants.tolist()) == (plain.output, plain.constants.tolist())


@settings(max_examples=20)
@given(programs(LIBRARY, OPTIMIZER, constants=MODERATE), st.integers(0, 3))
def test_compiled_whole_programs_agree_in_float64(program, seed):
    graph, inputs = canonicalize(check(program, LIBRARY), LIBRARY, "float64"), draw_inputs(seed)
    band(graph, LIBRARY, LAYOUT, inputs).check(compiled(graph, inputs, jit=True))


CANCELS = {
    *("median_clipping", "fadam", "adamp", "root", "sania_adam"),
    *("schedule_free_sgd", "schedule_free_adamw", "shampoo"),
}
"""Rules that add what nearly cancels, or decompose matrices: compared relative to the largest entry."""


@pytest.mark.parametrize("name", library.names())
def test_known_rules_agree_to_the_last_digits(name):
    """The band of a known rule is narrow: what holds it together is no generous tolerance."""
    graph = canonicalize(check(parse(library.text(name), OPTIMIZER, LIBRARY), LIBRARY), LIBRARY, "float64")
    inputs = draw_inputs(0)
    honest = band(graph, LIBRARY, LAYOUT, inputs)
    assert honest.close.all()
    size = np.abs(honest.value)
    if name in CANCELS:
        size = np.full_like(size, size.max())
    assert (honest.tolerance <= 2e-11 * size + 1e-22).all()
    honest.check(compiled(graph, inputs, jit=True))
    if machine_step()[0].stranger(graph) is None:
        honest.check(interpreted(graph, inputs))
    with pytest.raises(AssertionError, match="off by"):
        honest.check(compiled(graph, inputs, jit=False) * (1.0 + 1e-9))


# --- float32 ----------------------------------------------------------------------------------------------------------

_TENSORS, _SMALLS = ("x0", "x1", "x2"), ("y0", "y1", "y2")


@cache
def single_machine():
    """An interpreter whose inputs are arguments of any kind; (program, tensor file, small file) -> output."""
    inputs = (*((name, TENSOR) for name in _TENSORS), *((name, LEAF) for name in _SMALLS))
    interface = Interface("train", inputs, (("update", TENSOR),))
    machine = Machine(LIBRARY, interface, LAYOUT, Capacity(tensors=10, smalls=12, instructions=8))
    return machine, jax.jit(lambda program, *files: machine.step(program, *files)[0][program.output])


def single(graph: Graph, ref: int) -> tuple[Graph, list[int]]:
    """One operation of a graph as a graph whose inputs are its arguments, and the references of these."""
    op, args = graph.nodes[ref - graph.first_node]
    refs = list(dict.fromkeys(args))
    names = tuple((_TENSORS if graph.kinds[r] is TENSOR else _SMALLS)[i] for i, r in enumerate(refs))
    kinds = (*(graph.kinds[r] for r in refs), graph.kinds[ref])
    node = Node(op, tuple(refs.index(a) for a in args))
    return Graph(names, (), (), (node,), (len(refs),), (), kinds, (TENSOR,), ()), refs


def interpreted_single(graph: Graph, inputs: dict) -> np.ndarray:
    machine, run = single_machine()
    program = machine.encode(graph)
    tensors, smalls = (np.array(file) for file in machine.initial(program, 1))
    for name, x in inputs.items():
        if name in machine.tensor_inputs:
            tensors[machine.tensor_inputs[name]] = x
        else:
            smalls[machine.small_inputs[name]] = x
    return np.asarray(run(program, tensors, smalls))


@settings(max_examples=50)
@given(programs(INTERPRETED, SEARCHED, constants=FLOAT32), st.integers(0, 3))
def test_statements_agree_in_float32_on_equal_arguments(program, seed):
    graph = check(program, LIBRARY)
    state = zero_state(graph, LAYOUT, np.float32)
    for row in draw_inputs(seed)[:2]:
        every, _, state = values(graph, LIBRARY, LAYOUT, row, state, np.float32)
        assert {np.asarray(x).dtype for x in every} <= {np.dtype(np.float32)}
        for ref in range(graph.first_node, len(graph.kinds)):
            one, refs = single(graph, ref)
            inputs = {name: every[r] for name, r in zip(one.inputs, refs, strict=True)}
            honest = band(one, LIBRARY, LAYOUT, [inputs], np.float32)
            (update,), _ = compile_step(one, LIBRARY, LAYOUT)({name: jnp.asarray(x) for name, x in inputs.items()}, ())
            assert update.dtype == jnp.float32
            honest.check(np.asarray(update)[None])
            honest.check(interpreted_single(one, inputs))


# --- what the two functions promise -----------------------------------------------------------------------------------


def lowered(text: str) -> Graph:
    return check(parse(text, OPTIMIZER, LIBRARY), LIBRARY)


MIXED = """
def train(w, g, m, lr):
    n = norm(g)
    s = dot(g, n)
    x = n * lr
    m = x + s
    c = cosine_sim(w, lr)
    update = m + c
    return update, m
"""


def test_lower_kinds_lift_where_they_meet():
    """A LEAF repeats over its tensor, a SCALAR over the model, also inside reductions; outputs and state are TENSOR."""
    graph, row = lowered(MIXED), draw_inputs(1)[0]
    (update,), (m,) = step(graph, LIBRARY, LAYOUT, row, zero_state(graph, LAYOUT))
    norms = [np.linalg.norm(x) for x in LAYOUT.split(row["g"])]
    leaf = np.repeat(norms, LAYOUT.sizes)
    expected = leaf * row["lr"] + (row["g"] * leaf).sum()
    cosine = row["w"].sum() / np.linalg.norm(row["w"]) / np.sqrt(LAYOUT.size)
    np.testing.assert_allclose(m, expected, rtol=1e-14)
    np.testing.assert_allclose(update, expected + cosine, rtol=1e-14)


def test_a_single_value_lifts_to_its_declared_kind():
    graph = lowered("def train(m, lr):\n    update = norm(m)\n    m = lr\n    return update, m")
    (first,), state = step(graph, LIBRARY, LAYOUT, {"lr": 0.5}, zero_state(graph, LAYOUT))
    (second,), _ = step(graph, LIBRARY, LAYOUT, {"lr": 0.5}, state)
    assert state[0].shape == first.shape == second.shape == (LAYOUT.size,)
    # the norm of a tensor filled with 0.5, not of the number 0.5
    np.testing.assert_array_equal(second, np.repeat(0.5 * np.sqrt([12.0, 3.0]), LAYOUT.sizes))


def test_scalars_are_0d_and_leaves_have_one_value_a_tensor():
    graph, row = lowered(MIXED), draw_inputs(1)[0]
    every, _, _ = values(graph, LIBRARY, LAYOUT, row, zero_state(graph, LAYOUT))
    shapes = {TENSOR: (LAYOUT.size,), LEAF: (LAYOUT.leaves,), SCALAR: ()}
    for kind, value in zip(graph.kinds, every, strict=True):
        assert np.shape(value) == shapes[kind]


def test_a_missing_input_is_named():
    with pytest.raises(ValueError, match="got none for g, lr"):
        step(lowered(MIXED), LIBRARY, LAYOUT, {"w": np.zeros(LAYOUT.size)}, ())


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_compiled_type_follows_the_inputs(dtype):
    graph = lowered("def train(g, m, t):\n    x = power(0.9, t)\n    m = g * x\n    update = m\n    return update, m")
    inputs = {"g": jnp.ones(15, dtype), "t": jnp.asarray(3, jnp.int32)}
    (update,), (m,) = jax.jit(compile_step(graph, LIBRARY, LAYOUT))(inputs, (jnp.zeros(15, dtype),))
    assert update.dtype == m.dtype == dtype
    np.testing.assert_allclose(np.asarray(update, np.float64), 0.729, rtol=1e-2)


def test_compiled_maps_over_lanes():
    graph = canonicalize(lowered(library.text("raw_lion")), LIBRARY, "float32")
    run = compile_step(graph, LIBRARY, LAYOUT)
    lanes = [{name: jnp.asarray(x, jnp.float32) for name, x in draw_inputs(seed)[0].items()} for seed in range(3)]
    stacked = {name: jnp.stack([lane[name] for lane in lanes]) for name in lanes[0]}
    state = (jnp.full((3, LAYOUT.size), 0.1),)
    (updates,), (held,) = jax.jit(jax.vmap(run))(stacked, state)
    for i, lane in enumerate(lanes):
        (update,), (v,) = run(lane, (state[0][i],))
        np.testing.assert_allclose(updates[i], update, rtol=1e-5, atol=1e-9)
        np.testing.assert_allclose(held[i], v, rtol=1e-5, atol=1e-9)


def test_compiled_constants_do_not_raise_the_type_under_x64():
    graph = lowered(
        "def train(g):\n    x = sqrt(0.5)\n    p = get_pi()\n    y = x * p\n    update = g * y\n    return update"
    )
    with jax.enable_x64(True):
        (update,), _ = jax.jit(compile_step(graph, LIBRARY, LAYOUT))({"g": jnp.ones(15, jnp.float32)}, ())
    assert update.dtype == jnp.float32
