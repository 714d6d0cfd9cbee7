"""The domain of numeric functions: structures, fits, targets, bad input. The authority is mpmath."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numeric_programs import WIDE, graph, program, random_program, text_of

from archive.evaluation import Status
from discovery.settings import validate
from evaluators.forms import canonical_graph
from evaluators.numerics import DOMAIN, textbook
from evaluators.numerics import double_double as dd
from evaluators.numerics.fit import Code, least_squares, polished
from evaluators.numerics.float32 import UNIT, error32, rounded, sample32
from evaluators.numerics.formula import OPERATIONS, Formula
from evaluators.numerics.judge import Judge
from evaluators.numerics.minimax import exact_residuals, exact_slopes, extrema, minimax
from evaluators.numerics.options import Options
from evaluators.numerics.scaling import weights
from evaluators.numerics.structure import FUNCTION, program_of, read
from evaluators.numerics.targets import TARGETS, sample, target_of
from evaluators.numerics.verify import evaluate
from primitives.layout import Layout
from primitives.reference import step
from primitives.text import render

seeds = st.integers(0, 2**32 - 1)
EXP2 = target_of("exp2", None, None)


@pytest.fixture(scope="module")
def judge():
    return Judge(Options())


def key(lines: str) -> int | None:
    return DOMAIN.fingerprint(graph(lines))


# --- structures -------------------------------------------------------------------------------------------------------


@given(seeds)
@settings(max_examples=300)
def test_rewriting_keeps_the_function_and_adds_no_operation(seed):
    """Constants are fractions or mpmath numbers here, so nothing is lost but what mpmath's 50 digits lose."""
    canonical = canonical_graph(random_program(seed), DOMAIN)
    mp = mpmath.MPContext()
    mp.dps = 60
    formula = read(canonical, mp.mpf)
    if formula is None:
        return
    depends = set(range(len(canonical.inputs)))
    for place, node in enumerate(canonical.nodes, start=canonical.first_node):
        if depends & set(node.args):
            depends.add(place)
    assert formula.structure.operations <= len(depends) - len(canonical.inputs)
    for x in (0.17, 0.55, 0.93):
        before, after = evaluate(canonical, x)[-1], of_formula(formula, mp, x)
        if before is not None and after is not None and abs(before) < 1e20:
            scale = 1 + max((abs(v) for v in evaluate(canonical, x) if v is not None), default=0)
            assert abs(before - after) < 1e-25 * scale * max(1, abs(before))


def of_formula(formula, mp, x):
    values, left = [mp.mpf(x)], list(formula.constants)
    for op, args in formula.structure.nodes:
        operation = OPERATIONS[op]
        own = [left.pop(0) for _ in range(operation.constants)]
        a = [own[~i] if i < 0 else values[args[i]] for i in operation.pattern]
        if operation.primitive == "divide" and a[1] == 0:
            return None
        values.append(
            {
                "add": lambda a: a[0] + a[1],
                "subtract": lambda a: a[0] - a[1],
                "multiply": lambda a: a[0] * a[1],
                "divide": lambda a: a[0] / a[1],
                "sqrt": lambda a: mp.sqrt(abs(a[0])),
                "fma": lambda a: a[0] * a[1] + a[2],
            }[operation.primitive](a)
        )
    return values[-1]


@given(seeds)
@settings(max_examples=200)
def test_a_structure_as_a_program_is_that_structure(seed):
    formula = read(canonical_graph(random_program(seed), DOMAIN))
    if formula is None or not all(map(np.isfinite, formula.constants)):
        return
    # constants of their own: equal ones, or 0 and 1, would be rewritten away
    other = tuple(1.5 + 0.37 * i for i in range(formula.structure.slots))
    again = read(canonical_graph(program_of(Formula(formula.structure, other), FUNCTION), DOMAIN))
    assert again is not None
    assert again.structure.operations <= formula.structure.operations


