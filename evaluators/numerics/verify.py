"""Verification of an approximation apart from its fit: in mpmath at 50 digits, from the program's own operations.

The largest error is looked for on a dense grid, near the ends, and by a golden section around every local maximum above
half of the largest. Zeros of divisors are found and not stepped over: interval arithmetic on pieces of the interval
shows that no divisor vanishes on them; pieces where it can't are halved until they are tiny, and there the zero is
found. Where the program's value stays finite through it (x / (a + b / x) at 0) it is a hole that continuity fills;
where it does not, it is a pole.

References:
    Moore 1966, Interval Analysis.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from evaluators.numerics.targets import DIGITS, Target, chebyshev, context
from primitives.graph import Graph

POINTS = 1000
"""Points of the grid."""
_SECTIONS = 60
"""Steps of a golden section; each takes off 38 %, so that a parabola's top is exact to 25 digits."""
_TINY = 1e-7
"""Pieces of this length, in units of the interval's, are not halved any more."""
_MOST = 1024
"""Pieces that are halved at a time, at most; where there are more, all of them are suspicious as they are."""
_ZERO = 1e-40
"""Divisors of this size are 0 at a place that was found as their zero."""
_NEAR = tuple(range(4, 44, 3))
"""Negative exponents of the distances from a zero of a divisor at which the error is looked at."""
_GOLDEN = 0.3819660112501051


class Verified(NamedTuple):
    """What was found.

    Args:
        error: the largest error; infinite where there is a pole.
        at: where.
        poles: points of the interval where the program has no value.
        holes: points where a divisor vanishes and the value stays finite.
        target: what it was compared with.
    """

    error: float
    at: float
    poles: tuple[float, ...]
    holes: tuple[float, ...]
    target: Target

    def __str__(self) -> str:
        where = f"on {self.target.interval}"
        if self.poles:
            return f"no bound: a pole at x = {self.poles[0]:.6g} {where}"
        return f"max {self.target.metric} error {self.error:.3e} {where}, at x = {self.at:.6g}"


METHOD = (
    f"mpmath at {DIGITS} digits, {POINTS:,} points and a golden section at each local maximum above half of the "
    f"largest; interval arithmetic on the divisors"
)
"""How, in words."""


def verify(graph: Graph, target: Target, points: int = POINTS) -> Verified:
    """Returns the largest error of a program in exact arithmetic.

    Args:
        graph: its canonical form; operations on constants alone are done exactly too.
        target: what it approximates.
        points: points of the grid.
    """
    mp = context()
    low, high = (mp.mpf(end) for end in target.ends)

    def error(x: Any) -> Any:
        value = evaluate(graph, x)[-1]
        if value is None:
            return mp.inf
        wanted = target.exact(x)
        difference = abs(value - wanted)
        return difference / abs(wanted) if target.metric == "relative" else difference

    poles, holes = find_poles(graph, target)
    first, last = mp.mpf(target.interval.low), mp.mpf(target.interval.high)
    open_ends = [x for x, is_open in ((first, target.interval.low_open), (last, target.interval.high_open)) if is_open]
    found = [(error(point), point) for x in holes for point in _near(x, low, high)]
    found += [(error(point), point) for x in open_ends for point in _near(x, first, last)]
    if poles:
        return Verified(float("inf"), float(poles[0]), tuple(map(float, poles)), tuple(map(float, holes)), target)
    grid = [low, *(mp.mpf(x) for x in chebyshev(*target.ends, points).tolist()), high]
    errors = [error(x) for x in grid]
    found += list(zip(errors, grid, strict=True))
    top = max(errors)
    for i in range(1, len(grid) - 1):
        if errors[i] >= errors[i - 1] and errors[i] >= errors[i + 1] and errors[i] > top / 2:
            found.append(_peak(error, grid[i - 1], grid[i + 1]))
    found += [(error(x), x) for x in _narrows(graph, grid)]
    largest, at = max(found)
    return Verified(float(largest), float(at), (), tuple(map(float, holes)), target)


