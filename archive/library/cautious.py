"""Cautious rules: any rule, but only where its step agrees with the gradient.

References: Liang et al. 2024, Cautious Optimizers: Improving Training with One Line of Code; the scale is that of the
authors' code.
"""

from itertools import chain, count
from typing import Any

from primitives.card import Card
from primitives.program import COPY, Program, ProgramError, Statement

PREFIX = "cautious_"
"""What the name of a cautious rule begins with."""
_DECAY = "weight_decay"
_SOURCE = "Liang et al. 2024, Cautious Optimizers: Improving Training with One Line of Code"


def cautious(program: Program, decays: bool) -> Program:
    """Returns a program whose step u becomes u mask / max(mean(mask), 0.001), with mask = 1 where u g > 0, else 0.

    The mean is taken over each tensor. Decoupled weight decay is no part of the step.

    Args:
        program: an update rule.
        decays: whether it has the hyper-parameter `weight_decay`.

    Raises:
        ProgramError: its weight decay is not added to the step, as in `decay = w * weight_decay` and `u = u + decay`.
    """
    if "g" not in dict(program.signature.inputs):
        raise ProgramError("a cautious rule must read the gradient g, got a rule without it; choose another rule")
    statements = list(program.statements)
    steps, found = _steps(statements, "update", len(statements))
    if decays and not found:
        raise ProgramError(
            "only decoupled weight decay can stay outside of a cautious step: it must be added as in "
            "`decay = w * weight_decay` and `update = update + decay`, got none; choose another rule"
        )
    used = {name for name, _ in program.signature.inputs} | {statement.target for statement in statements}
    gradient, mask, share = (_unused(name, used) for name in ("gradient", "mask", "share"))
    end, instead = len(statements), {}
    for place, step in sorted(steps, reverse=True):  # from behind, so that places stay what they are
        instead[place, step] = step if place == end else _unused("kept", used | {*instead.values()})
        if place < end:
            target, op, args = statements[place]
            statements[place] = Statement(
                target, op, tuple(instead[place, step] if arg == step else arg for arg in args)
            )
    for place, step in sorted(steps, reverse=True):
        statements[place:place] = [
            Statement(mask, "multiply", (step, gradient)),
            Statement(mask, "where", (mask, 1.0, 0.0)),
            Statement(share, "mean", (mask,)),
            Statement(share, "max", (share, 0.001)),
            Statement(mask, "divide", (mask, share)),
            Statement(instead[place, step], "multiply", (step, mask)),
        ]
    return Program(program.signature, (Statement(gradient, COPY, ("g",)), *statements), program.name)


def _steps(statements: list[Statement], name: str, end: int) -> tuple[set[tuple[int, str]], bool]:
    """Returns what a variable is but for learning rate, weight decay and choices of tensors.

    Args:
        statements: of the program.
        name: the variable.
        end: place of the statement that reads it.

    Returns:
        The variables, with the places of the statements that read them; whether weight decay was met on the way.
    """
    places = [place for place in range(end) if statements[place].target == name]
    if not places:
        return {(end, name)}, False
    place = places[-1]
    _, op, args = statements[place]
    names = [arg for arg in args if isinstance(arg, str)]
    if op == "add":
        for decay, step in (args, args[::-1]):
            if isinstance(step, str) and step != "g" and _is_decay(statements, decay, place):
                return {(place, step)}, True
    if op in ("if_matrix", "if_wide"):
        both = [_steps(statements, one, place) for one in names]
        return set().union(*(steps for steps, _ in both)), any(found for _, found in both)
    if op == COPY or (op == "multiply" and {*args} - {*names} | {"lr"} & {*args}):
        (rest,) = {*names} - {"lr"} or {"lr"}
        return _steps(statements, rest, place)
    return {(end, name)}, False


def _is_decay(statements: list[Statement], name: str | float, end: int) -> bool:
    places = [place for place in range(end) if statements[place].target == name]
    return bool(places) and statements[places[-1]][1:] in (
        ("multiply", ("w", _DECAY)),
        ("multiply", (_DECAY, "w")),
    )


def _unused(name: str, used: set[str]) -> str:
    return next(one for one in chain((name,), (f"{name}_{k}" for k in count(2))) if one not in used)


def cautious_card(card: Card) -> dict[str, Any]:
    """Returns the card of a cautious rule, as its YAML says it."""
    step = "u, the step without weight decay" if any(p.name == _DECAY for p in card.hyperparameters) else "u, the step"
    added = f"Of {step}, only the entries where u g > 0, times 1 / max(their share of the tensor, 0.001)."
    found = {
        "title": f"Cautious {card.title}",
        "summary": "steps only where they agree with the gradient",
        "mathematics": f"{card.mathematics}\n{added}".strip("\n") + "\n",
        "learning_rate": card.learning_rate.default,
        "hyperparameters": {one.name: {"range": str(one.range), "doc": one.doc} for one in card.hyperparameters},
        "source": "; ".join(text for text in (card.source, _SOURCE) if text),
        "advice": card.advice,
    }
    return {key: value for key, value in found.items() if value not in (None, "", {})}
