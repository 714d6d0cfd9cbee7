"""Verification of approximations against brute force, and poles that no grid shows."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numeric_programs import graph, random_program

from evaluators.forms import canonical_graph
from evaluators.numerics import DOMAIN
from evaluators.numerics.targets import Target, target_of
from evaluators.numerics.verify import find_poles, suspicious, verify
from primitives.card import Interval
from primitives.layout import Layout
from primitives.reference import values

EXP2 = target_of("exp2", None, None)


def brute_force(canonical, target, points=200_000) -> float:
    """The largest error on a dense grid in float64."""
    low, high = target.ends
    x = np.linspace(low, high, points)
    found, _, _ = values(canonical, DOMAIN.vocabulary, Layout(((points,),)), {"x": x}, ())
    wanted = np.exp2(x)
    error = np.abs(found[canonical.outputs[0]] - wanted)
    return float((error / wanted if target.metric == "relative" else error).max())


@pytest.mark.parametrize("metric", ["relative", "absolute"])
@pytest.mark.parametrize(
    "lines",
    [
        "y = x",
        "y = x + 0.9643986443829047",
        "y = x * x; y = y + 1.0",
        "y = x - 3.4070838415868785; y = -8.222471701335255 / y; y = y - 1.4142130311351908",
        "y = 25.552830947430518 / x; y = y + x; y = y - 8.837794557011243; y = 17.714959504141284 / y; y = y + 0.99999",
        "y = x * 1e-9; y = y + 2.0",
    ],
)
def test_the_largest_error_is_that_of_brute_force(lines, metric):
    target = target_of("exp2", None, metric)
    found = verify(graph(lines), target)
    wanted = brute_force(graph(lines), target)
    assert found.error == pytest.approx(wanted, rel=1e-6, abs=0.0)
    assert found.error >= wanted * (1 - 1e-9)
    assert found.poles == ()
    assert metric in str(found)
    assert "(0, 1]" in str(found)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_no_random_program_errs_by_more_than_was_verified(seed):
    canonical = canonical_graph(random_program(seed, steps=14), DOMAIN)
    if not canonical.inputs:
        return
    found = verify(canonical, EXP2, points=200)
    if found.poles or found.error > 1e6:
        return
    with np.errstate(all="ignore"):
        wanted = brute_force(canonical, EXP2, 5_000)
    if np.isfinite(wanted):
        assert wanted <= found.error * 1.01 + 1e-9


@pytest.mark.parametrize(
    ("lines", "pole"),
    [
        ("a = x - 0.3; y = 1.0 / a", 0.3),
        ("a = x - 0.3; y = 1e-30 / a; y = y + 1.4", 0.3),  # no grid comes near enough to see it
        ("a = x - 0.7; a = a * a; y = x / a", 0.7),  # the divisor keeps its sign
        ("a = x - 1.0; y = 1.0 / a", 1.0),  # at the end
        ("a = 1e-13 / x; y = x + 1.0; y = y + a", 0.0),  # at the end that is no part of the interval
        ("a = x - 1e-10; a = 1e-13 / a; y = x + 1.0; y = y + a", 1e-10),  # and nearer to it than any point
        ("a = x - 0.25; b = x - 0.2500000001; y = a / b", 0.2500000001),  # a pole beside a zero
        ("a = x - 0.3; y = 1e-60 / a; y = y + 1.4", 0.3),  # nor does any point near it
        ("a = x - 0.5; b = 1.0 / a; c = b + 1.0; y = b / c", 0.5),  # infinity over infinity: code has no value there
        ("a = x - 0.5; b = a / a; c = x - 0.6; d = c / c; y = b / c; y = y + d", 0.6),
    ],
)
def test_poles_are_found_and_not_stepped_over(lines, pole):
    found = verify(graph(lines), EXP2)
    assert found.error == float("inf")
    assert any(abs(x - pole) < 1e-9 for x in found.poles)
    assert "pole" in str(found)


def test_a_divisor_that_vanishes_harmlessly_is_a_hole():
    found = verify(
        graph("v = x - 0.5; v = 25.04 / v; v = v + x; v = v - 9.178; v = 24.5455 / v; y = v + 1.41421356"), EXP2
    )
    assert found.poles == ()
    assert found.holes == (0.5,)
    assert found.error < 1e-5


@given(st.floats(0.01, 0.99))
@settings(max_examples=20)
def test_a_spike_between_two_points_of_the_grid_is_seen(place):
    found = verify(graph(f"a = x - {place!r}; a = a * a; a = a + 1e-14; b = 1e-12 / a; y = b + 1.4"), EXP2)
    assert found.error == pytest.approx((101.4 - 2.0**place) / 2.0**place, rel=1e-6)
    assert found.at == pytest.approx(place, abs=1e-9)


def test_what_has_a_limit_at_an_open_end_needs_no_value_there():
    """Infinity less infinity at 0, where 1 / (1 / x^2 - 1 / x) goes to 0; it does so no more where 0 belongs to it."""
    lines = "a = 1.0 / x; b = a * a; c = b - a; d = 1.0 / c; y = d + 1.4"
    found = verify(graph(lines), target_of("exp2", "(0, 0.5]", None))
    assert (found.poles, found.holes) == ((), ())
    assert found.error == pytest.approx(0.4, rel=1e-6)
    assert verify(graph(lines), target_of("exp2", "[0, 0.5]", None)).poles == (0.0,)


def test_an_open_end_is_looked_at_from_nearer_and_nearer():
    """A relative error that has no bound where the target goes to 0."""
    sine = target_of("sin", None, None)
    assert verify(graph("y = 0.98 * x; y = y + 1e-12"), sine).error > 1e20
    assert verify(graph("y = 0.98 * x"), sine).error < 0.1


@given(st.floats(0.001, 0.999), st.floats(-2.0, 2.0).filter(lambda c: abs(c) > 1e-3))
def test_a_zero_of_a_divisor_is_within_a_suspicious_piece(zero, factor):
    canonical = graph(f"a = x - {zero!r}; b = x + 3.0; a = a * b; a = {factor!r} * a; y = 1.0 / a")
    assert any(low <= zero <= high for low, high in suspicious(canonical, EXP2))
    poles, holes = find_poles(canonical, EXP2)
    assert [abs(float(x) - zero) < 1e-9 for x in poles] == [True]
    assert holes == []


def test_what_keeps_away_from_zero_is_not_suspicious():
    assert suspicious(graph("a = x + 1e-3; y = 1.0 / a"), EXP2) == []
    assert suspicious(graph("a = x * x; b = a + 0.01; y = 1.0 / b"), EXP2) == []


def test_verification_leaves_the_precision_of_others_alone():
    before = mpmath.mp.dps
    verify(graph("y = x + 1.0"), EXP2)
    assert mpmath.mp.dps == before


def test_a_function_may_be_verified_against_itself():
    target = Target("line", lambda mp, x: 1 + 2 * x, Interval.parse("[0, 1]"), "relative")
    assert verify(graph("y = 2.0 * x; y = y + 1.0"), target).error == 0.0
