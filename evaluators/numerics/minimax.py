"""From least squares to the smallest maximum: Newton steps that put the extrema at equal heights.

With residuals r on a dense grid and their Jacobian J, a step solves for the change d of the p constants

    r_i + J_i d = (-1)^i E        at p + 1 extrema of alternating sign,

which is the exchange of Remez. Where there are fewer extrema (constants are redundant, or work alike) it solves weighted
least squares instead, the weights growing with |r| (Lawson). Near and beyond the end of float64 the residuals are
computed in double-double arithmetic and the constants are sums of two float64; the Jacobian in float64 is as good as it
needs to be.

References:
    Remez 1934, Sur le calcul effectif des polynomes d'approximation de Tschebyscheff.
    Lawson 1961, Contributions to the theory of linear least maximum approximations.
"""

from typing import Any, NamedTuple

import numpy as np

from evaluators.numerics import double_double as dd
from evaluators.numerics.fit import Code
from evaluators.numerics.terms import OPERATIONS, Structure

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
_GAIN = 1e-3
"""Relative gain of a step below which no more is taken."""
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

    def residuals(pair: dd.Pair, exact: bool) -> np.ndarray:
        return exact_residuals(structure, pair, sample) if exact else code.residuals(pair[0][None], sample)[0][0]

    held, jacobian = (found[0] for found in code.residuals(constants[0][None], sample))
    exact = _largest(held) < EXACT_BELOW
    if exact:
        held = residuals(constants, exact)
    error = _largest(held)
    weights = np.ones_like(held)
    for _ in range(steps if code.slots and np.isfinite(error) and error > 0.0 else 0):
        change = _exchange(held, jacobian)
        if change is None:
            weights *= np.abs(held) / error + 1e-3
            weights /= weights.max()
            change = _weighted(held, jacobian, weights)
        if change is None:
            break
        length, gain = 1.0, 0.0
        while length > _SHORTEST:
            step = length * change
            tried = dd.add(constants, (step, np.zeros_like(step))) if exact else (constants[0] + step, constants[1])
            new = residuals(tried, exact)
            gain = 1.0 - _largest(new) / error
            if gain > 0.0:
                constants, held, error = tried, new, _largest(new)
                break
            length *= 0.3
        if gain < _GAIN:
            break
        if not exact and error < EXACT_BELOW:
            exact = True
            held = residuals(constants, exact)
            error = _largest(held)
        jacobian = code.residuals(constants[0][None], sample)[1][0]
    return Fitted(constants[0], constants[1], error)


def _largest(residuals: np.ndarray) -> float:
    return float(np.abs(residuals).max()) if np.isfinite(residuals).all() else np.inf


def _exchange(residuals: np.ndarray, jacobian: np.ndarray) -> np.ndarray | None:
    """The change that levels p + 1 alternating extrema; None where there are fewer, or they are levelled by none."""
    slots = len(jacobian)
    turns = np.flatnonzero(np.signbit(residuals[1:]) != np.signbit(residuals[:-1])) + 1
    if len(turns) < slots or not np.isfinite(jacobian).all():
        return None
    size = np.abs(residuals)
    edges = np.concatenate(([0], turns, [len(residuals)]))
    extrema = [low + int(size[low:high].argmax()) for low, high in zip(edges[:-1], edges[1:], strict=True)]
    while len(extrema) > slots + 1:  # the lowest end goes, so that signs keep alternating
        extrema.pop(0 if size[extrema[0]] < size[extrema[-1]] else -1)
    length = np.abs(jacobian).max(axis=1)
    length[length == 0.0] = 1.0
    signs = np.where(np.arange(slots + 1) % 2, -1.0, 1.0)
    rows = np.column_stack(((jacobian[:, extrema] / length[:, None]).T, signs))
    try:
        return np.linalg.solve(rows, -residuals[extrema])[:slots] / length
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
        return np.linalg.lstsq(rows, -residuals * root, rcond=1e-12)[0] / length
    except np.linalg.LinAlgError:
        return None