def find_poles(graph: Graph, target: Target) -> tuple[list[Any], list[Any]]:
    """Returns where divisors vanish: poles of the program, and holes that continuity fills."""
    mp = context()
    zeros = [x for a, b in suspicious(graph, target) for x in _zeros(graph, mp.mpf(a), mp.mpf(b))]
    if not zeros:
        return [], []
    where = target.interval
    low, high = mp.mpf(where.low), mp.mpf(where.high)
    bound = 1000 * (1 + max(abs(target.exact(x)) for x in chebyshev(*target.ends, 16).tolist()))
    poles: list[Any] = []
    holes: list[Any] = []
    for x in zeros:
        if any(abs(x - known) <= _TINY * (high - low) for known in (*poles, *holes)):
            continue
        values = [evaluate(graph, point)[-1] for point in _near(x, low, high)]
        # an open end is no point of the interval: there only what the value grows to counts
        is_inside = low < x < high or (x == low and not where.low_open) or (x == high and not where.high_open)
        is_bounded = not any(value is None or abs(value) > bound for value in values)
        if not is_bounded or (is_inside and not mp.isfinite(_at_zero(graph, x))):
            poles.append(x)
        elif is_inside:
            holes.append(x)
    return poles, holes


def _narrows(graph: Graph, grid: list[Any]) -> list[Any]:
    """Returns where the size of a divisor has a minimum: a spike there may be narrower than the grid."""
    found = []
    for place in {args[1] for op, args in graph.nodes if op == "divide"}:

        def size(x: Any, place: int = place) -> Any:
            value = evaluate(graph, x)[place]
            return context().inf if value is None else -abs(value)

        sizes = [size(x) for x in grid]
        for i in range(1, len(grid) - 1):
            if sizes[i] >= sizes[i - 1] and sizes[i] >= sizes[i + 1]:
                found.append(_peak(size, grid[i - 1], grid[i + 1])[1])
    return found


def _at_zero(graph: Graph, x: Any) -> Any:
    """Returns the value where a divisor vanishes, as IEEE arithmetic has it: by way of infinity, or none (NaN)."""
    mp = context()
    values: list[Any] = [mp.mpf(x)] * len(graph.inputs) + [mp.mpf(c) for c in graph.constants]
    for op, args in graph.nodes:
        given = [values[a] for a in args]
        if op == "divide" and abs(given[1]) <= _ZERO:
            values.append(given[0] * mp.inf)  # of either sign; 0 / 0 is NaN
        else:
            values.append(_apply(op, given))
    return values[graph.outputs[0]]


def _near(x: Any, low: Any, high: Any) -> list[Any]:
    """Points of the interval nearer and nearer to a point."""
    mp = context()
    near = [x + sign * (high - low) * mp.mpf(10) ** -k for k in _NEAR for sign in (-1, 1)]
    return [point for point in near if low <= point <= high]


def evaluate(graph: Graph, x: Any) -> list[Any]:
    """Returns the values of x, the constants and all operations at 50 digits; None where one has no value."""
    mp = context()
    values: list[Any] = [mp.mpf(x)] * len(graph.inputs) + [mp.mpf(c) for c in graph.constants]
    for op, args in graph.nodes:
        given = [values[a] for a in args]
        values.append(None if any(v is None for v in given) else _apply(op, given))
    values.append(values[graph.outputs[0]])
    return values


def _apply(op: str, given: list[Any]) -> Any:
    if op == "divide":
        return given[0] / given[1] if given[1] != 0 else None
    if op == "sqrt":
        return context().sqrt(abs(given[0]))
    if op == "fma":
        return given[0] * given[1] + given[2]
    a, b = given
    return a + b if op == "add" else a - b if op == "subtract" else a * b


def _peak(error: Callable[[Any], Any], low: Any, high: Any) -> tuple[Any, Any]:
    """The largest error between two points, by a golden section: (error, x)."""
    a, b = low, high
    x1, x2 = a + _GOLDEN * (b - a), b - _GOLDEN * (b - a)
    f1, f2 = error(x1), error(x2)
    for _ in range(_SECTIONS):
        if f1 > f2:
            b, x2, f2 = x2, x1, f1
            x1 = a + _GOLDEN * (b - a)
            f1 = error(x1)
        else:
            a, x1, f1 = x1, x2, f2
            x2 = b - _GOLDEN * (b - a)
            f2 = error(x2)
    return max((f1, x1), (f2, x2))


# --- zeros of divisors --------------------------------------------------------------------------------------------


