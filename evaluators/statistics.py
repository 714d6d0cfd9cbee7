"""Is one optimizer better than another? Paired differences, corrections for many comparisons, early verdicts.

Optimizers that are compared ran on the same seeds (initial weights and order of batches), so losses are paired:
`ours[s]` and `theirs[s]` share all luck but that of the rules themselves. Nothing here trains anything.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

CLIP = 2.0
"""Largest difference of log losses in absolute value, the judge's largest score on one task."""
RESAMPLES = 9_999
"""Resamples of a bootstrap and of a permutation test."""

Array = NDArray[np.float64]
Verdict = Literal["better", "worse", "open"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean of paired scores with its uncertainty.

    Args:
        mean: mean over seeds, positive where ours is better, in [-2, 2].
        low: lower end of the confidence interval.
        high: upper end of the confidence interval.
        p_value: two-sided p-value of the sign-flip test, in (0, 1].
        seeds: number of pairs.
    """

    mean: float
    low: float
    high: float
    p_value: float
    seeds: int


def paired_scores(ours: ArrayLike, theirs: ArrayLike) -> Array:
    """Returns the difference of log losses of each seed, positive where ours is better.

    d_s = log(theirs_s) - log(ours_s), clipped to [-2, 2]. A run that diverged (NaN or inf) lost to any that did not:
    d_s is -2 or 2. A loss of 0 or below has no logarithm and counts as perfect: it wins by 2 over any positive loss.
    Two runs that both diverged, or are both perfect, are level: d_s = 0.

    Args:
        ours: (seeds,) losses, lower is better.
        theirs: (seeds,) losses on the same seeds.

    Returns:
        (seeds,) scores, all finite.

    Raises:
        ValueError: the two are no pairs.
    """
    a, b = as_losses(ours), as_losses(theirs)
    if a.ndim != 1 or a.shape != b.shape or not a.size:
        raise ValueError(
            f"paired losses must be two equal shapes (seeds,) with a seed at least, got {a.shape} and {b.shape}: "
            "give each optimizer's losses on the same seeds in the same order"
        )
    a, b = np.maximum(a, 0.0), np.maximum(b, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):  # log(0), and inf - inf where both are the same
        scores = np.log(b) - np.log(a)
    return np.clip(np.where(a == b, 0.0, scores), -CLIP, CLIP)


def mean_difference(
    ours: ArrayLike, theirs: ArrayLike, confidence: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Difference:
    """Returns the mean paired difference of log losses, with an interval and a p-value.

    The mean of d_s (`paired_scores`) is the log of the geometric mean of theirs_s / ours_s: 0.05 says that our loss
    is lower by about 5 %. See `difference` for interval and p-value.

    Args:
        ours: (seeds,) losses, lower is better; NaN and inf diverged.
        theirs: (seeds,) losses on the same seeds.
        confidence: level of the interval, in (0, 1).
        resamples: resamples of the bootstrap and, where not all sign flips are counted, of the test; positive.
        seed: of the resampling; the result is a function of the arguments.

    Returns:
        The difference; swapping ours and theirs negates the mean and mirrors the interval.

    Raises:
        ValueError: the two are no pairs, or confidence or resamples are out of range.
    """
    return difference(paired_scores(ours, theirs), confidence, resamples, seed)


def difference(scores: ArrayLike, confidence: float = 0.95, resamples: int = RESAMPLES, seed: int = 0) -> Difference:
    """Returns the mean of paired scores, with a bootstrap interval and the p-value of a sign-flip test.

    The interval resamples seeds with replacement: bias-corrected and accelerated (BCa), percentile where BCa is not
    defined. Scores that are all equal give a point. One seed says nothing about the spread: its interval is all of
    [-2, 2]. A bootstrap of few seeds is too short (about 0.83 coverage at 5 seeds and 0.91 at 10 instead of
    0.95, scores normal), so decide by the p-value, which is valid at any number of seeds.

    The null hypothesis of the p-value: scores are independent and symmetric around 0, so each sign is a coin. With
    T(e) = |sum_s e_s d_s|, p = P(T(e) >= T(1)) over all 2^seeds signs e where they are at most 2 * `resamples`,
    else (1 + #{T(e) >= T(1)}) / (1 + resamples) over random signs. It is never below 2^(1 - seeds): 6 seeds are the
    fewest that can pass 0.05.

    Args:
        scores: (seeds,) finite paired scores, such as `paired_scores` or their mean over tasks.
        confidence: level of the interval, in (0, 1).
        resamples: resamples of the bootstrap and, where not all sign flips are counted, of the test; positive.
        seed: of the resampling; the result is a function of the arguments.

    Returns:
        The difference, with no NaN in it.

    Raises:
        ValueError: scores are not finite (seeds,), or confidence or resamples are out of range.

    References:
        Efron 1987, "Better Bootstrap Confidence Intervals". Fisher 1935, "The Design of Experiments", section 21.
        Phipson and Smyth 2010, "Permutation P-values Should Never Be Zero".
    """
    d = np.asarray(scores, dtype=np.float64)
    if d.ndim != 1 or not d.size or not np.isfinite(d).all():
        raise ValueError(f"scores must be finite and of shape (seeds,), got {d!r}: make them with paired_scores")
    check_level(confidence)
    if resamples < 1:
        raise ValueError(f"resamples must be positive, got {resamples}: leave it out for {RESAMPLES}")
    low, high = _interval(d, confidence, resamples, seed)
    return Difference(float(d.mean()), low, high, _sign_flip(d, resamples, seed), d.size)


def holm(p_values: ArrayLike) -> Array:
    """Returns p-values corrected for their number, so that the chance of any false claim stays below the level.

    With p_(1) <= ... <= p_(m): adjusted p_(k) = max over j <= k of min(1, (m - j + 1) p_(j)). Valid however the
    tests depend on each other, and never weaker than Bonferroni's m p.

    Args:
        p_values: (m,) in [0, 1].

    Returns:
        (m,) adjusted p-values in the order given, none below what was given.

    Raises:
        ValueError: not (m,) numbers in [0, 1].

    References:
        Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure".
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0.0) & (p <= 1.0)).all():
        raise ValueError(f"p-values must be of shape (m,) and in [0, 1], got {p!r}: give one for each test")
    order = np.argsort(p, kind="stable")
    steps = np.minimum(1.0, np.arange(p.size, 0, -1) * p[order])
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(steps)
    return adjusted


