"""Arithmetic on unevaluated sums of two float64, about 31 digits, on NumPy arrays.

A number is (high, low) with |low| <= ulp(high) / 2. Products are split exactly by Dekker's method, so nothing beyond
about 1e300 is meant to come here.

References:
    Dekker 1971, A floating-point technique for extending the available precision.
    Joldes, Muller and Popescu 2017, Tight and rigorous error bounds for building blocks of double-word arithmetic.
"""

from typing import Any

import numpy as np

Pair = tuple[Any, Any]

_SPLITTER = 134217729.0  # 2^27 + 1


def _sum(a: Any, b: Any) -> Pair:
    """The sum of two float64 and its rounding error, exactly."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def _fast_sum(a: Any, b: Any) -> Pair:
    """The same where |a| >= |b|."""
    s = a + b
    return s, b - (s - a)


def _product(a: Any, b: Any) -> Pair:
    """The product of two float64 and its rounding error, exactly."""
    p = a * b
    t = _SPLITTER * a
    a1 = t - (t - a)
    a2 = a - a1
    t = _SPLITTER * b
    b1 = t - (t - b)
    b2 = b - b1
    return p, ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2


def add(x: Pair, y: Pair) -> Pair:
    """Returns x + y."""
    s, e = _sum(x[0], y[0])
    t, f = _sum(x[1], y[1])
    s, e = _fast_sum(s, e + t)
    return _fast_sum(s, e + f)


def subtract(x: Pair, y: Pair) -> Pair:
    """Returns x - y."""
    return add(x, (-y[0], -y[1]))


def multiply(x: Pair, y: Pair) -> Pair:
    """Returns x y."""
    p, e = _product(x[0], y[0])
    return _fast_sum(p, e + (x[0] * y[1] + x[1] * y[0]))


def divide(x: Pair, y: Pair) -> Pair:
    """Returns x / y."""
    q = x[0] / y[0]
    r = subtract(x, multiply((q, np.zeros_like(q)), y))
    q2 = r[0] / y[0]
    r = subtract(r, multiply((q2, np.zeros_like(q2)), y))
    s = _fast_sum(q, q2)
    return add(s, (r[0] / y[0], np.zeros_like(q)))


def sqrt(x: Pair) -> Pair:
    """Returns the square root of |x|."""
    sign = np.where(x[0] < 0.0, -1.0, 1.0)
    x = (x[0] * sign, x[1] * sign)
    s = np.sqrt(x[0])
    r = subtract(x, _product(s, s))
    return add(
        (s, np.zeros_like(s)), (np.where(s > 0.0, r[0] / np.where(s > 0.0, 2.0 * s, 1.0), 0.0), np.zeros_like(s))
    )


def fma(x: Pair, y: Pair, z: Pair) -> Pair:
    """Returns x y + z."""
    return add(multiply(x, y), z)


def solve(a: Pair, b: Pair) -> Pair:
    """Returns the solution x of a x = b by Gaussian elimination with row pivoting; NaN where a is singular.

    Args:
        a: matrix (n, n).
        b: right side (n,).
    """
    high, low = (np.column_stack((matrix, right)) for matrix, right in zip(a, b, strict=True))
    n = len(high)
    for place in range(n):
        pivot = place + int(np.abs(high[place:, place]).argmax())
        if not high[pivot, place]:
            return np.full(n, np.nan), np.full(n, np.nan)
        swap = [pivot, place]
        high[[place, pivot]], low[[place, pivot]] = high[swap], low[swap]
        row = divide((high[place], low[place]), (high[place, place], low[place, place]))
        high[place], low[place] = row
        rest = np.arange(n) != place  # all others: no substitution is left to do
        factors = high[rest, place, None], low[rest, place, None]
        high[rest], low[rest] = subtract((high[rest], low[rest]), multiply(factors, row))
    return high[:, n], low[:, n]


def pairs(values: list[Any]) -> Pair:
    """Returns mpmath numbers as pairs of arrays."""
    high = np.array([float(v) for v in values])
    return high, np.array([float(v - type(v)(h)) for v, h in zip(values, high.tolist(), strict=True)])
