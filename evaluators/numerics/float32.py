"""The regime of float32: constants are rounded, the program runs in float32, and the error counts in ULP.

A unit in the last place (ULP) is the distance of two neighbouring float32 numbers at the target's value. An error is
handed on as ULP / 2^24, which is near to the relative error that causes it, so that it fits beside those of exact
arithmetic.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from evaluators.numerics.fit import Code
from evaluators.numerics.minimax import Fitted
from evaluators.numerics.targets import Target, chebyshev

UNIT = 2.0**-24
"""An error of one ULP."""
_CLIMBS = 2
"""Passes over the constants in which each tries its neighbours."""


@dataclass(frozen=True, eq=False)
class Sample32:
    """A target on float32 points.

    Args:
        x: points (N,), float32.
        f: values of the target (N,), float64.
        ulp: distances of neighbouring float32 numbers at these values (N,), float64.
    """

    x: np.ndarray
    f: np.ndarray
    ulp: np.ndarray


@lru_cache(maxsize=16)
def sample32(target: Target, count: int) -> Sample32:
    """Returns a target on float32 points: Chebyshev nodes, both ends, and points ever nearer to zero."""
    low, high = target.ends
    small = [sign * 2.0**-k for k in range(1, 24) for sign in (-1.0, 1.0)]
    points = np.concatenate((chebyshev(low, high, count), [low, high], small)).astype(np.float32)
    points = np.unique(points[(points >= low) & (points <= high)])
    f = np.array([float(target.exact(x)) for x in points.tolist()])
    return Sample32(points, f, np.spacing(np.abs(f).astype(np.float32)).astype(np.float64))


def error32(code: Code, constants: np.ndarray, data: Sample32) -> float:
    """Returns the largest error of a structure that runs in float32, in units of 2^24 ULP; infinite without a value.

    Args:
        code: the structure.
        constants: (slots,), rounded to float32 here.
        data: the target.
    """
    y = code.values(constants[None].astype(np.float32), data.x)[-1]
    error = np.abs(np.asarray(y, dtype=np.float64) - data.f) / data.ulp
    return float(error.max()) * UNIT if np.isfinite(error).all() else np.inf


def rounded(code: Code, constants: np.ndarray, data: Sample32, climbs: int = _CLIMBS) -> Fitted:
    """Rounds constants to float32, then lets each try its neighbours as long as the error falls.

    Args:
        code: the structure.
        constants: fitted constants (slots,).
        data: the target.
        climbs: passes over all constants.
    """
    held = constants.astype(np.float32)
    error = error32(code, held, data)
    for _ in range(climbs):
        before = error
        for slot in range(len(held)):
            for toward in (-np.inf, np.inf):
                tried = held.copy()
                tried[slot] = np.nextafter(held[slot], np.float32(toward))
                new = error32(code, tried, data)
                if new < error:
                    held, error = tried, new
        if error == before:
            break
    return Fitted(held.astype(np.float64), np.zeros(len(held)), error)
