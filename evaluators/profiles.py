"""How long optimizers take to a target, and their performance profiles over many tasks."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from evaluators.statistics import Array, as_losses


def steps_to_target(curves: ArrayLike, steps: ArrayLike, target: float) -> Array:
    """Returns the training steps until each seed first reaches a loss.

    steps_to_target[s] = min {steps[k] : curves[s, k] <= target}, inf where there is no such k.

    Args:
        curves: (seeds, checkpoints) losses; NaN and inf never reach a target.
        steps: (checkpoints,) training steps of the checkpoints, increasing.
        target: loss to reach, finite, such as `baseline_target`.

    Returns:
        (seeds,) steps.

    Raises:
        ValueError: shapes do not fit, steps do not increase, or the target is not finite.

    References:
        Dahl et al. 2023, "Benchmarking Neural Network Training Algorithms", section 4.
    """
    losses, at = as_losses(curves), np.asarray(steps, dtype=np.float64)
    if losses.ndim != 2 or at.shape != losses.shape[1:] or not (np.diff(at) > 0).all():
        raise ValueError(
            f"curves must be (seeds, checkpoints) and steps (checkpoints,) increasing, got {losses.shape} and {at}: "
            "give the step of each checkpoint"
        )
    if not np.isfinite(target):
        raise ValueError(f"a target must be finite, got {target}: take one that a baseline reaches")
    return np.where(losses <= target, at, np.inf).min(axis=1, initial=np.inf)


def baseline_target(curves: Mapping[str, ArrayLike]) -> float:
    """Returns the loss that an optimizer has to reach on a task, from the curves of its tuned baselines.

    A baseline reaches b = median over seeds of (min over checkpoints of the loss). The target is the median of b over
    baselines: half of them reach it, and no single one sets the bar. (AlgoPerf has the same median over seeds but takes
    the one baseline that is best at its tuned setting.)

    Args:
        curves: by baseline (seeds, checkpoints) losses; NaN and inf diverged.

    Returns:
        The target, finite.

    Raises:
        ValueError: no baselines, a wrong shape, or a target that is not finite because too many seeds diverge.

    References:
        Dahl et al. 2023, "Benchmarking Neural Network Training Algorithms", section 4 (four tuned algorithms; the
        best is run again on 20 seeds).
    """
    if not curves:
        raise ValueError("a target needs baselines, got none: give the curves of one at least")
    reached = []
    for name, losses in curves.items():
        array = as_losses(losses)
        if array.ndim != 2 or not array.size:
            raise ValueError(f"curves of {name} must be (seeds, checkpoints), got {array.shape}: give all its seeds")
        reached.append(np.median(array.min(axis=1)))
    target = float(np.median(reached))
    if not np.isfinite(target):
        raise ValueError(
            f"a target must be finite, got {target}: too many baselines diverge, tune them or leave them out"
        )
    return target


def performance_profile(costs: Mapping[str, ArrayLike], taus: ArrayLike) -> dict[str, Array]:
    """Returns for each name the share of tasks that it solves within a factor of the cheapest.

    rho_a(tau) = #{tasks p : c_{a,p} <= tau min_b c_{b,p}} / #tasks. It never falls with tau; rho_a(1) is the share of
    tasks where a is the cheapest, its limit the share that a solves at all. A cost of inf (not solved) never counts, so
    a task that nobody solves counts for nobody. No other cost is within a factor of 0.

    Args:
        costs: by name (tasks,) costs such as steps to target, >= 0, lower is better; NaN and inf are not solved.
        taus: (k,) factors, >= 1, inf allowed.

    Returns:
        By name (k,) shares in [0, 1].

    Raises:
        ValueError: costs are not (tasks,) of one length or are negative, or a factor is below 1.

    References:
        Dolan and More 2002, "Benchmarking Optimization Software with Performance Profiles".
    """
    ratios = _ratios(costs)
    factors = np.asarray(taus, dtype=np.float64)
    if factors.ndim != 1 or not (factors >= 1.0).all():
        raise ValueError(f"factors must be of shape (k,) and >= 1, got {factors}: 1 is the share of tasks won")
    # an inf among the factors must not meet the inf of what is not solved
    shares = ((ratios[:, None] <= factors[:, None]) & np.isfinite(ratios)[:, None]).mean(axis=2)
    return dict(zip(costs, shares, strict=True))


def profile_score(costs: Mapping[str, ArrayLike], limit: float = 4.0) -> dict[str, float]:
    """Returns for each name the normalized area under its performance profile, in [0, 1], higher is better.

        int_1^limit rho(tau) d log tau / log limit = mean over tasks of max(0, 1 - log r / log limit)

    with r the cost over the smallest cost of the task, inf where not solved. The area is exact, rho being a sum of
    steps. AlgoPerf's benchmark score has the same limit and integrates over tau; on the logarithmic scale a factor
    weighs the same wherever it stands.

    Args:
        costs: by name (tasks,) costs, as for `performance_profile`.
        limit: largest factor that earns anything, finite, above 1.

    Returns:
        By name the score; 1 where it is the cheapest on all tasks.

    Raises:
        ValueError: costs are malformed, or the limit is not a finite number above 1.

    References:
        Dahl et al. 2023, "Benchmarking Neural Network Training Algorithms", section 4.
    """
    if not 1.0 < limit < np.inf:
        raise ValueError(f"limit must be a finite number above 1, got {limit}: 4 is AlgoPerf's")
    ratios = _ratios(costs)
    gains = 1.0 - np.log(ratios) / np.log(limit)
    return dict(zip(costs, np.maximum(gains, 0.0).mean(axis=1).tolist(), strict=True))


def _ratios(costs: Mapping[str, ArrayLike]) -> Array:
    """(names, tasks): costs over the smallest of each task, inf where not solved."""
    arrays = [as_losses(cost) for cost in costs.values()]
    shapes = {array.shape for array in arrays}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1 or not arrays[0].size:
        raise ValueError(
            f"costs must be of one shape (tasks,), got {sorted(shapes)}: give inf where a task is not solved"
        )
    table = np.stack(arrays)
    if (table < 0.0).any():
        raise ValueError(f"costs must be >= 0, got {table.min()}: give steps or seconds, not scores")
    best = table.min(axis=0)
    ratios = np.full(table.shape, np.inf)
    np.divide(table, best, out=ratios, where=np.isfinite(table) & (best > 0.0))
    return np.where((table == best) & np.isfinite(table), 1.0, ratios)  # 0 / 0 as well
