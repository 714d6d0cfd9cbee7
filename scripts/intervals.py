"""Intervals of means over seeds."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

LEVEL = 0.95
"""Confidence of the intervals."""


def t_margin(values: Sequence[float] | np.ndarray) -> float:
    """Returns half the width of the t interval of a mean: t sd / sqrt(n); NaN for fewer than two values."""
    n = len(values)
    return float(stats.t.ppf((1 + LEVEL) / 2, n - 1) * np.std(values, ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
