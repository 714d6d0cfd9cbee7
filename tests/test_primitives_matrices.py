"""Functions of matrices and axes: against NumPy's linear algebra, and NumPy, JAX and PyTorch against each other."""

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from inputs import LAYOUT, draw_inputs
from scipy import linalg, stats

from primitives.compile import compile_step
from primitives.graph import check
from primitives.kinds import COLUMN, LEAF, LEFT, RIGHT, ROW, SCALAR, TENSOR
from primitives.layout import Layout, shape_beside
from primitives.ops import LIBRARY
from primitives.ops.matrices import AXES, MATRICES
from primitives.program import OPTIMIZER, ProgramError
from primitives.reference import step, zero_state
from primitives.text import parse

EVERY = (*AXES, *MATRICES)
SHAPES = ((6, 4), (4, 6), (5, 5), (3,), (), (2, 3, 4), (1, 1), (7, 1))
NUMBERS = {"newton_schulz": (3.4445, -4.775, 2.0315), "quantile": (0.9,), "inverse_root": (4.0,)}


def ids(primitive: Any) -> str:
    return primitive.name


def square(n: int, seed: int) -> np.ndarray:
    """A symmetric positive definite matrix whose eigenvalues are apart, or a general one with an odd seed."""
    x = np.random.default_rng(seed).normal(size=(n, n))
    return x if seed % 2 else x @ x.T + np.diag(np.arange(n))


def ways(primitive: Any, seed: int = 0) -> list[list[Any]]:
    """Arguments for a primitive: every way to call it, beside tensors of every shape."""
    found = []
    for shape in SHAPES:
        for kinds in [given for given, _ in primitive.overloads] or [primitive.inputs]:
            args: list[Any] = []
            for place, kind in enumerate(kinds):
                beside = shape_beside(shape, kind) if kind in (TENSOR, LEFT, RIGHT) else ()
                if kind is TENSOR:
                    args.append(np.random.default_rng(seed + place).normal(size=beside))
                elif kind is SCALAR:
                    args.append(np.float64(NUMBERS[primitive.name][place - 1]))
                else:
                    args.append(square(max(beside, default=0), seed + 2 * place))
            found.append(args)
    return found


def call(primitive: Any, *args: Any) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.asarray(primitive.fn(np, *args))


@pytest.mark.parametrize("primitive", EVERY, ids=ids)
def test_the_frameworks_agree(primitive):
    """In float64; what a framework gets is what the compiled form and the exported source run."""
    for args in ways(primitive):
        expected = call(primitive, *args)
        with jax.enable_x64(True):
            by_jax = np.asarray(jax.jit(lambda *a: primitive.fn(jnp, *a))(*map(jnp.asarray, args)))
        given = [torch.as_tensor(a) for a in args]
        by_torch = primitive.fn(torch, *given).numpy()
        for found in (by_jax, by_torch):
            assert found.shape == expected.shape
            assert found.dtype == expected.dtype == np.float64
            np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("primitive", EVERY, ids=ids)
def test_what_has_no_value_is_nan_and_nothing_is_raised(primitive):
    for bad in (np.nan, np.inf, -np.inf, 0.0):
        for args in ways(primitive):
            filled = [np.full_like(a, bad) if np.ndim(a) else a for a in args]
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                found = call(primitive, *filled)
            tensors = [torch.as_tensor(a) for a in filled]
            assert found.shape == primitive.fn(torch, *tensors).shape
            if bad == 0.0 and primitive.name != "solve_upper":
                assert np.isfinite(found).all()
            seen = found.size and any(np.size(a) and np.ndim(a) for a in filled)
            if np.isnan(bad) and seen and primitive.name not in SHAPE_ONLY and not _zero(primitive, filled):
                assert np.isnan(found).any()


SHAPE_ONLY = {"rows", "columns", "fan_in", "fan_out", "identity_left", "identity_right", "falling"}
"""Functions of shapes, and a permutation, which has no NaN."""


