"""The 45 functions: their meanings against mpmath, optax and torch, and NumPy and JAX against each other."""

import math
import pickle
import warnings
from itertools import product

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import optax
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.emit.loops import Dialect
from primitives.graph import check
from primitives.kinds import LEAF, SCALAR, TENSOR, Kind
from primitives.ops import HERO, LIBRARY
from primitives.ops.matrices import AXES, MATRICES
from primitives.primitive import Primitive, Scope, Vocabulary
from primitives.program import OPTIMIZER, Program, ProgramError, Statement

NAMES = (
    "add subtract multiply guarded_divide max min get_pi get_e get_eps abs cos sin tan arcsin arccos arctan sinh cosh "
    "tanh arcsinh arccosh arctanh exp exp2 exp10 expm1 log log10 log2 log1p square sqrt cube cbrt sign reciprocal "
    "invert negative norm global_norm dot cosine_sim clip_by_global_norm interpolate power"
)
EXECUTABLE = [p for p in LIBRARY.values() if p.executable and p not in (*AXES, *MATRICES)]
"""All but those that want tensors of several axes (`test_primitives_matrices.py`)."""
ELEMENTWISE = [p for p in EXECUTABLE if p.scope is Scope.ELEMENT and p.arity]
UNARY = [p for p in ELEMENTWISE if p.arity == 1]
MODELS = [p for p in EXECUTABLE if p.scope is not Scope.ELEMENT]
SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, -1e-8, 1e200, -1e200, math.inf, -math.inf, math.nan)

NONE = mpmath.mpf("nan")


def power(x, y):
    if x == 0:
        return mpmath.inf if y < 0 else mpmath.mpf(y == 0)
    return mpmath.power(x, y) if x > 0 or y == int(y) else NONE


MEANINGS = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "guarded_divide": lambda x, y: x / (y + mpmath.mpf("1e-8")),
    "divide": lambda x, y: x / y if y else x * mpmath.inf if x else NONE,
    "where": lambda c, x, y: x if c > 0 else y,
    "remainder": lambda x, y: x - y * mpmath.floor(x / y) if y else NONE,
    "initial": lambda t, x, y: x if t < 1.5 else y,
    "max": max,
    "min": min,
    "abs": abs,
    "cos": mpmath.cos,
    "sin": mpmath.sin,
    "tan": mpmath.tan,
    "arcsin": lambda x: mpmath.asin(x) if abs(x) <= 1 else NONE,
    "arccos": lambda x: mpmath.acos(x) if abs(x) <= 1 else NONE,
    "arctan": mpmath.atan,
    "sinh": mpmath.sinh,
    "cosh": mpmath.cosh,
    "tanh": mpmath.tanh,
    "arcsinh": mpmath.asinh,
    "arccosh": lambda x: mpmath.acosh(x) if x >= 1 else NONE,
    "arctanh": lambda x: mpmath.atanh(x) if abs(x) < 1 else NONE if abs(x) > 1 else mpmath.inf * x,
    "exp": mpmath.exp,
    "exp2": lambda x: mpmath.power(2, x),
    "exp10": lambda x: mpmath.power(10, x),
    "expm1": mpmath.expm1,
    "log": lambda x: mpmath.log(abs(x)) if x else -mpmath.inf,
    "log10": lambda x: mpmath.log10(abs(x)) if x else -mpmath.inf,
    "log2": lambda x: mpmath.log(abs(x), 2) if x else -mpmath.inf,
    "log1p": lambda x: mpmath.log(abs(1 + x)) if x != -1 else -mpmath.inf,
    "square": lambda x: x * x,
    "sqrt": lambda x: mpmath.sqrt(abs(x)),
    "cube": lambda x: x**3,
    "cbrt": lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)),
    "sign": mpmath.sign,
    "reciprocal": lambda x: 1 / x if x else mpmath.inf,
    "negative": lambda x: -x,
    "interpolate": lambda x, y, a: (1 - a) * x + a * y,
    "power": power,
}


def ids(primitives):
    return [p.name for p in primitives]


def call(primitive: Primitive, xp, *args):
    with np.errstate(all="ignore"):
        return primitive.fn(xp, *args)


