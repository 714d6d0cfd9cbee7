"""Approximations as source that needs no Pride; what is known of the error stands beside the code."""

import keyword
import re
import textwrap
from math import isfinite

import numpy as np

from evaluators.numerics import textbook
from evaluators.numerics.fit import Code
from evaluators.numerics.float32 import UNIT, error32, sample32
from evaluators.numerics.formula import Formula
from evaluators.numerics.options import Options
from evaluators.numerics.structure import FUNCTION, program_of, read
from evaluators.numerics.targets import Target, chebyshev, context, target_of
from evaluators.numerics.verify import METHOD, verify
from primitives.graph import check
from primitives.layout import Layout
from primitives.names import nearest
from primitives.ops import REALS
from primitives.program import COPY, Program, ProgramError, Statement
from primitives.reference import step
from primitives.simplify import canonicalize
from primitives.text import render

TARGETS = ("python", "jax", "c", "latex", "text")
"""What an approximation can be written as."""
_POINTS = 2_000
_C_KEYWORDS = """
    auto break case char const continue default do double else enum extern float for goto if inline int long register
    restrict return short signed sizeof static struct switch typedef union unsigned void volatile while
"""
_SIGNS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}


def export(to: str, program: Program, options: Options, name: str) -> str:
    """Returns an approximation as source.

    Args:
        to: one of TARGETS.
        program: a valid program of the domain.
        options: the section `evaluation` of the configuration: what it approximates, and where.
        name: name of the function.

    Raises:
        ProgramError: the program is not valid, or does not depend on x.
        ValueError: an unknown target, or a name that is no identifier.
    """
    if to not in TARGETS:
        raise ValueError(f"a target must be one of {', '.join(TARGETS)}, got {to!r}{nearest(to, TARGETS)}")
    if not name.isidentifier() or not name.isascii() or keyword.iskeyword(name) or name in _C_KEYWORDS.split():
        raise ValueError(f"a function must be named by an identifier, got {name!r}; choose another name")
    graph = canonicalize(check(program, REALS), REALS, "float64")
    formula = read(graph, context().mpf)
    if formula is None:
        raise ProgramError("an approximation must depend on x, got one that does not; use x")
    target = target_of(options.target, options.interval, options.error)
    if not all(isfinite(float(c)) for c in formula.constants):
        raise ValueError("constants must be finite in float64, got one that is not; simplify the program")
    rounded = program_of(Formula(formula.structure, tuple(map(float, formula.constants))), FUNCTION)
    is_single = options.arithmetic == "float32"
    about = _about(program, rounded, target, is_single)
    if to == "text":
        return "".join(f"# {line}\n" for line in about) + render(program, REALS)
    if to == "jax" and not is_single:
        about.append("x is float64: switch `jax_enable_x64` on, or the errors are those of float32.")
    if to == "c":
        return _c(rounded.statements, about, name, is_single)
    write = {"python": _python, "jax": _jax, "latex": _latex}[to]
    return write(rounded.statements, about, name, target)


def _about(program: Program, rounded: Program, target: Target, is_single: bool) -> list[str]:
    """What is known of a program, in lines."""
    graph = canonicalize(check(program, REALS), REALS, "float64")
    found = verify(graph, target)
    formula = read(graph, context().mpf)
    operations = formula.structure.operations if formula else 0
    best = textbook.best(target, operations)
    arithmetic = (
        f"In float64: max {target.metric} error {float64_error(rounded, target):.3e} on {_POINTS:,} Chebyshev nodes."
    )
    if is_single and formula:
        points = sample32(target, _POINTS)
        constants = np.array([float(c) for c in formula.constants])
        ulp = error32(Code(formula.structure), constants, points) / UNIT
        arithmetic = (
            f"In float32, each operation rounded: max error {ulp:.3f} ULP on {len(points.x):,} points of the interval; "
            f"a compiler that contracts a product and a sum into one operation changes that."
        )
    text = [
        f"{target.name} on {target.interval} in {operations} operations, those on constants alone not counted.",
        f"In exact arithmetic: {found}.",
        arithmetic,
        f"How: {METHOD}.",
        f"The best textbook form of as many operations ({best.name}) has {best.error:.3e}.",
    ]
    if found.holes:
        text.append(
            f"A divisor is zero at x = {', '.join(f'{x:.17g}' for x in found.holes)}: IEEE arithmetic gives the limit "
            f"there, where division by zero does not raise."
        )
    return text