def _zero(primitive: Any, args: list[Any]) -> bool:
    """Whether a function of matrices sees none."""
    return primitive.matrices and any(np.ndim(a) not in (0, 2) or 0 in np.shape(a) for a in args)


@pytest.mark.parametrize("primitive", EVERY, ids=ids)
def test_huge_numbers_raise_nothing(primitive):
    for huge in (1e300, 1.7e308, -1.7e308):
        for args in ways(primitive):
            filled = [np.full_like(a, huge) if np.ndim(a) else a for a in args]
            assert call(primitive, *filled).shape == call(primitive, *args).shape
            primitive.fn(torch, *[torch.as_tensor(a) for a in filled])


@pytest.mark.parametrize("primitive", [p for p in EVERY if p.name not in ("if_matrix", "if_wide")], ids=ids)
def test_what_comes_out_shares_no_memory(primitive):
    """Exports overwrite state in place: what was made of it must not change with it."""
    for args in ways(primitive):
        tensors = [torch.as_tensor(a).clone() for a in args]
        found = primitive.fn(torch, *tensors)
        if found.numel():
            assert all(found.data_ptr() != x.data_ptr() for x in tensors)


@pytest.mark.parametrize("primitive", EVERY, ids=ids)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_low_precision_runs(primitive, dtype):
    for args in ways(primitive):
        found = primitive.fn(torch, *[torch.as_tensor(a).to(dtype) for a in args])
        assert found.dtype in (dtype, torch.float32)


@pytest.mark.parametrize("primitive", EVERY, ids=ids)
def test_kinds_are_the_shapes_that_come_out(primitive):
    for shape in SHAPES:
        for given, gives in primitive.overloads or [(primitive.inputs, primitive.output)]:
            args = [np.float64(0.5) if kind is SCALAR else np.ones(shape_beside(shape, kind)) for kind in given]
            assert primitive.output_kind(given) is gives
            assert call(primitive, *args).size == np.zeros(shape_beside(shape, gives)).size


@pytest.mark.parametrize("primitive", [p for p in EVERY if p.matrices], ids=ids)
def test_a_tensor_that_is_no_matrix_gives_zeros_or_nothing(primitive):
    for args in ways(primitive):
        if all(np.ndim(a) != 2 or 0 in np.shape(a) for a in args):
            assert not call(primitive, *args).any()


# --- meanings ---------------------------------------------------------------------------------------------------------


def test_products():
    x, left, right = np.random.default_rng(0).normal(size=(6, 4)), square(6, 1), square(4, 1)
    fn = {name: LIBRARY[name].fn for name in LIBRARY}
    np.testing.assert_array_equal(fn["matmul"](np, left, x), np.matmul(left, x))
    np.testing.assert_array_equal(fn["matmul"](np, x, right), np.matmul(x, right))
    np.testing.assert_allclose(fn["gram_left"](np, x), np.einsum("ij,kj->ik", x, x), rtol=1e-12)
    np.testing.assert_allclose(fn["gram_right"](np, x), np.einsum("ij,ik->jk", x, x), rtol=1e-12)
    np.testing.assert_array_equal(fn["identity_left"](np, x), np.eye(6))
    np.testing.assert_array_equal(fn["identity_right"](np, x), np.eye(4))
    assert fn["trace"](np, left) == np.trace(left)


@pytest.mark.parametrize("p", [1.0, 2.0, 4.0, 3.0])
def test_inverse_roots(p):
    x = square(5, 0)
    root = LIBRARY["inverse_root"].fn(np, x, np.float64(p))
    np.testing.assert_allclose(root, linalg.fractional_matrix_power(x, -1.0 / p), rtol=1e-8, atol=1e-10)
    low = np.diag([4.0, 0.0, 1.0])  # 0 counts as what rounding leaves of 4
    least = (4.0 * 2.0**-52) ** -0.5
    np.testing.assert_allclose(LIBRARY["inverse_root"].fn(np, low, 2.0), np.diag([0.5, least, 1.0]), rtol=1e-12)
    assert not LIBRARY["inverse_root"].fn(np, np.zeros((3, 3)), 2.0).any()
    for scale in (1e-200, 1e200, 1e307):
        np.testing.assert_allclose(LIBRARY["inverse_root"].fn(np, x * scale, 2.0), (root_2(x) / scale**0.5), rtol=1e-9)


