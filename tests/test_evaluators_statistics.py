import math
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy import stats

from evaluators.optimizers import judge
from evaluators.statistics import (
    CLIP,
    Difference,
    difference,
    holm,
    mean_difference,
    paired_scores,
    verdict,
)

anything = st.floats(allow_nan=True, allow_infinity=True)
pairs = st.lists(st.tuples(anything, anything), min_size=1, max_size=12)
scores = st.lists(st.floats(-2, 2), min_size=1, max_size=9)
levels = st.lists(st.floats(0, 1), max_size=8)


def test_the_clip_is_that_of_the_judge():
    assert CLIP == judge.CLIP


@given(st.floats(1e-100, 1e100), st.floats(1e-100, 1e100))
@example(0.0, 1.0)
@example(-1.0, 1.0)
def test_scores_are_those_of_the_judge(ours, theirs):
    assert paired_scores([ours], [theirs])[0] == pytest.approx(judge.task_score(ours, theirs), abs=1e-12)


def test_a_diverged_seed_loses_by_the_clip_and_two_are_level():
    nan, inf = math.nan, math.inf
    assert paired_scores([nan, inf, 1, 1, nan, inf], [1, 1, nan, inf, inf, inf]).tolist() == [-2, -2, 2, 2, 0, 0]
    assert paired_scores([0, -3, 1, 0, 0, inf], [1, 1, 0, 0, -2, 0]).tolist() == [2, 2, -2, 0, 0, -2]


@given(pairs)
@example([(1.0, 2.0), (math.inf, 1.0)])
def test_swapping_ours_and_theirs_mirrors_everything(losses):
    ours, theirs = np.array(losses).T
    one, other = mean_difference(ours, theirs, resamples=99), mean_difference(theirs, ours, resamples=99)
    assert all(math.isfinite(value) for value in (one.mean, one.low, one.high))
    assert 0 < one.p_value <= 1
    assert other.mean == pytest.approx(-one.mean, abs=1e-12)
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low), abs=1e-6)
    assert other.p_value == pytest.approx(one.p_value)


@given(pairs, st.floats(0.1, 10))
def test_a_common_factor_of_the_losses_changes_nothing(losses, factor):
    ours, theirs = np.clip(np.array(losses), 1e-3, 1e3).T
    np.testing.assert_allclose(paired_scores(ours, theirs), paired_scores(factor * ours, factor * theirs), atol=1e-9)


def test_the_interval_is_the_bca_of_scipy():
    d = np.random.default_rng(1).exponential(size=12) - 0.7
    found = difference(d, confidence=0.9, resamples=2_000, seed=3)
    theirs = stats.bootstrap(
        (d,), np.mean, confidence_level=0.9, n_resamples=2_000, method="BCa", rng=np.random.default_rng(3)
    ).confidence_interval
    assert (found.low, found.high) == (theirs.low, theirs.high)
    assert found == difference(d, confidence=0.9, resamples=2_000, seed=3)
    assert found != difference(d, confidence=0.9, resamples=2_000, seed=4)


def test_equal_scores_give_a_point_and_one_seed_gives_everything():
    assert difference([0.25] * 6) == Difference(0.25, 0.25, 0.25, 2 / 64, 6)
    assert difference([0.0] * 6).p_value == 1.0
    assert difference([0.25]) == Difference(0.25, -2.0, 2.0, 1.0, 1)


@given(scores)
@example([0.0, 7.296428466411494e-233])  # their squares underflow, and BCa is not defined
def test_the_p_value_counts_all_sign_flips(d):
    total = sum(map(abs, d))
    tolerance = 1e-12 * total
    far = [abs(math.fsum(s * x for s, x in zip(signs, d, strict=True))) for signs in product((1, -1), repeat=len(d))]
    # where a sum lies on the very edge of what counts as level, rounding decides
    assume(all(abs(value - (far[0] - tolerance)) > 1e-14 * total for value in far) or total == 0.0)
    share = sum(value >= far[0] - tolerance for value in far) / len(far)
    assert difference(d, resamples=256).p_value == pytest.approx(share)


@pytest.mark.parametrize("seeds", [8, 25])
def test_the_p_value_is_that_of_scipy(seeds):
    d = np.random.default_rng(seeds).normal(0.3, 1.0, seeds).clip(-2, 2)
    theirs = stats.permutation_test(
        (d,), np.mean, permutation_type="samples", vectorized=True, n_resamples=4_999, rng=np.random.default_rng(0)
    ).pvalue
    # all flips of 8 seeds are counted by both; of 25 both draw 4,999
    assert difference(d, resamples=4_999).p_value == pytest.approx(theirs, abs=1e-12 if seeds == 8 else 0.02)


def test_p_values_of_equals_are_uniform_or_above():
    rng = np.random.default_rng(0)
    p = np.array([difference(rng.normal(0, 0.1, 8), resamples=200).p_value for _ in range(500)])
    for alpha in (0.05, 0.1, 0.5):
        assert (p <= alpha).mean() <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / len(p))


