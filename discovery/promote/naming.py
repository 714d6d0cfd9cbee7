"""Names for the constants of a program, so that trials and exports may change them."""

from collections.abc import Sequence

import numpy as np

from evaluators.optimizers.trials import Contender
from primitives.ops import LIBRARY
from primitives.program import COPY, OPTIMIZER, Program, Statement
from primitives.text import parse, render


def contender_of(text: str) -> Contender:
    """Returns a program with a name for each of its constants, one line each at its head.

    The weight of an interpolation is a decay rate, `beta`; a bound of a norm is `bound`; a factor of the parameters is
    `weight_decay`; the rest are `c`. Where there are several of a sort they are numbered from 1.

    Args:
        text: a program.
    """
    program = parse(text, OPTIMIZER, LIBRARY)
    constants: dict[tuple[float, str], None] = {}  # one value may serve two purposes
    for _, op, args in program.statements:
        constants |= {(arg, _sort(op, i, args)): None for i, arg in enumerate(args) if not isinstance(arg, str)}
    names = _numbered([*constants], {name for name, _ in program.signature.inputs} | {s[0] for s in program.statements})
    head = tuple(Statement(name, COPY, (value,)) for (value, _), name in names.items())
    body = tuple(
        Statement(
            target,
            op,
            tuple(arg if isinstance(arg, str) else names[arg, _sort(op, i, args)] for i, arg in enumerate(args)),
        )
        for target, op, args in program.statements
    )
    return Contender(render(Program(program.signature, (*head, *body), program.name), LIBRARY), tuple(names.values()))


def _sort(op: str, place: int, args: tuple[str | float, ...]) -> str:
    if op == "interpolate" and place == 2:
        return "beta"
    if op == "clip_by_global_norm" and place == 1:
        return "bound"
    return "weight_decay" if op == "multiply" and "w" in args else "c"


def _numbered(constants: Sequence[tuple[float, str]], taken: set[str]) -> dict[tuple[float, str], str]:
    """Names by constant and sort, none of them taken."""
    names: dict[tuple[float, str], str] = {}
    for value, sort in constants:
        alone = [other for _, other in constants].count(sort) == 1
        free = ([sort] if alone else []) + [f"{sort}{k}" for k in range(1, len(constants) + len(taken) + 2)]
        names[value, sort] = next(name for name in free if name not in taken)
        taken.add(names[value, sort])
    return names


def settings_of(values: tuple[float, ...], number: int, seed: int = 0) -> list[tuple[float, ...]]:
    """Draws settings of constants around those that a rule has.

    c <- c 2^N(0, 1); for one from 0.5 to 1, a decay rate, 1 - c <- min(1, (1 - c) 2^N(0, 1)). The first setting is the
    rule's own. The draws are the same for all rules.

    Args:
        values: the constants.
        number: how many settings.
        seed: of the draws.
    """
    drawn = [values]
    for row in range(1, number):
        factors = 2.0 ** np.random.default_rng([seed, row]).standard_normal(len(values))
        drawn.append(tuple(_moved(value, float(factor)) for value, factor in zip(values, factors, strict=True)))
    return drawn[:number]


def _moved(value: float, factor: float) -> float:
    return 1.0 - min(1.0, (1.0 - value) * factor) if 0.5 < value < 1.0 else value * factor
