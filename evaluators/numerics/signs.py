"""Signs of the values of a formula: which of them may be negated, and a choice that leaves few minus signs.

A constant takes any sign, so values may be negated inside of a formula: c / x - x is -(x + c' / x) with c' = -c, and
whatever reads it has constants that take the sign in turn. With s_i in {0, 1}, 1 where value i is negated,

    u v, u / v         s_i = s_u + s_v (mod 2)
    u c, c / u         any
    u + c              s_i = s_u, or it becomes c - u
    u + v              s_i = s_u = s_v; where s_u and s_v must differ it is a difference, in the order that s_i asks for
    x, the result      0

are equations over the field of two elements. Those that always hold come first, then each wish from x outwards, if it
contradicts nothing that came before.
"""

from collections.abc import Callable, Sequence
from typing import Any


class ContradictionError(Exception):
    """Signs that can't be."""


class _Equations:
    """Linear forms over the field of two elements: bit 0 is the constant, the others are unknowns."""

    def __init__(self, unknowns: Sequence[int]) -> None:
        self.forms = {number: 1 << place for place, number in enumerate(unknowns)}

    def sum(self, *numbers: int) -> int:
        form = 0
        for number in numbers:
            form ^= self.forms[number]
        return form

    def holds(self, form: int) -> bool:
        """Makes a form 0, if it can be."""
        if form == 1:
            return False
        if form:
            pivot = form.bit_length() - 1
            for number, other in self.forms.items():
                if other >> pivot & 1:
                    self.forms[number] = other ^ form
        return True

    def must(self, form: int) -> None:
        if not self.holds(form):
            raise ContradictionError


def signs(
    order: Sequence[int], terms: Callable[[int], tuple[str, tuple[int, ...], Any]], precedes: Callable[[int, int], bool]
) -> dict[int, int]:
    """Returns 1 for each value that is to be negated, 0 for the others.

    Args:
        order: numbers of the terms, arguments before what they are arguments of; x first, the result last.
        terms: operation, arguments and constants of a term.
        precedes: whether the one of two terms comes before the other in a difference.

    Raises:
        ContradictionError: wishes that were met leave no way for the rest; the formula stays as it is.
    """
    equations = _Equations(order)
    equations.forms[order[0]] = 0
    equations.must(equations.sum(order[-1]))
    for number in order:
        op, args, _ = terms(number)
        if op in ("multiply", "divide", "fma_shift"):
            equations.must(equations.sum(number, *args))
        elif op == "sqrt":
            equations.must(equations.sum(number))
        elif op == "fma":
            equations.must(equations.sum(*args))
            equations.must(equations.sum(number, args[2]))
        elif op == "fma_scale":
            equations.must(equations.sum(number, args[1]))
    for number in order:
        op, args, _ = terms(number)
        if op in ("shift", "flip"):
            equations.holds(equations.sum(number, args[0]) ^ (op == "flip"))
        elif op in ("add", "subtract"):
            u, v = args
            if equations.holds(equations.sum(u, v) ^ (op == "subtract")):
                equations.must(equations.sum(number, u))
            else:
                equations.holds(equations.sum(number, u) ^ precedes(v, u))
    return {number: form & 1 for number, form in equations.forms.items()}
