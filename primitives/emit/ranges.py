"""Which values of a rule can never be negative: interval arithmetic, over all steps.

`sqrt` of the language takes |x| and `divide` looks at the sign of a zero; where the value can't be negative the source
says `sqrt(v)` and `m / v`, as people write it. An interval holds every value but NaN, in every floating-point type from
bfloat16 up: ends are moved outwards by more than rounding moves values, unless they came of 0, 1 and infinity alone,
which no rounding moves. That the low end is at least 0 also says that the value is never -0.
"""

from collections.abc import Callable, Mapping, Sequence
from math import inf, isnan

from primitives.card import Interval
from primitives.graph import Graph

Bounds = tuple[float, float]
"""Least and largest value."""

ANY: Bounds = (-inf, inf)
_BELOW_ZERO = -5e-324
"""The low end of what may be -0."""
_SLACK = 2.0**-6
"""How far ends are moved, relatively; bfloat16 rounds by 2^-9."""
_EXACT = (0.0, 1.0, -1.0, inf, -inf, _BELOW_ZERO)
_ROUNDS = 4
"""Steps that are followed exactly before growing ends of state are taken to be infinite."""


def bounds(graph: Graph, given: Mapping[str, Interval], begin: Sequence[Bounds] | None = None) -> list[Bounds]:
    """Returns bounds of every value of a graph, by reference, that hold at every step.

    Args:
        graph: a checked or canonical graph.
        given: ranges of data inputs; others may be any number.
        begin: bounds of the state before the first step; None means zeros.
    """
    inputs = [(given[name].low, given[name].high) if name in given else ANY for name in graph.inputs]
    state: list[Bounds] = [(0.0, 0.0)] * len(graph.state) if begin is None else [*map(_outwards, begin)]
    for step in range(2 * _ROUNDS):
        values = _step(graph, inputs, state)
        following = [_union(old, values[ref]) for old, ref in zip(state, graph.next_state, strict=True)]
        if following == state:
            return values
        if step >= _ROUNDS:  # what still grows may grow for ever
            following = [_widen(old, new) for old, new in zip(state, following, strict=True)]
        state = following
    return _step(graph, inputs, [ANY] * len(graph.state))


def _step(graph: Graph, inputs: Sequence[Bounds], state: Sequence[Bounds]) -> list[Bounds]:
    constants = [(c, c) if c or str(c) == "0.0" else (_BELOW_ZERO, 0.0) for c in graph.constants]
    values = [*inputs, *state, *map(_outwards, constants)]
    for op, args in graph.nodes:
        known = [values[a] for a in args]
        found = _KNOWN[op](*known) if op in _KNOWN else ANY
        exact = all(end in _EXACT for ends in known for end in ends)
        values.append(found if exact else _outwards(found))
    return values


def _outwards(ends: Bounds) -> Bounds:
    low, high = (
        end if end in _EXACT else end + side * _SLACK * abs(end) for end, side in zip(ends, (-1, 1), strict=True)
    )
    return low, high


def _union(a: Bounds, b: Bounds) -> Bounds:
    return min(a[0], b[0]), max(a[1], b[1])


def _widen(old: Bounds, new: Bounds) -> Bounds:
    low = old[0] if new[0] == old[0] else 0.0 if new[0] >= 0.0 else -inf
    return low, old[1] if new[1] == old[1] else inf


def _ends(values: Sequence[float]) -> Bounds:
    """The bounds of candidates for the ends; NaN (0 * inf) may stand for anything."""
    if any(map(isnan, values)):
        return ANY
    low = min(values)
    # a zero that came of a negative factor is -0
    return (_BELOW_ZERO if low == 0.0 and any(str(v) == "-0.0" for v in values) else low), max(values)


def _times(a: float, b: float) -> float:
    # an end that is infinite stands for arbitrarily large numbers, and 0 times those is 0; but inf itself gives NaN,
    # which no bound speaks of
    return 0.0 if 0.0 in (a, b) and inf in (abs(a), abs(b)) else a * b


def _add(a: Bounds, b: Bounds) -> Bounds:
    return _ends((a[0] + b[0], a[1] + b[1]))


