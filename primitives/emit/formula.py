r"""Formulas in LaTeX: text that knows how tightly it binds, built from the templates of primitives.

A template is for `str.format`: `\sin\left({0}\right)`. A plain slot, `{0}`, stands where any formula may: inside
delimiters, or first in a sum. Elsewhere the slot says what may stand there without parentheses:

    {1:+}   behind a plus: a sum or a product, no leading minus
    {1:*}   a factor, or behind a minus: a product, a function ...
    {0:^}   base of a power: a symbol, a number, or what has delimiters of its own

How tightly the result binds is read off the template.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import IntEnum
from functools import lru_cache
from math import isinf
from string import Formatter

from primitives.emit.symbols import escape
from primitives.kinds import Kind
from primitives.primitive import Primitive, Vocabulary

WIDTH = 54
"""Widest formula, in glyphs; an A4 page has room for about 70."""
_DEEPEST = 3
"""How many delimiters may stand in each other."""
_SHORT = 3
"""Widest formula that is written out wherever it is used."""
_NUMBERS = -1
"""Rank of a number among factors: before all symbols."""


class Level(IntEnum):
    """How tightly a formula binds."""

    SIGNED = 0
    """A sum that begins with a minus."""
    SUM = 1
    NEGATIVE = 2
    """A minus and a product."""
    PRODUCT = 3
    FACTOR = 4
    """A power, a fraction, a function."""
    ATOM = 5


@dataclass(frozen=True, slots=True)
class Formula:
    """A piece of LaTeX.

    Args:
        text: the source.
        level: how tightly it binds.
        rank: place among factors: numbers, then the kinds from low to high.
        width: about how many glyphs it has next to each other.
        tall: how many fractions stand in each other.
        factors: those of a product, and of what a minus stands before.
        order: place among terms of a sum: state (-1), anything (0), the parameters (1).
    """

    text: str
    level: Level
    rank: int
    width: int
    tall: int = 0
    factors: tuple["Formula", ...] = ()
    order: int = 0

    def __format__(self, spec: str) -> str:
        fits = {
            "": True,
            "+": self.level not in (Level.SIGNED, Level.NEGATIVE),
            "*": self.level >= Level.PRODUCT,
            "^": self.level is Level.ATOM,
        }
        return self.text if fits[spec] else rf"\left({self.text}\right)"

    @property
    def fits(self) -> bool:
        """Whether it can be read."""
        deep = most = 0
        for delimiter in re.findall(r"\\(?:left|right)(?![a-z])", self.text):
            deep += 1 if delimiter == r"\left" else -1
            most = max(most, deep)
        return self.width <= WIDTH and self.tall <= 1 and most <= _DEEPEST

    @property
    def short(self) -> bool:
        """Whether it is no longer than a name for it would be."""
        return self.width <= _SHORT and self.level >= Level.NEGATIVE


def symbol(text: str, kind: Kind, width: int, order: int = 0) -> Formula:
    """Returns a variable."""
    return Formula(text, Level.ATOM, _rank(kind), width, order=order)


def number(value: float) -> Formula:
    """Returns a constant: its shortest decimal, with a power of ten where Python writes one."""
    text = numeral(abs(value))
    level = Level.PRODUCT if "cdot" in text else Level.FACTOR if "^" in text else Level.ATOM
    positive = Formula(text, level, _NUMBERS, len(re.sub(r"\\cdot|[ {}^]", "", text)))
    return _minus(positive) if str(value).startswith("-") else positive


def numeral(value: float) -> str:
    r"""Returns the LaTeX of a number: `0.5`, `10^{-8}`, `2.5 \cdot 10^{-7}`, `\infty`."""
    if isinf(value):
        return r"\infty" if value > 0.0 else r"-\infty"
    mantissa, _, exponent = repr(float(value)).partition("e")
    mantissa = mantissa.removesuffix(".0")
    if not exponent:
        return mantissa
    power = f"10^{{{int(exponent)}}}"
    return power if mantissa == "1" else f"-{power}" if mantissa == "-1" else rf"{mantissa} \cdot {power}"


class Algebra:
    """Applies primitives of a vocabulary to formulas."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    def apply(self, op: str, args: Sequence[Formula], kind: Kind, bare: bool = False) -> Formula:
        """Returns the formula of an operation, written as people do: `a - b` for `a + -b`, `2 x` for `x * 2`.

        Args:
            op: name of the primitive.
            args: its arguments.
            kind: kind of the result.
            bare: whether the argument that the primitive guards against is known not to be negative.
        """
        primitive = self.vocabulary[op]
        minus = [arg.level is Level.NEGATIVE for arg in args]
        if op == "add" and primitive.commutative:
            args = sorted(args, key=lambda arg: (arg.level is Level.NEGATIVE, -arg.rank, arg.order, -arg.width))
            if args[1].level is Level.NEGATIVE and "subtract" in self.vocabulary:
                return _fill(self.vocabulary["subtract"], (args[0], _positive(args[1])), kind)
        elif op == "subtract" and minus[1] and "add" in self.vocabulary:
            return _fill(self.vocabulary["add"], (args[0], _positive(args[1])), kind)
        elif op == "negative":
            if minus[0]:
                return _positive(args[0])
            return replace(_fill(primitive, args, kind), factors=args[0].factors or (args[0],))
        elif op == "multiply" and primitive.commutative:
            product = self._product([factor for arg in args for factor in arg.factors or (arg,)], kind)
            return _minus(product) if sum(minus) == 1 else product
        elif op == "interpolate" and {"add", "multiply"} <= self.vocabulary.keys():
            rest = _rest(args[2])
            if rest is not None:  # 0.9 m + 0.1 g
                old = self.apply("multiply", (args[2], args[1]), kind)
                return self.apply("add", (old, self.apply("multiply", (rest, args[0]), kind)), kind)
        return _fill(primitive, args, kind, bare)

    def _product(self, factors: list[Formula], kind: Kind) -> Formula:
        """Numbers first, then scalars; of one kind, what needs parentheses comes last."""
        first, *others = sorted(factors, key=lambda one: (one.rank, one.level < Level.PRODUCT))
        product = first
        for factor in others:
            product = _fill(self.vocabulary["multiply"], (product, factor), kind)
        return replace(product, factors=(first, *others), order=(first, *others)[-1].order)