def template(primitive: Primitive, xp, *args):
    """The value of the source template."""
    source = primitive.python.format(*(f"x{i}" for i in range(len(args))), xp="xp")
    with np.errstate(all="ignore"):
        return eval(source, {"xp": xp, **{f"x{i}": arg for i, arg in enumerate(args)}})


def points(scale: float = 30.0) -> np.ndarray:
    """Values of either sign from 1e-12 to `scale`, and where functions begin, end or bend."""
    rng = np.random.default_rng(0)
    sizes = np.concatenate([10.0 ** rng.uniform(-12, 0, 60), rng.uniform(0, 3, 60), rng.uniform(0, scale, 40)])
    return np.concatenate([sizes, -sizes, [0.0, 1.0, -1.0, 0.5, 2.0]])


def arguments(primitive: Primitive, scale: float = 30.0) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [points(scale), *(rng.permutation(points(scale)) for _ in range(primitive.arity - 1))][: primitive.arity]


def edges(primitive: Primitive) -> np.ndarray:
    """Combinations of special values, one a row."""
    values = SPECIAL if primitive.arity < 3 else (0.0, -0.0, 1.0, -0.5, math.inf, math.nan)
    return np.array(list(product(values, repeat=primitive.arity)))


def same_zero_aside(x, y) -> bool:
    """Equal bit by bit, all zeros and all NaN alike."""
    return np.array_equal(np.asarray(x), np.asarray(y), equal_nan=True)


class TestVocabulary:
    def test_the_45_functions(self):
        assert " ".join(HERO) == NAMES
        assert len(HERO) == 45
        assert [p.name for p in HERO.values() if not p.executable] == ["invert"]
        assert set(HERO.spellings()) - set(HERO) == {"interp", "clip"}
        assert HERO["interp"] is HERO["interpolate"]
        assert HERO["clip"] is HERO["clip_by_global_norm"]
        assert {p.infix: p.name for p in HERO.values() if p.infix} == {
            "+": "add",
            "-": "subtract",
            "*": "multiply",
            "/": "guarded_divide",
        }

    def test_survives_pickling(self):
        assert pickle.loads(pickle.dumps(HERO)) == HERO

    @pytest.mark.parametrize("primitive", LIBRARY.values(), ids=ids(LIBRARY.values()))
    def test_records_are_complete(self, primitive):
        assert primitive.doc
        assert primitive.cost > 0
        if not primitive.python:  # exports contain the function
            assert primitive.fn.__name__ == primitive.name
            return
        for position in range(primitive.arity):
            assert f"{{{position}}}" in primitive.python
        assert primitive.python.format(*"abc"[: primitive.arity], xp="np")

    def test_invert_is_known_and_refused(self):
        program = Program(OPTIMIZER.signature(("g",), ("update",)), (Statement("update", "invert", ("g",)),))
        with pytest.raises(ProgramError, match="'invert' is known by name and never executes: bitwise inversion"):
            check(program, HERO)
        with pytest.raises(TypeError):
            HERO["invert"].fn(np, np.float64(1.0))

    def test_names_are_unique(self):
        with pytest.raises(ValueError, match="must be unique, got 'add' twice"):
            Vocabulary((HERO["add"], HERO["add"]))
        with pytest.raises(ValueError, match="known primitives, got 'adds'"):
            HERO.restricted(["add", "adds"])

    def test_kinds(self):
        matrix = Kind("LEFT")
        for name, kinds, output in [
            ("add", (SCALAR, SCALAR), SCALAR),
            ("add", (LEAF, SCALAR), LEAF),
            ("multiply", (LEAF, TENSOR), TENSOR),
            ("square", (LEAF,), LEAF),
            ("get_pi", (), SCALAR),
            ("norm", (TENSOR,), LEAF),
            ("norm", (LEAF,), LEAF),
            ("norm", (SCALAR,), SCALAR),
            ("global_norm", (TENSOR,), SCALAR),
            ("global_norm", (LEAF,), SCALAR),
            ("dot", (LEAF, TENSOR), SCALAR),
            ("cosine_sim", (TENSOR, SCALAR), SCALAR),
            ("clip_by_global_norm", (LEAF, SCALAR), LEAF),
            ("clip_by_global_norm", (TENSOR, LEAF), None),
            ("interpolate", (SCALAR, TENSOR, SCALAR), TENSOR),
            ("interpolate", (TENSOR, TENSOR, TENSOR), None),
            ("power", (SCALAR, LEAF), LEAF),
            ("add", (matrix, matrix), matrix),
            ("add", (matrix, TENSOR), None),
            ("square", (matrix,), matrix),
        ]:
            assert HERO[name].output_kind(kinds) == output, (name, kinds)