def root_2(x: np.ndarray) -> np.ndarray:
    return LIBRARY["inverse_root"].fn(np, x, 2.0)


def test_whitening_in_single_precision_reaches_small_directions():
    """Singular values over four decades, whose squares are at the edge of single precision."""
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.normal(size=(256, 256)))
    values = np.logspace(0.0, -3.0, 256)
    x = ((q * values**2) @ q.T).astype(np.float32)
    white = LIBRARY["inverse_root"].fn(np, x, np.float32(2.0)) @ (q * values)
    assert (np.linalg.norm(white, axis=0) > 0.5).all()


def test_decompositions():
    x = square(6, 0)
    vectors = LIBRARY["eigenvectors"].fn(np, x)
    values = np.diag(vectors.T @ x @ vectors)
    np.testing.assert_allclose(vectors @ np.diag(values) @ vectors.T, x, rtol=1e-10, atol=1e-10)
    assert (np.diff(values) < 0.0).all()
    assert (vectors.sum(0) >= 0.0).all()
    general = square(6, 1)
    q = LIBRARY["orthogonal"].fn(np, general)
    r = q.T @ general
    np.testing.assert_allclose(q.T @ q, np.eye(6), atol=1e-13)
    np.testing.assert_allclose(np.tril(r, -1), 0.0, atol=1e-13)
    assert (np.diag(r) > 0.0).all()
    np.testing.assert_allclose(
        LIBRARY["solve_upper"].fn(np, general, general[:, :2]),
        linalg.solve_triangular(general, general[:, :2]),
        rtol=1e-9,
    )


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5)])
def test_orthogonalization(shape):
    x = np.random.default_rng(0).normal(size=shape)
    exact = LIBRARY["polar"].fn(np, x)
    np.testing.assert_allclose(exact, linalg.polar(x)[0], rtol=1e-10, atol=1e-12)
    near = x / np.linalg.norm(x)
    for _ in range(30):  # Higham 2008, Functions of Matrices: the quintic that converges to the polar factor
        near = LIBRARY["newton_schulz"].fn(np, near, 15.0 / 8.0, -10.0 / 8.0, 3.0 / 8.0)
    np.testing.assert_allclose(near, exact, atol=1e-9)


def test_axes():
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    fn = {name: LIBRARY[name].fn for name in LIBRARY}
    np.testing.assert_allclose(fn["row_sum"](np, x), x.sum((1, 2), keepdims=True), rtol=1e-13)
    np.testing.assert_allclose(fn["column_sum"](np, x), x.sum(0, keepdims=True), rtol=1e-13)
    np.testing.assert_allclose(fn["channel_sum"](np, x), np.broadcast_to(x.sum((0, 1)), x.shape), rtol=1e-13)
    shown = [float(fn[name](np, x)) for name in ("rows", "columns", "fan_in", "fan_out")]
    assert shown == [2.0, 12.0, 6.0, 4.0]
    for q in (0.0, 0.25, 0.9, 1.0):
        expected = stats.mstats.mquantiles(x.ravel(), [q], alphap=1, betap=1)[0]
        assert fn["quantile"](np, x, np.float64(q)) == pytest.approx(expected, rel=1e-12)
    assert np.isnan(fn["quantile"](np, x, np.float64(1.1)))


# --- kinds ------------------------------------------------------------------------------------------------------------

