import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize
from scipy.special import expit

from evaluators import ranking
from evaluators.ranking import bradley_terry, pairwise_wins, strengths

NAN, INF = math.nan, math.inf
tournaments = st.integers(1, 6).flatmap(lambda n: arrays(np.float64, (n, n), elements=st.integers(0, 30)))
priors = st.sampled_from([0.1, 0.5, 2.0])


def objective(logs, wins, prior):
    """Minus the penalized log-likelihood, game by game."""
    total = 0.0
    for i in range(len(logs)):
        total += prior * (np.logaddexp(0, -logs[i]) + np.logaddexp(0, logs[i]))
        for j in range(len(logs)):
            if i != j:
                total += wins[i, j] * np.logaddexp(0, logs[j] - logs[i])
    return total


@given(tournaments, priors)
@settings(max_examples=25)
def test_strengths_maximize_the_penalized_likelihood(wins, prior):
    best = minimize(objective, np.zeros(len(wins)), args=(wins, prior), method="BFGS", options={"gtol": 1e-6}).x
    np.testing.assert_allclose(bradley_terry(wins, prior), best - best.mean(), atol=1e-4)


@given(tournaments, priors)
def test_strengths_are_a_fixed_point_of_minorization_maximization(wins, prior):
    logs = bradley_terry(wins, prior)
    # Hunter's map with the phantom a player as any other, whose strength is free
    n = len(wins)
    full = np.full((n + 1, n + 1), prior)
    full[:n, :n] = wins
    np.fill_diagonal(full, 0)
    games = full + full.T
    phantom = 0.0
    for _ in range(200):  # the phantom's place is not returned: find it with the others held
        pull = (games[n, :n] / (np.exp(phantom) + np.exp(logs))).sum()
        phantom = math.log(full[n].sum() / pull)
    p = np.exp(np.append(logs, phantom))
    after = full.sum(1) / (games / (p[:, None] + p[None, :])).sum(1)
    np.testing.assert_allclose(np.log(after), np.log(p), atol=1e-5)


@given(tournaments, st.randoms())
def test_names_do_not_matter_and_the_mean_is_0(wins, random):
    order = random.sample(range(len(wins)), len(wins))
    found = bradley_terry(wins)
    np.testing.assert_allclose(bradley_terry(wins[np.ix_(order, order)]), found[order], atol=1e-6)
    np.testing.assert_allclose(bradley_terry(wins.T), -found, atol=1e-6)
    assert found.mean() == pytest.approx(0, abs=1e-9)


@given(arrays(np.float64, (3, 4, 4), elements=st.integers(0, 30)))
def test_leading_axes_are_fitted_each_for_itself(wins):
    np.testing.assert_allclose(bradley_terry(wins), [bradley_terry(one) for one in wins], atol=1e-6)


def test_known_strengths_are_recovered():
    rng, true = np.random.default_rng(0), np.array([1.5, 0.5, 0.0, -0.7, -1.3])
    games = rng.binomial(4_000, expit(true[:, None] - true[None, :]))
    wins = np.triu(games, 1) + np.tril(4_000 - games.T, -1)
    np.testing.assert_allclose(bradley_terry(wins), true, atol=0.1)


@pytest.mark.parametrize("times", [1, 100, 10_000])
def test_who_wins_all_has_a_finite_strength(times):
    found = bradley_terry(np.triu(np.ones((8, 8)), 1) * times)
    assert np.isfinite(found).all()
    assert np.all(np.diff(found) < 0)
    np.testing.assert_allclose(found, -found[::-1], atol=1e-6)


@given(tournaments)
def test_minorization_maximization_alone_finds_the_same(wins):
    wins = wins % 6 + 1  # where no strength is extreme and the phantom not idle, it is quick
    found = bradley_terry(wins, 2.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "_newton", lambda logs, *_: 1e3 - logs)  # a step that always leads down
        np.testing.assert_allclose(bradley_terry(wins, 2.0), found, atol=1e-6)


def test_wild_and_sparse_tournaments_are_fitted():
    rng = np.random.default_rng(0)
    for _ in range(100):
        n = rng.integers(2, 12)
        wins = rng.integers(0, 3, (n, n)) * 10.0 ** rng.uniform(-2, 4, (n, n)) * (rng.random((n, n)) < 0.6)
        np.fill_diagonal(wins, 0)
        prior = 10.0 ** rng.uniform(-3, 0)
        found = bradley_terry(wins, prior)
        # at the maximum all win as often as they are expected to, the phantom's few games apart
        expected = ((wins + wins.T) * expit(found[:, None] - found[None, :])).sum(1)
        assert np.all(np.abs(expected - wins.sum(1)) <= prior + 1e-5 * wins.sum())


