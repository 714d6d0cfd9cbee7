"""What a program is up to its constants: operations on x with slots that a fit fills.

Operations on constants alone are folded, so they cost nothing. What algebra over the reals can do without, whatever the
values of the constants, is rewritten: `(x + a) + b` has one slot, `a x + b x` is `(a + b) x`, factors and signs move
outwards where they meet others. So programs that differ by their constants, by names, or by such identities have one
structure and are fitted once.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from evaluators.numerics.formula import OPERATIONS, Formula
from evaluators.numerics.terms import Terms, X
from primitives.graph import Graph
from primitives.kinds import TENSOR
from primitives.program import COPY, Program, Signature, Statement

FUNCTION = "approximate"
"""What the function of a program is called."""
_PASSES = 8
"""Rewriting passes at most; few programs need more than three."""
_ROUNDS = 4
"""Times that signs are chosen and the rest is rewritten once more, at most: either may make way for the other."""


@lru_cache(maxsize=4096)
def read(graph: Graph, number: Callable[[float], Any] = float) -> Formula | None:
    """Returns the structure of a canonical graph and its constants.

    Args:
        graph: canonical form of a program of x.
        number: makes a number of the arithmetic that constants are folded in.

    Returns:
        None where the program does not depend on x, or an operation on constants alone has no value.
    """
    terms = Terms(number)
    # + 0.0: graphs are equal where one has -0.0 and the other 0.0, and what is remembered must not depend on the first
    refs = [X] * len(graph.inputs) + [terms.constant(number(c + 0.0)) for c in graph.constants]
    try:
        for op, args in graph.nodes:
            refs.append(terms.call(op, [refs[a] for a in args]))
        root = refs[graph.outputs[0]]
        for _ in range(_ROUNDS):
            start = root
            for _ in range(_PASSES):
                before, root = root, terms.rewritten(root)
                if root == before:
                    break
            if terms[root].op == "constant":
                break
            root = terms.signed(root)
            if root == start:
                break
    except (ArithmeticError, ValueError):  # constants alone divided by zero, or beyond all numbers
        return None
    return None if terms[root].op == "constant" else terms.formula(root)


# --- back to programs ---------------------------------------------------------------------------------------------


def program_of(formula: Formula, function: str, exact: Callable[[Any], tuple[float, float]] | None = None) -> Program:
    """Returns a formula as a program.

    A statement takes over the name of an argument that nothing needs afterwards. So a search can delete most
    statements, and what is left is a program.

    Args:
        formula: structure and constants.
        function: name of the function.
        exact: splits a constant into two floats that sum to it; the second is added where it is not 0, an operation on
            constants alone. None takes constants as floats.
    """
    structure, constants = formula
    statements: list[Statement] = []
    last = {arg: place for place, node in enumerate(structure.nodes) for arg in node.args}
    names = {0: "x"}
    left = list(constants)
    for place, (op, args) in enumerate(structure.nodes):
        operation = OPERATIONS[op]
        own: list[str | float] = []
        for _ in range(operation.constants):
            constant = left.pop(0)
            high, low = exact(constant) if exact else (float(constant), 0.0)
            if low:
                statements.append(Statement(f"c{len(constants) - len(left)}", "add", (high, low)))
            own.append(f"c{len(constants) - len(left)}" if low else high)
        words = tuple([own[~i] if i < 0 else names[args[i]] for i in operation.pattern])
        free = [names[arg] for arg in args if last[arg] == place]
        ends = place == len(structure.nodes) - 1
        held = {names[arg] for arg, needed in last.items() if arg in names and needed > place}
        fresh = next(name for i in range(len(structure.nodes) + 1) if (name := f"v{i}") not in held)
        names[place + 1] = "y" if ends else free[0] if free else fresh
        statements.append(Statement(names[place + 1], operation.primitive, words))
    if not structure.nodes:
        statements.append(Statement("y", COPY, ("x",)))
    return Program(Signature((("x", TENSOR),), (("y", TENSOR),)), tuple(statements), function)