class TestMeaning:
    @pytest.mark.parametrize("primitive", ELEMENTWISE, ids=ids(ELEMENTWISE))
    def test_elementwise_against_mpmath(self, primitive):
        args = arguments(primitive)
        got = call(primitive, np, *args)
        with mpmath.workdps(50):
            for row, value in zip(zip(*args, strict=True), got, strict=True):
                exact = MEANINGS[primitive.name](*(mpmath.mpf(float(x)) for x in row))
                if mpmath.isfinite(exact):
                    # a sum may cancel: what counts is the rounding of the largest intermediate value
                    scale = max([abs(exact), *(abs(x) for x in row if primitive.arity > 1)])
                    error = abs(mpmath.mpf(float(value)) - exact)
                    limit = 1e-6 if primitive.name == "guarded_divide" and abs(row[1]) < 1e-5 else 1e-14
                    assert error <= limit * scale, (row, value, exact)
                else:
                    assert str(float(value)) == str(float(exact)), (row, value, exact)

    def test_constants(self):
        assert [float(HERO[name].fn(np)) for name in ("get_pi", "get_e", "get_eps")] == [math.pi, math.e, 1e-8]

    @pytest.mark.parametrize("xp", [np, jnp])
    def test_square_and_cube_are_products_bit_for_bit(self, xp):
        with jax.enable_x64(True):
            x = xp.asarray(np.random.default_rng(0).normal(size=1000) * 10.0 ** np.arange(-100, 100, 0.2))
            assert (HERO["square"].fn(xp, x) == x * x).all()
            assert (HERO["square"].fn(xp, x) == HERO["multiply"].fn(xp, x, x)).all()
            assert (HERO["cube"].fn(xp, x) == HERO["multiply"].fn(xp, x * x, x)).all()

    @settings(max_examples=30)
    @given(st.lists(st.floats(-1e3, 1e3).map(lambda x: round(x, 12)), min_size=1, max_size=6), st.floats(1e-3, 1e3))
    def test_reductions_against_authorities(self, entries, limit):
        x, rng = np.array(entries), np.random.default_rng(len(entries))
        y = rng.normal(size=x.shape)
        for name in ("norm", "global_norm"):
            np.testing.assert_allclose(HERO[name].fn(np, x), np.linalg.norm(x), rtol=1e-14)
            np.testing.assert_allclose(HERO[name].fn(np, x[0]), abs(x[0]), rtol=1e-14, atol=1e-150)
        np.testing.assert_allclose(HERO["norm"].fn(np, np.outer(x, y)), np.linalg.norm(np.outer(x, y)), rtol=1e-13)
        np.testing.assert_allclose(HERO["dot"].fn(np, x, y), math.fsum(x * y), rtol=1e-12, atol=1e-10)
        cosine = torch.cosine_similarity(torch.tensor(x), torch.tensor(y), dim=0, eps=1e-30)
        np.testing.assert_allclose(HERO["cosine_sim"].fn(np, x, y), float(cosine), rtol=1e-12, atol=1e-14)
        with jax.enable_x64(True):
            clipped, _ = optax.clip_by_global_norm(limit).update(jnp.asarray(x), optax.EmptyState())
            np.testing.assert_allclose(
                HERO["clip"].fn(np, x, np.float64(limit)), np.asarray(clipped), rtol=1e-13, atol=1e-150
            )

    def test_clipping_leaves_what_is_small_alone(self):
        x = np.random.default_rng(0).normal(size=100)
        length = HERO["global_norm"].fn(np, x)
        for factor in (1.0, 1.5, np.inf):
            assert (HERO["clip"].fn(np, x, length * factor) == x).all()
        assert HERO["global_norm"].fn(np, HERO["clip"].fn(np, x, length * 0.3)) == pytest.approx(length * 0.3)

    @pytest.mark.parametrize("xp", [np, jnp])
    def test_a_state_of_zeros_gives_no_nan(self, xp):
        zero, g = xp.zeros(5), xp.arange(5.0)
        assert HERO["cosine_sim"].fn(xp, zero, g) == 0.0
        assert HERO["cosine_sim"].fn(xp, zero, zero) == 0.0
        for limit in (0.0, 0.1, -0.1):
            assert not HERO["clip"].fn(xp, zero, xp.asarray(limit)).any()
        assert not HERO["clip"].fn(xp, g, xp.asarray(0.0)).any()