RULE = """def train(w, g, q: LEFT, r: ROW, c: COLUMN, d: LEAF, s: SCALAR, lr, t):
    i = identity_left(g)
    q = initial(t, i, q)
    a = gram_left(g)
    q = interpolate(a, q, 0.5)
    p = matmul(q, g)
    g2 = square(g)
    r1 = row_sum(g2)
    c1 = column_sum(g2)
    r = interpolate(r1, r, 0.5)
    c = interpolate(c1, c, 0.5)
    rc = r + c
    n = norm(g)
    d = max(n, d)
    s = s + 0.5
    x = p + rc
    x = x * d
    x = x * s
    b = if_matrix(x, g)
    update = b * lr
    return update, q, r, c, d, s
"""


def test_values_of_every_kind_live_on():
    """A step of the reference and of the compiled form against plain NumPy, tensor by tensor."""
    layout = Layout(((4, 3), (3,), (2, 2, 2)))
    graph = check(parse(RULE, OPTIMIZER, LIBRARY), LIBRARY)
    rng = np.random.default_rng(0)
    state = zero_state(graph, layout)
    assert [np.size(x) for x in state] == [16, 4 + 3 + 2, 3 + 1 + 4, 3, 1]
    own: list[dict[str, Any]] = [{} for _ in layout.shapes]
    with jax.enable_x64(True):
        run, held = jax.jit(compile_step(graph, LIBRARY, layout)), tuple(map(jnp.asarray, state))
        for t in range(1, 4):
            g = rng.normal(size=layout.size)
            given = {"g": g, "lr": np.float64(0.1), "t": np.float64(t), "w": g}
            (update,), state = step(graph, LIBRARY, layout, given, state)
            (compiled,), held = run(given, held)
            expected = []
            for x, mine in zip(layout.split(g), own, strict=True):
                rest = tuple(range(1, x.ndim))
                mine["r"] = 0.5 * mine.get("r", 0.0) + 0.5 * (x**2).sum(rest, keepdims=True)
                mine["c"] = 0.5 * mine.get("c", 0.0) + 0.5 * (x**2).sum(0, keepdims=True)
                mine["d"] = max(mine.get("d", 0.0), np.linalg.norm(x))
                if x.ndim == 2:
                    mine["q"] = 0.5 * mine.get("q", np.eye(len(x))) + 0.5 * x @ x.T
                    x = (mine["q"] @ x + mine["r"] + mine["c"]) * mine["d"] * 0.5 * t
                expected.append(np.ravel(x) * 0.1)
            np.testing.assert_allclose(update, np.concatenate(expected), rtol=1e-12)
            np.testing.assert_allclose(compiled, update, rtol=1e-12)
            for a, b in zip(state, held, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("line", ["x = g + q", "x = matmul(g, g)", "x = trace(g)", "q = g", "x = matmul(g, q)"])
def test_kinds_that_do_not_fit_are_refused(line):
    text = f"def train(g, q: LEFT):\n    {line}\n    update = g\n    return update, q"
    with pytest.raises(ProgramError, match=r"takes kinds|must be LEFT"):
        check(parse(text, OPTIMIZER, LIBRARY), LIBRARY)


def test_a_kind_lifts_by_broadcasting():
    layout = Layout(((2, 3), (2,)))
    np.testing.assert_array_equal(layout.index(ROW, TENSOR), [0, 0, 0, 1, 1, 1, 2, 3])
    np.testing.assert_array_equal(layout.index(COLUMN, TENSOR), [0, 1, 2, 0, 1, 2, 3, 3])
    np.testing.assert_array_equal(layout.index(LEAF, LEFT), [0, 0, 0, 0])
    np.testing.assert_array_equal(layout.index(LEAF, COLUMN), [0, 0, 0, 1])
    assert [layout.count(kind) for kind in (SCALAR, LEAF, ROW, COLUMN, TENSOR, LEFT, RIGHT)] == [1, 2, 4, 4, 8, 4, 9]


def test_inputs_of_the_tests_have_a_matrix_and_a_vector():
    assert {len(shape) for shape in LAYOUT.shapes} == {1, 2}
    assert "noise" in draw_inputs(0)[0]