def test_what_is_read_is_read_as_itself_again():
    """Rewriting has come to its end: of thousands of programs one or two end in a circle of signs, of these none."""
    for seed in range(300):
        formula = read(canonical_graph(random_program(seed), DOMAIN))
        if formula is not None and all(map(np.isfinite, formula.constants)):
            other = tuple(1.5 + 0.37 * i for i in range(formula.structure.slots))
            again = read(canonical_graph(program_of(Formula(formula.structure, other), FUNCTION), DOMAIN))
            assert again is not None
            assert again.structure == formula.structure


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("y = x + 2.0", "y = 0.5 + x"),
        ("y = x - 2.0", "y = x + 7.0"),
        ("y = x / 3.0", "y = 0.2 * x"),
        ("a = x + 1.0; y = a + 2.0", "y = x + 9.0"),
        ("a = x * 3.0; y = a + 2.0", "a = x - 5.0; y = a * 7.0"),
        ("c = 1.0 + 2.5; d = c * c; y = x + d", "y = x + 1.0"),
        ("a = 3.0 * x; b = 2.0 * x; y = a + b", "y = 4.0 * x"),
        ("y = x + x", "y = 4.0 * x"),
        ("a = x * x; y = a + x", "a = x + 3.0; y = a * x"),
        ("a = 2.0 - x; y = a * a", "a = x + 3.0; y = a * a"),
        ("a = 3.0 / x; y = 1.0 - a", "a = 2.0 / x; y = a + 5.0"),
        ("a = 2.0 * x; y = a * a", "a = x * x; y = 5.0 * a"),
        ("a = x - x; y = x + a", "y = x + 3.0"),
        ("a = x / x; y = x * a", "y = x * 3.0"),
        ("a = x + 2.0; y = a / x", "a = 2.0 / x; y = a + 1.0"),
        ("a = x - 2.0; b = 3.0 - x; y = a / b", "a = x - 5.0; b = 2.0 / a; y = 3.0 - b"),
        ("a = 3.0 + x; b = x / a; y = b - 5.0", "a = x - 5.0; b = 2.0 / a; y = 3.0 - b"),
        ("a = 3.0 + x; b = x / a; y = 2.0 / b", "a = 2.0 / x; y = a + 1.0"),
        ("a = x * x; b = a + x; y = b - 5.0", "a = x + 1.0; b = a * a; y = b + 3.0"),
        ("a = 2.0 - x; b = a * x; y = 5.0 - b", "a = x + 1.0; b = a * a; y = b + 3.0"),
        # a constant takes a sign, wherever the value goes
        (
            "a = 2.0 / x; b = a - x; c = 3.0 / b; d = c - b; y = d * d",
            "a = 2.0 / x; b = a + x; c = 3.0 / b; d = b + c; y = d * d",
        ),
        ("a = 2.0 / x; b = a - x; y = b * b", "a = 2.0 / x; b = a + x; y = b * b"),
        ("a = 2.0 - x; b = x * x; c = a * b; y = c / a", "a = 2.0 + x; b = x * x; c = a * b; y = c / a"),
        # the constant of a sum takes that of a term, whatever else needs the term
        ("a = 2.0 - x; b = x * x; c = a - b; y = c + 1.0", "a = x + 2.0; b = x * x; c = a + b; y = 1.0 - c"),
        ("a = x + 2.0; b = 3.0 / a; c = a + b; y = c + 1.0", "a = x + 2.0; b = 3.0 / a; c = x + b; y = c + 1.0"),
    ],
)
def test_programs_that_are_equal_up_to_constants_share_a_key(one, other):
    assert key(one) == key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("y = x + 2.0", "y = x * 2.0"),
        ("a = x + 1.0; y = a * a", "a = x + 1.0; b = x + 2.0; y = a * b"),
        ("y = 2.0 - x", "y = x - 2.0"),
        ("y = x * x", "y = x + 1.0"),
        ("a = x * x; y = 1.0 / a", "a = x * x; y = a + 1.0"),
    ],
)
def test_programs_of_other_functions_have_other_keys(one, other):
    assert key(one) != key(other)


def test_operations_on_constants_alone_are_free():
    assert DOMAIN.static_descriptors(graph("a = 1.5 * 2.0; b = a + 3.0; y = x * b"))["operations"] == 1


def test_repeated_squaring_takes_no_exponential_time():
    assert DOMAIN.static_descriptors(graph("; ".join(["x = x * x"] * 60) + "; y = x + 1.0"))["operations"] == 61


@pytest.mark.parametrize(
    "lines", ["y = 2.0", "a = x - x; y = a + 1.0", "a = x / x; y = a * 3.0", "a = 1.0 / 0.0; y = x + a"]
)
def test_what_does_not_depend_on_x_is_refused(lines):
    assert "must depend on x" in (DOMAIN.refuse(graph(lines)) or "")