class TestTotal:
    @pytest.mark.parametrize("primitive", EXECUTABLE, ids=ids(EXECUTABLE))
    def test_scalars_and_arrays_of_special_values_raise_and_warn_nothing(self, primitive):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for values in edges(primitive):
                result = call(primitive, np, *(np.float64(v) for v in values))
                assert np.ndim(result) == 0
                assert np.asarray(result).dtype == np.float64

    @pytest.mark.parametrize("primitive", EXECUTABLE, ids=ids(EXECUTABLE))
    def test_the_sign_of_a_zero_is_never_seen(self, primitive):
        for values in edges(primitive):
            flipped = np.where(values == 0.0, -values, values)
            assert same_zero_aside(call(primitive, np, *values), call(primitive, np, *flipped)), values
            for position in range(primitive.arity):
                one = values.copy()
                one[position] = flipped[position]
                assert same_zero_aside(call(primitive, np, *values), call(primitive, np, *one)), values

    @pytest.mark.parametrize("primitive", [p for p in EXECUTABLE if p.arity == 2], ids=lambda p: p.name)
    def test_commutative_means_bit_for_bit(self, primitive):
        rng = np.random.default_rng(0)
        pairs = np.concatenate([np.array(np.meshgrid(SPECIAL, SPECIAL)).reshape(2, -1).T, rng.normal(size=(200, 2))])
        x, y = pairs.T
        # a reduction sees all its entries at once: NaN would hide the rest
        rows = [(x[i : i + 4], y[i : i + 4]) for i in range(len(x))] if primitive.scope is Scope.MODEL else [(x, y)]
        equal = True
        for a, b in rows:
            forth, back = call(primitive, np, a, b), call(primitive, np, b, a) if primitive.inputs[1] is None else None
            equal = equal and back is not None and same_zero_aside(forth, back)
            if primitive.commutative and back is not None:
                numbers = ~np.isnan(forth)
                assert (np.signbit(forth) == np.signbit(back))[numbers].all()
        assert primitive.commutative == equal


