"""Dataflow: operations are inserted where a value flows, bypassed or exchanged, and arguments are rewired.

Where programs are short and every statement counts, a statement with a random target seldom lands where it does
something, and one that others read can't be deleted. These changes keep the rest of the program as it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from discovery.proposers import Accept, Factory, Space, until_changed
from discovery.settings import Section, setting
from primitives.draws import Draws, draw_constant, new_name, variables
from primitives.program import COPY, Program, Statement

_TRIES = 20
"""Changes drawn for one that is accepted."""


class Options(Section):
    """How a child is made from one parent."""

    insert: float = setting(3.0, "weight of inserting an operation between a value and what reads it", ge=0.0, le=1e6)
    bypass: float = setting(2.0, "weight of an operation that gives way to one of its arguments", ge=0.0, le=1e6)
    exchange: float = setting(1.0, "weight of another operation on the same arguments", ge=0.0, le=1e6)
    rewire: float = setting(2.0, "weight of an argument that becomes another variable or a constant", ge=0.0, le=1e6)
    constants: float = setting(
        0.4, "share of constants among new arguments; they come from N(0, 1) or from the program", ge=0.0, le=1.0
    )
    more: float = setting(
        0.3, "probability that one more change follows a change of the same child", unit="share", ge=0.0, le=1.0
    )
    most: int = setting(4, "changes that are made at once, at most", unit="changes", ge=1, le=100)
    attempts: int = setting(
        10, "children tried for one whose canonical form differs from the parent's", unit="children", ge=1, le=1_000
    )


@dataclass(frozen=True)
class Dataflow:
    """Changes where values flow.

    insert: a value v on its way into a statement, or of a statement on all its ways, becomes op(v, ...).
    bypass: `a = op(b, c)` becomes `a = b` or `a = c`.
    exchange: `a = op(b, c)` becomes `a = op'(b, c)`, or the arguments change places.
    rewire: one argument becomes another variable in scope, or a constant.

    Args:
        options: the settings.
        space: what is searched in.

    References:
        Real et al. 2023, AutoNumerics-Zero, section 3 (insertion, removal and reconnection of vertices of a graph).
    """

    options: Options
    space: Space

    def propose(self, parent: Program, rng: np.random.Generator) -> Program:
        """Returns a valid child, or the parent itself where no attempt gave one."""
        change = partial(self._change, Draws(rng))
        return until_changed(parent, change, self.space.key, self.options.attempts, drift=False)

    def _change(self, draws: Draws, program: Program, accept: Accept) -> Program | None:
        options = self.options
        for _ in range(_TRIES):
            child = self._once(program, draws)
            for _ in range(options.most - 1):
                if draws.uniform() >= options.more:
                    break
                child = self._once(child, draws)
            if len(child.statements) <= self.space.max_statements and accept(child):
                return child
        return None

    def _once(self, program: Program, draws: Draws) -> Program:
        """One change; the program itself where what was drawn has no place in it."""
        options = self.options
        ways = (self._insert, self._bypass, self._exchange, self._rewire)
        weights = (options.insert, options.bypass, options.exchange, options.rewire)
        roll = draws.uniform() * sum(weights)
        for way, weight in zip(ways, weights, strict=True):
            roll -= weight
            if roll < 0.0 and program.statements:
                return way(program, draws.below(len(program.statements)), draws)
        return program

    def _insert(self, program: Program, place: int, draws: Draws) -> Program:
        statement = program.statements[place]
        read = [slot for slot, arg in enumerate(statement.args) if isinstance(arg, str)]
        primitive = draws.choice(self.space.vocabulary.drawn)
        if not primitive.inputs or not primitive.executable:
            return program
        own = draws.below(len(primitive.inputs))
        if draws.uniform() < 0.5 or not read:  # the statement's value, on all its ways
            args = self._arguments(program, place + 1, len(primitive.inputs), draws)
            args[own] = statement.target
            return _with(program, place + 1, place + 1, Statement(statement.target, primitive.name, tuple(args)))
        slot = draws.choice(read)
        args = self._arguments(program, place, len(primitive.inputs), draws)
        args[own] = statement.args[slot]
        name = new_name(program)
        given = (*statement.args[:slot], name, *statement.args[slot + 1 :])
        inserted = Statement(name, primitive.name, tuple(args))
        return _with(program, place, place + 1, inserted, Statement(statement.target, statement.op, given))

    def _bypass(self, program: Program, place: int, draws: Draws) -> Program:
        target, _, args = program.statements[place]
        read = [arg for arg in args if isinstance(arg, str)]
        if not read:
            return program
        return _with(program, place, place + 1, Statement(target, COPY, (draws.choice(read),)))

    def _exchange(self, program: Program, place: int, draws: Draws) -> Program:
        target, op, args = program.statements[place]
        alike = [one for one in self.space.vocabulary.drawn if len(one.inputs) == len(args) and one.executable]
        if op == COPY or not alike:
            return program
        if len(args) == 2 and draws.uniform() < 1.0 / 3.0:
            args = args[::-1]
        return _with(program, place, place + 1, Statement(target, draws.choice(alike).name, args))

    def _rewire(self, program: Program, place: int, draws: Draws) -> Program:
        target, op, args = program.statements[place]
        if not args:
            return program
        slot = draws.below(len(args))
        (new,) = self._arguments(program, place, 1, draws)
        return _with(program, place, place + 1, Statement(target, op, (*args[:slot], new, *args[slot + 1 :])))

    def _arguments(self, program: Program, place: int, count: int, draws: Draws) -> list[str | float]:
        scope: Sequence[str] = variables(program, place)
        return [
            draw_constant(program, draws)
            if not scope or draws.uniform() < self.options.constants
            else draws.choice(scope)
            for _ in range(count)
        ]


def _with(program: Program, first: int, last: int, *statements: Statement) -> Program:
    """The program with other statements in the place of those from `first` to before `last`."""
    held = program.statements
    return Program(program.signature, (*held[:first], *statements, *held[last:]), program.name)


PROPOSER = Factory(Options, Dataflow)
"""Changes of the flow of values."""