@pytest.mark.parametrize(("seeds", "at_least"), [(5, 0.75), (10, 0.86), (30, 0.9)])
def test_the_interval_covers_the_mean_about_as_often_as_its_docstring_says(seeds, at_least):
    rng = np.random.default_rng(seeds)
    found = [difference(rng.normal(0.05, 0.1, seeds), resamples=499, seed=k) for k in range(400)]
    coverage = np.mean([one.low <= 0.05 <= one.high for one in found])
    assert at_least <= coverage <= 0.98


def test_what_is_no_pair_is_refused():
    for ours, theirs in (([1.0], [1.0, 2.0]), ([], []), ([[1.0]], [[1.0]])):
        with pytest.raises(ValueError, match="paired losses must be two equal shapes"):
            mean_difference(ours, theirs)
    with pytest.raises(ValueError, match="scores must be finite"):
        difference([math.nan])
    with pytest.raises(ValueError, match="confidence must be between 0 and 1, got 95"):
        mean_difference([1.0], [1.0], confidence=95)
    with pytest.raises(ValueError, match="resamples must be positive"):
        mean_difference([1.0], [1.0], resamples=0)


def rejected(p, alpha):
    """Holm's procedure in its own words: go up from the smallest until one fails."""
    found = set()
    for rank, index in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        if p[index] * (len(p) - rank) > alpha:
            break
        found.add(index)
    return found


@given(levels, st.floats(0.001, 0.999))
@example([0.01, 0.04, 0.03, 0.005], 0.05)
def test_adjusted_p_values_reject_what_holm_rejects(p, alpha):
    assert set(np.flatnonzero(holm(p) <= alpha)) == rejected(p, alpha)


@given(levels, st.randoms())
def test_holm_lies_between_the_p_values_and_bonferroni_and_keeps_their_order(p, random):
    adjusted = holm(p)
    assert np.all(adjusted >= p)
    assert np.all(adjusted <= np.minimum(1, len(p) * np.array(p)))
    assert np.all(np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0)
    shuffled = random.sample(range(len(p)), len(p))
    np.testing.assert_array_equal(holm(np.array(p)[shuffled]), adjusted[shuffled])


def test_holm_of_the_textbook():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    with pytest.raises(ValueError, match="p-values must be of shape"):
        holm([0.5, 1.5])
    with pytest.raises(ValueError, match="p-values must be of shape"):
        holm([math.nan])


@pytest.mark.parametrize("looks", [1, 4])
def test_a_verdict_is_the_corrected_t_interval(looks):
    x = np.random.default_rng(0).normal(size=8).clip(-1.9, 1.9)
    level = 1 - 0.05 / looks
    low, high = stats.t.interval(level, 7, x.mean(), stats.sem(x))
    for threshold, expected in (
        (low - 1e-9, "better"),
        (low + 1e-9, "open"),
        (high - 1e-9, "open"),
        (high + 1e-9, "worse"),
    ):
        assert verdict(x, looks, 0.95, threshold) == expected


def test_verdicts_of_few_and_of_diverged_runs():
    assert verdict([], 3) == verdict([1.5], 3) == "open"
    for diverged in (-math.inf, math.nan, -2.0, -5.0):
        assert verdict([diverged], 3) == verdict([1.0, 1.1, 1.2, diverged], 3) == "worse"
    assert verdict([2.0, math.inf], 3) == "better"
    assert verdict([0.0, 0.0], 3) == "open"


@given(st.lists(st.floats(-1.9, 1.9), max_size=8), st.floats(-0.5, 0.5))
def test_verdicts_mirror(x, threshold):
    mirrored = {"better": "worse", "worse": "better", "open": "open"}
    other = verdict([-value for value in x], 2, threshold=-threshold)
    assert other == mirrored[verdict(x, 2, threshold=threshold)]


def test_a_race_among_equals_is_seldom_wrong():
    rng, looks, confidence = np.random.default_rng(0), (2, 4, 8, 16), 0.8
    races = rng.normal(0.0, 0.2, (2_000, looks[-1]))
    wrong = [any(verdict(run[:n], len(looks), confidence) != "open" for n in looks) for run in races]
    assert 0.05 < np.mean(wrong) < 1 - confidence  # a bound that is not idle either


def test_a_race_finds_what_is_better_and_what_is_worse():
    rng = np.random.default_rng(0)
    for mean, expected in ((0.3, "better"), (-0.3, "worse")):
        found = [verdict(run, 4) for run in rng.normal(mean, 0.1, (100, 8))]
        assert found.count(expected) >= 95


def test_a_race_that_is_not_counted_is_refused():
    with pytest.raises(ValueError, match="looks must be positive"):
        verdict([1.0], 0)
    with pytest.raises(ValueError, match="confidence must be between"):
        verdict([1.0], 1, confidence=1.0)
    with pytest.raises(ValueError, match="scores must be of shape"):
        verdict(np.zeros((2, 2)), 1)
