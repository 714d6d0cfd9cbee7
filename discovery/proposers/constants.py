"""Constants only: the program stays, its constants move. The baseline that any search must beat."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from discovery.proposers import Accept, Factory, Space, key_or_none, until_changed
from discovery.settings import Section, setting
from primitives.draws import Draws
from primitives.mutate import scale_constant
from primitives.program import Program


class Options(Section):
    """How constants move."""

    more: float = setting(
        0.5,
        "probability that one more constant is scaled after one was, in the same child",
        unit="share",
        ge=0.0,
        le=1.0,
    )
    most: int = setting(4, "scalings that are made at once, at most", unit="scalings", ge=1, le=100)
    until_changed: bool = setting(True, "scale again until the canonical form differs from the parent's")
    attempts: int = setting(
        10,
        "children tried for one that differs; the last one is taken where none does",
        unit="children",
        ge=1,
        le=1_000,
    )


@dataclass(frozen=True)
class Constants:
    """Scales constants by 2^N(0, 1), or their distance from 1 where they lie in (1/2, 1).

    Operations, variables and zeros stay. After each scaling another follows with probability `more`, up to
    `most`.

    Args:
        options: the settings.
        space: what is searched in.

    References:
        Chen et al. 2023, Symbolic Discovery of Optimization Algorithms, section 2 (tuning AdamW's constants only).
    """

    options: Options
    space: Space

    def propose(self, parent: Program, rng: np.random.Generator) -> Program:
        """Returns the parent with other constants; the parent itself where it has none but zeros."""
        draws, key = Draws(rng), self.space.key
        if self.options.until_changed:
            # a constant in dead code: begin again, or all that is dead would drift along
            return until_changed(parent, partial(self._change, draws), key, self.options.attempts, drift=False)
        return self._change(draws, parent, lambda child: key_or_none(key, child) is not None) or parent

    def _change(self, draws: Draws, program: Program, accept: Accept) -> Program | None:
        child = scale_constant(program, draws)
        for _ in range(self.options.most - 1):
            if child is None or draws.uniform() >= self.options.more:
                break
            child = scale_constant(child, draws)
        return child if child is not None and accept(child) else None


PROPOSER = Factory(Options, Constants)
"""Tuning of constants."""
