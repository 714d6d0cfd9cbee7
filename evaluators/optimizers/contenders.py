"""Contenders: rules of the library and programs that were found, with names for the constants that trials change."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from archive import library
from evaluators.optimizers.trials import Contender
from primitives.ops import LIBRARY
from primitives.program import COPY, OPTIMIZER, Program, Statement
from primitives.text import parse, render

DECAY = "weight_decay"
"""The hyper-parameter of baselines that is zero, for decay stands outside of every rule."""


def baseline(name: str) -> Contender:
    """Returns a rule of the library without a decay of its own.

    Raises:
        ValueError: the library has no such rule.
    """
    entry = library.load(name)
    program = entry.program
    names = [one.name for one in entry.card.hyperparameters]
    statements = tuple(
        Statement(target, COPY, (0.0,)) if target == DECAY and DECAY in names else Statement(target, op, args)
        for target, op, args in program.statements
    )
    opened = tuple(one for one in names if one != DECAY)
    return Contender(render(Program(program.signature, statements, program.name), LIBRARY), opened)


def contender_of(text: str) -> Contender:
    """Returns a program with a name for each of its constants, one line each at its head.

    The weight of an interpolation is a decay rate, `beta`; a bound of a norm is `bound`; a factor of the parameters is
    `weight_decay`; the rest are `c`. Where there are several of a sort they are numbered from 1.

    Args:
        text: a program.
    """
    program = parse(text, OPTIMIZER, LIBRARY)
    constants: dict[_Purpose, None] = {}
    for _, op, args in program.statements:
        constants |= {_purpose(op, i, args): None for i, arg in enumerate(args) if not isinstance(arg, str)}
    names = _numbered([*constants], {name for name, _ in program.signature.inputs} | {s[0] for s in program.statements})
    head = tuple(Statement(name, COPY, (float(purpose.value),)) for purpose, name in names.items())
    body = tuple(
        Statement(
            target,
            op,
            tuple(arg if isinstance(arg, str) else names[_purpose(op, i, args)] for i, arg in enumerate(args)),
        )
        for target, op, args in program.statements
    )
    return Contender(render(Program(program.signature, (*head, *body), program.name), LIBRARY), tuple(names.values()))


class _Purpose(NamedTuple):
    """A constant and what it is for: one value may serve two purposes. As a text, for 0.0 == -0.0 in Python."""

    value: str
    sort: str


def _purpose(op: str, place: int, args: tuple[str | float, ...]) -> _Purpose:
    sort = "weight_decay" if op == "multiply" and "w" in args else "c"
    if op == "interpolate" and place == 2:
        sort = "beta"
    if op == "clip_by_global_norm" and place == 1:
        sort = "bound"
    return _Purpose(repr(args[place]), sort)


def _numbered(purposes: Sequence[_Purpose], taken: set[str]) -> dict[_Purpose, str]:
    """Names by purpose, none of them taken."""
    names: dict[_Purpose, str] = {}
    for purpose in purposes:
        sort = purpose.sort
        alone = [other.sort for other in purposes].count(sort) == 1
        free = ([sort] if alone else []) + [f"{sort}{k}" for k in range(1, len(purposes) + len(taken) + 2)]
        names[purpose] = next(name for name in free if name not in taken)
        taken.add(names[purpose])
    return names


def settings_of(constants: Mapping[str, float], number: int, seed: int = 0) -> list[tuple[float, ...]]:
    """Draws settings of constants around those that a rule has.

    c <- c 2^N(0, 1); for one from 0.5 to 1, a decay rate unless its name says that it is a bound or a weight decay,
    1 - c <- min(1, (1 - c) 2^N(0, 1)). The first setting is the rule's own. The draws are the same for all rules.

    Args:
        constants: the constants by name.
        number: how many settings.
        seed: of the draws.
    """
    drawn = [tuple(constants.values())]
    for row in range(1, number):
        factors = 2.0 ** np.random.default_rng([seed, row]).standard_normal(len(constants))
        moved = zip(constants.items(), factors.tolist(), strict=True)
        drawn.append(tuple(_moved(name, value, factor) for (name, value), factor in moved))
    return drawn[:number]


def _moved(name: str, value: float, factor: float) -> float:
    is_rate = 0.5 < value < 1.0 and not name.startswith(("bound", DECAY))
    return 1.0 - min(1.0, (1.0 - value) * factor) if is_rate else value * factor