def verdict(scores: Sequence[float] | Array, looks: int, confidence: float = 0.95, threshold: float = 0.0) -> Verdict:
    """Returns whether a candidate's paired scores so far say that it is better or worse than a threshold.

    A race spends seeds where they matter: after each look it drops who is worse, settles who is better and gives more
    seeds to the rest. With n scores of mean m and standard deviation s, the interval is

        m +- t(1 - alpha / 2, n - 1) s / sqrt(n),   alpha = (1 - confidence) / looks,

    "better" above the threshold, "worse" below it, else "open". Bonferroni over looks: for normal scores the chance
    that a candidate whose true mean is the threshold ever gets another verdict than "open" is at most 1 - confidence,
    at whatever numbers of seeds the looks are taken. That is for each candidate by itself: a race decides where seeds
    go, and whether anything is better than the baseline is claimed from other seeds, corrected for their number.

    A run that diverged (NaN, -inf, or a score at the clip of -2) is "worse" at once; this is a rule, not a test.

    Args:
        scores: (n,) scores so far, log(baseline / loss) of each seed, 0 = the baseline, higher is better.
        looks: how often a candidate may be looked at in the whole race, fixed before it starts, positive.
        confidence: chance that no verdict on a candidate is wrong, in (0, 1).
        threshold: what to beat.

    Returns:
        "better", "worse" or "open"; "open" below two scores.

    Raises:
        ValueError: scores are not (n,), or looks or confidence are out of range.

    References:
        Maron and Moore 1994, "Hoeffding Races". Birattari et al. 2002, "A Racing Algorithm for Configuring
        Metaheuristics". Even-Dar, Mannor and Mansour 2006, "Action Elimination and Stopping Conditions".
    """
    x = np.asarray(scores, dtype=np.float64)
    if x.ndim != 1:
        raise ValueError(f"scores must be of shape (n,), got {x.shape}: judge one candidate at a time")
    if looks < 1:
        raise ValueError(f"looks must be positive, got {looks}: count those of the whole race")
    check_level(confidence)
    if not (x > -CLIP).all():
        return "worse"
    if x.size < 2:
        return "open"
    x = np.minimum(x, CLIP)
    alpha = (1.0 - confidence) / looks
    radius = -stdtrit(x.size - 1, alpha / 2.0) * x.std(ddof=1) / np.sqrt(x.size)
    if x.mean() - radius > threshold:
        return "better"
    return "worse" if x.mean() + radius < threshold else "open"


def as_losses(losses: ArrayLike) -> Array:
    """Returns losses as float64, with the NaN of a diverged run as inf."""
    array = np.asarray(losses, dtype=np.float64)
    return np.where(np.isnan(array), np.inf, array)


def check_level(level: float, name: str = "confidence") -> None:
    """Raises ValueError where a level is not in (0, 1)."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"{name} must be between 0 and 1, got {level}: {0.05 if name == 'alpha' else 0.95} is usual")


def _interval(d: Array, confidence: float, resamples: int, seed: int) -> tuple[float, float]:
    """BCa over seeds; percentile where that is not defined."""
    from scipy.stats import DegenerateDataWarning, bootstrap  # most of the time that importing this module would take

    if d.size == 1:
        return -CLIP, CLIP
    if np.ptp(d) == 0.0:
        return float(d[0]), float(d[0])
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)  # what it warns of is handled below
        found = bootstrap(
            (d,), np.mean, n_resamples=resamples, confidence_level=confidence, rng=np.random.default_rng(seed)
        )
    low, high = found.confidence_interval
    if not (np.isfinite(low) and np.isfinite(high)):
        tail = (1.0 - confidence) / 2.0
        low, high = np.quantile(found.bootstrap_distribution, (tail, 1.0 - tail))
    return float(low), float(high)


def _sign_flip(d: Array, resamples: int, seed: int) -> float:
    """Share of sign flips whose sum is as far from 0 as that of the scores themselves."""
    n = d.size
    # sums of the same terms in another order are level, though rounding tells them apart
    observed = abs(d.sum()) - 1e-12 * np.abs(d).sum()
    if n <= 52 and 2 ** (n - 1) <= resamples:  # the sum of -e is that of e: half of all flips will do
        bits = np.arange(2 ** (n - 1))[:, None] >> np.arange(n) & 1
        return float((np.abs((1 - 2 * bits) @ d) >= observed).mean())
    signs = np.random.default_rng(seed).integers(0, 2, (resamples, n), dtype=np.int8) * 2 - 1
    return float((1 + np.count_nonzero(np.abs(signs @ d) >= observed)) / (1 + resamples))