# --- arithmetic -------------------------------------------------------------------------------------------------------

numbers = st.floats(1e-8, 1e8) | st.floats(-1e8, -1e-8)


@given(numbers, numbers, st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_double_double_keeps_31_digits(a, b, low_a, low_b):
    x, y = (a, low_a * np.spacing(a)), (b, low_b * np.spacing(b))
    exact = [Fraction(p[0]) + Fraction(p[1]) for p in (x, y)]
    pair = [(np.array([p[0]]), np.array([p[1]])) for p in (x, y)]
    for operation, wanted in (
        (dd.multiply, exact[0] * exact[1]),
        (dd.divide, exact[0] / exact[1]),
        (dd.add, exact[0] + exact[1]),
        (dd.subtract, exact[0] - exact[1]),
    ):
        high, low = operation(*pair)
        found = Fraction(float(high[0])) + Fraction(float(low[0]))
        scale = max(
            abs(wanted),
            (abs(exact[0]) + abs(exact[1])) * Fraction(1, 10**4) if operation in (dd.add, dd.subtract) else 0,
        )
        assert abs(found - wanted) <= scale * Fraction(1, 10**27)
    high, low = dd.sqrt(pair[0])
    mp = mpmath.MPContext()
    mp.dps = 50
    root = mp.sqrt(abs(mp.mpf(x[0]) + mp.mpf(x[1])))
    assert abs(mp.mpf(float(high[0])) + mp.mpf(float(low[0])) - root) <= root * mp.mpf(10) ** -30


# --- fits -------------------------------------------------------------------------------------------------------------


@given(seeds)
@example(15227)
@example(758)  # a negative number under a root
@example(13297664)  # a divisor that vanishes at an end
@settings(max_examples=100)
def test_values_are_those_of_the_reference_and_the_jacobian_that_of_differences(seed):
    canonical = canonical_graph(random_program(seed, steps=16), DOMAIN)
    formula = read(canonical)
    if formula is None or not formula.structure.slots:
        return
    code, data = Code(formula.structure), sample(EXP2, 12)
    constants = np.array([1.3 + 0.31 * i for i in range(code.slots)])
    with np.errstate(all="ignore"):
        residuals, jacobian = code.residuals(constants[None], data)
        if not np.isfinite(residuals).all() or np.abs(residuals).max() > 1e6:
            return
        exact = exact_residuals(formula.structure, (constants, np.zeros_like(constants)), data)
        if not np.isfinite(exact).all():
            return  # a divisor vanishes at a point: float64 goes on by way of infinity, which two floats can't sum to
        np.testing.assert_allclose(residuals[0], exact, rtol=1e-6, atol=1e-6)
        fitted = program_of(Formula(formula.structure, tuple(constants.tolist())), FUNCTION)
        (y,), _ = step(canonical_graph(fitted, DOMAIN), DOMAIN.vocabulary, Layout(((12,),)), {"x": data.x}, ())
        np.testing.assert_allclose((y - data.f) * data.w, residuals[0], rtol=1e-6, atol=1e-6)
        # of values in double-double arithmetic: what cancels between large ones would drown in float64
        moved = [(constants + shift, np.zeros_like(constants)) for shift in 1e-7 * np.eye(code.slots)]
        slopes = np.array([exact_residuals(formula.structure, one, data) - exact for one in moved]) / 1e-7
        high, _ = exact_slopes(formula.structure, (constants, np.zeros_like(constants)), data, np.arange(12))
    if np.abs(jacobian).max() < 1e3:
        np.testing.assert_allclose(jacobian[0], slopes, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(high.T, jacobian[0], rtol=1e-6, atol=1e-6)


@given(seeds, st.sampled_from([0.5, 2.0, 3.0]))
def test_constants_undo_a_scale_of_x(seed, s):
    """f(x / s; c) = f(x; s^e c), where there are such powers e at all."""
    formula = read(canonical_graph(random_program(seed), DOMAIN))
    powers = None if formula is None else weights(formula.structure)
    if formula is None or powers is None:
        return
    code, x = Code(formula.structure), np.linspace(0.1, 1.0, 9)
    constants = np.array([[1.3 + 0.31 * i for i in range(code.slots)]])
    with np.errstate(all="ignore"):
        values = code.values(constants, x / s)
        found = np.broadcast_to(code.values(constants * s**powers, x)[-1], (1, 9))
    largest = max(float(np.abs(value).max()) for value in values)  # what cancels drowns in float64
    if np.isfinite(largest):
        np.testing.assert_allclose(found, np.broadcast_to(values[-1], (1, 9)), rtol=1e-6, atol=1e-9 * largest)


def test_a_power_of_a_good_approximation_needs_other_constants_and_finds_them(judge):
    """Beyond float64: with these of 2^x to 1.4e-13 its square is a bad start, and level at the end as Remez says."""
    lines = (
        "a = 1445.9777929622621 / x; a = x + a; b = 3786.0847393163845 / a; b = a + b; b = b - 125.28442872495164; "
        "b = 250.56885758800766 / b; b = b + 0.9999999999999649; b = b * b; b = b * b; y = b * b"
    )
    found = judge.evaluate(graph(lines), 0)
    assert found.program is not None
    mp = mpmath.MPContext()
    mp.dps = 50
    formula, data = read(canonical_graph(render(found.program, WIDE), DOMAIN), mp.mpf), sample(EXP2, 400)
    residuals = exact_residuals(formula.structure, dd.pairs(list(formula.constants)), data)
    heights = np.abs(residuals[extrema(residuals, formula.structure.slots + 1)])
    assert heights.max() == np.abs(residuals).max() == pytest.approx(2.19e-15, rel=1e-2, abs=0.0)
    assert heights.min() > 0.99 * heights.max()


def fitted(lines: str, target, seed: int = 0) -> float:
    formula = read(graph(lines))
    code, nodes, grid = Code(formula.structure), sample(target, 40), sample(target, 400)
    with np.errstate(all="ignore"):
        starts = np.random.default_rng(seed).normal(size=(64, code.slots))
        found, cost = least_squares(code, starts, nodes, 60)
        best = [polished(code, found[i], nodes, 200) for i in np.argsort(cost)[:8]]
        return min(minimax(formula.structure, code, one, grid, 40).error for one in best)


HORNER = "y = x * 0.1; y = y + 0.2; y = y * x; y = y + 0.3; y = y * x; y = y + 0.4; y = y * x; y = y + 0.5"


def test_the_fit_finds_chebyshevs_minimum():
    """x^5 less its best polynomial of degree 4 on [0, 1] is T_5(2 x - 1) / 2^9 (Chebyshev 1854)."""
    target = target_of("numeric_programs:fifth_power", "[0, 1]", "absolute")
    assert fitted(HORNER, target) == pytest.approx(2.0**-9, rel=1e-3)


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ("y = x * 0.9; y = y + 1.0", 2.98e-2),
        ("y = x * 0.1; y = y + 0.2; y = y * x; y = y + 0.3", 1.73e-3),
        ("y = x + 3.0; y = 8.0 / y; y = y + 1.0", 8.67e-4),
        ("y = x - 6.0; y = 8.0 / y; y = y + 1.0; y = y * y", 2.17e-4),
        ("y = x - 0.5; y = 25.0 / y; y = y + x; y = y - 9.0; y = 24.0 / y; y = y + 1.4", 4.34e-7),
    ],
)
def test_fits_are_the_best_approximations_of_the_literature(lines, error):
    assert fitted(lines, EXP2) == pytest.approx(error, rel=5e-3, abs=0.0)


