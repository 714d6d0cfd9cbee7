"""The primitives, one family a file; a vocabulary is put together here.

The sign of a zero is never seen: `reciprocal`, `power` and `divide`, the only operations that could tell -0 from +0,
take both as +0. So executions may differ in that sign (XLA drops `x + 0.0`, NumPy and XLA disagree on sign(-0.0)) and
agree.
"""

from dataclasses import replace

from primitives.ops.arithmetic import BLENDS, CONSTANTS, EXACT, OPERATORS, REAL, STEPS
from primitives.ops.elementary import ELEMENTARY
from primitives.ops.matrices import AXES, MATRICES
from primitives.ops.reductions import MEASURES, REDUCTIONS
from primitives.primitive import Vocabulary

HERO = Vocabulary((*OPERATORS, *CONSTANTS, *ELEMENTARY, *REDUCTIONS, *BLENDS))
"""The 45 functions of Chen et al. 2023, in the order of the paper's list; `invert` is known by name and refused."""

LIBRARY = Vocabulary((*HERO.primitives, *EXACT, *STEPS, *MEASURES, *AXES, *MATRICES))
"""What update rules may use: the 45 functions, which a search draws from, and what rules of the literature need."""

REALS = Vocabulary((*REAL, *(replace(one, drawn=False) for one in ELEMENTARY if one.name == "sqrt")))
"""Arithmetic of the reals: + - * / exactly; `fma` and `sqrt` are drawn only where a search asks for them."""

__all__ = ["HERO", "LIBRARY", "REALS"]
