"""A rule that treats matrices apart as several rules, one for each class of tensors: what exports are written from.

In the language such a rule is one program, where `if_matrix` chooses and functions of matrices give zeros elsewhere.
What a class of tensors does not need is dead code there, state too.
"""

from dataclasses import dataclass

from primitives.emit.readable import Rule
from primitives.graph import Kinds, check, kind_of
from primitives.kinds import LEFT, RIGHT, SCALAR
from primitives.primitive import Scope, Vocabulary
from primitives.program import COPY, Program, ProgramError, Statement
from primitives.simplify import canonicalize

_CHOICES = ("if_matrix", "if_wide")
_SQUARES = frozenset((LEFT, RIGHT))


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

    @property
    def suffix(self) -> str:
        """What it adds to names."""
        return f"_{self.label}" if self.label else ""


def classes(program: Program, vocabulary: Vocabulary) -> dict[str, str]:
    """Returns label and test of each class of tensors that a program tells apart; dead code tells nothing.

    Raises:
        ProgramError: it is not valid, or it tells some apart and looks at the whole model, which no class is.
    """
    graph = canonicalize(check(program, vocabulary), vocabulary, "float64")
    used, kinds = {node.op for node in graph.nodes}, {*graph.kinds, *graph.state_kinds}
    if not any(op in _CHOICES or vocabulary[op].matrices for op in used) and not kinds & _SQUARES:
        return {"": ""}
    whole = sorted(op for op in used if vocabulary[op].scope is Scope.MODEL)
    if whole or SCALAR in graph.state_kinds:
        raise ProgramError(
            f"a rule that treats matrices apart must not see the whole model, "
            f"got {whole[0] if whole else 'state that is a SCALAR'}; export it as text"
        )
    if "if_wide" in used:
        matrix = "x.ndim == 2 and x.shape[0]"
        return {"wide": f"{matrix} <= x.shape[1]", "tall": f"{matrix} > x.shape[1]", "other": "x.ndim != 2"}
    return {"matrix": "x.ndim == 2", "other": "x.ndim != 2"}


def specialize(program: Program, vocabulary: Vocabulary, label: str) -> Program:
    """Returns what a program that was checked does to the tensors of a class.

    Choices are made. Tensors that are no matrix have nothing on the sides of matrices, and what is computed from it is
    0: functions of matrices give zeros there, and norms and sums of nothing are 0.
    """
    if not label:
        return program
    chosen = {"if_matrix": label != "other", "if_wide": label == "wide"}
    kinds, statements = Kinds(program.signature.inputs), []
    for target, op, args in program.statements:
        given = tuple([kinds[arg] for arg in args])
        copies = op == COPY
        kinds[target] = given[0] if copies else kind_of(op, given, target, vocabulary)
        matrices = not copies and (vocabulary[op].matrices or bool(_SQUARES & {*given}))
        if op in chosen:
            statements.append(Statement(target, COPY, (args[not chosen[op]],)))
        elif label == "other" and matrices:
            statements.append(Statement(target, COPY, (0.0,)))
        else:
            statements.append(Statement(target, op, args))
    return Program(program.signature, tuple(statements), program.name)
