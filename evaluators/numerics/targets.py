"""Targets: functions of mpmath on an interval. A new one is a line in `TARGETS`, or a function of the user's own.

The reference is mpmath at 50 digits, never the float64 library function.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from math import isfinite
from typing import Any, Literal

import numpy as np

from evaluators.numerics.double_double import pairs
from evaluators.numerics.fit import Sample
from evaluators.plugins import import_object, refuse_unknown
from primitives.card import Interval

DIGITS = 50
"""Decimal digits of the reference."""
NEAR = 1e-9
"""How near an open end is looked at, in units of the interval's length."""
_PROBED = 257
_TAIL = 1e-3

Metric = Literal["relative", "absolute"]


@dataclass(frozen=True)
class Target:
    """A function to approximate.

    Args:
        name: its name in the configuration.
        function: f(mp, x), of the mpmath context and a number of it.
        interval: where it is approximated.
        metric: "relative" is max |y - f| / |f|, "absolute" is max |y - f|.
        latex: its formula.
        doubles: whether f(x) = f(x / 2)^2.
        parity: 0 where f is even, 1 where it is odd, None where it is neither.
    """

    name: str
    function: Callable[[Any, Any], Any]
    interval: Interval
    metric: Metric
    latex: str = ""
    doubles: bool = False
    parity: int | None = None

    def halved(self, times: int) -> "Target":
        """Returns f(x / 2^times) on the same interval."""
        if not times:
            return self
        return replace(self, function=_Halved(self.function, times))

    def folded(self) -> "Target":
        """Returns g with f(x) = g(x^2) of an even function, f(x) = x g(x^2) of an odd one."""
        low, high = self.interval.low, self.interval.high
        ends = sorted((low * low, high * high)) if low * high >= 0.0 else [0.0, max(low * low, high * high)]
        at_zero = self.parity == 1 and ends[0] == 0.0  # x g(x^2) / x has no value there
        where = Interval(*ends, low_open=at_zero, high_open=False)
        return replace(self, function=_Folded(self.function, self.parity or 0), interval=where, parity=None)

    @property
    def ends(self) -> tuple[float, float]:
        """The points nearest to the ends that count: an open end is looked at from very near."""
        low, high = self.interval.low, self.interval.high
        step = NEAR * (high - low)
        return low + step * self.interval.low_open, high - step * self.interval.high_open

    def exact(self, x: Any) -> Any:
        """Returns f(x) at 50 digits.

        Args:
            x: a float or a number of `context()`.
        """
        mp = context()
        return mp.mpf(self.function(mp, mp.mpf(x)))


@dataclass(frozen=True)
class _Halved:
    """f(x / 2^times)."""

    function: Callable[[Any, Any], Any]
    times: int

    def __call__(self, mp: Any, x: Any) -> Any:
        return self.function(mp, x / 2**self.times)


@dataclass(frozen=True)
class _Folded:
    """f(sqrt(u)) / sqrt(u)^parity."""

    function: Callable[[Any, Any], Any]
    parity: int

    def __call__(self, mp: Any, u: Any) -> Any:
        x = mp.sqrt(u)
        return self.function(mp, x) / x**self.parity


DOUBLING = frozenset({"exp2", "exp"})
"""Targets with f(x) = f(x / 2)^2."""
PARITIES = {"cos": 0, "bessel_j0": 0, "sin": 1, "erf": 1}
"""Targets that are even (0) or odd (1)."""

TARGETS: dict[str, tuple[Callable[[Any, Any], Any], str, Metric, str]] = {
    "exp2": (lambda mp, x: mp.power(2, x), "(0, 1]", "relative", "2^x"),
    "exp": (lambda mp, x: mp.exp(x), "[-0.34657359027997264, 0.34657359027997264]", "relative", "e^x"),
    "log2": (lambda mp, x: mp.log(x) / mp.log(2), "[1, 2]", "absolute", r"\log_2 x"),
    "sin": (lambda mp, x: mp.sin(x), "(0, 0.7853981633974483]", "relative", r"\sin x"),
    "cos": (lambda mp, x: mp.cos(x), "[0, 0.7853981633974483]", "absolute", r"\cos x"),
    "erf": (lambda mp, x: mp.erf(x), "(0, 2]", "relative", r"\operatorname{erf} x"),
    "bessel_j0": (lambda mp, x: mp.besselj(0, x), "[0, 2]", "absolute", "J_0(x)"),
    "airy": (lambda mp, x: mp.airyai(-7 * x), "[0, 1]", "absolute", r"\operatorname{Ai}(-7x)"),
}
"""Function of mpmath, interval, kind of the error, formula, by name."""