class TestAgreement:
    """NumPy and JAX, float64; XLA flushes subnormal numbers to zero, so none are among the points."""

    @staticmethod
    @jax.jit
    def elementwise(args):
        return [p.fn(jnp, *a) for p, a in zip(ELEMENTWISE, args, strict=True)]

    def test_elementwise_to_rounding(self):
        sizes = 10.0 ** np.random.default_rng(2).uniform(-290, 290, (3, 400))
        signs = np.array([1, -1, 1])
        args = []
        for p in ELEMENTWISE:
            wide = (sizes.T * signs)[:, : p.arity]
            if p.name == "interpolate":  # a fused product does not overflow where NumPy's does
                wide = wide[np.abs(wide).max(axis=1) < 1e150]
            args.append(list(np.concatenate([np.array(arguments(p, 700)).T, edges(p), wide]).T))
        with jax.enable_x64(True):
            got = [np.asarray(x) for x in self.elementwise(args)]
        for primitive, a, x in zip(ELEMENTWISE, args, got, strict=True):
            expected = call(primitive, np, *a)
            assert x.dtype == np.float64
            # fused multiply-add rounds once where NumPy rounds twice: sums that cancel differ by the larger term
            largest = np.max(np.abs(a), axis=0) if primitive.arity > 1 else 0.0
            atol = 1e-15 * np.where(np.isfinite(largest), largest, 0.0) if primitive.name == "interpolate" else 1e-300
            same = (expected == x) | (np.isnan(expected) & np.isnan(x))
            with np.errstate(all="ignore"):
                close = np.abs(expected - x) <= 2e-13 * np.abs(expected) + atol
            wrong = ~(same | close)
            assert not wrong.any(), (primitive.name, [v[wrong][:3] for v in a], expected[wrong][:3], x[wrong][:3])

    def test_float32_statement_by_statement(self):
        args = [[a.astype(np.float32) for a in arguments(p, 10.0)] for p in ELEMENTWISE]
        for primitive, a, x in zip(ELEMENTWISE, args, self.elementwise(args), strict=True):
            assert x.dtype == jnp.float32
            expected = call(primitive, np, *(v.astype(np.float64) for v in a))
            usual = np.isfinite(expected) & (np.abs(expected) < 1e30)
            if primitive.name == "guarded_divide":  # where the divisor cancels against its guard
                usual &= np.abs(a[1]) > 1e-6
            largest = np.max(np.abs(np.array(a)), axis=0)[usual]
            error = np.abs(np.asarray(x, np.float64)[usual] - expected[usual])
            limit = 3e-5 * np.abs(expected[usual]) + 3e-7 * (largest if primitive.arity > 1 else 0.0) + 1e-37
            assert (error <= limit).all(), (primitive.name, error.max())

    @pytest.mark.parametrize("primitive", MODELS, ids=ids(MODELS))
    def test_reductions_to_rounding(self, primitive):
        rng = np.random.default_rng(3)
        for scale in (1e-10, 1.0, 1e10):
            args = [rng.normal(size=1000) * scale if k is None else np.float64(scale) for k in primitive.inputs]
            with jax.enable_x64(True):
                got = np.asarray(jax.jit(lambda *a: primitive.fn(jnp, *a))(*args))
            np.testing.assert_allclose(got, primitive.fn(np, *args), rtol=1e-11, atol=1e-12 * scale**2)

    @pytest.mark.parametrize("primitive", EXECUTABLE, ids=ids(EXECUTABLE))
    def test_types_are_kept(self, primitive):
        for x64 in (False, True):
            with jax.enable_x64(x64):
                args = [jnp.full(() if k is SCALAR else 3, 0.5, jnp.float32) for k in primitive.inputs]
                result = primitive.fn(jnp, *args)
                assert (result + jnp.float32(1.0)).dtype == jnp.float32


COMPOSED = {"tan", "arcsin", "arccos", "cbrt"}
"""Composed of faster functions: they agree with the direct ones of the template to a few units in the last place."""


def same_function(primitive, source, function):
    if primitive.name in COMPOSED:
        np.testing.assert_allclose(source, function, rtol=1e-14, atol=1e-300)
    else:
        assert same_zero_aside(source, function)


