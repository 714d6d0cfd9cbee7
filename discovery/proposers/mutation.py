"""Mutation: insert, delete or modify, as in Chen et al. 2023, or scale a constant; until the behaviour changes."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from discovery.proposers import Accept, Factory, Space, key_or_none, until_changed
from discovery.settings import Section, setting
from primitives.draws import Draws
from primitives.mutate import CONNECT, mutate, scale_constant
from primitives.program import Program


class Options(Section):
    """How a child is made from one parent."""

    rescale: float = setting(
        0.2,
        "probability that a constant is scaled instead of one of the paper's three ways; 0 is the paper's mutation",
        unit="share",
        ge=0.0,
        le=1.0,
    )
    more: float = setting(
        0.25, "probability that one more mutation follows a mutation of the same child", unit="share", ge=0.0, le=1.0
    )
    most: int = setting(3, "mutations that are made at once, at most", unit="mutations", ge=1, le=100)
    until_changed: bool = setting(True, "mutate again until the canonical form differs from the parent's")
    attempts: int = setting(
        10,
        "children tried for one that differs; the last one is taken where none does",
        unit="children",
        ge=1,
        le=1_000,
    )
    drift: bool = setting(
        True, "keep mutations that change nothing (stepping stones), rather than try again from the parent"
    )
    connect: float = setting(
        CONNECT, "probability that an inserted statement assigns a variable in use", unit="share", ge=0.0, le=1.0
    )


@dataclass(frozen=True)
class Mutation:
    """Mutates one parent.

    Insert, delete and modify are equally likely. A child takes one mutation, after each of which another follows with
    probability `more`, up to `most`; where the canonical key is still the parent's, this is done again. With
    probability `rescale` the last one scales a constant instead: where a rule's structure is right its constants are
    what is left to find, and a modification of one argument of one statement rarely meets them.

    Args:
        options: the settings.
        space: what is searched in.
    """

    options: Options
    space: Space

    def propose(self, parent: Program, rng: np.random.Generator) -> Program:
        """Returns a valid child, or the parent itself where no attempt gave one."""
        draws, key = Draws(rng), self.space.key
        if self.options.until_changed:
            options = self.options
            return until_changed(parent, partial(self._change, draws), key, options.attempts, options.drift)
        return self._change(draws, parent, lambda child: key_or_none(key, child) is not None) or parent

    def _change(self, draws: Draws, program: Program, accept: Accept) -> Program | None:
        options, space = self.options, self.space
        for _ in range(options.most - 1):
            if draws.uniform() >= options.more:
                break
            # what lies between only has to be a program: the static check is cheaper than the canonical key
            between = mutate(program, space.vocabulary, draws, space.max_statements, options.connect)
            program = between or program
        if draws.uniform() < options.rescale:
            child = scale_constant(program, draws)
            if child is not None and accept(child):
                return child
        return mutate(program, space.vocabulary, draws, space.max_statements, options.connect, accept)


PROPOSER = Factory(Options, Mutation)
"""Mutation of one parent."""
