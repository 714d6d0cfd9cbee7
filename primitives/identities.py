"""Identities of the real numbers, as a table: what `primitives.reals` rewrites by."""

import ast
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple, TypeAlias


class Operation(NamedTuple):
    """An operation on terms."""

    op: str
    args: "tuple[Term, ...]"


Term: TypeAlias = str | float | Operation
"""A variable, a number, or an operation on terms."""


class Rule(NamedTuple):
    """`pattern` becomes `replacement` wherever `when` holds for the constants that were matched.

    The variables c and d stand for constants, p for a positive constant, all others for any value; operands of
    commutative operations match in both orders; `/` is the guarded division.
    """

    pattern: str
    replacement: str
    when: Callable[[Mapping[str, float]], bool] | None = None


def _blends(constants: Mapping[str, float]) -> bool:
    return abs(constants["c"] + constants["d"] - 1.0) <= 1e-6


RULES: tuple[Rule, ...] = (
    # neutral and absorbing elements
    Rule("x + 0.0", "x"),
    Rule("0.0 - x", "negative(x)"),
    Rule("x - x", "0.0"),
    Rule("x * 0.0", "0.0"),
    Rule("0.0 / x", "0.0"),
    Rule("x / 1.0", "x"),
    Rule("x / x", "1.0"),
    Rule("power(x, 0.0)", "1.0"),
    Rule("power(1.0, x)", "1.0"),
    Rule("power(x, 1.0)", "x"),
    Rule("power(x, 2.0)", "square(x)"),
    Rule("power(x, 3.0)", "cube(x)"),
    Rule("max(x, x)", "x"),
    Rule("min(x, x)", "x"),
    Rule("max(x, negative(x))", "abs(x)"),
    # one undoes the other
    Rule("(x + y) - x", "y"),
    Rule("x - (x + y)", "negative(y)"),
    Rule("x - (x - y)", "y"),
    Rule("(x - y) + y", "x"),
    Rule("(x - y) - x", "negative(y)"),
    Rule("(x * y) / x", "y"),
    Rule("(x / y) * y", "x"),
    Rule("x / (x * y)", "1.0 / y"),
    Rule("reciprocal(reciprocal(x))", "x"),
    Rule("sqrt(square(x))", "abs(x)"),
    Rule("square(sqrt(x))", "abs(x)"),
    Rule("cbrt(cube(x))", "x"),
    Rule("cube(cbrt(x))", "x"),
    Rule("log(exp(x))", "x"),
    Rule("exp(log(x))", "abs(x)"),
    Rule("log2(exp2(x))", "x"),
    Rule("exp2(log2(x))", "abs(x)"),
    Rule("log10(exp10(x))", "x"),
    Rule("exp10(log10(x))", "abs(x)"),
    Rule("log1p(expm1(x))", "x"),
    Rule("sin(arcsin(x))", "x"),
    Rule("cos(arccos(x))", "x"),
    Rule("tan(arctan(x))", "x"),
    Rule("sinh(arcsinh(x))", "x"),
    Rule("arcsinh(sinh(x))", "x"),
    Rule("cosh(arccosh(x))", "x"),
    Rule("tanh(arctanh(x))", "x"),
    Rule("arctanh(tanh(x))", "x"),
    # signs
    Rule("x / abs(x)", "sign(x)"),
    Rule("abs(x) / x", "sign(x)"),
    Rule("(x * y) / abs(x)", "sign(x) * y"),
    Rule("abs(x) * sign(x)", "x"),
    Rule("sign(x * p)", "sign(x)"),
    Rule("sign(x / p)", "sign(x)"),
    Rule("sign(cube(x))", "sign(x)"),
    Rule("sign(cbrt(x))", "sign(x)"),
    Rule("sign(tanh(x))", "sign(x)"),
    Rule("sign(sinh(x))", "sign(x)"),
    Rule("sign(arcsin(x))", "sign(x)"),
    Rule("sign(arctan(x))", "sign(x)"),
    Rule("sign(arcsinh(x))", "sign(x)"),
    Rule("negative(x - y)", "y - x"),
    Rule("negative(x) * negative(y)", "x * y"),
    Rule("negative(x * c)", "x * negative(c)"),
    Rule("negative(x) * c", "x * negative(c)"),
    # constants meet and fold
    Rule("(x + c) + d", "x + (c + d)"),
    Rule("(x + c) + (y + d)", "(x + y) + (c + d)"),
    Rule("(x * c) * d", "x * (c * d)"),
    Rule("(x * c) * (y * d)", "(x * y) * (c * d)"),
    Rule("(x * c) / d", "x * (c / d)"),
    Rule("(x / c) * d", "x * (d / c)"),
    Rule("(x / c) / d", "x / (c * d)"),
    Rule("x * c + x", "x * (c + 1.0)"),
    Rule("x * c - x", "x * (c - 1.0)"),
    Rule("x - x * c", "x * (1.0 - c)"),
    Rule("max(max(x, c), d)", "max(x, max(c, d))"),
    Rule("min(min(x, c), d)", "min(x, min(c, d))"),
    # common factors
    Rule("a * x + a * y", "a * (x + y)"),
    Rule("a * x - a * y", "a * (x - y)"),
    Rule("x / a + y / a", "(x + y) / a"),
    Rule("x / a - y / a", "(x - y) / a"),
    Rule("a * x + (a * y + z)", "a * (x + y) + z"),
    Rule("a * b * x + a * y", "a * (b * x + y)"),
    Rule("a * b * x - a * y", "a * (b * x - y)"),
    Rule("a * y - a * b * x", "a * (y - b * x)"),
    # products of functions
    Rule("square(x) * x", "cube(x)"),
    Rule("sqrt(x) * sqrt(y)", "sqrt(x * y)"),
    Rule("square(x) * square(y)", "square(x * y)"),
    Rule("abs(x) * abs(y)", "abs(x * y)"),
    Rule("sign(x) * sign(y)", "sign(x * y)"),
    Rule("exp(x) * exp(y)", "exp(x + y)"),
    # blends
    Rule("interpolate(x, x, a)", "x"),
    Rule("interpolate(x, y, 0.0)", "x"),
    Rule("interpolate(x, y, 1.0)", "y"),
    Rule("interpolate(0.0, y, a)", "a * y"),
    Rule("interpolate(x, 0.0, c)", "x * (1.0 - c)"),
    Rule("interpolate(x, interpolate(x, y, a), b)", "interpolate(x, y, a * b)"),
    Rule("interpolate(y, interpolate(x, y, c), d)", "interpolate(y, x, d * (1.0 - c))"),
    Rule("interpolate(interpolate(x, y, c), x, d)", "interpolate(x, y, c * (1.0 - d))"),
    Rule("interpolate(interpolate(y, x, c), x, d)", "interpolate(x, y, (1.0 - c) * (1.0 - d))"),
    Rule("x + a * (y - x)", "interpolate(x, y, a)"),
    Rule("x * c + y * d", "interpolate(x, y, d)", _blends),
    # the whole model
    Rule("sqrt(dot(x, x))", "global_norm(x)"),
    Rule("clip_by_global_norm(clip_by_global_norm(x, p), p)", "clip_by_global_norm(x, p)"),
)
"""Identities of the reals; applied from left to right, and only where the program gets simpler."""