def test_two_players_by_hand():
    # with strengths e^s and e^-s and the phantom at 1: w = (w + l) sigmoid(2 s) + 2 prior (sigmoid(s) - 1/2)
    found = bradley_terry([[0, 9], [3, 0]], prior=0.5)[0]
    assert 12 * expit(2 * found) + expit(found) - 0.5 == pytest.approx(9)
    assert bradley_terry([[0, 9], [3, 0]], prior=1e-9)[0] == pytest.approx(math.log(9 / 3) / 2)


def test_what_is_no_tournament_is_refused():
    for wins in ([1.0], np.zeros((2, 3)), [[0, -1], [0, 0]], [[0, NAN], [0, 0]], [[0, INF], [0, 0]]):
        with pytest.raises(ValueError, match="wins must be finite"):
            bradley_terry(wins)
    for prior in (0.0, -1.0, INF):
        with pytest.raises(ValueError, match="prior must be positive"):
            bradley_terry(np.zeros((2, 2)), prior)


def test_wins_by_hand():
    losses = {
        "a": {"mlp": [1.0, 2.0], "cnn": [NAN, 1.0, 1.0, 1.0]},
        "b": {"cnn": [INF, 2.0, 1.0, 0.5], "mlp": [3.0, 3.0]},
    }
    names, wins = pairwise_wins(losses)
    assert names == ("a", "b")
    # mlp: two of two; cnn: both diverged, won, tied, lost
    np.testing.assert_allclose(wins, [[0, 1 + 2 / 4], [2 / 4, 0]])


tables = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.sampled_from([0.5, 1.0, 2.0, INF, NAN]))
)


def named(table):
    return {f"n{i}": {f"t{j}": seeds for j, seeds in enumerate(tasks)} for i, tasks in enumerate(table)}


@given(tables)
def test_each_pair_shares_one_win_a_task(table):
    wins = pairwise_wins(named(table))[1]
    names, tasks, seeds = table.shape
    np.testing.assert_allclose(wins + wins.T, tasks * (1 - np.eye(names)))
    clean = np.where(np.isnan(table), np.inf, table)
    for i in range(names):
        for j in range(i):
            won = sum(
                1.0 if clean[i, t, s] < clean[j, t, s] else 0.5 * (clean[i, t, s] == clean[j, t, s])
                for t in range(tasks)
                for s in range(seeds)
            )
            assert wins[i, j] == pytest.approx(won / seeds)


def test_losses_that_are_not_paired_are_refused():
    for losses in ({}, {"a": {}}, {"a": {"mlp": [1.0]}, "b": {"cnn": [1.0]}}):
        with pytest.raises(ValueError, match="all names must have the same tasks"):
            pairwise_wins(losses)
    with pytest.raises(ValueError, match="losses on mlp must be of one shape"):
        pairwise_wins({"a": {"mlp": [1.0]}, "b": {"mlp": [1.0, 2.0]}})
    with pytest.raises(ValueError, match="confidence must be between"):
        strengths({"a": {"mlp": [1.0]}}, confidence=2.0)
    with pytest.raises(ValueError, match="resamples must be positive"):
        strengths({"a": {"mlp": [1.0]}}, resamples=0)


def test_intervals_hold_the_strengths_and_shrink_with_more():
    rng, quality = np.random.default_rng(0), np.array([0.0, 0.2, 0.4])
    widths = []
    for count in (10, 160):
        losses = named(np.exp(quality[:, None, None] + rng.normal(0, 0.5, (3, count, 4))))
        found = strengths(losses, resamples=300)
        np.testing.assert_allclose(found.values, bradley_terry(pairwise_wins(losses)[1]))
        assert np.all(found.low <= found.values)
        assert np.all(found.values <= found.high)
        again = strengths(losses, resamples=300)
        np.testing.assert_array_equal(again.low, found.low)
        widths.append((found.high - found.low).mean())
        if count == 160:
            assert np.all(np.diff(found.values) < 0)  # the lowest losses are the strongest
    assert widths[1] < 0.7 * widths[0]


def test_resampled_tasks_are_those_of_a_loop():
    table = np.random.default_rng(1).exponential(size=(3, 5, 2))
    found = strengths(named(table), resamples=2_000, confidence=0.9)
    rng = np.random.default_rng(2)
    drawn = [bradley_terry(pairwise_wins(named(table[:, rng.integers(0, 5, 5)]))[1]) for _ in range(500)]
    low, high = np.quantile(drawn, (0.05, 0.95), axis=0)
    np.testing.assert_allclose((found.low, found.high), (low, high), atol=0.25)