class TestTemplates:
    @pytest.mark.parametrize("primitive", EXECUTABLE, ids=ids(EXECUTABLE))
    def test_numpy_source_means_the_function(self, primitive):
        args = [
            a if k is None else np.float64(0.7) for a, k in zip(arguments(primitive), primitive.inputs, strict=True)
        ]
        same_function(primitive, template(primitive, np, *args), call(primitive, np, *args))

    @pytest.mark.parametrize("primitive", EXECUTABLE, ids=ids(EXECUTABLE))
    def test_jax_source_means_the_function(self, primitive):
        with jax.enable_x64(True):
            args = [
                jnp.asarray(a) if k is None else jnp.asarray(0.7)
                for a, k in zip(arguments(primitive), primitive.inputs, strict=True)
            ]
            same_function(primitive, template(primitive, jnp, *args), primitive.fn(jnp, *args))

    @pytest.mark.parametrize("primitive", ELEMENTWISE, ids=ids(ELEMENTWISE))
    def test_source_means_the_function_at_special_values(self, primitive):
        columns = list(edges(primitive).T)
        with np.errstate(all="ignore"):
            same_function(primitive, template(primitive, np, *columns), call(primitive, np, *columns))
        with jax.enable_x64(True):
            source = jax.jit(lambda *args: template(primitive, jnp, *args))(*columns)
            function = jax.jit(lambda *args: primitive.fn(jnp, *args))(*columns)
            same_function(primitive, source, function)

    @pytest.mark.parametrize("primitive", EXECUTABLE, ids=ids(EXECUTABLE))
    def test_torch_source_means_the_function(self, primitive):
        """But for the sign of NaN, which is 0 in PyTorch."""
        spelled = Dialect("torch", str, {}, str, str, "g", lambda like, value: like).template(primitive)
        columns = arguments(primitive)
        if primitive in ELEMENTWISE:
            columns = list(np.concatenate([np.array(columns), edges(primitive).T], axis=1))
        args = [c if k is None else np.float64(0.7) for c, k in zip(columns, primitive.inputs, strict=True)]
        source = spelled.format(*(f"x{i}" for i in range(len(args))), xp="torch")
        found = eval(source, {"torch": torch, **{f"x{i}": torch.tensor(arg) for i, arg in enumerate(args)}})
        expected = call(primitive, np, *args)
        if primitive.name in ("sign", "cbrt"):
            expected = np.where(np.isnan(expected), 0.0 if primitive.name == "sign" else np.nan, expected)
        np.testing.assert_allclose(np.asarray(found), expected, rtol=2e-13, atol=1e-300)

    @pytest.mark.parametrize("primitive", [p for p in EXECUTABLE if p.unguarded], ids=lambda p: p.name)
    def test_the_guard_does_nothing_where_it_is_left_out(self, primitive):
        guarded, bare = primitive.unguarded
        columns = list(np.concatenate([np.array(arguments(primitive)), edges(primitive).T], axis=1))
        columns[guarded] = np.abs(columns[guarded])
        source = bare.format(*(f"x{i}" for i in range(len(columns))), xp="np")
        with np.errstate(all="ignore"):
            found = eval(source, {"np": np, **{f"x{i}": arg for i, arg in enumerate(columns)}})
        assert same_zero_aside(found, call(primitive, np, *columns))


@pytest.mark.parametrize("shape", [(), (7,), (6, 4), (2, 3, 4)])
def test_quantiles_of_every_framework_are_those_of_numpy(shape):
    fn, x = LIBRARY["quantile"].fn, np.random.default_rng(0).normal(size=shape)
    for q in (0.0, 0.1, 0.5, 0.9, 1.0, -0.1, 1.5, math.nan):
        expected = np.quantile(x, q) if 0.0 <= q <= 1.0 else math.nan
        with jax.enable_x64(True):
            by_jax = jax.jit(lambda x, q: fn(jnp, x, q))(x, q)
        for found in (fn(np, x, np.float64(q)), by_jax, fn(torch, torch.as_tensor(x), q)):
            assert np.shape(found) == ()
            np.testing.assert_allclose(found, expected, rtol=1e-14)
    assert fn(torch, torch.ones(3, 2, dtype=torch.bfloat16), 0.9) == 1.0


def test_quantiles_of_large_tensors():
    """`torch.quantile` refuses more than 2^24 entries."""
    n = 2**24 + 3
    assert LIBRARY["quantile"].fn(torch, torch.arange(n, dtype=torch.float32), 0.5) == (n - 1) / 2


@pytest.mark.parametrize("xp", [np, jnp, torch])
def test_falling_sorts_the_diagonal(xp):
    fn, x = LIBRARY["falling"].fn, np.arange(16.0).reshape(4, 4)
    np.fill_diagonal(x, [2.0, 3.0, -1.0, 2.0])
    p = np.asarray(fn(xp, xp.asarray(x)))
    np.testing.assert_array_equal(p.argmax(0), [1, 0, 3, 2])  # what is equal stays in order
    np.testing.assert_array_equal(p.sum(0), 1.0)
    np.testing.assert_array_equal(np.diag(p.T @ x @ p), [3.0, 2.0, 2.0, -1.0])
    assert fn(xp, xp.zeros((0, 0))).shape == (0, 0)