def float64_error(program: Program, target: Target) -> float:
    """Returns the largest error on a grid of a program that runs in float64."""
    graph = canonicalize(check(program, REALS), REALS, "float64")
    points = chebyshev(*target.ends, _POINTS)
    (y,), _ = step(graph, REALS, Layout(((_POINTS,),)), {"x": points}, ())
    mp = context()
    errors = [abs(mp.mpf(v) - target.exact(x)) for x, v in zip(points.tolist(), np.asarray(y).tolist(), strict=True)]
    if target.metric == "relative":
        errors = [e / abs(target.exact(x)) for x, e in zip(points.tolist(), errors, strict=True)]
    return float(max(errors))


def _source(statement: Statement, root: str, fused: str, suffix: str = "") -> str:
    """The right side of a statement in a language with Python's or C's operators; a suffix marks its constants."""
    _, op, args = statement
    words = [arg if isinstance(arg, str) else repr(float(arg)) + suffix for arg in args]
    if op == COPY:
        return words[0]
    if op == "sqrt":
        return root.format(*words)
    if op == "fma":
        return fused.format(*words)
    sign, right = _SIGNS[op], words[1]
    if right.startswith("-") and op in ("add", "subtract"):
        sign, right = ("-" if sign == "+" else "+"), right[1:]
    return f"{words[0]} {sign} {right}"


def _python(statements: tuple[Statement, ...], about: list[str], name: str, target: Target) -> str:
    del target
    uses_root = any(statement.op == "sqrt" for statement in statements)
    lines = ["import numpy as np", "", ""] if uses_root else []
    return "\n".join([*lines, *_function(statements, about, name, "np"), ""])


def _jax(statements: tuple[Statement, ...], about: list[str], name: str, target: Target) -> str:
    del target
    lines = ["import jax", *(["import jax.numpy as jnp"] if any(s.op == "sqrt" for s in statements) else []), "", ""]
    return "\n".join([*lines, "@jax.jit", *_function(statements, about, name, "jnp"), ""])


def _function(statements: tuple[Statement, ...], about: list[str], name: str, xp: str) -> list[str]:
    first, *rest = [line for text in about for line in textwrap.wrap(text, 100)]
    lines = [f"def {name}(x):", f'    """{first}', "", *(f"    {line}" for line in rest), '    """']
    for statement in statements:
        right = _source(statement, f"{xp}.sqrt({xp}.abs({{0}}))", "{0} * {1} + {2}")
        lines.append(f"    {statement.target} = {right}")
    return [*lines, "    return y"]


def _c(statements: tuple[Statement, ...], about: list[str], name: str, is_single: bool) -> str:
    number, suffix = ("float", "f") if is_single else ("double", "")
    lines = ["/*", *(f" * {line}" for text in about for line in textwrap.wrap(text, 100)), " */"]
    if any(statement.op in ("sqrt", "fma") for statement in statements):
        lines += ["#include <math.h>", ""]
    lines.append(f"{number} {name}({number} x) {{")
    known = {"x"}
    for statement in statements:
        root, fused = f"sqrt{suffix}(fabs{suffix}({{0}}))", f"fma{suffix}({{0}}, {{1}}, {{2}})"
        right = _source(statement, root, fused, suffix)
        declared = "" if statement.target in known else f"{number} "
        lines.append(f"    {declared}{statement.target} = {right};")
        known.add(statement.target)
    return "\n".join([*lines, "    return y;", "}", ""])


def _latex(statements: tuple[Statement, ...], about: list[str], name: str, target: Target) -> str:
    rows = []
    for statement in statements:
        words = [_word(arg) for arg in statement.args]
        if statement.op == "divide":
            right = rf"\frac{{{words[0]}}}{{{words[1]}}}"
        elif statement.op == "sqrt":
            right = rf"\sqrt{{\left|{words[0]}\right|}}"
        elif statement.op == "fma":
            right = rf"{words[0]} \cdot {words[1]} + {words[2]}"
        elif statement.op == COPY:
            right = words[0]
        else:
            right = _source(statement, "", "").replace("*", r"\cdot")
            right = " ".join(_word(word) for word in right.split(" "))
        rows.append(rf"  {_word(statement.target)} &\leftarrow {right} \\")
    comments = [f"% {line}" for text in about for line in textwrap.wrap(text, 100)]
    formula = target.latex or r"\mathrm{" + name.replace("_", r"\_") + "}(x)"
    intro = rf"${formula}$ on ${target.interval}$ is approximated by $y$:"
    body = [r"\begin{align*}", *rows, r"\end{align*}"]
    head = [r"\documentclass{article}", r"\usepackage{amsmath}", r"\begin{document}"]
    return "\n".join([*comments, *head, intro, *body, r"\end{document}", ""])


def _word(arg: str | float) -> str:
    """A name or a number as LaTeX."""
    text = arg if isinstance(arg, str) else repr(float(arg))
    if re.fullmatch(r"[a-z]\d+", text):
        return f"{text[0]}_{{{text[1:]}}}"
    mantissa, _, exponent = text.partition("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa
