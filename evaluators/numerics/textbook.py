"""Textbook approximations, which scores compare with: best rational functions in their cheapest forms.

A best approximation of type (m, n), p of degree m over q of degree n, costs

    2 m                        a polynomial by Horner's rule (n = 0),
    3 min(m, n) + 2 |m - n|    as a continued fraction, of p / q or of q / p; what remains of a polynomial stands first.

Where f(x) = f(x / 2)^2 (exponentials), k squarings of the approximation of f(x / 2^k) cost k operations more; an even
function is approximated in x^2, an odd one as x times an even one. Errors are those of the best approximations, found
by the exchange of Remez on a dense grid in double-double arithmetic where float64 ends.

References:
    Remez 1934; Cody and Waite 1980, Software Manual for the Elementary Functions; Muller 2016, Elementary Functions.
"""

from dataclasses import replace
from functools import lru_cache
from math import inf
from typing import Any, NamedTuple

import numpy as np

from evaluators.numerics import double_double as dd
from evaluators.numerics.minimax import exact_exchange, extrema, largest, level, nodes
from evaluators.numerics.targets import Exact, Target, sample

LARGEST = 6
"""Largest degree that is tried."""
SQUARINGS = 6
"""Most squarings that are tried."""
EXACT = 1e-30
"""The error of forms that are exact: what double-double arithmetic can't tell from 0."""
LONGEST = 20
"""Operations of the longest form that is tried."""
_FLOAT64 = 1e-13
"""Errors below this are found anew with Jacobians in double-double arithmetic too."""
_POINTS = 400
_STEPS = 40


class Form(NamedTuple):
    """A textbook form with its error.

    Args:
        operations: operations on what depends on x.
        name: what it is.
        error: largest error on the interval.
    """

    operations: int
    name: str
    error: float


@lru_cache(maxsize=32)
def forms(target: Target) -> tuple[Form, ...]:
    """Returns the textbook forms of a target, all that were tried."""
    found: list[Form] = []
    for squarings in range(SQUARINGS + 1 if target.doubles else 1):
        extra = f", {squarings} squaring{'s' * (squarings > 1)}" if squarings else ""
        data = sample(target.halved(squarings), _POINTS)
        times = 2.0**squarings  # what squarings make of a relative error; of an absolute one, times |f|^(times - 1)
        if target.metric == "absolute":
            data = replace(data, w=np.abs(data.f) ** (times - 1.0))
        found += _of(data, squarings, extra, times)
    if target.parity is not None:
        data = sample(target.folded(), _POINTS)
        if target.parity == 1 and target.metric == "absolute":
            data = replace(data, w=np.sqrt(data.x))  # f is x g
        found += _of(data, 1 + target.parity, " of x^2, times x" if target.parity else " of x^2", 1.0, target.parity)
    return tuple(found)


def _of(data: Exact, more: int, extra: str, factor: float, multiplies: int = 0) -> list[Form]:
    """Forms of a function to which `more` operations and a factor of the error are added; `multiplies` by x at last."""
    found: list[Form] = []
    for m in range(LARGEST + 1):
        for n in range(LARGEST + 1):
            name, operations = f"rational ({m}, {n})", 2 * (m + n)
            if n == 0:
                name = f"polynomial of degree {m}" if m else "constant"
            elif m or n == 1:
                name, operations = f"continued fraction ({m}, {n})", 3 * min(m, n) + 2 * abs(m - n)
            operations += more if m or n else multiplies  # a constant needs neither x^2 nor squarings
            if operations <= LONGEST:
                error = rational_error(data, m, n) * factor
                if error < inf:
                    found.append(Form(operations, name + extra, max(error, EXACT)))
    return found


def best(target: Target, operations: int) -> Form:
    """Returns the form of the smallest error with at most so many operations."""
    within = [form for form in forms(target) if form.operations <= operations]
    return min(within, key=lambda form: form.error, default=Form(0, "none", 1.0))


def rational_error(data: Exact, m: int, n: int) -> float:
    """Returns the largest error of the best rational approximation of type (m, n) on a grid; infinite if none is found.

    p and q are in the Chebyshev basis, q with constant coefficient 1. The start is p - f q in least squares, weighted
    with 1 / q of the step before; then come the steps of `minimax`.

    References:
        Sanathanan and Koerner 1963, Transfer function synthesis as a ratio of two complex polynomials.
    """
    exact = _chebyshev(data.x, max(m, n))
    basis = np.stack([high for high, _ in exact], axis=1)
    top, bottom = basis[:, : m + 1], basis[:, 1 : n + 1]
    q = np.ones_like(data.x)
    c = np.zeros(m + 1 + n)
    for _ in range(8):
        weight = data.w / np.abs(q)
        rows = np.hstack((top, -data.f[:, None] * bottom)) * weight[:, None]
        c = np.linalg.lstsq(rows, data.f * weight, rcond=None)[0]
        q = 1.0 + bottom @ c[m + 1 :]
        if not (np.all(q > 0.0) and np.isfinite(q).all()):
            return inf

    def residuals(pair: dd.Pair) -> np.ndarray:
        p = _combine(exact[: m + 1], (pair[0][: m + 1], pair[1][: m + 1]))
        q = dd.add(exact[0], _combine(exact[1 : n + 1], (pair[0][m + 1 :], pair[1][m + 1 :])))
        return dd.subtract(dd.divide(p, q), (data.f, data.low))[0] * data.w

    def jacobian(pair: dd.Pair) -> np.ndarray:
        q = 1.0 + bottom @ pair[0][m + 1 :]
        y = top @ pair[0][: m + 1] / q
        return np.vstack((top.T, -bottom.T * y)) * (data.w / q)

    _, error = level((c, np.zeros_like(c)), residuals, jacobian, _STEPS)
    return error if error > _FLOAT64 else min(error, _exchanged(data, exact, m, n))


def _exchanged(data: Exact, exact: list[dd.Pair], m: int, n: int) -> float:
    """The same by Newton steps from the interpolation on Chebyshev nodes, in double-double arithmetic throughout.

    Where p and q are close to having a factor in common, to the size of the error, float64 tells no direction.
    """
    high, low = (np.stack(parts) for parts in zip(*exact, strict=True))
    f, w = (data.f, data.low), (data.w, np.zeros_like(data.w))

    def columns(at: Any, top: dd.Pair, bottom: dd.Pair) -> dd.Pair:
        """P's basis times `top`, q's times `bottom`: (points, m + 1 + n)."""
        first = dd.multiply((high[: m + 1, at], low[: m + 1, at]), top)
        second = dd.multiply((high[1 : n + 1, at], low[1 : n + 1, at]), bottom)
        return np.vstack((first[0], second[0])).T, np.vstack((first[1], second[1])).T

    def taken(pair: dd.Pair, at: Any) -> dd.Pair:
        return pair[0][at], pair[1][at]

    count = m + n + 1
    at = nodes(len(data.x), count)
    one = (np.ones(count), np.zeros(count))
    c = dd.solve(columns(at, one, (-f[0][at], -f[1][at])), taken(f, at))
    best = inf
    for _ in range(_STEPS):
        p = _combine(exact[: m + 1], (c[0][: m + 1], c[1][: m + 1]))
        q = dd.add(exact[0], _combine(exact[1 : n + 1], (c[0][m + 1 :], c[1][m + 1 :])))
        y = dd.divide(p, q)
        r = dd.multiply(dd.subtract(y, f), w)
        error = largest(r[0])
        if not np.all(q[0] > 0.0) or not error < best * (1.0 - 1e-4):
            break
        best, places = error, extrema(r[0], count + 1)
        if places is None:
            break
        over = dd.divide(taken(w, places), taken(q, places))
        against = dd.multiply(over, taken(y, places))
        c = dd.add(c, exact_exchange(taken(r, places), columns(places, over, (-against[0], -against[1]))))
    return best


def _chebyshev(x: np.ndarray, degree: int) -> list[dd.Pair]:
    """The Chebyshev polynomials of degree 0 to `degree` on the range of x."""
    zero = np.zeros_like(x)
    low, high = (x[0] + zero, zero), (x[-1] + zero, zero)
    t = dd.divide(dd.subtract(dd.add((x, zero), (x, zero)), dd.add(low, high)), dd.subtract(high, low))
    found = [(zero + 1.0, zero), t]
    while len(found) <= degree:
        found.append(dd.subtract(dd.multiply((2.0 * t[0], 2.0 * t[1]), found[-1]), found[-2]))
    return found


def _combine(basis: list[dd.Pair], coefficients: dd.Pair) -> dd.Pair:
    """A combination of basis functions."""
    total = (np.zeros(1), np.zeros(1))
    for one, high, low in zip(basis, *coefficients, strict=True):
        total = dd.add(total, dd.multiply((high + 0.0 * one[0], low + 0.0 * one[0]), one))
    return total
