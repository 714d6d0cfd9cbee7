"""Which of several optimizers is best over many tasks? Strengths from who beats whom."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, log_expit

from evaluators.statistics import Array, as_losses, check_level

Losses = Mapping[str, Mapping[str, ArrayLike]]
"""By name of the optimizer and of the task (seeds,) losses."""

ITERATIONS = 200
"""Most steps of the fit of strengths; it takes about ten; what rounding does not let rest takes all."""
TOLERANCE = 1e-9
"""Step in log-strengths below which the fit ends."""
LONGEST = 4.0
"""Longest step in log-strengths."""


@dataclass(frozen=True, slots=True)
class Strengths:
    """Bradley-Terry strengths with their uncertainty.

    Args:
        names: what was compared.
        values: (names,) log-strengths with mean 0; sigmoid(values[i] - values[j]) is the chance that i beats j.
        low: (names,) lower ends of the confidence intervals.
        high: (names,) upper ends of the confidence intervals.
    """

    names: tuple[str, ...]
    values: Array
    low: Array
    high: Array


def pairwise_wins(losses: Losses) -> tuple[tuple[str, ...], Array]:
    """Returns how often each optimizer beats each other one, every task having the same weight.

    wins[i, j] = sum over tasks of the share of seeds on which loss_i < loss_j, a tie being half a win to each. A run
    that diverged loses to any that did not; two that diverged tie. So wins[i, j] + wins[j, i] = #tasks.

    Args:
        losses: by name and task (seeds,) losses, lower is better; all names have the same tasks and seeds.

    Returns:
        The names and (names, names) wins with a diagonal of 0.

    Raises:
        ValueError: names differ in tasks or in seeds.
    """
    names, outcomes = _outcomes(losses)
    return names, np.sum([task.mean(axis=0) for task in outcomes], axis=0)


def bradley_terry(wins: ArrayLike, prior: float = 0.5) -> Array:
    """Returns the maximum-likelihood log-strengths of players who beat each other so and so often.

    P(i beats j) = p_i / (p_i + p_j), strengths p > 0. Every player also has `prior` wins and `prior` losses against a
    phantom of strength 1, so the maximum exists and is unique whoever wins all. This pulls strengths together as
    2 `prior` games would that end in a draw with an average player. The penalized log-likelihood is concave in log p:

        sum_ij w_ij log(p_i / (p_i + p_j)) + prior sum_i log(p_i / (1 + p_i)^2).

    Newton's method climbs it, and wherever its step would lead down, a step of minorization-maximization, which never
    does, stands in: p_i <- W_i / (sum_j N_ij / (p_i + p_j) + 2 prior / (p_i + 1)), W_i = wins of i with the virtual
    ones, N_ij = games of i and j. (On its own the latter takes 10^4 steps and more where all lose to those above them.)

    Args:
        wins: (..., names, names), wins[i, j] = times that i beat j, >= 0, fractions allowed; the diagonal is ignored.
            Leading axes are fitted each for itself.
        prior: virtual wins each way against the phantom, positive.

    Returns:
        (..., names) log p with mean 0 over names.

    Raises:
        ValueError: wins are no square of finite numbers >= 0, or the prior is not positive.

    References:
        Bradley and Terry 1952, "Rank Analysis of Incomplete Block Designs". Hunter 2004, "MM Algorithms for
        Generalized Bradley-Terry Models".
    """
    w = np.asarray(wins, dtype=np.float64)
    if w.ndim < 2 or w.shape[-1] != w.shape[-2] or not ((w >= 0.0) & np.isfinite(w)).all():
        raise ValueError(f"wins must be finite, >= 0 and (..., names, names), got {w.shape}: count them anew")
    if not 0.0 < prior < np.inf:
        raise ValueError(f"prior must be positive, got {prior}: who wins all has no finite strength without it")
    w = w * (1.0 - np.eye(w.shape[-1]))
    logs = _climb(w, prior)
    return logs - logs.mean(axis=-1, keepdims=True)


def strengths(
    losses: Losses,
    confidence: float = 0.95,
    resamples: int = 1_000,
    seed: int = 0,
    prior: float = 0.5,
) -> Strengths:
    """Returns Bradley-Terry strengths over tasks and seeds with bootstrap intervals.

    The strengths are those of `pairwise_wins`. The intervals are percentiles of the strengths of resampled wins: tasks
    are drawn with replacement, which asks what other tasks of the kind would have said. Few tasks make them too short.

    Args:
        losses: by name and task (seeds,) losses, as for `pairwise_wins`.
        confidence: level of the intervals, in (0, 1).
        resamples: how many, positive.
        seed: of the resampling; the result is a function of the arguments.
        prior: as for `bradley_terry`.

    Returns:
        The strengths with their intervals.

    Raises:
        ValueError: losses are not paired, or a setting is out of range.
    """
    check_level(confidence)
    if resamples < 1:
        raise ValueError(f"resamples must be positive, got {resamples}: 1000 is usual")
    names, outcomes = _outcomes(losses)
    rng = np.random.default_rng(seed)
    shares = np.stack([task.mean(axis=0) for task in outcomes])
    counts = rng.multinomial(len(shares), np.full(len(shares), 1.0 / len(shares)), size=resamples)
    drawn = np.tensordot(counts.astype(np.float64), shares, axes=1)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(bradley_terry(drawn, prior), (tail, 1.0 - tail), axis=0)
    return Strengths(names, bradley_terry(shares.sum(axis=0), prior), low, high)


def _outcomes(losses: Losses) -> tuple[tuple[str, ...], list[Array]]:
    """Names, and for each task (seeds, names, names): 1 where i beats j on a seed, half for a tie."""
    names = tuple(losses)
    tasks = tuple(losses[names[0]]) if names else ()
    if not tasks or any(set(losses[name]) != set(tasks) for name in names):
        given = {name: list(losses[name]) for name in names}
        raise ValueError(
            f"all names must have the same tasks, one at least, got {given}: leave out tasks that not all have run"
        )
    outcomes = []
    for task in tasks:
        runs = [as_losses(losses[name][task]) for name in names]
        if runs[0].ndim != 1 or not runs[0].size or any(run.shape != runs[0].shape for run in runs):
            raise ValueError(
                f"losses on {task} must be of one shape (seeds,), got {[run.shape for run in runs]}: "
                "give inf for a seed that diverged"
            )
        table = np.stack(runs, axis=1)
        ours, theirs = table[:, :, None], table[:, None, :]
        outcomes.append(((ours < theirs) + 0.5 * (ours == theirs)) * (1.0 - np.eye(len(names))))
    return names, outcomes


def _climb(wins: Array, prior: float) -> Array:
    """Log-strengths, the phantom's being 0, of (..., names, names) wins with a diagonal of 0."""
    total, games = wins.sum(axis=-1) + prior, wins + np.swapaxes(wins, -1, -2)
    logs = np.zeros(total.shape)
    for _ in range(ITERATIONS):
        step = _newton(logs, total, games, prior)
        if np.abs(step).max(initial=0.0) < TOLERANCE:
            break
        p = np.exp(logs)
        pulls = (games / (p[..., :, None] + p[..., None, :])).sum(axis=-1) + 2.0 * prior / (p + 1.0)
        higher = _likelihood(logs + step, wins, prior) >= _likelihood(logs, wins, prior)
        logs = np.where(higher[..., None], logs + step, np.log(total / pulls))
    return logs