def suspicious(graph: Graph, target: Target) -> list[tuple[float, float]]:
    """Returns pieces of the interval, mostly tiny, where a divisor may vanish; on the rest none does: a proof.

    All pieces are evaluated together in interval arithmetic, every bound rounded outwards.
    """
    divisors = [args[1] for op, args in graph.nodes if op == "divide"]
    low, high = target.interval.low, target.interval.high  # open ends too: a value may grow without bound towards them
    if not divisors:
        return []
    edges = np.linspace(low, high, 257)
    pieces = np.stack((edges[:-1], edges[1:]), axis=1)
    found: list[tuple[float, float]] = []
    while len(pieces):
        with np.errstate(all="ignore"):
            values = _enclosures(graph, pieces)
        open_ = np.zeros(len(pieces), dtype=bool)
        for place in divisors:
            a, b = values[place]
            open_ |= ~((a > 0.0) | (b < 0.0))
        pieces = pieces[open_]
        tiny = pieces[:, 1] - pieces[:, 0] <= _TINY * (high - low)
        if len(pieces) > _MOST:  # a divisor that is zero everywhere, say
            tiny[:] = True
        found += [(a, b) for a, b in pieces[tiny].tolist()]
        pieces = pieces[~tiny]
        middle = pieces.mean(axis=1)
        pieces = np.concatenate((np.stack((pieces[:, 0], middle), axis=1), np.stack((middle, pieces[:, 1]), axis=1)))
    return _joined(sorted(found))


def _joined(pieces: list[tuple[float, float]]) -> list[tuple[float, float]]:
    joined: list[tuple[float, float]] = []
    for a, b in pieces:
        if joined and a <= joined[-1][1]:
            joined[-1] = (joined[-1][0], b)
        else:
            joined.append((a, b))
    return joined


def _enclosures(graph: Graph, pieces: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Lower and upper bounds of all values on each piece."""
    values = [(pieces[:, 0], pieces[:, 1])] * len(graph.inputs)
    values += [(np.full(len(pieces), c), np.full(len(pieces), c)) for c in graph.constants]
    for op, args in graph.nodes:
        given = [values[a] for a in args]
        if op == "fma":
            bounds = _add(_times(given[0], given[1], args[0] == args[1]), given[2])
        elif op == "sqrt":
            a, b = given[0]
            least = np.where((a <= 0.0) & (b >= 0.0), 0.0, np.minimum(np.abs(a), np.abs(b)))
            bounds = _outwards(np.sqrt(least), np.sqrt(np.maximum(np.abs(a), np.abs(b))))
        elif op == "add":
            bounds = _add(given[0], given[1])
        elif op == "subtract":
            bounds = _add(given[0], (-given[1][1], -given[1][0]))
        elif op == "multiply":
            bounds = _times(given[0], given[1], args[0] == args[1])
        else:
            a, b = given[1]
            free = (a > 0.0) | (b < 0.0)
            inverse = _outwards(np.where(free, 1.0 / b, -np.inf), np.where(free, 1.0 / a, np.inf))
            bounds = _times(given[0], inverse, False)
        values.append(bounds)
    return values


def _add(u: tuple[np.ndarray, np.ndarray], v: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return _outwards(u[0] + v[0], u[1] + v[1])


def _times(
    u: tuple[np.ndarray, np.ndarray], v: tuple[np.ndarray, np.ndarray], is_square: bool
) -> tuple[np.ndarray, np.ndarray]:
    products = np.stack([u[i] * v[j] for i in (0, 1) for j in (0, 1)])
    products = np.where(np.isnan(products), 0.0, products)  # 0 times infinite: the other products have the bounds
    low, high = _outwards(products.min(axis=0), products.max(axis=0))
    if is_square:
        low = np.maximum(low, 0.0)
    return low, high


def _outwards(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds one step of float64 further out; what has no value bounds nothing."""
    low = np.where(np.isnan(low), -np.inf, low)
    high = np.where(np.isnan(high), np.inf, high)
    return np.nextafter(low, -np.inf), np.nextafter(high, np.inf)


def _zeros(graph: Graph, low: Any, high: Any) -> list[Any]:
    """Points of a tiny piece where a divisor is zero, or as near to it as it comes."""
    mp = context()
    found = []
    for place in [args[1] for op, args in graph.nodes if op == "divide"]:

        def divisor(x: Any, place: int = place) -> Any:
            return evaluate(graph, x)[place]

        a, b = divisor(low), divisor(high)
        if a is None or b is None or a == 0 or b == 0:
            found.append(low if a is None or a == 0 else high)
        elif (a > 0) != (b > 0):
            found.append(_bisected(divisor, low, high, a > 0))
        else:
            least, at = _peak(lambda x: -abs(v) if (v := divisor(x)) is not None else mp.mpf(0), low, high)
            if -least < mp.mpf(10) ** -30:
                found.append(at)
    return found


def _bisected(divisor: Callable[[Any], Any], low: Any, high: Any, begins_positive: bool) -> Any:
    """Where a divisor changes its sign, to about 45 digits."""
    for _ in range(150):
        middle = (low + high) / 2
        value = divisor(middle)
        if value is None or value == 0:
            return middle
        low, high = (middle, high) if (value > 0) == begins_positive else (low, middle)
    return (low + high) / 2
