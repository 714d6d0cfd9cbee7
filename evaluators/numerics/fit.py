"""Fitting the constants of a structure: least squares from many starts, then minimax.

With residuals r(c) = w (y(x; c) - f(x)) on Chebyshev nodes, w = 1 / f for the relative error and 1 for the absolute, a
Levenberg-Marquardt step solves

    (J J' + l I) d = -J r,        J = dr / dc, rows scaled to length 1.

Values and Jacobians of all starts are computed together, arrays of (starts, nodes): NumPy's call takes longer than the
arithmetic. The least squares on these nodes come within a factor of about two of the smallest maximum.

References:
    Levenberg 1944; Marquardt 1963; Nocedal and Wright 2006, Numerical Optimization, chapter 10.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluators.numerics.formula import OPERATIONS, Structure

_DAMPING = 1e-2
"""Damping at the start."""
_LEAST = 1e-26
"""Least damping of single starts."""
_FRACTION = 0.1
"""Part of a step over which the second derivative is taken."""
_BENT = 0.75
"""Longest acceleration, in units of the step."""
_GAIN = 1e-3
"""Relative gain of a step below which no more is taken."""
_REFUSALS = 12
"""Steps refused one after the other before a start is given up."""
_FLOOR = 1e-15
"""Least damping: keeps a Gram matrix that has lost its rank solvable."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A target on points of its interval.

    Args:
        x: points (N,).
        f: values of the target (N,).
        w: weights of the error (N,): 1 / |f| or 1.
    """

    x: np.ndarray
    f: np.ndarray
    w: np.ndarray


class Code:
    """A structure as straight-line code on arrays; constants are (starts, slots), values (starts, points)."""

    def __init__(self, structure: Structure) -> None:
        self.slots = structure.slots
        self._nodes: list[tuple[str, tuple[int, ...], int]] = []
        slot = 0
        for op, args in structure.nodes:
            self._nodes.append((op, args, slot))
            slot += OPERATIONS[op].constants

    def values(self, constants: np.ndarray, x: np.ndarray) -> list[Any]:
        """Returns x and the value of every operation, (starts, N) or (N,) where it has no constant."""
        values: list[Any] = [x]
        columns = constants.T[:, :, None]
        for op, args, slot in self._nodes:
            u = values[args[0]]
            if op == "shift":
                v = u + columns[slot]
            elif op == "scale":
                v = u * columns[slot]
            elif op == "multiply":
                v = u * values[args[1]]
            elif op == "add":
                v = u + values[args[1]]
            elif op == "invert":
                v = columns[slot] / u
            elif op == "divide":
                v = u / values[args[1]]
            elif op == "subtract":
                v = u - values[args[1]]
            elif op == "flip":
                v = columns[slot] - u
            elif op == "sqrt":
                v = np.sqrt(np.abs(u))
            elif op == "fma":
                v = u * values[args[1]] + values[args[2]]
            elif op == "fma_shift":
                v = u * values[args[1]] + columns[slot]
            elif op == "fma_scale":
                v = u * columns[slot] + values[args[1]]
            else:
                v = u * columns[slot] + columns[slot + 1]
            values.append(v)
        return values

    def residuals(self, constants: np.ndarray, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """Returns residuals (starts, N) and their Jacobian (starts, slots, N), by one pass forwards and one back."""
        values = self.values(constants, sample.x)
        starts, n = len(constants), len(sample.x)
        columns = constants.T[:, :, None]
        jacobian = np.empty((starts, self.slots, n))
        slopes: list[Any] = [None] * len(values)  # of the residual with respect to each value
        slopes[-1] = np.broadcast_to(sample.w, (starts, n))

        def back(place: int, slope: Any) -> None:
            if place:
                slopes[place] = slope if slopes[place] is None else slopes[place] + slope

        for place in range(len(self._nodes), 0, -1):
            op, args, slot = self._nodes[place - 1]
            g = slopes[place]
            a = args[0]
            u = values[a]
            if op == "shift":
                jacobian[:, slot] = g
                back(a, g)
            elif op == "scale":
                jacobian[:, slot] = g * u
                back(a, g * columns[slot])
            elif op == "multiply":
                b = args[1]
                if a or b:
                    back(a, g * values[b])
                    back(b, g * u)
            elif op == "add":
                back(a, g)
                back(args[1], g)
            elif op == "invert":
                over = g / u
                jacobian[:, slot] = over
                back(a, -over * values[place])
            elif op == "divide":
                b = args[1]
                over = g / values[b]
                back(a, over)
                back(b, -over * values[place])
            elif op == "subtract":
                back(a, g)
                back(args[1], -g)
            elif op == "flip":
                jacobian[:, slot] = g
                back(a, -g)
            elif op == "sqrt":
                back(a, 0.5 * g * np.sign(u) / values[place])
            else:
                self._back_fma(op, args, slot, g, values, columns, jacobian, back)
        return np.broadcast_to((values[-1] - sample.f) * sample.w, (starts, n)), jacobian

    def _back_fma(
        self,
        op: str,
        args: tuple[int, ...],
        slot: int,
        g: Any,
        values: list[Any],
        columns: Any,
        jacobian: Any,
        back: Any,
    ) -> None:
        u = values[args[0]]
        if op in ("fma", "fma_shift"):
            back(args[0], g * values[args[1]])
            back(args[1], g * u)
            if op == "fma":
                back(args[2], g)
            else:
                jacobian[:, slot] = g
            return
        jacobian[:, slot] = g * u
        back(args[0], g * columns[slot])
        if op == "fma_scale":
            back(args[1], g)
        else:
            jacobian[:, slot + 1] = g


def squares(residuals: np.ndarray) -> np.ndarray:
    """Returns the mean square of the residuals of each start; infinite where one has no value."""
    cost = np.einsum("sn,sn->s", residuals, residuals) / residuals.shape[-1]
    return np.where(np.isfinite(cost), cost, np.inf)


def least_squares(code: Code, constants: np.ndarray, sample: Sample, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Takes Levenberg-Marquardt steps from several starts at once.

    Args:
        code: the structure.
        constants: starts (S, slots).
        sample: the target.
        steps: number of steps.

    Returns:
        Constants (S, slots) and mean squares (S,), infinite where a start has no finite residuals.
    """
    residuals, jacobian = code.residuals(constants, sample)
    cost = squares(residuals)
    damping = np.full(len(constants), _DAMPING)
    unit = np.eye(code.slots)
    for _ in range(steps):
        length = np.sqrt(np.einsum("spn,spn->sp", jacobian, jacobian))
        length = np.where((length > 0.0) & np.isfinite(length), length, 1.0)
        scaled = jacobian / length[:, :, None]
        gram = scaled @ scaled.swapaxes(1, 2)
        right = scaled @ residuals[:, :, None]
        wrong = ~(np.isfinite(gram).all((1, 2)) & np.isfinite(right).all((1, 2)))
        gram[wrong], right[wrong] = unit, 0.0
        gram += (damping[:, None] + _FLOOR)[:, :, None] * unit
        try:
            change = np.linalg.solve(gram, right)[:, :, 0] / length
        except np.linalg.LinAlgError:
            break
        tried = constants - change
        new_residuals, new_jacobian = code.residuals(tried, sample)
        new_cost = squares(new_residuals)
        better = new_cost < cost
        keep = better[:, None]
        constants = np.where(keep, tried, constants)
        residuals = np.where(keep, new_residuals, residuals)
        jacobian = np.where(keep[:, :, None], new_jacobian, jacobian)
        cost = np.where(better, new_cost, cost)
        damping = np.where(better, damping * 0.1, damping * 8.0)
    return constants, cost


