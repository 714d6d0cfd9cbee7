"""From least squares to the smallest maximum: Newton steps that put the extrema at equal heights.

With residuals r on a dense grid and their Jacobian J, a step solves for the change d of the p constants

    r_i + J_i d = (-1)^i E        at p + 1 extrema of alternating sign,

which is the exchange of Remez. Where there are fewer extrema (constants are redundant, or work alike) it solves
weighted least squares instead, the weights growing with |r| (Lawson). Near and beyond the end of float64 residuals and
their derivatives at the extrema are computed in double-double arithmetic and the constants are sums of two float64;
where extrema are missing, interpolation at Chebyshev nodes comes first.

References:
    Remez 1934, Sur le calcul effectif des polynomes d'approximation de Tschebyscheff.
    Lawson 1961, Contributions to the theory of linear least maximum approximations.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from evaluators.numerics import double_double as dd
from evaluators.numerics.fit import Code, descend
from evaluators.numerics.formula import OPERATIONS, Structure

_PRIMITIVES = {
    "add": dd.add,
    "subtract": dd.subtract,
    "multiply": dd.multiply,
    "divide": dd.divide,
    "sqrt": dd.sqrt,
    "fma": dd.fma,
}
EXACT_BELOW = 1e-11
"""Errors below this are found in double-double arithmetic: rounding in float64 would be 1e-4 of them and more."""
_DAMPING = 1e-14
"""Damping at the start of the least squares that go before: they begin near a minimum."""
_GAIN = 1e-3
"""Relative gain of a step below which no more is taken."""
_INTERPOLATIONS = 4
"""Newton steps towards an interpolation at most: they double the digits."""
_ROUNDED = 1.02
"""Constants are rounded to float64 where the error grows by no more than this factor."""
_SHORTEST = 0.02
"""Shortest part of a step that is tried."""


class Fitted(NamedTuple):
    """Constants and the largest error that they leave on the grid.

    Args:
        high: constants (slots,).
        low: what is to be added to them (slots,); zeros where float64 does.
        error: largest |residual|.
    """

    high: np.ndarray
    low: np.ndarray
    error: float


def exact_residuals(structure: Structure, constants: dd.Pair, sample: Any) -> np.ndarray:
    """Returns the residuals (N,) in double-double arithmetic, rounded to float64.

    Args:
        structure: the structure.
        constants: high and low parts (slots,).
        sample: an `Exact` sample.
    """
    zero = np.zeros_like(sample.x)
    values: list[dd.Pair] = [(sample.x, zero)]
    slot = 0
    for op, args in structure.nodes:
        operation = OPERATIONS[op]
        own = [(zero + constants[0][slot + i], zero + constants[1][slot + i]) for i in range(operation.constants)]
        slot += operation.constants
        given = [own[~i] if i < 0 else values[args[i]] for i in operation.pattern]
        values.append(_PRIMITIVES[operation.primitive](*given))
    return dd.subtract(values[-1], (sample.f, sample.low))[0] * sample.w


def exact_slopes(structure: Structure, constants: dd.Pair, sample: Any, at: Any) -> dd.Pair:
    """Returns the derivatives (points, slots) of residuals at some points in double-double arithmetic.

    Args:
        structure: the structure.
        constants: high and low parts (slots,).
        sample: an `Exact` sample.
        at: places of the points.
    """
    x = sample.x[at]
    zero, none = np.zeros_like(x), np.zeros((structure.slots, len(x)))
    values: list[dd.Pair] = [(x, zero)]
    slopes: list[dd.Pair] = [(none, none)]
    slot = 0
    for op, args in structure.nodes:
        operation = OPERATIONS[op]
        given, along = [], []
        for place in operation.pattern:
            if place >= 0:
                given.append(values[args[place]])
                along.append(slopes[args[place]])
                continue
            one = none.copy()
            one[slot] = 1.0
            given.append((zero + constants[0][slot], zero + constants[1][slot]))
            along.append((one, none))
            slot += 1
        values.append(_PRIMITIVES[operation.primitive](*given))
        slopes.append(_SLOPES[operation.primitive](values[-1], given, along))
    weight = sample.w[at]
    high, low = dd.multiply(slopes[-1], (weight, np.zeros_like(weight)))
    return high.T, low.T


def exact_exchange(residuals: dd.Pair, slopes: dd.Pair) -> dd.Pair:
    """Returns the change of p constants after which, to first order, residuals at p points are 0.

    At p + 1 points, where residuals have alternating signs, they are equally large after it.

    Args:
        residuals: residuals (points,).
        slopes: their derivatives (points, p).
    """
    points, count = slopes[0].shape
    if points > count:
        signs = np.where(np.arange(points) % 2, 1.0, -1.0)
        slopes = np.column_stack((slopes[0], signs)), np.column_stack((slopes[1], np.zeros(points)))
    high, low = dd.solve(slopes, (-residuals[0], -residuals[1]))
    return high[:count], low[:count]


def nodes(points: int, count: int) -> np.ndarray:
    """Returns the places of `count` Chebyshev nodes among points that are Chebyshev nodes themselves."""
    return ((np.arange(count) + 0.5) * points / count).astype(int)


def _times(pair: dd.Pair, sign: np.ndarray) -> dd.Pair:
    return pair[0] * sign, pair[1] * sign


_SLOPES: dict[str, Callable[[dd.Pair, list[dd.Pair], list[dd.Pair]], dd.Pair]] = {
    "add": lambda y, given, along: dd.add(*along),
    "subtract": lambda y, given, along: dd.subtract(*along),
    "multiply": lambda y, given, along: dd.add(dd.multiply(given[1], along[0]), dd.multiply(given[0], along[1])),
    "divide": lambda y, given, along: dd.divide(dd.subtract(along[0], dd.multiply(y, along[1])), given[1]),
    "sqrt": lambda y, given, along: dd.divide(_times(along[0], np.sign(given[0][0])), dd.add(y, y)),
    "fma": lambda y, given, along: dd.add(_SLOPES["multiply"](y, given[:2], along[:2]), along[2]),
}


def _newton(structure: Structure, constants: dd.Pair, sample: Any, steps: int) -> tuple[dd.Pair, float, bool]:
    """Interpolates at Chebyshev nodes, so that there is something to exchange, then exchanges, by Newton steps.

    Constants of a good approximation work almost alike, so that float64 does not tell their derivatives apart.

    Returns:
        The constants, the largest |residual|, and whether its extrema are level.
    """
    count = structure.slots
    held = exact_residuals(structure, constants, sample)
    best, error = constants, largest(held)
    interpolations = 0
    for _ in range(steps):
        places = extrema(held, count + 1)
        interpolations += places is None
        if interpolations > _INTERPOLATIONS or not count:
            break
        at = nodes(len(held), count) if places is None else places
        slopes = exact_slopes(structure, constants, sample, at)
        constants = dd.add(constants, exact_exchange((held[at], np.zeros(len(at))), slopes))
        held = exact_residuals(structure, constants, sample)
        found, before = largest(held), error
        if found < error:
            best, error = constants, found
        if places is not None and not found < before * (1.0 - _GAIN):
            return best, error, found < before * (1.0 + _GAIN)
        if not found < np.inf:
            break
    return best, error, False


def minimax(structure: Structure, code: Code, start: np.ndarray, sample: Any, steps: int) -> Fitted:
    """Lowers the largest error from a start near a minimum of the squares.

    Args:
        structure: the structure.
        code: the same as code.
        start: constants (slots,).
        sample: an `Exact` sample, dense.
        steps: steps at most.
    """
    constants = (np.array(start, dtype=np.float64), np.zeros(len(start)))

    def quick(pair: dd.Pair) -> np.ndarray:
        return code.residuals(pair[0][None], sample)[0][0]

    def exact(pair: dd.Pair) -> np.ndarray:
        return exact_residuals(structure, pair, sample)

    def jacobian(pair: dd.Pair) -> np.ndarray:
        return code.residuals(pair[0][None], sample)[1][0]

    error = largest(quick(constants))
    if error >= EXACT_BELOW:
        constants, error = level(constants, quick, jacobian, steps, EXACT_BELOW)
        constants = (constants[0], np.zeros(len(start)))
    if error < EXACT_BELOW:
        constants, error, is_level = _newton(structure, constants, sample, steps)
        if not is_level:
            constants, error = level(constants, exact, jacobian, steps)
        rounded = largest(exact((constants[0], np.zeros(len(start)))))
        if rounded <= error * _ROUNDED:  # float64 is good enough for the constants
            return Fitted(constants[0], np.zeros(len(start)), rounded)
    return Fitted(*constants, error)


def level(
    constants: dd.Pair,
    residuals: Callable[[dd.Pair], np.ndarray],
    jacobian: Callable[[dd.Pair], np.ndarray],
    steps: int,
    enough: float = 0.0,
) -> tuple[dd.Pair, float]:
    """Levels the extrema of residuals.

    Args:
        constants: high and low parts of the start (p,).
        residuals: residuals (N,) of constants, in order of the points.
        jacobian: their derivatives (p, N).
        steps: steps at most.
        enough: error below which no step is taken.

    Returns:
        The constants and the largest |residual|.
    """

    def look(at: dd.Pair) -> tuple[np.ndarray, np.ndarray]:
        return residuals(at), jacobian(at)

    def move(at: dd.Pair, change: np.ndarray) -> dd.Pair:
        return dd.add(at, (change, np.zeros_like(change)))

    def alternates(held: np.ndarray) -> bool:
        return len(_turns(held)) >= len(constants[0])

    if steps and len(constants[0]):  # least squares, until there is something to exchange
        constants = descend(constants, look, move, 2 * steps, _DAMPING, alternates)
    held = residuals(constants)
    error = largest(held)
    weights = np.ones_like(held)
    for _ in range(steps if len(constants[0]) and error < np.inf else 0):
        if error <= enough:
            break
        slopes = jacobian(constants)
        change = _exchange(held, slopes)
        if change is None:
            weights *= np.abs(held) / error + 1e-3
            weights /= weights.max()
            change = _weighted(held, slopes, weights)
        if change is None:
            break
        length, gain = 1.0, 0.0
        while length > _SHORTEST:
            tried = move(constants, length * change)
            new = residuals(tried)
            gain = 1.0 - largest(new) / error
            if gain > 0.0:
                constants, held, error = tried, new, largest(new)
                break
            length *= 0.3
        if gain < _GAIN:
            break
    return constants, error


def largest(residuals: np.ndarray) -> float:
    """Returns the largest absolute value; infinite where one has none."""
    return float(np.abs(residuals).max()) if np.isfinite(residuals).all() else np.inf


def _turns(residuals: np.ndarray) -> np.ndarray:
    """Places where the sign changes."""
    return np.flatnonzero(np.signbit(residuals[1:]) != np.signbit(residuals[:-1])) + 1


def extrema(residuals: np.ndarray, count: int) -> list[int] | None:
    """Returns the places of so many extrema of alternating sign; None where there are fewer."""
    turns = _turns(residuals)
    if len(turns) < count - 1:
        return None
    size = np.abs(residuals)
    edges = np.concatenate(([0], turns, [len(residuals)]))
    found = [low + int(size[low:high].argmax()) for low, high in pairwise(edges)]
    while len(found) > count:  # the lowest end goes, so that signs keep alternating
        found.pop(0 if size[found[0]] < size[found[-1]] else -1)
    return found


def _exchange(residuals: np.ndarray, jacobian: np.ndarray) -> np.ndarray | None:
    """The change that levels p + 1 alternating extrema; None where there are fewer, or they are levelled by none."""
    slots = len(jacobian)
    places = extrema(residuals, slots + 1)
    if places is None or not np.isfinite(jacobian).all():
        return None
    length = np.abs(jacobian).max(axis=1)
    length[length == 0.0] = 1.0
    signs = np.where(np.arange(slots + 1) % 2, -1.0, 1.0)
    rows = np.column_stack(((jacobian[:, places] / length[:, None]).T, signs))
    try:
        return np.linalg.solve(rows, -residuals[places])[:slots] / length
    except np.linalg.LinAlgError:
        return None


def _weighted(residuals: np.ndarray, jacobian: np.ndarray, weights: np.ndarray) -> np.ndarray | None:
    """The change that weighted least squares ask for."""
    length = np.abs(jacobian).max(axis=1)
    length[length == 0.0] = 1.0
    root = np.sqrt(weights)
    rows = (jacobian / length[:, None] * root).T
    if not np.isfinite(rows).all():
        return None
    try:
        return np.linalg.lstsq(rows, -residuals * root, rcond=1e-15)[0] / length
    except np.linalg.LinAlgError:
        return None