@pytest.mark.parametrize(
    ("operations", "error"),
    [
        (2, 2.98e-2),
        (3, 8.67e-4),
        (4, 2.17e-4),
        (5, 2.50e-5),
        (6, 4.34e-7),
        (8, 1.70e-9),
        (9, 9.31e-11),
        (10, 1.45e-12),
        (12, 3.55e-16),
        (14, 8.67e-20),
    ],
)
def test_textbook_forms_have_the_errors_that_40_digits_gave(operations, error):
    """Figures of a Remez exchange in mpmath with 40 digits, apart from this code."""
    assert textbook.best(EXP2, operations).error == pytest.approx(error, rel=5e-3, abs=0.0)


@pytest.mark.parametrize(("operations", "squarings"), [(15, 3), (16, 4), (17, 5)])
def test_textbook_forms_beyond_float64_have_the_asymptotic_error(operations, squarings):
    """n! n! r^(2n+1) / (2^(2n) (2n)! (2n+1)!) for e^x on an interval of half-length r (Braess 1984), relative."""
    n, r = 4, math.log(2.0) / 2.0 / 2.0**squarings
    error = math.factorial(n) ** 2 * r ** (2 * n + 1) / 4.0**n / math.factorial(2 * n) / math.factorial(2 * n + 1)
    assert textbook.best(EXP2, operations).error == pytest.approx(2.0**squarings * error, rel=5e-3, abs=0.0)