def polished(code: Code, constants: np.ndarray, sample: Sample, steps: int) -> np.ndarray:
    """Takes steps from one start that follow narrow valleys, which the Gram matrix is too coarse for.

    Args:
        code: the structure.
        constants: start (slots,).
        sample: the target.
        steps: number of steps at most.
    """

    def look(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        residuals, jacobian = code.residuals(at[None], sample)
        return residuals[0], jacobian[0]

    return descend(constants, look, np.add, steps)


def descend(
    constants: Any,
    look: Callable[[Any], tuple[np.ndarray, np.ndarray]],
    move: Callable[[Any, np.ndarray], Any],
    steps: int,
    damping: float = 1e-6,
    is_enough: Callable[[np.ndarray], bool] = lambda residuals: False,
) -> Any:
    """Lowers the sum of squares by Levenberg-Marquardt steps with geodesic acceleration.

    A step is v + a / 2, where v solves the damped linear problem for the residuals and a for their second derivative
    along v: the constants of good approximations lie in valleys that are narrow and bent, through which straight steps
    crawl.

    Args:
        constants: the start, of whatever `move` moves.
        look: residuals (N,) and Jacobian (slots, N) at constants.
        move: constants after a change (slots,).
        steps: steps at most.
        damping: damping at the start, in units of the largest singular value squared.
        is_enough: whether residuals are good enough.

    References:
        Transtrum and Sethna 2012, Improvements to the Levenberg-Marquardt algorithm for nonlinear least-squares
        minimization.
    """
    residuals, jacobian = look(constants)
    cost = _mean_square(residuals)
    for _ in range(steps):
        if not (np.isfinite(jacobian).all() and 0.0 < cost < np.inf) or is_enough(residuals):
            break
        length = np.abs(jacobian).max(axis=1)
        length[length == 0.0] = 1.0
        try:
            left, singular, right = np.linalg.svd((jacobian / length[:, None]).T, full_matrices=False)
        except np.linalg.LinAlgError:
            break
        for _ in range(_REFUSALS):
            factors = singular / (singular * singular + damping * singular[0] ** 2)
            solve = (right.T * factors / length[:, None]) @ left.T
            v = -(solve @ residuals)
            along, _ = look(move(constants, _FRACTION * v))
            bend = 2.0 / _FRACTION * ((along - residuals) / _FRACTION - v @ jacobian)
            a = -(solve @ bend)
            is_straight = np.linalg.norm(a * length) < _BENT * np.linalg.norm(v * length)  # False for NaN too
            tried = move(constants, v + 0.5 * a)
            new, slopes = look(tried)
            new_cost = _mean_square(new)
            if is_straight and new_cost < cost:
                break
            damping = max(damping, _LEAST) * 5.0
        else:
            break
        gain = 1.0 - new_cost / cost
        constants, residuals, jacobian, cost = tried, new, slopes, new_cost
        if gain < _GAIN and damping < 1e-13:
            break
        damping = max(damping * 0.04, _LEAST)
    return constants


def _mean_square(residuals: np.ndarray) -> float:
    cost = float(residuals @ residuals) / len(residuals)
    return cost if np.isfinite(cost) else np.inf
