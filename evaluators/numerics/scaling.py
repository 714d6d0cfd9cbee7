"""How constants change where x becomes x / s: by powers of s, as dimensions do where a unit changes.

f(x / s; c) = f(x; c') with c'_j = s^(e_j) c_j, where values have dimensions d with d = 1 for x and 0 for the result:

    u + c       d = d_u, e = d_u        u c      d = d_u + e        c / u     d = e - d_u
    u + v       d = d_u = d_v           u v      d = d_u + d_v      u / v     d = d_u - d_v        sqrt(u)   d = d_u / 2
"""

import numpy as np

from evaluators.numerics.formula import OPERATIONS, Structure

_INCONSISTENT = 1e-9


def weights(structure: Structure) -> np.ndarray | None:
    """Returns the powers of s for the constants (slots,); None where no constants make f(x / s) of f(x)."""
    values = len(structure.nodes) + 1
    rows: list[dict[int, float]] = []

    def equal(*terms: tuple[int, float]) -> None:
        """A sum of unknowns that is 0: of values first, then of constants."""
        row: dict[int, float] = {}
        for unknown, factor in terms:
            row[unknown] = row.get(unknown, 0.0) + factor
        rows.append(row)

    slot = values
    for place, (op, args) in enumerate(structure.nodes, start=1):
        u = args[0]
        if op in ("shift", "flip"):
            equal((place, 1.0), (u, -1.0))
            equal((slot, 1.0), (u, -1.0))
        elif op == "scale":
            equal((place, 1.0), (u, -1.0), (slot, -1.0))
        elif op == "invert":
            equal((place, 1.0), (u, 1.0), (slot, -1.0))
        elif op in ("add", "subtract"):
            equal((place, 1.0), (u, -1.0))
            equal((place, 1.0), (args[1], -1.0))
        elif op in ("multiply", "divide"):
            equal((place, 1.0), (u, -1.0), (args[1], -1.0 if op == "multiply" else 1.0))
        elif op == "sqrt":
            equal((place, 1.0), (u, -0.5))
        elif op == "fma":
            equal((place, 1.0), (u, -1.0), (args[1], -1.0))
            equal((place, 1.0), (args[2], -1.0))
        elif op == "fma_shift":
            equal((place, 1.0), (u, -1.0), (args[1], -1.0))
            equal((place, 1.0), (slot, -1.0))
        elif op == "fma_scale":
            equal((place, 1.0), (u, -1.0), (slot, -1.0))
            equal((place, 1.0), (args[1], -1.0))
        else:
            equal((place, 1.0), (u, -1.0), (slot, -1.0))
            equal((place, 1.0), (slot + 1, -1.0))
        slot += OPERATIONS[op].constants
    matrix = np.zeros((len(rows) + 2, slot))
    for number, row in enumerate(rows):
        for unknown, factor in row.items():
            matrix[number, unknown] = factor
    right = np.zeros(len(rows) + 2)
    matrix[-2, 0], right[-2], matrix[-1, values - 1] = 1.0, 1.0, 1.0
    found = np.linalg.lstsq(matrix, right, rcond=None)[0]
    return found[values:] if np.abs(matrix @ found - right).max() < _INCONSISTENT else None