def fractions(high, low):
    return [Fraction(h) + Fraction(e) for h, e in zip(high.tolist(), low.tolist(), strict=True)]


@given(seeds)
def test_linear_equations_are_solved_to_28_digits(seed):
    """What is left of each equation, exactly, beside the largest unknown."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 8))
    a, b = ((rng.normal(size=shape), 1e-17 * rng.normal(size=shape)) for shape in ((n, n), n))
    x = fractions(*dd.solve(a, b))
    for row, wanted in zip(zip(*a, strict=True), fractions(*b), strict=True):
        left = sum(factor * value for factor, value in zip(fractions(*row), x, strict=True)) - wanted
        assert abs(left) <= Fraction(1e-28) * n * max(map(abs, x))


# --- the judge --------------------------------------------------------------------------------------------------------


def test_a_judged_program_comes_back_with_constants_that_fit(judge):
    found = judge.evaluate(graph("y = x + 3.0; y = 2.0 / y; y = y + 1.0"), 0)
    assert found.status is Status.OK
    assert 10.0 ** found.descriptors["decade"] == pytest.approx(8.67e-4, rel=2e-3)
    assert found.program is not None
    again = judge.evaluate(canonical_graph(found.program, DOMAIN), 0)
    assert again.score == pytest.approx(found.score, abs=1e-3)
    assert found.tasks["exp2"].baseline_loss == pytest.approx(8.67e-4, rel=2e-3)


def test_an_evaluation_is_a_function_of_program_and_replicate(judge):
    one, two = (judge.evaluate(graph(HORNER), 3) for _ in range(2))
    assert (one.score, one.program, one.steps) == (two.score, two.program, two.steps)


def test_a_program_without_constants_is_judged_as_it_stands(judge):
    found = judge.evaluate(graph("y = x * x"), 0)
    assert found.status is Status.OK
    assert found.score == pytest.approx(-math.log10(3.0), abs=1e-6)  # error 1 at x = 0, the best constant's is 1 / 3
    assert found.program is not None


def test_a_hurdle_stops(judge):
    found = judge.evaluate(graph("y = x + 3.0"), 0, (100.0,))
    assert (found.status, found.stage, found.program) == (Status.HURDLED, 0, None)


def test_division_by_zero_at_every_start_is_a_status(judge):
    found = judge.evaluate(graph("a = x - x; b = 0.0 * a; y = x / b"), 0)
    assert found.status in (Status.DIVERGED, Status.OK)
    assert found.score is None or np.isfinite(found.score)


# --- float32 ----------------------------------------------------------------------------------------------------------


def test_errors_in_float32_are_those_of_brute_force():
    """Every float32 of a short interval; the reference in float64 is good to 1e-9 ULP."""
    target = target_of("exp2", "[0.5, 0.5001]", None)
    bits = np.arange(np.float32(0.5).view(np.int32), np.float32(0.5001).view(np.int32) + 1, dtype=np.int32)
    x = bits.view(np.float32)
    formula = read(graph("y = x + 0.943; y = y * 0.98"))
    constants = np.array(formula.constants)
    y = (x + np.float32(0.943)) * np.float32(0.98)
    wanted = np.exp2(x.astype(np.float64))
    worst = float((np.abs(y.astype(np.float64) - wanted) / np.spacing(wanted.astype(np.float32))).max())
    found = error32(Code(formula.structure), constants, sample32(target, 2_000)) / UNIT
    assert found == pytest.approx(worst, rel=0.02)


def test_neighbours_of_rounded_constants_are_tried():
    formula = read(graph("y = x + 3.0; y = 8.0 / y; y = y + 1.0"))
    code, data = Code(formula.structure), sample32(EXP2, 200)
    constants = np.array([-3.4070838, -8.2224717, -1.4142130])
    plain, climbed = rounded(code, constants, data, 0), rounded(code, constants, data, 3)
    assert climbed.error < plain.error
    assert np.array_equal(climbed.high, climbed.high.astype(np.float32))


def test_a_judge_in_float32_hands_back_float32_constants():
    found = Judge(validate(Options, {"arithmetic": "float32"})).evaluate(graph("y = x + 3.0; y = y * 2.0"), 0)
    assert found.status is Status.OK
    constants = [arg for s in found.program.statements for arg in s.args if isinstance(arg, float)]
    assert constants == [float(np.float32(c)) for c in constants]


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "interval", "metric", "message"),
    [
        ("exp22", None, None, "a target must be one of exp2, .*did you mean 'exp2'"),
        ("log2", "[-1, 1]", None, "must be real and finite, got none at"),
        ("exp2", "(0, inf)", None, "must be bounded"),
        ("exp2", "[1, 1]", None, "of positive length"),
        ("exp2", "from 0 to 1", None, "a range must be an interval"),
        ("sin", "[-1, 1]", None, "must not be zero for a relative error"),
        ("sin", "[0, 1]", None, "must not be zero for a relative error"),
        ("numeric_programs:that_raises", "[0, 1]", None, "must be real and finite, got none at"),
        ("numeric_programs:with_pole", "[0, 1]", "absolute", "must be smooth, got a pole"),
        ("numeric_programs:fifth_power", None, None, "evaluation.interval must be given"),
        ("numeric_programs:NUMBER", "[0, 1]", None, "must be a function f\\(mp, x\\), got int"),
        ("no_such_module:f", "[0, 1]", None, "must be importable"),
    ],
)
def test_a_wrong_target_is_told_in_one_line(target, interval, metric, message):
    with pytest.raises(ValueError, match=message):
        target_of(target, interval, metric)


def test_a_precision_that_float64_cannot_show_is_refused():
    stages = [{"name": "quick", "starts": 4, "steps": 4}]
    with pytest.raises(ValueError, match=r"digits must be at most the 15 that float64 shows, got 20"):
        validate(Options, {"digits": 20.0, "stages": stages})
    assert validate(Options, {"digits": 15.0, "stages": stages}).digits == 15.0
    with pytest.raises(ValueError, match="at most the 30 that double-double arithmetic shows"):
        validate(Options, {"digits": 40.0})


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_can_be_tried_and_has_textbook_forms(name):
    target = target_of(name, None, None)
    assert len(textbook.forms(target)) > 10
    assert textbook.best(target, 12).error < textbook.best(target, 4).error


@pytest.mark.parametrize(
    ("name", "form", "operations"),
    [("line", "polynomial of degree 1", 2), ("reciprocal", "continued fraction (0, 1)", 2)],
)
def test_a_textbook_form_may_be_exact(name, form, operations):
    target = target_of(f"numeric_programs:{name}", "[0, 1]", None)
    assert textbook.best(target, operations) == (operations, form, textbook.EXACT)
    assert textbook.best(target, 0).name == "constant"


def test_the_best_constant_is_the_baseline_of_no_operations():
    """Between 1 and 2 it is 4 / 3, and errs by a third of either."""
    assert textbook.best(EXP2, 0).error == pytest.approx(1.0 / 3.0, rel=1e-6)


def test_a_multiple_of_x_is_one_operation():
    """Between 1 and sin(a) / a the best factor errs by (1 - s) / (1 + s)."""
    end = math.pi / 4.0
    s = math.sin(end) / end
    assert textbook.best(target_of("sin", None, None), 1).error == pytest.approx((1.0 - s) / (1.0 + s), rel=1e-4)


def test_absolute_errors_are_measured_by_the_size_of_the_target():
    options = {"target": "numeric_programs:large", "interval": "[0, 1]", "error": "absolute"}
    found = Judge(validate(Options, options)).evaluate(graph("y = x * 2.0; y = y + 1.0"), 0)
    assert found.status is Status.OK
    assert 10.0 ** found.descriptors["decade"] == pytest.approx(1.06e8, rel=5e-3)


def test_programs_of_other_domains_are_refused():
    from primitives.program import ProgramError

    with pytest.raises(ProgramError, match="must be in the vocabulary"):
        program("y = sin(x)")
    assert text_of("y = x") == DOMAIN.programs["identity"]