@lru_cache(maxsize=1)
def context() -> Any:
    """Returns an mpmath context of 50 digits of its own, so that nobody's precision is changed."""
    from mpmath import MPContext

    mp = MPContext()
    mp.dps = DIGITS
    return mp


@lru_cache(maxsize=64)
def target_of(name: str, interval: str | None, metric: Metric | None) -> Target:
    """Returns the target of a configuration, after it was tried on its interval.

    Args:
        name: of a built-in target, or `package.module:NAME` of a function f(mp, x).
        interval: where to approximate it; None means the target's own.
        metric: kind of the error; None means the target's own.

    Raises:
        ValueError: an unknown target, no bounded interval, one where it is not finite, real and smooth, or a relative
            error where it is zero.
    """
    if ":" in name:
        function, own, kind, latex = import_object("target", name), None, "relative", ""
        if not callable(function):
            raise ValueError(
                f"a target must be a function f(mp, x), got {type(function).__name__}; name another object"
            )
        if interval is None:
            raise ValueError(f"evaluation.interval must be given for the target {name!r}, such as (0, 1]")
    else:
        refuse_unknown("target", name, TARGETS)
        function, own, kind, latex = TARGETS[name]
    where = Interval.parse(interval or own or "")
    if not (isfinite(where.low) and isfinite(where.high) and where.low < where.high):
        raise ValueError(f"evaluation.interval must be bounded and of positive length, got {where}; give two numbers")
    target = Target(name, function, where, metric or kind, latex, name in DOUBLING, PARITIES.get(name))
    _try(target)
    return target


def _try(target: Target) -> None:
    """Refuses a target that is not finite, real and smooth on its interval, or whose relative error has no meaning."""
    low, high = target.ends
    shown = f"the target {target.name!r} on {target.interval}"
    points = np.concatenate((chebyshev(low, high, _PROBED), [low, high]))
    values = np.empty(len(points))
    for i, x in enumerate(points.tolist()):
        try:
            values[i] = float(target.exact(x))
        except Exception:  # noqa: BLE001  (a function of the user's own may raise what it likes)
            values[i] = np.nan
        if not isfinite(values[i]):
            raise ValueError(f"{shown} must be real and finite, got none at {x:.6g}; keep inside of its domain")
    # A pole, a jump or a kink keeps the coefficients of the Chebyshev series from falling.
    series = np.abs(
        np.polynomial.chebyshev.chebfit(np.cos(np.pi * (np.arange(_PROBED) + 0.5) / _PROBED), values[:-2], 96)
    )
    if series[-16:].max() > _TAIL * series.max():
        raise ValueError(f"{shown} must be smooth, got a pole or a jump inside; choose an interval without it")
    if target.metric == "relative" and (values.min() <= 0.0 <= values.max()):
        raise ValueError(f"{shown} must not be zero for a relative error, got a zero; set evaluation.error to absolute")


def chebyshev(low: float, high: float, count: int) -> np.ndarray:
    """Returns Chebyshev nodes on [low, high], ascending, the ends not among them."""
    turn = np.cos(np.pi * (np.arange(count) + 0.5) / count)
    return low + (high - low) * (1.0 - turn) / 2.0


@dataclass(frozen=True, eq=False)
class Exact(Sample):
    """A sample with the low parts of the values: f + low is the target to 31 digits."""

    low: np.ndarray


@lru_cache(maxsize=64)
def sample(target: Target, count: int) -> Exact:
    """Returns the target on Chebyshev nodes and at the ends that count."""
    low, high = target.ends
    points = np.concatenate(([low], chebyshev(low, high, count - 2), [high]))
    values = [target.exact(x) for x in points.tolist()]
    f, rest = pairs(values)
    w = 1.0 / np.abs(f) if target.metric == "relative" else np.ones_like(f)
    return Exact(points, f, w, rest)