_INFIX = {ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "guarded_divide"}


@lru_cache(maxsize=1)
def rules_by_operation() -> dict[str, list[tuple[Operation, Term, Callable[[Mapping[str, float]], bool] | None]]]:
    """Returns the rules as terms, by the operation that their pattern begins with."""
    rules: dict[str, list[tuple[Operation, Term, Callable[[Mapping[str, float]], bool] | None]]] = {}
    for pattern, replacement, when in RULES:
        term = parse_term(pattern)
        if isinstance(term, Operation):
            rules.setdefault(term.op, []).append((term, parse_term(replacement), when))
    return rules


def parse_term(text: str) -> Term:
    """Reads a term of the rules: nested calls, infix operators, variables and numbers."""
    return _term(ast.parse(text, mode="eval").body)


def _term(node: ast.expr) -> Term:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.BinOp):
        return Operation(_INFIX[type(node.op)], (_term(node.left), _term(node.right)))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return Operation(node.func.id, tuple(_term(arg) for arg in node.args))
    return float(ast.literal_eval(node))


@lru_cache(maxsize=1024)
def operations(term: Term) -> frozenset[str]:
    """Returns the names of all operations in a term."""
    if not isinstance(term, Operation):
        return frozenset()
    return frozenset({term.op}).union(*map(operations, term.args))
