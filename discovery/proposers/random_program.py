"""Random programs: a random walk of mutations from the parent, or statements drawn from nothing. A baseline."""

from dataclasses import dataclass

import numpy as np

from discovery.proposers import Factory, Space, key_or_none
from discovery.settings import Section, setting
from primitives.draws import Draws
from primitives.mutate import CONNECT, mutate, random_program
from primitives.program import Program


class Options(Section):
    """How random programs come about."""

    fresh: float = setting(
        0.0, "share of programs drawn from nothing; the others are walks from the parent", unit="share", ge=0.0, le=1.0
    )
    longest: int = setting(
        20, "most mutations of a walk, most statements of a fresh program; the number is uniform from 1", ge=1, le=1_000
    )
    connect: float = setting(
        CONNECT,
        "probability that an inserted statement assigns a variable in use (walks)",
        unit="share",
        ge=0.0,
        le=1.0,
    )
    attempts: int = setting(20, "programs drawn for a valid one", unit="programs", ge=1, le=1_000)


@dataclass(frozen=True)
class RandomProgram:
    """Draws programs without looking at what has been found: hand it the start programs as parents.

    A walk makes n mutations (insert, delete and modify equally likely, each step valid), a fresh program has n random
    statements, of which the last ones assign the outputs; n is uniform from 1 to `longest`.

    Args:
        options: the settings.
        space: what is searched in.

    References:
        Chen et al. 2023, Symbolic Discovery of Optimization Algorithms, section 2 (random search).
    """

    options: Options
    space: Space

    def propose(self, parent: Program, rng: np.random.Generator) -> Program:
        """Returns a random program with the parent's signature; the parent itself where no attempt gave one."""
        draws, options = Draws(rng), self.options
        fresh = draws.uniform() < options.fresh
        for _ in range(options.attempts):
            length = 1 + draws.below(options.longest)
            program = self._fresh(parent, length, draws) if fresh else self._walk(parent, length, draws)
            if program is not None and key_or_none(self.space.key, program) is not None:
                return program
        return parent

    def _walk(self, program: Program, length: int, draws: Draws) -> Program:
        space = self.space
        for _ in range(length):
            step = mutate(program, space.vocabulary, draws, space.max_statements, self.options.connect)
            program = step or program
        return program

    def _fresh(self, parent: Program, length: int, draws: Draws) -> Program | None:
        given = {name for name, _ in parent.signature.inputs}
        least = sum(name not in given for name, _ in parent.signature.outputs)
        length = max(least, min(length, self.space.max_statements))
        return random_program(parent.signature, length, self.space.vocabulary, draws, parent.name)


PROPOSER = Factory(Options, RandomProgram)
"""Random search."""