def _newton(logs: Array, total: Array, games: Array, prior: float) -> Array:
    """Newton's step, no longer than `LONGEST`: the Hessian is minus a Laplacian, which the phantom makes definite."""
    gaps = logs[..., :, None] - logs[..., None, :]
    chances = expit(gaps)
    gradient = total - (games * chances).sum(axis=-1) - 2.0 * prior * expit(logs)
    curvature = games * chances * expit(-gaps)  # 1 - chances would round to 0
    diagonal = curvature.sum(axis=-1) + 2.0 * prior * expit(logs) * expit(-logs)
    # what rounding leaves of the phantom beside many games may be nothing: a grain more keeps the matrix regular
    laplacian = (1.0 + 1e-12) * diagonal[..., None] * np.eye(logs.shape[-1]) - curvature
    step = np.linalg.solve(laplacian, gradient[..., None])[..., 0]
    longest = np.abs(step).max(axis=-1, keepdims=True, initial=LONGEST)
    return step * (LONGEST / longest)


def _likelihood(logs: Array, wins: Array, prior: float) -> Array:
    played = (wins * log_expit(logs[..., :, None] - logs[..., None, :])).sum(axis=(-2, -1))
    return played + prior * (log_expit(logs) + log_expit(-logs)).sum(axis=-1)
