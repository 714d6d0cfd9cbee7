"""Formulas of x: operations in order, with slots for constants."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from primitives.program import key_of


class Operation(NamedTuple):
    """An operation on values that depend on x, and on constants of its own.

    Args:
        primitive: name of the primitive that computes it.
        pattern: its arguments: the place of a value, or ~place of a constant.
        constants: number of constants.
    """

    primitive: str
    pattern: tuple[int, ...]
    constants: int = 0


OPERATIONS = {
    "shift": Operation("add", (0, ~0), 1),
    "flip": Operation("subtract", (~0, 0), 1),
    "scale": Operation("multiply", (0, ~0), 1),
    "invert": Operation("divide", (~0, 0), 1),
    "add": Operation("add", (0, 1)),
    "subtract": Operation("subtract", (0, 1)),
    "multiply": Operation("multiply", (0, 1)),
    "divide": Operation("divide", (0, 1)),
    "sqrt": Operation("sqrt", (0,)),
    "fma": Operation("fma", (0, 1, 2)),
    "fma_shift": Operation("fma", (0, 1, ~0), 1),
    "fma_scale": Operation("fma", (0, ~0, 1), 1),
    "fma_line": Operation("fma", (0, ~0, ~1), 2),
}
"""Operations by name: u + c, c - u, u c, c / u, those of two values, those that are optional."""
CODES = {op: code for code, op in enumerate(OPERATIONS)}
"""A number for each, part of keys."""


class Node(NamedTuple):
    """One operation; an argument is 0 for x, or 1 + the place of an earlier node."""

    op: str
    args: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Structure:
    """Operations in order, the last one the result; constants fill the slots in the order of the nodes."""

    nodes: tuple[Node, ...]

    @property
    def slots(self) -> int:
        """Number of constants."""
        return sum(OPERATIONS[node.op].constants for node in self.nodes)

    @property
    def operations(self) -> int:
        """Number of operations on what depends on x; those on constants alone are free."""
        return len(self.nodes)

    @property
    def key(self) -> int:
        """The same for programs that are equal up to their constants."""
        return key_of(repr([(CODES[op], args) for op, args in self.nodes]).encode())


class Formula(NamedTuple):
    """A structure and the constants in its slots."""

    structure: Structure
    constants: tuple[Any, ...]