def _negative(a: Bounds) -> Bounds:
    return -a[1] if a[1] else _BELOW_ZERO, -a[0]


def _subtract(a: Bounds, b: Bounds) -> Bounds:
    return _ends((a[0] - b[1], a[1] - b[0]))


def _multiply(a: Bounds, b: Bounds) -> Bounds:
    if a[0] >= 0.0 and b[0] >= 0.0:
        return _times(a[0], b[0]), _times(a[1], b[1])
    low, high = _ends([_times(x, y) for x in a for y in b])
    return min(low, _BELOW_ZERO), high


def _square(a: Bounds) -> Bounds:
    low, high = _abs(a)
    return low * low, high * high


def _abs(a: Bounds) -> Bounds:
    return (0.0 if a[0] <= 0.0 <= a[1] else min(abs(a[0]), abs(a[1]))), max(abs(a[0]), abs(a[1]))


def _sqrt(a: Bounds) -> Bounds:
    low, high = _abs(a)
    return low**0.5 if low < inf else inf, high**0.5 if high < inf else inf


def _divide(a: Bounds, b: Bounds) -> Bounds:
    return (0.0, inf) if a[0] >= 0.0 and b[0] >= 0.0 else ANY


def _interpolate(x: Bounds, y: Bounds, a: Bounds) -> Bounds:
    rest = _subtract((1.0, 1.0), a)
    return _add(_multiply(rest, x), _multiply(a, y))


def _power(x: Bounds, y: Bounds) -> Bounds:
    if x[0] >= 0.0:
        small = (x[1] <= 1.0 and y[0] >= 0.0) or (x[0] >= 1.0 and y[1] <= 0.0)
        return 0.0, 1.0 if small else inf
    return ANY


def _maximum(a: Bounds, b: Bounds) -> Bounds:
    low = max(a[0], b[0])
    # of a zero and -0 array modules return either
    return (_BELOW_ZERO if low == 0.0 and min(a[0], b[0]) < 0.0 else low), max(a[1], b[1])


def _minimum(a: Bounds, b: Bounds) -> Bounds:
    return min(a[0], b[0]), min(a[1], b[1])


def _mean(a: Bounds) -> Bounds:
    return (0.0 if a[0] >= 0.0 else -inf), inf  # the sum may round past the ends, and overflow


def _positive(*_: Bounds) -> Bounds:
    return 0.0, inf


def _remainder(a: Bounds, b: Bounds) -> Bounds:
    return (0.0, b[1]) if a[0] >= 0.0 and b[0] >= 0.0 else ANY


def _sign(a: Bounds) -> Bounds:
    return (0.0 if a[0] >= 0.0 else -1.0), 1.0


_KNOWN: Mapping[str, Callable[..., Bounds]] = {
    "add": _add,
    "subtract": _subtract,
    "multiply": _multiply,
    "negative": _negative,
    "guarded_divide": _divide,
    "divide": _divide,
    "interpolate": _interpolate,
    "power": _power,
    "max": _maximum,
    "min": _minimum,
    "square": _square,
    "abs": _abs,
    "sqrt": _sqrt,
    "sign": _sign,
    "tanh": lambda a: (0.0 if a[0] >= 0.0 else -1.0, 1.0),
    "where": lambda c, x, y: _union(x, y),
    "initial": lambda t, x, y: _union(x, y),
    "remainder": _remainder,
    "mean": _mean,
    "global_sum": _mean,
    "count": _positive,
    "tensor_sum": _mean,
    "max_abs": _abs,
    "norm": _positive,
    "global_norm": _positive,
    "exp": _positive,
    "exp2": _positive,
    "exp10": _positive,
    "cosh": _positive,
    "reciprocal": lambda a: (0.0, inf) if a[0] >= 0.0 else ANY,
    "rows": _positive,
    "columns": _positive,
    "fan_in": _positive,
    "fan_out": _positive,
    "row_sum": _mean,
    "column_sum": _mean,
    "channel_sum": _mean,
    "if_matrix": _union,
    "if_wide": _union,
    "get_pi": lambda: (3.0, 4.0),
    "get_e": lambda: (2.0, 3.0),
    "get_eps": lambda: (1e-8, 1e-8),
}