def _fill(primitive: Primitive, args: Sequence[Formula], kind: Kind, bare: bool = False) -> Formula:
    """Puts arguments into the template of a primitive."""
    template = primitive.latex
    if bare and primitive.latex_bare is not None:
        template = primitive.latex_bare
    if not template:
        slots = ", ".join(f"{{{i}}}" for i in range(primitive.arity))
        template = rf"\operatorname{{{{{escape(primitive.name)}}}}}\left({slots}\right)"
    level, glyphs, slots = _shape(template)
    text = template.format(*args)
    if level is Level.SUM and text.startswith("-"):
        level = Level.SIGNED
    widths = [args[slot].width for slot in slots]
    stacked = r"\frac" in template
    tall = max((arg.tall for arg in args), default=0)
    return Formula(
        text=text,
        level=level,
        rank=_rank(kind) if args else _NUMBERS,
        width=glyphs + (max(widths) if stacked else sum(widths)),
        tall=tall + (stacked or ("{{{" in template and tall > 0)),  # roots and exponents have none either
    )


@lru_cache(maxsize=256)
def _shape(template: str) -> tuple[Level, int, tuple[int, ...]]:
    """How tightly the result of a template binds, how many glyphs it adds, and the arguments in its slots."""
    pieces = list(Formatter().parse(template))
    slots = tuple(int(slot) for _, slot, _, _ in pieces if slot is not None)
    filled = "".join(text + "#" * (slot is not None) for text, slot, _, _ in pieces)
    visible = re.sub(r"\\(?:\||sqrt|infty)", "x", filled)
    visible = re.sub(r"\\(?:left|right|operatorname|mathrm|frac|begin|end|text|cdot)|[{}^_# ]", "", visible)
    glyphs = len(re.sub(r"\\[A-Za-z]+", lambda command: "x" * min(len(command[0]) - 1, 4), visible))
    rest, before = filled, ""
    while rest != before:  # groups go, the innermost first
        before = rest
        rest = re.sub(r"\{[^{}]*\}|\\left(?![a-z])((?!\\left(?![a-z])).)*?\\right(\\[A-Za-z]+|\\?.)", "", rest)
    if any(sign in rest for sign in (" + ", " - ", r"\begin")):
        return Level.SUM, glyphs, slots
    if rest.startswith("-"):
        return Level.NEGATIVE, glyphs, slots
    if " " in rest.strip():
        return Level.PRODUCT, glyphs, slots
    if "^" in rest or (slots and rest.strip("_")):
        return Level.FACTOR, glyphs, slots
    return Level.ATOM, glyphs, slots


def _rank(kind: Kind) -> int:
    return len(kind.lower)


def _minus(formula: Formula) -> Formula:
    return replace(
        formula,
        text=f"-{formula:*}",
        level=Level.NEGATIVE,
        width=formula.width + 1,
        factors=formula.factors or (formula,),
    )


def _positive(formula: Formula) -> Formula:
    """What stands behind the minus."""
    if len(formula.factors) == 1:
        return formula.factors[0]
    return replace(formula, text=formula.text[1:], level=Level.PRODUCT, width=formula.width - 1)


def _rest(weight: Formula) -> Formula | None:
    """1 - weight, where that is a number with about as many digits."""
    if weight.rank != _NUMBERS or not re.fullmatch(r"-?[\d.]+", weight.text):
        return None
    rest = 1 - Decimal(weight.text)
    return number(float(rest)) if len(str(rest)) <= len(weight.text) + 2 else None
