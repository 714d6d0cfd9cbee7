"""A rule that treats matrices apart as several rules, one for each class of tensors: what exports are written from.

In the language such a rule is one program, where `if_matrix` chooses and functions of matrices give zeros elsewhere.
What a class of tensors does not need is dead code there, state too.
"""

from dataclasses import dataclass

from primitives.emit.readable import Rule
from primitives.kinds import LEFT, RIGHT, SCALAR
from primitives.primitive import Scope, Vocabulary
from primitives.program import COPY, Program, ProgramError, Statement

_CHOICES = ("if_matrix", "if_wide")


@dataclass(frozen=True, slots=True)
class Part:
    """A rule for some of the tensors.

    Args:
        label: what they are, a word for names; empty where there are no others.
        test: source that is true of such a tensor `x`.
        rule: the rule.
    """

    label: str
    test: str
    rule: Rule


def classes(program: Program, vocabulary: Vocabulary) -> dict[str, str]:
    """Returns label and test of each class of tensors that a program tells apart.

    Raises:
        ProgramError: it tells some apart and looks at the whole model, which no class is.
    """
    used = {s.op for s in program.statements if s.op in vocabulary}
    if not any(op in _CHOICES or vocabulary[op].matrices for op in used):
        return {"": ""}
    small = [name for name, kind in program.signature.outputs if kind is SCALAR]
    whole = sorted(op for op in used if vocabulary[op].scope is Scope.MODEL)
    if whole or small:
        raise ProgramError(
            f"a rule that treats matrices apart must not see the whole model, "
            f"got {whole[0] if whole else f'the state {small[0]}'!r}; export it as text"
        )
    if "if_wide" in used:
        matrix = "x.ndim == 2 and x.shape[0]"
        return {"wide": f"{matrix} <= x.shape[1]", "tall": f"{matrix} > x.shape[1]", "other": "x.ndim != 2"}
    return {"matrix": "x.ndim == 2", "other": "x.ndim != 2"}


def specialize(program: Program, vocabulary: Vocabulary, label: str) -> Program:
    """Returns what a program does to the tensors of a class: choices are made, what is 0 for them is 0."""
    if not label:
        return program
    chosen = {"if_matrix": label != "other", "if_wide": label == "wide"}
    statements = []
    for target, op, args in program.statements:
        primitive = vocabulary.get(op)
        if op in chosen:
            statements.append(Statement(target, COPY, (args[0] if chosen[op] else args[1],)))
        elif label == "other" and primitive is not None and primitive.matrices:
            statements.append(Statement(target, COPY, (0.0,)))
        else:
            statements.append(Statement(target, op, args))
    return Program(program.signature, tuple(statements), program.name)


def check_shapes(rule: Rule, label: str) -> None:
    """Refuses values on the sides of matrices for tensors that are none.

    Raises:
        ProgramError: there is one.
    """
    if label == "other" and {LEFT, RIGHT} & {*rule.graph.kinds, *rule.graph.state_kinds}:
        raise ProgramError(
            "a square matrix must only be read by functions of matrices, for other tensors have none; "
            "use `trace` or `matmul`, or export the rule as text"
        )
