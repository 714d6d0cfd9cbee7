import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.profiles import baseline_target, performance_profile, profile_score, steps_to_target

NAN, INF = math.nan, math.inf
cost = st.one_of(st.integers(0, 40).map(float), st.sampled_from([INF, NAN]))
tables = st.integers(1, 5).flatmap(
    lambda tasks: st.dictionaries(st.sampled_from("abcd"), st.lists(cost, min_size=tasks, max_size=tasks), min_size=1)
)
factors = st.lists(st.integers(4, 64).map(lambda quarters: quarters / 4), min_size=1, max_size=6)


def share(costs, name, tau):
    """The definition, one task at a time, in exact numbers."""
    solved = 0
    for task, own in enumerate(costs[name]):
        known = [Fraction(other[task]) for other in costs.values() if math.isfinite(other[task])]
        solved += math.isfinite(own) and Fraction(own) <= Fraction(tau) * min(known)
    return solved / len(costs[name])


@given(tables, factors)
def test_a_profile_is_the_share_of_tasks_within_a_factor_of_the_best(costs, taus):
    found = performance_profile(costs, taus)
    assert list(found) == list(costs)
    for name in costs:
        np.testing.assert_allclose(found[name], [share(costs, name, tau) for tau in taus])


@given(tables)
def test_a_profile_rises_from_the_share_of_wins_to_the_share_solved(costs):
    costs = {name: np.add(row, 1.0) for name, row in costs.items()}  # nothing but 0 is within a factor of 0
    found = performance_profile(costs, [*np.geomspace(1, 1e6, 40), INF])
    for name, rho in found.items():
        assert np.all(np.diff(rho) >= 0)
        assert rho[0] == share(costs, name, 1)
        assert rho[-1] == np.isfinite(costs[name]).mean()


@given(tables, st.floats(1.5, 20))
def test_the_score_is_the_area_under_the_profile(costs, limit):
    points = np.geomspace(1, limit, 4_001)
    at = np.log(points)
    for name, score in profile_score(costs, limit).items():
        area = np.trapezoid(performance_profile(costs, points)[name], at) / (at[-1] - at[0])
        assert score == pytest.approx(area, abs=1e-3)
        assert 0 <= score <= 1


def test_scores_by_hand():
    costs = {"a": [10, 20, INF], "b": [20, 10, INF], "c": [INF, 10, INF]}
    assert profile_score(costs) == pytest.approx({"a": 0.5, "b": 0.5, "c": 1 / 3})
    assert profile_score({"alone": [3.0, 7.0]}) == {"alone": 1.0}


def test_what_is_no_table_of_costs_is_refused():
    for costs in ({}, {"a": []}, {"a": [1.0], "b": [1.0, 2.0]}, {"a": [[1.0]]}):
        with pytest.raises(ValueError, match="costs must be of one shape"):
            performance_profile(costs, [1.0])
    for taus in ([0.5], [NAN], 1.0):
        with pytest.raises(ValueError, match="factors must be"):
            performance_profile({"a": [1.0]}, taus)
    with pytest.raises(ValueError, match="costs must be >= 0"):
        profile_score({"a": [-1.0]})
    for limit in (1.0, INF, NAN):
        with pytest.raises(ValueError, match="limit must be a finite number above 1"):
            profile_score({"a": [1.0]}, limit)


def test_steps_to_target_by_hand():
    curves = [[3, 2, 1, 2], [3, NAN, 0.5, 0.5], [1, 1, 1, 1], [NAN, INF, INF, 5], [3, 1.5, 3, 1]]
    np.testing.assert_array_equal(steps_to_target(curves, [10, 20, 30, 40], 1.5), [30, 30, 10, INF, 20])
    np.testing.assert_array_equal(steps_to_target(np.zeros((2, 0)), [], 1.0), [INF, INF])


@given(
    st.lists(st.lists(st.one_of(st.floats(0, 10), st.just(NAN)), min_size=6, max_size=6), min_size=1, max_size=5),
    st.floats(0, 10),
    st.floats(0, 10),
)
def test_a_lower_target_takes_no_fewer_steps(curves, target, other):
    steps = np.arange(1, 7) * 100
    low, high = sorted((target, other))
    later, sooner = steps_to_target(curves, steps, low), steps_to_target(curves, steps, high)
    assert np.all(later >= sooner)
    for curve, found in zip(curves, sooner, strict=True):
        assert found == next((step for step, loss in zip(steps, curve, strict=True) if loss <= high), INF)


def test_curves_that_do_not_fit_are_refused():
    for curves, steps in (([1.0], [1]), ([[1.0, 2.0]], [1]), ([[1.0, 2.0]], [2, 1]), ([[1.0, 2.0]], [1, 1])):
        with pytest.raises(ValueError, match="curves must be"):
            steps_to_target(curves, steps, 1.0)
    for target in (INF, NAN):
        with pytest.raises(ValueError, match="a target must be finite"):
            steps_to_target([[1.0]], [1], target)


def test_the_target_is_the_median_over_baselines_of_the_median_over_seeds():
    curves = {
        "adamw": [[3, 1, 2], [3, 2, 4], [9, 8, 7]],  # 1, 2, 7
        "sgd": [[5, 4], [NAN, INF], [6, 3]],  # 4, inf, 3
        "lion": [[1, 0.5], [1, 1.5], [2, 0.25]],  # 0.5, 1, 0.25
    }
    assert baseline_target(curves) == 2.0
    reached = [np.isfinite(steps_to_target(c, range(len(c[0])), 2.0)).mean() > 0.5 for c in curves.values()]
    assert reached == [True, False, True]  # half of the baselines reach it at least


def test_a_target_that_no_baseline_sets_is_refused():
    with pytest.raises(ValueError, match="a target needs baselines"):
        baseline_target({})
    with pytest.raises(ValueError, match="curves of adamw must be"):
        baseline_target({"adamw": [1.0]})
    with pytest.raises(ValueError, match="a target must be finite, got inf"):
        baseline_target({"adamw": [[1.0]], "sgd": [[NAN]]})
    assert baseline_target({"adamw": [[1.0]]}) == 1.0
